/*
 * facts.c - what drivers ask of the I/O manager without wanting anything done: about threads, stacks, requests, devices.
 *
 * Locks: IopDatabaseLock (spin) for a driver's extensions and device list. IRQL: any, but where said. Source: WDK documentation of each
 * routine.
 */
#include "iop.h"

static CONFIGURATION_INFORMATION IopConfiguration = {.Version = sizeof(CONFIGURATION_INFORMATION)};

/* Counts of devices by kind, which their drivers keep. */
PCONFIGURATION_INFORMATION NTAPI IoGetConfigurationInformation(VOID)
{
    return &IopConfiguration;
}

/* ---- Threads and stacks ---- */

PVOID NTAPI IoGetInitialStack(VOID)
{
    return KeGetCurrentPrcb()->CurrentThread->StackTop;
}

/* The thread's stack; a DPC or interrupt that runs on it may still be told its bounds. */
VOID NTAPI IoGetStackLimits(PULONG_PTR LowLimit, PULONG_PTR HighLimit)
{
    struct _KTHREAD *Thread = KeGetCurrentPrcb()->CurrentThread;

    *LowLimit = (ULONG_PTR)Thread->StackLimit;
    *HighLimit = (ULONG_PTR)Thread->StackTop;
}

/* Does a region lie in the current stack? */
LOGICAL NTAPI IoWithinStackLimits(ULONG_PTR RegionStart, SIZE_T RegionSize)
{
    ULONG_PTR Low, High;

    IoGetStackLimits(&Low, &High);
    return RegionStart >= Low && RegionStart <= High && RegionSize <= High - RegionStart;
}

BOOLEAN NTAPI IoIsSystemThread(PETHREAD Thread)
{
    return Thread->SystemThread;
}

/* There are no 32-bit programs. */
BOOLEAN NTAPI IoIs32bitProcess(PIRP Irp)
{
    UNREFERENCED_PARAMETER(Irp);
    return FALSE;
}

/* Turns dialogs about media on or off for the thread; returns what was. There is nobody to show them. */
BOOLEAN NTAPI IoSetThreadHardErrorMode(BOOLEAN EnableHardErrors)
{
    PETHREAD Thread = PsGetCurrentThread();
    BOOLEAN Were = !Thread->HardErrorsAreDisabled;

    Thread->HardErrorsAreDisabled = !EnableHardErrors;
    return Were;
}

/* The system is WDM 6.0: what NT 6 drivers ask for. */
BOOLEAN NTAPI IoIsWdmVersionAvailable(UCHAR MajorVersion, UCHAR MinorVersion)
{
    return MajorVersion < WDM_MAJORVERSION || (MajorVersion == WDM_MAJORVERSION && MinorVersion <= WDM_MINORVERSION);
}

/* ---- Requests ---- */

ULONG NTAPI IoGetRequestorProcessId(PIRP Irp)
{
    PEPROCESS Process = IoGetRequestorProcess(Irp);

    return (Process != NULL) ? (ULONG)(ULONG_PTR)Process->UniqueProcessId : 0;
}

/* Session 0 is the only one. STATUS_UNSUCCESSFUL: the request belongs to no thread. */
NTSTATUS NTAPI IoGetRequestorSessionId(PIRP Irp, PULONG pSessionId)
{
    *pSessionId = (Irp->Tail.Overlay.Thread != NULL) ? 0 : MAXULONG;
    return (Irp->Tail.Overlay.Thread != NULL) ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

/* The hint is kept in bits of Flags that nothing else uses; no driver here acts on it. */
#define IOP_PRIORITY_SHIFT 17
#define IOP_PRIORITY_MASK  (7UL << IOP_PRIORITY_SHIFT) /* the hint plus 1; 0: none was set */

IO_PRIORITY_HINT NTAPI IoGetIoPriorityHint(PIRP Irp)
{
    ULONG Field = (Irp->Flags & IOP_PRIORITY_MASK) >> IOP_PRIORITY_SHIFT;

    return (Field != 0) ? (IO_PRIORITY_HINT)(Field - 1) : IoPriorityNormal;
}

NTSTATUS NTAPI IoSetIoPriorityHint(PIRP Irp, IO_PRIORITY_HINT PriorityHint)
{
    if (PriorityHint >= MaxIoPriorityTypes) {
        return STATUS_INVALID_PARAMETER;
    }
    Irp->Flags = (Irp->Flags & ~IOP_PRIORITY_MASK) | ((ULONG)(PriorityHint + 1) << IOP_PRIORITY_SHIFT);
    return STATUS_SUCCESS;
}

IO_PAGING_PRIORITY NTAPI IoGetPagingIoPriority(PIRP Irp)
{
    return ((Irp->Flags & IRP_PAGING_IO) != 0) ? IoPagingPriorityNormal : IoPagingPriorityInvalid;
}

/* May the sender of a control request ask for it? The kernel may. STATUS_ACCESS_DENIED: its handle lacks the right. */
NTSTATUS NTAPI IoValidateDeviceIoControlAccess(PIRP Irp, ULONG RequiredAccess)
{
    PFILE_OBJECT File = IoGetCurrentIrpStackLocation(Irp)->FileObject;

    if ((RequiredAccess & ~(ULONG)(FILE_READ_ACCESS | FILE_WRITE_ACCESS)) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Irp->RequestorMode == KernelMode || File == NULL) {
        return STATUS_SUCCESS;
    }
    if (((RequiredAccess & FILE_READ_ACCESS) != 0 && !File->ReadAccess) ||
        ((RequiredAccess & FILE_WRITE_ACCESS) != 0 && !File->WriteAccess)) {
        return STATUS_ACCESS_DENIED;
    }
    return STATUS_SUCCESS;
}

PGENERIC_MAPPING NTAPI IoGetFileObjectGenericMapping(VOID)
{
    return &IopFileObjectType->Info.GenericMapping;
}

/* Is DesiredAccess, generic rights mapped, within what was granted? */
NTSTATUS NTAPI IoCheckDesiredAccess(PACCESS_MASK DesiredAccess, ACCESS_MASK GrantedAccess)
{
    RtlMapGenericMask(DesiredAccess, &IopFileObjectType->Info.GenericMapping);
    return ((*DesiredAccess & ~GrantedAccess) == 0) ? STATUS_SUCCESS : STATUS_ACCESS_DENIED;
}

/* A list of extended attributes: entries aligned to 4, inside the buffer, names terminated. *ErrorOffset: the first bad one. */
NTSTATUS NTAPI IoCheckEaBufferValidity(PFILE_FULL_EA_INFORMATION EaBuffer, ULONG EaLength, PULONG ErrorOffset)
{
    const ULONG Fixed = FIELD_OFFSET(FILE_FULL_EA_INFORMATION, EaName);
    ULONG Offset = 0;

    for (;;) {
        PFILE_FULL_EA_INFORMATION Ea = (PFILE_FULL_EA_INFORMATION)((PUCHAR)EaBuffer + Offset);
        ULONG Left = EaLength - Offset, Needed;

        *ErrorOffset = Offset;
        if (Left < Fixed) {
            return STATUS_EA_LIST_INCONSISTENT;
        }
        Needed = Fixed + Ea->EaNameLength + 1U + Ea->EaValueLength;
        if (Left < Needed || Ea->EaName[Ea->EaNameLength] != 0) {
            return STATUS_EA_LIST_INCONSISTENT;
        }
        if (Ea->NextEntryOffset == 0) {
            return STATUS_SUCCESS;
        }
        if ((Ea->NextEntryOffset & 3) != 0 || Ea->NextEntryOffset < Needed || Ea->NextEntryOffset > Left) {
            return STATUS_EA_LIST_INCONSISTENT;
        }
        Offset += Ea->NextEntryOffset;
    }
}

/* ---- Drivers and devices ---- */

/**
 * IoAllocateDriverObjectExtension - zeroed memory that belongs to a driver object, found again by an address.
 *
 * returns  STATUS_SUCCESS; STATUS_OBJECT_NAME_COLLISION: the identifier has one; STATUS_INSUFFICIENT_RESOURCES
 *
 * It is freed with the driver object. IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI IoAllocateDriverObjectExtension(PDRIVER_OBJECT DriverObject, PVOID ClientIdentificationAddress,
                                               ULONG DriverObjectExtensionSize, PVOID *DriverObjectExtension)
{
    PIOP_DRIVER Driver = CONTAINING_RECORD(DriverObject, IOP_DRIVER, Driver);
    PIOP_CLIENT_EXTENSION New, Other;
    KIRQL Irql;

    *DriverObjectExtension = NULL;
    if (DriverObjectExtensionSize > MAXULONG - sizeof(*New)) {
        return STATUS_INVALID_PARAMETER;
    }
    New = ExAllocatePoolWithTag(NonPagedPool, sizeof(*New) + DriverObjectExtensionSize, IOP_TAG_DRIVER);
    if (New == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(New, sizeof(*New) + DriverObjectExtensionSize);
    New->Identifier = ClientIdentificationAddress;
    KeAcquireSpinLock(&IopDatabaseLock, &Irql);
    for (Other = Driver->Clients; Other != NULL && Other->Identifier != New->Identifier; Other = Other->Next) {
    }
    if (Other == NULL) {
        New->Next = Driver->Clients;
        Driver->Clients = New;
    }
    KeReleaseSpinLock(&IopDatabaseLock, Irql);
    if (Other != NULL) {
        ExFreePoolWithTag(New, IOP_TAG_DRIVER);
        return STATUS_OBJECT_NAME_COLLISION;
    }
    *DriverObjectExtension = New->Body;
    return STATUS_SUCCESS;
}

/* The memory of that identifier; NULL: there is none. IRQL: <= DISPATCH_LEVEL. */
PVOID NTAPI IoGetDriverObjectExtension(PDRIVER_OBJECT DriverObject, PVOID ClientIdentificationAddress)
{
    PIOP_DRIVER Driver = CONTAINING_RECORD(DriverObject, IOP_DRIVER, Driver);
    PIOP_CLIENT_EXTENSION Client;
    KIRQL Irql;

    KeAcquireSpinLock(&IopDatabaseLock, &Irql);
    for (Client = Driver->Clients; Client != NULL && Client->Identifier != ClientIdentificationAddress;
         Client = Client->Next) {
    }
    KeReleaseSpinLock(&IopDatabaseLock, Irql);
    return (Client != NULL) ? Client->Body : NULL;
}

/**
 * IoEnumerateDeviceObjectList - a driver's devices, each referenced for the caller.
 *
 * @DeviceObjectListSize  bytes of the list
 * @ActualNumberDeviceObjects  gets how many there are
 * returns  STATUS_SUCCESS; STATUS_BUFFER_TOO_SMALL: the list is full of the first ones
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
NTSTATUS NTAPI IoEnumerateDeviceObjectList(PDRIVER_OBJECT DriverObject, PDEVICE_OBJECT *DeviceObjectList,
                                           ULONG DeviceObjectListSize, PULONG ActualNumberDeviceObjects)
{
    ULONG Room = DeviceObjectListSize / sizeof(PDEVICE_OBJECT), Count = 0;
    KIRQL Irql;

    KeAcquireSpinLock(&IopDatabaseLock, &Irql);
    for (PDEVICE_OBJECT Device = DriverObject->DeviceObject; Device != NULL; Device = Device->NextDevice) {
        if (Count < Room) {
            ObfReferenceObject(Device);
            DeviceObjectList[Count] = Device;
        }
        Count++;
    }
    KeReleaseSpinLock(&IopDatabaseLock, Irql);
    *ActualNumberDeviceObjects = Count;
    return (Count <= Room) ? STATUS_SUCCESS : STATUS_BUFFER_TOO_SMALL;
}
