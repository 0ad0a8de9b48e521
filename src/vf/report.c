/*
 * report.c - what the verifier has to say: reports with stacks, counts, the command `verifier`.
 *
 * A report is kept in a table, printed at once and counted. Where the console's lock is held by this very processor, or the
 * table is full, it is printed later or not at all, but counted all the same. While a suite provokes reports
 * (VfCatchReports) they are counted by kind and nothing else happens.
 *
 * A report that is not caught fails the suite case that runs (test/kernel/ktap.c asks VfReports after each); it does not stop the
 * system, so that what follows it can still be seen.
 *
 * Locks: the verifier's own. IRQL: any.
 */
#include "vfp.h"
#include <ntos/console.h>
#include <ntos/rtl.h>

#define KERNEL_SECURITY_CHECK_FAILURE 0x00000139 /* documented, absent from the DDK's bugcodes.h */
#ifndef FAST_FAIL_CORRUPT_LIST_ENTRY
#define FAST_FAIL_CORRUPT_LIST_ENTRY 3
#endif

#define REPORTS 32 /* kept; the first ones are the ones to read */

typedef struct _VF_REPORT {
    VF_REPORT_KIND Kind;
    volatile LONG State; /* 0 being made, 1 made, 2 printed */
    CHAR Text[256];
    VF_STACK Stack, Other;
} VF_REPORT, *PVF_REPORT;

static VF_REPORT Reports[REPORTS]; /* entry: its maker, then constant */
static volatile LONG ReportCount, CaughtCount[VfReportKinds], Catching;
static volatile LONG PrintLock; /* keeps the lines of one report together */
static volatile LONG KindCount[VfReportKinds];

static const PCSTR KindNames[VfReportKinds] = {
    "lock order",       "IRQL", "spin lock held",         "DPC time",    "interrupt time", "leak at unload",
    "freed while used", "IRP",  "thread ended with lock", "damaged list"};

DECLSPEC_NOINLINE VOID VfCaptureStack(PKTRAP_FRAME Frame, PVF_STACK Stack)
{
    Stack->Depth = KiCaptureStack(Frame, Stack->Address, VF_FRAMES);
}

VOID VfPrintAddresses(const ULONG64 *Addresses, ULONG Depth)
{
    for (ULONG Number = 0; Number < Depth; Number++) {
        KI_IMAGE Image;
        if (!KiFindImage(Addresses[Number], &Image)) {
            ConPrint("  #%u 0x%016llX\n", (unsigned)Number, Addresses[Number]);
        } else {
            ConPrint("  #%u 0x%016llX %s+0x%llx\n", (unsigned)Number, Addresses[Number], Image.Name,
                     Addresses[Number] - (ULONG64)Image.Base);
        }
    }
}

static VOID PrintReport(PVF_REPORT Report)
{
    BOOLEAN Interrupts = KeDisableInterrupts();
    PVF_PROCESSOR Processor = &VfProcessors[KeGetCurrentPrcb()->Number];

    Processor->Busy++;
    while (InterlockedExchange(&PrintLock, 1) != 0) {
        YieldProcessor();
    }
    ConPrint("\n*** VERIFIER %s: %s\n", KindNames[Report->Kind], Report->Text);
    VfPrintAddresses(Report->Stack.Address, Report->Stack.Depth);
    if (Report->Other.Depth != 0) {
        ConPrint("  the other way:\n");
        VfPrintAddresses(Report->Other.Address, Report->Other.Depth);
    }
    ConPrint("*** END VERIFIER\n");
    InterlockedExchange(&PrintLock, 0);
    Processor->Busy--;
    KeRestoreInterrupts(Interrupts);
}

static VOID CopyStack(PVF_STACK To, const ULONG64 *Stack, ULONG Depth)
{
    To->Depth = Depth < VF_FRAMES ? Depth : VF_FRAMES;
    memcpy(To->Address, Stack, To->Depth * sizeof(ULONG64));
}

VOID VfReport(VF_REPORT_KIND Kind, const ULONG64 *Stack, ULONG Depth, const ULONG64 *OtherStack, ULONG OtherDepth,
              PCSTR Format, ...)
{
    va_list Arguments;
    LONG Number;

    if (Catching != 0) {
        InterlockedIncrement(&CaughtCount[Kind]);
        return;
    }
    InterlockedIncrement(&KindCount[Kind]);
    Number = InterlockedIncrement(&ReportCount);
    if (Number > REPORTS) {
        return;
    }
    PVF_REPORT Report = &Reports[Number - 1];
    BOOLEAN Interrupts = KeDisableInterrupts();
    PVF_PROCESSOR Processor = &VfProcessors[KeGetCurrentPrcb()->Number];
    Processor->Busy++;
    Report->Kind = Kind;
    va_start(Arguments, Format);
    RtlFormatStringV(Report->Text, sizeof(Report->Text), Format, Arguments);
    va_end(Arguments);
    if (Depth != 0) {
        CopyStack(&Report->Stack, Stack, Depth);
    } else {
        VfCaptureStack(NULL, &Report->Stack);
    }
    CopyStack(&Report->Other, OtherStack, OtherDepth);
    BOOLEAN CanPrint = !VfHoldsPrintLock(Processor);
    InterlockedExchange(&Report->State, CanPrint ? 2 : 1);
    if (CanPrint) {
        PrintReport(Report);
    }
    Processor->Busy--;
    KeRestoreInterrupts(Interrupts);
}

VOID VfFlushReports(VOID)
{
    for (LONG Index = 0; Index < ReportCount && Index < REPORTS; Index++) {
        if (InterlockedCompareExchange(&Reports[Index].State, 2, 1) == 1) {
            PrintReport(&Reports[Index]);
        }
    }
}

ULONG VfReports(VOID)
{
    VfFlushReports();
    return (ULONG)ReportCount;
}

BOOLEAN VfCatchReports(BOOLEAN On)
{
    return InterlockedExchange(&Catching, On) != 0;
}

ULONG VfCaughtReports(VF_REPORT_KIND Kind)
{
    return (ULONG)CaughtCount[Kind];
}

VOID VfListDamaged(const LIST_ENTRY *Entry)
{
    if (Catching == 0) {
        KeBugCheckEx(KERNEL_SECURITY_CHECK_FAILURE, FAST_FAIL_CORRUPT_LIST_ENTRY, (ULONG_PTR)Entry,
                     (ULONG_PTR)Entry->Flink, (ULONG_PTR)Entry->Blink);
    }
    InterlockedIncrement(&CaughtCount[VfReportList]);
}

/* ---- Start and console ---- */

VOID VfInitialize(VOID)
{
    VfInitializeClasses();
    VfActive = TRUE;
}

static VOID ShowStatus(VOID)
{
    ULONG Held = 0, Dpc = 0, Isr = 0;

    for (ULONG Number = 0; Number < KI_MAXIMUM_PROCESSORS; Number++) {
        Held = max(Held, VfProcessors[Number].HeldTicksMaximum);
        Dpc = max(Dpc, VfProcessors[Number].DpcTicksMaximum);
        Isr = max(Isr, VfProcessors[Number].IsrTicksMaximum);
    }
    ConPrint("vf: %u reports\n", (unsigned)ReportCount);
    for (ULONG Kind = 0; Kind < VfReportKinds; Kind++) {
        if (KindCount[Kind] != 0 || CaughtCount[Kind] != 0) {
            ConPrint("  %s: %d, provoked by tests: %d\n", KindNames[Kind], (int)KindCount[Kind],
                     (int)CaughtCount[Kind]);
        }
    }
    ConPrint("lock classes: %u\n", (unsigned)VfClassCount - 1);
    VfShowStacks();
    ConPrint("most clock ticks during a spin lock %u, a DPC %u, an interrupt %u\n", (unsigned)Held, (unsigned)Dpc,
             (unsigned)Isr);
}

static VOID VerifierCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    VfFlushReports();
    ShowStatus();
}
CONSOLE_COMMAND(VerifierConsole, "verifier", "", "what the verifier has seen: reports, times, stacks", VerifierCommand);
