/*
 * proctest.h - processes for the suites of the memory manager: an address space without threads, to attach to.
 */
#pragma once

#include "../../src/mm/misection.h"
#include "../../src/mm/miprocess.h"
#include <ntos/ktap.h>
#include <ntos/pool.h>

/* A process object with an empty address space; NULL: memory is short. PASSIVE_LEVEL. */
static __attribute__((unused)) PEPROCESS TestCreateProcess(VOID)
{
    PEPROCESS Process = NULL;

    if (!NT_SUCCESS(ObCreateObject(KernelMode, *PsProcessType, NULL, KernelMode, NULL, sizeof(EPROCESS), 0, 0,
                                   (PVOID *)&Process))) {
        return NULL;
    }
    KeInitializeProcess(&Process->Pcb, 0, 8);
    PsInheritQuota(PsInitialSystemProcess, Process);
    if (!NT_SUCCESS(MmCreateProcessAddressSpace(Process))) {
        ObDereferenceObject(Process);
        return NULL;
    }
    return Process;
}

static __attribute__((unused)) VOID TestDeleteProcess(PEPROCESS Process)
{
    MmDeleteProcessAddressSpace(Process);
    ObDereferenceObject(Process);
}

/* The suites' services on the process that the caller is attached to. */
static __attribute__((unused)) NTSTATUS TestAllocate(PVOID *Base, SIZE_T *Size, ULONG Type, ULONG Protect)
{
    return ZwAllocateVirtualMemory(ZwCurrentProcess(), Base, 0, Size, Type, Protect);
}

static __attribute__((unused)) NTSTATUS TestFree(PVOID Base, SIZE_T Size, ULONG Type)
{
    return ZwFreeVirtualMemory(ZwCurrentProcess(), &Base, &Size, Type);
}

/* One word of user memory, as the kernel reads and writes it. */
static __attribute__((unused)) NTSTATUS TestWrite(PVOID Address, ULONG64 Value)
{
    return MmCopyToUser(Address, &Value, sizeof(Value));
}

static __attribute__((unused)) NTSTATUS TestRead(const VOID *Address, PULONG64 Value)
{
    return MmCopyFromUser(Value, Address, sizeof(*Value));
}

/* Runs a case's body attached to a fresh process, and deletes that afterwards whatever the body did. */
typedef VOID (*TEST_PROCESS_BODY)(PKTAP_CONTEXT Ktap, PEPROCESS Process);

static __attribute__((unused)) VOID TestInProcess(PKTAP_CONTEXT Ktap, TEST_PROCESS_BODY Body)
{
    PEPROCESS Process = TestCreateProcess();
    KAPC_STATE State;

    KTAP_CHECK(Process != NULL);
    KeStackAttachProcess((PVOID)Process, &State);
    __try {
        Body(Ktap, Process);
        if (MiVerify() != 0) {
            KtapFail(Ktap, __FILE__, __LINE__, "MiVerify with the process alive");
        }
    } __finally {
        KeUnstackDetachProcess(&State);
        TestDeleteProcess(Process);
    }
}
