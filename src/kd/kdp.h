/*
 * kdp.h - what the debugger's files share.
 *
 * Everything here runs with interrupts off on the one processor that owns the debugger (KdpOwner); the others are frozen or
 * do not care. Hence no locks. Code that runs before the breakpoints are lifted (KdpEnter) may call nothing
 * outside src/kd/, or a breakpoint there would stop the stop.
 */
#pragma once

#include <ntos/hal.h>
#include <ntos/kd.h>
#include <ntos/ke.h>

#define KDP_PORT         1     /* COM2 */
#define KDP_PACKET_BYTES 0x800 /* payload of a packet, told to gdb as PacketSize */

/* Signal numbers of the protocol. */
#define KDP_SIGNAL_INT  2
#define KDP_SIGNAL_TRAP 5
#define KDP_SIGNAL_ABRT 6

typedef enum _KDP_RESUME {
    KdpStay, /* the command has been answered */
    KdpGo    /* leave the debugger */
} KDP_RESUME;

/* Packets (packet.c). Replies are built in KdpReply. */
extern CHAR KdpReply[KDP_PACKET_BYTES + 1];
extern ULONG KdpReplyBytes;
extern BOOLEAN KdpNoAck;
ULONG KdpReceivePacket(PCHAR Buffer, ULONG Bytes, BOOLEAN StartSeen);
VOID KdpSendReply(VOID);
VOID KdpPutChar(CHAR Char);
VOID KdpPutString(PCSTR String);
VOID KdpPutHexByte(UCHAR Byte);
VOID KdpPutHexBytes(const VOID *Bytes, ULONG Count); /* memory order */
VOID KdpPutNumber(ULONG64 Value);                    /* hexadecimal, no leading zeros */
BOOLEAN KdpGetNumber(PCSTR *Text, PULONG64 Value);   /* FALSE: no hexadecimal digit there */
BOOLEAN KdpGetHexByte(PCSTR *Text, PUCHAR Byte);
BOOLEAN KdpStartsWith(PCSTR *Text, PCSTR Prefix); /* moves past it */

/* Registers (registers.c). */
extern const CHAR KdpTargetXml[];
extern const ULONG KdpTargetXmlBytes;
VOID KdpPutRegisters(PKTRAP_FRAME Frame);
BOOLEAN KdpPutRegister(PKTRAP_FRAME Frame, ULONG Number);
BOOLEAN KdpSetRegisters(PKTRAP_FRAME Frame, PCSTR Text);
BOOLEAN KdpSetRegister(PKTRAP_FRAME Frame, ULONG Number, PCSTR Text);

/* Memory (memory.c): through the debugger's own window slot; never faults, never minds protection. */
ULONG KdpCopyFromTarget(PVOID Buffer, ULONG64 Address, ULONG Bytes); /* bytes copied before the first hole */
ULONG KdpCopyToTarget(ULONG64 Address, const VOID *Buffer, ULONG Bytes);
BOOLEAN KdpTranslate(ULONG64 Address, PULONG64 Entry, PULONG64 PageBytes);

/* Breakpoints (breakpoint.c). Type is the digit of Z and z packets. */
BOOLEAN KdpSetBreakpoint(ULONG Type, ULONG64 Address, ULONG Kind);
BOOLEAN KdpClearBreakpoint(ULONG Type, ULONG64 Address, ULONG Kind);
VOID KdpClearAllBreakpoints(VOID);
BOOLEAN KdpIsBreakpoint(ULONG64 Address);
VOID KdpLiftBreakpoints(VOID);
VOID KdpPlantBreakpoints(VOID);
BOOLEAN KdpWatchpointHit(ULONG64 Dr6, PULONG64 Address, PCSTR *Kind);

/* Processors (kd.c). */
PKTRAP_FRAME KdpFrameOf(ULONG Processor);  /* NULL: not frozen, not the owner */
PKPRCB KdpProcessorOf(PKTRAP_FRAME Frame); /* whose frame it is; this processor if it is nobody's */
ULONG KdpThisProcessor(VOID);

/* The conversation (gdb.c). */
VOID KdpConverse(PKTRAP_FRAME Frame, ULONG Signal, ULONG64 Dr6, BOOLEAN StartSeen);
extern BOOLEAN KdpConnected; /* gdb is there */
