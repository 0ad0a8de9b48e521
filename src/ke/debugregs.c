/*
 * debugregs.c - debug registers of programs: breakpoints on their own addresses, set by contexts.
 *
 * A thread's DR0-DR3 and DR7 are loaded on its way to ring 3 and DR7 is cleared on its way in, so that nothing the kernel does with a program's
 * memory can trap; a switch of threads has nothing to do with them. Threads that use none pay one test each way. Between the trap and the
 * clearing lies one case: a breakpoint on the operand of a MOV SS that is followed by a system call is delivered behind the latter, in
 * ring 0. It is dropped (KiDropUserBreakpoint).
 *
 * Addresses of the kernel are refused by disabling them; general detect, I/O breakpoints and global enables are not for programs. While a program
 * with breakpoints of its own runs in ring 3, those that gdb has set in hardware are not looked at there.
 *
 * Locks: none. The registers belong to the thread; interrupts are off when the processor's are written.
 *
 * Source: Intel SDM volume 3, chapter 17; Microsoft Learn, CONTEXT.
 */
#include <ntos/kd.h>
#include "kip.h"
#include "processor.h"

#define REGISTERS    4
#define DR7_FIXED    0x400ULL /* bit 10 reads as one */
#define DR7_LOCAL    0x155ULL /* L0-L3, LE */
#define DR7_ENABLES  0x055ULL
#define DR6_CAUSES   0x400FULL /* B0-B3, BS */
#define DR6_CLEAR    0xFFFF0FF0ULL
#define CONDITION_IO 2U

/* DR7 as a program may have it, for the addresses of Thread. */
static ULONG64 Permitted(PKTHREAD Thread, ULONG64 Dr7)
{
    ULONG64 Allowed = Dr7 & (0xFFFF0000ULL | DR7_LOCAL);

    for (ULONG Index = 0; Index < REGISTERS; Index++) {
        ULONG Condition = (ULONG)(Dr7 >> (16 + 4 * Index)) & 3;

        if (Condition == CONDITION_IO || Thread->DebugRegisters[Index] == 0) {
            Allowed &= ~(3ULL << (2 * Index) | 15ULL << (16 + 4 * Index));
        }
    }
    return Allowed;
}

/* Takes the debug registers of a context, for the calling thread. IRQL: <= APC_LEVEL. */
VOID KeSetDebugRegisters(const CONTEXT *Context)
{
    PKTHREAD Thread = KeGetCurrentThread();
    const ULONG64 Addresses[REGISTERS] = {Context->Dr0, Context->Dr1, Context->Dr2, Context->Dr3};

    for (ULONG Index = 0; Index < REGISTERS; Index++) {
        Thread->DebugRegisters[Index] = Addresses[Index] < MM_USER_PROBE_END ? Addresses[Index] : 0;
    }
    Thread->DebugStatus = Context->Dr6 & DR6_CAUSES;
    Thread->DebugControl = Permitted(Thread, Context->Dr7);
    Thread->DebugActive = (Thread->DebugControl & DR7_ENABLES) != 0;
}

/* Fills the calling thread's in. */
VOID KeGetDebugRegisters(PCONTEXT Context)
{
    const KTHREAD *Thread = KeGetCurrentThread();

    Context->Dr0 = Thread->DebugRegisters[0];
    Context->Dr1 = Thread->DebugRegisters[1];
    Context->Dr2 = Thread->DebugRegisters[2];
    Context->Dr3 = Thread->DebugRegisters[3];
    Context->Dr6 = Thread->DebugStatus;
    Context->Dr7 = Thread->DebugControl;
}

/* The thread, which uses debug registers, is about to go to ring 3. Interrupts off. */
VOID KiLoadUserBreakpoints(PKTHREAD Thread)
{
    __asm__ volatile("movq %0, %%dr7" ::"r"(DR7_FIXED));
    __asm__ volatile("movq %0, %%dr0" ::"r"(Thread->DebugRegisters[0]));
    __asm__ volatile("movq %0, %%dr1" ::"r"(Thread->DebugRegisters[1]));
    __asm__ volatile("movq %0, %%dr2" ::"r"(Thread->DebugRegisters[2]));
    __asm__ volatile("movq %0, %%dr3" ::"r"(Thread->DebugRegisters[3]));
    __asm__ volatile("movq %0, %%dr6" ::"r"(DR6_CLEAR));
    __asm__ volatile("movq %0, %%dr7" ::"r"(Thread->DebugControl | DR7_FIXED));
}

/* It has come from there: the kernel's own, if gdb has set any, or none. Interrupts as they are. */
VOID KiUnloadUserBreakpoints(VOID)
{
    BOOLEAN Enabled = KeDisableInterrupts();

    __asm__ volatile("movq %0, %%dr7" ::"r"(DR7_FIXED));
    KdLoadDebugRegisters();
    KeRestoreInterrupts(Enabled);
}

/* What a #DB out of ring 3 was: for the contexts that follow. */
VOID KiNoteDebugTrap(PKTHREAD Thread, ULONG64 Dr6)
{
    Thread->DebugStatus = Dr6 & DR6_CAUSES;
}

/* TRUE: a #DB of ring 0 was a program's breakpoint and is forgotten. Interrupts off. */
BOOLEAN KiDropUserBreakpoint(PKTRAP_FRAME Frame)
{
    PKTHREAD Thread = KeGetCurrentThread();

    if (Thread == NULL || !Thread->DebugActive || (Frame->Dr6 & 0xF) == 0) {
        return FALSE;
    }
    KiUnloadUserBreakpoints();
    return TRUE;
}
