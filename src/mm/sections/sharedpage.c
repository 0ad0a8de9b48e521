/*
 * sharedpage.c - the page of KUSER_SHARED_DATA, which every program sees at 0x7FFE0000, read-only.
 *
 * The page belongs to a section without a file. The kernel writes it through its own address, which is an alias of the section's frame
 * like a mapping of an MDL: a lock that is never given up keeps the frame. A program has a view like any other, so faults, working sets and
 * verification need to know nothing of it; only that the view cannot be unmapped or protected otherwise.
 *
 * The page the kernel began with is copied and given back when sections exist. By then the other processors run: the copy is made while all
 * of them are held at IPI_LEVEL, so that no clock interrupt writes the page meanwhile, and a processor that still reads the old page
 * through its TLB sees times that are a moment old.
 *
 * Source: KUSER_SHARED_DATA in the Windows driver documentation.
 */
#include "../misection.h"
#include "../miprocess.h"

static PSECTION MiSharedSection; /* (c) never deleted */

/* The old frame is still mapped where the kernel looks; Page is the new one, mapped elsewhere. */
typedef struct _MI_SHARED_SWITCH {
    PKTHREAD Thread; /* of the processor that does it */
    PVOID Page;
    PFN_FRAME Frame;
    MMPTE Old;
} MI_SHARED_SWITCH, *PMI_SHARED_SWITCH;

static ULONG_PTR NTAPI MiSwitchSharedPage(ULONG_PTR Argument)
{
    PMI_SHARED_SWITCH Switch = (PMI_SHARED_SWITCH)Argument;
    PMMPTE Pte = MiPteOf((PVOID)MM_SHARED_USER_DATA);

    if (Switch->Thread == KeGetCurrentThread()) {
        RtlCopyMemory(Switch->Page, (PVOID)MM_SHARED_USER_DATA, PAGE_SIZE);
        Switch->Old = *Pte;
        InterlockedExchange64((volatile LONG64 *)&Pte->Long,
                              (LONG64)MiMakeValidPte(Switch->Frame, MI_KERNEL_RW_BITS).Long);
    }
    return 0;
}

static VOID MiGiveBackFrame(PFN_FRAME Frame)
{
    KIRQL Irql = MiLockPfn();

    MiDeletePfn(Frame);
    MiDecrementShareCount(Frame);
    MiUnlockPfn(Irql);
}

VOID MiInitializeSharedPage(VOID)
{
    LARGE_INTEGER Size = {.QuadPart = PAGE_SIZE};
    MI_SHARED_SWITCH Switch = {.Thread = KeGetCurrentThread()};
    SIZE_T Bytes = PAGE_SIZE;
    NTSTATUS Status = MmCreateSection((PVOID *)&MiSharedSection, SECTION_ALL_ACCESS, NULL, &Size, PAGE_READWRITE,
                                      SEC_COMMIT, NULL, NULL);
    PMDL Mdl;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (NT_SUCCESS(Status)) {
        Status = MmMapViewInSystemSpace(MiSharedSection, &Switch.Page, &Bytes);
    }
    Mdl = NT_SUCCESS(Status) ? IoAllocateMdl(Switch.Page, PAGE_SIZE, FALSE, FALSE, NULL) : NULL;
    if (Mdl == NULL) {
        KeBugCheckEx(MEMORY1_INITIALIZATION_FAILED, 3, (ULONG_PTR)Status, 0, 0);
    }
    MmProbeAndLockPages(Mdl, KernelMode, IoWriteAccess); /* for ever: the list is not freed either */
    Switch.Frame = MmGetMdlPfnArray(Mdl)[0];
    KeIpiGenericCall(MiSwitchSharedPage, (ULONG_PTR)&Switch);
    MiFlushAllTlb();
    MiGiveBackFrame(MiPteFrame(Switch.Old));
    (VOID) MmUnmapViewInSystemSpace(Switch.Page);
    MiSharedSection->Protection = MM_READONLY;
}

NTSTATUS MmMapSharedUserPage(PEPROCESS Process)
{
    PVOID Base = (PVOID)MM_SHARED_USER_VA;
    SIZE_T Bytes = PAGE_SIZE;
    NTSTATUS Status =
        MmMapViewOfSection(MiSharedSection, Process, &Base, 0, 0, NULL, &Bytes, ViewShare, 0, PAGE_READONLY);

    if (NT_SUCCESS(Status)) {
        PMI_ADDRESS_SPACE Space = MiSpaceOf(Process);

        ExAcquireFastMutex(&Space->AddressLock);
        MiFindVad(Space, MI_VPN(Base))->Secured = 1; /* and stays so */
        ExReleaseFastMutex(&Space->AddressLock);
    }
    return Status;
}
