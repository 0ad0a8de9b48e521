/*
 * reader.c - reads of the console that wait, and the lines that are made for them.
 *
 * Reads are served in the order they came. A reader in raw mode gets what is there, at least one byte. The others get lines: bytes are taken,
 * shown and edited (Backspace, Ctrl-U; keys that are escape sequences do nothing) only while such a read is the first in the queue, so
 * that what is typed ahead stays as it was typed. Enter ends a line, with "\r\n"; a reader whose buffer is too small gets the rest with its next read.
 * Ctrl-D or Ctrl-Z on an empty line ends the input: STATUS_END_OF_FILE. Ctrl-C that interrupts nothing (foreground.c) ends all reads of lines.
 *
 * A read that waits has a cancel routine; whoever takes that away under ConpInputLock owns the IRP and takes it off the list. The routine itself
 * only takes it off and completes it.
 *
 * Lock: ConpInputLock for everything here; nothing is completed under it. IRQL: <= DISPATCH_LEVEL.
 */
#include <ntos/condev.h>
#include <ntos/ke.h>
#include "consolep.h"

#define CON_BURST 64 /* bytes edited under the lock at a time: each may print several */

typedef enum _CON_ESCAPE { ConEscapeNone, ConEscapeBegun, ConEscapeInside } CON_ESCAPE;

typedef enum _CON_SERVED { ConNothing, ConMore, ConRead } CON_SERVED;

static LIST_ENTRY ConpReads = {&ConpReads, &ConpReads}; /* IRPs, by Tail.Overlay.ListEntry */
static CHAR ConpLine[CON_LINE_BYTES + 2];               /* the line being typed, or what is left of a finished one */
static ULONG ConpLineLength, ConpLineGiven;
static BOOLEAN ConpLineDone; /* Enter was typed, or the end of the input (length 0) */
static CON_ESCAPE ConpEscape;
static BOOLEAN ConpAfterReturn; /* a line feed belongs to it */

static BOOLEAN ConpIsRaw(PIRP Irp)
{
    return ((PCON_OPEN)IoGetCurrentIrpStackLocation(Irp)->FileObject->FsContext)->Mode == CONSOLE_MODE_RAW;
}

VOID ConpForgetLine(VOID)
{
    ConpLineLength = ConpLineGiven = 0;
    ConpLineDone = FALSE;
    ConpEscape = ConEscapeNone;
}

/* ---- Lines ---- */

static VOID ConpRubOut(ULONG Count)
{
    for (; Count != 0 && ConpLineLength != 0; Count--) {
        while ((ConpLine[--ConpLineLength] & 0xC0) == 0x80 && ConpLineLength != 0) { /* the rest of a character */
        }
        ConPrint("\b \b");
    }
}

/* TRUE: the byte was part of an escape sequence. */
static BOOLEAN ConpSwallowEscape(UCHAR Byte)
{
    switch (ConpEscape) {
    case ConEscapeBegun:
        ConpEscape = Byte == '[' || Byte == 'O' ? ConEscapeInside : ConEscapeNone;
        return TRUE;
    case ConEscapeInside:
        ConpEscape = (Byte >= '0' && Byte <= '9') || Byte == ';' ? ConEscapeInside : ConEscapeNone;
        return TRUE;
    default:
        ConpEscape = Byte == 0x1B ? ConEscapeBegun : ConEscapeNone;
        return Byte == 0x1B;
    }
}

static VOID ConpEndLine(VOID)
{
    ConPrint("\n");
    ConpLine[ConpLineLength++] = '\r';
    ConpLine[ConpLineLength++] = '\n';
    ConpLineDone = TRUE;
}

static VOID ConpEditByte(UCHAR Byte)
{
    BOOLEAN AfterReturn = ConpAfterReturn;

    ConpAfterReturn = Byte == '\r';
    if (ConpSwallowEscape(Byte)) {
        return;
    }
    if (Byte == '\r' || (Byte == '\n' && !AfterReturn)) {
        ConpEndLine();
    } else if (Byte == '\b' || Byte == 0x7F) {
        ConpRubOut(1);
    } else if (Byte == CON_CONTROL('U')) {
        ConpRubOut(ConpLineLength);
    } else if ((Byte == CON_CONTROL('D') || Byte == CON_CONTROL('Z')) && ConpLineLength == 0) {
        ConpLineDone = TRUE;
    } else if (Byte >= ' ' || Byte == '\t') {
        if (ConpLineLength == CON_LINE_BYTES) {
            ConPrint("\a");
            return;
        }
        ConpLine[ConpLineLength++] = (CHAR)Byte;
        ConPrint("%c", Byte);
    }
}

/* Ctrl-C where it interrupts nothing: the line is given up, and so are those who wait for it. */
static BOOLEAN ConpEditLine(PBOOLEAN GivenUp)
{
    UCHAR Byte;

    *GivenUp = FALSE;
    for (ULONG Count = 0; !ConpLineDone; Count++) {
        if (Count == CON_BURST || !ConpTakeByte(&Byte)) {
            return Count == CON_BURST;
        }
        if (Byte == CON_CONTROL('C')) {
            ConPrint("^C\n");
            ConpForgetLine();
            *GivenUp = TRUE;
            return TRUE;
        }
        ConpEditByte(Byte);
    }
    return TRUE;
}

/* ---- Serving ---- */

/* Takes an IRP off the list. FALSE: its cancel routine is under way and will find it gone. Lock held. */
static BOOLEAN ConpClaim(PIRP Irp)
{
    BOOLEAN Ours = IoSetCancelRoutine(Irp, NULL) != NULL;

    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
    InitializeListHead(&Irp->Tail.Overlay.ListEntry);
    return Ours;
}

static VOID ConpGiveRaw(PIRP Irp, ULONG Length)
{
    PUCHAR Buffer = Irp->AssociatedIrp.SystemBuffer;
    ULONG Given = 0;

    while (Given < Length && ConpTakeByte(&Buffer[Given])) {
        Given++;
    }
    ConpForgetLine(); /* whatever a reader of lines left of its line */
    Irp->IoStatus.Status = STATUS_SUCCESS;
    Irp->IoStatus.Information = Given;
}

static VOID ConpGiveLine(PIRP Irp, ULONG Length)
{
    ULONG Given = min(Length, ConpLineLength - ConpLineGiven);

    RtlCopyMemory(Irp->AssociatedIrp.SystemBuffer, ConpLine + ConpLineGiven, Given);
    Irp->IoStatus.Status = ConpLineLength == 0 ? STATUS_END_OF_FILE : STATUS_SUCCESS;
    Irp->IoStatus.Information = Given;
    ConpLineGiven += Given;
    if (ConpLineGiven == ConpLineLength) {
        ConpForgetLine();
    }
}

/* One step for the first reader. ConRead: *Served is to be completed, its status block is filled. */
static CON_SERVED ConpServe(PIRP *Served, PBOOLEAN GivenUp)
{
    PIRP Irp;
    ULONG Length;
    BOOLEAN Raw;

    if (IsListEmpty(&ConpReads)) {
        return ConNothing;
    }
    Irp = CONTAINING_RECORD(ConpReads.Flink, IRP, Tail.Overlay.ListEntry);
    Raw = ConpIsRaw(Irp);
    if (Raw ? !ConpIsTyped() : !ConpLineDone) {
        return !Raw && ConpEditLine(GivenUp) ? ConMore : ConNothing;
    }
    if (!ConpClaim(Irp)) {
        return ConMore;
    }
    Length = IoGetCurrentIrpStackLocation(Irp)->Parameters.Read.Length;
    if (Raw) {
        ConpGiveRaw(Irp, Length);
    } else {
        ConpGiveLine(Irp, Length);
    }
    *Served = Irp;
    return ConRead;
}

VOID ConpServeReads(VOID)
{
    CON_SERVED Result;

    do {
        BOOLEAN GivenUp = FALSE;
        PIRP Irp = NULL;
        KIRQL Irql;

        KeAcquireSpinLock(&ConpInputLock, &Irql);
        Result = ConpServe(&Irp, &GivenUp);
        KeReleaseSpinLock(&ConpInputLock, Irql);
        if (Result == ConRead) {
            IoCompleteRequest(Irp, IO_SERIAL_INCREMENT);
        }
        if (GivenUp) {
            ConpCancelReads(NULL, FALSE);
        }
    } while (Result != ConNothing);
}

/* ---- The queue ---- */

static VOID NTAPI ConpCancelRead(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    KIRQL Irql;

    IoReleaseCancelSpinLock(Irp->CancelIrql);
    KeAcquireSpinLock(&ConpInputLock, &Irql);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
    KeReleaseSpinLock(&ConpInputLock, Irql);
    ConpComplete(Irp, STATUS_CANCELLED, 0);
}

NTSTATUS ConpQueueRead(PIRP Irp)
{
    BOOLEAN Cancelled;
    KIRQL Irql;

    IoMarkIrpPending(Irp);
    KeAcquireSpinLock(&ConpInputLock, &Irql);
    InsertTailList(&ConpReads, &Irp->Tail.Overlay.ListEntry);
    IoSetCancelRoutine(Irp, ConpCancelRead);
    Cancelled = Irp->Cancel && ConpClaim(Irp);
    KeReleaseSpinLock(&ConpInputLock, Irql);
    if (Cancelled) {
        ConpComplete(Irp, STATUS_CANCELLED, 0);
    } else {
        ConpServeReads();
    }
    return STATUS_PENDING;
}

/* A read that is to be given up, claimed; NULL: no more. Lock held. */
static PIRP ConpTakeRead(PFILE_OBJECT File, BOOLEAN Raw)
{
    PLIST_ENTRY Link = ConpReads.Flink;

    while (Link != &ConpReads) {
        PIRP Irp = CONTAINING_RECORD(Link, IRP, Tail.Overlay.ListEntry);
        BOOLEAN Wanted = File != NULL ? IoGetCurrentIrpStackLocation(Irp)->FileObject == File : Raw || !ConpIsRaw(Irp);

        Link = Link->Flink;
        if (Wanted && ConpClaim(Irp)) {
            return Irp;
        }
    }
    return NULL;
}

VOID ConpCancelReads(PFILE_OBJECT File, BOOLEAN Raw)
{
    for (;;) {
        KIRQL Irql;
        PIRP Irp;

        KeAcquireSpinLock(&ConpInputLock, &Irql);
        Irp = ConpTakeRead(File, Raw);
        KeReleaseSpinLock(&ConpInputLock, Irql);
        if (Irp == NULL) {
            return;
        }
        ConpComplete(Irp, STATUS_CANCELLED, 0);
    }
}
