/*
 * extended.c - contexts with extended state: their layout, and where a feature's registers lie in one.
 *
 * A buffer of the length that RtlGetExtendedContextLength says becomes a CONTEXT, the CONTEXT_EX behind it, and, with CONTEXT_XSTATE, the extended
 * part aligned for XSAVE. The kernel lays out its own the same way (src/ke/xcontext.c). Which features there are and where they
 * lie is in KUSER_SHARED_DATA.XState.
 *
 * Source: Microsoft Learn, "Working with XState Context", InitializeContext, LocateXStateFeature; CONTEXT_EX in wdm.h.
 */
#include "ntdllp.h"

#define SHARED        ((KUSER_SHARED_DATA *)0x7FFE0000)
#define LEGACY_BYTES  512U
#define HEADER_BYTES  64U
#define LAYOUT_BYTES  0x20U /* CONTEXT_EX and what aligns it */
#define CONTEXT_ALIGN 16U
#define FLAG_XSTATE   0x40U /* of ContextFlags */
#define FIRST_FEATURE 2U

/* Those of FeatureMask that are on. */
ULONG64 NTAPI RtlGetEnabledExtendedFeatures(ULONG64 FeatureMask)
{
    return SHARED->XState.EnabledFeatures & FeatureMask;
}

static ULONG PartBytes(VOID)
{
    return SHARED->XState.EnabledFeatures >> FIRST_FEATURE == 0 ? 0 : SHARED->XState.Size - LEGACY_BYTES;
}

/* STATUS_INVALID_PARAMETER: not a context of this machine; STATUS_NOT_SUPPORTED: it has no extended state. */
static NTSTATUS CheckFlags(ULONG ContextFlags)
{
    if ((ContextFlags & CONTEXT_AMD64) == 0 || (ContextFlags & 0xFFFF & ~0x7FU) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    return (ContextFlags & FLAG_XSTATE) != 0 && PartBytes() == 0 ? STATUS_NOT_SUPPORTED : STATUS_SUCCESS;
}

/* Bytes of a buffer for RtlInitializeExtendedContext, at any alignment. */
NTSTATUS NTAPI RtlGetExtendedContextLength(ULONG ContextFlags, PULONG ContextLength)
{
    NTSTATUS Status = CheckFlags(ContextFlags);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    *ContextLength = sizeof(CONTEXT) + LAYOUT_BYTES + CONTEXT_ALIGN - 1;
    if ((ContextFlags & FLAG_XSTATE) != 0) {
        *ContextLength += PartBytes() + HEADER_BYTES - 1;
    }
    return STATUS_SUCCESS;
}

/* Makes a buffer a context of these flags, with no feature in its mask. */
NTSTATUS NTAPI RtlInitializeExtendedContext(PVOID Context, ULONG ContextFlags, PCONTEXT_EX *ContextEx)
{
    PCONTEXT Legacy = (PCONTEXT)(((ULONG64)Context + CONTEXT_ALIGN - 1) & ~(CONTEXT_ALIGN - 1ULL));
    PCONTEXT_EX Layout = (PCONTEXT_EX)(Legacy + 1);
    ULONG64 Part = (ULONG64)Layout + LAYOUT_BYTES;
    NTSTATUS Status = CheckFlags(ContextFlags);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Legacy->ContextFlags = ContextFlags;
    Layout->Legacy.Offset = Layout->All.Offset = -(LONG)sizeof(CONTEXT);
    Layout->Legacy.Length = sizeof(CONTEXT);
    Layout->XState.Length = 0;
    Layout->XState.Offset = LAYOUT_BYTES;
    if ((ContextFlags & FLAG_XSTATE) != 0) {
        Part = (Part + HEADER_BYTES - 1) & ~(HEADER_BYTES - 1ULL);
        Layout->XState.Offset = (LONG)(Part - (ULONG64)Layout);
        Layout->XState.Length = PartBytes();
        RtlZeroMemory((PVOID)Part, HEADER_BYTES);
    }
    Layout->All.Length = (ULONG)(Part + Layout->XState.Length - (ULONG64)Legacy);
    *ContextEx = Layout;
    return STATUS_SUCCESS;
}

/* The CONTEXT, and its bytes if Length is given. */
PCONTEXT NTAPI RtlLocateLegacyContext(PCONTEXT_EX ContextEx, PULONG Length)
{
    if (Length != NULL) {
        *Length = ContextEx->Legacy.Length;
    }
    return (PCONTEXT)((PUCHAR)ContextEx + ContextEx->Legacy.Offset);
}

/* Where a feature's registers lie, and their bytes; NULL: the context or the machine has none, or they lie in the CONTEXT itself. */
PVOID NTAPI RtlLocateExtendedFeature(PCONTEXT_EX ContextEx, ULONG FeatureId, PULONG Length)
{
    const XSTATE_FEATURE *Feature;

    if (FeatureId < FIRST_FEATURE || FeatureId >= MAXIMUM_XSTATE_FEATURES ||
        (SHARED->XState.EnabledFeatures >> FeatureId & 1) == 0) {
        return NULL;
    }
    Feature = &SHARED->XState.Features[FeatureId];
    if (ContextEx->XState.Length < Feature->Offset - LEGACY_BYTES + Feature->Size) {
        return NULL;
    }
    if (Length != NULL) {
        *Length = Feature->Size;
    }
    return (PUCHAR)ContextEx + ContextEx->XState.Offset + Feature->Offset - LEGACY_BYTES;
}

static PULONG64 MaskOf(PCONTEXT_EX ContextEx)
{
    return (PULONG64)((PUCHAR)ContextEx + ContextEx->XState.Offset);
}

/* Features whose registers the context holds; what it leaves out is as after reset. */
ULONG64 NTAPI RtlGetExtendedFeaturesMask(PCONTEXT_EX ContextEx)
{
    return ContextEx->XState.Length < HEADER_BYTES ? 0 : *MaskOf(ContextEx) & ~3ULL;
}

VOID NTAPI RtlSetExtendedFeaturesMask(PCONTEXT_EX ContextEx, ULONG64 FeatureMask)
{
    if (ContextEx->XState.Length >= HEADER_BYTES) {
        *MaskOf(ContextEx) = FeatureMask & SHARED->XState.EnabledFeatures & ~3ULL;
    }
}
