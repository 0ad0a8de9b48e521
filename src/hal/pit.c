/*
 * pit.c - channel 2 of the 8254 interval timer as a counter, for machines with nothing better.
 *
 * The channel counts down from 0xFFFF at 1.193182 MHz with its gate open and the speaker off; a read latches it. One
 * turn takes 55 ms, so a caller that measures 5 ms cannot miss a wrap. Channel 0 is left as the firmware had it: its
 * interrupt is masked in the 8259 and in the I/O APIC.
 *
 * Source: Intel 8254 data sheet. Locks: none; boot processor, interrupts off.
 */
#include "halp.h"

#define PIT_CHANNEL_2 0x42
#define PIT_COMMAND   0x43
#define PIT_GATE      0x61 /* bit 0: channel 2 gate; bit 1: speaker */

#define PIT_MODE_2 0xB4 /* channel 2, low byte then high byte, rate generator: reloads and goes on */
#define PIT_LATCH  0x80

#define PIT_FREQUENCY 1193182

static ULONG64 PitRead(VOID)
{
    __outbyte(PIT_COMMAND, PIT_LATCH);
    ULONG Low = __inbyte(PIT_CHANNEL_2);
    ULONG High = __inbyte(PIT_CHANNEL_2);
    return 0xFFFF - (High << 8 | Low);
}

VOID HalpInitializePit(HALP_REFERENCE *Reference)
{
    __outbyte(PIT_GATE, (UCHAR)((__inbyte(PIT_GATE) & ~2) | 1));
    __outbyte(PIT_COMMAND, PIT_MODE_2);
    __outbyte(PIT_CHANNEL_2, 0xFF);
    __outbyte(PIT_CHANNEL_2, 0xFF);
    *Reference = (HALP_REFERENCE){"PIT", PIT_FREQUENCY, 0xFFFF, PitRead};
}
