/*
 * ldrlist.c - the loader's lock and its list of images, for those who look at more than one.
 *
 * The lock is a critical section, so its owner may load DLLs while he has it. A cookie says who took it: it cannot be given back by a thread that
 * does not have it, nor twice.
 *
 * Lock: LdrpLock. Source: public descriptions of LdrLockLoaderLock and LdrEnumerateLoadedModules.
 */
#include "ntdllp.h"

#define LOCK_RAISES   0x1U /* errors are raised, not returned */
#define LOCK_TRY      0x2U
#define UNLOCK_RAISES 0x1U

static NTSTATUS LdrpFailed(ULONG Raises, NTSTATUS Status)
{
    if (Raises) {
        RtlRaiseStatus(Status);
    }
    return Status;
}

/* What tells the owner of the lock: the thread, and a mark that no handle or address has. */
static ULONG_PTR LdrpCookie(VOID)
{
    return (ULONG_PTR)LdrpTeb()->ClientId.UniqueThread | 1ULL << 63;
}

/**
 * LdrLockLoaderLock - no image is loaded or unloaded until LdrUnlockLoaderLock.
 *
 * @Flags        1: errors are raised; 2: only if nobody has it
 * @Disposition  gets 1: it is the caller's, 2: somebody else has it; may be NULL without flag 2
 * @Cookie       for LdrUnlockLoaderLock
 * returns       STATUS_SUCCESS; STATUS_INVALID_PARAMETER_1, _2, _3
 */
NTSTATUS NTAPI LdrLockLoaderLock(ULONG Flags, PULONG Disposition, PULONG_PTR Cookie)
{
    BOOLEAN Entered = TRUE;

    if ((Flags & ~(LOCK_RAISES | LOCK_TRY)) != 0) {
        return LdrpFailed(Flags & LOCK_RAISES, STATUS_INVALID_PARAMETER_1);
    }
    if (Disposition == NULL && (Flags & LOCK_TRY) != 0) {
        return LdrpFailed(Flags & LOCK_RAISES, STATUS_INVALID_PARAMETER_2);
    }
    if (Cookie == NULL) {
        return LdrpFailed(Flags & LOCK_RAISES, STATUS_INVALID_PARAMETER_3);
    }
    if ((Flags & LOCK_TRY) != 0) {
        Entered = RtlTryEnterCriticalSection(&LdrpLock);
    } else {
        RtlEnterCriticalSection(&LdrpLock);
    }
    *Cookie = Entered ? LdrpCookie() : 0;
    if (Disposition != NULL) {
        *Disposition = Entered ? 1 : 2;
    }
    return STATUS_SUCCESS;
}

/* Gives the lock back. A cookie of 0 is nobody's: nothing happens. STATUS_INVALID_PARAMETER_1, _2: not the cookie of this thread. */
NTSTATUS NTAPI LdrUnlockLoaderLock(ULONG Flags, ULONG_PTR Cookie)
{
    if ((Flags & ~UNLOCK_RAISES) != 0) {
        return LdrpFailed(Flags & UNLOCK_RAISES, STATUS_INVALID_PARAMETER_1);
    }
    if (Cookie == 0) {
        return STATUS_SUCCESS;
    }
    if (Cookie != LdrpCookie() || !RtlIsCriticalSectionLockedByThread(&LdrpLock)) {
        return LdrpFailed(Flags & UNLOCK_RAISES, STATUS_INVALID_PARAMETER_2);
    }
    RtlLeaveCriticalSection(&LdrpLock);
    return STATUS_SUCCESS;
}

/**
 * LdrEnumerateLoadedModules - calls a routine for each image, in the order of loading, until it sets *Stop.
 *
 * @Flag    must be 0
 * returns  STATUS_SUCCESS; STATUS_INVALID_PARAMETER
 */
NTSTATUS NTAPI LdrEnumerateLoadedModules(ULONG Flag, PLDR_ENUM_CALLBACK Callback, PVOID Context)
{
    PLIST_ENTRY Head = &LdrpData.InLoadOrderModuleList;
    BOOLEAN Stop = FALSE;

    if (Flag != 0 || Callback == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    RtlEnterCriticalSection(&LdrpLock);
    for (PLIST_ENTRY Entry = Head->Flink; Entry != Head && !Stop; Entry = Entry->Flink) {
        Callback(CONTAINING_RECORD(Entry, LDR_DATA_TABLE_ENTRY, InLoadOrderLinks), Context, &Stop);
    }
    RtlLeaveCriticalSection(&LdrpLock);
    return STATUS_SUCCESS;
}
