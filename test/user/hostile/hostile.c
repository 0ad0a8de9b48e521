/*
 * hostile.c - calls every system service with random arguments; `hostile SEED CALLS [WORD [FROM]]`.
 *
 * Services are taken from services.tbl in shuffled rounds, so each gets its share and a new one is called from its first day. Half of the calls have
 * arguments that are all right for their kinds (signatures.c), four in ten have one that is not, the rest several. Whatever a service
 * answers is right; what is wrong is a bug check, a hang, or something left behind, which the kernel's counters tell
 * (test/test_programs.py). A second thread changes the memory that arguments point to, so that a service which looks twice sees two things.
 *
 * Which class and length a query of a service took once is tried again, so that calls come past the check of lengths. WORD 1 prints each call from number FROM on
 * before it is made, WORD 2 a line for each service afterwards. Without CALLS the program ends at once: so it is its own victim. Ends with 0 when
 * all calls were made.
 */
#include "hostile.h"

const SERVICE Services[] = {
#define SERVICE(Name, Arguments) {#Name, Arguments},
#include "services.inc"
#undef SERVICE
};
const ULONG ServiceCount = RTL_NUMBER_OF(Services);

#define CALLS_BETWEEN_RENEWALS 512
#define ROUNDS_OF_COSTLY       4  /* services that make processes are called in one of so many rounds */
#define CALLS_AS_OTHERS        32 /* a token that the thread has taken is given back after so many */
#define KNOWN                  16
#define STATUSES               4

static struct {
    UCHAR Kinds[ARGUMENTS], Numbers[ARGUMENTS];
    PBEFORE Before;
    PAFTER After;
    KNOWN_QUERY Known[KNOWN];
    ULONG KnownCount;
    ULONG Calls, Successes, RightCalls, RightSuccesses;
    struct {
        NTSTATUS Status;
        ULONG Count;
    } Failures[STATUSES]; /* of calls whose arguments were right */
} State[RTL_NUMBER_OF(Services)];

ULONG64 CallService(ULONG64 Number, PULONG64 Arguments, ULONG Count); /* call.asm */

VOID NTAPI Nothing(PVOID First, PVOID Second, PVOID Third)
{
}

NTSTATUS NTAPI NoThread(PVOID Argument)
{
    return STATUS_SUCCESS;
}

/* ---- Privileges ---- */

VOID SetPrivilege(ULONG Privilege, BOOLEAN Enable)
{
    TOKEN_PRIVILEGES New = {1, {{{Privilege, 0}, Enable ? SE_PRIVILEGE_ENABLED : 0}}};
    HANDLE Token;

    if (NT_SUCCESS(NtOpenProcessToken(ZwCurrentProcess(), TOKEN_ADJUST_PRIVILEGES, &Token))) {
        NtAdjustPrivilegesToken(Token, FALSE, &New, 0, NULL, NULL);
        NtClose(Token);
    }
}

/* The thread may have taken somebody's token. */
static VOID ActForMyself(VOID)
{
    HANDLE None = NULL;

    NtSetInformationThread(ZwCurrentThread(), ThreadImpersonationToken, &None, sizeof(None));
}

/* An object whose handle does not allow it. */
VOID MakeTemporary(HANDLE Handle)
{
    HANDLE Own;

    ActForMyself();
    if (NT_SUCCESS(NtDuplicateObject(ZwCurrentProcess(), Handle, ZwCurrentProcess(), &Own, EVENT_ALL_ACCESS, 0, 0))) {
        NtMakeTemporaryObject(Own);
        NtClose(Own);
    }
}

/* ---- Services that do not return as others do ---- */

#define LANDING_CODE 0xE0A11E57

static volatile BOOLEAN Landed;

static LONG NTAPI Continue(PEXCEPTION_POINTERS Pointers)
{
    return (ULONG)Pointers->ExceptionRecord->ExceptionCode == LANDING_CODE ? -1 : 0; /* go on; let others look */
}

/* NtContinue and NtRaiseException of a context that is this function's: control comes back from RtlCaptureContext a second time. */
static NTSTATUS CallAndLand(PCALL Call)
{
    static DECLSPEC_ALIGN(16) CONTEXT Context;
    static EXCEPTION_RECORD Record;
    BOOLEAN Raise = Services[Call->Service].Arguments == 3;

    Landed = FALSE;
    RtlCaptureContext(&Context);
    if (Landed) {
        return STATUS_SUCCESS;
    }
    Landed = TRUE;
    RtlZeroMemory(&Record, sizeof(Record));
    Record.ExceptionCode = (NTSTATUS)LANDING_CODE;
    Record.NumberParameters = (ULONG)Call->Bad & 7;
    Call->Argument[0] = Raise ? (ULONG64)&Record : (ULONG64)&Context;
    Call->Argument[1] = Raise ? (ULONG64)&Context : Call->Argument[1];
    Call->Argument[2] = 1;
    return (NTSTATUS)CallService(Call->Service, Call->Argument, ARGUMENTS);
}

static BOOLEAN IsJump(PCSTR Name)
{
    return strcmp(Name, "NtContinue") == 0 || strcmp(Name, "NtRaiseException") == 0;
}

/* ---- One call ---- */

static BOOLEAN IsCostly(ULONG Service)
{
    return strcmp(Services[Service].Name, "NtCreateUserProcess") == 0 ||
           strcmp(Services[Service].Name, "NtCreateProcessEx") == 0;
}

static ULONG NextService(VOID)
{
    static UCHAR Order[RTL_NUMBER_OF(Services)];
    static ULONG Next = RTL_NUMBER_OF(Services), Round;
    C_ASSERT(RTL_NUMBER_OF(Services) < 256);

    while (Next < ServiceCount && IsCostly(Order[Next]) && Round % ROUNDS_OF_COSTLY != 0) {
        Next++;
    }
    if (Next == ServiceCount) {
        Round++;
        for (ULONG Index = 0; Index < ServiceCount; Index++) {
            ULONG Other = Random(Index + 1);

            Order[Index] = Order[Other];
            Order[Other] = (UCHAR)Index;
        }
        Next = 0;
    }
    return Order[Next++];
}

/* The mask of arguments that are to be wrong. */
static ULONG DrawHostile(ULONG Count)
{
    ULONG Way = Random(10), One = Random(max(Count, 1)), Some = 0;

    for (ULONG Index = 0; Index < ARGUMENTS; Index++) {
        Some |= Random(3) == 0 ? 1U << Index : 0U;
    }
    return Way < 5 ? 0 : Way < 9 ? 1U << One : Some;
}

static VOID Prepare(PCALL Call, ULONG Hostile)
{
    ULONG Service = Call->Service, Use = Random(2), Which = Random(KNOWN);

    Call->Bad = BadPointer();
    if (Use == 0 && State[Service].KnownCount != 0) {
        Call->Known = State[Service].Known[Which % State[Service].KnownCount];
    }
    for (ULONG Index = 0; Index < Services[Service].Arguments; Index++) {
        Call->Argument[Index] = MakeArgument(Call, State[Service].Kinds[Index], State[Service].Numbers[Index],
                                             (BOOLEAN)(Hostile >> Index & 1));
    }
    if (State[Service].Before != NULL) {
        State[Service].Before(Call);
    }
}

static VOID Count(PCALL Call, NTSTATUS Status, BOOLEAN Right)
{
    ULONG Service = Call->Service, Index;

    State[Service].Calls++;
    State[Service].RightCalls += Right;
    if (NT_SUCCESS(Status)) {
        State[Service].Successes++;
        State[Service].RightSuccesses += Right;
        return;
    }
    for (Index = 0; Right && Index < STATUSES; Index++) {
        if (State[Service].Failures[Index].Count == 0 || State[Service].Failures[Index].Status == Status) {
            State[Service].Failures[Index].Status = Status;
            State[Service].Failures[Index].Count++;
            return;
        }
    }
}

static VOID Learn(PCALL Call)
{
    ULONG Service = Call->Service;

    for (ULONG Index = 0; Index < State[Service].KnownCount; Index++) {
        if (State[Service].Known[Index].Class == Call->Used.Class) {
            return;
        }
    }
    if (State[Service].KnownCount < KNOWN && Call->Used.Length != 0) {
        State[Service].Known[State[Service].KnownCount++] = Call->Used;
    }
}

static VOID CallOne(BOOLEAN Trace)
{
    CALL Call = {.Service = NextService()};
    ULONG Hostile = DrawHostile(Services[Call.Service].Arguments);
    BOOLEAN Jump = IsJump(Services[Call.Service].Name);
    NTSTATUS Status;

    Prepare(&Call, Hostile);
    if (Trace) {
        DbgPrint("%s(%llX, %llX, %llX, %llX, %llX, %llX) %lX\n", Services[Call.Service].Name, Call.Argument[0],
                 Call.Argument[1], Call.Argument[2], Call.Argument[3], Call.Argument[4], Call.Argument[5], Hostile);
    }
    Progress++;
    Doing = Services[Call.Service].Name;
    if (Jump && Hostile == 0) {
        Status = CallAndLand(&Call);
    } else {
        Call.Argument[0] = Jump ? KERNEL : Call.Argument[0]; /* a context or record that can be read would be obeyed */
        Status = (NTSTATUS)CallService(Call.Service, Call.Argument, ARGUMENTS);
    }
    if (Status == STATUS_PROCESS_CLONED) {
        NtTerminateProcess(ZwCurrentProcess(), STATUS_SUCCESS); /* this is a copy of the program */
    }
    if (State[Call.Service].After != NULL) {
        State[Call.Service].After(&Call, Status);
    }
    Count(&Call, Status, Hostile == 0);
    if (NT_SUCCESS(Status)) {
        Learn(&Call);
        for (ULONG Index = 0; Index < Call.NewCount; Index++) {
            KeepHandle(*Call.NewHandle[Index], Call.NewType[Index]);
        }
    }
}

/* ---- Before and after all calls ---- */

/* The word of the command line with this number, as a number; 0: there is none. */
static ULONG64 Word(PCUNICODE_STRING Line, ULONG Index)
{
    ULONG Length = Line->Length / sizeof(WCHAR), At = 0;
    ULONG64 Value = 0;

    for (ULONG Skip = 0; Skip < Index; Skip++) {
        while (At < Length && Line->Buffer[At] != L' ') {
            At++;
        }
        while (At < Length && Line->Buffer[At] == L' ') {
            At++;
        }
    }
    for (; At < Length && Line->Buffer[At] >= L'0' && Line->Buffer[At] <= L'9'; At++) {
        Value = Value * 10 + Line->Buffer[At] - L'0';
    }
    return Value;
}

static VOID PrepareServices(VOID)
{
    static const UCHAR Wanted[] = {SE_CREATE_TOKEN_PRIVILEGE,   SE_ASSIGNPRIMARYTOKEN_PRIVILEGE,
                                   SE_INCREASE_QUOTA_PRIVILEGE, SE_SECURITY_PRIVILEGE,
                                   SE_TAKE_OWNERSHIP_PRIVILEGE, SE_LOAD_DRIVER_PRIVILEGE,
                                   SE_SYSTEMTIME_PRIVILEGE,     SE_BACKUP_PRIVILEGE,
                                   SE_RESTORE_PRIVILEGE};

    for (ULONG Number = 0; Number < ServiceCount; Number++) {
        SplitSignature(&Signatures[Number], State[Number].Kinds, State[Number].Numbers);
        FindRestraints(Services[Number].Name, &State[Number].Before, &State[Number].After);
    }
    for (ULONG Index = 0; Index < sizeof(Wanted); Index++) {
        SetPrivilege(Wanted[Index], TRUE);
    }
    SetPrivilege(SE_CREATE_PERMANENT_PRIVILEGE, FALSE); /* restrain.c */
    RtlAddVectoredExceptionHandler(1, (PVECTORED_EXCEPTION_HANDLER)Continue);
}

static VOID Report(ULONG64 Calls, BOOLEAN Table)
{
    ULONG Successes = 0, Ever = 0;

    for (ULONG Number = 0; Number < ServiceCount; Number++) {
        Successes += State[Number].Successes;
        Ever += State[Number].Successes != 0;
        if (Table) {
            DbgPrint("%s: %lu of %lu, right %lu of %lu; %08lX %lu, %08lX %lu, %08lX %lu\n", Services[Number].Name,
                     State[Number].Successes, State[Number].Calls, State[Number].RightSuccesses,
                     State[Number].RightCalls, State[Number].Failures[0].Status, State[Number].Failures[0].Count,
                     State[Number].Failures[1].Status, State[Number].Failures[1].Count,
                     State[Number].Failures[2].Status, State[Number].Failures[2].Count);
        }
    }
    DbgPrint("hostile: %llu calls of %lu services, %lu (%llu %%) succeeded, %lu services at least once\n", Calls,
             ServiceCount, Successes, Successes * 100ULL / max(Calls, 1), Ever);
}

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    PCUNICODE_STRING Line = &Peb->ProcessParameters->CommandLine;
    ULONG64 Calls = Word(Line, 2), Words = Word(Line, 3);
    NTSTATUS Status;

    if (Calls == 0) {
        return STATUS_SUCCESS;
    }
    if (!CheckSignatures()) {
        return STATUS_REVISION_MISMATCH;
    }
    Self = ((PTEB)((PNT_TIB)__readgsqword(0x30))->Self)->ClientId;
    Status = MakeMemory();
    RememberKeys();
    PrepareServices();
    RandomState = (Word(Line, 1) + 1) * 0x9E3779B97F4A7C15ULL;
    if (NT_SUCCESS(Status)) {
        WarmFiles();
        Status = StartRacer();
    }
    for (ULONG64 Call = 0; NT_SUCCESS(Status) && Call < Calls; Call++) {
        if (Call % CALLS_AS_OTHERS == 0) {
            ActForMyself();
        }
        if (Call % CALLS_BETWEEN_RENEWALS == 0) {
            Doing = "renewal";
            RenewHandles();
            RenewMemory();
        }
        CallOne(Words == 1 && Call >= Word(Line, 4));
    }
    Stop = 1;
    ActForMyself();
    EndEverything();
    DeleteNewKeys();
    Report(Calls, Words == 2);
    return Status;
}
