/*
 * vfp.h - inside the verifier: classes, held locks, reports.
 */
#pragma once

#include <ntos/ke.h>
#include <ntos/ps.h>
#include <ntos/vf.h>

#define VF_CLASSES 512 /* named locks of the tree: about 60; the rest are places in tests and drivers */
#define VF_FRAMES  16  /* of a stack that is kept */

typedef struct _VF_STACK {
    ULONG Depth;
    ULONG64 Address[VF_FRAMES];
} VF_STACK, *PVF_STACK;

/* Number 0 is no class. Entries are never freed; Next is written last. */
typedef struct _VF_CLASS {
    PCSTR Name;             /* (c) NULL: a place */
    PVOID Site;             /* (c) the place that took the first such lock, or named it */
    UCHAR Kind;             /* (c) of the first lock */
    BOOLEAN Test;           /* (c) the place is in a suite */
    volatile UCHAR Lowest;  /* lowest IRQL at which one was held */
    volatile UCHAR Highest; /* highest interrupt whose routine took one; 0: none did */
    volatile LONG64 Taken;  /* how often, about */
} VF_CLASS, *PVF_CLASS;

extern VF_CLASS VfClasses[VF_CLASSES];
extern volatile ULONG VfClassCount; /* used entries, 0 included */

/* One processor's. An interrupt uses what lies above what it interrupted, and leaves that as it was. */
#define VF_PROCESSOR_LOCKS 24 /* spin locks held at once, nested interrupts included; the deepest seen is 7 */
typedef struct DECLSPEC_CACHEALIGN _VF_PROCESSOR {
    VF_HELD Held[VF_PROCESSOR_LOCKS];
    ULONG Count;           /* entries up to the last used one */
    ULONG Base;            /* entries below it belong to what was interrupted */
    ULONG Interrupts;      /* interrupts and DPCs being served */
    ULONG Busy;            /* the verifier itself runs: its locks are not recorded */
    ULONG Stopped;         /* VfStopWatch: no tick counts */
    volatile ULONG Ticks;  /* clock interrupts taken here, but for those while Stopped */
    ULONG InterruptSince;  /* tick at which the innermost device interrupt began */
    ULONG InterruptVector; /* its vector; 0: none */
    PVOID volatile Dpc;    /* routine of the DPC that runs, or NULL */
    ULONG DpcSince;        /* tick at which it began */
    ULONG DpcTicksMaximum; /* most ticks that a DPC took */
    ULONG IsrTicksMaximum;
    ULONG HeldTicksMaximum; /* most ticks for which a spin lock was held */
} VF_PROCESSOR, *PVF_PROCESSOR;

extern VF_PROCESSOR VfProcessors[KI_MAXIMUM_PROCESSORS];
extern BOOLEAN VfActive;

/* This processor's state, NULL: nothing is to be recorded now. IRQL: any; a caller below DISPATCH_LEVEL may move. */
PVF_PROCESSOR VfEnter(VOID);

/* The verifier's own lock: for its tables, any IRQL, interrupts off. Nothing is called under it that takes another. */
BOOLEAN VfLockTables(VOID);
VOID VfUnlockTables(BOOLEAN Enabled);

/* ---- class.c ---- */

VOID VfInitializeClasses(VOID);
VF_CLASS_NUMBER VfClassOfName(PCSTR Name); /* a new one for a new name. Under the tables' lock */
BOOLEAN VfSameText(PCSTR One, PCSTR Other);
/* "NAME", or "IMAGE+0xOFFSET/kind" for a place; "test+0x..." in a suite. Returns Text. */
PCSTR VfClassName(VF_CLASS_NUMBER Number, PSTR Text, ULONG Bytes);
/* Forgets every named lock in a range; returns how many resources were among them. IRQL: any. */
ULONG VfForgetRange(PVOID Base, SIZE_T Bytes);

/* ---- held.c ---- */

BOOLEAN VfHoldsPrintLock(PVF_PROCESSOR Processor); /* what is printed now would wait for itself */

/* ---- order.c ---- */

/* Notes that a lock of class To is taken while one of class From is held; reports a cycle. */
VOID VfNoteOrder(VF_CLASS_NUMBER From, VF_CLASS_NUMBER To);

/* ---- unload.c ---- */

#define VF_TAG_IRP ' prI' /* src/io/iop.h */

/* ---- stack.c ---- */

VOID VfShowStacks(VOID);

/* ---- report.c ---- */

VOID VfCaptureStack(PKTRAP_FRAME Frame, PVF_STACK Stack);
VOID VfPrintAddresses(const ULONG64 *Addresses, ULONG Depth);
VOID VfFlushReports(VOID); /* prints those that could not be printed when they were made */
