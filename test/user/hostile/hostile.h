/*
 * hostile.h - what the files of hostile.exe share: random numbers, memory of every kind, handles, and arguments made of them.
 */
#pragma once

#include <oriel/program.h>

#define ARGUMENTS 17 /* the most a service has */

typedef struct _SERVICE {
    PCSTR Name;
    ULONG Arguments;
} SERVICE;

extern const SERVICE Services[];
extern const ULONG ServiceCount;

/* ---- arguments.c ---- */

extern ULONG64 RandomState; /* one thread draws */

ULONG Random(ULONG Limit); /* 0..Limit-1 */
ULONG64 RandomArgument(VOID);

/* Memory that arguments point to: made once. Scratch is written all the time by another thread; Own is not. */
NTSTATUS MakeMemory(VOID);
extern PUCHAR Scratch, Own;
#define SCRATCH_BYTES 0x4000

ULONG64 BadPointer(VOID);       /* one that no service can use */
ULONG64 ObjectAttributes(VOID); /* of a fair number of objects */
ULONG64 RandomHandle(VOID);

/* Objects of every kind that a program can have, anew each time; what was open before is closed. */
VOID RenewHandles(VOID);

/* ---- keys.c ---- */

VOID RememberKeys(VOID);  /* what \Registry\Machine holds now... */
VOID DeleteNewKeys(VOID); /* ...is what it holds afterwards */
