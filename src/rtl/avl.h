/*
 * avl.h - the tree half of the AVL tables, for their enumeration and for owners of embedded links.
 */
#pragma once

/* The caller's element behind a node's header. */
#define RTLP_AVL_ELEMENT(Node) ((PVOID)((PRTL_BALANCED_LINKS)(Node) + 1))
C_ASSERT(sizeof(RTL_BALANCED_LINKS) == 32);

/* Links Node under Parent (ignored for TableEmptyTree) and rebalances. */
VOID RtlpAvlInsert(PRTL_AVL_TABLE Table, PRTL_BALANCED_LINKS Node, PRTL_BALANCED_LINKS Parent,
                   TABLE_SEARCH_RESULT Where);
/* Unlinks a node of the table and rebalances. */
VOID RtlpAvlRemove(PRTL_AVL_TABLE Table, PRTL_BALANCED_LINKS Node);
/* Neighbours in order; NULL at the ends. A NULL Node asks for the first (Next) or last (Previous) node. */
PRTL_BALANCED_LINKS RtlpAvlNext(PRTL_AVL_TABLE Table, PRTL_BALANCED_LINKS Node);
PRTL_BALANCED_LINKS RtlpAvlPrevious(PRTL_AVL_TABLE Table, PRTL_BALANCED_LINKS Node);
