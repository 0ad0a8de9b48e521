/*
 * uobj.h - what the files of the objects' suite share.
 */
#pragma once

#include "../ktap.h"

#define BASE L"\\BaseNamedObjects\\Uobj"

/* quota.c */
ULONG QuotaObjects(VOID);
ULONG QuotaHandles(VOID);
ULONG QuotaRights(VOID);
ULONG QuotaChildren(VOID);
ULONG QuotaOutlived(VOID);
ULONG QuotaRace(VOID);
NTSTATUS QuotaChild(WCHAR What, HANDLE Event); /* the process that quota.c starts */
