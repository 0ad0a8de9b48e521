/*
 * altitude.c - comparing the altitudes of filters: decimal numbers of any length with an optional fraction, as text.
 *
 * "100" is below "100.5" and below "1000". They are compared as text, without conversion: a filter's altitude may have more
 * digits than any integer. No locks, no state. IRQL: any, if resident.
 */
#include <ntos/rtl.h>

/* The digit of a number's text at a place, '0' outside it. */
static WCHAR RtlpDigitAt(PCUNICODE_STRING Text, LONG Place)
{
    return (Place >= 0 && Place < (LONG)(Text->Length / sizeof(WCHAR))) ? Text->Buffer[Place] : L'0';
}

/* Characters before the point. */
static LONG RtlpWholeDigits(PCUNICODE_STRING Text)
{
    LONG Count = 0;

    while (Count < (LONG)(Text->Length / sizeof(WCHAR)) && Text->Buffer[Count] != L'.') {
        Count++;
    }
    return Count;
}

/* Below 0: the first is lower; 0: equal; above 0: the first is higher. An empty text is 0. */
LONG NTAPI RtlCompareAltitudes(PCUNICODE_STRING Altitude1, PCUNICODE_STRING Altitude2)
{
    LONG Whole1 = RtlpWholeDigits(Altitude1), Whole2 = RtlpWholeDigits(Altitude2), Digits = max(Whole1, Whole2);
    LONG Fraction1 = (LONG)(Altitude1->Length / sizeof(WCHAR)) - Whole1;
    LONG Fraction2 = (LONG)(Altitude2->Length / sizeof(WCHAR)) - Whole2;

    for (LONG Place = 0; Place < Digits; Place++) {
        LONG Order = RtlpDigitAt(Altitude1, Whole1 - Digits + Place) - RtlpDigitAt(Altitude2, Whole2 - Digits + Place);

        if (Order != 0) {
            return Order;
        }
    }
    for (LONG Place = 1; Place < max(Fraction1, Fraction2); Place++) {
        LONG Order = RtlpDigitAt(Altitude1, Whole1 + Place) - RtlpDigitAt(Altitude2, Whole2 + Place);

        if (Order != 0) {
            return Order;
        }
    }
    return 0;
}
