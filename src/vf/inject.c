/*
 * inject.c - allocations made to fail on purpose.
 *
 * Each kind of request counts, and every n-th fails; or one request of one thread does, so that a suite can fail the first, the second
 * and so on until its operation no longer asks for so many. Boot option fault=KIND:N, console command `fault KIND N`: for everybody, from
 * the end of the start-up on.
 *
 * While suites run under failures (test/kernel/ktapfault.c), requests of their own threads fail only where they say so, in
 * the expression of a check, which is tried again. What the system's threads ask for on their behalf fails at any time.
 *
 * Locks: none; a count that changes while requests are made fails some other one than meant. IRQL: any.
 */
#include "vfp.h"
#include <ntos/console.h>
#include <ntos/init.h>
#include <ntos/rtl.h>

typedef struct _EX_FAULT {
    volatile ULONG Interval;  /* 0: nothing fails */
    volatile LONG Count;      /* interlocked: requests since it was set */
    volatile LONG Injected;   /* interlocked: requests that failed */
    PKTHREAD volatile Thread; /* NULL: everybody */
    PKTHREAD volatile Suites; /* who runs suites under failures; NULL: nobody */
    volatile BOOLEAN Once;    /* only the first one fails */
} EX_FAULT;

static EX_FAULT Faults[ExFaultKinds];
static const PCSTR KindNames[ExFaultKinds] = {"pool", "irp", "object", "frame"};

/* This thread's requests are left alone: not the one that is meant, or a suite's outside of a check. */
static BOOLEAN IsSpared(const EX_FAULT *Fault)
{
    PKTHREAD Thread = KeGetCurrentPrcb()->CurrentThread;
    PETHREAD Extended = CONTAINING_RECORD(Thread, ETHREAD, Tcb);

    if (Fault->Thread != NULL) {
        return Fault->Thread != Thread;
    }
    return Fault->Suites != NULL && Extended->Locks.Faults == 0 &&
           (Thread == Fault->Suites || VfIsTestAddress((ULONG64)Extended->StartAddress));
}

BOOLEAN ExInjectFault(EX_FAULT_KIND Kind)
{
    EX_FAULT *Fault = &Faults[Kind];
    ULONG Interval = Fault->Interval;

    if (Interval == 0 || IsSpared(Fault)) {
        return FALSE;
    }
    if ((ULONG)InterlockedIncrement(&Fault->Count) % Interval != 0) {
        return FALSE;
    }
    if (Fault->Once) {
        Fault->Interval = 0;
    }
    InterlockedIncrement(&Fault->Injected);
    return TRUE;
}

BOOLEAN ExInjectPoolFault(PVOID Site)
{
    if (Faults[ExFaultPool].Suites != NULL && VfIsTestAddress((ULONG64)Site)) {
        return FALSE;
    }
    return ExInjectFault(ExFaultPool);
}

static VOID SetFault(EX_FAULT_KIND Kind, ULONG Interval, PKTHREAD Thread, PKTHREAD Suites, BOOLEAN Once)
{
    EX_FAULT *Fault = &Faults[Kind];

    Fault->Interval = 0;
    if (Suites == NULL) {
        Fault->Count = 0;
    }
    Fault->Thread = Thread;
    Fault->Suites = Suites;
    Fault->Once = Once;
    KeMemoryFence();
    Fault->Interval = Interval;
}

VOID ExSetFault(EX_FAULT_KIND Kind, ULONG Interval, PKTHREAD Thread)
{
    SetFault(Kind, Interval, Thread, NULL, FALSE);
}

VOID ExSetFaultOfSuites(EX_FAULT_KIND Kind, ULONG Interval)
{
    SetFault(Kind, Interval, NULL, KeGetCurrentThread(), FALSE);
}

VOID ExEnterFaults(VOID)
{
    PsGetCurrentThread()->Locks.Faults++;
}

VOID ExLeaveFaults(VOID)
{
    PsGetCurrentThread()->Locks.Faults--;
}

ULONG ExSuspendFaults(VOID)
{
    ULONG Depth = PsGetCurrentThread()->Locks.Faults;

    PsGetCurrentThread()->Locks.Faults = 0;
    return Depth;
}

VOID ExResumeFaults(ULONG Depth)
{
    PsGetCurrentThread()->Locks.Faults = Depth;
}

VOID ExSetFaultOnce(EX_FAULT_KIND Kind, ULONG Number)
{
    SetFault(Kind, Number, KeGetCurrentThread(), NULL, TRUE);
}

ULONG ExFaultsInjected(EX_FAULT_KIND Kind)
{
    return (ULONG)Faults[Kind].Injected;
}

BOOLEAN ExParseFault(PCSTR Text, EX_FAULT_KIND *Kind, PULONG Interval)
{
    for (ULONG Index = 0; Index < ExFaultKinds; Index++) {
        PCSTR Name = KindNames[Index], Rest = Text;
        while (*Name != 0 && *Rest == *Name) {
            Name++;
            Rest++;
        }
        if (*Name == 0 && *Rest == ':') {
            *Kind = (EX_FAULT_KIND)Index;
            return NT_SUCCESS(RtlCharToInteger(Rest + 1, 10, Interval)) && *Interval != 0;
        }
    }
    return FALSE;
}

VOID ExStartFaults(VOID)
{
    CHAR Text[32];
    EX_FAULT_KIND Kind;
    ULONG Interval;

    if (!KeBootOption("fault", Text, sizeof(Text))) {
        return;
    }
    if (ExParseFault(Text, &Kind, &Interval)) {
        ExSetFault(Kind, Interval, NULL);
    } else {
        ConPrint("oriel: fault=%s: not KIND:N with KIND pool, irp, object or frame\n", Text);
    }
}

static VOID FaultCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    EX_FAULT_KIND Kind;
    ULONG Interval;

    if (ArgumentCount == 2 && VfSameText(Arguments[1], "off")) {
        for (ULONG Index = 0; Index < ExFaultKinds; Index++) {
            ExSetFault((EX_FAULT_KIND)Index, 0, NULL);
        }
    } else if (ArgumentCount == 2 && ExParseFault(Arguments[1], &Kind, &Interval)) {
        ExSetFault(Kind, Interval, NULL);
    } else if (ArgumentCount == 1) {
        for (ULONG Index = 0; Index < ExFaultKinds; Index++) {
            ConPrint("%s: every %u-th, %u have failed\n", KindNames[Index], (unsigned)Faults[Index].Interval,
                     (unsigned)Faults[Index].Injected);
        }
    } else {
        ConPrint("usage: fault [KIND:N | off], KIND pool, irp, object or frame\n");
    }
}
CONSOLE_COMMAND(FaultConsole, "fault", "[KIND:N|off]", "make every N-th allocation of a kind fail", FaultCommand);
