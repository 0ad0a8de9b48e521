/*
 * cmp.h - what the configuration manager's files share.
 *
 * A key is a node in a tree; a handle leads to a key body, an object of type Key that points to a node. Several bodies may
 * point to one node. A node is in the tree while its parent lists it; it lives while it is listed or a body points to it, so
 * a deleted key's handles stay valid and answer STATUS_KEY_DELETED.
 *
 * Lock: CmpRegistryLock, one ERESOURCE for the whole tree, taken in a critical region: shared to look, exclusive to
 * change anything marked (r). No object is opened, closed or dereferenced under it but events that carry a notification.
 */
#pragma once

#include <ntos/cm.h>
#include <ntos/ob.h>
#include <ntos/user.h>

#define CMP_TAG 'yeKC' /* "CKey" */

#define CMP_LONGEST_KEY_NAME   255U        /* characters, as documented ("Registry Element Size Limits") */
#define CMP_LONGEST_VALUE_NAME 16383U      /* characters, likewise */
#define CMP_DEEPEST_TREE       512U        /* levels, likewise */
#define CMP_LARGEST_VALUE      (16U << 20) /* bytes: far above what drivers store, far below what would eat the pool */

#define CMP_NODE_VOLATILE 0x1U
#define CMP_NODE_LINK     0x2U /* its value SymbolicLinkValue is where it leads */
#define CMP_NODE_DELETED  0x4U
#define CMP_NODE_FIXED    0x8U /* cannot be deleted or renamed: \Registry and the roots below it */

typedef struct _CM_VALUE {
    UNICODE_STRING Name; /* (c) its characters follow this structure */
    ULONG Type;          /* (r) REG_* or the caller's own */
    ULONG Bytes;         /* (r) of data */
    PVOID Data;          /* (r) own pool; NULL when Bytes is 0 */
} CM_VALUE, *PCM_VALUE;

/* (r) CmpRegistryLock exclusive to write, shared to read  (i) interlocked  (c) constant after creation */
typedef struct _CM_NODE {
    volatile LONG64 References;       /* (i) one for the parent's list, one for each body */
    struct _CM_NODE *Parent;          /* (r) NULL: the root, or deleted; a node in the tree has its parent in it */
    UNICODE_STRING Name;              /* (r) own pool */
    UNICODE_STRING Class;             /* (c) own pool, often empty */
    LARGE_INTEGER LastWriteTime;      /* (r) 100 ns since 1601 */
    ULONG Flags;                      /* (r) CMP_NODE_* */
    ULONG UserFlags;                  /* (r) what NtSetInformationKey stored */
    ULONG Depth;                      /* (c) 0: the root */
    ULONG SubKeyCount, SubKeyRoom;    /* (r) */
    struct _CM_NODE **SubKeys;        /* (r) own pool; sorted by upper-cased name */
    ULONG ValueCount, ValueRoom;      /* (r) */
    PCM_VALUE *Values;                /* (r) own pool; in the order they were made */
    LIST_ENTRY Watches;               /* (r) CM_WATCH of bodies that asked for notification */
    struct _OBP_DESCRIPTOR *Security; /* Ob's; often the parent's too. NULL: everybody has access */
} CM_NODE, *PCM_NODE;

/* One handle's wish to hear of changes. It stays, with its filter, from the first NtNotifyChangeKey to the close. */
typedef struct _CM_WATCH {
    LIST_ENTRY Link;   /* (r) in the node's Watches */
    LIST_ENTRY Posts;  /* (r) CM_POST: calls that wait for a change */
    ULONG Filter;      /* (r) REG_NOTIFY_*; 0: not asked yet */
    BOOLEAN Subtree;   /* (r) */
    BOOLEAN Unclaimed; /* (r) a change came while nobody waited: the next call ends at once */
} CM_WATCH, *PCM_WATCH;

/* Body of a key object. */
typedef struct _CM_KEY_BODY {
    PCM_NODE Node;        /* (c) referenced; NULL only while the body is being made */
    CM_WATCH Watch;       /* (r) */
    volatile LONG Closed; /* (i) its last handle is gone: no more notifications */
} CM_KEY_BODY, *PCM_KEY_BODY;

/* What NtCreateKey and NtOpenKeyEx hand to the parse procedure. */
typedef struct _CM_PARSE_CONTEXT {
    BOOLEAN Create;
    ULONG Options; /* REG_OPTION_* */
    PUNICODE_STRING Class;
    PSECURITY_DESCRIPTOR Security; /* of a new key, the kernel's copy; NULL: as the key above passes on */
    BOOLEAN Checked;               /* by CmpParse: the caller's rights count */
    ULONG Disposition;             /* out: REG_CREATED_NEW_KEY or REG_OPENED_EXISTING_KEY */
} CM_PARSE_CONTEXT, *PCM_PARSE_CONTEXT;

extern PCM_NODE CmpRootNode; /* (c) */
extern ERESOURCE CmpRegistryLock;

VOID CmpLockShared(VOID);
VOID CmpLockExclusive(VOID);
VOID CmpUnlock(VOID);

/* node.c. Find routines want the lock shared, the others exclusive. */
NTSTATUS CmpAllocateNode(PCUNICODE_STRING Name, PCUNICODE_STRING Class, ULONG Flags, PCM_NODE *Node);
VOID CmpDereferenceNode(PCM_NODE Node); /* no lock needed */
PCM_NODE CmpFindSubKey(PCM_NODE Parent, PCUNICODE_STRING Name);
NTSTATUS CmpInsertSubKey(PCM_NODE Parent, PCM_NODE Child);
VOID CmpRemoveSubKey(PCM_NODE Child);
NTSTATUS CmpRenameNode(PCM_NODE Node, PCUNICODE_STRING NewName);
PCM_VALUE CmpFindValue(PCM_NODE Node, PCUNICODE_STRING Name, PULONG Index);
NTSTATUS CmpSetValue(PCM_NODE Node, PCUNICODE_STRING Name, ULONG Type, const VOID *Data, ULONG Bytes);
VOID CmpRemoveValue(PCM_NODE Node, ULONG Index);
VOID CmpTouchNode(PCM_NODE Node);

/* parse.c */
NTSTATUS CmpCreateKeyType(VOID);
NTSTATUS CmpReferenceKey(HANDLE Handle, ACCESS_MASK Access, PCM_KEY_BODY *Body);
ULONG CmpMeasurePath(PCM_NODE Node);
VOID CmpWritePath(PCM_NODE Node, PWSTR Buffer, ULONG Bytes);

/* query.c */
NTSTATUS CmpQueryNode(PCM_NODE Node, KEY_INFORMATION_CLASS Class, PVOID Buffer, ULONG Length, PULONG ResultLength);

NTSTATUS CmpFinishAnswer(PEX_ANSWER Answer, NTSTATUS Status, ULONG Needed, PULONG ResultLength);

/* notify.c; lock exclusive */
VOID CmpReport(PCM_NODE Node, ULONG Change);
VOID CmpEndWatch(PCM_WATCH Watch);

/* callback.c: registered callbacks around an operation; no lock held. */
#define CMP_CALLBACKS 32U /* registered at a time; filters and scanners are a handful on the largest systems */

typedef struct _CMP_CALL {
    REG_NOTIFY_CLASS Pre, Post;
    PVOID Information;             /* REG_..._INFORMATION of the operation */
    ULONG ContextOffset;           /* bytes in it to its CallContext */
    PVOID Object;                  /* key body, for the post notification; may be set before CmpEnd */
    BOOLEAN Active;                /* there were callbacks when the call began */
    PVOID Contexts[CMP_CALLBACKS]; /* what each callback left for its post notification */
} CMP_CALL, *PCMP_CALL;

#define CMP_CALL_INIT(PreClass, PostClass, Type, Info, Key)                                                            \
    {.Pre = (PreClass),                                                                                                \
     .Post = (PostClass),                                                                                              \
     .Information = (Info),                                                                                            \
     .ContextOffset = FIELD_OFFSET(Type, CallContext),                                                                 \
     .Object = (Key)}

BOOLEAN CmpBegin(PCMP_CALL Call, PNTSTATUS Status);
NTSTATUS CmpEnd(PCMP_CALL Call, NTSTATUS Status);
VOID CmpInitializeCallbacks(VOID);
