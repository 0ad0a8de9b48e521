/*
 * sep.h - what the files of Se share.
 */
#pragma once

#include <ntos/ke.h>
#include <ntos/ob.h>
#include <ntos/ps.h>
#include <ntos/se.h>

/* (l) Lock  (c) constant after creation */
typedef struct _TOKEN {
    TOKEN_SOURCE Source;                /* (c) */
    LUID TokenId;                       /* (c) */
    LUID AuthenticationId;              /* (c) */
    LUID ModifiedId;                    /* (l) */
    LUID ParentTokenId;                 /* (c) zero: it was not filtered from another */
    LARGE_INTEGER ExpirationTime;       /* (c) */
    TOKEN_TYPE Type;                    /* (c) */
    SECURITY_IMPERSONATION_LEVEL Level; /* (c) */
    ULONG SessionId;                    /* (c) */
    ULONG SidCount;                     /* (c) user and groups */
    PSID_AND_ATTRIBUTES Sids;           /* (c) but for the attributes (l); the first is the user; in Block */
    ULONG RestrictedCount;              /* (c) */
    PSID_AND_ATTRIBUTES Restricted;     /* (c) restricting SIDs; in Block */
    ULONG PrivilegeCount;               /* (c) */
    PLUID_AND_ATTRIBUTES Privileges;    /* (l) the attributes; in Block */
    ULONG OwnerIndex, GroupIndex;       /* (l) in Sids: owner and primary group of new objects */
    PACL DefaultDacl;                   /* (l) in Block or in OwnDacl, or NULL */
    PVOID OwnDacl;                      /* (l) pool: a default DACL that was set later */
    volatile LONG InUse;                /* interlocked: it is some process's primary token */
    struct _TOKEN *Replaced;            /* (c) referenced: what it took the place of in its process */
    PVOID Block;                        /* (c) pool: everything of variable length */
    ERESOURCE Lock;                     /* shared by readers, also over SeLockSubjectContext */
} TOKEN, *PTOKEN;

/* The token whose rights count: the client's, if there is one. */
FORCEINLINE PTOKEN SepEffectiveToken(PSECURITY_SUBJECT_CONTEXT Subject)
{
    return (PTOKEN)((Subject->ClientToken != NULL) ? Subject->ClientToken : Subject->PrimaryToken);
}

/* Fixed storage for SIDs of up to two subauthorities. */
typedef struct _SEP_SID {
    UCHAR Revision;
    UCHAR SubAuthorityCount;
    SID_IDENTIFIER_AUTHORITY Authority;
    ULONG SubAuthority[2];
} SEP_SID;

/* What an access state's AuxData points to. Drivers pass it through; its first two fields are as they know them. */
typedef struct _SEP_AUX_DATA {
    PPRIVILEGE_SET PrivilegesUsed; /* the state's own set, or one from pool (PrivilegesAllocated) */
    GENERIC_MAPPING GenericMapping;
} SEP_AUX_DATA, *PSEP_AUX_DATA;

/* wellknown.c */
extern SE_EXPORTS SepExports;
NTSTATUS SepInitializeWellKnown(VOID);

/* capture.c */
NTSTATUS SepCaptureUserDescriptor(const VOID *Source, POOL_TYPE PoolType, PSECURITY_DESCRIPTOR *Copy);

/* privilege.c; the token's lock is held, at least shared */
BOOLEAN SepHasPrivilege(PTOKEN Token, LUID Privilege);
BOOLEAN SepTokenPrivilegeCheck(PTOKEN Token, PPRIVILEGE_SET Set);

/* token.c */
BOOLEAN SepSidInToken(PTOKEN Token, PSID Sid, BOOLEAN Denying);
BOOLEAN SepSidRestricts(PTOKEN Token, PSID Sid);
ULONG SepFindSid(PTOKEN Token, PSID Sid);
BOOLEAN SepMayOwn(PTOKEN Token, PSID Sid);

/* tokencap.c: input of programs, copied to pool (SE_TAG_PRIVILEGES) and looked at. Freed with ExFreePoolWithTag if it is not NULL. */
NTSTATUS SepCaptureSid(PSID Source, PSID *Copy);
NTSTATUS SepCaptureSidList(const SID_AND_ATTRIBUTES *Source, ULONG Count, PSID_AND_ATTRIBUTES *Copy);
NTSTATUS SepCaptureGroups(const TOKEN_GROUPS *Source, PULONG Count, PSID_AND_ATTRIBUTES *Copy);
NTSTATUS SepCapturePrivileges(const TOKEN_PRIVILEGES *Source, PULONG Count, PLUID_AND_ATTRIBUTES *Copy);
NTSTATUS SepCaptureAcl(PACL Source, PACL *Copy);
VOID SepFree(PVOID Captured);
NTSTATUS SepReferenceToken(HANDLE Handle, ACCESS_MASK Access, PTOKEN *Token);
NTSTATUS SepReturnToken(PACCESS_TOKEN Token, POBJECT_ATTRIBUTES Attributes, ACCESS_MASK DesiredAccess, PHANDLE Handle);

/* tokendup.c: a plan of a copy; the token's lock is held while the plan is used */
VOID SepPlanCopy(PTOKEN Token, SE_TOKEN_PLAN *Plan);

/* subject.c */
VOID SepLockToken(PTOKEN Token);
VOID SepUnlockToken(PTOKEN Token);
VOID SepExchangeToken(PEPROCESS Process, PTOKEN Token);
