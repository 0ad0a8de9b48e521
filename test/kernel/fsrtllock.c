/*
 * fsrtllock.c - byte-range locks: conflicts, access checks, waiting, cancellation, unlocking.
 *
 * Requests are IRPs made by hand that the suite's own completion routine takes back, so no device is needed. The rules are those that
 * LockFileEx documents.
 */
#include <ntos/ktap.h>

#define FIRST  ((PFILE_OBJECT)0x1000) /* owners are compared, never looked into */
#define SECOND ((PFILE_OBJECT)0x2000)

static FILE_LOCK Locks;
static ULONG Completed, Unlocked;
static PIRP LastIrp;
static NTSTATUS Refuse;

static NTSTATUS NTAPI Complete(PVOID Context, PIRP Irp)
{
    Completed++;
    LastIrp = Irp;
    return NT_SUCCESS(Refuse) ? Irp->IoStatus.Status : Refuse;
}

static VOID NTAPI Unlocking(PVOID Context, PFILE_LOCK_INFO Info)
{
    Unlocked++;
}

static LARGE_INTEGER *Number(LARGE_INTEGER *Place, LONGLONG Value)
{
    Place->QuadPart = Value;
    return Place;
}

/* A lock without an IRP, at once or not at all. */
static NTSTATUS Lock(PFILE_OBJECT File, LONGLONG Start, LONGLONG Length, BOOLEAN Exclusive)
{
    LARGE_INTEGER Offset, Bytes;
    IO_STATUS_BLOCK IoStatus;

    if (!FsRtlFastLock(&Locks, File, Number(&Offset, Start), Number(&Bytes, Length), PsGetCurrentProcess(), 1, TRUE,
                       Exclusive, &IoStatus, NULL, FALSE)) {
        return STATUS_UNSUCCESSFUL;
    }
    return IoStatus.Status;
}

static NTSTATUS Release(PFILE_OBJECT File, LONGLONG Start, LONGLONG Length)
{
    LARGE_INTEGER Offset, Bytes;

    return FsRtlFastUnlockSingle(&Locks, File, Number(&Offset, Start), Number(&Bytes, Length), PsGetCurrentProcess(), 1,
                                 NULL, FALSE);
}

static BOOLEAN MayRead(PFILE_OBJECT File, LONGLONG Start, LONGLONG Length)
{
    LARGE_INTEGER Offset, Bytes;

    return FsRtlFastCheckLockForRead(&Locks, Number(&Offset, Start), Number(&Bytes, Length), 1, File,
                                     PsGetCurrentProcess());
}

static BOOLEAN MayWrite(PFILE_OBJECT File, LONGLONG Start, LONGLONG Length)
{
    LARGE_INTEGER Offset, Bytes;

    return FsRtlFastCheckLockForWrite(&Locks, Number(&Offset, Start), Number(&Bytes, Length), 1, File,
                                      PsGetCurrentProcess());
}

static VOID LockRules(PKTAP_CONTEXT Ktap)
{
    PFILE_LOCK_INFO Info;

    Completed = Unlocked = 0;
    FsRtlInitializeFileLock(&Locks, Complete, Unlocking);
    KTAP_CHECK(!FsRtlAreThereCurrentOrInProgressFileLocks(&Locks) && MayWrite(FIRST, 0, 10));
    KTAP_EQUAL(Lock(FIRST, 100, 50, TRUE), STATUS_SUCCESS);
    KTAP_CHECK(FsRtlAreThereCurrentOrInProgressFileLocks(&Locks));
    KTAP_EQUAL(Lock(SECOND, 149, 1, FALSE), STATUS_LOCK_NOT_GRANTED);
    KTAP_EQUAL(Lock(SECOND, 150, 50, FALSE), STATUS_SUCCESS);
    KTAP_EQUAL(Lock(FIRST, 160, 5, FALSE), STATUS_SUCCESS);         /* shared upon shared */
    KTAP_EQUAL(Lock(FIRST, 199, 5, TRUE), STATUS_LOCK_NOT_GRANTED); /* exclusive upon shared */
    KTAP_EQUAL(Lock(FIRST, 100, 10, FALSE), STATUS_SUCCESS);        /* shared upon one's own exclusive */
    KTAP_EQUAL(Lock(FIRST, 110, 10, TRUE), STATUS_LOCK_NOT_GRANTED);
    KTAP_EQUAL(Lock(SECOND, 100, 0, TRUE), STATUS_SUCCESS); /* no bytes, at the edge */
    KTAP_EQUAL(Lock(SECOND, 101, 0, TRUE), STATUS_LOCK_NOT_GRANTED);
    KTAP_EQUAL(Lock(FIRST, -1, 2, TRUE), STATUS_INVALID_LOCK_RANGE); /* past the last byte of 64 bits */
    KTAP_CHECK(MayRead(FIRST, 100, 50) && !MayRead(SECOND, 149, 2) && MayRead(SECOND, 0, 100) &&
               MayRead(SECOND, 120, 0));
    KTAP_CHECK(!MayWrite(SECOND, 150, 1) && !MayWrite(SECOND, 120, 1) && MayWrite(FIRST, 120, 10));
    Info = FsRtlGetNextFileLock(&Locks, TRUE);
    KTAP_CHECK(Info != NULL && Info->StartingByte.QuadPart == 100);
    for (ULONG Count = 1; Count < 5; Count++) {
        Info = FsRtlGetNextFileLock(&Locks, FALSE);
        KTAP_CHECK(Info != NULL);
    }
    KTAP_EQUAL(Info->StartingByte.QuadPart, 160);
    KTAP_CHECK(FsRtlGetNextFileLock(&Locks, FALSE) == NULL);
    KTAP_EQUAL(Release(FIRST, 150, 50), STATUS_RANGE_NOT_LOCKED); /* not its own */
    KTAP_EQUAL(Release(SECOND, 150, 50), STATUS_SUCCESS);
    KTAP_EQUAL(Release(SECOND, 150, 50), STATUS_RANGE_NOT_LOCKED);
    KTAP_EQUAL(FsRtlFastUnlockAllByKey(&Locks, FIRST, PsGetCurrentProcess(), 2, NULL),
               STATUS_SUCCESS); /* no such key */
    KTAP_EQUAL(Unlocked, 1);
    KTAP_EQUAL(FsRtlFastUnlockAllByKey(&Locks, FIRST, PsGetCurrentProcess(), 1, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(Unlocked, 4);
    KTAP_EQUAL(FsRtlFastUnlockAll(&Locks, SECOND, PsGetCurrentProcess(), NULL), STATUS_SUCCESS);
    KTAP_CHECK(!FsRtlAreThereCurrentOrInProgressFileLocks(&Locks));
    KTAP_EQUAL(Completed, 0);
    FsRtlUninitializeFileLock(&Locks);
}

/* An IRP_MJ_LOCK_CONTROL; Bytes must stay until it is completed. */
static PIRP Request(PFILE_OBJECT File, UCHAR Minor, LONGLONG Start, PLARGE_INTEGER Bytes, UCHAR Flags)
{
    PIRP Irp = IoAllocateIrp(1, FALSE);
    PIO_STACK_LOCATION Stack;

    if (Irp == NULL) {
        return NULL;
    }
    IoSetNextIrpStackLocation(Irp);
    Irp->Tail.Overlay.Thread = PsGetCurrentThread();
    Stack = IoGetCurrentIrpStackLocation(Irp);
    Stack->MajorFunction = IRP_MJ_LOCK_CONTROL;
    Stack->MinorFunction = Minor;
    Stack->Flags = Flags;
    Stack->FileObject = File;
    Stack->Parameters.LockControl.ByteOffset.QuadPart = Start;
    Stack->Parameters.LockControl.Length = Bytes;
    Stack->Parameters.LockControl.Key = 1;
    return Irp;
}

static VOID Free(PIRP Irp)
{
    IoSkipCurrentIrpStackLocation(Irp); /* nobody else was on its way */
    IoFreeIrp(Irp);
}

static VOID LockWaits(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER Ten = {.QuadPart = 10};
    PFILE_LOCK File = FsRtlAllocateFileLock(Complete, Unlocking);
    PIRP Holder = Request(FIRST, IRP_MN_LOCK, 0, &Ten, SL_EXCLUSIVE_LOCK),
         Waiter = Request(SECOND, IRP_MN_LOCK, 5, &Ten, 0);
    PIRP Loser = Request(SECOND, IRP_MN_LOCK, 8, &Ten, SL_EXCLUSIVE_LOCK), Read, Bad = Request(FIRST, 99, 0, &Ten, 0);
    PIRP Off = Request(FIRST, IRP_MN_UNLOCK_SINGLE, 0, &Ten, 0), All = Request(SECOND, IRP_MN_UNLOCK_ALL, 0, &Ten, 0);

    KTAP_CHECK(File != NULL && Holder != NULL && Waiter != NULL && Loser != NULL && Off != NULL && All != NULL &&
               Bad != NULL);
    Completed = Unlocked = 0;
    KTAP_EQUAL(KTAP_WHOLE(FsRtlProcessFileLock(File, Holder, NULL)), STATUS_SUCCESS);
    KTAP_EQUAL(Completed, 1);
    KTAP_EQUAL(KTAP_WHOLE(FsRtlProcessFileLock(File, Waiter, NULL)), STATUS_PENDING);
    KTAP_EQUAL(KTAP_WHOLE(FsRtlProcessFileLock(File, Loser, NULL)), STATUS_PENDING);
    KTAP_EQUAL(Completed, 1);
    KTAP_CHECK(IoCancelIrp(Loser));
    KTAP_CHECK(Completed == 2 && LastIrp == Loser && Loser->IoStatus.Status == STATUS_CANCELLED);
    KTAP_EQUAL(KTAP_WHOLE(FsRtlProcessFileLock(File, Off, NULL)), STATUS_SUCCESS); /* makes room for the waiter */
    KTAP_EQUAL(Completed, 4);
    KTAP_EQUAL(Waiter->IoStatus.Status, STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(FsRtlProcessFileLock(File, Bad, NULL)), STATUS_INVALID_DEVICE_REQUEST);

    Read = Request(FIRST, 0, 5, &Ten, 0);
    KTAP_CHECK(Read != NULL);
    IoGetCurrentIrpStackLocation(Read)->Parameters.Read.Length = 10;
    IoGetCurrentIrpStackLocation(Read)->Parameters.Read.ByteOffset.QuadPart = 5;
    IoGetCurrentIrpStackLocation(Read)->Parameters.Read.Key = 1;
    KTAP_CHECK(FsRtlCheckLockForReadAccess(File, Read));
    KTAP_CHECK(!FsRtlCheckLockForWriteAccess(File, Read)); /* a shared lock is there */
    KTAP_EQUAL(KTAP_WHOLE(FsRtlProcessFileLock(File, All, NULL)), STATUS_SUCCESS);
    KTAP_CHECK(FsRtlCheckLockForWriteAccess(File, Read));
    KTAP_EQUAL(Unlocked, 2);

    Free(Holder); /* a driver that refuses the lock it is given does not keep it */
    Holder = Request(FIRST, IRP_MN_LOCK, 0, &Ten, SL_EXCLUSIVE_LOCK);
    KTAP_CHECK(Holder != NULL);
    Refuse = STATUS_DISK_FULL;
    KTAP_EQUAL(KTAP_WHOLE(FsRtlProcessFileLock(File, Holder, NULL)), STATUS_DISK_FULL);
    Refuse = STATUS_SUCCESS;
    KTAP_CHECK(!FsRtlAreThereCurrentOrInProgressFileLocks(File));
    FsRtlFreeFileLock(File);
    Free(Holder);
    Free(Waiter);
    Free(Loser);
    Free(Off);
    Free(All);
    Free(Bad);
    Free(Read);
}

static const KTAP_CASE_ENTRY LockCases[] = {
    {"rules", LockRules},
    {"waits", LockWaits},
};

KTAP_SUITE(LockSuite, "fsrtl.lock", LockCases);
