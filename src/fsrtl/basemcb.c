/*
 * basemcb.c - map control blocks: where the sectors of a file lie on its volume.
 *
 * A map is an array of runs in the order of the file's sectors (VBNs): each run ends where the next begins and leads to
 * consecutive sectors of the volume (LBNs), or is a hole (LBN -1). Neighbours that continue each other are one run, and the last run is never a
 * hole, so a map has one form only. Every change is "let this range lead there": the range's ends become ends of runs, the runs
 * inside are replaced by one, and it is joined to its neighbours.
 *
 * No lock here: a base map belongs to its caller (largemcb.c adds a mutex). Room for the largest change is made before anything is
 * changed. IRQL: that of the pool the map is in. Source: documentation of FsRtlInitializeBaseMcb and its kin.
 */
#include <ntos/ntos.h>

#define FSRTLP_MCB_TAG 'bcMF'
#define FSRTLP_HOLE    (-1LL)
#define FSRTLP_FIRST   15U /* runs of a new map: one allocation of 240 bytes serves most files */
#define FSRTLP_CHANGE  2U  /* runs that one change adds at most */

typedef struct _FSRTLP_RUN {
    LONGLONG End; /* the VBN after the last one */
    LONGLONG Lbn; /* of the first one, or FSRTLP_HOLE */
} FSRTLP_RUN, *PFSRTLP_RUN;

static PFSRTLP_RUN FsRtlpRuns(PBASE_MCB Mcb)
{
    return Mcb->Mapping;
}

static LONGLONG FsRtlpStart(PBASE_MCB Mcb, ULONG Index)
{
    return (Index == 0) ? 0 : FsRtlpRuns(Mcb)[Index - 1].End;
}

/* The VBN after the last mapped one. */
static LONGLONG FsRtlpEnd(PBASE_MCB Mcb)
{
    return FsRtlpStart(Mcb, Mcb->PairCount);
}

/* The run that a VBN below the end is in. */
static ULONG FsRtlpFindRun(PBASE_MCB Mcb, LONGLONG Vbn)
{
    ULONG Low = 0, High = Mcb->PairCount;

    while (Low < High) {
        ULONG Middle = Low + (High - Low) / 2;

        if (FsRtlpRuns(Mcb)[Middle].End <= Vbn) {
            Low = Middle + 1;
        } else {
            High = Middle;
        }
    }
    return Low;
}

/* Makes room for Extra more runs. STATUS_INSUFFICIENT_RESOURCES is raised, or returned if the map does not want it raised. */
static NTSTATUS FsRtlpReserve(PBASE_MCB Mcb, ULONG Extra)
{
    ULONG Room = Mcb->MaximumPairCount;
    PFSRTLP_RUN New;

    if (Mcb->PairCount + Extra <= Room) {
        return STATUS_SUCCESS;
    }
    Room = max(Room * 2, Mcb->PairCount + Extra);
    New = ExAllocatePoolWithTag(Mcb->PoolType, Room * sizeof(*New), FSRTLP_MCB_TAG);
    if (New == NULL) {
        if ((Mcb->Flags & MCB_FLAG_RAISE_ON_ALLOCATION_FAILURE) != 0) {
            ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
        }
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    if (Mcb->Mapping != NULL) {
        RtlCopyMemory(New, Mcb->Mapping, Mcb->PairCount * sizeof(*New));
        ExFreePoolWithTag(Mcb->Mapping, FSRTLP_MCB_TAG);
    }
    Mcb->Mapping = New;
    Mcb->MaximumPairCount = Room;
    return STATUS_SUCCESS;
}

static VOID FsRtlpInsertRun(PBASE_MCB Mcb, ULONG Index, LONGLONG End, LONGLONG Lbn)
{
    PFSRTLP_RUN Runs = FsRtlpRuns(Mcb);

    ASSERT(Mcb->PairCount < Mcb->MaximumPairCount);
    RtlMoveMemory(&Runs[Index + 1], &Runs[Index], (Mcb->PairCount - Index) * sizeof(*Runs));
    Runs[Index].End = End;
    Runs[Index].Lbn = Lbn;
    Mcb->PairCount++;
}

static VOID FsRtlpDropRuns(PBASE_MCB Mcb, ULONG Index, ULONG Count)
{
    PFSRTLP_RUN Runs = FsRtlpRuns(Mcb);

    RtlMoveMemory(&Runs[Index], &Runs[Index + Count], (Mcb->PairCount - Index - Count) * sizeof(*Runs));
    Mcb->PairCount -= Count;
}

/* Makes a VBN the beginning of a run, or the end of the map. */
static VOID FsRtlpCut(PBASE_MCB Mcb, LONGLONG Vbn)
{
    LONGLONG End = FsRtlpEnd(Mcb), Start;
    ULONG Index;
    PFSRTLP_RUN Run;

    if (Vbn == 0 || Vbn == End) {
        return;
    }
    if (Vbn > End) {
        FsRtlpInsertRun(Mcb, Mcb->PairCount, Vbn, FSRTLP_HOLE);
        return;
    }
    Index = FsRtlpFindRun(Mcb, Vbn);
    Start = FsRtlpStart(Mcb, Index);
    if (Start == Vbn) {
        return;
    }
    FsRtlpInsertRun(Mcb, Index, Vbn, FsRtlpRuns(Mcb)[Index].Lbn);
    Run = &FsRtlpRuns(Mcb)[Index + 1];
    if (Run->Lbn != FSRTLP_HOLE) {
        Run->Lbn += Vbn - Start;
    }
}

/* Joins a run to the one after it if that continues it. */
static VOID FsRtlpJoin(PBASE_MCB Mcb, ULONG Index)
{
    PFSRTLP_RUN Runs = FsRtlpRuns(Mcb);
    LONGLONG Length;

    if (Index + 1 >= Mcb->PairCount) {
        return;
    }
    Length = Runs[Index].End - FsRtlpStart(Mcb, Index);
    if ((Runs[Index].Lbn == FSRTLP_HOLE && Runs[Index + 1].Lbn == FSRTLP_HOLE) ||
        (Runs[Index].Lbn != FSRTLP_HOLE && Runs[Index].Lbn + Length == Runs[Index + 1].Lbn)) {
        Runs[Index].End = Runs[Index + 1].End;
        FsRtlpDropRuns(Mcb, Index + 1, 1);
    }
}

static VOID FsRtlpDropLastHole(PBASE_MCB Mcb)
{
    while (Mcb->PairCount != 0 && FsRtlpRuns(Mcb)[Mcb->PairCount - 1].Lbn == FSRTLP_HOLE) {
        Mcb->PairCount--;
    }
}

/* Lets a range lead to Lbn, or nowhere. Room is there. */
static VOID FsRtlpMap(PBASE_MCB Mcb, LONGLONG Vbn, LONGLONG Count, LONGLONG Lbn)
{
    ULONG First, Last;

    FsRtlpCut(Mcb, Vbn);
    FsRtlpCut(Mcb, Vbn + Count);
    First = FsRtlpFindRun(Mcb, Vbn);
    Last = FsRtlpFindRun(Mcb, Vbn + Count - 1);
    FsRtlpDropRuns(Mcb, First + 1, Last - First);
    FsRtlpRuns(Mcb)[First].End = Vbn + Count;
    FsRtlpRuns(Mcb)[First].Lbn = Lbn;
    FsRtlpJoin(Mcb, First);
    if (First != 0) {
        FsRtlpJoin(Mcb, First - 1);
    }
    FsRtlpDropLastHole(Mcb);
}

/* TRUE: what the map already says of the range agrees with the new mapping. */
static BOOLEAN FsRtlpAgrees(PBASE_MCB Mcb, LONGLONG Vbn, LONGLONG Lbn, LONGLONG Count)
{
    for (ULONG Index = FsRtlpFindRun(Mcb, Vbn); Index < Mcb->PairCount; Index++) {
        PFSRTLP_RUN Run = &FsRtlpRuns(Mcb)[Index];
        LONGLONG Start = FsRtlpStart(Mcb, Index);

        if (Start >= Vbn + Count) {
            break;
        }
        if (Run->Lbn != FSRTLP_HOLE && Run->Lbn - Start != Lbn - Vbn) {
            return FALSE;
        }
    }
    return TRUE;
}

/* ---- The routines that drivers call ---- */

/* An empty map in a kind of pool. FALSE: no memory (raised with MCB_FLAG_RAISE_ON_ALLOCATION_FAILURE); the map is usable all the same. */
BOOLEAN NTAPI FsRtlInitializeBaseMcbEx(PBASE_MCB Mcb, POOL_TYPE PoolType, USHORT Flags)
{
    RtlZeroMemory(Mcb, sizeof(*Mcb));
    Mcb->PoolType = (USHORT)PoolType;
    Mcb->Flags = Flags;
    return NT_SUCCESS(FsRtlpReserve(Mcb, FSRTLP_FIRST)); /* the first entry would try again */
}

VOID NTAPI FsRtlInitializeBaseMcb(PBASE_MCB Mcb, POOL_TYPE PoolType)
{
    FsRtlInitializeBaseMcbEx(Mcb, PoolType, MCB_FLAG_RAISE_ON_ALLOCATION_FAILURE);
}

VOID NTAPI FsRtlUninitializeBaseMcb(PBASE_MCB Mcb)
{
    if (Mcb->Mapping != NULL) {
        ExFreePoolWithTag(Mcb->Mapping, FSRTLP_MCB_TAG);
        Mcb->Mapping = NULL;
    }
    Mcb->PairCount = Mcb->MaximumPairCount = 0;
}

/* Forgets every run. */
VOID NTAPI FsRtlResetBaseMcb(PBASE_MCB Mcb)
{
    Mcb->PairCount = 0;
}

/* Forgets what lies at Vbn and above. */
VOID NTAPI FsRtlTruncateBaseMcb(PBASE_MCB Mcb, LONGLONG Vbn)
{
    LONGLONG End = FsRtlpEnd(Mcb);
    ULONG Index;

    if (Vbn < 0 || Vbn >= End) {
        return;
    }
    Index = FsRtlpFindRun(Mcb, Vbn);
    if (FsRtlpStart(Mcb, Index) < Vbn) {
        FsRtlpRuns(Mcb)[Index].End = Vbn;
        Index++;
    }
    Mcb->PairCount = Index;
    FsRtlpDropLastHole(Mcb);
}

/**
 * FsRtlAddBaseMcbEntryEx - lets SectorCount sectors of the file from Vbn on lead to those of the volume from Lbn on.
 *
 * returns  STATUS_SUCCESS; STATUS_UNSUCCESSFUL (a part leads somewhere else already: nothing was changed); STATUS_INVALID_PARAMETER
 *          (below 0, or past the largest number); STATUS_INSUFFICIENT_RESOURCES (raised if the map wants it so)
 */
NTSTATUS NTAPI FsRtlAddBaseMcbEntryEx(PBASE_MCB Mcb, LONGLONG Vbn, LONGLONG Lbn, LONGLONG SectorCount)
{
    NTSTATUS Status;

    if (Vbn < 0 || Lbn < 0 || SectorCount <= 0 || SectorCount > MAXLONGLONG - Vbn || SectorCount > MAXLONGLONG - Lbn) {
        return STATUS_INVALID_PARAMETER;
    }
    if (!FsRtlpAgrees(Mcb, Vbn, Lbn, SectorCount)) {
        return STATUS_UNSUCCESSFUL;
    }
    Status = FsRtlpReserve(Mcb, FSRTLP_CHANGE);
    if (NT_SUCCESS(Status)) {
        FsRtlpMap(Mcb, Vbn, SectorCount, Lbn);
    }
    return Status;
}

BOOLEAN NTAPI FsRtlAddBaseMcbEntry(PBASE_MCB Mcb, LONGLONG Vbn, LONGLONG Lbn, LONGLONG SectorCount)
{
    return NT_SUCCESS(FsRtlAddBaseMcbEntryEx(Mcb, Vbn, Lbn, SectorCount));
}

/* Makes a range a hole. FALSE: no memory for the run more that this may take, or a range that is none. */
BOOLEAN NTAPI FsRtlRemoveBaseMcbEntry(PBASE_MCB Mcb, LONGLONG Vbn, LONGLONG SectorCount)
{
    LONGLONG End = FsRtlpEnd(Mcb);

    if (Vbn < 0 || SectorCount <= 0) {
        return FALSE;
    }
    if (Vbn >= End) {
        return TRUE;
    }
    if (!NT_SUCCESS(FsRtlpReserve(Mcb, FSRTLP_CHANGE))) {
        return FALSE;
    }
    FsRtlpMap(Mcb, Vbn, min(SectorCount, End - Vbn), FSRTLP_HOLE);
    return TRUE;
}

/**
 * FsRtlLookupBaseMcbEntry - finds where a sector of the file lies.
 *
 * Any of the results may be NULL.
 * @Lbn                         gets its LBN, -1 in a hole
 * @SectorCountFromLbn          gets the sectors to the end of its run, itself included
 * @StartingLbn                 gets the first LBN of its run, -1 in a hole
 * @SectorCountFromStartingLbn  gets the sectors of its run
 * @Index                       gets the run's number
 * returns                      FALSE: it lies past the last run
 */
BOOLEAN NTAPI FsRtlLookupBaseMcbEntry(PBASE_MCB Mcb, LONGLONG Vbn, PLONGLONG Lbn, PLONGLONG SectorCountFromLbn,
                                      PLONGLONG StartingLbn, PLONGLONG SectorCountFromStartingLbn, PULONG Index)
{
    ULONG Number;
    LONGLONG Start;
    FSRTLP_RUN Run;

    if (Vbn < 0 || Vbn >= FsRtlpEnd(Mcb)) {
        return FALSE;
    }
    Number = FsRtlpFindRun(Mcb, Vbn);
    Start = FsRtlpStart(Mcb, Number);
    Run = FsRtlpRuns(Mcb)[Number];
    if (Lbn != NULL) {
        *Lbn = (Run.Lbn == FSRTLP_HOLE) ? FSRTLP_HOLE : Run.Lbn + (Vbn - Start);
    }
    if (SectorCountFromLbn != NULL) {
        *SectorCountFromLbn = Run.End - Vbn;
    }
    if (StartingLbn != NULL) {
        *StartingLbn = Run.Lbn;
    }
    if (SectorCountFromStartingLbn != NULL) {
        *SectorCountFromStartingLbn = Run.End - Start;
    }
    if (Index != NULL) {
        *Index = Number;
    }
    return TRUE;
}

/* The last mapped sector, and the number of its run. FALSE: the map is empty. */
BOOLEAN NTAPI FsRtlLookupLastBaseMcbEntryAndIndex(PBASE_MCB OpaqueMcb, PLONGLONG LargeVbn, PLONGLONG LargeLbn,
                                                  PULONG Index)
{
    LONGLONG End = FsRtlpEnd(OpaqueMcb);

    *LargeVbn = End - 1;
    return End != 0 && FsRtlLookupBaseMcbEntry(OpaqueMcb, End - 1, LargeLbn, NULL, NULL, NULL, Index);
}

BOOLEAN NTAPI FsRtlLookupLastBaseMcbEntry(PBASE_MCB Mcb, PLONGLONG Vbn, PLONGLONG Lbn)
{
    ULONG Index;

    return FsRtlLookupLastBaseMcbEntryAndIndex(Mcb, Vbn, Lbn, &Index);
}

/* Runs, holes between them included. */
ULONG NTAPI FsRtlNumberOfRunsInBaseMcb(PBASE_MCB Mcb)
{
    return Mcb->PairCount;
}

/* A run by its number. FALSE: there are not so many. */
BOOLEAN NTAPI FsRtlGetNextBaseMcbEntry(PBASE_MCB Mcb, ULONG RunIndex, PLONGLONG Vbn, PLONGLONG Lbn,
                                       PLONGLONG SectorCount)
{
    if (RunIndex >= Mcb->PairCount) {
        return FALSE;
    }
    *Vbn = FsRtlpStart(Mcb, RunIndex);
    *Lbn = FsRtlpRuns(Mcb)[RunIndex].Lbn;
    *SectorCount = FsRtlpRuns(Mcb)[RunIndex].End - *Vbn;
    return TRUE;
}

/* Opens a hole of Amount sectors at Vbn: what lay there and above moves up. FALSE: no memory, or numbers would overflow. */
BOOLEAN NTAPI FsRtlSplitBaseMcb(PBASE_MCB Mcb, LONGLONG Vbn, LONGLONG Amount)
{
    LONGLONG End = FsRtlpEnd(Mcb);
    ULONG Index;

    if (Vbn < 0 || Amount < 0 || Amount > MAXLONGLONG - End) {
        return FALSE;
    }
    if (Vbn >= End || Amount == 0) {
        return TRUE;
    }
    if (!NT_SUCCESS(FsRtlpReserve(Mcb, FSRTLP_CHANGE))) {
        return FALSE;
    }
    FsRtlpCut(Mcb, Vbn);
    Index = FsRtlpFindRun(Mcb, Vbn);
    FsRtlpInsertRun(Mcb, Index, Vbn, FSRTLP_HOLE);
    for (ULONG Above = Index; Above < Mcb->PairCount; Above++) {
        FsRtlpRuns(Mcb)[Above].End += Amount;
    }
    FsRtlpJoin(Mcb, Index);
    if (Index != 0) {
        FsRtlpJoin(Mcb, Index - 1);
    }
    return TRUE;
}
