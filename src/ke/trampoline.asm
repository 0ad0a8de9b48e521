; trampoline.asm - the first instructions of an application processor, from real mode to the kernel half.
;
; This is data of the kernel's: mp.c copies KiTrampoline..KiTrampolineEnd into the frame below 1 MB that the startup IPI
; names, fills in KiTrampolineData and adds the frame's physical address to the three pointers that are marked. The processor
; arrives with CS = frame << 8, IP = 0. Offsets are relative to KiTrampoline, and EBX holds its physical address.
;
; The tables under Root map the frame one to one, read-only and executable, besides the kernel half; so nothing here is
; written once paging is on, and the descriptors' accessed bits are set beforehand. The processor's own control bits,
; tables and memory types are KiInitializeProcessor's business.

CR4_PAE   equ 0x20
CR0_BITS  equ 0x80010033            ; PG, WP, NE, ET, MP, PE; caches on
MSR_EFER  equ 0xC0000080
EFER_BITS equ 0x900                 ; LME, NXE: the kernel's tables use NX

%define AT(label) (label - KiTrampoline)

section .rdata rdata align=16

global KiTrampoline
global KiTrampolineData
global KiTrampolineEnd

bits 16
KiTrampoline:
        cli
        cld
        mov     ax, cs
        mov     ds, ax
        movzx   ebx, ax
        shl     ebx, 4
        o32 lgdt [AT(GdtPointer)]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     dword far [AT(ToFlat)]

bits 32
FlatMode:
        mov     eax, 0x10
        mov     ds, eax
        mov     es, eax
        mov     ss, eax
        mov     eax, CR4_PAE
        mov     cr4, eax
        mov     eax, [ebx + AT(Root)]
        mov     cr3, eax
        mov     ecx, MSR_EFER
        mov     eax, EFER_BITS
        xor     edx, edx
        wrmsr
        mov     eax, CR0_BITS
        mov     cr0, eax
        jmp     dword far [ebx + AT(ToLong)]

bits 64
LongMode:
        mov     ebx, ebx            ; the upper half is undefined after a mode switch
        mov     rsp, [rbx + AT(Stack)]
        mov     rcx, [rbx + AT(Argument)]
        mov     rax, [rbx + AT(Entry)]
        xor     edx, edx
        xor     esi, esi
        xor     edi, edi
        xor     ebp, ebp
        jmp     rax

align 16
KiTrampolineData:                   ; KI_TRAMPOLINE_DATA in mp.c
Root:       dq 0
Stack:      dq 0
Entry:      dq 0
Argument:   dq 0
Gdt:        dq 0
            dq 0x00AF9B000000FFFF   ; 0x08: 64-bit code
            dq 0x00CF93000000FFFF   ; 0x10: data
            dq 0x00CF9B000000FFFF   ; 0x18: 32-bit code
ToFlat:     dd AT(FlatMode)             ; + physical address
            dd 0x18
ToLong:     dd AT(LongMode)             ; + physical address
            dd 0x08
GdtBytes:   dw 0
GdtPointer: dw ToFlat - Gdt - 1
            dd AT(Gdt)              ; + physical address
KiTrampolineEnd:
