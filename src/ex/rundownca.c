/*
 * rundownca.c - cache-aware rundown protection: one counter a processor, each in a cache line of its own.
 *
 * A counter goes in steps of two, and below zero too, since a user may leave on another processor than it came in on; only the
 * sum means something. Who runs the object down exchanges each counter for the address of a block on its stack, with bit 0 set,
 * and adds what it found there to the block's count, which starts with a bias so that nobody takes it for zero before all are in. From
 * then on users that leave take one from the block, and the one that makes it zero signals the event.
 *
 * Locks: none, interlocked. IRQL: <= DISPATCH_LEVEL to acquire and release, <= APC_LEVEL to wait.
 *
 * Source: WDK documentation, "Run-Down Protection".
 */
#include <ntos/ke.h>

#define CACHE_LINE 64
#define USER       2LL
#define BIAS       (1LL << 40) /* more users than there can be */

typedef struct DECLSPEC_ALIGN(CACHE_LINE) _EX_RUNDOWN_SLOT {
    volatile LONG64
        Count; /* interlocked; bit 0: the address of an EX_RUNDOWN_ALL_WAIT, or nothing once all have gone */
} EX_RUNDOWN_SLOT;

typedef struct _EX_RUNDOWN_REF_CACHE_AWARE {
    ULONG Slots;           /* (c) */
    ULONG Tag;             /* (c) 0: the storage is the caller's */
    EX_RUNDOWN_SLOT *Slot; /* (c) in the same storage, aligned */
} EX_RUNDOWN_REF_CACHE_AWARE;

typedef struct _EX_RUNDOWN_ALL_WAIT {
    volatile LONG64 Users; /* interlocked */
    KEVENT Gone;
} EX_RUNDOWN_ALL_WAIT, *PEX_RUNDOWN_ALL_WAIT;

static EX_RUNDOWN_SLOT *CurrentSlot(PEX_RUNDOWN_REF_CACHE_AWARE Ref)
{
    return &Ref->Slot[KeGetCurrentPrcb()->Number % Ref->Slots];
}

/* Bytes of storage for ExInitializeRundownProtectionCacheAware. IRQL: any. */
SIZE_T NTAPI ExSizeOfRundownProtectionCacheAware(VOID)
{
    return sizeof(EX_RUNDOWN_REF_CACHE_AWARE) + CACHE_LINE + KeNumberOfActiveProcessors * sizeof(EX_RUNDOWN_SLOT);
}

/* RunRefSize: as ExSizeOfRundownProtectionCacheAware said. IRQL: any. */
VOID NTAPI ExInitializeRundownProtectionCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware, SIZE_T RunRefSize)
{
    PUCHAR End = (PUCHAR)RunRefCacheAware + RunRefSize;
    ULONG_PTR First = ((ULONG_PTR)(RunRefCacheAware + 1) + CACHE_LINE - 1) & ~(ULONG_PTR)(CACHE_LINE - 1);

    RunRefCacheAware->Slot = (EX_RUNDOWN_SLOT *)First;
    RunRefCacheAware->Slots = (ULONG)(((ULONG_PTR)End - First) / sizeof(EX_RUNDOWN_SLOT));
    RunRefCacheAware->Tag = 0;
    ASSERT(RunRefCacheAware->Slots != 0);
    for (ULONG i = 0; i < RunRefCacheAware->Slots; i++) {
        RunRefCacheAware->Slot[i].Count = 0;
    }
}

/* NULL: memory is short. IRQL: as for the pool. */
PEX_RUNDOWN_REF_CACHE_AWARE NTAPI ExAllocateCacheAwareRundownProtection(POOL_TYPE PoolType, ULONG PoolTag)
{
    SIZE_T Bytes = ExSizeOfRundownProtectionCacheAware();
    PEX_RUNDOWN_REF_CACHE_AWARE Ref = ExAllocatePoolWithTag(PoolType, Bytes, PoolTag);

    if (Ref != NULL) {
        ExInitializeRundownProtectionCacheAware(Ref, Bytes);
        Ref->Tag = PoolTag;
    }
    return Ref;
}

VOID NTAPI ExFreeCacheAwareRundownProtection(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware)
{
    ExFreePoolWithTag(RunRefCacheAware, RunRefCacheAware->Tag);
}

/* Count users at once; FALSE: the object is going or gone. */
BOOLEAN FASTCALL ExAcquireRundownProtectionCacheAwareEx(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware, ULONG Count)
{
    EX_RUNDOWN_SLOT *Slot = CurrentSlot(RunRefCacheAware);

    for (;;) {
        LONG64 Old = Slot->Count;
        if ((Old & EX_RUNDOWN_ACTIVE) != 0) {
            return FALSE;
        }
        if (InterlockedCompareExchange64(&Slot->Count, Old + Count * USER, Old) == Old) {
            return TRUE;
        }
    }
}

VOID FASTCALL ExReleaseRundownProtectionCacheAwareEx(PEX_RUNDOWN_REF_CACHE_AWARE RunRef, ULONG Count)
{
    EX_RUNDOWN_SLOT *Slot = CurrentSlot(RunRef);

    for (;;) {
        LONG64 Old = Slot->Count;
        if ((Old & EX_RUNDOWN_ACTIVE) != 0) {
            PEX_RUNDOWN_ALL_WAIT Wait = (PEX_RUNDOWN_ALL_WAIT)(Old & ~(LONG64)EX_RUNDOWN_ACTIVE);
            if (InterlockedAdd64(&Wait->Users, -(LONG64)Count) == 0) {
                KeSetEvent(&Wait->Gone, IO_NO_INCREMENT, FALSE);
            }
            return;
        }
        if (InterlockedCompareExchange64(&Slot->Count, Old - Count * USER, Old) == Old) {
            return;
        }
    }
}

/* One user in, or FALSE. */
BOOLEAN FASTCALL ExAcquireRundownProtectionCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware)
{
    return ExAcquireRundownProtectionCacheAwareEx(RunRefCacheAware, 1);
}

VOID FASTCALL ExReleaseRundownProtectionCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware)
{
    ExReleaseRundownProtectionCacheAwareEx(RunRefCacheAware, 1);
}

/**
 * ExWaitForRundownProtectionReleaseCacheAware - lets no user in any more and waits until those inside have left.
 *
 * IRQL: <= APC_LEVEL. One thread only.
 */
VOID FASTCALL ExWaitForRundownProtectionReleaseCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRef)
{
    EX_RUNDOWN_ALL_WAIT Wait = {.Users = BIAS};

    KeInitializeEvent(&Wait.Gone, SynchronizationEvent, FALSE);
    for (ULONG i = 0; i < RunRef->Slots; i++) {
        LONG64 Old = InterlockedExchange64(&RunRef->Slot[i].Count, (LONG64)(ULONG_PTR)&Wait | EX_RUNDOWN_ACTIVE);
        if ((Old & EX_RUNDOWN_ACTIVE) == 0) {
            InterlockedAdd64(&Wait.Users, Old / USER);
        }
    }
    if (InterlockedAdd64(&Wait.Users, -BIAS) != 0) {
        KeWaitForSingleObject(&Wait.Gone, Executive, KernelMode, FALSE, NULL);
    }
    ExRundownCompletedCacheAware(RunRef);
}

/* Marks an object as run down that nobody uses. */
VOID FASTCALL ExRundownCompletedCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware)
{
    for (ULONG i = 0; i < RunRefCacheAware->Slots; i++) {
        InterlockedExchange64(&RunRefCacheAware->Slot[i].Count, EX_RUNDOWN_ACTIVE);
    }
}

/* Lets users in again after a rundown has completed. */
VOID FASTCALL ExReInitializeRundownProtectionCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware)
{
    for (ULONG i = 0; i < RunRefCacheAware->Slots; i++) {
        ASSERT(RunRefCacheAware->Slot[i].Count == EX_RUNDOWN_ACTIVE);
        InterlockedExchange64(&RunRefCacheAware->Slot[i].Count, 0);
    }
}
