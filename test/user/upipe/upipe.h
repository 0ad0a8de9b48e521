/*
 * upipe.h - what the cases of the pipes' suite share: making both ends of a pipe, and requests that wait.
 */
#pragma once

#include "../ktap.h"

#define PIPE_DUPLEX   (FILE_SHARE_READ | FILE_SHARE_WRITE)
#define PIPE_INBOUND  FILE_SHARE_WRITE /* the client writes */
#define PIPE_OUTBOUND FILE_SHARE_READ

/* What a pipe is made with; 0 and NULL are bytes, waiting, synchronous. */
typedef struct _PIPE_KIND {
    PCWSTR Name;
    ULONG Share;
    ULONG Type; /* FILE_PIPE_MESSAGE_TYPE, which also sets the read mode */
    ULONG CompletionMode;
    ULONG Maximum;
    ULONG Quota; /* in both directions */
    BOOLEAN Asynchronous;
    ULONG Disposition; /* FILE_SUPERSEDE (0): FILE_OPEN_IF */
} PIPE_KIND;

extern IO_STATUS_BLOCK Iosb; /* of the last call */

NTSTATUS MakeServer(const PIPE_KIND *Kind, PHANDLE Server);
NTSTATUS OpenClient(PCWSTR Name, ACCESS_MASK Access, BOOLEAN Asynchronous, PHANDLE Client);
ULONG MakePair(const PIPE_KIND *Kind, PHANDLE Server, PHANDLE Client); /* 0, or the line */
NTSTATUS Control(HANDLE File, ULONG Code, PVOID In, ULONG InBytes, PVOID Out, ULONG OutBytes);
NTSTATUS Put(HANDLE File, const VOID *Data, ULONG Bytes);
NTSTATUS Get(HANDLE File, PVOID Data, ULONG Bytes); /* Iosb.Information: how much */
NTSTATUS SetModes(HANDLE File, ULONG ReadMode, ULONG CompletionMode);
ULONG StateOf(HANDLE File); /* FILE_PIPE_..._STATE; 0: the query failed */

NTSTATUS BeHeld(VOID); /* the process that race.c starts and kills */

extern const USER_CASE BasicCases[], WaitCases[], RaceCases[];
extern const ULONG BasicCount, WaitCount, RaceCount;
