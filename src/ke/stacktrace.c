/*
 * stacktrace.c - stacks as addresses and as lines of text.
 *
 * Walks by unwind data alone, through trap frames into the interrupted code. Every stack word is read without faulting and a
 * frame must lie above the last unless a trap changed stacks, so a damaged stack gives a short trace, never a second
 * failure. scripts/symbolize turns the lines into functions and source lines on the host.
 *
 * Locks: none. IRQL: any.
 */
#include <ntos/console.h>
#include <ntos/rtl.h>
#include "processor.h"

#define STACK_FRAMES 48 /* lines in a report */

static VOID KiPrintFrame(ULONG Number, ULONG64 Address)
{
    KI_IMAGE Image;

    if (!KiFindImage(Address, &Image)) {
        ConPrint("  #%u 0x%016llX\n", (unsigned)Number, Address);
    } else {
        ConPrint("  #%u 0x%016llX %s+0x%llx\n", (unsigned)Number, Address, Image.Name, Address - Image.Base);
    }
}

VOID KiPrintContextStack(PCONTEXT Context)
{
    for (ULONG Number = 0; Number < STACK_FRAMES; Number++) {
        KiPrintFrame(Number, Context->Rip);
        if (!RtlpUnwindFrame(Context)) {
            return;
        }
    }
}

DECLSPEC_NOINLINE VOID KiPrintStack(PKTRAP_FRAME Frame)
{
    CONTEXT Context;

    if (Frame != NULL) {
        KiContextFromFrame(Frame, &Context);
    } else {
        RtlCaptureContext(&Context);
        RtlpUnwindFrame(&Context); /* begin with the caller */
    }
    KiPrintContextStack(&Context);
}

DECLSPEC_NOINLINE ULONG KiCaptureStack(PKTRAP_FRAME Frame, PULONG64 Addresses, ULONG Maximum)
{
    CONTEXT Context;
    ULONG Count = 0;

    if (Frame != NULL) {
        KiContextFromFrame(Frame, &Context);
    } else {
        RtlCaptureContext(&Context);
        if (!RtlpUnwindFrame(&Context)) {
            return 0;
        }
    }
    while (Count < Maximum) {
        Addresses[Count++] = Context.Rip;
        if (!RtlpUnwindFrame(&Context)) {
            break;
        }
    }
    return Count;
}

/**
 * RtlCaptureStackBackTrace - return addresses of the callers, nearest first.
 *
 * @FramesToSkip     frames left out, 0: begin inside the function that calls this one
 * @FramesToCapture  room in BackTrace, at most STACK_FRAMES are used
 * @BackTraceHash    receives the sum of the addresses, a key to find equal traces by; may be NULL
 * returns           addresses stored
 *
 * IRQL: any. Source: Microsoft Learn, RtlCaptureStackBackTrace.
 */
USHORT NTAPI RtlCaptureStackBackTrace(ULONG FramesToSkip, ULONG FramesToCapture, PVOID *BackTrace, PULONG BackTraceHash)
{
    ULONG64 Addresses[STACK_FRAMES];
    ULONG Count = KiCaptureStack(NULL, Addresses, STACK_FRAMES), Stored = 0, Hash = 0;

    for (ULONG64 Index = 1ULL + FramesToSkip; Index < Count && Stored < FramesToCapture; Index++) {
        BackTrace[Stored++] = (PVOID)Addresses[Index];
        Hash += (ULONG)Addresses[Index];
    }
    if (BackTraceHash != NULL) {
        *BackTraceHash = Hash;
    }
    return (USHORT)Stored;
}
