/*
 * interrupt.c - suite for interrupt delivery: vectors, CR8 and self-IPIs.
 *
 * A vector of the device range that nobody has is connected for the length of a case and fired by the local APIC at the
 * processor itself, so that nothing here depends on a device.
 */
#include <ntos/hal.h>
#include <ntos/ke.h>
#include <ntos/ktap.h>

#define TEST_VECTOR  0xBE /* the top of the device range: drivers get theirs from its lower part */
#define OTHER_VECTOR 0x3E
#define WAIT_SPINS   10000000

typedef struct _INTERRUPT_SEEN {
    volatile ULONG Count;
    KIRQL Irql;
    UCHAR PreviousIrql;
    BOOLEAN Enabled;
    BOOLEAN Kernel;
    volatile ULONG Order; /* position among the vectors of a case */
} INTERRUPT_SEEN, *PINTERRUPT_SEEN;

static volatile ULONG InterruptOrder;

static VOID InterruptSee(PKTRAP_FRAME Frame, PVOID Context)
{
    PINTERRUPT_SEEN Seen = Context;
    KI_IMAGE Image;

    Seen->Irql = KeGetCurrentIrql();
    Seen->PreviousIrql = Frame->PreviousIrql;
    Seen->Enabled = (__readeflags() & EFLAGS_IF) != 0;
    Seen->Kernel = KiFindImage(Frame->Rip, &Image);
    Seen->Order = ++InterruptOrder;
    Seen->Count++;
}

static BOOLEAN InterruptWait(PINTERRUPT_SEEN Seen, ULONG Count)
{
    for (ULONG Spin = 0; Spin < WAIT_SPINS && Seen->Count < Count; Spin++) {
        YieldProcessor();
    }
    return Seen->Count == Count;
}

static VOID InterruptDelivery(PKTAP_CONTEXT Ktap)
{
    INTERRUPT_SEEN Seen = {0};

    KTAP_EQUAL(KiConnectVector(TEST_VECTOR, InterruptSee, &Seen), STATUS_SUCCESS);
    HalSendSelfIpi(TEST_VECTOR);
    BOOLEAN Came = InterruptWait(&Seen, 1);

    KiDisconnectVector(TEST_VECTOR);
    KTAP_CHECK(Came);
    KTAP_EQUAL(Seen.Irql, TEST_VECTOR >> 4);
    KTAP_EQUAL(Seen.PreviousIrql, PASSIVE_LEVEL);
    KTAP_CHECK(Seen.Enabled && Seen.Kernel);
    KTAP_EQUAL(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

/* CR8 holds an interrupt back until IRQL falls below its level. */
static VOID InterruptMasked(PKTAP_CONTEXT Ktap)
{
    INTERRUPT_SEEN Seen = {0};
    KIRQL Old;

    KTAP_EQUAL(KiConnectVector(TEST_VECTOR, InterruptSee, &Seen), STATUS_SUCCESS);
    KeRaiseIrql(TEST_VECTOR >> 4, &Old);
    HalSendSelfIpi(TEST_VECTOR);
    for (ULONG Spin = 0; Spin < 100000; Spin++) {
        YieldProcessor();
    }
    ULONG During = Seen.Count;

    KeLowerIrql((TEST_VECTOR >> 4) - 1);
    BOOLEAN Came = InterruptWait(&Seen, 1);

    KeLowerIrql(Old);
    KiDisconnectVector(TEST_VECTOR);
    KTAP_EQUAL(During, 0);
    KTAP_CHECK(Came);
    KTAP_EQUAL(Seen.PreviousIrql, (TEST_VECTOR >> 4) - 1);
}

/* Of two that wait, the higher level is served first. */
static VOID InterruptPriority(PKTAP_CONTEXT Ktap)
{
    INTERRUPT_SEEN High = {0}, Low = {0};
    KIRQL Old;

    InterruptOrder = 0;
    KTAP_EQUAL(KiConnectVector(TEST_VECTOR, InterruptSee, &High), STATUS_SUCCESS);
    KTAP_EQUAL(KiConnectVector(OTHER_VECTOR, InterruptSee, &Low), STATUS_SUCCESS);
    KeRaiseIrql(HIGH_LEVEL, &Old);
    HalSendSelfIpi(OTHER_VECTOR);
    HalSendSelfIpi(TEST_VECTOR);
    KeLowerIrql(Old);
    BOOLEAN Both = InterruptWait(&High, 1) && InterruptWait(&Low, 1);

    KiDisconnectVector(TEST_VECTOR);
    KiDisconnectVector(OTHER_VECTOR);
    KTAP_CHECK(Both);
    KTAP_EQUAL(High.Order, 1);
    KTAP_EQUAL(Low.Order, 2);
}

static VOID InterruptSpurious(PKTAP_CONTEXT Ktap)
{
    ULONG64 Before = KiSpuriousInterrupts;

    HalSendSelfIpi(TEST_VECTOR);
    for (ULONG Spin = 0; Spin < WAIT_SPINS && *(volatile ULONG64 *)&KiSpuriousInterrupts == Before; Spin++) {
        YieldProcessor();
    }
    KTAP_EQUAL(*(volatile ULONG64 *)&KiSpuriousInterrupts, Before + 1);
}

static VOID InterruptConnect(PKTAP_CONTEXT Ktap)
{
    INTERRUPT_SEEN Seen = {0};

    KTAP_EQUAL(KiConnectVector(0x10, InterruptSee, &Seen), STATUS_INVALID_PARAMETER); /* an exception's */
    KTAP_EQUAL(KiConnectVector(0x29, InterruptSee, &Seen), STATUS_INVALID_PARAMETER); /* software's */
    KTAP_EQUAL(KiConnectVector(0x100, InterruptSee, &Seen), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(KiConnectVector(TEST_VECTOR, NULL, &Seen), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(KiConnectVector(TEST_VECTOR, InterruptSee, &Seen), STATUS_SUCCESS);
    NTSTATUS Again = KiConnectVector(TEST_VECTOR, InterruptSee, &Seen);

    KiDisconnectVector(TEST_VECTOR);
    KTAP_EQUAL(Again, STATUS_RESOURCE_IN_USE);
    KTAP_EQUAL(KiConnectVector(TEST_VECTOR, InterruptSee, &Seen), STATUS_SUCCESS);
    KiDisconnectVector(TEST_VECTOR);
}

/* ---- IoConnectInterruptEx, on the printer's line, which nothing here uses ---- */

static BOOLEAN NTAPI ExService(PKINTERRUPT Interrupt, PVOID Context)
{
    InterlockedIncrement((volatile LONG *)Context);
    return TRUE;
}

static VOID ConnectEx(PKTAP_CONTEXT Ktap)
{
    static volatile LONG Served;
    IO_CONNECT_INTERRUPT_PARAMETERS Connect = {.Version = CONNECT_MESSAGE_BASED};
    IO_DISCONNECT_INTERRUPT_PARAMETERS Disconnect = {.Version = CONNECT_FULLY_SPECIFIED};
    PKINTERRUPT Object = NULL;
    KAFFINITY Affinity;
    KIRQL Irql, OldIrql;
    ULONG Vector = HalGetInterruptVector(Isa, 0, 7, 7, &Irql, &Affinity);

    /* without PnP a driver is told to fall back */
    KTAP_EQUAL(IoConnectInterruptEx(&Connect), STATUS_NOT_SUPPORTED);
    KTAP_EQUAL(Connect.Version, CONNECT_FULLY_SPECIFIED);
    Connect.Version = CONNECT_LINE_BASED;
    KTAP_EQUAL(IoConnectInterruptEx(&Connect), STATUS_NOT_SUPPORTED);

    Served = 0;
    KTAP_CHECK(Vector != 0);
    Connect.Version = CONNECT_FULLY_SPECIFIED_GROUP;
    Connect.FullySpecified = (IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS){.InterruptObject = &Object,
                                                                               .ServiceRoutine = ExService,
                                                                               .ServiceContext = (PVOID)&Served,
                                                                               .SynchronizeIrql = Irql,
                                                                               .ShareVector = TRUE,
                                                                               .Vector = Vector,
                                                                               .Irql = Irql,
                                                                               .InterruptMode = Latched,
                                                                               .ProcessorEnableMask = Affinity,
                                                                               .Group = 1};
    KTAP_EQUAL(IoConnectInterruptEx(&Connect), STATUS_INVALID_PARAMETER);
    Connect.FullySpecified.Group = 0;
    KTAP_EQUAL(IoConnectInterruptEx(&Connect), STATUS_SUCCESS);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    HalSendSelfIpi(Vector);
    for (ULONG Spin = 0; Spin < WAIT_SPINS && Served == 0; Spin++) {
        YieldProcessor();
    }
    KeLowerIrql(OldIrql);
    Disconnect.ConnectionContext.InterruptObject = Object;
    IoDisconnectInterruptEx(&Disconnect);
    KTAP_CHECK(Served >= 1);
}

static const KTAP_CASE_ENTRY InterruptCases[] = {
    {"connect_ex", ConnectEx},       {"delivery", InterruptDelivery}, {"masked", InterruptMasked},
    {"priority", InterruptPriority}, {"spurious", InterruptSpurious}, {"connect", InterruptConnect},
};
KTAP_SUITE(InterruptSuite, "ke.interrupt", InterruptCases);
