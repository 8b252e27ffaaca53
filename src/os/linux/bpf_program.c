#include "os/linux/bpf_program.h"

void
nsp_bpf_put(struct nsp_bpf_program *p, unsigned code, enum nsp_bpf_reg to,
            enum nsp_bpf_reg from, int32_t offset, int32_t imm)
{
    assert(p->count < p->max);
    p->insns[p->count++] = (struct nsp_ebpf_insn){
        .code = (uint8_t)code,
        .registers = (uint8_t)((unsigned)to | (unsigned)from << 4),
        .offset = (int16_t)offset,
        .imm = imm,
    };
}

void
nsp_bpf_set(struct nsp_bpf_program *p, enum nsp_bpf_reg to, int32_t value)
{
    nsp_bpf_put(p, BPF_ALU64 | BPF_MOV | BPF_K, to, R0, 0, value);
}

void
nsp_bpf_set64(struct nsp_bpf_program *p, enum nsp_bpf_reg to, uint64_t value)
{
    nsp_bpf_put(p, BPF_LD | BPF_DW, to, R0, 0, (int32_t)(uint32_t)value);
    nsp_bpf_put(p, 0, R0, R0, 0, (int32_t)(uint32_t)(value >> 32));
}

void
nsp_bpf_move(struct nsp_bpf_program *p, enum nsp_bpf_reg to,
             enum nsp_bpf_reg from)
{
    nsp_bpf_put(p, BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}

void
nsp_bpf_point(struct nsp_bpf_program *p, enum nsp_bpf_reg to, int32_t offset)
{
    nsp_bpf_move(p, to, FRAME);
    nsp_bpf_put(p, BPF_ALU64 | BPF_ADD, to, R0, 0, offset);
}

void
nsp_bpf_load_context(struct nsp_bpf_program *p, enum nsp_bpf_reg to,
                     size_t offset)
{
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_W, to, R6, (int32_t)offset, 0);
}

void
nsp_bpf_load_map(struct nsp_bpf_program *p, enum nsp_bpf_reg to, unsigned kind,
                 int fd)
{
    nsp_bpf_put(p, BPF_LD | BPF_DW, to, (enum nsp_bpf_reg)kind, 0, fd);
    nsp_bpf_put(p, 0, R0, R0, 0, 0);
}

void
nsp_bpf_call(struct nsp_bpf_program *p, int32_t helper)
{
    nsp_bpf_put(p, BPF_JMP | BPF_CALL, R0, R0, 0, helper);
}

void
nsp_bpf_leave(struct nsp_bpf_program *p, int32_t result)
{
    nsp_bpf_set(p, R0, result);
    nsp_bpf_exit(p);
}

void
nsp_bpf_exit(struct nsp_bpf_program *p)
{
    nsp_bpf_put(p, BPF_JMP | BPF_EXIT, R0, R0, 0, 0);
}

/* --- Jumps ---------------------------------------------------------------- */

/* Notes that the next instruction goes to 'label'. */
static void
note_jump(struct nsp_bpf_program *p, uint32_t label)
{
    assert(p->jump_count < NSP_BPF_JUMPS_MAX && label < NSP_BPF_LABELS_MAX);
    p->jumps[p->jump_count].insn = p->count;
    p->jumps[p->jump_count++].label = label;
}

void
nsp_bpf_call_label(struct nsp_bpf_program *p, uint32_t label)
{
    note_jump(p, label);
    nsp_bpf_put(p, BPF_JMP | BPF_CALL, R0, (enum nsp_bpf_reg)BPF_PSEUDO_CALL, 0,
                0);
}

void
nsp_bpf_jump_if(struct nsp_bpf_program *p, unsigned comparison,
                enum nsp_bpf_reg reg, uint32_t value, uint32_t label)
{
    note_jump(p, label);
    nsp_bpf_put(p, BPF_JMP32 | comparison | BPF_K, reg, R0, 0, (int32_t)value);
}

void
nsp_bpf_jump_if64(struct nsp_bpf_program *p, unsigned comparison,
                  enum nsp_bpf_reg reg, int32_t value, uint32_t label)
{
    note_jump(p, label);
    nsp_bpf_put(p, BPF_JMP | comparison | BPF_K, reg, R0, 0, value);
}

void
nsp_bpf_jump_if_reg(struct nsp_bpf_program *p, unsigned comparison,
                    enum nsp_bpf_reg reg, enum nsp_bpf_reg with, uint32_t label)
{
    note_jump(p, label);
    nsp_bpf_put(p, BPF_JMP | comparison | BPF_X, reg, with, 0, 0);
}

void
nsp_bpf_jump(struct nsp_bpf_program *p, uint32_t label)
{
    note_jump(p, label);
    nsp_bpf_put(p, BPF_JMP | BPF_JA, R0, R0, 0, 0);
}

void
nsp_bpf_place(struct nsp_bpf_program *p, uint32_t label)
{
    p->places[label] = p->count;
}

void
nsp_bpf_resolve(struct nsp_bpf_program *p)
{
    for (uint32_t i = 0; i < p->jump_count; i++) {
        struct nsp_ebpf_insn *insn = &p->insns[p->jumps[i].insn];
        int32_t distance = (int32_t)p->places[p->jumps[i].label] -
                           (int32_t)p->jumps[i].insn - 1;

        if (insn->code == (BPF_JMP | BPF_CALL))
            insn->imm = distance;
        else
            insn->offset = (int16_t)distance;
    }
}
