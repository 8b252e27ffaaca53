#include "filter/resolve.h"

#include <stdio.h>
#include <string.h>

#include "filter/suggest.h"

/* Of a name that is suggested. */
#define NAME_BYTES_MAX 63u

struct resolver {
    const struct nsp_source *source;
    const struct nsp_filter_interfaces *interfaces;
    struct nsp_arena *arena;
    const struct nsp_field *number; /* The field that is tested instead. */
};

static const char *
get_name(const struct resolver *r, uint32_t i, uint32_t *ret_ifindex)
{
    return i < NSP_FILTER_INTERFACES_MAX
               ? r->interfaces->get(r->interfaces->context, i, ret_ifindex)
               : NULL;
}

static int
not_available(const struct nsp_source *source, const struct nsp_test *test)
{
    return nsp_source_fail(source, test->at, test->at, NSP_NOT_AVAILABLE,
                           "nobody tells the names of interfaces here: test "
                           "ifIdx",
                           "'%s' is not available on this backend",
                           test->field->name);
}

static bool
is_printable(const char *name)
{
    for (; *name; name++) {
        if (*name < ' ' || *name >= 0x7f)
            return false;
    }
    return true;
}

/* A name that must be one is likely misspelt. */
static int
unknown_interface(const struct resolver *r, const struct nsp_test *test)
{
    struct nsp_suggestion nearest;
    char hint[sizeof r->source->diag->hint] = "";
    const char *joint = "there are ", *name;
    size_t used = 0;
    uint32_t ifindex;

    nsp_suggestion_init(&nearest, test->text.bytes, test->text.count);
    for (uint32_t i = 0; (name = get_name(r, i, &ifindex)) != NULL; i++) {
        size_t needed = strlen(joint) + strlen(name);

        if (strlen(name) > NAME_BYTES_MAX || !is_printable(name))
            continue;
        nsp_suggestion_add(&nearest, name, 0);
        if (used + needed >= sizeof hint)
            continue;
        used += (size_t)snprintf(hint + used, sizeof hint - used, "%s%s", joint,
                                 name);
        joint = ", ";
    }
    if (nearest.best)
        snprintf(hint, sizeof hint, "did you mean %s?", nearest.best);
    return nsp_source_fail(
        r->source, test->text_at, test->text_at, NSP_UNKNOWN_INTERFACE, hint,
        "there is no such interface now; filters look names up when they are "
        "compiled");
}

static bool
append_number(struct resolver *r, struct nsp_node *parent,
              enum nsp_relation relation, uint32_t ifindex)
{
    struct nsp_node *node = nsp_arena_alloc(r->arena, 1, sizeof *node);

    if (!node)
        return false;
    node->kind = NSP_NODE_TEST;
    node->test.field = r->number;
    node->test.relation = (uint8_t)relation;
    node->test.number.magnitude = nsp_u128(ifindex);
    nsp_node_append(parent, node);
    return true;
}

/* Interface 0 is an unknown one: it has no name to be like another's, nor
 * unlike. */
static int
resolve_test(struct resolver *r, struct nsp_node *node)
{
    const struct nsp_test test = node->test;
    bool wanted = test.relation == NSP_EQ, found = false, ok = true;
    uint32_t ifindex = 0;
    const char *name;

    node->kind = wanted ? NSP_NODE_OR : NSP_NODE_AND;
    node->test = (struct nsp_test){ .field = NULL };
    for (uint32_t i = 0; ok && (name = get_name(r, i, &ifindex)) != NULL; i++) {
        if (ifindex == 0 ||
            !nsp_match_text((enum nsp_text_operator)test.text_operator,
                            &test.text, name))
            continue;
        found = true;
        ok = append_number(r, node, wanted ? NSP_EQ : NSP_NE, ifindex);
    }
    if (ok && !found && test.text_operator == NSP_TEXT_EQUALS)
        return unknown_interface(r, &test);
    if (ok && !wanted)
        ok = append_number(r, node, NSP_NE, 0);
    return ok ? 0 : nsp_source_out_of_memory(r->source);
}

static int
resolve(struct resolver *r, struct nsp_node *node)
{
    int result = 0;

    if (node->kind == NSP_NODE_TEST && node->test.text.bytes)
        return r->interfaces ? resolve_test(r, node)
                             : not_available(r->source, &node->test);
    for (struct nsp_node *c = node->first; c && result == 0; c = c->next)
        result = resolve(r, c);
    return result;
}

int
nsp_filter_resolve(struct nsp_node *tree, const struct nsp_source *source,
                   const struct nsp_filter_options *options,
                   struct nsp_arena *arena)
{
    struct resolver r = { .source = source,
                          .interfaces = options->interfaces,
                          .arena = arena,
                          .number = nsp_field_find("ifIdx", 5) };

    return resolve(&r, tree);
}
