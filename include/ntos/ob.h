/*
 * ob.h - the object manager, as the rest of the kernel sees it (what drivers see is in the DDK).
 *
 * An object is a header and a body in one nonpaged allocation. Callers hold body pointers. It lives while its pointer count is
 * above 0; each handle and the entry in its directory hold one pointer reference each. A component that has
 * objects of its own creates a type once (ObCreateObjectType) and objects with ObCreateObject + ObInsertObject.
 */
#pragma once

#include <ntos/ntos.h>

struct _OBJECT_TYPE;

/* Called when a handle is made. IRQL: PASSIVE_LEVEL. An error refuses the handle. */
typedef NTSTATUS (*OB_OPEN_PROCEDURE)(PEPROCESS Process, PVOID Object, ACCESS_MASK GrantedAccess, ULONG HandleCount);

/*
 * Called after a handle went; HandleCount is the number of handles before that, so 1 means the last one. The object is still
 * referenced. IRQL: PASSIVE_LEVEL.
 */
typedef VOID (*OB_CLOSE_PROCEDURE)(PEPROCESS Process, PVOID Object, ACCESS_MASK GrantedAccess, ULONG HandleCount);

/* Called once no reference is left; frees what the body owns, not the body. IRQL: PASSIVE_LEVEL. */
typedef VOID (*OB_DELETE_PROCEDURE)(PVOID Object);

/*
 * Called when a path leads through or to an object of this type. RemainingName is what follows the object's own name, with
 * its leading '\', or empty. Returns a referenced object; or STATUS_REPARSE with a whole new path in CompleteName (its old
 * buffer is the caller's to free, the new one comes from pool, tag OB_TAG_NAME). IRQL: PASSIVE_LEVEL, no lock held.
 */
typedef NTSTATUS (*OB_PARSE_PROCEDURE)(PVOID ParseObject, struct _OBJECT_TYPE *ObjectType, PACCESS_STATE AccessState,
                                       KPROCESSOR_MODE AccessMode, ULONG Attributes, PUNICODE_STRING CompleteName,
                                       PUNICODE_STRING RemainingName, PVOID Context, PVOID *Object);

/* Writes the name of an object that lives outside the directories (a file). Contract as ObQueryNameString. */
typedef NTSTATUS (*OB_QUERY_NAME_PROCEDURE)(PVOID Object, POBJECT_NAME_INFORMATION Info, ULONG Length,
                                            PULONG ReturnLength);

/* Where the descriptor of an object is kept, if not in its header (a key's is its node's). IRQL: any. */
struct _OBP_DESCRIPTOR;
typedef struct _OBP_DESCRIPTOR **(*OB_SECURITY_PLACE_PROCEDURE)(PVOID Object);

/* The token, referenced, whose defaults become the descriptor of an object that has none when it is first looked for. PASSIVE_LEVEL. */
typedef PVOID (*OB_SECURITY_TOKEN_PROCEDURE)(PVOID Object);

#define OB_NOT_WAITABLE 0xFFFFFFFFU

typedef struct _OBJECT_TYPE_INITIALIZER {
    PCWSTR Name;
    GENERIC_MAPPING GenericMapping;
    ACCESS_MASK ValidAccess; /* what MAXIMUM_ALLOWED and a missing security descriptor grant */
    ULONG PoolTag;
    BOOLEAN SecurityRequired; /* every object has a descriptor; otherwise those with a name or an explicit one */
    ULONG WaitOffset;         /* bytes from the body to its dispatcher header, or OB_NOT_WAITABLE */
    OB_OPEN_PROCEDURE OpenProcedure;
    OB_CLOSE_PROCEDURE CloseProcedure;
    OB_DELETE_PROCEDURE DeleteProcedure;
    OB_PARSE_PROCEDURE ParseProcedure;
    OB_QUERY_NAME_PROCEDURE QueryNameProcedure;
    OB_SECURITY_PLACE_PROCEDURE SecurityPlaceProcedure;
    OB_SECURITY_TOKEN_PROCEDURE SecurityTokenProcedure;
    ULONG
    DefaultPagedPoolCharge; /* bytes that an object costs in quota if its creator does not say; of nonpaged pool */
    ULONG DefaultNonPagedPoolCharge; /* 0 means its body's size */
} OBJECT_TYPE_INITIALIZER, *POBJECT_TYPE_INITIALIZER;

typedef struct _OBJECT_TYPE {
    /*
     * Points to this type itself. The DDK declares IoFileObjectType and its kin as POBJECT_TYPE *, and a compiler that imports
     * data through the import table loads one word more than one that was told nothing: both end at this type.
     */
    struct _OBJECT_TYPE *Self;    /* (c) */
    struct _OBJECT_TYPE *Next;    /* (c) all types, from ObpTypeList */
    UNICODE_STRING Name;          /* (c) */
    OBJECT_TYPE_INITIALIZER Info; /* (c) */
    volatile LONG64 ObjectCount;  /* interlocked: objects of this type that exist */
    volatile LONG64 HandleCount;  /* interlocked: handles to objects of this type */
    ULONG Index;                  /* (c) place in the order of creation, from 1 */
    volatile BOOLEAN Trace;       /* chk: objects made from now on remember who references them */
} OBJECT_TYPE;

#define OB_TAG_NAME    'mNbO'
#define OB_TAG_HANDLE  'tHbO'
#define OB_TAG_TRACE   'rTbO'
#define OB_TAG_DEFAULT 'tlfD' /* of references by the routines without a tag */

extern POBJECT_TYPE ObpDirectoryObjectType, ObpSymbolicLinkObjectType, ObpTypeObjectType;

/**
 * ObCreateObjectType - defines a type of objects and enters it in \ObjectTypes.
 *
 * @Initializer  copied; Name must stay (a literal)
 * @Type         gets the type; types are never deleted
 * returns       STATUS_SUCCESS or STATUS_INSUFFICIENT_RESOURCES
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS ObCreateObjectType(const OBJECT_TYPE_INITIALIZER *Initializer, POBJECT_TYPE *Type);

/**
 * ObCreateObject - allocates an object with a zeroed body and one pointer reference.
 *
 * @ProbeMode         whose rights count on the way to the name. The attributes' pointers are the kernel's: services capture them (ntos/user.h)
 * @Attributes        name, root, flags and security for ObInsertObject; NULL: none
 * @OwnershipMode     mode the creation is done for. UserMode: the quota block of the thread's process is charged until the object is deleted
 * @ParseContext      kept for ObInsertObject's parse procedures
 * @BodySize          bytes
 * @PagedCharge, @NonPagedCharge  bytes of the body and what it owns; 0: the type's default. Header, name and a descriptor come on top
 * @Object            gets the body
 * returns            STATUS_SUCCESS, STATUS_INSUFFICIENT_RESOURCES, STATUS_QUOTA_EXCEEDED, STATUS_OBJECT_NAME_INVALID, STATUS_INVALID_PARAMETER
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI ObCreateObject(KPROCESSOR_MODE ProbeMode, POBJECT_TYPE Type, POBJECT_ATTRIBUTES Attributes,
                              KPROCESSOR_MODE OwnershipMode, PVOID ParseContext, ULONG BodySize, ULONG PagedCharge,
                              ULONG NonPagedCharge, PVOID *Object);

/**
 * ObOpenObjectByName - finds or (through a parse procedure) makes the object a path names and opens a handle to it.
 *
 * @ObjectType  required type, NULL: any
 * @ParseContext  given to parse procedures (the I/O manager's open packet)
 * @Handle      gets the handle
 * returns      STATUS_SUCCESS or what the lookup, the parse procedure or the access check says
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI ObOpenObjectByName(POBJECT_ATTRIBUTES Attributes, POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode,
                                  PACCESS_STATE AccessState, ACCESS_MASK DesiredAccess, PVOID ParseContext,
                                  PHANDLE Handle);

/* As ObOpenObjectByName, but returns a referenced pointer instead of a handle. IRQL: PASSIVE_LEVEL. */
NTSTATUS NTAPI ObReferenceObjectByName(PUNICODE_STRING Name, ULONG Attributes, PACCESS_STATE AccessState,
                                       ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode,
                                       PVOID ParseContext, PVOID *Object);

/* The dispatcher object to wait on for an object, NULL if its type cannot be waited for. IRQL: any. */
PVOID ObGetWaitObject(PVOID Object);

/* References the object unless its count has already fallen to 0. IRQL: <= DISPATCH_LEVEL. */
BOOLEAN ObReferenceObjectSafe(PVOID Object);

/* Type, pointer count and handle count of an object, for tests and the console; a snapshot. IRQL: any. */
POBJECT_TYPE NTAPI ObGetObjectType(PVOID Object);
LONG64 ObGetPointerCount(PVOID Object);
LONG64 ObGetHandleCount(PVOID Object);

#if NT_CHK
/* Taken minus given-up references with a tag, among the last ones of an object that is traced (OBJECT_TYPE.Trace). IRQL: any. */
LONG64 ObQueryTaggedReferences(PVOID Object, ULONG Tag);
#endif

/* Waits until every deletion that was put off to a worker has been done. PASSIVE_LEVEL; for tests and shutdown. */
VOID ObFlushDeferredDeletes(VOID);

/* ---- Handle tables (src/ob/handle.c, handletable.c, duplicate.c) ---- */

typedef struct _HANDLE_TABLE HANDLE_TABLE, *PHANDLE_TABLE;

/*
 * A process's table: made (or inherited) while the process is, emptied by ObCloseAllHandles when its last thread ends, and freed by
 * ObDestroyHandleTable in the process's delete procedure, since others may look at EPROCESS.ObjectTable until then.
 */
/* The process is charged for it. STATUS_INSUFFICIENT_RESOURCES, STATUS_QUOTA_EXCEEDED: *Table is NULL. IRQL <= APC_LEVEL. */
NTSTATUS ObCreateHandleTable(PEPROCESS Process, PVOID *Table);
VOID ObCloseAllHandles(PHANDLE_TABLE Table);    /* also protected ones; nobody gets in from now on; PASSIVE_LEVEL */
VOID ObDestroyHandleTable(PHANDLE_TABLE Table); /* closes every handle first; PASSIVE_LEVEL */
/* The type after this one in no particular order, NULL: the first, and after the last. IRQL: any. */
POBJECT_TYPE ObNextType(POBJECT_TYPE Type);
ULONG ObGetTableHandleCount(PHANDLE_TABLE Table); /* a snapshot; IRQL: any */

/* Every handle of a process, one call each; Object is not referenced and only a number. PASSIVE_LEVEL, no lock held. */
typedef struct _OB_HANDLE_VIEW {
    HANDLE Handle;
    PVOID Object;
    ULONG TypeIndex; /* of OBJECT_TYPE */
    ACCESS_MASK Granted;
    ULONG Attributes; /* OBJ_ */
} OB_HANDLE_VIEW;
typedef VOID (*OB_HANDLE_VISIT)(PVOID Context, const OB_HANDLE_VIEW *View);
VOID ObForEachHandle(PEPROCESS Process, OB_HANDLE_VISIT Visit, PVOID Context);

/**
 * ObInheritHandles - a table for a new process with the inheritable handles of its parent, under the same numbers.
 *
 * @Parent   process whose handles with OBJ_INHERIT are copied
 * @Child    process the table is for; not referenced
 * @List     Count values of the parent: of its inheritable handles only these; NULL: all
 * @Table    gets the table; the caller puts it into Child->ObjectTable
 * returns   STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES; STATUS_QUOTA_EXCEEDED; STATUS_PROCESS_IS_TERMINATING: the parent's handles are being
 *           closed; what an open procedure says; STATUS_INVALID_PARAMETER: one of the list is no inheritable handle. On failure nothing is left.
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS ObInheritHandles(PEPROCESS Parent, PEPROCESS Child, const HANDLE *List, ULONG Count, PHANDLE_TABLE *Table);

/**
 * ObDuplicateObject - a second handle to what a handle stands for, perhaps in another process.
 *
 * @SourceProcess, @SourceHandle  the handle to duplicate
 * @TargetProcess                 gets the new one; NULL with DUPLICATE_CLOSE_SOURCE: only close the source
 * @TargetHandle                  gets its number; may be NULL with TargetProcess
 * @DesiredAccess                 rights, unless DUPLICATE_SAME_ACCESS; never more than the source has without an access check
 * @HandleAttributes              OBJ_INHERIT, OBJ_KERNEL_HANDLE..., unless DUPLICATE_SAME_ATTRIBUTES
 * @Options                       DUPLICATE_ flags. DUPLICATE_CLOSE_SOURCE closes the source whatever becomes of the rest.
 * returns                        STATUS_SUCCESS, STATUS_INVALID_HANDLE, STATUS_ACCESS_DENIED, STATUS_INVALID_PARAMETER,
 *                                STATUS_PROCESS_IS_TERMINATING, STATUS_INSUFFICIENT_RESOURCES, STATUS_QUOTA_EXCEEDED: the target's table cannot grow
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS ObDuplicateObject(PEPROCESS SourceProcess, HANDLE SourceHandle, PEPROCESS TargetProcess, PHANDLE TargetHandle,
                           ACCESS_MASK DesiredAccess, ULONG HandleAttributes, ULONG Options,
                           KPROCESSOR_MODE PreviousMode);

/* Known to drivers, but not declared by the DDK's headers. */
typedef struct _OBJECT_HANDLE_FLAG_INFORMATION {
    BOOLEAN Inherit;
    BOOLEAN ProtectFromClose;
} OBJECT_HANDLE_FLAG_INFORMATION, *POBJECT_HANDLE_FLAG_INFORMATION;

NTSTATUS NTAPI ObSetHandleAttributes(HANDLE Handle, POBJECT_HANDLE_FLAG_INFORMATION HandleFlags,
                                     KPROCESSOR_MODE PreviousMode);
NTSTATUS NTAPI ObSetSecurityObjectByPointer(PVOID Object, SECURITY_INFORMATION SecurityInformation,
                                            PSECURITY_DESCRIPTOR SecurityDescriptor);
NTSTATUS NTAPI ObAssignSecurity(PACCESS_STATE AccessState, PSECURITY_DESCRIPTOR ParentDescriptor, PVOID Object,
                                POBJECT_TYPE Type);
BOOLEAN NTAPI ObCheckObjectAccess(PVOID Object, PACCESS_STATE AccessState, BOOLEAN TypeMutexLocked,
                                  KPROCESSOR_MODE AccessMode, PNTSTATUS AccessStatus);
NTSTATUS NTAPI ObCloseHandle(HANDLE Handle, KPROCESSOR_MODE PreviousMode);

/* ---- Descriptors (src/ob/descriptor.c) ---- */

/* The object's own descriptor: the creator's, NULL: none was given, or the subject's defaults. As SeAssignSecurity. PASSIVE_LEVEL. */
NTSTATUS ObGiveSecurity(PVOID Object, PSECURITY_DESCRIPTOR Explicit);

/**
 * ObCheckOpen - may the calling thread's subject have rights to an object, whatever mode it is in?
 *
 * @Desired  specific, standard and generic rights
 * returns   STATUS_SUCCESS, STATUS_ACCESS_DENIED, STATUS_PRIVILEGE_NOT_HELD, STATUS_BAD_IMPERSONATION_LEVEL
 *
 * IRQL: PASSIVE_LEVEL. Locks: the subject's tokens, inside.
 */
NTSTATUS ObCheckOpen(PVOID Object, ACCESS_MASK Desired);

/* TRUE: an open is checked, since it is not the kernel's own. */
FORCEINLINE BOOLEAN ObIsChecked(KPROCESSOR_MODE Mode, ULONG Attributes)
{
    return Mode != KernelMode || (Attributes & OBJ_FORCE_ACCESS_CHECK) != 0;
}

/*
 * Descriptors of things that are no objects (nodes of the registry), counted and shared; Place is where the pointer is kept, NULL in it: none.
 * ObShareSecurity makes one from the parent's and the creator's wish, and takes the parent's own if it is the same. PASSIVE_LEVEL.
 */
NTSTATUS ObShareSecurity(struct _OBP_DESCRIPTOR **Parent, PSECURITY_DESCRIPTOR Explicit, POBJECT_TYPE Type,
                         struct _OBP_DESCRIPTOR **New);
NTSTATUS ObCheckSharedSecurity(struct _OBP_DESCRIPTOR **Place, POBJECT_TYPE Type, ACCESS_MASK Desired);
VOID ObDropSecurity(struct _OBP_DESCRIPTOR *Descriptor);

/* Every object under a directory, one call each, until Visit returns FALSE. The name is valid during the call only. */
typedef BOOLEAN (*OB_VISIT)(PVOID Context, PCUNICODE_STRING Name, PVOID Object);
VOID ObForEachInDirectory(PVOID Directory, OB_VISIT Visit, PVOID Context);

NTSTATUS NTAPI NtCreateDirectoryObject(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes);
NTSTATUS NTAPI NtOpenDirectoryObject(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes);
NTSTATUS NTAPI NtCreateSymbolicLinkObject(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes,
                                          PUNICODE_STRING Target);
NTSTATUS NTAPI NtOpenSymbolicLinkObject(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes);
NTSTATUS NTAPI NtQuerySymbolicLinkObject(HANDLE Handle, PUNICODE_STRING Target, PULONG ReturnedLength);
NTSTATUS NTAPI NtMakeTemporaryObject(HANDLE Handle);
NTSTATUS NTAPI NtMakePermanentObject(HANDLE Handle);
NTSTATUS NTAPI NtDuplicateObject(HANDLE SourceProcessHandle, HANDLE SourceHandle, HANDLE TargetProcessHandle,
                                 PHANDLE TargetHandle, ACCESS_MASK DesiredAccess, ULONG HandleAttributes,
                                 ULONG Options);
NTSTATUS NTAPI NtSetInformationObject(HANDLE Handle, OBJECT_INFORMATION_CLASS InformationClass, PVOID Buffer,
                                      ULONG Length);
NTSTATUS NTAPI ZwSetInformationObject(HANDLE Handle, OBJECT_INFORMATION_CLASS InformationClass, PVOID Buffer,
                                      ULONG Length);
NTSTATUS NTAPI NtQueryDirectoryObject(HANDLE DirectoryHandle, PVOID Buffer, ULONG Length, BOOLEAN ReturnSingleEntry,
                                      BOOLEAN RestartScan, PULONG Context, PULONG ReturnLength);

/* ---- Events with handles, waiting by handle (src/ex/eventobj.c) ---- */

extern POBJECT_TYPE ExpEventObjectType;

NTSTATUS ExpCreateEventType(VOID); /* once, after ObInitialize; PASSIVE_LEVEL */
NTSTATUS NTAPI NtCreateEvent(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes,
                             EVENT_TYPE EventType, BOOLEAN InitialState);
NTSTATUS NTAPI NtOpenEvent(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes);
NTSTATUS NTAPI NtSetEvent(HANDLE Handle, PLONG PreviousState);
NTSTATUS NTAPI NtResetEvent(HANDLE Handle, PLONG PreviousState);
NTSTATUS NTAPI NtClearEvent(HANDLE Handle);
NTSTATUS NTAPI NtWaitForSingleObject(HANDLE Handle, BOOLEAN Alertable, PLARGE_INTEGER Timeout);
