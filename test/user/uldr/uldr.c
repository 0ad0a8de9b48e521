/*
 * uldr.c - the suite of the loader: loading and unloading by call, imports, forwarders, cycles, order of DllMain, TLS, delayed imports.
 *
 * The DLLs are td...; tdll.h says how they report. `uldr load NAME` loads a DLL and ends with the status, for DLLs that are damaged.
 * A program is judged with the DLLs that came with its start, too.
 */
#include "../ktap.h"
#include "../tdll.h"

ULONG NTAPI StaticCount(PULONG ThreadCount);
ULONG NTAPI StaticTls(VOID);

typedef ULONG(NTAPI *PVALUE)(VOID);
typedef ULONG(NTAPI *PMAP)(ULONG Value);

static TD_LOG Log;

static BOOLEAN LogIs(PCSTR Expected)
{
    BOOLEAN Same = TRUE;
    ULONG Index = 0;

    for (; Expected[Index] != 0 && Same; Index++) {
        Same = Log.Text[Index] == Expected[Index];
    }
    Same = Same && Index == Log.Length;
    if (!Same) {
        DbgPrint("# order is %s, expected %s\n", Log.Text, Expected);
    }
    Log.Length = 0;
    Log.Text[0] = 0;
    return Same;
}

static NTSTATUS Load(PCWSTR Name, PVOID *Base)
{
    UNICODE_STRING String;

    RtlInitUnicodeString(&String, Name);
    return LdrLoadDll(NULL, NULL, &String, Base);
}

static BOOLEAN IsLoaded(PCWSTR Name)
{
    UNICODE_STRING String;
    PVOID Base;

    RtlInitUnicodeString(&String, Name);
    return NT_SUCCESS(LdrGetDllHandle(NULL, NULL, &String, &Base));
}

/* NULL: there is none. */
static PVOID Find(PVOID Base, PCSTR Name, ULONG Ordinal)
{
    ANSI_STRING String;
    PVOID Address = NULL;

    if (Name != NULL) {
        RtlInitAnsiString(&String, Name);
    }
    return NT_SUCCESS(LdrGetProcedureAddress(Base, Name == NULL ? NULL : &String, Ordinal, &Address)) ? Address : NULL;
}

/* ---- Cases ---- */

static ULONG LoadedAtStart(VOID)
{
    ULONG Threads;

    CHECK(StaticCount(&Threads) == 1);
    CHECK(StaticTls() == 5 && StaticTls() == 6);
    CHECK(IsLoaded(L"tdstat.dll") && IsLoaded(L"TDSTAT") && IsLoaded(L"uldr.exe") && IsLoaded(L"ntdll"));
    CHECK(!IsLoaded(L"tdleaf") && !IsLoaded(L"tdstat.") && !IsLoaded(L""));
    return 0;
}

static ULONG LoadAndUnload(VOID)
{
    PVOID Base = NULL, Again = NULL, Other;

    CHECK(Load(L"tdleaf", &Base) == STATUS_SUCCESS && LogIs("L"));
    CHECK(((PVALUE)Find(Base, "LeafValue", 0))() == 77);
    CHECK(*(PULONG)Find(Base, "LeafVariable", 0) == 77);
    CHECK(((PMAP)Find(Base, NULL, 3))(5) == 15);
    CHECK(Find(Base, "LeafThird", 0) == NULL && Find(Base, NULL, 4) == NULL && Find(Base, "leafvalue", 0) == NULL);
    CHECK(Load(L"TDLEAF.DLL", &Again) == STATUS_SUCCESS && Again == Base);
    CHECK(Load(L"\\SystemRoot\\System\\tdleaf", &Again) == STATUS_SUCCESS && Again == Base && LogIs(""));
    CHECK(LdrUnloadDll(Base) == STATUS_SUCCESS && LdrUnloadDll(Base) == STATUS_SUCCESS && LogIs(""));
    CHECK(LdrAddRefDll(0, Base) == STATUS_SUCCESS && LdrUnloadDll(Base) == STATUS_SUCCESS && IsLoaded(L"tdleaf"));
    CHECK(LdrUnloadDll(Base) == STATUS_SUCCESS && LogIs("-L") && !IsLoaded(L"tdleaf"));
    CHECK(LdrUnloadDll(Base) == STATUS_DLL_NOT_FOUND && LdrAddRefDll(0, Base) == STATUS_DLL_NOT_FOUND);
    CHECK(LdrGetProcedureAddress(Base, NULL, 1, &Other) == STATUS_DLL_NOT_FOUND);
    CHECK(Load(L"\\SystemRoot\\System\\tdleaf", &Base) == STATUS_SUCCESS && LdrUnloadDll(Base) == STATUS_SUCCESS);
    CHECK(LogIs("L-L"));
    CHECK(Load(L"tdnothing", &Base) == STATUS_DLL_NOT_FOUND && Load(L"", &Base) == STATUS_DLL_NOT_FOUND);
    CHECK(Load(L"D:\\no\\tdleaf.dll", &Base) == STATUS_DLL_NOT_FOUND);
    return 0;
}

/* What is needed begins first and ends last; it goes with the last that needs it. */
static ULONG LoadOrder(VOID)
{
    PVOID Base, Leaf;

    CHECK(Load(L"tdbase.dll", &Base) == STATUS_SUCCESS && LogIs("LB"));
    CHECK(((PMAP)Find(Base, "BaseAdd", 0))(3) == 80);
    CHECK(((PMAP)Find(Base, NULL, 9))(3) == 10);
    CHECK(Load(L"tdleaf", &Leaf) == STATUS_SUCCESS && LogIs(""));
    CHECK(LdrUnloadDll(Base) == STATUS_SUCCESS && LogIs("-B") && IsLoaded(L"tdleaf"));
    CHECK(Load(L"tdbase.dll", &Base) == STATUS_SUCCESS && LogIs("B"));
    CHECK(LdrUnloadDll(Leaf) == STATUS_SUCCESS && LogIs("") && IsLoaded(L"tdleaf"));
    CHECK(LdrUnloadDll(Base) == STATUS_SUCCESS && LogIs("-B-L"));
    return 0;
}

static ULONG LoadForwarders(VOID)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"ntdll.dll");
    PVOID Base, Leaf, Ntdll;

    CHECK(Load(L"tdbase", &Base) == STATUS_SUCCESS && Load(L"tdleaf", &Leaf) == STATUS_SUCCESS);
    CHECK(LdrGetDllHandle(NULL, NULL, &Name, &Ntdll) == STATUS_SUCCESS);
    CHECK(Find(Base, "BaseForward", 0) != NULL && Find(Base, "BaseForward", 0) == Find(Leaf, "LeafValue", 0));
    CHECK(Find(Base, "BaseForwardOrdinal", 0) == Find(Leaf, NULL, 3));
    CHECK(Find(Base, NULL, 2) == Find(Leaf, "LeafValue", 0));
    CHECK(Find(Base, "BaseRtl", 0) == Find(Ntdll, "RtlCompareMemory", 0));
    CHECK(LdrUnloadDll(Leaf) == STATUS_SUCCESS && LdrUnloadDll(Base) == STATUS_SUCCESS && LogIs("LB-B-L"));
    return 0;
}

static ULONG LoadCycle(VOID)
{
    PVOID A, B;

    for (ULONG Round = 0; Round < 3; Round++) {
        CHECK(Load(L"tdcyca", &A) == STATUS_SUCCESS && LogIs("LZY"));
        CHECK(((PMAP)Find(A, "CycleA", 0))(4) == 5 && ((PMAP)Find(A, "CycleA", 0))(5) == 82);
        CHECK(Load(L"tdcycb", &B) == STATUS_SUCCESS && LogIs(""));
        CHECK(LdrUnloadDll(A) == STATUS_SUCCESS && LogIs("") && IsLoaded(L"tdcyca"));
        CHECK(LdrUnloadDll(B) == STATUS_SUCCESS && LogIs("-Y-Z-L") && !IsLoaded(L"tdcyca") && !IsLoaded(L"tdleaf"));
    }
    return 0;
}

/* Who refuses is told of its end, and all that came with it goes. */
static ULONG LoadRefused(VOID)
{
    PVOID Base;

    Log.Refuse = TRUE;
    CHECK(Load(L"tdfail", &Base) == STATUS_DLL_INIT_FAILED && LogIs("LBF-F-B-L"));
    CHECK(!IsLoaded(L"tdfail") && !IsLoaded(L"tdbase") && !IsLoaded(L"tdleaf"));
    Log.Refuse = FALSE;
    CHECK(Load(L"tdfail", &Base) == STATUS_SUCCESS && LogIs("LBF"));
    CHECK(((PVALUE)Find(Base, "FailValue", 0))() == 78);
    CHECK(LdrUnloadDll(Base) == STATUS_SUCCESS && LogIs("-F-B-L"));
    return 0;
}

/* Something else lies where the image's section would have it. */
static ULONG LoadElsewhere(VOID)
{
    SIZE_T Size = 0x10000;
    PVOID Base, Kept, Other;

    CHECK(Load(L"tdbase", &Base) == STATUS_SUCCESS && LdrUnloadDll(Base) == STATUS_SUCCESS);
    Kept = Base;
    CHECK(NtAllocateVirtualMemory(ZwCurrentProcess(), &Kept, 0, &Size, MEM_RESERVE, PAGE_READWRITE) == STATUS_SUCCESS);
    CHECK(Load(L"tdbase", &Other) == STATUS_SUCCESS && Other != Base);
    CHECK(((PMAP)Find(Other, "BaseAdd", 0))(3) == 80 && ((PMAP)Find(Other, "BaseTls", 0))(1) == 1001);
    CHECK(LdrUnloadDll(Other) == STATUS_SUCCESS);
    Size = 0;
    CHECK(NtFreeVirtualMemory(ZwCurrentProcess(), &Kept, &Size, MEM_RELEASE) == STATUS_SUCCESS);
    CHECK(LogIs("LB-B-LLB-B-L"));
    return 0;
}

/* ---- Threads ---- */

static volatile PMAP TlsRoutine;
static volatile LONG Early, Wrong;

/* Is there before the DLL; uses its TLS afterwards. */
static NTSTATUS NTAPI EarlyThread(PVOID Argument)
{
    PMAP Zero = NULL;

    InterlockedIncrement(&Early);
    while (TlsRoutine == NULL) {
        RtlWaitOnAddress((PVOID)&TlsRoutine, &Zero, sizeof(Zero), NULL);
    }
    if (TlsRoutine(1) != 1001 || TlsRoutine(2) != 1003) {
        InterlockedIncrement(&Wrong);
    }
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI LateThread(PVOID Argument)
{
    if (TlsRoutine(10) != 1010 || StaticTls() != 5) {
        InterlockedIncrement(&Wrong);
    }
    return STATUS_SUCCESS;
}

static ULONG LoadTls(VOID)
{
    HANDLE Thread[THREADS];
    PVOID Base;

    TlsRoutine = NULL;
    Early = Wrong = 0;
    for (ULONG Index = 0; Index < THREADS; Index++) {
        Thread[Index] = StartThread(EarlyThread, NULL, 0);
        CHECK(Thread[Index] != NULL);
    }
    while (Early != THREADS) {
        NtYieldExecution();
    }
    CHECK(Load(L"tdbase", &Base) == STATUS_SUCCESS);
    TlsRoutine = (PMAP)Find(Base, "BaseTls", 0);
    RtlWakeAddressAll((PVOID)&TlsRoutine);
    for (ULONG Index = 0; Index < THREADS; Index++) {
        CHECK(Join(Thread[Index]) == 0);
    }
    CHECK(RunThreads(LateThread, NULL, THREADS) == 0);
    CHECK(Wrong == 0 && TlsRoutine(0) == 1000);
    CHECK(LdrUnloadDll(Base) == STATUS_SUCCESS);
    CHECK(Load(L"tdbase", &Base) == STATUS_SUCCESS); /* everything anew */
    CHECK(((PMAP)Find(Base, "BaseTls", 0))(4) == 1004);
    CHECK(LdrUnloadDll(Base) == STATUS_SUCCESS && LogIs("LB-B-LLB-B-L"));
    return 0;
}

static NTSTATUS NTAPI IdleThread(PVOID Argument)
{
    return STATUS_SUCCESS;
}

static ULONG LoadThreads(VOID)
{
    ULONG Before, After;
    PVOID Base, Leaf;

    StaticCount(&Before);
    CHECK(Load(L"tdcyca", &Base) == STATUS_SUCCESS && Load(L"tdleaf", &Leaf) == STATUS_SUCCESS && LogIs("LZY"));
    Log.Threads = TRUE;
    CHECK(RunThreads(IdleThread, NULL, 1) == 0 && LogIs("lzy-y-z-l"));
    CHECK(LdrDisableThreadCalloutsForDll(Leaf) == STATUS_SUCCESS);
    CHECK(RunThreads(IdleThread, NULL, 1) == 0 && LogIs("zy-y-z"));
    Log.Threads = FALSE;
    CHECK(LdrUnloadDll(Base) == STATUS_SUCCESS && LdrUnloadDll(Leaf) == STATUS_SUCCESS && LogIs("-Y-Z-L"));
    StaticCount(&After);
    CHECK(After == Before + 2);
    return 0;
}

static NTSTATUS NTAPI StormThread(PVOID Argument)
{
    static const PCWSTR Names[] = {L"tdbase", L"tdcyca", L"tdleaf", L"tdcycb"};
    ULONG Seed = (ULONG)__rdtsc();
    PVOID Base;

    for (ULONG Round = 0; Round < 8; Round++) {
        if (!NT_SUCCESS(Load(Names[NextRandom(&Seed) % 4], &Base)) || Find(Base, NULL, 1) == NULL ||
            !NT_SUCCESS(LdrUnloadDll(Base))) {
            InterlockedIncrement(&Wrong);
        }
    }
    return STATUS_SUCCESS;
}

/* Threads begin, end, load and unload at once; exceptions look for images meanwhile. */
static ULONG LoadStorm(VOID)
{
    HANDLE Thread[THREADS];

    Wrong = 0;
    for (ULONG Index = 0; Index < THREADS; Index++) {
        Thread[Index] = StartThread(StormThread, NULL, 0);
        CHECK(Thread[Index] != NULL);
    }
    for (ULONG Round = 0; Round < 200; Round++) {
        __try {
            RtlRaiseStatus(STATUS_DATA_ERROR);
        } __except (EXCEPTION_EXECUTE_HANDLER) {
        }
    }
    for (ULONG Index = 0; Index < THREADS; Index++) {
        CHECK(Join(Thread[Index]) == 0);
    }
    CHECK(Wrong == 0 && !IsLoaded(L"tdleaf") && !IsLoaded(L"tdcyca"));
    CHECK(RtlValidateHeap(RtlGetCurrentPeb()->ProcessHeap, 0, NULL));
    Log.Length = 0;
    return 0;
}

/* ---- Delayed imports ---- */

static struct {
    CHAR Module[16];
    struct {
        USHORT Hint;
        CHAR Name[14];
    } ByName[2];
    ULONG64 Names[4];
    PVOID Slots[4];
} Delayed = {"tdbase.dll", {{0, "BaseAdd"}, {0, "BaseNothing"}}, {0}, {0}};

static ULONG LoadDelayed(VOID)
{
    PUCHAR Image = RtlGetCurrentPeb()->ImageBaseAddress;
    ORIEL_DELAYLOAD_DESCRIPTOR Descriptor = {.Attributes = 1};
    NTSTATUS Code = 0;
    PVOID Base, Address;

    Descriptor.DllNameRva = (ULONG)((PUCHAR)Delayed.Module - Image);
    Descriptor.ImportNameTableRva = (ULONG)((PUCHAR)Delayed.Names - Image);
    Descriptor.ImportAddressTableRva = (ULONG)((PUCHAR)Delayed.Slots - Image);
    Delayed.Names[0] = (ULONG64)((PUCHAR)&Delayed.ByName[0] - Image);
    Delayed.Names[1] = 0x8000000000000009ULL;
    Delayed.Names[2] = (ULONG64)((PUCHAR)&Delayed.ByName[1] - Image);
    CHECK(!IsLoaded(L"tdbase"));
    Address = LdrResolveDelayLoadedAPI(Image, &Descriptor, NULL, NULL, &Delayed.Slots[0], 0);
    CHECK(Address != NULL && Address == Delayed.Slots[0] && ((PMAP)Address)(1) == 78 && LogIs("LB"));
    Address = LdrResolveDelayLoadedAPI(Image, &Descriptor, NULL, NULL, &Delayed.Slots[1], 0);
    CHECK(Address == Delayed.Slots[1] && ((PMAP)Address)(2) == 7 && LogIs(""));
    __try {
        LdrResolveDelayLoadedAPI(Image, &Descriptor, NULL, NULL, &Delayed.Slots[2], 0);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Code = GetExceptionCode();
    }
    CHECK(Code == STATUS_ENTRYPOINT_NOT_FOUND && Delayed.Slots[2] == NULL);
    CHECK(Load(L"tdbase", &Base) == STATUS_SUCCESS && LdrUnloadDll(Base) == STATUS_SUCCESS);
    CHECK(LogIs("") && IsLoaded(L"tdbase")); /* the program needs it from now on */
    return 0;
}

static const USER_CASE Cases[] = {
    {"user.ldr.start", LoadedAtStart},       {"user.ldr.unload", LoadAndUnload}, {"user.ldr.order", LoadOrder},
    {"user.ldr.forwarders", LoadForwarders}, {"user.ldr.cycle", LoadCycle},      {"user.ldr.refused", LoadRefused},
    {"user.ldr.elsewhere", LoadElsewhere},   {"user.ldr.tls", LoadTls},          {"user.ldr.threads", LoadThreads},
    {"user.ldr.storm", LoadStorm},           {"user.ldr.delayed", LoadDelayed},
};

/* What stands behind "load " in the command line. */
static BOOLEAN NameToLoad(PPEB Peb, PUNICODE_STRING Name)
{
    UNICODE_STRING Word = RTL_CONSTANT_STRING(L"load ");

    for (*Name = Peb->ProcessParameters->CommandLine; Name->Length >= Word.Length; Name->Length -= sizeof(WCHAR)) {
        if (RtlPrefixUnicodeString(&Word, Name, FALSE)) {
            Name->Buffer += Word.Length / sizeof(WCHAR);
            Name->Length -= Word.Length;
            return TRUE;
        }
        Name->Buffer++;
    }
    return FALSE;
}

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    UNICODE_STRING Name;
    PVOID Base;

    if (NameToLoad(Peb, &Name)) {
        return LdrLoadDll(NULL, NULL, &Name, &Base);
    }
    Peb->SubSystemData = &Log;
    return UserRunSuite("uldr.c", Cases, RTL_NUMBER_OF(Cases));
}
