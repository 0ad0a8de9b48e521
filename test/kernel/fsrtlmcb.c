/*
 * fsrtlmcb.c - map control blocks against an array that says for each sector of a file where it lies.
 *
 * Random additions, removals, splits and truncations; after each, every sector is looked up, and the runs must be as few as
 * the array allows. The seed is fixed, so a failure repeats.
 */
#include <ntos/ktap.h>

#define SECTORS 120 /* of the modelled file; some operations reach past it */

static LONGLONG Model[SECTORS * 4];
static BASE_MCB Base;

static LONGLONG ModelEnd(VOID)
{
    LONGLONG End = RTL_NUMBER_OF(Model);

    while (End > 0 && Model[End - 1] == -1) {
        End--;
    }
    return End;
}

static ULONG ModelRuns(VOID)
{
    LONGLONG End = ModelEnd();
    ULONG Runs = 0;

    for (LONGLONG Vbn = 0; Vbn < End; Vbn++) {
        Runs += Vbn == 0 || !((Model[Vbn] == -1 && Model[Vbn - 1] == -1) ||
                              (Model[Vbn - 1] != -1 && Model[Vbn] == Model[Vbn - 1] + 1));
    }
    return Runs;
}

static BOOLEAN Agrees(VOID)
{
    LONGLONG End = ModelEnd(), Lbn, Left, Start, Whole, Next, Total = 0;
    ULONG Index, Again;

    if (FsRtlNumberOfRunsInBaseMcb(&Base) != ModelRuns()) {
        return FALSE;
    }
    for (LONGLONG Vbn = 0; Vbn < (LONGLONG)RTL_NUMBER_OF(Model); Vbn++) {
        BOOLEAN Found = FsRtlLookupBaseMcbEntry(&Base, Vbn, &Lbn, &Left, &Start, &Whole, &Index);

        if (Found != (Vbn < End) || (Found && Lbn != Model[Vbn])) {
            return FALSE;
        }
        if (Found && (Left > Whole || (Lbn == -1) != (Start == -1) || (Lbn != -1 && Lbn - Start != Whole - Left) ||
                      (Left > 1 && (!FsRtlLookupBaseMcbEntry(&Base, Vbn + Left - 1, NULL, NULL, NULL, NULL, &Again) ||
                                    Again != Index)))) {
            return FALSE;
        }
    }
    for (Index = 0; FsRtlGetNextBaseMcbEntry(&Base, Index, &Next, &Lbn, &Whole); Index++) {
        if (Next != Total) {
            return FALSE;
        }
        Total += Whole;
    }
    return Total == End && Index == ModelRuns();
}

static VOID ModelBody(PKTAP_CONTEXT Ktap)
{
    ULONG Seed = 99;

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Model); Index++) {
        Model[Index] = -1;
    }
    for (ULONG Round = 0; Round < 400; Round++) {
        LONGLONG Vbn = RtlRandomEx(&Seed) % SECTORS, Count = RtlRandomEx(&Seed) % 12 + 1;
        LONGLONG Lbn = Vbn + 1000 * (RtlRandomEx(&Seed) % 3);
        BOOLEAN Free = TRUE;

        switch (RtlRandomEx(&Seed) % 8) {
        case 0:
        case 1:
        case 2:
        case 3:
            for (LONGLONG Index = Vbn; Index < Vbn + Count; Index++) {
                Free = Free && (Model[Index] == -1 || Model[Index] == Lbn + Index - Vbn);
            }
            KTAP_EQUAL(FsRtlAddBaseMcbEntry(&Base, Vbn, Lbn, Count), Free);
            for (LONGLONG Index = Vbn; Free && Index < Vbn + Count; Index++) {
                Model[Index] = Lbn + Index - Vbn;
            }
            break;
        case 4:
        case 5:
            KTAP_CHECK(FsRtlRemoveBaseMcbEntry(&Base, Vbn, Count));
            for (LONGLONG Index = Vbn; Index < Vbn + Count; Index++) {
                Model[Index] = -1;
            }
            break;
        case 6:
            Count = Count % 3;
            if (ModelEnd() + Count <= SECTORS * 3) {
                KTAP_CHECK(FsRtlSplitBaseMcb(&Base, Vbn, Count));
                for (LONGLONG Index = RTL_NUMBER_OF(Model) - 1; Index >= Vbn + Count; Index--) {
                    Model[Index] = Model[Index - Count];
                }
                for (LONGLONG Index = Vbn; Index < Vbn + Count; Index++) {
                    Model[Index] = -1;
                }
            }
            break;
        default:
            Vbn += SECTORS / 2;
            FsRtlTruncateBaseMcb(&Base, Vbn);
            for (LONGLONG Index = Vbn; Index < (LONGLONG)RTL_NUMBER_OF(Model); Index++) {
                Model[Index] = -1;
            }
            break;
        }
        KTAP_CHECK(Agrees());
    }
    FsRtlResetBaseMcb(&Base);
    KTAP_EQUAL(FsRtlNumberOfRunsInBaseMcb(&Base), 0);
}

/* What is added raises an exception when there is no pool. */
static VOID McbModel(PKTAP_CONTEXT Ktap)
{
    FsRtlInitializeBaseMcb(&Base, PagedPool);
    __try {
        ModelBody(Ktap);
    } __finally {
        FsRtlUninitializeBaseMcb(&Base);
    }
}

static VOID McbBase(PKTAP_CONTEXT Ktap)
{
    LONGLONG Vbn, Lbn;
    ULONG Index;

    KTAP_CHECK(FsRtlInitializeBaseMcbEx(&Base, NonPagedPool, 0));
    KTAP_CHECK(!FsRtlLookupLastBaseMcbEntry(&Base, &Vbn, &Lbn));
    KTAP_EQUAL(FsRtlAddBaseMcbEntryEx(&Base, -1, 0, 1), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(FsRtlAddBaseMcbEntryEx(&Base, MAXLONGLONG, 0, 1), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(FsRtlAddBaseMcbEntryEx(&Base, 10, 500, 5), STATUS_SUCCESS);
    KTAP_EQUAL(FsRtlAddBaseMcbEntryEx(&Base, 12, 502, 9), STATUS_SUCCESS); /* overlaps and agrees */
    KTAP_EQUAL(FsRtlAddBaseMcbEntryEx(&Base, 12, 503, 9), STATUS_UNSUCCESSFUL);
    KTAP_EQUAL(FsRtlNumberOfRunsInBaseMcb(&Base), 2); /* the hole from 0 to 9, and one run */
    KTAP_CHECK(FsRtlLookupLastBaseMcbEntryAndIndex(&Base, &Vbn, &Lbn, &Index));
    KTAP_CHECK(Vbn == 20 && Lbn == 510 && Index == 1);
    KTAP_CHECK(FsRtlLookupLastBaseMcbEntry(&Base, &Vbn, &Lbn) && Vbn == 20);
    KTAP_CHECK(FsRtlRemoveBaseMcbEntry(&Base, 0, 100));
    KTAP_EQUAL(FsRtlNumberOfRunsInBaseMcb(&Base), 0);
    FsRtlUninitializeBaseMcb(&Base);
}

static VOID McbLarge(PKTAP_CONTEXT Ktap)
{
    static LARGE_MCB Large;
    LONGLONG Vbn, Lbn, Count, First, Whole;
    ULONG Index;

    FsRtlInitializeLargeMcb(&Large, PagedPool);
    KTAP_CHECK(FsRtlAddLargeMcbEntry(&Large, 0, 0x100000000LL, 10));
    KTAP_CHECK(FsRtlAddLargeMcbEntry(&Large, 20, 700, 10));
    KTAP_CHECK(!FsRtlAddLargeMcbEntry(&Large, 5, 1, 1));
    KTAP_EQUAL(FsRtlNumberOfRunsInLargeMcb(&Large), 3);
    KTAP_CHECK(FsRtlLookupLargeMcbEntry(&Large, 4, &Lbn, &Count, &First, &Whole, &Index));
    KTAP_CHECK(Lbn == 0x100000004LL && Count == 6 && First == 0x100000000LL && Whole == 10 && Index == 0);
    KTAP_CHECK(FsRtlLookupLargeMcbEntry(&Large, 15, &Lbn, &Count, NULL, NULL, NULL) && Lbn == -1 && Count == 5);
    KTAP_CHECK(!FsRtlLookupLargeMcbEntry(&Large, 30, &Lbn, NULL, NULL, NULL, NULL));
    KTAP_CHECK(FsRtlLookupLastLargeMcbEntry(&Large, &Vbn, &Lbn) && Vbn == 29 && Lbn == 709);
    KTAP_CHECK(FsRtlLookupLastLargeMcbEntryAndIndex(&Large, &Vbn, &Lbn, &Index) && Index == 2);
    KTAP_CHECK(FsRtlGetNextLargeMcbEntry(&Large, 1, &Vbn, &Lbn, &Count) && Vbn == 10 && Lbn == -1 && Count == 10);
    KTAP_CHECK(!FsRtlGetNextLargeMcbEntry(&Large, 3, &Vbn, &Lbn, &Count));
    KTAP_CHECK(FsRtlSplitLargeMcb(&Large, 25, 100));
    KTAP_CHECK(FsRtlLookupLargeMcbEntry(&Large, 125, &Lbn, NULL, NULL, NULL, NULL) && Lbn == 705);
    FsRtlRemoveLargeMcbEntry(&Large, 0, 5);
    KTAP_CHECK(FsRtlLookupLargeMcbEntry(&Large, 4, &Lbn, NULL, NULL, NULL, NULL) && Lbn == -1);
    FsRtlTruncateLargeMcb(&Large, 15);
    KTAP_CHECK(FsRtlLookupLastLargeMcbEntry(&Large, &Vbn, &Lbn) && Vbn == 9);
    FsRtlResetLargeMcb(&Large, FALSE);
    KTAP_EQUAL(FsRtlNumberOfRunsInLargeMcb(&Large), 0);
    FsRtlUninitializeLargeMcb(&Large);
}

static VOID McbOld(PKTAP_CONTEXT Ktap)
{
    static MCB Old;
    VBN Vbn;
    LBN Lbn;
    ULONG Count, Index;

    FsRtlInitializeMcb(&Old, PagedPool);
    KTAP_CHECK(FsRtlAddMcbEntry(&Old, 5, 900, 5));
    KTAP_EQUAL(FsRtlNumberOfRunsInMcb(&Old), 2);
    KTAP_CHECK(FsRtlLookupMcbEntry(&Old, 7, &Lbn, &Count, &Index) && Lbn == 902 && Count == 3 && Index == 1);
    KTAP_CHECK(FsRtlLookupMcbEntry(&Old, 0, &Lbn, NULL, &Index) && Lbn == (LBN)-1);
    KTAP_CHECK(FsRtlGetNextMcbEntry(&Old, 1, &Vbn, &Lbn, &Count) && Vbn == 5 && Lbn == 900 && Count == 5);
    KTAP_CHECK(FsRtlLookupLastMcbEntry(&Old, &Vbn, &Lbn) && Vbn == 9 && Lbn == 904);
    FsRtlRemoveMcbEntry(&Old, 9, 1);
    FsRtlTruncateMcb(&Old, 7);
    KTAP_CHECK(FsRtlLookupLastMcbEntry(&Old, &Vbn, &Lbn) && Vbn == 6);
    FsRtlTruncateMcb(&Old, 0);
    KTAP_CHECK(!FsRtlLookupLastMcbEntry(&Old, &Vbn, &Lbn));
    FsRtlUninitializeMcb(&Old);
}

static const KTAP_CASE_ENTRY McbCases[] = {
    {"model", McbModel},
    {"base", McbBase},
    {"large", McbLarge},
    {"old", McbOld},
};

KTAP_SUITE(McbSuite, "fsrtl.mcb", McbCases);
