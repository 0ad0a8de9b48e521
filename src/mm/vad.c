/*
 * vad.c - the tree of virtual address descriptors of a process.
 *
 * A VAD is a range of pages that were reserved or mapped together. The tree is keyed by page number; ranges never overlap. It changes
 * with the address lock, the working-set lock and the PFN lock all held, so that services (address lock), faults (working-set
 * lock) and MiVerify (PFN lock) may each read it under their own. Searches for free addresses walk from VAD to VAD.
 *
 * VADs lie in nonpaged pool, since the PFN lock's holder reads them.
 */
#include "miprocess.h"

PMI_VAD MiNextVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad)
{
    return (PMI_VAD)RtlpAvlNext(&Space->Vads, (PRTL_BALANCED_LINKS)Vad);
}

PMI_VAD MiFirstVadFrom(PMI_ADDRESS_SPACE Space, ULONG64 Vpn)
{
    PRTL_BALANCED_LINKS Node = Space->Vads.BalancedRoot.RightChild;
    PMI_VAD Best = NULL;

    while (Node != NULL) {
        PMI_VAD Vad = (PMI_VAD)Node;

        if (Vad->EndVpn >= Vpn) {
            Best = Vad;
            Node = Node->LeftChild;
        } else {
            Node = Node->RightChild;
        }
    }
    return Best;
}

PMI_VAD MiFindVad(PMI_ADDRESS_SPACE Space, ULONG64 Vpn)
{
    PMI_VAD Vad = MiFirstVadFrom(Space, Vpn);

    return Vad != NULL && Vad->StartVpn <= Vpn ? Vad : NULL;
}

BOOLEAN MiVadsOverlap(PMI_ADDRESS_SPACE Space, ULONG64 First, ULONG64 Last)
{
    PMI_VAD Vad = MiFirstVadFrom(Space, First);

    return Vad != NULL && Vad->StartVpn <= Last;
}

PMI_VAD MiCreateVad(MI_VAD_TYPE Type, ULONG64 First, ULONG64 Last, ULONG Protection)
{
    PMI_VAD Vad = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Vad), MI_TAG_VAD);

    if (Vad != NULL) {
        RtlZeroMemory(Vad, sizeof(*Vad));
        Vad->Type = Type;
        Vad->StartVpn = First;
        Vad->EndVpn = Last;
        Vad->Protection = Protection;
    }
    return Vad;
}

VOID MiInsertVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad)
{
    PRTL_BALANCED_LINKS Parent = NULL, Node = Space->Vads.BalancedRoot.RightChild;
    TABLE_SEARCH_RESULT Where = TableEmptyTree;
    KIRQL Irql;

    while (Node != NULL) {
        Parent = Node;
        ASSERT(Vad->EndVpn < ((PMI_VAD)Node)->StartVpn || Vad->StartVpn > ((PMI_VAD)Node)->EndVpn);
        Where = Vad->StartVpn < ((PMI_VAD)Node)->StartVpn ? TableInsertAsLeft : TableInsertAsRight;
        Node = Where == TableInsertAsLeft ? Node->LeftChild : Node->RightChild;
    }
    Irql = MiLockPfn();
    RtlpAvlInsert(&Space->Vads, &Vad->Links, Parent, Where);
    MiUnlockPfn(Irql);
}

VOID MiRemoveVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad)
{
    KIRQL Irql = MiLockPfn();

    RtlpAvlRemove(&Space->Vads, &Vad->Links);
    MiUnlockPfn(Irql);
}

/* ---- Free addresses ---- */

#define MI_GRANULARITY_PAGES (MI_GRANULARITY >> PAGE_SHIFT)

static ULONG64 MiFindLowestGap(PMI_ADDRESS_SPACE Space, ULONG64 Pages, ULONG64 Highest)
{
    ULONG64 Start = MI_VPN(MI_LOWEST_USER), Last = MI_VPN(Highest);
    PMI_VAD Vad = NULL;

    while ((Vad = MiNextVad(Space, Vad)) != NULL) {
        if (Start < Vad->StartVpn && Vad->StartVpn - Start >= Pages) {
            break;
        }
        Start = ALIGN_UP_BY(Vad->EndVpn + 1, MI_GRANULARITY_PAGES);
    }
    return Start <= Last && Last - Start + 1 >= Pages ? Start : 0;
}

static ULONG64 MiFindHighestGap(PMI_ADDRESS_SPACE Space, ULONG64 Pages, ULONG64 Highest)
{
    ULONG64 End = MI_VPN(Highest) + 1; /* first page that may not be used */
    PMI_VAD Vad = NULL;

    for (;;) {
        ULONG64 Start, Floor;

        Vad = (PMI_VAD)RtlpAvlPrevious(&Space->Vads, (PRTL_BALANCED_LINKS)Vad);
        if (Vad != NULL && Vad->StartVpn >= End) {
            continue;
        }
        Floor = Vad == NULL ? MI_VPN(MI_LOWEST_USER) : Vad->EndVpn + 1;
        if (Floor < End && End - Floor >= Pages) {
            Start = ALIGN_DOWN_BY(End - Pages, MI_GRANULARITY_PAGES);
            if (Start >= Floor) {
                return Start;
            }
        }
        if (Vad == NULL) {
            return 0;
        }
        End = Vad->StartVpn;
    }
}

ULONG64 MiFindGap(PMI_ADDRESS_SPACE Space, ULONG64 Pages, ULONG64 Highest, BOOLEAN TopDown)
{
    return TopDown ? MiFindHighestGap(Space, Pages, Highest) : MiFindLowestGap(Space, Pages, Highest);
}
