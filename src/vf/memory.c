/*
 * memory.c - what a block of pool may not hold when it is freed.
 *
 * A freed block is searched for timers that are armed and DPCs that are queued, which would run from it later; for locks that
 * the freeing thread holds; and for resources that were not deleted. A timer or DPC is known by the form of its header, and believed
 * only if the list it claims to be in points back at it.
 *
 * Locks: none of its own. IRQL: <= DISPATCH_LEVEL.
 */
#include "../ke/kip.h"
#include "vfp.h"

#define SEARCHED_BYTES 0x4000 /* of one block: objects with timers are smaller, and long buffers are data */

static VOID ReportFreed(PVOID Base, SIZE_T Bytes, PCSTR What, const VOID *Object)
{
    VfReport(VfReportFreed, NULL, 0, NULL, 0, "a block of 0x%llx bytes at %p is freed with %s at %p in it", Bytes, Base,
             What, Object);
}

/* The list entry is in a list: its neighbours point back. Read without faulting: it may be any bytes. */
static BOOLEAN IsLinked(const LIST_ENTRY *Entry)
{
    LIST_ENTRY Copy = *Entry, Next, Before;

    return Copy.Flink != NULL && Copy.Flink != Entry && KiCopyMemoryNoFault(&Next, Copy.Flink, sizeof(Next)) &&
           KiCopyMemoryNoFault(&Before, Copy.Blink, sizeof(Before)) && Next.Blink == Entry && Before.Flink == Entry;
}

static BOOLEAN IsArmedTimer(const KTIMER *Timer)
{
    return (Timer->Header.Type == TimerNotificationObject || Timer->Header.Type == TimerSynchronizationObject) &&
           Timer->Header.Inserted != 0 && IsLinked(&Timer->TimerListEntry);
}

static BOOLEAN IsQueuedDpc(const KDPC *Dpc)
{
    return (Dpc->Type == DpcObject || Dpc->Type == ThreadedDpcObject) && Dpc->Importance <= HighImportance &&
           Dpc->DpcData != NULL && IsLinked(&Dpc->DpcListEntry);
}

static VOID SearchObjects(PVOID Base, SIZE_T Bytes)
{
    PUCHAR End = (PUCHAR)Base + Bytes;

    for (PUCHAR Place = Base; Place + sizeof(KTIMER) <= End; Place += sizeof(ULONG64)) {
        if (IsArmedTimer((PKTIMER)Place)) {
            ReportFreed(Base, Bytes, "an armed timer", Place);
        } else if (IsQueuedDpc((PKDPC)Place)) {
            ReportFreed(Base, Bytes, "a queued DPC", Place);
        }
    }
}

static VOID SearchHeld(PVF_HELD Held, ULONG Count, PVOID Base, SIZE_T Bytes)
{
    for (ULONG Index = 0; Index < Count; Index++) {
        PVOID Lock = Held[Index].Lock;
        if (Lock >= Base && (PUCHAR)Lock < (PUCHAR)Base + Bytes) {
            ReportFreed(Base, Bytes, "a lock that is held", Lock);
            Held[Index].Lock = NULL;
        }
    }
}

VOID VfFreeMemory(PVOID Base, SIZE_T Bytes)
{
    PVF_PROCESSOR Processor = VfEnter();

    if (Processor == NULL) {
        VfForgetRange(Base, Bytes);
        return;
    }
    if (KeGetCurrentIrql() >= DISPATCH_LEVEL) {
        SearchHeld(Processor->Held, Processor->Count, Base, Bytes);
    }
    SearchHeld(PsGetCurrentThread()->Locks.Held, PsGetCurrentThread()->Locks.Count, Base, Bytes);
    if (Bytes >= sizeof(KTIMER)) {
        SearchObjects(Base, Bytes < SEARCHED_BYTES ? Bytes : SEARCHED_BYTES);
    }
    if (VfForgetRange(Base, Bytes) != 0) {
        ReportFreed(Base, Bytes, "a resource that was not deleted", Base);
    }
}
