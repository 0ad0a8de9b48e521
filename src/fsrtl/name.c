/*
 * name.c - names and paths for file systems: wild cards, equality, first components.
 *
 * An expression is matched by running all its positions side by side: a bit set holds those that the name's characters read so
 * far can have reached, and each character moves the set on. That takes (name length) * (expression length) steps, whatever
 * the pattern, where backtracking could take exponentially many. Sets of up to FSRTLP_STACK_BITS positions live on
 * the stack; a longer expression takes pool, and raises STATUS_INSUFFICIENT_RESOURCES if there is none, as documented.
 *
 * No locks; IRQL: PASSIVE_LEVEL or APC_LEVEL, as the strings may be paged.
 *
 * Source: the routines' pages in the Windows driver documentation; [MS-FSA] 2.1.4.4 (expressions).
 */
#include <ntos/ntos.h>

#define FSRTLP_STACK_BITS 512 /* longer than any component of a path (255 characters) and its terminator */
#define FSRTLP_TAG        'eRsF'

/* The five wild cards. The last three are what the Win32 layer turns DOS patterns into. */
#define FSRTLP_STAR     L'*'
#define FSRTLP_ANY      L'?'
#define FSRTLP_DOS_STAR L'<' /* anything, but not the name's last dot */
#define FSRTLP_DOS_ANY  L'>' /* one character that is no dot; nothing before a dot or at the end */
#define FSRTLP_DOS_DOT  L'"' /* a dot, or nothing at the end */

typedef struct _FSRTLP_MATCH {
    PUNICODE_STRING Expression;
    ULONG Positions;  /* of the expression, its end included */
    PULONG Now, Next; /* bit sets of positions */
    BOOLEAN IgnoreCase;
    PWCHAR UpcaseTable;
} FSRTLP_MATCH;

static BOOLEAN FsRtlpTest(const ULONG *Set, ULONG Bit)
{
    return (Set[Bit / 32] >> Bit % 32 & 1) != 0;
}

static VOID FsRtlpAdd(PULONG Set, ULONG Bit)
{
    Set[Bit / 32] |= 1U << Bit % 32;
}

/* Adds the positions that are reached without reading: from each wild card that may stand for nothing here. */
static VOID FsRtlpClose(const FSRTLP_MATCH *Match, BOOLEAN AtDot, BOOLEAN AtEnd)
{
    for (ULONG At = 0; At + 1 < Match->Positions; At++) {
        WCHAR Wild = Match->Expression->Buffer[At];

        if (FsRtlpTest(Match->Now, At) &&
            (Wild == FSRTLP_STAR || Wild == FSRTLP_DOS_STAR || (Wild == FSRTLP_DOS_ANY && (AtDot || AtEnd)) ||
             (Wild == FSRTLP_DOS_DOT && AtEnd))) {
            FsRtlpAdd(Match->Now, At + 1);
        }
    }
}

/* Moves the set of positions over one character of the name. */
static VOID FsRtlpRead(FSRTLP_MATCH *Match, WCHAR Character, BOOLEAN LastDot)
{
    PULONG Swap = Match->Next;

    RtlZeroMemory(Match->Next, (Match->Positions + 31) / 32 * sizeof(ULONG));
    for (ULONG At = 0; At + 1 < Match->Positions; At++) {
        WCHAR Wild = Match->Expression->Buffer[At];

        if (!FsRtlpTest(Match->Now, At)) {
            continue;
        }
        if (Wild == FSRTLP_STAR || (Wild == FSRTLP_DOS_STAR && !LastDot)) {
            FsRtlpAdd(Match->Next, At);
        } else if (Wild == FSRTLP_ANY || (Wild == FSRTLP_DOS_ANY && Character != L'.') ||
                   (Wild == FSRTLP_DOS_DOT && Character == L'.') || Wild == Character) {
            FsRtlpAdd(Match->Next, At + 1);
        }
    }
    Match->Next = Match->Now;
    Match->Now = Swap;
}

static WCHAR FsRtlpFold(WCHAR Character, BOOLEAN IgnoreCase, PCWCH UpcaseTable)
{
    if (!IgnoreCase) {
        return Character;
    }
    return UpcaseTable != NULL ? UpcaseTable[Character] : RtlUpcaseUnicodeChar(Character);
}

static BOOLEAN FsRtlpRun(FSRTLP_MATCH *Match, PUNICODE_STRING Name)
{
    ULONG Count = Name->Length / sizeof(WCHAR);
    ULONG LastDot = Count;

    for (ULONG Index = 0; Index < Count; Index++) {
        LastDot = Name->Buffer[Index] == L'.' ? Index : LastDot;
    }
    FsRtlpAdd(Match->Now, 0);
    for (ULONG Index = 0; Index < Count; Index++) {
        WCHAR Character = FsRtlpFold(Name->Buffer[Index], Match->IgnoreCase, Match->UpcaseTable);

        FsRtlpClose(Match, Character == L'.', FALSE);
        FsRtlpRead(Match, Character, Index == LastDot);
    }
    FsRtlpClose(Match, FALSE, TRUE);
    return FsRtlpTest(Match->Now, Match->Positions - 1);
}

/**
 * FsRtlIsNameInExpression - whether a name matches a pattern.
 *
 * @Expression   the pattern; in upper case if IgnoreCase
 * @UpcaseTable  optional: 65,536 characters; without it the kernel's own table is used
 *
 * IRQL: <= APC_LEVEL.  Raises STATUS_INSUFFICIENT_RESOURCES (patterns of more than 511 characters only).
 */
BOOLEAN NTAPI FsRtlIsNameInExpression(PUNICODE_STRING Expression, PUNICODE_STRING Name, BOOLEAN IgnoreCase,
                                      PWCHAR UpcaseTable)
{
    ULONG Sets[2][FSRTLP_STACK_BITS / 32];
    FSRTLP_MATCH Match = {Expression, Expression->Length / sizeof(WCHAR) + 1, Sets[0], Sets[1], IgnoreCase,
                          UpcaseTable};
    ULONG Words = (Match.Positions + 31) / 32;
    PULONG Pool = NULL;
    BOOLEAN Result;

    if (Expression->Length == 0 || Name->Length == 0) {
        return Expression->Length == Name->Length;
    }
    if (Match.Positions > FSRTLP_STACK_BITS) {
        Pool = FsRtlAllocatePoolWithTag(PagedPool, 2 * Words * sizeof(ULONG), FSRTLP_TAG);
        Match.Now = Pool;
        Match.Next = Pool + Words;
    }
    RtlZeroMemory(Match.Now, Words * sizeof(ULONG));
    Result = FsRtlpRun(&Match, Name);
    if (Pool != NULL) {
        ExFreePoolWithTag(Pool, FSRTLP_TAG);
    }
    return Result;
}

/** FsRtlDoesNameContainWildCards - whether any of * ? < > " occurs in a name. */
BOOLEAN NTAPI FsRtlDoesNameContainWildCards(PUNICODE_STRING Name)
{
    for (ULONG Index = 0; Index < Name->Length / sizeof(WCHAR); Index++) {
        switch (Name->Buffer[Index]) {
        case FSRTLP_STAR:
        case FSRTLP_ANY:
        case FSRTLP_DOS_STAR:
        case FSRTLP_DOS_ANY:
        case FSRTLP_DOS_DOT:
            return TRUE;
        default:
            break;
        }
    }
    return FALSE;
}

/**
 * FsRtlDissectName - splits a path into its first component and the rest.
 *
 * One leading backslash is passed over, and so is the one between the two parts; a second one at that place stays at
 * the front of the rest, where it shows that the path is malformed. No copies: the parts point into the path.
 */
VOID NTAPI FsRtlDissectName(UNICODE_STRING Name, PUNICODE_STRING FirstPart, PUNICODE_STRING RemainingPart)
{
    ULONG Count = Name.Length / sizeof(WCHAR);
    ULONG Start = Count != 0 && Name.Buffer[0] == L'\\';
    ULONG End = Start;

    RtlZeroMemory(FirstPart, sizeof(*FirstPart));
    RtlZeroMemory(RemainingPart, sizeof(*RemainingPart));
    if (Count == 0) {
        return;
    }
    while (End < Count && Name.Buffer[End] != L'\\') {
        End++;
    }
    FirstPart->Buffer = &Name.Buffer[Start];
    FirstPart->Length = FirstPart->MaximumLength = (USHORT)((End - Start) * sizeof(WCHAR));
    if (End < Count) {
        RemainingPart->Buffer = &Name.Buffer[End + 1];
        RemainingPart->Length = RemainingPart->MaximumLength = (USHORT)((Count - End - 1) * sizeof(WCHAR));
    }
}

/**
 * FsRtlAreNamesEqual - whether two names are the same.
 *
 * @UpcaseTable  optional: 65,536 characters; without it the kernel's own table is used
 */
BOOLEAN NTAPI FsRtlAreNamesEqual(PCUNICODE_STRING Name1, PCUNICODE_STRING Name2, BOOLEAN IgnoreCase, PCWCH UpcaseTable)
{
    if (Name1->Length != Name2->Length) {
        return FALSE;
    }
    for (ULONG Index = 0; Index < Name1->Length / sizeof(WCHAR); Index++) {
        if (FsRtlpFold(Name1->Buffer[Index], IgnoreCase, UpcaseTable) !=
            FsRtlpFold(Name2->Buffer[Index], IgnoreCase, UpcaseTable)) {
            return FALSE;
        }
    }
    return TRUE;
}
