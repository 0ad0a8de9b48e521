/*
 * stream.c - contexts that filters attach to a file system's streams.
 *
 * A stream that supports them has an advanced header with a list of contexts and the mutex that guards it. A context
 * belongs to its owner, who frees it: after removing it, or through its FreeCallback when the stream goes away.
 *
 * Lock: the header's fast mutex; FreeCallback is called with no lock held. IRQL: <= APC_LEVEL.
 */
#include <ntos/ntos.h>

static PFSRTL_PER_STREAM_CONTEXT FsRtlpFindContext(PFSRTL_ADVANCED_FCB_HEADER Header, PVOID OwnerId, PVOID InstanceId)
{
    for (PLIST_ENTRY Link = Header->FilterContexts.Flink; Link != &Header->FilterContexts; Link = Link->Flink) {
        PFSRTL_PER_STREAM_CONTEXT Context = CONTAINING_RECORD(Link, FSRTL_PER_STREAM_CONTEXT, Links);

        if ((OwnerId == NULL || Context->OwnerId == OwnerId) &&
            (InstanceId == NULL || Context->InstanceId == InstanceId)) {
            return Context;
        }
    }
    return NULL;
}

static BOOLEAN FsRtlpSupportsContexts(PFSRTL_ADVANCED_FCB_HEADER Header)
{
    return Header != NULL && (Header->Flags2 & FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS) != 0;
}

/* The mutex is the file system's, made by an inline of the DDK: it gets its name here. */
static VOID FsRtlpAcquireHeader(PFSRTL_ADVANCED_FCB_HEADER Header)
{
    VfNameLock(Header->FastMutex, "FSRTL_ADVANCED_FCB_HEADER.FastMutex");
    ExAcquireFastMutex(Header->FastMutex);
}

/** FsRtlInsertPerStreamContext - attaches a context; STATUS_INVALID_DEVICE_REQUEST if the stream takes none. */
NTSTATUS NTAPI FsRtlInsertPerStreamContext(PFSRTL_ADVANCED_FCB_HEADER PerStreamContext, PFSRTL_PER_STREAM_CONTEXT Ptr)
{
    if (!FsRtlpSupportsContexts(PerStreamContext)) {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    FsRtlpAcquireHeader(PerStreamContext);
    InsertHeadList(&PerStreamContext->FilterContexts, &Ptr->Links);
    ExReleaseFastMutex(PerStreamContext->FastMutex);
    return STATUS_SUCCESS;
}

/** FsRtlLookupPerStreamContextInternal - the newest context of an owner (NULL: any) and instance (NULL: any), or NULL. */
PFSRTL_PER_STREAM_CONTEXT NTAPI FsRtlLookupPerStreamContextInternal(PFSRTL_ADVANCED_FCB_HEADER StreamContext,
                                                                    PVOID OwnerId, PVOID InstanceId)
{
    PFSRTL_PER_STREAM_CONTEXT Context;

    if (!FsRtlpSupportsContexts(StreamContext)) {
        return NULL;
    }
    FsRtlpAcquireHeader(StreamContext);
    Context = FsRtlpFindContext(StreamContext, OwnerId, InstanceId);
    ExReleaseFastMutex(StreamContext->FastMutex);
    return Context;
}

/** FsRtlRemovePerStreamContext - detaches such a context and returns it; NULL if there is none. */
PFSRTL_PER_STREAM_CONTEXT NTAPI FsRtlRemovePerStreamContext(PFSRTL_ADVANCED_FCB_HEADER StreamContext, PVOID OwnerId,
                                                            PVOID InstanceId)
{
    PFSRTL_PER_STREAM_CONTEXT Context;

    if (!FsRtlpSupportsContexts(StreamContext)) {
        return NULL;
    }
    FsRtlpAcquireHeader(StreamContext);
    Context = FsRtlpFindContext(StreamContext, OwnerId, InstanceId);
    if (Context != NULL) {
        RemoveEntryList(&Context->Links);
    }
    ExReleaseFastMutex(StreamContext->FastMutex);
    return Context;
}

/** FsRtlTeardownPerStreamContexts - frees every context of a stream that goes away. */
VOID NTAPI FsRtlTeardownPerStreamContexts(PFSRTL_ADVANCED_FCB_HEADER AdvancedHeader)
{
    PFSRTL_PER_STREAM_CONTEXT Context;

    while ((Context = FsRtlRemovePerStreamContext(AdvancedHeader, NULL, NULL)) != NULL) {
        Context->FreeCallback(Context);
    }
}
