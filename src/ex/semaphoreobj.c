/*
 * semaphoreobj.c - semaphores and mutants that have handles and names.
 *
 * The bodies are a KSEMAPHORE and a KMUTANT; Ke's dispatcher lock guards their state, waiting is eventobj.c's. A mutant whose last
 * reference goes while a thread owns it is taken from that thread first. IRQL: PASSIVE_LEVEL. No locks.
 * Source: Windows SDK documentation of semaphore and mutex objects.
 */
#include <ntos/ex.h>
#include <ntos/ke.h>
#include <ntos/ob.h>
#include <ntos/user.h>

POBJECT_TYPE ExpSemaphoreType, ExpMutantType;
POBJECT_TYPE *ExSemaphoreObjectType = &ExpSemaphoreType; /* the kernel's own view of the export */

static const OBJECT_TYPE_INITIALIZER ExpSemaphoreTypeInfo = {
    .Name = L"Semaphore",
    .GenericMapping = {STANDARD_RIGHTS_READ | SEMAPHORE_QUERY_STATE, STANDARD_RIGHTS_WRITE | SEMAPHORE_MODIFY_STATE,
                       STANDARD_RIGHTS_EXECUTE | SYNCHRONIZE, SEMAPHORE_ALL_ACCESS},
    .ValidAccess = SEMAPHORE_ALL_ACCESS,
    .PoolTag = 'ameS',
    .WaitOffset = 0,
};

/* Nobody else has the mutant: taking it from its owner is not a race with the owner's release, which needs a reference. */
static VOID ExpDeleteMutant(PVOID Object)
{
    PKMUTANT Mutant = Object;

    if (Mutant->OwnerThread != NULL) {
        KeReleaseMutant(Mutant, IO_NO_INCREMENT, TRUE, FALSE);
    }
}

static const OBJECT_TYPE_INITIALIZER ExpMutantTypeInfo = {
    .Name = L"Mutant",
    .GenericMapping = {STANDARD_RIGHTS_READ | MUTANT_QUERY_STATE, STANDARD_RIGHTS_WRITE,
                       STANDARD_RIGHTS_EXECUTE | SYNCHRONIZE, MUTANT_ALL_ACCESS},
    .ValidAccess = MUTANT_ALL_ACCESS,
    .PoolTag = 'atuM',
    .WaitOffset = 0,
    .DeleteProcedure = ExpDeleteMutant,
};

NTSTATUS ExpCreateSemaphoreType(VOID)
{
    return ObCreateObjectType(&ExpSemaphoreTypeInfo, &ExpSemaphoreType);
}

NTSTATUS ExpCreateMutantType(VOID)
{
    return ObCreateObjectType(&ExpMutantTypeInfo, &ExpMutantType);
}

/* ---- Semaphores ---- */

NTSTATUS NTAPI NtCreateSemaphore(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes,
                                 LONG InitialCount, LONG MaximumCount)
{
    PKSEMAPHORE Semaphore;
    NTSTATUS Status;

    if (MaximumCount <= 0 || InitialCount < 0 || InitialCount > MaximumCount) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = ExCreateObject(ExpSemaphoreType, Attributes, sizeof(*Semaphore), (PVOID *)&Semaphore);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    KeInitializeSemaphore(Semaphore, InitialCount, MaximumCount);
    return ExInsertObject(Semaphore, DesiredAccess, Handle);
}

NTSTATUS NTAPI NtOpenSemaphore(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes)
{
    return ExOpenObject(ExpSemaphoreType, Attributes, DesiredAccess, Handle);
}

/* returns STATUS_SEMAPHORE_LIMIT_EXCEEDED, the count unchanged, when the maximum would be passed. */
NTSTATUS NTAPI NtReleaseSemaphore(HANDLE Handle, LONG ReleaseCount, PLONG PreviousCount)
{
    PKSEMAPHORE Semaphore;
    LONG Previous = 0;
    NTSTATUS Status;

    if (ReleaseCount <= 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = ObReferenceObjectByHandle(Handle, SEMAPHORE_MODIFY_STATE, ExpSemaphoreType, ExGetPreviousMode(),
                                       (PVOID *)&Semaphore, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    __try {
        Previous = KeReleaseSemaphore(Semaphore, IO_NO_INCREMENT, ReleaseCount, FALSE);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    ObDereferenceObject(Semaphore);
    return ExReturnValue(Status, PreviousCount, &Previous, sizeof(Previous));
}

/* ---- Mutants ---- */

NTSTATUS NTAPI NtCreateMutant(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes,
                              BOOLEAN InitialOwner)
{
    PKMUTANT Mutant;
    NTSTATUS Status = ExCreateObject(ExpMutantType, Attributes, sizeof(*Mutant), (PVOID *)&Mutant);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    VfNameLock(Mutant, "MutantObjects");
    KeInitializeMutant(Mutant, InitialOwner);
    return ExInsertObject(Mutant, DesiredAccess, Handle);
}

NTSTATUS NTAPI NtOpenMutant(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes)
{
    return ExOpenObject(ExpMutantType, Attributes, DesiredAccess, Handle);
}

/* returns STATUS_MUTANT_NOT_OWNED from a thread that is not the owner. */
NTSTATUS NTAPI NtReleaseMutant(HANDLE Handle, PLONG PreviousCount)
{
    PKMUTANT Mutant;
    LONG Previous = 0;
    NTSTATUS Status;

    Status = ObReferenceObjectByHandle(Handle, 0, ExpMutantType, ExGetPreviousMode(), (PVOID *)&Mutant, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    __try {
        Previous = KeReleaseMutant(Mutant, IO_NO_INCREMENT, FALSE, FALSE);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    ObDereferenceObject(Mutant);
    return ExReturnValue(Status, PreviousCount, &Previous, sizeof(Previous));
}
