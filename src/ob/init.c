/*
 * init.c - the object manager's own types and the fixed part of the namespace.
 *
 * \BaseNamedObjects, \ObjectTypes, \Callback, \Device, \Driver, \FileSystem, \GLOBAL?? and the links \?? and \DosDevices exist from here on and are
 * permanent. \?? is a link to \GLOBAL??, as there is one set of drive letters for everybody until sessions exist. Types that
 * other components made before this point are entered in \ObjectTypes by it. Runs once, in phase 1, at PASSIVE_LEVEL.
 */
#include <ntos/ex.h>
#include <ntos/init.h>

#include "handletable.h"

POBP_DIRECTORY ObpRootDirectory, ObpTypeDirectory;

static const OBJECT_TYPE_INITIALIZER ObpDirectoryTypeInfo = {
    .Name = L"Directory",
    .GenericMapping = {STANDARD_RIGHTS_READ | DIRECTORY_QUERY | DIRECTORY_TRAVERSE,
                       STANDARD_RIGHTS_WRITE | DIRECTORY_CREATE_OBJECT | DIRECTORY_CREATE_SUBDIRECTORY,
                       STANDARD_RIGHTS_EXECUTE | DIRECTORY_QUERY | DIRECTORY_TRAVERSE, DIRECTORY_ALL_ACCESS},
    .ValidAccess = DIRECTORY_ALL_ACCESS,
    .PoolTag = 'riDO',
    .WaitOffset = OB_NOT_WAITABLE,
};

static const OBJECT_TYPE_INITIALIZER ObpSymbolicLinkTypeInfo = {
    .Name = L"SymbolicLink",
    .GenericMapping = {STANDARD_RIGHTS_READ | SYMBOLIC_LINK_QUERY, STANDARD_RIGHTS_WRITE,
                       STANDARD_RIGHTS_EXECUTE | SYMBOLIC_LINK_QUERY, SYMBOLIC_LINK_ALL_ACCESS},
    .ValidAccess = SYMBOLIC_LINK_ALL_ACCESS,
    .PoolTag = 'nLSO',
    .WaitOffset = OB_NOT_WAITABLE,
    .DeleteProcedure = ObpDeleteSymbolicLink,
    .ParseProcedure = ObpParseSymbolicLink,
};

/* Who may use the system's directories and links: everybody, to look and go through; in \BaseNamedObjects also to make objects. */
static PSECURITY_DESCRIPTOR ObpDescriptor(PACL Dacl)
{
    static SECURITY_DESCRIPTOR Descriptor;

    RtlCreateSecurityDescriptor(&Descriptor, SECURITY_DESCRIPTOR_REVISION);
    RtlSetDaclSecurityDescriptor(&Descriptor, TRUE, Dacl, FALSE);
    return &Descriptor;
}

static NTSTATUS ObpCreateRoot(VOID)
{
    POBJECT_HEADER Header;
    NTSTATUS Status = ObpAllocateObject(ObpDirectoryObjectType, sizeof(OBP_DIRECTORY), &Header);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Header->Flags = OBP_FLAG_PERMANENT | OBP_FLAG_KERNEL_ONLY;
    ObpInitializeDirectory(ObpBody(Header));
    ObpRootDirectory = ObpBody(Header);
    return ObpAssignSecurity(ObpRootDirectory, NULL, ObpDescriptor(SePublicDefaultDacl), NULL);
}

static NTSTATUS ObpCreatePermanentDirectory(PCWSTR Path, PACL Dacl, POBP_DIRECTORY *Directory)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Handle;
    PVOID Object;
    NTSTATUS Status;

    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_PERMANENT | OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL,
                               ObpDescriptor(Dacl));
    Status = ZwCreateDirectoryObject(&Handle, DIRECTORY_ALL_ACCESS, &Attributes);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObReferenceObjectByHandle(Handle, 0, ObpDirectoryObjectType, KernelMode, &Object, NULL);
    ZwClose(Handle);
    if (Directory != NULL) {
        *Directory = Object; /* the reference stays for ever */
    } else {
        ObfDereferenceObject(Object);
    }
    return Status;
}

static NTSTATUS ObpCreatePermanentLink(PCWSTR Path, PCWSTR Target)
{
    UNICODE_STRING Name, TargetName;
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Handle;
    NTSTATUS Status;

    RtlInitUnicodeString(&Name, Path);
    RtlInitUnicodeString(&TargetName, Target);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_PERMANENT | OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL,
                               ObpDescriptor(SePublicDefaultDacl));
    Status = ZwCreateSymbolicLinkObject(&Handle, SYMBOLIC_LINK_ALL_ACCESS, &Attributes, &TargetName);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

NTSTATUS ObInitialize(VOID)
{
    static const PCWSTR Directories[] = {L"\\Callback", L"\\Device", L"\\Driver", L"\\FileSystem", L"\\GLOBAL??"};
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    ExInitializeFastMutex(&ObpNamespaceLock);
    ObpInitializeSecurity();
    ObpInitializeFilters();
    Status = ObpInitializeHandles();
    if (NT_SUCCESS(Status)) {
        Status = ObCreateObjectType(&ObpDirectoryTypeInfo, &ObpDirectoryObjectType);
    }
    if (NT_SUCCESS(Status)) {
        Status = ObCreateObjectType(&ObpSymbolicLinkTypeInfo, &ObpSymbolicLinkObjectType);
    }
    if (NT_SUCCESS(Status)) {
        Status = SeInitialize();
    }
    if (NT_SUCCESS(Status)) {
        Status = ObpCreateRoot();
    }
    if (NT_SUCCESS(Status)) {
        Status = ObpCreatePermanentDirectory(L"\\ObjectTypes", SePublicDefaultDacl, &ObpTypeDirectory);
    }
    if (NT_SUCCESS(Status)) {
        Status = ObpEnterTypes();
    }
    if (NT_SUCCESS(Status)) {
        Status = ExpCreateEventType();
    }
    for (ULONG Index = 0; NT_SUCCESS(Status) && Index < RTL_NUMBER_OF(Directories); Index++) {
        Status = ObpCreatePermanentDirectory(Directories[Index], SePublicDefaultDacl, NULL);
    }
    if (NT_SUCCESS(Status)) {
        Status = ObpCreatePermanentDirectory(L"\\BaseNamedObjects", SePublicOpenDacl, NULL);
    }
    if (NT_SUCCESS(Status)) {
        Status = ObpCreatePermanentLink(L"\\??", L"\\GLOBAL??");
    }
    if (NT_SUCCESS(Status)) {
        Status = ObpCreatePermanentLink(L"\\DosDevices", L"\\??");
    }
    if (NT_SUCCESS(Status)) {
        Status = ObpCreatePermanentLink(L"\\??\\Global", L"\\GLOBAL??");
    }
    if (NT_SUCCESS(Status)) {
        Status = ExpInitializeObjects();
    }
    return Status;
}
