; call.asm - ULONG64 CallService(ULONG64 Number, PULONG64 Arguments, ULONG Count): a system call by number, as ntdll's stubs make it.
;
; All arguments are on the stack as a caller of the stub would have put them; R10, RDX, R8, R9 hold the first four.

bits 64
default rel
global CallService

FIXED equ 0x8 + 0x20 + 17 * 8           ; return address of the stub, home area, arguments

section .text
align 16
CallService:
    push rsi
.p_rsi:
    push rdi
.p_rdi:
    sub rsp, FIXED
.prologue_end:
    mov rax, rcx
    mov rsi, rdx
    mov ecx, r8d
    lea rdi, [rsp + 8]                  ; the first four go to the home area, as compilers would spill them
    rep movsq
    mov r10, [rsp + 8]
    mov rdx, [rsp + 16]
    mov r8, [rsp + 24]
    mov r9, [rsp + 32]
    syscall
    add rsp, FIXED
    pop rdi
    pop rsi
    ret
.end:

section .xdata rdata align=8
align 4
unwind_call:
    db 1, CallService.prologue_end - CallService, 4, 0
    db CallService.prologue_end - CallService, 1 ; UWOP_ALLOC_LARGE
    dw FIXED / 8
    db CallService.p_rdi - CallService, 7 << 4
    db CallService.p_rsi - CallService, 6 << 4

section .pdata rdata align=4
    dd CallService wrt ..imagebase, CallService.end wrt ..imagebase, unwind_call wrt ..imagebase
