/*
 * curdir.c - the process's current directory: the full name in its parameters, which ends with a backslash.
 *
 * The name that came with the process lies in the block of its parameters; one that was set is of the process heap. Nobody keeps the directory
 * open: a name is checked when it is set, and looked up again by whoever uses it.
 *
 * Lock: RtlpDirectoryLock (SRW) around the name. Source: Microsoft Learn, GetCurrentDirectory, SetCurrentDirectory.
 */
#include "ntdllp.h"

RTL_SRWLOCK RtlpDirectoryLock = RTL_SRWLOCK_INIT;
static PWSTR RtlpOwnDirectory; /* (lock) of the heap; NULL: the name came with the process */

NTSTATUS RtlpCopyDirectory(PUNICODE_STRING Copy)
{
    PCUNICODE_STRING Directory = &LdrpPeb()->ProcessParameters->CurrentDirectory.DosPath;
    NTSTATUS Status = STATUS_SUCCESS;

    RtlAcquireSRWLockShared(&RtlpDirectoryLock);
    *Copy = (UNICODE_STRING){Directory->Length, Directory->Length, NULL};
    Copy->Buffer = RtlAllocateHeap(LdrpPeb()->ProcessHeap, 0, Directory->Length);
    if (Copy->Buffer != NULL) {
        RtlCopyMemory(Copy->Buffer, Directory->Buffer, Directory->Length);
    } else {
        Status = STATUS_NO_MEMORY;
    }
    RtlReleaseSRWLockShared(&RtlpDirectoryLock);
    return Status;
}

/**
 * RtlGetCurrentDirectory_U - the current directory, with a backslash at its end only if it is a root.
 *
 * @BufferLength  bytes of Buffer
 * returns        bytes without the NUL; more than BufferLength: what it takes with its NUL; 0: memory is short
 */
ULONG NTAPI RtlGetCurrentDirectory_U(ULONG BufferLength, PWSTR Buffer)
{
    UNICODE_STRING Directory;
    ULONG Length;

    if (!NT_SUCCESS(RtlpCopyDirectory(&Directory))) {
        return 0;
    }
    Length = Directory.Length / sizeof(WCHAR);
    if (Length > 1 && Directory.Buffer[Length - 1] == '\\' && Directory.Buffer[Length - 2] != ':') {
        Length--;
    }
    Length *= (ULONG)sizeof(WCHAR);
    if (Length + sizeof(WCHAR) <= BufferLength) {
        RtlCopyMemory(Buffer, Directory.Buffer, Length);
        Buffer[Length / sizeof(WCHAR)] = 0;
    } else {
        Length += (ULONG)sizeof(WCHAR);
    }
    RtlFreeUnicodeString(&Directory);
    return Length;
}

/* STATUS_SUCCESS: a name leads to a directory. */
static NTSTATUS RtlpCheckDirectory(PCUNICODE_STRING Full)
{
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;
    UNICODE_STRING Path;
    HANDLE Directory;
    NTSTATUS Status = RtlpNtPath(Full->Buffer, Full->Length / sizeof(WCHAR), &Path);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    InitializeObjectAttributes(&Attributes, &Path, OBJ_CASE_INSENSITIVE, NULL, NULL);
    Status = NtOpenFile(&Directory, FILE_TRAVERSE | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ | FILE_SHARE_WRITE,
                        FILE_DIRECTORY_FILE | FILE_SYNCHRONOUS_IO_NONALERT);
    if (NT_SUCCESS(Status)) {
        NtClose(Directory);
    }
    RtlFreeUnicodeString(&Path);
    return Status;
}

/**
 * RtlSetCurrentDirectory_U - changes the current directory.
 *
 * @Path    any kind of name that dospath.c knows
 * returns  STATUS_SUCCESS; STATUS_OBJECT_NAME_INVALID; STATUS_NAME_TOO_LONG; STATUS_NO_MEMORY; STATUS_NOT_A_DIRECTORY; what opening it says
 */
NTSTATUS NTAPI RtlSetCurrentDirectory_U(PCUNICODE_STRING Path)
{
    PUNICODE_STRING Directory = &LdrpPeb()->ProcessParameters->CurrentDirectory.DosPath;
    UNICODE_STRING Full;
    PWSTR Old, Part;
    ULONG Length;
    NTSTATUS Status;

    if (Path->Length == 0) {
        return STATUS_OBJECT_NAME_INVALID;
    }
    Status = RtlpFullPath(Path->Buffer, Path->Length / sizeof(WCHAR), &Full, &Part);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Length = Full.Length / sizeof(WCHAR);
    if (Part == NULL && Length > 1 && Full.Buffer[Length - 2] != ':') { /* how a file system wants it */
        Full.Length -= sizeof(WCHAR);
    }
    Status = RtlpCheckDirectory(&Full);
    if (NT_SUCCESS(Status) && Full.Buffer[Full.Length / sizeof(WCHAR) - 1] != '\\') {
        Full.Buffer[Full.Length / sizeof(WCHAR)] = '\\'; /* in the place of its NUL, or where it was */
        Full.Length += sizeof(WCHAR);
    }
    if (!NT_SUCCESS(Status)) {
        RtlFreeUnicodeString(&Full);
        return Status;
    }
    RtlAcquireSRWLockExclusive(&RtlpDirectoryLock);
    Old = RtlpOwnDirectory;
    RtlpOwnDirectory = Full.Buffer;
    *Directory = Full;
    RtlReleaseSRWLockExclusive(&RtlpDirectoryLock);
    RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Old);
    return STATUS_SUCCESS;
}
