/*
 * pfnlock.c - the PFN lock, and waiting for frames.
 *
 * One spin lock guards the frame lists and the arrows between states. It is held for tens of instructions (at most
 * for the zeroing of 16 frames), is counted, and how often it had to be spun for decides when it is worth splitting.
 * Order: working-set, section and range locks are outside it; only the TLB lock is inside.
 *
 * A thread that finds no frame waits here with no lock held and tries again: memory that was promised comes, later.
 */
#include "../mip.h"
#include <ntos/cc.h>
#include <ntos/pool.h>

static volatile LONG MiPfnLockWord;
VF_NAME_LOCK(MiPfnLockWord, "MiPfnLock");
static PKPRCB MiPfnLockOwner; /* chk: who holds it */

ULONG64 MiPfnLockAcquired, MiPfnLockContended;

KIRQL MiLockPfn(VOID)
{
    KIRQL Irql = KeGetCurrentIrql();
    BOOLEAN Spun = FALSE;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    if (Irql < DISPATCH_LEVEL) {
        KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    }
    ASSERT(MiPfnLockOwner != KeGetCurrentPrcb());
    VF_CLASS_NUMBER Class = VfWantLock((PVOID)&MiPfnLockWord, VfSpinLock, _ReturnAddress());
    while (InterlockedExchange(&MiPfnLockWord, 1) != 0) {
        if (!Spun) {
            Spun = TRUE;
            VfStopWatch();
        }
        while (MiPfnLockWord != 0) {
            YieldProcessor();
        }
    }
    if (Spun) {
        VfResumeWatch();
    }
    MiPfnLockOwner = KeGetCurrentPrcb();
    VfGotLock((PVOID)&MiPfnLockWord, VfSpinLock, Class, _ReturnAddress());
    MiPfnLockAcquired++;
    MiPfnLockContended += Spun;
    return Irql;
}

VOID MiUnlockPfn(KIRQL OldIrql)
{
    ASSERT_PFN_LOCKED();
    VfReleaseLock((PVOID)&MiPfnLockWord, VfSpinLock, _ReturnAddress());
    MiPfnLockOwner = NULL;
    InterlockedExchange(&MiPfnLockWord, 0);
    MiWakeZeroThread();
    if (OldIrql < DISPATCH_LEVEL) {
        KeLowerIrql(OldIrql);
    }
}

BOOLEAN MiIsPfnLocked(VOID)
{
    return MiPfnLockOwner == KeGetCurrentPrcb();
}

VOID MiWaitForFrames(VOID)
{
    LARGE_INTEGER Delay = {.QuadPart = -10000LL * MI_FRAME_WAIT_MS};

    ASSERT_IRQL_MAX(APC_LEVEL);
    MiTrimStackCache();
    ExTrimPool();
    CcSignalMemoryShort();
    KeDelayExecutionThread(KernelMode, FALSE, &Delay);
}
