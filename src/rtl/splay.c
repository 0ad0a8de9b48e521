/*
 * splay.c - splay trees: binary search trees that bring what was touched to the root.
 *
 * Links are embedded in the caller's structures; the root's Parent is the root itself. Splaying a node rotates it up two steps at a
 * time, so that a sequence of operations costs logarithmic time on average whatever the order of keys. The caller keeps the
 * address of the root: every routine that may change it returns it or takes its address.
 *
 * No locks, no memory: the tree belongs to its caller. IRQL: any at which the links are resident. Source: D. Sleator and R. Tarjan,
 * "Self-adjusting binary search trees", JACM 32 (1985); documentation of RtlSplay and its kin.
 */
#include <ntos/rtl.h>

static BOOLEAN RtlpIsRoot(PRTL_SPLAY_LINKS Node)
{
    return Node->Parent == Node;
}

static BOOLEAN RtlpIsLeft(PRTL_SPLAY_LINKS Node)
{
    return Node->Parent->LeftChild == Node;
}

/* Puts New where Old hangs: below Old's parent, or at the root. New may be NULL unless Old is the root. */
static VOID RtlpReplace(PRTL_SPLAY_LINKS Old, PRTL_SPLAY_LINKS New)
{
    if (RtlpIsRoot(Old)) {
        New->Parent = New;
        return;
    }
    if (RtlpIsLeft(Old)) {
        Old->Parent->LeftChild = New;
    } else {
        Old->Parent->RightChild = New;
    }
    if (New != NULL) {
        New->Parent = Old->Parent;
    }
}

/* Rotates a node above its parent. */
static VOID RtlpRotateUp(PRTL_SPLAY_LINKS Node)
{
    PRTL_SPLAY_LINKS Parent = Node->Parent, Middle;
    BOOLEAN Left = RtlpIsLeft(Node);

    RtlpReplace(Parent, Node);
    if (Left) {
        Middle = Node->RightChild;
        Node->RightChild = Parent;
        Parent->LeftChild = Middle;
    } else {
        Middle = Node->LeftChild;
        Node->LeftChild = Parent;
        Parent->RightChild = Middle;
    }
    Parent->Parent = Node;
    if (Middle != NULL) {
        Middle->Parent = Parent;
    }
}

/* Brings a node to the root; returns it. */
PRTL_SPLAY_LINKS NTAPI RtlSplay(PRTL_SPLAY_LINKS Links)
{
    while (!RtlpIsRoot(Links)) {
        PRTL_SPLAY_LINKS Parent = Links->Parent;

        if (!RtlpIsRoot(Parent)) {
            RtlpRotateUp((RtlpIsLeft(Links) == RtlpIsLeft(Parent)) ? Parent : Links);
        }
        RtlpRotateUp(Links);
    }
    return Links;
}

/* The next larger node below this one, NULL: none. */
PRTL_SPLAY_LINKS NTAPI RtlSubtreeSuccessor(PRTL_SPLAY_LINKS Links)
{
    PRTL_SPLAY_LINKS Next = Links->RightChild;

    while (Next != NULL && Next->LeftChild != NULL) {
        Next = Next->LeftChild;
    }
    return Next;
}

PRTL_SPLAY_LINKS NTAPI RtlSubtreePredecessor(PRTL_SPLAY_LINKS Links)
{
    PRTL_SPLAY_LINKS Next = Links->LeftChild;

    while (Next != NULL && Next->RightChild != NULL) {
        Next = Next->RightChild;
    }
    return Next;
}

/* The next larger node of the whole tree, NULL: none. */
PRTL_SPLAY_LINKS NTAPI RtlRealSuccessor(PRTL_SPLAY_LINKS Links)
{
    PRTL_SPLAY_LINKS Next = RtlSubtreeSuccessor(Links);

    if (Next != NULL) {
        return Next;
    }
    while (!RtlpIsRoot(Links) && !RtlpIsLeft(Links)) {
        Links = Links->Parent;
    }
    return RtlpIsRoot(Links) ? NULL : Links->Parent;
}

PRTL_SPLAY_LINKS NTAPI RtlRealPredecessor(PRTL_SPLAY_LINKS Links)
{
    PRTL_SPLAY_LINKS Next = RtlSubtreePredecessor(Links);

    if (Next != NULL) {
        return Next;
    }
    while (!RtlpIsRoot(Links) && RtlpIsLeft(Links)) {
        Links = Links->Parent;
    }
    return RtlpIsRoot(Links) ? NULL : Links->Parent;
}

/* Exchanges a node with two children and its predecessor, so that it has at most one. */
static VOID RtlpSinkNode(PRTL_SPLAY_LINKS Node)
{
    PRTL_SPLAY_LINKS Other = RtlSubtreePredecessor(Node), OthersParent = Other->Parent, OthersLeft = Other->LeftChild;

    RtlpReplace(Node, Other);
    Other->RightChild = Node->RightChild;
    Other->RightChild->Parent = Other;
    if (OthersParent == Node) {
        Other->LeftChild = Node;
        Node->Parent = Other;
    } else {
        Other->LeftChild = Node->LeftChild;
        Other->LeftChild->Parent = Other;
        OthersParent->RightChild = Node;
        Node->Parent = OthersParent;
    }
    Node->RightChild = NULL;
    Node->LeftChild = OthersLeft;
    if (OthersLeft != NULL) {
        OthersLeft->Parent = Node;
    }
}

/* Takes a node out without splaying anything. *Root is brought up to date; NULL: the tree is empty now. */
VOID NTAPI RtlDeleteNoSplay(PRTL_SPLAY_LINKS Links, PRTL_SPLAY_LINKS *Root)
{
    PRTL_SPLAY_LINKS Child;

    if (Links->LeftChild != NULL && Links->RightChild != NULL) {
        if (*Root == Links) {
            *Root = RtlSubtreePredecessor(Links);
        }
        RtlpSinkNode(Links);
    }
    Child = (Links->LeftChild != NULL) ? Links->LeftChild : Links->RightChild;
    if (RtlpIsRoot(Links)) {
        *Root = Child;
        if (Child == NULL) {
            return;
        }
    }
    RtlpReplace(Links, Child);
}

/* Takes a node out and splays its parent; returns the new root, NULL: the tree is empty. */
PRTL_SPLAY_LINKS NTAPI RtlDelete(PRTL_SPLAY_LINKS Links)
{
    PRTL_SPLAY_LINKS Root = Links, Parent;

    if (Links->LeftChild != NULL && Links->RightChild != NULL) {
        RtlpSinkNode(Links);
    }
    Parent = Links->Parent;
    if (Parent == Links) {
        RtlDeleteNoSplay(Links, &Root);
        return Root;
    }
    RtlDeleteNoSplay(Links, &Root); /* Root stays Links here: the node was not the root */
    return RtlSplay(Parent);
}
