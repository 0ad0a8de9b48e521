/*
 * trace.c - who references an object (chk flavour).
 *
 * When tracing is on for a type, each object made from then on carries a ring of the last references taken and given up: the tag, the
 * count and the callers. `obtrace TYPE` turns it on and off, boot option obtrace=TYPE from the start ("all": every type);
 * `object NAME|ADDRESS refs` shows the ring. Tags are the documented four characters of ObReferenceObjectWithTag; a tag
 * whose references and dereferences do not balance names the leak.
 *
 * A ring is one pool block, allocated with the object and freed with it; an object that gets none for want of memory is not traced.
 * Locks: none. A record's place is taken by an interlocked count, so writers on several processors do not meet, and a reader may see
 * a record half written, which shows as a wrong line and nothing worse. IRQL: as for referencing, any.
 */
#include <ntos/console.h>
#include <ntos/init.h>
#include <ntos/ke.h>
#include <ntos/rtl.h>

#include "obp.h"

#if NT_CHK

/* Enough to see both sides of a reference that was given up too often; a ring is 3 KB. */
#define OBP_TRACE_RECORDS 32U
#define OBP_TRACE_FRAMES  8U
/* ObpTraceReference and its caller in object.c. */
#define OBP_TRACE_SKIP 2U

typedef struct _OBP_TRACE_RECORD {
    ULONG Tag;
    LONG Change;
    LONG64 Count;
    ULONG64 Frames[OBP_TRACE_FRAMES];
} OBP_TRACE_RECORD, *POBP_TRACE_RECORD;

typedef struct _OBP_TRACE {
    volatile LONG64 Written; /* interlocked: records ever */
    OBP_TRACE_RECORD Records[OBP_TRACE_RECORDS];
} OBP_TRACE, *POBP_TRACE;

POBP_TRACE ObpCreateTrace(POBJECT_TYPE Type)
{
    POBP_TRACE Trace;

    if (!Type->Trace) {
        return NULL;
    }
    Trace = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Trace), OB_TAG_TRACE);
    if (Trace != NULL) {
        RtlZeroMemory(Trace, sizeof(*Trace));
    }
    return Trace;
}

VOID ObpTraceReference(POBP_TRACE Trace, LONG Change, LONG64 Count, ULONG Tag)
{
    ULONG64 Frames[OBP_TRACE_FRAMES + OBP_TRACE_SKIP];
    ULONG Captured = KiCaptureStack(NULL, Frames, RTL_NUMBER_OF(Frames));
    LONG64 Number = InterlockedIncrement64(&Trace->Written) - 1;
    POBP_TRACE_RECORD Record = &Trace->Records[Number % OBP_TRACE_RECORDS];

    Record->Tag = Tag;
    Record->Change = Change;
    Record->Count = Count;
    for (ULONG Index = 0; Index < OBP_TRACE_FRAMES; Index++) {
        Record->Frames[Index] = (Index + OBP_TRACE_SKIP < Captured) ? Frames[Index + OBP_TRACE_SKIP] : 0;
    }
}

LONG64 ObQueryTaggedReferences(PVOID Object, ULONG Tag)
{
    POBP_TRACE Trace = ObpHeader(Object)->Trace;
    LONG64 Sum = 0;

    for (LONG64 Number = 0; Trace != NULL && Number < min(Trace->Written, (LONG64)OBP_TRACE_RECORDS); Number++) {
        if (Trace->Records[Number].Tag == Tag) {
            Sum += Trace->Records[Number].Change;
        }
    }
    return Sum;
}

VOID ObpPrintTrace(PVOID Object)
{
    POBP_TRACE Trace = ObpHeader(Object)->Trace;

    if (Trace == NULL) {
        ConPrint("not traced: obtrace %wZ, then make the object again\n", &ObpHeader(Object)->Type->Name);
        return;
    }
    for (LONG64 Number = max(0, Trace->Written - (LONG64)OBP_TRACE_RECORDS); Number < Trace->Written; Number++) {
        POBP_TRACE_RECORD Record = &Trace->Records[Number % OBP_TRACE_RECORDS];

        ConPrint("%6lld %+d -> %lld tag %.4s\n", Number, (int)Record->Change, Record->Count, (PCSTR)&Record->Tag);
        for (ULONG Index = 0; Index < OBP_TRACE_FRAMES && Record->Frames[Index] != 0; Index++) {
            KI_IMAGE Image = {.Base = Record->Frames[Index], .Name = "?"};

            KiFindImage(Record->Frames[Index], &Image);
            ConPrint("         0x%016llX %s+0x%llX\n", Record->Frames[Index], Image.Name,
                     Record->Frames[Index] - Image.Base);
        }
    }
}

static VOID ObpTraceCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    if (ArgumentCount != 2 || !ObpToggleTrace(Arguments[1])) {
        ConPrint("obtrace: name a type of `objects`, or all\n");
    }
}

CONSOLE_COMMAND(ObpTraceEntry, "obtrace", "TYPE|all", "trace references to objects of a type, or stop tracing them",
                ObpTraceCommand);

/* Boot option obtrace, for a type that is just being made. */
BOOLEAN ObpTraceFromBoot(PCUNICODE_STRING Type)
{
    CHAR Name[OBP_TYPE_NAME_BYTES];

    return KeBootOption("obtrace", Name, sizeof(Name)) && ObpTypeIsNamed(Type, Name);
}

#endif
