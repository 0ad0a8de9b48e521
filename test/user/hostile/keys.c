/*
 * keys.c - the registry as it was: keys and values that random calls made below \Registry\Machine are deleted.
 *
 * A handle to that key and a random name make a key anywhere below it, and the registry keeps it when the program has ended: rightly,
 * but then what the program leaves behind could not be told from what the kernel leaks.
 */
#include "hostile.h"

#define KEPT_NAMES  8
#define KEPT_LENGTH 64 /* characters */

typedef union _KEY_ROOM {
    KEY_BASIC_INFORMATION Basic;
    KEY_VALUE_BASIC_INFORMATION Value;
    UCHAR Room[1024];
} KEY_ROOM;

static WCHAR Kept[KEPT_NAMES][KEPT_LENGTH];
static USHORT KeptBytes[KEPT_NAMES];
static ULONG KeptCount;

static HANDLE OpenMachine(VOID)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Registry\\Machine");
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Key;

    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    return NT_SUCCESS(NtOpenKey(&Key, KEY_ALL_ACCESS, &Attributes)) ? Key : NULL;
}

static BOOLEAN NameOfChild(HANDLE Key, ULONG Index, KEY_ROOM *Info)
{
    ULONG Length;

    return NT_SUCCESS(NtEnumerateKey(Key, Index, KeyBasicInformation, Info, sizeof(*Info), &Length));
}

VOID RememberKeys(VOID)
{
    HANDLE Key = OpenMachine();
    KEY_ROOM Info;

    while (Key != NULL && KeptCount < KEPT_NAMES && NameOfChild(Key, KeptCount, &Info)) {
        KeptBytes[KeptCount] = (USHORT)min(Info.Basic.NameLength, sizeof(Kept[0]));
        RtlCopyMemory(Kept[KeptCount], Info.Basic.Name, KeptBytes[KeptCount]);
        KeptCount++;
    }
    NtClose(Key);
}

static BOOLEAN IsKept(const KEY_ROOM *Info)
{
    for (ULONG Index = 0; Index < KeptCount; Index++) {
        if (KeptBytes[Index] == Info->Basic.NameLength &&
            RtlCompareMemory(Kept[Index], Info->Basic.Name, KeptBytes[Index]) == KeptBytes[Index]) {
            return TRUE;
        }
    }
    return FALSE;
}

static HANDLE OpenChild(HANDLE Key, KEY_ROOM *Info)
{
    UNICODE_STRING Name = {(USHORT)Info->Basic.NameLength, (USHORT)Info->Basic.NameLength, Info->Basic.Name};
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Child;

    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, Key, NULL);
    return NT_SUCCESS(NtOpenKeyEx(&Child, KEY_ALL_ACCESS, &Attributes, REG_OPTION_OPEN_LINK)) ? Child : NULL;
}

/* A key with what is below it. FALSE: something of it stays, which somebody is in the way of; it is passed over. */
static BOOLEAN DeleteTree(HANDLE Key, ULONG Depth)
{
    ULONG Index = 0;
    KEY_ROOM Info;
    HANDLE Child;

    while (Depth < 20 && NameOfChild(Key, Index, &Info)) {
        BOOLEAN Gone = FALSE;

        Child = OpenChild(Key, &Info);
        if (Child != NULL) {
            Gone = DeleteTree(Child, Depth + 1);
            NtClose(Child);
        }
        Index += !Gone;
    }
    return NT_SUCCESS(NtDeleteKey(Key));
}

static VOID DeleteValues(HANDLE Key)
{
    KEY_ROOM Info;
    ULONG Length;

    while (NT_SUCCESS(NtEnumerateValueKey(Key, 0, KeyValueBasicInformation, &Info, sizeof(Info), &Length))) {
        UNICODE_STRING Name = {(USHORT)Info.Value.NameLength, (USHORT)Info.Value.NameLength, Info.Value.Name};

        if (!NT_SUCCESS(NtDeleteValueKey(Key, &Name))) {
            break;
        }
    }
}

VOID DeleteNewKeys(VOID)
{
    HANDLE Key = OpenMachine(), Child;
    ULONG Index = 0;
    KEY_ROOM Info;

    while (Key != NULL && NameOfChild(Key, Index, &Info)) {
        BOOLEAN Gone = FALSE;

        Child = IsKept(&Info) ? NULL : OpenChild(Key, &Info);
        if (Child != NULL) {
            Gone = DeleteTree(Child, 0);
            NtClose(Child);
        }
        Index += !Gone;
    }
    if (Key != NULL) {
        DeleteValues(Key);
        NtClose(Key);
    }
}
