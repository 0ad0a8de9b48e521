/*
 * rtlavl.c - suite for generic tables on AVL trees, with nodes from pool.
 *
 * Keys come in an order that makes the tree rotate at nearly every step; every node must be freed in the end, the depth must stay
 * what AVL trees promise, and an enumeration must survive the deletion of the element it stands on.
 *
 * Random operations against a model are in test/host/test_rtl.c, where the sanitizers watch.
 */
#include <ntos/ktap.h>

#define AVL_TAG 'tvaT'

static ULONG AvlNodes; /* allocated and not freed */

static RTL_GENERIC_COMPARE_RESULTS NTAPI AvlCompare(PRTL_AVL_TABLE Table, PVOID First, PVOID Second)
{
    ULONG A = *(PULONG)First;
    ULONG B = *(PULONG)Second;

    return A < B ? GenericLessThan : (A > B ? GenericGreaterThan : GenericEqual);
}

static PVOID NTAPI AvlAllocate(PRTL_AVL_TABLE Table, CLONG Bytes)
{
    AvlNodes++;
    return ExAllocatePoolWithTag(NonPagedPool, Bytes, AVL_TAG);
}

static VOID NTAPI AvlFree(PRTL_AVL_TABLE Table, PVOID Buffer)
{
    AvlNodes--;
    ExFreePoolWithTag(Buffer, AVL_TAG);
}

/* 997 is prime, so that multiples of any step visit every residue once. */
#define AVL_KEYS 997U

static VOID AvlFill(PRTL_AVL_TABLE Table)
{
    AvlNodes = 0;
    RtlInitializeGenericTableAvl(Table, AvlCompare, AvlAllocate, AvlFree, NULL);
    for (ULONG Step = 0; Step < AVL_KEYS; Step++) {
        ULONG Key = Step * 331 % AVL_KEYS;

        RtlInsertElementGenericTableAvl(Table, &Key, sizeof(Key), NULL);
    }
}

static VOID AvlInsertDelete(PKTAP_CONTEXT Ktap)
{
    RTL_AVL_TABLE Table;
    BOOLEAN New;
    ULONG Key = 5;

    AvlFill(&Table);
    KTAP_EQUAL(RtlNumberGenericTableElementsAvl(&Table), AVL_KEYS);
    KTAP_EQUAL(AvlNodes, AVL_KEYS);
    KTAP_CHECK(Table.DepthOfTree >= 10 && Table.DepthOfTree <= 14); /* 1.44 * log2(997) is 14.4 */
    KTAP_EQUAL(*(PULONG)RtlInsertElementGenericTableAvl(&Table, &Key, sizeof(Key), &New), 5);
    KTAP_EQUAL(New, FALSE);
    for (Key = 0; Key < AVL_KEYS; Key += 2) {
        KTAP_CHECK(RtlDeleteElementGenericTableAvl(&Table, &Key));
        KTAP_CHECK(!RtlDeleteElementGenericTableAvl(&Table, &Key));
    }
    for (Key = 0; Key < AVL_KEYS; Key++) {
        KTAP_EQUAL(RtlLookupElementGenericTableAvl(&Table, &Key) != NULL, Key % 2);
    }
    for (Key = 1; Key < AVL_KEYS; Key += 2) {
        KTAP_CHECK(RtlDeleteElementGenericTableAvl(&Table, &Key));
    }
    KTAP_CHECK(RtlIsGenericTableEmptyAvl(&Table));
    KTAP_EQUAL(AvlNodes, 0);
}

static VOID AvlEnumerate(PKTAP_CONTEXT Ktap)
{
    RTL_AVL_TABLE Table;
    PVOID Position = NULL;
    PULONG Element;
    ULONG Expected = 0;

    AvlFill(&Table);
    while ((Element = RtlEnumerateGenericTableWithoutSplayingAvl(&Table, &Position)) != NULL) {
        KTAP_EQUAL(*Element, Expected++);
    }
    KTAP_EQUAL(Expected, AVL_KEYS);
    for (ULONG Index = AVL_KEYS; Index-- != 0;) {
        KTAP_EQUAL(*(PULONG)RtlGetElementGenericTableAvl(&Table, Index), Index);
    }
    KTAP_CHECK(RtlGetElementGenericTableAvl(&Table, AVL_KEYS) == NULL);
    Expected = 0;
    for (Element = RtlEnumerateGenericTableAvl(&Table, TRUE); Element != NULL;
         Element = RtlEnumerateGenericTableAvl(&Table, FALSE)) {
        KTAP_EQUAL(*Element, Expected++);
        KTAP_CHECK(RtlDeleteElementGenericTableAvl(&Table, Element));
    }
    KTAP_EQUAL(Expected, AVL_KEYS);
    KTAP_EQUAL(AvlNodes, 0);
}

static const KTAP_CASE_ENTRY AvlCases[] = {
    {"insert_delete", AvlInsertDelete},
    {"enumerate", AvlEnumerate},
};

KTAP_SUITE(AvlSuite, "rtl.avl", AvlCases);
