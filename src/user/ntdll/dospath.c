/*
 * dospath.c - names of files as programs write them, made full, and made names of the object manager.
 *
 * Kinds of names (a slash counts as a backslash):
 *   \\server\share\x   UNC absolute           D:\x   drive absolute
 *   \\.\x  \\?\x       device                 D:x    relative to the current directory of that drive (the variable =D:)
 *   \\.  \\?           the devices' root      \x     from the root of the current directory
 *                                             x      relative to the current directory
 * A full name is a root, which ".." does not leave, and components. Components "." and ".." are worked out, a single period at the end of a
 * component goes, and so do all periods and blanks at the end of the name. A last component that is a device's name (NUL, also NUL.txt) makes
 * the whole name that device's, \\.\NUL. What begins with \\?\ or \??\ is not looked at when it becomes an NT name.
 *
 * Full names are built in memory of the process heap that is large enough for root, directory and name as they are given; they never get longer.
 *
 * Lock: RtlpDirectoryLock of curdir.c, shared, while the current directory is copied.
 *
 * Source: Microsoft Learn, "File path formats on Windows systems", "Naming Files, Paths, and Namespaces", GetFullPathName; public descriptions of
 * RtlDetermineDosPathNameType_U, RtlGetFullPathName_U and RtlDosPathNameToNtPathName_U.
 */
#include "ntdllp.h"

#define DEVICE_ROOT  4U     /* characters of \\.\ */
#define MAX_BYTES    65534U /* of a name with its NUL: what a UNICODE_STRING can tell */
#define ROOT_ROOM    16U    /* characters that roots and separators take beyond what is given */
#define BUILT_PREFIX L"\\??\\"

/* A name that is being built; lengths in characters. */
typedef struct _RTLP_PATH {
    PWSTR Text;
    ULONG Length;
    ULONG Root; /* of Length, what ".." leaves alone */
} RTLP_PATH, *PRTLP_PATH;

static BOOLEAN IsSeparator(WCHAR Character)
{
    return Character == '\\' || Character == '/';
}

/* ---- Kinds ---- */

/* The kind of a name of Length characters. */
static RTL_PATH_TYPE TypeOf(PCWSTR Name, ULONG Length)
{
    if (Length == 0 || !IsSeparator(Name[0])) {
        if (Length < 2 || Name[1] != ':') {
            return RtlPathTypeRelative;
        }
        return Length > 2 && IsSeparator(Name[2]) ? RtlPathTypeDriveAbsolute : RtlPathTypeDriveRelative;
    }
    if (Length < 2 || !IsSeparator(Name[1])) {
        return RtlPathTypeRooted;
    }
    if (Length > 2 && (Name[2] == '.' || Name[2] == '?')) {
        if (Length == 3) {
            return RtlPathTypeRootLocalDevice;
        }
        if (IsSeparator(Name[3])) {
            return RtlPathTypeLocalDevice;
        }
    }
    return RtlPathTypeUncAbsolute;
}

static ULONG LengthOf(PCWSTR Text)
{
    ULONG Length = 0;

    while (Text[Length] != 0) {
        Length++;
    }
    return Length;
}

/* What kind of name a file's is; an empty one is relative. */
RTL_PATH_TYPE NTAPI RtlDetermineDosPathNameType_U(PCWSTR DosFileName)
{
    return TypeOf(DosFileName, LengthOf(DosFileName));
}

/* ---- Devices ---- */

/* One that a name in every directory stands for; Name without what follows a period or colon, and without blanks before that. */
static BOOLEAN IsDeviceName(PCWSTR Name, ULONG Length)
{
    static const UNICODE_STRING Plain[] = {RTL_CONSTANT_STRING(L"CON"),    RTL_CONSTANT_STRING(L"NUL"),
                                           RTL_CONSTANT_STRING(L"AUX"),    RTL_CONSTANT_STRING(L"PRN"),
                                           RTL_CONSTANT_STRING(L"CONIN$"), RTL_CONSTANT_STRING(L"CONOUT$")},
                                Numbered[] = {RTL_CONSTANT_STRING(L"COM"), RTL_CONSTANT_STRING(L"LPT")};
    UNICODE_STRING Given = {(USHORT)(Length * sizeof(WCHAR)), (USHORT)(Length * sizeof(WCHAR)), (PWSTR)Name};

    if (Length > 7) { /* CONOUT$; what is longer may not fit into a string either */
        return FALSE;
    }
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Plain); Index++) {
        if (RtlEqualUnicodeString(&Given, &Plain[Index], TRUE)) {
            return TRUE;
        }
    }
    if (Length != 4 || Name[3] < '1' || Name[3] > '9') {
        return FALSE;
    }
    Given.Length = Given.MaximumLength = 3 * sizeof(WCHAR);
    return RtlEqualUnicodeString(&Given, &Numbered[0], TRUE) || RtlEqualUnicodeString(&Given, &Numbered[1], TRUE);
}

/* The device that a name's last component stands for; FALSE: none. */
static BOOLEAN FindDevice(PCWSTR Name, ULONG Length, PCWSTR *Device, PULONG DeviceLength)
{
    ULONG Start = Length, End;

    while (Start > 0 && !IsSeparator(Name[Start - 1]) && !(Start == 2 && Name[1] == ':')) {
        Start--;
    }
    for (End = Start; End < Length && Name[End] != '.' && Name[End] != ':'; End++) {
    }
    while (End > Start && Name[End - 1] == ' ') {
        End--;
    }
    *Device = Name + Start;
    *DeviceLength = End - Start;
    return IsDeviceName(*Device, *DeviceLength);
}

/* ---- Building ---- */

static VOID Append(PRTLP_PATH Path, PCWSTR Text, ULONG Length)
{
    RtlCopyMemory(Path->Text + Path->Length, Text, Length * sizeof(WCHAR));
    Path->Length += Length;
}

static VOID RemoveLast(PRTLP_PATH Path)
{
    while (Path->Length > Path->Root && Path->Text[Path->Length - 1] != '\\') {
        Path->Length--;
    }
    if (Path->Length > Path->Root) {
        Path->Length--;
    }
}

static VOID AppendComponent(PRTLP_PATH Path, PCWSTR Text, ULONG Length, BOOLEAN Last)
{
    if (Length == 2 && Text[0] == '.' && Text[1] == '.') {
        RemoveLast(Path);
        return;
    }
    if (Last) {
        while (Length != 0 && (Text[Length - 1] == '.' || Text[Length - 1] == ' ')) {
            Length--;
        }
    } else if (Length != 0 && Text[Length - 1] == '.' && (Length == 1 || Text[Length - 2] != '.')) {
        Length--;
    }
    if (Length == 0) {
        return;
    }
    if (Path->Text[Path->Length - 1] != '\\') {
        Append(Path, L"\\", 1);
    }
    Append(Path, Text, Length);
}

/* Adds what follows a root. A separator at the end stays. */
static VOID AppendComponents(PRTLP_PATH Path, PCWSTR Text, ULONG Length)
{
    BOOLEAN Open = Length != 0 && IsSeparator(Text[Length - 1]);

    for (ULONG Next = 0, End; Next < Length; Next = End + 1) {
        for (End = Next; End < Length && !IsSeparator(Text[End]); End++) {
        }
        AppendComponent(Path, Text + Next, End - Next, End == Length);
    }
    if (Open && Path->Text[Path->Length - 1] != '\\') {
        Append(Path, L"\\", 1);
    }
}

/* Characters of a name up to the end of its next component, from Start; *End: where the separators behind that end. */
static ULONG NextComponent(PCWSTR Name, ULONG Length, ULONG Start, PULONG End)
{
    ULONG Next = Start;

    while (Next < Length && !IsSeparator(Name[Next])) {
        Next++;
    }
    for (*End = Next; *End < Length && IsSeparator(Name[*End]); (*End)++) {
    }
    return Next;
}

/* Begins with the root of an absolute name, returns where its components begin. */
static ULONG AppendRoot(PRTLP_PATH Path, PCWSTR Name, ULONG Length, RTL_PATH_TYPE Type)
{
    WCHAR Device[] = {'\\', '\\', Length > 2 ? Name[2] : (WCHAR)'.', '\\'};
    ULONG Next, End, Server = 2;

    switch (Type) {
    case RtlPathTypeDriveAbsolute:
        Append(Path, Name, 2);
        Append(Path, L"\\", 1);
        Next = 3;
        break;
    case RtlPathTypeLocalDevice:
    case RtlPathTypeRootLocalDevice:
        Append(Path, Device, DEVICE_ROOT);
        Next = min(Length, DEVICE_ROOT);
        break;
    case RtlPathTypeUncAbsolute:
        while (Server < Length && IsSeparator(Name[Server])) {
            Server++;
        }
        Append(Path, L"\\\\", 2);
        End = NextComponent(Name, Length, Server, &Next);
        Append(Path, Name + Server, End - Server);
        if (Next < Length) { /* the share */
            Server = Next;
            End = NextComponent(Name, Length, Server, &Next);
            Append(Path, L"\\", 1);
            Append(Path, Name + Server, End - Server);
        }
        Next = End;
        break;
    default: /* no DOS name: a current directory that the program was given in the object manager's words */
        Append(Path, L"\\", 1);
        Next = Type == RtlPathTypeRooted ? 1 : 0;
        break;
    }
    Path->Root = Path->Length;
    return Next;
}

/* Begins with an absolute name, without a separator at its end. */
static VOID BeginWith(PRTLP_PATH Path, PCUNICODE_STRING Directory)
{
    ULONG Length = Directory->Length / sizeof(WCHAR);
    RTL_PATH_TYPE Type = TypeOf(Directory->Buffer, Length);
    ULONG Next = AppendRoot(Path, Directory->Buffer, Length, Type);

    while (Length > Next && IsSeparator(Directory->Buffer[Length - 1])) {
        Length--;
    }
    AppendComponents(Path, Directory->Buffer + Next, Length - Next);
}

/* The directory that a relative name of some kind begins at: *Directory, whose buffer is the caller's to free. */
static NTSTATUS FindDirectory(PCWSTR Name, RTL_PATH_TYPE Type, PUNICODE_STRING Directory)
{
    WCHAR Root[] = {Name[0], ':', '\\'}, Variable[] = {'=', Name[0], ':'};
    UNICODE_STRING Drive = {sizeof(Variable), sizeof(Variable), Variable};
    NTSTATUS Status = RtlpCopyDirectory(Directory);

    if (!NT_SUCCESS(Status) || Type != RtlPathTypeDriveRelative) {
        return Status;
    }
    if (Directory->Length >= 2 * sizeof(WCHAR) && Directory->Buffer[1] == ':' &&
        RtlUpcaseUnicodeChar(Directory->Buffer[0]) == RtlUpcaseUnicodeChar(Name[0])) {
        return STATUS_SUCCESS;
    }
    RtlFreeUnicodeString(Directory);
    Directory->MaximumLength = MAX_BYTES;
    Directory->Buffer = RtlAllocateHeap(LdrpPeb()->ProcessHeap, 0, MAX_BYTES);
    if (Directory->Buffer == NULL) {
        return STATUS_NO_MEMORY;
    }
    if (!NT_SUCCESS(RtlQueryEnvironmentVariable_U(NULL, &Drive, Directory)) ||
        TypeOf(Directory->Buffer, Directory->Length / sizeof(WCHAR)) != RtlPathTypeDriveAbsolute) {
        RtlCopyMemory(Directory->Buffer, Root, sizeof(Root));
        Directory->Length = sizeof(Root);
    }
    return STATUS_SUCCESS;
}

/* The name in Path, whose memory is enough. Directory: of names that are not absolute. */
static VOID Build(PRTLP_PATH Path, PCWSTR Name, ULONG Length, RTL_PATH_TYPE Type, PCUNICODE_STRING Directory)
{
    ULONG Next = 0;

    switch (Type) {
    case RtlPathTypeRooted:
        BeginWith(Path, Directory);
        Path->Length = Path->Root;
        break;
    case RtlPathTypeDriveRelative:
        BeginWith(Path, Directory);
        Next = 2;
        break;
    case RtlPathTypeRelative:
        BeginWith(Path, Directory);
        break;
    default:
        Next = AppendRoot(Path, Name, Length, Type);
        break;
    }
    AppendComponents(Path, Name + Next, Length - Next);
}

NTSTATUS RtlpFullPath(PCWSTR Name, ULONG Length, PUNICODE_STRING Full, PWSTR *FilePart)
{
    RTL_PATH_TYPE Type = TypeOf(Name, Length);
    BOOLEAN Absolute = Type == RtlPathTypeUncAbsolute || Type == RtlPathTypeDriveAbsolute ||
                       Type == RtlPathTypeLocalDevice || Type == RtlPathTypeRootLocalDevice;
    UNICODE_STRING Directory = {0};
    RTLP_PATH Path = {0};
    ULONG DeviceLength;
    PCWSTR Device;
    NTSTATUS Status = Absolute ? STATUS_SUCCESS : FindDirectory(Name, Type, &Directory);

    if (NT_SUCCESS(Status)) {
        Path.Text = RtlAllocateHeap(LdrpPeb()->ProcessHeap, 0,
                                    ((SIZE_T)Length + Directory.Length / sizeof(WCHAR) + ROOT_ROOM) * sizeof(WCHAR));
        Status = Path.Text == NULL ? STATUS_NO_MEMORY : STATUS_SUCCESS;
    }
    if (NT_SUCCESS(Status)) {
        if (Type >= RtlPathTypeDriveAbsolute && Type <= RtlPathTypeRelative &&
            FindDevice(Name, Length, &Device, &DeviceLength)) {
            Append(&Path, L"\\\\.\\", DEVICE_ROOT);
            Append(&Path, Device, DeviceLength);
        } else {
            Build(&Path, Name, Length, Type, &Directory);
        }
        Path.Text[Path.Length] = 0;
        Status = (Path.Length + 1) * sizeof(WCHAR) > MAX_BYTES ? STATUS_NAME_TOO_LONG : STATUS_SUCCESS;
    }
    RtlFreeUnicodeString(&Directory);
    if (!NT_SUCCESS(Status)) {
        RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Path.Text);
        return Status;
    }
    *Full =
        (UNICODE_STRING){(USHORT)(Path.Length * sizeof(WCHAR)), (USHORT)((Path.Length + 1) * sizeof(WCHAR)), Path.Text};
    *FilePart = RtlpFilePart(Full);
    return STATUS_SUCCESS;
}

PWSTR RtlpFilePart(PCUNICODE_STRING Name)
{
    ULONG Length = Name->Length / sizeof(WCHAR), Start = Length;

    while (Start > 0 && Name->Buffer[Start - 1] != '\\') {
        Start--;
    }
    return Start == Length ? NULL : Name->Buffer + Start;
}

/* ---- Exports ---- */

/**
 * RtlGetFullPathName_U - the full name of a file.
 *
 * @FileName      as a program wrote it
 * @BufferLength  bytes of Buffer
 * @FilePart      may be NULL; gets where the last component begins, NULL: there is none (the name ends with a backslash)
 * returns        bytes of the full name without its NUL; more than BufferLength: what it takes with its NUL, and nothing is written; 0: the name
 *                is empty or only blanks, or too long (65,534 bytes with the NUL), or memory is short
 */
ULONG NTAPI RtlGetFullPathName_U(PCWSTR FileName, ULONG BufferLength, PWSTR Buffer, PWSTR *FilePart)
{
    ULONG Length = LengthOf(FileName);
    UNICODE_STRING Full;
    PWSTR Part;

    if (FilePart != NULL) {
        *FilePart = NULL;
    }
    while (Length != 0 && FileName[Length - 1] == ' ') {
        Length--;
    }
    if (Length == 0 || !NT_SUCCESS(RtlpFullPath(FileName, Length, &Full, &Part))) {
        return 0;
    }
    Length = Full.MaximumLength;
    if (Length <= BufferLength) {
        RtlCopyMemory(Buffer, Full.Buffer, Full.MaximumLength);
        if (FilePart != NULL && Part != NULL) {
            *FilePart = Buffer + (Part - Full.Buffer);
        }
        Length = Full.Length;
    }
    RtlFreeUnicodeString(&Full);
    return Length;
}

/* The NT name: Prefix, and Name from Skip characters on. */
static NTSTATUS MakeNtName(PCWSTR Prefix, PCWSTR Name, ULONG Length, ULONG Skip, PUNICODE_STRING NtName)
{
    RTLP_PATH Path = {0};
    ULONG PrefixLength = LengthOf(Prefix);
    SIZE_T Bytes = ((SIZE_T)PrefixLength + Length - Skip + 1) * sizeof(WCHAR);

    if (Bytes > MAX_BYTES) {
        return STATUS_NAME_TOO_LONG;
    }
    Path.Text = RtlAllocateHeap(LdrpPeb()->ProcessHeap, 0, Bytes);
    if (Path.Text == NULL) {
        return STATUS_NO_MEMORY;
    }
    Append(&Path, Prefix, PrefixLength);
    Append(&Path, Name + Skip, Length - Skip);
    Path.Text[Path.Length] = 0;
    *NtName = (UNICODE_STRING){(USHORT)(Bytes - sizeof(WCHAR)), (USHORT)Bytes, Path.Text};
    return STATUS_SUCCESS;
}

/* A name that is to be left as it is: \\?\ or \??\, in backslashes. */
static BOOLEAN IsVerbatim(PCWSTR Name, ULONG Length)
{
    return Length >= DEVICE_ROOT && Name[0] == '\\' && (Name[1] == '\\' || Name[1] == '?') && Name[2] == '?' &&
           Name[3] == '\\';
}

NTSTATUS RtlpNtPath(PCWSTR Name, ULONG Length, PUNICODE_STRING NtName)
{
    UNICODE_STRING Full;
    BOOLEAN Unc;
    ULONG Skip;
    PWSTR Part;
    NTSTATUS Status;

    if (IsVerbatim(Name, Length)) {
        return MakeNtName(BUILT_PREFIX, Name, Length, DEVICE_ROOT, NtName);
    }
    while (Length != 0 && Name[Length - 1] == ' ') {
        Length--;
    }
    if (Length == 0) {
        return STATUS_OBJECT_NAME_INVALID;
    }
    Status = RtlpFullPath(Name, Length, &Full, &Part);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Length = Full.Length / sizeof(WCHAR);
    Unc = TypeOf(Full.Buffer, Length) == RtlPathTypeUncAbsolute;
    Skip = Unc ? 2 : (Full.Buffer[1] == '\\' ? DEVICE_ROOT : 0);
    Status = MakeNtName(Unc ? BUILT_PREFIX L"UNC\\" : BUILT_PREFIX, Full.Buffer, Length, Skip, NtName);
    RtlFreeUnicodeString(&Full);
    return Status;
}

/**
 * RtlDosPathNameToNtPathName_U_WithStatus - the object manager's name of a file.
 *
 * @NtPathName    gets it with a NUL: RtlFreeUnicodeString
 * @FilePart      may be NULL; gets where the last component begins, NULL: there is none
 * @RelativeName  may be NULL; gets an empty name: files are opened by NtPathName, not below the current directory's handle
 * returns        STATUS_SUCCESS; STATUS_OBJECT_NAME_INVALID (empty); STATUS_NAME_TOO_LONG; STATUS_NO_MEMORY
 */
NTSTATUS NTAPI RtlDosPathNameToNtPathName_U_WithStatus(PCWSTR DosPathName, PUNICODE_STRING NtPathName, PWSTR *FilePart,
                                                       PRTL_RELATIVE_NAME_U RelativeName)
{
    NTSTATUS Status = RtlpNtPath(DosPathName, LengthOf(DosPathName), NtPathName);

    if (NT_SUCCESS(Status) && FilePart != NULL) {
        *FilePart = RtlpFilePart(NtPathName);
    }
    if (NT_SUCCESS(Status) && RelativeName != NULL) {
        RtlZeroMemory(RelativeName, sizeof(*RelativeName));
    }
    return Status;
}

/* The same; FALSE: no name. */
BOOLEAN NTAPI RtlDosPathNameToNtPathName_U(PCWSTR DosPathName, PUNICODE_STRING NtPathName, PWSTR *FilePart,
                                           PRTL_RELATIVE_NAME_U RelativeName)
{
    return NT_SUCCESS(RtlDosPathNameToNtPathName_U_WithStatus(DosPathName, NtPathName, FilePart, RelativeName));
}
