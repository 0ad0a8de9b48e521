/*
 * handle.c - handles: numbers that stand for references to objects.
 *
 * Handle n * 4 is entry n of a table (the low two bits are the caller's). The system process's table holds the kernel handles;
 * such a handle has its upper 33 bits set, which keeps it apart from every process's own and from user mode. Each handle
 * holds one pointer reference and one handle count on its object. The table is src/ob/handletable.c's, duplication and inheritance
 * are in duplicate.c.
 *
 * An object created with OBJ_EXCLUSIVE has handles in one process at a time: the first handle makes its process the owner, the
 * last one that goes ends that.
 *
 * Locks: an entry's bit while its object is referenced; ObpExclusiveLock (spin) for the owner and count of exclusive objects.
 * Type procedures, dereferences and the namespace are used with neither held.
 */
#include <ntos/ps.h>

#include "handletable.h"

PHANDLE_TABLE ObpKernelHandleTable;

static KSPIN_LOCK ObpExclusiveLock; /* zero is a free lock */
VF_NAME_LOCK(ObpExclusiveLock, "ObpExclusiveLock");

/* The table that a process's handles are in, the kernel's for one that has none of its own. */
PHANDLE_TABLE ObpProcessTable(PEPROCESS Process)
{
    return (Process != NULL && Process->ObjectTable != NULL) ? Process->ObjectTable : ObpKernelHandleTable;
}

/* Which table and entry a process's handle means. NULL: none. */
static PHANDLE_TABLE ObpDecode(PEPROCESS Process, HANDLE Handle, KPROCESSOR_MODE AccessMode, PULONG Index)
{
    ULONG_PTR Value = (ULONG_PTR)Handle;

    if ((Value & OBP_KERNEL_BITS) == OBP_KERNEL_BITS) {
        *Index = (ULONG)(Value & ~OBP_KERNEL_BITS) / 4;
        return (AccessMode == KernelMode) ? ObpKernelHandleTable : NULL;
    }
    *Index = (Value <= MAXULONG) ? (ULONG)Value / 4 : 0;
    return ObpProcessTable(Process);
}

/* ---- Counting ---- */

/* Raises the count of an exclusive object's handles for a process. */
static NTSTATUS ObpCountExclusive(POBJECT_HEADER Header, PEPROCESS Process, PLONG64 Count)
{
    NTSTATUS Status = STATUS_ACCESS_DENIED;
    KIRQL Irql;

    KeAcquireSpinLock(&ObpExclusiveLock, &Irql);
    if (Header->HandleCount == 0 || Header->ExclusiveProcess == Process) {
        Header->ExclusiveProcess = Process;
        *Count = InterlockedIncrement64(&Header->HandleCount);
        Status = STATUS_SUCCESS;
    }
    KeReleaseSpinLock(&ObpExclusiveLock, Irql);
    return Status;
}

/* Lowers an object's count of handles; returns what it was. */
static LONG64 ObpLowerHandleCount(POBJECT_HEADER Header)
{
    LONG64 Before;
    KIRQL Irql;

    if ((Header->Flags & OBP_FLAG_EXCLUSIVE) == 0) {
        return InterlockedDecrement64(&Header->HandleCount) + 1;
    }
    KeAcquireSpinLock(&ObpExclusiveLock, &Irql);
    Before = InterlockedDecrement64(&Header->HandleCount) + 1;
    if (Before == 1) {
        Header->ExclusiveProcess = NULL;
    }
    KeReleaseSpinLock(&ObpExclusiveLock, Irql);
    return Before;
}

/**
 * ObpCountHandle - the counting side of a new handle: counters, exclusiveness, what the type says.
 *
 * @Attributes  OBJ_EXCLUSIVE counts here
 * returns      STATUS_SUCCESS; STATUS_INVALID_PARAMETER: exclusive handle to an object that is not; STATUS_ACCESS_DENIED: an exclusive
 *              object of another process; an open procedure's
 *
 * IRQL: PASSIVE_LEVEL. The caller has a reference on Object.
 */
NTSTATUS ObpCountHandle(PEPROCESS Process, PVOID Object, ULONG Attributes, ACCESS_MASK Granted)
{
    POBJECT_HEADER Header = ObpHeader(Object);
    NTSTATUS Status = STATUS_SUCCESS;
    LONG64 Count;

    if ((Header->Flags & OBP_FLAG_EXCLUSIVE) != 0) {
        Status = ObpCountExclusive(Header, Process, &Count);
    } else if ((Attributes & OBJ_EXCLUSIVE) != 0) {
        Status = STATUS_INVALID_PARAMETER;
    } else {
        Count = InterlockedIncrement64(&Header->HandleCount);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Header->Type->Info.OpenProcedure != NULL) {
        Status = Header->Type->Info.OpenProcedure(Process, Object, Granted, (ULONG)Count);
    }
    if (!NT_SUCCESS(Status)) {
        ObpLowerHandleCount(Header);
        return Status;
    }
    InterlockedIncrement64(&Header->Type->HandleCount);
    return STATUS_SUCCESS;
}

/* The counting side of a handle that went: close procedure, name, the handle's reference. IRQL: PASSIVE_LEVEL, no lock. */
VOID ObpUncountHandle(PEPROCESS Process, PVOID Object, ACCESS_MASK Granted)
{
    POBJECT_HEADER Header = ObpHeader(Object);
    LONG64 Before = ObpLowerHandleCount(Header);

    ASSERT(Before >= 1);
    InterlockedDecrement64(&Header->Type->HandleCount);
    if (Header->Type->Info.CloseProcedure != NULL) {
        Header->Type->Info.CloseProcedure(Process, Object, Granted, (ULONG)Before);
    }
    if (Before == 1) {
        ObpDeleteNameCheck(Header);
    }
    ObfDereferenceObjectWithTag(Object, OB_TAG_HANDLE);
}

/* ---- Making ---- */

/* ObpMakeHandle, its rights settled. */
static NTSTATUS ObpMakeSeenHandle(PHANDLE_TABLE Table, PVOID Object, ULONG Attributes, ACCESS_MASK Granted,
                                  PHANDLE Handle)
{
    ULONG Index;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    ASSERT(((ULONG64)Object & OBP_ENTRY_BITS) == 0);
    Status = ObpCountHandle(ObpTableProcess(Table), Object, Attributes, Granted);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ObfReferenceObjectWithTag(Object, OB_TAG_HANDLE);
    Status = ObpAllocateEntry(Table, (ULONG64)Object | ObpValueBits(Attributes), Granted, &Index);
    if (!NT_SUCCESS(Status)) {
        ObpUncountHandle(ObpTableProcess(Table), Object, Granted);
        return Status;
    }
    *Handle = ULongToHandle(Index * 4);
    if (Table == ObpKernelHandleTable && (Attributes & OBJ_KERNEL_HANDLE) != 0) {
        *Handle = (HANDLE)(OBP_KERNEL_BITS | ((ULONG64)Index * 4));
    }
    if (Table == ObpKernelHandleTable) {
        VfHandleMade(ULongToHandle(Index * 4));
    }
    return STATUS_SUCCESS;
}

/**
 * ObpMakeHandle - a handle to an object in a given table.
 *
 * @Object      body; the handle takes a reference of its own
 * @Attributes  OBJ_INHERIT, OBJ_PROTECT_CLOSE, OBJ_AUDIT_OBJECT_CLOSE, OBJ_EXCLUSIVE count here
 * @Granted     rights the handle carries
 * @Source      of a duplication: the process it is made from; NULL: a new handle
 * @Handle      gets the handle
 * returns      STATUS_SUCCESS, STATUS_INSUFFICIENT_RESOURCES, STATUS_QUOTA_EXCEEDED, or what ObpCountHandle says
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS ObpMakeHandle(PHANDLE_TABLE Table, PVOID Object, ULONG Attributes, ACCESS_MASK Granted, PEPROCESS Source,
                       PHANDLE Handle)
{
    OBP_FILTER_CALL Call;
    NTSTATUS Status;

    if (ObpFilterCount == 0) {
        return ObpMakeSeenHandle(Table, Object, Attributes, Granted, Handle);
    }
    Call.Object = Object;
    Call.Operation = (Source != NULL) ? OB_OPERATION_HANDLE_DUPLICATE : OB_OPERATION_HANDLE_CREATE;
    Call.Kernel = (Attributes & OBJ_KERNEL_HANDLE) != 0;
    Call.Source = Source;
    Call.Target = ObpTableProcess(Table);
    ObpFilterBefore(&Call, &Granted);
    Status = ObpMakeSeenHandle(Table, Object, Attributes, Granted, Handle);
    ObpFilterAfter(&Call, Granted, Status);
    return Status;
}

/* A handle for the current process, or for the kernel with OBJ_KERNEL_HANDLE. As ObpMakeHandle. */
NTSTATUS ObpCreateHandle(PVOID Object, ULONG Attributes, ACCESS_MASK Granted, PHANDLE Handle)
{
    PHANDLE_TABLE Table = ObpProcessTable(PsGetCurrentProcess());

    if ((Attributes & OBJ_KERNEL_HANDLE) != 0) {
        Table = ObpKernelHandleTable;
    }
    return ObpMakeHandle(Table, Object, Attributes, Granted, NULL, Handle);
}

/* ---- Using ---- */

/* The pseudo handles of a process itself and of the current thread; NULL: Handle is an ordinary one. */
static PVOID ObpPseudoObject(PEPROCESS Process, HANDLE Handle)
{
    if (Handle == ZwCurrentProcess()) {
        return Process;
    }
    if (Handle == ZwCurrentThread()) {
        return PsGetCurrentThread();
    }
    return NULL;
}

/**
 * ObpReferenceEntry - what a handle of a process stands for.
 *
 * @Process     the current one, or one whose table was entered
 * @Tag         of the reference, for tracing
 * @Object      gets the object, referenced
 * @Granted     gets the rights, @Attributes the OBJ_ attributes of the handle
 * returns      STATUS_SUCCESS; STATUS_INVALID_HANDLE, also for a kernel handle from user mode
 *
 * IRQL: <= DISPATCH_LEVEL. Locks: the entry's.
 */
NTSTATUS ObpReferenceEntry(PEPROCESS Process, HANDLE Handle, KPROCESSOR_MODE AccessMode, ULONG Tag, PVOID *Object,
                           PACCESS_MASK Granted, PULONG Attributes)
{
    PHANDLE_TABLE Table;
    POBP_HANDLE_ENTRY Entry;
    ULONG64 Value;
    ULONG Index;
    KIRQL Irql;

    *Object = ObpPseudoObject(Process, Handle);
    if (*Object != NULL) {
        ObfReferenceObjectWithTag(*Object, Tag);
        *Granted = ObpHeader(*Object)->Type->Info.ValidAccess;
        *Attributes = 0;
        return STATUS_SUCCESS;
    }
    Table = ObpDecode(Process, Handle, AccessMode, &Index);
    Entry = (Table == NULL) ? NULL : ObpLockEntry(Table, Index, &Irql);
    if (Entry == NULL) {
        return STATUS_INVALID_HANDLE;
    }
    Value = Entry->Value;
    *Object = ObpEntryObject(Value);
    *Granted = Entry->Granted;
    *Attributes = ObpAttributesOfValue(Value);
    ObfReferenceObjectWithTag(*Object, Tag);
    ObpUnlockEntry(Entry, Value, Irql);
    return STATUS_SUCCESS;
}

/**
 * ObReferenceObjectByHandleWithTag - the object behind a handle.
 *
 * @DesiredAccess      rights the handle must carry; looked at for user mode only
 * @ObjectType         required type, NULL: any
 * @Tag                of the reference, for tracing
 * @Object             gets the object, referenced
 * @HandleInformation  gets attributes and rights of the handle; may be NULL
 * returns             STATUS_SUCCESS, STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH, STATUS_ACCESS_DENIED
 *
 * IRQL: PASSIVE_LEVEL as documented; works up to DISPATCH_LEVEL. Source: WDK documentation.
 */
NTSTATUS NTAPI ObReferenceObjectByHandleWithTag(HANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType,
                                                KPROCESSOR_MODE AccessMode, ULONG Tag, PVOID *Object,
                                                POBJECT_HANDLE_INFORMATION HandleInformation)
{
    ACCESS_MASK Granted;
    ULONG Attributes;
    PVOID Found;
    NTSTATUS Status;

    *Object = NULL;
    Status = ObpReferenceEntry(PsGetCurrentProcess(), Handle, AccessMode, Tag, &Found, &Granted, &Attributes);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (ObjectType != NULL && ObpHeader(Found)->Type != ObjectType) {
        Status = STATUS_OBJECT_TYPE_MISMATCH;
    } else if (AccessMode != KernelMode && (DesiredAccess & ~Granted) != 0) {
        Status = STATUS_ACCESS_DENIED;
    }
    if (!NT_SUCCESS(Status)) {
        ObfDereferenceObjectWithTag(Found, Tag);
        return Status;
    }
    if (HandleInformation != NULL) {
        HandleInformation->GrantedAccess = Granted;
        HandleInformation->HandleAttributes = Attributes;
    }
    *Object = Found;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI ObReferenceObjectByHandle(HANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType,
                                         KPROCESSOR_MODE AccessMode, PVOID *Object,
                                         POBJECT_HANDLE_INFORMATION HandleInformation)
{
    return ObReferenceObjectByHandleWithTag(Handle, DesiredAccess, ObjectType, AccessMode, OB_TAG_DEFAULT, Object,
                                            HandleInformation);
}

/* ---- Attributes and closing ---- */

/**
 * ObSetHandleAttributes - changes whether a handle is inherited and whether it can be closed.
 *
 * returns  STATUS_SUCCESS, STATUS_INVALID_HANDLE
 *
 * IRQL: <= APC_LEVEL. Locks: the entry's.
 */
NTSTATUS NTAPI ObSetHandleAttributes(HANDLE Handle, POBJECT_HANDLE_FLAG_INFORMATION HandleFlags,
                                     KPROCESSOR_MODE PreviousMode)
{
    PEPROCESS Process = PsGetCurrentProcess();
    ULONG Index;
    PHANDLE_TABLE Table = ObpDecode(Process, Handle, PreviousMode, &Index);
    ULONG64 Bits =
        (HandleFlags->Inherit ? OBP_ENTRY_INHERIT : 0) | (HandleFlags->ProtectFromClose ? OBP_ENTRY_PROTECT : 0);
    POBP_HANDLE_ENTRY Entry;
    KIRQL Irql;

    Entry = (Table == NULL || ObpPseudoObject(Process, Handle) != NULL) ? NULL : ObpLockEntry(Table, Index, &Irql);
    if (Entry == NULL) {
        return STATUS_INVALID_HANDLE;
    }
    ObpUnlockEntry(Entry, (Entry->Value & ~(OBP_ENTRY_INHERIT | OBP_ENTRY_PROTECT)) | Bits, Irql);
    return STATUS_SUCCESS;
}

/* Takes an entry out of its table; *Object: what it held, with its reference. */
static NTSTATUS ObpRemoveEntry(PHANDLE_TABLE Table, ULONG Index, BOOLEAN Force, PVOID *Object, PACCESS_MASK Granted)
{
    KIRQL Irql;
    POBP_HANDLE_ENTRY Entry = ObpLockEntry(Table, Index, &Irql);
    ULONG64 Value;

    if (Entry == NULL) {
        return STATUS_INVALID_HANDLE;
    }
    Value = Entry->Value;
    if ((Value & OBP_ENTRY_PROTECT) != 0 && !Force) {
        ObpUnlockEntry(Entry, Value, Irql);
        return STATUS_HANDLE_NOT_CLOSABLE;
    }
    *Object = ObpEntryObject(Value);
    *Granted = Entry->Granted;
    ObpUnlockEntry(Entry, 0, Irql);
    ObpFreeEntry(Table, Index);
    return STATUS_SUCCESS;
}

/* Closes a handle of the current process, or of one whose table was entered. As ObCloseHandle. */
NTSTATUS ObpCloseHandle(PEPROCESS Process, HANDLE Handle, KPROCESSOR_MODE PreviousMode)
{
    PHANDLE_TABLE Table;
    ACCESS_MASK Granted;
    PVOID Object;
    ULONG Index;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (ObpPseudoObject(Process, Handle) != NULL) {
        return STATUS_SUCCESS;
    }
    Table = ObpDecode(Process, Handle, PreviousMode, &Index);
    if (Table == NULL) {
        return STATUS_INVALID_HANDLE;
    }
    Status = ObpRemoveEntry(Table, Index, FALSE, &Object, &Granted);
    if (NT_SUCCESS(Status)) {
        if (Table == ObpKernelHandleTable) {
            VfHandleGone(ULongToHandle(Index * 4));
        }
        ObpUncountHandle(ObpTableProcess(Table), Object, Granted);
    }
    return Status;
}

/**
 * ObCloseHandle - gives a handle back.
 *
 * @PreviousMode  UserMode: kernel handles are not accepted
 * returns        STATUS_SUCCESS (a pseudo handle: nothing happens), STATUS_INVALID_HANDLE, STATUS_HANDLE_NOT_CLOSABLE
 *
 * IRQL: PASSIVE_LEVEL. Locks: the entry's, then the table's; none while the object is told.
 */
NTSTATUS NTAPI ObCloseHandle(HANDLE Handle, KPROCESSOR_MODE PreviousMode)
{
    return ObpCloseHandle(PsGetCurrentProcess(), Handle, PreviousMode);
}

VOID ObCloseAllHandles(PHANDLE_TABLE Table)
{
    ASSERT_IRQL(PASSIVE_LEVEL);
    ObpStopTable(Table);
    for (ULONG Index = 1; Index < ObpTableCapacity(Table); Index++) {
        ACCESS_MASK Granted;
        PVOID Object;

        if (NT_SUCCESS(ObpRemoveEntry(Table, Index, TRUE, &Object, &Granted))) {
            ObpUncountHandle(ObpTableProcess(Table), Object, Granted);
        }
    }
}

VOID ObDestroyHandleTable(PHANDLE_TABLE Table)
{
    ObCloseAllHandles(Table);
    ObpFreeTable(Table);
}

VOID ObForEachHandle(PEPROCESS Process, OB_HANDLE_VISIT Visit, PVOID Context)
{
    PHANDLE_TABLE Table = Process->ObjectTable;

    if (Table == NULL || !ObpEnterTable(Table)) {
        return;
    }
    for (ULONG Index = 1; Index < ObpTableCapacity(Table); Index++) {
        OB_HANDLE_VIEW View = {.Handle = ULongToHandle(Index * 4)};
        KIRQL Irql;
        POBP_HANDLE_ENTRY Entry = ObpLockEntry(Table, Index, &Irql);

        if (Entry != NULL) {
            View.Object = ObpEntryObject(Entry->Value);
            View.Granted = Entry->Granted;
            View.Attributes = ObpAttributesOfValue(Entry->Value);
            View.TypeIndex = ObGetObjectType(View.Object)->Index;
            ObpUnlockEntry(Entry, Entry->Value, Irql);
            Visit(Context, &View);
        }
    }
    ObpLeaveTable(Table);
}

ULONG ObGetTableHandleCount(PHANDLE_TABLE Table)
{
    return ObpTableCount(Table);
}

NTSTATUS ObpInitializeHandles(VOID)
{
    NTSTATUS Status = ObCreateHandleTable(PsInitialSystemProcess, (PVOID *)&ObpKernelHandleTable);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (PsInitialSystemProcess != NULL) {
        PsInitialSystemProcess->ObjectTable = ObpKernelHandleTable;
    }
    return STATUS_SUCCESS;
}

BOOLEAN NTAPI ObIsKernelHandle(HANDLE Handle)
{
    return ((ULONG_PTR)Handle & OBP_KERNEL_BITS) == OBP_KERNEL_BITS && Handle != ZwCurrentProcess() &&
           Handle != ZwCurrentThread();
}

NTSTATUS NTAPI NtClose(HANDLE Handle)
{
    return ObCloseHandle(Handle, ExGetPreviousMode());
}

NTSTATUS NTAPI ZwClose(HANDLE Handle)
{
    return ObCloseHandle(Handle, KernelMode);
}
