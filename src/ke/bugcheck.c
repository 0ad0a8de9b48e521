/*
 * bugcheck.c - the end of the kernel when it can no longer be trusted.
 *
 * One processor wins the right to report; others that arrive halt quietly. It stops the others by NMI first, and shows their
 * stacks behind its own. The report goes out polled, without locks, with interrupts off, and reads memory only through
 * KiCopyMemoryNoFault and the unwinder, so that a damaged stack or list cannot stop it. Its format is a contract with the test harness and scripts/symbolize:
 *
 *   *** STOP 0x0000000A (0x..., 0x..., 0x..., 0x...) IRQL_NOT_LESS_OR_EQUAL
 *   registers, then stack lines "  #0 0xFFFFF80000001234 ntoskrnl.exe+0x1234"
 *   for each other processor "processor N at IRQL L" and its stack lines
 *   *** END STOP
 *
 * Then it calls those who registered for it (kecallback.c).
 * With boot option `test` the emulator is then ended; otherwise every processor halts.
 */
#include <ntos/console.h>
#include <ntos/hal.h>
#include <ntos/kd.h>
#include <ntos/init.h>
#include <ntos/rtl.h>
#include "processor.h"

#define BUGCHECK_EXIT_CODE  0x2A /* QEMU then exits with 0x55 */
#define BOCHS_SHUTDOWN_PORT 0x8900

volatile LONG KiBugCheckActive;
volatile BOOLEAN KiBugCheckReported;

typedef struct _KI_BUGCHECK_NAME {
    ULONG Code;
    PCSTR Name;
} KI_BUGCHECK_NAME;

#define BUGCHECK_NAME(Code) {Code, #Code}

static const KI_BUGCHECK_NAME KiBugCheckNames[] = {
    BUGCHECK_NAME(APC_INDEX_MISMATCH),
    BUGCHECK_NAME(ATTEMPTED_SWITCH_FROM_DPC),
    BUGCHECK_NAME(ATTEMPTED_WRITE_TO_READONLY_MEMORY),
    BUGCHECK_NAME(BAD_POOL_CALLER),
    BUGCHECK_NAME(BAD_POOL_HEADER),
    BUGCHECK_NAME(CACHE_MANAGER),
    BUGCHECK_NAME(CDFS_FILE_SYSTEM),
    {0x00000101, "CLOCK_WATCHDOG_TIMEOUT"}, /* the DDK's bugcodes.h lacks it */
    BUGCHECK_NAME(DRIVER_IRQL_NOT_LESS_OR_EQUAL),
    BUGCHECK_NAME(DRIVER_LEFT_LOCKED_PAGES_IN_PROCESS),
    BUGCHECK_NAME(FAT_FILE_SYSTEM),
    BUGCHECK_NAME(FILE_SYSTEM),
    BUGCHECK_NAME(HAL_INITIALIZATION_FAILED),
    BUGCHECK_NAME(INACCESSIBLE_BOOT_DEVICE),
    BUGCHECK_NAME(INCONSISTENT_IRP),
    BUGCHECK_NAME(INSTALL_MORE_MEMORY),
    BUGCHECK_NAME(IRQL_GT_ZERO_AT_SYSTEM_SERVICE),
    BUGCHECK_NAME(IRQL_NOT_LESS_OR_EQUAL),
    BUGCHECK_NAME(IRQL_UNEXPECTED_VALUE),
    BUGCHECK_NAME(KERNEL_DATA_INPAGE_ERROR),
    BUGCHECK_NAME(KERNEL_MODE_EXCEPTION_NOT_HANDLED),
    BUGCHECK_NAME(KERNEL_SECURITY_CHECK_FAILURE),
    BUGCHECK_NAME(KERNEL_STACK_INPAGE_ERROR),
    BUGCHECK_NAME(KMODE_EXCEPTION_NOT_HANDLED),
    BUGCHECK_NAME(MACHINE_CHECK_EXCEPTION),
    BUGCHECK_NAME(MANUALLY_INITIATED_CRASH),
    BUGCHECK_NAME(MAXIMUM_WAIT_OBJECTS_EXCEEDED),
    BUGCHECK_NAME(MEMORY1_INITIALIZATION_FAILED),
    BUGCHECK_NAME(MEMORY_MANAGEMENT),
    BUGCHECK_NAME(MULTIPLE_IRP_COMPLETE_REQUESTS),
    BUGCHECK_NAME(NMI_HARDWARE_FAILURE),
    BUGCHECK_NAME(NO_EXCEPTION_HANDLING_SUPPORT),
    BUGCHECK_NAME(NO_MORE_IRP_STACK_LOCATIONS),
    BUGCHECK_NAME(NO_MORE_SYSTEM_PTES),
    BUGCHECK_NAME(NO_USER_MODE_CONTEXT),
    BUGCHECK_NAME(PAGE_FAULT_IN_NONPAGED_AREA),
    BUGCHECK_NAME(PFN_LIST_CORRUPT),
    BUGCHECK_NAME(PHASE0_INITIALIZATION_FAILED),
    BUGCHECK_NAME(PHASE1_INITIALIZATION_FAILED),
    BUGCHECK_NAME(PROCESS1_INITIALIZATION_FAILED),
    BUGCHECK_NAME(PROCESS_HAS_LOCKED_PAGES),
    BUGCHECK_NAME(REFERENCE_BY_POINTER),
    BUGCHECK_NAME(RESOURCE_NOT_OWNED),
    BUGCHECK_NAME(SPIN_LOCK_ALREADY_OWNED),
    BUGCHECK_NAME(SPIN_LOCK_NOT_OWNED),
    BUGCHECK_NAME(SYSTEM_THREAD_EXCEPTION_NOT_HANDLED),
    BUGCHECK_NAME(THREAD_STUCK_IN_DEVICE_DRIVER),
    BUGCHECK_NAME(UNEXPECTED_KERNEL_MODE_TRAP),
    BUGCHECK_NAME(WORKER_INVALID),
    {(ULONG)STATUS_ASSERTION_FAILURE, "STATUS_ASSERTION_FAILURE"},
};

static PCSTR KiBugCheckName(ULONG Code)
{
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(KiBugCheckNames); Index++) {
        if (KiBugCheckNames[Index].Code == Code) {
            return KiBugCheckNames[Index].Name;
        }
    }
    return "BUG_CHECK";
}

static DECLSPEC_NORETURN VOID KiStopForever(VOID)
{
    for (;;) {
        KeDisableInterrupts();
        KeHalt();
    }
}

static VOID KiPrintRegisters(PCONTEXT Context)
{
    ConPrint("rip=%016llx rsp=%016llx efl=%08x irql=%u cpu=%u\n", Context->Rip, Context->Rsp, (unsigned)Context->EFlags,
             (unsigned)KeGetCurrentIrql(), KeNumberOfActiveProcessors == 0 ? 0 : KeGetCurrentPrcb()->Number);
    ConPrint("rax=%016llx rbx=%016llx rcx=%016llx rdx=%016llx\n", Context->Rax, Context->Rbx, Context->Rcx,
             Context->Rdx);
    ConPrint("rsi=%016llx rdi=%016llx rbp=%016llx r8 =%016llx\n", Context->Rsi, Context->Rdi, Context->Rbp,
             Context->R8);
    ConPrint("r9 =%016llx r10=%016llx r11=%016llx r12=%016llx\n", Context->R9, Context->R10, Context->R11,
             Context->R12);
    ConPrint("r13=%016llx r14=%016llx r15=%016llx\n", Context->R13, Context->R14, Context->R15);
    ConPrint("cr0=%08llx cr2=%016llx cr3=%016llx cr4=%08llx\n", __readcr0(), __readcr2(), __readcr3(), __readcr4());
}

/* Bochs's unmapped-port device powers the machine off on this word; elsewhere nobody listens. */
static VOID KiEndBochs(VOID)
{
    for (PCSTR Next = "Shutdown"; *Next != 0; Next++) {
        __outbyte(BOCHS_SHUTDOWN_PORT, (UCHAR)*Next);
    }
}

DECLSPEC_NORETURN VOID KiBugCheckTrap(ULONG Code, ULONG_PTR P1, ULONG_PTR P2, ULONG_PTR P3, ULONG_PTR P4,
                                      PKTRAP_FRAME Frame)
{
    CONTEXT Context;

    _disable();
    if (InterlockedIncrement(&KiBugCheckActive) != 1) {
        KiStopForever(); /* another processor reports, or this one failed while reporting */
    }
    if (Frame != NULL) {
        KiContextFromFrame(Frame, &Context);
    } else {
        RtlCaptureContext(&Context);
    }
    InterlockedIncrement(&KiPrintUnlocked);
    KiStopOthers();
    ConPrint("\n*** STOP 0x%08X (0x%016llX, 0x%016llX, 0x%016llX, 0x%016llX) %s\n", (unsigned)Code, P1, P2, P3, P4,
             KiBugCheckName(Code));
    KiPrintRegisters(&Context);
    KiPrintContextStack(&Context);
    KiPrintStopped();
    ConPrint("*** END STOP\n");
    KiCallAtBugCheck();
    KdBugCheck(Frame);
    if (KeBootOption("test", NULL, 0)) {
        HalDebugExit(BUGCHECK_EXIT_CODE);
        KiEndBochs();
    }
    KiBugCheckReported = TRUE;
    KiStopForever();
}

DECLSPEC_NORETURN VOID NTAPI KeBugCheckEx(ULONG Code, ULONG_PTR P1, ULONG_PTR P2, ULONG_PTR P3, ULONG_PTR P4)
{
    KiBugCheckTrap(Code, P1, P2, P3, P4, NULL);
}

DECLSPEC_NORETURN VOID NTAPI KeBugCheck(ULONG Code)
{
    KiBugCheckTrap(Code, 0, 0, 0, 0, NULL);
}

DECLSPEC_NORETURN VOID KiAssertFailed(PCSTR Expression, PCSTR File, ULONG Line)
{
    InterlockedIncrement(&KiPrintUnlocked);
    ConPrint("\n*** ASSERT %s, %s:%u\n", Expression, File, (unsigned)Line);
    KiBugCheckTrap((ULONG)STATUS_ASSERTION_FAILURE, (ULONG_PTR)Expression, (ULONG_PTR)File, Line, 0, NULL);
}

/* What the DDK's ASSERT calls in checked drivers. Documented to enter the debugger; without one it ends the kernel. */
VOID NTAPI RtlAssert(PVOID FailedAssertion, PVOID FileName, ULONG LineNumber, PSTR Message)
{
    if (Message != NULL) {
        DbgPrint("%s\n", Message);
    }
    KiAssertFailed(FailedAssertion, FileName, LineNumber);
}
