/*
 * zwvm.c - the Zw faces of the virtual-memory services: the same service with kernel mode as the previous mode.
 *
 * Parameters of a Zw call are trusted, and its handles may be kernel handles, whatever mode the thread last came from. The process
 * named may have given the memory to a program all the same: what lies there is never trusted. IRQL: PASSIVE_LEVEL.
 */
#include "../misection.h"
#include "../miprocess.h"

#define MI_AS_KERNEL(Call)                                                                                             \
    do {                                                                                                               \
        KPROCESSOR_MODE Previous = KeSetPreviousMode(KernelMode);                                                      \
        NTSTATUS Status = (Call);                                                                                      \
                                                                                                                       \
        KeSetPreviousMode(Previous);                                                                                   \
        return Status;                                                                                                 \
    } while (0)

NTSTATUS NTAPI ZwAllocateVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress, ULONG_PTR ZeroBits, PSIZE_T RegionSize,
                                       ULONG AllocationType, ULONG Protect)
{
    MI_AS_KERNEL(NtAllocateVirtualMemory(ProcessHandle, BaseAddress, ZeroBits, RegionSize, AllocationType, Protect));
}

NTSTATUS NTAPI ZwFreeVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T RegionSize, ULONG FreeType)
{
    MI_AS_KERNEL(NtFreeVirtualMemory(ProcessHandle, BaseAddress, RegionSize, FreeType));
}

NTSTATUS NTAPI ZwProtectVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T RegionSize, ULONG NewProtect,
                                      PULONG OldProtect)
{
    MI_AS_KERNEL(NtProtectVirtualMemory(ProcessHandle, BaseAddress, RegionSize, NewProtect, OldProtect));
}

NTSTATUS NTAPI ZwQueryVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress, MI_MEMORY_INFORMATION_CLASS Class,
                                    PVOID Buffer, SIZE_T Length, PSIZE_T ReturnLength)
{
    MI_AS_KERNEL(NtQueryVirtualMemory(ProcessHandle, BaseAddress, Class, Buffer, Length, ReturnLength));
}

NTSTATUS NTAPI ZwCreateSection(PHANDLE SectionHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                               PLARGE_INTEGER MaximumSize, ULONG SectionPageProtection, ULONG AllocationAttributes,
                               HANDLE FileHandle)
{
    MI_AS_KERNEL(NtCreateSection(SectionHandle, DesiredAccess, ObjectAttributes, MaximumSize, SectionPageProtection,
                                 AllocationAttributes, FileHandle));
}

NTSTATUS NTAPI ZwOpenSection(PHANDLE SectionHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes)
{
    MI_AS_KERNEL(NtOpenSection(SectionHandle, DesiredAccess, ObjectAttributes));
}

NTSTATUS NTAPI ZwMapViewOfSection(HANDLE SectionHandle, HANDLE ProcessHandle, PVOID *BaseAddress, ULONG_PTR ZeroBits,
                                  SIZE_T CommitSize, PLARGE_INTEGER SectionOffset, PSIZE_T ViewSize,
                                  SECTION_INHERIT InheritDisposition, ULONG AllocationType, ULONG Protect)
{
    MI_AS_KERNEL(NtMapViewOfSection(SectionHandle, ProcessHandle, BaseAddress, ZeroBits, CommitSize, SectionOffset,
                                    ViewSize, InheritDisposition, AllocationType, Protect));
}

NTSTATUS NTAPI ZwUnmapViewOfSection(HANDLE ProcessHandle, PVOID BaseAddress)
{
    MI_AS_KERNEL(NtUnmapViewOfSection(ProcessHandle, BaseAddress));
}
