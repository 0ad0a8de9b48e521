/*
 * race_list.c - suite race.list: entries that go round between threads through the lists that several processors may use at once.
 *
 * Each list begins with all entries. A thread takes one out, or all, is its only owner for a moment, and puts it back: an entry
 * that two threads own, or one that is missing at the end, was lost or doubled by the list.
 */
#include "ketest.h"

#define RACE_ENTRIES 24

typedef struct DECLSPEC_ALIGN(16) _RACE_ENTRY {
    SLIST_ENTRY Link; /* of the sequenced list; 16 bytes, aligned, as it must be */
    LIST_ENTRY Both;
    SINGLE_LIST_ENTRY Single;
    volatile LONG Owners;
} RACE_ENTRY, *PRACE_ENTRY;

static RACE_ENTRY Entries[RACE_ENTRIES];
static SLIST_HEADER Sequenced;
static LIST_ENTRY Doubly;
static SINGLE_LIST_ENTRY Singly;
static KSPIN_LOCK Lock;
static volatile LONG Bad;
static volatile LONG64 Taken;
static ULONG64 Rounds;

static VOID Own(PRACE_ENTRY Entry)
{
    if (InterlockedIncrement(&Entry->Owners) != 1) {
        InterlockedIncrement(&Bad);
    }
    InterlockedIncrement64(&Taken);
    if (InterlockedDecrement(&Entry->Owners) != 0) {
        InterlockedIncrement(&Bad);
    }
}

/* Takes all entries at once; gives them back in one piece, or one by one. */
static VOID FlushSequenced(BOOLEAN Whole)
{
    PSLIST_ENTRY First = ExpInterlockedFlushSList(&Sequenced), Last = First, Next;
    ULONG Count = 0;

    for (PSLIST_ENTRY Entry = First; Entry != NULL; Entry = Next) {
        Next = Entry->Next;
        Own(CONTAINING_RECORD(Entry, RACE_ENTRY, Link));
        Last = Entry;
        Count++;
        if (!Whole) {
            ExpInterlockedPushEntrySList(&Sequenced, Entry);
        }
    }
    if (Whole && First != NULL) {
        InterlockedPushListSList(&Sequenced, First, Last, Count);
    }
}

static VOID SequencedBody(ULONG Number)
{
    ULONG64 Seed = Number + 1;

    for (ULONG64 i = 0; i < Rounds; i++) {
        ULONG Random = TestRandom(&Seed) % 32;
        PSLIST_ENTRY First, Second;

        if (Random < 2) {
            FlushSequenced(Random == 0);
            continue;
        }
        First = ExpInterlockedPopEntrySList(&Sequenced);
        Second = Random % 4 == 0 ? ExpInterlockedPopEntrySList(&Sequenced) : NULL;
        if (First != NULL) {
            Own(CONTAINING_RECORD(First, RACE_ENTRY, Link));
            ExpInterlockedPushEntrySList(&Sequenced, First);
        }
        if (Second != NULL) { /* back in the other order: the same head with another rest behind it */
            Own(CONTAINING_RECORD(Second, RACE_ENTRY, Link));
            ExpInterlockedPushEntrySList(&Sequenced, Second);
        }
    }
}

static VOID DoublyBody(ULONG Number)
{
    for (ULONG64 i = 0; i < Rounds; i++) {
        PLIST_ENTRY Link = ExInterlockedRemoveHeadList(&Doubly, &Lock);

        if (Link == NULL) {
            continue;
        }
        Own(CONTAINING_RECORD(Link, RACE_ENTRY, Both));
        if ((i + Number) % 2 == 0) {
            ExInterlockedInsertHeadList(&Doubly, Link, &Lock);
        } else {
            ExInterlockedInsertTailList(&Doubly, Link, &Lock);
        }
    }
}

static VOID SinglyBody(ULONG Number)
{
    for (ULONG64 i = 0; i < Rounds; i++) {
        PSINGLE_LIST_ENTRY Link = ExInterlockedPopEntryList(&Singly, &Lock);

        if (Link != NULL) {
            Own(CONTAINING_RECORD(Link, RACE_ENTRY, Single));
            ExInterlockedPushEntryList(&Singly, Link, &Lock);
        }
    }
}

static VOID Run(PKTAP_CONTEXT Ktap, TEST_BODY Body)
{
    ULONG Racers = TestRacers();

    Bad = 0;
    Taken = 0;
    Rounds = max(KtapIterations(100000) / Racers, 1);
    KTAP_CHECK(TestParallel(Racers, Body));
    KTAP_EQUAL(Bad, 0);
    KTAP_CHECK(Taken > 0);
}

static VOID SequencedRace(PKTAP_CONTEXT Ktap)
{
    ULONG Found = 0;

    InitializeSListHead(&Sequenced);
    for (ULONG i = 0; i < RACE_ENTRIES; i++) {
        ExpInterlockedPushEntrySList(&Sequenced, &Entries[i].Link);
    }
    Run(Ktap, SequencedBody);
    KTAP_EQUAL(ExQueryDepthSList(&Sequenced), RACE_ENTRIES);
    while (ExpInterlockedPopEntrySList(&Sequenced) != NULL) {
        Found++;
    }
    KTAP_EQUAL(Found, RACE_ENTRIES);
}

static VOID DoublyRace(PKTAP_CONTEXT Ktap)
{
    ULONG Found = 0;

    KeInitializeSpinLock(&Lock);
    InitializeListHead(&Doubly);
    for (ULONG i = 0; i < RACE_ENTRIES; i++) {
        ExInterlockedInsertTailList(&Doubly, &Entries[i].Both, &Lock);
    }
    Run(Ktap, DoublyBody);
    while (ExInterlockedRemoveHeadList(&Doubly, &Lock) != NULL) {
        Found++;
    }
    KTAP_EQUAL(Found, RACE_ENTRIES);
}

static VOID SinglyRace(PKTAP_CONTEXT Ktap)
{
    ULONG Found = 0;

    KeInitializeSpinLock(&Lock);
    Singly.Next = NULL;
    for (ULONG i = 0; i < RACE_ENTRIES; i++) {
        ExInterlockedPushEntryList(&Singly, &Entries[i].Single, &Lock);
    }
    Run(Ktap, SinglyBody);
    while (ExInterlockedPopEntryList(&Singly, &Lock) != NULL) {
        Found++;
    }
    KTAP_EQUAL(Found, RACE_ENTRIES);
}

static const KTAP_CASE_ENTRY Cases[] = {{"sequenced", SequencedRace}, {"doubly", DoublyRace}, {"singly", SinglyRace}};
KTAP_SUITE(RaceListSuite, "race.list", Cases);
