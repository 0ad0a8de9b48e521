/*
 * path.c - names of files as they are typed, and where programs are found.
 *
 * Full paths have the form D:\A\B; "." and ".." are worked out here, since the object manager knows neither. What begins with \??\, \Device\ or \SystemRoot
 * is an NT path and stays as it is. The names CON, CONIN$, CONOUT$ and NUL are devices in every directory.
 */
#include "shell.h"

static const PCSTR Extensions[] = {"", ".exe", ".cmd"};

static BOOLEAN IsNtPath(PCSTR Path)
{
    return ShBeginsWith(Path, "\\??\\") || ShBeginsWith(Path, "\\Device\\") || ShBeginsWith(Path, "\\SystemRoot");
}

static BOOLEAN IsDevice(PCSTR Name)
{
    return ShSame(Name, "NUL") || ShSame(Name, "CON") || ShSame(Name, "CONIN$") || ShSame(Name, "CONOUT$");
}

static BOOLEAN IsSeparator(CHAR Character)
{
    return Character == '\\' || Character == '/';
}

/* Appends one component to a path that ends with a backslash, and a backslash behind it. */
static BOOLEAN AppendComponent(PSTR Full, ULONG Bytes, PCSTR Component, ULONG Length)
{
    ULONG Used = ShLength(Full);

    if (Length == 0 || (Length == 1 && Component[0] == '.')) {
        return TRUE;
    }
    if (Length == 2 && Component[0] == '.' && Component[1] == '.') {
        if (Used > 3) {
            Full[--Used] = 0;
            while (Used > 3 && Full[Used - 1] != '\\') {
                Full[--Used] = 0;
            }
        }
        return TRUE;
    }
    if (Used + Length + 2 > Bytes) {
        return FALSE;
    }
    memcpy(Full + Used, Component, Length);
    Full[Used + Length] = '\\';
    Full[Used + Length + 1] = 0;
    return TRUE;
}

/* The place a path begins at: of Typed, where it goes on. */
static PCSTR BeginPath(PCSTR Typed, PSTR Full, ULONG Bytes)
{
    ShCopy(Full, Bytes, Sh.Directory);
    if (Typed[0] != 0 && Typed[1] == ':') {
        if (ShLower(Typed[0]) != ShLower(Sh.Directory[0]) || IsSeparator(Typed[2])) {
            Full[0] = Typed[0] >= 'a' && Typed[0] <= 'z' ? (CHAR)(Typed[0] - 'a' + 'A') : Typed[0];
            Full[3] = 0;
        }
        return Typed + 2;
    }
    if (IsSeparator(Typed[0])) {
        Full[3] = 0;
    }
    return Typed;
}

BOOLEAN ShFullPath(PCSTR Typed, PSTR Full, ULONG Bytes)
{
    ULONG Length;

    if (IsNtPath(Typed)) {
        return ShCopy(Full, Bytes, Typed) == ShLength(Typed);
    }
    if (IsDevice(Typed)) {
        ShCopy(Full, Bytes, "\\??\\");
        ShCopy(Full + 4, Bytes - 4, Typed);
        return TRUE;
    }
    Typed = BeginPath(Typed, Full, Bytes);
    while (*Typed != 0) {
        for (Length = 0; Typed[Length] != 0 && !IsSeparator(Typed[Length]); Length++) {
        }
        if (!AppendComponent(Full, Bytes, Typed, Length)) {
            return FALSE;
        }
        Typed += Length;
        Typed += *Typed != 0;
    }
    Length = ShLength(Full);
    if (Length > 3) {
        Full[Length - 1] = 0;
    }
    return TRUE;
}

BOOLEAN ShNtPath(PCSTR Full, PUNICODE_STRING Path)
{
    PSTR Name = ShAllocate(SH_PATH + 4);
    BOOLEAN Done;

    ShCopy(Name, SH_PATH + 4, IsNtPath(Full) ? "" : "\\??\\");
    ShCopy(Name + ShLength(Name), SH_PATH, Full);
    Done = ShToWide(Name, Path);
    ShFree(Name);
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
