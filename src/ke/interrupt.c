/*
 * interrupt.c - interrupt objects: device service routines connected to vectors.
 *
 * Each vector has a chain of interrupt objects. An interrupt calls them in order of connection: on a level-triggered
 * line until one says it was its device (the line interrupts again for the others), on an edge-triggered one
 * every object, again and again until a whole round finds nothing, since an edge is seen only once. Each is called at its
 * synchronize IRQL with its spin lock, which KeSynchronizeExecution and KeAcquireInterruptSpinLock share.
 *
 * Locks: a chain's lock, held by the interrupt for the whole round and by connect and disconnect at HIGH_LEVEL; inside it
 * an object's own spin lock. A service routine must not connect or disconnect. Disconnecting returns once no processor
 * runs the routine.
 *
 * Source: WDK documentation of IoConnectInterrupt and KeSynchronizeExecution.
 */
#include "kip.h"

#define INTERRUPT_TAG     'tnIK'
#define KI_INTERRUPT_TYPE 22 /* InterruptObject of KOBJECTS, a name that a documented parameter hides */

#define FIRST_VECTOR 0x30
#define LAST_VECTOR  0xBF

typedef struct _KINTERRUPT {
    CSHORT Type;
    CSHORT Size;
    LIST_ENTRY ChainEntry;            /* (chain) */
    PKSERVICE_ROUTINE ServiceRoutine; /* (c) from here on */
    PVOID ServiceContext;
    PKSPIN_LOCK ActualLock; /* the caller's, or OwnLock */
    KSPIN_LOCK OwnLock;
    ULONG Vector;
    KIRQL Irql;
    KIRQL SynchronizeIrql;
    KINTERRUPT_MODE Mode;
    BOOLEAN ShareVector;
} KINTERRUPT;

typedef struct _KI_CHAIN {
    KSPIN_LOCK Lock;
    LIST_ENTRY Objects;   /* (chain) empty, or Flink NULL before first use */
    KINTERRUPT_MODE Mode; /* (chain) of all objects */
    BOOLEAN ShareVector;  /* (chain) all objects agreed to share */
    ULONG64 Unclaimed;    /* (chain) interrupts that no object's device had raised */
} KI_CHAIN, *PKI_CHAIN;

static KI_CHAIN KiChains[LAST_VECTOR + 1];
VF_NAME_LOCK(KiChains, "KI_CHAIN.Lock");

static BOOLEAN CallServiceRoutine(PKINTERRUPT Interrupt)
{
    KIRQL OldIrql = KfRaiseIrql(Interrupt->SynchronizeIrql);

    KiAcquireSpinLock(Interrupt->ActualLock);
    BOOLEAN Claimed = Interrupt->ServiceRoutine(Interrupt, Interrupt->ServiceContext);
    KiReleaseSpinLock(Interrupt->ActualLock);
    KeLowerIrql(OldIrql);
    return Claimed;
}

/* One round over a chain; TRUE: a device was served. */
static BOOLEAN CallChain(PKI_CHAIN Chain)
{
    BOOLEAN Claimed = FALSE;

    for (PLIST_ENTRY Entry = Chain->Objects.Flink; Entry != &Chain->Objects; Entry = Entry->Flink) {
        if (CallServiceRoutine(CONTAINING_RECORD(Entry, KINTERRUPT, ChainEntry))) {
            Claimed = TRUE;
            if (Chain->Mode == LevelSensitive) {
                break;
            }
        }
    }
    return Claimed;
}

static VOID ChainInterrupt(PKTRAP_FRAME Frame, PVOID Context)
{
    PKI_CHAIN Chain = Context;

    KiAcquireSpinLock(&Chain->Lock);
    BOOLEAN Claimed = CallChain(Chain);
    if (!Claimed) {
        Chain->Unclaimed++;
    }
    BOOLEAN Shared = Chain->Objects.Flink != Chain->Objects.Blink;
    while (Claimed && Shared && Chain->Mode == Latched) {
        Claimed = CallChain(Chain);
    }
    KiReleaseSpinLock(&Chain->Lock);
}

/* Enters an object in its chain. Chain locked, HIGH_LEVEL. */
static NTSTATUS JoinChain(PKI_CHAIN Chain, PKINTERRUPT Interrupt)
{
    if (Chain->Objects.Flink == NULL) {
        InitializeListHead(&Chain->Objects);
    }
    if (IsListEmpty(&Chain->Objects)) {
        Chain->Mode = Interrupt->Mode;
        Chain->ShareVector = Interrupt->ShareVector;
        NTSTATUS Status = KiConnectVector(Interrupt->Vector, ChainInterrupt, Chain);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    } else if (!Chain->ShareVector || !Interrupt->ShareVector || Chain->Mode != Interrupt->Mode) {
        return STATUS_INVALID_PARAMETER;
    }
    InsertTailList(&Chain->Objects, &Interrupt->ChainEntry);
    return STATUS_SUCCESS;
}

static NTSTATUS ConnectObject(PKINTERRUPT Interrupt)
{
    PKI_CHAIN Chain = &KiChains[Interrupt->Vector];
    KIRQL OldIrql = KfRaiseIrql(HIGH_LEVEL);

    KiAcquireSpinLock(&Chain->Lock);
    NTSTATUS Status = JoinChain(Chain, Interrupt);
    if (NT_SUCCESS(Status) && Chain->Objects.Flink == Chain->Objects.Blink) {
        Status = HalEnableSystemInterrupt(Interrupt->Vector, Interrupt->Mode);
        if (!NT_SUCCESS(Status)) {
            RemoveEntryList(&Interrupt->ChainEntry);
            KiDisconnectVector(Interrupt->Vector);
        }
    }
    KiReleaseSpinLock(&Chain->Lock);
    KeLowerIrql(OldIrql);
    return Status;
}

/**
 * IoConnectInterrupt - connects a service routine to a device's interrupt.
 *
 * @InterruptObject  receives the object, for the other routines here
 * @SpinLock         shared with other objects of the driver; NULL: one of the object's own
 * @Vector, @Irql    from HalGetInterruptVector
 * @SynchronizeIrql  at least Irql; of all objects that share SpinLock
 * returns           STATUS_SUCCESS; STATUS_INVALID_PARAMETER, no such vector or not to be shared so;
 *                   STATUS_INSUFFICIENT_RESOURCES
 *
 * IRQL: PASSIVE_LEVEL. Interrupts may come before it returns.
 */
NTSTATUS NTAPI IoConnectInterrupt(PKINTERRUPT *InterruptObject, PKSERVICE_ROUTINE ServiceRoutine, PVOID ServiceContext,
                                  PKSPIN_LOCK SpinLock, ULONG Vector, KIRQL Irql, KIRQL SynchronizeIrql,
                                  KINTERRUPT_MODE InterruptMode, BOOLEAN ShareVector, KAFFINITY ProcessorEnableMask,
                                  BOOLEAN FloatingSave)
{
    ASSERT_IRQL(PASSIVE_LEVEL);
    *InterruptObject = NULL;
    if (Vector < FIRST_VECTOR || Vector > LAST_VECTOR || Irql != Vector >> 4 || SynchronizeIrql < Irql ||
        (ProcessorEnableMask & KeQueryActiveProcessors()) == 0) {
        return STATUS_INVALID_PARAMETER;
    }
    PKINTERRUPT Interrupt = ExAllocatePoolWithTag(NonPagedPool, sizeof(KINTERRUPT), INTERRUPT_TAG);
    if (Interrupt == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    memset(Interrupt, 0, sizeof(*Interrupt));
    Interrupt->Type = KI_INTERRUPT_TYPE;
    Interrupt->Size = sizeof(KINTERRUPT);
    Interrupt->ServiceRoutine = ServiceRoutine;
    Interrupt->ServiceContext = ServiceContext;
    Interrupt->ActualLock = SpinLock != NULL ? SpinLock : &Interrupt->OwnLock;
    Interrupt->Vector = Vector;
    Interrupt->Irql = Irql;
    Interrupt->SynchronizeIrql = SynchronizeIrql;
    Interrupt->Mode = InterruptMode;
    Interrupt->ShareVector = ShareVector;
    VfNameLock(Interrupt->ActualLock, "KINTERRUPT.ActualLock");
    *InterruptObject = Interrupt; /* the routine may look at it at once */
    NTSTATUS Status = ConnectObject(Interrupt);
    if (!NT_SUCCESS(Status)) {
        *InterruptObject = NULL;
        ExFreePoolWithTag(Interrupt, INTERRUPT_TAG);
    }
    return Status;
}

/**
 * IoDisconnectInterrupt - takes a service routine off its interrupt; frees the object.
 *
 * IRQL: PASSIVE_LEVEL. On return the routine runs nowhere and will not be called again.
 */
VOID NTAPI IoDisconnectInterrupt(PKINTERRUPT InterruptObject)
{
    PKI_CHAIN Chain = &KiChains[InterruptObject->Vector];

    ASSERT_IRQL(PASSIVE_LEVEL);
    KIRQL OldIrql = KfRaiseIrql(HIGH_LEVEL);
    KiAcquireSpinLock(&Chain->Lock);
    RemoveEntryList(&InterruptObject->ChainEntry);
    if (IsListEmpty(&Chain->Objects)) {
        HalDisableSystemInterrupt(InterruptObject->Vector);
        KiDisconnectVector(InterruptObject->Vector);
    }
    KiReleaseSpinLock(&Chain->Lock);
    KeLowerIrql(OldIrql);
    ExFreePoolWithTag(InterruptObject, INTERRUPT_TAG);
}

/**
 * KeAcquireInterruptSpinLock - keeps an interrupt's service routine out.
 *
 * returns  the previous IRQL, for KeReleaseInterruptSpinLock
 *
 * IRQL: <= the object's synchronize IRQL.
 */
KIRQL NTAPI KeAcquireInterruptSpinLock(PKINTERRUPT Interrupt)
{
    ASSERT_IRQL_MAX(Interrupt->SynchronizeIrql);
    KIRQL OldIrql = KfRaiseIrql(Interrupt->SynchronizeIrql);
    KiAcquireSpinLock(Interrupt->ActualLock);
    return OldIrql;
}

VOID NTAPI KeReleaseInterruptSpinLock(PKINTERRUPT Interrupt, KIRQL OldIrql)
{
    KiReleaseSpinLock(Interrupt->ActualLock);
    KeLowerIrql(OldIrql);
}

/* Calls a routine as KeAcquireInterruptSpinLock would protect it; returns what it returns. */
BOOLEAN NTAPI KeSynchronizeExecution(PKINTERRUPT Interrupt, PKSYNCHRONIZE_ROUTINE SynchronizeRoutine,
                                     PVOID SynchronizeContext)
{
    KIRQL OldIrql = KeAcquireInterruptSpinLock(Interrupt);
    BOOLEAN Result = SynchronizeRoutine(SynchronizeContext);

    KeReleaseInterruptSpinLock(Interrupt, OldIrql);
    return Result;
}
