/*
 * main.c - the loader from GRUB's jump to the kernel's first instruction.
 *
 * One pass, no way back: the processor is checked before anything depends on it, GRUB's information is copied, memory is
 * sorted out, images are loaded, tables built, and the kernel is entered with a loader block. Whatever goes wrong on the
 * way ends in OslFail: a sentence on COM1 and on the screen, then a halt.
 *
 * The loader takes no interrupt and starts no device; interrupts stay off into the kernel.
 */
#include "osloader.h"

/* Leaves the stack frame as if the kernel had been called: a zero return address and the four home slots above it. */
#define ENTRY_FRAME 40u

void OslMain(uint32_t Magic, uint32_t BootInformation, uint64_t Tsc)
{
    OslConsoleInitialize();
    OslReadBootInformation(Magic, BootInformation);
    OslScreenOpen(&OslBoot.Framebuffer);
    OslCheckProcessor();
    OslSeedRandom(Tsc);
    OslInitializeMemory();
    OslInitializePaging();
    OslLoadImages();

    OslTransition.Block = OslBuildLoaderBlock(Tsc);
    OslTransition.Root = OslPageTableRoot();
    OslTransition.Entry = OslImages[0].VirtualBase + OslImages[0].View.Header.EntryRva;
    OslTransition.Stack -= ENTRY_FRAME;
    OslEnterKernel();
}
