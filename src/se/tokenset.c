/*
 * tokenset.c - what of a token can be changed: its defaults for new objects (NtSetInformationToken), and which groups are enabled
 * (NtAdjustGroupsToken).
 *
 * The wish is captured first, then done under the token's lock as a whole or not at all. Lock: the token's, exclusive. IRQL: PASSIVE_LEVEL.
 * Source: Microsoft Learn, SetTokenInformation, AdjustTokenGroups; ntifs.h.
 */
#include "sep.h"

#include <ntos/ex.h>
#include <ntos/user.h>

static VOID SepLockExclusive(PTOKEN Token)
{
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&Token->Lock, TRUE);
}

/* ---- Defaults ---- */

static NTSTATUS SepSetOwner(PTOKEN Token, PSID Sid)
{
    if (!SepMayOwn(Token, Sid)) {
        return STATUS_INVALID_OWNER;
    }
    Token->OwnerIndex = SepFindSid(Token, Sid);
    return STATUS_SUCCESS;
}

static NTSTATUS SepSetPrimaryGroup(PTOKEN Token, PSID Sid)
{
    ULONG Index = SepFindSid(Token, Sid);

    if (Index == Token->SidCount) {
        return STATUS_INVALID_PRIMARY_GROUP;
    }
    Token->GroupIndex = Index;
    return STATUS_SUCCESS;
}

/* The new default DACL, NULL: none. *Rest: what is to be freed without the lock. */
static NTSTATUS SepSetDefaultDacl(PTOKEN Token, PACL Captured, PVOID *Rest)
{
    PVOID Own = (Captured == NULL) ? NULL : ExAllocatePoolWithTag(NonPagedPool, Captured->AclSize, SE_TAG_TOKEN);

    if (Captured != NULL && Own == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    if (Own != NULL) {
        RtlCopyMemory(Own, Captured, Captured->AclSize);
    }
    *Rest = Token->OwnDacl;
    Token->OwnDacl = Own;
    Token->DefaultDacl = Own;
    return STATUS_SUCCESS;
}

static NTSTATUS SepSet(PTOKEN Token, TOKEN_INFORMATION_CLASS Class, PVOID Captured)
{
    PVOID Rest = NULL;
    NTSTATUS Status;

    SepLockExclusive(Token);
    if (Class == TokenOwner) {
        Status = SepSetOwner(Token, Captured);
    } else if (Class == TokenPrimaryGroup) {
        Status = SepSetPrimaryGroup(Token, Captured);
    } else {
        Status = SepSetDefaultDacl(Token, Captured, &Rest);
    }
    if (NT_SUCCESS(Status)) {
        ExAllocateLuid(&Token->ModifiedId);
    }
    SepUnlockToken(Token);
    if (Rest != NULL) {
        ExFreePoolWithTag(Rest, SE_TAG_TOKEN);
    }
    return Status;
}

/**
 * NtSetInformationToken - sets what new objects of a token get.
 *
 * @TokenHandle  with TOKEN_ADJUST_DEFAULT
 * @Class        TokenOwner, TokenPrimaryGroup or TokenDefaultDacl (a pointer of NULL: none, so that everybody has access)
 * returns       STATUS_SUCCESS; STATUS_INVALID_INFO_CLASS; STATUS_INFO_LENGTH_MISMATCH; STATUS_INVALID_OWNER;
 *               STATUS_INVALID_PRIMARY_GROUP; STATUS_INVALID_SID; STATUS_INVALID_ACL; what handle and pointers say
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtSetInformationToken(HANDLE TokenHandle, TOKEN_INFORMATION_CLASS Class, PVOID Information, ULONG Length)
{
    PVOID Pointer, Captured = NULL;
    PTOKEN Token;
    NTSTATUS Status;

    C_ASSERT(sizeof(TOKEN_OWNER) == sizeof(PVOID) && sizeof(TOKEN_DEFAULT_DACL) == sizeof(PVOID));
    if (Class != TokenOwner && Class != TokenPrimaryGroup && Class != TokenDefaultDacl) {
        return STATUS_INVALID_INFO_CLASS;
    }
    if (Length < sizeof(PVOID)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Status = ExCopyFromCaller(&Pointer, Information, sizeof(Pointer));
    if (NT_SUCCESS(Status) && Class != TokenDefaultDacl) {
        Status = SepCaptureSid(Pointer, &Captured);
    } else if (NT_SUCCESS(Status) && Pointer != NULL) {
        Status = SepCaptureAcl(Pointer, (PACL *)&Captured);
    }
    if (NT_SUCCESS(Status)) {
        Status = SepReferenceToken(TokenHandle, TOKEN_ADJUST_DEFAULT, &Token);
    }
    if (NT_SUCCESS(Status)) {
        Status = SepSet(Token, Class, Captured);
        ObDereferenceObject(Token);
    }
    SepFree(Captured);
    return Status;
}

/* ---- Groups ---- */

/* The wish, and the old attributes of what it changes. */
typedef struct _SEP_GROUP_WISH {
    BOOLEAN Reset;
    ULONG Count;
    PSID_AND_ATTRIBUTES Groups;
    ULONG ChangedCount, ChangedBytes;
} SEP_GROUP_WISH, *PSEP_GROUP_WISH;

/* The attributes that a group is to have; FALSE: it stays as it is. */
static BOOLEAN SepWishFor(const SEP_GROUP_WISH *Wish, const SID_AND_ATTRIBUTES *Group, PULONG Attributes)
{
    ULONG New = 0;
    BOOLEAN Named = Wish->Reset;

    if (Wish->Reset) {
        New = ((Group->Attributes & SE_GROUP_ENABLED_BY_DEFAULT) != 0) ? SE_GROUP_ENABLED : 0;
    }
    for (ULONG Index = 0; !Named && Index < Wish->Count; Index++) {
        if (RtlEqualSid(Wish->Groups[Index].Sid, Group->Sid)) {
            New = Wish->Groups[Index].Attributes & SE_GROUP_ENABLED;
            Named = TRUE;
        }
    }
    *Attributes = (Group->Attributes & ~SE_GROUP_ENABLED) | New;
    return Named && *Attributes != Group->Attributes;
}

/*
 * Looks at every group: what would change is counted, with the bytes of the old state. STATUS_CANT_DISABLE_MANDATORY,
 * STATUS_CANT_ENABLE_DENY_ONLY, or STATUS_NOT_ALL_ASSIGNED (a success). Lock held.
 */
static NTSTATUS SepMeasureGroups(PTOKEN Token, PSEP_GROUP_WISH Wish)
{
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG Attributes;

    Wish->ChangedCount = 0;
    Wish->ChangedBytes = FIELD_OFFSET(TOKEN_GROUPS, Groups);
    for (ULONG Index = 1; Index < Token->SidCount; Index++) {
        PSID_AND_ATTRIBUTES Group = &Token->Sids[Index];

        if (!SepWishFor(Wish, Group, &Attributes)) {
            continue;
        }
        if ((Group->Attributes & SE_GROUP_MANDATORY) != 0) {
            return STATUS_CANT_DISABLE_MANDATORY;
        }
        if ((Group->Attributes & SE_GROUP_USE_FOR_DENY_ONLY) != 0) {
            return STATUS_CANT_ENABLE_DENY_ONLY;
        }
        Wish->ChangedCount++;
        Wish->ChangedBytes += sizeof(SID_AND_ATTRIBUTES) + ((RtlLengthSid(Group->Sid) + 7U) & ~7U);
    }
    for (ULONG Index = 0; !Wish->Reset && Index < Wish->Count; Index++) {
        ULONG Place = SepFindSid(Token, Wish->Groups[Index].Sid);

        Status = (Place == 0 || Place == Token->SidCount) ? STATUS_NOT_ALL_ASSIGNED : Status;
    }
    return Status;
}

/* Writes the old state of what changes to Out (NULL: nowhere), as it is to stand at Bias bytes more. Lock held; Apply: and changes it. */
static VOID SepChangeGroups(PTOKEN Token, const SEP_GROUP_WISH *Wish, PTOKEN_GROUPS Out, ULONG64 Bias, BOOLEAN Apply)
{
    PUCHAR Place = (Out == NULL) ? NULL : (PUCHAR)&Out->Groups[Wish->ChangedCount];
    ULONG Attributes, Done = 0;

    for (ULONG Index = 1; Index < Token->SidCount; Index++) {
        PSID_AND_ATTRIBUTES Group = &Token->Sids[Index];

        if (!SepWishFor(Wish, Group, &Attributes)) {
            continue;
        }
        if (Out != NULL) {
            ULONG Bytes = RtlLengthSid(Group->Sid);

            Out->GroupCount = ++Done;
            Out->Groups[Done - 1].Attributes = Group->Attributes;
            Out->Groups[Done - 1].Sid = (PSID)((ULONG64)Place + Bias);
            RtlCopyMemory(Place, Group->Sid, Bytes);
            Place += (Bytes + 7U) & ~7U;
        }
        if (Apply) {
            Group->Attributes = Attributes;
        }
    }
}

/* All of it with the lock held, so that the old state is that of the change. Out NULL: not wanted. */
static NTSTATUS SepAdjustGroups(PTOKEN Token, PSEP_GROUP_WISH Wish, PTOKEN_GROUPS Out, ULONG Room, ULONG64 Bias)
{
    NTSTATUS Status;

    SepLockExclusive(Token);
    Status = SepMeasureGroups(Token, Wish);
    if (NT_SUCCESS(Status) && Out != NULL && Room < Wish->ChangedBytes) {
        Status = STATUS_BUFFER_TOO_SMALL;
    }
    if (NT_SUCCESS(Status)) {
        if (Out != NULL) {
            Out->GroupCount = 0;
        }
        SepChangeGroups(Token, Wish, Out, Bias, TRUE);
        if (Wish->ChangedCount != 0) {
            ExAllocateLuid(&Token->ModifiedId);
        }
    }
    SepUnlockToken(Token);
    return Status;
}

/* With the old state wanted: built in a buffer of the kernel's, which grows as it needs to. */
static NTSTATUS SepAdjustAndTell(PTOKEN Token, PSEP_GROUP_WISH Wish, PTOKEN_GROUPS PreviousState, ULONG Length,
                                 PULONG ReturnLength)
{
    EX_ANSWER Answer;
    NTSTATUS Status = ExBeginAnswer(&Answer, PreviousState, Length);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    do {
        Status = SepAdjustGroups(Token, Wish, Answer.Buffer, Answer.Length, Answer.Bias);
    } while (ExGrowAnswer(&Answer, &Status, Wish->ChangedBytes));
    Status = ExEndAnswer(&Answer, Status, Wish->ChangedBytes);
    if ((NT_SUCCESS(Status) || Status == STATUS_BUFFER_TOO_SMALL) && ReturnLength != NULL &&
        !NT_SUCCESS(ExCopyToCaller(ReturnLength, &Wish->ChangedBytes, sizeof(ULONG)))) {
        Status = STATUS_ACCESS_VIOLATION;
    }
    return Status;
}

/**
 * NtAdjustGroupsToken - enables and disables groups of a token.
 *
 * @TokenHandle     with TOKEN_ADJUST_GROUPS, and TOKEN_QUERY if the previous state is wanted
 * @ResetToDefault  every group as it is by default; @NewState is not looked at then
 * @NewState        groups with SE_GROUP_ENABLED or 0
 * @PreviousState   gets what was changed with its old attributes; may be NULL
 * returns          STATUS_SUCCESS; STATUS_NOT_ALL_ASSIGNED (a success: some groups are not the token's); STATUS_CANT_DISABLE_MANDATORY and
 *                  STATUS_CANT_ENABLE_DENY_ONLY (nothing was changed); STATUS_BUFFER_TOO_SMALL (likewise); what handle and pointers say
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtAdjustGroupsToken(HANDLE TokenHandle, BOOLEAN ResetToDefault, PTOKEN_GROUPS NewState,
                                   ULONG BufferLength, PTOKEN_GROUPS PreviousState, PULONG ReturnLength)
{
    ACCESS_MASK Access = TOKEN_ADJUST_GROUPS | (PreviousState != NULL ? TOKEN_QUERY : 0);
    SEP_GROUP_WISH Wish = {.Reset = ResetToDefault != FALSE};
    PTOKEN Token;
    NTSTATUS Status = STATUS_SUCCESS;

    if (!Wish.Reset) {
        Status = (NewState == NULL) ? STATUS_INVALID_PARAMETER : SepCaptureGroups(NewState, &Wish.Count, &Wish.Groups);
    }
    if (NT_SUCCESS(Status)) {
        Status = SepReferenceToken(TokenHandle, Access, &Token);
    }
    if (NT_SUCCESS(Status)) {
        Status = (PreviousState == NULL) ? SepAdjustGroups(Token, &Wish, NULL, 0, 0)
                                         : SepAdjustAndTell(Token, &Wish, PreviousState, BufferLength, ReturnLength);
        ObDereferenceObject(Token);
    }
    SepFree(Wish.Groups);
    return Status;
}
