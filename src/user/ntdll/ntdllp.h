/*
 * ntdllp.h - what the files of ntdll.dll share.
 *
 * ntdll is the one image that a program finds in its process besides itself. It is built from the kernel's own pure sources of
 * src/rtl (strings, formatting, unwinding, exception dispatch, PE parsing) and from the files here, which give
 * those sources what the kernel would: memory, the list of images, and an end for exceptions that nobody handles.
 */
#pragma once

#include <ntos/ke.h>
#include <ntos/peimage.h>
#include <oriel/ntdll.h>

FORCEINLINE PTEB LdrpTeb(VOID)
{
    return (PTEB)__readgsqword(FIELD_OFFSET(NT_TIB, Self));
}

FORCEINLINE PPEB LdrpPeb(VOID)
{
    return LdrpTeb()->ProcessEnvironmentBlock;
}

/* ---- loader.c ---- */

/* A loaded image, as public debuggers and the PEB's readers expect it; KLDR_DATA_TABLE_ENTRY's user-mode brother. */
typedef struct _LDR_DATA_TABLE_ENTRY {
    LIST_ENTRY InLoadOrderLinks;
    LIST_ENTRY InMemoryOrderLinks;
    LIST_ENTRY InInitializationOrderLinks;
    PVOID DllBase;
    PVOID EntryPoint;
    ULONG SizeOfImage;
    UNICODE_STRING FullDllName;
    UNICODE_STRING BaseDllName;
    ULONG Flags;
    USHORT LoadCount;
    USHORT TlsIndex;
    LIST_ENTRY HashLinks;
    ULONG TimeDateStamp;
    /* Oriel's own */
    PE_VIEW View;
} LDR_DATA_TABLE_ENTRY, *PLDR_DATA_TABLE_ENTRY;
C_ASSERT(FIELD_OFFSET(LDR_DATA_TABLE_ENTRY, DllBase) == 0x30 &&
         FIELD_OFFSET(LDR_DATA_TABLE_ENTRY, BaseDllName) == 0x58);

typedef struct _PEB_LDR_DATA {
    ULONG Length;
    UCHAR Initialized;
    PVOID SsHandle;
    LIST_ENTRY InLoadOrderModuleList;
    LIST_ENTRY InMemoryOrderModuleList;
    LIST_ENTRY InInitializationOrderModuleList;
} PEB_LDR_DATA, *PPEB_LDR_DATA;
C_ASSERT(FIELD_OFFSET(PEB_LDR_DATA, InLoadOrderModuleList) == 0x10);

NTSTATUS LdrpInitializeProcess(PVOID NtdllBase);
PLDR_DATA_TABLE_ENTRY LdrpFindImage(ULONG64 Address); /* NULL: in no image */

/* ---- tls.c ---- */

NTSTATUS LdrpInitializeTls(VOID);     /* once, for the images that are there */
NTSTATUS LdrpAllocateThreadTls(VOID); /* the calling thread's blocks */
VOID LdrpCallTlsCallbacks(ULONG Reason);

/* ---- process.c, support.c: entered by the kernel's doing ---- */

VOID NTAPI LdrInitializeThunk(PCONTEXT Context, PVOID NtdllBase);
DECLSPEC_NORETURN VOID NTAPI RtlUserThreadStart(NTSTATUS(NTAPI *Routine)(PVOID), PVOID Argument);
DECLSPEC_NORETURN VOID NTAPI RtlpUserException(PEXCEPTION_RECORD Record, PCONTEXT Context); /* from dispatch.asm */
