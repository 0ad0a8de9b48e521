/*
 * breakpoint.c - software and hardware breakpoints.
 *
 * Software breakpoints exist in two states: registered (gdb set them) and planted (the INT3 is in memory). They are lifted as
 * the first thing when the debugger is entered and planted as the last thing when it leaves, so the debugger may use
 * functions that have breakpoints, and gdb always reads the original bytes. A page that is not mapped at planting time
 * is tried again at the next departure.
 *
 * Hardware breakpoints and watchpoints use DR0-DR3 of every processor: the owner and each thawed processor load the same
 * four from the table here. DR7 is zero while the debugger is active.
 *
 * Source: Intel SDM 3B, chapter 17 (debug registers).
 */
#include "kdp.h"

#define KDP_SOFTWARE 64
#define KDP_HARDWARE 4
#define INT3         0xCC
#define DR7_FIXED    0x400ULL /* bit 10 reads as one */
#define DR6_FIXED    0xFFFF0FF0ULL

/* Z packet types */
enum { ZSoftware = 0, ZHardware = 1, ZWrite = 2, ZRead = 3, ZAccess = 4 };

typedef struct _KDP_SOFTWARE_BREAKPOINT {
    ULONG64 Address;
    BOOLEAN Used;
    BOOLEAN Planted;
    UCHAR Original; /* the byte under INT3 while planted */
} KDP_SOFTWARE_BREAKPOINT;

typedef struct _KDP_HARDWARE_BREAKPOINT {
    ULONG64 Address;
    BOOLEAN Used;
    UCHAR Type; /* of the Z packet */
    UCHAR Length;
} KDP_HARDWARE_BREAKPOINT;

static KDP_SOFTWARE_BREAKPOINT KdpSoftware[KDP_SOFTWARE];
static KDP_HARDWARE_BREAKPOINT KdpHardware[KDP_HARDWARE];

static VOID KdpWriteDr(ULONG Number, ULONG64 Value)
{
    switch (Number) {
    case 0:
        __asm__ volatile("movq %0, %%dr0" ::"r"(Value));
        break;
    case 1:
        __asm__ volatile("movq %0, %%dr1" ::"r"(Value));
        break;
    case 2:
        __asm__ volatile("movq %0, %%dr2" ::"r"(Value));
        break;
    case 3:
        __asm__ volatile("movq %0, %%dr3" ::"r"(Value));
        break;
    case 6:
        __asm__ volatile("movq %0, %%dr6" ::"r"(Value));
        break;
    case 7:
        __asm__ volatile("movq %0, %%dr7" ::"r"(Value));
        break;
    }
}

VOID KdpLiftBreakpoints(VOID)
{
    KdpWriteDr(7, DR7_FIXED);
    for (ULONG Index = 0; Index < KDP_SOFTWARE; Index++) {
        KDP_SOFTWARE_BREAKPOINT *Point = &KdpSoftware[Index];

        if (Point->Planted) {
            KdpCopyToTarget(Point->Address, &Point->Original, 1);
            Point->Planted = FALSE;
        }
    }
}

/* DR7's bits for one register: exact global enable is not needed on any processor with long mode. */
static ULONG64 KdpDr7Bits(ULONG Index)
{
    static const UCHAR Condition[] = {[ZHardware] = 0, [ZWrite] = 1, [ZAccess] = 3};
    const KDP_HARDWARE_BREAKPOINT *Point = &KdpHardware[Index];
    ULONG64 Length = Point->Length == 8 ? 2 : Point->Length - 1;

    return 2ULL << (2 * Index) | (ULONG64)Condition[Point->Type] << (16 + 4 * Index) | Length << (18 + 4 * Index);
}

VOID KdLoadDebugRegisters(VOID)
{
    ULONG64 Dr7 = DR7_FIXED;

    KdpWriteDr(0, KdpHardware[0].Address);
    KdpWriteDr(1, KdpHardware[1].Address);
    KdpWriteDr(2, KdpHardware[2].Address);
    KdpWriteDr(3, KdpHardware[3].Address);
    for (ULONG Index = 0; Index < KDP_HARDWARE; Index++) {
        if (KdpHardware[Index].Used) {
            Dr7 |= KdpDr7Bits(Index);
        }
    }
    KdpWriteDr(6, DR6_FIXED);
    KdpWriteDr(7, Dr7);
}

VOID KdpPlantBreakpoints(VOID)
{
    static const UCHAR Int3 = INT3;

    for (ULONG Index = 0; Index < KDP_SOFTWARE; Index++) {
        KDP_SOFTWARE_BREAKPOINT *Point = &KdpSoftware[Index];

        if (Point->Used && KdpCopyFromTarget(&Point->Original, Point->Address, 1) == 1) {
            Point->Planted = KdpCopyToTarget(Point->Address, &Int3, 1) == 1;
        }
    }
}

static BOOLEAN KdpSetSoftware(ULONG64 Address)
{
    KDP_SOFTWARE_BREAKPOINT *Free = NULL;
    UCHAR Byte;

    if (KdpCopyFromTarget(&Byte, Address, 1) != 1) {
        return FALSE;
    }
    for (ULONG Index = 0; Index < KDP_SOFTWARE; Index++) {
        if (KdpSoftware[Index].Used && KdpSoftware[Index].Address == Address) {
            return TRUE; /* gdb may set one twice */
        }
        if (!KdpSoftware[Index].Used && Free == NULL) {
            Free = &KdpSoftware[Index];
        }
    }
    if (Free == NULL) {
        return FALSE;
    }
    *Free = (KDP_SOFTWARE_BREAKPOINT){.Address = Address, .Used = TRUE};
    return TRUE;
}

static BOOLEAN KdpSetHardware(ULONG Type, ULONG64 Address, ULONG Length)
{
    if (Type == ZHardware) {
        Length = 1; /* the processor wants 1 for execution; gdb passes the size of INT3 */
    }
    if ((Length != 1 && Length != 2 && Length != 4 && Length != 8) || (Address & (Length - 1)) != 0) {
        return FALSE;
    }
    for (ULONG Index = 0; Index < KDP_HARDWARE; Index++) {
        if (!KdpHardware[Index].Used) {
            KdpHardware[Index] = (KDP_HARDWARE_BREAKPOINT){Address, TRUE, (UCHAR)Type, (UCHAR)Length};
            return TRUE;
        }
    }
    return FALSE;
}

BOOLEAN KdpSetBreakpoint(ULONG Type, ULONG64 Address, ULONG Kind)
{
    if (Type == ZSoftware) {
        return KdpSetSoftware(Address);
    }
    /* The processor cannot watch reads alone. */
    return Type <= ZAccess && Type != ZRead && KdpSetHardware(Type, Address, Kind);
}

BOOLEAN KdpClearBreakpoint(ULONG Type, ULONG64 Address, ULONG Kind)
{
    for (ULONG Index = 0; Type == ZSoftware && Index < KDP_SOFTWARE; Index++) {
        if (KdpSoftware[Index].Used && KdpSoftware[Index].Address == Address) {
            KdpSoftware[Index].Used = FALSE;
            return TRUE;
        }
    }
    for (ULONG Index = 0; Type != ZSoftware && Index < KDP_HARDWARE; Index++) {
        if (KdpHardware[Index].Used && KdpHardware[Index].Type == Type && KdpHardware[Index].Address == Address) {
            KdpHardware[Index].Used = FALSE;
            return TRUE;
        }
    }
    return FALSE;
}

/* gdb has a software breakpoint there. */
BOOLEAN KdpIsBreakpoint(ULONG64 Address)
{
    for (ULONG Index = 0; Index < KDP_SOFTWARE; Index++) {
        if (KdpSoftware[Index].Used && KdpSoftware[Index].Address == Address) {
            return TRUE;
        }
    }
    return FALSE;
}

VOID KdpClearAllBreakpoints(VOID)
{
    for (ULONG Index = 0; Index < KDP_SOFTWARE; Index++) {
        KdpSoftware[Index].Used = FALSE;
    }
    for (ULONG Index = 0; Index < KDP_HARDWARE; Index++) {
        KdpHardware[Index].Used = FALSE;
    }
}

/* Which data watchpoint does DR6 report? Kind becomes the protocol's word for it. */
BOOLEAN KdpWatchpointHit(ULONG64 Dr6, PULONG64 Address, PCSTR *Kind)
{
    for (ULONG Index = 0; Index < KDP_HARDWARE; Index++) {
        const KDP_HARDWARE_BREAKPOINT *Point = &KdpHardware[Index];

        if ((Dr6 >> Index & 1) != 0 && Point->Used && Point->Type != ZHardware) {
            *Address = Point->Address;
            *Kind = Point->Type == ZWrite ? "watch" : "awatch";
            return TRUE;
        }
    }
    return FALSE;
}
