/*
 * filelock.c - byte-range locks of a file: who may read and write which bytes.
 *
 * An exclusive lock excludes everybody else; shared ones exclude writers, their owners too. The owner of a lock is a file object, a
 * process and a key together. A request that conflicts fails at once, or waits as a pended IRP until an unlock makes room; requests are
 * granted in the order of arrival as far as they fit. A lock of no bytes conflicts only inside another lock.
 *
 * States of a request: granted (in Granted), waiting (in Waiting, its IRP pended with a cancel routine), over. Whoever takes a
 * waiter out of the list, having cleared the cancel routine or being it, completes its IRP. IRPs are completed and the driver's
 * routines called after the lock was let go.
 *
 * Lock: FSRTLP_LOCKS.Lock (spin, DISPATCH_LEVEL), a leaf. IRQL: <= APC_LEVEL. Source: documentation of FsRtlProcessFileLock and its kin,
 * and of LockFileEx.
 */
#include <ntos/ntos.h>

#define FSRTLP_LOCK_TAG 'klFF'

typedef struct _FSRTLP_LOCKS {
    KSPIN_LOCK Lock;
    LIST_ENTRY Granted; /* (l) FSRTLP_REQUEST by first byte */
    LIST_ENTRY Waiting; /* (l) FSRTLP_REQUEST in the order of arrival */
} FSRTLP_LOCKS, *PFSRTLP_LOCKS;

typedef struct _FSRTLP_REQUEST {
    LIST_ENTRY Link;     /* (l) */
    FILE_LOCK_INFO Info; /* (c) */
    PIRP Irp;            /* (c) NULL: granted without one */
    PVOID Context;       /* (c) of the completion routine */
    PFILE_LOCK FileLock; /* (c) */
} FSRTLP_REQUEST, *PFSRTLP_REQUEST;

/* Who locks or accesses. */
typedef struct _FSRTLP_OWNER {
    PFILE_OBJECT FileObject;
    PVOID Process;
    ULONG Key;
} FSRTLP_OWNER;

static BOOLEAN FsRtlpOwns(const FILE_LOCK_INFO *Info, FSRTLP_OWNER Owner)
{
    return Info->FileObject == Owner.FileObject && Info->ProcessId == Owner.Process && Info->Key == Owner.Key;
}

/* Do two ranges meet? Offsets are unsigned; one without bytes meets another strictly inside it only. */
static BOOLEAN FsRtlpMeet(ULONGLONG Start1, ULONGLONG Length1, ULONGLONG Start2, ULONGLONG Length2)
{
    if (Length1 == 0) {
        return Length2 != 0 && Start2 < Start1 && Start1 - Start2 < Length2;
    }
    if (Length2 == 0) {
        return Start1 < Start2 && Start2 - Start1 < Length1;
    }
    return (Start1 <= Start2) ? Start2 - Start1 < Length1 : Start1 - Start2 < Length2;
}

static BOOLEAN FsRtlpMeetsLock(const FILE_LOCK_INFO *Info, ULONGLONG Start, ULONGLONG Length)
{
    return FsRtlpMeet((ULONGLONG)Info->StartingByte.QuadPart, (ULONGLONG)Info->Length.QuadPart, Start, Length);
}

/* Does a granted lock stand in the way of a new one? Lock held. */
static BOOLEAN FsRtlpConflicts(PFSRTLP_LOCKS Locks, const FILE_LOCK_INFO *New)
{
    FSRTLP_OWNER Owner = {New->FileObject, New->ProcessId, New->Key};

    for (PLIST_ENTRY Link = Locks->Granted.Flink; Link != &Locks->Granted; Link = Link->Flink) {
        const FILE_LOCK_INFO *Old = &CONTAINING_RECORD(Link, FSRTLP_REQUEST, Link)->Info;

        if (!FsRtlpMeetsLock(Old, (ULONGLONG)New->StartingByte.QuadPart, (ULONGLONG)New->Length.QuadPart)) {
            continue;
        }
        if (New->ExclusiveLock || (Old->ExclusiveLock && !FsRtlpOwns(Old, Owner))) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Enters a lock in its place. Lock held. */
static VOID FsRtlpGrant(PFSRTLP_LOCKS Locks, PFSRTLP_REQUEST Request)
{
    PLIST_ENTRY Link = Locks->Granted.Flink;

    while (Link != &Locks->Granted &&
           (ULONGLONG)CONTAINING_RECORD(Link, FSRTLP_REQUEST, Link)->Info.StartingByte.QuadPart <=
               (ULONGLONG)Request->Info.StartingByte.QuadPart) {
        Link = Link->Flink;
    }
    InsertTailList(Link, &Request->Link);
}

/* Ends an IRP as the driver wants it ended. Returns what the driver's routine says. */
static NTSTATUS FsRtlpCompleteIrp(PFILE_LOCK FileLock, PIRP Irp, PVOID Context, NTSTATUS Status)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = 0;
    if (FileLock->CompleteLockIrpRoutine != NULL) {
        return FileLock->CompleteLockIrpRoutine(Context, Irp);
    }
    IoCompleteRequest(Irp, IO_DISK_INCREMENT);
    return Status;
}

static VOID FsRtlpFreeRequests(PLIST_ENTRY List)
{
    while (!IsListEmpty(List)) {
        ExFreePoolWithTag(CONTAINING_RECORD(RemoveHeadList(List), FSRTLP_REQUEST, Link), FSRTLP_LOCK_TAG);
    }
}

/* Takes a waiter whose cancel routine has not begun. Lock held. FALSE: the cancel routine will take it. */
static BOOLEAN FsRtlpTakeWaiter(PFSRTLP_REQUEST Waiter)
{
    if (IoSetCancelRoutine(Waiter->Irp, NULL) == NULL) {
        return FALSE;
    }
    RemoveEntryList(&Waiter->Link);
    return TRUE;
}

/* The IRP's own list entry carries it to its completion. */
static VOID FsRtlpNoteDone(PLIST_ENTRY Done, PFSRTLP_REQUEST Waiter, NTSTATUS Status)
{
    Waiter->Irp->Tail.Overlay.DriverContext[0] = Waiter->Context;
    Waiter->Irp->Tail.Overlay.DriverContext[1] = (PVOID)(LONG_PTR)Status;
    InsertTailList(Done, &Waiter->Irp->Tail.Overlay.ListEntry);
}

static VOID FsRtlpCompleteDone(PFILE_LOCK FileLock, PLIST_ENTRY Done)
{
    while (!IsListEmpty(Done)) {
        PIRP Irp = CONTAINING_RECORD(RemoveHeadList(Done), IRP, Tail.Overlay.ListEntry);

        FsRtlpCompleteIrp(FileLock, Irp, Irp->Tail.Overlay.DriverContext[0],
                          (NTSTATUS)(LONG_PTR)Irp->Tail.Overlay.DriverContext[1]);
    }
}

/* Grants the waiters that fit now. Lock held; the IRPs go to Done. */
static VOID FsRtlpServeWaiters(PFSRTLP_LOCKS Locks, PLIST_ENTRY Done)
{
    PLIST_ENTRY Next;

    for (PLIST_ENTRY Link = Locks->Waiting.Flink; Link != &Locks->Waiting; Link = Next) {
        PFSRTLP_REQUEST Waiter = CONTAINING_RECORD(Link, FSRTLP_REQUEST, Link);

        Next = Link->Flink;
        if (!FsRtlpConflicts(Locks, &Waiter->Info) && FsRtlpTakeWaiter(Waiter)) {
            FsRtlpNoteDone(Done, Waiter, STATUS_SUCCESS);
            FsRtlpGrant(Locks, Waiter);
        }
    }
}

/* Cancel routine of a waiting IRP. */
static VOID NTAPI FsRtlpCancel(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PFSRTLP_REQUEST Waiter = Irp->Tail.Overlay.DriverContext[0];
    PFSRTLP_LOCKS Locks = Waiter->FileLock->LockInformation;
    PFILE_LOCK FileLock = Waiter->FileLock;
    PVOID Context = Waiter->Context;
    KIRQL Old;

    UNREFERENCED_PARAMETER(DeviceObject);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    KeAcquireSpinLock(&Locks->Lock, &Old);
    RemoveEntryList(&Waiter->Link);
    KeReleaseSpinLock(&Locks->Lock, Old);
    ExFreePoolWithTag(Waiter, FSRTLP_LOCK_TAG);
    FsRtlpCompleteIrp(FileLock, Irp, Context, STATUS_CANCELLED);
}

VOID NTAPI FsRtlInitializeFileLock(PFILE_LOCK FileLock, PCOMPLETE_LOCK_IRP_ROUTINE CompleteLockIrpRoutine,
                                   PUNLOCK_ROUTINE UnlockRoutine)
{
    RtlZeroMemory(FileLock, sizeof(*FileLock));
    FileLock->CompleteLockIrpRoutine = CompleteLockIrpRoutine;
    FileLock->UnlockRoutine = UnlockRoutine;
}

/* The lists of a file lock, made at the first lock. NULL: none yet, or no memory. */
static PFSRTLP_LOCKS FsRtlpLocks(PFILE_LOCK FileLock, BOOLEAN Create)
{
    PFSRTLP_LOCKS Locks = FileLock->LockInformation, New;

    if (Locks != NULL || !Create) {
        return Locks;
    }
    New = ExAllocatePoolWithTag(NonPagedPool, sizeof(*New), FSRTLP_LOCK_TAG);
    if (New == NULL) {
        return NULL;
    }
    KeInitializeSpinLock(&New->Lock);
    VfNameLock(&New->Lock, "FSRTLP_LOCKS.Lock");
    InitializeListHead(&New->Granted);
    InitializeListHead(&New->Waiting);
    Locks = InterlockedCompareExchangePointer(&FileLock->LockInformation, New, NULL);
    if (Locks != NULL) {
        ExFreePoolWithTag(New, FSRTLP_LOCK_TAG);
        return Locks;
    }
    return New;
}

/* Ends every lock and waiter; the driver sees to it that nobody uses the file lock any more. */
VOID NTAPI FsRtlUninitializeFileLock(PFILE_LOCK FileLock)
{
    PFSRTLP_LOCKS Locks = FileLock->LockInformation;
    LIST_ENTRY Done, Over;
    PLIST_ENTRY Next;
    KIRQL Old;

    if (Locks == NULL) {
        return;
    }
    InitializeListHead(&Done);
    InitializeListHead(&Over);
    KeAcquireSpinLock(&Locks->Lock, &Old);
    for (PLIST_ENTRY Link = Locks->Waiting.Flink; Link != &Locks->Waiting; Link = Next) {
        PFSRTLP_REQUEST Waiter = CONTAINING_RECORD(Link, FSRTLP_REQUEST, Link);

        Next = Link->Flink;
        if (FsRtlpTakeWaiter(Waiter)) {
            FsRtlpNoteDone(&Done, Waiter, STATUS_RANGE_NOT_LOCKED);
            InsertTailList(&Over, &Waiter->Link);
        }
    }
    while (!IsListEmpty(&Locks->Granted)) {
        PLIST_ENTRY Link = RemoveHeadList(&Locks->Granted);

        InsertTailList(&Over, Link);
    }
    KeReleaseSpinLock(&Locks->Lock, Old);
    FsRtlpCompleteDone(FileLock, &Done);
    FsRtlpFreeRequests(&Over);
    FileLock->LockInformation = NULL;
    FileLock->FastIoIsQuestionable = FALSE;
    ExFreePoolWithTag(Locks, FSRTLP_LOCK_TAG);
}

/* NULL: no memory. */
PFILE_LOCK NTAPI FsRtlAllocateFileLock(PCOMPLETE_LOCK_IRP_ROUTINE CompleteLockIrpRoutine, PUNLOCK_ROUTINE UnlockRoutine)
{
    PFILE_LOCK FileLock = ExAllocatePoolWithTag(NonPagedPool, sizeof(*FileLock), FSRTLP_LOCK_TAG);

    if (FileLock != NULL) {
        FsRtlInitializeFileLock(FileLock, CompleteLockIrpRoutine, UnlockRoutine);
    }
    return FileLock;
}

VOID NTAPI FsRtlFreeFileLock(PFILE_LOCK FileLock)
{
    FsRtlUninitializeFileLock(FileLock);
    ExFreePoolWithTag(FileLock, FSRTLP_LOCK_TAG);
}

/* ---- Asking ---- */

static BOOLEAN FsRtlpMayAccess(PFILE_LOCK FileLock, ULONGLONG Start, ULONGLONG Length, FSRTLP_OWNER Owner,
                               BOOLEAN Write)
{
    PFSRTLP_LOCKS Locks = FileLock->LockInformation;
    BOOLEAN Allowed = TRUE;
    KIRQL Old;

    if (Locks == NULL || Length == 0) {
        return TRUE;
    }
    KeAcquireSpinLock(&Locks->Lock, &Old);
    for (PLIST_ENTRY Link = Locks->Granted.Flink; Link != &Locks->Granted && Allowed; Link = Link->Flink) {
        const FILE_LOCK_INFO *Info = &CONTAINING_RECORD(Link, FSRTLP_REQUEST, Link)->Info;

        if (FsRtlpMeetsLock(Info, Start, Length)) {
            Allowed = Info->ExclusiveLock ? FsRtlpOwns(Info, Owner) : !Write;
        }
    }
    KeReleaseSpinLock(&Locks->Lock, Old);
    return Allowed;
}

BOOLEAN NTAPI FsRtlFastCheckLockForRead(PFILE_LOCK FileLock, PLARGE_INTEGER FileOffset, PLARGE_INTEGER Length,
                                        ULONG Key, PFILE_OBJECT FileObject, PVOID Process)
{
    return FsRtlpMayAccess(FileLock, (ULONGLONG)FileOffset->QuadPart, (ULONGLONG)Length->QuadPart,
                           (FSRTLP_OWNER){FileObject, Process, Key}, FALSE);
}

BOOLEAN NTAPI FsRtlFastCheckLockForWrite(PFILE_LOCK FileLock, PLARGE_INTEGER FileOffset, PLARGE_INTEGER Length,
                                         ULONG Key, PFILE_OBJECT FileObject, PVOID Process)
{
    return FsRtlpMayAccess(FileLock, (ULONGLONG)FileOffset->QuadPart, (ULONGLONG)Length->QuadPart,
                           (FSRTLP_OWNER){FileObject, Process, Key}, TRUE);
}

/* May this read go on? Range, key and owner are the IRP's. */
BOOLEAN NTAPI FsRtlCheckLockForReadAccess(PFILE_LOCK FileLock, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    LARGE_INTEGER Length = {.QuadPart = Stack->Parameters.Read.Length};

    return FsRtlFastCheckLockForRead(FileLock, &Stack->Parameters.Read.ByteOffset, &Length, Stack->Parameters.Read.Key,
                                     Stack->FileObject, IoGetRequestorProcess(Irp));
}

BOOLEAN NTAPI FsRtlCheckLockForWriteAccess(PFILE_LOCK FileLock, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    LARGE_INTEGER Length = {.QuadPart = Stack->Parameters.Write.Length};

    return FsRtlFastCheckLockForWrite(FileLock, &Stack->Parameters.Write.ByteOffset, &Length,
                                      Stack->Parameters.Write.Key, Stack->FileObject, IoGetRequestorProcess(Irp));
}

/*
 * The granted locks one after the other, by first byte; NULL: no more. The place is a number, so a lock that goes meanwhile may
 * hide its successor once; the caller serialises if that matters.
 */
PFILE_LOCK_INFO NTAPI FsRtlGetNextFileLock(PFILE_LOCK FileLock, BOOLEAN Restart)
{
    PFSRTLP_LOCKS Locks = FileLock->LockInformation;
    ULONG_PTR Place = Restart ? 0 : (ULONG_PTR)FileLock->LastReturnedLock;
    PFILE_LOCK_INFO Found = NULL;
    ULONG_PTR Index = 0;
    KIRQL Old;

    if (Locks == NULL) {
        return NULL;
    }
    KeAcquireSpinLock(&Locks->Lock, &Old);
    for (PLIST_ENTRY Link = Locks->Granted.Flink; Link != &Locks->Granted && Found == NULL;
         Link = Link->Flink, Index++) {
        if (Index == Place) {
            FileLock->LastReturnedLockInfo = CONTAINING_RECORD(Link, FSRTLP_REQUEST, Link)->Info;
            Found = &FileLock->LastReturnedLockInfo;
        }
    }
    KeReleaseSpinLock(&Locks->Lock, Old);
    FileLock->LastReturnedLock = (PVOID)(Place + (Found != NULL));
    return Found;
}

BOOLEAN NTAPI FsRtlAreThereCurrentOrInProgressFileLocks(PFILE_LOCK FileLock)
{
    return FileLock->FastIoIsQuestionable || FileLock->LockRequestsInProgress != 0;
}

/* ---- Locking ---- */

/* Lets an IRP wait. Lock held. STATUS_CANCELLED: it is not waiting, it was cancelled before. */
static NTSTATUS FsRtlpWait(PFSRTLP_LOCKS Locks, PFSRTLP_REQUEST Request)
{
    PIRP Irp = Request->Irp;

    IoMarkIrpPending(Irp);
    Irp->Tail.Overlay.DriverContext[0] = Request;
    InsertTailList(&Locks->Waiting, &Request->Link);
    IoSetCancelRoutine(Irp, FsRtlpCancel);
    if (Irp->Cancel && FsRtlpTakeWaiter(Request)) {
        return STATUS_CANCELLED;
    }
    return STATUS_PENDING;
}

/**
 * FsRtlPrivateLock - asks for a lock.
 *
 * @FailImmediately  TRUE: a conflict is STATUS_LOCK_NOT_GRANTED; FALSE: Irp waits
 * @IoStatus         gets STATUS_SUCCESS, STATUS_LOCK_NOT_GRANTED, STATUS_PENDING, STATUS_INVALID_LOCK_RANGE, STATUS_CANCELLED or
 *                   STATUS_INSUFFICIENT_RESOURCES
 * @Irp              completed when the request is over, but for STATUS_PENDING; NULL: none
 * returns           FALSE: it would have to wait, and there is no IRP
 */
BOOLEAN NTAPI FsRtlPrivateLock(PFILE_LOCK FileLock, PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset,
                               PLARGE_INTEGER Length, PEPROCESS Process, ULONG Key, BOOLEAN FailImmediately,
                               BOOLEAN ExclusiveLock, PIO_STATUS_BLOCK IoStatus, PIRP Irp, PVOID Context,
                               BOOLEAN AlreadySynchronized)
{
    PFSRTLP_LOCKS Locks = FsRtlpLocks(FileLock, TRUE);
    PFSRTLP_REQUEST Request = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Request), FSRTLP_LOCK_TAG);
    NTSTATUS Status = STATUS_SUCCESS;
    BOOLEAN Kept = FALSE;
    KIRQL Old;

    UNREFERENCED_PARAMETER(AlreadySynchronized);
    IoStatus->Information = 0;
    if (Locks == NULL || Request == NULL) {
        Status = STATUS_INSUFFICIENT_RESOURCES;
    } else if ((ULONGLONG)FileOffset->QuadPart + ((ULONGLONG)Length->QuadPart - (Length->QuadPart != 0)) <
               (ULONGLONG)FileOffset->QuadPart) {
        Status = STATUS_INVALID_LOCK_RANGE;
    } else {
        RtlZeroMemory(Request, sizeof(*Request));
        Request->Info.StartingByte = *FileOffset;
        Request->Info.Length = *Length;
        Request->Info.EndingByte.QuadPart = FileOffset->QuadPart + Length->QuadPart - 1;
        Request->Info.ExclusiveLock = ExclusiveLock;
        Request->Info.Key = Key;
        Request->Info.FileObject = FileObject;
        Request->Info.ProcessId = Process;
        Request->Irp = Irp;
        Request->Context = Context;
        Request->FileLock = FileLock;
        FileLock->FastIoIsQuestionable = TRUE;
        KeAcquireSpinLock(&Locks->Lock, &Old);
        if (!FsRtlpConflicts(Locks, &Request->Info)) {
            FsRtlpGrant(Locks, Request);
            Kept = TRUE;
        } else if (FailImmediately || Irp == NULL) {
            Status = FailImmediately ? STATUS_LOCK_NOT_GRANTED : STATUS_PENDING;
        } else {
            Status = FsRtlpWait(Locks, Request);
            Kept = Status == STATUS_PENDING;
        }
        KeReleaseSpinLock(&Locks->Lock, Old);
    }
    if (!Kept && Request != NULL) {
        ExFreePoolWithTag(Request, FSRTLP_LOCK_TAG);
    }
    if (Status == STATUS_PENDING && Irp == NULL) {
        return FALSE;
    }
    IoStatus->Status = Status;
    if (Irp != NULL && Status != STATUS_PENDING) {
        NTSTATUS Said = FsRtlpCompleteIrp(FileLock, Irp, Context, Status);

        if (Status == STATUS_CANCELLED) {
            IoStatus->Status = STATUS_PENDING; /* it was marked so before it was found to be cancelled */
        }
        if (NT_SUCCESS(Status) && !NT_SUCCESS(Said)) { /* the driver does not want it after all */
            FsRtlFastUnlockSingle(FileLock, FileObject, FileOffset, Length, Process, Key, Context, TRUE);
            IoStatus->Status = Said;
        }
    }
    return TRUE;
}

/* ---- Unlocking ---- */

/* Which locks go: of one owner; with one key; one range. */
typedef struct _FSRTLP_CHOICE {
    FSRTLP_OWNER Owner;
    BOOLEAN AnyKey, OneRange;
    LARGE_INTEGER Start, Length;
} FSRTLP_CHOICE;

static BOOLEAN FsRtlpChosen(const FILE_LOCK_INFO *Info, const FSRTLP_CHOICE *Choice)
{
    return Info->FileObject == Choice->Owner.FileObject && Info->ProcessId == Choice->Owner.Process &&
           (Choice->AnyKey || Info->Key == Choice->Owner.Key) &&
           (!Choice->OneRange || (Info->StartingByte.QuadPart == Choice->Start.QuadPart &&
                                  Info->Length.QuadPart == Choice->Length.QuadPart));
}

/* Takes the chosen locks away (one at most if it is a range), and the waiters of an owner that unlocks all; serves the rest. */
static NTSTATUS FsRtlpUnlock(PFILE_LOCK FileLock, const FSRTLP_CHOICE *Choice, PVOID Context)
{
    PFSRTLP_LOCKS Locks = FileLock->LockInformation;
    LIST_ENTRY Over, Done, Refused;
    PLIST_ENTRY Link, Next;
    NTSTATUS Status = STATUS_RANGE_NOT_LOCKED;
    KIRQL Old;

    if (Locks == NULL) {
        return Status;
    }
    InitializeListHead(&Over);
    InitializeListHead(&Done);
    InitializeListHead(&Refused);
    KeAcquireSpinLock(&Locks->Lock, &Old);
    for (Link = Locks->Granted.Flink; Link != &Locks->Granted; Link = Next) {
        Next = Link->Flink;
        if (FsRtlpChosen(&CONTAINING_RECORD(Link, FSRTLP_REQUEST, Link)->Info, Choice)) {
            RemoveEntryList(Link);
            InsertTailList(&Over, Link);
            Status = STATUS_SUCCESS;
            if (Choice->OneRange) {
                break;
            }
        }
    }
    for (Link = Locks->Waiting.Flink; Link != &Locks->Waiting && !Choice->OneRange; Link = Next) {
        PFSRTLP_REQUEST Waiter = CONTAINING_RECORD(Link, FSRTLP_REQUEST, Link);

        Next = Link->Flink;
        if (FsRtlpChosen(&Waiter->Info, Choice) && FsRtlpTakeWaiter(Waiter)) {
            FsRtlpNoteDone(&Done, Waiter, STATUS_RANGE_NOT_LOCKED);
            InsertTailList(&Refused, &Waiter->Link);
        }
    }
    FsRtlpServeWaiters(Locks, &Done);
    FileLock->FastIoIsQuestionable = !IsListEmpty(&Locks->Granted) || !IsListEmpty(&Locks->Waiting);
    KeReleaseSpinLock(&Locks->Lock, Old);
    for (Link = Over.Flink; Link != &Over && FileLock->UnlockRoutine != NULL; Link = Link->Flink) {
        FileLock->UnlockRoutine(Context, &CONTAINING_RECORD(Link, FSRTLP_REQUEST, Link)->Info);
    }
    FsRtlpCompleteDone(FileLock, &Done);
    FsRtlpFreeRequests(&Over);
    FsRtlpFreeRequests(&Refused);
    return Choice->OneRange ? Status : STATUS_SUCCESS;
}

/* Takes one lock away, whose range and owner are exactly these. STATUS_RANGE_NOT_LOCKED. */
NTSTATUS NTAPI FsRtlFastUnlockSingle(PFILE_LOCK FileLock, PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset,
                                     PLARGE_INTEGER Length, PEPROCESS Process, ULONG Key, PVOID Context,
                                     BOOLEAN AlreadySynchronized)
{
    FSRTLP_CHOICE Choice = {{FileObject, Process, Key}, FALSE, TRUE, *FileOffset, *Length};

    UNREFERENCED_PARAMETER(AlreadySynchronized);
    return FsRtlpUnlock(FileLock, &Choice, Context);
}

/* Takes all locks of a file object and process away, and ends their waiting requests. */
NTSTATUS NTAPI FsRtlFastUnlockAll(PFILE_LOCK FileLock, PFILE_OBJECT FileObject, PEPROCESS Process, PVOID Context)
{
    FSRTLP_CHOICE Choice = {.Owner = {FileObject, Process, 0}, .AnyKey = TRUE};

    return FsRtlpUnlock(FileLock, &Choice, Context);
}

/* The same for one key. */
NTSTATUS NTAPI FsRtlFastUnlockAllByKey(PFILE_LOCK FileLock, PFILE_OBJECT FileObject, PEPROCESS Process, ULONG Key,
                                       PVOID Context)
{
    FSRTLP_CHOICE Choice = {.Owner = {FileObject, Process, Key}};

    return FsRtlpUnlock(FileLock, &Choice, Context);
}

/**
 * FsRtlProcessFileLock - does what an IRP_MJ_LOCK_CONTROL asks, and completes it unless it waits.
 *
 * returns  the IRP's status; STATUS_PENDING: it waits; STATUS_INVALID_DEVICE_REQUEST: an unknown minor function
 */
NTSTATUS NTAPI FsRtlProcessFileLock(PFILE_LOCK FileLock, PIRP Irp, PVOID Context)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    PEPROCESS Process = IoGetRequestorProcess(Irp);
    IO_STATUS_BLOCK IoStatus;
    NTSTATUS Status;

    switch (Stack->MinorFunction) {
    case IRP_MN_LOCK:
        FsRtlPrivateLock(FileLock, Stack->FileObject, &Stack->Parameters.LockControl.ByteOffset,
                         Stack->Parameters.LockControl.Length, Process, Stack->Parameters.LockControl.Key,
                         (Stack->Flags & SL_FAIL_IMMEDIATELY) != 0, (Stack->Flags & SL_EXCLUSIVE_LOCK) != 0, &IoStatus,
                         Irp, Context, FALSE);
        return IoStatus.Status;
    case IRP_MN_UNLOCK_SINGLE:
        Status = FsRtlFastUnlockSingle(FileLock, Stack->FileObject, &Stack->Parameters.LockControl.ByteOffset,
                                       Stack->Parameters.LockControl.Length, Process, Stack->Parameters.LockControl.Key,
                                       Context, FALSE);
        break;
    case IRP_MN_UNLOCK_ALL:
        Status = FsRtlFastUnlockAll(FileLock, Stack->FileObject, Process, Context);
        break;
    case IRP_MN_UNLOCK_ALL_BY_KEY:
        Status =
            FsRtlFastUnlockAllByKey(FileLock, Stack->FileObject, Process, Stack->Parameters.LockControl.Key, Context);
        break;
    default:
        Status = STATUS_INVALID_DEVICE_REQUEST;
        break;
    }
    FsRtlpCompleteIrp(FileLock, Irp, Context, Status);
    return Status;
}
