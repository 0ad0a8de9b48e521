/*
 * interlocked.c - lists and sums under a spin lock of the caller's, at any IRQL.
 *
 * The lock is taken with interrupts off, as the documentation promises, so that an interrupt service routine may use the
 * same list. A lock used with these routines must not be used with others.
 *
 * Source: WDK documentation of the ExInterlocked routines.
 */
#include <ntos/ke.h>

static BOOLEAN LockList(PKSPIN_LOCK Lock)
{
    BOOLEAN Enabled = KeDisableInterrupts();
    KiAcquireListSpinLock(Lock);
    return Enabled;
}

static VOID UnlockList(PKSPIN_LOCK Lock, BOOLEAN Enabled)
{
    KiReleaseSpinLock(Lock);
    KeRestoreInterrupts(Enabled);
}

/* Returns the entry that was first, NULL: the list was empty. */
PLIST_ENTRY FASTCALL ExInterlockedInsertHeadList(PLIST_ENTRY ListHead, PLIST_ENTRY ListEntry, PKSPIN_LOCK Lock)
{
    BOOLEAN Enabled = LockList(Lock);
    PLIST_ENTRY First = IsListEmpty(ListHead) ? NULL : ListHead->Flink;

    InsertHeadList(ListHead, ListEntry);
    UnlockList(Lock, Enabled);
    return First;
}

/* Returns the entry that was last, NULL: the list was empty. */
PLIST_ENTRY FASTCALL ExInterlockedInsertTailList(PLIST_ENTRY ListHead, PLIST_ENTRY ListEntry, PKSPIN_LOCK Lock)
{
    BOOLEAN Enabled = LockList(Lock);
    PLIST_ENTRY Last = IsListEmpty(ListHead) ? NULL : ListHead->Blink;

    InsertTailList(ListHead, ListEntry);
    UnlockList(Lock, Enabled);
    return Last;
}

/* Returns the entry removed, NULL: the list is empty. */
PLIST_ENTRY FASTCALL ExInterlockedRemoveHeadList(PLIST_ENTRY ListHead, PKSPIN_LOCK Lock)
{
    BOOLEAN Enabled = LockList(Lock);
    PLIST_ENTRY First = IsListEmpty(ListHead) ? NULL : RemoveHeadList(ListHead);

    UnlockList(Lock, Enabled);
    return First;
}

PSINGLE_LIST_ENTRY FASTCALL ExInterlockedPopEntryList(PSINGLE_LIST_ENTRY ListHead, PKSPIN_LOCK Lock)
{
    BOOLEAN Enabled = LockList(Lock);
    PSINGLE_LIST_ENTRY First = ListHead->Next;

    if (First != NULL) {
        ListHead->Next = First->Next;
    }
    UnlockList(Lock, Enabled);
    return First;
}

/* Returns the entry that was first. */
PSINGLE_LIST_ENTRY FASTCALL ExInterlockedPushEntryList(PSINGLE_LIST_ENTRY ListHead, PSINGLE_LIST_ENTRY ListEntry,
                                                       PKSPIN_LOCK Lock)
{
    BOOLEAN Enabled = LockList(Lock);
    PSINGLE_LIST_ENTRY First = ListHead->Next;

    ListEntry->Next = First;
    ListHead->Next = ListEntry;
    UnlockList(Lock, Enabled);
    return First;
}

/* Returns the value before. */
ULONG FASTCALL ExInterlockedAddUlong(PULONG Addend, ULONG Increment, PKSPIN_LOCK Lock)
{
    return (ULONG)InterlockedExchangeAdd((volatile LONG *)Addend, (LONG)Increment);
}

LARGE_INTEGER NTAPI ExInterlockedAddLargeInteger(PLARGE_INTEGER Addend, LARGE_INTEGER Increment, PKSPIN_LOCK Lock)
{
    LARGE_INTEGER Old;

    Old.QuadPart = InterlockedExchangeAdd64(&Addend->QuadPart, Increment.QuadPart);
    return Old;
}

/* ---- Time zones: local time is system time less the bias in the shared page ---- */

static LONG64 TimeZoneBias(VOID)
{
    return (LONG64)((ULONG64)(ULONG)SharedUserData->TimeZoneBias.High1Time << 32 |
                    SharedUserData->TimeZoneBias.LowPart);
}

VOID NTAPI ExSystemTimeToLocalTime(PLARGE_INTEGER SystemTime, PLARGE_INTEGER LocalTime)
{
    LocalTime->QuadPart = SystemTime->QuadPart - TimeZoneBias();
}

VOID NTAPI ExLocalTimeToSystemTime(PLARGE_INTEGER LocalTime, PLARGE_INTEGER SystemTime)
{
    SystemTime->QuadPart = LocalTime->QuadPart + TimeZoneBias();
}
