/*
 * memory.c - random numbers, and memory of every sort for what calls are given: structures at good places and at bad ones.
 *
 * A good place lies in Own, where nobody else writes, or in Answers, which nobody reads. A bad one is in Scratch, into which the racer writes what
 * looks like lengths and handles; at the end of Scratch or of Edge, behind which nothing is; in Shaky, which the racer protects, decommits and
 * commits anew; read-only, guarded, not aligned, or no address at all. What the program itself has to rely on, such as when a wait ends, never
 * lies where the racer writes: PlaceFor with `Still`.
 *
 * The arena and the regions in Bases are what services of virtual memory may take apart. RenewMemory gives the regions back.
 */
#include "hostile.h"

#define OWN_BYTES    0x10000
#define ANSWER_BYTES 0x10000
#define EDGE_BYTES   0x2000
#define SHAKY_BYTES  0x4000
#define LAST_USER    0x00007FFFFFFEFFFFULL
#define SHARED_PAGE  0x7FFE0000ULL
#define PATIENCE     20 /* s */
#define BASES        64
#define RACER_PAUSE  (-20000) /* 100 ns: the racer is not to eat the processor */
#define RACER_WRITES 8192     /* between two pauses */

ULONG64 RandomState;
PUCHAR Arena, Watch;
volatile LONG Stop;
volatile ULONG64 Progress;
PCSTR volatile Doing;

static PUCHAR Scratch, Own, Answers, Edge, Shaky, ReadOnly, Guarded, NoAccess; /* NoAccess follows Scratch at once */
static struct {
    PUCHAR Base;
    BOOLEAN IsView;
} Bases[BASES];

ULONG Random(ULONG Limit)
{
    RandomState ^= RandomState << 13; /* xorshift64 */
    RandomState ^= RandomState >> 7;
    RandomState ^= RandomState << 17;
    return (ULONG)(RandomState >> 32) % Limit;
}

static ULONG64 Random64(VOID)
{
    ULONG64 High = Random(MAXULONG);

    return High << 32 | Random(MAXULONG);
}

ULONG64 RandomNumber(VOID)
{
    static const ULONG64 Numbers[] = {0,          1,          2,          3,          4,          5,          8,
                                      16,         24,         32,         64,         0x1000,     0x1001,     0x2000,
                                      0x3000,     0x8000,     0x10000,    MAXLONG,    MAXULONG,   0x80000000, 0x1F01FF,
                                      0x100000,   0x20019,    0xF003F,    0x02000000, 0x40000000, 0x10000000, 0x1F0003,
                                      1ULL << 32, 1ULL << 40, MAXULONG64, MAXLONG64};
    ULONG64 Small = Random(100), Any = Random64();

    switch (Random(6)) {
    case 0:
        return Small;
    case 1:
        return Any;
    default:
        return Numbers[Any % RTL_NUMBER_OF(Numbers)];
    }
}

/* ---- Pieces ---- */

static NTSTATUS Allocate(PUCHAR *Place, SIZE_T Bytes, ULONG Type, ULONG Protection)
{
    PVOID Base = *Place;
    NTSTATUS Status = NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Bytes, Type, Protection);

    *Place = Base;
    return Status;
}

/* Committed memory with a page behind it that is not. */
static NTSTATUS AllocateWithEnd(PUCHAR *Place, SIZE_T Bytes)
{
    NTSTATUS Status = Allocate(Place, Bytes + PAGE_SIZE, MEM_RESERVE, PAGE_READWRITE);

    return NT_SUCCESS(Status) ? Allocate(Place, Bytes, MEM_COMMIT, PAGE_READWRITE) : Status;
}

NTSTATUS MakeMemory(VOID)
{
    NTSTATUS Status = AllocateWithEnd(&Scratch, SCRATCH_BYTES);

    NoAccess = Scratch + SCRATCH_BYTES;
    Status |= AllocateWithEnd(&Edge, EDGE_BYTES);
    Status |= AllocateWithEnd(&Own, OWN_BYTES);
    Status |= AllocateWithEnd(&Answers, ANSWER_BYTES);
    Status |= Allocate(&Shaky, SHAKY_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    Status |= Allocate(&ReadOnly, PAGE_SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY);
    Status |= Allocate(&Guarded, PAGE_SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
    Status |= Allocate(&Watch, WATCH_BYTES, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    return Status | Allocate(&Arena, ARENA_BYTES, MEM_RESERVE, PAGE_READWRITE);
}

/* ---- Regions that calls made ---- */

VOID KeepRegion(PVOID Base, BOOLEAN IsView)
{
    static ULONG Next;

    for (ULONG Index = 0; Index < BASES; Index++) {
        ULONG Slot = (Next + Index) % BASES;

        if (Bases[Slot].Base == NULL) {
            Bases[Slot].Base = Base;
            Bases[Slot].IsView = IsView;
            Next = Slot + 1;
            return;
        }
    }
}

PVOID SomeRegion(BOOLEAN IsView)
{
    ULONG First = Random(BASES);

    for (ULONG Index = 0; Index < BASES; Index++) {
        ULONG Slot = (First + Index) % BASES;

        if (Bases[Slot].Base != NULL && Bases[Slot].IsView == IsView) {
            return Bases[Slot].Base;
        }
    }
    return NULL;
}

BOOLEAN MayTakeApart(PVOID Address)
{
    for (ULONG Index = 0; Index < BASES; Index++) {
        if (Bases[Index].Base != NULL && Bases[Index].Base == Address) {
            return TRUE;
        }
    }
    return (ULONG64)Address - (ULONG64)Arena < ARENA_BYTES || Address == NULL;
}

VOID ForgetRegion(PVOID Base)
{
    for (ULONG Index = 0; Index < BASES; Index++) {
        if (((ULONG64)Bases[Index].Base ^ (ULONG64)Base) < PAGE_SIZE) { /* services round addresses down */
            Bases[Index].Base = NULL;
        }
    }
}

VOID RenewMemory(VOID)
{
    SIZE_T Bytes = PAGE_SIZE, All;
    PVOID Base = Guarded;
    ULONG Old;

    for (ULONG Index = 0; Index < BASES; Index++) {
        All = 0;
        if (Bases[Index].Base != NULL && !NT_SUCCESS(NtUnmapViewOfSection(ZwCurrentProcess(), Bases[Index].Base))) {
            NtFreeVirtualMemory(ZwCurrentProcess(), (PVOID *)&Bases[Index].Base, &All, MEM_RELEASE);
        }
        Bases[Index].Base = NULL;
    }
    All = 0;
    Base = Arena;
    NtFreeVirtualMemory(ZwCurrentProcess(), &Base, &All, MEM_RELEASE);
    Allocate(&Arena, ARENA_BYTES, MEM_RESERVE, PAGE_READWRITE);
    Allocate(&Arena, ARENA_BYTES / 4, MEM_COMMIT, PAGE_READWRITE);
    Base = Guarded;
    NtProtectVirtualMemory(ZwCurrentProcess(), &Base, &Bytes, PAGE_READWRITE | PAGE_GUARD, &Old);
}

/* ---- Places ---- */

ULONG64 BadPointer(VOID)
{
    const ULONG64 Bad[] = {1,
                           8,
                           (ULONG64)NoAccess,
                           (ULONG64)NoAccess + 1,
                           (ULONG64)ReadOnly + PAGE_SIZE,
                           LAST_USER,
                           LAST_USER - 7,
                           LAST_USER + 1,
                           0x00007FFFFFFFFFF8ULL,
                           0x0000800000000000ULL,
                           0x8000000000000000ULL,
                           0xFFFF800000000000ULL,
                           KERNEL,
                           KERNEL + Random(MAXULONG),
                           0xFFFFF78000000000ULL,
                           0xFFFFF6FB7DBED000ULL,
                           0xFFFFFFFFFFFFFFFFULL,
                           0xFFFFFFFFFFFFFFF8ULL};

    return Bad[Random(RTL_NUMBER_OF(Bad))];
}

/* One that stays bad: calls may have made the others good by now, with anything at all there. */
static ULONG64 AlwaysBad(ULONG64 Bad)
{
    return Bad >= PAGE_SIZE && Bad < LAST_USER - PAGE_SIZE ? KERNEL : Bad;
}

static PUCHAR InTurn(PUCHAR Area, ULONG AreaBytes, PULONG Next, ULONG Bytes)
{
    PUCHAR Place;

    Bytes = (Bytes + 15) & ~15U;
    *Next = *Next + Bytes > AreaBytes ? 0 : *Next;
    Place = Area + *Next;
    *Next += Bytes;
    return Place;
}

PVOID OwnPlace(ULONG Bytes)
{
    static ULONG Next;

    return InTurn(Own, OWN_BYTES, &Next, Bytes);
}

static ULONG64 PutOwn(const VOID *Contents, ULONG Bytes, ULONG Shift)
{
    PUCHAR Place = (PUCHAR)OwnPlace(Bytes + Shift) + Shift;

    if (Contents == NULL) {
        RtlZeroMemory(Place, Bytes);
    } else {
        RtlCopyMemory(Place, Contents, Bytes);
    }
    return (ULONG64)Place;
}

/* The kernel writes it: the place may be protected meanwhile. */
static ULONG64 PutCareful(PUCHAR Place, const VOID *Contents, ULONG Bytes)
{
    if (Contents != NULL) {
        NtWriteVirtualMemory(ZwCurrentProcess(), Place, (PVOID)Contents, Bytes, NULL);
    }
    return (ULONG64)Place;
}

ULONG64 PlaceFor(const VOID *Contents, ULONG Bytes, BOOLEAN Hostile, BOOLEAN Still)
{
    ULONG Way = Random(8), Offset = Random(SCRATCH_BYTES / 2) & ~7U, Cut = 1 + Random(max(Bytes, 1));
    ULONG64 Bad = BadPointer();

    if (!Hostile) {
        return PutOwn(Contents, Bytes, 0);
    }
    Bad = Still ? AlwaysBad(Bad) : Bad;
    switch (Way) {
    case 0:
        return Bad;
    case 1: /* what is written may be written late, when the place in Own is another's */
        return Contents == NULL ? (ULONG64)Answers + Offset + 1 : PutOwn(Contents, Bytes, 1 + Offset / 8 % 7);
    case 2:
        return Still ? Bad : PutCareful(Edge + EDGE_BYTES - Cut, Contents, Cut);
    case 3:
        return Still ? 0 : (ULONG64)ReadOnly;
    case 4:
        return Still ? Bad : PutCareful(Shaky + Offset, Contents, Bytes);
    case 5:
        return Still ? Bad : (ULONG64)Guarded + Offset / 4;
    default:
        return Still ? Bad : PutCareful(Scratch + Offset, Contents, Bytes);
    }
}

ULONG64 AnswerPlace(ULONG Bytes, BOOLEAN Hostile)
{
    static ULONG Next;
    ULONG64 Bad = PlaceFor(NULL, min(Bytes, 1024), Hostile, FALSE);
    ULONG Way = Random(12);

    if (!Hostile) {
        return (ULONG64)InTurn(Answers, ANSWER_BYTES, &Next, Bytes);
    }
    return Way == 0 ? SHARED_PAGE : Way == 1 ? (ULONG64)Arena + 64 : Bad;
}

ULONG64 SomeAddress(BOOLEAN Hostile)
{
    const ULONG64 Good[] = {(ULONG64)Own,   (ULONG64)Arena, (ULONG64)Arena + 0x3000, (ULONG64)Scratch + 8,
                            (ULONG64)Watch, SHARED_PAGE,    (ULONG64)ReadOnly,       (ULONG64)Answers,
                            (ULONG64)Bases, (ULONG64)Shaky, (ULONG64)&Self};
    ULONG64 Bad = BadPointer(), Region = (ULONG64)SomeRegion((BOOLEAN)Random(2));
    ULONG Way = Random(RTL_NUMBER_OF(Good) + 3);

    return Hostile ? Bad : Way < RTL_NUMBER_OF(Good) ? Good[Way] : Region;
}

/* ---- The racer ---- */

/* Another protection, or nothing there for a while. */
static VOID Shake(ULONG64 State)
{
    static const ULONG Protections[] = {PAGE_NOACCESS, PAGE_READONLY, PAGE_READWRITE, PAGE_READWRITE | PAGE_GUARD,
                                        PAGE_EXECUTE_READ};
    PVOID Base = Shaky + (State >> 20 & 3) * PAGE_SIZE;
    SIZE_T Bytes = PAGE_SIZE;
    ULONG Old;

    switch (State >> 50 & 3) {
    case 0:
        NtFreeVirtualMemory(ZwCurrentProcess(), &Base, &Bytes, MEM_DECOMMIT);
        break;
    case 1:
        NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Bytes, MEM_COMMIT, PAGE_READWRITE);
        break;
    default:
        NtProtectVirtualMemory(ZwCurrentProcess(), &Base, &Bytes,
                               Protections[(State >> 40) % RTL_NUMBER_OF(Protections)], &Old);
        break;
    }
}

/* Tells once of a call that does not come back: a hang has a name then. */
static VOID Watchdog(VOID)
{
    static ULONG64 Seen = MAXULONG64;
    static LARGE_INTEGER Since;
    LARGE_INTEGER Now, Frequency;

    NtQueryPerformanceCounter(&Now, &Frequency);
    if (Progress != Seen) {
        Seen = Progress;
        Since = Now;
    } else if (Since.QuadPart != 0 && Now.QuadPart - Since.QuadPart > PATIENCE * Frequency.QuadPart) {
        DbgPrint("hostile: call %llu, %s, has not come back for %u seconds\n", Seen, Doing, PATIENCE);
        Since.QuadPart = 0;
    }
}

/* Writes what looks like lengths, pointers and handles over Scratch, and shakes Shaky, until told to stop. */
static NTSTATUS NTAPI Race(PVOID Argument)
{
    LARGE_INTEGER Pause = {.QuadPart = RACER_PAUSE};
    ULONG64 State = 0x9E3779B97F4A7C15ULL;

    while (!Stop) {
        for (ULONG Write = 0; Write < RACER_WRITES; Write++) {
            State = State * 6364136223846793005ULL + 1442695040888963407ULL;
            *(volatile ULONG64 *)(Scratch + ((State >> 33) % (SCRATCH_BYTES - 8) & ~7ULL)) =
                (State >> 60) < 8 ? (State >> 40) & 0xFF : State >> 20;
        }
        Shake(State);
        Watchdog();
        NtDelayExecution(FALSE, &Pause);
    }
    return STATUS_SUCCESS;
}

NTSTATUS StartRacer(VOID)
{
    THREAD_BASIC_INFORMATION Info = {0};
    HANDLE Thread;
    NTSTATUS Status =
        NtCreateThreadEx(&Thread, THREAD_ALL_ACCESS, NULL, ZwCurrentProcess(), Race, NULL, 0, 0, 0, 0, NULL);

    if (NT_SUCCESS(Status)) {
        Status = NtQueryInformationThread(Thread, ThreadBasicInformation, &Info, sizeof(Info), NULL);
        Racer = Info.ClientId;
        NtClose(Thread);
    }
    return Status;
}
