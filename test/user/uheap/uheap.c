/*
 * uheap.c - the suite of heaps: sizes, reallocation, growth, damage that is noticed, threads, and a random workload against a model.
 *
 * The model knows of each block its address, its size and the byte it is filled with; after every step of the workload what it says
 * must hold, and every few steps the whole heap must be valid.
 */
#include "../ktap.h"

#define BLOCKS 300
#define STEPS  2400

static NTSTATUS Caught;

/* The code that freeing (or what else Routine does with the two) raises; 0: none. */
#define CATCH(Statement)                                                                                               \
    do {                                                                                                               \
        Caught = 0;                                                                                                    \
        __try {                                                                                                        \
            Statement;                                                                                                 \
        } __except (EXCEPTION_EXECUTE_HANDLER) {                                                                       \
            Caught = GetExceptionCode();                                                                               \
        }                                                                                                              \
    } while (0)

/* ---- Plain use ---- */

static ULONG HeapSizes(VOID)
{
    PVOID Heap = RtlCreateHeap(HEAP_GROWABLE, NULL, 0, 0, NULL, NULL);

    CHECK(Heap != NULL);
    for (SIZE_T Size = 0; Size < 400000; Size += Size < 300 ? 1 : Size / 3) {
        PUCHAR Block = RtlAllocateHeap(Heap, HEAP_ZERO_MEMORY, Size);

        CHECK(Block != NULL && ((ULONG_PTR)Block & 15) == 0 && RtlSizeHeap(Heap, 0, Block) == Size);
        for (SIZE_T Index = 0; Index < Size; Index++) {
            CHECK(Block[Index] == 0);
        }
        RtlFillMemory(Block, Size, 0xFF); /* the next one that gets this memory sees zeros all the same */
        CHECK(RtlValidateHeap(Heap, 0, Block) && RtlFreeHeap(Heap, 0, Block));
    }
    CHECK(RtlFreeHeap(Heap, 0, NULL));
    CHECK(RtlValidateHeap(Heap, 0, NULL));
    CHECK(RtlDestroyHeap(Heap) == NULL);
    return 0;
}

static ULONG HeapReAllocate(VOID)
{
    PVOID Heap = RtlCreateHeap(HEAP_GROWABLE, NULL, 0, 0, NULL, NULL), Guard;
    PUCHAR Block = RtlAllocateHeap(Heap, 0, 100), Moved;

    RtlFillMemory(Block, 100, 0x5A);
    CHECK(RtlReAllocateHeap(Heap, 0, Block, 40) == Block && RtlSizeHeap(Heap, 0, Block) == 40);
    Moved = RtlReAllocateHeap(Heap, HEAP_REALLOC_IN_PLACE_ONLY | HEAP_ZERO_MEMORY, Block, 3000);
    CHECK(Moved == Block && Block[39] == 0x5A && Block[40] == 0 && Block[2999] == 0); /* there is room behind it */
    Guard = RtlAllocateHeap(Heap, 0, 10000);
    for (ULONG Index = 0; Index < 8; Index++) { /* whatever gap there is behind the block is filled */
        RtlAllocateHeap(Heap, 0, 2000);
    }
    CHECK(Guard != NULL);
    CHECK(RtlReAllocateHeap(Heap, HEAP_REALLOC_IN_PLACE_ONLY, Block, 300000) == NULL);
    Moved = RtlReAllocateHeap(Heap, HEAP_ZERO_MEMORY, Block, 300000);
    CHECK(Moved != NULL && Moved[39] == 0x5A && Moved[40] == 0 && Moved[299999] == 0);
    CHECK(RtlReAllocateHeap(Heap, HEAP_REALLOC_IN_PLACE_ONLY, Moved, 299000) == Moved);
    Block = RtlReAllocateHeap(Heap, 0, Moved, 20);
    CHECK(Block != NULL && Block != Moved && Block[19] == 0x5A && RtlSizeHeap(Heap, 0, Block) == 20);
    CHECK(RtlReAllocateHeap(Heap, 0, Block + 1, 20) == NULL);
    CHECK(RtlValidateHeap(Heap, 0, NULL));
    CHECK(RtlDestroyHeap(Heap) == NULL);
    return 0;
}

static ULONG HeapGrows(VOID)
{
    static PVOID Block[200];
    PVOID Heap = RtlCreateHeap(HEAP_GROWABLE, NULL, 0, 0, NULL, NULL);

    for (ULONG Round = 0; Round < 3; Round++) {
        for (ULONG Index = 0; Index < 200; Index++) { /* 20 MB: several segments */
            Block[Index] = RtlAllocateHeap(Heap, 0, 100000);
            CHECK(Block[Index] != NULL);
            *(PULONG)Block[Index] = Index;
        }
        for (ULONG Index = 0; Index < 200; Index++) {
            ULONG Place = Index * 77 % 200;

            CHECK(*(PULONG)Block[Place] == Place && RtlFreeHeap(Heap, 0, Block[Place]));
        }
        CHECK(RtlValidateHeap(Heap, 0, NULL));
    }
    CHECK(RtlCompactHeap(Heap, 0) >= 900000); /* all is one block again, in each segment */
    CHECK(RtlDestroyHeap(Heap) == NULL);
    return 0;
}

/* A heap that may not grow says so, and keeps to it. */
static ULONG HeapFixed(VOID)
{
    PVOID Heap = RtlCreateHeap(0, NULL, 0x20000, 0, NULL, NULL), Block[200];
    ULONG Count = 0;

    CHECK(Heap != NULL);
    while ((Block[Count] = RtlAllocateHeap(Heap, 0, 1000)) != NULL) {
        CHECK(++Count < 200);
    }
    CHECK(Count > 100);
    CHECK(RtlAllocateHeap(Heap, 0, 0x40000) == NULL);
    CATCH(RtlAllocateHeap(Heap, HEAP_GENERATE_EXCEPTIONS, 1000));
    CHECK(Caught == STATUS_NO_MEMORY);
    while (Count > 0) {
        CHECK(RtlFreeHeap(Heap, 0, Block[--Count]));
    }
    CHECK(RtlAllocateHeap(Heap, 0, 80000) != NULL); /* the front end's blocks are joined for it */
    CHECK(RtlValidateHeap(Heap, 0, NULL));
    CHECK(RtlDestroyHeap(Heap) == NULL);
    return 0;
}

static ULONG HeapList(VOID)
{
    PVOID Process = ((PTEB)__readgsqword(0x30))->ProcessEnvironmentBlock->ProcessHeap, Heaps[16], Heap;
    ULONG Before = RtlGetProcessHeaps(16, Heaps);

    CHECK(Before >= 1 && Before < 16 && Heaps[0] == Process);
    Heap = RtlCreateHeap(HEAP_GROWABLE | HEAP_NO_SERIALIZE, NULL, 0, 0, NULL, NULL);
    CHECK(RtlGetProcessHeaps(16, Heaps) == Before + 1 && Heaps[Before] == Heap);
    CHECK(RtlDestroyHeap(Heap) == NULL && RtlGetProcessHeaps(0, NULL) == Before);
    CHECK(RtlDestroyHeap(Process) == Process);
    CHECK(RtlCreateHeap(0, Process, 0, 0, NULL, NULL) == NULL);
    return 0;
}

/* ---- Damage ---- */

static ULONG HeapDoubleFree(VOID)
{
    PVOID Heap = RtlCreateHeap(HEAP_GROWABLE, NULL, 0, 0, NULL, NULL);
    ULONG64 OnStack[4] = {0};

    for (ULONG Size = 16; Size < 100000; Size *= 17) {
        PVOID Keep = RtlAllocateHeap(Heap, 0, Size), Block = RtlAllocateHeap(Heap, 0, Size);

        CHECK(RtlFreeHeap(Heap, 0, Block));
        CATCH(RtlFreeHeap(Heap, 0, Block));
        CHECK(Caught == STATUS_HEAP_CORRUPTION);
        CATCH(RtlFreeHeap(Heap, 0, (PUCHAR)Keep + 16));
        CHECK(Caught == STATUS_HEAP_CORRUPTION);
        CHECK(!RtlFreeHeap(Heap, 0, (PUCHAR)Keep + 8));
        CHECK(RtlFreeHeap(Heap, 0, Keep));
    }
    PVOID Joined[3] = {RtlAllocateHeap(Heap, 0, 20000), RtlAllocateHeap(Heap, 0, 20000),
                       RtlAllocateHeap(Heap, 0, 20000)};
    CHECK(RtlFreeHeap(Heap, 0, Joined[0]) && RtlFreeHeap(Heap, 0, Joined[2]) && RtlFreeHeap(Heap, 0, Joined[1]));
    for (ULONG Index = 0; Index < 3; Index++) {
        CATCH(RtlFreeHeap(Heap, 0, Joined[Index]));
        CHECK(Caught == STATUS_HEAP_CORRUPTION);
    }
    CHECK(!RtlFreeHeap(Heap, 0, (PVOID)(((ULONG_PTR)&OnStack[2] + 15) & ~(ULONG_PTR)15)));
    CHECK(RtlValidateHeap(Heap, 0, NULL));
    CHECK(RtlDestroyHeap(Heap) == NULL);
    return 0;
}

static ULONG HeapOverrun(VOID)
{
    static const ULONG Sizes[] = {0, 1, 15, 16, 17, 31, 100, 1023, 1024, 5000, 200000};
    PVOID Heap = RtlCreateHeap(HEAP_GROWABLE, NULL, 0, 0, NULL, NULL);

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Sizes); Index++) {
        PUCHAR Block = RtlAllocateHeap(Heap, 0, Sizes[Index]);
        UCHAR Kept = Block[Sizes[Index]];

        Block[Sizes[Index]] = 0; /* one byte too many */
        CHECK(!RtlValidateHeap(Heap, 0, Block) && !RtlValidateHeap(Heap, 0, NULL));
        CATCH(RtlFreeHeap(Heap, 0, Block));
        CHECK(Caught == STATUS_HEAP_CORRUPTION);
        Block[Sizes[Index]] = Kept;
        CHECK(RtlValidateHeap(Heap, 0, NULL) && RtlFreeHeap(Heap, 0, Block));
    }
    CHECK(RtlDestroyHeap(Heap) == NULL);
    return 0;
}

static ULONG HeapHeader(VOID)
{
    PVOID Heap = RtlCreateHeap(HEAP_GROWABLE, NULL, 0, 0, NULL, NULL);
    PUCHAR Block = RtlAllocateHeap(Heap, 0, 64);

    for (LONG Offset = -16; Offset < 0; Offset++) { /* any byte of it */
        Block[Offset] ^= 0x10;
        CATCH(RtlFreeHeap(Heap, 0, Block));
        CHECK(Caught == STATUS_HEAP_CORRUPTION && !RtlValidateHeap(Heap, 0, NULL));
        Block[Offset] ^= 0x10;
    }
    CHECK(RtlFreeHeap(Heap, 0, Block) && RtlValidateHeap(Heap, 0, NULL));
    CHECK(RtlDestroyHeap(Heap) == NULL);
    return 0;
}

static ULONG HeapAfterFree(VOID)
{
    PVOID Heap = RtlCreateHeap(HEAP_GROWABLE | HEAP_FREE_CHECKING_ENABLED, NULL, 0, 0, NULL, NULL);
    PUCHAR Block = RtlAllocateHeap(Heap, 0, 5000), Guard = RtlAllocateHeap(Heap, 0, 16);

    CHECK(RtlFreeHeap(Heap, 0, Block) && RtlValidateHeap(Heap, 0, NULL));
    Block[100] = 0;
    CHECK(!RtlValidateHeap(Heap, 0, NULL));
    CATCH(RtlAllocateHeap(Heap, 0, 5000));
    CHECK(Caught == STATUS_HEAP_CORRUPTION);
    CHECK(RtlFreeHeap(Heap, 0, Guard));
    CHECK(RtlDestroyHeap(Heap) == NULL);
    return 0;
}

/* ---- Workloads ---- */

typedef struct _MODEL {
    PVOID Heap;
    PUCHAR Block[BLOCKS];
    SIZE_T Bytes[BLOCKS];
    ULONG Seed;
} MODEL, *PMODEL;

static SIZE_T RandomSize(PMODEL Model)
{
    static const ULONG Limits[] = {32, 200, 200, 1000, 5000, 60000, 300000};
    ULONG Limit = Limits[NextRandom(&Model->Seed) % 64 == 0 ? 6 : NextRandom(&Model->Seed) % 6];

    return NextRandom(&Model->Seed) % Limit;
}

static BOOLEAN IsFilled(PMODEL Model, ULONG Index, SIZE_T Bytes)
{
    for (SIZE_T Offset = 0; Offset < Bytes; Offset += Offset < 64 || Offset + 97 >= Bytes ? 1 : 97) {
        if (Model->Block[Index][Offset] != (UCHAR)Index) {
            return FALSE;
        }
    }
    return TRUE;
}

/* One block is made, resized or freed. */
static ULONG ModelStep(PMODEL Model)
{
    ULONG Index = NextRandom(&Model->Seed) % BLOCKS;
    SIZE_T Size = RandomSize(Model);

    if (Model->Block[Index] == NULL) {
        Model->Block[Index] = RtlAllocateHeap(Model->Heap, 0, Size);
    } else {
        CHECK(RtlSizeHeap(Model->Heap, 0, Model->Block[Index]) == Model->Bytes[Index]);
        CHECK(IsFilled(Model, Index, Model->Bytes[Index]));
        if (NextRandom(&Model->Seed) % 3 != 0) {
            CHECK(RtlFreeHeap(Model->Heap, 0, Model->Block[Index]));
            Model->Block[Index] = NULL;
            return 0;
        }
        Model->Block[Index] = RtlReAllocateHeap(Model->Heap, 0, Model->Block[Index], Size);
        CHECK(Model->Block[Index] != NULL && IsFilled(Model, Index, min(Size, Model->Bytes[Index])));
    }
    CHECK(Model->Block[Index] != NULL && ((ULONG_PTR)Model->Block[Index] & 15) == 0);
    Model->Bytes[Index] = Size;
    RtlFillMemory(Model->Block[Index], Size, (UCHAR)Index);
    return 0;
}

static ULONG ModelEnd(PMODEL Model)
{
    for (ULONG Index = 0; Index < BLOCKS; Index++) {
        if (Model->Block[Index] != NULL) {
            CHECK(IsFilled(Model, Index, Model->Bytes[Index]));
            CHECK(RtlFreeHeap(Model->Heap, 0, Model->Block[Index]));
            Model->Block[Index] = NULL;
        }
    }
    return 0;
}

static ULONG HeapRandom(VOID)
{
    static MODEL Model;

    for (ULONG Flags = 0; Flags <= HEAP_FREE_CHECKING_ENABLED; Flags += HEAP_FREE_CHECKING_ENABLED) {
        Model.Heap = RtlCreateHeap(HEAP_GROWABLE | Flags, NULL, 0, 0, NULL, NULL);
        Model.Seed = 12345 + Flags;
        for (ULONG Step = 0; Step < STEPS; Step++) {
            ULONG Line = ModelStep(&Model);

            if (Line != 0) {
                return Line;
            }
            CHECK(Step % 100 != 0 || RtlValidateHeap(Model.Heap, 0, NULL));
        }
        CHECK(ModelEnd(&Model) == 0 && RtlValidateHeap(Model.Heap, 0, NULL));
        CHECK(RtlDestroyHeap(Model.Heap) == NULL);
    }
    return 0;
}

static PVOID Shared;
static volatile LONG Seeds, Failures;

static NTSTATUS NTAPI ModelThread(PVOID Argument)
{
    PMODEL Model = RtlAllocateHeap(Shared, HEAP_ZERO_MEMORY, sizeof(MODEL));
    ULONG Line = Model == NULL ? 1 : 0;

    if (Model != NULL) {
        Model->Heap = Shared;
        Model->Seed = (ULONG)InterlockedIncrement(&Seeds) * 7919;
    }
    for (ULONG Step = 0; Step < STEPS / 4 && Line == 0; Step++) {
        Line = ModelStep(Model);
        if (Step % 500 == 0 && !RtlValidateHeap(Shared, 0, NULL)) {
            Line = 2;
        }
    }
    if (Line != 0 || ModelEnd(Model) != 0 || !RtlFreeHeap(Shared, 0, Model)) {
        DbgPrint("# thread: line %lu\n", Line);
        InterlockedIncrement(&Failures);
    }
    return STATUS_SUCCESS;
}

static ULONG HeapThreads(VOID)
{
    Shared = RtlCreateHeap(HEAP_GROWABLE, NULL, 0, 0, NULL, NULL);
    Seeds = Failures = 0;
    CHECK(RunThreads(ModelThread, NULL, THREADS) == 0);
    CHECK(Failures == 0 && RtlValidateHeap(Shared, 0, NULL));
    CHECK(RtlLockHeap(Shared) && RtlAllocateHeap(Shared, 0, 10) != NULL && RtlUnlockHeap(Shared));
    CHECK(RtlDestroyHeap(Shared) == NULL);
    return 0;
}

static const USER_CASE Cases[] = {
    {"user.heap.sizes", HeapSizes},
    {"user.heap.reallocate", HeapReAllocate},
    {"user.heap.grows", HeapGrows},
    {"user.heap.fixed", HeapFixed},
    {"user.heap.list", HeapList},
    {"user.heap.double_free", HeapDoubleFree},
    {"user.heap.overrun", HeapOverrun},
    {"user.heap.header", HeapHeader},
    {"user.heap.after_free", HeapAfterFree},
    {"user.heap.random", HeapRandom},
    {"user.heap.threads", HeapThreads},
};

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    return UserRunSuite("uheap.c", Cases, RTL_NUMBER_OF(Cases));
}
