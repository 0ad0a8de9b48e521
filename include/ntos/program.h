/*
 * program.h - starting programs (src/ps/program.c, src/ps/image.c).
 *
 * IRQL: PASSIVE_LEVEL for everything.
 */
#pragma once

#include <ntos/ps.h>

/* What is to be started. */
typedef struct _PSP_PROGRAM {
    UNICODE_STRING ImagePath;   /* an NT path */
    UNICODE_STRING CommandLine; /* the whole line, with the program's name first */
    /* What follows may be zero: a default is taken. */
    UNICODE_STRING ImageName; /* what the parameters say: the path */
    UNICODE_STRING Directory, DllPath, WindowTitle, DesktopInfo, ShellInfo;
    PVOID Environment; /* kernel's copy, two NULs at its end */
    ULONG EnvironmentBytes;
    ULONG ConsoleFlags;
    HANDLE Console, DirectoryHandle, Standard[3]; /* input, output, error */
    const struct _PSP_NEW_PROCESS *Process; /* whose child it is and what it inherits; NULL: the caller's, nothing */
    const struct _PSP_WISHES *Wishes;       /* what else is wanted; NULL: nothing */
} PSP_PROGRAM, *PPSP_PROGRAM;

/* An image in a process. */
typedef struct _PSP_IMAGE {
    ULONG64 Base;   /* where it is */
    ULONG Size;     /* bytes */
    ULONG EntryRva; /* 0: none */
    ULONG Subsystem;
    BOOLEAN IsDll;
    SIZE_T StackReserve, StackCommit;
    SECTION_IMAGE_INFORMATION Information;
} PSP_IMAGE, *PPSP_IMAGE;

/* An export whose address is wanted. */
typedef struct _PSP_EXPORT {
    PCSTR Name;
    PULONG64 Address;
} PSP_EXPORT, *PPSP_EXPORT;

VOID PspInitializePrograms(VOID); /* phase 1 */
NTSTATUS PspCreateProgram(const PSP_PROGRAM *Program, PEPROCESS *Process, PETHREAD *Thread);
NTSTATUS PspOpenImage(PCUNICODE_STRING Path, PVOID *Section); /* the image section of a file, referenced */
NTSTATUS PspMapSection(PEPROCESS Process, PVOID Section, PPSP_IMAGE Image);
NTSTATUS PspMapDll(PEPROCESS Process, PCUNICODE_STRING Path, PPSP_IMAGE Image, PPSP_EXPORT Exports, ULONG Count);

/* Asks a process other than the system's to end. FALSE: it was ending. */
BOOLEAN PspTerminateProcess(PEPROCESS Process, NTSTATUS ExitStatus);

/* The job of a caller's handle, referenced. PASSIVE_LEVEL. (src/ps/jobsvc.c) */
struct _PSP_JOB;
NTSTATUS PspReferenceJob(HANDLE Handle, ACCESS_MASK Access, struct _PSP_JOB **Job);
