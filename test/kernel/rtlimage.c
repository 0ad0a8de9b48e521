/*
 * rtlimage.c (test) - finding headers, directories and exported routines of the running kernel's own image.
 *
 * The kernel is the one image whose contents a test knows: its export directory names it, and the addresses in it are those that
 * the compiler gives.
 */
#include <ntos/ke.h>
#include <ntos/ktap.h>
#include <ntos/rtl.h>

#include <ntimage.h>

static PVOID KernelBase(VOID)
{
    return CONTAINING_RECORD(PsLoadedModuleList.Flink, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks)->DllBase;
}

static VOID ImageHeaders(PKTAP_CONTEXT Ktap)
{
    PUCHAR Base = KernelBase();
    PIMAGE_NT_HEADERS64 Headers = RtlImageNtHeader(Base);
    PIMAGE_EXPORT_DIRECTORY Exports;
    ULONG Size;

    KTAP_CHECK(Headers != NULL);
    KTAP_EQUAL(Headers->FileHeader.Machine, IMAGE_FILE_MACHINE_AMD64);
    KTAP_CHECK(RtlImageNtHeader(NULL) == NULL);
    KTAP_CHECK(RtlImageNtHeader(Base + 16) == NULL);
    Exports = RtlImageDirectoryEntryToData(Base, TRUE, IMAGE_DIRECTORY_ENTRY_EXPORT, &Size);
    KTAP_CHECK(Exports != NULL && Size >= sizeof(*Exports));
    KTAP_EQUAL(RtlCompareMemory(Base + Exports->Name, "ntoskrnl.exe", 13), 13);
    KTAP_CHECK(RtlImageDirectoryEntryToData(Base, TRUE, IMAGE_DIRECTORY_ENTRY_TLS, &Size) == NULL);
    KTAP_EQUAL(Size, 0);
    KTAP_CHECK(RtlImageDirectoryEntryToData(Base, TRUE, 16, &Size) == NULL);
}

static VOID ImageRoutines(PKTAP_CONTEXT Ktap)
{
    WCHAR Long[200];
    UNICODE_STRING Name;
    ULONG Number = 0;

    RtlInitUnicodeString(&Name, L"KeSetEvent");
    KTAP_CHECK(MmGetSystemRoutineAddress(&Name) == (PVOID)KeSetEvent);
    RtlInitUnicodeString(&Name, L"kesetevent");
    KTAP_CHECK(MmGetSystemRoutineAddress(&Name) == NULL);
    RtlInitUnicodeString(&Name, L"HalGetBusData");
    KTAP_CHECK(MmGetSystemRoutineAddress(&Name) != NULL);
    RtlInitUnicodeString(&Name, L"");
    KTAP_CHECK(MmGetSystemRoutineAddress(&Name) == NULL);
    for (; Number < RTL_NUMBER_OF(Long); Number++) {
        Long[Number] = L'K';
    }
    Name.Buffer = Long;
    Name.Length = Name.MaximumLength = sizeof(Long);
    KTAP_CHECK(MmGetSystemRoutineAddress(&Name) == NULL);
    KTAP_CHECK(*KTAP_IMPORT(POBJECT_TYPE *, PsProcessType) != NULL);
}

static const KTAP_CASE_ENTRY ImageCases[] = {
    {"headers", ImageHeaders},
    {"routines", ImageRoutines},
};

KTAP_SUITE(ImageSuite, "rtl.image", ImageCases);
