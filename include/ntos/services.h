/*
 * services.h - system services that the DDK's headers do not declare; src/ke/services.tbl lists all there are.
 *
 * PASSIVE_LEVEL; pointers belong to the caller, in the mode it called from (ntos/user.h).
 */
#pragma once

#include <ntos/ntos.h>

/* ---- src/ke/userframe.c: of ring 3 only ---- */
NTSTATUS NTAPI NtContinue(PCONTEXT Context, BOOLEAN TestAlert);
NTSTATUS NTAPI NtRaiseException(PEXCEPTION_RECORD Record, PCONTEXT Context, BOOLEAN FirstChance);

/* ---- src/ps/exit.c ---- */
NTSTATUS NTAPI NtTerminateProcess(HANDLE Handle, NTSTATUS ExitStatus);
NTSTATUS NTAPI NtTerminateThread(HANDLE Handle, NTSTATUS ExitStatus);

/* ---- src/ps/alert.c ---- */
NTSTATUS NTAPI NtAlertThreadByThreadId(HANDLE UniqueThread);
NTSTATUS NTAPI NtWaitForAlertByThreadId(PVOID Address, PLARGE_INTEGER Timeout);

/* ---- src/ps/threadsvc.c ---- */
NTSTATUS NTAPI NtCreateThreadEx(PHANDLE ThreadHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                                HANDLE ProcessHandle, PVOID StartRoutine, PVOID Argument, ULONG CreateFlags,
                                SIZE_T ZeroBits, SIZE_T StackSize, SIZE_T MaximumStackSize, PVOID AttributeList);
NTSTATUS NTAPI NtQueueApcThread(HANDLE ThreadHandle, PVOID Routine, PVOID Argument1, PVOID Argument2, PVOID Argument3);
NTSTATUS NTAPI NtResumeThread(HANDLE ThreadHandle, PULONG PreviousSuspendCount);
NTSTATUS NTAPI NtSuspendThread(HANDLE ThreadHandle, PULONG PreviousSuspendCount);

/* ---- src/ex/waitobj.c ---- */
NTSTATUS NTAPI NtSignalAndWaitForSingleObject(HANDLE SignalHandle, HANDLE WaitHandle, BOOLEAN Alertable,
                                              PLARGE_INTEGER Timeout);

/* ---- src/io ---- */
NTSTATUS NTAPI NtOpenIoCompletion(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes);
NTSTATUS NTAPI NtSetIoCompletion(HANDLE Handle, PVOID KeyContext, PVOID ApcContext, NTSTATUS IoStatus,
                                 ULONG_PTR IoStatusInformation);
NTSTATUS NTAPI NtQueryAttributesFile(POBJECT_ATTRIBUTES ObjectAttributes, PFILE_BASIC_INFORMATION FileInformation);

/* ---- src/se/adjust.c ---- */
NTSTATUS NTAPI NtAdjustPrivilegesToken(HANDLE TokenHandle, BOOLEAN DisableAllPrivileges, PTOKEN_PRIVILEGES NewState,
                                       ULONG BufferLength, PTOKEN_PRIVILEGES PreviousState, PULONG ReturnLength);

/* ---- src/ke/services.c ---- */
NTSTATUS NTAPI NtDelayExecution(BOOLEAN Alertable, PLARGE_INTEGER Interval);
NTSTATUS NTAPI NtDisplayString(PUNICODE_STRING String);
NTSTATUS NTAPI NtQueryPerformanceCounter(PLARGE_INTEGER Counter, PLARGE_INTEGER Frequency);
NTSTATUS NTAPI NtQuerySystemTime(PLARGE_INTEGER SystemTime);
NTSTATUS NTAPI NtTestAlert(VOID);
NTSTATUS NTAPI NtYieldExecution(VOID);
