/*
 * testfs.h - a file system that exists only in the test kernel: files made of a pattern.
 */
#pragma once

#include <ntos/ktap.h>
#include <ntos/section.h>

/* One file. The test owns the memory; the file object and, later, the section refer to it until TestFsClose returned. */
typedef struct _TESTFS_FILE {
    FSRTL_COMMON_FCB_HEADER Header; /* first: Mm takes a section's size from it */
    PFILE_OBJECT FileObject;
    SECTION_OBJECT_POINTERS Pointers;
    ULONG64 Size; /* bytes; what a read delivers past it is garbage, so that a tail that is not zeroed shows */
    ULONG Seed;
    const UCHAR *Content;   /* Size bytes, instead of the pattern; NULL: the pattern */
    PKEVENT Gate;           /* a read waits for it before it delivers; NULL: no wait */
    ULONG64 FailOffset;     /* a read that contains this offset fails ... */
    NTSTATUS FailStatus;    /* ... with this status; STATUS_SUCCESS: never */
    LONG FailCount;         /* ... this many times */
    BOOLEAN ReportWhole;    /* Information counts the garbage past the end, as a device that reads sectors would */
    volatile LONG Reads;    /* paging reads received */
    volatile LONG Pages;    /* pages they asked for */
    volatile LONG Waiting;  /* reads that wait at the gate now */
    volatile LONG Nested;   /* reads in which MmIsRecursiveIoFault said that a fault is behind them */
    volatile LONG Breaches; /* reads that broke the paging-I/O contract */
    KEVENT Closed;          /* IRP_MJ_CLOSE came: nothing of Mm or Cc refers to the file any more */
} TESTFS_FILE, *PTESTFS_FILE;

NTSTATUS TestFsOpen(PTESTFS_FILE File, ULONG64 Size, ULONG Seed);
/* Drops the test's reference, throws the section away and waits for the close; FALSE: it did not come within 10 s. */
BOOLEAN TestFsClose(PTESTFS_FILE File);
UCHAR TestFsByte(const TESTFS_FILE *File, ULONG64 Offset);
/* Compares memory with the file; returns the number of wrong bytes. May fault. */
ULONG64 TestFsCompare(const TESTFS_FILE *File, ULONG64 Offset, const VOID *Data, SIZE_T Bytes);

/* A slot of the system cache that the cache manager never uses. */
#define TESTFS_SLOT(Number) ((PVOID)(MM_SYSTEM_CACHE_BASE + (1000000ULL + (Number)) * 0x40000))

/* A view of a file at a slot, without the cache manager. */
typedef struct _TESTFS_VIEW {
    PCONTROL_AREA ControlArea;
    PUCHAR Base;
    ULONG Bytes;
} TESTFS_VIEW, *PTESTFS_VIEW;

NTSTATUS TestFsMap(PTESTFS_FILE File, ULONG64 Offset, ULONG Slot, PTESTFS_VIEW View);
VOID TestFsUnmap(PTESTFS_VIEW View);
