/*
 * userprocess.c - NtCreateUserProcess: a program starts another.
 *
 * Everything that the caller points to is captured first: parameters, attribute list (attributes.c), object attributes. Then the process is made as
 * any other (program.c), or as a copy of the caller's (clone.c), opened for the caller, and its first thread let go when nothing can fail any more; what failed
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

/* What CreateInfo and attributes tell the caller. On failure the caller closes the handles. */
static NTSTATUS TellCaller(PEPROCESS Process, PETHREAD Thread, const PSP_WISHES *Wishes, PPS_CREATE_INFO CreateInfo)
{
    PS_CREATE_INFO Info = {.Size = sizeof(Info), .State = PsCreateSuccess};
    NTSTATUS Status = PspAnswerAttributes(Wishes, Thread, &Process->ImageInformation);

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
    EX_CAPTURED_ATTRIBUTES ProcessAttributes, ThreadAttributes; /* OBJ_INHERIT and the descriptor count */
    ULONG ProcessFlags, ThreadFlags;
    PPS_CREATE_INFO CreateInfo;
} PSP_START;

/* Gives the caller what it gets and lets the first thread go. On failure nothing of it is left but the objects. */
static NTSTATUS Publish(PEPROCESS Process, PETHREAD Thread, const PSP_START *Start, const PSP_WISHES *Wishes)
{
    HANDLE Handles[2] = {NULL, NULL};
    NTSTATUS Status = OpenFor(Process, PspProcessType, Start->ProcessAttributes.Attributes.Attributes,
                              Start->ProcessAccess, &Handles[0]);

    if (NT_SUCCESS(Status)) {
        Status = OpenFor(Thread, PspThreadType, Start->ThreadAttributes.Attributes.Attributes, Start->ThreadAccess,
                         &Handles[1]);
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

/* Descriptors that were given: before anybody else can open what they are of. */
static NTSTATUS Furnish(PEPROCESS Process, PETHREAD Thread, const PSP_START *Start, const PSP_WISHES *Wishes)
{
    NTSTATUS Status = STATUS_SUCCESS;

    if (Start->ProcessAttributes.Descriptor != NULL) {
        Status = ObGiveSecurity(Process, Start->ProcessAttributes.Descriptor);
    }
    if (NT_SUCCESS(Status) && Start->ThreadAttributes.Descriptor != NULL) {
        Status = ObGiveSecurity(Thread, Start->ThreadAttributes.Descriptor);
    }
    return NT_SUCCESS(Status) ? Publish(Process, Thread, Start, Wishes) : Status;
}

/* Lets a process go whose first thread is Thread, or gives it up. */
static NTSTATUS Finish(PEPROCESS Process, PETHREAD Thread, const PSP_START *Start, const PSP_WISHES *Wishes)
{
    NTSTATUS Status = Furnish(Process, Thread, Start, Wishes);

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

/* A program in a process of its own. */
static NTSTATUS StartProgram(PPSP_PROGRAM Program, const PSP_START *Start, const PSP_WISHES *Wishes)
{
    PEPROCESS Process;
    PETHREAD Thread;
    NTSTATUS Status = CaptureImageName(Wishes, Program);

    if (NT_SUCCESS(Status)) {
        Status = PspCreateProgram(Program, &Process, &Thread);
    }
    return NT_SUCCESS(Status) ? Finish(Process, Thread, Start, Wishes) : Status;
}

/* A copy of the calling program, in which this thread goes on. */
static NTSTATUS StartClone(PSP_NEW_PROCESS *Wanted, const PSP_START *Start, const PSP_WISHES *Wishes)
{
    PEPROCESS Process, Own = PsGetCurrentThreadProcess();
    PETHREAD Thread;
    NTSTATUS Status;

    if (Wishes->Parent != NULL || Wishes->HasStandard) {
        return STATUS_INVALID_PARAMETER;
    }
    Wanted->Name = Own->ImageFileName;
    Wanted->Path = &Own->ImagePath;
    Status = PspCreateProcessFrom(Wanted, &Process);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = PspApplyWishes(Wishes, Process);
    if (NT_SUCCESS(Status)) {
        Status = PspCloneAddressSpace(Own, Process);
    }
    if (NT_SUCCESS(Status)) {
        Status = PspCloneThread(Process, &Thread);
    }
    if (!NT_SUCCESS(Status)) {
        ObDereferenceObject(Process);
        return Status;
    }
    return Finish(Process, Thread, Start, Wishes);
}

/* The attributes of one of the two objects: neither has a name. */
static NTSTATUS CaptureObject(PEX_CAPTURED_ATTRIBUTES Captured, POBJECT_ATTRIBUTES Given)
{
    NTSTATUS Status = ExCaptureObjectAttributes(Captured, Given);

    return NT_SUCCESS(Status) && Captured->Attributes.ObjectName != NULL ? STATUS_INVALID_PARAMETER : Status;
}

static NTSTATUS CaptureObjects(PSP_START *Start, POBJECT_ATTRIBUTES Process, POBJECT_ATTRIBUTES Thread)
{
    NTSTATUS Status = CaptureObject(&Start->ProcessAttributes, Process);

    return NT_SUCCESS(Status) ? CaptureObject(&Start->ThreadAttributes, Thread) : Status;
}

#define PROCESS_FLAGS                                                                                                  \
    (PROCESS_CREATE_FLAGS_BREAKAWAY | PROCESS_CREATE_FLAGS_INHERIT_HANDLES | PROCESS_CREATE_FLAGS_SUSPENDED)

/* All that the caller gives is captured. */
static NTSTATUS Create(const PSP_START *Start, PPSP_PROGRAM Program, const PSP_WISHES *Wishes)
{
    PSP_NEW_PROCESS Wanted = {.Parent = Wishes->Parent,
                              .Inherit = (Start->ProcessFlags & PROCESS_CREATE_FLAGS_INHERIT_HANDLES) != 0,
                              .Handles = Wishes->Handles,
                              .HandleCount = Wishes->HandleCount,
                              .Breakaway = (Start->ProcessFlags & PROCESS_CREATE_FLAGS_BREAKAWAY) != 0};

    if (Wishes->Parent == PsInitialSystemProcess) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Wishes->ImageName.Buffer == NULL) {
        return StartClone(&Wanted, Start, Wishes);
    }
    Program->Process = &Wanted;
    Program->Wishes = Wishes;
    return StartProgram(Program, Start, Wishes);
}

/**
 * NtCreateUserProcess - starts a program in a process of its own, or a copy of the calling one, with its first thread.
 *
 * @ProcessHandle, @ThreadHandle      get handles with the accesses asked for
 * @ProcessObjectAttributes, @Thread..  OBJ_INHERIT and the security descriptor count; may be NULL
 * @ProcessFlags       PROCESS_CREATE_FLAGS_INHERIT_HANDLES: inheritable handles have the same values there; _SUSPENDED; _BREAKAWAY: not in the parent's job
 * @ThreadFlags        THREAD_CREATE_FLAGS_CREATE_SUSPENDED
 * @ProcessParameters  image name, command line, directory, environment, standard handles: copied; NULL: defaults
 * @CreateInfo         gets PsCreateSuccess and the PEB's address; may be NULL
 * @AttributeList      PS_ATTRIBUTE_IMAGE_NAME (an NT path): the program; without it, and without parameters, the process is a copy of the caller's, and this call
 *                     returns there too, with STATUS_PROCESS_CLONED. _PARENT_PROCESS (a handle with PROCESS_CREATE_PROCESS), _HANDLE_LIST (of inheritable
 *                     ones), _JOB_LIST, _STD_HANDLE_INFO, _PRIORITY_CLASS; _CLIENT_ID, _TEB_ADDRESS and _IMAGE_INFO are answered
 * returns             STATUS_SUCCESS; STATUS_INVALID_PARAMETER; STATUS_NOT_SUPPORTED (another attribute); STATUS_ACCESS_DENIED (_BREAKAWAY); what opening
 *                     and reading the file say; STATUS_INVALID_IMAGE_FORMAT and its kin; what memory, handles, jobs and pointers say
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
    PSP_PROGRAM Program = {.Process = NULL};
    PSP_WISHES Wishes = {.Parent = NULL};
    NTSTATUS Status;

    if ((ProcessFlags & ~PROCESS_FLAGS) != 0 || (ThreadFlags & ~THREAD_CREATE_FLAGS_CREATE_SUSPENDED) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = CaptureObjects(&Start, ProcessObjectAttributes, ThreadObjectAttributes);
    if (NT_SUCCESS(Status)) {
        Status = AttributeList == NULL ? STATUS_ACCESS_VIOLATION : PspCaptureAttributes(AttributeList, FALSE, &Wishes);
    }
    if (NT_SUCCESS(Status) && Wishes.PriorityClass != 0) {
        Status = PspCheckPriorityClass(Wishes.PriorityClass);
    }
    if (NT_SUCCESS(Status) && ProcessParameters != NULL) {
        Status = Wishes.ImageName.Buffer == NULL ? STATUS_INVALID_PARAMETER
                                                 : PspCaptureParameters(ProcessParameters, &Program);
    }
    if (NT_SUCCESS(Status)) {
        Status = Create(&Start, &Program, &Wishes);
    }
    PspFreeProgram(&Program);
    PspReleaseAttributes(&Wishes);
    ExFreeCapturedAttributes(&Start.ThreadAttributes);
    ExFreeCapturedAttributes(&Start.ProcessAttributes);
    return Status;
}
