/*
 * rtlsplay.c - splay trees and the generic tables over them, against a plain array of flags.
 *
 * Random insertions, deletions and lookups of small numbers; after each the tree must be in order, hold what the flags say, and have at
 * its root what was touched. The seed is fixed, so a failure repeats.
 */
#include <ntos/ktap.h>
#include <ntos/rtl.h>

#define KEYS 64U
#define TAG  'lpST'

static RTL_GENERIC_TABLE Table;
static BOOLEAN Present[KEYS];
static ULONG Allocations;

static RTL_GENERIC_COMPARE_RESULTS NTAPI Compare(PRTL_GENERIC_TABLE Any, PVOID First, PVOID Second)
{
    ULONG A = *(PULONG)First, B = *(PULONG)Second;

    return (A < B) ? GenericLessThan : (A > B) ? GenericGreaterThan : GenericEqual;
}

static PVOID NTAPI Allocate(PRTL_GENERIC_TABLE Any, CLONG Bytes)
{
    Allocations++;
    return ExAllocatePoolWithTag(PagedPool, Bytes, TAG);
}

static VOID NTAPI Free(PRTL_GENERIC_TABLE Any, PVOID Block)
{
    Allocations--;
    ExFreePoolWithTag(Block, TAG);
}

/* The table holds just the keys that are present, in order, both ways. */
static BOOLEAN Verify(VOID)
{
    PVOID Key = NULL;
    PULONG Element;
    ULONG Next = 0, Count = 0;

    while ((Element = RtlEnumerateGenericTableWithoutSplaying(&Table, &Key)) != NULL) {
        while (Next < KEYS && !Present[Next]) {
            Next++;
        }
        if (*Element != Next) {
            return FALSE;
        }
        Next++;
        Count++;
    }
    for (; Next < KEYS; Next++) {
        if (Present[Next]) {
            return FALSE;
        }
    }
    return Count == RtlNumberGenericTableElements(&Table) && RtlIsGenericTableEmpty(&Table) == (Count == 0) &&
           Count == Allocations;
}

static VOID SplayTable(PKTAP_CONTEXT Ktap)
{
    ULONG Seed = 42, Key;
    BOOLEAN New;
    PULONG Element;

    RtlZeroMemory(Present, sizeof(Present));
    Allocations = 0;
    RtlInitializeGenericTable(&Table, Compare, Allocate, Free, NULL);
    KTAP_CHECK(Verify());
    for (ULONG Round = 0; Round < 2000; Round++) {
        Key = RtlRandomEx(&Seed) % KEYS;
        switch (RtlRandomEx(&Seed) % 3) {
        case 0:
            Element = RtlInsertElementGenericTable(&Table, &Key, sizeof(Key), &New);
            KTAP_CHECK(Element != NULL && *Element == Key && New == !Present[Key]);
            KTAP_CHECK(Table.TableRoot->Parent == Table.TableRoot);
            Present[Key] = TRUE;
            break;
        case 1:
            KTAP_EQUAL(RtlDeleteElementGenericTable(&Table, &Key), Present[Key]);
            Present[Key] = FALSE;
            break;
        default:
            Element = RtlLookupElementGenericTable(&Table, &Key);
            KTAP_CHECK((Element != NULL) == Present[Key] && (Element == NULL || *Element == Key));
            break;
        }
        KTAP_CHECK(Verify());
    }
    for (Key = 0; Key < KEYS; Key++) {
        RtlDeleteElementGenericTable(&Table, &Key);
    }
    KTAP_EQUAL(Allocations, 0);
}

static VOID SplayOrder(PKTAP_CONTEXT Ktap)
{
    static ULONG Keys[] = {5, 1, 9, 3, 7};
    static const ULONG Sorted[] = {1, 3, 5, 7, 9};
    TABLE_SEARCH_RESULT Result;
    PVOID Node;
    PULONG Element;
    ULONG Key = 4, Index = 0;
    BOOLEAN New;

    Allocations = 0;
    RtlInitializeGenericTable(&Table, Compare, Allocate, Free, NULL);
    KTAP_CHECK(RtlLookupElementGenericTableFull(&Table, &Key, &Node, &Result) == NULL && Result == TableEmptyTree);
    for (; Index < RTL_NUMBER_OF(Keys); Index++) {
        RtlInsertElementGenericTable(&Table, &Keys[Index], sizeof(ULONG), NULL);
    }
    Index = 0;
    for (Element = RtlEnumerateGenericTable(&Table, TRUE); Element != NULL;
         Element = RtlEnumerateGenericTable(&Table, FALSE)) {
        KTAP_EQUAL(*Element, Sorted[Index++]);
    }
    KTAP_EQUAL(Index, 5);
    for (Index = 5; Index-- > 0;) {
        KTAP_EQUAL(*(PULONG)RtlGetElementGenericTable(&Table, Index), Keys[Index]);
    }
    KTAP_CHECK(RtlGetElementGenericTable(&Table, 5) == NULL);
    KTAP_CHECK(RtlLookupElementGenericTableFull(&Table, &Key, &Node, &Result) == NULL);
    KTAP_CHECK(Result == TableInsertAsLeft || Result == TableInsertAsRight);
    Element = RtlInsertElementGenericTableFull(&Table, &Key, sizeof(Key), &New, Node, Result);
    KTAP_CHECK(Element != NULL && *Element == 4 && New);
    KTAP_CHECK(RtlLookupElementGenericTableFull(&Table, &Key, &Node, &Result) == Element && Result == TableFoundNode);
    while ((Element = RtlEnumerateGenericTable(&Table, TRUE)) != NULL) {
        KTAP_CHECK(RtlDeleteElementGenericTable(&Table, Element));
    }
    KTAP_EQUAL(Allocations, 0);
}

static VOID SplayLinks(PKTAP_CONTEXT Ktap)
{
    static RTL_SPLAY_LINKS Nodes[7]; /* a chain to the right: the worst shape */
    PRTL_SPLAY_LINKS Root = &Nodes[0];

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Nodes); Index++) {
        RtlInitializeSplayLinks(&Nodes[Index]);
        if (Index != 0) {
            RtlInsertAsRightChild(&Nodes[Index - 1], &Nodes[Index]);
        }
    }
    KTAP_CHECK(RtlRealSuccessor(&Nodes[2]) == &Nodes[3] && RtlRealPredecessor(&Nodes[2]) == &Nodes[1]);
    KTAP_CHECK(RtlSubtreeSuccessor(&Nodes[2]) == &Nodes[3] && RtlSubtreePredecessor(&Nodes[2]) == NULL);
    Root = RtlSplay(&Nodes[6]);
    KTAP_CHECK(Root == &Nodes[6] && Root->Parent == Root && Root->RightChild == NULL);
    KTAP_CHECK(RtlRealSuccessor(&Nodes[6]) == NULL && RtlRealPredecessor(&Nodes[0]) == NULL);
    for (ULONG Index = 0; Index < 6; Index++) {
        KTAP_CHECK(RtlRealSuccessor(&Nodes[Index]) == &Nodes[Index + 1]);
        KTAP_CHECK(RtlRealPredecessor(&Nodes[Index + 1]) == &Nodes[Index]);
    }
    RtlDeleteNoSplay(&Nodes[3], &Root);
    KTAP_CHECK(RtlRealSuccessor(&Nodes[2]) == &Nodes[4] && Root->Parent == Root);
    Root = RtlDelete(&Nodes[6]);
    KTAP_CHECK(RtlRealSuccessor(&Nodes[5]) == NULL && Root->Parent == Root);
    for (ULONG Index = 0; Index < 6; Index++) {
        if (Index != 3) {
            RtlDeleteNoSplay(&Nodes[Index], &Root);
        }
    }
    KTAP_CHECK(Root == NULL);
    RtlInitializeSplayLinks(&Nodes[0]);
    KTAP_CHECK(RtlDelete(&Nodes[0]) == NULL);
}

static const KTAP_CASE_ENTRY SplayCases[] = {
    {"table", SplayTable},
    {"order", SplayOrder},
    {"links", SplayLinks},
};

KTAP_SUITE(SplaySuite, "rtl.splay", SplayCases);
