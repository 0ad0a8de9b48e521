/*
 * system.c - the commands that concern the whole machine: version, reboot, shutdown.
 *
 * `shutdown` says `Power off.` before it asks the HAL, and waits until the serial port has sent it: scripts read that line
 * to tell a power-off that was asked for from a machine that died. Nothing has to be flushed while every volume is
 * read-only. PASSIVE_LEVEL, the console's thread; no locks.
 */
#include <ntos/hal.h>
#include <ntos/io.h>
#include <ntos/ke.h>
#include "consolep.h"

#define COM1_LINE_STATUS 0x3FD
#define UART_ALL_SENT    0x40
#define CON_SENT_POLLS   200000 /* about 1 us each; 16 bytes take 1.4 ms at 115200 baud */

static VOID ConpDrain(VOID)
{
    for (ULONG Poll = 0; Poll < CON_SENT_POLLS && (__inbyte(COM1_LINE_STATUS) & UART_ALL_SENT) == 0; Poll++) {
        YieldProcessor();
    }
}

static VOID ConpVersion(ULONG ArgumentCount, PCSTR *Arguments)
{
    ConPrint("Oriel %s, an NT-style kernel for x86-64\nbuilt by clang %s, %lu processor%s running\n",
             NT_CHK ? "chk" : "fre", __clang_version__, KeNumberOfActiveProcessors,
             KeNumberOfActiveProcessors == 1 ? "" : "s");
}
CONSOLE_COMMAND(ConpVersionCommand, "version", "", "what is running", ConpVersion);

static VOID ConpShutdown(ULONG ArgumentCount, PCSTR *Arguments)
{
    IoShutdown();
    ConPrint("Power off.\n");
    ConpDrain();
    HalPowerOff();
}
CONSOLE_COMMAND(ConpShutdownCommand, "shutdown", "", "power the machine off", ConpShutdown);

static VOID ConpReboot(ULONG ArgumentCount, PCSTR *Arguments)
{
    IoShutdown();
    ConPrint("Restarting.\n");
    ConpDrain();
    HalReset();
}
CONSOLE_COMMAND(ConpRebootCommand, "reboot", "", "restart the machine", ConpReboot);
