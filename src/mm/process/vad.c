/*
 * vad.c - the tree of virtual address descriptors of a process.
 *
 * A VAD is a range of pages that were reserved or mapped together. The tree is keyed by page number; ranges never overlap. It changes
 * with the address lock, the working-set lock and the PFN lock all held, so that services (address lock), faults (working-set
 * lock) and MiVerify (PFN lock) may each read it under their own.
 *
 * Each node knows the bounds of its subtree and the largest gap in it, so that a search for free addresses passes over whatever has no
 * room: O(log n) for the usual alignment of 64 KB, from which gaps are measured.
 *
 * VADs lie in nonpaged pool, since the PFN lock's holder reads them.
 */
#include "../miprocess.h"

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

#define MI_GAP_STEP (MI_GRANULARITY >> PAGE_SHIFT)

/* Pages between the end of a range and the start of the next, from where an allocation may begin. */
static ULONG64 MiGapBetween(ULONG64 Last, ULONG64 Next)
{
    ULONG64 Start = ALIGN_UP_BY(Last + 1, MI_GAP_STEP);

    return Start < Next ? Next - Start : 0;
}

/* What a node knows of its subtree, from its children. */
static BOOLEAN MiUpdateSubtree(PRTL_BALANCED_LINKS Node)
{
    PMI_VAD Vad = (PMI_VAD)Node, Left = (PMI_VAD)Node->LeftChild, Right = (PMI_VAD)Node->RightChild;
    ULONG64 Lowest = Vad->StartVpn, Highest = Vad->EndVpn, Gap = 0;

    if (Left != NULL) {
        Lowest = Left->LowestVpn;
        Gap = max(Left->Gap, MiGapBetween(Left->HighestVpn, Vad->StartVpn));
    }
    if (Right != NULL) {
        Highest = Right->HighestVpn;
        Gap = max(Gap, Right->Gap);
        Gap = max(Gap, MiGapBetween(Vad->EndVpn, Right->LowestVpn));
    }
    if (Lowest == Vad->LowestVpn && Highest == Vad->HighestVpn && Gap == Vad->Gap) {
        return FALSE;
    }
    Vad->LowestVpn = Lowest;
    Vad->HighestVpn = Highest;
    Vad->Gap = Gap;
    return TRUE;
}

VOID MiResizeVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 First, ULONG64 Last)
{
    ASSERT_PFN_LOCKED();
    Space->Reserved += (Last - First) - (Vad->EndVpn - Vad->StartVpn);
    Vad->StartVpn = First;
    Vad->EndVpn = Last;
    RtlpAvlUpdate(&Space->Vads, &Vad->Links, MiUpdateSubtree);
}

/* Nodes whose subtree is not what they say. */
ULONG MiVerifyGaps(PMI_ADDRESS_SPACE Space)
{
    ULONG Findings = 0;

    for (PMI_VAD Vad = MiNextVad(Space, NULL); Vad != NULL; Vad = MiNextVad(Space, Vad)) {
        MI_VAD Copy = *Vad;

        Findings += MiUpdateSubtree(&Copy.Links);
    }
    return Findings;
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
    RtlpAvlInsertAnd(&Space->Vads, &Vad->Links, Parent, Where, MiUpdateSubtree);
    Space->Reserved += Vad->EndVpn - Vad->StartVpn + 1;
    Space->PeakReserved = max(Space->PeakReserved, Space->Reserved);
    MiUnlockPfn(Irql);
}

VOID MiRemoveVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad)
{
    KIRQL Irql = MiLockPfn();

    RtlpAvlRemoveAnd(&Space->Vads, &Vad->Links, MiUpdateSubtree);
    Space->Reserved -= Vad->EndVpn - Vad->StartVpn + 1;
    MiUnlockPfn(Irql);
}

/* ---- Free addresses ---- */

typedef struct _MI_GAP_SEARCH {
    ULONG64 Pages, Align, Lowest, End; /* pages; End: the first that may not be used */
    BOOLEAN Down;
} MI_GAP_SEARCH;

ULONG64 MiGapVisits;

/* A place in the free pages [From, To); 0: none. */
static ULONG64 MiFit(const MI_GAP_SEARCH *Search, ULONG64 From, ULONG64 To)
{
    ULONG64 Start = ALIGN_UP_BY(max(From, Search->Lowest), Search->Align), End = min(To, Search->End);

    if (Start >= End || End - Start < Search->Pages) {
        return 0;
    }
    return Search->Down ? ALIGN_DOWN_BY(End - Search->Pages, Search->Align) : Start;
}

/* In the gaps between the ranges of a subtree, from the wanted end on; as deep as the tree is high, which is 1.44 log n. */
static ULONG64 MiFindInSubtree(const MI_GAP_SEARCH *Search, PMI_VAD Vad)
{
    PMI_VAD Left, Right, Near;
    ULONG64 Found = 0;

    if (Vad == NULL || Vad->Gap < Search->Pages || Vad->HighestVpn < Search->Lowest || Vad->LowestVpn >= Search->End) {
        return 0;
    }
    MiGapVisits++;
    Left = (PMI_VAD)Vad->Links.LeftChild;
    Right = (PMI_VAD)Vad->Links.RightChild;
    Near = Search->Down ? Right : Left;
    Found = MiFindInSubtree(Search, Near);
    for (ULONG Turn = 0; Turn < 2 && Found == 0; Turn++) { /* the gap on the near side, then the other */
        if ((Turn == 0) == Search->Down) {
            Found = Right != NULL ? MiFit(Search, Vad->EndVpn + 1, Right->LowestVpn) : 0;
        } else {
            Found = Left != NULL ? MiFit(Search, Left->HighestVpn + 1, Vad->StartVpn) : 0;
        }
    }
    return Found != 0 ? Found : MiFindInSubtree(Search, Near == Left ? Right : Left);
}

static ULONG64 MiFindGapWithin(PMI_ADDRESS_SPACE Space, ULONG64 Pages, const MI_PLACE *Place, BOOLEAN TopDown)
{
    MI_GAP_SEARCH Search = {.Pages = Pages,
                            .Align = Place->Alignment >> PAGE_SHIFT,
                            .Lowest = MI_VPN(Place->Lowest),
                            .End = MI_VPN(Place->Highest) + 1,
                            .Down = TopDown};
    PMI_VAD Root = (PMI_VAD)Space->Vads.BalancedRoot.RightChild;
    ULONG64 Found;

    if (Root == NULL) {
        return MiFit(&Search, 0, Search.End);
    }
    Found = TopDown ? MiFit(&Search, Root->HighestVpn + 1, Search.End) : MiFit(&Search, 0, Root->LowestVpn);
    if (Found == 0) {
        Found = MiFindInSubtree(&Search, Root);
    }
    if (Found == 0) {
        Found = TopDown ? MiFit(&Search, 0, Root->LowestVpn) : MiFit(&Search, Root->HighestVpn + 1, Search.End);
    }
    return Found;
}

ULONG64 MiFindGap(PMI_ADDRESS_SPACE Space, ULONG64 Pages, const MI_PLACE *Place, BOOLEAN TopDown)
{
    if (!TopDown && Place->Lowest == MI_LOWEST_USER && Place->Highest == MI_HIGHEST_VAD) { /* anywhere */
        const MI_PLACE Above = {Space->Bottom, MI_HIGHEST_VAD, Place->Alignment};
        ULONG64 First = MiFindGapWithin(Space, Pages, &Above, FALSE);

        if (First != 0) {
            return First;
        }
    }
    return MiFindGapWithin(Space, Pages, Place, TopDown);
}
