#include "filter/eval_chain.h"

/* The state is a row of members without gaps, whole and aligned. */
#define STATE_HOLDS(member)                                                    \
    (offsetof(struct nsp_pkt, member) >= NSP_STATE_OFF &&                      \
     offsetof(struct nsp_pkt, member) < NSP_STATE_OFF + sizeof(uint64_t))
static_assert(STATE_HOLDS(l3) && STATE_HOLDS(l4) && STATE_HOLDS(ip_proto) &&
                  STATE_HOLDS(direction),
              "a member has left the state");
static_assert(offsetof(struct nsp_pkt, flags) + sizeof(uint16_t) <=
                  NSP_STATE_OFF + sizeof(uint64_t),
              "the flags have left the state");
static_assert(NSP_STATE_OFF % sizeof(uint64_t) == 0, "the state is unaligned");
static_assert(offsetof(struct nsp_pkt, l4_off) <= UINT8_MAX,
              "a header's offset is too far from the packet's start");

uint32_t
nsp_chain_length(const struct nsp_ir *ir, const uint32_t entries[],
                 uint32_t first)
{
    const struct nsp_ir_test *test = &ir->tests[first];
    uint32_t length = 1;

    while (test->success == first + length && entries[test->success] == 1 &&
           ir->tests[test->success].failure == test->failure) {
        test = &ir->tests[test->success];
        length++;
    }
    return length;
}

static void
want(struct nsp_state *state, const struct nsp_pkt *mask,
     const struct nsp_pkt *value, bool *never)
{
    uint64_t m = nsp_state_of(mask), v = nsp_state_of(value);

    if (((state->value ^ v) & state->mask & m) != 0)
        *never = true;
    state->mask |= m;
    state->value |= v;
}

static void
want_byte(struct nsp_state *state, size_t offset, uint8_t value, bool *never)
{
    struct nsp_pkt mask = { 0 }, values = { 0 };

    ((uint8_t *)&mask)[offset] = UINT8_MAX;
    ((uint8_t *)&values)[offset] = value;
    want(state, &mask, &values, never);
}

bool
nsp_chain_take_state(const struct nsp_ir *ir, const struct nsp_ir_test *test,
                     struct nsp_state *state, bool *never)
{
    const struct nsp_range *range = ir->ranges + test->first_range;
    const struct nsp_field *field = test->field;
    struct nsp_pkt mask = { 0 }, value = { 0 };

    if (test->range_count != 1 || !nsp_u128_equal(range->lo, range->hi))
        return false;
    switch (field->fetch) {
    case NSP_FETCH_IS:
        if (range->lo.lo == 1)
            want_byte(state, field->offset, field->arg, never);
        return range->lo.lo == 1;
    case NSP_FETCH_BYTE:
        want_byte(state, field->offset, (uint8_t)range->lo.lo, never);
        return true;
    case NSP_FETCH_FLAG:
        mask.flags = (uint16_t)(1u << field->shift);
        value.flags = range->lo.lo == 1 ? mask.flags : 0;
        want(state, &mask, &value, never);
        return true;
    default:
        return false;
    }
}

/* Sets a word's range of field values, or the values outside one; false where
 * the ranges are no such thing. */
static bool
give_range(const struct nsp_ir *ir, const struct nsp_ir_test *test,
           struct nsp_word *word)
{
    const struct nsp_range *ranges = ir->ranges + test->first_range;
    uint64_t max = test->operand
                       ? test->mask
                       : nsp_field_range(test->field, ir->layer).span.lo;

    if (test->range_count == 1) {
        word->lo = (uint32_t)ranges[0].lo.lo;
        word->span = (uint32_t)(ranges[0].hi.lo - ranges[0].lo.lo);
        return true;
    }
    if (test->range_count != 2 || ranges[0].lo.lo != 0 ||
        ranges[1].hi.lo != max)
        return false;
    word->lo = (uint32_t)ranges[1].lo.lo;
    word->span = (uint32_t)(ranges[0].hi.lo - ranges[1].lo.lo);
    return true;
}

bool
nsp_chain_take_word(const struct nsp_ir *ir, const struct nsp_ir_test *test,
                    struct nsp_state *state, bool *never, struct nsp_word *ret)
{
    const struct nsp_field *field = test->operand ? test->operand : test->field;
    struct nsp_word word = { .offset = (uint8_t)field->offset };

    if ((test->operand && test->mask == 0) ||
        (field->fetch != NSP_FETCH_L3 && field->fetch != NSP_FETCH_L4) ||
        !give_range(ir, test, &word))
        return false;
    word.mask = UINT32_MAX >> (32 - field->bits);
    if (test->operand)
        word.mask &= test->mask;
    /* The word is compared where it stands. That is the same modulo a smaller
     * power of two, which is still more than any value of the field. */
    word.mask <<= field->shift;
    word.lo <<= field->shift;
    word.span <<= field->shift;
    if (field->fetch == NSP_FETCH_L3) {
        word.header = offsetof(struct nsp_pkt, l3_off);
        want_byte(state, offsetof(struct nsp_pkt, l3), field->arg, never);
    } else {
        word.header = offsetof(struct nsp_pkt, l4_off);
        want_byte(state, offsetof(struct nsp_pkt, l4), field->arg, never);
    }
    *ret = word;
    return true;
}

bool
nsp_chain_join_word(struct nsp_word words[], uint32_t count,
                    const struct nsp_word *word)
{
    for (uint32_t i = 0; word->span == 0 && i < count; i++) {
        struct nsp_word *other = &words[i];

        if (other->span == 0 && other->header == word->header &&
            other->offset == word->offset &&
            ((other->lo ^ word->lo) & other->mask & word->mask) == 0) {
            other->mask |= word->mask;
            other->lo |= word->lo;
            return true;
        }
    }
    return false;
}

uint32_t
nsp_chain_cost(const struct nsp_ir_test *test)
{
    switch (test->operand ? test->operand->fetch : test->field->fetch) {
    case NSP_FETCH_RANDOM:
    case NSP_FETCH_MSS:
    case NSP_FETCH_BYTES:
        return 2;
    default:
        return test->field->fetch > NSP_FETCH_LATER || test->operand ? 1 : 0;
    }
}

/* Tells whether 'test' looks at a word, and what it needs for that. */
static bool
is_word(const struct nsp_ir *ir, const struct nsp_ir_test *test,
        struct nsp_state *ret)
{
    struct nsp_word word;
    bool never = false;

    *ret = (struct nsp_state){ 0 };
    return nsp_chain_take_word(ir, test, ret, &never, &word);
}

uint32_t
nsp_chain_any_length(const struct nsp_ir *ir, const uint32_t entries[],
                     uint32_t first)
{
    const struct nsp_ir_test *test = &ir->tests[first];
    struct nsp_state state, other;
    uint32_t length = 1;

    if (!is_word(ir, test, &state))
        return 1;
    while (test->failure == first + length && entries[test->failure] == 1 &&
           ir->tests[test->failure].success == test->success &&
           is_word(ir, &ir->tests[test->failure], &other) &&
           other.mask == state.mask && other.value == state.value) {
        test = &ir->tests[test->failure];
        length++;
    }
    return length;
}
