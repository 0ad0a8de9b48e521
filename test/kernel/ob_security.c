/*
 * ob_security.c - suite for the descriptors of objects: assigned, asked for, replaced, inherited, and checked on open.
 *
 * A user of the suite's own is impersonated for the opens that must be refused; the objects are made by the system. Every case ends with
 * as many objects as it began with.
 */
#include <ntos/ke.h>
#include <ntos/ktap.h>
#include <ntos/ob.h>
#include <ntos/ps.h>
#include <ntos/se.h>

typedef struct _OBS_SID {
    UCHAR Revision, Count;
    SID_IDENTIFIER_AUTHORITY Authority;
    ULONG Sub[4];
} OBS_SID;

static OBS_SID ObsUser = {SID_REVISION, 4, {SECURITY_NT_AUTHORITY}, {21, 9, 9, 1000}};

static ULONG64 ObsAclSpace[32], ObsSpace[64];
static SECURITY_DESCRIPTOR ObsDescriptor;

static NTSTATUS ObsToken(PACCESS_TOKEN *Token, BOOLEAN ChangeNotify)
{
    LUID_AND_ATTRIBUTES Privilege = {RtlConvertUlongToLuid(SE_CHANGE_NOTIFY_PRIVILEGE), SE_PRIVILEGE_ENABLED};
    SID_AND_ATTRIBUTES World = {SeExports->SeWorldSid, SE_GROUP_ENABLED};
    SE_TOKEN_PLAN Plan = {.User = &ObsUser,
                          .GroupCount = 1,
                          .Groups = &World,
                          .PrivilegeCount = ChangeNotify ? 1 : 0,
                          .Privileges = &Privilege,
                          .PrimaryGroup = &ObsUser,
                          .Type = TokenImpersonation,
                          .Level = SecurityImpersonation};

    return SeCreateToken(&Plan, Token);
}

/* A descriptor that gives the suite's user some rights, with flags of the entry. */
static PSECURITY_DESCRIPTOR ObsFor(ACCESS_MASK Mask, UCHAR Flags)
{
    PACL Dacl = (PACL)ObsAclSpace;

    RtlCreateAcl(Dacl, sizeof(ObsAclSpace), ACL_REVISION);
    RtlAddAccessAllowedAceEx(Dacl, ACL_REVISION, Flags, Mask, &ObsUser);
    RtlCreateSecurityDescriptor(&ObsDescriptor, SECURITY_DESCRIPTOR_REVISION);
    RtlSetDaclSecurityDescriptor(&ObsDescriptor, TRUE, Dacl, FALSE);
    return &ObsDescriptor;
}

static OBJECT_ATTRIBUTES ObsAttributes(PUNICODE_STRING Name, PCWSTR Text, ULONG Flags, PSECURITY_DESCRIPTOR Descriptor)
{
    OBJECT_ATTRIBUTES Attributes;

    RtlInitUnicodeString(Name, Text);
    InitializeObjectAttributes(&Attributes, (Text == NULL) ? NULL : Name, Flags | OBJ_KERNEL_HANDLE, NULL, Descriptor);
    return Attributes;
}

static NTSTATUS ObsEvent(PHANDLE Handle, PCWSTR Path, PSECURITY_DESCRIPTOR Descriptor)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = ObsAttributes(&Name, Path, 0, Descriptor);

    return ZwCreateEvent(Handle, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE);
}

/* An open by a client, checked though the caller is the kernel. */
static NTSTATUS ObsOpenAs(PACCESS_TOKEN Token, PCWSTR Path, ACCESS_MASK Desired, PACCESS_MASK Granted)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = ObsAttributes(&Name, Path, OBJ_FORCE_ACCESS_CHECK, NULL);
    OBJECT_BASIC_INFORMATION Info;
    HANDLE Handle;
    NTSTATUS Status;

    PsImpersonateClient(PsGetCurrentThread(), Token, FALSE, FALSE, SecurityImpersonation);
    Status = ZwOpenEvent(&Handle, Desired, &Attributes);
    PsRevertToSelf();
    if (NT_SUCCESS(Status)) {
        ZwQueryObject(Handle, ObjectBasicInformation, &Info, sizeof(Info), NULL);
        *Granted = Info.GrantedAccess;
        ZwClose(Handle);
    }
    return Status;
}

static VOID ObsOpen(PKTAP_CONTEXT Ktap)
{
    LONG64 Objects = ExpEventObjectType->ObjectCount, Tokens = SepTokenObjectType->ObjectCount;
    ACCESS_MASK Granted = 0;
    PACCESS_TOKEN Token;
    HANDLE Given, Default, Refused;
    PVOID Object;
    NTSTATUS ByPointer;

    KTAP_EQUAL(ObsToken(&Token, TRUE), STATUS_SUCCESS);
    KTAP_EQUAL(ObsEvent(&Given, L"\\ObsGiven", ObsFor(EVENT_MODIFY_STATE | SYNCHRONIZE, 0)), STATUS_SUCCESS);
    KTAP_EQUAL(ObsEvent(&Default, L"\\ObsDefault", NULL), STATUS_SUCCESS);
    KTAP_EQUAL(ObsOpenAs(Token, L"\\ObsGiven", EVENT_MODIFY_STATE, &Granted), STATUS_SUCCESS);
    KTAP_EQUAL(Granted, EVENT_MODIFY_STATE);
    KTAP_EQUAL(ObsOpenAs(Token, L"\\ObsGiven", MAXIMUM_ALLOWED, &Granted), STATUS_SUCCESS);
    KTAP_EQUAL(Granted, EVENT_MODIFY_STATE | SYNCHRONIZE);
    KTAP_EQUAL(ObsOpenAs(Token, L"\\ObsGiven", EVENT_ALL_ACCESS, &Granted), STATUS_ACCESS_DENIED);
    KTAP_EQUAL(ObsOpenAs(Token, L"\\ObsDefault", EVENT_QUERY_STATE, &Granted), STATUS_ACCESS_DENIED);
    KTAP_EQUAL(ObReferenceObjectByHandle(Given, 0, NULL, KernelMode, &Object, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(PsImpersonateClient(PsGetCurrentThread(), Token, FALSE, FALSE, SecurityImpersonation), STATUS_SUCCESS);
    ByPointer = ObOpenObjectByPointer(Object, OBJ_KERNEL_HANDLE, NULL, DELETE, NULL, UserMode, &Refused);
    PsRevertToSelf();
    ObDereferenceObject(Object);
    ObDereferenceObject(Token);
    KTAP_EQUAL(ByPointer, STATUS_ACCESS_DENIED);
    KTAP_EQUAL(ZwClose(Given), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Default), STATUS_SUCCESS);
    KTAP_EQUAL(SepTokenObjectType->ObjectCount, Tokens);
    KTAP_EQUAL(ExpEventObjectType->ObjectCount, Objects);
}

/* The mask of the first entry of the DACL in ObsSpace. */
static ACCESS_MASK ObsFirstMask(VOID)
{
    BOOLEAN Present = FALSE, Defaulted;
    PACCESS_ALLOWED_ACE Ace;
    PACL Dacl = NULL;

    RtlGetDaclSecurityDescriptor(ObsSpace, &Present, &Dacl, &Defaulted);
    return (Present && Dacl != NULL && NT_SUCCESS(RtlGetAce(Dacl, 0, (PVOID *)&Ace))) ? Ace->Mask : 0;
}

static VOID ObsQueryAndSet(PKTAP_CONTEXT Ktap)
{
    const SECURITY_INFORMATION Parts = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
    PSECURITY_DESCRIPTOR Held;
    BOOLEAN Allocated, Valid;
    HANDLE Event, Bare;
    ULONG Length;
    PVOID Object;

    KTAP_EQUAL(ObsEvent(&Event, NULL, ObsFor(GENERIC_READ, 0)), STATUS_SUCCESS);
    KTAP_EQUAL(ObsEvent(&Bare, NULL, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(ZwQuerySecurityObject(Bare, Parts, ObsSpace, sizeof(ObsSpace), &Length), STATUS_NO_SECURITY_ON_OBJECT);
    KTAP_EQUAL(ZwSetSecurityObject(Bare, DACL_SECURITY_INFORMATION, ObsFor(DELETE, 0)), STATUS_NO_SECURITY_ON_OBJECT);
    KTAP_EQUAL(ZwClose(Bare), STATUS_SUCCESS);
    KTAP_EQUAL(ZwQuerySecurityObject(Event, Parts, ObsSpace, 8, &Length), STATUS_BUFFER_TOO_SMALL);
    KTAP_EQUAL(ZwQuerySecurityObject(Event, Parts, ObsSpace, Length, &Length), STATUS_SUCCESS);
    KTAP_CHECK(SeValidSecurityDescriptor(Length, ObsSpace));
    KTAP_CHECK(!SeValidSecurityDescriptor(Length - 1, ObsSpace));
    KTAP_EQUAL(ObsFirstMask(), STANDARD_RIGHTS_READ | EVENT_QUERY_STATE); /* mapped */
    KTAP_EQUAL(ZwSetSecurityObject(Event, OWNER_SECURITY_INFORMATION, ObsFor(DELETE, 0)),
               STATUS_INVALID_SECURITY_DESCR);
    KTAP_EQUAL(ZwSetSecurityObject(Event, DACL_SECURITY_INFORMATION, ObsFor(GENERIC_ALL, 0)), STATUS_SUCCESS);
    KTAP_EQUAL(ZwQuerySecurityObject(Event, Parts, ObsSpace, sizeof(ObsSpace), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(ObsFirstMask(), EVENT_ALL_ACCESS);
    KTAP_EQUAL(ObReferenceObjectByHandle(Event, 0, NULL, KernelMode, &Object, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(ObSetSecurityObjectByPointer(Object, DACL_SECURITY_INFORMATION, ObsFor(DELETE, 0)), STATUS_SUCCESS);
    KTAP_EQUAL(ObGetObjectSecurity(Object, &Held, &Allocated), STATUS_SUCCESS);
    Valid = Held != NULL && RtlValidSecurityDescriptor(Held);
    ObReleaseObjectSecurity(Held, Allocated);
    ObDereferenceObject(Object);
    KTAP_CHECK(Valid);
    KTAP_EQUAL(ZwQuerySecurityObject(Event, Parts, ObsSpace, sizeof(ObsSpace), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(ObsFirstMask(), DELETE);
    KTAP_EQUAL(ZwClose(Event), STATUS_SUCCESS);
}

static VOID ObsDirectory(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    LONG64 Objects = ObpDirectoryObjectType->ObjectCount, Events = ExpEventObjectType->ObjectCount;
    ACCESS_MASK Granted;
    HANDLE Directory, Child, Event, Refused;
    PACCESS_TOKEN Token, Stopped;
    NTSTATUS Create, CreateInRoot;

    KTAP_EQUAL(ObsToken(&Token, TRUE), STATUS_SUCCESS);
    KTAP_EQUAL(ObsToken(&Stopped, FALSE), STATUS_SUCCESS);
    Attributes =
        ObsAttributes(&Name, L"\\ObsDir", 0,
                      ObsFor(DIRECTORY_CREATE_OBJECT | EVENT_QUERY_STATE, CONTAINER_INHERIT_ACE | OBJECT_INHERIT_ACE));
    KTAP_EQUAL(ZwCreateDirectoryObject(&Directory, DIRECTORY_ALL_ACCESS, &Attributes), STATUS_SUCCESS);
    Attributes = ObsAttributes(&Name, L"\\ObsDir\\Sub", 0, NULL);
    KTAP_EQUAL(ZwCreateDirectoryObject(&Child, DIRECTORY_ALL_ACCESS, &Attributes), STATUS_SUCCESS);
    KTAP_EQUAL(ObsEvent(&Event, L"\\ObsDir\\Sub\\Event", NULL), STATUS_SUCCESS);
    KTAP_EQUAL(ObsOpenAs(Token, L"\\ObsDir\\Sub\\Event", EVENT_QUERY_STATE, &Granted), STATUS_SUCCESS); /* inherited */
    KTAP_EQUAL(ObsOpenAs(Token, L"\\ObsDir\\Sub\\Event", SYNCHRONIZE, &Granted), STATUS_ACCESS_DENIED);
    KTAP_EQUAL(ObsOpenAs(Stopped, L"\\ObsDir\\Sub\\Event", EVENT_QUERY_STATE, &Granted), STATUS_ACCESS_DENIED);
    KTAP_EQUAL(ZwClose(Event), STATUS_SUCCESS);
    KTAP_EQUAL(PsImpersonateClient(PsGetCurrentThread(), Token, FALSE, FALSE, SecurityImpersonation), STATUS_SUCCESS);
    Attributes = ObsAttributes(&Name, L"\\ObsDir\\Made", OBJ_FORCE_ACCESS_CHECK, NULL);
    Create = ZwCreateEvent(&Event, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE);
    Attributes = ObsAttributes(&Name, L"\\ObsNot", OBJ_FORCE_ACCESS_CHECK, NULL);
    CreateInRoot = ZwCreateEvent(&Refused, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE);
    PsRevertToSelf();
    KTAP_EQUAL(Create, STATUS_SUCCESS);
    KTAP_EQUAL(CreateInRoot, STATUS_ACCESS_DENIED);
    KTAP_EQUAL(ZwClose(Event), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Child), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Directory), STATUS_SUCCESS);
    ObDereferenceObject(Token);
    ObDereferenceObject(Stopped);
    KTAP_EQUAL(ObpDirectoryObjectType->ObjectCount, Objects);
    KTAP_EQUAL(ExpEventObjectType->ObjectCount, Events);
}

/* SeAssignSecurity by itself: owners, and who may name them. */
static VOID ObsAssign(PKTAP_CONTEXT Ktap)
{
    GENERIC_MAPPING Mapping = {1, 2, 4, 7};
    SECURITY_SUBJECT_CONTEXT Subject;
    SECURITY_INFORMATION Dacl = DACL_SECURITY_INFORMATION;
    PSECURITY_DESCRIPTOR New, Old;
    BOOLEAN Defaulted;
    NTSTATUS Foreign, Own, Sacl, Set;
    PSID Owner = NULL;
    ULONG Length = sizeof(ObsSpace);

    SeCaptureSubjectContext(&Subject);
    ObsFor(GENERIC_WRITE, 0);
    RtlSetOwnerSecurityDescriptor(&ObsDescriptor, &ObsUser, FALSE);
    Foreign = SeAssignSecurity(NULL, &ObsDescriptor, &New, FALSE, &Subject, &Mapping, PagedPool);
    RtlSetOwnerSecurityDescriptor(&ObsDescriptor, SeExports->SeLocalSystemSid, FALSE);
    RtlSetSaclSecurityDescriptor(&ObsDescriptor, TRUE, (PACL)ObsAclSpace, FALSE);
    Sacl = SeAssignSecurity(NULL, &ObsDescriptor, &New, FALSE, &Subject, &Mapping, PagedPool);
    RtlSetSaclSecurityDescriptor(&ObsDescriptor, FALSE, NULL, FALSE);
    Own = SeAssignSecurity(NULL, &ObsDescriptor, &New, FALSE, &Subject, &Mapping, PagedPool);
    SeReleaseSubjectContext(&Subject);
    KTAP_EQUAL(Foreign, STATUS_INVALID_OWNER);
    KTAP_EQUAL(Sacl, STATUS_PRIVILEGE_NOT_HELD);
    KTAP_EQUAL(Own, STATUS_SUCCESS);
    RtlGetOwnerSecurityDescriptor(New, &Owner, &Defaulted);
    KTAP_CHECK(RtlEqualSid(Owner, SeExports->SeLocalSystemSid));
    KTAP_EQUAL(SeQuerySecurityDescriptorInfo(&Dacl, ObsSpace, &Length, &New), STATUS_SUCCESS);
    KTAP_EQUAL(ObsFirstMask(), 2);
    Old = New;
    Set = SeSetSecurityDescriptorInfo(NULL, &Dacl, ObsFor(GENERIC_ALL, 0), &New, PagedPool, &Mapping);
    SeDeassignSecurity(&Old);
    KTAP_EQUAL(Set, STATUS_SUCCESS);
    Length = sizeof(ObsSpace);
    KTAP_EQUAL(SeQuerySecurityDescriptorInfo(&Dacl, ObsSpace, &Length, &New), STATUS_SUCCESS);
    KTAP_EQUAL(ObsFirstMask(), 7);
    SeDeassignSecurity(&New);
    KTAP_CHECK(New == NULL);
}

static const KTAP_CASE_ENTRY ObsCases[] = {
    {"open", ObsOpen},
    {"query_and_set", ObsQueryAndSet},
    {"directory", ObsDirectory},
    {"assign", ObsAssign},
};
KTAP_SUITE(ObsSuite, "ob.security", ObsCases);
