/*
 * create.c - opening: the device, its root directory, client ends (IRP_MJ_CREATE) and server ends (IRP_MJ_CREATE_NAMED_PIPE).
 *
 *     \Device\NamedPipe           the device: for FSCTL_PIPE_WAIT
 *     \Device\NamedPipe\          the root: also to be listed, and to create and open relative to
 *     \Device\NamedPipe\NAME      a pipe; NAME may hold anything but an empty or trailing component
 *
 * An empty name relative to the root creates an anonymous pipe; an empty name relative to its server end opens the client end. A client end is
 * connected to the oldest instance that listens. What an end may be opened for follows from the pipe's direction.
 *
 * Decode, check, then make: END and instance are allocated before anything is changed. Lock: the resource, exclusive.
 * IRQL: PASSIVE_LEVEL. Source: WDK documentation of ZwCreateFile, documentation of CreateNamedPipe and CreateFile.
 */
#include "np.h"

/* The name of a pipe to open or create, without its first backslash. */
static NTSTATUS NpDecodeName(PFILE_OBJECT File, PUNICODE_STRING Name)
{
    *Name = File->FileName;
    if (Name->Length == 0) {
        return STATUS_SUCCESS;
    }
    if (File->RelatedFileObject != NULL) {
        if (NpRootOf(File->RelatedFileObject) == NULL) {
            return STATUS_OBJECT_NAME_INVALID; /* below a pipe there is nothing */
        }
    } else {
        if (Name->Buffer[0] != L'\\') {
            return STATUS_OBJECT_NAME_INVALID;
        }
        Name->Buffer++;
        Name->Length -= sizeof(WCHAR);
    }
    if (Name->Length != 0 && (Name->Buffer[0] == L'\\' || Name->Buffer[Name->Length / sizeof(WCHAR) - 1] == L'\\')) {
        return STATUS_OBJECT_NAME_INVALID;
    }
    return STATUS_SUCCESS;
}

static PNP_END NpNewEnd(UCHAR Side)
{
    PNP_END End = ExAllocatePoolWithTag(NonPagedPool, sizeof(*End), NP_TAG_END);

    if (End != NULL) {
        RtlZeroMemory(End, sizeof(*End));
        End->NodeType = NP_NODE_END;
        End->Side = Side;
    }
    return End;
}

/* ---- The device and its root ---- */

static NTSTATUS NpOpenRoot(PFILE_OBJECT File, ULONG Options, BOOLEAN Device)
{
    PNP_ROOT Root;

    if (!Device && (Options & FILE_NON_DIRECTORY_FILE) != 0) {
        return STATUS_FILE_IS_A_DIRECTORY;
    }
    if (Device && (Options & FILE_DIRECTORY_FILE) != 0) {
        return STATUS_NOT_A_DIRECTORY;
    }
    Root = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Root), NP_TAG_END);
    if (Root == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Root, sizeof(*Root));
    Root->NodeType = NP_NODE_ROOT;
    File->FsContext = Root;
    return STATUS_SUCCESS;
}

/* ---- Client ends ---- */

/* A client reads what comes outbound and writes what goes inbound, and asks for no more. */
static NTSTATUS NpCheckDirection(PNP_PIPE Pipe, ACCESS_MASK Access)
{
    if ((Pipe->Configuration == FILE_PIPE_INBOUND && (Access & FILE_READ_DATA) != 0) ||
        (Pipe->Configuration == FILE_PIPE_OUTBOUND && (Access & FILE_WRITE_DATA) != 0)) {
        return STATUS_ACCESS_DENIED;
    }
    return STATUS_SUCCESS;
}

/* Connects Client to an instance of the pipe, the given one or any. STATUS_PIPE_NOT_AVAILABLE: none listens. */
static NTSTATUS NpConnectAny(PNP_PIPE Pipe, PNP_INSTANCE Only, PNP_END Client, PLIST_ENTRY Done)
{
    if (Only != NULL) {
        return NpConnect(Only, Client, Done) ? STATUS_SUCCESS : STATUS_PIPE_NOT_AVAILABLE;
    }
    for (PLIST_ENTRY Link = Pipe->Instances.Flink; Link != &Pipe->Instances; Link = Link->Flink) {
        if (NpConnect(CONTAINING_RECORD(Link, NP_INSTANCE, Link), Client, Done)) {
            return STATUS_SUCCESS;
        }
    }
    return STATUS_PIPE_NOT_AVAILABLE;
}

static NTSTATUS NpOpenClient(PIRP Irp, PIO_STACK_LOCATION Stack, PNP_PIPE Pipe, PNP_INSTANCE Only, PLIST_ENTRY Done)
{
    PIO_SECURITY_CONTEXT Context = Stack->Parameters.Create.SecurityContext;
    ULONG Disposition = Stack->Parameters.Create.Options >> 24;
    PNP_END Client;
    NTSTATUS Status;

    if (Disposition != FILE_OPEN && Disposition != FILE_OPEN_IF) {
        return (Disposition == FILE_CREATE) ? STATUS_ACCESS_DENIED : STATUS_INVALID_PARAMETER;
    }
    if ((Stack->Parameters.Create.Options & FILE_DIRECTORY_FILE) != 0) {
        return STATUS_NOT_A_DIRECTORY;
    }
    Status = NpCheckDirection(Pipe, Context->DesiredAccess);
    if (NT_SUCCESS(Status)) {
        Status = NpCheckAccess(Pipe, Context, 0, Irp->RequestorMode);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Client = NpNewEnd(FILE_PIPE_CLIENT_END);
    if (Client == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = NpConnectAny(Pipe, Only, Client, Done);
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(Client, NP_TAG_END);
        return Status;
    }
    Stack->FileObject->FsContext = Client;
    Stack->FileObject->Flags |= FO_NAMED_PIPE;
    return STATUS_SUCCESS;
}

static NTSTATUS NpOpenByName(PIRP Irp, PIO_STACK_LOCATION Stack, PLIST_ENTRY Done)
{
    PFILE_OBJECT File = Stack->FileObject;
    PNP_END Related = NpEndOf(File->RelatedFileObject);
    UNICODE_STRING Name;
    PNP_PIPE Pipe;
    NTSTATUS Status = NpDecodeName(File, &Name);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Related != NULL) {
        return (Related->Side == FILE_PIPE_SERVER_END)
                   ? NpOpenClient(Irp, Stack, Related->Instance->Pipe, Related->Instance, Done)
                   : STATUS_INVALID_PARAMETER;
    }
    if (Name.Length == 0) {
        return NpOpenRoot(File, Stack->Parameters.Create.Options,
                          File->FileName.Length == 0 && File->RelatedFileObject == NULL);
    }
    Pipe = NpFindPipe(&Name);
    return (Pipe == NULL) ? STATUS_OBJECT_NAME_NOT_FOUND : NpOpenClient(Irp, Stack, Pipe, NULL, Done);
}

/**
 * NpCreate - IRP_MJ_CREATE.
 *
 * Errors: STATUS_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_NAME_INVALID, STATUS_PIPE_NOT_AVAILABLE (no instance listens),
 * STATUS_ACCESS_DENIED, STATUS_INVALID_PARAMETER, STATUS_INSUFFICIENT_RESOURCES.
 */
NTSTATUS NpCreate(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    LIST_ENTRY Done;
    NTSTATUS Status;

    InitializeListHead(&Done);
    ExAcquireResourceExclusiveLite(&NpResource, TRUE);
    Status = NpOpenByName(Irp, Stack, &Done);
    ExReleaseResourceLite(&NpResource);
    NpCompleteAll(&Done);
    return NpComplete(Irp, Status, NT_SUCCESS(Status) ? FILE_OPENED : 0);
}

/* ---- Server ends ---- */

/* What the parameters say of the pipe. STATUS_INVALID_PARAMETER: they contradict themselves. */
static NTSTATUS NpDecodePipe(PIO_STACK_LOCATION Stack, PNP_PIPE Template)
{
    PNAMED_PIPE_CREATE_PARAMETERS Given = Stack->Parameters.CreatePipe.Parameters;
    USHORT Share = Stack->Parameters.CreatePipe.ShareAccess & (FILE_SHARE_READ | FILE_SHARE_WRITE);

    RtlZeroMemory(Template, sizeof(*Template));
    if (Share == 0 || Given->MaximumInstances == 0 ||
        ((Given->NamedPipeType & FILE_PIPE_MESSAGE_TYPE) == 0 && Given->ReadMode == FILE_PIPE_MESSAGE_MODE)) {
        return STATUS_INVALID_PARAMETER;
    }
    Template->Type = Given->NamedPipeType & FILE_PIPE_MESSAGE_TYPE;
    Template->Configuration = (Share == FILE_SHARE_READ)    ? FILE_PIPE_OUTBOUND
                              : (Share == FILE_SHARE_WRITE) ? FILE_PIPE_INBOUND
                                                            : FILE_PIPE_FULL_DUPLEX;
    Template->Maximum = Given->MaximumInstances;
    Template->Timeout = Given->DefaultTimeout;
    return STATUS_SUCCESS;
}

/* May another instance be made of a pipe that is there? */
static NTSTATUS NpCheckExisting(PIRP Irp, PIO_STACK_LOCATION Stack, PNP_PIPE Pipe, const NP_PIPE *Template)
{
    ULONG Disposition = Stack->Parameters.CreatePipe.Options >> 24;
    NTSTATUS Status;

    if (Disposition == FILE_CREATE || Pipe->Type != Template->Type || Pipe->Configuration != Template->Configuration) {
        return STATUS_ACCESS_DENIED;
    }
    Status = NpCheckAccess(Pipe, Stack->Parameters.CreatePipe.SecurityContext, NP_CREATE_INSTANCE, Irp->RequestorMode);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    return (Pipe->Count >= Pipe->Maximum) ? STATUS_INSTANCE_NOT_AVAILABLE : STATUS_SUCCESS;
}

/* The pipe to make an instance of: the one of that name, or a new one. */
static NTSTATUS NpChoosePipe(PIRP Irp, PIO_STACK_LOCATION Stack, PNP_PIPE *Pipe)
{
    PNAMED_PIPE_CREATE_PARAMETERS Given = Stack->Parameters.CreatePipe.Parameters;
    ULONG Disposition = Stack->Parameters.CreatePipe.Options >> 24;
    UNICODE_STRING Name;
    NP_PIPE Template;
    NTSTATUS Status = NpDecodeName(Stack->FileObject, &Name);

    if (NT_SUCCESS(Status)) {
        Status = NpDecodePipe(Stack, &Template);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Name.Length == 0 && NpRootOf(Stack->FileObject->RelatedFileObject) == NULL) {
        return STATUS_OBJECT_NAME_INVALID;
    }
    *Pipe = (Name.Length == 0) ? NULL : NpFindPipe(&Name);
    if (*Pipe != NULL) {
        return NpCheckExisting(Irp, Stack, *Pipe, &Template);
    }
    if (Disposition == FILE_OPEN) {
        return STATUS_OBJECT_NAME_NOT_FOUND;
    }
    if (!Given->TimeoutSpecified || Given->DefaultTimeout.QuadPart >= 0) {
        return STATUS_INVALID_PARAMETER;
    }
    return NpCreatePipe(&Name, &Template, Stack->Parameters.CreatePipe.SecurityContext->AccessState, Pipe);
}

/* *Information gets FILE_CREATED for a new pipe, FILE_OPENED for another instance. */
static NTSTATUS NpOpenServer(PIRP Irp, PIO_STACK_LOCATION Stack, PULONG Information)
{
    PNAMED_PIPE_CREATE_PARAMETERS Given = Stack->Parameters.CreatePipe.Parameters;
    PNP_END Server = NpNewEnd(FILE_PIPE_SERVER_END);
    PNP_INSTANCE Instance;
    PNP_PIPE Pipe;
    NTSTATUS Status = (Server == NULL) ? STATUS_INSUFFICIENT_RESOURCES : NpChoosePipe(Irp, Stack, &Pipe);

    if (!NT_SUCCESS(Status)) {
        goto Fail;
    }
    *Information = (Pipe->Count == 0) ? FILE_CREATED : FILE_OPENED;
    Instance = NpNewInstance(Pipe, Given->InboundQuota, Given->OutboundQuota);
    if (Instance == NULL) {
        if (Pipe->Count == 0) {
            NpReleasePipe(Pipe);
        }
        Status = STATUS_INSUFFICIENT_RESOURCES;
        goto Fail;
    }
    Server->ReadMode = Given->ReadMode;
    Server->CompletionMode = Given->CompletionMode;
    Server->Instance = Instance; /* with the reference of its making */
    Instance->End[FILE_PIPE_SERVER_END] = Server;
    Stack->FileObject->FsContext = Server;
    Stack->FileObject->Flags |= FO_NAMED_PIPE;
    NpWakeWaiters(Pipe, NULL, STATUS_SUCCESS);
    return STATUS_SUCCESS;
Fail:
    if (Server != NULL) {
        ExFreePoolWithTag(Server, NP_TAG_END);
    }
    return Status;
}

/**
 * NpCreateNamedPipe - IRP_MJ_CREATE_NAMED_PIPE.
 *
 * Errors: STATUS_ACCESS_DENIED (exists and was to be the first, or is of another kind), STATUS_INSTANCE_NOT_AVAILABLE,
 * STATUS_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_NAME_INVALID, STATUS_INVALID_PARAMETER, STATUS_INSUFFICIENT_RESOURCES.
 */
NTSTATUS NpCreateNamedPipe(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    ULONG Information = 0;
    NTSTATUS Status;

    ExAcquireResourceExclusiveLite(&NpResource, TRUE);
    Status = NpOpenServer(Irp, Stack, &Information);
    ExReleaseResourceLite(&NpResource);
    return NpComplete(Irp, Status, NT_SUCCESS(Status) ? Information : 0);
}
