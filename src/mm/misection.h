/*
 * misection.h - sections inside Mm: control areas, subsections, prototype PTEs, in-page blocks.
 *
 * A file's data is described once: CONTROL_AREA -> SUBSECTION -> prototype PTEs. The prototype PTE owns the frame; views only share it.
 * (p) below is the PFN lock, (g) the control area's Growth mutex, (c) constant after creation.
 */
#pragma once

#include "mip.h"
#include <ntos/peimage.h>
#include <ntos/section.h>

#define MI_TAG_CONTROL_AREA 'aCmM'
#define MI_TAG_SUBSECTION   'sSmM'
#define MI_TAG_PROTOTYPE    'tSmM' /* paged pool */
#define MI_TAG_INPAGE       'pImM'
#define MI_TAG_MDL          'ldmM'
#define MI_TAG_IMAGE_DATA   'iSmM'

/*
 * Prototype PTEs are made a subsection at a time: 4096 PTEs are 32 KB of paged pool and 16 MB of file. A section so large
 * that it would need more than 4096 subsections has larger ones.
 */
#define MI_SUBSECTION_PAGES  4096u
#define MI_BLOCK_SUBSECTIONS 4096u

/* 16 TB of file: prototype arrays stay below 8 MB a subsection. */
#define MI_MAXIMUM_SECTION_PAGES (1ULL << 32)

typedef struct _SUBSECTION {
    PCONTROL_AREA ControlArea; /* (c) */
    PMMPTE Prototypes;         /* (p) paged pool, NULL until a view needs them; (g) while it is made */
    ULONG64 StartingPage;      /* (c) first file page */
    ULONG PteCount;            /* (c) */
} SUBSECTION, *PSUBSECTION;

/* Subsections of equal size made together: one block at creation, one for each extension. */
typedef struct _MI_SUBSECTION_BLOCK {
    struct _MI_SUBSECTION_BLOCK *Next; /* (p) later part of the file */
    ULONG64 StartingPage;              /* (c) */
    ULONG64 Pages;                     /* (c) */
    ULONG PagesEach;                   /* (c) all but the last have this many; 0, of images: each has its own number */
    ULONG Count;                       /* (c) */
    volatile ULONG Recent; /* of images: index of the one that was last asked for; a hint, written by anybody */
    SUBSECTION Subsection[];
} MI_SUBSECTION_BLOCK, *PMI_SUBSECTION_BLOCK;

struct _MI_INPAGE;

struct _CONTROL_AREA {
    LIST_ENTRY Link;                   /* (p) in MiControlAreas, or the list of the dead */
    PFILE_OBJECT FileObject;           /* (c) referenced; NULL: backed by the page file */
    PSECTION_OBJECT_POINTERS Pointers; /* (c) kept alive by FileObject */
    ULONG Sections;                    /* (p) opens by Cc, section objects, calls in progress */
    ULONG Views;                       /* (p) mapped views */
    ULONG UserSections;                /* (p) section objects, and their views, which outlive them */
    ULONG64 Commit;                    /* (p) pages charged: those of a section without a file */
    ULONG64 Frames;                    /* (p) prototype PTEs that name a frame; files only */
    ULONG64 Pages;                     /* (p) of the section; only grows */
    ULONG64 FileSize;                  /* (p) bytes; what lies past it reads as zero */
    PMI_SUBSECTION_BLOCK Blocks;       /* (p) in file order */
    FAST_MUTEX Growth;                 /* extension and prototype arrays; <= APC_LEVEL; pool is allocated under it */
    struct _MI_IMAGE *Image;           /* (c) NULL: not an image */
    BOOLEAN Reserve;                   /* (c) SEC_RESERVE: a prototype PTE of 0 is a page that is not committed */
    BOOLEAN LargePages;                /* (c) SEC_LARGE_PAGES: all frames are there, in runs of 512 */
    UCHAR PageProtection;              /* (c) without a file: MM_READWRITE, with the cache type of the frames */
    BOOLEAN DeleteOnClose;             /* (p) throw the frames away with the last user */
    BOOLEAN BeingDeleted;              /* (p) unreachable, in the hands of the section thread */
};

/* What an image's control area knows beyond a file's; subsection N is part N. All of it is constant. */
typedef struct _MI_IMAGE_PART { /* headers, or a section of the image */
    ULONG64 StartingPage;
    ULONG Pages;
    ULONG Protection;            /* MM_...: what its pages are mapped with */
    ULONG FileOffset, FileBytes; /* the rest is zero */
} MI_IMAGE_PART, *PMI_IMAGE_PART;

typedef struct _MI_IMAGE {
    ULONG64 Base,
        Delta;         /* where it lies in every process that has the addresses free; how far from the preferred base */
    ULONG64 FileBytes; /* of the file */
    ULONG BaseField;   /* RVA of ImageBase in the headers */
    PUCHAR Relocations; /* nonpaged pool, checked; NULL: there are none, or none are needed */
    ULONG RelocationBytes;
    PULONG FirstRelocation; /* by page: offset of its block + 1; 0: none */
    SECTION_IMAGE_INFORMATION Information;
    PE_HEADER Header;
    ULONG Parts;
    MI_IMAGE_PART Part[];
} MI_IMAGE, *PMI_IMAGE;

/* A section object (MmCreateSection). */
typedef struct _SECTION {
    PCONTROL_AREA ControlArea; /* (c) NULL: \Device\PhysicalMemory */
    ULONG64 Bytes;             /* (p) only grows */
    ULONG Protection;          /* (c) MM_...: the most that a view may have */
    ULONG Attributes;          /* (c) SEC_... */
} SECTION, *PSECTION;

extern LIST_ENTRY MiControlAreas; /* (p) those that can be found, and those without a file */

/* ---- section.c ---- */
VOID MiInitializeSections(VOID);                          /* phase 1 */
VOID MiReferenceControlArea(PCONTROL_AREA ControlArea);   /* PFN lock held */
VOID MiDereferenceControlArea(PCONTROL_AREA ControlArea); /* no PFN lock */
/* The last reason to live may have gone: hands the control area to the section thread. PFN lock held. */
VOID MiCheckControlArea(PCONTROL_AREA ControlArea);
/* The data control area of a file, referenced; NULL: none. No PFN lock. */
PCONTROL_AREA MiFindDataControlArea(PSECTION_OBJECT_POINTERS Pointers);

/* A control area of its own for a section without a file, referenced. @Reserve: its pages are committed later. */
NTSTATUS MiCreatePageFileControlArea(ULONG64 Bytes, BOOLEAN Reserve, PCONTROL_AREA *ControlArea);
/* An image's, over the blocks of a file's; takes @Image and @Blocks over. See MmOpenDataSection, whose twin it is. */
NTSTATUS MiOpenImageControlArea(PFILE_OBJECT FileObject, PMI_IMAGE Image, PMI_SUBSECTION_BLOCK Blocks,
                                PCONTROL_AREA *ControlArea);
/* The image control area of a file, referenced; NULL: none. No PFN lock. */
PCONTROL_AREA MiFindImageControlArea(PSECTION_OBJECT_POINTERS Pointers);
/* The data section of a file, as large as the file, referenced; close it with MmCloseDataSection. */
NTSTATUS MiOpenFileControlArea(PFILE_OBJECT FileObject, ULONG64 Bytes, PCONTROL_AREA *ControlArea);

/* ---- imagesect.c, imagepage.c ---- */
NTSTATUS MiCreateImageControlArea(PFILE_OBJECT FileObject, PCONTROL_AREA *ControlArea); /* PASSIVE_LEVEL */
VOID MiFreeImage(PMI_IMAGE Image);
/* Fills the frames of a cluster of an image's pages. IRQL: <= APC_LEVEL; no locks. */
NTSTATUS MiReadImageCluster(struct _MI_INPAGE *Block);
/* Bytes of a file, by way of its data section. @Buffer: nonpaged. IRQL: <= APC_LEVEL; no locks. */
NTSTATUS MiReadFileBytes(PCONTROL_AREA Data, ULONG64 Offset, ULONG Bytes, PVOID Buffer);
/* The part that a subsection of an image is. */
FORCEINLINE PMI_IMAGE_PART MiPartOf(const SUBSECTION *Subsection)
{
    PCONTROL_AREA ControlArea = Subsection->ControlArea;

    return &ControlArea->Image->Part[Subsection - ControlArea->Blocks->Subsection];
}

/* ---- sectobj.c ---- */
NTSTATUS MiInitializeSectionObjects(VOID); /* after ObInitialize */
VOID MiInitializeSharedPage(VOID);         /* after that (sharedpage.c) */

/* ---- subsection.c ---- */
PMI_SUBSECTION_BLOCK MiCreateSubsectionBlock(PCONTROL_AREA ControlArea, ULONG64 StartingPage, ULONG64 Pages);
VOID MiDeleteSubsectionBlocks(PCONTROL_AREA ControlArea);
/* The subsection that holds a file page; NULL: past the end. PFN lock, or a reason why blocks stay (they only grow). */
PSUBSECTION MiSubsectionOfPage(PCONTROL_AREA ControlArea, ULONG64 Page);
NTSTATUS MiCreatePrototypes(PCONTROL_AREA ControlArea, ULONG64 FirstPage, ULONG64 Pages);
/* Commits pages of a SEC_RESERVE section whose prototype PTEs exist. Fails: STATUS_COMMITMENT_LIMIT. IRQL: <= APC_LEVEL. */
NTSTATUS MiCommitSectionPages(PCONTROL_AREA ControlArea, ULONG64 FirstPage, ULONG64 Pages);
PMI_SUBSECTION_BLOCK MiCreateImageBlock(PMI_IMAGE Image);

FORCEINLINE ULONG64 MiPageOfPrototype(const SUBSECTION *Subsection, const MMPTE *Prototype)
{
    return Subsection->StartingPage + (ULONG64)(Prototype - Subsection->Prototypes);
}

/* ---- imagenotify.c: PASSIVE_LEVEL, no locks ---- */
VOID MiNotifyDriverImage(struct _KLDR_DATA_TABLE_ENTRY *Entry);
VOID MiNotifyImageView(PCONTROL_AREA ControlArea, PVOID Base, SIZE_T Bytes); /* in the current process */

/* ---- largesect.c ---- */
/* Makes all prototype PTEs of a section without a file and gives them their frames, for good. PASSIVE_LEVEL; no locks. */
NTSTATUS MiFillLargeSection(PCONTROL_AREA ControlArea);
VOID MiEmptyLargeSection(PCONTROL_AREA ControlArea); /* the section thread's; no locks */

/* ---- protopte.c: PFN lock held ---- */
typedef enum _MI_PROTOTYPE_STATE {
    MiPrototypeMapped,      /* the PTE is valid now */
    MiPrototypeReading,     /* its frame is being read: wait on the in-page block */
    MiPrototypeAbsent,      /* in the file only */
    MiPrototypeDemandZero,  /* no content yet */
    MiPrototypeNotResident, /* the page that holds the prototype PTE is not in memory: touch it */
    MiPrototypeNothing      /* no such page */
} MI_PROTOTYPE_STATE;

/* Frame that holds a prototype PTE; MI_NO_FRAME32: not resident now. IRQL: any. */
ULONG MiFrameOfPrototype(PMMPTE Prototype);
MI_PROTOTYPE_STATE MiLookAtPrototype(PMMPTE Prototype);
MMPTE MiMakePrototypeValid(PFN_FRAME Frame); /* what a prototype PTE holds while views map its frame */
PFN_FRAME MiShareFrame(PMMPTE Prototype);
PFN_FRAME MiShareZeroedFrame(PMMPTE Prototype);
MI_PROTOTYPE_STATE MiMapPrototype(PMMPTE Pte, PVOID Address, PMMPTE Prototype);
BOOLEAN MiMapZeroedPrototype(PMMPTE Pte, PVOID Address, PMMPTE Prototype);
/* Gives up the frame of one prototype PTE that no view maps. FALSE: it is mapped or locked. */
BOOLEAN MiDeletePrototypeFrame(PCONTROL_AREA ControlArea, PMMPTE Prototype);
ULONG64 MiViewPteBits(ULONG Protection);

/* ---- flush.c ---- */
ULONG MiVerifySections(VOID);
VOID MiCountSectionPages(PCONTROL_AREA ControlArea, PMM_SECTION_PAGES Pages);

/* ---- view.c ---- */
VOID MiUnmapViewPtes(PMMPTE First, ULONG Count);
/* A view comes or goes. @User: not the cache manager's, so it stands in the way of truncation. Takes the PFN lock. */
VOID MiCountView(PCONTROL_AREA ControlArea, LONG Delta, BOOLEAN User);

/* ---- inpage.c ---- */
#define MI_CLUSTER_PAGES 16 /* 64 KB: a frame run that the window can map in one batch */

typedef struct _MI_INPAGE {
    KEVENT Finished;        /* notification: Status is valid and the frames have left the read state */
    LONG References;        /* (p) the reader and those who wait with it */
    NTSTATUS Status;        /* written before Finished is signalled */
    IO_STATUS_BLOCK Io;     /* reader only */
    KEVENT IoEvent;         /* reader only */
    LARGE_INTEGER Offset;   /* reader only: file offset of the first page, bytes */
    PSUBSECTION Subsection; /* reader only */
    ULONG64 ValidBytes;     /* reader only: of the cluster, below the end of the file */
    ULONG Pages;            /* (c) once published */
    MDL Mdl;                /* describes Frame[] */
    PFN_NUMBER Frame[MI_CLUSTER_PAGES];
} MI_INPAGE, *PMI_INPAGE;
C_ASSERT(FIELD_OFFSET(MI_INPAGE, Frame) == FIELD_OFFSET(MI_INPAGE, Mdl) + sizeof(MDL));

/* Makes the page behind a view's PTE valid, reading it if need be. No locks; IRQL <= APC_LEVEL. */
NTSTATUS MiResolvePrototypeFault(PMMPTE Pte, PVOID Address);
NTSTATUS MiReadPrototype(PMMPTE Prototype);
/* Waits until a page that is being read has been read. PFN lock held on entry, dropped on return. */
NTSTATUS MiWaitForInPage(PMI_INPAGE Block, KIRQL OldIrql);

/* ---- squeeze.c ---- */
/* Takes up to so many bytes of available frames and gives them back; returns the bytes taken. PASSIVE_LEVEL. */
ULONG64 MiSqueeze(ULONG64 Bytes);

/* ---- fault.c ---- */
/* Makes one page of the kernel half valid for an access. No locks; IRQL <= APC_LEVEL. As MmAccessFault returns. */
NTSTATUS MiMakeSystemPageValid(PVOID Address, BOOLEAN Write);
