/*
 * usvc.c - the suite of small services: states of objects, handles compared, the clock, identifiers, packets set aside, changes of keys,
 * cancelling requests of other threads, locks of files, loading drivers and ending the machine without the privilege.
 *
 * Every service is called once as it should be, and with a handle without the right, a wrong class or size, and a pointer of the kernel's.
 */
#include "../ktap.h"

#define KEY   L"\\Registry\\Machine\\Software\\usvc"
#define PIPE  L"\\Device\\NamedPipe\\usvc"
#define FILE_ L"\\SystemRoot\\System\\usvc.exe"

static const LARGE_INTEGER Long = {.QuadPart = -50000000}; /* 5 s */
static IO_STATUS_BLOCK Iosb;

#define WAIT_FOR(Handle) NtWaitForSingleObject(Handle, FALSE, (PLARGE_INTEGER) & Long)

/* ---- States of objects ---- */

static ULONG QueryEvent(VOID)
{
    EVENT_BASIC_INFORMATION Info;
    HANDLE Event, Blind;
    ULONG Bytes = 0;

    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, SynchronizationEvent, TRUE) == STATUS_SUCCESS);
    CHECK(NtQueryEvent(Event, 0, &Info, sizeof(Info), &Bytes) == STATUS_SUCCESS && Bytes == sizeof(Info));
    CHECK(Info.EventType == SynchronizationEvent && Info.EventState == 1);
    CHECK(NtClearEvent(Event) == STATUS_SUCCESS && NtQueryEvent(Event, 0, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(Info.EventState == 0);
    CHECK(NtQueryEvent(Event, 1, &Info, sizeof(Info), NULL) == STATUS_INVALID_INFO_CLASS);
    CHECK(NtQueryEvent(Event, 0, &Info, 4, NULL) == STATUS_INFO_LENGTH_MISMATCH);
    CHECK(NtQueryEvent(Event, 0, KERNEL_POINTER, sizeof(Info), NULL) == STATUS_ACCESS_VIOLATION);
    CHECK(NtQueryEvent(Event, 0, &Info, sizeof(Info), KERNEL_POINTER) == STATUS_ACCESS_VIOLATION);
    CHECK(NtDuplicateObject(ZwCurrentProcess(), Event, ZwCurrentProcess(), &Blind, SYNCHRONIZE, 0, 0) ==
          STATUS_SUCCESS);
    CHECK(NtQueryEvent(Blind, 0, &Info, sizeof(Info), NULL) == STATUS_ACCESS_DENIED);
    CHECK(NtCompareObjects(Event, Blind) == STATUS_SUCCESS);
    CHECK(NtCompareObjects(Event, ZwCurrentProcess()) == STATUS_NOT_SAME_OBJECT);
    CHECK(NtCompareObjects(Event, (HANDLE)0x7FFC) == STATUS_INVALID_HANDLE);
    CHECK(NtClose(Blind) == STATUS_SUCCESS && NtClose(Event) == STATUS_SUCCESS);
    return 0;
}

static ULONG QuerySemaphore(VOID)
{
    SEMAPHORE_BASIC_INFORMATION Info;
    HANDLE Semaphore;

    CHECK(NtCreateSemaphore(&Semaphore, SEMAPHORE_ALL_ACCESS, NULL, 2, 5) == STATUS_SUCCESS);
    CHECK(NtReleaseSemaphore(Semaphore, 1, NULL) == STATUS_SUCCESS);
    CHECK(NtQuerySemaphore(Semaphore, 0, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(Info.CurrentCount == 3 && Info.MaximumCount == 5);
    CHECK(NtQuerySemaphore(Semaphore, 1, &Info, sizeof(Info), NULL) == STATUS_INVALID_INFO_CLASS);
    CHECK(NtQueryEvent(Semaphore, 0, &Info, sizeof(Info), NULL) == STATUS_OBJECT_TYPE_MISMATCH);
    CHECK(NtClose(Semaphore) == STATUS_SUCCESS);
    return 0;
}

static NTSTATUS NTAPI TakeAndGo(PVOID Mutant)
{
    return NtWaitForSingleObject(Mutant, FALSE, NULL);
}

static ULONG QueryMutant(VOID)
{
    MUTANT_BASIC_INFORMATION Info;
    HANDLE Mutant;

    CHECK(NtCreateMutant(&Mutant, MUTANT_ALL_ACCESS, NULL, TRUE) == STATUS_SUCCESS);
    CHECK(NtQueryMutant(Mutant, 0, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(Info.CurrentCount == 0 && Info.OwnedByCaller && !Info.AbandonedState);
    CHECK(NtReleaseMutant(Mutant, NULL) == STATUS_SUCCESS);
    CHECK(RunThreads((PVOID)TakeAndGo, Mutant, 1) == 0);
    CHECK(NtQueryMutant(Mutant, 0, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(Info.CurrentCount == 1 && !Info.OwnedByCaller && Info.AbandonedState);
    CHECK(NtQueryMutant(Mutant, 0, &Info, 1, NULL) == STATUS_INFO_LENGTH_MISMATCH);
    CHECK(NtClose(Mutant) == STATUS_SUCCESS);
    return 0;
}

static ULONG QueryTimer(VOID)
{
    TIMER_BASIC_INFORMATION Info;
    LARGE_INTEGER Hour = {.QuadPart = -36000000000}, Now = {.QuadPart = -1};
    HANDLE Timer;

    CHECK(NtCreateTimer(&Timer, TIMER_ALL_ACCESS, NULL, NotificationTimer) == STATUS_SUCCESS);
    CHECK(NtQueryTimer(Timer, 0, &Info, sizeof(Info), NULL) == STATUS_SUCCESS && !Info.TimerState);
    CHECK(NtSetTimer(Timer, &Hour, NULL, NULL, FALSE, 0, NULL) == STATUS_SUCCESS);
    CHECK(NtQueryTimer(Timer, 0, &Info, sizeof(Info), NULL) == STATUS_SUCCESS && !Info.TimerState);
    CHECK(Info.RemainingTime.QuadPart > 0 && Info.RemainingTime.QuadPart <= 36001000000);
    CHECK(NtSetTimer(Timer, &Now, NULL, NULL, FALSE, 0, NULL) == STATUS_SUCCESS && WAIT_FOR(Timer) == STATUS_SUCCESS);
    CHECK(NtQueryTimer(Timer, 0, &Info, sizeof(Info), NULL) == STATUS_SUCCESS && Info.TimerState);
    CHECK(NtQueryTimer(Timer, 0, &Info, 8, NULL) == STATUS_INFO_LENGTH_MISMATCH);
    CHECK(NtClose(Timer) == STATUS_SUCCESS);
    return 0;
}

/* Packets of a port, counted; one that was set aside can be posted again when it was taken. */
static ULONG Packets(VOID)
{
    IO_STATUS_BLOCK Block;
    PVOID Key, Context;
    HANDLE Port, Reserve;
    LONG Depth = -1;

    CHECK(NtCreateIoCompletion(&Port, EVENT_ALL_ACCESS, NULL, 0) == STATUS_SUCCESS);
    CHECK(NtAllocateReserveObject(&Reserve, NULL, 2) == STATUS_INVALID_PARAMETER);
    CHECK(NtAllocateReserveObject(&Reserve, NULL, 1) == STATUS_SUCCESS);
    CHECK(NtSetIoCompletionEx(Port, NULL, (PVOID)1, (PVOID)2, STATUS_SUCCESS, 3) == STATUS_SUCCESS);
    CHECK(NtSetIoCompletionEx(Port, Reserve, (PVOID)4, (PVOID)5, STATUS_CANCELLED, 6) == STATUS_SUCCESS);
    CHECK(NtSetIoCompletionEx(Port, Reserve, (PVOID)7, NULL, 0, 0) == STATUS_INVALID_PARAMETER_2);
    CHECK(NtQueryIoCompletion(Port, 0, &Depth, sizeof(Depth), NULL) == STATUS_SUCCESS && Depth == 2);
    CHECK(NtQueryIoCompletion(Port, 0, &Depth, 2, NULL) == STATUS_INFO_LENGTH_MISMATCH);
    CHECK(NtRemoveIoCompletion(Port, &Key, &Context, &Block, (PLARGE_INTEGER)&Long) == STATUS_SUCCESS);
    CHECK(Key == (PVOID)1 && Context == (PVOID)2 && Block.Information == 3);
    CHECK(NtRemoveIoCompletion(Port, &Key, &Context, &Block, (PLARGE_INTEGER)&Long) == STATUS_SUCCESS);
    CHECK(Key == (PVOID)4 && Block.Status == STATUS_CANCELLED && Block.Information == 6);
    CHECK(NtSetIoCompletionEx(Port, Reserve, (PVOID)7, NULL, 0, 0) == STATUS_SUCCESS);
    CHECK(NtClose(Reserve) == STATUS_SUCCESS && NtClose(Port) == STATUS_SUCCESS); /* the packet goes with the port */
    return 0;
}

/* ---- Time and identifiers ---- */

static BOOLEAN SetPrivilege(ULONG Privilege, ULONG Attributes)
{
    TOKEN_PRIVILEGES New = {1, {{{Privilege, 0}, Attributes}}};
    HANDLE Token;
    NTSTATUS Status = NtOpenProcessToken(ZwCurrentProcess(), TOKEN_QUERY | TOKEN_ADJUST_PRIVILEGES, &Token);

    if (NT_SUCCESS(Status)) {
        Status = NtAdjustPrivilegesToken(Token, FALSE, &New, 0, NULL, NULL);
        NtClose(Token);
    }
    return Status == STATUS_SUCCESS;
}

static ULONG SetTime(VOID)
{
    LARGE_INTEGER Start, New, Old, Now;
    ULONG Most, Least, Current;

    CHECK(NtQuerySystemTime(&Start) == STATUS_SUCCESS);
    New.QuadPart = Start.QuadPart + 864000000000; /* a day */
    CHECK(NtSetSystemTime(&New, NULL) == STATUS_PRIVILEGE_NOT_HELD);
    CHECK(SetPrivilege(SE_SYSTEMTIME_PRIVILEGE, SE_PRIVILEGE_ENABLED));
    CHECK(NtSetSystemTime(KERNEL_POINTER, NULL) == STATUS_ACCESS_VIOLATION);
    Old.QuadPart = -1;
    CHECK(NtSetSystemTime(&Old, NULL) == STATUS_INVALID_PARAMETER);
    CHECK(NtSetSystemTime(&New, &Old) == STATUS_SUCCESS);
    CHECK(Old.QuadPart >= Start.QuadPart && Old.QuadPart < New.QuadPart);
    CHECK(NtQuerySystemTime(&Now) == STATUS_SUCCESS && Now.QuadPart >= New.QuadPart);
    New.QuadPart = Now.QuadPart - 864000000000;
    CHECK(NtSetSystemTime(&New, NULL) == STATUS_SUCCESS && NtQuerySystemTime(&Now) == STATUS_SUCCESS);
    CHECK(Now.QuadPart >= New.QuadPart && Now.QuadPart < New.QuadPart + 864000000000);
    CHECK(SetPrivilege(SE_SYSTEMTIME_PRIVILEGE, 0));
    CHECK(NtQueryTimerResolution(&Most, &Least, &Current) == STATUS_SUCCESS && Most >= Current && Current >= Least);
    CHECK(Current > 0 && NtSetTimerResolution(Current, TRUE, &Most) == STATUS_SUCCESS && Most == Current);
    CHECK(NtSetTimerResolution(0, FALSE, &Most) == STATUS_TIMER_RESOLUTION_NOT_SET);
    CHECK(NtQueryTimerResolution(KERNEL_POINTER, &Least, &Current) == STATUS_ACCESS_VIOLATION);
    return 0;
}

static ULONG Uuids(VOID)
{
    ULARGE_INTEGER First, Second;
    ULONG Range, Sequence;
    UCHAR Seed[6];

    CHECK(NtAllocateUuids(&First, &Range, &Sequence, Seed) == STATUS_SUCCESS);
    CHECK(Range > 0 && (Seed[0] & 1) != 0 && Sequence < 0x4000);
    CHECK(NtAllocateUuids(&Second, &Range, &Sequence, Seed) == STATUS_SUCCESS);
    CHECK(Second.QuadPart >= First.QuadPart + Range);
    CHECK(NtAllocateUuids(KERNEL_POINTER, &Range, &Sequence, Seed) == STATUS_ACCESS_VIOLATION);
    return 0;
}

/* What needs a privilege that a program has but has not enabled. */
static ULONG Privileges(VOID)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\usvc");

    CHECK(NtLoadDriver(&Name) == STATUS_PRIVILEGE_NOT_HELD && NtUnloadDriver(&Name) == STATUS_PRIVILEGE_NOT_HELD);
    CHECK(NtShutdownSystem(0) == STATUS_PRIVILEGE_NOT_HELD && NtShutdownSystem(3) == STATUS_INVALID_PARAMETER);
    CHECK(SetPrivilege(SE_LOAD_DRIVER_PRIVILEGE, SE_PRIVILEGE_ENABLED));
    CHECK(NtLoadDriver(&Name) == STATUS_OBJECT_NAME_NOT_FOUND);
    CHECK(NtLoadDriver(KERNEL_POINTER) == STATUS_ACCESS_VIOLATION);
    CHECK(NtUnloadDriver(&Name) == STATUS_OBJECT_NAME_NOT_FOUND);
    CHECK(SetPrivilege(SE_LOAD_DRIVER_PRIVILEGE, 0));
    return 0;
}

/* ---- Changes of keys ---- */

static volatile ULONG ApcCalls;

static VOID NTAPI KeyApc(PVOID Context, PIO_STATUS_BLOCK Block, ULONG Reserved)
{
    UNREFERENCED_PARAMETER(Reserved);
    ApcCalls += (Context == (PVOID)0x55 && Block->Status == STATUS_NOTIFY_ENUM_DIR) ? 1 : 100;
}

static NTSTATUS SetNumber(HANDLE Key, ULONG Number)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"Number");

    return NtSetValueKey(Key, &Name, 0, REG_DWORD, &Number, sizeof(Number));
}

static NTSTATUS NTAPI WaitForKey(PVOID Key)
{
    IO_STATUS_BLOCK Block = {.Status = STATUS_PENDING};
    NTSTATUS Status =
        NtNotifyChangeKey(Key, NULL, NULL, NULL, &Block, REG_NOTIFY_CHANGE_LAST_SET, FALSE, NULL, 0, FALSE);

    return (Status == STATUS_NOTIFY_ENUM_DIR && Block.Status == Status) ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

static ULONG KeyChanges(VOID)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(KEY);
    OBJECT_ATTRIBUTES Attributes = {
        .Length = sizeof(Attributes), .ObjectName = &Name, .Attributes = OBJ_CASE_INSENSITIVE};
    THREAD_BASIC_INFORMATION Info = {.ExitStatus = STATUS_PENDING};
    IO_STATUS_BLOCK Block = {.Status = STATUS_PENDING};
    LARGE_INTEGER Short = {.QuadPart = -100000};
    HANDLE Key, Other, Event, Thread;

#define NOTIFY(Handle, Event, Routine, Context, Block)                                                                 \
    NtNotifyChangeKey(Handle, Event, Routine, Context, Block, REG_NOTIFY_CHANGE_LAST_SET, FALSE, NULL, 0, TRUE)
    CHECK(NtCreateKey(&Key, KEY_ALL_ACCESS, &Attributes, 0, NULL, 0, NULL) == STATUS_SUCCESS);
    CHECK(NtOpenKey(&Other, KEY_ALL_ACCESS, &Attributes) == STATUS_SUCCESS);
    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, NotificationEvent, TRUE) == STATUS_SUCCESS);
    CHECK(NOTIFY(Key, Event, NULL, NULL, &Block) == STATUS_PENDING);
    CHECK(NtWaitForSingleObject(Event, FALSE, &Short) == STATUS_TIMEOUT && Block.Status == STATUS_PENDING);
    CHECK(SetNumber(Other, 1) == STATUS_SUCCESS);
    CHECK(WAIT_FOR(Event) == STATUS_SUCCESS && Block.Status == STATUS_NOTIFY_ENUM_DIR);
    CHECK(NOTIFY(Key, NULL, KeyApc, (PVOID)0x55, &Block) == STATUS_PENDING && SetNumber(Other, 2) == STATUS_SUCCESS);
    CHECK(NtDelayExecution(TRUE, (PLARGE_INTEGER)&Long) == STATUS_USER_APC && ApcCalls == 1);
    CHECK(NOTIFY(Key, NULL, NULL, NULL, KERNEL_POINTER) == STATUS_ACCESS_VIOLATION);
    CHECK(NtNotifyChangeMultipleKeys(Key, 1, NULL, NULL, NULL, NULL, &Block, REG_NOTIFY_CHANGE_NAME, FALSE, NULL, 0,
                                     TRUE) == STATUS_NOT_SUPPORTED);
    CHECK(NtNotifyChangeMultipleKeys(Key, 0, NULL, Event, NULL, NULL, &Block, REG_NOTIFY_CHANGE_LAST_SET, FALSE, NULL,
                                     0, TRUE) == STATUS_PENDING);
    CHECK(NtClose(Key) == STATUS_SUCCESS);
    CHECK(WAIT_FOR(Event) == STATUS_SUCCESS && Block.Status == STATUS_NOTIFY_CLEANUP);
    CHECK(NtOpenKey(&Key, KEY_ALL_ACCESS, &Attributes) == STATUS_SUCCESS);
    Thread = StartThread((PVOID)WaitForKey, Key, 0); /* one that waits in the service */
    CHECK(Thread != NULL && NtWaitForSingleObject(Thread, FALSE, &Short) == STATUS_TIMEOUT);
    CHECK(SetNumber(Other, 3) == STATUS_SUCCESS && WAIT_FOR(Thread) == STATUS_SUCCESS);
    CHECK(NtQueryInformationThread(Thread, ThreadBasicInformation, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(Info.ExitStatus == STATUS_SUCCESS && NtClose(Thread) == STATUS_SUCCESS);
    Thread = StartThread((PVOID)WaitForKey, Key, 0); /* and one that is ended while it does */
    CHECK(Thread != NULL && NtWaitForSingleObject(Thread, FALSE, &Short) == STATUS_TIMEOUT);
    CHECK(NtTerminateThread(Thread, STATUS_CANCELLED) == STATUS_SUCCESS && WAIT_FOR(Thread) == STATUS_SUCCESS);
    CHECK(SetNumber(Other, 4) == STATUS_SUCCESS && NtClose(Thread) == STATUS_SUCCESS);
    CHECK(NtDeleteKey(Key) == STATUS_SUCCESS && NtClose(Key) == STATUS_SUCCESS);
    CHECK(NtClose(Other) == STATUS_SUCCESS && NtClose(Event) == STATUS_SUCCESS);
    return 0;
}

/* ---- Requests ---- */

static HANDLE Server;
static IO_STATUS_BLOCK Pended;
static NTSTATUS Ended;

static NTSTATUS MakePipe(ULONG Options)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(PIPE);
    OBJECT_ATTRIBUTES Attributes = {.Length = sizeof(Attributes), .ObjectName = &Name};
    LARGE_INTEGER Timeout = {.QuadPart = -1000000};

    return NtCreateNamedPipeFile(&Server, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &Attributes, &Iosb,
                                 FILE_SHARE_READ, FILE_CREATE, Options, 0, 0, 0, 1, 0, 0, &Timeout);
}

static NTSTATUS NTAPI ListenHere(PVOID Event)
{
    Ended = NtFsControlFile(Server, NULL, NULL, NULL, &Pended, FSCTL_PIPE_LISTEN, NULL, 0, NULL, 0);
    return (Event == NULL) ? STATUS_SUCCESS : NtWaitForSingleObject(Event, FALSE, NULL);
}

/* Of another thread, by file and by status block. */
static ULONG CancelOthers(VOID)
{
    IO_STATUS_BLOCK Block;
    HANDLE Event, Thread;

    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE) == STATUS_SUCCESS);
    CHECK(MakePipe(0) == STATUS_SUCCESS);
    CHECK(NtCancelIoFileEx(Server, NULL, &Block) == STATUS_NOT_FOUND && Block.Status == STATUS_NOT_FOUND);
    Ended = 0;
    Thread = StartThread((PVOID)ListenHere, Event, 0);
    while (((volatile NTSTATUS *)&Ended)[0] == 0) {
        NtYieldExecution();
    }
    CHECK(Ended == STATUS_PENDING);
    CHECK(NtCancelIoFile(Server, &Block) == STATUS_SUCCESS &&
          NtCancelIoFileEx(Server, &Block, &Block) == STATUS_NOT_FOUND);
    CHECK(NtCancelSynchronousIoFile(Thread, NULL, &Block) == STATUS_NOT_FOUND); /* it waits for no request */
    CHECK(NtCancelIoFileEx(Server, &Pended, &Block) == STATUS_SUCCESS);
    CHECK(WAIT_FOR(Server) == STATUS_SUCCESS && Pended.Status == STATUS_CANCELLED);
    CHECK(NtCancelIoFileEx(Server, NULL, KERNEL_POINTER) == STATUS_ACCESS_VIOLATION);
    CHECK(NtSetEvent(Event, NULL) == STATUS_SUCCESS && Join(Thread) == 0);
    CHECK(NtClose(Server) == STATUS_SUCCESS && NtClose(Event) == STATUS_SUCCESS);
    return 0;
}

/* The one a thread waits for in the service. */
static ULONG CancelWaited(VOID)
{
    IO_STATUS_BLOCK Block, Other;
    HANDLE Thread;
    NTSTATUS Status;

    CHECK(MakePipe(FILE_SYNCHRONOUS_IO_NONALERT) == STATUS_SUCCESS);
    Ended = 0;
    Thread = StartThread((PVOID)ListenHere, NULL, 0);
    CHECK(Thread != NULL);
    while ((Status = NtCancelSynchronousIoFile(Thread, NULL, &Block)) == STATUS_NOT_FOUND) { /* not there yet */
        CHECK(((volatile NTSTATUS *)&Ended)[0] == 0);                                        /* else it never will be */
        CHECK(NtCancelSynchronousIoFile(Thread, &Other, &Block) == STATUS_NOT_FOUND);
        NtYieldExecution();
    }
    CHECK(Status == STATUS_SUCCESS && WAIT_FOR(Thread) == STATUS_SUCCESS && Ended == STATUS_CANCELLED);
    CHECK(NtCancelSynchronousIoFile(Thread, NULL, &Block) == STATUS_NOT_FOUND); /* it has ended */
    CHECK(NtCancelSynchronousIoFile(Server, NULL, &Block) == STATUS_OBJECT_TYPE_MISMATCH);
    CHECK(NtClose(Thread) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS);
    return 0;
}

/* What no file system here does is said so. */
static ULONG FileLocks(VOID)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(FILE_), Directory = RTL_CONSTANT_STRING(L"\\SystemRoot\\System");
    OBJECT_ATTRIBUTES Attributes = {
        .Length = sizeof(Attributes), .ObjectName = &Name, .Attributes = OBJ_CASE_INSENSITIVE};
    LARGE_INTEGER Offset = {.QuadPart = 0}, Length = {.QuadPart = 10};
    UCHAR Buffer[64];
    HANDLE File;

    CHECK(NtOpenFile(&File, FILE_READ_DATA | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ,
                     FILE_SYNCHRONOUS_IO_NONALERT) == STATUS_SUCCESS);
    CHECK(NtLockFile(File, NULL, NULL, NULL, &Iosb, KERNEL_POINTER, &Length, 0, TRUE, TRUE) == STATUS_ACCESS_VIOLATION);
    CHECK(NtLockFile(File, NULL, NULL, NULL, &Iosb, &Offset, &Length, 0, TRUE, TRUE) == STATUS_INVALID_DEVICE_REQUEST);
    CHECK(NtUnlockFile(File, &Iosb, &Offset, &Length, 0) == STATUS_INVALID_DEVICE_REQUEST);
    CHECK(NtClose(File) == STATUS_SUCCESS);
    CHECK(NtOpenFile(&File, FILE_READ_ATTRIBUTES, &Attributes, &Iosb, FILE_SHARE_READ, 0) == STATUS_SUCCESS);
    CHECK(NtLockFile(File, NULL, NULL, NULL, &Iosb, &Offset, &Length, 0, TRUE, TRUE) == STATUS_ACCESS_DENIED);
    CHECK(NtClose(File) == STATUS_SUCCESS);
    Attributes.ObjectName = &Directory;
    CHECK(NtOpenFile(&File, FILE_LIST_DIRECTORY | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ,
                     FILE_DIRECTORY_FILE | FILE_SYNCHRONOUS_IO_NONALERT) == STATUS_SUCCESS);
    CHECK(NtNotifyChangeDirectoryFile(File, NULL, NULL, NULL, &Iosb, Buffer, sizeof(Buffer), 0, FALSE) ==
          STATUS_INVALID_PARAMETER);
    CHECK(NtNotifyChangeDirectoryFile(File, NULL, NULL, NULL, &Iosb, Buffer, sizeof(Buffer),
                                      FILE_NOTIFY_CHANGE_FILE_NAME, FALSE) == STATUS_INVALID_DEVICE_REQUEST);
    CHECK(NtClose(File) == STATUS_SUCCESS);
    return 0;
}

static const USER_CASE Cases[] = {
    {"user.svc.event", QueryEvent},
    {"user.svc.semaphore", QuerySemaphore},
    {"user.svc.mutant", QueryMutant},
    {"user.svc.timer", QueryTimer},
    {"user.svc.packets", Packets},
    {"user.svc.time", SetTime},
    {"user.svc.uuids", Uuids},
    {"user.svc.privileges", Privileges},
    {"user.svc.key_changes", KeyChanges},
    {"user.svc.cancel_others", CancelOthers},
    {"user.svc.cancel_waited", CancelWaited},
    {"user.svc.file_locks", FileLocks},
};

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    UNREFERENCED_PARAMETER(Peb);
    return UserRunSuite("usvc.c", Cases, RTL_NUMBER_OF(Cases));
}
