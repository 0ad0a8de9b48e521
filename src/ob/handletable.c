/*
 * handletable.c - the table behind handles: numbers to entries, on several processors at once.
 *
 * A table has three levels: 64 pointers in the table, pages of 512 pointers, pages of 256 entries, so a table grows to
 * 8.3 million handles a page at a time and never moves an entry. Memory, for which its process is charged, goes back when the table does. Entry
 * 0 is never used.
 *
 * States of an entry: free (Value 0, linked by NextFree) and in use (an object's address and attribute bits). Freed entries
 * are reused first in, first out, so that a stale handle stays invalid for a while. Allocation and release are constant time.
 *
 * Locks: a lookup does not take the table's lock. It locks the one entry, by setting the lowest bit of Value, which nobody
 * can do to a free entry; whoever takes the entry out does so while it is locked, so an object found in a locked entry is
 * referenced by it until the entry is unlocked. The bit is held at DISPATCH_LEVEL for a few instructions with nothing called but an
 * interlocked count. The table's spin lock (DISPATCH_LEVEL) guards the free list and growth; the two are never held together.
 * Capacity is raised after the pages below it are in place (stores are seen in order), so a reader needs no lock for the levels.
 *
 * Rundown keeps the entries there for threads of other processes that reach into a table whose own process is ending.
 */
#include <ntos/ps.h>

#include "handletable.h"

#define OBP_LEAF_ENTRIES 256U /* 16 bytes each: one page */
#define OBP_MIDDLE_PAGES 512U /* 8 bytes each: one page */
#define OBP_TOP_PAGES    64U  /* 64 * 512 * 256 = 8.3 million handles */
C_ASSERT(sizeof(OBP_HANDLE_ENTRY) * OBP_LEAF_ENTRIES == PAGE_SIZE);

struct _HANDLE_TABLE {
    KSPIN_LOCK Lock;
    EX_RUNDOWN_REF Rundown;                   /* visitors from other processes */
    PEPROCESS Process;                        /* (c) not referenced: the process owns the table */
    ULONG Count;                              /* (t) entries in use */
    volatile ULONG Capacity;                  /* (t) for writing: entries that have memory */
    ULONG FirstFree, LastFree;                /* (t) indices, 0: none */
    POBP_HANDLE_ENTRY *Middle[OBP_TOP_PAGES]; /* (t) for writing: each OBP_MIDDLE_PAGES leaf pointers */
};

ULONG ObpAttributesOfValue(ULONG64 Value)
{
    return (((Value & OBP_ENTRY_INHERIT) != 0) ? OBJ_INHERIT : 0U) |
           (((Value & OBP_ENTRY_PROTECT) != 0) ? OBJ_PROTECT_CLOSE : 0U) |
           (((Value & OBP_ENTRY_AUDIT) != 0) ? OBJ_AUDIT_OBJECT_CLOSE : 0U);
}

ULONG64 ObpValueBits(ULONG Attributes)
{
    return (((Attributes & OBJ_INHERIT) != 0) ? OBP_ENTRY_INHERIT : 0ULL) |
           (((Attributes & OBJ_PROTECT_CLOSE) != 0) ? OBP_ENTRY_PROTECT : 0ULL) |
           (((Attributes & OBJ_AUDIT_OBJECT_CLOSE) != 0) ? OBP_ENTRY_AUDIT : 0ULL);
}

/* Zeroed memory for a table at its process's expense; NULL after an error. IRQL: <= APC_LEVEL. */
static NTSTATUS ObpAllocatePart(PEPROCESS Process, SIZE_T Bytes, PVOID *Part)
{
    NTSTATUS Status = (Process == NULL) ? STATUS_SUCCESS : PsChargeProcessPoolQuota(Process, NonPagedPool, Bytes);

    *Part = NULL;
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    *Part = ExAllocatePoolWithTag(NonPagedPool, Bytes, OB_TAG_HANDLE);
    if (*Part == NULL) {
        if (Process != NULL) {
            PsReturnPoolQuota(Process, NonPagedPool, Bytes);
        }
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(*Part, Bytes);
    return STATUS_SUCCESS;
}

static VOID ObpFreePart(PEPROCESS Process, SIZE_T Bytes, PVOID Part)
{
    ExFreePoolWithTag(Part, OB_TAG_HANDLE);
    if (Process != NULL) {
        PsReturnPoolQuota(Process, NonPagedPool, Bytes);
    }
}

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
    ObpEntry(Table, Index)->NextFree = 0;
    if (Table->LastFree == 0) {
        Table->FirstFree = Index;
    } else {
        ObpEntry(Table, Table->LastFree)->NextFree = Index;
    }
    Table->LastFree = Index;
}

/* Puts a zeroed page where the table's next leaf, or first the middle page for it, goes; gives it back if it is not needed. */
static VOID ObpInstallPage(PHANDLE_TABLE Table, ULONG Leaf, PVOID *Page)
{
    ULONG Top = Leaf / OBP_MIDDLE_PAGES;

    if (Table->Capacity != Leaf * OBP_LEAF_ENTRIES) {
        return; /* somebody else was faster */
    }
    if (Table->Middle[Top] == NULL) {
        Table->Middle[Top] = *Page;
        *Page = NULL;
        return;
    }
    Table->Middle[Top][Leaf % OBP_MIDDLE_PAGES] = *Page;
    *Page = NULL;
    _ReadWriteBarrier();
    Table->Capacity = (Leaf + 1) * OBP_LEAF_ENTRIES; /* after the page: lookups take no lock */
    for (ULONG Index = (Leaf == 0) ? 1 : 0; Index < OBP_LEAF_ENTRIES; Index++) {
        ObpAppendFree(Table, Leaf * OBP_LEAF_ENTRIES + Index);
    }
}

/* Adds one page to the table, or sees that another thread did; only a leaf brings entries. IRQL: <= APC_LEVEL, no lock held. */
static NTSTATUS ObpGrowTable(PHANDLE_TABLE Table)
{
    ULONG Leaf = Table->Capacity / OBP_LEAF_ENTRIES;
    PVOID Page;
    KIRQL Irql;

    if (Leaf >= OBP_TOP_PAGES * OBP_MIDDLE_PAGES) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    NTSTATUS Status = ObpAllocatePart(Table->Process, PAGE_SIZE, &Page);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    KeAcquireSpinLock(&Table->Lock, &Irql);
    ObpInstallPage(Table, Leaf, &Page);
    KeReleaseSpinLock(&Table->Lock, Irql);
    if (Page != NULL) {
        ObpFreePart(Table->Process, PAGE_SIZE, Page);
    }
    return STATUS_SUCCESS;
}

/* Takes the first free entry off the list; 0: there is none. */
static ULONG ObpTakeFree(PHANDLE_TABLE Table)
{
    ULONG Index;
    KIRQL Irql;

    KeAcquireSpinLock(&Table->Lock, &Irql);
    Index = Table->FirstFree;
    if (Index != 0) {
        Table->FirstFree = ObpEntry(Table, Index)->NextFree;
        if (Table->FirstFree == 0) {
            Table->LastFree = 0;
        }
        Table->Count++;
    }
    KeReleaseSpinLock(&Table->Lock, Irql);
    return Index;
}

/**
 * ObpAllocateEntry - enters an object in a table.
 *
 * @Value    body and attribute bits; the caller's reference goes to the entry
 * @Index    gets the entry's index
 * returns   STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES: no memory, or 8.3 million handles; STATUS_QUOTA_EXCEEDED
 *
 * IRQL: <= APC_LEVEL. Locks: the table's, inside.
 */
NTSTATUS ObpAllocateEntry(PHANDLE_TABLE Table, ULONG64 Value, ACCESS_MASK Granted, PULONG Index)
{
    POBP_HANDLE_ENTRY Entry;

    for (;;) {
        *Index = ObpTakeFree(Table);
        if (*Index != 0) {
            break;
        }
        NTSTATUS Status = ObpGrowTable(Table);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    }
    Entry = ObpEntry(Table, *Index);
    Entry->Granted = Granted;
    _ReadWriteBarrier();
    Entry->Value = Value; /* from here on others find it */
    return STATUS_SUCCESS;
}

/**
 * ObpLockEntry - holds an entry still.
 *
 * returns  the entry, NULL: no such entry, or it is free. Its Value has OBP_ENTRY_LOCKED set.
 *
 * IRQL: <= DISPATCH_LEVEL; DISPATCH_LEVEL on success, until ObpUnlockEntry.
 */
POBP_HANDLE_ENTRY ObpLockEntry(PHANDLE_TABLE Table, ULONG Index, PKIRQL Irql)
{
    POBP_HANDLE_ENTRY Entry = ObpEntry(Table, Index);
    ULONG64 Value;

    if (Entry == NULL) {
        return NULL;
    }
    KeRaiseIrql(DISPATCH_LEVEL, Irql); /* the holder must not be preempted: others spin */
    while ((Value = Entry->Value) != 0) {
        if ((Value & OBP_ENTRY_LOCKED) == 0 &&
            (ULONG64)InterlockedCompareExchange64((volatile LONG64 *)&Entry->Value, (LONG64)(Value | OBP_ENTRY_LOCKED),
                                                  (LONG64)Value) == Value) {
            return Entry;
        }
        YieldProcessor();
    }
    KeLowerIrql(*Irql);
    return NULL;
}

/* Lets an entry go with a new value, 0: it is free, and ObpFreeEntry follows. IRQL: DISPATCH_LEVEL to Irql. */
VOID ObpUnlockEntry(POBP_HANDLE_ENTRY Entry, ULONG64 Value, KIRQL Irql)
{
    ASSERT((Entry->Value & OBP_ENTRY_LOCKED) != 0);
    _ReadWriteBarrier();
    Entry->Value = Value & ~OBP_ENTRY_LOCKED;
    KeLowerIrql(Irql);
}

/* Gives an entry with Value 0 back for use. IRQL: <= DISPATCH_LEVEL. Locks: the table's, inside. */
VOID ObpFreeEntry(PHANDLE_TABLE Table, ULONG Index)
{
    KIRQL Irql;

    KeAcquireSpinLock(&Table->Lock, &Irql);
    ASSERT(ObpEntry(Table, Index)->Value == 0);
    ObpAppendFree(Table, Index);
    Table->Count--;
    KeReleaseSpinLock(&Table->Lock, Irql);
}

/* Makes a table, which nobody else uses yet, as large as another one is now. IRQL: <= APC_LEVEL. */
NTSTATUS ObpGrowLike(PHANDLE_TABLE Table, PHANDLE_TABLE Model)
{
    ULONG Capacity = Model->Capacity;
    NTSTATUS Status = STATUS_SUCCESS;

    while (NT_SUCCESS(Status) && Table->Capacity < Capacity) {
        Status = ObpGrowTable(Table);
    }
    return Status;
}

/* Fills an entry of a table that nobody else uses yet; ObpRebuildFreeList follows. */
VOID ObpSetEntry(PHANDLE_TABLE Table, ULONG Index, ULONG64 Value, ACCESS_MASK Granted)
{
    POBP_HANDLE_ENTRY Entry = ObpEntry(Table, Index);

    Entry->Granted = Granted;
    Entry->Value = Value;
}

VOID ObpRebuildFreeList(PHANDLE_TABLE Table)
{
    Table->FirstFree = Table->LastFree = Table->Count = 0;
    for (ULONG Index = 1; Index < Table->Capacity; Index++) {
        if (ObpEntry(Table, Index)->Value == 0) {
            ObpAppendFree(Table, Index);
        } else {
            Table->Count++;
        }
    }
}

ULONG ObpTableCapacity(PHANDLE_TABLE Table)
{
    return Table->Capacity;
}

ULONG ObpTableCount(PHANDLE_TABLE Table)
{
    return Table->Count;
}

PEPROCESS ObpTableProcess(PHANDLE_TABLE Table)
{
    return Table->Process;
}

/* A thread of another process comes in; FALSE: the table is being emptied for good. IRQL: <= APC_LEVEL. */
BOOLEAN ObpEnterTable(PHANDLE_TABLE Table)
{
    return ExAcquireRundownProtection(&Table->Rundown);
}

VOID ObpLeaveTable(PHANDLE_TABLE Table)
{
    ExReleaseRundownProtection(&Table->Rundown);
}

/* Waits until nobody is in and lets nobody in again; once for each table. PASSIVE_LEVEL. */
VOID ObpStopTable(PHANDLE_TABLE Table)
{
    ExWaitForRundownProtectionRelease(&Table->Rundown);
}

NTSTATUS ObCreateHandleTable(PEPROCESS Process, PVOID *Result)
{
    NTSTATUS Status = ObpAllocatePart(Process, sizeof(HANDLE_TABLE), Result);
    PHANDLE_TABLE Table = *Result;

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    KeInitializeSpinLock(&Table->Lock);
    VfNameLock(&Table->Lock, "HANDLE_TABLE.Lock");
    ExInitializeRundownProtection(&Table->Rundown);
    Table->Process = Process;
    return STATUS_SUCCESS;
}

/* The memory of a table without handles. IRQL: <= APC_LEVEL. */
VOID ObpFreeTable(PHANDLE_TABLE Table)
{
    for (ULONG Leaf = 0; Leaf < Table->Capacity / OBP_LEAF_ENTRIES; Leaf++) {
        ObpFreePart(Table->Process, PAGE_SIZE, Table->Middle[Leaf / OBP_MIDDLE_PAGES][Leaf % OBP_MIDDLE_PAGES]);
    }
    for (ULONG Top = 0; Top < OBP_TOP_PAGES; Top++) {
        if (Table->Middle[Top] != NULL) {
            ObpFreePart(Table->Process, PAGE_SIZE, Table->Middle[Top]);
        }
    }
    ObpFreePart(Table->Process, sizeof(*Table), Table);
}
