/*
 * vf.h - the verifier of the chk flavour, as the rest of the kernel sees it; in fre every call here is nothing.
 *
 * A lock belongs to a class: a name given by VF_NAME_LOCK (one variable, or an array) or VfNameLock (a lock inside something
 * allocated), otherwise the place that takes it. docs/locking.md lists the classes by these names. A report is printed with
 * its stacks, counted, and fails the suite case that ran when it was made.
 */
#pragma once

#include <ntos/ntos.h>

typedef enum _VF_KIND {
    VfSpinLock,
    VfQueuedSpinLock,
    VfListSpinLock, /* the caller's lock of an ExInterlocked routine: one class for all */
    VfFastMutex,
    VfGuardedMutex,
    VfPushLock,
    VfResource,
    VfMutant,
    VfKinds
} VF_KIND;

typedef enum _VF_REPORT_KIND {
    VfReportOrder,  /* locks in a cycle */
    VfReportIrql,   /* a routine at a level its contract forbids */
    VfReportHeld,   /* a spin lock held too long */
    VfReportDpc,    /* a DPC that takes too long */
    VfReportIsr,    /* an interrupt service routine that takes too long */
    VfReportLeak,   /* a driver has left something behind */
    VfReportFreed,  /* memory freed with a live object in it */
    VfReportIrp,    /* an IRP misused */
    VfReportThread, /* a thread that ends while it holds a lock */
    VfReportList,   /* a damaged list (only when caught: otherwise the system stops) */
    VfReportKinds
} VF_REPORT_KIND;

typedef USHORT VF_CLASS_NUMBER; /* 0: none */

/* One lock held. An unused entry has Lock NULL. */
typedef struct _VF_HELD {
    PVOID volatile Lock;
    PVOID Site;            /* return address of the call that took it */
    VF_CLASS_NUMBER Class; /* while Lock is not NULL */
    UCHAR Irql;            /* after it was taken */
    UCHAR Kind;            /* VF_KIND */
    ULONG Since;           /* spin locks: this processor's clock ticks; others: times held beyond the first */
} VF_HELD, *PVF_HELD;

#define VF_THREAD_LOCKS 12 /* locks that one thread holds over a wait; the deepest in the tree is 5 */

typedef struct _VF_THREAD {
    VF_HELD Held[VF_THREAD_LOCKS]; /* the thread itself, but for ExReleaseResourceForThreadLite */
    ULONG Count;                   /* entries up to the last used one */
    ULONG Faults;                  /* own thread: a suite's checks under way, in which requests may fail (inject.c) */
} VF_THREAD, *PVF_THREAD;

typedef struct _VF_STATIC_LOCK {
    const volatile VOID *Lock;
    SIZE_T Bytes;
    PCSTR Name;
} VF_STATIC_LOCK;

typedef struct _VF_CONTEXT { /* what an interrupt interrupted */
    ULONG Base;
    ULONG Since;
    ULONG Vector;
} VF_CONTEXT;

#if NT_CHK

#define VF_NAME_LOCK(Variable, LockName)                                                                               \
    static const VF_STATIC_LOCK Variable##VfName = {&Variable, sizeof(Variable), LockName};                            \
    __attribute__((section(".vflock$m"), used)) static const VF_STATIC_LOCK *const Variable##VfPointer =               \
        &Variable##VfName

/* The pool block at Base goes back: nothing live may be in it. IRQL: <= DISPATCH_LEVEL. */
VOID VfFreeMemory(PVOID Base, SIZE_T Bytes);

/* A driver came that can go again; its image is about to go: what it has left is reported; it has gone. PASSIVE_LEVEL. */
VOID VfDriverLoaded(VOID);
VOID VfDriverUnloaded(PVOID Base, SIZE_T Bytes, PCSTR Name);
VOID VfDriverGone(VOID);
/* It was unloaded by the routine Unload and kept a device. PASSIVE_LEVEL. */
VOID VfDeviceLeft(PCUNICODE_STRING Driver, PVOID Device, PVOID Unload);
/* A handle of the kernel's table was made, or closed. PASSIVE_LEVEL. */
VOID VfHandleMade(HANDLE Handle);
VOID VfHandleGone(HANDLE Handle);

/* A new thread's stack, from its limit up to what is in use already; and what it had used when it ended. IRQL: <= DISPATCH_LEVEL. */
VOID VfFillStack(PVOID Limit, PVOID Used);
VOID VfThreadEnded(struct _ETHREAD *Thread); /* by whoever reaps it, before its stack is freed */
ULONG VfStackUse(PVOID Limit, PVOID Top);    /* bytes, from a stack that was filled */

/* Phase 1, before anything else there; before it nothing is recorded. */
VOID VfInitialize(VOID);

/*
 * Puts one lock in the class Name (a literal). Forgotten when its pool block is freed; a lock elsewhere, and one that
 * is deleted before, is given to VfForgetLock. IRQL: any.
 */
VOID VfNameLock(PVOID Lock, PCSTR Name);
/* The same with a class of its maker's: Kind and the return address in it. */
VOID VfNameLockBySite(PVOID Lock, VF_KIND Kind, PVOID Site);
VOID VfForgetLock(PVOID Lock);

/*
 * Around an acquisition. VfWantLock before it may spin or wait: checks IRQL and order, returns the class. VfGotLock once
 * it is held. A try is VfGotLock(Lock, Kind, VfClassOf(...), Site) when it succeeded. IRQL: any.
 */
VF_CLASS_NUMBER VfWantLock(PVOID Lock, VF_KIND Kind, PVOID Site);
VF_CLASS_NUMBER VfClassOf(PVOID Lock, VF_KIND Kind, PVOID Site);
VOID VfGotLock(PVOID Lock, VF_KIND Kind, VF_CLASS_NUMBER Class, PVOID Site);
VOID VfReleaseLock(PVOID Lock, VF_KIND Kind, PVOID Site);
/* Released by another thread than Thread's, which has it recorded. */
VOID VfReleaseLockOfThread(struct _ETHREAD *Thread, PVOID Lock);
/* Taken from Thread, which may have acquired it several times. */
VOID VfAbandonLock(struct _ETHREAD *Thread, PVOID Lock);

/* Reports (and, unless caught, fails the case) if IRQL is above Maximum. IRQL: any. */
VOID VfCheckIrql(KIRQL Maximum, PCSTR Routine, PVOID Site);

/* A device interrupt's routine, or a DPC's, begins and ends: locks held below it are not its own. */
VOID VfEnterInterrupt(VF_CONTEXT *Context, ULONG Vector, PKTRAP_FRAME Frame);
VOID VfLeaveInterrupt(const VF_CONTEXT *Context);
/* Time between these is not held against the code: it spins for another processor. IRQL: >= DISPATCH_LEVEL, or interrupts off. */
VOID VfStopWatch(VOID);
VOID VfResumeWatch(VOID);
VOID VfEnterDpc(PKDEFERRED_ROUTINE Routine);
VOID VfLeaveDpc(VOID);

/* Makes a report; Format is at most 200 characters of text. Stack: where it happened, of Depth addresses; 0: the caller's. */
VOID VfReport(VF_REPORT_KIND Kind, const ULONG64 *Stack, ULONG Depth, const ULONG64 *OtherStack, ULONG OtherDepth,
              PCSTR Format, ...) __attribute__((format(printf, 6, 7)));
/* Reports that were not caught, since start-up. IRQL: any. */
ULONG VfReports(VOID);
/* While on, reports are counted by kind and not otherwise noticed: for tests that provoke them. Returns the old state. */
BOOLEAN VfCatchReports(BOOLEAN On);
ULONG VfCaughtReports(VF_REPORT_KIND Kind);
BOOLEAN VfIsTestAddress(ULONG64 Address); /* in the code of a suite */
/* For tests: that locks of two named classes were ever taken together, and at which levels, has not been seen. */
VOID VfForgetOrder(PCSTR One, PCSTR Other);

#else

#define VF_NAME_LOCK(Variable, LockName)         C_ASSERT(sizeof(LockName) > 1)
#define VfInitialize()                           ((void)0)
#define VfDriverLoaded()                         ((void)0)
#define VfDriverUnloaded(Base, Bytes, Name)      ((void)0)
#define VfDriverGone()                           ((void)0)
#define VfDeviceLeft(Driver, Device, Unload)     ((void)0)
#define VfHandleMade(Handle)                     ((void)0)
#define VfHandleGone(Handle)                     ((void)0)
#define VfFillStack(Limit, Used)                 ((void)0)
#define VfThreadEnded(Thread)                    ((void)0)
#define VfFreeMemory(Base, Bytes)                ((void)0)
#define VfNameLock(Lock, Name)                   ((void)0)
#define VfNameLockBySite(Lock, Kind, Site)       ((void)0)
#define VfForgetLock(Lock)                       ((void)0)
#define VfWantLock(Lock, Kind, Site)             ((VF_CLASS_NUMBER)0)
#define VfClassOf(Lock, Kind, Site)              ((VF_CLASS_NUMBER)0)
#define VfGotLock(Lock, Kind, Class, Site)       ((void)(Class))
#define VfReleaseLock(Lock, Kind, Site)          ((void)0)
#define VfReleaseLockOfThread(Thread, Lock)      ((void)0)
#define VfAbandonLock(Thread, Lock)              ((void)0)
#define VfCheckIrql(Maximum, Routine, Site)      ((void)0)
#define VfEnterInterrupt(Context, Vector, Frame) ((void)(Context))
#define VfLeaveInterrupt(Context)                ((void)(Context))
#define VfStopWatch()                            ((void)0)
#define VfResumeWatch()                          ((void)0)
#define VfEnterDpc(Routine)                      ((void)0)
#define VfLeaveDpc()                             ((void)0)

#endif
