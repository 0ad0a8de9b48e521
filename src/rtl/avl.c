/*
 * avl.c - generic tables on AVL trees: find, insert, delete.
 *
 * A table keeps the caller's elements, copied into nodes that the caller's routine allocates: a header of 32 bytes
 * (RTL_BALANCED_LINKS) and the element after it, 16-byte aligned as the allocation is. Order comes from the caller's
 * compare routine. Table->BalancedRoot is a head: its RightChild is the root, whose Parent is the head. Balance is the
 * height of the right subtree minus that of the left, -1..1.
 *
 * The tree half (RtlpAvlInsert, RtlpAvlRemove) knows nothing of elements and is used by owners of embedded links. A
 * node's address never changes while it is in the tree. A table has no lock: the owner serialises. IRQL: what the
 * caller's memory and routines allow. Enumeration is in avlenum.c.
 *
 * Source of the behaviour: the routines' pages in the Windows driver documentation.
 */
#include <ntos/ntos.h>
#include "avl.h"

static PRTL_BALANCED_LINKS *RtlpChildSlot(PRTL_BALANCED_LINKS Parent, PRTL_BALANCED_LINKS Child)
{
    return Parent->LeftChild == Child ? &Parent->LeftChild : &Parent->RightChild;
}

static PRTL_BALANCED_LINKS RtlpChild(PRTL_BALANCED_LINKS Node, CHAR Side)
{
    return Side < 0 ? Node->LeftChild : Node->RightChild;
}

/* Lifts the child on Side (-1 left, 1 right) above Node. Balances are the caller's to set. */
static VOID RtlpRotate(PRTL_BALANCED_LINKS Node, CHAR Side)
{
    PRTL_BALANCED_LINKS Child = RtlpChild(Node, Side);
    PRTL_BALANCED_LINKS Middle = RtlpChild(Child, -Side);

    *RtlpChildSlot(Node->Parent, Node) = Child;
    Child->Parent = Node->Parent;
    Node->Parent = Child;
    if (Side < 0) {
        Child->RightChild = Node;
        Node->LeftChild = Middle;
    } else {
        Child->LeftChild = Node;
        Node->RightChild = Middle;
    }
    if (Middle != NULL) {
        Middle->Parent = Node;
    }
}

/*
 * Restores balance at a node that is two levels heavier on Side. Returns TRUE if the subtree became one level lower.
 * Afterwards Node->Parent is the subtree's new root.
 */
static BOOLEAN RtlpRebalance(PRTL_BALANCED_LINKS Node, CHAR Side)
{
    PRTL_BALANCED_LINKS Child = RtlpChild(Node, Side);
    PRTL_BALANCED_LINKS Inner;

    if (Child->Balance != -Side) {
        BOOLEAN Lower = Child->Balance != 0;

        RtlpRotate(Node, Side);
        Node->Balance = Lower ? 0 : Side;
        Child->Balance = Lower ? 0 : -Side;
        return Lower;
    }
    Inner = RtlpChild(Child, -Side);
    RtlpRotate(Child, -Side);
    RtlpRotate(Node, Side);
    Node->Balance = Inner->Balance == Side ? -Side : 0;
    Child->Balance = Inner->Balance == -Side ? Side : 0;
    Inner->Balance = 0;
    /* Both lower nodes hang under Inner now. */
    return TRUE;
}

/* From a node up; without rotations below it, what has not changed changes nothing above it. */
static VOID RtlpUpdatePath(PRTL_BALANCED_LINKS Head, PRTL_BALANCED_LINKS Node, RTLP_AVL_UPDATE Update, BOOLEAN Whole)
{
    while (Node != Head && (Update(Node) || Whole)) {
        Node = Node->Parent;
    }
}

VOID RtlpAvlUpdate(PRTL_AVL_TABLE Table, PRTL_BALANCED_LINKS Node, RTLP_AVL_UPDATE Update)
{
    RtlpUpdatePath(&Table->BalancedRoot, Node, Update, FALSE);
}

/*
 * Where nodes on a path to the root are out of date and one of them, Node, has just been rebalanced: what left the path is brought up to
 * date; what is on it comes later.
 */
static VOID RtlpUpdateRotated(PRTL_BALANCED_LINKS Node, RTLP_AVL_UPDATE Update, PBOOLEAN Rotated)
{
    *Rotated = TRUE;
    if (Update != NULL) {
        Update(Node->Parent->LeftChild);
        Update(Node->Parent->RightChild);
    }
}

/* Node has come into the tree: rebalances above it. TRUE: the tree has become one level higher. */
static BOOLEAN RtlpGrow(PRTL_BALANCED_LINKS Head, PRTL_BALANCED_LINKS Node, RTLP_AVL_UPDATE Update, PBOOLEAN Rotated)
{
    /* Each ancestor's subtree on this side has become one level higher, until one absorbs it. */
    for (PRTL_BALANCED_LINKS Up = Node->Parent; Up != Head; Node = Up, Up = Up->Parent) {
        CHAR Side = Up->LeftChild == Node ? -1 : 1;

        if (Up->Balance == Side) {
            RtlpRebalance(Up, Side);
            RtlpUpdateRotated(Up, Update, Rotated);
            return FALSE;
        }
        Up->Balance += Side;
        if (Up->Balance == 0) {
            return FALSE;
        }
    }
    return TRUE;
}

VOID RtlpAvlInsert(PRTL_AVL_TABLE Table, PRTL_BALANCED_LINKS Node, PRTL_BALANCED_LINKS Parent,
                   TABLE_SEARCH_RESULT Where)
{
    RtlpAvlInsertAnd(Table, Node, Parent, Where, NULL);
}

VOID RtlpAvlInsertAnd(PRTL_AVL_TABLE Table, PRTL_BALANCED_LINKS Node, PRTL_BALANCED_LINKS Parent,
                      TABLE_SEARCH_RESULT Where, RTLP_AVL_UPDATE Update)
{
    PRTL_BALANCED_LINKS Head = &Table->BalancedRoot;
    BOOLEAN Rotated = FALSE;

    Node->LeftChild = NULL;
    Node->RightChild = NULL;
    Node->Balance = 0;
    Node->Parent = Where == TableEmptyTree ? Head : Parent;
    if (Where == TableInsertAsLeft) {
        Parent->LeftChild = Node;
    } else {
        Node->Parent->RightChild = Node;
    }
    Table->NumberGenericTableElements++;
    Table->OrderedPointer = NULL;

    if (RtlpGrow(Head, Node, Update, &Rotated)) {
        Table->DepthOfTree++;
    }
    if (Update != NULL) {
        Update(Node);
        RtlpUpdatePath(Head, Node->Parent, Update, Rotated);
    }
}

/* Puts Other, which is outside the tree, into the place of Node. */
static VOID RtlpTakePlace(PRTL_BALANCED_LINKS Node, PRTL_BALANCED_LINKS Other)
{
    *RtlpChildSlot(Node->Parent, Node) = Other;
    *Other = *Node;
    if (Other->LeftChild != NULL) {
        Other->LeftChild->Parent = Other;
    }
    if (Other->RightChild != NULL) {
        Other->RightChild->Parent = Other;
    }
}

/* The subtree of Up on Side has become one level lower: rebalances above it. TRUE: the whole tree has. */
static BOOLEAN RtlpShrink(PRTL_BALANCED_LINKS Head, PRTL_BALANCED_LINKS Up, CHAR Side, RTLP_AVL_UPDATE Update,
                          PBOOLEAN Rotated)
{
    while (Up != Head) {
        PRTL_BALANCED_LINKS Top = Up;

        if (Up->Balance == 0) {
            Up->Balance = -Side;
            return FALSE;
        }
        if (Up->Balance == Side) {
            Up->Balance = 0;
        } else {
            BOOLEAN Lower = RtlpRebalance(Up, -Side);

            RtlpUpdateRotated(Up, Update, Rotated);
            Top = Up->Parent;
            if (!Lower) {
                return FALSE;
            }
        }
        Up = Top->Parent;
        Side = Up->LeftChild == Top ? -1 : 1;
    }
    return TRUE;
}

VOID RtlpAvlRemove(PRTL_AVL_TABLE Table, PRTL_BALANCED_LINKS Node)
{
    RtlpAvlRemoveAnd(Table, Node, NULL);
}

VOID RtlpAvlRemoveAnd(PRTL_AVL_TABLE Table, PRTL_BALANCED_LINKS Node, RTLP_AVL_UPDATE Update)
{
    PRTL_BALANCED_LINKS Head = &Table->BalancedRoot;
    PRTL_BALANCED_LINKS Leave = Node;
    PRTL_BALANCED_LINKS Child;
    PRTL_BALANCED_LINKS Up;
    CHAR Side;
    BOOLEAN Rotated = FALSE;

    /* With two children the successor, which has no left child, leaves its place and takes this node's. */
    if (Node->LeftChild != NULL && Node->RightChild != NULL) {
        for (Leave = Node->RightChild; Leave->LeftChild != NULL; Leave = Leave->LeftChild) {
        }
    }
    Child = Leave->LeftChild != NULL ? Leave->LeftChild : Leave->RightChild;
    Up = Leave->Parent;
    Side = Up->LeftChild == Leave ? -1 : 1;
    *RtlpChildSlot(Up, Leave) = Child;
    if (Child != NULL) {
        Child->Parent = Up;
    }
    if (Leave != Node) {
        RtlpTakePlace(Node, Leave);
        if (Up == Node) {
            Up = Leave;
        }
    }
    Table->NumberGenericTableElements--;
    Table->OrderedPointer = NULL;

    if (RtlpShrink(Head, Up, Side, Update, &Rotated)) {
        Table->DepthOfTree--;
    }
    if (Update != NULL) {
        RtlpUpdatePath(Head, Up, Update, Rotated || Leave != Node);
    }
}

/**
 * RtlInitializeGenericTableAvl - an empty table.
 *
 * @CompareRoutine   order of two elements (first argument: the one searched for)
 * @AllocateRoutine  memory for a node of the given size, or NULL
 * @FreeRoutine      frees it
 * @TableContext     the caller's, in Table->TableContext
 */
VOID NTAPI RtlInitializeGenericTableAvl(PRTL_AVL_TABLE Table, PRTL_AVL_COMPARE_ROUTINE CompareRoutine,
                                        PRTL_AVL_ALLOCATE_ROUTINE AllocateRoutine, PRTL_AVL_FREE_ROUTINE FreeRoutine,
                                        PVOID TableContext)
{
    RtlZeroMemory(Table, sizeof(*Table));
    Table->BalancedRoot.Parent = &Table->BalancedRoot;
    Table->CompareRoutine = CompareRoutine;
    Table->AllocateRoutine = AllocateRoutine;
    Table->FreeRoutine = FreeRoutine;
    Table->TableContext = TableContext;
}

/**
 * RtlLookupElementGenericTableFullAvl - finds an element, or where it would go.
 *
 * @NodeOrParent  gets the node, or the node that a new one would hang under
 * @SearchResult  gets TableFoundNode, TableInsertAsLeft, TableInsertAsRight or TableEmptyTree
 * returns        the element, or NULL
 */
PVOID NTAPI RtlLookupElementGenericTableFullAvl(PRTL_AVL_TABLE Table, PVOID Buffer, PVOID *NodeOrParent,
                                                TABLE_SEARCH_RESULT *SearchResult)
{
    PRTL_BALANCED_LINKS Node = Table->BalancedRoot.RightChild;

    *NodeOrParent = NULL;
    *SearchResult = TableEmptyTree;
    while (Node != NULL) {
        RTL_GENERIC_COMPARE_RESULTS Order = Table->CompareRoutine(Table, Buffer, RTLP_AVL_ELEMENT(Node));

        *NodeOrParent = Node;
        if (Order == GenericEqual) {
            *SearchResult = TableFoundNode;
            return RTLP_AVL_ELEMENT(Node);
        }
        *SearchResult = Order == GenericLessThan ? TableInsertAsLeft : TableInsertAsRight;
        Node = Order == GenericLessThan ? Node->LeftChild : Node->RightChild;
    }
    return NULL;
}

/** RtlLookupElementGenericTableAvl - the element equal to Buffer, or NULL. */
PVOID NTAPI RtlLookupElementGenericTableAvl(PRTL_AVL_TABLE Table, PVOID Buffer)
{
    TABLE_SEARCH_RESULT Result;
    PVOID Node;

    return RtlLookupElementGenericTableFullAvl(Table, Buffer, &Node, &Result);
}

/**
 * RtlInsertElementGenericTableFullAvl - inserts at a place found by RtlLookupElementGenericTableFullAvl.
 *
 * @NewElement  optional: gets TRUE if a node was added, FALSE if an equal element was there or memory was short
 * returns      the element in the table (the one that was there already, if so); NULL when memory is short
 */
PVOID NTAPI RtlInsertElementGenericTableFullAvl(PRTL_AVL_TABLE Table, PVOID Buffer, CLONG BufferSize,
                                                PBOOLEAN NewElement, PVOID NodeOrParent,
                                                TABLE_SEARCH_RESULT SearchResult)
{
    PRTL_BALANCED_LINKS Node = NodeOrParent;
    BOOLEAN Added = FALSE;

    if (SearchResult != TableFoundNode) {
        Node = NULL;
        if (BufferSize <= MAXLONG - sizeof(RTL_BALANCED_LINKS)) {
            Node = Table->AllocateRoutine(Table, (CLONG)(sizeof(RTL_BALANCED_LINKS) + BufferSize));
        }
        if (Node != NULL) {
            Added = TRUE;
            RtlCopyMemory(RTLP_AVL_ELEMENT(Node), Buffer, BufferSize);
            RtlpAvlInsert(Table, Node, NodeOrParent, SearchResult);
        }
    }
    if (NewElement != NULL) {
        *NewElement = Added;
    }
    return Node != NULL ? RTLP_AVL_ELEMENT(Node) : NULL;
}

/** RtlInsertElementGenericTableAvl - finds or inserts an element; results as of RtlInsertElementGenericTableFullAvl. */
PVOID NTAPI RtlInsertElementGenericTableAvl(PRTL_AVL_TABLE Table, PVOID Buffer, CLONG BufferSize, PBOOLEAN NewElement)
{
    TABLE_SEARCH_RESULT Result;
    PVOID Node;

    RtlLookupElementGenericTableFullAvl(Table, Buffer, &Node, &Result);
    return RtlInsertElementGenericTableFullAvl(Table, Buffer, BufferSize, NewElement, Node, Result);
}

/**
 * RtlDeleteElementGenericTableAvl - removes the element equal to Buffer and frees its node; FALSE if there is none.
 *
 * An enumeration by RtlEnumerateGenericTableAvl that stands on the element goes on with the next one.
 */
BOOLEAN NTAPI RtlDeleteElementGenericTableAvl(PRTL_AVL_TABLE Table, PVOID Buffer)
{
    TABLE_SEARCH_RESULT Result;
    PVOID Node;

    if (RtlLookupElementGenericTableFullAvl(Table, Buffer, &Node, &Result) == NULL) {
        return FALSE;
    }
    if (Table->RestartKey == Node) {
        Table->RestartKey = RtlpAvlPrevious(Table, Node);
    }
    Table->DeleteCount++;
    RtlpAvlRemove(Table, Node);
    Table->FreeRoutine(Table, Node);
    return TRUE;
}
