/*
 * debugprint.c - text from the kernel to its console: DbgPrint and ConPrint.
 *
 * Text is formatted on the caller's stack and goes out in pieces of up to DEBUG_PIECE bytes under one spin lock, so
 * that a message shorter than that is never torn by another processor's. The lock is taken at HIGH_LEVEL
 * because anyone may print at any IRQL. A bug check or an NMI may have interrupted the holder: they set
 * KiPrintUnlocked on their way in, and from then on (or for that while) nobody waits for the lock.
 *
 * Formatting happens before the lock is taken: a string argument that faults does so without it.
 */
#include <ntos/console.h>
#include <ntos/hal.h>
#include <ntos/rtl.h>
#include "kip.h"
#include "processor.h"

#define DEBUG_PIECE 512 /* bytes; DbgPrint's documented limit for one message */

typedef struct _DEBUG_PIECE_BUFFER {
    ULONG Length;
    CHAR Text[DEBUG_PIECE];
} DEBUG_PIECE_BUFFER, *PDEBUG_PIECE_BUFFER;

static volatile LONG KiPrintLock;
VF_NAME_LOCK(KiPrintLock, "KiPrintLock");
VOID (*KiPrintScreen)(const CHAR *Text, ULONG Length);    /* set once */
BOOLEAN (*KiPrintDivert)(const CHAR *Text, ULONG Length); /* TRUE: taken; NULL: nobody wants it */
volatile LONG KiPrintUnlocked;                            /* interlocked */

static VOID KiPrintBytes(const CHAR *Text, ULONG Length)
{
    for (ULONG Index = 0; Index < Length; Index++) {
        if (Text[Index] == '\n') {
            HalSerialPut(0, '\r');
        }
        HalSerialPut(0, (UCHAR)Text[Index]);
    }
    if (KiPrintScreen != NULL) {
        KiPrintScreen(Text, Length);
    }
}

/* A DPC runs on top of a thread that has nothing to do with it. */
static BOOLEAN InDpc(VOID)
{
    return KeGetCurrentIrql() == DISPATCH_LEVEL && KeGetCurrentPrcb()->Dispatch->DpcActive;
}

static VOID KiPrintPiece(PDEBUG_PIECE_BUFFER Piece)
{
    KIRQL OldIrql;
    BOOLEAN Locked = FALSE;
    BOOLEAN (*Divert)(const CHAR *Text, ULONG Length) = KiPrintDivert;

    if (Divert != NULL && KiPrintUnlocked == 0 && !InDpc() && Divert(Piece->Text, Piece->Length)) {
        Piece->Length = 0;
        return;
    }
    KeRaiseIrql(HIGH_LEVEL, &OldIrql);
    VF_CLASS_NUMBER Class = VfWantLock((PVOID)&KiPrintLock, VfSpinLock, _ReturnAddress());
    while (KiPrintUnlocked == 0) {
        if (InterlockedExchange(&KiPrintLock, 1) == 0) {
            Locked = TRUE;
            VfGotLock((PVOID)&KiPrintLock, VfSpinLock, Class, _ReturnAddress());
            break;
        }
        YieldProcessor();
    }
    KiPrintBytes(Piece->Text, Piece->Length);
    Piece->Length = 0;
    if (Locked) {
        VfReleaseLock((PVOID)&KiPrintLock, VfSpinLock, _ReturnAddress());
        InterlockedExchange(&KiPrintLock, 0);
    }
    KeLowerIrql(OldIrql);
}

static VOID KiPrintSink(PVOID Context, CHAR Character)
{
    PDEBUG_PIECE_BUFFER Piece = Context;

    Piece->Text[Piece->Length++] = Character;
    if (Piece->Length == DEBUG_PIECE) {
        KiPrintPiece(Piece);
    }
}

static VOID KiPrintV(PCSTR Prefix, PCSTR Format, va_list Arguments)
{
    DEBUG_PIECE_BUFFER Piece;

    Piece.Length = 0;
    for (; *Prefix != 0; Prefix++) {
        KiPrintSink(&Piece, *Prefix);
    }
    RtlpFormat(KiPrintSink, &Piece, Format, Arguments);
    if (Piece.Length != 0) {
        KiPrintPiece(&Piece);
    }
}

VOID ConPrint(PCSTR Format, ...)
{
    va_list Arguments;

    va_start(Arguments, Format);
    KiPrintV("", Format, Arguments);
    va_end(Arguments);
}

/* Text as it is, NULs and all. IRQL: <= HIGH_LEVEL. */
VOID ConPrintText(const CHAR *Text, ULONG Length)
{
    DEBUG_PIECE_BUFFER Piece;

    Piece.Length = 0;
    for (ULONG Index = 0; Index < Length; Index++) {
        KiPrintSink(&Piece, Text[Index]);
    }
    if (Piece.Length != 0) {
        KiPrintPiece(&Piece);
    }
}

ULONG __cdecl DbgPrint(PCSTR Format, ...)
{
    va_list Arguments;

    va_start(Arguments, Format);
    KiPrintV("", Format, Arguments);
    va_end(Arguments);
    return STATUS_SUCCESS;
}

/* As DbgPrint; nobody types Ctrl-C to the debugger while it prints, so this is never STATUS_BREAKPOINT. */
ULONG __cdecl DbgPrintReturnControlC(PCCH Format, ...)
{
    va_list Arguments;

    va_start(Arguments, Format);
    KiPrintV("", Format, Arguments);
    va_end(Arguments);
    return STATUS_SUCCESS;
}

/* Every component and level is shown: there is no filter state to consult. */
ULONG __cdecl DbgPrintEx(ULONG ComponentId, ULONG Level, PCSTR Format, ...)
{
    va_list Arguments;

    va_start(Arguments, Format);
    KiPrintV("", Format, Arguments);
    va_end(Arguments);
    return STATUS_SUCCESS;
}

ULONG NTAPI vDbgPrintEx(ULONG ComponentId, ULONG Level, PCCH Format, va_list Arguments)
{
    KiPrintV("", Format, Arguments);
    return STATUS_SUCCESS;
}

ULONG NTAPI vDbgPrintExWithPrefix(PCCH Prefix, ULONG ComponentId, ULONG Level, PCCH Format, va_list Arguments)
{
    KiPrintV(Prefix, Format, Arguments);
    return STATUS_SUCCESS;
}
