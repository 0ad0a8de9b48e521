/*
 * race.c - several threads on pipes: data arrives whole and in order, whatever ends requests ends each once, nobody hangs.
 *
 * A thread that fails, for want of memory say, closes its end, so that its partners do not wait for it and the case fails instead.
 * A case that loses a request or a byte does not end, or counts wrong. A process that is killed while it waits on a pipe in every way is
 * a case here too: it starts upipe with the word `held`. Cases of the suite upipe.c.
 */
#include "upipe.h"

#define PIPES  L"\\Device\\NamedPipe\\"
#define IMAGE  L"\\SystemRoot\\System\\upipe.exe"
#define ROUNDS 40
#define STREAM 20000 /* bytes */

static HANDLE Ends[2];

/* ---- A stream of bytes through a small quota ---- */

static NTSTATUS NTAPI StreamWriter(PVOID Context)
{
    UCHAR Block[150];
    IO_STATUS_BLOCK Block2;
    ULONG Seed = 7, Sent = 0;

    UNREFERENCED_PARAMETER(Context);
    while (Sent < STREAM) {
        ULONG Wish = NextRandom(&Seed) % sizeof(Block) + 1, Bytes = min(Wish, STREAM - Sent);

        for (ULONG Index = 0; Index < Bytes; Index++) {
            Block[Index] = (UCHAR)((Sent + Index) * 31);
        }
        if (NtWriteFile(Ends[1], NULL, NULL, NULL, &Block2, Block, Bytes, NULL, NULL) != STATUS_SUCCESS ||
            Block2.Information != Bytes) {
            break; /* its reader sees that something is missing */
        }
        Sent += Bytes;
    }
    return NtClose(Ends[1]);
}

static ULONG Stream(VOID)
{
    const PIPE_KIND Kind = {.Name = PIPES L"upipe.stream", .Quota = 100};
    UCHAR Block[130];
    ULONG Seed = 3, Place = 0;
    HANDLE Thread;
    NTSTATUS Status;

    CHECK(MakePair(&Kind, &Ends[0], &Ends[1]) == 0);
    Thread = StartThread((PVOID)StreamWriter, NULL, 0);
    CHECK(Thread != NULL);
    while ((Status = Get(Ends[0], Block, NextRandom(&Seed) % sizeof(Block) + 1)) == STATUS_SUCCESS) {
        for (ULONG Index = 0; Index < Iosb.Information; Index++, Place++) {
            CHECK(Block[Index] == (UCHAR)(Place * 31));
        }
    }
    CHECK(Status == STATUS_PIPE_BROKEN && Place == STREAM && Join(Thread) == 0);
    CHECK(NtClose(Ends[0]) == STATUS_SUCCESS);
    return 0;
}

/* ---- Messages of several writers to several readers ---- */

static volatile LONG Received, Sum;

static NTSTATUS NTAPI MessageWriter(PVOID Context)
{
    IO_STATUS_BLOCK Block;

    UNREFERENCED_PARAMETER(Context);
    for (ULONG Number = 1; Number <= ROUNDS; Number++) {
        ULONG Message[3] = {Number, ~Number, Number * 5};

        if (NtWriteFile(Ends[1], NULL, NULL, NULL, &Block, Message, sizeof(Message), NULL, NULL) == STATUS_PENDING) {
            NtWaitForSingleObject(Ends[1], FALSE, NULL);
        }
    }
    return STATUS_SUCCESS;
}

/* One that cannot go on closes its end, so that nobody waits for it. */
static NTSTATUS NTAPI MessageReader(PVOID Context)
{
    IO_STATUS_BLOCK Block;
    ULONG Message[3];
    HANDLE End;

    UNREFERENCED_PARAMETER(Context);
    while (NtReadFile(Ends[0], NULL, NULL, NULL, &Block, Message, sizeof(Message), NULL, NULL) == STATUS_SUCCESS &&
           Block.Information == sizeof(Message) && Message[1] == ~Message[0] && Message[2] == Message[0] * 5) {
        InterlockedIncrement(&Received);
        InterlockedExchangeAdd(&Sum, (LONG)Message[0]);
        if (Message[0] == 0) {
            return STATUS_SUCCESS;
        }
    }
    End = InterlockedExchangePointer(&Ends[0], NULL);
    return End != NULL ? NtClose(End) : STATUS_SUCCESS;
}

static ULONG ManyThreads(VOID)
{
    const PIPE_KIND Kind = {.Name = PIPES L"upipe.many", .Quota = 50, .Type = FILE_PIPE_MESSAGE_TYPE};
    HANDLE Reader[2];
    ULONG Last[3] = {0, ~0U, 0};

    CHECK(MakePair(&Kind, &Ends[0], &Ends[1]) == 0);
    Received = Sum = 0;
    Reader[0] = StartThread((PVOID)MessageReader, NULL, 0);
    Reader[1] = StartThread((PVOID)MessageReader, NULL, 0);
    CHECK(Reader[0] != NULL && Reader[1] != NULL);
    CHECK(RunThreads((PVOID)MessageWriter, NULL, 3) == 0);
    CHECK(Put(Ends[1], Last, sizeof(Last)) == STATUS_SUCCESS && Put(Ends[1], Last, sizeof(Last)) == STATUS_SUCCESS);
    CHECK(Join(Reader[0]) == 0 && Join(Reader[1]) == 0);
    CHECK(Received == 3 * ROUNDS + 2 && Sum == 3 * ROUNDS * (ROUNDS + 1) / 2);
    CHECK(NtClose(Ends[1]) == STATUS_SUCCESS && NtClose(Ends[0]) == STATUS_SUCCESS);
    return 0;
}

/* ---- Cancellation against completion ---- */

static NTSTATUS NTAPI OneWriter(PVOID Context)
{
    IO_STATUS_BLOCK Block;

    UNREFERENCED_PARAMETER(Context);
    for (ULONG Round = 0; Round < ROUNDS; Round++) {
        if (NtWriteFile(Ends[1], NULL, NULL, NULL, &Block, &Round, sizeof(Round), NULL, NULL) != STATUS_SUCCESS) {
            return NtClose(Ends[1]); /* a reader that waits for this one's rest sees a broken pipe */
        }
        NtYieldExecution();
    }
    return STATUS_SUCCESS;
}

/* A read that is cancelled has taken nothing; one that was done has taken its number: all arrive, in order. */
static ULONG CancelRace(VOID)
{
    PIPE_KIND Kind = {.Name = PIPES L"upipe.cancel", .Quota = 4096, .Asynchronous = TRUE};
    IO_STATUS_BLOCK Block, Ignored;
    HANDLE Thread;
    ULONG Next = 0;

    CHECK(MakePair(&Kind, &Ends[0], &Ends[1]) == 0);
    Thread = StartThread((PVOID)OneWriter, NULL, 0);
    CHECK(Thread != NULL);
    while (Next < ROUNDS) {
        ULONG Number = MAXULONG;
        NTSTATUS Status;

        Block.Status = STATUS_PENDING;
        Status = NtReadFile(Ends[0], NULL, NULL, NULL, &Block, &Number, sizeof(Number), NULL, NULL);
        if (Status == STATUS_PENDING) {
            CHECK(NtCancelIoFile(Ends[0], &Ignored) == STATUS_SUCCESS);
            Status = Block.Status;
        }
        CHECK(Status == STATUS_SUCCESS || Status == STATUS_CANCELLED);
        CHECK((Status == STATUS_CANCELLED && Number == MAXULONG) || Number == Next);
        Next += (Status == STATUS_SUCCESS) ? 1 : 0;
    }
    CHECK(Join(Thread) == 0);
    CHECK(NtClose(Ends[1]) == STATUS_SUCCESS && NtClose(Ends[0]) == STATUS_SUCCESS);
    return 0;
}

/* ---- Connecting, disconnecting and closing, with clients that come and go ---- */

static volatile LONG Stop;

static NTSTATUS NTAPI Visitor(PVOID Context)
{
    static UNICODE_STRING Name = RTL_CONSTANT_STRING(PIPES L"upipe.visit");
    OBJECT_ATTRIBUTES Attributes = {.Length = sizeof(Attributes), .ObjectName = &Name};
    IO_STATUS_BLOCK Block;
    HANDLE Client;
    CHAR Byte = 'v';

    UNREFERENCED_PARAMETER(Context);
    while (!Stop) {
        if (NT_SUCCESS(NtOpenFile(&Client, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &Attributes, &Block, 3,
                                  FILE_SYNCHRONOUS_IO_NONALERT))) {
            if (NT_SUCCESS(NtWriteFile(Client, NULL, NULL, NULL, &Block, &Byte, 1, NULL, NULL))) {
                NtReadFile(Client, NULL, NULL, NULL, &Block, &Byte, 1, NULL, NULL); /* until it is thrown out */
            }
            NtClose(Client); /* one that could not write leaves at once: the server sees a broken pipe */
        } else {
            NtYieldExecution();
        }
    }
    return STATUS_SUCCESS;
}

static ULONG Serve(HANDLE Server)
{
    CHAR Byte;

    for (ULONG Served = 0; Served < ROUNDS; Served++) {
        NTSTATUS Status = Control(Server, FSCTL_PIPE_LISTEN, NULL, 0, NULL, 0);

        CHECK(Status == STATUS_SUCCESS || Status == STATUS_PIPE_CONNECTED);
        CHECK(Get(Server, &Byte, 1) == STATUS_SUCCESS && Byte == 'v');
        CHECK(Control(Server, FSCTL_PIPE_DISCONNECT, NULL, 0, NULL, 0) == STATUS_SUCCESS);
    }
    return 0;
}

/* Whatever fails, the visitors end before the case does: a server that is closed throws out who is there. */
static ULONG Visitors(VOID)
{
    const PIPE_KIND Kind = {.Name = PIPES L"upipe.visit"};
    HANDLE Server, Thread[3];
    ULONG Started = 0, Line;

    Stop = FALSE;
    CHECK(MakeServer(&Kind, &Server) == STATUS_SUCCESS);
    while (Started < RTL_NUMBER_OF(Thread) && (Thread[Started] = StartThread((PVOID)Visitor, NULL, 0)) != NULL) {
        Started++;
    }
    Line = Started == RTL_NUMBER_OF(Thread) ? Serve(Server) : __LINE__;
    Stop = TRUE;
    CHECK(NtClose(Server) == STATUS_SUCCESS);
    for (ULONG Index = 0; Index < Started; Index++) {
        CHECK(Join(Thread[Index]) == 0);
    }
    return Line;
}

/* ---- Threads and processes that end ---- */

static NTSTATUS NTAPI PendAndGo(PVOID Context)
{
    static IO_STATUS_BLOCK Block[2];
    static CHAR Got[8], Large[200];

    UNREFERENCED_PARAMETER(Context);
    NtReadFile(Ends[0], NULL, NULL, NULL, &Block[0], Got, sizeof(Got), NULL, NULL);
    NtWriteFile(Ends[0], NULL, NULL, NULL, &Block[1], Large, sizeof(Large), NULL, NULL);
    return STATUS_SUCCESS;
}

/* What a thread has under way ends with it, at once. */
static ULONG ThreadEnds(VOID)
{
    const PIPE_KIND Kind = {.Name = PIPES L"upipe.thread", .Quota = 100, .Asynchronous = TRUE};
    CHAR Got[8];

    CHECK(MakePair(&Kind, &Ends[0], &Ends[1]) == 0);
    CHECK(RunThreads((PVOID)PendAndGo, NULL, 1) == 0);
    CHECK(SetModes(Ends[1], 0, FILE_PIPE_COMPLETE_OPERATION) == STATUS_SUCCESS);
    CHECK(Get(Ends[1], Got, 8) == STATUS_PIPE_EMPTY);                                        /* its write is gone */
    CHECK(Put(Ends[1], "x", 1) == STATUS_SUCCESS && Get(Ends[0], Got, 8) == STATUS_SUCCESS); /* and its read */
    CHECK(NtClose(Ends[1]) == STATUS_SUCCESS && NtClose(Ends[0]) == STATUS_SUCCESS);
    return 0;
}

static NTSTATUS NTAPI HeldReader(PVOID Context)
{
    IO_STATUS_BLOCK Block;
    CHAR Byte;

    return NtReadFile(*(PHANDLE)Context, NULL, NULL, NULL, &Block, &Byte, 1, NULL, NULL);
}

/* The process that is killed: a synchronous read, one that waits for it to end, a listen and asynchronous requests. */
NTSTATUS BeHeld(VOID)
{
    const PIPE_KIND Kind = {.Name = PIPES L"upipe.held"}, Other = {.Name = PIPES L"upipe.held2", .Asynchronous = TRUE};
    static HANDLE Server[2], Client[2];

    if (MakePair(&Kind, &Server[0], &Client[0]) != 0 || MakePair(&Other, &Server[1], &Client[1]) != 0) {
        return STATUS_UNSUCCESSFUL;
    }
    Ends[0] = Server[1];
    PendAndGo(NULL);
    StartThread((PVOID)HeldReader, &Server[0], 0);
    StartThread((PVOID)HeldReader, &Server[0], 0);
    return HeldReader(&Client[0]);
}

static ULONG ProcessKilled(VOID)
{
    RTL_USER_PROCESS_PARAMETERS Parameters = {.Flags = RTL_USER_PROC_PARAMS_NORMALIZED};
    PS_ATTRIBUTE_LIST List = {
        sizeof(List),
        {{.Attribute = PS_ATTRIBUTE_IMAGE_NAME, .Size = sizeof(IMAGE) - sizeof(WCHAR), .ValuePtr = IMAGE}}};
    LARGE_INTEGER Short = {.QuadPart = -100000}, Long = {.QuadPart = -50000000};
    HANDLE Process, Thread, Client;

    RtlInitUnicodeString(&Parameters.CommandLine, L"upipe held");
    RtlInitUnicodeString(&Parameters.ImagePathName, IMAGE);
    CHECK(NtCreateUserProcess(&Process, &Thread, PROCESS_ALL_ACCESS, THREAD_ALL_ACCESS, NULL, NULL, 0, 0, &Parameters,
                              NULL, &List) == STATUS_SUCCESS);
    while (OpenClient(PIPES L"upipe.held2", GENERIC_READ, FALSE, &Client) != STATUS_PIPE_NOT_AVAILABLE) {
        CHECK(NtWaitForSingleObject(Process, FALSE, &Short) == STATUS_TIMEOUT); /* until it has made its pipes */
    }
    CHECK(NtWaitForSingleObject(Process, FALSE, &Short) == STATUS_TIMEOUT);
    CHECK(NtTerminateProcess(Process, STATUS_CANCELLED) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Process, FALSE, &Long) == STATUS_SUCCESS);
    CHECK(OpenClient(PIPES L"upipe.held", GENERIC_READ, FALSE, &Client) == STATUS_OBJECT_NAME_NOT_FOUND);
    CHECK(NtClose(Thread) == STATUS_SUCCESS && NtClose(Process) == STATUS_SUCCESS);
    return 0;
}

const USER_CASE RaceCases[] = {
    {"user.pipe.stream", Stream},          {"user.pipe.many_threads", ManyThreads},
    {"user.pipe.cancel_race", CancelRace}, {"user.pipe.visitors", Visitors},
    {"user.pipe.thread_ends", ThreadEnds}, {"user.pipe.process_killed", ProcessKilled},
};
const ULONG RaceCount = RTL_NUMBER_OF(RaceCases);
