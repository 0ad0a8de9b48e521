/*
 * ob_race.c - suite of races in the object manager: closing against using, names against last handles.
 *
 * Threads at one priority share a few slots of handles. A handle is closed only by the thread that took it out of its slot, so
 * nobody closes what is not the suite's; it is used with no such care, and a stale number may stand for anything or for nothing.
 */
#include "ketest.h"

#include <ntos/ke.h>
#include <ntos/ob.h>

#define OBR_THREADS 4U
#define OBR_SLOTS   8U

static HANDLE volatile ObrSlots[OBR_SLOTS];
static ULONG64 ObrRounds;
static volatile LONG ObrWrong, ObrRunning;
static KEVENT ObrDone;

static NTSTATUS ObrEvent(PHANDLE Handle, PCWSTR Path, ULONG Flags)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;

    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, (Path == NULL) ? NULL : &Name, Flags | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateEvent(Handle, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE);
}

static VOID ObrWrongIf(BOOLEAN Condition)
{
    if (Condition) {
        InterlockedIncrement(&ObrWrong);
    }
}

/* A new handle into a slot; what was there is closed, once. */
static VOID ObrReplace(ULONG Slot, BOOLEAN Fill)
{
    HANDLE New = NULL, Old;

    if (Fill && !NT_SUCCESS(ObrEvent(&New, NULL, 0))) {
        New = NULL;
    }
    Old = InterlockedExchangePointer((PVOID volatile *)&ObrSlots[Slot], New);
    if (Old != NULL) {
        ObrWrongIf(ZwClose(Old) != STATUS_SUCCESS);
    }
}

static VOID ObrUse(ULONG Slot)
{
    HANDLE Handle = ObrSlots[Slot], Copy;
    PVOID Object;
    NTSTATUS Status = ObReferenceObjectByHandle(Handle, 0, *ExEventObjectType, KernelMode, &Object, NULL);

    if (NT_SUCCESS(Status)) {
        ObrWrongIf(ObGetPointerCount(Object) < 1 || ObGetObjectType(Object) != *ExEventObjectType);
        KeSetEvent(Object, IO_NO_INCREMENT, FALSE);
        ObDereferenceObject(Object);
    } else {
        ObrWrongIf(Status != STATUS_INVALID_HANDLE && Status != STATUS_OBJECT_TYPE_MISMATCH);
    }
    if (NT_SUCCESS(ZwDuplicateObject(ZwCurrentProcess(), Handle, ZwCurrentProcess(), &Copy, 0, OBJ_KERNEL_HANDLE,
                                     DUPLICATE_SAME_ACCESS))) {
        ObrWrongIf(ZwClose(Copy) != STATUS_SUCCESS);
    }
}

static VOID ObrEnd(VOID)
{
    if (InterlockedDecrement(&ObrRunning) == 0) {
        KeSetEvent(&ObrDone, IO_NO_INCREMENT, FALSE);
    }
}

static VOID NTAPI ObrCloseAndUse(PVOID Context)
{
    ULONG Seed = (ULONG)(ULONG_PTR)Context + 1;

    for (ULONG64 Round = 0; Round < ObrRounds; Round++) {
        ULONG Random = RtlRandomEx(&Seed), Slot = Random % OBR_SLOTS;

        if (Random / OBR_SLOTS % 4 == 0) {
            ObrReplace(Slot, Random / OBR_SLOTS % 16 != 0);
        } else {
            ObrUse(Slot);
        }
    }
    ObrEnd();
}

/* While a handle to a named object is open the name leads to that object. */
static VOID NTAPI ObrNames(PVOID Context)
{
    for (ULONG64 Round = 0; Round < ObrRounds; Round++) {
        HANDLE First, Second;
        PVOID One, Other;
        NTSTATUS Status = ObrEvent(&First, L"\\ObRaceName", OBJ_OPENIF);

        ObrWrongIf(Status != STATUS_SUCCESS && Status != STATUS_OBJECT_NAME_EXISTS);
        if (!NT_SUCCESS(Status)) {
            continue;
        }
        Status = ObrEvent(&Second, L"\\ObRaceName", OBJ_OPENIF);
        ObrWrongIf(Status != STATUS_OBJECT_NAME_EXISTS);
        if (NT_SUCCESS(Status)) {
            ObReferenceObjectByHandle(First, 0, NULL, KernelMode, &One, NULL);
            ObReferenceObjectByHandle(Second, 0, NULL, KernelMode, &Other, NULL);
            ObrWrongIf(One != Other);
            ObDereferenceObject(One);
            ObDereferenceObject(Other);
            ZwClose(Second);
        }
        ZwClose(First);
    }
    ObrEnd();
}

static VOID ObrRun(PKTAP_CONTEXT Ktap, PKSTART_ROUTINE Routine, ULONG64 Rounds)
{
    ObrRounds = Rounds;
    ObrWrong = 0;
    ObrRunning = OBR_THREADS;
    KeInitializeEvent(&ObrDone, NotificationEvent, FALSE);
    for (ULONG Index = 0; Index < OBR_THREADS; Index++) {
        KTAP_CHECK(TestThread(Routine, (PVOID)(ULONG_PTR)Index, 8));
    }
    KTAP_EQUAL(KeWaitForSingleObject(&ObrDone, Executive, KernelMode, FALSE, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(ObrWrong, 0);
}

static VOID ObrCloseUse(PKTAP_CONTEXT Ktap)
{
    LONG64 Objects = ExpEventObjectType->ObjectCount, Handles = ExpEventObjectType->HandleCount;

    ObrRun(Ktap, ObrCloseAndUse, max(KtapIterations(100000) / OBR_THREADS, 1));
    for (ULONG Slot = 0; Slot < OBR_SLOTS; Slot++) {
        ObrReplace(Slot, FALSE);
    }
    ObFlushDeferredDeletes();
    KTAP_EQUAL(ExpEventObjectType->HandleCount, Handles);
    KTAP_EQUAL(ExpEventObjectType->ObjectCount, Objects);
}

static VOID ObrNameUse(PKTAP_CONTEXT Ktap)
{
    LONG64 Objects = ExpEventObjectType->ObjectCount, Handles = ExpEventObjectType->HandleCount;

    ObrRun(Ktap, ObrNames, KtapIterations(3000));
    ObFlushDeferredDeletes();
    KTAP_EQUAL(ExpEventObjectType->HandleCount, Handles);
    KTAP_EQUAL(ExpEventObjectType->ObjectCount, Objects);
}

static const KTAP_CASE_ENTRY ObrCases[] = {
    {"close_versus_use", ObrCloseUse},
    {"names_versus_close", ObrNameUse},
};
KTAP_SUITE(ObrSuite, "ob.race", ObrCases);
