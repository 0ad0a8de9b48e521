; ctxsw.asm - one processor leaves one thread and takes up another.
;
; KiSwapContext saves what a call preserves under the x64 calling convention: RBX, RBP, RSI, RDI, R12-R15, XMM6-XMM15 and MXCSR
; (the kernel uses no SSE, foreign drivers do). Everything lies in one frame on the outgoing stack, described by
; unwind data, so that the stack of a thread that does not run can be walked from its saved RSP. The volatile registers
; are the caller's business, or lie in a trap frame.
;
; The dispatcher lock is held throughout. KiThreadStartup is where a new thread comes out: KeInitializeThread has
; built a frame that "returns" there. Its own return address is 0, where stack walks end.
;
; Offsets of KTHREAD are asserted in thread.c.

default rel
bits 64

KTHREAD_KERNEL_STACK equ 0x18

SWAP_XMM   equ 0x00                 ; ten registers of 16 bytes
SWAP_MXCSR equ 0xA0
SWAP_SIZE  equ 0xB8                 ; keeps RSP a multiple of 16 after eight pushes and the return address

section .text code align=16

global KiSwapContext
global KiThreadStartup
extern KiThreadStart
extern KiSmapEnabled

; VOID KiSwapContext(PKTHREAD Old, PKTHREAD New)
align 16
KiSwapContext:
.begin:
        push    rbx
.p1:    push    rbp
.p2:    push    rsi
.p3:    push    rdi
.p4:    push    r12
.p5:    push    r13
.p6:    push    r14
.p7:    push    r15
.p8:    sub     rsp, SWAP_SIZE
.alloc: movaps  [rsp + SWAP_XMM + 0x00], xmm6
.x6:    movaps  [rsp + SWAP_XMM + 0x10], xmm7
.x7:    movaps  [rsp + SWAP_XMM + 0x20], xmm8
.x8:    movaps  [rsp + SWAP_XMM + 0x30], xmm9
.x9:    movaps  [rsp + SWAP_XMM + 0x40], xmm10
.x10:   movaps  [rsp + SWAP_XMM + 0x50], xmm11
.x11:   movaps  [rsp + SWAP_XMM + 0x60], xmm12
.x12:   movaps  [rsp + SWAP_XMM + 0x70], xmm13
.x13:   movaps  [rsp + SWAP_XMM + 0x80], xmm14
.x14:   movaps  [rsp + SWAP_XMM + 0x90], xmm15
.x15:
.prolog_end:
        stmxcsr [rsp + SWAP_MXCSR]

        ; A driver that was let through to a user page waits with AC set. The next thread must not inherit that; the
        ; driver's next user access is let through again.
        cmp     byte [KiSmapEnabled], 0
        je      .no_smap
        clac
.no_smap:
        mov     [rcx + KTHREAD_KERNEL_STACK], rsp
        mov     rsp, [rdx + KTHREAD_KERNEL_STACK]

        ldmxcsr [rsp + SWAP_MXCSR]
        movaps  xmm6,  [rsp + SWAP_XMM + 0x00]
        movaps  xmm7,  [rsp + SWAP_XMM + 0x10]
        movaps  xmm8,  [rsp + SWAP_XMM + 0x20]
        movaps  xmm9,  [rsp + SWAP_XMM + 0x30]
        movaps  xmm10, [rsp + SWAP_XMM + 0x40]
        movaps  xmm11, [rsp + SWAP_XMM + 0x50]
        movaps  xmm12, [rsp + SWAP_XMM + 0x60]
        movaps  xmm13, [rsp + SWAP_XMM + 0x70]
        movaps  xmm14, [rsp + SWAP_XMM + 0x80]
        movaps  xmm15, [rsp + SWAP_XMM + 0x90]
        add     rsp, SWAP_SIZE
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     rdi
        pop     rsi
        pop     rbp
        pop     rbx
        ret
.end:

; A new thread: RBX holds its KTHREAD. It comes by a ret, not a call, so RSP is a multiple of 16 here already.
align 16
KiThreadStartup:
.begin:
        sub     rsp, 0x20
.prolog_end:
        mov     rcx, rbx
        call    KiThreadStart       ; never returns
        int3
.end:

; ---- Unwind data (PE32+ exception handling: UNWIND_INFO, codes in reverse order of the prologue) ----

%define UWOP_PUSH_NONVOL  0
%define UWOP_ALLOC_LARGE  1
%define UWOP_ALLOC_SMALL  2
%define UWOP_SAVE_XMM128  8

%macro UNWIND_CODE 3                ; offset after the instruction, operation, information
        db      %1, (%2) | ((%3) << 4)
%endmacro

section .xdata rdata align=8

swap_info:
        db      1, KiSwapContext.prolog_end - KiSwapContext.begin, 30, 0
        UNWIND_CODE KiSwapContext.x15 - KiSwapContext.begin, UWOP_SAVE_XMM128, 15
        dw      9
        UNWIND_CODE KiSwapContext.x14 - KiSwapContext.begin, UWOP_SAVE_XMM128, 14
        dw      8
        UNWIND_CODE KiSwapContext.x13 - KiSwapContext.begin, UWOP_SAVE_XMM128, 13
        dw      7
        UNWIND_CODE KiSwapContext.x12 - KiSwapContext.begin, UWOP_SAVE_XMM128, 12
        dw      6
        UNWIND_CODE KiSwapContext.x11 - KiSwapContext.begin, UWOP_SAVE_XMM128, 11
        dw      5
        UNWIND_CODE KiSwapContext.x10 - KiSwapContext.begin, UWOP_SAVE_XMM128, 10
        dw      4
        UNWIND_CODE KiSwapContext.x9 - KiSwapContext.begin, UWOP_SAVE_XMM128, 9
        dw      3
        UNWIND_CODE KiSwapContext.x8 - KiSwapContext.begin, UWOP_SAVE_XMM128, 8
        dw      2
        UNWIND_CODE KiSwapContext.x7 - KiSwapContext.begin, UWOP_SAVE_XMM128, 7
        dw      1
        UNWIND_CODE KiSwapContext.x6 - KiSwapContext.begin, UWOP_SAVE_XMM128, 6
        dw      0
        UNWIND_CODE KiSwapContext.alloc - KiSwapContext.begin, UWOP_ALLOC_LARGE, 0
        dw      SWAP_SIZE / 8
        UNWIND_CODE KiSwapContext.p8 - KiSwapContext.begin, UWOP_PUSH_NONVOL, 15
        UNWIND_CODE KiSwapContext.p7 - KiSwapContext.begin, UWOP_PUSH_NONVOL, 14
        UNWIND_CODE KiSwapContext.p6 - KiSwapContext.begin, UWOP_PUSH_NONVOL, 13
        UNWIND_CODE KiSwapContext.p5 - KiSwapContext.begin, UWOP_PUSH_NONVOL, 12
        UNWIND_CODE KiSwapContext.p4 - KiSwapContext.begin, UWOP_PUSH_NONVOL, 7
        UNWIND_CODE KiSwapContext.p3 - KiSwapContext.begin, UWOP_PUSH_NONVOL, 6
        UNWIND_CODE KiSwapContext.p2 - KiSwapContext.begin, UWOP_PUSH_NONVOL, 5
        UNWIND_CODE KiSwapContext.p1 - KiSwapContext.begin, UWOP_PUSH_NONVOL, 3

align 4
startup_info:
        db      1, KiThreadStartup.prolog_end - KiThreadStartup.begin, 1, 0
        UNWIND_CODE KiThreadStartup.prolog_end - KiThreadStartup.begin, UWOP_ALLOC_SMALL, 0x20 / 8 - 1
        dw      0

section .pdata rdata align=4
        dd      KiSwapContext.begin wrt ..imagebase
        dd      KiSwapContext.end wrt ..imagebase
        dd      swap_info wrt ..imagebase
        dd      KiThreadStartup.begin wrt ..imagebase
        dd      KiThreadStartup.end wrt ..imagebase
        dd      startup_info wrt ..imagebase
