/*
 * input.c - bytes typed on COM1.
 *
 * Polled: the console has the processor to itself while it waits.
 */
#include <ntos/hal.h>
#include "consolep.h"

VOID ConpInitializeInput(VOID)
{
}

UCHAR ConpReadByte(VOID)
{
    UCHAR Byte;

    while (!HalSerialGet(0, &Byte)) {
        YieldProcessor();
    }
    return Byte;
}
