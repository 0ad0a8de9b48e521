/*
 * rtlsec.h - checks of security structures that came from outside, shared by sid.c, acl.c and secdesc.c.
 */
#pragma once

#include <ntos/ntos.h>

/* TRUE: Bytes bytes hold a whole SID of revision 1. IRQL: any. (sid.c) */
BOOLEAN RtlpValidSidBytes(PVOID Sid, ULONG Bytes);

/* TRUE: Bytes bytes hold a whole ACL of a known revision whose ACEs lie inside it. IRQL: any. (acl.c) */
BOOLEAN RtlpValidAclBytes(PVOID Acl, ULONG Bytes);
