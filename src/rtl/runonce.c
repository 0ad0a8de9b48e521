/*
 * runonce.c - doing something once, whoever comes first.
 *
 * The word holds its state in its two low bits: 0 nobody began, 1 somebody is at it (the rest of the word is a list of those who wait), 3
 * asynchronous attempts are under way, 2 done, the rest of the word being the caller's context (whose low bits are 0). Waiters
 * link themselves by blocks on their stacks and are woken by whoever completes or fails; a failure lets one of them try.
 *
 * Built for the kernel and for ntdll.dll. IRQL: <= APC_LEVEL (it may wait). Locks: none. Source: documentation of RtlRunOnceBeginInitialize.
 */
#include "wake.h"

#define RTLP_ONCE_IDLE  0ULL
#define RTLP_ONCE_BUSY  1ULL
#define RTLP_ONCE_DONE  2ULL
#define RTLP_ONCE_ASYNC 3ULL
#define RTLP_ONCE_BITS  3ULL
C_ASSERT(RTLP_ONCE_BITS == (1ULL << RTL_RUN_ONCE_CTX_RESERVED_BITS) - 1);

typedef struct _RTLP_ONCE_WAITER {
    ULONG_PTR Next; /* address of another waiter, 0: none */
    RTLP_WAKE Wake;
} RTLP_ONCE_WAITER, *PRTLP_ONCE_WAITER;

static ULONG_PTR RtlpSwapOnce(PRTL_RUN_ONCE RunOnce, ULONG_PTR New, ULONG_PTR Old)
{
    return (ULONG_PTR)InterlockedCompareExchangePointer(&RunOnce->Ptr, (PVOID)New, (PVOID)Old);
}

VOID NTAPI RtlRunOnceInitialize(PRTL_RUN_ONCE RunOnce)
{
    RunOnce->Ptr = NULL;
}

/* Waits for whoever is at it; returns when the word may have changed. */
static VOID RtlpWaitOnce(PRTL_RUN_ONCE RunOnce, ULONG_PTR Seen)
{
    RTLP_ONCE_WAITER Waiter __attribute__((aligned(8)));

    Waiter.Next = Seen & ~RTLP_ONCE_BITS;
    RtlpInitializeWake(&Waiter.Wake);
    if (RtlpSwapOnce(RunOnce, (ULONG_PTR)&Waiter | RTLP_ONCE_BUSY, Seen) == Seen) {
        RtlpWaitForWake(&Waiter.Wake, NULL);
    }
}

/**
 * RtlRunOnceBeginInitialize - asks whether the caller is to do it.
 *
 * @Flags    RTL_RUN_ONCE_CHECK_ONLY: never begins; RTL_RUN_ONCE_ASYNC: several may try, the first to complete wins
 * @Context  gets what the completing caller left, once it is done; may be NULL
 * returns   STATUS_SUCCESS: it is done; STATUS_PENDING: the caller does it and calls RtlRunOnceComplete; STATUS_UNSUCCESSFUL
 *           (CHECK_ONLY: not done); STATUS_INVALID_PARAMETER (flags, or synchronous and asynchronous mixed)
 */
NTSTATUS NTAPI RtlRunOnceBeginInitialize(PRTL_RUN_ONCE RunOnce, ULONG Flags, PVOID *Context)
{
    if ((Flags & ~(RTL_RUN_ONCE_CHECK_ONLY | RTL_RUN_ONCE_ASYNC)) != 0 ||
        Flags == (RTL_RUN_ONCE_CHECK_ONLY | RTL_RUN_ONCE_ASYNC)) {
        return STATUS_INVALID_PARAMETER;
    }
    for (;;) {
        ULONG_PTR Seen = (ULONG_PTR)InterlockedCompareExchangePointer(&RunOnce->Ptr, NULL, NULL);
        ULONG_PTR Begun = ((Flags & RTL_RUN_ONCE_ASYNC) != 0) ? RTLP_ONCE_ASYNC : RTLP_ONCE_BUSY;

        if ((Seen & RTLP_ONCE_BITS) == RTLP_ONCE_DONE) {
            if (Context != NULL) {
                *Context = (PVOID)(Seen & ~RTLP_ONCE_BITS);
            }
            return STATUS_SUCCESS;
        }
        if ((Flags & RTL_RUN_ONCE_CHECK_ONLY) != 0) {
            return STATUS_UNSUCCESSFUL;
        }
        if (Seen == RTLP_ONCE_IDLE) {
            if (RtlpSwapOnce(RunOnce, Begun, Seen) == Seen) {
                return STATUS_PENDING;
            }
        } else if ((Seen & RTLP_ONCE_BITS) != Begun) {
            return STATUS_INVALID_PARAMETER;
        } else if (Begun == RTLP_ONCE_ASYNC) {
            return STATUS_PENDING;
        } else {
            RtlpWaitOnce(RunOnce, Seen);
        }
    }
}

/**
 * RtlRunOnceComplete - says how the attempt ended.
 *
 * @Flags    RTL_RUN_ONCE_INIT_FAILED: it failed, another may try; RTL_RUN_ONCE_ASYNC: it was begun so
 * @Context  for all later callers; its two low bits are 0
 * returns   STATUS_SUCCESS; STATUS_OBJECT_NAME_COLLISION (another asynchronous attempt was first); STATUS_INVALID_PARAMETER;
 *           STATUS_UNSUCCESSFUL (nothing was begun)
 */
NTSTATUS NTAPI RtlRunOnceComplete(PRTL_RUN_ONCE RunOnce, ULONG Flags, PVOID Context)
{
    BOOLEAN Failed = (Flags & RTL_RUN_ONCE_INIT_FAILED) != 0, Asynchronous = (Flags & RTL_RUN_ONCE_ASYNC) != 0;
    ULONG_PTR New = Failed ? RTLP_ONCE_IDLE : (ULONG_PTR)Context | RTLP_ONCE_DONE;
    ULONG_PTR Seen = (ULONG_PTR)InterlockedCompareExchangePointer(&RunOnce->Ptr, NULL, NULL), Old, Next;

    if ((Flags & ~(RTL_RUN_ONCE_INIT_FAILED | RTL_RUN_ONCE_ASYNC)) != 0 ||
        (Failed && (Asynchronous || Context != NULL)) || ((ULONG_PTR)Context & RTLP_ONCE_BITS) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Asynchronous) {
        if (Seen != RTLP_ONCE_ASYNC || RtlpSwapOnce(RunOnce, New, Seen) != Seen) {
            return ((Seen & RTLP_ONCE_BITS) == RTLP_ONCE_BUSY) ? STATUS_UNSUCCESSFUL : STATUS_OBJECT_NAME_COLLISION;
        }
        return STATUS_SUCCESS;
    }
    if ((Seen & RTLP_ONCE_BITS) != RTLP_ONCE_BUSY) {
        return STATUS_UNSUCCESSFUL;
    }
    Old = (ULONG_PTR)InterlockedExchangePointer(&RunOnce->Ptr, (PVOID)New);
    for (ULONG_PTR Waiter = Old & ~RTLP_ONCE_BITS; Waiter != 0; Waiter = Next) {
        Next = ((PRTLP_ONCE_WAITER)Waiter)->Next; /* gone once it is woken */
        RtlpWake(&((PRTLP_ONCE_WAITER)Waiter)->Wake);
    }
    return STATUS_SUCCESS;
}

/* Runs InitFn unless it has run with success; the other callers wait. STATUS_UNSUCCESSFUL: it returned FALSE. */
NTSTATUS NTAPI RtlRunOnceExecuteOnce(PRTL_RUN_ONCE RunOnce, PRTL_RUN_ONCE_INIT_FN InitFn, PVOID Parameter,
                                     PVOID *Context)
{
    PVOID Result = NULL;
    NTSTATUS Status = RtlRunOnceBeginInitialize(RunOnce, 0, Context);

    if (Status != STATUS_PENDING) {
        return Status;
    }
    if (InitFn(RunOnce, Parameter, &Result) == FALSE) {
        RtlRunOnceComplete(RunOnce, RTL_RUN_ONCE_INIT_FAILED, NULL);
        return STATUS_UNSUCCESSFUL;
    }
    Status = RtlRunOnceComplete(RunOnce, 0, Result);
    if (Context != NULL) {
        *Context = Result;
    }
    return Status;
}
