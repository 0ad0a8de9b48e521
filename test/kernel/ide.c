/*
 * ide.c - suite for ide.sys: sectors moved by DMA and by PIO, to and from a disk, and from the disc drive.
 *
 * The disk is \Device\Harddisk0\DR0, and only if it is a scratch disk: its sector 0 is a header (IDET_HEADER) that the host writes. Every
 * other 8-byte word of it is its byte offset times IDET_FACTOR, so what is read is judged against what the host wrote, not
 * against another read. The cases write complemented words to fixed areas, which test/test_ide.py then looks for in the image. The
 * DMA counters tell which way the data went: the driver moves a buffer at an odd address by PIO, every other one by DMA.
 *
 * Requests are sent to the device object itself, below any file system.
 */
#include <ntos/hal.h>
#include <ntos/io.h>
#include <ntos/ke.h>
#include <ntos/ktap.h>
#include <ntos/ob.h>

#include <ntdddisk.h>

#define IDET_TAG    'tedI'
#define IDET_MAGIC  0x4B5344454C45524FULL
#define IDET_FACTOR 0x9E3779B97F4A7C15ULL
#define IDET_SECTOR 512U
#define IDET_MOST   0x40000U /* bytes of the largest request */
#define IDET_EDGE   64U      /* bytes before and after a buffer that must not change */

/* Where the cases write, in bytes. test/test_ide.py knows the same places. */
#define IDET_WRITE_DMA 0x400000ULL
#define IDET_WRITE_PIO 0x480000ULL

typedef struct _IDET_HEADER {
    ULONG64 Magic;
    ULONG64 Broken; /* byte offset of a sector that can never be read, 0: none */
    ULONG64 Weak;   /* byte offset of a sector whose first read fails, 0: none */
    ULONG64 Stalls; /* not 0: the host keeps the disk from answering until the driver reports a time-out */
} IDET_HEADER;

typedef struct _IDET {
    PDEVICE_OBJECT Device;
    PUCHAR Memory; /* IDET_MOST, a page before it and one after it */
    IDET_HEADER Header;
    LONG64 Lists;          /* DMA lists built by the last request */
    ULONG_PTR Information; /* of the last request */
} IDET;

/* One read, write or flush; returns its final status. */
static NTSTATUS IdetMove(IDET *Test, ULONG Major, PVOID Buffer, ULONG Length, ULONG64 Offset)
{
    LARGE_INTEGER Start = {.QuadPart = (LONGLONG)Offset};
    HAL_DMA_COUNTERS Before, After;
    IO_STATUS_BLOCK Iosb = {0};
    NTSTATUS Status;
    KEVENT Event;
    PIRP Irp;

    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    HalQueryDmaCounters(&Before);
    Irp = IoBuildSynchronousFsdRequest(Major, Test->Device, Buffer, Length, &Start, &Event, &Iosb);
    if (Irp == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = IoCallDriver(Test->Device, Irp);
    if (Status == STATUS_PENDING) {
        KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
        Status = Iosb.Status;
    }
    HalQueryDmaCounters(&After);
    Test->Lists = After.Transfers - Before.Transfers;
    Test->Information = Iosb.Information;
    return Status;
}

static VOID IdetSkip(PKTAP_CONTEXT Ktap, PCSTR Reason)
{
    Ktap->Skipped = TRUE;
    Ktap->SkipReason = Reason;
}

static VOID IdetEnd(IDET *Test)
{
    if (Test->Memory != NULL) {
        ExFreePoolWithTag(Test->Memory, IDET_TAG);
    }
    if (Test->Device != NULL) {
        ObDereferenceObject(Test->Device);
    }
}

/* Finds a device and takes memory; FALSE: the case is skipped or failed. */
static BOOLEAN IdetOpen(PKTAP_CONTEXT Ktap, IDET *Test, PCWSTR Path)
{
    UNICODE_STRING Name;

    RtlZeroMemory(Test, sizeof(*Test));
    RtlInitUnicodeString(&Name, Path);
    if (!NT_SUCCESS(ObReferenceObjectByName(&Name, OBJ_CASE_INSENSITIVE, NULL, 0, IopDeviceObjectType, KernelMode, NULL,
                                            (PVOID *)&Test->Device))) {
        IdetSkip(Ktap, "no such drive");
        return FALSE;
    }
    Test->Memory = ExAllocatePoolWithTag(NonPagedPool, IDET_MOST + 2 * PAGE_SIZE, IDET_TAG);
    if (Test->Memory == NULL) {
        IdetEnd(Test);
        KtapFail(Ktap, __FILE__, __LINE__, "no memory for the buffer");
        return FALSE;
    }
    return TRUE;
}

/* IdetOpen for the scratch disk. */
static BOOLEAN IdetBegin(PKTAP_CONTEXT Ktap, IDET *Test)
{
    NTSTATUS Status;

    if (!IdetOpen(Ktap, Test, L"\\Device\\Harddisk0\\DR0")) {
        return FALSE;
    }
    Status = IdetMove(Test, IRP_MJ_READ, Test->Memory, IDET_SECTOR, 0);
    RtlCopyMemory(&Test->Header, Test->Memory, sizeof(Test->Header));
    if (NT_SUCCESS(Status) && Test->Header.Magic == IDET_MAGIC) {
        return TRUE;
    }
    IdetEnd(Test);
    if (NT_SUCCESS(Status)) {
        IdetSkip(Ktap, "the disk is not a scratch disk");
    } else {
        KtapFail(Ktap, __FILE__, __LINE__, "sector 0: status 0x%lx", Status);
    }
    return FALSE;
}

static VOID IdetFill(PUCHAR Buffer, ULONG Length, ULONG64 Offset, ULONG64 Mask)
{
    for (ULONG Index = 0; Index < Length; Index += sizeof(ULONG64)) {
        ULONG64 Word = ((Offset + Index) * IDET_FACTOR) ^ Mask;

        RtlCopyMemory(Buffer + Index, &Word, sizeof(Word)); /* the buffer may be odd */
    }
}

/* Does a buffer hold the words of this place? */
static BOOLEAN IdetHolds(const UCHAR *Buffer, ULONG Length, ULONG64 Offset, ULONG64 Mask)
{
    for (ULONG Index = 0; Index < Length; Index += sizeof(ULONG64)) {
        ULONG64 Word = ((Offset + Index) * IDET_FACTOR) ^ Mask;

        if (RtlCompareMemory(Buffer + Index, &Word, sizeof(Word)) != sizeof(Word)) {
            return FALSE;
        }
    }
    return TRUE;
}

static BOOLEAN IdetAll(const UCHAR *Bytes, ULONG Length, UCHAR Value)
{
    for (ULONG Index = 0; Index < Length; Index++) {
        if (Bytes[Index] != Value) {
            return FALSE;
        }
    }
    return TRUE;
}

/* Reads to Skew bytes past a page's start; what surrounds the buffer must stay. */
static NTSTATUS IdetReadSkewed(IDET *Test, ULONG Skew, ULONG Length, ULONG64 Offset, PBOOLEAN EdgesKept)
{
    PUCHAR Buffer = Test->Memory + PAGE_SIZE + Skew;
    NTSTATUS Status;

    RtlFillMemory(Buffer - IDET_EDGE, Length + 2 * IDET_EDGE, 0xA5);
    Status = IdetMove(Test, IRP_MJ_READ, Buffer, Length, Offset);
    *EdgesKept = IdetAll(Buffer - IDET_EDGE, IDET_EDGE, 0xA5) && IdetAll(Buffer + Length, IDET_EDGE, 0xA5);
    return Status;
}

static const ULONG IdetLengths[] = {IDET_SECTOR, 3 * IDET_SECTOR, 0x10000, 0x20000, IDET_MOST};

/* Every length at one place in a page: the host's words, nothing beside them, by the way expected. */
static VOID IdetReadLengths(PKTAP_CONTEXT Ktap, IDET *Test, ULONG Skew, BOOLEAN Dma)
{
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(IdetLengths); Index++) {
        ULONG Length = IdetLengths[Index];
        ULONG64 Offset = 0x8200 + 0x600ULL * Index; /* not a page's start */
        BOOLEAN Kept = FALSE;

        KTAP_EQUAL(IdetReadSkewed(Test, Skew, Length, Offset, &Kept), STATUS_SUCCESS);
        KTAP_EQUAL(Test->Information, Length);
        KTAP_CHECK(IdetHolds(Test->Memory + PAGE_SIZE + Skew, Length, Offset, 0));
        KTAP_CHECK(Kept);
        KTAP_EQUAL(Test->Lists != 0, Dma);
    }
}

static VOID IdetReadDma(PKTAP_CONTEXT Ktap)
{
    IDET Test;

    if (IdetBegin(Ktap, &Test)) {
        IdetReadLengths(Ktap, &Test, 0, TRUE);
        IdetEnd(&Test);
    }
}

/* Even, but neither at a page's start nor at a sector's: pieces that end in the middle of pages. */
static VOID IdetReadDmaSkewed(PKTAP_CONTEXT Ktap)
{
    IDET Test;

    if (IdetBegin(Ktap, &Test)) {
        IdetReadLengths(Ktap, &Test, 2, TRUE);
        if (!Ktap->Failed) {
            IdetReadLengths(Ktap, &Test, PAGE_SIZE - 510, TRUE);
        }
        IdetEnd(&Test);
    }
}

static VOID IdetReadPio(PKTAP_CONTEXT Ktap)
{
    IDET Test;

    if (IdetBegin(Ktap, &Test)) {
        IdetReadLengths(Ktap, &Test, 1, FALSE);
        IdetEnd(&Test);
    }
}

/* Writes an area's complemented words, reads them and both neighbours back, and flushes the drive's cache. */
static VOID IdetWriteArea(PKTAP_CONTEXT Ktap, IDET *Test, ULONG Skew, ULONG64 Area, BOOLEAN Dma)
{
    PUCHAR Buffer = Test->Memory + PAGE_SIZE + Skew;
    ULONG64 Offset = Area;

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(IdetLengths); Index++) {
        ULONG Length = IdetLengths[Index];
        BOOLEAN Kept;

        if (Offset + Length > Area + IDET_MOST) {
            Offset = Area;
        }
        IdetFill(Buffer, Length, Offset, MAXULONG64);
        KTAP_EQUAL(IdetMove(Test, IRP_MJ_WRITE, Buffer, Length, Offset), STATUS_SUCCESS);
        KTAP_EQUAL(Test->Information, Length);
        KTAP_EQUAL(Test->Lists != 0, Dma);
        /* Read the other way than it was written. */
        KTAP_EQUAL(IdetReadSkewed(Test, Skew ^ 1, Length, Offset, &Kept), STATUS_SUCCESS);
        KTAP_CHECK(Kept && IdetHolds(Test->Memory + PAGE_SIZE + (Skew ^ 1), Length, Offset, MAXULONG64));
        Offset += Length;
    }
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Buffer, IDET_SECTOR, Area - IDET_SECTOR), STATUS_SUCCESS);
    KTAP_CHECK(IdetHolds(Buffer, IDET_SECTOR, Area - IDET_SECTOR, 0));
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Buffer, IDET_SECTOR, Area + IDET_MOST), STATUS_SUCCESS);
    KTAP_CHECK(IdetHolds(Buffer, IDET_SECTOR, Area + IDET_MOST, 0));
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_FLUSH_BUFFERS, NULL, 0, 0), STATUS_SUCCESS);
}

static VOID IdetWriteDma(PKTAP_CONTEXT Ktap)
{
    IDET Test;

    if (IdetBegin(Ktap, &Test)) {
        IdetWriteArea(Ktap, &Test, 0, IDET_WRITE_DMA, TRUE);
        IdetEnd(&Test);
    }
}

static VOID IdetWritePio(PKTAP_CONTEXT Ktap)
{
    IDET Test;

    if (IdetBegin(Ktap, &Test)) {
        IdetWriteArea(Ktap, &Test, 1, IDET_WRITE_PIO, FALSE);
        IdetEnd(&Test);
    }
}

/* The drive's size in bytes, 0: it would not say. */
static ULONG64 IdetSize(IDET *Test)
{
    GET_LENGTH_INFORMATION Length = {0};
    IO_STATUS_BLOCK Iosb = {0};
    NTSTATUS Status;
    KEVENT Event;
    PIRP Irp;

    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Irp = IoBuildDeviceIoControlRequest(IOCTL_DISK_GET_LENGTH_INFO, Test->Device, NULL, 0, &Length, sizeof(Length),
                                        FALSE, &Event, &Iosb);
    if (Irp == NULL) {
        return 0;
    }
    Status = IoCallDriver(Test->Device, Irp);
    if (Status == STATUS_PENDING) {
        KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
        Status = Iosb.Status;
    }
    return NT_SUCCESS(Status) ? (ULONG64)Length.Length.QuadPart : 0;
}

/* The last sector is read; one more is not there; a transfer that reaches past the end moves nothing, whichever way it goes. */
static VOID IdetRunEnd(PKTAP_CONTEXT Ktap, IDET *Test)
{
    PUCHAR Buffer = Test->Memory;
    ULONG64 Size = IdetSize(Test);

    KTAP_CHECK(Size >= IDET_WRITE_PIO + 2 * IDET_MOST);
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Buffer, IDET_SECTOR, Size - IDET_SECTOR), STATUS_SUCCESS);
    KTAP_CHECK(IdetHolds(Buffer, IDET_SECTOR, Size - IDET_SECTOR, 0));
    RtlFillMemory(Buffer, 2 * IDET_SECTOR, 0xA5);
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Buffer, IDET_SECTOR, Size), STATUS_NONEXISTENT_SECTOR);
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Buffer, 2 * IDET_SECTOR, Size - IDET_SECTOR), STATUS_NONEXISTENT_SECTOR);
    KTAP_EQUAL(Test->Information, 0);
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Buffer, IDET_SECTOR, 1ULL << 62), STATUS_NONEXISTENT_SECTOR);
    KTAP_CHECK(IdetAll(Buffer, 2 * IDET_SECTOR, 0xA5));
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_WRITE, Buffer, 2 * IDET_SECTOR, Size - IDET_SECTOR), STATUS_NONEXISTENT_SECTOR);
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Buffer, IDET_SECTOR, Size - IDET_SECTOR), STATUS_SUCCESS);
    KTAP_CHECK(IdetHolds(Buffer, IDET_SECTOR, Size - IDET_SECTOR, 0)); /* the refused write wrote nothing */
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Buffer, IDET_SECTOR - 2, 0), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Buffer, IDET_SECTOR, 2), STATUS_INVALID_PARAMETER);
}

static VOID IdetBeyondEnd(PKTAP_CONTEXT Ktap)
{
    IDET Test;

    if (IdetBegin(Ktap, &Test)) {
        IdetRunEnd(Ktap, &Test);
        IdetEnd(&Test);
    }
}

/* A sector that cannot be read fails its request in bounded time, and neither the drive nor its DMA is given up for it. */
static VOID IdetRunBroken(PKTAP_CONTEXT Ktap, IDET *Test)
{
    PUCHAR Buffer = Test->Memory + PAGE_SIZE;
    ULONG64 Broken = Test->Header.Broken, First = Broken & ~0xFFFFULL, Start = KeQueryInterruptTime();
    NTSTATUS Status = IdetMove(Test, IRP_MJ_READ, Buffer, 0x10000, First);

    KTAP_EQUAL(Status, STATUS_IO_DEVICE_ERROR);
    KTAP_EQUAL(Test->Information, 0);
    KTAP_CHECK(KeQueryInterruptTime() - Start < 50000000); /* 5 s */
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Buffer + 1, IDET_SECTOR, Broken), STATUS_IO_DEVICE_ERROR);
    KTAP_EQUAL(Test->Lists, 0);
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Buffer, (ULONG)(Broken - First), First), STATUS_SUCCESS);
    KTAP_CHECK(IdetHolds(Buffer, (ULONG)(Broken - First), First, 0));
    KTAP_EQUAL(Test->Lists, 1);
}

static VOID IdetBrokenSector(PKTAP_CONTEXT Ktap)
{
    IDET Test;

    if (!IdetBegin(Ktap, &Test)) {
        return;
    }
    if (Test.Header.Broken == 0) {
        IdetSkip(Ktap, "the disk has no broken sector");
    } else {
        IdetRunBroken(Ktap, &Test);
    }
    IdetEnd(&Test);
}

/* A sector whose first read fails is read all the same: the driver tries again, by DMA. */
static VOID IdetRunWeak(PKTAP_CONTEXT Ktap, IDET *Test)
{
    PUCHAR Buffer = Test->Memory + PAGE_SIZE;
    ULONG64 First = Test->Header.Weak & ~0xFFFFULL;

    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Buffer, 0x10000, First), STATUS_SUCCESS);
    KTAP_CHECK(IdetHolds(Buffer, 0x10000, First, 0));
    KTAP_EQUAL(Test->Lists, 2);
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Buffer, 0x10000, First), STATUS_SUCCESS);
    KTAP_EQUAL(Test->Lists, 1);
}

static VOID IdetWeakSector(PKTAP_CONTEXT Ktap)
{
    IDET Test;

    if (!IdetBegin(Ktap, &Test)) {
        return;
    }
    if (Test.Header.Weak == 0) {
        IdetSkip(Ktap, "the disk has no weak sector");
    } else {
        IdetRunWeak(Ktap, &Test);
    }
    IdetEnd(&Test);
}

/* A transfer that never ends is given up after the driver's ten seconds; reset and repeated, it brings the data, still by DMA. */
static VOID IdetRunStalled(PKTAP_CONTEXT Ktap, IDET *Test)
{
    PUCHAR Buffer = Test->Memory + PAGE_SIZE;
    ULONG64 Start = KeQueryInterruptTime(), Passed;

    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Buffer, 0x10000, 0x10000), STATUS_SUCCESS);
    Passed = KeQueryInterruptTime() - Start;
    KTAP_CHECK(IdetHolds(Buffer, 0x10000, 0x10000, 0));
    KTAP_EQUAL(Test->Lists, 2);
    KTAP_CHECK(Passed >= 100000000 && Passed < 200000000); /* one time-out, not two */
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Buffer, 0x10000, 0x20000), STATUS_SUCCESS);
    KTAP_CHECK(IdetHolds(Buffer, 0x10000, 0x20000, 0));
    KTAP_EQUAL(Test->Lists, 1);
}

static VOID IdetStalledDisk(PKTAP_CONTEXT Ktap)
{
    IDET Test;

    if (!IdetBegin(Ktap, &Test)) {
        return;
    }
    if (Test.Header.Stalls == 0) {
        IdetSkip(Ktap, "nobody stalls the disk");
    } else {
        IdetRunStalled(Ktap, &Test);
    }
    IdetEnd(&Test);
}

/* The disc's first 128 KB by packet commands: DMA and PIO bring the same bytes, and an ISO 9660 descriptor among them. */
static VOID IdetRunDisc(PKTAP_CONTEXT Ktap, IDET *Test)
{
    PUCHAR Dma = Test->Memory, Pio = Test->Memory + 0x20000 + PAGE_SIZE + 1;
    ULONG Length = 0x20000; /* several data blocks of a PIO command */

    RtlFillMemory(Dma, Length, 0xA5);
    RtlFillMemory(Pio - 1, Length + 2, 0x5A);
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Dma, Length, 0), STATUS_SUCCESS);
    KTAP_EQUAL(Test->Lists, 1);
    KTAP_EQUAL(RtlCompareMemory(Dma + 0x8001, "CD001", 5), 5);
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Pio, Length, 0), STATUS_SUCCESS);
    KTAP_EQUAL(Test->Lists, 0);
    KTAP_EQUAL(Test->Information, Length);
    KTAP_EQUAL(RtlCompareMemory(Dma, Pio, Length), Length);
    KTAP_CHECK(Pio[-1] == 0x5A && Pio[Length] == 0x5A);
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Pio, 2048, 1ULL << 40), STATUS_NONEXISTENT_SECTOR);
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_READ, Pio, 512, 0), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(IdetMove(Test, IRP_MJ_WRITE, Dma, 2048, 0), STATUS_MEDIA_WRITE_PROTECTED);
}

static VOID IdetDisc(PKTAP_CONTEXT Ktap)
{
    IDET Test;

    if (IdetOpen(Ktap, &Test, L"\\Device\\CdRom0")) {
        IdetRunDisc(Ktap, &Test);
        IdetEnd(&Test);
    }
}

static const KTAP_CASE_ENTRY IdetCases[] = {
    {"read_dma", IdetReadDma},           {"read_dma_skewed", IdetReadDmaSkewed},
    {"read_pio", IdetReadPio},           {"write_dma", IdetWriteDma},
    {"write_pio", IdetWritePio},         {"beyond_end", IdetBeyondEnd},
    {"broken_sector", IdetBrokenSector}, {"weak_sector", IdetWeakSector},
    {"stalled_disk", IdetStalledDisk},   {"disc", IdetDisc},
};
KTAP_SUITE(IdetSuite, "io.ide", IdetCases);
