/*
 * notify.c - routines that drivers have called when processes and threads begin and end.
 *
 * Each kind has a fixed number of slots, as documented. A slot is in use while its routine is not NULL; its rundown protection is held
 * around each call, so that a removal returns only when the routine is not being called any more. Routines are called at
 * PASSIVE_LEVEL inside a critical region, in no particular order.
 *
 * Locks: PspNotifyLock, a fast mutex, around registration and removal; none while a routine runs.
 *
 * Source: WDK documentation of PsSetCreateProcessNotifyRoutine(Ex), PsSetCreateThreadNotifyRoutine, PsSetLoadImageNotifyRoutine.
 */
#include "psp.h"

#define NOTIFY_SLOTS 64 /* the documented bound for each kind */

typedef struct _PSP_NOTIFY_SLOT {
    PVOID volatile Routine; /* (PspNotifyLock) for writing; NULL: free */
    BOOLEAN Extended;       /* (PspNotifyLock) PCREATE_PROCESS_NOTIFY_ROUTINE_EX */
    BOOLEAN Leaving;        /* (PspNotifyLock) somebody waits for the last call */
    EX_RUNDOWN_REF Calls;
} PSP_NOTIFY_SLOT, *PPSP_NOTIFY_SLOT;

static PSP_NOTIFY_SLOT PspProcessSlots[NOTIFY_SLOTS], PspThreadSlots[NOTIFY_SLOTS], PspImageSlots[NOTIFY_SLOTS];
static volatile LONG PspProcessRoutines, PspThreadRoutines, PspImageRoutines; /* slots in use: mostly none */
static FAST_MUTEX PspNotifyLock;
VF_NAME_LOCK(PspNotifyLock, "PspNotifyLock");

VOID PspInitializeNotify(VOID)
{
    ExInitializeFastMutex(&PspNotifyLock);
    for (ULONG i = 0; i < NOTIFY_SLOTS; i++) {
        ExRundownCompleted(&PspProcessSlots[i].Calls);
        ExRundownCompleted(&PspThreadSlots[i].Calls);
        ExRundownCompleted(&PspImageSlots[i].Calls);
    }
}

/* ---- Slots ---- */

static PPSP_NOTIFY_SLOT FindSlot(PPSP_NOTIFY_SLOT Slots, PVOID Routine, BOOLEAN Extended)
{
    for (ULONG i = 0; i < NOTIFY_SLOTS; i++) {
        if (Slots[i].Routine == Routine && Slots[i].Extended == Extended && !Slots[i].Leaving) {
            return &Slots[i];
        }
    }
    return NULL;
}

/* STATUS_INVALID_PARAMETER: every slot is taken, or the routine is there already. */
static NTSTATUS AddRoutine(PPSP_NOTIFY_SLOT Slots, volatile LONG *Used, PVOID Routine, BOOLEAN Extended)
{
    NTSTATUS Status = STATUS_INVALID_PARAMETER;

    ExAcquireFastMutex(&PspNotifyLock);
    PPSP_NOTIFY_SLOT Slot = FindSlot(Slots, NULL, FALSE);
    if (Slot != NULL && FindSlot(Slots, Routine, Extended) == NULL) {
        Slot->Extended = Extended;
        Slot->Routine = Routine;
        ExReInitializeRundownProtection(&Slot->Calls);
        InterlockedIncrement(Used);
        Status = STATUS_SUCCESS;
    }
    ExReleaseFastMutex(&PspNotifyLock);
    return Status;
}

/* STATUS_PROCEDURE_NOT_FOUND: it is not registered. The slot is free for others only when no call is in progress. */
static NTSTATUS RemoveRoutine(PPSP_NOTIFY_SLOT Slots, volatile LONG *Used, PVOID Routine, BOOLEAN Extended)
{
    ExAcquireFastMutex(&PspNotifyLock);
    PPSP_NOTIFY_SLOT Slot = FindSlot(Slots, Routine, Extended);
    if (Slot != NULL) {
        Slot->Leaving = TRUE;
    }
    ExReleaseFastMutex(&PspNotifyLock);
    if (Slot == NULL) {
        return STATUS_PROCEDURE_NOT_FOUND;
    }
    ExWaitForRundownProtectionRelease(&Slot->Calls);
    ExAcquireFastMutex(&PspNotifyLock);
    Slot->Routine = NULL;
    Slot->Extended = FALSE;
    Slot->Leaving = FALSE;
    InterlockedDecrement(Used);
    ExReleaseFastMutex(&PspNotifyLock);
    return STATUS_SUCCESS;
}

/* ---- Calls ---- */

VOID PspNotifyProcess(PEPROCESS Process, PPS_CREATE_NOTIFY_INFO Info)
{
    if (PspProcessRoutines == 0) {
        return;
    }
    KeEnterCriticalRegion();
    for (ULONG i = 0; i < NOTIFY_SLOTS; i++) {
        PPSP_NOTIFY_SLOT Slot = &PspProcessSlots[i];
        if (!ExAcquireRundownProtection(&Slot->Calls)) {
            continue;
        }
        if (Slot->Extended) {
            ((PCREATE_PROCESS_NOTIFY_ROUTINE_EX)Slot->Routine)(Process, Process->UniqueProcessId, Info);
        } else {
            ((PCREATE_PROCESS_NOTIFY_ROUTINE)Slot->Routine)(Process->ParentId, Process->UniqueProcessId, Info != NULL);
        }
        ExReleaseRundownProtection(&Slot->Calls);
    }
    KeLeaveCriticalRegion();
}

VOID PspNotifyThread(PETHREAD Thread, BOOLEAN Create)
{
    if (PspThreadRoutines == 0) {
        return;
    }
    KeEnterCriticalRegion();
    for (ULONG i = 0; i < NOTIFY_SLOTS; i++) {
        PPSP_NOTIFY_SLOT Slot = &PspThreadSlots[i];
        if (ExAcquireRundownProtection(&Slot->Calls)) {
            ((PCREATE_THREAD_NOTIFY_ROUTINE)Slot->Routine)(Thread->Cid.UniqueProcess, Thread->Cid.UniqueThread, Create);
            ExReleaseRundownProtection(&Slot->Calls);
        }
    }
    KeLeaveCriticalRegion();
}

BOOLEAN PsIsImageLoadWatched(VOID)
{
    return PspImageRoutines != 0;
}

VOID PsNotifyLoadImage(PUNICODE_STRING Name, HANDLE ProcessId, PIMAGE_INFO Info)
{
    KeEnterCriticalRegion();
    for (ULONG i = 0; i < NOTIFY_SLOTS; i++) {
        PPSP_NOTIFY_SLOT Slot = &PspImageSlots[i];
        if (ExAcquireRundownProtection(&Slot->Calls)) {
            ((PLOAD_IMAGE_NOTIFY_ROUTINE)Slot->Routine)(Name, ProcessId, Info);
            ExReleaseRundownProtection(&Slot->Calls);
        }
    }
    KeLeaveCriticalRegion();
}

/* ---- What drivers call. PASSIVE_LEVEL; not from a routine that is itself being called ---- */

/**
 * PsSetCreateProcessNotifyRoutine - has a routine called when a process has been made and when it ends, or no longer.
 *
 * @Remove  TRUE: no longer; it is not being called any more on return
 * returns  STATUS_SUCCESS; STATUS_INVALID_PARAMETER: registered already, or too many are; STATUS_PROCEDURE_NOT_FOUND: it was not
 */
NTSTATUS NTAPI PsSetCreateProcessNotifyRoutine(PCREATE_PROCESS_NOTIFY_ROUTINE NotifyRoutine, BOOLEAN Remove)
{
    PVOID Routine = (PVOID)(ULONG_PTR)NotifyRoutine;

    return Remove ? RemoveRoutine(PspProcessSlots, &PspProcessRoutines, Routine, FALSE)
                  : AddRoutine(PspProcessSlots, &PspProcessRoutines, Routine, FALSE);
}

/* The same with a routine that is told more, and that may refuse a process by CreateInfo->CreationStatus. */
NTSTATUS NTAPI PsSetCreateProcessNotifyRoutineEx(PCREATE_PROCESS_NOTIFY_ROUTINE_EX NotifyRoutine, BOOLEAN Remove)
{
    PVOID Routine = (PVOID)(ULONG_PTR)NotifyRoutine;

    return Remove ? RemoveRoutine(PspProcessSlots, &PspProcessRoutines, Routine, TRUE)
                  : AddRoutine(PspProcessSlots, &PspProcessRoutines, Routine, TRUE);
}

/* The same for threads: called by the thread that makes one, and by the one that ends. */
NTSTATUS NTAPI PsSetCreateThreadNotifyRoutine(PCREATE_THREAD_NOTIFY_ROUTINE NotifyRoutine)
{
    return AddRoutine(PspThreadSlots, &PspThreadRoutines, (PVOID)(ULONG_PTR)NotifyRoutine, FALSE);
}

NTSTATUS NTAPI PsRemoveCreateThreadNotifyRoutine(PCREATE_THREAD_NOTIFY_ROUTINE NotifyRoutine)
{
    return RemoveRoutine(PspThreadSlots, &PspThreadRoutines, (PVOID)(ULONG_PTR)NotifyRoutine, FALSE);
}

/* The same for images: called once a driver or an image of a program is mapped, before it runs; of a program, in its process. */
NTSTATUS NTAPI PsSetLoadImageNotifyRoutine(PLOAD_IMAGE_NOTIFY_ROUTINE NotifyRoutine)
{
    return AddRoutine(PspImageSlots, &PspImageRoutines, (PVOID)(ULONG_PTR)NotifyRoutine, FALSE);
}

NTSTATUS NTAPI PsRemoveLoadImageNotifyRoutine(PLOAD_IMAGE_NOTIFY_ROUTINE NotifyRoutine)
{
    return RemoveRoutine(PspImageSlots, &PspImageRoutines, (PVOID)(ULONG_PTR)NotifyRoutine, FALSE);
}
