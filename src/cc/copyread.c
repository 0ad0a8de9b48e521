/*
 * copyread.c - cached reads: the bytes of a stream, copied to the caller's buffer.
 *
 * A read goes view by view (256 KB). In each view the pages of the range are made resident first: those in memory are mapped under
 * one acquisition of the PFN lock, the missing ones are read in clusters; then one copy runs that does not fault on the view.
 * The copy is guarded: a page that left again meanwhile faults in as usual, and a bad buffer is the caller's error, not ours. The last
 * view of a file object stays mapped for its next read (view.c).
 *
 * Errors are raised, as the DDK documents: the device's status when a page cannot be read, STATUS_INVALID_USER_BUFFER when
 * the buffer cannot be written. No lock is held during a copy or a read, so a buffer may be mapped from the very file.
 */
#include "ccp.h"

/* Decides between the two sides of a copy that failed: the view is only read, and the buffer may lie in the same view. */
static LONG CcpCopyFilter(PEXCEPTION_POINTERS Pointers, PVACB Vacb, PNTSTATUS Status)
{
    PEXCEPTION_RECORD Record = Pointers->ExceptionRecord;
    ULONG_PTR Address = Record->NumberParameters >= 2 ? Record->ExceptionInformation[1] : 0;

    *Status = Record->ExceptionCode;
    if (Record->ExceptionInformation[0] != EXCEPTION_READ_FAULT ||
        Address - (ULONG_PTR)Vacb->Base >= VACB_MAPPING_GRANULARITY) {
        *Status = STATUS_INVALID_USER_BUFFER;
    } else if (*Status == STATUS_IN_PAGE_ERROR && Record->NumberParameters >= 3) {
        *Status = (NTSTATUS)Record->ExceptionInformation[2];
    }
    return EXCEPTION_EXECUTE_HANDLER;
}

static NTSTATUS CcpCopyFromView(PVACB Vacb, ULONG Offset, PVOID Buffer, ULONG Bytes)
{
    NTSTATUS Status = STATUS_SUCCESS;

    if (MmIsUserRange(Buffer, Bytes)) { /* the view is resident, so a fault is the program's */
        Status = MmCopyToUser(Buffer, (PUCHAR)Vacb->Base + Offset, Bytes);
        return NT_SUCCESS(Status) || Status == STATUS_IN_PAGE_ERROR ? Status : STATUS_INVALID_USER_BUFFER;
    }
    __try {
        RtlCopyMemory(Buffer, (PUCHAR)Vacb->Base + Offset, Bytes);
    } __except (CcpCopyFilter(GetExceptionInformation(), Vacb, &Status)) {
    }
    return Status;
}

/**
 * CcpReadView - the part of a read that lies in one view.
 *
 * @Offset   file offset
 * @Length   bytes wanted; receives the bytes copied, up to the end of the view
 * @Wait     FALSE: fail with STATUS_CANT_WAIT instead of reading
 *
 * IRQL: <= APC_LEVEL; no locks.
 */
static NTSTATUS CcpReadView(PSHARED_CACHE_MAP Map, PPRIVATE_CACHE_MAP Private, LONG64 Offset, PULONG Length,
                            BOOLEAN Wait, PVOID Buffer)
{
    ULONG InView = (ULONG)Offset & (VACB_MAPPING_GRANULARITY - 1);
    ULONG Bytes = min(*Length, VACB_MAPPING_GRANULARITY - InView);
    PVACB Vacb;
    NTSTATUS Status = CcpAcquireView(Map, Offset, &Vacb);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Wait) {
        Status = MmMakeViewResident((PUCHAR)Vacb->Base + InView, Bytes);
    } else if (!MmMapResidentPages((PUCHAR)Vacb->Base + InView, Bytes)) {
        Status = STATUS_CANT_WAIT;
    }
    if (NT_SUCCESS(Status)) {
        Status = CcpCopyFromView(Vacb, InView, Buffer, Bytes);
    }
    if (Private != NULL) {
        CcpHoldLastView(Private, Vacb);
    } else {
        CcpReleaseView(Vacb);
    }
    *Length = Bytes;
    return Status;
}

/**
 * CcCopyRead - copies a range of a cached stream to a buffer.
 *
 * @FileObject  cached (CcInitializeCacheMap)
 * @FileOffset  start, bytes; the range is cut at the file size of the shared cache map
 * @Wait        FALSE: return FALSE when some page is not in memory
 * @IoStatus    receives STATUS_SUCCESS and the bytes copied
 *
 * IRQL: <= APC_LEVEL; no locks. Raises: the status of the failed page read, STATUS_INVALID_USER_BUFFER,
 * STATUS_INSUFFICIENT_RESOURCES.
 */
BOOLEAN NTAPI CcCopyRead(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset, ULONG Length, BOOLEAN Wait, PVOID Buffer,
                         PIO_STATUS_BLOCK IoStatus)
{
    PSHARED_CACHE_MAP Map = FileObject->SectionObjectPointer->SharedCacheMap;
    PPRIVATE_CACHE_MAP Private = FileObject->PrivateCacheMap;
    LONG64 Offset = FileOffset->QuadPart;
    ULONG Done = 0;

    ASSERT_IRQL_MAX(APC_LEVEL);
    ASSERT(Map != NULL && Private != NULL);
    Length = Offset >= Map->FileSize.QuadPart ? 0 : (ULONG)min((LONG64)Length, Map->FileSize.QuadPart - Offset);
    while (Done < Length) {
        ULONG Bytes = Length - Done;
        NTSTATUS Status = CcpReadView(Map, Private, Offset + Done, &Bytes, Wait, (PUCHAR)Buffer + Done);

        if (Status == STATUS_CANT_WAIT) {
            return FALSE;
        }
        if (!NT_SUCCESS(Status)) {
            ExRaiseStatus(Status);
        }
        Done += Bytes;
    }
    InterlockedIncrement64((volatile LONG64 *)&CcCounters.CopyReads);
    InterlockedExchangeAdd64((volatile LONG64 *)&CcCounters.CopyBytes, Done);
    IoStatus->Status = STATUS_SUCCESS;
    IoStatus->Information = Done;
    return TRUE;
}

/* CcCopyRead for offsets below 4 GB, always waiting; PageCount is a hint that the caller computed. IRQL: <= APC_LEVEL. */
VOID NTAPI CcFastCopyRead(PFILE_OBJECT FileObject, ULONG FileOffset, ULONG Length, ULONG PageCount, PVOID Buffer,
                          PIO_STATUS_BLOCK IoStatus)
{
    LARGE_INTEGER Offset;

    Offset.QuadPart = FileOffset;
    CcCopyRead(FileObject, &Offset, Length, TRUE, Buffer, IoStatus);
}
