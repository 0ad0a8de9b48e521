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
/*
 * The same for nodes that know something of their subtree. Update recomputes it for one node, whose children are up to date; it is called
 * for each node whose subtree may have changed, from the bottom up. RtlpAvlUpdate does so from a node to the root, after its own
 * content has changed.
 */
typedef BOOLEAN (*RTLP_AVL_UPDATE)(PRTL_BALANCED_LINKS Node); /* TRUE: it has changed */
VOID RtlpAvlInsertAnd(PRTL_AVL_TABLE Table, PRTL_BALANCED_LINKS Node, PRTL_BALANCED_LINKS Parent,
                      TABLE_SEARCH_RESULT Where, RTLP_AVL_UPDATE Update);
VOID RtlpAvlRemoveAnd(PRTL_AVL_TABLE Table, PRTL_BALANCED_LINKS Node, RTLP_AVL_UPDATE Update);
VOID RtlpAvlUpdate(PRTL_AVL_TABLE Table, PRTL_BALANCED_LINKS Node, RTLP_AVL_UPDATE Update);
/* Neighbours in order; NULL at the ends. A NULL Node asks for the first (Next) or last (Previous) node. */
PRTL_BALANCED_LINKS RtlpAvlNext(PRTL_AVL_TABLE Table, PRTL_BALANCED_LINKS Node);
PRTL_BALANCED_LINKS RtlpAvlPrevious(PRTL_AVL_TABLE Table, PRTL_BALANCED_LINKS Node);
