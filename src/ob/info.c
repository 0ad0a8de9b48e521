/*
 * info.c - what can be asked about a handle, its object and the types, and what can be set on a handle.
 *
 * ZwQueryObject and ZwSetInformationObject by class, ZwQueryDirectoryObject, NtMakePermanentObject. A buffer that is too short
 * gets STATUS_INFO_LENGTH_MISMATCH and the length that would do; strings follow their structure in the caller's buffer.
 * IRQL: PASSIVE_LEVEL. Locks: the namespace's, inside.
 * Source: WDK documentation of these services and of the structures in ntifs.h.
 */
#include <ntos/ke.h>
#include <ntos/ps.h>
#include <ntos/user.h>

#include "handletable.h"

/* PUBLIC_OBJECT_TYPE_INFORMATION as documented: the name and 22 reserved words. */
typedef struct _OBP_TYPE_INFORMATION {
    UNICODE_STRING TypeName;
    ULONG Reserved[22];
} OBP_TYPE_INFORMATION, *POBP_TYPE_INFORMATION;

/* One entry of what ZwQueryDirectoryObject fills; an entry of zeros ends the list. */
typedef struct _OBP_DIRECTORY_INFORMATION {
    UNICODE_STRING Name;
    UNICODE_STRING TypeName;
} OBP_DIRECTORY_INFORMATION, *POBP_DIRECTORY_INFORMATION;

/* Copies a string with a terminating 0 to *Place and moves that; the copy's descriptor goes to String. */
static VOID ObpPutString(PUNICODE_STRING String, PCUNICODE_STRING Source, PUCHAR *Place)
{
    String->Buffer = (PWCHAR)*Place;
    String->Length = Source->Length;
    String->MaximumLength = Source->Length + sizeof(WCHAR);
    RtlCopyMemory(String->Buffer, Source->Buffer, Source->Length);
    String->Buffer[Source->Length / sizeof(WCHAR)] = 0;
    *Place += String->MaximumLength;
}

static NTSTATUS ObpQueryBasic(PVOID Object, ULONG Attributes, ACCESS_MASK Granted, PVOID Buffer, ULONG Length,
                              PULONG Needed)
{
    POBJECT_HEADER Header = ObpHeader(Object);
    POBJECT_BASIC_INFORMATION Info = Buffer;
    ULONG NameBytes = 0;

    *Needed = sizeof(*Info);
    if (Length != sizeof(*Info)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    RtlZeroMemory(Info, sizeof(*Info));
    Info->Attributes = Attributes | (((Header->Flags & OBP_FLAG_PERMANENT) != 0) ? OBJ_PERMANENT : 0U) |
                       (((Header->Flags & OBP_FLAG_EXCLUSIVE) != 0) ? OBJ_EXCLUSIVE : 0U);
    Info->GrantedAccess = Granted;
    Info->HandleCount = (ULONG)Header->HandleCount;
    Info->PointerCount = (ULONG)Header->PointerCount - 1; /* without the caller's own */
    if (Header->Name != NULL) {
        ObQueryNameString(Object, NULL, 0, &NameBytes);
        Info->NameInfoSize = NameBytes;
    }
    Info->TypeInfoSize = sizeof(OBP_TYPE_INFORMATION) + Header->Type->Name.Length + sizeof(WCHAR);
    return STATUS_SUCCESS;
}

static NTSTATUS ObpQueryType(PVOID Object, PVOID Buffer, ULONG Length, PULONG Needed)
{
    PCUNICODE_STRING Name = &ObGetObjectType(Object)->Name;
    POBP_TYPE_INFORMATION Info = Buffer;
    PUCHAR Place = (PUCHAR)(Info + 1);

    *Needed = sizeof(*Info) + Name->Length + sizeof(WCHAR);
    if (Length < *Needed) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    RtlZeroMemory(Info, sizeof(*Info));
    ObpPutString(&Info->TypeName, Name, &Place);
    return STATUS_SUCCESS;
}

static NTSTATUS ObpQueryFlags(ULONG Attributes, PVOID Buffer, ULONG Length, PULONG Needed)
{
    POBJECT_HANDLE_FLAG_INFORMATION Info = Buffer;

    *Needed = sizeof(*Info);
    if (Length != sizeof(*Info)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Info->Inherit = (Attributes & OBJ_INHERIT) != 0;
    Info->ProtectFromClose = (Attributes & OBJ_PROTECT_CLOSE) != 0;
    return STATUS_SUCCESS;
}

/* Moves the string that an answer begins with to where the caller will see it. */
static VOID ObpMoveString(PUNICODE_STRING String, const EX_ANSWER *Answer)
{
    if (String->Buffer != NULL) {
        String->Buffer = (PWCHAR)((ULONG64)String->Buffer + Answer->Bias);
    }
}

static NTSTATUS ObpAnswerQuery(PVOID Object, OBJECT_INFORMATION_CLASS Class, ULONG Attributes, ACCESS_MASK Granted,
                               const EX_ANSWER *Answer, PULONG Needed)
{
    NTSTATUS Status;

    switch (Class) {
    case ObjectBasicInformation:
        return ObpQueryBasic(Object, Attributes, Granted, Answer->Buffer, Answer->Length, Needed);
    case ObjectNameInformation:
        Status = ObQueryNameString(Object, Answer->Buffer, Answer->Length, Needed);
        break;
    case ObjectTypeInformation:
        Status = ObpQueryType(Object, Answer->Buffer, Answer->Length, Needed);
        break;
    case ObjectHandleFlagInformation:
        return ObpQueryFlags(Attributes, Answer->Buffer, Answer->Length, Needed);
    default:
        return STATUS_INVALID_INFO_CLASS;
    }
    if (NT_SUCCESS(Status)) {
        ObpMoveString(Answer->Buffer, Answer); /* both begin with the string */
    }
    return Status;
}

/**
 * NtQueryObject - asks about a handle and its object.
 *
 * @InformationClass  ObjectBasicInformation, ObjectNameInformation, ObjectTypeInformation, ObjectHandleFlagInformation
 * @ReturnLength      gets the bytes written or needed; may be NULL
 * returns            STATUS_SUCCESS, STATUS_INVALID_HANDLE, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_INFO_CLASS
 *
 * No right is needed. IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtQueryObject(HANDLE Handle, OBJECT_INFORMATION_CLASS InformationClass, PVOID Buffer, ULONG Length,
                             PULONG ReturnLength)
{
    ULONG Attributes, Needed = 0;
    ACCESS_MASK Granted;
    EX_ANSWER Answer;
    PVOID Object;
    NTSTATUS Status, Told;

    Status = ObpReferenceEntry(PsGetCurrentProcess(), Handle, ExGetPreviousMode(), OB_TAG_DEFAULT, &Object, &Granted,
                               &Attributes);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ExBeginAnswer(&Answer, Buffer, Length);
    if (NT_SUCCESS(Status)) {
        do {
            Status = ObpAnswerQuery(Object, InformationClass, Attributes, Granted, &Answer, &Needed);
        } while (ExGrowAnswer(&Answer, &Status, Needed));
        Status = ExEndAnswer(&Answer, Status, Needed);
    }
    ObfDereferenceObject(Object);
    Told = ExReturnValue(STATUS_SUCCESS, ReturnLength, &Needed, sizeof(Needed));
    return NT_SUCCESS(Told) ? Status : Told;
}

NTSTATUS NTAPI ZwQueryObject(HANDLE Handle, OBJECT_INFORMATION_CLASS InformationClass, PVOID Buffer, ULONG Length,
                             PULONG ReturnLength)
{
    OBP_AS_KERNEL(NtQueryObject(Handle, InformationClass, Buffer, Length, ReturnLength));
}

/* Sets a handle's attributes, the one class there is: ObjectHandleFlagInformation. */
NTSTATUS NTAPI NtSetInformationObject(HANDLE Handle, OBJECT_INFORMATION_CLASS InformationClass, PVOID Buffer,
                                      ULONG Length)
{
    OBJECT_HANDLE_FLAG_INFORMATION Info;
    NTSTATUS Status;

    if (InformationClass != ObjectHandleFlagInformation) {
        return STATUS_INVALID_INFO_CLASS;
    }
    if (Length != sizeof(OBJECT_HANDLE_FLAG_INFORMATION)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Status = ExCopyFromCaller(&Info, Buffer, sizeof(Info));
    return NT_SUCCESS(Status) ? ObSetHandleAttributes(Handle, &Info, ExGetPreviousMode()) : Status;
}

NTSTATUS NTAPI ZwSetInformationObject(HANDLE Handle, OBJECT_INFORMATION_CLASS InformationClass, PVOID Buffer,
                                      ULONG Length)
{
    OBP_AS_KERNEL(NtSetInformationObject(Handle, InformationClass, Buffer, Length));
}

/* ---- Directories ---- */

typedef struct _OBP_LISTING {
    ULONG Skip;        /* entries still to pass over */
    ULONG Count;       /* entries taken */
    ULONG Maximum;     /* entries wanted */
    ULONG Bytes;       /* of entries and strings so far */
    ULONG Space;       /* bytes there are, the ending entry included */
    BOOLEAN Full;      /* the next entry did not fit */
    ULONG BytesWanted; /* what the one that did not fit would have made */
    PVOID *Objects;    /* referenced; Count of them */
    ULONG Capacity;    /* of Objects */
} OBP_LISTING, *POBP_LISTING;

static ULONG ObpListingBytes(PCUNICODE_STRING Name, PVOID Object)
{
    return (ULONG)sizeof(OBP_DIRECTORY_INFORMATION) + Name->Length + ObGetObjectType(Object)->Name.Length +
           2 * (ULONG)sizeof(WCHAR);
}

/* Visitor: takes what fits. */
static BOOLEAN ObpTakeEntry(PVOID Context, PCUNICODE_STRING Name, PVOID Object)
{
    POBP_LISTING Listing = Context;
    ULONG Bytes = Listing->Bytes + ObpListingBytes(Name, Object);

    if (Listing->Skip != 0) {
        Listing->Skip--;
        return TRUE;
    }
    if (Bytes > Listing->Space || Listing->Count == Listing->Capacity) {
        Listing->Full = TRUE;
        Listing->BytesWanted = Bytes;
        return FALSE;
    }
    ObfReferenceObject(Object);
    Listing->Objects[Listing->Count++] = Object;
    Listing->Bytes = Bytes;
    return Listing->Count < Listing->Maximum;
}

/* Writes what was taken: the entries, one of zeros, then all strings. */
static VOID ObpWriteListing(POBP_LISTING Listing, const EX_ANSWER *Answer)
{
    POBP_DIRECTORY_INFORMATION Info = Answer->Buffer;
    PUCHAR Place = (PUCHAR)(Info + Listing->Count + 1);

    for (ULONG Index = 0; Index < Listing->Count; Index++) {
        POBJECT_HEADER Header = ObpHeader(Listing->Objects[Index]);

        ObpPutString(&Info[Index].Name, &Header->Name->Name, &Place);
        ObpPutString(&Info[Index].TypeName, &Header->Type->Name, &Place);
        ObpMoveString(&Info[Index].Name, Answer);
        ObpMoveString(&Info[Index].TypeName, Answer);
    }
    RtlZeroMemory(&Info[Listing->Count], sizeof(*Info));
}

/* Lists a directory from entry *Context on. */
static NTSTATUS ObpListDirectory(POBP_DIRECTORY Directory, const EX_ANSWER *Answer, POBP_LISTING Listing,
                                 PULONG Context)
{
    Listing->Capacity = Listing->Space / sizeof(OBP_DIRECTORY_INFORMATION);
    Listing->Skip = *Context;
    Listing->Objects = ExAllocatePoolWithTag(NonPagedPool, (Listing->Capacity + 1) * sizeof(PVOID), OB_TAG_NAME);
    if (Listing->Objects == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ObForEachInDirectory(Directory, ObpTakeEntry, Listing);
    if (Listing->Count != 0) {
        ObpWriteListing(Listing, Answer);
    }
    for (ULONG Index = 0; Index < Listing->Count; Index++) {
        ObfDereferenceObject(Listing->Objects[Index]);
    }
    ExFreePoolWithTag(Listing->Objects, OB_TAG_NAME);
    *Context += Listing->Count;
    if (Listing->Count == 0) {
        return Listing->Full ? STATUS_BUFFER_TOO_SMALL : STATUS_NO_MORE_ENTRIES;
    }
    return (Listing->Full && Listing->Maximum != 1) ? STATUS_MORE_ENTRIES : STATUS_SUCCESS;
}

/**
 * NtQueryDirectoryObject - lists a directory, piece by piece.
 *
 * @Buffer             gets entries of two strings (name, type), ended by an entry of zeros, then the strings' characters
 * @Length             bytes
 * @ReturnSingleEntry  one entry a call
 * @RestartScan        begin with the first; otherwise *Context says where
 * @Context            entry to go on with; updated
 * @ReturnLength       gets the bytes written, or needed for the next entry; may be NULL
 * returns             STATUS_SUCCESS, STATUS_MORE_ENTRIES (there are more than fit), STATUS_NO_MORE_ENTRIES, STATUS_BUFFER_TOO_SMALL,
 *                     STATUS_INSUFFICIENT_RESOURCES, what the handle says
 *
 * IRQL: PASSIVE_LEVEL. Source: Windows driver documentation of ZwQueryDirectoryObject.
 */
NTSTATUS NTAPI NtQueryDirectoryObject(HANDLE DirectoryHandle, PVOID Buffer, ULONG Length, BOOLEAN ReturnSingleEntry,
                                      BOOLEAN RestartScan, PULONG Context, PULONG ReturnLength)
{
    OBP_LISTING Listing = {
        .Maximum = ReturnSingleEntry ? 1 : MAXULONG, .Bytes = sizeof(OBP_DIRECTORY_INFORMATION), .Space = Length};
    ULONG Start = 0, Bytes;
    EX_ANSWER Answer;
    PVOID Directory;
    NTSTATUS Status = RestartScan ? STATUS_SUCCESS : ExCopyFromCaller(&Start, Context, sizeof(Start));

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObReferenceObjectByHandle(DirectoryHandle, DIRECTORY_QUERY, ObpDirectoryObjectType, ExGetPreviousMode(),
                                       &Directory, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ExBeginAnswer(&Answer, Buffer, Length);
    if (NT_SUCCESS(Status)) {
        Listing.Space = Answer.Length; /* a program gets its list in pieces of what one copy holds */
        Status = ObpListDirectory(Directory, &Answer, &Listing, &Start);
        Status = ExEndAnswer(&Answer, Status, Listing.Bytes);
    }
    ObfDereferenceObject(Directory);
    Bytes = (Status == STATUS_BUFFER_TOO_SMALL) ? Listing.BytesWanted : Listing.Bytes;
    if (Status == STATUS_ACCESS_VIOLATION || !NT_SUCCESS(ExCopyToCaller(Context, &Start, sizeof(Start))) ||
        !NT_SUCCESS(ExReturnValue(STATUS_SUCCESS, ReturnLength, &Bytes, sizeof(Bytes)))) {
        return STATUS_ACCESS_VIOLATION;
    }
    return Status;
}

NTSTATUS NTAPI ZwQueryDirectoryObject(HANDLE DirectoryHandle, PVOID Buffer, ULONG Length, BOOLEAN ReturnSingleEntry,
                                      BOOLEAN RestartScan, PULONG Context, PULONG ReturnLength)
{
    OBP_AS_KERNEL(
        NtQueryDirectoryObject(DirectoryHandle, Buffer, Length, ReturnSingleEntry, RestartScan, Context, ReturnLength));
}

/**
 * NtMakePermanentObject - lets an object keep its name when its last handle goes.
 *
 * returns  STATUS_SUCCESS, what the handle says; from user mode also STATUS_PRIVILEGE_NOT_HELD
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtMakePermanentObject(HANDLE Handle)
{
    KPROCESSOR_MODE Mode = ExGetPreviousMode();
    PVOID Object;
    NTSTATUS Status;

    if (!SeSinglePrivilegeCheck(SeExports->SeCreatePermanentPrivilege, Mode)) {
        return STATUS_PRIVILEGE_NOT_HELD;
    }
    Status = ObReferenceObjectByHandle(Handle, 0, NULL, Mode, &Object, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    InterlockedOr(&ObpHeader(Object)->Flags, OBP_FLAG_PERMANENT);
    ObfDereferenceObject(Object);
    return STATUS_SUCCESS;
}
