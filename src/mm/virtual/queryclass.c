/*
 * queryclass.c - NtQueryVirtualMemory beyond MemoryBasicInformation: working set, regions, images, names of mapped files.
 *
 * The working set is told from the working-set list, page by page from the page tables; a region is its VAD. Answers are put together in
 * the kernel's memory with the process attached and copied to the caller when it is not.
 *
 * Locks: address lock, working-set lock. IRQL: PASSIVE_LEVEL.
 *
 * Source: QueryWorkingSet, QueryWorkingSetEx and GetMappedFileName in the Windows documentation; MEMORY_REGION_INFORMATION.
 */
#include "../misection.h"
#include "../miprocess.h"
#include <ntos/ob.h>
#include <ntos/rtl.h>
#include <ntos/user.h>

#define MI_TAG_QUERY      'yQmM'
#define MI_EX_BATCH       32 /* entries of MemoryWorkingSetExInformation under one attachment */
#define MI_NAME_BYTES     1024
#define MI_REGION_MINIMUM FIELD_OFFSET(MEMORY_REGION_INFORMATION, CommitSize)
#define MI_MOST_SHARES    7u /* what three bits can tell */

static NTSTATUS MiReturnAnswer(PVOID Buffer, const VOID *Answer, SIZE_T Bytes, PSIZE_T ReturnLength)
{
    NTSTATUS Status = MiReturnBytes(Buffer, Answer, Bytes);

    return NT_SUCCESS(Status) && ReturnLength != NULL ? MiReturnBytes(ReturnLength, &Bytes, sizeof(Bytes)) : Status;
}

static ULONG MiSharesOf(PFN_FRAME Frame, MMPTE Pte)
{
    return Pte.Hard.Prototype ? min(MiPfn(Frame)->u1.ShareCount, MI_MOST_SHARES) : 0;
}

/* ---- The working set ---- */

static ULONG_PTR MiDescribeEntry(PMI_ADDRESS_SPACE Space, ULONG64 Vpn)
{
    MEMORY_WORKING_SET_BLOCK Block = {.Flags = 0};
    PMI_VAD Vad = MiFindVad(Space, Vpn);
    MI_PAGE_INFO Info;

    MiQueryPage(Vad, Vpn, &Info);
    Block.Protection = Info.Protection;
    Block.ShareCount = MiSharesOf(MiPteFrame(Info.Pte), Info.Pte);
    Block.Shared = Info.Pte.Hard.Prototype;
    Block.VirtualPage = Vpn;
    return Block.Flags;
}

/* As many entries as there is room for; returns how many there are. */
static ULONG_PTR MiListWorkingSet(PMI_ADDRESS_SPACE Space, PULONG_PTR Entries, ULONG_PTR Room)
{
    ULONG_PTR Count = 0;

    ExAcquireFastMutex(&Space->WorkingSetLock);
    for (ULONG Index = 1; Index < Space->WslEntries; Index++) {
        if (MI_WSL[Index].Valid) {
            if (Count < Room) {
                Entries[Count] = MiDescribeEntry(Space, MI_WSL[Index].Vpn);
            }
            Count++;
        }
    }
    ExReleaseFastMutex(&Space->WorkingSetLock);
    return Count;
}

static NTSTATUS MiAnswerWorkingSet(HANDLE ProcessHandle, PVOID Buffer, SIZE_T Length, PSIZE_T ReturnLength)
{
    ULONG_PTR Room = Length / sizeof(ULONG_PTR), Count;
    PULONG_PTR Answer;
    MI_TARGET Target;
    NTSTATUS Status;

    if (Room == 0) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Status = MiOpenTarget(ProcessHandle, MI_PROCESS_QUERY_INFORMATION, &Target);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Room = min(Room, Target.Space->WorkingSet + 512); /* it may grow meanwhile */
    Answer = ExAllocatePoolWithTag(NonPagedPool, Room * sizeof(ULONG_PTR), MI_TAG_QUERY);
    if (Answer == NULL) {
        MiCloseTarget(&Target);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Count = MiListWorkingSet(Target.Space, Answer + 1, Room - 1);
    MiCloseTarget(&Target);
    Answer[0] = Count;
    if (Count > Room - 1) {
        Status = MiReturnBytes(Buffer, Answer, sizeof(ULONG_PTR));
        Status = NT_SUCCESS(Status) ? STATUS_INFO_LENGTH_MISMATCH : Status;
    } else {
        Status = MiReturnAnswer(Buffer, Answer, (Count + 1) * sizeof(ULONG_PTR), ReturnLength);
    }
    ExFreePoolWithTag(Answer, MI_TAG_QUERY);
    return Status;
}

/* ---- Single pages ---- */

static ULONG_PTR MiDescribePage(PMI_ADDRESS_SPACE Space, PVOID Address)
{
    MEMORY_WORKING_SET_EX_BLOCK Block = {.Flags = 0};
    PMI_VAD Vad = (ULONG64)Address > MI_HIGHEST_USER ? NULL : MiFindVad(Space, MI_VPN(Address));
    MI_PAGE_INFO Info;
    PFN_FRAME Frame;

    if (Vad == NULL) {
        return 0;
    }
    MiQueryPage(Vad, MI_VPN(Address), &Info);
    if (Vad->LargePages) {
        Block.Valid = Block.Locked = Block.LargePage = 1;
        Block.Win32Protection = MiPageProtection(Info.Protection);
        if (Vad->Type == MiVadMapped) {
            Block.Shared = Block.SharedOriginal = 1;
            Block.ShareCount = min(Vad->ControlArea->Views, MI_MOST_SHARES);
        }
        return Block.Flags;
    }
    if (!Info.Pte.Hard.Valid || (Info.Pte.Long & MI_PTE_ALIAS) != 0) {
        Block.SharedOriginal = Vad->Type == MiVadMapped && !MiIsTransitionPte(Info.Pte);
        return Block.Flags;
    }
    Frame = MiPteFrame(Info.Pte);
    Block.Valid = 1;
    Block.ShareCount = MiSharesOf(Frame, Info.Pte);
    Block.Win32Protection = MiPageProtection(Info.Protection);
    Block.Shared = Info.Pte.Hard.Prototype;
    Block.SharedOriginal = Info.Pte.Hard.Prototype;
    Block.Locked = MI_WSL[MiFindWsle(Space, Frame, PAGE_ALIGN(Address))].Locked;
    Block.Priority = MiPfnPriority(MiPfn(Frame));
    return Block.Flags;
}

static NTSTATUS MiDescribePages(HANDLE ProcessHandle, PMEMORY_WORKING_SET_EX_INFORMATION Pages, ULONG Count)
{
    MI_TARGET Target;
    NTSTATUS Status = MiOpenTarget(ProcessHandle, MI_PROCESS_QUERY_INFORMATION, &Target);

    if (NT_SUCCESS(Status)) {
        ExAcquireFastMutex(&Target.Space->WorkingSetLock);
        for (ULONG Index = 0; Index < Count; Index++) {
            Pages[Index].VirtualAttributes.Flags = MiDescribePage(Target.Space, Pages[Index].VirtualAddress);
        }
        ExReleaseFastMutex(&Target.Space->WorkingSetLock);
        MiCloseTarget(&Target);
    }
    return Status;
}

static NTSTATUS MiAnswerWorkingSetEx(HANDLE ProcessHandle, PMEMORY_WORKING_SET_EX_INFORMATION Buffer, SIZE_T Length,
                                     PSIZE_T ReturnLength)
{
    MEMORY_WORKING_SET_EX_INFORMATION Pages[MI_EX_BATCH];
    SIZE_T Count = Length / sizeof(Pages[0]), Bytes = Count * sizeof(Pages[0]);
    NTSTATUS Status = Count == 0 || Length % sizeof(Pages[0]) != 0 ? STATUS_INFO_LENGTH_MISMATCH : STATUS_SUCCESS;

    for (SIZE_T Done = 0; Done < Count && NT_SUCCESS(Status);) {
        ULONG Batch = (ULONG)min(Count - Done, MI_EX_BATCH);

        Status = MiCaptureBytes(Pages, Buffer + Done, Batch * sizeof(Pages[0]));
        if (NT_SUCCESS(Status)) {
            Status = MiDescribePages(ProcessHandle, Pages, Batch);
        }
        if (NT_SUCCESS(Status)) {
            Status = MiReturnBytes(Buffer + Done, Pages, Batch * sizeof(Pages[0]));
        }
        Done += Batch;
    }
    return NT_SUCCESS(Status) && ReturnLength != NULL ? MiReturnBytes(ReturnLength, &Bytes, sizeof(Bytes)) : Status;
}

/* ---- Regions ---- */

typedef union _MI_REGION_ANSWER {
    MEMORY_REGION_INFORMATION Region;
    MEMORY_IMAGE_INFORMATION Image;
    PFILE_OBJECT FileObject; /* referenced */
} MI_REGION_ANSWER, *PMI_REGION_ANSWER;

static NTSTATUS MiDescribeRegion(PMI_VAD Vad, PMEMORY_REGION_INFORMATION Region)
{
    ULONG64 Pages = Vad->EndVpn - Vad->StartVpn + 1;
    BOOLEAN Mapped = Vad->Type == MiVadMapped;

    Region->AllocationBase = MI_VPN_ADDRESS(Vad->StartVpn);
    Region->AllocationProtect = MiPageProtection(Vad->Protection);
    Region->Private = Vad->Type == MiVadPrivate;
    Region->MappedImage = Vad->Image;
    Region->MappedDataFile = Mapped && !Vad->Image && Vad->ControlArea->FileObject != NULL;
    Region->MappedPageFile = Mapped && Vad->ControlArea->FileObject == NULL;
    Region->MappedPhysical = Vad->Type == MiVadLocked;
    Region->PlaceholderReservation = Vad->Placeholder;
    Region->RegionSize = Pages << PAGE_SHIFT;
    Region->CommitSize = Vad->Commit << PAGE_SHIFT;
    return STATUS_SUCCESS;
}

static NTSTATUS MiDescribeImageView(PMI_VAD Vad, PMEMORY_IMAGE_INFORMATION Image)
{
    ULONG64 Pages = Vad->EndVpn - Vad->StartVpn + 1;

    if (!Vad->Image) {
        return STATUS_INVALID_ADDRESS;
    }
    Image->ImageBase = MI_VPN_ADDRESS(Vad->StartVpn - Vad->FirstPage);
    Image->SizeOfImage = Vad->ControlArea->Pages << PAGE_SHIFT;
    Image->ImagePartialMap = Pages != Vad->ControlArea->Pages;
    return STATUS_SUCCESS;
}

static NTSTATUS MiFindFile(PMI_VAD Vad, PFILE_OBJECT *FileObject)
{
    if (Vad->Type != MiVadMapped) {
        return STATUS_INVALID_ADDRESS;
    }
    if (Vad->ControlArea->FileObject == NULL) {
        return STATUS_FILE_INVALID;
    }
    *FileObject = Vad->ControlArea->FileObject;
    ObReferenceObject(*FileObject);
    return STATUS_SUCCESS;
}

/* What one of the three classes wants to know of the VAD at an address. */
static NTSTATUS MiAskVad(HANDLE ProcessHandle, PVOID Address, MI_MEMORY_INFORMATION_CLASS Class,
                         PMI_REGION_ANSWER Answer)
{
    MI_TARGET Target;
    PMI_VAD Vad;
    NTSTATUS Status;

    RtlZeroMemory(Answer, sizeof(*Answer));
    if ((ULONG64)Address > MI_HIGHEST_USER) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = MiOpenTarget(ProcessHandle, MI_PROCESS_QUERY_INFORMATION, &Target);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ExAcquireFastMutex(&Target.Space->AddressLock);
    Vad = MiFindVad(Target.Space, MI_VPN(Address));
    if (Vad == NULL) {
        Status = STATUS_INVALID_ADDRESS;
    } else if (Class == MemoryRegionInformation) {
        Status = MiDescribeRegion(Vad, &Answer->Region);
    } else if (Class == MemoryImageInformation) {
        Status = MiDescribeImageView(Vad, &Answer->Image);
    } else {
        Status = MiFindFile(Vad, &Answer->FileObject);
    }
    ExReleaseFastMutex(&Target.Space->AddressLock);
    MiCloseTarget(&Target);
    return Status;
}

/* ---- Shared commit ---- */

/* The sections without a file behind the views of a process, once a view; Sections NULL: counts them only. Address lock held. */
static ULONG MiListSharedSections(PMI_ADDRESS_SPACE Space, PCONTROL_AREA *Sections)
{
    ULONG Count = 0;

    for (PMI_VAD Vad = MiNextVad(Space, NULL); Vad != NULL; Vad = MiNextVad(Space, Vad)) {
        if (Vad->Type == MiVadMapped && Vad->ControlArea->FileObject == NULL) {
            if (Sections != NULL) {
                Sections[Count] = Vad->ControlArea;
            }
            Count++;
        }
    }
    return Count;
}

static int MiCompareSections(const void *First, const void *Second)
{
    ULONG64 One = *(const ULONG64 *)First, Other = *(const ULONG64 *)Second;

    return (One > Other) - (One < Other);
}

/* Pages charged for these sections, each counted once. Address lock held. */
static NTSTATUS MiCountSharedCommit(PMI_ADDRESS_SPACE Space, PULONG64 Pages)
{
    ULONG Count = MiListSharedSections(Space, NULL);
    PCONTROL_AREA *Sections =
        ExAllocatePoolWithTag(NonPagedPool, ((SIZE_T)Count + 1) * sizeof(*Sections), MI_TAG_QUERY);

    *Pages = 0;
    if (Sections == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    MiListSharedSections(Space, Sections);
    RtlpQSort(Sections, Count, sizeof(*Sections), MiCompareSections);
    for (ULONG Index = 0; Index < Count; Index++) {
        *Pages += Index == 0 || Sections[Index] != Sections[Index - 1] ? Sections[Index]->Commit : 0;
    }
    ExFreePoolWithTag(Sections, MI_TAG_QUERY);
    return STATUS_SUCCESS;
}

static NTSTATUS MiAnswerSharedCommit(HANDLE ProcessHandle, PVOID Buffer, SIZE_T Length, PSIZE_T ReturnLength)
{
    MEMORY_SHARED_COMMIT_INFORMATION Answer;
    ULONG64 Pages;
    MI_TARGET Target;
    NTSTATUS Status;

    if (Length < sizeof(Answer)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Status = MiOpenTarget(ProcessHandle, MI_PROCESS_QUERY_INFORMATION, &Target);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ExAcquireFastMutex(&Target.Space->AddressLock);
    Status = MiCountSharedCommit(Target.Space, &Pages);
    ExReleaseFastMutex(&Target.Space->AddressLock);
    MiCloseTarget(&Target);
    Answer.CommitSize = Pages << PAGE_SHIFT;
    return NT_SUCCESS(Status) ? MiReturnAnswer(Buffer, &Answer, sizeof(Answer), ReturnLength) : Status;
}

/* ---- Names ---- */

/* A UNICODE_STRING whose characters follow it, both in the caller's buffer. */
static NTSTATUS MiReturnName(POBJECT_NAME_INFORMATION Name, PVOID Buffer, SIZE_T Length, PSIZE_T ReturnLength)
{
    PUCHAR Text = (PUCHAR)Buffer + sizeof(UNICODE_STRING);
    SIZE_T Bytes = sizeof(UNICODE_STRING) + Name->Name.Length + sizeof(WCHAR);
    UNICODE_STRING String = {Name->Name.Length, (USHORT)(Name->Name.Length + sizeof(WCHAR)), (PWSTR)Text};
    WCHAR End = 0;
    NTSTATUS Status = STATUS_SUCCESS;

    if (ReturnLength != NULL) {
        Status = MiReturnBytes(ReturnLength, &Bytes, sizeof(Bytes));
    }
    if (NT_SUCCESS(Status) && Length < Bytes) {
        Status = Length < sizeof(UNICODE_STRING) ? STATUS_INFO_LENGTH_MISMATCH : STATUS_BUFFER_OVERFLOW;
    }
    if (NT_SUCCESS(Status)) {
        Status = MiReturnBytes(Text, Name->Name.Buffer, Name->Name.Length);
    }
    if (NT_SUCCESS(Status)) {
        Status = MiReturnBytes(Text + Name->Name.Length, &End, sizeof(End));
    }
    return NT_SUCCESS(Status) ? MiReturnBytes(Buffer, &String, sizeof(String)) : Status;
}

static NTSTATUS MiAnswerName(HANDLE ProcessHandle, PVOID Address, PVOID Buffer, SIZE_T Length, PSIZE_T ReturnLength)
{
    POBJECT_NAME_INFORMATION Name;
    MI_REGION_ANSWER Answer;
    ULONG Needed;
    NTSTATUS Status = MiAskVad(ProcessHandle, Address, MemoryMappedFilenameInformation, &Answer);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Name = ExAllocatePoolWithTag(PagedPool, MI_NAME_BYTES, MI_TAG_QUERY);
    if (Name == NULL) {
        Status = STATUS_INSUFFICIENT_RESOURCES;
    } else {
        Status = ObQueryNameString(Answer.FileObject, Name, MI_NAME_BYTES, &Needed);
        if (NT_SUCCESS(Status)) {
            Status = MiReturnName(Name, Buffer, Length, ReturnLength);
        }
        ExFreePoolWithTag(Name, MI_TAG_QUERY);
    }
    ObDereferenceObject(Answer.FileObject);
    return Status;
}

/* ---- All of them ---- */

NTSTATUS MiAnswerClass(HANDLE ProcessHandle, PVOID BaseAddress, MI_MEMORY_INFORMATION_CLASS Class, PVOID Buffer,
                       SIZE_T Length, PSIZE_T ReturnLength)
{
    MI_REGION_ANSWER Answer;
    SIZE_T Bytes = Class == MemoryImageInformation ? sizeof(Answer.Image) : min(Length, sizeof(Answer.Region));
    NTSTATUS Status;

    switch (Class) {
    case MemoryWorkingSetInformation:
        return MiAnswerWorkingSet(ProcessHandle, Buffer, Length, ReturnLength);
    case MemoryWorkingSetExInformation:
        return MiAnswerWorkingSetEx(ProcessHandle, Buffer, Length, ReturnLength);
    case MemoryMappedFilenameInformation:
        return MiAnswerName(ProcessHandle, BaseAddress, Buffer, Length, ReturnLength);
    case MemorySharedCommitInformation:
        return MiAnswerSharedCommit(ProcessHandle, Buffer, Length, ReturnLength);
    case MemoryRegionInformation:
    case MemoryImageInformation:
        if (Length < (Class == MemoryImageInformation ? sizeof(Answer.Image) : MI_REGION_MINIMUM)) {
            return STATUS_INFO_LENGTH_MISMATCH;
        }
        Status = MiAskVad(ProcessHandle, BaseAddress, Class, &Answer);
        return NT_SUCCESS(Status) ? MiReturnAnswer(Buffer, &Answer, Bytes, ReturnLength) : Status;
    default:
        return STATUS_INVALID_INFO_CLASS;
    }
}
