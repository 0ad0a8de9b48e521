/*
 * console.c - the loader's voice: everything it says goes to COM1 and to the screen (screen.c).
 *
 * COM1 is programmed to 115200 8N1 (nothing before us may have) and polled with a bound, so a machine without it still
 * boots. Errors are one sentence behind "osloader: "; after an error the machine stops for ever: a reboot would only hide
 * the sentence. Formatting knows what the loader's sentences use and nothing more.
 */
#include "osloader.h"
#include <stdarg.h>

#define COM1              0x3F8
#define LINE_STATUS       5
#define TRANSMIT_EMPTY    0x20
#define TRANSMIT_PATIENCE 200000 /* polls; a byte takes 87 us, so a present port never needs as many */

static void Out8(uint16_t Port, uint8_t Value)
{
    __asm__ volatile("outb %0, %1" ::"a"(Value), "Nd"(Port));
}

static uint8_t In8(uint16_t Port)
{
    uint8_t Value;

    __asm__ volatile("inb %1, %0" : "=a"(Value) : "Nd"(Port));
    return Value;
}

void OslConsoleInitialize(void)
{
    Out8(COM1 + 1, 0x00); /* no interrupts */
    Out8(COM1 + 3, 0x80); /* divisor access: 1 = 115200 baud */
    Out8(COM1 + 0, 0x01);
    Out8(COM1 + 1, 0x00);
    Out8(COM1 + 3, 0x03); /* 8N1 */
    Out8(COM1 + 2, 0x07); /* FIFOs on and cleared */
    Out8(COM1 + 4, 0x03); /* DTR, RTS */
}

static void PutSerial(char Char)
{
    for (int Poll = 0; Poll < TRANSMIT_PATIENCE; Poll++) {
        if ((In8(COM1 + LINE_STATUS) & TRANSMIT_EMPTY) != 0) {
            break;
        }
    }
    Out8(COM1, (uint8_t)Char);
}

static void Put(char Char)
{
    if (Char == '\n') {
        PutSerial('\r');
    }
    PutSerial(Char);
    OslScreenPut(Char);
}

static void PutHex(uint64_t Value, int Digits)
{
    for (int Shift = (Digits - 1) * 4; Shift >= 0; Shift -= 4) {
        Put("0123456789ABCDEF"[(Value >> Shift) & 0xF]);
    }
}

static void PutDecimal(uint32_t Value)
{
    char Digits[10];
    int Count = 0;

    do {
        Digits[Count++] = (char)('0' + Value % 10);
        Value /= 10;
    } while (Value != 0);
    while (Count != 0) {
        Put(Digits[--Count]);
    }
}

static void PutString(const char *String)
{
    while (*String != 0) {
        Put(*String++);
    }
}

/* Knows %s, %u, %08X and %016llX: what the loader's sentences use. */
static void Print(const char *Format, va_list Arguments)
{
    for (; *Format != 0; Format++) {
        if (*Format != '%') {
            Put(*Format);
            continue;
        }
        Format++;
        if (*Format == 's') {
            PutString(va_arg(Arguments, const char *));
        } else if (*Format == 'u') {
            PutDecimal(va_arg(Arguments, uint32_t));
        } else if (Format[0] == '0' && Format[1] == '8') {
            PutHex(va_arg(Arguments, uint32_t), 8);
            Format += 2;
        } else {
            PutHex(va_arg(Arguments, uint64_t), 16);
            Format += 5;
        }
    }
}

void OslPrint(const char *Format, ...)
{
    va_list Arguments;

    va_start(Arguments, Format);
    Print(Format, Arguments);
    va_end(Arguments);
}

void OslFail(const char *Format, ...)
{
    va_list Arguments;

    PutString("osloader: ");
    va_start(Arguments, Format);
    Print(Format, Arguments);
    va_end(Arguments);
    PutString(".\nosloader: halted.\n");
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}
