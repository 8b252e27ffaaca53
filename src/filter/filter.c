#include "netshaper/filter.h"

#include <errno.h>
#include <string.h>

#include "base/diag.h"
#include "filter/analyse.h"
#include "filter/compile.h"
#include "filter/eval.h"
#include "filter/fold.h"
#include "filter/ir.h"
#include "filter/object.h"
#include "filter/parser.h"
#include "filter/resolve.h"
#include "netshaper/bpf.h"

struct nsp_filter {
    struct nsp_eval eval;
    struct nsp_ir ir;
    struct nsp_filter_needs needs;
    struct nsp_allocator allocator;
};

static const char *const layer_names[NSP_LAYER_COUNT] = {
    [NSP_LAYER_NETWORK] = "NETWORK",
    [NSP_LAYER_NETWORK_FORWARD] = "NETWORK_FORWARD",
    [NSP_LAYER_FLOW] = "FLOW",
    [NSP_LAYER_SOCKET] = "SOCKET",
    [NSP_LAYER_REFLECT] = "REFLECT",
};

static int
measure(const char *text, struct nsp_diag *reterr, struct nsp_source *ret)
{
    const char *end = memchr(text, '\0', NSP_FILTER_TEXT_MAX + 1);

    *ret = (struct nsp_source){ .text = text, .diag = reterr };
    if (!end)
        return nsp_source_fail(ret, 0, 0, NSP_TOO_LONG, NULL,
                               "the filter is longer than %u bytes",
                               NSP_FILTER_TEXT_MAX);
    ret->bytes = (uint32_t)(end - text);
    return NSP_OK;
}

int
nsp_filter_read(const char *text, enum nsp_layer layer,
                const struct nsp_filter_options *options, bool resolves,
                struct nsp_arena *arena, struct nsp_diag *reterr,
                struct nsp_source *ret_source, struct nsp_node **ret)
{
    static const struct nsp_filter_options defaults = { .strict = false };
    struct nsp_node *tree;
    int r = measure(text, reterr, ret_source);

    if (r != NSP_OK)
        return r;
    options = options ? options : &defaults;
    r = nsp_filter_parse(ret_source, layer, options, arena, &tree);
    if (r == 0 && resolves)
        r = nsp_filter_resolve(tree, ret_source, options, arena);
    if (r != 0)
        return r;
    tree = nsp_filter_fold(tree, layer, arena);
    if (!tree)
        return nsp_source_out_of_memory(ret_source);
    *ret = tree;
    return NSP_OK;
}

static int
read_text_graph(const char *text, enum nsp_layer layer,
                const struct nsp_filter_options *options,
                const struct nsp_allocator *allocator, struct nsp_diag *reterr,
                struct nsp_source *ret_source, struct nsp_ir *ret)
{
    struct nsp_arena arena;
    struct nsp_node *tree = NULL;
    int r;

    nsp_arena_init(&arena, allocator);
    r = nsp_filter_read(text, layer, options, true, &arena, reterr, ret_source,
                        &tree);
    if (r == NSP_OK) {
        r = nsp_ir_build(tree, layer, allocator, ret);
        if (r == -E2BIG)
            r = nsp_source_fail(ret_source, 0, 0, NSP_TOO_LONG, NULL,
                                "more than %u tests", NSP_FILTER_TESTS_MAX);
        else if (r != 0)
            r = nsp_source_out_of_memory(ret_source);
    }
    nsp_arena_fini(&arena);
    return r;
}

int
nsp_filter_read_graph(const char *text, enum nsp_layer layer,
                      const struct nsp_filter_options *options,
                      const struct nsp_allocator *allocator,
                      struct nsp_diag *reterr, struct nsp_source *ret_source,
                      struct nsp_ir *ret)
{
    int r;

    if (!nsp_object_is(text))
        return read_text_graph(text, layer, options, allocator, reterr,
                               ret_source, ret);
    r = measure(text, reterr, ret_source);
    return r == NSP_OK ? nsp_object_read(ret_source, layer, allocator, ret) : r;
}

int
nsp_filter_compile(const char *text, enum nsp_layer layer,
                   const struct nsp_allocator *allocator,
                   struct nsp_filter **ret, struct nsp_diag *reterr)
{
    return nsp_filter_compile_with(text, layer, NULL, allocator, ret, reterr);
}

int
nsp_filter_compile_with(const char *text, enum nsp_layer layer,
                        const struct nsp_filter_options *options,
                        const struct nsp_allocator *allocator,
                        struct nsp_filter **ret, struct nsp_diag *reterr)
{
    struct nsp_allocator memory = nsp_allocator_or_libc(allocator);
    struct nsp_filter *filter;
    struct nsp_source source;
    int r;

    if (!text || !ret || (unsigned)layer >= NSP_LAYER_COUNT)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "invalid-parameter",
                            NULL, "no filter text, or no such layer");

    filter = nsp_alloc(&memory, 1, sizeof *filter);
    source = (struct nsp_source){ .text = text, .diag = reterr };
    if (!filter)
        return nsp_source_out_of_memory(&source);
    filter->allocator = memory;

    r = nsp_filter_read_graph(text, layer, options, &memory, reterr, &source,
                              &filter->ir);
    if (r == NSP_OK &&
        (nsp_filter_analyse(&filter->ir, &memory, &filter->needs) != 0 ||
         nsp_eval_build(&filter->ir, &memory, &filter->eval) != 0))
        r = nsp_source_out_of_memory(&source);
    if (r != NSP_OK) {
        nsp_filter_destroy(filter);
        return r;
    }
    *ret = filter;
    return NSP_OK;
}

struct nsp_filter *
nsp_filter_destroy(struct nsp_filter *filter)
{
    struct nsp_allocator memory;

    if (!filter)
        return NULL;
    memory = filter->allocator;
    nsp_eval_fini(&filter->eval, &memory);
    nsp_ir_fini(&filter->ir, &memory);
    nsp_release(&memory, filter);
    return NULL;
}

bool
nsp_filter_match(const struct nsp_filter *filter, const struct nsp_pkt *pkt,
                 const struct nsp_filter_context *context)
{
    return nsp_eval_match(&filter->eval, pkt, context);
}

uint64_t
nsp_filter_match_burst(const struct nsp_filter *filter,
                       struct nsp_pkt *const pkts[], uint32_t n,
                       const struct nsp_filter_context *context)
{
    return nsp_eval_match_burst(&filter->eval, pkts,
                                nsp_min_u32(n, NSP_BURST_MAX), context);
}

void
nsp_filter_get_needs(const struct nsp_filter *filter,
                     struct nsp_filter_needs *ret)
{
    *ret = filter->needs;
}

const struct nsp_ir *
nsp_filter_ir(const struct nsp_filter *filter)
{
    return &filter->ir;
}

const struct nsp_allocator *
nsp_filter_allocator(const struct nsp_filter *filter)
{
    return &filter->allocator;
}

bool
nsp_filter_can_emit(const struct nsp_filter *filter,
                    const struct nsp_site *site)
{
    return filter && site &&
           (filter->ir.layer == NSP_LAYER_NETWORK ||
            filter->ir.layer == NSP_LAYER_NETWORK_FORWARD) &&
           (unsigned)site->link <= NSP_LINK_SLL2;
}

const char *
nsp_layer_name(enum nsp_layer layer)
{
    return (unsigned)layer < NSP_LAYER_COUNT ? layer_names[layer] : "unknown";
}

/* Compares a name as the user wrote it with a layer's own. */
static bool
is_layer_name(const char *name, const char *own)
{
    for (; *name && *own; name++, own++) {
        char c = *name == '-' ? '_' : *name;

        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        if (c != *own)
            return false;
    }
    return *name == *own;
}

int
nsp_layer_find(const char *name, enum nsp_layer *ret)
{
    for (int i = 0; i < NSP_LAYER_COUNT; i++) {
        if (is_layer_name(name, layer_names[i])) {
            *ret = (enum nsp_layer)i;
            return 0;
        }
    }
    return -ENOENT;
}
