/*
 * job.h - what job.c and jobsvc.c share.
 */
#pragma once

#include "psp.h"

/* (l) Lock */
typedef struct _PSP_JOB {
    KEVENT Event; /* first: what a wait for the job waits for; signalled by the end of job time, which there is not */
    KSPIN_LOCK Lock;
    LIST_ENTRY Processes;                   /* (l) EPROCESS.JobLinks */
    ULONG Active, Total, Refused;           /* (l) */
    ULONG LimitFlags;                       /* (l) JOB_OBJECT_LIMIT_* */
    ULONG ActiveLimit, PriorityClass;       /* (l) */
    KAFFINITY Affinity;                     /* (l) */
    ULONG64 ProcessPages, JobPages;         /* (l) limits of commitment */
    ULONG64 PeakProcessPages, PeakJobPages; /* (l) */
    ULONG64 KernelTicks, UserTicks;         /* (l) of processes that have ended, and so the next two */
    ULONG64 PageFaults;
    IO_COUNTERS Io;
    PVOID Port, PortKey; /* (l) set once; the port is referenced */
} PSP_JOB, *PPSP_JOB;

extern POBJECT_TYPE PspJobType; /* (c) from phase 1 on */

PEPROCESS PspNextOfJob(PPSP_JOB Job, PEPROCESS After, BOOLEAN Running);
VOID PspTerminateJob(PPSP_JOB Job, NTSTATUS ExitStatus);
VOID PspApplyJobLimits(PPSP_JOB Job);
NTSTATUS PspSetJobPort(PPSP_JOB Job, PVOID Port, PVOID Key);
