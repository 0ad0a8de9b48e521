/*
 * pic.c - the two 8259 interrupt controllers, put where they do no harm.
 *
 * CR8 does not hold back what the 8259s send, so Oriel never takes an interrupt from them: every line is masked from
 * the first instructions on, and devices interrupt through the I/O APIC. They are still programmed, because a
 * masked 8259 may deliver a spurious IRQ 7 or 15, and at their power-on vectors these would look like exceptions.
 * Their vectors become KI_VECTOR_PIC and following, where a handler only counts.
 *
 * Source: Intel 8259A data sheet. Locks: none; boot processor, interrupts off.
 */
#include "halp.h"

#define PIC1_COMMAND 0x20
#define PIC1_DATA    0x21
#define PIC2_COMMAND 0xA0
#define PIC2_DATA    0xA1

#define PIC_ICW1_INIT 0x11 /* edge, cascade, ICW4 follows */
#define PIC_ICW4_8086 0x01

/**
 * HalpInitializePic - moves the 8259s to unused vectors and masks all their lines.
 *
 * IRQL: HIGH_LEVEL or interrupts off. Locks: none.
 */
VOID HalpInitializePic(VOID)
{
    __outbyte(PIC1_COMMAND, PIC_ICW1_INIT);
    __outbyte(PIC2_COMMAND, PIC_ICW1_INIT);
    __outbyte(PIC1_DATA, KI_VECTOR_PIC);
    __outbyte(PIC2_DATA, KI_VECTOR_PIC + 8);
    __outbyte(PIC1_DATA, 1 << 2); /* the second one sits on line 2 */
    __outbyte(PIC2_DATA, 2);
    __outbyte(PIC1_DATA, PIC_ICW4_8086);
    __outbyte(PIC2_DATA, PIC_ICW4_8086);
    __outbyte(PIC1_DATA, 0xFF);
    __outbyte(PIC2_DATA, 0xFF);
}
