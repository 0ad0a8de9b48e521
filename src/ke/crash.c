/*
 * crash.c - the console command that ends the kernel on purpose.
 *
 * Each kind takes another road into a bug check, so that the reports, the double fault's own stack, the symbolising script
 * and the harness's handling of hangs can be tried on a whole machine. Nothing here is reachable but by typing it.
 */
#include <ntos/console.h>
#include <ntos/ke.h>

typedef struct _KI_CRASH_KIND {
    PCSTR Name;
    VOID (*Run)(VOID);
} KI_CRASH_KIND;

static VOID KiCrashBugCheck(VOID)
{
    KeBugCheck(MANUALLY_INITIATED_CRASH);
}

static VOID NTAPI KiCrashCalled(PVOID Buffer, ULONG Length)
{
    ConPrint("called back with %lu bytes at %s\n", Length, (PCSTR)Buffer);
}

static VOID NTAPI KiCrashData(KBUGCHECK_CALLBACK_REASON Reason, PKBUGCHECK_REASON_CALLBACK_RECORD Record, PVOID Data,
                              ULONG Length)
{
    PKBUGCHECK_SECONDARY_DUMP_DATA Dump = Data;

    UNREFERENCED_PARAMETER(Reason);
    UNREFERENCED_PARAMETER(Record);
    UNREFERENCED_PARAMETER(Length);
    Dump->OutBuffer = Dump->InBuffer;
    Dump->OutBufferLength = 3;
    RtlCopyMemory(Dump->InBuffer, "\x4f\x72\x69", 3);
}

/* With callbacks of both kinds registered. */
static VOID KiCrashCallback(VOID)
{
    static KBUGCHECK_CALLBACK_RECORD Plain;
    static KBUGCHECK_REASON_CALLBACK_RECORD Reason;

    KeRegisterBugCheckCallback(&Plain, KiCrashCalled, "here", 5, (PUCHAR) "crash");
    KeRegisterBugCheckReasonCallback(&Reason, KiCrashData, KbCallbackSecondaryDumpData, (PUCHAR) "crash");
    KeBugCheck(MANUALLY_INITIATED_CRASH);
}

static VOID KiCrashNull(VOID)
{
    *(volatile ULONG *)NULL = 1;
}

static volatile ULONG KiCrashDepth;

/* Never returns: the addition after the call keeps it from being a loop. */
static DECLSPEC_NOINLINE ULONG KiRecurse(ULONG Depth)
{
    volatile ULONG Pad[64];

    Pad[0] = Depth;
    KiCrashDepth = Depth;
    return KiCrashDepth == 0 ? 0 : KiRecurse(Depth + 1) + Pad[0];
}

static VOID KiCrashStack(VOID)
{
    KiRecurse(1);
}

static VOID KiCrashDivide(VOID)
{
    __asm__ volatile("xorl %%edx, %%edx; movl $1, %%eax; divl %%edx" ::: "eax", "edx", "cc");
}

static VOID KiCrashAssert(VOID)
{
    KiAssertFailed("crash == assert", __FILE__, __LINE__);
}

static VOID KiCrashHang(VOID)
{
    _disable();
    for (;;) {
        YieldProcessor();
    }
}

static VOID KiCrashInvalid(VOID)
{
    __asm__ volatile("ud2");
}

static VOID KiCrashFreeTwice(VOID)
{
    PVOID Block = ExAllocatePoolWithTag(NonPagedPool, 40, 'ecwT');

    ExFreePoolWithTag(Block, 'ecwT');
    ExFreePoolWithTag(Block, 'ecwT');
}

static VOID KiCrashOverrun(VOID)
{
    ULONG64 *Block = ExAllocatePoolWithTag(NonPagedPool, 40, 'nrvO');

    Block[5] = 0; /* the fill behind it */
    ExFreePoolWithTag(Block, 'nrvO');
}

/* A driver passes a request on to more devices than it was made for. */
static NTSTATUS NTAPI KiPassOn(PDEVICE_OBJECT Device, PIRP Irp)
{
    return IofCallDriver(Device, Irp);
}

static VOID KiCrashIrpStack(VOID)
{
    static DRIVER_OBJECT Driver;
    static DEVICE_OBJECT Device;
    PIRP Irp = IoAllocateIrp(1, FALSE);

    Driver.MajorFunction[IRP_MJ_CREATE] = KiPassOn;
    Device.DriverObject = &Driver;
    if (Irp != NULL) {
        IofCallDriver(&Device, Irp);
    }
}

/* A driver completes a request again that was completed and has gone. */
static VOID KiCrashIrpTwice(VOID)
{
    PIRP Irp = IoAllocateIrp(1, FALSE);

    if (Irp != NULL) {
        IoFreeIrp(Irp);
        IofCompleteRequest(Irp, IO_NO_INCREMENT);
    }
}

/* A processor that takes no interrupt any more, for the watchdog of the others to find. */
static VOID NTAPI KiGoDeaf(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    _disable();
    for (;;) {
        YieldProcessor();
    }
}

static VOID KiCrashDeaf(VOID)
{
    static KDPC Dpc;
    LARGE_INTEGER Patience = {.QuadPart = -1200000000LL};

    KeInitializeDpc(&Dpc, KiGoDeaf, NULL);
    KeSetTargetProcessorDpc(&Dpc, (CCHAR)(KeNumberOfActiveProcessors - 1));
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    KeDelayExecutionThread(KernelMode, FALSE, &Patience);
}

static const KI_CRASH_KIND KiCrashKinds[] = {
    {"assert", KiCrashAssert},     {"bugcheck", KiCrashBugCheck}, {"callback", KiCrashCallback},
    {"deaf", KiCrashDeaf},         {"divide", KiCrashDivide},     {"hang", KiCrashHang},
    {"invalid", KiCrashInvalid},   {"null", KiCrashNull},         {"stack", KiCrashStack},
    {"twice", KiCrashFreeTwice},   {"overrun", KiCrashOverrun},   {"irpstack", KiCrashIrpStack},
    {"irptwice", KiCrashIrpTwice},
};

static BOOLEAN KiSameText(PCSTR First, PCSTR Second)
{
    while (*First != 0 && *First == *Second) {
        First++;
        Second++;
    }
    return *First == *Second;
}

static VOID KiCrashCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    PCSTR Kind = ArgumentCount > 1 ? Arguments[1] : "bugcheck";

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(KiCrashKinds); Index++) {
        if (KiSameText(Kind, KiCrashKinds[Index].Name)) {
            KiCrashKinds[Index].Run();
        }
    }
    ConPrint("crash: no such kind: %s; there are", Kind);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(KiCrashKinds); Index++) {
        ConPrint(" %s", KiCrashKinds[Index].Name);
    }
    ConPrint("\n");
}
CONSOLE_COMMAND(KiCrashConsole, "crash", "[KIND]",
                "stop the kernel: assert bugcheck deaf divide hang invalid irpstack irptwice null overrun stack twice",
                KiCrashCommand);
