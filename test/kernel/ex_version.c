/*
 * ex_version.c - suites for identifiers and for what the system says it is.
 *
 * What several routines and KUSER_SHARED_DATA say of one thing is compared; features are those of any x86-64 processor.
 * Identifiers are counted against one another: none comes twice, and their free bits are not constant.
 */
#include <ntos/ex.h>
#include <ntos/ke.h>
#include <ntos/ktap.h>

#define SHARED_DATA ((KUSER_SHARED_DATA *)MM_SHARED_USER_DATA)

#define EXV_UUIDS 1000U

static UUID ExvUuids[EXV_UUIDS];

static VOID ExvUuid(PKTAP_CONTEXT Ktap)
{
    ULONG Malformed = 0, Twice = 0, Bits[2] = {0, 0};

    for (ULONG Index = 0; Index < EXV_UUIDS; Index++) {
        KTAP_CHECK(NT_SUCCESS(ExUuidCreate(&ExvUuids[Index])));
        Malformed += (ExvUuids[Index].Data3 >> 12 != 4 || (ExvUuids[Index].Data4[0] & 0xC0) != 0x80) ? 1 : 0;
        Bits[ExvUuids[Index].Data1 & 1]++;
        for (ULONG Other = 0; Other < Index; Other++) {
            Twice += (RtlCompareMemory(&ExvUuids[Index], &ExvUuids[Other], sizeof(UUID)) == sizeof(UUID)) ? 1 : 0;
        }
    }
    KTAP_EQUAL(Malformed, 0);
    KTAP_EQUAL(Twice, 0);
    KTAP_CHECK(Bits[0] > EXV_UUIDS / 4 && Bits[1] > EXV_UUIDS / 4); /* 16 standard deviations from even */
}

static VOID ExvLuid(PKTAP_CONTEXT Ktap)
{
    LUID First, Second;

    KTAP_EQUAL(ZwAllocateLocallyUniqueId(&First), STATUS_SUCCESS);
    KTAP_EQUAL(NtAllocateLocallyUniqueId(&Second), STATUS_SUCCESS);
    KTAP_CHECK(First.LowPart != 0 || First.HighPart != 0);
    KTAP_CHECK(First.LowPart != Second.LowPart || First.HighPart != Second.HighPart);
}

static const KTAP_CASE_ENTRY ExvUuidCases[] = {
    {"uuid", ExvUuid},
    {"luid", ExvLuid},
};
KTAP_SUITE(ExvUuidSuite, "ex.uuid", ExvUuidCases);

static VOID ExvVersion(PKTAP_CONTEXT Ktap)
{
    RTL_OSVERSIONINFOEXW Info = {.dwOSVersionInfoSize = sizeof(RTL_OSVERSIONINFOW), .wProductType = 0x55};
    UNICODE_STRING Pack;
    ULONG Major, Minor, Build;
    BOOLEAN Checked = PsGetVersion(&Major, &Minor, &Build, &Pack);

    KTAP_EQUAL(Checked, NT_CHK);
    KTAP_EQUAL(Pack.Length, 0);
    KTAP_EQUAL(RtlGetVersion((PRTL_OSVERSIONINFOW)&Info), STATUS_SUCCESS);
    KTAP_EQUAL(Info.dwMajorVersion, Major);
    KTAP_EQUAL(Info.dwMinorVersion, Minor);
    KTAP_EQUAL(Info.dwBuildNumber, Build);
    KTAP_EQUAL(Info.wProductType, 0x55); /* beyond the shorter structure */
    Info.dwOSVersionInfoSize = sizeof(Info);
    KTAP_EQUAL(RtlGetVersion((PRTL_OSVERSIONINFOW)&Info), STATUS_SUCCESS);
    KTAP_EQUAL(Info.wProductType, NtProductWinNt);
    Info.dwOSVersionInfoSize = 5;
    KTAP_EQUAL(RtlGetVersion((PRTL_OSVERSIONINFOW)&Info), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(SHARED_DATA->NtMajorVersion, Major);
    KTAP_EQUAL(SHARED_DATA->NtMinorVersion, Minor);
    KTAP_EQUAL(NtBuildNumber & 0xFFFF, Build);
    KTAP_EQUAL(NtBuildNumber >> 28, Checked ? 0xC : 0xF);
}

static VOID ExvFeatures(PKTAP_CONTEXT Ktap)
{
    KTAP_CHECK(ExIsProcessorFeaturePresent(PF_COMPARE_EXCHANGE_DOUBLE));
    KTAP_CHECK(ExIsProcessorFeaturePresent(PF_RDTSC_INSTRUCTION_AVAILABLE));
    KTAP_CHECK(ExIsProcessorFeaturePresent(PF_XMMI64_INSTRUCTIONS_AVAILABLE));
    KTAP_CHECK(ExIsProcessorFeaturePresent(PF_NX_ENABLED));
    KTAP_CHECK(!ExIsProcessorFeaturePresent(PF_ALPHA_BYTE_INSTRUCTIONS));
    KTAP_CHECK(!ExIsProcessorFeaturePresent(PROCESSOR_FEATURE_MAX + 1));
    KTAP_CHECK(!ExVerifySuite(DataCenter));
    KTAP_CHECK(SHARED_DATA->NumberOfPhysicalPages >= 32 * 256); /* at least 32 MB are needed to start */
    KTAP_EQUAL(ExSetTimerResolution(10000, TRUE), KeQueryTimeIncrement());
    KTAP_EQUAL(ExSetTimerResolution(0, FALSE), KeQueryTimeIncrement());
}

static const KTAP_CASE_ENTRY ExvCases[] = {
    {"version", ExvVersion},
    {"features", ExvFeatures},
};
KTAP_SUITE(ExvSuite, "ex.version", ExvCases);
