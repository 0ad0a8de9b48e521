/*
 * objquery.c - what programs ask of objects they wait for (events, semaphores, mutants, timers), of the clock, and for identifiers.
 *
 * A state is read without a lock: it is one word, and old as soon as it is known. Each query has one class (a mutant two), whose
 * buffer must have exactly its size; the length that is returned is optional. System time is set by whoever has the privilege.
 *
 * IRQL: PASSIVE_LEVEL. Locks: none here. Source: Microsoft Learn, "NtQuerySystemTime", "ZwSetSystemTime", RFC 4122 for NtAllocateUuids'
 * times; the layouts are those of the public winternl and ntifs documentation.
 */
#include <ntos/ex.h>
#include <ntos/hal.h>
#include <ntos/ke.h>
#include <ntos/ob.h>
#include <ntos/ps.h>
#include <ntos/services.h>
#include <ntos/user.h>

/* What RFC 4122 counts its time from, 15 October 1582, in system time: 100 ns before 1 January 1601. */
#define EXP_UUID_EPOCH 5748192000000000LL

/* Most time stamps that one call of NtAllocateUuids takes: a tenth of a second's. */
#define EXP_UUID_RANGE 1000000

/* Gives a query's answer, whose length is to be the buffer's. */
static NTSTATUS ExpAnswer(const VOID *Answer, ULONG Bytes, PVOID Buffer, PULONG ReturnLength)
{
    NTSTATUS Status = ExCopyToCaller(Buffer, Answer, Bytes);

    return ExReturnValue(Status, ReturnLength, &Bytes, sizeof(Bytes));
}

/* References the object of a query. STATUS_INFO_LENGTH_MISMATCH; what the handle says. */
static NTSTATUS ExpReferenceForQuery(HANDLE Handle, ACCESS_MASK Access, POBJECT_TYPE Type, ULONG Length, ULONG Needed,
                                     PVOID *Object)
{
    return (Length != Needed) ? STATUS_INFO_LENGTH_MISMATCH
                              : ObReferenceObjectByHandle(Handle, Access, Type, ExGetPreviousMode(), Object, NULL);
}

/* EventBasicInformation: type and state. EVENT_QUERY_STATE. STATUS_INVALID_INFO_CLASS, STATUS_INFO_LENGTH_MISMATCH. */
NTSTATUS NTAPI NtQueryEvent(HANDLE Handle, ULONG Class, PVOID Buffer, ULONG Length, PULONG ReturnLength)
{
    EVENT_BASIC_INFORMATION Info;
    PKEVENT Event;
    NTSTATUS Status;

    if (Class != 0) {
        return STATUS_INVALID_INFO_CLASS;
    }
    Status = ExpReferenceForQuery(Handle, EVENT_QUERY_STATE, ExpEventObjectType, Length, sizeof(Info), (PVOID *)&Event);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Info.EventType = (EVENT_TYPE)Event->Header.Type;
    Info.EventState = KeReadStateEvent(Event);
    ObDereferenceObject(Event);
    return ExpAnswer(&Info, sizeof(Info), Buffer, ReturnLength);
}

/* SemaphoreBasicInformation: count and maximum. SEMAPHORE_QUERY_STATE. */
NTSTATUS NTAPI NtQuerySemaphore(HANDLE Handle, ULONG Class, PVOID Buffer, ULONG Length, PULONG ReturnLength)
{
    SEMAPHORE_BASIC_INFORMATION Info;
    PKSEMAPHORE Semaphore;
    NTSTATUS Status;

    if (Class != 0) {
        return STATUS_INVALID_INFO_CLASS;
    }
    Status = ExpReferenceForQuery(Handle, SEMAPHORE_QUERY_STATE, ExpSemaphoreType, Length, sizeof(Info),
                                  (PVOID *)&Semaphore);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Info.CurrentCount = KeReadStateSemaphore(Semaphore);
    Info.MaximumCount = Semaphore->Limit;
    ObDereferenceObject(Semaphore);
    return ExpAnswer(&Info, sizeof(Info), Buffer, ReturnLength);
}

/* MutantBasicInformation: count (1: free), whether the caller owns it, whether an owner ended. MUTANT_QUERY_STATE. */
NTSTATUS NTAPI NtQueryMutant(HANDLE Handle, ULONG Class, PVOID Buffer, ULONG Length, PULONG ReturnLength)
{
    MUTANT_BASIC_INFORMATION Info = {0};
    PKMUTANT Mutant;
    NTSTATUS Status;

    if (Class != 0) {
        return STATUS_INVALID_INFO_CLASS;
    }
    Status = ExpReferenceForQuery(Handle, MUTANT_QUERY_STATE, ExpMutantType, Length, sizeof(Info), (PVOID *)&Mutant);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Info.CurrentCount = KeReadStateMutant(Mutant);
    Info.OwnedByCaller = Mutant->OwnerThread == KeGetCurrentThread();
    Info.AbandonedState = Mutant->Abandoned;
    ObDereferenceObject(Mutant);
    return ExpAnswer(&Info, sizeof(Info), Buffer, ReturnLength);
}

/* TimerBasicInformation: 100 ns until it expires (0: not armed), and whether it did. TIMER_QUERY_STATE. */
NTSTATUS NTAPI NtQueryTimer(HANDLE Handle, ULONG Class, PVOID Buffer, ULONG Length, PULONG ReturnLength)
{
    TIMER_BASIC_INFORMATION Info = {0};
    PKTIMER Timer; /* the body begins with it */
    NTSTATUS Status;

    if (Class != 0) {
        return STATUS_INVALID_INFO_CLASS;
    }
    Status = ExpReferenceForQuery(Handle, TIMER_QUERY_STATE, ExpTimerType, Length, sizeof(Info), (PVOID *)&Timer);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Timer->Header.Inserted) {
        Info.RemainingTime.QuadPart = (LONGLONG)(Timer->DueTime.QuadPart - KeQueryInterruptTimePrecise(NULL));
    }
    Info.TimerState = KeReadStateTimer(Timer) != 0;
    ObDereferenceObject(Timer);
    return ExpAnswer(&Info, sizeof(Info), Buffer, ReturnLength);
}

/* Do two handles lead to one object? STATUS_SUCCESS; STATUS_NOT_SAME_OBJECT; what the handles say. */
NTSTATUS NTAPI NtCompareObjects(HANDLE FirstObjectHandle, HANDLE SecondObjectHandle)
{
    KPROCESSOR_MODE Mode = ExGetPreviousMode();
    PVOID First, Second;
    NTSTATUS Status = ObReferenceObjectByHandle(FirstObjectHandle, 0, NULL, Mode, &First, NULL);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObReferenceObjectByHandle(SecondObjectHandle, 0, NULL, Mode, &Second, NULL);
    if (NT_SUCCESS(Status)) {
        Status = (First == Second) ? STATUS_SUCCESS : STATUS_NOT_SAME_OBJECT;
        ObDereferenceObject(Second);
    }
    ObDereferenceObject(First);
    return Status;
}

/* ---- Time ---- */

/* The clock has one resolution: the three are alike. 100 ns units. */
NTSTATUS NTAPI NtQueryTimerResolution(PULONG MaximumTime, PULONG MinimumTime, PULONG CurrentTime)
{
    ULONG Resolution = KeQueryTimeIncrement();
    NTSTATUS Status = ExCopyToCaller(MaximumTime, &Resolution, sizeof(Resolution));

    Status = NT_SUCCESS(Status) ? ExCopyToCaller(MinimumTime, &Resolution, sizeof(Resolution)) : Status;
    return NT_SUCCESS(Status) ? ExCopyToCaller(CurrentTime, &Resolution, sizeof(Resolution)) : Status;
}

/**
 * NtSetTimerResolution - asks for a finer clock, or takes that back.
 *
 * @CurrentTime  gets what there is now
 * returns       STATUS_SUCCESS; STATUS_TIMER_RESOLUTION_NOT_SET: it was not asked for, as the clock cannot be changed
 */
NTSTATUS NTAPI NtSetTimerResolution(ULONG DesiredTime, BOOLEAN SetResolution, PULONG CurrentTime)
{
    ULONG Resolution = ExSetTimerResolution(DesiredTime, SetResolution);
    NTSTATUS Status = ExCopyToCaller(CurrentTime, &Resolution, sizeof(Resolution));

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    return SetResolution ? STATUS_SUCCESS : STATUS_TIMER_RESOLUTION_NOT_SET;
}

/**
 * NtSetSystemTime - sets the clock.
 *
 * @NewTime   100 ns since 1601
 * @OldTime   gets the time before, or NULL
 * returns    STATUS_SUCCESS; STATUS_PRIVILEGE_NOT_HELD (SeSystemtimePrivilege); STATUS_INVALID_PARAMETER: not a time
 *
 * Who registered with \Callback\SetSystemTime is told.
 */
NTSTATUS NTAPI NtSetSystemTime(PLARGE_INTEGER NewTime, PLARGE_INTEGER OldTime)
{
    LARGE_INTEGER New, Old;
    NTSTATUS Status = ExCopyFromCaller(&New, NewTime, sizeof(New));

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (!SeSinglePrivilegeCheck(SeExports->SeSystemtimePrivilege, ExGetPreviousMode())) {
        return STATUS_PRIVILEGE_NOT_HELD;
    }
    if (New.HighPart < 0 || New.HighPart >= 0x20000000) { /* beyond the year 7000, when fields of dates overflow */
        return STATUS_INVALID_PARAMETER;
    }
    HalSetSystemTime(New, &Old);
    ExNotifyCallback(ExCbSetSystemTime, NULL, NULL);
    return ExReturnValue(STATUS_SUCCESS, OldTime, &Old, sizeof(Old));
}

/* ---- Identifiers ---- */

/**
 * NtAllocateUuids - reserves times for UUIDs of version 1.
 *
 * @Time      gets the first, 100 ns since 15 October 1582
 * @Range     gets how many follow one another
 * @Sequence  gets the clock sequence of this start
 * @Seed      gets six bytes to use as node: random, with the multicast bit, as this machine has no address of its own
 * returns    STATUS_SUCCESS; STATUS_RETRY: all times up to now are taken
 */
NTSTATUS NTAPI NtAllocateUuids(PULARGE_INTEGER Time, PULONG Range, PULONG Sequence, PUCHAR Seed)
{
    static volatile LONG64 Taken; /* times below it are given away; interlocked */
    LARGE_INTEGER Now;
    ULONG Count;
    LONG64 First, Last;
    UUID Node;
    NTSTATUS Status;

    KeQuerySystemTime(&Now);
    Last = Now.QuadPart + EXP_UUID_EPOCH;
    First = Taken;
    if (First < Last - EXP_UUID_RANGE) {
        LONG64 Behind = First;

        First = Last - EXP_UUID_RANGE;
        InterlockedCompareExchange64(&Taken, First, Behind);
    }
    Count = EXP_UUID_RANGE / 10;
    First = InterlockedExchangeAdd64(&Taken, Count);
    if (First > Last) {
        return STATUS_RETRY;
    }
    ExUuidCreate(&Node);
    Node.Data4[2] |= 1;
    Status = ExCopyToCaller(Time, &First, sizeof(First));
    Status = NT_SUCCESS(Status) ? ExCopyToCaller(Range, &Count, sizeof(Count)) : Status;
    Count = (USHORT)(Node.Data2 & 0x3FFF); /* a sequence of its own each time, so a clock set back does no harm */
    Status = NT_SUCCESS(Status) ? ExCopyToCaller(Sequence, &Count, sizeof(Count)) : Status;
    return NT_SUCCESS(Status) ? ExCopyToCaller(Seed, &Node.Data4[2], 6) : Status;
}
