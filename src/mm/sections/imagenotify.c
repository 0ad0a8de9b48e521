/*
 * imagenotify.c - drivers that watch images hear of those that are mapped: other drivers, programs and their DLLs.
 *
 * They are told when the image is mapped and before anything of it runs, with no lock held; of a program's, in its process. The name of a
 * program's file is looked up only if somebody listens.
 *
 * Source: PsSetLoadImageNotifyRoutine in the Windows driver documentation.
 */
#include "../misection.h"
#include "../miprocess.h"

#define MI_TAG_NAME   'nImM'
#define MI_NAME_BYTES 1024u

static VOID MiTellOfImage(PUNICODE_STRING Name, HANDLE ProcessId, PVOID Base, SIZE_T Bytes)
{
    IMAGE_INFO Info = {.ImageBase = Base, .ImageSize = Bytes};

    Info.ImageAddressingMode = IMAGE_ADDRESSING_MODE_32BIT; /* the one mode that is defined */
    Info.SystemModeImage = ProcessId == NULL;
    PsNotifyLoadImage(Name, ProcessId, &Info);
}

VOID MiNotifyDriverImage(PKLDR_DATA_TABLE_ENTRY Entry)
{
    MiTellOfImage(&Entry->FullDllName, NULL, Entry->DllBase, Entry->SizeOfImage);
}

VOID MiNotifyImageView(PCONTROL_AREA ControlArea, PVOID Base, SIZE_T Bytes)
{
    POBJECT_NAME_INFORMATION Name;
    ULONG Needed;
    NTSTATUS Status = STATUS_INSUFFICIENT_RESOURCES;

    if (!PsIsImageLoadWatched()) {
        return;
    }
    Name = ExAllocatePoolWithTag(PagedPool, MI_NAME_BYTES, MI_TAG_NAME);
    if (Name != NULL) {
        Status = ObQueryNameString(ControlArea->FileObject, Name, MI_NAME_BYTES, &Needed);
    }
    MiTellOfImage(NT_SUCCESS(Status) ? &Name->Name : NULL, PsGetCurrentProcess()->UniqueProcessId, Base, Bytes);
    if (Name != NULL) {
        ExFreePoolWithTag(Name, MI_TAG_NAME);
    }
}
