/*
 * mdl.c - allocation of memory descriptor lists. Locking and mapping what they describe is Mm's.
 *
 * An MDL is one nonpaged block, header then one frame number a page. IoAllocateMdl only describes a virtual range; the array is filled by
 * MmProbeAndLockPages or MmBuildMdlForNonPagedPool. A partial MDL borrows the frames of another and must not outlive
 * the lock that one holds. No locks; IRQL <= DISPATCH_LEVEL.
 */
#include "iop.h"
#include <ntos/pool.h>

volatile LONG64 IopMdlCount;

/**
 * IoAllocateMdl - an MDL for Length bytes at VirtualAddress.
 *
 * @Length           bytes, at most 2^32 - 1
 * @SecondaryBuffer  TRUE: append to the IRP's list; FALSE: make it the IRP's first
 * @ChargeQuota      nothing is charged yet
 * @Irp              IRP to attach to, or NULL
 * returns           the MDL, or NULL when memory is short
 */
PMDL NTAPI IoAllocateMdl(PVOID VirtualAddress, ULONG Length, BOOLEAN SecondaryBuffer, BOOLEAN ChargeQuota, PIRP Irp)
{
    SIZE_T Pages = ADDRESS_AND_SIZE_TO_SPAN_PAGES(VirtualAddress, Length);
    SIZE_T Bytes = sizeof(MDL) + Pages * sizeof(PFN_NUMBER);
    PMDL Mdl;

    UNREFERENCED_PARAMETER(ChargeQuota);

    Mdl = ExAllocatePoolFor(NonPagedPool, Bytes, IOP_TAG_MDL, _ReturnAddress());
    if (Mdl == NULL) {
        return NULL;
    }
    RtlZeroMemory(Mdl, sizeof(MDL));
    Mdl->Size = (CSHORT)min(Bytes, MAXSHORT & ~7U);
    Mdl->StartVa = PAGE_ALIGN(VirtualAddress);
    Mdl->ByteOffset = BYTE_OFFSET(VirtualAddress);
    Mdl->ByteCount = Length;
    InterlockedIncrement64(&IopMdlCount);
    if (Irp != NULL) {
        PMDL *Link = &Irp->MdlAddress;

        while (SecondaryBuffer && *Link != NULL) {
            Link = &(*Link)->Next;
        }
        *Link = Mdl;
    }
    return Mdl;
}

VOID NTAPI IoFreeMdl(PMDL Mdl)
{
    ASSERT((Mdl->MdlFlags & MDL_PAGES_LOCKED) == 0);
    if ((Mdl->MdlFlags & MDL_PARTIAL_HAS_BEEN_MAPPED) != 0) {
        MmUnmapLockedPages(Mdl->MappedSystemVa, Mdl);
    }
    InterlockedDecrement64(&IopMdlCount);
    ExFreePoolWithTag(Mdl, IOP_TAG_MDL);
}

/**
 * IoBuildPartialMdl - makes TargetMdl describe a part of what SourceMdl describes.
 *
 * @TargetMdl       has room for the pages of the part
 * @VirtualAddress  start, inside the source (as MmGetMdlVirtualAddress counts)
 * @Length          bytes; 0: to the source's end
 *
 * A system mapping of the source is shared; the target does not own it.
 */
VOID NTAPI IoBuildPartialMdl(PMDL SourceMdl, PMDL TargetMdl, PVOID VirtualAddress, ULONG Length)
{
    ULONG_PTR Offset = (ULONG_PTR)VirtualAddress - (ULONG_PTR)MmGetMdlVirtualAddress(SourceMdl);
    ULONG_PTR FirstPage = ((ULONG_PTR)VirtualAddress - (ULONG_PTR)SourceMdl->StartVa) >> PAGE_SHIFT;
    CSHORT Inherited = MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL | MDL_IO_PAGE_READ | MDL_IO_SPACE;

    ASSERT(Offset <= SourceMdl->ByteCount && Length <= SourceMdl->ByteCount - Offset);
    if (Length == 0) {
        Length = SourceMdl->ByteCount - (ULONG)Offset;
    }
    TargetMdl->Process = SourceMdl->Process;
    TargetMdl->StartVa = PAGE_ALIGN(VirtualAddress);
    TargetMdl->ByteOffset = BYTE_OFFSET(VirtualAddress);
    TargetMdl->ByteCount = Length;
    TargetMdl->MappedSystemVa = (PUCHAR)SourceMdl->MappedSystemVa + Offset;
    TargetMdl->MdlFlags = (CSHORT)((TargetMdl->MdlFlags & (MDL_ALLOCATED_FIXED_SIZE | MDL_ALLOCATED_MUST_SUCCEED)) |
                                   MDL_PARTIAL | (SourceMdl->MdlFlags & Inherited));
    RtlCopyMemory(MmGetMdlPfnArray(TargetMdl), MmGetMdlPfnArray(SourceMdl) + FirstPage,
                  ADDRESS_AND_SIZE_TO_SPAN_PAGES(VirtualAddress, Length) * sizeof(PFN_NUMBER));
}
