/*
 * duplicate.c - handles copied from one process to another: duplication and inheritance.
 *
 * A process is reached through its handle table, not its address space: ObpEnterTable keeps the table's entries while a
 * thread of another process looks at them, so a process that ends waits for its visitors, not they for it.
 *
 * Inheritance fills a table that nobody else knows yet, entry by entry at the parent's own numbers; what the parent opens or closes
 * meanwhile is in the child or not. IRQL: PASSIVE_LEVEL. Locks: one entry's at a time.
 * Source: WDK documentation of ZwDuplicateObject, Windows SDK documentation of handle inheritance.
 */
#include <ntos/ke.h>
#include <ntos/ps.h>
#include <ntos/user.h>

#include "handletable.h"

/* The rights a duplicate carries: the source's own, or what is asked for. More than the source has is checked anew. */
static NTSTATUS ObpDuplicateAccess(PVOID Object, ACCESS_MASK Desired, ULONG Options, ACCESS_MASK Source,
                                   KPROCESSOR_MODE Mode, PACCESS_MASK Granted)
{
    ACCESS_MASK Mapped = Desired;
    GENERIC_MAPPING Mapping = ObGetObjectType(Object)->Info.GenericMapping;

    if ((Options & DUPLICATE_SAME_ACCESS) != 0) {
        *Granted = Source;
        return STATUS_SUCCESS;
    }
    RtlMapGenericMask(&Mapped, &Mapping);
    if ((Mapped & ~Source) == 0) {
        *Granted = Mapped;
        return STATUS_SUCCESS;
    }
    return ObpCheckAccess(Object, 0, NULL, Desired, Mode, Granted);
}

/* The duplicate itself; Object is the source's, referenced by the caller. */
static NTSTATUS ObpMakeDuplicate(PEPROCESS Source, PEPROCESS Process, PVOID Object, ULONG Attributes,
                                 ACCESS_MASK Granted, PHANDLE Handle)
{
    PHANDLE_TABLE Table = ObpProcessTable(Process);
    HANDLE New;
    NTSTATUS Status;

    if ((Attributes & OBJ_KERNEL_HANDLE) != 0) {
        Table = ObpKernelHandleTable;
    }
    if (!ObpEnterTable(Table)) {
        return STATUS_PROCESS_IS_TERMINATING;
    }
    Status = ObpMakeHandle(Table, Object, Attributes, Granted, Source, &New);
    ObpLeaveTable(Table);
    if (NT_SUCCESS(Status) && Handle != NULL) {
        *Handle = New;
    }
    return Status;
}

/* ObDuplicateObject while the source's table is entered. */
static NTSTATUS ObpDuplicateFrom(PEPROCESS SourceProcess, HANDLE SourceHandle, PEPROCESS TargetProcess,
                                 PHANDLE TargetHandle, ACCESS_MASK DesiredAccess, ULONG HandleAttributes, ULONG Options,
                                 KPROCESSOR_MODE Mode)
{
    ACCESS_MASK Source, Granted;
    ULONG Attributes;
    PVOID Object;
    NTSTATUS Status;

    Status = ObpReferenceEntry(SourceProcess, SourceHandle, Mode, OB_TAG_DEFAULT, &Object, &Source, &Attributes);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (TargetProcess != NULL) {
        if ((Options & DUPLICATE_SAME_ATTRIBUTES) == 0) {
            Attributes = HandleAttributes & ~((Mode == KernelMode) ? 0U : (ULONG)OBJ_KERNEL_HANDLE);
        }
        Status = ObpDuplicateAccess(Object, DesiredAccess, Options, Source, Mode, &Granted);
        if (NT_SUCCESS(Status)) {
            Status = ObpMakeDuplicate(SourceProcess, TargetProcess, Object, Attributes, Granted, TargetHandle);
        }
    }
    if ((Options & DUPLICATE_CLOSE_SOURCE) != 0) {
        ObpCloseHandle(SourceProcess, SourceHandle, Mode); /* a protected one stays, as it would on ZwClose */
    }
    ObfDereferenceObject(Object);
    return Status;
}

NTSTATUS ObDuplicateObject(PEPROCESS SourceProcess, HANDLE SourceHandle, PEPROCESS TargetProcess, PHANDLE TargetHandle,
                           ACCESS_MASK DesiredAccess, ULONG HandleAttributes, ULONG Options,
                           KPROCESSOR_MODE PreviousMode)
{
    PHANDLE_TABLE Table = ObpProcessTable(SourceProcess);
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (TargetHandle != NULL) {
        *TargetHandle = NULL;
    }
    if (TargetProcess == NULL && (Options & DUPLICATE_CLOSE_SOURCE) == 0) {
        return STATUS_INVALID_PARAMETER;
    }
    if (!ObpEnterTable(Table)) {
        return STATUS_PROCESS_IS_TERMINATING;
    }
    Status = ObpDuplicateFrom(SourceProcess, SourceHandle, TargetProcess, TargetHandle, DesiredAccess, HandleAttributes,
                              Options, PreviousMode);
    ObpLeaveTable(Table);
    return Status;
}

/**
 * NtDuplicateObject - ObDuplicateObject by handles of the processes.
 *
 * @SourceProcessHandle, @TargetProcessHandle  with PROCESS_DUP_HANDLE; the target's may be NULL to close the source only
 * returns                                     also STATUS_OBJECT_TYPE_MISMATCH: not a process
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtDuplicateObject(HANDLE SourceProcessHandle, HANDLE SourceHandle, HANDLE TargetProcessHandle,
                                 PHANDLE TargetHandle, ACCESS_MASK DesiredAccess, ULONG HandleAttributes, ULONG Options)
{
    KPROCESSOR_MODE Mode = ExGetPreviousMode();
    PVOID Source, Target = NULL;
    HANDLE New = NULL;
    NTSTATUS Status = TargetHandle == NULL ? STATUS_SUCCESS : ExProbeForWrite(TargetHandle, sizeof(HANDLE));

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObReferenceObjectByHandle(SourceProcessHandle, PROCESS_DUP_HANDLE, *PsProcessType, Mode, &Source, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (TargetProcessHandle != NULL) {
        Status =
            ObReferenceObjectByHandle(TargetProcessHandle, PROCESS_DUP_HANDLE, *PsProcessType, Mode, &Target, NULL);
    }
    if (NT_SUCCESS(Status)) {
        Status = ObDuplicateObject(Source, SourceHandle, Target, &New, DesiredAccess, HandleAttributes, Options, Mode);
        if (TargetHandle != NULL) { /* NULL after an error; a place that went meanwhile is the caller's loss */
            ExCopyToCaller(TargetHandle, &New, sizeof(New));
        }
    }
    if (Target != NULL) {
        ObfDereferenceObject(Target);
    }
    ObfDereferenceObject(Source);
    return Status;
}

NTSTATUS NTAPI ZwDuplicateObject(HANDLE SourceProcessHandle, HANDLE SourceHandle, HANDLE TargetProcessHandle,
                                 PHANDLE TargetHandle, ACCESS_MASK DesiredAccess, ULONG HandleAttributes, ULONG Options)
{
    OBP_AS_KERNEL(NtDuplicateObject(SourceProcessHandle, SourceHandle, TargetProcessHandle, TargetHandle, DesiredAccess,
                                    HandleAttributes, Options));
}

/* ---- Inheritance ---- */

/* Copies one entry into the child's table, if it is to be inherited. */
static NTSTATUS ObpInheritEntry(PHANDLE_TABLE From, PHANDLE_TABLE To, ULONG Index)
{
    KIRQL Irql;
    POBP_HANDLE_ENTRY Entry = ObpLockEntry(From, Index, &Irql);
    ACCESS_MASK Granted;
    ULONG64 Value;
    PVOID Object;
    NTSTATUS Status;

    if (Entry == NULL) {
        return STATUS_SUCCESS;
    }
    Value = Entry->Value & ~OBP_ENTRY_LOCKED;
    Granted = Entry->Granted;
    Object = ObpEntryObject(Value);
    if ((Value & OBP_ENTRY_INHERIT) != 0) {
        ObfReferenceObjectWithTag(Object, OB_TAG_HANDLE);
    }
    ObpUnlockEntry(Entry, Value, Irql);
    if ((Value & OBP_ENTRY_INHERIT) == 0) {
        return STATUS_SUCCESS;
    }
    Status = ObpCountHandle(ObpTableProcess(To), Object, 0, Granted);
    if (NT_SUCCESS(Status)) {
        ObpSetEntry(To, Index, Value, Granted); /* the reference is the entry's */
        return STATUS_SUCCESS;
    }
    if ((ObpHeader(Object)->Flags & OBP_FLAG_EXCLUSIVE) != 0) {
        Status = STATUS_SUCCESS; /* it stays with its process, which may have a child all the same */
    }
    ObfDereferenceObjectWithTag(Object, OB_TAG_HANDLE);
    return Status;
}

/* The same for those of a list; one that names nothing inheritable makes it fail. */
static NTSTATUS ObpInheritListed(PHANDLE_TABLE From, PHANDLE_TABLE To, const HANDLE *List, ULONG Count)
{
    NTSTATUS Status = STATUS_SUCCESS;

    for (ULONG Entry = 0; NT_SUCCESS(Status) && Entry < Count; Entry++) {
        ULONG64 Index = (ULONG64)List[Entry] / 4;
        KIRQL Irql;
        POBP_HANDLE_ENTRY Taken;

        if (Index == 0 || Index >= ObpTableCapacity(To)) {
            return STATUS_INVALID_PARAMETER;
        }
        Taken = ObpLockEntry(To, (ULONG)Index, &Irql);
        if (Taken != NULL) { /* the list names it twice */
            ObpUnlockEntry(Taken, Taken->Value & ~OBP_ENTRY_LOCKED, Irql);
            continue;
        }
        Status = ObpInheritEntry(From, To, (ULONG)Index);
        Taken = NT_SUCCESS(Status) ? ObpLockEntry(To, (ULONG)Index, &Irql) : NULL;
        if (Taken != NULL) {
            ObpUnlockEntry(Taken, Taken->Value & ~OBP_ENTRY_LOCKED, Irql);
        } else if (NT_SUCCESS(Status)) {
            Status = STATUS_INVALID_PARAMETER;
        }
    }
    return Status;
}

NTSTATUS ObInheritHandles(PEPROCESS Parent, PEPROCESS Child, const HANDLE *List, ULONG Count, PHANDLE_TABLE *Table)
{
    PHANDLE_TABLE From = ObpProcessTable(Parent), To;
    ULONG Capacity;
    NTSTATUS Status = ObCreateHandleTable(Child, (PVOID *)&To);

    ASSERT_IRQL(PASSIVE_LEVEL);
    *Table = NULL;
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (!ObpEnterTable(From)) {
        ObpFreeTable(To);
        return STATUS_PROCESS_IS_TERMINATING;
    }
    Status = ObpGrowLike(To, From);
    Capacity = ObpTableCapacity(To);
    if (NT_SUCCESS(Status) && List != NULL) {
        Status = ObpInheritListed(From, To, List, Count);
    }
    for (ULONG Index = 1; NT_SUCCESS(Status) && List == NULL && Index < Capacity; Index++) {
        Status = ObpInheritEntry(From, To, Index);
    }
    ObpLeaveTable(From);
    ObpRebuildFreeList(To);
    if (!NT_SUCCESS(Status)) {
        ObDestroyHandleTable(To);
        return Status;
    }
    *Table = To;
    return STATUS_SUCCESS;
}
