#include "filter/residue.h"

#include <errno.h>

#define IS_TEST(target) ((target) < NSP_IR_REJECT)

struct builder {
    struct nsp_residue *residue;
    const struct nsp_site *site;
    uint32_t *wide; /* For each test that is widened where it goes, else
                     * NOT_WIDENED. */
    bool *marks;    /* Scratch, one for each test. */
};

#define NOT_WIDENED (NSP_IR_REJECT - 1)

/* --- Widening ------------------------------------------------------------ */

static void
mark(struct builder *b, uint32_t target, uint32_t avoid, bool *escapes)
{
    if (target == avoid || target == NSP_IR_ACCEPT)
        return;
    if (target == NSP_IR_REJECT)
        *escapes = true;
    else
        b->marks[target] = true;
}

/* Tells whether a way leads from 'from' to REJECT that does not pass 'avoid'.
 * If none does, going to 'from' accepts whatever going to 'avoid' does. */
static bool
escapes(struct builder *b, uint32_t from, uint32_t avoid)
{
    const struct nsp_ir *ir = b->residue->ir;
    bool found = false;

    for (uint32_t i = 0; i < ir->count; i++)
        b->marks[i] = false;
    mark(b, from, avoid, &found);
    for (uint32_t i = 0; i < ir->count && !found; i++) {
        if (!b->marks[i])
            continue;
        if (b->wide[i] != NOT_WIDENED) {
            mark(b, b->wide[i], avoid, &found);
            continue;
        }
        mark(b, ir->tests[i].success, avoid, &found);
        mark(b, ir->tests[i].failure, avoid, &found);
    }
    return found;
}

static uint32_t
widen(struct builder *b, const struct nsp_ir_test *test)
{
    if (!escapes(b, test->success, test->failure))
        return test->success;
    if (!escapes(b, test->failure, test->success))
        return test->failure;
    return NSP_IR_ACCEPT;
}

/* --- What stacks decide -------------------------------------------------- */

static unsigned
outcome_in(const struct builder *b, uint32_t test, uint32_t stack)
{
    struct nsp_world world = nsp_stacks[stack];

    world.direction = (uint8_t)b->site->direction;
    return nsp_world_outcome(b->residue->ir, &b->residue->ir->tests[test],
                             &world);
}

static void
note_widened(struct nsp_residue *residue, const struct nsp_ir_test *test)
{
    if (test->set)
        residue->widened_sets[nsp_ir_find_set(residue->ir, test->set)] = true;
    else
        residue->widened[test->field - nsp_fields] = true;
}

/* Follows 'target' as long as the stacks of 'set' agree on what comes next, and
 * takes note of the tests widened on the way. */
static uint32_t
follow(struct builder *b, uint32_t target, uint32_t set)
{
    const struct nsp_ir *ir = b->residue->ir;

    while (IS_TEST(target)) {
        const struct nsp_ir_test *test = &ir->tests[target];
        unsigned outcomes = 0;

        if (b->wide[target] != NOT_WIDENED) {
            if (test->success != test->failure)
                note_widened(b->residue, test);
            target = b->wide[target];
            continue;
        }
        for (uint32_t s = 0; s < NSP_STACKS; s++)
            outcomes |= set >> s & 1 ? outcome_in(b, target, s) : 0;
        if (outcomes == (NSP_MAY_PASS | NSP_MAY_FAIL))
            break;
        target = outcomes == NSP_MAY_PASS ? test->success : test->failure;
    }
    return target;
}

/* Follows, and notes that the stacks come to where that leads. */
static uint32_t
follow_to(struct builder *b, uint32_t target, uint16_t reach[], uint32_t set)
{
    target = follow(b, target, set);
    if (IS_TEST(target))
        reach[target] = (uint16_t)(reach[target] | set);
    return target;
}

static void
reduce_test(struct builder *b, uint32_t i, uint16_t reach[])
{
    const struct nsp_ir_test *test = &b->residue->ir->tests[i];
    struct nsp_residue_test *ret = &b->residue->tests[i];
    uint32_t having = 0, lacking = 0;

    for (uint32_t s = 0; s < NSP_STACKS; s++) {
        unsigned outcome;

        if (!(reach[i] >> s & 1))
            continue;
        outcome = outcome_in(b, i, s);
        ret->is_open |= outcome == (NSP_MAY_PASS | NSP_MAY_FAIL);
        if (outcome & NSP_MAY_PASS)
            having |= 1u << s;
        else
            lacking |= 1u << s;
    }
    ret->having = (uint16_t)having;
    ret->lacking = (uint16_t)lacking;
    if (having != 0)
        ret->pass = follow_to(b, test->success, reach, having);
    if (ret->is_open)
        ret->fail = follow_to(b, test->failure, reach, having);
    if (lacking != 0)
        ret->lack = follow_to(b, test->failure, reach, lacking);
}

static void
reduce(struct builder *b, uint16_t reach[])
{
    struct nsp_residue *residue = b->residue;

    for (uint32_t s = 0; s < NSP_STACKS; s++)
        residue->entry[s] = follow_to(b, residue->ir->entry, reach, 1u << s);
    for (uint32_t i = 0; i < residue->ir->count; i++) {
        if (reach[i] != 0)
            reduce_test(b, i, reach);
    }
}

/* --- Building ------------------------------------------------------------ */

int
nsp_residue_build(const struct nsp_ir *ir, const struct nsp_site *site,
                  bool (*can_tell)(const struct nsp_ir_test *test,
                                   const void *arg),
                  const void *arg, const struct nsp_allocator *allocator,
                  struct nsp_residue *ret)
{
    struct builder b = { .residue = ret, .site = site };
    uint16_t *reach;
    bool complete;

    *ret = (struct nsp_residue){ .ir = ir };
    ret->tests = nsp_alloc(allocator, ir->count + 1, sizeof ret->tests[0]);
    ret->widened_sets =
        nsp_alloc(allocator, ir->set_count + 1, sizeof ret->widened_sets[0]);
    b.wide = nsp_alloc(allocator, ir->count + 1, sizeof b.wide[0]);
    b.marks = nsp_alloc(allocator, ir->count + 1, sizeof b.marks[0]);
    reach = nsp_alloc(allocator, ir->count + 1, sizeof reach[0]);
    complete = ret->tests && ret->widened_sets && b.wide && b.marks && reach;
    if (complete) {
        /* Targets lie ahead and must be widened first. */
        for (uint32_t i = ir->count; i-- > 0;)
            b.wide[i] = can_tell(&ir->tests[i], arg) ? NOT_WIDENED
                                                     : widen(&b, &ir->tests[i]);
        reduce(&b, reach);
    }
    nsp_release(allocator, reach);
    nsp_release(allocator, b.marks);
    nsp_release(allocator, b.wide);
    return complete ? 0 : -ENOMEM;
}

void
nsp_residue_fini(struct nsp_residue *residue,
                 const struct nsp_allocator *allocator)
{
    nsp_release(allocator, residue->tests);
    nsp_release(allocator, residue->widened_sets);
    residue->tests = NULL;
    residue->widened_sets = NULL;
}

static void
name_widened(const char *name, struct nsp_widened *ret)
{
    ret->exact = false;
    if (ret->count < NSP_WIDENED_MAX)
        ret->names[ret->count++] = name;
}

void
nsp_residue_list_widened(const struct nsp_residue *residue,
                         struct nsp_widened *ret)
{
    for (uint32_t i = 0; i < nsp_field_count; i++) {
        if (residue->widened[i])
            name_widened(nsp_fields[i].name, ret);
    }
    for (uint32_t i = 0; i < residue->ir->set_count; i++) {
        if (residue->widened_sets[i])
            name_widened(residue->ir->sets[i]->name, ret);
    }
}
