/*
 * program.c - from an executable file to a process whose first thread is ready to run.
 *
 * The kernel maps two images into the new process, the program and ntdll.dll, writes the PEB, the parameters and the first
 * thread's TEB and stack, and starts that thread in ntdll's LdrInitializeThunk, which does the rest in ring 3: imports, TLS, DllMain, and
 * the entry point. ntdll lies at one address in all processes, that of its image section, so that the kernel knows its
 * dispatchers' addresses once and for all.
 *
 * Everything is written from an attached system thread or from the creating program's own thread, in kernel mode. What fails leaves a process
 * without threads, which goes with its last reference.
 *
 * Locks: none. IRQL: PASSIVE_LEVEL.
 */
#include "psp.h"

#include <ntos/peb.h>
#include <ntos/program.h>
#include <ntos/init.h>

#define NTDLL_PATH L"\\SystemRoot\\System\\ntdll.dll"

#define OS_MAJOR       6 /* what programs see: the version whose interfaces are followed */
#define OS_MINOR       1
#define OS_BUILD       7601
#define OS_PLATFORM_NT 2

#define STACK_SKIP_STEPS 64 /* of 16 bytes: what begins in the stack's first page still ends in it */

typedef struct _PSP_NTDLL {
    ULONG64 Base;        /* where it is in every process */
    ULONG64 Initialize;  /* LdrInitializeThunk */
    ULONG64 ThreadStart; /* RtlUserThreadStart */
} PSP_NTDLL;

static PSP_NTDLL PspNtdll; /* (c) from the first program on */

VOID PspInitializePrograms(VOID)
{
    PspInitializeImages();
}

/* ---- ntdll ---- */

/* Maps ntdll into Process, always at the same address. */
static NTSTATUS MapNtdll(PEPROCESS Process)
{
    UNICODE_STRING Path = RTL_CONSTANT_STRING(NTDLL_PATH);
    ULONG64 Initialize, ThreadStart, Exception, Apc;
    PSP_EXPORT Exports[] = {{"LdrInitializeThunk", &Initialize},
                            {"RtlUserThreadStart", &ThreadStart},
                            {"KiUserExceptionDispatcher", &Exception},
                            {"KiUserApcDispatcher", &Apc}};
    PSP_IMAGE Image = {0};
    NTSTATUS Status;

    Status = PspMapDll(Process, &Path, &Image, Exports, RTL_NUMBER_OF(Exports));
    if (NT_SUCCESS(Status)) { /* the same values each time */
        PspNtdll.Base = Image.Base;
        PspNtdll.Initialize = Initialize;
        PspNtdll.ThreadStart = ThreadStart;
        KeUserExceptionDispatcher = Exception;
        KeUserApcDispatcher = Apc;
    }
    return Status;
}

/* ---- PEB, parameters, TEB: the process is attached ---- */

NTSTATUS PspAllocateUser(PVOID *Base, SIZE_T Bytes)
{
    return MmAllocateForProgram(Base, &Bytes, TRUE);
}

static NTSTATUS CreatePeb(PEPROCESS Process, const PSP_PROGRAM *Program, const PSP_IMAGE *Image)
{
    PEB Peb = {.ImageBaseAddress = (PVOID)Image->Base,
               .NumberOfProcessors = KeNumberOfActiveProcessors,
               .OSMajorVersion = OS_MAJOR,
               .OSMinorVersion = OS_MINOR,
               .OSBuildNumber = OS_BUILD,
               .OSPlatformId = OS_PLATFORM_NT,
               .ImageSubsystem = Image->Subsystem,
               .NtdllBase = (PVOID)PspNtdll.Base};
    NTSTATUS Status = PspCreateParameters(Program, &Peb.ProcessParameters);

    if (NT_SUCCESS(Status)) {
        Status = PspAllocateUser(&Process->Peb, sizeof(Peb));
    }
    return NT_SUCCESS(Status) ? MmCopyToUser(Process->Peb, &Peb, sizeof(Peb)) : Status;
}

NTSTATUS PspCreateTeb(PEPROCESS Process, const PSP_USER_STACK *Stack, PVOID *Teb)
{
    PTEB User;
    NT_TIB Tib = {.StackBase = Stack->Base, .StackLimit = Stack->Limit};
    NTSTATUS Status = PspAllocateUser(Teb, sizeof(TEB));

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    User = *Teb;
    Tib.Self = (PVOID)User;
    Status = MmCopyToUser(&User->NtTib, &Tib, sizeof(Tib));
    if (NT_SUCCESS(Status)) {
        Status = MmCopyToUser(&User->ProcessEnvironmentBlock, &Process->Peb, sizeof(PVOID));
    }
    if (NT_SUCCESS(Status)) {
        Status = MmCopyToUser(&User->DeallocationStack, &Stack->Allocation, sizeof(PVOID));
    }
    return Status;
}

/* ---- Threads ---- */

NTSTATUS PspCreateProgramThread(PEPROCESS Process, const PSP_USER_STACK *Stack, ULONG64 Routine, ULONG64 Argument,
                                PETHREAD *Thread)
{
    PSP_USER_START Start = {.Rip = PspNtdll.Initialize};
    CONTEXT Context;
    ULONG64 Skipped = MmProcessRandom(Process) % STACK_SKIP_STEPS * 16;
    ULONG64 Rsp = ((ULONG64)Stack->Base - sizeof(CONTEXT) - 0x40 - Skipped) & ~15ULL;
    PVOID Teb;
    NTSTATUS Status = PspCreateTeb(Process, Stack, &Teb);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    /* LdrInitializeThunk goes on at this context when it is done. */
    RtlZeroMemory(&Context, sizeof(Context));
    Context.ContextFlags = CONTEXT_AMD64 | 3; /* control, integer */
    Context.Rip = PspNtdll.ThreadStart;
    Context.Rsp = Rsp - 8; /* as if it had been called */
    Context.Rcx = Routine;
    Context.Rdx = Argument;
    Status = MmCopyToUser((PVOID)Rsp, &Context, sizeof(Context));
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Start.Rsp = Rsp - 0x30 - 8; /* the zero RtlUserThreadStart returns to, home area, the place of a return address */
    Start.Rcx = Rsp;
    Start.Rdx = PspNtdll.Base;
    Start.Teb = Teb;
    Start.Stack = Stack->Allocation;
    Status = PspCreateUserThread(Process, &Start, Thread);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = MmCopyToUser(&((PTEB)Teb)->ClientId, &(*Thread)->Cid, sizeof(CLIENT_ID));
    if (!NT_SUCCESS(Status)) {
        PspAbandonUserThread(*Thread);
    }
    return Status;
}

/* An empty program's parameters, for a process of a section. */
NTSTATUS PspFillFromSection(PEPROCESS Process, PVOID Section)
{
    PSP_PROGRAM Program = {.Process = NULL};
    PSP_IMAGE Image = {0};
    KAPC_STATE State;
    NTSTATUS Status = MmMapSharedUserPage(Process);

    if (NT_SUCCESS(Status)) {
        Status = PspMapSection(Process, Section, &Image);
    }
    if (NT_SUCCESS(Status)) {
        Status = MapNtdll(Process);
    }
    if (NT_SUCCESS(Status)) {
        Process->ImageInformation = Image.Information;
        KeStackAttachProcess((PVOID)Process, &State);
        Status = CreatePeb(Process, &Program, &Image);
        KeUnstackDetachProcess(&State);
    }
    return Status;
}

/* Attached: PEB, stack, first thread. */
static NTSTATUS FillProcess(PEPROCESS Process, const PSP_PROGRAM *Program, const PSP_IMAGE *Image, PETHREAD *Thread)
{
    PSP_USER_STACK Stack;
    NTSTATUS Status = CreatePeb(Process, Program, Image);

    if (NT_SUCCESS(Status)) {
        Status = PspCreateUserStack(Image->StackReserve, Image->StackCommit, &Stack);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    return PspCreateProgramThread(Process, &Stack, Image->Base + Image->EntryRva, (ULONG64)Process->Peb, Thread);
}

/* The last component of a path, in ASCII. */
static VOID NameOf(PCUNICODE_STRING Path, PSTR Name, ULONG Bytes)
{
    ULONG Start = Path->Length / sizeof(WCHAR), End = Start, Used = 0;

    while (Start != 0 && Path->Buffer[Start - 1] != '\\') {
        Start--;
    }
    for (; Start < End && Used < Bytes - 1; Start++) {
        Name[Used++] = Path->Buffer[Start] < 0x7F ? (CHAR)Path->Buffer[Start] : '?';
    }
    Name[Used] = 0;
}

/* Keeps the path for who asks. */
NTSTATUS PspKeepPath(PEPROCESS Process, PCUNICODE_STRING Path)
{
    PVOID Copy = ExAllocatePoolWithTag(PagedPool, Path->Length + sizeof(WCHAR), PSP_TAG_PROGRAM);

    if (Copy == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlCopyMemory(Copy, Path->Buffer, Path->Length);
    Process->ImagePath.Buffer = Copy;
    Process->ImagePath.Length = Process->ImagePath.MaximumLength = Path->Length;
    return STATUS_SUCCESS;
}

/* Copies the parent's standard handles into the child, which is to find them under the numbers they get there. */
static NTSTATUS CopyStandardHandles(PPSP_PROGRAM Program, PEPROCESS Child, ULONG Subsystem)
{
    const PS_STD_HANDLE_INFO *Wish = &Program->Wishes->Standard;
    PEPROCESS Parent = Program->Process->Parent != NULL ? Program->Process->Parent : PsGetCurrentThreadProcess();
    ULONG State = Wish->Flags & 3;
    NTSTATUS Status = STATUS_SUCCESS;

    if (State == PS_STD_HANDLE_NEVER || (State == PS_STD_HANDLE_REQUEST && Wish->Subsystem != Subsystem)) {
        return STATUS_SUCCESS;
    }
    for (ULONG Index = 0; NT_SUCCESS(Status) && Index < RTL_NUMBER_OF(Program->Standard); Index++) {
        if (Program->Standard[Index] != NULL && (Wish->Flags >> (2 + Index) & 1) == 0) {
            Status = ObDuplicateObject(Parent, Program->Standard[Index], Child, &Program->Standard[Index], 0, 0,
                                       DUPLICATE_SAME_ACCESS | DUPLICATE_SAME_ATTRIBUTES, ExGetPreviousMode());
        }
    }
    return Status;
}

/* The process, in which nothing is yet; notify routines hear of it. */
static NTSTATUS CreateProcessFor(const PSP_PROGRAM *Program, PVOID Section, PEPROCESS *Process)
{
    PSP_NEW_PROCESS Wanted = {.Parent = NULL};
    CHAR Name[16];

    NameOf(&Program->ImagePath, Name, sizeof(Name));
    if (Program->Process != NULL) {
        Wanted = *Program->Process;
    }
    Wanted.Name = Name;
    Wanted.Section = Section;
    Wanted.Path = &Program->ImagePath;
    Wanted.Line = Program->CommandLine.Length != 0 ? &Program->CommandLine : NULL;
    return PspCreateProcessFrom(&Wanted, Process);
}

/**
 * PspCreateProgram - makes a process of an executable file, with its first thread, which does not run yet.
 *
 * @Process, @Thread  get referenced objects; KeReadyThread starts the thread
 * returns            STATUS_SUCCESS; what opening or reading a file says; STATUS_INVALID_IMAGE_FORMAT; what memory says
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS PspCreateProgram(const PSP_PROGRAM *Program, PEPROCESS *Process, PETHREAD *Thread)
{
    PSP_PROGRAM Own = *Program;
    PSP_IMAGE Image = {0};
    PVOID Section;
    KAPC_STATE State;
    PEPROCESS New;
    NTSTATUS Status = PspOpenImage(&Program->ImagePath, &Section);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = CreateProcessFor(Program, Section, &New);
    if (!NT_SUCCESS(Status)) {
        ObDereferenceObject(Section);
        return Status;
    }
    Status = PspKeepPath(New, &Program->ImagePath);
    if (NT_SUCCESS(Status) && Program->Wishes != NULL) {
        Status = PspApplyWishes(Program->Wishes, New);
    }
    if (NT_SUCCESS(Status)) {
        Status = MmMapSharedUserPage(New);
    }
    if (NT_SUCCESS(Status)) {
        Status = PspMapSection(New, Section, &Image);
    }
    ObDereferenceObject(Section);
    if (NT_SUCCESS(Status) && (Image.EntryRva == 0 || Image.IsDll)) {
        Status = STATUS_INVALID_IMAGE_FORMAT;
    }
    if (NT_SUCCESS(Status)) {
        Status = MapNtdll(New);
    }
    if (NT_SUCCESS(Status) && Program->Wishes != NULL && Program->Wishes->HasStandard) {
        Status = CopyStandardHandles(&Own, New, Image.Subsystem);
    }
    New->ImageInformation = Image.Information;
    if (NT_SUCCESS(Status)) {
        KeStackAttachProcess((PVOID)New, &State);
        Status = FillProcess(New, &Own, &Image, Thread);
        KeUnstackDetachProcess(&State);
    }
    if (!NT_SUCCESS(Status)) {
        ObDereferenceObject(New);
        return Status;
    }
    *Process = New;
    return STATUS_SUCCESS;
}
