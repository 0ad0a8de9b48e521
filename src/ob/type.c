/*
 * type.c - types of objects.
 *
 * A type is an object of type "Type" itself, named in \ObjectTypes, and never deleted. Components may make their types as soon as
 * nonpaged pool works, before there is a namespace: ObInitialize enters those later (ObpEnterTypes). The list of types only grows, by
 * compare-exchange at its head, so walking it needs no lock.
 */
#include <ntos/console.h>

#include "obp.h"

POBJECT_TYPE ObpTypeObjectType;

static POBJECT_TYPE volatile ObpTypeList; /* grows at the head */
static volatile LONG ObpTypeCount;        /* interlocked */

static const OBJECT_TYPE_INITIALIZER ObpTypeTypeInfo = {
    .Name = L"Type",
    .GenericMapping = {STANDARD_RIGHTS_READ, STANDARD_RIGHTS_WRITE, STANDARD_RIGHTS_EXECUTE, STANDARD_RIGHTS_REQUIRED},
    .ValidAccess = STANDARD_RIGHTS_REQUIRED,
    .PoolTag = 'epTO',
    .WaitOffset = OB_NOT_WAITABLE,
};

/* Names a type in \ObjectTypes. */
static NTSTATUS ObpEnterType(POBJECT_TYPE Type)
{
    POBP_NAME Name = ObpAllocateName(ObpHeader(Type), &Type->Name);

    if (Name == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ExAcquireFastMutex(&ObpNamespaceLock);
    ObpLinkName(ObpTypeDirectory, Name);
    ExReleaseFastMutex(&ObpNamespaceLock);
    return STATUS_SUCCESS;
}

static NTSTATUS ObpMakeType(const OBJECT_TYPE_INITIALIZER *Initializer, POBJECT_TYPE *Type)
{
    POBJECT_HEADER Header;
    POBJECT_TYPE New;
    NTSTATUS Status = ObpAllocateObject(ObpTypeObjectType, sizeof(*New), &Header);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    New = ObpBody(Header);
    New->Self = New;
    New->Index = (ULONG)InterlockedIncrement(&ObpTypeCount);
    New->Info = *Initializer;
    RtlInitUnicodeString(&New->Name, Initializer->Name);
#if NT_CHK
    New->Trace = ObpTraceFromBoot(&New->Name);
#endif
    Header->Flags = OBP_FLAG_PERMANENT | OBP_FLAG_KERNEL_ONLY;
    if (Header->Type == NULL) { /* the type of types is of itself */
        Header->Type = New;
        New->ObjectCount = 1;
    }
    do {
        New->Next = ObpTypeList;
    } while (InterlockedCompareExchangePointer((PVOID volatile *)&ObpTypeList, New, New->Next) != New->Next);
    *Type = New;
    return STATUS_SUCCESS;
}

NTSTATUS ObCreateObjectType(const OBJECT_TYPE_INITIALIZER *Initializer, POBJECT_TYPE *Type)
{
    NTSTATUS Status = STATUS_SUCCESS;

    *Type = NULL;
    if (ObpTypeObjectType == NULL) {
        Status = ObpMakeType(&ObpTypeTypeInfo, &ObpTypeObjectType);
    }
    if (NT_SUCCESS(Status)) {
        Status = ObpMakeType(Initializer, Type);
    }
    if (NT_SUCCESS(Status) && ObpTypeDirectory != NULL) {
        Status = ObpEnterType(*Type);
    }
    return Status;
}

/* Names the types that were made before \ObjectTypes was there. Once, by ObInitialize. */
NTSTATUS ObpEnterTypes(VOID)
{
    NTSTATUS Status = STATUS_SUCCESS;

    for (POBJECT_TYPE Type = ObpTypeList; Type != NULL && NT_SUCCESS(Status); Type = Type->Next) {
        Status = ObpEnterType(Type);
    }
    return Status;
}

/* TRUE: Type is one. IRQL: any. */
BOOLEAN ObpIsType(POBJECT_TYPE Type)
{
    POBJECT_TYPE Known = ObpTypeList;

    while (Known != NULL && Known != Type) {
        Known = Known->Next;
    }
    return Known != NULL;
}

/* TRUE: Name, as it is typed, is the type's name, or "all". */
BOOLEAN ObpTypeIsNamed(PCUNICODE_STRING Type, PCSTR Name)
{
    static const UNICODE_STRING Every = RTL_CONSTANT_STRING(L"all");
    WCHAR Text[OBP_TYPE_NAME_BYTES];
    UNICODE_STRING Wanted;
    ULONG Length = 0;

    for (; Length < RTL_NUMBER_OF(Text) - 1 && Name[Length] != 0; Length++) {
        Text[Length] = (UCHAR)Name[Length];
    }
    Text[Length] = 0;
    RtlInitUnicodeString(&Wanted, Text);
    return RtlEqualUnicodeString(&Every, &Wanted, TRUE) || RtlEqualUnicodeString(Type, &Wanted, TRUE);
}

/* Turns tracing over for the type of a name or for all; FALSE: there is no such type. PASSIVE_LEVEL. */
BOOLEAN ObpToggleTrace(PCSTR Name)
{
    BOOLEAN Found = FALSE;

    for (POBJECT_TYPE Type = ObpTypeList; Type != NULL; Type = Type->Next) {
        if (ObpTypeIsNamed(&Type->Name, Name)) {
            Type->Trace = !Type->Trace;
            Found = TRUE;
        }
    }
    return Found;
}

POBJECT_TYPE ObNextType(POBJECT_TYPE Type)
{
    return Type == NULL ? ObpTypeList : Type->Next;
}

static VOID ObpObjectsCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    UNREFERENCED_PARAMETER(ArgumentCount);
    UNREFERENCED_PARAMETER(Arguments);
    ConPrint("%-16s %10s %10s\n", "type", "objects", "handles");
    for (POBJECT_TYPE Type = ObpTypeList; Type != NULL; Type = Type->Next) {
        ConPrint("%-16wZ %10lld %10lld\n", &Type->Name, Type->ObjectCount, Type->HandleCount);
    }
}

CONSOLE_COMMAND(ObpObjects, "objects", "", "objects and handles that exist, by type", ObpObjectsCommand);
