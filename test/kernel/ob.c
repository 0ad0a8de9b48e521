/*
 * ob.c - suite for the object manager: names, links, handles, references, deletion.
 *
 * Every case ends with as many objects of the types it used as it began with. Events and symbolic links stand for all
 * types; they are reached by the documented services, and the counts are read through the object manager's own queries.
 */
#include <ntos/ke.h>
#include <ntos/ktap.h>
#include <ntos/ob.h>

static OBJECT_ATTRIBUTES ObtAttributes(PUNICODE_STRING Name, PCWSTR Text, ULONG Flags)
{
    OBJECT_ATTRIBUTES Attributes;

    if (Text != NULL) {
        RtlInitUnicodeString(Name, Text);
    }
    InitializeObjectAttributes(&Attributes, (Text != NULL) ? Name : NULL, Flags | OBJ_KERNEL_HANDLE, NULL, NULL);
    return Attributes;
}

static NTSTATUS ObtEvent(PHANDLE Handle, PCWSTR Path, ULONG Flags)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = ObtAttributes(&Name, Path, Flags);

    return ZwCreateEvent(Handle, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE);
}

static NTSTATUS ObtOpen(PHANDLE Handle, PCWSTR Path, ULONG Flags)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = ObtAttributes(&Name, Path, Flags);

    return ZwOpenEvent(Handle, EVENT_ALL_ACCESS, &Attributes);
}

static NTSTATUS ObtLink(PHANDLE Handle, PCWSTR Path, PCWSTR Target)
{
    UNICODE_STRING Name, TargetName;
    OBJECT_ATTRIBUTES Attributes = ObtAttributes(&Name, Path, OBJ_CASE_INSENSITIVE);

    RtlInitUnicodeString(&TargetName, Target);
    return ZwCreateSymbolicLinkObject(Handle, SYMBOLIC_LINK_ALL_ACCESS, &Attributes, &TargetName);
}

static VOID ObtNames(PKTAP_CONTEXT Ktap)
{
    LONG64 Before = ExpEventObjectType->ObjectCount;
    HANDLE First, Second;

    KTAP_EQUAL(ObtEvent(&First, L"\\ObTest", 0), STATUS_SUCCESS);
    KTAP_EQUAL(ObtEvent(&Second, L"\\ObTest", 0), STATUS_OBJECT_NAME_COLLISION);
    KTAP_EQUAL(ObtEvent(&Second, L"\\ObTest", OBJ_OPENIF), STATUS_OBJECT_NAME_EXISTS);
    KTAP_EQUAL(ZwClose(Second), STATUS_SUCCESS);
    KTAP_EQUAL(ObtOpen(&Second, L"\\obtest", 0), STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(ObtOpen(&Second, L"\\obtest", OBJ_CASE_INSENSITIVE), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(First), STATUS_SUCCESS);
    KTAP_EQUAL(ObtOpen(&First, L"\\ObTest", 0), STATUS_SUCCESS); /* one handle keeps the name */
    KTAP_EQUAL(ZwClose(First), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Second), STATUS_SUCCESS);
    KTAP_EQUAL(ObtOpen(&First, L"\\ObTest", 0), STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(ExpEventObjectType->ObjectCount, Before);
}

static VOID ObtPaths(PKTAP_CONTEXT Ktap)
{
    HANDLE Handle;

    KTAP_EQUAL(ObtOpen(&Handle, L"NoRoot", 0), STATUS_OBJECT_PATH_SYNTAX_BAD);
    KTAP_EQUAL(ObtOpen(&Handle, L"\\NoSuchDirectory\\Event", 0), STATUS_OBJECT_PATH_NOT_FOUND);
    KTAP_EQUAL(ObtOpen(&Handle, L"\\Device\\", 0), STATUS_OBJECT_NAME_INVALID);
    KTAP_EQUAL(ObtOpen(&Handle, L"\\Device\\\\Event", 0), STATUS_OBJECT_NAME_INVALID);
    KTAP_EQUAL(ObtOpen(&Handle, L"\\Device", 0), STATUS_OBJECT_TYPE_MISMATCH);
    KTAP_EQUAL(ObtOpen(&Handle, L"\\ObjectTypes\\Event\\Below", 0), STATUS_OBJECT_TYPE_MISMATCH);
}

static VOID ObtLinks(PKTAP_CONTEXT Ktap)
{
    LONG64 Before = ObpSymbolicLinkObjectType->ObjectCount;
    UNICODE_STRING Target, Name;
    WCHAR Buffer[32];
    HANDLE Event, Link, Loop, Open, Again;
    ULONG Length;
    OBJECT_ATTRIBUTES Attributes = ObtAttributes(&Name, L"\\??\\ObLink", OBJ_CASE_INSENSITIVE);

    KTAP_EQUAL(ObtEvent(&Event, L"\\ObTarget", 0), STATUS_SUCCESS);
    KTAP_EQUAL(ObtLink(&Link, L"\\??\\ObLink", L"\\ObTarget"), STATUS_SUCCESS);
    KTAP_EQUAL(ObtOpen(&Open, L"\\DosDevices\\oblink", OBJ_CASE_INSENSITIVE), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Open), STATUS_SUCCESS);
    KTAP_EQUAL(ZwOpenSymbolicLinkObject(&Again, SYMBOLIC_LINK_QUERY, &Attributes), STATUS_SUCCESS);
    RtlInitEmptyUnicodeString(&Target, Buffer, 4);
    KTAP_EQUAL(ZwQuerySymbolicLinkObject(Again, &Target, &Length), STATUS_BUFFER_TOO_SMALL);
    KTAP_EQUAL(Length, sizeof(L"\\ObTarget") - sizeof(WCHAR));
    RtlInitEmptyUnicodeString(&Target, Buffer, sizeof(Buffer));
    KTAP_EQUAL(ZwQuerySymbolicLinkObject(Again, &Target, NULL), STATUS_SUCCESS);
    RtlInitUnicodeString(&Name, L"\\ObTarget");
    KTAP_CHECK(RtlEqualUnicodeString(&Target, &Name, FALSE));
    KTAP_EQUAL(ObtLink(&Loop, L"\\ObLoop", L"\\ObLoop"), STATUS_SUCCESS);
    KTAP_EQUAL(ObtOpen(&Open, L"\\ObLoop", 0), STATUS_OBJECT_NAME_INVALID);
    KTAP_EQUAL(ZwClose(Loop), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Again), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Link), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Event), STATUS_SUCCESS);
    KTAP_EQUAL(ObpSymbolicLinkObjectType->ObjectCount, Before);
}

static VOID ObtPermanent(PKTAP_CONTEXT Ktap)
{
    HANDLE Handle;

    KTAP_EQUAL(ObtEvent(&Handle, L"\\ObStays", OBJ_PERMANENT), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Handle), STATUS_SUCCESS);
    KTAP_EQUAL(ObtOpen(&Handle, L"\\ObStays", 0), STATUS_SUCCESS);
    KTAP_EQUAL(ZwMakeTemporaryObject(Handle), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Handle), STATUS_SUCCESS);
    KTAP_EQUAL(ObtOpen(&Handle, L"\\ObStays", 0), STATUS_OBJECT_NAME_NOT_FOUND);
}

/* More handles than one leaf and than one middle page of entries hold. */
#define OBT_HANDLES 3000U

static VOID ObtHandles(PKTAP_CONTEXT Ktap)
{
    LONG64 Before = ExpEventObjectType->HandleCount;
    HANDLE *Handles = ExAllocatePoolWithTag(NonPagedPool, OBT_HANDLES * sizeof(HANDLE), 'tTbO');
    ULONG Distinct = 0, Closed = 0;
    PVOID Event, Other;

    KTAP_CHECK(Handles != NULL);
    for (ULONG Index = 0; Index < OBT_HANDLES; Index++) {
        Handles[Index] = NULL;
        Distinct += NT_SUCCESS(ObtEvent(&Handles[Index], NULL, 0)) && ObIsKernelHandle(Handles[Index]) &&
                            (Index == 0 || Handles[Index] != Handles[Index - 1])
                        ? 1
                        : 0;
    }
    for (ULONG Index = 0; Index < OBT_HANDLES; Index++) {
        Closed += NT_SUCCESS(ZwClose(Handles[Index])) ? 1 : 0;
    }
    Event = Handles[0];
    ExFreePoolWithTag(Handles, 'tTbO');
    KTAP_EQUAL(Distinct, OBT_HANDLES);
    KTAP_EQUAL(Closed, OBT_HANDLES);
    KTAP_EQUAL(ExpEventObjectType->HandleCount, Before);
    KTAP_EQUAL(ZwClose(Event), STATUS_INVALID_HANDLE);
    KTAP_EQUAL(ZwClose(NULL), STATUS_INVALID_HANDLE);
    KTAP_EQUAL(ObReferenceObjectByHandle((HANDLE)0x7FFFFFF0, 0, NULL, KernelMode, &Other, NULL), STATUS_INVALID_HANDLE);
}

static VOID ObtReferences(PKTAP_CONTEXT Ktap)
{
    LONG64 Before = ExpEventObjectType->ObjectCount;
    OBJECT_HANDLE_INFORMATION Info;
    HANDLE Handle;
    PVOID Event;

    KTAP_EQUAL(ObtEvent(&Handle, NULL, OBJ_INHERIT), STATUS_SUCCESS);
    KTAP_EQUAL(ObReferenceObjectByHandle(Handle, 0, ObpDirectoryObjectType, KernelMode, &Event, NULL),
               STATUS_OBJECT_TYPE_MISMATCH);
    KTAP_EQUAL(ObReferenceObjectByHandle(Handle, 0, *ExEventObjectType, KernelMode, &Event, &Info), STATUS_SUCCESS);
    KTAP_EQUAL(Info.GrantedAccess, EVENT_ALL_ACCESS);
    KTAP_EQUAL(Info.HandleAttributes, OBJ_INHERIT);
    KTAP_EQUAL(ObGetPointerCount(Event), 2);
    KTAP_EQUAL(ObGetHandleCount(Event), 1);
    KTAP_EQUAL(ObReferenceObjectByPointer(Event, 0, ObpDirectoryObjectType, KernelMode), STATUS_OBJECT_TYPE_MISMATCH);
    KTAP_EQUAL(ZwClose(Handle), STATUS_SUCCESS);
    KTAP_EQUAL(ObGetPointerCount(Event), 1);
    KTAP_EQUAL(ExpEventObjectType->ObjectCount, Before + 1);
    ObDereferenceObject(Event);
    KTAP_EQUAL(ExpEventObjectType->ObjectCount, Before);
}

static struct {
    PVOID Object;
    volatile LONG Calls;
    KIRQL Irql;
    PKTHREAD Thread;
} ObtDeleted;

static VOID NTAPI ObtSeeDelete(PVOID Object)
{
    if (Object == ObtDeleted.Object) {
        ObtDeleted.Irql = KeGetCurrentIrql();
        ObtDeleted.Thread = KeGetCurrentThread();
        InterlockedIncrement(&ObtDeleted.Calls);
    }
}

/* The last reference, given up where no delete procedure may run: another thread calls it, at PASSIVE_LEVEL, perhaps at once. */
static VOID ObtDeferred(PKTAP_CONTEXT Ktap)
{
    LONG64 Before = ExpEventObjectType->ObjectCount;
    HANDLE Handle;
    KIRQL Irql;

    RtlZeroMemory(&ObtDeleted, sizeof(ObtDeleted));
    KTAP_CHECK(ExpEventObjectType->Info.DeleteProcedure == NULL);
    KTAP_EQUAL(ObtEvent(&Handle, NULL, 0), STATUS_SUCCESS);
    KTAP_EQUAL(ObReferenceObjectByHandle(Handle, 0, NULL, KernelMode, &ObtDeleted.Object, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Handle), STATUS_SUCCESS);
    ExpEventObjectType->Info.DeleteProcedure = ObtSeeDelete;
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    ObDereferenceObject(ObtDeleted.Object);
    KeLowerIrql(Irql);
    ObFlushDeferredDeletes();
    ExpEventObjectType->Info.DeleteProcedure = NULL;
    KTAP_EQUAL(ObtDeleted.Calls, 1);
    KTAP_EQUAL(ObtDeleted.Irql, PASSIVE_LEVEL);
    KTAP_CHECK(ObtDeleted.Thread != KeGetCurrentThread());
    KTAP_EQUAL(ExpEventObjectType->ObjectCount, Before);
}

static VOID ObtQueryName(PKTAP_CONTEXT Ktap)
{
    union {
        OBJECT_NAME_INFORMATION Info;
        UCHAR Bytes[128];
    } Name;
    UNICODE_STRING Expected;
    HANDLE Handle;
    ULONG Length;
    PVOID Event;
    BOOLEAN Same;
    NTSTATUS Short, Whole;

    KTAP_EQUAL(ObtEvent(&Handle, L"\\Device\\ObNamed", 0), STATUS_SUCCESS);
    KTAP_EQUAL(ObReferenceObjectByHandle(Handle, 0, NULL, KernelMode, &Event, NULL), STATUS_SUCCESS);
    Short = ObQueryNameString(Event, NULL, 0, &Length);
    Whole = ObQueryNameString(Event, &Name.Info, Length, &Length);
    RtlInitUnicodeString(&Expected, L"\\Device\\ObNamed");
    Same = NT_SUCCESS(Whole) && RtlEqualUnicodeString(&Name.Info.Name, &Expected, FALSE);
    ObDereferenceObject(Event);
    KTAP_EQUAL(ZwClose(Handle), STATUS_SUCCESS);
    KTAP_EQUAL(Short, STATUS_INFO_LENGTH_MISMATCH);
    KTAP_EQUAL(Length, sizeof(OBJECT_NAME_INFORMATION) + sizeof(L"\\Device\\ObNamed"));
    KTAP_CHECK(Same);
}

static const KTAP_CASE_ENTRY ObtCases[] = {
    {"names", ObtNames},
    {"paths", ObtPaths},
    {"links", ObtLinks},
    {"permanent", ObtPermanent},
    {"handles", ObtHandles},
    {"references", ObtReferences},
    {"deferred_delete", ObtDeferred},
    {"query_name", ObtQueryName},
};
KTAP_SUITE(ObtSuite, "ob", ObtCases);
