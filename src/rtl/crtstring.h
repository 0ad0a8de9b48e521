/*
 * crtstring.h - the C library's string routines, written once for both widths.
 *
 * crtnarrow.c includes it with CRT_CHAR a byte and CRT(Name) = RtlpStr##Name, crtwide.c with a WCHAR and RtlpWcs##Name. Characters are
 * compared as unsigned. Case is ASCII's, as in the C locale. The ..._s routines return 22 (EINVAL) for a missing argument and 34
 * (ERANGE) for a room that is too small, and then leave an empty string; they call no handler. Source: C11 7.24, Microsoft Learn (run-time
 * library reference).
 */

SIZE_T CRT(Len)(const CRT_CHAR *Text);
SIZE_T CRT(Nlen)(const CRT_CHAR *Text, SIZE_T Maximum);
CRT_CHAR *CRT(Cpy)(CRT_CHAR *Destination, const CRT_CHAR *Source);
CRT_CHAR *CRT(Ncpy)(CRT_CHAR *Destination, const CRT_CHAR *Source, SIZE_T Count);
CRT_CHAR *CRT(Cat)(CRT_CHAR *Destination, const CRT_CHAR *Source);
CRT_CHAR *CRT(Ncat)(CRT_CHAR *Destination, const CRT_CHAR *Source, SIZE_T Count);
int CRT(Cmp)(const CRT_CHAR *First, const CRT_CHAR *Second);
int CRT(Ncmp)(const CRT_CHAR *First, const CRT_CHAR *Second, SIZE_T Count);
int CRT(Icmp)(const CRT_CHAR *First, const CRT_CHAR *Second);
int CRT(Nicmp)(const CRT_CHAR *First, const CRT_CHAR *Second, SIZE_T Count);
CRT_CHAR *CRT(Chr)(const CRT_CHAR *Text, int Character);
CRT_CHAR *CRT(Rchr)(const CRT_CHAR *Text, int Character);
CRT_CHAR *CRT(Str)(const CRT_CHAR *Text, const CRT_CHAR *Wanted);
SIZE_T CRT(Spn)(const CRT_CHAR *Text, const CRT_CHAR *Set);
SIZE_T CRT(Cspn)(const CRT_CHAR *Text, const CRT_CHAR *Set);
CRT_CHAR *CRT(Lwr)(CRT_CHAR *Text);
CRT_CHAR *CRT(Upr)(CRT_CHAR *Text);
CRT_CHAR *CRT(Rev)(CRT_CHAR *Text);
CRT_CHAR *CRT(Set)(CRT_CHAR *Text, int Character);
CRT_CHAR *CRT(Nset)(CRT_CHAR *Text, int Character, SIZE_T Count);
RTLP_ERRNO CRT(CpyS)(CRT_CHAR *Destination, SIZE_T Room, const CRT_CHAR *Source);
RTLP_ERRNO CRT(CatS)(CRT_CHAR *Destination, SIZE_T Room, const CRT_CHAR *Source);
RTLP_ERRNO CRT(NcpyS)(CRT_CHAR *Destination, SIZE_T Room, const CRT_CHAR *Source, SIZE_T Count);
RTLP_ERRNO CRT(NcatS)(CRT_CHAR *Destination, SIZE_T Room, const CRT_CHAR *Source, SIZE_T Count);

SIZE_T CRT(Len)(const CRT_CHAR *Text)
{
    SIZE_T Count = 0;

    while (Text[Count] != 0) {
        Count++;
    }
    return Count;
}

SIZE_T CRT(Nlen)(const CRT_CHAR *Text, SIZE_T Maximum)
{
    SIZE_T Count = 0;

    while (Count < Maximum && Text[Count] != 0) {
        Count++;
    }
    return Count;
}

CRT_CHAR *CRT(Cpy)(CRT_CHAR *Destination, const CRT_CHAR *Source)
{
    SIZE_T Index = 0;

    do {
        Destination[Index] = Source[Index];
    } while (Source[Index++] != 0);
    return Destination;
}

/* Exactly Count characters: cut without a terminator, or filled up with NULs. */
CRT_CHAR *CRT(Ncpy)(CRT_CHAR *Destination, const CRT_CHAR *Source, SIZE_T Count)
{
    SIZE_T Index = 0;

    for (; Index < Count && Source[Index] != 0; Index++) {
        Destination[Index] = Source[Index];
    }
    for (; Index < Count; Index++) {
        Destination[Index] = 0;
    }
    return Destination;
}

CRT_CHAR *CRT(Cat)(CRT_CHAR *Destination, const CRT_CHAR *Source)
{
    CRT(Cpy)(Destination + CRT(Len)(Destination), Source);
    return Destination;
}

/* At most Count characters, always terminated. */
CRT_CHAR *CRT(Ncat)(CRT_CHAR *Destination, const CRT_CHAR *Source, SIZE_T Count)
{
    CRT_CHAR *End = Destination + CRT(Len)(Destination);
    SIZE_T Length = CRT(Nlen)(Source, Count);

    RtlCopyMemory(End, Source, Length * sizeof(CRT_CHAR));
    End[Length] = 0;
    return Destination;
}

int CRT(Ncmp)(const CRT_CHAR *First, const CRT_CHAR *Second, SIZE_T Count)
{
    for (SIZE_T Index = 0; Index < Count; Index++) {
        if (First[Index] != Second[Index]) {
            return (CRT_UNSIGNED)First[Index] < (CRT_UNSIGNED)Second[Index] ? -1 : 1;
        }
        if (First[Index] == 0) {
            break;
        }
    }
    return 0;
}

int CRT(Cmp)(const CRT_CHAR *First, const CRT_CHAR *Second)
{
    return CRT(Ncmp)(First, Second, (SIZE_T)-1);
}

/* In lower case, as the documentation says: '_' comes before the letters. */
int CRT(Nicmp)(const CRT_CHAR *First, const CRT_CHAR *Second, SIZE_T Count)
{
    for (SIZE_T Index = 0; Index < Count; Index++) {
        int Order = RtlpAsciiLower((CRT_UNSIGNED)First[Index]) - RtlpAsciiLower((CRT_UNSIGNED)Second[Index]);

        if (Order != 0 || First[Index] == 0) {
            return Order;
        }
    }
    return 0;
}

int CRT(Icmp)(const CRT_CHAR *First, const CRT_CHAR *Second)
{
    return CRT(Nicmp)(First, Second, (SIZE_T)-1);
}

CRT_CHAR *CRT(Chr)(const CRT_CHAR *Text, int Character)
{
    for (;; Text++) {
        if (*Text == (CRT_CHAR)Character) {
            return (CRT_CHAR *)Text;
        }
        if (*Text == 0) {
            return NULL;
        }
    }
}

CRT_CHAR *CRT(Rchr)(const CRT_CHAR *Text, int Character)
{
    const CRT_CHAR *Found = NULL;

    do {
        if (*Text == (CRT_CHAR)Character) {
            Found = Text;
        }
    } while (*Text++ != 0);
    return (CRT_CHAR *)Found;
}

CRT_CHAR *CRT(Str)(const CRT_CHAR *Text, const CRT_CHAR *Wanted)
{
    SIZE_T Length = CRT(Len)(Wanted);

    for (;; Text++) {
        if (CRT(Ncmp)(Text, Wanted, Length) == 0) {
            return (CRT_CHAR *)Text;
        }
        if (*Text == 0) {
            return NULL;
        }
    }
}

/* Characters at the start that are in the set. */
SIZE_T CRT(Spn)(const CRT_CHAR *Text, const CRT_CHAR *Set)
{
    SIZE_T Count = 0;

    while (Text[Count] != 0 && CRT(Chr)(Set, Text[Count]) != NULL) {
        Count++;
    }
    return Count;
}

/* Characters at the start that are not. */
SIZE_T CRT(Cspn)(const CRT_CHAR *Text, const CRT_CHAR *Set)
{
    SIZE_T Count = 0;

    while (Text[Count] != 0 && CRT(Chr)(Set, Text[Count]) == NULL) {
        Count++;
    }
    return Count;
}

CRT_CHAR *CRT(Lwr)(CRT_CHAR *Text)
{
    for (SIZE_T Index = 0; Text[Index] != 0; Index++) {
        Text[Index] = (CRT_CHAR)RtlpAsciiLower((CRT_UNSIGNED)Text[Index]);
    }
    return Text;
}

CRT_CHAR *CRT(Upr)(CRT_CHAR *Text)
{
    for (SIZE_T Index = 0; Text[Index] != 0; Index++) {
        Text[Index] = (CRT_CHAR)RtlpAsciiUpper((CRT_UNSIGNED)Text[Index]);
    }
    return Text;
}

CRT_CHAR *CRT(Rev)(CRT_CHAR *Text)
{
    SIZE_T Length = CRT(Len)(Text);

    for (SIZE_T Index = 0; Index < Length / 2; Index++) {
        CRT_CHAR Swap = Text[Index];

        Text[Index] = Text[Length - 1 - Index];
        Text[Length - 1 - Index] = Swap;
    }
    return Text;
}

/* Overwrites at most Count characters of a string, not its terminator. */
CRT_CHAR *CRT(Nset)(CRT_CHAR *Text, int Character, SIZE_T Count)
{
    for (SIZE_T Index = 0; Index < Count && Text[Index] != 0; Index++) {
        Text[Index] = (CRT_CHAR)Character;
    }
    return Text;
}

CRT_CHAR *CRT(Set)(CRT_CHAR *Text, int Character)
{
    return CRT(Nset)(Text, Character, (SIZE_T)-1);
}

/* Puts Count characters at Place of Destination, which has Room characters, and a NUL. */
static RTLP_ERRNO CRT(Place)(CRT_CHAR *Destination, SIZE_T Room, SIZE_T Place, const CRT_CHAR *Source, SIZE_T Count,
                             BOOLEAN Truncate)
{
    RTLP_ERRNO Error = 0;

    if (Count >= Room - Place) {
        if (!Truncate) {
            Destination[0] = 0;
            return RTLP_ERANGE;
        }
        Count = Room - Place - 1;
        Error = RTLP_STRUNCATE;
    }
    RtlMoveMemory(Destination + Place, Source, Count * sizeof(CRT_CHAR));
    Destination[Place + Count] = 0;
    return Error;
}

RTLP_ERRNO CRT(NcpyS)(CRT_CHAR *Destination, SIZE_T Room, const CRT_CHAR *Source, SIZE_T Count)
{
    if (Destination == NULL || Room == 0) {
        return RTLP_EINVAL;
    }
    if (Source == NULL) {
        Destination[0] = 0;
        return (Count == 0) ? 0 : RTLP_EINVAL;
    }
    return CRT(Place)(Destination, Room, 0, Source, CRT(Nlen)(Source, Count), Count == RTLP_TRUNCATE);
}

RTLP_ERRNO CRT(CpyS)(CRT_CHAR *Destination, SIZE_T Room, const CRT_CHAR *Source)
{
    return CRT(NcpyS)(Destination, Room, Source, RTLP_TRUNCATE - 1);
}

RTLP_ERRNO CRT(NcatS)(CRT_CHAR *Destination, SIZE_T Room, const CRT_CHAR *Source, SIZE_T Count)
{
    SIZE_T Length;

    if (Destination == NULL || Room == 0) {
        return RTLP_EINVAL;
    }
    Length = CRT(Nlen)(Destination, Room);
    if (Length == Room || (Source == NULL && Count != 0)) {
        Destination[0] = 0;
        return RTLP_EINVAL;
    }
    return (Source == NULL)
               ? 0
               : CRT(Place)(Destination, Room, Length, Source, CRT(Nlen)(Source, Count), Count == RTLP_TRUNCATE);
}

RTLP_ERRNO CRT(CatS)(CRT_CHAR *Destination, SIZE_T Room, const CRT_CHAR *Source)
{
    return CRT(NcatS)(Destination, Room, Source, RTLP_TRUNCATE - 1);
}
