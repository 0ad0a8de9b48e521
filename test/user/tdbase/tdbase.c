/*
 * tdbase.c - a test DLL on top of tdleaf: imports by name and by ordinal, forwarders by both, static TLS.
 *
 * Who loads it after the start has its TLS given to threads that run already. Letter B.
 *
 * Loaded by the suite uldr.
 */
#include "../tdll.h"
#include "../tls.h"

ULONG NTAPI LeafValue(VOID);
ULONG NTAPI LeafThird(ULONG Value);
ULONG NTAPI BaseAdd(ULONG Value);
ULONG NTAPI BaseByOrdinal(ULONG Value);
ULONG NTAPI BaseTls(ULONG Add);

static __declspec(thread) ULONG TlsValue = 1000;
static __declspec(thread) ULONG TlsZero;

ULONG NTAPI BaseAdd(ULONG Value)
{
    return LeafValue() + Value;
}

ULONG NTAPI BaseByOrdinal(ULONG Value)
{
    return LeafThird(Value) + 1;
}

/* The calling thread's sum so far, beginning at 1000. */
ULONG NTAPI BaseTls(ULONG Add)
{
    TlsValue += Add;
    TlsZero += Add;
    return TlsZero + 1000 == TlsValue ? TlsValue : 0;
}

BOOLEAN NTAPI DllMain(PVOID Base, ULONG Reason, PVOID Reserved)
{
    TdNoteReason('B', Reason);
    return TRUE;
}
