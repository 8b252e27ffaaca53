/* What becomes of a filter, stage by stage. */
#include <errno.h>

#include "base/diag.h"
#include "filter/analyse.h"
#include "filter/compile.h"
#include "filter/eval.h"
#include "filter/explain_needs.h"
#include "filter/explain_test.h"
#include "filter/lexer.h"
#include "filter/parser.h"
#include "filter/text.h"

/* Deeper trees are printed at this depth. */
#define INDENT_MAX 32u

struct explainer {
    enum nsp_layer layer;
    const struct nsp_filter_options *options;
    const struct nsp_allocator *allocator;
    struct nsp_source source;
    struct nsp_text text;
};

/* --- Tokens and tree ------------------------------------------------------ */

static void
print_tokens(struct explainer *e)
{
    struct nsp_lexer lexer;
    struct nsp_token token;

    nsp_text_print(&e->text, "tokens\n ");
    nsp_lexer_init(&lexer, &e->source, e->layer, e->options);
    while (nsp_lexer_next(&lexer, &token) == 0 && token.kind != NSP_TOKEN_END)
        nsp_text_print(&e->text, " %.*s", (int)(token.end - token.start),
                       e->source.text + token.start);
    nsp_text_print(&e->text, "\n");
}

static void
print_test(struct nsp_text *text, const struct nsp_test *test)
{
    static const char *const relations[] = {
        [NSP_EQ] = "==",     [NSP_NE] = "!=",         [NSP_LT] = "<",
        [NSP_LE] = "<=",     [NSP_GT] = ">",          [NSP_GE] = ">=",
        [NSP_WITHIN] = "in", [NSP_BEYOND] = "not in",
    };

    nsp_explain_operand(text, test->field, test->position, test->mask);
    if (test->text.bytes) {
        static const char *const operators[] = {
            [NSP_TEXT_EQUALS] = "equals",
            [NSP_TEXT_CONTAINS] = "contains",
            [NSP_TEXT_MATCHES] = "matches",
        };

        nsp_text_print(text, "%s %s a string of %u characters",
                       test->relation == NSP_EQ ? "" : " not",
                       operators[test->text_operator],
                       (unsigned)test->text.count);
        return;
    }
    if (test->set) {
        nsp_text_print(
            text, " %s %s",
            relations[test->relation == NSP_EQ ? NSP_WITHIN : NSP_BEYOND],
            test->set->name);
        return;
    }
    nsp_text_print(text, " %s ", relations[test->relation]);
    if (test->other) {
        nsp_explain_operand(text, test->other, test->other_position, 0);
        return;
    }
    nsp_explain_number(text, test->field, test->number);
    if (nsp_number_less(test->number, test->upper)) {
        nsp_text_print(text, "..");
        nsp_explain_number(text, test->field, test->upper);
    }
}

static void
print_tree(struct nsp_text *text, const struct nsp_node *node, unsigned depth)
{
    static const char *const names[] = {
        [NSP_NODE_AND] = "and",
        [NSP_NODE_OR] = "or",
        [NSP_NODE_CONDITIONAL] = "if, then, else",
    };

    nsp_text_print(text, "%*s", (int)(2 * nsp_min_u32(depth, INDENT_MAX)), "");
    if (node->kind == NSP_NODE_CONSTANT)
        nsp_text_print(text, "%s", node->value ? "true" : "false");
    else if (node->kind == NSP_NODE_TEST)
        print_test(text, &node->test);
    else
        nsp_text_print(text, "%s", names[node->kind]);
    nsp_text_print(text, "\n");
    for (const struct nsp_node *c = node->first; c; c = c->next)
        print_tree(text, c, depth + 1);
}

/* Parses again: folding has changed the other tree. */
static int
explain_tree(struct explainer *e)
{
    struct nsp_arena arena;
    struct nsp_node *tree;
    int r;

    nsp_arena_init(&arena, e->allocator);
    r = nsp_filter_parse(&e->source, e->layer, e->options, &arena, &tree);
    if (r == NSP_OK) {
        nsp_text_print(&e->text, "tree\n");
        print_tree(&e->text, tree, 1);
    }
    nsp_arena_fini(&arena);
    return r;
}

static int
explain_folded(struct explainer *e)
{
    char *folded;
    int r = nsp_filter_format(e->source.text, e->layer, e->options,
                              e->allocator, &folded, e->source.diag);

    if (r != NSP_OK)
        return r;
    nsp_text_print(&e->text, "folded\n  %s\n", folded);
    nsp_release(e->allocator, folded);
    return NSP_OK;
}

/* --- Graph and program ---------------------------------------------------- */

static void
print_target(struct nsp_text *text, uint32_t target)
{
    if (target >= NSP_IR_REJECT)
        nsp_text_print(text, target == NSP_IR_ACCEPT ? "accept" : "reject");
    else
        nsp_text_print(text, "%u", target);
}

/* What passes: in a named set the values are 1, inside, and 0. */
static void
print_values(struct nsp_text *text, const struct nsp_ir *ir,
             const struct nsp_ir_test *test)
{
    const struct nsp_range *first = &ir->ranges[test->first_range];

    if (test->set && nsp_u128_equal(first->lo, first->hi)) {
        nsp_text_print(text, " %s %s",
                       nsp_u128_is_zero(first->lo) ? "not in" : "in",
                       test->set->name);
        return;
    }
    nsp_text_print(text, " in { ");
    nsp_explain_ranges(text, ir, test, UINT32_MAX);
    nsp_text_print(text, " }");
}

static void
print_graph(struct explainer *e, const struct nsp_ir *ir)
{
    struct nsp_text *text = &e->text;

    nsp_text_print(text, "graph\n");
    for (uint32_t i = 0; i < ir->count; i++) {
        const struct nsp_ir_test *test = &ir->tests[i];

        nsp_text_print(text, "  %u: ", i);
        nsp_explain_operand(text, test->operand ? test->operand : test->field,
                            test->position, test->mask);
        if (test->other) {
            nsp_text_print(text, " compared with ");
            nsp_explain_operand(text, test->other, test->other_position, 0);
        }
        print_values(text, ir, test);
        nsp_text_print(text, " ? ");
        print_target(text, test->success);
        nsp_text_print(text, " : ");
        print_target(text, test->failure);
        nsp_text_print(text, "\n");
    }
    if (ir->count == 0) {
        nsp_text_print(text, "  ");
        print_target(text, ir->entry);
        nsp_text_print(text, "\n");
    }
}

static const char *
lookup_of(const struct nsp_insn *insn)
{
    if (insn->op >= NSP_FETCH_ADDR6)
        return " search";
    if (insn->extra & NSP_INSN_BITS)
        return " bitmap";
    return insn->extra & NSP_INSN_BOUNDS ? " search" : "";
}

static void
print_condition(struct nsp_text *text, const struct nsp_insn *insn)
{
    if (insn->op < NSP_FETCH_ADDR6)
        nsp_text_print(text, "in %u..%u", insn->lo, insn->lo + insn->span);
    nsp_text_print(text, "%s%s%s", lookup_of(insn),
                   insn->extra & NSP_INSN_ACCEPT ? ": accept," : ",",
                   insn->jump_if_absent ? " else or if absent " : " else ");
}

/* Prints what must hold of a packet's state, with a comma after each. */
static void
print_state(struct nsp_text *text, const struct nsp_state *state)
{
    static const struct {
        size_t offset;
        const char *name;
    } bytes[] = {
        { offsetof(struct nsp_pkt, direction), "direction" },
        { offsetof(struct nsp_pkt, l3), "l3" },
        { offsetof(struct nsp_pkt, l4), "l4" },
        { offsetof(struct nsp_pkt, ip_proto), "protocol" },
    };
    struct nsp_pkt mask = { 0 }, value = { 0 };

    memcpy((uint8_t *)&mask + NSP_STATE_OFF, &state->mask, sizeof state->mask);
    memcpy((uint8_t *)&value + NSP_STATE_OFF, &state->value,
           sizeof state->value);
    for (size_t i = 0; i < NSP_ARRAY_LEN(bytes); i++) {
        if (((uint8_t *)&mask)[bytes[i].offset] != 0)
            nsp_text_print(text, " %s %u,", bytes[i].name,
                           (unsigned)((uint8_t *)&value)[bytes[i].offset]);
    }
    if (mask.flags != 0)
        nsp_text_print(text, " flags & %u == %u,", (unsigned)mask.flags,
                       (unsigned)value.flags);
}

static void
print_chain(struct nsp_text *text, const struct nsp_eval *eval,
            const struct nsp_insn *chain)
{
    nsp_text_print(text, "%s", chain->extra & NSP_INSN_ANY ? "any" : "all");
    print_state(text, &chain->state);
    for (uint32_t i = 0; i < chain->word_count; i++) {
        const struct nsp_word *word = &eval->words[chain->words + i];
        bool is_l3 = word->header == offsetof(struct nsp_pkt, l3_off);

        nsp_text_print(text, " %s[%u] & 0x%x in 0x%x..0x%x,",
                       is_l3 ? "l3" : "l4", (unsigned)word->offset, word->mask,
                       word->lo, word->lo + word->span);
    }
    nsp_text_print(text, "%s else ",
                   chain->extra & NSP_INSN_ACCEPT ? " accept," : "");
}

static void
print_insn(struct nsp_text *text, const struct nsp_eval *eval,
           const struct nsp_insn *insn)
{
    static const char *const names[] = {
        [NSP_FETCH_NEVER] = "jump",
        [NSP_FETCH_ZERO] = "zero",
        [NSP_FETCH_IS] = "is",
        [NSP_FETCH_BYTE] = "byte",
        [NSP_FETCH_FLAG] = "flag",
        [NSP_FETCH_LENGTH] = "length",
        [NSP_FETCH_IFINDEX] = "ifindex",
        [NSP_FETCH_L3] = "l3",
        [NSP_FETCH_L4] = "l4",
        [NSP_FETCH_PAYLOAD_LENGTH] = "payload-length",
        [NSP_FETCH_LOCAL_PORT] = "local-port",
        [NSP_FETCH_REMOTE_PORT] = "remote-port",
        [NSP_FETCH_RANDOM] = "random",
        [NSP_FETCH_MARK] = "mark",
        [NSP_FETCH_UID] = "uid",
        [NSP_FETCH_ETHER_TYPE] = "ether-type",
        [NSP_FETCH_VLAN] = "vlan",
        [NSP_FETCH_MSS] = "mss",
        [NSP_FETCH_FLOW] = "flow",
        [NSP_FETCH_MASKED] = "masked",
        [NSP_FETCH_COMPARED] = "compared",
        [NSP_FETCH_IN_SET] = "in-set",
        [NSP_FETCH_LATER] = "never",
        [NSP_FETCH_BYTES] = "bytes",
        [NSP_FETCH_ADDR6] = "addr6",
        [NSP_FETCH_LOCAL_ADDR] = "local-addr",
        [NSP_FETCH_REMOTE_ADDR] = "remote-addr",
        [NSP_FETCH_TIMESTAMP] = "timestamp",
        [NSP_FETCH_FLOW_COUNT] = "flow-count",
        [NSP_FETCH_MAC] = "mac",
    };

    if (insn->op == NSP_INSN_CHAIN) {
        print_chain(text, eval, insn);
    } else {
        nsp_text_print(text, "%s ", names[insn->op]);
        if (insn->op != NSP_FETCH_NEVER)
            print_condition(text, insn);
    }
    print_target(text, insn->target);
    nsp_text_print(text, "\n");
}

static void
print_program(struct explainer *e, const struct nsp_eval *eval)
{
    struct nsp_text *text = &e->text;

    nsp_text_print(text, "program\n");
    if (eval->guard.mask != 0) {
        nsp_text_print(text, "  guard:");
        print_state(text, &eval->guard);
        nsp_text_print(text, " else reject\n");
    }
    for (uint32_t i = 0; i < eval->count; i++) {
        nsp_text_print(text, "  %u: ", i);
        print_insn(text, eval, &eval->insns[i]);
    }
    if (eval->count == 0)
        nsp_text_print(text, "  accept\n");
}

static int
explain_compiled(struct explainer *e, const struct nsp_node *tree)
{
    struct nsp_filter_needs needs;
    struct nsp_eval eval = { 0 };
    struct nsp_ir ir;
    int r = nsp_ir_build(tree, e->layer, e->allocator, &ir);

    if (r == -E2BIG)
        return nsp_source_fail(&e->source, 0, 0, NSP_TOO_LONG, NULL,
                               "more than %u tests", NSP_FILTER_TESTS_MAX);
    if (r == 0)
        r = nsp_filter_analyse(&ir, e->allocator, &needs);
    if (r == 0)
        r = nsp_eval_build(&ir, e->allocator, &eval);
    if (r == 0) {
        print_graph(e, &ir);
        print_program(e, &eval);
        nsp_explain_needs(&e->text, &ir, &needs);
    }
    nsp_eval_fini(&eval, e->allocator);
    nsp_ir_fini(&ir, e->allocator);
    return r == 0 ? NSP_OK : nsp_source_out_of_memory(&e->source);
}

static int
explain(struct explainer *e, const struct nsp_node *tree)
{
    int r;

    print_tokens(e);
    if ((r = explain_tree(e)) != NSP_OK || (r = explain_folded(e)) != NSP_OK)
        return r;
    if ((r = explain_compiled(e, tree)) != NSP_OK)
        return r;
    if (nsp_explain_layers(&e->text, e->source.text, e->options, e->allocator) <
            0 ||
        nsp_explain_kernel(&e->text, e->source.text, e->layer, e->options,
                           e->allocator) < 0)
        return nsp_source_out_of_memory(&e->source);
    return NSP_OK;
}

int
nsp_filter_explain(const char *text, enum nsp_layer layer,
                   const struct nsp_filter_options *options,
                   const struct nsp_allocator *allocator, char **ret,
                   struct nsp_diag *reterr)
{
    static const struct nsp_filter_options defaults = { .strict = false };
    struct nsp_allocator memory = nsp_allocator_or_libc(allocator);
    struct explainer e = { .layer = layer,
                           .options = options ? options : &defaults,
                           .allocator = &memory };
    struct nsp_arena arena;
    struct nsp_node *tree;
    char *explained = NULL;
    int r;

    if (!text || !ret || (unsigned)layer >= NSP_LAYER_COUNT)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "invalid-parameter",
                            NULL, "no filter text, or no such layer");
    nsp_arena_init(&arena, &memory);
    nsp_text_init(&e.text, &memory);
    r = nsp_filter_read(text, layer, options, true, &arena, reterr, &e.source,
                        &tree);
    if (r == NSP_OK)
        r = explain(&e, tree);
    if (r == NSP_OK) {
        explained = nsp_text_take(&e.text);
        r = explained ? NSP_OK : nsp_source_out_of_memory(&e.source);
    }
    nsp_text_fini(&e.text);
    nsp_arena_fini(&arena);
    if (r == NSP_OK)
        *ret = explained;
    return r;
}
