/* A packet's way through a filter, told test by test. */
#include "base/diag.h"
#include "filter/compile.h"
#include "filter/eval.h"
#include "filter/explain_test.h"
#include "filter/filter_set.h"
#include "netshaper/explain.h"

#define RANGES_MAX 8u

/* --- Tests as text ---------------------------------------------------------
 */

/* The values 0, 1, 2 of a comparison as its operator. */
static const char *
comparison(const struct nsp_range ranges[], uint32_t count)
{
    static const char *const operators[8] = { "?", "<",  "==", "<=",
                                              ">", "!=", ">=", "?" };
    unsigned values = 0;

    for (uint32_t i = 0; i < count; i++)
        for (uint64_t value = ranges[i].lo.lo;
             value <= ranges[i].hi.lo && value < 3; value++)
            values |= 1u << value;
    return operators[values];
}

static void
print_values(struct nsp_text *text, const struct nsp_ir *ir,
             const struct nsp_ir_test *test)
{
    const struct nsp_range *first = &ir->ranges[test->first_range];
    bool alone = test->range_count == 1 && nsp_u128_equal(first->lo, first->hi);

    nsp_text_print(text, alone ? " == " : " in { ");
    nsp_explain_ranges(text, ir, test, RANGES_MAX);
    nsp_text_print(text, alone ? "" : " }");
}

static void
print_test(struct nsp_text *text, const struct nsp_ir *ir,
           const struct nsp_ir_test *test)
{
    const struct nsp_range *ranges = &ir->ranges[test->first_range];
    bool is_word = test->field->type == NSP_TYPE_BOOL || test->set;
    bool negated = is_word && test->range_count == 1 && ranges->hi.lo == 0;

    nsp_text_print(text, negated && !test->set ? "not " : "");
    nsp_explain_operand(text, test->operand ? test->operand : test->field,
                        test->position, test->mask);
    if (test->set) {
        nsp_text_print(text, "%s in %s", negated ? " not" : "",
                       test->set->name);
    } else if (test->other) {
        nsp_text_print(text, " %s ", comparison(ranges, test->range_count));
        nsp_explain_operand(text, test->other, test->other_position, 0);
    } else if (!is_word) {
        print_values(text, ir, test);
    }
}

/* --- Tests on a packet ------------------------------------------------------
 */

/* Lets the evaluator make this one test: a graph of its own. */
static int
make_test(const struct nsp_ir *ir, const struct nsp_ir_test *test,
          const struct nsp_allocator *allocator, const struct nsp_pkt *pkt,
          const struct nsp_filter_context *context, bool *ret)
{
    struct nsp_ir_test alone = *test;
    struct nsp_ir one = *ir;
    struct nsp_eval eval = { 0 };
    int r;

    alone.success = NSP_IR_ACCEPT;
    alone.failure = NSP_IR_REJECT;
    one.entry = 0;
    one.count = 1;
    one.tests = &alone;
    r = nsp_eval_build(&one, allocator, &eval);
    if (r != 0)
        return NSP_NO_MEMORY;
    *ret = nsp_eval_match(&eval, pkt, context);
    nsp_eval_fini(&eval, allocator);
    return NSP_OK;
}

/* Prints what the packet has where the test looks; tells whether it has. */
static bool
print_found(struct nsp_text *text, const struct nsp_ir *ir,
            const struct nsp_ir_test *test, const struct nsp_pkt *pkt)
{
    const struct nsp_field *field = test->operand ? test->operand : test->field;
    struct nsp_ir_test shown = { .field = field };
    struct nsp_insn fetch = nsp_eval_fetch_insn(field, test->position);
    struct nsp_u128 value;

    if (!nsp_eval_read(&fetch, pkt, &value))
        return false;
    nsp_explain_value(text, ir, &shown, value);
    return true;
}

/* Fields whose value depends on more than the packet. */
static bool
is_of_context(const struct nsp_field *field)
{
    return field->fetch == NSP_FETCH_RANDOM ||
           field->fetch == NSP_FETCH_TIMESTAMP;
}

static int
visit_test(const struct nsp_ir *ir, const struct nsp_ir_test *test,
           const struct nsp_allocator *allocator, const struct nsp_pkt *pkt,
           bool passed, nsp_filter_step_fn *visit, void *context)
{
    struct nsp_filter_step step = { .passed = passed };
    struct nsp_text text, value;
    int result = NSP_NO_MEMORY;

    nsp_text_init(&text, allocator);
    nsp_text_init(&value, allocator);
    print_test(&text, ir, test);
    if (!test->other &&
        !is_of_context(test->operand ? test->operand : test->field))
        step.is_absent = !print_found(&value, ir, test, pkt);
    if (!text.failed && !value.failed) {
        step.test = text.bytes;
        /* Of these, the outcome says it. */
        if (test->field->type != NSP_TYPE_BOOL)
            step.value = value.bytes;
        visit(context, &step);
        result = NSP_OK;
    }
    nsp_text_fini(&text);
    nsp_text_fini(&value);
    return result;
}

int
nsp_filter_trace(const struct nsp_filter *filter, const struct nsp_pkt *pkt,
                 const struct nsp_filter_context *context,
                 nsp_filter_step_fn *visit, void *visit_context, bool *ret)
{
    static const struct nsp_filter_context nothing = { 0 };
    const struct nsp_allocator *allocator = nsp_filter_allocator(filter);
    const struct nsp_ir *ir = nsp_filter_ir(filter);
    uint32_t at = ir->entry;

    /* A packet that cannot be used matches nothing, whatever the tests say. */
    if (pkt->l3 == NSP_L3_NONE && (pkt->flags & NSP_PKT_MALFORMED) != 0)
        at = NSP_IR_REJECT;
    while (at < NSP_IR_REJECT) {
        const struct nsp_ir_test *test = &ir->tests[at];
        bool passed = false;
        int result = make_test(ir, test, allocator, pkt,
                               context ? context : &nothing, &passed);

        if (result == NSP_OK)
            result = visit_test(ir, test, allocator, pkt, passed, visit,
                                visit_context);
        if (result != NSP_OK)
            return result;
        at = passed ? test->success : test->failure;
    }
    *ret = at == NSP_IR_ACCEPT;
    return NSP_OK;
}
