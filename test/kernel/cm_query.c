/*
 * cm_query.c - RtlQueryRegistryValues with each of its flags, and the registry helpers by path.
 *
 * A routine records what it is called with; the table decides what that ought to be. Each case fills a services key of its own and removes
 * it again.
 */
#include <ntos/cm.h>
#include <ntos/ktap.h>

#define PLACE L"QueryTest" /* below Services */

#ifndef RTL_QUERY_REGISTRY_TYPECHECK
#define RTL_QUERY_REGISTRY_TYPECHECK 0x100
#endif

static struct {
    WCHAR Name[16];
    ULONG Type, Bytes;
    WCHAR Data[24];
} Calls[8];
static ULONG CallCount;
static NTSTATUS CallResult;

static NTSTATUS NTAPI Record(PWSTR ValueName, ULONG ValueType, PVOID ValueData, ULONG ValueLength, PVOID Context,
                             PVOID EntryContext)
{
    if (CallCount == RTL_NUMBER_OF(Calls) || Context != &Calls || EntryContext != &CallCount) {
        return STATUS_UNSUCCESSFUL;
    }
    RtlZeroMemory(&Calls[CallCount], sizeof(Calls[0]));
    for (ULONG Index = 0; ValueName != NULL && ValueName[Index] != 0 && Index < 15; Index++) {
        Calls[CallCount].Name[Index] = ValueName[Index];
    }
    Calls[CallCount].Type = ValueType;
    Calls[CallCount].Bytes = ValueLength;
    if (ValueLength != 0 && ValueLength <= sizeof(Calls[0].Data)) {
        RtlCopyMemory(Calls[CallCount].Data, ValueData, ValueLength);
    }
    CallCount++;
    return CallResult;
}

static BOOLEAN Is(PCWSTR Text, PCWSTR Expected)
{
    UNICODE_STRING A, B;

    RtlInitUnicodeString(&A, Text);
    RtlInitUnicodeString(&B, Expected);
    return RtlEqualUnicodeString(&A, &B, FALSE);
}

static NTSTATUS Run(PRTL_QUERY_REGISTRY_TABLE Table, PVOID Environment)
{
    CallCount = 0;
    CallResult = STATUS_SUCCESS;
    return RtlQueryRegistryValues(RTL_REGISTRY_SERVICES, PLACE, Table, &Calls, Environment);
}

static VOID Fill(VOID)
{
    ULONG Number = 0x11223344;

    RtlWriteRegistryValue(RTL_REGISTRY_SERVICES, PLACE, L"Number", REG_DWORD, &Number, sizeof(Number));
    RtlWriteRegistryValue(RTL_REGISTRY_SERVICES, PLACE, L"Text", REG_SZ, L"plain", 12);
    RtlWriteRegistryValue(RTL_REGISTRY_SERVICES, PLACE, L"Path", REG_EXPAND_SZ, L"%home%\\x%no%", 26);
    RtlWriteRegistryValue(RTL_REGISTRY_SERVICES, PLACE, L"List", REG_MULTI_SZ, L"ab\0cde\0", 16);
    RtlWriteRegistryValue(RTL_REGISTRY_SERVICES, PLACE, L"Bytes", REG_BINARY, "0123456789", 10);
    RtlWriteRegistryValue(RTL_REGISTRY_SERVICES, PLACE L"\\Sub", L"Inner", REG_SZ, L"in", 6);
}

static VOID Remove(VOID)
{
    static const PCWSTR Paths[] = {CM_SERVICES_PATH L"\\" PLACE L"\\Sub", CM_SERVICES_PATH L"\\" PLACE};

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Paths); Index++) {
        UNICODE_STRING Name;
        OBJECT_ATTRIBUTES Attributes;
        HANDLE Key;

        RtlInitUnicodeString(&Name, Paths[Index]);
        InitializeObjectAttributes(&Attributes, &Name, OBJ_KERNEL_HANDLE, NULL, NULL);
        if (NT_SUCCESS(ZwOpenKey(&Key, KEY_ALL_ACCESS, &Attributes))) {
            ZwDeleteKey(Key);
            ZwClose(Key);
        }
    }
}

static VOID QueryPaths(PKTAP_CONTEXT Ktap)
{
    static WCHAR Place[] = PLACE, Missing[] = PLACE L"\\No\\Such";
    ULONG Number = 1;

    KTAP_EQUAL(RtlCheckRegistryKey(RTL_REGISTRY_SERVICES, Place), STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(RtlCreateRegistryKey(RTL_REGISTRY_SERVICES, Place), STATUS_SUCCESS);
    KTAP_EQUAL(RtlCreateRegistryKey(RTL_REGISTRY_SERVICES, Place), STATUS_SUCCESS);
    KTAP_EQUAL(RtlCheckRegistryKey(RTL_REGISTRY_SERVICES, Place), STATUS_SUCCESS);
    KTAP_EQUAL(RtlCreateRegistryKey(RTL_REGISTRY_SERVICES, Missing), STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(RtlCheckRegistryKey(RTL_REGISTRY_MAXIMUM, Place), STATUS_INVALID_PARAMETER);
    for (ULONG Which = RTL_REGISTRY_SERVICES; Which < RTL_REGISTRY_MAXIMUM; Which++) {
        KTAP_EQUAL(RtlCheckRegistryKey(Which, NULL), STATUS_SUCCESS);
    }
    KTAP_EQUAL(RtlWriteRegistryValue(RTL_REGISTRY_SERVICES, PLACE, L"V", REG_DWORD, &Number, 4), STATUS_SUCCESS);
    KTAP_EQUAL(RtlDeleteRegistryValue(RTL_REGISTRY_SERVICES, PLACE, L"v"), STATUS_SUCCESS);
    KTAP_EQUAL(RtlDeleteRegistryValue(RTL_REGISTRY_SERVICES, PLACE, L"v"), STATUS_OBJECT_NAME_NOT_FOUND);
    Remove();
}

static VOID QueryRoutines(PKTAP_CONTEXT Ktap)
{
    static const WCHAR Home[] = L"HOME=D:\\me\0OTHER=z\0";
    RTL_QUERY_REGISTRY_TABLE Table[] = {
        {Record, 0, L"Number", &CallCount, REG_NONE, NULL, 0},
        {Record, 0, L"Path", &CallCount, REG_NONE, NULL, 0},
        {Record, RTL_QUERY_REGISTRY_NOEXPAND, L"Path", &CallCount, REG_NONE, NULL, 0},
        {Record, 0, L"List", &CallCount, REG_NONE, NULL, 0},
        {Record, RTL_QUERY_REGISTRY_NOEXPAND, L"List", &CallCount, REG_NONE, NULL, 0},
        {Record, 0, L"Absent", &CallCount, REG_SZ, L"dflt", 0},
        {Record, RTL_QUERY_REGISTRY_NOVALUE, NULL, &CallCount, REG_NONE, NULL, 0},
        {NULL, 0, NULL, NULL, REG_NONE, NULL, 0},
    };

    Fill();
    KTAP_EQUAL(Run(Table, (PVOID)Home), STATUS_SUCCESS);
    KTAP_EQUAL(CallCount, 8);
    KTAP_CHECK(Is(Calls[0].Name, L"Number") && Calls[0].Type == REG_DWORD && Calls[0].Bytes == 4);
    KTAP_CHECK(Is(Calls[1].Data, L"D:\\me\\x%no%") && Calls[1].Type == REG_SZ);
    KTAP_EQUAL(Calls[1].Bytes, 24);
    KTAP_CHECK(Is(Calls[2].Data, L"%home%\\x%no%") && Calls[2].Type == REG_EXPAND_SZ);
    KTAP_CHECK(Is(Calls[3].Data, L"ab") && Calls[3].Type == REG_SZ && Calls[3].Bytes == 6);
    KTAP_CHECK(Is(Calls[4].Data, L"cde") && Is(Calls[4].Name, L"List"));
    KTAP_CHECK(Calls[5].Type == REG_MULTI_SZ && Calls[5].Bytes == 16);
    KTAP_CHECK(Is(Calls[6].Data, L"dflt") && Calls[6].Bytes == 10 && Is(Calls[6].Name, L"Absent"));
    KTAP_CHECK(Calls[7].Type == REG_NONE && Calls[7].Bytes == 0);

    /* A subkey, back to the top, all values, one that is required. */
    Table[0] = (RTL_QUERY_REGISTRY_TABLE){NULL, RTL_QUERY_REGISTRY_SUBKEY, L"Sub", NULL, REG_NONE, NULL, 0};
    Table[1] = (RTL_QUERY_REGISTRY_TABLE){Record, 0, L"Inner", &CallCount, REG_NONE, NULL, 0};
    Table[2] = (RTL_QUERY_REGISTRY_TABLE){Record, 0, L"Text", &CallCount, REG_NONE, NULL, 0};
    Table[3] = (RTL_QUERY_REGISTRY_TABLE){Record, RTL_QUERY_REGISTRY_TOPKEY, L"Text", &CallCount, REG_NONE, NULL, 0};
    Table[4] = (RTL_QUERY_REGISTRY_TABLE){Record, RTL_QUERY_REGISTRY_NOEXPAND, NULL, &CallCount, REG_NONE, NULL, 0};
    Table[5] =
        (RTL_QUERY_REGISTRY_TABLE){Record, RTL_QUERY_REGISTRY_REQUIRED, L"Absent", &CallCount, REG_NONE, NULL, 0};
    KTAP_EQUAL(Run(Table, NULL), STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(CallCount, 7); /* Inner, Text, and the five of the top key */
    KTAP_CHECK(Is(Calls[0].Data, L"in") && Is(Calls[1].Data, L"plain") && Is(Calls[2].Name, L"Number"));
    KTAP_CHECK(Is(Calls[6].Name, L"Bytes"));

    Table[0] = (RTL_QUERY_REGISTRY_TABLE){Record, RTL_QUERY_REGISTRY_DELETE, L"Text", &CallCount, REG_NONE, NULL, 0};
    Table[1] = (RTL_QUERY_REGISTRY_TABLE){NULL, 0, NULL, NULL, REG_NONE, NULL, 0};
    KTAP_EQUAL(Run(Table, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(Run(Table, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(CallCount, 0);
    CallResult = STATUS_DISK_FULL;
    Table[0] = (RTL_QUERY_REGISTRY_TABLE){Record, 0, L"List", &CallCount, REG_NONE, NULL, 0};
    KTAP_EQUAL(RtlQueryRegistryValues(RTL_REGISTRY_SERVICES, PLACE, Table, &Calls, NULL), STATUS_DISK_FULL);
    KTAP_EQUAL(CallCount, 1);
    KTAP_EQUAL(RtlQueryRegistryValues(RTL_REGISTRY_SERVICES, L"NoSuchService", Table, &Calls, NULL),
               STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(
        RtlQueryRegistryValues(RTL_REGISTRY_SERVICES | RTL_REGISTRY_OPTIONAL, L"NoSuchService", Table, &Calls, NULL),
        STATUS_SUCCESS);
    Remove();
}

static VOID QueryDirect(PKTAP_CONTEXT Ktap)
{
    WCHAR Room[4];
    UNICODE_STRING Text = {0, 0, NULL}, Short = {0, sizeof(Room), Room}, Path = {0, 0, NULL};
    ULONG Number = 0, Default = 0;
    struct {
        LONG Size;
        ULONG Type;
        CHAR Data[12];
    } Counted = {sizeof(Counted), 0, {0}};
    union {
        LONG Size;
        CHAR Data[16];
    } Raw = {-16};
    RTL_QUERY_REGISTRY_TABLE Table[] = {
        {NULL, RTL_QUERY_REGISTRY_DIRECT, L"Number", &Number, REG_NONE, NULL, 0},
        {NULL, RTL_QUERY_REGISTRY_DIRECT, L"Text", &Text, REG_NONE, NULL, 0},
        {NULL, RTL_QUERY_REGISTRY_DIRECT, L"Path", &Path, REG_NONE, NULL, 0},
        {NULL, RTL_QUERY_REGISTRY_DIRECT, L"Bytes", &Counted, REG_NONE, NULL, 0},
        {NULL, RTL_QUERY_REGISTRY_DIRECT, L"Bytes", &Raw, REG_NONE, NULL, 0},
        {NULL, RTL_QUERY_REGISTRY_DIRECT, L"Absent", &Default, REG_DWORD, "\x05\0\0", 4},
        {NULL, 0, NULL, NULL, REG_NONE, NULL, 0},
    };

    Fill();
    NTSTATUS Status = Run(Table, NULL); /* what one entry was given stays when a later one fails: no second try */
    KTAP_EQUAL(Status, STATUS_SUCCESS);
    KTAP_EQUAL(Number, 0x11223344);
    KTAP_EQUAL(Text.Length, 10);
    KTAP_CHECK(Is(Text.Buffer, L"plain"));
    KTAP_CHECK(Is(Path.Buffer, L"%home%\\x%no%")); /* unknown variables stay */
    KTAP_EQUAL(Counted.Size, 10);
    KTAP_EQUAL(Counted.Type, REG_BINARY);
    KTAP_CHECK(RtlCompareMemory(Counted.Data, "0123456789", 10) == 10);
    KTAP_CHECK(RtlCompareMemory(Raw.Data, "0123456789", 10) == 10);
    KTAP_EQUAL(Default, 5);
    RtlFreeUnicodeString(&Text);
    RtlFreeUnicodeString(&Path);

    Table[0].Name = L"Text";
    Table[0].EntryContext = &Short;
    KTAP_EQUAL(Run(Table, NULL), STATUS_BUFFER_TOO_SMALL);
    Table[0].Name = L"Number";
    Table[0].EntryContext = &Number;
    Table[0].Flags |= RTL_QUERY_REGISTRY_TYPECHECK;
    Table[0].DefaultType = REG_SZ << 24;
    KTAP_EQUAL(Run(Table, NULL), STATUS_OBJECT_TYPE_MISMATCH);
    Table[0].DefaultType = REG_DWORD << 24;
    Table[1] = Table[6];
    KTAP_EQUAL(Run(Table, NULL), STATUS_SUCCESS);
    Table[0].Name = NULL;
    KTAP_EQUAL(Run(Table, NULL), STATUS_INVALID_PARAMETER);
    Remove();
}

static const KTAP_CASE_ENTRY QueryCases[] = {
    {"paths", QueryPaths},
    {"routines", QueryRoutines},
    {"direct", QueryDirect},
};

KTAP_SUITE(QuerySuite, "cm.query", QueryCases);
