/*
 * ex_callback.c - suite for callback objects, and for unregistering while notifications are under way.
 *
 * Routines note what they were called with. Every case ends with as many callback objects as it began with. The
 * race has one thread register and take back while others notify: no call may begin after a registration was taken back.
 */
#include "ketest.h"

#include <ntos/ex.h>
#include <ntos/ke.h>
#include <ntos/ob.h>

static OBJECT_ATTRIBUTES ExcAttributes(PUNICODE_STRING Name, PCWSTR Text, ULONG Flags)
{
    OBJECT_ATTRIBUTES Attributes;

    RtlInitUnicodeString(Name, Text);
    InitializeObjectAttributes(&Attributes, (Text == NULL) ? NULL : Name, Flags | OBJ_CASE_INSENSITIVE, NULL, NULL);
    return Attributes;
}

static ULONG ExcOrder[4], ExcCalls;
static KIRQL ExcIrql;

/* Notes its number (the context), and checks the arguments. */
static VOID NTAPI ExcNote(PVOID Context, PVOID Argument1, PVOID Argument2)
{
    if (ExcCalls < RTL_NUMBER_OF(ExcOrder) && Argument1 == &ExcCalls && Argument2 == &ExcIrql) {
        ExcOrder[ExcCalls] = (ULONG)(ULONG_PTR)Context;
    }
    ExcCalls++;
    ExcIrql = KeGetCurrentIrql();
}

static VOID ExcNotify(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = ExcAttributes(&Name, NULL, 0);
    LONG64 Before;
    PCALLBACK_OBJECT Callback;
    PVOID First, Second;
    KIRQL Irql;

    Before = ExpCallbackType->ObjectCount;
    ExcCalls = 0;
    KTAP_EQUAL(ExCreateCallback(&Callback, &Attributes, TRUE, TRUE), STATUS_SUCCESS);
    First = ExRegisterCallback(Callback, ExcNote, (PVOID)1);
    Second = ExRegisterCallback(Callback, ExcNote, (PVOID)2);
    KTAP_CHECK(First != NULL && Second != NULL);
    ExNotifyCallback(Callback, &ExcCalls, &ExcIrql);
    KTAP_EQUAL(ExcCalls, 2);
    KTAP_EQUAL(ExcOrder[0], 1);
    KTAP_EQUAL(ExcOrder[1], 2);
    KTAP_EQUAL(ExcIrql, PASSIVE_LEVEL);
    ExUnregisterCallback(First);
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    ExNotifyCallback(Callback, &ExcCalls, &ExcIrql);
    KeLowerIrql(Irql);
    KTAP_EQUAL(ExcCalls, 3);
    KTAP_EQUAL(ExcOrder[2], 2);
    KTAP_EQUAL(ExcIrql, DISPATCH_LEVEL);
    ObDereferenceObject(Callback);
    KTAP_EQUAL(ExpCallbackType->ObjectCount, Before + 1); /* the registration keeps it */
    ExUnregisterCallback(Second);
    KTAP_EQUAL(ExpCallbackType->ObjectCount, Before);
}

static VOID ExcSingle(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = ExcAttributes(&Name, NULL, 0);
    PCALLBACK_OBJECT Callback;
    PVOID First, Second, Third;

    KTAP_EQUAL(ExCreateCallback(&Callback, &Attributes, TRUE, FALSE), STATUS_SUCCESS);
    First = ExRegisterCallback(Callback, ExcNote, NULL);
    Second = ExRegisterCallback(Callback, ExcNote, NULL);
    ExUnregisterCallback(First);
    Third = ExRegisterCallback(Callback, ExcNote, NULL);
    ExUnregisterCallback(Third);
    ObDereferenceObject(Callback);
    KTAP_CHECK(First != NULL && Third != NULL);
    KTAP_CHECK(Second == NULL);
}

static VOID ExcNamed(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = ExcAttributes(&Name, L"\\Callback\\ExTest", 0);
    LONG64 Before = ExpCallbackType->ObjectCount;
    PCALLBACK_OBJECT First, Second;

    KTAP_EQUAL(ExCreateCallback(&First, &Attributes, FALSE, TRUE), STATUS_OBJECT_NAME_NOT_FOUND);
    Attributes.Attributes |= OBJ_PERMANENT;
    KTAP_EQUAL(ExCreateCallback(&First, &Attributes, TRUE, TRUE), STATUS_SUCCESS);
    Attributes = ExcAttributes(&Name, L"\\callback\\extest", 0);
    KTAP_EQUAL(ExCreateCallback(&Second, &Attributes, FALSE, TRUE), STATUS_SUCCESS);
    KTAP_CHECK(First == Second);
    ObMakeTemporaryObject(First);
    ObDereferenceObject(First);
    ObDereferenceObject(Second);
    KTAP_EQUAL(ExCreateCallback(&First, &Attributes, FALSE, TRUE), STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(ExpCallbackType->ObjectCount, Before);
    Attributes = ExcAttributes(&Name, L"\\Callback\\PowerState", 0);
    KTAP_EQUAL(ExCreateCallback(&First, &Attributes, FALSE, TRUE), STATUS_SUCCESS);
    KTAP_CHECK(First == ExCbPowerState);
    ObDereferenceObject(First);
    Attributes = ExcAttributes(&Name, L"\\Callback\\SetSystemTime", 0);
    KTAP_EQUAL(ExCreateCallback(&First, &Attributes, FALSE, TRUE), STATUS_SUCCESS);
    ObDereferenceObject(First);
    Attributes = ExcAttributes(&Name, L"\\Callback\\ProcessorAdd", 0);
    KTAP_EQUAL(ExCreateCallback(&First, &Attributes, FALSE, TRUE), STATUS_SUCCESS);
    ObDereferenceObject(First);
}

/* ---- Unregistering against notifying ---- */

#define EXC_NOTIFIERS 3

static PCALLBACK_OBJECT ExcRaced;
static volatile LONG ExcAlive, ExcLate, ExcStop, ExcNotifiers;
static KEVENT ExcDone;

/* Counts calls after its registration was taken back. */
static VOID NTAPI ExcCheckAlive(PVOID Context, PVOID Argument1, PVOID Argument2)
{
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    if (ExcAlive == 0) {
        InterlockedIncrement(&ExcLate);
    }
}

static VOID NTAPI ExcNotifier(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    while (ExcStop == 0) {
        ExNotifyCallback(ExcRaced, NULL, NULL);
        YieldProcessor();
    }
    if (InterlockedDecrement(&ExcNotifiers) == 0) {
        KeSetEvent(&ExcDone, IO_NO_INCREMENT, FALSE);
    }
}

static VOID ExcRace(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = ExcAttributes(&Name, NULL, 0);
    ULONG64 Rounds = KtapIterations(20000), Failed = 0;

    KTAP_EQUAL(ExCreateCallback(&ExcRaced, &Attributes, TRUE, FALSE), STATUS_SUCCESS);
    ExcAlive = ExcLate = ExcStop = 0;
    ExcNotifiers = EXC_NOTIFIERS;
    KeInitializeEvent(&ExcDone, NotificationEvent, FALSE);
    for (ULONG Index = 0; Index < EXC_NOTIFIERS; Index++) {
        KTAP_CHECK(TestThread(ExcNotifier, NULL, 8));
    }
    for (ULONG64 Round = 0; Round < Rounds; Round++) {
        PVOID Registration;

        ExcAlive = 1;
        Registration = ExRegisterCallback(ExcRaced, ExcCheckAlive, NULL);
        Failed += (Registration == NULL) ? 1 : 0;
        if (Round % 64 == 0) {
            ZwYieldExecution();
        }
        if (Registration != NULL) {
            ExUnregisterCallback(Registration);
        }
        ExcAlive = 0;
    }
    ExcStop = 1;
    KTAP_EQUAL(TestWait(&ExcDone), STATUS_SUCCESS);
    ObDereferenceObject(ExcRaced);
    KTAP_EQUAL(ExcLate, 0);
    KTAP_EQUAL(Failed, 0);
}

static const KTAP_CASE_ENTRY ExcCases[] = {
    {"notify", ExcNotify},
    {"single", ExcSingle},
    {"named", ExcNamed},
    {"unregister_versus_notify", ExcRace},
};
KTAP_SUITE(ExcSuite, "ex.callback", ExcCases);
