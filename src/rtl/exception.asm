; exception.asm - what of exception handling C cannot say: whole register sets, and calls to language handlers that
; are themselves guarded.
;
; RtlpExecuteHandlerForException and RtlpExecuteHandlerForUnwind call a language handler on behalf of the dispatcher and of
; RtlUnwindEx. Their frames name handlers of their own, so that an exception raised inside a filter, or an unwind
; out of a __finally, finds out which dispatch or unwind it interrupts: each keeps its DISPATCHER_CONTEXT at
; [EstablisherFrame + 32], where those handlers look for it.

bits 64
default rel

global RtlCaptureContext
global RtlRestoreContext
global RtlpExecuteHandlerForException
global RtlpExecuteHandlerForUnwind
global RtlpCaptureXmm
global RtlpRestoreXmm
global DbgBreakPoint
global DbgBreakPointWithStatus

; CONTEXT, as wdm.h declares it
CX_FLAGS    equ 0x30
CX_MXCSR    equ 0x34
CX_CS       equ 0x38
CX_DS       equ 0x3A
CX_ES       equ 0x3C
CX_FS       equ 0x3E
CX_GS       equ 0x40
CX_SS       equ 0x42
CX_EFLAGS   equ 0x44
CX_RAX      equ 0x78
CX_RCX      equ 0x80
CX_RDX      equ 0x88
CX_RBX      equ 0x90
CX_RSP      equ 0x98
CX_RBP      equ 0xA0
CX_RSI      equ 0xA8
CX_RDI      equ 0xB0
CX_R8       equ 0xB8
CX_R9       equ 0xC0
CX_R10      equ 0xC8
CX_R11      equ 0xD0
CX_R12      equ 0xD8
CX_R13      equ 0xE0
CX_R14      equ 0xE8
CX_R15      equ 0xF0
CX_RIP      equ 0xF8
CX_XMM0     equ 0x1A0

CONTEXT_FULL equ 0x10000B               ; AMD64, control, integer, floating point

DC_HANDLER  equ 0x30                    ; DISPATCHER_CONTEXT.LanguageHandler

section .text

; VOID RtlCaptureContext(PCONTEXT): the caller's registers, as they are when this returns. A leaf: only flags are clobbered
; after they have been saved, so everything it stores is what it found.
align 16
RtlCaptureContext:
    pushfq
.pushed:
    mov dword [rcx + CX_FLAGS], CONTEXT_FULL
    mov [rcx + CX_RAX], rax
    mov [rcx + CX_RCX], rcx
    mov [rcx + CX_RDX], rdx
    mov [rcx + CX_RBX], rbx
    mov [rcx + CX_RBP], rbp
    mov [rcx + CX_RSI], rsi
    mov [rcx + CX_RDI], rdi
    mov [rcx + CX_R8], r8
    mov [rcx + CX_R9], r9
    mov [rcx + CX_R10], r10
    mov [rcx + CX_R11], r11
    mov [rcx + CX_R12], r12
    mov [rcx + CX_R13], r13
    mov [rcx + CX_R14], r14
    mov [rcx + CX_R15], r15
    mov [rcx + CX_CS], cs
    mov [rcx + CX_DS], ds
    mov [rcx + CX_ES], es
    mov [rcx + CX_FS], fs
    mov [rcx + CX_GS], gs
    mov [rcx + CX_SS], ss
    stmxcsr [rcx + CX_MXCSR]
%assign x 0
%rep 16
    movups [rcx + CX_XMM0 + 16 * x], xmm %+ x
%assign x x + 1
%endrep
    mov rax, [rsp]
    mov [rcx + CX_EFLAGS], eax
    mov rax, [rsp + 8]
    mov [rcx + CX_RIP], rax
    lea rax, [rsp + 16]
    mov [rcx + CX_RSP], rax
    mov rax, [rcx + CX_RAX]
    add rsp, 8
    ret
.end:

; VOID RtlRestoreContext(PCONTEXT, PEXCEPTION_RECORD): goes on at a context of the ring it is called in. In the kernel by a machine
; frame on the stack in use, which lies below the one that is returned to; in ntdll (NT_USER) by four words below the target's
; stack pointer, where nothing is alive, because an emulator may read IRETQ's frame as the kernel would. A CONTEXT that lies right
; there loses its last words, which nothing reads.
align 16
RtlRestoreContext:
%assign x 0
%rep 16
    movups xmm %+ x, [rcx + CX_XMM0 + 16 * x]
%assign x x + 1
%endrep
    ldmxcsr [rcx + CX_MXCSR]
%ifdef NT_USER
    mov rax, [rcx + CX_RSP]
    mov rdx, [rcx + CX_RIP]
    mov [rax - 8], rdx
    mov rdx, [rcx + CX_RCX]
    mov [rax - 16], rdx
    mov edx, [rcx + CX_EFLAGS]
    mov [rax - 24], rdx
    mov rdx, [rcx + CX_RAX]
    mov [rax - 32], rdx
    mov rdx, [rcx + CX_RDX]
%else
    movzx eax, word [rcx + CX_SS]
    push rax
    push qword [rcx + CX_RSP]
    mov eax, [rcx + CX_EFLAGS]
    push rax
    movzx eax, word [rcx + CX_CS]
    push rax
    push qword [rcx + CX_RIP]
    push qword [rcx + CX_RCX]
    mov rax, [rcx + CX_RAX]
    mov rdx, [rcx + CX_RDX]
%endif
    mov rbx, [rcx + CX_RBX]
    mov rbp, [rcx + CX_RBP]
    mov rsi, [rcx + CX_RSI]
    mov rdi, [rcx + CX_RDI]
    mov r8, [rcx + CX_R8]
    mov r9, [rcx + CX_R9]
    mov r10, [rcx + CX_R10]
    mov r11, [rcx + CX_R11]
    mov r12, [rcx + CX_R12]
    mov r13, [rcx + CX_R13]
    mov r14, [rcx + CX_R14]
    mov r15, [rcx + CX_R15]
%ifdef NT_USER
    lea rsp, [rax - 32]
    pop rax
    popfq
    pop rcx
    ret
%else
    pop rcx
    iretq
%endif

; VOID RtlpCaptureXmm(PCONTEXT): stores the live XMM6-15, which no trap frame holds.
align 16
RtlpCaptureXmm:
%assign x 6
%rep 10
    movups [rcx + CX_XMM0 + 16 * x], xmm %+ x
%assign x x + 1
%endrep
    ret

; VOID RtlpRestoreXmm(PCONTEXT): loads XMM6-15.
align 16
RtlpRestoreXmm:
%assign x 6
%rep 10
    movups xmm %+ x, [rcx + CX_XMM0 + 16 * x]
%assign x x + 1
%endrep
    ret

; VOID DbgBreakPoint(VOID); VOID DbgBreakPointWithStatus(ULONG): functions of their own, so that a debugger finds the
; caller one frame up, with the status still in its register.
align 16
DbgBreakPoint:
    int3
    ret

align 16
DbgBreakPointWithStatus:
    int3
    ret

; EXCEPTION_DISPOSITION RtlpExecuteHandlerFor...(Record, EstablisherFrame, Context, DispatcherContext)
; The nop keeps the return address out of what looks like an epilogue.
align 16
RtlpExecuteHandlerForException:
    sub rsp, 40
.allocated:
    mov [rsp + 32], r9
    call [r9 + DC_HANDLER]
    nop
    add rsp, 40
    ret
.end:

align 16
RtlpExecuteHandlerForUnwind:
    sub rsp, 40
.allocated:
    mov [rsp + 32], r9
    call [r9 + DC_HANDLER]
    nop
    add rsp, 40
    ret
.end:

; EXCEPTION_DISPOSITION RtlpExceptionHandler(Record, EstablisherFrame, Context, DispatcherContext)
; Met by a dispatch that walks over another dispatch's handler call: the exception is nested in it.
align 16
RtlpExceptionHandler:
    mov eax, 1                          ; ExceptionContinueSearch
    test dword [rcx + 4], 0x66          ; ExceptionFlags: any kind of unwind
    jnz .done
    mov r10, [rdx + 32]                 ; the interrupted dispatch's DISPATCHER_CONTEXT
    mov r10, [r10 + 0x18]               ; EstablisherFrame it had reached
    mov [r9 + 0x18], r10
    mov eax, 2                          ; ExceptionNestedException
.done:
    ret

; EXCEPTION_DISPOSITION RtlpUnwindHandler(Record, EstablisherFrame, Context, DispatcherContext)
; Met by whoever walks over an unwind's handler call: go on from where that unwind had come to.
align 16
RtlpUnwindHandler:
    mov r10, [rdx + 32]                 ; the interrupted unwind's DISPATCHER_CONTEXT
%assign o 0
%rep 4                                  ; ControlPc, ImageBase, FunctionEntry, EstablisherFrame
    mov rax, [r10 + o]
    mov [r9 + o], rax
%assign o o + 8
%endrep
%assign o 0x28                          ; all but TargetIp, which stays the new unwind's
%rep 4                                  ; ContextRecord, LanguageHandler, HandlerData, HistoryTable
    mov rax, [r10 + o]
    mov [r9 + o], rax
%assign o o + 8
%endrep
    mov eax, [r10 + 0x48]               ; ScopeIndex
    mov [r9 + 0x48], eax
    mov eax, 3                          ; ExceptionCollidedUnwind
    ret

; ---- Unwind data -----------------------------------------------------------------------------------------------------

section .xdata rdata align=8

align 4
unwind_capture:
    db 1, RtlCaptureContext.pushed - RtlCaptureContext, 1, 0
    db RtlCaptureContext.pushed - RtlCaptureContext, (0 << 4) | 2
    dw 0

align 4
unwind_exception:
    db 1 | (3 << 3), RtlpExecuteHandlerForException.allocated - RtlpExecuteHandlerForException, 1, 0
    db RtlpExecuteHandlerForException.allocated - RtlpExecuteHandlerForException, (4 << 4) | 2
    dw 0
    dd RtlpExceptionHandler wrt ..imagebase

align 4
unwind_unwind:
    db 1 | (3 << 3), RtlpExecuteHandlerForUnwind.allocated - RtlpExecuteHandlerForUnwind, 1, 0
    db RtlpExecuteHandlerForUnwind.allocated - RtlpExecuteHandlerForUnwind, (4 << 4) | 2
    dw 0
    dd RtlpUnwindHandler wrt ..imagebase

section .pdata rdata align=4
    dd RtlCaptureContext wrt ..imagebase, RtlCaptureContext.end wrt ..imagebase, unwind_capture wrt ..imagebase
    dd RtlpExecuteHandlerForException wrt ..imagebase, RtlpExecuteHandlerForException.end wrt ..imagebase
    dd unwind_exception wrt ..imagebase
    dd RtlpExecuteHandlerForUnwind wrt ..imagebase, RtlpExecuteHandlerForUnwind.end wrt ..imagebase
    dd unwind_unwind wrt ..imagebase
