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

/* ---- Names of files: dospath.c, curdir.c; lengths in characters ---- */

extern RTL_SRWLOCK RtlpDirectoryLock;             /* the current directory in the process's parameters */
NTSTATUS RtlpCopyDirectory(PUNICODE_STRING Copy); /* that, for the caller to free: STATUS_SUCCESS, STATUS_NO_MEMORY */
/* The full name, the object manager's name: RtlFreeUnicodeString. STATUS_NAME_TOO_LONG; STATUS_NO_MEMORY; the latter STATUS_OBJECT_NAME_INVALID. */
NTSTATUS RtlpFullPath(PCWSTR Name, ULONG Length, PUNICODE_STRING Full, PWSTR *FilePart);
NTSTATUS RtlpNtPath(PCWSTR Name, ULONG Length, PUNICODE_STRING NtName);
PWSTR RtlpFilePart(PCUNICODE_STRING Name); /* its last component; NULL: it ends with a backslash */

/* ---- The loader: loader.c, ldrmap.c, ldrimport.c, ldrinit.c, tls.c ---- */

/* One image needs another: while the first is there, so is the second. */
typedef struct _LDRP_NEED {
    struct _LDRP_NEED *Next;
    struct _LDR_DATA_TABLE_ENTRY *Image;
} LDRP_NEED, *PLDRP_NEED;

#define LDRP_IMAGE_DLL         0x00000004 /* Flags, with the values that public debuggers know */
#define LDRP_ENTRY_PROCESSED   0x00004000 /* its turn to be initialised has come */
#define LDRP_DONT_CALL_THREADS 0x00040000
#define LDRP_PROCESS_ATTACHED  0x00080000
#define LDRP_PINNED            0xFFFF /* LoadCount of what stays as long as the process */
#define LDRP_NO_TLS            0xFFFF /* TlsIndex */

/* A loaded image, as public debuggers and the PEB's readers expect it; KLDR_DATA_TABLE_ENTRY's user-mode brother. */
typedef struct _LDR_DATA_TABLE_ENTRY {
    LIST_ENTRY InLoadOrderLinks; /* (i) */
    LIST_ENTRY InMemoryOrderLinks;
    LIST_ENTRY InInitializationOrderLinks; /* (l) empty: not initialised */
    PVOID DllBase;
    PVOID EntryPoint;
    ULONG SizeOfImage;
    UNICODE_STRING FullDllName; /* an NT path */
    UNICODE_STRING BaseDllName;
    ULONG Flags;      /* (l) LDRP_xxx */
    USHORT LoadCount; /* (l) loads by call that were not undone yet; what other images need does not count */
    USHORT TlsIndex;  /* (l) LDRP_NO_TLS: it has no static TLS */
    LIST_ENTRY HashLinks;
    ULONG TimeDateStamp;
    /* Oriel's own */
    PE_VIEW View;
    PLDRP_NEED Needs; /* (l) */
    BOOLEAN Reached;  /* (l) while LdrpSweep looks */
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

extern PEB_LDR_DATA LdrpData;
extern RTL_CRITICAL_SECTION LdrpLock; /* (l) loading, unloading, DllMain; held over calls of DllMain */

/* loader.c. LdrpFindImage takes (i) alone, so that exceptions find images while others load; the rest is called with (l). */
NTSTATUS LdrpInitializeProcess(PVOID NtdllBase);
PLDR_DATA_TABLE_ENTRY LdrpFindImage(ULONG64 Address); /* NULL: in no image */
PLDR_DATA_TABLE_ENTRY LdrpFindName(PCUNICODE_STRING BaseName);
VOID LdrpEnter(PLDR_DATA_TABLE_ENTRY Image);
VOID LdrpRemove(PLDR_DATA_TABLE_ENTRY Image);
/* The image of a name, loaded with all that it needs if it is not there, not initialised; Importer: who needs it, or NULL. */
NTSTATUS LdrpLoad(PCUNICODE_STRING Name, PLDR_DATA_TABLE_ENTRY Importer, PLDR_DATA_TABLE_ENTRY *Image);
NTSTATUS LdrpLoadNarrow(PCSTR Name, ULONG Length, PLDR_DATA_TABLE_ENTRY Importer, PLDR_DATA_TABLE_ENTRY *Image);
BOOLEAN LdrpNeeds(PLDR_DATA_TABLE_ENTRY Image, PLDR_DATA_TABLE_ENTRY Other); /* FALSE: no memory to note it */

/* ldrmap.c: a new entry for a file, mapped and relocated; LdrpUnmap undoes it. Directory empty: it is searched for. */
NTSTATUS LdrpMap(PCUNICODE_STRING Directory, PCUNICODE_STRING Name, PLDR_DATA_TABLE_ENTRY *Image);
VOID LdrpUnmap(PLDR_DATA_TABLE_ENTRY Image);
NTSTATUS LdrpDescribe(PLDR_DATA_TABLE_ENTRY Image, PVOID Base, SIZE_T Size);

/* ldrimport.c */
NTSTATUS LdrpBindImports(PLDR_DATA_TABLE_ENTRY Image);
NTSTATUS LdrpFindExport(PLDR_DATA_TABLE_ENTRY Image, PCSTR Name, ULONG Ordinal, PULONG64 Address);

/* ldrinit.c */
NTSTATUS LdrpInitializeTree(PLDR_DATA_TABLE_ENTRY Image); /* Image and all it needs, what is needed first */
VOID LdrpSweep(VOID);                                     /* unloads what nothing needs any more */
VOID LdrpCallThreads(ULONG Reason);
VOID LdrpShutdown(VOID); /* DLL_PROCESS_DETACH for all */

/* tls.c: with (l) */
NTSTATUS LdrpFindTls(PLDR_DATA_TABLE_ENTRY Image); /* gives it an index, and every thread a block */
VOID LdrpDropTls(PLDR_DATA_TABLE_ENTRY Image);
NTSTATUS LdrpAllocateThreadTls(VOID); /* the calling thread's blocks */
VOID LdrpFreeThreadTls(VOID);
BOOLEAN LdrpIsLastThread(VOID);
VOID LdrpCallTlsCallbacks(PLDR_DATA_TABLE_ENTRY Image, ULONG Reason);

/* ---- process.c, support.c: entered by the kernel's doing ---- */

VOID NTAPI LdrInitializeThunk(PCONTEXT Context, PVOID NtdllBase);
DECLSPEC_NORETURN VOID NTAPI RtlUserThreadStart(NTSTATUS(NTAPI *Routine)(PVOID), PVOID Argument);
DECLSPEC_NORETURN VOID NTAPI RtlpUserException(PEXCEPTION_RECORD Record, PCONTEXT Context); /* from dispatch.asm */
