/*
 * usec.c - the suite of security: tokens that programs make (tokens.c), what a descriptor grants (checks.c), and that it is asked on every open
 * (opens.c). Here are the parts of it, and its beginning.
 *
 * Run with the word `user` the program is a case's child with a user's token: it tries what it may not do (opens.c).
 */
#include "usec.h"

#include <oriel/program.h>

SEC_SID SecAlice = {SID_REVISION, 4, {SECURITY_NT_AUTHORITY}, {21, 7, 7, 1001}};
SEC_SID SecGroup = {SID_REVISION, 4, {SECURITY_NT_AUTHORITY}, {21, 7, 7, 2001}};
SEC_SID SecStaff = {SID_REVISION, 4, {SECURITY_NT_AUTHORITY}, {21, 7, 7, 2002}};
SEC_SID SecWorld = {SID_REVISION, 1, {SECURITY_WORLD_SID_AUTHORITY}, {SECURITY_WORLD_RID}};
SEC_SID SecSystem = {SID_REVISION, 1, {SECURITY_NT_AUTHORITY}, {SECURITY_LOCAL_SYSTEM_RID}};
SEC_SID SecAdmins = {SID_REVISION, 2, {SECURITY_NT_AUTHORITY}, {SECURITY_BUILTIN_DOMAIN_RID, DOMAIN_ALIAS_RID_ADMINS}};
SEC_SID SecOwnerRights = {SID_REVISION, 1, {SECURITY_CREATOR_SID_AUTHORITY}, {SECURITY_CREATOR_OWNER_RIGHTS_RID}};

VOID SecBegin(SEC_DESCRIPTOR *Descriptor, PSID Owner)
{
    RtlCreateAcl((PACL)Descriptor->Space, sizeof(Descriptor->Space), ACL_REVISION);
    RtlCreateSecurityDescriptor(&Descriptor->Head, SECURITY_DESCRIPTOR_REVISION);
    RtlSetOwnerSecurityDescriptor(&Descriptor->Head, Owner, FALSE);
    RtlSetGroupSecurityDescriptor(&Descriptor->Head, Owner, FALSE);
    RtlSetDaclSecurityDescriptor(&Descriptor->Head, TRUE, (PACL)Descriptor->Space, FALSE);
}

VOID SecAllow(SEC_DESCRIPTOR *Descriptor, PSID Sid, ACCESS_MASK Mask, UCHAR Flags)
{
    RtlAddAccessAllowedAceEx((PACL)Descriptor->Space, ACL_REVISION, Flags, Mask, Sid);
}

VOID SecDeny(SEC_DESCRIPTOR *Descriptor, PSID Sid, ACCESS_MASK Mask)
{
    PACL Acl = (PACL)Descriptor->Space;
    PACE_HEADER Ace;

    RtlAddAccessAllowedAce(Acl, ACL_REVISION, Mask, Sid);
    RtlGetAce(Acl, Acl->AceCount - 1U, (PVOID *)&Ace);
    Ace->AceType = ACCESS_DENIED_ACE_TYPE;
}

NTSTATUS SecPrivilege(ULONG Privilege, BOOLEAN Enable)
{
    TOKEN_PRIVILEGES New = {1, {{{Privilege, 0}, Enable ? SE_PRIVILEGE_ENABLED : 0}}};
    HANDLE Token;
    NTSTATUS Status = NtOpenProcessToken(ZwCurrentProcess(), TOKEN_ADJUST_PRIVILEGES, &Token);

    if (NT_SUCCESS(Status)) {
        Status = NtAdjustPrivilegesToken(Token, FALSE, &New, 0, NULL, NULL);
        NtClose(Token);
    }
    return Status;
}

NTSTATUS SecUserToken(TOKEN_TYPE Type, ULONG64 Privileges, PHANDLE Token)
{
    struct {
        ULONG Count;
        SID_AND_ATTRIBUTES Groups[3];
    } Groups = {3,
                {{&SecGroup, SE_GROUP_ENABLED | SE_GROUP_ENABLED_BY_DEFAULT | SE_GROUP_OWNER},
                 {&SecStaff, 0},
                 {&SecWorld, SE_GROUP_MANDATORY}}};
    struct {
        ULONG Count;
        LUID_AND_ATTRIBUTES Privileges[64];
    } List = {0};
    SECURITY_QUALITY_OF_SERVICE Quality = {sizeof(Quality), SecurityImpersonation, 0, FALSE};
    OBJECT_ATTRIBUTES Attributes = {.Length = sizeof(Attributes), .SecurityQualityOfService = &Quality};
    TOKEN_USER User = {{&SecAlice, 0}};
    TOKEN_PRIMARY_GROUP Primary = {&SecGroup};
    TOKEN_SOURCE Source = {"usec", {1, 0}};
    LUID Session = {0x1234, 0};
    LARGE_INTEGER Never = {.QuadPart = MAXLONG64};
    SEC_DESCRIPTOR Default;
    TOKEN_DEFAULT_DACL Dacl = {(PACL)Default.Space};
    NTSTATUS Status;

    SecBegin(&Default, &SecAlice);
    SecAllow(&Default, &SecAlice, GENERIC_ALL, 0);
    SecAllow(&Default, &SecSystem, GENERIC_ALL, 0);
    for (ULONG Number = 0; Number < 64; Number++) {
        if ((Privileges >> Number & 1) != 0) {
            List.Privileges[List.Count].Luid.LowPart = Number;
            List.Privileges[List.Count++].Attributes = SE_PRIVILEGE_ENABLED | SE_PRIVILEGE_ENABLED_BY_DEFAULT;
        }
    }
    Status = SecPrivilege(SE_CREATE_TOKEN_PRIVILEGE, TRUE);
    if (NT_SUCCESS(Status)) {
        Status = NtCreateToken(Token, TOKEN_ALL_ACCESS, &Attributes, Type, &Session, &Never, &User,
                               (PTOKEN_GROUPS)&Groups, (PTOKEN_PRIVILEGES)&List, NULL, &Primary, &Dacl, &Source);
        SecPrivilege(SE_CREATE_TOKEN_PRIVILEGE, FALSE);
    }
    return Status;
}

NTSTATUS SecActFor(HANDLE Token)
{
    return NtSetInformationThread(ZwCurrentThread(), ThreadImpersonationToken, &Token, sizeof(Token));
}

NTSTATUS SecRun(PCWSTR CommandLine, HANDLE Token, PNTSTATUS ExitStatus)
{
    RTL_USER_PROCESS_PARAMETERS Parameters = {.Flags = RTL_USER_PROC_PARAMS_NORMALIZED};
    PS_ATTRIBUTE_LIST List = {
        sizeof(List),
        {{.Attribute = PS_ATTRIBUTE_IMAGE_NAME, .Size = sizeof(SEC_PATH) - sizeof(WCHAR), .ValuePtr = SEC_PATH}}};
    PROCESS_ACCESS_TOKEN Access = {.Token = Token};
    PROCESS_BASIC_INFORMATION Info = {.ExitStatus = STATUS_PENDING};
    HANDLE Process, Thread;
    NTSTATUS Status;

    RtlInitUnicodeString(&Parameters.CommandLine, CommandLine);
    RtlInitUnicodeString(&Parameters.ImagePathName, SEC_PATH);
    Status = NtCreateUserProcess(&Process, &Thread, PROCESS_ALL_ACCESS, THREAD_ALL_ACCESS, NULL, NULL, 0,
                                 THREAD_CREATE_FLAGS_CREATE_SUSPENDED, &Parameters, NULL, &List);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Token != NULL) {
        Status = NtSetInformationProcess(Process, ProcessAccessToken, &Access, sizeof(Access));
    }
    if (NT_SUCCESS(Status)) {
        NtResumeThread(Thread, NULL);
        NtWaitForSingleObject(Process, FALSE, NULL);
        NtQueryInformationProcess(Process, ProcessBasicInformation, &Info, sizeof(Info), NULL);
        *ExitStatus = Info.ExitStatus;
    } else {
        NtTerminateProcess(Process, Status);
        NtWaitForSingleObject(Process, FALSE, NULL);
    }
    NtClose(Thread);
    NtClose(Process);
    return Status;
}

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    static USER_CASE Cases[RTL_NUMBER_OF(SecTokenCases) + RTL_NUMBER_OF(SecCheckCases) + RTL_NUMBER_OF(SecOpenCases)];
    PCUNICODE_STRING Line = &Peb->ProcessParameters->CommandLine;

    if (Line->Length >= 4 * sizeof(WCHAR) && Line->Buffer[Line->Length / sizeof(WCHAR) - 1] == L'r') {
        return SecAsUser();
    }
    RtlCopyMemory(Cases, SecTokenCases, sizeof(SecTokenCases));
    RtlCopyMemory(Cases + RTL_NUMBER_OF(SecTokenCases), SecCheckCases, sizeof(SecCheckCases));
    RtlCopyMemory(Cases + RTL_NUMBER_OF(SecTokenCases) + RTL_NUMBER_OF(SecCheckCases), SecOpenCases,
                  sizeof(SecOpenCases));
    return UserRunSuite("usec", Cases, RTL_NUMBER_OF(Cases));
}
