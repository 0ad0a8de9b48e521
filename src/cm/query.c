/*
 * query.c - what is asked about keys: NtQueryKey and NtEnumerateKey.
 *
 * One rule for all variable-sized answers: too little room for the fixed part is STATUS_BUFFER_TOO_SMALL and nothing is
 * written; room for the fixed part but not for all is STATUS_BUFFER_OVERFLOW, and as much is written as fits. Either way
 * ResultLength is what the whole answer takes.
 *
 * Lock: CmpRegistryLock, shared. IRQL: PASSIVE_LEVEL. Source: documentation of ZwQueryKey and ZwEnumerateKey.
 */
#include <ntos/ke.h>

#include "cmp.h"

/* What KeyFullInformation and KeyCachedInformation say about a key's contents; lengths in bytes. */
typedef struct _CMP_SUMMARY {
    ULONG LongestName, LongestClass, LongestValueName, LargestValue;
} CMP_SUMMARY, *PCMP_SUMMARY;

static VOID CmpSummarize(PCM_NODE Node, PCMP_SUMMARY Summary)
{
    RtlZeroMemory(Summary, sizeof(*Summary));
    for (ULONG Index = 0; Index < Node->SubKeyCount; Index++) {
        Summary->LongestName = max(Summary->LongestName, Node->SubKeys[Index]->Name.Length);
        Summary->LongestClass = max(Summary->LongestClass, Node->SubKeys[Index]->Class.Length);
    }
    for (ULONG Index = 0; Index < Node->ValueCount; Index++) {
        Summary->LongestValueName = max(Summary->LongestValueName, Node->Values[Index]->Name.Length);
        Summary->LargestValue = max(Summary->LargestValue, Node->Values[Index]->Bytes);
    }
}

/* Copies what fits of a part that belongs at Offset of an answer. */
static VOID CmpCopyPart(PVOID Buffer, ULONG Length, ULONG Offset, const VOID *Part, ULONG Bytes)
{
    if (Offset < Length) {
        RtlCopyMemory((PUCHAR)Buffer + Offset, Part, min(Bytes, Length - Offset));
    }
}

/* The verdict on room; the fixed part may be written when it is a success or a warning. */
static NTSTATUS CmpCheckRoom(ULONG Length, ULONG Fixed, ULONG Needed, PULONG ResultLength)
{
    *ResultLength = Needed;
    if (Length < Fixed) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    return (Length < Needed) ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
}

static NTSTATUS CmpQueryBasic(PCM_NODE Node, PKEY_BASIC_INFORMATION Info, ULONG Length, PULONG ResultLength)
{
    ULONG Fixed = FIELD_OFFSET(KEY_BASIC_INFORMATION, Name);
    NTSTATUS Status = CmpCheckRoom(Length, Fixed, Fixed + Node->Name.Length, ResultLength);

    if (Status != STATUS_BUFFER_TOO_SMALL) {
        Info->LastWriteTime = Node->LastWriteTime;
        Info->TitleIndex = 0;
        Info->NameLength = Node->Name.Length;
        CmpCopyPart(Info, Length, Fixed, Node->Name.Buffer, Node->Name.Length);
    }
    return Status;
}

static NTSTATUS CmpQueryNodeInformation(PCM_NODE Node, PKEY_NODE_INFORMATION Info, ULONG Length, PULONG ResultLength)
{
    ULONG Fixed = FIELD_OFFSET(KEY_NODE_INFORMATION, Name);
    ULONG ClassOffset = ALIGN_UP_BY(Fixed + Node->Name.Length, sizeof(ULONG));
    ULONG Needed = (Node->Class.Length == 0) ? Fixed + Node->Name.Length : ClassOffset + Node->Class.Length;
    NTSTATUS Status = CmpCheckRoom(Length, Fixed, Needed, ResultLength);

    if (Status != STATUS_BUFFER_TOO_SMALL) {
        Info->LastWriteTime = Node->LastWriteTime;
        Info->TitleIndex = 0;
        Info->ClassOffset = (Node->Class.Length == 0) ? MAXULONG : ClassOffset;
        Info->ClassLength = Node->Class.Length;
        Info->NameLength = Node->Name.Length;
        CmpCopyPart(Info, Length, Fixed, Node->Name.Buffer, Node->Name.Length);
        CmpCopyPart(Info, Length, ClassOffset, Node->Class.Buffer, Node->Class.Length);
    }
    return Status;
}

static NTSTATUS CmpQueryFull(PCM_NODE Node, PKEY_FULL_INFORMATION Info, ULONG Length, PULONG ResultLength)
{
    ULONG Fixed = FIELD_OFFSET(KEY_FULL_INFORMATION, Class);
    NTSTATUS Status = CmpCheckRoom(Length, Fixed, Fixed + Node->Class.Length, ResultLength);
    CMP_SUMMARY Summary;

    if (Status != STATUS_BUFFER_TOO_SMALL) {
        CmpSummarize(Node, &Summary);
        Info->LastWriteTime = Node->LastWriteTime;
        Info->TitleIndex = 0;
        Info->ClassOffset = (Node->Class.Length == 0) ? MAXULONG : Fixed;
        Info->ClassLength = Node->Class.Length;
        Info->SubKeys = Node->SubKeyCount;
        Info->MaxNameLen = Summary.LongestName;
        Info->MaxClassLen = Summary.LongestClass;
        Info->Values = Node->ValueCount;
        Info->MaxValueNameLen = Summary.LongestValueName;
        Info->MaxValueDataLen = Summary.LargestValue;
        CmpCopyPart(Info, Length, Fixed, Node->Class.Buffer, Node->Class.Length);
    }
    return Status;
}

static NTSTATUS CmpQueryPath(PCM_NODE Node, PKEY_NAME_INFORMATION Info, ULONG Length, PULONG ResultLength)
{
    ULONG Fixed = FIELD_OFFSET(KEY_NAME_INFORMATION, Name), Bytes = CmpMeasurePath(Node);
    NTSTATUS Status = CmpCheckRoom(Length, Fixed, Fixed + Bytes, ResultLength);

    if (Status != STATUS_BUFFER_TOO_SMALL) {
        Info->NameLength = Bytes;
        CmpWritePath(Node, Info->Name, min(Bytes, Length - Fixed));
    }
    return Status;
}

static NTSTATUS CmpQueryCached(PCM_NODE Node, PKEY_CACHED_INFORMATION Info, ULONG Length, PULONG ResultLength)
{
    NTSTATUS Status = CmpCheckRoom(Length, sizeof(*Info), sizeof(*Info), ResultLength);
    CMP_SUMMARY Summary;

    if (NT_SUCCESS(Status)) {
        CmpSummarize(Node, &Summary);
        Info->LastWriteTime = Node->LastWriteTime;
        Info->TitleIndex = 0;
        Info->SubKeys = Node->SubKeyCount;
        Info->MaxNameLen = Summary.LongestName;
        Info->Values = Node->ValueCount;
        Info->MaxValueNameLen = Summary.LongestValueName;
        Info->MaxValueDataLen = Summary.LargestValue;
        Info->NameLength = Node->Name.Length;
    }
    return Status;
}

/* Keys are not virtualised: every bit is off. */
static NTSTATUS CmpQueryVirtualization(PKEY_VIRTUALIZATION_INFORMATION Info, ULONG Length, PULONG ResultLength)
{
    NTSTATUS Status = CmpCheckRoom(Length, sizeof(*Info), sizeof(*Info), ResultLength);

    if (NT_SUCCESS(Status)) {
        RtlZeroMemory(Info, sizeof(*Info));
    }
    return Status;
}

static NTSTATUS CmpQueryFlags(PCM_NODE Node, PULONG Flags, ULONG Length, PULONG ResultLength)
{
    NTSTATUS Status = CmpCheckRoom(Length, sizeof(*Flags), sizeof(*Flags), ResultLength);

    if (NT_SUCCESS(Status)) {
        *Flags = Node->UserFlags;
    }
    return Status;
}

/* Answers any class about a node that is not deleted; the lock is held. STATUS_INVALID_PARAMETER: no such class. */
NTSTATUS CmpQueryNode(PCM_NODE Node, KEY_INFORMATION_CLASS Class, PVOID Buffer, ULONG Length, PULONG ResultLength)
{
    switch (Class) {
    case KeyBasicInformation:
        return CmpQueryBasic(Node, Buffer, Length, ResultLength);
    case KeyNodeInformation:
        return CmpQueryNodeInformation(Node, Buffer, Length, ResultLength);
    case KeyFullInformation:
        return CmpQueryFull(Node, Buffer, Length, ResultLength);
    case KeyNameInformation:
        return CmpQueryPath(Node, Buffer, Length, ResultLength);
    case KeyCachedInformation:
        return CmpQueryCached(Node, Buffer, Length, ResultLength);
    case KeyFlagsInformation:
        return CmpQueryFlags(Node, Buffer, Length, ResultLength);
    case KeyVirtualizationInformation:
        return CmpQueryVirtualization(Buffer, Length, ResultLength);
    default:
        return STATUS_INVALID_PARAMETER;
    }
}

/* Ends an answer of a service: its length is told whenever there is one. */
NTSTATUS CmpFinishAnswer(PEX_ANSWER Answer, NTSTATUS Status, ULONG Needed, PULONG ResultLength)
{
    NTSTATUS Told = STATUS_SUCCESS;

    Status = ExEndAnswer(Answer, Status, Needed);
    if (Needed != 0) {
        Told = ExCopyToCaller(ResultLength, &Needed, sizeof(Needed));
    }
    return NT_SUCCESS(Told) ? Status : Told;
}

/* NtQueryKey into a buffer of the kernel's. */
static NTSTATUS CmpQueryKey(HANDLE KeyHandle, KEY_INFORMATION_CLASS KeyInformationClass, PVOID KeyInformation,
                            ULONG Length, PULONG ResultLength)
{
    REG_QUERY_KEY_INFORMATION Information = {.KeyInformationClass = KeyInformationClass,
                                             .KeyInformation = KeyInformation,
                                             .Length = Length,
                                             .ResultLength = ResultLength};
    CMP_CALL Call = CMP_CALL_INIT(RegNtPreQueryKey, RegNtPostQueryKey, REG_QUERY_KEY_INFORMATION, &Information, NULL);
    PCM_KEY_BODY Body;
    NTSTATUS Status =
        CmpReferenceKey(KeyHandle, (KeyInformationClass == KeyNameInformation) ? 0 : KEY_QUERY_VALUE, &Body);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Information.Object = Call.Object = Body;
    if (CmpBegin(&Call, &Status)) {
        CmpLockShared();
        Status = ((Body->Node->Flags & CMP_NODE_DELETED) != 0)
                     ? STATUS_KEY_DELETED
                     : CmpQueryNode(Body->Node, KeyInformationClass, KeyInformation, Length, ResultLength);
        CmpUnlock();
        Status = CmpEnd(&Call, Status);
    }
    ObDereferenceObject(Body);
    return Status;
}

/**
 * NtQueryKey - tells about a key.
 *
 * KeyNameInformation is answered whatever the handle's access; the other classes want KEY_QUERY_VALUE.
 * returns  STATUS_SUCCESS; STATUS_BUFFER_TOO_SMALL, STATUS_BUFFER_OVERFLOW (see the top); STATUS_INVALID_PARAMETER;
 *          STATUS_KEY_DELETED
 */
NTSTATUS NTAPI NtQueryKey(HANDLE KeyHandle, KEY_INFORMATION_CLASS KeyInformationClass, PVOID KeyInformation,
                          ULONG Length, PULONG ResultLength)
{
    EX_ANSWER Answer;
    ULONG Needed = 0;
    NTSTATUS Status = ExBeginAnswer(&Answer, KeyInformation, Length);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    do {
        Status = CmpQueryKey(KeyHandle, KeyInformationClass, Answer.Buffer, Answer.Length, &Needed);
    } while (ExGrowAnswer(&Answer, &Status, Needed));
    return CmpFinishAnswer(&Answer, Status, Needed, ResultLength);
}

static NTSTATUS CmpEnumerate(PCM_NODE Node, ULONG Index, KEY_INFORMATION_CLASS Class, PVOID Buffer, ULONG Length,
                             PULONG ResultLength)
{
    NTSTATUS Status;

    CmpLockShared();
    if ((Node->Flags & CMP_NODE_DELETED) != 0) {
        Status = STATUS_KEY_DELETED;
    } else if (Index >= Node->SubKeyCount) {
        Status = STATUS_NO_MORE_ENTRIES;
    } else {
        Status = CmpQueryNode(Node->SubKeys[Index], Class, Buffer, Length, ResultLength);
    }
    CmpUnlock();
    return Status;
}

/* NtEnumerateKey into a buffer of the kernel's. */
static NTSTATUS CmpEnumerateKey(HANDLE KeyHandle, ULONG Index, KEY_INFORMATION_CLASS KeyInformationClass,
                                PVOID KeyInformation, ULONG Length, PULONG ResultLength)
{
    REG_ENUMERATE_KEY_INFORMATION Information = {.Index = Index,
                                                 .KeyInformationClass = KeyInformationClass,
                                                 .KeyInformation = KeyInformation,
                                                 .Length = Length,
                                                 .ResultLength = ResultLength};
    CMP_CALL Call =
        CMP_CALL_INIT(RegNtPreEnumerateKey, RegNtPostEnumerateKey, REG_ENUMERATE_KEY_INFORMATION, &Information, NULL);
    PCM_KEY_BODY Body;
    NTSTATUS Status;

    if (KeyInformationClass > KeyFullInformation) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = CmpReferenceKey(KeyHandle, KEY_ENUMERATE_SUB_KEYS, &Body);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Information.Object = Call.Object = Body;
    if (CmpBegin(&Call, &Status)) {
        Status = CmpEnumerate(Body->Node, Index, KeyInformationClass, KeyInformation, Length, ResultLength);
        Status = CmpEnd(&Call, Status);
    }
    ObDereferenceObject(Body);
    return Status;
}

/**
 * NtEnumerateKey - tells about one of a key's subkeys, which are numbered from 0 in the order of their names.
 *
 * @KeyInformationClass  KeyBasicInformation, KeyNodeInformation or KeyFullInformation
 * returns               as NtQueryKey; STATUS_NO_MORE_ENTRIES
 */
NTSTATUS NTAPI NtEnumerateKey(HANDLE KeyHandle, ULONG Index, KEY_INFORMATION_CLASS KeyInformationClass,
                              PVOID KeyInformation, ULONG Length, PULONG ResultLength)
{
    EX_ANSWER Answer;
    ULONG Needed = 0;
    NTSTATUS Status = ExBeginAnswer(&Answer, KeyInformation, Length);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    do {
        Status = CmpEnumerateKey(KeyHandle, Index, KeyInformationClass, Answer.Buffer, Answer.Length, &Needed);
    } while (ExGrowAnswer(&Answer, &Status, Needed));
    return CmpFinishAnswer(&Answer, Status, Needed, ResultLength);
}
