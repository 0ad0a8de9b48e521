/*
 * zw.c (cm) - the Zw faces of the registry's services: the same service with kernel mode as the previous mode.
 *
 * A driver's parameters are trusted and its handles may be kernel handles. Each face sets the previous mode to kernel for the length of
 * the call and nothing else: no checks and no state of its own.
 *
 * IRQL: PASSIVE_LEVEL. Locks: none.
 */
#include <ntos/ke.h>

#include "cmp.h"

#define CMP_AS_KERNEL(Call)                                                                                            \
    do {                                                                                                               \
        KPROCESSOR_MODE Previous = KeSetPreviousMode(KernelMode);                                                      \
        NTSTATUS Status = (Call);                                                                                      \
                                                                                                                       \
        KeSetPreviousMode(Previous);                                                                                   \
        return Status;                                                                                                 \
    } while (0)

NTSTATUS NTAPI ZwCreateKey(PHANDLE KeyHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                           ULONG TitleIndex, PUNICODE_STRING Class, ULONG CreateOptions, PULONG Disposition)
{
    CMP_AS_KERNEL(
        NtCreateKey(KeyHandle, DesiredAccess, ObjectAttributes, TitleIndex, Class, CreateOptions, Disposition));
}

NTSTATUS NTAPI ZwOpenKey(PHANDLE KeyHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes)
{
    CMP_AS_KERNEL(NtOpenKey(KeyHandle, DesiredAccess, ObjectAttributes));
}

NTSTATUS NTAPI ZwOpenKeyEx(PHANDLE KeyHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                           ULONG OpenOptions)
{
    CMP_AS_KERNEL(NtOpenKeyEx(KeyHandle, DesiredAccess, ObjectAttributes, OpenOptions));
}

NTSTATUS NTAPI ZwDeleteKey(HANDLE KeyHandle)
{
    CMP_AS_KERNEL(NtDeleteKey(KeyHandle));
}

NTSTATUS NTAPI ZwFlushKey(HANDLE KeyHandle)
{
    CMP_AS_KERNEL(NtFlushKey(KeyHandle));
}

NTSTATUS NTAPI ZwRenameKey(HANDLE KeyHandle, PUNICODE_STRING NewName)
{
    CMP_AS_KERNEL(NtRenameKey(KeyHandle, NewName));
}

NTSTATUS NTAPI ZwSetInformationKey(HANDLE KeyHandle, KEY_SET_INFORMATION_CLASS KeySetInformationClass,
                                   PVOID KeySetInformation, ULONG KeySetInformationLength)
{
    CMP_AS_KERNEL(NtSetInformationKey(KeyHandle, KeySetInformationClass, KeySetInformation, KeySetInformationLength));
}

NTSTATUS NTAPI ZwQueryKey(HANDLE KeyHandle, KEY_INFORMATION_CLASS KeyInformationClass, PVOID KeyInformation,
                          ULONG Length, PULONG ResultLength)
{
    CMP_AS_KERNEL(NtQueryKey(KeyHandle, KeyInformationClass, KeyInformation, Length, ResultLength));
}

NTSTATUS NTAPI ZwEnumerateKey(HANDLE KeyHandle, ULONG Index, KEY_INFORMATION_CLASS KeyInformationClass,
                              PVOID KeyInformation, ULONG Length, PULONG ResultLength)
{
    CMP_AS_KERNEL(NtEnumerateKey(KeyHandle, Index, KeyInformationClass, KeyInformation, Length, ResultLength));
}

NTSTATUS NTAPI ZwSetValueKey(HANDLE KeyHandle, PUNICODE_STRING ValueName, ULONG TitleIndex, ULONG Type, PVOID Data,
                             ULONG DataSize)
{
    CMP_AS_KERNEL(NtSetValueKey(KeyHandle, ValueName, TitleIndex, Type, Data, DataSize));
}

NTSTATUS NTAPI ZwDeleteValueKey(HANDLE KeyHandle, PUNICODE_STRING ValueName)
{
    CMP_AS_KERNEL(NtDeleteValueKey(KeyHandle, ValueName));
}

NTSTATUS NTAPI ZwQueryValueKey(HANDLE KeyHandle, PUNICODE_STRING ValueName,
                               KEY_VALUE_INFORMATION_CLASS KeyValueInformationClass, PVOID KeyValueInformation,
                               ULONG Length, PULONG ResultLength)
{
    CMP_AS_KERNEL(
        NtQueryValueKey(KeyHandle, ValueName, KeyValueInformationClass, KeyValueInformation, Length, ResultLength));
}

NTSTATUS NTAPI ZwEnumerateValueKey(HANDLE KeyHandle, ULONG Index, KEY_VALUE_INFORMATION_CLASS KeyValueInformationClass,
                                   PVOID KeyValueInformation, ULONG Length, PULONG ResultLength)
{
    CMP_AS_KERNEL(
        NtEnumerateValueKey(KeyHandle, Index, KeyValueInformationClass, KeyValueInformation, Length, ResultLength));
}

NTSTATUS NTAPI ZwNotifyChangeKey(HANDLE KeyHandle, HANDLE EventHandle, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                 PIO_STATUS_BLOCK IoStatusBlock, ULONG NotifyFilter, BOOLEAN WatchSubtree, PVOID Buffer,
                                 ULONG BufferLength, BOOLEAN Asynchronous)
{
    CMP_AS_KERNEL(NtNotifyChangeKey(KeyHandle, EventHandle, ApcRoutine, ApcContext, IoStatusBlock, NotifyFilter,
                                    WatchSubtree, Buffer, BufferLength, Asynchronous));
}
