/*
 * mm_clone.c - suite mm.clone: address spaces copied on write.
 *
 * A parent without threads is filled, cloned and written on both sides; MiVerify compares shares, fork prototype PTEs, used entries and
 * charges while both live. The race has threads fault in the parent while it is cloned over and over.
 */
#include "ketest.h"
#include "proctest.h"
#include <ntos/inject.h>

#define CLONE_PAGES 300 /* more than an array of fork pages holds, less than a page table */

static PEPROCESS Parent, Child;
static KAPC_STATE Attached;

/* The body's turns in one process or the other. */
#define ENTER(Process) KeStackAttachProcess((PVOID)(Process), &Attached)
#define LEAVE()        KeUnstackDetachProcess(&Attached)

/* A word as one of the two sees it; bad addresses give a status, which no test writes. */
static ULONG64 Word(PEPROCESS Process, const VOID *Address)
{
    ULONG64 Value;
    NTSTATUS Status;

    ENTER(Process);
    Status = TestRead(Address, &Value);
    LEAVE();
    return NT_SUCCESS(Status) ? Value : (ULONG64)(ULONG)Status;
}

static NTSTATUS Put(PEPROCESS Process, PVOID Address, ULONG64 Value)
{
    NTSTATUS Status;

    ENTER(Process);
    Status = TestWrite(Address, Value);
    LEAVE();
    return Status;
}

static PVOID Take(PEPROCESS Process, SIZE_T Pages, ULONG Type, ULONG Protect)
{
    PVOID Base = NULL;
    SIZE_T Size = Pages * PAGE_SIZE;
    NTSTATUS Status;

    ENTER(Process);
    Status = KTAP_WHOLE(TestAllocate(&Base, &Size, Type, Protect));
    LEAVE();
    return NT_SUCCESS(Status) ? Base : NULL;
}

static NTSTATUS Protect(PEPROCESS Process, PVOID Address, SIZE_T Pages, ULONG New)
{
    SIZE_T Size = Pages * PAGE_SIZE;
    ULONG Old;
    NTSTATUS Status;

    ENTER(Process);
    Status = ZwProtectVirtualMemory(ZwCurrentProcess(), &Address, &Size, New, &Old);
    LEAVE();
    return Status;
}

static ULONG ProtectionOf(PEPROCESS Process, PVOID Address)
{
    MEMORY_BASIC_INFORMATION Basic = {.Protect = 0};

    ENTER(Process);
    ZwQueryVirtualMemory(ZwCurrentProcess(), Address, MemoryBasicInformation, &Basic, sizeof(Basic), NULL);
    LEAVE();
    return Basic.Protect;
}

/* Runs a body with an empty parent and an empty child. */
static VOID WithTwo(PKTAP_CONTEXT Ktap, VOID (*Body)(PKTAP_CONTEXT Ktap))
{
    ULONG64 Commit = MiCommit.Charged;

    Parent = KTAP_WHOLE(TestCreateProcess());
    Child = KTAP_WHOLE(TestCreateProcess());
    KTAP_CHECK(Parent != NULL && Child != NULL);
    Body(Ktap);
    KTAP_EQUAL(MiVerify(), 0);
    TestDeleteProcess(Child);
    KTAP_EQUAL(MiVerify(), 0);
    TestDeleteProcess(Parent);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_CHECK(IsListEmpty(&MiForks));
    for (ULONG Turn = 0; Turn < 100 && MiCommit.Charged != Commit; Turn++) {
        TestSleep(TEST_SECOND / 50); /* a section goes a little after its last view */
    }
    KTAP_EXACT(MiCommit.Charged, Commit);
}

/* Both have what was written before; neither sees what the other writes after. The last owner of a page does not copy it. */
static VOID PrivateBody(PKTAP_CONTEXT Ktap)
{
    PUCHAR Base = Take(Parent, CLONE_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    ULONG64 Copies;

    KTAP_CHECK(Base != NULL);
    for (ULONG Page = 0; Page < CLONE_PAGES; Page++) {
        KTAP_EQUAL(Put(Parent, Base + Page * PAGE_SIZE, Page + 1), STATUS_SUCCESS);
    }
    KTAP_EQUAL(MmCloneProcessAddressSpace(Parent, Child), STATUS_SUCCESS);
    ENTER(Child);
    LEAVE();
    KTAP_EQUAL(MiSpaceOf(Child)->WorkingSet, 0);
    KTAP_EQUAL(MiSpaceOf(Child)->Commit - MiSpaceOf(Child)->TablePages, CLONE_PAGES);
    KTAP_EQUAL(MiVerify(), 0);
    Copies = MmFaultCounters.CopyOnWrite;
    for (ULONG Page = 0; Page < CLONE_PAGES; Page++) {
        KTAP_EQUAL(Word(Child, Base + Page * PAGE_SIZE), Page + 1);
        KTAP_EQUAL(Put(Page % 2 == 0 ? Child : Parent, Base + Page * PAGE_SIZE, 1000 + Page), STATUS_SUCCESS);
        KTAP_EQUAL(Word(Page % 2 == 0 ? Parent : Child, Base + Page * PAGE_SIZE), Page + 1);
    }
    KTAP_EXACT(MmFaultCounters.CopyOnWrite - Copies, CLONE_PAGES);
    KTAP_EQUAL(MiVerify(), 0);
    for (ULONG Page = 0; Page < CLONE_PAGES; Page++) { /* the other one now has the page to itself */
        KTAP_EQUAL(Put(Page % 2 == 0 ? Parent : Child, Base + Page * PAGE_SIZE, 2000 + Page), STATUS_SUCCESS);
        KTAP_EQUAL(Word(Page % 2 == 0 ? Child : Parent, Base + Page * PAGE_SIZE), 1000 + Page);
    }
    KTAP_EXACT(MmFaultCounters.CopyOnWrite - Copies, CLONE_PAGES);
    KTAP_CHECK(IsListEmpty(&MiForks));
}

static VOID ClonePrivate(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, PrivateBody);
}

/* Guards, pages without access, read-only, decommitted, reserved, not cached, watched, placeholders. */
static VOID FormsBody(PKTAP_CONTEXT Ktap)
{
    PUCHAR Base = Take(Parent, 16, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    PUCHAR Reserved = Take(Parent, 16, MEM_RESERVE, PAGE_READWRITE), Part = Reserved + PAGE_SIZE;
    PUCHAR Watched = Take(Parent, 2, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    PVOID Written[2];
    ULONG_PTR Count = 2;
    ULONG Granularity;
    SIZE_T Size = PAGE_SIZE;

    KTAP_CHECK(Base != NULL && Reserved != NULL && Watched != NULL);
    for (ULONG Page = 0; Page < 8; Page++) {
        KTAP_EQUAL(Put(Parent, Base + Page * PAGE_SIZE, Page + 1), STATUS_SUCCESS);
    }
    KTAP_EQUAL(Protect(Parent, Base, 1, PAGE_READWRITE | PAGE_GUARD), STATUS_SUCCESS);
    KTAP_EQUAL(Protect(Parent, Base + PAGE_SIZE, 1, PAGE_NOACCESS), STATUS_SUCCESS);
    KTAP_EQUAL(Protect(Parent, Base + 2 * PAGE_SIZE, 1, PAGE_READONLY), STATUS_SUCCESS);
    KTAP_EQUAL(Protect(Parent, Base + 3 * PAGE_SIZE, 1, PAGE_READWRITE | PAGE_NOCACHE), STATUS_SUCCESS);
    KTAP_EQUAL(Put(Parent, Base + 3 * PAGE_SIZE, 4), STATUS_SUCCESS);
    ENTER(Parent);
    KTAP_EQUAL(TestFree(Base + 4 * PAGE_SIZE, PAGE_SIZE, MEM_DECOMMIT), STATUS_SUCCESS);
    KTAP_EQUAL(TestAllocate((PVOID *)&Part, &Size, MEM_COMMIT, PAGE_READONLY), STATUS_SUCCESS);
    LEAVE();
    KTAP_EQUAL(Put(Parent, Watched, 77), STATUS_SUCCESS);
    KTAP_EQUAL(MmCloneProcessAddressSpace(Parent, Child), STATUS_SUCCESS);
    KTAP_EQUAL(MiVerify(), 0);
    for (ULONG Turn = 0; Turn < 2; Turn++) { /* the guard of one is not the guard of the other */
        PEPROCESS Process = Turn == 0 ? Child : Parent;

        KTAP_EQUAL(Word(Process, Base), (ULONG)STATUS_GUARD_PAGE_VIOLATION);
        KTAP_EQUAL(Word(Process, Base), 1);
        KTAP_EQUAL(Word(Process, Base + PAGE_SIZE), (ULONG)STATUS_ACCESS_VIOLATION);
        KTAP_EQUAL(Protect(Process, Base + PAGE_SIZE, 1, PAGE_READWRITE), STATUS_SUCCESS);
        KTAP_EQUAL(Word(Process, Base + PAGE_SIZE), 2);
        KTAP_EQUAL(Put(Process, Base + PAGE_SIZE, 20 + Turn), STATUS_SUCCESS);
        KTAP_EQUAL(Word(Process, Base + 2 * PAGE_SIZE), 3);
        KTAP_EQUAL(Put(Process, Base + 2 * PAGE_SIZE, 0), STATUS_ACCESS_VIOLATION);
        KTAP_EQUAL(Word(Process, Base + 3 * PAGE_SIZE), 4);
        KTAP_EQUAL(ProtectionOf(Process, Base + 3 * PAGE_SIZE), PAGE_READWRITE | PAGE_NOCACHE);
        KTAP_EQUAL(Word(Process, Base + 4 * PAGE_SIZE), (ULONG)STATUS_ACCESS_VIOLATION);
        KTAP_EQUAL(ProtectionOf(Process, Base + 5 * PAGE_SIZE), PAGE_READWRITE);
        KTAP_EQUAL(Word(Process, Base + 12 * PAGE_SIZE), 0);
        KTAP_EQUAL(Word(Process, Reserved), (ULONG)STATUS_ACCESS_VIOLATION);
        KTAP_EQUAL(Word(Process, Part), 0);
        KTAP_EQUAL(Word(Process, Watched), 77);
    }
    KTAP_EQUAL(Word(Child, Base + PAGE_SIZE), 20);
    ENTER(Parent);
    KTAP_EQUAL(NtGetWriteWatch(ZwCurrentProcess(), 0, Watched, 2 * PAGE_SIZE, Written, &Count, &Granularity),
               STATUS_SUCCESS);
    LEAVE();
    KTAP_CHECK(Count == 1 && Written[0] == Watched);
    Count = 2;
    ENTER(Child);
    KTAP_EQUAL(NtGetWriteWatch(ZwCurrentProcess(), 0, Watched, 2 * PAGE_SIZE, Written, &Count, &Granularity),
               STATUS_INVALID_PARAMETER_3);
    LEAVE();
}

static VOID CloneForms(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, FormsBody);
}

/* Protections of shared pages change on one side; a change of cache type ends the sharing. */
static VOID ProtectBody(PKTAP_CONTEXT Ktap)
{
    PUCHAR Base = Take(Parent, 8, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

    KTAP_CHECK(Base != NULL);
    for (ULONG Page = 0; Page < 8; Page++) {
        KTAP_EQUAL(Put(Parent, Base + Page * PAGE_SIZE, Page + 1), STATUS_SUCCESS);
    }
    KTAP_EQUAL(MmCloneProcessAddressSpace(Parent, Child), STATUS_SUCCESS);
    KTAP_EQUAL(Word(Child, Base + PAGE_SIZE), 2); /* valid there; page 0 is not */
    KTAP_EQUAL(Protect(Child, Base, 2, PAGE_READONLY), STATUS_SUCCESS);
    KTAP_EQUAL(Put(Child, Base, 9), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(Put(Child, Base + PAGE_SIZE, 9), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(Protect(Child, Base, 2, PAGE_NOACCESS), STATUS_SUCCESS);
    KTAP_EQUAL(Word(Child, Base + PAGE_SIZE), (ULONG)STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(Protect(Child, Base, 2, PAGE_EXECUTE_READWRITE), STATUS_SUCCESS);
    KTAP_EQUAL(ProtectionOf(Child, Base + PAGE_SIZE), PAGE_EXECUTE_READWRITE);
    KTAP_EQUAL(ProtectionOf(Parent, Base + PAGE_SIZE), PAGE_READWRITE);
    KTAP_EQUAL(Put(Child, Base + PAGE_SIZE, 9), STATUS_SUCCESS);
    KTAP_EQUAL(Word(Parent, Base + PAGE_SIZE), 2);
    KTAP_EQUAL(Word(Child, Base + 2 * PAGE_SIZE), 3);
    KTAP_EQUAL(Protect(Child, Base + 2 * PAGE_SIZE, 2, PAGE_READWRITE | PAGE_NOCACHE), STATUS_SUCCESS);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(Word(Child, Base + 2 * PAGE_SIZE), 3);
    KTAP_EQUAL(Word(Child, Base + 3 * PAGE_SIZE), 4);
    KTAP_EQUAL(Put(Child, Base + 3 * PAGE_SIZE, 9), STATUS_SUCCESS);
    KTAP_EQUAL(Word(Parent, Base + 3 * PAGE_SIZE), 4);
    KTAP_EQUAL(Put(Parent, Base + 2 * PAGE_SIZE, 8), STATUS_SUCCESS);
    KTAP_EQUAL(Word(Child, Base + 2 * PAGE_SIZE), 3);
    ENTER(Child);
    KTAP_EQUAL(TestFree(Base + 4 * PAGE_SIZE, 2 * PAGE_SIZE, MEM_DECOMMIT), STATUS_SUCCESS);
    KTAP_EQUAL(TestFree(Base + 6 * PAGE_SIZE, 2 * PAGE_SIZE, MEM_RELEASE), STATUS_SUCCESS);
    LEAVE();
    KTAP_EQUAL(Word(Parent, Base + 5 * PAGE_SIZE), 6);
    KTAP_EQUAL(Word(Parent, Base + 7 * PAGE_SIZE), 8);
}

static VOID CloneProtect(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, ProtectBody);
}

/* A section stays shared, a view that is not inherited is not there, a private copy of a page is copied on. */
static VOID SectionBody(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER Bytes = {.QuadPart = 4 * PAGE_SIZE};
    PUCHAR Share = NULL, Unmap = NULL, Copy = NULL;
    SIZE_T Size = 0;
    PVOID Object;

    KTAP_EQUAL(MmCreateSection(&Object, SECTION_ALL_ACCESS, NULL, &Bytes, PAGE_READWRITE, SEC_COMMIT, NULL, NULL),
               STATUS_SUCCESS);
    KTAP_EQUAL(MmMapViewOfSection(Object, Parent, (PVOID *)&Share, 0, 0, NULL, &Size, ViewShare, 0, PAGE_READWRITE),
               STATUS_SUCCESS);
    KTAP_EQUAL(MmMapViewOfSection(Object, Parent, (PVOID *)&Unmap, 0, 0, NULL, &Size, ViewUnmap, 0, PAGE_READWRITE),
               STATUS_SUCCESS);
    KTAP_EQUAL(MmMapViewOfSection(Object, Parent, (PVOID *)&Copy, 0, 0, NULL, &Size, ViewShare, 0, PAGE_WRITECOPY),
               STATUS_SUCCESS);
    ObDereferenceObject(Object);
    KTAP_EQUAL(Put(Parent, Share, 1), STATUS_SUCCESS);
    KTAP_EQUAL(Put(Parent, Share + PAGE_SIZE, 2), STATUS_SUCCESS);
    KTAP_EQUAL(Word(Parent, Copy), 1);
    KTAP_EQUAL(Put(Parent, Copy + PAGE_SIZE, 3), STATUS_SUCCESS);
    KTAP_EQUAL(Protect(Parent, Share + 2 * PAGE_SIZE, 1, PAGE_READONLY), STATUS_SUCCESS);
    KTAP_EQUAL(Protect(Parent, Share + PAGE_SIZE, 1, PAGE_READONLY), STATUS_SUCCESS);
    KTAP_EQUAL(MmCloneProcessAddressSpace(Parent, Child), STATUS_SUCCESS);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(Word(Child, Unmap), (ULONG)STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(Put(Child, Share, 10), STATUS_SUCCESS);
    KTAP_EQUAL(Word(Parent, Share), 10);
    KTAP_EQUAL(Word(Child, Copy), 10);
    KTAP_EQUAL(Put(Child, Share + PAGE_SIZE, 0), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(Put(Child, Share + 2 * PAGE_SIZE, 0), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(Word(Child, Copy + PAGE_SIZE), 3);
    KTAP_EQUAL(ProtectionOf(Child, Copy + PAGE_SIZE), PAGE_READWRITE);
    KTAP_EQUAL(Put(Child, Copy + PAGE_SIZE, 4), STATUS_SUCCESS);
    KTAP_EQUAL(Word(Parent, Copy + PAGE_SIZE), 3);
    KTAP_EQUAL(Put(Parent, Copy, 5), STATUS_SUCCESS);
    KTAP_EQUAL(Word(Child, Copy), 10);
}

static VOID CloneSection(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, SectionBody);
}

/* A clone of a clone shares on; who goes first does not matter. A child that is not empty, and the parent itself, are refused. */
static VOID ChainBody(PKTAP_CONTEXT Ktap)
{
    PUCHAR Base = Take(Parent, 4, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    PEPROCESS Third = KTAP_WHOLE(TestCreateProcess());

    KTAP_CHECK(Base != NULL && Third != NULL);
    for (ULONG Page = 0; Page < 3; Page++) {
        KTAP_EQUAL(Put(Parent, Base + Page * PAGE_SIZE, Page + 1), STATUS_SUCCESS);
    }
    KTAP_EQUAL(MmCloneProcessAddressSpace(Parent, Parent), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(MmCloneProcessAddressSpace(Parent, Child), STATUS_SUCCESS);
    KTAP_EQUAL(MmCloneProcessAddressSpace(Parent, Child), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(Put(Child, Base, 11), STATUS_SUCCESS);
    KTAP_EQUAL(Word(Child, Base + PAGE_SIZE), 2);
    KTAP_EQUAL(MmCloneProcessAddressSpace(Child, Third), STATUS_SUCCESS);
    KTAP_EQUAL(MiVerify(), 0);
    TestDeleteProcess(Parent);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(Word(Third, Base), 11);
    KTAP_EQUAL(Word(Third, Base + PAGE_SIZE), 2);
    KTAP_EQUAL(Word(Third, Base + 2 * PAGE_SIZE), 3);
    KTAP_EQUAL(Put(Third, Base + 2 * PAGE_SIZE, 33), STATUS_SUCCESS);
    KTAP_EQUAL(Word(Child, Base + 2 * PAGE_SIZE), 3);
    Parent = Third;
}

static VOID CloneChain(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, ChainBody);
}

/* A device goes on writing to the parent's page, not to the child's. */
static VOID LockedBody(PKTAP_CONTEXT Ktap)
{
    PUCHAR Base = Take(Parent, 2, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    PMDL Mdl = KTAP_WHOLE(IoAllocateMdl(Base, 2 * PAGE_SIZE, FALSE, FALSE, NULL));
    PULONG64 Alias;

    KTAP_CHECK(Base != NULL && Mdl != NULL);
    KTAP_EQUAL(Put(Parent, Base, 1), STATUS_SUCCESS);
    ENTER(Parent);
    MmProbeAndLockPages(Mdl, UserMode, IoModifyAccess);
    LEAVE();
    Alias = KTAP_WHOLE(MmGetSystemAddressForMdlSafe(Mdl, NormalPagePriority));
    KTAP_CHECK(Alias != NULL);
    KTAP_EQUAL(MmCloneProcessAddressSpace(Parent, Child), STATUS_SUCCESS);
    *Alias = 2;
    KTAP_EQUAL(Word(Parent, Base), 2);
    KTAP_EQUAL(Word(Child, Base), 1);
    KTAP_EQUAL(Put(Parent, Base, 3), STATUS_SUCCESS);
    KTAP_EQUAL(*Alias, 3);
    MmUnlockPages(Mdl);
    IoFreeMdl(Mdl);
}

static VOID CloneLocked(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, LockedBody);
}

static VOID LargeBody(PKTAP_CONTEXT Ktap)
{
    PUCHAR Base = Take(Parent, MM_LARGE_PAGE / PAGE_SIZE, MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES, PAGE_READWRITE);

    KTAP_CHECK(Base != NULL);
    KTAP_EQUAL(Put(Parent, Base, 1), STATUS_SUCCESS);
    KTAP_EQUAL(Put(Parent, Base + MM_LARGE_PAGE - 8, 2), STATUS_SUCCESS);
    KTAP_EQUAL(MmCloneProcessAddressSpace(Parent, Child), STATUS_SUCCESS);
    KTAP_EQUAL(Put(Parent, Base, 3), STATUS_SUCCESS);
    KTAP_EQUAL(Word(Child, Base), 1);
    KTAP_EQUAL(Word(Child, Base + MM_LARGE_PAGE - 8), 2);
    KTAP_EQUAL(Put(Child, Base, 4), STATUS_SUCCESS);
    KTAP_EQUAL(Word(Parent, Base), 3);
}

static VOID CloneLarge(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, LargeBody);
}

/* Whatever request for memory fails, the child is empty again and the parent as it was. */
static VOID ShortageBody(PKTAP_CONTEXT Ktap)
{
    static const EX_FAULT_KIND Kinds[] = {ExFaultPool, ExFaultFrame};
    PUCHAR Base = Take(Parent, CLONE_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    PUCHAR Other = Take(Parent, 1, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    PUCHAR Promise = Take(Parent, 64, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    ULONG64 Limit, Pages;
    NTSTATUS Status;

    KTAP_CHECK(Base != NULL && Other != NULL && Promise != NULL);
    for (ULONG Page = 0; Page < CLONE_PAGES; Page += 3) {
        KTAP_EQUAL(Put(Parent, Base + Page * PAGE_SIZE, Page + 1), STATUS_SUCCESS);
    }
    KTAP_EQUAL(Put(Parent, Other, 5), STATUS_SUCCESS);
    for (ULONG Kind = 0; Kind < RTL_NUMBER_OF(Kinds) && !Ktap->Faults; Kind++) {
        for (ULONG Number = 1;; Number++) {
            ULONG Injected = ExFaultsInjected(Kinds[Kind]);

            ExSetFaultOnce(Kinds[Kind], Number);
            Status = MmCloneProcessAddressSpace(Parent, Child);
            ExSetFault(Kinds[Kind], 0, NULL);
            KTAP_EQUAL(MiVerify(), 0);
            if (!NT_SUCCESS(Status)) {
                KTAP_EQUAL(Status, STATUS_INSUFFICIENT_RESOURCES);
                KTAP_EQUAL(MiSpaceOf(Child)->Vads.NumberGenericTableElements, 0);
                KTAP_EQUAL(MiSpaceOf(Child)->Commit, MiSpaceOf(Child)->TablePages);
                continue;
            }
            TestDeleteProcess(Child);
            Child = TestCreateProcess();
            KTAP_CHECK(Child != NULL);
            if (ExFaultsInjected(Kinds[Kind]) == Injected) {
                KTAP_CHECK(Number > 2); /* it made requests of this kind */
                break;
            }
        }
    }
    Limit = MiCommitLimit(); /* commit for a part of the regions only */
    Pages = Limit - min(Limit, MiCommit.Charged);
    KTAP_CHECK(Pages > CLONE_PAGES + 70);
    KTAP_CHECK(Take(Parent, Pages - CLONE_PAGES - 60, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE) != NULL);
    KTAP_EQUAL(MmCloneProcessAddressSpace(Parent, Child), STATUS_COMMITMENT_LIMIT);
    KTAP_EQUAL(MiSpaceOf(Child)->Vads.NumberGenericTableElements, 0);
    for (ULONG Page = 0; Page < CLONE_PAGES; Page += 3) {
        KTAP_EQUAL(Word(Parent, Base + Page * PAGE_SIZE), Page + 1);
        KTAP_EQUAL(Put(Parent, Base + Page * PAGE_SIZE, Page + 2), STATUS_SUCCESS);
    }
}

static VOID CloneShortage(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, ShortageBody);
}

/* ---- Race: the parent's threads count in words of their own while it is cloned ---- */

#define RACE_PAGES 96

static PUCHAR RaceBase;
static ULONG64 RaceTurns;
static volatile LONG RaceOver, RaceErrors;

static PVOID RaceWord(ULONG Page, ULONG Number)
{
    return RaceBase + Page * PAGE_SIZE + Number * sizeof(ULONG64);
}

/* A clone's words do not change once it is there, whoever writes in the parent; its own stores do not reach the parent. */
static VOID CloneOnce(ULONG64 Turn)
{
    PEPROCESS Copy = TestCreateProcess();
    ULONG64 Before[RACE_PAGES];

    if (Copy == NULL || !NT_SUCCESS(MmCloneProcessAddressSpace(Parent, Copy))) {
        InterlockedIncrement(&RaceErrors);
        return;
    }
    for (ULONG Round = 0; Round < 2; Round++) {
        KAPC_STATE State;

        KeStackAttachProcess((PVOID)Copy, &State);
        for (ULONG Page = 0; Page < RACE_PAGES; Page++) {
            ULONG64 Value;

            if (!NT_SUCCESS(TestRead(RaceWord(Page, 1), &Value)) || (Round == 1 && Value != Before[Page])) {
                InterlockedIncrement(&RaceErrors);
            }
            Before[Page] = Value;
            if (Page % 4 == Turn % 4 && !NT_SUCCESS(TestWrite(RaceWord(Page, 0), ~0ULL))) {
                InterlockedIncrement(&RaceErrors);
            }
        }
        KeUnstackDetachProcess(&State);
    }
    TestDeleteProcess(Copy);
}

static VOID RaceBody(ULONG Number)
{
    ULONG64 Seed = Number + 3, Value, Last[RACE_PAGES] = {0};
    KAPC_STATE State;

    if (Number == 0) {
        for (ULONG64 Turn = 0; Turn < RaceTurns; Turn++) {
            CloneOnce(Turn);
        }
        InterlockedExchange(&RaceOver, 1);
        return;
    }
    KeStackAttachProcess((PVOID)Parent, &State);
    for (ULONG64 Turn = 1; RaceOver == 0; Turn++) {
        ULONG Page = TestRandom(&Seed) % RACE_PAGES;

        YieldProcessor();
        if (!NT_SUCCESS(TestRead(RaceWord(Page, Number), &Value)) || Value != Last[Page] ||
            !NT_SUCCESS(TestWrite(RaceWord(Page, Number), Turn)) || !NT_SUCCESS(TestRead(RaceWord(Page, 0), &Value)) ||
            Value != 0) {
            InterlockedIncrement(&RaceErrors);
        }
        Last[Page] = Turn;
    }
    KeUnstackDetachProcess(&State);
}

static VOID RaceClone(PKTAP_CONTEXT Ktap)
{
    RaceBase = Take(Parent, RACE_PAGES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    RaceTurns = max(KtapIterations(24), 1);
    RaceOver = RaceErrors = 0;
    KTAP_CHECK(RaceBase != NULL);
    KTAP_CHECK(KTAP_WHOLE(TestParallel(TestRacers(), RaceBody)));
    KTAP_EQUAL(RaceErrors, 0);
}

static VOID CloneRace(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, RaceClone);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"private", ClonePrivate}, {"forms", CloneForms},       {"protect", CloneProtect},
    {"section", CloneSection}, {"chain", CloneChain},       {"locked", CloneLocked},
    {"large", CloneLarge},     {"shortage", CloneShortage}, {"race", CloneRace},
};
KTAP_SUITE(MmCloneSuite, "mm.clone", Cases);
