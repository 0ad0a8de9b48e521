/*
 * sysinfo.h - what NtQuerySystemInformation answers: classes and structures, as tools know them on x64.
 *
 * The DDK's headers have none of these. Layouts are asserted; a field that Oriel has no figure for is zero, and which ones those are is
 * said at the structure. Source: Windows SDK, winternl.h documentation, for the documented classes; ntdoc.m417z.com for the rest.
 */
#pragma once

#include <ntos/ntos.h>

typedef enum _SYSTEM_INFORMATION_CLASS {
    SystemBasicInformation = 0,
    SystemProcessorInformation = 1,
    SystemPerformanceInformation = 2,
    SystemTimeOfDayInformation = 3,
    SystemProcessInformation = 5,
    SystemProcessorPerformanceInformation = 8,
    SystemModuleInformation = 11,
    SystemHandleInformation = 16,
    SystemPoolTagInformation = 22,
    SystemInterruptInformation = 23,
    SystemExceptionInformation = 33,
    SystemKernelDebuggerInformation = 35,
    SystemExtendedHandleInformation = 64
} SYSTEM_INFORMATION_CLASS;

typedef struct _SYSTEM_BASIC_INFORMATION {
    ULONG Reserved;
    ULONG TimerResolution; /* 100 ns */
    ULONG PageSize;
    ULONG NumberOfPhysicalPages, LowestPhysicalPageNumber, HighestPhysicalPageNumber;
    ULONG AllocationGranularity;
    ULONG_PTR MinimumUserModeAddress, MaximumUserModeAddress;
    KAFFINITY ActiveProcessorsAffinityMask;
    CCHAR NumberOfProcessors;
} SYSTEM_BASIC_INFORMATION, *PSYSTEM_BASIC_INFORMATION;
C_ASSERT(sizeof(SYSTEM_BASIC_INFORMATION) == 0x40);

typedef struct _SYSTEM_PROCESSOR_INFORMATION {
    USHORT ProcessorArchitecture, ProcessorLevel, ProcessorRevision, MaximumProcessors;
    ULONG ProcessorFeatureBits; /* zero */
} SYSTEM_PROCESSOR_INFORMATION, *PSYSTEM_PROCESSOR_INFORMATION;
C_ASSERT(sizeof(SYSTEM_PROCESSOR_INFORMATION) == 12);

/* Not counted: what the cache manager did in detail, TB fills. The rest is in named fields. */
typedef struct _SYSTEM_PERFORMANCE_INFORMATION {
    LARGE_INTEGER IdleProcessTime;     /* 100 ns, all processors */
    LARGE_INTEGER IoTransferCounts[3]; /* bytes: read, written, other */
    ULONG IoOperationCounts[3];        /* the same */
    ULONG AvailablePages, CommittedPages, CommitLimit, PeakCommitment;
    ULONG PageFaultCount;
    ULONG FaultKinds[12];
    ULONG PagedPoolPages, NonPagedPoolPages;
    ULONG PagedPoolAllocs, PagedPoolFrees, NonPagedPoolAllocs, NonPagedPoolFrees;
    ULONG SystemPages[10];
    ULONG CacheCounts[30];
    ULONG ContextSwitches;
    ULONG FirstLevelTbFills, SecondLevelTbFills;
    ULONG SystemCalls;
} SYSTEM_PERFORMANCE_INFORMATION, *PSYSTEM_PERFORMANCE_INFORMATION;
C_ASSERT(sizeof(SYSTEM_PERFORMANCE_INFORMATION) == 312);
C_ASSERT(FIELD_OFFSET(SYSTEM_PERFORMANCE_INFORMATION, PagedPoolPages) == 112);
C_ASSERT(FIELD_OFFSET(SYSTEM_PERFORMANCE_INFORMATION, ContextSwitches) == 296);

typedef struct _SYSTEM_TIMEOFDAY_INFORMATION {
    LARGE_INTEGER BootTime, CurrentTime, TimeZoneBias;
    ULONG TimeZoneId, Reserved;
    ULONG64 BootTimeBias, SleepTimeBias;
} SYSTEM_TIMEOFDAY_INFORMATION, *PSYSTEM_TIMEOFDAY_INFORMATION;
C_ASSERT(sizeof(SYSTEM_TIMEOFDAY_INFORMATION) == 48);

typedef struct _SYSTEM_THREAD_INFORMATION {
    LARGE_INTEGER KernelTime, UserTime, CreateTime;
    ULONG WaitTime;
    PVOID StartAddress;
    CLIENT_ID ClientId;
    KPRIORITY Priority;
    LONG BasePriority;
    ULONG ContextSwitches;
    ULONG ThreadState;
    ULONG WaitReason;
} SYSTEM_THREAD_INFORMATION, *PSYSTEM_THREAD_INFORMATION;
C_ASSERT(sizeof(SYSTEM_THREAD_INFORMATION) == 0x50);

/* Not counted: cycles, faults that were read from a disc, private pages of the working set. Its threads follow, then its name. */
typedef struct _SYSTEM_PROCESS_INFORMATION {
    ULONG NextEntryOffset; /* bytes to the next process; 0: the last one */
    ULONG NumberOfThreads;
    LARGE_INTEGER WorkingSetPrivateSize;
    ULONG HardFaultCount, NumberOfThreadsHighWatermark;
    ULONG64 CycleTime;
    LARGE_INTEGER CreateTime, UserTime, KernelTime;
    UNICODE_STRING ImageName;
    KPRIORITY BasePriority;
    HANDLE UniqueProcessId, InheritedFromUniqueProcessId;
    ULONG HandleCount, SessionId;
    ULONG_PTR UniqueProcessKey;
    SIZE_T PeakVirtualSize, VirtualSize; /* bytes, as what follows */
    ULONG PageFaultCount;
    SIZE_T PeakWorkingSetSize, WorkingSetSize;
    SIZE_T QuotaPeakPagedPoolUsage, QuotaPagedPoolUsage, QuotaPeakNonPagedPoolUsage, QuotaNonPagedPoolUsage;
    SIZE_T PagefileUsage, PeakPagefileUsage;
    SIZE_T PrivatePageCount; /* pages */
    IO_COUNTERS Io;
} SYSTEM_PROCESS_INFORMATION, *PSYSTEM_PROCESS_INFORMATION;
C_ASSERT(sizeof(SYSTEM_PROCESS_INFORMATION) == 0x100);

typedef struct _SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION {
    LARGE_INTEGER IdleTime, KernelTime, UserTime; /* kernel time includes idle time, as documented */
    LARGE_INTEGER DpcTime, InterruptTime;         /* zero: part of the interrupted thread's */
    ULONG InterruptCount;
} SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION, *PSYSTEM_PROCESSOR_PERFORMANCE_INFORMATION;
C_ASSERT(sizeof(SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION) == 48);

typedef struct _SYSTEM_MODULE_ENTRY {
    HANDLE Section;
    PVOID MappedBase, ImageBase;
    ULONG ImageSize, Flags;
    USHORT LoadOrderIndex, InitOrderIndex, LoadCount, OffsetToFileName;
    UCHAR FullPathName[256];
} SYSTEM_MODULE_ENTRY, *PSYSTEM_MODULE_ENTRY;
C_ASSERT(sizeof(SYSTEM_MODULE_ENTRY) == 296);

typedef struct _SYSTEM_MODULE_INFORMATION {
    ULONG NumberOfModules;
    SYSTEM_MODULE_ENTRY Modules[ANYSIZE_ARRAY];
} SYSTEM_MODULE_INFORMATION, *PSYSTEM_MODULE_INFORMATION;

typedef struct _SYSTEM_HANDLE_ENTRY {
    USHORT UniqueProcessId, CreatorBackTraceIndex;
    UCHAR ObjectTypeIndex; /* place of the type in the order of creation, from 1 */
    UCHAR HandleAttributes;
    USHORT HandleValue;
    PVOID Object;
    ULONG GrantedAccess;
} SYSTEM_HANDLE_ENTRY, *PSYSTEM_HANDLE_ENTRY;
C_ASSERT(sizeof(SYSTEM_HANDLE_ENTRY) == 24);

typedef struct _SYSTEM_HANDLE_INFORMATION {
    ULONG NumberOfHandles;
    SYSTEM_HANDLE_ENTRY Handles[ANYSIZE_ARRAY];
} SYSTEM_HANDLE_INFORMATION, *PSYSTEM_HANDLE_INFORMATION;

typedef struct _SYSTEM_HANDLE_ENTRY_EX {
    PVOID Object;
    ULONG_PTR UniqueProcessId, HandleValue;
    ULONG GrantedAccess;
    USHORT CreatorBackTraceIndex, ObjectTypeIndex;
    ULONG HandleAttributes, Reserved;
} SYSTEM_HANDLE_ENTRY_EX, *PSYSTEM_HANDLE_ENTRY_EX;
C_ASSERT(sizeof(SYSTEM_HANDLE_ENTRY_EX) == 40);

typedef struct _SYSTEM_HANDLE_INFORMATION_EX {
    ULONG_PTR NumberOfHandles, Reserved;
    SYSTEM_HANDLE_ENTRY_EX Handles[ANYSIZE_ARRAY];
} SYSTEM_HANDLE_INFORMATION_EX, *PSYSTEM_HANDLE_INFORMATION_EX;

/* Tags are not counted by pool: all is in the nonpaged fields. */
typedef struct _SYSTEM_POOLTAG {
    ULONG Tag;
    ULONG PagedAllocs, PagedFrees;
    SIZE_T PagedUsed;
    ULONG NonPagedAllocs, NonPagedFrees;
    SIZE_T NonPagedUsed;
} SYSTEM_POOLTAG, *PSYSTEM_POOLTAG;
C_ASSERT(sizeof(SYSTEM_POOLTAG) == 40);

typedef struct _SYSTEM_POOLTAG_INFORMATION {
    ULONG Count;
    SYSTEM_POOLTAG TagInfo[ANYSIZE_ARRAY];
} SYSTEM_POOLTAG_INFORMATION, *PSYSTEM_POOLTAG_INFORMATION;

typedef struct _SYSTEM_INTERRUPT_INFORMATION {
    ULONG ContextSwitches, DpcCount;
    ULONG DpcRate; /* zero */
    ULONG TimeIncrement;
    ULONG DpcBypassCount, ApcBypassCount; /* zero */
} SYSTEM_INTERRUPT_INFORMATION, *PSYSTEM_INTERRUPT_INFORMATION;
C_ASSERT(sizeof(SYSTEM_INTERRUPT_INFORMATION) == 24);

typedef struct _SYSTEM_EXCEPTION_INFORMATION {
    ULONG AlignmentFixupCount, ExceptionDispatchCount, FloatingEmulationCount, ByteWordEmulationCount;
} SYSTEM_EXCEPTION_INFORMATION, *PSYSTEM_EXCEPTION_INFORMATION;
C_ASSERT(sizeof(SYSTEM_EXCEPTION_INFORMATION) == 16);

typedef struct _SYSTEM_KERNEL_DEBUGGER_INFORMATION {
    BOOLEAN KernelDebuggerEnabled, KernelDebuggerNotPresent;
} SYSTEM_KERNEL_DEBUGGER_INFORMATION, *PSYSTEM_KERNEL_DEBUGGER_INFORMATION;
C_ASSERT(sizeof(SYSTEM_KERNEL_DEBUGGER_INFORMATION) == 2);

NTSTATUS NTAPI NtQuerySystemInformation(SYSTEM_INFORMATION_CLASS Class, PVOID Buffer, ULONG Length,
                                        PULONG ReturnLength);
NTSTATUS NTAPI ZwQuerySystemInformation(SYSTEM_INFORMATION_CLASS Class, PVOID Buffer, ULONG Length,
                                        PULONG ReturnLength);
