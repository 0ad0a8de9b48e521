/*
 * object.c - the life of an object: allocation, counts, deletion.
 *
 * An object is one nonpaged allocation, header then body. It is created with one pointer reference; every handle and the
 * entry in a directory add one each. When the count reaches 0 nobody can find the object any more, so the last
 * dereference deletes it: at once at PASSIVE_LEVEL, else through a list that one work item drains, because delete procedures
 * may wait (a file sends IRP_MJ_CLOSE). The list is a lock-free stack: pushed at any IRQL up to DISPATCH_LEVEL, taken whole
 * by the worker.
 *
 * Counts are interlocked; no lock is held here, and none may be needed by a caller of a dereference. A body must never be
 * touched after its last reference was given up, and a count never rises from 0 (ObReferenceObjectSafe).
 */
#include <ntos/ke.h>

#include "obp.h"

static POBJECT_HEADER volatile ObpDeleteList; /* interlocked stack through NextDelete */
static WORK_QUEUE_ITEM ObpDeleteWork;         /* queued exactly while the stack is not empty or being drained */
static volatile LONG64 ObpDeferredDeletes;    /* objects on the stack or in the worker's hands */

/* Allocates header and zeroed body with one reference, not in any directory. IRQL <= DISPATCH_LEVEL. */
NTSTATUS ObpAllocateObject(POBJECT_TYPE Type, ULONG BodySize, POBJECT_HEADER *Header)
{
    ULONG Tag = (Type != NULL) ? Type->Info.PoolTag : 'epTO';
    SIZE_T Bytes = sizeof(OBJECT_HEADER) + BodySize;
    POBJECT_HEADER New = ExAllocatePoolWithTag(NonPagedPool, Bytes, Tag);

    if (New == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(New, Bytes);
    New->PointerCount = 1;
    New->Type = Type;
#if NT_CHK
    New->Trace = (Type == NULL) ? NULL : ObpCreateTrace(Type);
    OBP_TRACE_REFERENCE(New, 1, 1, OB_TAG_DEFAULT);
#endif
    if (Type != NULL) {
        InterlockedIncrement64(&Type->ObjectCount);
    }
    *Header = New;
    return STATUS_SUCCESS;
}

/* Copies a name into a buffer of its own (tag OB_TAG_NAME). Lengths must be even. IRQL <= APC_LEVEL. */
NTSTATUS ObpCaptureName(KPROCESSOR_MODE Mode, PCUNICODE_STRING Source, PUNICODE_STRING Copy)
{
    UNICODE_STRING Name = *Source;

    UNREFERENCED_PARAMETER(Mode);
    RtlZeroMemory(Copy, sizeof(*Copy));
    if ((Name.Length & 1) != 0 || (Name.Length != 0 && Name.Buffer == NULL)) {
        return STATUS_OBJECT_NAME_INVALID;
    }
    if (Name.Length == 0) {
        return STATUS_SUCCESS;
    }
    Copy->Buffer = ExAllocatePoolWithTag(NonPagedPool, Name.Length, OB_TAG_NAME);
    if (Copy->Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlCopyMemory(Copy->Buffer, Name.Buffer, Name.Length);
    Copy->Length = Copy->MaximumLength = Name.Length;
    return STATUS_SUCCESS;
}

VOID ObpFreeCreation(POBJECT_HEADER Header)
{
    POBP_CREATION Creation;

    if ((Header->Flags & OBP_FLAG_HAS_CREATION) == 0) {
        return;
    }
    Creation = Header->Creation;
    if (Creation->Name.Buffer != NULL) {
        ExFreePoolWithTag(Creation->Name.Buffer, OB_TAG_NAME);
    }
    SeReleaseSecurityDescriptor(Creation->Descriptor, UserMode, TRUE);
    ExFreePoolWithTag(Creation, OB_TAG_NAME);
    Header->Creation = NULL;
    InterlockedAnd(&Header->Flags, ~(LONG)OBP_FLAG_HAS_CREATION);
}

static NTSTATUS ObpKeepCreation(POBJECT_HEADER Header, POBJECT_ATTRIBUTES Attributes, KPROCESSOR_MODE ProbeMode,
                                PVOID ParseContext)
{
    POBP_CREATION Creation;
    NTSTATUS Status = STATUS_SUCCESS;

    Creation = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Creation), OB_TAG_NAME);
    if (Creation == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Creation, sizeof(*Creation));
    Creation->ProbeMode = ProbeMode;
    Creation->ParseContext = ParseContext;
    if (Attributes != NULL) {
        Creation->Attributes = Attributes->Attributes;
        Creation->RootDirectory = Attributes->RootDirectory;
        if (Attributes->Length != sizeof(*Attributes) || (Attributes->Attributes & ~(ULONG)OBJ_VALID_ATTRIBUTES) != 0) {
            Status = STATUS_INVALID_PARAMETER;
        } else if ((Attributes->Attributes & OBJ_PERMANENT) != 0 &&
                   !SeSinglePrivilegeCheck(SeExports->SeCreatePermanentPrivilege, ProbeMode)) {
            Status = STATUS_PRIVILEGE_NOT_HELD;
        } else if (Attributes->ObjectName != NULL) {
            Status = ObpCaptureName(ProbeMode, Attributes->ObjectName, &Creation->Name);
        }
        if (NT_SUCCESS(Status)) {
            Status = SeCaptureSecurityDescriptor(Attributes->SecurityDescriptor, KernelMode, PagedPool, TRUE,
                                                 &Creation->Descriptor);
        }
    }
    if (!NT_SUCCESS(Status)) {
        if (Creation->Name.Buffer != NULL) {
            ExFreePoolWithTag(Creation->Name.Buffer, OB_TAG_NAME);
        }
        ExFreePoolWithTag(Creation, OB_TAG_NAME);
        return Status;
    }
    Header->Creation = Creation;
    Header->Flags |= OBP_FLAG_HAS_CREATION;
    Header->Flags |= ((Creation->Attributes & OBJ_PERMANENT) != 0) ? (LONG)OBP_FLAG_PERMANENT : 0;
    Header->Flags |= ((Creation->Attributes & OBJ_EXCLUSIVE) != 0) ? (LONG)OBP_FLAG_EXCLUSIVE : 0;
    return STATUS_SUCCESS;
}

/* The memory of an object that nobody has. */
static VOID ObpFreeObject(POBJECT_HEADER Header)
{
#if NT_CHK
    if (Header->Trace != NULL) {
        ExFreePoolWithTag(Header->Trace, OB_TAG_TRACE);
    }
#endif
    if (Header->QuotaBlock != NULL) {
        PsReturnSharedPoolQuota(Header->QuotaBlock, Header->PagedCharge, Header->NonPagedCharge);
    }
    InterlockedDecrement64(&Header->Type->ObjectCount);
    ExFreePoolWithTag(Header, Header->Type->Info.PoolTag);
}

/*
 * Charges an object to the process of the thread that makes it, also while that is attached to another. A descriptor counts with a fixed
 * amount, since it may be replaced. Whatever was not said is what the type says, or the body itself.
 */
static NTSTATUS ObpChargeObject(POBJECT_HEADER Header, ULONG BodySize, ULONG PagedCharge, ULONG NonPagedCharge)
{
    const OBJECT_TYPE_INITIALIZER *Info = &Header->Type->Info;
    POBP_CREATION Creation = Header->Creation;
    ULONG Paged = (PagedCharge != 0) ? PagedCharge : Info->DefaultPagedPoolCharge, NonPaged = NonPagedCharge;

    if (NonPaged == 0) {
        NonPaged = (Info->DefaultNonPagedPoolCharge != 0) ? Info->DefaultNonPagedPoolCharge : BodySize;
    }
    NonPaged += (ULONG)sizeof(OBJECT_HEADER);
    if (Creation->Name.Length != 0) {
        NonPaged += (ULONG)sizeof(OBP_NAME) + Creation->Name.Length;
    }
    if (Creation->Name.Length != 0 || Creation->Descriptor != NULL || Info->SecurityRequired) {
        Paged += OBP_DESCRIPTOR_CHARGE;
    }
    Header->PagedCharge = Paged;
    Header->NonPagedCharge = NonPaged;
    return PsChargeSharedPoolQuota(PsGetCurrentThreadProcess(), Paged, NonPaged, &Header->QuotaBlock);
}

NTSTATUS NTAPI ObCreateObject(KPROCESSOR_MODE ProbeMode, POBJECT_TYPE Type, POBJECT_ATTRIBUTES Attributes,
                              KPROCESSOR_MODE OwnershipMode, PVOID ParseContext, ULONG BodySize, ULONG PagedCharge,
                              ULONG NonPagedCharge, PVOID *Object)
{
    POBJECT_HEADER Header;
    NTSTATUS Status;

    *Object = NULL;
    if (ExInjectFault(ExFaultObject)) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = ObpAllocateObject(Type, BodySize, &Header);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (OwnershipMode == KernelMode) {
        Header->Flags |= OBP_FLAG_KERNEL_ONLY;
    }
    Status = ObpKeepCreation(Header, Attributes, ProbeMode, ParseContext);
    if (NT_SUCCESS(Status) && OwnershipMode != KernelMode) {
        Status = ObpChargeObject(Header, BodySize, PagedCharge, NonPagedCharge);
    }
    if (!NT_SUCCESS(Status)) {
        ObpFreeCreation(Header);
        ObpFreeObject(Header); /* no delete procedure: the body was never the caller's */
        return Status;
    }
    *Object = ObpBody(Header);
    return STATUS_SUCCESS;
}

static VOID ObpDeleteObject(POBJECT_HEADER Header)
{
    POBJECT_TYPE Type = Header->Type;

    ASSERT_IRQL_MAX(APC_LEVEL);
    ASSERT(Header->PointerCount == 0 && Header->HandleCount == 0);
    if (Type->Info.DeleteProcedure != NULL) {
        Type->Info.DeleteProcedure(ObpBody(Header));
    }
    ObpFreeCreation(Header);
    if (Header->Name != NULL) {
        ASSERT(Header->Name->Directory == NULL); /* an entry in a directory would hold a reference */
        ExFreePoolWithTag(Header->Name, OB_TAG_NAME);
    }
    ObpReleaseSecurity(Header);
    ObpFreeObject(Header);
}

/* Work item: deletes what was put off, until the stack is found empty. */
static VOID NTAPI ObpDeleteWorker(PVOID Context)
{
    POBJECT_HEADER List, Next;

    UNREFERENCED_PARAMETER(Context);
    /* Taking the last object off ObpDeferredDeletes is what ends this run: the pusher that raises it from 0 queues the next. */
    do {
        LONG64 Done = 0;

        List = InterlockedExchangePointer((PVOID volatile *)&ObpDeleteList, NULL);
        for (; List != NULL; List = Next) {
            Next = List->NextDelete;
            List->NextDelete = NULL;
            ObpDeleteObject(List);
            Done++;
        }
        if (InterlockedExchangeAdd64(&ObpDeferredDeletes, -Done) == Done) {
            return;
        }
    } while (TRUE);
}

static VOID ObpDeferDelete(POBJECT_HEADER Header)
{
    POBJECT_HEADER Head;
    BOOLEAN First;

    ObpFreeCreation(Header); /* shares NextDelete's place */
    First = (InterlockedIncrement64(&ObpDeferredDeletes) == 1);
    do {
        Head = ObpDeleteList;
        Header->NextDelete = Head;
    } while (InterlockedCompareExchangePointer((PVOID volatile *)&ObpDeleteList, Header, Head) != Head);
    if (First) {
        ExInitializeWorkItem(&ObpDeleteWork, ObpDeleteWorker, NULL);
        ExQueueWorkItem(&ObpDeleteWork, CriticalWorkQueue);
    }
}

VOID ObFlushDeferredDeletes(VOID)
{
    LARGE_INTEGER Tick;

    ASSERT_IRQL(PASSIVE_LEVEL);
    Tick.QuadPart = -10000; /* 1 ms */
    while (ObpDeferredDeletes != 0) {
        KeDelayExecutionThread(KernelMode, FALSE, &Tick);
    }
}

/* ---- References ---- */

LONG_PTR FASTCALL ObfReferenceObjectWithTag(PVOID Object, ULONG Tag)
{
    POBJECT_HEADER Header = ObpHeader(Object);
    LONG64 Count = InterlockedIncrement64(&Header->PointerCount);

    ASSERT(Count > 1);
    OBP_TRACE_REFERENCE(Header, 1, Count, Tag);
    return Count;
}

LONG_PTR FASTCALL ObfReferenceObject(PVOID Object)
{
    return ObfReferenceObjectWithTag(Object, OB_TAG_DEFAULT);
}

BOOLEAN ObReferenceObjectSafe(PVOID Object)
{
    POBJECT_HEADER Header = ObpHeader(Object);
    LONG64 Count = Header->PointerCount, Seen;

    while (Count != 0) {
        Seen = InterlockedCompareExchange64(&Header->PointerCount, Count + 1, Count);
        if (Seen == Count) {
            OBP_TRACE_REFERENCE(Header, 1, Count + 1, OB_TAG_DEFAULT);
            return TRUE;
        }
        Count = Seen;
    }
    return FALSE;
}

/* Lowers the count; returns the new one. The record comes first: afterwards the object may be gone. */
static LONG64 ObpLowerCount(POBJECT_HEADER Header, ULONG Tag)
{
    LONG64 Count;

    OBP_TRACE_REFERENCE(Header, -1, Header->PointerCount - 1, Tag);
    Count = InterlockedDecrement64(&Header->PointerCount);
    ASSERT(Count >= 0);
    return Count;
}

LONG_PTR FASTCALL ObfDereferenceObjectWithTag(PVOID Object, ULONG Tag)
{
    POBJECT_HEADER Header = ObpHeader(Object);
    LONG64 Count = ObpLowerCount(Header, Tag);

    if (Count == 0) {
        if (KeGetCurrentIrql() == PASSIVE_LEVEL) {
            ObpDeleteObject(Header);
        } else {
            ObpDeferDelete(Header);
        }
    }
    return Count;
}

LONG_PTR FASTCALL ObfDereferenceObject(PVOID Object)
{
    return ObfDereferenceObjectWithTag(Object, OB_TAG_DEFAULT);
}

/* Gives a reference up where no delete procedure may run, even at PASSIVE_LEVEL. IRQL: <= DISPATCH_LEVEL. */
VOID NTAPI ObDereferenceObjectDeferDeleteWithTag(PVOID Object, ULONG Tag)
{
    POBJECT_HEADER Header = ObpHeader(Object);

    if (ObpLowerCount(Header, Tag) == 0) {
        ObpDeferDelete(Header);
    }
}

VOID NTAPI ObDereferenceObjectDeferDelete(PVOID Object)
{
    ObDereferenceObjectDeferDeleteWithTag(Object, OB_TAG_DEFAULT);
}

/**
 * ObReferenceObjectByPointerWithTag - one more reference on an object the caller has already.
 *
 * @DesiredAccess  kept for the record only: a pointer carries no rights to check against
 * @ObjectType     required type; NULL: any, in kernel mode
 * returns         STATUS_SUCCESS, STATUS_OBJECT_TYPE_MISMATCH
 *
 * IRQL: <= DISPATCH_LEVEL. Source: WDK documentation.
 */
NTSTATUS NTAPI ObReferenceObjectByPointerWithTag(PVOID Object, ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType,
                                                 KPROCESSOR_MODE AccessMode, ULONG Tag)
{
    UNREFERENCED_PARAMETER(DesiredAccess);
    if (ObpHeader(Object)->Type != ObjectType && (ObjectType != NULL || AccessMode != KernelMode)) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    ObfReferenceObjectWithTag(Object, Tag);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI ObReferenceObjectByPointer(PVOID Object, ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType,
                                          KPROCESSOR_MODE AccessMode)
{
    return ObReferenceObjectByPointerWithTag(Object, DesiredAccess, ObjectType, AccessMode, OB_TAG_DEFAULT);
}

PVOID ObGetWaitObject(PVOID Object)
{
    POBJECT_TYPE Type = ObpHeader(Object)->Type;

    return (Type->Info.WaitOffset == OB_NOT_WAITABLE) ? NULL : (PUCHAR)Object + Type->Info.WaitOffset;
}

POBJECT_TYPE NTAPI ObGetObjectType(PVOID Object)
{
    return ObpHeader(Object)->Type;
}

LONG64 ObGetPointerCount(PVOID Object)
{
    return ObpHeader(Object)->PointerCount;
}

LONG64 ObGetHandleCount(PVOID Object)
{
    return ObpHeader(Object)->HandleCount;
}
