/*
 * listcheck.h - in the chk flavour, doubly linked lists are looked at before they are changed.
 *
 * An entry whose neighbours do not point back at it has been overwritten, removed twice or inserted twice; going on would
 * spread the damage to where nobody finds its cause. VfListDamaged stops with KERNEL_SECURITY_CHECK_FAILURE, parameter 1 being 3
 * (LIST_ENTRY corrupted) as documented, unless a suite provokes it: then nothing is changed.
 */
#pragma once

#if NT_CHK

VOID VfListDamaged(const LIST_ENTRY *Entry); /* IRQL: any (src/vf/report.c) */

static inline BOOLEAN VfListIsSound(const LIST_ENTRY *Entry)
{
    if (Entry->Flink->Blink == Entry && Entry->Blink->Flink == Entry) {
        return TRUE;
    }
    VfListDamaged(Entry);
    return FALSE;
}

static inline VOID VfInsertHeadList(PLIST_ENTRY Head, PLIST_ENTRY Entry)
{
    if (VfListIsSound(Head)) {
        Entry->Flink = Head->Flink;
        Entry->Blink = Head;
        Head->Flink->Blink = Entry;
        Head->Flink = Entry;
    }
}

static inline VOID VfInsertTailList(PLIST_ENTRY Head, PLIST_ENTRY Entry)
{
    if (VfListIsSound(Head)) {
        Entry->Flink = Head;
        Entry->Blink = Head->Blink;
        Head->Blink->Flink = Entry;
        Head->Blink = Entry;
    }
}

static inline BOOLEAN VfRemoveEntryList(PLIST_ENTRY Entry)
{
    PLIST_ENTRY Next = Entry->Flink, Before = Entry->Blink;

    if (VfListIsSound(Entry)) {
        Before->Flink = Next;
        Next->Blink = Before;
    }
    return Next == Before;
}

static inline PLIST_ENTRY VfRemoveHeadList(PLIST_ENTRY Head)
{
    PLIST_ENTRY Entry = Head->Flink;

    VfRemoveEntryList(Entry);
    return Entry;
}

static inline PLIST_ENTRY VfRemoveTailList(PLIST_ENTRY Head)
{
    PLIST_ENTRY Entry = Head->Blink;

    VfRemoveEntryList(Entry);
    return Entry;
}

#define InsertHeadList  VfInsertHeadList
#define InsertTailList  VfInsertTailList
#define RemoveEntryList VfRemoveEntryList
#define RemoveHeadList  VfRemoveHeadList
#define RemoveTailList  VfRemoveTailList

#endif
