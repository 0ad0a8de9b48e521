/*
 * registers.c - a trap frame as gdb sees it.
 *
 * The order is gdb's for amd64 (org.gnu.gdb.i386.core with its x87 part, which gdb insists on and gets as "unavailable": the
 * kernel has no x87 state), then the segment bases, then control registers in a feature of our own. The
 * general registers live in the trap frame and may be changed there; segments and control registers are read only,
 * and of another processor they are this one's, since the frame does not hold them.
 */
#include "kdp.h"

typedef enum _KDP_SOURCE {
    FromFrame,
    FromFrame32, /* low half of a 64-bit field */
    Unavailable,
    FromData, /* DS, ES: constant in ring 0 */
    FromMsr,
    FromControl,
} KDP_SOURCE;

typedef struct _KDP_REGISTER {
    UCHAR Source; /* KDP_SOURCE */
    UCHAR Bytes;
    ULONG Where; /* frame offset, MSR, or control register number */
} KDP_REGISTER;

#define IN_FRAME(Field)    {FromFrame, 8, FIELD_OFFSET(KTRAP_FRAME, Field)}
#define IN_FRAME_32(Field) {FromFrame32, 4, FIELD_OFFSET(KTRAP_FRAME, Field)}
#define X87                {Unavailable, 10, 0}
#define X87_CONTROL        {Unavailable, 4, 0}

static const KDP_REGISTER KdpRegisters[] = {
    IN_FRAME(Rax),
    IN_FRAME(Rbx),
    IN_FRAME(Rcx),
    IN_FRAME(Rdx),
    IN_FRAME(Rsi),
    IN_FRAME(Rdi),
    IN_FRAME(Rbp),
    IN_FRAME(Rsp),
    IN_FRAME(R8),
    IN_FRAME(R9),
    IN_FRAME(R10),
    IN_FRAME(R11),
    IN_FRAME(R12),
    IN_FRAME(R13),
    IN_FRAME(R14),
    IN_FRAME(R15),
    IN_FRAME(Rip),
    IN_FRAME_32(EFlags),
    IN_FRAME_32(SegCs),
    IN_FRAME_32(SegSs),
    {FromData, 4, 0},
    {FromData, 4, 0},
    {FromData, 4, 0},
    {FromData, 4, 0},
    X87,
    X87,
    X87,
    X87,
    X87,
    X87,
    X87,
    X87,
    X87_CONTROL,
    X87_CONTROL,
    X87_CONTROL,
    X87_CONTROL,
    X87_CONTROL,
    X87_CONTROL,
    X87_CONTROL,
    X87_CONTROL,
    {FromMsr, 8, MSR_FS_BASE},
    {FromMsr, 8, MSR_GS_BASE},
    {FromControl, 8, 0},
    {FromControl, 8, 2},
    {FromControl, 8, 3},
    {FromControl, 8, 4},
    {FromControl, 8, 8},
    {FromMsr, 8, MSR_EFER},
};

#define R64(Name)  "<reg name=\"" Name "\" bitsize=\"64\" type=\"int64\"/>"
#define R32(Name)  "<reg name=\"" Name "\" bitsize=\"32\" type=\"int32\"/>"
#define RPTR(Name) "<reg name=\"" Name "\" bitsize=\"64\" type=\"data_ptr\"/>"
#define RST(Name)  "<reg name=\"" Name "\" bitsize=\"80\" type=\"i387_ext\"/>"
#define RCTL(Name) "<reg name=\"" Name "\" bitsize=\"32\" type=\"int\" group=\"float\"/>"

const CHAR KdpTargetXml[] =
    "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
    "<target version=\"1.0\"><architecture>i386:x86-64</architecture>"
    "<feature name=\"org.gnu.gdb.i386.core\">" R64("rax") R64("rbx") R64("rcx") R64("rdx") R64("rsi") R64("rdi")
        RPTR("rbp") RPTR("rsp") R64("r8") R64("r9") R64("r10") R64("r11") R64("r12") R64("r13") R64("r14")
            R64("r15") "<reg name=\"rip\" bitsize=\"64\" type=\"code_ptr\"/>" R32("eflags") R32("cs") R32("ss")
                R32("ds") R32("es") R32("fs") R32("gs") RST("st0") RST("st1") RST("st2") RST("st3") RST("st4")
                    RST("st5") RST("st6") RST("st7") RCTL("fctrl") RCTL("fstat") RCTL("ftag") RCTL("fiseg")
                        RCTL("fioff") RCTL("foseg") RCTL("fooff")
                            RCTL("fop") "</feature><feature name=\"org.gnu.gdb.i386.segments\">" R64("fs_base")
                                R64("gs_base") "</feature>"
                                               "<feature name=\"org.oriel.control\">" R64("cr0") R64("cr2") R64("cr3")
                                                   R64("cr4") R64("cr8") R64("efer") "</feature></target>";
const ULONG KdpTargetXmlBytes = sizeof(KdpTargetXml) - 1;

/* CR0, CR4 and EFER are the same everywhere; CR2 is the one of the processor that owns the debugger. */
static ULONG64 KdpReadControl(PKTRAP_FRAME Frame, PKPRCB Prcb, ULONG Number)
{
    switch (Number) {
    case 0:
        return __readcr0();
    case 2:
        return __readcr2();
    case 3:
        return Prcb == KeGetCurrentPrcb() || Prcb->CurrentThread == NULL
                   ? __readcr3()
                   : Prcb->CurrentThread->ApcState.Process->DirectoryTableBase;
    case 4:
        return __readcr4();
    default:
        return Frame->PreviousIrql;
    }
}

/* A model-specific register, of another processor as far as it is known without asking: GS is its PCR there. */
static ULONG64 KdpReadMsr(PKPRCB Prcb, ULONG Msr)
{
    if (Msr == MSR_GS_BASE && Prcb != KeGetCurrentPrcb()) {
        return (ULONG64)CONTAINING_RECORD(Prcb, KIPCR, Prcb);
    }
    return __readmsr(Msr);
}

BOOLEAN KdpPutRegister(PKTRAP_FRAME Frame, ULONG Number)
{
    const KDP_REGISTER *Register = &KdpRegisters[Number];
    PKPRCB Prcb = KdpProcessorOf(Frame);
    ULONG64 Value = 0;

    if (Number >= RTL_NUMBER_OF(KdpRegisters)) {
        return FALSE;
    }
    switch (Register->Source) {
    case FromFrame:
    case FromFrame32:
        Value = *(PULONG64)((PUCHAR)Frame + Register->Where);
        break;
    case FromData:
        Value = KGDT_R0_DATA;
        break;
    case FromMsr:
        Value = KdpReadMsr(Prcb, Register->Where);
        break;
    case FromControl:
        Value = KdpReadControl(Frame, Prcb, Register->Where);
        break;
    case Unavailable:
        for (ULONG Index = 0; Index < Register->Bytes; Index++) {
            KdpPutString("xx");
        }
        return TRUE;
    }
    KdpPutHexBytes(&Value, Register->Bytes);
    return TRUE;
}

VOID KdpPutRegisters(PKTRAP_FRAME Frame)
{
    for (ULONG Number = 0; Number < RTL_NUMBER_OF(KdpRegisters); Number++) {
        KdpPutRegister(Frame, Number);
    }
}

/* Takes a register's bytes from Text; those that live elsewhere than in the frame are skipped, not written. */
static BOOLEAN KdpTakeRegister(PKTRAP_FRAME Frame, ULONG Number, PCSTR *Text)
{
    const KDP_REGISTER *Register = &KdpRegisters[Number];
    ULONG64 Value = 0;

    for (ULONG Index = 0; Index < Register->Bytes; Index++) {
        UCHAR Byte;

        if (Register->Source == Unavailable) {
            if ((*Text)[0] == 0 || (*Text)[1] == 0) {
                return FALSE;
            }
            *Text += 2;
        } else if (KdpGetHexByte(Text, &Byte)) {
            Value |= (ULONG64)Byte << (8 * Index);
        } else {
            return FALSE;
        }
    }
    if (Register->Source == FromFrame) {
        *(PULONG64)((PUCHAR)Frame + Register->Where) = Value;
    } else if (Register->Source == FromFrame32) {
        *(PULONG)((PUCHAR)Frame + Register->Where) = (ULONG)Value;
    }
    return TRUE;
}

BOOLEAN KdpSetRegisters(PKTRAP_FRAME Frame, PCSTR Text)
{
    for (ULONG Number = 0; Number < RTL_NUMBER_OF(KdpRegisters); Number++) {
        if (!KdpTakeRegister(Frame, Number, &Text)) {
            return FALSE;
        }
    }
    return TRUE;
}

BOOLEAN KdpSetRegister(PKTRAP_FRAME Frame, ULONG Number, PCSTR Text)
{
    if (Number >= RTL_NUMBER_OF(KdpRegisters) ||
        (KdpRegisters[Number].Source != FromFrame && KdpRegisters[Number].Source != FromFrame32)) {
        return FALSE;
    }
    return KdpTakeRegister(Frame, Number, &Text);
}
