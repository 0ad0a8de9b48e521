/*
 * utoken.c - the suite of tokens: what a program sees of its own, and what it may change in it.
 *
 * Run with the word `drop` it disables all privileges of its token and ends: the case user.token.own starts itself so, and looks
 * whether that reached its own.
 */
#include "../ktap.h"

#define PATH L"\\SystemRoot\\System\\utoken.exe"

static HANDLE OpenToken(ACCESS_MASK Access)
{
    HANDLE Token = NULL;

    return NT_SUCCESS(NtOpenProcessToken(ZwCurrentProcess(), Access, &Token)) ? Token : NULL;
}

/* The attributes of a privilege in a token; MAXULONG: it is not there. */
static ULONG AttributesOf(HANDLE Token, ULONG Privilege)
{
    static struct {
        ULONG Count;
        LUID_AND_ATTRIBUTES Privileges[64];
    } List;
    ULONG Bytes;

    if (!NT_SUCCESS(NtQueryInformationToken(Token, TokenPrivileges, &List, sizeof(List), &Bytes))) {
        return MAXULONG;
    }
    for (ULONG Index = 0; Index < List.Count; Index++) {
        if (List.Privileges[Index].Luid.LowPart == Privilege && List.Privileges[Index].Luid.HighPart == 0) {
            return List.Privileges[Index].Attributes;
        }
    }
    return MAXULONG;
}

static NTSTATUS Adjust(HANDLE Token, ULONG Privilege, ULONG Attributes, PTOKEN_PRIVILEGES Old, ULONG OldBytes)
{
    TOKEN_PRIVILEGES New = {1, {{{Privilege, 0}, Attributes}}};
    ULONG Bytes;

    return NtAdjustPrivilegesToken(Token, FALSE, &New, OldBytes, Old, &Bytes);
}

/* ---- Cases ---- */

static ULONG AdjustOnOff(VOID)
{
    HANDLE Token = OpenToken(TOKEN_QUERY | TOKEN_ADJUST_PRIVILEGES);
    TOKEN_PRIVILEGES Old = {0};

    CHECK(Token != NULL);
    CHECK((AttributesOf(Token, SE_BACKUP_PRIVILEGE) & SE_PRIVILEGE_ENABLED) == 0);
    CHECK(Adjust(Token, SE_BACKUP_PRIVILEGE, SE_PRIVILEGE_ENABLED, &Old, sizeof(Old)) == STATUS_SUCCESS);
    CHECK(Old.PrivilegeCount == 1 && Old.Privileges[0].Luid.LowPart == SE_BACKUP_PRIVILEGE);
    CHECK((Old.Privileges[0].Attributes & SE_PRIVILEGE_ENABLED) == 0);
    CHECK((AttributesOf(Token, SE_BACKUP_PRIVILEGE) & SE_PRIVILEGE_ENABLED) != 0);
    CHECK(Adjust(Token, SE_BACKUP_PRIVILEGE, SE_PRIVILEGE_ENABLED, &Old, sizeof(Old)) == STATUS_SUCCESS);
    CHECK(Old.PrivilegeCount == 0); /* nothing changed */
    CHECK(Adjust(Token, SE_BACKUP_PRIVILEGE, 0, NULL, 0) == STATUS_SUCCESS);
    CHECK((AttributesOf(Token, SE_BACKUP_PRIVILEGE) & SE_PRIVILEGE_ENABLED) == 0);
    CHECK(NtClose(Token) == STATUS_SUCCESS);
    return 0;
}

/* What does not fit, is not there or may not be done changes nothing. */
static ULONG AdjustErrors(VOID)
{
    HANDLE Token = OpenToken(TOKEN_QUERY | TOKEN_ADJUST_PRIVILEGES), Reader = OpenToken(TOKEN_QUERY);
    TOKEN_PRIVILEGES Old = {0};

    CHECK(Token != NULL && Reader != NULL);
    CHECK(Adjust(Reader, SE_BACKUP_PRIVILEGE, SE_PRIVILEGE_ENABLED, NULL, 0) == STATUS_ACCESS_DENIED);
    CHECK(Adjust(Token, SE_BACKUP_PRIVILEGE, SE_PRIVILEGE_ENABLED, &Old, sizeof(ULONG)) == STATUS_BUFFER_TOO_SMALL);
    CHECK(Adjust(Token, 1000, SE_PRIVILEGE_ENABLED, NULL, 0) == STATUS_NOT_ALL_ASSIGNED);
    CHECK(NtAdjustPrivilegesToken(Token, FALSE, KERNEL_POINTER, 0, NULL, NULL) == STATUS_ACCESS_VIOLATION);
    CHECK((AttributesOf(Token, SE_BACKUP_PRIVILEGE) & SE_PRIVILEGE_ENABLED) == 0);
    CHECK(NtClose(Token) == STATUS_SUCCESS && NtClose(Reader) == STATUS_SUCCESS);
    return 0;
}

/* A privilege that was removed is gone for good. */
static ULONG AdjustRemove(VOID)
{
    HANDLE Token = OpenToken(TOKEN_QUERY | TOKEN_ADJUST_PRIVILEGES);

    CHECK(Token != NULL);
    CHECK(Adjust(Token, SE_UNDOCK_PRIVILEGE, SE_PRIVILEGE_REMOVED, NULL, 0) == STATUS_SUCCESS);
    CHECK(Adjust(Token, SE_UNDOCK_PRIVILEGE, SE_PRIVILEGE_ENABLED, NULL, 0) == STATUS_NOT_ALL_ASSIGNED);
    CHECK(NtClose(Token) == STATUS_SUCCESS);
    return 0;
}

static NTSTATUS DropAll(VOID)
{
    HANDLE Token = OpenToken(TOKEN_QUERY | TOKEN_ADJUST_PRIVILEGES);
    NTSTATUS Status = NtAdjustPrivilegesToken(Token, TRUE, NULL, 0, NULL, NULL);

    return NT_SUCCESS(Status) && (AttributesOf(Token, SE_CHANGE_NOTIFY_PRIVILEGE) & SE_PRIVILEGE_ENABLED) == 0
               ? STATUS_SUCCESS
               : STATUS_UNSUCCESSFUL;
}

/* A child's token is a copy: with what its creator's had, and its own from then on. */
static ULONG CreateOwnToken(VOID)
{
    RTL_USER_PROCESS_PARAMETERS Parameters = {.Flags = RTL_USER_PROC_PARAMS_NORMALIZED};
    PS_ATTRIBUTE_LIST List = {
        sizeof(List), {{.Attribute = PS_ATTRIBUTE_IMAGE_NAME, .Size = sizeof(PATH) - sizeof(WCHAR), .ValuePtr = PATH}}};
    PROCESS_BASIC_INFORMATION Info = {.ExitStatus = STATUS_PENDING};
    HANDLE Process, Thread, Token = OpenToken(TOKEN_QUERY);

    CHECK(Token != NULL && (AttributesOf(Token, SE_CHANGE_NOTIFY_PRIVILEGE) & SE_PRIVILEGE_ENABLED) != 0);
    RtlInitUnicodeString(&Parameters.CommandLine, L"utoken drop");
    RtlInitUnicodeString(&Parameters.ImagePathName, PATH);
    CHECK(NtCreateUserProcess(&Process, &Thread, PROCESS_ALL_ACCESS, THREAD_ALL_ACCESS, NULL, NULL, 0, 0, &Parameters,
                              NULL, &List) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Process, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtQueryInformationProcess(Process, ProcessBasicInformation, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(Info.ExitStatus == STATUS_SUCCESS);
    CHECK((AttributesOf(Token, SE_CHANGE_NOTIFY_PRIVILEGE) & SE_PRIVILEGE_ENABLED) != 0);
    CHECK(NtClose(Token) == STATUS_SUCCESS && NtClose(Thread) == STATUS_SUCCESS && NtClose(Process) == STATUS_SUCCESS);
    return 0;
}

static const USER_CASE Cases[] = {
    {"user.token.on_off", AdjustOnOff},
    {"user.token.errors", AdjustErrors},
    {"user.token.remove", AdjustRemove},
    {"user.token.own", CreateOwnToken},
};

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    PCUNICODE_STRING Line = &Peb->ProcessParameters->CommandLine;

    if (Line->Length >= 4 * sizeof(WCHAR) && Line->Buffer[Line->Length / sizeof(WCHAR) - 4] == L'd') {
        return DropAll();
    }
    return UserRunSuite("utoken.c", Cases, RTL_NUMBER_OF(Cases));
}
