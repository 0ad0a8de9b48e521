/*
 * sysimage.h - drivers' images that are loaded and unloaded at run time (src/mm/system/sysimage.c, src/mm/system/sysbind.c).
 */
#pragma once

#include <ntos/ke.h>

/* Loading, unloading and binding, one at a time; held shared by whoever walks PsLoadedModuleList. */
extern ERESOURCE PsLoadedModuleResource;

/**
 * MmLoadSystemImage - reads a driver from its file, maps, relocates and binds it.
 *
 * @Path     full path in the namespace
 * @Image    gets its entry in PsLoadedModuleList; its entry point has not been called
 * returns   STATUS_SUCCESS; what opening and reading the file says; STATUS_INVALID_IMAGE_FORMAT: damaged, not native, or
 *           not for x86-64; STATUS_DRIVER_ENTRYPOINT_NOT_FOUND, STATUS_DRIVER_ORDINAL_NOT_FOUND: an import that nobody exports
 *           (the console names it); STATUS_IMAGE_ALREADY_LOADED; STATUS_INSUFFICIENT_RESOURCES
 *
 * IRQL: PASSIVE_LEVEL, system process. Locks: PsLoadedModuleResource, and those of file systems before it.
 */
NTSTATUS MmLoadSystemImage(PCUNICODE_STRING Path, PKLDR_DATA_TABLE_ENTRY *Image);

/* Gives an image of MmLoadSystemImage back. Nothing may run in it or point to it any more. PASSIVE_LEVEL. */
VOID MmUnloadSystemImage(PKLDR_DATA_TABLE_ENTRY Image);

/* Frees the pages that only initialization needs: discardable sections, and the one called INIT. PASSIVE_LEVEL. */
VOID MmFreeDriverInitialization(PKLDR_DATA_TABLE_ENTRY Image);

/* Images loaded, and pages they have mapped, now; for tests. IRQL: any. */
typedef struct _MM_IMAGE_COUNTERS {
    LONG64 Images;
    LONG64 Pages;
} MM_IMAGE_COUNTERS, *PMM_IMAGE_COUNTERS;

VOID MmQueryImageCounters(PMM_IMAGE_COUNTERS Counters);
