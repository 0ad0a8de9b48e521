/*
 * input.c - what is typed: bytes from COM1, received by interrupt, and from the keyboard.
 *
 * COM1's interrupt service routine empties the UART into a ring and queues a DPC. Nothing is lost: when the ring is full the routine masks the
 * UART's receive interrupt and drops RTS, so that further bytes wait in the UART's FIFO and at the sender, and the reader lets them come again
 * once half of the ring is free. Text pasted while a command runs is therefore typed ahead, however long. Keys of the keyboard are
 * put into a ring of their own (keyboard.c); what does not fit there is dropped, with the bell.
 *
 * Each arrival is looked at once, before anybody reads it: Ctrl-C, if it is to interrupt something (foreground.c), takes what was typed before it
 * away with it. Then pending reads are served (reader.c) and the kernel's prompt, if it waits, is woken.
 *
 * COM1's ring has one producer (the service routine, device IRQL) which writes Written; all else of both rings is guarded by ConpInputLock. The pair
 * mask/resume is serialised by the interrupt's spin lock. If the interrupt cannot be had, a thread polls every CON_POLL_100NS instead.
 */
#include <ntos/hal.h>
#include <ntos/ke.h>
#include <ntos/ps.h>
#include "consolep.h"

#define COM1_INTERRUPTS 0x3F9
#define COM1_MODEM      0x3FC
#define COM1_IRQ        4 /* ISA */
#define UART_RECEIVED   0x01
#define UART_DTR        0x01
#define UART_RTS        0x02
#define UART_OUT2       0x08       /* gates the interrupt line on PCs */
#define CON_POLL_100NS  (-10000LL) /* 1 ms: 12 bytes at 115200 baud, less than the UART's FIFO */
#define CON_KEY_BYTES   256        /* a person's typing ahead */

/* Indices count bytes ever stored, taken, and looked at; the ring's size is a power of two. */
typedef struct _CON_RING {
    PUCHAR Bytes;                   /* (c) */
    ULONG Size;                     /* (c) */
    volatile ULONG Written;         /* the producer's */
    volatile ULONG Taken, Examined; /* (ConpInputLock) */
} CON_RING, *PCON_RING;

static UCHAR ConpSerialBytes[CON_RING_BYTES], ConpKeyBytes[CON_KEY_BYTES];
static CON_RING ConpSerial = {ConpSerialBytes, CON_RING_BYTES}, ConpKeys = {ConpKeyBytes, CON_KEY_BYTES};
static volatile BOOLEAN ConpHeld; /* receive interrupt masked (interrupt's spin lock) */
static PKINTERRUPT ConpInterrupt; /* (c) NULL: polled */
static BOOLEAN ConpInterrupted;   /* (ConpInputLock) Ctrl-C has interrupted something: ConWaitKey ends too */
static KEVENT ConpArrived;
static KDPC ConpArrivedDpc;
KSPIN_LOCK ConpInputLock;
VF_NAME_LOCK(ConpInputLock, "ConpInputLock");

C_ASSERT((CON_RING_BYTES & (CON_RING_BYTES - 1)) == 0);
C_ASSERT((CON_KEY_BYTES & (CON_KEY_BYTES - 1)) == 0);

static VOID ConpHold(BOOLEAN Hold)
{
    ConpHeld = Hold;
    __outbyte(COM1_MODEM, UART_DTR | UART_OUT2 | (Hold ? 0 : UART_RTS));
    __outbyte(COM1_INTERRUPTS, Hold ? 0 : UART_RECEIVED);
}

/* Interrupt service routine. IRQL: the device's. TRUE: a byte was there. */
static BOOLEAN NTAPI ConpService(PKINTERRUPT Interrupt, PVOID Context)
{
    ULONG Written = ConpSerial.Written, First = Written;
    UCHAR Byte;

    while (Written - ConpSerial.Taken < CON_RING_BYTES && HalSerialGet(0, &Byte)) {
        ConpSerialBytes[Written++ & (CON_RING_BYTES - 1)] = Byte;
        ConpSerial.Written = Written;
    }
    if (Written - ConpSerial.Taken == CON_RING_BYTES) {
        ConpHold(TRUE);
    }
    if (Written != First) {
        KeInsertQueueDpc(&ConpArrivedDpc, NULL, NULL);
    }
    return Written != First;
}

static BOOLEAN NTAPI ConpResume(PVOID Context)
{
    ConpHold(FALSE);
    return TRUE;
}

/* ---- Arrivals; <= DISPATCH_LEVEL ---- */

/* Looks at what has come since the last time. TRUE: Ctrl-C was in it, and is gone with all before it. Lock held. */
static BOOLEAN ConpExamine(PCON_RING Ring, BOOLEAN Interrupts)
{
    BOOLEAN Found = FALSE;

    if ((LONG)(Ring->Taken - Ring->Examined) > 0) {
        Ring->Examined = Ring->Taken;
    }
    while (Ring->Examined != Ring->Written) {
        UCHAR Byte = Ring->Bytes[Ring->Examined++ & (Ring->Size - 1)];

        if (Byte == CON_CONTROL('C') && Interrupts) {
            Ring->Taken = Ring->Examined;
            Found = TRUE;
        }
    }
    return Found;
}

static VOID ConpArrive(VOID)
{
    BOOLEAN Interrupts, Found;
    KIRQL Irql;

    KeAcquireSpinLock(&ConpInputLock, &Irql);
    Interrupts = ConpCanInterrupt();
    Found = ConpExamine(&ConpSerial, Interrupts);
    Found |= ConpExamine(&ConpKeys, Interrupts);
    if (Found) {
        ConpForgetLine();
        ConpInterrupted = TRUE;
    }
    KeReleaseSpinLock(&ConpInputLock, Irql);
    if (Found) {
        ConpInterruptForeground();
    }
    ConpServeReads();
    KeSetEvent(&ConpArrived, IO_SERIAL_INCREMENT, FALSE);
}

static VOID NTAPI ConpArrivedRoutine(PKDPC Dpc, PVOID Context, PVOID First, PVOID Second)
{
    ConpArrive();
}

/* Bytes of one key, from the keyboard's driver. They come whole or not at all. */
VOID ConpTypeKey(PCSTR Bytes, ULONG Count)
{
    BOOLEAN Room;
    KIRQL Irql;

    KeAcquireSpinLock(&ConpInputLock, &Irql);
    Room = ConpKeys.Written - ConpKeys.Taken + Count <= CON_KEY_BYTES;
    for (ULONG Index = 0; Room && Index < Count; Index++) {
        ConpKeyBytes[ConpKeys.Written & (CON_KEY_BYTES - 1)] = (UCHAR)Bytes[Index];
        ConpKeys.Written++;
    }
    KeReleaseSpinLock(&ConpInputLock, Irql);
    if (!Room) {
        ConPrint("\a");
    }
    ConpArrive();
}

static VOID NTAPI ConpPoll(PVOID Context)
{
    LARGE_INTEGER Interval = {.QuadPart = CON_POLL_100NS};

    for (;;) {
        KIRQL Irql;

        KeRaiseIrql(DISPATCH_LEVEL, &Irql); /* as in the service routine: nobody else of this processor in between */
        ConpService(NULL, NULL);
        KeLowerIrql(Irql);
        KeDelayExecutionThread(KernelMode, FALSE, &Interval);
    }
}

VOID ConpInitializeInput(VOID)
{
    KAFFINITY Affinity;
    PETHREAD Thread;
    KIRQL Irql;
    ULONG Vector;
    NTSTATUS Status;

    KeInitializeEvent(&ConpArrived, SynchronizationEvent, FALSE);
    KeInitializeDpc(&ConpArrivedDpc, ConpArrivedRoutine, NULL);
    Vector = HalGetInterruptVector(Isa, 0, COM1_IRQ, COM1_IRQ, &Irql, &Affinity);
    Status = IoConnectInterrupt(&ConpInterrupt, ConpService, NULL, NULL, Vector, Irql, Irql, Latched, FALSE, Affinity,
                                FALSE);
    if (NT_SUCCESS(Status)) {
        KeSynchronizeExecution(ConpInterrupt, ConpResume, NULL);
        return;
    }
    ConpInterrupt = NULL;
    ConpPrintStatus("console", "no interrupt for COM1, polling it", Status);
    if (NT_SUCCESS(PspCreateSystemThread(&Thread, ConpPoll, NULL, LOW_REALTIME_PRIORITY))) {
        ObDereferenceObject(Thread);
    }
}

/* ---- Taking ---- */

static BOOLEAN ConpTakeFrom(PCON_RING Ring, PUCHAR Byte)
{
    if (Ring->Taken == Ring->Written) {
        return FALSE;
    }
    *Byte = Ring->Bytes[Ring->Taken++ & (Ring->Size - 1)];
    return TRUE;
}

BOOLEAN ConpIsTyped(VOID)
{
    return ConpKeys.Taken != ConpKeys.Written || ConpSerial.Taken != ConpSerial.Written;
}

BOOLEAN ConpTakeByte(PUCHAR Byte)
{
    BOOLEAN Taken = ConpTakeFrom(&ConpKeys, Byte) || ConpTakeFrom(&ConpSerial, Byte);

    if (ConpHeld && ConpSerial.Written - ConpSerial.Taken <= CON_RING_BYTES / 2) {
        if (ConpInterrupt != NULL) {
            KeSynchronizeExecution(ConpInterrupt, ConpResume, NULL);
        } else {
            ConpHeld = FALSE;
        }
    }
    return Taken;
}

UCHAR ConpReadByte(VOID)
{
    BOOLEAN Taken;
    UCHAR Byte;
    KIRQL Irql;

    for (;;) {
        KeAcquireSpinLock(&ConpInputLock, &Irql);
        Taken = ConpTakeByte(&Byte);
        KeReleaseSpinLock(&ConpInputLock, Irql);
        if (Taken) {
            return Byte;
        }
        KeWaitForSingleObject(&ConpArrived, Executive, KernelMode, FALSE, NULL);
    }
}

BOOLEAN ConWaitKey(ULONG Milliseconds)
{
    LARGE_INTEGER End = {.QuadPart = (LONG64)KeQueryInterruptTime() + (LONG64)Milliseconds * 10000};

    ConpInterrupted = FALSE;
    for (;;) {
        LARGE_INTEGER Left = {.QuadPart = (LONG64)KeQueryInterruptTime() - End.QuadPart};
        BOOLEAN Taken;
        UCHAR Byte;
        KIRQL Irql;

        KeAcquireSpinLock(&ConpInputLock, &Irql);
        Taken = ConpTakeByte(&Byte) || ConpInterrupted;
        KeReleaseSpinLock(&ConpInputLock, Irql);
        if (Taken || Left.QuadPart >= 0 ||
            KeWaitForSingleObject(&ConpArrived, Executive, KernelMode, FALSE, &Left) == STATUS_TIMEOUT) {
            return Taken;
        }
    }
}
