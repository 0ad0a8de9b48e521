/*
 * checksum.c - RtlComputeCrc32.
 *
 * It is built for the kernel and for ntdll, and goes bit by bit: whoever sums megabytes has a table of his own.
 *
 * No locks, no state. IRQL: any at which the memory is resident.
 */
#include <ntos/rtl.h>

#define RTLP_CRC32 0xEDB88320U /* IEEE 802.3, reflected */

/* CRC-32 of Length bytes, going on from PartialCrc (0 to begin). */
ULONG NTAPI RtlComputeCrc32(ULONG PartialCrc, const VOID *Buffer, ULONG Length)
{
    const UCHAR *Bytes = Buffer;
    ULONG Crc = ~PartialCrc;

    for (ULONG Index = 0; Index < Length; Index++) {
        Crc ^= Bytes[Index];
        for (ULONG Bit = 0; Bit < 8; Bit++) {
            Crc = Crc >> 1 ^ ((Crc & 1) != 0 ? RTLP_CRC32 : 0);
        }
    }
    return ~Crc;
}
