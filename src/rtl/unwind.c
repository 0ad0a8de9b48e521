/*
 * unwind.c - walking x64 stacks by the unwind data of images.
 *
 * RtlVirtualUnwind undoes one function's prologue in a CONTEXT: every AMD64 unwind code, chained entries, both
 * versions' epilogues, and machine frames, through which a walk leaves a trap handler and enters the interrupted function.
 * Everything that is read from the stack goes through KiCopyMemoryNoFault, so that a damaged stack ends the walk
 * instead of faulting inside the fault handler; unwind data and code are read plainly once their addresses are
 * known to lie inside a loaded image, whose pages are resident.
 *
 * Source: Microsoft Learn, "x64 exception handling". Locks: none. IRQL: any. Must never: allocate, fault or raise.
 */
#include <ntos/ke.h>
#include <ntos/rtl.h>

#define UNWIND_CHAIN_LIMIT 32 /* chains are one or two long; a loop in bad data must end */
#define UNWIND_REG_RSP     4
#define UNWIND_REG_RBP     5

typedef struct _UNWIND_STATE {
    PCONTEXT Context;
    PKNONVOLATILE_CONTEXT_POINTERS Pointers; /* may be NULL */
    BOOLEAN MachineFrame;                    /* RIP and RSP came from one: no return address to pop */
    BOOLEAN Damaged;                         /* a stack read failed */
} UNWIND_STATE, *PUNWIND_STATE;

/* RAX..R15 lie in CONTEXT in the order of their register numbers. */
C_ASSERT(FIELD_OFFSET(CONTEXT, R15) - FIELD_OFFSET(CONTEXT, Rax) == 15 * sizeof(ULONG64));

static PULONG64 RtlpRegister(PCONTEXT Context, ULONG Number)
{
    return &(&Context->Rax)[Number];
}

static ULONG64 RtlpReadStack(PUNWIND_STATE State, ULONG64 Address)
{
    ULONG64 Value = 0;

    if ((Address & 7) != 0 || !KiCopyMemoryNoFault(&Value, (PVOID)Address, sizeof(Value))) {
        State->Damaged = TRUE;
    }
    return Value;
}

static VOID RtlpRestoreInteger(PUNWIND_STATE State, ULONG Register, ULONG64 Address)
{
    *RtlpRegister(State->Context, Register) = RtlpReadStack(State, Address);
    if (State->Pointers != NULL) {
        State->Pointers->IntegerContext[Register] = (PULONG64)Address;
    }
}

static VOID RtlpRestoreFloating(PUNWIND_STATE State, ULONG Register, ULONG64 Address)
{
    M128A *Target = &(&State->Context->Xmm0)[Register];

    if (!KiCopyMemoryNoFault(Target, (PVOID)Address, sizeof(*Target))) {
        State->Damaged = TRUE;
    }
    if (State->Pointers != NULL) {
        State->Pointers->FloatingContext[Register] = (PM128A)Address;
    }
}

/* ---- Lookup ---- */

PRUNTIME_FUNCTION NTAPI RtlLookupFunctionEntry(ULONG64 ControlPc, PULONG64 ImageBase,
                                               PUNWIND_HISTORY_TABLE HistoryTable)
{
    KI_IMAGE Image;

    if (!KiFindImage(ControlPc, &Image)) {
        *ImageBase = 0;
        return NULL;
    }
    *ImageBase = Image.Base;
    ULONG Offset = (ULONG)(ControlPc - *ImageBase);
    PRUNTIME_FUNCTION Table = Image.Table;
    ULONG Low = 0, High = Image.TableSize / sizeof(RUNTIME_FUNCTION);

    while (Low < High) {
        ULONG Middle = (Low + High) / 2;

        if (Offset < Table[Middle].BeginAddress) {
            High = Middle;
        } else if (Offset >= Table[Middle].EndAddress) {
            Low = Middle + 1;
        } else if ((Table[Middle].UnwindData & 1) != 0) {
            return (PRUNTIME_FUNCTION)(*ImageBase + Table[Middle].UnwindData - 1);
        } else {
            return &Table[Middle];
        }
    }
    return NULL;
}

static PUNWIND_INFO RtlpUnwindInfo(ULONG64 ImageBase, PRUNTIME_FUNCTION Entry)
{
    return (PUNWIND_INFO)(ImageBase + Entry->UnwindData);
}

/* What follows the codes (their number is rounded up to even): a chained entry, or a handler and its data. */
static PVOID RtlpAfterCodes(PUNWIND_INFO Info)
{
    return &Info->UnwindCode[(Info->CountOfCodes + 1) & ~1];
}

/* ---- Prologues ---- */

/* Slots of the code array that an operation takes; 0: unknown. */
static ULONG RtlpCodeSlots(UNWIND_CODE Code)
{
    switch (Code.UnwindOp) {
    case UWOP_PUSH_NONVOL:
    case UWOP_ALLOC_SMALL:
    case UWOP_SET_FPREG:
    case UWOP_PUSH_MACHFRAME:
    case UWOP_EPILOG:
        return 1;
    case UWOP_ALLOC_LARGE:
        return Code.OpInfo == 0 ? 2 : 3;
    case UWOP_SAVE_NONVOL:
    case UWOP_SAVE_XMM128:
        return 2;
    case UWOP_SAVE_NONVOL_FAR:
    case UWOP_SAVE_XMM128_FAR:
        return 3;
    default:
        return 0;
    }
}

static ULONG64 RtlpLongOperand(const UNWIND_CODE *Code)
{
    return Code[1].FrameOffset | (ULONG64)Code[2].FrameOffset << 16;
}

static VOID RtlpUndoMachineFrame(PUNWIND_STATE State, BOOLEAN ErrorCode)
{
    ULONG64 Frame = State->Context->Rsp + (ErrorCode ? sizeof(ULONG64) : 0);

    State->Context->Rip = RtlpReadStack(State, Frame);
    State->Context->SegCs = (USHORT)RtlpReadStack(State, Frame + 8);
    State->Context->EFlags = (ULONG)RtlpReadStack(State, Frame + 16);
    State->Context->Rsp = RtlpReadStack(State, Frame + 24);
    State->MachineFrame = TRUE;
}

/* Frame is the establisher frame: what register saves are relative to. */
static VOID RtlpUndoCode(PUNWIND_STATE State, PUNWIND_INFO Info, const UNWIND_CODE *Code, ULONG64 Frame)
{
    PCONTEXT Context = State->Context;

    switch (Code->UnwindOp) {
    case UWOP_PUSH_NONVOL:
        RtlpRestoreInteger(State, Code->OpInfo, Context->Rsp);
        Context->Rsp += sizeof(ULONG64);
        break;
    case UWOP_ALLOC_SMALL:
        Context->Rsp += Code->OpInfo * 8 + 8;
        break;
    case UWOP_ALLOC_LARGE:
        Context->Rsp += Code->OpInfo == 0 ? Code[1].FrameOffset * 8 : RtlpLongOperand(Code);
        break;
    case UWOP_SET_FPREG:
        Context->Rsp = *RtlpRegister(Context, Info->FrameRegister) - Info->FrameOffset * 16;
        break;
    case UWOP_SAVE_NONVOL:
        RtlpRestoreInteger(State, Code->OpInfo, Frame + Code[1].FrameOffset * 8);
        break;
    case UWOP_SAVE_NONVOL_FAR:
        RtlpRestoreInteger(State, Code->OpInfo, Frame + RtlpLongOperand(Code));
        break;
    case UWOP_SAVE_XMM128:
        RtlpRestoreFloating(State, Code->OpInfo, Frame + Code[1].FrameOffset * 16);
        break;
    case UWOP_SAVE_XMM128_FAR:
        RtlpRestoreFloating(State, Code->OpInfo, Frame + RtlpLongOperand(Code));
        break;
    case UWOP_PUSH_MACHFRAME:
        RtlpUndoMachineFrame(State, Code->OpInfo != 0);
        break;
    default:
        break;
    }
}

/* Undoes what the prologue had done at Offset; chained entries are complete prologues that ran before. */
static VOID RtlpUndoPrologue(PUNWIND_STATE State, ULONG64 ImageBase, PRUNTIME_FUNCTION Entry, ULONG Offset,
                             ULONG64 Frame)
{
    for (ULONG Depth = 0; Depth < UNWIND_CHAIN_LIMIT; Depth++) {
        PUNWIND_INFO Info = RtlpUnwindInfo(ImageBase, Entry);
        ULONG Index = 0;

        while (Index < Info->CountOfCodes) {
            const UNWIND_CODE *Code = &Info->UnwindCode[Index];
            ULONG Slots = RtlpCodeSlots(*Code);

            if (Slots == 0) {
                State->Damaged = TRUE;
                return;
            }
            if (Code->UnwindOp != UWOP_EPILOG && Code->CodeOffset <= Offset) {
                RtlpUndoCode(State, Info, Code, Frame);
            }
            Index += Slots;
        }
        if ((Info->Flags & UNW_FLAG_CHAININFO) == 0) {
            return;
        }
        Entry = RtlpAfterCodes(Info);
        Offset = 0xFFFFFFFF;
    }
    State->Damaged = TRUE;
}

/* RSP after the prologue, or what stands for it while the prologue has not set the frame register yet. */
static ULONG64 RtlpEstablisherFrame(PCONTEXT Context, PUNWIND_INFO Info, ULONG Offset)
{
    if (Info->FrameRegister == 0) {
        return Context->Rsp;
    }
    BOOLEAN Set = Offset >= Info->SizeOfProlog || (Info->Flags & UNW_FLAG_CHAININFO) != 0;

    for (ULONG Index = 0; !Set && Index < Info->CountOfCodes;) {
        ULONG Slots = RtlpCodeSlots(Info->UnwindCode[Index]);

        Set = Info->UnwindCode[Index].UnwindOp == UWOP_SET_FPREG && Info->UnwindCode[Index].CodeOffset <= Offset;
        Index += Slots == 0 ? 1 : Slots;
    }
    return Set ? *RtlpRegister(Context, Info->FrameRegister) - Info->FrameOffset * 16 : Context->Rsp;
}

static BOOLEAN RtlpHasMachineFrame(PUNWIND_INFO Info)
{
    for (ULONG Index = 0; Index < Info->CountOfCodes;) {
        ULONG Slots = RtlpCodeSlots(Info->UnwindCode[Index]);

        if (Info->UnwindCode[Index].UnwindOp == UWOP_PUSH_MACHFRAME) {
            return TRUE;
        }
        Index += Slots == 0 ? 1 : Slots;
    }
    return FALSE;
}

/* ---- Epilogues: recognised from the instructions the ABI allows in them ---- */

typedef struct _EPILOGUE_STATE {
    const UCHAR *Next;
    const UCHAR *End; /* of the function */
    PCONTEXT Context;
} EPILOGUE_STATE, *PEPILOGUE_STATE;

static LONG RtlpDisplacement(const UCHAR *Bytes)
{
    return (LONG)(Bytes[0] | Bytes[1] << 8 | Bytes[2] << 16 | (ULONG)Bytes[3] << 24);
}

/* add rsp, n or lea rsp, [frame + n]: how the epilogue releases its fixed allocation. */
static VOID RtlpSkipRelease(PEPILOGUE_STATE State, PUNWIND_INFO Info, PULONG64 Rsp)
{
    const UCHAR *Next = State->Next;
    SIZE_T Left = (SIZE_T)(State->End - Next);

    if (Left >= 4 && Next[0] == 0x48 && Next[1] == 0x83 && Next[2] == 0xC4) {
        *Rsp += (LONG64)(signed char)Next[3];
        State->Next += 4;
    } else if (Left >= 7 && Next[0] == 0x48 && Next[1] == 0x81 && Next[2] == 0xC4) {
        *Rsp += (LONG64)RtlpDisplacement(Next + 3);
        State->Next += 7;
    } else if (Left >= 4 && Info->FrameRegister != 0 && (Next[0] & 0xFE) == 0x48 && Next[1] == 0x8D &&
               (Next[2] & 0x3F) == (0x20 | (Info->FrameRegister & 7)) && (Next[0] & 1) == (Info->FrameRegister >> 3)) {
        ULONG64 Frame = *RtlpRegister(State->Context, Info->FrameRegister);

        if ((Next[2] >> 6) == 1) {
            *Rsp = Frame + (LONG64)(signed char)Next[3];
            State->Next += 4;
        } else if ((Next[2] >> 6) == 2 && Left >= 7) {
            *Rsp = Frame + (LONG64)RtlpDisplacement(Next + 3);
            State->Next += 7;
        }
    }
}

/* pop reg; returns the register's number or 16. */
static ULONG RtlpSkipPop(PEPILOGUE_STATE State)
{
    const UCHAR *Next = State->Next;

    if (Next < State->End && (Next[0] & 0xF8) == 0x58) {
        State->Next += 1;
        return Next[0] & 7;
    }
    if (Next + 1 < State->End && Next[0] == 0x41 && (Next[1] & 0xF8) == 0x58) {
        State->Next += 2;
        return (Next[1] & 7) + 8;
    }
    return 16;
}

/* ret, or a jump that leaves the function (a tail call). */
static BOOLEAN RtlpIsReturn(PEPILOGUE_STATE State, const UCHAR *Begin)
{
    const UCHAR *Next = State->Next;
    SIZE_T Left = (SIZE_T)(State->End - Next);

    if (Left == 0) {
        return FALSE;
    }
    if (Next[0] == 0xC3 || Next[0] == 0xC2 || (Left >= 2 && Next[0] == 0xF3 && Next[1] == 0xC3)) {
        return TRUE;
    }
    const UCHAR *Target;

    if (Next[0] == 0xEB && Left >= 2) {
        Target = Next + 2 + (signed char)Next[1];
    } else if (Next[0] == 0xE9 && Left >= 5) {
        Target = Next + 5 + RtlpDisplacement(Next + 1);
    } else {
        return (Left >= 3 && Next[0] == 0x48 && Next[1] == 0xFF && (Next[2] & 0x38) == 0x20) ||
               (Left >= 2 && Next[0] == 0xFF && Next[1] == 0x25);
    }
    return Target < Begin || Target >= State->End;
}

/* Completes an epilogue that ControlPc lies in; FALSE: it lies in none and nothing was changed. */
static BOOLEAN RtlpUndoEpilogue(PUNWIND_STATE State, ULONG64 ImageBase, PRUNTIME_FUNCTION Entry, ULONG64 ControlPc)
{
    PUNWIND_INFO Info = RtlpUnwindInfo(ImageBase, Entry);
    const UCHAR *Begin = (const UCHAR *)ImageBase + Entry->BeginAddress;
    EPILOGUE_STATE Scan = {(const UCHAR *)ControlPc, (const UCHAR *)ImageBase + Entry->EndAddress, State->Context};
    ULONG64 Rsp = State->Context->Rsp;

    if (RtlpHasMachineFrame(Info)) {
        return FALSE; /* such a function ends in iretq */
    }
    RtlpSkipRelease(&Scan, Info, &Rsp);
    const UCHAR *Pops = Scan.Next;

    while (RtlpSkipPop(&Scan) != 16) {
    }
    if (!RtlpIsReturn(&Scan, Begin)) {
        return FALSE;
    }
    State->Context->Rsp = Rsp;
    Scan.Next = Pops;
    for (ULONG Register = RtlpSkipPop(&Scan); Register != 16; Register = RtlpSkipPop(&Scan)) {
        RtlpRestoreInteger(State, Register, State->Context->Rsp);
        State->Context->Rsp += sizeof(ULONG64);
    }
    return TRUE;
}

/* ---- One frame ---- */

static VOID RtlpPopReturnAddress(PUNWIND_STATE State)
{
    State->Context->Rip = RtlpReadStack(State, State->Context->Rsp);
    State->Context->Rsp += sizeof(ULONG64);
}

/* The handler of the function itself, not of a chained entry's start; NULL: none of that type. */
static PEXCEPTION_ROUTINE RtlpLanguageHandler(ULONG HandlerType, ULONG64 ImageBase, PRUNTIME_FUNCTION Entry,
                                              PVOID *HandlerData)
{
    PUNWIND_INFO Info = RtlpUnwindInfo(ImageBase, Entry);

    for (ULONG Depth = 0; (Info->Flags & UNW_FLAG_CHAININFO) != 0 && Depth < UNWIND_CHAIN_LIMIT; Depth++) {
        Info = RtlpUnwindInfo(ImageBase, RtlpAfterCodes(Info));
    }
    if ((Info->Flags & UNW_FLAG_CHAININFO) != 0 || (Info->Flags & HandlerType) == 0) {
        return NULL;
    }
    PULONG Handler = RtlpAfterCodes(Info);

    *HandlerData = Handler + 1;
    return (PEXCEPTION_ROUTINE)(ImageBase + *Handler);
}

static PEXCEPTION_ROUTINE RtlpVirtualUnwind(ULONG HandlerType, ULONG64 ImageBase, ULONG64 ControlPc,
                                            PRUNTIME_FUNCTION Entry, PUNWIND_STATE State, PVOID *HandlerData,
                                            PULONG64 EstablisherFrame)
{
    PUNWIND_INFO Info = RtlpUnwindInfo(ImageBase, Entry);
    ULONG Offset = (ULONG)(ControlPc - ImageBase) - Entry->BeginAddress;
    BOOLEAN InPrologue = Offset < Info->SizeOfProlog && (Info->Flags & UNW_FLAG_CHAININFO) == 0;
    ULONG64 Frame = RtlpEstablisherFrame(State->Context, Info, Offset);

    *EstablisherFrame = Frame;
    if (!InPrologue && RtlpUndoEpilogue(State, ImageBase, Entry, ControlPc)) {
        RtlpPopReturnAddress(State);
        return NULL;
    }
    RtlpUndoPrologue(State, ImageBase, Entry, Offset, Frame);
    if (!State->MachineFrame) {
        RtlpPopReturnAddress(State);
    }
    return InPrologue ? NULL : RtlpLanguageHandler(HandlerType, ImageBase, Entry, HandlerData);
}

/**
 * RtlVirtualUnwind - undo one frame; the documented interface.
 *
 * @FunctionEntry  NULL: ControlPc is in a leaf function, whose return address RSP points to
 *
 * A stack that cannot be read leaves Rip and Rsp 0 in the context, which ends every walk. Rip alone is 0 where a call led to 0.
 */
PEXCEPTION_ROUTINE NTAPI RtlVirtualUnwind(ULONG HandlerType, ULONG64 ImageBase, ULONG64 ControlPc,
                                          PRUNTIME_FUNCTION FunctionEntry, PCONTEXT ContextRecord, PVOID *HandlerData,
                                          PULONG64 EstablisherFrame, PKNONVOLATILE_CONTEXT_POINTERS ContextPointers)
{
    UNWIND_STATE State = {.Context = ContextRecord, .Pointers = ContextPointers};
    PEXCEPTION_ROUTINE Handler = NULL;

    if (FunctionEntry == NULL) {
        *EstablisherFrame = ContextRecord->Rsp;
        RtlpPopReturnAddress(&State);
    } else {
        Handler =
            RtlpVirtualUnwind(HandlerType, ImageBase, ControlPc, FunctionEntry, &State, HandlerData, EstablisherFrame);
    }
    if (State.Damaged) {
        ContextRecord->Rip = ContextRecord->Rsp = 0;
        return NULL;
    }
    return Handler;
}

BOOLEAN RtlpUnwindFrame(PCONTEXT Context)
{
    ULONG64 ImageBase, Frame, OldRsp = Context->Rsp;
    PRUNTIME_FUNCTION Entry = RtlLookupFunctionEntry(Context->Rip, &ImageBase, NULL);
    UNWIND_STATE State = {.Context = Context};

    if (ImageBase == 0) {
        return FALSE;
    }
    if (Entry == NULL) {
        RtlpPopReturnAddress(&State); /* a leaf function */
    } else {
        PVOID HandlerData;

        RtlpVirtualUnwind(UNW_FLAG_NHANDLER, ImageBase, Context->Rip, Entry, &State, &HandlerData, &Frame);
    }
    return !State.Damaged && Context->Rip != 0 && (State.MachineFrame || Context->Rsp > OldRsp);
}
