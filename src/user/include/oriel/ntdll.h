/*
 * ntdll.h - exports of ntdll.dll that neither the DDK's headers nor the kernel's own declare.
 *
 * Contracts are at the definitions in src/user/ntdll.
 */
#pragma once

#include <ntos/cm.h>
#include <ntos/ex.h>
#include <ntos/io.h>
#include <ntos/mm.h>
#include <ntos/ob.h>
#include <ntos/peb.h>
#include <ntos/ps.h>
#include <ntos/rtl.h>
#include <ntos/services.h>
#include <ntos/vmsvc.h>

#ifndef DLL_PROCESS_ATTACH
#define DLL_PROCESS_DETACH 0
#define DLL_PROCESS_ATTACH 1
#define DLL_THREAD_ATTACH  2
#define DLL_THREAD_DETACH  3
#endif

/* ---- The loader (loader.c, ldrimport.c) ---- */

/* IMAGE_DELAYLOAD_DESCRIPTOR of winnt.h; RVAs in the image that has it. */
typedef struct _ORIEL_DELAYLOAD_DESCRIPTOR {
    ULONG Attributes;
    ULONG DllNameRva;
    ULONG ModuleHandleRva;
    ULONG ImportAddressTableRva;
    ULONG ImportNameTableRva;
    ULONG BoundImportAddressTableRva;
    ULONG UnloadInformationTableRva;
    ULONG TimeDateStamp;
} ORIEL_DELAYLOAD_DESCRIPTOR;

NTSTATUS NTAPI LdrAddRefDll(ULONG Flags, PVOID Base);
NTSTATUS NTAPI LdrDisableThreadCalloutsForDll(PVOID Base);
NTSTATUS NTAPI LdrLoadDll(PWSTR Path, PULONG Characteristics, PUNICODE_STRING Name, PVOID *Base);
PVOID NTAPI LdrResolveDelayLoadedAPI(PVOID Base, const ORIEL_DELAYLOAD_DESCRIPTOR *Descriptor, PVOID FailureHook,
                                     PVOID SystemHook, PVOID *Slot, ULONG Flags);
NTSTATUS NTAPI LdrUnloadDll(PVOID Base);
NTSTATUS NTAPI LdrGetDllHandle(PWSTR Path, PULONG Characteristics, PUNICODE_STRING Name, PVOID *Base);
NTSTATUS NTAPI LdrGetProcedureAddress(PVOID Base, PANSI_STRING Name, ULONG Ordinal, PVOID *Address);

/* ---- Copies of the process (clone.c) ---- */

#ifndef RTL_CLONE_PROCESS_FLAGS_CREATE_SUSPENDED
#define RTL_CLONE_PROCESS_FLAGS_CREATE_SUSPENDED 0x1
#define RTL_CLONE_PROCESS_FLAGS_INHERIT_HANDLES  0x2
#define RTL_CLONE_PROCESS_FLAGS_NO_SYNCHRONIZE   0x4
#endif

/* ---- Contexts with extended state (extended.c) ---- */

ULONG64 NTAPI RtlGetExtendedFeaturesMask(PCONTEXT_EX ContextEx);
NTSTATUS NTAPI RtlGetExtendedContextLength(ULONG ContextFlags, PULONG ContextLength);
NTSTATUS NTAPI RtlInitializeExtendedContext(PVOID Context, ULONG ContextFlags, PCONTEXT_EX *ContextEx);
PVOID NTAPI RtlLocateExtendedFeature(PCONTEXT_EX ContextEx, ULONG FeatureId, PULONG Length);
PCONTEXT NTAPI RtlLocateLegacyContext(PCONTEXT_EX ContextEx, PULONG Length);
VOID NTAPI RtlSetExtendedFeaturesMask(PCONTEXT_EX ContextEx, ULONG64 FeatureMask);

struct _LDR_DATA_TABLE_ENTRY;
typedef VOID(NTAPI *PLDR_ENUM_CALLBACK)(struct _LDR_DATA_TABLE_ENTRY *Image, PVOID Context, BOOLEAN *Stop);
NTSTATUS NTAPI LdrLockLoaderLock(ULONG Flags, PULONG Disposition, PULONG_PTR Cookie);
NTSTATUS NTAPI LdrUnlockLoaderLock(ULONG Flags, ULONG_PTR Cookie);
NTSTATUS NTAPI LdrEnumerateLoadedModules(ULONG Flag, PLDR_ENUM_CALLBACK Callback, PVOID Context);

DECLSPEC_NORETURN VOID NTAPI RtlExitUserProcess(NTSTATUS ExitStatus);
DECLSPEC_NORETURN VOID NTAPI RtlExitUserThread(NTSTATUS ExitStatus);
PPEB NTAPI RtlGetCurrentPeb(VOID);

SIZE_T NTAPI RtlCompactHeap(PVOID HeapHandle, ULONG Flags);
ULONG NTAPI RtlGetProcessHeaps(ULONG Count, PVOID *Heaps);
BOOLEAN NTAPI RtlLockHeap(PVOID HeapHandle);
PVOID NTAPI RtlReAllocateHeap(PVOID HeapHandle, ULONG Flags, PVOID Address, SIZE_T Size);
SIZE_T NTAPI RtlSizeHeap(PVOID HeapHandle, ULONG Flags, PVOID Address);
BOOLEAN NTAPI RtlValidateHeap(PVOID HeapHandle, ULONG Flags, PVOID Address);
BOOLEAN NTAPI RtlUnlockHeap(PVOID HeapHandle);

/* ---- Locks (critsect.c, srwlock.c, park.c); winnt.h has the structures too ---- */

#ifndef RTL_SRWLOCK_INIT
typedef struct _RTL_CRITICAL_SECTION {
    PVOID DebugInfo; /* not used: (PVOID)-1 */
    LONG LockCount;
    LONG RecursionCount;
    HANDLE OwningThread;
    HANDLE LockSemaphore;
    ULONG_PTR SpinCount;
} RTL_CRITICAL_SECTION, *PRTL_CRITICAL_SECTION;
C_ASSERT(sizeof(RTL_CRITICAL_SECTION) == 40);

typedef struct _RTL_SRWLOCK {
    PVOID Ptr;
} RTL_SRWLOCK, *PRTL_SRWLOCK;

typedef struct _RTL_CONDITION_VARIABLE {
    PVOID Ptr;
} RTL_CONDITION_VARIABLE, *PRTL_CONDITION_VARIABLE;

#define RTL_SRWLOCK_INIT                       {0}
#define RTL_CONDITION_VARIABLE_INIT            {0}
#define RTL_CONDITION_VARIABLE_LOCKMODE_SHARED 0x1
#define RTL_CRITICAL_SECTION_ALL_FLAG_BITS     0xFF000000u
#endif

NTSTATUS NTAPI RtlInitializeCriticalSection(PRTL_CRITICAL_SECTION Section);
NTSTATUS NTAPI RtlInitializeCriticalSectionAndSpinCount(PRTL_CRITICAL_SECTION Section, ULONG SpinCount);
NTSTATUS NTAPI RtlInitializeCriticalSectionEx(PRTL_CRITICAL_SECTION Section, ULONG SpinCount, ULONG Flags);
ULONG NTAPI RtlSetCriticalSectionSpinCount(PRTL_CRITICAL_SECTION Section, ULONG SpinCount);
NTSTATUS NTAPI RtlDeleteCriticalSection(PRTL_CRITICAL_SECTION Section);
NTSTATUS NTAPI RtlEnterCriticalSection(PRTL_CRITICAL_SECTION Section);
BOOLEAN NTAPI RtlTryEnterCriticalSection(PRTL_CRITICAL_SECTION Section);
NTSTATUS NTAPI RtlLeaveCriticalSection(PRTL_CRITICAL_SECTION Section);
BOOLEAN NTAPI RtlIsCriticalSectionLocked(PRTL_CRITICAL_SECTION Section);
BOOLEAN NTAPI RtlIsCriticalSectionLockedByThread(PRTL_CRITICAL_SECTION Section);

VOID NTAPI RtlInitializeSRWLock(PRTL_SRWLOCK Lock);
VOID NTAPI RtlAcquireSRWLockExclusive(PRTL_SRWLOCK Lock);
VOID NTAPI RtlAcquireSRWLockShared(PRTL_SRWLOCK Lock);
BOOLEAN NTAPI RtlTryAcquireSRWLockExclusive(PRTL_SRWLOCK Lock);
BOOLEAN NTAPI RtlTryAcquireSRWLockShared(PRTL_SRWLOCK Lock);
VOID NTAPI RtlReleaseSRWLockExclusive(PRTL_SRWLOCK Lock);
VOID NTAPI RtlReleaseSRWLockShared(PRTL_SRWLOCK Lock);

VOID NTAPI RtlInitializeConditionVariable(PRTL_CONDITION_VARIABLE Variable);
NTSTATUS NTAPI RtlSleepConditionVariableCS(PRTL_CONDITION_VARIABLE Variable, PRTL_CRITICAL_SECTION Section,
                                           PLARGE_INTEGER Timeout);
NTSTATUS NTAPI RtlSleepConditionVariableSRW(PRTL_CONDITION_VARIABLE Variable, PRTL_SRWLOCK Lock, PLARGE_INTEGER Timeout,
                                            ULONG Flags);
VOID NTAPI RtlWakeConditionVariable(PRTL_CONDITION_VARIABLE Variable);
VOID NTAPI RtlWakeAllConditionVariable(PRTL_CONDITION_VARIABLE Variable);

NTSTATUS NTAPI RtlWaitOnAddress(const volatile VOID *Address, PVOID Compare, SIZE_T Size, PLARGE_INTEGER Timeout);
VOID NTAPI RtlWakeAddressSingle(PVOID Address);
VOID NTAPI RtlWakeAddressAll(PVOID Address);

/* ---- Exceptions (vectored.c) ---- */

#ifndef _WINNT_
typedef LONG(NTAPI *PVECTORED_EXCEPTION_HANDLER)(struct _EXCEPTION_POINTERS *Pointers);
#endif

PVOID NTAPI RtlAddVectoredExceptionHandler(ULONG First, PVECTORED_EXCEPTION_HANDLER Handler);
ULONG NTAPI RtlRemoveVectoredExceptionHandler(PVOID Handle);
PVOID NTAPI RtlAddVectoredContinueHandler(ULONG First, PVECTORED_EXCEPTION_HANDLER Handler);
ULONG NTAPI RtlRemoveVectoredContinueHandler(PVOID Handle);
PVECTORED_EXCEPTION_HANDLER NTAPI RtlSetUnhandledExceptionFilter(PVECTORED_EXCEPTION_HANDLER Filter);
LONG NTAPI RtlUnhandledExceptionFilter(struct _EXCEPTION_POINTERS *Pointers);

/* ---- Environments, threads (environ.c) ---- */

NTSTATUS NTAPI RtlCreateEnvironment(BOOLEAN Inherit, PWSTR *Environment);
NTSTATUS NTAPI RtlDestroyEnvironment(PWSTR Environment);
NTSTATUS NTAPI RtlQueryEnvironmentVariable_U(PWSTR Environment, PUNICODE_STRING Name, PUNICODE_STRING Value);
NTSTATUS NTAPI RtlSetEnvironmentVariable(PWSTR *Environment, PUNICODE_STRING Name, PUNICODE_STRING Value);
NTSTATUS NTAPI RtlCreateUserThread(HANDLE Process, PSECURITY_DESCRIPTOR SecurityDescriptor, BOOLEAN Suspended,
                                   ULONG ZeroBits, SIZE_T Reserve, SIZE_T Commit, PVOID Routine, PVOID Argument,
                                   PHANDLE Thread, PCLIENT_ID ClientId);

NTSTATUS NTAPI RtlExpandEnvironmentStrings(PVOID Environment, PCWSTR Source, SIZE_T SourceLength, PWSTR Destination,
                                           SIZE_T DestinationLength, PSIZE_T ReturnLength);
NTSTATUS NTAPI RtlExpandEnvironmentStrings_U(PVOID Environment, PCUNICODE_STRING Source, PUNICODE_STRING Destination,
                                             PULONG ReturnedLength);

/* ---- Names of files, the current directory (dospath.c, curdir.c) ---- */

typedef enum _RTL_PATH_TYPE {
    RtlPathTypeUnknown,
    RtlPathTypeUncAbsolute,
    RtlPathTypeDriveAbsolute,
    RtlPathTypeDriveRelative,
    RtlPathTypeRooted,
    RtlPathTypeRelative,
    RtlPathTypeLocalDevice,
    RtlPathTypeRootLocalDevice
} RTL_PATH_TYPE;

typedef struct _RTL_RELATIVE_NAME_U {
    UNICODE_STRING RelativeName; /* empty: there is none */
    HANDLE ContainingDirectory;
    PVOID CurDirRef;
} RTL_RELATIVE_NAME_U, *PRTL_RELATIVE_NAME_U;

RTL_PATH_TYPE NTAPI RtlDetermineDosPathNameType_U(PCWSTR DosFileName);
BOOLEAN NTAPI RtlDosPathNameToNtPathName_U(PCWSTR DosPathName, PUNICODE_STRING NtPathName, PWSTR *FilePart,
                                           PRTL_RELATIVE_NAME_U RelativeName);
NTSTATUS NTAPI RtlDosPathNameToNtPathName_U_WithStatus(PCWSTR DosPathName, PUNICODE_STRING NtPathName, PWSTR *FilePart,
                                                       PRTL_RELATIVE_NAME_U RelativeName);
ULONG NTAPI RtlGetCurrentDirectory_U(ULONG BufferLength, PWSTR Buffer);
ULONG NTAPI RtlGetFullPathName_U(PCWSTR FileName, ULONG BufferLength, PWSTR Buffer, PWSTR *FilePart);
NTSTATUS NTAPI RtlSetCurrentDirectory_U(PCUNICODE_STRING Path);

/* ---- Process parameters (procparam.c) ---- */

typedef struct _RTL_USER_PROCESS_INFORMATION {
    ULONG Length;
    HANDLE ProcessHandle, ThreadHandle;
    CLIENT_ID ClientId;
    SECTION_IMAGE_INFORMATION ImageInformation; /* not filled in */
} RTL_USER_PROCESS_INFORMATION, *PRTL_USER_PROCESS_INFORMATION;

NTSTATUS NTAPI RtlCloneUserProcess(ULONG ProcessFlags, PSECURITY_DESCRIPTOR ProcessSecurityDescriptor,
                                   PSECURITY_DESCRIPTOR ThreadSecurityDescriptor, HANDLE DebugPort,
                                   PRTL_USER_PROCESS_INFORMATION ProcessInformation);

PRTL_USER_PROCESS_PARAMETERS NTAPI RtlNormalizeProcessParams(PRTL_USER_PROCESS_PARAMETERS Block);
PRTL_USER_PROCESS_PARAMETERS NTAPI RtlDeNormalizeProcessParams(PRTL_USER_PROCESS_PARAMETERS Block);
NTSTATUS NTAPI RtlCreateProcessParametersEx(PRTL_USER_PROCESS_PARAMETERS *Parameters, PUNICODE_STRING ImagePathName,
                                            PUNICODE_STRING DllPath, PUNICODE_STRING CurrentDirectory,
                                            PUNICODE_STRING CommandLine, PVOID Environment, PUNICODE_STRING WindowTitle,
                                            PUNICODE_STRING DesktopInfo, PUNICODE_STRING ShellInfo,
                                            PUNICODE_STRING RuntimeData, ULONG Flags);
NTSTATUS NTAPI RtlDestroyProcessParameters(PRTL_USER_PROCESS_PARAMETERS Parameters);
NTSTATUS NTAPI RtlCreateUserProcess(PUNICODE_STRING ImageFileName, ULONG Attributes,
                                    PRTL_USER_PROCESS_PARAMETERS ProcessParameters, PVOID ProcessDescriptor,
                                    PVOID ThreadDescriptor, HANDLE Parent, BOOLEAN InheritHandles, HANDLE DebugPort,
                                    HANDLE Token, PRTL_USER_PROCESS_INFORMATION Information);

#include <oriel/threadpool.h>

/* ---- Text ---- */

int __cdecl _snprintf(char *Buffer, size_t Count, const char *Format, ...);
int __cdecl _vsnprintf(char *Buffer, size_t Count, const char *Format, va_list Arguments);
int __cdecl sprintf(char *Buffer, const char *Format, ...);
