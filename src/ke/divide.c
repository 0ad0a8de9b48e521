/*
 * divide.c - which of its two errors a division of ring 3 has made: by zero, or a quotient that does not fit.
 *
 * The processor has one vector for both. The documented statuses differ, so the divisor is fetched once more: DIV and IDIV (F6, F7 with
 * /6, /7) are decoded, a register is taken from the frame, a memory operand is read. What cannot be decoded or read is a division by zero.
 *
 * Locks: none. IRQL: PASSIVE_LEVEL. Must never: trust what it reads at RIP, or the address that it computes.
 *
 * Source: Intel SDM volume 2, chapter 2 (instruction format) and DIV, IDIV; Microsoft Learn, EXCEPTION_RECORD.
 */
#include <ntos/mm.h>
#include "processor.h"

#define LONGEST_INSTRUCTION 15
#define RSP_NUMBER          4
#define RBP_NUMBER          5

typedef struct _KI_DIVISION {
    UCHAR Code[LONGEST_INSTRUCTION + 8]; /* zeros behind what could be read */
    ULONG At;                            /* the next byte */
    UCHAR Rex;                           /* 0: none */
    BOOLEAN Word, Short;                 /* prefixes 66 and 67 */
    ULONG64 SegmentBase;
    ULONG Bytes; /* of the operand */
} KI_DIVISION;

static ULONG64 RegisterOf(PKTRAP_FRAME Frame, ULONG Number)
{
    const ULONG64 Registers[] = {Frame->Rax, Frame->Rcx, Frame->Rdx, Frame->Rbx, Frame->Rsp, Frame->Rbp,
                                 Frame->Rsi, Frame->Rdi, Frame->R8,  Frame->R9,  Frame->R10, Frame->R11,
                                 Frame->R12, Frame->R13, Frame->R14, Frame->R15};

    return Registers[Number & 15];
}

static VOID ReadCode(PKTRAP_FRAME Frame, KI_DIVISION *Division)
{
    RtlZeroMemory(Division, sizeof(*Division));
    /* The last bytes of an image may be less than one longest instruction. */
    for (ULONG Index = 0; Index < LONGEST_INSTRUCTION; Index++) {
        if (!NT_SUCCESS(MmCopyFromUser(&Division->Code[Index], (PUCHAR)Frame->Rip + Index, 1))) {
            break;
        }
    }
}

/* FALSE: the byte is no prefix. A REX counts only if it is the last one. */
static BOOLEAN TakePrefix(KI_DIVISION *Division, UCHAR Byte)
{
    UCHAR Rex = 0;

    if ((Byte & 0xF0) == 0x40) {
        Rex = Byte;
    } else if (Byte == 0x66) {
        Division->Word = TRUE;
    } else if (Byte == 0x67) {
        Division->Short = TRUE;
    } else if (Byte == 0x64) {
        Division->SegmentBase = KeReadMsr(MSR_FS_BASE);
    } else if (Byte == 0x65) {
        Division->SegmentBase = KeReadMsr(MSR_KERNEL_GS_BASE);
    } else if (Byte != 0x2E && Byte != 0x36 && Byte != 0x3E && Byte != 0x26 && Byte != 0xF2 && Byte != 0xF3) {
        return FALSE;
    }
    Division->Rex = Rex;
    return TRUE;
}

static ULONG64 TakeDisplacement(KI_DIVISION *Division, ULONG Bytes)
{
    LONG Value = 0;

    if (Bytes == 1) {
        Value = (signed char)Division->Code[Division->At];
    } else if (Bytes == 4) {
        RtlCopyMemory(&Value, &Division->Code[Division->At], sizeof(Value));
    }
    Division->At += Bytes;
    return (ULONG64)(LONG64)Value;
}

/* Base and scaled index of a SIB byte. */
static ULONG64 TakeSib(PKTRAP_FRAME Frame, KI_DIVISION *Division, ULONG Mode, PULONG Displacement)
{
    UCHAR Sib = Division->Code[Division->At++];
    ULONG Index = ((Sib >> 3) & 7U) | ((Division->Rex & 2U) << 2), Base = Sib & 7U;
    ULONG64 Address = 0;

    if (Mode == 0 && Base == RBP_NUMBER) {
        *Displacement = 4;
    } else {
        Address = RegisterOf(Frame, Base | ((Division->Rex & 1U) << 3));
    }
    return Index == RSP_NUMBER ? Address : Address + (RegisterOf(Frame, Index) << (Sib >> 6));
}

/* Where the operand is that a ModRM byte with Mode below 3 names. */
static ULONG64 OperandAddress(PKTRAP_FRAME Frame, KI_DIVISION *Division, UCHAR ModRm)
{
    ULONG Mode = ModRm >> 6, Register = ModRm & 7U, Displacement = Mode == 2 ? 4 : Mode;
    BOOLEAN Relative = Mode == 0 && Register == RBP_NUMBER;
    ULONG64 Address = 0;

    if (Relative) {
        Displacement = 4;
    } else if (Register == RSP_NUMBER) {
        Address = TakeSib(Frame, Division, Mode, &Displacement);
    } else {
        Address = RegisterOf(Frame, Register | ((Division->Rex & 1U) << 3));
    }
    Address += TakeDisplacement(Division, Displacement);
    if (Relative) {
        Address += Frame->Rip + Division->At; /* neither instruction has anything behind the displacement */
    }
    return Division->SegmentBase + (Division->Short ? (ULONG)Address : Address);
}

static ULONG64 RegisterOperand(PKTRAP_FRAME Frame, const KI_DIVISION *Division, UCHAR ModRm)
{
    ULONG Number = ModRm & 7U;

    if (Division->Bytes == 1 && Division->Rex == 0 && Number >= 4) {
        return RegisterOf(Frame, Number - 4) >> 8; /* AH, CH, DH, BH */
    }
    return RegisterOf(Frame, Number | ((Division->Rex & 1U) << 3));
}

/**
 * KiDivideStatus - the status of a divide error.
 *
 * @Frame   its trap, from ring 3
 * returns  STATUS_INTEGER_OVERFLOW if the divisor is there and is not 0, else STATUS_INTEGER_DIVIDE_BY_ZERO
 *
 * IRQL: PASSIVE_LEVEL, interrupts on.
 */
NTSTATUS KiDivideStatus(PKTRAP_FRAME Frame)
{
    KI_DIVISION Division;
    ULONG64 Divisor = 0;
    UCHAR Opcode, ModRm;

    ReadCode(Frame, &Division);
    while (Division.At < LONGEST_INSTRUCTION - 2 && TakePrefix(&Division, Division.Code[Division.At])) {
        Division.At++;
    }
    Opcode = Division.Code[Division.At++];
    ModRm = Division.Code[Division.At++];
    if ((Opcode != 0xF6 && Opcode != 0xF7) || (ModRm & 0x30) != 0x30) {
        return STATUS_INTEGER_DIVIDE_BY_ZERO;
    }
    Division.Bytes = Opcode == 0xF6 ? 1 : (Division.Rex & 8) != 0 ? 8 : Division.Word ? 2 : 4;
    if (ModRm >> 6 == 3) {
        Divisor = RegisterOperand(Frame, &Division, ModRm);
    } else if (!NT_SUCCESS(MmCopyFromUser(&Divisor, (PVOID)OperandAddress(Frame, &Division, ModRm), Division.Bytes))) {
        return STATUS_INTEGER_DIVIDE_BY_ZERO;
    }
    Divisor &= MAXULONG64 >> (64 - 8 * Division.Bytes);
    return Divisor != 0 ? STATUS_INTEGER_OVERFLOW : STATUS_INTEGER_DIVIDE_BY_ZERO;
}
