/*
 * version.c - what the system says it is: version, product, processor features, memory.
 *
 * Oriel follows NT 6.1 (Windows 7 on x64), whose headers and layouts drivers are built against here, and names that version. The facts
 * are put into KUSER_SHARED_DATA once, before programs could look, and the routines here read them back or repeat them.
 *
 * Locks: none; constant after ExInitializeSharedData. IRQL: any, unless said otherwise.
 * Source: WDK documentation of these routines; KUSER_SHARED_DATA in ntddk.h; Intel SDM volume 2, CPUID.
 */
#include <ntos/ex.h>
#include <ntos/ke.h>

#define SHARED_DATA ((KUSER_SHARED_DATA *)MM_SHARED_USER_DATA)

/* As documented: the build number, 0xF in the topmost bits of a free build, 0xC of a checked one. */
#define EX_BUILD_FREE    0xF0000000U
#define EX_BUILD_CHECKED 0xC0000000U

#define EX_IMAGE_AMD64 0x8664U

/* Features that the DDK's header has no names for (values as documented for IsProcessorFeaturePresent). */
#define PF_RDWRFSGSBASE_AVAILABLE       22
#define PF_RDRAND_INSTRUCTION_AVAILABLE 28

/* The kernel's own definition of the export. */
ULONG NtBuildNumber = (NT_CHK ? EX_BUILD_CHECKED : EX_BUILD_FREE) | EX_BUILD_NUMBER;

/* One feature: a bit in a register of a CPUID leaf, and a bit of CR4 that must be on too (0: none). */
typedef struct _EXP_FEATURE {
    UCHAR Feature;  /* PF_ */
    UCHAR Register; /* 0 EAX, 1 EBX, 2 ECX, 3 EDX */
    UCHAR Bit;
    ULONG Leaf;
    ULONG64 Control;
} EXP_FEATURE;

static const EXP_FEATURE ExpFeatures[] = {
    {PF_RDTSC_INSTRUCTION_AVAILABLE, 3, 4, 1, 0},
    {PF_PAE_ENABLED, 3, 6, 1, 0x20},
    {PF_COMPARE_EXCHANGE_DOUBLE, 3, 8, 1, 0},
    {PF_MMX_INSTRUCTIONS_AVAILABLE, 3, 23, 1, 0},
    {PF_XMMI_INSTRUCTIONS_AVAILABLE, 3, 25, 1, 0x200},
    {PF_XMMI64_INSTRUCTIONS_AVAILABLE, 3, 26, 1, 0x200},
    {PF_SSE3_INSTRUCTIONS_AVAILABLE, 2, 0, 1, 0x200},
    {PF_COMPARE_EXCHANGE128, 2, 13, 1, 0},
    {PF_XSAVE_ENABLED, 2, 26, 1, 0x40000},
    {PF_RDRAND_INSTRUCTION_AVAILABLE, 2, 30, 1, 0},
    {PF_RDWRFSGSBASE_AVAILABLE, 1, 0, 7, 0x10000},
    {PF_NX_ENABLED, 3, 20, 0x80000001, 0},
};

static VOID ExpDetectFeatures(VOID)
{
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(ExpFeatures); Index++) {
        const EXP_FEATURE *Feature = &ExpFeatures[Index];
        int Registers[4];

        __cpuid(Registers, (int)(Feature->Leaf & 0x80000000));
        if ((ULONG)Registers[0] < Feature->Leaf) {
            continue;
        }
        __cpuidex(Registers, (int)Feature->Leaf, 0);
        SHARED_DATA->ProcessorFeatures[Feature->Feature] =
            ((ULONG)Registers[Feature->Register] >> Feature->Bit & 1) != 0 &&
            (__readcr4() & Feature->Control) == Feature->Control;
    }
}

static ULONG ExpCountPhysicalPages(VOID)
{
    PPHYSICAL_MEMORY_RANGE Ranges = MmGetPhysicalMemoryRanges();
    ULONG64 Pages = 0;

    for (ULONG Index = 0; Ranges != NULL && Ranges[Index].NumberOfBytes.QuadPart != 0; Index++) {
        Pages += (ULONG64)Ranges[Index].NumberOfBytes.QuadPart / PAGE_SIZE;
    }
    if (Ranges != NULL) {
        ExFreePool(Ranges);
    }
    return (ULONG)min(Pages, MAXULONG);
}

VOID ExInitializeSharedData(VOID)
{
    SHARED_DATA->ImageNumberLow = SHARED_DATA->ImageNumberHigh = EX_IMAGE_AMD64;
    SHARED_DATA->NtMajorVersion = EX_MAJOR_VERSION;
    SHARED_DATA->NtMinorVersion = EX_MINOR_VERSION;
    SHARED_DATA->NtProductType = NtProductWinNt;
    SHARED_DATA->ProductTypeIsValid = TRUE;
    SHARED_DATA->LargePageMinimum = 0x200000;
    SHARED_DATA->AlternativeArchitecture = StandardDesign;
    SHARED_DATA->NumberOfPhysicalPages = ExpCountPhysicalPages();
    ExpDetectFeatures();
    KeInitializeExtendedState();
}

/* Whether a processor feature (PF_) is there and turned on. */
BOOLEAN NTAPI ExIsProcessorFeaturePresent(ULONG ProcessorFeature)
{
    return ProcessorFeature < PROCESSOR_FEATURE_MAX && SHARED_DATA->ProcessorFeatures[ProcessorFeature];
}

/* Whether the system is of a product suite; Oriel is of none. */
BOOLEAN NTAPI ExVerifySuite(SUITE_TYPE SuiteType)
{
    return (ULONG)SuiteType < MaxSuiteType && (SHARED_DATA->SuiteMask >> SuiteType & 1) != 0;
}

/**
 * ExSetTimerResolution - asks for a finer clock.
 *
 * @DesiredTime    100 ns units
 * @SetResolution  TRUE: ask, FALSE: take an earlier request back
 * returns         the resolution there is; the clock has one only, KeQueryTimeIncrement
 *
 * IRQL: <= APC_LEVEL.
 */
ULONG NTAPI ExSetTimerResolution(ULONG DesiredTime, BOOLEAN SetResolution)
{
    UNREFERENCED_PARAMETER(DesiredTime);
    UNREFERENCED_PARAMETER(SetResolution);
    return KeQueryTimeIncrement();
}

/**
 * PsGetVersion - the version of the system.
 *
 * @MajorVersion, @MinorVersion, @BuildNumber  get them; each may be NULL
 * @CSDVersion                                 gets the service pack's name, an empty string; may be NULL
 * returns                                     TRUE: a checked build
 */
BOOLEAN NTAPI PsGetVersion(PULONG MajorVersion, PULONG MinorVersion, PULONG BuildNumber, PUNICODE_STRING CSDVersion)
{
    if (MajorVersion != NULL) {
        *MajorVersion = EX_MAJOR_VERSION;
    }
    if (MinorVersion != NULL) {
        *MinorVersion = EX_MINOR_VERSION;
    }
    if (BuildNumber != NULL) {
        *BuildNumber = EX_BUILD_NUMBER;
    }
    if (CSDVersion != NULL) {
        RtlInitEmptyUnicodeString(CSDVersion, NULL, 0);
    }
    return NT_CHK != 0;
}

/**
 * RtlGetVersion - the version of the system.
 *
 * @VersionInformation  dwOSVersionInfoSize says which of the two structures it is
 * returns              STATUS_SUCCESS; STATUS_INVALID_PARAMETER: another size
 */
NTSTATUS NTAPI RtlGetVersion(PRTL_OSVERSIONINFOW VersionInformation)
{
    PRTL_OSVERSIONINFOEXW Extended = (PRTL_OSVERSIONINFOEXW)VersionInformation;
    ULONG Size = VersionInformation->dwOSVersionInfoSize;

    if (Size != sizeof(RTL_OSVERSIONINFOW) && Size != sizeof(RTL_OSVERSIONINFOEXW)) {
        return STATUS_INVALID_PARAMETER;
    }
    RtlZeroMemory(VersionInformation, Size);
    VersionInformation->dwOSVersionInfoSize = Size;
    VersionInformation->dwMajorVersion = EX_MAJOR_VERSION;
    VersionInformation->dwMinorVersion = EX_MINOR_VERSION;
    VersionInformation->dwBuildNumber = EX_BUILD_NUMBER;
    VersionInformation->dwPlatformId = 2; /* VER_PLATFORM_WIN32_NT */
    if (Size == sizeof(RTL_OSVERSIONINFOEXW)) {
        Extended->wProductType = NtProductWinNt;
    }
    return STATUS_SUCCESS;
}
