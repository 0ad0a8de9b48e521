/*
 * mm_collide.c - suite mm.collide: several threads of several processes fault on one page of a view that is not in memory.
 *
 * The gate of the pattern file system holds the first in its paging read until the others wait for the same page, so every case is
 * deterministic. Views of a file and of an image (ntdll.dll, whose bytes the file system is given). Threads are the kernel's, attached, or run
 * a few instructions in ring 3: read the word, end with it as exit status. Some of these are terminated while they wait.
 */
#include "../../src/ps/psp.h"
#include "ketest.h"
#include "proctest.h"
#include "testfs.h"

#define COLLIDERS  4u
#define FILE_PAGES 16u
#define FAULT_PAGE 5u

extern const PVOID KiServiceTable[];
extern const ULONG KiServiceCount;

typedef struct _COLLIDER {
    PEPROCESS Process;
    PVOID Address;
    ULONG64 Value;
    NTSTATUS Status;
    PETHREAD Thread;
} COLLIDER, *PCOLLIDER;

/* What a case has; static, since the threads of one that failed may still run. */
static TESTFS_FILE File;
static KEVENT Gate;
static ULONG64 Before; /* collided faults when the case began */
static COLLIDER Collider[COLLIDERS];

static VOID NTAPI ReadThread(PVOID Context)
{
    PCOLLIDER Own = Context;
    KAPC_STATE State;

    KeStackAttachProcess((PVOID)Own->Process, &State);
    Own->Status = TestRead(Own->Address, &Own->Value);
    KeUnstackDetachProcess(&State);
}

static BOOLEAN StartReader(PCOLLIDER Reader, PEPROCESS Process, PVOID Address)
{
    *Reader = (COLLIDER){.Process = Process, .Address = Address, .Status = STATUS_PENDING};
    return NT_SUCCESS(PspCreateSystemThread(&Reader->Thread, ReadThread, Reader, 8));
}

/* Until one read stands at the gate and so many faults wait for it. */
static BOOLEAN WaitForCollisions(ULONG Waiting)
{
    for (ULONG Turn = 0; Turn < 500; Turn++) {
        if (File.Waiting == 1 && MmFaultCounters.Collided >= Before + Waiting) {
            return TRUE;
        }
        TestSleep(TEST_SECOND / 100);
    }
    return FALSE;
}

static VOID CloseGate(VOID)
{
    KeInitializeEvent(&Gate, NotificationEvent, FALSE);
    File.Gate = &Gate;
    Before = MmFaultCounters.Collided;
}

static VOID OpenGate(VOID)
{
    KeSetEvent(&Gate, IO_NO_INCREMENT, FALSE);
}

static BOOLEAN JoinReader(PCOLLIDER Reader)
{
    BOOLEAN Ended = TestWait(Reader->Thread) == STATUS_SUCCESS;

    ObDereferenceObject(Reader->Thread);
    return Ended;
}

/* The word of the file, or of its content, at an offset. */
static ULONG64 WordAt(ULONG64 Offset)
{
    ULONG64 Word = 0;

    for (ULONG Byte = 0; Byte < sizeof(Word); Byte++) {
        Word |= (ULONG64)TestFsByte(&File, Offset + Byte) << 8 * Byte;
    }
    return Word;
}

static PVOID MapInto(PEPROCESS Process, PVOID Section)
{
    PVOID Base = NULL;
    SIZE_T Size = 0;

    return NT_SUCCESS(MmMapViewOfSection(Section, Process, &Base, 0, 0, NULL, &Size, ViewUnmap, 0, PAGE_EXECUTE_READ))
               ? Base
               : NULL;
}

/* The section of the file; NULL: memory is short. */
static PVOID MakeSection(ULONG64 Bytes, ULONG Seed, const UCHAR *Content, ULONG Attributes)
{
    PVOID Section = NULL;

    if (!NT_SUCCESS(TestFsOpen(&File, Bytes, Seed))) {
        return NULL;
    }
    File.Content = Content;
    MmCreateSection(&Section, SECTION_ALL_ACCESS, NULL, NULL, PAGE_EXECUTE_READ, Attributes, NULL, File.FileObject);
    return Section;
}

/* Two threads of each of two processes read one page. TRUE: they met, and all of them ended. */
static BOOLEAN MeetAtPage(PEPROCESS *Process, PVOID *Base, ULONG64 Offset)
{
    BOOLEAN Met = TRUE;

    CloseGate();
    for (ULONG Index = 0; Index < COLLIDERS; Index++) {
        Met = Met && StartReader(&Collider[Index], Process[Index % 2], (PUCHAR)Base[Index % 2] + Offset);
    }
    Met = Met && WaitForCollisions(COLLIDERS - 1);
    OpenGate();
    for (ULONG Index = 0; Index < COLLIDERS && Collider[Index].Thread != NULL; Index++) {
        Met = JoinReader(&Collider[Index]) && Met;
    }
    File.Gate = NULL;
    return Met;
}

/* ---- Views of a file ---- */

static VOID CollideShared(PKTAP_CONTEXT Ktap)
{
    PEPROCESS Process[2] = {KTAP_WHOLE(TestCreateProcess()), KTAP_WHOLE(TestCreateProcess())};
    PVOID Section = KTAP_WHOLE(MakeSection(FILE_PAGES * PAGE_SIZE, 61, NULL, SEC_COMMIT)), Base[2];
    ULONG64 Offset = FAULT_PAGE * PAGE_SIZE;

    KTAP_CHECK(Process[0] != NULL && Process[1] != NULL && Section != NULL);
    Base[0] = KTAP_WHOLE(MapInto(Process[0], Section));
    Base[1] = KTAP_WHOLE(MapInto(Process[1], Section));
    KTAP_CHECK(Base[0] != NULL && Base[1] != NULL);
    KTAP_CHECK(KTAP_WHOLE(MeetAtPage(Process, Base, Offset)));
    for (ULONG Index = 0; Index < COLLIDERS; Index++) {
        KTAP_EQUAL(Collider[Index].Status, STATUS_SUCCESS);
        KTAP_EQUAL(Collider[Index].Value, WordAt(Offset));
    }
    KTAP_EXACT(File.Reads, 1);
    KTAP_EQUAL(MiVerify(), 0);
    TestDeleteProcess(Process[0]);
    TestDeleteProcess(Process[1]);
    ObDereferenceObject(Section);
    KTAP_CHECK(KTAP_WHOLE(TestFsClose(&File)));
}

/* The read fails: everybody is told, nobody sees a byte of it, and the next attempt reads anew. */
static VOID CollideError(PKTAP_CONTEXT Ktap)
{
    PEPROCESS Process[2] = {KTAP_WHOLE(TestCreateProcess()), KTAP_WHOLE(TestCreateProcess())};
    PVOID Section = KTAP_WHOLE(MakeSection(PAGE_SIZE, 62, NULL, SEC_COMMIT)), Base[2];

    KTAP_CHECK(Process[0] != NULL && Process[1] != NULL && Section != NULL);
    Base[0] = KTAP_WHOLE(MapInto(Process[0], Section));
    Base[1] = KTAP_WHOLE(MapInto(Process[1], Section));
    KTAP_CHECK(Base[0] != NULL && Base[1] != NULL);
    File.FailStatus = STATUS_DEVICE_DATA_ERROR;
    File.FailCount = 1;
    KTAP_CHECK(KTAP_WHOLE(MeetAtPage(Process, Base, 0)));
    for (ULONG Index = 0; Index < COLLIDERS; Index++) {
        KTAP_EQUAL(Collider[Index].Status, STATUS_IN_PAGE_ERROR);
    }
    KTAP_EXACT(File.Reads, 1);
    KTAP_EQUAL(MiSpaceOf(Process[0])->WorkingSet + MiSpaceOf(Process[1])->WorkingSet, 0);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_CHECK(KTAP_WHOLE(StartReader(&Collider[0], Process[1], Base[1])) && KTAP_WHOLE(JoinReader(&Collider[0])));
    KTAP_EQUAL(Collider[0].Status, STATUS_SUCCESS);
    KTAP_EQUAL(Collider[0].Value, WordAt(0));
    TestDeleteProcess(Process[0]);
    TestDeleteProcess(Process[1]);
    ObDereferenceObject(Section);
    KTAP_CHECK(KTAP_WHOLE(TestFsClose(&File)));
}

/* ---- A view of an image ---- */

static const UNICODE_STRING ImagePath = RTL_CONSTANT_STRING(L"\\SystemRoot\\System\\ntdll.dll");

/* The last page of the image's code: far from headers and relocations, which are read when the section is made. */
static ULONG64 LastCodePage(PVOID Section, PULONG64 FileOffset)
{
    const MI_IMAGE *Image = ((PSECTION)Section)->ControlArea->Image;

    for (ULONG Index = 0; Index < Image->Parts; Index++) {
        const MI_IMAGE_PART *Part = &Image->Part[Index];

        if ((Part->Protection & MI_PROTECT_EXECUTE) != 0 && Part->Pages > 1) {
            *FileOffset = Part->FileOffset + (Part->Pages - 2) * PAGE_SIZE;
            return (Part->StartingPage + Part->Pages - 2) * PAGE_SIZE;
        }
    }
    return 0;
}

static VOID CollideImage(PKTAP_CONTEXT Ktap)
{
    PEPROCESS Process[2] = {KTAP_WHOLE(TestCreateProcess()), KTAP_WHOLE(TestCreateProcess())};
    ULONG64 Offset, InFile = 0;
    PVOID Content, Section, Base[2];
    ULONG Bytes;
    LONG Reads;

    KTAP_EQUAL(KTAP_WHOLE(MmReadImageFile(&ImagePath, &Content, &Bytes)), STATUS_SUCCESS);
    Section = KTAP_WHOLE(MakeSection(Bytes, 0, Content, SEC_IMAGE));
    KTAP_CHECK(Process[0] != NULL && Process[1] != NULL && Section != NULL);
    Base[0] = KTAP_WHOLE(MapInto(Process[0], Section));
    Base[1] = KTAP_WHOLE(MapInto(Process[1], Section));
    Offset = LastCodePage(Section, &InFile);
    KTAP_CHECK(Base[0] != NULL && Base[0] == Base[1] && Offset != 0);
    Reads = File.Reads;
    KTAP_CHECK(KTAP_WHOLE(MeetAtPage(Process, Base, Offset)));
    for (ULONG Index = 0; Index < COLLIDERS; Index++) {
        KTAP_EQUAL(Collider[Index].Status, STATUS_SUCCESS);
        KTAP_EQUAL(Collider[Index].Value, WordAt(InFile));
    }
    KTAP_CHECK(Ktap->Faults || File.Reads - Reads <= 2); /* a cluster of the image lies in at most two of the file */
    KTAP_EQUAL(MiVerify(), 0);
    TestDeleteProcess(Process[0]);
    TestDeleteProcess(Process[1]);
    ObDereferenceObject(Section);
    KTAP_CHECK(KTAP_WHOLE(TestFsClose(&File)));
    ExFreePool(Content);
}

/* ---- Threads of programs ---- */

#define USER_CODE  0x10000000ULL
#define USER_ENDED 0x00C0111DUL /* the exit status of those who are terminated */

/* mov rax, [rcx]; mov edx, eax; xor ecx, ecx; mov r10, rcx; mov eax, NtTerminateThread; syscall */
static UCHAR Code[] = {0x48, 0x8B, 0x01, 0x89, 0xC2, 0x31, 0xC9, 0x49, 0x89, 0xCA, 0xB8, 0, 0, 0, 0, 0x0F, 0x05};
#define CODE_NUMBER 11

static BOOLEAN PrepareCode(VOID)
{
    for (ULONG Number = 0; Number < KiServiceCount; Number++) {
        if (KiServiceTable[Number] == (PVOID)NtTerminateThread) {
            RtlCopyMemory(Code + CODE_NUMBER, &Number, sizeof(Number));
            return TRUE;
        }
    }
    return FALSE;
}

/* A process that has nothing but the code and a view. */
static PEPROCESS MakeProgram(PVOID Section, PVOID *Base)
{
    PSP_NEW_PROCESS Wanted = {.Name = "collide"};
    PVOID Place = (PVOID)USER_CODE;
    SIZE_T Size = PAGE_SIZE;
    PEPROCESS Process;
    KAPC_STATE State;
    NTSTATUS Status;

    if (!PrepareCode() || !NT_SUCCESS(PspCreateProcessFrom(&Wanted, &Process))) {
        return NULL;
    }
    KeStackAttachProcess((PVOID)Process, &State);
    Status = TestAllocate(&Place, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE);
    if (NT_SUCCESS(Status)) {
        Status = MmCopyToUser(Place, Code, sizeof(Code));
    }
    KeUnstackDetachProcess(&State);
    *Base = MapInto(Process, Section);
    return NT_SUCCESS(Status) && *Base != NULL ? Process : NULL;
}

static BOOLEAN StartProgramThread(PEPROCESS Process, PVOID Address, PETHREAD *Thread)
{
    PSP_USER_START Start = {.Rip = USER_CODE, .Rsp = USER_CODE + PAGE_SIZE - 64, .Rcx = (ULONG64)Address};

    if (!NT_SUCCESS(PspCreateUserThread(Process, &Start, Thread))) {
        return FALSE;
    }
    KeReadyThread(&(*Thread)->Tcb);
    return TRUE;
}

/* Threads of a program, and a reader in another process, fault on one page whose read waits at the gate; in this order. */
static BOOLEAN StartCollision(PEPROCESS Program, PVOID Address, PETHREAD *Thread, ULONG Threads, PEPROCESS Other,
                              PVOID OtherAddress)
{
    CloseGate();
    for (ULONG Index = 0; Index < Threads; Index++) {
        if (!StartProgramThread(Program, Address, &Thread[Index]) || !WaitForCollisions(Index)) {
            return FALSE;
        }
    }
    return StartReader(&Collider[0], Other, OtherAddress) && WaitForCollisions(Threads);
}

static VOID Terminate(PETHREAD Thread)
{
    Thread->ExitStatus = USER_ENDED;
    KeRequestThreadExit(&Thread->Tcb);
}

/* The thread that reads and one that waits for it are terminated; a third one and another process get the page all the same. */
static VOID CollideTerminated(PKTAP_CONTEXT Ktap)
{
    PVOID Section = KTAP_WHOLE(MakeSection(FILE_PAGES * PAGE_SIZE, 63, NULL, SEC_COMMIT)), Base, OtherBase;
    PEPROCESS Program = KTAP_WHOLE(MakeProgram(Section, &Base)), Other = KTAP_WHOLE(TestCreateProcess());
    ULONG64 Offset = FAULT_PAGE * PAGE_SIZE;
    PETHREAD Thread[3];

    KTAP_CHECK(Section != NULL && Program != NULL && Other != NULL);
    OtherBase = KTAP_WHOLE(MapInto(Other, Section));
    KTAP_CHECK(OtherBase != NULL);
    KTAP_CHECK(KTAP_WHOLE(StartCollision(Program, (PUCHAR)Base + Offset, Thread, RTL_NUMBER_OF(Thread), Other,
                                         (PUCHAR)OtherBase + Offset)));
    Terminate(Thread[0]);                            /* reads */
    Terminate(Thread[1]);                            /* waits */
    KTAP_EQUAL(TestPoll(Thread[0]), STATUS_TIMEOUT); /* the read is not given up in the middle */
    OpenGate();
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Thread); Index++) {
        KTAP_EQUAL(TestWait(Thread[Index]), STATUS_SUCCESS);
        KTAP_EQUAL((ULONG)Thread[Index]->ExitStatus, Index < 2 ? USER_ENDED : (ULONG)WordAt(Offset));
        ObDereferenceObject(Thread[Index]);
    }
    KTAP_CHECK(KTAP_WHOLE(JoinReader(&Collider[0])));
    KTAP_EQUAL(Collider[0].Value, WordAt(Offset));
    KTAP_EQUAL(TestWait(Program), STATUS_SUCCESS);
    KTAP_EXACT(File.Reads, 1);
    KTAP_EQUAL(MiVerify(), 0);
    ObDereferenceObject(Program);
    TestDeleteProcess(Other);
    ObDereferenceObject(Section);
    KTAP_CHECK(KTAP_WHOLE(TestFsClose(&File)));
}

/* A process ends while its page is being read by it for all: it waits for the read, the others have the page. */
static VOID CollideEnded(PKTAP_CONTEXT Ktap)
{
    PVOID Section = KTAP_WHOLE(MakeSection(FILE_PAGES * PAGE_SIZE, 64, NULL, SEC_COMMIT)), Base, OtherBase;
    PEPROCESS Program = KTAP_WHOLE(MakeProgram(Section, &Base)), Other = KTAP_WHOLE(TestCreateProcess());
    ULONG64 Offset = FAULT_PAGE * PAGE_SIZE;
    PETHREAD Thread[2];

    KTAP_CHECK(Section != NULL && Program != NULL && Other != NULL);
    OtherBase = KTAP_WHOLE(MapInto(Other, Section));
    KTAP_CHECK(OtherBase != NULL);
    KTAP_CHECK(KTAP_WHOLE(StartCollision(Program, (PUCHAR)Base + Offset, Thread, RTL_NUMBER_OF(Thread), Other,
                                         (PUCHAR)OtherBase + Offset)));
    ObDereferenceObject(Section); /* views and the read keep what they need */
    KTAP_CHECK(PspTerminateProcess(Program, STATUS_PROCESS_IS_TERMINATING));
    KTAP_EQUAL(TestPoll(Program), STATUS_TIMEOUT);
    OpenGate();
    KTAP_EQUAL(TestWait(Program), STATUS_SUCCESS);
    KTAP_EQUAL(Program->ExitStatus, STATUS_PROCESS_IS_TERMINATING);
    KTAP_CHECK(KTAP_WHOLE(JoinReader(&Collider[0])));
    KTAP_EQUAL(Collider[0].Status, STATUS_SUCCESS);
    KTAP_EQUAL(Collider[0].Value, WordAt(Offset));
    KTAP_EXACT(File.Reads, 1);
    KTAP_EQUAL(MiVerify(), 0);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Thread); Index++) {
        ObDereferenceObject(Thread[Index]);
    }
    ObDereferenceObject(Program);
    TestDeleteProcess(Other);
    KTAP_CHECK(KTAP_WHOLE(TestFsClose(&File)));
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"shared", CollideShared},         {"error", CollideError}, {"image", CollideImage},
    {"terminated", CollideTerminated}, {"ended", CollideEnded},
};
KTAP_SUITE(MmCollideSuite, "mm.collide", Cases);
