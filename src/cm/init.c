/*
 * init.c (cm) - \Registry and the keys that are there from the start.
 *
 * Nothing is read from a medium: the tree is made anew at each boot, with the places where drivers look (services, control, device
 * map), a key for each boot driver, and a description of the processors as CPUID tells it. CurrentControlSet is a link, as
 * in NT. What the keys are for: Microsoft Learn, "Registry Trees and Keys", "HKLM\SYSTEM\CurrentControlSet\Services registry tree".
 *
 * Runs once, in phase 1, at PASSIVE_LEVEL, before any driver. Locks: those of the services it calls.
 */
#include <ntos/ke.h>
#include <ntos/rtl.h>

#include "cmp.h"

#define CMP_TEXT 128 /* characters of the longest path or value made here */

PCM_NODE CmpRootNode;

typedef struct _CMP_BOOT_KEY {
    PCWSTR Path;
    ULONG Options;
} CMP_BOOT_KEY;

/* Parents first. The roots are volatile, as in NT: what is made below them must be or be a hive's root. */
static const CMP_BOOT_KEY CmpBootKeys[] = {
    {L"\\Registry\\Machine", REG_OPTION_VOLATILE},
    {L"\\Registry\\User", REG_OPTION_VOLATILE},
    {L"\\Registry\\Machine\\Hardware", REG_OPTION_VOLATILE},
    {L"\\Registry\\Machine\\Hardware\\DeviceMap", REG_OPTION_VOLATILE},
    {L"\\Registry\\Machine\\Hardware\\ResourceMap", REG_OPTION_VOLATILE},
    {L"\\Registry\\Machine\\Hardware\\Description", REG_OPTION_VOLATILE},
    {L"\\Registry\\Machine\\Hardware\\Description\\System", REG_OPTION_VOLATILE},
    {L"\\Registry\\Machine\\Hardware\\Description\\System\\CentralProcessor", REG_OPTION_VOLATILE},
    {L"\\Registry\\Machine\\System", 0},
    {L"\\Registry\\Machine\\System\\ControlSet001", 0},
    {L"\\Registry\\Machine\\System\\ControlSet001\\Control", 0},
    {L"\\Registry\\Machine\\System\\ControlSet001\\Control\\Session Manager", 0},
    {L"\\Registry\\Machine\\System\\ControlSet001\\Control\\Session Manager\\Environment", 0},
    {L"\\Registry\\Machine\\System\\ControlSet001\\Services", 0},
    {L"\\Registry\\Machine\\System\\Select", 0},
    {L"\\Registry\\Machine\\Software", 0},
    {L"\\Registry\\Machine\\Software\\Microsoft", 0},
    {L"\\Registry\\Machine\\Software\\Microsoft\\Windows NT", 0},
    {L"\\Registry\\Machine\\Software\\Microsoft\\Windows NT\\CurrentVersion", 0},
    {L"\\Registry\\User\\.Default", 0},
};

/* What all keys have that say nothing else: everybody reads, the system and administrators do everything. */
static PSECURITY_DESCRIPTOR CmpRootDescriptor(VOID)
{
    static ULONG64 Space[16]; /* room for three entries of SIDs with at most two subauthorities */
    static SECURITY_DESCRIPTOR Descriptor;
    PACL Dacl = (PACL)Space;

    RtlCreateAcl(Dacl, sizeof(Space), ACL_REVISION);
    RtlAddAccessAllowedAceEx(Dacl, ACL_REVISION, CONTAINER_INHERIT_ACE, KEY_ALL_ACCESS, SeExports->SeLocalSystemSid);
    RtlAddAccessAllowedAceEx(Dacl, ACL_REVISION, CONTAINER_INHERIT_ACE, KEY_ALL_ACCESS, SeExports->SeAliasAdminsSid);
    RtlAddAccessAllowedAceEx(Dacl, ACL_REVISION, CONTAINER_INHERIT_ACE, KEY_READ, SeExports->SeWorldSid);
    RtlCreateSecurityDescriptor(&Descriptor, SECURITY_DESCRIPTOR_REVISION);
    RtlSetDaclSecurityDescriptor(&Descriptor, TRUE, Dacl, FALSE);
    return &Descriptor;
}

/* \Registry itself: a permanent key object in the root directory. */
static NTSTATUS CmpCreateRoot(VOID)
{
    UNICODE_STRING Path = RTL_CONSTANT_STRING(L"\\REGISTRY"), Name = RTL_CONSTANT_STRING(L"REGISTRY");
    OBJECT_ATTRIBUTES Attributes;
    PCM_KEY_BODY Body;
    HANDLE Handle;
    NTSTATUS Status = CmpAllocateNode(&Name, NULL, CMP_NODE_VOLATILE | CMP_NODE_FIXED, &CmpRootNode);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    InitializeObjectAttributes(&Attributes, &Path, OBJ_PERMANENT | OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL,
                               CmpRootDescriptor());
    Status = ObCreateObject(KernelMode, CmpKeyObjectType, &Attributes, KernelMode, NULL, sizeof(*Body), 0, 0,
                            (PVOID *)&Body);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    InitializeListHead(&Body->Watch.Posts);
    Body->Node = CmpRootNode;
    Status = ObInsertObject(Body, NULL, KEY_ALL_ACCESS, 0, NULL, &Handle);
    return NT_SUCCESS(Status) ? ZwClose(Handle) : Status;
}

static NTSTATUS CmpMakeKey(PCWSTR Path, ULONG Options, PHANDLE Handle)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;

    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateKey(Handle, KEY_ALL_ACCESS, &Attributes, 0, NULL, Options, NULL);
}

/* Hive roots stand below volatile keys, which a service may not do. */
static NTSTATUS CmpMakeBootKey(const CMP_BOOT_KEY *Key)
{
    PCM_KEY_BODY Body;
    HANDLE Handle;
    NTSTATUS Status = CmpMakeKey(Key->Path, REG_OPTION_VOLATILE, &Handle);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = CmpReferenceKey(Handle, 0, &Body);
    if (NT_SUCCESS(Status)) {
        CmpLockExclusive();
        if ((Key->Options & REG_OPTION_VOLATILE) == 0) {
            Body->Node->Flags &= ~CMP_NODE_VOLATILE;
        }
        if (Body->Node->Depth <= 2) {
            Body->Node->Flags |= CMP_NODE_FIXED;
        }
        CmpUnlock();
        ObDereferenceObject(Body);
    }
    ZwClose(Handle);
    return Status;
}

static NTSTATUS CmpPutText(HANDLE Key, PCWSTR ValueName, ULONG Type, PCSTR Text)
{
    WCHAR Wide[CMP_TEXT];
    UNICODE_STRING Name;
    ULONG Count = 0;

    while (Count < CMP_TEXT - 1 && Text[Count] != 0) {
        Wide[Count] = (UCHAR)Text[Count];
        Count++;
    }
    Wide[Count++] = 0;
    RtlInitUnicodeString(&Name, ValueName);
    return ZwSetValueKey(Key, &Name, 0, Type, Wide, Count * sizeof(WCHAR));
}

static NTSTATUS CmpPutNumber(HANDLE Key, PCWSTR ValueName, ULONG Number)
{
    UNICODE_STRING Name;

    RtlInitUnicodeString(&Name, ValueName);
    return ZwSetValueKey(Key, &Name, 0, REG_DWORD, &Number, sizeof(Number));
}

/* A key below another, by an ASCII name. */
static NTSTATUS CmpMakeChild(PCWSTR Parent, PCSTR Name, ULONG NameChars, ULONG Options, PHANDLE Handle)
{
    WCHAR Path[CMP_TEXT];
    UNICODE_STRING Full = {0, sizeof(Path), Path};

    RtlAppendUnicodeToString(&Full, Parent);
    RtlAppendUnicodeToString(&Full, L"\\");
    for (ULONG Index = 0; Index < NameChars && Full.Length < sizeof(Path) - sizeof(WCHAR); Index++) {
        Path[Full.Length / sizeof(WCHAR)] = (UCHAR)Name[Index];
        Full.Length += sizeof(WCHAR);
    }
    Path[Full.Length / sizeof(WCHAR)] = 0;
    return CmpMakeKey(Path, Options, Handle);
}

static NTSTATUS CmpLinkControlSet(VOID)
{
    static const WCHAR Target[] = L"\\Registry\\Machine\\System\\ControlSet001";
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"SymbolicLinkValue");
    HANDLE Handle;
    NTSTATUS Status = CmpMakeKey(L"\\Registry\\Machine\\System\\CurrentControlSet", REG_OPTION_CREATE_LINK, &Handle);

    if (NT_SUCCESS(Status)) {
        Status = ZwSetValueKey(Handle, &Name, 0, REG_LINK, (PVOID)Target, sizeof(Target) - sizeof(WCHAR));
        ZwClose(Handle);
    }
    if (NT_SUCCESS(Status)) {
        Status = CmpMakeKey(L"\\Registry\\Machine\\System\\Select", 0, &Handle);
    }
    if (NT_SUCCESS(Status)) {
        CmpPutNumber(Handle, L"Current", 1);
        CmpPutNumber(Handle, L"Default", 1);
        ZwClose(Handle);
    }
    return Status;
}

/* Services\NAME for a driver that the loader brought; its file lies on the disc under \boot. */
static NTSTATUS CmpDescribeBootDriver(const LOADER_IMAGE *Image)
{
    CHAR Path[CMP_TEXT];
    ULONG Length = 0;
    HANDLE Handle;
    NTSTATUS Status;

    while (Image->Name[Length] != 0 && Image->Name[Length] != '.') {
        Length++;
    }
    Status = CmpMakeChild(CM_SERVICES_PATH, Image->Name, Length, 0, &Handle);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    RtlFormatString(Path, sizeof(Path), "\\SystemRoot\\boot\\%s", Image->Name);
    Status = CmpPutText(Handle, L"ImagePath", REG_EXPAND_SZ, Path);
    if (NT_SUCCESS(Status)) {
        Status = CmpPutNumber(Handle, L"Type", SERVICE_KERNEL_DRIVER);
    }
    if (NT_SUCCESS(Status)) {
        Status = CmpPutNumber(Handle, L"Start", SERVICE_BOOT_START);
    }
    if (NT_SUCCESS(Status)) {
        Status = CmpPutNumber(Handle, L"ErrorControl", SERVICE_ERROR_NORMAL);
    }
    ZwClose(Handle);
    return Status;
}

/* Text of CPUID leaves: Count registers of each leaf from First on. */
static VOID CmpProcessorName(PCHAR Text)
{
    int Registers[4];

    __cpuid(Registers, (int)0x80000000);
    Text[0] = 0;
    if ((ULONG)Registers[0] < 0x80000004U) {
        return;
    }
    for (ULONG Leaf = 0; Leaf < 3; Leaf++) {
        __cpuid(Registers, (int)(0x80000002U + Leaf));
        RtlCopyMemory(Text + Leaf * sizeof(Registers), Registers, sizeof(Registers));
    }
    Text[48] = 0;
}

/* Description\System\CentralProcessor\N as CPUID tells it; all processors are of one kind. */
static NTSTATUS CmpDescribeProcessor(ULONG Number)
{
    CHAR Text[CMP_TEXT], Digits[12];
    int Registers[4];
    ULONG Family, Model;
    LARGE_INTEGER Frequency;
    HANDLE Handle;
    ULONG Length = RtlFormatString(Digits, sizeof(Digits), "%u", (unsigned)Number);
    NTSTATUS Status = CmpMakeChild(L"\\Registry\\Machine\\Hardware\\Description\\System\\CentralProcessor", Digits,
                                   Length, REG_OPTION_VOLATILE, &Handle);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    CmpProcessorName(Text);
    CmpPutText(Handle, L"ProcessorNameString", REG_SZ, Text);
    __cpuid(Registers, 0);
    RtlCopyMemory(Text, &Registers[1], 4);
    RtlCopyMemory(Text + 4, &Registers[3], 4);
    RtlCopyMemory(Text + 8, &Registers[2], 4);
    Text[12] = 0;
    CmpPutText(Handle, L"VendorIdentifier", REG_SZ, Text);
    __cpuid(Registers, 1);
    Family = (ULONG)Registers[0] >> 8 & 15;
    Model = (ULONG)Registers[0] >> 4 & 15;
    if (Family == 6 || Family == 15) { /* Intel SDM, CPUID leaf 1: the extended fields count for these */
        Model += ((ULONG)Registers[0] >> 16 & 15) << 4;
    }
    if (Family == 15) {
        Family += (ULONG)Registers[0] >> 20 & 255;
    }
    RtlFormatString(Text, sizeof(Text), "x64 Family %u Model %u Stepping %u", (unsigned)Family, (unsigned)Model,
                    (unsigned)(Registers[0] & 15));
    CmpPutText(Handle, L"Identifier", REG_SZ, Text);
    KeQueryPerformanceCounter(&Frequency);
    Status = CmpPutNumber(Handle, L"~MHz", (ULONG)(Frequency.QuadPart / 1000000));
    ZwClose(Handle);
    return Status;
}

NTSTATUS CmInitialize(LOADER_BLOCK *LoaderBlock)
{
    const LOADER_IMAGE *Images = (const LOADER_IMAGE *)LoaderBlock->Images;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    CmpInitializeCallbacks();
    Status = ExInitializeResourceLite(&CmpRegistryLock);
    VfNameLock(&CmpRegistryLock, "CmpRegistryLock");
    if (NT_SUCCESS(Status)) {
        Status = CmpCreateKeyType();
    }
    if (NT_SUCCESS(Status)) {
        Status = CmpCreateRoot();
    }
    for (ULONG Index = 0; NT_SUCCESS(Status) && Index < RTL_NUMBER_OF(CmpBootKeys); Index++) {
        Status = CmpMakeBootKey(&CmpBootKeys[Index]);
    }
    if (NT_SUCCESS(Status)) {
        Status = CmpLinkControlSet();
    }
    for (ULONG Index = 1; NT_SUCCESS(Status) && Index < LoaderBlock->ImageCount; Index++) { /* 0: the kernel */
        Status = CmpDescribeBootDriver(&Images[Index]);
    }
    for (ULONG Index = 0; NT_SUCCESS(Status) && Index < KeNumberOfActiveProcessors; Index++) {
        Status = CmpDescribeProcessor(Index);
    }
    return Status;
}
