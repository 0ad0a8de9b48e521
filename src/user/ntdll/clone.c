/*
 * clone.c - RtlCloneUserProcess: a program makes a copy of itself, which goes on in the thread that asked.
 *
 * The copy has one thread. What the others were doing when the copy was made stays as it was, so what ntdll itself would wait for in vain is held meanwhile:
 * the loader's lock and the process heap's. In the copy both are made anew, as is the table of waiting threads: whoever is in it
 * is not there. Locks of the program's own are the program's business.
 *
 * Source: the public descriptions of RtlCloneUserProcess; POSIX fork, on which locks of vanished threads.
 */
#include "heapp.h"
#include "park.h"

/* In the copy: the owner of both locks, which has new identifiers. */
static VOID RtlpRepairClone(BOOLEAN Locked)
{
    RtlpForgetParked();
    if (Locked) {
        PHEAP Heap = LdrpPeb()->ProcessHeap;

        LdrpTeb()->CountOfOwnedCriticalSections = 0;
        RtlInitializeCriticalSection(&LdrpLock);
        RtlInitializeCriticalSection(&Heap->Lock);
    }
}

/**
 * RtlCloneUserProcess - makes a copy of the calling process with a copy of the calling thread.
 *
 * @ProcessFlags        RTL_CLONE_PROCESS_FLAGS_CREATE_SUSPENDED: the copy waits for NtResumeThread; _INHERIT_HANDLES: inheritable handles have the same
 *                      values there; _NO_SYNCHRONIZE: no lock of ntdll's is taken
 * @ProcessSecurityDescriptor, @ThreadSecurityDescriptor  of the new objects; may be NULL
 * @DebugPort           must be NULL
 * @ProcessInformation  gets handles and identifiers, in the original only
 * returns              STATUS_SUCCESS in the original; STATUS_PROCESS_CLONED in the copy; STATUS_INVALID_PARAMETER; what
 *                      NtCreateUserProcess says
 */
NTSTATUS NTAPI RtlCloneUserProcess(ULONG ProcessFlags, PSECURITY_DESCRIPTOR ProcessSecurityDescriptor,
                                   PSECURITY_DESCRIPTOR ThreadSecurityDescriptor, HANDLE DebugPort,
                                   PRTL_USER_PROCESS_INFORMATION ProcessInformation)
{
    BOOLEAN Locked = (ProcessFlags & RTL_CLONE_PROCESS_FLAGS_NO_SYNCHRONIZE) == 0;
    OBJECT_ATTRIBUTES Process, Thread;
    PS_ATTRIBUTE_LIST List = {.TotalLength = sizeof(List)};
    NTSTATUS Status;

    if (DebugPort != NULL ||
        (ProcessFlags & ~(RTL_CLONE_PROCESS_FLAGS_CREATE_SUSPENDED | RTL_CLONE_PROCESS_FLAGS_INHERIT_HANDLES |
                          RTL_CLONE_PROCESS_FLAGS_NO_SYNCHRONIZE)) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    InitializeObjectAttributes(&Process, NULL, 0, NULL, ProcessSecurityDescriptor);
    InitializeObjectAttributes(&Thread, NULL, 0, NULL, ThreadSecurityDescriptor);
    List.Attributes[0] =
        (PS_ATTRIBUTE){PS_ATTRIBUTE_CLIENT_ID, sizeof(CLIENT_ID), {.ValuePtr = &ProcessInformation->ClientId}, NULL};
    RtlZeroMemory(ProcessInformation, sizeof(*ProcessInformation));
    ProcessInformation->Length = sizeof(*ProcessInformation);
    if (Locked) {
        RtlEnterCriticalSection(&LdrpLock);
        RtlLockHeap(LdrpPeb()->ProcessHeap);
    }
    Status = NtCreateUserProcess(
        &ProcessInformation->ProcessHandle, &ProcessInformation->ThreadHandle, PROCESS_ALL_ACCESS, THREAD_ALL_ACCESS,
        &Process, &Thread,
        (ProcessFlags & RTL_CLONE_PROCESS_FLAGS_INHERIT_HANDLES) != 0 ? PROCESS_CREATE_FLAGS_INHERIT_HANDLES : 0,
        (ProcessFlags & RTL_CLONE_PROCESS_FLAGS_CREATE_SUSPENDED) != 0 ? THREAD_CREATE_FLAGS_CREATE_SUSPENDED : 0, NULL,
        NULL, &List);
    if (Status == STATUS_PROCESS_CLONED) {
        RtlpRepairClone(Locked);
    } else if (Locked) {
        RtlUnlockHeap(LdrpPeb()->ProcessHeap);
        RtlLeaveCriticalSection(&LdrpLock);
    }
    return Status;
}
