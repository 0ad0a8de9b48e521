/*
 * mp.c - starts the other processors.
 *
 * In phase 1, once there are threads and pools, the boot processor wakes the processors of the MADT one after the other: INIT
 * to all, then for each the startup IPI, which makes it begin in real mode at the trampoline (trampoline.asm) below 1 MB. What it
 * needs is made beforehand: its area with PCR, GDT, TSS and IST stacks, Mm's part, dispatcher state, idle thread. It
 * comes up on its idle thread's stack, in tables that hold the kernel half and the trampoline's one identity page;
 * those exist, and the trampoline is mapped, only until the last processor has left them.
 *
 *   Waiting -> Arrived (the processor, in KiProcessorStart) -> Running (it is in the idle loop)
 *   Waiting -> GivenUp (the boot processor, after START_SECONDS): it gets an INIT, is reported and left out
 *
 * Both arrows out of Waiting are one compare-exchange, so a processor that answers too late parks itself. Every wait is
 * for an acknowledgement: an emulator may let processors take turns.
 *
 * A processor becomes active under the dispatcher lock, with interrupts off: from then on it gets shootdowns. What its
 * TLB took in before that is dropped right after.
 *
 * Locks: dispatcher. Must never: take a lock on the new processor that somebody may hold while it waits for it.
 */
#include "kip.h"

#include <ntos/console.h>
#include <ntos/init.h>
#include <ntos/pool.h>
#include <ntos/ps.h>
#include "processor.h"

#define TAG_PROCESSOR 'rPeK'

#define INIT_MICROSECONDS    10000 /* between INIT and startup IPI: Intel SDM 3A 9.4.4 */
#define STARTUP_MICROSECONDS 200   /* between the two startup IPIs */
#define POLL_MICROSECONDS    10
#define START_SECONDS        10 /* a processor answers within microseconds, but an emulator's host may be busy */

#define BELOW_4GB (MAXULONG32)

typedef enum _KI_START_STATE { StartWaiting, StartArrived, StartRunning, StartGivenUp } KI_START_STATE;

/* What a starting processor finds in its first argument. */
typedef struct _KI_START {
    PKI_PROCESSOR_AREA Area; /* (c) Prcb's Number, Mm, Dispatch, IdleThread are set */
    ULONG Number;            /* (c) */
    ULONG ApicId;            /* (c) */
    volatile LONG State;     /* KI_START_STATE, interlocked */
} KI_START, *PKI_START;

/* trampoline.asm */
extern const UCHAR KiTrampoline[], KiTrampolineData[], KiTrampolineEnd[];

#pragma pack(push, 1)
typedef struct _KI_TRAMPOLINE_DATA {
    ULONG64 Root, Stack, Entry, Argument;
    ULONG64 Gdt[4];
    ULONG FlatOffset, FlatSelector;
    ULONG LongOffset, LongSelector;
    USHORT GdtAlign, GdtLimit;
    ULONG GdtBase;
} KI_TRAMPOLINE_DATA, *PKI_TRAMPOLINE_DATA;
#pragma pack(pop)
C_ASSERT(FIELD_OFFSET(KI_TRAMPOLINE_DATA, GdtBase) == 84 && sizeof(KI_TRAMPOLINE_DATA) == 88);

/* What exists while processors are being started. */
typedef struct _KI_STARTUP {
    PUCHAR Page;        /* the trampoline's frame */
    ULONG PageFrame;    /* its number, which the startup IPI carries */
    PULONG64 Tables;    /* PML4, PDPT, PD, PT */
    ULONG64 TablesBase; /* physical */
    PKI_TRAMPOLINE_DATA Data;
} KI_STARTUP;

#define TABLE_ENTRIES (MM_PAGE_SIZE / sizeof(ULONG64))
#define TABLE_LEVELS  4
#define TABLE_LINK    (PTE_VALID | PTE_WRITE | PTE_ACCESSED)

/* ---- The trampoline and its tables ---- */

/* The kernel half as it is, and below it the one page, read-only. */
static VOID FillTables(KI_STARTUP *Startup)
{
    ULONG64 Self = MM_SELF_SLOT, Address = (ULONG64)Startup->PageFrame * MM_PAGE_SIZE;
    const ULONG64 *Pml4 = (const ULONG64 *)(MM_PTE_BASE | Self << 30 | Self << 21 | Self << 12);

    RtlZeroMemory(Startup->Tables, TABLE_LEVELS * MM_PAGE_SIZE);
    RtlCopyMemory(Startup->Tables + TABLE_ENTRIES / 2, Pml4 + TABLE_ENTRIES / 2, MM_PAGE_SIZE / 2);
    for (ULONG Level = 0; Level < TABLE_LEVELS - 1; Level++) { /* below 1 MB every index but the last is 0 */
        Startup->Tables[Level * TABLE_ENTRIES] = (Startup->TablesBase + (Level + 1) * MM_PAGE_SIZE) | TABLE_LINK;
    }
    Startup->Tables[(TABLE_LEVELS - 1) * TABLE_ENTRIES + Startup->PageFrame] = Address | PTE_VALID | PTE_ACCESSED;
}

static VOID FillPage(KI_STARTUP *Startup)
{
    ULONG Base = Startup->PageFrame * MM_PAGE_SIZE;

    RtlCopyMemory(Startup->Page, KiTrampoline, KiTrampolineEnd - KiTrampoline);
    Startup->Data = (PKI_TRAMPOLINE_DATA)(Startup->Page + (KiTrampolineData - KiTrampoline));
    Startup->Data->Root = Startup->TablesBase;
    Startup->Data->FlatOffset += Base;
    Startup->Data->LongOffset += Base;
    Startup->Data->GdtBase += Base;
}

static VOID EndStartup(KI_STARTUP *Startup)
{
    if (Startup->Page != NULL) {
        RtlZeroMemory(Startup->Page, MM_PAGE_SIZE);
        MmUnmapIoSpace(Startup->Page, MM_PAGE_SIZE);
    }
    if (Startup->Tables != NULL) {
        MmFreeContiguousMemory(Startup->Tables);
    }
}

static BOOLEAN BeginStartup(KI_STARTUP *Startup)
{
    PHYSICAL_ADDRESS Highest = {.QuadPart = BELOW_4GB};
    PHYSICAL_ADDRESS Frame = {.QuadPart = (LONG64)(MmTrampolineFrame * MM_PAGE_SIZE)};

    RtlZeroMemory(Startup, sizeof(*Startup));
    if (MmTrampolineFrame == 0) {
        return FALSE;
    }
    Startup->PageFrame = (ULONG)MmTrampolineFrame;
    Startup->Page = MmMapIoSpace(Frame, MM_PAGE_SIZE, MmCached);
    Startup->Tables = MmAllocateContiguousMemory(TABLE_LEVELS * MM_PAGE_SIZE, Highest);
    if (Startup->Page == NULL || Startup->Tables == NULL) {
        EndStartup(Startup);
        return FALSE;
    }
    Startup->TablesBase = (ULONG64)MmGetPhysicalAddress(Startup->Tables).QuadPart;
    FillTables(Startup);
    FillPage(Startup);
    return TRUE;
}

/* ---- On the new processor ---- */

static DECLSPEC_NORETURN VOID Park(VOID)
{
    for (;;) {
        _disable();
        KeHalt();
    }
}

/* Lets the system process's threads run here. Those that a driver confined to a set stay there. Dispatcher lock held. */
static VOID ExtendAffinity(PKPROCESS Process, KAFFINITY Member)
{
    Process->Affinity |= Member;
    for (PLIST_ENTRY Entry = Process->ThreadListHead.Flink; Entry != &Process->ThreadListHead; Entry = Entry->Flink) {
        PKTHREAD Thread = CONTAINING_RECORD(Entry, KTHREAD, ThreadListEntry);

        Thread->UserAffinity |= Member;
        if (!Thread->SystemAffinityActive) {
            Thread->Affinity |= Member;
        }
    }
}

volatile CCHAR KeNumberProcessors = 1;

/* The number of processors in the places where drivers look for it. */
static VOID PublishCount(VOID)
{
    KeNumberProcessors = (CCHAR)KeNumberOfActiveProcessors;
    SharedUserData->ActiveProcessorCount = KeNumberOfActiveProcessors;
    SharedUserData->ActiveGroupCount = 1;
}

static VOID BecomeActive(PKPRCB Prcb, PKPROCESS Process)
{
    ExtendAffinity(Process, Prcb->SetMember);
    InterlockedOr64((volatile LONG64 *)&Process->ActiveProcessors, (LONG64)Prcb->SetMember);
    KiProcessorBlock[Prcb->Number] = Prcb;
    InterlockedIncrement((LONG volatile *)&KeNumberOfActiveProcessors);
    PublishCount();
    MmTlbJoin();
    KiIdleSummary |= Prcb->SetMember;
}

/* From the trampoline, on the idle thread's stack, interrupts off. */
static DECLSPEC_NORETURN VOID KiProcessorStart(PKI_START Start)
{
    PKPRCB Prcb = &Start->Area->Pcr.Prcb;
    PKPROCESS Process = &PsInitialSystemProcess->Pcb;

    if (InterlockedCompareExchange(&Start->State, StartArrived, StartWaiting) != StartWaiting) {
        Park();
    }
    __writecr3(Process->DirectoryTableBase);
    KiInitializeProcessor(Start->Area, Start->Number, Start->ApicId);
    Prcb->CurrentThread = Prcb->IdleThread;
    Prcb->KernelStackTop = (ULONG64)Prcb->IdleThread->StackTop;
    HalInitializeProcessor();
    KeLowerIrql(DISPATCH_LEVEL); /* interrupts stay off until the idle loop */
    KiAcquireSpinLock(&KiDispatcherLock);
    BecomeActive(Prcb, Process);
    InterlockedExchange(&Start->State, StartRunning);
    KiThreadStart(Prcb->IdleThread);
}

/* ---- On the boot processor ---- */

/* What belongs to a processor before it runs; NULL: memory is short. */
static PKI_PROCESSOR_AREA CreateProcessor(ULONG Number)
{
    PKI_PROCESSOR_AREA Area = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Area), TAG_PROCESSOR);
    PKI_DISPATCH Dispatch = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Dispatch), TAG_PROCESSOR);
    PETHREAD Idle = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Idle), TAG_PROCESSOR);

    if (Area != NULL && Dispatch != NULL && Idle != NULL) {
        RtlZeroMemory(Area, sizeof(*Area));
        RtlZeroMemory(Dispatch, sizeof(*Dispatch));
        RtlZeroMemory(Idle, sizeof(*Idle));
        Area->Pcr.Prcb.Number = (USHORT)Number;
        Area->Pcr.Prcb.SetMember = (KAFFINITY)1 << Number;
        KiInitializeProcessorDispatch(&Area->Pcr.Prcb, Dispatch);
        if (MmPrepareProcessor(&Area->Pcr.Prcb) &&
            KiInitializeIdleThread(&Area->Pcr.Prcb, Idle, &PsInitialSystemProcess->Pcb)) {
            return Area;
        }
    }
    if (Idle != NULL) {
        ExFreePoolWithTag(Idle, TAG_PROCESSOR);
    }
    if (Dispatch != NULL) {
        ExFreePoolWithTag(Dispatch, TAG_PROCESSOR);
    }
    if (Area != NULL) {
        ExFreePoolWithTag(Area, TAG_PROCESSOR);
    }
    return NULL;
}

/* Polls until State is at least Wanted or the time is over. */
static BOOLEAN AwaitState(PKI_START Start, LONG Wanted, ULONG64 MicroSeconds)
{
    LARGE_INTEGER Frequency, Begin = KeQueryPerformanceCounter(&Frequency);
    LONG64 Limit = (LONG64)(Frequency.QuadPart / 1000 * MicroSeconds / 1000);

    while (Start->State < Wanted) {
        if (KeQueryPerformanceCounter(NULL).QuadPart - Begin.QuadPart > Limit) {
            return Start->State >= Wanted;
        }
        KeStallExecutionProcessor(POLL_MICROSECONDS);
    }
    return TRUE;
}

/*
 * Wakes one processor that has had its INIT and waits until it is in the idle loop. FALSE: it did not answer, and is held in reset
 * by another INIT. What it was given stays with it, since nobody knows what it still does.
 */
static BOOLEAN StartProcessor(KI_STARTUP *Startup, PKI_START Start, ULONG64 MicroSeconds)
{
    PULONG64 Stack = (PULONG64)((PUCHAR)Start->Area->Pcr.Prcb.IdleThread->StackTop - 0x38);

    *Stack = 0; /* the return address, where stack walks end */
    Startup->Data->Stack = (ULONG64)Stack;
    Startup->Data->Argument = (ULONG64)Start;
    Startup->Data->Entry = (ULONG64)KiProcessorStart;
    KeMemoryFence();
    HalSendStartup(Start->ApicId, Startup->PageFrame);
    if (!AwaitState(Start, StartArrived, STARTUP_MICROSECONDS)) {
        HalSendStartup(Start->ApicId, Startup->PageFrame);
        AwaitState(Start, StartArrived, MicroSeconds);
    }
    if (InterlockedCompareExchange(&Start->State, StartGivenUp, StartWaiting) == StartWaiting) {
        HalSendInit(Start->ApicId);
        return FALSE;
    }
    while (Start->State != StartRunning) { /* it holds no resource and takes only the dispatcher lock: it gets there */
        YieldProcessor();
    }
    return TRUE;
}

/* Boot option cpus=N: at most N processors; without it, or with nonsense, as many as there are. */
static ULONG WantedProcessors(VOID)
{
    CHAR Text[8];
    ULONG Wanted = 0;

    if (KeBootOption("cpus", Text, sizeof(Text))) {
        for (PCSTR Digit = Text; *Digit >= '0' && *Digit <= '9'; Digit++) {
            Wanted = Wanted * 10 + (ULONG)(*Digit - '0');
        }
    }
    return Wanted == 0 ? KI_MAXIMUM_PROCESSORS : Wanted;
}

static BOOLEAN StartOne(KI_STARTUP *Startup, ULONG ApicId, ULONG64 MicroSeconds)
{
    ULONG Number = KeNumberOfActiveProcessors;
    PKI_START Start = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Start), TAG_PROCESSOR);
    PKI_PROCESSOR_AREA Area = Start != NULL ? CreateProcessor(Number) : NULL;

    if (Area == NULL) {
        ConPrint("ke: no memory for processor %lu (APIC %lu)\n", Number, ApicId);
        if (Start != NULL) {
            ExFreePoolWithTag(Start, TAG_PROCESSOR);
        }
        return FALSE;
    }
    *Start = (KI_START){.Area = Area, .Number = Number, .ApicId = ApicId, .State = StartWaiting};
    if (!StartProcessor(Startup, Start, MicroSeconds)) {
        ConPrint("ke: the processor with APIC %lu does not answer and is left out\n", ApicId);
        return FALSE;
    }
    ExFreePoolWithTag(Start, TAG_PROCESSOR);
    return TRUE;
}

/**
 * KeStartProcessor - starts one processor; what all go through, but one by one.
 *
 * @ApicId        its local APIC; it does not run yet
 * @MicroSeconds  how long it has to answer; after that it is left out for good
 * returns        whether it runs
 *
 * IRQL: PASSIVE_LEVEL, one caller at a time.
 */
BOOLEAN KeStartProcessor(ULONG ApicId, ULONG64 MicroSeconds)
{
    KI_STARTUP Startup;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (!BeginStartup(&Startup)) {
        return FALSE;
    }
    HalSendInit(ApicId);
    KeStallExecutionProcessor(INIT_MICROSECONDS);
    BOOLEAN Started = StartOne(&Startup, ApicId, MicroSeconds);
    EndStartup(&Startup);
    return Started;
}

/**
 * KeStartAllProcessors - starts every processor that the machine has and the boot option allows.
 *
 * One that cannot be started is reported on the console, and the rest go on without it.
 *
 * IRQL: PASSIVE_LEVEL, phase 1.
 */
VOID KeStartAllProcessors(VOID)
{
    KI_STARTUP Startup;
    const ULONG *ApicIds;
    ULONG Count = HalQueryProcessors(&ApicIds), Wanted = WantedProcessors();

    ASSERT_IRQL(PASSIVE_LEVEL);
    PublishCount();
    if (Count <= 1 || Wanted <= 1) {
        return;
    }
    if (!BeginStartup(&Startup)) {
        ConPrint("ke: no memory below 1 MB to start processors from\n");
        return;
    }
    KiInitializeIpis();
    for (ULONG Index = 0; Index < Count; Index++) {
        if (ApicIds[Index] != KeGetCurrentPrcb()->ApicId) {
            HalSendInit(ApicIds[Index]);
        }
    }
    KeStallExecutionProcessor(INIT_MICROSECONDS);
    for (ULONG Index = 0; Index < Count && KeNumberOfActiveProcessors < Wanted; Index++) {
        if (ApicIds[Index] != KiProcessorBlock[0]->ApicId) {
            StartOne(&Startup, ApicIds[Index], START_SECONDS * 1000000ULL);
        }
    }
    EndStartup(&Startup);
    ConPrint("%lu of %lu processors run\n", KeNumberOfActiveProcessors, Count);
}
