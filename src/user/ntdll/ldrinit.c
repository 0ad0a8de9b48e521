/*
 * ldrinit.c - when DllMain is called, and which images nothing needs any more.
 *
 * An image is initialised after all that it needs (in a cycle: after those that were not reached through it), and entered in the list of
 * initialised ones; the list backwards is the order of the ends. Threads call DllMain of all of them, beginning in that order, ending in the other.
 *
 * What is loaded by call or pinned keeps itself and all that it needs, however far. LdrpSweep marks those and unloads the others: DllMain first, of all of
 * them, then their memory.
 *
 * Locks: (l) of the caller, held over each DllMain, which may load and unload; a sweep within a sweep is left to the one that is under way.
 *
 * Source: Microsoft Learn, DllMain; "Dynamic-Link Library Best Practices".
 */
#include "ntdllp.h"

typedef BOOLEAN(NTAPI *PDLL_MAIN)(PVOID Base, ULONG Reason, PVOID Reserved);

static BOOLEAN LdrpSweeping, LdrpSweepAgain; /* (l) */

/* TLS callbacks, then DllMain, as the run-time libraries expect. Reserved: not NULL for what lives as long as the process. */
static BOOLEAN LdrpCall(PLDR_DATA_TABLE_ENTRY Image, ULONG Reason, BOOLEAN Static)
{
    PDLL_MAIN Main = (PDLL_MAIN)(ULONG_PTR)Image->EntryPoint;

    LdrpCallTlsCallbacks(Image, Reason);
    if (Main == NULL || (Image->Flags & LDRP_IMAGE_DLL) == 0) {
        return TRUE;
    }
    return Main(Image->DllBase, Reason, Static ? (PVOID)1 : NULL);
}

/* ---- Beginnings ---- */

static NTSTATUS LdrpInitializeOne(PLDR_DATA_TABLE_ENTRY Image, BOOLEAN Static)
{
    InsertTailList(&LdrpData.InInitializationOrderModuleList, &Image->InInitializationOrderLinks);
    Image->Flags |= LDRP_PROCESS_ATTACHED; /* one that refuses is told of its end all the same */
    if (LdrpCall(Image, DLL_PROCESS_ATTACH, Static)) {
        return STATUS_SUCCESS;
    }
    DbgPrint("%wZ: does not initialise\n", &Image->BaseDllName);
    return STATUS_DLL_INIT_FAILED;
}

static NTSTATUS LdrpInitializeBelow(PLDR_DATA_TABLE_ENTRY Image, BOOLEAN Static)
{
    NTSTATUS Status = STATUS_SUCCESS;

    if (Image->Reached) {
        return STATUS_SUCCESS;
    }
    Image->Reached = TRUE;
    for (PLDRP_NEED Need = Image->Needs; Need != NULL && NT_SUCCESS(Status); Need = Need->Next) {
        Status = LdrpInitializeBelow(Need->Image, Static);
    }
    if (NT_SUCCESS(Status) && (Image->Flags & LDRP_ENTRY_PROCESSED) == 0) {
        Image->Flags |= LDRP_ENTRY_PROCESSED;
        Status = LdrpInitializeOne(Image, Static);
    }
    return Status;
}

static VOID LdrpForget(VOID)
{
    PLIST_ENTRY Head = &LdrpData.InLoadOrderModuleList;

    for (PLIST_ENTRY Entry = Head->Flink; Entry != Head; Entry = Entry->Flink) {
        CONTAINING_RECORD(Entry, LDR_DATA_TABLE_ENTRY, InLoadOrderLinks)->Reached = FALSE;
    }
}

NTSTATUS LdrpInitializeTree(PLDR_DATA_TABLE_ENTRY Image)
{
    LdrpForget();
    return LdrpInitializeBelow(Image, Image->LoadCount == LDRP_PINNED);
}

/* ---- Ends ---- */

static VOID LdrpReach(PLDR_DATA_TABLE_ENTRY Image)
{
    if (!Image->Reached) {
        Image->Reached = TRUE;
        for (PLDRP_NEED Need = Image->Needs; Need != NULL; Need = Need->Next) {
            LdrpReach(Need->Image);
        }
    }
}

static VOID LdrpMarkNeeded(VOID)
{
    PLIST_ENTRY Head = &LdrpData.InLoadOrderModuleList;

    LdrpForget();
    for (PLIST_ENTRY Entry = Head->Flink; Entry != Head; Entry = Entry->Flink) {
        PLDR_DATA_TABLE_ENTRY Image = CONTAINING_RECORD(Entry, LDR_DATA_TABLE_ENTRY, InLoadOrderLinks);

        if (Image->LoadCount != 0) {
            LdrpReach(Image);
        }
    }
}

/* The initialised image that is to end next; NULL: none. It is out of the list. */
static PLDR_DATA_TABLE_ENTRY LdrpNextToEnd(VOID)
{
    PLIST_ENTRY Head = &LdrpData.InInitializationOrderModuleList;

    for (PLIST_ENTRY Entry = Head->Blink; Entry != Head; Entry = Entry->Blink) {
        PLDR_DATA_TABLE_ENTRY Image = CONTAINING_RECORD(Entry, LDR_DATA_TABLE_ENTRY, InInitializationOrderLinks);

        if (!Image->Reached) {
            RemoveEntryList(Entry);
            InitializeListHead(Entry);
            return Image;
        }
    }
    return NULL;
}

static VOID LdrpUnloadUnreached(VOID)
{
    PLIST_ENTRY Head = &LdrpData.InLoadOrderModuleList, Next;

    for (PLIST_ENTRY Entry = Head->Flink; Entry != Head; Entry = Next) {
        PLDR_DATA_TABLE_ENTRY Image = CONTAINING_RECORD(Entry, LDR_DATA_TABLE_ENTRY, InLoadOrderLinks);

        Next = Entry->Flink;
        if (!Image->Reached) {
            LdrpDropTls(Image);
            LdrpRemove(Image);
            LdrpUnmap(Image);
        }
    }
}

VOID LdrpSweep(VOID)
{
    PLDR_DATA_TABLE_ENTRY Image;

    LdrpSweepAgain = TRUE;
    if (LdrpSweeping) {
        return;
    }
    LdrpSweeping = TRUE;
    while (LdrpSweepAgain) {
        LdrpSweepAgain = FALSE;
        for (LdrpMarkNeeded(); (Image = LdrpNextToEnd()) != NULL; LdrpMarkNeeded()) {
            LdrpCall(Image, DLL_PROCESS_DETACH, FALSE);
        }
        LdrpUnloadUnreached();
    }
    LdrpSweeping = FALSE;
}

/* The process ends: the threads are gone, memory stays. */
VOID LdrpShutdown(VOID)
{
    PLDR_DATA_TABLE_ENTRY Image;

    LdrpForget();
    while ((Image = LdrpNextToEnd()) != NULL) {
        LdrpCall(Image, DLL_PROCESS_DETACH, TRUE);
    }
}

/* ---- Threads ---- */

VOID LdrpCallThreads(ULONG Reason)
{
    PLIST_ENTRY Head = &LdrpData.InInitializationOrderModuleList;
    BOOLEAN Attach = Reason == DLL_THREAD_ATTACH;

    for (PLIST_ENTRY Entry = Attach ? Head->Flink : Head->Blink; Entry != Head;
         Entry = Attach ? Entry->Flink : Entry->Blink) {
        PLDR_DATA_TABLE_ENTRY Image = CONTAINING_RECORD(Entry, LDR_DATA_TABLE_ENTRY, InInitializationOrderLinks);

        if ((Image->Flags & (LDRP_PROCESS_ATTACHED | LDRP_DONT_CALL_THREADS)) == LDRP_PROCESS_ATTACHED) {
            LdrpCall(Image, Reason, FALSE);
        }
    }
}
