/*
 * assert.h - what a checked build verifies at run time.
 *
 * NT_CHK is 1 in the chk flavour and 0 in fre. A failed assertion is a bug check that names the expression and
 * its place on the console; in fre the expression is not evaluated but still compiled, so it cannot rot.
 */
#pragma once

#ifndef NT_CHK
#define NT_CHK 0
#endif

/* Prints the failed expression and bug checks; never returns. IRQL: any. Locks: none. (src/ke/bugcheck.c) */
DECLSPEC_NORETURN VOID KiAssertFailed(PCSTR Expression, PCSTR File, ULONG Line);

#undef ASSERT
#undef NT_ASSERT
#if NT_CHK
#define ASSERT(Expression) ((Expression) ? (void)0 : KiAssertFailed(#Expression, __FILE__, __LINE__))
#else
#define ASSERT(Expression) ((void)sizeof((Expression) ? 1 : 0))
#endif
#define NT_ASSERT ASSERT

#define ASSERT_IRQL(Level)     ASSERT(KeGetCurrentIrql() == (Level))
#define ASSERT_IRQL_MAX(Level) ASSERT(KeGetCurrentIrql() <= (Level))
#define ASSERT_IRQL_MIN(Level) ASSERT(KeGetCurrentIrql() >= (Level))
