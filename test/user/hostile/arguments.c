/*
 * arguments.c - arguments for services: handles of every type and of none, pointers to memory of every kind, structures that are nearly right.
 *
 * Three pieces of memory: Scratch, which another thread writes into all the time and which ends at a page that is not there; Own, where
 * structures stay as they were made; an arena, where the services of virtual memory may do what they like. The same seed makes the same
 * arguments, so a run can be made again; what is written into Scratch meanwhile is not repeated.
 */
#include "hostile.h"

#define ARENA_BYTES 0x100000 /* for services that change the address space: nothing else lies there */
#define HANDLES     24
#define LAST_USER   0x00007FFFFFFEFFFFULL
#define KERNEL      0xFFFFF80000000000ULL

ULONG64 RandomState;
PUCHAR Scratch, Own;

static PUCHAR Arena, ReadOnly, NoAccess; /* NoAccess follows Scratch at once */
static HANDLE Handles[HANDLES];
static ULONG HandleCount;

ULONG Random(ULONG Limit)
{
    RandomState ^= RandomState << 13; /* xorshift64 */
    RandomState ^= RandomState >> 7;
    RandomState ^= RandomState << 17;
    return (ULONG)(RandomState >> 32) % Limit;
}

static ULONG64 Random64(VOID)
{
    return (ULONG64)Random(MAXULONG) << 32 | Random(MAXULONG);
}

/* ---- Memory ---- */

static NTSTATUS Allocate(PUCHAR *Place, SIZE_T Bytes, ULONG Type, ULONG Protection)
{
    PVOID Base = *Place;
    NTSTATUS Status = NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Bytes, Type, Protection);

    *Place = Base;
    return Status;
}

NTSTATUS MakeMemory(VOID)
{
    NTSTATUS Status = Allocate(&Scratch, SCRATCH_BYTES + PAGE_SIZE, MEM_RESERVE, PAGE_READWRITE);

    if (NT_SUCCESS(Status)) {
        Status = Allocate(&Scratch, SCRATCH_BYTES, MEM_COMMIT, PAGE_READWRITE);
        NoAccess = Scratch + SCRATCH_BYTES;
    }
    if (NT_SUCCESS(Status)) {
        Status = Allocate(&Own, 4 * PAGE_SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    }
    if (NT_SUCCESS(Status)) {
        Status = Allocate(&ReadOnly, PAGE_SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY);
    }
    return NT_SUCCESS(Status) ? Allocate(&Arena, ARENA_BYTES, MEM_RESERVE, PAGE_READWRITE) : Status;
}

ULONG64 BadPointer(VOID)
{
    const ULONG64 Bad[] = {0,
                           1,
                           8,
                           (ULONG64)NoAccess,
                           (ULONG64)NoAccess + 1,
                           (ULONG64)ReadOnly + PAGE_SIZE,
                           LAST_USER,
                           LAST_USER - 7,
                           LAST_USER + 1,
                           0x00007FFFFFFFFFF8ULL,
                           0x0000800000000000ULL,
                           0x8000000000000000ULL,
                           0xFFFF800000000000ULL,
                           KERNEL,
                           KERNEL + Random(MAXULONG),
                           0xFFFFF78000000000ULL,
                           0xFFFFF6FB7DBED000ULL,
                           0xFFFFFFFFFFFFFFFFULL,
                           0xFFFFFFFFFFFFFFF8ULL};

    return Bad[Random(RTL_NUMBER_OF(Bad))];
}

/* An address that is mostly good: in Scratch, sometimes at its very end, sometimes not aligned. */
static ULONG64 ScratchPointer(VOID)
{
    ULONG Offset = Random(8) == 0 ? SCRATCH_BYTES - Random(64) : Random(SCRATCH_BYTES - 0x400);

    return (ULONG64)Scratch + (Random(8) == 0 ? Offset : Offset & ~15U);
}

/* ---- Names and attributes ---- */

static PCWSTR const Names[] = {L"",
                               L"\\",
                               L"A",
                               L"B",
                               L"A\\B",
                               L"C\\\\D",
                               L"\\Device\\CdRom0",
                               L"\\Device\\CdRom0\\",
                               L"\\SystemRoot\\System\\hello.exe",
                               L"\\SystemRoot\\System",
                               L"\\SystemRoot\\nothing",
                               L"\\Device",
                               L"\\Device\\",
                               L"\\BaseNamedObjects",
                               L"\\HostileEvent",
                               L"\\??\\D:\\System\\hello.exe",
                               L"\\Registry\\Machine",
                               L"\\Registry\\Machine\\Hostile",
                               L"\\ObjectTypes\\Event",
                               L"noslash\\x"};

/* A place in Own for a structure; they are used in turn. */
static PVOID Place(ULONG Bytes)
{
    static ULONG Next;

    Next = Next + Bytes > 2 * PAGE_SIZE ? 0 : Next;
    Next += (Bytes + 15) & ~15U;
    return Own + Next - ((Bytes + 15) & ~15U);
}

static ULONG64 Name(VOID)
{
    PUNICODE_STRING String = Place(sizeof(*String));

    RtlInitUnicodeString(String, Names[Random(RTL_NUMBER_OF(Names))]);
    switch (Random(12)) {
    case 0:
        String->Length = (USHORT)Random(0x10000);
        break;
    case 1:
        String->Buffer = (PWSTR)BadPointer();
        break;
    case 2:
        String->Buffer = (PWSTR)ScratchPointer();
        String->Length = (USHORT)Random(600);
        break;
    case 3:
        return Random(2) == 0 ? BadPointer() : ScratchPointer();
    default:
        break;
    }
    return (ULONG64)String;
}

ULONG64 RandomHandle(VOID)
{
    switch (Random(12)) {
    case 0:
        return Random(0x1000);
    case 1:
        return Random64();
    case 2:
        return 0xFFFFFFFF80000000ULL | Random(0x400); /* the kernel's */
    case 3:
        return 0xFFFFFFFFFFFFFFFFULL; /* this process */
    default:
        return HandleCount == 0 ? 0 : (ULONG64)Handles[Random(HandleCount)];
    }
}

ULONG64 ObjectAttributes(VOID)
{
    POBJECT_ATTRIBUTES Attributes = Place(sizeof(*Attributes));

    if (Random(10) == 0) {
        return Random(2) == 0 ? BadPointer() : ScratchPointer();
    }
    RtlZeroMemory(Attributes, sizeof(*Attributes));
    Attributes->Length = Random(20) == 0 ? Random(MAXULONG) : sizeof(*Attributes);
    Attributes->RootDirectory = (HANDLE)(Random(2) == 0 ? 0 : RandomHandle());
    Attributes->ObjectName = (PUNICODE_STRING)(Random(6) == 0 ? 0 : Name());
    Attributes->Attributes = Random(4) == 0 ? (Random(0x2000) & ~(ULONG)OBJ_PERMANENT) : OBJ_CASE_INSENSITIVE;
    Attributes->SecurityDescriptor = (PVOID)(Random(4) != 0 ? 0 : Random(2) == 0 ? BadPointer() : ScratchPointer());
    return (ULONG64)Attributes;
}

/* ---- Everything ---- */

static ULONG64 Number(VOID)
{
    const ULONG64 Numbers[] = {0,
                               1,
                               2,
                               3,
                               4,
                               5,
                               8,
                               16,
                               24,
                               32,
                               64,
                               0x1000,
                               0x1001,
                               0x2000,
                               0x3000,
                               0x8000,
                               0x10000,
                               MAXLONG,
                               MAXULONG,
                               0x80000000,
                               0x1F01FF,
                               0x100000,
                               0x20019,
                               0xF003F,
                               0x02000000,
                               0x80000000,
                               0x40000000,
                               0x10000000,
                               0x1F0003,
                               MAXULONG64,
                               0x7FFFFFFFFFFFFFFFULL};

    return Random(4) == 0 ? Random(Random(2) == 0 ? 100 : MAXULONG) : Numbers[Random(RTL_NUMBER_OF(Numbers))];
}

/* A word or two that services read: an address and a size of the arena, a time, a count. */
static ULONG64 WordPointer(VOID)
{
    PULONG64 Words = Place(32);

    for (ULONG Index = 0; Index < 4; Index++) {
        Words[Index] = Random(3) == 0 ? (ULONG64)Arena + (Random(ARENA_BYTES) & ~0xFFFULL) : Number();
    }
    return (ULONG64)Words;
}

ULONG64 RandomArgument(VOID)
{
    switch (Random(10)) {
    case 0:
    case 1:
        return RandomHandle();
    case 2:
    case 3:
        return ScratchPointer();
    case 4:
        return BadPointer();
    case 5:
        return ObjectAttributes();
    case 6:
        return Random(2) == 0 ? Name() : (ULONG64)ReadOnly;
    case 7:
        return WordPointer();
    default:
        return Number();
    }
}

/* ---- Handles ---- */

static VOID Keep(NTSTATUS Status, HANDLE Handle)
{
    if (NT_SUCCESS(Status) && HandleCount < HANDLES) {
        Handles[HandleCount++] = Handle;
    }
}

static VOID MakeNameless(VOID)
{
    CLIENT_ID Self = {0};
    OBJECT_ATTRIBUTES None = {.Length = sizeof(None)};
    HANDLE Handle = NULL;

    Keep(NtCreateEvent(&Handle, EVENT_ALL_ACCESS, NULL, NotificationEvent, TRUE), Handle);
    Keep(NtCreateSemaphore(&Handle, SEMAPHORE_ALL_ACCESS, NULL, 1, 100), Handle);
    Keep(NtCreateMutant(&Handle, STANDARD_RIGHTS_REQUIRED | SYNCHRONIZE | 1, NULL, FALSE), Handle);
    Keep(NtCreateTimer(&Handle, STANDARD_RIGHTS_REQUIRED | SYNCHRONIZE | 3, NULL, SynchronizationTimer), Handle);
    Keep(NtCreateIoCompletion(&Handle, STANDARD_RIGHTS_REQUIRED | SYNCHRONIZE | 3, NULL, 0), Handle);
    Keep(NtCreateDirectoryObject(&Handle, DIRECTORY_ALL_ACCESS, NULL), Handle);
    Keep(NtOpenProcessToken(ZwCurrentProcess(), TOKEN_ALL_ACCESS, &Handle), Handle);
    Self.UniqueProcess = ((PTEB)((PNT_TIB)__readgsqword(0x30))->Self)->ClientId.UniqueProcess;
    Keep(NtOpenProcess(&Handle, PROCESS_ALL_ACCESS, &None, &Self), Handle);
}

static VOID MakeNamed(VOID)
{
    UNICODE_STRING File = RTL_CONSTANT_STRING(L"\\SystemRoot\\System\\hello.exe"),
                   Folder = RTL_CONSTANT_STRING(L"\\SystemRoot\\System"),
                   Key = RTL_CONSTANT_STRING(L"\\Registry\\Machine\\Hostile"),
                   Link = RTL_CONSTANT_STRING(L"\\SystemRoot"), Root = RTL_CONSTANT_STRING(L"\\Device");
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;
    HANDLE Handle = NULL;

    InitializeObjectAttributes(&Attributes, &File, OBJ_CASE_INSENSITIVE, NULL, NULL);
    Keep(NtOpenFile(&Handle, FILE_GENERIC_READ, &Attributes, &Iosb, FILE_SHARE_READ, FILE_SYNCHRONOUS_IO_NONALERT),
         Handle);
    Keep(NtOpenFile(&Handle, FILE_READ_DATA, &Attributes, &Iosb, FILE_SHARE_READ, 0), Handle);
    Attributes.ObjectName = &Folder;
    Keep(NtOpenFile(&Handle, FILE_GENERIC_READ, &Attributes, &Iosb, FILE_SHARE_READ,
                    FILE_SYNCHRONOUS_IO_NONALERT | FILE_DIRECTORY_FILE),
         Handle);
    Attributes.ObjectName = &Key;
    Keep(NtCreateKey(&Handle, KEY_ALL_ACCESS, &Attributes, 0, NULL, REG_OPTION_VOLATILE, NULL), Handle);
    Keep(NtCreateKey(&Handle, KEY_ALL_ACCESS, &Attributes, 0, NULL, REG_OPTION_VOLATILE, NULL), Handle);
    Attributes.ObjectName = &Link;
    Keep(NtOpenSymbolicLinkObject(&Handle, SYMBOLIC_LINK_QUERY, &Attributes), Handle);
    Attributes.ObjectName = &Root;
    Keep(NtOpenDirectoryObject(&Handle, DIRECTORY_QUERY | DIRECTORY_TRAVERSE, &Attributes), Handle);
}

#define HIGHEST_HANDLE 0x2000 /* more than are opened between two closings */

VOID RenewHandles(VOID)
{
    OBJECT_HANDLE_FLAG_INFORMATION Free = {0};

    for (ULONG_PTR Value = 4; Value < HIGHEST_HANDLE; Value += 4) {
        if (NtClose((HANDLE)Value) == STATUS_HANDLE_NOT_CLOSABLE) {
            NtSetInformationObject((HANDLE)Value, ObjectHandleFlagInformation, &Free, sizeof(Free));
            NtClose((HANDLE)Value);
        }
    }
    HandleCount = 0;
    MakeNameless();
    MakeNamed();
}
