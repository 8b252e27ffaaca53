#include "filter/eval.h"

#include <errno.h>

/* A set whose values lie closer together than this is a bitmap of at most 8
 * KiB. */
#define BITMAP_MAX 65536u

/* Where the next entry of each table goes; also, in a first pass that writes
 * nothing, how long each has to be. */
struct sizes {
    uint32_t insns, bits, bounds, ranges, operands;
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
    insn->extra = NSP_INSN_BITS;
    insn->table = t->at.bits;
    if (t->eval->bits)
        set_bits(t->eval->bits + t->at.bits, ranges, count);
    t->at.bits += insn->span / 64 + 1;
}

static void
translate_bounds(struct translator *t, const struct nsp_range *ranges,
                 uint32_t count, struct nsp_insn *insn)
{
    insn->extra = NSP_INSN_BOUNDS;
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

/* Makes 'insn' look for one range; for the values outside it if 'inside' is
 * false. Returns false where it cannot: there are none outside. */
static bool
translate_range(struct nsp_insn *insn, uint64_t lo, uint64_t hi, bool inside)
{
    insn->lo = (uint32_t)(inside ? lo : hi + 1);
    insn->span = (uint32_t)(inside ? hi - lo : lo - hi - 2);
    return inside || hi - lo != UINT32_MAX;
}

/* Makes 'insn' fall through when 'test' passes, or, if 'pass' is false, when it
 * fails. Returns false where that cannot be done with one instruction. */
static bool
translate_set(struct translator *t, const struct nsp_ir_test *test, bool pass,
              struct nsp_insn *insn)
{
    const struct nsp_range *ranges = t->ir->ranges + test->first_range;
    struct nsp_u128 span = nsp_field_range(test->field, t->ir->layer).span;
    uint32_t count = test->range_count;
    uint64_t first = ranges[0].lo.lo, last = ranges[count - 1].hi.lo;

    if (insn->op == NSP_FETCH_IS)
        return translate_range(insn, insn->arg, insn->arg,
                               pass == (first == 1));
    if (!is_wide(test->field) && count == 1)
        return translate_range(insn, first, last, pass);
    /* All but one range. */
    if (!is_wide(test->field) && count == 2 && first == 0 && last == span.lo)
        return translate_range(insn, ranges[0].hi.lo + 1, ranges[1].lo.lo - 1,
                               !pass);
    if (!pass)
        return false;
    if (is_wide(test->field)) {
        translate_wide(t, ranges, count, insn);
        return true;
    }
    translate_range(insn, first, last, true);
    if (last - first < BITMAP_MAX)
        translate_bits(t, ranges, count, insn);
    else
        translate_bounds(t, ranges, count, insn);
    return true;
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

struct nsp_insn
nsp_eval_fetch_insn(const struct nsp_field *field, int32_t position)
{
    struct nsp_insn insn = {
        .op = field->fetch,
        .arg = field->arg,
        .shift = field->shift,
        .offset = (uint8_t)field->offset,
    };

    assert(field->offset <= UINT8_MAX);
    if (field->element_bytes > 0) {
        insn.shift = field->element_bytes;
        insn.position = position;
    } else {
        insn.mask = UINT32_MAX >> (field->bits < 32 ? 32 - field->bits : 0);
    }
    return insn;
}

static struct nsp_u128
min_of(const struct translator *t, const struct nsp_field *field)
{
    return nsp_number_wrap(nsp_field_range(field, t->ir->layer).min);
}

static struct nsp_insn
insn_of_test(struct translator *t, const struct nsp_ir_test *test)
{
    const struct nsp_field *operand = test->operand, *other = test->other;
    struct nsp_insn insn;
    uint32_t index;

    if (!operand)
        return nsp_eval_fetch_insn(test->field, test->position);
    insn = nsp_eval_fetch_insn(operand, test->position);
    if (test->mask != 0 &&
        (operand->fetch == NSP_FETCH_L3 || operand->fetch == NSP_FETCH_L4)) {
        insn.mask &= test->mask; /* As good as a field of its own. */
        return insn;
    }
    index = t->at.operands++;
    if (t->eval->operands) {
        struct nsp_operands *pair = &t->eval->operands[index];

        *pair = (struct nsp_operands){ .left = insn, .mask = test->mask };
        pair->left_min = min_of(t, operand);
        if (other) {
            pair->right = nsp_eval_fetch_insn(other, test->other_position);
            pair->right_min = min_of(t, other);
        }
        if (test->set) {
            pair->addresses = test->set->values->addresses;
            pair->ports = test->set->values;
            if (nsp_filter_set_kind_of(operand) == NSP_SET_PORTS)
                pair->addresses = NULL;
        }
    }
    return (struct nsp_insn){ .op = test->field->fetch, .operands = index };
}

/* A test that goes on to the next one when it fails is turned around. Where it
 * cannot be, or where neither target is the next test, an instruction that
 * always jumps follows it. */
static void
translate_test(struct translator *t, uint32_t i)
{
    const struct nsp_ir_test *test = &t->ir->tests[i];
    struct nsp_insn insn = insn_of_test(t, test);

    t->insn_of[i] = t->at.insns;
    if (test->failure == i + 1 && translate_set(t, test, false, &insn)) {
        insn.target = target_of(t, test->success);
        emit(t, insn);
        return;
    }
    translate_set(t, test, true, &insn);
    insn.jump_if_absent = true;
    insn.target = target_of(t, test->failure);
    if (test->success == NSP_IR_ACCEPT)
        insn.extra |= NSP_INSN_ACCEPT;
    emit(t, insn);
    if (test->success != i + 1 && test->success != NSP_IR_ACCEPT)
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
    eval.operands =
        nsp_alloc(allocator, sizes.operands + 1, sizeof eval.operands[0]);
    if (!eval.insns || !eval.bits || !eval.bounds || !eval.ranges ||
        !eval.operands) {
        nsp_release(allocator, t.insn_of);
        nsp_eval_fini(&eval, allocator);
        return -ENOMEM;
    }
    translate(&t);
    eval.count = sizes.insns;
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
    nsp_release(allocator, eval->operands);
    *eval = (struct nsp_eval){ 0 };
}
