/*
 * lookup.c - from a path to an object.
 *
 * A path is walked component by component from the root directory, or from the directory or file that RootDirectory names. Where
 * the walk meets an object with a parse procedure (a symbolic link, a device), the rest of the path is that procedure's:
 * it returns an object, or STATUS_REPARSE with a new path, and the walk begins again. 32 reparses are the limit
 * (Windows' own limit is 30): a loop of links ends in STATUS_OBJECT_NAME_INVALID.
 *
 * Lock: ObpNamespaceLock for one directory search at a time; never held over a parse procedure or a dereference. IRQL:
 * PASSIVE_LEVEL.
 */
#include "obp.h"

#define OBP_MAXIMUM_REPARSES 32U

typedef struct _OBP_WALK {
    POBP_LOOKUP Lookup;
    UNICODE_STRING Path;      /* the whole path of this walk; own buffer */
    UNICODE_STRING Remaining; /* part of Path not walked yet, without leading '\' while in directories */
    PVOID Current;            /* referenced: where the walk stands */
    BOOLEAN AtRoot;           /* Current is \ and nothing of the path was walked yet */
} OBP_WALK, *POBP_WALK;

static VOID ObpSkip(PUNICODE_STRING String, USHORT Bytes)
{
    String->Buffer += Bytes / sizeof(WCHAR);
    String->Length -= Bytes;
    String->MaximumLength = String->Length;
}

/* Splits the next component off; what follows keeps its leading '\'. */
static VOID ObpSplit(PUNICODE_STRING Remaining, PUNICODE_STRING Component)
{
    USHORT Bytes = 0;

    while (Bytes < Remaining->Length && Remaining->Buffer[Bytes / sizeof(WCHAR)] != L'\\') {
        Bytes += sizeof(WCHAR);
    }
    Component->Buffer = Remaining->Buffer;
    Component->Length = Component->MaximumLength = Bytes;
    ObpSkip(Remaining, Bytes);
}

/* Moves the walk to Object, whose reference it takes over. */
static VOID ObpMoveTo(POBP_WALK Walk, PVOID Object)
{
    if (Walk->Current != NULL) {
        ObfDereferenceObject(Walk->Current);
    }
    Walk->Current = Object;
}

/* Stands the walk at the root directory with Path wholly to go. */
static NTSTATUS ObpStartAtRoot(POBP_WALK Walk)
{
    Walk->Remaining = Walk->Path;
    if (Walk->Remaining.Length == 0 || Walk->Remaining.Buffer[0] != L'\\') {
        return STATUS_OBJECT_PATH_SYNTAX_BAD;
    }
    ObpSkip(&Walk->Remaining, sizeof(WCHAR));
    ObfReferenceObject(ObpRootDirectory);
    ObpMoveTo(Walk, ObpRootDirectory);
    return STATUS_SUCCESS;
}

static NTSTATUS ObpStart(POBP_WALK Walk)
{
    POBP_LOOKUP Lookup = Walk->Lookup;
    PVOID Root;
    NTSTATUS Status;

    if (Lookup->RootDirectory == NULL) {
        return ObpStartAtRoot(Walk);
    }
    Status = ObReferenceObjectByHandle(Lookup->RootDirectory, 0, NULL, Lookup->AccessMode, &Root, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ObpMoveTo(Walk, Root);
    Walk->Remaining = Walk->Path;
    if (ObGetObjectType(Root) == ObpDirectoryObjectType) {
        return (Walk->Path.Length != 0 && Walk->Path.Buffer[0] == L'\\') ? STATUS_OBJECT_PATH_SYNTAX_BAD
                                                                         : STATUS_SUCCESS;
    }
    return (ObGetObjectType(Root)->Info.ParseProcedure != NULL) ? STATUS_SUCCESS : STATUS_OBJECT_TYPE_MISMATCH;
}

/*
 * Before an object is entered in a directory: the right to create there, and the object's descriptor. What comes of it counts only if the
 * name is free.
 */
static NTSTATUS ObpPrepareInsert(POBP_LOOKUP Lookup, POBP_DIRECTORY Directory)
{
    BOOLEAN Subdirectory = ObGetObjectType(Lookup->InsertObject) == ObpDirectoryObjectType;
    NTSTATUS Status;

    Status = ObpCheckDirectory(Directory, Subdirectory ? DIRECTORY_CREATE_SUBDIRECTORY : DIRECTORY_CREATE_OBJECT,
                               Lookup->AccessMode, Lookup->Attributes);
    if (NT_SUCCESS(Status) && ObpHeader(Lookup->InsertObject)->Security == NULL) {
        Status = ObpAssignSecurity(Lookup->InsertObject, Lookup->AccessState,
                                   ObpHeader(Lookup->InsertObject)->Creation->Descriptor, Directory);
    }
    return Status;
}

/* What a name in a directory stands for, referenced; New, if it is given and the name is free, is entered there. NULL: nothing. */
static PVOID ObpFindOrEnter(POBP_DIRECTORY Directory, PCUNICODE_STRING Component, BOOLEAN IgnoreCase, POBP_NAME New)
{
    POBP_NAME Entry;
    PVOID Found = NULL;

    ExAcquireFastMutex(&ObpNamespaceLock);
    Entry = ObpFindInDirectory(Directory, Component, IgnoreCase);
    if (Entry == NULL && New != NULL) {
        ObpLinkName(Directory, New);
        Entry = New;
    }
    if (Entry != NULL) {
        Found = ObpBody(Entry->Header);
        ObfReferenceObject(Found);
    }
    ExReleaseFastMutex(&ObpNamespaceLock);
    return Found;
}

/* The last component of a name that was free a moment ago: enters the object to insert, or finds who was faster. */
static NTSTATUS ObpInsertIntoDirectory(POBP_WALK Walk, PCUNICODE_STRING Component, BOOLEAN IgnoreCase)
{
    POBP_LOOKUP Lookup = Walk->Lookup;
    POBP_NAME New;
    PVOID Found;
    NTSTATUS Status = ObpPrepareInsert(Lookup, Walk->Current);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    New = ObpAllocateName(ObpHeader(Lookup->InsertObject), Component);
    if (New == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Found = ObpFindOrEnter(Walk->Current, Component, IgnoreCase, New);
    ObpMoveTo(Walk, Found);
    if (Found == Lookup->InsertObject) {
        return STATUS_OBJECT_NAME_EXISTS; /* a success code: it is there now */
    }
    ExFreePoolWithTag(New, OB_TAG_NAME);
    return STATUS_SUCCESS;
}

/* One component inside a directory: moves to what it names. STATUS_OBJECT_NAME_EXISTS: the object to insert was entered. */
static NTSTATUS ObpStepIntoDirectory(POBP_WALK Walk)
{
    POBP_LOOKUP Lookup = Walk->Lookup;
    BOOLEAN IgnoreCase = (Lookup->Attributes & OBJ_CASE_INSENSITIVE) != 0;
    UNICODE_STRING Component;
    PVOID Found;
    NTSTATUS Status;

    ObpSplit(&Walk->Remaining, &Component);
    if (Component.Length == 0) {
        return STATUS_OBJECT_NAME_INVALID;
    }
    Status = ObpCheckDirectory(Walk->Current, DIRECTORY_TRAVERSE, Lookup->AccessMode, Lookup->Attributes);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Found = ObpFindOrEnter(Walk->Current, &Component, IgnoreCase, NULL);
    if (Found != NULL) {
        ObpMoveTo(Walk, Found);
        return STATUS_SUCCESS;
    }
    if (Walk->Remaining.Length != 0) {
        return STATUS_OBJECT_PATH_NOT_FOUND;
    }
    return (Lookup->InsertObject == NULL) ? STATUS_OBJECT_NAME_NOT_FOUND
                                          : ObpInsertIntoDirectory(Walk, &Component, IgnoreCase);
}

/* TRUE: the object at hand takes the rest of the path itself. */
static BOOLEAN ObpMustParse(POBP_WALK Walk)
{
    POBJECT_TYPE Type = ObGetObjectType(Walk->Current);

    if (Type->Info.ParseProcedure == NULL) {
        return FALSE;
    }
    if (Walk->Remaining.Length != 0) {
        return TRUE;
    }
    if (Type == ObpSymbolicLinkObjectType) { /* a link that ends the path */
        return Walk->Lookup->InsertObject == NULL && Walk->Lookup->ObjectType != ObpSymbolicLinkObjectType;
    }
    return Walk->Lookup->InsertObject == NULL && Walk->Lookup->ParseContext != NULL;
}

/* Lets the object at hand parse. STATUS_REPARSE: Path is new and the walk stands at the root again. */
static NTSTATUS ObpCallParse(POBP_WALK Walk)
{
    POBP_LOOKUP Lookup = Walk->Lookup;
    POBJECT_TYPE Type = ObGetObjectType(Walk->Current);
    UNICODE_STRING NewPath = Walk->Path;
    PVOID Object = NULL;
    NTSTATUS Status;

    Status = Type->Info.ParseProcedure(Walk->Current, Lookup->ObjectType, Lookup->AccessState, Lookup->AccessMode,
                                       Lookup->Attributes, &NewPath, &Walk->Remaining, Lookup->ParseContext, &Object);
    if (Status == STATUS_REPARSE) {
        if (Walk->Path.Buffer != NULL) {
            ExFreePoolWithTag(Walk->Path.Buffer, OB_TAG_NAME);
        }
        Walk->Path = NewPath;
        Status = ObpStartAtRoot(Walk);
        return NT_SUCCESS(Status) ? STATUS_REPARSE : Status;
    }
    if (NT_SUCCESS(Status)) {
        ASSERT(Object != NULL);
        ObpMoveTo(Walk, Object);
    }
    return Status;
}

/* What a finished walk means to the caller. */
static NTSTATUS ObpFinish(POBP_WALK Walk, BOOLEAN Inserted)
{
    POBP_LOOKUP Lookup = Walk->Lookup;

    if (Lookup->InsertObject != NULL && !Inserted) {
        if ((Lookup->Attributes & OBJ_OPENIF) == 0) {
            return STATUS_OBJECT_NAME_COLLISION;
        }
        if (ObGetObjectType(Walk->Current) != Lookup->ObjectType) {
            return STATUS_OBJECT_TYPE_MISMATCH;
        }
        return STATUS_OBJECT_NAME_EXISTS;
    }
    if (Lookup->ObjectType != NULL && ObGetObjectType(Walk->Current) != Lookup->ObjectType) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    return STATUS_SUCCESS;
}

static NTSTATUS ObpWalkPath(POBP_WALK Walk)
{
    ULONG Reparses = 0;
    NTSTATUS Status = ObpStart(Walk);

    while (NT_SUCCESS(Status)) {
        if (ObpMustParse(Walk)) {
            Status = ObpCallParse(Walk);
            if (Status == STATUS_REPARSE) {
                if (++Reparses > OBP_MAXIMUM_REPARSES) {
                    return STATUS_OBJECT_NAME_INVALID;
                }
                continue;
            }
            return NT_SUCCESS(Status) ? ObpFinish(Walk, FALSE) : Status;
        }
        if (Walk->Remaining.Length == 0) {
            return ObpFinish(Walk, FALSE);
        }
        if (ObGetObjectType(Walk->Current) != ObpDirectoryObjectType) {
            return STATUS_OBJECT_TYPE_MISMATCH;
        }
        if (Walk->Remaining.Buffer[0] == L'\\') { /* the separator after the directory's own name */
            ObpSkip(&Walk->Remaining, sizeof(WCHAR));
        }
        Status = ObpStepIntoDirectory(Walk);
        if (Status == STATUS_OBJECT_NAME_EXISTS) {
            return ObpFinish(Walk, TRUE);
        }
    }
    return Status;
}

/**
 * ObpLookupObject - finds what a path names, or enters an object under it.
 *
 * @Lookup   the request
 * @Object   gets the object, referenced
 * returns   STATUS_SUCCESS; STATUS_OBJECT_NAME_EXISTS: OBJ_OPENIF met an existing object; STATUS_OBJECT_NAME_NOT_FOUND, _PATH_NOT_FOUND,
 *           _NAME_COLLISION, _NAME_INVALID, _TYPE_MISMATCH, _PATH_SYNTAX_BAD; STATUS_INSUFFICIENT_RESOURCES; a parse procedure's
 *
 * IRQL: PASSIVE_LEVEL. Locks: none.
 */
NTSTATUS ObpLookupObject(POBP_LOOKUP Lookup, PVOID *Object)
{
    OBP_WALK Walk = {.Lookup = Lookup};
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    *Object = NULL;
    Status = ObpCaptureName(Lookup->AccessMode, Lookup->Name, &Walk.Path);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObpWalkPath(&Walk);
    if (NT_SUCCESS(Status)) {
        *Object = Walk.Current;
    } else if (Walk.Current != NULL) {
        ObfDereferenceObject(Walk.Current);
    }
    if (Walk.Path.Buffer != NULL) {
        ExFreePoolWithTag(Walk.Path.Buffer, OB_TAG_NAME);
    }
    return Status;
}
