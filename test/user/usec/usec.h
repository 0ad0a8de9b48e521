/*
 * usec.h - what the files of the suite of security share: SIDs, descriptors and tokens that the cases are made of.
 */
#pragma once

#include "../ktap.h"

#include <ntos/se.h>

#define SEC_PATH L"\\SystemRoot\\System\\usec.exe"

/* of the Windows SDK */
#define PROCESS_TERMINATE     0x0001
#define PROCESS_CREATE_THREAD 0x0002

typedef struct _SEC_SID {
    UCHAR Revision, Count;
    SID_IDENTIFIER_AUTHORITY Authority;
    ULONG Sub[4];
} SEC_SID;

extern SEC_SID SecAlice, SecGroup, SecStaff, SecWorld, SecSystem, SecAdmins, SecOwnerRights;

/* A descriptor that is being made: owner, group, DACL with up to a few entries. */
typedef struct _SEC_DESCRIPTOR {
    SECURITY_DESCRIPTOR Head;
    ULONG64 Space[40];
} SEC_DESCRIPTOR;

VOID SecBegin(SEC_DESCRIPTOR *Descriptor, PSID Owner);
VOID SecAllow(SEC_DESCRIPTOR *Descriptor, PSID Sid, ACCESS_MASK Mask, UCHAR Flags);
VOID SecDeny(SEC_DESCRIPTOR *Descriptor, PSID Sid, ACCESS_MASK Mask);

/* Switches one privilege of the process's token. */
NTSTATUS SecPrivilege(ULONG Privilege, BOOLEAN Enable);

/* A token of SecAlice, who is in SecGroup (may own), SecStaff (off) and World; Privileges: bits of the numbers below 64 that are enabled. */
NTSTATUS SecUserToken(TOKEN_TYPE Type, ULONG64 Privileges, PHANDLE Token);

/* The calling thread acts for a token, NULL: for itself. */
NTSTATUS SecActFor(HANDLE Token);

/* This program again with a word, as whom Token says (NULL: as this one); its exit status. */
NTSTATUS SecRun(PCWSTR CommandLine, HANDLE Token, PNTSTATUS ExitStatus);

extern const USER_CASE SecTokenCases[5], SecCheckCases[5], SecOpenCases[9];

NTSTATUS SecAsUser(VOID); /* what a program of a user's does and cannot do; the line it failed at */
