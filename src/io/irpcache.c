/*
 * irpcache.c - IRPs kept for the next request.
 *
 * Each processor has two lookaside lists, for IRPs of up to IRP_SMALL and up to IRP_LARGE stack locations: nearly all requests go to
 * stacks no deeper than those. An IRP is taken from and given to the list of the processor that its caller runs on, so processors
 * do not pass the list's head to and fro; the lists are lock-free, and moving to another processor in between does no harm. Their depths are
 * adjusted to their use like those of all lookaside lists (src/ex/lookaside.c).
 *
 * A kept IRP has the link in its first words, so that its Type is none that a live IRP has; the chk flavour fills the rest like
 * freed pool and looks whether it still is so when the IRP is taken again. With special pool nothing is kept.
 *
 * Locks: none. IRQL: <= DISPATCH_LEVEL.
 */
#include "iop.h"
#include <ntos/pool.h>

#define IRP_SMALL 2 /* a file system on a disk: one for each, and the synchronous requests of drivers */
#define IRP_LARGE 6 /* with filters above and below; a larger one is not worth keeping */

enum { ListSmall, ListLarge, ListCount };

static const CCHAR Locations[ListCount] = {IRP_SMALL, IRP_LARGE};

static struct {
    LOOKASIDE_LIST_EX List[ListCount];
} DECLSPEC_CACHEALIGN Lists[KI_MAXIMUM_PROCESSORS];
static BOOLEAN ListsReady; /* (c) */

VOID IopInitializeIrpLists(VOID)
{
    for (ULONG Number = 0; Number < KI_MAXIMUM_PROCESSORS; Number++) {
        for (ULONG Index = 0; Index < ListCount; Index++) {
            ExInitializeLookasideListEx(&Lists[Number].List[Index], NULL, NULL, NonPagedPool, 0,
                                        IoSizeOfIrp(Locations[Index]), IOP_TAG_IRP, 0);
        }
    }
    ListsReady = TRUE;
}

/* The list for a request, on this processor; NULL: none keeps such IRPs. */
static PLOOKASIDE_LIST_EX ListFor(CCHAR StackSize)
{
    ULONG Index = StackSize <= IRP_SMALL ? ListSmall : ListLarge;

    return ListsReady && StackSize <= IRP_LARGE && !ExIsSpecialPool() ? &Lists[KeGetCurrentPrcb()->Number].List[Index]
                                                                      : NULL;
}

#define KEPT_FILL 0xDD /* as in freed pool */

static VOID FillKept(PIRP Irp, ULONG Bytes)
{
    if (NT_CHK) {
        RtlFillMemory((PSLIST_ENTRY)Irp + 1, Bytes - sizeof(SLIST_ENTRY), KEPT_FILL);
    }
}

static VOID CheckKept(PIRP Irp, ULONG Bytes)
{
    const UCHAR *Memory = (const UCHAR *)Irp;

    for (ULONG Index = sizeof(SLIST_ENTRY); NT_CHK && Index < Bytes; Index++) {
        if (Memory[Index] != KEPT_FILL) {
            KeBugCheckEx(BAD_POOL_HEADER, 0x20, (ULONG_PTR)Irp, IOP_TAG_IRP, Index);
        }
    }
}

PIRP IopTakeIrp(CCHAR StackSize, PVOID Site, PUCHAR Flags)
{
    PLOOKASIDE_LIST_EX List = ListFor(StackSize);
    PIRP Irp = NULL;

    if (List == NULL) {
        *Flags = IRP_ALLOCATED_FIXED_SIZE;
        return ExAllocatePoolFor(NonPagedPool, IoSizeOfIrp(StackSize), IOP_TAG_IRP, Site);
    }
    *Flags = IRP_ALLOCATED_FIXED_SIZE | IRP_LOOKASIDE_ALLOCATION;
    List->L.TotalAllocates++;
    Irp = (PIRP)ExpInterlockedPopEntrySList(&List->L.ListHead);
    if (Irp == NULL) {
        List->L.AllocateMisses++;
        return ExAllocatePoolFor(NonPagedPool, List->L.Size, IOP_TAG_IRP, Site);
    }
    ExReassignPool(Irp, Site);
    CheckKept(Irp, List->L.Size);
    return Irp;
}

VOID IopGiveIrp(PIRP Irp)
{
    PLOOKASIDE_LIST_EX List = ListFor(Irp->StackCount);

    if ((Irp->AllocationFlags & IRP_LOOKASIDE_ALLOCATION) == 0 || List == NULL) {
        ExFreePoolWithTag(Irp, IOP_TAG_IRP);
    } else {
        ExReassignPool(Irp, _ReturnAddress()); /* no longer the driver's that asked for it */
        FillKept(Irp, List->L.Size);
        ExFreeToLookasideListEx(List, Irp);
    }
}

VOID IopTrimIrps(VOID)
{
    for (ULONG Number = 0; ListsReady && Number < KI_MAXIMUM_PROCESSORS; Number++) {
        for (ULONG Index = 0; Index < ListCount; Index++) {
            ExFlushLookasideListEx(&Lists[Number].List[Index]);
        }
    }
}
