/*
 * account.c - how many requests were made for a process, and how many bytes they moved.
 *
 * A request counts when it has ended, in the thread that made it, for the process that the thread belongs to: reads, writes, and all others
 * (opens, controls, listings, locks). Requests that fail count with no bytes. What is answered without a driver (a file's position)
 * is no request; paging and requests that drivers build are nobody's.
 *
 * Locks: none; the counts are interlocked, and read one by one.
 */
#include <ntos/ps.h>

#include "iop.h"

IO_COUNTERS IopAllRequests;

static VOID IopCount(volatile ULONGLONG *Operations, volatile ULONGLONG *Transferred, ULONG_PTR Bytes)
{
    InterlockedIncrement64((volatile LONG64 *)Operations);
    if (Bytes != 0) {
        InterlockedExchangeAdd64((volatile LONG64 *)Transferred, (LONG64)Bytes);
    }
}

static VOID IopCountIn(PIO_COUNTERS Counters, ULONG IrpFlags, ULONG_PTR Bytes)
{
    if ((IrpFlags & IRP_READ_OPERATION) != 0) {
        IopCount(&Counters->ReadOperationCount, &Counters->ReadTransferCount, Bytes);
    } else if ((IrpFlags & IRP_WRITE_OPERATION) != 0) {
        IopCount(&Counters->WriteOperationCount, &Counters->WriteTransferCount, Bytes);
    } else {
        IopCount(&Counters->OtherOperationCount, &Counters->OtherTransferCount, Bytes);
    }
}

VOID IopCountRequest(ULONG IrpFlags, ULONG_PTR Bytes)
{
    IopCountIn(&PsGetCurrentThread()->ThreadsProcess->Io, IrpFlags, Bytes);
    IopCountIn(&IopAllRequests, IrpFlags, Bytes);
}

VOID IoAddCounters(PIO_COUNTERS Sum, const IO_COUNTERS *Counters)
{
    Sum->ReadOperationCount += Counters->ReadOperationCount;
    Sum->WriteOperationCount += Counters->WriteOperationCount;
    Sum->OtherOperationCount += Counters->OtherOperationCount;
    Sum->ReadTransferCount += Counters->ReadTransferCount;
    Sum->WriteTransferCount += Counters->WriteTransferCount;
    Sum->OtherTransferCount += Counters->OtherTransferCount;
}
