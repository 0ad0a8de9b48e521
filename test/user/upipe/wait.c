/*
 * wait.c - requests on pipes that wait: how each ends, what it says then, and how the program learns of it.
 *
 * Asynchronous ends and one thread: a request is begun, seen pending, and ended by what the other end does or by
 * cancellation. Information, peeking, transceiving and listing are here too. Cases of the suite upipe.c.
 */
#include "upipe.h"

#define PIPES L"\\Device\\NamedPipe\\"

static const PIPE_KIND Bytes = {.Name = PIPES L"upipe.wait", .Asynchronous = TRUE, .Quota = 64, .Maximum = 4};
static const PIPE_KIND Messages = {
    .Name = PIPES L"upipe.talk", .Asynchronous = TRUE, .Quota = 64, .Type = FILE_PIPE_MESSAGE_TYPE};

/* A request under way. */
typedef struct _REQUEST {
    IO_STATUS_BLOCK Iosb;
    HANDLE Event;
    NTSTATUS Begun; /* what the service returned */
} REQUEST;

static REQUEST Begin(VOID)
{
    REQUEST Request = {.Iosb = {.Status = STATUS_PENDING}};

    NtCreateEvent(&Request.Event, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE);
    return Request;
}

static VOID BeginRead(REQUEST *Request, HANDLE File, PVOID Buffer, ULONG Bytes2)
{
    *Request = Begin();
    Request->Begun = NtReadFile(File, Request->Event, NULL, NULL, &Request->Iosb, Buffer, Bytes2, NULL, NULL);
}

static VOID BeginWrite(REQUEST *Request, HANDLE File, PVOID Buffer, ULONG Bytes2)
{
    *Request = Begin();
    Request->Begun = NtWriteFile(File, Request->Event, NULL, NULL, &Request->Iosb, Buffer, Bytes2, NULL, NULL);
}

static VOID BeginControl(REQUEST *Request, HANDLE File, ULONG Code)
{
    *Request = Begin();
    Request->Begun = NtFsControlFile(File, Request->Event, NULL, NULL, &Request->Iosb, Code, NULL, 0, NULL, 0);
}

/* The status a request ended with; it has to have been pending, and its event set. */
static NTSTATUS End(REQUEST *Request)
{
    LARGE_INTEGER Long = {.QuadPart = -50000000}; /* 5 s: a request that is lost fails the case */

    if (Request->Begun != STATUS_PENDING || NtWaitForSingleObject(Request->Event, FALSE, &Long) != STATUS_SUCCESS) {
        return STATUS_INTERNAL_ERROR;
    }
    NtClose(Request->Event);
    return Request->Iosb.Status;
}

static BOOLEAN IsPending(REQUEST *Request)
{
    LARGE_INTEGER Now = {.QuadPart = 0};

    return Request->Begun == STATUS_PENDING && NtWaitForSingleObject(Request->Event, FALSE, &Now) == STATUS_TIMEOUT;
}

static NTSTATUS Cancel(HANDLE File)
{
    IO_STATUS_BLOCK Block;

    return NtCancelIoFile(File, &Block);
}

/* ---- Cases ---- */

static ULONG ReadWaits(VOID)
{
    REQUEST First, Second;
    HANDLE Server, Client;
    CHAR One[4], Two[8];

    CHECK(MakePair(&Bytes, &Server, &Client) == 0);
    BeginRead(&First, Server, One, 4);
    BeginRead(&Second, Server, Two, 8);
    CHECK(IsPending(&First) && IsPending(&Second));
    CHECK(Put(Client, "abcdefg", 7) == STATUS_SUCCESS && Iosb.Information == 7); /* over both */
    CHECK(End(&First) == STATUS_SUCCESS && First.Iosb.Information == 4 && One[3] == 'd');
    CHECK(End(&Second) == STATUS_SUCCESS && Second.Iosb.Information == 3 && Two[2] == 'g');
    BeginRead(&First, Server, One, 4);
    BeginRead(&Second, Server, Two, 8);
    CHECK(Put(Client, "", 0) == STATUS_SUCCESS); /* ends one read */
    CHECK(End(&First) == STATUS_SUCCESS && First.Iosb.Information == 0 && IsPending(&Second));
    CHECK(NtClose(Client) == STATUS_SUCCESS);
    CHECK(End(&Second) == STATUS_PIPE_BROKEN);
    CHECK(NtClose(Server) == STATUS_SUCCESS);
    return 0;
}

static ULONG MessageWaits(VOID)
{
    REQUEST First, Second;
    HANDLE Server, Client;
    CHAR One[4], Two[8];

    CHECK(MakePair(&Messages, &Server, &Client) == 0);
    BeginRead(&First, Server, One, 4);
    BeginRead(&Second, Server, Two, 8);
    CHECK(Put(Client, "abcdef", 6) == STATUS_SUCCESS);
    CHECK(End(&First) == STATUS_BUFFER_OVERFLOW && First.Iosb.Information == 4);
    CHECK(End(&Second) == STATUS_SUCCESS && Second.Iosb.Information == 2);
    BeginRead(&First, Server, One, 4);
    CHECK(Put(Client, "uvwxyz", 6) == STATUS_SUCCESS);
    CHECK(End(&First) == STATUS_BUFFER_OVERFLOW);
    CHECK(Get(Server, Two, 8) == STATUS_SUCCESS && Iosb.Information == 2 && Two[0] == 'y');
    CHECK(NtClose(Client) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS);
    return 0;
}

/* What has no room waits, in order; it is done when it was read, or when the rest has room. */
static ULONG WriteWaits(VOID)
{
    REQUEST First, Second;
    HANDLE Server, Client;
    static CHAR Block[100], Got[100];

    for (ULONG Index = 0; Index < sizeof(Block); Index++) {
        Block[Index] = (CHAR)Index;
    }
    CHECK(MakePair(&Bytes, &Server, &Client) == 0);
    CHECK(Put(Client, Block, 40) == STATUS_SUCCESS);
    BeginWrite(&First, Client, Block + 40, 30);
    BeginWrite(&Second, Client, Block + 70, 10); /* would fit, but not before the first */
    CHECK(IsPending(&First) && IsPending(&Second));
    CHECK(Get(Server, Got, 5) == STATUS_SUCCESS && IsPending(&First));
    CHECK(Get(Server, Got + 5, 1) == STATUS_SUCCESS);
    CHECK(End(&First) == STATUS_SUCCESS && First.Iosb.Information == 30 && IsPending(&Second));
    CHECK(Get(Server, Got + 6, 94) == STATUS_SUCCESS && Iosb.Information == 74);
    CHECK(End(&Second) == STATUS_SUCCESS && Second.Iosb.Information == 10);
    CHECK(RtlCompareMemory(Got, Block, 80) == 80);
    BeginWrite(&First, Client, Block, 100); /* larger than the quota: read in parts */
    CHECK(Get(Server, Got, 30) == STATUS_SUCCESS && Iosb.Information == 30 && IsPending(&First));
    CHECK(Get(Server, Got, 10) == STATUS_SUCCESS && Got[9] == 39);
    CHECK(End(&First) == STATUS_SUCCESS && First.Iosb.Information == 100); /* 60 are left, which have room */
    CHECK(Get(Server, Got, 100) == STATUS_SUCCESS && Iosb.Information == 60 && Got[59] == 99);
    CHECK(NtClose(Client) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS);
    return 0;
}

/* Cancelled reads, writes, listens and flushes; the others go on. */
static ULONG Cancelling(VOID)
{
    REQUEST Read, Write, Listen, Flush;
    HANDLE Server, Client, Other;
    static CHAR Block[100], Got[100];

    CHECK(MakeServer(&Bytes, &Other) == STATUS_SUCCESS);
    BeginControl(&Listen, Other, FSCTL_PIPE_LISTEN);
    CHECK(IsPending(&Listen) && Cancel(Other) == STATUS_SUCCESS && End(&Listen) == STATUS_CANCELLED);
    CHECK(NtClose(Other) == STATUS_SUCCESS);
    CHECK(MakePair(&Bytes, &Server, &Client) == 0);
    BeginRead(&Read, Server, Got, 10);
    CHECK(Cancel(Client) == STATUS_SUCCESS && IsPending(&Read)); /* the other end's are not its */
    CHECK(Cancel(Server) == STATUS_SUCCESS && End(&Read) == STATUS_CANCELLED);
    CHECK(Put(Client, Block, 60) == STATUS_SUCCESS);
    BeginWrite(&Write, Client, Block, 20);
    Flush = Begin();
    CHECK(IsPending(&Write) && Cancel(Client) == STATUS_SUCCESS && End(&Write) == STATUS_CANCELLED);
    CHECK(NtClose(Flush.Event) == STATUS_SUCCESS);
    CHECK(Get(Server, Got, 100) == STATUS_SUCCESS && Iosb.Information == 60); /* of the cancelled one nothing */
    CHECK(Put(Client, Block, 60) == STATUS_SUCCESS);
    BeginWrite(&Write, Client, Block, 20);
    CHECK(Get(Server, Got, 10) == STATUS_SUCCESS);
    CHECK(NtClose(Client) == STATUS_SUCCESS); /* what waits to be written is kept, and cannot be cancelled */
    CHECK(End(&Write) == STATUS_SUCCESS && Write.Iosb.Information == 20);
    CHECK(Get(Server, Got, 100) == STATUS_SUCCESS && Iosb.Information == 70);
    CHECK(NtClose(Server) == STATUS_SUCCESS);
    return 0;
}

static ULONG Listening(VOID)
{
    REQUEST First, Second;
    HANDLE Server, Client;

    CHECK(MakeServer(&Bytes, &Server) == STATUS_SUCCESS);
    BeginControl(&First, Server, FSCTL_PIPE_LISTEN);
    BeginControl(&Second, Server, FSCTL_PIPE_LISTEN);
    CHECK(IsPending(&First) && IsPending(&Second));
    CHECK(OpenClient(Bytes.Name, GENERIC_READ, TRUE, &Client) == STATUS_SUCCESS);
    CHECK(End(&First) == STATUS_SUCCESS && End(&Second) == STATUS_SUCCESS);
    CHECK(Control(Server, FSCTL_PIPE_DISCONNECT, NULL, 0, NULL, 0) == STATUS_SUCCESS);
    BeginControl(&First, Server, FSCTL_PIPE_LISTEN);
    CHECK(IsPending(&First) && StateOf(Server) == FILE_PIPE_LISTENING_STATE);
    CHECK(Control(Server, FSCTL_PIPE_DISCONNECT, NULL, 0, NULL, 0) == STATUS_SUCCESS);
    CHECK(End(&First) == STATUS_PIPE_DISCONNECTED);
    BeginControl(&First, Server, FSCTL_PIPE_LISTEN);
    CHECK(NtClose(Server) == STATUS_SUCCESS && End(&First) == STATUS_PIPE_BROKEN);
    CHECK(NtClose(Client) == STATUS_SUCCESS);
    return 0;
}

/* What waits on either end when the pipe is disconnected, or closed. */
static ULONG PendingAtTheEnd(VOID)
{
    REQUEST Read, Write, Back;
    HANDLE Server, Client;
    static CHAR Block[100], Got[100];

    CHECK(MakePair(&Bytes, &Server, &Client) == 0);
    BeginWrite(&Write, Client, Block, 100);
    BeginRead(&Read, Client, Got, 10);
    CHECK(IsPending(&Write) && IsPending(&Read));
    CHECK(Control(Server, FSCTL_PIPE_DISCONNECT, NULL, 0, NULL, 0) == STATUS_SUCCESS);
    CHECK(End(&Write) == STATUS_PIPE_DISCONNECTED && End(&Read) == STATUS_PIPE_DISCONNECTED);
    CHECK(NtClose(Client) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS);
    CHECK(MakePair(&Bytes, &Server, &Client) == 0);
    BeginWrite(&Write, Client, Block, 100); /* never read: lost with its reader */
    BeginRead(&Read, Client, Got, 10);
    CHECK(NtClose(Server) == STATUS_SUCCESS);
    CHECK(End(&Write) == STATUS_PIPE_BROKEN && End(&Read) == STATUS_PIPE_BROKEN);
    CHECK(NtClose(Client) == STATUS_SUCCESS);
    CHECK(MakePair(&Bytes, &Server, &Client) == 0);
    BeginRead(&Back, Server, Got, 10);
    CHECK(NtClose(Server) == STATUS_SUCCESS && End(&Back) == STATUS_PIPE_BROKEN); /* its own */
    CHECK(NtClose(Client) == STATUS_SUCCESS);
    return 0;
}

static NTSTATUS NTAPI Flusher(PVOID Context)
{
    IO_STATUS_BLOCK Block;

    return NtFlushBuffersFile(*(PHANDLE)Context, &Block);
}

static ULONG Flushing(VOID)
{
    THREAD_BASIC_INFORMATION Info = {0};
    IO_STATUS_BLOCK Block;
    LARGE_INTEGER Short = {.QuadPart = -100000};
    HANDLE Server, Client, Thread;
    CHAR Got[8];

    CHECK(MakePair(&Bytes, &Server, &Client) == 0);
    CHECK(NtFlushBuffersFile(Client, &Block) == STATUS_SUCCESS); /* nothing is there */
    CHECK(Put(Client, "flush", 5) == STATUS_SUCCESS);
    Thread = StartThread((PVOID)Flusher, &Client, 0);
    CHECK(Thread != NULL && NtWaitForSingleObject(Thread, FALSE, &Short) == STATUS_TIMEOUT);
    CHECK(Get(Server, Got, 2) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Thread, FALSE, &Short) == STATUS_TIMEOUT);
    CHECK(Get(Server, Got, 8) == STATUS_SUCCESS && NtWaitForSingleObject(Thread, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtQueryInformationThread(Thread, ThreadBasicInformation, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(Info.ExitStatus == STATUS_SUCCESS && NtClose(Thread) == STATUS_SUCCESS);
    CHECK(NtClose(Client) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS);
    return 0;
}

/* FSCTL_PIPE_WAIT: at once, in time, too late, in vain. */
static ULONG WaitForPipe(VOID)
{
    struct {
        FILE_PIPE_WAIT_FOR_BUFFER Wait;
        WCHAR Rest[16];
    } Buffer = {{.NameLength = 20}};
    REQUEST Request = {.Iosb = {0}};
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    PIPE_KIND Kind = Bytes;
    HANDLE Root, Server, Client;

    RtlCopyMemory(Buffer.Wait.Name, L"upipe.wait", 20);
    RtlInitUnicodeString(&Name, L"\\??\\PIPE\\");
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    CHECK(NtOpenFile(&Root, FILE_READ_ATTRIBUTES, &Attributes, &Iosb, 7, 0) == STATUS_SUCCESS);
#define WAIT()                                                                                                         \
    (Request = Begin(), Request.Begun = NtFsControlFile(Root, Request.Event, NULL, NULL, &Request.Iosb,                \
                                                        FSCTL_PIPE_WAIT, &Buffer, sizeof(Buffer), NULL, 0))
    CHECK(WAIT() == STATUS_OBJECT_NAME_NOT_FOUND && NtClose(Request.Event) == STATUS_SUCCESS);
    CHECK(MakeServer(&Kind, &Server) == STATUS_SUCCESS);
    CHECK(WAIT() == STATUS_SUCCESS && NtClose(Request.Event) == STATUS_SUCCESS);
    CHECK(OpenClient(Kind.Name, GENERIC_READ, TRUE, &Client) == STATUS_SUCCESS);
    CHECK(WAIT() == STATUS_PENDING && End(&Request) == STATUS_IO_TIMEOUT); /* the pipe's 50 ms */
    Buffer.Wait.TimeoutSpecified = TRUE;
    Buffer.Wait.Timeout.QuadPart = -600000000;
    CHECK(WAIT() == STATUS_PENDING && IsPending(&Request));
    CHECK(Control(Server, FSCTL_PIPE_DISCONNECT, NULL, 0, NULL, 0) == STATUS_SUCCESS && IsPending(&Request));
    CHECK(Control(Server, FSCTL_PIPE_LISTEN, NULL, 0, NULL, 0) == STATUS_PENDING);
    CHECK(End(&Request) == STATUS_SUCCESS && NtClose(Client) == STATUS_SUCCESS);
    CHECK(OpenClient(Kind.Name, GENERIC_READ, TRUE, &Client) == STATUS_SUCCESS);
    Buffer.Wait.Timeout.QuadPart = MINLONGLONG;
    CHECK(WAIT() == STATUS_PENDING && Cancel(Root) == STATUS_SUCCESS && End(&Request) == STATUS_CANCELLED);
    CHECK(WAIT() == STATUS_PENDING && NtClose(Server) == STATUS_SUCCESS);
    CHECK(End(&Request) == STATUS_OBJECT_NAME_NOT_FOUND && NtClose(Client) == STATUS_SUCCESS);
    Buffer.Wait.NameLength = 200;
    CHECK(WAIT() == STATUS_INVALID_PARAMETER && NtClose(Request.Event) == STATUS_SUCCESS);
    CHECK(NtClose(Root) == STATUS_SUCCESS);
    return 0;
}

static ULONG Peeking(VOID)
{
    struct {
        FILE_PIPE_PEEK_BUFFER Peek;
        CHAR Rest[16];
    } Info;
    HANDLE Server, Client;
    const ULONG Fixed = FIELD_OFFSET(FILE_PIPE_PEEK_BUFFER, Data);
    CHAR Got[8];

    CHECK(MakePair(&Messages, &Server, &Client) == 0);
    CHECK(Control(Server, FSCTL_PIPE_PEEK, NULL, 0, &Info, sizeof(Info)) == STATUS_SUCCESS);
    CHECK(Iosb.Information == Fixed && Info.Peek.ReadDataAvailable == 0 && Info.Peek.NumberOfMessages == 0);
    CHECK(Put(Client, "abc", 3) == STATUS_SUCCESS && Put(Client, "defgh", 5) == STATUS_SUCCESS);
    CHECK(Control(Server, FSCTL_PIPE_PEEK, NULL, 0, &Info, sizeof(Info)) == STATUS_SUCCESS);
    CHECK(Iosb.Information == Fixed + 3 && Info.Peek.ReadDataAvailable == 8 && Info.Peek.NumberOfMessages == 2);
    CHECK(Info.Peek.MessageLength == 3 && Info.Peek.NamedPipeState == FILE_PIPE_CONNECTED_STATE);
    CHECK(Info.Peek.Data[2] == 'c');
    CHECK(Control(Server, FSCTL_PIPE_PEEK, NULL, 0, &Info, Fixed + 1) == STATUS_BUFFER_OVERFLOW);
    CHECK(Iosb.Information == Fixed + 1);
    CHECK(Control(Server, FSCTL_PIPE_PEEK, NULL, 0, &Info, Fixed - 1) == STATUS_INVALID_PARAMETER);
    CHECK(Get(Server, Got, 8) == STATUS_SUCCESS && Get(Server, Got, 8) == STATUS_SUCCESS);
    CHECK(NtClose(Client) == STATUS_SUCCESS);
    CHECK(Control(Server, FSCTL_PIPE_PEEK, NULL, 0, &Info, sizeof(Info)) == STATUS_PIPE_BROKEN);
    CHECK(NtClose(Server) == STATUS_SUCCESS);
    return 0;
}

static ULONG Transceiving(VOID)
{
    REQUEST Talk = Begin();
    HANDLE Server, Client;
    CHAR Got[16], Answer[4];

    CHECK(MakePair(&Messages, &Server, &Client) == 0);
    Talk.Begun = NtFsControlFile(Client, Talk.Event, NULL, NULL, &Talk.Iosb, FSCTL_PIPE_TRANSCEIVE, "question", 8,
                                 Answer, sizeof(Answer));
    CHECK(IsPending(&Talk));
    CHECK(Get(Server, Got, 16) == STATUS_SUCCESS && Iosb.Information == 8 && Got[7] == 'n');
    CHECK(Put(Server, "answer", 6) == STATUS_SUCCESS);
    CHECK(End(&Talk) == STATUS_BUFFER_OVERFLOW && Talk.Iosb.Information == 4 && Answer[3] == 'w');
    CHECK(Control(Client, FSCTL_PIPE_TRANSCEIVE, "x", 1, Answer, 4) == STATUS_PIPE_BUSY); /* "er" is not read */
    CHECK(Get(Client, Got, 16) == STATUS_SUCCESS && Iosb.Information == 2);
    CHECK(Control(Client, FSCTL_PIPE_TRANSCEIVE, KERNEL_POINTER, 1, Answer, 4) == STATUS_ACCESS_VIOLATION);
    CHECK(Control(Client, FSCTL_PIPE_TRANSCEIVE, "x", 1, KERNEL_POINTER, 4) == STATUS_ACCESS_VIOLATION);
    CHECK(SetModes(Client, FILE_PIPE_BYTE_STREAM_MODE, 0) == STATUS_SUCCESS);
    CHECK(Control(Client, FSCTL_PIPE_TRANSCEIVE, "x", 1, Answer, 4) == STATUS_INVALID_READ_MODE);
    CHECK(NtClose(Client) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS);
    return 0;
}

static ULONG Information(VOID)
{
    struct {
        FILE_NAME_INFORMATION Name;
        WCHAR Rest[32];
    } Name;
    FILE_PIPE_LOCAL_INFORMATION Local;
    FILE_STANDARD_INFORMATION Standard;
    FILE_FS_DEVICE_INFORMATION Device;
    REQUEST Read;
    HANDLE Server, Client;
    CHAR Got[8];

    CHECK(MakePair(&Bytes, &Server, &Client) == 0);
    CHECK(Put(Client, "12345", 5) == STATUS_SUCCESS);
    CHECK(NtQueryInformationFile(Server, &Iosb, &Local, sizeof(Local), FilePipeLocalInformation) == STATUS_SUCCESS);
    CHECK(Local.NamedPipeType == 0 && Local.NamedPipeConfiguration == FILE_PIPE_FULL_DUPLEX);
    CHECK(Local.MaximumInstances == 4 && Local.CurrentInstances == 1 && Local.InboundQuota == 64);
    CHECK(Local.ReadDataAvailable == 5 && Local.WriteQuotaAvailable == 64);
    CHECK(Local.NamedPipeEnd == FILE_PIPE_SERVER_END);
    CHECK(NtQueryInformationFile(Client, &Iosb, &Local, sizeof(Local), FilePipeLocalInformation) == STATUS_SUCCESS);
    CHECK(Local.WriteQuotaAvailable == 59 && Local.NamedPipeEnd == FILE_PIPE_CLIENT_END);
    CHECK(NtQueryInformationFile(Server, &Iosb, &Standard, sizeof(Standard), FileStandardInformation) ==
          STATUS_SUCCESS);
    CHECK(Standard.EndOfFile.QuadPart == 5 && Standard.AllocationSize.QuadPart == 128 && !Standard.Directory);
    CHECK(NtQueryInformationFile(Client, &Iosb, &Name, sizeof(Name), FileNameInformation) == STATUS_SUCCESS);
    CHECK(Name.Name.FileNameLength == 22 && RtlCompareMemory(Name.Name.FileName, L"\\upipe.wait", 22) == 22);
    CHECK(NtQueryInformationFile(Client, &Iosb, &Name, 8, FileNameInformation) == STATUS_BUFFER_OVERFLOW);
    CHECK(NtQueryVolumeInformationFile(Client, &Iosb, &Device, sizeof(Device), FileFsDeviceInformation) ==
          STATUS_SUCCESS);
    CHECK(Device.DeviceType == FILE_DEVICE_NAMED_PIPE);
    CHECK(SetModes(Client, FILE_PIPE_MESSAGE_MODE, 0) == STATUS_INVALID_PARAMETER);
    CHECK(SetModes(Client, 0, 2) == STATUS_INVALID_PARAMETER);
    BeginRead(&Read, Client, Got, 8);
    CHECK(IsPending(&Read) && SetModes(Client, 0, FILE_PIPE_COMPLETE_OPERATION) == STATUS_PIPE_BUSY);
    CHECK(Cancel(Client) == STATUS_SUCCESS && End(&Read) == STATUS_CANCELLED);
    CHECK(SetModes(Client, 0, FILE_PIPE_COMPLETE_OPERATION) == STATUS_SUCCESS);
    CHECK(NtClose(Client) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS);
    return 0;
}

static ULONG Listing(VOID)
{
    static UCHAR Buffer[1024];
    PFILE_DIRECTORY_INFORMATION Entry = (PVOID)Buffer;
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Name, Pattern;
    HANDLE Root, Server, Other;

    CHECK(MakeServer(&Bytes, &Server) == STATUS_SUCCESS && MakeServer(&Messages, &Other) == STATUS_SUCCESS);
    RtlInitUnicodeString(&Name, PIPES);
    RtlInitUnicodeString(&Pattern, L"UPIPE.*");
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    CHECK(NtOpenFile(&Root, FILE_LIST_DIRECTORY | SYNCHRONIZE, &Attributes, &Iosb, 7,
                     FILE_DIRECTORY_FILE | FILE_SYNCHRONOUS_IO_NONALERT) == STATUS_SUCCESS);
#define LIST(Length, Single)                                                                                           \
    NtQueryDirectoryFile(Root, NULL, NULL, NULL, &Iosb, Buffer, Length, FileDirectoryInformation, Single, &Pattern,    \
                         FALSE)
    CHECK(LIST(sizeof(Buffer), FALSE) == STATUS_SUCCESS);
    CHECK(Entry->FileNameLength == 20 && RtlCompareMemory(Entry->FileName, L"upipe.wait", 20) == 20);
    CHECK(Entry->EndOfFile.QuadPart == 1 && Entry->AllocationSize.QuadPart == 4 && Entry->NextEntryOffset != 0);
    Entry = (PVOID)(Buffer + Entry->NextEntryOffset);
    CHECK(RtlCompareMemory(Entry->FileName, L"upipe.talk", 20) == 20 && Entry->NextEntryOffset == 0);
    CHECK(LIST(sizeof(Buffer), FALSE) == STATUS_NO_MORE_FILES);
    CHECK(NtQueryDirectoryFile(Root, NULL, NULL, NULL, &Iosb, Buffer, sizeof(Buffer), FileNamesInformation, TRUE, NULL,
                               TRUE) == STATUS_SUCCESS);
    CHECK(((PFILE_NAMES_INFORMATION)(PVOID)Buffer)->FileNameLength == 20);
    CHECK(NtQueryDirectoryFile(Server, NULL, NULL, NULL, &Iosb, Buffer, sizeof(Buffer), FileNamesInformation, TRUE,
                               NULL, TRUE) == STATUS_INVALID_PARAMETER);
    CHECK(NtClose(Root) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS && NtClose(Other) == STATUS_SUCCESS);
    return 0;
}

static volatile ULONG ApcCount;
static PIO_STATUS_BLOCK ApcIosb;

static VOID NTAPI ReadApc(PVOID Context, PIO_STATUS_BLOCK Block, ULONG Reserved)
{
    UNREFERENCED_PARAMETER(Reserved);
    if (Context == (PVOID)0x1234) {
        ApcCount++;
        ApcIosb = Block;
    }
}

/* How a program learns of the end: a user APC, a packet at a completion port, the file's own event. */
static ULONG Notices(VOID)
{
    FILE_COMPLETION_INFORMATION Bind = {0};
    IO_STATUS_BLOCK Block = {.Status = STATUS_PENDING}, Packet;
    LARGE_INTEGER Long = {.QuadPart = -50000000};
    PVOID Key, Context;
    HANDLE Server, Client;
    CHAR Got[8];

    CHECK(MakePair(&Bytes, &Server, &Client) == 0);
    ApcCount = 0;
    CHECK(NtReadFile(Server, NULL, ReadApc, (PVOID)0x1234, &Block, Got, 8, NULL, NULL) == STATUS_PENDING);
    CHECK(Put(Client, "apc", 3) == STATUS_SUCCESS);
    CHECK(NtDelayExecution(TRUE, &Long) == STATUS_USER_APC && ApcCount == 1 && ApcIosb == &Block);
    CHECK(Block.Status == STATUS_SUCCESS && Block.Information == 3);
    CHECK(NtReadFile(Server, NULL, NULL, NULL, &Block, Got, 8, NULL, NULL) == STATUS_PENDING);
    CHECK(Put(Client, "file", 4) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Server, FALSE, &Long) == STATUS_SUCCESS && Block.Information == 4);
    CHECK(NtCreateIoCompletion(&Bind.Port, EVENT_ALL_ACCESS, NULL, 0) == STATUS_SUCCESS);
    Bind.Key = (PVOID)0x77;
    CHECK(NtSetInformationFile(Server, &Packet, &Bind, sizeof(Bind), FileCompletionInformation) == STATUS_SUCCESS);
    CHECK(NtReadFile(Server, NULL, NULL, (PVOID)0x99, &Block, Got, 8, NULL, NULL) == STATUS_PENDING);
    CHECK(Put(Client, "port!", 5) == STATUS_SUCCESS);
    CHECK(NtRemoveIoCompletion(Bind.Port, &Key, &Context, &Packet, &Long) == STATUS_SUCCESS);
    CHECK(Key == (PVOID)0x77 && Context == (PVOID)0x99 && Packet.Status == STATUS_SUCCESS && Packet.Information == 5);
    CHECK(NtClose(Bind.Port) == STATUS_SUCCESS && NtClose(Client) == STATUS_SUCCESS &&
          NtClose(Server) == STATUS_SUCCESS);
    return 0;
}

/* ---- Turns at a synchronous file ---- */

static HANDLE TurnFile;
static volatile LONG TurnThreads;

/* Reads a byte, which is its exit status; else the status of the read. */
static NTSTATUS NTAPI TurnThread(PVOID Argument)
{
    IO_STATUS_BLOCK Block;
    UCHAR Byte = 0;
    NTSTATUS Status;

    InterlockedIncrement(&TurnThreads);
    Status = NtReadFile(TurnFile, NULL, NULL, NULL, &Block, &Byte, 1, NULL, NULL);
    return NT_SUCCESS(Status) ? (NTSTATUS)Byte : Status;
}

/* A thread that reads, and another one that waits for its turn; a moment more lets them get there. */
static ULONG StartTurns(PHANDLE Reads, PHANDLE Waits)
{
    LARGE_INTEGER Moment = {.QuadPart = -500000}; /* 50 ms; whoever is first, the case ends alike */

    TurnThreads = 0;
    *Reads = StartThread(TurnThread, NULL, 0);
    CHECK(*Reads != NULL && NtDelayExecution(FALSE, &Moment) == STATUS_SUCCESS);
    *Waits = StartThread(TurnThread, NULL, 0);
    CHECK(*Waits != NULL);
    while (TurnThreads != 2) {
        NtDelayExecution(FALSE, &Moment);
    }
    return NtDelayExecution(FALSE, &Moment) == STATUS_SUCCESS ? 0 : __LINE__;
}

static NTSTATUS EndOf(HANDLE Thread)
{
    LARGE_INTEGER Long = {.QuadPart = -300000000}; /* 30 s: a thread that cannot be ended fails the case */
    THREAD_BASIC_INFORMATION Basic;

    if (NtWaitForSingleObject(Thread, FALSE, &Long) != STATUS_SUCCESS ||
        NtQueryInformationThread(Thread, ThreadBasicInformation, &Basic, sizeof(Basic), NULL) != STATUS_SUCCESS) {
        return STATUS_INTERNAL_ERROR;
    }
    NtClose(Thread);
    return Basic.ExitStatus;
}

/* Who waits behind another's read of a synchronous file can be ended, and on an alertable one alerted; the read goes on. */
static ULONG Turns(VOID)
{
    static const PIPE_KIND Kind = {.Name = PIPES L"upipe.turn", .Quota = 64};
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Server, Reads, Waits;
    IO_STATUS_BLOCK Block;

    CHECK(MakeServer(&Kind, &Server) == STATUS_SUCCESS);
    RtlInitUnicodeString(&Name, Kind.Name);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    CHECK(NtOpenFile(&TurnFile, FILE_READ_DATA | FILE_WRITE_DATA | SYNCHRONIZE, &Attributes, &Block,
                     FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_SYNCHRONOUS_IO_ALERT) == STATUS_SUCCESS);
    for (ULONG Alert = 0; Alert < 2; Alert++) {
        CHECK(StartTurns(&Reads, &Waits) == 0);
        CHECK((Alert != 0 ? NtAlertThread(Waits) : NtTerminateThread(Waits, 0x77)) == STATUS_SUCCESS);
        CHECK(EndOf(Waits) == (Alert != 0 ? STATUS_CANCELLED : 0x77));
        CHECK(Put(Server, "x", 1) == STATUS_SUCCESS && EndOf(Reads) == 'x');
    }
    CHECK(Put(Server, "y", 1) == STATUS_SUCCESS && TurnThread(NULL) == 'y'); /* the turn was given back */
    CHECK(NtClose(TurnFile) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS);
    return 0;
}

const USER_CASE WaitCases[] = {
    {"user.pipe.turns", Turns},
    {"user.pipe.read_waits", ReadWaits},
    {"user.pipe.message_waits", MessageWaits},
    {"user.pipe.write_waits", WriteWaits},
    {"user.pipe.cancel", Cancelling},
    {"user.pipe.listen", Listening},
    {"user.pipe.pending_at_end", PendingAtTheEnd},
    {"user.pipe.flush", Flushing},
    {"user.pipe.wait", WaitForPipe},
    {"user.pipe.peek", Peeking},
    {"user.pipe.transceive", Transceiving},
    {"user.pipe.information", Information},
    {"user.pipe.listing", Listing},
    {"user.pipe.notices", Notices},
};
const ULONG WaitCount = RTL_NUMBER_OF(WaitCases);
