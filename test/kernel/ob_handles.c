/*
 * ob_handles.c - suite for handle tables: a million handles, attributes, duplication, inheritance, exclusive objects.
 *
 * A process is stood for by an EPROCESS of zeros with a handle table: that is all the object manager looks at. Every case ends with the
 * pool blocks, events and handles it began with. Races are in ob_race.c.
 */
#include <ntos/ke.h>
#include <ntos/ktap.h>
#include <ntos/ob.h>
#include <ntos/pool.h>
#include <ntos/ps.h>

#define OBH_MILLION 1000000U

static EPROCESS ObhProcess; /* zero but for its ObjectTable */

/* Bytes of pool with a tag. */
static ULONG64 ObhPoolBytes(ULONG Tag)
{
    static EX_POOL_TAG Tags[512];
    ULONG Count = ExQueryPoolTags(Tags, RTL_NUMBER_OF(Tags));

    for (ULONG Index = 0; Index < Count; Index++) {
        if (Tags[Index].Tag == Tag) {
            return Tags[Index].Bytes;
        }
    }
    return 0;
}

static ULONG64 ObhRamBytes(VOID)
{
    PPHYSICAL_MEMORY_RANGE Ranges = MmGetPhysicalMemoryRanges();
    ULONG64 Bytes = 0;

    for (ULONG Index = 0; Ranges != NULL && Ranges[Index].NumberOfBytes.QuadPart != 0; Index++) {
        Bytes += (ULONG64)Ranges[Index].NumberOfBytes.QuadPart;
    }
    if (Ranges != NULL) {
        ExFreePool(Ranges);
    }
    return Bytes;
}

static NTSTATUS ObhEvent(PHANDLE Handle, ULONG Flags)
{
    OBJECT_ATTRIBUTES Attributes;

    InitializeObjectAttributes(&Attributes, NULL, Flags | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateEvent(Handle, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE);
}

static NTSTATUS ObhCopy(HANDLE Source, PHANDLE Copy)
{
    return ObDuplicateObject(PsInitialSystemProcess, Source, &ObhProcess, Copy, 0, 0, DUPLICATE_SAME_ACCESS,
                             KernelMode);
}

static NTSTATUS ObhCloseCopy(HANDLE Copy)
{
    HANDLE None;

    return ObDuplicateObject(&ObhProcess, Copy, NULL, &None, 0, 0, DUPLICATE_CLOSE_SOURCE, KernelMode);
}

/* Fills the table with up to Count handles to one event; *Made of them, each the next number. The status that ended it. */
static NTSTATUS ObhFill(HANDLE Event, ULONG Count, PULONG Made)
{
    NTSTATUS Status = STATUS_SUCCESS;
    HANDLE Handle;

    for (*Made = 0; *Made < Count; (*Made)++) {
        Status = ObhCopy(Event, &Handle);
        if (!NT_SUCCESS(Status) || Handle != ULongToHandle((*Made + 1) * 4)) {
            break;
        }
    }
    return Status;
}

static VOID ObhMillion(PKTAP_CONTEXT Ktap)
{
    ULONG64 Bytes = ObhPoolBytes(OB_TAG_HANDLE);
    LONG64 Handles = ExpEventObjectType->HandleCount;
    ULONG Wanted = (ULONG)min(KtapIterations(OBH_MILLION), OBH_MILLION), Made, Closed = 0, Left;
    NTSTATUS Filled, Stale;
    HANDLE Event, Again;

    KTAP_EQUAL(ObhEvent(&Event, 0), STATUS_SUCCESS);
    ObCreateHandleTable(&ObhProcess, &ObhProcess.ObjectTable);
    KTAP_CHECK(ObhProcess.ObjectTable != NULL);
    Filled = ObhFill(Event, Wanted, &Made);
    for (ULONG Index = Made; Index > 0; Index--) {
        Closed += NT_SUCCESS(ObhCloseCopy(ULongToHandle(Index * 4))) ? 1 : 0;
    }
    Stale = ObhCloseCopy(ULongToHandle(4));
    Left = ObGetTableHandleCount(ObhProcess.ObjectTable);
    ObhCopy(Event, &Again); /* one that ObDestroyHandleTable has to close */
    ObDestroyHandleTable(ObhProcess.ObjectTable);
    KTAP_EQUAL(ZwClose(Event), STATUS_SUCCESS);
    KTAP_EQUAL(Filled, (Made == Wanted) ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES);
    KTAP_CHECK(Made == Wanted || ObhRamBytes() < 0x10000000); /* 16 MB of entries fit into 256 MB */
    KTAP_CHECK(Made >= min(Wanted, 100000));
    KTAP_EQUAL(Closed, Made);
    KTAP_EQUAL(Stale, STATUS_INVALID_HANDLE);
    KTAP_EQUAL(Left, 0);
    KTAP_EQUAL(ExpEventObjectType->HandleCount, Handles);
    KTAP_EQUAL(ObhPoolBytes(OB_TAG_HANDLE), Bytes);
}

/* Every second pool request fails while the table grows. */
static VOID ObhShortage(PKTAP_CONTEXT Ktap)
{
    ULONG64 Bytes = ObhPoolBytes(OB_TAG_HANDLE);
    LONG64 Handles = ExpEventObjectType->HandleCount;
    ULONG Refused = 0, Other = 0;
    HANDLE Event, Copy;

    KTAP_EQUAL(ObhEvent(&Event, 0), STATUS_SUCCESS);
    ObCreateHandleTable(&ObhProcess, &ObhProcess.ObjectTable);
    KTAP_CHECK(ObhProcess.ObjectTable != NULL);
    for (ULONG Index = 0; Index < 2000; Index++) {
        NTSTATUS Status;

        ExSetFault(ExFaultPool, 1 + Index % 2, KeGetCurrentThread());
        Status = ObhCopy(Event, &Copy);
        ExSetFault(ExFaultPool, 0, NULL);
        Refused += (Status == STATUS_INSUFFICIENT_RESOURCES) ? 1 : 0;
        Other += (Status != STATUS_INSUFFICIENT_RESOURCES && Status != STATUS_SUCCESS) ? 1 : 0;
    }
    ObDestroyHandleTable(ObhProcess.ObjectTable);
    KTAP_EQUAL(ZwClose(Event), STATUS_SUCCESS);
    KTAP_CHECK(Refused > 0);
    KTAP_EQUAL(Other, 0);
    KTAP_EQUAL(ExpEventObjectType->HandleCount, Handles);
    KTAP_EQUAL(ObhPoolBytes(OB_TAG_HANDLE), Bytes);
}

static VOID ObhAttributes(PKTAP_CONTEXT Ktap)
{
    OBJECT_HANDLE_FLAG_INFORMATION Flags = {.Inherit = TRUE, .ProtectFromClose = TRUE}, Seen;
    OBJECT_HANDLE_INFORMATION Info;
    HANDLE Event;
    PVOID Object;
    ULONG Length;

    KTAP_EQUAL(ObhEvent(&Event, 0), STATUS_SUCCESS);
    KTAP_EQUAL(ZwSetInformationObject(Event, ObjectBasicInformation, &Flags, sizeof(Flags)), STATUS_INVALID_INFO_CLASS);
    KTAP_EQUAL(ZwSetInformationObject(Event, ObjectHandleFlagInformation, &Flags, 1), STATUS_INFO_LENGTH_MISMATCH);
    KTAP_EQUAL(ZwSetInformationObject(Event, ObjectHandleFlagInformation, &Flags, sizeof(Flags)), STATUS_SUCCESS);
    KTAP_EQUAL(ZwQueryObject(Event, ObjectHandleFlagInformation, &Seen, sizeof(Seen), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Length, sizeof(Seen));
    KTAP_CHECK(Seen.Inherit && Seen.ProtectFromClose);
    KTAP_EQUAL(ObReferenceObjectByHandle(Event, 0, NULL, KernelMode, &Object, &Info), STATUS_SUCCESS);
    ObDereferenceObject(Object);
    KTAP_EQUAL(Info.HandleAttributes, OBJ_INHERIT | 1);
    KTAP_EQUAL(ZwClose(Event), STATUS_HANDLE_NOT_CLOSABLE);
    KTAP_EQUAL(ObCloseHandle(Event, UserMode), STATUS_INVALID_HANDLE); /* a kernel handle */
    Flags.ProtectFromClose = FALSE;
    KTAP_EQUAL(ObSetHandleAttributes(Event, &Flags, UserMode), STATUS_INVALID_HANDLE);
    KTAP_EQUAL(ObSetHandleAttributes(Event, &Flags, KernelMode), STATUS_SUCCESS);
    KTAP_EQUAL(ObCloseHandle(Event, KernelMode), STATUS_SUCCESS);
    KTAP_EQUAL(ObSetHandleAttributes(Event, &Flags, KernelMode), STATUS_INVALID_HANDLE);
    KTAP_EQUAL(ObCloseHandle(ZwCurrentProcess(), KernelMode), STATUS_SUCCESS);
}

static VOID ObhDuplicate(PKTAP_CONTEXT Ktap)
{
    OBJECT_HANDLE_INFORMATION Info;
    OBJECT_HANDLE_FLAG_INFORMATION Protect = {.ProtectFromClose = TRUE};
    LONG64 Before = ExpEventObjectType->HandleCount;
    HANDLE Event, Copy, Self = ZwCurrentProcess();
    PVOID Object;

    KTAP_EQUAL(ObhEvent(&Event, OBJ_INHERIT), STATUS_SUCCESS);
    KTAP_EQUAL(ZwDuplicateObject(Self, Event, Self, &Copy, EVENT_QUERY_STATE, OBJ_KERNEL_HANDLE, 0), STATUS_SUCCESS);
    KTAP_EQUAL(ObReferenceObjectByHandle(Copy, 0, NULL, KernelMode, &Object, &Info), STATUS_SUCCESS);
    ObDereferenceObject(Object);
    KTAP_EQUAL(Info.GrantedAccess, EVENT_QUERY_STATE);
    KTAP_EQUAL(Info.HandleAttributes, 0);
    KTAP_CHECK(ObIsKernelHandle(Copy));
    KTAP_EQUAL(ZwClose(Copy), STATUS_SUCCESS);
    KTAP_EQUAL(ZwDuplicateObject(Self, Event, Self, &Copy, 0, 0,
                                 DUPLICATE_SAME_ACCESS | DUPLICATE_SAME_ATTRIBUTES | DUPLICATE_CLOSE_SOURCE),
               STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Event), STATUS_INVALID_HANDLE);
    KTAP_EQUAL(ObReferenceObjectByHandle(Copy, 0, NULL, KernelMode, &Object, &Info), STATUS_SUCCESS);
    ObDereferenceObject(Object);
    KTAP_EQUAL(Info.GrantedAccess, EVENT_ALL_ACCESS);
    KTAP_EQUAL(Info.HandleAttributes, OBJ_INHERIT);
    KTAP_EQUAL(ZwDuplicateObject(Self, Copy, NULL, NULL, 0, 0, 0), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(ZwDuplicateObject(Copy, Copy, Self, &Event, 0, 0, 0), STATUS_OBJECT_TYPE_MISMATCH);
    KTAP_EQUAL(ObSetHandleAttributes(Copy, &Protect, KernelMode), STATUS_SUCCESS);
    KTAP_EQUAL(NtDuplicateObject(Self, Copy, NULL, NULL, 0, 0, DUPLICATE_CLOSE_SOURCE), STATUS_SUCCESS);
    KTAP_EQUAL(ExpEventObjectType->HandleCount, Before + 1); /* protected: it stayed */
    Protect.ProtectFromClose = FALSE;
    KTAP_EQUAL(ObSetHandleAttributes(Copy, &Protect, KernelMode), STATUS_SUCCESS);
    KTAP_EQUAL(ZwDuplicateObject(Self, Copy, NULL, NULL, 0, 0, DUPLICATE_CLOSE_SOURCE), STATUS_SUCCESS);
    KTAP_EQUAL(ExpEventObjectType->HandleCount, Before);
}

static VOID ObhInherit(PKTAP_CONTEXT Ktap)
{
    static EPROCESS Child;
    LONG64 Before = ExpEventObjectType->HandleCount;
    OBJECT_HANDLE_FLAG_INFORMATION Flags = {.Inherit = TRUE};
    PHANDLE_TABLE Table;
    HANDLE Plain, Inherited, InParent[2], New;
    NTSTATUS Status;
    ULONG Count;

    KTAP_EQUAL(ObhEvent(&Plain, 0), STATUS_SUCCESS);
    KTAP_EQUAL(ObhEvent(&Inherited, 0), STATUS_SUCCESS);
    KTAP_EQUAL(ObSetHandleAttributes(Inherited, &Flags, KernelMode), STATUS_SUCCESS);
    ObCreateHandleTable(&ObhProcess, &ObhProcess.ObjectTable);
    KTAP_CHECK(ObhProcess.ObjectTable != NULL);
    KTAP_EQUAL(ObhCopy(Plain, &InParent[0]), STATUS_SUCCESS);
    KTAP_EQUAL(ObDuplicateObject(PsInitialSystemProcess, Inherited, &ObhProcess, &InParent[1], 0, 0,
                                 DUPLICATE_SAME_ACCESS | DUPLICATE_SAME_ATTRIBUTES, KernelMode),
               STATUS_SUCCESS);
    Status = ObInheritHandles(&ObhProcess, &Child, NULL, 0, &Table);
    Child.ObjectTable = Table;
    Count = NT_SUCCESS(Status) ? ObGetTableHandleCount(Table) : 0;
    ObDestroyHandleTable(ObhProcess.ObjectTable);
    KTAP_EQUAL(Status, STATUS_SUCCESS);
    KTAP_EQUAL(Count, 1);
    ObhProcess.ObjectTable = Table;
    KTAP_EQUAL(ObhCloseCopy(InParent[0]), STATUS_INVALID_HANDLE);
    KTAP_EQUAL(ObhCopy(Plain, &New), STATUS_SUCCESS); /* the free list begins with the handle that was not inherited */
    KTAP_EQUAL(New, InParent[0]);
    KTAP_EQUAL(ObhCloseCopy(InParent[1]), STATUS_SUCCESS);
    ObCloseAllHandles(Table);
    KTAP_EQUAL(ObhCopy(Plain, &New), STATUS_PROCESS_IS_TERMINATING);
    KTAP_EQUAL(ObhCloseCopy(InParent[0]), STATUS_PROCESS_IS_TERMINATING);
    KTAP_EQUAL(ObInheritHandles(&ObhProcess, &Child, NULL, 0, &Table), STATUS_PROCESS_IS_TERMINATING);
    ObDestroyHandleTable(ObhProcess.ObjectTable);
    KTAP_EQUAL(ZwClose(Plain), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Inherited), STATUS_SUCCESS);
    KTAP_EQUAL(ExpEventObjectType->HandleCount, Before);
}

static VOID ObhExclusive(PKTAP_CONTEXT Ktap)
{
    HANDLE Event, Copy, Plain;
    PVOID Object;
    NTSTATUS Own, Foreign, Refused;

    KTAP_EQUAL(ObhEvent(&Event, OBJ_EXCLUSIVE), STATUS_SUCCESS);
    KTAP_EQUAL(ObhEvent(&Plain, 0), STATUS_SUCCESS);
    ObCreateHandleTable(&ObhProcess, &ObhProcess.ObjectTable);
    KTAP_CHECK(ObhProcess.ObjectTable != NULL);
    Foreign = ObhCopy(Event, &Copy);
    KTAP_EQUAL(ObReferenceObjectByHandle(Event, 0, NULL, KernelMode, &Object, NULL), STATUS_SUCCESS);
    Own = ObOpenObjectByPointer(Object, OBJ_KERNEL_HANDLE | OBJ_EXCLUSIVE, NULL, 0, NULL, KernelMode, &Copy);
    ObDereferenceObject(Object);
    KTAP_EQUAL(ZwClose(Copy), STATUS_SUCCESS);
    KTAP_EQUAL(ObReferenceObjectByHandle(Plain, 0, NULL, KernelMode, &Object, NULL), STATUS_SUCCESS);
    Refused = ObOpenObjectByPointer(Object, OBJ_KERNEL_HANDLE | OBJ_EXCLUSIVE, NULL, 0, NULL, KernelMode, &Copy);
    ObDereferenceObject(Object);
    ObDestroyHandleTable(ObhProcess.ObjectTable);
    KTAP_EQUAL(ZwClose(Plain), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Event), STATUS_SUCCESS);
    KTAP_EQUAL(Foreign, STATUS_ACCESS_DENIED);
    KTAP_EQUAL(Own, STATUS_SUCCESS);
    KTAP_EQUAL(Refused, STATUS_INVALID_PARAMETER);
}

#define OBH_TAG 'ghbO'

/* Tagged references, and what tracing knows of them, if it got the memory for it. */
static VOID ObhTags(PKTAP_CONTEXT Ktap)
{
    LONG64 Before = ExpEventObjectType->ObjectCount;
    BOOLEAN Traced = ExpEventObjectType->Trace;
    HANDLE Event;
    PVOID Object;

    ExpEventObjectType->Trace = TRUE;
    KTAP_EQUAL(ObhEvent(&Event, 0), STATUS_SUCCESS);
    ExpEventObjectType->Trace = Traced;
    KTAP_EQUAL(ObReferenceObjectByHandleWithTag(Event, 0, *ExEventObjectType, KernelMode, OBH_TAG, &Object, NULL),
               STATUS_SUCCESS);
    KTAP_EQUAL(ObReferenceObjectByPointerWithTag(Object, 0, *PsProcessType, KernelMode, OBH_TAG),
               STATUS_OBJECT_TYPE_MISMATCH);
    KTAP_EQUAL(ObReferenceObjectByPointerWithTag(Object, 0, NULL, UserMode, OBH_TAG), STATUS_OBJECT_TYPE_MISMATCH);
    KTAP_EQUAL(ObReferenceObjectByPointerWithTag(Object, 0, *ExEventObjectType, UserMode, OBH_TAG), STATUS_SUCCESS);
    KTAP_EQUAL(ObReferenceObjectWithTag(Object, OBH_TAG), 4); /* handle and three references */
    KTAP_EXACT(ObQueryTaggedReferences(Object, OBH_TAG), 3);
    KTAP_EQUAL(ObDereferenceObjectWithTag(Object, OBH_TAG), 3);
    ObDereferenceObjectDeferDeleteWithTag(Object, OBH_TAG);
    KTAP_EXACT(ObQueryTaggedReferences(Object, OBH_TAG), 1); /* the one a leak would show as */
    KTAP_EQUAL(ZwClose(Event), STATUS_SUCCESS);
    KTAP_EXACT(ObQueryTaggedReferences(Object, OB_TAG_HANDLE), 0);
    KTAP_EQUAL(ObDereferenceObjectWithTag(Object, OBH_TAG), 0);
    KTAP_EQUAL(ExpEventObjectType->ObjectCount, Before);
}

static const KTAP_CASE_ENTRY ObhCases[] = {
    {"million", ObhMillion},     {"shortage", ObhShortage}, {"attributes", ObhAttributes},
    {"duplicate", ObhDuplicate}, {"inherit", ObhInherit},   {"exclusive", ObhExclusive},
    {"tags", ObhTags},
};
KTAP_SUITE(ObhSuite, "ob.handles", ObhCases);
