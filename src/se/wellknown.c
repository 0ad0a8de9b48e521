/*
 * wellknown.c - the SIDs and privileges that everybody knows: SeExports, and the DACLs for objects of the system.
 *
 * SIDs are constants in the image; SeExports, which drivers import as a pointer, collects their addresses and the privileges' LUIDs. The
 * DACLs are built once in fixed storage. Nothing changes after SeInitialize, so no lock is needed; IRQL: any.
 * Source: Windows driver documentation of SE_EXPORTS; [MS-DTYP] 2.4.2.4, "Well-Known SID Structures".
 */
#include "sep.h"

#define SEP_SID1(Name, Auth, Rid) static SEP_SID Name = {SID_REVISION, 1, {Auth}, {(Rid)}}
#define SEP_SID2(Name, Rid)                                                                                            \
    static SEP_SID Name = {SID_REVISION, 2, {SECURITY_NT_AUTHORITY}, {SECURITY_BUILTIN_DOMAIN_RID, (Rid)}}

/* S-1-16-N: mandatory labels; not in the DDK's headers. */
#define SEP_LABEL_AUTHORITY {0, 0, 0, 0, 0, 16}

SEP_SID1(SepNullSid, SECURITY_NULL_SID_AUTHORITY, SECURITY_NULL_RID);
SEP_SID1(SepWorldSid, SECURITY_WORLD_SID_AUTHORITY, SECURITY_WORLD_RID);
SEP_SID1(SepLocalSid, SECURITY_LOCAL_SID_AUTHORITY, SECURITY_LOCAL_RID);
SEP_SID1(SepCreatorOwnerSid, SECURITY_CREATOR_SID_AUTHORITY, SECURITY_CREATOR_OWNER_RID);
SEP_SID1(SepCreatorGroupSid, SECURITY_CREATOR_SID_AUTHORITY, SECURITY_CREATOR_GROUP_RID);
SEP_SID1(SepOwnerRightsSid, SECURITY_CREATOR_SID_AUTHORITY, SECURITY_CREATOR_OWNER_RIGHTS_RID);
static SEP_SID SepNtAuthoritySid = {SID_REVISION, 0, {SECURITY_NT_AUTHORITY}, {0, 0}};
SEP_SID1(SepDialupSid, SECURITY_NT_AUTHORITY, SECURITY_DIALUP_RID);
SEP_SID1(SepNetworkSid, SECURITY_NT_AUTHORITY, SECURITY_NETWORK_RID);
SEP_SID1(SepBatchSid, SECURITY_NT_AUTHORITY, SECURITY_BATCH_RID);
SEP_SID1(SepInteractiveSid, SECURITY_NT_AUTHORITY, SECURITY_INTERACTIVE_RID);
SEP_SID1(SepAnonymousSid, SECURITY_NT_AUTHORITY, SECURITY_ANONYMOUS_LOGON_RID);
SEP_SID1(SepAuthenticatedSid, SECURITY_NT_AUTHORITY, SECURITY_AUTHENTICATED_USER_RID);
SEP_SID1(SepRestrictedSid, SECURITY_NT_AUTHORITY, SECURITY_RESTRICTED_CODE_RID);
SEP_SID1(SepIUserSid, SECURITY_NT_AUTHORITY, SECURITY_IUSER_RID);
SEP_SID1(SepLocalSystemSid, SECURITY_NT_AUTHORITY, SECURITY_LOCAL_SYSTEM_RID);
SEP_SID1(SepLocalServiceSid, SECURITY_NT_AUTHORITY, SECURITY_LOCAL_SERVICE_RID);
SEP_SID1(SepNetworkServiceSid, SECURITY_NT_AUTHORITY, SECURITY_NETWORK_SERVICE_RID);
SEP_SID2(SepAdminsSid, DOMAIN_ALIAS_RID_ADMINS);
SEP_SID2(SepUsersSid, DOMAIN_ALIAS_RID_USERS);
SEP_SID2(SepGuestsSid, DOMAIN_ALIAS_RID_GUESTS);
SEP_SID2(SepPowerUsersSid, DOMAIN_ALIAS_RID_POWER_USERS);
SEP_SID2(SepAccountOpsSid, DOMAIN_ALIAS_RID_ACCOUNT_OPS);
SEP_SID2(SepSystemOpsSid, DOMAIN_ALIAS_RID_SYSTEM_OPS);
SEP_SID2(SepPrintOpsSid, DOMAIN_ALIAS_RID_PRINT_OPS);
SEP_SID2(SepBackupOpsSid, DOMAIN_ALIAS_RID_BACKUP_OPS);
SEP_SID1(SepUntrustedSid, SEP_LABEL_AUTHORITY, 0x0000);
SEP_SID1(SepLowSid, SEP_LABEL_AUTHORITY, 0x1000);
SEP_SID1(SepMediumSid, SEP_LABEL_AUTHORITY, 0x2000);
SEP_SID1(SepHighSid, SEP_LABEL_AUTHORITY, 0x3000);
SEP_SID1(SepSystemLabelSid, SEP_LABEL_AUTHORITY, 0x4000);

#define SEP_LUID(Value) {(Value), 0}

SE_EXPORTS SepExports = {
    .SeCreateTokenPrivilege = SEP_LUID(SE_CREATE_TOKEN_PRIVILEGE),
    .SeAssignPrimaryTokenPrivilege = SEP_LUID(SE_ASSIGNPRIMARYTOKEN_PRIVILEGE),
    .SeLockMemoryPrivilege = SEP_LUID(SE_LOCK_MEMORY_PRIVILEGE),
    .SeIncreaseQuotaPrivilege = SEP_LUID(SE_INCREASE_QUOTA_PRIVILEGE),
    .SeUnsolicitedInputPrivilege = SEP_LUID(SE_UNSOLICITED_INPUT_PRIVILEGE),
    .SeTcbPrivilege = SEP_LUID(SE_TCB_PRIVILEGE),
    .SeSecurityPrivilege = SEP_LUID(SE_SECURITY_PRIVILEGE),
    .SeTakeOwnershipPrivilege = SEP_LUID(SE_TAKE_OWNERSHIP_PRIVILEGE),
    .SeLoadDriverPrivilege = SEP_LUID(SE_LOAD_DRIVER_PRIVILEGE),
    .SeCreatePagefilePrivilege = SEP_LUID(SE_CREATE_PAGEFILE_PRIVILEGE),
    .SeIncreaseBasePriorityPrivilege = SEP_LUID(SE_INC_BASE_PRIORITY_PRIVILEGE),
    .SeSystemProfilePrivilege = SEP_LUID(SE_SYSTEM_PROFILE_PRIVILEGE),
    .SeSystemtimePrivilege = SEP_LUID(SE_SYSTEMTIME_PRIVILEGE),
    .SeProfileSingleProcessPrivilege = SEP_LUID(SE_PROF_SINGLE_PROCESS_PRIVILEGE),
    .SeCreatePermanentPrivilege = SEP_LUID(SE_CREATE_PERMANENT_PRIVILEGE),
    .SeBackupPrivilege = SEP_LUID(SE_BACKUP_PRIVILEGE),
    .SeRestorePrivilege = SEP_LUID(SE_RESTORE_PRIVILEGE),
    .SeShutdownPrivilege = SEP_LUID(SE_SHUTDOWN_PRIVILEGE),
    .SeDebugPrivilege = SEP_LUID(SE_DEBUG_PRIVILEGE),
    .SeAuditPrivilege = SEP_LUID(SE_AUDIT_PRIVILEGE),
    .SeSystemEnvironmentPrivilege = SEP_LUID(SE_SYSTEM_ENVIRONMENT_PRIVILEGE),
    .SeChangeNotifyPrivilege = SEP_LUID(SE_CHANGE_NOTIFY_PRIVILEGE),
    .SeRemoteShutdownPrivilege = SEP_LUID(SE_REMOTE_SHUTDOWN_PRIVILEGE),
    .SeNullSid = &SepNullSid,
    .SeWorldSid = &SepWorldSid,
    .SeLocalSid = &SepLocalSid,
    .SeCreatorOwnerSid = &SepCreatorOwnerSid,
    .SeCreatorGroupSid = &SepCreatorGroupSid,
    .SeNtAuthoritySid = &SepNtAuthoritySid,
    .SeDialupSid = &SepDialupSid,
    .SeNetworkSid = &SepNetworkSid,
    .SeBatchSid = &SepBatchSid,
    .SeInteractiveSid = &SepInteractiveSid,
    .SeLocalSystemSid = &SepLocalSystemSid,
    .SeAliasAdminsSid = &SepAdminsSid,
    .SeAliasUsersSid = &SepUsersSid,
    .SeAliasGuestsSid = &SepGuestsSid,
    .SeAliasPowerUsersSid = &SepPowerUsersSid,
    .SeAliasAccountOpsSid = &SepAccountOpsSid,
    .SeAliasSystemOpsSid = &SepSystemOpsSid,
    .SeAliasPrintOpsSid = &SepPrintOpsSid,
    .SeAliasBackupOpsSid = &SepBackupOpsSid,
    .SeAuthenticatedUsersSid = &SepAuthenticatedSid,
    .SeRestrictedSid = &SepRestrictedSid,
    .SeAnonymousLogonSid = &SepAnonymousSid,
    .SeUndockPrivilege = SEP_LUID(SE_UNDOCK_PRIVILEGE),
    .SeSyncAgentPrivilege = SEP_LUID(SE_SYNC_AGENT_PRIVILEGE),
    .SeEnableDelegationPrivilege = SEP_LUID(SE_ENABLE_DELEGATION_PRIVILEGE),
    .SeLocalServiceSid = &SepLocalServiceSid,
    .SeNetworkServiceSid = &SepNetworkServiceSid,
    .SeManageVolumePrivilege = SEP_LUID(SE_MANAGE_VOLUME_PRIVILEGE),
    .SeImpersonatePrivilege = SEP_LUID(SE_IMPERSONATE_PRIVILEGE),
    .SeCreateGlobalPrivilege = SEP_LUID(SE_CREATE_GLOBAL_PRIVILEGE),
    .SeTrustedCredManAccessPrivilege = SEP_LUID(SE_TRUSTED_CREDMAN_ACCESS_PRIVILEGE),
    .SeRelabelPrivilege = SEP_LUID(SE_RELABEL_PRIVILEGE),
    .SeIncreaseWorkingSetPrivilege = SEP_LUID(SE_INC_WORKING_SET_PRIVILEGE),
    .SeTimeZonePrivilege = SEP_LUID(SE_TIME_ZONE_PRIVILEGE),
    .SeCreateSymbolicLinkPrivilege = SEP_LUID(SE_CREATE_SYMBOLIC_LINK_PRIVILEGE),
    .SeIUserSid = &SepIUserSid,
    .SeUntrustedMandatorySid = &SepUntrustedSid,
    .SeLowMandatorySid = &SepLowSid,
    .SeMediumMandatorySid = &SepMediumSid,
    .SeHighMandatorySid = &SepHighSid,
    .SeSystemMandatorySid = &SepSystemLabelSid,
    .SeOwnerRightsSid = &SepOwnerRightsSid,
};
PSE_EXPORTS SeExports = &SepExports;

PACL SePublicDefaultDacl, SePublicOpenDacl, SeSystemDefaultDacl;

/* Room for three ACEs with SIDs of two subauthorities. */
#define SEP_DACL_BYTES 128U

static ULONG64 SepPublicDaclSpace[SEP_DACL_BYTES / 8], SepOpenDaclSpace[SEP_DACL_BYTES / 8],
    SepSystemDaclSpace[SEP_DACL_BYTES / 8];

/* Some rights for everybody, and all for the system and administrators. */
static NTSTATUS SepMakePublicDacl(PACL Dacl, ACCESS_MASK World)
{
    NTSTATUS Status = RtlCreateAcl(Dacl, SEP_DACL_BYTES, ACL_REVISION);

    if (NT_SUCCESS(Status)) {
        Status = RtlAddAccessAllowedAce(Dacl, ACL_REVISION, World, &SepWorldSid);
    }
    if (NT_SUCCESS(Status)) {
        Status = RtlAddAccessAllowedAce(Dacl, ACL_REVISION, GENERIC_ALL, &SepLocalSystemSid);
    }
    return NT_SUCCESS(Status) ? RtlAddAccessAllowedAce(Dacl, ACL_REVISION, GENERIC_ALL, &SepAdminsSid) : Status;
}

NTSTATUS SepInitializeWellKnown(VOID)
{
    PACL Public = (PACL)SepPublicDaclSpace, Open = (PACL)SepOpenDaclSpace, System = (PACL)SepSystemDaclSpace;
    NTSTATUS Status = SepMakePublicDacl(Public, GENERIC_READ | GENERIC_EXECUTE);

    if (NT_SUCCESS(Status)) {
        Status = SepMakePublicDacl(Open, GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE);
    }
    if (NT_SUCCESS(Status)) {
        Status = RtlCreateAcl(System, SEP_DACL_BYTES, ACL_REVISION);
    }
    if (NT_SUCCESS(Status)) {
        Status = RtlAddAccessAllowedAce(System, ACL_REVISION, GENERIC_ALL, &SepLocalSystemSid);
    }
    if (NT_SUCCESS(Status)) {
        Status =
            RtlAddAccessAllowedAce(System, ACL_REVISION, GENERIC_READ | GENERIC_EXECUTE | READ_CONTROL, &SepAdminsSid);
    }
    SePublicDefaultDacl = Public;
    SePublicOpenDacl = Open;
    SeSystemDefaultDacl = System;
    return Status;
}
