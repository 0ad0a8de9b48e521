/*
 * packet.c - packets of gdb's remote protocol: `$` data `#` checksum, acknowledged by `+` or `-`.
 *
 * Both directions are polled on COM2 with interrupts off. A packet with a wrong checksum is refused with `-` and comes
 * again; a reply that gdb refuses is sent again. After QStartNoAckMode neither side acknowledges. One reply is built at
 * a time, in a static buffer: the debugger must not depend on stack or pool. Data that does not fit is cut; callers that
 * can produce more than a packet check the room first.
 *
 * Source: "Debugging with GDB", appendix E (Remote Protocol).
 */
#include "kdp.h"

#define KDP_ESCAPE     0x7D
#define KDP_ESCAPE_XOR 0x20
#define KDP_BREAK_IN   0x03

CHAR KdpReply[KDP_PACKET_BYTES + 1];
ULONG KdpReplyBytes;
BOOLEAN KdpNoAck;

static UCHAR KdpGetByte(VOID)
{
    UCHAR Byte;

    while (!HalSerialGet(KDP_PORT, &Byte)) {
        YieldProcessor();
    }
    return Byte;
}

static LONG KdpDigit(CHAR Char)
{
    if (Char >= '0' && Char <= '9') {
        return Char - '0';
    }
    if (Char >= 'a' && Char <= 'f') {
        return Char - 'a' + 10;
    }
    return Char >= 'A' && Char <= 'F' ? Char - 'A' + 10 : -1;
}

/* The data up to `#`, unescaped; a `$` inside means that the packet began anew. Returns bytes stored. */
static ULONG KdpReceiveBody(PCHAR Buffer, ULONG Bytes, PUCHAR Sum)
{
    ULONG Used = 0;
    BOOLEAN Escaped = FALSE;

    for (*Sum = 0;;) {
        UCHAR Byte = KdpGetByte();

        if (Byte == '#') {
            return Used;
        }
        if (Byte == '$') {
            Used = 0;
            *Sum = 0;
            Escaped = FALSE;
            continue;
        }
        *Sum += Byte;
        if (Byte == KDP_ESCAPE && !Escaped) {
            Escaped = TRUE;
            continue;
        }
        if (Used < Bytes) {
            Buffer[Used++] = (CHAR)(Escaped ? Byte ^ KDP_ESCAPE_XOR : Byte);
        }
        Escaped = FALSE;
    }
}

/**
 * KdpReceivePacket - waits for the next packet with a right checksum.
 *
 * @Buffer, @Bytes  gets the data, NUL-terminated; longer packets are cut
 * @StartSeen       TRUE: its `$` has been read already
 * returns          bytes of data; a break-in outside a packet counts as an empty one
 */
ULONG KdpReceivePacket(PCHAR Buffer, ULONG Bytes, BOOLEAN StartSeen)
{
    for (;; StartSeen = FALSE) {
        UCHAR Byte = StartSeen ? '$' : KdpGetByte();
        UCHAR Sum;
        ULONG Used;
        LONG High, Low;

        if (Byte == '+') {
            KdpNoAck = FALSE; /* whoever acknowledges is a gdb that has just connected */
        }
        if (Byte != '$') {
            continue; /* acknowledgements, Ctrl-C while stopped */
        }
        Used = KdpReceiveBody(Buffer, Bytes - 1, &Sum);
        High = KdpDigit((CHAR)KdpGetByte());
        Low = KdpDigit((CHAR)KdpGetByte());
        Buffer[Used] = 0;
        if (KdpNoAck) {
            return Used;
        }
        if (High >= 0 && Low >= 0 && (High << 4 | Low) == Sum) {
            HalSerialPut(KDP_PORT, '+');
            return Used;
        }
        HalSerialPut(KDP_PORT, '-');
    }
}

static VOID KdpSendOnce(VOID)
{
    static const CHAR Digits[] = "0123456789abcdef";
    UCHAR Sum = 0;

    HalSerialPut(KDP_PORT, '$');
    for (ULONG Index = 0; Index < KdpReplyBytes; Index++) {
        UCHAR Byte = (UCHAR)KdpReply[Index];

        HalSerialPut(KDP_PORT, Byte);
        Sum += Byte;
    }
    HalSerialPut(KDP_PORT, '#');
    HalSerialPut(KDP_PORT, (UCHAR)Digits[Sum >> 4]);
    HalSerialPut(KDP_PORT, (UCHAR)Digits[Sum & 0xF]);
}

/* Sends KdpReply until gdb has it, and empties it. */
VOID KdpSendReply(VOID)
{
    UCHAR Answer;

    do {
        KdpSendOnce();
        if (KdpNoAck) {
            break;
        }
        do {
            Answer = KdpGetByte();
        } while (Answer != '+' && Answer != '-');
    } while (Answer != '+');
    KdpReplyBytes = 0;
}

VOID KdpPutChar(CHAR Char)
{
    if (KdpReplyBytes < KDP_PACKET_BYTES) {
        KdpReply[KdpReplyBytes++] = Char;
    }
}

VOID KdpPutString(PCSTR String)
{
    while (*String != 0) {
        KdpPutChar(*String++);
    }
}

VOID KdpPutHexByte(UCHAR Byte)
{
    KdpPutChar("0123456789abcdef"[Byte >> 4]);
    KdpPutChar("0123456789abcdef"[Byte & 0xF]);
}

VOID KdpPutHexBytes(const VOID *Bytes, ULONG Count)
{
    for (ULONG Index = 0; Index < Count; Index++) {
        KdpPutHexByte(((const UCHAR *)Bytes)[Index]);
    }
}

VOID KdpPutNumber(ULONG64 Value)
{
    LONG Shift = 60;

    while (Shift > 0 && (Value >> Shift & 0xF) == 0) {
        Shift -= 4;
    }
    for (; Shift >= 0; Shift -= 4) {
        KdpPutChar("0123456789abcdef"[Value >> Shift & 0xF]);
    }
}

BOOLEAN KdpGetNumber(PCSTR *Text, PULONG64 Value)
{
    PCSTR Start = *Text;

    *Value = 0;
    while (KdpDigit(**Text) >= 0) {
        *Value = *Value << 4 | (ULONG64)KdpDigit(*(*Text)++);
    }
    return *Text != Start;
}

BOOLEAN KdpGetHexByte(PCSTR *Text, PUCHAR Byte)
{
    LONG High = KdpDigit((*Text)[0]);
    LONG Low = High >= 0 ? KdpDigit((*Text)[1]) : -1;

    if (Low < 0) {
        return FALSE;
    }
    *Byte = (UCHAR)(High << 4 | Low);
    *Text += 2;
    return TRUE;
}

BOOLEAN KdpStartsWith(PCSTR *Text, PCSTR Prefix)
{
    PCSTR At = *Text;

    for (; *Prefix != 0; At++, Prefix++) {
        if (*At != *Prefix) {
            return FALSE;
        }
    }
    *Text = At;
    return TRUE;
}
