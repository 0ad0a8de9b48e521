/*
 * subject.c - subjects: the tokens that count for what a thread does, and impersonation.
 *
 * A thread acts as its process (primary token) unless it impersonates a client; a subject context holds references on both tokens, taken
 * at one moment, so that an access check looks at one and the same identity from its beginning to its end.
 *
 * Locks: SepImpersonationLock (spin, DISPATCH_LEVEL) guards a thread's impersonation while others look at it. Locking a subject takes
 * its tokens' resources shared, in a critical region, the client's first. A process's token is constant
 * while the process runs (check.c).
 * Source: WDK documentation of SeCaptureSubjectContext, PsImpersonateClient and their relatives.
 */
#include "sep.h"

/* Macros of the DDK's headers; the routines are exported for those who call them. */
#undef PsDereferencePrimaryToken
#undef PsDereferenceImpersonationToken
VOID NTAPI PsDereferencePrimaryToken(PACCESS_TOKEN PrimaryToken);
VOID NTAPI PsDereferenceImpersonationToken(PACCESS_TOKEN ImpersonationToken);

static KSPIN_LOCK SepImpersonationLock; /* zero is a free lock */
VF_NAME_LOCK(SepImpersonationLock, "SepImpersonationLock");

/* ---- Tokens ---- */

VOID SepLockToken(PTOKEN Token)
{
    KeEnterCriticalRegion();
    ExAcquireResourceSharedLite(&Token->Lock, TRUE);
}

VOID SepUnlockToken(PTOKEN Token)
{
    ExReleaseResourceLite(&Token->Lock);
    KeLeaveCriticalRegion();
}

/**
 * PsReferencePrimaryToken - the token of a process.
 *
 * returns  the token, referenced: PsDereferencePrimaryToken
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
PACCESS_TOKEN NTAPI PsReferencePrimaryToken(PEPROCESS Process)
{
    PACCESS_TOKEN Token = (Process->Token != NULL) ? Process->Token : PsInitialSystemProcess->Token;

    ObReferenceObject(Token);
    return Token;
}

/* Gives a process a new token, which takes the old one's reference over: who was just reading the pointer finds it alive. */
VOID SepExchangeToken(PEPROCESS Process, PTOKEN Token)
{
    KIRQL Irql;

    KeAcquireSpinLock(&SepImpersonationLock, &Irql);
    Token->Replaced = Process->Token;
    Process->Token = Token;
    KeReleaseSpinLock(&SepImpersonationLock, Irql);
}

VOID NTAPI PsDereferencePrimaryToken(PACCESS_TOKEN PrimaryToken)
{
    ObDereferenceObject(PrimaryToken);
}

/**
 * PsReferenceImpersonationToken - the token of the client that a thread acts for.
 *
 * returns  the token, referenced (PsDereferenceImpersonationToken); NULL: it acts for itself, and nothing is written
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
PACCESS_TOKEN NTAPI PsReferenceImpersonationToken(PETHREAD Thread, PBOOLEAN CopyOnOpen, PBOOLEAN EffectiveOnly,
                                                  PSECURITY_IMPERSONATION_LEVEL ImpersonationLevel)
{
    PACCESS_TOKEN Token;
    KIRQL Irql;

    if (Thread->Impersonation.Token == NULL) {
        return NULL;
    }
    KeAcquireSpinLock(&SepImpersonationLock, &Irql);
    Token = Thread->Impersonation.Token;
    if (Token != NULL) {
        ObReferenceObject(Token);
        *CopyOnOpen = Thread->Impersonation.CopyOnOpen;
        *EffectiveOnly = Thread->Impersonation.EffectiveOnly;
        *ImpersonationLevel = Thread->Impersonation.Level;
    }
    KeReleaseSpinLock(&SepImpersonationLock, Irql);
    return Token;
}

VOID NTAPI PsDereferenceImpersonationToken(PACCESS_TOKEN ImpersonationToken)
{
    if (ImpersonationToken != NULL) {
        ObDereferenceObject(ImpersonationToken);
    }
}

/**
 * PsImpersonateClient - lets a thread act for a client, or for itself again.
 *
 * @Token               the client's; NULL: end the impersonation
 * @ImpersonationLevel  what servers may do with it; never above the token's own level
 * returns              STATUS_SUCCESS; STATUS_BAD_IMPERSONATION_LEVEL: an anonymous client
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI PsImpersonateClient(PETHREAD Thread, PACCESS_TOKEN Token, BOOLEAN CopyOnOpen, BOOLEAN EffectiveOnly,
                                   SECURITY_IMPERSONATION_LEVEL ImpersonationLevel)
{
    PACCESS_TOKEN Old;
    KIRQL Irql;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (Token != NULL) {
        if (((PTOKEN)Token)->Type == TokenImpersonation && ((PTOKEN)Token)->Level < ImpersonationLevel) {
            return STATUS_BAD_IMPERSONATION_LEVEL;
        }
        ObReferenceObject(Token);
    }
    KeAcquireSpinLock(&SepImpersonationLock, &Irql);
    Old = Thread->Impersonation.Token;
    Thread->Impersonation.Token = Token;
    Thread->Impersonation.CopyOnOpen = CopyOnOpen;
    Thread->Impersonation.EffectiveOnly = EffectiveOnly;
    Thread->Impersonation.Level = ImpersonationLevel;
    KeReleaseSpinLock(&SepImpersonationLock, Irql);
    if (Old != NULL) {
        ObDereferenceObject(Old);
    }
    return STATUS_SUCCESS;
}

/* The calling thread acts for itself again. IRQL: PASSIVE_LEVEL. */
VOID NTAPI PsRevertToSelf(VOID)
{
    if (PsGetCurrentThread()->Impersonation.Token != NULL) {
        PsImpersonateClient(PsGetCurrentThread(), NULL, FALSE, FALSE, SecurityAnonymous);
    }
}

BOOLEAN NTAPI PsIsThreadImpersonating(PETHREAD Thread)
{
    return Thread->Impersonation.Token != NULL;
}

/* ---- Subjects ---- */

/* The identity of a thread of a process at this moment; SeReleaseSubjectContext ends it. IRQL: <= APC_LEVEL. */
VOID NTAPI SeCaptureSubjectContextEx(PETHREAD Thread, PEPROCESS Process, PSECURITY_SUBJECT_CONTEXT SubjectContext)
{
    BOOLEAN CopyOnOpen, EffectiveOnly;

    SubjectContext->ClientToken = NULL;
    SubjectContext->ImpersonationLevel = SecurityAnonymous;
    if (Thread != NULL) {
        SubjectContext->ClientToken =
            PsReferenceImpersonationToken(Thread, &CopyOnOpen, &EffectiveOnly, &SubjectContext->ImpersonationLevel);
    }
    SubjectContext->PrimaryToken = PsReferencePrimaryToken(Process);
    SubjectContext->ProcessAuditId = PsGetProcessId(Process);
}

VOID NTAPI SeCaptureSubjectContext(PSECURITY_SUBJECT_CONTEXT SubjectContext)
{
    PETHREAD Thread = PsGetCurrentThread();

    SeCaptureSubjectContextEx(Thread, Thread->ThreadsProcess, SubjectContext);
}

/* Nothing of the subject's tokens changes until SeUnlockSubjectContext. IRQL: PASSIVE_LEVEL. */
VOID NTAPI SeLockSubjectContext(PSECURITY_SUBJECT_CONTEXT SubjectContext)
{
    if (SubjectContext->ClientToken != NULL) {
        SepLockToken((PTOKEN)SubjectContext->ClientToken);
    }
    SepLockToken((PTOKEN)SubjectContext->PrimaryToken);
}

VOID NTAPI SeUnlockSubjectContext(PSECURITY_SUBJECT_CONTEXT SubjectContext)
{
    SepUnlockToken((PTOKEN)SubjectContext->PrimaryToken);
    if (SubjectContext->ClientToken != NULL) {
        SepUnlockToken((PTOKEN)SubjectContext->ClientToken);
    }
}

VOID NTAPI SeReleaseSubjectContext(PSECURITY_SUBJECT_CONTEXT SubjectContext)
{
    PsDereferencePrimaryToken(SubjectContext->PrimaryToken);
    PsDereferenceImpersonationToken(SubjectContext->ClientToken);
    SubjectContext->PrimaryToken = NULL;
    SubjectContext->ClientToken = NULL;
}
