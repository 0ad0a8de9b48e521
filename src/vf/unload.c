/*
 * unload.c - what a driver may not leave behind when it goes.
 *
 * A driver that unloads must have freed its pool, IRPs, MDLs and work items, closed its handles, deleted its devices, cancelled its timers and let
 * its DPCs and work items run; and no IRP may be under way that would call it. Blocks are known by the address that asked
 * for them (src/ex/poolcheck.c; IRPs, MDLs and work items are attributed to who asked Io for them), the others by where
 * they or their routines lie. A driver that keeps a device keeps its image too: src/io/load.c says so.
 *
 * While drivers are loaded that can go, each handle in the kernel's table is noted whose creation has such a driver on its
 * stack; where there are none, creating and closing handles costs one comparison more.
 *
 * Locks: the tables' lock for the handles; the dispatcher's, the work queues' and DPC locks in the routines called here. IRQL: PASSIVE_LEVEL.
 */
#include "../ke/kip.h"
#include "vfp.h"
#include <ntos/ex.h>
#include <ntos/io.h>
#include <ntos/pool.h>

/* ---- Handles ---- */

#define HANDLES                                                                                                        \
    256 /* open at once, of drivers that can go: the suites' have a dozen; what finds no room is not watched */
#define HANDLE_FRAMES 24 /* from the creation of a handle out to the driver */

typedef struct _VF_HANDLE {
    HANDLE Handle; /* (tables' lock) NULL: unused */
    VF_STACK Stack;
} VF_HANDLE;

static VF_HANDLE Handles[HANDLES];
static volatile LONG DriversLoaded; /* interlocked */

VOID VfDriverLoaded(VOID)
{
    InterlockedIncrement(&DriversLoaded);
}

/* The part of the caller's stack that begins in a driver; FALSE: no driver is on it. */
static BOOLEAN DriversStack(PVF_STACK Stack)
{
    ULONG64 Address[HANDLE_FRAMES];
    ULONG Depth = KiCaptureStack(NULL, Address, HANDLE_FRAMES), First = 0;

    while (First < Depth && !KiIsDriverAddress(Address[First])) {
        First++;
    }
    Stack->Depth = min(Depth - First, VF_FRAMES);
    memcpy(Stack->Address, Address + First, Stack->Depth * sizeof(ULONG64));
    return Stack->Depth != 0;
}

VOID VfHandleMade(HANDLE Handle)
{
    VF_STACK Stack;

    if (DriversLoaded == 0 || !DriversStack(&Stack)) {
        return;
    }
    BOOLEAN Enabled = VfLockTables();
    for (ULONG Index = 0; Index < HANDLES; Index++) {
        if (Handles[Index].Handle == NULL) {
            Handles[Index] = (VF_HANDLE){Handle, Stack};
            break;
        }
    }
    VfUnlockTables(Enabled);
}

VOID VfHandleGone(HANDLE Handle)
{
    if (DriversLoaded == 0) {
        return;
    }
    BOOLEAN Enabled = VfLockTables();
    for (ULONG Index = 0; Index < HANDLES; Index++) {
        if (Handles[Index].Handle == Handle) {
            Handles[Index].Handle = NULL;
        }
    }
    VfUnlockTables(Enabled);
}

/* Takes one handle out of the table whose maker lies in a range; FALSE: there is none. */
static BOOLEAN TakeHandle(ULONG64 Begin, ULONG64 End, VF_HANDLE *Taken)
{
    BOOLEAN Enabled = VfLockTables(), Found = FALSE;

    for (ULONG Index = 0; Index < HANDLES && !Found; Index++) {
        *Taken = Handles[Index];
        if (Taken->Handle != NULL && Taken->Stack.Address[0] >= Begin && Taken->Stack.Address[0] < End) {
            Handles[Index].Handle = NULL;
            Found = TRUE;
        }
    }
    VfUnlockTables(Enabled);
    return Found;
}

static VOID ReportHandles(ULONG64 Begin, ULONG64 End, PCSTR Name)
{
    VF_HANDLE Left;

    while (TakeHandle(Begin, End, &Left)) {
        VfReport(VfReportLeak, Left.Stack.Address, Left.Stack.Depth, NULL, 0, "%s has unloaded and left handle %p open",
                 Name, Left.Handle);
    }
}

/* ---- Pool, and what Io keeps in it ---- */

typedef struct _UNLOADED {
    ULONG64 Begin, End;
    PCSTR Name;
} UNLOADED;

static VOID ReportBlock(const EX_POOL_OWNED *Block, PVOID Context)
{
    CHAR Tag[5] = {(CHAR)Block->Tag, (CHAR)(Block->Tag >> 8), (CHAR)(Block->Tag >> 16), (CHAR)(Block->Tag >> 24), 0};

    VfReport(VfReportLeak, Block->Stack, Block->Depth, NULL, 0,
             "%s has unloaded and left a block of %llu bytes, tag '%s', at %p", ((UNLOADED *)Context)->Name,
             (ULONG64)Block->Bytes, Tag, Block->Address);
}

static BOOLEAN IsOf(const UNLOADED *Driver, PVOID Routine)
{
    return (ULONG64)Routine >= Driver->Begin && (ULONG64)Routine < Driver->End;
}

/* Somebody else's IRP that the driver would be called for. */
static VOID ReportPending(const EX_POOL_OWNED *Block, PVOID Context)
{
    const UNLOADED *Driver = Context;
    PIRP Irp = Block->Address;
    PIO_STACK_LOCATION Stack = (PIO_STACK_LOCATION)(Irp + 1);
    ULONG64 Site = Driver->Begin;
    BOOLEAN Called;

    if (Block->Tag != VF_TAG_IRP || Irp->Type != IO_TYPE_IRP || IsOf(Driver, (PVOID)Block->Stack[0])) {
        return;
    }
    Called = IsOf(Driver, (PVOID)Irp->CancelRoutine);
    for (LONG Index = Irp->CurrentLocation; Index >= 1 && Index <= Irp->StackCount; Index++) {
        Called |= IsOf(Driver, (PVOID)Stack[Index - 1].CompletionRoutine);
    }
    if (Called) {
        VfReport(VfReportLeak, &Site, 1, NULL, 0, "%s has unloaded and left IRP %p pending", Driver->Name, Irp);
    }
}

/* ---- All of it ---- */

static VOID ReportRoutine(const UNLOADED *Driver, PVOID Found, PCSTR What)
{
    ULONG64 Site = Driver->Begin;

    if (Found != NULL) {
        VfReport(VfReportLeak, &Site, 1, NULL, 0, "%s has unloaded and left %s (%p)", Driver->Name, What, Found);
    }
}

VOID VfDriverUnloaded(PVOID Base, SIZE_T Bytes, PCSTR Name)
{
    UNLOADED Driver = {(ULONG64)Base, (ULONG64)Base + Bytes, Name};

    ReportRoutine(&Driver, KiFindTimerOf(Driver.Begin, Driver.End), "a timer armed");
    ReportRoutine(&Driver, KiFindDpcOf(Driver.Begin, Driver.End), "a DPC queued");
    ReportRoutine(&Driver, ExFindWorkItemOf(Driver.Begin, Driver.End), "a work item queued or running");
    ReportHandles(Driver.Begin, Driver.End, Name);
    ExFindOwnedPool(0, ~0ULL, ReportPending, &Driver);
    ExFindOwnedPool(Driver.Begin, Driver.End, ReportBlock, &Driver);
    VfForgetRange(Base, Bytes);
}

VOID VfDriverGone(VOID)
{
    InterlockedDecrement(&DriversLoaded);
}

VOID VfDeviceLeft(PCUNICODE_STRING Driver, PVOID Device, PVOID Unload)
{
    ULONG64 Site = (ULONG64)Unload;

    VfReport(VfReportLeak, &Site, 1, NULL, 0, "%wZ has unloaded and left device %p: its image stays", Driver, Device);
}
