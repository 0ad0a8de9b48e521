/*
 * rammap.c - console commands `rammap` (what RAM is used for) and `pfnmap` (each frame, for a picture).
 *
 * Both show one moment (frameuse.c), so every column adds up: the table of uses has a row for each use and a column for each
 * state that a person cares about, and its last row is RAM; files are listed with what they have in memory; standby by
 * priority; and what the kernel half maps, by region.
 *
 * pfnmap prints, a run at a time, a letter for the state, one for the use, and how many frames in a row are so; scripts/memory-map
 * makes a picture of it. Lines begin with fixed words: programs read them.
 *
 * Locks: none of its own. IRQL: PASSIVE_LEVEL, in the console's thread.
 */
#include "../frameuse.h"
#include <ntos/console.h>

#define MI_TAG_CODES  'dCmM'
#define MI_MAP_COLUMN 100 /* characters after which a line of pfnmap ends */

static const CHAR MiStateLetters[MiStateMax + 1] = "ZFSMWBAT";

#define MI_NUMBER(Count) ((unsigned long long)(Count))
#define MI_KB(Pages)     (MI_NUMBER(Pages) * (MM_PAGE_SIZE / 1024))

/* ---- rammap ---- */

typedef enum _MI_COLUMN {
    MiColumnTotal,
    MiColumnActive, /* and in transition */
    MiColumnStandby,
    MiColumnModified,
    MiColumnZeroed,
    MiColumnFree,
    MiColumnBad,
    MiColumns
} MI_COLUMN;

static MI_COLUMN MiColumnOf(ULONG State)
{
    static const UCHAR Column[MiStateMax] = {[MiZeroed] = MiColumnZeroed,
                                             [MiFree] = MiColumnFree,
                                             [MiStandby] = MiColumnStandby,
                                             [MiModified] = MiColumnModified,
                                             [MiModifiedNoWrite] = MiColumnModified,
                                             [MiBad] = MiColumnBad,
                                             [MiActive] = MiColumnActive,
                                             [MiTransition] = MiColumnActive};

    return Column[State];
}

static VOID MiPrintUseRow(PCSTR Name, const ULONG64 *Row)
{
    ConPrint("  %-16s", Name);
    for (ULONG Column = 0; Column < MiColumns; Column++) {
        ConPrint(" %8llu", MI_NUMBER(Row[Column]));
    }
    ConPrint(" %9llu KB\n", MI_KB(Row[MiColumnTotal]));
}

static VOID MiPrintUses(const MI_FRAME_COUNTS *Counts)
{
    ULONG64 Sum[MiColumns] = {0};

    ConPrint("use of RAM, in frames of 4 KB\n");
    ConPrint("  %-16s %8s %8s %8s %8s %8s %8s %8s\n", "use", "total", "active", "standby", "modified", "zeroed", "free",
             "bad");
    for (ULONG Use = 0; Use < MiUseMax; Use++) {
        ULONG64 Row[MiColumns] = {0};

        for (ULONG State = 0; State < MiStateMax; State++) {
            Row[MiColumnOf(State)] += Counts->Of[Use][State];
            Row[MiColumnTotal] += Counts->Of[Use][State];
        }
        for (ULONG Column = 0; Column < MiColumns; Column++) {
            Sum[Column] += Row[Column];
        }
        MiPrintUseRow(MiUseName(Use), Row);
    }
    MiPrintUseRow("total", Sum);
    ConPrint("RAM: %llu frames\n", MI_NUMBER(MiRamFrames));
    ConPrint("standby by priority:");
    for (ULONG Priority = 0; Priority < MI_STANDBY_LISTS; Priority++) {
        ConPrint(" %llu", MI_NUMBER(Counts->Standby[Priority]));
    }
    ConPrint("\n");
}

static PCSTR MiKindOf(MI_FRAME_USE Use)
{
    return Use == MiUseImage ? "image" : Use == MiUseMappedFile ? "mapped" : "cache";
}

static VOID MiPrintFiles(const MI_FRAME_SNAPSHOT *Snapshot)
{
    ULONG64 Sum[MiFileColumns] = {0};

    ConPrint("files in RAM, in frames\n    active  standby modified  kind   name\n");
    for (ULONG Index = 0; Index < Snapshot->FileCount; Index++) {
        const MI_FILE_FRAMES *File = &Snapshot->Files[Index];
        PCUNICODE_STRING Name = &File->ControlArea->FileObject->FileName;

        if (File->Frames[0] + File->Frames[1] + File->Frames[2] == 0) {
            continue;
        }
        for (ULONG Column = 0; Column < MiFileColumns; Column++) {
            Sum[Column] += File->Frames[Column];
        }
        ConPrint("  %8llu %8llu %8llu  %-6s ", MI_NUMBER(File->Frames[MiFileActive]),
                 MI_NUMBER(File->Frames[MiFileStandby]), MI_NUMBER(File->Frames[MiFileModified]), MiKindOf(File->Use));
        if (Name->Length != 0) {
            ConPrint("%wZ\n", Name);
        } else {
            ConPrint("(a volume's structures)\n");
        }
    }
    ConPrint("  %8llu %8llu %8llu  total\n", MI_NUMBER(Sum[MiFileActive]), MI_NUMBER(Sum[MiFileStandby]),
             MI_NUMBER(Sum[MiFileModified]));
    if (Snapshot->OtherFiles != 0) {
        ConPrint("files that were coming or going: %llu frames\n", MI_NUMBER(Snapshot->OtherFiles));
    }
}

static VOID MiPrintRegions(VOID)
{
    MM_EXPOSURE Exposure;

    MmQueryExposure(&Exposure);
    ConPrint("exposure: frames that the kernel half maps, by region\n");
    for (ULONG Region = 0; Region < MmRegionMax; Region++) {
        ConPrint("  %-16s %8llu\n", MiRegionName(Region), MI_NUMBER(Exposure.Frames[Region]));
    }
    ConPrint("  %-16s %8llu, %llu hundredths of a per cent of RAM, peak %llu\n", "total", MI_NUMBER(Exposure.Total),
             MI_NUMBER(Exposure.Total * 10000 / Exposure.RamFrames), MI_NUMBER(Exposure.Peak));
}

static VOID MiRamMap(ULONG ArgumentCount, PCSTR *Arguments)
{
    MI_FRAME_SNAPSHOT Snapshot;
    NTSTATUS Status = MiTakeFrameSnapshot(&Snapshot, NULL);

    if (!NT_SUCCESS(Status)) {
        ConPrint("rammap: no memory for the list of files (0x%08X)\n", (unsigned)Status);
        return;
    }
    MiPrintUses(&Snapshot.Counts);
    MiPrintFiles(&Snapshot);
    MiPrintRegions();
    MiReleaseFrameSnapshot(&Snapshot);
}
CONSOLE_COMMAND(MiRamMapCommand, "rammap", "", "what RAM is used for, and by which files", MiRamMap);

/* ---- pfnmap ---- */

static VOID MiPrintLegend(const MI_FRAME_COUNTS *Counts)
{
    for (ULONG State = 0; State < MiStateMax; State++) {
        ULONG64 Sum = 0;

        for (ULONG Use = 0; Use < MiUseMax; Use++) {
            Sum += Counts->Of[Use][State];
        }
        ConPrint("state %c %llu %s\n", MiStateLetters[State], MI_NUMBER(Sum), MiStateName(State));
    }
    for (ULONG Use = 0; Use < MiUseMax; Use++) {
        ULONG64 Sum = 0;

        for (ULONG State = 0; State < MiStateMax; State++) {
            Sum += Counts->Of[Use][State];
        }
        ConPrint("use %c %llu %s\n", (CHAR)('a' + Use), MI_NUMBER(Sum), MiUseName(Use));
    }
}

/* One token at Text; returns its length: state, use, and how often if more than once. */
static ULONG MiPutRun(PSTR Text, UCHAR Code, ULONG64 Count)
{
    CHAR Digits[20];
    ULONG Length = 2, Used = 0;

    Text[0] = MiStateLetters[MI_CODE_STATE(Code)];
    Text[1] = (CHAR)('a' + MI_CODE_USE(Code));
    for (; Count > 1 || (Used != 0 && Count != 0); Count /= 10) {
        Digits[Used++] = (CHAR)('0' + Count % 10);
    }
    while (Used != 0) {
        Text[Length++] = Digits[--Used];
    }
    return Length;
}

static VOID MiPrintCodes(const UCHAR *Codes, ULONG64 Count)
{
    CHAR Line[MI_MAP_COLUMN + 24];
    ULONG Used = 0;

    for (ULONG64 At = 0, Next; At < Count; At = Next) {
        for (Next = At + 1; Next < Count && Codes[Next] == Codes[At]; Next++) {
        }
        Used += MiPutRun(Line + Used, Codes[At], Next - At);
        if (Used >= MI_MAP_COLUMN || Next == Count) {
            Line[Used] = 0;
            ConPrint("= %s\n", Line);
            Used = 0;
        }
    }
}

static VOID MiPfnMap(ULONG ArgumentCount, PCSTR *Arguments)
{
    PUCHAR Codes = MmAllocatePoolPages(FALSE, MiRamFrames, MI_TAG_CODES, FALSE), Next = Codes;
    MI_FRAME_SNAPSHOT Snapshot;

    if (Codes == NULL || !NT_SUCCESS(MiTakeFrameSnapshot(&Snapshot, Codes))) {
        ConPrint("pfnmap: no memory for a byte a frame (0x%08X)\n", (unsigned)STATUS_INSUFFICIENT_RESOURCES);
        if (Codes != NULL) {
            MmFreePoolPages(Codes);
        }
        return;
    }
    ConPrint("pfnmap %llu frames of %u bytes in %u runs\n", MI_NUMBER(MiRamFrames), (unsigned)MM_PAGE_SIZE,
             (unsigned)MiRamRunCount);
    MiPrintLegend(&Snapshot.Counts);
    for (ULONG Run = 0; Run < MiRamRunCount; Run++) {
        ConPrint("run 0x%llx %llu\n", MI_NUMBER(MiRamRuns[Run].Base), MI_NUMBER(MiRamRuns[Run].Count));
        MiPrintCodes(Next, MiRamRuns[Run].Count);
        Next += MiRamRuns[Run].Count;
    }
    ConPrint("pfnmap end\n");
    MiReleaseFrameSnapshot(&Snapshot);
    MmFreePoolPages(Codes);
}
CONSOLE_COMMAND(MiPfnMapCommand, "pfnmap", "", "every frame's state and use, for scripts/memory-map", MiPfnMap);
