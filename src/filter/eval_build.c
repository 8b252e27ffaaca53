#include "filter/eval.h"

#include <errno.h>

#include "filter/eval_chain.h"

/* A set whose values lie closer together than this is a bitmap of at most 8
 * KiB. */
#define BITMAP_MAX 65536u

/* Where the next entry of each table goes; also, in a first pass that writes
 * nothing, how long each has to be. */
struct sizes {
    uint32_t insns, words, bits, bounds, ranges, operands;
};

struct translator {
    const struct nsp_ir *ir;
    struct nsp_eval *eval; /* Its tables are NULL in the first pass. */
    struct sizes at;
    uint32_t *insn_of; /* First instruction of each test. */
    uint32_t *entries; /* How many targets each test is. */
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

bool
nsp_eval_build_test(const struct nsp_ir *ir, const struct nsp_ir_test *test,
                    bool pass, struct nsp_insn *ret)
{
    struct nsp_eval no_tables = { 0 };
    struct translator t = { .ir = ir, .eval = &no_tables };
    struct nsp_insn insn = insn_of_test(&t, test);

    if (!translate_set(&t, test, pass, &insn) || t.at.operands != 0 ||
        t.at.bits != 0 || t.at.bounds != 0 || t.at.ranges != 0)
        return false;
    insn.jump_if_absent = pass;
    *ret = insn;
    return true;
}

/* --- Chains --------------------------------------------------------------- */

/* Collects in 'head' what a chain wants of the state and of words. Returns
 * false if it cannot pass. The first pass counts words that the second may
 * join. */
static bool
gather_chain(struct translator *t, uint32_t first, uint32_t length, bool any,
             struct nsp_insn *head)
{
    struct nsp_word word, *words = t->eval->words;
    bool never = false;

    *head = (struct nsp_insn){ .op = NSP_INSN_CHAIN,
                               .extra = any ? NSP_INSN_ANY : 0,
                               .words = t->at.words };
    for (uint32_t i = first; i < first + length; i++) {
        const struct nsp_ir_test *test = &t->ir->tests[i];

        if (nsp_chain_take_state(t->ir, test, &head->state, &never) ||
            !nsp_chain_take_word(t->ir, test, &head->state, &never, &word) ||
            (words && !any &&
             nsp_chain_join_word(words + head->words, head->word_count, &word)))
            continue;
        if (words)
            words[t->at.words] = word;
        t->at.words++;
        head->word_count++;
    }
    return !never;
}

static bool
is_gathered(const struct translator *t, const struct nsp_ir_test *test)
{
    struct nsp_state state = { 0 };
    struct nsp_word word;
    bool never = false;

    return nsp_chain_take_state(t->ir, test, &state, &never) ||
           nsp_chain_take_word(t->ir, test, &state, &never, &word);
}

/* Adds the tests that are neither of the state nor of one word, cheap ones
 * first. */
static void
emit_rest(struct translator *t, uint32_t first, uint32_t length)
{
    for (uint32_t cost = 0; cost <= NSP_CHAIN_COST_MAX; cost++) {
        for (uint32_t i = first; i < first + length; i++) {
            const struct nsp_ir_test *test = &t->ir->tests[i];
            struct nsp_insn insn;

            if (is_gathered(t, test) || nsp_chain_cost(test) != cost)
                continue;
            insn = insn_of_test(t, test);
            translate_set(t, test, true, &insn);
            insn.jump_if_absent = true;
            insn.target = target_of(t, test->failure);
            emit(t, insn);
        }
    }
}

/* The state that a packet must have not to be rejected at once goes into the
 * guard. */
static void
emit_chain(struct translator *t, uint32_t first, uint32_t length, bool any)
{
    uint32_t failure = t->ir->tests[first + (any ? length - 1 : 0)].failure;
    struct nsp_insn head;

    if (!gather_chain(t, first, length, any, &head)) {
        emit_jump(t, failure);
        return;
    }
    head.target = target_of(t, failure);
    if (first == 0 && failure == NSP_IR_REJECT) {
        t->eval->guard = head.state;
        head.state = (struct nsp_state){ 0 };
    }
    if (head.state.mask != 0 || head.word_count > 0)
        emit(t, head);
    emit_rest(t, first, length);
}

static void
translate_chain(struct translator *t, uint32_t first, uint32_t length, bool any)
{
    uint32_t last = first + length - 1, start = t->at.insns;
    uint32_t success = t->ir->tests[last].success;

    t->insn_of[first] = start;
    emit_chain(t, first, length, any);
    if (success == last + 1 || (t->at.insns == 0 && length == t->ir->count))
        return;
    if (success != NSP_IR_ACCEPT || t->at.insns == start)
        emit_jump(t, success);
    else if (t->eval->insns)
        t->eval->insns[t->at.insns - 1].extra |= NSP_INSN_ACCEPT;
}

/* One test makes a chain where it can be the program's guard. */
static bool
is_chain(const struct translator *t, uint32_t first, uint32_t length)
{
    const struct nsp_ir_test *test = &t->ir->tests[first];

    return length > 1 || (first == 0 && test->failure == NSP_IR_REJECT &&
                          is_gathered(t, test));
}

static void
count_entries(const struct nsp_ir *ir, uint32_t entries[])
{
    for (uint32_t i = 0; i < ir->count; i++) {
        if (ir->tests[i].success < ir->count)
            entries[ir->tests[i].success]++;
        if (ir->tests[i].failure < ir->count)
            entries[ir->tests[i].failure]++;
    }
}

static struct sizes
translate(struct translator *t)
{
    t->at = (struct sizes){ 0 };
    for (uint32_t i = 0; i < t->ir->count;) {
        uint32_t all = nsp_chain_length(t->ir, t->entries, i);
        uint32_t any = nsp_chain_any_length(t->ir, t->entries, i);

        if (any > 1)
            translate_chain(t, i, any, true);
        else if (is_chain(t, i, all))
            translate_chain(t, i, all, false);
        else
            translate_test(t, i);
        i += any > 1 ? any : all;
    }
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
    t.insn_of = nsp_alloc(allocator, 2 * ir->count + 1, sizeof t.insn_of[0]);
    if (!t.insn_of)
        return -ENOMEM;
    t.entries = t.insn_of + ir->count;
    count_entries(ir, t.entries);
    sizes = translate(&t);
    eval.insns = nsp_alloc(allocator, sizes.insns + 1, sizeof eval.insns[0]);
    eval.words = nsp_alloc(allocator, sizes.words + 1, sizeof eval.words[0]);
    eval.bits = nsp_alloc(allocator, sizes.bits + 1, sizeof eval.bits[0]);
    eval.bounds = nsp_alloc(allocator, sizes.bounds + 1, sizeof eval.bounds[0]);
    eval.ranges = nsp_alloc(allocator, sizes.ranges + 1, sizeof eval.ranges[0]);
    eval.operands =
        nsp_alloc(allocator, sizes.operands + 1, sizeof eval.operands[0]);
    if (!eval.insns || !eval.words || !eval.bits || !eval.bounds ||
        !eval.ranges || !eval.operands) {
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
    nsp_release(allocator, eval->words);
    nsp_release(allocator, eval->bits);
    nsp_release(allocator, eval->bounds);
    nsp_release(allocator, eval->ranges);
    nsp_release(allocator, eval->operands);
    *eval = (struct nsp_eval){ 0 };
}
