/*
 * keyboard.c - the console as the class above the keyboard's port driver.
 *
 * The port driver (src/drivers/i8042prt) is asked once, by IOCTL_INTERNAL_KEYBOARD_CONNECT, to call ConpKeys for the keys that come; each is
 * translated (keymap.c) and put into the input queue beside COM1's bytes. A machine without a keyboard has no such device.
 *
 * ConpKeys is called by the port driver's DPC, one at a time: the state needs no lock. Source: WDK documentation of kbdclass's service callback.
 */
#include <ntos/io.h>
#include <ntos/ke.h>
#include <ntddkbd.h>
#include <kbdmou.h>
#include "consolep.h"
#include "keymap.h"

C_ASSERT(CON_KEY_BREAK == KEY_BREAK && CON_KEY_E0 == KEY_E0 && CON_KEY_E1 == KEY_E1);

static CON_KEYBOARD ConpKeyboard; /* the port driver's DPC */

/* The service callback: keys from First up to End; all are taken. IRQL: DISPATCH_LEVEL. */
static VOID NTAPI ConpKeys(PVOID DeviceObject, PVOID First, PVOID End, PVOID Consumed)
{
    PKEYBOARD_INPUT_DATA Key = First;

    for (; Key < (PKEYBOARD_INPUT_DATA)End; Key++) {
        CHAR Text[CON_KEY_TEXT];
        ULONG Count =
            Key->MakeCode < 0x80 ? ConpTranslateKey(&ConpKeyboard, (UCHAR)Key->MakeCode, Key->Flags, Text) : 0;

        if (Count != 0) {
            ConpTypeKey(Text, Count);
        }
    }
    *(PULONG)Consumed = (ULONG)(Key - (PKEYBOARD_INPUT_DATA)First);
}

VOID ConpConnectKeyboard(VOID)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\KeyboardPort0");
    CONNECT_DATA Connect = {NULL, (PVOID)(ULONG_PTR)ConpKeys};
    IO_STATUS_BLOCK Io;
    PDEVICE_OBJECT Device;
    PFILE_OBJECT File;
    KEVENT Done;
    PIRP Irp;

    if (!NT_SUCCESS(IoGetDeviceObjectPointer(&Name, FILE_READ_ATTRIBUTES, &File, &Device))) {
        return;
    }
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    Irp = IoBuildDeviceIoControlRequest(IOCTL_INTERNAL_KEYBOARD_CONNECT, Device, NULL, 0, NULL, 0, TRUE, &Done, &Io);
    if (Irp != NULL) {
        IoGetNextIrpStackLocation(Irp)->Parameters.DeviceIoControl.Type3InputBuffer = &Connect;
        IoGetNextIrpStackLocation(Irp)->Parameters.DeviceIoControl.InputBufferLength = sizeof(Connect);
        if (IoCallDriver(Device, Irp) == STATUS_PENDING) {
            KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
        }
    }
    ObDereferenceObject(File); /* the device stays: a boot driver's */
}
