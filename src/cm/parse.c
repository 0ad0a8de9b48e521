/*
 * parse.c - key objects: the type, from a path to a key, and a key's own path.
 *
 * The object manager hands everything below \Registry (or below a key handle) to CmpParse, which walks the tree component by
 * component, makes the last key if asked to, and returns a new key body. A key that is a link ends the walk with
 * STATUS_REPARSE and the link's target in front of what remains. Key names ignore case whatever the caller's flags say.
 *
 * The body is allocated before the lock is taken and given up after it was released. Lock: CmpRegistryLock. IRQL: PASSIVE_LEVEL.
 */
#include <ntos/ke.h>

#include "cmp.h"

POBJECT_TYPE CmpKeyObjectType;
ERESOURCE CmpRegistryLock;

static const UNICODE_STRING CmpLinkValue = RTL_CONSTANT_STRING(L"SymbolicLinkValue");

VOID CmpLockShared(VOID)
{
    KeEnterCriticalRegion();
    ExAcquireResourceSharedLite(&CmpRegistryLock, TRUE);
}

VOID CmpLockExclusive(VOID)
{
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&CmpRegistryLock, TRUE);
}

VOID CmpUnlock(VOID)
{
    ExReleaseResourceLite(&CmpRegistryLock);
    KeLeaveCriticalRegion();
}

/* Splits the first component off a path with or without a leading '\'. Runs of '\' count as one, as in NT's registry. */
static BOOLEAN CmpNextComponent(PUNICODE_STRING Remaining, PUNICODE_STRING Component)
{
    while (Remaining->Length != 0 && Remaining->Buffer[0] == L'\\') {
        Remaining->Buffer++;
        Remaining->Length -= sizeof(WCHAR);
    }
    *Component = *Remaining;
    Component->Length = 0;
    while (Remaining->Length != 0 && Remaining->Buffer[0] != L'\\') {
        Component->Length += sizeof(WCHAR);
        Remaining->Buffer++;
        Remaining->Length -= sizeof(WCHAR);
    }
    return Component->Length != 0;
}

static BOOLEAN CmpIsLast(UNICODE_STRING Remaining)
{
    UNICODE_STRING Component;

    return !CmpNextComponent(&Remaining, &Component);
}

/* The new path of a walk that met a link: its target and what remains. */
static NTSTATUS CmpFollowLink(PCM_NODE Node, PCUNICODE_STRING Remaining, PUNICODE_STRING CompleteName)
{
    UNICODE_STRING Tail = *Remaining, New = {0, 0, NULL};
    ULONG Index, Bytes;
    PCM_VALUE Target = CmpFindValue(Node, &CmpLinkValue, &Index);

    if (Target == NULL || Target->Type != REG_LINK || Target->Bytes == 0) {
        return STATUS_OBJECT_NAME_NOT_FOUND;
    }
    Bytes = Target->Bytes + sizeof(WCHAR) + Tail.Length;
    if (Bytes > MAXUSHORT) {
        return STATUS_NAME_TOO_LONG;
    }
    New.Buffer = ExAllocatePoolWithTag(NonPagedPool, Bytes, OB_TAG_NAME);
    if (New.Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    New.MaximumLength = (USHORT)Bytes;
    New.Length = (USHORT)Target->Bytes;
    RtlCopyMemory(New.Buffer, Target->Data, Target->Bytes);
    if (!CmpIsLast(Tail)) {
        if (Tail.Buffer[0] != L'\\') {
            RtlAppendUnicodeToString(&New, L"\\");
        }
        RtlAppendUnicodeStringToString(&New, &Tail);
    }
    *CompleteName = New;
    return STATUS_REPARSE;
}

/* Makes the key that the path ends in; Checked: the caller needs the right to. The lock is held exclusively. */
static NTSTATUS CmpMakeNode(PCM_NODE Parent, PCUNICODE_STRING Name, PCM_PARSE_CONTEXT Context, PCM_NODE *Node)
{
    ULONG Flags = ((Context->Options & REG_OPTION_VOLATILE) != 0) ? CMP_NODE_VOLATILE : 0;
    ACCESS_MASK Needed = ((Context->Options & REG_OPTION_CREATE_LINK) != 0) ? KEY_CREATE_LINK : KEY_CREATE_SUB_KEY;
    PCM_NODE New;
    NTSTATUS Status =
        Context->Checked ? ObCheckSharedSecurity(&Parent->Security, CmpKeyObjectType, Needed) : STATUS_SUCCESS;

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if ((Parent->Flags & CMP_NODE_VOLATILE) != 0 && Flags == 0) {
        return STATUS_CHILD_MUST_BE_VOLATILE;
    }
    if (Parent->Depth + 1 >= CMP_DEEPEST_TREE) {
        return STATUS_INVALID_PARAMETER;
    }
    if ((Context->Options & REG_OPTION_CREATE_LINK) != 0) {
        Flags |= CMP_NODE_LINK;
    }
    Status = CmpAllocateNode(Name, Context->Class, Flags, &New);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObShareSecurity(&Parent->Security, Context->Security, CmpKeyObjectType, &New->Security);
    if (NT_SUCCESS(Status)) {
        Status = CmpInsertSubKey(Parent, New);
    }
    if (!NT_SUCCESS(Status)) {
        CmpDereferenceNode(New);
        return Status;
    }
    CmpReport(Parent, REG_NOTIFY_CHANGE_NAME);
    Context->Disposition = REG_CREATED_NEW_KEY;
    *Node = New;
    return STATUS_SUCCESS;
}

/* Walks from Node along Path; the lock is held, exclusively if a key may be made. */
static NTSTATUS CmpWalk(PCM_NODE Node, PUNICODE_STRING Path, PCM_PARSE_CONTEXT Context, PUNICODE_STRING CompleteName,
                        PCM_NODE *Found)
{
    BOOLEAN Create = Context != NULL && Context->Create;
    ULONG LinkOptions = Create ? REG_OPTION_CREATE_LINK | REG_OPTION_OPEN_LINK : REG_OPTION_OPEN_LINK;
    BOOLEAN OpenLink = Context != NULL && (Context->Options & LinkOptions) != 0;
    UNICODE_STRING Component;

    if ((Node->Flags & CMP_NODE_DELETED) != 0) {
        return STATUS_KEY_DELETED;
    }
    while (CmpNextComponent(Path, &Component)) {
        BOOLEAN Last = CmpIsLast(*Path);
        PCM_NODE Next;

        if (Component.Length > CMP_LONGEST_KEY_NAME * sizeof(WCHAR)) {
            return STATUS_INVALID_PARAMETER;
        }
        Next = CmpFindSubKey(Node, &Component);
        if (Next == NULL) {
            return (Last && Create) ? CmpMakeNode(Node, &Component, Context, Found) : STATUS_OBJECT_NAME_NOT_FOUND;
        }
        if ((Next->Flags & CMP_NODE_LINK) != 0 && !(Last && OpenLink)) {
            return CmpFollowLink(Next, Path, CompleteName);
        }
        Node = Next;
    }
    if (Create && (Context->Options & REG_OPTION_CREATE_LINK) != 0) {
        return STATUS_OBJECT_NAME_COLLISION;
    }
    *Found = Node;
    return STATUS_SUCCESS;
}

/*
 * Rights that the descriptor of the key is not asked for: whoever makes a key has what he wants of it, and whoever opens one for a backup
 * what his privileges for that say (Microsoft Learn, RegCreateKeyEx, REG_OPTION_BACKUP_RESTORE).
 */
static VOID CmpGrantWithoutCheck(PCM_PARSE_CONTEXT Request, PACCESS_STATE State)
{
    GENERIC_MAPPING Mapping = {KEY_READ, KEY_WRITE, KEY_EXECUTE, KEY_ALL_ACCESS};
    ACCESS_MASK Granted = State->OriginalDesiredAccess;

    if (Request->Disposition == REG_CREATED_NEW_KEY) {
        if ((Granted & ACCESS_SYSTEM_SECURITY) != 0) {
            return; /* for that a privilege is needed */
        }
        RtlMapGenericMask(&Granted, &Mapping);
        Granted = ((Granted & MAXIMUM_ALLOWED) != 0) ? KEY_ALL_ACCESS : Granted & (KEY_ALL_ACCESS | KEY_WOW64_RES);
    } else if ((Request->Options & REG_OPTION_BACKUP_RESTORE) != 0) {
        Granted = SeSinglePrivilegeCheck(SeExports->SeBackupPrivilege, UserMode) ? KEY_READ : 0;
        Granted |= SeSinglePrivilegeCheck(SeExports->SeRestorePrivilege, UserMode) ? KEY_WRITE | DELETE : 0;
    } else {
        return;
    }
    if (Granted != 0) {
        State->PreviouslyGrantedAccess = Granted;
        State->RemainingDesiredAccess = 0;
    }
}

/* OB_PARSE_PROCEDURE of keys. */
static NTSTATUS CmpParse(PVOID ParseObject, POBJECT_TYPE ObjectType, PACCESS_STATE AccessState,
                         KPROCESSOR_MODE AccessMode, ULONG Attributes, PUNICODE_STRING CompleteName,
                         PUNICODE_STRING RemainingName, PVOID Context, PVOID *Object)
{
    PCM_PARSE_CONTEXT Request = Context;
    PCM_KEY_BODY From = ParseObject, Body;
    UNICODE_STRING Path = *RemainingName;
    PCM_NODE Found = NULL;
    NTSTATUS Status;

    if (ObjectType != NULL && ObjectType != CmpKeyObjectType) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    Status = ObCreateObject(AccessMode, CmpKeyObjectType, NULL, AccessMode, NULL, sizeof(*Body), 0, 0, (PVOID *)&Body);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    InitializeListHead(&Body->Watch.Posts);
    if (Request != NULL) {
        Request->Disposition = REG_OPENED_EXISTING_KEY;
        Request->Checked = ObIsChecked(AccessMode, Attributes);
    }
    if (Request != NULL && Request->Create) {
        CmpLockExclusive();
    } else {
        CmpLockShared();
    }
    Status = CmpWalk(From->Node, &Path, Request, CompleteName, &Found);
    if (NT_SUCCESS(Status) && Status != STATUS_REPARSE) {
        InterlockedIncrement64(&Found->References);
        Body->Node = Found;
        *Object = Body;
    }
    CmpUnlock();
    if (*Object == NULL) {
        ObDereferenceObject(Body);
    } else if (Request != NULL && Request->Checked) {
        CmpGrantWithoutCheck(Request, AccessState);
    }
    return Status;
}

/* OB_SECURITY_PLACE_PROCEDURE: a key's descriptor is its node's. */
static struct _OBP_DESCRIPTOR **CmpSecurityPlace(PVOID Object)
{
    return &((PCM_KEY_BODY)Object)->Node->Security;
}

/* OB_CLOSE_PROCEDURE: a handle that closes for good ends its notifications. */
static VOID CmpClose(PEPROCESS Process, PVOID Object, ACCESS_MASK GrantedAccess, ULONG HandleCount)
{
    PCM_KEY_BODY Body = Object;
    REG_KEY_HANDLE_CLOSE_INFORMATION Information = {.Object = Object};
    CMP_CALL Call = CMP_CALL_INIT(RegNtPreKeyHandleClose, RegNtPostKeyHandleClose, REG_KEY_HANDLE_CLOSE_INFORMATION,
                                  &Information, Object);
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(Process);
    UNREFERENCED_PARAMETER(GrantedAccess);
    if (HandleCount != 1) {
        return;
    }
    CmpBegin(&Call, &Status); /* cannot be refused */
    InterlockedExchange(&Body->Closed,
                        TRUE); /* NtNotifyChangeKey sets Filter, then looks at this: one of us sees the other */
    if (Body->Watch.Filter != 0) {
        CmpLockExclusive();
        CmpEndWatch(&Body->Watch);
        CmpUnlock();
    }
    CmpEnd(&Call, STATUS_SUCCESS);
}

/* OB_DELETE_PROCEDURE */
static VOID CmpDelete(PVOID Object)
{
    PCM_KEY_BODY Body = Object;

    if (Body->Node == NULL) {
        return;
    }
    if (Body->Watch.Filter != 0) { /* a body that was never closed by handle */
        CmpLockExclusive();
        CmpEndWatch(&Body->Watch);
        CmpUnlock();
    }
    CmpDereferenceNode(Body->Node);
}

/* Bytes of the key's path from the root, without a terminator. The lock is held; the key is not deleted. */
ULONG CmpMeasurePath(PCM_NODE Node)
{
    ULONG Bytes = 0;

    for (; Node != NULL; Node = Node->Parent) {
        Bytes += sizeof(WCHAR) + Node->Name.Length;
    }
    return Bytes;
}

/* Writes the path that CmpMeasurePath measured, as much of it as Bytes has room for. */
VOID CmpWritePath(PCM_NODE Node, PWSTR Buffer, ULONG Bytes)
{
    ULONG End = CmpMeasurePath(Node) / sizeof(WCHAR), Room = Bytes / sizeof(WCHAR);

    for (; Node != NULL; Node = Node->Parent) {
        ULONG Count = Node->Name.Length / sizeof(WCHAR), Start = End - Count;

        for (ULONG Index = 0; Index < Count && Start + Index < Room; Index++) {
            Buffer[Start + Index] = Node->Name.Buffer[Index];
        }
        if (Start - 1 < Room) {
            Buffer[Start - 1] = L'\\';
        }
        End = Start - 1;
    }
}

/* OB_QUERY_NAME_PROCEDURE. STATUS_KEY_DELETED: it has no name any more. */
static NTSTATUS CmpQueryName(PVOID Object, POBJECT_NAME_INFORMATION Info, ULONG Length, PULONG ReturnLength)
{
    PCM_KEY_BODY Body = Object;
    PWSTR Text = (PWSTR)(Info + 1);
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG Bytes;

    CmpLockShared();
    Bytes = CmpMeasurePath(Body->Node);
    *ReturnLength = sizeof(*Info) + Bytes + sizeof(WCHAR);
    if ((Body->Node->Flags & CMP_NODE_DELETED) != 0) {
        Status = STATUS_KEY_DELETED;
    } else if (Bytes + sizeof(WCHAR) > MAXUSHORT) {
        Status = STATUS_OBJECT_PATH_INVALID;
    } else if (Length < *ReturnLength) {
        Status = STATUS_INFO_LENGTH_MISMATCH;
    } else {
        CmpWritePath(Body->Node, Text, Bytes);
        Text[Bytes / sizeof(WCHAR)] = 0;
        Info->Name.Buffer = Text;
        Info->Name.Length = (USHORT)Bytes;
        Info->Name.MaximumLength = (USHORT)(Bytes + sizeof(WCHAR));
    }
    CmpUnlock();
    return Status;
}

NTSTATUS CmpCreateKeyType(VOID)
{
    static const OBJECT_TYPE_INITIALIZER Info = {
        .Name = L"Key",
        .GenericMapping = {KEY_READ, KEY_WRITE, KEY_EXECUTE, KEY_ALL_ACCESS},
        .ValidAccess = KEY_ALL_ACCESS | KEY_WOW64_RES,
        .PoolTag = CMP_TAG,
        .WaitOffset = OB_NOT_WAITABLE,
        .CloseProcedure = CmpClose,
        .DeleteProcedure = CmpDelete,
        .ParseProcedure = CmpParse,
        .QueryNameProcedure = CmpQueryName,
        .SecurityPlaceProcedure = CmpSecurityPlace,
    };

    return ObCreateObjectType(&Info, &CmpKeyObjectType);
}

/* From a handle to its referenced body. STATUS_INVALID_HANDLE, _OBJECT_TYPE_MISMATCH, _ACCESS_DENIED. */
NTSTATUS CmpReferenceKey(HANDLE Handle, ACCESS_MASK Access, PCM_KEY_BODY *Body)
{
    return ObReferenceObjectByHandle(Handle, Access, CmpKeyObjectType, ExGetPreviousMode(), (PVOID *)Body, NULL);
}
