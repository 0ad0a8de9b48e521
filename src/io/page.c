/*
 * page.c - paging I/O: reads and writes that the memory manager starts for a file.
 *
 * A paging IRP carries IRP_PAGING_IO | IRP_NOCACHE, a locked page-aligned MDL and no system buffer. Its completion writes the
 * caller's status block, frees the IRP and sets the caller's event, in whatever context the device completes in, without an APC;
 * so a thread may wait for it at APC_LEVEL. The MDL and the file's reference are the caller's throughout. IRQL <= APC_LEVEL.
 */
#include "iop.h"

volatile LONG64 IopPagingReads, IopPagingWrites;

static PIRP IopPagingIrp(PFILE_OBJECT FileObject, PMDL Mdl, PKEVENT Event, PIO_STATUS_BLOCK Iosb, PDEVICE_OBJECT Device)
{
    PIRP Irp = IoAllocateIrp(Device->StackSize, FALSE);

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
    IoGetNextIrpStackLocation(Irp)->FileObject = FileObject;
    return Irp;
}

/* IRP_MJ_READ and IRP_MJ_WRITE have parameters of one layout. */
C_ASSERT(FIELD_OFFSET(IO_STACK_LOCATION, Parameters.Read.Length) ==
         FIELD_OFFSET(IO_STACK_LOCATION, Parameters.Write.Length));
C_ASSERT(FIELD_OFFSET(IO_STACK_LOCATION, Parameters.Read.ByteOffset) ==
         FIELD_OFFSET(IO_STACK_LOCATION, Parameters.Write.ByteOffset));

static NTSTATUS IopPage(PFILE_OBJECT FileObject, PMDL Mdl, PLARGE_INTEGER Offset, PKEVENT Event, PIO_STATUS_BLOCK Iosb,
                        UCHAR MajorFunction, volatile LONG64 *Counter)
{
    PDEVICE_OBJECT Device = IoGetRelatedDeviceObject(FileObject);
    PIRP Irp = IopPagingIrp(FileObject, Mdl, Event, Iosb, Device);
    PIO_STACK_LOCATION Stack;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Irp == NULL) {
        Iosb->Status = STATUS_INSUFFICIENT_RESOURCES;
        Iosb->Information = 0;
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Stack = IoGetNextIrpStackLocation(Irp);
    Stack->MajorFunction = MajorFunction;
    Stack->Parameters.Read.Length = MmGetMdlByteCount(Mdl);
    Stack->Parameters.Read.ByteOffset = *Offset;
    InterlockedIncrement64(Counter);
    return IofCallDriver(Device, Irp);
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
    return IopPage(FileObject, Mdl, Offset, Event, IoStatusBlock, IRP_MJ_READ, &IopPagingReads);
}

/* As IoPageRead, for a write. */
NTSTATUS NTAPI IoSynchronousPageWrite(PFILE_OBJECT FileObject, PMDL Mdl, PLARGE_INTEGER FileOffset, PKEVENT Event,
                                      PIO_STATUS_BLOCK IoStatusBlock)
{
    return IopPage(FileObject, Mdl, FileOffset, Event, IoStatusBlock, IRP_MJ_WRITE, &IopPagingWrites);
}
