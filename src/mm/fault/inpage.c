/*
 * inpage.c - reading pages of files into memory, in clusters.
 *
 *     prototype PTE:  subsection form --MiBuildCluster--> transition, MI_U4_READ --MiFinishCluster--> transition, standby
 *                            ^                                                          |
 *                            +------------------- read error: OriginalPte back ---------+
 *
 * The faulting page and its absent neighbours of the same 64 KB are read by one IoPageRead into frames that nobody can see: they are in
 * state Transition with the read's reference, and their u1 names the in-page block. Whoever faults on one of them meanwhile waits
 * on that block and looks again. After the read the bytes past the end of the file are zeroed through a window; a read that
 * delivers less than the file has is an error, STATUS_END_OF_FILE; then all frames go to standby and the faulting one is mapped under the same hold of the PFN lock. After an error no
 * frame is mapped: each gives OriginalPte back and is freed, so that no stale byte is ever visible; a failed cluster is tried
 * again as a single page, so that a bad neighbour does not fail a good page.
 *
 * Locks: PFN lock for every change of state; no lock during I/O. A critical region begins before frames are in the read
 * state: a suspended reader would hold up everybody who waits with it, and an APC that wants the same page would wait for
 * its own thread. Shortage of frames, pool or IRPs: drop everything, wait, look again; a file system that says for two seconds
 * that it is short of something is believed.
 */
#include "../misection.h"
#include <ntos/ps.h>

/* Neighbours are read only while more frames than this are available: 4 clusters, so that read-ahead never causes a shortage. */
#define MI_CLUSTER_COMFORT (4 * MI_CLUSTER_PAGES)

/* Reads of one page that a file system refused for want of resources, before that is the outcome of the fault: 2 s. */
#define MI_SHORTAGE_TRIES (2000 / MI_FRAME_WAIT_MS)

static PMI_INPAGE MiCreateInPage(VOID)
{
    PMI_INPAGE Block = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Block), MI_TAG_INPAGE);

    if (Block != NULL) {
        RtlZeroMemory(Block, sizeof(*Block));
        KeInitializeEvent(&Block->Finished, NotificationEvent, FALSE);
        KeInitializeEvent(&Block->IoEvent, NotificationEvent, FALSE);
        Block->References = 1;
    }
    return Block;
}

static VOID MiReleaseInPage(PMI_INPAGE Block)
{
    if (Block != NULL && InterlockedDecrement(&Block->References) == 0) {
        ExFreePoolWithTag(Block, MI_TAG_INPAGE);
    }
}

NTSTATUS MiWaitForInPage(PMI_INPAGE Block, KIRQL OldIrql)
{
    NTSTATUS Status;

    ASSERT_PFN_LOCKED();
    InterlockedIncrement(&Block->References); /* the reader's reference is still there: MI_U4_READ is set */
    MmFaultCounters.Collided++;
    MiUnlockPfn(OldIrql);
    KeWaitForSingleObject(&Block->Finished, WrPageIn, KernelMode, FALSE, NULL);
    /* A failed cluster is read again page by page by whoever still wants one of its pages. */
    Status = Block->Pages > 1 ? STATUS_SUCCESS : Block->Status;
    MiReleaseInPage(Block);
    return Status;
}

/* ---- Building a cluster ---- */

/* Could this page join a cluster: is it in the file only? PFN lock held. */
static BOOLEAN MiIsAbsent(PMMPTE Prototype)
{
    return MiFrameOfPrototype(Prototype) != MI_NO_FRAME32 && MiIsPrototypePte(*Prototype);
}

/* Puts a fresh frame behind a prototype PTE, in the read state. FALSE: no frame. PFN lock held. */
static BOOLEAN MiAddPage(PMI_INPAGE Block, ULONG Index, PMMPTE Prototype)
{
    PETHREAD Thread = (PETHREAD)KeGetCurrentThread();
    PFN_FRAME Frame = MiAllocateFrame(Thread->MemoryMaker ? MI_FRAME_RESERVE : MI_FRAME_ANY);
    MMPTE Original;

    if (Frame == 0) {
        return FALSE;
    }
    /* The allocation may have repurposed a frame; it never touches the form of an absent prototype PTE. */
    Original = *Prototype;
    MiInitializePfnForRead(Frame, Prototype, MiFrameOfPrototype(Prototype), Original, MI_U4_PROTOTYPE, Block);
    *Prototype = MiMakeTransitionPte(Frame, MM_READWRITE);
    Block->Subsection->ControlArea->Frames++;
    Block->Frame[Index] = Frame;
    return TRUE;
}

/**
 * MiBuildCluster - chooses the pages to read and gives them frames.
 *
 * @Block      fresh; receives frames, offset and MDL
 * @Prototype  the faulting page, absent
 * @Single     TRUE: no neighbours
 * returns     FALSE, with nothing changed, when there is no frame for the faulting page
 *
 * IRQL: DISPATCH_LEVEL. Locks: PFN lock.
 */
static BOOLEAN MiBuildCluster(PMI_INPAGE Block, PMMPTE Prototype, BOOLEAN Single)
{
    PSUBSECTION Subsection = MiProtoTarget(*Prototype);
    ULONG64 Page = MiPageOfPrototype(Subsection, Prototype);
    ULONG64 EndPage =
        min(Subsection->StartingPage + Subsection->PteCount, BYTES_TO_PAGES(Subsection->ControlArea->FileSize));
    PMMPTE First = Prototype, Last = Prototype; /* both inside the cluster */
    PFN_FRAME FaultFrame;
    ULONG Pages;

    Block->Subsection = Subsection;
    if (!MiAddPage(Block, 0, Prototype)) {
        return FALSE;
    }
    FaultFrame = Block->Frame[0];
    if (!Single && MiAvailableFrames > MI_CLUSTER_COMFORT) {
        ULONG64 GroupStart = max(Page & ~(ULONG64)(MI_CLUSTER_PAGES - 1), Subsection->StartingPage);
        ULONG64 GroupEnd = min((Page & ~(ULONG64)(MI_CLUSTER_PAGES - 1)) + MI_CLUSTER_PAGES, EndPage);

        while (MiPageOfPrototype(Subsection, Last) + 1 < GroupEnd && MiIsAbsent(Last + 1)) {
            Last++;
        }
        while (MiPageOfPrototype(Subsection, First) > GroupStart && MiIsAbsent(First - 1)) {
            First--;
        }
    }
    /* Frames in file order; where they run out behind the faulting page the cluster ends, before it, it starts later. */
    Pages = 0;
    for (PMMPTE Next = First; Next <= Last; Next++) {
        if (Next == Prototype) {
            Block->Frame[Pages++] = FaultFrame;
        } else if (MiAddPage(Block, Pages, Next)) {
            Pages++;
        } else if (Next > Prototype) {
            break;
        } else {
            /* What was gathered before the gap would not be contiguous: give it back and start at the faulting page. */
            while (Pages != 0) {
                MiCompletePfnRead(Block->Frame[--Pages], STATUS_NO_MEMORY);
                MiDecrementReferenceCount(Block->Frame[Pages]);
            }
            First = Prototype;
            Next = Prototype - 1;
        }
    }
    Block->Pages = Pages;
    Block->Offset.QuadPart = (LONGLONG)(MiPageOfPrototype(Subsection, First) << PAGE_SHIFT);
    Block->ValidBytes =
        min((ULONG64)Pages << PAGE_SHIFT, Subsection->ControlArea->FileSize - (ULONG64)Block->Offset.QuadPart);
    MmInitializeMdl(&Block->Mdl, NULL, (ULONG64)Pages << PAGE_SHIFT);
    Block->Mdl.MdlFlags = MDL_PAGES_LOCKED | MDL_IO_PAGE_READ;
    return TRUE;
}

/* ---- Reading and finishing ---- */

/* Zeroes what lies past the end of the file. */
static VOID MiZeroClusterTail(PMI_INPAGE Block)
{
    for (ULONG Index = (ULONG)(Block->ValidBytes >> PAGE_SHIFT); Index < Block->Pages; Index++) {
        ULONG From = Index == Block->ValidBytes >> PAGE_SHIFT ? (ULONG)Block->ValidBytes & (PAGE_SIZE - 1) : 0;
        KIRQL OldIrql;
        PUCHAR Window;

        KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
        Window = MiMapFrame(Block->Frame[Index], MiWriteBack);
        RtlZeroMemory(Window + From, PAGE_SIZE - From);
        MiUnmapFrame(Window);
        KeLowerIrql(OldIrql);
    }
}

/* The read itself. IRQL: <= APC_LEVEL; no locks. */
static NTSTATUS MiReadCluster(PMI_INPAGE Block)
{
    PFILE_OBJECT FileObject = Block->Subsection->ControlArea->FileObject; /* stays: its frames are in transition */
    PETHREAD Thread = (PETHREAD)KeGetCurrentThread();
    BOOLEAN WasMaker = Thread->MemoryMaker;
    NTSTATUS Status;

    Thread->ActiveFaultCount++;
    Thread->MemoryMaker = TRUE; /* a fault inside the paging path may use the reserve: this read ends in memory */
    if (Block->Subsection->ControlArea->Image != NULL) {
        Status = MiReadImageCluster(Block);
        Thread->MemoryMaker = WasMaker;
        Thread->ActiveFaultCount--;
        return Status;
    }
    Status = IoPageRead(FileObject, &Block->Mdl, &Block->Offset, &Block->IoEvent, &Block->Io);
    if (Status == STATUS_PENDING) {
        KeWaitForSingleObject(&Block->IoEvent, WrPageIn, KernelMode, FALSE, NULL);
        Status = Block->Io.Status;
    } else if (NT_SUCCESS(Status)) {
        Status = Block->Io.Status;
    }
    Thread->MemoryMaker = WasMaker;
    Thread->ActiveFaultCount--;
    if ((Block->Mdl.MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) != 0) {
        MmUnmapLockedPages(Block->Mdl.MappedSystemVa, &Block->Mdl); /* the file system copied, and left its mapping */
    }
    if (NT_SUCCESS(Status) && Block->Io.Information < Block->ValidBytes) {
        Status = STATUS_END_OF_FILE; /* less than the file's size promises: zeroes in its place would be made up */
    }
    if (NT_SUCCESS(Status)) {
        MiZeroClusterTail(Block);
    }
    return Status;
}

/* Ends the read state of all frames; on success they are on standby afterwards. PFN lock held. */
static VOID MiFinishCluster(PMI_INPAGE Block, NTSTATUS Status)
{
    ASSERT_PFN_LOCKED();
    for (ULONG Index = 0; Index < Block->Pages; Index++) {
        MiCompletePfnRead(Block->Frame[Index], Status);
        MiDecrementReferenceCount(Block->Frame[Index]);
    }
    Block->Status = Status;
    MmFaultCounters.PageReads++;
    if (NT_SUCCESS(Status)) {
        MmFaultCounters.PagesRead += Block->Pages;
    } else {
        MmFaultCounters.ReadErrors++;
    }
}

/**
 * MiPageIn - reads the page of an absent prototype PTE and maps it.
 *
 * @Block    in-page block with the cluster built
 * returns   STATUS_SUCCESS: mapped, or look again; else the status of the read
 *
 * IRQL: <= APC_LEVEL; no locks.
 */
static NTSTATUS MiPageIn(PMI_INPAGE Block, PMMPTE Pte, PVOID Address, PMMPTE Prototype)
{
    NTSTATUS Status;
    KIRQL OldIrql;

    Status = MiReadCluster(Block);
    OldIrql = MiLockPfn();
    MiFinishCluster(Block, Status);
    if (NT_SUCCESS(Status) && Pte != NULL && MiIsPrototypePte(*Pte) && MiProtoTarget(*Pte) == Prototype) {
        MiMapPrototype(Pte, Address, Prototype);
    }
    MiUnlockPfn(OldIrql);
    KeSetEvent(&Block->Finished, IO_NO_INCREMENT, FALSE);
    return Status;
}

/* Waits for memory in the middle of a fault; nothing is held. */
static VOID MiFaultShortage(VOID)
{
    MmFaultCounters.ShortageWaits++;
    MiWaitForFrames();
}

/* Both of the below inside a critical region. Pte NULL: the page of Wanted is only brought into memory. */
static NTSTATUS MiResolveInRegion(PMMPTE Pte, PVOID Address, PMMPTE Wanted)
{
    PMI_INPAGE Block = NULL;
    BOOLEAN Single = FALSE, Short = FALSE;
    ULONG Tries = 0;
    NTSTATUS Status;

    ASSERT_IRQL_MAX(APC_LEVEL);
    for (;;) {
        MMPTE Content = Pte != NULL ? *(volatile MMPTE *)Pte : MiMakeProtoPte(Wanted, 0);
        PMMPTE Prototype = MiProtoTarget(Content);
        KIRQL OldIrql;

        if (!MiIsPrototypePte(Content)) {
            Status = STATUS_SUCCESS;
            break;
        }
        if (Short) {
            MiFaultShortage();
            Short = FALSE;
        }
        if (Block == NULL && (Block = MiCreateInPage()) == NULL) {
            Short = TRUE;
            continue;
        }
        (void)*(volatile ULONG64 *)&Prototype->Long; /* resident before the PFN lock is taken */
        OldIrql = MiLockPfn();
        if (Pte != NULL && Pte->Long != Content.Long) {
            MiUnlockPfn(OldIrql);
            continue;
        }
        switch (Pte != NULL ? MiMapPrototype(Pte, Address, Prototype) : MiLookAtPrototype(Prototype)) {
        case MiPrototypeMapped:
            MiUnlockPfn(OldIrql);
            MmFaultCounters.Soft += Pte != NULL;
            MiReleaseInPage(Block);
            return STATUS_SUCCESS;
        case MiPrototypeReading:
            Status = MiWaitForInPage(MiPfn(MiTransitionFrame(*Prototype))->u1.InPageBlock, OldIrql);
            if (!NT_SUCCESS(Status) && Status != STATUS_INSUFFICIENT_RESOURCES) {
                MiReleaseInPage(Block);
                return Status;
            }
            continue;
        case MiPrototypeDemandZero:
            if (Pte == NULL) {
                MiUnlockPfn(OldIrql);
                MiReleaseInPage(Block);
                return STATUS_SUCCESS;
            }
            Short = !MiMapZeroedPrototype(Pte, Address, Prototype);
            InterlockedExchangeAdd64((volatile LONG64 *)&MmFaultCounters.DemandZero, !Short);
            MiUnlockPfn(OldIrql);
            continue;
        case MiPrototypeNotResident:
            MiUnlockPfn(OldIrql);
            continue;
        case MiPrototypeNothing:
            MiUnlockPfn(OldIrql);
            MiReleaseInPage(Block);
            return STATUS_ACCESS_VIOLATION;
        case MiPrototypeAbsent:
            break;
        }
        {
            PSUBSECTION Subsection = MiProtoTarget(*Prototype);

            if (MiPageOfPrototype(Subsection, Prototype) << PAGE_SHIFT >= Subsection->ControlArea->FileSize) {
                MiUnlockPfn(OldIrql);
                Status = STATUS_END_OF_FILE;
                break;
            }
        }
        Short = !MiBuildCluster(Block, Prototype, Single);
        MiUnlockPfn(OldIrql);
        if (Short) {
            continue;
        }
        Status = MiPageIn(Block, Pte, Address, Prototype);
        /* no IRP, no mapping: it will be better later */
        Short = Status == STATUS_INSUFFICIENT_RESOURCES && (!Single || ++Tries < MI_SHORTAGE_TRIES);
        if (NT_SUCCESS(Status) || (!Short && Block->Pages == 1)) {
            break;
        }
        Single = TRUE;
        MiReleaseInPage(Block);
        Block = NULL;
    }
    MiReleaseInPage(Block);
    return Status;
}

/**
 * MiResolvePrototypeFault - makes the page behind a view's PTE valid.
 *
 * @Pte      PTE of a view, in the self-map, its table resident
 * @Address  what it maps
 * returns   STATUS_SUCCESS: valid now, or changed meanwhile (retry); STATUS_ACCESS_VIOLATION: no such page;
 *           else the status of the failed paging read
 *
 * The caller keeps the view mapped. IRQL: <= APC_LEVEL; no locks: it waits for I/O and for memory.
 */
NTSTATUS MiResolvePrototypeFault(PMMPTE Pte, PVOID Address)
{
    NTSTATUS Status;

    KeEnterCriticalRegion();
    Status = MiResolveInRegion(Pte, Address, NULL);
    KeLeaveCriticalRegion();
    return Status;
}

/**
 * MiReadPrototype - brings the page of a prototype PTE into memory, for nobody in particular: it is on standby afterwards.
 *
 * returns  STATUS_SUCCESS: in memory, or a page without content that needs no reading; else as MiResolvePrototypeFault
 *
 * The caller keeps the control area. IRQL: <= APC_LEVEL; no locks: it waits for I/O and for memory.
 */
NTSTATUS MiReadPrototype(PMMPTE Prototype)
{
    NTSTATUS Status;

    KeEnterCriticalRegion();
    Status = MiResolveInRegion(NULL, NULL, Prototype);
    KeLeaveCriticalRegion();
    return Status;
}
