/*
 * hostile.h - what the files of hostile.exe share: random numbers, kinds of arguments, memory of every sort, handles of every type.
 *
 * What is drawn depends on the seed alone, never on what a service answered: the same seed makes the same calls. Values of handles and addresses
 * that a call got are used by later ones; which, is drawn.
 */
#pragma once

#include <oriel/program.h>

#include <ntos/se.h>

#define ARGUMENTS 17 /* the most a service has */

typedef struct _SERVICE {
    PCSTR Name;
    ULONG Arguments;
} SERVICE;

#define KERNEL 0xFFFFF80000000000ULL

extern const SERVICE Services[];
extern const ULONG ServiceCount;

/* ---- Kinds of arguments (signatures.c) ---- */

/* Types of objects; what follows TJob is no type but a choice of some. */
enum {
    TEvent,
    TSemaphore,
    TMutant,
    TTimer,
    TKeyed,
    TPort,
    TReserve,
    TDirectory,
    TLink,
    TKey,
    TSection,
    TToken,
    TClient, /* a token to impersonate with */
    TProcess,
    TThread,
    TFile,
    TFolder,
    TPipe,
    TDevice,
    TJob,
    TYPES,
    TAny = TYPES,
    TWaitable
};

/* A kind is one of these with a type in the low bits... */
#define KIND_HANDLE  0x80
#define KIND_OR_NONE 0xA0
#define KIND_NEW     0xC0
#define KIND_CREATE  0xE0
#define KIND_OPEN    0x60
#define KIND_FAMILY  0xE0

/* ...or one of these. */
enum {
    KEnd,
    KAccess,
    KAddress,    /* of this program's memory */
    KAhead,      /* bytes of the buffer that follows */
    KAllocation, /* types of NtAllocateVirtualMemory */
    KAny,        /* whatever */
    KAnywhere,   /* pointer to a base of 0 */
    KBad,        /* a pointer that nobody can follow */
    KBits,       /* some of the bits that follow */
    KBool,
    KBuffer, /* for the answer; KLength follows */
    KBytes,
    KClass, /* up to the number that follows */
    KClient,
    KContext,
    KControl,
    KData, /* input; KLength follows */
    KDescriptor,
    KDriver,
    KEmpty,   /* an empty string */
    KEntries, /* pointer to a number of entries, or of bytes, that are there */
    KExtended,
    KExtent, /* pointer to a size */
    KFileAccess,
    KFour,
    KFree,
    KFsControl,
    KGroups,
    KHandles, /* array of three */
    KIosb,
    KLength,
    KList, /* of attributes of a process */
    KLuid,
    KMapped, /* base of a view */
    KMapping,
    KName,
    KNone, /* pointer that is mostly NULL */
    KNoneOrName,
    KNow,
    KNumber,
    KOffset, /* pointer to a small 64-bit number, or NULL */
    KOne,
    KOneTwo,
    KOptions,
    KOut, /* pointer to as many bytes as follow */
    KParameters,
    KPlace, /* pointer to an address in the arena */
    KPrivileges,
    KPrivilegeSet,
    KProtect,
    KRegion,   /* pointer to the base of something that may be freed */
    KReturned, /* pointer to where a length goes, or NULL */
    KRoom,     /* a string with room */
    KRoutine,
    KSection,
    KSized, /* KAhead went before */
    KSmall,
    KSoon, /* pointer to a time that ends a wait soon */
    KSource,
    KStack,
    KStart,
    KTarget, /* memory that may be written */
    KThreadId,
    KTimeout,
    KTimer,
    KTimerBytes,
    KUser,
    KView, /* pointer to the base of a view */
    KWatch,
    KZero,
    KINDS
};
C_ASSERT(KINDS <= KIND_OPEN && TWaitable < 32);

typedef struct _SIGNATURE {
    PCSTR Name;
    UCHAR Kinds[24];
} SIGNATURE;

extern const SIGNATURE Signatures[];

/* Kinds and the numbers behind them; returns how many arguments. */
ULONG SplitSignature(const SIGNATURE *Signature, PUCHAR Kinds, PUCHAR Numbers);
BOOLEAN CheckSignatures(VOID); /* FALSE, and a line that says so: services.tbl has another service */

/* ---- arguments.c ---- */

/* What a query is told: its class or control code, and the length of its buffer. */
typedef struct _KNOWN_QUERY {
    ULONG64 Class, Length; /* Length 0: not known */
} KNOWN_QUERY;

/* What one argument needs to know of the others; made anew for each call. */
typedef struct _CALL {
    ULONG Service;
    ULONG64 Argument[ARGUMENTS];
    ULONG64 Bad;             /* an address that is none, for who needs one */
    KNOWN_QUERY Known, Used; /* what succeeded before; what this call uses */
    PHANDLE NewHandle[2];    /* where new handles go */
    ULONG NewType[2], NewCount;
    PULONG64 BasePlace; /* where an address is passed, and a new one comes back; NULL: nowhere that can be looked at */
    ULONG64 Base;       /* that address */
} CALL, *PCALL;

/* Hostile: the argument is to be wrong, or at a place that others change. */
ULONG64 MakeArgument(PCALL Call, UCHAR Kind, UCHAR Parameter, BOOLEAN Hostile);
ULONG64 SoonPointer(VOID);

/* ---- memory.c ---- */

extern ULONG64 RandomState; /* one thread draws */

ULONG Random(ULONG Limit); /* 0..Limit-1 */
ULONG64 RandomNumber(VOID);

#define SCRATCH_BYTES 0x4000
#define ARENA_BYTES   0x100000 /* for services that change the address space: nothing else lies there */
#define WATCH_BYTES   0x10000

extern PUCHAR Arena, Watch; /* reserved; committed with write watch */

NTSTATUS MakeMemory(VOID);
VOID RenewMemory(VOID);      /* the arena as at the start, regions given back, the guard page armed */
ULONG64 BadPointer(VOID);    /* one that no service can use */
PVOID OwnPlace(ULONG Bytes); /* nobody else writes there; used in turn */
/* Contents (NULL: what is there) at a place that is good, or wrong; Still: wrong, but nobody changes it meanwhile. */
ULONG64 PlaceFor(const VOID *Contents, ULONG Bytes, BOOLEAN Hostile, BOOLEAN Still);
ULONG64 AnswerPlace(ULONG Bytes, BOOLEAN Hostile); /* the same for what a service writes, now or later */
ULONG64 SomeAddress(BOOLEAN Hostile);              /* of memory that is there */
VOID KeepRegion(PVOID Base, BOOLEAN IsView);
PVOID SomeRegion(BOOLEAN IsView); /* NULL: none */
VOID ForgetRegion(PVOID Base);
BOOLEAN MayTakeApart(PVOID Address); /* a region's, or in the arena */

NTSTATUS StartRacer(VOID); /* the thread that writes, protects and frees */
extern volatile LONG Stop;
extern volatile ULONG64 Progress; /* calls begun; what is called */
extern PCSTR volatile Doing;

/* ---- objects.c ---- */

extern CLIENT_ID Self, Racer,
    Victim; /* the main thread; the other one; a process that does nothing, its thread suspended */

ULONG64 HandleOf(ULONG Type, BOOLEAN Hostile);
ULONG64 OwnObject(VOID); /* an event that is this program's alone */
ULONG64 VictimOf(ULONG Type);
ULONG64 ObjectAttributes(ULONG Type, BOOLEAN Open, BOOLEAN Hostile);
ULONG64 NamePointer(PCWSTR Text, BOOLEAN Hostile);
VOID KeepHandle(HANDLE Handle, ULONG Type);
BOOLEAN IsMyself(ULONG64 Handle); /* this process or the main thread */

/* Objects of every kind that a program can have, anew each time; what was open before is closed, processes and threads end. */
VOID RenewHandles(VOID);
VOID EndEverything(VOID);
VOID WarmFiles(VOID);

#define SELF_IMAGE L"\\SystemRoot\\System\\hostile.exe"
VOID MakeIdleParameters(PRTL_USER_PROCESS_PARAMETERS Parameters); /* of a process that does nothing */
VOID MakeIdleList(PPS_ATTRIBUTE_LIST List);

/* ---- restrain.c ---- */

typedef VOID (*PBEFORE)(PCALL Call);
typedef VOID (*PAFTER)(PCALL Call, NTSTATUS Status);

/* What is done before and after calls of a service; FALSE: nothing. */
BOOLEAN FindRestraints(PCSTR Name, PBEFORE *Before, PAFTER *After);

/* ---- hostile.c ---- */

VOID NTAPI Nothing(PVOID First, PVOID Second, PVOID Third);
NTSTATUS NTAPI NoThread(PVOID Argument);
VOID SetPrivilege(ULONG Privilege, BOOLEAN Enable); /* of this process */
VOID MakeTemporary(HANDLE Handle);

/* ---- keys.c ---- */

VOID RememberKeys(VOID);  /* what \Registry\Machine holds now... */
VOID DeleteNewKeys(VOID); /* ...is what it holds afterwards */
