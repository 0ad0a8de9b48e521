/*
 * uvm.h - what the files of the suite of virtual memory share.
 */
#pragma once

#include "../ktap.h"

/* matrix.c: each returns the line of its first failure, 0 if all cases had the status that the model says. */
ULONG MatrixAllocate(VOID);
ULONG MatrixProtections(VOID);
ULONG MatrixFree(VOID);
ULONG MatrixProtect(VOID);
ULONG MatrixLock(VOID);
ULONG MatrixFlush(VOID);
ULONG MatrixCopy(VOID);
ULONG MatrixCount(VOID);

ULONG SharedCommit(VOID);  /* shared.c */
ULONG LargeSections(VOID); /* large.c */
