/*
 * uisol.h - between the files of the suite of isolation.
 */
#pragma once

#include "../ktap.h"
#include <ntos/sysinfo.h>

#define SELF L"\\SystemRoot\\System\\uisol.exe"

/* An address of the kernel's that programs can watch: the last bytes of the page of KUSER_SHARED_DATA, which nothing uses. */
#define WATCHED_KERNEL ((PVOID)0xFFFFF78000000F00ULL)
#define WATCHED_USER   ((const volatile ULONG64 *)0x7FFE0F00ULL)
#define WATCHED_WORDS  (0x100 / sizeof(ULONG64))

/* What a child writes into all memory it can get, before it ends. */
#define DIRT 0x5EC2E7A05EC2E7A0ULL

/* fresh.c */
VOID DirtyMemory(VOID); /* in the child */
ULONG FreshPages(VOID);
ULONG FreshSections(VOID);
ULONG FreshStack(VOID);
ULONG FreshImage(VOID);
ULONG FreshTails(VOID);
ULONG FreshLarge(VOID);

/* told.c */
ULONG ToldBySystem(VOID);
ULONG ToldByProcesses(VOID);
ULONG ToldByObjects(VOID);
ULONG ToldByMemory(VOID);

/* pointers.c */
ULONG KernelPointers(VOID);
