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

/*
 * A caller's OBJECT_ATTRIBUTES: a program's are copied with their name and security descriptor, the kernel's are taken as they are.
 * Address: what to hand on, NULL if the caller gave none.
 */
typedef struct _EX_CAPTURED_ATTRIBUTES {
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Name;
    PSECURITY_DESCRIPTOR Descriptor; /* a copy; NULL: none */
    const VOID *Quality;             /* the caller's SECURITY_QUALITY_OF_SERVICE, not looked at; NULL: none */
    POBJECT_ATTRIBUTES Address;
} EX_CAPTURED_ATTRIBUTES, *PEX_CAPTURED_ATTRIBUTES;

/* NULL is captured as no attributes at all. Fails as ExCaptureString and SeCaptureSecurityDescriptor; STATUS_INVALID_PARAMETER (Length). */
NTSTATUS ExCaptureObjectAttributes(PEX_CAPTURED_ATTRIBUTES Captured, const OBJECT_ATTRIBUTES *Attributes);
VOID ExFreeCapturedAttributes(PEX_CAPTURED_ATTRIBUTES Captured);

/**
 * ExReturnHandle - the end of a service that opens something: gives the caller the handle's value.
 *
 * @Status  of the open; on an error nothing happens
 * returns  Status, or what writing failed with; the handle is closed then
 */
NTSTATUS ExReturnHandle(NTSTATUS Status, HANDLE Opened, PHANDLE Handle);

/*
 * What services that make and open objects do, attributes captured and the handle returned: ObCreateObject; ObInsertObject with a handle; and
 * ObOpenObjectByName. PASSIVE_LEVEL. Errors as those, of capture, and of writing the handle.
 */
NTSTATUS ExCreateObject(POBJECT_TYPE Type, POBJECT_ATTRIBUTES Attributes, ULONG Bytes, PVOID *Object);
NTSTATUS ExInsertObject(PVOID Object, ACCESS_MASK DesiredAccess, PHANDLE Handle);
NTSTATUS ExOpenObject(POBJECT_TYPE Type, POBJECT_ATTRIBUTES Attributes, ACCESS_MASK DesiredAccess, PHANDLE Handle);

/* Copies an optional result out if Status is a success and Place is not NULL; Status, or what writing failed with. */
NTSTATUS ExReturnValue(NTSTATUS Status, PVOID Place, const VOID *Value, SIZE_T Bytes);

/* As ExReturnHandle of a parameter that is wanted before anything is done: STATUS_ACCESS_VIOLATION, ... IRQL: <= APC_LEVEL. */
NTSTATUS ExProbeForWrite(PVOID Place, SIZE_T Bytes);

/* Input of any length: the caller's own (kernel) or a copy in paged pool. STATUS_INSUFFICIENT_RESOURCES; 0 bytes are NULL. */
NTSTATUS ExCaptureBuffer(PVOID *Captured, const VOID *Source, SIZE_T Bytes);
VOID ExFreeCapturedBuffer(PVOID Captured, const VOID *Source);

/*
 * An answer of any length that a service writes: into the caller's buffer (kernel), or into pool and from there to the program.
 * The copy begins small, since a program may claim a buffer of any size, and grows to what the answer needs:
 *
 *     Status = ExBeginAnswer(&Answer, Buffer, Length);
 *     if (!NT_SUCCESS(Status)) { return Status; }
 *     do {
 *         Status = Query(Answer.Buffer, Answer.Length, &Needed);
 *     } while (ExGrowAnswer(&Answer, &Status, Needed));
 *     return ExEndAnswer(&Answer, Status, Written);
 *
 * A pointer inside an answer to another place of it gets Answer.Bias bytes added.
 */
typedef struct _EX_ANSWER {
    PVOID Buffer;    /* where to write */
    ULONG Length;    /* bytes there */
    PVOID Target;    /* the caller's buffer */
    ULONG Whole;     /* bytes the caller said it has */
    ULONG64 Bias;    /* Target - Buffer */
    BOOLEAN Copying; /* Buffer is pool */
} EX_ANSWER, *PEX_ANSWER;

/* STATUS_ACCESS_VIOLATION: not a range of user addresses; STATUS_INSUFFICIENT_RESOURCES. */
NTSTATUS ExBeginAnswer(PEX_ANSWER Answer, PVOID Target, ULONG Length);
/* TRUE: the answer needed more than there was but the caller has more; there is room now, so ask again. *Status may become an error. */
BOOLEAN ExGrowAnswer(PEX_ANSWER Answer, PNTSTATUS Status, ULONG Needed);
/* Writes the first Bytes to the program unless Status is an error, frees the copy. Returns Status, or what writing failed with. */
NTSTATUS ExEndAnswer(PEX_ANSWER Answer, NTSTATUS Status, ULONG Bytes);
