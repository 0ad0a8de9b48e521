/*
 * obp.h - what the object manager's files share.
 *
 * Locks: ObpNamespaceLock (fast mutex) guards every directory's contents, the Name field of every header and the
 * directory links of names; it is taken at <= APC_LEVEL and nothing is called under it but pool and string routines. Handle
 * tables and exclusive objects have spin locks of their own. Counts are interlocked. None of these is taken inside another.
 */
#pragma once

#include <ntos/ob.h>
#include <ntos/ps.h>
#include <ntos/se.h>

#define OBP_FLAG_PERMANENT    0x01U /* keeps its name with no handle open */
#define OBP_FLAG_KERNEL_ONLY  0x02U /* created by the kernel */
#define OBP_FLAG_HAS_CREATION 0x04U /* Creation is set: not inserted yet */
#define OBP_FLAG_EXCLUSIVE    0x08U /* handles in one process only: ExclusiveProcess */
#define OBP_FLAG_INSERTING    0x10U /* keeps its name until ObInsertObject has made its handle */

/* Bytes of paged pool that an object is charged for its descriptor, however large that is now: enough for one with a dozen entries. */
#define OBP_DESCRIPTOR_CHARGE 512U

/* What ObCreateObject keeps for ObInsertObject. */
typedef struct _OBP_CREATION {
    ULONG Attributes;
    HANDLE RootDirectory;
    PVOID ParseContext;
    KPROCESSOR_MODE ProbeMode;
    UNICODE_STRING Name;             /* own buffer; empty: unnamed */
    PSECURITY_DESCRIPTOR Descriptor; /* captured; NULL: none given */
} OBP_CREATION, *POBP_CREATION;

/* An object's place in a directory. Owned by the object's header. */
typedef struct _OBP_NAME {
    LIST_ENTRY Link;                  /* (n) in the directory's bucket */
    struct _OBJECT_HEADER *Header;    /* (c) */
    struct _OBP_DIRECTORY *Directory; /* (n) referenced; NULL once taken out of it */
    ULONG Hash;                       /* (c) of the upper-cased name */
    UNICODE_STRING Name;              /* (c) own buffer, follows this structure */
} OBP_NAME, *POBP_NAME;

/* (n) ObpNamespaceLock  (x) ObpExclusiveLock  (s) ObpSecurityLock  (i) interlocked  (c) constant after creation */
typedef struct _OBJECT_HEADER {
    volatile LONG64 PointerCount; /* (i) */
    volatile LONG64 HandleCount;  /* (i) */
    POBJECT_TYPE Type;            /* (c) referenced never: types are not deleted */
    volatile LONG Flags;          /* (i) OBP_FLAG_* */
    ULONG NonPagedCharge;         /* (c) bytes charged to QuotaBlock */
    POBP_NAME Name;               /* (n) NULL: unnamed */
    union {
        POBP_CREATION Creation;            /* until ObInsertObject */
        struct _OBJECT_HEADER *NextDelete; /* on the deferred-delete list, when PointerCount is 0 */
    };
    struct _OBP_DESCRIPTOR *Security; /* (s) referenced; NULL: the object has none */
    PEPROCESS ExclusiveProcess;       /* (x) compared only: has the handles of an exclusive object */
    PPS_QUOTA_BLOCK QuotaBlock;       /* (c) referenced; NULL: nobody is charged */
    ULONG PagedCharge;                /* (c) the same of paged pool */
#if NT_CHK
    struct _OBP_TRACE *Trace; /* (c) its references, NULL: not traced */
    ULONG64 Reserved;
#endif
} OBJECT_HEADER, *POBJECT_HEADER;
C_ASSERT(sizeof(OBJECT_HEADER) % 16 == 0); /* bodies hold 16-byte aligned fields (SLIST headers) */

/* ---- Reference tracing (chk; src/ob/trace.c) ---- */

#if NT_CHK
VOID ObpTraceReference(struct _OBP_TRACE *Trace, LONG Change, LONG64 Count, ULONG Tag);
struct _OBP_TRACE *ObpCreateTrace(POBJECT_TYPE Type);
VOID ObpPrintTrace(PVOID Object);
BOOLEAN ObpTraceFromBoot(PCUNICODE_STRING Type);
#define OBP_TRACE_REFERENCE(Header, Change, Count, Tag)                                                                \
    ((Header)->Trace == NULL ? (VOID)0 : ObpTraceReference((Header)->Trace, (Change), (Count), (Tag)))
#else
#define OBP_TRACE_REFERENCE(Header, Change, Count, Tag) ((VOID)(Tag))
#endif

FORCEINLINE POBJECT_HEADER ObpHeader(PVOID Object)
{
    return (POBJECT_HEADER)Object - 1;
}

FORCEINLINE PVOID ObpBody(POBJECT_HEADER Header)
{
    return Header + 1;
}

/* A prime, as a multiplicative hash wants; NT's directories have as many. \Device is the largest and stays small. */
#define OBP_DIRECTORY_BUCKETS 37U

typedef struct _OBP_DIRECTORY {
    LIST_ENTRY Buckets[OBP_DIRECTORY_BUCKETS]; /* (n) of OBP_NAME */
    ULONG EntryCount;                          /* (n) */
} OBP_DIRECTORY, *POBP_DIRECTORY;

typedef struct _OBP_SYMBOLIC_LINK {
    UNICODE_STRING Target; /* (c) own buffer */
} OBP_SYMBOLIC_LINK, *POBP_SYMBOLIC_LINK;

/* One name lookup. */
typedef struct _OBP_LOOKUP {
    HANDLE RootDirectory;
    PCUNICODE_STRING Name;
    ULONG Attributes; /* OBJ_* */
    POBJECT_TYPE ObjectType;
    KPROCESSOR_MODE AccessMode;
    PACCESS_STATE AccessState;
    PVOID ParseContext;
    PVOID InsertObject; /* not NULL: enter this object under the name if it is free */
} OBP_LOOKUP, *POBP_LOOKUP;

extern FAST_MUTEX ObpNamespaceLock;
extern POBP_DIRECTORY ObpRootDirectory, ObpTypeDirectory;
extern PHANDLE_TABLE ObpKernelHandleTable;

/* type.c */
NTSTATUS ObpEnterTypes(VOID);
#define OBP_TYPE_NAME_BYTES 32U /* of a type's name as a word of the console */
BOOLEAN ObpTypeIsNamed(PCUNICODE_STRING Type, PCSTR Name);
BOOLEAN ObpToggleTrace(PCSTR Name);
BOOLEAN ObpIsType(POBJECT_TYPE Type);

/* object.c */
NTSTATUS ObpAllocateObject(POBJECT_TYPE Type, ULONG BodySize, POBJECT_HEADER *Header);
VOID ObpFreeCreation(POBJECT_HEADER Header);
NTSTATUS ObpCaptureName(KPROCESSOR_MODE Mode, PCUNICODE_STRING Source, PUNICODE_STRING Copy);

/* directory.c; all three with ObpNamespaceLock held */
POBP_NAME ObpFindInDirectory(POBP_DIRECTORY Directory, PCUNICODE_STRING Name, BOOLEAN IgnoreCase);
VOID ObpLinkName(POBP_DIRECTORY Directory, POBP_NAME Name);
VOID ObpUnlinkName(POBP_NAME Name);
POBP_NAME ObpAllocateName(POBJECT_HEADER Header, PCUNICODE_STRING Name);
VOID ObpInitializeDirectory(POBP_DIRECTORY Directory);
VOID ObpDeleteNameCheck(POBJECT_HEADER Header);
BOOLEAN ObpLostName(POBJECT_HEADER Header);

/* lookup.c */
NTSTATUS ObpLookupObject(POBP_LOOKUP Lookup, PVOID *Object);

/* symlink.c */
NTSTATUS ObpParseSymbolicLink(PVOID ParseObject, POBJECT_TYPE ObjectType, PACCESS_STATE AccessState,
                              KPROCESSOR_MODE AccessMode, ULONG Attributes, PUNICODE_STRING CompleteName,
                              PUNICODE_STRING RemainingName, PVOID Context, PVOID *Object);
VOID ObpDeleteSymbolicLink(PVOID Object);

/* descriptor.c */
typedef struct _OBP_DESCRIPTOR {
    volatile LONG64 Count;           /* (i) each place that has it is one */
    PSECURITY_DESCRIPTOR Descriptor; /* (c) own pool */
} OBP_DESCRIPTOR, *POBP_DESCRIPTOR;

POBP_DESCRIPTOR *ObpSecurityPlace(POBJECT_HEADER Header);
NTSTATUS ObpPutDescriptor(POBJECT_HEADER Header, PSECURITY_DESCRIPTOR Descriptor);
NTSTATUS ObpTakeDescriptor(POBJECT_HEADER Header, POBP_DESCRIPTOR *Descriptor);
BOOLEAN ObpHasSecurity(POBJECT_HEADER Header);
NTSTATUS ObpAssignSecurity(PVOID Object, PACCESS_STATE AccessState, PSECURITY_DESCRIPTOR Explicit, PVOID Parent);
VOID ObpReleaseSecurity(POBJECT_HEADER Header);

/* security.c */
VOID ObpInitializeSecurity(VOID);

/* access.c */
NTSTATUS ObpCheckDirectory(PVOID Directory, ACCESS_MASK Desired, KPROCESSOR_MODE Mode, ULONG Attributes);
NTSTATUS ObpCheckAccess(PVOID Object, ULONG Attributes, PACCESS_STATE AccessState, ACCESS_MASK Desired,
                        KPROCESSOR_MODE AccessMode, PACCESS_MASK Granted);
NTSTATUS ObpGrantAccess(POBJECT_TYPE Type, ACCESS_MASK Desired, PACCESS_MASK Granted);
VOID ObpBeginAccessState(PACCESS_STATE State, SE_AUX_DATA *Aux, POBJECT_TYPE Type, ACCESS_MASK Desired,
                         BOOLEAN Checked);

/* handle.c */
NTSTATUS ObpCreateHandle(PVOID Object, ULONG Attributes, ACCESS_MASK Granted, PHANDLE Handle);
NTSTATUS ObpInitializeHandles(VOID);

/* The body of a Zw routine: the service with kernel mode as the previous mode. Needs ke.h. */
#define OBP_AS_KERNEL(Call)                                                                                            \
    do {                                                                                                               \
        KPROCESSOR_MODE Previous = KeSetPreviousMode(KernelMode);                                                      \
        NTSTATUS Status = (Call);                                                                                      \
                                                                                                                       \
        KeSetPreviousMode(Previous);                                                                                   \
        return Status;                                                                                                 \
    } while (0)
