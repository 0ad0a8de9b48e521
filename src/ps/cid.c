/*
 * cid.c - identifiers of processes and threads, and the way back from an identifier to its object.
 *
 * Both kinds come from one sequence of multiples of 4 and are never used twice. A process or thread is entered in a hash table
 * when it is complete and leaves it when its object is deleted; the table holds no reference, so a lookup takes one only
 * where the count has not fallen to 0 yet. A thread that has ended is still found as long as somebody refers to it.
 *
 * Locks: PspCidLock (spin, DISPATCH_LEVEL) around the chains; nothing is called under it but reference counting.
 *
 * Source: WDK documentation of PsLookupProcessByProcessId, PsLookupThreadByThreadId.
 */
#include "psp.h"

#define CID_BUCKETS 1024 /* chains of one entry up to a thousand threads, of a hundred at 100,000 */

static volatile LONG64 PspLastId;
static KSPIN_LOCK PspCidLock;
VF_NAME_LOCK(PspCidLock, "PspCidLock");
static LIST_ENTRY PspCidTable[CID_BUCKETS]; /* (PspCidLock) of PSP_CID.Link */

HANDLE PspNewId(VOID)
{
    return (HANDLE)(ULONG_PTR)InterlockedAdd64(&PspLastId, 4);
}

VOID PspInitializeCids(VOID)
{
    for (ULONG i = 0; i < CID_BUCKETS; i++) {
        InitializeListHead(&PspCidTable[i]);
    }
}

static PLIST_ENTRY Bucket(HANDLE Id)
{
    return &PspCidTable[(ULONG_PTR)Id / 4 % CID_BUCKETS];
}

VOID PspEnterCid(PPSP_CID Cid, HANDLE Id, PVOID Object)
{
    KIRQL Irql;

    Cid->Id = Id;
    Cid->Object = Object;
    KeAcquireSpinLock(&PspCidLock, &Irql);
    InsertTailList(Bucket(Id), &Cid->Link);
    KeReleaseSpinLock(&PspCidLock, Irql);
}

VOID PspRemoveCid(PPSP_CID Cid)
{
    KIRQL Irql;

    if (Cid->Object != NULL) {
        KeAcquireSpinLock(&PspCidLock, &Irql);
        RemoveEntryList(&Cid->Link);
        KeReleaseSpinLock(&PspCidLock, Irql);
    }
}

PVOID PspLookupCid(HANDLE Id, POBJECT_TYPE Type)
{
    PLIST_ENTRY Head = Bucket(Id);
    PVOID Found = NULL;
    KIRQL Irql;

    KeAcquireSpinLock(&PspCidLock, &Irql);
    for (PLIST_ENTRY Entry = Head->Flink; Entry != Head && Found == NULL; Entry = Entry->Flink) {
        PPSP_CID Cid = CONTAINING_RECORD(Entry, PSP_CID, Link);
        if (Cid->Id == Id && ObGetObjectType(Cid->Object) == Type && ObReferenceObjectSafe(Cid->Object)) {
            Found = Cid->Object;
        }
    }
    KeReleaseSpinLock(&PspCidLock, Irql);
    return Found;
}

/**
 * PsLookupProcessByProcessId - the process of an identifier.
 *
 * @Process  receives it, referenced
 * returns   STATUS_SUCCESS; STATUS_INVALID_CID: there is none
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
NTSTATUS NTAPI PsLookupProcessByProcessId(HANDLE ProcessId, PEPROCESS *Process)
{
    *Process = PspLookupCid(ProcessId, PspProcessType);
    return *Process != NULL ? STATUS_SUCCESS : STATUS_INVALID_CID;
}

/* The thread of an identifier, referenced; STATUS_INVALID_PARAMETER (as documented): there is none. */
NTSTATUS NTAPI PsLookupThreadByThreadId(HANDLE UniqueThreadId, PETHREAD *Thread)
{
    *Thread = PspLookupCid(UniqueThreadId, PspThreadType);
    return *Thread != NULL ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

/* Thread and process of a pair of identifiers, both referenced; Process may be NULL. STATUS_INVALID_CID: no such pair. */
NTSTATUS NTAPI PsLookupProcessThreadByCid(PCLIENT_ID Cid, PEPROCESS *Process, PETHREAD *Thread)
{
    PETHREAD Found = PspLookupCid(Cid->UniqueThread, PspThreadType);

    if (Found != NULL && Found->Cid.UniqueProcess != Cid->UniqueProcess) {
        ObDereferenceObject(Found);
        Found = NULL;
    }
    if (Found == NULL) {
        return STATUS_INVALID_CID;
    }
    if (Process != NULL) {
        *Process = Found->ThreadsProcess;
        ObReferenceObject(*Process);
    }
    *Thread = Found;
    return STATUS_SUCCESS;
}
