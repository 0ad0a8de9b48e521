/*
 * mm_workingset.c - suite mm.workingset: finding the entries of pages that several processes share.
 *
 * The pages of a section are brought into one process and then into another at other indices, and are taken out one by one, in random
 * order, by giving them a protection that no valid page has. How many entries and slots were looked at is counted, so that
 * a search where the hash should answer shows; MiVerify compares hash, list and frames while both processes live.
 */
#include "ketest.h"
#include "proctest.h"
#include <ntos/inject.h>

#define WSL_PAGES 1200 /* in three pages of the list, and more than the least hash takes */

typedef struct _WSL_TEST {
    PEPROCESS Process[2];
    PVOID Base[2];
    KAPC_STATE State;
    BOOLEAN Attached;
    ULONG Order[WSL_PAGES]; /* a permutation */
} WSL_TEST;

static WSL_TEST Test;

static VOID Shuffle(PULONG Order, ULONG Count, ULONG Seed)
{
    for (ULONG Index = 0; Index < Count; Index++) {
        ULONG Other;

        Order[Index] = Index;
        Other = RtlRandomEx(&Seed) % (Index + 1);
        Order[Index] = Order[Other];
        Order[Other] = Index;
    }
}

static PMI_ADDRESS_SPACE SpaceOf(ULONG Turn)
{
    return MiSpaceOf(Test.Process[Turn]);
}

static PUCHAR PageOf(ULONG Turn, ULONG Page)
{
    return (PUCHAR)Test.Base[Turn] + (SIZE_T)Page * PAGE_SIZE;
}

static VOID Enter(ULONG Turn)
{
    KeStackAttachProcess((PVOID)Test.Process[Turn], &Test.State);
    Test.Attached = TRUE;
}

static VOID Leave(VOID)
{
    Test.Attached = FALSE;
    KeUnstackDetachProcess(&Test.State);
}

/* Private pages of the attached process, which take the first entries of its list; given back, they leave room in it. */
static NTSTATUS TouchPrivate(ULONG Pages, PVOID *Base)
{
    SIZE_T Size = (SIZE_T)Pages * PAGE_SIZE;
    NTSTATUS Status;

    *Base = NULL;
    Status = TestAllocate(Base, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    for (ULONG Page = 0; Page < Pages && NT_SUCCESS(Status); Page++) {
        Status = TestWrite((PUCHAR)*Base + (SIZE_T)Page * PAGE_SIZE, Page);
    }
    return Status;
}

/* Pages Order[First .. Last - 1] of a view of the attached process are in its working set afterwards. */
static NTSTATUS TouchShared(ULONG Turn, ULONG First, ULONG Last)
{
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG64 Value;

    for (ULONG At = First; At < Last && NT_SUCCESS(Status); At++) {
        Status = TestRead(PageOf(Turn, Test.Order[At]), &Value);
    }
    return Status;
}

static NTSTATUS Protect(ULONG Turn, ULONG Page, ULONG Protection)
{
    PVOID Address = PageOf(Turn, Page);
    SIZE_T Size = PAGE_SIZE;
    ULONG Old;

    return ZwProtectVirtualMemory(ZwCurrentProcess(), &Address, &Size, Protection, &Old);
}

/* A page leaves the working set of the attached process. */
static NTSTATUS TakeOut(ULONG Turn, ULONG Page)
{
    return Protect(Turn, Page, PAGE_NOACCESS);
}

/* Two processes with a view of one section, all of whose pages are in memory and in the first one's working set. */
static NTSTATUS MapInBoth(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    LARGE_INTEGER Bytes = {.QuadPart = (LONGLONG)WSL_PAGES * PAGE_SIZE};
    HANDLE Section;
    NTSTATUS Status;

    Shuffle(Test.Order, WSL_PAGES, 4711);
    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    Status = ZwCreateSection(&Section, SECTION_ALL_ACCESS, &Attributes, &Bytes, PAGE_READWRITE, SEC_COMMIT, NULL);
    for (ULONG Turn = 0; Turn < 2 && NT_SUCCESS(Status); Turn++) {
        SIZE_T Size = 0;

        Test.Base[Turn] = NULL;
        Enter(Turn);
        Status = ZwMapViewOfSection(Section, ZwCurrentProcess(), &Test.Base[Turn], 0, 0, NULL, &Size, ViewUnmap, 0,
                                    PAGE_READWRITE);
        for (ULONG Page = 0; Turn == 0 && Page < WSL_PAGES && NT_SUCCESS(Status); Page++) {
            Status = TestWrite(PageOf(0, Page), Page);
        }
        Leave();
    }
    ZwClose(Section);
    return Status;
}

/* Runs a body with two empty processes; a check that fails while one is attached ends it there. */
static VOID WithTwo(PKTAP_CONTEXT Ktap, VOID (*Body)(PKTAP_CONTEXT Ktap))
{
    Test.Process[0] = KTAP_WHOLE(TestCreateProcess());
    Test.Process[1] = KTAP_WHOLE(TestCreateProcess());
    __try {
        KTAP_CHECK(Test.Process[0] != NULL && Test.Process[1] != NULL);
        Body(Ktap);
    } __finally {
        if (!Ktap->Faults) {
            ExSetFault(ExFaultFrame, 0, NULL);
        }
        if (Test.Attached) {
            Leave();
        }
        for (ULONG Turn = 0; Turn < 2; Turn++) {
            if (Test.Process[Turn] != NULL) {
                TestDeleteProcess(Test.Process[Turn]); /* with what is left of list and hash */
            }
        }
    }
}

/* ---- Cases ---- */

/* Whoever had a page first is named by its frame, the other one has it in the hash; both are found at once. */
static VOID RandomBody(PKTAP_CONTEXT Ktap)
{
    PVOID Private;
    ULONG64 Probes;

    KTAP_EQUAL(KTAP_WHOLE(MapInBoth()), STATUS_SUCCESS);
    Enter(1);
    KTAP_EQUAL(KTAP_WHOLE(TouchPrivate(600, &Private)), STATUS_SUCCESS);
    KTAP_EQUAL(SpaceOf(1)->WslHashSlots, 0); /* nobody needs it */
    KTAP_EQUAL(TouchShared(1, 0, WSL_PAGES), STATUS_SUCCESS);
    Leave();
    KTAP_EQUAL(SpaceOf(0)->WslIndirect, 0);
    KTAP_EQUAL(SpaceOf(1)->WslIndirect, WSL_PAGES);
    if (!Ktap->Faults) {
        KTAP_EQUAL(SpaceOf(1)->WslHashed, WSL_PAGES);
        KTAP_EQUAL(SpaceOf(1)->WslHashSlots, 4096);
        KTAP_EQUAL(SpaceOf(1)->WslHashPages, 4);
    }
    KTAP_EQUAL(MiVerify(), 0);
    Shuffle(Test.Order, WSL_PAGES, 815);
    Probes = MiWslProbes;
    for (ULONG At = 0; At < WSL_PAGES; At += 25) {
        for (ULONG Turn = 0; Turn < 2; Turn++) {
            ULONG Which = (At / 25 + Turn) & 1;

            Enter(Which);
            for (ULONG One = At; One < At + 25; One++) {
                KTAP_EQUAL(TakeOut(Which, Test.Order[One]), STATUS_SUCCESS);
            }
            Leave();
        }
        if (At % 500 == 250) {
            KTAP_EQUAL(MiVerify(), 0);
        }
    }
    Probes = MiWslProbes - Probes;
    KTAP_CHECK(Probes != 0);
    if (!Ktap->Faults) {
        KTAP_CHECK(Probes < 8 * WSL_PAGES); /* a search would look at 700 entries for each page */
    }
    KTAP_EQUAL(SpaceOf(0)->WorkingSet, 0);
    KTAP_EQUAL(SpaceOf(1)->WorkingSet, 600);
    KTAP_EQUAL(SpaceOf(1)->WslIndirect, 0);
    KTAP_EQUAL(SpaceOf(1)->WslHashed, 0);
    Enter(1);
    KTAP_EQUAL(TestFree(Private, 0, MEM_RELEASE), STATUS_SUCCESS);
    Leave();
}

static VOID WsRandom(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, RandomBody);
}

/* When the first process goes without a word, the second still finds its pages; and who comes when nobody has one is named again. */
static VOID SuccessionBody(PKTAP_CONTEXT Ktap)
{
    PVOID Private;

    KTAP_EQUAL(KTAP_WHOLE(MapInBoth()), STATUS_SUCCESS);
    Enter(1);
    KTAP_EQUAL(KTAP_WHOLE(TouchPrivate(600, &Private)), STATUS_SUCCESS);
    KTAP_EQUAL(TouchShared(1, 0, 300), STATUS_SUCCESS);
    Leave();
    KTAP_CHECK(SpaceOf(1)->WslIndirect >= 300); /* with what was mapped around */
    TestDeleteProcess(Test.Process[0]);
    Test.Process[0] = NULL;
    KTAP_EQUAL(MiVerify(), 0);
    Enter(1);
    for (ULONG At = 0; At < 150; At++) {
        KTAP_EQUAL(TakeOut(1, Test.Order[At]), STATUS_SUCCESS);
    }
    KTAP_EQUAL(ZwUnmapViewOfSection(ZwCurrentProcess(), Test.Base[1]), STATUS_SUCCESS);
    Leave();
    KTAP_EQUAL(SpaceOf(1)->WslIndirect, 0);
    KTAP_EQUAL(SpaceOf(1)->WorkingSet, 600);
}

static VOID WsSuccession(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, SuccessionBody);
}

/* Without frames there is no hash, or a small one that not all entries go into: they are found all the same, and entered later. */
static VOID ShortageBody(PKTAP_CONTEXT Ktap)
{
    PMI_ADDRESS_SPACE Space = SpaceOf(1);
    PVOID Private;

    KTAP_EQUAL(MapInBoth(), STATUS_SUCCESS);
    Enter(1);
    KTAP_EQUAL(KTAP_WHOLE(TouchPrivate(2000, &Private)), STATUS_SUCCESS);
    KTAP_EQUAL(TestFree(Private, 0, MEM_RELEASE), STATUS_SUCCESS); /* the list stays as long as it was */
    for (ULONG Page = 0; Page < WSL_PAGES; Page += 100) {
        KTAP_EQUAL(Protect(1, Page, PAGE_READONLY), STATUS_SUCCESS); /* makes page tables, and no page valid */
    }
    ExSetFault(ExFaultFrame, 1, KeGetCurrentThread());
    KTAP_EQUAL(TouchShared(1, 0, 10), STATUS_SUCCESS);
    KTAP_EQUAL(Space->WslHashSlots, 0);
    KTAP_CHECK(Space->WslIndirect >= 10);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(TakeOut(1, Test.Order[0]), STATUS_SUCCESS);

    ExSetFault(ExFaultFrame, 0, NULL);
    KTAP_EQUAL(TouchShared(1, 1, 20), STATUS_SUCCESS);
    KTAP_CHECK(Space->WslHashSlots != 0 && Space->WslHashed == Space->WslIndirect);

    ExSetFault(ExFaultFrame, 1, KeGetCurrentThread());
    KTAP_EQUAL(TouchShared(1, 1, WSL_PAGES), STATUS_SUCCESS);
    KTAP_EQUAL(Space->WslIndirect, WSL_PAGES - 1);
    KTAP_CHECK(Space->WslHashed < Space->WslIndirect);
    KTAP_EQUAL(MiVerify(), 0);
    for (ULONG At = 1; At < 100; At++) { /* in the hash and not */
        KTAP_EQUAL(TakeOut(1, Test.Order[WSL_PAGES - At]), STATUS_SUCCESS);
    }
    KTAP_EQUAL(MiVerify(), 0);
    ExSetFault(ExFaultFrame, 0, NULL);
    KTAP_EQUAL(KTAP_WHOLE(TouchPrivate(1, &Private)), STATUS_SUCCESS);
    KTAP_EQUAL(Space->WslHashed, Space->WslIndirect);
    KTAP_EQUAL(Space->WslIndirect, WSL_PAGES - 100);
    KTAP_EQUAL(ZwUnmapViewOfSection(ZwCurrentProcess(), Test.Base[1]), STATUS_SUCCESS);
    KTAP_EQUAL(Space->WslHashed, 0);
    Leave();
}

static VOID WsShortage(PKTAP_CONTEXT Ktap)
{
    if (Ktap->Faults) {
        Ktap->Skipped = TRUE;
        Ktap->SkipReason = "frames fail by themselves";
        return;
    }
    WithTwo(Ktap, ShortageBody);
}

/* The pages of a copy of a process are its parent's first; the last one who has a page alone becomes the one its frame names. */
static VOID CloneBody(PKTAP_CONTEXT Ktap)
{
    const ULONG Pages = Ktap->Faults ? 100 : 700; /* each of them waits for frames then */
    PVOID Private = NULL;
    ULONG64 Value;

    Enter(0);
    KTAP_EQUAL(KTAP_WHOLE(TouchPrivate(Pages, &Private)), STATUS_SUCCESS);
    Leave();
    KTAP_EQUAL(MmCloneProcessAddressSpace(Test.Process[0], Test.Process[1]), STATUS_SUCCESS);
    Enter(1);
    for (ULONG Page = Pages; Page-- != 0;) {
        KTAP_EQUAL(TestRead((PUCHAR)Private + (SIZE_T)Page * PAGE_SIZE, &Value), STATUS_SUCCESS);
        KTAP_EQUAL(Value, Page);
    }
    Leave();
    KTAP_EQUAL(SpaceOf(0)->WslIndirect, 0);
    KTAP_EQUAL(SpaceOf(1)->WslIndirect, Pages);
    KTAP_EQUAL(MiVerify(), 0);
    for (ULONG Page = 0; Page < Pages; Page++) {
        ULONG First = Page & 1;

        Enter(First); /* gets a copy */
        KTAP_EQUAL(TestWrite((PUCHAR)Private + (SIZE_T)Page * PAGE_SIZE, 1), STATUS_SUCCESS);
        Leave();
        Enter(!First); /* takes the frame */
        KTAP_EQUAL(TestWrite((PUCHAR)Private + (SIZE_T)Page * PAGE_SIZE, 2), STATUS_SUCCESS);
        Leave();
    }
    KTAP_EQUAL(SpaceOf(0)->WslIndirect, 0);
    KTAP_EQUAL(SpaceOf(1)->WslIndirect, 0);
    KTAP_EQUAL(SpaceOf(1)->WslHashed, 0);
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID WsClone(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, CloneBody);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"random", WsRandom},
    {"succession", WsSuccession},
    {"shortage", WsShortage},
    {"clone", WsClone},
};
KTAP_SUITE(MmWorkingSetSuite, "mm.workingset", Cases);
