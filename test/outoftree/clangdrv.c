/*
 * clangdrv.c - a driver that relies on structured exception handling, built by clang-19 from the DDK headers alone.
 *
 * Everything happens in DriverEntry, which then fails on purpose with STATUS_NO_MORE_ENTRIES. Its tables of handlers are found
 * only if the loader has made its .pdata known.
 */
#define _CRTIMP /* the headers' __C_specific_handler is no import of a C library here */
#include "blackbox.h"

static volatile ULONG Steps;

static BOOLEAN AccessViolation(VOID)
{
    volatile ULONG *Nothing = (volatile ULONG *)0x10;
    NTSTATUS Code = STATUS_SUCCESS;
    ULONG Value = 7;

    __try {
        Value = *Nothing;
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Code = GetExceptionCode();
    }
    CHECK(Code == STATUS_ACCESS_VIOLATION && Value == 7);
    return TRUE;
}

/* Not inlined: the exception has to pass a frame of its own. */
static DECLSPEC_NOINLINE VOID Raise(NTSTATUS Status)
{
    __try {
        Steps = Steps * 10 + 1;
        ExRaiseStatus(Status);
    } __finally {
        Steps = Steps * 10 + 2;
    }
}

static BOOLEAN RaiseStatus(VOID)
{
    NTSTATUS Code = STATUS_SUCCESS;

    Steps = 0;
    __try {
        Raise(STATUS_DISK_FULL);
        Steps = 99;
    } __except (GetExceptionCode() == STATUS_DISK_FULL ? EXCEPTION_EXECUTE_HANDLER : EXCEPTION_CONTINUE_SEARCH) {
        Code = GetExceptionCode();
        Steps = Steps * 10 + 3;
    }
    CHECK(Code == STATUS_DISK_FULL && Steps == 123);
    return TRUE;
}

static BOOLEAN Filters(VOID)
{
    ULONG Taken = 0;

    __try {
        __try {
            Raise(STATUS_TOO_MANY_SECRETS);
        } __except (GetExceptionCode() == STATUS_DISK_FULL ? EXCEPTION_EXECUTE_HANDLER : EXCEPTION_CONTINUE_SEARCH) {
            Taken = 1;
        }
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Taken = 2;
    }
    CHECK(Taken == 2);
    return TRUE;
}

static NTSTATUS Probe(PVOID Address, SIZE_T Bytes, ULONG Alignment, BOOLEAN Write)
{
    __try {
        if (Write) {
            ProbeForWrite(Address, Bytes, Alignment);
        } else {
            ProbeForRead(Address, Bytes, Alignment);
        }
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    return STATUS_SUCCESS;
}

static BOOLEAN Probes(VOID)
{
    CHECK(Probe(&Steps, 4, 4, FALSE) == STATUS_ACCESS_VIOLATION); /* a kernel address */
    CHECK(Probe((PVOID)0x10001, 8, 4, FALSE) == STATUS_DATATYPE_MISALIGNMENT);
    CHECK(Probe((PVOID)0x10000, 0, 4, FALSE) == STATUS_SUCCESS);
    CHECK(Probe((PVOID)0x7FFFFFFF0000, 0x100000, 1, FALSE) == STATUS_ACCESS_VIOLATION);
    CHECK(Probe(&Steps, 4, 4, TRUE) == STATUS_ACCESS_VIOLATION);
    return TRUE;
}

static BOOLEAN FinallyOnReturn(VOID)
{
    Steps = 0;
    __try {
        Steps = 5;
    } __finally {
        Steps = Steps * 10 + (AbnormalTermination() ? 1 : 6);
    }
    CHECK(Steps == 56);
    return TRUE;
}

static const BLACKBOX_CASE Cases[] = {
    {"access_violation", AccessViolation},  {"raise_status", RaiseStatus}, {"filters", Filters}, {"probes", Probes},
    {"finally_on_return", FinallyOnReturn},
};

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    BlackBoxRun("clangdrv", Cases, sizeof(Cases) / sizeof(Cases[0]));
    return STATUS_NO_MORE_ENTRIES;
}
