/*
 * ntos.h - the one header every kernel source includes first.
 *
 * The kernel implements the very declarations that drivers compile against: mingw-w64's DDK headers. Four
 * defines make those headers declare the kernel's names plainly instead of as imports, and two of their
 * functions (InterlockedBitTestAnd...) are renamed because wdm.h emits them with external linkage in every file
 * that includes it, which would not link twice.
 *
 * What the DDK leaves opaque is in the component headers included at the end.
 */
#pragma once

#define _NTOSKRNL_
#define _NTSYSTEM_
#define _NTHALDLL_
#undef _CRTIMP /* <stdint.h>, which loader.h needs, may have come first */
#define _CRTIMP

#include <intrin.h>

#define InterlockedBitTestAndSet   NtosUnusedBitTestAndSet
#define InterlockedBitTestAndReset NtosUnusedBitTestAndReset
#include <ntifs.h>
#undef InterlockedBitTestAndSet
#undef InterlockedBitTestAndReset

#include <ntos/assert.h>
#include <ntos/layout.h>
#include <ntos/x64.h>
#include <ntos/vf.h>
#include <ntos/listcheck.h>
#include <ntos/inject.h>
