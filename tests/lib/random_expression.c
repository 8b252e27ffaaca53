#include "tests/lib/random_expression.h"

#include <string.h>

struct grower {
    struct nsp_prng *prng;
    struct nsp_pkt *const *pkts;
    unsigned pkt_count, first_field;
    struct naive_filter *filter;
};

static unsigned
below(struct grower *g, unsigned limit)
{
    return (unsigned)(nsp_prng_next(g->prng) % limit);
}

/* A value the field has in some packet, or near it, or any. */
static struct naive_number
random_number(struct grower *g, const struct naive_node *node)
{
    struct naive_number n = { 0, 0, false };
    unsigned how = below(g, 10);

    if (how < 6 && naive_read(node, g->pkts[below(g, g->pkt_count)], &n)) {
        if (how == 4 && !n.negative && n.lo > 0)
            n.lo--;
        else if (how == 5 && !n.negative && n.lo < UINT64_MAX)
            n.lo++;
        return n;
    }
    n.lo = nsp_prng_next(g->prng) >> below(g, 64);
    if (how == 7)
        n.lo = below(g, 3);
    if (how == 8)
        n.hi = nsp_prng_next(g->prng) >> below(g, 64);
    if (how == 9)
        n.negative = n.lo != 0;
    return n;
}

static bool
is_address(const struct naive_field *field)
{
    return strstr(field->name, "Addr") != NULL && field->bits != 48;
}

/* Turns range 'i' to the prefix of an address near some packet's. */
static void
random_prefix(struct grower *g, struct naive_node *node, unsigned i)
{
    struct naive_number address = random_number(g, node);
    unsigned bits = 1 + below(g, 128);
    uint64_t open_hi = bits >= 64 ? 0 : UINT64_MAX >> bits;
    uint64_t open_lo = bits <= 64    ? UINT64_MAX
                       : bits == 128 ? 0
                                     : UINT64_MAX >> (bits - 64);

    node->set_bits[i] = bits;
    node->set_lo[i] = (struct naive_number){ address.hi & ~open_hi,
                                             address.lo & ~open_lo, false };
    node->set_hi[i] = (struct naive_number){ address.hi | open_hi,
                                             address.lo | open_lo, false };
}

static void
random_set(struct grower *g, struct naive_node *node)
{
    node->bare = false;
    node->set_count = 1 + below(g, NAIVE_RANGES_MAX);
    node->not_in = below(g, 3) == 0;
    for (unsigned i = 0; i < node->set_count; i++) {
        struct naive_number a = random_number(g, node),
                            b = random_number(g, node);
        bool swap;

        if (is_address(node->field) && below(g, 2) == 0) {
            random_prefix(g, node, i);
            continue;
        }
        if (below(g, 2) == 0)
            a = b;
        swap = naive_compare(a, b) > 0;
        node->set_lo[i] = swap ? b : a;
        node->set_hi[i] = swap ? a : b;
    }
}

/* Where the field may be in a named set. */
static void
random_named_set(struct grower *g, struct naive_node *node)
{
    bool is_port = strstr(node->field->name, "Port") != NULL;

    if (!is_port && !is_address(node->field))
        return;
    node->named = named_sets_any(g->prng, is_port);
    if (node->named && node->set_count == 0)
        node->not_in = below(g, 3) == 0;
}

static bool
is_mac(const struct naive_field *field)
{
    return field->bits == 48;
}

/* Of more than a bit where it is to be masked. */
static bool
is_number(const struct naive_field *field)
{
    if (field->base == NAIVE_VALUE &&
        (field->bits == 1 || strcmp(field->name, "event") == 0))
        return false;
    return field->bits <= 32 && !is_address(field);
}

static void
random_mask(struct grower *g, struct naive_node *node)
{
    uint32_t all;

    if (!is_number(node->field) || node->field->bits == 1)
        return;
    all = UINT32_MAX >> (32 - node->field->bits);
    node->mask = (uint32_t)nsp_prng_next(g->prng);
    if (below(g, 2) == 0)
        node->mask = 0xfu << below(g, 28);
    node->mask &= all;
    node->number.lo &= below(g, 4) == 0 ? UINT64_MAX : node->mask;
    node->number.negative &= node->number.lo != 0 || node->number.hi != 0;
}

static void
random_place(struct grower *g, const struct naive_field *field,
             int *ret_distance, bool *ret_from_end)
{
    *ret_distance = (int)below(g, 60);
    *ret_from_end = below(g, 3) == 0;
    if (*ret_from_end)
        *ret_distance += (int)field->bits / 8;
}

static void
random_other(struct grower *g, struct naive_node *node)
{
    const struct naive_field *other =
        &naive_fields[below(g, naive_field_count)];

    if (node->bare || !((is_number(other) && is_number(node->field)) ||
                        (is_mac(other) && is_mac(node->field)) ||
                        (is_address(other) && is_address(node->field))))
        return;
    node->other = other;
    random_place(g, other, &node->other_distance, &node->other_from_end);
}

static void
random_test(struct grower *g, struct naive_node *node)
{
    /* Few fields in one filter, so that tests meet and merge. */
    unsigned few = below(g, 3) == 0 ? naive_field_count : 8;

    node->field =
        &naive_fields[(g->first_field + below(g, few)) % naive_field_count];
    random_place(g, node->field, &node->distance, &node->from_end);
    node->negated = below(g, 5) == 0;
    node->bare = below(g, 5) == 0;
    node->relation = node->bare ? 1 : below(g, NAIVE_RELATIONS);
    if (!node->bare)
        node->number = random_number(g, node);
    if (below(g, 6) == 0)
        random_set(g, node);
    if (below(g, 3) == 0)
        random_named_set(g, node);
    if (node->named)
        node->bare = false;
    else if (below(g, 4) == 0)
        random_mask(g, node);
    else if (node->set_count == 0 && below(g, 4) == 0)
        random_other(g, node);
}

/* Makes a random expression and returns its number. */
static unsigned
grow(struct grower *g, unsigned depth)
{
    unsigned at = g->filter->count++, children = 2;
    struct naive_node *node = &g->filter->nodes[at];

    *node = (struct naive_node){ .kind = NAIVE_TEST };
    if (depth > 0 && g->filter->count + 3 * depth + 3 < NAIVE_NODES_MAX &&
        below(g, 4) != 0)
        node->kind = (enum naive_kind)(1 + below(g, 8) / 2);
    if (node->kind == NAIVE_TEST) {
        random_test(g, node);
        return at;
    }
    children = node->kind == NAIVE_CONDITIONAL ? 3
               : node->kind == NAIVE_NOT       ? 1
                                               : 2;
    for (unsigned i = 0; i < children; i++)
        node->child[i] = grow(g, depth - 1);
    return at;
}

void
random_expression(struct nsp_prng *prng, struct nsp_pkt *const pkts[],
                  unsigned pkt_count, struct naive_filter *ret)
{
    struct grower g = {
        .prng = prng, .pkts = pkts, .pkt_count = pkt_count, .filter = ret
    };

    ret->count = 0;
    g.first_field = below(&g, naive_field_count);
    grow(&g, below(&g, 6));
}
