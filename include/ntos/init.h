/*
 * init.h - the order in which the kernel comes up. Each component has one entry per phase.
 *
 * Phase 0 runs on the boot stack with interrupts off: HalSerialInitialize, KiInitializeProcessor0 (GDT, IDT,
 * TSS, PCR, CR0/CR4/PAT), KdInitialize, HalInitializePhase0, MmInitializePhase0, ExInitializePoolPhase0,
 * HalInitializePhase1, KiInitializeDispatcher (idle and phase-1 threads); then interrupts go on and phase 1 runs in a
 * system thread at PASSIVE_LEVEL: MmInitializePhase1, ObInitialize, PsInitialize, ExInitialize, CmInitialize, CcInitialize,
 * IoInitialize (boot drivers, mounts, \SystemRoot), MmFreeLoaderMemory, ConsoleStart.
 */
#pragma once

#include <ntos/loader.h>
#include <ntos/ntos.h>

VOID KiInitializeProcessor0(LOADER_BLOCK *LoaderBlock);
DECLSPEC_NORETURN VOID KiInitializeDispatcher(PKSTART_ROUTINE Phase1); /* Phase1 runs in a thread at PASSIVE_LEVEL */
NTSTATUS ObInitialize(VOID);
NTSTATUS PsInitialize(VOID);
NTSTATUS ExInitialize(VOID);
NTSTATUS CcInitialize(VOID);
NTSTATUS IoInitialize(LOADER_BLOCK *LoaderBlock);
VOID ConsoleOpenDisplay(LOADER_BLOCK *LoaderBlock); /* once MmMapIoSpace works */
VOID ConsoleStart(VOID);                            /* never returns */

/* Boot options (src/ke/bootopts.c): the whole command line is checked once; the console names every unknown option. */
VOID KeParseBootOptions(PCSTR CommandLine);
BOOLEAN KeBootOption(PCSTR Name, PSTR Value, ULONG ValueBytes); /* TRUE: present; Value gets the text after '=' */
