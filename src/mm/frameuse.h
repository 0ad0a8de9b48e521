/*
 * frameuse.h - what each frame of RAM is used for, as people are told.
 */
#pragma once

#include "misection.h"

/* One of these for every frame; which is decided in frameuse.c. */
typedef enum _MI_FRAME_USE {
    MiUseUnused,       /* zeroed, free or bad */
    MiUsePrivate,      /* a process's own: stacks, heaps, copies of pages of images */
    MiUseImage,        /* of an image section: one copy for all processes */
    MiUseMappedFile,   /* of a file that programs have sections of */
    MiUseCache,        /* of a file that only the cache manager has */
    MiUseShared,       /* of a section without a file */
    MiUsePageTable,    /* of any level, of kernel and processes */
    MiUseWorkingSet,   /* working-set lists */
    MiUsePagedPool,    /* but for the next */
    MiUsePrototype,    /* paged pool whose prototype PTEs name frames */
    MiUseNonPagedPool, /* with contiguous memory */
    MiUseStack,        /* kernel stacks */
    MiUseSystemPte,    /* other pages that system PTEs own */
    MiUsePfnDatabase,
    MiUseKernelImage, /* ntoskrnl.exe */
    MiUseDriver,      /* drivers, boot drivers among them */
    MiUseMdl, /* no PTE owns it: frames that drivers have through an MDL; what the machine or the loader holds */
    MiUseAwe, /* a program's physical pages: none yet */
    MiUseMax
} MI_FRAME_USE;

/* Frames by use and state; their sum is RAM. */
typedef struct _MI_FRAME_COUNTS {
    ULONG64 Of[MiUseMax][MiStateMax];
    ULONG64 Standby[MI_STANDBY_LISTS]; /* by priority */
} MI_FRAME_COUNTS, *PMI_FRAME_COUNTS;

typedef enum _MI_FILE_COLUMN { MiFileActive, MiFileStandby, MiFileModified, MiFileColumns } MI_FILE_COLUMN;

/* Frames of one control area of a file. */
typedef struct _MI_FILE_FRAMES {
    PCONTROL_AREA ControlArea; /* referenced */
    MI_FRAME_USE Use;          /* image, mapped file or cache, at the moment of the snapshot */
    ULONG64 Frames[MiFileColumns];
} MI_FILE_FRAMES, *PMI_FILE_FRAMES;

/* One moment: by use, and by file. */
typedef struct _MI_FRAME_SNAPSHOT {
    MI_FRAME_COUNTS Counts;
    ULONG FileCount;
    ULONG64 OtherFiles; /* frames of files that came while room was made for the table; 0 in general */
    PMI_FILE_FRAMES Files;
} MI_FRAME_SNAPSHOT, *PMI_FRAME_SNAPSHOT;

/**
 * MiFrameUse - what a frame is used for.
 *
 * @File    receives the control area, of images, mapped files and the cache; else NULL
 *
 * IRQL: DISPATCH_LEVEL. Locks: PFN lock.
 */
MI_FRAME_USE MiFrameUse(PFN_FRAME Frame, PCONTROL_AREA *File);
PCSTR MiUseName(MI_FRAME_USE Use);
PCSTR MiStateName(ULONG State);

/**
 * MiTakeFrameSnapshot - counts all frames under one hold of the PFN lock.
 *
 * @Codes   receives a byte for each frame of RAM in the order of MiRamRuns, MI_FRAME_CODE; may be NULL
 *
 * IRQL: PASSIVE_LEVEL; no locks. Fails: STATUS_INSUFFICIENT_RESOURCES. Undone by MiReleaseFrameSnapshot.
 */
NTSTATUS MiTakeFrameSnapshot(PMI_FRAME_SNAPSHOT Snapshot, PUCHAR Codes);
VOID MiReleaseFrameSnapshot(PMI_FRAME_SNAPSHOT Snapshot);

#define MI_FRAME_CODE(Use, State) ((UCHAR)(((Use) << 3) | (State)))
#define MI_CODE_USE(Code)         ((Code) >> 3)
#define MI_CODE_STATE(Code)       ((Code) & 7)
C_ASSERT(MiStateMax <= 8 && MiUseMax <= 26); /* three bits, and a letter */

/* OriginalPte of the frames of a kernel stack, which nothing else needs: says what the frame is. */
#define MI_STACK_MARK 'katS'
