/*
 * class.c - which class a lock belongs to.
 *
 * Locks that are variables of the kernel are named where they are declared (VF_NAME_LOCK); the linker gathers the names and
 * they are sorted by address once. Locks inside something allocated are entered by address into a table of chains, one for the
 * locks of a page, so that freeing a block finds what was in it at once (VfForgetRange). Every other lock's class is the place that
 * takes it: a return address.
 *
 * Readers of the tables take no lock. An address that is not found is looked for again if the table changed meanwhile: an
 * entry may have moved to another chain under the reader's feet.
 *
 * Locks: the verifier's own, to change a table. IRQL: any. Never allocates: a full table is counted, and its locks are
 * known by their places.
 */
#include "vfp.h"
#include <ntos/rtl.h>

#define STATIC_LOCKS 96    /* VF_NAME_LOCK lines, about twice what the tree has */
#define NAMED_LOCKS  16384 /* in memory at one time: one or two a file object, handle table, processor */
#define CHAINS       4096
#define SITES        1024 /* power of two; half of it can be used (VF_CLASSES) */

__attribute__((section(".vflock$a"), used)) static const VF_STATIC_LOCK *const VfFirst = NULL;
__attribute__((section(".vflock$z"), used)) static const VF_STATIC_LOCK *const VfLast = NULL;

/* Suites are linked into section .text$t (ktap.h), between these. */
__attribute__((section(".text$s"), used)) static VOID TestBegin(VOID)
{
}
__attribute__((section(".text$u"), used)) static VOID TestEnd(VOID)
{
}

typedef struct _VF_RANGE_NAME {
    ULONG64 Base, End;
    VF_CLASS_NUMBER Class;
} VF_RANGE_NAME;

typedef struct _VF_NAMED {
    volatile ULONG64 Lock; /* 0: free */
    volatile USHORT Next;  /* index in the chain or the free list; 0: none */
    VF_CLASS_NUMBER Class;
} VF_NAMED;

VF_CLASS VfClasses[VF_CLASSES];
volatile ULONG VfClassCount = 1;

static VF_RANGE_NAME StaticLocks[STATIC_LOCKS]; /* (c) sorted by Base */
static ULONG StaticCount;
static VF_NAMED Named[NAMED_LOCKS]; /* (tables' lock); 0 is not used */
static volatile USHORT Chains[CHAINS];
static USHORT NamedFree;
static ULONG NamedUsed = 1, NamedRefused;
static volatile ULONG NamedChanges;
static struct {
    PVOID volatile Site;
    VF_CLASS_NUMBER Class;
} Sites[SITES];

static const PCSTR KindNames[VfKinds] = {"spin", "spin", "spin", "fastmutex", "guarded", "push", "resource", "mutant"};

BOOLEAN VfIsTestAddress(ULONG64 Address)
{
    return Address >= (ULONG64)TestBegin && Address < (ULONG64)TestEnd;
}

PCSTR VfClassName(VF_CLASS_NUMBER Number, PSTR Text, ULONG Bytes)
{
    PVF_CLASS Class = &VfClasses[Number];
    KI_IMAGE Image;

    if (Number == 0 || Class->Name != NULL) {
        RtlFormatString(Text, Bytes, "%s", Number == 0 ? "none" : Class->Name);
    } else if (Class->Test) {
        RtlFormatString(Text, Bytes, "test+0x%llx/%s", (ULONG64)Class->Site - (ULONG64)TestBegin,
                        KindNames[Class->Kind]);
    } else {
        BOOLEAN Found = KiFindImage((ULONG64)Class->Site, &Image);
        RtlFormatString(Text, Bytes, "%s+0x%llx/%s", Found ? Image.Name : "nowhere",
                        Found ? (ULONG64)Class->Site - (ULONG64)Image.Base : (ULONG64)Class->Site,
                        KindNames[Class->Kind]);
    }
    return Text;
}

/* Under the tables' lock. Returns 0 if there is no room. */
static VF_CLASS_NUMBER AddClass(PCSTR Name, VF_KIND Kind, PVOID Site)
{
    ULONG Number = VfClassCount;

    if (Number == VF_CLASSES) {
        return 0;
    }
    VfClasses[Number] = (VF_CLASS){
        .Name = Name, .Site = Site, .Kind = (UCHAR)Kind, .Test = VfIsTestAddress((ULONG64)Site), .Lowest = 0xFF};
    _ReadWriteBarrier();
    VfClassCount = Number + 1;
    return (VF_CLASS_NUMBER)Number;
}

BOOLEAN VfSameText(PCSTR One, PCSTR Other)
{
    while (*One != 0 && *One == *Other) {
        One++;
        Other++;
    }
    return *One == *Other;
}

/* Under the tables' lock. Names are few: found by going through them. */
VF_CLASS_NUMBER VfClassOfName(PCSTR Name)
{
    for (ULONG Number = 1; Number < VfClassCount; Number++) {
        if (VfClasses[Number].Name != NULL && VfSameText(VfClasses[Number].Name, Name)) {
            return (VF_CLASS_NUMBER)Number;
        }
    }
    return AddClass(Name, VfSpinLock, NULL);
}

/* ---- Places ---- */

static ULONG SiteSlot(PVOID Site)
{
    return (ULONG)(((ULONG64)Site * 0x9E3779B97F4A7C15ULL) >> 54); /* 10 bits of a golden-ratio product */
}
C_ASSERT(SITES == 1 << 10);

static VF_CLASS_NUMBER ClassOfSite(PVOID Site, VF_KIND Kind)
{
    ULONG Slot = SiteSlot(Site);

    while (Sites[Slot].Site != NULL) {
        if (Sites[Slot].Site == Site) {
            return Sites[Slot].Class;
        }
        Slot = (Slot + 1) % SITES;
    }
    BOOLEAN Enabled = VfLockTables();
    while (Sites[Slot].Site != NULL && Sites[Slot].Site != Site) {
        Slot = (Slot + 1) % SITES;
    }
    if (Sites[Slot].Site == NULL) {
        VF_CLASS_NUMBER Class = AddClass(NULL, Kind, Site);
        if (Class != 0) {
            Sites[Slot].Class = Class;
            _ReadWriteBarrier();
            Sites[Slot].Site = Site;
        }
    }
    VF_CLASS_NUMBER Result = Sites[Slot].Site == Site ? Sites[Slot].Class : 0;
    VfUnlockTables(Enabled);
    return Result;
}

/* ---- Named locks in memory ---- */

static ULONG ChainOf(ULONG64 Lock)
{
    return (ULONG)(((Lock >> PAGE_SHIFT) * 0x9E3779B97F4A7C15ULL) >> 52); /* 12 bits */
}
C_ASSERT(CHAINS == 1 << 12);

static VF_CLASS_NUMBER ClassOfNamed(ULONG64 Lock)
{
    ULONG Before;

    do {
        Before = NamedChanges;
        _ReadWriteBarrier();
        for (USHORT Index = Chains[ChainOf(Lock)]; Index != 0; Index = Named[Index].Next) {
            if (Named[Index].Lock == Lock) {
                return Named[Index].Class;
            }
        }
        _ReadWriteBarrier();
    } while (Before != NamedChanges);
    return 0;
}

/* Under the tables' lock. */
static VOID EnterNamed(ULONG64 Lock, VF_CLASS_NUMBER Class)
{
    ULONG Chain = ChainOf(Lock);
    USHORT Index = NamedFree;

    for (USHORT Old = Chains[Chain]; Old != 0; Old = Named[Old].Next) {
        if (Named[Old].Lock == Lock) {
            Named[Old].Class = Class;
            return;
        }
    }
    if (Index != 0) {
        NamedFree = Named[Index].Next;
    } else if (NamedUsed < NAMED_LOCKS) {
        Index = (USHORT)NamedUsed++;
    } else {
        NamedRefused++;
        return;
    }
    NamedChanges++;
    Named[Index].Class = Class;
    Named[Index].Next = Chains[Chain];
    Named[Index].Lock = Lock;
    _ReadWriteBarrier();
    Chains[Chain] = Index;
}

VOID VfNameLock(PVOID Lock, PCSTR Name)
{
    BOOLEAN Enabled = VfLockTables();

    EnterNamed((ULONG64)Lock, VfClassOfName(Name));
    VfUnlockTables(Enabled);
}

VOID VfNameLockBySite(PVOID Lock, VF_KIND Kind, PVOID Site)
{
    VF_CLASS_NUMBER Class = ClassOfSite(Site, Kind);
    BOOLEAN Enabled = VfLockTables();

    EnterNamed((ULONG64)Lock, Class);
    VfUnlockTables(Enabled);
}

/* The named locks of one page that lie in a range go. Under the tables' lock. */
static ULONG ForgetInChain(ULONG Chain, ULONG64 Base, ULONG64 End)
{
    volatile USHORT *Link = &Chains[Chain];
    ULONG Count = 0;

    while (*Link != 0) {
        USHORT Index = *Link;
        if (Named[Index].Lock < Base || Named[Index].Lock >= End) {
            Link = &Named[Index].Next;
            continue;
        }
        *Link = Named[Index].Next;
        NamedChanges++;
        Count += VfClasses[Named[Index].Class].Kind == VfResource;
        Named[Index].Lock = 0;
        Named[Index].Next = NamedFree;
        NamedFree = Index;
    }
    return Count;
}

ULONG VfForgetRange(PVOID Base, SIZE_T Bytes)
{
    ULONG64 Page = (ULONG64)Base & ~(ULONG64)(PAGE_SIZE - 1), End = (ULONG64)Base + Bytes;
    ULONG Count = 0, Left = CHAINS;

    for (; Page < End && Left != 0; Page += PAGE_SIZE, Left--) {
        ULONG Chain = ChainOf(Page);
        if (Chains[Chain] != 0) {
            BOOLEAN Enabled = VfLockTables();
            Count += ForgetInChain(Chain, (ULONG64)Base, End);
            VfUnlockTables(Enabled);
        }
    }
    return Count;
}

VOID VfForgetLock(PVOID Lock)
{
    VfForgetRange(Lock, 1);
}

/* ---- All together ---- */

static VF_CLASS_NUMBER ClassOfStatic(ULONG64 Lock)
{
    ULONG Low = 0, High = StaticCount;

    while (Low < High) {
        ULONG Middle = (Low + High) / 2;
        if (Lock < StaticLocks[Middle].Base) {
            High = Middle;
        } else if (Lock >= StaticLocks[Middle].End) {
            Low = Middle + 1;
        } else {
            return StaticLocks[Middle].Class;
        }
    }
    return 0;
}

VF_CLASS_NUMBER VfClassOf(PVOID Lock, VF_KIND Kind, PVOID Site)
{
    static VF_CLASS_NUMBER ListClass;
    VF_CLASS_NUMBER Class = 0;

    if (!VfActive) {
        return 0;
    }
    if (Kind == VfListSpinLock) {
        if (ListClass == 0) {
            BOOLEAN Enabled = VfLockTables();
            ListClass = VfClassOfName("ExInterlockedLists");
            VfUnlockTables(Enabled);
        }
        return ListClass;
    }
    if (StaticCount != 0 && (ULONG64)Lock >= StaticLocks[0].Base && (ULONG64)Lock < StaticLocks[StaticCount - 1].End) {
        Class = ClassOfStatic((ULONG64)Lock);
    }
    if (Class == 0) {
        Class = ClassOfNamed((ULONG64)Lock);
    }
    return Class != 0 ? Class : ClassOfSite(Site, Kind);
}

static VOID AddStatic(const VF_STATIC_LOCK *Lock)
{
    ULONG Index = StaticCount++;

    ASSERT(StaticCount <= STATIC_LOCKS);
    while (Index > 0 && StaticLocks[Index - 1].Base > (ULONG64)Lock->Lock) {
        StaticLocks[Index] = StaticLocks[Index - 1];
        Index--;
    }
    StaticLocks[Index].Base = (ULONG64)Lock->Lock;
    StaticLocks[Index].End = (ULONG64)Lock->Lock + Lock->Bytes;
    StaticLocks[Index].Class = VfClassOfName(Lock->Name);
}

VOID VfInitializeClasses(VOID)
{
    for (const VF_STATIC_LOCK *const *Lock = &VfFirst + 1; Lock < &VfLast; Lock++) {
        if (*Lock != NULL) {
            AddStatic(*Lock);
        }
    }
}
