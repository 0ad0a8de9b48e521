/*
 * uenv.c - the suite of environments and of RtlCreateUserThread.
 *
 * What is set is found again whatever the case of its name; the block stays well formed while variables grow, shrink and go; several threads may
 * change the process's own.
 */
#include "../ktap.h"

static UNICODE_STRING Text(PCWSTR Characters)
{
    UNICODE_STRING String;

    RtlInitUnicodeString(&String, Characters);
    return String;
}

static NTSTATUS Set(PWSTR *Block, PCWSTR Name, PCWSTR Value)
{
    UNICODE_STRING Key = Text(Name), Content = Text(Value);

    return RtlSetEnvironmentVariable(Block, &Key, Value == NULL ? NULL : &Content);
}

static BOOLEAN Is(PWSTR Block, PCWSTR Name, PCWSTR Expected)
{
    WCHAR Buffer[64];
    UNICODE_STRING Key = Text(Name), Content = {0, sizeof(Buffer), Buffer}, Wanted = Text(Expected);

    return NT_SUCCESS(RtlQueryEnvironmentVariable_U(Block, &Key, &Content)) &&
           RtlEqualUnicodeString(&Content, &Wanted, FALSE);
}

static NTSTATUS Ask(PWSTR Block, PCWSTR Name, PUNICODE_STRING Value)
{
    UNICODE_STRING Key = Text(Name);

    return RtlQueryEnvironmentVariable_U(Block, &Key, Value);
}

static ULONG EnvironmentOwn(VOID)
{
    WCHAR Buffer[4];
    UNICODE_STRING Short = {0, sizeof(Buffer), Buffer};

    CHECK(Is(NULL, L"SystemRoot", L"\\SystemRoot") && Is(NULL, L"systemROOT", L"\\SystemRoot"));
    CHECK(Ask(NULL, L"SystemRoot", &Short) == STATUS_BUFFER_TOO_SMALL && Short.Length == 11 * sizeof(WCHAR));
    CHECK(Ask(NULL, L"System", &Short) == STATUS_VARIABLE_NOT_FOUND);
    CHECK(Ask(NULL, L"", &Short) == STATUS_VARIABLE_NOT_FOUND);
    CHECK(Set(NULL, L"one", L"1") == STATUS_SUCCESS && Set(NULL, L"two", L"") == STATUS_SUCCESS);
    CHECK(Set(NULL, L"ONE", L"another, longer value") == STATUS_SUCCESS);
    CHECK(Is(NULL, L"one", L"another, longer value") && Is(NULL, L"two", L"") &&
          Is(NULL, L"SystemRoot", L"\\SystemRoot"));
    CHECK(Set(NULL, L"one", NULL) == STATUS_SUCCESS && Set(NULL, L"one", NULL) == STATUS_VARIABLE_NOT_FOUND);
    CHECK(Is(NULL, L"two", L"") && Set(NULL, L"two", NULL) == STATUS_SUCCESS);
    CHECK(Set(NULL, L"", L"x") == STATUS_INVALID_PARAMETER && Set(NULL, L"a=b", L"x") == STATUS_INVALID_PARAMETER);
    CHECK(RtlValidateHeap(RtlGetCurrentPeb()->ProcessHeap, 0, NULL));
    return 0;
}

static ULONG EnvironmentOther(VOID)
{
    PWSTR Block, Copy;

    CHECK(RtlCreateEnvironment(FALSE, &Block) == STATUS_SUCCESS && Block[0] == 0 && Block[1] == 0);
    CHECK(Set(&Block, L"=D:", L"D:\\folder") == STATUS_SUCCESS && Is(Block, L"=d:", L"D:\\folder"));
    CHECK(Set(&Block, L"b", L"2=2") == STATUS_SUCCESS && Is(Block, L"B", L"2=2"));
    CHECK(!Is(NULL, L"b", L"2=2") && !Is(Block, L"SystemRoot", L"\\SystemRoot"));
    CHECK(Set(&Block, L"=D:", NULL) == STATUS_SUCCESS && Set(&Block, L"b", NULL) == STATUS_SUCCESS);
    CHECK(Block[0] == 0 && Block[1] == 0);
    CHECK(RtlCreateEnvironment(TRUE, &Copy) == STATUS_SUCCESS && Is(Copy, L"SystemRoot", L"\\SystemRoot"));
    CHECK(RtlDestroyEnvironment(Copy) == STATUS_SUCCESS && RtlDestroyEnvironment(Block) == STATUS_SUCCESS);
    return 0;
}

static volatile LONG Wrong;

static NTSTATUS NTAPI ChangeThread(PVOID Argument)
{
    WCHAR Name[] = L"thread?", Value[32];

    Name[6] = (WCHAR)('0' + (ULONG)InterlockedIncrement((volatile LONG *)Argument));
    for (ULONG Round = 0; Round < 200; Round++) {
        ULONG Length = Round % 31;

        for (ULONG Index = 0; Index < Length; Index++) {
            Value[Index] = Name[6];
        }
        Value[Length] = 0;
        if (!NT_SUCCESS(Set(NULL, Name, Value)) || !Is(NULL, Name, Value) ||
            !Is(NULL, L"SystemRoot", L"\\SystemRoot")) {
            InterlockedIncrement(&Wrong);
        }
    }
    return Set(NULL, Name, NULL);
}

static ULONG EnvironmentThreads(VOID)
{
    LONG Number = 0;

    Wrong = 0;
    CHECK(RunThreads(ChangeThread, &Number, THREADS) == 0);
    CHECK(Wrong == 0 && RtlValidateHeap(RtlGetCurrentPeb()->ProcessHeap, 0, NULL));
    return 0;
}

static NTSTATUS NTAPI IdThread(PVOID Argument)
{
    *(HANDLE *)Argument = ((PTEB)__readgsqword(0x30))->ClientId.UniqueThread;
    return STATUS_SUCCESS;
}

static ULONG ThreadByRtl(VOID)
{
    HANDLE Seen = NULL, Thread;
    CLIENT_ID Id;

    CHECK(RtlCreateUserThread(ZwCurrentProcess(), NULL, TRUE, 0, 0x40000, 0, IdThread, &Seen, &Thread, &Id) ==
          STATUS_SUCCESS);
    CHECK(Seen == NULL && NtResumeThread(Thread, NULL) == STATUS_SUCCESS && Join(Thread) == 0);
    CHECK(Seen == Id.UniqueThread && Id.UniqueProcess == ((PTEB)__readgsqword(0x30))->ClientId.UniqueProcess);
    CHECK(RtlCreateUserThread(ZwCurrentProcess(), NULL, FALSE, 1, 0, 0, IdThread, &Seen, NULL, NULL) ==
          STATUS_INVALID_PARAMETER);
    return 0;
}

static const USER_CASE Cases[] = {
    {"user.env.own", EnvironmentOwn},
    {"user.env.other", EnvironmentOther},
    {"user.env.threads", EnvironmentThreads},
    {"user.env.rtl_thread", ThreadByRtl},
};

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    return UserRunSuite("uenv.c", Cases, RTL_NUMBER_OF(Cases));
}
