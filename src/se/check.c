/*
 * check.c - programs ask what somebody else may do: NtAccessCheck, NtPrivilegeCheck. And who may act for whom: the tokens that are given to
 * processes and threads.
 *
 * A server asks about a client by an impersonation token; the descriptor is one of the server's own, so that nothing of the kernel's is looked at.
 *
 * A process's token can be replaced until its first thread runs. The one before stays as long as the one that took its place, since who looks at a
 * process's token takes no lock. Locks: SepImpersonationLock over the exchange. IRQL: PASSIVE_LEVEL.
 * Source: Microsoft Learn, AccessCheck, PrivilegeCheck, SetThreadToken, "Client Impersonation".
 */
#include "sep.h"

#include <ntos/services.h>
#include <ntos/user.h>

/* A client's token by handle: with TOKEN_QUERY, for impersonation, and at least at the level of identification. */
static NTSTATUS SepReferenceClient(HANDLE Handle, PTOKEN *Token)
{
    NTSTATUS Status = SepReferenceToken(Handle, TOKEN_QUERY, Token);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if ((*Token)->Type != TokenImpersonation) {
        Status = STATUS_NO_IMPERSONATION_TOKEN;
    } else if ((*Token)->Level < SecurityIdentification) {
        Status = STATUS_BAD_IMPERSONATION_LEVEL;
    }
    if (!NT_SUCCESS(Status)) {
        ObDereferenceObject(*Token);
    }
    return Status;
}

/* A captured descriptor is fit for a check: it says who owns the object. */
static NTSTATUS SepCaptureForCheck(PSECURITY_DESCRIPTOR Source, PSECURITY_DESCRIPTOR *Copy)
{
    BOOLEAN Defaulted;
    PSID Owner = NULL, Group = NULL;
    NTSTATUS Status = (Source == NULL)
                          ? STATUS_ACCESS_VIOLATION
                          : SeCaptureSecurityDescriptor(Source, ExGetPreviousMode(), PagedPool, TRUE, Copy);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    RtlGetOwnerSecurityDescriptor(*Copy, &Owner, &Defaulted);
    RtlGetGroupSecurityDescriptor(*Copy, &Group, &Defaulted);
    if (Owner == NULL || Group == NULL) {
        SeReleaseSecurityDescriptor(*Copy, ExGetPreviousMode(), TRUE);
        return STATUS_INVALID_SECURITY_DESCR;
    }
    return STATUS_SUCCESS;
}

/* Room in the caller's privilege set for what a check used: only its header is asked for when there is nothing to tell. */
static NTSTATUS SepReturnUsed(PPRIVILEGE_SET Used, PPRIVILEGE_SET Place, PULONG Length)
{
    ULONG Given, Needed = FIELD_OFFSET(PRIVILEGE_SET, Privilege) +
                          (Used == NULL ? 1U : Used->PrivilegeCount) * (ULONG)sizeof(LUID_AND_ATTRIBUTES);
    static const PRIVILEGE_SET None;
    NTSTATUS Status = ExCopyFromCaller(&Given, Length, sizeof(Given));

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Given < Needed) {
        Status = ExCopyToCaller(Length, &Needed, sizeof(Needed));
        return NT_SUCCESS(Status) ? STATUS_BUFFER_TOO_SMALL : Status;
    }
    return ExCopyToCaller(Place, Used == NULL ? &None : Used, Needed);
}

/**
 * NtAccessCheck - what a client may do with an object of the caller's.
 *
 * @SecurityDescriptor  the object's, with owner and group
 * @ClientToken         for impersonation, with TOKEN_QUERY
 * @DesiredAccess       without generic rights; may be MAXIMUM_ALLOWED
 * @PrivilegeSet        gets the privileges that were used, @PrivilegeSetLength bytes there are (room for one at least), and needed
 * @GrantedAccess, @AccessStatus  the outcome, if the call itself succeeds
 * returns              STATUS_SUCCESS; STATUS_NO_IMPERSONATION_TOKEN; STATUS_BAD_IMPERSONATION_LEVEL; STATUS_INVALID_SECURITY_DESCR;
 *                      STATUS_GENERIC_NOT_MAPPED; STATUS_BUFFER_TOO_SMALL; what handle and pointers say
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtAccessCheck(PSECURITY_DESCRIPTOR SecurityDescriptor, HANDLE ClientToken, ACCESS_MASK DesiredAccess,
                             PGENERIC_MAPPING GenericMapping, PPRIVILEGE_SET PrivilegeSet, PULONG PrivilegeSetLength,
                             PACCESS_MASK GrantedAccess, PNTSTATUS AccessStatus)
{
    SECURITY_SUBJECT_CONTEXT Subject = {.ImpersonationLevel = SecurityImpersonation};
    PSECURITY_DESCRIPTOR Captured;
    GENERIC_MAPPING Mapping;
    PPRIVILEGE_SET Used = NULL;
    ACCESS_MASK Granted = 0;
    PTOKEN Client;
    NTSTATUS Decision = STATUS_ACCESS_DENIED, Status = ExCopyFromCaller(&Mapping, GenericMapping, sizeof(Mapping));

    if (NT_SUCCESS(Status) && (DesiredAccess & (GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE | GENERIC_ALL)) != 0) {
        Status = STATUS_GENERIC_NOT_MAPPED;
    }
    if (NT_SUCCESS(Status)) {
        Status = SepReferenceClient(ClientToken, &Client);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = SepCaptureForCheck(SecurityDescriptor, &Captured);
    if (NT_SUCCESS(Status)) {
        Subject.ClientToken = Client;
        Subject.PrimaryToken = PsReferencePrimaryToken(PsGetCurrentProcess());
        SeAccessCheck(Captured, &Subject, FALSE, DesiredAccess, 0, &Used, &Mapping, UserMode, &Granted, &Decision);
        PsDereferencePrimaryToken(Subject.PrimaryToken);
        SeReleaseSecurityDescriptor(Captured, ExGetPreviousMode(), TRUE);
        Status = SepReturnUsed(Used, PrivilegeSet, PrivilegeSetLength);
        if (Used != NULL) {
            SeFreePrivileges(Used);
        }
    }
    ObDereferenceObject(Client);
    Status = ExReturnValue(Status, GrantedAccess, &Granted, sizeof(Granted));
    return ExReturnValue(Status, AccessStatus, &Decision, sizeof(Decision));
}

/**
 * NtPrivilegeCheck - does a token hold privileges?
 *
 * @ClientToken         with TOKEN_QUERY; one for impersonation at least at the level of identification
 * @RequiredPrivileges  which, and whether all of them or one; those held are marked SE_PRIVILEGE_USED_FOR_ACCESS
 * @Result              gets the answer
 * returns              STATUS_SUCCESS; STATUS_BAD_IMPERSONATION_LEVEL; STATUS_INVALID_PARAMETER: too many; what handle and pointers say
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtPrivilegeCheck(HANDLE ClientToken, PPRIVILEGE_SET RequiredPrivileges, PBOOLEAN Result)
{
    ULONG Head[2], Bytes; /* count and control */
    PPRIVILEGE_SET Set;
    BOOLEAN Held;
    PTOKEN Token;
    NTSTATUS Status = ExCopyFromCaller(Head, RequiredPrivileges, sizeof(Head));

    if (NT_SUCCESS(Status) && Head[0] > SE_MOST_GROUPS) {
        Status = STATUS_INVALID_PARAMETER;
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Bytes = FIELD_OFFSET(PRIVILEGE_SET, Privilege) + Head[0] * (ULONG)sizeof(LUID_AND_ATTRIBUTES);
    Set = ExAllocatePoolWithTag(PagedPool, Bytes, SE_TAG_PRIVILEGES);
    if (Set == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = ExCopyFromCaller(Set, RequiredPrivileges, Bytes);
    Set->PrivilegeCount = Head[0]; /* whatever it says now */
    if (NT_SUCCESS(Status)) {
        Status = SepReferenceToken(ClientToken, TOKEN_QUERY, &Token);
    }
    if (NT_SUCCESS(Status)) {
        if (Token->Type == TokenImpersonation && Token->Level < SecurityIdentification) {
            Status = STATUS_BAD_IMPERSONATION_LEVEL;
        } else {
            SepLockToken(Token);
            Held = SepTokenPrivilegeCheck(Token, Set);
            SepUnlockToken(Token);
            Status = ExCopyToCaller(RequiredPrivileges->Privilege, Set->Privilege,
                                    Bytes - FIELD_OFFSET(PRIVILEGE_SET, Privilege));
            Status = ExReturnValue(Status, Result, &Held, sizeof(Held));
        }
        ObDereferenceObject(Token);
    }
    ExFreePoolWithTag(Set, SE_TAG_PRIVILEGES);
    return Status;
}

/* ---- Who acts for whom ---- */

/* A token that somebody made of his own by filtering it can do nothing that he could not. */
static BOOLEAN SepIsFilteredFromOwn(PTOKEN Token)
{
    PTOKEN Own = PsReferencePrimaryToken(PsGetCurrentProcess());
    BOOLEAN Same = RtlEqualLuid(&Token->ParentTokenId, &Own->TokenId);

    PsDereferencePrimaryToken(Own);
    return Same;
}

NTSTATUS SeAssignPrimaryToken(PEPROCESS Process, HANDLE Handle)
{
    PTOKEN Token;
    NTSTATUS Status = SepReferenceToken(Handle, TOKEN_ASSIGN_PRIMARY, &Token);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (!SepIsFilteredFromOwn(Token) &&
        !SeSinglePrivilegeCheck(SepExports.SeAssignPrimaryTokenPrivilege, ExGetPreviousMode())) {
        Status = STATUS_PRIVILEGE_NOT_HELD;
    } else if (Token->Type != TokenPrimary) {
        Status = STATUS_BAD_TOKEN_TYPE;
    } else if (Process->TokenFrozen) {
        Status = STATUS_NOT_SUPPORTED;
    } else if (InterlockedCompareExchange(&Token->InUse, TRUE, FALSE) != FALSE) {
        Status = STATUS_TOKEN_ALREADY_IN_USE;
    }
    if (!NT_SUCCESS(Status)) {
        ObDereferenceObject(Token);
        return Status;
    }
    SepExchangeToken(Process, Token); /* the reference is the process's */
    return STATUS_SUCCESS;
}

/* A process without SeImpersonatePrivilege may act for its own user; others it can only look at. What a thread acts for now does not count. */
static BOOLEAN SepMayImpersonate(PEPROCESS Process, PTOKEN Token)
{
    PTOKEN Own = PsReferencePrimaryToken(Process);
    BOOLEAN May;

    SepLockToken(Own);
    May = SepHasPrivilege(Own, SepExports.SeImpersonatePrivilege) ||
          (RtlEqualSid(Own->Sids[0].Sid, Token->Sids[0].Sid) &&
           (Own->RestrictedCount == 0 || Token->RestrictedCount != 0));
    SepUnlockToken(Own);
    PsDereferencePrimaryToken(Own);
    return May;
}

NTSTATUS SeAssignImpersonationToken(PETHREAD Thread, HANDLE Handle)
{
    SECURITY_IMPERSONATION_LEVEL Level;
    PTOKEN Token;
    NTSTATUS Status;

    if (Handle == NULL) {
        return PsImpersonateClient(Thread, NULL, FALSE, FALSE, SecurityAnonymous);
    }
    Status = SepReferenceToken(Handle, TOKEN_IMPERSONATE, &Token);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Token->Type != TokenImpersonation) {
        Status = STATUS_BAD_TOKEN_TYPE;
    } else {
        Level =
            SepMayImpersonate(Thread->ThreadsProcess, Token) ? Token->Level : min(Token->Level, SecurityIdentification);
        Status = PsImpersonateClient(Thread, Token, FALSE, FALSE, Level);
    }
    ObDereferenceObject(Token);
    return Status;
}

PVOID SeProcessDefaults(PVOID Process)
{
    return PsReferencePrimaryToken(Process);
}

PVOID SeThreadDefaults(PVOID Thread)
{
    return PsReferencePrimaryToken(((PETHREAD)Thread)->ThreadsProcess);
}
