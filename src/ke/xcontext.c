/*
 * xcontext.c - extended state (AVX and wider) of ring 3 as programs see it: behind a CONTEXT.
 *
 * A CONTEXT with CONTEXT_XSTATE is followed by a CONTEXT_EX, which says where its extended part lies: an XSAVE header and the components
 * behind the legacy area of the standard format, which the CONTEXT itself holds. The kernel gives such a part with each exception and user APC, and takes one by
 * NtContinue, NtRaiseException and NtSetContextThread. While a thread is in the kernel the components are in the processor's registers, as
 * xstate.c says, so that they are read and set there.
 *
 * What a program gives is copied whole before it is looked at; of the header only the mask counts, without the bits that are not enabled, so
 * that XRSTOR finds nothing to fault on.
 *
 * Locks: none. IRQL: <= APC_LEVEL, the thread's own.
 *
 * Source: Intel SDM volume 1, chapter 13; Microsoft Learn, "Working with XState Context", CONTEXT_EX in wdm.h.
 */
#include <ntos/user.h>
#include "kip.h"
#include "processor.h"

#define LEGACY_BYTES   512
#define HEADER_BYTES   64
#define LEGACY_MXCSR   24
#define FEATURES_BASIC 3ULL /* x87 and SSE: in the CONTEXT */

/* Features in XCR0 that no CONTEXT holds; 0: there are none. */
static ULONG64 Wanted(VOID)
{
    return KeXstate.EnabledFeatures & ~FEATURES_BASIC;
}

/* Bytes of an extended part, header and components; 0: this machine has none. IRQL: any. */
ULONG KeExtendedStateBytes(VOID)
{
    return Wanted() == 0 ? 0 : KeXstate.Size - LEGACY_BYTES;
}

/* The extended registers of the calling thread. */
VOID KeGetExtendedState(PKE_EXTENDED_STATE State)
{
    RtlZeroMemory(State, sizeof(*State));
    if (Wanted() != 0) {
        __asm__ volatile("xsave64 (%0)" ::"r"(State), "a"((ULONG)Wanted()), "d"(0) : "memory");
        State->Mask &= Wanted();
    }
}

/* Sets them all: those that the mask leaves out to what they are after reset. */
VOID KeSetExtendedState(PKE_EXTENDED_STATE State)
{
    if (Wanted() == 0) {
        return;
    }
    *(ULONG *)&State->Legacy[LEGACY_MXCSR] = KiInitialMxCsr; /* loaded with AVX; the program's own is in its frame */
    State->Mask &= Wanted();
    State->CompactionMask = 0;
    RtlZeroMemory(State->Reserved, sizeof(State->Reserved));
    __asm__ volatile("xrstor64 (%0)" ::"r"(State), "a"((ULONG)Wanted()), "d"(0) : "memory");
}

/* Where a context's extended part is, by the CONTEXT_EX behind it. STATUS_INVALID_PARAMETER: that is none. */
static NTSTATUS FindPart(const CONTEXT *Context, PUCHAR *Part)
{
    const CONTEXT_EX *Behind = (const CONTEXT_EX *)(Context + 1);
    CONTEXT_EX Layout;
    NTSTATUS Status = ExCopyFromCaller(&Layout, Behind, sizeof(Layout));

    if (NT_SUCCESS(Status) &&
        (Layout.Legacy.Offset != -(LONG)sizeof(CONTEXT) || Layout.XState.Length < KeExtendedStateBytes())) {
        Status = STATUS_INVALID_PARAMETER;
    }
    *Part = (PUCHAR)(ULONG_PTR)Behind + Layout.XState.Offset;
    return Status;
}

/**
 * KeCaptureExtendedState - copies the extended part behind a caller's CONTEXT.
 *
 * @Context  of the caller, with CONTEXT_XSTATE
 * @State    gets it
 * returns   STATUS_SUCCESS; STATUS_INVALID_PARAMETER (no part, or too short a one); what reading says
 */
NTSTATUS KeCaptureExtendedState(PKE_EXTENDED_STATE State, const CONTEXT *Context)
{
    PUCHAR Part;
    NTSTATUS Status = KeExtendedStateBytes() == 0 ? STATUS_INVALID_PARAMETER : FindPart(Context, &Part);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ExCopyFromCaller(&State->Mask, Part, KeExtendedStateBytes());
    if (NT_SUCCESS(Status) && State->CompactionMask != 0) {
        Status = STATUS_INVALID_PARAMETER;
    }
    return Status;
}

/**
 * KeReturnExtendedState - fills in the extended part behind a caller's CONTEXT.
 *
 * @Features  what the caller wants of it; the part's mask says afterwards which of them are not as after reset
 * returns    as KeCaptureExtendedState
 */
NTSTATUS KeReturnExtendedState(PCONTEXT Context, const KE_EXTENDED_STATE *State, ULONG64 Features)
{
    PUCHAR Part;
    ULONG64 Mask = State->Mask & Features;
    NTSTATUS Status = KeExtendedStateBytes() == 0 ? STATUS_INVALID_PARAMETER : FindPart(Context, &Part);

    for (ULONG Feature = 2; NT_SUCCESS(Status) && Feature < MAXIMUM_XSTATE_FEATURES; Feature++) {
        const XSTATE_FEATURE *Place = &KeXstate.Features[Feature];

        if ((Mask >> Feature & 1) != 0) {
            Status =
                ExCopyToCaller(Part + Place->Offset - LEGACY_BYTES, (const UCHAR *)State + Place->Offset, Place->Size);
        }
    }
    return NT_SUCCESS(Status) ? ExCopyToCaller(Part, &Mask, sizeof(Mask)) : Status;
}

/* ---- Exceptions, APCs, NtContinue: the calling thread and its own stack ---- */

/*
 * Writes the extended registers to a program's memory. The thread's save area serves as a buffer: should the copy wait and another thread get the
 * processor meanwhile, the same state is saved there once more.
 */
NTSTATUS KiStoreExtendedState(PUCHAR Part)
{
    PKE_EXTENDED_STATE Area = KeGetCurrentThread()->StateSaveArea;
    ULONG64 Header[HEADER_BYTES / sizeof(ULONG64)] = {0};
    NTSTATUS Status;

    __asm__ volatile("xsave64 (%0)" ::"r"(Area), "a"((ULONG)KeXstate.EnabledFeatures), "d"(0) : "memory");
    Header[0] = Area->Mask & Wanted();
    Status = MmCopyToUser(Part, Header, sizeof(Header));
    if (NT_SUCCESS(Status) && Header[0] != 0) {
        Status = MmCopyToUser(Part + HEADER_BYTES, Area->Components, KeExtendedStateBytes() - HEADER_BYTES);
    }
    return Status;
}

/* Where a frame of Bytes with an extended part above it goes on a program's stack; Layout gets what its CONTEXT_EX is to say. */
ULONG64 KiPlaceExtendedFrame(ULONG64 Rsp, ULONG Bytes, PCONTEXT_EX Layout)
{
    ULONG64 Part = Rsp - KeExtendedStateBytes(), Base;

    if (KeExtendedStateBytes() != 0) {
        Part &= ~(HEADER_BYTES - 1ULL); /* XSAVE's alignment */
    }
    Base = (Part - Bytes) & ~15ULL;
    Layout->Legacy.Offset = Layout->All.Offset = -(LONG)sizeof(CONTEXT);
    Layout->Legacy.Length = sizeof(CONTEXT);
    Layout->XState.Offset = (LONG)(Part - Base - sizeof(CONTEXT));
    Layout->XState.Length = KeExtendedStateBytes();
    Layout->All.Length = (ULONG)(Part - Base) + KeExtendedStateBytes();
    return Base;
}

/* Loads what lies behind a program's context. A frame of its own: the buffer is large. */
DECLSPEC_NOINLINE NTSTATUS KiLoadExtendedState(const CONTEXT *Context)
{
    KE_EXTENDED_STATE State;
    NTSTATUS Status = KeCaptureExtendedState(&State, Context);

    if (NT_SUCCESS(Status)) {
        KeSetExtendedState(&State);
    }
    return Status;
}
