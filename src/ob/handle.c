/*
 * handle.c - handles: numbers that stand for references to objects.
 *
 * A table has three levels: 64 pointers in the table, pages of 512 pointers, pages of 256 entries, so a table grows to
 * 8.3 million handles a page at a time and never moves an entry. Handle n is n * 4 (the low two bits are the caller's); entry
 * 0 is never used. The system process's table holds the kernel handles; such a handle has its upper 33 bits set, which
 * keeps it apart from every process's own and from user mode.
 *
 * States of an entry: free (Object NULL, linked by NextFree) and in use (one pointer reference and one handle count on
 * Object). Freed entries are reused first in, first out, so that a stale handle stays invalid for a while.
 *
 * Lock: the table's spin lock (DISPATCH_LEVEL) guards everything in it. Nothing is called under it but pool allocation and
 * reference counting; objects are dereferenced after it was released.
 */
#include <ntos/ps.h>

#include "obp.h"

#define OBP_LEAF_ENTRIES 256U /* 16 bytes each: one page */
#define OBP_MIDDLE_PAGES 512U /* 8 bytes each: one page */
#define OBP_TOP_PAGES    64U  /* 64 * 512 * 256 = 8.3 million handles */
#define OBP_KERNEL_BITS  0xFFFFFFFF80000000ULL

/* (t) the table's lock */
typedef struct _OBP_HANDLE_ENTRY {
    PVOID Object; /* (t) body, referenced; NULL: free */
    union {
        struct {
            ACCESS_MASK Granted : 25; /* (t) 25 bits hold every specific and standard right */
            ULONG Inherit : 1;        /* (t) */
            ULONG Protected : 1;      /* (t) OBJ_PROTECT_CLOSE */
        };
        ULONG NextFree; /* (t) index of the next free entry, 0: none */
    };
    ULONG Reserved;
} OBP_HANDLE_ENTRY, *POBP_HANDLE_ENTRY;
C_ASSERT(sizeof(OBP_HANDLE_ENTRY) * OBP_LEAF_ENTRIES == PAGE_SIZE);

struct _HANDLE_TABLE {
    KSPIN_LOCK Lock;
    PEPROCESS Process;                        /* (c) not referenced: the process owns the table */
    ULONG Count;                              /* (t) entries in use */
    ULONG Capacity;                           /* (t) entries that have memory */
    ULONG FirstFree, LastFree;                /* (t) indices, 0: none */
    POBP_HANDLE_ENTRY *Middle[OBP_TOP_PAGES]; /* (t) each OBP_MIDDLE_PAGES leaf pointers */
};

PHANDLE_TABLE ObpKernelHandleTable;

static POBP_HANDLE_ENTRY ObpEntry(PHANDLE_TABLE Table, ULONG Index)
{
    ULONG Leaf = Index / OBP_LEAF_ENTRIES;

    if (Index == 0 || Index >= Table->Capacity) {
        return NULL;
    }
    return &Table->Middle[Leaf / OBP_MIDDLE_PAGES][Leaf % OBP_MIDDLE_PAGES][Index % OBP_LEAF_ENTRIES];
}

static VOID ObpAppendFree(PHANDLE_TABLE Table, ULONG Index)
{
    POBP_HANDLE_ENTRY Entry = ObpEntry(Table, Index);

    Entry->Object = NULL;
    Entry->NextFree = 0;
    if (Table->LastFree == 0) {
        Table->FirstFree = Index;
    } else {
        ObpEntry(Table, Table->LastFree)->NextFree = Index;
    }
    Table->LastFree = Index;
}

/* Adds one leaf of entries. Lock held. */
static NTSTATUS ObpGrowTable(PHANDLE_TABLE Table)
{
    ULONG Leaf = Table->Capacity / OBP_LEAF_ENTRIES, Top = Leaf / OBP_MIDDLE_PAGES;
    POBP_HANDLE_ENTRY Entries;

    if (Top >= OBP_TOP_PAGES) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    if (Table->Middle[Top] == NULL) {
        Table->Middle[Top] = ExAllocatePoolWithTag(NonPagedPool, PAGE_SIZE, OB_TAG_HANDLE);
        if (Table->Middle[Top] == NULL) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        RtlZeroMemory(Table->Middle[Top], PAGE_SIZE);
    }
    Entries = ExAllocatePoolWithTag(NonPagedPool, PAGE_SIZE, OB_TAG_HANDLE);
    if (Entries == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Entries, PAGE_SIZE);
    Table->Middle[Top][Leaf % OBP_MIDDLE_PAGES] = Entries;
    Table->Capacity += OBP_LEAF_ENTRIES;
    for (ULONG Index = (Leaf == 0) ? 1 : 0; Index < OBP_LEAF_ENTRIES; Index++) {
        ObpAppendFree(Table, Leaf * OBP_LEAF_ENTRIES + Index);
    }
    return STATUS_SUCCESS;
}

PHANDLE_TABLE ObCreateHandleTable(PEPROCESS Process)
{
    PHANDLE_TABLE Table = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Table), OB_TAG_HANDLE);

    if (Table == NULL) {
        return NULL;
    }
    RtlZeroMemory(Table, sizeof(*Table));
    KeInitializeSpinLock(&Table->Lock);
    Table->Process = Process;
    return Table;
}

/* The table of the current process, the kernel's for a process that has none of its own. */
static PHANDLE_TABLE ObpCurrentTable(VOID)
{
    PEPROCESS Process = PsGetCurrentProcess();

    return (Process != NULL && Process->ObjectTable != NULL) ? Process->ObjectTable : ObpKernelHandleTable;
}

/* Which table and entry a handle means. */
static PHANDLE_TABLE ObpDecode(HANDLE Handle, KPROCESSOR_MODE AccessMode, PULONG Index)
{
    ULONG_PTR Value = (ULONG_PTR)Handle;

    if ((Value & OBP_KERNEL_BITS) == OBP_KERNEL_BITS) {
        *Index = (ULONG)(Value & ~OBP_KERNEL_BITS) / 4;
        return (AccessMode == KernelMode) ? ObpKernelHandleTable : NULL;
    }
    *Index = (Value <= MAXULONG) ? (ULONG)Value / 4 : 0;
    return ObpCurrentTable();
}

/* The counting side of a new handle: what the type says and the counters. */
static NTSTATUS ObpCountHandle(PEPROCESS Process, PVOID Object, ACCESS_MASK Granted)
{
    POBJECT_HEADER Header = ObpHeader(Object);
    LONG64 Count = InterlockedIncrement64(&Header->HandleCount);
    NTSTATUS Status = STATUS_SUCCESS;

    if (Header->Type->Info.OpenProcedure != NULL) {
        Status = Header->Type->Info.OpenProcedure(Process, Object, Granted, (ULONG)Count);
    }
    if (!NT_SUCCESS(Status)) {
        InterlockedDecrement64(&Header->HandleCount);
        return Status;
    }
    InterlockedIncrement64(&Header->Type->HandleCount);
    return STATUS_SUCCESS;
}

/* The counting side of a handle that went: close procedure, name, reference. IRQL: PASSIVE_LEVEL, no lock. */
static VOID ObpUncountHandle(PEPROCESS Process, PVOID Object, ACCESS_MASK Granted)
{
    POBJECT_HEADER Header = ObpHeader(Object);
    LONG64 Before = InterlockedDecrement64(&Header->HandleCount) + 1;

    ASSERT(Before >= 1);
    InterlockedDecrement64(&Header->Type->HandleCount);
    if (Header->Type->Info.CloseProcedure != NULL) {
        Header->Type->Info.CloseProcedure(Process, Object, Granted, (ULONG)Before);
    }
    if (Before == 1) {
        ObpDeleteNameCheck(Header);
    }
    ObfDereferenceObject(Object);
}

/**
 * ObpCreateHandle - a handle to an object.
 *
 * @Object      body; the handle takes a reference of its own
 * @Attributes  OBJ_KERNEL_HANDLE, OBJ_INHERIT, OBJ_PROTECT_CLOSE count here
 * @Granted     rights the handle carries
 * @Handle      gets the handle
 * returns      STATUS_SUCCESS, STATUS_INSUFFICIENT_RESOURCES, or what the type's open procedure says
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS ObpCreateHandle(PVOID Object, ULONG Attributes, ACCESS_MASK Granted, KPROCESSOR_MODE AccessMode,
                         PHANDLE Handle)
{
    PHANDLE_TABLE Table = ((Attributes & OBJ_KERNEL_HANDLE) != 0) ? ObpKernelHandleTable : ObpCurrentTable();
    POBP_HANDLE_ENTRY Entry;
    KIRQL Irql;
    ULONG Index;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(AccessMode);
    Status = ObpCountHandle(Table->Process, Object, Granted);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ObfReferenceObject(Object);
    KeAcquireSpinLock(&Table->Lock, &Irql);
    if (Table->FirstFree == 0) {
        Status = ObpGrowTable(Table);
    }
    Index = Table->FirstFree;
    if (NT_SUCCESS(Status)) {
        Entry = ObpEntry(Table, Index);
        Table->FirstFree = Entry->NextFree;
        if (Table->FirstFree == 0) {
            Table->LastFree = 0;
        }
        Entry->NextFree = 0;
        Entry->Object = Object;
        Entry->Granted = Granted;
        Entry->Inherit = (Attributes & OBJ_INHERIT) != 0;
        Entry->Protected = FALSE;
        Table->Count++;
    }
    KeReleaseSpinLock(&Table->Lock, Irql);
    if (!NT_SUCCESS(Status)) {
        ObpUncountHandle(Table->Process, Object, Granted);
        return Status;
    }
    *Handle = (HANDLE)(((Attributes & OBJ_KERNEL_HANDLE) != 0) ? (OBP_KERNEL_BITS | ((ULONG64)Index * 4))
                                                               : (ULONG64)Index * 4);
    return STATUS_SUCCESS;
}

/* The pseudo handles of the current process and thread; NULL: Handle is an ordinary one. */
static PVOID ObpPseudoObject(HANDLE Handle)
{
    if (Handle == ZwCurrentProcess()) {
        return PsGetCurrentProcess();
    }
    if (Handle == ZwCurrentThread()) {
        return PsGetCurrentThread();
    }
    return NULL;
}

NTSTATUS NTAPI ObReferenceObjectByHandle(HANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType,
                                         KPROCESSOR_MODE AccessMode, PVOID *Object,
                                         POBJECT_HANDLE_INFORMATION HandleInformation)
{
    PHANDLE_TABLE Table;
    POBP_HANDLE_ENTRY Entry;
    ACCESS_MASK Granted = MAXIMUM_ALLOWED;
    ULONG Index, Inherit = 0;
    KIRQL Irql;
    PVOID Found = ObpPseudoObject(Handle);
    NTSTATUS Status = STATUS_SUCCESS;

    *Object = NULL;
    if (Found != NULL) {
        ObfReferenceObject(Found);
        Granted = ObpHeader(Found)->Type->Info.ValidAccess;
    } else {
        Table = ObpDecode(Handle, AccessMode, &Index);
        if (Table == NULL) {
            return STATUS_INVALID_HANDLE;
        }
        KeAcquireSpinLock(&Table->Lock, &Irql);
        Entry = ObpEntry(Table, Index);
        if (Entry != NULL && Entry->Object != NULL) {
            Found = Entry->Object;
            Granted = Entry->Granted;
            Inherit = Entry->Inherit;
            ObfReferenceObject(Found);
        }
        KeReleaseSpinLock(&Table->Lock, Irql);
        if (Found == NULL) {
            return STATUS_INVALID_HANDLE;
        }
    }
    if (ObjectType != NULL && ObpHeader(Found)->Type != ObjectType) {
        Status = STATUS_OBJECT_TYPE_MISMATCH;
    } else if (AccessMode != KernelMode && (DesiredAccess & ~Granted) != 0) {
        Status = STATUS_ACCESS_DENIED;
    }
    if (!NT_SUCCESS(Status)) {
        ObfDereferenceObject(Found);
        return Status;
    }
    if (HandleInformation != NULL) {
        HandleInformation->GrantedAccess = Granted;
        HandleInformation->HandleAttributes = Inherit ? OBJ_INHERIT : 0;
    }
    *Object = Found;
    return STATUS_SUCCESS;
}

static NTSTATUS ObpCloseHandle(HANDLE Handle, KPROCESSOR_MODE AccessMode)
{
    PHANDLE_TABLE Table;
    POBP_HANDLE_ENTRY Entry;
    ACCESS_MASK Granted = 0;
    PVOID Object = NULL;
    ULONG Index;
    KIRQL Irql;
    NTSTATUS Status = STATUS_INVALID_HANDLE;

    if (ObpPseudoObject(Handle) != NULL) {
        return STATUS_SUCCESS;
    }
    Table = ObpDecode(Handle, AccessMode, &Index);
    if (Table == NULL) {
        return STATUS_INVALID_HANDLE;
    }
    KeAcquireSpinLock(&Table->Lock, &Irql);
    Entry = ObpEntry(Table, Index);
    if (Entry != NULL && Entry->Object != NULL) {
        if (Entry->Protected) {
            Status = STATUS_HANDLE_NOT_CLOSABLE;
        } else {
            Status = STATUS_SUCCESS;
            Object = Entry->Object;
            Granted = Entry->Granted;
            ObpAppendFree(Table, Index);
            Table->Count--;
        }
    }
    KeReleaseSpinLock(&Table->Lock, Irql);
    if (Object != NULL) {
        ObpUncountHandle(Table->Process, Object, Granted);
    }
    return Status;
}

VOID ObDestroyHandleTable(PHANDLE_TABLE Table)
{
    ASSERT_IRQL(PASSIVE_LEVEL);
    for (ULONG Index = 1; Index < Table->Capacity; Index++) {
        POBP_HANDLE_ENTRY Entry = ObpEntry(Table, Index);

        if (Entry->Object != NULL) { /* nobody else uses the table any more */
            PVOID Object = Entry->Object;

            Entry->Object = NULL;
            ObpUncountHandle(Table->Process, Object, Entry->Granted);
        }
    }
    for (ULONG Leaf = 0; Leaf < Table->Capacity / OBP_LEAF_ENTRIES; Leaf++) {
        ExFreePoolWithTag(Table->Middle[Leaf / OBP_MIDDLE_PAGES][Leaf % OBP_MIDDLE_PAGES], OB_TAG_HANDLE);
    }
    for (ULONG Top = 0; Top < OBP_TOP_PAGES; Top++) {
        if (Table->Middle[Top] != NULL) {
            ExFreePoolWithTag(Table->Middle[Top], OB_TAG_HANDLE);
        }
    }
    ExFreePoolWithTag(Table, OB_TAG_HANDLE);
}

NTSTATUS ObpInitializeHandles(VOID)
{
    ObpKernelHandleTable = ObCreateHandleTable(PsInitialSystemProcess);
    if (ObpKernelHandleTable == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    if (PsInitialSystemProcess != NULL) {
        PsInitialSystemProcess->ObjectTable = ObpKernelHandleTable;
    }
    return STATUS_SUCCESS;
}

BOOLEAN NTAPI ObIsKernelHandle(HANDLE Handle)
{
    return ((ULONG_PTR)Handle & OBP_KERNEL_BITS) == OBP_KERNEL_BITS && ObpPseudoObject(Handle) == NULL;
}

NTSTATUS NTAPI NtClose(HANDLE Handle)
{
    ASSERT_IRQL(PASSIVE_LEVEL);
    return ObpCloseHandle(Handle, ExGetPreviousMode());
}

NTSTATUS NTAPI ZwClose(HANDLE Handle)
{
    ASSERT_IRQL(PASSIVE_LEVEL);
    return ObpCloseHandle(Handle, KernelMode);
}
