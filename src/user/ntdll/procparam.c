/*
 * procparam.c - process parameters as one block, and RtlCreateUserProcess, which starts a program with them.
 *
 * A block holds the structure and behind it every string, each with its NUL. Denormalised, the strings' pointers are offsets from the block, so that
 * it can be moved; normalised they are addresses. The environment is no part of the block but copied when the kernel takes the
 * parameters over.
 *
 * Locks: none. Source: public descriptions of RtlCreateProcessParametersEx and RtlCreateUserProcess; winternl.h.
 */
#include "ntdllp.h"

#define PARAMETER_STRINGS 8

/* The strings of a block, in the order in which they lie in it. */
static VOID RtlpListStrings(PRTL_USER_PROCESS_PARAMETERS Block, PUNICODE_STRING *List)
{
    PUNICODE_STRING Strings[PARAMETER_STRINGS] = {&Block->CurrentDirectory.DosPath,
                                                  &Block->DllPath,
                                                  &Block->ImagePathName,
                                                  &Block->CommandLine,
                                                  &Block->WindowTitle,
                                                  &Block->DesktopInfo,
                                                  &Block->ShellInfo,
                                                  &Block->RuntimeData};

    RtlCopyMemory(List, Strings, sizeof(Strings));
}

/* Pointers become addresses. Returns the block. */
PRTL_USER_PROCESS_PARAMETERS NTAPI RtlNormalizeProcessParams(PRTL_USER_PROCESS_PARAMETERS Block)
{
    PUNICODE_STRING List[PARAMETER_STRINGS];

    if (Block != NULL && (Block->Flags & RTL_USER_PROC_PARAMS_NORMALIZED) == 0) {
        RtlpListStrings(Block, List);
        for (ULONG Index = 0; Index < PARAMETER_STRINGS; Index++) {
            if (List[Index]->Buffer != NULL) {
                List[Index]->Buffer = (PWSTR)((ULONG_PTR)List[Index]->Buffer + (ULONG_PTR)Block);
            }
        }
        Block->Flags |= RTL_USER_PROC_PARAMS_NORMALIZED;
    }
    return Block;
}

/* Pointers become offsets. */
PRTL_USER_PROCESS_PARAMETERS NTAPI RtlDeNormalizeProcessParams(PRTL_USER_PROCESS_PARAMETERS Block)
{
    PUNICODE_STRING List[PARAMETER_STRINGS];

    if (Block != NULL && (Block->Flags & RTL_USER_PROC_PARAMS_NORMALIZED) != 0) {
        RtlpListStrings(Block, List);
        for (ULONG Index = 0; Index < PARAMETER_STRINGS; Index++) {
            if (List[Index]->Buffer != NULL) {
                List[Index]->Buffer = (PWSTR)((ULONG_PTR)List[Index]->Buffer - (ULONG_PTR)Block);
            }
        }
        Block->Flags &= ~(ULONG)RTL_USER_PROC_PARAMS_NORMALIZED;
    }
    return Block;
}

/**
 * RtlCreateProcessParametersEx - parameters for a new process, all strings copied.
 *
 * @Parameters        gets the block: RtlDestroyProcessParameters
 * @DllPath, @CurrentDirectory, @Environment  NULL: as this process has them
 * @CommandLine       NULL: the image's path; the rest NULL: empty
 * @Flags             RTL_USER_PROC_PARAMS_NORMALIZED: with addresses
 * returns            STATUS_SUCCESS; STATUS_INVALID_PARAMETER; STATUS_NO_MEMORY
 */
NTSTATUS NTAPI RtlCreateProcessParametersEx(PRTL_USER_PROCESS_PARAMETERS *Parameters, PUNICODE_STRING ImagePathName,
                                            PUNICODE_STRING DllPath, PUNICODE_STRING CurrentDirectory,
                                            PUNICODE_STRING CommandLine, PVOID Environment, PUNICODE_STRING WindowTitle,
                                            PUNICODE_STRING DesktopInfo, PUNICODE_STRING ShellInfo,
                                            PUNICODE_STRING RuntimeData, ULONG Flags)
{
    PRTL_USER_PROCESS_PARAMETERS Own = LdrpPeb()->ProcessParameters, New;
    UNICODE_STRING OwnDirectory = {0};
    PUNICODE_STRING Given[PARAMETER_STRINGS] = {CurrentDirectory != NULL ? CurrentDirectory : &OwnDirectory,
                                                DllPath != NULL ? DllPath : &Own->DllPath,
                                                ImagePathName,
                                                CommandLine != NULL ? CommandLine : ImagePathName,
                                                WindowTitle,
                                                DesktopInfo,
                                                ShellInfo,
                                                RuntimeData};
    PUNICODE_STRING List[PARAMETER_STRINGS];
    SIZE_T Bytes = sizeof(*New);
    PUCHAR Next;

    if (ImagePathName == NULL || (Flags & ~(ULONG)RTL_USER_PROC_PARAMS_NORMALIZED) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    if (CurrentDirectory == NULL && !NT_SUCCESS(RtlpCopyDirectory(&OwnDirectory))) {
        return STATUS_NO_MEMORY;
    }
    for (ULONG Index = 0; Index < PARAMETER_STRINGS; Index++) {
        Bytes += (Given[Index] == NULL ? 0 : Given[Index]->Length) + 2 * sizeof(WCHAR);
    }
    New = RtlAllocateHeap(LdrpPeb()->ProcessHeap, HEAP_ZERO_MEMORY, Bytes);
    if (New == NULL) {
        RtlFreeUnicodeString(&OwnDirectory);
        return STATUS_NO_MEMORY;
    }
    New->MaximumLength = New->Length = (ULONG)Bytes;
    New->Flags = RTL_USER_PROC_PARAMS_NORMALIZED;
    New->Environment = Environment != NULL ? Environment : Own->Environment;
    RtlpListStrings(New, List);
    Next = (PUCHAR)(New + 1);
    for (ULONG Index = 0; Index < PARAMETER_STRINGS; Index++) {
        USHORT Length = Given[Index] == NULL ? 0 : Given[Index]->Length;

        List[Index]->Buffer = (PWSTR)Next;
        List[Index]->Length = Length;
        List[Index]->MaximumLength = (USHORT)min(Length + sizeof(WCHAR), (SIZE_T)MAXUSHORT);
        if (Length != 0) {
            RtlCopyMemory(Next, Given[Index]->Buffer, Length);
        }
        Next += Length + sizeof(WCHAR);
    }
    RtlFreeUnicodeString(&OwnDirectory);
    *Parameters = (Flags & RTL_USER_PROC_PARAMS_NORMALIZED) != 0 ? New : RtlDeNormalizeProcessParams(New);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlDestroyProcessParameters(PRTL_USER_PROCESS_PARAMETERS Parameters)
{
    RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Parameters);
    return STATUS_SUCCESS;
}

/**
 * RtlCreateUserProcess - starts a program; its first thread is suspended (NtResumeThread).
 *
 * @ImageFileName   an NT path
 * @Attributes      not used
 * @ProcessParameters  in either form
 * @ProcessDescriptor, @ThreadDescriptor, @Parent, @DebugPort, @Token  must be NULL
 * @Information     Length is to be set; gets handles with all access, and identifiers
 * returns          STATUS_SUCCESS; STATUS_INVALID_PARAMETER; what NtCreateUserProcess says
 */
NTSTATUS NTAPI RtlCreateUserProcess(PUNICODE_STRING ImageFileName, ULONG Attributes,
                                    PRTL_USER_PROCESS_PARAMETERS ProcessParameters, PVOID ProcessDescriptor,
                                    PVOID ThreadDescriptor, HANDLE Parent, BOOLEAN InheritHandles, HANDLE DebugPort,
                                    HANDLE Token, PRTL_USER_PROCESS_INFORMATION Information)
{
    struct {
        SIZE_T TotalLength;
        PS_ATTRIBUTE Attributes[2];
    } List = {sizeof(List),
              {{.Attribute = PS_ATTRIBUTE_IMAGE_NAME, .Size = ImageFileName->Length, .ValuePtr = ImageFileName->Buffer},
               {.Attribute = PS_ATTRIBUTE_CLIENT_ID, .Size = sizeof(CLIENT_ID), .ValuePtr = &Information->ClientId}}};

    UNREFERENCED_PARAMETER(Attributes);
    if (ProcessDescriptor != NULL || ThreadDescriptor != NULL || Parent != NULL || DebugPort != NULL || Token != NULL ||
        Information->Length != sizeof(*Information)) {
        return STATUS_INVALID_PARAMETER;
    }
    return NtCreateUserProcess(&Information->ProcessHandle, &Information->ThreadHandle, PROCESS_ALL_ACCESS,
                               THREAD_ALL_ACCESS, NULL, NULL, InheritHandles ? PROCESS_CREATE_FLAGS_INHERIT_HANDLES : 0,
                               THREAD_CREATE_FLAGS_CREATE_SUSPENDED, RtlNormalizeProcessParams(ProcessParameters), NULL,
                               (PPS_ATTRIBUTE_LIST)&List);
}
