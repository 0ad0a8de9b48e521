/*
 * path.c - file names as typed at the console, and as printed there.
 *
 * The console speaks UTF-8, the object manager UTF-16. The current directory is always the root of D:, the disc: a
 * kernel console has no per-process directory and one place is enough. What is not well-formed UTF-8 is refused
 * rather than guessed at.
 *
 * No state, no locks; buffers are the caller's. IRQL: PASSIVE_LEVEL (the converters' tables may be pageable).
 */
#include "consolep.h"

static BOOLEAN ConpBeginsWith(PCSTR Text, PCSTR Prefix)
{
    while (*Prefix != 0 && *Text == *Prefix) {
        Text++;
        Prefix++;
    }
    return *Prefix == 0;
}

static NTSTATUS ConpAppend(PUNICODE_STRING Name, PCSTR Text)
{
    ULONG Bytes = 0, Length = 0;
    NTSTATUS Status;

    while (Text[Length] != 0) {
        Length++;
    }
    if (Length == 0) {
        return STATUS_SUCCESS;
    }
    Status = RtlUTF8ToUnicodeN(Name->Buffer + Name->Length / sizeof(WCHAR), Name->MaximumLength - Name->Length, &Bytes,
                               Text, Length);
    if (Status != STATUS_SUCCESS) { /* STATUS_SOME_NOT_MAPPED is a success code, but no name */
        return STATUS_OBJECT_NAME_INVALID;
    }
    Name->Length += (USHORT)Bytes;
    return STATUS_SUCCESS;
}

NTSTATUS ConpNtPath(PCSTR Path, PUNICODE_STRING Name)
{
    PCSTR Prefix = "\\??\\D:\\";
    NTSTATUS Status;

    if (ConpBeginsWith(Path, "\\??\\") || ConpBeginsWith(Path, "\\Device\\") || ConpBeginsWith(Path, "\\SystemRoot")) {
        Prefix = "";
    } else if (Path[0] != 0 && Path[1] == ':') {
        Prefix = "\\??\\";
    } else if (Path[0] == '\\' || Path[0] == '/') {
        Prefix = "\\??\\D:";
    }
    Name->Length = 0;
    Status = ConpAppend(Name, Prefix);
    if (NT_SUCCESS(Status)) {
        Status = ConpAppend(Name, Path);
    }
    for (ULONG Index = 0; Index < Name->Length / sizeof(WCHAR); Index++) {
        if (Name->Buffer[Index] == '/') {
            Name->Buffer[Index] = '\\';
        }
    }
    return Status;
}

VOID ConpToUtf8(const WCHAR *Text, ULONG Characters, PSTR Buffer, ULONG Bytes)
{
    ULONG Used = 0;

    RtlUnicodeToUTF8N(Buffer, Bytes - 1, &Used, Text, Characters * sizeof(WCHAR));
    Buffer[Used] = 0;
}
