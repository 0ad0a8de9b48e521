/*
 * memory.c - what a block of pool may not hold when it is freed.
 *
 * Locks that were named in it are forgotten, so that what lies there next is not taken for them.
 *
 * Locks: none of its own. IRQL: <= DISPATCH_LEVEL.
 */
#include "vfp.h"

VOID VfFreeMemory(PVOID Base, SIZE_T Bytes)
{
    VfForgetRange(Base, Bytes);
}
