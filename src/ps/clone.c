/*
 * clone.c - processes that begin as a copy of another: its address space copy-on-write, its handles, and of its threads the one that asks.
 *
 * The copy of an address space is Mm's. What it holds says who its owner is in a few words only: the child's PEB is told that it was inherited, and the TEB
 * of the thread that goes on gets its new identifiers. That thread comes out of the same system call as its original, with
 * the same registers, but for RAX, which says STATUS_PROCESS_CLONED. The other threads' stacks and TEBs are there and belong to nobody.
 *
 * Locks: none. IRQL: PASSIVE_LEVEL.
 *
 * Source: the public descriptions of RtlCloneUserProcess and NtCreateProcessEx.
 */
#include "psp.h"

#include <ntos/peb.h>
#include <ntos/section.h>
#include <ntos/user.h>

/**
 * PspCloneAddressSpace - gives a new process a copy of another's address space, and its PEB and name.
 *
 * returns  STATUS_SUCCESS; STATUS_PROCESS_IS_TERMINATING; what Mm says
 */
NTSTATUS PspCloneAddressSpace(PEPROCESS Parent, PEPROCESS Child)
{
    static const UCHAR Inherited = TRUE;
    KAPC_STATE State;
    NTSTATUS Status = PsAcquireProcessExitSynchronization(Parent);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = MmCloneProcessAddressSpace(Parent, Child);
    Child->Peb = Parent->Peb;
    Child->ImageInformation = Parent->ImageInformation;
    if (NT_SUCCESS(Status)) {
        Status = PspKeepPath(Child, &Parent->ImagePath);
    }
    PsReleaseProcessExitSynchronization(Parent);
    if (!NT_SUCCESS(Status) || Child->Peb == NULL) {
        return Status;
    }
    KeStackAttachProcess((PVOID)Child, &State);
    Status = MmCopyToUser(&((PPEB)Child->Peb)->InheritedAddressSpace, &Inherited, sizeof(Inherited));
    KeUnstackDetachProcess(&State);
    return Status;
}

/**
 * PspCloneThread - a thread of a clone of the calling program, which goes on where the calling thread is.
 *
 * @Process  has a copy of the caller's address space
 * @Thread   gets it, as PspCreateUserThread gives it
 * returns   STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES; what writing the copy of the TEB says
 */
NTSTATUS PspCloneThread(PEPROCESS Process, PETHREAD *Thread)
{
    PETHREAD Own = PsGetCurrentThread();
    PKTRAP_FRAME Frame = Own->Tcb.TrapFrame;
    PSP_USER_START Start = {
        .Rip = Frame->Rip, .Rsp = Frame->Rsp, .Rcx = Frame->Rcx, .Rdx = Frame->Rdx, .Teb = Own->Tcb.Teb};
    KAPC_STATE State;
    NTSTATUS Status;

    Start.Stack = Own->UserStart.Stack;
    Start.Clone = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Frame), PSP_TAG_THREAD);
    if (Start.Clone == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    *Start.Clone = *Frame;
    Start.Clone->Rax = (ULONG64)STATUS_PROCESS_CLONED;
    Status = PspCreateUserThread(Process, &Start, Thread);
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(Start.Clone, PSP_TAG_THREAD);
        return Status;
    }
    KeCopyUserState((*Thread)->UserState);
    KeStackAttachProcess((PVOID)Process, &State);
    Status = MmCopyToUser(&((PTEB)Start.Teb)->ClientId, &(*Thread)->Cid, sizeof(CLIENT_ID));
    KeUnstackDetachProcess(&State);
    if (!NT_SUCCESS(Status)) {
        PspAbandonUserThread(*Thread);
    }
    return Status;
}

/* The first frame of such a thread: the original's, with what has been changed of it since (NtSetContextThread). */
VOID PspTakeClonedFrame(PETHREAD Thread, PKTRAP_FRAME Frame)
{
    PSP_USER_START *Start = &Thread->UserStart;

    *Frame = *Start->Clone;
    KeCompleteUserFrame(Frame);
    Frame->Rip = Start->Rip;
    Frame->Rsp = Start->Rsp;
    Frame->Rcx = Start->Rcx;
    Frame->Rdx = Start->Rdx;
    PspFreeClonedFrame(Thread);
}

VOID PspFreeClonedFrame(PETHREAD Thread)
{
    if (Thread->UserStart.Clone != NULL) {
        ExFreePoolWithTag(Thread->UserStart.Clone, PSP_TAG_THREAD);
        Thread->UserStart.Clone = NULL;
    }
}

/* ---- NtCreateProcessEx ---- */

#define CREATE_FLAGS (PROCESS_CREATE_FLAGS_BREAKAWAY | PROCESS_CREATE_FLAGS_INHERIT_HANDLES)

/* Whose image the process will have: its parent's, as a copy, or the section's, referenced. */
static NTSTATUS FromParentOrSection(PSP_NEW_PROCESS *Wanted, HANDLE SectionHandle)
{
    Wanted->Name = Wanted->Parent->ImageFileName;
    if (SectionHandle == NULL) {
        Wanted->Path = &Wanted->Parent->ImagePath;
        return STATUS_SUCCESS;
    }
    return ObReferenceObjectByHandle(SectionHandle, SECTION_MAP_EXECUTE, MmSectionObjectType, ExGetPreviousMode(),
                                     &Wanted->Section, NULL);
}

/* A process of Wanted with its address space, opened for the caller; one that fails goes with its last reference. */
static NTSTATUS CreateWithSpace(const PSP_NEW_PROCESS *Wanted, const EX_CAPTURED_ATTRIBUTES *Attributes,
                                ACCESS_MASK DesiredAccess, PHANDLE Handle)
{
    HANDLE Opened = NULL;
    PEPROCESS New;
    NTSTATUS Status = PspCreateProcessFrom(Wanted, &New);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status =
        Wanted->Section == NULL ? PspCloneAddressSpace(Wanted->Parent, New) : PspFillFromSection(New, Wanted->Section);
    if (NT_SUCCESS(Status) && Attributes->Descriptor != NULL) {
        Status = ObGiveSecurity(New, Attributes->Descriptor);
    }
    if (NT_SUCCESS(Status)) {
        Status = ObOpenObjectByPointer(New, Attributes->Attributes.Attributes & OBJ_INHERIT, NULL, DesiredAccess,
                                       PspProcessType, KernelMode, &Opened); /* who makes it has what rights he wants */
        Status = ExReturnHandle(Status, Opened, Handle);
    }
    ObDereferenceObject(New);
    return Status;
}

/**
 * NtCreateProcessEx - makes a process without a thread.
 *
 * @ProcessHandle     gets a handle
 * @ObjectAttributes  OBJ_INHERIT and the security descriptor count; may be NULL
 * @ParentProcess     with PROCESS_CREATE_PROCESS: whose token, job, and inheritable handles it gets
 * @Flags             PROCESS_CREATE_FLAGS_INHERIT_HANDLES, _BREAKAWAY
 * @SectionHandle     of an image, with SECTION_MAP_EXECUTE: it and ntdll are mapped, and there is a PEB with empty parameters; NULL: the address space is
 *                    a copy of the parent's
 * @DebugPort, @TokenHandle  must be NULL
 * @Reserved          must be 0
 * returns            STATUS_SUCCESS; STATUS_INVALID_PARAMETER; STATUS_SECTION_NOT_IMAGE; STATUS_PROCESS_IS_TERMINATING; what memory, handles
 *                    and pointers say
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtCreateProcessEx(PHANDLE ProcessHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                                 HANDLE ParentProcess, ULONG Flags, HANDLE SectionHandle, HANDLE DebugPort,
                                 HANDLE TokenHandle, ULONG Reserved)
{
    EX_CAPTURED_ATTRIBUTES Attributes;
    PSP_NEW_PROCESS Wanted = {.Inherit = (Flags & PROCESS_CREATE_FLAGS_INHERIT_HANDLES) != 0,
                              .Breakaway = (Flags & PROCESS_CREATE_FLAGS_BREAKAWAY) != 0};
    NTSTATUS Status;

    if ((Flags & ~CREATE_FLAGS) != 0 || DebugPort != NULL || TokenHandle != NULL || Reserved != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = ExCaptureObjectAttributes(&Attributes, ObjectAttributes);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObReferenceObjectByHandle(ParentProcess, PSP_PROCESS_CREATE_PROCESS, PspProcessType, ExGetPreviousMode(),
                                       (PVOID *)&Wanted.Parent, NULL);
    if (NT_SUCCESS(Status)) {
        Status = Wanted.Parent == PsInitialSystemProcess ? STATUS_INVALID_PARAMETER
                                                         : FromParentOrSection(&Wanted, SectionHandle);
        if (NT_SUCCESS(Status)) {
            Status = CreateWithSpace(&Wanted, &Attributes, DesiredAccess, ProcessHandle);
        }
        if (Wanted.Section != NULL) {
            ObDereferenceObject(Wanted.Section);
        }
        ObDereferenceObject(Wanted.Parent);
    }
    ExFreeCapturedAttributes(&Attributes);
    return Status;
}
