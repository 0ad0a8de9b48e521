/*
 * notify.c - hearing of changes: NtNotifyChangeKey.
 *
 * A handle's watch is armed by its first call, which fixes filter and depth until the handle closes; each call is a post that the next
 * change ends with STATUS_NOTIFY_ENUM_DIR. A change that finds the watch armed but no call waiting is remembered, and ends the
 * next call at once, so a caller that asks again after each report misses nothing. Closing the handle or deleting the key
 * ends all posts with STATUS_NOTIFY_CLEANUP.
 *
 *     unarmed --call--> armed, posts waiting --change--> armed, no posts --change--> unclaimed --call--> armed, no posts
 *
 * Lock: CmpRegistryLock exclusive for every watch and post; an event is set under it, a work item queued. IRQL: PASSIVE_LEVEL.
 * Source: documentation of ZwNotifyChangeKey.
 */
#include <ntos/ke.h>
#include <ntos/mm.h>
#include <ntos/ps.h>
#include <ntos/services.h>
#include <ntos/user.h>

#include "cmp.h"

/*
 * One call. A synchronous one lives on its caller's stack: its event is the last thing touched. A program's that is not waited for ends in the thread that
 * made it, by an APC that writes its status block and may queue the program's own routine.
 */
typedef struct _CM_POST {
    LIST_ENTRY Link;           /* (r) in the watch's Posts */
    PKEVENT Event;             /* (c) may be NULL */
    PWORK_QUEUE_ITEM Work;     /* (c) may be NULL */
    WORK_QUEUE_TYPE Queue;     /* (c) */
    PIO_STATUS_BLOCK IoStatus; /* (c) */
    BOOLEAN Allocated;         /* (c) own pool, and Event is referenced */
    PETHREAD Thread;           /* (c) a program's: referenced; NULL: the kernel's */
    PIO_APC_ROUTINE Routine;   /* (c) a program's, or NULL */
    PVOID Context;             /* (c) for it */
    NTSTATUS Status;           /* of a program's call that has ended */
    KAPC Apc;                  /* then */
} CM_POST, *PCM_POST;

/* ---- The end of a program's call ---- */

static VOID CmpFreePost(PCM_POST Post)
{
    if (Post->Event != NULL) {
        ObDereferenceObjectDeferDelete(Post->Event);
    }
    if (Post->Thread != NULL) {
        ObDereferenceObjectDeferDelete(Post->Thread);
    }
    ExFreePoolWithTag(Post, CMP_TAG);
}

static VOID NTAPI CmpRundownPost(PKAPC Apc)
{
    CmpFreePost(CONTAINING_RECORD(Apc, CM_POST, Apc));
}

/* The program's routine is about to be called: its arguments are where they belong. */
static VOID NTAPI CmpUserPost(PKAPC Apc, PKNORMAL_ROUTINE *Routine, PVOID *Context, PVOID *Argument1, PVOID *Argument2)
{
    UNREFERENCED_PARAMETER(Routine);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    CmpFreePost(CONTAINING_RECORD(Apc, CM_POST, Apc));
}

/* In the thread that called, APC_LEVEL. */
static VOID NTAPI CmpEndUserPost(PKAPC Apc, PKNORMAL_ROUTINE *Routine, PVOID *Context, PVOID *Argument1,
                                 PVOID *Argument2)
{
    PCM_POST Post = CONTAINING_RECORD(Apc, CM_POST, Apc);
    IO_STATUS_BLOCK IoStatus = {.Status = Post->Status};

    UNREFERENCED_PARAMETER(Routine);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    MmCopyToUser(Post->IoStatus, &IoStatus, sizeof(IoStatus)); /* gone since: the caller's loss */
    if (Post->Event != NULL) {
        KeSetEvent(Post->Event, IO_NO_INCREMENT, FALSE);
    }
    if (Post->Routine == NULL) {
        CmpFreePost(Post);
        return;
    }
    KeInitializeApc(&Post->Apc, &Post->Thread->Tcb, OriginalApcEnvironment, CmpUserPost, CmpRundownPost,
                    (PKNORMAL_ROUTINE)(PVOID)Post->Routine, UserMode, Post->Context);
    if (!KeInsertQueueApc(&Post->Apc, Post->IoStatus, NULL, IO_NO_INCREMENT)) {
        CmpFreePost(Post);
    }
}

static VOID CmpFinishUserPost(PCM_POST Post, NTSTATUS Status)
{
    Post->Status = Status;
    KeInitializeApc(&Post->Apc, &Post->Thread->Tcb, OriginalApcEnvironment, CmpEndUserPost, CmpRundownPost, NULL,
                    KernelMode, NULL);
    if (!KeInsertQueueApc(&Post->Apc, NULL, NULL, IO_NO_INCREMENT)) {
        CmpFreePost(Post); /* the thread has ended */
    }
}

/* ---- The end of any call ---- */

static VOID CmpFinishPost(PCM_POST Post, NTSTATUS Status)
{
    CM_POST Done = *Post;

    if (Post->Thread != NULL) {
        CmpFinishUserPost(Post, Status);
        return;
    }
    Done.IoStatus->Status = Status;
    Done.IoStatus->Information = 0;
    if (Done.Allocated) {
        ExFreePoolWithTag(Post, CMP_TAG);
    }
    if (Done.Work != NULL) {
        ExQueueWorkItem(Done.Work, Done.Queue);
    }
    if (Done.Event != NULL) {
        KeSetEvent(Done.Event, IO_NO_INCREMENT, FALSE);
        if (Done.Allocated) {
            ObDereferenceObjectDeferDelete(Done.Event);
        }
    }
}

static VOID CmpFinishPosts(PCM_WATCH Watch, NTSTATUS Status)
{
    while (!IsListEmpty(&Watch->Posts)) {
        CmpFinishPost(CONTAINING_RECORD(RemoveHeadList(&Watch->Posts), CM_POST, Link), Status);
    }
}

/* Ends a handle's notification for good. */
VOID CmpEndWatch(PCM_WATCH Watch)
{
    if (Watch->Filter != 0) {
        RemoveEntryList(&Watch->Link);
        Watch->Filter = 0;
        Watch->Unclaimed = FALSE;
    }
    CmpFinishPosts(Watch, STATUS_NOTIFY_CLEANUP);
}

/* Tells the watches of a key, and of the keys above it that watch their subtree. */
VOID CmpReport(PCM_NODE Node, ULONG Change)
{
    for (PCM_NODE At = Node; At != NULL; At = At->Parent) {
        for (PLIST_ENTRY Link = At->Watches.Flink; Link != &At->Watches; Link = Link->Flink) {
            PCM_WATCH Watch = CONTAINING_RECORD(Link, CM_WATCH, Link);

            if ((Watch->Filter & Change) == 0 || (At != Node && !Watch->Subtree)) {
                continue;
            }
            if (IsListEmpty(&Watch->Posts)) {
                Watch->Unclaimed = TRUE;
            } else {
                CmpFinishPosts(Watch, STATUS_NOTIFY_ENUM_DIR);
            }
        }
    }
}

/* Arms the watch if need be and queues the post, or ends it at once. Anything but STATUS_PENDING: the post was not taken. */
static NTSTATUS CmpPost(PCM_KEY_BODY Body, ULONG Filter, BOOLEAN Subtree, PCM_POST Post)
{
    PCM_WATCH Watch = &Body->Watch;
    NTSTATUS Status = STATUS_PENDING;

    CmpLockExclusive();
    if ((Body->Node->Flags & CMP_NODE_DELETED) != 0) {
        Status = STATUS_KEY_DELETED;
    } else {
        if (Watch->Filter == 0) {
            Watch->Filter = Filter;
            Watch->Subtree = Subtree;
            InsertTailList(&Body->Node->Watches, &Watch->Link);
        }
        InsertTailList(&Watch->Posts, &Post->Link);
        if (InterlockedCompareExchange(&Body->Closed, FALSE, FALSE) !=
            FALSE) { /* the close may have been over before Filter was set */
            CmpEndWatch(Watch);
        } else if (Watch->Unclaimed) {
            Watch->Unclaimed = FALSE;
            CmpFinishPosts(Watch, STATUS_NOTIFY_ENUM_DIR);
        }
    }
    CmpUnlock();
    return Status;
}

/* Takes a post back that nothing has ended. FALSE: something has, and sets its event. */
static BOOLEAN CmpWithdraw(PCM_POST Post)
{
    BOOLEAN Waiting;

    CmpLockExclusive();
    Waiting = Post->IoStatus->Status == STATUS_PENDING;
    if (Waiting) {
        RemoveEntryList(&Post->Link);
    }
    CmpUnlock();
    return Waiting;
}

static NTSTATUS CmpNotifySynchronously(PCM_KEY_BODY Body, ULONG Filter, BOOLEAN Subtree, PKEVENT Event,
                                       PIO_STATUS_BLOCK IoStatusBlock)
{
    IO_STATUS_BLOCK IoStatus = {.Status = STATUS_PENDING};
    CM_POST Post = {.IoStatus = &IoStatus};
    KEVENT Done;
    NTSTATUS Status;

    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    Post.Event = &Done;
    Status = CmpPost(Body, Filter, Subtree, &Post);
    if (Status != STATUS_PENDING) {
        return Status;
    }
    Status = KeWaitForSingleObject(&Done, Executive, ExGetPreviousMode(), FALSE, NULL);
    if (Status != STATUS_SUCCESS) { /* a program's thread that is to end */
        if (CmpWithdraw(&Post)) {
            return Status;
        }
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    }
    Status = ExCopyToCaller(IoStatusBlock, &IoStatus, sizeof(IoStatus));
    if (Event != NULL) {
        KeSetEvent(Event, IO_NO_INCREMENT, FALSE);
    }
    return NT_SUCCESS(Status) ? IoStatus.Status : Status;
}

/* What is to happen when a call ends that is not waited for. */
typedef struct _CM_NOTICE {
    PKEVENT Event;
    PWORK_QUEUE_ITEM Work; /* the kernel's */
    WORK_QUEUE_TYPE Queue;
    PIO_APC_ROUTINE Routine; /* a program's */
    PVOID Context;
} CM_NOTICE;

static NTSTATUS CmpNotifyLater(PCM_KEY_BODY Body, ULONG Filter, BOOLEAN Subtree, const CM_NOTICE *Notice,
                               PIO_STATUS_BLOCK IoStatusBlock)
{
    PCM_POST Post = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Post), CMP_TAG);
    NTSTATUS Status;

    if (Post == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    *Post = (CM_POST){.Event = Notice->Event,
                      .Work = Notice->Work,
                      .Queue = Notice->Queue,
                      .IoStatus = IoStatusBlock,
                      .Allocated = TRUE,
                      .Routine = Notice->Routine,
                      .Context = Notice->Context};
    if (Post->Event != NULL) {
        ObReferenceObject(Post->Event);
    }
    if (ExGetPreviousMode() != KernelMode) {
        Post->Thread = PsGetCurrentThread();
        ObReferenceObject(Post->Thread);
    }
    Status = CmpPost(Body, Filter, Subtree, Post);
    if (Status != STATUS_PENDING) {
        CmpFreePost(Post);
    }
    return Status;
}

/**
 * NtNotifyChangeKey - reports the next change of a key or of the tree below it.
 *
 * @EventHandle    set at the change, may be NULL; cleared first
 * @ApcRoutine     of a kernel-mode caller: a WORK_QUEUE_ITEM that is queued at the change; of a program: called as a user APC
 *                 with ApcContext and IoStatusBlock; may be NULL
 * @ApcContext     of a kernel-mode caller: the item's WORK_QUEUE_TYPE
 * @IoStatusBlock  gets STATUS_NOTIFY_ENUM_DIR, or STATUS_NOTIFY_CLEANUP when the handle closed or the key went
 * @NotifyFilter   REG_NOTIFY_*; counts in a handle's first call only, as does WatchSubtree
 * @Buffer, @BufferLength  not used, as in NT
 * @Asynchronous   FALSE: wait for it here
 * returns         STATUS_PENDING (asynchronous); what IoStatusBlock gets (synchronous); STATUS_INVALID_PARAMETER;
 *                 STATUS_KEY_DELETED; STATUS_INSUFFICIENT_RESOURCES; STATUS_ACCESS_VIOLATION
 */
NTSTATUS NTAPI NtNotifyChangeKey(HANDLE KeyHandle, HANDLE EventHandle, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                 PIO_STATUS_BLOCK IoStatusBlock, ULONG NotifyFilter, BOOLEAN WatchSubtree, PVOID Buffer,
                                 ULONG BufferLength, BOOLEAN Asynchronous)
{
    KPROCESSOR_MODE Mode = ExGetPreviousMode();
    CM_NOTICE Notice = {0};
    PCM_KEY_BODY Body;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(Buffer);
    UNREFERENCED_PARAMETER(BufferLength);
    ASSERT_IRQL(PASSIVE_LEVEL);
    if (NotifyFilter == 0 || (NotifyFilter & ~REG_LEGAL_CHANGE_FILTER) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = ExProbeForWrite(IoStatusBlock, sizeof(*IoStatusBlock));
    Status = NT_SUCCESS(Status) ? CmpReferenceKey(KeyHandle, KEY_NOTIFY, &Body) : Status;
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Mode == KernelMode) {
        Notice.Work = (PWORK_QUEUE_ITEM)ApcRoutine;
        Notice.Queue = (WORK_QUEUE_TYPE)(ULONG_PTR)ApcContext;
    } else {
        Notice.Routine = ApcRoutine;
        Notice.Context = ApcContext;
    }
    if (EventHandle != NULL) {
        Status = ObReferenceObjectByHandle(EventHandle, EVENT_MODIFY_STATE, ExpEventObjectType, Mode,
                                           (PVOID *)&Notice.Event, NULL);
    }
    if (NT_SUCCESS(Status)) {
        if (Notice.Event != NULL) {
            KeClearEvent(Notice.Event);
        }
        Status = Asynchronous ? CmpNotifyLater(Body, NotifyFilter, WatchSubtree, &Notice, IoStatusBlock)
                              : CmpNotifySynchronously(Body, NotifyFilter, WatchSubtree, Notice.Event, IoStatusBlock);
    }
    if (Notice.Event != NULL) {
        ObDereferenceObject(Notice.Event);
    }
    ObDereferenceObject(Body);
    return Status;
}

/* The same; of the further keys that it may name, none is supported: STATUS_NOT_SUPPORTED unless Count is 0. */
NTSTATUS NTAPI NtNotifyChangeMultipleKeys(HANDLE KeyHandle, ULONG Count, POBJECT_ATTRIBUTES SubordinateObjects,
                                          HANDLE EventHandle, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                          PIO_STATUS_BLOCK IoStatusBlock, ULONG NotifyFilter, BOOLEAN WatchSubtree,
                                          PVOID Buffer, ULONG BufferLength, BOOLEAN Asynchronous)
{
    UNREFERENCED_PARAMETER(SubordinateObjects);
    return (Count != 0) ? STATUS_NOT_SUPPORTED
                        : NtNotifyChangeKey(KeyHandle, EventHandle, ApcRoutine, ApcContext, IoStatusBlock, NotifyFilter,
                                            WatchSubtree, Buffer, BufferLength, Asynchronous);
}
