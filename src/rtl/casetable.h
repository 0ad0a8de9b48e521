/*
 * casetable.h - the shape of the generated case tables (casetable.c).
 */
#pragma once

/* Characters First, First+Stride, ..., Last map to themselves plus Delta. */
typedef struct _RTLP_CASE_RANGE {
    USHORT First;
    USHORT Last;
    USHORT Stride; /* 1, or 2 where capitals and small letters alternate */
    LONG Delta;    /* does not fit 16 bits: some pairs are 42,561 characters apart */
} RTLP_CASE_RANGE;

extern const RTLP_CASE_RANGE RtlpUpperRanges[];
extern const ULONG RtlpUpperRangesCount;
extern const RTLP_CASE_RANGE RtlpLowerRanges[];
extern const ULONG RtlpLowerRangesCount;
