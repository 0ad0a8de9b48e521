/*
 * rtl.h - the run-time library, as the kernel sees it beyond the DDK: formatting, unwinding, exception dispatch.
 *
 * The DDK headers leave the x64 exception structures to user-mode headers that cannot follow ntifs.h, so they are
 * declared here. Source: Microsoft Learn, "x64 exception handling"; layouts carry C_ASSERTs.
 */
#pragma once

#include <stdarg.h>
#include <ntos/ntos.h>

/* ---- Formatting (src/rtl/format.c) ---- */

/* Receives formatted characters one by one; Context is the caller's. */
typedef VOID (*PRTL_FORMAT_SINK)(PVOID Context, CHAR Character);

/* Formats into a sink; returns the number of characters produced. IRQL: any (pageable arguments: < DISPATCH_LEVEL). */
ULONG RtlpFormat(PRTL_FORMAT_SINK Sink, PVOID Context, PCSTR Format, va_list Arguments);

/*
 * Formats into a buffer of Bytes bytes, always terminated when Bytes is not 0. Returns the length the whole text
 * has without its terminator: the text was cut if that is >= Bytes. IRQL: as RtlpFormat.
 */
ULONG RtlFormatStringV(PSTR Buffer, SIZE_T Bytes, PCSTR Format, va_list Arguments);
ULONG RtlFormatString(PSTR Buffer, SIZE_T Bytes, PCSTR Format, ...) __attribute__((format(printf, 3, 4)));
