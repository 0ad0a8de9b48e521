/*
 * program.c - a program as anybody would write it: mingw-w64's own headers and compiler, and libntdll.a; nothing of this tree.
 *
 * It checks what the compiler and the C calling convention take for granted: the TEB through GS, static data, floating point, memory
 * from the heap, and structured output. Ends with status 7 if all is well.
 */
#include <windef.h>
#include <winternl.h>

NTSYSAPI ULONG WINAPIV DbgPrint(PCSTR Format, ...);
NTSYSAPI PVOID NTAPI RtlAllocateHeap(PVOID Heap, ULONG Flags, SIZE_T Size);
NTSYSAPI BOOLEAN NTAPI RtlFreeHeap(PVOID Heap, ULONG Flags, PVOID Block);
NTSYSAPI PPEB NTAPI RtlGetCurrentPeb(void);
NTSYSAPI NTSTATUS NTAPI NtTerminateProcess(HANDLE Process, NTSTATUS Status);
NTSYSAPI NTSTATUS NTAPI NtDisplayString(PUNICODE_STRING Text);

static double Thirds = 3.0;
static int Squares[16];

void NtProcessStartup(PPEB Peb)
{
    PVOID Heap = ((PVOID *)Peb)[6]; /* ProcessHeap, at 0x30 */
    UNICODE_STRING Text;
    double *Numbers = RtlAllocateHeap(Heap, 0, 1000 * sizeof(double));
    double Sum = 0;

    for (int Index = 0; Index < 1000; Index++) {
        Numbers[Index] = Index / Thirds;
    }
    for (int Index = 0; Index < 1000; Index++) {
        Sum += Numbers[Index];
    }
    for (int Index = 0; Index < 16; Index++) {
        Squares[Index] = Index * Index;
    }
    RtlInitUnicodeString(&Text, L"built elsewhere\n");
    NtDisplayString(&Text);
    DbgPrint("sum %d, square %d, peb %s\n", (int)Sum, Squares[15], Peb == RtlGetCurrentPeb() ? "same" : "other");
    RtlFreeHeap(Heap, 0, Numbers);
    NtTerminateProcess((HANDLE)-1, (int)Sum == 166500 && Squares[15] == 225 ? 7 : 1);
}
