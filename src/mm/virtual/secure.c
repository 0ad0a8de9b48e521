/*
 * secure.c - user memory that a driver relies on: MmSecureVirtualMemory, MmCopyVirtualMemory.
 *
 * Securing keeps a range accessible as it is: while a handle lies in a region, the program can neither free the region nor change the
 * protection of its pages. It locks nothing into memory. The handle names process and range; it is given back in the same process.
 *
 * Copying goes through a buffer of the kernel's, a part at a time: attached to the source, then to the target.
 *
 * IRQL: <= APC_LEVEL. Locks: address lock, working-set lock inside it.
 *
 * Source: MmSecureVirtualMemory, MmUnsecureVirtualMemory in the Windows driver documentation.
 */
#include "../misection.h"
#include "../miprocess.h"

#define MI_TAG_SECURE 'eSmM'
#define MI_COPY_BYTES PAGE_SIZE /* of a copy between processes, under one attachment */
#define MI_TAG_COPY   'pCmM'

typedef struct _MI_SECURED { /* what the handle points at */
    PEPROCESS Process;       /* (c) not referenced: the caller keeps its process */
    ULONG64 Vpn;             /* (c) */
} MI_SECURED, *PMI_SECURED;

/* Every page is committed and allows the access? (a) and (w) held. */
static BOOLEAN MiRangeAllows(PMI_VAD Vad, ULONG64 First, ULONG64 Last, BOOLEAN Write)
{
    MI_PAGE_INFO Info;

    for (ULONG64 Vpn = First; Vpn <= Last; Vpn++) {
        MiQueryPage(Vad, Vpn, &Info);
        if (!Info.Committed || (Info.Protection & 7) == 0 || MiIsGuardProtection(Info.Protection) ||
            (Write && (Info.Protection & MI_PROTECT_WRITE) == 0)) {
            return FALSE;
        }
    }
    return TRUE;
}

/**
 * MmSecureVirtualMemory - keeps a program from taking away memory, or access to it.
 *
 * @Address, @Size  inside one region of the current process
 * @ProbeMode       PAGE_READONLY: must be readable; PAGE_READWRITE: writable too
 * returns          a handle for MmUnsecureVirtualMemory; NULL: no such memory, or none left for the handle
 *
 * IRQL: <= APC_LEVEL.
 */
HANDLE NTAPI MmSecureVirtualMemory(PVOID Address, SIZE_T Size, ULONG ProbeMode)
{
    PMI_ADDRESS_SPACE Space = MiCurrentSpace();
    PMI_SECURED Secured;
    BOOLEAN Allowed = FALSE;
    ULONG64 First = MI_VPN(Address), Last;
    PMI_VAD Vad;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Space == NULL || Size == 0 || !MmIsUserRange(Address, Size) ||
        (ProbeMode != PAGE_READONLY && ProbeMode != PAGE_READWRITE)) {
        return NULL;
    }
    Secured = ExAllocatePoolWithTag(PagedPool, sizeof(*Secured), MI_TAG_SECURE);
    if (Secured == NULL) {
        return NULL;
    }
    Last = MI_VPN((ULONG64)Address + Size - 1);
    ExAcquireFastMutex(&Space->AddressLock);
    Vad = MiFindVad(Space, First);
    if (Vad != NULL && Last <= Vad->EndVpn && !Space->Deleted) {
        ExAcquireFastMutex(&Space->WorkingSetLock);
        Allowed = MiRangeAllows(Vad, First, Last, ProbeMode == PAGE_READWRITE);
        ExReleaseFastMutex(&Space->WorkingSetLock);
    }
    if (Allowed) {
        Vad->Secured++;
        Secured->Process = Space->Process;
        Secured->Vpn = First;
    }
    ExReleaseFastMutex(&Space->AddressLock);
    if (!Allowed) {
        ExFreePoolWithTag(Secured, MI_TAG_SECURE);
        return NULL;
    }
    return (HANDLE)Secured;
}

/* Undoes it, in the same process. IRQL: <= APC_LEVEL. */
VOID NTAPI MmUnsecureVirtualMemory(HANDLE SecureHandle)
{
    PMI_SECURED Secured = (PMI_SECURED)SecureHandle;
    PMI_ADDRESS_SPACE Space = MiCurrentSpace();
    PMI_VAD Vad;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Space == NULL || Secured->Process != Space->Process) {
        KeBugCheckEx(MEMORY_MANAGEMENT, 0x1003, (ULONG_PTR)SecureHandle, 0, 0);
    }
    ExAcquireFastMutex(&Space->AddressLock);
    Vad = MiFindVad(Space, Secured->Vpn);
    ASSERT(Vad != NULL && Vad->Secured != 0);
    Vad->Secured--;
    ExReleaseFastMutex(&Space->AddressLock);
    ExFreePoolWithTag(Secured, MI_TAG_SECURE);
}

/* One end of a copy: attached to a process, between its memory and the kernel's buffer. */
static NTSTATUS MiCopyPart(PEPROCESS Process, PVOID To, const VOID *From, SIZE_T Bytes, BOOLEAN FromProcess,
                           BOOLEAN Trusted)
{
    KAPC_STATE ApcState;
    NTSTATUS Status = STATUS_SUCCESS;

    if (!NT_SUCCESS(PsAcquireProcessExitSynchronization(Process))) {
        return STATUS_PROCESS_IS_TERMINATING;
    }
    KeStackAttachProcess((PVOID)Process, &ApcState);
    if (Trusted) {
        RtlCopyMemory(To, From, Bytes);
    } else {
        Status = FromProcess ? MmCopyFromUser(To, From, Bytes) : MmCopyToUser(To, From, Bytes);
    }
    KeUnstackDetachProcess(&ApcState);
    PsReleaseProcessExitSynchronization(Process);
    return Status;
}

/**
 * MmCopyVirtualMemory - copies memory of one process to another.
 *
 * @PreviousMode  UserMode: both ranges must lie in the user half; KernelMode: a range may also be the kernel's
 * @BytesCopied   receives how far it came
 *
 * IRQL: <= APC_LEVEL. Fails: STATUS_ACCESS_VIOLATION (a range above the limit), STATUS_PARTIAL_COPY (a page that cannot be
 * accessed), STATUS_INSUFFICIENT_RESOURCES.
 */
NTSTATUS NTAPI MmCopyVirtualMemory(PEPROCESS FromProcess, PVOID FromAddress, PEPROCESS ToProcess, PVOID ToAddress,
                                   SIZE_T Bytes, KPROCESSOR_MODE PreviousMode, PSIZE_T BytesCopied)
{
    BOOLEAN FromUser = MmIsUserRange(FromAddress, Bytes), ToUser = MmIsUserRange(ToAddress, Bytes);
    NTSTATUS Status = STATUS_SUCCESS;
    SIZE_T Done = 0;
    PUCHAR Buffer;

    ASSERT_IRQL_MAX(APC_LEVEL);
    *BytesCopied = 0;
    if ((!FromUser && (PreviousMode != KernelMode || (ULONG64)FromAddress < MI_SYSTEM_START)) ||
        (!ToUser && (PreviousMode != KernelMode || (ULONG64)ToAddress < MI_SYSTEM_START))) {
        return STATUS_ACCESS_VIOLATION;
    }
    Buffer = ExAllocatePoolWithTag(PagedPool, MI_COPY_BYTES, MI_TAG_COPY);
    if (Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    while (Done < Bytes && NT_SUCCESS(Status)) {
        /* up to a page boundary of the source, so that what can be read before a bad page is copied */
        SIZE_T Part = min(min(Bytes - Done, MI_COPY_BYTES), PAGE_SIZE - BYTE_OFFSET((PUCHAR)FromAddress + Done));

        Status = MiCopyPart(FromProcess, Buffer, (PUCHAR)FromAddress + Done, Part, TRUE, !FromUser);
        if (NT_SUCCESS(Status)) {
            Status = MiCopyPart(ToProcess, (PUCHAR)ToAddress + Done, Buffer, Part, FALSE, !ToUser);
        }
        Done += NT_SUCCESS(Status) ? Part : 0;
    }
    ExFreePoolWithTag(Buffer, MI_TAG_COPY);
    *BytesCopied = Done;
    return NT_SUCCESS(Status) ? STATUS_SUCCESS : STATUS_PARTIAL_COPY;
}
