/*
 * regpath.c - registry helpers by path: RtlCheckRegistryKey, RtlCreateRegistryKey, RtlWriteRegistryValue, RtlDeleteRegistryValue.
 *
 * RelativeTo names a well-known place that Path is below (RTL_REGISTRY_SERVICES, ...), or says that Path is itself a whole path
 * (RTL_REGISTRY_ABSOLUTE) or a handle (RTL_REGISTRY_HANDLE). Everything goes through the Zw services, whose locks are
 * theirs. IRQL: PASSIVE_LEVEL. Source: documentation of the routines.
 */
#include <ntos/cm.h>

#include "rtlreg.h"

/* By RTL_REGISTRY_*: the place that a path is relative to. There is no user but the default one. */
static const PCWSTR RtlpPlaces[RTL_REGISTRY_MAXIMUM] = {
    [RTL_REGISTRY_ABSOLUTE] = L"",
    [RTL_REGISTRY_SERVICES] = CM_SERVICES_PATH L"\\",
    [RTL_REGISTRY_CONTROL] = CM_CONTROL_PATH L"\\",
    [RTL_REGISTRY_WINDOWS_NT] = L"\\Registry\\Machine\\Software\\Microsoft\\Windows NT\\CurrentVersion\\",
    [RTL_REGISTRY_DEVICEMAP] = L"\\Registry\\Machine\\Hardware\\DeviceMap\\",
    [RTL_REGISTRY_USER] = L"\\Registry\\User\\.Default\\",
};

static NTSTATUS RtlpUseKey(PUNICODE_STRING Path, HANDLE Root, ACCESS_MASK Access, BOOLEAN Create, PHANDLE Key)
{
    OBJECT_ATTRIBUTES Attributes;

    InitializeObjectAttributes(&Attributes, Path, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, Root, NULL);
    return Create ? ZwCreateKey(Key, Access, &Attributes, 0, NULL, 0, NULL) : ZwOpenKey(Key, Access, &Attributes);
}

NTSTATUS RtlpOpenSubKey(HANDLE Root, PCWSTR Path, ACCESS_MASK Access, PHANDLE Key)
{
    UNICODE_STRING Name;

    RtlInitUnicodeString(&Name, Path);
    return RtlpUseKey(&Name, Root, Access, FALSE, Key);
}

NTSTATUS RtlpOpenRegistryKey(ULONG RelativeTo, PCWSTR Path, ACCESS_MASK Access, BOOLEAN Create, PHANDLE Key)
{
    ULONG Place = RelativeTo & ~(RTL_REGISTRY_OPTIONAL | RTL_REGISTRY_HANDLE);
    UNICODE_STRING Whole, Tail;
    NTSTATUS Status;

    if ((RelativeTo & RTL_REGISTRY_HANDLE) != 0) {
        *Key = (HANDLE)(ULONG_PTR)Path;
        return STATUS_SUCCESS;
    }
    if (Place >= RTL_REGISTRY_MAXIMUM) {
        return STATUS_INVALID_PARAMETER;
    }
    RtlInitUnicodeString(&Whole, RtlpPlaces[Place]);
    RtlInitUnicodeString(&Tail, Path); /* NULL: the place itself */
    if (Whole.Length + Tail.Length > MAXUSHORT - (LONG)sizeof(WCHAR)) {
        return STATUS_NAME_TOO_LONG;
    }
    Whole.MaximumLength = Whole.Length + Tail.Length + sizeof(WCHAR);
    Whole.Buffer = ExAllocatePoolWithTag(PagedPool, Whole.MaximumLength, RTLP_REGISTRY_TAG);
    if (Whole.Buffer == NULL) {
        return STATUS_NO_MEMORY;
    }
    RtlCopyMemory(Whole.Buffer, RtlpPlaces[Place], Whole.Length);
    RtlAppendUnicodeStringToString(&Whole, &Tail);
    Status = RtlpUseKey(&Whole, NULL, Access, Create, Key);
    ExFreePoolWithTag(Whole.Buffer, RTLP_REGISTRY_TAG);
    return Status;
}

/* A caller's own handle stays open. */
VOID RtlpCloseRegistryKey(ULONG RelativeTo, HANDLE Key)
{
    if ((RelativeTo & RTL_REGISTRY_HANDLE) == 0) {
        ZwClose(Key);
    }
}

/* STATUS_SUCCESS: the key is there; STATUS_OBJECT_NAME_NOT_FOUND and the services' other errors. */
NTSTATUS NTAPI RtlCheckRegistryKey(ULONG RelativeTo, PWSTR Path)
{
    HANDLE Key;
    NTSTATUS Status = RtlpOpenRegistryKey(RelativeTo, Path, 0, FALSE, &Key);

    if (NT_SUCCESS(Status)) {
        RtlpCloseRegistryKey(RelativeTo, Key);
    }
    return Status;
}

/* Makes the last key of a path, whose parents exist, unless it is there already. Errors as ZwCreateKey. */
NTSTATUS NTAPI RtlCreateRegistryKey(ULONG RelativeTo, PWSTR Path)
{
    HANDLE Key;
    NTSTATUS Status = RtlpOpenRegistryKey(RelativeTo, Path, KEY_READ, TRUE, &Key);

    if (NT_SUCCESS(Status)) {
        RtlpCloseRegistryKey(RelativeTo, Key);
    }
    return Status;
}

/**
 * RtlWriteRegistryValue - sets a value; the key is made if it is not there.
 *
 * @ValueLength  bytes at ValueData
 * returns       STATUS_SUCCESS or what ZwCreateKey and ZwSetValueKey say
 */
NTSTATUS NTAPI RtlWriteRegistryValue(ULONG RelativeTo, PCWSTR Path, PCWSTR ValueName, ULONG ValueType, PVOID ValueData,
                                     ULONG ValueLength)
{
    UNICODE_STRING Name;
    HANDLE Key;
    NTSTATUS Status = RtlpOpenRegistryKey(RelativeTo, Path, KEY_SET_VALUE, TRUE, &Key);

    if (NT_SUCCESS(Status)) {
        RtlInitUnicodeString(&Name, ValueName);
        Status = ZwSetValueKey(Key, &Name, 0, ValueType, ValueData, ValueLength);
        RtlpCloseRegistryKey(RelativeTo, Key);
    }
    return Status;
}

/* Deletes a value. Errors as ZwOpenKey and ZwDeleteValueKey. */
NTSTATUS NTAPI RtlDeleteRegistryValue(ULONG RelativeTo, PCWSTR Path, PCWSTR ValueName)
{
    UNICODE_STRING Name;
    HANDLE Key;
    NTSTATUS Status = RtlpOpenRegistryKey(RelativeTo, Path, KEY_SET_VALUE, FALSE, &Key);

    if (NT_SUCCESS(Status)) {
        RtlInitUnicodeString(&Name, ValueName);
        Status = ZwDeleteValueKey(Key, &Name);
        RtlpCloseRegistryKey(RelativeTo, Key);
    }
    return Status;
}
