/*
 * sysinfo.c - NtQuerySystemInformation: figures about the whole system, by class.
 *
 * A class of fixed size wants exactly that size; one that lists things wants room for the whole list (syslists.c). In both cases another
 * length is STATUS_INFO_LENGTH_MISMATCH, with the length that would do in ReturnLength. Figures are one moment's, gathered without
 * stopping anybody: counters of other processors are read as they are.
 *
 * Locks: none of its own. IRQL: PASSIVE_LEVEL. Source: Windows documentation of NtQuerySystemInformation; see sysinfo.h.
 */
#include "sysinfop.h"

#include <ntos/ex.h>
#include <ntos/io.h>
#include <ntos/ke.h>
#include <ntos/mm.h>
#include <ntos/pool.h>
#include <ntos/ps.h>
#include <ntos/user.h>

#define SHARED_DATA ((KUSER_SHARED_DATA *)MM_SHARED_USER_DATA)

#define EXP_ARCHITECTURE_AMD64 9

/* The user half, as every x64 NT has it. */
#define EXP_LOWEST_USER 0x10000ULL
#define EXP_GRANULARITY 0x10000U

PVOID ExpReserve(PEXP_ANSWER Answer, ULONG Bytes)
{
    ULONG Offset = Answer->Needed;

    Answer->Needed += Bytes;
    if (Offset > Answer->Length || Bytes > Answer->Length - Offset) {
        return NULL;
    }
    RtlZeroMemory(Answer->Buffer + Offset, Bytes);
    return Answer->Buffer + Offset;
}

/* ---- Classes of fixed size ---- */

static NTSTATUS ExpQueryBasic(PEXP_ANSWER Answer)
{
    PSYSTEM_BASIC_INFORMATION Info = ExpReserve(Answer, sizeof(*Info));
    MM_USE Use;

    if (Info == NULL || Answer->Length != sizeof(*Info)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    MmQueryUse(&Use);
    Info->TimerResolution = KeQueryTimeIncrement();
    Info->PageSize = PAGE_SIZE;
    Info->NumberOfPhysicalPages = SHARED_DATA->NumberOfPhysicalPages;
    Info->LowestPhysicalPageNumber = (ULONG)Use.LowestFrame;
    Info->HighestPhysicalPageNumber = (ULONG)Use.HighestFrame;
    Info->AllocationGranularity = EXP_GRANULARITY;
    Info->MinimumUserModeAddress = EXP_LOWEST_USER;
    Info->MaximumUserModeAddress = (ULONG_PTR)MmHighestUserAddress;
    Info->ActiveProcessorsAffinityMask = KeQueryActiveProcessors();
    Info->NumberOfProcessors = (CCHAR)KeNumberOfActiveProcessors;
    return STATUS_SUCCESS;
}

static NTSTATUS ExpQueryProcessor(PEXP_ANSWER Answer)
{
    PSYSTEM_PROCESSOR_INFORMATION Info = ExpReserve(Answer, sizeof(*Info));
    int Registers[4];
    ULONG Signature, Family, Model;

    if (Info == NULL || Answer->Length != sizeof(*Info)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    __cpuid(Registers, 1);
    Signature = (ULONG)Registers[0];
    Family = Signature >> 8 & 0xF;
    Model = Signature >> 4 & 0xF;
    if (Family == 0xF || Family == 6) { /* the extended fields count (Intel SDM, CPUID leaf 1) */
        Model += (Signature >> 16 & 0xF) << 4;
    }
    if (Family == 0xF) {
        Family += Signature >> 20 & 0xFF;
    }
    Info->ProcessorArchitecture = EXP_ARCHITECTURE_AMD64;
    Info->ProcessorLevel = (USHORT)Family;
    Info->ProcessorRevision = (USHORT)(Model << 8 | (Signature & 0xF));
    Info->MaximumProcessors = KI_MAXIMUM_PROCESSORS;
    return STATUS_SUCCESS;
}

/* What one processor did with its time, in 100 ns: busy in the kernel and in programs; the rest is idle. */
static ULONG64 ExpIdleTime(PKPRCB Prcb, ULONG64 Now)
{
    ULONG64 Busy = (Prcb->KernelTicks + Prcb->UserTicks) * KeTimeIncrement;

    return (Busy < Now) ? Now - Busy : 0;
}

/* Memory and pools. */
static VOID ExpFillMemory(PSYSTEM_PERFORMANCE_INFORMATION Info)
{
    EX_POOL_USE Paged, NonPaged;
    MM_USE Use;

    MmQueryUse(&Use);
    Info->AvailablePages = (ULONG)Use.AvailablePages;
    Info->CommittedPages = (ULONG)Use.CommittedPages;
    Info->CommitLimit = (ULONG)Use.CommitLimit;
    Info->PeakCommitment = (ULONG)Use.PeakCommitment;
    ExQueryPoolUse(TRUE, &Paged);
    ExQueryPoolUse(FALSE, &NonPaged);
    Info->PagedPoolPages = (ULONG)Paged.Pages;
    Info->PagedPoolAllocs = (ULONG)Paged.Allocations;
    Info->PagedPoolFrees = (ULONG)Paged.Frees;
    Info->NonPagedPoolPages = (ULONG)NonPaged.Pages;
    Info->NonPagedPoolAllocs = (ULONG)NonPaged.Allocations;
    Info->NonPagedPoolFrees = (ULONG)NonPaged.Frees;
}

static NTSTATUS ExpQueryPerformance(PEXP_ANSWER Answer)
{
    PSYSTEM_PERFORMANCE_INFORMATION Info = ExpReserve(Answer, sizeof(*Info));
    ULONG64 Now = KeQueryInterruptTime();
    IO_MANAGER_COUNTERS Io;

    if (Info == NULL || Answer->Length != sizeof(*Info)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    ExpFillMemory(Info);
    IoQueryCounters(&Io);
    Info->IoTransferCounts[0].QuadPart = (LONG64)Io.Requests.ReadTransferCount;
    Info->IoTransferCounts[1].QuadPart = (LONG64)Io.Requests.WriteTransferCount;
    Info->IoTransferCounts[2].QuadPart = (LONG64)Io.Requests.OtherTransferCount;
    Info->IoOperationCounts[0] = (ULONG)Io.Requests.ReadOperationCount;
    Info->IoOperationCounts[1] = (ULONG)Io.Requests.WriteOperationCount;
    Info->IoOperationCounts[2] = (ULONG)Io.Requests.OtherOperationCount;
    for (ULONG Number = 0; Number < KeNumberOfActiveProcessors; Number++) {
        PKPRCB Prcb = KiProcessorBlock[Number];

        Info->IdleProcessTime.QuadPart += (LONG64)ExpIdleTime(Prcb, Now);
        Info->PageFaultCount += (ULONG)Prcb->PageFaults;
        Info->ContextSwitches += (ULONG)Prcb->ContextSwitches;
        Info->SystemCalls += (ULONG)Prcb->SystemCalls;
    }
    return STATUS_SUCCESS;
}

/* A caller who wants less gets less, as documented for this class alone. */
static NTSTATUS ExpQueryTimeOfDay(PEXP_ANSWER Answer)
{
    SYSTEM_TIMEOFDAY_INFORMATION Info = {.TimeZoneId = SHARED_DATA->TimeZoneId};

    Answer->Needed = min(Answer->Length, sizeof(Info));
    if (Answer->Length > sizeof(Info)) {
        Answer->Needed = sizeof(Info);
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    KeQuerySystemTime(&Info.CurrentTime);
    Info.BootTime.QuadPart = Info.CurrentTime.QuadPart - (LONG64)KeQueryInterruptTime();
    RtlCopyMemory(Answer->Buffer, &Info, Answer->Needed);
    return STATUS_SUCCESS;
}

static NTSTATUS ExpQueryException(PEXP_ANSWER Answer)
{
    PSYSTEM_EXCEPTION_INFORMATION Info = ExpReserve(Answer, sizeof(*Info));

    return (Info == NULL || Answer->Length != sizeof(*Info)) ? STATUS_INFO_LENGTH_MISMATCH : STATUS_SUCCESS;
}

static NTSTATUS ExpQueryDebugger(PEXP_ANSWER Answer)
{
    PSYSTEM_KERNEL_DEBUGGER_INFORMATION Info = ExpReserve(Answer, sizeof(*Info));

    if (Info == NULL || Answer->Length != sizeof(*Info)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Info->KernelDebuggerEnabled = KiDebugRoutine != NULL;
    Info->KernelDebuggerNotPresent = KiDebugRoutine == NULL;
    return STATUS_SUCCESS;
}

/* ---- One entry for each processor ---- */

static NTSTATUS ExpQueryProcessorTimes(PEXP_ANSWER Answer)
{
    ULONG64 Now = KeQueryInterruptTime();

    for (ULONG Number = 0; Number < KeNumberOfActiveProcessors; Number++) {
        PSYSTEM_PROCESSOR_PERFORMANCE_INFORMATION Info = ExpReserve(Answer, sizeof(*Info));
        PKPRCB Prcb = KiProcessorBlock[Number];

        if (Info == NULL) {
            continue;
        }
        Info->IdleTime.QuadPart = (LONG64)ExpIdleTime(Prcb, Now);
        Info->UserTime.QuadPart = (LONG64)(Prcb->UserTicks * KeTimeIncrement);
        Info->KernelTime.QuadPart = Info->IdleTime.QuadPart + (LONG64)(Prcb->KernelTicks * KeTimeIncrement);
        Info->InterruptCount = (ULONG)Prcb->Interrupts;
    }
    return STATUS_SUCCESS;
}

static NTSTATUS ExpQueryInterrupts(PEXP_ANSWER Answer)
{
    for (ULONG Number = 0; Number < KeNumberOfActiveProcessors; Number++) {
        PSYSTEM_INTERRUPT_INFORMATION Info = ExpReserve(Answer, sizeof(*Info));
        PKPRCB Prcb = KiProcessorBlock[Number];

        if (Info != NULL) {
            Info->ContextSwitches = (ULONG)Prcb->ContextSwitches;
            Info->DpcCount = (ULONG)Prcb->DpcCount;
            Info->TimeIncrement = KeTimeIncrement;
        }
    }
    return STATUS_SUCCESS;
}

/* ---- The service ---- */

typedef struct _EXP_QUERY {
    SYSTEM_INFORMATION_CLASS Class;
    NTSTATUS (*Run)(PEXP_ANSWER Answer);
} EXP_QUERY;

static const EXP_QUERY ExpQueries[] = {
    {SystemBasicInformation, ExpQueryBasic},
    {SystemProcessorInformation, ExpQueryProcessor},
    {SystemPerformanceInformation, ExpQueryPerformance},
    {SystemTimeOfDayInformation, ExpQueryTimeOfDay},
    {SystemProcessInformation, ExpQueryProcesses},
    {SystemProcessorPerformanceInformation, ExpQueryProcessorTimes},
    {SystemModuleInformation, ExpQueryModules},
    {SystemHandleInformation, ExpQueryHandles},
    {SystemPoolTagInformation, ExpQueryPoolTags},
    {SystemInterruptInformation, ExpQueryInterrupts},
    {SystemExceptionInformation, ExpQueryException},
    {SystemKernelDebuggerInformation, ExpQueryDebugger},
    {SystemExtendedHandleInformation, ExpQueryHandlesEx},
};

static const EXP_QUERY *ExpFindQuery(SYSTEM_INFORMATION_CLASS Class)
{
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(ExpQueries); Index++) {
        if (ExpQueries[Index].Class == Class) {
            return &ExpQueries[Index];
        }
    }
    return NULL;
}

/**
 * NtQuerySystemInformation - figures about the system.
 *
 * @Class         one of those in sysinfo.h
 * @Length        bytes at Buffer
 * @ReturnLength  gets the bytes written, or those needed; may be NULL
 * returns        STATUS_SUCCESS, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_INFO_CLASS, STATUS_INSUFFICIENT_RESOURCES
 */
NTSTATUS NTAPI NtQuerySystemInformation(SYSTEM_INFORMATION_CLASS Class, PVOID Buffer, ULONG Length, PULONG ReturnLength)
{
    const EXP_QUERY *Query = ExpFindQuery(Class);
    EX_ANSWER Out;
    ULONG Needed;
    NTSTATUS Status = Query == NULL ? STATUS_INVALID_INFO_CLASS : ExBeginAnswer(&Out, Buffer, Length);

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    do {
        EXP_ANSWER Answer = {.Buffer = Out.Buffer,
                             .Length = Out.Length,
                             .Bias = Out.Bias,
                             .HideKernel = ExGetPreviousMode() != KernelMode};

        Status = Query->Run(&Answer);
        Needed = Answer.Needed;
        if (NT_SUCCESS(Status) && Needed > Out.Length) {
            Status = STATUS_INFO_LENGTH_MISMATCH;
        }
    } while (ExGrowAnswer(&Out, &Status, Needed));
    Status = ExEndAnswer(&Out, Status, Needed);
    if (Status == STATUS_SUCCESS || Status == STATUS_INFO_LENGTH_MISMATCH) {
        NTSTATUS Told = ExReturnValue(STATUS_SUCCESS, ReturnLength, &Needed, sizeof(Needed));

        Status = NT_SUCCESS(Told) ? Status : Told;
    }
    return Status;
}

NTSTATUS NTAPI ZwQuerySystemInformation(SYSTEM_INFORMATION_CLASS Class, PVOID Buffer, ULONG Length, PULONG ReturnLength)
{
    EX_AS_KERNEL(NtQuerySystemInformation(Class, Buffer, Length, ReturnLength));
}
