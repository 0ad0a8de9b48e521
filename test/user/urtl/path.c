/*
 * path.c - suite rtl.path: names of files as programs write them, the current directory, variables in texts, and checksums.
 *
 * Tables say what becomes of a name. The cases with relative names go to a directory of the disc and come back to its root; what is asked of variables
 * of the process itself is removed again.
 */
#include "../ktap.h"

#include <ntos/ktap.h>

#define SYSTEM  L"D:\\System" /* a directory that every disc has */
#define LONGEST (65534 / sizeof(WCHAR) - 1)

static WCHAR Room[600];

static BOOLEAN Is(PCWSTR Text, ULONG Bytes, PCWSTR Wanted)
{
    UNICODE_STRING String;

    RtlInitUnicodeString(&String, Wanted);
    return Bytes == String.Length && RtlCompareMemory(Text, Wanted, Bytes) == Bytes;
}

static NTSTATUS GoTo(PCWSTR Directory)
{
    UNICODE_STRING Path;

    RtlInitUnicodeString(&Path, Directory);
    return RtlSetCurrentDirectory_U(&Path);
}

/* ---- Kinds ---- */

static VOID Kinds(PKTAP_CONTEXT Ktap)
{
    static const struct {
        PCWSTR Name;
        RTL_PATH_TYPE Type;
    } Table[] = {
        {L"", RtlPathTypeRelative},
        {L"x", RtlPathTypeRelative},
        {L".", RtlPathTypeRelative},
        {L"x\\y", RtlPathTypeRelative},
        {L"\\", RtlPathTypeRooted},
        {L"/x", RtlPathTypeRooted},
        {L"\\?\\x", RtlPathTypeRooted},
        {L"D:", RtlPathTypeDriveRelative},
        {L"D:x", RtlPathTypeDriveRelative},
        {L"d:\\", RtlPathTypeDriveAbsolute},
        {L"d:/x", RtlPathTypeDriveAbsolute},
        {L"\\\\server\\share", RtlPathTypeUncAbsolute},
        {L"//server", RtlPathTypeUncAbsolute},
        {L"\\\\", RtlPathTypeUncAbsolute},
        {L"\\\\.x", RtlPathTypeUncAbsolute},
        {L"\\\\.\\NUL", RtlPathTypeLocalDevice},
        {L"\\\\?\\D:\\x", RtlPathTypeLocalDevice},
        {L"//./NUL", RtlPathTypeLocalDevice},
        {L"\\\\.", RtlPathTypeRootLocalDevice},
        {L"\\\\?", RtlPathTypeRootLocalDevice},
    };

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Table); Index++) {
        if (RtlDetermineDosPathNameType_U(Table[Index].Name) != Table[Index].Type) {
            KtapFail(Ktap, __FILE__, __LINE__, "%ws: another kind than %d", Table[Index].Name, Table[Index].Type);
        }
    }
}

/* ---- Full names ---- */

typedef struct _NAMED {
    PCWSTR Name, Full, Part; /* Part NULL: none */
} NAMED;

static VOID CheckFull(PKTAP_CONTEXT Ktap, const NAMED *Table, ULONG Count)
{
    for (ULONG Index = 0; Index < Count; Index++) {
        const NAMED *Row = &Table[Index];
        PWSTR Part = Room;
        ULONG Bytes = RtlGetFullPathName_U(Row->Name, sizeof(Room), Room, &Part);

        if (!Is(Room, Bytes, Row->Full) || Room[Bytes / sizeof(WCHAR)] != 0) {
            KtapFail(Ktap, __FILE__, __LINE__, "%ws is %.*ws, not %ws", Row->Name, (int)(Bytes / sizeof(WCHAR)), Room,
                     Row->Full);
        } else if (Row->Part == NULL
                       ? Part != NULL
                       : (Part == NULL || !Is(Part, Bytes - (ULONG)((PUCHAR)Part - (PUCHAR)Room), Row->Part))) {
            KtapFail(Ktap, __FILE__, __LINE__, "%ws: another last component than %ws", Row->Name, Row->Part);
        }
    }
}

static VOID FullNames(PKTAP_CONTEXT Ktap)
{
    static const NAMED Table[] = {
        {L"D:\\", L"D:\\", NULL},
        {L"D:\\a", L"D:\\a", L"a"},
        {L"d:/a/b/", L"d:\\a\\b\\", NULL},
        {L"D:\\\\a\\\\\\b", L"D:\\a\\b", L"b"},
        {L"D:\\a\\.\\b\\..\\c", L"D:\\a\\c", L"c"},
        {L"D:\\..\\..\\a", L"D:\\a", L"a"},
        {L"D:\\a\\..", L"D:\\", NULL},
        {L"D:\\a\\b\\..", L"D:\\a", L"a"},
        {L"D:\\a\\b\\..\\", L"D:\\a\\", NULL},
        {L"D:\\a\\.", L"D:\\a", L"a"},
        {L"D:\\a\\.\\", L"D:\\a\\", NULL},
        {L"D:\\a.\\b..\\c. . ", L"D:\\a\\b..\\c", L"c"},
        {L"D:\\a\\...", L"D:\\a", L"a"},
        {L"D:\\a\\...\\b", L"D:\\a\\...\\b", L"b"},
        {L"D:\\ a\\b .c", L"D:\\ a\\b .c", L"b .c"},
        {L"\\\\server\\share", L"\\\\server\\share", L"share"},
        {L"//server/share/../../x/y", L"\\\\server\\share\\x\\y", L"y"},
        {L"\\\\server\\share\\", L"\\\\server\\share\\", NULL},
        {L"\\\\server\\\\share\\x\\..", L"\\\\server\\share", L"share"},
        {L"\\\\server", L"\\\\server", L"server"},
        {L"\\\\.\\D:\\x\\..\\y", L"\\\\.\\D:\\y", L"y"},
        {L"//./NUL", L"\\\\.\\NUL", L"NUL"},
        {L"\\\\.\\PIPE\\..\\..\\..\\x", L"\\\\.\\x", L"x"},
        {L"\\\\?\\D:\\x\\..\\y.", L"\\\\?\\D:\\y", L"y"},
        {L"\\\\.", L"\\\\.\\", NULL},
        {L"NUL", L"\\\\.\\NUL", L"NUL"},
        {L"con", L"\\\\.\\con", L"con"},
        {L"CON:", L"\\\\.\\CON", L"CON"},
        {L"D:\\x\\nul.txt", L"\\\\.\\nul", L"nul"},
        {L"D:NUL .x", L"\\\\.\\NUL", L"NUL"},
        {L"\\conin$", L"\\\\.\\conin$", L"conin$"},
        {L"COM1", L"\\\\.\\COM1", L"COM1"},
        {L"x\\LPT9.", L"\\\\.\\LPT9", L"LPT9"},
        {L"D:\\COM0", L"D:\\COM0", L"COM0"},
        {L"D:\\NULL", L"D:\\NULL", L"NULL"},
        {L"D:\\NUL\\x", L"D:\\NUL\\x", L"x"},
        {L"\\\\server\\share\\NUL", L"\\\\server\\share\\NUL", L"NUL"},
    };

    CheckFull(Ktap, Table, RTL_NUMBER_OF(Table));
    KTAP_EQUAL(RtlGetFullPathName_U(L"", sizeof(Room), Room, NULL), 0);
    KTAP_EQUAL(RtlGetFullPathName_U(L"   ", sizeof(Room), Room, NULL), 0);
}

/* Those that begin in the current directory, or in that of a drive. */
static VOID RelativeNames(PKTAP_CONTEXT Ktap)
{
    static const NAMED Table[] = {
        {L"a", SYSTEM L"\\a", L"a"},    {L"a\\", SYSTEM L"\\a\\", NULL}, {L".", SYSTEM, L"System"},
        {L"..", L"D:\\", NULL},         {L"..\\..\\a", L"D:\\a", L"a"},  {L".\\a.b. ", SYSTEM L"\\a.b", L"a.b"},
        {L"\\a\\b", L"D:\\a\\b", L"b"}, {L"/", L"D:\\", NULL},           {L"\\?\\a", L"D:\\?\\a", L"a"},
        {L"d:a", SYSTEM L"\\a", L"a"},  {L"D:", SYSTEM, L"System"},      {L"D:..\\x", L"D:\\x", L"x"},
        {L"Q:a", L"Q:\\here\\a", L"a"}, {L"Q:", L"Q:\\here", L"here"},   {L"q:..\\..\\x", L"Q:\\x", L"x"},
        {L"R:a", L"R:\\a", L"a"},       {L"R:", L"R:\\", NULL},
    };
    UNICODE_STRING Variable = RTL_CONSTANT_STRING(L"=Q:"), Here = RTL_CONSTANT_STRING(L"Q:\\here");

    KTAP_EQUAL(GoTo(SYSTEM), STATUS_SUCCESS);
    KTAP_EQUAL(RtlSetEnvironmentVariable(NULL, &Variable, &Here), STATUS_SUCCESS);
    CheckFull(Ktap, Table, RTL_NUMBER_OF(Table));
    KTAP_EQUAL(RtlSetEnvironmentVariable(NULL, &Variable, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(GoTo(L"D:\\"), STATUS_SUCCESS);
}

/* Too little room: the bytes it takes, and nothing is written. Too long a name: nothing. */
static VOID Lengths(PKTAP_CONTEXT Ktap)
{
    PWSTR Long = RtlAllocateHeap(RtlGetCurrentPeb()->ProcessHeap, 0, 0x20100), Part = Room;
    UNICODE_STRING Nt;

    KTAP_CHECK(Long != NULL);
    Room[0] = 'u';
    KTAP_EQUAL(RtlGetFullPathName_U(L"D:\\abc", 6 * sizeof(WCHAR), Room, &Part), 7 * sizeof(WCHAR));
    KTAP_CHECK(Room[0] == 'u' && Part == NULL);
    KTAP_EQUAL(RtlGetFullPathName_U(L"D:\\abc", 7 * sizeof(WCHAR), Room, &Part), 6 * sizeof(WCHAR));
    KTAP_CHECK(Part == Room + 3);
    KTAP_EQUAL(RtlGetFullPathName_U(L"D:\\abc", 0, NULL, NULL), 7 * sizeof(WCHAR));
    for (ULONG Index = 0; Index < 0x10000; Index++) {
        Long[Index] = 'x';
    }
    RtlCopyMemory(Long, L"D:\\", 3 * sizeof(WCHAR));
    Long[LONGEST] = 0;
    KTAP_EQUAL(RtlGetFullPathName_U(Long, 0, NULL, NULL), 65534); /* as it is, with its NUL */
    KTAP_EQUAL(RtlDosPathNameToNtPathName_U_WithStatus(Long, &Nt, NULL, NULL), STATUS_NAME_TOO_LONG); /* \??\ */
    Long[LONGEST] = 'x';
    Long[LONGEST + 1] = 0;
    KTAP_EQUAL(RtlGetFullPathName_U(Long, 0, NULL, NULL), 0);
    KTAP_EQUAL(RtlDosPathNameToNtPathName_U_WithStatus(Long, &Nt, NULL, NULL), STATUS_NAME_TOO_LONG);
    KTAP_CHECK(!RtlDosPathNameToNtPathName_U(Long, &Nt, NULL, NULL));
    RtlCopyMemory(Long + LONGEST - 3, L"\\..\\..", 6 * sizeof(WCHAR)); /* what is short in the end is not too long */
    Long[LONGEST + 3] = 0;
    KTAP_EQUAL(RtlGetFullPathName_U(Long, sizeof(Room), Room, NULL), 3 * sizeof(WCHAR));
    RtlCopyMemory(Long, L"D:\\", 3 * sizeof(WCHAR));
    for (ULONG Index = 3; Index < 0x10003; Index++) {
        Long[Index] = 'x';
    }
    RtlCopyMemory(Long + 0x10003 - 3, L"NUL", 4 * sizeof(WCHAR)); /* 65,539 characters are no device's name of 3 */
    KTAP_EQUAL(RtlGetFullPathName_U(Long, 0, NULL, NULL), 0);
    Long[LONGEST - 4] = 0;
    KTAP_EQUAL(RtlDosPathNameToNtPathName_U_WithStatus(Long, &Nt, NULL, NULL), STATUS_SUCCESS);
    KTAP_CHECK(Nt.Length == 65532 && Nt.MaximumLength == 65534 && Nt.Buffer[4] == 'D');
    RtlFreeUnicodeString(&Nt);
    RtlFreeHeap(RtlGetCurrentPeb()->ProcessHeap, 0, Long);
}

/* ---- The object manager's names ---- */

static VOID NtNames(PKTAP_CONTEXT Ktap)
{
    static const NAMED Table[] = {
        {L"D:\\a\\..\\b", L"\\??\\D:\\b", L"b"},
        {L"D:\\a\\", L"\\??\\D:\\a\\", NULL},
        {L"a.", L"\\??\\D:\\a", L"a"},
        {L"\\\\server\\share\\a", L"\\??\\UNC\\server\\share\\a", L"a"},
        {L"\\\\.\\PIPE\\a", L"\\??\\PIPE\\a", L"a"},
        {L"\\\\.", L"\\??\\", NULL},
        {L"NUL", L"\\??\\NUL", L"NUL"},
        {L"\\\\?\\D:\\a\\..\\b. ", L"\\??\\D:\\a\\..\\b. ", L"b. "},
        {L"\\??\\D:/a", L"\\??\\D:/a", L"D:/a"},
        {L"//?/D:/a/../b.", L"\\??\\D:\\b", L"b"},
        {L"\\\\?\\", L"\\??\\", NULL},
    };
    RTL_RELATIVE_NAME_U Relative = {.ContainingDirectory = (HANDLE)1};
    UNICODE_STRING Nt;
    PWSTR Part;

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Table); Index++) {
        const NAMED *Row = &Table[Index];

        Part = Room;
        KTAP_EQUAL(RtlDosPathNameToNtPathName_U_WithStatus(Row->Name, &Nt, &Part, &Relative), STATUS_SUCCESS);
        if (!Is(Nt.Buffer, Nt.Length, Row->Full) || Nt.MaximumLength != Nt.Length + sizeof(WCHAR) ||
            Nt.Buffer[Nt.Length / sizeof(WCHAR)] != 0) {
            KtapFail(Ktap, __FILE__, __LINE__, "%ws is %wZ, not %ws", Row->Name, &Nt, Row->Full);
        } else if (Row->Part == NULL ? Part != NULL
                                     : !Is(Part, Nt.Length - (ULONG)((PUCHAR)Part - (PUCHAR)Nt.Buffer), Row->Part)) {
            KtapFail(Ktap, __FILE__, __LINE__, "%ws: another last component than %ws", Row->Name, Row->Part);
        }
        RtlFreeUnicodeString(&Nt);
    }
    KTAP_CHECK(Relative.RelativeName.Length == 0 && Relative.ContainingDirectory == NULL);
    KTAP_EQUAL(RtlDosPathNameToNtPathName_U_WithStatus(L"", &Nt, NULL, NULL), STATUS_OBJECT_NAME_INVALID);
    KTAP_EQUAL(RtlDosPathNameToNtPathName_U_WithStatus(L"  ", &Nt, NULL, NULL), STATUS_OBJECT_NAME_INVALID);
    KTAP_CHECK(!RtlDosPathNameToNtPathName_U(L"", &Nt, NULL, NULL));
}

/* What was made leads to the file. */
static NTSTATUS Open(PCWSTR Name)
{
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;
    UNICODE_STRING Nt;
    HANDLE File;
    NTSTATUS Status = RtlDosPathNameToNtPathName_U_WithStatus(Name, &Nt, NULL, NULL);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    InitializeObjectAttributes(&Attributes, &Nt, OBJ_CASE_INSENSITIVE, NULL, NULL);
    Status = NtOpenFile(&File, FILE_READ_ATTRIBUTES | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ, 0);
    RtlFreeUnicodeString(&Nt);
    return NT_SUCCESS(Status) ? NtClose(File) : Status;
}

static VOID CurrentDirectory(PKTAP_CONTEXT Ktap)
{
    KTAP_EQUAL(GoTo(SYSTEM), STATUS_SUCCESS);
    KTAP_EQUAL(RtlGetCurrentDirectory_U(sizeof(Room), Room), sizeof(SYSTEM) - sizeof(WCHAR));
    KTAP_CHECK(Is(Room, sizeof(SYSTEM) - sizeof(WCHAR), SYSTEM) && Room[sizeof(SYSTEM) / sizeof(WCHAR) - 1] == 0);
    KTAP_EQUAL(RtlGetCurrentDirectory_U(sizeof(SYSTEM) - sizeof(WCHAR), Room), sizeof(SYSTEM));
    KTAP_EQUAL(Open(L"urtl.exe"), STATUS_SUCCESS);
    KTAP_EQUAL(Open(L".\\..\\system\\URTL.EXE"), STATUS_SUCCESS);
    KTAP_EQUAL(Open(L"D:urtl.exe. ."), STATUS_SUCCESS);
    KTAP_EQUAL(Open(L"\\\\.\\D:\\System\\urtl.exe"), STATUS_SUCCESS);
    KTAP_EQUAL(Open(L"..\\urtl.exe"), STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(GoTo(L"urtl.exe"), STATUS_NOT_A_DIRECTORY);
    KTAP_EQUAL(GoTo(L"no such"), STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(GoTo(L""), STATUS_OBJECT_NAME_INVALID);
    KTAP_EQUAL(RtlGetCurrentDirectory_U(sizeof(Room), Room), sizeof(SYSTEM) - sizeof(WCHAR)); /* where it was */
    KTAP_EQUAL(GoTo(L"..\\"), STATUS_SUCCESS);
    KTAP_EQUAL(RtlGetCurrentDirectory_U(sizeof(Room), Room), 3 * sizeof(WCHAR));
    KTAP_CHECK(Is(Room, 3 * sizeof(WCHAR), L"D:\\"));
    KTAP_EQUAL(GoTo(L"System\\"), STATUS_SUCCESS);
    KTAP_EQUAL(Open(L"urtl.exe"), STATUS_SUCCESS);
    KTAP_EQUAL(GoTo(L"\\"), STATUS_SUCCESS);
}

/* ---- Variables ---- */

static VOID Variables(PKTAP_CONTEXT Ktap)
{
    static const struct {
        PCWSTR Source, Wanted;
    } Table[] = {
        {L"", L""},
        {L"plain", L"plain"},
        {L"%One%", L"first"},
        {L"a%ONE%b%two%c", L"afirstbc"},
        {L"%%", L"%%"},
        {L"100%", L"100%"},
        {L"%three% %one", L"%three% %one"},
        {L"%one%%one%", L"firstfirst"},
        {L"%none%one%", L"%none%one%"},
    };
    UNICODE_STRING One = RTL_CONSTANT_STRING(L"one"), First = RTL_CONSTANT_STRING(L"first"),
                   Two = RTL_CONSTANT_STRING(L"two"), Empty = {0}, Source, Text = {0, sizeof(Room), Room};
    PWSTR Block;
    ULONG Bytes;
    SIZE_T Length;

    KTAP_EQUAL(RtlCreateEnvironment(FALSE, &Block), STATUS_SUCCESS);
    KTAP_EQUAL(RtlSetEnvironmentVariable(&Block, &One, &First), STATUS_SUCCESS);
    KTAP_EQUAL(RtlSetEnvironmentVariable(&Block, &Two, &Empty), STATUS_SUCCESS);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Table); Index++) {
        RtlInitUnicodeString(&Source, Table[Index].Source);
        KTAP_EQUAL(RtlExpandEnvironmentStrings_U(Block, &Source, &Text, &Bytes), STATUS_SUCCESS);
        if (!Is(Text.Buffer, Text.Length, Table[Index].Wanted) || Bytes != Text.Length + sizeof(WCHAR) ||
            Text.Buffer[Text.Length / sizeof(WCHAR)] != 0) {
            KtapFail(Ktap, __FILE__, __LINE__, "%ws became %wZ", Table[Index].Source, &Text);
        }
    }
    RtlInitUnicodeString(&Source, L"<%one%>");
    Text.MaximumLength = 7 * sizeof(WCHAR);
    KTAP_EQUAL(RtlExpandEnvironmentStrings_U(Block, &Source, &Text, &Bytes), STATUS_BUFFER_TOO_SMALL);
    KTAP_EQUAL(Bytes, 8 * sizeof(WCHAR));
    Text.MaximumLength = 8 * sizeof(WCHAR);
    KTAP_EQUAL(RtlExpandEnvironmentStrings_U(Block, &Source, &Text, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(RtlExpandEnvironmentStrings(Block, L"%one%%one%", 5, Room, 6, &Length),
               STATUS_SUCCESS); /* no more of it */
    KTAP_CHECK(Length == 6 && Is(Room, 10, L"first"));
    KTAP_EQUAL(RtlExpandEnvironmentStrings(Block, L"%one%", 5, NULL, 0, &Length), STATUS_BUFFER_TOO_SMALL);
    KTAP_EQUAL(Length, 6);
    RtlDestroyEnvironment(Block);
    KTAP_EQUAL(RtlSetEnvironmentVariable(NULL, &One, &First), STATUS_SUCCESS); /* the process's own */
    KTAP_EQUAL(RtlExpandEnvironmentStrings(NULL, L"%one%", 5, Room, 6, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(RtlSetEnvironmentVariable(NULL, &One, NULL), STATUS_SUCCESS);
}

static VOID Checksums(PKTAP_CONTEXT Ktap)
{
    KTAP_EQUAL(RtlComputeCrc32(0, "123456789", 9), 0xCBF43926); /* the check value of CRC-32 */
    KTAP_EQUAL(RtlComputeCrc32(RtlComputeCrc32(0, "1234", 4), "56789", 5), 0xCBF43926);
    KTAP_EQUAL(RtlComputeCrc32(5, NULL, 0), 5);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"kinds", Kinds},         {"full", FullNames},      {"relative", RelativeNames},
    {"lengths", Lengths},     {"nt", NtNames},          {"directory", CurrentDirectory},
    {"variables", Variables}, {"checksums", Checksums},
};
KTAP_SUITE(RtlPathSuite, "rtl.path", Cases);
