/*
 * ps_process.c - suites ps.process, ps.notify and ke.attach: processes made in kernel mode, their threads, and visits to them.
 *
 * A process here has an address space with one page of its own at a fixed address, which says whose it is. Nothing of it may be left
 * once its object is gone; the runner's MiVerify compares frames and charges after each case.
 */
#include "ketest.h"

#include <ntos/mm.h>
#include <ntos/ob.h>
#include <ntos/program.h>

#define PAGE_OF_PROCESS ((PVOID)0x20000000)
#define VISITED         3

static PEPROCESS Visited[VISITED];
static volatile PVOID SeenProcess, SeenOwner;
static volatile ULONG64 SeenWord, Wrong;
static volatile HANDLE SeenId;

/* Gives the process that the caller is in its page, holding a word. */
static NTSTATUS MakePage(ULONG64 Word)
{
    PVOID Base = PAGE_OF_PROCESS;
    SIZE_T Size = PAGE_SIZE;
    NTSTATUS Status =
        ZwAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

    return NT_SUCCESS(Status) ? MmCopyToUser(PAGE_OF_PROCESS, &Word, sizeof(Word)) : Status;
}

static ULONG64 ReadPage(VOID)
{
    ULONG64 Word = 0;

    return NT_SUCCESS(MmCopyFromUser(&Word, PAGE_OF_PROCESS, sizeof(Word))) ? Word : MAXULONG64;
}

static VOID NTAPI Resident(PVOID Context)
{
    MakePage((ULONG64)(ULONG_PTR)Context);
    SeenProcess = PsGetCurrentProcess();
    SeenOwner = PsGetCurrentThreadProcess();
    SeenId = PsGetCurrentThreadProcessId();
    SeenWord = ReadPage();
    PsTerminateSystemThread(STATUS_NO_MORE_ENTRIES);
}

static NTSTATUS StartIn(PEPROCESS Process, PKSTART_ROUTINE Routine, PVOID Context, PETHREAD *Thread)
{
    OBJECT_ATTRIBUTES Attributes;
    HANDLE ProcessHandle, ThreadHandle;

    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    NTSTATUS Status = ObOpenObjectByPointer(Process, OBJ_KERNEL_HANDLE, NULL, PROCESS_ALL_ACCESS, *PsProcessType,
                                            KernelMode, &ProcessHandle);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = PsCreateSystemThread(&ThreadHandle, THREAD_ALL_ACCESS, &Attributes, ProcessHandle, NULL, Routine, Context);
    ZwClose(ProcessHandle);
    if (NT_SUCCESS(Status)) {
        Status = ObReferenceObjectByHandle(ThreadHandle, THREAD_ALL_ACCESS, *PsThreadType, KernelMode, (PVOID *)Thread,
                                           NULL);
        ZwClose(ThreadHandle);
    }
    return Status;
}

/* A process lives as long as its threads, and its object as long as somebody refers to it. */
static VOID Life(PKTAP_CONTEXT Ktap)
{
    PEPROCESS Process, Found;
    PETHREAD Thread;
    LARGE_INTEGER Before;

    KeQuerySystemTime(&Before);
    KTAP_EQUAL(PspCreateProcess(&Process, "a rather long name"), STATUS_SUCCESS);
    HANDLE Id = PsGetProcessId(Process);
    KTAP_EQUAL(PsLookupProcessByProcessId(Id, &Found), STATUS_SUCCESS);
    KTAP_CHECK(Found == Process);
    ObDereferenceObject(Found);
    KTAP_CHECK(memcmp(PsGetProcessImageFileName(Process), "a rather long n", 16) == 0);
    KTAP_CHECK(PsGetProcessInheritedFromUniqueProcessId(Process) == PsGetCurrentProcessId());
    KTAP_CHECK(PsGetProcessCreateTimeQuadPart(Process) >= Before.QuadPart);
    KTAP_EQUAL(PsGetProcessExitStatus(Process), STATUS_PENDING);
    KTAP_CHECK(!PsGetProcessExitProcessCalled(Process) && !PsIsSystemProcess(Process));
    KTAP_CHECK(PsIsSystemProcess(PsInitialSystemProcess) && PsGetProcessPeb(Process) == NULL);
    KTAP_EQUAL(TestPoll(Process), STATUS_TIMEOUT);
    KTAP_EQUAL(StartIn(Process, Resident, (PVOID)4711, &Thread), STATUS_SUCCESS);
    KTAP_EQUAL(TestWait(Thread), STATUS_SUCCESS);
    KTAP_EQUAL(TestWait(Process), STATUS_SUCCESS);
    KTAP_CHECK(PsGetThreadProcess(Thread) == Process && PsGetThreadProcessId(Thread) == Id);
    KTAP_CHECK(PsIsThreadTerminating(Thread) && PsIsSystemThread(Thread));
    ObDereferenceObject(Thread);
    KTAP_CHECK(SeenProcess == Process && SeenOwner == Process && SeenId == Id);
    KTAP_EQUAL(SeenWord, 4711);
    KTAP_EQUAL(PsGetProcessExitStatus(Process), STATUS_NO_MORE_ENTRIES);
    KTAP_CHECK(PsGetProcessExitProcessCalled(Process));
    KTAP_EQUAL(StartIn(Process, Resident, NULL, &Thread), STATUS_PROCESS_IS_TERMINATING);
    KTAP_EQUAL(PsAcquireProcessExitSynchronization(Process), STATUS_PROCESS_IS_TERMINATING);
    ObDereferenceObject(Process);
    ObFlushDeferredDeletes();
    for (ULONG i = 0; i < 100 && NT_SUCCESS(PsLookupProcessByProcessId(Id, &Found)); i++) {
        ObDereferenceObject(Found); /* the reaper's reference by way of the thread */
        TestSleep(TEST_SECOND / 100);
    }
    KTAP_EQUAL(PsLookupProcessByProcessId(Id, &Found), STATUS_INVALID_CID);
}

/* What a thread can learn about itself, and others about it by its identifiers. */
static VOID Identity(PKTAP_CONTEXT Ktap)
{
    PETHREAD Self = PsGetCurrentThread(), Thread;
    PEPROCESS Process;
    CLIENT_ID Cid = {PsGetCurrentProcessId(), PsGetCurrentThreadId()}, Bad = {Cid.UniqueProcess, (HANDLE)2};
    UCHAR Local;

    KTAP_CHECK(PsGetThreadId(Self) == PsGetCurrentThreadId());
    KTAP_EQUAL(PsLookupThreadByThreadId(PsGetCurrentThreadId(), &Thread), STATUS_SUCCESS);
    KTAP_CHECK(Thread == Self);
    ObDereferenceObject(Thread);
    KTAP_EQUAL(PsLookupThreadByThreadId((HANDLE)2, &Thread), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(PsLookupThreadByThreadId(Cid.UniqueProcess, &Thread), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(PsLookupProcessThreadByCid(&Cid, &Process, &Thread), STATUS_SUCCESS);
    KTAP_CHECK(Thread == Self && Process == PsInitialSystemProcess);
    ObDereferenceObject(Thread);
    ObDereferenceObject(Process);
    KTAP_EQUAL(PsLookupProcessThreadByCid(&Bad, NULL, &Thread), STATUS_INVALID_CID);
    KTAP_CHECK((PUCHAR)PsGetCurrentThreadStackLimit() < &Local && &Local < (PUCHAR)PsGetCurrentThreadStackBase());
    KTAP_EQUAL(PsGetCurrentThreadPreviousMode(), KernelMode);
    KTAP_CHECK(PsGetCurrentThreadTeb() == NULL && PsGetThreadTeb(Self) == NULL);
    KTAP_CHECK(!PsIsThreadTerminating(Self));
    PsSetThreadHardErrorsAreDisabled(Self, TRUE);
    BOOLEAN Disabled = PsGetThreadHardErrorsAreDisabled(Self);
    PsSetThreadHardErrorsAreDisabled(Self, FALSE);
    KTAP_CHECK(Disabled && !PsGetThreadHardErrorsAreDisabled(Self));
    KTAP_EQUAL(PsGetProcessExitTime().QuadPart, 0);
}

static VOID Handles(PKTAP_CONTEXT Ktap)
{
    OBJECT_ATTRIBUTES Attributes;
    CLIENT_ID Cid = {PsGetCurrentProcessId(), NULL}, None = {(HANDLE)2, NULL}, Self = {NULL, PsGetCurrentThreadId()};
    HANDLE Handle;
    PVOID Object;

    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    KTAP_EQUAL(ZwOpenProcess(&Handle, PROCESS_ALL_ACCESS, &Attributes, &None), STATUS_INVALID_CID);
    KTAP_EQUAL(ZwOpenProcess(&Handle, PROCESS_ALL_ACCESS, &Attributes, NULL), STATUS_INVALID_PARAMETER_MIX);
    KTAP_EQUAL(ZwOpenProcess(&Handle, PROCESS_ALL_ACCESS, &Attributes, &Cid), STATUS_SUCCESS);
    KTAP_EQUAL(ObReferenceObjectByHandle(Handle, PROCESS_ALL_ACCESS, *PsProcessType, KernelMode, &Object, NULL),
               STATUS_SUCCESS);
    KTAP_CHECK(Object == PsInitialSystemProcess);
    ObDereferenceObject(Object);
    ZwClose(Handle);
    KTAP_EQUAL(NtOpenProcess(&Handle, PROCESS_ALL_ACCESS, &Attributes, &Cid), STATUS_SUCCESS);
    ZwClose(Handle);
    KTAP_EQUAL(ZwOpenThread(&Handle, THREAD_ALL_ACCESS, &Attributes, &Self), STATUS_SUCCESS);
    KTAP_EQUAL(ObReferenceObjectByHandle(Handle, THREAD_ALL_ACCESS, *PsThreadType, KernelMode, &Object, NULL),
               STATUS_SUCCESS);
    KTAP_CHECK(Object == KeGetCurrentThread());
    ObDereferenceObject(Object);
    ZwClose(Handle);
}

/* ---- Notification ---- */

static volatile LONG Created, Ended, ThreadsBegun, ThreadsEnded, Refuse;
static volatile HANDLE LastParent, LastProcess;

static VOID NTAPI OnProcess(HANDLE ParentId, HANDLE ProcessId, BOOLEAN Create)
{
    LastParent = ParentId;
    LastProcess = ProcessId;
    InterlockedIncrement(Create ? &Created : &Ended);
}

static VOID NTAPI OnProcessEx(PEPROCESS Process, HANDLE ProcessId, PPS_CREATE_NOTIFY_INFO Info)
{
    if (Info != NULL && Refuse) {
        Info->CreationStatus = STATUS_ACCESS_DENIED;
    }
}

static VOID NTAPI OnThread(HANDLE ProcessId, HANDLE ThreadId, BOOLEAN Create)
{
    InterlockedIncrement(Create ? &ThreadsBegun : &ThreadsEnded);
}

static VOID Notify(PKTAP_CONTEXT Ktap)
{
    PEPROCESS Process;
    PETHREAD Thread;

    Created = Ended = ThreadsBegun = ThreadsEnded = Refuse = 0;
    KTAP_EQUAL(PsSetCreateProcessNotifyRoutine(OnProcess, FALSE), STATUS_SUCCESS);
    KTAP_EQUAL(PsSetCreateProcessNotifyRoutine(OnProcess, FALSE), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(PsSetCreateThreadNotifyRoutine(OnThread), STATUS_SUCCESS);
    NTSTATUS Made = PspCreateProcess(&Process, "notify");
    LONG CreatedThen = Created, EndedThen = Ended;
    HANDLE Id = NT_SUCCESS(Made) ? PsGetProcessId(Process) : NULL, Seen = LastProcess;
    NTSTATUS Status = NT_SUCCESS(Made) ? StartIn(Process, Resident, NULL, &Thread) : Made;
    if (NT_SUCCESS(Status)) {
        TestWait(Process);
        ObDereferenceObject(Thread);
    }
    KTAP_EQUAL(PsSetCreateProcessNotifyRoutine(OnProcess, TRUE), STATUS_SUCCESS);
    KTAP_EQUAL(PsRemoveCreateThreadNotifyRoutine(OnThread), STATUS_SUCCESS);
    KTAP_EQUAL(PsRemoveCreateThreadNotifyRoutine(OnThread), STATUS_PROCEDURE_NOT_FOUND);
    KTAP_EQUAL(Status, STATUS_SUCCESS);
    ObDereferenceObject(Process);
    KTAP_CHECK(Seen == Id && LastParent == PsGetCurrentProcessId());
    KTAP_EQUAL(CreatedThen, 1);
    KTAP_EQUAL(EndedThen, 0);
    KTAP_EQUAL(Ended, 1);
    KTAP_CHECK(ThreadsBegun >= 1 && ThreadsEnded >= 1);
}

/* ---- A program: what routines are told of it ---- */

#define PROGRAM L"\\SystemRoot\\System\\uproc.exe"

static struct {
    HANDLE Id;
    BOOLEAN Path, Line, File, Known, Parent;
    ULONG Images, Foreign,
        Named; /* calls for images of it; with another process current; whose name ends as the program's */
} Told;

static BOOLEAN EndsWith(PCUNICODE_STRING Text, PCWSTR End)
{
    UNICODE_STRING Tail, Wanted;

    RtlInitUnicodeString(&Wanted, End);
    if (Text == NULL || Text->Length < Wanted.Length) {
        return FALSE;
    }
    Tail.Buffer = Text->Buffer + (Text->Length - Wanted.Length) / sizeof(WCHAR);
    Tail.Length = Tail.MaximumLength = Wanted.Length;
    return RtlEqualUnicodeString(&Tail, &Wanted, TRUE);
}

static VOID NTAPI OnProgram(PEPROCESS Process, HANDLE ProcessId, PPS_CREATE_NOTIFY_INFO Info)
{
    if (Info != NULL) {
        Told.Id = ProcessId;
        Told.Path = EndsWith(Info->ImageFileName, PROGRAM);
        Told.Line = EndsWith(Info->CommandLine, L"uproc exit");
        Told.File = Info->FileObject != NULL && EndsWith(&Info->FileObject->FileName, L"\\uproc.exe");
        Told.Known = Info->FileOpenNameAvailable;
        Told.Parent = Info->ParentProcessId == PsGetCurrentProcessId() &&
                      Info->CreatingThreadId.UniqueThread == PsGetCurrentThreadId();
    }
}

static VOID NTAPI OnProgramImage(PUNICODE_STRING Name, HANDLE ProcessId, PIMAGE_INFO Info)
{
    if (ProcessId == Told.Id && !Info->SystemModeImage && (LONG64)Info->ImageBase > 0 && Info->ImageSize != 0) {
        Told.Images++;
        Told.Foreign += PsGetProcessId(PsGetCurrentProcess()) != ProcessId;
        Told.Named += EndsWith(Name, L"\\uproc.exe") || EndsWith(Name, L"\\ntdll.dll");
    }
}

static VOID ProgramNotify(PKTAP_CONTEXT Ktap)
{
    PSP_PROGRAM Program = {.ImagePath = RTL_CONSTANT_STRING(PROGRAM),
                           .CommandLine = RTL_CONSTANT_STRING(L"uproc exit")};
    PEPROCESS Process = NULL;
    PETHREAD Thread;

    RtlZeroMemory(&Told, sizeof(Told));
    KTAP_EQUAL(PsSetCreateProcessNotifyRoutineEx(OnProgram, FALSE), STATUS_SUCCESS);
    KTAP_EQUAL(PsSetLoadImageNotifyRoutine(OnProgramImage), STATUS_SUCCESS);
    NTSTATUS Status = PspCreateProgram(&Program, &Process, &Thread);
    if (NT_SUCCESS(Status)) {
        KeReadyThread(&Thread->Tcb);
        ObDereferenceObject(Thread);
        TestWait(Process);
    }
    KTAP_EQUAL(PsRemoveLoadImageNotifyRoutine(OnProgramImage), STATUS_SUCCESS);
    KTAP_EQUAL(PsSetCreateProcessNotifyRoutineEx(OnProgram, TRUE), STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(Status), STATUS_SUCCESS);
    KTAP_CHECK(Told.Id == PsGetProcessId(Process));
    KTAP_CHECK(Told.Path && Told.Line && Told.File && Told.Known && Told.Parent);
    KTAP_EQUAL(Told.Images, 2);
    KTAP_EQUAL(Told.Named, 2);
    KTAP_EQUAL(Told.Foreign, 0);
    KTAP_EQUAL(Process->ExitStatus, 42);
    ObDereferenceObject(Process);
}

static VOID Refusal(PKTAP_CONTEXT Ktap)
{
    PEPROCESS Process;

    Refuse = 1;
    KTAP_EQUAL(PsSetCreateProcessNotifyRoutineEx(OnProcessEx, FALSE), STATUS_SUCCESS);
    NTSTATUS Status = PspCreateProcess(&Process, "refused");
    KTAP_EQUAL(PsSetCreateProcessNotifyRoutineEx(OnProcessEx, TRUE), STATUS_SUCCESS);
    KTAP_EQUAL(Status, STATUS_ACCESS_DENIED);
}

static volatile PVOID SeenImage;

static VOID NTAPI OnImage(PUNICODE_STRING Name, HANDLE ProcessId, PIMAGE_INFO Info)
{
    SeenImage = Info->ImageBase;
}

/* The calls that the loader of drivers makes; loading itself is the suite io.load's. */
static VOID Images(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name = {0};
    IMAGE_INFO Info = {.ImageBase = &Visited};

    SeenImage = NULL;
    KTAP_EQUAL(PsSetLoadImageNotifyRoutine(OnImage), STATUS_SUCCESS);
    PsNotifyLoadImage(&Name, NULL, &Info);
    PVOID Seen = SeenImage;
    KTAP_EQUAL(PsRemoveLoadImageNotifyRoutine(OnImage), STATUS_SUCCESS);
    KTAP_EQUAL(PsRemoveLoadImageNotifyRoutine(OnImage), STATUS_PROCEDURE_NOT_FOUND);
    SeenImage = NULL;
    PsNotifyLoadImage(&Name, NULL, &Info);
    KTAP_CHECK(Seen == &Visited);
    KTAP_CHECK(SeenImage == NULL);
}

/* ---- Attaching ---- */

static volatile LONG ApcRuns;
static volatile PVOID ApcProcess;

static VOID NTAPI ApcKernel(PKAPC Apc, PKNORMAL_ROUTINE *Normal, PVOID *Context, PVOID *Argument1, PVOID *Argument2)
{
    ApcProcess = PsGetCurrentProcess();
    InterlockedIncrement(&ApcRuns);
}

static VOID Nested(PKTAP_CONTEXT Ktap)
{
    PEPROCESS First, Second;
    KAPC_STATE Outer, Inner;

    KTAP_EQUAL(PspCreateProcess(&First, "first"), STATUS_SUCCESS);
    KTAP_EQUAL(PspCreateProcess(&Second, "second"), STATUS_SUCCESS);
    KeStackAttachProcess(&First->Pcb, &Outer);
    NTSTATUS Made = MakePage(1);
    KeStackAttachProcess(&Second->Pcb, &Inner);
    NTSTATUS MadeToo = MakePage(2);
    ULONG64 InSecond = ReadPage();
    BOOLEAN Attached = KeIsAttachedProcess(), Current = PsGetCurrentProcess() == Second;
    KeUnstackDetachProcess(&Inner);
    ULONG64 InFirst = ReadPage();
    KeUnstackDetachProcess(&Outer);
    BOOLEAN Back = !KeIsAttachedProcess() && PsGetCurrentProcess() == PsInitialSystemProcess;
    KeAttachProcess(&Second->Pcb);
    KeAttachProcess(&Second->Pcb);
    ULONG64 Again = ReadPage();
    KeDetachProcess();
    KTAP_EQUAL(First->Pcb.ActiveProcessors | Second->Pcb.ActiveProcessors, 0);
    ObDereferenceObject(First);
    ObDereferenceObject(Second);
    KTAP_EQUAL(Made, STATUS_SUCCESS);
    KTAP_EQUAL(MadeToo, STATUS_SUCCESS);
    KTAP_EQUAL(InSecond, 2);
    KTAP_EQUAL(InFirst, 1);
    KTAP_EQUAL(Again, 2);
    KTAP_CHECK(Attached && Current && Back);
}

/* An APC for the thread's own environment waits until it is back there; one for the current environment does not. */
static VOID Environments(PKTAP_CONTEXT Ktap)
{
    static KAPC Own, Here;
    PKTHREAD Thread = KeGetCurrentThread();
    PEPROCESS Process;
    KAPC_STATE State;

    ApcRuns = 0;
    KTAP_EQUAL(PspCreateProcess(&Process, "apc"), STATUS_SUCCESS);
    KeStackAttachProcess(&Process->Pcb, &State);
    KeInitializeApc(&Own, Thread, OriginalApcEnvironment, ApcKernel, NULL, NULL, KernelMode, NULL);
    KeInitializeApc(&Here, Thread, CurrentApcEnvironment, ApcKernel, NULL, NULL, KernelMode, NULL);
    KeInsertQueueApc(&Own, NULL, NULL, 0);
    LONG Held = ApcRuns;
    KeInsertQueueApc(&Here, NULL, NULL, 0);
    LONG Delivered = ApcRuns;
    PVOID Where = ApcProcess;
    KeUnstackDetachProcess(&State);
    ObDereferenceObject(Process);
    KTAP_EQUAL(Held, 0);
    KTAP_EQUAL(Delivered, 1);
    KTAP_CHECK(Where == Process);
    KTAP_EQUAL(ApcRuns, 2);
    KTAP_CHECK(ApcProcess == PsInitialSystemProcess);
}

static VOID Visitor(ULONG Number)
{
    ULONG64 Seed = Number + 1, Rounds = KtapIterations(30000) / TestRacers();
    KAPC_STATE State;

    for (ULONG64 i = 0; i < Rounds; i++) {
        ULONG Which = TestRandom(&Seed) % VISITED;
        KeStackAttachProcess(&Visited[Which]->Pcb, &State);
        Wrong += ReadPage() != 100 + Which;
        if (i % 16 == 0) {
            ZwYieldExecution();
            Wrong += ReadPage() != 100 + Which;
        }
        Wrong += (Visited[Which]->Pcb.ActiveProcessors >> KeGetCurrentProcessorNumberEx(NULL) & 1) == 0 &&
                 KeGetCurrentIrql() >= DISPATCH_LEVEL;
        KeUnstackDetachProcess(&State);
    }
}

static VOID VisitRace(PKTAP_CONTEXT Ktap)
{
    KAPC_STATE State;
    ULONG Count;

    Wrong = 0;
    for (Count = 0; Count < VISITED; Count++) {
        KTAP_EQUAL(PspCreateProcess(&Visited[Count], "visited"), STATUS_SUCCESS);
        KeStackAttachProcess(&Visited[Count]->Pcb, &State);
        NTSTATUS Status = MakePage(100 + Count);
        KeUnstackDetachProcess(&State);
        KTAP_EQUAL(Status, STATUS_SUCCESS);
    }
    BOOLEAN Through = TestParallel(TestRacers(), Visitor);
    for (Count = 0; Count < VISITED; Count++) {
        Wrong += Visited[Count]->Pcb.ActiveProcessors != 0;
        ObDereferenceObject(Visited[Count]);
    }
    KTAP_CHECK(Through);
    KTAP_EQUAL(Wrong, 0);
}

static const KTAP_CASE_ENTRY Cases[] = {{"life", Life}, {"identity", Identity}, {"handles", Handles}};
KTAP_SUITE(PsProcessSuite, "ps.process", Cases);

static const KTAP_CASE_ENTRY NotifyCases[] = {
    {"calls", Notify}, {"program", ProgramNotify}, {"refusal", Refusal}, {"images", Images}};
KTAP_SUITE(PsNotifySuite, "ps.notify", NotifyCases);

static const KTAP_CASE_ENTRY AttachCases[] = {{"nested", Nested}, {"environments", Environments}, {"race", VisitRace}};
KTAP_SUITE(KeAttachSuite, "ke.attach", AttachCases);
