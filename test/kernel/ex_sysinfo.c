/*
 * ex_sysinfo.c - suite for NtQuerySystemInformation: lengths, and figures that can be known otherwise.
 *
 * Classes of fixed size are asked with their size, one byte less and one more; lists with too little room, then with what they said they
 * need. One buffer of 64 KB from the pool is enough for every list of a system that runs nothing but tests.
 */
#include "ketest.h"

#include <ntos/ke.h>
#include <ntos/mm.h>
#include <ntos/ob.h>
#include <ntos/sysinfo.h>

#define EXS_BYTES 0x10000U
#define EXS_TAG   'tsyS'

typedef struct _EXS_FIXED {
    SYSTEM_INFORMATION_CLASS Class;
    ULONG Bytes;
    BOOLEAN LessIsFine;
} EXS_FIXED;

static const EXS_FIXED ExsFixed[] = {
    {SystemBasicInformation, sizeof(SYSTEM_BASIC_INFORMATION), FALSE},
    {SystemProcessorInformation, sizeof(SYSTEM_PROCESSOR_INFORMATION), FALSE},
    {SystemPerformanceInformation, sizeof(SYSTEM_PERFORMANCE_INFORMATION), FALSE},
    {SystemTimeOfDayInformation, sizeof(SYSTEM_TIMEOFDAY_INFORMATION), TRUE},
    {SystemExceptionInformation, sizeof(SYSTEM_EXCEPTION_INFORMATION), FALSE},
    {SystemKernelDebuggerInformation, sizeof(SYSTEM_KERNEL_DEBUGGER_INFORMATION), FALSE},
};

static VOID ExsLengths(PKTAP_CONTEXT Ktap)
{
    static UCHAR Buffer[512];
    ULONG Needed;

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(ExsFixed); Index++) {
        const EXS_FIXED *Fixed = &ExsFixed[Index];

        Buffer[Fixed->Bytes] = 0x5A;
        KTAP_EQUAL(ZwQuerySystemInformation(Fixed->Class, Buffer, Fixed->Bytes, &Needed), STATUS_SUCCESS);
        KTAP_EQUAL(Needed, Fixed->Bytes);
        KTAP_EQUAL(Buffer[Fixed->Bytes], 0x5A);
        KTAP_EQUAL(ZwQuerySystemInformation(Fixed->Class, Buffer, Fixed->Bytes - 1, &Needed),
                   Fixed->LessIsFine ? STATUS_SUCCESS : STATUS_INFO_LENGTH_MISMATCH);
        KTAP_EQUAL(Needed, Fixed->LessIsFine ? Fixed->Bytes - 1 : Fixed->Bytes);
        KTAP_EQUAL(NtQuerySystemInformation(Fixed->Class, Buffer, Fixed->Bytes + 1, NULL), STATUS_INFO_LENGTH_MISMATCH);
    }
    KTAP_EQUAL(ZwQuerySystemInformation((SYSTEM_INFORMATION_CLASS)4000, Buffer, 4, NULL), STATUS_INVALID_INFO_CLASS);
}

static VOID ExsFigures(PKTAP_CONTEXT Ktap)
{
    SYSTEM_BASIC_INFORMATION Basic;
    SYSTEM_PERFORMANCE_INFORMATION Performance;
    SYSTEM_TIMEOFDAY_INFORMATION Time;
    SYSTEM_PROCESSOR_INFORMATION Processor;
    LARGE_INTEGER Now;

    KTAP_EQUAL(ZwQuerySystemInformation(SystemBasicInformation, &Basic, sizeof(Basic), NULL), STATUS_SUCCESS);
    KTAP_EQUAL(Basic.PageSize, PAGE_SIZE);
    KTAP_EQUAL((ULONG)Basic.NumberOfProcessors, KeQueryActiveProcessorCount(NULL));
    KTAP_EQUAL(Basic.ActiveProcessorsAffinityMask, KeQueryActiveProcessors());
    KTAP_CHECK(Basic.NumberOfPhysicalPages > 32 * 256 - 1024);
    KTAP_CHECK(Basic.LowestPhysicalPageNumber < Basic.HighestPhysicalPageNumber);
    KTAP_EQUAL(ZwQuerySystemInformation(SystemPerformanceInformation, &Performance, sizeof(Performance), NULL),
               STATUS_SUCCESS);
    KTAP_CHECK(Performance.AvailablePages > 0 && Performance.AvailablePages < Basic.NumberOfPhysicalPages);
    KTAP_CHECK(Performance.NonPagedPoolPages > 0 && Performance.ContextSwitches > 0);
    KTAP_CHECK(Performance.NonPagedPoolAllocs >= Performance.NonPagedPoolFrees);
    KTAP_EQUAL(ZwQuerySystemInformation(SystemTimeOfDayInformation, &Time, sizeof(Time), NULL), STATUS_SUCCESS);
    KeQuerySystemTime(&Now);
    KTAP_CHECK(Time.CurrentTime.QuadPart <= Now.QuadPart && Time.BootTime.QuadPart < Time.CurrentTime.QuadPart);
    KTAP_EQUAL(ZwQuerySystemInformation(SystemProcessorInformation, &Processor, sizeof(Processor), NULL),
               STATUS_SUCCESS);
    KTAP_EQUAL(Processor.ProcessorArchitecture, 9);
    KTAP_CHECK(Processor.ProcessorLevel >= 6);
}

/* Asks for a list, first with too little room; NULL: something was wrong. ExFreePoolWithTag frees it. */
static PVOID ExsList(SYSTEM_INFORMATION_CLASS Class, PULONG Bytes)
{
    PVOID Buffer = ExAllocatePoolWithTag(NonPagedPool, EXS_BYTES, EXS_TAG);
    ULONG Needed = 0;

    if (Buffer == NULL || ZwQuerySystemInformation(Class, Buffer, 4, &Needed) != STATUS_INFO_LENGTH_MISMATCH ||
        Needed <= 4 || Needed > EXS_BYTES || !NT_SUCCESS(ZwQuerySystemInformation(Class, Buffer, EXS_BYTES, Bytes))) {
        if (Buffer != NULL) {
            ExFreePoolWithTag(Buffer, EXS_TAG);
        }
        return NULL;
    }
    return Buffer;
}

static VOID ExsProcesses(PKTAP_CONTEXT Ktap)
{
    ULONG Bytes, Threads = 0, Me = 0, Processes = 0;
    PSYSTEM_PROCESS_INFORMATION List = ExsList(SystemProcessInformation, &Bytes), Info = List;
    static const UNICODE_STRING Name = RTL_CONSTANT_STRING(L"System");
    BOOLEAN Named = FALSE;

    KTAP_CHECK(List != NULL);
    for (;;) {
        PSYSTEM_THREAD_INFORMATION Thread = (PSYSTEM_THREAD_INFORMATION)(Info + 1);

        Processes++;
        if (Info->UniqueProcessId == PsGetCurrentProcessId()) {
            Named = RtlEqualUnicodeString(&Info->ImageName, &Name, FALSE);
            Threads = Info->NumberOfThreads;
            for (ULONG Index = 0; Index < Threads; Index++) {
                Me += (Thread[Index].ClientId.UniqueThread == PsGetCurrentThreadId() &&
                       Thread[Index].ThreadState == Running)
                          ? 1
                          : 0;
            }
        }
        if (Info->NextEntryOffset == 0) {
            break;
        }
        Info = (PSYSTEM_PROCESS_INFORMATION)((PUCHAR)Info + Info->NextEntryOffset);
    }
    ExFreePoolWithTag(List, EXS_TAG);
    KTAP_CHECK(Processes >= 1);
    KTAP_CHECK(Named);
    KTAP_CHECK(Threads >= 3);
    KTAP_EQUAL(Me, 1);
}

static VOID ExsModules(PKTAP_CONTEXT Ktap)
{
    ULONG Bytes, Mine = 0, Count;
    PSYSTEM_MODULE_INFORMATION List = ExsList(SystemModuleInformation, &Bytes);
    BOOLEAN Kernel = FALSE;

    KTAP_CHECK(List != NULL);
    Count = List->NumberOfModules;
    for (ULONG Index = 0; Index < Count; Index++) {
        PSYSTEM_MODULE_ENTRY Entry = &List->Modules[Index];
        ULONG64 Offset = (ULONG64)(ULONG_PTR)&ExsModules - (ULONG64)Entry->ImageBase;

        if (Offset < Entry->ImageSize) {
            Mine++;
            Kernel = RtlCompareMemory(&Entry->FullPathName[Entry->OffsetToFileName], "ntoskrnl.exe", 12) == 12;
        }
    }
    ExFreePoolWithTag(List, EXS_TAG);
    KTAP_EQUAL(Bytes, FIELD_OFFSET(SYSTEM_MODULE_INFORMATION, Modules) + Count * sizeof(SYSTEM_MODULE_ENTRY));
    KTAP_EQUAL(Mine, 1);
    KTAP_CHECK(Kernel);
}

static VOID ExsHandles(PKTAP_CONTEXT Ktap)
{
    OBJECT_ATTRIBUTES Attributes;
    PSYSTEM_HANDLE_INFORMATION List;
    PSYSTEM_HANDLE_INFORMATION_EX ListEx;
    ULONG Bytes, BytesEx, Found = 0, FoundEx = 0;
    HANDLE Handle;
    PVOID Object;

    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    KTAP_EQUAL(ZwCreateEvent(&Handle, EVENT_QUERY_STATE, &Attributes, NotificationEvent, FALSE), STATUS_SUCCESS);
    KTAP_EQUAL(ObReferenceObjectByHandle(Handle, 0, NULL, KernelMode, &Object, NULL), STATUS_SUCCESS);
    List = ExsList(SystemHandleInformation, &Bytes);
    ListEx = ExsList(SystemExtendedHandleInformation, &BytesEx);
    KTAP_CHECK(List != NULL && ListEx != NULL);
    for (ULONG Index = 0; Index < List->NumberOfHandles; Index++) {
        Found += (List->Handles[Index].Object == Object && List->Handles[Index].GrantedAccess == EVENT_QUERY_STATE &&
                  List->Handles[Index].ObjectTypeIndex == ExpEventObjectType->Index)
                     ? 1
                     : 0;
    }
    for (ULONG Index = 0; Index < ListEx->NumberOfHandles; Index++) {
        FoundEx += (ListEx->Handles[Index].Object == Object &&
                    ListEx->Handles[Index].UniqueProcessId == (ULONG_PTR)PsGetCurrentProcessId())
                       ? 1
                       : 0;
    }
    ExFreePoolWithTag(List, EXS_TAG);
    ExFreePoolWithTag(ListEx, EXS_TAG);
    ObDereferenceObject(Object);
    KTAP_EQUAL(ZwClose(Handle), STATUS_SUCCESS);
    KTAP_EQUAL(Found, 1);
    KTAP_EQUAL(FoundEx, 1);
}

static VOID ExsTags(PKTAP_CONTEXT Ktap)
{
    ULONG Bytes, Found = 0;
    PSYSTEM_POOLTAG_INFORMATION List = ExsList(SystemPoolTagInformation, &Bytes);

    KTAP_CHECK(List != NULL);
    for (ULONG Index = 0; Index < List->Count; Index++) {
        /* The list's own buffer is in it. */
        Found += (List->TagInfo[Index].Tag == EXS_TAG && List->TagInfo[Index].NonPagedUsed >= EXS_BYTES) ? 1 : 0;
    }
    ExFreePoolWithTag(List, EXS_TAG);
    KTAP_EQUAL(Found, 1);
}

static VOID ExsProcessors(PKTAP_CONTEXT Ktap)
{
    ULONG Count = KeQueryActiveProcessorCount(NULL), Bytes, Switches = 0;
    PSYSTEM_PROCESSOR_PERFORMANCE_INFORMATION Times = ExsList(SystemProcessorPerformanceInformation, &Bytes);
    PSYSTEM_INTERRUPT_INFORMATION Interrupts = ExsList(SystemInterruptInformation, &Bytes);
    LONG64 Kernel = 0;

    KTAP_CHECK(Times != NULL && Interrupts != NULL);
    for (ULONG Index = 0; Index < Count; Index++) {
        Kernel += Times[Index].KernelTime.QuadPart - Times[Index].IdleTime.QuadPart;
        Switches += Interrupts[Index].ContextSwitches;
    }
    ExFreePoolWithTag(Times, EXS_TAG);
    ExFreePoolWithTag(Interrupts, EXS_TAG);
    KTAP_EQUAL(Bytes, Count * sizeof(SYSTEM_INTERRUPT_INFORMATION));
    KTAP_CHECK(Kernel >= 0 && Switches > 0);
}

static const KTAP_CASE_ENTRY ExsCases[] = {
    {"lengths", ExsLengths}, {"figures", ExsFigures}, {"processes", ExsProcesses},   {"modules", ExsModules},
    {"handles", ExsHandles}, {"pool_tags", ExsTags},  {"processors", ExsProcessors},
};
KTAP_SUITE(ExsSuite, "ex.sysinfo", ExsCases);
