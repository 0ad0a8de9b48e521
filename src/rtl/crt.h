/*
 * crt.h - the C library's names that ntoskrnl.exe exports for drivers, under private names.
 *
 * The compiler's headers declare or inline many of these names in ways that change from release to release, so the kernel defines
 * Rtlp... and src/ntoskrnl.def exports it under the C name. Each file of src/rtl/crt*.c holds one family. No routine takes a
 * lock, allocates or raises; IRQL: any at which the memory is resident.
 */
#pragma once

#include <stdarg.h>
#include <ntos/ntos.h>

typedef int RTLP_ERRNO; /* errno_t: 0, or one of these */
#define RTLP_EINVAL    22
#define RTLP_ERANGE    34
#define RTLP_STRUNCATE 80
#define RTLP_TRUNCATE  ((SIZE_T) - 1) /* _TRUNCATE: as much as fits */

/* ctype: ASCII, as the C locale has it. */
FORCEINLINE int RtlpAsciiUpper(int Character)
{
    return (Character >= 'a' && Character <= 'z') ? Character - 'a' + 'A' : Character;
}

FORCEINLINE int RtlpAsciiLower(int Character)
{
    return (Character >= 'A' && Character <= 'Z') ? Character - 'A' + 'a' : Character;
}

FORCEINLINE BOOLEAN RtlpAsciiBlank(int Character)
{
    return Character == ' ' || (Character >= '\t' && Character <= '\r');
}
