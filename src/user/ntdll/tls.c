/*
 * tls.c - static thread-local storage, and the callbacks that images register with it.
 *
 * An image with a TLS directory gets an index, written where the directory says; each thread has an array of blocks by index at
 * TEB.ThreadLocalStoragePointer, each block a copy of the image's template. Images come and go while threads run: whoever loads one makes its
 * blocks for every thread. An array that is too short for that is replaced; the old one may be in use at that very moment and stays until its
 * thread ends.
 *
 * ntdll's record of a thread lies in the heap, not in the TEB: a thread that was terminated leaves without a word, and its TEB may be gone
 * or another thread's when it is written to the next time. A new thread with the same TEB ends the old one's record.
 *
 * Locks: (l) of the caller.
 *
 * Source: Microsoft PE and COFF Specification, the .tls section.
 */
#include "ntdllp.h"

#define PE_DIRECTORY_TLS 9
#define FIRST_SLOTS      8 /* of a thread's array; doubled when they do not do */
#define MOST_IMAGES      256

typedef struct _TLS_DIRECTORY { /* addresses, relocated with the image */
    ULONG64 Start, End;         /* the template */
    PULONG Index;
    VOID(NTAPI **Callbacks)(PVOID Base, ULONG Reason, PVOID Reserved); /* ended by NULL; may be NULL */
    ULONG ZeroFill;                                                    /* bytes after the template */
    ULONG Characteristics;
} TLS_DIRECTORY, *PTLS_DIRECTORY;

typedef struct _LDRP_TLS_ARRAY {
    struct _LDRP_TLS_ARRAY *Before; /* the shorter one that it replaced */
    PVOID Block[];                  /* what ThreadLocalStoragePointer points to */
} LDRP_TLS_ARRAY, *PLDRP_TLS_ARRAY;

typedef struct _LDRP_THREAD {
    LIST_ENTRY Link;
    PTEB Teb;
    HANDLE Id;
    ULONG Slots;
    PLDRP_TLS_ARRAY Array;
} LDRP_THREAD, *PLDRP_THREAD;

static LIST_ENTRY LdrpThreads = {&LdrpThreads, &LdrpThreads};
static PLDR_DATA_TABLE_ENTRY LdrpTlsImage[MOST_IMAGES]; /* by index; NULL: free */

static PTLS_DIRECTORY LdrpDirectory(PLDR_DATA_TABLE_ENTRY Image)
{
    return (PTLS_DIRECTORY)(Image->View.Base + Image->View.Header.Directory[PE_DIRECTORY_TLS].Rva);
}

/* ---- Blocks ---- */

static PVOID LdrpMakeBlock(PLDR_DATA_TABLE_ENTRY Image)
{
    PTLS_DIRECTORY Directory = LdrpDirectory(Image);
    SIZE_T Template = Directory->End - Directory->Start;
    PVOID Block = RtlAllocateHeap(LdrpPeb()->ProcessHeap, HEAP_ZERO_MEMORY, Template + Directory->ZeroFill);

    if (Block != NULL) {
        RtlCopyMemory(Block, (PVOID)Directory->Start, Template);
    }
    return Block;
}

/* The thread's array has a slot Index afterwards. A TEB that is gone is passed over: nobody reads the array then. */
static BOOLEAN LdrpReserveSlot(PLDRP_THREAD Thread, ULONG Index)
{
    ULONG Slots = max(Thread->Slots, (ULONG)FIRST_SLOTS);
    PLDRP_TLS_ARRAY Array;

    if (Index < Thread->Slots) {
        return TRUE;
    }
    while (Slots <= Index) {
        Slots *= 2;
    }
    Array = RtlAllocateHeap(LdrpPeb()->ProcessHeap, HEAP_ZERO_MEMORY, sizeof(*Array) + Slots * sizeof(PVOID));
    if (Array == NULL) {
        return FALSE;
    }
    Array->Before = Thread->Array;
    RtlCopyMemory(Array->Block, Thread->Array == NULL ? NULL : Thread->Array->Block, Thread->Slots * sizeof(PVOID));
    Thread->Array = Array;
    Thread->Slots = Slots;
    __try {
        if (Thread->Teb->ClientId.UniqueThread == Thread->Id) {
            Thread->Teb->ThreadLocalStoragePointer = Array->Block;
        }
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Thread->Id = NULL; /* the thread was terminated */
    }
    return TRUE;
}

static NTSTATUS LdrpGiveBlock(PLDRP_THREAD Thread, PLDR_DATA_TABLE_ENTRY Image)
{
    PVOID Block;

    if (!LdrpReserveSlot(Thread, Image->TlsIndex)) {
        return STATUS_NO_MEMORY;
    }
    if (Thread->Array->Block[Image->TlsIndex] == NULL) {
        Block = LdrpMakeBlock(Image);
        Thread->Array->Block[Image->TlsIndex] = Block;
    }
    return Thread->Array->Block[Image->TlsIndex] == NULL ? STATUS_NO_MEMORY : STATUS_SUCCESS;
}

/* ---- Images ---- */

static BOOLEAN LdrpValidDirectory(PLDR_DATA_TABLE_ENTRY Image)
{
    PTLS_DIRECTORY Directory = LdrpDirectory(Image);
    ULONG64 Base = (ULONG64)Image->DllBase, Size = Image->SizeOfImage;

    return Directory->End >= Directory->Start && Directory->Start - Base <= Size && Directory->End - Base <= Size &&
           (ULONG64)Directory->Index - Base <= Size - sizeof(ULONG);
}

NTSTATUS LdrpFindTls(PLDR_DATA_TABLE_ENTRY Image)
{
    PE_RANGE Range = Image->View.Header.Directory[PE_DIRECTORY_TLS];
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG Index = 0;

    if (Range.Rva == 0 || Range.Size < sizeof(TLS_DIRECTORY)) {
        return STATUS_SUCCESS;
    }
    if (Range.Rva > Image->SizeOfImage - sizeof(TLS_DIRECTORY) || !LdrpValidDirectory(Image)) {
        return STATUS_INVALID_IMAGE_FORMAT;
    }
    while (Index < MOST_IMAGES && LdrpTlsImage[Index] != NULL) {
        Index++;
    }
    if (Index == MOST_IMAGES) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    LdrpTlsImage[Index] = Image;
    Image->TlsIndex = (USHORT)Index;
    *LdrpDirectory(Image)->Index = Index;
    for (PLIST_ENTRY Entry = LdrpThreads.Flink; Entry != &LdrpThreads && NT_SUCCESS(Status); Entry = Entry->Flink) {
        Status = LdrpGiveBlock(CONTAINING_RECORD(Entry, LDRP_THREAD, Link), Image);
    }
    return Status;
}

VOID LdrpDropTls(PLDR_DATA_TABLE_ENTRY Image)
{
    if (Image->TlsIndex == LDRP_NO_TLS) {
        return;
    }
    for (PLIST_ENTRY Entry = LdrpThreads.Flink; Entry != &LdrpThreads; Entry = Entry->Flink) {
        PLDRP_THREAD Thread = CONTAINING_RECORD(Entry, LDRP_THREAD, Link);

        if (Image->TlsIndex < Thread->Slots) {
            RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Thread->Array->Block[Image->TlsIndex]);
            Thread->Array->Block[Image->TlsIndex] = NULL;
        }
    }
    LdrpTlsImage[Image->TlsIndex] = NULL;
    Image->TlsIndex = LDRP_NO_TLS;
}

VOID LdrpCallTlsCallbacks(PLDR_DATA_TABLE_ENTRY Image, ULONG Reason)
{
    PTLS_DIRECTORY Directory = LdrpDirectory(Image);

    if (Image->TlsIndex != LDRP_NO_TLS && Directory->Callbacks != NULL) {
        for (ULONG Index = 0; Directory->Callbacks[Index] != NULL; Index++) {
            Directory->Callbacks[Index](Image->DllBase, Reason, NULL);
        }
    }
}

/* ---- Threads ---- */

static VOID LdrpEndThread(PLDRP_THREAD Thread)
{
    PVOID Heap = LdrpPeb()->ProcessHeap;
    PLDRP_TLS_ARRAY Before;

    for (ULONG Index = 0; Index < Thread->Slots; Index++) {
        RtlFreeHeap(Heap, 0, Thread->Array->Block[Index]);
    }
    for (PLDRP_TLS_ARRAY Array = Thread->Array; Array != NULL; Array = Before) {
        Before = Array->Before;
        RtlFreeHeap(Heap, 0, Array);
    }
    RemoveEntryList(&Thread->Link);
    RtlFreeHeap(Heap, 0, Thread);
}

static PLDRP_THREAD LdrpFindThread(PTEB Teb)
{
    for (PLIST_ENTRY Entry = LdrpThreads.Flink; Entry != &LdrpThreads; Entry = Entry->Flink) {
        PLDRP_THREAD Thread = CONTAINING_RECORD(Entry, LDRP_THREAD, Link);

        if (Thread->Teb == Teb) {
            return Thread;
        }
    }
    return NULL;
}

NTSTATUS LdrpAllocateThreadTls(VOID)
{
    PLDRP_THREAD Thread = LdrpFindThread(LdrpTeb());
    NTSTATUS Status = STATUS_SUCCESS;

    if (Thread != NULL) {
        LdrpEndThread(Thread);
    }
    Thread = RtlAllocateHeap(LdrpPeb()->ProcessHeap, HEAP_ZERO_MEMORY, sizeof(*Thread));
    if (Thread == NULL) {
        return STATUS_NO_MEMORY;
    }
    Thread->Teb = LdrpTeb();
    Thread->Id = LdrpTeb()->ClientId.UniqueThread;
    InsertTailList(&LdrpThreads, &Thread->Link);
    for (ULONG Index = 0; Index < MOST_IMAGES && NT_SUCCESS(Status); Index++) {
        if (LdrpTlsImage[Index] != NULL) {
            Status = LdrpGiveBlock(Thread, LdrpTlsImage[Index]);
        }
    }
    return Status;
}

/* The only thread that has begun and not ended; one that was terminated counts for ever. */
BOOLEAN LdrpIsLastThread(VOID)
{
    return LdrpThreads.Flink == LdrpThreads.Blink;
}

VOID LdrpFreeThreadTls(VOID)
{
    PLDRP_THREAD Thread = LdrpFindThread(LdrpTeb());

    LdrpTeb()->ThreadLocalStoragePointer = NULL;
    if (Thread != NULL) {
        LdrpEndThread(Thread);
    }
}
