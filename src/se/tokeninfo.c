/*
 * tokeninfo.c - what can be asked about a token, and opening the tokens of processes and threads.
 *
 * Each class is written by one builder, first without a buffer to learn its length; what a structure points to follows it in the same
 * buffer. Lock: the token's, shared, over measuring and writing. IRQL: PASSIVE_LEVEL.
 * Source: WDK documentation of SeQueryInformationToken and ZwQueryInformationToken; ntifs.h.
 */
#include "sep.h"

#include <ntos/ex.h>
#include <ntos/user.h>

/* Rights that the DDK leaves out (values as documented for the Windows SDK). */
#define SEP_QUERY_INFORMATION        0x0400
#define SEP_THREAD_QUERY_INFORMATION 0x0040

/* Where an answer is being written; Buffer NULL: only measured. */
typedef struct _SEP_ANSWER {
    PUCHAR Buffer;
    ULONG Bytes;
    ULONG64 Bias; /* added to pointers into the answer */
} SEP_ANSWER, *PSEP_ANSWER;

/* Room for Bytes at the end; returns where to write, NULL while measuring. */
static PVOID SepReserve(PSEP_ANSWER Answer, ULONG Bytes)
{
    PVOID Place = (Answer->Buffer == NULL) ? NULL : Answer->Buffer + Answer->Bytes;

    Answer->Bytes += (Bytes + 7) & ~7U;
    return Place;
}

/* A value of a fixed size. */
static VOID SepPutValue(PSEP_ANSWER Answer, const VOID *Value, ULONG Bytes)
{
    PVOID Place = (Answer->Buffer == NULL) ? NULL : Answer->Buffer + Answer->Bytes;

    Answer->Bytes += Bytes;
    if (Place != NULL) {
        RtlCopyMemory(Place, Value, Bytes);
    }
}

/* Appends a SID; *Pointer, in the answer, gets its address. */
static VOID SepAppendSid(PSEP_ANSWER Answer, PSID Sid, PSID *Pointer)
{
    ULONG Bytes = RtlLengthSid(Sid);
    PVOID Place = SepReserve(Answer, Bytes);

    if (Place != NULL) {
        RtlCopyMemory(Place, Sid, Bytes);
        *Pointer = (PSID)((ULONG64)Place + Answer->Bias);
    }
}

/* Count SIDs with their attributes. */
static VOID SepPutSids(PSEP_ANSWER Answer, const SID_AND_ATTRIBUTES *Sids, ULONG Count)
{
    PSID_AND_ATTRIBUTES Array = SepReserve(Answer, Count * (ULONG)sizeof(*Array));

    for (ULONG Index = 0; Index < Count; Index++) {
        PSID Ignored, *Pointer = (Array == NULL) ? &Ignored : &Array[Index].Sid;

        SepAppendSid(Answer, Sids[Index].Sid, Pointer);
        if (Array != NULL) {
            Array[Index].Attributes = Sids[Index].Attributes;
        }
    }
}

/* A TOKEN_GROUPS. */
static VOID SepPutGroups(PSEP_ANSWER Answer, const SID_AND_ATTRIBUTES *Sids, ULONG Count)
{
    PTOKEN_GROUPS Groups = SepReserve(Answer, FIELD_OFFSET(TOKEN_GROUPS, Groups));

    if (Groups != NULL) {
        Groups->GroupCount = Count;
    }
    SepPutSids(Answer, Sids, Count);
}

static VOID SepPutPrivileges(PSEP_ANSWER Answer, PTOKEN Token)
{
    SepPutValue(Answer, &Token->PrivilegeCount, sizeof(ULONG));
    SepPutValue(Answer, Token->Privileges, Token->PrivilegeCount * (ULONG)sizeof(LUID_AND_ATTRIBUTES));
}

/* A structure of one pointer to a SID: owner, primary group. */
static VOID SepPutOneSid(PSEP_ANSWER Answer, PSID Sid)
{
    PSID Ignored, *Pointer = SepReserve(Answer, sizeof(PSID));

    SepAppendSid(Answer, Sid, (Pointer == NULL) ? &Ignored : Pointer);
}

static VOID SepPutDefaultDacl(PSEP_ANSWER Answer, PTOKEN Token)
{
    PTOKEN_DEFAULT_DACL Default = SepReserve(Answer, sizeof(*Default));
    PVOID Place;

    if (Default != NULL) {
        Default->DefaultDacl = NULL;
    }
    if (Token->DefaultDacl != NULL) {
        Place = SepReserve(Answer, Token->DefaultDacl->AclSize);
        if (Place != NULL) {
            RtlCopyMemory(Place, Token->DefaultDacl, Token->DefaultDacl->AclSize);
            Default->DefaultDacl = (PACL)((ULONG64)Place + Answer->Bias);
        }
    }
}

static VOID SepPutStatistics(PSEP_ANSWER Answer, PTOKEN Token)
{
    TOKEN_STATISTICS Statistics = {.TokenId = Token->TokenId,
                                   .AuthenticationId = Token->AuthenticationId,
                                   .ExpirationTime = Token->ExpirationTime,
                                   .TokenType = Token->Type,
                                   .ImpersonationLevel = Token->Level,
                                   .GroupCount = Token->SidCount - 1,
                                   .PrivilegeCount = Token->PrivilegeCount,
                                   .ModifiedId = Token->ModifiedId};

    SepPutValue(Answer, &Statistics, sizeof(Statistics));
}

/* Writes (or measures) one class. Lock held. */
static NTSTATUS SepAnswer(PTOKEN Token, TOKEN_INFORMATION_CLASS Class, PSEP_ANSWER Answer)
{
    ULONG Restrictions;

    switch (Class) {
    case TokenUser:
        SepPutSids(Answer, Token->Sids, 1);
        return STATUS_SUCCESS;
    case TokenGroups:
        SepPutGroups(Answer, Token->Sids + 1, Token->SidCount - 1);
        return STATUS_SUCCESS;
    case TokenRestrictedSids:
        SepPutGroups(Answer, Token->Restricted, Token->RestrictedCount);
        return STATUS_SUCCESS;
    case TokenHasRestrictions:
        Restrictions = !RtlIsZeroLuid(&Token->ParentTokenId);
        SepPutValue(Answer, &Restrictions, sizeof(Restrictions));
        return STATUS_SUCCESS;
    case TokenPrivileges:
        SepPutPrivileges(Answer, Token);
        return STATUS_SUCCESS;
    case TokenOwner:
        SepPutOneSid(Answer, Token->Sids[Token->OwnerIndex].Sid);
        return STATUS_SUCCESS;
    case TokenPrimaryGroup:
        SepPutOneSid(Answer, Token->Sids[Token->GroupIndex].Sid);
        return STATUS_SUCCESS;
    case TokenDefaultDacl:
        SepPutDefaultDacl(Answer, Token);
        return STATUS_SUCCESS;
    case TokenSource:
        SepPutValue(Answer, &Token->Source, sizeof(Token->Source));
        return STATUS_SUCCESS;
    case TokenType:
        SepPutValue(Answer, &Token->Type, sizeof(Token->Type));
        return STATUS_SUCCESS;
    case TokenImpersonationLevel:
        SepPutValue(Answer, &Token->Level, sizeof(Token->Level));
        return (Token->Type == TokenImpersonation) ? STATUS_SUCCESS : STATUS_INVALID_INFO_CLASS;
    case TokenStatistics:
        SepPutStatistics(Answer, Token);
        return STATUS_SUCCESS;
    case TokenSessionId:
        SepPutValue(Answer, &Token->SessionId, sizeof(Token->SessionId));
        return STATUS_SUCCESS;
    default:
        return STATUS_INVALID_INFO_CLASS;
    }
}

/**
 * SeQueryInformationToken - asks about a token.
 *
 * @TokenInformationClass  TokenUser, Groups, Privileges, Owner, PrimaryGroup, DefaultDacl, Source, Type, ImpersonationLevel (of an
 *                         impersonation token), Statistics, SessionId, RestrictedSids, HasRestrictions
 * @TokenInformation       gets a buffer from paged pool, to be freed with ExFreePool
 * returns                 STATUS_SUCCESS, STATUS_INVALID_INFO_CLASS, STATUS_INSUFFICIENT_RESOURCES
 */
NTSTATUS NTAPI SeQueryInformationToken(PACCESS_TOKEN Token, TOKEN_INFORMATION_CLASS TokenInformationClass,
                                       PVOID *TokenInformation)
{
    SEP_ANSWER Answer = {.Buffer = NULL};
    PTOKEN Object = (PTOKEN)Token;
    NTSTATUS Status;

    SepLockToken(Object);
    Status = SepAnswer(Object, TokenInformationClass, &Answer);
    if (NT_SUCCESS(Status)) {
        Answer.Buffer = ExAllocatePoolWithTag(PagedPool, Answer.Bytes, SE_TAG_TOKEN);
        Status = (Answer.Buffer == NULL) ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
    }
    if (NT_SUCCESS(Status)) {
        Answer.Bytes = 0;
        SepAnswer(Object, TokenInformationClass, &Answer);
        *TokenInformation = Answer.Buffer;
    }
    SepUnlockToken(Object);
    return Status;
}

/* Writes one class if there is room; *Needed: the bytes of it. The lock is held for measuring and writing together. */
static NTSTATUS SepTell(PTOKEN Token, TOKEN_INFORMATION_CLASS Class, const EX_ANSWER *Out, PULONG Needed)
{
    SEP_ANSWER Answer = {.Buffer = NULL, .Bias = Out->Bias};
    NTSTATUS Status;

    SepLockToken(Token);
    Status = SepAnswer(Token, Class, &Answer);
    if (NT_SUCCESS(Status)) {
        *Needed = Answer.Bytes;
        if (Out->Length < Answer.Bytes) {
            Status = STATUS_BUFFER_TOO_SMALL;
        } else {
            Answer.Buffer = Out->Buffer;
            Answer.Bytes = 0;
            SepAnswer(Token, Class, &Answer);
        }
    }
    SepUnlockToken(Token);
    return Status;
}

/**
 * NtQueryInformationToken - asks about a token by handle.
 *
 * @TokenHandle   with TOKEN_QUERY, for TokenSource TOKEN_QUERY_SOURCE
 * @ReturnLength  gets the bytes written or needed
 * returns        STATUS_SUCCESS, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_INFO_CLASS, what the handle says
 */
NTSTATUS NTAPI NtQueryInformationToken(HANDLE TokenHandle, TOKEN_INFORMATION_CLASS TokenInformationClass,
                                       PVOID TokenInformation, ULONG TokenInformationLength, PULONG ReturnLength)
{
    ACCESS_MASK Access = (TokenInformationClass == TokenSource) ? TOKEN_QUERY_SOURCE : TOKEN_QUERY;
    PTOKEN Token;
    EX_ANSWER Out;
    ULONG Needed = 0;
    NTSTATUS Status;

    Status =
        ObReferenceObjectByHandle(TokenHandle, Access, SepTokenObjectType, ExGetPreviousMode(), (PVOID *)&Token, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ExBeginAnswer(&Out, TokenInformation, TokenInformationLength);
    if (NT_SUCCESS(Status)) {
        do {
            Status = SepTell(Token, TokenInformationClass, &Out, &Needed);
        } while (ExGrowAnswer(&Out, &Status, Needed));
        Status = ExEndAnswer(&Out, Status, Needed);
        if (Needed != 0 && !NT_SUCCESS(ExCopyToCaller(ReturnLength, &Needed, sizeof(Needed)))) {
            Status = STATUS_ACCESS_VIOLATION;
        }
    }
    ObDereferenceObject(Token);
    return Status;
}

/* A handle to a token that exists, in the right of the calling thread, or (AsSelf) of its process though it impersonates. */
static NTSTATUS SepOpenToken(PACCESS_TOKEN Token, ULONG Attributes, ACCESS_MASK DesiredAccess, BOOLEAN AsSelf,
                             PHANDLE TokenHandle)
{
    KPROCESSOR_MODE Mode = ExGetPreviousMode();
    HANDLE Opened = NULL;
    ACCESS_STATE State;
    SE_AUX_DATA Aux;
    NTSTATUS Status;

    if (Mode != KernelMode) {
        Attributes &= ~(ULONG)OBJ_KERNEL_HANDLE;
    }
    SeCreateAccessState(&State, &Aux, DesiredAccess, NULL);
    if (AsSelf) {
        PsDereferenceImpersonationToken(State.SubjectSecurityContext.ClientToken);
        State.SubjectSecurityContext.ClientToken = NULL;
    }
    Status = ObOpenObjectByPointer(Token, Attributes & OBJ_VALID_ATTRIBUTES, &State, DesiredAccess, SepTokenObjectType,
                                   Mode, &Opened);
    SeDeleteAccessState(&State);
    return ExReturnHandle(Status, Opened, TokenHandle);
}

/**
 * NtOpenProcessTokenEx - a handle to a process's token.
 *
 * @ProcessHandle  with PROCESS_QUERY_INFORMATION
 * returns         STATUS_SUCCESS, what the handles say
 */
NTSTATUS NTAPI NtOpenProcessTokenEx(HANDLE ProcessHandle, ACCESS_MASK DesiredAccess, ULONG HandleAttributes,
                                    PHANDLE TokenHandle)
{
    KPROCESSOR_MODE Mode = ExGetPreviousMode();
    PACCESS_TOKEN Token;
    PVOID Process;
    NTSTATUS Status;

    Status = ObReferenceObjectByHandle(ProcessHandle, SEP_QUERY_INFORMATION, *PsProcessType, Mode, &Process, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Token = PsReferencePrimaryToken(Process);
    Status = SepOpenToken(Token, HandleAttributes, DesiredAccess, FALSE, TokenHandle);
    ObDereferenceObject(Token);
    ObDereferenceObject(Process);
    return Status;
}

NTSTATUS NTAPI NtOpenProcessToken(HANDLE ProcessHandle, ACCESS_MASK DesiredAccess, PHANDLE TokenHandle)
{
    return NtOpenProcessTokenEx(ProcessHandle, DesiredAccess, 0, TokenHandle);
}

/**
 * NtOpenThreadTokenEx - a handle to the token of a thread that impersonates.
 *
 * @ThreadHandle  with THREAD_QUERY_INFORMATION
 * @OpenAsSelf    the check is against the process's token; it is the calling thread's identity that counts otherwise
 * returns        STATUS_SUCCESS; STATUS_NO_TOKEN: it acts for itself; STATUS_CANT_OPEN_ANONYMOUS; what the handles say
 */
NTSTATUS NTAPI NtOpenThreadTokenEx(HANDLE ThreadHandle, ACCESS_MASK DesiredAccess, BOOLEAN OpenAsSelf,
                                   ULONG HandleAttributes, PHANDLE TokenHandle)
{
    KPROCESSOR_MODE Mode = ExGetPreviousMode();
    SECURITY_IMPERSONATION_LEVEL Level;
    BOOLEAN CopyOnOpen, EffectiveOnly;
    PACCESS_TOKEN Token;
    PVOID Thread;
    NTSTATUS Status;

    Status = ObReferenceObjectByHandle(ThreadHandle, SEP_THREAD_QUERY_INFORMATION, *PsThreadType, Mode, &Thread, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Token = PsReferenceImpersonationToken(Thread, &CopyOnOpen, &EffectiveOnly, &Level);
    if (Token == NULL) {
        Status = STATUS_NO_TOKEN;
    } else if (Level == SecurityAnonymous) {
        Status = STATUS_CANT_OPEN_ANONYMOUS;
    } else {
        Status = SepOpenToken(Token, HandleAttributes, DesiredAccess, OpenAsSelf != FALSE, TokenHandle);
    }
    if (Token != NULL) {
        ObDereferenceObject(Token);
    }
    ObDereferenceObject(Thread);
    return Status;
}

NTSTATUS NTAPI NtOpenThreadToken(HANDLE ThreadHandle, ACCESS_MASK DesiredAccess, BOOLEAN OpenAsSelf,
                                 PHANDLE TokenHandle)
{
    return NtOpenThreadTokenEx(ThreadHandle, DesiredAccess, OpenAsSelf, 0, TokenHandle);
}

NTSTATUS NTAPI ZwQueryInformationToken(HANDLE TokenHandle, TOKEN_INFORMATION_CLASS TokenInformationClass,
                                       PVOID TokenInformation, ULONG TokenInformationLength, PULONG ReturnLength)
{
    EX_AS_KERNEL(NtQueryInformationToken(TokenHandle, TokenInformationClass, TokenInformation, TokenInformationLength,
                                         ReturnLength));
}

NTSTATUS NTAPI ZwOpenProcessTokenEx(HANDLE ProcessHandle, ACCESS_MASK DesiredAccess, ULONG HandleAttributes,
                                    PHANDLE TokenHandle)
{
    EX_AS_KERNEL(NtOpenProcessTokenEx(ProcessHandle, DesiredAccess, HandleAttributes, TokenHandle));
}

NTSTATUS NTAPI ZwOpenProcessToken(HANDLE ProcessHandle, ACCESS_MASK DesiredAccess, PHANDLE TokenHandle)
{
    EX_AS_KERNEL(NtOpenProcessTokenEx(ProcessHandle, DesiredAccess, 0, TokenHandle));
}

NTSTATUS NTAPI ZwOpenThreadTokenEx(HANDLE ThreadHandle, ACCESS_MASK DesiredAccess, BOOLEAN OpenAsSelf,
                                   ULONG HandleAttributes, PHANDLE TokenHandle)
{
    EX_AS_KERNEL(NtOpenThreadTokenEx(ThreadHandle, DesiredAccess, OpenAsSelf, HandleAttributes, TokenHandle));
}

NTSTATUS NTAPI ZwOpenThreadToken(HANDLE ThreadHandle, ACCESS_MASK DesiredAccess, BOOLEAN OpenAsSelf,
                                 PHANDLE TokenHandle)
{
    EX_AS_KERNEL(NtOpenThreadTokenEx(ThreadHandle, DesiredAccess, OpenAsSelf, 0, TokenHandle));
}
