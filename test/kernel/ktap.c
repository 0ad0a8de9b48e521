/*
 * ktap.c - runs the in-kernel suites and prints KTAP version 1.
 *
 * The suites come from section .ktap, gathered and sorted by the linker; the console command `test [PATTERN]` runs the cases
 * whose full name, SUITE.CASE, matches: a pattern with '*' must match the whole name, one without it any part. After
 * every case the runner checks what a case may not leave behind: a raised IRQL, disabled interrupts, anything that
 * MiVerify finds wrong with the memory manager's state, and reports of the verifier.
 *
 * IRQL: PASSIVE_LEVEL, in the console's thread.
 */
#include "ktapp.h"
#include <ntos/console.h>
#include <ntos/init.h>
#include <ntos/ktap.h>
#include <ntos/mm.h>
#include <ntos/rtl.h>

#define KTAP_NAME_BYTES 128

__attribute__((section(".ktap$a"), used)) static const KTAP_SUITE_ENTRY *const KtapFirst = NULL;
__attribute__((section(".ktap$z"), used)) static const KTAP_SUITE_ENTRY *const KtapLast = NULL;

VOID KtapFail(PKTAP_CONTEXT Ktap, PCSTR File, ULONG Line, PCSTR Format, ...)
{
    CHAR Text[256];
    va_list Arguments;

    va_start(Arguments, Format);
    RtlFormatStringV(Text, sizeof(Text), Format, Arguments);
    va_end(Arguments);
    Ktap->Failed = TRUE;
    ConPrint("# %s: %s:%u: %s\n", Ktap->Case, File, (unsigned)Line, Text);
}

ULONG64 KtapIterations(ULONG64 Normal)
{
    CHAR Text[16];
    ULONG Percent = 100;

    if (KeBootOption("stress", Text, sizeof(Text)) && !NT_SUCCESS(RtlCharToInteger(Text, 10, &Percent))) {
        Percent = 100;
    }
    return max(Normal * Percent / 100, 1);
}

PVOID KtapImport(PCWSTR Name)
{
    UNICODE_STRING Export;

    RtlInitUnicodeString(&Export, Name);
    return MmGetSystemRoutineAddress(&Export);
}

/* Glob with '*' only. */
static BOOLEAN KtapGlob(PCSTR Pattern, PCSTR Name)
{
    PCSTR Retry = NULL, RetryName = NULL;

    while (*Name != 0) {
        if (*Pattern == '*') {
            Retry = ++Pattern;
            RetryName = Name;
        } else if (*Pattern == *Name) {
            Pattern++;
            Name++;
        } else if (Retry != NULL) {
            Pattern = Retry;
            Name = ++RetryName;
        } else {
            return FALSE;
        }
    }
    while (*Pattern == '*') {
        Pattern++;
    }
    return *Pattern == 0;
}

static BOOLEAN KtapMatches(PCSTR Pattern, PCSTR Name)
{
    CHAR Anywhere[KTAP_NAME_BYTES];

    for (PCSTR Next = Pattern; *Next != 0; Next++) {
        if (*Next == '*') {
            return KtapGlob(Pattern, Name);
        }
    }
    RtlFormatString(Anywhere, sizeof(Anywhere), "*%s*", Pattern);
    return KtapGlob(Anywhere, Name);
}

static VOID KtapCheckRemains(PKTAP_CONTEXT Ktap, BOOLEAN InterruptsBefore, ULONG ReportsBefore)
{
    ULONG Reports = VfReports() - ReportsBefore;

    BOOLEAN InterruptsAfter = (__readeflags() & EFLAGS_IF) != 0;
    ULONG Findings;

    if (KeGetCurrentIrql() != PASSIVE_LEVEL) {
        KtapFail(Ktap, __FILE__, __LINE__, "IRQL is %u after the case", (unsigned)KeGetCurrentIrql());
        KeLowerIrql(PASSIVE_LEVEL);
    }
    if (InterruptsAfter != InterruptsBefore) {
        KtapFail(Ktap, __FILE__, __LINE__, "the case left interrupts %s", InterruptsAfter ? "on" : "off");
    }
    Findings = MiVerify();
    if (Findings != 0) {
        KtapFail(Ktap, __FILE__, __LINE__, "MiVerify has %u findings after the case", (unsigned)Findings);
    }
    if (Reports != 0) {
        KtapFail(Ktap, __FILE__, __LINE__, "vf: %u reports", (unsigned)Reports);
    }
}

static VOID KtapRunCase(PCSTR Name, const KTAP_CASE_ENTRY *Case, ULONG Number)
{
    PCSTR Told = "";
    KTAP_CONTEXT Ktap = {.Case = Name};
    BOOLEAN Interrupts = (__readeflags() & EFLAGS_IF) != 0;
    ULONG Reports = VfReports();
    LARGE_INTEGER Frequency, Start = KeQueryPerformanceCounter(&Frequency), End;

    if (KtapFaults()) {
        Told = KtapRunFaulted(&Ktap, Case);
    } else {
        Case->Run(&Ktap);
    }
    End = KeQueryPerformanceCounter(NULL);

    KtapCheckRemains(&Ktap, Interrupts, Reports);
    if (Ktap.Skipped && !Ktap.Failed) {
        ConPrint("ok %u %s # SKIP %s\n", (unsigned)Number, Name, Ktap.SkipReason);
    } else {
        ConPrint("%s %u %s # %llu us%s\n", Ktap.Failed ? "not ok" : "ok", (unsigned)Number, Name,
                 (End.QuadPart - Start.QuadPart) * 1000000ULL / Frequency.QuadPart, Told);
    }
}

/* Calls for every matching case; Run FALSE only counts. */
static ULONG KtapForEach(PCSTR Pattern, BOOLEAN Run)
{
    CHAR Name[KTAP_NAME_BYTES];
    ULONG Number = 0;

    for (const KTAP_SUITE_ENTRY *const *Suite = &KtapFirst + 1; Suite < &KtapLast; Suite++) {
        for (ULONG Index = 0; *Suite != NULL && Index < (*Suite)->Count; Index++) {
            RtlFormatString(Name, sizeof(Name), "%s.%s", (*Suite)->Name, (*Suite)->Cases[Index].Name);
            if (!KtapMatches(Pattern, Name)) {
                continue;
            }
            Number++;
            if (Run) {
                KAFFINITY Old = (*Suite)->OneProcessor ? KeSetSystemAffinityThreadEx(1) : 0;
                KtapRunCase(Name, &(*Suite)->Cases[Index], Number);
                if ((*Suite)->OneProcessor) {
                    KeRevertToUserAffinityThreadEx(Old);
                }
            }
        }
    }
    return Number;
}

static VOID KtapCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    PCSTR Pattern = "";

    KtapSetFaults(NULL);
    if (ArgumentCount > 2 && KtapGlob("--fault", Arguments[1])) {
        if (!KtapSetFaults(Arguments[2])) {
            ConPrint("test: --fault takes KIND:N, KIND being pool, irp, object or frame\n");
            return;
        }
        Arguments += 2;
        ArgumentCount -= 2;
    }
    if (ArgumentCount > 1) {
        Pattern = Arguments[1];
    }
    ULONG Count = KtapForEach(Pattern, FALSE);

    if (Count == 0) {
        ConPrint("test: no case matches \"%s\"\n", Pattern);
        return;
    }
    ConPrint("KTAP version 1\n1..%u\n", (unsigned)Count);
    KtapForEach(Pattern, TRUE);
    KtapShowFaults();
}
CONSOLE_COMMAND(KtapConsole, "test", "[--fault KIND:N] [PATTERN]", "run the kernel's test suites", KtapCommand);
