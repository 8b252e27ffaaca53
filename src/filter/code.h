#ifndef NSP_FILTER_CODE_H
#define NSP_FILTER_CODE_H
#include "base/memory.h"

/* A buffer of classic BPF instructions (McCanne and Jacobson, "The BSD Packet
 * Filter", 1993) whose jumps name labels: what kernel back ends are assembled
 * from. Jumps go forward only, and as far as they like. */

/* Parts of an opcode, as in every BPF header. */
enum nsp_bpf_opcode {
    NSP_BPF_LD = 0x00,
    NSP_BPF_LDX = 0x01,
    NSP_BPF_ST = 0x02,
    NSP_BPF_STX = 0x03,
    NSP_BPF_ALU = 0x04,
    NSP_BPF_JMP = 0x05,
    NSP_BPF_RET = 0x06,
    NSP_BPF_MISC = 0x07,

    NSP_BPF_W = 0x00,
    NSP_BPF_H = 0x08,
    NSP_BPF_B = 0x10,

    NSP_BPF_IMM = 0x00,
    NSP_BPF_ABS = 0x20,
    NSP_BPF_IND = 0x40,
    NSP_BPF_MEM = 0x60,
    NSP_BPF_LEN = 0x80,

    NSP_BPF_ADD = 0x00,
    NSP_BPF_SUB = 0x10,
    NSP_BPF_AND = 0x50,
    NSP_BPF_LSH = 0x60,
    NSP_BPF_RSH = 0x70,

    NSP_BPF_JA = 0x00,
    NSP_BPF_JEQ = 0x10,
    NSP_BPF_JGT = 0x20,
    NSP_BPF_JGE = 0x30,
    NSP_BPF_JSET = 0x40,

    NSP_BPF_K = 0x00,
    NSP_BPF_X = 0x08,

    NSP_BPF_TAX = 0x00,
    NSP_BPF_TXA = 0x80,

    /* Not classic: A = 1 if the address at offset k, with NSP_BPF_X X + k, is
     * in map number 'map', else 0. Of class NSP_BPF_MISC. */
    NSP_BPF_LOOKUP = 0x40,
};

#define NSP_BPF_MEMORY_WORDS 16u

/* Where the kernel lets classic programs read the interface number. */
#define NSP_BPF_IFINDEX 0xfffff008u

struct nsp_code_insn {
    uint16_t code;
    uint32_t k;
    uint32_t jt, jf; /* Of jumps; an unconditional one goes to 'jt'. Labels,
                      * and instructions once the code is finished. */
    uint32_t map;
};

enum nsp_code_label {
    NSP_CODE_ACCEPT,
    NSP_CODE_REJECT,
    NSP_CODE_FIRST_FREE,
};

struct nsp_code {
    struct nsp_code_insn *insns;
    uint32_t count;
    uint32_t max;     /* Of instructions and labels. */
    uint32_t *places; /* Instruction at each label. */
    uint32_t label_count;
    bool overflow; /* Something did not fit. */
};

/* Makes room for 'max' instructions. Returns 0 or -ENOMEM; fini is right after
 * either. */
int nsp_code_init(struct nsp_code *code, uint32_t max,
                  const struct nsp_allocator *allocator) NSP_MUSTCHECK;
void nsp_code_fini(struct nsp_code *code,
                   const struct nsp_allocator *allocator);

/* A new label, to be placed once before the code is finished. */
uint32_t nsp_code_label(struct nsp_code *code);
void nsp_code_place(struct nsp_code *code, uint32_t label);

void nsp_code_op(struct nsp_code *code, unsigned opcode, uint32_t k);
void nsp_code_lookup(struct nsp_code *code, unsigned mode, uint32_t k,
                     uint32_t map);
void nsp_code_jump(struct nsp_code *code, unsigned condition, uint32_t k,
                   uint32_t jt, uint32_t jf);
void nsp_code_goto(struct nsp_code *code, uint32_t label);

/* Places the two ends, turns labels to instruction numbers and leaves out what
 * is never reached. Ends are 'ret #1' and 'ret #0'. Returns 0 or -E2BIG. */
int nsp_code_finish(struct nsp_code *code) NSP_MUSTCHECK;

#endif /* NSP_FILTER_CODE_H */
