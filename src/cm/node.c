/*
 * node.c - keys and values in memory.
 *
 * Subkeys stand in an array sorted by upper-cased name (found by bisection, enumerated in that order, as in NT); values in an
 * array in the order of their making. Arrays grow by doubling and shrink as they grew. What a change needs is allocated before anything is changed, so a
 * shortage leaves a key as it was.
 *
 * Lock: CmpRegistryLock, held by the callers as cmp.h says. IRQL: PASSIVE_LEVEL (APC at most).
 */
#include "cmp.h"

#define CMP_FIRST_ROOM 4U /* entries of a new array: most keys hold fewer */

static NTSTATUS CmpCopyName(PUNICODE_STRING Copy, PCUNICODE_STRING Source)
{
    RtlZeroMemory(Copy, sizeof(*Copy));
    if (Source == NULL || Source->Length == 0) {
        return STATUS_SUCCESS;
    }
    Copy->Buffer = ExAllocatePoolWithTag(PagedPool, Source->Length, CMP_TAG);
    if (Copy->Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlCopyMemory(Copy->Buffer, Source->Buffer, Source->Length);
    Copy->Length = Copy->MaximumLength = Source->Length;
    return STATUS_SUCCESS;
}

static VOID CmpFree(PVOID Block)
{
    if (Block != NULL) {
        ExFreePoolWithTag(Block, CMP_TAG);
    }
}

/* Makes room for one more pointer in an array. */
static NTSTATUS CmpGrow(PVOID **Array, ULONG Count, PULONG Room)
{
    ULONG NewRoom = (*Room == 0) ? CMP_FIRST_ROOM : *Room * 2;
    PVOID *New;

    if (Count < *Room) {
        return STATUS_SUCCESS;
    }
    New = ExAllocatePoolWithTag(PagedPool, NewRoom * sizeof(PVOID), CMP_TAG);
    if (New == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlCopyMemory(New, *Array, Count * sizeof(PVOID));
    CmpFree(*Array);
    *Array = New;
    *Room = NewRoom;
    return STATUS_SUCCESS;
}

/* Gives back room that an array does not need, as if it had just grown to Count; it stays as it is if there is no memory. */
static VOID CmpShrink(PVOID **Array, ULONG Count, PULONG Room)
{
    ULONG NewRoom = (Count == 0) ? 0 : CMP_FIRST_ROOM;
    PVOID *New = NULL;

    while (NewRoom < Count) {
        NewRoom *= 2;
    }
    if (NewRoom == *Room) {
        return;
    }
    if (NewRoom != 0) {
        New = ExAllocatePoolWithTag(PagedPool, NewRoom * sizeof(PVOID), CMP_TAG);
        if (New == NULL) {
            return;
        }
        RtlCopyMemory(New, *Array, Count * sizeof(PVOID));
    }
    CmpFree(*Array);
    *Array = New;
    *Room = NewRoom;
}

/* Marks a change of the key's own contents. */
VOID CmpTouchNode(PCM_NODE Node)
{
    KeQuerySystemTime(&Node->LastWriteTime);
}

/* A node outside the tree with one reference. */
NTSTATUS CmpAllocateNode(PCUNICODE_STRING Name, PCUNICODE_STRING Class, ULONG Flags, PCM_NODE *Node)
{
    PCM_NODE New = ExAllocatePoolWithTag(PagedPool, sizeof(*New), CMP_TAG);
    NTSTATUS Status;

    *Node = NULL;
    if (New == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(New, sizeof(*New));
    New->References = 1;
    New->Flags = Flags;
    InitializeListHead(&New->Watches);
    Status = CmpCopyName(&New->Name, Name);
    if (NT_SUCCESS(Status)) {
        Status = CmpCopyName(&New->Class, Class);
    }
    if (!NT_SUCCESS(Status)) {
        CmpDereferenceNode(New);
        return Status;
    }
    CmpTouchNode(New);
    *Node = New;
    return STATUS_SUCCESS;
}

static VOID CmpFreeValue(PCM_VALUE Value)
{
    CmpFree(Value->Data);
    CmpFree(Value);
}

/* Gives up a reference; the last one frees the node, which nobody can find any more. IRQL <= APC_LEVEL. */
VOID CmpDereferenceNode(PCM_NODE Node)
{
    if (InterlockedDecrement64(&Node->References) != 0) {
        return;
    }
    ASSERT(Node->SubKeyCount == 0 && IsListEmpty(&Node->Watches));
    for (ULONG Index = 0; Index < Node->ValueCount; Index++) {
        CmpFreeValue(Node->Values[Index]);
    }
    CmpFree(Node->Values);
    CmpFree(Node->SubKeys);
    CmpFree(Node->Name.Buffer);
    CmpFree(Node->Class.Buffer);
    ObDropSecurity(Node->Security);
    CmpFree(Node);
}

/* TRUE: *Index is the subkey of that name; FALSE: where it would have to be. */
static BOOLEAN CmpSearch(PCM_NODE Parent, PCUNICODE_STRING Name, PULONG Index)
{
    ULONG Low = 0, High = Parent->SubKeyCount;

    while (Low < High) {
        ULONG Middle = Low + (High - Low) / 2;
        LONG Order = RtlCompareUnicodeString(Name, &Parent->SubKeys[Middle]->Name, TRUE);

        if (Order == 0) {
            *Index = Middle;
            return TRUE;
        }
        if (Order < 0) {
            High = Middle;
        } else {
            Low = Middle + 1;
        }
    }
    *Index = Low;
    return FALSE;
}

/* The subkey of that name, not referenced; NULL: none. */
PCM_NODE CmpFindSubKey(PCM_NODE Parent, PCUNICODE_STRING Name)
{
    ULONG Index;

    return CmpSearch(Parent, Name, &Index) ? Parent->SubKeys[Index] : NULL;
}

static VOID CmpPlace(PCM_NODE Parent, PCM_NODE Child, ULONG Index)
{
    RtlMoveMemory(&Parent->SubKeys[Index + 1], &Parent->SubKeys[Index],
                  (Parent->SubKeyCount - Index) * sizeof(PCM_NODE));
    Parent->SubKeys[Index] = Child;
    Parent->SubKeyCount++;
}

static VOID CmpTake(PCM_NODE Parent, PCM_NODE Child)
{
    ULONG Index;
    BOOLEAN Found = CmpSearch(Parent, &Child->Name, &Index);

    ASSERT(Found && Parent->SubKeys[Index] == Child);
    UNREFERENCED_PARAMETER(Found);
    Parent->SubKeyCount--;
    RtlMoveMemory(&Parent->SubKeys[Index], &Parent->SubKeys[Index + 1],
                  (Parent->SubKeyCount - Index) * sizeof(PCM_NODE));
}

/* Enters a new node, taking over the caller's reference on success. STATUS_OBJECT_NAME_COLLISION; _INSUFFICIENT_RESOURCES. */
NTSTATUS CmpInsertSubKey(PCM_NODE Parent, PCM_NODE Child)
{
    NTSTATUS Status = CmpGrow((PVOID **)&Parent->SubKeys, Parent->SubKeyCount, &Parent->SubKeyRoom);
    ULONG Index;

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (CmpSearch(Parent, &Child->Name, &Index)) {
        return STATUS_OBJECT_NAME_COLLISION;
    }
    CmpPlace(Parent, Child, Index);
    Child->Parent = Parent;
    Child->Depth = Parent->Depth + 1;
    CmpTouchNode(Parent);
    return STATUS_SUCCESS;
}

/* Takes a node without subkeys out of the tree and marks it deleted. The tree's reference is given up. */
VOID CmpRemoveSubKey(PCM_NODE Child)
{
    PCM_NODE Parent = Child->Parent;

    ASSERT(Child->SubKeyCount == 0);
    CmpTake(Parent, Child);
    CmpShrink((PVOID **)&Parent->SubKeys, Parent->SubKeyCount, &Parent->SubKeyRoom);
    CmpTouchNode(Parent);
    Child->Parent = NULL;
    Child->Flags |= CMP_NODE_DELETED;
    CmpDereferenceNode(Child);
}

/* Gives a node another name. STATUS_CANNOT_DELETE: the name is taken; STATUS_INSUFFICIENT_RESOURCES. */
NTSTATUS CmpRenameNode(PCM_NODE Node, PCUNICODE_STRING NewName)
{
    PCM_NODE Parent = Node->Parent, Taken = CmpFindSubKey(Parent, NewName);
    UNICODE_STRING Copy;
    ULONG Index;
    NTSTATUS Status;

    if (Taken != NULL && Taken != Node) {
        return STATUS_CANNOT_DELETE;
    }
    Status = CmpCopyName(&Copy, NewName);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    CmpTake(Parent, Node);
    CmpFree(Node->Name.Buffer);
    Node->Name = Copy;
    CmpSearch(Parent, &Copy, &Index);
    CmpPlace(Parent, Node, Index);
    CmpTouchNode(Node);
    CmpTouchNode(Parent);
    return STATUS_SUCCESS;
}

/* The value of that name (empty: the default value); NULL: none. */
PCM_VALUE CmpFindValue(PCM_NODE Node, PCUNICODE_STRING Name, PULONG Index)
{
    for (*Index = 0; *Index < Node->ValueCount; (*Index)++) {
        if (RtlEqualUnicodeString(&Node->Values[*Index]->Name, Name, TRUE)) {
            return Node->Values[*Index];
        }
    }
    return NULL;
}

static NTSTATUS CmpAddValue(PCM_NODE Node, PCUNICODE_STRING Name, PCM_VALUE *Value)
{
    NTSTATUS Status = CmpGrow((PVOID **)&Node->Values, Node->ValueCount, &Node->ValueRoom);
    PCM_VALUE New;

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    New = ExAllocatePoolWithTag(PagedPool, sizeof(*New) + Name->Length, CMP_TAG);
    if (New == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(New, sizeof(*New));
    New->Name.Buffer = (PWCHAR)(New + 1);
    New->Name.Length = New->Name.MaximumLength = Name->Length;
    RtlCopyMemory(New->Name.Buffer, Name->Buffer, Name->Length);
    Node->Values[Node->ValueCount++] = New;
    *Value = New;
    return STATUS_SUCCESS;
}

/* Sets or makes a value. STATUS_INSUFFICIENT_RESOURCES: the key is as it was. */
NTSTATUS CmpSetValue(PCM_NODE Node, PCUNICODE_STRING Name, ULONG Type, const VOID *Data, ULONG Bytes)
{
    NTSTATUS Status = STATUS_SUCCESS;
    PVOID Copy = NULL;
    PCM_VALUE Value;
    ULONG Index;

    if (Bytes != 0) {
        Copy = ExAllocatePoolWithTag(PagedPool, Bytes, CMP_TAG);
        if (Copy == NULL) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        RtlCopyMemory(Copy, Data, Bytes);
    }
    Value = CmpFindValue(Node, Name, &Index);
    if (Value == NULL) {
        Status = CmpAddValue(Node, Name, &Value);
    }
    if (!NT_SUCCESS(Status)) {
        CmpFree(Copy);
        return Status;
    }
    CmpFree(Value->Data);
    Value->Data = Copy;
    Value->Bytes = Bytes;
    Value->Type = Type;
    CmpTouchNode(Node);
    return STATUS_SUCCESS;
}

/* Takes a value out; the order of the others stays. */
VOID CmpRemoveValue(PCM_NODE Node, ULONG Index)
{
    CmpFreeValue(Node->Values[Index]);
    Node->ValueCount--;
    RtlMoveMemory(&Node->Values[Index], &Node->Values[Index + 1], (Node->ValueCount - Index) * sizeof(PCM_VALUE));
    CmpShrink((PVOID **)&Node->Values, Node->ValueCount, &Node->ValueRoom);
    CmpTouchNode(Node);
}
