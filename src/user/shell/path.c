/*
 * path.c - names of files as they are typed, and where programs are found.
 *
 * What begins with \??\, \Device\ or \SystemRoot is an NT path and stays as it is. All other names are made full by ntdll, which knows the current
 * directory and the names that are devices in every directory; a full path has the form D:\A\B, or \\.\NUL.
 */
#include "shell.h"

static const PCSTR Extensions[] = {"", ".exe", ".cmd"};

static BOOLEAN IsNtPath(PCSTR Path)
{
    return ShBeginsWith(Path, "\\??\\") || ShBeginsWith(Path, "\\Device\\") || ShBeginsWith(Path, "\\SystemRoot");
}

static BOOLEAN IsSeparator(CHAR Character)
{
    return Character == '\\' || Character == '/';
}

BOOLEAN ShFullPath(PCSTR Typed, PSTR Full, ULONG Bytes)
{
    static WCHAR Wide[SH_PATH];
    UNICODE_STRING Name;
    ULONG Length;

    if (IsNtPath(Typed)) {
        return ShCopy(Full, Bytes, Typed) == ShLength(Typed);
    }
    if (!ShToWide(Typed, &Name)) {
        return FALSE;
    }
    Length = RtlGetFullPathName_U(Name.Buffer, sizeof(Wide), Wide, NULL) / sizeof(WCHAR);
    ShFree(Name.Buffer);
    if (Length == 0 || Length >= RTL_NUMBER_OF(Wide)) {
        return FALSE;
    }
    if (Wide[1] == ':') {
        Wide[0] = RtlUpcaseUnicodeChar(Wide[0]);
    }
    if (Length > 3 && Wide[Length - 1] == '\\') {
        Length--;
    }
    ShToNarrow(Wide, Length, Full, Bytes);
    return ShLength(Full) + sizeof(Wide[0]) * 2 < Bytes; /* a character more would have fitted: nothing was cut off */
}

BOOLEAN ShNtPath(PCSTR Full, PUNICODE_STRING Path)
{
    UNICODE_STRING Name;
    BOOLEAN Done;

    if (IsNtPath(Full)) {
        return ShToWide(Full, Path);
    }
    if (!ShToWide(Full, &Name)) {
        return FALSE;
    }
    Done = RtlDosPathNameToNtPathName_U(Name.Buffer, Path, NULL, NULL);
    ShFree(Name.Buffer);
    return Done;
}

NTSTATUS ShOpen(PCSTR Typed, ACCESS_MASK Access, ULONG Options, ULONG Flags, PHANDLE Handle)
{
    static CHAR Full[SH_PATH];
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    UNICODE_STRING Path;
    NTSTATUS Status;

    if (!ShFullPath(Typed, Full, sizeof(Full)) || !ShNtPath(Full, &Path)) {
        return STATUS_OBJECT_NAME_INVALID;
    }
    InitializeObjectAttributes(&Attributes, &Path, OBJ_CASE_INSENSITIVE | Flags, NULL, NULL);
    Status = NtOpenFile(Handle, Access | SYNCHRONIZE, &Attributes, &Io, FILE_SHARE_READ | FILE_SHARE_WRITE,
                        Options | FILE_SYNCHRONOUS_IO_NONALERT);
    ShFree(Path.Buffer);
    return Status;
}

BOOLEAN ShExists(PCSTR Typed, PBOOLEAN IsDirectory)
{
    static CHAR Full[SH_PATH];
    FILE_BASIC_INFORMATION Basic = {.FileAttributes = 0};
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Path;
    NTSTATUS Status;

    if (!ShFullPath(Typed, Full, sizeof(Full)) || !ShNtPath(Full, &Path)) {
        return FALSE;
    }
    InitializeObjectAttributes(&Attributes, &Path, OBJ_CASE_INSENSITIVE, NULL, NULL);
    Status = NtQueryAttributesFile(&Attributes, &Basic);
    ShFree(Path.Buffer);
    *IsDirectory = (Basic.FileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
    return NT_SUCCESS(Status);
}

/* ---- Programs ---- */

static BOOLEAN EndsWith(PCSTR Text, PCSTR End)
{
    ULONG Length = ShLength(Text), EndLength = ShLength(End);

    return Length >= EndLength && ShSame(Text + Length - EndLength, End);
}

/* A name in one directory (Length bytes of it), with the extensions that count. */
static BOOLEAN FindIn(PCSTR Directory, ULONG Length, PCSTR Name, PSTR Full, ULONG Bytes, PBOOLEAN IsScript)
{
    static CHAR Try[SH_PATH];
    BOOLEAN IsDirectory;

    if (Length + ShLength(Name) + sizeof("\\.exe") > sizeof(Try)) {
        return FALSE;
    }
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Extensions); Index++) {
        ULONG Used = Length;

        memcpy(Try, Directory, Length);
        if (Used != 0 && !IsSeparator(Try[Used - 1])) {
            Try[Used++] = '\\';
        }
        Used += ShCopy(Try + Used, (ULONG)sizeof(Try) - Used, Name);
        ShCopy(Try + Used, (ULONG)sizeof(Try) - Used, Extensions[Index]);
        *IsScript = EndsWith(Try, ".cmd");
        if ((*IsScript || EndsWith(Try, ".exe")) && ShExists(Try, &IsDirectory) && !IsDirectory) {
            return ShFullPath(Try, Full, Bytes);
        }
    }
    return FALSE;
}

static BOOLEAN FindAlongPath(PCSTR Name, PSTR Full, ULONG Bytes, PBOOLEAN IsScript)
{
    static WCHAR Value[SH_PATH];
    UNICODE_STRING Variable = RTL_CONSTANT_STRING(L"PATH"), Path = {0, sizeof(Value), Value};
    static CHAR Narrow[SH_PATH];
    PCSTR Next = Narrow;

    if (!NT_SUCCESS(RtlQueryEnvironmentVariable_U(NULL, &Variable, &Path))) {
        return FALSE;
    }
    ShToNarrow(Path.Buffer, Path.Length / sizeof(WCHAR), Narrow, sizeof(Narrow));
    while (*Next != 0) {
        ULONG Length = 0;

        while (Next[Length] != 0 && Next[Length] != ';') {
            Length++;
        }
        if (Length != 0 && FindIn(Next, Length, Name, Full, Bytes, IsScript)) {
            return TRUE;
        }
        Next += Length;
        Next += *Next != 0;
    }
    return FALSE;
}

BOOLEAN ShFindProgram(PCSTR Name, PSTR Full, ULONG Bytes, PBOOLEAN IsScript)
{
    static const CHAR Beside[] = "\\SystemRoot\\System";

    for (PCSTR Next = Name; *Next != 0; Next++) {
        if (IsSeparator(*Next) || *Next == ':') {
            return FindIn("", 0, Name, Full, Bytes, IsScript);
        }
    }
    return FindIn(Beside, sizeof(Beside) - 1, Name, Full, Bytes, IsScript) ||
           FindIn(Sh.Directory, ShLength(Sh.Directory), Name, Full, Bytes, IsScript) ||
           FindAlongPath(Name, Full, Bytes, IsScript);
}
