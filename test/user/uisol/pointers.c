/*
 * pointers.c - services that are given addresses of the kernel where the program's own should be.
 *
 * A call that succeeds, or would, is described once; then each of its pointers in turn is an address of the kernel half. The answer is
 * STATUS_ACCESS_VIOLATION, and nothing is written: one of the addresses is the kernel's own of KUSER_SHARED_DATA, whose unused end the program
 * can watch through its view at 0x7FFE0000.
 */
#include "uisol.h"

#define MOST_ARGUMENTS 11

typedef NTSTATUS(NTAPI *PSERVICE)(ULONG64, ULONG64, ULONG64, ULONG64, ULONG64, ULONG64, ULONG64, ULONG64, ULONG64,
                                  ULONG64, ULONG64);

typedef struct _CALL {
    PCSTR Name;
    PVOID Service;
    ULONG64 Argument[MOST_ARGUMENTS];
    ULONG Pointers; /* bit N: argument N is to be an address of the program */
} CALL;

/* What arguments point to; made anew for each call. */
static struct {
    ULONG64 Zero, Other, Count, Time, Page, Size, Bytes, Offset;
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    CLIENT_ID ClientId;
    IO_STATUS_BLOCK Iosb;
    HANDLE Handle, Wait;
    UCHAR Buffer[2048];
} Data;

static HANDLE Handles[8];
static PVOID OwnPage;

enum { Event, Section, File, Key, Token, Directory, Semaphore, Mutant }; /* of Handles */

#define H(Which)                  (0xFACE0000ULL + (Which)) /* replaced by the handle */
#define SELF_PROC                 ((ULONG64) - 1)
#define SELF_THRD                 ((ULONG64) - 2)
#define A(Field)                  ((ULONG64) & Data.Field)
#define BIT(N)                    (1u << (N))
#define C(Service, Pointers, ...) {#Service, (PVOID)(Service), {__VA_ARGS__}, Pointers}

static const CALL Calls[] = {
    C(NtQueryPerformanceCounter, BIT(0) | BIT(1), A(Zero), A(Other)),
    C(NtQuerySystemTime, BIT(0), A(Zero)),
    C(NtDelayExecution, BIT(1), 0, A(Time)),
    C(NtDisplayString, BIT(0), A(Name)),
    C(NtAllocateVirtualMemory, BIT(1) | BIT(3), SELF_PROC, A(Zero), 0, A(Size), MEM_RESERVE, PAGE_READWRITE),
    C(NtFreeVirtualMemory, BIT(1) | BIT(2), SELF_PROC, A(Page), A(Zero), MEM_RELEASE),
    C(NtProtectVirtualMemory, BIT(1) | BIT(2) | BIT(4), SELF_PROC, A(Page), A(Size), PAGE_READWRITE, A(Other)),
    C(NtQueryVirtualMemory, BIT(3) | BIT(5), SELF_PROC, A(Zero), MemoryBasicInformation, A(Buffer), 48, A(Other)),
    C(NtReadVirtualMemory, BIT(2) | BIT(4), SELF_PROC, A(Name), A(Buffer), 8, A(Other)),
    C(NtWriteVirtualMemory, BIT(2) | BIT(4), SELF_PROC, A(Buffer), A(Name), 8, A(Other)),
    C(NtLockVirtualMemory, BIT(1) | BIT(2), SELF_PROC, A(Page), A(Size), 1),
    C(NtUnlockVirtualMemory, BIT(1) | BIT(2), SELF_PROC, A(Page), A(Size), 1),
    C(NtCreateSection, BIT(0) | BIT(2) | BIT(3), A(Handle), SECTION_ALL_ACCESS, A(Attributes), A(Bytes), PAGE_READWRITE,
      SEC_COMMIT, 0),
    C(NtOpenSection, BIT(2), A(Handle), SECTION_MAP_READ, A(Attributes)),
    C(NtMapViewOfSection, BIT(2) | BIT(5) | BIT(6), H(Section), SELF_PROC, A(Zero), 0, 0, A(Offset), A(Size), 2, 0,
      PAGE_READONLY),
    C(NtQuerySection, BIT(2) | BIT(4), H(Section), 0, A(Buffer), sizeof(SECTION_BASIC_INFORMATION), A(Other)),
    C(NtExtendSection, BIT(1), H(Section), A(Bytes)),
    C(NtCreateEvent, BIT(0) | BIT(2), A(Handle), EVENT_ALL_ACCESS, A(Attributes), 0, 0),
    C(NtOpenEvent, BIT(2), A(Handle), EVENT_ALL_ACCESS, A(Attributes)),
    C(NtSetEvent, BIT(1), H(Event), A(Other)),
    C(NtResetEvent, BIT(1), H(Event), A(Other)),
    C(NtPulseEvent, BIT(1), H(Event), A(Other)),
    C(NtWaitForSingleObject, BIT(2), H(Event), 0, A(Time)),
    C(NtWaitForMultipleObjects, BIT(1) | BIT(4), 1, A(Wait), 1, 0, A(Time)),
    C(NtSignalAndWaitForSingleObject, BIT(3), H(Event), H(Event), 0, A(Time)),
    C(NtCreateSemaphore, BIT(0) | BIT(2), A(Handle), SEMAPHORE_ALL_ACCESS, A(Attributes), 0, 1),
    C(NtOpenSemaphore, BIT(2), A(Handle), SEMAPHORE_ALL_ACCESS, A(Attributes)),
    C(NtReleaseSemaphore, BIT(2), H(Semaphore), 1, A(Other)),
    C(NtCreateMutant, BIT(0) | BIT(2), A(Handle), MUTANT_ALL_ACCESS, A(Attributes), 0),
    C(NtOpenMutant, BIT(2), A(Handle), MUTANT_ALL_ACCESS, A(Attributes)),
    C(NtCreateTimer, BIT(0) | BIT(2), A(Handle), TIMER_ALL_ACCESS, A(Attributes), 0),
    C(NtOpenTimer, BIT(2), A(Handle), TIMER_ALL_ACCESS, A(Attributes)),
    C(NtCreateIoCompletion, BIT(0) | BIT(2), A(Handle), GENERIC_ALL, A(Attributes), 0),
    C(NtOpenIoCompletion, BIT(2), A(Handle), GENERIC_ALL, A(Attributes)),
    C(NtCreateDirectoryObject, BIT(0) | BIT(2), A(Handle), DIRECTORY_QUERY, A(Attributes)),
    C(NtOpenDirectoryObject, BIT(2), A(Handle), DIRECTORY_QUERY, A(Attributes)),
    C(NtQueryDirectoryObject, BIT(1) | BIT(5), H(Directory), A(Buffer), sizeof(Data.Buffer), 0, 1, A(Zero), A(Other)),
    C(NtCreateSymbolicLinkObject, BIT(0) | BIT(2) | BIT(3), A(Handle), SYMBOLIC_LINK_ALL_ACCESS, A(Attributes),
      A(Name)),
    C(NtOpenSymbolicLinkObject, BIT(2), A(Handle), SYMBOLIC_LINK_ALL_ACCESS, A(Attributes)),
    C(NtOpenProcess, BIT(2) | BIT(3), A(Handle), 0x0400, A(Attributes), A(ClientId)),
    C(NtOpenThread, BIT(2) | BIT(3), A(Handle), 0x0040, A(Attributes), A(ClientId)),
    C(NtCreateFile, BIT(2) | BIT(3), A(Handle), FILE_READ_DATA, A(Attributes), A(Iosb), 0, 0, FILE_SHARE_READ,
      FILE_OPEN, 0, 0, 0),
    C(NtOpenFile, BIT(2) | BIT(3), A(Handle), FILE_READ_DATA, A(Attributes), A(Iosb), FILE_SHARE_READ, 0),
    C(NtReadFile, BIT(4) | BIT(5) | BIT(7), H(File), 0, 0, 0, A(Iosb), A(Buffer), 64, A(Offset), 0),
    C(NtQueryInformationFile, BIT(1) | BIT(2), H(File), A(Iosb), A(Buffer), sizeof(FILE_STANDARD_INFORMATION),
      FileStandardInformation),
    C(NtQueryVolumeInformationFile, BIT(1) | BIT(2), H(File), A(Iosb), A(Buffer), 24, 3),
    C(NtQueryAttributesFile, BIT(0), A(Attributes), A(Buffer)),
    C(NtQueryFullAttributesFile, BIT(0), A(Attributes), A(Buffer)),
    C(NtDeleteFile, BIT(0), A(Attributes)),
    C(NtDuplicateObject, BIT(3), SELF_PROC, H(Event), SELF_PROC, A(Handle), 0, 0, 2),
    C(NtQueryObject, BIT(2) | BIT(4), H(Event), 0, A(Buffer), 56, A(Other)),
    C(NtSetInformationObject, BIT(2), H(Event), 4, A(Zero), 2),
    C(NtSetSecurityObject, BIT(2), H(Event), 4, A(Buffer)),
    C(NtOpenKey, BIT(2), A(Handle), KEY_READ, A(Attributes)),
    C(NtQueryKey, BIT(2) | BIT(4), H(Key), 0, A(Buffer), sizeof(Data.Buffer), A(Other)),
    C(NtEnumerateKey, BIT(3) | BIT(5), H(Key), 0, 0, A(Buffer), sizeof(Data.Buffer), A(Other)),
    C(NtQueryValueKey, BIT(1), H(Key), A(Name), 0, A(Buffer), sizeof(Data.Buffer), A(Other)),
    C(NtDeleteValueKey, BIT(1), H(Key), A(Name)),
    C(NtQuerySystemInformation, BIT(1) | BIT(3), 0, A(Buffer), 64, A(Other)),
    C(NtOpenProcessToken, BIT(2), SELF_PROC, TOKEN_QUERY, A(Handle)),
    C(NtQueryInformationToken, BIT(2) | BIT(4), H(Token), 1, A(Buffer), sizeof(Data.Buffer), A(Other)),
    C(NtAllocateLocallyUniqueId, BIT(0), A(Zero)),
    C(NtQueryInformationProcess, BIT(2) | BIT(4), SELF_PROC, 0, A(Buffer), sizeof(PROCESS_BASIC_INFORMATION), A(Other)),
    C(NtQueryInformationThread, BIT(2) | BIT(4), SELF_THRD, 0, A(Buffer), sizeof(THREAD_BASIC_INFORMATION), A(Other)),
    C(NtCreateJobObject, BIT(0) | BIT(2), A(Handle), JOB_OBJECT_ALL_ACCESS, A(Attributes)),
    C(NtOpenJobObject, BIT(2), A(Handle), JOB_OBJECT_ALL_ACCESS, A(Attributes)),
};

static const ULONG64 Kernel[] = {(ULONG64)WATCHED_KERNEL, 0xFFFFF80000000000ULL, 0xFFFFF6FB7DBED000ULL,
                                 0x00007FFFFFFFFFF8ULL,   0x0000800000000000ULL, 0xFFFFFFFFFFFFFFF8ULL};

static VOID MakeData(VOID)
{
    RtlZeroMemory(&Data, sizeof(Data));
    Data.Size = PAGE_SIZE;
    Data.Bytes = PAGE_SIZE;
    Data.Page = (ULONG64)OwnPage;
    RtlInitUnicodeString(&Data.Name, L"");
    InitializeObjectAttributes(&Data.Attributes, NULL, 0, NULL, NULL);
    Data.ClientId = ((PTEB)__readgsqword(FIELD_OFFSET(NT_TIB, Self)))->ClientId;
    Data.Wait = Handles[Event];
}

static NTSTATUS Make(const CALL *Call, ULONG Position, ULONG64 Value)
{
    ULONG64 Argument[MOST_ARGUMENTS];

    MakeData();
    for (ULONG Index = 0; Index < MOST_ARGUMENTS; Index++) {
        Argument[Index] = Call->Argument[Index];
        if (Argument[Index] - H(0) < RTL_NUMBER_OF(Handles)) {
            Argument[Index] = (ULONG64)Handles[Argument[Index] - H(0)];
        }
    }
    Argument[Position] = Value;
    return ((PSERVICE)Call->Service)(Argument[0], Argument[1], Argument[2], Argument[3], Argument[4], Argument[5],
                                     Argument[6], Argument[7], Argument[8], Argument[9], Argument[10]);
}

static NTSTATUS OpenHandles(VOID)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(SELF), KeyName = RTL_CONSTANT_STRING(L"\\Registry\\Machine"),
                   Root = RTL_CONSTANT_STRING(L"\\");
    LARGE_INTEGER Bytes = {.QuadPart = PAGE_SIZE};
    OBJECT_ATTRIBUTES Attributes;
    SIZE_T Size = PAGE_SIZE;
    NTSTATUS Status = NtCreateEvent(&Handles[Event], EVENT_ALL_ACCESS, NULL, NotificationEvent, TRUE);

    Status |= NtCreateSection(&Handles[Section], SECTION_ALL_ACCESS, NULL, &Bytes, PAGE_READWRITE, SEC_COMMIT, NULL);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    Status |= NtOpenFile(&Handles[File], FILE_READ_DATA | FILE_READ_ATTRIBUTES | SYNCHRONIZE, &Attributes, &Data.Iosb,
                         FILE_SHARE_READ, FILE_SYNCHRONOUS_IO_NONALERT);
    InitializeObjectAttributes(&Attributes, &KeyName, OBJ_CASE_INSENSITIVE, NULL, NULL);
    Status |= NtOpenKey(&Handles[Key], KEY_ALL_ACCESS, &Attributes);
    Status |= NtOpenProcessToken(ZwCurrentProcess(), TOKEN_QUERY, &Handles[Token]);
    InitializeObjectAttributes(&Attributes, &Root, OBJ_CASE_INSENSITIVE, NULL, NULL);
    Status |= NtOpenDirectoryObject(&Handles[Directory], DIRECTORY_QUERY, &Attributes);
    Status |= NtCreateSemaphore(&Handles[Semaphore], SEMAPHORE_ALL_ACCESS, NULL, 0, 1000);
    Status |= NtAllocateVirtualMemory(ZwCurrentProcess(), &OwnPage, 0, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    return Status;
}

ULONG KernelPointers(VOID)
{
    ULONG Wrong = 0;

    CHECK(OpenHandles() == STATUS_SUCCESS);
    for (ULONG Number = 0; Number < RTL_NUMBER_OF(Calls); Number++) {
        for (ULONG Position = 0; Position < MOST_ARGUMENTS; Position++) {
            for (ULONG Index = 0; Index < RTL_NUMBER_OF(Kernel) && (Calls[Number].Pointers & BIT(Position)) != 0;
                 Index++) {
                NTSTATUS Status = Make(&Calls[Number], Position, Kernel[Index]);

                if (Status != STATUS_ACCESS_VIOLATION) {
                    DbgPrint("# %s, argument %lu is %p: 0x%08lX\n", Calls[Number].Name, Position, (PVOID)Kernel[Index],
                             Status);
                    Wrong++;
                    break;
                }
            }
        }
    }
    for (ULONG Index = 0; Index < WATCHED_WORDS; Index++) {
        CHECK(WATCHED_USER[Index] == 0);
    }
    CHECK(Wrong == 0);
    return 0;
}
