/* Whether one filter matches all that another one does: the product of both
 * graphs is searched for a way on which the one accepts and the other does not.
 *
 * For every world (a direction and a stack of headers) in turn, all ways
 * through the first graph that may lead to ACCEPT are walked, and from there
 * all ways through the second. What has been passed or failed on the way is
 * kept, so that a later test of the same field is known to pass or fail where
 * it is. What is not known may go either way: more ways are walked than there
 * are, so that 'implied' is never said in vain. */
#include "filter/analyse.h"
#include "filter/compile.h"
#include "netshaper/explain.h"

#define ASSUMED_MAX 128u

struct assumed {
    const struct nsp_ir *ir;
    const struct nsp_ir_test *test;
    bool passed;
};

struct product {
    const struct nsp_ir *ir[2];
    struct nsp_world world;
    struct assumed assumed[ASSUMED_MAX];
    uint32_t count;
    uint64_t *steps;
};

/* --- What is known ------------------------------------------------------- */

static bool
is_within(const struct nsp_range *a, uint32_t a_count,
          const struct nsp_range *b, uint32_t b_count)
{
    uint32_t j = 0;

    for (uint32_t i = 0; i < a_count; i++) {
        while (j < b_count && nsp_u128_less(b[j].hi, a[i].lo))
            j++;
        if (j == b_count || nsp_u128_less(a[i].lo, b[j].lo) ||
            nsp_u128_less(b[j].hi, a[i].hi))
            return false;
    }
    return true;
}

static bool
are_apart(const struct nsp_range *a, uint32_t a_count,
          const struct nsp_range *b, uint32_t b_count)
{
    uint32_t i = 0, j = 0;

    while (i < a_count && j < b_count) {
        if (nsp_u128_less(a[i].hi, b[j].lo))
            i++;
        else if (nsp_u128_less(b[j].hi, a[i].lo))
            j++;
        else
            return false;
    }
    return true;
}

static bool
read_the_same(const struct nsp_ir_test *a, const struct nsp_ir_test *b)
{
    return a->field == b->field && a->operand == b->operand &&
           a->other == b->other && a->set == b->set && a->mask == b->mask &&
           a->position == b->position && a->other_position == b->other_position;
}

/* The outcomes of 'test' that 'assumed', about the same value, leaves open. */
static unsigned
outcome_given(const struct assumed *assumed, const struct nsp_ir *ir,
              const struct nsp_ir_test *test)
{
    const struct nsp_range *known =
        assumed->ir->ranges + assumed->test->first_range;
    const struct nsp_range *asked = ir->ranges + test->first_range;
    uint32_t known_count = assumed->test->range_count;

    if (!assumed->passed)
        /* Absent, or a value that is none of these. */
        return is_within(asked, test->range_count, known, known_count)
                   ? NSP_MAY_FAIL
                   : NSP_MAY_FAIL | NSP_MAY_PASS;
    if (is_within(known, known_count, asked, test->range_count))
        return NSP_MAY_PASS;
    if (are_apart(known, known_count, asked, test->range_count))
        return NSP_MAY_FAIL;
    return NSP_MAY_FAIL | NSP_MAY_PASS;
}

static unsigned
outcome(const struct product *p, const struct nsp_ir *ir,
        const struct nsp_ir_test *test)
{
    unsigned open = nsp_world_outcome(ir, test, &p->world);

    for (uint32_t i = 0; i < p->count; i++)
        if (read_the_same(p->assumed[i].test, test))
            open &= outcome_given(&p->assumed[i], ir, test);
    return open;
}

/* --- The search ---------------------------------------------------------- */

/* Tells whether, from test 'at' of graph 'g' on, the first graph may accept and
 * the second reject. Where the bounds are met, it may. */
static bool
may_escape(struct product *p, unsigned g, uint32_t at)
{
    uint32_t kept = p->count;
    bool escapes = false;

    for (;;) {
        const struct nsp_ir *ir = p->ir[g];
        const struct nsp_ir_test *test;
        unsigned open;

        if (at >= NSP_IR_REJECT) {
            if (g == 0 && at == NSP_IR_ACCEPT) {
                g = 1;
                at = p->ir[1]->entry;
                continue;
            }
            escapes = g == 1 && at == NSP_IR_REJECT;
            break;
        }
        if (*p->steps == 0 || p->count == ASSUMED_MAX) {
            escapes = true;
            break;
        }
        *p->steps -= 1;
        test = &ir->tests[at];
        open = outcome(p, ir, test);
        if (open == 0)
            break; /* No packet comes this way. */
        if (open == (NSP_MAY_PASS | NSP_MAY_FAIL)) {
            p->assumed[p->count++] = (struct assumed){ ir, test, true };
            if (may_escape(p, g, test->success)) {
                escapes = true;
                break;
            }
            p->assumed[p->count - 1].passed = false;
            at = test->failure;
        } else {
            at = open == NSP_MAY_PASS ? test->success : test->failure;
        }
    }
    p->count = kept;
    return escapes;
}

bool
nsp_filter_implies(const struct nsp_filter *filter,
                   const struct nsp_filter *other, uint64_t *steps)
{
    struct product p = { .ir = { nsp_filter_ir(filter), nsp_filter_ir(other) },
                         .steps = steps };

    for (uint32_t stack = 0; stack < NSP_STACKS; stack++) {
        for (uint8_t way = NSP_DIRECTION_NONE; way <= NSP_OUTBOUND; way++) {
            p.world = nsp_stacks[stack];
            p.world.direction = way;
            p.count = 0;
            if (may_escape(&p, 0, p.ir[0]->entry))
                return false;
        }
    }
    return true;
}
