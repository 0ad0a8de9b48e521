/*
 * mm_image.c - suite mm.image: sections of images, reserved sections and uncached ones, in address spaces without threads.
 *
 * The image is ntdll.dll from the system disc: what is mapped is compared byte by byte with what src/rtl/peimage.c makes of the
 * file in a buffer. MiVerify runs while views are mapped, shared and written.
 */
#include "ketest.h"
#include "proctest.h"

static const UNICODE_STRING NtdllPath = RTL_CONSTANT_STRING(L"\\SystemRoot\\System\\ntdll.dll");

/* The image as it ought to be, relocated; NULL: no memory, no file. */
static PUCHAR BuildImageOf(const UNICODE_STRING *Path, PE_VIEW *View, ULONG64 Base)
{
    PVOID File;
    ULONG Bytes;

    if (!NT_SUCCESS(MmReadImageFile(Path, &File, &Bytes))) {
        return NULL;
    }
    View->Base = NULL;
    if (PeReadHeader(File, Bytes, &View->Header) == PeOk) {
        View->Base = ExAllocatePoolWithTag(PagedPool, View->Header.SizeOfImage, 'tseT');
    }
    if (View->Base != NULL) {
        PeLayOut(File, &View->Header, View->Base);
        if (PeRelocate(View, Base) != PeOk) {
            ExFreePoolWithTag(View->Base, 'tseT');
            View->Base = NULL;
        }
    }
    ExFreePool(File);
    return View->Base;
}

static NTSTATUS OpenImageOf(const UNICODE_STRING *Path, PHANDLE File, PHANDLE Section, ULONG Attributes)
{
    OBJECT_ATTRIBUTES Object;
    IO_STATUS_BLOCK Iosb;
    NTSTATUS Status;

    InitializeObjectAttributes(&Object, (PUNICODE_STRING)Path, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, NULL, NULL);
    Status = ZwOpenFile(File, FILE_READ_DATA | FILE_EXECUTE | SYNCHRONIZE, &Object, &Iosb, FILE_SHARE_READ,
                        FILE_SYNCHRONOUS_IO_NONALERT);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    InitializeObjectAttributes(&Object, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    Status = ZwCreateSection(Section, SECTION_ALL_ACCESS, &Object, NULL, PAGE_EXECUTE_READ, Attributes, *File);
    if (!NT_SUCCESS(Status)) {
        ZwClose(*File);
    }
    return Status;
}

static NTSTATUS OpenImage(PHANDLE File, PHANDLE Section, ULONG Attributes)
{
    return OpenImageOf(&NtdllPath, File, Section, Attributes);
}

static NTSTATUS MapImage(HANDLE Section, PVOID *Base, PSIZE_T Size)
{
    *Size = 0;
    return ZwMapViewOfSection(Section, ZwCurrentProcess(), Base, 0, 0, NULL, Size, ViewUnmap, 0, PAGE_EXECUTE_READ);
}

/* The first page of the first section with a flag; 0: none. */
static ULONG FindSection(HANDLE Section, ULONG Protection)
{
    PSECTION Object;
    ULONG Rva = 0;

    if (NT_SUCCESS(ObReferenceObjectByHandle(Section, SECTION_QUERY, MmSectionObjectType, KernelMode, (PVOID *)&Object,
                                             NULL))) {
        for (ULONG Part = 0; Part < Object->ControlArea->Image->Parts && Rva == 0; Part++) {
            if (Object->ControlArea->Image->Part[Part].Protection == Protection) {
                Rva = (ULONG)Object->ControlArea->Image->Part[Part].StartingPage << PAGE_SHIFT;
            }
        }
        ObDereferenceObject(Object);
    }
    return Rva;
}

/* One relocated copy under two processes; ImageBase in the headers says where it is. */
static VOID CompareBody(PKTAP_CONTEXT Ktap, HANDLE Section, PEPROCESS *Process)
{
    ULONG64 Soft[2];
    PVOID Base[2] = {NULL, NULL};
    PE_VIEW View;
    PUCHAR Copy = NULL, Wanted = NULL;
    SIZE_T Size = 0;
    KAPC_STATE State;

    for (ULONG Turn = 0; Turn < 2; Turn++) {
        KeStackAttachProcess((PVOID)Process[Turn], &State);
        KTAP_EQUAL(KTAP_WHOLE(MapImage(Section, &Base[Turn], &Size)), STATUS_SUCCESS);
        if (Turn == 0) {
            Copy = KTAP_WHOLE(ExAllocatePoolWithTag(PagedPool, Size, 'tseT'));
            Wanted = KTAP_WHOLE(BuildImageOf(&NtdllPath, &View, (ULONG64)Base[0]));
            KTAP_CHECK(Copy != NULL && Wanted != NULL);
            KTAP_EQUAL(Size, View.Header.SizeOfImage);
        }
        Soft[Turn] = MmFaultCounters.PageReads;
        KTAP_EQUAL(MmCopyFromUser(Copy, Base[Turn], Size), STATUS_SUCCESS);
        Soft[Turn] = MmFaultCounters.PageReads - Soft[Turn];
        KeUnstackDetachProcess(&State);
        *(ULONG64 UNALIGNED *)(Wanted + *(PULONG)(Wanted + 0x3C) + 0x30) = (ULONG64)Base[Turn];
        for (SIZE_T Byte = 0; Byte < Size; Byte++) {
            if (Copy[Byte] != Wanted[Byte]) {
                KtapFail(Ktap, __FILE__, __LINE__, "byte 0x%llX is 0x%02X, not 0x%02X", (ULONG64)Byte, Copy[Byte],
                         Wanted[Byte]);
                break;
            }
        }
    }
    KTAP_EQUAL(Base[0], Base[1]);
    KTAP_EXACT(Soft[1], 0); /* the second process read nothing and relocated nothing */
    KTAP_EQUAL(MiVerify(), 0);
    ExFreePoolWithTag(Copy, 'tseT');
    ExFreePoolWithTag(Wanted, 'tseT');
}

static VOID ImageShared(PKTAP_CONTEXT Ktap)
{
    PEPROCESS Process[2] = {KTAP_WHOLE(TestCreateProcess()), KTAP_WHOLE(TestCreateProcess())};
    HANDLE File, Section;

    KTAP_CHECK(Process[0] != NULL && Process[1] != NULL);
    KTAP_EQUAL(KTAP_WHOLE(OpenImage(&File, &Section, SEC_IMAGE)), STATUS_SUCCESS);
    CompareBody(Ktap, Section, Process);
    ZwClose(Section);
    ZwClose(File);
    TestDeleteProcess(Process[0]);
    TestDeleteProcess(Process[1]);
    KTAP_EQUAL(MiVerify(), 0);
}

/* Code cannot be written; data can, for one process; constants once they are made writable. */
static VOID WriteBody(PKTAP_CONTEXT Ktap, PEPROCESS Unused)
{
    MEMORY_BASIC_INFORMATION Basic;
    ULONG64 Value, Was;
    HANDLE File, Section;
    PVOID Base = NULL, Again = NULL, Page;
    SIZE_T Size, Length;
    ULONG Data, Old;

    KTAP_EQUAL(KTAP_WHOLE(OpenImage(&File, &Section, SEC_IMAGE)), STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(MapImage(Section, &Base, &Size)), STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(MapImage(Section, &Again, &Size)), STATUS_IMAGE_NOT_AT_BASE); /* its place is taken */
    KTAP_CHECK(Base != Again);
    Data = FindSection(Section, MM_WRITECOPY);
    KTAP_CHECK(Data != 0);
    KTAP_EQUAL(TestRead((PUCHAR)Again + Data, &Was), STATUS_SUCCESS);
    KTAP_EQUAL(TestWrite((PUCHAR)Base + Data, 0x1234567890), STATUS_SUCCESS);
    KTAP_EQUAL(TestRead((PUCHAR)Base + Data, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, 0x1234567890);
    KTAP_EQUAL(TestRead((PUCHAR)Again + Data, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, Was);
    KTAP_EQUAL(TestWrite(Base, 1), STATUS_ACCESS_VIOLATION);
    Page = Base;
    Length = 1;
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &Page, &Length, PAGE_READWRITE, &Old), STATUS_SUCCESS);
    KTAP_EQUAL(Old, PAGE_READONLY);
    KTAP_EQUAL(ZwQueryVirtualMemory(ZwCurrentProcess(), Base, MemoryBasicInformation, &Basic, sizeof(Basic), NULL),
               STATUS_SUCCESS);
    KTAP_EQUAL(Basic.Protect, PAGE_WRITECOPY);
    KTAP_EQUAL(Basic.RegionSize, PAGE_SIZE);
    KTAP_EQUAL(Basic.Type, MEM_IMAGE);
    KTAP_EQUAL(Basic.AllocationProtect, PAGE_EXECUTE_WRITECOPY);
    KTAP_EQUAL(TestWrite(Base, 1), STATUS_SUCCESS);
    KTAP_EQUAL(TestRead(Again, &Value), STATUS_SUCCESS);
    KTAP_EQUAL((USHORT)Value, 0x5A4D);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(ZwUnmapViewOfSection(ZwCurrentProcess(), Again), STATUS_SUCCESS);
    ZwClose(Section);
    ZwClose(File);
}

static VOID ImageWritten(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, WriteBody);
}

/* What is no image, and what sections tell of themselves. */
static VOID QueryBody(PKTAP_CONTEXT Ktap, PEPROCESS Unused)
{
    SECTION_BASIC_INFORMATION Basic;
    SECTION_IMAGE_INFORMATION Image;
    LARGE_INTEGER Bytes = {.QuadPart = 0x10000};
    ULONG64 Original, Moved;
    OBJECT_ATTRIBUTES Object;
    HANDLE File, Section;
    PVOID Base = NULL;
    SIZE_T Size;

    KTAP_EQUAL(KTAP_WHOLE(OpenImage(&File, &Section, SEC_IMAGE)), STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(MapImage(Section, &Base, &Size)), STATUS_SUCCESS);
    KTAP_EQUAL(NtQuerySection(Section, SectionBasicInformation, &Basic, sizeof(Basic), &Size), STATUS_SUCCESS);
    KTAP_EQUAL(Size, sizeof(Basic));
    KTAP_EQUAL(Basic.AllocationAttributes, SEC_IMAGE | SEC_FILE);
    KTAP_EQUAL(NtQuerySection(Section, SectionImageInformation, &Image, sizeof(Image), NULL), STATUS_SUCCESS);
    KTAP_EQUAL(Image.Machine, 0x8664);
    KTAP_CHECK(Image.ImageContainsCode && (Image.ImageCharacteristics & 0x2000) != 0);
    KTAP_EQUAL(NtQuerySection(Section, SectionOriginalBaseInformation, &Original, 8, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(NtQuerySection(Section, SectionRelocationInformation, &Moved, 8, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(Original + Moved, (ULONG64)Base);
    KTAP_EQUAL(NtQuerySection(Section, 4, &Moved, 8, NULL), STATUS_INVALID_INFO_CLASS);
    KTAP_EQUAL(NtQuerySection(Section, SectionImageInformation, &Image, 63, NULL), STATUS_INFO_LENGTH_MISMATCH);
    Bytes.QuadPart = PAGE_SIZE;
    KTAP_EQUAL(NtExtendSection(Section, &Bytes), STATUS_SECTION_NOT_EXTENDED);
    ZwClose(Section);

    InitializeObjectAttributes(&Object, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    Bytes.QuadPart = 100;
    KTAP_EQUAL(ZwCreateSection(&Section, SECTION_ALL_ACCESS, &Object, &Bytes, PAGE_READONLY, SEC_COMMIT, File),
               STATUS_SUCCESS);
    KTAP_EQUAL(NtQuerySection(Section, SectionImageInformation, &Image, sizeof(Image), NULL), STATUS_SECTION_NOT_IMAGE);
    Bytes.QuadPart = 0x4000;
    KTAP_EQUAL(NtExtendSection(Section, &Bytes), STATUS_SUCCESS);
    KTAP_EQUAL(NtQuerySection(Section, SectionBasicInformation, &Basic, sizeof(Basic), NULL), STATUS_SUCCESS);
    KTAP_EQUAL(Basic.MaximumSize.QuadPart, 0x4000);
    Bytes.QuadPart = 1LL << 40;
    KTAP_EQUAL(NtExtendSection(Section, &Bytes), STATUS_SECTION_NOT_EXTENDED);
    ZwClose(Section);
    ZwClose(File);
    KTAP_EQUAL(ZwCreateSection(&Section, SECTION_ALL_ACCESS, &Object, &Bytes, PAGE_READONLY, SEC_IMAGE, NULL),
               STATUS_INVALID_FILE_FOR_SECTION);
    KTAP_EQUAL(
        ZwCreateSection(&Section, SECTION_ALL_ACCESS, &Object, &Bytes, PAGE_READONLY, SEC_IMAGE | SEC_COMMIT, NULL),
        STATUS_INVALID_PARAMETER_6);
}

static VOID ImageQueried(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, QueryBody);
}

/* 100 GB cost what is mapped and committed of them. */
static VOID ReserveBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    LARGE_INTEGER Bytes = {.QuadPart = 100LL << 30}, Offset = {.QuadPart = 77LL << 30};
    MEMORY_BASIC_INFORMATION Basic;
    OBJECT_ATTRIBUTES Object;
    ULONG64 Charged, Pool, Value;
    PVOID Base = NULL, Again = NULL, Part;
    SIZE_T Size = 0x100000, Length = 0x8000;
    HANDLE Section;

    InitializeObjectAttributes(&Object, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    Charged = MiCommit.Sections;
    Pool = MiMappedFrames(MmRegionPagedPool);
    KTAP_EQUAL(ZwCreateSection(&Section, SECTION_ALL_ACCESS, &Object, &Bytes, PAGE_READWRITE, SEC_RESERVE, NULL),
               STATUS_SUCCESS);
    KTAP_EQUAL(
        ZwMapViewOfSection(Section, ZwCurrentProcess(), &Base, 0, 0x3000, &Offset, &Size, ViewUnmap, 0, PAGE_READWRITE),
        STATUS_SUCCESS);
    KTAP_EQUAL(
        ZwMapViewOfSection(Section, ZwCurrentProcess(), &Again, 0, 0, &Offset, &Size, ViewUnmap, 0, PAGE_READONLY),
        STATUS_SUCCESS);
    KTAP_EXACT(MiCommit.Sections - Charged, 3);
    KTAP_CHECK(MiMappedFrames(MmRegionPagedPool) - Pool < 64); /* prototype PTEs of the mapped part: 64 KB */
    KTAP_EQUAL(ZwQueryVirtualMemory(ZwCurrentProcess(), Again, MemoryBasicInformation, &Basic, sizeof(Basic), NULL),
               STATUS_SUCCESS);
    KTAP_EQUAL(Basic.State, MEM_COMMIT);
    KTAP_EQUAL(Basic.RegionSize, 0x3000);
    KTAP_EQUAL(ZwQueryVirtualMemory(ZwCurrentProcess(), (PUCHAR)Base + 0x3000, MemoryBasicInformation, &Basic,
                                    sizeof(Basic), NULL),
               STATUS_SUCCESS);
    KTAP_EQUAL(Basic.State, MEM_RESERVE);
    KTAP_EQUAL(Basic.RegionSize, 0x100000 - 0x3000);
    KTAP_EQUAL(TestWrite((PUCHAR)Base + 0x5000, 1), STATUS_ACCESS_VIOLATION);
    Part = (PUCHAR)Base + 0x2000;
    KTAP_EQUAL(TestAllocate(&Part, &Length, MEM_COMMIT, PAGE_READWRITE), STATUS_SUCCESS);
    KTAP_EXACT(MiCommit.Sections - Charged, 10); /* one of them was committed */
    KTAP_EQUAL(TestWrite((PUCHAR)Base + 0x5000, 4711), STATUS_SUCCESS);
    KTAP_EQUAL(TestRead((PUCHAR)Again + 0x5000, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, 4711);
    KTAP_EQUAL(MiVerify(), 0);
    ZwClose(Section);
}

static VOID SectionReserved(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, ReserveBody);
}

/* Frames of an uncached section are mapped uncached, in a process and in the kernel. */
static VOID UncachedBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    LARGE_INTEGER Bytes = {.QuadPart = 0x10000};
    OBJECT_ATTRIBUTES Object;
    PVOID Base = NULL;
    SIZE_T Size = 0;
    HANDLE Section;
    ULONG64 Value;

    InitializeObjectAttributes(&Object, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    KTAP_EQUAL(
        ZwCreateSection(&Section, SECTION_ALL_ACCESS, &Object, &Bytes, PAGE_READWRITE, SEC_COMMIT | SEC_NOCACHE, NULL),
        STATUS_SUCCESS);
    KTAP_EQUAL(ZwMapViewOfSection(Section, ZwCurrentProcess(), &Base, 0, 0, NULL, &Size, ViewUnmap, 0, PAGE_READWRITE),
               STATUS_SUCCESS);
    KTAP_EQUAL(TestWrite(Base, 99), STATUS_SUCCESS);
    KTAP_EQUAL(TestRead(Base, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, 99);
    KTAP_EQUAL(MiPteOf(Base)->Long & (PTE_PCD | PTE_PWT), PTE_PCD | PTE_PWT);
    KTAP_EQUAL(MiVerify(), 0);
    ZwClose(Section);
}

static VOID SectionUncached(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, UncachedBody);
}

/* One fault maps what is in memory of the same 64 KB. */
static VOID AroundBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PMI_ADDRESS_SPACE Space = MiSpaceOf(Process);
    ULONG64 Value, Before, Around;
    HANDLE File, Section;
    PVOID First = NULL, Second = NULL;
    SIZE_T Size;
    ULONG Text;

    KTAP_EQUAL(KTAP_WHOLE(OpenImage(&File, &Section, SEC_IMAGE)), STATUS_SUCCESS);
    Text = FindSection(Section, MM_EXECUTE_READ);
    KTAP_EQUAL(KTAP_WHOLE(MapImage(Section, &First, &Size)), STATUS_SUCCESS);
    for (ULONG64 Offset = 0; Offset < Size; Offset += PAGE_SIZE) {
        KTAP_EQUAL(TestRead((PUCHAR)First + Offset, &Value), STATUS_SUCCESS);
    }
    KTAP_EQUAL(KTAP_WHOLE(MapImage(Section, &Second, &Size)), STATUS_IMAGE_NOT_AT_BASE);
    Before = Space->WorkingSet;
    Around = MmFaultCounters.Around;
    KTAP_EQUAL(TestRead((PUCHAR)Second + Text, &Value), STATUS_SUCCESS);
    KTAP_CHECK(Space->WorkingSet > Before + 1 && Space->WorkingSet <= Before + 16);
    KTAP_CHECK(MmFaultCounters.Around > Around);
    KTAP_EQUAL(MiVerify(), 0);
    ZwClose(Section);
    ZwClose(File);
}

static VOID ImageAround(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, AroundBody);
}

/* ---- Races ---- */

static HANDLE StormFile;
static PSECTION_OBJECT_POINTERS StormPointers;
static PE_VIEW StormView[2]; /* the image at two addresses: what differs is relocated */
static volatile LONG64 StormErrors;

/* Looks at some pages of a view against what the file holds, and writes to its data. */
static BOOLEAN StormLook(PUCHAR Base, PULONG64 Seed, ULONG Data)
{
    const PE_VIEW *View = StormView;
    ULONG64 Value;
    BOOLEAN Good = TRUE;

    for (ULONG Touch = 0; Touch < 8; Touch++) {
        ULONG Rva = PAGE_SIZE + (TestRandom(Seed) % (View->Header.SizeOfImage - PAGE_SIZE) & ~7u);

        if (!NT_SUCCESS(TestRead(Base + Rva, &Value))) {
            Good = FALSE;
        } else if (RtlEqualMemory(View[0].Base + Rva, View[1].Base + Rva, sizeof(Value)) &&
                   Rva >> PAGE_SHIFT != Data >> PAGE_SHIFT) {
            Good = Good && RtlEqualMemory(View->Base + Rva, &Value, sizeof(Value));
        }
    }
    return Good && NT_SUCCESS(TestWrite(Base + Data, *Seed)) && NT_SUCCESS(TestRead(Base + Data, &Value)) &&
           Value == *Seed;
}

/* Sections are made, mapped, looked at and closed; now and then the image is given up while nobody uses it. */
static VOID StormBody(ULONG Number)
{
    ULONG64 Turns = max(KtapIterations(240) / TestRacers(), 1), Seed = Number + 77;
    PEPROCESS Process = TestCreateProcess();
    OBJECT_ATTRIBUTES Object;
    KAPC_STATE State;

    if (Process == NULL) {
        InterlockedIncrement64(&StormErrors);
        return;
    }
    InitializeObjectAttributes(&Object, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    KeStackAttachProcess((PVOID)Process, &State);
    for (ULONG64 Turn = 0; Turn < Turns; Turn++) {
        HANDLE Section;
        PVOID Base = NULL;
        SIZE_T Size;

        if (!NT_SUCCESS(ZwCreateSection(&Section, SECTION_ALL_ACCESS, &Object, NULL, PAGE_EXECUTE_READ, SEC_IMAGE,
                                        StormFile)) ||
            MapImage(Section, &Base, &Size) != STATUS_SUCCESS ||
            !StormLook(Base, &Seed, FindSection(Section, MM_WRITECOPY)) ||
            !NT_SUCCESS(ZwUnmapViewOfSection(ZwCurrentProcess(), Base))) {
            InterlockedIncrement64(&StormErrors);
        }
        ZwClose(Section);
        if (Turn % 4 == Number % 4) {
            MmFlushImageSection(StormPointers, MmFlushForWrite);
        }
    }
    KeUnstackDetachProcess(&State);
    TestDeleteProcess(Process);
}

/* The image of a program that does not run: ntdll's is never given up. */
static VOID ImageStorm(PKTAP_CONTEXT Ktap)
{
    static const UNICODE_STRING Path = RTL_CONSTANT_STRING(L"\\SystemRoot\\System\\uvm.exe");
    PFILE_OBJECT FileObject;
    HANDLE Section;

    StormErrors = 0;
    KTAP_CHECK(KTAP_WHOLE(BuildImageOf(&Path, &StormView[0], 0x10000000)) != NULL);
    KTAP_CHECK(KTAP_WHOLE(BuildImageOf(&Path, &StormView[1], 0x7FF600000000)) != NULL);
    KTAP_EQUAL(KTAP_WHOLE(OpenImageOf(&Path, &StormFile, &Section, SEC_IMAGE)), STATUS_SUCCESS);
    ZwClose(Section);
    KTAP_EQUAL(
        ObReferenceObjectByHandle(StormFile, FILE_READ_DATA, *IoFileObjectType, KernelMode, (PVOID *)&FileObject, NULL),
        STATUS_SUCCESS);
    StormPointers = FileObject->SectionObjectPointer;
    KTAP_CHECK(TestParallel(TestRacers(), StormBody));
    KTAP_EQUAL(StormErrors, 0);
    KTAP_CHECK(MmFlushImageSection(StormPointers, MmFlushForWrite)); /* nobody uses it any more */
    KTAP_EQUAL(MiVerify(), 0);
    ObDereferenceObject(FileObject);
    ZwClose(StormFile);
    ExFreePoolWithTag(StormView[0].Base, 'tseT');
    ExFreePoolWithTag(StormView[1].Base, 'tseT');
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"shared", ImageShared},       {"written", ImageWritten},     {"queried", ImageQueried}, {"around", ImageAround},
    {"reserved", SectionReserved}, {"uncached", SectionUncached}, {"storm", ImageStorm},
};
KTAP_SUITE(MmImageSuite, "mm.image", Cases);
