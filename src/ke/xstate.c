/*
 * xstate.c - the floating-point and vector registers of programs.
 *
 * The kernel itself uses none of them. While a thread of ring 3 is in the kernel, its registers simply stay where they are: trap.asm
 * saves XMM0-5 for drivers, and drivers keep the rest. So a thread's state has to be put away only when another thread gets
 * the processor, and is loaded when it comes back: eagerly, so that nothing of it can be seen or inferred by others.
 * A thread that has never been in ring 3 has no state (StateSaveArea NULL) and leaves the registers alone.
 *
 * XSAVE is used where CPUID offers it, for x87, SSE, AVX and AVX-512; else FXSAVE. The user's FS and GS bases travel along, since FSGSBASE
 * lets programs write them.
 *
 * Locks: KiSaveUserState and KiRestoreUserState run under the dispatcher lock or with interrupts off.
 * Source: Intel SDM volume 1, chapter 13.
 */
#include "kip.h"
#include "processor.h"

#include <ntos/pool.h>

#define TAG_XSTATE      'tsxK'
#define FXSAVE_BYTES    512
#define XSAVE_HEADER    64
#define XSAVE_ALIGNMENT 64
#define FXSAVE_FCW      0 /* offsets in the legacy area */
#define FXSAVE_MXCSR    24
#define FXSAVE_MASK     28
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, XState) == 0x3E0);
C_ASSERT(FIELD_OFFSET(KE_EXTENDED_STATE, Mask) == FXSAVE_BYTES);

#define X87_PROGRAM   0x27F /* what the x64 ABI starts a program with: 53-bit precision, all exceptions masked */
#define MXCSR_PROGRAM 0x1F80

static BOOLEAN KiHasXsave;                                /* (c) */
static ULONG64 KiXstateMask;                              /* (c) XCR0 */
static ULONG KiXstateBytes = FXSAVE_BYTES + XSAVE_HEADER; /* (c) */
XSTATE_CONFIGURATION KeXstate;

#define XMM_OFFSET 160 /* in the legacy area */
#define XMM_BYTES  256

/* On every processor, with its control registers. */
VOID KiEnableExtendedState(VOID)
{
    ULONG Leaf1[4], Leaf13[4];
    DECLSPEC_ALIGN(16) UCHAR Legacy[FXSAVE_BYTES] = {0};

    __asm__ volatile("fxsave64 %0" : "=m"(Legacy));
    if (*(ULONG *)&Legacy[FXSAVE_MASK] != 0) {
        KiMxCsrMask = *(ULONG *)&Legacy[FXSAVE_MASK];
    }
    KeCpuid(1, 0, Leaf1);
    if ((Leaf1[2] & CPUID1_ECX_XSAVE) == 0) {
        return;
    }
    __writecr4(__readcr4() | CR4_OSXSAVE);
    KeCpuid(13, 0, Leaf13);
    KiXstateMask = Leaf13[0] & KI_XSTATE_MASK;
    __asm__ volatile("xsetbv" ::"c"(0), "a"((ULONG)KiXstateMask), "d"(0));
    KeCpuid(13, 0, Leaf13); /* EBX: bytes for what is enabled now */
    KiXstateBytes = Leaf13[1];
    KiHasXsave = TRUE;
}

/* Describes the state for the kernel and for programs. Boot processor, once. */
VOID KeInitializeExtendedState(VOID)
{
    KeXstate.EnabledFeatures = KiXstateMask;
    KeXstate.Size = KiXstateBytes;
    KeXstate.Features[0] = (XSTATE_FEATURE){0, XMM_OFFSET};
    KeXstate.Features[1] = (XSTATE_FEATURE){XMM_OFFSET, XMM_BYTES};
    for (ULONG Feature = 2; Feature < MAXIMUM_XSTATE_FEATURES; Feature++) {
        ULONG Leaf[4];

        if ((KiXstateMask >> Feature & 1) != 0) {
            KeCpuid(13, Feature, Leaf);
            KeXstate.Features[Feature] = (XSTATE_FEATURE){Leaf[1], Leaf[0]};
        }
    }
    ASSERT(KiXstateBytes <= sizeof(KE_EXTENDED_STATE));
    ((KUSER_SHARED_DATA *)MM_SHARED_USER_DATA)->XState = KeXstate;
}

/* State of a program that begins; NULL: memory is short. IRQL: <= DISPATCH_LEVEL. */
PVOID KeCreateUserState(VOID)
{
    /* The pool aligns to 16 bytes below a page and to a page from there on. */
    PUCHAR Area = ExAllocatePoolWithTag(NonPagedPool, max(KiXstateBytes, PAGE_SIZE), TAG_XSTATE);

    if (Area != NULL) {
        RtlZeroMemory(Area, KiXstateBytes);
        *(USHORT *)(Area + FXSAVE_FCW) = X87_PROGRAM;
        *(ULONG *)(Area + FXSAVE_MXCSR) = MXCSR_PROGRAM;
        *(ULONG64 *)(Area + FXSAVE_BYTES) = 1; /* x87 is in the area, the rest begins as after reset */
    }
    return Area;
}

VOID KeDeleteUserState(PVOID Area)
{
    ExFreePoolWithTag(Area, TAG_XSTATE);
}

/* The area is aligned to XSAVE_ALIGNMENT. Without XSAVE: x87 and XMM, whatever the features. */
VOID KeSaveFeatures(PVOID Area, ULONG64 Features)
{
    if (KiHasXsave) {
        __asm__ volatile("xsave64 (%0)" ::"r"(Area), "a"((ULONG)Features), "d"(0) : "memory");
    } else {
        __asm__ volatile("fxsave64 (%0)" ::"r"(Area) : "memory");
    }
}

VOID KeLoadFeatures(const VOID *Area, ULONG64 Features)
{
    if (KiHasXsave) {
        __asm__ volatile("xrstor64 (%0)" ::"r"(Area), "a"((ULONG)Features), "d"(0) : "memory");
    } else {
        __asm__ volatile("fxrstor64 (%0)" ::"r"(Area) : "memory");
    }
}

VOID KeCopyUserState(PVOID Area)
{
    KeSaveFeatures(Area, KiXstateMask);
}

VOID KiSaveUserState(PKTHREAD Thread)
{
    KeCopyUserState(Thread->StateSaveArea);
    Thread->UserFsBase = KeReadMsr(MSR_FS_BASE);
    Thread->UserGsBase = KeReadMsr(MSR_KERNEL_GS_BASE);
}

VOID KiRestoreUserState(PKTHREAD Thread)
{
    KeLoadFeatures(Thread->StateSaveArea, KiXstateMask);
    KeWriteMsr(MSR_FS_BASE, Thread->UserFsBase);
    KeWriteMsr(MSR_KERNEL_GS_BASE, Thread->UserGsBase);
}

/**
 * KeEnterUserMode - the calling thread's first step into ring 3.
 *
 * @Frame  on the calling stack, its context set by KeInitializeUserFrame
 * @Area   from KeCreateUserState; the thread's from now on
 *
 * IRQL: PASSIVE_LEVEL. Never returns.
 */
DECLSPEC_NORETURN VOID KeEnterUserMode(PKTRAP_FRAME Frame, PVOID Area)
{
    PKTHREAD Thread = KeGetCurrentThread();

    ASSERT_IRQL(PASSIVE_LEVEL);
    _disable();
    Thread->UserGsBase = (ULONG64)Thread->Teb;
    Thread->UserFsBase = 0;
    Thread->StateSaveArea = Area;
    Thread->TrapFrame = Frame;
    KiRestoreUserState(Thread);
    __asm__ volatile("ldmxcsr %0" ::"m"(KiInitialMxCsr));
    KiLeaveToUser(Frame);
    KiReturnToUser(Frame);
}

/* A frame that begins a program's thread: nothing in its registers but what is given. */
VOID KeInitializeUserFrame(PKTRAP_FRAME Frame, ULONG64 Rip, ULONG64 Rsp, ULONG64 Rcx, ULONG64 Rdx)
{
    RtlZeroMemory(Frame, sizeof(*Frame));
    Frame->MxCsr = MXCSR_PROGRAM;
    Frame->FromUser = 1;
    Frame->Vector = KI_FRAME_FULL;
    Frame->Rip = Rip;
    Frame->Rsp = Rsp;
    Frame->Rcx = Rcx;
    Frame->Rdx = Rdx;
    Frame->EFlags = EFLAGS_FIXED;
    Frame->SegCs = KGDT_R3_CODE | 3;
    Frame->SegSs = KGDT_R3_DATA | 3;
}
