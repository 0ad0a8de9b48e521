/*
 * counter.c - a plugin for QEMU's TCG that counts the guest's instructions between two marks, the halves of the address space apart.
 *
 * A mark is an 8-byte NOP that no compiler emits, 0F 1F 84 00 followed by 0x4E54nnnn: 1 begins a region, 2 ends it, 3 is a moment. String
 * instructions with a REP prefix are counted apart, once an iteration, as TCG executes them, so that kernels which copy in different
 * widths can be compared. Idle time is no instruction and does not count. The inline counters are not atomic: one processor only.
 *
 *   R kernel user kernel-iterations user-iterations      one line a region
 *   B address instructions                               after it with profile=1: each block of the kernel half that ran in it
 *   M name instructions iterations                       a moment: the counts since power-on; B lines after the first of a program
 *
 * The interface is version 1 of QEMU's documented plugin API; Debian ships no header for it, so what is used is declared here.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { NO_REGISTERS = 0, INLINE_ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t Id, void (*Routine)(uint64_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, void (*Routine)(unsigned, void *), int, void *);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, int Operation, void *Counter, uint64_t);
void qemu_plugin_register_atexit_cb(uint64_t Id, void (*Routine)(uint64_t, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);

#define VISIBLE __attribute__((visibility("default")))

VISIBLE int qemu_plugin_version = 1;

typedef struct {
    uint64_t Plain[2], Repeated[2]; /* by half: 0 user, 1 kernel */
} COUNTS;

typedef struct BLOCK {
    struct BLOCK *Next;
    uint64_t Address, Count, AtBegin;
} BLOCK;

static COUNTS Now, Begin;
static BLOCK *Blocks;
static bool Profile, KernelSeen, ProgramSeen;
static FILE *Output;

static void Moment(const char *Name)
{
    fprintf(Output, "M %s %llu %llu\n", Name, (unsigned long long)(Now.Plain[0] + Now.Plain[1]),
            (unsigned long long)(Now.Repeated[0] + Now.Repeated[1]));
    fflush(Output);
}

static void WriteBlocks(void)
{
    for (BLOCK *Block = Blocks; Block != NULL; Block = Block->Next) {
        if (Block->Count != Block->AtBegin) {
            fprintf(Output, "B %llx %llu\n", (unsigned long long)Block->Address,
                    (unsigned long long)(Block->Count - Block->AtBegin));
        }
    }
    fflush(Output);
}

static void EndRegion(void)
{
    fprintf(Output, "R %llu %llu %llu %llu\n", (unsigned long long)(Now.Plain[1] - Begin.Plain[1]),
            (unsigned long long)(Now.Plain[0] - Begin.Plain[0]),
            (unsigned long long)(Now.Repeated[1] - Begin.Repeated[1]),
            (unsigned long long)(Now.Repeated[0] - Begin.Repeated[0]));
    WriteBlocks();
}

static void OnMark(unsigned Processor, void *Context)
{
    switch ((uintptr_t)Context) {
    case 1:
        for (BLOCK *Block = Blocks; Block != NULL; Block = Block->Next) {
            Block->AtBegin = Block->Count;
        }
        Begin = Now;
        break;
    case 2:
        EndRegion();
        break;
    default:
        Moment("mark");
    }
}

static void OnKernel(unsigned Processor, void *Context)
{
    if (!KernelSeen) {
        KernelSeen = true;
        Moment("kernel");
    }
}

/* The first instruction in the lower half after that: the loader and the firmware are behind. */
static void OnProgram(unsigned Processor, void *Context)
{
    if (KernelSeen && !ProgramSeen) {
        ProgramSeen = true;
        Moment("program");
        WriteBlocks();
    }
}

static bool IsRepeated(const uint8_t *Code, size_t Size)
{
    bool Rep = false;
    size_t At = 0;

    for (; At < Size && memchr("\xF2\xF3\x66\x67\x2E\x3E\x26\x36\x64\x65", Code[At], 10) != NULL; At++) {
        Rep |= Code[At] == 0xF2 || Code[At] == 0xF3;
    }
    At += At < Size && (Code[At] & 0xF0) == 0x40;
    return Rep && At < Size &&
           ((Code[At] >= 0xA4 && Code[At] <= 0xAF && Code[At] != 0xA8 && Code[At] != 0xA9) ||
            (Code[At] >= 0x6C && Code[At] <= 0x6F));
}

static BLOCK *NewBlock(uint64_t Address)
{
    BLOCK *Block = calloc(1, sizeof(*Block));

    if (Block == NULL) {
        abort();
    }
    Block->Address = Address;
    Block->Next = Blocks;
    Blocks = Block;
    return Block;
}

static void OnTranslation(uint64_t Id, struct qemu_plugin_tb *Translation)
{
    size_t Count = qemu_plugin_tb_n_insns(Translation);
    BLOCK *Block = NULL;

    for (size_t Index = 0; Index < Count; Index++) {
        struct qemu_plugin_insn *Instruction = qemu_plugin_tb_get_insn(Translation, Index);
        const uint8_t *Code = qemu_plugin_insn_data(Instruction);
        size_t Size = qemu_plugin_insn_size(Instruction);
        uint64_t Address = qemu_plugin_insn_vaddr(Instruction);
        int Half = (int)(Address >> 63);
        bool Repeated = IsRepeated(Code, Size);

        qemu_plugin_register_vcpu_insn_exec_inline(Instruction, INLINE_ADD_U64,
                                                   Repeated ? &Now.Repeated[Half] : &Now.Plain[Half], 1);
        if (Profile && Half == 1 && !Repeated) {
            Block = Block == NULL ? NewBlock(Address) : Block;
            qemu_plugin_register_vcpu_insn_exec_inline(Instruction, INLINE_ADD_U64, &Block->Count, 1);
        }
        if (Size == 8 && memcmp(Code, "\x0F\x1F\x84\x00", 4) == 0 && memcmp(Code + 6, "TN", 2) == 0) {
            qemu_plugin_register_vcpu_insn_exec_cb(Instruction, OnMark, NO_REGISTERS,
                                                   (void *)(uintptr_t)(Code[4] | Code[5] << 8));
        }
        if (Half == 1 ? !KernelSeen : KernelSeen && !ProgramSeen) {
            qemu_plugin_register_vcpu_insn_exec_cb(Instruction, Half == 1 ? OnKernel : OnProgram, NO_REGISTERS, NULL);
        }
    }
}

static void OnExit(uint64_t Id, void *Context)
{
    Moment("exit");
    fclose(Output);
}

struct qemu_info_t;

VISIBLE int qemu_plugin_install(uint64_t Id, const struct qemu_info_t *Machine, int Count, char **Arguments)
{
    const char *Name = "counts.txt";

    for (int Index = 0; Index < Count; Index++) {
        if (strncmp(Arguments[Index], "out=", 4) == 0) {
            Name = Arguments[Index] + 4;
        }
        Profile |= strncmp(Arguments[Index], "profile=", 8) == 0;
    }
    Output = fopen(Name, "w");
    if (Output == NULL) {
        perror(Name);
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(Id, OnTranslation);
    qemu_plugin_register_atexit_cb(Id, OnExit, NULL);
    return 0;
}
