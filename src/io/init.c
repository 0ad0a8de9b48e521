/*
 * init.c - bringing the I/O manager up: types, boot drivers, the first drive letter, \SystemRoot.
 *
 * Runs once, in phase 1, at PASSIVE_LEVEL, after the object manager. The CD the system came from is \Device\CdRom0; it gets
 * \??\D: and \SystemRoot. A kernel without it still reaches its prompt.
 */
#include <ntos/console.h>
#include <ntos/init.h>

#include "iop.h"

static VOID IopLink(PCWSTR Link, PCWSTR Target)
{
    UNICODE_STRING LinkName, TargetName;
    NTSTATUS Status;

    RtlInitUnicodeString(&LinkName, Link);
    RtlInitUnicodeString(&TargetName, Target);
    Status = IoCreateSymbolicLink(&LinkName, &TargetName);
    if (!NT_SUCCESS(Status)) {
        ConPrint("io: link %ws: 0x%08lX\n", Link, (ULONG)Status);
    }
}

/* Names the CD, if there is one. */
static VOID IopNameBootVolume(VOID)
{
    UNICODE_STRING Name;
    PVOID Device;

    RtlInitUnicodeString(&Name, L"\\Device\\CdRom0");
    if (!NT_SUCCESS(ObReferenceObjectByName(&Name, OBJ_CASE_INSENSITIVE, NULL, 0, IopDeviceObjectType, KernelMode, NULL,
                                            &Device))) {
        ConPrint("io: no CD-ROM drive: D: and \\SystemRoot do not exist\n");
        return;
    }
    ObfDereferenceObject(Device);
    IopLink(L"\\??\\D:", Name.Buffer);
    IopLink(L"\\SystemRoot", Name.Buffer);
}

NTSTATUS IoInitialize(LOADER_BLOCK *LoaderBlock)
{
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    IopInitializeIrpLists();
    IopInitializeVolumes();
    IopInitializeShutdown();
    Status = IopCreateDriverType();
    if (NT_SUCCESS(Status)) {
        Status = IopCreateDeviceType();
    }
    if (NT_SUCCESS(Status)) {
        Status = IopCreateFileType();
    }
    if (NT_SUCCESS(Status)) {
        Status = IopCreateCompletionType();
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    IopStartBootDrivers(LoaderBlock);
    IopNameBootVolume();
    return IopCreateNull();
}
