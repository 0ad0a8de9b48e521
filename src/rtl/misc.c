/*
 * misc.c - small routines without a family: callers' addresses, memory patterns, time differences, version questions.
 *
 * Each is its documentation in code and shares nothing with the others; what grows a relative gets a file of its own.
 *
 * No locks, no state. IRQL: any at which the memory is resident, if nothing else is said.
 */
#include <ntos/ke.h>
#include <ntos/rtl.h>

#define RTLP_TICKS_SECOND 10000000LL

/* Bytes at the start of Source that repeat Pattern; both are multiples of four. */
SIZE_T NTAPI RtlCompareMemoryUlong(PVOID Source, SIZE_T Length, ULONG Pattern)
{
    SIZE_T Count = 0;

    while (Count < Length / sizeof(ULONG) && ((PULONG)Source)[Count] == Pattern) {
        Count++;
    }
    return Count * sizeof(ULONG);
}

/* Copies past the caches, for data that this processor will not read soon. Addresses and length need no alignment. */
VOID NTAPI RtlCopyMemoryNonTemporal(VOID UNALIGNED *Destination, const VOID UNALIGNED *Source, SIZE_T Length)
{
    PUCHAR To = Destination;
    const UCHAR *From = Source;

    for (; Length != 0 && (ULONG_PTR)To % sizeof(ULONG64) != 0; Length--) {
        *To++ = *From++;
    }
    for (; Length >= sizeof(ULONG64); Length -= sizeof(ULONG64)) {
        __builtin_nontemporal_store(*(const ULONG64 UNALIGNED *)From, (PULONG64)To);
        To += sizeof(ULONG64);
        From += sizeof(ULONG64);
    }
    for (; Length != 0; Length--) {
        *To++ = *From++;
    }
    __faststorefence(); /* such stores are weakly ordered */
}

/* Return addresses of the callers, the nearest first; the number stored. Flags other than 0 ask for user mode: none. */
ULONG NTAPI RtlWalkFrameChain(PVOID *Callers, ULONG Count, ULONG Flags)
{
    if (Flags != 0) {
        return 0;
    }
    return RtlCaptureStackBackTrace(1, min(Count, 62), Callers, NULL); /* 62: the documented limit of the capture */
}

/* Who called the caller of this routine, and who called that. NULL where the stack ends. */
VOID NTAPI RtlpGetCallersAddress(PVOID *CallersAddress, PVOID *CallersCaller)
{
    PVOID Callers[2] = {NULL, NULL};

    RtlCaptureStackBackTrace(2, 2, Callers, NULL); /* past this routine and its caller */
    *CallersAddress = Callers[0];
    *CallersCaller = Callers[1];
}

/* A time difference in days (in Day), hours, minutes, seconds and milliseconds. */
VOID NTAPI RtlTimeToElapsedTimeFields(PLARGE_INTEGER Time, PTIME_FIELDS TimeFields)
{
    LONGLONG Seconds = Time->QuadPart / RTLP_TICKS_SECOND;

    TimeFields->Year = TimeFields->Month = TimeFields->Weekday = 0;
    TimeFields->Milliseconds = (CSHORT)(Time->QuadPart % RTLP_TICKS_SECOND / 10000);
    TimeFields->Second = (CSHORT)(Seconds % 60);
    TimeFields->Minute = (CSHORT)(Seconds / 60 % 60);
    TimeFields->Hour = (CSHORT)(Seconds / 3600 % 24);
    TimeFields->Day = (CSHORT)(Seconds / 86400);
}

NTSTATUS NTAPI RtlSystemTimeToLocalTime(PLARGE_INTEGER SystemTime, PLARGE_INTEGER LocalTime)
{
    ExSystemTimeToLocalTime(SystemTime, LocalTime);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlLocalTimeToSystemTime(PLARGE_INTEGER LocalTime, PLARGE_INTEGER SystemTime)
{
    ExLocalTimeToSystemTime(LocalTime, SystemTime);
    return STATUS_SUCCESS;
}

/* Both code pages are ISO 8859-1, which Windows knows as 28591. */
VOID NTAPI RtlGetDefaultCodePage(PUSHORT AnsiCodePage, PUSHORT OemCodePage)
{
    *AnsiCodePage = *OemCodePage = 28591;
}

/*
 * The smallest length of memory, not below SourceLength, that a resource descriptor can hold: 32 bits, or 32 bits of units of 256 B, 64
 * KB or 4 GB. STATUS_INVALID_PARAMETER: none is large enough. Source: documentation of RtlFindClosestEncodableLength.
 */
NTSTATUS NTAPI RtlFindClosestEncodableLength(ULONGLONG SourceLength, PULONGLONG TargetLength)
{
    static const ULONG Shifts[] = {0, 8, 16, 32};

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Shifts); Index++) {
        ULONGLONG Unit = 1ULL << Shifts[Index], Units = SourceLength / Unit + (SourceLength % Unit != 0);

        if (Units <= MAXULONG) {
            *TargetLength = Units << Shifts[Index];
            return STATUS_SUCCESS;
        }
    }
    return STATUS_INVALID_PARAMETER;
}
