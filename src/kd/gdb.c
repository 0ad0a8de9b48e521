/*
 * gdb.c - the conversation with gdb while the machine is stopped.
 *
 * One command a packet, each answered by one function below; an empty answer means "not supported" and gdb then does without.
 * Threads are processors: thread N is processor N - 1, stopped in the frame it was frozen with. KdpAwaited
 * remembers that gdb has let the machine run and waits for a stop reply; a gdb that connects anew asks by itself,
 * and starts without the breakpoints of the one before.
 *
 * `monitor modules` lists the loaded images, from which scripts/gdb/oriel.py relocates symbols; `monitor pte ADDRESS` shows how an
 * address is mapped.
 *
 * Source: "Debugging with GDB", appendix E (Remote Protocol).
 */
#include "kdp.h"

BOOLEAN KdpConnected;

static BOOLEAN KdpAwaited;         /* gdb waits for a stop reply */
static ULONG KdpLastSignal;        /* of this stop */
static PKTRAP_FRAME KdpOwnerFrame; /* of the processor that stopped */
static PKTRAP_FRAME KdpFrame;      /* of the thread gdb selected */
static ULONG64 KdpDr6;             /* at the stop */
static CHAR KdpPacket[KDP_PACKET_BYTES + 1];

static VOID KdpReplyStop(VOID)
{
    ULONG64 Address;
    PCSTR Kind;

    KdpPutChar('T');
    KdpPutHexByte((UCHAR)KdpLastSignal);
    if (KdpWatchpointHit(KdpDr6, &Address, &Kind)) {
        KdpPutString(Kind);
        KdpPutChar(':');
        KdpPutNumber(Address);
        KdpPutChar(';');
    }
    KdpPutString("thread:");
    KdpPutNumber(KdpThisProcessor() + 1);
    KdpPutChar(';');
}

static VOID KdpReplyOk(BOOLEAN Ok)
{
    KdpPutString(Ok ? "OK" : "E01");
}

/* ---- Memory ---- */

static VOID KdpReadMemory(PCSTR Text)
{
    static UCHAR Buffer[KDP_PACKET_BYTES / 2];
    ULONG64 Address, Bytes;
    ULONG Done;

    if (!KdpGetNumber(&Text, &Address) || *Text++ != ',' || !KdpGetNumber(&Text, &Bytes)) {
        KdpReplyOk(FALSE);
        return;
    }
    if (Bytes > sizeof(Buffer)) {
        Bytes = sizeof(Buffer);
    }
    Done = KdpCopyFromTarget(Buffer, Address, (ULONG)Bytes);
    if (Done == 0 && Bytes != 0) {
        KdpReplyOk(FALSE);
    } else {
        KdpPutHexBytes(Buffer, Done);
    }
}

/* M (hexadecimal) and X (binary, already unescaped). PacketBytes: length of the whole packet. */
static VOID KdpWriteMemory(PCSTR Text, BOOLEAN Binary, ULONG PacketBytes)
{
    ULONG64 Address, Bytes;
    BOOLEAN Ok = FALSE;

    if (KdpGetNumber(&Text, &Address) && *Text++ == ',' && KdpGetNumber(&Text, &Bytes) && *Text++ == ':') {
        ULONG Left = PacketBytes - (ULONG)(Text - KdpPacket);

        if (Binary) {
            Ok = Bytes <= Left && KdpCopyToTarget(Address, Text, (ULONG)Bytes) == Bytes;
        } else {
            Ok = Bytes <= Left / 2;
            for (ULONG64 Index = 0; Ok && Index < Bytes; Index++) {
                UCHAR Byte;

                Ok = KdpGetHexByte(&Text, &Byte) && KdpCopyToTarget(Address + Index, &Byte, 1) == 1;
            }
        }
    }
    KdpReplyOk(Ok);
}

static VOID KdpBreakpointPacket(PCSTR Text, BOOLEAN Set)
{
    ULONG64 Type, Address, Kind;

    if (!KdpGetNumber(&Text, &Type) || *Text++ != ',' || !KdpGetNumber(&Text, &Address) || *Text++ != ',' ||
        !KdpGetNumber(&Text, &Kind)) {
        KdpReplyOk(FALSE);
    } else if (Type > 4 || Type == 3) {
        return; /* unsupported: the empty reply */
    } else if (Set) {
        KdpReplyOk(KdpSetBreakpoint((ULONG)Type, Address, (ULONG)Kind));
    } else {
        KdpReplyOk(KdpClearBreakpoint((ULONG)Type, Address, (ULONG)Kind));
    }
}

/* ---- Registers and threads ---- */

static VOID KdpReadRegisterPacket(PCSTR Text)
{
    ULONG64 Number;

    if (!KdpGetNumber(&Text, &Number) || !KdpPutRegister(KdpFrame, (ULONG)Number)) {
        KdpReplyOk(FALSE);
    }
}

static VOID KdpWriteRegisterPacket(PCSTR Text)
{
    ULONG64 Number;

    KdpReplyOk(KdpGetNumber(&Text, &Number) && *Text == '=' && KdpSetRegister(KdpFrame, (ULONG)Number, Text + 1));
}

/* Thread ids: 0 any, -1 all, else processor + 1. */
static PKTRAP_FRAME KdpFrameOfThread(PCSTR Text)
{
    ULONG64 Thread;

    if (*Text == '-' || !KdpGetNumber(&Text, &Thread) || Thread == 0) {
        return KdpOwnerFrame;
    }
    return KdpFrameOf((ULONG)Thread - 1);
}

static VOID KdpSelectThread(PCSTR Text)
{
    PKTRAP_FRAME Frame = KdpFrameOfThread(Text + 1);

    if (Frame != NULL && *Text == 'g') {
        KdpFrame = Frame;
    }
    KdpReplyOk(Frame != NULL);
}

static VOID KdpListThreads(VOID)
{
    CHAR Separator = 'm';

    for (ULONG Processor = 0; Processor < KI_MAXIMUM_PROCESSORS; Processor++) {
        if (KdpFrameOf(Processor) != NULL) {
            KdpPutChar(Separator);
            KdpPutNumber(Processor + 1);
            Separator = ',';
        }
    }
}

/* ---- Resuming ---- */

/* The optional address of c and s. */
static KDP_RESUME KdpResume(PCSTR Text, BOOLEAN Step)
{
    ULONG64 Address;

    if (KdpGetNumber(&Text, &Address)) {
        KdpOwnerFrame->Rip = Address;
    }
    if (Step) {
        KdpOwnerFrame->EFlags |= EFLAGS_TF;
    }
    KdpAwaited = TRUE;
    return KdpGo;
}

/* C and S carry a signal that means nothing to a kernel: "C05;address". */
static KDP_RESUME KdpResumeWithSignal(PCSTR Text, BOOLEAN Step)
{
    ULONG64 Signal;

    KdpGetNumber(&Text, &Signal);
    return KdpResume(*Text == ';' ? Text + 1 : Text, Step);
}

/* The first action that fits the stopped processor decides; the others always continue. */
static KDP_RESUME KdpVCont(PCSTR Text)
{
    if (*Text == '?') {
        KdpPutString("vCont;c;C;s;S");
        return KdpStay;
    }
    while (*Text == ';') {
        BOOLEAN Step = Text[1] == 's' || Text[1] == 'S';
        ULONG64 Ignored;

        Text += 2;
        KdpGetNumber(&Text, &Ignored);
        if (*Text != ':' || KdpFrameOfThread(Text + 1) == KdpOwnerFrame) {
            return KdpResume("", Step);
        }
        while (*Text != 0 && *Text != ';') {
            Text++;
        }
    }
    return KdpResume("", FALSE);
}

static KDP_RESUME KdpLeave(BOOLEAN Reply)
{
    if (Reply) {
        KdpReplyOk(TRUE);
        KdpSendReply();
    }
    KdpClearAllBreakpoints();
    KdpConnected = FALSE;
    KdpAwaited = FALSE;
    KdpNoAck = FALSE;
    return KdpGo;
}

/* ---- Monitor commands ---- */

/* Console output of a monitor command: text in hexadecimal, in a packet of its own that begins with O. */
static VOID KdpMonitorText(PCSTR Text)
{
    while (*Text != 0) {
        KdpPutHexByte((UCHAR)*Text++);
    }
}

static VOID KdpMonitorNumber(ULONG64 Value)
{
    KdpMonitorText("0x");
    for (LONG Shift = 60; Shift >= 0; Shift -= 4) {
        KdpPutHexByte((UCHAR) "0123456789abcdef"[Value >> Shift & 0xF]);
    }
}

/* The list is read as it is: a stop in the middle of an insertion leaves its forward links whole. */
static VOID KdpMonitorModules(VOID)
{
    for (PLIST_ENTRY Next = PsLoadedModuleList.Flink; Next != &PsLoadedModuleList; Next = Next->Flink) {
        PKLDR_DATA_TABLE_ENTRY Image = CONTAINING_RECORD(Next, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);

        KdpPutChar('O');
        KdpMonitorText(Image->Name);
        KdpMonitorText(" ");
        KdpMonitorNumber((ULONG64)Image->DllBase);
        KdpMonitorText(" ");
        KdpMonitorNumber(Image->SizeOfImage);
        KdpMonitorText("\n");
        KdpSendReply();
    }
    KdpReplyOk(TRUE);
}

static VOID KdpMonitorPte(PCSTR Text)
{
    ULONG64 Address, Entry, PageBytes;

    while (*Text == ' ') {
        Text++;
    }
    KdpStartsWith(&Text, "0x");
    if (!KdpGetNumber(&Text, &Address)) {
        KdpMonitorText("usage: monitor pte ADDRESS\n");
    } else if (!KdpTranslate(Address, &Entry, &PageBytes)) {
        KdpMonitorText("not mapped\n");
    } else {
        KdpMonitorText("entry ");
        KdpMonitorNumber(Entry);
        KdpMonitorText(" page size ");
        KdpMonitorNumber(PageBytes);
        KdpMonitorText("\n");
    }
}

static VOID KdpMonitor(PCSTR Text)
{
    CHAR Command[64];
    PCSTR Words = Command;
    ULONG Used = 0;
    UCHAR Byte;

    while (Used < sizeof(Command) - 1 && KdpGetHexByte(&Text, &Byte)) {
        Command[Used++] = (CHAR)Byte;
    }
    Command[Used] = 0;
    if (KdpStartsWith(&Words, "modules")) {
        KdpMonitorModules();
    } else if (KdpStartsWith(&Words, "pte")) {
        KdpMonitorPte(Words);
    } else {
        KdpMonitorText("modules: the loaded images; pte ADDRESS: how an address is mapped\n");
    }
}

/* ---- Queries ---- */

static VOID KdpSupported(VOID)
{
    KdpConnected = TRUE;
    KdpClearAllBreakpoints();
    KdpPutString("PacketSize=");
    KdpPutNumber(KDP_PACKET_BYTES);
    KdpPutString(";qXfer:features:read+;QStartNoAckMode+;vContSupported+");
}

/* "offset,length" of the target description: m with more to come, l with the last piece. */
static VOID KdpTargetDescription(PCSTR Text)
{
    ULONG64 Offset, Bytes;

    if (!KdpGetNumber(&Text, &Offset) || *Text++ != ',' || !KdpGetNumber(&Text, &Bytes)) {
        KdpReplyOk(FALSE);
        return;
    }
    if (Offset > KdpTargetXmlBytes) {
        Offset = KdpTargetXmlBytes;
    }
    if (Bytes > KDP_PACKET_BYTES - 1) {
        Bytes = KDP_PACKET_BYTES - 1;
    }
    KdpPutChar(Bytes < KdpTargetXmlBytes - Offset ? 'm' : 'l');
    for (ULONG64 Index = Offset; Index < KdpTargetXmlBytes && Index < Offset + Bytes; Index++) {
        KdpPutChar(KdpTargetXml[Index]);
    }
}

/* How far the kernel, the first image, runs from where it was linked. */
static VOID KdpOffsets(VOID)
{
    static const PCSTR Words[] = {"Text=", ";Data=", ";Bss="};
    PKLDR_DATA_TABLE_ENTRY Kernel =
        CONTAINING_RECORD(PsLoadedModuleList.Flink, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Words); Index++) {
        KdpPutString(Words[Index]);
        KdpPutNumber((ULONG64)Kernel->DllBase - MM_KERNEL_IMAGE_BASE);
    }
}

static VOID KdpQuery(PCSTR Text)
{
    if (KdpStartsWith(&Text, "qSupported")) {
        KdpSupported();
    } else if (KdpStartsWith(&Text, "qXfer:features:read:target.xml:")) {
        KdpTargetDescription(Text);
    } else if (KdpStartsWith(&Text, "qRcmd,")) {
        KdpMonitor(Text);
    } else if (KdpStartsWith(&Text, "qOffsets")) {
        KdpOffsets();
    } else if (KdpStartsWith(&Text, "qfThreadInfo")) {
        KdpListThreads();
    } else if (KdpStartsWith(&Text, "qsThreadInfo")) {
        KdpPutChar('l');
    } else if (KdpStartsWith(&Text, "qThreadExtraInfo")) {
        KdpMonitorText("processor");
    } else if (KdpStartsWith(&Text, "qAttached")) {
        KdpPutChar('1');
    } else if (*Text == 'q' && Text[1] == 'C' && Text[2] == 0) {
        KdpPutString("QC");
        KdpPutNumber(KdpThisProcessor() + 1);
    }
}

/* Answers one packet; the reply is left to be sent unless the machine goes on. */
static KDP_RESUME KdpCommand(PCSTR Text, ULONG Bytes)
{
    PCSTR Rest = Text + 1;

    switch (*Text) {
    case '?':
        KdpReplyStop();
        break;
    case 'g':
        KdpPutRegisters(KdpFrame);
        break;
    case 'G':
        KdpReplyOk(KdpSetRegisters(KdpFrame, Rest));
        break;
    case 'p':
        KdpReadRegisterPacket(Rest);
        break;
    case 'P':
        KdpWriteRegisterPacket(Rest);
        break;
    case 'm':
        KdpReadMemory(Rest);
        break;
    case 'M':
    case 'X':
        KdpWriteMemory(Rest, *Text == 'X', Bytes);
        break;
    case 'Z':
    case 'z':
        KdpBreakpointPacket(Rest, *Text == 'Z');
        break;
    case 'H':
        KdpSelectThread(Rest);
        break;
    case 'T':
        KdpReplyOk(KdpFrameOfThread(Rest) != NULL);
        break;
    case 'c':
    case 's':
        return KdpResume(Rest, *Text == 's');
    case 'C':
    case 'S':
        return KdpResumeWithSignal(Rest, *Text == 'S');
    case 'D':
    case 'k':
        return KdpLeave(*Text == 'D');
    case 'v':
        if (KdpStartsWith(&Text, "vCont")) {
            return KdpVCont(Text);
        }
        break;
    case 'q':
        KdpQuery(Text);
        break;
    case 'Q':
        if (KdpStartsWith(&Text, "QStartNoAckMode")) {
            KdpReplyOk(TRUE);
            KdpSendReply(); /* this one is still acknowledged */
            KdpNoAck = TRUE;
            return KdpStay;
        }
        break;
    }
    return KdpStay;
}

/**
 * KdpConverse - talks to gdb until it lets the machine go on.
 *
 * @Frame      of this processor; gdb may change it
 * @Signal     why the machine stopped
 * @Dr6        debug status at the stop
 * @StartSeen  the first character of a packet has been read already: gdb has connected
 */
VOID KdpConverse(PKTRAP_FRAME Frame, ULONG Signal, ULONG64 Dr6, BOOLEAN StartSeen)
{
    KDP_RESUME Resume = KdpStay;

    KdpOwnerFrame = KdpFrame = Frame;
    KdpLastSignal = Signal;
    KdpDr6 = Dr6;
    KdpReplyBytes = 0;
    if (StartSeen) {
        KdpNoAck = FALSE; /* a running machine is sent no packets but by a gdb that has just come */
    } else if (KdpAwaited) {
        KdpReplyStop();
        KdpSendReply();
    }
    KdpAwaited = FALSE;
    while (Resume == KdpStay) {
        ULONG Bytes = KdpReceivePacket(KdpPacket, sizeof(KdpPacket), StartSeen);
        BOOLEAN Silent;

        StartSeen = FALSE;
        Silent = KdpNoAck;
        Resume = KdpCommand(KdpPacket, Bytes);
        /* The switch to no-acknowledge mode has sent its own reply. */
        if (Resume == KdpStay && Silent == KdpNoAck) {
            KdpSendReply();
        }
    }
}
