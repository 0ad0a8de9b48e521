/*
 * ntos.h (host) - stands in for include/ntos/ntos.h when pure kernel sources are compiled for this machine.
 *
 * Declares the NT types, constants and few services that such sources use, with the sizes they have in the kernel (LONG
 * is 32 bits, WCHAR 16: tests are compiled with -fshort-wchar). It is found before include/, so the sources need no
 * conditional. Code that needs more of the kernel than this is tested in the kernel.
 */
#pragma once

#include <assert.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VOID void
#define NTAPI
#define CONST const
#define IN
#define OUT
#define OPTIONAL
#define FORCEINLINE                static inline
#define TRUE                       1
#define FALSE                      0
#define MAXUCHAR                   0xFF
#define MAXUSHORT                  0xFFFF
#define MAXULONG                   0xFFFFFFFFU
#define MAXLONG                    0x7FFFFFFF
#define MAXLONGLONG                0x7FFFFFFFFFFFFFFFLL
#define C_ASSERT(e)                _Static_assert(e, #e)
#define FIELD_OFFSET               offsetof
#define ASSERT(e)                  assert(e)
#define UNREFERENCED_PARAMETER(p)  ((void)(p))
#define RTL_NUMBER_OF(a)           (sizeof(a) / sizeof((a)[0]))
#define ARRAYSIZE                  RTL_NUMBER_OF
#define min(a, b)                  ((a) < (b) ? (a) : (b))
#define max(a, b)                  ((a) > (b) ? (a) : (b))
#define CONTAINING_RECORD(p, t, f) ((t *)((char *)(p) - offsetof(t, f)))
#define ALIGN_UP_BY(v, a)          (((v) + (a) - 1) & ~((a) - 1))

typedef void *PVOID, *HANDLE;
typedef char CHAR, CCHAR, *PCHAR, *PSTR;
typedef const char *PCSTR, *PCSZ, *PCCH;
typedef unsigned char UCHAR, BOOLEAN, *PUCHAR, *PBOOLEAN;
typedef int16_t SHORT, CSHORT;
typedef uint16_t USHORT, *PUSHORT, WCHAR, *PWCH, *PWSTR;
typedef const uint16_t *PCWCH, *PCWSTR;
typedef int32_t LONG, *PLONG, NTSTATUS;
typedef uint32_t ULONG, *PULONG, CLONG, DWORD;
typedef int64_t LONGLONG, LONG64;
typedef uint64_t ULONGLONG, ULONG64, ULONG_PTR, SIZE_T, *PULONG64;

typedef union _LARGE_INTEGER {
    struct {
        ULONG LowPart;
        LONG HighPart;
    };
    LONGLONG QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER;

typedef struct _UNICODE_STRING {
    USHORT Length, MaximumLength;
    PWSTR Buffer;
} UNICODE_STRING, *PUNICODE_STRING;
typedef const UNICODE_STRING *PCUNICODE_STRING;

typedef struct _STRING {
    USHORT Length, MaximumLength;
    PCHAR Buffer;
} STRING, *PSTRING, ANSI_STRING, *PANSI_STRING, *PCANSI_STRING, OEM_STRING, *POEM_STRING;
typedef const STRING *PCOEM_STRING;

typedef struct _GUID {
    ULONG Data1;
    USHORT Data2, Data3;
    UCHAR Data4[8];
} GUID;
typedef const GUID *REFGUID;

typedef struct _TIME_FIELDS {
    CSHORT Year, Month, Day, Hour, Minute, Second, Milliseconds, Weekday;
} TIME_FIELDS, *PTIME_FIELDS;

typedef struct _RTL_BITMAP {
    ULONG SizeOfBitMap;
    PULONG Buffer;
} RTL_BITMAP, *PRTL_BITMAP;

typedef struct _RTL_BITMAP_RUN {
    ULONG StartingIndex, NumberOfBits;
} RTL_BITMAP_RUN, *PRTL_BITMAP_RUN;

typedef struct _LIST_ENTRY {
    struct _LIST_ENTRY *Flink, *Blink;
} LIST_ENTRY, *PLIST_ENTRY;

typedef enum { TableEmptyTree, TableFoundNode, TableInsertAsLeft, TableInsertAsRight } TABLE_SEARCH_RESULT;
typedef enum { GenericLessThan, GenericGreaterThan, GenericEqual } RTL_GENERIC_COMPARE_RESULTS;
struct _RTL_AVL_TABLE;
typedef RTL_GENERIC_COMPARE_RESULTS (*PRTL_AVL_COMPARE_ROUTINE)(struct _RTL_AVL_TABLE *, PVOID, PVOID);
typedef PVOID (*PRTL_AVL_ALLOCATE_ROUTINE)(struct _RTL_AVL_TABLE *, CLONG);
typedef VOID (*PRTL_AVL_FREE_ROUTINE)(struct _RTL_AVL_TABLE *, PVOID);
typedef NTSTATUS (*PRTL_AVL_MATCH_FUNCTION)(struct _RTL_AVL_TABLE *, PVOID, PVOID);

typedef struct _RTL_BALANCED_LINKS {
    struct _RTL_BALANCED_LINKS *Parent, *LeftChild, *RightChild;
    CHAR Balance;
    UCHAR Reserved[3];
} RTL_BALANCED_LINKS, *PRTL_BALANCED_LINKS;

typedef struct _RTL_AVL_TABLE {
    RTL_BALANCED_LINKS BalancedRoot;
    PVOID OrderedPointer;
    ULONG WhichOrderedElement, NumberGenericTableElements, DepthOfTree;
    PRTL_BALANCED_LINKS RestartKey;
    ULONG DeleteCount;
    PRTL_AVL_COMPARE_ROUTINE CompareRoutine;
    PRTL_AVL_ALLOCATE_ROUTINE AllocateRoutine;
    PRTL_AVL_FREE_ROUTINE FreeRoutine;
    PVOID TableContext;
} RTL_AVL_TABLE, *PRTL_AVL_TABLE;

/* The numbers of the status codes are those the kernel is compiled with. */
#include "/usr/share/mingw-w64/include/ntstatus.h"
#define NT_SUCCESS(Status) ((NTSTATUS)(Status) >= 0)

#define HASH_STRING_ALGORITHM_DEFAULT                     0
#define HASH_STRING_ALGORITHM_X65599                      1
#define RTL_DUPLICATE_UNICODE_STRING_NULL_TERMINATE       1
#define RTL_DUPLICATE_UNICODE_STRING_ALLOCATE_NULL_STRING 2

#define RtlCopyMemory       memcpy
#define RtlMoveMemory       memmove
#define RtlZeroMemory(p, n) memset(p, 0, n)

/* Pool is the host's heap, so that AddressSanitizer watches it. */
typedef enum { NonPagedPool, PagedPool } POOL_TYPE;
FORCEINLINE PVOID ExAllocatePoolWithTag(POOL_TYPE Type, SIZE_T Bytes, ULONG Tag)
{
    (void)Type, (void)Tag;
    return malloc(Bytes);
}
FORCEINLINE VOID ExFreePoolWithTag(PVOID Block, ULONG Tag)
{
    (void)Tag;
    free(Block);
}

WCHAR RtlUpcaseUnicodeChar(WCHAR Character);
WCHAR RtlDowncaseUnicodeChar(WCHAR Character);
CHAR RtlUpperChar(CHAR Character);
VOID RtlCopyUnicodeString(PUNICODE_STRING Destination, PCUNICODE_STRING Source);
LONG RtlCompareUnicodeString(PCUNICODE_STRING First, PCUNICODE_STRING Second, BOOLEAN IgnoreCase);
BOOLEAN RtlEqualUnicodeString(PCUNICODE_STRING First, PCUNICODE_STRING Second, BOOLEAN IgnoreCase);
NTSTATUS RtlValidateUnicodeString(ULONG Flags, PCUNICODE_STRING String);
NTSTATUS RtlMultiByteToUnicodeN(PWCH Wide, ULONG Room, PULONG Used, const CHAR *Source, ULONG Bytes);
NTSTATUS RtlUnicodeToMultiByteN(PCHAR Narrow, ULONG Room, PULONG Used, PCWCH Source, ULONG Bytes);
VOID RtlInitUnicodeString(PUNICODE_STRING Destination, PCWSTR Source);
ULONG RtlNumberOfSetBitsUlongPtr(ULONG_PTR Target);
