#include "filter/partial.h"

#include <string.h>

#include "filter/analyse.h"
#include "filter/compile.h"
#include "filter/eval_set.h"
#include "filter/filter_set.h"
#include "filter/ranges.h"

#define WORDS_MAX (NSP_FILTER_TESTS_MAX / 64 + 1)

static bool
is_address_or_protocol(const struct nsp_field *field)
{
    if (field->fetch == NSP_FETCH_ADDR6)
        return true;
    return field->arg == NSP_L3_IPV4 &&
           (field->type == NSP_TYPE_IPV4 ||
            /* ip.Protocol: IPv4 has no other place for it. */
            (field->offset == 8 && field->shift == 16 && field->bits == 8));
}

bool
nsp_field_is_of_flow(const struct nsp_field *field)
{
    switch ((enum nsp_fetch)field->fetch) {
    case NSP_FETCH_NEVER:
    case NSP_FETCH_ZERO:
    case NSP_FETCH_IS:
    case NSP_FETCH_BYTE:
    case NSP_FETCH_IFINDEX:
    case NSP_FETCH_UID:
    case NSP_FETCH_LOCAL_PORT:
    case NSP_FETCH_REMOTE_PORT:
    case NSP_FETCH_LOCAL_ADDR:
    case NSP_FETCH_REMOTE_ADDR:
        return true;
    case NSP_FETCH_FLAG:
        return 1u << field->shift == NSP_PKT_LOOPBACK ||
               1u << field->shift == NSP_PKT_FRAGMENT;
    case NSP_FETCH_L3:
    case NSP_FETCH_ADDR6:
        return is_address_or_protocol(field);
    case NSP_FETCH_L4: /* Ports. */
        return (field->arg == NSP_L4_TCP || field->arg == NSP_L4_UDP) &&
               field->offset == 0 && field->bits == 16;
    default:
        return false;
    }
}

/* --- Tests ---------------------------------------------------------------- */

/* Reads 'field' as the evaluator does, from its minimum. */
static bool
read_field(const struct nsp_field *field, const struct nsp_pkt *pkt,
           struct nsp_u128 *ret)
{
    struct nsp_insn fetch = nsp_eval_fetch_insn(field, 0);

    return nsp_eval_read(&fetch, pkt, ret);
}

static struct nsp_u128
absolute(const struct nsp_ir *ir, const struct nsp_field *field,
         struct nsp_u128 distance)
{
    struct nsp_number min = nsp_field_range(field, ir->layer).min;

    return nsp_u128_add(distance, nsp_number_wrap(min));
}

/* Whether the field is in the test's named set: 1 or 0. */
static bool
read_membership(const struct nsp_ir_test *test, const struct nsp_pkt *pkt,
                struct nsp_u128 *ret)
{
    const struct nsp_named_set *values = test->set->values;
    uint32_t is_member;

    if (nsp_filter_set_kind_of(test->operand) == NSP_SET_PORTS) {
        struct nsp_u128 port;

        if (!read_field(test->operand, pkt, &port))
            return false;
        is_member = nsp_named_set_has_port(values, (uint16_t)port.lo);
    } else {
        const struct nsp_operands operands = {
            .left = nsp_eval_fetch_insn(test->operand, 0),
            .addresses = values->addresses,
        };

        if (!nsp_eval_find_address(&operands, pkt, &is_member))
            return false;
    }
    *ret = nsp_u128(is_member);
    return true;
}

/* What the ranges of 'test' are of. Its fields are the flow's. */
static bool
read_value(const struct nsp_ir *ir, const struct nsp_ir_test *test,
           const struct nsp_pkt *pkt, struct nsp_u128 *ret)
{
    struct nsp_u128 left, right;

    if (test->set)
        return read_membership(test, pkt, ret);
    if (!read_field(test->operand ? test->operand : test->field, pkt, &left))
        return false;
    *ret = left;
    if (test->mask != 0)
        *ret = nsp_u128(left.lo & test->mask);
    if (!test->other)
        return true;
    if (!read_field(test->other, pkt, &right))
        return false;
    left = absolute(ir, test->operand, left);
    right = absolute(ir, test->other, right);
    *ret = nsp_u128(nsp_u128_less(left, right)   ? 0
                    : nsp_u128_less(right, left) ? 2
                                                 : 1);
    return true;
}

/* Tells whether packets like 'pkt' may have the field. */
static bool
may_have(const struct nsp_field *field, const struct nsp_pkt *pkt)
{
    const struct nsp_world world = {
        .direction = pkt->direction,
        .l3 = pkt->l3,
        .l4 = pkt->l4,
    };

    return nsp_world_has(&world, (enum nsp_field_need)field->need);
}

/* A set of enum nsp_outcome. */
static unsigned
outcomes_of(const struct nsp_ir *ir, const struct nsp_ir_test *test,
            const struct nsp_pkt *pkt)
{
    const struct nsp_field *field = test->operand ? test->operand : test->field;
    const struct nsp_field *other = test->other;
    struct nsp_u128 value;

    if (!may_have(field, pkt) || (other && !may_have(other, pkt)))
        return NSP_MAY_FAIL;
    if (!nsp_field_is_of_flow(field) || (other && !nsp_field_is_of_flow(other)))
        return NSP_MAY_PASS | NSP_MAY_FAIL;
    return read_value(ir, test, pkt, &value) &&
                   nsp_ranges_contain(ir->ranges + test->first_range,
                                      test->range_count, value)
               ? NSP_MAY_PASS
               : NSP_MAY_FAIL;
}

/* --- The graph ------------------------------------------------------------ */

struct reached {
    bool accept, reject;
    uint64_t tests[WORDS_MAX];
};

static void
reach(struct reached *reached, uint32_t target)
{
    if (target == NSP_IR_ACCEPT)
        reached->accept = true;
    else if (target == NSP_IR_REJECT)
        reached->reject = true;
    else
        reached->tests[target / 64] |= UINT64_C(1) << target % 64;
}

static void
walk(const struct nsp_ir *ir, const struct nsp_pkt *pkt,
     struct reached *reached)
{
    uint32_t words = ir->count / 64 + 1;

    assert(words <= WORDS_MAX);
    memset(reached->tests, 0, words * sizeof reached->tests[0]);
    reach(reached, ir->entry);
    /* Targets lie ahead. */
    for (uint32_t w = 0; w < words; w++) {
        while (reached->tests[w] != 0 &&
               !(reached->accept && reached->reject)) {
            uint32_t i = w * 64 + nsp_ctz_u64(reached->tests[w]);
            unsigned outcomes = outcomes_of(ir, &ir->tests[i], pkt);

            reached->tests[w] &= reached->tests[w] - 1;
            if ((outcomes & NSP_MAY_PASS) != 0)
                reach(reached, ir->tests[i].success);
            if ((outcomes & NSP_MAY_FAIL) != 0)
                reach(reached, ir->tests[i].failure);
        }
    }
}

enum nsp_truth
nsp_filter_match_flow(const struct nsp_filter *filter,
                      const struct nsp_pkt *pkt)
{
    struct reached reached;

    reached.accept = reached.reject = false;
    walk(nsp_filter_ir(filter), pkt, &reached);
    if (reached.accept && reached.reject)
        return NSP_UNKNOWN;
    return reached.accept ? NSP_TRUE : NSP_FALSE;
}

/* --- The last test ---------------------------------------------------------
 */

#define IS_TEST(target) ((target) < NSP_IR_REJECT)

/* The first test from 'target' on that may end either way, or how all end. */
static uint32_t
follow(const struct nsp_ir *ir, uint32_t target, const struct nsp_pkt *pkt)
{
    while (IS_TEST(target)) {
        const struct nsp_ir_test *test = &ir->tests[target];
        unsigned outcomes = outcomes_of(ir, test, pkt);

        if (outcomes == (NSP_MAY_PASS | NSP_MAY_FAIL))
            break;
        target = outcomes == NSP_MAY_PASS ? test->success : test->failure;
    }
    return target;
}

bool
nsp_filter_flow_test(const struct nsp_filter *filter, const struct nsp_pkt *pkt,
                     struct nsp_insn *ret)
{
    const struct nsp_ir *ir = nsp_filter_ir(filter);
    uint32_t at = follow(ir, ir->entry, pkt), pass, fail;

    if (!IS_TEST(at))
        return false;
    pass = follow(ir, ir->tests[at].success, pkt);
    fail = follow(ir, ir->tests[at].failure, pkt);
    if (IS_TEST(pass) || IS_TEST(fail) || pass == fail)
        return false;
    return nsp_eval_build_test(ir, &ir->tests[at], pass == NSP_IR_ACCEPT, ret);
}
