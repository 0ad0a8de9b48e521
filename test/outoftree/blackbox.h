/*
 * blackbox.h - test cases in a driver that knows the DDK only: KTAP lines through DbgPrint.
 *
 * A suite is a table of cases run from DriverEntry by BlackBoxRun; a failed CHECK prints its line and ends the case.
 */
#pragma once

#include <ntddk.h>

typedef BOOLEAN (*BLACKBOX_ROUTINE)(VOID);

typedef struct _BLACKBOX_CASE {
    const char *Name;
    BLACKBOX_ROUTINE Run;
} BLACKBOX_CASE;

#define CHECK(Condition)                                                                                               \
    do {                                                                                                               \
        if (!(Condition)) {                                                                                            \
            DbgPrint("# %s:%d: %s\n", __FILE__, __LINE__, #Condition);                                                 \
            return FALSE;                                                                                              \
        }                                                                                                              \
    } while (0)

static ULONG BlackBoxRun(const char *Suite, const BLACKBOX_CASE *Cases, ULONG Count)
{
    ULONG Index, Failed = 0;

    DbgPrint("KTAP version 1\n1..%lu\n", Count);
    for (Index = 0; Index < Count; Index++) {
        BOOLEAN Ok = Cases[Index].Run();

        Failed += Ok ? 0 : 1;
        DbgPrint("%s %lu %s.%s\n", Ok ? "ok" : "not ok", Index + 1, Suite, Cases[Index].Name);
    }
    return Failed;
}
