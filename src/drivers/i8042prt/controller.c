/*
 * controller.c - the 8042 keyboard controller: bringing it to where keys interrupt.
 *
 * Both ports are turned off, what lies in the output buffer is thrown away, and the command byte is written: translation on, interrupts off. The
 * keyboard is told to send (F4). If the controller does not keep the translation bit, the keyboard is put into scan code set 1 (F0 01) instead, so that the
 * driver knows one set. The auxiliary port (a mouse) stays off. Every wait is bounded: a machine without the controller answers 0xFF or never.
 *
 * PASSIVE_LEVEL, DriverEntry only, but for I8042Read. Source: IBM PS/2 Hardware Interface Technical Reference, keyboard and auxiliary device controller.
 */
#include "i8042prt.h"

#define PORT_DATA    ((PUCHAR)0x60)
#define PORT_COMMAND ((PUCHAR)0x64) /* read: status */

#define STATUS_OUTPUT_FULL 0x01
#define STATUS_INPUT_FULL  0x02
#define STATUS_FROM_MOUSE  0x20

#define COMMAND_READ_BYTE     0x20
#define COMMAND_WRITE_BYTE    0x60
#define COMMAND_DISABLE_MOUSE 0xA7
#define COMMAND_DISABLE       0xAD
#define COMMAND_ENABLE        0xAE

#define BYTE_INTERRUPT      0x01
#define BYTE_MOUSE          0x02
#define BYTE_DISABLED       0x10
#define BYTE_MOUSE_DISABLED 0x20
#define BYTE_TRANSLATE      0x40

#define KEYBOARD_SET    0xF0
#define KEYBOARD_ENABLE 0xF4
#define KEYBOARD_ACK    0xFA
#define KEYBOARD_RESEND 0xFE

#define POLL_MICROSECONDS 50
#define POLLS             2000 /* 100 ms: several times what a keyboard may take to answer */
#define FLUSH_BYTES       64   /* more than controller and keyboard hold */
#define TRIES             8    /* bytes looked at for an acknowledgement */

static BOOLEAN Wait(UCHAR Bit, BOOLEAN Set)
{
    for (ULONG Poll = 0; Poll < POLLS; Poll++) {
        UCHAR Status = READ_PORT_UCHAR(PORT_COMMAND);

        if (((Status & Bit) != 0) == Set) {
            return Status != 0xFF; /* nobody is there */
        }
        KeStallExecutionProcessor(POLL_MICROSECONDS);
    }
    return FALSE;
}

static BOOLEAN Put(PUCHAR Port, UCHAR Byte)
{
    if (!Wait(STATUS_INPUT_FULL, FALSE)) {
        return FALSE;
    }
    WRITE_PORT_UCHAR(Port, Byte);
    return TRUE;
}

static BOOLEAN Get(PUCHAR Byte)
{
    if (!Wait(STATUS_OUTPUT_FULL, TRUE)) {
        return FALSE;
    }
    *Byte = READ_PORT_UCHAR(PORT_DATA);
    return TRUE;
}

static VOID Flush(VOID)
{
    for (ULONG Count = 0; Count < FLUSH_BYTES && (READ_PORT_UCHAR(PORT_COMMAND) & STATUS_OUTPUT_FULL) != 0; Count++) {
        READ_PORT_UCHAR(PORT_DATA);
    }
}

/* A byte for the keyboard, which acknowledges it. Keys that are pressed meanwhile come between, and are lost. */
static BOOLEAN Tell(UCHAR Byte)
{
    UCHAR Answer = KEYBOARD_RESEND;

    for (ULONG Try = 0; Try < TRIES && Answer != KEYBOARD_ACK; Try++) {
        if ((Answer == KEYBOARD_RESEND && !Put(PORT_DATA, Byte)) || !Get(&Answer)) {
            return FALSE;
        }
    }
    return Answer == KEYBOARD_ACK;
}

static BOOLEAN ReadCommandByte(PUCHAR Byte)
{
    return Put(PORT_COMMAND, COMMAND_READ_BYTE) && Get(Byte);
}

static BOOLEAN WriteCommandByte(UCHAR Byte)
{
    return Put(PORT_COMMAND, COMMAND_WRITE_BYTE) && Put(PORT_DATA, Byte);
}

NTSTATUS I8042Start(VOID)
{
    UCHAR Byte, Kept;

    if (READ_PORT_UCHAR(PORT_COMMAND) == 0xFF || !Put(PORT_COMMAND, COMMAND_DISABLE) ||
        !Put(PORT_COMMAND, COMMAND_DISABLE_MOUSE)) {
        return STATUS_NO_SUCH_DEVICE;
    }
    Flush();
    if (!ReadCommandByte(&Byte)) {
        return STATUS_NO_SUCH_DEVICE;
    }
    Byte = (UCHAR)((Byte & ~(BYTE_INTERRUPT | BYTE_MOUSE | BYTE_DISABLED)) | BYTE_TRANSLATE | BYTE_MOUSE_DISABLED);
    if (!WriteCommandByte(Byte) || !ReadCommandByte(&Kept) || !Put(PORT_COMMAND, COMMAND_ENABLE)) {
        return STATUS_NO_SUCH_DEVICE;
    }
    if ((Kept & BYTE_TRANSLATE) == 0 && (!Tell(KEYBOARD_SET) || !Tell(1))) {
        return STATUS_IO_DEVICE_ERROR;
    }
    return Tell(KEYBOARD_ENABLE) ? STATUS_SUCCESS : STATUS_NO_SUCH_DEVICE;
}

NTSTATUS I8042EnableInterrupts(VOID)
{
    UCHAR Byte;

    if (!Put(PORT_COMMAND,
             COMMAND_DISABLE)) { /* no key comes between the command and its answer, or stays in the buffer */
        return STATUS_IO_DEVICE_ERROR;
    }
    Flush();
    if (!ReadCommandByte(&Byte) || !WriteCommandByte((UCHAR)((Byte | BYTE_INTERRUPT) & ~BYTE_DISABLED))) {
        return STATUS_IO_DEVICE_ERROR;
    }
    return STATUS_SUCCESS;
}

BOOLEAN I8042Read(PUCHAR Byte)
{
    UCHAR Status;

    while (((Status = READ_PORT_UCHAR(PORT_COMMAND)) & STATUS_OUTPUT_FULL) != 0 && Status != 0xFF) {
        *Byte = READ_PORT_UCHAR(PORT_DATA);
        if ((Status & STATUS_FROM_MOUSE) == 0) {
            return TRUE;
        }
    }
    return FALSE;
}
