/*
 * kecallback.c - whom the kernel calls at a bug check, at an NMI of unknown origin, and for each processor.
 *
 * A bug check calls after its report, with the other processors stopped and interrupts off: first the plain callbacks, then those that add
 * data of their own, newest first. The records are the drivers', so each is copied without faulting and called only if its checksum is right; a list that is
 * damaged ends the round. A callback that fails stops the machine, whose report is out by then.
 *
 * NMI callbacks are walked by the NMI itself, which takes no lock: entries are pushed and unlinked by single stores, and freed when every processor has
 * answered an interrupt since. Processors are never added, so a processor callback is called at its registration or never.
 *
 * Locks: KiCallbackLock (spin, HIGH_LEVEL), for the lists of a bug check; KiCallbackMutex (fast mutex) for changes of the other two. Source:
 * WDK documentation of the routines.
 */
#include <ntos/console.h>
#include <ntos/ke.h>

#include "processor.h"

#define KI_TAG_CALLBACK 'bCeK'

/* Records that a bug check calls at most: more than there are drivers, fewer than a list that goes in circles has. */
#define KI_MOST_CALLBACKS 128

/* Bytes that a callback may add, of which the report shows so many. */
#define KI_DUMP_BYTES  4096
#define KI_SHOWN_BYTES 32

typedef struct _KI_NMI_CALLBACK {
    struct _KI_NMI_CALLBACK *volatile Next;
    PNMI_CALLBACK Routine;
    PVOID Context;
} KI_NMI_CALLBACK, *PKI_NMI_CALLBACK;

typedef struct _KI_PROCESSOR_CALLBACK {
    LIST_ENTRY Link; /* (KiCallbackMutex) */
    PPROCESSOR_CALLBACK_FUNCTION Routine;
    PVOID Context;
} KI_PROCESSOR_CALLBACK, *PKI_PROCESSOR_CALLBACK;

static KSPIN_LOCK KiCallbackLock;
VF_NAME_LOCK(KiCallbackLock, "KiCallbackLock");
static LIST_ENTRY KiBugCallbacks = {&KiBugCallbacks, &KiBugCallbacks}; /* (KiCallbackLock) */
static LIST_ENTRY KiReasonCallbacks = {&KiReasonCallbacks, &KiReasonCallbacks};
static FAST_MUTEX KiCallbackMutex;
VF_NAME_LOCK(KiCallbackMutex, "KiCallbackMutex");
static PKI_NMI_CALLBACK volatile KiNmiCallbacks; /* newest first */
static LIST_ENTRY KiProcessorCallbacks = {&KiProcessorCallbacks, &KiProcessorCallbacks};

/* Before drivers are started. */
VOID KiInitializeCallbacks(VOID)
{
    ExInitializeFastMutex(&KiCallbackMutex);
}

/* ---- Registration for bug checks: IRQL any ---- */

static KIRQL KiLockCallbacks(VOID)
{
    KIRQL Irql = KfRaiseIrql(HIGH_LEVEL);

    KeAcquireSpinLockAtDpcLevel(&KiCallbackLock);
    return Irql;
}

static VOID KiUnlockCallbacks(KIRQL Irql)
{
    KeReleaseSpinLockFromDpcLevel(&KiCallbackLock);
    KeLowerIrql(Irql);
}

static ULONG_PTR KiCallbackSum(const KBUGCHECK_CALLBACK_RECORD *Record)
{
    return (ULONG_PTR)Record->CallbackRoutine + (ULONG_PTR)Record->Buffer + Record->Length +
           (ULONG_PTR)Record->Component;
}

static ULONG_PTR KiReasonSum(const KBUGCHECK_REASON_CALLBACK_RECORD *Record)
{
    return (ULONG_PTR)Record->CallbackRoutine + (ULONG_PTR)Record->Component + (ULONG_PTR)Record->Reason;
}

/* Enters a record, or takes it out. FALSE: it is there already, or is not. */
static BOOLEAN KiChangeList(PLIST_ENTRY List, PLIST_ENTRY Entry, PUCHAR State, BOOLEAN Insert)
{
    KIRQL Irql = KiLockCallbacks();
    BOOLEAN Changed = (*State == BufferInserted) != Insert;

    if (Changed && Insert) {
        InsertHeadList(List, Entry);
        *State = BufferInserted;
    } else if (Changed) {
        RemoveEntryList(Entry);
        *State = BufferEmpty;
    }
    KiUnlockCallbacks(Irql);
    return Changed;
}

/* The record was given to KeInitializeCallbackRecord. FALSE: it is registered already. */
BOOLEAN NTAPI KeRegisterBugCheckCallback(PKBUGCHECK_CALLBACK_RECORD CallbackRecord,
                                         PKBUGCHECK_CALLBACK_ROUTINE CallbackRoutine, PVOID Buffer, ULONG Length,
                                         PUCHAR Component)
{
    if (CallbackRecord->State == BufferInserted) {
        return FALSE;
    }
    CallbackRecord->CallbackRoutine = CallbackRoutine;
    CallbackRecord->Buffer = Buffer;
    CallbackRecord->Length = Length;
    CallbackRecord->Component = Component;
    CallbackRecord->Checksum = KiCallbackSum(CallbackRecord);
    return KiChangeList(&KiBugCallbacks, &CallbackRecord->Entry, &CallbackRecord->State, TRUE);
}

BOOLEAN NTAPI KeDeregisterBugCheckCallback(PKBUGCHECK_CALLBACK_RECORD CallbackRecord)
{
    return KiChangeList(&KiBugCallbacks, &CallbackRecord->Entry, &CallbackRecord->State, FALSE);
}

BOOLEAN NTAPI KeRegisterBugCheckReasonCallback(PKBUGCHECK_REASON_CALLBACK_RECORD CallbackRecord,
                                               PKBUGCHECK_REASON_CALLBACK_ROUTINE CallbackRoutine,
                                               KBUGCHECK_CALLBACK_REASON Reason, PUCHAR Component)
{
    if (CallbackRecord->State == BufferInserted) {
        return FALSE;
    }
    CallbackRecord->CallbackRoutine = CallbackRoutine;
    CallbackRecord->Reason = Reason;
    CallbackRecord->Component = Component;
    CallbackRecord->Checksum = KiReasonSum(CallbackRecord);
    return KiChangeList(&KiReasonCallbacks, &CallbackRecord->Entry, &CallbackRecord->State, TRUE);
}

BOOLEAN NTAPI KeDeregisterBugCheckReasonCallback(PKBUGCHECK_REASON_CALLBACK_RECORD CallbackRecord)
{
    return KiChangeList(&KiReasonCallbacks, &CallbackRecord->Entry, &CallbackRecord->State, FALSE);
}

/* ---- At the bug check ---- */

static VOID KiPrintComponent(PCSTR What, const UCHAR *Component, ULONG Bytes)
{
    CHAR Name[32] = "?";

    KiCopyMemoryNoFault(Name, Component, sizeof(Name) - 1);
    Name[sizeof(Name) - 1] = 0;
    ConPrint("%s %s, %lu bytes\n", What, Name, Bytes);
}

static VOID KiCallPlain(VOID)
{
    KBUGCHECK_CALLBACK_RECORD Record;
    PLIST_ENTRY Link = KiBugCallbacks.Flink;

    for (ULONG Count = 0; Link != &KiBugCallbacks && Count < KI_MOST_CALLBACKS; Count++, Link = Record.Entry.Flink) {
        if (!KiCopyMemoryNoFault(&Record, Link, sizeof(Record)) || Record.Checksum != KiCallbackSum(&Record)) {
            return;
        }
        CONTAINING_RECORD(Link, KBUGCHECK_CALLBACK_RECORD, Entry)->State = BufferStarted;
        Record.CallbackRoutine(Record.Buffer, Record.Length);
        CONTAINING_RECORD(Link, KBUGCHECK_CALLBACK_RECORD, Entry)->State = BufferFinished;
        KiPrintComponent("bug check callback:", Record.Component, Record.Length);
    }
}

/* Data that a component wants in a dump: shown in part, since none is written. */
static VOID KiCallForData(PKBUGCHECK_REASON_CALLBACK_RECORD Record, PKBUGCHECK_REASON_CALLBACK_RECORD Original)
{
    static UCHAR Buffer[KI_DUMP_BYTES];
    KBUGCHECK_SECONDARY_DUMP_DATA Data = {
        .InBuffer = Buffer, .InBufferLength = sizeof(Buffer), .MaximumAllowed = sizeof(Buffer)};
    UCHAR Shown[KI_SHOWN_BYTES];
    ULONG Bytes;

    Record->CallbackRoutine(Record->Reason, Original, &Data, sizeof(Data));
    Bytes = min(Data.OutBufferLength, KI_DUMP_BYTES);
    KiPrintComponent("bug check data:", Record->Component, Bytes);
    Bytes = min(Bytes, KI_SHOWN_BYTES);
    if (Bytes != 0 && KiCopyMemoryNoFault(Shown, Data.OutBuffer, Bytes)) {
        for (ULONG Index = 0; Index < Bytes; Index++) {
            ConPrint(Index + 1 < Bytes ? "%02x " : "%02x\n", Shown[Index]);
        }
    }
}

static VOID KiCallReasons(VOID)
{
    KBUGCHECK_REASON_CALLBACK_RECORD Record;
    PLIST_ENTRY Link = KiReasonCallbacks.Flink;

    for (ULONG Count = 0; Link != &KiReasonCallbacks && Count < KI_MOST_CALLBACKS; Count++, Link = Record.Entry.Flink) {
        if (!KiCopyMemoryNoFault(&Record, Link, sizeof(Record)) || Record.Checksum != KiReasonSum(&Record)) {
            return;
        }
        if (Record.Reason == KbCallbackSecondaryDumpData) {
            KiCallForData(&Record, CONTAINING_RECORD(Link, KBUGCHECK_REASON_CALLBACK_RECORD, Entry));
        }
    }
}

/* After the report. HIGH_LEVEL in effect: interrupts off, the other processors stopped. */
VOID KiCallAtBugCheck(VOID)
{
    KiCallPlain();
    KiCallReasons();
}

/* ---- NMIs ---- */

/**
 * KeRegisterNmiCallback - has a routine called at every NMI that is not the kernel's own.
 *
 * @CallbackRoutine  gets whether somebody before it took the NMI; says whether it does, or that it was taken. A taken NMI is not reported
 * returns           a handle for KeDeregisterNmiCallback; NULL: no memory
 *
 * IRQL: <= APC_LEVEL (documented: < DISPATCH_LEVEL). The routine runs in the NMI, and may take no lock nor fault.
 */
PVOID NTAPI KeRegisterNmiCallback(PNMI_CALLBACK CallbackRoutine, PVOID Context)
{
    PKI_NMI_CALLBACK Entry = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Entry), KI_TAG_CALLBACK);

    if (Entry != NULL) {
        Entry->Routine = CallbackRoutine;
        Entry->Context = Context;
        ExAcquireFastMutex(&KiCallbackMutex);
        Entry->Next = KiNmiCallbacks;
        InterlockedExchangePointer((PVOID volatile *)&KiNmiCallbacks, Entry);
        ExReleaseFastMutex(&KiCallbackMutex);
    }
    return Entry;
}

static ULONG_PTR NTAPI KiAnswer(ULONG_PTR Context)
{
    return Context;
}

/* STATUS_SUCCESS: the routine does not run and will not; STATUS_INVALID_HANDLE. IRQL: <= APC_LEVEL. */
NTSTATUS NTAPI KeDeregisterNmiCallback(PVOID Handle)
{
    PKI_NMI_CALLBACK Found = NULL;

    ExAcquireFastMutex(&KiCallbackMutex);
    for (PKI_NMI_CALLBACK volatile *Place = &KiNmiCallbacks; *Place != NULL; Place = &(*Place)->Next) {
        if (*Place == Handle) {
            Found = Handle;
            *Place = Found->Next;
            break;
        }
    }
    ExReleaseFastMutex(&KiCallbackMutex);
    if (Found == NULL) {
        return STATUS_INVALID_HANDLE;
    }
    KeIpiGenericCall(KiAnswer, 0); /* who was in an NMI has left it */
    ExFreePoolWithTag(Found, KI_TAG_CALLBACK);
    return STATUS_SUCCESS;
}

/* TRUE: a callback took the NMI. In the NMI. */
BOOLEAN KiCallAtNmi(VOID)
{
    BOOLEAN Handled = FALSE;

    for (PKI_NMI_CALLBACK Entry = KiNmiCallbacks; Entry != NULL; Entry = Entry->Next) {
        Handled = Entry->Routine(Entry->Context, Handled) || Handled;
    }
    return Handled;
}

/* ---- Processors ---- */

/* Tells a routine of one processor; what it answers to the start. */
static NTSTATUS KiTellOfProcessor(PKI_PROCESSOR_CALLBACK Entry, ULONG Number, KE_PROCESSOR_CHANGE_NOTIFY_STATE State)
{
    KE_PROCESSOR_CHANGE_NOTIFY_CONTEXT Change = {.State = State, .NtNumber = Number};
    NTSTATUS Status = STATUS_SUCCESS;

    KeGetProcessorNumberFromIndex(Number, &Change.ProcNumber);
    Entry->Routine(Entry->Context, &Change, &Status);
    return Status;
}

/**
 * KeRegisterProcessorChangeCallback - has a routine called when a processor is added.
 *
 * @Flags   KE_PROCESSOR_CHANGE_ADD_EXISTING: also for those that run already, now
 * returns  a handle for KeDeregisterProcessorChangeCallback; NULL: no memory, or the routine answered an error for one of them
 *
 * IRQL: PASSIVE_LEVEL.
 */
PVOID NTAPI KeRegisterProcessorChangeCallback(PPROCESSOR_CALLBACK_FUNCTION CallbackFunction, PVOID CallbackContext,
                                              ULONG Flags)
{
    PKI_PROCESSOR_CALLBACK Entry = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Entry), KI_TAG_CALLBACK);
    ULONG Count = (Flags & KE_PROCESSOR_CHANGE_ADD_EXISTING) != 0 ? KeQueryActiveProcessorCount(NULL) : 0;
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG Told = 0;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (Entry == NULL) {
        return NULL;
    }
    Entry->Routine = CallbackFunction;
    Entry->Context = CallbackContext;
    for (; Told < Count && NT_SUCCESS(Status); Told++) {
        Status = KiTellOfProcessor(Entry, Told, KeProcessorAddStartNotify);
    }
    for (ULONG Number = 0; Number < Told; Number++) {
        KiTellOfProcessor(Entry, Number,
                          NT_SUCCESS(Status) ? KeProcessorAddCompleteNotify : KeProcessorAddFailureNotify);
    }
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(Entry, KI_TAG_CALLBACK);
        return NULL;
    }
    ExAcquireFastMutex(&KiCallbackMutex);
    InsertTailList(&KiProcessorCallbacks, &Entry->Link);
    ExReleaseFastMutex(&KiCallbackMutex);
    return Entry;
}

VOID NTAPI KeDeregisterProcessorChangeCallback(PVOID CallbackHandle)
{
    PKI_PROCESSOR_CALLBACK Entry = CallbackHandle;

    ASSERT_IRQL(PASSIVE_LEVEL);
    ExAcquireFastMutex(&KiCallbackMutex);
    RemoveEntryList(&Entry->Link);
    ExReleaseFastMutex(&KiCallbackMutex);
    ExFreePoolWithTag(Entry, KI_TAG_CALLBACK);
}
