/*
 * fault.c - page faults: one decision tree, one function a branch.
 *
 *     table not resident, or PTE empty ......... access violation
 *     PTE valid, access allowed ................ spurious: another processor was first, or a stale translation: retry
 *     PTE valid, access not allowed ............ kernel text written: bug check; else access violation
 *     IRQL >= DISPATCH_LEVEL, interrupts off ... bug check IRQL_NOT_LESS_OR_EQUAL
 *     transition ............................... soft fault: the frame comes back from its list
 *     prototype ................................ shared page: mapped, waited for, read in or zeroed (inpage.c)
 *     demand zero .............................. a zeroed frame
 *
 * PTEs are reached through the self-map, from the top, so that no table is touched before it is known to be resident. Tables of the
 * kernel half never go away once they exist, so the PTE's address stays good without a lock; its content counts only under the PFN
 * lock. The handler decides, drops the lock, makes one thing resident and lets the instruction run again: it never recurses under a
 * lock and does no I/O under one. A shortage of frames waits at IRQL <= APC_LEVEL and never fails.
 *
 * User addresses have a tree of their own (userfault.c): their tables come and go, under the working-set lock.
 */
#include "../misection.h"
#include "../miprocess.h"

/* Bug check parameter 3 of IRQL_NOT_LESS_OR_EQUAL (Bug Check 0xA, Windows debugger documentation): bit 0 write, bit 3 execute. */
static ULONG MiAccessKind(ULONG64 ErrorCode)
{
    return ((ErrorCode & PF_WRITE) != 0 ? 1 : 0) | ((ErrorCode & PF_EXECUTE) != 0 ? 8 : 0);
}

static BOOLEAN MiIsSystemAddress(const VOID *Address)
{
    return (LONG64)Address < 0;
}

/* ---- A valid PTE ---- */

/* Does the entry that maps an address allow what was tried? Upper levels allow everything (MI_TABLE_BITS). */
static BOOLEAN MiAccessAllowed(MMPTE Leaf, ULONG64 ErrorCode, PKTRAP_FRAME Frame)
{
    if ((ErrorCode & PF_WRITE) != 0 && !Leaf.Hard.Write) {
        return FALSE;
    }
    if ((ErrorCode & PF_EXECUTE) != 0 && Leaf.Hard.NoExecute) {
        return FALSE;
    }
    if ((ErrorCode & PF_USER) != 0) {
        return Leaf.Hard.User;
    }
    /* SMEP and SMAP: the kernel runs no user page, and looks at one only with AC set. */
    if (Leaf.Hard.User) {
        return (ErrorCode & PF_EXECUTE) == 0 && (Frame->EFlags & EFLAGS_AC) != 0;
    }
    return TRUE;
}

/* Valid by now: the access is allowed after all, or it never will be. */
static NTSTATUS MiFaultOnValidPage(MMPTE Leaf, ULONG64 ErrorCode, PVOID Address, PKTRAP_FRAME Frame)
{
    if ((ErrorCode & PF_RESERVED) != 0) {
        /* Reserved bits in a table: no retry can help. */
        KiBugCheckTrap(PAGE_FAULT_IN_NONPAGED_AREA, (ULONG_PTR)Address, MiAccessKind(ErrorCode), Frame->Rip, Leaf.Long,
                       Frame);
    }
    if (MiAccessAllowed(Leaf, ErrorCode, Frame)) {
        KeInvalidatePage(Address);
        MmFaultCounters.Spurious++;
        return STATUS_SUCCESS;
    }
    if ((ErrorCode & (PF_WRITE | PF_USER)) == PF_WRITE && (ULONG64)Address >= MM_KERNEL_IMAGE_BASE &&
        (ULONG64)Address < MM_KERNEL_IMAGE_BASE + MM_KERNEL_IMAGE_SIZE) {
        KiBugCheckTrap(ATTEMPTED_WRITE_TO_READONLY_MEMORY, (ULONG_PTR)Address, Leaf.Long, (ULONG_PTR)Frame, 11, Frame);
    }
    return STATUS_ACCESS_VIOLATION;
}

/* ---- A PTE that is not valid ---- */

/* Demand zero: a page of a system region that was promised but never touched. */
static NTSTATUS MiFaultDemandZero(PMMPTE Pte, PVOID Address, MMPTE Content)
{
    PFN_FRAME Frame = 0;
    KIRQL OldIrql = MiLockPfn();

    if (Pte->Long == Content.Long) {
        Frame = MiAllocateFrame(MI_FRAME_ZEROED);
        if (Frame == 0) {
            MiUnlockPfn(OldIrql);
            MmFaultCounters.ShortageWaits++;
            MiWaitForFrames();
            return STATUS_SUCCESS;
        }
        MiInitializePfn(Frame, Pte, MI_NO_FRAME32, Content, MI_U4_MODIFIED);
        MiWriteValidPte(Pte, MiMakeValidPte(Frame, MI_KERNEL_RW_BITS));
        MiCountMapped(MiRegionOf(Address), 1);
        InterlockedIncrement64((volatile LONG64 *)&MmFaultCounters.DemandZero);
    }
    MiUnlockPfn(OldIrql);
    return STATUS_SUCCESS;
}

/* Transition: a private page of a system region that left its working set and is still in memory. */
static NTSTATUS MiFaultTransition(PMMPTE Pte, PVOID Address, MMPTE Content)
{
    KIRQL OldIrql = MiLockPfn();

    if (Pte->Long == Content.Long) {
        PFN_FRAME Frame = MiTransitionFrame(Content);

        if ((MiPfn(Frame)->u4 & MI_U4_READ) != 0) {
            return MiWaitForInPage(MiPfn(Frame)->u1.InPageBlock, OldIrql);
        }
        MiUnlinkTransition(Frame);
        MiWriteValidPte(Pte, MiMakeValidPte(Frame, MI_KERNEL_RW_BITS));
        MiCountMapped(MiRegionOf(Address), 1);
        MmFaultCounters.Soft++;
        MmFaultCounters.StandbyHits++;
    }
    MiUnlockPfn(OldIrql);
    return STATUS_SUCCESS;
}

/* Prototype: a page of a section. */
static NTSTATUS MiFaultPrototype(PMMPTE Pte, PVOID Address, MMPTE Content, BOOLEAN Write)
{
    if (Write && Content.Proto.Protection != MM_READWRITE) {
        return STATUS_ACCESS_VIOLATION;
    }
    return MiResolvePrototypeFault(Pte, Address);
}

/**
 * MiMakeSystemPageValid - one step towards a valid page of the kernel half.
 *
 * @Write   the access writes
 * returns  STATUS_SUCCESS: look again; STATUS_ACCESS_VIOLATION: there is no such page; else the status of the device that
 *          could not deliver the page (raised as STATUS_IN_PAGE_ERROR by the trap handler)
 *
 * IRQL: <= APC_LEVEL; no locks: it waits for I/O and for memory.
 */
NTSTATUS MiMakeSystemPageValid(PVOID Address, BOOLEAN Write)
{
    ULONG Level;
    PMMPTE Pte = MiFindLeaf(Address, &Level);
    MMPTE Content;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Pte == NULL) {
        return STATUS_ACCESS_VIOLATION;
    }
    Content = *(volatile MMPTE *)Pte;
    if (Content.Hard.Valid) {
        return Write && !Content.Hard.Write ? STATUS_ACCESS_VIOLATION : STATUS_SUCCESS;
    }
    if (Level != 0) {
        return STATUS_ACCESS_VIOLATION;
    }
    if (MiIsPrototypePte(Content)) {
        return MiFaultPrototype(Pte, Address, Content, Write);
    }
    if (MiIsTransitionPte(Content)) {
        return MiFaultTransition(Pte, Address, Content);
    }
    if (Content.Long != 0 && Content.Soft.Offset == 0) {
        return MiFaultDemandZero(Pte, Address, Content);
    }
    return STATUS_ACCESS_VIOLATION;
}

/* A user address below DISPATCH_LEVEL. A present page is refused for good only by the SMAP and SMEP rules. */
static NTSTATUS MiUserFault(ULONG64 ErrorCode, PVOID Address, PKTRAP_FRAME Frame)
{
    MI_ACCESS Access = {.Write = (ErrorCode & PF_WRITE) != 0,
                        .Execute = (ErrorCode & PF_EXECUTE) != 0,
                        .User = (ErrorCode & PF_USER) != 0};

    if (!Access.User && (ErrorCode & PF_PRESENT) != 0 && KiSmapEnabled &&
        (Access.Execute || (Frame->EFlags & EFLAGS_AC) == 0)) {
        return STATUS_ACCESS_VIOLATION;
    }
    return MiMakeUserPageValid(Address, &Access);
}

/* See ntos/mm.h. */
NTSTATUS MmAccessFault(ULONG64 ErrorCode, PVOID Address, PKTRAP_FRAME Frame)
{
    MMPTE Content;
    ULONG Level;

    if (!MiIsSystemAddress(Address) && Frame->PreviousIrql < DISPATCH_LEVEL && (Frame->EFlags & EFLAGS_IF) != 0) {
        return MiUserFault(ErrorCode, Address, Frame);
    }
    if ((ErrorCode & PF_USER) != 0 && MiIsSystemAddress(Address)) {
        return STATUS_ACCESS_VIOLATION; /* whatever the leaf says: in the self-map it is an entry for user pages, under one that is not */
    }
    Content = MiReadLeaf(Address, &Level);
    if (Content.Hard.Valid) {
        return MiFaultOnValidPage(Content, ErrorCode, Address, Frame);
    }
    if ((ErrorCode & PF_USER) == 0 && (Frame->PreviousIrql >= DISPATCH_LEVEL || (Frame->EFlags & EFLAGS_IF) == 0)) {
        KiBugCheckTrap(IRQL_NOT_LESS_OR_EQUAL, (ULONG_PTR)Address, Frame->PreviousIrql, MiAccessKind(ErrorCode),
                       Frame->Rip, Frame);
    }
    if ((ErrorCode & PF_USER) != 0 || !MiIsSystemAddress(Address)) {
        return STATUS_ACCESS_VIOLATION;
    }
    if ((ULONG64)Address >= MM_PTE_BASE && (ULONG64)Address < MM_PTE_BASE + MM_PTE_SIZE) {
        /* Mm looks before it touches the self-map; anybody else has no business there. */
        KiBugCheckTrap(PAGE_FAULT_IN_NONPAGED_AREA, (ULONG_PTR)Address, MiAccessKind(ErrorCode), Frame->Rip, 0, Frame);
    }
    return MiMakeSystemPageValid(Address, (ErrorCode & PF_WRITE) != 0);
}
