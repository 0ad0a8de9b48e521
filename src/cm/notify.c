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

#include "cmp.h"

/* One call. A synchronous one lives on its caller's stack: its event is the last thing touched. */
typedef struct _CM_POST {
    LIST_ENTRY Link;           /* (r) in the watch's Posts */
    PKEVENT Event;             /* (c) may be NULL */
    PWORK_QUEUE_ITEM Work;     /* (c) may be NULL */
    WORK_QUEUE_TYPE Queue;     /* (c) */
    PIO_STATUS_BLOCK IoStatus; /* (c) */
    BOOLEAN Allocated;         /* (c) own pool, and Event is referenced */
} CM_POST, *PCM_POST;

static VOID CmpFinishPost(PCM_POST Post, NTSTATUS Status)
{
    CM_POST Done = *Post;

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

static NTSTATUS CmpNotifySynchronously(PCM_KEY_BODY Body, ULONG Filter, BOOLEAN Subtree, PKEVENT Event,
                                       PIO_STATUS_BLOCK IoStatusBlock)
{
    IO_STATUS_BLOCK IoStatus;
    CM_POST Post = {.IoStatus = &IoStatus};
    KEVENT Done;
    NTSTATUS Status;

    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    Post.Event = &Done;
    Status = CmpPost(Body, Filter, Subtree, &Post);
    if (Status != STATUS_PENDING) {
        return Status;
    }
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    *IoStatusBlock = IoStatus;
    if (Event != NULL) {
        KeSetEvent(Event, IO_NO_INCREMENT, FALSE);
    }
    return IoStatus.Status;
}

static NTSTATUS CmpNotifyLater(PCM_KEY_BODY Body, ULONG Filter, BOOLEAN Subtree, PKEVENT Event, PWORK_QUEUE_ITEM Work,
                               WORK_QUEUE_TYPE Queue, PIO_STATUS_BLOCK IoStatusBlock)
{
    PCM_POST Post = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Post), CMP_TAG);
    NTSTATUS Status;

    if (Post == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Post, sizeof(*Post));
    Post->Event = Event;
    Post->Work = Work;
    Post->Queue = Queue;
    Post->IoStatus = IoStatusBlock;
    Post->Allocated = TRUE;
    if (Event != NULL) {
        ObReferenceObject(Event);
    }
    Status = CmpPost(Body, Filter, Subtree, Post);
    if (Status != STATUS_PENDING) {
        if (Event != NULL) {
            ObDereferenceObject(Event);
        }
        ExFreePoolWithTag(Post, CMP_TAG);
    }
    return Status;
}

/**
 * NtNotifyChangeKey - reports the next change of a key or of the tree below it.
 *
 * @EventHandle    set at the change, may be NULL; cleared first
 * @ApcRoutine     of a kernel-mode caller: a WORK_QUEUE_ITEM that is queued at the change, may be NULL
 * @ApcContext     of a kernel-mode caller: the item's WORK_QUEUE_TYPE
 * @IoStatusBlock  gets STATUS_NOTIFY_ENUM_DIR, or STATUS_NOTIFY_CLEANUP when the handle closed or the key went
 * @NotifyFilter   REG_NOTIFY_*; counts in a handle's first call only, as does WatchSubtree
 * @Buffer, @BufferLength  not used, as in NT
 * @Asynchronous   FALSE: wait for it here
 * returns         STATUS_PENDING (asynchronous); what IoStatusBlock gets (synchronous); STATUS_INVALID_PARAMETER;
 *                 STATUS_KEY_DELETED; STATUS_INSUFFICIENT_RESOURCES; STATUS_NOT_IMPLEMENTED (an APC for user mode)
 */
NTSTATUS NTAPI NtNotifyChangeKey(HANDLE KeyHandle, HANDLE EventHandle, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                 PIO_STATUS_BLOCK IoStatusBlock, ULONG NotifyFilter, BOOLEAN WatchSubtree, PVOID Buffer,
                                 ULONG BufferLength, BOOLEAN Asynchronous)
{
    PKEVENT Event = NULL;
    PCM_KEY_BODY Body;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(Buffer);
    UNREFERENCED_PARAMETER(BufferLength);
    ASSERT_IRQL(PASSIVE_LEVEL);
    if (NotifyFilter == 0 || (NotifyFilter & ~REG_LEGAL_CHANGE_FILTER) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    if (ApcRoutine != NULL && ExGetPreviousMode() != KernelMode) {
        return STATUS_NOT_IMPLEMENTED;
    }
    Status = CmpReferenceKey(KeyHandle, KEY_NOTIFY, &Body);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (EventHandle != NULL) {
        Status = ObReferenceObjectByHandle(EventHandle, EVENT_MODIFY_STATE, ExpEventObjectType, ExGetPreviousMode(),
                                           (PVOID *)&Event, NULL);
    }
    if (NT_SUCCESS(Status)) {
        if (Event != NULL) {
            KeClearEvent(Event);
        }
        Status = Asynchronous ? CmpNotifyLater(Body, NotifyFilter, WatchSubtree, Event, (PWORK_QUEUE_ITEM)ApcRoutine,
                                               (WORK_QUEUE_TYPE)(ULONG_PTR)ApcContext, IoStatusBlock)
                              : CmpNotifySynchronously(Body, NotifyFilter, WatchSubtree, Event, IoStatusBlock);
    }
    if (Event != NULL) {
        ObDereferenceObject(Event);
    }
    ObDereferenceObject(Body);
    return Status;
}
