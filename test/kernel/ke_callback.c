/*
 * ke_callback.c - suite for those whom the kernel calls at bug checks, NMIs and for processors.
 *
 * That a bug check calls is seen by test_crash.py, which ends a machine with `crash callback`; here are the records. NMIs are sent to the own processor,
 * in a callback that takes them, so that nothing is reported.
 */
#include <ntos/hal.h>
#include <ntos/ke.h>
#include <ntos/ktap.h>

static VOID NTAPI CallbackPlain(PVOID Buffer, ULONG Length)
{
    UNREFERENCED_PARAMETER(Buffer);
    UNREFERENCED_PARAMETER(Length);
}

static VOID NTAPI CallbackReason(KBUGCHECK_CALLBACK_REASON Reason, PKBUGCHECK_REASON_CALLBACK_RECORD Record, PVOID Data,
                                 ULONG Length)
{
    UNREFERENCED_PARAMETER(Reason);
    UNREFERENCED_PARAMETER(Record);
    UNREFERENCED_PARAMETER(Data);
    UNREFERENCED_PARAMETER(Length);
}

static VOID CallbackRecords(PKTAP_CONTEXT Ktap)
{
    static KBUGCHECK_CALLBACK_RECORD Plain;
    static KBUGCHECK_REASON_CALLBACK_RECORD Reason;
    PUCHAR Name = (PUCHAR) "ktap";

    KeInitializeCallbackRecord((&Plain));
    KeInitializeCallbackRecord((&Reason));
    KTAP_CHECK(KeRegisterBugCheckCallback(&Plain, CallbackPlain, &Plain, sizeof(Plain), Name));
    KTAP_CHECK(!KeRegisterBugCheckCallback(&Plain, CallbackPlain, &Plain, sizeof(Plain), Name));
    KTAP_CHECK(KeRegisterBugCheckReasonCallback(&Reason, CallbackReason, KbCallbackSecondaryDumpData, Name));
    KTAP_CHECK(!KeRegisterBugCheckReasonCallback(&Reason, CallbackReason, KbCallbackSecondaryDumpData, Name));
    KTAP_CHECK(KeDeregisterBugCheckReasonCallback(&Reason) && !KeDeregisterBugCheckReasonCallback(&Reason));
    KTAP_CHECK(KeDeregisterBugCheckCallback(&Plain) && !KeDeregisterBugCheckCallback(&Plain));
}

static volatile LONG CallbackNmis, CallbackOthers;

static BOOLEAN NTAPI CallbackTakes(PVOID Context, BOOLEAN Handled)
{
    InterlockedExchangeAdd(&CallbackNmis, Context == &CallbackNmis && !Handled ? 1 : 100);
    return TRUE;
}

static BOOLEAN NTAPI CallbackSees(PVOID Context, BOOLEAN Handled)
{
    InterlockedIncrement((volatile LONG *)Context);
    return Handled;
}

/* An NMI to a processor, seen by the routines that are there; the newer is asked first. */
static VOID CallbackNmi(PKTAP_CONTEXT Ktap)
{
    KAFFINITY Other = (KAFFINITY)1 << (KeQueryActiveProcessorCount(NULL) - 1);
    PVOID Sees, Takes;

    CallbackNmis = CallbackOthers = 0;
    KTAP_CHECK((Sees = KeRegisterNmiCallback(CallbackSees, (PVOID)&CallbackOthers)) != NULL);
    KTAP_CHECK((Takes = KeRegisterNmiCallback(CallbackTakes, (PVOID)&CallbackNmis)) != NULL);
    HalSendIpi(Other, HAL_IPI_NMI);
    while (CallbackOthers == 0) {
        YieldProcessor();
    }
    KTAP_EQUAL(CallbackNmis, 1);
    KTAP_EQUAL(KeDeregisterNmiCallback(Sees), STATUS_SUCCESS);
    HalSendIpi(Other, HAL_IPI_NMI);
    while (CallbackNmis == 1) {
        YieldProcessor();
    }
    KTAP_EQUAL(CallbackOthers, 1);
    KTAP_EQUAL(KeDeregisterNmiCallback(Takes), STATUS_SUCCESS);
    KTAP_EQUAL(KeDeregisterNmiCallback(Takes), STATUS_INVALID_HANDLE);
}

static ULONG CallbackSeen[3], CallbackRefuse;

static VOID NTAPI CallbackProcessor(PVOID Context, PKE_PROCESSOR_CHANGE_NOTIFY_CONTEXT Change, PNTSTATUS Status)
{
    CallbackSeen[Change->State] +=
        (Context == CallbackSeen && Change->ProcNumber.Number == Change->NtNumber) ? 1 : 1000;
    if (Change->State == KeProcessorAddStartNotify && Change->NtNumber == CallbackRefuse) {
        *Status = STATUS_UNSUCCESSFUL;
    }
}

static VOID CallbackProcessors(PKTAP_CONTEXT Ktap)
{
    ULONG Count = KeQueryActiveProcessorCount(NULL);
    PVOID Handle;

    RtlZeroMemory(CallbackSeen, sizeof(CallbackSeen));
    CallbackRefuse = MAXULONG;
    KTAP_CHECK((Handle = KeRegisterProcessorChangeCallback(CallbackProcessor, CallbackSeen, 0)) != NULL);
    KTAP_EQUAL(CallbackSeen[KeProcessorAddStartNotify], 0);
    KeDeregisterProcessorChangeCallback(Handle);
    KTAP_CHECK((Handle = KeRegisterProcessorChangeCallback(CallbackProcessor, CallbackSeen,
                                                           KE_PROCESSOR_CHANGE_ADD_EXISTING)) != NULL);
    KTAP_EQUAL(CallbackSeen[KeProcessorAddStartNotify], Count);
    KTAP_EQUAL(CallbackSeen[KeProcessorAddCompleteNotify], Count);
    KeDeregisterProcessorChangeCallback(Handle);
    CallbackRefuse = 0; /* the first: the registration fails, and it is told so */
    KTAP_CHECK(KeRegisterProcessorChangeCallback(CallbackProcessor, CallbackSeen, KE_PROCESSOR_CHANGE_ADD_EXISTING) ==
               NULL);
    KTAP_CHECK(CallbackSeen[KeProcessorAddFailureNotify] >= 1);
}

static const KTAP_CASE_ENTRY CallbackCases[] = {
    {"records", CallbackRecords},
    {"nmi", CallbackNmi},
    {"processors", CallbackProcessors},
};

KTAP_SUITE(CallbackSuite, "ke.callback", CallbackCases);
