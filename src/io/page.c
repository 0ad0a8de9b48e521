/*
 * page.c - paging I/O: reads and writes that the memory manager starts for a file.
 *
 * A paging IRP carries IRP_PAGING_IO | IRP_NOCACHE, a locked page-aligned MDL and no system buffer. Its completion writes the
 * caller's status block, frees the IRP and sets the caller's event, in whatever context the device completes in, without an APC;
 * so a thread may wait for it at APC_LEVEL. The MDL and the file's reference are the caller's throughout. IRQL <= APC_LEVEL.
 */
#include "iop.h"

volatile LONG64 IopPagingReads, IopPagingWrites;

static PIRP IopPagingIrp(PFILE_OBJECT FileObject, PMDL Mdl, PKEVENT Event, PIO_STATUS_BLOCK Iosb, PDEVICE_OBJECT Device,
                         UCHAR MajorFunction)
{
    PIRP Irp = IoAllocateIrp(Device->StackSize, FALSE);
    PIO_STACK_LOCATION Stack;

    if (Irp == NULL) {
        return NULL;
    }
    Irp->MdlAddress = Mdl;
    Irp->Flags = IRP_PAGING_IO | IRP_NOCACHE | IRP_SYNCHRONOUS_PAGING_IO;
    Irp->RequestorMode = KernelMode;
    Irp->UserIosb = Iosb;
    Irp->UserEvent = Event;
    Irp->UserBuffer = MmGetMdlVirtualAddress(Mdl);
    Irp->Tail.Overlay.OriginalFileObject = FileObject;
    Irp->Tail.Overlay.Thread = PsGetCurrentThread();
    Stack = IoGetNextIrpStackLocation(Irp);
    Stack->MajorFunction = MajorFunction;
    Stack->FileObject = FileObject;
    return Irp;
}

/**
 * IoPageRead - starts a paging read.
 *
 * @FileObject     file; referenced by the caller until Event is set
 * @Mdl            locked pages; ByteCount bytes are read
 * @Offset         byte offset in the file
 * @Event          set when the read has ended, also when this returns an error other than the one below
 * @IoStatusBlock  outcome
 * returns         STATUS_PENDING: wait for Event; STATUS_INSUFFICIENT_RESOURCES with Event not set: no IRP was sent; else the outcome
 *
 * IRQL <= APC_LEVEL. Locks: none of the file system's or Mm's may be held that its paging path takes.
 */
NTSTATUS NTAPI IoPageRead(PFILE_OBJECT FileObject, PMDL Mdl, PLARGE_INTEGER Offset, PKEVENT Event,
                          PIO_STATUS_BLOCK IoStatusBlock)
{
    PDEVICE_OBJECT Device = IoGetRelatedDeviceObject(FileObject);
    PIRP Irp = IopPagingIrp(FileObject, Mdl, Event, IoStatusBlock, Device, IRP_MJ_READ);
    PIO_STACK_LOCATION Stack;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Irp == NULL) {
        IoStatusBlock->Status = STATUS_INSUFFICIENT_RESOURCES;
        IoStatusBlock->Information = 0;
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Stack = IoGetNextIrpStackLocation(Irp);
    Stack->Parameters.Read.Length = MmGetMdlByteCount(Mdl);
    Stack->Parameters.Read.ByteOffset = *Offset;
    InterlockedIncrement64(&IopPagingReads);
    return IofCallDriver(Device, Irp);
}

/* As IoPageRead, for a write. */
NTSTATUS NTAPI IoSynchronousPageWrite(PFILE_OBJECT FileObject, PMDL Mdl, PLARGE_INTEGER FileOffset, PKEVENT Event,
                                      PIO_STATUS_BLOCK IoStatusBlock)
{
    PDEVICE_OBJECT Device = IoGetRelatedDeviceObject(FileObject);
    PIRP Irp = IopPagingIrp(FileObject, Mdl, Event, IoStatusBlock, Device, IRP_MJ_WRITE);
    PIO_STACK_LOCATION Stack;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Irp == NULL) {
        IoStatusBlock->Status = STATUS_INSUFFICIENT_RESOURCES;
        IoStatusBlock->Information = 0;
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Stack = IoGetNextIrpStackLocation(Irp);
    Stack->Parameters.Write.Length = MmGetMdlByteCount(Mdl);
    Stack->Parameters.Write.ByteOffset = *FileOffset;
    InterlockedIncrement64(&IopPagingWrites);
    return IofCallDriver(Device, Irp);
}
