/*
 * user.h - how the kernel touches memory of the caller of a system service.
 *
 * A service's pointers belong to whoever called it: a program, whose addresses may be anything and change at any moment, or the
 * kernel, which is trusted. These routines ask the thread's previous mode and do what it demands: for a program the range
 * must lie in the user half and is touched once, with SMAP's guard lifted for that access only, and a fault becomes its
 * status; for the kernel they copy. A service captures each structure once and works on its copy.
 *
 * IRQL: <= APC_LEVEL. Locks: none may be held that a page fault needs.
 */
#pragma once

#include <ntos/ke.h>

/* STATUS_SUCCESS, STATUS_ACCESS_VIOLATION, or what else the fault was (STATUS_IN_PAGE_ERROR, ...). 0 bytes succeed. */
NTSTATUS ExCopyFromCaller(PVOID Destination, const VOID *Source, SIZE_T Bytes);
NTSTATUS ExCopyToCaller(PVOID Destination, const VOID *Source, SIZE_T Bytes);

/**
 * ExCaptureString - a caller's UNICODE_STRING as the kernel's own copy.
 *
 * @Captured  gets a copy in paged pool, with a NUL behind it; free it with ExFreeCapturedString. Empty strings take no pool
 * @String    NULL: as empty
 * returns    as above; STATUS_OBJECT_NAME_INVALID (odd length); STATUS_INSUFFICIENT_RESOURCES
 */
NTSTATUS ExCaptureString(PUNICODE_STRING Captured, const UNICODE_STRING *String);
VOID ExFreeCapturedString(PUNICODE_STRING Captured);

/* A caller's OBJECT_ATTRIBUTES: a program's are copied with their name and without security, the kernel's are taken as they are. */
typedef struct _EX_CAPTURED_ATTRIBUTES {
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Name;
} EX_CAPTURED_ATTRIBUTES, *PEX_CAPTURED_ATTRIBUTES;

/* NULL is captured as no attributes at all. Fails as ExCaptureString; STATUS_INVALID_PARAMETER (Length). */
NTSTATUS ExCaptureObjectAttributes(PEX_CAPTURED_ATTRIBUTES Captured, const OBJECT_ATTRIBUTES *Attributes);
VOID ExFreeCapturedAttributes(PEX_CAPTURED_ATTRIBUTES Captured);
