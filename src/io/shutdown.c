/*
 * shutdown.c - drivers that want to know before the machine goes: IRP_MJ_SHUTDOWN to registered devices.
 *
 * Two lists: ordinary notifications are sent first, last-chance ones when every file system has been told. Each list is served from its
 * newest entry on, as drivers that build on others register later. An entry holds a reference on its device and is freed as
 * its IRP is sent; a device that is deleted earlier unregisters.
 *
 * Lock: IopShutdownLock (fast mutex) for the lists; no driver is called under it. PASSIVE_LEVEL. Source: WDK documentation of
 * IoRegisterShutdownNotification.
 */
#include <ntos/hal.h>
#include <ntos/services.h>

#include "iop.h"

typedef struct _IOP_SHUTDOWN {
    LIST_ENTRY Link;       /* (IopShutdownLock) */
    PDEVICE_OBJECT Device; /* referenced */
} IOP_SHUTDOWN, *PIOP_SHUTDOWN;

static FAST_MUTEX IopShutdownLock;
VF_NAME_LOCK(IopShutdownLock, "IopShutdownLock");
static LIST_ENTRY IopShutdowns = {&IopShutdowns, &IopShutdowns},
                  IopLastShutdowns = {&IopLastShutdowns, &IopLastShutdowns};

VOID IopInitializeShutdown(VOID)
{
    ExInitializeFastMutex(&IopShutdownLock);
}

static NTSTATUS IopRegisterShutdown(PLIST_ENTRY List, PDEVICE_OBJECT Device)
{
    PIOP_SHUTDOWN Entry = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Entry), IOP_TAG_DRIVER);

    if (Entry == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ObfReferenceObject(Device);
    Entry->Device = Device;
    ExAcquireFastMutex(&IopShutdownLock);
    InsertHeadList(List, &Entry->Link);
    Device->Flags |= DO_SHUTDOWN_REGISTERED;
    ExReleaseFastMutex(&IopShutdownLock);
    return STATUS_SUCCESS;
}

/* The device's driver gets IRP_MJ_SHUTDOWN before the machine goes. IRQL: PASSIVE_LEVEL. */
NTSTATUS NTAPI IoRegisterShutdownNotification(PDEVICE_OBJECT DeviceObject)
{
    return IopRegisterShutdown(&IopShutdowns, DeviceObject);
}

/* The same, after all others. */
NTSTATUS NTAPI IoRegisterLastChanceShutdownNotification(PDEVICE_OBJECT DeviceObject)
{
    return IopRegisterShutdown(&IopLastShutdowns, DeviceObject);
}

/* Takes a list's first entry: of Device, or of anybody. */
static PIOP_SHUTDOWN IopTakeShutdown(PLIST_ENTRY List, PDEVICE_OBJECT Device)
{
    PIOP_SHUTDOWN Found = NULL;

    ExAcquireFastMutex(&IopShutdownLock);
    for (PLIST_ENTRY Link = List->Flink; Link != List && Found == NULL; Link = Link->Flink) {
        PIOP_SHUTDOWN Entry = CONTAINING_RECORD(Link, IOP_SHUTDOWN, Link);

        Found = (Device == NULL || Entry->Device == Device) ? Entry : NULL;
    }
    if (Found != NULL) {
        RemoveEntryList(&Found->Link);
    }
    ExReleaseFastMutex(&IopShutdownLock);
    return Found;
}

static VOID IopFreeShutdown(PIOP_SHUTDOWN Entry)
{
    ObfDereferenceObject(Entry->Device);
    ExFreePoolWithTag(Entry, IOP_TAG_DRIVER);
}

/* Forgets every registration of a device. IRQL: PASSIVE_LEVEL. */
VOID NTAPI IoUnregisterShutdownNotification(PDEVICE_OBJECT DeviceObject)
{
    PIOP_SHUTDOWN Entry;

    while ((Entry = IopTakeShutdown(&IopShutdowns, DeviceObject)) != NULL ||
           (Entry = IopTakeShutdown(&IopLastShutdowns, DeviceObject)) != NULL) {
        IopFreeShutdown(Entry);
    }
    DeviceObject->Flags &= ~DO_SHUTDOWN_REGISTERED;
}

static VOID IopSendShutdown(PDEVICE_OBJECT Device)
{
    PDEVICE_OBJECT Top = IoGetAttachedDeviceReference(Device);
    IO_STATUS_BLOCK Iosb;
    KEVENT Done;
    PIRP Irp;

    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    Irp = IoBuildSynchronousFsdRequest(IRP_MJ_SHUTDOWN, Top, NULL, 0, NULL, &Done, &Iosb);
    if (Irp != NULL && IofCallDriver(Top, Irp) == STATUS_PENDING) {
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    }
    ObfDereferenceObject(Top);
}

static VOID IopShutdownList(PLIST_ENTRY List)
{
    PIOP_SHUTDOWN Entry;

    while ((Entry = IopTakeShutdown(List, NULL)) != NULL) {
        Entry->Device->Flags &= ~DO_SHUTDOWN_REGISTERED;
        IopSendShutdown(Entry->Device);
        IopFreeShutdown(Entry);
    }
}

VOID IoShutdown(VOID)
{
    ASSERT_IRQL(PASSIVE_LEVEL);
    IopShutdownList(&IopShutdowns);
    IopShutdownList(&IopLastShutdowns);
}

/**
 * NtShutdownSystem - ends everything: drivers are told, then the machine goes off or starts again.
 *
 * @Action  ShutdownNoReboot (0), ShutdownReboot (1), ShutdownPowerOff (2)
 * returns  STATUS_SUCCESS after ShutdownNoReboot alone; STATUS_PRIVILEGE_NOT_HELD (SeShutdownPrivilege); STATUS_INVALID_PARAMETER
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtShutdownSystem(ULONG Action)
{
    if (Action > 2) {
        return STATUS_INVALID_PARAMETER;
    }
    if (!SeSinglePrivilegeCheck(SeExports->SeShutdownPrivilege, ExGetPreviousMode())) {
        return STATUS_PRIVILEGE_NOT_HELD;
    }
    IoShutdown();
    if (Action == 1) {
        HalReset();
    }
    if (Action == 2) {
        HalPowerOff();
    }
    return STATUS_SUCCESS;
}
