/*
 * bitmapp.h - what the two halves of the bitmap routines share.
 */
#pragma once

/* First bit equal to Set in [From, Limit), or Limit. Limit is at most the bitmap's size. */
ULONG RtlpNextBit(PRTL_BITMAP BitMap, ULONG From, ULONG Limit, BOOLEAN Set);
