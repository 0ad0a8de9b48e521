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

#ifndef MEM_RESET_UNDO
#define MEM_RESET_UNDO 0x01000000
#endif
#ifndef MEM_RESERVE_PLACEHOLDER
#define MEM_COALESCE_PLACEHOLDERS 0x00000001 /* with MEM_RELEASE */
#define MEM_PRESERVE_PLACEHOLDER  0x00000002 /* with MEM_RELEASE, or NtUnmapViewOfSectionEx */
#define MEM_REPLACE_PLACEHOLDER   0x00004000
#define MEM_RESERVE_PLACEHOLDER   0x00040000
#endif

/* ---- NtQueryVirtualMemory ---- */

typedef union _MEMORY_WORKING_SET_BLOCK {
    ULONG_PTR Flags;
    struct {
        ULONG_PTR Protection : 5; /* three bits of access, 8: not cached, 16: guard */
        ULONG_PTR ShareCount : 3; /* at most 7 */
        ULONG_PTR Shared : 1, Node : 3, VirtualPage : 52;
    };
} MEMORY_WORKING_SET_BLOCK;

typedef struct _MEMORY_WORKING_SET_INFORMATION {
    ULONG_PTR NumberOfEntries; /* also when the buffer has no room for them */
    MEMORY_WORKING_SET_BLOCK WorkingSetInfo[];
} MEMORY_WORKING_SET_INFORMATION, *PMEMORY_WORKING_SET_INFORMATION;

typedef struct _MEMORY_REGION_INFORMATION {
    PVOID AllocationBase;
    ULONG AllocationProtect;
    union {
        ULONG RegionType;
        struct {
            ULONG Private : 1, MappedDataFile : 1, MappedImage : 1, MappedPageFile : 1, MappedPhysical : 1,
                DirectMapped : 1, SoftwareEnclave : 1, PageSize64K : 1, PlaceholderReservation : 1, Reserved : 23;
        };
    };
    SIZE_T RegionSize; /* bytes of the whole allocation */
    SIZE_T CommitSize; /* bytes charged for it */
} MEMORY_REGION_INFORMATION, *PMEMORY_REGION_INFORMATION;
C_ASSERT(sizeof(MEMORY_REGION_INFORMATION) == 32);

typedef struct _MEMORY_SHARED_COMMIT_INFORMATION {
    SIZE_T CommitSize; /* bytes charged for sections without a file of which the process has views, each section once */
} MEMORY_SHARED_COMMIT_INFORMATION, *PMEMORY_SHARED_COMMIT_INFORMATION;
C_ASSERT(sizeof(MEMORY_SHARED_COMMIT_INFORMATION) == 8);

typedef union _MEMORY_WORKING_SET_EX_BLOCK {
    ULONG_PTR Flags;
    struct {
        ULONG_PTR Valid : 1, ShareCount : 3, Win32Protection : 11, Shared : 1, Node : 6, Locked : 1, LargePage : 1,
            Priority : 3, Reserved : 3, SharedOriginal : 1, Bad : 1, Spare : 32;
    };
} MEMORY_WORKING_SET_EX_BLOCK;

typedef struct _MEMORY_WORKING_SET_EX_INFORMATION {
    PVOID VirtualAddress; /* in */
    MEMORY_WORKING_SET_EX_BLOCK VirtualAttributes;
} MEMORY_WORKING_SET_EX_INFORMATION, *PMEMORY_WORKING_SET_EX_INFORMATION;
C_ASSERT(sizeof(MEMORY_WORKING_SET_EX_INFORMATION) == 16);

typedef struct _MEMORY_IMAGE_INFORMATION {
    PVOID ImageBase;
    SIZE_T SizeOfImage;
    union {
        ULONG ImageFlags;
        struct {
            ULONG ImagePartialMap : 1, ImageNotExecutable : 1, ImageSigningLevel : 4, Reserved : 26;
        };
    };
} MEMORY_IMAGE_INFORMATION, *PMEMORY_IMAGE_INFORMATION;
C_ASSERT(sizeof(MEMORY_IMAGE_INFORMATION) == 24);

/* ---- Other services of virtual memory ---- */

#define MAP_PROCESS 1 /* NtLockVirtualMemory: into the working set */
#define MAP_SYSTEM  2 /* into memory: needs SeLockMemoryPrivilege */

#ifndef WRITE_WATCH_FLAG_RESET
#define WRITE_WATCH_FLAG_RESET 1
#endif

/* One parameter of NtAllocateVirtualMemoryEx and NtMapViewOfSectionEx; layouts of MEM_EXTENDED_PARAMETER and MEM_ADDRESS_REQUIREMENTS. */
typedef struct _VM_EXTENDED_PARAMETER {
    ULONG64 Type : 8, Reserved : 56; /* VM_PARAMETER_... */
    union {
        ULONG64 Value;
        PVOID Pointer;
    };
} VM_EXTENDED_PARAMETER, *PVM_EXTENDED_PARAMETER;
#define VM_PARAMETER_ADDRESS_REQUIREMENTS 1
#define VM_PARAMETER_NUMA_NODE            2

typedef struct _VM_ADDRESS_REQUIREMENTS {
    PVOID LowestStartingAddress, HighestEndingAddress; /* multiples of 64 KB, and of 64 KB less 1; NULL: any */
    SIZE_T Alignment;                                  /* power of two from 64 KB on; 0: 64 KB */
} VM_ADDRESS_REQUIREMENTS, *PVM_ADDRESS_REQUIREMENTS;

NTSTATUS NTAPI NtReadVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress, PVOID Buffer, SIZE_T Bytes, PSIZE_T Read);
NTSTATUS NTAPI NtWriteVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress, PVOID Buffer, SIZE_T Bytes,
                                    PSIZE_T Written);
NTSTATUS NTAPI NtLockVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T RegionSize, ULONG MapType);
NTSTATUS NTAPI NtUnlockVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T RegionSize, ULONG MapType);
NTSTATUS NTAPI NtFlushVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T RegionSize,
                                    PIO_STATUS_BLOCK IoStatus);
NTSTATUS NTAPI NtGetWriteWatch(HANDLE ProcessHandle, ULONG Flags, PVOID BaseAddress, SIZE_T RegionSize,
                               PVOID *Addresses, PULONG_PTR Entries, PULONG Granularity);
NTSTATUS NTAPI NtResetWriteWatch(HANDLE ProcessHandle, PVOID BaseAddress, SIZE_T RegionSize);
NTSTATUS NTAPI NtAllocateVirtualMemoryEx(HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T RegionSize,
                                         ULONG AllocationType, ULONG Protect, PVM_EXTENDED_PARAMETER Parameters,
                                         ULONG Count);
NTSTATUS NTAPI NtMapViewOfSectionEx(HANDLE SectionHandle, HANDLE ProcessHandle, PVOID *BaseAddress,
                                    PLARGE_INTEGER SectionOffset, PSIZE_T ViewSize, ULONG AllocationType, ULONG Protect,
                                    PVM_EXTENDED_PARAMETER Parameters, ULONG Count);
NTSTATUS NTAPI NtUnmapViewOfSectionEx(HANDLE ProcessHandle, PVOID BaseAddress, ULONG Flags);

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
