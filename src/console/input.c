/*
 * input.c - bytes typed on COM1, received by interrupt.
 *
 * The interrupt service routine empties the UART into a ring and queues a DPC,
 * which wakes the console's thread. Nothing is lost: when the ring is full the
 * routine masks the UART's receive interrupt and drops RTS, so that further
 * bytes wait in the UART's FIFO and at the sender, and the reader lets them
 * come again once half of the ring is free. Text pasted while a command runs is
 * therefore typed ahead, however long.
 *
 * The ring has one producer (the service routine, device IRQL) and one consumer
 * (the console's thread, PASSIVE_LEVEL), each of which writes its own index
 * only; the pair mask/resume is serialised by the interrupt's spin lock. If the
 * interrupt cannot be had, the thread polls every CON_POLL_100NS instead and
 * says so once.
 */
#include "consolep.h"
#include <ntos/hal.h>
#include <ntos/ke.h>

#define COM1_INTERRUPTS 0x3F9
#define COM1_MODEM      0x3FC
#define COM1_IRQ        4 /* ISA */
#define UART_RECEIVED   0x01
#define UART_DTR        0x01
#define UART_RTS        0x02
#define UART_OUT2       0x08       /* gates the interrupt line on PCs */
#define CON_POLL_100NS  (-10000LL) /* 1 ms: 12 bytes at 115200 baud, less than the UART's FIFO */
#define CON_RING_MASK   (CON_RING_BYTES - 1)

static UCHAR ConpRing[CON_RING_BYTES];
static volatile ULONG ConpWritten; /* bytes ever stored; service routine only */
static volatile ULONG ConpTaken;   /* bytes ever taken; console's thread only */
static volatile BOOLEAN ConpHeld;  /* receive interrupt masked (interrupt's spin lock) */
static PKINTERRUPT ConpInterrupt;  /* (c) NULL: polled */
static KEVENT ConpArrived;
static KDPC ConpArrivedDpc;

C_ASSERT((CON_RING_BYTES & CON_RING_MASK) == 0);

static VOID ConpHold(BOOLEAN Hold)
{
    ConpHeld = Hold;
    __outbyte(COM1_MODEM, UART_DTR | UART_OUT2 | (Hold ? 0 : UART_RTS));
    __outbyte(COM1_INTERRUPTS, Hold ? 0 : UART_RECEIVED);
}

/* Interrupt service routine. IRQL: the device's. TRUE: a byte was there. */
static BOOLEAN NTAPI ConpService(PKINTERRUPT Interrupt, PVOID Context)
{
    ULONG Written = ConpWritten, First = Written;
    UCHAR Byte;

    while (Written - ConpTaken < CON_RING_BYTES && HalSerialGet(0, &Byte)) {
        ConpRing[Written++ & CON_RING_MASK] = Byte;
        ConpWritten = Written;
    }
    if (Written - ConpTaken == CON_RING_BYTES) {
        ConpHold(TRUE);
    }
    if (Written != First) {
        KeInsertQueueDpc(&ConpArrivedDpc, NULL, NULL);
    }
    return Written != First;
}

static VOID NTAPI ConpArrivedRoutine(PKDPC Dpc, PVOID Context, PVOID First, PVOID Second)
{
    KeSetEvent(&ConpArrived, IO_SERIAL_INCREMENT, FALSE);
}

static BOOLEAN NTAPI ConpResume(PVOID Context)
{
    ConpHold(FALSE);
    return TRUE;
}

VOID ConpInitializeInput(VOID)
{
    KAFFINITY Affinity;
    KIRQL Irql;
    ULONG Vector;
    NTSTATUS Status;

    KeInitializeEvent(&ConpArrived, SynchronizationEvent, FALSE);
    KeInitializeDpc(&ConpArrivedDpc, ConpArrivedRoutine, NULL);
    Vector = HalGetInterruptVector(Isa, 0, COM1_IRQ, COM1_IRQ, &Irql, &Affinity);
    Status = IoConnectInterrupt(&ConpInterrupt, ConpService, NULL, NULL, Vector, Irql, Irql, Latched, FALSE, Affinity,
                                FALSE);
    if (!NT_SUCCESS(Status)) {
        ConpInterrupt = NULL;
        ConpPrintStatus("console", "no interrupt for COM1, polling it", Status);
        return;
    }
    KeSynchronizeExecution(ConpInterrupt, ConpResume, NULL);
}

static UCHAR ConpPollByte(VOID)
{
    LARGE_INTEGER Interval = {.QuadPart = CON_POLL_100NS};
    UCHAR Byte;

    while (!HalSerialGet(0, &Byte)) {
        KeDelayExecutionThread(KernelMode, FALSE, &Interval);
    }
    return Byte;
}

UCHAR ConpReadByte(VOID)
{
    UCHAR Byte;

    if (ConpInterrupt == NULL) {
        return ConpPollByte();
    }
    while (ConpWritten == ConpTaken) {
        KeWaitForSingleObject(&ConpArrived, Executive, KernelMode, FALSE, NULL);
    }
    Byte = ConpRing[ConpTaken & CON_RING_MASK];
    ConpTaken++;
    if (ConpHeld && ConpWritten - ConpTaken <= CON_RING_BYTES / 2) {
        KeSynchronizeExecution(ConpInterrupt, ConpResume, NULL);
    }
    return Byte;
}

/* Without an interrupt it looks once, at the end. */
BOOLEAN ConWaitKey(ULONG Milliseconds)
{
    LARGE_INTEGER End = {.QuadPart = (LONG64)KeQueryInterruptTime() + (LONG64)Milliseconds * 10000};
    UCHAR Byte;

    if (ConpInterrupt == NULL) {
        End.QuadPart = -(LONG64)Milliseconds * 10000;
        KeDelayExecutionThread(KernelMode, FALSE, &End);
        return HalSerialGet(0, &Byte);
    }
    while (ConpWritten == ConpTaken) {
        LARGE_INTEGER Left = {.QuadPart = (LONG64)KeQueryInterruptTime() - End.QuadPart};

        if (Left.QuadPart >= 0 ||
            KeWaitForSingleObject(&ConpArrived, Executive, KernelMode, FALSE, &Left) == STATUS_TIMEOUT) {
            break;
        }
    }
    if (ConpWritten == ConpTaken) {
        return FALSE;
    }
    ConpReadByte();
    return TRUE;
}
