/*
 * vmsvc.h - what the services of virtual memory and sections pass to and from their callers.
 *
 * Shared by the kernel and by ntdll's users; layouts are those that Windows documents for 64 bits. The services themselves are
 * documented at their definitions in src/mm.
 */
#pragma once

#include <ntos/ntos.h>

/* Attributes and allocation types that the DDK's kernel headers leave out; values as in winnt.h. */
#ifndef SEC_IMAGE
#define SEC_FILE        0x00800000
#define SEC_IMAGE       0x01000000
#define SEC_NOCACHE     0x10000000
#define MEM_IMAGE       SEC_IMAGE
#define MEM_WRITE_WATCH 0x00200000
#endif
#ifndef SEC_WRITECOMBINE
#define SEC_WRITECOMBINE 0x40000000
#endif

/* ---- Sections ---- */

typedef enum _SECTION_INFORMATION_CLASS {
    SectionBasicInformation,
    SectionImageInformation,
    SectionRelocationInformation,  /* LONG_PTR: what was added to the preferred base */
    SectionOriginalBaseInformation /* PVOID: the preferred base */
} SECTION_INFORMATION_CLASS;

typedef struct _SECTION_BASIC_INFORMATION {
    PVOID BaseAddress;          /* NULL: sections have no address of their own */
    ULONG AllocationAttributes; /* SEC_... */
    LARGE_INTEGER MaximumSize;  /* bytes */
} SECTION_BASIC_INFORMATION, *PSECTION_BASIC_INFORMATION;
C_ASSERT(sizeof(SECTION_BASIC_INFORMATION) == 24);

typedef struct _SECTION_IMAGE_INFORMATION {
    PVOID TransferAddress; /* entry point at the address that the section is relocated for; NULL: none */
    ULONG ZeroBits;
    SIZE_T MaximumStackSize, CommittedStackSize;
    ULONG SubSystemType;
    USHORT SubSystemMinorVersion, SubSystemMajorVersion;
    USHORT MajorOperatingSystemVersion, MinorOperatingSystemVersion;
    USHORT ImageCharacteristics, DllCharacteristics, Machine;
    BOOLEAN ImageContainsCode;
    UCHAR ImageFlags;
    ULONG LoaderFlags, ImageFileSize, CheckSum;
} SECTION_IMAGE_INFORMATION, *PSECTION_IMAGE_INFORMATION;
C_ASSERT(sizeof(SECTION_IMAGE_INFORMATION) == 64);

NTSTATUS NTAPI NtOpenSection(PHANDLE SectionHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes);
NTSTATUS NTAPI NtMapViewOfSection(HANDLE SectionHandle, HANDLE ProcessHandle, PVOID *BaseAddress, ULONG_PTR ZeroBits,
                                  SIZE_T CommitSize, PLARGE_INTEGER SectionOffset, PSIZE_T ViewSize,
                                  SECTION_INHERIT InheritDisposition, ULONG AllocationType, ULONG Protect);
NTSTATUS NTAPI NtUnmapViewOfSection(HANDLE ProcessHandle, PVOID BaseAddress);
NTSTATUS NTAPI NtExtendSection(HANDLE SectionHandle, PLARGE_INTEGER NewSectionSize);
NTSTATUS NTAPI NtQuerySection(HANDLE SectionHandle, SECTION_INFORMATION_CLASS Class, PVOID Buffer, SIZE_T Length,
                              PSIZE_T ReturnLength);
