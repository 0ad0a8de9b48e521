/*
 * handletable.h - entries of a handle table, for the files that deal in handles (src/ob/handletable.c tells the design).
 */
#pragma once

#include "obp.h"

/* Bits of an entry's Value beside the object's address, which is a multiple of 16. */
#define OBP_ENTRY_LOCKED  0x1ULL /* some processor is looking at the entry, at DISPATCH_LEVEL */
#define OBP_ENTRY_INHERIT 0x2ULL /* OBJ_INHERIT */
#define OBP_ENTRY_PROTECT 0x4ULL /* OBJ_PROTECT_CLOSE */
#define OBP_ENTRY_AUDIT   0x8ULL /* OBJ_AUDIT_OBJECT_CLOSE */
#define OBP_ENTRY_BITS    0xFULL

/* Attributes of handles that the DDK's headers leave out. */
#define OBJ_PROTECT_CLOSE      0x1U
#define OBJ_AUDIT_OBJECT_CLOSE 0x4U

/* Handles of the kernel's table have these bits set, all others none of them. */
#define OBP_KERNEL_BITS 0xFFFFFFFF80000000ULL

/* (e) the entry's own lock bit  (t) the table's lock */
typedef struct _OBP_HANDLE_ENTRY {
    volatile ULONG64 Value; /* (e) body and OBP_ENTRY_ bits; 0: free. The body is referenced. */
    ACCESS_MASK Granted;    /* (e) */
    ULONG NextFree;         /* (t) index of the next free entry, 0: none */
} OBP_HANDLE_ENTRY, *POBP_HANDLE_ENTRY;
C_ASSERT(sizeof(OBP_HANDLE_ENTRY) == 16);

FORCEINLINE PVOID ObpEntryObject(ULONG64 Value)
{
    return (PVOID)(Value &
                   ~OBP_ENTRY_BITS); /* NOLINT(performance-no-int-to-ptr): an address and four bits in one word */
}

/* What an entry's bits and OBJ_ attributes say of one another. */
ULONG ObpAttributesOfValue(ULONG64 Value);
ULONG64 ObpValueBits(ULONG Attributes);

/* All in handletable.c, where the contracts are. */
NTSTATUS ObpAllocateEntry(PHANDLE_TABLE Table, ULONG64 Value, ACCESS_MASK Granted, PULONG Index);
POBP_HANDLE_ENTRY ObpLockEntry(PHANDLE_TABLE Table, ULONG Index, PKIRQL Irql);
VOID ObpUnlockEntry(POBP_HANDLE_ENTRY Entry, ULONG64 Value, KIRQL Irql);
VOID ObpFreeEntry(PHANDLE_TABLE Table, ULONG Index);
NTSTATUS ObpGrowLike(PHANDLE_TABLE Table, PHANDLE_TABLE Model);
VOID ObpSetEntry(PHANDLE_TABLE Table, ULONG Index, ULONG64 Value, ACCESS_MASK Granted);
VOID ObpRebuildFreeList(PHANDLE_TABLE Table);
ULONG ObpTableCapacity(PHANDLE_TABLE Table);
ULONG ObpTableCount(PHANDLE_TABLE Table);
PEPROCESS ObpTableProcess(PHANDLE_TABLE Table);
BOOLEAN ObpEnterTable(PHANDLE_TABLE Table);
VOID ObpLeaveTable(PHANDLE_TABLE Table);
VOID ObpStopTable(PHANDLE_TABLE Table);
VOID ObpFreeTable(PHANDLE_TABLE Table);

/* handle.c */
NTSTATUS ObpMakeHandle(PHANDLE_TABLE Table, PVOID Object, ULONG Attributes, ACCESS_MASK Granted, PEPROCESS Source,
                       PHANDLE Handle);

/* ---- filter.c ---- */

#define OBP_MOST_FILTERS 8 /* routines that one handle is shown to: more than there are drivers that want to see it */

struct _OBP_FILTER;

/* One handle's way past them. */
typedef struct _OBP_FILTER_CALL {
    PVOID Object;
    POBJECT_TYPE Type;
    OB_OPERATION Operation;
    BOOLEAN Kernel;           /* a kernel handle */
    PEPROCESS Source, Target; /* of a duplication */
    ULONG Count;
    struct {
        struct _OBP_FILTER *Filter; /* protected */
        OB_OPERATION_REGISTRATION *Operation;
        PVOID Context;
    } Called[OBP_MOST_FILTERS];
} OBP_FILTER_CALL, *POBP_FILTER_CALL;

extern volatile LONG ObpFilterCount;
VOID ObpInitializeFilters(VOID);
VOID ObpFilterBefore(POBP_FILTER_CALL Call, PACCESS_MASK Granted);
VOID ObpFilterAfter(POBP_FILTER_CALL Call, ACCESS_MASK Granted, NTSTATUS Status);
NTSTATUS ObpCountHandle(PEPROCESS Process, PVOID Object, ULONG Attributes, ACCESS_MASK Granted);
VOID ObpUncountHandle(PEPROCESS Process, PVOID Object, ACCESS_MASK Granted);
NTSTATUS ObpReferenceEntry(PEPROCESS Process, HANDLE Handle, KPROCESSOR_MODE AccessMode, ULONG Tag, PVOID *Object,
                           PACCESS_MASK Granted, PULONG Attributes);
NTSTATUS ObpCloseHandle(PEPROCESS Process, HANDLE Handle, KPROCESSOR_MODE PreviousMode);
PHANDLE_TABLE ObpProcessTable(PEPROCESS Process);
