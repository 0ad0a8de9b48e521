/*
 * cm_key.c - keys of the registry: creating, opening, deleting, renaming, enumerating, and what is asked about them.
 *
 * Each case works below a key of its own under \Registry\Machine\Software and removes it again. The race has threads that make,
 * open and delete the same few keys: each call may find or miss a key, but nothing else, and at the end all are gone.
 */
#include <ntos/cm.h>

#include "ketest.h"

#define HOME L"\\Registry\\Machine\\Software\\KeyTest"

static HANDLE Home;

static NTSTATUS Make(HANDLE Root, PCWSTR Path, ULONG Options, PHANDLE Key, PULONG Disposition)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;

    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, Root, NULL);
    return ZwCreateKey(Key, KEY_ALL_ACCESS, &Attributes, 0, NULL, Options, Disposition);
}

static NTSTATUS Open(HANDLE Root, PCWSTR Path, ACCESS_MASK Access, PHANDLE Key)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;

    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_KERNEL_HANDLE, Root, NULL);
    return ZwOpenKey(Key, Access, &Attributes);
}

static VOID KeyCreate(PKTAP_CONTEXT Ktap)
{
    HANDLE Sub, Again;
    ULONG Disposition = 0;

    KTAP_EQUAL(Make(NULL, HOME, 0, &Home, &Disposition), STATUS_SUCCESS);
    KTAP_EQUAL(Disposition, REG_CREATED_NEW_KEY);
    KTAP_EQUAL(Make(NULL, L"\\REGISTRY\\machine\\SOFTWARE\\keytest", 0, &Again, &Disposition), STATUS_SUCCESS);
    KTAP_EQUAL(Disposition, REG_OPENED_EXISTING_KEY);
    ZwClose(Again);
    KTAP_EQUAL(Make(Home, L"No\\Such", 0, &Sub, NULL), STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(Make(Home, L"Sub", 0x100, &Sub, NULL), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(Make(Home, L"Sub", 0, &Sub, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(Open(Home, L"sUB", KEY_READ, &Again), STATUS_SUCCESS); /* without OBJ_CASE_INSENSITIVE, as in NT */
    ZwClose(Again);
    KTAP_EQUAL(Open(Sub, L"", KEY_READ, &Again), STATUS_SUCCESS); /* the key itself */
    ZwClose(Again);
    KTAP_EQUAL(Open(NULL, L"\\Registry", KEY_READ, &Again), STATUS_SUCCESS);
    ZwClose(Again);
    KTAP_EQUAL(Open(Home, L"Sub\\", KEY_READ, &Again), STATUS_SUCCESS);
    ZwClose(Again);
    KTAP_EQUAL(ZwDeleteKey(Home), STATUS_CANNOT_DELETE);
    KTAP_EQUAL(ZwDeleteKey(Sub), STATUS_SUCCESS);
    KTAP_EQUAL(ZwFlushKey(Sub), STATUS_KEY_DELETED);
    KTAP_EQUAL(Make(Sub, L"Below", 0, &Again, NULL), STATUS_KEY_DELETED);
    ZwClose(Sub);
    KTAP_EQUAL(Open(Home, L"Sub", KEY_READ, &Sub), STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(ZwFlushKey(Home), STATUS_SUCCESS);
    KTAP_EQUAL(ZwDeleteKey(Home), STATUS_SUCCESS);
    KTAP_EQUAL(ZwDeleteKey(Home), STATUS_KEY_DELETED);
    KTAP_EQUAL(ZwClose(Home), STATUS_SUCCESS);
}

static VOID KeyRules(PKTAP_CONTEXT Ktap)
{
    static WCHAR Long[258];
    static HANDLE Levels[600];
    HANDLE Key;
    ULONG Index;

    KTAP_EQUAL(Make(NULL, HOME, REG_OPTION_VOLATILE, &Home, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(Make(Home, L"Stable", 0, &Key, NULL), STATUS_CHILD_MUST_BE_VOLATILE);
    for (Index = 0; Index < 256; Index++) {
        Long[Index] = L'x';
    }
    KTAP_EQUAL(Make(Home, Long, REG_OPTION_VOLATILE, &Key, NULL), STATUS_INVALID_PARAMETER);
    Long[255] = 0;
    KTAP_EQUAL(Make(Home, Long, REG_OPTION_VOLATILE, &Key, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(ZwDeleteKey(Key), STATUS_SUCCESS);
    ZwClose(Key);
    KTAP_EQUAL(Open(NULL, L"\\Registry\\Machine", KEY_ALL_ACCESS, &Key), STATUS_SUCCESS);
    KTAP_EQUAL(ZwDeleteKey(Key), STATUS_CANNOT_DELETE);
    ZwClose(Key);

    /* 512 levels at most: from level 4 downwards, each below the one before; then the deepest first. */
    Levels[3] = Home;
    for (Index = 4; Index < RTL_NUMBER_OF(Levels) &&
                    NT_SUCCESS(Make(Levels[Index - 1], L"d", REG_OPTION_VOLATILE, &Levels[Index], NULL));
         Index++) {
    }
    KTAP_EQUAL(Index, 512);
    while (--Index > 3) {
        KTAP_EQUAL(ZwDeleteKey(Levels[Index]), STATUS_SUCCESS);
        ZwClose(Levels[Index]);
    }
    KTAP_EQUAL(ZwDeleteKey(Home), STATUS_SUCCESS);
    ZwClose(Home);
}

static VOID KeyEnumerate(PKTAP_CONTEXT Ktap)
{
    static const PCWSTR Names[] = {L"delta", L"Alpha", L"charlie", L"Bravo"};
    union {
        KEY_BASIC_INFORMATION Basic;
        KEY_NODE_INFORMATION Node;
        KEY_FULL_INFORMATION Full;
        UCHAR Bytes[128];
    } Info;
    UNICODE_STRING Name, Class = RTL_CONSTANT_STRING(L"Kind");
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Keys[RTL_NUMBER_OF(Names)];
    ULONG Length;

    KTAP_EQUAL(Make(NULL, HOME, 0, &Home, NULL), STATUS_SUCCESS);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Names); Index++) {
        RtlInitUnicodeString(&Name, Names[Index]);
        InitializeObjectAttributes(&Attributes, &Name, OBJ_KERNEL_HANDLE, Home, NULL);
        KTAP_EQUAL(ZwCreateKey(&Keys[Index], KEY_ALL_ACCESS, &Attributes, 0, &Class, 0, NULL), STATUS_SUCCESS);
    }
    /* Sorted without regard to case: Alpha, Bravo, charlie, delta. */
    KTAP_EQUAL(ZwEnumerateKey(Home, 2, KeyBasicInformation, &Info, sizeof(Info), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Length, FIELD_OFFSET(KEY_BASIC_INFORMATION, Name) + 14);
    KTAP_EQUAL(Info.Basic.NameLength, 14);
    KTAP_EQUAL(Info.Basic.Name[0], L'c');
    KTAP_EQUAL(ZwEnumerateKey(Home, 4, KeyBasicInformation, &Info, sizeof(Info), &Length), STATUS_NO_MORE_ENTRIES);
    KTAP_EQUAL(ZwEnumerateKey(Home, 0, KeyBasicInformation, &Info, 15, &Length), STATUS_BUFFER_TOO_SMALL);
    RtlFillMemory(&Info, sizeof(Info), 0xEE);
    KTAP_EQUAL(ZwEnumerateKey(Home, 0, KeyBasicInformation, &Info, 20, &Length), STATUS_BUFFER_OVERFLOW);
    KTAP_EQUAL(Length, 26);
    KTAP_EQUAL(Info.Basic.Name[1], L'l');
    KTAP_EQUAL(Info.Basic.Name[2], 0xEEEE); /* nothing beyond the 20 bytes */
    KTAP_EQUAL(ZwEnumerateKey(Home, 0, KeyNodeInformation, &Info, sizeof(Info), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Info.Node.ClassLength, 8);
    KTAP_EQUAL(*(PWCHAR)(Info.Bytes + Info.Node.ClassOffset), L'K');
    KTAP_EQUAL(ZwEnumerateKey(Home, 0, KeyNameInformation, &Info, sizeof(Info), &Length), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(ZwQueryKey(Home, KeyFullInformation, &Info, sizeof(Info), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Info.Full.SubKeys, 4);
    KTAP_EQUAL(Info.Full.MaxNameLen, 14);
    KTAP_EQUAL(Info.Full.MaxClassLen, 8);
    KTAP_EQUAL(Info.Full.ClassOffset, MAXULONG);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Names); Index++) {
        KTAP_EQUAL(ZwDeleteKey(Keys[Index]), STATUS_SUCCESS);
        ZwClose(Keys[Index]);
    }
    KTAP_EQUAL(ZwDeleteKey(Home), STATUS_SUCCESS);
    ZwClose(Home);
}

static VOID KeyQuery(PKTAP_CONTEXT Ktap)
{
    union {
        KEY_NAME_INFORMATION Name;
        KEY_CACHED_INFORMATION Cached;
        OBJECT_NAME_INFORMATION Object;
        KEY_VIRTUALIZATION_INFORMATION Virtual;
        KEY_WOW64_FLAGS_INFORMATION Flags;
        KEY_BASIC_INFORMATION Basic;
        UCHAR Bytes[256];
    } Info;
    UNICODE_STRING Expected = RTL_CONSTANT_STRING(L"\\REGISTRY\\Machine\\Software\\KeyTest"), Text;
    UNICODE_STRING NewName = RTL_CONSTANT_STRING(L"Other"), Bad = RTL_CONSTANT_STRING(L"a\\b");
    KEY_WRITE_TIME_INFORMATION Time = {.LastWriteTime.QuadPart = 1234567};
    NTSTATUS(NTAPI * Rename)(HANDLE, PUNICODE_STRING) = ZwRenameKey;
    HANDLE Sub;
    PVOID Object;
    ULONG Length, One = 1;

    KTAP_EQUAL(Make(NULL, HOME, 0, &Home, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(ZwQueryKey(Home, KeyNameInformation, &Info, sizeof(Info), &Length), STATUS_SUCCESS);
    Text.Buffer = Info.Name.Name;
    Text.Length = Text.MaximumLength = (USHORT)Info.Name.NameLength;
    KTAP_CHECK(RtlEqualUnicodeString(&Text, &Expected, FALSE));
    KTAP_EQUAL(Length, sizeof(ULONG) + Expected.Length);
    KTAP_EQUAL(ZwQueryKey(Home, KeyNameInformation, &Info, 2, &Length), STATUS_BUFFER_TOO_SMALL);
    KTAP_EQUAL(ZwQueryKey(Home, KeyNameInformation, &Info, 24, &Length), STATUS_BUFFER_OVERFLOW);
    KTAP_EQUAL(ObReferenceObjectByHandle(Home, 0, CmpKeyObjectType, KernelMode, &Object, NULL), STATUS_SUCCESS);
    KTAP_CHECK(*KTAP_IMPORT(POBJECT_TYPE *, CmKeyObjectType) == CmpKeyObjectType);
    KTAP_EQUAL(ObQueryNameString(Object, &Info.Object, sizeof(Info), &Length), STATUS_SUCCESS);
    KTAP_CHECK(RtlEqualUnicodeString(&Info.Object.Name, &Expected, FALSE));
    KTAP_EQUAL(ZwQueryKey(Home, KeyCachedInformation, &Info, sizeof(Info), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Info.Cached.NameLength, 14);
    KTAP_EQUAL(Info.Cached.SubKeys, 0);
    KTAP_EQUAL(ZwQueryKey(Home, KeyVirtualizationInformation, &Info, sizeof(Info), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Length, 4);
    KTAP_EQUAL(ZwQueryKey(Home, MaxKeyInfoClass, &Info, sizeof(Info), &Length), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(ZwSetInformationKey(Home, KeyWriteTimeInformation, &Time, sizeof(Time)), STATUS_SUCCESS);
    KTAP_EQUAL(ZwQueryKey(Home, KeyBasicInformation, &Info, sizeof(Info), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Info.Basic.LastWriteTime.QuadPart, 1234567);
    KTAP_EQUAL(ZwSetInformationKey(Home, KeyWow64FlagsInformation, &One, sizeof(One)), STATUS_SUCCESS);
    KTAP_EQUAL(ZwQueryKey(Home, KeyFlagsInformation, &Info, sizeof(Info), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Info.Flags.UserFlags, 1);
    KTAP_EQUAL(ZwSetInformationKey(Home, KeyWow64FlagsInformation, &One, 2), STATUS_INFO_LENGTH_MISMATCH);
    KTAP_EQUAL(ZwSetInformationKey(Home, KeySetDebugInformation, &One, 4), STATUS_INVALID_INFO_CLASS);

    KTAP_EQUAL(Make(Home, L"Sub", 0, &Sub, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(Rename(Sub, &Bad), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(Rename(Sub, &NewName), STATUS_SUCCESS);
    ZwClose(Sub);
    KTAP_EQUAL(Open(Home, L"Sub", KEY_READ, &Sub), STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(Open(Home, L"Other", KEY_ALL_ACCESS, &Sub), STATUS_SUCCESS);
    KTAP_EQUAL(ZwDeleteKey(Sub), STATUS_SUCCESS);
    KTAP_EQUAL(ZwQueryKey(Sub, KeyNameInformation, &Info, sizeof(Info), &Length), STATUS_KEY_DELETED);
    ZwClose(Sub);
    KTAP_EQUAL(ZwDeleteKey(Home), STATUS_SUCCESS);
    KTAP_EQUAL(ObQueryNameString(Object, &Info.Object, sizeof(Info), &Length), STATUS_KEY_DELETED);
    ObDereferenceObject(Object);
    ZwClose(Home);
}

static VOID KeyBoot(PKTAP_CONTEXT Ktap)
{
    union {
        KEY_VALUE_PARTIAL_INFORMATION Partial;
        KEY_NAME_INFORMATION Name;
        UCHAR Bytes[256];
    } Info;
    UNICODE_STRING Start = RTL_CONSTANT_STRING(L"Start"), Link = RTL_CONSTANT_STRING(L"SymbolicLinkValue"), Name;
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Key;
    ULONG Length;

    KTAP_EQUAL(Open(NULL, CM_SERVICES_PATH L"\\ide", KEY_READ, &Key), STATUS_SUCCESS); /* through the link */
    KTAP_EQUAL(ZwQueryValueKey(Key, &Start, KeyValuePartialInformation, &Info, sizeof(Info), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Info.Partial.Type, REG_DWORD);
    KTAP_EQUAL(*(PULONG)Info.Partial.Data, SERVICE_BOOT_START);
    KTAP_EQUAL(ZwQueryKey(Key, KeyNameInformation, &Info, sizeof(Info), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Info.Name.Name[25], L'C'); /* ControlSet001, not CurrentControlSet */
    KTAP_EQUAL(Info.Name.Name[26], L'o');
    ZwClose(Key);
    RtlInitUnicodeString(&Name, L"\\Registry\\Machine\\System\\CurrentControlSet");
    InitializeObjectAttributes(&Attributes, &Name, OBJ_KERNEL_HANDLE, NULL, NULL);
    KTAP_EQUAL(ZwOpenKeyEx(&Key, KEY_READ, &Attributes, REG_OPTION_OPEN_LINK), STATUS_SUCCESS);
    KTAP_EQUAL(ZwQueryValueKey(Key, &Link, KeyValuePartialInformation, &Info, sizeof(Info), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Info.Partial.Type, REG_LINK);
    ZwClose(Key);
    KTAP_EQUAL(ZwOpenKeyEx(&Key, KEY_READ, &Attributes, 0x80), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(Open(NULL, L"\\Registry\\Machine\\Hardware\\Description\\System\\CentralProcessor\\0", KEY_READ, &Key),
               STATUS_SUCCESS);
    ZwClose(Key);
}

static volatile LONG RaceRunning, RaceWrong;
static KEVENT RaceDone;

static VOID NTAPI RaceThread(PVOID Context)
{
    static const PCWSTR Names[] = {L"One", L"Two", L"Three"};
    ULONG64 Rounds = KtapIterations(1000);
    ULONG Random = (ULONG)(ULONG_PTR)Context;

    for (ULONG64 Round = 0; Round < Rounds; Round++) {
        PCWSTR Name = Names[RtlRandomEx(&Random) % RTL_NUMBER_OF(Names)];
        HANDLE Key;
        NTSTATUS Status =
            (RtlRandomEx(&Random) % 2 == 0) ? Make(Home, Name, 0, &Key, NULL) : Open(Home, Name, KEY_ALL_ACCESS, &Key);

        if (Status == STATUS_OBJECT_NAME_NOT_FOUND) {
            continue;
        }
        if (Status != STATUS_SUCCESS) {
            InterlockedIncrement(&RaceWrong);
            continue;
        }
        if (RtlRandomEx(&Random) % 3 == 0) {
            Status = ZwDeleteKey(Key);
            if (Status != STATUS_SUCCESS && Status != STATUS_KEY_DELETED) {
                InterlockedIncrement(&RaceWrong);
            }
        }
        ZwClose(Key);
    }
    if (InterlockedDecrement(&RaceRunning) == 0) {
        KeSetEvent(&RaceDone, IO_NO_INCREMENT, FALSE);
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static VOID KeyRace(PKTAP_CONTEXT Ktap)
{
    static const PCWSTR Names[] = {L"One", L"Two", L"Three"};
    HANDLE Key;
    ULONG Threads = 4;

    KTAP_EQUAL(Make(NULL, HOME, 0, &Home, NULL), STATUS_SUCCESS);
    KeInitializeEvent(&RaceDone, NotificationEvent, FALSE);
    RaceRunning = (LONG)Threads;
    RaceWrong = 0;
    for (ULONG Index = 0; Index < Threads; Index++) {
        KTAP_CHECK(TestThread(RaceThread, (PVOID)(ULONG_PTR)(Index + 1), 8));
    }
    KTAP_EQUAL(TestWait(&RaceDone), STATUS_SUCCESS);
    KTAP_EQUAL(RaceWrong, 0);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Names); Index++) {
        KTAP_EQUAL(Make(Home, Names[Index], 0, &Key, NULL), STATUS_SUCCESS);
        KTAP_EQUAL(ZwDeleteKey(Key), STATUS_SUCCESS);
        ZwClose(Key);
    }
    KTAP_EQUAL(ZwDeleteKey(Home), STATUS_SUCCESS);
    ZwClose(Home);
}

static const KTAP_CASE_ENTRY KeyCases[] = {
    {"create", KeyCreate}, {"rules", KeyRules}, {"enumerate", KeyEnumerate},
    {"query", KeyQuery},   {"boot", KeyBoot},   {"race", KeyRace},
};

KTAP_SUITE(KeySuite, "cm.key", KeyCases);
