; trap.asm - the first and last instructions of every interrupt and exception.
;
; 256 entry stubs push a vector number (and a zero where the processor pushes no error code) and meet in
; KiTrapCommon, which builds the KTRAP_FRAME of include/ntos/x64.h, calls KiTrapHandler and returns. Each part carries hand-written
; unwind data that ends in UWOP_PUSH_MACHFRAME, so that the unwinder walks out of a handler into the interrupted
; function with every register recovered. Between the prologue and the final `add rsp` the stack pointer does not
; move, and the iretq has unwind data of its own: a trace taken by an NMI is right at every instruction.
;
; GS: an interrupt from ring 3 (CS says so) executes swapgs. NMI, #DB, #MC and #DF can arrive between a ring
; change and its swapgs, and user code may load any GS base (FSGSBASE), so neither CS nor the base's sign
; proves anything there: they run on IST stacks whose top word holds the processor's PCR, and save, set and
; restore the GS base as such. A #DB out of ring 3 is the exception: it may have to wait for a page of the program's stack, so its
; frame moves to the thread's kernel stack first (ring 3 in CS does prove that the user's GS base is loaded).
;
; KiReturnToUser is the way out for frames that were not built here: system calls that changed their caller's
; registers, and new threads. Whoever uses it has made the frame one that iretq takes (src/ke/userframe.c).
;
; CR8 is only read here; KiTrapHandler raises and lowers it. Interrupts are off on entry (all gates are interrupt gates).

bits 64
default rel

extern KiTrapHandler
extern KiSmapEnabled
global KiTrapStubs
global KiReturnToUser
global KiInitialMxCsr

%include "trapframe.inc"

MSR_GS_BASE equ 0xC0000101
IST_VECTORS equ (1 << 1) | (1 << 2) | (1 << 8) | (1 << 18)
MXCSR_INIT  equ 0x1F80                  ; all exceptions masked, round to nearest: what the ABI promises functions

section .text

; ---- Entry stubs: 16 bytes each, found by index -----------------------------------------------------------------------

%define HAS_ERROR(v) ((v) == 8 || ((v) >= 10 && (v) <= 14) || (v) == 17 || (v) == 21 || (v) == 29 || (v) == 30)

align 16
KiTrapStubs:
%assign v 0
%rep 256
    align 16, int3
stub_ %+ v:
%if !HAS_ERROR(v)
    push 0
%endif
after_error_ %+ v:
    push strict dword v
after_vector_ %+ v:
    jmp KiTrapCommon
stub_end_ %+ v:
%assign v v + 1
%endrep

; ---- The common part -------------------------------------------------------------------------------------------------

align 16
KiTrapCommon:
    PUSH_FRAME
    cld
    cmp byte [KiSmapEnabled], 0
    je .no_smap
    clac
.no_smap:
    lea rdi, [rsp + HOME]               ; rdi: the trap frame, preserved by the C handler
%assign x 0
%rep 6
    movaps [rdi + TF_XMM + 16 * x], xmm %+ x
%assign x x + 1
%endrep
    stmxcsr [rdi + TF_MXCSR]
    ldmxcsr [KiInitialMxCsr]
    mov rax, cr8
    mov [rdi + TF_IRQL], al
    mov al, [rdi + TF_CS]
    and al, 1
    mov [rdi + TF_USER], al

    mov ebx, [rdi + TF_VECTOR]          ; ebx: the vector, preserved by the C handler
    cmp ebx, 32
    jae .not_ist
    mov ecx, IST_VECTORS
    bt ecx, ebx
    jc .ist
.not_ist:
    test al, al
    jz .gs_done
    swapgs
    lfence                              ; no load through GS before the swap is architectural
.gs_done:
    cmp ebx, 14
    jne .call
    mov rax, cr2
    mov [rdi + TF_CR2], rax
.call:
    mov rcx, rdi
    call KiTrapHandler
    cli
    cmp ebx, 32
    jae .leave_not_ist
    mov ecx, IST_VECTORS
    bt ecx, ebx
    jc .leave_ist
.leave_not_ist:
    test byte [rdi + TF_CS], 1
    jz .restore
    swapgs
.restore:
%assign x 0
%rep 6
    movaps xmm %+ x, [rdi + TF_XMM + 16 * x]
%assign x x + 1
%endrep
    ldmxcsr [rdi + TF_MXCSR]
    mov r15, [rsp + HOME + TF_R15]
    mov r14, [rsp + HOME + TF_R14]
    mov r13, [rsp + HOME + TF_R13]
    mov r12, [rsp + HOME + TF_R12]
    mov rbp, [rsp + HOME + TF_RBP]
    mov rdi, [rsp + HOME + TF_RDI]
    mov rsi, [rsp + HOME + TF_RSI]
    mov rbx, [rsp + HOME + TF_RBX]
    mov r11, [rsp + HOME + TF_R11]
    mov r10, [rsp + HOME + TF_R10]
    mov r9, [rsp + HOME + TF_R9]
    mov r8, [rsp + HOME + TF_R8]
    mov rdx, [rsp + HOME + TF_RDX]
    mov rcx, [rsp + HOME + TF_RCX]
    mov rax, [rsp + HOME + TF_RAX]
    add rsp, HOME + TF_RIP
.end:
KiTrapReturn:
    iretq
.end:
; VOID KiReturnToUser(PKTRAP_FRAME Frame): interrupts off; the frame has HOME bytes free below it.
align 16
KiReturnToUser:
    mov rdi, rcx
    lea rsp, [rcx - HOME]
    jmp KiTrapCommon.leave_not_ist
align 16
KiTrapIst:
KiTrapCommon.ist:
    test al, al
    jz .kernel
    cmp ebx, 1
    je KiTrapDebugUser
.kernel:
    mov ecx, MSR_GS_BASE
    rdmsr
    mov [rdi + TF_GSBASE], eax
    mov [rdi + TF_GSBASE + 4], edx
    mov rdx, [rdi + TF_SIZE]            ; the word above the machine frame: this processor's PCR
    mov eax, edx
    shr rdx, 32
    wrmsr
    cmp ebx, 1
    jne KiTrapCommon.call
    mov rax, dr6
    mov [rdi + TF_DR6], rax
    jmp KiTrapCommon.call
KiTrapCommon.leave_ist:
    mov ecx, MSR_GS_BASE
    mov eax, [rdi + TF_GSBASE]
    mov edx, [rdi + TF_GSBASE + 4]
    wrmsr
    jmp KiTrapCommon.restore
KiTrapIst.end:
KiTrapDebugUser:                        ; a #DB out of ring 3: goes on on the thread's kernel stack, as other traps do
    swapgs
    lfence
    mov rax, dr6
    mov [rdi + TF_DR6], rax
    mov rsi, rdi
    mov rdi, [gs:PRCB_STACK_TOP]
    sub rdi, TF_SIZE
    mov rdx, rdi
    mov ecx, TF_SIZE / 8
    rep movsq
    lea rsp, [rdx - HOME]
    mov rdi, rdx
    mov rcx, rdx
    call KiTrapHandler
    cli
    jmp KiTrapCommon.leave_not_ist
KiTrapDebugUser.end:

section .rdata align=8
KiInitialMxCsr:
    dd MXCSR_INIT

; ---- Unwind data -----------------------------------------------------------------------------------------------------

section .xdata rdata align=8

%assign v 0
%rep 256
    align 4
unwind_stub_ %+ v:
    db 1                                ; version 1, no handler
    db after_vector_ %+ v - stub_ %+ v
%if HAS_ERROR(v)
    db 2, 0
    UNWIND_CODE after_vector_ %+ v - stub_ %+ v, UW_SMALL, 0
    UNWIND_CODE 0, UW_MACH, 1
%else
    db 3, 0
    UNWIND_CODE after_vector_ %+ v - stub_ %+ v, UW_SMALL, 0
    UNWIND_CODE after_error_ %+ v - stub_ %+ v, UW_SMALL, 0
    UNWIND_CODE 0, UW_MACH, 0
    dw 0
%endif
%assign v v + 1
%endrep

%macro COMMON_CODES 1                   ; as FRAME_CODES's second
    FRAME_CODES KiTrapCommon, %1
    UNWIND_CODE 0, UW_SMALL, 0          ; the vector
    UNWIND_CODE 0, UW_MACH, 1
    dw 0
%endmacro

align 4
unwind_common:
    db 1, KiTrapCommon.prologue_end - KiTrapCommon, FRAME_CODE_SLOTS + 2, 0
    COMMON_CODES 1
align 4
unwind_ist:
    db 1, 0, FRAME_CODE_SLOTS + 2, 0
    COMMON_CODES 0
align 4
unwind_return:
    db 1, 0, 1, 0
    UNWIND_CODE 0, UW_MACH, 0
    dw 0

section .pdata rdata align=4
%assign v 0
%rep 256
    dd stub_ %+ v wrt ..imagebase, stub_end_ %+ v wrt ..imagebase, unwind_stub_ %+ v wrt ..imagebase
%assign v v + 1
%endrep
    dd KiTrapCommon wrt ..imagebase, KiTrapCommon.end wrt ..imagebase, unwind_common wrt ..imagebase
    dd KiTrapReturn wrt ..imagebase, KiTrapReturn.end wrt ..imagebase, unwind_return wrt ..imagebase
    dd KiTrapIst wrt ..imagebase, KiTrapIst.end wrt ..imagebase, unwind_ist wrt ..imagebase
    dd KiTrapDebugUser wrt ..imagebase, KiTrapDebugUser.end wrt ..imagebase, unwind_ist wrt ..imagebase
