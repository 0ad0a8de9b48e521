/*
 * ktapfault.c - runs cases while allocations fail: `test --fault KIND:N [PATTERN]`.
 *
 * Every N-th request of a kind fails: any that the system's threads make, and those that a suite's threads make in the expression
 * of a check. A check that does not hold then is tried again, at last without failures, so that a case goes on with what it asked for and
 * its other checks keep their meaning. What an expression says for want of memory must be a status that says so.
 *
 * A case may end early: an exception that says that memory is short, or something other than its own calls that needed the
 * memory (a thread of the system's read ahead no more). Whether it did or not, everything it took must be back: pool by tag, IRPs, MDLs, objects and
 * handles by type, commit. What grows once is a table or a cache; a case after which something is missing is run again, and only what grows
 * each time is a leak.
 *
 * IRQL: PASSIVE_LEVEL, in the console's thread; KtapBeginTurn and KtapEndTurn any.
 */
#include "ktapp.h"
#include <ntos/console.h>
#include <ntos/io.h>
#include <ntos/mm.h>
#include <ntos/ob.h>
#include <ntos/pool.h>
#include <ntos/ps.h>
#include <ntos/rtl.h>
#include <ntos/vf.h>

#define KTAP_TURNS  24 /* of one check; the last is without failures */
#define KTAP_ROUNDS 3  /* of a case after which something is missing */
#define TYPES       32 /* of objects; the system has about 20 */
#define PATIENCE                                                                                                       \
    80 /* pauses of 10 ms until what others still hold is back: threads are reaped, files closed by workers */

/* src/io/iop.h */
extern volatile LONG64 IopIrpCount, IopMdlCount;
VOID IopTrimIrps(VOID);

typedef struct _HOLDINGS {
    EX_POOL_TAG Tags[EX_POOL_TAGS];
    LONG64 Irps, Mdls;
    LONG64 Objects[TYPES], Handles[TYPES]; /* by OBJECT_TYPE.Index */
    LONG64 Committed;                      /* pages */
} HOLDINGS;

static HOLDINGS Before, After;
static BOOLEAN FaultsOn;
static EX_FAULT_KIND Kind;
static ULONG Interval;
static ULONG InjectedBefore, Early; /* of this run */

/* ---- What is held ---- */

static VOID TakeStock(HOLDINGS *Holdings)
{
    MM_USE Use;

    IopTrimIrps();
    ExTrimPool();
    ExSnapshotPoolTags(Holdings->Tags);
    Holdings->Irps = IopIrpCount;
    Holdings->Mdls = IopMdlCount;
    for (POBJECT_TYPE Type = ObNextType(NULL); Type != NULL; Type = ObNextType(Type)) {
        ASSERT(Type->Index < TYPES);
        Holdings->Objects[Type->Index] = Type->ObjectCount;
        Holdings->Handles[Type->Index] = Type->HandleCount;
    }
    MmQueryUse(&Use);
    Holdings->Committed = (LONG64)Use.CommittedPages;
}

static BOOLEAN Grew(PSTR Text, ULONG Bytes, LONG64 From, LONG64 To, PCSTR What)
{
    if (To <= From) {
        return FALSE;
    }
    RtlFormatString(Text, Bytes, "%lld %s", To - From, What);
    return TRUE;
}

/* TRUE: there is more than before; Text names the first such thing. */
static BOOLEAN Compare(PSTR Text, ULONG Bytes)
{
    LONG64 PoolBytes;
    ULONG Tag = ExCompareSnapshots(Before.Tags, After.Tags, &PoolBytes);

    for (POBJECT_TYPE Type = ObNextType(NULL); Type != NULL; Type = ObNextType(Type)) {
        LONG64 Objects = After.Objects[Type->Index] - Before.Objects[Type->Index];
        LONG64 Handles = After.Handles[Type->Index] - Before.Handles[Type->Index];
        if (Objects > 0 || Handles > 0) {
            RtlFormatString(Text, Bytes, "%lld objects and %lld handles of type %wZ", Objects, Handles, &Type->Name);
            return TRUE;
        }
    }
    if (Tag != 0) {
        RtlFormatString(Text, Bytes, "%lld bytes of tag '%c%c%c%c'", PoolBytes, (CHAR)Tag, (CHAR)(Tag >> 8),
                        (CHAR)(Tag >> 16), (CHAR)(Tag >> 24));
        return TRUE;
    }
    return Grew(Text, Bytes, Before.Irps, After.Irps, "IRPs") || Grew(Text, Bytes, Before.Mdls, After.Mdls, "MDLs") ||
           Grew(Text, Bytes, Before.Committed, After.Committed, "pages of commit");
}

/* Waits until nothing is missing; TRUE: something is. */
static BOOLEAN IsMissing(PSTR Text, ULONG Bytes)
{
    LARGE_INTEGER Pause = {.QuadPart = -100000};
    BOOLEAN Missing = TRUE;

    for (ULONG Turn = 0; Turn < PATIENCE && Missing; Turn++) {
        TakeStock(&After);
        Missing = Compare(Text, Bytes);
        if (Missing) {
            KeDelayExecutionThread(KernelMode, FALSE, &Pause);
        }
    }
    return Missing;
}

/* ---- Checks ---- */

static BOOLEAN IsShortage(NTSTATUS Status)
{
    switch (Status) {
    case STATUS_INSUFFICIENT_RESOURCES:
    case STATUS_NO_MEMORY:
    case STATUS_QUOTA_EXCEEDED:
    case STATUS_COMMITMENT_LIMIT:
    case STATUS_WORKING_SET_QUOTA:
    case STATUS_IN_PAGE_ERROR: /* its third parameter says why */
        return TRUE;
    default:
        return FALSE;
    }
}

VOID KtapBeginTurn(PKTAP_CONTEXT Ktap, PKTAP_TRY Try)
{
    UNREFERENCED_PARAMETER(Ktap);
    Try->Injected = ExFaultsInjected(Kind);
    if (Try->Turn == KTAP_TURNS) {
        ExSetFaultOfSuites(Kind, 0);
    }
    ExEnterFaults();
}

BOOLEAN KtapEndTurn(PKTAP_CONTEXT Ktap, PKTAP_TRY Try, BOOLEAN Holds, ULONG64 Value)
{
    BOOLEAN Injected = ExFaultsInjected(Kind) != Try->Injected;
    ULONG High = (ULONG)(Value >> 32);

    ExLeaveFaults();
    if (Try->Turn == KTAP_TURNS) {
        ExSetFaultOfSuites(Kind, Interval);
    }
    if (Holds || !Injected) {
        return FALSE;
    }
    if ((High == 0 || High == ~0U) && (ULONG)Value >> 16 == 0xC000 && !IsShortage((NTSTATUS)Value)) {
        ConPrint("# %s: status 0x%x for want of memory\n", Ktap->Case, (unsigned)Value);
    }
    Try->Turn++;
    return TRUE;
}

/* ---- Cases ---- */

static LONG Filter(PEXCEPTION_POINTERS Pointers)
{
    return IsShortage(Pointers->ExceptionRecord->ExceptionCode) ? EXCEPTION_EXECUTE_HANDLER : EXCEPTION_CONTINUE_SEARCH;
}

static VOID RunOnce(PKTAP_CONTEXT Ktap, const KTAP_CASE_ENTRY *Case)
{
    Ktap->Faults = TRUE;
    ExSetFaultOfSuites(Kind, Interval);
    __try {
        Case->Run(Ktap);
    } __except (Filter(GetExceptionInformation())) {
        PsGetCurrentThread()->Locks.Faults = 0;
        Ktap->Failed = TRUE;
    }
    ExSetFaultOfSuites(Kind, 0);
}

PCSTR KtapRunFaulted(PKTAP_CONTEXT Ktap, const KTAP_CASE_ENTRY *Case)
{
    CHAR Text[128];
    BOOLEAN Missing = TRUE, EndedEarly = FALSE;

    for (ULONG Round = 0; Round < KTAP_ROUNDS && Missing; Round++) {
        TakeStock(&Before);
        RunOnce(Ktap, Case);
        EndedEarly |= Ktap->Failed;
        Ktap->Failed = FALSE;
        Missing = !Ktap->Keeps && IsMissing(Text, sizeof(Text));
    }
    if (Missing) {
        KtapFail(Ktap, __FILE__, __LINE__, "%s stay behind", Text);
    }
    Early += EndedEarly;
    return EndedEarly ? ", ended early" : "";
}

/* ---- The command ---- */

BOOLEAN KtapSetFaults(PCSTR Text)
{
    FaultsOn = Text != NULL && ExParseFault(Text, &Kind, &Interval);
    if (FaultsOn) {
        ExSetFault(Kind, 0, NULL);
        InjectedBefore = ExFaultsInjected(Kind);
    }
    Early = 0;
    return FaultsOn;
}

BOOLEAN KtapFaults(VOID)
{
    return FaultsOn;
}

VOID KtapShowFaults(VOID)
{
    if (FaultsOn) {
        ExSetFault(Kind, 0, NULL);
        ConPrint("# %u requests failed, %u cases ended early\n", (unsigned)(ExFaultsInjected(Kind) - InjectedBefore),
                 (unsigned)Early);
    }
}
