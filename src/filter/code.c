#include "filter/code.h"

#include <errno.h>

#define UNPLACED UINT32_MAX
#define GOTO     (NSP_BPF_JMP | NSP_BPF_JA)

int
nsp_code_init(struct nsp_code *code, uint32_t max,
              const struct nsp_allocator *allocator)
{
    *code = (struct nsp_code){ .max = max };
    code->insns = nsp_alloc(allocator, max, sizeof code->insns[0]);
    code->places = nsp_alloc(allocator, max, sizeof code->places[0]);
    if (!code->insns || !code->places)
        return -ENOMEM;
    for (uint32_t i = 0; i < NSP_CODE_FIRST_FREE; i++)
        nsp_code_label(code);
    return 0;
}

void
nsp_code_fini(struct nsp_code *code, const struct nsp_allocator *allocator)
{
    nsp_release(allocator, code->insns);
    nsp_release(allocator, code->places);
    *code = (struct nsp_code){ 0 };
}

uint32_t
nsp_code_label(struct nsp_code *code)
{
    if (code->label_count == code->max) {
        code->overflow = true;
        return NSP_CODE_REJECT;
    }
    code->places[code->label_count] = UNPLACED;
    return code->label_count++;
}

void
nsp_code_place(struct nsp_code *code, uint32_t label)
{
    code->places[label] = code->count;
}

static void
append(struct nsp_code *code, struct nsp_code_insn insn)
{
    if (code->count == code->max)
        code->overflow = true;
    else
        code->insns[code->count++] = insn;
}

void
nsp_code_op(struct nsp_code *code, unsigned opcode, uint32_t k)
{
    append(code, (struct nsp_code_insn){ .code = (uint16_t)opcode, .k = k });
}

void
nsp_code_lookup(struct nsp_code *code, unsigned mode, uint32_t k, uint32_t map)
{
    append(code, (struct nsp_code_insn){
                     .code = (uint16_t)(NSP_BPF_MISC | NSP_BPF_LOOKUP | mode),
                     .k = k,
                     .map = map,
                 });
}

void
nsp_code_jump(struct nsp_code *code, unsigned condition, uint32_t k,
              uint32_t jt, uint32_t jf)
{
    append(code, (struct nsp_code_insn){
                     .code = (uint16_t)(NSP_BPF_JMP | condition),
                     .k = k,
                     .jt = jt,
                     .jf = jf,
                 });
}

void
nsp_code_goto(struct nsp_code *code, uint32_t label)
{
    append(code, (struct nsp_code_insn){ .code = GOTO, .jt = label });
}

static bool
is_jump(const struct nsp_code_insn *insn)
{
    return (insn->code & 7) == NSP_BPF_JMP;
}

/* The instruction to jump to for 'label', past jumps that always jump. These
 * have been resolved: they lie ahead. */
static uint32_t
resolve(const struct nsp_code *code, uint32_t label)
{
    uint32_t at = code->places[label];

    assert(at < code->count);
    return code->insns[at].code == GOTO ? code->insns[at].jt : at;
}

static void
resolve_jumps(struct nsp_code *code)
{
    for (uint32_t i = code->count; i-- > 0;) {
        struct nsp_code_insn *insn = &code->insns[i];

        if (!is_jump(insn))
            continue;
        insn->jt = resolve(code, insn->jt);
        insn->jf = insn->code == GOTO ? insn->jt : resolve(code, insn->jf);
        assert(insn->jt > i && insn->jf > i);
        if (insn->jt == insn->jf)
            insn->code = GOTO;
    }
}

/* Marks in 'keep' what is reached. */
static void
find_reached(const struct nsp_code *code, uint32_t *keep)
{
    keep[0] = 1;
    for (uint32_t i = 0; i < code->count; i++) {
        const struct nsp_code_insn *insn = &code->insns[i];

        if (!keep[i])
            continue;
        if (is_jump(insn))
            keep[insn->jt] = keep[insn->jf] = 1;
        else if ((insn->code & 7) != NSP_BPF_RET)
            keep[i + 1] = 1;
    }
}

/* Takes the mark from jumps over nothing. No jump leads to one. */
static void
drop_idle_jumps(const struct nsp_code *code, uint32_t *keep)
{
    uint32_t next = code->count; /* The first kept one after 'i'. */

    for (uint32_t i = code->count; i-- > 0;) {
        if (keep[i] && code->insns[i].code == GOTO && code->insns[i].jt == next)
            keep[i] = 0;
        if (keep[i])
            next = i;
    }
}

/* Moves what is kept together; 'keep' becomes its new place. */
static void
compact(struct nsp_code *code, uint32_t *keep)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < code->count; i++) {
        bool kept = keep[i] != 0;

        keep[i] = count;
        if (kept)
            code->insns[count++] = code->insns[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        if (is_jump(&code->insns[i])) {
            code->insns[i].jt = keep[code->insns[i].jt];
            code->insns[i].jf = keep[code->insns[i].jf];
        }
    }
    code->count = count;
}

int
nsp_code_finish(struct nsp_code *code)
{
    nsp_code_place(code, NSP_CODE_ACCEPT);
    nsp_code_op(code, NSP_BPF_RET, 1);
    nsp_code_place(code, NSP_CODE_REJECT);
    nsp_code_op(code, NSP_BPF_RET, 0);
    if (code->overflow)
        return -E2BIG;

    resolve_jumps(code);
    /* Labels are used up: their places have room for a word each. */
    for (uint32_t i = 0; i < code->count; i++)
        code->places[i] = 0;
    find_reached(code, code->places);
    drop_idle_jumps(code, code->places);
    compact(code, code->places);
    return 0;
}
