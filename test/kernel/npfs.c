/*
 * npfs.c - suite for pipes made by the kernel: what a driver does through IoCreateFile and the Zw routines, also while memory is short.
 *
 * The program upipe has every status there is; here is a path through each part of npfs.sys (making, transfers that are done and that
 * wait, cancellation, the end of a connection, waiting for a pipe, transceiving, listing) that leaves nothing behind whatever allocation fails.
 */
#include <ntos/ke.h>
#include <ntos/ktap.h>

#include "iotest.h"

#define NPFS_NAME L"\\Device\\NamedPipe\\ktap"

static HANDLE NpfsServer, NpfsClient;
static IO_STATUS_BLOCK NpfsIosb;

static VOID NpfsAttributes(POBJECT_ATTRIBUTES Attributes, PUNICODE_STRING Name, PCWSTR Text, HANDLE Root)
{
    RtlInitUnicodeString(Name, Text);
    InitializeObjectAttributes(Attributes, Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, Root, NULL);
}

/* An asynchronous duplex instance with 32 bytes of quota each way. */
static NTSTATUS NpfsMake(PCWSTR Name, HANDLE Root, ULONG Type, PHANDLE Server)
{
    NAMED_PIPE_CREATE_PARAMETERS Pipe = {.NamedPipeType = Type,
                                         .ReadMode = Type,
                                         .MaximumInstances = 2,
                                         .InboundQuota = 32,
                                         .OutboundQuota = 32,
                                         .TimeoutSpecified = TRUE,
                                         .DefaultTimeout.QuadPart = -500000000};
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING String;

    NpfsAttributes(&Attributes, &String, Name, Root);
    return IoCreateFile(Server, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &Attributes, &NpfsIosb, NULL, 0,
                        FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN_IF, 0, NULL, 0, CreateFileTypeNamedPipe, &Pipe,
                        0);
}

static NTSTATUS NpfsOpen(PCWSTR Name, HANDLE Root, PHANDLE Client)
{
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING String;

    NpfsAttributes(&Attributes, &String, Name, Root);
    return ZwOpenFile(Client, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &Attributes, &NpfsIosb,
                      FILE_SHARE_READ | FILE_SHARE_WRITE, 0);
}

static NTSTATUS NpfsPut(HANDLE File, PCSTR Text, ULONG Bytes)
{
    return ZwWriteFile(File, NULL, NULL, NULL, &NpfsIosb, (PVOID)Text, Bytes, NULL, NULL);
}

static NTSTATUS NpfsGet(HANDLE File, PVOID Buffer, ULONG Bytes, PIO_STATUS_BLOCK Iosb)
{
    return ZwReadFile(File, NULL, NULL, NULL, Iosb, Buffer, Bytes, NULL, NULL);
}

static NTSTATUS NpfsControl(HANDLE File, ULONG Code, PIO_STATUS_BLOCK Iosb)
{
    return ZwFsControlFile(File, NULL, NULL, NULL, Iosb, Code, NULL, 0, NULL, 0);
}

static VOID NpfsClosePair(VOID)
{
    ZwClose(NpfsClient);
    ZwClose(NpfsServer);
}

/* ---- Cases ---- */

static VOID NpfsInstances(PKTAP_CONTEXT Ktap)
{
    HANDLE Second, Third;

    KTAP_EQUAL(NpfsMake(NPFS_NAME, NULL, 0, &NpfsServer), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsIosb.Information, FILE_CREATED);
    KTAP_EQUAL(NpfsMake(NPFS_NAME, NULL, 0, &Second), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsIosb.Information, FILE_OPENED);
    KTAP_EQUAL(NpfsMake(NPFS_NAME, NULL, 0, &Third), STATUS_INSTANCE_NOT_AVAILABLE);
    KTAP_EQUAL(NpfsOpen(NPFS_NAME, NULL, &NpfsClient), STATUS_SUCCESS);
    ZwClose(Second);
    KTAP_EQUAL(NpfsOpen(NPFS_NAME, NULL, &Third), STATUS_PIPE_NOT_AVAILABLE);
    NpfsClosePair();
    KTAP_EQUAL(NpfsOpen(NPFS_NAME, NULL, &Third), STATUS_OBJECT_NAME_NOT_FOUND);
}

static VOID NpfsAnonymous(PKTAP_CONTEXT Ktap)
{
    HANDLE Root;
    CHAR Text[8];

    KTAP_EQUAL(NpfsOpen(L"\\Device\\NamedPipe\\", NULL, &Root), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsMake(L"", Root, 0, &NpfsServer), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsOpen(L"", NpfsServer, &NpfsClient), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsPut(NpfsClient, "anon", 4), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsGet(NpfsServer, Text, 8, &NpfsIosb), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsIosb.Information, 4);
    ZwClose(Root);
    NpfsClosePair();
}

static VOID NpfsMessages(PKTAP_CONTEXT Ktap)
{
    CHAR Text[8];

    KTAP_EQUAL(NpfsMake(NPFS_NAME, NULL, FILE_PIPE_MESSAGE_TYPE, &NpfsServer), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsOpen(NPFS_NAME, NULL, &NpfsClient), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsPut(NpfsClient, "message", 7), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsPut(NpfsClient, "next", 4), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsGet(NpfsServer, Text, 4, &NpfsIosb), STATUS_BUFFER_OVERFLOW);
    KTAP_EQUAL(NpfsGet(NpfsServer, Text, 8, &NpfsIosb), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsIosb.Information, 3);
    NpfsClosePair(); /* one message is never read */
}

/* Reads that wait, and writes that do: ended by the other end, by cancellation, by the close. */
static VOID NpfsWaiting(PKTAP_CONTEXT Ktap)
{
    static CHAR Block[48], Text[48];
    IO_STATUS_BLOCK Read, Write;

    KTAP_EQUAL(NpfsMake(NPFS_NAME, NULL, 0, &NpfsServer), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsOpen(NPFS_NAME, NULL, &NpfsClient), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsGet(NpfsServer, Text, 8, &Read), STATUS_PENDING);
    KTAP_EQUAL(NpfsPut(NpfsClient, "four", 4), STATUS_SUCCESS);
    KTAP_EQUAL(Read.Information, 4);
    KTAP_EQUAL(NpfsGet(NpfsServer, Text, 8, &Read), STATUS_PENDING);
    KTAP_EQUAL(ZwCancelIoFile(NpfsServer, &NpfsIosb), STATUS_SUCCESS);
    KTAP_EQUAL(Read.Status, STATUS_CANCELLED);
    KTAP_EQUAL(ZwWriteFile(NpfsClient, NULL, NULL, NULL, &Write, Block, 48, NULL, NULL), STATUS_PENDING);
    KTAP_EQUAL(NpfsGet(NpfsServer, Text, 48, &Read), STATUS_SUCCESS);
    KTAP_CHECK(Read.Information == 48 && Write.Status == STATUS_SUCCESS && Write.Information == 48);
    KTAP_EQUAL(ZwWriteFile(NpfsClient, NULL, NULL, NULL, &Write, Block, 48, NULL, NULL), STATUS_PENDING);
    KTAP_EQUAL(ZwCancelIoFile(NpfsClient, &NpfsIosb), STATUS_SUCCESS);
    KTAP_EQUAL(Write.Status, STATUS_CANCELLED);
    KTAP_EQUAL(NpfsGet(NpfsServer, Text, 8, &Read), STATUS_PENDING);
    ZwClose(NpfsClient);
    KTAP_EQUAL(Read.Status, STATUS_PIPE_BROKEN);
    ZwClose(NpfsServer);
}

static VOID NpfsStates(PKTAP_CONTEXT Ktap)
{
    FILE_PIPE_LOCAL_INFORMATION Info;
    IO_STATUS_BLOCK Listen;

    KTAP_EQUAL(NpfsMake(NPFS_NAME, NULL, 0, &NpfsServer), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsControl(NpfsServer, FSCTL_PIPE_LISTEN, &Listen), STATUS_PENDING);
    KTAP_EQUAL(NpfsOpen(NPFS_NAME, NULL, &NpfsClient), STATUS_SUCCESS);
    KTAP_EQUAL(Listen.Status, STATUS_SUCCESS);
    KTAP_EQUAL(NpfsPut(NpfsClient, "lost", 4), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsControl(NpfsServer, FSCTL_PIPE_DISCONNECT, &NpfsIosb), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsPut(NpfsClient, "x", 1), STATUS_PIPE_DISCONNECTED);
    KTAP_EQUAL(ZwQueryInformationFile(NpfsClient, &NpfsIosb, &Info, sizeof(Info), FilePipeLocalInformation),
               STATUS_SUCCESS);
    KTAP_EQUAL(Info.NamedPipeState, FILE_PIPE_DISCONNECTED_STATE);
    KTAP_EQUAL(NpfsControl(NpfsServer, FSCTL_PIPE_LISTEN, &Listen), STATUS_PENDING);
    ZwClose(NpfsServer);
    KTAP_EQUAL(Listen.Status, STATUS_PIPE_BROKEN);
    ZwClose(NpfsClient);
}

/* A message kept as a whole, its answer into the caller's pages. */
static VOID NpfsTransceive(PKTAP_CONTEXT Ktap)
{
    static CHAR Answer[8];
    IO_STATUS_BLOCK Talk;
    CHAR Text[8];

    KTAP_EQUAL(NpfsMake(NPFS_NAME, NULL, FILE_PIPE_MESSAGE_TYPE, &NpfsServer), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsOpen(NPFS_NAME, NULL, &NpfsClient), STATUS_SUCCESS);
    {
        FILE_PIPE_INFORMATION Modes = {FILE_PIPE_MESSAGE_MODE, FILE_PIPE_QUEUE_OPERATION};

        KTAP_EQUAL(ZwSetInformationFile(NpfsClient, &NpfsIosb, &Modes, sizeof(Modes), FilePipeInformation),
                   STATUS_SUCCESS);
    }
    KTAP_EQUAL(
        ZwFsControlFile(NpfsClient, NULL, NULL, NULL, &Talk, FSCTL_PIPE_TRANSCEIVE, "ask", 3, Answer, sizeof(Answer)),
        STATUS_PENDING);
    KTAP_EQUAL(NpfsGet(NpfsServer, Text, 8, &NpfsIosb), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsIosb.Information, 3);
    KTAP_EQUAL(NpfsPut(NpfsServer, "tell", 4), STATUS_SUCCESS);
    KTAP_CHECK(Talk.Status == STATUS_SUCCESS && Talk.Information == 4 && Answer[3] == 'l');
    NpfsClosePair();
}

/* Waiting for an instance, in vain; and the list of names. */
static VOID NpfsRoot(PKTAP_CONTEXT Ktap)
{
    struct {
        FILE_PIPE_WAIT_FOR_BUFFER Wait;
        WCHAR Rest[8];
    } Buffer = {{.NameLength = 8}};
    static UCHAR Listing[256] __attribute__((aligned(8)));
    UNICODE_STRING Pattern = RTL_CONSTANT_STRING(L"KTAP");
    IO_STATUS_BLOCK Wait;
    HANDLE Root;

    RtlCopyMemory(Buffer.Wait.Name, L"ktap", 8);
    KTAP_EQUAL(NpfsOpen(L"\\Device\\NamedPipe\\", NULL, &Root), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsMake(NPFS_NAME, NULL, 0, &NpfsServer), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsOpen(NPFS_NAME, NULL, &NpfsClient), STATUS_SUCCESS);
    KTAP_EQUAL(ZwFsControlFile(Root, NULL, NULL, NULL, &Wait, FSCTL_PIPE_WAIT, &Buffer, sizeof(Buffer), NULL, 0),
               STATUS_PENDING);
    KTAP_EQUAL(ZwCancelIoFile(Root, &NpfsIosb), STATUS_SUCCESS);
    KTAP_EQUAL(Wait.Status, STATUS_CANCELLED);
    KTAP_EQUAL(ZwFsControlFile(Root, NULL, NULL, NULL, &Wait, FSCTL_PIPE_WAIT, &Buffer, sizeof(Buffer), NULL, 0),
               STATUS_PENDING);
    ZwClose(NpfsServer);
    KTAP_EQUAL(Wait.Status, STATUS_OBJECT_NAME_NOT_FOUND);
    ZwClose(NpfsClient);
    KTAP_EQUAL(NpfsMake(NPFS_NAME, NULL, 0, &NpfsServer), STATUS_SUCCESS);
    KTAP_EQUAL(ZwQueryDirectoryFile(Root, NULL, NULL, NULL, &NpfsIosb, Listing, sizeof(Listing), FileNamesInformation,
                                    TRUE, &Pattern, TRUE),
               STATUS_SUCCESS);
    KTAP_EQUAL(((PFILE_NAMES_INFORMATION)Listing)->FileNameLength, 8);
    ZwClose(NpfsServer);
    ZwClose(Root);
}

/* ---- Two threads ---- */

static volatile LONG NpfsSum;

static VOID NTAPI NpfsReader(PVOID Context)
{
    ULONG64 Rounds = (ULONG64)(ULONG_PTR)Context;
    IO_STATUS_BLOCK Iosb, Ignored;

    for (ULONG64 Round = 0; Round < Rounds;) {
        ULONG Number = 0;
        NTSTATUS Status = NpfsGet(NpfsServer, &Number, sizeof(Number), &Iosb);

        if (Status == STATUS_PENDING) {
            ZwCancelIoFile(NpfsServer, &Ignored); /* may come too late: then it was read */
            Status = Iosb.Status;
        }
        if (Status == STATUS_SUCCESS) {
            NpfsSum += (LONG)Number;
            Round++;
        }
    }
}

/* What one thread writes the other reads, once, though it cancels whatever waits. */
static VOID NpfsCancelRace(PKTAP_CONTEXT Ktap)
{
    ULONG64 Rounds = KtapIterations(1000);
    HANDLE Thread;

    KTAP_EQUAL(NpfsMake(NPFS_NAME, NULL, 0, &NpfsServer), STATUS_SUCCESS);
    KTAP_EQUAL(NpfsOpen(NPFS_NAME, NULL, &NpfsClient), STATUS_SUCCESS);
    NpfsSum = 0;
    Thread = KTAP_WHOLE(IoTestThread(NpfsReader, (PVOID)(ULONG_PTR)Rounds));
    for (ULONG Round = 1; Round <= Rounds; Round++) {
        NTSTATUS Status = ZwWriteFile(NpfsClient, NULL, NULL, NULL, &NpfsIosb, &Round, sizeof(Round), NULL, NULL);

        if (Status == STATUS_PENDING) {
            ZwWaitForSingleObject(NpfsClient, FALSE, NULL);
        }
    }
    IoTestJoin(Thread);
    KTAP_EQUAL(NpfsSum, Rounds * (Rounds + 1) / 2);
    NpfsClosePair();
}

static const KTAP_CASE_ENTRY NpfsCases[] = {
    {"instances", NpfsInstances}, {"anonymous", NpfsAnonymous}, {"messages", NpfsMessages},
    {"waiting", NpfsWaiting},     {"states", NpfsStates},       {"transceive", NpfsTransceive},
    {"root", NpfsRoot},           {"cancel", NpfsCancelRace},
};

KTAP_SUITE(NpfsSuite, "fs.npfs", NpfsCases);
