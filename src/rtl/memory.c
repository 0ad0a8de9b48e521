/*
 * memory.c - block moves, fills and compares, under their C and their Rtl names.
 *
 * The compiler calls memcpy, memset, memmove and memcmp by itself for structures; drivers compiled against the DDK
 * reach the same four through macros, and foreign drivers import the Rtl names. Moves and fills are string
 * instructions of eight-byte words: processors run them at cache-line speed, emulators word by word, and no SSE register
 * is touched, so they may run in any trap. A fault inside them is raised in the caller's frame by the unwinder like any other:
 * nothing here holds state that would have to be undone.
 *
 * Locks: none. IRQL: any, as far as the memory itself allows. Must never: call anything.
 */
#include <ntos/ntos.h>

#undef RtlCopyMemory
#undef RtlMoveMemory
#undef RtlFillMemory
#undef RtlZeroMemory
#undef RtlCompareMemory

#define WORD sizeof(ULONG64)

void *memcpy(void *Destination, const void *Source, size_t Bytes)
{
    void *To = Destination;
    size_t Words = Bytes / WORD, Rest = Bytes % WORD;

    __asm__ volatile("rep movsq" : "+D"(To), "+S"(Source), "+c"(Words)::"memory");
    __asm__ volatile("rep movsb" : "+D"(To), "+S"(Source), "+c"(Rest)::"memory");
    return Destination;
}

void *memset(void *Destination, int Value, size_t Bytes)
{
    void *To = Destination;
    ULONG64 Pattern = 0x0101010101010101ULL * (UCHAR)Value;
    size_t Words = Bytes / WORD, Rest = Bytes % WORD;

    __asm__ volatile("rep stosq" : "+D"(To), "+c"(Words) : "a"(Pattern) : "memory");
    __asm__ volatile("rep stosb" : "+D"(To), "+c"(Rest) : "a"(Pattern) : "memory");
    return Destination;
}

void *memmove(void *Destination, const void *Source, size_t Bytes)
{
    if ((ULONG_PTR)Destination - (ULONG_PTR)Source >= Bytes) {
        return memcpy(Destination, Source, Bytes); /* the destination does not start inside the source */
    }
    const UCHAR *From = (const UCHAR *)Source + Bytes;
    UCHAR *To = (UCHAR *)Destination + Bytes;

    /* A loop, not a string instruction with the direction flag set: those run a byte at a time in microcode. */
    while (Bytes >= WORD) {
        From -= WORD;
        To -= WORD;
        Bytes -= WORD;
        *(ULONG64 UNALIGNED *)To = *(const ULONG64 UNALIGNED *)From;
    }
    while (Bytes != 0) {
        From -= 1;
        To -= 1;
        Bytes -= 1;
        *To = *From;
    }
    return Destination;
}

int memcmp(const void *First, const void *Second, size_t Bytes)
{
    const UCHAR *A = First, *B = Second;

    while (Bytes >= WORD && *(const ULONG64 UNALIGNED *)A == *(const ULONG64 UNALIGNED *)B) {
        A += WORD;
        B += WORD;
        Bytes -= WORD;
    }
    for (; Bytes != 0; Bytes--, A++, B++) {
        if (*A != *B) {
            return *A < *B ? -1 : 1;
        }
    }
    return 0;
}

/* The documented functions behind the DDK's macros, for drivers that import them by name. Contracts: wdm.h. */

VOID NTAPI RtlCopyMemory(VOID *Destination, const VOID *Source, SIZE_T Length);
VOID NTAPI RtlMoveMemory(VOID *Destination, const VOID *Source, SIZE_T Length);
VOID NTAPI RtlFillMemory(VOID *Destination, SIZE_T Length, int Fill);
VOID NTAPI RtlZeroMemory(VOID *Destination, SIZE_T Length);

VOID NTAPI RtlCopyMemory(VOID *Destination, const VOID *Source, SIZE_T Length)
{
    memcpy(Destination, Source, Length);
}

VOID NTAPI RtlMoveMemory(VOID *Destination, const VOID *Source, SIZE_T Length)
{
    memmove(Destination, Source, Length);
}

VOID NTAPI RtlFillMemory(VOID *Destination, SIZE_T Length, int Fill)
{
    memset(Destination, Fill, Length);
}

VOID NTAPI RtlZeroMemory(VOID *Destination, SIZE_T Length)
{
    memset(Destination, 0, Length);
}

/* Returns the number of leading bytes that are equal. */
SIZE_T NTAPI RtlCompareMemory(const VOID *Source1, const VOID *Source2, SIZE_T Length)
{
    const UCHAR *A = Source1, *B = Source2;
    SIZE_T Equal = 0;

    while (Length - Equal >= WORD &&
           *(const ULONG64 UNALIGNED *)(A + Equal) == *(const ULONG64 UNALIGNED *)(B + Equal)) {
        Equal += WORD;
    }
    while (Equal < Length && A[Equal] == B[Equal]) {
        Equal++;
    }
    return Equal;
}

/* Asks for data that is used once to be fetched past the caches. @Source: need not be valid, a prefetch never faults. */
VOID NTAPI RtlPrefetchMemoryNonTemporal(PVOID Source, SIZE_T Length)
{
    const UCHAR *At = Source;

    for (SIZE_T Done = 0; Done < Length; Done += SYSTEM_CACHE_ALIGNMENT_SIZE) {
        __builtin_prefetch(At + Done, 0, 0);
    }
}
