/*
 * basic.c - pipes as one thread sees them: names, directions, instances, modes, states, information, listing.
 *
 * All ends are synchronous, and nothing here waits: what would wait is asked of ends that do not wait.
 * Cases of the suite upipe.c.
 */
#include "upipe.h"

#define PIPES L"\\Device\\NamedPipe\\"

static const PIPE_KIND Bytes = {.Name = PIPES L"upipe.bytes"};
static const PIPE_KIND Messages = {.Name = PIPES L"upipe.messages", .Type = FILE_PIPE_MESSAGE_TYPE};

/* Both ends, by either name of the file system; what one writes the other reads. */
static ULONG ReadWrite(VOID)
{
    HANDLE Server, Client;
    CHAR Text[16];

    CHECK(MakeServer(&Bytes, &Server) == STATUS_SUCCESS && Iosb.Information == FILE_CREATED);
    CHECK(StateOf(Server) == FILE_PIPE_LISTENING_STATE);
    CHECK(Put(Server, "x", 1) == STATUS_PIPE_LISTENING && Get(Server, Text, 1) == STATUS_PIPE_LISTENING);
    CHECK(OpenClient(L"\\??\\PIPE\\UPIPE.bytes", GENERIC_READ | GENERIC_WRITE, FALSE, &Client) == STATUS_SUCCESS);
    CHECK(Iosb.Information == FILE_OPENED && StateOf(Server) == FILE_PIPE_CONNECTED_STATE);
    CHECK(Control(Server, FSCTL_PIPE_LISTEN, NULL, 0, NULL, 0) == STATUS_PIPE_CONNECTED);
    CHECK(Put(Client, "hello ", 6) == STATUS_SUCCESS && Iosb.Information == 6);
    CHECK(Put(Client, "pipe", 4) == STATUS_SUCCESS);
    CHECK(Get(Server, Text, 3) == STATUS_SUCCESS && Iosb.Information == 3);
    CHECK(Get(Server, Text + 3, 13) == STATUS_SUCCESS && Iosb.Information == 7); /* on through both writes */
    CHECK(RtlCompareMemory(Text, "hello pipe", 10) == 10);
    CHECK(Put(Server, "back", 4) == STATUS_SUCCESS && Get(Client, Text, 16) == STATUS_SUCCESS);
    CHECK(Iosb.Information == 4 && RtlCompareMemory(Text, "back", 4) == 4);
    CHECK(NtClose(Client) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS);
    CHECK(OpenClient(Bytes.Name, GENERIC_READ, FALSE, &Client) == STATUS_OBJECT_NAME_NOT_FOUND);
    return 0;
}

static ULONG Names(VOID)
{
    PIPE_KIND Kind = Bytes;
    HANDLE Server, Client;

    CHECK(OpenClient(PIPES L"upipe.nothing", GENERIC_READ, FALSE, &Client) == STATUS_OBJECT_NAME_NOT_FOUND);
    CHECK(OpenClient(PIPES L"\\upipe", GENERIC_READ, FALSE, &Client) == STATUS_OBJECT_NAME_INVALID);
    CHECK(OpenClient(PIPES L"upipe\\", GENERIC_READ, FALSE, &Client) == STATUS_OBJECT_NAME_INVALID);
    Kind.Name = PIPES;
    CHECK(MakeServer(&Kind, &Server) == STATUS_OBJECT_NAME_INVALID);
    Kind.Name = L"\\Device\\NamedPipe";
    CHECK(MakeServer(&Kind, &Server) == STATUS_OBJECT_NAME_INVALID);
    Kind.Name = PIPES L"upipe\\with\\parts";
    CHECK(MakePair(&Kind, &Server, &Client) == 0);
    CHECK(NtClose(Client) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS);
    return 0;
}

/* What contradicts itself is refused. */
static ULONG BadParameters(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Name;
    LARGE_INTEGER Relative = {.QuadPart = -500000}, Absolute = {.QuadPart = 500000};
    PIPE_KIND Kind = Bytes;
    HANDLE Server = NULL;

    Kind.Disposition = FILE_OPEN;
    CHECK(MakeServer(&Kind, &Server) == STATUS_OBJECT_NAME_NOT_FOUND);
    Kind.Disposition = FILE_OVERWRITE;
    CHECK(MakeServer(&Kind, &Server) == STATUS_INVALID_PARAMETER);
    Kind.Disposition = 0;
    Kind.CompletionMode = 2;
    CHECK(MakeServer(&Kind, &Server) == STATUS_INVALID_PARAMETER);
    Kind.CompletionMode = 0;
    Kind.Type = 4;
    CHECK(MakeServer(&Kind, &Server) == STATUS_INVALID_PARAMETER);
    Kind.Type = 0;
    Kind.Share = FILE_SHARE_READ | FILE_SHARE_DELETE;
    CHECK(MakeServer(&Kind, &Server) == STATUS_INVALID_PARAMETER);
    RtlInitUnicodeString(&Name, Bytes.Name);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
#define CREATE(Share, Type, Mode, Maximum, Timeout)                                                                    \
    NtCreateNamedPipeFile(&Server, GENERIC_READ | SYNCHRONIZE, &Attributes, &Iosb, Share, FILE_OPEN_IF, 0, Type, Mode, \
                          0, Maximum, 0, 0, Timeout)
    CHECK(CREATE(0, 0, 0, 1, &Relative) == STATUS_INVALID_PARAMETER);
    CHECK(CREATE(FILE_SHARE_READ, 0, 1, 1, &Relative) == STATUS_INVALID_PARAMETER); /* bytes by messages */
    CHECK(CREATE(FILE_SHARE_READ, 0, 0, 0, &Relative) == STATUS_INVALID_PARAMETER);
    CHECK(CREATE(FILE_SHARE_READ, 0, 0, 1, NULL) == STATUS_INVALID_PARAMETER);
    CHECK(CREATE(FILE_SHARE_READ, 0, 0, 1, &Absolute) == STATUS_INVALID_PARAMETER);
    CHECK(CREATE(FILE_SHARE_READ, 0, 0, 1, KERNEL_POINTER) == STATUS_ACCESS_VIOLATION);
    CHECK(NtCreateNamedPipeFile(KERNEL_POINTER, GENERIC_READ | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ,
                                FILE_OPEN_IF, 0, 0, 0, 0, 1, 0, 0, &Relative) == STATUS_ACCESS_VIOLATION);
    CHECK(OpenClient(Bytes.Name, GENERIC_READ, FALSE, &Server) == STATUS_OBJECT_NAME_NOT_FOUND); /* nothing was left */
    return 0;
}

static ULONG Directions(VOID)
{
    PIPE_KIND In = Bytes, Out = Bytes;
    HANDLE Server, Client;
    CHAR Byte;

    In.Share = PIPE_INBOUND;
    Out.Share = PIPE_OUTBOUND;
    CHECK(MakeServer(&In, &Server) == STATUS_SUCCESS);
    CHECK(OpenClient(In.Name, FILE_READ_DATA, FALSE, &Client) == STATUS_ACCESS_DENIED);
    CHECK(OpenClient(In.Name, FILE_WRITE_DATA, FALSE, &Client) == STATUS_SUCCESS);
    CHECK(Put(Server, "x", 1) == STATUS_INVALID_PARAMETER && Get(Client, &Byte, 1) == STATUS_ACCESS_DENIED);
    CHECK(Put(Client, "x", 1) == STATUS_SUCCESS && Get(Server, &Byte, 1) == STATUS_SUCCESS && Byte == 'x');
    CHECK(NtClose(Client) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS);
    CHECK(MakeServer(&Out, &Server) == STATUS_SUCCESS);
    CHECK(OpenClient(In.Name, FILE_WRITE_DATA, FALSE, &Client) == STATUS_ACCESS_DENIED);
    CHECK(OpenClient(In.Name, FILE_READ_DATA, FALSE, &Client) == STATUS_SUCCESS);
    CHECK(Get(Server, &Byte, 1) == STATUS_INVALID_PARAMETER);
    CHECK(Put(Server, "y", 1) == STATUS_SUCCESS && Get(Client, &Byte, 1) == STATUS_SUCCESS && Byte == 'y');
    CHECK(NtClose(Client) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS);
    return 0;
}

/* Instances count up to the most there may be; each takes one client; all are of one kind. */
static ULONG Instances(VOID)
{
    PIPE_KIND Kind = Bytes, Other = Bytes;
    HANDLE Server[3], Client[3];

    Kind.Maximum = 2;
    CHECK(MakeServer(&Kind, &Server[0]) == STATUS_SUCCESS && Iosb.Information == FILE_CREATED);
    Kind.Disposition = FILE_CREATE;
    CHECK(MakeServer(&Kind, &Server[1]) == STATUS_ACCESS_DENIED);
    Kind.Disposition = FILE_OPEN;
    Other.Share = PIPE_INBOUND;
    CHECK(MakeServer(&Other, &Server[1]) == STATUS_ACCESS_DENIED);
    Other.Share = 0;
    Other.Type = FILE_PIPE_MESSAGE_TYPE;
    CHECK(MakeServer(&Other, &Server[1]) == STATUS_ACCESS_DENIED);
    CHECK(MakeServer(&Kind, &Server[1]) == STATUS_SUCCESS && Iosb.Information == FILE_OPENED);
    CHECK(MakeServer(&Kind, &Server[2]) == STATUS_INSTANCE_NOT_AVAILABLE);
    CHECK(OpenClient(Kind.Name, GENERIC_READ, FALSE, &Client[0]) == STATUS_SUCCESS);
    CHECK(OpenClient(Kind.Name, GENERIC_READ, FALSE, &Client[1]) == STATUS_SUCCESS);
    CHECK(OpenClient(Kind.Name, GENERIC_READ, FALSE, &Client[2]) == STATUS_PIPE_NOT_AVAILABLE);
    CHECK(NtClose(Server[0]) == STATUS_SUCCESS);
    CHECK(MakeServer(&Kind, &Server[0]) == STATUS_SUCCESS); /* the client that is left counts no instance */
    for (ULONG Index = 0; Index < 2; Index++) {
        CHECK(NtClose(Server[Index]) == STATUS_SUCCESS && NtClose(Client[Index]) == STATUS_SUCCESS);
    }
    return 0;
}

static ULONG MessageMode(VOID)
{
    HANDLE Server, Client;
    CHAR Text[16];

    CHECK(MakePair(&Messages, &Server, &Client) == 0);
    CHECK(Put(Client, "first", 5) == STATUS_SUCCESS && Put(Client, "", 0) == STATUS_SUCCESS);
    CHECK(Put(Client, "second", 6) == STATUS_SUCCESS);
    CHECK(Get(Server, Text, 3) == STATUS_BUFFER_OVERFLOW && Iosb.Information == 3);
    CHECK(Get(Server, Text + 3, 13) == STATUS_SUCCESS && Iosb.Information == 2);
    CHECK(RtlCompareMemory(Text, "first", 5) == 5);
    CHECK(Get(Server, Text, 16) == STATUS_SUCCESS && Iosb.Information == 0);
    CHECK(Get(Server, Text, 16) == STATUS_SUCCESS && Iosb.Information == 6);
    CHECK(Put(Client, "one", 3) == STATUS_SUCCESS && Put(Client, "two", 3) == STATUS_SUCCESS);
    CHECK(SetModes(Server, FILE_PIPE_BYTE_STREAM_MODE, 0) == STATUS_SUCCESS);
    CHECK(Get(Server, Text, 16) == STATUS_SUCCESS && Iosb.Information == 6); /* bytes of messages */
    CHECK(RtlCompareMemory(Text, "onetwo", 6) == 6);
    CHECK(NtClose(Client) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS);
    return 0;
}

/* Ends that do not wait: empty, and as much as there is room for. */
static ULONG NoWaiting(VOID)
{
    PIPE_KIND Kind = Bytes;
    HANDLE Server, Client;
    static CHAR Block[100];

    Kind.CompletionMode = FILE_PIPE_COMPLETE_OPERATION;
    Kind.Quota = 64;
    CHECK(MakeServer(&Kind, &Server) == STATUS_SUCCESS);
    CHECK(Control(Server, FSCTL_PIPE_LISTEN, NULL, 0, NULL, 0) == STATUS_PIPE_LISTENING);
    CHECK(OpenClient(Kind.Name, GENERIC_READ | GENERIC_WRITE, FALSE, &Client) == STATUS_SUCCESS);
    CHECK(SetModes(Client, 0, FILE_PIPE_COMPLETE_OPERATION) == STATUS_SUCCESS);
    CHECK(Get(Server, Block, 1) == STATUS_PIPE_EMPTY);
    CHECK(Put(Client, Block, 100) == STATUS_SUCCESS && Iosb.Information == 64);
    CHECK(Put(Client, Block, 1) == STATUS_SUCCESS && Iosb.Information == 0);
    CHECK(Get(Server, Block, 10) == STATUS_SUCCESS && Iosb.Information == 10);
    CHECK(Put(Client, Block, 100) == STATUS_SUCCESS && Iosb.Information == 10);
    CHECK(NtClose(Client) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS);
    Kind.Name = Messages.Name;
    Kind.Type = FILE_PIPE_MESSAGE_TYPE;
    CHECK(MakePair(&Kind, &Server, &Client) == 0);
    CHECK(Put(Client, Block, 60) == STATUS_SUCCESS && Iosb.Information == 60);
    CHECK(Put(Client, Block, 10) == STATUS_SUCCESS && Iosb.Information == 0); /* all of a message or nothing */
    CHECK(Get(Server, Block, 100) == STATUS_SUCCESS && Iosb.Information == 60);
    CHECK(Get(Server, Block, 100) == STATUS_PIPE_EMPTY);
    CHECK(NtClose(Client) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS);
    return 0;
}

/* Either end closes: what it wrote is read to the end, then the pipe is broken; nothing can be written to it. */
static ULONG Closing(VOID)
{
    HANDLE Server, Client;
    CHAR Text[8];

    CHECK(MakePair(&Bytes, &Server, &Client) == 0);
    CHECK(Put(Client, "rest", 4) == STATUS_SUCCESS && NtClose(Client) == STATUS_SUCCESS);
    CHECK(StateOf(Server) == FILE_PIPE_CLOSING_STATE);
    CHECK(Put(Server, "x", 1) == STATUS_PIPE_CLOSING);
    CHECK(Control(Server, FSCTL_PIPE_LISTEN, NULL, 0, NULL, 0) == STATUS_PIPE_CLOSING);
    CHECK(Get(Server, Text, 8) == STATUS_SUCCESS && Iosb.Information == 4);
    CHECK(Get(Server, Text, 8) == STATUS_PIPE_BROKEN);
    CHECK(NtClose(Server) == STATUS_SUCCESS);
    CHECK(MakePair(&Bytes, &Server, &Client) == 0);
    CHECK(Put(Server, "last", 4) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS);
    CHECK(Put(Client, "x", 1) == STATUS_PIPE_CLOSING);
    CHECK(Get(Client, Text, 2) == STATUS_SUCCESS && Get(Client, Text, 8) == STATUS_SUCCESS && Iosb.Information == 2);
    CHECK(Get(Client, Text, 8) == STATUS_PIPE_BROKEN && NtClose(Client) == STATUS_SUCCESS);
    return 0;
}

/* A server throws its client out and takes another one. */
static ULONG Disconnect(VOID)
{
    PIPE_KIND Kind = Bytes;
    HANDLE Server, Client, Next;
    CHAR Text[8];

    Kind.CompletionMode = FILE_PIPE_COMPLETE_OPERATION;
    CHECK(MakePair(&Kind, &Server, &Client) == 0);
    CHECK(Put(Client, "lost", 4) == STATUS_SUCCESS);
    CHECK(Control(Client, FSCTL_PIPE_DISCONNECT, NULL, 0, NULL, 0) == STATUS_ILLEGAL_FUNCTION);
    CHECK(Control(Server, FSCTL_PIPE_DISCONNECT, NULL, 0, NULL, 0) == STATUS_SUCCESS);
    CHECK(Control(Server, FSCTL_PIPE_DISCONNECT, NULL, 0, NULL, 0) == STATUS_PIPE_DISCONNECTED);
    CHECK(StateOf(Server) == FILE_PIPE_DISCONNECTED_STATE && StateOf(Client) == FILE_PIPE_DISCONNECTED_STATE);
    CHECK(Get(Server, Text, 8) == STATUS_PIPE_DISCONNECTED && Put(Client, "x", 1) == STATUS_PIPE_DISCONNECTED);
    CHECK(OpenClient(Kind.Name, GENERIC_READ | GENERIC_WRITE, FALSE, &Next) == STATUS_PIPE_NOT_AVAILABLE);
    CHECK(Control(Server, FSCTL_PIPE_LISTEN, NULL, 0, NULL, 0) == STATUS_SUCCESS);
    CHECK(OpenClient(Kind.Name, GENERIC_READ | GENERIC_WRITE, FALSE, &Next) == STATUS_SUCCESS);
    CHECK(Put(Client, "x", 1) == STATUS_PIPE_DISCONNECTED); /* the first stays out */
    CHECK(NtClose(Client) == STATUS_SUCCESS && StateOf(Server) == FILE_PIPE_CONNECTED_STATE);
    CHECK(Put(Next, "new", 3) == STATUS_SUCCESS && Get(Server, Text, 8) == STATUS_SUCCESS && Iosb.Information == 3);
    CHECK(NtClose(Next) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS);
    return 0;
}

/* The way ntdll's callers make them: relative to the root and to the server end, with no names. */
static ULONG Anonymous(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Name;
    LARGE_INTEGER Timeout = {.QuadPart = -1200000000};
    HANDLE Root, Read, Write, Third;
    CHAR Text[8];

    RtlInitUnicodeString(&Name, PIPES);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    CHECK(NtOpenFile(&Root, GENERIC_READ | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ | FILE_SHARE_WRITE,
                     FILE_SYNCHRONOUS_IO_NONALERT) == STATUS_SUCCESS);
    RtlInitUnicodeString(&Name, L"");
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, Root, NULL);
    CHECK(NtCreateNamedPipeFile(&Read, GENERIC_READ | FILE_WRITE_ATTRIBUTES | SYNCHRONIZE, &Attributes, &Iosb,
                                FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_CREATE, FILE_SYNCHRONOUS_IO_NONALERT, 0, 0, 0,
                                1, 4096, 4096, &Timeout) == STATUS_SUCCESS);
    Attributes.RootDirectory = Read;
    CHECK(NtOpenFile(&Write, GENERIC_WRITE | FILE_READ_ATTRIBUTES | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ,
                     FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE) == STATUS_SUCCESS);
    CHECK(NtOpenFile(&Third, GENERIC_WRITE | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ,
                     FILE_SYNCHRONOUS_IO_NONALERT) == STATUS_PIPE_NOT_AVAILABLE);
    CHECK(Put(Write, "anon", 4) == STATUS_SUCCESS && Get(Read, Text, 8) == STATUS_SUCCESS && Iosb.Information == 4);
    CHECK(NtClose(Write) == STATUS_SUCCESS && Get(Read, Text, 8) == STATUS_PIPE_BROKEN);
    CHECK(NtClose(Read) == STATUS_SUCCESS && NtClose(Root) == STATUS_SUCCESS);
    return 0;
}

/* A pipe whose descriptor lets nobody in: no client, no further instance; the server end that is open goes on. */
static ULONG Security(VOID)
{
    ACL Nobody = {.AclRevision = ACL_REVISION, .AclSize = sizeof(ACL)};
    SECURITY_DESCRIPTOR Descriptor = {
        .Revision = SECURITY_DESCRIPTOR_REVISION, .Control = SE_DACL_PRESENT, .Dacl = &Nobody};
    LARGE_INTEGER Timeout = {.QuadPart = -500000};
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Name;
    PIPE_KIND Kind = Bytes;
    HANDLE Server, Other;

    RtlInitUnicodeString(&Name, Bytes.Name);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, &Descriptor);
    CHECK(NtCreateNamedPipeFile(&Server, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &Attributes, &Iosb, PIPE_DUPLEX,
                                FILE_CREATE, FILE_SYNCHRONOUS_IO_NONALERT, 0, 0, 0, 4, 64, 64,
                                &Timeout) == STATUS_SUCCESS);
    CHECK(OpenClient(Bytes.Name, GENERIC_READ, FALSE, &Other) == STATUS_ACCESS_DENIED);
    Kind.Maximum = 4;
    CHECK(MakeServer(&Kind, &Other) == STATUS_ACCESS_DENIED);
    CHECK(StateOf(Server) == FILE_PIPE_LISTENING_STATE && NtClose(Server) == STATUS_SUCCESS);
    CHECK(MakeServer(&Kind, &Server) == STATUS_SUCCESS); /* the next pipe of that name is another one */
    CHECK(OpenClient(Bytes.Name, MAXIMUM_ALLOWED, FALSE, &Other) == STATUS_SUCCESS);
    CHECK(Put(Other, "x", 1) == STATUS_SUCCESS);
    CHECK(NtClose(Other) == STATUS_SUCCESS && NtClose(Server) == STATUS_SUCCESS);
    return 0;
}

const USER_CASE BasicCases[] = {
    {"user.pipe.read_write", ReadWrite},  {"user.pipe.names", Names},         {"user.pipe.parameters", BadParameters},
    {"user.pipe.directions", Directions}, {"user.pipe.instances", Instances}, {"user.pipe.messages", MessageMode},
    {"user.pipe.no_waiting", NoWaiting},  {"user.pipe.closing", Closing},     {"user.pipe.disconnect", Disconnect},
    {"user.pipe.anonymous", Anonymous},   {"user.pipe.security", Security},
};
const ULONG BasicCount = RTL_NUMBER_OF(BasicCases);
