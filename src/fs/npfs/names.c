/*
 * names.c - pipes by name: finding, making and giving them up, and who may open them.
 *
 * All pipes with a name are on one list, in the order of their creation, which is that of listings. A name is there from its first instance
 * until the server end of its last one is closed; instances that clients still hold keep the pipe's memory, not its name.
 * Names are compared without regard to case.
 *
 * Every pipe has a security descriptor: the creator's, or what its token gives new objects. It is asked when a program opens a client end or makes
 * a further instance. Lock: the resource, exclusive. IRQL: PASSIVE_LEVEL.
 */
#include "np.h"

/* The pipe of a name, NULL: there is none. */
PNP_PIPE NpFindPipe(PCUNICODE_STRING Name)
{
    for (PLIST_ENTRY Link = NpPipes.Flink; Link != &NpPipes; Link = Link->Flink) {
        PNP_PIPE Pipe = CONTAINING_RECORD(Link, NP_PIPE, Link);

        if (RtlEqualUnicodeString(&Pipe->Name, Name, TRUE)) {
            return Pipe;
        }
    }
    return NULL;
}

/**
 * NpCreatePipe - makes a pipe without instances.
 *
 * @Name         without the first backslash; empty: an anonymous pipe, which is on no list
 * @Template     type, configuration, maximum and time-out
 * @AccessState  whose descriptor and subject count
 * returns       STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES, what SeAssignSecurity says
 */
NTSTATUS NpCreatePipe(PCUNICODE_STRING Name, const NP_PIPE *Template, PACCESS_STATE AccessState, PNP_PIPE *Result)
{
    static ULONG LastIdentifier;
    PNP_PIPE Pipe = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Pipe) + Name->Length, NP_TAG_PIPE);
    NTSTATUS Status;

    if (Pipe == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    *Pipe = *Template;
    Pipe->Count = 0;
    Pipe->Holders = 0;
    Pipe->Security = NULL;
    Pipe->Identifier = ++LastIdentifier;
    InitializeListHead(&Pipe->Instances);
    InitializeListHead(&Pipe->Link);
    Pipe->Name.Buffer = (PWCHAR)(Pipe + 1);
    Pipe->Name.Length = Pipe->Name.MaximumLength = Name->Length;
    RtlCopyMemory(Pipe->Name.Buffer, Name->Buffer, Name->Length);
    SeLockSubjectContext(&AccessState->SubjectSecurityContext);
    Status = SeAssignSecurity(NULL, AccessState->SecurityDescriptor, &Pipe->Security, FALSE,
                              &AccessState->SubjectSecurityContext, IoGetFileObjectGenericMapping(), PagedPool);
    SeUnlockSubjectContext(&AccessState->SubjectSecurityContext);
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(Pipe, NP_TAG_PIPE);
        return Status;
    }
    if (Name->Length != 0) {
        InsertTailList(&NpPipes, &Pipe->Link);
    }
    *Result = Pipe;
    return STATUS_SUCCESS;
}

/* An instance does not point here any longer, or none ever did: frees a pipe that has no holder left. */
VOID NpReleasePipe(PNP_PIPE Pipe)
{
    if (Pipe->Holders == 0 || InterlockedDecrement(&Pipe->Holders) == 0) {
        RemoveEntryList(&Pipe->Link);
        SeDeassignSecurity(&Pipe->Security);
        ExFreePoolWithTag(Pipe, NP_TAG_PIPE);
    }
}

/* The server end is closed: the instance counts no longer, and with the last one the name goes. */
VOID NpRemoveInstance(PNP_INSTANCE Instance)
{
    PNP_PIPE Pipe = Instance->Pipe;

    RemoveEntryList(&Instance->Link);
    InitializeListHead(&Instance->Link);
    if (--Pipe->Count == 0) {
        RemoveEntryList(&Pipe->Link);
        InitializeListHead(&Pipe->Link);
        NpWakeWaiters(Pipe, NULL, STATUS_OBJECT_NAME_NOT_FOUND);
    }
}

/**
 * NpCheckAccess - may whoever opens have what it asks for?
 *
 * @Context  of the create request; its access state's granted rights are set
 * @More     rights that are needed besides
 * @Mode     the requestor's; the kernel has every right, unless the open says otherwise
 * returns   STATUS_SUCCESS, STATUS_ACCESS_DENIED, what SeAccessCheck says
 */
NTSTATUS NpCheckAccess(PNP_PIPE Pipe, PIO_SECURITY_CONTEXT Context, ACCESS_MASK More, KPROCESSOR_MODE Mode)
{
    PACCESS_STATE State = Context->AccessState;
    PPRIVILEGE_SET Privileges = NULL;
    ACCESS_MASK Granted;
    NTSTATUS Status;
    BOOLEAN Allowed;

    SeLockSubjectContext(&State->SubjectSecurityContext);
    Allowed = SeAccessCheck(Pipe->Security, &State->SubjectSecurityContext, TRUE, Context->DesiredAccess | More, 0,
                            &Privileges, IoGetFileObjectGenericMapping(), Mode, &Granted, &Status);
    SeUnlockSubjectContext(&State->SubjectSecurityContext);
    if (Privileges != NULL) {
        SeFreePrivileges(Privileges);
    }
    if (!Allowed) {
        return Status;
    }
    State->PreviouslyGrantedAccess |= Granted;
    State->RemainingDesiredAccess &= ~(Granted | MAXIMUM_ALLOWED);
    return STATUS_SUCCESS;
}
