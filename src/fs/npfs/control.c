/*
 * control.c - IRP_MJ_FILE_SYSTEM_CONTROL: the requests that programs make of pipes.
 *
 * LISTEN, DISCONNECT, PEEK, TRANSCEIVE and WAIT. The others (events, impersonation, attributes) are STATUS_NOT_SUPPORTED. Requests of the server
 * made on a client end, and of an end made on the root, are STATUS_INVALID_PARAMETER or STATUS_ILLEGAL_FUNCTION, as documented.
 *
 * IRQL: PASSIVE_LEVEL. Source: [MS-FSCC] 2.3, WDK documentation of the FSCTL_PIPE codes.
 */
#include "np.h"

static NTSTATUS NpServerRequest(PIRP Irp, PIO_STACK_LOCATION Stack, ULONG Code)
{
    PNP_END End = NpEndOf(Stack->FileObject);
    LIST_ENTRY Done;
    NTSTATUS Status;

    if (End == NULL || End->Side != FILE_PIPE_SERVER_END) {
        return NpComplete(Irp, STATUS_ILLEGAL_FUNCTION, 0);
    }
    InitializeListHead(&Done);
    ExAcquireResourceExclusiveLite(&NpResource, TRUE);
    Status = (Code == FSCTL_PIPE_LISTEN) ? NpListen(End, Irp, &Done) : NpDisconnect(End, &Done);
    ExReleaseResourceLite(&NpResource);
    NpCompleteAll(&Done);
    return (Status == STATUS_PENDING) ? Status : NpComplete(Irp, Status, 0);
}

NTSTATUS NpFsControl(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    ULONG Code = Stack->Parameters.FileSystemControl.FsControlCode;

    if (Stack->MinorFunction != IRP_MN_USER_FS_REQUEST && Stack->MinorFunction != IRP_MN_KERNEL_CALL) {
        return NpComplete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    switch (Code) {
    case FSCTL_PIPE_LISTEN:
    case FSCTL_PIPE_DISCONNECT:
        return NpServerRequest(Irp, Stack, Code);
    case FSCTL_PIPE_PEEK:
        return NpPeek(Irp, Stack);
    case FSCTL_PIPE_TRANSCEIVE:
        return NpTransceive(Irp, Stack);
    case FSCTL_PIPE_WAIT:
        return NpWait(Irp, Stack);
    default:
        return NpComplete(Irp, STATUS_NOT_SUPPORTED, 0);
    }
}
