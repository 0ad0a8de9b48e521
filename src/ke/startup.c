/*
 * startup.c - from the loader to the first thread.
 *
 * KiSystemStartup runs on the loader's boot stack with interrupts off and calls the phases of init.h in order.
 */
#include <ntos/console.h>
#include <ntos/hal.h>
#include <ntos/init.h>
#include <ntos/kd.h>
#include <ntos/ke.h>
#include <ntos/mm.h>
#include <ntos/pool.h>

LOADER_BLOCK *KeLoaderBlock;

VOID KiSystemStartup(LOADER_BLOCK *LoaderBlock);

VOID KiSystemStartup(LOADER_BLOCK *LoaderBlock)
{
    KeLoaderBlock = LoaderBlock;
    HalSerialInitialize(0, 115200);
    ConPrint("Oriel %s\n", NT_CHK ? "chk" : "fre");
    KiInitializeImages(LoaderBlock);
    KiInitializeProcessor0(LoaderBlock);
    KeParseBootOptions((PCSTR)LoaderBlock->CommandLine);
    KdInitialize();
    KeLowerIrql(DISPATCH_LEVEL); /* what Mm's locks and windows expect; interrupts are off all the same */
    MmInitializePhase0(LoaderBlock);
    ExInitializePoolPhase0();
    KeLowerIrql(PASSIVE_LEVEL);
    ConsoleStart();
}
