/*
 * sysinfop.h - what the files of system information share: an answer that is written while it is measured.
 */
#pragma once

#include <ntos/sysinfo.h>

/*
 * An answer of variable length. Needed grows with every reservation; nothing is written beyond Length, so that one pass both fills the
 * buffer and, if it was too short, says how long it should have been.
 */
typedef struct _EXP_ANSWER {
    PUCHAR Buffer;
    ULONG Length;
    ULONG Needed;
    ULONG64 Bias;       /* added to pointers into the answer: what a program will see it at */
    BOOLEAN HideKernel; /* for a program: addresses of the kernel are given as NULL */
} EXP_ANSWER, *PEXP_ANSWER;

/* Room for Bytes, NULL: it does not fit. The memory is zero. */
PVOID ExpReserve(PEXP_ANSWER Answer, ULONG Bytes);

/* syslists.c: the classes that list things */
NTSTATUS ExpQueryProcesses(PEXP_ANSWER Answer);
NTSTATUS ExpQueryModules(PEXP_ANSWER Answer);
NTSTATUS ExpQueryHandles(PEXP_ANSWER Answer);
NTSTATUS ExpQueryHandlesEx(PEXP_ANSWER Answer);
NTSTATUS ExpQueryPoolTags(PEXP_ANSWER Answer);
