/*
 * userview.c - views of sections in the user half: NtMapViewOfSection, NtUnmapViewOfSection.
 *
 * Mapping makes a VAD that names the control area and the first page, sees that the prototype PTEs of the range exist, and writes
 * no PTE: faults find their way through the VAD. A view that copies on write is charged for every page, since each may come to be
 * the process's own. Unmapping gives up shares and private copies alike, then the VAD, then the view's hold on the section.
 *
 * Locks: address lock for the whole of it, working-set lock where the tree and PTEs change. Prototype PTEs are made before either.
 *
 * Source: ZwMapViewOfSection and ZwUnmapViewOfSection in the Windows driver documentation.
 */
#include "../misection.h"
#include "../miprocess.h"

typedef struct _MI_VIEW_REQUEST {
    ULONG64 Base; /* bytes; 0: anywhere that Place allows */
    MI_PLACE Place;
    ULONG64 Offset, Bytes; /* of the section; Bytes 0: to its end */
    ULONG64 Commit;        /* bytes of a SEC_RESERVE section to commit at once */
    ULONG Protection;      /* MM_... */
    ULONG Inherit;
    BOOLEAN TopDown;
    BOOLEAN Replace; /* a placeholder */
    BOOLEAN Large;   /* in large pages */
} MI_VIEW_REQUEST, *PMI_VIEW_REQUEST;

PMMPTE MiPrototypeOfView(PMI_VAD Vad, ULONG64 Vpn)
{
    ULONG64 Page = Vad->FirstPage + (Vpn - Vad->StartVpn);
    PSUBSECTION Subsection = MiSubsectionOfPage(Vad->ControlArea, Page);

    return &Subsection->Prototypes[Page - Subsection->StartingPage];
}

/* What views may have of a section of a protection: reading always, writing if it has, copies instead of writing always. */
static BOOLEAN MiSectionAllows(ULONG Maximum, ULONG Protection)
{
    ULONG Access = Protection & 7;

    if ((Access & MI_PROTECT_EXECUTE) != 0 && (Maximum & MI_PROTECT_EXECUTE) == 0) {
        return FALSE;
    }
    return (Access & 5) != MM_READWRITE || (Maximum & 5) == MM_READWRITE;
}

BOOLEAN MiViewMayHave(PMI_VAD Vad, ULONG Protection)
{
    return MiSectionAllows(Vad->Maximum, Protection) &&
           ((Protection & 7) == 0 || MiProtectionCacheType(Protection) == MiWriteBack);
}

ULONG MiViewProtection(PMI_VAD Vad, ULONG64 First, ULONG Protection)
{
    if (Vad->Image && (Protection & 5) == MM_READWRITE && MiFirstProtection(Vad, First) != MM_READWRITE) {
        return Protection | 1;
    }
    return Protection;
}

/* What is charged never shrinks before the view goes: who may write which page changes too often to be counted. */
BOOLEAN MiChargeCopies(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 Pages)
{
    ULONG64 More = min(Pages, Vad->EndVpn - Vad->StartVpn + 1 - Vad->Commit);
    KIRQL Irql;

    if (More == 0) {
        return TRUE;
    }
    if (!MiChargeProcess(Space, More)) {
        return FALSE;
    }
    Irql = MiLockPfn();
    Vad->Commit += More;
    MiUnlockPfn(Irql);
    return TRUE;
}

/* Pages of a new view that may become copies: all, or the parts of an image that are written. */
static ULONG64 MiCopiedPages(PCONTROL_AREA ControlArea, const MI_VIEW_REQUEST *Request)
{
    ULONG64 First = Request->Offset >> PAGE_SHIFT, Pages = Request->Bytes >> PAGE_SHIFT, Copied = 0;

    if (ControlArea->Image == NULL) {
        return (Request->Protection & 5) == MM_WRITECOPY ? Pages : 0;
    }
    for (ULONG64 Page = First; Page < First + Pages; Page++) {
        Copied += MiPartOf(MiSubsectionOfPage(ControlArea, Page))->Protection == MM_WRITECOPY;
    }
    return Copied;
}

/* Where an image is relocated for, if the addresses are free and allowed; else anywhere. */
static VOID MiPreferImageBase(PMI_ADDRESS_SPACE Space, PMI_VIEW_REQUEST Request, PMI_VAD Vad)
{
    ULONG64 Base = Vad->ControlArea->Image->Base + Request->Offset;

    if (Request->Base == 0 && Base >= Request->Place.Lowest && Base + Request->Bytes - 1 <= Request->Place.Highest &&
        !MiVadsOverlap(Space, MI_VPN(Base), MI_VPN(Base + Request->Bytes - 1))) {
        Request->Base = Base;
    }
}

static NTSTATUS MiPlaceView(PMI_ADDRESS_SPACE Space, PMI_VIEW_REQUEST Request, PMI_VAD Vad)
{
    ULONG64 Pages = BYTES_TO_PAGES(Request->Bytes);

    if (Request->Base == 0) {
        Vad->StartVpn = MiFindGap(Space, Pages, &Request->Place, Request->TopDown);
        if (Vad->StartVpn == 0) {
            return STATUS_NO_MEMORY;
        }
    } else {
        Vad->StartVpn = MI_VPN(Request->Base);
    }
    Vad->EndVpn = Vad->StartVpn + Pages - 1;
    if (Request->Replace) {
        return MiFindPlaceholder(Space, Vad->StartVpn, Vad->EndVpn) != NULL ? STATUS_SUCCESS
                                                                            : STATUS_CONFLICTING_ADDRESSES;
    }
    return MiVadsOverlap(Space, Vad->StartVpn, Vad->EndVpn) ? STATUS_CONFLICTING_ADDRESSES : STATUS_SUCCESS;
}

/* Address lock held; the VAD is filled in but for its place. */
static NTSTATUS MiInsertView(PMI_ADDRESS_SPACE Space, PMI_VIEW_REQUEST Request, PMI_VAD Vad)
{
    ULONG64 Copied = MiCopiedPages(Vad->ControlArea, Request);
    NTSTATUS Status;

    if (Space->Deleted) {
        return STATUS_PROCESS_IS_TERMINATING;
    }
    if (Vad->Image) {
        MiPreferImageBase(Space, Request, Vad);
    }
    Status = MiPlaceView(Space, Request, Vad);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Copied != 0 && !MiChargeProcess(Space, Copied)) {
        return STATUS_COMMITMENT_LIMIT;
    }
    Vad->Commit = Copied;
    MiCountView(Vad->ControlArea, 1, TRUE);
    if (Request->Replace) {
        MiReplacePlaceholder(Space, MiFindPlaceholder(Space, Vad->StartVpn, Vad->EndVpn), Vad);
        return STATUS_SUCCESS;
    }
    ExAcquireFastMutex(&Space->WorkingSetLock);
    MiInsertVad(Space, Vad);
    ExReleaseFastMutex(&Space->WorkingSetLock);
    return STATUS_SUCCESS;
}

/* What a view in large pages asks for beyond the rest. */
static NTSTATUS MiFitLargeView(PCONTROL_AREA ControlArea, PMI_VIEW_REQUEST Request)
{
    if (ControlArea == NULL || !ControlArea->LargePages) {
        return STATUS_INVALID_PARAMETER_9;
    }
    if (!MiIsLargeProtection(Request->Protection)) {
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    if ((Request->Base | Request->Offset) % MM_LARGE_PAGE != 0) {
        return STATUS_MAPPED_ALIGNMENT;
    }
    Request->Place.Alignment = max(Request->Place.Alignment, MM_LARGE_PAGE);
    return Request->Bytes % MM_LARGE_PAGE != 0 ? STATUS_INVALID_VIEW_SIZE : STATUS_SUCCESS;
}

/* Checks a request against its section, fills in the size. */
static NTSTATUS MiFitView(PSECTION Section, PMI_VIEW_REQUEST Request)
{
    if (Section->ControlArea == NULL) { /* pages of physical memory, read or written */
        if ((Request->Protection != MM_READONLY && Request->Protection != MM_READWRITE) || Request->Replace) {
            return STATUS_INVALID_PAGE_PROTECTION;
        }
        if (Request->Bytes == 0) {
            return STATUS_INVALID_VIEW_SIZE;
        }
    } else if (!Request->Replace && Request->Offset % MI_GRANULARITY != 0) {
        return STATUS_MAPPED_ALIGNMENT;
    } else if (Section->ControlArea->Image != NULL) {
        Request->Protection = MM_EXECUTE_WRITECOPY; /* each part of it has its own */
    } else if (!MiSectionAllows(Section->Protection, Request->Protection)) {
        return STATUS_SECTION_PROTECTION;
    }
    if (Request->Offset >= Section->Bytes) {
        return STATUS_INVALID_VIEW_SIZE;
    }
    if (Request->Bytes == 0) {
        Request->Bytes = Section->Bytes - Request->Offset;
    }
    if (Request->Bytes > ROUND_TO_PAGES(Section->Bytes) - Request->Offset) {
        return STATUS_INVALID_VIEW_SIZE;
    }
    Request->Bytes = ROUND_TO_PAGES(Request->Bytes);
    if (Request->Commit > Request->Bytes) {
        return STATUS_INVALID_PARAMETER_5;
    }
    if (Request->Base != 0 && (Request->Base > MI_HIGHEST_VAD || Request->Bytes > MI_HIGHEST_VAD + 1 - Request->Base)) {
        return STATUS_INVALID_PARAMETER_3;
    }
    return Request->Large ? MiFitLargeView(Section->ControlArea, Request) : STATUS_SUCCESS;
}

/* A view of \Device\PhysicalMemory: aliases, whose frames the claim keeps. */
static NTSTATUS MiMapPhysicalView(PMI_ADDRESS_SPACE Space, PMI_VIEW_REQUEST Request)
{
    MI_ALIASES Aliases = {.FirstFrame = Request->Offset >> PAGE_SHIFT, .ReadOnly = Request->Protection == MM_READONLY};
    PMI_VAD Vad = MiCreateVad(MiVadLocked, 0, 0, Request->Protection);
    NTSTATUS Status = Vad == NULL ? STATUS_INSUFFICIENT_RESOURCES
                                  : MiClaimPhysicalView(Aliases.FirstFrame, Request->Bytes >> PAGE_SHIFT,
                                                        &Aliases.DeviceType, &Vad->PhysicalClaim);

    if (!NT_SUCCESS(Status)) {
        if (Vad != NULL) {
            ExFreePoolWithTag(Vad, MI_TAG_VAD);
        }
        return Status;
    }
    ExAcquireFastMutex(&Space->AddressLock);
    Status = Space->Deleted ? STATUS_PROCESS_IS_TERMINATING : MiPlaceView(Space, Request, Vad);
    if (NT_SUCCESS(Status)) {
        MiFillAliasVad(Space, Vad, &Aliases);
        Request->Base = (ULONG64)MI_VPN_ADDRESS(Vad->StartVpn);
    }
    ExReleaseFastMutex(&Space->AddressLock);
    if (!NT_SUCCESS(Status)) {
        MiReleasePhysicalView(Vad->PhysicalClaim);
        ExFreePoolWithTag(Vad, MI_TAG_VAD);
    }
    return Status;
}

/* Maps a view into the current process; Request->Base receives its address. */
static NTSTATUS MiMapView(PSECTION Section, PMI_ADDRESS_SPACE Space, PMI_VIEW_REQUEST Request)
{
    NTSTATUS Status = MiFitView(Section, Request);
    PMI_VAD Vad;

    if (NT_SUCCESS(Status) && Section->ControlArea == NULL) {
        return MiMapPhysicalView(Space, Request);
    }
    if (NT_SUCCESS(Status)) {
        Status = MmPrepareDataSection(Section->ControlArea, Request->Offset, Request->Bytes);
    }
    if (NT_SUCCESS(Status) && Section->ControlArea->Reserve && Request->Commit != 0) {
        Status =
            MiCommitSectionPages(Section->ControlArea, Request->Offset >> PAGE_SHIFT, BYTES_TO_PAGES(Request->Commit));
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Vad = MiCreateVad(MiVadMapped, 0, 0, Request->Protection);
    if (Vad == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Vad->CommitAll = TRUE;
    Vad->Image = Section->ControlArea->Image != NULL;
    Vad->LargePages = Request->Large;
    Vad->ControlArea = Section->ControlArea;
    Vad->FirstPage = Request->Offset >> PAGE_SHIFT;
    Vad->Maximum = Section->Protection;
    Vad->Inherit = Request->Inherit;
    ExAcquireFastMutex(&Space->AddressLock);
    Status = MiInsertView(Space, Request, Vad);
    if (NT_SUCCESS(Status) && Vad->LargePages) {
        MiFillLargeVad(Space, Vad);
    }
    if (NT_SUCCESS(Status)) {
        Request->Base = (ULONG64)MI_VPN_ADDRESS(Vad->StartVpn);
        if (Vad->Image && Request->Base - Request->Offset != Vad->ControlArea->Image->Base) {
            Status = STATUS_IMAGE_NOT_AT_BASE;
        }
    } else {
        ExFreePoolWithTag(Vad, MI_TAG_VAD);
    }
    ExReleaseFastMutex(&Space->AddressLock);
    if (NT_SUCCESS(Status) && Section->ControlArea->Image != NULL) {
        MiNotifyImageView(Section->ControlArea, (PVOID)Request->Base, Request->Bytes);
    }
    return Status;
}

VOID MiForgetView(PMI_VAD Vad)
{
    if (Vad->Type == MiVadMapped) {
        MiCountView(Vad->ControlArea, -1, TRUE);
    } else if (Vad->PhysicalClaim != NULL) {
        MiReleasePhysicalView(Vad->PhysicalClaim);
    }
}

/* Unmaps the view that an address of the current process lies in. */
static NTSTATUS MiUnmapView(PMI_ADDRESS_SPACE Space, PVOID Base, BOOLEAN Preserve)
{
    PMI_VAD Placeholder = Preserve ? MiCreateVad(MiVadPrivate, 0, 0, MM_NOACCESS) : NULL;
    NTSTATUS Status = STATUS_NOT_MAPPED_VIEW;
    PMI_VAD Vad;

    if (Preserve && Placeholder == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ExAcquireFastMutex(&Space->AddressLock);
    Vad = MiFindVad(Space, MI_VPN(Base));
    if (Vad != NULL && (Vad->Type == MiVadMapped || (Vad->PhysicalClaim != NULL && !Preserve))) {
        Status = Vad->Secured != 0 ? STATUS_INVALID_PAGE_PROTECTION : STATUS_SUCCESS;
    }
    if (NT_SUCCESS(Status)) {
        ExAcquireFastMutex(&Space->WorkingSetLock);
        if (Vad->PhysicalClaim != NULL) {
            MiUnmapAliases(Space, Vad);
        } else if (Vad->LargePages) {
            MiEmptyLargeVad(Space, Vad);
        } else {
            MiDeleteUserRange(Space, Vad->StartVpn, Vad->EndVpn, (MMPTE){.Long = 0});
        }
        MiRemoveVad(Space, Vad);
        if (Preserve) {
            Placeholder->StartVpn = Vad->StartVpn;
            Placeholder->EndVpn = Vad->EndVpn;
            Placeholder->Placeholder = TRUE;
            MiInsertVad(Space, Placeholder);
        }
        ExReleaseFastMutex(&Space->WorkingSetLock);
        MiReturnCommit(&Space->Commit, Vad->Commit);
        MiForgetView(Vad);
        ExFreePoolWithTag(Vad, MI_TAG_VAD);
    } else if (Preserve) {
        ExFreePoolWithTag(Placeholder, MI_TAG_VAD);
    }
    ExReleaseFastMutex(&Space->AddressLock);
    return Status;
}

/* ---- The services ---- */

/* The right to a section that a view of a protection needs. */
static ACCESS_MASK MiViewAccess(ULONG Protection)
{
    ACCESS_MASK Access = (Protection & 5) == MM_READWRITE ? SECTION_MAP_WRITE : SECTION_MAP_READ;

    return (Protection & MI_PROTECT_EXECUTE) != 0 ? Access | SECTION_MAP_EXECUTE : Access;
}

/* Everything that can be told without looking at section or process. */
static NTSTATUS MiDecodeView(PVOID Base, ULONG_PTR ZeroBits, SIZE_T Commit, const LARGE_INTEGER *Offset, SIZE_T Bytes,
                             SECTION_INHERIT Inherit, ULONG AllocationType, ULONG Protect, PMI_VIEW_REQUEST Request)
{
    if (Inherit != ViewShare && Inherit != ViewUnmap) {
        return STATUS_INVALID_PARAMETER_8;
    }
    if ((AllocationType & ~(ULONG)(MEM_TOP_DOWN | MEM_REPLACE_PLACEHOLDER | MEM_LARGE_PAGES)) != 0) {
        return STATUS_INVALID_PARAMETER_9;
    }
    if (ZeroBits > 21) {
        return STATUS_INVALID_PARAMETER_4;
    }
    Request->Place = MiAnyPlace;
    if (ZeroBits != 0) {
        Request->Place.Highest = 0xFFFFFFFFULL >> ZeroBits;
    }
    Request->Replace = (AllocationType & MEM_REPLACE_PLACEHOLDER) != 0;
    Request->Large = (AllocationType & MEM_LARGE_PAGES) != 0;
    Request->Protection = MiMakeProtection(Protect);
    if (Request->Protection == MM_INVALID_PROTECTION || (Protect & (PAGE_NOCACHE | PAGE_WRITECOMBINE)) != 0) {
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    if ((ULONG64)Base > MI_HIGHEST_VAD || (Base != NULL && (ULONG64)Base < MI_LOWEST_USER)) {
        return STATUS_INVALID_PARAMETER_3;
    }
    if ((ULONG64)Base % (Request->Replace ? PAGE_SIZE : MI_GRANULARITY) != 0 ||
        (ULONG64)Offset->QuadPart % PAGE_SIZE != 0) {
        return STATUS_MAPPED_ALIGNMENT;
    }
    if (Offset->QuadPart < 0 || Bytes > MI_HIGHEST_VAD) {
        return STATUS_INVALID_VIEW_SIZE;
    }
    Request->Base = (ULONG64)Base;
    Request->Offset = (ULONG64)Offset->QuadPart;
    Request->Bytes = Bytes;
    Request->Commit = Commit;
    Request->Inherit = Inherit;
    Request->TopDown = (AllocationType & MEM_TOP_DOWN) != 0;
    return STATUS_SUCCESS;
}

static NTSTATUS MiCaptureView(PVOID *BaseAddress, PSIZE_T ViewSize, PLARGE_INTEGER SectionOffset, PVOID *Base,
                              PSIZE_T Size, PLARGE_INTEGER Offset)
{
    NTSTATUS Status = MiCaptureRange(BaseAddress, ViewSize, Base, Size);

    if (NT_SUCCESS(Status) && SectionOffset != NULL) {
        Status = MiCaptureBytes(Offset, SectionOffset, sizeof(*Offset));
    }
    return Status;
}

static NTSTATUS MiMapViewInProcess(HANDLE SectionHandle, HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T ViewSize,
                                   PMI_VIEW_REQUEST Request)
{
    PSECTION Section;
    MI_TARGET Target;
    NTSTATUS Status = ObReferenceObjectByHandle(SectionHandle, MiViewAccess(Request->Protection), MmSectionObjectType,
                                                ExGetPreviousMode(), (PVOID *)&Section, NULL);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = MiOpenTarget(ProcessHandle, MI_PROCESS_VM_OPERATION, &Target);
    if (NT_SUCCESS(Status)) {
        Status = MiMapView(Section, Target.Space, Request);
        MiCloseTarget(&Target);
    }
    ObDereferenceObject(Section);
    if (NT_SUCCESS(Status)) {
        NTSTATUS Returned = MiReturnRange(BaseAddress, ViewSize, (PVOID)Request->Base, Request->Bytes);

        Status = NT_SUCCESS(Returned) ? Status : Returned;
    }
    return Status;
}

/**
 * NtMapViewOfSection - shows a part of a section at addresses of a process.
 *
 * @SectionHandle  with SECTION_MAP_READ, ..._WRITE, ..._EXECUTE as @Protect needs
 * @ProcessHandle  with PROCESS_VM_OPERATION
 * @BaseAddress    in: where (64 KB steps), NULL: anywhere; out: the view's start
 * @ZeroBits       as for NtAllocateVirtualMemory, at most 21
 * @CommitSize     bytes of a SEC_RESERVE section to commit from the view's start on
 * @SectionOffset  bytes, 64 KB steps; NULL: 0
 * @ViewSize       bytes, 0: to the section's end; out: whole pages
 * @InheritDisposition  ViewShare or ViewUnmap
 * @AllocationType MEM_TOP_DOWN, MEM_LARGE_PAGES (of a section of large pages: base, offset and size in steps of 2 MB; the
 *                 pages are read or written, not copied). Without it such a section is shown in small pages, as any other.
 *
 * An image has the protections of its sections, whatever @Protect; it is mapped where it is relocated for if it can be.
 *
 * IRQL: PASSIVE_LEVEL. Returns STATUS_IMAGE_NOT_AT_BASE if it could not: the caller has to relocate it. Fails:
 * STATUS_INVALID_PARAMETER_3 (base), _4 (zero bits), _5 (commit size), _8, _9, STATUS_INVALID_PAGE_PROTECTION, STATUS_MAPPED_ALIGNMENT, STATUS_INVALID_VIEW_SIZE, STATUS_SECTION_PROTECTION (more than the section allows),
 * STATUS_CONFLICTING_ADDRESSES, STATUS_NO_MEMORY, STATUS_COMMITMENT_LIMIT, what bad handles and pointers give.
 */
NTSTATUS NTAPI NtMapViewOfSection(HANDLE SectionHandle, HANDLE ProcessHandle, PVOID *BaseAddress, ULONG_PTR ZeroBits,
                                  SIZE_T CommitSize, PLARGE_INTEGER SectionOffset, PSIZE_T ViewSize,
                                  SECTION_INHERIT InheritDisposition, ULONG AllocationType, ULONG Protect)
{
    LARGE_INTEGER Offset = {.QuadPart = 0};
    MI_VIEW_REQUEST Request;
    PVOID Base;
    SIZE_T Size;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    Status = MiCaptureView(BaseAddress, ViewSize, SectionOffset, &Base, &Size, &Offset);
    if (NT_SUCCESS(Status) && (AllocationType & MEM_REPLACE_PLACEHOLDER) != 0) {
        Status = STATUS_INVALID_PARAMETER_9; /* NtMapViewOfSectionEx has it */
    }
    if (NT_SUCCESS(Status)) {
        Status = MiDecodeView(Base, ZeroBits, CommitSize, &Offset, Size, InheritDisposition, AllocationType, Protect,
                              &Request);
    }
    return NT_SUCCESS(Status) ? MiMapViewInProcess(SectionHandle, ProcessHandle, BaseAddress, ViewSize, &Request)
                              : Status;
}

/**
 * NtMapViewOfSectionEx - the same in the place of a placeholder, or with a say in the place; inherited by nobody.
 *
 * @BaseAddress     as above; with MEM_REPLACE_PLACEHOLDER the placeholder's start, and the view exactly as large
 * @AllocationType  MEM_TOP_DOWN, MEM_LARGE_PAGES, MEM_REPLACE_PLACEHOLDER
 * @Parameters      as for NtAllocateVirtualMemoryEx
 *
 * IRQL: PASSIVE_LEVEL. Fails: as above, but STATUS_INVALID_PARAMETER_6 for the allocation type; STATUS_INVALID_PARAMETER (parameters).
 */
NTSTATUS NTAPI NtMapViewOfSectionEx(HANDLE SectionHandle, HANDLE ProcessHandle, PVOID *BaseAddress,
                                    PLARGE_INTEGER SectionOffset, PSIZE_T ViewSize, ULONG AllocationType, ULONG Protect,
                                    PVM_EXTENDED_PARAMETER Parameters, ULONG Count)
{
    LARGE_INTEGER Offset = {.QuadPart = 0};
    MI_PLACE Place = MiAnyPlace;
    MI_VIEW_REQUEST Request;
    PVOID Base;
    SIZE_T Size;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    Status = MiCaptureView(BaseAddress, ViewSize, SectionOffset, &Base, &Size, &Offset);
    if (NT_SUCCESS(Status)) {
        Status = MiCaptureParameters(Parameters, Count, &Place);
    }
    if (NT_SUCCESS(Status) && Base != NULL && !RtlEqualMemory(&Place, &MiAnyPlace, sizeof(Place))) {
        Status = STATUS_INVALID_PARAMETER;
    }
    if (NT_SUCCESS(Status)) {
        Status = MiDecodeView(Base, 0, 0, &Offset, Size, ViewUnmap, AllocationType, Protect, &Request);
    }
    if (NT_SUCCESS(Status) && Request.Replace && Base == NULL) {
        Status = STATUS_INVALID_PARAMETER_3;
    }
    if (NT_SUCCESS(Status)) {
        Request.Place = Place;
        Status = MiMapViewInProcess(SectionHandle, ProcessHandle, BaseAddress, ViewSize, &Request);
    }
    return Status == STATUS_INVALID_PARAMETER_9 ? STATUS_INVALID_PARAMETER_6 : Status;
}

/**
 * NtUnmapViewOfSection - takes down the view that an address lies in.
 *
 * @ProcessHandle  with PROCESS_VM_OPERATION
 *
 * IRQL: PASSIVE_LEVEL. Fails: STATUS_NOT_MAPPED_VIEW, STATUS_INVALID_PAGE_PROTECTION (secured), what a bad handle gives.
 */
NTSTATUS NTAPI NtUnmapViewOfSection(HANDLE ProcessHandle, PVOID BaseAddress)
{
    return NtUnmapViewOfSectionEx(ProcessHandle, BaseAddress, 0);
}

/* NtUnmapViewOfSectionEx - the same; @Flags: MEM_PRESERVE_PLACEHOLDER. Fails also: STATUS_INVALID_PARAMETER_3 (flags). */
NTSTATUS NTAPI NtUnmapViewOfSectionEx(HANDLE ProcessHandle, PVOID BaseAddress, ULONG Flags)
{
    MI_TARGET Target;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if ((Flags & ~(ULONG)MEM_PRESERVE_PLACEHOLDER) != 0) {
        return STATUS_INVALID_PARAMETER_3;
    }
    if ((ULONG64)BaseAddress > MI_HIGHEST_USER) {
        return STATUS_NOT_MAPPED_VIEW;
    }
    Status = MiOpenTarget(ProcessHandle, MI_PROCESS_VM_OPERATION, &Target);
    if (NT_SUCCESS(Status)) {
        Status = MiUnmapView(Target.Space, BaseAddress, Flags != 0);
        MiCloseTarget(&Target);
    }
    return Status;
}

/* ---- By pointer, for drivers ---- */

/* As NtMapViewOfSection, for a section and a process that the caller holds references on; its variables are the kernel's. */
NTSTATUS NTAPI MmMapViewOfSection(PVOID SectionObject, PEPROCESS Process, PVOID *BaseAddress, ULONG_PTR ZeroBits,
                                  SIZE_T CommitSize, PLARGE_INTEGER SectionOffset, PSIZE_T ViewSize,
                                  SECTION_INHERIT InheritDisposition, ULONG AllocationType, ULONG Protect)
{
    LARGE_INTEGER Offset = {.QuadPart = SectionOffset != NULL ? SectionOffset->QuadPart : 0};
    MI_VIEW_REQUEST Request;
    KAPC_STATE ApcState;
    NTSTATUS Status = MiDecodeView(*BaseAddress, ZeroBits, CommitSize, &Offset, *ViewSize, InheritDisposition,
                                   AllocationType, Protect, &Request);

    if (NT_SUCCESS(Status) && MiSpaceOf(Process) == NULL) {
        Status = STATUS_PROCESS_IS_TERMINATING;
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    KeStackAttachProcess((PVOID)Process, &ApcState);
    Status = MiMapView(SectionObject, MiSpaceOf(Process), &Request);
    KeUnstackDetachProcess(&ApcState);
    if (NT_SUCCESS(Status)) {
        *BaseAddress = (PVOID)Request.Base;
        *ViewSize = Request.Bytes;
    }
    return Status;
}

NTSTATUS NTAPI MmUnmapViewOfSection(PEPROCESS Process, PVOID BaseAddress)
{
    KAPC_STATE ApcState;
    NTSTATUS Status;

    if (MiSpaceOf(Process) == NULL || (ULONG64)BaseAddress > MI_HIGHEST_USER) {
        return STATUS_NOT_MAPPED_VIEW;
    }
    KeStackAttachProcess((PVOID)Process, &ApcState);
    Status = MiUnmapView(MiSpaceOf(Process), BaseAddress, FALSE);
    KeUnstackDetachProcess(&ApcState);
    return Status;
}
