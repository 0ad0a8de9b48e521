; entry.asm - where GRUB enters the loader, and where the loader leaves for the kernel.
;
; OslStart is entered as the multiboot2 specification says: 32-bit protected mode, paging off, EAX the magic, EBX the
; physical address of the boot information. Nothing else is assumed: OVMF leaves CR4 = 0x668, a BIOS leaves 0, and the
; segment registers hold GRUB's descriptors, which lie in memory that the loader may hand out.
;
; OslEnterKernel switches to long mode. Everything it touches after paging is on (code, GDT, parameters) lies in the one
; page of section .transition, mapped one to one, read-only and executable; hence the GDT's accessed bits are set beforehand.

MULTIBOOT2_MAGIC equ 0xE85250D6
STACK_BYTES      equ 0x8000

CR4_PAE  equ 0x20
CR0_BITS equ 0x80010033            ; PG, WP, NE, ET, MP, PE
MSR_EFER equ 0xC0000080
EFER_BITS equ 0x900                ; LME, NXE

extern OslMain

section .multiboot align=8
Header:
    dd MULTIBOOT2_MAGIC
    dd 0                           ; i386 protected mode
    dd HeaderEnd - Header
    dd -(MULTIBOOT2_MAGIC + (HeaderEnd - Header))
align 8
    dw 1, 1                        ; information request, optional: maps (BIOS, EFI), framebuffer, both RSDP forms
    dd 28
    dd 6, 17, 8, 14, 15
align 8
    dw 5, 1                        ; framebuffer, optional, no preference of size or depth
    dd 20
    dd 0, 0, 0
align 8
    dw 4, 1                        ; console: EGA text will do as well
    dd 12
    dd 2
align 8
    dw 6, 0                        ; modules start on a page
    dd 8
align 8
    dw 0, 0
    dd 8
HeaderEnd:

section .text
bits 32
global OslStart
OslStart:
    cli
    cld
    mov esp, StackTop
    mov esi, eax                   ; rdtsc overwrites EAX and EDX
    rdtsc
    push edx                       ; OslMain(Magic, BootInformation, uint64_t Tsc)
    push eax
    push ebx
    push esi
    lgdt [GdtPointer]              ; our own descriptors: GRUB's table lies in memory that is free now
    jmp 0x18:.Flat
.Flat:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    call OslMain                   ; does not return

section .transition
; void OslEnterKernel(void): OslTransition holds the parameters. Does not return.
global OslEnterKernel
OslEnterKernel:
    cli
    mov eax, CR4_PAE
    mov cr4, eax
    mov eax, [OslTransition.Root]
    mov cr3, eax
    mov ecx, MSR_EFER
    mov eax, EFER_BITS
    xor edx, edx
    wrmsr
    mov eax, CR0_BITS
    mov cr0, eax
    jmp 0x08:.Long
bits 64
.Long:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov rsp, [rel OslTransition.Stack]
    mov rcx, [rel OslTransition.Block]
    mov rax, [rel OslTransition.Entry]
    xor ebx, ebx
    xor edx, edx
    xor esi, esi
    xor edi, edi
    xor ebp, ebp
    jmp rax

align 8
global OslTransition
OslTransition:                     ; struct OSL_TRANSITION in osloader.h
.Root:  dq 0
.Stack: dq 0
.Entry: dq 0
.Block: dq 0

align 8
Gdt:
    dq 0
    dq 0x00AF9B000000FFFF          ; 0x08: 64-bit code
    dq 0x00CF93000000FFFF          ; 0x10: data
    dq 0x00CF9B000000FFFF          ; 0x18: 32-bit code, the loader's own
GdtPointer:
    dw $ - Gdt - 1
    dd Gdt

section .bss align=4096
    resb STACK_BYTES
StackTop:
