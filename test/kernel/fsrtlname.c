/*
 * fsrtlname.c - suite for names: expressions with wild cards, first components, equality.
 *
 * The table lists what each wild card means at the places where its meaning is particular: at the last dot, before a
 * dot and at the end of a name. The long expression would keep a backtracking matcher busy for ever; here it must
 * take no longer than its length squared, and it is long enough to need pool.
 */
#include <ntos/ktap.h>

typedef struct _NAME_CASE {
    PCWSTR Expression;
    PCWSTR Name;
    BOOLEAN Match;
} NAME_CASE;

static const NAME_CASE NameCases[] = {
    {L"*", L"anything.at.all", TRUE},
    {L"ABC", L"abc", TRUE},
    {L"ABC", L"abcd", FALSE},
    {L"A?C", L"abc", TRUE},
    {L"A?", L"a", FALSE},
    {L"*.TXT", L"notes.txt", TRUE},
    {L"*.TXT", L"notes.txt.bak", FALSE},
    {L"*A*B*C", L"xxaybzc", TRUE},
    {L"*A*B*C", L"xxayczb", FALSE},
    {L"**", L"x", TRUE},
    {L"?*", L"x", TRUE},
    /* `*.` becomes `<`: names without a last dot */
    {L"<", L"readme", TRUE},
    {L"<", L"readme.txt", FALSE},
    {L"<.TXT", L"a.b.txt", TRUE},
    {L"<.B", L"a.b.txt", FALSE},
    {L"<.<", L"a.b.c", TRUE},
    /* `???` becomes `>>>`: up to three characters before a dot or the end */
    {L">>>", L"ab", TRUE},
    {L">>>", L"abcd", FALSE},
    {L">>>.TXT", L"a.txt", TRUE},
    {L"A>>.TXT", L"a.txt", TRUE},
    {L">>>", L"a.b", FALSE},
    /* `abc.*` becomes `abc"*`: the dot may be missing */
    {L"ABC\"*", L"abc", TRUE},
    {L"ABC\"*", L"abc.def", TRUE},
    {L"ABC\"*", L"abcdef", FALSE},
    {L"<\"*", L"abc", TRUE},
};

static VOID NameExpression(PKTAP_CONTEXT Ktap)
{
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(NameCases); Index++) {
        UNICODE_STRING Expression, Name;

        RtlInitUnicodeString(&Expression, NameCases[Index].Expression);
        RtlInitUnicodeString(&Name, NameCases[Index].Name);
        if (FsRtlIsNameInExpression(&Expression, &Name, TRUE, NULL) != NameCases[Index].Match) {
            KtapFail(Ktap, __FILE__, __LINE__, "%wZ against %wZ is not %u", &Name, &Expression, NameCases[Index].Match);
            return;
        }
    }
}

static VOID NameLongExpression(PKTAP_CONTEXT Ktap)
{
    static WCHAR Stars[1200], Letters[1200];
    UNICODE_STRING Expression = {sizeof(Stars), sizeof(Stars), Stars};
    UNICODE_STRING Name = {sizeof(Letters), sizeof(Letters), Letters};

    /* A pattern that costs a backtracking matcher 2^600 steps, and takes pool here. */
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Stars); Index++) {
        Stars[Index] = Index % 2 == 0 ? L'*' : L'A';
        Letters[Index] = L'a';
    }
    KTAP_CHECK(FsRtlIsNameInExpression(&Expression, &Name, TRUE, NULL));
    Letters[RTL_NUMBER_OF(Letters) - 1] = L'b';
    KTAP_CHECK(!FsRtlIsNameInExpression(&Expression, &Name, TRUE, NULL));
}

static VOID NameDissect(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Path, First, Rest;

    RtlInitUnicodeString(&Path, L"\\one\\two\\three");
    FsRtlDissectName(Path, &First, &Rest);
    KTAP_EQUAL(First.Length, 6);
    KTAP_CHECK(First.Buffer == Path.Buffer + 1);
    KTAP_CHECK(Rest.Buffer == Path.Buffer + 5);
    FsRtlDissectName(Rest, &First, &Rest);
    FsRtlDissectName(Rest, &First, &Rest);
    KTAP_EQUAL(First.Length, 10);
    KTAP_EQUAL(Rest.Length, 0);
    RtlInitUnicodeString(&Path, L"a\\\\b");
    FsRtlDissectName(Path, &First, &Rest);
    KTAP_EQUAL(Rest.Length, 4);
    KTAP_EQUAL(Rest.Buffer[0], '\\');
    RtlInitUnicodeString(&Path, L"\\");
    FsRtlDissectName(Path, &First, &Rest);
    KTAP_EQUAL(First.Length + Rest.Length, 0);
}

static VOID NameStatus(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING A = RTL_CONSTANT_STRING(L"Gr\x00FC\x00DF"), B = RTL_CONSTANT_STRING(L"GR\x00DC\x00DF");

    KTAP_CHECK(FsRtlAreNamesEqual(&A, &B, TRUE, NULL) && !FsRtlAreNamesEqual(&A, &B, FALSE, NULL));
    KTAP_CHECK(!FsRtlDoesNameContainWildCards(&A));
    RtlInitUnicodeString(&A, L"a<b");
    KTAP_CHECK(FsRtlDoesNameContainWildCards(&A));
    KTAP_CHECK(FsRtlIsNtstatusExpected(STATUS_IN_PAGE_ERROR) && !FsRtlIsNtstatusExpected(STATUS_ACCESS_VIOLATION));
    KTAP_EQUAL(FsRtlNormalizeNtstatus(STATUS_ACCESS_VIOLATION, STATUS_INVALID_USER_BUFFER), STATUS_INVALID_USER_BUFFER);
    KTAP_EQUAL(FsRtlNormalizeNtstatus(STATUS_DISK_FULL, STATUS_INVALID_USER_BUFFER), STATUS_DISK_FULL);
}

static const KTAP_CASE_ENTRY NameSuiteCases[] = {
    {"expression", NameExpression},
    {"long_expression", NameLongExpression},
    {"dissect", NameDissect},
    {"equal_status", NameStatus},
};

KTAP_SUITE(NameSuite, "fsrtl.name", NameSuiteCases);
