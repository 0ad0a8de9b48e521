/*
 * processor.h - what belongs to one processor from its first instruction in the kernel.
 */
#pragma once

#include <ntos/ke.h>

#define KI_IST_STACK_BYTES 0x3000 /* a bug check on one needs two CONTEXTs and the print buffers: about 6 KB */
#define KI_IST_NMI         1
#define KI_IST_DOUBLE      2
#define KI_IST_MACHINE     3
#define KI_IST_DEBUG       4
#define KI_IST_COUNT       4

/* The PCR's address above the machine frame, where trap.asm finds it without trusting GS. */
typedef struct _KI_IST_STACK {
    UCHAR Stack[KI_IST_STACK_BYTES - 16];
    PKIPCR Pcr;
    ULONG64 Align;
} KI_IST_STACK;
C_ASSERT(FIELD_OFFSET(KI_IST_STACK, Pcr) % 16 == 0); /* the processor aligns RSP before it pushes */

typedef struct DECLSPEC_ALIGN(64) _KI_PROCESSOR_AREA {
    KIPCR Pcr;
    ULONG64 Gdt[KGDT_BYTES / sizeof(ULONG64)];
    KTSS64 Tss;
    DECLSPEC_ALIGN(16) KI_IST_STACK Ist[KI_IST_COUNT];
} KI_PROCESSOR_AREA, *PKI_PROCESSOR_AREA;

extern BOOLEAN KiVirtualMachine; /* (c) somebody else decides when a processor runs (spinlock.c) */

/* kecallback.c */
VOID KiInitializeCallbacks(VOID);
VOID KiCallAtBugCheck(VOID);
BOOLEAN KiCallAtNmi(VOID);

VOID KiInitializeIdt(VOID); /* once, before the first processor loads it (src/ke/idt.c) */
VOID KiLoadIdt(PKIPCR Pcr);

#define TRAP_DEBUG 1 /* vector of #DB */

/* Bug check codes that are documented and that the DDK's bugcodes.h lacks. */
#define MACHINE_CHECK_EXCEPTION       0x0000009C
#define KERNEL_SECURITY_CHECK_FAILURE 0x00000139

/* Vectors that software raises with INT n, as public compilers and headers do. */
#define KI_VECTOR_FAST_FAIL     0x29
#define KI_VECTOR_ASSERTION     0x2C
#define KI_VECTOR_DEBUG_SERVICE 0x2D

#define KI_VECTOR_SERVICE 0x2E /* system services, as an alternative to SYSCALL */

/* KTRAP_FRAME.Vector of frames that no vector made; above every vector. */
#define KI_FRAME_SYSCALL 0x100 /* by SYSCALL: XMM0-5 are not in it; syscall.asm */
#define KI_FRAME_FULL    0x101 /* every register is loaded from it on the way to ring 3 */

/* Vectors below 0x20 belong to the processor, except the APC self-IPI. */
FORCEINLINE BOOLEAN KiIsInterruptVector(ULONG Vector)
{
    return Vector == KI_VECTOR_APC ||
           (Vector >= 0x20 && Vector != KI_VECTOR_FAST_FAIL && Vector != KI_VECTOR_ASSERTION &&
            Vector != KI_VECTOR_DEBUG_SERVICE && Vector != KI_VECTOR_SERVICE);
}

PKI_VECTOR_ROUTINE KiVectorRoutine(ULONG Vector, PVOID *Context); /* NULL: not connected */

VOID KiDispatchException(PKTRAP_FRAME Frame, NTSTATUS Code, ULONG Parameters, ULONG_PTR P0, ULONG_PTR P1, ULONG_PTR P2);
VOID KiContextFromFrame(PKTRAP_FRAME Frame, PCONTEXT Context);
/* The integer registers of a CONTEXT, into the frame. */
VOID KiIntegersFromContext(PCONTEXT Context, PKTRAP_FRAME Frame);
VOID KiPrintContextStack(PCONTEXT Context); /* modifies it */
extern volatile LONG KiPrintUnlocked;       /* > 0: the console's lock is not waited for (debugprint.c) */
extern volatile LONG KiBugCheckActive;      /* != 0: a processor is reporting the end */
extern volatile BOOLEAN KiBugCheckReported; /* the report is out */

/* nmi.c. Interrupts off. */
VOID KiNmi(PKTRAP_FRAME Frame);
VOID KiStopOthers(VOID);   /* by NMI, and waits until they are, for some seconds at most */
VOID KiPrintStopped(VOID); /* the stacks of the processors that an NMI has stopped */

/* ---- Ring 3: syscall.asm, syscall.c, userframe.c, usertrap.c, xstate.c ---- */

extern ULONG KiInitialMxCsr; /* (c) trap.asm */
extern ULONG KiMxCsrMask;    /* (c) bits of MXCSR that this machine has */

VOID KiSystemCall64(VOID);
VOID KiEnableSystemCalls(VOID);
VOID KiEnableExtendedState(VOID);
BOOLEAN KiSystemCall(PKTRAP_FRAME Frame);
VOID KiSystemService(PKTRAP_FRAME Frame);
VOID KiLeaveToUser(PKTRAP_FRAME Frame);
DECLSPEC_NORETURN VOID KiReturnToUser(PKTRAP_FRAME Frame); /* trap.asm */
VOID KiDeliverUserApc(PKTRAP_FRAME Frame);
VOID KiUserContextFromFrame(PKTRAP_FRAME Frame, PCONTEXT Context);
VOID KiFrameFromUserContext(PCONTEXT Context, PKTRAP_FRAME Frame);
VOID KiDispatchUserException(PEXCEPTION_RECORD Record, PKTRAP_FRAME Frame, BOOLEAN FirstChance);
NTSTATUS KiDivideStatus(PKTRAP_FRAME Frame); /* divide.c */

/* xcontext.c */
NTSTATUS KiStoreExtendedState(PUCHAR Part);
ULONG64 KiPlaceExtendedFrame(ULONG64 Rsp, ULONG Bytes, PCONTEXT_EX Layout);
NTSTATUS KiLoadExtendedState(const CONTEXT *Context);

/* debugregs.c */
VOID KiLoadUserBreakpoints(PKTHREAD Thread);
VOID KiUnloadUserBreakpoints(VOID);
VOID KiNoteDebugTrap(PKTHREAD Thread, ULONG64 Dr6);
BOOLEAN KiDropUserBreakpoint(PKTRAP_FRAME Frame);
VOID KiUserException(PKTRAP_FRAME Frame); /* an exception of ring 3 other than a page fault. Interrupts on */
