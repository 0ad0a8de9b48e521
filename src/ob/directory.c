/*
 * directory.c - directories of named objects and the life of a name.
 *
 * A directory is a small hash table of OBP_NAME entries. An entry holds one pointer reference on its object and one on its
 * directory, so whatever a lookup finds under the namespace lock is alive. A name leaves its directory when the last
 * handle closes unless the object is permanent, or when ObMakeTemporaryObject finds no handle; the OBP_NAME itself stays with the
 * object until that is deleted.
 *
 * Lock: ObpNamespaceLock, held by the callers of everything marked so in obp.h. References are given up only after it
 * was released, since the last one runs a delete procedure.
 */
#include <ntos/user.h>

#include "obp.h"

FAST_MUTEX ObpNamespaceLock;
VF_NAME_LOCK(ObpNamespaceLock, "ObpNamespaceLock");
POBJECT_TYPE ObpDirectoryObjectType;

static ULONG ObpHashName(PCUNICODE_STRING Name)
{
    ULONG Hash = 0;

    for (ULONG Index = 0; Index < Name->Length / sizeof(WCHAR); Index++) {
        Hash = Hash * 31 + RtlUpcaseUnicodeChar(Name->Buffer[Index]);
    }
    return Hash;
}

VOID ObpInitializeDirectory(POBP_DIRECTORY Directory)
{
    for (ULONG Index = 0; Index < OBP_DIRECTORY_BUCKETS; Index++) {
        InitializeListHead(&Directory->Buckets[Index]);
    }
}

/* A name for an object, not linked anywhere; NULL: no memory. IRQL <= APC_LEVEL. */
POBP_NAME ObpAllocateName(POBJECT_HEADER Header, PCUNICODE_STRING Name)
{
    POBP_NAME New = ExAllocatePoolWithTag(NonPagedPool, sizeof(*New) + Name->Length, OB_TAG_NAME);

    if (New == NULL) {
        return NULL;
    }
    RtlZeroMemory(New, sizeof(*New));
    New->Header = Header;
    New->Name.Buffer = (PWCHAR)(New + 1);
    New->Name.Length = New->Name.MaximumLength = Name->Length;
    RtlCopyMemory(New->Name.Buffer, Name->Buffer, Name->Length);
    New->Hash = ObpHashName(&New->Name);
    return New;
}

POBP_NAME ObpFindInDirectory(POBP_DIRECTORY Directory, PCUNICODE_STRING Name, BOOLEAN IgnoreCase)
{
    ULONG Hash = ObpHashName(Name);
    PLIST_ENTRY Head = &Directory->Buckets[Hash % OBP_DIRECTORY_BUCKETS];

    for (PLIST_ENTRY Link = Head->Flink; Link != Head; Link = Link->Flink) {
        POBP_NAME Entry = CONTAINING_RECORD(Link, OBP_NAME, Link);

        if (Entry->Hash == Hash && RtlEqualUnicodeString(&Entry->Name, Name, IgnoreCase)) {
            return Entry;
        }
    }
    return NULL;
}

VOID ObpLinkName(POBP_DIRECTORY Directory, POBP_NAME Name)
{
    ObfReferenceObject(Directory);
    ObfReferenceObject(ObpBody(Name->Header));
    Name->Directory = Directory;
    Name->Header->Name = Name;
    InsertTailList(&Directory->Buckets[Name->Hash % OBP_DIRECTORY_BUCKETS], &Name->Link);
    Directory->EntryCount++;
}

/* Takes a name out of its directory; the caller then gives up the entry's references on both, outside the lock. */
VOID ObpUnlinkName(POBP_NAME Name)
{
    Name->Directory->EntryCount--;
    RemoveEntryList(&Name->Link);
    Name->Directory = NULL;
}

/* Takes a temporary object without handles out of its directory. The caller holds a reference. IRQL: PASSIVE_LEVEL. */
VOID ObpDeleteNameCheck(POBJECT_HEADER Header)
{
    POBP_DIRECTORY Directory = NULL;

    if (Header->Name == NULL) {
        return;
    }
    ExAcquireFastMutex(&ObpNamespaceLock);
    if (Header->HandleCount == 0 && (Header->Flags & (OBP_FLAG_PERMANENT | OBP_FLAG_INSERTING)) == 0 &&
        Header->Name->Directory != NULL) {
        Directory = Header->Name->Directory;
        ObpUnlinkName(Header->Name);
    }
    ExReleaseFastMutex(&ObpNamespaceLock);
    if (Directory != NULL) {
        ObfDereferenceObject(Directory);
        ObfDereferenceObject(ObpBody(Header));
    }
}

/*
 * TRUE: an object that was found by its name has none any more. Asked when a handle was counted: from then on a name stays, but
 * between finding the object and counting, the last other handle may have gone. IRQL: PASSIVE_LEVEL.
 */
BOOLEAN ObpLostName(POBJECT_HEADER Header)
{
    BOOLEAN Lost;

    if (Header->Name == NULL) {
        return FALSE;
    }
    ExAcquireFastMutex(&ObpNamespaceLock);
    Lost = Header->Name->Directory == NULL;
    ExReleaseFastMutex(&ObpNamespaceLock);
    return Lost;
}

VOID ObForEachInDirectory(PVOID Directory, OB_VISIT Visit, PVOID Context)
{
    POBP_DIRECTORY Object = Directory;
    PVOID *Found;
    ULONG Count, Filled = 0;

    /* A snapshot of references: the visitor may look things up itself. */
    ExAcquireFastMutex(&ObpNamespaceLock);
    Count = Object->EntryCount;
    Found = (Count == 0) ? NULL : ExAllocatePoolWithTag(NonPagedPool, Count * sizeof(PVOID), OB_TAG_NAME);
    for (ULONG Index = 0; Found != NULL && Index < OBP_DIRECTORY_BUCKETS; Index++) {
        PLIST_ENTRY Head = &Object->Buckets[Index];

        for (PLIST_ENTRY Link = Head->Flink; Link != Head; Link = Link->Flink) {
            PVOID Body = ObpBody(CONTAINING_RECORD(Link, OBP_NAME, Link)->Header);

            ObfReferenceObject(Body);
            Found[Filled++] = Body;
        }
    }
    ExReleaseFastMutex(&ObpNamespaceLock);
    BOOLEAN Go = TRUE;
    for (ULONG Index = 0; Index < Filled; Index++) {
        /* The name lives as long as the object once it has one. */
        Go = Go && Visit(Context, &ObpHeader(Found[Index])->Name->Name, Found[Index]);
        ObfDereferenceObject(Found[Index]);
    }
    if (Found != NULL) {
        ExFreePoolWithTag(Found, OB_TAG_NAME);
    }
}

NTSTATUS NTAPI NtCreateDirectoryObject(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes)
{
    PVOID Object;
    NTSTATUS Status;

    Status = ExCreateObject(ObpDirectoryObjectType, Attributes, sizeof(OBP_DIRECTORY), &Object);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ObpInitializeDirectory(Object);
    return ExInsertObject(Object, DesiredAccess, Handle);
}

NTSTATUS NTAPI NtOpenDirectoryObject(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes)
{
    return ExOpenObject(ObpDirectoryObjectType, Attributes, DesiredAccess, Handle);
}
