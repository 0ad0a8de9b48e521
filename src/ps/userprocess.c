/*
 * userprocess.c - NtCreateUserProcess: a program starts another.
 *
 * Everything that the caller points to is captured first: parameters, attribute list, object attributes. Then the process is made as
 * any other (program.c), opened for the caller, and its first thread let go when nothing can fail any more; what failed
 * leaves a process without a thread that runs, which is given up.
 *
 * Locks: none. IRQL: PASSIVE_LEVEL.
 *
 * Source: Microsoft Learn, CreateProcess, UpdateProcThreadAttribute; the public descriptions of the service's attribute list.
 */
#include "psp.h"

#include <ntos/peb.h>
#include <ntos/program.h>
#include <ntos/services.h>
#include <ntos/user.h>

#define MOST_ATTRIBUTES 32U /* more than there are kinds */

/* What the attribute list says. */
typedef struct _PSP_WISHES {
    UNICODE_STRING ImageName; /* of the caller; not captured yet */
    PCLIENT_ID ClientId;      /* where to write it; NULL: not wanted */
    PVOID *Teb;
    PSIZE_T ClientIdLength, TebLength;
} PSP_WISHES, *PPSP_WISHES;

static NTSTATUS TakeAttribute(const PS_ATTRIBUTE *Attribute, PPSP_WISHES Wishes)
{
    switch (Attribute->Attribute) {
    case PS_ATTRIBUTE_IMAGE_NAME:
        if (Attribute->Size == 0 || Attribute->Size > MAXUSHORT - sizeof(WCHAR) ||
            Attribute->Size % sizeof(WCHAR) != 0) {
            return STATUS_INVALID_PARAMETER;
        }
        Wishes->ImageName.Buffer = Attribute->ValuePtr;
        Wishes->ImageName.Length = Wishes->ImageName.MaximumLength = (USHORT)Attribute->Size;
        return STATUS_SUCCESS;
    case PS_ATTRIBUTE_CLIENT_ID:
        Wishes->ClientId = Attribute->ValuePtr;
        Wishes->ClientIdLength = Attribute->ReturnLength;
        return Attribute->Size >= sizeof(CLIENT_ID) ? STATUS_SUCCESS : STATUS_INFO_LENGTH_MISMATCH;
    case PS_ATTRIBUTE_TEB_ADDRESS:
        Wishes->Teb = Attribute->ValuePtr;
        Wishes->TebLength = Attribute->ReturnLength;
        return Attribute->Size >= sizeof(PVOID) ? STATUS_SUCCESS : STATUS_INFO_LENGTH_MISMATCH;
    default:
        return STATUS_NOT_SUPPORTED;
    }
}

/* The attribute list of a program: a length, then entries of one size. */
static NTSTATUS CaptureWishes(PPS_ATTRIBUTE_LIST List, PPSP_WISHES Wishes)
{
    PS_ATTRIBUTE Attribute;
    SIZE_T Length, Count;
    NTSTATUS Status = ExCopyFromCaller(&Length, &List->TotalLength, sizeof(Length));

    RtlZeroMemory(Wishes, sizeof(*Wishes));
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Count = (Length - FIELD_OFFSET(PS_ATTRIBUTE_LIST, Attributes)) / sizeof(Attribute);
    if (Length < FIELD_OFFSET(PS_ATTRIBUTE_LIST, Attributes) || Count > MOST_ATTRIBUTES ||
        (Length - FIELD_OFFSET(PS_ATTRIBUTE_LIST, Attributes)) % sizeof(Attribute) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    for (SIZE_T Index = 0; Index < Count; Index++) {
        Status = ExCopyFromCaller(&Attribute, &List->Attributes[Index], sizeof(Attribute));
        if (NT_SUCCESS(Status)) {
            Status = TakeAttribute(&Attribute, Wishes);
        }
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    }
    return Wishes->ImageName.Buffer == NULL ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
}

static NTSTATUS CaptureImageName(const PSP_WISHES *Wishes, PPSP_PROGRAM Program)
{
    ULONG Bytes = Wishes->ImageName.Length;

    Program->ImagePath.Buffer = ExAllocatePoolWithTag(PagedPool, Bytes, PSP_TAG_PROGRAM);
    if (Program->ImagePath.Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Program->ImagePath.Length = Program->ImagePath.MaximumLength = (USHORT)Bytes;
    return ExCopyFromCaller(Program->ImagePath.Buffer, Wishes->ImageName.Buffer, Bytes);
}

/* What CreateInfo, attributes and handles tell the caller. On failure the caller closes the handles. */
static NTSTATUS TellCaller(PEPROCESS Process, PETHREAD Thread, const PSP_WISHES *Wishes, PPS_CREATE_INFO CreateInfo)
{
    SIZE_T CidBytes = sizeof(CLIENT_ID), TebBytes = sizeof(PVOID);
    PS_CREATE_INFO Info = {.Size = sizeof(Info), .State = PsCreateSuccess};
    NTSTATUS Status = ExReturnValue(STATUS_SUCCESS, Wishes->ClientId, &Thread->Cid, sizeof(Thread->Cid));

    Status = ExReturnValue(Status, Wishes->ClientId == NULL ? NULL : Wishes->ClientIdLength, &CidBytes, sizeof(SIZE_T));
    Status = ExReturnValue(Status, Wishes->Teb, &Thread->Tcb.Teb, sizeof(PVOID));
    Status = ExReturnValue(Status, Wishes->Teb == NULL ? NULL : Wishes->TebLength, &TebBytes, sizeof(SIZE_T));
    Info.PebAddress = (ULONG64)Process->Peb;
    return ExReturnValue(Status, CreateInfo, &Info, sizeof(Info));
}

/* One of the two handles, in the caller's table. */
static NTSTATUS OpenFor(PVOID Object, POBJECT_TYPE Type, ULONG Attributes, ACCESS_MASK Access, PHANDLE Handle)
{
    return ObOpenObjectByPointer(Object, Attributes & OBJ_INHERIT, NULL, Access, Type, KernelMode,
                                 Handle); /* who makes it has what rights he wants to it */
}

typedef struct _PSP_START {
    PHANDLE ProcessHandle, ThreadHandle;
    ACCESS_MASK ProcessAccess, ThreadAccess;
    ULONG ProcessAttributes, ThreadAttributes; /* OBJ_INHERIT counts */
    ULONG ProcessFlags, ThreadFlags;
    PPS_CREATE_INFO CreateInfo;
} PSP_START;

/* Gives the caller what it gets and lets the first thread go. On failure nothing of it is left but the objects. */
static NTSTATUS Publish(PEPROCESS Process, PETHREAD Thread, const PSP_START *Start, const PSP_WISHES *Wishes)
{
    HANDLE Handles[2] = {NULL, NULL};
    NTSTATUS Status = OpenFor(Process, PspProcessType, Start->ProcessAttributes, Start->ProcessAccess, &Handles[0]);

    if (NT_SUCCESS(Status)) {
        Status = OpenFor(Thread, PspThreadType, Start->ThreadAttributes, Start->ThreadAccess, &Handles[1]);
    }
    if (NT_SUCCESS(Status)) {
        Status = TellCaller(Process, Thread, Wishes, Start->CreateInfo);
    }
    if (NT_SUCCESS(Status)) {
        Status = ExCopyToCaller(Start->ProcessHandle, &Handles[0], sizeof(HANDLE));
    }
    if (NT_SUCCESS(Status)) {
        Status = ExCopyToCaller(Start->ThreadHandle, &Handles[1], sizeof(HANDLE));
    }
    for (ULONG Index = 0; !NT_SUCCESS(Status) && Index < RTL_NUMBER_OF(Handles); Index++) {
        if (Handles[Index] != NULL) {
            ObCloseHandle(Handles[Index], ExGetPreviousMode());
        }
    }
    return Status;
}

static NTSTATUS StartProgram(const PSP_PROGRAM *Program, const PSP_START *Start, const PSP_WISHES *Wishes)
{
    PEPROCESS Process;
    PETHREAD Thread;
    NTSTATUS Status = PspCreateProgram(Program, &Process, &Thread);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = Publish(Process, Thread, Start, Wishes);
    if (NT_SUCCESS(Status)) {
        if ((Start->ThreadFlags & THREAD_CREATE_FLAGS_CREATE_SUSPENDED) != 0 ||
            (Start->ProcessFlags & PROCESS_CREATE_FLAGS_SUSPENDED) != 0) {
            KeSuspendThread(&Thread->Tcb, NULL);
        }
        KeReadyThread(&Thread->Tcb);
        ObDereferenceObject(Thread);
    } else {
        PspAbandonUserThread(Thread);
    }
    ObDereferenceObject(Process);
    return Status;
}

/* The attributes of one of the two objects: neither has a name. */
static NTSTATUS CaptureFlags(POBJECT_ATTRIBUTES Given, PULONG Attributes)
{
    OBJECT_ATTRIBUTES Copy = {.Length = sizeof(Copy)};
    NTSTATUS Status = Given == NULL ? STATUS_SUCCESS : ExCopyFromCaller(&Copy, Given, sizeof(Copy));

    *Attributes = Copy.Attributes;
    if (NT_SUCCESS(Status) && (Copy.Length != sizeof(Copy) || Copy.ObjectName != NULL)) {
        return STATUS_INVALID_PARAMETER;
    }
    return Status;
}

/**
 * NtCreateUserProcess - starts a program in a process of its own, with its first thread.
 *
 * @ProcessHandle, @ThreadHandle      get handles with the accesses asked for
 * @ProcessObjectAttributes, @Thread..  OBJ_INHERIT counts; may be NULL
 * @ProcessFlags       PROCESS_CREATE_FLAGS_INHERIT_HANDLES: inheritable handles have the same values there; _SUSPENDED
 * @ThreadFlags        THREAD_CREATE_FLAGS_CREATE_SUSPENDED
 * @ProcessParameters  image name, command line, directory, environment, standard handles: copied; NULL: defaults
 * @CreateInfo         gets PsCreateSuccess and the PEB's address; may be NULL
 * @AttributeList      PS_ATTRIBUTE_IMAGE_NAME (an NT path) is required; PS_ATTRIBUTE_CLIENT_ID and _TEB_ADDRESS are answered
 * returns             STATUS_SUCCESS; STATUS_INVALID_PARAMETER; STATUS_NOT_SUPPORTED (another attribute); what opening and reading the
 *                     file say; STATUS_INVALID_IMAGE_FORMAT and its kin; what memory, handles and pointers say
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtCreateUserProcess(PHANDLE ProcessHandle, PHANDLE ThreadHandle, ACCESS_MASK ProcessDesiredAccess,
                                   ACCESS_MASK ThreadDesiredAccess, POBJECT_ATTRIBUTES ProcessObjectAttributes,
                                   POBJECT_ATTRIBUTES ThreadObjectAttributes, ULONG ProcessFlags, ULONG ThreadFlags,
                                   PRTL_USER_PROCESS_PARAMETERS ProcessParameters, PPS_CREATE_INFO CreateInfo,
                                   PPS_ATTRIBUTE_LIST AttributeList)
{
    PSP_START Start = {.ProcessHandle = ProcessHandle,
                       .ThreadHandle = ThreadHandle,
                       .ProcessAccess = ProcessDesiredAccess,
                       .ThreadAccess = ThreadDesiredAccess,
                       .ProcessFlags = ProcessFlags,
                       .ThreadFlags = ThreadFlags,
                       .CreateInfo = CreateInfo};
    PSP_PROGRAM Program = {.Parent = NULL};
    PSP_WISHES Wishes;
    NTSTATUS Status;

    if ((ProcessFlags & ~(PROCESS_CREATE_FLAGS_INHERIT_HANDLES | PROCESS_CREATE_FLAGS_SUSPENDED)) != 0 ||
        (ThreadFlags & ~THREAD_CREATE_FLAGS_CREATE_SUSPENDED) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = CaptureFlags(ProcessObjectAttributes, &Start.ProcessAttributes);
    if (NT_SUCCESS(Status)) {
        Status = CaptureFlags(ThreadObjectAttributes, &Start.ThreadAttributes);
    }
    if (NT_SUCCESS(Status)) {
        Status = CaptureWishes(AttributeList, &Wishes);
    }
    if (NT_SUCCESS(Status) && ProcessParameters != NULL) {
        Status = PspCaptureParameters(ProcessParameters, &Program);
    }
    if (NT_SUCCESS(Status)) {
        Status = CaptureImageName(&Wishes, &Program);
    }
    if (NT_SUCCESS(Status)) {
        Program.Parent =
            (ProcessFlags & PROCESS_CREATE_FLAGS_INHERIT_HANDLES) != 0 ? PsGetCurrentThreadProcess() : NULL;
        Status = StartProgram(&Program, &Start, &Wishes);
    }
    PspFreeProgram(&Program);
    return Status;
}
