/*
 * iorace.c - suite for what happens at the same moment: cancel and complete, close and complete, many threads on one port, lookups of
 * images while drivers come and go.
 *
 * Threads run on whatever processors there are. Each case counts: every request ends exactly once, and as many IRPs are left as there were.
 */
#include "iotest.h"

#define RACE_THREADS 3
#define RACE_SLOTS   8

static volatile LONG RaceStop, RaceCompleted, RaceCancelled, RaceTaken, RaceErrors;
static LONG64 RaceIrps;

static BOOLEAN RaceBegin(VOID)
{
    RaceStop = RaceCompleted = RaceCancelled = RaceTaken = RaceErrors = 0;
    if (!NT_SUCCESS(IoTestStart())) {
        return FALSE;
    }
    RaceIrps = IoTestIrps();
    return TRUE;
}

/* Threads that have nothing to do wait: a processor that spins takes time from one that could get on. */
static VOID NTAPI RaceCompleter(PVOID Context)
{
    LARGE_INTEGER Limit = {.QuadPart = -100000}; /* 10 ms, to look at RaceStop */

    while (RaceStop == 0) {
        if (KeWaitForSingleObject(&IoTest()->Queued, Executive, KernelMode, FALSE, &Limit) == STATUS_SUCCESS &&
            IoTestFinish(STATUS_SUCCESS, 1)) {
            InterlockedIncrement(&RaceCompleted);
        }
    }
}

/* ---- Cancel versus complete ---- */

#define RACE_BATCH 8 /* requests a round: threads meet once for all of them */

static PIRP RaceBatch[RACE_BATCH]; /* the requests of this round */
static KEVENT RaceGo, RaceSeen;
static volatile LONG RaceEnds, RaceLeft;

static NTSTATUS NTAPI RaceDone(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    InterlockedIncrement(&RaceEnds);
    InterlockedIncrement((Irp->IoStatus.Status == STATUS_CANCELLED) ? &RaceCancelled : &RaceTaken);
    if (InterlockedDecrement(&RaceLeft) == 0) {
        KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
    }
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* Cancels each of a round's requests once, at about the moment it is completed. */
static VOID NTAPI RaceCanceller(PVOID Context)
{
    for (;;) {
        KeWaitForSingleObject(&RaceGo, Executive, KernelMode, FALSE, NULL);
        if (RaceStop != 0) {
            return;
        }
        for (ULONG Each = 0; Each < RACE_BATCH; Each++) {
            IoCancelIrp(RaceBatch[Each]);
        }
        KeSetEvent(&RaceSeen, IO_NO_INCREMENT, FALSE);
    }
}

static VOID RaceSend(PIRP Irp, PKEVENT Done)
{
    PIO_STACK_LOCATION Stack = IoGetNextIrpStackLocation(Irp);

    Stack->MajorFunction = IRP_MJ_DEVICE_CONTROL;
    Stack->Parameters.DeviceIoControl.IoControlCode = IOTEST_KEEP;
    IoSetCompletionRoutine(Irp, RaceDone, Done, TRUE, TRUE, TRUE);
    IoCallDriver(IoTestDevice, Irp);
}

static VOID RaceCancel(PKTAP_CONTEXT Ktap)
{
    ULONG64 Rounds = KtapIterations(100000) / RACE_BATCH + 1;
    PVOID Completer, Canceller;
    KEVENT Done;

    KTAP_CHECK(KTAP_WHOLE(RaceBegin()));
    RaceEnds = 0;
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    KeInitializeEvent(&RaceGo, SynchronizationEvent, FALSE);
    KeInitializeEvent(&RaceSeen, SynchronizationEvent, FALSE);
    for (ULONG Each = 0; Each < RACE_BATCH; Each++) {
        RaceBatch[Each] = IoAllocateIrp(1, FALSE);
        KTAP_CHECK(RaceBatch[Each] != NULL);
    }
    Completer = IoTestThread(RaceCompleter, NULL);
    Canceller = IoTestThread(RaceCanceller, NULL);
    for (ULONG64 Round = 0; Round < Rounds; Round++) {
        RaceLeft = RACE_BATCH;
        for (ULONG Each = 0; Each < RACE_BATCH; Each++) {
            IoReuseIrp(RaceBatch[Each], STATUS_NOT_SUPPORTED);
        }
        for (ULONG Each = 0; Each < RACE_BATCH; Each++) {
            if (Each == Round % RACE_BATCH) {
                KeSetEvent(&RaceGo, IO_NO_INCREMENT, FALSE); /* some are cancelled before they are queued */
            }
            RaceSend(RaceBatch[Each], &Done);
        }
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
        KeWaitForSingleObject(&RaceSeen, Executive, KernelMode, FALSE, NULL); /* the canceller is done with them */
    }
    InterlockedExchange(&RaceStop, 1);
    KeSetEvent(&RaceGo, IO_NO_INCREMENT, FALSE);
    IoTestJoin(Completer);
    IoTestJoin(Canceller);
    for (ULONG Each = 0; Each < RACE_BATCH; Each++) {
        IoFreeIrp(RaceBatch[Each]);
    }
    KTAP_EQUAL(RaceEnds, Rounds * RACE_BATCH);
    KTAP_EQUAL(RaceCancelled + RaceTaken, RaceEnds);
    KTAP_EQUAL(RaceCompleted, RaceTaken);
    KTAP_EQUAL(IoTest()->Cancelled, RaceCancelled);
    IoTestStop();
    KTAP_EQUAL(IoTestIrps(), RaceIrps);
}

/* ---- Close versus complete ---- */

static VOID NTAPI RaceCloser(PVOID Context)
{
    ULONG64 Rounds = *(PULONG64)Context;

    for (ULONG64 Round = 0; Round < Rounds; Round++) {
        static IO_STATUS_BLOCK Iosb[RACE_THREADS]; /* only written to */
        ULONG Value = 0;
        HANDLE File;

        if (!NT_SUCCESS(IoTestOpen(&File, 0))) {
            InterlockedIncrement(&RaceErrors);
            return;
        }
        for (ULONG Each = 0; Each < RACE_THREADS; Each++) {
            if (ZwDeviceIoControlFile(File, NULL, NULL, NULL, &Iosb[Each], IOTEST_KEEP, NULL, 0, &Value,
                                      sizeof(Value)) != STATUS_PENDING) {
                InterlockedIncrement(&RaceErrors);
            }
        }
        if ((Round & 1) != 0) {
            IO_STATUS_BLOCK Result;

            ZwCancelIoFile(File, &Result); /* Value is on this stack: nothing may be under way when it goes */
            ZwClose(File);
        } else {
            ZwClose(File); /* the requests keep the file object */
            while (!IsListEmpty(&PsGetCurrentThread()->IrpList)) {
                IoTestPause(1);
            }
        }
    }
}

static VOID RaceClose(PKTAP_CONTEXT Ktap)
{
    ULONG64 Rounds = KtapIterations(100000) / 500 + 1;
    PVOID Closers[RACE_THREADS], Completer;

    KTAP_CHECK(KTAP_WHOLE(RaceBegin()));
    Completer = IoTestThread(RaceCompleter, NULL);
    for (ULONG Each = 0; Each < RACE_THREADS; Each++) {
        Closers[Each] = IoTestThread(RaceCloser, &Rounds);
    }
    for (ULONG Each = 0; Each < RACE_THREADS; Each++) {
        IoTestJoin(Closers[Each]);
    }
    InterlockedExchange(&RaceStop, 1);
    IoTestJoin(Completer);
    KTAP_EQUAL(RaceErrors, 0);
    KTAP_EQUAL(RaceCompleted + IoTest()->Cancelled, Rounds * RACE_THREADS * RACE_THREADS);
    ObFlushDeferredDeletes();
    KTAP_EQUAL(IoTest()->Closes, Rounds * RACE_THREADS);
    IoTestStop();
    KTAP_EQUAL(IoTestIrps(), RaceIrps);
}

/* ---- Completion ports ---- */

static HANDLE RacePort, RaceFile;
static volatile LONG64 RaceSum;

static VOID NTAPI RaceConsumer(PVOID Context)
{
    for (;;) {
        PVOID Key, ApcContext;
        IO_STATUS_BLOCK Iosb;

        if (ZwRemoveIoCompletion(RacePort, &Key, &ApcContext, &Iosb, NULL) != STATUS_SUCCESS || Key == NULL) {
            return; /* the packet that ends it */
        }
        InterlockedIncrement(&RaceTaken);
        InterlockedExchangeAdd64(&RaceSum, (LONG64)ApcContext);
    }
}

static VOID NTAPI RaceProducer(PVOID Context)
{
    ULONG64 Rounds = *(PULONG64)Context;
    static IO_STATUS_BLOCK Iosb;

    for (ULONG64 Round = 1; Round <= Rounds; Round++) {
        ULONG Code = ((Round & 7) == 0) ? IOTEST_KEEP : IOTEST_ANSWER;
        static ULONG Value;
        NTSTATUS Status = ZwDeviceIoControlFile(RaceFile, NULL, NULL, (PVOID)(ULONG_PTR)Round, &Iosb, Code, NULL, 0,
                                                &Value, sizeof(Value));

        if (!NT_SUCCESS(Status)) {
            InterlockedIncrement(&RaceErrors);
        }
    }
    while (!IsListEmpty(&PsGetCurrentThread()->IrpList)) {
        IoTestPause(1); /* what is kept is the completer's to end; a thread that exits would cancel it */
    }
}

static VOID RacePorts(PKTAP_CONTEXT Ktap)
{
    ULONG64 Rounds = KtapIterations(100000) / 3;
    PVOID Producers[RACE_THREADS], Consumers[RACE_THREADS], Completer, Port;
    FILE_COMPLETION_INFORMATION Info = {.Key = &RacePort};
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;

    KTAP_CHECK(KTAP_WHOLE(RaceBegin()));
    RaceSum = 0;
    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    KTAP_EQUAL(ZwCreateIoCompletion(&RacePort, 0x1F0003, &Attributes, 2), STATUS_SUCCESS);
    KTAP_EQUAL(ObReferenceObjectByHandle(RacePort, 2, IopCompletionObjectType, KernelMode, &Port, NULL),
               STATUS_SUCCESS);
    KTAP_EQUAL(IoTestOpen(&RaceFile, 0), STATUS_SUCCESS);
    Info.Port = RacePort;
    KTAP_EQUAL(ZwSetInformationFile(RaceFile, &Iosb, &Info, sizeof(Info), FileCompletionInformation), STATUS_SUCCESS);
    Completer = IoTestThread(RaceCompleter, NULL);
    for (ULONG Each = 0; Each < RACE_THREADS; Each++) {
        Consumers[Each] = IoTestThread(RaceConsumer, NULL);
        Producers[Each] = IoTestThread(RaceProducer, &Rounds);
    }
    for (ULONG Each = 0; Each < RACE_THREADS; Each++) {
        IoTestJoin(Producers[Each]);
    }
    for (ULONG Each = 0; Each < RACE_THREADS; Each++) {
        KTAP_EQUAL(IoSetIoCompletion(Port, NULL, NULL, STATUS_SUCCESS, 0, FALSE), STATUS_SUCCESS);
    }
    for (ULONG Each = 0; Each < RACE_THREADS; Each++) {
        IoTestJoin(Consumers[Each]);
    }
    InterlockedExchange(&RaceStop, 1);
    IoTestJoin(Completer);
    ZwClose(RaceFile);
    ZwClose(RacePort);
    ObfDereferenceObject(Port);
    KTAP_EQUAL(RaceErrors, 0);
    KTAP_EQUAL(RaceTaken, Rounds * RACE_THREADS);
    KTAP_EQUAL(RaceSum, RACE_THREADS * (Rounds * (Rounds + 1) / 2));
    IoTestStop();
    KTAP_EQUAL(IoTestIrps(), RaceIrps);
}

/* ---- Unwinding while images come and go ---- */

static volatile LONG64 RaceLookups;

static DECLSPEC_NOINLINE VOID RaceThrow(NTSTATUS Status)
{
    ExRaiseStatus(Status);
}

static VOID NTAPI RaceUnwinder(PVOID Context)
{
    while (RaceStop == 0) {
        KI_IMAGE Image;

        YieldProcessor(); /* where processors take turns this ends one: the others may have to answer a shootdown */
        __try {
            RaceThrow(STATUS_MORE_ENTRIES);
            InterlockedIncrement(&RaceErrors);
        } __except (GetExceptionCode() == STATUS_MORE_ENTRIES ? EXCEPTION_EXECUTE_HANDLER : EXCEPTION_CONTINUE_SEARCH) {
            InterlockedIncrement64(&RaceLookups);
        }
        /* an image that is found is whole: its base, and a size and a table that belong to it */
        for (ULONG Slot = 0; Slot < RACE_SLOTS; Slot++) {
            ULONG64 Base = MM_DRIVER_IMAGE_BASE + 0x30000000 + Slot * 0x100000ULL;

            if (KiFindImage(Base + 5, &Image) &&
                (Image.Base != Base || Image.Size != (Slot + 1) * PAGE_SIZE || Image.Table != (PVOID)(Base + Slot) ||
                 Image.TableSize != Slot || Image.Name[0] != (CHAR)('a' + Slot))) {
                InterlockedIncrement(&RaceErrors);
            }
        }
    }
}

/* Entries for addresses where nothing is: only the table is looked at. */
static VOID RaceImages(PKTAP_CONTEXT Ktap)
{
    static KLDR_DATA_TABLE_ENTRY Entries[RACE_SLOTS];
    ULONG64 Rounds = KtapIterations(100000);
    PVOID Threads[RACE_THREADS];

    RaceStop = RaceErrors = 0;
    RaceLookups = 0;
    for (ULONG Each = 0; Each < RACE_THREADS; Each++) {
        Threads[Each] = IoTestThread(RaceUnwinder, NULL);
    }
    while (RaceLookups == 0) { /* few rounds may be over before another thread has run at all */
        IoTestPause(1);
    }
    for (ULONG64 Round = 0; Round < Rounds + RACE_SLOTS; Round++) {
        ULONG Slot = (ULONG)(Round * 5 % RACE_SLOTS);
        PKLDR_DATA_TABLE_ENTRY Entry = &Entries[Slot];
        ULONG64 Base = MM_DRIVER_IMAGE_BASE + 0x30000000 + Slot * 0x100000ULL;

        if (Entry->DllBase != NULL) {
            KiRemoveImage(Entry);
            Entry->DllBase = NULL;
        }
        if (Round >= Rounds) {
            continue; /* the last round only removes */
        }
        Entry->DllBase = (PVOID)Base;
        Entry->SizeOfImage = (Slot + 1) * PAGE_SIZE;
        Entry->ExceptionTable = (PVOID)(Base + Slot);
        Entry->ExceptionTableSize = Slot;
        Entry->Name[0] = (CHAR)('a' + Slot);
        KTAP_EQUAL(KiEnterImage(Entry), STATUS_SUCCESS);
    }
    for (ULONG Turn = 0; Turn < 1000 && RaceLookups == 0; Turn++) { /* on one processor they may not have run yet */
        IoTestPause(10);
    }
    InterlockedExchange(&RaceStop, 1);
    for (ULONG Each = 0; Each < RACE_THREADS; Each++) {
        IoTestJoin(Threads[Each]);
    }
    KTAP_EQUAL(RaceErrors, 0);
    KTAP_CHECK(RaceLookups != 0);
}

static const KTAP_CASE_ENTRY RaceCases[] = {
    {"cancel_versus_complete", RaceCancel},
    {"close_versus_complete", RaceClose},
    {"completion_port", RacePorts},
    {"unwind_versus_unload", RaceImages},
};
KTAP_SUITE(RaceSuite, "io.race", RaceCases);
