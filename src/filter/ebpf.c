/* eBPF from classic code, instruction by instruction.
 *
 * The kernel accepts a program only if it sees by itself that every load lies
 * within the packet. So each load is made right behind a comparison with the
 * packet's end, the one form that needs no knowledge of what came before. The
 * code has checked lengths already, and the comparison fails only where the
 * kernel does not hold all of the packet in one piece: the answer is then that
 * nobody could look.
 *
 * A and X live in registers, the memory words on the stack. */
#include <errno.h>

#include "filter/compile.h"
#include "filter/lower.h"
#include "netshaper/bpf.h"

enum reg {
    REG_A = 0, /* Also the result. */
    REG_CONTEXT = 1,
    REG_SCRATCH = 2,
    REG_END_OF_LOAD = 3,
    REG_X = 7,
    REG_DATA = 8,
    REG_DATA_END = 9,
    REG_STACK = 10,
};

/* Beyond the opcodes of classic BPF. */
enum {
    CLASS_JMP32 = 0x06,
    CLASS_ALU64 = 0x07,
    ALU_MOV = 0xB0,
    ALU_END = 0xD0, /* To big-endian with NSP_BPF_X; imm is the bits. */
    JMP_JNE = 0x50,
    JMP_JLT = 0xA0,
    JMP_JLE = 0xB0,
    JMP_CALL = 0x80,
    JMP_EXIT = 0x90,
    LOAD_64 = 0x18,    /* Takes two instructions. */
    PSEUDO_MAP_FD = 1, /* In place of its source: a map. */
    CALL_MAP_LOOKUP = 1,
};

/* Offsets in the hook's context; and no packet is longer than this, as far as
 * the kernel follows pointers into it. */
enum {
    XDP_DATA = 0,
    XDP_DATA_END = 4,
    XDP_INGRESS_IFINDEX = 12,
    SKB_LEN = 0,
    SKB_INGRESS_IFINDEX = 36,
    SKB_IFINDEX = 40,
    SKB_DATA = 76,
    SKB_DATA_END = 80,
    OFFSET_MAX = 65535,
};

/* Words on the stack beside the memory words. */
#define WORD_LEN     NSP_BPF_MEMORY_WORDS
#define WORD_IFINDEX (NSP_BPF_MEMORY_WORDS + 1)

/* The key of a map lies on the stack below them: bits, then address. */
#define KEY_AT (-8 * (int32_t)(NSP_BPF_MEMORY_WORDS + 2) - 24)

/* Of a named set that is written out: without maps; and with, where a search is
 * the faster one. */
#define SET_RANGES_MAX 1024u
#define SET_RANGES_FEW 32u

struct translator {
    const struct nsp_code *code;
    enum nsp_ebpf_type type;
    const struct nsp_site *site;
    const struct nsp_ebpf_maps *maps;
    struct nsp_ebpf_insn *insns; /* NULL in the first pass. */
    uint32_t count;
    uint32_t *places; /* Where each instruction of 'code' begins. */
    uint32_t accept;  /* The one that accepts, in 'code'. */
    bool has_accept;  /* It is there; else put at the end if jumped to. */
    uint32_t unknown; /* Put behind it if jumped to: nobody could look. */
    bool jumps_to_accept, jumps_to_unknown;
    bool reads_ifindex;
};

static void
put(struct translator *t, unsigned code, unsigned to, unsigned from,
    int32_t offset, uint32_t imm)
{
    if (t->insns)
        t->insns[t->count] = (struct nsp_ebpf_insn){
            .code = (uint8_t)code,
            .registers = (uint8_t)(to | from << 4),
            .offset = (int16_t)offset,
            .imm = (int32_t)imm,
        };
    t->count++;
}

/* --- Parts of instructions ----------------------------------------------- */

static void
move64(struct translator *t, unsigned to, unsigned from)
{
    put(t, CLASS_ALU64 | ALU_MOV | NSP_BPF_X, to, from, 0, 0);
}

static void
set(struct translator *t, unsigned to, uint32_t value)
{
    put(t, NSP_BPF_ALU | ALU_MOV | NSP_BPF_K, to, 0, 0, value);
}

static void
load_context(struct translator *t, unsigned to, int32_t offset)
{
    put(t, NSP_BPF_LDX | NSP_BPF_MEM | NSP_BPF_W, to, REG_CONTEXT, offset, 0);
}

/* A word is the upper half of a stack slot: of such the kernel remembers only
 * that it has been written, not what. So the ways through the headers all end
 * in one state, and it need not follow the tests once for each. */
static int32_t
word_at(uint32_t word)
{
    return -8 * (int32_t)word - 4;
}

static void
load_word(struct translator *t, unsigned to, uint32_t word)
{
    put(t, NSP_BPF_LDX | NSP_BPF_MEM | NSP_BPF_W, to, REG_STACK, word_at(word),
        0);
}

static void
store_word(struct translator *t, unsigned from, uint32_t word)
{
    put(t, NSP_BPF_STX | NSP_BPF_MEM | NSP_BPF_W, REG_STACK, from,
        word_at(word), 0);
}

/* A jump to instruction 'target' of the classic code. */
static void
jump(struct translator *t, unsigned code, unsigned left, unsigned right,
     uint32_t imm, uint32_t target)
{
    int32_t offset = (int32_t)(t->places[target] - t->count - 1);

    t->jumps_to_accept |= target == t->accept;
    t->jumps_to_unknown |= target == t->unknown;
    put(t, code, left, right, offset, imm);
}

/* --- Instructions -------------------------------------------------------- */

/* REG_SCRATCH = where 'bytes' bytes that the kernel sees to lie in the packet
 * begin: at what is returned from there. They are at 'k', from REG_X on if
 * 'by_x'. */
static int32_t
translate_place(struct translator *t, uint32_t bytes, uint32_t k, bool by_x)
{
    assert(k <= OFFSET_MAX - bytes);
    if (by_x) {
        move64(t, REG_SCRATCH, REG_X);
        jump(t, NSP_BPF_JMP | NSP_BPF_JGT | NSP_BPF_K, REG_SCRATCH, 0,
             OFFSET_MAX - bytes - k, t->unknown);
        put(t, CLASS_ALU64 | NSP_BPF_ADD | NSP_BPF_X, REG_SCRATCH, REG_DATA, 0,
            0);
    } else {
        move64(t, REG_SCRATCH, REG_DATA);
    }
    if (k > INT16_MAX) {
        put(t, CLASS_ALU64 | NSP_BPF_ADD | NSP_BPF_K, REG_SCRATCH, 0, 0, k);
        k = 0;
    }
    move64(t, REG_END_OF_LOAD, REG_SCRATCH);
    put(t, CLASS_ALU64 | NSP_BPF_ADD | NSP_BPF_K, REG_END_OF_LOAD, 0, 0,
        k + bytes);
    jump(t, NSP_BPF_JMP | NSP_BPF_JGT | NSP_BPF_X, REG_END_OF_LOAD,
         REG_DATA_END, 0, t->unknown);
    return (int32_t)k;
}

/* A = 'size' at 'k', from REG_X on if 'by_x'. */
static void
translate_fetch(struct translator *t, unsigned size, uint32_t k, bool by_x)
{
    uint32_t bytes = size == NSP_BPF_B ? 1 : size == NSP_BPF_H ? 2 : 4;
    int32_t at = translate_place(t, bytes, k, by_x);

    put(t, NSP_BPF_LDX | NSP_BPF_MEM | size, REG_A, REG_SCRATCH, at, 0);
    if (bytes > 1)
        put(t, NSP_BPF_ALU | ALU_END | NSP_BPF_X, REG_A, 0, 0, 8 * bytes);
}

/* A = 1 if the address is in the map. The key is copied to the stack as it
 * lies; the call leaves registers from REG_X on. */
static void
translate_lookup(struct translator *t, const struct nsp_code_insn *insn)
{
    uint32_t bytes = t->maps->maps[insn->map].ipv6 ? 16 : 4;
    int32_t at = translate_place(t, bytes, insn->k, insn->code & NSP_BPF_X);

    for (int32_t i = 0; i < (int32_t)bytes; i += 4) {
        put(t, NSP_BPF_LDX | NSP_BPF_MEM | NSP_BPF_W, REG_A, REG_SCRATCH,
            at + i, 0);
        put(t, NSP_BPF_STX | NSP_BPF_MEM | NSP_BPF_W, REG_STACK, REG_A,
            KEY_AT + 4 + i, 0);
    }
    put(t, NSP_BPF_ST | NSP_BPF_MEM | NSP_BPF_W, REG_STACK, 0, KEY_AT,
        8 * bytes);
    put(t, LOAD_64, REG_CONTEXT, PSEUDO_MAP_FD, 0, insn->map);
    put(t, 0, 0, 0, 0, 0);
    move64(t, REG_SCRATCH, REG_STACK);
    put(t, CLASS_ALU64 | NSP_BPF_ADD | NSP_BPF_K, REG_SCRATCH, 0, 0,
        (uint32_t)KEY_AT);
    put(t, NSP_BPF_JMP | JMP_CALL, 0, 0, 0, CALL_MAP_LOOKUP);
    put(t, NSP_BPF_JMP | NSP_BPF_JEQ | NSP_BPF_K, REG_A, 0, 1, 0);
    set(t, REG_A, 1);
}

static void
translate_load(struct translator *t, const struct nsp_code_insn *insn)
{
    unsigned to = (insn->code & 7) == NSP_BPF_LD ? REG_A : REG_X;

    switch (insn->code & 0xE0) {
    case NSP_BPF_IMM:
        set(t, to, insn->k);
        break;
    case NSP_BPF_LEN:
        load_word(t, to, WORD_LEN);
        break;
    case NSP_BPF_MEM:
        load_word(t, to, insn->k);
        break;
    default:
        if (insn->k == NSP_BPF_IFINDEX)
            load_word(t, to, WORD_IFINDEX);
        else
            translate_fetch(t, insn->code & 0x18, insn->k,
                            (insn->code & 0xE0) == NSP_BPF_IND);
        break;
    }
}

static unsigned
opposite_of(unsigned condition)
{
    switch (condition) {
    case NSP_BPF_JEQ:
        return JMP_JNE;
    case NSP_BPF_JGT:
        return JMP_JLE;
    default:
        return JMP_JLT;
    }
}

/* eBPF names one target and falls through otherwise. */
static void
translate_jump(struct translator *t, uint32_t i)
{
    const struct nsp_code_insn *insn = &t->code->insns[i];
    unsigned condition = insn->code & 0xF0, source = insn->code & NSP_BPF_X;
    unsigned x = source ? REG_X : 0;

    if (condition == NSP_BPF_JA) {
        jump(t, NSP_BPF_JMP | NSP_BPF_JA, 0, 0, 0, insn->jt);
        return;
    }
    if (insn->jt == i + 1 && condition != NSP_BPF_JSET) {
        jump(t, CLASS_JMP32 | opposite_of(condition) | source, REG_A, x,
             insn->k, insn->jf);
        return;
    }
    jump(t, CLASS_JMP32 | condition | source, REG_A, x, insn->k, insn->jt);
    if (insn->jf != i + 1)
        jump(t, NSP_BPF_JMP | NSP_BPF_JA, 0, 0, 0, insn->jf);
}

static void
translate_insn(struct translator *t, uint32_t i)
{
    const struct nsp_code_insn *insn = &t->code->insns[i];

    t->places[i] = t->count;
    switch (insn->code & 7) {
    case NSP_BPF_LD:
    case NSP_BPF_LDX:
        translate_load(t, insn);
        break;
    case NSP_BPF_ST:
        store_word(t, REG_A, insn->k);
        break;
    case NSP_BPF_STX:
        store_word(t, REG_X, insn->k);
        break;
    case NSP_BPF_ALU:
        put(t, insn->code, REG_A, insn->code & NSP_BPF_X ? REG_X : 0, 0,
            insn->k);
        break;
    case NSP_BPF_JMP:
        translate_jump(t, i);
        break;
    case NSP_BPF_RET:
        set(t, REG_A, insn->k);
        put(t, NSP_BPF_JMP | JMP_EXIT, 0, 0, 0, 0);
        break;
    default:
        if (insn->code & NSP_BPF_LOOKUP) {
            translate_lookup(t, insn);
            break;
        }
        put(t, NSP_BPF_ALU | ALU_MOV | NSP_BPF_X,
            insn->code & NSP_BPF_TXA ? REG_A : REG_X,
            insn->code & NSP_BPF_TXA ? REG_X : REG_A, 0, 0);
        break;
    }
}

/* Reads from the context all that is needed of it. */
static void
translate_beginning(struct translator *t)
{
    bool xdp = t->type == NSP_EBPF_XDP;

    load_context(t, REG_DATA, xdp ? XDP_DATA : SKB_DATA);
    load_context(t, REG_DATA_END, xdp ? XDP_DATA_END : SKB_DATA_END);
    if (xdp) {
        move64(t, REG_A, REG_DATA_END);
        put(t, CLASS_ALU64 | NSP_BPF_SUB | NSP_BPF_X, REG_A, REG_DATA, 0, 0);
    } else {
        load_context(t, REG_A, SKB_LEN);
    }
    store_word(t, REG_A, WORD_LEN);
    if (t->reads_ifindex) {
        load_context(t, REG_A,
                     xdp ? XDP_INGRESS_IFINDEX
                     : t->site->direction == NSP_OUTBOUND
                         ? SKB_IFINDEX
                         : SKB_INGRESS_IFINDEX);
        store_word(t, REG_A, WORD_IFINDEX);
    }
}

static void
translate(struct translator *t)
{
    t->count = 0;
    translate_beginning(t);
    for (uint32_t i = 0; i < t->code->count; i++)
        translate_insn(t, i);
    if (!t->has_accept && t->jumps_to_accept) {
        t->places[t->accept] = t->count;
        set(t, REG_A, 1);
        put(t, NSP_BPF_JMP | JMP_EXIT, 0, 0, 0, 0);
    }
    if (t->jumps_to_unknown) {
        t->places[t->unknown] = t->count;
        set(t, REG_A, NSP_EBPF_UNKNOWN);
        put(t, NSP_BPF_JMP | JMP_EXIT, 0, 0, 0, 0);
    }
}

/* --- Emission ------------------------------------------------------------ */

/* Notes what matters to the whole of the code. */
static void
survey(struct translator *t)
{
    t->accept = t->code->count;
    t->unknown = t->code->count + 1;
    for (uint32_t i = 0; i < t->code->count; i++) {
        const struct nsp_code_insn *insn = &t->code->insns[i];

        if (insn->code == NSP_BPF_RET && insn->k != 0) {
            t->accept = i;
            t->has_accept = true;
        }
        if (insn->code == (NSP_BPF_LD | NSP_BPF_ABS) &&
            insn->k == NSP_BPF_IFINDEX)
            t->reads_ifindex = true;
    }
}

/* Two passes: the first finds how long it gets and where everything goes. */
static int
assemble(struct translator *t, const struct nsp_allocator *allocator,
         struct nsp_ebpf_insn insns[], uint32_t max, uint32_t *ret_count)
{
    int r = -E2BIG;

    t->places = nsp_alloc(allocator, t->code->count + 2, sizeof t->places[0]);
    if (!t->places)
        return -ENOMEM;
    survey(t);
    translate(t);
    if (t->count <= max) {
        t->insns = insns;
        translate(t);
        *ret_count = t->count;
        r = 0;
    }
    nsp_release(allocator, t->places);
    return r;
}

struct emission {
    const struct nsp_filter *filter;
    enum nsp_ebpf_type type;
    struct nsp_ebpf_insn *insns;
    uint32_t max, count;
    struct nsp_widened widened;
};

static int
emit(const struct nsp_lower_target *target, void *arg)
{
    struct emission *e = arg;
    const struct nsp_allocator *allocator = nsp_filter_allocator(e->filter);
    struct nsp_code code;
    struct translator t = { .code = &code,
                            .type = e->type,
                            .site = target->site,
                            .maps = target->maps };
    int r = nsp_code_init(&code, NSP_EBPF_INSNS_MAX, allocator);

    if (r == 0)
        r = nsp_lower(nsp_filter_ir(e->filter), target, allocator, &code,
                      &e->widened);
    if (r == 0)
        r = assemble(&t, allocator, e->insns, e->max, &e->count);
    nsp_code_fini(&code, allocator);
    return r;
}

int
nsp_filter_emit_ebpf(const struct nsp_filter *filter, enum nsp_ebpf_type type,
                     const struct nsp_site *site, struct nsp_ebpf_insn insns[],
                     uint32_t max, uint32_t *ret_count,
                     struct nsp_ebpf_maps *ret_maps,
                     struct nsp_widened *ret_widened)
{
    struct nsp_ebpf_maps maps = { .count = 0 };
    struct nsp_lower_target target = { .site = site };
    struct emission e = { .filter = filter, .type = type, .insns = insns };
    int r;

    if (!nsp_filter_can_emit(filter, site) || (unsigned)type > NSP_EBPF_TCX)
        return -EINVAL;
    target.reads_ifindex =
        type == NSP_EBPF_XDP || (site->facts & NSP_SITE_DIRECTION);
    target.maps = ret_maps ? &maps : NULL;
    target.set_ranges_max = ret_maps ? SET_RANGES_FEW : SET_RANGES_MAX;
    e.max = nsp_min_u32(max, NSP_EBPF_INSNS_MAX);
    r = nsp_lower_to_fit(nsp_filter_ir(filter), &target, emit, &e);
    if (r != 0)
        return r;
    *ret_count = e.count;
    if (ret_maps)
        *ret_maps = maps;
    if (ret_widened)
        *ret_widened = e.widened;
    return 0;
}

void
nsp_ebpf_set_maps(struct nsp_ebpf_insn insns[], uint32_t count, const int fds[])
{
    for (uint32_t i = 0; i < count; i++) {
        if (insns[i].code != LOAD_64)
            continue;
        insns[i].imm = fds[insns[i].imm];
        i++; /* Its second half. */
    }
}
