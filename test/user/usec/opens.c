/*
 * opens.c - cases of usec: that every open asks the object's descriptor, of a thread that impersonates a user and of a program with a user's
 * token; and who may act for whom.
 *
 * What is tried while the thread acts for SecAlice is noted and looked at afterwards, so that a case which fails leaves the thread as itself.
 */
#include "usec.h"

static OBJECT_ATTRIBUTES Named(PUNICODE_STRING Name, PCWSTR Text, PVOID Descriptor)
{
    OBJECT_ATTRIBUTES Attributes;

    RtlInitUnicodeString(Name, Text);
    InitializeObjectAttributes(&Attributes, Name, OBJ_CASE_INSENSITIVE, NULL, Descriptor);
    return Attributes;
}

static NTSTATUS OpenKey(PCWSTR Path, ACCESS_MASK Access)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = Named(&Name, Path, NULL);
    HANDLE Key;
    NTSTATUS Status = NtOpenKey(&Key, Access, &Attributes);

    if (NT_SUCCESS(Status)) {
        NtClose(Key);
    }
    return Status;
}

static NTSTATUS CreateKey(PCWSTR Path, PVOID Descriptor, PHANDLE Key)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = Named(&Name, Path, Descriptor);

    return NtCreateKey(Key, KEY_ALL_ACCESS, &Attributes, 0, NULL, REG_OPTION_VOLATILE, NULL);
}

static NTSTATUS OpenFile(PCWSTR Path, ACCESS_MASK Access, PACCESS_MASK Granted)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = Named(&Name, Path, NULL);
    OBJECT_BASIC_INFORMATION Info;
    IO_STATUS_BLOCK Iosb;
    HANDLE File;
    NTSTATUS Status = NtOpenFile(&File, Access, &Attributes, &Iosb, FILE_SHARE_READ | FILE_SHARE_WRITE, 0);

    if (NT_SUCCESS(Status)) {
        NtQueryObject(File, ObjectBasicInformation, &Info, sizeof(Info), NULL);
        *Granted = Info.GrantedAccess;
        NtClose(File);
    }
    return Status;
}

static NTSTATUS CreateEvent(PCWSTR Path, PVOID Descriptor, PHANDLE Event)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = Named(&Name, Path, Descriptor);

    return NtCreateEvent(Event, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE);
}

static NTSTATUS OpenEvent(PCWSTR Path, ACCESS_MASK Access)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = Named(&Name, Path, NULL);
    HANDLE Event;
    NTSTATUS Status = NtOpenEvent(&Event, Access, &Attributes);

    if (NT_SUCCESS(Status)) {
        NtClose(Event);
    }
    return Status;
}

static NTSTATUS OpenSection(PCWSTR Path, ACCESS_MASK Access)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = Named(&Name, Path, NULL);
    HANDLE Section;
    NTSTATUS Status = NtOpenSection(&Section, Access, &Attributes);

    if (NT_SUCCESS(Status)) {
        NtClose(Section);
    }
    return Status;
}

static NTSTATUS OpenProcess(HANDLE Id, ACCESS_MASK Access)
{
    OBJECT_ATTRIBUTES Attributes = {.Length = sizeof(Attributes)};
    CLIENT_ID Cid = {.UniqueProcess = Id};
    HANDLE Process;
    NTSTATUS Status = NtOpenProcess(&Process, Access, &Attributes, &Cid);

    if (NT_SUCCESS(Status)) {
        NtClose(Process);
    }
    return Status;
}

static NTSTATUS OpenThread(HANDLE Id, ACCESS_MASK Access)
{
    OBJECT_ATTRIBUTES Attributes = {.Length = sizeof(Attributes)};
    CLIENT_ID Cid = {.UniqueThread = Id};
    HANDLE Thread;
    NTSTATUS Status = NtOpenThread(&Thread, Access, &Attributes, &Cid);

    if (NT_SUCCESS(Status)) {
        NtClose(Thread);
    }
    return Status;
}

static HANDLE OwnId(VOID)
{
    PROCESS_BASIC_INFORMATION Info = {0};

    NtQueryInformationProcess(ZwCurrentProcess(), ProcessBasicInformation, &Info, sizeof(Info), NULL);
    return (HANDLE)Info.UniqueProcessId;
}

static HANDLE OwnThread(VOID)
{
    THREAD_BASIC_INFORMATION Info = {0};

    NtQueryInformationThread(ZwCurrentThread(), ThreadBasicInformation, &Info, sizeof(Info), NULL);
    return Info.ClientId.UniqueThread;
}

/* ---- A thread that acts for SecAlice ---- */

/* Objects with names, and the directories they are in. */
static ULONG Objects(VOID)
{
    SEC_DESCRIPTOR Descriptor;
    HANDLE Alice, Given, Default, Own;
    NTSTATUS Status[8];

    CHECK(SecUserToken(TokenImpersonation, 1ULL << SE_CHANGE_NOTIFY_PRIVILEGE, &Alice) == STATUS_SUCCESS);
    SecBegin(&Descriptor, &SecSystem);
    SecAllow(&Descriptor, &SecAlice, EVENT_QUERY_STATE, 0);
    CHECK(CreateEvent(L"\\BaseNamedObjects\\SecGiven", &Descriptor, &Given) == STATUS_SUCCESS);
    CHECK(CreateEvent(L"\\BaseNamedObjects\\SecDefault", NULL, &Default) == STATUS_SUCCESS);
    CHECK(SecActFor(Alice) == STATUS_SUCCESS);
    Status[0] = OpenEvent(L"\\BaseNamedObjects\\SecGiven", EVENT_QUERY_STATE);
    Status[1] = OpenEvent(L"\\BaseNamedObjects\\SecGiven", EVENT_MODIFY_STATE);
    Status[2] = OpenEvent(L"\\BaseNamedObjects\\SecGiven", MAXIMUM_ALLOWED);
    Status[3] = OpenEvent(L"\\BaseNamedObjects\\SecDefault", SYNCHRONIZE);
    Status[4] = CreateEvent(L"\\SecInRoot", NULL, &Own);
    Status[5] = CreateEvent(L"\\BaseNamedObjects\\SecOwn", NULL, &Own);
    Status[6] = OpenEvent(L"\\BaseNamedObjects\\SecOwn", EVENT_ALL_ACCESS); /* by her default DACL */
    Status[7] = CreateEvent(L"\\BaseNamedObjects\\SecDefault", NULL, &Own); /* it is there: nothing is opened */
    CHECK(SecActFor(NULL) == STATUS_SUCCESS);
    CHECK(Status[0] == STATUS_SUCCESS && Status[1] == STATUS_ACCESS_DENIED && Status[2] == STATUS_SUCCESS);
    CHECK(Status[3] == STATUS_ACCESS_DENIED && Status[4] == STATUS_ACCESS_DENIED);
    CHECK(Status[5] == STATUS_SUCCESS && Status[6] == STATUS_SUCCESS && Status[7] == STATUS_OBJECT_NAME_COLLISION);
    CHECK(OpenEvent(L"\\BaseNamedObjects\\SecGiven", EVENT_MODIFY_STATE) == STATUS_ACCESS_DENIED); /* not even SYSTEM */
    CHECK(NtClose(Given) == 0 && NtClose(Default) == 0 && NtClose(Alice) == 0);
    return 0;
}

/* A name that stays when its last handle goes needs the privilege. */
static ULONG Permanent(VOID)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = Named(&Name, L"\\BaseNamedObjects\\usec", NULL);
    HANDLE Event;

    Attributes.Attributes |= OBJ_PERMANENT;
    CHECK(SecPrivilege(SE_CREATE_PERMANENT_PRIVILEGE, FALSE) == STATUS_SUCCESS);
    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE) == STATUS_PRIVILEGE_NOT_HELD);
    CHECK(SecPrivilege(SE_CREATE_PERMANENT_PRIVILEGE, TRUE) == STATUS_SUCCESS);
    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE) == STATUS_SUCCESS);
    CHECK(NtMakeTemporaryObject(Event) == STATUS_SUCCESS && NtClose(Event) == STATUS_SUCCESS);
    return 0;
}

/* Devices: themselves by their descriptor; files on them by the right to go through, which a privilege gives. */
static ULONG Devices(VOID)
{
    ACCESS_MASK Granted = 0, Most = 0;
    SEC_DESCRIPTOR Descriptor;
    HANDLE Alice, Stopped, Device;
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = Named(&Name, L"\\Device\\CdRom0", NULL);
    IO_STATUS_BLOCK Iosb;
    NTSTATUS Status[7];

    CHECK(SecUserToken(TokenImpersonation, 1ULL << SE_CHANGE_NOTIFY_PRIVILEGE, &Alice) == STATUS_SUCCESS);
    CHECK(SecUserToken(TokenImpersonation, 0, &Stopped) == STATUS_SUCCESS);
    CHECK(NtOpenFile(&Device, WRITE_DAC | READ_CONTROL, &Attributes, &Iosb, 7, 0) == STATUS_SUCCESS);
    CHECK(SecActFor(Alice) == STATUS_SUCCESS);
    Status[0] = OpenFile(L"\\Device\\CdRom0", FILE_READ_DATA | SYNCHRONIZE, &Granted);
    Status[1] = OpenFile(L"\\Device\\CdRom0", FILE_WRITE_DATA | SYNCHRONIZE, &Granted);
    Status[2] = OpenFile(L"\\Device\\CdRom0", MAXIMUM_ALLOWED, &Most);
    Status[3] = OpenFile(L"\\SystemRoot\\System\\usec.exe", FILE_READ_DATA, &Granted);
    CHECK(SecActFor(NULL) == STATUS_SUCCESS);
    CHECK(Status[0] == STATUS_SUCCESS && Status[1] == STATUS_ACCESS_DENIED && Status[2] == STATUS_SUCCESS);
    CHECK((Most & FILE_WRITE_DATA) == 0 && (Most & FILE_READ_DATA) != 0 && Status[3] == STATUS_SUCCESS);
    SecBegin(&Descriptor, &SecSystem);
    SecAllow(&Descriptor, &SecSystem, GENERIC_ALL, 0);
    CHECK(NtSetSecurityObject(Device, DACL_SECURITY_INFORMATION, &Descriptor.Head) == STATUS_SUCCESS);
    CHECK(SecActFor(Alice) == STATUS_SUCCESS);
    Status[4] = OpenFile(L"\\Device\\CdRom0", FILE_READ_ATTRIBUTES, &Granted);
    Status[5] = OpenFile(L"\\SystemRoot\\System\\usec.exe", FILE_READ_DATA, &Granted);
    SecActFor(Stopped);
    Status[6] = OpenFile(L"\\Device\\CdRom0\\boot", FILE_READ_DATA, &Granted);
    CHECK(SecActFor(NULL) == STATUS_SUCCESS);
    SecBegin(&Descriptor, &SecSystem);
    SecAllow(&Descriptor, &SecSystem, GENERIC_ALL, 0);
    SecAllow(&Descriptor, &SecAdmins, GENERIC_ALL, 0);
    SecAllow(&Descriptor, &SecWorld, GENERIC_READ | GENERIC_EXECUTE, 0);
    CHECK(NtSetSecurityObject(Device, DACL_SECURITY_INFORMATION, &Descriptor.Head) == STATUS_SUCCESS);
    CHECK(Status[4] == STATUS_ACCESS_DENIED && Status[5] == STATUS_SUCCESS && Status[6] == STATUS_ACCESS_DENIED);
    CHECK(NtClose(Device) == 0 && NtClose(Alice) == 0 && NtClose(Stopped) == 0);
    return 0;
}

/* Keys: their own descriptor, what the one above passes on, and privileges for backups. */
static ULONG Keys(VOID)
{
    static ULONG64 Space[64];
    SEC_DESCRIPTOR Descriptor;
    HANDLE Alice, Saver, Key, Child, Own, Made;
    ULONG Bytes;
    NTSTATUS Status[8];
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = Named(&Name, L"\\Registry\\Machine\\Software\\SecTest", NULL);

    CHECK(SecUserToken(TokenImpersonation, 1ULL << SE_CHANGE_NOTIFY_PRIVILEGE, &Alice) == STATUS_SUCCESS);
    CHECK(SecUserToken(TokenImpersonation, 1ULL << SE_BACKUP_PRIVILEGE, &Saver) == STATUS_SUCCESS);
    SecBegin(&Descriptor, &SecSystem);
    SecAllow(&Descriptor, &SecSystem, KEY_ALL_ACCESS, CONTAINER_INHERIT_ACE);
    SecAllow(&Descriptor, &SecAlice, KEY_CREATE_SUB_KEY | KEY_QUERY_VALUE, CONTAINER_INHERIT_ACE);
    CHECK(CreateKey(L"\\Registry\\Machine\\Software\\SecTest", &Descriptor, &Key) == STATUS_SUCCESS);
    CHECK(CreateKey(L"\\Registry\\Machine\\Software\\SecTest\\Child", NULL, &Child) == STATUS_SUCCESS);
    CHECK(SecActFor(Alice) == STATUS_SUCCESS);
    Status[0] = OpenKey(L"\\Registry\\Machine\\Software", KEY_READ);
    Status[1] = OpenKey(L"\\Registry\\Machine\\Software", KEY_SET_VALUE);
    Status[2] = CreateKey(L"\\Registry\\Machine\\Software\\SecNot", NULL, &Own);
    Status[3] = OpenKey(L"\\Registry\\Machine\\Software\\SecTest\\Child", KEY_QUERY_VALUE); /* passed on */
    Status[4] = OpenKey(L"\\Registry\\Machine\\Software\\SecTest\\Child", KEY_READ);
    Status[5] =
        CreateKey(L"\\Registry\\Machine\\Software\\SecTest\\Made", NULL, &Made); /* with all access: it is new */
    Status[6] = OpenKey(L"\\Registry\\Machine\\Software\\SecTest\\Made", KEY_SET_VALUE);
    SecActFor(Saver);
    Status[7] = NtOpenKeyEx(&Own, KEY_READ, &Attributes, REG_OPTION_BACKUP_RESTORE);
    CHECK(SecActFor(NULL) == STATUS_SUCCESS);
    CHECK(Status[0] == STATUS_SUCCESS && Status[1] == STATUS_ACCESS_DENIED && Status[2] == STATUS_ACCESS_DENIED);
    CHECK(Status[3] == STATUS_SUCCESS && Status[4] == STATUS_ACCESS_DENIED && Status[5] == STATUS_SUCCESS);
    CHECK(Status[6] == STATUS_ACCESS_DENIED && Status[7] == STATUS_SUCCESS && NtClose(Own) == STATUS_SUCCESS);
    CHECK(NtQuerySecurityObject(Child, DACL_SECURITY_INFORMATION, Space, sizeof(Space), &Bytes) == STATUS_SUCCESS);
    SecBegin(&Descriptor, &SecSystem);
    CHECK(NtSetSecurityObject(Child, DACL_SECURITY_INFORMATION, &Descriptor.Head) == STATUS_SUCCESS); /* empty */
    CHECK(OpenKey(L"\\Registry\\Machine\\Software\\SecTest\\Child", KEY_READ) == STATUS_ACCESS_DENIED);
    CHECK(OpenKey(L"\\Registry\\Machine\\Software\\SecTest", KEY_READ) == STATUS_SUCCESS); /* no longer shared */
    CHECK(NtDeleteKey(Made) == 0 && NtDeleteKey(Child) == 0 && NtDeleteKey(Key) == 0);
    CHECK(NtClose(Made) == 0 && NtClose(Child) == 0 && NtClose(Key) == 0 && NtClose(Alice) == 0 && NtClose(Saver) == 0);
    return 0;
}

/* Processes and threads: guarded by the defaults of their token; SeDebugPrivilege opens all. */
static ULONG Processes(VOID)
{
    HANDLE Alice, Debugger, Thread = OwnThread();
    NTSTATUS Status[6];

    CHECK(SecUserToken(TokenImpersonation, 0, &Alice) == STATUS_SUCCESS);
    CHECK(SecUserToken(TokenImpersonation, 1ULL << SE_DEBUG_PRIVILEGE, &Debugger) == STATUS_SUCCESS);
    CHECK(SecActFor(Alice) == STATUS_SUCCESS);
    Status[0] = OpenProcess(OwnId(), PROCESS_TERMINATE);
    Status[1] = OpenProcess((HANDLE)4, MAXIMUM_ALLOWED);
    Status[2] = OpenThread(Thread, THREAD_SUSPEND_RESUME);
    SecActFor(Debugger);
    Status[3] = OpenProcess(OwnId(), PROCESS_ALL_ACCESS);
    Status[4] = OpenThread(Thread, THREAD_ALL_ACCESS);
    CHECK(SecActFor(NULL) == STATUS_SUCCESS);
    CHECK(SecPrivilege(SE_DEBUG_PRIVILEGE, FALSE) == STATUS_SUCCESS);
    Status[5] = OpenProcess(OwnId(), PROCESS_ALL_ACCESS); /* the system's default DACL */
    CHECK(SecPrivilege(SE_DEBUG_PRIVILEGE, TRUE) == STATUS_SUCCESS);
    CHECK(Status[0] == STATUS_ACCESS_DENIED && Status[1] == STATUS_ACCESS_DENIED && Status[2] == STATUS_ACCESS_DENIED);
    CHECK(Status[3] == STATUS_SUCCESS && Status[4] == STATUS_SUCCESS && Status[5] == STATUS_SUCCESS);
    CHECK(NtClose(Alice) == 0 && NtClose(Debugger) == 0);
    return 0;
}

/* Those that are given with the attributes guard a process and its threads from the beginning, in the place of the defaults. */
static ULONG Given(VOID)
{
    PS_ATTRIBUTE_LIST List = {
        sizeof(List),
        {{.Attribute = PS_ATTRIBUTE_IMAGE_NAME, .Size = sizeof(SEC_PATH) - sizeof(WCHAR), .ValuePtr = SEC_PATH}}};
    SEC_DESCRIPTOR Guards[3];
    OBJECT_ATTRIBUTES Attributes[3];
    THREAD_BASIC_INFORMATION First, More;
    HANDLE Alice, Process, Thread, Second;
    NTSTATUS Status[6];

    for (ULONG Index = 0; Index < 3; Index++) {
        static const ACCESS_MASK Rights[] = {PROCESS_TERMINATE, THREAD_GET_CONTEXT, THREAD_SUSPEND_RESUME};

        SecBegin(&Guards[Index], &SecSystem);
        SecAllow(&Guards[Index], &SecSystem, GENERIC_ALL, 0);
        SecAllow(&Guards[Index], &SecAlice, Rights[Index], 0);
        InitializeObjectAttributes(&Attributes[Index], NULL, 0, NULL, &Guards[Index]);
    }
    CHECK(SecUserToken(TokenImpersonation, 0, &Alice) == STATUS_SUCCESS);
    CHECK(NtCreateUserProcess(&Process, &Thread, PROCESS_ALL_ACCESS, THREAD_ALL_ACCESS, &Attributes[0], &Attributes[1],
                              0, THREAD_CREATE_FLAGS_CREATE_SUSPENDED, NULL, NULL, &List) == STATUS_SUCCESS);
    CHECK(NtCreateThreadEx(&Second, THREAD_ALL_ACCESS, &Attributes[2], Process, (PVOID)0x10000, NULL,
                           THREAD_CREATE_FLAGS_CREATE_SUSPENDED, 0, 0, 0, NULL) == STATUS_SUCCESS);
    CHECK(NtQueryInformationThread(Thread, ThreadBasicInformation, &First, sizeof(First), NULL) == STATUS_SUCCESS);
    CHECK(NtQueryInformationThread(Second, ThreadBasicInformation, &More, sizeof(More), NULL) == STATUS_SUCCESS);
    CHECK(SecActFor(Alice) == STATUS_SUCCESS);
    Status[0] = OpenProcess(First.ClientId.UniqueProcess, PROCESS_TERMINATE);
    Status[1] = OpenProcess(First.ClientId.UniqueProcess, PROCESS_TERMINATE | PROCESS_CREATE_THREAD);
    Status[2] = OpenThread(First.ClientId.UniqueThread, THREAD_GET_CONTEXT);
    Status[3] = OpenThread(First.ClientId.UniqueThread, THREAD_SUSPEND_RESUME);
    Status[4] = OpenThread(More.ClientId.UniqueThread, THREAD_SUSPEND_RESUME);
    Status[5] = OpenThread(More.ClientId.UniqueThread, THREAD_GET_CONTEXT);
    CHECK(SecActFor(NULL) == STATUS_SUCCESS);
    for (ULONG Index = 0; Index < 6; Index++) {
        CHECK(Status[Index] == (Index % 2 == 0 ? STATUS_SUCCESS : STATUS_ACCESS_DENIED));
    }
    CHECK(NtTerminateProcess(Process, STATUS_SUCCESS) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Process, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtClose(Process) == 0 && NtClose(Thread) == 0 && NtClose(Second) == 0 && NtClose(Alice) == 0);
    return 0;
}

static ULONG Impersonation(VOID)
{
    SECURITY_QUALITY_OF_SERVICE Quality = {sizeof(Quality), SecurityIdentification, 0, FALSE};
    OBJECT_ATTRIBUTES Attributes = {.Length = sizeof(Attributes), .SecurityQualityOfService = &Quality};
    HANDLE Primary, Low, Found = NULL, Alice;
    NTSTATUS Status[3];

    CHECK(SecUserToken(TokenPrimary, 0, &Primary) == STATUS_SUCCESS);
    CHECK(NtDuplicateToken(Primary, 0, &Attributes, FALSE, TokenImpersonation, &Low) == STATUS_SUCCESS);
    CHECK(NtDuplicateToken(Primary, 0, NULL, FALSE, TokenImpersonation, &Alice) == STATUS_SUCCESS);
    CHECK(SecActFor(Primary) == STATUS_BAD_TOKEN_TYPE);
    CHECK(NtOpenThreadToken(ZwCurrentThread(), TOKEN_QUERY, TRUE, &Found) == STATUS_NO_TOKEN);
    CHECK(SecActFor(Low) == STATUS_SUCCESS);
    Status[0] = OpenKey(L"\\Registry\\Machine", KEY_READ); /* who is only looked at can open nothing */
    CHECK(SecActFor(Alice) == STATUS_SUCCESS);
    Status[1] = NtOpenThreadToken(ZwCurrentThread(), TOKEN_QUERY, FALSE, &Found);
    CHECK(Status[1] != STATUS_SUCCESS || NtClose(Found) == STATUS_SUCCESS);
    Status[2] = NtOpenThreadToken(ZwCurrentThread(), TOKEN_ALL_ACCESS, TRUE, &Found);
    CHECK(SecActFor(NULL) == STATUS_SUCCESS);
    CHECK(Status[0] == STATUS_BAD_IMPERSONATION_LEVEL);
    CHECK(Status[1] == STATUS_SUCCESS && Status[2] == STATUS_SUCCESS && NtClose(Found) == STATUS_SUCCESS);
    CHECK(SecPrivilege(SE_IMPERSONATE_PRIVILEGE, FALSE) == STATUS_SUCCESS);
    CHECK(SecActFor(Alice) == STATUS_SUCCESS); /* without the privilege: to look at only */
    Status[0] = OpenKey(L"\\Registry\\Machine", KEY_READ);
    CHECK(SecActFor(NULL) == STATUS_SUCCESS && SecPrivilege(SE_IMPERSONATE_PRIVILEGE, TRUE) == STATUS_SUCCESS);
    CHECK(Status[0] == STATUS_BAD_IMPERSONATION_LEVEL);
    CHECK(NtClose(Primary) == 0 && NtClose(Low) == 0 && NtClose(Alice) == 0);
    return 0;
}

static NTSTATUS NTAPI EndAtOnce(PVOID Argument)
{
    return STATUS_SUCCESS;
}

static ULONG ReferencesTo(HANDLE Token)
{
    OBJECT_BASIC_INFORMATION Info = {0};

    NtQueryObject(Token, ObjectBasicInformation, &Info, sizeof(Info), NULL);
    return Info.PointerCount;
}

/* A thread that has ended may be told whom to act for; the token goes with its last handle. */
static ULONG ImpersonationEnded(VOID)
{
    LARGE_INTEGER Tick = {.QuadPart = -10000};
    HANDLE Token, Thread = StartThread(EndAtOnce, NULL, 0);
    ULONG Before;

    CHECK(Thread != NULL && NtWaitForSingleObject(Thread, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(SecUserToken(TokenImpersonation, 0, &Token) == STATUS_SUCCESS);
    Before = ReferencesTo(Token);
    CHECK(NtSetInformationThread(Thread, ThreadImpersonationToken, &Token, sizeof(Token)) == STATUS_SUCCESS);
    CHECK(ReferencesTo(Token) == Before + 1);
    CHECK(NtClose(Thread) == STATUS_SUCCESS);
    for (ULONG Try = 0; Try < 1000 && ReferencesTo(Token) != Before; Try++) {
        NtDelayExecution(FALSE, &Tick); /* the thread's stack is freed by another */
    }
    CHECK(ReferencesTo(Token) == Before);
    CHECK(NtClose(Token) == STATUS_SUCCESS);
    return 0;
}

/* ---- A program of a user's ---- */

static ULONG TryAsUser(VOID)
{
    PROCESS_BASIC_INFORMATION Info = {0};
    TOKEN_USER User = {{&SecAlice, 0}};
    TOKEN_PRIVILEGES None = {0};
    TOKEN_GROUPS NoGroups = {0};
    TOKEN_PRIMARY_GROUP Primary = {&SecAlice};
    TOKEN_SOURCE Source = {"usec", {1, 0}};
    LUID Session = {1, 0};
    LARGE_INTEGER Never = {0};
    ACCESS_MASK Granted;
    HANDLE Token, Event, Key;
    UNICODE_STRING Driver;

    CHECK(NtQueryInformationProcess(ZwCurrentProcess(), ProcessBasicInformation, &Info, sizeof(Info), NULL) == 0);
    CHECK(OpenProcess((HANDLE)Info.InheritedFromUniqueProcessId, PROCESS_TERMINATE) == STATUS_ACCESS_DENIED);
    CHECK(OpenProcess((HANDLE)4, PROCESS_DUP_HANDLE) == STATUS_ACCESS_DENIED);
    CHECK(OpenProcess((HANDLE)Info.UniqueProcessId, PROCESS_ALL_ACCESS) == STATUS_SUCCESS);
    CHECK(OpenThread(OwnThread(), THREAD_ALL_ACCESS) == STATUS_SUCCESS);
    CHECK(NtCreateToken(&Token, TOKEN_ALL_ACCESS, NULL, TokenPrimary, &Session, &Never, &User, &NoGroups, &None, NULL,
                        &Primary, NULL, &Source) == STATUS_PRIVILEGE_NOT_HELD);
    CHECK(SecPrivilege(SE_DEBUG_PRIVILEGE, TRUE) == STATUS_NOT_ALL_ASSIGNED);
    RtlInitUnicodeString(&Driver, L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\cdfs");
    CHECK(NtLoadDriver(&Driver) == STATUS_PRIVILEGE_NOT_HELD && NtUnloadDriver(&Driver) == STATUS_PRIVILEGE_NOT_HELD);
    CHECK(OpenFile(L"\\Device\\CdRom0", FILE_WRITE_DATA, &Granted) == STATUS_ACCESS_DENIED);
    CHECK(OpenSection(L"\\Device\\PhysicalMemory", SECTION_MAP_READ) == STATUS_ACCESS_DENIED);
    CHECK(OpenSection(L"\\Device\\PhysicalMemory", SECTION_QUERY) == STATUS_ACCESS_DENIED);
    CHECK(OpenFile(L"\\SystemRoot\\System\\usec.exe", FILE_READ_DATA, &Granted) == STATUS_SUCCESS);
    CHECK(OpenKey(L"\\Registry\\Machine\\System\\CurrentControlSet\\Services", KEY_SET_VALUE) == STATUS_ACCESS_DENIED);
    CHECK(OpenKey(L"\\Registry\\Machine\\System\\CurrentControlSet\\Services", KEY_READ) == STATUS_SUCCESS);
    CHECK(CreateKey(L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\SecEvil", NULL, &Key) ==
          STATUS_ACCESS_DENIED);
    CHECK(CreateEvent(L"\\SecEvil", NULL, &Event) == STATUS_ACCESS_DENIED);
    CHECK(CreateEvent(L"\\BaseNamedObjects\\SecFine", NULL, &Event) == STATUS_SUCCESS && NtClose(Event) == 0);
    CHECK(NtOpenProcessToken(ZwCurrentProcess(), TOKEN_ALL_ACCESS, &Token) == STATUS_SUCCESS);
    CHECK(NtClose(Token) == STATUS_SUCCESS);
    return 0;
}

NTSTATUS SecAsUser(VOID)
{
    return (NTSTATUS)TryAsUser();
}

/* A child gets another token before its first thread runs, and is bound by it. */
static ULONG Program(VOID)
{
    HANDLE Alice, Acting, Less;
    PROCESS_ACCESS_TOKEN Access = {NULL, NULL};
    NTSTATUS Exit = STATUS_PENDING;

    CHECK(SecUserToken(TokenPrimary, 1ULL << SE_CHANGE_NOTIFY_PRIVILEGE, &Alice) == STATUS_SUCCESS);
    CHECK(SecUserToken(TokenImpersonation, 0, &Acting) == STATUS_SUCCESS);
    CHECK(SecRun(L"usec user", Alice, &Exit) == STATUS_PRIVILEGE_NOT_HELD);
    CHECK(SecPrivilege(SE_ASSIGNPRIMARYTOKEN_PRIVILEGE, TRUE) == STATUS_SUCCESS);
    CHECK(SecRun(L"usec user", Acting, &Exit) == STATUS_BAD_TOKEN_TYPE);
    CHECK(SecRun(L"usec user", Alice, &Exit) == STATUS_SUCCESS);
    if (Exit != STATUS_SUCCESS) {
        DbgPrint("# as a user: opens.c:%ld\n", Exit);
    }
    CHECK(Exit == STATUS_SUCCESS);
    CHECK(SecRun(L"usec user", Alice, &Exit) == STATUS_TOKEN_ALREADY_IN_USE);
    Access.Token = Alice;
    CHECK(NtSetInformationProcess(ZwCurrentProcess(), ProcessAccessToken, &Access, sizeof(Access)) ==
          STATUS_NOT_SUPPORTED); /* this one runs */
    CHECK(SecPrivilege(SE_ASSIGNPRIMARYTOKEN_PRIVILEGE, FALSE) == STATUS_SUCCESS);
    CHECK(NtClose(Alice) == STATUS_SUCCESS);
    CHECK(NtOpenProcessToken(ZwCurrentProcess(), TOKEN_DUPLICATE | TOKEN_ASSIGN_PRIMARY, &Alice) == STATUS_SUCCESS);
    CHECK(NtFilterToken(Alice, DISABLE_MAX_PRIVILEGE, NULL, NULL, NULL, &Less) == STATUS_SUCCESS);
    CHECK(SecRun(L"usec user", Less, &Exit) == STATUS_SUCCESS); /* less than its own: no privilege needed */
    CHECK(Exit != STATUS_SUCCESS);                              /* it is SYSTEM all the same */
    CHECK(NtClose(Alice) == 0 && NtClose(Less) == 0 && NtClose(Acting) == 0);
    return 0;
}

const USER_CASE SecOpenCases[9] = {
    {"user.sec.objects", Objects},
    {"user.sec.permanent", Permanent},
    {"user.sec.devices", Devices},
    {"user.sec.keys", Keys},
    {"user.sec.processes", Processes},
    {"user.sec.given", Given},
    {"user.sec.impersonation", Impersonation},
    {"user.sec.ended", ImpersonationEnded},
    {"user.sec.program", Program},
};
