/*
 * iouser.c - suites for requests of user mode: io.user with a device of the tests' own, driver.user with gccdrv.sys, which the out-of-tree test
 * loads first (elsewhere its cases are skipped).
 *
 * A case runs attached to a fresh process that has a handle table, with previous mode UserMode around each service. Buffers, status blocks
 * and strings lie in the process's memory.
 */
#include "iotest.h"
#include "proctest.h"

#define USER_NEITHER    CTL_CODE(FILE_DEVICE_UNKNOWN, 0x804, METHOD_NEITHER, FILE_ANY_ACCESS)
#define USER_BUFFERED   CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define USER_OUT_DIRECT CTL_CODE(FILE_DEVICE_UNKNOWN, 0x803, METHOD_OUT_DIRECT, FILE_ANY_ACCESS)

/* The process's memory: a page for the status block, two for input, two for output. */
#define USER_IOSB   0
#define USER_INPUT  (PAGE_SIZE + 4000) /* crosses a page */
#define USER_OUTPUT (3 * PAGE_SIZE + 4000)
#define USER_BYTES  (5 * PAGE_SIZE)

typedef struct _USER {
    PUCHAR Base;
    HANDLE File;
} USER;

static USER User;
static PCWSTR UserDevice;
static VOID (*UserBody)(PKTAP_CONTEXT Ktap);
static BOOLEAN UserFound;

static NTSTATUS UserOpen(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;
    UNICODE_STRING Name;

    RtlInitUnicodeString(&Name, UserDevice);
    InitializeObjectAttributes(&Attributes, &Name, 0, NULL, NULL); /* a handle of the process */
    return ZwOpenFile(&User.File, FILE_READ_DATA | FILE_WRITE_DATA, &Attributes, &Iosb, 0, 0);
}

/* The attached part: memory, a handle, the case. */
static VOID UserAttached(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PVOID Base = NULL;
    SIZE_T Size = USER_BYTES;
    NTSTATUS Status;

    ObCreateHandleTable(Process, &Process->ObjectTable);
    KTAP_CHECK(Process->ObjectTable != NULL);
    Status = UserOpen();
    UserFound = NT_SUCCESS(Status);
    if (UserFound) {
        Status = TestAllocate(&Base, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        User.Base = Base;
        if (NT_SUCCESS(Status)) {
            UserBody(Ktap);
        } else {
            KtapFail(Ktap, __FILE__, __LINE__, "no memory for the process");
        }
    }
    ObDestroyHandleTable(Process->ObjectTable);
    Process->ObjectTable = NULL;
}

static VOID UserRun(PKTAP_CONTEXT Ktap, PCWSTR Device, VOID (*Body)(PKTAP_CONTEXT Ktap))
{
    UserDevice = Device;
    UserBody = Body;
    TestInProcess(Ktap, UserAttached);
}

static NTSTATUS UserControl(ULONG Code, ULONG64 Iosb, ULONG64 Input, ULONG InputLength, ULONG64 Output,
                            ULONG OutputLength)
{
    KPROCESSOR_MODE Mode = KeSetPreviousMode(UserMode);
    NTSTATUS Status = NtDeviceIoControlFile(User.File, NULL, NULL, NULL, (PIO_STATUS_BLOCK)Iosb, Code, (PVOID)Input,
                                            InputLength, (PVOID)Output, OutputLength);

    KeSetPreviousMode(Mode);
    return Status;
}

static NTSTATUS UserAsk(ULONG Code)
{
    static const CHAR Text[] = "hello, driver 7";
    ULONG64 Base = (ULONG64)User.Base;

    MmCopyToUser(User.Base + USER_INPUT, Text, sizeof(Text));
    return UserControl(Code, Base + USER_IOSB, Base + USER_INPUT, sizeof(Text), Base + USER_OUTPUT, 100);
}

/* What the request left in the process: status, and bytes that Information counts. */
static ULONG64 UserInformation(NTSTATUS *Status)
{
    IO_STATUS_BLOCK Iosb = {.Status = STATUS_UNSUCCESSFUL};

    MmCopyFromUser(&Iosb, User.Base + USER_IOSB, sizeof(Iosb));
    *Status = Iosb.Status;
    return Iosb.Information;
}

static BOOLEAN UserIsAnswered(VOID)
{
    static const CHAR Expected[] = "HELLO, DRIVER 7";
    CHAR Answer[sizeof(Expected)] = {0};
    NTSTATUS Status;

    MmCopyFromUser(Answer, User.Base + USER_OUTPUT, sizeof(Answer));
    return UserInformation(&Status) == sizeof(Expected) && Status == STATUS_SUCCESS &&
           RtlCompareMemory(Answer, Expected, sizeof(Expected)) == sizeof(Expected);
}

/* A driver that knows no STAC reads and writes the process's pages itself: SMAP lets it, and counts. */
static VOID UserNeitherBody(PKTAP_CONTEXT Ktap)
{
    ULONG64 Retries = KiSmapRetries;

    KTAP_EQUAL(UserAsk(USER_NEITHER), STATUS_SUCCESS);
    KTAP_CHECK(UserIsAnswered());
    KTAP_CHECK(!KiSmapEnabled || KiSmapRetries > Retries);
}

static VOID UserMethodsBody(PKTAP_CONTEXT Ktap)
{
    KTAP_EQUAL(UserAsk(USER_BUFFERED), STATUS_SUCCESS);
    KTAP_CHECK(UserIsAnswered());
    KTAP_EQUAL(TestWrite(User.Base + USER_OUTPUT, 0), STATUS_SUCCESS);
    KTAP_EQUAL(UserAsk(USER_OUT_DIRECT), STATUS_SUCCESS);
    KTAP_CHECK(UserIsAnswered());
}

static VOID UserWithDriver(PKTAP_CONTEXT Ktap, VOID (*Body)(PKTAP_CONTEXT Ktap))
{
    UserRun(Ktap, L"\\Device\\GccDrv", Body);
    if (!UserFound) {
        Ktap->Skipped = TRUE;
        Ktap->SkipReason = "gccdrv.sys is not loaded";
    }
}

static VOID UserNeither(PKTAP_CONTEXT Ktap)
{
    UserWithDriver(Ktap, UserNeitherBody);
}

static VOID UserMethods(PKTAP_CONTEXT Ktap)
{
    UserWithDriver(Ktap, UserMethodsBody);
}

static const KTAP_CASE_ENTRY UserDriverCases[] = {
    {"neither", UserNeither},
    {"buffered_and_direct", UserMethods},
};
KTAP_SUITE(UserDriverSuite, "driver.user", UserDriverCases);

/* ---- The tests' own device ---- */

static VOID NTAPI UserFinisher(PVOID Context)
{
    IoTestFinish(STATUS_SUCCESS, 4711); /* in a thread that knows nothing of the process */
}

static VOID UserAsyncBody(PKTAP_CONTEXT Ktap)
{
    ULONG64 Value = 0;
    NTSTATUS Status;

    KTAP_EQUAL(UserAsk(IOTEST_KEEP), STATUS_PENDING);
    IoTestJoin(IoTestThread(UserFinisher, NULL));
    KTAP_EQUAL(UserInformation(&Status), sizeof(ULONG));
    KTAP_EQUAL(Status, STATUS_SUCCESS);
    KTAP_EQUAL(TestRead(User.Base + USER_OUTPUT, &Value), STATUS_SUCCESS);
    KTAP_EQUAL((ULONG)Value, 4711);
}

/* What is no user memory is refused before the driver sees anything. */
static VOID UserHostileBody(PKTAP_CONTEXT Ktap)
{
    static const ULONG64 Bad[] = {0, 0x5000000, 0xFFFF800000000000, (ULONG64)&User, 0x00007FFFFFFEFFFC};
    ULONG64 Base = (ULONG64)User.Base;
    LONG64 Irps = IoTestIrps();

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Bad); Index++) {
        KTAP_CHECK(UserControl(IOTEST_ANSWER, Bad[Index], Base, 8, Base, 8) == STATUS_ACCESS_VIOLATION);
        KTAP_CHECK(UserControl(IOTEST_ANSWER, Base, Bad[Index], 8, Base, 8) == STATUS_ACCESS_VIOLATION);
        KTAP_CHECK(UserControl(IOTEST_ANSWER, Base, Base, 8, Bad[Index], 8) == STATUS_ACCESS_VIOLATION);
    }
    KTAP_EQUAL(UserControl(IOTEST_ANSWER, Base + 1, Base, 8, Base, 8), STATUS_DATATYPE_MISALIGNMENT);
    KTAP_EQUAL(IoTestIrps(), Irps);
    KTAP_EQUAL(IoTest()->Kept, 0);
    KTAP_EQUAL(UserAsk(IOTEST_ANSWER), STATUS_SUCCESS);
}

/* Memory that goes while the request is under way costs its owner the answer, and nobody else anything. */
static VOID UserVanishesBody(PKTAP_CONTEXT Ktap)
{
    LONG64 Irps = IoTestIrps();

    KTAP_EQUAL(UserAsk(IOTEST_KEEP), STATUS_PENDING);
    KTAP_EQUAL(TestFree(User.Base, 0, MEM_RELEASE), STATUS_SUCCESS);
    IoTestJoin(IoTestThread(UserFinisher, NULL));
    KTAP_EQUAL(IoTestIrps(), Irps);
}

static VOID UserWithDevice(PKTAP_CONTEXT Ktap, VOID (*Body)(PKTAP_CONTEXT Ktap))
{
    KTAP_EQUAL(IoTestStart(), STATUS_SUCCESS);
    UserRun(Ktap, L"\\Device\\KtapIo", Body);
    IoTestStop();
    ObFlushDeferredDeletes();
    KTAP_CHECK(UserFound);
}

static VOID UserAsync(PKTAP_CONTEXT Ktap)
{
    UserWithDevice(Ktap, UserAsyncBody);
}

static VOID UserHostile(PKTAP_CONTEXT Ktap)
{
    UserWithDevice(Ktap, UserHostileBody);
}

static VOID UserVanishes(PKTAP_CONTEXT Ktap)
{
    UserWithDevice(Ktap, UserVanishesBody);
}

static const KTAP_CASE_ENTRY UserCases[] = {
    {"asynchronous", UserAsync},
    {"hostile_pointers", UserHostile},
    {"memory_vanishes", UserVanishes},
};
KTAP_SUITE(UserSuite, "io.user", UserCases);
