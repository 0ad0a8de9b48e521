/*
 * se.h - security: tokens, subjects and access checks, as the rest of the kernel sees them (what drivers see is in the DDK).
 *
 * A token says who a process is, or whom a thread acts for: a user, groups, privileges and what new objects get by default. What
 * may be done with an object stands in its security descriptor (self-relative); SeAccessCheck brings the two together.
 */
#pragma once

#include <ntos/ntos.h>

/* Attributes of a token's groups (values as documented for the Windows SDK). */
#define SE_GROUP_MANDATORY          0x00000001U
#define SE_GROUP_ENABLED_BY_DEFAULT 0x00000002U
#define SE_GROUP_ENABLED            0x00000004U
#define SE_GROUP_OWNER              0x00000008U
#define SE_GROUP_USE_FOR_DENY_ONLY  0x00000010U
#define SE_GROUP_LOGON_ID           0xC0000000U
#define SE_GROUP_RESOURCE           0x20000000U

/* Flags of NtFilterToken, and how often a list of a token may be long (Windows allows 1000 or so of each). */
#define DISABLE_MAX_PRIVILEGE 0x1U
#define SANDBOX_INERT         0x2U
#define SE_MOST_GROUPS        256U

#define SE_TAG_TOKEN      'koTS'
#define SE_TAG_DESCRIPTOR 'dSeS'
#define SE_TAG_PRIVILEGES 'rPeS'

/* What a token is made of; everything is copied. */
typedef struct _SE_TOKEN_PLAN {
    PSID User;
    ULONG UserAttributes; /* 0, or SE_GROUP_USE_FOR_DENY_ONLY */
    ULONG GroupCount;
    const SID_AND_ATTRIBUTES *Groups;
    ULONG PrivilegeCount;
    const LUID_AND_ATTRIBUTES *Privileges;
    ULONG RestrictedCount; /* 0: the token is not restricted */
    const SID_AND_ATTRIBUTES *Restricted;
    PSID Owner;        /* of new objects: the user, or a group with SE_GROUP_OWNER; NULL: the user */
    PSID PrimaryGroup; /* the user or a group */
    PACL DefaultDacl;  /* of new objects; NULL: none, so that everybody has access */
    TOKEN_TYPE Type;
    SECURITY_IMPERSONATION_LEVEL Level; /* of an impersonation token */
    CHAR Source[TOKEN_SOURCE_LENGTH];
    LUID AuthenticationId;        /* logon session */
    LUID ParentTokenId;           /* of a filtered token: what it was made from */
    LARGE_INTEGER ExpirationTime; /* kept, not followed; 0: never */
} SE_TOKEN_PLAN, *PSE_TOKEN_PLAN;

extern POBJECT_TYPE SepTokenObjectType;

/* The token type, the well-known SIDs, the system's token on PsInitialSystemProcess. By ObInitialize; PASSIVE_LEVEL. */
NTSTATUS SeInitialize(VOID);

/**
 * SeCreateToken - makes a token object, without name or handle.
 *
 * @Token   gets the token, referenced
 * returns  STATUS_SUCCESS; STATUS_INVALID_OWNER, STATUS_INVALID_PRIMARY_GROUP: not among the token's SIDs; STATUS_INSUFFICIENT_RESOURCES
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS SeCreateToken(const SE_TOKEN_PLAN *Plan, PACCESS_TOKEN *Token);

/**
 * SeInheritToken - a new process runs as its parent does, with a copy of its token; the child's delete procedure gives it up.
 *
 * returns  STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS SeInheritToken(PEPROCESS Parent, PEPROCESS Child);
VOID SeReleaseToken(PEPROCESS Process);

/**
 * SeAssignPrimaryToken - gives a process another token; for whom the caller is in the mode it called from.
 *
 * @Handle   of a primary token, with TOKEN_ASSIGN_PRIMARY, of no other process
 * returns   STATUS_SUCCESS; STATUS_PRIVILEGE_NOT_HELD (it needs SeAssignPrimaryTokenPrivilege unless the token was filtered from the caller's own);
 *           STATUS_BAD_TOKEN_TYPE; STATUS_TOKEN_ALREADY_IN_USE; STATUS_NOT_SUPPORTED: its threads have run; what the handle says
 *
 * IRQL: PASSIVE_LEVEL. Locks: SepImpersonationLock.
 */
NTSTATUS SeAssignPrimaryToken(PEPROCESS Process, HANDLE Handle);

/* A thread acts for the token of a handle (TOKEN_IMPERSONATE), NULL: for itself. STATUS_BAD_TOKEN_TYPE, what the handle says. PASSIVE_LEVEL. */
NTSTATUS SeAssignImpersonationToken(PETHREAD Thread, HANDLE Handle);

/* OB_SECURITY_TOKEN_PROCEDUREs of processes and threads. */
PVOID SeProcessDefaults(PVOID Process);
PVOID SeThreadDefaults(PVOID Thread);

/**
 * SeCopyDescriptor - a self-relative copy in pool (SE_TAG_DESCRIPTOR) of a descriptor of either form.
 *
 * returns  NULL: no memory
 */
PSECURITY_DESCRIPTOR SeCopyDescriptor(PSECURITY_DESCRIPTOR Source, POOL_TYPE PoolType);

/*
 * DACLs, with everything for the system and administrators: of what everybody may look at (read and execute); of what everybody may use (write
 * also); of the system's own (administrators may read). (c)
 */
extern PACL SePublicDefaultDacl, SePublicOpenDacl, SeSystemDefaultDacl;

/* Room for an access state's auxiliary data, as SeCreateAccessState wants it: as much as drivers give. */
typedef struct _SE_AUX_DATA {
    ULONG64 Space[28];
} SE_AUX_DATA;

/* ---- Known to drivers, but not declared by the DDK's headers ---- */

NTSTATUS NTAPI SeCreateAccessState(PACCESS_STATE AccessState, PVOID AuxData, ACCESS_MASK DesiredAccess,
                                   PGENERIC_MAPPING GenericMapping);
VOID NTAPI SeDeleteAccessState(PACCESS_STATE AccessState);
SECURITY_IMPERSONATION_LEVEL NTAPI SeTokenImpersonationLevel(PACCESS_TOKEN Token);
VOID NTAPI SeCaptureSubjectContextEx(PETHREAD Thread, PEPROCESS Process, PSECURITY_SUBJECT_CONTEXT SubjectContext);
BOOLEAN NTAPI PsIsThreadImpersonating(PETHREAD Thread);
NTSTATUS NTAPI NtOpenProcessTokenEx(HANDLE ProcessHandle, ACCESS_MASK DesiredAccess, ULONG HandleAttributes,
                                    PHANDLE TokenHandle);
NTSTATUS NTAPI SeCaptureSecurityDescriptor(PSECURITY_DESCRIPTOR OriginalSecurityDescriptor, KPROCESSOR_MODE CurrentMode,
                                           POOL_TYPE PoolType, BOOLEAN CaptureIfKernel, PSECURITY_DESCRIPTOR *Copy);
VOID NTAPI SeReleaseSecurityDescriptor(PSECURITY_DESCRIPTOR CapturedSecurityDescriptor, KPROCESSOR_MODE CurrentMode,
                                       BOOLEAN CaptureIfKernelMode);
