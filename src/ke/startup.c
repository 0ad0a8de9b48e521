/*
 * startup.c - from the loader to the first thread.
 */
#include <ntos/ke.h>
#include <ntos/init.h>

VOID KiSystemStartup(LOADER_BLOCK *LoaderBlock);

VOID KiSystemStartup(LOADER_BLOCK *LoaderBlock)
{
    static const char Text[] = "Oriel\r\n";

    for (const char *Next = Text; *Next != 0; Next++) {
        while ((__inbyte(0x3FD) & 0x20) == 0) {
        }
        __outbyte(0x3F8, *Next);
    }
    for (;;) {
        KeHalt();
    }
}
