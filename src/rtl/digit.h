/*
 * digit.h - reading one digit, for numbers and GUIDs.
 */
#pragma once

/* Value of a digit of base 16 or less, or 0xFF. */
FORCEINLINE ULONG RtlpDigit(WCHAR Character)
{
    if (Character >= '0' && Character <= '9') {
        return Character - '0';
    }
    if (Character >= 'a' && Character <= 'f') {
        return Character - 'a' + 10U;
    }
    if (Character >= 'A' && Character <= 'F') {
        return Character - 'A' + 10U;
    }
    return 0xFF;
}
