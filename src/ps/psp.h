/*
 * psp.h - what the files of Ps share.
 */
#pragma once

#include <ntos/ke.h>
#include <ntos/mm.h>
#include <ntos/ps.h>

#define PSP_TAG_THREAD 'rhTP'

/* Identifiers of processes and threads come from one sequence of multiples of 4. IRQL: any. */
HANDLE PspNewId(VOID);
VOID PspStartReaper(VOID); /* thread.c, phase 1 */
