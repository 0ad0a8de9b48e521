/*
 * userthread.c - threads of programs: made with a kernel stack, an XSAVE area, and a first frame of ring 3.
 *
 * The thread begins in the kernel like any other and enters ring 3 from PspUserThreadStart; every later trap finds the kernel stack
 * empty again. What ends it is exit.c's. The user's stack is committed from the top with a guard page below what is committed; a touch of
 * the guard commits the next page (PspGrowUserStack). When few are left the program gets them all but the last, for its handlers to run on, and
 * STATUS_STACK_OVERFLOW.
 *
 * Locks: none of its own; ExitLock of the process through PspCountThread.
 */
#include "psp.h"

#include <ntos/peb.h>

#define STACK_SPREAD 0xF000 /* bytes reserved more than asked for: the stack begins at any of the 16 pages in them */
#define OVERFLOW_BYTES                                                                                                 \
    (5 * PAGE_SIZE) /* what a handler gets: the frame, dispatch and unwinding take about 10 KB with AVX-512 */

typedef struct DECLSPEC_ALIGN(16) _PSP_FIRST_FRAME {
    UCHAR Home[32]; /* KiReturnToUser's */
    KTRAP_FRAME Frame;
} PSP_FIRST_FRAME;

static VOID NTAPI PspUserThreadStart(PVOID Context)
{
    PETHREAD Thread = PsGetCurrentThread();
    PSP_FIRST_FRAME First;

    Thread->ThreadsProcess->TokenFrozen = TRUE;
    if (Thread->UserStart.Clone != NULL) {
        PspTakeClonedFrame(Thread, &First.Frame);
    } else {
        KeInitializeUserFrame(&First.Frame, Thread->UserStart.Rip, Thread->UserStart.Rsp, Thread->UserStart.Rcx,
                              Thread->UserStart.Rdx);
    }
    Thread->Tcb.PreviousMode = UserMode;
    KeEnterUserMode(&First.Frame, Thread->UserState);
}

/**
 * PspCreateUserThread - makes a thread of a program; it runs once KeReadyThread is called with it.
 *
 * @Start   its first registers and its TEB, valid in @Process
 * @Thread  gets it with two references: the caller's, and the one that the thread holds on itself from now on
 * returns  STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES; STATUS_PROCESS_IS_TERMINATING
 *
 * IRQL: PASSIVE_LEVEL. Undone by PspAbandonUserThread if it is not to run.
 */
NTSTATUS PspCreateUserThread(PEPROCESS Process, const PSP_USER_START *Start, PETHREAD *Thread)
{
    PVOID State = KeCreateUserState();
    NTSTATUS Status = State == NULL ? STATUS_INSUFFICIENT_RESOURCES : PspCountThread(Process);

    if (!NT_SUCCESS(Status)) {
        if (State != NULL) {
            KeDeleteUserState(State);
        }
        return Status;
    }
    Status = PspAllocateThread(Thread, Process, PspUserThreadStart, NULL, Process->Pcb.BasePriority);
    if (!NT_SUCCESS(Status)) {
        PspUncountUnstartedThread(Process);
        KeDeleteUserState(State);
        return Status;
    }
    ObReferenceObject(*Thread);
    (*Thread)->UserState = State;
    (*Thread)->UserStart = *Start;
    (*Thread)->Tcb.Teb = Start->Teb;
    return STATUS_SUCCESS;
}

/* A thread that was never readied goes; both references are dropped. */
VOID PspAbandonUserThread(PETHREAD Thread)
{
    PEPROCESS Process = Thread->ThreadsProcess;

    MmDeleteKernelStack(Thread->Tcb.StackTop, KI_KERNEL_STACK_SIZE);
    KeDeleteUserState(Thread->UserState);
    PspUncountUnstartedThread(Process);
    ObDereferenceObject(Thread);
    ObDereferenceObject(Thread);
}

/* ---- Stacks ---- */

/**
 * PspCreateUserStack - reserves a stack in the current process and commits its top.
 *
 * @Reserve, @Commit  bytes; 0: 1 MB and 64 KB. What is committed leaves room for two pages
 * @Stack             gets its bounds
 * returns            STATUS_SUCCESS, or what the reservation or commitment says
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS PspCreateUserStack(SIZE_T Reserve, SIZE_T Commit, PPSP_USER_STACK Stack)
{
    PVOID Base, Top, Guard;
    SIZE_T Wanted = Reserve == 0 ? PSP_STACK_RESERVE : max(Reserve, OVERFLOW_BYTES + 3 * PAGE_SIZE), Size, Bytes;
    NTSTATUS Status;

    if (Wanted > MAXLONG64 - STACK_SPREAD) {
        return STATUS_NO_MEMORY;
    }
    Size = ROUND_TO_PAGES(Wanted);
    Bytes = Size + STACK_SPREAD;
    Status = MmAllocateForProgram(&Base, &Bytes, FALSE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Size += MmProcessRandom(PsGetCurrentProcess()) % (STACK_SPREAD / PAGE_SIZE + 1) * PAGE_SIZE;
    Bytes = min(ROUND_TO_PAGES(Commit == 0 ? PSP_STACK_COMMIT : Commit), Size - 2 * PAGE_SIZE);
    Top = (PUCHAR)Base + Size - Bytes;
    Status = ZwAllocateVirtualMemory(ZwCurrentProcess(), &Top, 0, &Bytes, MEM_COMMIT, PAGE_READWRITE);
    if (NT_SUCCESS(Status)) {
        SIZE_T GuardSize = PAGE_SIZE;

        Guard = (PUCHAR)Top - PAGE_SIZE;
        Status =
            ZwAllocateVirtualMemory(ZwCurrentProcess(), &Guard, 0, &GuardSize, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
    }
    if (!NT_SUCCESS(Status)) {
        SIZE_T Whole = 0;

        ZwFreeVirtualMemory(ZwCurrentProcess(), &Base, &Whole, MEM_RELEASE);
        return Status;
    }
    Stack->Base = (PUCHAR)Base + Size;
    Stack->Limit = Top;
    Stack->Allocation = Base;
    return STATUS_SUCCESS;
}

/* What the thread has in its process, which goes on without it; from the thread itself, which does not return to ring 3. */
VOID PspReleaseUserPart(PETHREAD Thread)
{
    PVOID Parts[] = {Thread->UserStart.Stack, Thread->UserStart.Teb};

    Thread->Tcb.Teb = NULL;
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Parts); Index++) {
        SIZE_T Whole = 0;

        if (Parts[Index] != NULL) { /* the program may have released it, or more, itself: its own affair */
            ZwFreeVirtualMemory(ZwCurrentProcess(), &Parts[Index], &Whole, MEM_RELEASE);
        }
    }
}

/* What is left of a stack below Page, but for its last page, becomes usable. */
static NTSTATUS GiveRest(PTEB Teb, PUCHAR Allocation, PUCHAR Page)
{
    PVOID Rest = Allocation + PAGE_SIZE;
    SIZE_T Size = (SIZE_T)(Page - (PUCHAR)Rest);

    if (Page > (PUCHAR)Rest &&
        NT_SUCCESS(ZwAllocateVirtualMemory(ZwCurrentProcess(), &Rest, 0, &Size, MEM_COMMIT, PAGE_READWRITE))) {
        MmCopyToUser(&Teb->NtTib.StackLimit, &Rest, sizeof(Rest));
    }
    return STATUS_STACK_OVERFLOW;
}

NTSTATUS PspGrowUserStack(PVOID Address)
{
    PETHREAD Thread = PsGetCurrentThread();
    PTEB Teb = Thread->Tcb.Teb;
    PUCHAR Page = PAGE_ALIGN(Address);
    PVOID Guard = Page - PAGE_SIZE;
    SIZE_T Size = PAGE_SIZE;
    PVOID Allocation, Base;

    if (Teb == NULL || KeGetCurrentIrql() != PASSIVE_LEVEL || Thread->Tcb.ApcStateIndex != 0 ||
        !NT_SUCCESS(MmCopyFromUser(&Allocation, &Teb->DeallocationStack, sizeof(Allocation))) ||
        !NT_SUCCESS(MmCopyFromUser(&Base, &Teb->NtTib.StackBase, sizeof(Base))) || Address < Allocation ||
        Address >= Base) {
        return STATUS_GUARD_PAGE_VIOLATION;
    }
    if ((PUCHAR)Guard < (PUCHAR)Allocation + OVERFLOW_BYTES) {
        return GiveRest(Teb, Allocation, Page);
    }
    NTSTATUS Status =
        ZwAllocateVirtualMemory(ZwCurrentProcess(), &Guard, 0, &Size, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
    if (!NT_SUCCESS(Status)) {
        return STATUS_STACK_OVERFLOW;
    }
    MmCopyToUser(&Teb->NtTib.StackLimit, &Page, sizeof(Page));
    return STATUS_SUCCESS;
}
