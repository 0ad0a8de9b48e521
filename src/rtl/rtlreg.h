/*
 * rtlreg.h - what the registry helpers of the run-time library share (regpath.c, regquery.c, regexpand.c).
 */
#pragma once

#include <ntos/ntos.h>

#define RTLP_REGISTRY_TAG 'geRR' /* "RReg" */

/* The newer headers of the WDK name these; the DDK's do not. Source: documentation of RtlQueryRegistryValues. */
#ifndef RTL_QUERY_REGISTRY_TYPECHECK
#define RTL_QUERY_REGISTRY_TYPECHECK       0x00000100
#define RTL_QUERY_REGISTRY_TYPECHECK_SHIFT 24
#define RTL_QUERY_REGISTRY_TYPECHECK_MASK  (0xFFU << RTL_QUERY_REGISTRY_TYPECHECK_SHIFT)
#endif

/* Opens (or makes) the key that RelativeTo and Path mean; the handle is the caller's to pass to RtlpCloseRegistryKey. (regpath.c) */
NTSTATUS RtlpOpenRegistryKey(ULONG RelativeTo, PCWSTR Path, ACCESS_MASK Access, BOOLEAN Create, PHANDLE Key);
VOID RtlpCloseRegistryKey(ULONG RelativeTo, HANDLE Key);

/* Opens a key below another. (regpath.c) */
NTSTATUS RtlpOpenSubKey(HANDLE Root, PCWSTR Path, ACCESS_MASK Access, PHANDLE Key);

/**
 * RtlpExpandEnvironment - replaces %NAME% in a text by the variable's value. (regexpand.c)
 *
 * @Environment  NAME=VALUE strings, each with its NUL, ended by an empty one; NULL: only %SystemRoot% is known
 * @Text         Chars characters, without a NUL
 * @Out          room for Room characters; may be NULL when Room is 0
 * returns       the characters that the whole expansion has; at most Room of them were written
 *
 * IRQL: any, if resident.
 */
ULONG RtlpExpandEnvironment(PCWSTR Environment, PCWSTR Text, ULONG Chars, PWSTR Out, ULONG Room);
