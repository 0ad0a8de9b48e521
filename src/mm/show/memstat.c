/*
 * memstat.c - console commands `memstat` (where memory is) and `verify` (is it where Mm says).
 *
 * memstat prints frames by state as bars and counts, the pools, what the kernel half maps by region against all of
 * RAM, and what the page tables and the PFN database cost. Counters are printed beside a walk of the tables, so that a
 * wrong counter is seen at once. Lines begin with a fixed word: tests read them. With a number it is a live view: frames, commit and
 * pools as bars and faults a second, every so many seconds until a key is typed.
 *
 * Runs at PASSIVE_LEVEL in the console's thread; the figures are one moment's, taken without stopping anybody.
 */
#include <ntos/console.h>
#include <ntos/pool.h>
#include "../bootp.h"
#include "../frameuse.h"
#include "../miprocess.h"
#include "../range.h"

#define MI_BAR       40 /* characters of a full bar: with name and figures a line stays under 80 */
#define MI_KB(Pages) ((unsigned long long)(Pages) * (MM_PAGE_SIZE / 1024))

static VOID MiPrintBar(PCSTR Name, ULONG64 Count, ULONG64 Of)
{
    CHAR Bar[MI_BAR + 1];
    ULONG64 Full = Of == 0 ? 0 : (Count * MI_BAR + Of / 2) / Of;

    for (ULONG64 Index = 0; Index < MI_BAR; Index++) {
        Bar[Index] = Index < Full || (Index == 0 && Count != 0) ? '#' : '.';
    }
    Bar[MI_BAR] = 0;
    ConPrint("  %-16s %s %9llu %9llu KB\n", Name, Bar, (unsigned long long)Count, MI_KB(Count));
}

static VOID MiCountStates(PULONG64 Count)
{
    KIRQL Irql = MiLockPfn();

    RtlZeroMemory(Count, MiStateMax * sizeof(*Count));
    for (ULONG Run = 0; Run < MiRamRunCount; Run++) {
        for (ULONG64 Index = 0; Index < MiRamRuns[Run].Count; Index++) {
            Count[MiPfnState(MiPfn(MiRamRuns[Run].Base + Index))]++;
        }
    }
    MiUnlockPfn(Irql);
}

static VOID MiPrintFrames(VOID)
{
    ULONG64 Count[MiStateMax];

    MiCountStates(Count);
    ConPrint("frames %llu (%llu MB) in %u runs, highest 0x%llx\n", (unsigned long long)MiRamFrames,
             (unsigned long long)MiRamFrames >> 8, (unsigned)MiRamRunCount, (unsigned long long)MiHighestFrame);
    for (ULONG State = 0; State < MiStateMax; State++) {
        MiPrintBar(MiStateName(State), Count[State], MiRamFrames);
    }
    ConPrint("events: soft faults %llu, standby repurposed %llu, zeroed %llu, PFN lock %llu (%llu contended)\n",
             (unsigned long long)MiSoftFaults, (unsigned long long)MiStandbyRepurposed,
             (unsigned long long)MiFramesZeroed, (unsigned long long)MiPfnLockAcquired,
             (unsigned long long)MiPfnLockContended);
}

static VOID MiPrintPool(PCSTR Name, BOOLEAN Paged)
{
    EX_POOL_USE Use;

    ExQueryPoolUse(Paged, &Use);
    ConPrint("pool %-9s %llu KB in %llu pages, %llu bytes asked for (peak %llu), %llu blocks live, %llu refused\n",
             Name, MI_KB(Use.Pages), (unsigned long long)Use.Pages, (unsigned long long)Use.Bytes,
             (unsigned long long)Use.PeakBytes, (unsigned long long)(Use.Allocations - Use.Frees),
             (unsigned long long)Use.Failures);
}

/* Hundredths of a per cent, printed with two decimals. */
static VOID MiPrintShare(PCSTR Name, ULONG64 Frames, ULONG64 Of)
{
    ULONG64 Share = Frames * 10000 / Of;

    ConPrint("  %-16s %9llu %9llu KB %3llu.%02llu %%\n", Name, (unsigned long long)Frames, MI_KB(Frames),
             (unsigned long long)Share / 100, (unsigned long long)Share % 100);
}

static VOID MiPrintExposure(const MM_EXPOSURE *Counted, const MM_EXPOSURE *Walked)
{
    BOOLEAN Equal = TRUE;

    ConPrint("exposure: RAM that the kernel half maps\n");
    for (ULONG Region = 0; Region < MmRegionMax; Region++) {
        MiPrintShare(MiRegionName(Region), Counted->Frames[Region], Counted->RamFrames);
        Equal = Equal && Counted->Frames[Region] == Walked->Frames[Region];
    }
    MiPrintShare("total", Counted->Total, Counted->RamFrames);
    MiPrintShare("peak", Counted->Peak, Counted->RamFrames);
    MiPrintShare("distinct", Walked->Distinct, Counted->RamFrames);
    ConPrint("exposure counters and table walk: %s (%llu and %llu)\n", Equal ? "equal" : "DIFFERENT",
             (unsigned long long)Counted->Total, (unsigned long long)Walked->Total);
}

static VOID MiPrintRange(PCSTR Name, PMI_RANGE Range)
{
    ConPrint("range %-12s %llu pages used, %llu free, %llu flushes for reuse, %llu refused\n", Name,
             (unsigned long long)Range->Used, (unsigned long long)Range->Free, (unsigned long long)Range->Flushes,
             (unsigned long long)Range->Failures);
}

static VOID MiPrintTlb(VOID)
{
    ULONG64 Shootdowns = 0, Sent = 0, All = 0;
    MM_PCID_USE Use;

    for (ULONG Index = 0; Index < KeNumberOfActiveProcessors; Index++) {
        const MI_PROCESSOR *Processor = KiProcessorBlock[Index]->Mm;

        Shootdowns += Processor->TlbShootdowns;
        Sent += Processor->TlbIpisSent;
        All += Processor->TlbAll;
    }
    MmQueryPcid(&Use);
    ConPrint(
        "tlb: PCID %s, INVPCID %s; %llu switches kept translations, %llu dropped them; %llu shootdowns, %llu IPIs, "
        "%llu whole flushes\n",
        Use.Enabled ? "on" : "off", Use.Invpcid ? "on" : "off", (unsigned long long)Use.Kept,
        (unsigned long long)Use.Flushed, (unsigned long long)Shootdowns, (unsigned long long)Sent,
        (unsigned long long)All);
}

VOID MmQueryUse(PMM_USE Use)
{
    Use->LowestFrame = (MiRamRunCount == 0) ? 0 : MiRamRuns[0].Base;
    Use->HighestFrame = MiHighestFrame;
    Use->AvailablePages = (ULONG64)MiAvailableFrames;
    Use->CommittedPages = MiCommit.Charged;
    Use->CommitLimit = MiCommitLimit();
    Use->PeakCommitment = MiCommit.Peak;
}

static VOID MiPrintOnce(VOID)
{
    MM_EXPOSURE Counted, Walked;
    MI_PFN_COSTS Costs;
    KIRQL Irql;

    MiPrintFrames();
    MiPrintPool("nonpaged", FALSE);
    MiPrintPool("paged", TRUE);
    MmVerifyExposure(&Walked);
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    MmQueryExposure(&Counted);
    KeLowerIrql(Irql);
    MiPrintExposure(&Counted, &Walked);
    MiQueryPfnCosts(&Costs);
    ConPrint("cost: page tables %llu KB, PFN database %llu KB (%llu large and %llu small pages)\n",
             MI_KB(Counted.Frames[MmRegionPageTables]), MI_KB(Costs.LargePages * 512 + Costs.SmallPages),
             (unsigned long long)Costs.LargePages, (unsigned long long)Costs.SmallPages);
    MiPrintRange("system PTEs", &MiSystemPtes);
    MiPrintRange("nonpaged", &MiNonPagedArea);
    MiPrintRange("paged", &MiPagedArea);
    MiPrintTlb();
}

/* ---- The live view ---- */

#define MI_MOST_SECONDS 3600 /* longer is no live view */

typedef struct _MI_MOMENT { /* what the live view shows the growth of */
    LONG64 Time;            /* 100 ns since start */
    ULONG64 Faults;         /* of all processors */
    MM_FAULT_COUNTERS Kinds;
} MI_MOMENT, *PMI_MOMENT;

static VOID MiTakeMoment(PMI_MOMENT Moment)
{
    Moment->Time = (LONG64)KeQueryInterruptTime();
    Moment->Kinds = MmFaultCounters;
    Moment->Faults = 0;
    for (ULONG Index = 0; Index < KeNumberOfActiveProcessors; Index++) {
        Moment->Faults += KiProcessorBlock[Index]->PageFaults;
    }
}

/* Growth a second, rounded. */
static ULONG64 MiRate(ULONG64 Before, ULONG64 Now, LONG64 Time)
{
    return Time <= 0 ? 0 : ((Now - Before) * 10000000 + (ULONG64)Time / 2) / (ULONG64)Time;
}

static VOID MiPrintRates(const MI_MOMENT *Before, const MI_MOMENT *Now)
{
    LONG64 Time = Now->Time - Before->Time;

    ConPrint("faults a second: %llu; of these zeroed %llu, soft %llu, copied %llu; read %llu pages\n",
             (unsigned long long)MiRate(Before->Faults, Now->Faults, Time),
             (unsigned long long)MiRate(Before->Kinds.DemandZero, Now->Kinds.DemandZero, Time),
             (unsigned long long)MiRate(Before->Kinds.Soft, Now->Kinds.Soft, Time),
             (unsigned long long)MiRate(Before->Kinds.CopyOnWrite, Now->Kinds.CopyOnWrite, Time),
             (unsigned long long)MiRate(Before->Kinds.PagesRead, Now->Kinds.PagesRead, Time));
}

/* One screen: bars of frames, commit and pools, then what happened since the last. */
static VOID MiPrintView(const MI_MOMENT *Before, const MI_MOMENT *Now)
{
    EX_POOL_USE NonPaged, Paged;
    MM_USE Use;

    MiPrintFrames();
    MmQueryUse(&Use);
    ExQueryPoolUse(FALSE, &NonPaged);
    ExQueryPoolUse(TRUE, &Paged);
    MiPrintBar("commit", Use.CommittedPages, Use.CommitLimit);
    MiPrintBar("nonpaged pool", NonPaged.Pages, MiRamFrames);
    MiPrintBar("paged pool", Paged.Pages, MiRamFrames);
    MiPrintRates(Before, Now);
}

/* Every so many seconds until a key is typed. */
static VOID MiWatchMemory(ULONG Seconds)
{
    MI_MOMENT Before, Now;

    MiTakeMoment(&Before);
    do {
        MiTakeMoment(&Now);
        ConPrint("memstat: every %u s, any key ends it\n", (unsigned)Seconds);
        MiPrintView(&Before, &Now);
        Before = Now;
    } while (!ConWaitKey(Seconds * 1000));
}

static VOID MiMemStat(ULONG ArgumentCount, PCSTR *Arguments)
{
    ULONG Seconds = 0;

    if (ArgumentCount == 1) {
        MiPrintOnce();
        return;
    }
    if (!NT_SUCCESS(RtlCharToInteger(Arguments[1], 10, &Seconds)) || Seconds == 0 || Seconds > MI_MOST_SECONDS) {
        ConPrint("memstat: %s: a number of seconds from 1 to %u\n", Arguments[1], MI_MOST_SECONDS);
        return;
    }
    MiWatchMemory(Seconds);
}

CONSOLE_COMMAND(MiMemStatCommand, "memstat", "[SECONDS]",
                "frames by state, pools, what the kernel maps; or a live view", MiMemStat);

static VOID MiVerifyRun(ULONG ArgumentCount, PCSTR *Arguments)
{
    ULONG Findings = MiVerify();

    if (Findings == 0) {
        ConPrint("verify: every frame, share and counter is as it should be\n");
    } else {
        ConPrint("verify: %u findings: STATUS_DATA_ERROR (0x%08X)\n", (unsigned)Findings, (unsigned)STATUS_DATA_ERROR);
    }
}

CONSOLE_COMMAND(MiVerifyCommand, "verify", "", "check the invariants of the memory manager", MiVerifyRun);

static VOID MiPoolTags(ULONG ArgumentCount, PCSTR *Arguments)
{
    EX_POOL_TAG Tags[64];
    ULONG Count = ExQueryPoolTags(Tags, RTL_NUMBER_OF(Tags));

    ConPrint("tag   allocations       frees      live       bytes\n");
    for (ULONG Index = 0; Index < Count; Index++) {
        CHAR Name[5] = {0};

        RtlCopyMemory(Name, &Tags[Index].Tag, sizeof(Tags[Index].Tag));
        ConPrint("%-4s %12llu %11llu %9llu %11llu\n", Name, (unsigned long long)Tags[Index].Allocations,
                 (unsigned long long)Tags[Index].Frees,
                 (unsigned long long)(Tags[Index].Allocations - Tags[Index].Frees),
                 (unsigned long long)Tags[Index].Bytes);
    }
}

CONSOLE_COMMAND(MiPoolTagsCommand, "pooltags", "", "pool in use by tag", MiPoolTags);
