/*
 * adjust.c - NtAdjustPrivilegesToken: privileges of a token switched on, off, or removed for good.
 *
 * The wish is copied before the token's lock is taken; what was changed is collected under the lock, and copied out after it. A privilege that
 * the token does not have cannot be given to it. A removed privilege keeps its place with no attributes: it can never be enabled again.
 *
 * Lock: the token's, exclusive. IRQL: PASSIVE_LEVEL. Source: Microsoft Learn, AdjustTokenPrivileges; ntifs.h.
 */
#include "sep.h"

#include <ntos/ex.h>
#include <ntos/user.h>

#define SEP_MOST_PRIVILEGES 64U /* in one wish: more than there are */

/* One call's work: the wish, and what the token said before. */
typedef struct _SEP_ADJUSTMENT {
    ULONG Count;
    LUID_AND_ATTRIBUTES Wish[SEP_MOST_PRIVILEGES];
    ULONG ChangedCount;
    LUID_AND_ATTRIBUTES Changed[SEP_MOST_PRIVILEGES];
} SEP_ADJUSTMENT, *PSEP_ADJUSTMENT;

static ULONG SepStateBytes(ULONG Count)
{
    return FIELD_OFFSET(TOKEN_PRIVILEGES, Privileges) + Count * (ULONG)sizeof(LUID_AND_ATTRIBUTES);
}

static NTSTATUS SepCaptureWish(PSEP_ADJUSTMENT Work, const TOKEN_PRIVILEGES *NewState)
{
    NTSTATUS Status = ExCopyFromCaller(&Work->Count, &NewState->PrivilegeCount, sizeof(Work->Count));

    if (NT_SUCCESS(Status) && Work->Count > SEP_MOST_PRIVILEGES) {
        Status = STATUS_INVALID_PARAMETER;
    }
    return NT_SUCCESS(Status) ? ExCopyFromCaller(Work->Wish, NewState->Privileges, Work->Count * sizeof(Work->Wish[0]))
                              : Status;
}

/* The token's entry of a privilege that can be adjusted; NULL: it has none. Lock held. */
static PLUID_AND_ATTRIBUTES SepFindPrivilege(PTOKEN Token, LUID Privilege)
{
    for (ULONG Index = 0; Index < Token->PrivilegeCount; Index++) {
        if (RtlEqualLuid(&Token->Privileges[Index].Luid, &Privilege)) {
            return (Token->Privileges[Index].Attributes & SE_PRIVILEGE_REMOVED) != 0 ? NULL : &Token->Privileges[Index];
        }
    }
    return NULL;
}

/* Gives one entry new attributes, noting the old if they differ. Lock held exclusive; Apply FALSE: only noted. */
static VOID SepAdjustOne(PSEP_ADJUSTMENT Work, PLUID_AND_ATTRIBUTES Entry, ULONG Attributes, BOOLEAN Apply)
{
    ULONG New = (Attributes & SE_PRIVILEGE_REMOVED) != 0
                    ? SE_PRIVILEGE_REMOVED
                    : (Entry->Attributes & ~(ULONG)SE_PRIVILEGE_ENABLED) | (Attributes & SE_PRIVILEGE_ENABLED);

    if (New == Entry->Attributes) {
        return;
    }
    if (Work->ChangedCount < SEP_MOST_PRIVILEGES) {
        Work->Changed[Work->ChangedCount++] = *Entry;
    }
    if (Apply) {
        Entry->Attributes = New;
    }
}

/* Goes through the wish, or through all privileges to disable them. STATUS_NOT_ALL_ASSIGNED: some are not the token's. */
static NTSTATUS SepAdjust(PTOKEN Token, PSEP_ADJUSTMENT Work, BOOLEAN DisableAll, BOOLEAN Apply)
{
    NTSTATUS Status = STATUS_SUCCESS;

    Work->ChangedCount = 0;
    for (ULONG Index = 0; DisableAll && Index < Token->PrivilegeCount; Index++) {
        if ((Token->Privileges[Index].Attributes & SE_PRIVILEGE_REMOVED) == 0) {
            SepAdjustOne(Work, &Token->Privileges[Index], 0, Apply);
        }
    }
    for (ULONG Index = 0; !DisableAll && Index < Work->Count; Index++) {
        PLUID_AND_ATTRIBUTES Entry = SepFindPrivilege(Token, Work->Wish[Index].Luid);

        if (Entry == NULL) {
            Status = STATUS_NOT_ALL_ASSIGNED;
        } else {
            SepAdjustOne(Work, Entry, Work->Wish[Index].Attributes, Apply);
        }
    }
    return Status;
}

/* Under the lock: measured first if the old state is wanted, so that nothing is changed when it does not fit. */
static NTSTATUS SepAdjustToken(PTOKEN Token, PSEP_ADJUSTMENT Work, BOOLEAN DisableAll, BOOLEAN Measure, ULONG Room)
{
    NTSTATUS Status = STATUS_SUCCESS;

    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&Token->Lock, TRUE);
    if (Measure) {
        SepAdjust(Token, Work, DisableAll, FALSE);
        Status = SepStateBytes(Work->ChangedCount) > Room ? STATUS_BUFFER_TOO_SMALL : STATUS_SUCCESS;
    }
    if (NT_SUCCESS(Status)) {
        Status = SepAdjust(Token, Work, DisableAll, TRUE);
        if (Work->ChangedCount != 0) {
            ExAllocateLuid(&Token->ModifiedId);
        }
    }
    ExReleaseResourceLite(&Token->Lock);
    KeLeaveCriticalRegion();
    return Status;
}

static NTSTATUS SepReturnState(const SEP_ADJUSTMENT *Work, PTOKEN_PRIVILEGES State, PULONG ReturnLength)
{
    ULONG Bytes = SepStateBytes(Work->ChangedCount);
    NTSTATUS Status = ExCopyToCaller(&State->PrivilegeCount, &Work->ChangedCount, sizeof(ULONG));

    if (NT_SUCCESS(Status)) {
        Status = ExCopyToCaller(State->Privileges, Work->Changed, Work->ChangedCount * sizeof(Work->Changed[0]));
    }
    return ExReturnValue(Status, ReturnLength, &Bytes, sizeof(Bytes));
}

/**
 * NtAdjustPrivilegesToken - enables, disables or removes privileges of a token.
 *
 * @TokenHandle    with TOKEN_ADJUST_PRIVILEGES, and TOKEN_QUERY if the previous state is wanted
 * @NewState       the privileges with SE_PRIVILEGE_ENABLED, _REMOVED or 0; not looked at if DisableAllPrivileges
 * @BufferLength   bytes at @PreviousState, which gets what was changed with its old attributes; may be NULL
 * @ReturnLength   gets the bytes of that; may be NULL
 * returns         STATUS_SUCCESS; STATUS_NOT_ALL_ASSIGNED (a success: some privileges are not the token's); STATUS_BUFFER_TOO_SMALL (nothing
 *                 was changed); STATUS_INVALID_PARAMETER; STATUS_INSUFFICIENT_RESOURCES; what the handle and the pointers say
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtAdjustPrivilegesToken(HANDLE TokenHandle, BOOLEAN DisableAllPrivileges, PTOKEN_PRIVILEGES NewState,
                                       ULONG BufferLength, PTOKEN_PRIVILEGES PreviousState, PULONG ReturnLength)
{
    ACCESS_MASK Access = TOKEN_ADJUST_PRIVILEGES | (PreviousState != NULL ? TOKEN_QUERY : 0);
    PSEP_ADJUSTMENT Work = ExAllocatePoolWithTag(PagedPool, sizeof(*Work), SE_TAG_PRIVILEGES);
    PTOKEN Token;
    NTSTATUS Status = Work == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (!DisableAllPrivileges) {
        Status = SepCaptureWish(Work, NewState);
    }
    if (NT_SUCCESS(Status)) {
        Status = ObReferenceObjectByHandle(TokenHandle, Access, SepTokenObjectType, ExGetPreviousMode(),
                                           (PVOID *)&Token, NULL);
    }
    if (NT_SUCCESS(Status)) {
        Status = SepAdjustToken(Token, Work, DisableAllPrivileges != FALSE, PreviousState != NULL, BufferLength);
        ObDereferenceObject(Token);
        if (NT_SUCCESS(Status) && PreviousState != NULL) {
            NTSTATUS Told = SepReturnState(Work, PreviousState, ReturnLength);

            Status = NT_SUCCESS(Told) ? Status : Told;
        }
    }
    ExFreePoolWithTag(Work, SE_TAG_PRIVILEGES);
    return Status;
}
