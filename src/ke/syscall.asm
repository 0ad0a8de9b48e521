; syscall.asm - the SYSCALL instruction's way into the kernel and back.
;
; SYSCALL leaves the user's stack pointer and GS base in place, interrupts off and AC, DF, TF, NT clear (KI_SYSCALL_FLAG_MASK).
; The stack is the current thread's, from the PRCB; nothing that the caller controls is used as an address. The frame is a
; whole KTRAP_FRAME, so that exceptions, APCs and contexts treat system calls as any other trap from ring 3; its
; XMM part is not filled in, since those registers are volatile in a call and are cleared on the way out.
;
; The way back is SYSRET if the service left the frame alone and RIP lies in the user half (SYSRET to an address that is not
; canonical would fault in ring 0 on the user's stack), else the iretq of trap.asm.
;
; The frame's Vector is KI_FRAME_SYSCALL (processor.h).

bits 64
default rel

extern KiSystemCall
extern KiReturnToUser
extern KiInitialMxCsr
global KiSystemCall64

; KTRAP_FRAME, asserted by x64.h
TF_MXCSR    equ 96
TF_IRQL     equ 100
TF_USER     equ 101
TF_R15      equ 128
TF_RDI      equ 168
TF_R10      equ 200
TF_R9       equ 208
TF_R8       equ 216
TF_RDX      equ 224
TF_RAX      equ 240
TF_RIP      equ 264
TF_EFLAGS   equ 280
TF_RSP      equ 288

HOME        equ 32
FIXED       equ TF_R15 + HOME

PRCB_STACK_TOP equ 0x1A0                ; through GS
PRCB_USER_RSP  equ 0x1A8

USER_DATA   equ 0x2B                    ; KGDT_R3_DATA | 3
USER_CODE   equ 0x33                    ; KGDT_R3_CODE | 3
FRAME_SYSCALL equ 0x100

UW_PUSH     equ 0
UW_LARGE    equ 1
UW_SMALL    equ 2
UW_MACH     equ 10

section .text

; No unwind data for the first instructions: they run on the user's stack, which no walk follows.
align 16
KiSystemCall64:
    swapgs
    mov [gs:PRCB_USER_RSP], rsp
    mov rsp, [gs:PRCB_STACK_TOP]
    push USER_DATA
    push qword [gs:PRCB_USER_RSP]
    push r11
    push USER_CODE
    push rcx
    push 0                              ; error code
KiSystemCallFrame:
    push FRAME_SYSCALL
.p_vector:
    push rax
.p_rax:
    push rcx
.p_rcx:
    push rdx
.p_rdx:
    push r8
.p_r8:
    push r9
.p_r9:
    push r10
.p_r10:
    push r11
.p_r11:
    push rbx
.p_rbx:
    push rsi
.p_rsi:
    push rdi
.p_rdi:
    push rbp
.p_rbp:
    push r12
.p_r12:
    push r13
.p_r13:
    push r14
.p_r14:
    push r15
.p_r15:
    sub rsp, FIXED
.prologue_end:
    lea rdi, [rsp + HOME]               ; rdi: the frame, preserved by the C code
    stmxcsr [rdi + TF_MXCSR]
    ldmxcsr [KiInitialMxCsr]
    mov word [rdi + TF_IRQL], 0x100     ; PreviousIrql 0, FromUser 1
    sti
    mov rcx, rdi
    call KiSystemCall                   ; comes back with interrupts off
    test al, al
    jnz .full
    mov rcx, [rdi + TF_RIP]
    mov rax, rcx
    shr rax, 47
    jnz .full
    ldmxcsr [rdi + TF_MXCSR]
%assign x 0
%rep 6
    pxor xmm %+ x, xmm %+ x
%assign x x + 1
%endrep
    mov r11, [rdi + TF_EFLAGS]
    mov rax, [rdi + TF_RAX]
    mov rdx, [rdi + TF_RDX]
    mov r8, [rdi + TF_R8]
    mov r9, [rdi + TF_R9]
    mov r10, [rdi + TF_R10]
    jmp KiSystemCallExit
.full:
    mov rcx, rdi
    jmp KiReturnToUser
.end:
KiSystemCallExit:                       ; on the user's stack again: no unwind data
    mov rsp, [rdi + TF_RSP]
    mov rdi, [rdi + TF_RDI]
    swapgs
    o64 sysret

; ---- Unwind data -----------------------------------------------------------------------------------------------------

%macro CODE 2                           ; label, register pushed
    db %1 - KiSystemCallFrame, (%2 << 4) | UW_PUSH
%endmacro

section .xdata rdata align=8
align 4
unwind_call:
    db 1, KiSystemCallFrame.prologue_end - KiSystemCallFrame, 19, 0
    db KiSystemCallFrame.prologue_end - KiSystemCallFrame, UW_LARGE
    dw FIXED / 8
    CODE KiSystemCallFrame.p_r15, 15
    CODE KiSystemCallFrame.p_r14, 14
    CODE KiSystemCallFrame.p_r13, 13
    CODE KiSystemCallFrame.p_r12, 12
    CODE KiSystemCallFrame.p_rbp, 5
    CODE KiSystemCallFrame.p_rdi, 7
    CODE KiSystemCallFrame.p_rsi, 6
    CODE KiSystemCallFrame.p_rbx, 3
    CODE KiSystemCallFrame.p_r11, 11
    CODE KiSystemCallFrame.p_r10, 10
    CODE KiSystemCallFrame.p_r9, 9
    CODE KiSystemCallFrame.p_r8, 8
    CODE KiSystemCallFrame.p_rdx, 2
    CODE KiSystemCallFrame.p_rcx, 1
    CODE KiSystemCallFrame.p_rax, 0
    db KiSystemCallFrame.p_vector - KiSystemCallFrame, UW_SMALL
    db 0, (1 << 4) | UW_MACH
    dw 0

section .pdata rdata align=4
    dd KiSystemCallFrame wrt ..imagebase, KiSystemCallFrame.end wrt ..imagebase, unwind_call wrt ..imagebase
