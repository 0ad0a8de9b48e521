/*
 * cmcmd.c - the console's command `reg`: query, add and delete keys and values.
 *
 * It uses the documented services only. HKLM and HKU at the start of a path stand for \Registry\Machine and \Registry\User. What a
 * value holds is shown as its type asks; bytes beyond the first line are counted, not shown.
 *
 * PASSIVE_LEVEL, the console's thread only. No locks.
 */
#include "../console/consolep.h"
#include "cmp.h"

#define CMP_ROOM       4096 /* bytes of a value shown, and of a value typed */
#define CMP_PATH_CHARS 520
#define CMP_HEX_BYTES  32 /* of a binary value, on its line */

static const struct {
    PCSTR Short, Long;
} CmpRoots[] = {{"HKLM", "\\Registry\\Machine"}, {"HKU", "\\Registry\\User"}};

static const PCSTR CmpTypes[] = {"REG_NONE",     "REG_SZ",   "REG_EXPAND_SZ", "REG_BINARY",       "REG_DWORD",
                                 "REG_DWORD_BE", "REG_LINK", "REG_MULTI_SZ",  "REG_RESOURCE_LIST"};

static BOOLEAN CmpSame(PCSTR First, PCSTR Second, ULONG Count)
{
    for (ULONG Index = 0; Index < Count; Index++) {
        if (First[Index] == 0 || RtlUpperChar(First[Index]) != RtlUpperChar(Second[Index])) {
            return FALSE;
        }
    }
    return TRUE;
}

static ULONG CmpChars(PCSTR Text)
{
    ULONG Count = 0;

    while (Text[Count] != 0) {
        Count++;
    }
    return Count;
}

/* Typed text as UTF-16, with a NUL that Length does not count. FALSE: too long, or not UTF-8. */
static BOOLEAN CmpWiden(PCSTR Text, PUNICODE_STRING Wide)
{
    ULONG Bytes, Room = Wide->MaximumLength - Wide->Length - sizeof(WCHAR);

    if (RtlUTF8ToUnicodeN(Wide->Buffer + Wide->Length / sizeof(WCHAR), Room, &Bytes, Text, CmpChars(Text)) !=
        STATUS_SUCCESS) {
        return FALSE;
    }
    Wide->Length += (USHORT)Bytes;
    Wide->Buffer[Wide->Length / sizeof(WCHAR)] = 0;
    return TRUE;
}

static NTSTATUS CmpOpenTyped(PCSTR Path, BOOLEAN Create, PHANDLE Key)
{
    static WCHAR Buffer[CMP_PATH_CHARS];
    UNICODE_STRING Name = {0, sizeof(Buffer), Buffer};
    OBJECT_ATTRIBUTES Attributes;

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(CmpRoots); Index++) {
        ULONG Count = CmpChars(CmpRoots[Index].Short);

        if (CmpSame(Path, CmpRoots[Index].Short, Count) && (Path[Count] == '\\' || Path[Count] == 0)) {
            CmpWiden(CmpRoots[Index].Long, &Name);
            Path += Count;
            break;
        }
    }
    if (!CmpWiden(Path, &Name)) {
        return STATUS_OBJECT_NAME_INVALID;
    }
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return Create ? ZwCreateKey(Key, KEY_ALL_ACCESS, &Attributes, 0, NULL, 0, NULL)
                  : ZwOpenKey(Key, KEY_ALL_ACCESS, &Attributes);
}

static VOID CmpShowData(ULONG Type, PUCHAR Data, ULONG Bytes)
{
    if (Type == REG_DWORD && Bytes == sizeof(ULONG)) {
        ConPrint("0x%x (%u)", (unsigned)*(PULONG)Data, (unsigned)*(PULONG)Data);
    } else if (Type == REG_SZ || Type == REG_EXPAND_SZ || Type == REG_LINK || Type == REG_MULTI_SZ) {
        for (ULONG Index = 0; Index < Bytes / sizeof(WCHAR); Index++) {
            WCHAR Character = ((PWCHAR)Data)[Index];

            if (Character != 0) {
                ConPrint("%wc", Character);
            } else if (Type == REG_MULTI_SZ && Index + 2 < Bytes / sizeof(WCHAR)) {
                ConPrint(" | ");
            }
        }
    } else {
        for (ULONG Index = 0; Index < min(Bytes, CMP_HEX_BYTES); Index++) {
            ConPrint("%02x ", Data[Index]);
        }
        if (Bytes > CMP_HEX_BYTES) {
            ConPrint("... (%u bytes)", (unsigned)Bytes);
        }
    }
    ConPrint("\n");
}

static NTSTATUS CmpShowKey(HANDLE Key, PVOID Room)
{
    PKEY_VALUE_FULL_INFORMATION Value = Room;
    PKEY_BASIC_INFORMATION Sub = Room;
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG Length;

    for (ULONG Index = 0; Status != STATUS_NO_MORE_ENTRIES; Index++) {
        Status = ZwEnumerateValueKey(Key, Index, KeyValueFullInformation, Value, CMP_ROOM, &Length);
        if (NT_SUCCESS(Status)) {
            UNICODE_STRING Name = {(USHORT)Value->NameLength, (USHORT)Value->NameLength, Value->Name};
            static UNICODE_STRING Default = RTL_CONSTANT_STRING(L"(default)");

            ConPrint("    %-20wZ %-14s ", (Name.Length == 0) ? &Default : &Name,
                     (Value->Type < RTL_NUMBER_OF(CmpTypes)) ? CmpTypes[Value->Type] : "REG_?");
            CmpShowData(Value->Type, (PUCHAR)Value + Value->DataOffset, Value->DataLength);
        } else if (Status == STATUS_BUFFER_OVERFLOW) {
            ConPrint("    (a value of %u bytes)\n", (unsigned)Value->DataLength);
        } else if (Status != STATUS_NO_MORE_ENTRIES) {
            return Status;
        }
    }
    for (ULONG Index = 0;; Index++) {
        Status = ZwEnumerateKey(Key, Index, KeyBasicInformation, Sub, CMP_ROOM, &Length);
        if (!NT_SUCCESS(Status)) {
            return (Status == STATUS_NO_MORE_ENTRIES) ? STATUS_SUCCESS : Status;
        }
        UNICODE_STRING Name = {(USHORT)Sub->NameLength, (USHORT)Sub->NameLength, Sub->Name};

        ConPrint("    \\%wZ\n", &Name);
    }
}

/* Stores typed data of a type the user named. STATUS_INVALID_PARAMETER: that type cannot be typed, or not so. */
static NTSTATUS CmpAddTyped(HANDLE Key, PCSTR ValueName, PCSTR Type, PCSTR Data, PVOID Room)
{
    WCHAR NameBuffer[128];
    UNICODE_STRING Name = {0, sizeof(NameBuffer), NameBuffer}, Text = {0, CMP_ROOM, Room};
    ULONG Number;

    if (!CmpWiden(ValueName, &Name) || !CmpWiden(Data, &Text)) {
        return STATUS_INVALID_PARAMETER;
    }
    if (CmpSame(Type, "REG_DWORD", 9)) {
        NTSTATUS Status = (Data[0] >= '0' && Data[0] <= '9') ? RtlUnicodeStringToInteger(&Text, 0, &Number)
                                                             : STATUS_INVALID_PARAMETER;

        return NT_SUCCESS(Status) ? ZwSetValueKey(Key, &Name, 0, REG_DWORD, &Number, sizeof(Number)) : Status;
    }
    if (CmpSame(Type, "REG_SZ", 6)) {
        return ZwSetValueKey(Key, &Name, 0, REG_SZ, Text.Buffer, Text.Length + sizeof(WCHAR));
    }
    if (CmpSame(Type, "REG_EXPAND_SZ", 13)) {
        return ZwSetValueKey(Key, &Name, 0, REG_EXPAND_SZ, Text.Buffer, Text.Length + sizeof(WCHAR));
    }
    return STATUS_INVALID_PARAMETER;
}

static NTSTATUS CmpDeleteTyped(HANDLE Key, PCSTR ValueName)
{
    WCHAR NameBuffer[128];
    UNICODE_STRING Name = {0, sizeof(NameBuffer), NameBuffer};

    if (ValueName == NULL) {
        return ZwDeleteKey(Key);
    }
    return CmpWiden(ValueName, &Name) ? ZwDeleteValueKey(Key, &Name) : STATUS_INVALID_PARAMETER;
}

static VOID CmpRegCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    BOOLEAN Query = ArgumentCount == 3 && CmpSame(Arguments[1], "query", 5);
    BOOLEAN Add = (ArgumentCount == 3 || ArgumentCount == 6) && CmpSame(Arguments[1], "add", 3);
    BOOLEAN Delete = (ArgumentCount == 3 || ArgumentCount == 4) && CmpSame(Arguments[1], "delete", 6);
    PVOID Room;
    HANDLE Key;
    NTSTATUS Status;

    if (!Query && !Add && !Delete) {
        ConPrint("reg: usage: reg query KEY | reg add KEY [VALUE REG_SZ|REG_EXPAND_SZ|REG_DWORD DATA] | "
                 "reg delete KEY [VALUE]\n");
        return;
    }
    Room = ExAllocatePoolWithTag(PagedPool, CMP_ROOM, CON_POOL_TAG);
    Status = (Room != NULL) ? CmpOpenTyped(Arguments[2], Add, &Key) : STATUS_NO_MEMORY;
    if (NT_SUCCESS(Status)) {
        if (Query) {
            Status = CmpShowKey(Key, Room);
        } else if (Delete) {
            Status = CmpDeleteTyped(Key, (ArgumentCount == 4) ? Arguments[3] : NULL);
        } else if (ArgumentCount == 6) {
            Status = CmpAddTyped(Key, Arguments[3], Arguments[4], Arguments[5], Room);
        }
        ZwClose(Key);
    }
    if (!NT_SUCCESS(Status)) {
        ConpPrintStatus("reg", Arguments[2], Status);
    }
    if (Room != NULL) {
        ExFreePoolWithTag(Room, CON_POOL_TAG);
    }
}

CONSOLE_COMMAND(CmpReg, "reg", "query|add|delete KEY [VALUE [TYPE DATA]]", "show or change the registry",
                CmpRegCommand);
