/*
 * sysimage.h - what sysimage.c and sysbind.c share.
 */
#pragma once

#include <ntos/peimage.h>
#include <ntos/sysimage.h>

#define MI_TAG_IMAGE       'gmIM'
#define MI_IMAGE_IMPORTERS 16U /* modules one driver may import from: a handful is usual */

/* A loaded image. Fields are constant once it is on PsLoadedModuleList, but for what is marked (m): PsLoadedModuleResource. */
typedef struct _MI_SYSTEM_IMAGE {
    KLDR_DATA_TABLE_ENTRY Entry; /* first; its LoadCount (m) is 1 and one for each image that imports from it */
    PE_VIEW View;
    ULONG ImportCount;
    PKLDR_DATA_TABLE_ENTRY Imports[MI_IMAGE_IMPORTERS]; /* run-time images it holds a count of */
    WCHAR Path[1];                                      /* FullDllName's text, of which BaseDllName's is the end */
} MI_SYSTEM_IMAGE, *PMI_SYSTEM_IMAGE;

FORCEINLINE BOOLEAN MiIsSystemImage(PKLDR_DATA_TABLE_ENTRY Entry)
{
    return (ULONG64)Entry->DllBase - MM_DRIVER_IMAGE_BASE < MM_DRIVER_IMAGE_SIZE;
}

/* Fills in the import table of a mapped, writable image and counts what it imports from. Resource held. (sysbind.c) */
NTSTATUS MiBindImports(PMI_SYSTEM_IMAGE Image);
/* Gives those counts back. Resource held. (sysbind.c) */
VOID MiReleaseImports(PMI_SYSTEM_IMAGE Image);
VOID MiDereferenceImage(PKLDR_DATA_TABLE_ENTRY Entry); /* (sysimage.c) */
/* The entry whose base name is Name, without regard to case; hal.dll is the kernel. Resource held. (sysbind.c) */
PKLDR_DATA_TABLE_ENTRY MiFindModule(PCSTR Name);
