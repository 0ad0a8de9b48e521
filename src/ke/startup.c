/*
 * startup.c - from the loader to the first thread.
 *
 * KiSystemStartup runs on the loader's boot stack with interrupts off and calls the phases of init.h in order. The serial
 * port and the image list come first, so that whatever goes wrong later is a readable bug check; the processor's own
 * tables next, so that a fault is a trap and no reset.
 *
 * It never returns, and nothing of the loader's stack or block is kept: what is needed later is copied by its owner.
 */
#include <ntos/cm.h>
#include <ntos/console.h>
#include <ntos/hal.h>
#include <ntos/init.h>
#include <ntos/kd.h>
#include <ntos/ke.h>
#include <ntos/mm.h>
#include <ntos/pool.h>
#include <ntos/section.h>

LOADER_BLOCK *KeLoaderBlock;

VOID KiSystemStartup(LOADER_BLOCK *LoaderBlock);

/* The rest of the start-up, in a system thread at PASSIVE_LEVEL; it becomes the console's. */
static VOID NTAPI KiPhase1(PVOID Context)
{
    VfInitialize();
    MmInitializePhase1();
    KeStartAllProcessors();
    if (!NT_SUCCESS(ObInitialize())) {
        KeBugCheckEx(OBJECT_INITIALIZATION_FAILED, 0, 0, 0, 0);
    }
    PsInitialize();
    if (!NT_SUCCESS(ExInitialize())) {
        KeBugCheckEx(PHASE1_INITIALIZATION_FAILED, 0, 0, 0, 0);
    }
    if (!NT_SUCCESS(CmInitialize(KeLoaderBlock))) {
        KeBugCheckEx(CONFIG_INITIALIZATION_FAILED, 0, 0, 0, 0);
    }
    MmInitializeSections();
    if (!NT_SUCCESS(CcInitialize())) {
        KeBugCheckEx(CACHE_INITIALIZATION_FAILED, 0, 0, 0, 0);
    }
    if (!NT_SUCCESS(IoInitialize(KeLoaderBlock))) {
        KeBugCheckEx(IO1_INITIALIZATION_FAILED, 0, 0, 0, 0);
    }
    if (!NT_SUCCESS(MmInitializePhysicalMemory())) {
        KeBugCheckEx(MEMORY1_INITIALIZATION_FAILED, 4, 0, 0, 0);
    }
    MmFreeLoaderMemory();
    ExStartFaults();
    ConsoleStart();
}

VOID KiSystemStartup(LOADER_BLOCK *LoaderBlock)
{
    KeLoaderBlock = LoaderBlock;
    HalSerialInitialize(0, 115200);
    ConPrint("Oriel %s\n", NT_CHK ? "chk" : "fre");
    KiInitializeImages(LoaderBlock);
    KiInitializeProcessor0(LoaderBlock);
    KeParseBootOptions((PCSTR)LoaderBlock->CommandLine);
    KdInitialize();
    HalInitializePhase0(LoaderBlock);
    KeLowerIrql(DISPATCH_LEVEL); /* what Mm's locks and windows expect; interrupts are off all the same */
    MmInitializePhase0(LoaderBlock);
    ExInitializePoolPhase0();
    KeLowerIrql(APC_LEVEL);
    ConsoleOpenDisplay(LoaderBlock);
    HalInitializePhase1(LoaderBlock);
    KiInitializeDispatcher(KiPhase1);
}
