/*
 * syslists.c - the classes of system information that list things: processes and threads, images, handles, pool tags.
 *
 * Each list is walked by its owner's iterator, which keeps what it stands at referenced; what comes or goes meanwhile is in the list or
 * not. An entry that does not fit is still counted (ExpReserve), so the walk always reaches the end and knows the whole length.
 *
 * Locks: the owners', inside; PsLoadedModuleResource shared around the list of images. IRQL: PASSIVE_LEVEL.
 */
#include "sysinfop.h"

#include <ntos/ke.h>
#include <ntos/ob.h>
#include <ntos/pool.h>
#include <ntos/ps.h>
#include <ntos/sysimage.h>

/* Tags that a listing shows: as many as the pool's table holds. */
#define EXP_LISTED_TAGS 2048U
#define EXP_TAG_LIST    'LsyS'

/* ---- Processes ---- */

static VOID ExpListThread(PEXP_ANSWER Answer, PETHREAD Thread)
{
    PSYSTEM_THREAD_INFORMATION Info = ExpReserve(Answer, sizeof(*Info));

    if (Info == NULL) {
        return;
    }
    Info->KernelTime.QuadPart = (LONG64)Thread->Tcb.KernelTime * KeTimeIncrement;
    Info->UserTime.QuadPart = (LONG64)Thread->Tcb.UserTime * KeTimeIncrement;
    Info->CreateTime = Thread->CreateTime;
    Info->StartAddress = Answer->HideKernel ? NULL : (PVOID)Thread->StartAddress;
    Info->ClientId = Thread->Cid;
    Info->Priority = Thread->Tcb.Priority;
    Info->BasePriority = Thread->Tcb.BasePriority;
    Info->ContextSwitches = (ULONG)Thread->Tcb.ContextSwitches;
    Info->ThreadState = Thread->Tcb.State;
    Info->WaitReason = Thread->Tcb.WaitReason;
}

/* The process's name after its threads, at a multiple of 8. Info NULL: only measured. */
static VOID ExpListName(PEXP_ANSWER Answer, PSYSTEM_PROCESS_INFORMATION Info, PEPROCESS Process)
{
    ULONG Characters = 0;
    PWCHAR Text;

    while (Characters < sizeof(Process->ImageFileName) && Process->ImageFileName[Characters] != 0) {
        Characters++;
    }
    Text = ExpReserve(Answer, ((Characters + 1) * (ULONG)sizeof(WCHAR) + 7) & ~7U);
    if (Text == NULL) {
        return;
    }
    for (ULONG Index = 0; Index < Characters; Index++) {
        Text[Index] = (UCHAR)Process->ImageFileName[Index];
    }
    Info->ImageName.Buffer = (PWCHAR)((ULONG64)Text + Answer->Bias);
    Info->ImageName.Length = (USHORT)(Characters * sizeof(WCHAR));
    Info->ImageName.MaximumLength = Info->ImageName.Length + sizeof(WCHAR);
}

/* What ProcessVmCounters and ProcessIoCounters tell. */
static VOID ExpListUse(PSYSTEM_PROCESS_INFORMATION Info, PEPROCESS Process)
{
    VM_COUNTERS Memory;

    PsQueryProcessUse(Process, &Memory);
    Info->PeakVirtualSize = Memory.PeakVirtualSize;
    Info->VirtualSize = Memory.VirtualSize;
    Info->PageFaultCount = Memory.PageFaultCount;
    Info->PeakWorkingSetSize = Memory.PeakWorkingSetSize;
    Info->WorkingSetSize = Memory.WorkingSetSize;
    Info->QuotaPeakPagedPoolUsage = Memory.QuotaPeakPagedPoolUsage;
    Info->QuotaPagedPoolUsage = Memory.QuotaPagedPoolUsage;
    Info->QuotaPeakNonPagedPoolUsage = Memory.QuotaPeakNonPagedPoolUsage;
    Info->QuotaNonPagedPoolUsage = Memory.QuotaNonPagedPoolUsage;
    Info->PagefileUsage = Memory.PagefileUsage;
    Info->PeakPagefileUsage = Memory.PeakPagefileUsage;
    Info->PrivatePageCount = Memory.PagefileUsage >> PAGE_SHIFT;
    Info->Io = Process->Io;
}

/* One process with its threads; returns its entry, NULL: it did not fit. */
static PSYSTEM_PROCESS_INFORMATION ExpListProcess(PEXP_ANSWER Answer, PEPROCESS Process)
{
    PSYSTEM_PROCESS_INFORMATION Info = ExpReserve(Answer, sizeof(*Info));
    PHANDLE_TABLE Table = Process->ObjectTable;
    ULONG64 Kernel = Process->Pcb.KernelTime, User = Process->Pcb.UserTime;
    ULONG Threads = 0;

    for (PETHREAD Thread = PsGetNextProcessThread(Process, NULL); Thread != NULL;
         Thread = PsGetNextProcessThread(Process, Thread)) {
        Kernel += Thread->Tcb.KernelTime;
        User += Thread->Tcb.UserTime;
        Threads++;
        ExpListThread(Answer, Thread);
    }
    ExpListName(Answer, Info, Process);
    if (Info == NULL) {
        return NULL;
    }
    Info->NumberOfThreads = Threads;
    Info->CreateTime = Process->CreateTime;
    Info->KernelTime.QuadPart = (LONG64)(Kernel * KeTimeIncrement);
    Info->UserTime.QuadPart = (LONG64)(User * KeTimeIncrement);
    Info->BasePriority = Process->Pcb.BasePriority;
    Info->UniqueProcessId = Process->UniqueProcessId;
    Info->InheritedFromUniqueProcessId = PsGetProcessInheritedFromUniqueProcessId(Process);
    Info->HandleCount = (Table == NULL) ? 0 : ObGetTableHandleCount(Table);
    ExpListUse(Info, Process);
    return Info;
}

NTSTATUS ExpQueryProcesses(PEXP_ANSWER Answer)
{
    PSYSTEM_PROCESS_INFORMATION Last = NULL;

    for (PEPROCESS Process = PsGetNextProcess(NULL); Process != NULL; Process = PsGetNextProcess(Process)) {
        ULONG Begin = Answer->Needed;
        PSYSTEM_PROCESS_INFORMATION Info = ExpListProcess(Answer, Process);

        if (Last != NULL && Info != NULL) {
            Last->NextEntryOffset = (ULONG)((PUCHAR)Info - (PUCHAR)Last);
        }
        Last = (Info != NULL && Answer->Buffer + Begin == (PUCHAR)Info) ? Info : Last;
    }
    return STATUS_SUCCESS;
}

/* ---- Images ---- */

/* An image's full name in ASCII, from its last 255 characters if it is longer. */
static VOID ExpFillPath(PSYSTEM_MODULE_ENTRY Entry, PCUNICODE_STRING Name)
{
    ULONG Characters = Name->Length / sizeof(WCHAR), First = 0;

    if (Characters > sizeof(Entry->FullPathName) - 1) {
        First = Characters - (sizeof(Entry->FullPathName) - 1);
    }
    for (ULONG Index = First; Index < Characters; Index++) {
        WCHAR Character = Name->Buffer[Index];

        Entry->FullPathName[Index - First] = (Character < 0x80) ? (UCHAR)Character : '?';
        if (Character == L'\\') {
            Entry->OffsetToFileName = (USHORT)(Index - First + 1);
        }
    }
}

NTSTATUS ExpQueryModules(PEXP_ANSWER Answer)
{
    PSYSTEM_MODULE_INFORMATION Info = ExpReserve(Answer, FIELD_OFFSET(SYSTEM_MODULE_INFORMATION, Modules));
    ULONG Count = 0;

    KeEnterCriticalRegion();
    ExAcquireResourceSharedLite(&PsLoadedModuleResource, TRUE);
    for (PLIST_ENTRY Link = PsLoadedModuleList.Flink; Link != &PsLoadedModuleList; Link = Link->Flink) {
        PKLDR_DATA_TABLE_ENTRY Image = CONTAINING_RECORD(Link, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);
        PSYSTEM_MODULE_ENTRY Entry = ExpReserve(Answer, sizeof(*Entry));

        if (Entry != NULL) {
            Entry->ImageBase = Answer->HideKernel ? NULL : Image->DllBase;
            Entry->ImageSize = Image->SizeOfImage;
            Entry->Flags = Image->Flags;
            Entry->LoadOrderIndex = (USHORT)Count;
            Entry->LoadCount = Image->LoadCount;
            ExpFillPath(Entry, &Image->FullDllName);
        }
        Count++;
    }
    ExReleaseResourceLite(&PsLoadedModuleResource);
    KeLeaveCriticalRegion();
    if (Info != NULL) {
        Info->NumberOfModules = Count;
    }
    return STATUS_SUCCESS;
}

/* ---- Handles ---- */

typedef struct _EXP_HANDLE_LIST {
    PEXP_ANSWER Answer;
    PEPROCESS Process;
    BOOLEAN Extended;
    ULONG Count;
} EXP_HANDLE_LIST, *PEXP_HANDLE_LIST;

static VOID ExpListHandle(PVOID Context, const OB_HANDLE_VIEW *View)
{
    PEXP_HANDLE_LIST List = Context;
    ULONG_PTR Process = (ULONG_PTR)List->Process->UniqueProcessId;

    List->Count++;
    if (List->Extended) {
        PSYSTEM_HANDLE_ENTRY_EX Entry = ExpReserve(List->Answer, sizeof(*Entry));

        if (Entry != NULL) {
            Entry->Object = List->Answer->HideKernel ? NULL : View->Object;
            Entry->UniqueProcessId = Process;
            Entry->HandleValue = (ULONG_PTR)View->Handle;
            Entry->GrantedAccess = View->Granted;
            Entry->ObjectTypeIndex = (USHORT)View->TypeIndex;
            Entry->HandleAttributes = View->Attributes;
        }
    } else {
        PSYSTEM_HANDLE_ENTRY Entry = ExpReserve(List->Answer, sizeof(*Entry));

        if (Entry != NULL) {
            Entry->UniqueProcessId = (USHORT)Process;
            Entry->ObjectTypeIndex = (UCHAR)View->TypeIndex;
            Entry->HandleAttributes = (UCHAR)View->Attributes;
            Entry->HandleValue = (USHORT)(ULONG_PTR)View->Handle;
            Entry->Object = List->Answer->HideKernel ? NULL : View->Object;
            Entry->GrantedAccess = View->Granted;
        }
    }
}

static ULONG ExpListHandles(PEXP_ANSWER Answer, BOOLEAN Extended)
{
    EXP_HANDLE_LIST List = {.Answer = Answer, .Extended = Extended};

    for (PEPROCESS Process = PsGetNextProcess(NULL); Process != NULL; Process = PsGetNextProcess(Process)) {
        List.Process = Process;
        ObForEachHandle(Process, ExpListHandle, &List);
    }
    return List.Count;
}

NTSTATUS ExpQueryHandles(PEXP_ANSWER Answer)
{
    PSYSTEM_HANDLE_INFORMATION Info = ExpReserve(Answer, FIELD_OFFSET(SYSTEM_HANDLE_INFORMATION, Handles));
    ULONG Count = ExpListHandles(Answer, FALSE);

    if (Info != NULL) {
        Info->NumberOfHandles = Count;
    }
    return STATUS_SUCCESS;
}

NTSTATUS ExpQueryHandlesEx(PEXP_ANSWER Answer)
{
    PSYSTEM_HANDLE_INFORMATION_EX Info = ExpReserve(Answer, FIELD_OFFSET(SYSTEM_HANDLE_INFORMATION_EX, Handles));
    ULONG Count = ExpListHandles(Answer, TRUE);

    if (Info != NULL) {
        Info->NumberOfHandles = Count;
    }
    return STATUS_SUCCESS;
}

/* ---- Pool tags ---- */

NTSTATUS ExpQueryPoolTags(PEXP_ANSWER Answer)
{
    PSYSTEM_POOLTAG_INFORMATION Info = ExpReserve(Answer, FIELD_OFFSET(SYSTEM_POOLTAG_INFORMATION, TagInfo));
    PEX_POOL_TAG Tags = ExAllocatePoolWithTag(NonPagedPool, EXP_LISTED_TAGS * sizeof(*Tags), EXP_TAG_LIST);
    ULONG Count;

    if (Tags == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Count = ExQueryPoolTags(Tags, EXP_LISTED_TAGS);
    for (ULONG Index = 0; Index < Count; Index++) {
        PSYSTEM_POOLTAG Entry = ExpReserve(Answer, sizeof(*Entry));

        if (Entry != NULL) {
            Entry->Tag = Tags[Index].Tag;
            Entry->NonPagedAllocs = (ULONG)Tags[Index].Allocations;
            Entry->NonPagedFrees = (ULONG)Tags[Index].Frees;
            Entry->NonPagedUsed = Tags[Index].Bytes;
        }
    }
    ExFreePoolWithTag(Tags, EXP_TAG_LIST);
    if (Info != NULL) {
        Info->Count = Count;
    }
    return STATUS_SUCCESS;
}
