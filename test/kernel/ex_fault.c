/*
 * ex_fault.c - suite ex.fault: one operation after the other, with its first allocation failing, then its second, and so on until it
 * asks for no more.
 *
 * However early or late memory runs out, the operation returns an error or succeeds, and afterwards everything is where it was: pool by tag, IRPs,
 * handles and objects of the types involved. Each operation runs once without failures first, so that what it makes others
 * keep (caches, tables that grow) is there. What is freed by another thread is waited for.
 */
#include "ketest.h"
#include <ntos/io.h>
#include <ntos/ob.h>
#include <ntos/pool.h>
#include <ntos/section.h>

#define MAXIMUM_STEPS 400 /* allocations of one kind in one operation: the longest needs some dozens */

/* src/io/iop.h */
extern volatile LONG64 IopIrpCount;
VOID IopTrimIrps(VOID);

static EX_POOL_TAG Before[EX_POOL_TAGS], After[EX_POOL_TAGS];

typedef NTSTATUS (*OPERATION)(VOID);

typedef struct _NAMED_OPERATION {
    PCSTR Name;
    OPERATION Run;
} NAMED_OPERATION;

/* ---- Operations: each undoes what it did ---- */

static OBJECT_ATTRIBUTES *Named(OBJECT_ATTRIBUTES *Attributes, UNICODE_STRING *Name, PCWSTR Text)
{
    RtlInitUnicodeString(Name, Text);
    InitializeObjectAttributes(Attributes, Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return Attributes;
}

static NTSTATUS OpEvent(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Name;
    HANDLE Event;
    NTSTATUS Status =
        ZwCreateEvent(&Event, EVENT_ALL_ACCESS, Named(&Attributes, &Name, L"\\FaultEvent"), NotificationEvent, FALSE);

    if (NT_SUCCESS(Status)) {
        ZwClose(Event);
    }
    return Status;
}

static NTSTATUS OpLink(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Name, Target;
    HANDLE Link;

    RtlInitUnicodeString(&Target, L"\\Device");
    NTSTATUS Status =
        ZwCreateSymbolicLinkObject(&Link, SYMBOLIC_LINK_ALL_ACCESS, Named(&Attributes, &Name, L"\\FaultLink"), &Target);
    if (NT_SUCCESS(Status)) {
        ZwClose(Link);
    }
    return Status;
}

static NTSTATUS OpDirectory(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Name;
    HANDLE Directory;
    NTSTATUS Status =
        ZwCreateDirectoryObject(&Directory, DIRECTORY_ALL_ACCESS, Named(&Attributes, &Name, L"\\FaultDirectory"));

    if (NT_SUCCESS(Status)) {
        ZwClose(Directory);
    }
    return Status;
}

static NTSTATUS OpenDisc(PHANDLE File, ULONG Options)
{
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Name;
    IO_STATUS_BLOCK Io;

    return ZwCreateFile(File, GENERIC_READ | SYNCHRONIZE,
                        Named(&Attributes, &Name, L"\\DosDevices\\D:\\boot\\osloader"), &Io, NULL, 0, FILE_SHARE_READ,
                        FILE_OPEN, Options | FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
}

static NTSTATUS ReadDisc(ULONG Options)
{
    static UCHAR Buffer[4096];
    LARGE_INTEGER Offset = {.QuadPart = 0};
    FILE_STANDARD_INFORMATION Information;
    IO_STATUS_BLOCK Io;
    HANDLE File;
    NTSTATUS Status = OpenDisc(&File, Options);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ZwReadFile(File, NULL, NULL, NULL, &Io, Buffer, sizeof(Buffer), &Offset, NULL);
    if (NT_SUCCESS(Status)) {
        Status = ZwQueryInformationFile(File, &Io, &Information, sizeof(Information), FileStandardInformation);
    }
    ZwClose(File);
    return Status;
}

static NTSTATUS OpRead(VOID)
{
    return ReadDisc(0);
}

static NTSTATUS OpReadUncached(VOID)
{
    return ReadDisc(FILE_NO_INTERMEDIATE_BUFFERING);
}

static NTSTATUS OpSection(VOID)
{
    LARGE_INTEGER Size = {.QuadPart = 0x20000};
    PVOID Section, View = NULL;
    SIZE_T Bytes = 0;
    NTSTATUS Status =
        MmCreateSection(&Section, SECTION_ALL_ACCESS, NULL, &Size, PAGE_READWRITE, SEC_COMMIT, NULL, NULL);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = MmMapViewInSystemSpace(Section, &View, &Bytes);
    if (NT_SUCCESS(Status)) {
        *(volatile ULONG *)View = 1;
        MmUnmapViewInSystemSpace(View);
    }
    ObDereferenceObject(Section);
    return Status;
}

static NTSTATUS OpMdl(VOID)
{
    PVOID Memory = ExAllocatePoolWithTag(NonPagedPool, 0x3000, 'tluF');
    NTSTATUS Status = STATUS_INSUFFICIENT_RESOURCES;

    if (Memory == NULL) {
        return Status;
    }
    PMDL Mdl = IoAllocateMdl(Memory, 0x3000, FALSE, FALSE, NULL);
    if (Mdl != NULL) {
        MmBuildMdlForNonPagedPool(Mdl);
        Status = STATUS_SUCCESS;
        IoFreeMdl(Mdl);
    }
    ExFreePoolWithTag(Memory, 'tluF');
    return Status;
}

static KEVENT ThreadRan;

static VOID NTAPI ShortThread(PVOID Context)
{
    KeSetEvent(&ThreadRan, IO_NO_INCREMENT, FALSE);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static NTSTATUS OpThread(VOID)
{
    HANDLE Thread;

    KeInitializeEvent(&ThreadRan, NotificationEvent, FALSE);
    NTSTATUS Status = PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, ShortThread, NULL);
    if (NT_SUCCESS(Status)) {
        TestWait(&ThreadRan);
        ZwClose(Thread);
    }
    return Status;
}

static NTSTATUS OpKey(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Name, Value;
    ULONG Data[30] = {1};
    HANDLE Key;
    NTSTATUS Status = ZwCreateKey(&Key, KEY_ALL_ACCESS, Named(&Attributes, &Name, L"\\Registry\\Machine\\FaultKey"), 0,
                                  NULL, REG_OPTION_VOLATILE, NULL);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    RtlInitUnicodeString(&Value, L"Value");
    Status = ZwSetValueKey(Key, &Value, 0, REG_BINARY, Data, sizeof(Data));
    ExSetFault(ExFaultPool, 0, NULL); /* taking it away again is not the operation */
    ZwDeleteKey(Key);
    ZwClose(Key);
    return Status;
}

static NTSTATUS OpTimer(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Timer;

    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    NTSTATUS Status = ZwCreateTimer(&Timer, GENERIC_ALL, &Attributes, NotificationTimer);
    if (NT_SUCCESS(Status)) {
        ZwClose(Timer);
    }
    return Status;
}

static NTSTATUS OpIrp(VOID)
{
    PIRP Irp = IoAllocateIrp(3, FALSE);

    if (Irp == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    IoFreeIrp(Irp);
    return STATUS_SUCCESS;
}

static NTSTATUS OpContiguous(VOID)
{
    PHYSICAL_ADDRESS Highest = {.QuadPart = ~0ULL >> 1};
    PVOID Memory = MmAllocateContiguousMemory(0x3000, Highest);

    if (Memory == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    MmFreeContiguousMemory(Memory);
    return STATUS_SUCCESS;
}

static const NAMED_OPERATION Operations[] = {
    {"event", OpEvent},
    {"link", OpLink},
    {"directory", OpDirectory},
    {"read", OpRead},
    {"uncached", OpReadUncached},
    {"section", OpSection},
    {"mdl", OpMdl},
    {"thread", OpThread},
    {"key", OpKey},
    {"timer", OpTimer},
    {"irp", OpIrp},
    {"contiguous", OpContiguous},
};

/* ---- Failing them ---- */

/* Waits until no tag has more out than before; returns the tag that does not come back, 0: all did. */
static ULONG Leaks(LONG64 Irps, PLONG64 Bytes)
{
    ULONG Tag = 0;

    for (ULONG Round = 0; Round < 300; Round++) {
        IopTrimIrps();
        ExSnapshotPoolTags(After);
        Tag = ExCompareSnapshots(Before, After, Bytes);
        if (Tag == 0 && IopIrpCount <= Irps) {
            return 0;
        }
        TestSleep(TEST_SECOND / 100);
    }
    return Tag != 0 ? Tag : 'pirI';
}

/* Fails each allocation of one kind in turn. FALSE: the case has failed. */
static BOOLEAN FailEach(PKTAP_CONTEXT Ktap, const NAMED_OPERATION *Operation, EX_FAULT_KIND Kind)
{
    LONG64 Irps, Bytes;

    Operation->Run();
    Operation->Run();
    TestSleep(TEST_SECOND / 20);
    for (ULONG Number = 1; Number <= MAXIMUM_STEPS; Number++) {
        ULONG Injected = ExFaultsInjected(Kind), Tag;
        NTSTATUS Status;

        IopTrimIrps();
        ExSnapshotPoolTags(Before);
        Irps = IopIrpCount;
        ExSetFaultOnce(Kind, Number);
        Status = Operation->Run();
        ExSetFault(Kind, 0, NULL);
        Tag = Leaks(Irps, &Bytes);
        if (Tag != 0) {
            KtapFail(Ktap, __FILE__, __LINE__, "%s: with request %u of kind %u failing, %lld bytes of tag 0x%08x stay",
                     Operation->Name, (unsigned)Number, (unsigned)Kind, Bytes, (unsigned)Tag);
            return FALSE;
        }
        if (ExFaultsInjected(Kind) == Injected) { /* it makes fewer requests than that */
            if (!NT_SUCCESS(Status)) {
                KtapFail(Ktap, __FILE__, __LINE__, "%s: status 0x%08x without a failure", Operation->Name,
                         (unsigned)Status);
            }
            return NT_SUCCESS(Status);
        }
    }
    KtapFail(Ktap, __FILE__, __LINE__, "%s: more than %u requests", Operation->Name, MAXIMUM_STEPS);
    return FALSE;
}

static VOID FailAll(PKTAP_CONTEXT Ktap, EX_FAULT_KIND Kind)
{
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Operations); Index++) {
        if (!FailEach(Ktap, &Operations[Index], Kind)) {
            return;
        }
    }
}

static VOID FaultPool(PKTAP_CONTEXT Ktap)
{
    FailAll(Ktap, ExFaultPool);
}

static VOID FaultIrp(PKTAP_CONTEXT Ktap)
{
    FailAll(Ktap, ExFaultIrp);
}

static VOID FaultObject(PKTAP_CONTEXT Ktap)
{
    FailAll(Ktap, ExFaultObject);
}

static VOID FaultFrame(PKTAP_CONTEXT Ktap)
{
    FailAll(Ktap, ExFaultFrame);
}

/* The n-th request fails, of this thread's only. */
static VOID FaultCounts(PKTAP_CONTEXT Ktap)
{
    ULONG Refused = 0, Interval;
    EX_FAULT_KIND Kind;

    ExSetFault(ExFaultObject, 4, KeGetCurrentThread());
    for (ULONG Turn = 0; Turn < 40; Turn++) {
        Refused += OpEvent() == STATUS_INSUFFICIENT_RESOURCES;
    }
    ExSetFault(ExFaultObject, 0, NULL);
    KTAP_EQUAL(Refused, 10);
    KTAP_CHECK(ExParseFault("frame:37", &Kind, &Interval) && Kind == ExFaultFrame && Interval == 37);
    KTAP_CHECK(!ExParseFault("pool", &Kind, &Interval) && !ExParseFault("pool:0", &Kind, &Interval));
    KTAP_CHECK(!ExParseFault("pools:3", &Kind, &Interval) && !ExParseFault("", &Kind, &Interval));
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"counts", FaultCounts}, {"pool", FaultPool}, {"irp", FaultIrp}, {"object", FaultObject}, {"frame", FaultFrame},
};
KTAP_SUITE(ExFaultSuite, "ex.fault", Cases);
