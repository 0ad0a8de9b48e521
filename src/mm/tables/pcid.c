/*
 * pcid.c - which address spaces a processor keeps translations of while it runs in another.
 *
 * Where CPUID offers process-context identifiers, each processor gives MI_PCIDS of them, 1 and up, to the processes that it ran last;
 * whoever was away longest loses his. Identifier 0 is for what no process's switch loads: it is never loaded without a flush.
 *
 * A process has a generation, a number that no other process ever had. It moves on, before anybody is told, whenever translations of
 * its own addresses (the user half, hyperspace, the self-map) are taken away. A processor remembers with each identifier the
 * generation up to which its translations are good. Entering a process it first joins the set of active processors, then compares: the
 * same generation is loaded without a flush, any other with one. So whoever takes translations away either finds the processor in
 * the set and interrupts it, or that processor finds the generation moved on. The frames of a process that is gone, and its
 * object, may serve the next at once: what is cached of them has a generation that the next one has not.
 *
 * Comparing and loading are one step with interrupts off: a shootdown in between would drop translations of the wrong
 * identifier. A processor that took part in a shootdown with the process loaded moves its own note along, so that it does not flush
 * for it again. All other kernel addresses are global (MiVerify looks), which INVLPG drops whatever the identifier.
 *
 * Locks: none; the processor's own notes, at DISPATCH_LEVEL or above. Generations move under MiTlbLock.
 *
 * Source: Intel SDM volume 3A, 4.10.1 and 4.10.4.
 */
#include <ntos/init.h>
#include "../mip.h"

#define CR3_KEEP           0x8000000000000000ULL /* do not flush what the identifier has */
#define INVPCID_EVERYTHING 2ULL                  /* all identifiers, and global translations */

BOOLEAN MmPcidEnabled;
static BOOLEAN MiInvpcid; /* (c) once the boot processor has looked */

static volatile LONG64 MiGenerations; /* the last one given to anybody */

VOID MiEnablePcid(VOID)
{
    ULONG Leaf[4];

    KeCpuid(0, 0, Leaf);
    if (Leaf[0] >= 7) {
        KeCpuid(7, 0, Leaf);
        MiInvpcid = (Leaf[1] & CPUID7_EBX_INVPCID) != 0;
    }
    KeCpuid(1, 0, Leaf);
    if ((Leaf[2] & CPUID1_ECX_PCID) == 0 || KeBootOption("nopcid", NULL, 0)) {
        return;
    }
    ASSERT((__readcr3() & MI_PCID_BITS) == 0); /* or the processor would refuse */
    __writecr4(__readcr4() | CR4_PCIDE);
    MmPcidEnabled = TRUE; /* the same on every processor of a machine */
}

/* The note of a process on this processor, or the one that was used least lately, made its own. */
static PMI_PCID MiTakePcid(PMI_PROCESSOR Mine, PKPROCESS Process)
{
    PMI_PCID Oldest = &Mine->Pcid[0];

    for (ULONG Slot = 0; Slot < MI_PCIDS; Slot++) {
        PMI_PCID Pcid = &Mine->Pcid[Slot];

        if (Pcid->Process == Process) {
            return Pcid;
        }
        if (Pcid->LastUse < Oldest->LastUse) {
            Oldest = Pcid;
        }
    }
    Oldest->Process = Process;
    Oldest->Generation = MI_NO_GENERATION;
    return Oldest;
}

VOID MmLoadAddressSpace(PKPROCESS Process)
{
    PMI_PROCESSOR Mine = MiProcessor();
    ULONG64 Flags = __readeflags(), Generation, Keep;
    PMI_PCID Pcid;

    ASSERT(MmPcidEnabled);
    _disable();
    Pcid = MiTakePcid(Mine, Process);
    Generation = Process->TlbGeneration;
    Keep = Pcid->Generation == Generation ? CR3_KEEP : 0;
    Pcid->Generation = Generation;
    Pcid->LastUse = Mine->PcidKept + Mine->PcidFlushed + 1;
    *(Keep != 0 ? &Mine->PcidKept : &Mine->PcidFlushed) += 1;
    __writecr3(Process->DirectoryTableBase | (ULONG64)(Pcid - Mine->Pcid + 1) | Keep);
    if ((Flags & EFLAGS_IF) != 0) {
        _enable();
    }
}

VOID MiBeginLife(PKPROCESS Process)
{
    Process->TlbGeneration = (ULONG64)InterlockedIncrement64(&MiGenerations);
}

MI_GENERATIONS MiMoveGeneration(PKPROCESS Process)
{
    MI_GENERATIONS Moved = {0};

    if (MmPcidEnabled && Process != NULL) {
        Moved.New = (ULONG64)InterlockedIncrement64(&MiGenerations);
        Moved.Old = (ULONG64)InterlockedExchange64((volatile LONG64 *)&Process->TlbGeneration, (LONG64)Moved.New);
    }
    return Moved;
}

VOID MiFollowGeneration(const KPROCESS *Process, const MI_GENERATIONS *Moved)
{
    ULONG64 Identifier;
    PMI_PCID Pcid;

    if (Moved->New == 0) {
        return;
    }
    Identifier = __readcr3() & MI_PCID_BITS;
    Pcid = Identifier == 0 ? NULL : &MiProcessor()->Pcid[Identifier - 1];
    if (Pcid != NULL && Pcid->Process == Process && Pcid->Generation == Moved->Old) {
        Pcid->Generation = Moved->New;
    }
}

BOOLEAN MiInvalidateEverything(VOID)
{
    static const ULONG64 Descriptor[2] = {0, 0};

    if (MiInvpcid) {
        __asm__ volatile("invpcid %0, %1" ::"m"(Descriptor), "r"(INVPCID_EVERYTHING) : "memory");
    }
    return MiInvpcid;
}

VOID MmQueryPcid(PMM_PCID_USE Use)
{
    RtlZeroMemory(Use, sizeof(*Use));
    Use->Enabled = MmPcidEnabled;
    Use->Invpcid = MiInvpcid;
    Use->Identifiers = MI_PCIDS;
    for (ULONG Index = 0; Index < KeNumberOfActiveProcessors; Index++) {
        Use->Kept += KiProcessorBlock[Index]->Mm->PcidKept;
        Use->Flushed += KiProcessorBlock[Index]->Mm->PcidFlushed;
    }
}
