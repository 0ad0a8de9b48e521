/*
 * ureg.c - the suite of the registry: keys and values made, asked about, renamed and deleted by a program.
 *
 * All of it below one volatile key, which goes at the end of each case. What the services refuse is refused as the Zw routines are documented
 * to.
 */
#include "../ktap.h"

#define ROOT L"\\Registry\\Machine\\Software\\Ureg"

static UNICODE_STRING Name;
static ULONG64 Room[64];

static NTSTATUS Make(PCWSTR Path, PHANDLE Key)
{
    OBJECT_ATTRIBUTES Attributes;

    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    return NtCreateKey(Key, KEY_ALL_ACCESS, &Attributes, 0, NULL, REG_OPTION_VOLATILE, NULL);
}

static PUNICODE_STRING Text(PCWSTR Value)
{
    RtlInitUnicodeString(&Name, Value);
    return &Name;
}

static ULONG Values(VOID)
{
    PKEY_VALUE_PARTIAL_INFORMATION Partial = (PKEY_VALUE_PARTIAL_INFORMATION)Room;
    PKEY_VALUE_BASIC_INFORMATION Basic = (PKEY_VALUE_BASIC_INFORMATION)Room;
    ULONG Number = 42, Length;
    HANDLE Key;

    CHECK(Make(ROOT, &Key) == STATUS_SUCCESS);
    CHECK(NtSetValueKey(Key, Text(L"Number"), 0, REG_DWORD, &Number, sizeof(Number)) == STATUS_SUCCESS);
    CHECK(NtSetValueKey(Key, Text(L"Bad"), 0, REG_DWORD, KERNEL_POINTER, 4) == STATUS_ACCESS_VIOLATION);
    CHECK(NtQueryValueKey(Key, Text(L"NUMBER"), KeyValuePartialInformation, Room, sizeof(Room), &Length) ==
          STATUS_SUCCESS);
    CHECK(Partial->Type == REG_DWORD && Partial->DataLength == 4 && *(PULONG)Partial->Data == 42);
    CHECK(NtQueryValueKey(Key, Text(L"Number"), KeyValuePartialInformation, Room, 4, &Length) ==
          STATUS_BUFFER_TOO_SMALL);
    CHECK(NtEnumerateValueKey(Key, 0, KeyValueBasicInformation, Room, sizeof(Room), &Length) == STATUS_SUCCESS);
    CHECK(Basic->NameLength == 12 && Basic->Name[0] == 'N');
    CHECK(NtEnumerateValueKey(Key, 1, KeyValueBasicInformation, Room, sizeof(Room), &Length) == STATUS_NO_MORE_ENTRIES);
    CHECK(NtDeleteValueKey(Key, Text(L"Number")) == STATUS_SUCCESS);
    CHECK(NtDeleteValueKey(Key, Text(L"Number")) == STATUS_OBJECT_NAME_NOT_FOUND);
    CHECK(NtFlushKey(Key) == STATUS_SUCCESS && NtDeleteKey(Key) == STATUS_SUCCESS && NtClose(Key) == STATUS_SUCCESS);
    return 0;
}

static ULONG Keys(VOID)
{
    PKEY_BASIC_INFORMATION Basic = (PKEY_BASIC_INFORMATION)Room;
    PKEY_FULL_INFORMATION Full = (PKEY_FULL_INFORMATION)Room;
    HANDLE Key, Child;
    ULONG Length;

    CHECK(Make(ROOT, &Key) == STATUS_SUCCESS && Make(ROOT L"\\Child", &Child) == STATUS_SUCCESS);
    CHECK(NtQueryKey(Key, KeyFullInformation, Room, sizeof(Room), &Length) == STATUS_SUCCESS);
    CHECK(Full->SubKeys == 1 && Full->Values == 0);
    CHECK(NtRenameKey(Child, Text(L"Renamed")) == STATUS_SUCCESS);
    CHECK(NtRenameKey(Child, Text(L"a\\b")) == STATUS_INVALID_PARAMETER);
    CHECK(NtEnumerateKey(Key, 0, KeyBasicInformation, Room, sizeof(Room), &Length) == STATUS_SUCCESS);
    CHECK(Basic->NameLength == 14 && Basic->Name[0] == 'R');
    CHECK(NtEnumerateKey(Key, 1, KeyBasicInformation, Room, sizeof(Room), &Length) == STATUS_NO_MORE_ENTRIES);
    CHECK(NtDeleteKey(Key) == STATUS_CANNOT_DELETE);
    CHECK(NtDeleteKey(Child) == STATUS_SUCCESS && NtFlushKey(Child) == STATUS_KEY_DELETED);
    CHECK(NtDeleteKey(Key) == STATUS_SUCCESS && NtClose(Key) == STATUS_SUCCESS && NtClose(Child) == STATUS_SUCCESS);
    return 0;
}

static ULONG SetTime(VOID)
{
    KEY_WRITE_TIME_INFORMATION Time = {.LastWriteTime = {.QuadPart = 123456789}};
    PKEY_BASIC_INFORMATION Basic = (PKEY_BASIC_INFORMATION)Room;
    HANDLE Key;
    ULONG Length;

    CHECK(Make(ROOT, &Key) == STATUS_SUCCESS);
    CHECK(NtSetInformationKey(Key, KeyWriteTimeInformation, &Time, sizeof(Time)) == STATUS_SUCCESS);
    CHECK(NtQueryKey(Key, KeyBasicInformation, Room, sizeof(Room), &Length) == STATUS_SUCCESS);
    CHECK(Basic->LastWriteTime.QuadPart == 123456789);
    CHECK(NtSetInformationKey(Key, KeyWriteTimeInformation, &Time, 4) == STATUS_INFO_LENGTH_MISMATCH);
    CHECK(NtSetInformationKey(Key, 77, &Time, sizeof(Time)) == STATUS_INVALID_INFO_CLASS);
    CHECK(NtDeleteKey(Key) == STATUS_SUCCESS && NtClose(Key) == STATUS_SUCCESS);
    return 0;
}

/* A handle with fewer rights does less. */
static ULONG Rights(VOID)
{
    ULONG Number = 1, Length;
    HANDLE Key, Reader;
    OBJECT_ATTRIBUTES Attributes;

    CHECK(Make(ROOT, &Key) == STATUS_SUCCESS);
    InitializeObjectAttributes(&Attributes, Text(ROOT), OBJ_CASE_INSENSITIVE, NULL, NULL);
    CHECK(NtOpenKey(&Reader, KEY_QUERY_VALUE, &Attributes) == STATUS_SUCCESS);
    CHECK(NtSetValueKey(Reader, Text(L"x"), 0, REG_DWORD, &Number, 4) == STATUS_ACCESS_DENIED);
    CHECK(NtEnumerateKey(Reader, 0, KeyBasicInformation, Room, sizeof(Room), &Length) == STATUS_ACCESS_DENIED);
    CHECK(NtDeleteKey(Reader) == STATUS_ACCESS_DENIED);
    CHECK(NtQueryValueKey(Reader, Text(L"x"), KeyValuePartialInformation, Room, sizeof(Room), &Length) ==
          STATUS_OBJECT_NAME_NOT_FOUND);
    CHECK(NtDeleteKey(Key) == STATUS_SUCCESS && NtClose(Key) == STATUS_SUCCESS && NtClose(Reader) == STATUS_SUCCESS);
    return 0;
}

static const USER_CASE Cases[] = {
    {"user.reg.values", Values},
    {"user.reg.keys", Keys},
    {"user.reg.time", SetTime},
    {"user.reg.rights", Rights},
};

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    return UserRunSuite("ureg.c", Cases, RTL_NUMBER_OF(Cases));
}
