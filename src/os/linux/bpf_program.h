#ifndef NSP_OS_LINUX_BPF_PROGRAM_H
#define NSP_OS_LINUX_BPF_PROGRAM_H
#include <linux/bpf.h>

#include "base/base.h"
#include "netshaper/bpf.h"

/* eBPF programs written instruction by instruction, with labels to jump to.
 *
 * Labels are numbers below NSP_BPF_LABELS_MAX that each program gives a
 * meaning, placed once, before or after the jumps to them. The context is kept
 * in R6; calls of helpers leave R6 to R9 alone.
 *
 * A program that outgrows its room is a programming error: all are short and of
 * a known length, but for a filter that is appended. */
#define NSP_BPF_LABELS_MAX 256u
#define NSP_BPF_JUMPS_MAX  1024u

enum nsp_bpf_reg { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, FRAME };

struct nsp_bpf_program {
    struct nsp_ebpf_insn *insns; /* Room for 'max'. */
    uint32_t max, count;
    struct {
        uint32_t insn, label;
    } jumps[NSP_BPF_JUMPS_MAX];
    uint32_t jump_count;
    uint32_t places[NSP_BPF_LABELS_MAX]; /* Of labels. */
};

void nsp_bpf_put(struct nsp_bpf_program *p, unsigned code, enum nsp_bpf_reg to,
                 enum nsp_bpf_reg from, int32_t offset, int32_t imm);
void nsp_bpf_set(struct nsp_bpf_program *p, enum nsp_bpf_reg to, int32_t value);
void nsp_bpf_set64(struct nsp_bpf_program *p, enum nsp_bpf_reg to,
                   uint64_t value);
void nsp_bpf_move(struct nsp_bpf_program *p, enum nsp_bpf_reg to,
                  enum nsp_bpf_reg from);

/* to = FRAME + offset. */
void nsp_bpf_point(struct nsp_bpf_program *p, enum nsp_bpf_reg to,
                   int32_t offset);

/* A word of the context. */
void nsp_bpf_load_context(struct nsp_bpf_program *p, enum nsp_bpf_reg to,
                          size_t offset);

/* 'kind' is BPF_PSEUDO_MAP_FD, or BPF_PSEUDO_MAP_VALUE for the first value. */
void nsp_bpf_load_map(struct nsp_bpf_program *p, enum nsp_bpf_reg to,
                      unsigned kind, int fd);
void nsp_bpf_call(struct nsp_bpf_program *p, int32_t helper);

/* Calls the function that begins at 'label'. */
void nsp_bpf_call_label(struct nsp_bpf_program *p, uint32_t label);

/* Ends the program with 'result', or with what is in R0. */
void nsp_bpf_leave(struct nsp_bpf_program *p, int32_t result);
void nsp_bpf_exit(struct nsp_bpf_program *p);

/* Jumps when 'reg' compares so with a constant: its low 32 bits, or all. */
void nsp_bpf_jump_if(struct nsp_bpf_program *p, unsigned comparison,
                     enum nsp_bpf_reg reg, uint32_t value, uint32_t label);
void nsp_bpf_jump_if64(struct nsp_bpf_program *p, unsigned comparison,
                       enum nsp_bpf_reg reg, int32_t value, uint32_t label);
void nsp_bpf_jump_if_reg(struct nsp_bpf_program *p, unsigned comparison,
                         enum nsp_bpf_reg reg, enum nsp_bpf_reg with,
                         uint32_t label);
void nsp_bpf_jump(struct nsp_bpf_program *p, uint32_t label);
void nsp_bpf_place(struct nsp_bpf_program *p, uint32_t label);

/* Fills in the jumps, when all labels are placed. */
void nsp_bpf_resolve(struct nsp_bpf_program *p);

#endif /* NSP_OS_LINUX_BPF_PROGRAM_H */
