/*
 * vmmapcmd.c - console command `vmmap PID [age]`: the regions of a process, and their sums.
 *
 * A line for each region that NtQueryVirtualMemory tells, with the pages of it that are in the working set, its own and shared ones, and what
 * it is: the file of an image or mapped file, a thread's stack or TEB, PEB, parameters, heap. The last lines are sums, what is
 * charged for the process, and how many pages of the working set have which age: `age` makes a pass of ageing first, so that typing it twice shows what
 * was touched in between. Lines have fixed columns: tests read them.
 *
 * Locks: none of its own. IRQL: PASSIVE_LEVEL, in the console's thread.
 */
#include "../vmmap.h"
#include <ntos/console.h>

#define MI_KB(Pages) ((unsigned long long)(Pages) * (MM_PAGE_SIZE / 1024))

/* Read, write, execute, copy on write; guard and cache behind it. */
static PCSTR MiAccessName(ULONG Protect)
{
    switch (Protect & 0xFF) {
    case PAGE_READONLY:
        return "r--";
    case PAGE_READWRITE:
        return "rw-";
    case PAGE_WRITECOPY:
        return "rc-";
    case PAGE_EXECUTE:
        return "--x";
    case PAGE_EXECUTE_READ:
        return "r-x";
    case PAGE_EXECUTE_READWRITE:
        return "rwx";
    case PAGE_EXECUTE_WRITECOPY:
        return "rcx";
    default:
        return "---";
    }
}

static PCSTR MiTypeName(ULONG Type)
{
    return Type == MEM_IMAGE ? "image" : Type == MEM_MAPPED ? "mapped" : "private";
}

static VOID MiPrintPart(const MI_MAP_REGION *Region)
{
    static const PCSTR Names[] = {"", "stack of thread", "TEB of thread", "PEB", "parameters", "heap"};

    if (Region->FileObject != NULL) {
        ConPrint("%wZ", &Region->FileObject->FileName);
    }
    ConPrint("%s", Names[Region->Part]);
    if (Region->Thread != NULL) {
        ConPrint(" %u", (unsigned)(ULONG_PTR)Region->Thread);
    }
    ConPrint("%s%s\n", (Region->Basic.Protect & PAGE_GUARD) != 0 ? " (guard)" : "",
             (Region->Basic.Protect & (PAGE_NOCACHE | PAGE_WRITECOMBINE)) != 0 ? " (not cached)" : "");
}

static VOID MiPrintRegion(const MI_MAP_REGION *Region)
{
    const MEMORY_BASIC_INFORMATION *Basic = &Region->Basic;
    BOOLEAN Committed = Basic->State == MEM_COMMIT;

    ConPrint("%c 0x%012llx %12llu KB  %-7s %-7s %s %8llu %8llu  ",
             Basic->AllocationBase == Basic->BaseAddress ? '+' : ' ', (unsigned long long)Basic->BaseAddress,
             (unsigned long long)Basic->RegionSize / 1024, MiTypeName(Basic->Type), Committed ? "commit" : "reserve",
             Committed ? MiAccessName(Basic->Protect) : "   ", MI_KB(Region->Private), MI_KB(Region->Shared));
    MiPrintPart(Region);
}

static VOID MiPrintMap(const MI_MEMORY_MAP *Map)
{
    ULONG64 Bytes = 0, Committed = 0, Private = 0, Shared = 0, Charged = 0;

    ConPrint("  address                   size  type    state   acc  private   shared  (KB in the working set)\n");
    for (ULONG Index = 0; Index < Map->Count; Index++) {
        const MI_MAP_REGION *Region = &Map->Region[Index];

        MiPrintRegion(Region);
        Bytes += Region->Basic.RegionSize;
        Committed += Region->Basic.State == MEM_COMMIT ? Region->Basic.RegionSize : 0;
        Private += Region->Private;
        Shared += Region->Shared;
        Charged += Region->Charged;
    }
    ConPrint("total %u regions, %llu KB of addresses, %llu KB committed\n", (unsigned)Map->Count,
             (unsigned long long)Bytes / 1024, (unsigned long long)Committed / 1024);
    ConPrint("working set %llu KB, private %llu KB, shared %llu KB\n", MI_KB(Map->WorkingSet), MI_KB(Private),
             MI_KB(Shared));
    ConPrint("charged %llu KB: for regions %llu KB, page tables and working-set list %llu KB\n", MI_KB(Map->Charged),
             MI_KB(Charged), MI_KB(Map->TablePages));
    ConPrint("ages, pages of 0 to %u:", MI_AGES - 1);
    for (ULONG Age = 0; Age < MI_AGES; Age++) {
        ConPrint(" %u", (unsigned)Map->Ages[Age]);
    }
    ConPrint("\n");
}

static BOOLEAN MiIsAgeWord(PCSTR Word)
{
    return Word[0] == 'a' && Word[1] == 'g' && Word[2] == 'e' && Word[3] == 0;
}

static VOID MiVmMap(ULONG ArgumentCount, PCSTR *Arguments)
{
    PEPROCESS Process;
    MI_MEMORY_MAP Map;
    BOOLEAN Age = ArgumentCount == 3 && MiIsAgeWord(Arguments[2]);
    ULONG Id;
    NTSTATUS Status;

    if (ArgumentCount != (Age ? 3u : 2u) || !NT_SUCCESS(RtlCharToInteger(Arguments[1], 10, &Id)) || Id == 0) {
        ConPrint("vmmap: a process identifier is needed (`threads` lists them)\n");
        return;
    }
    Status = PsLookupProcessByProcessId((HANDLE)(ULONG_PTR)Id, &Process);
    if (NT_SUCCESS(Status)) {
        Status = MiMapProcess(Process, Age, &Map);
        if (NT_SUCCESS(Status)) {
            ConPrint("%s, process %u\n", Process->ImageFileName, (unsigned)Id);
            MiPrintMap(&Map);
            MiReleaseMap(&Map);
        }
        ObDereferenceObject(Process);
    }
    if (!NT_SUCCESS(Status)) {
        ConPrint("vmmap: %s: no such process, or one without a user half (0x%08X)\n", Arguments[1], (unsigned)Status);
    }
}
CONSOLE_COMMAND(MiVmMapCommand, "vmmap", "PID [age]",
                "what lies in a process's address space; age: after a pass of ageing", MiVmMap);
