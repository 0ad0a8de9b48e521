/*
 * told.c - what services tell holds no address of the kernel and none of its bytes.
 *
 * Every query service is asked for every class, with every length up to a bound and then with much room, into a buffer of a known
 * pattern. In what came back no aligned value may lie in the kernel half (small negative numbers do not count), and no run of the bytes
 * with which the checked kernel fills pool.
 */
#include "uisol.h"

#define BUFFER_BYTES 0x20000
#define LONGEST      256  /* every length up to this */
#define PATTERN      0xA5 /* no address begins so */

typedef NTSTATUS (*PASK)(ULONG Class, PVOID Buffer, ULONG Length);

static DECLSPEC_ALIGN(16) UCHAR Answer[BUFFER_BYTES + 16];
static HANDLE File, Section, Key, Token, Event;

static BOOLEAN IsKernelAddress(ULONG64 Value)
{
    return Value >= 0xFFFF800000000000ULL && Value < 0xFFFFFFFF00000000ULL;
}

static BOOLEAN IsPoolFill(ULONG64 Value)
{
    return Value == 0xDDDDDDDDDDDDDDDDULL || Value == 0xFDFDFDFDFDFDFDFDULL;
}

/* TRUE: nothing of the kernel's in it, and nothing behind Length was touched. */
static BOOLEAN IsClean(PCSTR Service, ULONG Class, ULONG Length)
{
    for (ULONG At = 0; At + sizeof(ULONG64) <= Length; At += sizeof(ULONG)) {
        ULONG64 Value = *(const ULONG64 UNALIGNED *)(Answer + At);

        if (IsKernelAddress(Value) || IsPoolFill(Value)) {
            DbgPrint("# %s, class %lu, length %lu: %p at %lu\n", Service, Class, Length, (PVOID)Value, At);
            return FALSE;
        }
    }
    for (ULONG At = Length; At < Length + 16; At++) {
        if (Answer[At] != PATTERN) {
            DbgPrint("# %s, class %lu: wrote behind length %lu\n", Service, Class, Length);
            return FALSE;
        }
    }
    return TRUE;
}

static BOOLEAN AskOnce(PCSTR Service, PASK Ask, ULONG Class, ULONG Length, PNTSTATUS Status)
{
    RtlFillMemory(Answer, Length + 16, PATTERN);
    *Status = Ask(Class, Answer, Length);
    return IsClean(Service, Class, Length);
}

/* All classes below Classes; Least of them must have answered. */
static ULONG AskAll(PCSTR Service, PASK Ask, ULONG Classes, ULONG Least)
{
    ULONG Answered = 0;

    for (ULONG Class = 0; Class < Classes; Class++) {
        BOOLEAN Told = FALSE;
        NTSTATUS Status;

        CHECK(AskOnce(Service, Ask, Class, 0, &Status));
        if (Status == STATUS_INVALID_INFO_CLASS) {
            continue;
        }
        for (ULONG Length = 4; Length <= LONGEST; Length += 4) {
            CHECK(AskOnce(Service, Ask, Class, Length, &Status));
            Told = Told || NT_SUCCESS(Status);
        }
        CHECK(AskOnce(Service, Ask, Class, BUFFER_BYTES, &Status));
        Answered += Told || NT_SUCCESS(Status);
    }
    if (Answered < Least) {
        DbgPrint("# %s: %lu classes answered\n", Service, Answered);
    }
    CHECK(Answered >= Least);
    return 0;
}

#define ASK(Name, ...)                                                                                                 \
    static NTSTATUS Ask##Name(ULONG Class, PVOID Buffer, ULONG Length)                                                 \
    {                                                                                                                  \
        return __VA_ARGS__;                                                                                            \
    }

static ULONG Ignored;
static SIZE_T IgnoredSize;
static IO_STATUS_BLOCK IgnoredIosb;

ASK(System, NtQuerySystemInformation((SYSTEM_INFORMATION_CLASS)Class, Buffer, Length, &Ignored))
ASK(Process, NtQueryInformationProcess(ZwCurrentProcess(), (PROCESSINFOCLASS)Class, Buffer, Length, &Ignored))
ASK(Thread, NtQueryInformationThread(ZwCurrentThread(), (THREADINFOCLASS)Class, Buffer, Length, &Ignored))
ASK(Object, NtQueryObject(Event, (OBJECT_INFORMATION_CLASS)Class, Buffer, Length, &Ignored))
ASK(FileObject, NtQueryObject(File, (OBJECT_INFORMATION_CLASS)Class, Buffer, Length, &Ignored))
ASK(Token, NtQueryInformationToken(Token, (TOKEN_INFORMATION_CLASS)Class, Buffer, Length, &Ignored))
ASK(File, NtQueryInformationFile(File, &IgnoredIosb, Buffer, Length, (FILE_INFORMATION_CLASS)Class))
ASK(Volume, NtQueryVolumeInformationFile(File, &IgnoredIosb, Buffer, Length, (FS_INFORMATION_CLASS)Class))
ASK(Key, NtQueryKey(Key, (KEY_INFORMATION_CLASS)Class, Buffer, Length, &Ignored))
ASK(SubKey, NtEnumerateKey(Key, 0, (KEY_INFORMATION_CLASS)Class, Buffer, Length, &Ignored))
ASK(Section, NtQuerySection(Section, (SECTION_INFORMATION_CLASS)Class, Buffer, Length, &IgnoredSize))
ASK(Memory, NtQueryVirtualMemory(ZwCurrentProcess(), (PVOID)(ULONG_PTR)ToldByMemory, (MI_MEMORY_INFORMATION_CLASS)Class,
                                 Buffer, Length, &IgnoredSize))

static NTSTATUS OpenAll(VOID)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(SELF), KeyName = RTL_CONSTANT_STRING(L"\\Registry\\Machine");
    LARGE_INTEGER Bytes = {.QuadPart = PAGE_SIZE};
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;
    NTSTATUS Status;

    if (File != NULL) {
        return STATUS_SUCCESS;
    }
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    Status = NtOpenFile(&File, FILE_READ_DATA | FILE_READ_ATTRIBUTES | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ,
                        FILE_SYNCHRONOUS_IO_NONALERT);
    InitializeObjectAttributes(&Attributes, &KeyName, OBJ_CASE_INSENSITIVE, NULL, NULL);
    Status = NT_SUCCESS(Status) ? NtOpenKey(&Key, KEY_READ, &Attributes) : Status;
    Status = NT_SUCCESS(Status) ? NtOpenProcessToken(ZwCurrentProcess(), TOKEN_QUERY, &Token) : Status;
    Status = NT_SUCCESS(Status) ? NtCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE) : Status;
    return NT_SUCCESS(Status)
               ? NtCreateSection(&Section, SECTION_ALL_ACCESS, NULL, &Bytes, PAGE_READWRITE, SEC_COMMIT, NULL)
               : Status;
}

#define RUN(Name, Classes, Least)                                                                                      \
    do {                                                                                                               \
        ULONG AskLine = AskAll(#Name, Ask##Name, Classes, Least);                                                      \
                                                                                                                       \
        if (AskLine != 0) {                                                                                            \
            return AskLine;                                                                                            \
        }                                                                                                              \
    } while (0)

ULONG ToldBySystem(VOID)
{
    RUN(System, 100, 10);
    return 0;
}

ULONG ToldByProcesses(VOID)
{
    CHECK(NT_SUCCESS(OpenAll()));
    RUN(Process, 64, 5);
    RUN(Thread, 48, 4);
    RUN(Token, 48, 6);
    return 0;
}

ULONG ToldByObjects(VOID)
{
    CHECK(NT_SUCCESS(OpenAll()));
    RUN(Object, 8, 2);
    RUN(FileObject, 8, 2);
    RUN(File, 64, 3);
    RUN(Volume, 16, 2);
    RUN(Key, 12, 2);
    RUN(SubKey, 12, 2);
    return 0;
}

ULONG ToldByMemory(VOID)
{
    CHECK(NT_SUCCESS(OpenAll()));
    RUN(Section, 8, 1);
    RUN(Memory, 16, 3);
    return 0;
}
