/*
 * ex_rundownca.c - suite ex.rundownca: cache-aware rundown protection, its states and a race.
 *
 * Users come in on one processor and leave on another: the suite moves them between the two. Whoever is inside never sees the
 * object dead, and a rundown that ends has let everybody out.
 */
#include "ketest.h"

static PEX_RUNDOWN_REF_CACHE_AWARE Ref;
static volatile LONG Dead, Bad;

static VOID States(PKTAP_CONTEXT Ktap)
{
    static DECLSPEC_ALIGN(16) UCHAR Storage[8192];
    PEX_RUNDOWN_REF_CACHE_AWARE Own = (PVOID)Storage;

    KTAP_CHECK(ExSizeOfRundownProtectionCacheAware() <= sizeof(Storage));
    ExInitializeRundownProtectionCacheAware(Own, ExSizeOfRundownProtectionCacheAware());
    KTAP_CHECK(ExAcquireRundownProtectionCacheAware(Own));
    KTAP_CHECK(ExAcquireRundownProtectionCacheAwareEx(Own, 3));
    ExReleaseRundownProtectionCacheAwareEx(Own, 2);
    ExReleaseRundownProtectionCacheAware(Own);
    ExReleaseRundownProtectionCacheAware(Own);
    ExWaitForRundownProtectionReleaseCacheAware(Own);
    KTAP_CHECK(!ExAcquireRundownProtectionCacheAware(Own));
    ExReInitializeRundownProtectionCacheAware(Own);
    KTAP_CHECK(ExAcquireRundownProtectionCacheAware(Own));
    ExReleaseRundownProtectionCacheAware(Own);
    ExRundownCompletedCacheAware(Own);
    KTAP_CHECK(!ExAcquireRundownProtectionCacheAware(Own));
}

static VOID Body(ULONG Number)
{
    ULONG64 Seed = Number + 1, Rounds = KtapIterations(100000) / TestRacers();

    for (ULONG64 i = 0; i < Rounds; i++) {
        if (Number == 0 && i % 16 == 0) {
            ExWaitForRundownProtectionReleaseCacheAware(Ref);
            Dead = 1;
            ZwYieldExecution();
            Dead = 0;
            ExReInitializeRundownProtectionCacheAware(Ref);
        } else if (Number != 0 && ExAcquireRundownProtectionCacheAware(Ref)) {
            Bad += Dead;
            if (i % 64 == 0) {
                KeSetSystemAffinityThreadEx(TestRandom(&Seed));
                KeRevertToUserAffinityThreadEx(0);
            }
            Bad += Dead;
            ExReleaseRundownProtectionCacheAware(Ref);
        }
    }
}

static VOID Race(PKTAP_CONTEXT Ktap)
{
    Bad = Dead = 0;
    Ref = ExAllocateCacheAwareRundownProtection(NonPagedPool, 'acuR');
    KTAP_CHECK(Ref != NULL);
    BOOLEAN Through = TestParallel(TestRacers(), Body);
    ExWaitForRundownProtectionReleaseCacheAware(Ref);
    ExFreeCacheAwareRundownProtection(Ref);
    KTAP_CHECK(Through);
    KTAP_EQUAL(Bad, 0);
}

static const KTAP_CASE_ENTRY Cases[] = {{"states", States}, {"race", Race}};
KTAP_SUITE(ExRundownCaSuite, "ex.rundownca", Cases);
