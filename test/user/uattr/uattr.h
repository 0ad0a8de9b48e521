/*
 * uattr.h - children made with attribute lists, for the files of this suite.
 */
#pragma once

#include "../ktap.h"

#define PATH L"\\SystemRoot\\System\\uproc.exe"

typedef struct _LIST {
    SIZE_T TotalLength;
    PS_ATTRIBUTE Attributes[6];
} LIST;

typedef struct _CHILD {
    HANDLE Process, Thread;
    CLIENT_ID Cid;
} CHILD;

VOID Begin(LIST *List, CHILD *Child);
VOID Add(LIST *List, ULONG_PTR Attribute, PVOID Value, SIZE_T Size, PSIZE_T Returned);
NTSTATUS Start(LIST *List, CHILD *Child, PCWSTR Line, ULONG Flags, HANDLE Output);

/* uses.c */
ULONG MemoryUse(VOID);
ULONG RequestUse(VOID);
ULONG JobUse(VOID);
