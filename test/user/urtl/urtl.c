/*
 * urtl.c - kernel suites of test/kernel that ask only for what ntdll has too, run in ring 3 by the same code.
 *
 * Sources of src/rtl are built for both halves; so are their suites.
 *
 * The other files of this program include one suite each; the linker gathers them in section .ktap, as it does in the kernel.
 */
#include "../ktap.h"

#include <ntos/ktap.h>

__attribute__((section(".ktap$a"), used)) static const KTAP_SUITE_ENTRY *const KtapFirst = NULL;
__attribute__((section(".ktap$z"), used)) static const KTAP_SUITE_ENTRY *const KtapLast = NULL;

VOID KtapFail(PKTAP_CONTEXT Ktap, PCSTR File, ULONG Line, PCSTR Format, ...)
{
    CHAR Text[256];
    va_list Arguments;

    va_start(Arguments, Format);
    _vsnprintf(Text, sizeof(Text), Format, Arguments);
    va_end(Arguments);
    Ktap->Failed = TRUE;
    DbgPrint("# %s: %s:%lu: %s\n", Ktap->Case, File, Line, Text);
}

ULONG64 KtapIterations(ULONG64 Normal)
{
    return Normal;
}

/* Failures are injected in the kernel only: no check of a program's is tried again. */
VOID KtapBeginTurn(PKTAP_CONTEXT Ktap, PKTAP_TRY Try)
{
    UNREFERENCED_PARAMETER(Ktap);
    UNREFERENCED_PARAMETER(Try);
}

BOOLEAN KtapEndTurn(PKTAP_CONTEXT Ktap, PKTAP_TRY Try, BOOLEAN Holds, ULONG64 Value)
{
    UNREFERENCED_PARAMETER(Ktap);
    UNREFERENCED_PARAMETER(Try);
    UNREFERENCED_PARAMETER(Holds);
    UNREFERENCED_PARAMETER(Value);
    return FALSE;
}

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    const KTAP_SUITE_ENTRY *const *Suite;
    ULONG Number = 0, Count = 0;
    NTSTATUS Status = STATUS_SUCCESS;

    for (Suite = &KtapFirst + 1; Suite < &KtapLast; Suite++) {
        Count += *Suite == NULL ? 0 : (*Suite)->Count;
    }
    DbgPrint("KTAP version 1\n1..%lu\n", Count);
    for (Suite = &KtapFirst + 1; Suite < &KtapLast; Suite++) {
        for (ULONG Index = 0; *Suite != NULL && Index < (*Suite)->Count; Index++) {
            KTAP_CONTEXT Ktap = {.Case = (*Suite)->Cases[Index].Name};

            (*Suite)->Cases[Index].Run(&Ktap);
            DbgPrint("%s %lu user.%s.%s\n", Ktap.Failed ? "not ok" : "ok", ++Number, (*Suite)->Name, Ktap.Case);
            Status = Ktap.Failed ? STATUS_UNSUCCESSFUL : Status;
        }
    }
    return Status;
}
