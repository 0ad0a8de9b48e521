/*
 * show.c - the console's view of single objects and of handle tables: `object` and `handles`.
 *
 * An object is named by its path or by the address of its body. An address is believed only if a live pool block with an object's
 * header begins before it, so that a slip of the finger prints a line instead of stopping the machine. Snapshots, no locks held.
 * IRQL: PASSIVE_LEVEL, in the console's thread.
 */
#include <ntos/console.h>
#include <ntos/ke.h>
#include <ntos/pool.h>
#include <ntos/ps.h>
#include <ntos/rtl.h>

#include "handletable.h"

/* Objects a listing of handles shows before it only counts. */
#define OBP_SHOWN_HANDLES 200U

static ULONG64 ObpParseAddress(PCSTR Text)
{
    ULONG64 Value = 0;

    if (Text[0] == '0' && (Text[1] == 'x' || Text[1] == 'X')) {
        Text += 2;
    }
    for (; *Text != 0; Text++) {
        CHAR Letter = (CHAR)(*Text | 0x20);

        if (*Text >= '0' && *Text <= '9') {
            Value = Value * 16 + (ULONG64)(*Text - '0');
        } else if (Letter >= 'a' && Letter <= 'f') {
            Value = Value * 16 + (ULONG64)(Letter - 'a') + 10;
        } else if (Letter != '`') {
            return 0;
        }
    }
    return Value;
}

/* The object at an address, referenced; NULL: there is none. */
static PVOID ObpObjectAt(ULONG64 Address)
{
    POBJECT_HEADER Header = (POBJECT_HEADER)Address - 1; /* NOLINT(performance-no-int-to-ptr): typed by the user */
    SIZE_T Bytes;
    ULONG Tag;

    if (Address == 0 || !ExCheckPoolBlock(Header, &Bytes, &Tag) || Bytes < sizeof(*Header) ||
        !ObpIsType(Header->Type) || Header->Type->Info.PoolTag != Tag || !ObReferenceObjectSafe(ObpBody(Header))) {
        return NULL;
    }
    return ObpBody(Header);
}

static PVOID ObpObjectNamed(PCSTR Text)
{
    WCHAR Path[256];
    UNICODE_STRING Name;
    ULONG Length = 0;
    PVOID Object;

    if (Text[0] != '\\') {
        return ObpObjectAt(ObpParseAddress(Text));
    }
    for (; Length < RTL_NUMBER_OF(Path) - 1 && Text[Length] != 0; Length++) {
        Path[Length] = (UCHAR)Text[Length];
    }
    Path[Length] = 0;
    RtlInitUnicodeString(&Name, Path);
    return NT_SUCCESS(ObReferenceObjectByName(&Name, OBJ_CASE_INSENSITIVE | OBJ_OPENLINK, NULL, 0, NULL, KernelMode,
                                              NULL, &Object))
               ? Object
               : NULL;
}

static VOID ObpPrintName(PVOID Object)
{
    ULONG Length = 0;
    POBJECT_NAME_INFORMATION Info;

    ObQueryNameString(Object, NULL, 0, &Length);
    Info = (Length == 0) ? NULL : ExAllocatePoolWithTag(NonPagedPool, Length, OB_TAG_NAME);
    if (Info != NULL && NT_SUCCESS(ObQueryNameString(Object, Info, Length, &Length)) && Info->Name.Length != 0) {
        ConPrint(" %wZ", &Info->Name);
    }
    if (Info != NULL) {
        ExFreePoolWithTag(Info, OB_TAG_NAME);
    }
}

static VOID ObpObjectCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    PVOID Object = (ArgumentCount >= 2) ? ObpObjectNamed(Arguments[1]) : NULL;
    POBJECT_HEADER Header;

    if (Object == NULL) {
        ConPrint("object: no object has that path or address\n");
        return;
    }
    Header = ObpHeader(Object);
    ConPrint("%p %wZ", Object, &Header->Type->Name);
    ObpPrintName(Object);
    ConPrint("\n  %lld pointers, %lld handles%s%s%s\n", Header->PointerCount - 1, Header->HandleCount,
             (Header->Flags & OBP_FLAG_PERMANENT) != 0 ? ", permanent" : "",
             (Header->Flags & OBP_FLAG_EXCLUSIVE) != 0 ? ", exclusive" : "",
             (Header->Flags & OBP_FLAG_KERNEL_ONLY) != 0 ? ", made by the kernel" : "");
#if NT_CHK
    if (ArgumentCount >= 3) {
        ObpPrintTrace(Object);
    }
#endif
    ObfDereferenceObject(Object);
}

CONSOLE_COMMAND(ObpObject, "object", "PATH|ADDRESS [refs]", "one object, and who references it (see obtrace)",
                ObpObjectCommand);

/* One line for a handle that is in use. */
static BOOLEAN ObpShowHandle(PHANDLE_TABLE Table, ULONG Index)
{
    KIRQL Irql;
    POBP_HANDLE_ENTRY Entry = ObpLockEntry(Table, Index, &Irql);
    ACCESS_MASK Granted;
    ULONG64 Value;
    PVOID Object;

    if (Entry == NULL) {
        return FALSE;
    }
    Value = Entry->Value;
    Granted = Entry->Granted;
    Object = ObpEntryObject(Value);
    ObfReferenceObject(Object);
    ObpUnlockEntry(Entry, Value, Irql);
    ConPrint("%8x %p %08x %c%c%c %wZ", (unsigned)Index * 4, Object, (unsigned)Granted,
             (Value & OBP_ENTRY_INHERIT) != 0 ? 'i' : '-', (Value & OBP_ENTRY_PROTECT) != 0 ? 'p' : '-',
             (Value & OBP_ENTRY_AUDIT) != 0 ? 'a' : '-', &ObGetObjectType(Object)->Name);
    ObpPrintName(Object);
    ConPrint("\n");
    ObfDereferenceObject(Object);
    return TRUE;
}

static VOID ObpHandlesCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    PHANDLE_TABLE Table = ObpKernelHandleTable;
    ULONG Shown = 0;

    UNREFERENCED_PARAMETER(ArgumentCount);
    UNREFERENCED_PARAMETER(Arguments);
    ConPrint("%8s %-18s %8s %-3s %s\n", "handle", "object", "access", "ipa", "type and name");
    for (ULONG Index = 1; Index < ObpTableCapacity(Table) && Shown < OBP_SHOWN_HANDLES; Index++) {
        Shown += ObpShowHandle(Table, Index) ? 1 : 0;
    }
    ConPrint("%u kernel handles, room for %u\n", (unsigned)ObpTableCount(Table), (unsigned)ObpTableCapacity(Table));
}

CONSOLE_COMMAND(ObpHandles, "handles", "", "the kernel's handles", ObpHandlesCommand);
