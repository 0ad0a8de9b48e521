; dispatch.asm - where the kernel sends a thread of a program: to its exception handlers and to its APCs.
;
; At KiUserExceptionDispatcher RSP points to a CONTEXT; an EXCEPTION_RECORD lies at 0x4F0 and a machine frame (RIP, CS, RFLAGS, RSP, SS) at
; 0x590. At KiUserApcDispatcher it points to a CONTEXT whose home words are context, two arguments and routine, with a machine
; frame at 0x4F0. Behind each CONTEXT lies its CONTEXT_EX, and above the frame the extended registers. The machine frames let the
; unwinder walk out into the interrupted code. src/ke/userframe.c builds both.

bits 64
default rel

extern RtlpUserException
extern NtContinue
extern RtlRaiseStatus
global KiUserExceptionDispatcher
global KiUserApcDispatcher

RECORD  equ 0x4F0
MACHINE equ 0x590
APC_MACHINE equ 0x4F0

section .text

align 16
    nop                                 ; a return address into the function is looked up one byte below
KiUserExceptionDispatcher:
    cld
    lea rcx, [rsp + RECORD]
    mov rdx, rsp
    call RtlpUserException              ; never returns
    int3
.end:

align 16
    nop
KiUserApcDispatcher:
    mov rcx, [rsp + 0x00]
    mov rdx, [rsp + 0x08]
    mov r8, [rsp + 0x10]
    mov rax, [rsp + 0x18]
    mov r9, rsp
    sub rsp, 0x20
    call rax
    add rsp, 0x20
    mov rcx, rsp
    mov edx, 1                          ; APCs that came meanwhile are next
    sub rsp, 0x20
    call NtContinue
    mov ecx, eax
    call RtlRaiseStatus
    int3
.end:

section .xdata rdata align=8
align 4
unwind_exception:
    db 1, 0, 3 + 2 * 7, 0
%macro SAVED 2                          ; UWOP_SAVE_NONVOL: a register's number, its offset in CONTEXT
    db 0, (%1 << 4) | 4
    dw %2 / 8
%endmacro
    SAVED 0, 0x78                       ; RAX, RCX, RDX, R8-R11: code that the compiler made for a handler may still
    SAVED 1, 0x80                       ; have a value of the interrupted function in one of them
    SAVED 2, 0x88
    SAVED 8, 0xB8
    SAVED 9, 0xC0
    SAVED 10, 0xC8
    SAVED 11, 0xD0
    db 0, (0 << 4) | 1                  ; UWOP_ALLOC_LARGE, MACHINE bytes
    dw MACHINE / 8
    db 0, (0 << 4) | 10                 ; UWOP_PUSH_MACHFRAME
    dw 0
align 4
unwind_apc:                             ; inside the call, when walks come by
    db 1, 0, 3, 0
    db 0, (0 << 4) | 1
    dw (APC_MACHINE + 0x20) / 8
    db 0, (0 << 4) | 10
    dw 0

section .pdata rdata align=4
    dd KiUserExceptionDispatcher wrt ..imagebase, KiUserExceptionDispatcher.end wrt ..imagebase, unwind_exception wrt ..imagebase
    dd KiUserApcDispatcher wrt ..imagebase, KiUserApcDispatcher.end wrt ..imagebase, unwind_apc wrt ..imagebase
