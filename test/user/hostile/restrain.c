/*
 * restrain.c - calls that the program could not go on after, or that would change the machine for the next test, get other arguments.
 *
 * A restraint looks at what a call is about to do, by the handle's object and not by its value, changes as little as it can and
 * draws no random numbers. Beside each service stands why. After-routines take in what a call made or took away, or undo it.
 */
#include "hostile.h"

#define MEM_RELEASE_BIT 0x8000

static BOOLEAN IsOneOf(ULONG64 Value, ULONG64 First, ULONG64 Second)
{
    return (ULONG)Value == First || (ULONG)Value == Second;
}

/* ---- Waits: without a limit they would not end ---- */

static VOID TimeAt(PCALL Call, ULONG Index)
{
    Call->Argument[Index] = Call->Argument[Index] == 0 ? SoonPointer() : Call->Argument[Index];
}

static VOID TimeIsSecond(PCALL Call)
{
    TimeAt(Call, 1);
}

static VOID TimeIsThird(PCALL Call)
{
    TimeAt(Call, 2);
}

static VOID TimeIsFourth(PCALL Call)
{
    TimeAt(Call, 3);
}

static VOID TimeIsFifth(PCALL Call)
{
    TimeAt(Call, 4);
}

/* ---- Whom it happens to ---- */

static VOID NotMyProcess(PCALL Call)
{
    if (Call->Argument[0] == 0 || IsMyself(Call->Argument[0])) {
        Call->Argument[0] = VictimOf(TProcess);
    }
}

static VOID NotMyThread(PCALL Call)
{
    if (Call->Argument[0] == 0 || IsMyself(Call->Argument[0])) {
        Call->Argument[0] = VictimOf(TThread);
    }
}

static VOID NotMyselfInJob(PCALL Call)
{
    if (IsMyself(Call->Argument[1])) {
        Call->Argument[1] = VictimOf(TProcess);
    }
}

/* A thread of this program would run with these registers. */
static VOID ContextOfOthers(PCALL Call)
{
    THREAD_BASIC_INFORMATION Info;

    if (!NT_SUCCESS(
            NtQueryInformationThread((HANDLE)Call->Argument[0], ThreadBasicInformation, &Info, sizeof(Info), NULL)) ||
        Info.ClientId.UniqueProcess == Self.UniqueProcess) {
        Call->Argument[1] = Call->Bad;
    }
}

/* At real-time priority nobody else would run. */
static VOID NoPriority(PCALL Call)
{
    if (IsOneOf(Call->Argument[1], ThreadPriority, ThreadBasePriority)) {
        NotMyThread(Call);
    }
}

static VOID SafeRoutine(PCALL Call)
{
    Call->Argument[1] = (ULONG64)Nothing;
}

/* ---- What it happens to ---- */

/* The token of this process has to keep its privileges: without them children could not be ended. */
static VOID NotMyToken(PCALL Call)
{
    HANDLE Own = NULL;

    if (!NT_SUCCESS(NtOpenProcessToken(ZwCurrentProcess(), TOKEN_QUERY, &Own)) ||
        NtCompareObjects((HANDLE)Call->Argument[0], Own) == STATUS_SUCCESS) {
        Call->Argument[0] = 0;
    }
    NtClose(Own);
}

/* Names that stay, descriptors of the system's objects: of events only, which are all this program's own. */
static VOID OnlyEvents(PCALL Call)
{
    EVENT_BASIC_INFORMATION Info;

    if (NtQueryEvent((HANDLE)Call->Argument[0], 0, &Info, sizeof(Info), NULL) == STATUS_OBJECT_TYPE_MISMATCH) {
        Call->Argument[0] = OwnObject();
    }
}

/* What is permanent is the system's: its names have to be there for the next call. */
static VOID NotPermanent(PCALL Call)
{
    OBJECT_BASIC_INFORMATION Info;

    if (NT_SUCCESS(NtQueryObject((HANDLE)Call->Argument[0], ObjectBasicInformation, &Info, sizeof(Info), NULL)) &&
        (Info.Attributes & OBJ_PERMANENT) != 0) {
        Call->Argument[0] = OwnObject();
    }
}

static VOID BeforePermanent(PCALL Call)
{
    OnlyEvents(Call);
    SetPrivilege(SE_CREATE_PERMANENT_PRIVILEGE, TRUE);
}

static VOID AfterPermanent(PCALL Call, NTSTATUS Status)
{
    SetPrivilege(SE_CREATE_PERMANENT_PRIVILEGE, FALSE);
    if (NT_SUCCESS(Status) && !NT_SUCCESS(NtMakeTemporaryObject((HANDLE)Call->Argument[0]))) {
        MakeTemporary((HANDLE)Call->Argument[0]);
    }
}

static VOID NoPowerOff(PCALL Call)
{
    Call->Argument[0] = 3 + (Call->Argument[0] & 0xFFFF);
}

/* ---- Requests that would wait for somebody ---- */

static BOOLEAN IsPipe(ULONG64 Handle)
{
    FILE_FS_DEVICE_INFORMATION Info;
    IO_STATUS_BLOCK Iosb;

    return NT_SUCCESS(
               NtQueryVolumeInformationFile((HANDLE)Handle, &Iosb, &Info, sizeof(Info), FileFsDeviceInformation)) &&
           Info.DeviceType == FILE_DEVICE_NAMED_PIPE;
}

static VOID NoSynchronousPipe(PCALL Call)
{
    FILE_MODE_INFORMATION Mode;
    IO_STATUS_BLOCK Iosb;

    if (IsPipe(Call->Argument[0]) && (!NT_SUCCESS(NtQueryInformationFile((HANDLE)Call->Argument[0], &Iosb, &Mode,
                                                                         sizeof(Mode), FileModeInformation)) ||
                                      (Mode.Mode & (FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT)) != 0)) {
        Call->Argument[0] = 0;
    }
}

/* To flush a pipe is to wait until its other end has read. */
static VOID NoPipe(PCALL Call)
{
    Call->Argument[0] = IsPipe(Call->Argument[0]) ? 0 : Call->Argument[0];
}

static VOID AtOnce(PCALL Call)
{
    Call->Argument[8] = 1; /* NtLockFile: fail at once */
}

static VOID AsynchronousTenth(PCALL Call)
{
    Call->Argument[9] = 1;
}

static VOID AsynchronousTwelfth(PCALL Call)
{
    Call->Argument[11] = 1;
}

/* ---- Memory ---- */

static BOOLEAN InArena(ULONG64 Address)
{
    return Address - (ULONG64)Arena < ARENA_BYTES;
}

/* What is released is soon something else's, a stack's for one: the arena stays. */
static VOID KeepArena(PCALL Call)
{
    if ((Call->Argument[3] & MEM_RELEASE_BIT) != 0 && InArena(Call->Base) && IsMyself(Call->Argument[0])) {
        Call->Argument[3] = MEM_DECOMMIT;
    }
}

static VOID TakeIn(PCALL Call, BOOLEAN IsView)
{
    ULONG64 Base = Call->BasePlace == NULL ? 0 : *Call->BasePlace;

    if (Base != 0 && !MayTakeApart((PVOID)Base)) {
        KeepRegion((PVOID)Base, IsView);
    }
}

static VOID AfterAllocation(PCALL Call, NTSTATUS Status)
{
    if (NT_SUCCESS(Status) && IsMyself(Call->Argument[0])) {
        TakeIn(Call, FALSE);
    }
}

static VOID AfterMap(PCALL Call, NTSTATUS Status)
{
    if (NT_SUCCESS(Status) && IsMyself(Call->Argument[1])) {
        TakeIn(Call, TRUE);
    }
}

static VOID AfterFree(PCALL Call, NTSTATUS Status)
{
    if (NT_SUCCESS(Status) && (Call->Argument[3] & MEM_RELEASE_BIT) != 0 && IsMyself(Call->Argument[0])) {
        ForgetRegion((PVOID)Call->Base);
    }
}

static VOID AfterUnmap(PCALL Call, NTSTATUS Status)
{
    if (NT_SUCCESS(Status) && IsMyself(Call->Argument[0])) {
        ForgetRegion((PVOID)Call->Argument[1]);
    }
}

/* ---- The table ---- */

static const struct {
    PCSTR Name;
    PBEFORE Before;
    PAFTER After;
} Restraints[] = {{"NtDelayExecution", TimeIsSecond, NULL},
                  {"NtWaitForAlertByThreadId", TimeIsSecond, NULL},
                  {"NtWaitForSingleObject", TimeIsThird, NULL},
                  {"NtSignalAndWaitForSingleObject", TimeIsFourth, NULL},
                  {"NtWaitForKeyedEvent", TimeIsFourth, NULL},
                  {"NtReleaseKeyedEvent", TimeIsFourth, NULL},
                  {"NtWaitForMultipleObjects", TimeIsFifth, NULL},
                  {"NtRemoveIoCompletion", TimeIsFifth, NULL},
                  {"NtRemoveIoCompletionEx", TimeIsFifth, NULL},
                  {"NtTerminateProcess", NotMyProcess, NULL},
                  {"NtSuspendProcess", NotMyProcess, NULL},
                  {"NtSetInformationProcess", NotMyProcess, NULL}, /* limits, priority, token */
                  {"NtTerminateThread", NotMyThread, NULL},
                  {"NtSuspendThread", NotMyThread, NULL},
                  {"NtSetInformationThread", NoPriority, NULL},
                  {"NtSetContextThread", ContextOfOthers, NULL},
                  {"NtQueueApcThread", SafeRoutine, NULL},
                  {"NtAssignProcessToJobObject", NotMyselfInJob, NULL}, /* a job may end its processes */
                  {"NtAdjustPrivilegesToken", NotMyToken, NULL},
                  {"NtAdjustGroupsToken", NotMyToken, NULL},
                  {"NtSetInformationToken", NotMyToken, NULL},
                  {"NtSetSecurityObject", OnlyEvents, NULL},
                  {"NtMakeTemporaryObject", NotPermanent, NULL},
                  {"NtMakePermanentObject", BeforePermanent, AfterPermanent},
                  {"NtShutdownSystem", NoPowerOff, NULL},
                  {"NtReadFile", NoSynchronousPipe, NULL},
                  {"NtWriteFile", NoSynchronousPipe, NULL},
                  {"NtDeviceIoControlFile", NoSynchronousPipe, NULL},
                  {"NtFsControlFile", NoSynchronousPipe, NULL},
                  {"NtNotifyChangeDirectoryFile", NoSynchronousPipe, NULL},
                  {"NtFlushBuffersFile", NoPipe, NULL},
                  {"NtLockFile", AtOnce, NULL},
                  {"NtNotifyChangeKey", AsynchronousTenth, NULL},
                  {"NtNotifyChangeMultipleKeys", AsynchronousTwelfth, NULL},
                  {"NtAllocateVirtualMemory", NULL, AfterAllocation},
                  {"NtAllocateVirtualMemoryEx", NULL, AfterAllocation},
                  {"NtFreeVirtualMemory", KeepArena, AfterFree},
                  {"NtMapViewOfSection", NULL, AfterMap},
                  {"NtMapViewOfSectionEx", NULL, AfterMap},
                  {"NtUnmapViewOfSection", NULL, AfterUnmap},
                  {"NtUnmapViewOfSectionEx", NULL, AfterUnmap}};

BOOLEAN FindRestraints(PCSTR Name, PBEFORE *Before, PAFTER *After)
{
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Restraints); Index++) {
        if (strcmp(Name, Restraints[Index].Name) == 0) {
            *Before = Restraints[Index].Before;
            *After = Restraints[Index].After;
            return TRUE;
        }
    }
    return FALSE;
}
