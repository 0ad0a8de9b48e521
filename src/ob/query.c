/*
 * query.c - the name of an object, from the root.
 *
 * The path of a named object is the chain of directories above it; it is measured and written backwards under the namespace lock
 * into a buffer taken beforehand. A type whose objects live outside the directories (a file) has a procedure of its own.
 * IRQL: PASSIVE_LEVEL. Source: documentation of ObQueryNameString.
 */
#include "obp.h"

/* Bytes of the path; lock held. Every level adds a '\' before its name, the root itself is one '\'. */
static ULONG ObpMeasurePath(POBJECT_HEADER Header)
{
    ULONG Bytes = 0;

    if (ObpBody(Header) == ObpRootDirectory) {
        return sizeof(WCHAR);
    }
    while (Header->Name != NULL && Header->Name->Directory != NULL) {
        Bytes += sizeof(WCHAR) + Header->Name->Name.Length;
        Header = ObpHeader(Header->Name->Directory);
    }
    return Bytes;
}

/* Writes the path that ObpMeasurePath measured, from its end; lock held. */
static VOID ObpWritePath(POBJECT_HEADER Header, PUCHAR Buffer, ULONG Bytes)
{
    PUCHAR End = Buffer + Bytes;

    if (ObpBody(Header) == ObpRootDirectory) {
        *(PWCHAR)Buffer = L'\\';
        return;
    }
    while (Header->Name != NULL && Header->Name->Directory != NULL) {
        End -= Header->Name->Name.Length;
        RtlCopyMemory(End, Header->Name->Name.Buffer, Header->Name->Name.Length);
        End -= sizeof(WCHAR);
        *(PWCHAR)End = L'\\';
        Header = ObpHeader(Header->Name->Directory);
    }
    ASSERT(End == Buffer);
}

/**
 * ObQueryNameString - writes an object's path.
 *
 * @ObjectNameInfo  gets the string, then its characters with a terminating 0; may be NULL when Length is 0
 * @Length          bytes at ObjectNameInfo
 * @ReturnLength    gets the bytes needed
 * returns          STATUS_SUCCESS (an unnamed object has an empty name); STATUS_INFO_LENGTH_MISMATCH; STATUS_OBJECT_PATH_INVALID
 *                  for a path of 64 KB and more
 */
NTSTATUS NTAPI ObQueryNameString(PVOID Object, POBJECT_NAME_INFORMATION ObjectNameInfo, ULONG Length,
                                 PULONG ReturnLength)
{
    POBJECT_HEADER Header = ObpHeader(Object);
    PUCHAR Text = (PUCHAR)(ObjectNameInfo + 1);
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG Bytes;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Header->Type->Info.QueryNameProcedure != NULL) {
        return Header->Type->Info.QueryNameProcedure(Object, ObjectNameInfo, Length, ReturnLength);
    }
    ExAcquireFastMutex(&ObpNamespaceLock);
    Bytes = ObpMeasurePath(Header);
    *ReturnLength = sizeof(*ObjectNameInfo) + ((Bytes == 0) ? 0 : Bytes + sizeof(WCHAR));
    if (Bytes + sizeof(WCHAR) > MAXUSHORT) {
        Status = STATUS_OBJECT_PATH_INVALID;
    } else if (Length < *ReturnLength) {
        Status = STATUS_INFO_LENGTH_MISMATCH;
    } else if (Bytes == 0) {
        RtlZeroMemory(ObjectNameInfo, sizeof(*ObjectNameInfo));
    } else {
        ObpWritePath(Header, Text, Bytes);
        *(PWCHAR)(Text + Bytes) = 0;
        ObjectNameInfo->Name.Buffer = (PWCHAR)Text;
        ObjectNameInfo->Name.Length = (USHORT)Bytes;
        ObjectNameInfo->Name.MaximumLength = (USHORT)(Bytes + sizeof(WCHAR));
    }
    ExReleaseFastMutex(&ObpNamespaceLock);
    return Status;
}
