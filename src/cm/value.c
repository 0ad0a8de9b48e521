/*
 * value.c - values of keys: setting, deleting, querying, enumerating.
 *
 * A value has a name (empty for the default value), a type and bytes. The type is the caller's word: nothing is checked
 * against it but a link's target. Answers follow the rule of room of query.c; the data of a full answer begin at the next
 * multiple of 4 (or 8) after the name.
 *
 * Lock: CmpRegistryLock. IRQL: PASSIVE_LEVEL. Source: documentation of ZwSetValueKey and ZwQueryValueKey.
 */
#include <ntos/ke.h>

#include "cmp.h"

/* Where a class puts the two variable parts. NoName: the class has no name. */
typedef struct _CMP_LAYOUT {
    ULONG Fixed;  /* bytes before the name, or before the data when there is no name */
    ULONG Data;   /* offset of the data; 0: none */
    ULONG Needed; /* bytes of the whole answer */
} CMP_LAYOUT, *PCMP_LAYOUT;

static NTSTATUS CmpLayOut(PCM_VALUE Value, KEY_VALUE_INFORMATION_CLASS Class, PCMP_LAYOUT Layout)
{
    ULONG Align = (Class == KeyValueFullInformationAlign64) ? sizeof(ULONG64) : sizeof(ULONG);

    switch (Class) {
    case KeyValueBasicInformation:
        Layout->Fixed = FIELD_OFFSET(KEY_VALUE_BASIC_INFORMATION, Name);
        Layout->Data = 0;
        Layout->Needed = Layout->Fixed + Value->Name.Length;
        return STATUS_SUCCESS;
    case KeyValueFullInformation:
    case KeyValueFullInformationAlign64:
        Layout->Fixed = FIELD_OFFSET(KEY_VALUE_FULL_INFORMATION, Name);
        Layout->Data = ALIGN_UP_BY(Layout->Fixed + Value->Name.Length, Align);
        Layout->Needed = (Value->Bytes == 0) ? Layout->Fixed + Value->Name.Length : Layout->Data + Value->Bytes;
        return STATUS_SUCCESS;
    case KeyValuePartialInformation:
        Layout->Fixed = Layout->Data = FIELD_OFFSET(KEY_VALUE_PARTIAL_INFORMATION, Data);
        Layout->Needed = Layout->Data + Value->Bytes;
        return STATUS_SUCCESS;
    case KeyValuePartialInformationAlign64:
        Layout->Fixed = Layout->Data = FIELD_OFFSET(KEY_VALUE_PARTIAL_INFORMATION_ALIGN64, Data);
        Layout->Needed = Layout->Data + Value->Bytes;
        return STATUS_SUCCESS;
    default:
        return STATUS_INVALID_PARAMETER;
    }
}

static VOID CmpWriteFixed(PCM_VALUE Value, KEY_VALUE_INFORMATION_CLASS Class, const CMP_LAYOUT *Layout, PVOID Buffer)
{
    PKEY_VALUE_FULL_INFORMATION Full = Buffer;
    PKEY_VALUE_BASIC_INFORMATION Basic = Buffer;
    PKEY_VALUE_PARTIAL_INFORMATION Partial = Buffer;
    PKEY_VALUE_PARTIAL_INFORMATION_ALIGN64 Aligned = Buffer;

    if (Class == KeyValuePartialInformationAlign64) {
        Aligned->Type = Value->Type;
        Aligned->DataLength = Value->Bytes;
        return;
    }
    Basic->TitleIndex = 0;
    Basic->Type = Value->Type;
    if (Class == KeyValueBasicInformation) {
        Basic->NameLength = Value->Name.Length;
    } else if (Class == KeyValuePartialInformation) {
        Partial->DataLength = Value->Bytes;
    } else {
        Full->DataOffset = Layout->Data;
        Full->DataLength = Value->Bytes;
        Full->NameLength = Value->Name.Length;
    }
}

static VOID CmpCopyWhatFits(PUCHAR Buffer, ULONG Length, ULONG Offset, const VOID *Part, ULONG Bytes)
{
    if (Offset < Length) {
        RtlCopyMemory(Buffer + Offset, Part, min(Bytes, Length - Offset));
    }
}

/* The lock is held. */
static NTSTATUS CmpTellValue(PCM_VALUE Value, KEY_VALUE_INFORMATION_CLASS Class, PVOID Buffer, ULONG Length,
                             PULONG ResultLength)
{
    CMP_LAYOUT Layout;
    NTSTATUS Status = CmpLayOut(Value, Class, &Layout);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    *ResultLength = Layout.Needed;
    if (Length < Layout.Fixed) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    CmpWriteFixed(Value, Class, &Layout, Buffer);
    if (Layout.Data != Layout.Fixed) {
        CmpCopyWhatFits(Buffer, Length, Layout.Fixed, Value->Name.Buffer, Value->Name.Length);
    }
    if (Layout.Data != 0) {
        CmpCopyWhatFits(Buffer, Length, Layout.Data, Value->Data, Value->Bytes);
    }
    return (Length < Layout.Needed) ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
}

/* A class that wants its buffer at a multiple of 8 gets it. */
static NTSTATUS CmpCheckClass(KEY_VALUE_INFORMATION_CLASS Class, PVOID Buffer)
{
    if (Class > KeyValuePartialInformationAlign64) {
        return STATUS_INVALID_PARAMETER;
    }
    if ((Class == KeyValueFullInformationAlign64 || Class == KeyValuePartialInformationAlign64) &&
        (ULONG_PTR)Buffer % sizeof(ULONG64) != 0) {
        return STATUS_DATATYPE_MISALIGNMENT;
    }
    return STATUS_SUCCESS;
}

/* A value's name from a service's caller; an odd length is no name. */
static NTSTATUS CmpCaptureValueName(PUNICODE_STRING Captured, const UNICODE_STRING *Name)
{
    NTSTATUS Status = ExCaptureString(Captured, Name);

    return Status == STATUS_OBJECT_NAME_INVALID ? STATUS_INVALID_PARAMETER : Status;
}

static NTSTATUS CmpStoreValue(PCM_NODE Node, PCUNICODE_STRING Name, ULONG Type, const VOID *Data, ULONG Bytes)
{
    NTSTATUS Status;

    CmpLockExclusive();
    Status = ((Node->Flags & CMP_NODE_DELETED) != 0) ? STATUS_KEY_DELETED : CmpSetValue(Node, Name, Type, Data, Bytes);
    if (NT_SUCCESS(Status)) {
        CmpReport(Node, REG_NOTIFY_CHANGE_LAST_SET);
    }
    CmpUnlock();
    return Status;
}

/* NtSetValueKey with name and data captured. */
static NTSTATUS CmpSetValueKey(HANDLE KeyHandle, PUNICODE_STRING ValueName, ULONG TitleIndex, ULONG Type, PVOID Data,
                               ULONG DataSize)
{
    REG_SET_VALUE_KEY_INFORMATION Information = {
        .ValueName = ValueName, .TitleIndex = TitleIndex, .Type = Type, .Data = Data, .DataSize = DataSize};
    CMP_CALL Call =
        CMP_CALL_INIT(RegNtPreSetValueKey, RegNtPostSetValueKey, REG_SET_VALUE_KEY_INFORMATION, &Information, NULL);
    UNICODE_STRING Name = {0, 0, NULL};
    PCM_KEY_BODY Body;
    NTSTATUS Status;

    if (ValueName != NULL) {
        Name = *ValueName;
    }
    while (Name.Length >= sizeof(WCHAR) && Name.Buffer[Name.Length / sizeof(WCHAR) - 1] == 0) {
        Name.Length -= sizeof(WCHAR);
    }
    if (Name.Length > CMP_LONGEST_VALUE_NAME * sizeof(WCHAR) || Name.Length % sizeof(WCHAR) != 0 ||
        DataSize > CMP_LARGEST_VALUE || (DataSize != 0 && Data == NULL)) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = CmpReferenceKey(KeyHandle, KEY_SET_VALUE, &Body);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Information.Object = Call.Object = Body;
    if (CmpBegin(&Call, &Status)) {
        Status = CmpEnd(&Call, CmpStoreValue(Body->Node, &Name, Type, Data, DataSize));
    }
    ObDereferenceObject(Body);
    return Status;
}

/**
 * NtSetValueKey - sets a value, making it if it is not there.
 *
 * @ValueName   16383 characters at most; empty or NULL: the default value. NULs at its end do not count
 * @TitleIndex  ignored
 * returns      STATUS_SUCCESS; STATUS_INVALID_PARAMETER (name or data too long); STATUS_INSUFFICIENT_RESOURCES;
 *              STATUS_KEY_DELETED; STATUS_ACCESS_DENIED (the handle lacks KEY_SET_VALUE)
 */
NTSTATUS NTAPI NtSetValueKey(HANDLE KeyHandle, PUNICODE_STRING ValueName, ULONG TitleIndex, ULONG Type, PVOID Data,
                             ULONG DataSize)
{
    UNICODE_STRING Name;
    PVOID Copy;
    NTSTATUS Status = CmpCaptureValueName(&Name, ValueName);

    if (NT_SUCCESS(Status) && DataSize > CMP_LARGEST_VALUE) {
        Status = STATUS_INVALID_PARAMETER;
    }
    if (NT_SUCCESS(Status)) {
        Status = ExCaptureBuffer(&Copy, Data, DataSize);
    }
    if (NT_SUCCESS(Status)) {
        Status = CmpSetValueKey(KeyHandle, &Name, TitleIndex, Type, Copy, DataSize);
        ExFreeCapturedBuffer(Copy, Data);
    }
    ExFreeCapturedString(&Name);
    return Status;
}

static NTSTATUS CmpDropValue(PCM_NODE Node, PCUNICODE_STRING Name)
{
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG Index;

    CmpLockExclusive();
    if ((Node->Flags & CMP_NODE_DELETED) != 0) {
        Status = STATUS_KEY_DELETED;
    } else if (CmpFindValue(Node, Name, &Index) == NULL) {
        Status = STATUS_OBJECT_NAME_NOT_FOUND;
    } else {
        CmpRemoveValue(Node, Index);
        CmpReport(Node, REG_NOTIFY_CHANGE_LAST_SET);
    }
    CmpUnlock();
    return Status;
}

/* NtDeleteValueKey with the name captured. */
static NTSTATUS CmpDeleteValueKey(HANDLE KeyHandle, PUNICODE_STRING ValueName)
{
    REG_DELETE_VALUE_KEY_INFORMATION Information = {.ValueName = ValueName};
    CMP_CALL Call = CMP_CALL_INIT(RegNtPreDeleteValueKey, RegNtPostDeleteValueKey, REG_DELETE_VALUE_KEY_INFORMATION,
                                  &Information, NULL);
    PCM_KEY_BODY Body;
    NTSTATUS Status = CmpReferenceKey(KeyHandle, KEY_SET_VALUE, &Body);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Information.Object = Call.Object = Body;
    if (CmpBegin(&Call, &Status)) {
        Status = CmpEnd(&Call, CmpDropValue(Body->Node, ValueName));
    }
    ObDereferenceObject(Body);
    return Status;
}

/* Deletes a value. STATUS_OBJECT_NAME_NOT_FOUND, STATUS_KEY_DELETED, STATUS_ACCESS_DENIED (lacks KEY_SET_VALUE). */
NTSTATUS NTAPI NtDeleteValueKey(HANDLE KeyHandle, PUNICODE_STRING ValueName)
{
    UNICODE_STRING Name;
    NTSTATUS Status = CmpCaptureValueName(&Name, ValueName);

    if (NT_SUCCESS(Status)) {
        Status = CmpDeleteValueKey(KeyHandle, &Name);
        ExFreeCapturedString(&Name);
    }
    return Status;
}

/* Finds a value by name (Name not NULL) or by number and tells about it. */
static NTSTATUS CmpFindAndTell(PCM_NODE Node, PCUNICODE_STRING Name, ULONG Index, KEY_VALUE_INFORMATION_CLASS Class,
                               PVOID Buffer, ULONG Length, PULONG ResultLength)
{
    NTSTATUS Status;

    CmpLockShared();
    if ((Node->Flags & CMP_NODE_DELETED) != 0) {
        Status = STATUS_KEY_DELETED;
    } else if (Name != NULL && CmpFindValue(Node, Name, &Index) == NULL) {
        Status = STATUS_OBJECT_NAME_NOT_FOUND;
    } else if (Index >= Node->ValueCount) {
        Status = STATUS_NO_MORE_ENTRIES;
    } else {
        Status = CmpTellValue(Node->Values[Index], Class, Buffer, Length, ResultLength);
    }
    CmpUnlock();
    return Status;
}

/* NtQueryValueKey with the name captured, into a buffer of the kernel's. */
static NTSTATUS CmpQueryValueKey(HANDLE KeyHandle, PUNICODE_STRING ValueName,
                                 KEY_VALUE_INFORMATION_CLASS KeyValueInformationClass, PVOID KeyValueInformation,
                                 ULONG Length, PULONG ResultLength)
{
    REG_QUERY_VALUE_KEY_INFORMATION Information = {.ValueName = ValueName,
                                                   .KeyValueInformationClass = KeyValueInformationClass,
                                                   .KeyValueInformation = KeyValueInformation,
                                                   .Length = Length,
                                                   .ResultLength = ResultLength};
    CMP_CALL Call = CMP_CALL_INIT(RegNtPreQueryValueKey, RegNtPostQueryValueKey, REG_QUERY_VALUE_KEY_INFORMATION,
                                  &Information, NULL);
    PCM_KEY_BODY Body;
    NTSTATUS Status = CmpReferenceKey(KeyHandle, KEY_QUERY_VALUE, &Body);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Information.Object = Call.Object = Body;
    if (CmpBegin(&Call, &Status)) {
        Status = CmpFindAndTell(Body->Node, ValueName, 0, KeyValueInformationClass, KeyValueInformation, Length,
                                ResultLength);
        Status = CmpEnd(&Call, Status);
    }
    ObDereferenceObject(Body);
    return Status;
}

/**
 * NtQueryValueKey - tells about a value.
 *
 * returns  STATUS_SUCCESS; STATUS_OBJECT_NAME_NOT_FOUND; STATUS_BUFFER_TOO_SMALL, STATUS_BUFFER_OVERFLOW (query.c's rule);
 *          STATUS_INVALID_PARAMETER (class); STATUS_DATATYPE_MISALIGNMENT (a class of aligned data); STATUS_KEY_DELETED
 */
NTSTATUS NTAPI NtQueryValueKey(HANDLE KeyHandle, PUNICODE_STRING ValueName,
                               KEY_VALUE_INFORMATION_CLASS KeyValueInformationClass, PVOID KeyValueInformation,
                               ULONG Length, PULONG ResultLength)
{
    EX_ANSWER Answer;
    UNICODE_STRING Name;
    ULONG Needed = 0;
    NTSTATUS Status = CmpCheckClass(KeyValueInformationClass, KeyValueInformation);

    if (NT_SUCCESS(Status)) {
        Status = CmpCaptureValueName(&Name, ValueName);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ExBeginAnswer(&Answer, KeyValueInformation, Length);
    if (NT_SUCCESS(Status)) {
        do {
            Status =
                CmpQueryValueKey(KeyHandle, &Name, KeyValueInformationClass, Answer.Buffer, Answer.Length, &Needed);
        } while (ExGrowAnswer(&Answer, &Status, Needed));
        Status = CmpFinishAnswer(&Answer, Status, Needed, ResultLength);
    }
    ExFreeCapturedString(&Name);
    return Status;
}

/* NtEnumerateValueKey into a buffer of the kernel's. */
static NTSTATUS CmpEnumerateValueKey(HANDLE KeyHandle, ULONG Index,
                                     KEY_VALUE_INFORMATION_CLASS KeyValueInformationClass, PVOID KeyValueInformation,
                                     ULONG Length, PULONG ResultLength)
{
    REG_ENUMERATE_VALUE_KEY_INFORMATION Information = {.Index = Index,
                                                       .KeyValueInformationClass = KeyValueInformationClass,
                                                       .KeyValueInformation = KeyValueInformation,
                                                       .Length = Length,
                                                       .ResultLength = ResultLength};
    CMP_CALL Call = CMP_CALL_INIT(RegNtPreEnumerateValueKey, RegNtPostEnumerateValueKey,
                                  REG_ENUMERATE_VALUE_KEY_INFORMATION, &Information, NULL);
    PCM_KEY_BODY Body;
    NTSTATUS Status = CmpReferenceKey(KeyHandle, KEY_QUERY_VALUE, &Body);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Information.Object = Call.Object = Body;
    if (CmpBegin(&Call, &Status)) {
        Status = CmpFindAndTell(Body->Node, NULL, Index, KeyValueInformationClass, KeyValueInformation, Length,
                                ResultLength);
        Status = CmpEnd(&Call, Status);
    }
    ObDereferenceObject(Body);
    return Status;
}

/* Tells about a value by its number, from 0 in the order of their making. As NtQueryValueKey; STATUS_NO_MORE_ENTRIES. */
NTSTATUS NTAPI NtEnumerateValueKey(HANDLE KeyHandle, ULONG Index, KEY_VALUE_INFORMATION_CLASS KeyValueInformationClass,
                                   PVOID KeyValueInformation, ULONG Length, PULONG ResultLength)
{
    EX_ANSWER Answer;
    ULONG Needed = 0;
    NTSTATUS Status = CmpCheckClass(KeyValueInformationClass, KeyValueInformation);

    if (NT_SUCCESS(Status)) {
        Status = ExBeginAnswer(&Answer, KeyValueInformation, Length);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    do {
        Status =
            CmpEnumerateValueKey(KeyHandle, Index, KeyValueInformationClass, Answer.Buffer, Answer.Length, &Needed);
    } while (ExGrowAnswer(&Answer, &Status, Needed));
    return CmpFinishAnswer(&Answer, Status, Needed, ResultLength);
}
