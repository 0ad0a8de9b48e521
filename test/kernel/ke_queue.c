/*
 * ke_queue.c - suite ke.queue: order, concurrency limit, time-outs, rundown, and a race of producers and consumers.
 *
 * Threads at a higher priority than the console have begun to wait when the call that started them returns only on one processor;
 * elsewhere the cases wait until the queue says so.
 */
#include "ketest.h"

static KQUEUE Queue;
static LIST_ENTRY Items[8];
static KEVENT Go, Done;
static volatile LONG Count, Working;
static volatile PVOID Got;

static PLIST_ENTRY Poll(VOID)
{
    LARGE_INTEGER Now = {.QuadPart = 0};
    return KeRemoveQueue(&Queue, KernelMode, &Now);
}

static VOID Order(PKTAP_CONTEXT Ktap)
{
    PLIST_ENTRY Array[4];
    LARGE_INTEGER Now = {.QuadPart = 0};

    KeInitializeQueue(&Queue, 1);
    KTAP_EQUAL(KeReadStateQueue(&Queue), 0);
    KTAP_CHECK(Poll() == (PLIST_ENTRY)STATUS_TIMEOUT);
    KTAP_EQUAL(KeInsertQueue(&Queue, &Items[0]), 0);
    KTAP_EQUAL(KeInsertQueue(&Queue, &Items[1]), 1);
    KTAP_EQUAL(KeInsertHeadQueue(&Queue, &Items[2]), 2);
    KTAP_EQUAL(KeReadStateQueue(&Queue), 3);
    KTAP_CHECK(Poll() == &Items[2]);
    KTAP_EQUAL(KeRemoveQueueEx(&Queue, KernelMode, FALSE, &Now, Array, 4), 2);
    KTAP_CHECK(Array[0] == &Items[0] && Array[1] == &Items[1]);
    KTAP_EQUAL(KeRemoveQueueEx(&Queue, KernelMode, FALSE, &Now, Array, 4), 1);
    KTAP_CHECK(Array[0] == (PLIST_ENTRY)STATUS_TIMEOUT);
    KTAP_CHECK(KeRundownQueue(&Queue) == NULL);
}

static VOID NTAPI TakeOne(PVOID Context)
{
    Got = KeRemoveQueue(&Queue, KernelMode, NULL);
    KeSetEvent(&Done, 0, FALSE);
}

/* Entries that were never taken come back in order; who waits is told. */
static VOID Rundown(PKTAP_CONTEXT Ktap)
{
    KeInitializeQueue(&Queue, 1);
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    KTAP_CHECK(TestThread(TakeOne, NULL, 16));
    while (IsListEmpty(&Queue.Header.WaitListHead)) {
        TestSleep(TEST_SECOND / 100);
    }
    KTAP_CHECK(KeRundownQueue(&Queue) == NULL);
    KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
    KTAP_CHECK(Got == (PVOID)STATUS_ABANDONED);
    KeInsertQueue(&Queue, &Items[0]);
    KeInsertQueue(&Queue, &Items[1]);
    PLIST_ENTRY First = KeRundownQueue(&Queue);
    KTAP_CHECK(First == &Items[0] && First->Flink == &Items[1] && First->Flink->Flink == First);
    KTAP_EQUAL(KeReadStateQueue(&Queue), 0);
}

static VOID NTAPI Server(PVOID Context)
{
    if ((ULONG_PTR)KeRemoveQueue(&Queue, KernelMode, NULL) != STATUS_ABANDONED) {
        if (InterlockedIncrement(&Count) == 3) {
            KeSetEvent(&Done, 0, FALSE);
        }
        KeWaitForSingleObject(&Go, Executive, KernelMode, FALSE, NULL);
    }
    KeRemoveQueue(&Queue, KernelMode, NULL);
    if (InterlockedDecrement(&Working) == 0) {
        KeSetEvent(&Done, 0, FALSE);
    }
}

/* A limit of one: a server that blocks lets the next one in, so three entries are taken while none is finished. */
static VOID Blocking(PKTAP_CONTEXT Ktap)
{
    KeInitializeQueue(&Queue, 1);
    KeInitializeEvent(&Go, NotificationEvent, FALSE);
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    Count = 0;
    Working = 3;
    for (ULONG i = 0; i < 3; i++) {
        KTAP_CHECK(TestThread(Server, NULL, 10));
        KeInsertQueue(&Queue, &Items[i]);
    }
    KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
    KTAP_EQUAL(Count, 3);
    KeSetEvent(&Go, 0, FALSE);
    while (Queue.CurrentCount != 0) {
        TestSleep(TEST_SECOND / 100);
    }
    KTAP_CHECK(KeRundownQueue(&Queue) == NULL);
    KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
}

/* ---- Race: each entry is taken once, and never more threads than the limit work ---- */

#define RACE_ENTRIES 64

typedef struct _RACE_ENTRY {
    LIST_ENTRY Link;
    volatile LONG Owned;
} RACE_ENTRY;

static RACE_ENTRY Entries[RACE_ENTRIES];
static LIST_ENTRY Ends[TEST_PARALLEL_MAX]; /* one for each thread to go home with */
static volatile LONG Doubles, Overruns;
static volatile LONG64 Left;

static VOID Consume(ULONG Number)
{
    for (;;) {
        PLIST_ENTRY Link = KeRemoveQueue(&Queue, KernelMode, NULL);
        if (Link >= &Ends[0] && Link < &Ends[TEST_PARALLEL_MAX]) {
            return;
        }
        RACE_ENTRY *Entry = CONTAINING_RECORD(Link, RACE_ENTRY, Link);
        Doubles += InterlockedExchange(&Entry->Owned, 1) != 0;
        /* Whoever comes back from a wait of its own may be one too many, but these threads wait for entries only. */
        Overruns += InterlockedIncrement(&Working) > (LONG)Queue.MaximumCount;
        LONG64 Rest = InterlockedDecrement64(&Left);
        InterlockedDecrement(&Working);
        InterlockedExchange(&Entry->Owned, 0);
        if (Rest >= RACE_ENTRIES) {
            KeInsertQueue(&Queue, Link);
        } else if (Rest == 0) {
            for (ULONG i = 1; i < TestRacers(); i++) {
                KeInsertQueue(&Queue, &Ends[i]);
            }
            return;
        }
    }
}

static VOID Race(PKTAP_CONTEXT Ktap)
{
    KeInitializeQueue(&Queue, 2);
    memset(Entries, 0, sizeof(Entries));
    Doubles = Overruns = Working = 0;
    Left = (LONG64)KtapIterations(100000) + RACE_ENTRIES;
    for (ULONG i = 0; i < RACE_ENTRIES; i++) {
        KeInsertQueue(&Queue, &Entries[i].Link);
    }
    KTAP_CHECK(TestParallel(TestRacers(), Consume));
    KTAP_EQUAL(Doubles, 0);
    KTAP_EQUAL(Overruns, 0);
    KTAP_EQUAL(Left, 0);
    KTAP_EQUAL(Queue.CurrentCount, 0);
    KTAP_CHECK(IsListEmpty(&Queue.ThreadListHead));
}

static const KTAP_CASE_ENTRY Cases[] = {{"order", Order}, {"rundown", Rundown}, {"blocking", Blocking}, {"race", Race}};
KTAP_SUITE(KeQueueSuite, "ke.queue", Cases);
