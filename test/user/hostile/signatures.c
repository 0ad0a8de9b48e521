/*
 * signatures.c - what each service's arguments are, so that random ones can be nearly right.
 *
 * One line a service of services.tbl, in its order; CheckSignatures compares the two, so a service that is added there and not here stops the
 * program. Kinds are bytes (hostile.h); some are followed by a number: the highest class, the bits that mean something, the bytes at a pointer.
 */
#include "hostile.h"

#define H(Type)       (KIND_HANDLE | T##Type)  /* a handle */
#define Z(Type)       (KIND_OR_NONE | T##Type) /* a handle or none */
#define O(Type)       (KIND_NEW | T##Type)     /* where a new handle goes */
#define A(Type)       (KIND_CREATE | T##Type)  /* attributes of something to be made */
#define X(Type)       (KIND_OPEN | T##Type)    /* attributes of something that is there */
#define CLASS(Most)   KClass, (Most)
#define BITS(Mask)    KBits, (Mask)
#define RESULT(Bytes) KOut, (Bytes)
#define ASYNCHRONOUS  Z(Event), KRoutine, KAny, KIosb

const SIGNATURE Signatures[] = {
    {"NtClose", {H(Any)}},
    {"NtContinue", {KContext, KBool}},
    {"NtRaiseException", {KBad, KContext, KBool}},
    {"NtYieldExecution", {0}},
    {"NtDelayExecution", {KBool, KSoon}},
    {"NtDisplayString", {KEmpty}},
    {"NtQueryPerformanceCounter", {RESULT(8), RESULT(8)}},
    {"NtQuerySystemTime", {RESULT(8)}},
    {"NtTestAlert", {0}},
    {"NtAllocateVirtualMemory", {H(Process), KPlace, KZero, KExtent, KAllocation, KProtect}},
    {"NtFreeVirtualMemory", {H(Process), KRegion, KExtent, KFree}},
    {"NtProtectVirtualMemory", {H(Process), KPlace, KExtent, KProtect, KReturned}},
    {"NtQueryVirtualMemory", {H(Process), KAddress, CLASS(6), KBuffer, KLength, KReturned}},
    {"NtAllocateVirtualMemoryEx", {H(Process), KPlace, KExtent, KAllocation, KProtect, KExtended, BITS(1)}},
    {"NtReadVirtualMemory", {H(Process), KAddress, KBuffer, KLength, KReturned}},
    {"NtWriteVirtualMemory", {H(Process), KTarget, KData, KLength, KReturned}},
    {"NtLockVirtualMemory", {H(Process), KPlace, KExtent, BITS(3)}},
    {"NtUnlockVirtualMemory", {H(Process), KPlace, KExtent, BITS(3)}},
    {"NtFlushVirtualMemory", {H(Process), KView, KNone, KIosb}},
    {"NtGetWriteWatch", {H(Process), BITS(1), KWatch, KBytes, RESULT(128), KEntries, RESULT(4)}},
    {"NtResetWriteWatch", {H(Process), KWatch, KBytes}},
    {"NtCreateSection", {O(Section), KAccess, A(Section), KOffset, KProtect, KSection, Z(File)}},
    {"NtOpenSection", {O(Section), KAccess, X(Section)}},
    {"NtMapViewOfSection", {H(Section), H(Process), KAnywhere, KZero, KZero, KOffset, KNone, KOneTwo, KZero, KProtect}},
    {"NtUnmapViewOfSection", {H(Process), KMapped}},
    {"NtMapViewOfSectionEx", {H(Section), H(Process), KAnywhere, KOffset, KNone, KZero, KProtect, KNone, KZero}},
    {"NtUnmapViewOfSectionEx", {H(Process), KMapped, KZero}},
    {"NtExtendSection", {H(Section), KOffset}},
    {"NtQuerySection", {H(Section), CLASS(3), KBuffer, KLength, KReturned}},
    {"NtTerminateProcess", {H(Process), KNumber}},
    {"NtTerminateThread", {H(Thread), KNumber}},
    {"NtCreateThreadEx",
     {O(Thread), KAccess, A(Thread), H(Process), KStart, KAny, BITS(1), KZero, KStack, KStack, KZero}},
    {"NtAlertThreadByThreadId", {KThreadId}},
    {"NtWaitForAlertByThreadId", {KAddress, KSoon}},
    {"NtQueueApcThread", {H(Thread), KRoutine, KAny, KAny, KAny}},
    {"NtResumeThread", {H(Thread), KReturned}},
    {"NtSuspendThread", {H(Thread), KReturned}},
    {"NtClearEvent", {H(Event)}},
    {"NtCreateEvent", {O(Event), KAccess, A(Event), BITS(1), KBool}},
    {"NtOpenEvent", {O(Event), KAccess, X(Event)}},
    {"NtPulseEvent", {H(Event), KReturned}},
    {"NtResetEvent", {H(Event), KReturned}},
    {"NtSetEvent", {H(Event), KReturned}},
    {"NtWaitForSingleObject", {H(Waitable), KBool, KSoon}},
    {"NtCreateFile", {O(File), KFileAccess, X(File), KIosb, KOffset, KZero, BITS(7), CLASS(3), KOptions, KZero, KZero}},
    {"NtOpenFile", {O(File), KFileAccess, X(File), KIosb, BITS(7), KOptions}},
    {"NtReadFile", {H(File), ASYNCHRONOUS, KBuffer, KLength, KOffset, KZero}},
    {"NtWriteFile", {H(Pipe), ASYNCHRONOUS, KData, KLength, KOffset, KZero}},
    {"NtFlushBuffersFile", {H(File), KIosb}},
    {"NtQueryInformationFile", {H(File), KIosb, KBuffer, KLength, CLASS(64)}},
    {"NtSetInformationFile", {H(File), KIosb, KData, KLength, CLASS(64)}},
    {"NtQueryVolumeInformationFile", {H(File), KIosb, KBuffer, KLength, CLASS(12)}},
    {"NtQueryDirectoryFile", {H(Folder), ASYNCHRONOUS, KBuffer, KLength, CLASS(12), KBool, KNoneOrName, KBool}},
    {"NtDeviceIoControlFile", {H(Device), ASYNCHRONOUS, KControl, KData, KLength, KBuffer, KLength}},
    {"NtFsControlFile", {H(Pipe), ASYNCHRONOUS, KFsControl, KData, KLength, KBuffer, KLength}},
    {"NtCancelIoFile", {H(Pipe), KIosb}},
    {"NtQueryAttributesFile", {X(File), RESULT(40)}},
    {"NtQueryFullAttributesFile", {X(File), RESULT(56)}},
    {"NtDeleteFile", {X(File)}},
    {"NtCreateIoCompletion", {O(Port), KAccess, A(Port), KSmall}},
    {"NtOpenIoCompletion", {O(Port), KAccess, X(Port)}},
    {"NtSetIoCompletion", {H(Port), KAny, KAny, KNumber, KAny}},
    {"NtRemoveIoCompletion", {H(Port), RESULT(8), RESULT(8), KIosb, KSoon}},
    {"NtRemoveIoCompletionEx", {H(Port), RESULT(128), BITS(3), RESULT(4), KSoon, KBool}},
    {"NtDuplicateObject", {H(Process), H(Any), H(Process), O(Any), KAccess, BITS(2), BITS(7)}},
    {"NtQueryObject", {H(Any), CLASS(4), KBuffer, KLength, KReturned}},
    {"NtSetInformationObject", {H(Any), KFour, KData, KLength}},
    {"NtCreateDirectoryObject", {O(Directory), KAccess, A(Directory)}},
    {"NtOpenDirectoryObject", {O(Directory), KAccess, X(Directory)}},
    {"NtQueryDirectoryObject", {H(Directory), KBuffer, KLength, KBool, KBool, KEntries, KReturned}},
    {"NtCreateSymbolicLinkObject", {O(Link), KAccess, A(Link), KName}},
    {"NtOpenSymbolicLinkObject", {O(Link), KAccess, X(Link)}},
    {"NtQuerySymbolicLinkObject", {H(Link), KRoom, KReturned}},
    {"NtMakeTemporaryObject", {H(Any)}},
    {"NtMakePermanentObject", {H(Any)}},
    {"NtQuerySecurityObject", {H(Any), BITS(7), KBuffer, KLength, KReturned}},
    {"NtSetSecurityObject", {H(Any), BITS(7), KDescriptor}},
    {"NtCreateKey", {O(Key), KAccess, A(Key), KZero, KNoneOrName, BITS(1), KReturned}},
    {"NtOpenKey", {O(Key), KAccess, X(Key)}},
    {"NtOpenKeyEx", {O(Key), KAccess, X(Key), BITS(8)}},
    {"NtDeleteKey", {H(Key)}},
    {"NtFlushKey", {H(Key)}},
    {"NtRenameKey", {H(Key), KName}},
    {"NtQueryKey", {H(Key), CLASS(8), KBuffer, KLength, KReturned}},
    {"NtEnumerateKey", {H(Key), BITS(1), CLASS(4), KBuffer, KLength, KReturned}},
    {"NtSetInformationKey", {H(Key), CLASS(4), KData, KLength}},
    {"NtSetValueKey", {H(Key), KName, KZero, CLASS(11), KData, KLength}},
    {"NtDeleteValueKey", {H(Key), KName}},
    {"NtQueryValueKey", {H(Key), KName, CLASS(4), KBuffer, KLength, KReturned}},
    {"NtEnumerateValueKey", {H(Key), BITS(1), CLASS(4), KBuffer, KLength, KReturned}},
    {"NtCreateSemaphore", {O(Semaphore), KAccess, A(Semaphore), BITS(3), KSmall}},
    {"NtOpenSemaphore", {O(Semaphore), KAccess, X(Semaphore)}},
    {"NtReleaseSemaphore", {H(Semaphore), KSmall, KReturned}},
    {"NtCreateMutant", {O(Mutant), KAccess, A(Mutant), KBool}},
    {"NtOpenMutant", {O(Mutant), KAccess, X(Mutant)}},
    {"NtReleaseMutant", {H(Mutant), KReturned}},
    {"NtCreateKeyedEvent", {O(Keyed), KAccess, A(Keyed), KZero}},
    {"NtOpenKeyedEvent", {O(Keyed), KAccess, X(Keyed)}},
    {"NtWaitForKeyedEvent", {Z(Keyed), KAddress, KBool, KSoon}},
    {"NtReleaseKeyedEvent", {Z(Keyed), KAddress, KBool, KSoon}},
    {"NtCreateTimer", {O(Timer), KAccess, A(Timer), BITS(1)}},
    {"NtOpenTimer", {O(Timer), KAccess, X(Timer)}},
    {"NtSetTimer", {H(Timer), KOffset, KRoutine, KAny, KBool, KSmall, KReturned}},
    {"NtSetTimerEx", {H(Timer), KZero, KTimer, KTimerBytes}},
    {"NtCancelTimer", {H(Timer), KReturned}},
    {"NtWaitForMultipleObjects", {BITS(3), KHandles, BITS(1), KBool, KSoon}},
    {"NtSignalAndWaitForSingleObject", {H(Event), H(Waitable), KBool, KSoon}},
    {"NtQuerySystemInformation", {CLASS(100), KBuffer, KLength, KReturned}},
    {"NtOpenProcessToken", {H(Process), KAccess, O(Token)}},
    {"NtOpenProcessTokenEx", {H(Process), KAccess, BITS(2), O(Token)}},
    {"NtOpenThreadToken", {H(Thread), KAccess, KBool, O(Token)}},
    {"NtOpenThreadTokenEx", {H(Thread), KAccess, KBool, BITS(2), O(Token)}},
    {"NtQueryInformationToken", {H(Token), CLASS(30), KBuffer, KLength, KReturned}},
    {"NtAdjustPrivilegesToken", {H(Token), KBool, KPrivileges, KAhead, KSized, KReturned}},
    {"NtAllocateLocallyUniqueId", {RESULT(8)}},
    {"NtCreateToken",
     {O(Token), KAccess, A(Token), KOneTwo, KLuid, KOffset, KUser, KGroups, KPrivileges, KUser, KUser, KNone, KSource}},
    {"NtDuplicateToken", {H(Token), KAccess, A(Token), KBool, KOneTwo, O(Token)}},
    {"NtFilterToken", {H(Token), BITS(1), KGroups, KPrivileges, KNone, O(Token)}},
    {"NtSetInformationToken", {H(Token), CLASS(20), KData, KLength}},
    {"NtAdjustGroupsToken", {H(Token), KBool, KGroups, KAhead, KSized, KReturned}},
    {"NtPrivilegeCheck", {H(Client), KPrivilegeSet, RESULT(1)}},
    {"NtAccessCheck", {KDescriptor, H(Client), KAccess, KMapping, RESULT(128), KEntries, RESULT(4), RESULT(4)}},
    {"NtOpenProcess", {O(Process), KAccess, A(Process), KClient}},
    {"NtOpenThread", {O(Thread), KAccess, A(Thread), KClient}},
    {"NtCreateUserProcess",
     {O(Process), O(Thread), KAccess, KAccess, A(Process), A(Thread), BITS(4), BITS(1), KParameters, KZero, KList}},
    {"NtCreateProcessEx", {O(Process), KAccess, A(Process), H(Process), BITS(4), KZero, KZero, KZero, KZero}},
    {"NtGetContextThread", {H(Thread), KContext}},
    {"NtSetContextThread", {H(Thread), KContext}},
    {"NtAlertThread", {H(Thread)}},
    {"NtAlertResumeThread", {H(Thread), KReturned}},
    {"NtQueryInformationProcess", {H(Process), CLASS(64), KBuffer, KLength, KReturned}},
    {"NtQueryInformationThread", {H(Thread), CLASS(42), KBuffer, KLength, KReturned}},
    {"NtSetInformationProcess", {H(Process), CLASS(40), KData, KLength}},
    {"NtSetInformationThread", {H(Thread), CLASS(40), KData, KLength}},
    {"NtSuspendProcess", {H(Process)}},
    {"NtResumeProcess", {H(Process)}},
    {"NtCreateJobObject", {O(Job), KAccess, A(Job)}},
    {"NtOpenJobObject", {O(Job), KAccess, X(Job)}},
    {"NtAssignProcessToJobObject", {H(Job), H(Process)}},
    {"NtTerminateJobObject", {H(Job), KNumber}},
    {"NtIsProcessInJob", {H(Process), Z(Job)}},
    {"NtSetInformationJobObject", {H(Job), CLASS(9), KData, KLength}},
    {"NtQueryInformationJobObject", {H(Job), CLASS(9), KBuffer, KLength, KReturned}},
    {"NtCreateNamedPipeFile",
     {O(Pipe), KFileAccess, X(Pipe), KIosb, BITS(3), CLASS(3), KZero, BITS(1), BITS(1), BITS(1), KSmall, KSmall, KSmall,
      KTimeout}},
    {"NtQueryEvent", {H(Event), KZero, KBuffer, KLength, KReturned}},
    {"NtQuerySemaphore", {H(Semaphore), KZero, KBuffer, KLength, KReturned}},
    {"NtQueryMutant", {H(Mutant), KZero, KBuffer, KLength, KReturned}},
    {"NtQueryTimer", {H(Timer), KZero, KBuffer, KLength, KReturned}},
    {"NtCompareObjects", {H(Any), H(Any)}},
    {"NtQueryTimerResolution", {RESULT(4), RESULT(4), RESULT(4)}},
    {"NtSetTimerResolution", {KNumber, KBool, RESULT(4)}},
    {"NtSetSystemTime", {KNow, KReturned}},
    {"NtAllocateUuids", {RESULT(8), RESULT(4), RESULT(4), RESULT(6)}},
    {"NtCancelIoFileEx", {H(Pipe), KNone, KIosb}},
    {"NtCancelSynchronousIoFile", {H(Thread), KNone, KIosb}},
    {"NtAllocateReserveObject", {O(Reserve), A(Reserve), KOne}},
    {"NtSetIoCompletionEx", {H(Port), H(Reserve), KAny, KAny, KNumber, KAny}},
    {"NtQueryIoCompletion", {H(Port), KZero, KBuffer, KLength, KReturned}},
    {"NtNotifyChangeDirectoryFile", {H(Folder), ASYNCHRONOUS, KBuffer, KLength, BITS(255), KBool}},
    {"NtLockFile", {H(File), ASYNCHRONOUS, KOffset, KOffset, KSmall, KOne, KBool}},
    {"NtUnlockFile", {H(File), KIosb, KOffset, KOffset, KSmall}},
    {"NtLoadDriver", {KDriver}},
    {"NtUnloadDriver", {KDriver}},
    {"NtShutdownSystem", {KNumber}},
    {"NtNotifyChangeKey", {H(Key), ASYNCHRONOUS, BITS(15), KBool, KZero, KZero, KOne}},
    {"NtNotifyChangeMultipleKeys", {H(Key), BITS(1), X(Key), ASYNCHRONOUS, BITS(15), KBool, KZero, KZero, KOne}},
};

static BOOLEAN IsFollowedByNumber(UCHAR Kind)
{
    return Kind == KClass || Kind == KBits || Kind == KOut;
}

ULONG SplitSignature(const SIGNATURE *Signature, PUCHAR Kinds, PUCHAR Numbers)
{
    ULONG Count = 0;

    for (ULONG Index = 0; Index < sizeof(Signature->Kinds) && Signature->Kinds[Index] != 0; Index++) {
        Kinds[Count] = Signature->Kinds[Index];
        Numbers[Count] = IsFollowedByNumber(Kinds[Count]) ? Signature->Kinds[++Index] : 0;
        Count++;
    }
    return Count;
}

BOOLEAN CheckSignatures(VOID)
{
    UCHAR Kinds[ARGUMENTS], Numbers[ARGUMENTS];

    for (ULONG Number = 0; Number < ServiceCount; Number++) {
        if (Number >= RTL_NUMBER_OF(Signatures) || strcmp(Services[Number].Name, Signatures[Number].Name) != 0 ||
            SplitSignature(&Signatures[Number], Kinds, Numbers) != Services[Number].Arguments) {
            DbgPrint("hostile: signatures.c does not describe %s as services.tbl does\n", Services[Number].Name);
            return FALSE;
        }
    }
    return RTL_NUMBER_OF(Signatures) == ServiceCount;
}
