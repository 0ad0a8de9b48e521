/*
 * inject.c - allocations made to fail on purpose.
 *
 * Each kind of request counts, and every n-th fails; or one request of one thread does, so that a suite can fail the first, the second
 * and so on until its operation no longer asks for so many. Boot option fault=KIND:N, console command `fault KIND N`: for everybody, from
 * the end of the start-up on.
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
    volatile BOOLEAN Once;    /* only the first one fails */
} EX_FAULT;

static EX_FAULT Faults[ExFaultKinds];
static const PCSTR KindNames[ExFaultKinds] = {"pool", "irp", "object", "frame"};

BOOLEAN ExInjectFault(EX_FAULT_KIND Kind)
{
    EX_FAULT *Fault = &Faults[Kind];
    ULONG Interval = Fault->Interval;

    if (Interval == 0 || (Fault->Thread != NULL && Fault->Thread != KeGetCurrentPrcb()->CurrentThread)) {
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

static VOID SetFault(EX_FAULT_KIND Kind, ULONG Interval, PKTHREAD Thread, BOOLEAN Once)
{
    EX_FAULT *Fault = &Faults[Kind];

    Fault->Interval = 0;
    Fault->Count = 0;
    Fault->Thread = Thread;
    Fault->Once = Once;
    KeMemoryFence();
    Fault->Interval = Interval;
}

VOID ExSetFault(EX_FAULT_KIND Kind, ULONG Interval, PKTHREAD Thread)
{
    SetFault(Kind, Interval, Thread, FALSE);
}

VOID ExSetFaultOnce(EX_FAULT_KIND Kind, ULONG Number)
{
    SetFault(Kind, Number, KeGetCurrentThread(), TRUE);
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
