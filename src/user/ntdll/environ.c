/*
 * environ.c - environments: blocks of NAME=VALUE strings, the process's own and others that are being made for a child.
 *
 * A block is strings, each with its NUL, ended by an empty one. Names differ without regard to case; one may begin with '='. Changing a block makes
 * a new one from the process heap: the pointer to it is exchanged, the old one goes, unless it is the one that came with the process.
 *
 * Lock: RtlpEnvironmentLock around the process's own block; others belong to their callers.
 *
 * Source: Microsoft Learn, "Environment Variables", SetEnvironmentVariable, GetEnvironmentVariable.
 */
#include "ntdllp.h"

static RTL_SRWLOCK RtlpEnvironmentLock = RTL_SRWLOCK_INIT;
static PWSTR
    RtlpFirstEnvironment;    /* (lock) not of the heap: the block that came with the process, once it was replaced */
static BOOLEAN RtlpReplaced; /* (lock) */

/* ---- Blocks ---- */

static ULONG RtlpStringLength(PCWSTR String)
{
    ULONG Length = 0;

    while (String[Length] != 0) {
        Length++;
    }
    return Length;
}

/* Characters with all NULs. */
static ULONG RtlpBlockLength(PCWSTR Block)
{
    ULONG Length = 0;

    while (Block[Length] != 0) {
        Length += RtlpStringLength(Block + Length) + 1;
    }
    return Length + 1;
}

/* The string of a name; where the block ends if there is none. */
static PWSTR RtlpFindVariable(PWSTR Block, PCUNICODE_STRING Name)
{
    for (; *Block != 0; Block += RtlpStringLength(Block) + 1) {
        ULONG Length = 1; /* the first character is the name's, even a '=' */

        while (Block[Length] != 0 && Block[Length] != '=') {
            Length++;
        }
        UNICODE_STRING Own = {(USHORT)(Length * sizeof(WCHAR)), 0, Block};
        if (Block[Length] == '=' && RtlEqualUnicodeString(&Own, Name, TRUE)) {
            break;
        }
    }
    return Block;
}

static BOOLEAN RtlpValidName(PCUNICODE_STRING Name)
{
    for (ULONG Index = 1; Index < Name->Length / sizeof(WCHAR); Index++) {
        if (Name->Buffer[Index] == '=') {
            return FALSE;
        }
    }
    return Name->Length != 0;
}

/* A copy of Block without the string Old (which may be its end), and with NAME=VALUE in its place if there is a value. NULL: no memory. */
static PWSTR RtlpRebuild(PWSTR Block, PWSTR Old, PCUNICODE_STRING Name, PCUNICODE_STRING Value)
{
    ULONG Before = (ULONG)(Old - Block), Skipped = *Old == 0 ? 0 : RtlpStringLength(Old) + 1;
    ULONG After = RtlpBlockLength(Block) - Before - Skipped, Added = 0;
    PWSTR New, Next;

    if (Value != NULL) {
        Added = (Name->Length + Value->Length) / sizeof(WCHAR) + 2;
    }
    New = RtlAllocateHeap(LdrpPeb()->ProcessHeap, 0, (SIZE_T)(Before + Added + After + 1) * sizeof(WCHAR));
    if (New == NULL) {
        return NULL;
    }
    RtlCopyMemory(New, Block, Before * sizeof(WCHAR));
    Next = New + Before;
    if (Value != NULL) {
        RtlCopyMemory(Next, Name->Buffer, Name->Length);
        Next[Name->Length / sizeof(WCHAR)] = '=';
        RtlCopyMemory(Next + Name->Length / sizeof(WCHAR) + 1, Value->Buffer, Value->Length);
        Next[Added - 1] = 0;
    }
    RtlCopyMemory(Next + Added, Old + Skipped, After * sizeof(WCHAR));
    Next[Added + After] = 0; /* an empty block has two */
    return New;
}

/* ---- Exports ---- */

/* A new block for the caller: a copy of the process's (Inherit), or an empty one. STATUS_SUCCESS; STATUS_NO_MEMORY. */
NTSTATUS NTAPI RtlCreateEnvironment(BOOLEAN Inherit, PWSTR *Environment)
{
    static WCHAR Empty[2];
    PWSTR Block;

    RtlAcquireSRWLockShared(&RtlpEnvironmentLock);
    Block = Inherit ? LdrpPeb()->ProcessParameters->Environment : Empty;
    *Environment = RtlpRebuild(Block, Block + RtlpBlockLength(Block) - 1, NULL, NULL);
    RtlReleaseSRWLockShared(&RtlpEnvironmentLock);
    return *Environment == NULL ? STATUS_NO_MEMORY : STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlDestroyEnvironment(PWSTR Environment)
{
    RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Environment);
    return STATUS_SUCCESS;
}

/**
 * RtlQueryEnvironmentVariable_U - the value of a variable.
 *
 * @Environment  a block; NULL: the process's
 * @Value        its buffer is filled, with a NUL if there is room
 * returns       STATUS_SUCCESS; STATUS_VARIABLE_NOT_FOUND; STATUS_BUFFER_TOO_SMALL (Value->Length: the bytes it takes)
 */
NTSTATUS NTAPI RtlQueryEnvironmentVariable_U(PWSTR Environment, PUNICODE_STRING Name, PUNICODE_STRING Value)
{
    NTSTATUS Status = STATUS_VARIABLE_NOT_FOUND;
    PWSTR Found;

    RtlAcquireSRWLockShared(&RtlpEnvironmentLock);
    Found = RtlpFindVariable(Environment != NULL ? Environment : LdrpPeb()->ProcessParameters->Environment, Name);
    if (*Found != 0 && Name->Length != 0) {
        PWSTR Text = Found + Name->Length / sizeof(WCHAR) + 1;

        Value->Length = (USHORT)(RtlpStringLength(Text) * sizeof(WCHAR));
        Status = Value->Length <= Value->MaximumLength ? STATUS_SUCCESS : STATUS_BUFFER_TOO_SMALL;
        if (NT_SUCCESS(Status)) {
            RtlCopyMemory(Value->Buffer, Text, min(Value->Length + sizeof(WCHAR), (SIZE_T)Value->MaximumLength));
        }
    }
    RtlReleaseSRWLockShared(&RtlpEnvironmentLock);
    return Status;
}

/* ---- Expansion ---- */

/* A text that is being made; what does not fit is only counted. In characters. */
typedef struct _RTLP_TEXT {
    PWSTR Buffer;
    SIZE_T Room, Length;
} RTLP_TEXT, *PRTLP_TEXT;

static VOID RtlpPut(PRTLP_TEXT Text, PCWSTR Source, SIZE_T Length)
{
    if (Text->Length <= Text->Room && Length <= Text->Room - Text->Length) {
        RtlCopyMemory(Text->Buffer + Text->Length, Source, Length * sizeof(WCHAR));
    }
    Text->Length += Length;
}

/* The value behind %NAME%; NULL: there is none. (lock) */
static PCWSTR RtlpValueOf(PWSTR Block, PCWSTR Name, SIZE_T Length)
{
    UNICODE_STRING Wanted = {(USHORT)(Length * sizeof(WCHAR)), (USHORT)(Length * sizeof(WCHAR)), (PWSTR)Name};
    PWSTR Found;

    if (Length == 0 || Length * sizeof(WCHAR) > MAXUSHORT) {
        return NULL;
    }
    Found = RtlpFindVariable(Block, &Wanted);
    return *Found == 0 ? NULL : Found + Length + 1;
}

/* Source with its variables replaced; a NUL is put behind it. (lock) */
static VOID RtlpExpand(PWSTR Block, PCWSTR Source, SIZE_T Length, PRTLP_TEXT Text)
{
    SIZE_T Next = 0, End;

    while (Next < Length) {
        PCWSTR Value = NULL;

        for (End = Next + 1; End < Length && Source[End] != '%'; End++) {
        }
        if (Source[Next] == '%' && End < Length) {
            Value = RtlpValueOf(Block, Source + Next + 1, End - Next - 1);
            End++;
        }
        RtlpPut(Text, Value != NULL ? Value : Source + Next, Value != NULL ? RtlpStringLength(Value) : End - Next);
        Next = End;
    }
    RtlpPut(Text, L"", 1);
}

/**
 * RtlExpandEnvironmentStrings - replaces each %NAME% by the variable's value; one that does not exist stays as it is.
 *
 * @Environment        a block; NULL: the process's
 * @SourceLength       characters
 * @DestinationLength  characters of room
 * @ReturnLength       may be NULL; gets the characters of the result with its NUL
 * returns             STATUS_SUCCESS; STATUS_BUFFER_TOO_SMALL: what is in Destination is no result
 *
 * Source: Microsoft Learn, ExpandEnvironmentStrings.
 */
NTSTATUS NTAPI RtlExpandEnvironmentStrings(PVOID Environment, PCWSTR Source, SIZE_T SourceLength, PWSTR Destination,
                                           SIZE_T DestinationLength, PSIZE_T ReturnLength)
{
    RTLP_TEXT Text = {Destination, DestinationLength, 0};

    RtlAcquireSRWLockShared(&RtlpEnvironmentLock);
    RtlpExpand(Environment != NULL ? Environment : LdrpPeb()->ProcessParameters->Environment, Source, SourceLength,
               &Text);
    RtlReleaseSRWLockShared(&RtlpEnvironmentLock);
    if (ReturnLength != NULL) {
        *ReturnLength = Text.Length;
    }
    return Text.Length <= Text.Room ? STATUS_SUCCESS : STATUS_BUFFER_TOO_SMALL;
}

/* The same with strings; *ReturnedLength (may be NULL) in bytes. Destination's length is set if it was large enough. */
NTSTATUS NTAPI RtlExpandEnvironmentStrings_U(PVOID Environment, PCUNICODE_STRING Source, PUNICODE_STRING Destination,
                                             PULONG ReturnedLength)
{
    SIZE_T Length;
    NTSTATUS Status =
        RtlExpandEnvironmentStrings(Environment, Source->Buffer, Source->Length / sizeof(WCHAR), Destination->Buffer,
                                    Destination->MaximumLength / sizeof(WCHAR), &Length);

    if (ReturnedLength != NULL) {
        *ReturnedLength = (ULONG)(Length * sizeof(WCHAR));
    }
    if (NT_SUCCESS(Status)) {
        Destination->Length = (USHORT)((Length - 1) * sizeof(WCHAR));
    }
    return Status;
}

/* ---- Changes, threads ---- */

/**
 * RtlSetEnvironmentVariable - sets, changes or removes a variable.
 *
 * @Environment  the pointer to a block of RtlCreateEnvironment, which is exchanged; NULL: the process's
 * @Value        NULL: it is removed
 * returns       STATUS_SUCCESS; STATUS_INVALID_PARAMETER (the name is empty or has a '='); STATUS_VARIABLE_NOT_FOUND (removing);
 *               STATUS_NO_MEMORY
 */
NTSTATUS NTAPI RtlSetEnvironmentVariable(PWSTR *Environment, PUNICODE_STRING Name, PUNICODE_STRING Value)
{
    PWSTR *Place = Environment != NULL ? Environment : &LdrpPeb()->ProcessParameters->Environment;
    PWSTR Old, Found, New = NULL;
    NTSTATUS Status = STATUS_SUCCESS;

    if (!RtlpValidName(Name)) {
        return STATUS_INVALID_PARAMETER;
    }
    RtlAcquireSRWLockExclusive(&RtlpEnvironmentLock);
    Old = *Place;
    Found = RtlpFindVariable(Old, Name);
    if (*Found == 0 && Value == NULL) {
        Status = STATUS_VARIABLE_NOT_FOUND;
    } else {
        New = RtlpRebuild(Old, Found, Name, Value);
        Status = New == NULL ? STATUS_NO_MEMORY : STATUS_SUCCESS;
    }
    if (NT_SUCCESS(Status)) {
        *Place = New;
        if (Environment == NULL && !RtlpReplaced) {
            RtlpReplaced = TRUE;
            RtlpFirstEnvironment = Old;
        } else if (Old != RtlpFirstEnvironment) {
            RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Old);
        }
    }
    RtlReleaseSRWLockExclusive(&RtlpEnvironmentLock);
    return Status;
}

/**
 * RtlCreateUserThread - a thread of a process, in fewer words than NtCreateThreadEx.
 *
 * @SecurityDescriptor, @ZeroBits  must be NULL and 0
 * @Reserve, @Commit  bytes of its stack; 0: as usual
 * @Thread, @ClientId may be NULL
 * returns   what NtCreateThreadEx says; STATUS_INVALID_PARAMETER
 */
NTSTATUS NTAPI RtlCreateUserThread(HANDLE Process, PSECURITY_DESCRIPTOR SecurityDescriptor, BOOLEAN Suspended,
                                   ULONG ZeroBits, SIZE_T Reserve, SIZE_T Commit, PVOID Routine, PVOID Argument,
                                   PHANDLE Thread, PCLIENT_ID ClientId)
{
    THREAD_BASIC_INFORMATION Basic;
    HANDLE Handle;
    NTSTATUS Status;

    if (SecurityDescriptor != NULL || ZeroBits != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = NtCreateThreadEx(&Handle, THREAD_ALL_ACCESS, NULL, Process, Routine, Argument, Suspended ? 1 : 0, 0,
                              Commit, Reserve, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (ClientId != NULL) {
        Status = NtQueryInformationThread(Handle, ThreadBasicInformation, &Basic, sizeof(Basic), NULL);
        *ClientId = Basic.ClientId;
    }
    if (Thread != NULL) {
        *Thread = Handle;
    } else {
        NtClose(Handle);
    }
    return Status;
}
