/*
 * mm_largesect.c - suite mm.largesect: sections in large pages: shared, shown in both sizes of pages, cloned, locked, refused, short of
 * memory, left to the end of a process.
 *
 * Every case ends with the frames and the charge that it began with, once the section thread has done its part; MiVerify runs while
 * views are mapped. A case takes two runs of 512 frames at most, which a machine of 128 MB has.
 */
#include "ketest.h"
#include "proctest.h"
#include <ntos/inject.h>

#define LARGE_SECTION (SEC_COMMIT | SEC_LARGE_PAGES)
#define HALF          (MM_LARGE_PAGE / 2)

static PSECTION Section;
static PEPROCESS First, Second;

static NTSTATUS Create(ULONG64 Bytes, ULONG Protect)
{
    LARGE_INTEGER Size = {.QuadPart = (LONGLONG)Bytes};

    return MmCreateSection((PVOID *)&Section, SECTION_ALL_ACCESS, NULL, &Size, Protect, LARGE_SECTION, NULL, NULL);
}

static NTSTATUS Map(PEPROCESS Process, PUCHAR *Base, ULONG64 Offset, SIZE_T Bytes, ULONG Type, ULONG Protect)
{
    LARGE_INTEGER At = {.QuadPart = (LONGLONG)Offset};

    return MmMapViewOfSection(Section, Process, (PVOID *)Base, 0, 0, &At, &Bytes, ViewShare, Type, Protect);
}

/* A word as a process sees it; what its address gives instead, which no test writes. */
static ULONG64 Word(PEPROCESS Process, const VOID *Address)
{
    ULONG64 Value;
    KAPC_STATE State;
    NTSTATUS Status;

    KeStackAttachProcess((PVOID)Process, &State);
    Status = TestRead(Address, &Value);
    KeUnstackDetachProcess(&State);
    return NT_SUCCESS(Status) ? Value : (ULONG64)(ULONG)Status;
}

static NTSTATUS Put(PEPROCESS Process, PVOID Address, ULONG64 Value)
{
    KAPC_STATE State;
    NTSTATUS Status;

    KeStackAttachProcess((PVOID)Process, &State);
    Status = TestWrite(Address, Value);
    KeUnstackDetachProcess(&State);
    return Status;
}

static NTSTATUS Protect(PEPROCESS Process, PVOID Base, SIZE_T Bytes, ULONG New)
{
    KAPC_STATE State;
    NTSTATUS Status;
    ULONG Old;

    KeStackAttachProcess((PVOID)Process, &State);
    Status = ZwProtectVirtualMemory(ZwCurrentProcess(), &Base, &Bytes, New, &Old);
    KeUnstackDetachProcess(&State);
    return Status;
}

/* The frame behind an address, and whether a large page maps it. */
static PFN_FRAME FrameAt(PEPROCESS Process, const VOID *Address, PBOOLEAN Large)
{
    KAPC_STATE State;
    PFN_FRAME Frame;

    KeStackAttachProcess((PVOID)Process, &State);
    *Large = MiIsLargeAddress(Address);
    Frame = *Large ? MiPteFrame(*MiPdeOf(Address)) + (((ULONG64)Address >> PAGE_SHIFT) & 511)
                   : MiPteFrame(*MiPteOf(Address));
    KeUnstackDetachProcess(&State);
    return Frame;
}

static MEMORY_BASIC_INFORMATION Describe(PEPROCESS Process, PVOID Address)
{
    MEMORY_BASIC_INFORMATION Basic = {.Protect = 0};
    KAPC_STATE State;

    KeStackAttachProcess((PVOID)Process, &State);
    ZwQueryVirtualMemory(ZwCurrentProcess(), Address, MemoryBasicInformation, &Basic, sizeof(Basic), NULL);
    KeUnstackDetachProcess(&State);
    return Basic;
}

/* The charge goes when the section thread has taken the control area apart. */
static BOOLEAN ComesBack(ULONG64 Commit)
{
    LARGE_INTEGER Tick = {.QuadPart = -100000};

    for (ULONG Round = 0; Round < 500 && MiCommit.Charged > Commit; Round++) {
        KeDelayExecutionThread(KernelMode, FALSE, &Tick);
    }
    return MiCommit.Charged <= Commit;
}

/* Runs a body with two empty processes and no section; whatever it leaves goes with them. */
static VOID WithTwo(PKTAP_CONTEXT Ktap, VOID (*Body)(PKTAP_CONTEXT Ktap))
{
    ULONG64 Commit = MiCommit.Charged;

    Section = NULL;
    First = TestCreateProcess();
    Second = TestCreateProcess();
    __try {
        KTAP_CHECK(First != NULL && Second != NULL);
        Body(Ktap);
        if (MiVerify() != 0) {
            KtapFail(Ktap, __FILE__, __LINE__, "MiVerify with both processes alive");
        }
    } __finally {
        if (Second != NULL) {
            TestDeleteProcess(Second);
        }
        if (First != NULL) {
            TestDeleteProcess(First);
        }
        if (Section != NULL) {
            ObDereferenceObject(Section);
        }
    }
    KTAP_CHECK(ComesBack(Commit));
    KTAP_EQUAL(MiVerify(), 0);
}

/* Both see one run of frames, zeroed; a view in small pages sees the same; the pages are in no working set but that one's. */
static VOID SharedBody(PKTAP_CONTEXT Ktap)
{
    PUCHAR One = NULL, Other = NULL, Small = NULL;
    BOOLEAN Large;
    PFN_FRAME Frame;

    KTAP_EQUAL(KTAP_WHOLE(Create(2 * MM_LARGE_PAGE, PAGE_READWRITE)), STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(Map(First, &One, 0, 0, MEM_LARGE_PAGES, PAGE_READWRITE)), STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(Map(Second, &Other, MM_LARGE_PAGE, MM_LARGE_PAGE, MEM_LARGE_PAGES, PAGE_READONLY)),
               STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(Map(Second, &Small, MM_LARGE_PAGE, 0, 0, PAGE_READWRITE)), STATUS_SUCCESS);
    KTAP_EQUAL(((ULONG64)One | (ULONG64)Other) % MM_LARGE_PAGE, 0);
    for (ULONG64 Offset = 0; Offset < 2 * MM_LARGE_PAGE; Offset += PAGE_SIZE) {
        KTAP_EQUAL(Word(First, One + Offset + 8), 0);
        KTAP_EQUAL(Put(First, One + Offset + 8, Offset + 1), STATUS_SUCCESS);
    }
    for (ULONG64 Offset = 0; Offset < MM_LARGE_PAGE; Offset += PAGE_SIZE) {
        KTAP_EQUAL(Word(Second, Other + Offset + 8), MM_LARGE_PAGE + Offset + 1);
    }
    KTAP_EQUAL(MiSpaceOf(First)->WorkingSet + MiSpaceOf(Second)->WorkingSet, 0);
    KTAP_EQUAL(Put(Second, Other, 1), (NTSTATUS)STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(Put(Second, Small + HALF, 7), STATUS_SUCCESS);
    KTAP_EQUAL(Word(First, One + MM_LARGE_PAGE + HALF), 7);
    Frame = FrameAt(First, One + MM_LARGE_PAGE + HALF, &Large);
    KTAP_CHECK(Large);
    KTAP_EQUAL(FrameAt(Second, Other + HALF, &Large), Frame);
    KTAP_CHECK(Large);
    KTAP_EQUAL(FrameAt(Second, Small + HALF, &Large), Frame);
    KTAP_CHECK(!Large);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(MmUnmapViewOfSection(First, One + HALF), STATUS_SUCCESS);
    KTAP_EQUAL(Word(First, One), (ULONG64)(ULONG)STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(MmUnmapViewOfSection(Second, Small), STATUS_SUCCESS);
    KTAP_EQUAL(Word(Second, Other + 8), MM_LARGE_PAGE + 1);
    ObDereferenceObject(Section); /* the view keeps the frames */
    Section = NULL;
    KTAP_EQUAL(Word(Second, Other + HALF), 7);
}

static VOID LargesectShared(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, SharedBody);
}

static VOID DescribedBody(PKTAP_CONTEXT Ktap)
{
    MEMORY_WORKING_SET_EX_INFORMATION Page;
    MEMORY_BASIC_INFORMATION Basic;
    PUCHAR Base = (PUCHAR)0x40000000;
    KAPC_STATE State;

    KTAP_EQUAL(KTAP_WHOLE(Create(2 * MM_LARGE_PAGE, PAGE_READWRITE)), STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(Map(First, &Base, 0, 0, MEM_LARGE_PAGES, PAGE_READWRITE)), STATUS_SUCCESS);
    KTAP_EQUAL((ULONG64)Base, 0x40000000);
    Basic = Describe(First, Base + HALF);
    KTAP_CHECK(Basic.State == MEM_COMMIT && Basic.Type == MEM_MAPPED && Basic.Protect == PAGE_READWRITE &&
               Basic.RegionSize == 2 * MM_LARGE_PAGE - HALF && Basic.AllocationBase == Base);
    KTAP_EQUAL(Protect(First, Base, MM_LARGE_PAGE, PAGE_READONLY), STATUS_SUCCESS);
    KTAP_EQUAL(Describe(First, Base).RegionSize, MM_LARGE_PAGE);
    KTAP_EQUAL(Describe(First, Base).Protect, PAGE_READONLY);
    KTAP_EQUAL(Put(First, Base + HALF, 1), (NTSTATUS)STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(Put(First, Base + MM_LARGE_PAGE, 1), STATUS_SUCCESS);
    KTAP_EQUAL(Protect(First, Base, PAGE_SIZE, PAGE_READWRITE), (NTSTATUS)STATUS_INVALID_PAGE_PROTECTION);
    KTAP_EQUAL(Protect(First, Base, MM_LARGE_PAGE, PAGE_WRITECOPY), (NTSTATUS)STATUS_INVALID_PAGE_PROTECTION);
    KTAP_EQUAL(Protect(First, Base, MM_LARGE_PAGE, PAGE_NOACCESS), (NTSTATUS)STATUS_INVALID_PAGE_PROTECTION);
    KTAP_EQUAL(Protect(First, Base, MM_LARGE_PAGE, PAGE_EXECUTE_READ),
               (NTSTATUS)STATUS_INVALID_PAGE_PROTECTION); /* more than the section has */
    KTAP_EQUAL(Protect(First, Base, MM_LARGE_PAGE, PAGE_READWRITE), STATUS_SUCCESS);
    Page.VirtualAddress = Base + HALF;
    KeStackAttachProcess((PVOID)First, &State);
    KTAP_EQUAL(ZwQueryVirtualMemory(ZwCurrentProcess(), NULL, MemoryWorkingSetExInformation, &Page, sizeof(Page), NULL),
               STATUS_SUCCESS);
    KeUnstackDetachProcess(&State);
    KTAP_CHECK(Page.VirtualAttributes.Valid && Page.VirtualAttributes.LargePage && Page.VirtualAttributes.Locked &&
               Page.VirtualAttributes.Shared && Page.VirtualAttributes.ShareCount == 1);
}

static VOID LargesectDescribed(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, DescribedBody);
}

/* What is no large page, or no section of them. */
static VOID RefusedBody(PKTAP_CONTEXT Ktap)
{
    static const struct {
        ULONG64 Base, Offset, Bytes;
        ULONG Type, Protect;
        NTSTATUS Status;
    } Bad[] = {
        {0x40010000, 0, 0, MEM_LARGE_PAGES, PAGE_READWRITE, STATUS_MAPPED_ALIGNMENT},
        {0, 0x10000, HALF, MEM_LARGE_PAGES, PAGE_READWRITE, STATUS_MAPPED_ALIGNMENT},
        {0, 0, HALF, MEM_LARGE_PAGES, PAGE_READWRITE, STATUS_INVALID_VIEW_SIZE},
        {0, 0, 2 * MM_LARGE_PAGE, MEM_LARGE_PAGES, PAGE_READWRITE, STATUS_INVALID_VIEW_SIZE},
        {0, MM_LARGE_PAGE, 0, MEM_LARGE_PAGES, PAGE_READWRITE, STATUS_INVALID_VIEW_SIZE},
        {0, 0, 0, MEM_LARGE_PAGES, PAGE_NOACCESS, STATUS_INVALID_PAGE_PROTECTION},
        {0, 0, 0, MEM_LARGE_PAGES, PAGE_WRITECOPY, STATUS_INVALID_PAGE_PROTECTION},
        {0, 0, 0, MEM_LARGE_PAGES, PAGE_READWRITE | PAGE_GUARD, STATUS_INVALID_PAGE_PROTECTION},
        {0, 0, 0, MEM_LARGE_PAGES, PAGE_READWRITE | PAGE_NOCACHE, STATUS_INVALID_PAGE_PROTECTION},
        {0, 0, 0, MEM_LARGE_PAGES, PAGE_EXECUTE_READ, STATUS_SECTION_PROTECTION},
        {0, 0, 0, MEM_LARGE_PAGES | MEM_COMMIT, PAGE_READWRITE, STATUS_INVALID_PARAMETER_9},
    };
    static const struct {
        ULONG64 Bytes;
        ULONG Attributes;
        NTSTATUS Status;
    } Never[] = {
        {0, LARGE_SECTION, STATUS_INVALID_PARAMETER_4},
        {MM_LARGE_PAGE + PAGE_SIZE, LARGE_SECTION, STATUS_INVALID_PARAMETER_4},
        {MM_LARGE_PAGE, SEC_LARGE_PAGES, STATUS_INVALID_PARAMETER_6},
        {MM_LARGE_PAGE, SEC_LARGE_PAGES | SEC_RESERVE, STATUS_INVALID_PARAMETER_6},
        {MM_LARGE_PAGE, LARGE_SECTION | SEC_NOCACHE, STATUS_INVALID_PARAMETER_6},
        {MM_LARGE_PAGE, LARGE_SECTION | SEC_WRITECOMBINE, STATUS_INVALID_PARAMETER_6},
        {MM_LARGE_PAGE, SEC_LARGE_PAGES | SEC_IMAGE, STATUS_INVALID_PARAMETER_6},
        {1ULL << 42, LARGE_SECTION, STATUS_COMMITMENT_LIMIT},
        {1ULL << 50, LARGE_SECTION, STATUS_SECTION_TOO_BIG},
    };
    LARGE_INTEGER Bytes = {.QuadPart = MM_LARGE_PAGE};
    PUCHAR Base;

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Never); Index++) {
        LARGE_INTEGER Size = {.QuadPart = (LONGLONG)Never[Index].Bytes};

        KTAP_EQUAL(MmCreateSection((PVOID *)&Section, SECTION_ALL_ACCESS, NULL, &Size, PAGE_READWRITE,
                                   Never[Index].Attributes, NULL, NULL),
                   Never[Index].Status);
    }
    KTAP_EQUAL(KTAP_WHOLE(MmCreateSection((PVOID *)&Section, SECTION_ALL_ACCESS, NULL, &Bytes, PAGE_READWRITE,
                                          SEC_COMMIT, NULL, NULL)),
               STATUS_SUCCESS);
    Base = NULL;
    KTAP_EQUAL(Map(First, &Base, 0, 0, MEM_LARGE_PAGES, PAGE_READWRITE), (NTSTATUS)STATUS_INVALID_PARAMETER_9);
    ObDereferenceObject(Section);
    Section = NULL;
    KTAP_EQUAL(KTAP_WHOLE(Create(MM_LARGE_PAGE, PAGE_READWRITE)), STATUS_SUCCESS);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Bad); Index++) {
        Base = (PUCHAR)Bad[Index].Base;
        KTAP_EQUAL(Map(First, &Base, Bad[Index].Offset, Bad[Index].Bytes, Bad[Index].Type, Bad[Index].Protect),
                   Bad[Index].Status);
    }
    KTAP_EQUAL(MiSpaceOf(First)->Vads.NumberGenericTableElements, 0);
}

static VOID LargesectRefused(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, RefusedBody);
}

/* A clone has the same frames, each page as its parent has it protected. */
static VOID ClonedBody(PKTAP_CONTEXT Ktap)
{
    PUCHAR Base = NULL;
    BOOLEAN Large;

    KTAP_EQUAL(KTAP_WHOLE(Create(2 * MM_LARGE_PAGE, PAGE_READWRITE)), STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(Map(First, &Base, 0, 0, MEM_LARGE_PAGES, PAGE_READWRITE)), STATUS_SUCCESS);
    KTAP_EQUAL(Put(First, Base + HALF, 1), STATUS_SUCCESS);
    KTAP_EQUAL(Protect(First, Base, MM_LARGE_PAGE, PAGE_READONLY), STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(MmCloneProcessAddressSpace(First, Second)), STATUS_SUCCESS);
    KTAP_EQUAL(FrameAt(Second, Base + HALF, &Large), FrameAt(First, Base + HALF, &Large));
    KTAP_CHECK(Large);
    KTAP_EQUAL(Word(Second, Base + HALF), 1);
    KTAP_EQUAL(Put(Second, Base, 1), (NTSTATUS)STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(Put(Second, Base + MM_LARGE_PAGE, 2), STATUS_SUCCESS);
    KTAP_EQUAL(Word(First, Base + MM_LARGE_PAGE), 2);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(MmUnmapViewOfSection(First, Base), STATUS_SUCCESS);
    KTAP_EQUAL(Word(Second, Base + MM_LARGE_PAGE), 2);
}

static VOID LargesectCloned(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, ClonedBody);
}

/* Pages that a driver has locked outlive view and section; the system's views are in small pages. */
static VOID LockedBody(PKTAP_CONTEXT Ktap)
{
    PUCHAR Base = NULL, System = NULL, Alias;
    SIZE_T Bytes = MM_LARGE_PAGE;
    KAPC_STATE State;
    PMDL Mdl;

    KTAP_EQUAL(KTAP_WHOLE(Create(MM_LARGE_PAGE, PAGE_READWRITE)), STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(MmMapViewInSystemSpace(Section, (PVOID *)&System, &Bytes)), STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(Map(First, &Base, 0, 0, MEM_LARGE_PAGES, PAGE_READWRITE)), STATUS_SUCCESS);
    *(PULONG64)(System + HALF) = 5;
    KTAP_EQUAL(Word(First, Base + HALF), 5);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(MmUnmapViewInSystemSpace(System), STATUS_SUCCESS);
    Mdl = KTAP_WHOLE(IoAllocateMdl(Base + HALF, 3 * PAGE_SIZE, FALSE, FALSE, NULL));
    KTAP_CHECK(Mdl != NULL);
    KeStackAttachProcess((PVOID)First, &State);
    MmProbeAndLockPages(Mdl, UserMode, IoModifyAccess);
    KeUnstackDetachProcess(&State);
    KTAP_EQUAL(MmUnmapViewOfSection(First, Base), STATUS_SUCCESS);
    ObDereferenceObject(Section);
    Section = NULL;
    Alias = KTAP_WHOLE(MmGetSystemAddressForMdlSafe(Mdl, NormalPagePriority));
    KTAP_CHECK(Alias != NULL);
    KTAP_EQUAL(*(PULONG64)Alias, 5);
    *(PULONG64)(Alias + 2 * PAGE_SIZE) = 6;
    KTAP_EQUAL(MiVerify(), 0);
    MmUnlockPages(Mdl);
    IoFreeMdl(Mdl);
}

static VOID LargesectLocked(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, LockedBody);
}

/* Whatever request for memory fails, there is no section, or no view, and nothing is lost. */
static VOID ShortageBody(PKTAP_CONTEXT Ktap)
{
    static const EX_FAULT_KIND Kinds[] = {ExFaultPool, ExFaultFrame, ExFaultObject};

    for (ULONG Kind = 0; Kind < RTL_NUMBER_OF(Kinds) && !Ktap->Faults; Kind++) {
        for (ULONG Number = 1, Before = 0;; Number++) {
            ULONG Injected = ExFaultsInjected(Kinds[Kind]);
            PUCHAR Base = NULL;
            NTSTATUS Status;

            ExSetFaultOnce(Kinds[Kind], Number);
            Status = Create(2 * MM_LARGE_PAGE, PAGE_READWRITE);
            if (NT_SUCCESS(Status)) {
                Status = Map(First, &Base, 0, 0, MEM_LARGE_PAGES, PAGE_READWRITE);
                ExSetFault(Kinds[Kind], 0, NULL);
                ObDereferenceObject(Section);
                Section = NULL;
            }
            ExSetFault(Kinds[Kind], 0, NULL);
            KTAP_EQUAL(MiVerify(), 0);
            KTAP_CHECK(NT_SUCCESS(Status) || Status == STATUS_INSUFFICIENT_RESOURCES);
            KTAP_EQUAL(NT_SUCCESS(Status), Base != NULL);
            if (Base != NULL) {
                KTAP_EQUAL(Put(First, Base, 1), STATUS_SUCCESS);
                KTAP_EQUAL(MmUnmapViewOfSection(First, Base), STATUS_SUCCESS);
            }
            if (ExFaultsInjected(Kinds[Kind]) == Injected) {
                KTAP_CHECK(Before != 0); /* it made requests of this kind */
                break;
            }
            Before = Number;
        }
    }
}

static VOID LargesectShortage(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, ShortageBody);
}

/* More runs than there are, though the charge is granted: those that were found go back. */
static VOID TooMuchBody(PKTAP_CONTEXT Ktap)
{
    ULONG64 Pages = (MiCommitLimit() - MiCommit.Charged) / 512 * 512;
    NTSTATUS Status = Create(Pages * PAGE_SIZE, PAGE_READWRITE);

    KTAP_EQUAL(Status, (NTSTATUS)STATUS_INSUFFICIENT_RESOURCES);
}

static VOID LargesectTooMuch(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, TooMuchBody);
}

/* Both processes end with views in them, after the section object. */
static VOID LeftBody(PKTAP_CONTEXT Ktap)
{
    PUCHAR One = (PUCHAR)0x40000000, Other = (PUCHAR)0x40000000, Small = (PUCHAR)0x40200000;

    KTAP_EQUAL(KTAP_WHOLE(Create(MM_LARGE_PAGE, PAGE_EXECUTE_READWRITE)), STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(Map(First, &One, 0, 0, MEM_LARGE_PAGES, PAGE_EXECUTE_READWRITE)), STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(Map(Second, &Other, 0, 0, MEM_LARGE_PAGES | MEM_TOP_DOWN, PAGE_READWRITE)), STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(Map(Second, &Small, 0, 0, 0, PAGE_READWRITE)), STATUS_SUCCESS);
    KTAP_EQUAL(Put(First, One, 1), STATUS_SUCCESS);
    KTAP_EQUAL(Put(Second, Small + PAGE_SIZE, 2), STATUS_SUCCESS);
    KTAP_EQUAL(Word(First, One + PAGE_SIZE), 2);
    ObDereferenceObject(Section);
    Section = NULL;
}

static VOID LargesectLeft(PKTAP_CONTEXT Ktap)
{
    WithTwo(Ktap, LeftBody);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"shared", LargesectShared},    {"described", LargesectDescribed}, {"refused", LargesectRefused},
    {"cloned", LargesectCloned},    {"locked", LargesectLocked},       {"shortage", LargesectShortage},
    {"too_much", LargesectTooMuch}, {"left", LargesectLeft},
};
KTAP_SUITE(MmLargeSectionSuite, "mm.largesect", Cases);
