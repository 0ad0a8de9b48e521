/*
 * topology.c - what drivers are told of the machine's processors: relationships, caches, the size of a cache line.
 *
 * There is one group and one node, and every processor is a core and a package of its own: what the emulators show, and what the scheduler
 * goes by. Caches come from CPUID leaf 4 of the processor that asks, taken to be alike on all and shared by none; a processor
 * without the leaf lists none.
 *
 * Locks: none. IRQL: as each says. Source: WDK, KeQueryLogicalProcessorRelationship; Intel SDM volume 2, CPUID.
 */
#include "kip.h"
#include "processor.h"

typedef SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX KI_RELATION, *PKI_RELATION;

#define RELATION_BYTES(Member) (FIELD_OFFSET(KI_RELATION, Processor) + sizeof(((PKI_RELATION)NULL)->Member))
#define CACHE_LEAVES           16 /* more than any processor has; a list without an end is not followed */
#define LEAF_FEATURES          1
#define LEAF_CACHES            4

/* Where the answer goes; what has no room is counted. */
typedef struct _KI_RELATION_WRITER {
    PUCHAR Buffer;
    ULONG Room, Needed;
} KI_RELATION_WRITER, *PKI_RELATION_WRITER;

static VOID KiAppendRelation(PKI_RELATION_WRITER Writer, PKI_RELATION Relation, LOGICAL_PROCESSOR_RELATIONSHIP Kind,
                             ULONG Bytes)
{
    Relation->Relationship = Kind;
    Relation->Size = Bytes;
    if (Writer->Needed + Bytes <= Writer->Room) {
        RtlCopyMemory(Writer->Buffer + Writer->Needed, Relation, Bytes);
    }
    Writer->Needed += Bytes;
}

/* CPUID's answer for one cache. FALSE: there are no more. */
static BOOLEAN KiDescribeCache(ULONG Index, KAFFINITY Mask, PKI_RELATION Relation)
{
    static const PROCESSOR_CACHE_TYPE Types[] = {CacheData, CacheInstruction, CacheUnified}; /* leaf's 1, 2, 3 */
    ULONG Leaf[4], Highest[4], Type, Ways, Line;

    KeCpuid(0, 0, Highest);
    if (Highest[0] < LEAF_CACHES) {
        return FALSE;
    }
    KeCpuid(LEAF_CACHES, Index, Leaf);
    Type = Leaf[0] & 31;
    if (Type == 0 || Type > RTL_NUMBER_OF(Types)) {
        return FALSE;
    }
    Ways = (Leaf[1] >> 22) + 1;
    Line = (Leaf[1] & 0xFFF) + 1;
    *Relation = (KI_RELATION){.Cache.Level = (UCHAR)(Leaf[0] >> 5 & 7),
                              .Cache.Associativity = (Leaf[0] & 1 << 9) != 0 ? CACHE_FULLY_ASSOCIATIVE : (UCHAR)Ways,
                              .Cache.LineSize = (USHORT)Line,
                              .Cache.CacheSize = Ways * ((Leaf[1] >> 12 & 0x3FF) + 1) * Line * (Leaf[2] + 1),
                              .Cache.Type = Types[Type - 1],
                              .Cache.GroupMask.Mask = Mask};
    return TRUE;
}

static BOOLEAN KiIsWanted(LOGICAL_PROCESSOR_RELATIONSHIP Wanted, LOGICAL_PROCESSOR_RELATIONSHIP Kind)
{
    return Wanted == RelationAll || Wanted == Kind;
}

/* A processor's own: its core, its package, its caches. */
static VOID KiAppendProcessor(PKI_RELATION_WRITER Writer, LOGICAL_PROCESSOR_RELATIONSHIP Wanted, KAFFINITY Mask)
{
    KI_RELATION Relation = {.Processor.GroupCount = 1, .Processor.GroupMask[0].Mask = Mask};

    if (KiIsWanted(Wanted, RelationProcessorCore)) {
        KiAppendRelation(Writer, &Relation, RelationProcessorCore, RELATION_BYTES(Processor));
    }
    if (KiIsWanted(Wanted, RelationProcessorPackage)) {
        KiAppendRelation(Writer, &Relation, RelationProcessorPackage, RELATION_BYTES(Processor));
    }
    for (ULONG Index = 0; KiIsWanted(Wanted, RelationCache) && Index < CACHE_LEAVES; Index++) {
        if (!KiDescribeCache(Index, Mask, &Relation)) {
            break;
        }
        KiAppendRelation(Writer, &Relation, RelationCache, RELATION_BYTES(Cache));
    }
}

/**
 * KeQueryLogicalProcessorRelationship - how processors, caches, nodes and groups belong together.
 *
 * @ProcessorNumber   what concerns this processor; NULL: all
 * @RelationshipType  which kind; RelationAll
 * @Information       records one after another, each of its own Size; may be NULL if *Length is 0
 * @Length            bytes of the buffer; gets the bytes of the answer
 * returns            STATUS_SUCCESS; STATUS_INFO_LENGTH_MISMATCH: *Length says how much it takes; STATUS_INVALID_PARAMETER: no such processor
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
NTSTATUS NTAPI KeQueryLogicalProcessorRelationship(PPROCESSOR_NUMBER ProcessorNumber,
                                                   LOGICAL_PROCESSOR_RELATIONSHIP RelationshipType,
                                                   PSYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX Information, PULONG Length)
{
    ULONG Count = KeQueryActiveProcessorCount(NULL);
    KI_RELATION_WRITER Writer = {.Buffer = (PUCHAR)Information, .Room = Information != NULL ? *Length : 0};
    KAFFINITY Active = KeQueryActiveProcessors();

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    if (ProcessorNumber != NULL && (ProcessorNumber->Group != 0 || ProcessorNumber->Number >= Count)) {
        return STATUS_INVALID_PARAMETER;
    }
    for (ULONG Index = 0; Index < Count; Index++) {
        if (ProcessorNumber == NULL || ProcessorNumber->Number == Index) {
            KiAppendProcessor(&Writer, RelationshipType, (KAFFINITY)1 << Index);
        }
    }
    if (KiIsWanted(RelationshipType, RelationNumaNode)) {
        KI_RELATION Node = {.NumaNode.GroupMask.Mask = Active};

        KiAppendRelation(&Writer, &Node, RelationNumaNode, RELATION_BYTES(NumaNode));
    }
    if (KiIsWanted(RelationshipType, RelationGroup)) {
        KI_RELATION Group = {.Group.MaximumGroupCount = 1,
                             .Group.ActiveGroupCount = 1,
                             .Group.GroupInfo[0] = {.MaximumProcessorCount = (UCHAR)Count,
                                                    .ActiveProcessorCount = (UCHAR)Count,
                                                    .ActiveProcessorMask = Active}};

        KiAppendRelation(&Writer, &Group, RelationGroup, RELATION_BYTES(Group));
    }
    *Length = Writer.Needed;
    return Writer.Needed <= Writer.Room ? STATUS_SUCCESS : STATUS_INFO_LENGTH_MISMATCH;
}

/* Bytes on which data of different processors should be apart: a cache line, by what CLFLUSH works on. Any IRQL. */
ULONG NTAPI KeGetRecommendedSharedDataAlignment(VOID)
{
    ULONG Leaf[4];

    KeCpuid(LEAF_FEATURES, 0, Leaf);
    return (Leaf[1] >> 8 & 0xFF) != 0 ? (Leaf[1] >> 8 & 0xFF) * 8 : SYSTEM_CACHE_ALIGNMENT_SIZE;
}
