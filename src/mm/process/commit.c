/*
 * commit.c - commit charge: what has been promised, against what there is.
 *
 * A page is charged when it is promised (committed private memory, sections without a file, copy-on-write views), and so are the page
 * tables and working-set lists of processes, which promised pages need. The limit is RAM less what the kernel itself holds mapped (its
 * images, page tables, pools and stacks, read from the exposure counters) less a reserve that paging I/O lives on. There is
 * no page file to add yet. A charge that would exceed the limit is refused, so a page that was promised can be delivered; a page table
 * that a promised page needs is charged without asking, since it must not be the reason why a fault fails.
 *
 * Locks: PFN lock. Every owner keeps its own count, changed in the same hold: MiVerify demands that they add up.
 */
#include "../miprocess.h"

/* Kept out of every promise: the frames of MI_RESERVE_FRAMES, and as many again for page tables charged without asking. */
#define MI_COMMIT_RESERVE (2 * MI_RESERVE_FRAMES)

MI_COMMIT MiCommit;

ULONG64 MiCommitLimit(VOID)
{
    static const MM_REGION Kernel[] = {MmRegionImages,       MmRegionPageTables, MmRegionPfnDatabase,
                                       MmRegionNonPagedPool, MmRegionPagedPool,  MmRegionSystemPtes};
    ULONG64 Held = MI_COMMIT_RESERVE;

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Kernel); Index++) {
        Held += MiMappedFrames(Kernel[Index]);
    }
    return Held < MiRamFrames ? MiRamFrames - Held : 0;
}

VOID MiForceCommitLocked(PULONG64 Counter, ULONG64 Pages)
{
    ASSERT_PFN_LOCKED();
    *Counter += Pages;
    MiCommit.Charged += Pages;
    MiCommit.Peak = max(MiCommit.Peak, MiCommit.Charged);
}

VOID MiReturnCommitLocked(PULONG64 Counter, ULONG64 Pages)
{
    ASSERT_PFN_LOCKED();
    ASSERT(*Counter >= Pages && MiCommit.Charged >= Pages);
    *Counter -= Pages;
    MiCommit.Charged -= Pages;
}

BOOLEAN MiChargeCommit(PULONG64 Counter, ULONG64 Pages)
{
    ULONG64 Limit = MiCommitLimit();
    KIRQL Irql = MiLockPfn();
    BOOLEAN Charged = MiCommit.Charged <= Limit && Pages <= Limit - MiCommit.Charged;

    if (Charged) {
        MiForceCommitLocked(Counter, Pages);
    } else {
        MiCommit.Refused++;
    }
    MiUnlockPfn(Irql);
    return Charged;
}

BOOLEAN MiChargeProcess(PMI_ADDRESS_SPACE Space, ULONG64 Pages)
{
    PSP_COMMIT Hold;
    BOOLEAN Charged;

    if (!PspBeginCommit(Space->Process, Space->Commit, Pages, &Hold)) {
        return FALSE;
    }
    Charged = MiChargeCommit(&Space->Commit, Pages);
    PspEndCommit(&Hold);
    Space->PeakCommit = max(Space->PeakCommit, Space->Commit);
    return Charged;
}

ULONG64 MmQueryProcessCommit(PEPROCESS Process)
{
    PMI_ADDRESS_SPACE Space = MiSpaceOf(Process);

    return Space == NULL ? 0 : Space->Commit;
}

VOID MiReturnCommit(PULONG64 Counter, ULONG64 Pages)
{
    KIRQL Irql;

    if (Pages != 0) {
        Irql = MiLockPfn();
        MiReturnCommitLocked(Counter, Pages);
        MiUnlockPfn(Irql);
    }
}
