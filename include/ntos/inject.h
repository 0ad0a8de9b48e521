/*
 * inject.h - allocations made to fail on purpose (chk flavour), for tests of the error paths; in fre nothing fails.
 */
#pragma once

#include <ntos/ntos.h>

typedef enum _EX_FAULT_KIND {
    ExFaultPool,   /* every ExAllocatePool... */
    ExFaultIrp,    /* IoAllocateIrp and what builds on it */
    ExFaultObject, /* ObCreateObject */
    ExFaultFrame,  /* a frame of memory, but for those that use the reserve */
    ExFaultKinds
} EX_FAULT_KIND;

#if NT_CHK

/* TRUE: the request is to fail. Called once a request. IRQL: any. */
BOOLEAN ExInjectFault(EX_FAULT_KIND Kind);
/* The same for a block of pool; Site: who asks. What a suite asks for itself does not fail while suites run under failures. */
BOOLEAN ExInjectPoolFault(PVOID Site);
/* Every Interval-th request fails from now on, 0: none does; only Thread's requests count, NULL: everybody's. IRQL: any. */
VOID ExSetFault(EX_FAULT_KIND Kind, ULONG Interval, PKTHREAD Thread);
/*
 * The same for everybody but suites: of a suite's threads, and of the caller, who runs them, only requests made
 * between ExEnterFaults and ExLeaveFaults count. Those nest. Requests are counted on from the last such time, so that suites which
 * make few share their failures.
 */
VOID ExSetFaultOfSuites(EX_FAULT_KIND Kind, ULONG Interval);
VOID ExEnterFaults(VOID); /* own thread; IRQL: any */
VOID ExLeaveFaults(VOID);
ULONG ExSuspendFaults(VOID); /* leaves them however deep; returns what ExResumeFaults is given */
VOID ExResumeFaults(ULONG Depth);
/* Only the Number-th request of this thread fails. */
VOID ExSetFaultOnce(EX_FAULT_KIND Kind, ULONG Number);
/* How many requests have failed so, ever. */
ULONG ExFaultsInjected(EX_FAULT_KIND Kind);
/* "pool:37" as the boot option fault= and the console say it; FALSE: it is not that. Interval 0: "off". */
BOOLEAN ExParseFault(PCSTR Text, EX_FAULT_KIND *Kind, PULONG Interval);
VOID ExStartFaults(VOID); /* the boot option takes effect: the start-up is over */

#else

#define ExInjectFault(Kind)     FALSE
#define ExInjectPoolFault(Site) FALSE
#define ExStartFaults()         ((void)0)

#endif
