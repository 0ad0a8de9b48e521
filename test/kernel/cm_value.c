/*
 * cm_value.c - values of registry keys, in every information class and with every amount of room.
 *
 * The rule of room is checked byte by byte: a value is asked for with each length from 0 to more than enough, and every byte
 * beyond what was promised must be untouched.
 */
#include <ntos/cm.h>
#include <ntos/ktap.h>

#define HOME L"\\Registry\\Machine\\Software\\ValueTest"

static HANDLE Home;

static NTSTATUS OpenHome(VOID)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(HOME);
    OBJECT_ATTRIBUTES Attributes;

    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateKey(&Home, KEY_ALL_ACCESS, &Attributes, 0, NULL, 0, NULL);
}

static VOID CloseHome(VOID)
{
    ZwDeleteKey(Home);
    ZwClose(Home);
}

static VOID ValueSet(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"Count"), Upper = RTL_CONSTANT_STRING(L"COUNT"), None = {0, 0, NULL};
    UNICODE_STRING Padded = RTL_CONSTANT_STRING(L"Pad\0\0"), Plain = RTL_CONSTANT_STRING(L"Pad"), Long;
    static WCHAR LongName[16400];
    union {
        KEY_VALUE_BASIC_INFORMATION Basic;
        KEY_VALUE_FULL_INFORMATION Full;
        KEY_VALUE_PARTIAL_INFORMATION Partial;
        UCHAR Bytes[64];
    } Info;
    ULONG Number = 7, Length;

    KTAP_EQUAL(OpenHome(), STATUS_SUCCESS);
    KTAP_EQUAL(ZwSetValueKey(Home, &Name, 0, REG_DWORD, &Number, sizeof(Number)), STATUS_SUCCESS);
    Number = 8;
    KTAP_EQUAL(ZwSetValueKey(Home, &Upper, 0, REG_BINARY, &Number, sizeof(Number)), STATUS_SUCCESS);
    KTAP_EQUAL(ZwSetValueKey(Home, &None, 0, REG_SZ, L"Default", 16), STATUS_SUCCESS);
    KTAP_EQUAL(ZwSetValueKey(Home, &Padded, 0, REG_NONE, NULL, 0), STATUS_SUCCESS);
    KTAP_EQUAL(ZwQueryValueKey(Home, &Name, KeyValueFullInformation, &Info, sizeof(Info), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Info.Full.Type, REG_BINARY);
    KTAP_EQUAL(Info.Full.NameLength, 10);
    KTAP_EQUAL(Info.Full.Name[1], L'o'); /* the first spelling stays */
    KTAP_EQUAL(Info.Full.DataOffset, 32);
    KTAP_EQUAL(*(PULONG)(Info.Bytes + Info.Full.DataOffset), 8);
    KTAP_EQUAL(ZwQueryValueKey(Home, &Plain, KeyValuePartialInformation, &Info, sizeof(Info), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Info.Partial.DataLength, 0);
    KTAP_EQUAL(Length, FIELD_OFFSET(KEY_VALUE_PARTIAL_INFORMATION, Data));

    /* In the order of making: Count, the default value, Pad. */
    KTAP_EQUAL(ZwEnumerateValueKey(Home, 0, KeyValueBasicInformation, &Info, sizeof(Info), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Info.Basic.NameLength, 10);
    KTAP_EQUAL(ZwEnumerateValueKey(Home, 1, KeyValueBasicInformation, &Info, sizeof(Info), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Info.Basic.NameLength, 0);
    KTAP_EQUAL(ZwEnumerateValueKey(Home, 3, KeyValueBasicInformation, &Info, sizeof(Info), &Length),
               STATUS_NO_MORE_ENTRIES);
    KTAP_EQUAL(ZwDeleteValueKey(Home, &Name), STATUS_SUCCESS);
    KTAP_EQUAL(ZwDeleteValueKey(Home, &Name), STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(ZwQueryValueKey(Home, &Name, KeyValueBasicInformation, &Info, sizeof(Info), &Length),
               STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(ZwEnumerateValueKey(Home, 1, KeyValueBasicInformation, &Info, sizeof(Info), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Info.Basic.NameLength, 6);

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(LongName); Index++) {
        LongName[Index] = L'v';
    }
    Long.Buffer = LongName;
    Long.Length = Long.MaximumLength = 16384 * sizeof(WCHAR);
    KTAP_EQUAL(ZwSetValueKey(Home, &Long, 0, REG_NONE, NULL, 0), STATUS_INVALID_PARAMETER);
    Long.Length = 16383 * sizeof(WCHAR);
    KTAP_EQUAL(ZwSetValueKey(Home, &Long, 0, REG_NONE, NULL, 0), STATUS_SUCCESS);
    KTAP_EQUAL(ZwSetValueKey(Home, &Name, 0, REG_BINARY, &Number, (16U << 20) + 1), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(ZwSetValueKey(Home, &Name, 0, REG_BINARY, NULL, 1), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(ZwDeleteKey(Home), STATUS_SUCCESS);
    KTAP_EQUAL(ZwSetValueKey(Home, &Name, 0, REG_NONE, NULL, 0), STATUS_KEY_DELETED);
    KTAP_EQUAL(ZwDeleteValueKey(Home, &Name), STATUS_KEY_DELETED);
    ZwClose(Home);
}

static VOID ValueRoom(PKTAP_CONTEXT Ktap)
{
    static const struct {
        KEY_VALUE_INFORMATION_CLASS Class;
        ULONG Fixed, Whole;
    } Classes[] = {
        {KeyValueBasicInformation, 12, 12 + 6},        {KeyValueFullInformation, 20, 28 + 9},
        {KeyValueFullInformationAlign64, 20, 32 + 9},  {KeyValuePartialInformation, 12, 12 + 9},
        {KeyValuePartialInformationAlign64, 8, 8 + 9},
    };
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"Abc");
    static UCHAR Buffer[64] __attribute__((aligned(8)));
    ULONG Length;

    KTAP_EQUAL(OpenHome(), STATUS_SUCCESS);
    KTAP_EQUAL(ZwSetValueKey(Home, &Name, 0, REG_BINARY, "123456789", 9), STATUS_SUCCESS);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Classes); Index++) {
        for (ULONG Room = 0; Room <= Classes[Index].Whole + 1; Room++) {
            NTSTATUS Expected = (Room < Classes[Index].Fixed)   ? STATUS_BUFFER_TOO_SMALL
                                : (Room < Classes[Index].Whole) ? STATUS_BUFFER_OVERFLOW
                                                                : STATUS_SUCCESS;

            RtlFillMemory(Buffer, sizeof(Buffer), 0xEE);
            KTAP_EQUAL(ZwQueryValueKey(Home, &Name, Classes[Index].Class, Buffer, Room, &Length), Expected);
            KTAP_EQUAL(Length, Classes[Index].Whole);
            for (ULONG Byte = min(Room, Classes[Index].Whole); Byte < sizeof(Buffer); Byte++) {
                KTAP_EQUAL(Buffer[Byte], 0xEE);
            }
            KTAP_CHECK(Expected != STATUS_BUFFER_TOO_SMALL || Buffer[0] == 0xEE);
        }
    }
    KTAP_EQUAL(Buffer[8], '1'); /* the last one asked for: aligned data at 8 */
    KTAP_EQUAL(ZwQueryValueKey(Home, &Name, KeyValuePartialInformationAlign64, Buffer + 4, 32, &Length),
               STATUS_DATATYPE_MISALIGNMENT);
    KTAP_EQUAL(ZwQueryValueKey(Home, &Name, MaxKeyValueInfoClass, Buffer, 32, &Length), STATUS_INVALID_PARAMETER);
    CloseHome();
}

static const KTAP_CASE_ENTRY ValueCases[] = {
    {"set", ValueSet},
    {"room", ValueRoom},
};

KTAP_SUITE(ValueSuite, "cm.value", ValueCases);
