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

%include "trapframe.inc"

USER_DATA   equ 0x2B                    ; KGDT_R3_DATA | 3
USER_CODE   equ 0x33                    ; KGDT_R3_CODE | 3
FRAME_SYSCALL equ 0x100

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
    PUSH_FRAME
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

section .xdata rdata align=8
align 4
unwind_call:
    db 1, KiSystemCallFrame.prologue_end - KiSystemCallFrame, FRAME_CODE_SLOTS + 2, 0
    FRAME_CODES KiSystemCallFrame, 1
    UNWIND_CODE KiSystemCallFrame.p_vector - KiSystemCallFrame, UW_SMALL, 0
    UNWIND_CODE 0, UW_MACH, 1
    dw 0

section .pdata rdata align=4
    dd KiSystemCallFrame wrt ..imagebase, KiSystemCallFrame.end wrt ..imagebase, unwind_call wrt ..imagebase
