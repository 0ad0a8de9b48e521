/*
 * placeholder.c - placeholders: reserved addresses that nothing can be done with but to split, to join and to replace them.
 *
 * A placeholder is a VAD without access. MEM_PRESERVE_PLACEHOLDER cuts a part out of one, or turns an allocation back into one;
 * MEM_COALESCE_PLACEHOLDERS makes one of several that lie side by side; an allocation or a view of exactly its pages takes its place
 * (allocvm.c, userview.c). The addresses are never free meanwhile, so nobody else gets them.
 *
 * Locks: address lock held by the caller; working-set lock where the tree changes.
 *
 * Source: VirtualAlloc2, VirtualFree and MapViewOfFile3 in the Windows documentation.
 */
#include "../misection.h"
#include "../miprocess.h"
#include <ntos/user.h>

#define MI_MOST_PARAMETERS 8

PMI_VAD MiFindPlaceholder(PMI_ADDRESS_SPACE Space, ULONG64 First, ULONG64 Last)
{
    PMI_VAD Vad = MiFindVad(Space, First);

    return Vad != NULL && Vad->Placeholder && Vad->StartVpn == First && Vad->EndVpn == Last ? Vad : NULL;
}

VOID MiReplacePlaceholder(PMI_ADDRESS_SPACE Space, PMI_VAD Placeholder, PMI_VAD New)
{
    ExAcquireFastMutex(&Space->WorkingSetLock);
    MiRemoveVad(Space, Placeholder);
    MiInsertVad(Space, New);
    ExReleaseFastMutex(&Space->WorkingSetLock);
    ExFreePoolWithTag(Placeholder, MI_TAG_VAD);
}

/* A private allocation as a whole becomes a placeholder. */
static NTSTATUS MiBecomePlaceholder(PMI_ADDRESS_SPACE Space, PMI_VAD Vad)
{
    ExAcquireFastMutex(&Space->WorkingSetLock);
    MiEmptyVad(Space, Vad);
    Vad->CommitAll = FALSE;
    Vad->WriteWatch = FALSE;
    Vad->Protection = MM_NOACCESS;
    Vad->Placeholder = TRUE;
    ExReleaseFastMutex(&Space->WorkingSetLock);
    return STATUS_SUCCESS;
}

/* [First, Last] becomes a placeholder of its own, what is on either side of it too. */
static NTSTATUS MiSplitPlaceholder(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 First, ULONG64 Last)
{
    PMI_VAD Part[2] = {NULL, NULL};
    ULONG Parts = (First != Vad->StartVpn) + (Last != Vad->EndVpn);

    for (ULONG Index = 0; Index < Parts; Index++) {
        Part[Index] = MiCreateVad(MiVadPrivate, 0, 0, 0);
        if (Part[Index] == NULL) {
            if (Index != 0) {
                ExFreePoolWithTag(Part[0], MI_TAG_VAD);
            }
            return STATUS_INSUFFICIENT_RESOURCES;
        }
    }
    ExAcquireFastMutex(&Space->WorkingSetLock);
    if (Last != Vad->EndVpn) {
        MiSplitVad(Space, Vad, Last + 1, Part[--Parts]);
    }
    if (First != Vad->StartVpn) {
        MiSplitVad(Space, Vad, First, Part[--Parts]);
    }
    ExReleaseFastMutex(&Space->WorkingSetLock);
    return STATUS_SUCCESS;
}

NTSTATUS MiPreservePlaceholder(PMI_ADDRESS_SPACE Space, ULONG64 First, ULONG64 Last)
{
    PMI_VAD Vad = MiFindVad(Space, First);

    if (Vad == NULL) {
        return STATUS_MEMORY_NOT_ALLOCATED;
    }
    if (Vad->Type != MiVadPrivate) {
        return STATUS_UNABLE_TO_DELETE_SECTION;
    }
    if (Last > Vad->EndVpn) {
        return STATUS_UNABLE_TO_FREE_VM;
    }
    if (Vad->Placeholder) {
        /* the part that is split off has to be a part */
        return First == Vad->StartVpn && Last == Vad->EndVpn ? STATUS_CONFLICTING_ADDRESSES
                                                             : MiSplitPlaceholder(Space, Vad, First, Last);
    }
    if (First != Vad->StartVpn || Last != Vad->EndVpn || Vad->LargePages) {
        return STATUS_CONFLICTING_ADDRESSES;
    }
    return Vad->Secured != 0 ? STATUS_INVALID_PAGE_PROTECTION : MiBecomePlaceholder(Space, Vad);
}

/* The range is at least two placeholders, side by side? */
static BOOLEAN MiArePlaceholders(PMI_ADDRESS_SPACE Space, ULONG64 First, ULONG64 Last)
{
    PMI_VAD Vad = MiFindVad(Space, First);
    ULONG64 Next = First;

    if (Vad == NULL || Vad->EndVpn >= Last) {
        return FALSE;
    }
    while (Vad != NULL && Vad->Placeholder && Vad->StartVpn == Next && Vad->EndVpn <= Last) {
        if (Vad->EndVpn == Last) {
            return TRUE;
        }
        Next = Vad->EndVpn + 1;
        Vad = MiNextVad(Space, Vad);
    }
    return FALSE;
}

NTSTATUS MiCoalescePlaceholders(PMI_ADDRESS_SPACE Space, ULONG64 First, ULONG64 Last)
{
    PMI_VAD Vad = MiFindVad(Space, First);
    KIRQL Irql;

    if (!MiArePlaceholders(Space, First, Last)) {
        return STATUS_CONFLICTING_ADDRESSES;
    }
    ExAcquireFastMutex(&Space->WorkingSetLock);
    while (Vad->EndVpn != Last) {
        PMI_VAD Next = MiNextVad(Space, Vad);
        ULONG64 End = Next->EndVpn;

        MiRemoveVad(Space, Next);
        ExFreePoolWithTag(Next, MI_TAG_VAD);
        Irql = MiLockPfn();
        MiResizeVad(Space, Vad, Vad->StartVpn, End);
        MiUnlockPfn(Irql);
    }
    ExReleaseFastMutex(&Space->WorkingSetLock);
    return STATUS_SUCCESS;
}

/* ---- Extended parameters ---- */

static NTSTATUS MiCaptureRequirements(const VM_ADDRESS_REQUIREMENTS *Pointer, PMI_PLACE Place)
{
    VM_ADDRESS_REQUIREMENTS Wanted;
    NTSTATUS Status = ExCopyFromCaller(&Wanted, Pointer, sizeof(Wanted));
    ULONG64 Lowest, Highest;

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Lowest = Wanted.LowestStartingAddress == NULL ? Place->Lowest : (ULONG64)Wanted.LowestStartingAddress;
    Highest = Wanted.HighestEndingAddress == NULL ? Place->Highest : (ULONG64)Wanted.HighestEndingAddress;
    if (Wanted.Alignment != 0) {
        Place->Alignment = Wanted.Alignment;
    }
    if (Lowest % MI_GRANULARITY != 0 || Lowest < MI_LOWEST_USER || Highest > MI_HIGHEST_VAD || Lowest > Highest ||
        (Highest != MI_HIGHEST_VAD && (Highest + 1) % MI_GRANULARITY != 0) || Place->Alignment < MI_GRANULARITY ||
        (Place->Alignment & (Place->Alignment - 1)) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Place->Lowest = Lowest;
    Place->Highest = Highest;
    return STATUS_SUCCESS;
}

/* A parameter that is given twice counts as its last. Fails: STATUS_INVALID_PARAMETER, STATUS_ACCESS_VIOLATION. */
NTSTATUS MiCaptureParameters(const VM_EXTENDED_PARAMETER *Parameters, ULONG Count, PMI_PLACE Place)
{
    NTSTATUS Status =
        Count > MI_MOST_PARAMETERS || (Count != 0 && Parameters == NULL) ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;

    for (ULONG Index = 0; Index < Count && NT_SUCCESS(Status); Index++) {
        VM_EXTENDED_PARAMETER Parameter;

        Status = ExCopyFromCaller(&Parameter, &Parameters[Index], sizeof(Parameter));
        if (!NT_SUCCESS(Status)) {
            break;
        }
        if (Parameter.Reserved != 0) {
            Status = STATUS_INVALID_PARAMETER;
        } else if (Parameter.Type == VM_PARAMETER_ADDRESS_REQUIREMENTS) {
            Status = MiCaptureRequirements(Parameter.Pointer, Place);
        } else if (Parameter.Type != VM_PARAMETER_NUMA_NODE) {
            Status = STATUS_INVALID_PARAMETER;
        }
    }
    return Status;
}
