/*
 * unicase.c - upper and lower case of characters and strings.
 *
 * The kernel folds case one UTF-16 unit at a time with tables that never change, so that names compare the same on
 * every machine and in every locale. Surrogates map to themselves. The tables are generated (scripts/gen-casetable);
 * a lookup is a binary search over some hundred ranges, and ASCII takes a shortcut.
 *
 * Nothing here takes a lock; the tables are constant. Whole strings are mapped by stralloc.c.
 */
#include <ntos/ntos.h>
#include "casetable.h"

static WCHAR RtlpMapCase(WCHAR Character, const RTLP_CASE_RANGE *Ranges, ULONG Count)
{
    ULONG Low = 0;
    ULONG High = Count;

    while (Low < High) {
        ULONG Middle = (Low + High) / 2;
        const RTLP_CASE_RANGE *Range = &Ranges[Middle];

        if (Character < Range->First) {
            High = Middle;
        } else if (Character > Range->Last) {
            Low = Middle + 1;
        } else if ((Character - Range->First) % Range->Stride == 0) {
            return (WCHAR)(Character + Range->Delta);
        } else {
            /* Ranges of stride 2 interleave with others only between their members; no other range covers this one. */
            return Character;
        }
    }
    return Character;
}

/**
 * RtlUpcaseUnicodeChar - the upper-case partner of a character, or the character itself.
 *
 * IRQL: any.  Locks: none.
 */
WCHAR NTAPI RtlUpcaseUnicodeChar(WCHAR SourceCharacter)
{
    if (SourceCharacter < 0x80) {
        return (SourceCharacter >= 'a' && SourceCharacter <= 'z') ? SourceCharacter - 0x20 : SourceCharacter;
    }
    return RtlpMapCase(SourceCharacter, RtlpUpperRanges, RtlpUpperRangesCount);
}

/**
 * RtlDowncaseUnicodeChar - the lower-case partner of a character, or the character itself.
 *
 * IRQL: any.  Locks: none.
 */
WCHAR NTAPI RtlDowncaseUnicodeChar(WCHAR SourceCharacter)
{
    if (SourceCharacter < 0x80) {
        return (SourceCharacter >= 'A' && SourceCharacter <= 'Z') ? SourceCharacter + 0x20 : SourceCharacter;
    }
    return RtlpMapCase(SourceCharacter, RtlpLowerRanges, RtlpLowerRangesCount);
}

/**
 * RtlUpperChar - upper case of a character of the ANSI code page (Latin-1; see ansistr.c).
 *
 * A letter whose capital is outside the code page stays as it is.  IRQL: any.
 */
CHAR NTAPI RtlUpperChar(CHAR Character)
{
    WCHAR Upper = RtlUpcaseUnicodeChar((UCHAR)Character);

    return (CHAR)(Upper <= 0xFF ? Upper : (UCHAR)Character);
}
