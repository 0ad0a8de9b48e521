/*
 * serial.c - the polled 16550 serial ports: COM1 is the console, COM2 the debugger's.
 *
 * Usable from the first instruction of the kernel, at any IRQL, with interrupts on or off, and inside a bug check: a
 * byte is a wait for room and one port write. A port is used only if its loopback test found a UART at
 * initialisation, so that a machine without one loses output and nothing else. Received bytes stay in the
 * UART's 16-byte FIFO until somebody polls or the console's interrupt handler empties it.
 *
 * Locks: none here; callers that must not interleave serialise themselves. Must never: wait without bound (a UART that
 * never gets ready costs output, not the machine).
 */
#include <ntos/hal.h>

#define UART_DATA          0 /* DLAB: divisor low */
#define UART_INTERRUPTS    1 /* DLAB: divisor high */
#define UART_FIFO          2
#define UART_LINE_CONTROL  3
#define UART_MODEM_CONTROL 4
#define UART_LINE_STATUS   5

#define UART_8N1        0x03
#define UART_DLAB       0x80
#define UART_FIFO_ON    0xC7 /* enable, clear both, 14-byte receive trigger */
#define UART_DTR_RTS    0x03
#define UART_OUT2       0x08 /* gates the interrupt line on PCs */
#define UART_LOOP       0x10
#define UART_DATA_READY 0x01
#define UART_ROOM       0x20
#define UART_LOOP_BYTE  0xAE
#define UART_CLOCK      115200
#define UART_WAIT_POLLS 2000000 /* port reads take about 1 us: well over the 87 us of a byte at 115200 baud */
#define UART_LOOP_POLLS 10000

typedef struct _HAL_SERIAL_PORT {
    USHORT Base;     /* (c) */
    BOOLEAN Present; /* (c) after HalSerialInitialize */
} HAL_SERIAL_PORT;

static HAL_SERIAL_PORT HalpSerial[] = {{0x3F8, FALSE}, {0x2F8, FALSE}};

static BOOLEAN HalpSerialWait(USHORT Base, UCHAR Bit, ULONG Polls)
{
    for (; Polls != 0; Polls--) {
        if ((__inbyte(Base + UART_LINE_STATUS) & Bit) != 0) {
            return TRUE;
        }
        YieldProcessor();
    }
    return FALSE;
}

/* A byte sent in loopback mode comes back only from a real UART; a floating bus reads as 0xFF everywhere. */
static BOOLEAN HalpSerialIsPresent(USHORT Base)
{
    __outbyte(Base + UART_MODEM_CONTROL, UART_LOOP | UART_DTR_RTS);
    __outbyte(Base + UART_DATA, UART_LOOP_BYTE);
    return HalpSerialWait(Base, UART_DATA_READY, UART_LOOP_POLLS) && __inbyte(Base + UART_DATA) == UART_LOOP_BYTE;
}

/**
 * HalSerialInitialize - program a port for 8N1 and find out whether it exists.
 *
 * @Port      0 COM1, 1 COM2
 * @BaudRate  bits per second, a divisor of 115200
 *
 * IRQL: any; once per port, before its first use. Fails: silently; the port then swallows output and receives nothing.
 */
VOID HalSerialInitialize(ULONG Port, ULONG BaudRate)
{
    ASSERT(Port < RTL_NUMBER_OF(HalpSerial) && BaudRate != 0 && BaudRate <= UART_CLOCK);
    HAL_SERIAL_PORT *Serial = &HalpSerial[Port];
    USHORT Divisor = (USHORT)(UART_CLOCK / BaudRate);

    __outbyte(Serial->Base + UART_INTERRUPTS, 0);
    __outbyte(Serial->Base + UART_LINE_CONTROL, UART_DLAB);
    __outbyte(Serial->Base + UART_DATA, (UCHAR)Divisor);
    __outbyte(Serial->Base + UART_INTERRUPTS, (UCHAR)(Divisor >> 8));
    __outbyte(Serial->Base + UART_LINE_CONTROL, UART_8N1);
    __outbyte(Serial->Base + UART_FIFO, UART_FIFO_ON);
    Serial->Present = HalpSerialIsPresent(Serial->Base);
    __outbyte(Serial->Base + UART_MODEM_CONTROL, UART_DTR_RTS | UART_OUT2);
}

VOID HalSerialPut(ULONG Port, UCHAR Byte)
{
    HAL_SERIAL_PORT *Serial = &HalpSerial[Port];

    if (Serial->Present && HalpSerialWait(Serial->Base, UART_ROOM, UART_WAIT_POLLS)) {
        __outbyte(Serial->Base + UART_DATA, Byte);
    }
}

BOOLEAN HalSerialGet(ULONG Port, PUCHAR Byte)
{
    HAL_SERIAL_PORT *Serial = &HalpSerial[Port];

    if (!Serial->Present || (__inbyte(Serial->Base + UART_LINE_STATUS) & UART_DATA_READY) == 0) {
        return FALSE;
    }
    *Byte = __inbyte(Serial->Base + UART_DATA);
    return TRUE;
}
