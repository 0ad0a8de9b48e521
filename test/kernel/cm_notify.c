/*
 * cm_notify.c - hearing of changes in the registry, and callbacks around its operations.
 *
 * Notification: each kind of change with and without the filter that wants it, on the key itself and below it, the change
 * that comes between two calls, the close of the handle and the deletion of the key. Callbacks: order by altitude, refusal,
 * bypass, a replaced result, and the context handed from before to after.
 */
#include <ntos/cm.h>

#include "ketest.h"

#define HOME L"\\Registry\\Machine\\Software\\NotifyTest"

static HANDLE Home;
static IO_STATUS_BLOCK IoStatus; /* static: it is written at the change */

static NTSTATUS Make(HANDLE Root, PCWSTR Path, PHANDLE Key)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;

    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, Root, NULL);
    return ZwCreateKey(Key, KEY_ALL_ACCESS, &Attributes, 0, NULL, 0, NULL);
}

static NTSTATUS SetValue(HANDLE Key, PCWSTR Value)
{
    UNICODE_STRING Name;

    RtlInitUnicodeString(&Name, Value);
    return ZwSetValueKey(Key, &Name, 0, REG_NONE, NULL, 0);
}

static NTSTATUS Watch(HANDLE Key, HANDLE Event, ULONG Filter, BOOLEAN Subtree)
{
    IoStatus.Status = STATUS_PENDING;
    return ZwNotifyChangeKey(Key, Event, NULL, NULL, &IoStatus, Filter, Subtree, NULL, 0, TRUE);
}

static VOID NotifyChanges(PKTAP_CONTEXT Ktap)
{
    HANDLE Event, Sub, Second;
    PKEVENT Object;

    KTAP_EQUAL(Make(NULL, HOME, &Home), STATUS_SUCCESS);
    KTAP_EQUAL(ZwCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, NotificationEvent, TRUE), STATUS_SUCCESS);
    KTAP_EQUAL(ObReferenceObjectByHandle(Event, 0, NULL, KernelMode, (PVOID *)&Object, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(Watch(Home, Event, 0, FALSE), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(Watch(Home, Event, 0x100, FALSE), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(Watch(Home, Event, REG_NOTIFY_CHANGE_LAST_SET, FALSE), STATUS_PENDING);
    KTAP_EQUAL(KeReadStateEvent(Object), 0); /* cleared by the call */

    KTAP_EQUAL(Make(Home, L"Sub", &Sub), STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(SetValue(Sub, L"Below")), STATUS_SUCCESS);
    KTAP_EQUAL(KeReadStateEvent(Object), 0); /* neither a new name nor a value below it */
    KTAP_EQUAL(KTAP_WHOLE(SetValue(Home, L"Here")), STATUS_SUCCESS);
    KTAP_EQUAL(KeReadStateEvent(Object), 1);
    KTAP_EQUAL(IoStatus.Status, STATUS_NOTIFY_ENUM_DIR);

    KTAP_EQUAL(KTAP_WHOLE(SetValue(Home, L"Again")), STATUS_SUCCESS); /* nobody waits: the next call ends at once */
    KTAP_EQUAL(Watch(Home, Event, REG_NOTIFY_CHANGE_LAST_SET, FALSE), STATUS_PENDING);
    KTAP_EQUAL(KeReadStateEvent(Object), 1);
    KTAP_EQUAL(Watch(Home, Event, REG_NOTIFY_CHANGE_LAST_SET, FALSE), STATUS_PENDING);
    KTAP_EQUAL(KeReadStateEvent(Object), 0);
    ZwClose(Home);
    KTAP_EQUAL(KeReadStateEvent(Object), 1);
    KTAP_EQUAL(IoStatus.Status, STATUS_NOTIFY_CLEANUP);

    KTAP_EQUAL(Make(NULL, HOME, &Home), STATUS_SUCCESS); /* a subtree, by another handle */
    KTAP_EQUAL(Watch(Home, Event, REG_NOTIFY_CHANGE_NAME | REG_NOTIFY_CHANGE_LAST_SET, TRUE), STATUS_PENDING);
    KTAP_EQUAL(KTAP_WHOLE(SetValue(Sub, L"More")), STATUS_SUCCESS);
    KTAP_EQUAL(KeReadStateEvent(Object), 1);
    KTAP_EQUAL(Watch(Home, Event, REG_NOTIFY_CHANGE_NAME, TRUE), STATUS_PENDING);
    KTAP_EQUAL(Make(Sub, L"Deep", &Second), STATUS_SUCCESS);
    KTAP_EQUAL(KeReadStateEvent(Object), 1);
    KTAP_EQUAL(Watch(Second, Event, REG_NOTIFY_CHANGE_NAME, FALSE), STATUS_PENDING);
    KTAP_EQUAL(ZwDeleteKey(Second), STATUS_SUCCESS);
    KTAP_EQUAL(KeReadStateEvent(Object), 1);
    KTAP_EQUAL(IoStatus.Status, STATUS_NOTIFY_CLEANUP);
    KTAP_EQUAL(Watch(Second, Event, REG_NOTIFY_CHANGE_NAME, FALSE), STATUS_KEY_DELETED);
    ZwClose(Second);
    KTAP_EQUAL(ZwDeleteKey(Sub), STATUS_SUCCESS);
    ZwClose(Sub);
    KTAP_EQUAL(ZwDeleteKey(Home), STATUS_SUCCESS);
    ZwClose(Home);
    ObDereferenceObject(Object);
    ZwClose(Event);
}

static volatile LONG ItemRan;
static KEVENT ItemDone;

static VOID NTAPI ItemRoutine(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    InterlockedIncrement(&ItemRan);
    KeSetEvent(&ItemDone, IO_NO_INCREMENT, FALSE);
}

static volatile LONG WaitOver;
static KEVENT ChangerDone;

/* Changes the key again and again: the waiter may come late. */
static VOID NTAPI ChangeThread(PVOID Context)
{
    while (!WaitOver) {
        TestSleep(TEST_SECOND / 50);
        SetValue(Context, L"FromThread");
    }
    KeSetEvent(&ChangerDone, IO_NO_INCREMENT, FALSE);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static VOID NotifyWaits(PKTAP_CONTEXT Ktap)
{
    static WORK_QUEUE_ITEM Item;
    static IO_STATUS_BLOCK ItemStatus;

    KTAP_EQUAL(Make(NULL, HOME, &Home), STATUS_SUCCESS);
    KeInitializeEvent(&ItemDone, NotificationEvent, FALSE);
    KeInitializeEvent(&ChangerDone, NotificationEvent, FALSE);
    ItemRan = WaitOver = 0;
    ExInitializeWorkItem(&Item, ItemRoutine, NULL);
    KTAP_EQUAL(ZwNotifyChangeKey(Home, NULL, (PIO_APC_ROUTINE)&Item, (PVOID)DelayedWorkQueue, &ItemStatus,
                                 REG_NOTIFY_CHANGE_LAST_SET, FALSE, NULL, 0, TRUE),
               STATUS_PENDING);
    KTAP_CHECK(TestThread(ChangeThread, Home, 8));
    KTAP_EQUAL(ZwNotifyChangeKey(Home, NULL, NULL, NULL, &IoStatus, REG_NOTIFY_CHANGE_LAST_SET, FALSE, NULL, 0, FALSE),
               STATUS_NOTIFY_ENUM_DIR); /* waits here */
    WaitOver = TRUE;
    KTAP_EQUAL(TestWait(&ChangerDone), STATUS_SUCCESS);
    KTAP_EQUAL(TestWait(&ItemDone), STATUS_SUCCESS);
    KTAP_EQUAL(ItemRan, 1);
    KTAP_EQUAL(ZwDeleteKey(Home), STATUS_SUCCESS);
    ZwClose(Home);
}

/* ---- Callbacks ---- */

#define SEEN 32

static struct {
    PCSTR Who;
    REG_NOTIFY_CLASS Class;
} Seen[SEEN];
static ULONG SeenCount;
static NTSTATUS PreResult, PostResult; /* what "high" answers to a set value, before and after */
static NTSTATUS PostSaw;
static PKTHREAD TestersThread;

static NTSTATUS NTAPI Callback(PVOID Context, PVOID Argument1, PVOID Argument2)
{
    REG_NOTIFY_CLASS Class = (REG_NOTIFY_CLASS)(ULONG_PTR)Argument1;

    if (KeGetCurrentThread() != TestersThread || SeenCount == SEEN) {
        return STATUS_SUCCESS; /* somebody else uses the registry meanwhile */
    }
    Seen[SeenCount].Who = Context;
    Seen[SeenCount++].Class = Class;
    if (*(PCSTR)Context != 'h') {
        return STATUS_SUCCESS;
    }
    if (Class == RegNtPreSetValueKey) {
        ((PREG_SET_VALUE_KEY_INFORMATION)Argument2)->CallContext = &Seen;
        return PreResult;
    }
    if (Class == RegNtPostSetValueKey) {
        PREG_POST_OPERATION_INFORMATION Post = Argument2;

        PostSaw = (Post->CallContext == &Seen) ? Post->Status : STATUS_UNSUCCESSFUL;
        Post->ReturnStatus = STATUS_DISK_FULL;
        return PostResult;
    }
    return STATUS_SUCCESS;
}

static VOID CallbackOrder(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING High = RTL_CONSTANT_STRING(L"320000.5"), Low = RTL_CONSTANT_STRING(L"40000"), None = {0, 0, NULL};
    LARGE_INTEGER HighCookie, LowCookie, OldCookie, Other;

    KTAP_CHECK(RtlCompareAltitudes(&High, &Low) > 0 && RtlCompareAltitudes(&Low, &High) < 0);
    KTAP_EQUAL(RtlCompareAltitudes(&Low, &Low), 0);
    KTAP_EQUAL(Make(NULL, HOME, &Home), STATUS_SUCCESS);
    TestersThread = KeGetCurrentThread();
    PreResult = PostResult = STATUS_SUCCESS;
    KTAP_EQUAL(CmRegisterCallback(Callback, "old", &OldCookie), STATUS_SUCCESS);
    KTAP_EQUAL(CmRegisterCallbackEx(Callback, &Low, NULL, "low", &LowCookie, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(CmRegisterCallbackEx(Callback, &High, NULL, "high", &HighCookie, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(CmRegisterCallbackEx(Callback, &Low, NULL, "x", &Other, NULL), STATUS_FLT_INSTANCE_ALTITUDE_COLLISION);
    KTAP_EQUAL(CmRegisterCallbackEx(Callback, &None, NULL, "x", &Other, NULL), STATUS_INVALID_PARAMETER);

    SeenCount = 0;
    KTAP_EQUAL(KTAP_WHOLE(SetValue(Home, L"One")), STATUS_SUCCESS);
    KTAP_EQUAL(SeenCount, 6);
    KTAP_CHECK(*Seen[0].Who == 'h' && *Seen[1].Who == 'l' && *Seen[2].Who == 'o');
    KTAP_CHECK(*Seen[3].Who == 'o' && *Seen[4].Who == 'l' && *Seen[5].Who == 'h');
    KTAP_EQUAL(Seen[0].Class, RegNtPreSetValueKey);
    KTAP_EQUAL(Seen[5].Class, RegNtPostSetValueKey);
    KTAP_EQUAL(PostSaw, STATUS_SUCCESS); /* and its context came back */

    SeenCount = 0;
    PreResult = STATUS_ACCESS_DENIED;
    KTAP_EQUAL(KTAP_WHOLE(SetValue(Home, L"Two")), STATUS_ACCESS_DENIED);
    KTAP_EQUAL(SeenCount, 1);
    PreResult = STATUS_CALLBACK_BYPASS;
    KTAP_EQUAL(KTAP_WHOLE(SetValue(Home, L"Two")), STATUS_SUCCESS);
    PreResult = STATUS_SUCCESS;
    PostResult = STATUS_CALLBACK_BYPASS;
    KTAP_EQUAL(KTAP_WHOLE(SetValue(Home, L"Three")), STATUS_DISK_FULL);

    KTAP_EQUAL(CmUnRegisterCallback(HighCookie), STATUS_SUCCESS);
    KTAP_EQUAL(CmUnRegisterCallback(HighCookie), STATUS_INVALID_PARAMETER);
    SeenCount = 0;
    KTAP_EQUAL(ZwDeleteKey(Home), STATUS_SUCCESS);
    KTAP_EQUAL(Seen[0].Class, RegNtPreDeleteKey);
    ZwClose(Home);
    KTAP_EQUAL(Seen[SeenCount - 1].Class, RegNtPostKeyHandleClose);
    KTAP_EQUAL(CmUnRegisterCallback(LowCookie), STATUS_SUCCESS);
    KTAP_EQUAL(CmUnRegisterCallback(OldCookie), STATUS_SUCCESS);
}

static const KTAP_CASE_ENTRY NotifyCases[] = {
    {"changes", NotifyChanges},
    {"waits", NotifyWaits},
    {"callbacks", CallbackOrder},
};

KTAP_SUITE(NotifySuite, "cm.notify", NotifyCases);
