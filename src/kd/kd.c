/*
 * kd.c - how the debugger is entered and left.
 *
 * It is entered by a breakpoint or debug trap, by a byte from gdb that the clock interrupt finds on COM2 (Ctrl-C, or the first
 * packet of a gdb that attaches to a running machine), and by a bug check while gdb is connected. Inside, interrupts are off and
 * one processor owns it (KdpOwner, taken by compare-exchange); the others are frozen by NMI, or wait in KdpAcquire if
 * they trapped meanwhile, with their frames on show, so gdb can look at them as threads.
 *
 * Order on entry: own, lift breakpoints, freeze, converse; on exit: plant, load the debug registers, thaw, release. Nothing before
 * the lifting may call outside src/kd/. A trap inside the debugger itself is not ours (KdTrap says FALSE, which is a
 * bug check): the debugger's accesses never fault, so such a trap is a fault of its own.
 *
 * The debugger allocates nothing and takes no lock of anyone.
 */
#include "kdp.h"
#include <ntos/console.h>
#include <ntos/init.h>

#define KDP_NOBODY       (-1)
#define KDP_BREAK_IN     0x03
#define KDP_BAUD         115200
#define KDP_FIFO_BYTES   16            /* bytes looked at in one clock interrupt: all a 16550 holds */
#define KDP_FREEZE_TICKS 1000000000ULL /* some tenths of a second: a processor takes an NMI within microseconds */
#define VECTOR_DEBUG     1
#define VECTOR_BREAK     3
#define INT3             0xCC

static volatile LONG KdpOwner = KDP_NOBODY;           /* processor number */
static PKTRAP_FRAME KdpFrames[KI_MAXIMUM_PROCESSORS]; /* of processors inside the debugger */
static volatile KAFFINITY KdpFreezeWanted;            /* processors that are to stay frozen; owner writes */
static BOOLEAN KdpWaitsForGdb; /* boot option debug: the first breakpoint waits for a connection */

ULONG KdpThisProcessor(VOID)
{
    return KeGetCurrentPrcb()->Number;
}

PKTRAP_FRAME KdpFrameOf(ULONG Processor)
{
    return Processor < KI_MAXIMUM_PROCESSORS ? KdpFrames[Processor] : NULL;
}

PKPRCB KdpProcessorOf(PKTRAP_FRAME Frame)
{
    for (ULONG Number = 0; Number < KI_MAXIMUM_PROCESSORS; Number++) {
        if (KdpFrames[Number] == Frame && KiProcessorBlock[Number] != NULL) {
            return KiProcessorBlock[Number];
        }
    }
    return KeGetCurrentPrcb();
}

/* ---- Entry and exit ---- */

static VOID KdpAcquire(PKTRAP_FRAME Frame)
{
    ULONG Processor = KdpThisProcessor();

    KdpFrames[Processor] = Frame;
    while (InterlockedCompareExchange(&KdpOwner, (LONG)Processor, KDP_NOBODY) != KDP_NOBODY) {
        YieldProcessor();
    }
}

static VOID KdpRelease(VOID)
{
    KdpFrames[KdpThisProcessor()] = NULL;
    InterlockedExchange(&KdpOwner, KDP_NOBODY);
}

/* The processors that run, but for this one and those that wait in KdpAcquire already. */
static KAFFINITY KdpOthers(VOID)
{
    KAFFINITY Others = 0;

    for (ULONG Number = 0; Number < KI_MAXIMUM_PROCESSORS; Number++) {
        if (KiProcessorBlock[Number] != NULL && KdpFrames[Number] == NULL) {
            Others |= (KAFFINITY)1 << Number;
        }
    }
    return Others;
}

/* Stops the others by NMI, which no interrupt flag or IRQL holds back. One that does not answer is left alone. */
static VOID KdpFreeze(VOID)
{
    KAFFINITY Others = KdpOthers();
    ULONG64 Start = __rdtsc();

    if (Others == 0) {
        return;
    }
    InterlockedExchange64((volatile LONG64 *)&KdpFreezeWanted, (LONG64)Others);
    HalSendIpi(Others, HAL_IPI_NMI);
    while (KdpOthers() != 0 && __rdtsc() - Start < KDP_FREEZE_TICKS) {
        YieldProcessor();
    }
}

static VOID KdpThaw(VOID)
{
    InterlockedExchange64((volatile LONG64 *)&KdpFreezeWanted, 0);
}

BOOLEAN KdNmi(PKTRAP_FRAME Frame)
{
    ULONG Processor = KdpThisProcessor();
    PKTRAP_FRAME Outer = KdpFrames[Processor]; /* this one may have been waiting in KdpAcquire */

    if ((KdpFreezeWanted >> Processor & 1) == 0) {
        return FALSE;
    }
    KdpFrames[Processor] = Frame;
    while ((KdpFreezeWanted >> Processor & 1) != 0) {
        YieldProcessor();
    }
    KdLoadDebugRegisters();
    KdpFrames[Processor] = Outer;
    return TRUE;
}

static BOOLEAN KdpIsInside(VOID)
{
    return KdpOwner == (LONG)KdpThisProcessor();
}

/*
 * A breakpoint that another processor's stop has lifted before this one got in: no INT3 is there now, and none of
 * gdb's either, so the instruction is simply executed.
 */
static BOOLEAN KdpBreakpointVanished(PKTRAP_FRAME Frame)
{
    UCHAR Byte;

    return Frame->Vector == VECTOR_BREAK && KdpCopyFromTarget(&Byte, Frame->Rip - 1, 1) == 1 && Byte != INT3 &&
           !KdpIsBreakpoint(Frame->Rip - 1);
}

static VOID KdpEnter(PKTRAP_FRAME Frame, ULONG Signal, BOOLEAN StartSeen)
{
    ULONG64 Dr6 = Frame->Vector == VECTOR_DEBUG ? Frame->Dr6 : 0;

    KdpAcquire(Frame);
    KdpLiftBreakpoints();
    KdpFreeze();
    Frame->EFlags &= ~EFLAGS_TF;
    if (KdpBreakpointVanished(Frame)) {
        Frame->Rip--;
    } else {
        KdpConverse(Frame, Signal, Dr6, StartSeen);
    }
    KdpPlantBreakpoints();
    KdLoadDebugRegisters();
    KdpThaw();
    KdpRelease();
}

BOOLEAN KdTrap(PKTRAP_FRAME Frame)
{
    if (KdpIsInside() || (!KdpConnected && !KdpWaitsForGdb)) {
        return FALSE;
    }
    KdpWaitsForGdb = FALSE;
    KdpEnter(Frame, KDP_SIGNAL_TRAP, FALSE);
    return TRUE;
}

VOID KdCheckBreakIn(PKTRAP_FRAME Frame)
{
    BOOLEAN Enabled = KeDisableInterrupts();
    UCHAR Byte;

    for (ULONG Index = 0; KdpThisProcessor() == 0 && Index < KDP_FIFO_BYTES && HalSerialGet(KDP_PORT, &Byte); Index++) {
        if (Byte == KDP_BREAK_IN && KdpConnected) {
            KdpEnter(Frame, KDP_SIGNAL_INT, FALSE);
        } else if (Byte == '$') {
            KdpEnter(Frame, KDP_SIGNAL_INT, TRUE);
        }
    }
    KeRestoreInterrupts(Enabled);
}

VOID KdBugCheck(PKTRAP_FRAME Frame)
{
    if (!KdpConnected || KdpIsInside()) {
        return;
    }
    if (Frame != NULL) {
        KdpEnter(Frame, KDP_SIGNAL_ABRT, FALSE);
    } else {
        __debugbreak(); /* makes a frame; gdb shows the caller, KeBugCheckEx, two frames up */
    }
}

VOID KdInitialize(VOID)
{
    HalSerialInitialize(KDP_PORT, KDP_BAUD);
    if (KeBootOption("debug", NULL, 0)) {
        ConPrint("kd: waiting for gdb on COM2\n");
        KdpWaitsForGdb = TRUE;
        __debugbreak();
    }
}
