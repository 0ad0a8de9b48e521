/*
 * zw.c - the Zw faces of the object services: the same service with kernel mode as the previous mode.
 *
 * Parameters of a Zw call are trusted and its handles may be kernel handles, whatever mode the thread last came from. IRQL:
 * PASSIVE_LEVEL. ZwClose is in handle.c.
 */
#include <ntos/ke.h>

#include "obp.h"

NTSTATUS NTAPI ZwCreateDirectoryObject(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes)
{
    OBP_AS_KERNEL(NtCreateDirectoryObject(Handle, DesiredAccess, Attributes));
}

NTSTATUS NTAPI ZwOpenDirectoryObject(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes)
{
    OBP_AS_KERNEL(NtOpenDirectoryObject(Handle, DesiredAccess, Attributes));
}

NTSTATUS NTAPI ZwCreateSymbolicLinkObject(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes,
                                          PUNICODE_STRING Target)
{
    OBP_AS_KERNEL(NtCreateSymbolicLinkObject(Handle, DesiredAccess, Attributes, Target));
}

NTSTATUS NTAPI ZwOpenSymbolicLinkObject(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes)
{
    OBP_AS_KERNEL(NtOpenSymbolicLinkObject(Handle, DesiredAccess, Attributes));
}

NTSTATUS NTAPI ZwQuerySymbolicLinkObject(HANDLE Handle, PUNICODE_STRING Target, PULONG ReturnedLength)
{
    OBP_AS_KERNEL(NtQuerySymbolicLinkObject(Handle, Target, ReturnedLength));
}

NTSTATUS NTAPI ZwMakeTemporaryObject(HANDLE Handle)
{
    OBP_AS_KERNEL(NtMakeTemporaryObject(Handle));
}
