/*
 * support.c - what the sources that ntdll shares with the kernel ask of their surroundings.
 *
 * Memory comes from the process heap, addresses belong to the images of the loader's list, and stacks are read plainly, but only inside
 * the calling thread's own stack: a damaged frame pointer ends a walk instead of faulting in it. An exception that was raised by
 * call and that nobody handles ends the process.
 *
 * Locks: none.
 */
#include "ntdllp.h"

/* src/rtl reads stacks through this. */
BOOLEAN KiCopyMemoryNoFault(PVOID Destination, const VOID *Source, SIZE_T Bytes)
{
    ULONG64 Low = (ULONG64)LdrpTeb()->NtTib.StackLimit, High = (ULONG64)LdrpTeb()->NtTib.StackBase;

    if ((ULONG64)Source < Low || (ULONG64)Source >= High || Bytes > High - (ULONG64)Source) {
        return FALSE;
    }
    RtlCopyMemory(Destination, Source, Bytes);
    return TRUE;
}

BOOLEAN KiFindImage(ULONG64 Address, PKI_IMAGE Image)
{
    PLDR_DATA_TABLE_ENTRY Entry = LdrpFindImage(Address);

    if (Entry == NULL) {
        return FALSE;
    }
    Image->Base = (ULONG64)Entry->DllBase;
    Image->Size = Entry->SizeOfImage;
    Image->Table = Entry->View.Base + Entry->View.Header.Directory[PE_DIRECTORY_EXCEPTION].Rva;
    Image->TableSize = Entry->View.Header.Directory[PE_DIRECTORY_EXCEPTION].Size;
    Image->Name[0] = 0;
    return TRUE;
}

DECLSPEC_NORETURN VOID RtlpUnhandledException(PEXCEPTION_RECORD ExceptionRecord, PCONTEXT Context)
{
    CONTEXT Here;

    if (Context == NULL) {
        RtlCaptureContext(&Here);
        Context = &Here;
    }
    NtRaiseException(ExceptionRecord, Context, FALSE);
    for (;;) { /* it failed only if its arguments cannot be read */
        NtTerminateProcess(ZwCurrentProcess(), ExceptionRecord->ExceptionCode);
    }
}

/* From dispatch.asm: an exception that the processor or the kernel found. */
DECLSPEC_NORETURN VOID NTAPI RtlpUserException(PEXCEPTION_RECORD Record, PCONTEXT Context)
{
    if (RtlDispatchException(Record, Context)) {
        NTSTATUS Status = NtContinue(Context, FALSE);

        RtlRaiseStatus(Status);
    }
    RtlpUnhandledException(Record, Context);
}

/* ---- Memory for the shared string routines ---- */

PVOID NTAPI ExAllocatePoolWithTag(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag)
{
    return RtlAllocateHeap(LdrpPeb()->ProcessHeap, 0, Bytes);
}

VOID NTAPI ExFreePoolWithTag(PVOID Address, ULONG Tag)
{
    RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Address);
}
