/*
 * watch.c - how long: spin locks held, DPCs, interrupt service routines.
 *
 * Time is counted in clock interrupts that the processor itself took meanwhile. A processor that does not run, because a debugger
 * stopped it or the host gave its thread to somebody else, takes none, or one for the whole pause; so a count of n means that the
 * code ran through n interrupts. Interrupts that come while it spins for another processor do not count: that one may be stopped. The clock looks at what it interrupted, so a report shows the stack of the culprit at work.
 *
 * Code that keeps the clock out (CLOCK_LEVEL and above, interrupts off) is not measured here.
 *
 * Locks: none. IRQL: CLOCK_LEVEL with interrupts off (VfEnterInterrupt), DISPATCH_LEVEL (DPCs).
 */
#include "vfp.h"

/*
 * Clock ticks at which a report is made. The documentation asks for 25 us under a spin lock and 100 us in a DPC; a tick is some
 * 10 ms and emulators run at a hundredth of a machine's speed when many share one host, so that 8 ticks are far beyond
 * what sound code needs on the slowest of them, and far below a hang.
 */
#define MAXIMUM_TICKS 8

static VOID CheckHeld(PVF_PROCESSOR Processor, PKTRAP_FRAME Frame)
{
    CHAR Name[96];
    VF_STACK Stack;

    for (ULONG Index = 0; Index < Processor->Count; Index++) {
        VF_HELD Held = Processor->Held[Index];
        if (Held.Lock != NULL && Processor->Ticks - Held.Since == MAXIMUM_TICKS) {
            VfCaptureStack(Frame, &Stack);
            VfReport(VfReportHeld, Stack.Address, Stack.Depth, NULL, 0, "%s (%p) is held for %u clock ticks",
                     VfClassName(Held.Class, Name, sizeof(Name)), Held.Lock, MAXIMUM_TICKS);
        }
    }
}

static VOID CheckDpc(PVF_PROCESSOR Processor, PKTRAP_FRAME Frame)
{
    VF_STACK Stack;

    if (Processor->Dpc != NULL && Processor->Ticks - Processor->DpcSince == MAXIMUM_TICKS) {
        VfCaptureStack(Frame, &Stack);
        VfReport(VfReportDpc, Stack.Address, Stack.Depth, NULL, 0, "DPC routine %p runs for %u clock ticks",
                 Processor->Dpc, MAXIMUM_TICKS);
    }
}

static VOID CheckInterrupt(PVF_PROCESSOR Processor, PKTRAP_FRAME Frame)
{
    VF_STACK Stack;

    if (Processor->InterruptVector != 0 && Processor->Ticks - Processor->InterruptSince == MAXIMUM_TICKS) {
        VfCaptureStack(Frame, &Stack);
        VfReport(VfReportIsr, Stack.Address, Stack.Depth, NULL, 0,
                 "the interrupt of vector 0x%x runs for %u clock ticks", (unsigned)Processor->InterruptVector,
                 MAXIMUM_TICKS);
    }
}

VOID VfEnterInterrupt(VF_CONTEXT *Context, ULONG Vector, PKTRAP_FRAME Frame)
{
    PVF_PROCESSOR Processor = &VfProcessors[KeGetCurrentPrcb()->Number];

    if (Vector == KI_VECTOR_CLOCK && Processor->Stopped == 0) {
        Processor->Ticks++;
        CheckHeld(Processor, Frame);
        CheckDpc(Processor, Frame);
        CheckInterrupt(Processor, Frame);
    }
    *Context = (VF_CONTEXT){Processor->Base, Processor->InterruptSince, Processor->InterruptVector};
    Processor->Base = Processor->Count;
    Processor->InterruptSince = Processor->Ticks;
    Processor->InterruptVector = Vector;
    Processor->Interrupts++;
}

VOID VfLeaveInterrupt(const VF_CONTEXT *Context)
{
    PVF_PROCESSOR Processor = &VfProcessors[KeGetCurrentPrcb()->Number];
    ULONG Ticks = Processor->Ticks - Processor->InterruptSince;

    if (Ticks > Processor->IsrTicksMaximum) {
        Processor->IsrTicksMaximum = Ticks;
    }
    Processor->Interrupts--;
    Processor->Base = Context->Base;
    Processor->InterruptSince = Context->Since;
    Processor->InterruptVector = Context->Vector;
}

VOID VfStopWatch(VOID)
{
    VfProcessors[KeGetCurrentPrcb()->Number].Stopped++;
}

VOID VfResumeWatch(VOID)
{
    VfProcessors[KeGetCurrentPrcb()->Number].Stopped--;
}

VOID VfEnterDpc(PKDEFERRED_ROUTINE Routine)
{
    PVF_PROCESSOR Processor = &VfProcessors[KeGetCurrentPrcb()->Number];

    Processor->Interrupts++;
    Processor->DpcSince = Processor->Ticks;
    Processor->Dpc = Routine;
}

VOID VfLeaveDpc(VOID)
{
    PVF_PROCESSOR Processor = &VfProcessors[KeGetCurrentPrcb()->Number];
    ULONG Ticks = Processor->Ticks - Processor->DpcSince;

    if (Ticks > Processor->DpcTicksMaximum) {
        Processor->DpcTicksMaximum = Ticks;
    }
    Processor->Dpc = NULL;
    Processor->Interrupts--;
}
