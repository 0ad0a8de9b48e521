/*
 * peb.h - what the kernel and ntdll.dll share in a program's memory: PEB, TEB, process parameters.
 *
 * Only fields that Oriel fills in have names; the offsets are Windows', which compilers (TEB through GS), the C run-time
 * library and debuggers rely on. Everything here may be overwritten by the program: the kernel reads it with care and
 * believes none of it.
 *
 * Source: winternl.h of the Windows SDK; Microsoft Learn, PEB, TEB and RTL_USER_PROCESS_PARAMETERS; the public symbols of ntdll.
 */
#pragma once

#include <ntos/ntos.h>

typedef struct _ORIEL_CURDIR {
    UNICODE_STRING DosPath;
    HANDLE Handle;
} ORIEL_CURDIR;

/* One block: the structure, then its strings; the environment is a block of its own. */
typedef struct _RTL_USER_PROCESS_PARAMETERS {
    ULONG MaximumLength; /* bytes of the block */
    ULONG Length;        /* bytes in use */
    ULONG Flags;
    ULONG DebugFlags;
    HANDLE ConsoleHandle;
    ULONG ConsoleFlags;
    HANDLE StandardInput, StandardOutput, StandardError;
    ORIEL_CURDIR CurrentDirectory;
    UNICODE_STRING DllPath;
    UNICODE_STRING ImagePathName;
    UNICODE_STRING CommandLine;
    PWSTR Environment; /* NAME=VALUE strings, each with its NUL; an empty one ends them */
    ULONG StartingX, StartingY, CountX, CountY, CountCharsX, CountCharsY, FillAttribute;
    ULONG WindowFlags, ShowWindowFlags;
    UNICODE_STRING WindowTitle, DesktopInfo, ShellInfo, RuntimeData;
} RTL_USER_PROCESS_PARAMETERS, *PRTL_USER_PROCESS_PARAMETERS;
C_ASSERT(FIELD_OFFSET(RTL_USER_PROCESS_PARAMETERS, ImagePathName) == 0x60);
C_ASSERT(FIELD_OFFSET(RTL_USER_PROCESS_PARAMETERS, CommandLine) == 0x70);
C_ASSERT(FIELD_OFFSET(RTL_USER_PROCESS_PARAMETERS, Environment) == 0x80);

#define RTL_USER_PROC_PARAMS_NORMALIZED 0x01 /* pointers are addresses, not offsets */

typedef struct _PEB {
    UCHAR InheritedAddressSpace; /* TRUE: the process began as a copy */
    UCHAR ReadImageFileExecOptions;
    UCHAR BeingDebugged;
    UCHAR Unused3[0x0D];
    PVOID ImageBaseAddress; /* 0x10 */
    PVOID Ldr;              /* 0x18: ntdll's */
    PRTL_USER_PROCESS_PARAMETERS ProcessParameters;
    PVOID SubSystemData;
    PVOID ProcessHeap; /* 0x30: ntdll's */
    PVOID FastPebLock; /* 0x38: ntdll's */
    UCHAR Unused40[0x78];
    ULONG NumberOfProcessors; /* 0xB8 */
    UCHAR UnusedBc[0x54];
    PVOID LoaderLock;     /* 0x110: ntdll's */
    ULONG OSMajorVersion; /* 0x118 */
    ULONG OSMinorVersion;
    USHORT OSBuildNumber;
    USHORT OSCSDVersion;
    ULONG OSPlatformId;
    ULONG ImageSubsystem;
    UCHAR Unused12c[0x194];
    ULONG SessionId; /* 0x2C0 */
    UCHAR Unused2c4[0x0C];
    PVOID NtdllBase; /* Oriel's own, in room that Windows uses for shims: where the kernel mapped ntdll */
} PEB, *PPEB;
C_ASSERT(FIELD_OFFSET(PEB, ImageBaseAddress) == 0x10 && FIELD_OFFSET(PEB, ProcessHeap) == 0x30);
C_ASSERT(FIELD_OFFSET(PEB, NumberOfProcessors) == 0xB8 && FIELD_OFFSET(PEB, OSMajorVersion) == 0x118);
C_ASSERT(FIELD_OFFSET(PEB, SessionId) == 0x2C0);

/* winnt.h's NT_TIB; the DDK headers have one too, under the same name. */
typedef struct _TEB {
    NT_TIB NtTib; /* StackBase, StackLimit; Self is this TEB */
    PVOID EnvironmentPointer;
    CLIENT_ID ClientId; /* 0x40 */
    PVOID ActiveRpcHandle;
    PVOID ThreadLocalStoragePointer; /* 0x58: static TLS blocks by index */
    PPEB ProcessEnvironmentBlock;    /* 0x60 */
    ULONG LastErrorValue;
    ULONG CountOfOwnedCriticalSections;
    UCHAR Unused70[0x11E0];
    NTSTATUS ExceptionCode; /* 0x1250 */
    UCHAR Unused1254[0x224];
    PVOID DeallocationStack; /* 0x1478: the stack's allocation */
    PVOID TlsSlots[64];      /* 0x1480 */
    LIST_ENTRY TlsLinks;
} TEB, *PTEB;
C_ASSERT(FIELD_OFFSET(TEB, ClientId) == 0x40 && FIELD_OFFSET(TEB, ThreadLocalStoragePointer) == 0x58);
C_ASSERT(FIELD_OFFSET(TEB, ProcessEnvironmentBlock) == 0x60 && FIELD_OFFSET(TEB, ExceptionCode) == 0x1250);
C_ASSERT(FIELD_OFFSET(TEB, DeallocationStack) == 0x1478 && FIELD_OFFSET(TEB, TlsSlots) == 0x1480);
