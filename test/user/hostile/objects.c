/*
 * objects.c - a stock of handles: to objects of every type that a program can have, made anew every so often, and to what calls made.
 *
 * Each type has a few handles that RenewHandles makes, and room behind them for what services returned, the oldest of which is forgotten first. What is open
 * is closed at the next renewal, with whatever random calls opened; processes and threads that they started are ended by their identifiers, for
 * a handle to them need not allow it. A call may close what is in the stock: then the stock has a handle that is none, or another's.
 *
 * The victim is a process of this program whose thread is suspended: calls that would end or stop the caller get it instead.
 */
#include "hostile.h"

#include <ntos/sysinfo.h>

#define SLOTS          8      /* of a type */
#define HIGHEST_HANDLE 0x8000 /* more than are opened between two renewals */
#define NO_HANDLE      0x7FFFFFF0
#define ROOT           L"\\Hostile"

CLIENT_ID Self, Racer, Victim;

static struct {
    HANDLE Slot[SLOTS];
    ULONG Fixed, Count, Next;
} Stock[TYPES];

static HANDLE VictimProcess, VictimThread;

/* ---- Names ---- */

#define NAMES 4

/* What is there after a renewal, or may be made: by type. */
static PCWSTR const Names[TYPES][NAMES] = {
    [TEvent] = {ROOT L"\\Event", ROOT L"\\event", ROOT L"\\Event2", ROOT L"\\Event"},
    [TSemaphore] = {ROOT L"\\Semaphore", ROOT L"\\Semaphore", ROOT L"\\Semaphore2", ROOT L"\\Semaphore"},
    [TMutant] = {ROOT L"\\Mutant", ROOT L"\\Mutant", ROOT L"\\Mutant2", ROOT L"\\Mutant"},
    [TTimer] = {ROOT L"\\Timer", ROOT L"\\Timer", ROOT L"\\Timer2", ROOT L"\\Timer"},
    [TKeyed] = {ROOT L"\\Keyed", ROOT L"\\Keyed", ROOT L"\\Keyed2", ROOT L"\\Keyed"},
    [TPort] = {ROOT L"\\Port", ROOT L"\\Port", ROOT L"\\Port2", ROOT L"\\Port"},
    [TReserve] = {ROOT L"\\Reserve", ROOT L"\\Reserve", ROOT L"\\Reserve2", ROOT L"\\Reserve"},
    [TDirectory] = {ROOT, L"\\Device", ROOT L"\\Directory", L"\\"},
    [TLink] = {ROOT L"\\Link", ROOT L"\\Link", ROOT L"\\Link2", ROOT L"\\Link"},
    [TKey] = {L"\\Registry\\Machine\\Hostile", L"\\Registry\\Machine\\Hostile\\A",
              L"\\Registry\\Machine\\Hostile\\A\\B", L"\\Registry\\Machine\\Hostile\\C"},
    [TSection] = {ROOT L"\\Section", ROOT L"\\Section", ROOT L"\\Section2", ROOT L"\\Section"},
    [TToken] = {L"", L"", L"", L""},
    [TClient] = {L"", L"", L"", L""},
    [TProcess] = {L"", L"", L"", L""},
    [TThread] = {L"", L"", L"", L""},
    [TFile] = {L"\\SystemRoot\\System\\hello.exe", SELF_IMAGE, L"\\SystemRoot\\System\\ntdll.dll",
               L"\\SystemRoot\\System"},
    [TFolder] = {L"\\SystemRoot\\System", L"\\SystemRoot", L"\\SystemRoot\\System\\", L"\\SystemRoot\\"},
    [TPipe] = {L"\\Device\\NamedPipe\\Hostile0", L"\\Device\\NamedPipe\\Hostile1", L"\\Device\\NamedPipe\\Hostile2",
               L"\\Device\\NamedPipe\\Hostile3"},
    [TDevice] = {L"\\Device\\CdRom0", L"\\Device\\CdRom0", L"\\Device\\Null", L"\\Device\\NamedPipe\\"},
    [TJob] = {ROOT L"\\Job", ROOT L"\\Job", ROOT L"\\Job2", ROOT L"\\Job"}};

/* Names that nothing has, or that are none. */
static PCWSTR const Strange[] = {L"",
                                 L"\\",
                                 L"A",
                                 L"A\\B",
                                 L"C\\\\D",
                                 L"\\Device\\CdRom0\\",
                                 L"\\SystemRoot\\nothing",
                                 L"\\??\\D:\\System\\hello.exe",
                                 L"\\Registry\\Machine",
                                 L"\\Registry",
                                 L"\\ObjectTypes\\Event",
                                 ROOT L"\\Link\\CdRom0",
                                 ROOT L"\\Event\\x",
                                 L"noslash\\x"};

ULONG64 NamePointer(PCWSTR Text, BOOLEAN Hostile)
{
    PUNICODE_STRING String = OwnPlace(sizeof(*String));
    ULONG Way = Random(5), Length = Random(0x10000), Which = Random(RTL_NUMBER_OF(Strange));
    ULONG64 Bad = BadPointer(), Elsewhere;

    RtlInitUnicodeString(String, Hostile && Way > 1 ? Strange[Which] : Text);
    Elsewhere = PlaceFor(String->Buffer, String->Length, Way == 1, FALSE);
    if (Hostile && Way == 0) {
        String->Length = (USHORT)Length;
    } else if (Hostile && Way == 1) {
        String->Buffer = (PWSTR)Elsewhere;
    } else if (Hostile && Way == 2) {
        return PlaceFor(String, sizeof(*String), TRUE, FALSE);
    } else if (Hostile && Way == 3) {
        String->Buffer = (PWSTR)Bad;
    }
    return (ULONG64)String;
}

/* ---- Handles ---- */

VOID KeepHandle(HANDLE Handle, ULONG Type)
{
    ULONG Room = Type < TYPES ? SLOTS - Stock[Type].Fixed : 0; /* a duplicate may be of any type: not kept */
    ULONG Slot;

    if (Room != 0) {
        Slot = Stock[Type].Fixed + Stock[Type].Next % Room;
        Stock[Type].Next++;
        Stock[Type].Slot[Slot] = Handle;
        Stock[Type].Count = max(Stock[Type].Count, Slot + 1);
    }
}

static ULONG64 InStock(ULONG Type, ULONG Slot)
{
    return Stock[Type].Count == 0 ? 0 : (ULONG64)Stock[Type].Slot[Slot % Stock[Type].Count];
}

ULONG64 HandleOf(ULONG Type, BOOLEAN Hostile)
{
    static const UCHAR Waitable[] = {TEvent, TSemaphore, TMutant, TTimer, TThread, TProcess, TEvent, TSemaphore};
    ULONG Way = Random(8), Any = Random(TYPES), Slot = Random(SLOTS), Number = Random(0x1000);

    if (Hostile) {
        switch (Way) {
        case 0:
            return Number;
        case 1:
            return 0xFFFFFFFF80000000ULL | (Number & ~3U); /* the kernel's */
        case 2:
            return 0xFFFFFFFFFFFFFFFFULL - Number % 6; /* this process, this thread, and what else is so called */
        case 3:
            return RandomState; /* not drawn: no more than one number is needed */
        default:
            return InStock(Any, Slot);
        }
    }
    if (Type == TAny) {
        Type = Any;
    } else if (Type == TWaitable) {
        Type = Waitable[Way];
    }
    return InStock(Type, Slot);
}

ULONG64 OwnObject(VOID)
{
    return (ULONG64)Stock[TEvent].Slot[0];
}

static BOOLEAN IsSame(ULONG64 Handle, HANDLE Other)
{
    return (HANDLE)Handle == Other || NtCompareObjects((HANDLE)Handle, Other) == STATUS_SUCCESS;
}

BOOLEAN IsMyself(ULONG64 Handle)
{
    return IsSame(Handle, ZwCurrentProcess()) || IsSame(Handle, ZwCurrentThread());
}

ULONG64 VictimOf(ULONG Type)
{
    ULONG64 Handle = (ULONG64)(Type == TProcess ? VictimProcess : VictimThread);

    return Handle == 0 || IsMyself(Handle) ? NO_HANDLE : Handle; /* its value may be another's by now */
}

/* ---- Attributes ---- */

/* Ways in which attributes are wrong. */
static VOID Spoil(POBJECT_ATTRIBUTES Attributes, ULONG Way, ULONG64 Handle, ULONG64 Name)
{
    ULONG Any = Random(0x2000);
    ULONG64 Bad = BadPointer(), Small = RandomNumber();

    switch (Way) {
    case 0:
        Attributes->Length = (ULONG)Small;
        break;
    case 1:
        Attributes->RootDirectory = (HANDLE)Handle;
        break;
    case 2:
        Attributes->Attributes = Any & ~(ULONG)OBJ_PERMANENT;
        break;
    case 3:
        Attributes->SecurityDescriptor = (PVOID)Bad;
        break;
    case 4:
        Attributes->SecurityQualityOfService = (PVOID)Bad;
        break;
    default:
        Attributes->ObjectName = (PUNICODE_STRING)Name;
        break;
    }
}

ULONG64 ObjectAttributes(ULONG Type, BOOLEAN Open, BOOLEAN Hostile)
{
    static SECURITY_QUALITY_OF_SERVICE Quality = {sizeof(Quality), SecurityImpersonation, 0, FALSE};
    OBJECT_ATTRIBUTES Attributes = {.Length = sizeof(Attributes), .Attributes = OBJ_CASE_INSENSITIVE};
    ULONG Way = Random(10), Which = Random(NAMES), Sort = Random(4);
    ULONG64 Handle = HandleOf(Sort == 0 ? TFile : Sort == 1 ? TKey : TDirectory, Sort == 2);
    ULONG64 Name = NamePointer(Names[Type][Which], Hostile && Way >= 5);

    if (Open || (Sort == 0 && Names[Type][0][0] != 0)) {
        Attributes.ObjectName = (PUNICODE_STRING)Name;
        Attributes.Attributes |= Open ? 0U : OBJ_OPENIF;
    }
    if (Sort == 1) {
        Attributes.Attributes |= OBJ_INHERIT;
    }
    if (Type == TToken || Type == TClient) {
        Attributes.SecurityQualityOfService = &Quality;
    }
    if (Hostile) {
        Spoil(&Attributes, Way, Handle, Name);
        return PlaceFor(&Attributes, sizeof(Attributes), Way > 7, FALSE);
    }
    return !Open && Type != TKey && Way < 3 ? 0 : PlaceFor(&Attributes, sizeof(Attributes), FALSE, FALSE);
}

/* ---- The stock ---- */

static POBJECT_ATTRIBUTES Named(PCWSTR Text)
{
    static UNICODE_STRING String;
    static OBJECT_ATTRIBUTES Attributes;

    RtlInitUnicodeString(&String, Text);
    InitializeObjectAttributes(&Attributes, &String, OBJ_CASE_INSENSITIVE | OBJ_OPENIF, NULL, NULL);
    return &Attributes;
}

/* A service that makes a handle, and what type it has. */
#define KEEP(Type, Call)                                                                                               \
    do {                                                                                                               \
        HANDLE New = NULL, *Handle = &New;                                                                             \
                                                                                                                       \
        if (NT_SUCCESS(Call)) {                                                                                        \
            KeepHandle(New, Type);                                                                                     \
        }                                                                                                              \
    } while (0)

#define ALL (STANDARD_RIGHTS_REQUIRED | SYNCHRONIZE)

static VOID MakeWaitables(VOID)
{
    KEEP(TEvent, NtCreateEvent(Handle, EVENT_ALL_ACCESS, NULL, NotificationEvent, TRUE));
    KEEP(TEvent, NtCreateEvent(Handle, EVENT_ALL_ACCESS, Named(Names[TEvent][0]), SynchronizationEvent, TRUE));
    KEEP(TSemaphore, NtCreateSemaphore(Handle, SEMAPHORE_ALL_ACCESS, Named(Names[TSemaphore][0]), 1, 1000000));
    KEEP(TMutant, NtCreateMutant(Handle, ALL | 1, Named(Names[TMutant][0]), FALSE));
    KEEP(TMutant, NtCreateMutant(Handle, ALL | 1, NULL, TRUE));
    KEEP(TTimer, NtCreateTimer(Handle, ALL | 3, Named(Names[TTimer][0]), SynchronizationTimer));
    KEEP(TTimer, NtCreateTimer(Handle, ALL | 3, NULL, NotificationTimer));
    KEEP(TKeyed, NtCreateKeyedEvent(Handle, KEYEDEVENT_ALL_ACCESS, Named(Names[TKeyed][0]), 0));
    KEEP(TPort, NtCreateIoCompletion(Handle, ALL | 3, Named(Names[TPort][0]), 0));
    KEEP(TReserve, NtAllocateReserveObject(Handle, NULL, 1));
}

static VOID MakeNamed(VOID)
{
    UNICODE_STRING Target = RTL_CONSTANT_STRING(L"\\Device"), Value = RTL_CONSTANT_STRING(L"A");
    ULONG Data = 7;

    KEEP(TLink, NtCreateSymbolicLinkObject(Handle, ALL | 1, Named(Names[TLink][0]), &Target));
    KEEP(TLink, NtOpenSymbolicLinkObject(Handle, SYMBOLIC_LINK_QUERY, Named(L"\\SystemRoot")));
    for (ULONG Index = 0; Index < 3; Index++) {
        KEEP(TKey, NtCreateKey(Handle, KEY_ALL_ACCESS, Named(Names[TKey][Index]), 0, NULL, REG_OPTION_VOLATILE, NULL));
    }
    NtSetValueKey(Stock[TKey].Slot[0], &Value, 0, REG_DWORD, &Data, sizeof(Data));
    KEEP(TDirectory, NtOpenDirectoryObject(Handle, DIRECTORY_QUERY | DIRECTORY_TRAVERSE, Named(L"\\Device")));
    KEEP(TJob, NtCreateJobObject(Handle, JOB_OBJECT_ALL_ACCESS, Named(Names[TJob][0])));
    KEEP(TJob, NtCreateJobObject(Handle, JOB_OBJECT_ALL_ACCESS, NULL));
}

static VOID MakeTokens(VOID)
{
    SECURITY_QUALITY_OF_SERVICE Quality = {sizeof(Quality), SecurityImpersonation, 0, FALSE};
    OBJECT_ATTRIBUTES Attributes = {.Length = sizeof(Attributes), .SecurityQualityOfService = &Quality};
    HANDLE Own;

    if (NT_SUCCESS(NtOpenProcessToken(ZwCurrentProcess(), TOKEN_ALL_ACCESS, &Own))) {
        KEEP(TToken, NtDuplicateToken(Own, TOKEN_ALL_ACCESS, NULL, FALSE, TokenPrimary, Handle));
        KEEP(TToken, NtDuplicateToken(Own, TOKEN_ALL_ACCESS, NULL, FALSE, TokenPrimary, Handle));
        KEEP(TClient, NtDuplicateToken(Own, TOKEN_ALL_ACCESS, &Attributes, FALSE, TokenImpersonation, Handle));
        NtClose(Own);
    }
}

static VOID MakeFiles(VOID)
{
    LARGE_INTEGER Timeout = {.QuadPart = -500000};
    IO_STATUS_BLOCK Iosb;
    UCHAR Greeting[] = "hostile";

    KEEP(TFile, NtOpenFile(Handle, FILE_GENERIC_READ | FILE_EXECUTE, Named(Names[TFile][0]), &Iosb, FILE_SHARE_READ,
                           FILE_SYNCHRONOUS_IO_NONALERT));
    KEEP(TFile, NtOpenFile(Handle, FILE_GENERIC_READ, Named(Names[TFile][0]), &Iosb, FILE_SHARE_READ, 0));
    KEEP(TFolder, NtOpenFile(Handle, FILE_GENERIC_READ, Named(Names[TFolder][0]), &Iosb, FILE_SHARE_READ,
                             FILE_SYNCHRONOUS_IO_NONALERT | FILE_DIRECTORY_FILE));
    KEEP(TFolder,
         NtOpenFile(Handle, FILE_GENERIC_READ, Named(Names[TFolder][0]), &Iosb, FILE_SHARE_READ, FILE_DIRECTORY_FILE));
    for (ULONG Index = 0; Index < NAMES; Index++) {
        KEEP(TDevice, NtOpenFile(Handle, SYNCHRONIZE | FILE_READ_DATA, Named(Names[TDevice][Index]), &Iosb,
                                 FILE_SHARE_READ | FILE_SHARE_WRITE, 0));
    }
    for (ULONG Index = 0; Index < 2; Index++) {
        KEEP(TPipe, NtCreateNamedPipeFile(Handle, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE,
                                          Named(Names[TPipe][Index]), &Iosb, FILE_SHARE_READ | FILE_SHARE_WRITE,
                                          FILE_OPEN_IF, 0, Index, Index, 0, 8, 4096, 4096, &Timeout));
        KEEP(TPipe, NtOpenFile(Handle, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, Named(Names[TPipe][Index]), &Iosb,
                               FILE_SHARE_READ | FILE_SHARE_WRITE, 0));
        NtWriteFile(Stock[TPipe].Slot[2 * Index], NULL, NULL, NULL, &Iosb, Greeting, sizeof(Greeting), NULL, NULL);
    }
}

/* Files stay cached: all that may be, by data and as images, is so before the first call, so that two states can be compared. */
VOID WarmFiles(VOID)
{
    for (ULONG Index = 0; Index < 3; Index++) {
        IO_STATUS_BLOCK Iosb;
        HANDLE File, Section;

        if (NT_SUCCESS(NtOpenFile(&File, FILE_GENERIC_READ | FILE_EXECUTE, Named(Names[TFile][Index]), &Iosb,
                                  FILE_SHARE_READ, FILE_SYNCHRONOUS_IO_NONALERT))) {
            if (NT_SUCCESS(
                    NtCreateSection(&Section, SECTION_ALL_ACCESS, NULL, NULL, PAGE_READONLY, SEC_COMMIT, File))) {
                NtClose(Section);
            }
            if (NT_SUCCESS(NtCreateSection(&Section, SECTION_ALL_ACCESS, NULL, NULL, PAGE_EXECUTE, SEC_IMAGE, File))) {
                NtClose(Section);
            }
            NtClose(File);
        }
    }
}

static VOID MakeSections(VOID)
{
    LARGE_INTEGER Bytes = {.QuadPart = 0x10000};

    KEEP(TSection, NtCreateSection(Handle, SECTION_ALL_ACCESS, Named(Names[TSection][0]), &Bytes, PAGE_READWRITE,
                                   SEC_COMMIT, NULL));
    KEEP(TSection,
         NtCreateSection(Handle, SECTION_ALL_ACCESS, NULL, &Bytes, PAGE_EXECUTE_READWRITE, SEC_RESERVE, NULL));
    KEEP(TSection,
         NtCreateSection(Handle, SECTION_ALL_ACCESS, NULL, NULL, PAGE_READONLY, SEC_COMMIT, Stock[TFile].Slot[0]));
    KEEP(TSection,
         NtCreateSection(Handle, SECTION_ALL_ACCESS, NULL, NULL, PAGE_EXECUTE, SEC_IMAGE, Stock[TFile].Slot[0]));
}

/* ---- Processes and threads ---- */

VOID MakeIdleParameters(PRTL_USER_PROCESS_PARAMETERS Parameters)
{
    RtlZeroMemory(Parameters, sizeof(*Parameters));
    Parameters->Flags = RTL_USER_PROC_PARAMS_NORMALIZED;
    RtlInitUnicodeString(&Parameters->CommandLine, L"hostile");
    RtlInitUnicodeString(&Parameters->ImagePathName, SELF_IMAGE);
}

VOID MakeIdleList(PPS_ATTRIBUTE_LIST List)
{
    List->TotalLength = sizeof(*List);
    List->Attributes[0].Attribute = PS_ATTRIBUTE_IMAGE_NAME;
    List->Attributes[0].Size = sizeof(SELF_IMAGE) - sizeof(WCHAR);
    List->Attributes[0].ValuePtr = SELF_IMAGE;
    List->Attributes[0].ReturnLength = NULL;
}

static VOID MakeVictim(VOID)
{
    RTL_USER_PROCESS_PARAMETERS Parameters;
    THREAD_BASIC_INFORMATION Info = {0};
    PS_ATTRIBUTE_LIST List;

    MakeIdleParameters(&Parameters);
    MakeIdleList(&List);
    VictimProcess = VictimThread = NULL;
    NtCreateUserProcess(&VictimProcess, &VictimThread, PROCESS_ALL_ACCESS, THREAD_ALL_ACCESS, NULL, NULL, 0,
                        THREAD_CREATE_FLAGS_CREATE_SUSPENDED, &Parameters, NULL, &List);
    NtQueryInformationThread(VictimThread, ThreadBasicInformation, &Info, sizeof(Info), NULL);
    Victim = Info.ClientId;
    KeepHandle(ZwCurrentProcess(), TProcess);
    KeepHandle(VictimProcess, TProcess);
    KeepHandle(ZwCurrentProcess(), TProcess);
    KeepHandle(ZwCurrentProcess(), TProcess);
    KeepHandle(ZwCurrentThread(), TThread);
    KeepHandle(VictimThread, TThread);
    KEEP(TThread, NtCreateThreadEx(Handle, THREAD_ALL_ACCESS, NULL, ZwCurrentProcess(), NoThread, NULL,
                                   THREAD_CREATE_FLAGS_CREATE_SUSPENDED, 0, 0, 0, NULL));
}

static VOID EndThread(PCLIENT_ID Cid)
{
    OBJECT_ATTRIBUTES None = {.Length = sizeof(None)};
    HANDLE Thread;

    if (Cid->UniqueThread != Self.UniqueThread && Cid->UniqueThread != Racer.UniqueThread &&
        NT_SUCCESS(NtOpenThread(&Thread, THREAD_TERMINATE, &None, Cid))) {
        NtTerminateThread(Thread, STATUS_SUCCESS);
        NtClose(Thread);
    }
}

static VOID EndProcess(HANDLE Id)
{
    OBJECT_ATTRIBUTES None = {.Length = sizeof(None)};
    CLIENT_ID Cid = {Id, NULL};
    LARGE_INTEGER Long = {.QuadPart = -100000000};
    HANDLE Process;

    if (NT_SUCCESS(NtOpenProcess(&Process, PROCESS_ALL_ACCESS, &None, &Cid))) {
        NtTerminateProcess(Process, STATUS_SUCCESS);
        NtWaitForSingleObject(Process, FALSE, &Long); /* what it has is to be gone when this program ends */
        NtClose(Process);
    }
}

static VOID EndOthers(VOID)
{
    static const UNICODE_STRING Name = RTL_CONSTANT_STRING(L"hostile.exe");
    static DECLSPEC_ALIGN(16) UCHAR List[0x10000];
    PSYSTEM_PROCESS_INFORMATION Process = (PSYSTEM_PROCESS_INFORMATION)List;

    if (!NT_SUCCESS(NtQuerySystemInformation(SystemProcessInformation, List, sizeof(List), NULL))) {
        return;
    }
    for (;;) {
        PSYSTEM_THREAD_INFORMATION Thread = (PSYSTEM_THREAD_INFORMATION)(Process + 1);

        for (ULONG Index = 0; Process->UniqueProcessId == Self.UniqueProcess && Index < Process->NumberOfThreads;
             Index++) {
            EndThread(&Thread[Index].ClientId);
        }
        if (Process->UniqueProcessId != Self.UniqueProcess && RtlEqualUnicodeString(&Process->ImageName, &Name, TRUE)) {
            EndProcess(Process->UniqueProcessId);
        }
        if (Process->NextEntryOffset == 0) {
            return;
        }
        Process = (PSYSTEM_PROCESS_INFORMATION)((PUCHAR)Process + Process->NextEntryOffset);
    }
}

static VOID CloseAll(VOID)
{
    OBJECT_HANDLE_FLAG_INFORMATION Free = {0};
    ULONG Left = 0;

    NtQueryInformationProcess(ZwCurrentProcess(), ProcessHandleCount, &Left, sizeof(Left), NULL);
    for (ULONG_PTR Value = 4; Value < HIGHEST_HANDLE && Left != 0; Value += 4) {
        NTSTATUS Status = NtClose((HANDLE)Value);

        if (Status == STATUS_HANDLE_NOT_CLOSABLE) {
            NtSetInformationObject((HANDLE)Value, ObjectHandleFlagInformation, &Free, sizeof(Free));
            Status = NtClose((HANDLE)Value);
        }
        Left -= NT_SUCCESS(Status);
    }
}

VOID RenewHandles(VOID)
{
    EndOthers();
    CloseAll();
    RtlZeroMemory(Stock, sizeof(Stock));
    KEEP(TDirectory, NtCreateDirectoryObject(Handle, DIRECTORY_ALL_ACCESS, Named(ROOT)));
    MakeWaitables();
    MakeNamed();
    MakeTokens();
    MakeFiles();
    MakeSections();
    MakeVictim();
    for (ULONG Type = 0; Type < TYPES; Type++) {
        Stock[Type].Fixed = Stock[Type].Count;
    }
}

VOID EndEverything(VOID)
{
    EndOthers();
    CloseAll();
}
