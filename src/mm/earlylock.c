/*
 * earlylock.c - spin locks for a kernel whose dispatcher is not linked in: weak, replaced by src/ke/spinlock.c.
 */
#include <ntos/ke.h>

__attribute__((weak)) KIRQL NTAPI KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK SpinLock)
{
    KIRQL Irql;

    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    while (InterlockedExchange64((volatile LONG64 *)SpinLock, 1) != 0) {
        YieldProcessor();
    }
    return Irql;
}

__attribute__((weak)) VOID NTAPI KeReleaseSpinLock(PKSPIN_LOCK SpinLock, KIRQL NewIrql)
{
    InterlockedExchange64((volatile LONG64 *)SpinLock, 0);
    KeLowerIrql(NewIrql);
}

__attribute__((weak)) NTSTATUS NTAPI KeDelayExecutionThread(KPROCESSOR_MODE WaitMode, BOOLEAN Alertable,
                                                            PLARGE_INTEGER Interval)
{
    return STATUS_SUCCESS;
}
