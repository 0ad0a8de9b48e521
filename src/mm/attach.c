/*
 * attach.c - a thread looks at another process's memory, until the scheduler's own attaching is there.
 *
 * Changes the address space alone: APCs stay where they are queued. The context switch loads what ApcState.Process says, so a thread
 * may wait while it is attached. IRQL: <= APC_LEVEL.
 */
#include "miprocess.h"

static PKPROCESS MiSwitchSpace(PKPROCESS New)
{
    PKTHREAD Thread = KeGetCurrentThread();
    PKPROCESS Old;
    KIRQL Irql;

    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    Old = Thread->ApcState.Process;
    if (Old != New) {
        LONG64 Member = (LONG64)KeGetCurrentPrcb()->SetMember;

        InterlockedOr64((volatile LONG64 *)&New->ActiveProcessors, Member);
        Thread->ApcState.Process = New;
        __writecr3(New->DirectoryTableBase);
        InterlockedAnd64((volatile LONG64 *)&Old->ActiveProcessors, ~Member);
    }
    KeLowerIrql(Irql);
    return Old;
}

__attribute__((weak)) VOID NTAPI KeStackAttachProcess(PKPROCESS Process, PKAPC_STATE ApcState)
{
    ApcState->Process = MiSwitchSpace(Process);
}

__attribute__((weak)) VOID NTAPI KeUnstackDetachProcess(PKAPC_STATE ApcState)
{
    MiSwitchSpace(ApcState->Process);
}
