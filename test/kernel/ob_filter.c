/*
 * ob_filter.c - suite for those who look at handles being made: ObRegisterCallbacks.
 *
 * The handles are to the system process, whose table is the kernel's; a handle without OBJ_KERNEL_HANDLE counts as a user's there.
 * Every case unregisters what it registered.
 */
#include <ntos/ke.h>
#include <ntos/ktap.h>
#include <ntos/ob.h>
#include <ntos/ps.h>

#define PROCESS_TERMINATE 0x0001 /* of the SDK; the DDK leaves it out */
#define FILTER_RIGHTS     (PROCESS_ALL_ACCESS & 0x1FFFFF)

static ULONG FilterBefore[3], FilterAfter[3], FilterOrder; /* by operation */
static ACCESS_MASK FilterTakes, FilterGranted;

static OB_PREOP_CALLBACK_STATUS NTAPI FilterPre(PVOID Context, POB_PRE_OPERATION_INFORMATION Info)
{
    FilterBefore[Info->Operation]++;
    FilterOrder = FilterOrder * 10 + (ULONG)(ULONG_PTR)Context;
    Info->CallContext = Info;
    Info->Parameters->CreateHandleInformation.DesiredAccess &= ~FilterTakes;
    return OB_PREOP_SUCCESS;
}

static VOID NTAPI FilterPost(PVOID Context, POB_POST_OPERATION_INFORMATION Info)
{
    UNREFERENCED_PARAMETER(Context);
    FilterAfter[Info->Operation] += (Info->CallContext != NULL && Info->ReturnStatus == STATUS_SUCCESS) ? 1 : 100;
    FilterGranted = Info->Parameters->CreateHandleInformation.GrantedAccess;
}

static NTSTATUS FilterRegister(PCWSTR Altitude, ULONG_PTR Context, PVOID *Handle)
{
    OB_OPERATION_REGISTRATION Operation = {.ObjectType = PsProcessType,
                                           .Operations = OB_OPERATION_HANDLE_CREATE | OB_OPERATION_HANDLE_DUPLICATE,
                                           .PreOperation = FilterPre,
                                           .PostOperation = FilterPost};
    OB_CALLBACK_REGISTRATION Registration = {.Version = ObGetFilterVersion(),
                                             .OperationRegistrationCount = 1,
                                             .RegistrationContext = (PVOID)Context,
                                             .OperationRegistration = &Operation};

    RtlInitUnicodeString(&Registration.Altitude, Altitude);
    return ObRegisterCallbacks(&Registration, Handle);
}

static NTSTATUS FilterOpen(ULONG Attributes, PHANDLE Handle)
{
    return ObOpenObjectByPointer(PsInitialSystemProcess, Attributes, NULL, FILTER_RIGHTS, *PsProcessType, KernelMode,
                                 Handle);
}

/* The rights that a handle carries. */
static ACCESS_MASK FilterRights(HANDLE Handle)
{
    OBJECT_HANDLE_INFORMATION Info = {0};
    PVOID Object;

    if (NT_SUCCESS(ObReferenceObjectByHandle(Handle, 0, *PsProcessType, KernelMode, &Object, &Info))) {
        ObDereferenceObject(Object);
    }
    return Info.GrantedAccess;
}

static VOID FilterReset(ACCESS_MASK Takes)
{
    RtlZeroMemory(FilterBefore, sizeof(FilterBefore));
    RtlZeroMemory(FilterAfter, sizeof(FilterAfter));
    FilterOrder = 0;
    FilterTakes = Takes;
}

static VOID FilterTakesRights(PKTAP_CONTEXT Ktap)
{
    HANDLE Process, Kernel, Copy;
    PVOID Filter;

    FilterReset(PROCESS_TERMINATE);
    KTAP_EQUAL(FilterRegister(L"1000", 1, &Filter), STATUS_SUCCESS);
    KTAP_EQUAL(FilterOpen(0, &Process), STATUS_SUCCESS);
    KTAP_EQUAL(FilterRights(Process), FILTER_RIGHTS & ~PROCESS_TERMINATE);
    KTAP_EQUAL(FilterGranted, FILTER_RIGHTS & ~PROCESS_TERMINATE);
    KTAP_EXACT(FilterBefore[OB_OPERATION_HANDLE_CREATE], 1);
    KTAP_EXACT(FilterAfter[OB_OPERATION_HANDLE_CREATE], 1);
    KTAP_EQUAL(FilterOpen(OBJ_KERNEL_HANDLE, &Kernel), STATUS_SUCCESS);
    KTAP_EQUAL(FilterRights(Kernel), FILTER_RIGHTS); /* a kernel handle keeps them */
    KTAP_EQUAL(ZwDuplicateObject(ZwCurrentProcess(), Kernel, ZwCurrentProcess(), &Copy, 0, 0, DUPLICATE_SAME_ACCESS),
               STATUS_SUCCESS);
    KTAP_EQUAL(FilterRights(Copy), FILTER_RIGHTS & ~PROCESS_TERMINATE);
    KTAP_EXACT(FilterAfter[OB_OPERATION_HANDLE_DUPLICATE], 1);
    ZwClose(Copy);
    ZwClose(Kernel);
    ZwClose(Process);
    ObUnRegisterCallbacks(Filter);
    FilterReset(PROCESS_TERMINATE);
    KTAP_EQUAL(FilterOpen(0, &Process), STATUS_SUCCESS); /* nobody is asked any longer */
    KTAP_EQUAL(FilterRights(Process), FILTER_RIGHTS);
    KTAP_EQUAL(FilterBefore[OB_OPERATION_HANDLE_CREATE], 0);
    ZwClose(Process);
}

/* The highest altitude first; no two at one altitude. */
static VOID FilterAltitudes(PKTAP_CONTEXT Ktap)
{
    PVOID Low, High, Same;
    HANDLE Process;

    FilterReset(0);
    KTAP_EQUAL(FilterRegister(L"999.5", 1, &Low), STATUS_SUCCESS);
    KTAP_EQUAL(FilterRegister(L"1000", 2, &High), STATUS_SUCCESS);
    KTAP_EQUAL(FilterRegister(L"1000", 3, &Same), 0xFFFFFFFFC01C0011ULL);
    KTAP_EQUAL(FilterOpen(0, &Process), STATUS_SUCCESS);
    KTAP_EXACT(FilterOrder, 21);
    ZwClose(Process);
    ObUnRegisterCallbacks(Low);
    ObUnRegisterCallbacks(High);
}

static VOID FilterErrors(PKTAP_CONTEXT Ktap)
{
    OB_OPERATION_REGISTRATION Operation = {.ObjectType = PsProcessType, .Operations = 1, .PreOperation = FilterPre};
    OB_CALLBACK_REGISTRATION Registration = {
        .Version = 0x200, .OperationRegistrationCount = 1, .OperationRegistration = &Operation};
    PVOID Handle;

    KTAP_EQUAL(ObRegisterCallbacks(&Registration, &Handle), STATUS_INVALID_PARAMETER);
    Registration.Version = OB_FLT_REGISTRATION_VERSION;
    Operation.Operations = 4;
    KTAP_EQUAL(ObRegisterCallbacks(&Registration, &Handle), STATUS_INVALID_PARAMETER);
    Operation.Operations = 1;
    Operation.PreOperation = NULL;
    KTAP_EQUAL(ObRegisterCallbacks(&Registration, &Handle), STATUS_INVALID_PARAMETER);
    Operation.PreOperation = FilterPre;
    Operation.ObjectType = ExEventObjectType;
    KTAP_EQUAL(ObRegisterCallbacks(&Registration, &Handle), STATUS_INVALID_PARAMETER);
}

static const KTAP_CASE_ENTRY FilterCases[] = {
    {"rights", FilterTakesRights},
    {"altitudes", FilterAltitudes},
    {"errors", FilterErrors},
};

KTAP_SUITE(FilterSuite, "ob.filter", FilterCases);
