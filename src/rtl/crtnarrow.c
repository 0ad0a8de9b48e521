/*
 * crtnarrow.c - strlen and its kin, memory blocks, and the ctype routines.
 *
 * The string routines are crtstring.h's. The ctype routines take an int as C has it and know ASCII only; towupper and towlower fold all of
 * Unicode, as NT's do. No locks, no state.
 */
#include "crt.h"

#define CRT(Name)    RtlpStr##Name
#define CRT_CHAR     CHAR
#define CRT_UNSIGNED UCHAR
#include "crtstring.h"

PVOID RtlpMemChr(const VOID *Block, int Byte, SIZE_T Count);
RTLP_ERRNO RtlpMemCpyS(PVOID Destination, SIZE_T Room, const VOID *Source, SIZE_T Count);
RTLP_ERRNO RtlpMemMoveS(PVOID Destination, SIZE_T Room, const VOID *Source, SIZE_T Count);
int RtlpToUpper(int Character);
int RtlpToLower(int Character);
WCHAR RtlpToWUpper(WCHAR Character);
WCHAR RtlpToWLower(WCHAR Character);
int RtlpIsDigit(int Character);
int RtlpIsLower(int Character);
int RtlpIsUpper(int Character);
int RtlpIsSpace(int Character);
int RtlpIsPrint(int Character);
int RtlpIsXDigit(int Character);

PVOID RtlpMemChr(const VOID *Block, int Byte, SIZE_T Count)
{
    for (SIZE_T Index = 0; Index < Count; Index++) {
        if (((const UCHAR *)Block)[Index] == (UCHAR)Byte) {
            return (PUCHAR)Block + Index;
        }
    }
    return NULL;
}

/* A room that is too small is zeroed (memcpy_s) and the copy refused. */
RTLP_ERRNO RtlpMemCpyS(PVOID Destination, SIZE_T Room, const VOID *Source, SIZE_T Count)
{
    if (Count == 0) {
        return 0;
    }
    if (Destination == NULL) {
        return RTLP_EINVAL;
    }
    if (Source == NULL || Room < Count) {
        RtlZeroMemory(Destination, Room);
        return (Source == NULL) ? RTLP_EINVAL : RTLP_ERANGE;
    }
    RtlCopyMemory(Destination, Source, Count);
    return 0;
}

/* Overlap is allowed; a refusal leaves the destination alone. */
RTLP_ERRNO RtlpMemMoveS(PVOID Destination, SIZE_T Room, const VOID *Source, SIZE_T Count)
{
    if (Count == 0) {
        return 0;
    }
    if (Destination == NULL || Source == NULL) {
        return RTLP_EINVAL;
    }
    if (Room < Count) {
        return RTLP_ERANGE;
    }
    RtlMoveMemory(Destination, Source, Count);
    return 0;
}

int RtlpToUpper(int Character)
{
    return RtlpAsciiUpper(Character);
}

int RtlpToLower(int Character)
{
    return RtlpAsciiLower(Character);
}

WCHAR RtlpToWUpper(WCHAR Character)
{
    return RtlUpcaseUnicodeChar(Character);
}

WCHAR RtlpToWLower(WCHAR Character)
{
    return RtlDowncaseUnicodeChar(Character);
}

int RtlpIsDigit(int Character)
{
    return Character >= '0' && Character <= '9';
}

int RtlpIsLower(int Character)
{
    return Character >= 'a' && Character <= 'z';
}

int RtlpIsUpper(int Character)
{
    return Character >= 'A' && Character <= 'Z';
}

int RtlpIsSpace(int Character)
{
    return RtlpAsciiBlank(Character);
}

int RtlpIsPrint(int Character)
{
    return Character >= ' ' && Character <= '~';
}

int RtlpIsXDigit(int Character)
{
    return RtlpIsDigit(Character) || (RtlpAsciiLower(Character) >= 'a' && RtlpAsciiLower(Character) <= 'f');
}
