/*
 * key.c - creating, opening, deleting and renaming keys.
 *
 * Parameters are checked first; then registered callbacks are asked; then the object manager walks the path, where CmpParse
 * finds or makes the key. A deleted key leaves the tree at once and its handles answer STATUS_KEY_DELETED.
 *
 * Lock: CmpRegistryLock for deletion and renaming; the rest takes it in CmpParse. IRQL: PASSIVE_LEVEL. Source: documentation of the
 * Zw...Key routines.
 */
#include <ntos/ke.h>

#include "cmp.h"

/* Fills what callbacks are told about an open; *Root is referenced when there is one. */
static NTSTATUS CmpDescribeOpen(REG_CREATE_KEY_INFORMATION *Information, POBJECT_ATTRIBUTES Attributes,
                                ACCESS_MASK DesiredAccess, PCM_PARSE_CONTEXT Context, PVOID *Root)
{
    NTSTATUS Status = STATUS_SUCCESS;

    RtlZeroMemory(Information, sizeof(*Information));
    *Root = NULL;
    if (Attributes->RootDirectory != NULL) {
        Status = ObReferenceObjectByHandle(Attributes->RootDirectory, 0, NULL, ExGetPreviousMode(), Root, NULL);
    }
    Information->CompleteName = Attributes->ObjectName;
    Information->RootObject = *Root;
    Information->ObjectType = CmpKeyObjectType;
    Information->CreateOptions = Context->Options;
    Information->Class = Context->Class;
    Information->SecurityDescriptor = Attributes->SecurityDescriptor;
    Information->SecurityQualityOfService = Attributes->SecurityQualityOfService;
    Information->DesiredAccess = DesiredAccess;
    return Status;
}

/* Opens or creates, with callbacks around it; all pointers are the kernel's. */
static NTSTATUS CmpOpenCaptured(PHANDLE KeyHandle, ACCESS_MASK DesiredAccess, const OBJECT_ATTRIBUTES *Given,
                                PCM_PARSE_CONTEXT Context)
{
    REG_CREATE_KEY_INFORMATION Information;
    CMP_CALL Call = CMP_CALL_INIT(Context->Create ? RegNtPreCreateKeyEx : RegNtPreOpenKeyEx,
                                  Context->Create ? RegNtPostCreateKeyEx : RegNtPostOpenKeyEx,
                                  REG_CREATE_KEY_INFORMATION, &Information, NULL);
    OBJECT_ATTRIBUTES Attributes = *Given;
    PVOID Root, Key = NULL;
    NTSTATUS Status;

    Attributes.Attributes |= OBJ_CASE_INSENSITIVE; /* the registry knows no other */
    Context->Security = Attributes.SecurityDescriptor;
    Status = CmpDescribeOpen(&Information, &Attributes, DesiredAccess, Context, &Root);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (CmpBegin(&Call, &Status)) {
        Status = ObOpenObjectByName(&Attributes, CmpKeyObjectType, ExGetPreviousMode(), NULL, DesiredAccess, Context,
                                    KeyHandle);
        if (NT_SUCCESS(Status) && Call.Active &&
            NT_SUCCESS(ObReferenceObjectByHandle(*KeyHandle, 0, CmpKeyObjectType, KernelMode, &Key, NULL))) {
            Call.Object = Key;
        }
        Status = CmpEnd(&Call, Status);
    }
    if (Key != NULL) {
        ObDereferenceObject(Key);
    }
    if (Root != NULL) {
        ObDereferenceObject(Root);
    }
    return Status;
}

static NTSTATUS CmpOpen(PHANDLE KeyHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                        PCM_PARSE_CONTEXT Context)
{
    EX_CAPTURED_ATTRIBUTES Captured;
    HANDLE Opened = NULL;
    NTSTATUS Status = ExCaptureObjectAttributes(&Captured, ObjectAttributes);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Captured.Address == NULL || Captured.Attributes.Length != sizeof(OBJECT_ATTRIBUTES) ||
        Captured.Attributes.ObjectName == NULL) {
        Status = STATUS_INVALID_PARAMETER;
    } else {
        Status = CmpOpenCaptured(&Opened, DesiredAccess, &Captured.Attributes, Context);
    }
    ExFreeCapturedAttributes(&Captured);
    if (ExGetPreviousMode() == KernelMode && !NT_SUCCESS(Status)) {
        *KeyHandle = NULL;
    }
    return ExReturnHandle(Status, Opened, KeyHandle);
}

/**
 * NtCreateKey - opens a key, making it if it is not there. Keys above the last one must exist.
 *
 * @TitleIndex     ignored, as in NT
 * @Class          kept with a new key, may be NULL
 * @CreateOptions  REG_OPTION_VOLATILE, _NON_VOLATILE, _CREATE_LINK, _OPEN_LINK, _BACKUP_RESTORE
 * @Disposition    gets REG_CREATED_NEW_KEY or REG_OPENED_EXISTING_KEY; may be NULL
 * returns         STATUS_SUCCESS; STATUS_OBJECT_NAME_NOT_FOUND (a key above is missing); STATUS_CHILD_MUST_BE_VOLATILE;
 *                 STATUS_KEY_DELETED (the root directory is); STATUS_INVALID_PARAMETER (a name over 255 characters, the 512th
 *                 level, unknown options); what the object manager says of path and access
 */
NTSTATUS NTAPI NtCreateKey(PHANDLE KeyHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                           ULONG TitleIndex, PUNICODE_STRING Class, ULONG CreateOptions, PULONG Disposition)
{
    UNICODE_STRING Given;
    CM_PARSE_CONTEXT Context = {.Create = TRUE, .Options = CreateOptions, .Class = Class == NULL ? NULL : &Given};
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(TitleIndex);
    ASSERT_IRQL(PASSIVE_LEVEL);
    if ((CreateOptions & ~REG_LEGAL_OPTION) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = ExCaptureString(&Given, Class);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = CmpOpen(KeyHandle, DesiredAccess, ObjectAttributes, &Context);
    ExFreeCapturedString(&Given);
    return ExReturnValue(Status, Disposition, &Context.Disposition, sizeof(ULONG));
}

/* Opens a key that exists. @OpenOptions: REG_OPTION_OPEN_LINK, _BACKUP_RESTORE. Errors as NtCreateKey. */
NTSTATUS NTAPI NtOpenKeyEx(PHANDLE KeyHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                           ULONG OpenOptions)
{
    CM_PARSE_CONTEXT Context = {.Options = OpenOptions};

    ASSERT_IRQL(PASSIVE_LEVEL);
    if ((OpenOptions & ~REG_OPEN_LEGAL_OPTION) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    return CmpOpen(KeyHandle, DesiredAccess, ObjectAttributes, &Context);
}

NTSTATUS NTAPI NtOpenKey(PHANDLE KeyHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes)
{
    return NtOpenKeyEx(KeyHandle, DesiredAccess, ObjectAttributes, 0);
}

static NTSTATUS CmpDeleteNode(PCM_KEY_BODY Body)
{
    PCM_NODE Node = Body->Node, Parent;
    NTSTATUS Status = STATUS_SUCCESS;

    CmpLockExclusive();
    Parent = Node->Parent;
    if ((Node->Flags & CMP_NODE_DELETED) != 0) {
        Status = STATUS_KEY_DELETED;
    } else if (Node->SubKeyCount != 0 || (Node->Flags & CMP_NODE_FIXED) != 0) {
        Status = STATUS_CANNOT_DELETE;
    } else {
        while (!IsListEmpty(&Node->Watches)) {
            CmpEndWatch(CONTAINING_RECORD(Node->Watches.Flink, CM_WATCH, Link));
        }
        CmpRemoveSubKey(Node); /* the body keeps it alive */
        CmpReport(Parent, REG_NOTIFY_CHANGE_NAME);
    }
    CmpUnlock();
    return Status;
}

/**
 * NtDeleteKey - deletes a key without subkeys, values and all.
 *
 * returns  STATUS_SUCCESS; STATUS_CANNOT_DELETE (it has subkeys, or is one of the fixed roots); STATUS_KEY_DELETED;
 *          STATUS_ACCESS_DENIED (the handle lacks DELETE)
 */
NTSTATUS NTAPI NtDeleteKey(HANDLE KeyHandle)
{
    REG_DELETE_KEY_INFORMATION Information = {0};
    CMP_CALL Call =
        CMP_CALL_INIT(RegNtPreDeleteKey, RegNtPostDeleteKey, REG_DELETE_KEY_INFORMATION, &Information, NULL);
    PCM_KEY_BODY Body;
    NTSTATUS Status = CmpReferenceKey(KeyHandle, DELETE, &Body);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Information.Object = Call.Object = Body;
    if (CmpBegin(&Call, &Status)) {
        Status = CmpEnd(&Call, CmpDeleteNode(Body));
    }
    ObDereferenceObject(Body);
    return Status;
}

/* There is no medium to write to: every change is where it stays. */
NTSTATUS NTAPI NtFlushKey(HANDLE KeyHandle)
{
    REG_FLUSH_KEY_INFORMATION Information = {0};
    CMP_CALL Call = CMP_CALL_INIT(RegNtPreFlushKey, RegNtPostFlushKey, REG_FLUSH_KEY_INFORMATION, &Information, NULL);
    PCM_KEY_BODY Body;
    NTSTATUS Status = CmpReferenceKey(KeyHandle, 0, &Body);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Information.Object = Call.Object = Body;
    if (CmpBegin(&Call, &Status)) {
        CmpLockShared();
        Status = ((Body->Node->Flags & CMP_NODE_DELETED) != 0) ? STATUS_KEY_DELETED : STATUS_SUCCESS;
        CmpUnlock();
        Status = CmpEnd(&Call, Status);
    }
    ObDereferenceObject(Body);
    return Status;
}

static NTSTATUS CmpRename(PCM_NODE Node, PCUNICODE_STRING NewName)
{
    NTSTATUS Status;

    CmpLockExclusive();
    if ((Node->Flags & CMP_NODE_DELETED) != 0) {
        Status = STATUS_KEY_DELETED;
    } else if ((Node->Flags & CMP_NODE_FIXED) != 0) {
        Status = STATUS_ACCESS_DENIED;
    } else {
        Status = CmpRenameNode(Node, NewName);
    }
    if (NT_SUCCESS(Status)) {
        CmpReport(Node->Parent, REG_NOTIFY_CHANGE_NAME);
    }
    CmpUnlock();
    return Status;
}

/* NtRenameKey with the name captured. */
static NTSTATUS CmpRenameKey(HANDLE KeyHandle, PUNICODE_STRING NewName)
{
    REG_RENAME_KEY_INFORMATION Information = {.NewName = NewName};
    CMP_CALL Call =
        CMP_CALL_INIT(RegNtPreRenameKey, RegNtPostRenameKey, REG_RENAME_KEY_INFORMATION, &Information, NULL);
    PCM_KEY_BODY Body;
    NTSTATUS Status;

    if (NewName == NULL || NewName->Length == 0 || NewName->Length > CMP_LONGEST_KEY_NAME * sizeof(WCHAR)) {
        return STATUS_INVALID_PARAMETER;
    }
    for (ULONG Index = 0; Index < NewName->Length / sizeof(WCHAR); Index++) {
        if (NewName->Buffer[Index] == L'\\') {
            return STATUS_INVALID_PARAMETER;
        }
    }
    Status = CmpReferenceKey(KeyHandle, KEY_WRITE, &Body);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Information.Object = Call.Object = Body;
    if (CmpBegin(&Call, &Status)) {
        Status = CmpEnd(&Call, CmpRename(Body->Node, NewName));
    }
    ObDereferenceObject(Body);
    return Status;
}

/**
 * NtRenameKey - gives a key another name in the same place.
 *
 * @NewName  one component, 1 to 255 characters
 * returns   STATUS_SUCCESS; STATUS_INVALID_PARAMETER; STATUS_CANNOT_DELETE (the name is taken); STATUS_ACCESS_DENIED (a fixed
 *           root, or the handle lacks KEY_WRITE); STATUS_KEY_DELETED
 */
NTSTATUS NTAPI NtRenameKey(HANDLE KeyHandle, PUNICODE_STRING NewName)
{
    UNICODE_STRING Given;
    NTSTATUS Status = ExCaptureString(&Given, NewName);

    if (NT_SUCCESS(Status)) {
        Status = CmpRenameKey(KeyHandle, &Given);
        ExFreeCapturedString(&Given);
    }
    return Status;
}

static NTSTATUS CmpSetInformation(PCM_NODE Node, KEY_SET_INFORMATION_CLASS Class, PVOID Value)
{
    NTSTATUS Status = STATUS_SUCCESS;

    CmpLockExclusive();
    if ((Node->Flags & CMP_NODE_DELETED) != 0) {
        Status = STATUS_KEY_DELETED;
    } else if (Class == KeyWriteTimeInformation) {
        Node->LastWriteTime = ((PKEY_WRITE_TIME_INFORMATION)Value)->LastWriteTime;
    } else {
        Node->UserFlags = *(PULONG)Value;
    }
    CmpUnlock();
    return Status;
}

/**
 * NtSetInformationKey - sets a key's time of last write, or the flags that KeyFlagsInformation shows.
 *
 * returns  STATUS_SUCCESS; STATUS_INFO_LENGTH_MISMATCH; STATUS_INVALID_INFO_CLASS (any class but KeyWriteTimeInformation and
 *          KeyWow64FlagsInformation); STATUS_KEY_DELETED
 */
NTSTATUS NTAPI NtSetInformationKey(HANDLE KeyHandle, KEY_SET_INFORMATION_CLASS KeySetInformationClass,
                                   PVOID KeySetInformation, ULONG KeySetInformationLength)
{
    union {
        KEY_WRITE_TIME_INFORMATION WriteTime;
        KEY_WOW64_FLAGS_INFORMATION Flags;
    } Value;
    REG_SET_INFORMATION_KEY_INFORMATION Information = {.KeySetInformationClass = KeySetInformationClass,
                                                       .KeySetInformation = &Value,
                                                       .KeySetInformationLength = KeySetInformationLength};
    CMP_CALL Call = CMP_CALL_INIT(RegNtPreSetInformationKey, RegNtPostSetInformationKey,
                                  REG_SET_INFORMATION_KEY_INFORMATION, &Information, NULL);
    PCM_KEY_BODY Body;
    NTSTATUS Status;

    if (KeySetInformationClass != KeyWriteTimeInformation && KeySetInformationClass != KeyWow64FlagsInformation) {
        return STATUS_INVALID_INFO_CLASS;
    }
    if (KeySetInformationLength != ((KeySetInformationClass == KeyWriteTimeInformation)
                                        ? sizeof(KEY_WRITE_TIME_INFORMATION)
                                        : sizeof(KEY_WOW64_FLAGS_INFORMATION))) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Status = ExCopyFromCaller(&Value, KeySetInformation, KeySetInformationLength);
    if (NT_SUCCESS(Status)) {
        Status = CmpReferenceKey(KeyHandle, KEY_SET_VALUE, &Body);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Information.Object = Call.Object = Body;
    if (CmpBegin(&Call, &Status)) {
        Status = CmpEnd(&Call, CmpSetInformation(Body->Node, KeySetInformationClass, &Value));
    }
    ObDereferenceObject(Body);
    return Status;
}
