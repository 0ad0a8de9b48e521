/*
 * imagepage.c - the content of an image's pages: bytes of the file, moved to where the image is relocated for.
 *
 * A page of an image is made when it is first wanted: its part of the file is copied, through windows, from the pages of the file's data
 * section, which is read in if need be; the rest is zero; then the relocations of the page are applied. So the page is the same in
 * every process, and a page that was repurposed is simply made again. A relocation that straddles two pages is applied to
 * each page's share of it, from the bytes of the file.
 *
 * ImageBase in the headers is set to where the image is, so that whoever reads them in memory sees an image that needs no moving.
 *
 * Locks: none held; the PFN lock while one page's bytes are copied. IRQL: <= APC_LEVEL.
 *
 * Source: Microsoft PE and COFF Specification, "The .reloc Section".
 */
#include "../misection.h"

#define MI_RELOCATION_BLOCK 8 /* page RVA, block size */
#define MI_RELOCATION_DIR64 10
#define MI_RELOCATION_BYTES sizeof(ULONG64)
#define MI_STRADDLE(Offset) ((Offset) > PAGE_SIZE - MI_RELOCATION_BYTES)

/* ---- Bytes of the file ---- */

/* Where bytes go: nonpaged memory, or a place in a frame. */
typedef struct _MI_SINK {
    PVOID Buffer; /* NULL: Frame */
    PFN_FRAME Frame;
    ULONG Offset; /* in the frame */
} MI_SINK;

/* Copies out of one page of a data section if it is in memory. TRUE: done. */
static BOOLEAN MiCopyFromPrototype(PMMPTE Prototype, ULONG From, ULONG Bytes, const MI_SINK *Sink)
{
    KIRQL Irql;
    BOOLEAN Done;

    (void)*(volatile ULONG64 *)&Prototype->Long; /* resident before the PFN lock is taken */
    Irql = MiLockPfn();
    Done = MiLookAtPrototype(Prototype) == MiPrototypeMapped;
    if (Done) {
        PFN_FRAME Frame = Prototype->Hard.Valid ? MiPteFrame(*Prototype) : MiTransitionFrame(*Prototype);
        PUCHAR Source = MiMapFrame(Frame, MiWriteBack);
        PUCHAR To = Sink->Buffer != NULL ? Sink->Buffer : MiMapFrame(Sink->Frame, MiWriteBack);

        RtlCopyMemory(To + Sink->Offset, Source + From, Bytes);
        if (Sink->Buffer == NULL) {
            MiUnmapFrame(To);
        }
        MiUnmapFrame(Source);
    }
    MiUnlockPfn(Irql);
    return Done;
}

/* Copies bytes of a file whose data section has prototype PTEs for all of it. */
static NTSTATUS MiCopyFileBytes(PCONTROL_AREA Data, ULONG64 Offset, ULONG Bytes, MI_SINK Sink)
{
    while (Bytes != 0) {
        ULONG From = (ULONG)Offset & (PAGE_SIZE - 1), Piece = min(Bytes, PAGE_SIZE - From);
        PSUBSECTION Subsection = MiSubsectionOfPage(Data, Offset >> PAGE_SHIFT);
        PMMPTE Prototype = &Subsection->Prototypes[(Offset >> PAGE_SHIFT) - Subsection->StartingPage];

        do {
            NTSTATUS Status = MiReadPrototype(Prototype);

            if (!NT_SUCCESS(Status)) {
                return Status;
            }
        } while (!MiCopyFromPrototype(Prototype, From, Piece, &Sink));
        Offset += Piece;
        Bytes -= Piece;
        Sink.Offset += Piece;
    }
    return STATUS_SUCCESS;
}

NTSTATUS MiReadFileBytes(PCONTROL_AREA Data, ULONG64 Offset, ULONG Bytes, PVOID Buffer)
{
    NTSTATUS Status = MiCreatePrototypes(Data, Offset >> PAGE_SHIFT, ADDRESS_AND_SIZE_TO_SPAN_PAGES(Offset, Bytes));

    return NT_SUCCESS(Status) ? MiCopyFileBytes(Data, Offset, Bytes, (MI_SINK){.Buffer = Buffer}) : Status;
}

/* Bytes of a part that the file has, from Offset (in the part) on, at most Most. */
static ULONG MiFileBytesOfPart(const MI_IMAGE_PART *Part, ULONG64 Offset, ULONG Most)
{
    return Offset >= Part->FileBytes ? 0 : (ULONG)min(Part->FileBytes - Offset, Most);
}

/* ---- Relocation ---- */

/* Offset + 1 of a page's relocations; 0: it has none. */
static ULONG MiRelocationBlock(const MI_IMAGE *Image, ULONG64 Page)
{
    return Image->FirstRelocation == NULL ? 0 : Image->FirstRelocation[Page];
}

/* A relocation of a page of the image whose value begins in its last 7 bytes; PAGE_SIZE: none. */
static ULONG MiFindStraddling(const MI_IMAGE *Image, ULONG64 Page)
{
    ULONG Block = MiRelocationBlock(Image, Page);
    const UCHAR *Bytes = Image->Relocations + Block - 1;

    if (Block == 0) {
        return PAGE_SIZE;
    }
    for (ULONG At = MI_RELOCATION_BLOCK; At + sizeof(USHORT) <= *(const ULONG *)(Bytes + 4); At += sizeof(USHORT)) {
        USHORT Entry = *(const USHORT *)(Bytes + At);

        if (Entry >> 12 == MI_RELOCATION_DIR64 && MI_STRADDLE(Entry & 0xFFFu)) {
            return Entry & 0xFFF;
        }
    }
    return PAGE_SIZE;
}

/* The values that lie in a page as a whole. IRQL: DISPATCH_LEVEL; Bytes: the page. */
static VOID MiRelocatePage(const MI_IMAGE *Image, ULONG64 Page, PUCHAR Bytes)
{
    ULONG Block = MiRelocationBlock(Image, Page);
    const UCHAR *Table = Image->Relocations + Block - 1;

    if (Block == 0) {
        return;
    }
    for (ULONG At = MI_RELOCATION_BLOCK; At + sizeof(USHORT) <= *(const ULONG *)(Table + 4); At += sizeof(USHORT)) {
        USHORT Entry = *(const USHORT *)(Table + At);
        ULONG Offset = Entry & 0xFFF;

        if (Entry >> 12 == MI_RELOCATION_DIR64 && !MI_STRADDLE(Offset)) {
            *(ULONG64 UNALIGNED *)(Bytes + Offset) += Image->Delta;
        }
    }
}

/* Eight bytes of the image as the linker made it. */
static NTSTATUS MiReadRawValue(PCONTROL_AREA Image, PCONTROL_AREA Data, ULONG64 Rva, PUCHAR Value)
{
    ULONG64 Zero = 0;

    RtlCopyMemory(Value, &Zero, sizeof(Zero));
    for (ULONG Done = 0; Done < MI_RELOCATION_BYTES;) {
        PMI_IMAGE_PART Part = MiPartOf(MiSubsectionOfPage(Image, (Rva + Done) >> PAGE_SHIFT));
        ULONG64 Offset = Rva + Done - (Part->StartingPage << PAGE_SHIFT);
        ULONG InPage = (ULONG)min(MI_RELOCATION_BYTES - Done, PAGE_SIZE - ((Rva + Done) & (PAGE_SIZE - 1)));
        ULONG Bytes = MiFileBytesOfPart(Part, Offset, InPage);
        NTSTATUS Status = MiCopyFileBytes(Data, Part->FileOffset + Offset, Bytes, (MI_SINK){.Buffer = Value + Done});

        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        Done += InPage;
    }
    return STATUS_SUCCESS;
}

/* The share that a page has of a value that begins in Page (its own, or the one before) and ends in the next. */
static NTSTATUS MiRelocateShare(PCONTROL_AREA Area, PCONTROL_AREA Data, ULONG64 Page, ULONG64 Target, PFN_FRAME Frame)
{
    ULONG Offset = MiFindStraddling(Area->Image, Page), Before = PAGE_SIZE - Offset;
    union {
        ULONG64 Long;
        UCHAR Byte[MI_RELOCATION_BYTES];
    } Value;
    PUCHAR Bytes;
    NTSTATUS Status;
    KIRQL Irql;

    if (Offset == PAGE_SIZE) {
        return STATUS_SUCCESS;
    }
    Status = MiReadRawValue(Area, Data, (Page << PAGE_SHIFT) + Offset, Value.Byte);
    if (NT_SUCCESS(Status)) {
        Value.Long += Area->Image->Delta;
        KeRaiseIrql(DISPATCH_LEVEL, &Irql);
        Bytes = MiMapFrame(Frame, MiWriteBack);
        if (Page == Target) {
            RtlCopyMemory(Bytes + Offset, Value.Byte, Before);
        } else {
            RtlCopyMemory(Bytes, Value.Byte + Before, MI_RELOCATION_BYTES - Before);
        }
        MiUnmapFrame(Bytes);
        KeLowerIrql(Irql);
    }
    return Status;
}

/* Relocates a page that is filled. */
static NTSTATUS MiRelocateFrame(PCONTROL_AREA Area, PCONTROL_AREA Data, ULONG64 Page, PFN_FRAME Frame)
{
    PMI_IMAGE Image = Area->Image;
    PUCHAR Bytes;
    NTSTATUS Status;
    KIRQL Irql;

    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    Bytes = MiMapFrame(Frame, MiWriteBack);
    MiRelocatePage(Image, Page, Bytes);
    if (Image->BaseField >> PAGE_SHIFT == Page) {
        *(ULONG64 UNALIGNED *)(Bytes + (Image->BaseField & (PAGE_SIZE - 1))) = Image->Base;
    }
    MiUnmapFrame(Bytes);
    KeLowerIrql(Irql);
    Status = MiRelocateShare(Area, Data, Page, Page, Frame);
    return NT_SUCCESS(Status) && Page != 0 ? MiRelocateShare(Area, Data, Page - 1, Page, Frame) : Status;
}

/* ---- Pages ---- */

static VOID MiZeroRest(PFN_FRAME Frame, ULONG From)
{
    KIRQL Irql;
    PUCHAR Bytes;

    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    Bytes = MiMapFrame(Frame, MiWriteBack);
    RtlZeroMemory(Bytes + From, PAGE_SIZE - From);
    MiUnmapFrame(Bytes);
    KeLowerIrql(Irql);
}

static NTSTATUS MiFillImagePage(PSUBSECTION Subsection, PCONTROL_AREA Data, ULONG64 Page, PFN_FRAME Frame)
{
    PMI_IMAGE_PART Part = MiPartOf(Subsection);
    ULONG64 Offset = (Page - Part->StartingPage) << PAGE_SHIFT;
    ULONG Bytes = MiFileBytesOfPart(Part, Offset, PAGE_SIZE);
    NTSTATUS Status = MiCopyFileBytes(Data, Part->FileOffset + Offset, Bytes, (MI_SINK){.Frame = Frame});

    if (NT_SUCCESS(Status) && Bytes != PAGE_SIZE) {
        MiZeroRest(Frame, Bytes);
    }
    if (NT_SUCCESS(Status) && Subsection->ControlArea->Image->Delta != 0) {
        Status = MiRelocateFrame(Subsection->ControlArea, Data, Page, Frame);
    }
    return Status;
}

NTSTATUS MiReadImageCluster(PMI_INPAGE Block)
{
    PCONTROL_AREA Area = Block->Subsection->ControlArea, Data;
    ULONG64 FileBytes = Area->Image->FileBytes;
    NTSTATUS Status = MiOpenFileControlArea(Area->FileObject, FileBytes, &Data);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = MiCreatePrototypes(Data, 0, BYTES_TO_PAGES(FileBytes));
    for (ULONG Index = 0; Index < Block->Pages && NT_SUCCESS(Status); Index++) {
        ULONG64 Page = ((ULONG64)Block->Offset.QuadPart >> PAGE_SHIFT) + Index;

        Status = MiFillImagePage(Block->Subsection, Data, Page, Block->Frame[Index]);
    }
    MmCloseDataSection(Data);
    return Status;
}
