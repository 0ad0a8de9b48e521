/*
 * avlenum.c - walking generic tables on AVL trees in order.
 *
 * Three ways, as documented: a position kept in the table (RtlEnumerateGenericTableAvl), one kept by the caller
 * (...WithoutSplayingAvl, ...LikeADirectory), and by number (RtlGetElementGenericTableAvl). A caller's position is a
 * node's address: it stays good while that node is in the table. LikeADirectory alone survives deletions, because it
 * looks its position up again by value when the table's delete count has moved. The owner serialises, as in avl.c.
 */
#include <ntos/ntos.h>
#include "avl.h"

PRTL_BALANCED_LINKS RtlpAvlNext(PRTL_AVL_TABLE Table, PRTL_BALANCED_LINKS Node)
{
    PRTL_BALANCED_LINKS Next;

    if (Node == NULL || Node->RightChild != NULL) {
        /* The head's RightChild is the root, so the first node is found like any successor. */
        Next = Node == NULL ? Table->BalancedRoot.RightChild : Node->RightChild;
        while (Next != NULL && Next->LeftChild != NULL) {
            Next = Next->LeftChild;
        }
        return Next;
    }
    for (Next = Node->Parent; Next != &Table->BalancedRoot && Next->RightChild == Node; Next = Next->Parent) {
        Node = Next;
    }
    return Next != &Table->BalancedRoot ? Next : NULL;
}

PRTL_BALANCED_LINKS RtlpAvlPrevious(PRTL_AVL_TABLE Table, PRTL_BALANCED_LINKS Node)
{
    PRTL_BALANCED_LINKS Next;

    if (Node == NULL || Node->LeftChild != NULL) {
        Next = Node == NULL ? Table->BalancedRoot.RightChild : Node->LeftChild;
        while (Next != NULL && Next->RightChild != NULL) {
            Next = Next->RightChild;
        }
        return Next;
    }
    for (Next = Node->Parent; Next != &Table->BalancedRoot && Next->LeftChild == Node; Next = Next->Parent) {
        Node = Next;
    }
    return Next != &Table->BalancedRoot ? Next : NULL;
}

/** RtlNumberGenericTableElementsAvl - how many elements the table has. */
ULONG NTAPI RtlNumberGenericTableElementsAvl(PRTL_AVL_TABLE Table)
{
    return Table->NumberGenericTableElements;
}

/** RtlIsGenericTableEmptyAvl - whether the table has no element. */
BOOLEAN NTAPI RtlIsGenericTableEmptyAvl(PRTL_AVL_TABLE Table)
{
    return Table->NumberGenericTableElements == 0;
}

/**
 * RtlEnumerateGenericTableWithoutSplayingAvl - the element after the caller's position.
 *
 * @RestartKey  NULL: begin; gets the position of the element returned
 * returns      the element, or NULL at the end (and the position is then NULL)
 */
PVOID NTAPI RtlEnumerateGenericTableWithoutSplayingAvl(PRTL_AVL_TABLE Table, PVOID *RestartKey)
{
    PRTL_BALANCED_LINKS Node = RtlpAvlNext(Table, *RestartKey);

    *RestartKey = Node;
    return Node != NULL ? RTLP_AVL_ELEMENT(Node) : NULL;
}

/** RtlEnumerateGenericTableAvl - the element after the table's own position; Restart begins anew. NULL at the end. */
PVOID NTAPI RtlEnumerateGenericTableAvl(PRTL_AVL_TABLE Table, BOOLEAN Restart)
{
    PRTL_BALANCED_LINKS Node = RtlpAvlNext(Table, Restart ? NULL : Table->RestartKey);

    if (Node != NULL) {
        Table->RestartKey = Node;
    }
    return Node != NULL ? RTLP_AVL_ELEMENT(Node) : NULL;
}

/**
 * RtlLookupFirstMatchingElementGenericTableAvl - the first, in order, of the elements that compare equal to Buffer.
 *
 * @RestartKey  gets its position for RtlEnumerateGenericTableWithoutSplayingAvl
 * returns      the element, or NULL
 */
PVOID NTAPI RtlLookupFirstMatchingElementGenericTableAvl(PRTL_AVL_TABLE Table, PVOID Buffer, PVOID *RestartKey)
{
    PRTL_BALANCED_LINKS Node = Table->BalancedRoot.RightChild;
    PRTL_BALANCED_LINKS Match = NULL;

    while (Node != NULL) {
        RTL_GENERIC_COMPARE_RESULTS Order = Table->CompareRoutine(Table, Buffer, RTLP_AVL_ELEMENT(Node));

        if (Order == GenericEqual) {
            Match = Node;
        }
        Node = Order == GenericGreaterThan ? Node->RightChild : Node->LeftChild;
    }
    *RestartKey = Match;
    return Match != NULL ? RTLP_AVL_ELEMENT(Match) : NULL;
}

/**
 * RtlGetElementGenericTableAvl - the element of a given number in order, from 0; NULL beyond the end.
 *
 * The table remembers the last answer, so a loop over all numbers takes one step each.
 */
PVOID NTAPI RtlGetElementGenericTableAvl(PRTL_AVL_TABLE Table, ULONG I)
{
    PRTL_BALANCED_LINKS Node = Table->OrderedPointer;
    ULONG At = Table->WhichOrderedElement;

    if (I >= Table->NumberGenericTableElements) {
        return NULL;
    }
    if (Node == NULL || (I < At && I < At - I)) {
        Node = RtlpAvlNext(Table, NULL);
        At = 0;
    }
    for (; At < I; At++) {
        Node = RtlpAvlNext(Table, Node);
    }
    for (; At > I; At--) {
        Node = RtlpAvlPrevious(Table, Node);
    }
    Table->OrderedPointer = Node;
    Table->WhichOrderedElement = I;
    return RTLP_AVL_ELEMENT(Node);
}

/* The first node that is not less than Buffer, or, with After, greater than it. */
static PRTL_BALANCED_LINKS RtlpAvlLowerBound(PRTL_AVL_TABLE Table, PVOID Buffer, BOOLEAN After)
{
    PRTL_BALANCED_LINKS Node = Table->BalancedRoot.RightChild;
    PRTL_BALANCED_LINKS Bound = NULL;

    while (Node != NULL) {
        RTL_GENERIC_COMPARE_RESULTS Order = Table->CompareRoutine(Table, Buffer, RTLP_AVL_ELEMENT(Node));

        if (Order == GenericLessThan || (Order == GenericEqual && !After)) {
            Bound = Node;
            Node = Node->LeftChild;
        } else {
            Node = Node->RightChild;
        }
    }
    return Bound;
}

/**
 * RtlEnumerateGenericTableLikeADirectory - enumeration that goes on although elements come and go.
 *
 * @MatchFunction  optional: STATUS_SUCCESS takes the element, STATUS_NO_MATCH skips it, anything else ends the walk
 * @NextFlag       not 0: go on after the position; 0: begin with it
 * @RestartKey     position; NULL: look Buffer up by value
 * @DeleteCount    the table's delete count when the position was taken
 * @Buffer         element that tells where to go on (the last one returned, or the first wanted)
 * returns         the element, or NULL at the end
 */
PVOID NTAPI RtlEnumerateGenericTableLikeADirectory(PRTL_AVL_TABLE Table, PRTL_AVL_MATCH_FUNCTION MatchFunction,
                                                   PVOID MatchData, ULONG NextFlag, PVOID *RestartKey,
                                                   PULONG DeleteCount, PVOID Buffer)
{
    PRTL_BALANCED_LINKS Node = *RestartKey;

    if (Node == NULL || *DeleteCount != Table->DeleteCount) {
        Node = RtlpAvlLowerBound(Table, Buffer, NextFlag != 0);
    } else if (NextFlag != 0) {
        Node = RtlpAvlNext(Table, Node);
    }
    *DeleteCount = Table->DeleteCount;
    for (; Node != NULL; Node = RtlpAvlNext(Table, Node)) {
        NTSTATUS Status =
            MatchFunction == NULL ? STATUS_SUCCESS : MatchFunction(Table, RTLP_AVL_ELEMENT(Node), MatchData);

        *RestartKey = Node;
        if (Status == STATUS_SUCCESS) {
            return RTLP_AVL_ELEMENT(Node);
        }
        if (Status != STATUS_NO_MATCH) {
            return NULL;
        }
    }
    return NULL;
}
