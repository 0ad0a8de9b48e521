/*
 * ktap.h - in-kernel test suites (chk flavour), printed as KTAP version 1 by the console command `test`.
 *
 * A suite is a file in test/kernel/ that defines cases and ends in one KTAP_SUITE line. The linker gathers the
 * suites from section .ktap; nothing else has to know of a new one. Cases run at PASSIVE_LEVEL in the console's thread,
 * one by one; a case may raise IRQL but returns at PASSIVE_LEVEL. A failed check prints the place and ends the case.
 */
#pragma once

#include <ntos/inject.h>

/* The code of suites lies together, so that the verifier knows their locks from the kernel's (src/vf/class.c). */
#pragma code_seg(".text$t")

typedef struct _KTAP_CONTEXT {
    PCSTR Case;
    BOOLEAN Failed;
    BOOLEAN Skipped;
    BOOLEAN Keeps;  /* set by a case for which it is right to leave something behind */
    BOOLEAN Faults; /* allocations fail in its checks: `test --fault` */
    PCSTR SkipReason;
} KTAP_CONTEXT, *PKTAP_CONTEXT;

typedef VOID (*PKTAP_CASE)(PKTAP_CONTEXT Ktap);

typedef struct _KTAP_CASE_ENTRY {
    PCSTR Name;
    PKTAP_CASE Run;
} KTAP_CASE_ENTRY;

typedef struct _KTAP_SUITE_ENTRY {
    PCSTR Name; /* e.g. "mm.window"; a case is shown as "mm.window.nested" */
    const KTAP_CASE_ENTRY *Cases;
    ULONG Count;
    BOOLEAN OneProcessor; /* the cases run on processor 0, and so do the threads they start with TestThread */
} KTAP_SUITE_ENTRY;

/* Marks the case failed and prints the place. IRQL: <= DISPATCH_LEVEL. (test/kernel/ktap.c) */
VOID KtapFail(PKTAP_CONTEXT Ktap, PCSTR File, ULONG Line, PCSTR Format, ...);

/*
 * How often a race test goes round: Normal, scaled by the boot option stress=PERCENT, at least once. Bochs and UEFI
 * machines are run with less than 100, `make torture` with more. IRQL: any. (test/kernel/ktap.c)
 */
ULONG64 KtapIterations(ULONG64 Normal);

/*
 * What the kernel exports as Name, as a value of type Type: for exports that the DDK's headers hide behind an inline, a macro or
 * another declaration. `make exports` counts it as a call. IRQL: PASSIVE_LEVEL. (test/kernel/ktap.c)
 */
PVOID KtapImport(PCWSTR Name);
#define KTAP_IMPORT(Type, Name) ((Type)KtapImport(L## #Name))

#define KTAP_SUITE(Symbol, SuiteName, CaseArray)                                                                       \
    static const KTAP_SUITE_ENTRY Symbol = {SuiteName, CaseArray, RTL_NUMBER_OF(CaseArray)};                           \
    __attribute__((section(".ktap$m"), used)) static const KTAP_SUITE_ENTRY *const Symbol##Pointer = &Symbol

/* A suite whose cases rely on a thread of higher priority running before the call that made it ready returns. */
#define KTAP_SUITE_ON_ONE(Symbol, SuiteName, CaseArray)                                                                \
    static const KTAP_SUITE_ENTRY Symbol = {SuiteName, CaseArray, RTL_NUMBER_OF(CaseArray), TRUE};                     \
    __attribute__((section(".ktap$m"), used)) static const KTAP_SUITE_ENTRY *const Symbol##Pointer = &Symbol

/*
 * Under `test --fault` the requests that the expression of a check makes may fail. A check that does not hold after a failure
 * was injected is tried again, up to KTAP_TURNS times and at last without failures. So the expression is one operation, which has
 * no effect when it fails, and everything it may say for want of memory is among the statuses that KtapEndTurn knows. (test/kernel/ktapfault.c)
 */
typedef struct _KTAP_TRY {
    ULONG Turn;
    ULONG Injected; /* failures ever, when the turn began */
} KTAP_TRY, *PKTAP_TRY;

VOID KtapBeginTurn(PKTAP_CONTEXT Ktap, PKTAP_TRY Try);
/* TRUE: again. Value: what the expression said. */
BOOLEAN KtapEndTurn(PKTAP_CONTEXT Ktap, PKTAP_TRY Try, BOOLEAN Holds, ULONG64 Value);

#define KTAP_TRY_EXPRESSION(Statement, Holds, Value)                                                                   \
    KTAP_TRY KtapTry = {0};                                                                                            \
    do {                                                                                                               \
        if (Ktap->Faults) {                                                                                            \
            KtapBeginTurn(Ktap, &KtapTry);                                                                             \
        }                                                                                                              \
        Statement;                                                                                                     \
    } while (Ktap->Faults && KtapEndTurn(Ktap, &KtapTry, Holds, Value))

#define KTAP_CHECK(Condition)                                                                                          \
    do {                                                                                                               \
        BOOLEAN KtapHolds;                                                                                             \
        KTAP_TRY_EXPRESSION(KtapHolds = (Condition) != 0, KtapHolds, KtapHolds);                                       \
        if (!KtapHolds) {                                                                                              \
            KtapFail(Ktap, __FILE__, __LINE__, "%s", #Condition);                                                      \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

#define KTAP_EQUAL(Actual, Expected)                                                                                   \
    do {                                                                                                               \
        ULONG64 KtapA, KtapE;                                                                                          \
        KTAP_TRY_EXPRESSION((KtapA = (ULONG64)(Actual), KtapE = (ULONG64)(Expected)), KtapA == KtapE, KtapA);          \
        if (KtapA != KtapE) {                                                                                          \
            KtapFail(Ktap, __FILE__, __LINE__, "%s is 0x%llx, expected 0x%llx", #Actual, KtapA, KtapE);                \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

/* What is counted is attempts, or what they cost: there may be more of them under failures. */
#define KTAP_EXACT(Actual, Expected)                                                                                   \
    do {                                                                                                               \
        if (!Ktap->Faults) {                                                                                           \
            KTAP_EQUAL(Actual, Expected);                                                                              \
        }                                                                                                              \
    } while (0)

/* For an expression that is several operations and cannot be tried again: nothing that this thread asks for in it fails. */
#define KTAP_WHOLE(Expression)                                                                                         \
    ({                                                                                                                 \
        ULONG KtapDepth = ExSuspendFaults();                                                                           \
        __auto_type KtapWhole = (Expression);                                                                          \
        ExResumeFaults(KtapDepth);                                                                                     \
        KtapWhole;                                                                                                     \
    })
