/*
 * tls.c - static thread-local storage, and the callbacks that images register with it.
 *
 * An image with a TLS directory gets an index, written where the directory says; each thread has an array of blocks by index at
 * TEB.ThreadLocalStoragePointer, each block a copy of the image's template. The array and the blocks are one allocation,
 * made when a thread begins and given back when it ends with the process's heap.
 *
 * One image can have a directory so far: the program. Locks: none.
 *
 * Source: Microsoft PE and COFF Specification, the .tls section.
 */
#include "ntdllp.h"

#define PE_DIRECTORY_TLS 9

typedef struct _TLS_DIRECTORY { /* addresses, relocated with the image */
    ULONG64 Start, End;         /* the template */
    PULONG Index;
    VOID(NTAPI **Callbacks)(PVOID Base, ULONG Reason, PVOID Reserved); /* ended by NULL; may be NULL */
    ULONG ZeroFill;                                                    /* bytes after the template */
    ULONG Characteristics;
} TLS_DIRECTORY, *PTLS_DIRECTORY;

static PTLS_DIRECTORY LdrpTls; /* (c) after start: the program's; NULL: none */

NTSTATUS LdrpInitializeTls(VOID)
{
    PLDR_DATA_TABLE_ENTRY Program = LdrpFindImage((ULONG64)LdrpPeb()->ImageBaseAddress);
    PE_RANGE Range = Program->View.Header.Directory[PE_DIRECTORY_TLS];

    if (Range.Rva == 0 || Range.Rva > Program->SizeOfImage - sizeof(TLS_DIRECTORY)) {
        return STATUS_SUCCESS;
    }
    LdrpTls = (PTLS_DIRECTORY)(Program->View.Base + Range.Rva);
    if (LdrpTls->End < LdrpTls->Start || LdrpFindImage(LdrpTls->Start) != Program ||
        LdrpTls->End - LdrpTls->Start > Program->SizeOfImage || LdrpFindImage((ULONG64)LdrpTls->Index) != Program) {
        LdrpTls = NULL;
        return STATUS_INVALID_IMAGE_FORMAT;
    }
    *LdrpTls->Index = 0;
    return LdrpAllocateThreadTls();
}

NTSTATUS LdrpAllocateThreadTls(VOID)
{
    if (LdrpTls == NULL) {
        return STATUS_SUCCESS;
    }
    SIZE_T Template = LdrpTls->End - LdrpTls->Start;
    PVOID *Array = RtlAllocateHeap(LdrpPeb()->ProcessHeap, 0, 2 * sizeof(PVOID) + Template + LdrpTls->ZeroFill);

    if (Array == NULL) {
        return STATUS_NO_MEMORY;
    }
    Array[0] = &Array[2];
    RtlCopyMemory(Array[0], (PVOID)LdrpTls->Start, Template);
    RtlZeroMemory((PUCHAR)Array[0] + Template, LdrpTls->ZeroFill);
    LdrpTeb()->ThreadLocalStoragePointer = Array;
    return STATUS_SUCCESS;
}

VOID LdrpCallTlsCallbacks(ULONG Reason)
{
    if (LdrpTls != NULL && LdrpTls->Callbacks != NULL) {
        for (ULONG Index = 0; LdrpTls->Callbacks[Index] != NULL; Index++) {
            LdrpTls->Callbacks[Index](LdrpPeb()->ImageBaseAddress, Reason, NULL);
        }
    }
    if (Reason == DLL_THREAD_DETACH && LdrpTls != NULL) {
        PVOID Array = LdrpTeb()->ThreadLocalStoragePointer;

        LdrpTeb()->ThreadLocalStoragePointer = NULL;
        RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Array);
    }
}
