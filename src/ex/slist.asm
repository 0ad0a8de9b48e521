; slist.asm - lock-free last-in first-out lists (SLIST).
;
; The 16-byte header is a depth (16 bits) and a sequence number (48 bits), then the first entry's address; every operation
; replaces both words at once and advances the sequence, so that an entry popped and pushed back meanwhile is noticed. A pop has to read the
; first entry's link before it knows that the entry is still on the list: it may have been popped, freed and unmapped by
; another processor. Then the load faults, the fault handler sees the address ExpInterlockedPopEntrySListFault and lets the
; routine start over at ExpInterlockedPopEntrySListResume.
;
; IRQL: any. Entries must be 16-byte aligned and, above APC_LEVEL, resident.

default rel
bits 64

section .text code align=16

global ExpInterlockedPopEntrySList
global ExpInterlockedPopEntrySListFault
global ExpInterlockedPopEntrySListResume
global ExpInterlockedPushEntrySList
global ExpInterlockedFlushSList
global InterlockedPushListSList
global ExQueryDepthSList

; PSLIST_ENTRY ExpInterlockedPopEntrySList(PSLIST_HEADER Head): NULL if the list is empty
align 16
ExpInterlockedPopEntrySList:
        push    rbx
        mov     r8, rcx
ExpInterlockedPopEntrySListResume:
        mov     rax, [r8]
        mov     rdx, [r8 + 8]
        test    rdx, rdx
        jz      pop_empty
        mov     r9, rdx
ExpInterlockedPopEntrySListFault:
        mov     rcx, [rdx]
        lea     rbx, [rax + 0xFFFF]     ; depth - 1, sequence + 1
        lock cmpxchg16b [r8]
        jnz     ExpInterlockedPopEntrySListResume
        mov     rax, r9
        pop     rbx
        ret
pop_empty:
        xor     eax, eax
        pop     rbx
        ret
pop_end:

; PSLIST_ENTRY ExpInterlockedPushEntrySList(PSLIST_HEADER Head, PSLIST_ENTRY Entry): the entry that was first
align 16
ExpInterlockedPushEntrySList:
        push    rbx
.prolog_end:
        mov     r8, rcx
        mov     rcx, rdx
        mov     rax, [r8]
        mov     rdx, [r8 + 8]
.again:
        mov     [rcx], rdx
        lea     rbx, [rax + 0x10001]    ; depth + 1, sequence + 1
        lock cmpxchg16b [r8]
        jnz     .again
        mov     rax, rdx
        pop     rbx
        ret
push_end:

; PSLIST_ENTRY ExpInterlockedFlushSList(PSLIST_HEADER Head): the whole list
align 16
ExpInterlockedFlushSList:
        push    rbx
.prolog_end:
        mov     r8, rcx
        mov     rax, [r8]
        mov     rdx, [r8 + 8]
        xor     ecx, ecx
.again:
        lea     rbx, [rax + 0x10000]
        xor     bx, bx                  ; depth 0
        lock cmpxchg16b [r8]
        jnz     .again
        mov     rax, rdx
        pop     rbx
        ret
flush_end:

; PSLIST_ENTRY InterlockedPushListSList(PSLIST_HEADER Head, PSLIST_ENTRY First, PSLIST_ENTRY Last, ULONG Count)
align 16
InterlockedPushListSList:
        push    rbx
.prolog_end:
        mov     r10, rcx
        mov     rcx, rdx
        mov     r9d, r9d
        mov     rax, [r10]
        mov     rdx, [r10 + 8]
.again:
        mov     [r8], rdx
        lea     rbx, [rax + r9 + 0x10000]
        lock cmpxchg16b [r10]
        jnz     .again
        mov     rax, rdx
        pop     rbx
        ret
list_end:

; USHORT ExQueryDepthSList(PSLIST_HEADER Head)
align 16
ExQueryDepthSList:
        movzx   eax, word [rcx]
        ret

section .xdata rdata align=8

; All four begin with push rbx: UWOP_PUSH_NONVOL, register 3.
push_rbx_info:
        db      1, 1, 1, 0
        db      1, 0x30
        dw      0

section .pdata rdata align=4
        dd      ExpInterlockedPopEntrySList wrt ..imagebase
        dd      pop_end wrt ..imagebase
        dd      push_rbx_info wrt ..imagebase
        dd      ExpInterlockedPushEntrySList wrt ..imagebase
        dd      push_end wrt ..imagebase
        dd      push_rbx_info wrt ..imagebase
        dd      ExpInterlockedFlushSList wrt ..imagebase
        dd      flush_end wrt ..imagebase
        dd      push_rbx_info wrt ..imagebase
        dd      InterlockedPushListSList wrt ..imagebase
        dd      list_end wrt ..imagebase
        dd      push_rbx_info wrt ..imagebase
