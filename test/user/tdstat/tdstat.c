/*
 * tdstat.c - a test DLL that a program imports from, so that it is there from start to end.
 *
 * It says goodbye on the console when the process ends.
 *
 * Loaded by the suite uldr.
 */
#include "../tdll.h"
#include "../tls.h"

ULONG NTAPI StaticCount(PULONG ThreadCount);
ULONG NTAPI StaticTls(VOID);

static __declspec(thread) ULONG TlsValue = 5;
static ULONG Begun, Threads;

ULONG NTAPI StaticCount(PULONG ThreadCount)
{
    *ThreadCount = Threads;
    return Begun;
}

ULONG NTAPI StaticTls(VOID)
{
    return TlsValue++;
}

BOOLEAN NTAPI DllMain(PVOID Base, ULONG Reason, PVOID Reserved)
{
    Begun += Reason == DLL_PROCESS_ATTACH && Reserved != NULL && TlsValue == 5;
    Threads += Reason == DLL_THREAD_ATTACH;
    if (Reason == DLL_PROCESS_DETACH) {
        DbgPrint("tdstat: %s\n", Reserved != NULL ? "the process ends" : "unloaded");
    }
    return TRUE;
}
