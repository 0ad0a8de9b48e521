/*
 * squeeze.c - two console commands about frames of files: `squeeze` and `standby`.
 *
 * `squeeze` takes every available frame at once and gives it back, so that whatever was on standby has been repurposed: what a file
 * then reads comes from the disk again. It is how a person, or a test, sees that pages on standby were pages in memory. The frames
 * are held as MDLs; while they are, faults of other threads wait for frames as they would in any shortage.
 *
 * `standby` counts the frames of each file that has a data section, by state.
 *
 * IRQL: PASSIVE_LEVEL. No lock is held between MDLs.
 */
#include "../misection.h"
#include <ntos/console.h>
#include <ntos/rtl.h>

/* 16 MB at a time: 4000 frames and their array fit an MDL. */
#define MI_SQUEEZE_CHUNK (4000ULL << PAGE_SHIFT)

/* What MDLs cannot take: the reserve, and the frames that were too few for the next MDL's own 32 KB of pool; with room to spare. */
#define MI_SQUEEZE_REST (MI_RESERVE_FRAMES + 64)

/* Repurposes what is left on standby when no MDL can be had any more; the frames are given back at once. */
static VOID MiSqueezeReserve(VOID)
{
    PFN_FRAME Frames[MI_SQUEEZE_REST];
    ULONG Count = 0;
    KIRQL OldIrql = MiLockPfn();

    while (Count < MI_SQUEEZE_REST && (Frames[Count] = MiAllocateFrame(MI_FRAME_RESERVE)) != 0) {
        Count++;
    }
    while (Count != 0) {
        MiFreeFrame(Frames[--Count]);
    }
    MiUnlockPfn(OldIrql);
}

ULONG64 MiSqueeze(ULONG64 Bytes)
{
    PHYSICAL_ADDRESS Low = {.QuadPart = 0}, High = {.QuadPart = MAXLONG64}, Skip = {.QuadPart = 0};
    PMDL Head = NULL;
    ULONG64 Taken = 0;

    while (Taken < Bytes) {
        PMDL Mdl = MmAllocatePagesForMdlEx(Low, High, Skip, min(Bytes - Taken, MI_SQUEEZE_CHUNK), MmCached,
                                           MM_DONT_ZERO_ALLOCATION);

        if (Mdl == NULL) {
            break;
        }
        Taken += Mdl->ByteCount;
        Mdl->Next = Head;
        Head = Mdl;
    }
    if (Taken < Bytes) {
        MiSqueezeReserve();
    }
    while (Head != NULL) {
        PMDL Next = Head->Next;

        MmFreePagesFromMdl(Head);
        ExFreePool(Head);
        Head = Next;
    }
    return Taken;
}

static VOID MiSqueezeCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    ULONG64 Bytes = MAXULONG64, Taken;

    if (ArgumentCount > 1) {
        ULONG64 MegaBytes = 0;

        for (PCSTR Digit = Arguments[1]; *Digit != 0; Digit++) {
            if (*Digit < '0' || *Digit > '9' || MegaBytes > MAXULONG) {
                ConPrint("squeeze: not a number of megabytes: \"%s\": STATUS_INVALID_PARAMETER (0x%08lX)\n",
                         Arguments[1], STATUS_INVALID_PARAMETER);
                return;
            }
            MegaBytes = MegaBytes * 10 + (ULONG64)(*Digit - '0');
        }
        Bytes = MegaBytes << 20;
    }
    Taken = MiSqueeze(Bytes);
    ConPrint("squeeze: took %llu frames (%llu MB) and gave them back\n", Taken >> PAGE_SHIFT, Taken >> 20);
}

/* Control areas one after the other: the next one in the list after a referenced one, referenced. */
static PCONTROL_AREA MiNextControlArea(PCONTROL_AREA Previous)
{
    KIRQL OldIrql = MiLockPfn();
    PLIST_ENTRY Link = Previous == NULL ? MiControlAreas.Flink : Previous->Link.Flink;
    PCONTROL_AREA Next = Link == &MiControlAreas ? NULL : CONTAINING_RECORD(Link, CONTROL_AREA, Link);

    if (Next != NULL) {
        MiReferenceControlArea(Next);
    }
    MiUnlockPfn(OldIrql);
    return Next;
}

static VOID MiStandbyCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    PCONTROL_AREA ControlArea = MiNextControlArea(NULL);

    ConPrint("  pages active standby modified transition  file\n");
    while (ControlArea != NULL) {
        MM_SECTION_PAGES Pages = {0};
        PCONTROL_AREA Next;

        MiCountSectionPages(ControlArea, &Pages);
        ConPrint("%7llu %6llu %7llu %8llu %10llu  ", Pages.Total, Pages.Active, Pages.Standby, Pages.Modified,
                 Pages.Transition);
        if (ControlArea->FileObject == NULL) {
            ConPrint("(page file)\n");
        } else if (ControlArea->FileObject->FileName.Length == 0) {
            ConPrint("(stream of %p)\n", (PVOID)ControlArea->FileObject->DeviceObject);
        } else {
            ConPrint("%wZ\n", &ControlArea->FileObject->FileName);
        }
        Next = MiNextControlArea(ControlArea);
        MiDereferenceControlArea(ControlArea);
        ControlArea = Next;
    }
}

CONSOLE_COMMAND(MiSqueezeEntry, "squeeze", "[MB]",
                "take all available frames and give them back: standby is repurposed", MiSqueezeCommand);
CONSOLE_COMMAND(MiStandbyEntry, "standby", "", "frames of cached files by state", MiStandbyCommand);
