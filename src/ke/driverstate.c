/*
 * driverstate.c - wider vector registers for drivers.
 *
 * A driver may use XMM registers at any time; what is wider, or MMX and x87, is the interrupted program's (xstate.c), so a driver saves it first
 * and restores it afterwards. Above the registers lies a second matter: threads of the kernel have no place where a switch puts
 * such state away. A thread that saves below DISPATCH_LEVEL and has none gets one until it restores, so that what it computes
 * survives being preempted; at DISPATCH_LEVEL nobody else gets the processor.
 *
 * Saves nest, in a thread and in the DPCs above it, and are undone in reverse. Locks: none. IRQL: <= DISPATCH_LEVEL.
 * Source: WDK, KeSaveExtendedProcessorState; Intel SDM volume 1, chapter 13.
 */
#include "processor.h"

#include <ntos/pool.h>

#define TAG_DRIVER_STATE 'tsdK'
#define AREA_ALIGNMENT   64
#define AREA_HEADER      512 /* offset of the XSAVE header, which has to be zero at first */
#define AREA_HEADER_SIZE 64

/* What a thread of the kernel got for the time being, and the area, aligned, behind it. */
typedef struct _KI_DRIVER_STATE {
    PVOID ThreadArea; /* NULL: it had one, or needs none */
    UCHAR Room[];
} KI_DRIVER_STATE, *PKI_DRIVER_STATE;

ULONG64 NTAPI RtlGetEnabledExtendedFeatures(ULONG64 FeatureMask)
{
    return KeXstate.EnabledFeatures & FeatureMask;
}

/**
 * KeSaveExtendedProcessorState - saves registers that a driver is about to use.
 *
 * @Mask        XSTATE_MASK_*: which; those that are not enabled are left out
 * @XStateSave  the caller's, untouched until KeRestoreExtendedProcessorState by the same thread or DPC at the same IRQL
 * returns      STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES: nothing was saved, and the registers must not be used
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
NTSTATUS NTAPI KeSaveExtendedProcessorState(ULONG64 Mask, PXSTATE_SAVE XStateSave)
{
    PKTHREAD Thread = KeGetCurrentThread();
    PKI_DRIVER_STATE State;
    PVOID ThreadArea = NULL;
    PUCHAR Area;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    State = ExAllocatePoolWithTag(NonPagedPool, sizeof(*State) + KeXstate.Size + AREA_ALIGNMENT, TAG_DRIVER_STATE);
    if (State == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    if (KeGetCurrentIrql() < DISPATCH_LEVEL && Thread->StateSaveArea == NULL) {
        ThreadArea = KeCreateUserState();
        if (ThreadArea == NULL) {
            ExFreePoolWithTag(State, TAG_DRIVER_STATE);
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        Thread->StateSaveArea = ThreadArea; /* the next switch away fills it */
    }
    State->ThreadArea = ThreadArea;
    Area = ALIGN_UP_POINTER_BY(State->Room, AREA_ALIGNMENT);
    RtlZeroMemory(Area + AREA_HEADER, AREA_HEADER_SIZE);
    XStateSave->Prev = NULL;
    XStateSave->Thread = Thread;
    XStateSave->Level = KeGetCurrentIrql();
    XStateSave->XStateContext = (XSTATE_CONTEXT){
        .Mask = Mask & KeXstate.EnabledFeatures, .Length = KeXstate.Size, .Area = (PXSAVE_AREA)Area, .Buffer = State};
    KeSaveFeatures(Area, XStateSave->XStateContext.Mask);
    return STATUS_SUCCESS;
}

/* Undoes the last save of the thread or DPC. IRQL: that of the save. */
VOID NTAPI KeRestoreExtendedProcessorState(PXSTATE_SAVE XStateSave)
{
    PKI_DRIVER_STATE State = XStateSave->XStateContext.Buffer;

    ASSERT(XStateSave->Thread == KeGetCurrentThread() && XStateSave->Level == KeGetCurrentIrql());
    KeLoadFeatures(XStateSave->XStateContext.Area, XStateSave->XStateContext.Mask);
    if (State->ThreadArea != NULL) {
        KeGetCurrentThread()->StateSaveArea = NULL;
        KeDeleteUserState(State->ThreadArea);
    }
    ExFreePoolWithTag(State, TAG_DRIVER_STATE);
}
