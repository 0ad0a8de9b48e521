/*
 * splaytable.c - generic tables over splay trees (the AVL ones are in avl.c).
 *
 * An element is the caller's data behind a header with two chains: the tree, ordered by the caller's compare routine, and a list in the
 * order of insertion. A lookup, an insertion and an enumeration splay what they return, so an element that was just used is
 * found at once. Memory is the caller's: its routines get the whole size, header included.
 *
 * No locks: the caller serialises, lookups too, since they change the tree. Source: documentation of RtlInitializeGenericTable and its kin.
 */
#include <ntos/rtl.h>

typedef struct _RTLP_SPLAY_ELEMENT {
    RTL_SPLAY_LINKS Links; /* first */
    LIST_ENTRY InsertOrder;
    UCHAR Data[]; /* the caller's, aligned as the pool aligns */
} RTLP_SPLAY_ELEMENT, *PRTLP_SPLAY_ELEMENT;
C_ASSERT(FIELD_OFFSET(RTLP_SPLAY_ELEMENT, Data) == sizeof(RTL_SPLAY_LINKS) + sizeof(LIST_ENTRY));

VOID NTAPI RtlInitializeGenericTable(PRTL_GENERIC_TABLE Table, PRTL_GENERIC_COMPARE_ROUTINE CompareRoutine,
                                     PRTL_GENERIC_ALLOCATE_ROUTINE AllocateRoutine,
                                     PRTL_GENERIC_FREE_ROUTINE FreeRoutine, PVOID TableContext)
{
    RtlZeroMemory(Table, sizeof(*Table));
    InitializeListHead(&Table->InsertOrderList);
    Table->OrderedPointer = &Table->InsertOrderList;
    Table->CompareRoutine = CompareRoutine;
    Table->AllocateRoutine = AllocateRoutine;
    Table->FreeRoutine = FreeRoutine;
    Table->TableContext = TableContext;
}

/* Where Buffer is, or which node it would hang below and on which side. */
static TABLE_SEARCH_RESULT RtlpFind(PRTL_GENERIC_TABLE Table, PVOID Buffer, PRTL_SPLAY_LINKS *NodeOrParent)
{
    PRTL_SPLAY_LINKS Node = Table->TableRoot;

    *NodeOrParent = NULL;
    if (Node == NULL) {
        return TableEmptyTree;
    }
    for (;;) {
        RTL_GENERIC_COMPARE_RESULTS Order = Table->CompareRoutine(Table, Buffer, ((PRTLP_SPLAY_ELEMENT)Node)->Data);
        PRTL_SPLAY_LINKS Next = (Order == GenericLessThan) ? Node->LeftChild : Node->RightChild;

        *NodeOrParent = Node;
        if (Order == GenericEqual) {
            return TableFoundNode;
        }
        if (Next == NULL) {
            return (Order == GenericLessThan) ? TableInsertAsLeft : TableInsertAsRight;
        }
        Node = Next;
    }
}

static PVOID RtlpSplayElement(PRTL_GENERIC_TABLE Table, PRTL_SPLAY_LINKS Node)
{
    Table->TableRoot = RtlSplay(Node);
    return ((PRTLP_SPLAY_ELEMENT)Node)->Data;
}

/* Finds an element; NULL: none. NodeOrParent and SearchResult are for RtlInsertElementGenericTableFull. */
PVOID NTAPI RtlLookupElementGenericTableFull(PRTL_GENERIC_TABLE Table, PVOID Buffer, PVOID *NodeOrParent,
                                             TABLE_SEARCH_RESULT *SearchResult)
{
    *SearchResult = RtlpFind(Table, Buffer, (PRTL_SPLAY_LINKS *)NodeOrParent);
    return (*SearchResult == TableFoundNode) ? RtlpSplayElement(Table, *NodeOrParent) : NULL;
}

PVOID NTAPI RtlLookupElementGenericTable(PRTL_GENERIC_TABLE Table, PVOID Buffer)
{
    TABLE_SEARCH_RESULT Result;
    PVOID Node;

    return RtlLookupElementGenericTableFull(Table, Buffer, &Node, &Result);
}

/**
 * RtlInsertElementGenericTableFull - inserts a copy of Buffer where a lookup said that it belongs.
 *
 * @BufferSize  bytes at Buffer
 * @NewElement  gets FALSE when the element was there already; may be NULL
 * returns      the element in the table; NULL: the allocation routine had no memory
 */
PVOID NTAPI RtlInsertElementGenericTableFull(PRTL_GENERIC_TABLE Table, PVOID Buffer, CLONG BufferSize,
                                             PBOOLEAN NewElement, PVOID NodeOrParent, TABLE_SEARCH_RESULT SearchResult)
{
    PRTL_SPLAY_LINKS Parent = NodeOrParent;
    PRTLP_SPLAY_ELEMENT New;

    if (NewElement != NULL) {
        *NewElement = SearchResult != TableFoundNode;
    }
    if (SearchResult == TableFoundNode) {
        return RtlpSplayElement(Table, Parent);
    }
    New = Table->AllocateRoutine(Table, (CLONG)(sizeof(*New) + BufferSize));
    if (New == NULL) {
        if (NewElement != NULL) {
            *NewElement = FALSE;
        }
        return NULL;
    }
    RtlInitializeSplayLinks(&New->Links);
    RtlCopyMemory(New->Data, Buffer, BufferSize);
    InsertTailList(&Table->InsertOrderList, &New->InsertOrder);
    Table->NumberGenericTableElements++;
    if (SearchResult == TableInsertAsLeft) {
        RtlInsertAsLeftChild(Parent, &New->Links);
    } else if (SearchResult == TableInsertAsRight) {
        RtlInsertAsRightChild(Parent, &New->Links);
    }
    return RtlpSplayElement(Table, &New->Links);
}

PVOID NTAPI RtlInsertElementGenericTable(PRTL_GENERIC_TABLE Table, PVOID Buffer, CLONG BufferSize, PBOOLEAN NewElement)
{
    PRTL_SPLAY_LINKS Node;
    TABLE_SEARCH_RESULT Result = RtlpFind(Table, Buffer, &Node);

    return RtlInsertElementGenericTableFull(Table, Buffer, BufferSize, NewElement, Node, Result);
}

/* FALSE: there is no such element. */
BOOLEAN NTAPI RtlDeleteElementGenericTable(PRTL_GENERIC_TABLE Table, PVOID Buffer)
{
    PRTL_SPLAY_LINKS Node;
    PRTLP_SPLAY_ELEMENT Element;

    if (RtlpFind(Table, Buffer, &Node) != TableFoundNode) {
        return FALSE;
    }
    Element = (PRTLP_SPLAY_ELEMENT)Node;
    Table->TableRoot = RtlDelete(Node);
    RemoveEntryList(&Element->InsertOrder);
    Table->NumberGenericTableElements--;
    Table->WhichOrderedElement = 0; /* RtlGetElementGenericTable counts anew */
    Table->OrderedPointer = &Table->InsertOrderList;
    Table->FreeRoutine(Table, Element);
    return TRUE;
}

static PRTL_SPLAY_LINKS RtlpLeftmost(PRTL_GENERIC_TABLE Table)
{
    PRTL_SPLAY_LINKS Node = Table->TableRoot;

    while (Node != NULL && Node->LeftChild != NULL) {
        Node = Node->LeftChild;
    }
    return Node;
}

/* Elements in their order: Restart TRUE for the first, then the one after that last returned, which is at the root. */
PVOID NTAPI RtlEnumerateGenericTable(PRTL_GENERIC_TABLE Table, BOOLEAN Restart)
{
    PRTL_SPLAY_LINKS Node = NULL;

    if (Restart) {
        Node = RtlpLeftmost(Table);
    } else if (Table->TableRoot != NULL) {
        Node = RtlRealSuccessor(Table->TableRoot);
    }
    return (Node != NULL) ? RtlpSplayElement(Table, Node) : NULL;
}

/* The same without changing the tree: *RestartKey is NULL for the first. */
PVOID NTAPI RtlEnumerateGenericTableWithoutSplaying(PRTL_GENERIC_TABLE Table, PVOID *RestartKey)
{
    PRTL_SPLAY_LINKS Node = (*RestartKey == NULL) ? RtlpLeftmost(Table) : RtlRealSuccessor(*RestartKey);

    if (Node == NULL) {
        return NULL;
    }
    *RestartKey = Node;
    return ((PRTLP_SPLAY_ELEMENT)Node)->Data;
}

/* The element that was inserted as number I, from 0; NULL: there are not so many. Goes on from the last one asked for. */
PVOID NTAPI RtlGetElementGenericTable(PRTL_GENERIC_TABLE Table, ULONG I)
{
    if (I >= Table->NumberGenericTableElements) {
        return NULL;
    }
    while (Table->WhichOrderedElement < I + 1) { /* 0: at the list's head */
        Table->OrderedPointer = Table->OrderedPointer->Flink;
        Table->WhichOrderedElement++;
    }
    while (Table->WhichOrderedElement > I + 1) {
        Table->OrderedPointer = Table->OrderedPointer->Blink;
        Table->WhichOrderedElement--;
    }
    return CONTAINING_RECORD(Table->OrderedPointer, RTLP_SPLAY_ELEMENT, InsertOrder)->Data;
}

ULONG NTAPI RtlNumberGenericTableElements(PRTL_GENERIC_TABLE Table)
{
    return Table->NumberGenericTableElements;
}

BOOLEAN NTAPI RtlIsGenericTableEmpty(PRTL_GENERIC_TABLE Table)
{
    return Table->TableRoot == NULL;
}
