/*
 * ktap.h - what the suites of programs share: checks, threads, and the runner that prints KTAP version 1.
 *
 * A case returns the line it failed at, 0 if it passed, SKIP if the machine lacks what it is about. A suite is a program: `NtProcessStartup` returns UserRunSuite(...), which ends
 * with STATUS_UNSUCCESSFUL if a case failed.
 */
#pragma once

#include <oriel/program.h>

#define CHECK(Condition)                                                                                               \
    do {                                                                                                               \
        if (!(Condition)) {                                                                                            \
            return __LINE__;                                                                                           \
        }                                                                                                              \
    } while (0)

#define SKIP MAXULONG

#define KERNEL_POINTER ((PVOID)0xFFFFF80000000000ULL)
#define THREADS        4

typedef ULONG (*PCASE)(VOID);

typedef struct _USER_CASE {
    PCSTR Name;
    PCASE Run;
} USER_CASE;

static inline HANDLE StartThread(PVOID Routine, PVOID Argument, ULONG Flags)
{
    HANDLE Thread = NULL;

    return NT_SUCCESS(NtCreateThreadEx(&Thread, THREAD_ALL_ACCESS, NULL, ZwCurrentProcess(), Routine, Argument, Flags,
                                       0, 0, 0, NULL))
               ? Thread
               : NULL;
}

static inline ULONG Join(HANDLE Thread)
{
    CHECK(Thread != NULL);
    CHECK(NtWaitForSingleObject(Thread, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtClose(Thread) == STATUS_SUCCESS);
    return 0;
}

/* Count threads of Routine(Argument), and their ends. */
static inline ULONG RunThreads(PVOID Routine, PVOID Argument, ULONG Count)
{
    HANDLE Thread[16];

    CHECK(Count <= RTL_NUMBER_OF(Thread));
    for (ULONG Index = 0; Index < Count; Index++) {
        Thread[Index] = StartThread(Routine, Argument, 0);
        CHECK(Thread[Index] != NULL);
    }
    for (ULONG Index = 0; Index < Count; Index++) {
        CHECK(Join(Thread[Index]) == 0);
    }
    return 0;
}

/* The next of a sequence of pseudo-random numbers. */
static inline ULONG NextRandom(PULONG Seed)
{
    *Seed = *Seed * 1103515245 + 12345;
    return *Seed >> 8;
}

static inline NTSTATUS UserRunSuite(PCSTR File, const USER_CASE *Cases, ULONG Count)
{
    ULONG Failed = 0;

    DbgPrint("KTAP version 1\n1..%lu\n", Count);
    for (ULONG Index = 0; Index < Count; Index++) {
        ULONG Line = Cases[Index].Run();

        if (Line == SKIP) {
            DbgPrint("ok %lu %s # SKIP not on this machine\n", Index + 1, Cases[Index].Name);
            continue;
        }
        if (Line != 0) {
            DbgPrint("# %s: %s:%lu\n", Cases[Index].Name, File, Line);
            Failed++;
        }
        DbgPrint("%s %lu %s\n", Line == 0 ? "ok" : "not ok", Index + 1, Cases[Index].Name);
    }
    if (Failed != 0) {
        RtlExitUserProcess(STATUS_UNSUCCESSFUL); /* with the threads that a case which gave up left behind */
    }
    return STATUS_SUCCESS;
}
