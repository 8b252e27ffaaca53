#include "filter/eval.h"

#include <errno.h>

#include "filter/ranges.h"

/* Where the next entry of each table goes; also, in a first pass that writes
 * nothing, how long each has to be. */
struct sizes {
    uint32_t insns, bits, bounds, ranges;
};

struct translator {
    const struct nsp_ir *ir;
    struct nsp_eval *eval; /* Its tables are NULL in the first pass. */
    struct sizes at;
    uint32_t *insn_of; /* First instruction of each test. */
};

static bool
is_wide(const struct nsp_field *field)
{
    return field->fetch >= NSP_FETCH_ADDR6;
}

/* A set of several ranges is a bitmap where that takes less than 8 KiB. */
static enum nsp_compare
comparison(const struct nsp_ir_test *test, const struct nsp_range *ranges)
{
    uint64_t first = ranges[0].lo.lo;
    uint64_t last = ranges[test->range_count - 1].hi.lo;

    if (test->range_count == 1)
        return NSP_COMPARE_RANGE;
    return last - first < 65536 ? NSP_COMPARE_BITS : NSP_COMPARE_BOUNDS;
}

static void
set_bits(uint64_t *bits, const struct nsp_range *ranges, uint32_t count)
{
    uint64_t first = ranges[0].lo.lo;

    for (uint32_t i = 0; i < count; i++) {
        for (uint64_t v = ranges[i].lo.lo; v <= ranges[i].hi.lo; v++)
            bits[(v - first) / 64] |= UINT64_C(1) << (v - first) % 64;
    }
}

static void
translate_bits(struct translator *t, const struct nsp_range *ranges,
               uint32_t count, struct nsp_insn *insn)
{
    insn->table = t->at.bits;
    if (t->eval->bits)
        set_bits(t->eval->bits + t->at.bits, ranges, count);
    t->at.bits += insn->span / 64 + 1;
}

static void
translate_bounds(struct translator *t, const struct nsp_range *ranges,
                 uint32_t count, struct nsp_insn *insn)
{
    insn->table = t->at.bounds;
    insn->entries = count;
    for (uint32_t i = 0; t->eval->bounds && i < count; i++) {
        t->eval->bounds[t->at.bounds + i] = (uint32_t)ranges[i].lo.lo;
        t->eval->bounds[t->at.bounds + count + i] = (uint32_t)ranges[i].hi.lo;
    }
    t->at.bounds += 2 * count;
}

static void
translate_wide(struct translator *t, const struct nsp_range *ranges,
               uint32_t count, struct nsp_insn *insn)
{
    insn->table = t->at.ranges;
    insn->entries = count;
    for (uint32_t i = 0; t->eval->ranges && i < count; i++)
        t->eval->ranges[t->at.ranges + i] = ranges[i];
    t->at.ranges += count;
}

/* Fills what 'insn' compares with. Returns false where being in its set means
 * that the test fails. */
static bool
translate_set(struct translator *t, const struct nsp_ir_test *test,
              struct nsp_insn *insn)
{
    const struct nsp_range *ranges = t->ir->ranges + test->first_range;
    uint32_t count = test->range_count;
    struct nsp_range rest[3];
    bool in_passes = true;

    if (insn->op == NSP_FETCH_IS) {
        insn->lo = test->field->arg;
        return ranges[0].lo.lo == 1;
    }
    /* All but one range is less work turned around. */
    if (count == 2 &&
        nsp_ranges_complement(ranges, count,
                              nsp_field_range(test->field, t->ir->layer).span,
                              rest) == 1) {
        ranges = rest;
        count = 1;
        in_passes = false;
    }
    if (is_wide(test->field)) {
        translate_wide(t, ranges, count, insn);
        return in_passes;
    }
    insn->lo = (uint32_t)ranges[0].lo.lo;
    insn->span = (uint32_t)(ranges[count - 1].hi.lo - ranges[0].lo.lo);
    insn->compare =
        (uint8_t)(in_passes ? comparison(test, ranges) : NSP_COMPARE_RANGE);
    if (insn->compare == NSP_COMPARE_BITS)
        translate_bits(t, ranges, count, insn);
    else if (insn->compare == NSP_COMPARE_BOUNDS)
        translate_bounds(t, ranges, count, insn);
    return in_passes;
}

static void
emit(struct translator *t, struct nsp_insn insn)
{
    if (t->eval->insns)
        t->eval->insns[t->at.insns] = insn;
    t->at.insns++;
}

static uint32_t
target_of(const struct translator *t, uint32_t test)
{
    return test >= NSP_IR_REJECT ? test : t->insn_of[test];
}

static void
emit_jump(struct translator *t, uint32_t test)
{
    emit(t, (struct nsp_insn){ .op = NSP_FETCH_NEVER,
                               .jump_if_absent = true,
                               .target = target_of(t, test) });
}

/* One target of a test is reached by falling through: where neither comes next,
 * success does, by an instruction that always jumps. */
static void
translate_test(struct translator *t, uint32_t i)
{
    const struct nsp_ir_test *test = &t->ir->tests[i];
    const struct nsp_field *field = test->field;
    bool jump_on_pass = test->failure == i + 1, in_passes;
    struct nsp_insn insn = {
        .op = field->fetch,
        .arg = field->arg,
        .shift = field->shift,
        .offset = field->offset,
    };

    t->insn_of[i] = t->at.insns;
    if (field->element_bytes > 0) {
        insn.shift = field->element_bytes;
        insn.position = test->position;
    } else {
        insn.mask = UINT32_MAX >> (field->bits < 32 ? 32 - field->bits : 0);
    }
    in_passes = translate_set(t, test, &insn);
    insn.jump_if_in = jump_on_pass == in_passes;
    insn.jump_if_absent = !jump_on_pass;
    insn.target = target_of(t, jump_on_pass ? test->success : test->failure);
    emit(t, insn);
    if (!jump_on_pass && test->success != i + 1)
        emit_jump(t, test->success);
}

static struct sizes
translate(struct translator *t)
{
    t->at = (struct sizes){ 0 };
    for (uint32_t i = 0; i < t->ir->count; i++)
        translate_test(t, i);
    if (t->ir->count == 0)
        emit_jump(t, t->ir->entry);
    return t->at;
}

int
nsp_eval_build(const struct nsp_ir *ir, const struct nsp_allocator *allocator,
               struct nsp_eval *ret)
{
    struct nsp_eval eval = { 0 };
    struct translator t = { .ir = ir, .eval = &eval };
    struct sizes sizes;

    *ret = eval;
    assert(ir->count == 0 || ir->entry == 0);
    t.insn_of = nsp_alloc(allocator, ir->count + 1, sizeof t.insn_of[0]);
    if (!t.insn_of)
        return -ENOMEM;
    sizes = translate(&t);
    eval.insns = nsp_alloc(allocator, sizes.insns, sizeof eval.insns[0]);
    eval.bits = nsp_alloc(allocator, sizes.bits + 1, sizeof eval.bits[0]);
    eval.bounds = nsp_alloc(allocator, sizes.bounds + 1, sizeof eval.bounds[0]);
    eval.ranges = nsp_alloc(allocator, sizes.ranges + 1, sizeof eval.ranges[0]);
    if (!eval.insns || !eval.bits || !eval.bounds || !eval.ranges) {
        nsp_release(allocator, t.insn_of);
        nsp_eval_fini(&eval, allocator);
        return -ENOMEM;
    }
    translate(&t);
    nsp_release(allocator, t.insn_of);
    *ret = eval;
    return 0;
}

void
nsp_eval_fini(struct nsp_eval *eval, const struct nsp_allocator *allocator)
{
    nsp_release(allocator, eval->insns);
    nsp_release(allocator, eval->bits);
    nsp_release(allocator, eval->bounds);
    nsp_release(allocator, eval->ranges);
    *eval = (struct nsp_eval){ 0 };
}
