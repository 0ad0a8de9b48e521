/*
 * physsect.c - \Device\PhysicalMemory: a section whose pages are those of the machine.
 *
 * Only SYSTEM may open it. A view (userview.c) begins at any page and shows either pages that are no RAM, or RAM that somebody uses,
 * read or written as section access and view allow, never executed:
 *
 *   - a device's pages have the cache type of the driver that maps them, none is cached without one; as long as the view is there, nobody maps
 *     them otherwise (iospace.c);
 *   - a frame of RAM keeps its own cache type. The view holds a reference on it, like an MDL: whoever owns the frame may give it up meanwhile, but
 *     it goes to nobody else before the view goes, so what a view shows never becomes a page table;
 *   - a frame that is a page table now is refused (STATUS_ACCESS_DENIED), as is one that nobody uses, which could become anything
 *     (STATUS_INVALID_ADDRESS).
 *
 * The PTEs are aliases: no shares, no entries of the working-set list. They lie in the user half, so exposure does not count them.
 *
 * Locks: none of its own. IRQL: PASSIVE_LEVEL.
 *
 * Source: "\Device\PhysicalMemory" and ZwMapViewOfSection in the Windows driver documentation.
 */
#include "../misection.h"
#include "../miprocess.h"
#include <ntos/se.h>

#define MI_PHYSICAL_NAME L"\\Device\\PhysicalMemory"
#define MI_ADDRESS_LEAF  0x80000008 /* CPUID: EAX bits 0-7 are the bits of a physical address */
#define MI_PHYSICAL_ACL  64         /* bytes: one ACE with SYSTEM's SID */

static ULONG64 MiPhysicalBytes(VOID)
{
    int Registers[4];

    __cpuid(Registers, (int)MI_ADDRESS_LEAF);
    return 1ULL << (Registers[0] & 0xFF);
}

NTSTATUS MmInitializePhysicalMemory(VOID)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(MI_PHYSICAL_NAME);
    ULONG64 Space[MI_PHYSICAL_ACL / sizeof(ULONG64)];
    PACL Acl = (PACL)Space;
    SECURITY_DESCRIPTOR Descriptor;
    OBJECT_ATTRIBUTES Attributes;
    PSECTION Section;
    HANDLE Handle;
    NTSTATUS Status = RtlCreateSecurityDescriptor(&Descriptor, SECURITY_DESCRIPTOR_REVISION);

    if (NT_SUCCESS(Status)) {
        Status = RtlCreateAcl(Acl, MI_PHYSICAL_ACL, ACL_REVISION);
    }
    if (NT_SUCCESS(Status)) {
        Status = RtlAddAccessAllowedAce(Acl, ACL_REVISION, SECTION_ALL_ACCESS, SeExports->SeLocalSystemSid);
    }
    if (NT_SUCCESS(Status)) {
        Status = RtlSetDaclSecurityDescriptor(&Descriptor, TRUE, Acl, FALSE);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    InitializeObjectAttributes(&Attributes, &Name, OBJ_PERMANENT | OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, NULL,
                               &Descriptor);
    Status = ObCreateObject(KernelMode, MmSectionObjectType, &Attributes, KernelMode, NULL, sizeof(*Section), 0, 0,
                            (PVOID *)&Section);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Section->ControlArea = NULL;
    Section->Bytes = MiPhysicalBytes();
    Section->Protection = MM_READWRITE;
    Section->Attributes = 0;
    Status = ObInsertObject(Section, NULL, SECTION_ALL_ACCESS, 0, NULL, &Handle);
    return NT_SUCCESS(Status) ? ZwClose(Handle) : Status;
}
