/*
 * regquery.c - RtlQueryRegistryValues: many values with one call, by a table.
 *
 * The table is walked entry by entry with a current key: SUBKEY moves it, TOPKEY moves it back. An entry asks for one value by name, or
 * (without a name) for all of the current key's. A value is delivered to the entry's routine, or with DIRECT stored where
 * EntryContext points; a missing one is replaced by the entry's default, if it has one. What is delivered is a copy made here with
 * NULs at its end, so a string that was stored without one is safe to read.
 *
 * IRQL: PASSIVE_LEVEL. Locks: none of its own. Source: documentation of RtlQueryRegistryValues.
 */
#include "rtlreg.h"
#include "rtlstring.h"

#define RTLP_DIRECT_HEADER 8U /* bytes before the data in a buffer of positive size: length and type */

typedef struct _RTLP_QUERY {
    ULONG RelativeTo;
    HANDLE Top, Current; /* Current is Top, or a subkey opened here */
    PVOID Context;
    PCWSTR Environment;
} RTLP_QUERY, *PRTLP_QUERY;

/* A value in memory: Data is followed by two NULs that Bytes does not count. */
typedef struct _RTLP_VALUE {
    PWSTR Name;
    ULONG Type;
    ULONG Bytes;
    PVOID Data;
} RTLP_VALUE, *PRTLP_VALUE;

static BOOLEAN RtlpIsString(ULONG Type)
{
    return Type == REG_SZ || Type == REG_EXPAND_SZ || Type == REG_MULTI_SZ;
}

/* Stores a string where a UNICODE_STRING is; a buffer is allocated if it has none. */
static NTSTATUS RtlpStoreString(PUNICODE_STRING String, const RTLP_VALUE *Value)
{
    ULONG Bytes = Value->Bytes;

    if (Bytes > MAXUSHORT) {
        return STATUS_BUFFER_OVERFLOW;
    }
    if (String->Buffer == NULL) {
        String->Buffer = ExAllocatePoolWithTag(PagedPool, max(Bytes, sizeof(WCHAR)), RTLP_STRING_TAG);
        if (String->Buffer == NULL) {
            return STATUS_NO_MEMORY;
        }
        String->MaximumLength = (USHORT)max(Bytes, sizeof(WCHAR));
    } else if (Bytes > String->MaximumLength) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    RtlCopyMemory(String->Buffer, Value->Data, Bytes);
    String->Length = (USHORT)Bytes;
    if (Bytes >= sizeof(WCHAR) && String->Buffer[Bytes / sizeof(WCHAR) - 1] == 0) {
        String->Length -= sizeof(WCHAR);
    } else if (Bytes + sizeof(WCHAR) <= String->MaximumLength) {
        String->Buffer[Bytes / sizeof(WCHAR)] = 0;
    }
    return STATUS_SUCCESS;
}

/* DIRECT: up to four bytes go straight there; more into a buffer whose first LONG says its size, and by its sign its form. */
static NTSTATUS RtlpStoreDirect(PVOID Destination, const RTLP_VALUE *Value)
{
    PLONG Header = Destination;
    LONG Room;

    if (RtlpIsString(Value->Type)) {
        return RtlpStoreString(Destination, Value);
    }
    if (Value->Bytes <= sizeof(ULONG)) {
        RtlCopyMemory(Destination, Value->Data, Value->Bytes);
        return STATUS_SUCCESS;
    }
    Room = *Header;
    if (Room < 0) {
        if (Value->Bytes > 0U - (ULONG)Room) {
            return STATUS_BUFFER_TOO_SMALL;
        }
        RtlCopyMemory(Destination, Value->Data, Value->Bytes);
        return STATUS_SUCCESS;
    }
    if (Value->Bytes > MAXULONG - RTLP_DIRECT_HEADER || Value->Bytes + RTLP_DIRECT_HEADER > (ULONG)Room) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    Header[0] = (LONG)Value->Bytes;
    Header[1] = (LONG)Value->Type;
    RtlCopyMemory((PUCHAR)Destination + RTLP_DIRECT_HEADER, Value->Data, Value->Bytes);
    return STATUS_SUCCESS;
}

static NTSTATUS RtlpGive(PRTLP_QUERY Query, PRTL_QUERY_REGISTRY_TABLE Entry, const RTLP_VALUE *Value)
{
    if ((Entry->Flags & RTL_QUERY_REGISTRY_DIRECT) != 0) {
        return RtlpStoreDirect(Entry->EntryContext, Value);
    }
    return Entry->QueryRoutine(Value->Name, Value->Type, Value->Data, Value->Bytes, Query->Context,
                               Entry->EntryContext);
}

/* A REG_MULTI_SZ, string by string. */
static NTSTATUS RtlpGiveEach(PRTLP_QUERY Query, PRTL_QUERY_REGISTRY_TABLE Entry, const RTLP_VALUE *Value)
{
    PWSTR Next = Value->Data, End = (PWSTR)((PUCHAR)Value->Data + Value->Bytes);
    NTSTATUS Status = STATUS_SUCCESS;

    while (NT_SUCCESS(Status) && Next < End && *Next != 0) {
        RTLP_VALUE One = {Value->Name, REG_SZ, 0, Next};

        while (*Next != 0) { /* two NULs follow the data */
            Next++;
        }
        Next++;
        One.Bytes = (ULONG)((PUCHAR)Next - (PUCHAR)One.Data);
        Status = RtlpGive(Query, Entry, &One);
    }
    return Status;
}

static NTSTATUS RtlpGiveExpanded(PRTLP_QUERY Query, PRTL_QUERY_REGISTRY_TABLE Entry, const RTLP_VALUE *Value)
{
    RTLP_VALUE Expanded = {Value->Name, REG_SZ, 0, NULL};
    ULONG Chars = 0, Room;
    NTSTATUS Status;

    while (Chars < Value->Bytes / sizeof(WCHAR) && ((PWSTR)Value->Data)[Chars] != 0) {
        Chars++;
    }
    Room = RtlpExpandEnvironment(Query->Environment, Value->Data, Chars, NULL, 0);
    Expanded.Bytes = (Room + 1) * sizeof(WCHAR);
    Expanded.Data = ExAllocatePoolWithTag(PagedPool, Expanded.Bytes, RTLP_REGISTRY_TAG);
    if (Expanded.Data == NULL) {
        return STATUS_NO_MEMORY;
    }
    RtlpExpandEnvironment(Query->Environment, Value->Data, Chars, Expanded.Data, Room);
    ((PWSTR)Expanded.Data)[Room] = 0;
    Status = RtlpGive(Query, Entry, &Expanded);
    ExFreePoolWithTag(Expanded.Data, RTLP_REGISTRY_TAG);
    return Status;
}

static NTSTATUS RtlpDeliver(PRTLP_QUERY Query, PRTL_QUERY_REGISTRY_TABLE Entry, const RTLP_VALUE *Value)
{
    BOOLEAN Expand = (Entry->Flags & RTL_QUERY_REGISTRY_NOEXPAND) == 0;

    if ((Entry->Flags & RTL_QUERY_REGISTRY_TYPECHECK) != 0 && (Entry->Flags & RTL_QUERY_REGISTRY_DIRECT) != 0) {
        ULONG Wanted = (Entry->DefaultType & RTL_QUERY_REGISTRY_TYPECHECK_MASK) >> RTL_QUERY_REGISTRY_TYPECHECK_SHIFT;

        if (Wanted != Value->Type) {
            return STATUS_OBJECT_TYPE_MISMATCH;
        }
    }
    if (Expand && Value->Type == REG_MULTI_SZ && (Entry->Flags & RTL_QUERY_REGISTRY_DIRECT) == 0) {
        return RtlpGiveEach(Query, Entry, Value);
    }
    if (Expand && Value->Type == REG_EXPAND_SZ) {
        return RtlpGiveExpanded(Query, Entry, Value);
    }
    return RtlpGive(Query, Entry, Value);
}

/* Bytes of a default string with its terminator, when the table does not say. */
static ULONG RtlpDefaultBytes(ULONG Type, PCWSTR Text)
{
    ULONG Count = 0;

    do {
        while (Text[Count] != 0) {
            Count++;
        }
        Count++;
    } while (Type == REG_MULTI_SZ && Text[Count] != 0);
    return (Count + (Type == REG_MULTI_SZ)) * sizeof(WCHAR);
}

/* What an entry gets whose value is missing. */
static NTSTATUS RtlpDeliverDefault(PRTLP_QUERY Query, PRTL_QUERY_REGISTRY_TABLE Entry)
{
    RTLP_VALUE Value = {(PWSTR)Entry->Name, Entry->DefaultType & ~RTL_QUERY_REGISTRY_TYPECHECK_MASK,
                        Entry->DefaultLength, Entry->DefaultData};
    RTL_QUERY_REGISTRY_TABLE Trusted = *Entry;
    PUCHAR Copy;
    NTSTATUS Status;

    if ((Entry->Flags & RTL_QUERY_REGISTRY_REQUIRED) != 0) {
        return STATUS_OBJECT_NAME_NOT_FOUND;
    }
    if (Value.Type == REG_NONE) {
        return STATUS_SUCCESS;
    }
    if (Value.Bytes == 0 && Value.Data != NULL && RtlpIsString(Value.Type)) {
        Value.Bytes = RtlpDefaultBytes(Value.Type, Value.Data);
    }
    Copy = ExAllocatePoolWithTag(PagedPool, Value.Bytes + 2 * sizeof(WCHAR), RTLP_REGISTRY_TAG);
    if (Copy == NULL) {
        return STATUS_NO_MEMORY;
    }
    RtlCopyMemory(Copy, Entry->DefaultData, Value.Bytes);
    RtlZeroMemory(Copy + Value.Bytes, 2 * sizeof(WCHAR));
    Value.Data = Copy;
    Trusted.Flags &= ~RTL_QUERY_REGISTRY_TYPECHECK; /* the caller's own data */
    Status = RtlpDeliver(Query, &Trusted, &Value);
    ExFreePoolWithTag(Copy, RTLP_REGISTRY_TAG);
    return Status;
}

/*
 * Reads a value by name (Name not NULL) or number, with the NULs, into pool. *Block is the caller's to free.
 * STATUS_OBJECT_NAME_NOT_FOUND, STATUS_NO_MORE_ENTRIES, STATUS_NO_MEMORY, the services' errors.
 */
static NTSTATUS RtlpReadValue(HANDLE Key, PUNICODE_STRING Name, ULONG Index, PKEY_VALUE_FULL_INFORMATION *Block,
                              PRTLP_VALUE Value)
{
    ULONG Room = 256, Needed; /* enough for most values */
    NTSTATUS Status;

    for (;;) {
        PKEY_VALUE_FULL_INFORMATION Info =
            ExAllocatePoolWithTag(PagedPool, Room + 3 * sizeof(WCHAR), RTLP_REGISTRY_TAG);
        PUCHAR Data;

        if (Info == NULL) {
            return STATUS_NO_MEMORY;
        }
        Status = (Name != NULL) ? ZwQueryValueKey(Key, Name, KeyValueFullInformation, Info, Room, &Needed)
                                : ZwEnumerateValueKey(Key, Index, KeyValueFullInformation, Info, Room, &Needed);
        if (NT_SUCCESS(Status)) {
            Data = (PUCHAR)Info + Info->DataOffset;
            if (Info->DataLength == 0) { /* no data: DataOffset may lie beyond the answer */
                Data = (PUCHAR)Info + ALIGN_UP_BY(Needed, sizeof(WCHAR));
            }
            RtlZeroMemory(Data + Info->DataLength, 2 * sizeof(WCHAR));
            *Value = (RTLP_VALUE){NULL, Info->Type, Info->DataLength, Data};
            *Block = Info;
            return STATUS_SUCCESS;
        }
        ExFreePoolWithTag(Info, RTLP_REGISTRY_TAG);
        if (Status != STATUS_BUFFER_OVERFLOW && Status != STATUS_BUFFER_TOO_SMALL) {
            return Status;
        }
        Room = Needed + sizeof(ULONG);
    }
}

static NTSTATUS RtlpQueryOne(PRTLP_QUERY Query, PRTL_QUERY_REGISTRY_TABLE Entry)
{
    PKEY_VALUE_FULL_INFORMATION Block;
    UNICODE_STRING Name;
    RTLP_VALUE Value;
    NTSTATUS Status;

    RtlInitUnicodeString(&Name, Entry->Name);
    Status = RtlpReadValue(Query->Current, &Name, 0, &Block, &Value);
    if (Status == STATUS_OBJECT_NAME_NOT_FOUND) {
        return RtlpDeliverDefault(Query, Entry);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Value.Name = (PWSTR)Entry->Name;
    Status = RtlpDeliver(Query, Entry, &Value);
    ExFreePoolWithTag(Block, RTLP_REGISTRY_TAG);
    if (NT_SUCCESS(Status) && (Entry->Flags & RTL_QUERY_REGISTRY_DELETE) != 0) {
        ZwDeleteValueKey(Query->Current, &Name);
    }
    return Status;
}

/* All values of the current key to the entry's routine, each with its own name. */
static NTSTATUS RtlpQueryAll(PRTLP_QUERY Query, PRTL_QUERY_REGISTRY_TABLE Entry)
{
    PKEY_VALUE_FULL_INFORMATION Block;
    UNICODE_STRING Counted;
    RTLP_VALUE Value;
    ULONG Index = 0;
    NTSTATUS Status;

    while (NT_SUCCESS(Status = RtlpReadValue(Query->Current, NULL, Index, &Block, &Value))) {
        PWSTR Name = ExAllocatePoolWithTag(PagedPool, Block->NameLength + sizeof(WCHAR), RTLP_REGISTRY_TAG);

        Status = STATUS_NO_MEMORY;
        if (Name != NULL) {
            RtlCopyMemory(Name, Block->Name, Block->NameLength);
            Name[Block->NameLength / sizeof(WCHAR)] = 0;
            Value.Name = Name;
            Status = RtlpDeliver(Query, Entry, &Value);
            if (NT_SUCCESS(Status) && (Entry->Flags & RTL_QUERY_REGISTRY_DELETE) != 0) {
                RtlInitUnicodeString(&Counted, Name);
                ZwDeleteValueKey(Query->Current, &Counted);
            } else {
                Index++; /* what follows a deleted value moves up to its number */
            }
            ExFreePoolWithTag(Name, RTLP_REGISTRY_TAG);
        }
        ExFreePoolWithTag(Block, RTLP_REGISTRY_TAG);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    }
    if (Status != STATUS_NO_MORE_ENTRIES) {
        return Status;
    }
    return (Index == 0 && (Entry->Flags & RTL_QUERY_REGISTRY_REQUIRED) != 0) ? STATUS_OBJECT_NAME_NOT_FOUND
                                                                             : STATUS_SUCCESS;
}

static VOID RtlpLeaveSubKey(PRTLP_QUERY Query)
{
    if (Query->Current != Query->Top) {
        ZwClose(Query->Current);
        Query->Current = Query->Top;
    }
}

static NTSTATUS RtlpEnterSubKey(PRTLP_QUERY Query, PRTL_QUERY_REGISTRY_TABLE Entry)
{
    HANDLE Key;
    NTSTATUS Status;

    if (Entry->Name == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    RtlpLeaveSubKey(Query);
    Status = RtlpOpenSubKey(Query->Top, Entry->Name, KEY_READ | KEY_SET_VALUE, &Key);
    if (!NT_SUCCESS(Status)) {
        return (Status == STATUS_OBJECT_NAME_NOT_FOUND && (Entry->Flags & RTL_QUERY_REGISTRY_REQUIRED) == 0)
                   ? STATUS_SUCCESS
                   : Status;
    }
    Query->Current = Key;
    return (Entry->QueryRoutine != NULL) ? RtlpQueryAll(Query, Entry) : STATUS_SUCCESS;
}

static NTSTATUS RtlpRunEntry(PRTLP_QUERY Query, PRTL_QUERY_REGISTRY_TABLE Entry)
{
    BOOLEAN Direct = (Entry->Flags & RTL_QUERY_REGISTRY_DIRECT) != 0;

    if (Direct &&
        (Entry->Name == NULL || Entry->EntryContext == NULL || (Entry->Flags & RTL_QUERY_REGISTRY_SUBKEY) != 0)) {
        return STATUS_INVALID_PARAMETER;
    }
    if ((Entry->Flags & (RTL_QUERY_REGISTRY_TOPKEY | RTL_QUERY_REGISTRY_SUBKEY)) != 0) {
        RtlpLeaveSubKey(Query);
    }
    if ((Entry->Flags & RTL_QUERY_REGISTRY_SUBKEY) != 0) {
        return RtlpEnterSubKey(Query, Entry);
    }
    if ((Entry->Flags & RTL_QUERY_REGISTRY_NOVALUE) != 0) {
        return (Entry->QueryRoutine == NULL)
                   ? STATUS_SUCCESS
                   : Entry->QueryRoutine(NULL, REG_NONE, NULL, 0, Query->Context, Entry->EntryContext);
    }
    if (Entry->Name != NULL) {
        return RtlpQueryOne(Query, Entry);
    }
    return RtlpQueryAll(Query, Entry);
}

/**
 * RtlQueryRegistryValues - reads the values that a table asks for.
 *
 * @RelativeTo   RTL_REGISTRY_*; with RTL_REGISTRY_OPTIONAL a missing key is no error
 * @Path         below that place, or (RTL_REGISTRY_HANDLE) a key's handle
 * @QueryTable   ends with an entry that has neither a routine nor the flag SUBKEY or DIRECT
 * @Context      for the routines
 * @Environment  for REG_EXPAND_SZ, see rtlreg.h
 * returns       STATUS_SUCCESS; STATUS_OBJECT_NAME_NOT_FOUND (the key, or a REQUIRED value or subkey); STATUS_INVALID_PARAMETER (an
 *               entry that makes no sense); STATUS_BUFFER_TOO_SMALL, STATUS_OBJECT_TYPE_MISMATCH (DIRECT); a routine's error, which
 *               ends the query; STATUS_NO_MEMORY
 *
 * IRQL: PASSIVE_LEVEL.  A string that DIRECT allocated is the caller's: RtlFreeUnicodeString.
 */
NTSTATUS NTAPI RtlQueryRegistryValues(ULONG RelativeTo, PCWSTR Path, PRTL_QUERY_REGISTRY_TABLE QueryTable,
                                      PVOID Context, PVOID Environment)
{
    RTLP_QUERY Query = {.RelativeTo = RelativeTo, .Context = Context, .Environment = Environment};
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    Status = RtlpOpenRegistryKey(RelativeTo, Path, KEY_READ | KEY_SET_VALUE, FALSE, &Query.Top);
    if (!NT_SUCCESS(Status)) {
        return (Status == STATUS_OBJECT_NAME_NOT_FOUND && (RelativeTo & RTL_REGISTRY_OPTIONAL) != 0) ? STATUS_SUCCESS
                                                                                                     : Status;
    }
    Query.Current = Query.Top;
    for (PRTL_QUERY_REGISTRY_TABLE Entry = QueryTable;
         NT_SUCCESS(Status) &&
         (Entry->QueryRoutine != NULL || (Entry->Flags & (RTL_QUERY_REGISTRY_SUBKEY | RTL_QUERY_REGISTRY_DIRECT)) != 0);
         Entry++) {
        Status = RtlpRunEntry(&Query, Entry);
    }
    RtlpLeaveSubKey(&Query);
    RtlpCloseRegistryKey(RelativeTo, Query.Top);
    return Status;
}
