/*
 * ioasync.c - suite for requests that take their time: their end in the thread that made them, APC routines, completion ports,
 * cancellation by file, by alert and by the thread's end.
 *
 * Every case ends with as many IRPs as it began with.
 */
#include "iotest.h"

#define ASYNC_MANY 20

typedef struct _ASYNC {
    HANDLE File, Port;
    IO_STATUS_BLOCK Iosb;
    ULONG Value;
    LONG64 Irps;
} ASYNC;

static ASYNC Async;
static volatile LONG AsyncCalls, AsyncGone, AsyncWaits;
static PVOID AsyncContext;
static NTSTATUS AsyncStatus;
static KIRQL AsyncIrql;

static NTSTATUS AsyncBegin(ULONG Options)
{
    NTSTATUS Status = IoTestStart();

    RtlZeroMemory(&Async, sizeof(Async));
    AsyncCalls = AsyncGone = AsyncWaits = 0;
    Async.Irps = IoTestIrps();
    return NT_SUCCESS(Status) ? IoTestOpen(&Async.File, Options) : Status;
}

static BOOLEAN AsyncEnd(VOID)
{
    ZwClose(Async.File);
    if (Async.Port != NULL) {
        ZwClose(Async.Port);
    }
    IoTestStop();
    ObFlushDeferredDeletes();
    return IoTestIrps() == Async.Irps;
}

static NTSTATUS AsyncSend(ULONG Code, PIO_APC_ROUTINE Routine, PVOID Context)
{
    Async.Iosb.Status = STATUS_PENDING;
    Async.Value = 0;
    return ZwDeviceIoControlFile(Async.File, NULL, Routine, Context, &Async.Iosb, Code, NULL, 0, &Async.Value,
                                 sizeof(Async.Value));
}

static VOID NTAPI AsyncFinisher(PVOID Context)
{
    IoTestFinish(STATUS_SUCCESS, (ULONG)(ULONG_PTR)Context);
}

/* What another thread completes reaches its caller's memory only when the caller takes APCs. */
static VOID AsyncByApc(PKTAP_CONTEXT Ktap)
{
    KTAP_EQUAL(KTAP_WHOLE(AsyncBegin(0)), STATUS_SUCCESS);
    KTAP_EQUAL(AsyncSend(IOTEST_KEEP, NULL, NULL), STATUS_PENDING);
    KeEnterGuardedRegion();
    IoTestJoin(IoTestThread(AsyncFinisher, (PVOID)4711));
    KTAP_EQUAL(Async.Iosb.Status, STATUS_PENDING);
    KTAP_EQUAL(Async.Value, 0);
    KeLeaveGuardedRegion();
    KTAP_EQUAL(Async.Iosb.Status, STATUS_SUCCESS);
    KTAP_EQUAL(Async.Iosb.Information, sizeof(ULONG));
    KTAP_EQUAL(Async.Value, 4711);
    KTAP_EQUAL(ZwWaitForSingleObject(Async.File, FALSE, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(AsyncSend(IOTEST_ANSWER, NULL, NULL), STATUS_SUCCESS); /* done at once: no APC is needed */
    KTAP_EQUAL(Async.Value, 77);
    KTAP_CHECK(AsyncEnd());
}

static VOID NTAPI AsyncRoutine(PVOID Context, PIO_STATUS_BLOCK Iosb, ULONG Reserved)
{
    AsyncCalls++;
    AsyncContext = Context;
    AsyncStatus = Iosb->Status;
    AsyncIrql = KeGetCurrentIrql();
}

/* The caller's routine: a normal kernel APC, so a critical region holds it back, but not the end of the request. */
static VOID AsyncCallerApc(PKTAP_CONTEXT Ktap)
{
    KTAP_EQUAL(KTAP_WHOLE(AsyncBegin(0)), STATUS_SUCCESS);
    KTAP_EQUAL(AsyncSend(IOTEST_KEEP, AsyncRoutine, &Async), STATUS_PENDING);
    KeEnterCriticalRegion();
    KTAP_CHECK(IoTestFinish(STATUS_SUCCESS, 1));
    KTAP_EQUAL(Async.Iosb.Status, STATUS_SUCCESS);
    KTAP_EQUAL(AsyncCalls, 0);
    KeLeaveCriticalRegion();
    KTAP_EQUAL(AsyncCalls, 1);
    KTAP_CHECK(AsyncContext == &Async && AsyncStatus == STATUS_SUCCESS && AsyncIrql == PASSIVE_LEVEL);
    KTAP_EQUAL(AsyncSend(IOTEST_ANSWER, AsyncRoutine, &AsyncContext), STATUS_SUCCESS);
    KTAP_EQUAL(AsyncCalls, 2);
    KTAP_EQUAL(AsyncSend(IOTEST_REFUSE, AsyncRoutine, &AsyncContext), STATUS_DEVICE_NOT_READY);
    KTAP_EQUAL(AsyncCalls, 2); /* an error that is returned is not told again */
    KTAP_EQUAL(AsyncSend(IOTEST_KEEP, AsyncRoutine, NULL), STATUS_PENDING);
    KTAP_CHECK(IoTestFinish(STATUS_DEVICE_NOT_READY, 0));
    KTAP_EQUAL(AsyncCalls, 3); /* one that comes later is */
    KTAP_EQUAL(AsyncStatus, STATUS_DEVICE_NOT_READY);
    KTAP_CHECK(AsyncEnd());
}

static NTSTATUS AsyncMakePort(PVOID Key)
{
    FILE_COMPLETION_INFORMATION Info = {.Key = Key};
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;
    NTSTATUS Status;

    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    Status = ZwCreateIoCompletion(&Async.Port, 0x1F0003, &Attributes, 0);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Info.Port = Async.Port;
    Status = ZwSetInformationFile(Async.File, &Iosb, &Info, sizeof(Info), FileCompletionInformation);
    if (!NT_SUCCESS(Status)) {
        ZwClose(Async.Port);
        Async.Port = NULL;
    }
    return Status;
}

static NTSTATUS AsyncTake(PVOID *Key, PVOID *Context, PIO_STATUS_BLOCK Iosb)
{
    LARGE_INTEGER Zero = {.QuadPart = 0};

    return ZwRemoveIoCompletion(Async.Port, Key, Context, Iosb, &Zero);
}

static VOID AsyncPort(PKTAP_CONTEXT Ktap)
{
    PVOID Key, Context, Port;
    IO_STATUS_BLOCK Iosb;

    KTAP_EQUAL(KTAP_WHOLE(AsyncBegin(0)), STATUS_SUCCESS);
    KTAP_EQUAL(AsyncMakePort(&Async), STATUS_SUCCESS);
    KTAP_EQUAL(AsyncTake(&Key, &Context, &Iosb), STATUS_TIMEOUT);
    KTAP_EQUAL(AsyncSend(IOTEST_KEEP, AsyncRoutine, NULL), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(AsyncSend(IOTEST_KEEP, NULL, &Key), STATUS_PENDING);
    KTAP_EQUAL(AsyncTake(&Key, &Context, &Iosb), STATUS_TIMEOUT);
    KTAP_CHECK(IoTestFinish(STATUS_SUCCESS, 5));
    KTAP_EQUAL(AsyncTake(&Key, &Context, &Iosb), STATUS_SUCCESS);
    KTAP_CHECK(Key == &Async && Context == &Key && Iosb.Status == STATUS_SUCCESS && Iosb.Information == sizeof(ULONG));
    KTAP_EQUAL(AsyncSend(IOTEST_KEEP, NULL, NULL), STATUS_PENDING); /* without a context: no packet */
    KTAP_CHECK(IoTestFinish(STATUS_SUCCESS, 5));
    KTAP_EQUAL(AsyncSend(IOTEST_REFUSE, NULL, &Key), STATUS_DEVICE_NOT_READY); /* an error at once: none either */
    KTAP_EQUAL(AsyncTake(&Key, &Context, &Iosb), STATUS_TIMEOUT);
    KTAP_EQUAL(AsyncSend(IOTEST_ANSWER, NULL, &Key), STATUS_SUCCESS);
    KTAP_EQUAL(AsyncTake(&Key, &Context, &Iosb), STATUS_SUCCESS);
    KTAP_EQUAL(ObReferenceObjectByHandle(Async.Port, 2, IopCompletionObjectType, KernelMode, &Port, NULL),
               STATUS_SUCCESS);
    KTAP_EQUAL(IoSetIoCompletion(Port, &AsyncContext, &AsyncStatus, STATUS_NO_MEMORY, 99, FALSE), STATUS_SUCCESS);
    ObfDereferenceObject(Port);
    KTAP_EQUAL(AsyncTake(&Key, &Context, &Iosb), STATUS_SUCCESS);
    KTAP_CHECK(Key == &AsyncContext && Context == &AsyncStatus && Iosb.Status == STATUS_NO_MEMORY &&
               Iosb.Information == 99);
    KTAP_CHECK(AsyncEnd());
}

/* Many at once; and what is left when the port goes is freed with it. */
static VOID AsyncPortMany(PKTAP_CONTEXT Ktap)
{
    static FILE_IO_COMPLETION_INFORMATION Entries[ASYNC_MANY];
    FILE_COMPLETION_INFORMATION Info = {0};
    LARGE_INTEGER Zero = {.QuadPart = 0};
    IO_STATUS_BLOCK Iosb;
    HANDLE Synchronous;
    ULONG Removed;

    KTAP_EQUAL(KTAP_WHOLE(AsyncBegin(0)), STATUS_SUCCESS);
    KTAP_EQUAL(AsyncMakePort(NULL), STATUS_SUCCESS);
    for (ULONG Round = 0; Round < ASYNC_MANY; Round++) {
        KTAP_EQUAL(AsyncSend(IOTEST_ANSWER, NULL, (PVOID)(ULONG_PTR)(Round + 1)), STATUS_SUCCESS);
    }
    KTAP_EQUAL(ZwRemoveIoCompletionEx(Async.Port, Entries, 8, &Removed, &Zero, FALSE), STATUS_SUCCESS);
    KTAP_EQUAL(Removed, 8);
    for (ULONG Index = 0; Index < Removed; Index++) {
        KTAP_EQUAL(Entries[Index].ApcContext, Index + 1);
    }
    KTAP_EQUAL(ZwRemoveIoCompletionEx(Async.Port, Entries, 0, &Removed, &Zero, FALSE), STATUS_INVALID_PARAMETER);
    Info.Port = Async.Port; /* a file has one port, and a synchronous one none */
    KTAP_EQUAL(ZwSetInformationFile(Async.File, &Iosb, &Info, sizeof(Info), FileCompletionInformation),
               STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(IoTestOpen(&Synchronous, FILE_SYNCHRONOUS_IO_NONALERT), STATUS_SUCCESS);
    KTAP_EQUAL(ZwSetInformationFile(Synchronous, &Iosb, &Info, sizeof(Info), FileCompletionInformation),
               STATUS_INVALID_PARAMETER);
    ZwClose(Synchronous);
    KTAP_CHECK(AsyncEnd());
}

static VOID AsyncCancelFile(PKTAP_CONTEXT Ktap)
{
    IO_STATUS_BLOCK Iosb = {.Status = STATUS_PENDING};

    KTAP_EQUAL(KTAP_WHOLE(AsyncBegin(0)), STATUS_SUCCESS);
    KTAP_EQUAL(AsyncSend(IOTEST_KEEP, AsyncRoutine, NULL), STATUS_PENDING);
    KTAP_EQUAL(ZwCancelIoFile(Async.File, &Iosb), STATUS_SUCCESS);
    KTAP_EQUAL(Iosb.Status, STATUS_SUCCESS);
    KTAP_EQUAL(Async.Iosb.Status, STATUS_CANCELLED);
    KTAP_EQUAL(AsyncCalls, 1);
    KTAP_EQUAL(ZwCancelIoFile(Async.File, &Iosb), STATUS_SUCCESS); /* nothing to cancel is no error */
    KTAP_EQUAL(IoTest()->Cancelled, 1);
    KTAP_CHECK(AsyncEnd());
}

static VOID NTAPI AsyncLeaver(PVOID Context)
{
    static IO_STATUS_BLOCK Iosb[ASYNC_MANY];

    for (ULONG Round = 0; Round < ASYNC_MANY; Round++) {
        ZwDeviceIoControlFile(Async.File, NULL, NULL, NULL, &Iosb[Round], (ULONG)(ULONG_PTR)Context, NULL, 0, NULL, 0);
    }
}

/* A thread that ends takes its requests with it. */
static VOID AsyncThreadEnds(PKTAP_CONTEXT Ktap)
{
    KTAP_EQUAL(KTAP_WHOLE(AsyncBegin(0)), STATUS_SUCCESS);
    IoTestJoin(IoTestThread(AsyncLeaver, (PVOID)(ULONG_PTR)IOTEST_KEEP));
    KTAP_EQUAL(IoTest()->Kept, ASYNC_MANY);
    KTAP_EQUAL(IoTest()->Cancelled, ASYNC_MANY);
    KTAP_EQUAL(IoTestIrps(), Async.Irps);
    KTAP_CHECK(AsyncEnd());
}

/* What the driver does not let go is taken from the thread after a while, and ends later without it. */
static VOID AsyncThreadGivesUp(PKTAP_CONTEXT Ktap)
{
    KTAP_EQUAL(KTAP_WHOLE(AsyncBegin(0)), STATUS_SUCCESS);
    IoTestJoin(IoTestThread(AsyncLeaver, (PVOID)(ULONG_PTR)IOTEST_HOLD));
    KTAP_EQUAL(IoTestIrps(), Async.Irps + ASYNC_MANY);
    while (IoTestFinishHeld(STATUS_SUCCESS)) {
    }
    KTAP_EQUAL(IoTestIrps(), Async.Irps);
    KTAP_CHECK(AsyncEnd());
}

static VOID NTAPI AsyncWaiter(PVOID Context)
{
    InterlockedIncrement(&AsyncWaits);
    AsyncStatus = AsyncSend(IOTEST_KEEP, NULL, NULL);
    InterlockedIncrement(&AsyncGone);
}

/* An alert ends the wait of a file opened alertable, and the request with it; it does not of another. */
static VOID AsyncAlert(PKTAP_CONTEXT Ktap)
{
    PVOID Thread;

    KTAP_EQUAL(KTAP_WHOLE(AsyncBegin(FILE_SYNCHRONOUS_IO_ALERT)), STATUS_SUCCESS);
    Thread = IoTestThread(AsyncWaiter, NULL);
    KTAP_CHECK(IoTestReached(&IoTest()->Kept, 1));
    KeAlertThread(Thread, KernelMode);
    IoTestJoin(Thread);
    KTAP_EQUAL(AsyncStatus, STATUS_CANCELLED);
    KTAP_EQUAL(IoTest()->Cancelled, 1);
    KTAP_CHECK(AsyncEnd());

    KTAP_EQUAL(KTAP_WHOLE(AsyncBegin(FILE_SYNCHRONOUS_IO_NONALERT)), STATUS_SUCCESS);
    Thread = IoTestThread(AsyncWaiter, NULL);
    KTAP_CHECK(IoTestReached(&IoTest()->Kept, 1));
    KeAlertThread(Thread, KernelMode);
    IoTestPause(30);
    KTAP_EQUAL(AsyncGone, 0);
    KTAP_CHECK(IoTestFinish(STATUS_SUCCESS, 3));
    IoTestJoin(Thread);
    KTAP_EQUAL(AsyncStatus, STATUS_SUCCESS);
    KTAP_EQUAL(Async.Value, 3);
    KTAP_CHECK(AsyncEnd());
}

/* One request at a time on a synchronous file, whoever asks. */
static VOID AsyncFileLock(PKTAP_CONTEXT Ktap)
{
    PVOID First, Second;

    KTAP_EQUAL(KTAP_WHOLE(AsyncBegin(FILE_SYNCHRONOUS_IO_NONALERT)), STATUS_SUCCESS);
    First = IoTestThread(AsyncWaiter, NULL);
    KTAP_CHECK(IoTestReached(&IoTest()->Kept, 1));
    Second = IoTestThread(AsyncWaiter, NULL);
    KTAP_CHECK(IoTestReached(&AsyncWaits, 2));
    IoTestPause(30);
    KTAP_EQUAL(IoTest()->Kept, 1);
    KTAP_CHECK(IoTestFinish(STATUS_SUCCESS, 1));
    KTAP_CHECK(IoTestReached(&IoTest()->Kept, 2));
    KTAP_CHECK(IoTestFinish(STATUS_SUCCESS, 1));
    IoTestJoin(First);
    IoTestJoin(Second);
    KTAP_CHECK(AsyncEnd());
}

static const KTAP_CASE_ENTRY AsyncCases[] = {
    {"ends_by_apc", AsyncByApc},
    {"caller_apc", AsyncCallerApc},
    {"completion_port", AsyncPort},
    {"completion_port_many", AsyncPortMany},
    {"cancel_file", AsyncCancelFile},
    {"thread_ends", AsyncThreadEnds},
    {"thread_gives_up", AsyncThreadGivesUp},
    {"alert", AsyncAlert},
    {"file_lock", AsyncFileLock},
};
KTAP_SUITE(AsyncSuite, "io.async", AsyncCases);
