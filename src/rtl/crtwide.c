/*
 * crtwide.c - wcslen and its kin, and between the two widths.
 *
 * The string routines are crtstring.h's. Conversion uses the ANSI code page, ISO 8859-1, where a byte is a character; what has no byte
 * cannot be converted (-1). No locks, no state.
 */
#include "crt.h"

#define CRT(Name)    RtlpWcs##Name
#define CRT_CHAR     WCHAR
#define CRT_UNSIGNED WCHAR
#include "crtstring.h"

int RtlpMbToWc(WCHAR *Wide, PCSTR Text, SIZE_T Count);
int RtlpWcToMb(PSTR Text, WCHAR Wide);
SIZE_T RtlpMbsToWcs(PWSTR Wide, PCSTR Text, SIZE_T Count);
SIZE_T RtlpWcsToMbs(PSTR Text, PCWSTR Wide, SIZE_T Count);

/* Bytes of the character at Text: 1; 0 for a NUL, or no text; -1: Count is 0. */
int RtlpMbToWc(WCHAR *Wide, PCSTR Text, SIZE_T Count)
{
    if (Text == NULL) {
        return 0;
    }
    if (Count == 0) {
        return -1;
    }
    if (Wide != NULL) {
        *Wide = (UCHAR)*Text;
    }
    return *Text != 0;
}

int RtlpWcToMb(PSTR Text, WCHAR Wide)
{
    if (Text == NULL) {
        return 0;
    }
    if (Wide > 0xFF) {
        return -1;
    }
    *Text = (CHAR)Wide;
    return 1;
}

/* Characters converted without the terminator, Count at most. Wide NULL: only count. */
SIZE_T RtlpMbsToWcs(PWSTR Wide, PCSTR Text, SIZE_T Count)
{
    SIZE_T Index = 0;

    for (; Wide == NULL || Index < Count; Index++) {
        if (Wide != NULL) {
            Wide[Index] = (UCHAR)Text[Index];
        }
        if (Text[Index] == 0) {
            break;
        }
    }
    return Index;
}

/* Likewise; (SIZE_T)-1: a character has no byte. */
SIZE_T RtlpWcsToMbs(PSTR Text, PCWSTR Wide, SIZE_T Count)
{
    SIZE_T Index = 0;

    for (; Text == NULL || Index < Count; Index++) {
        if (Wide[Index] > 0xFF) {
            return (SIZE_T)-1;
        }
        if (Text != NULL) {
            Text[Index] = (CHAR)Wide[Index];
        }
        if (Wide[Index] == 0) {
            break;
        }
    }
    return Index;
}
