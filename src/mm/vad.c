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

static ULONG64 MiFindLowestGap(PMI_ADDRESS_SPACE Space, ULONG64 Pages, const MI_PLACE *Place)
{
    ULONG64 Align = Place->Alignment >> PAGE_SHIFT, Last = MI_VPN(Place->Highest);
    ULONG64 Start = ALIGN_UP_BY(MI_VPN(Place->Lowest), Align);
    PMI_VAD Vad = MiFirstVadFrom(Space, Start);

    while (Vad != NULL && (Start >= Vad->StartVpn || Vad->StartVpn - Start < Pages)) {
        Start = ALIGN_UP_BY(Vad->EndVpn + 1, Align);
        Vad = MiNextVad(Space, Vad);
    }
    return Start <= Last && Last - Start + 1 >= Pages ? Start : 0;
}

static ULONG64 MiFindHighestGap(PMI_ADDRESS_SPACE Space, ULONG64 Pages, const MI_PLACE *Place)
{
    ULONG64 End = MI_VPN(Place->Highest) + 1; /* first page that may not be used */
    PMI_VAD Vad = NULL;

    for (;;) {
        ULONG64 Start, Floor;

        Vad = (PMI_VAD)RtlpAvlPrevious(&Space->Vads, (PRTL_BALANCED_LINKS)Vad);
        if (Vad != NULL && Vad->StartVpn >= End) {
            continue;
        }
        Floor = max(Vad == NULL ? 0 : Vad->EndVpn + 1, MI_VPN(Place->Lowest));
        if (Floor < End && End - Floor >= Pages) {
            Start = ALIGN_DOWN_BY(End - Pages, Place->Alignment >> PAGE_SHIFT);
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

ULONG64 MiFindGap(PMI_ADDRESS_SPACE Space, ULONG64 Pages, const MI_PLACE *Place, BOOLEAN TopDown)
{
    if (!TopDown && Place->Lowest == MI_LOWEST_USER && Place->Highest == MI_HIGHEST_VAD) { /* anywhere */
        const MI_PLACE Above = {Space->Bottom, MI_HIGHEST_VAD, Place->Alignment};
        ULONG64 First = MiFindLowestGap(Space, Pages, &Above);

        if (First != 0) {
            return First;
        }
    }
    return TopDown ? MiFindHighestGap(Space, Pages, Place) : MiFindLowestGap(Space, Pages, Place);
}
