#include "bench/filter_walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filter/ir.h"
#include "filter/object.h"
#include "netshaper/filter.h"

/* Numbers of the fields in the object format. */
enum field {
    OUTBOUND = 2,
    TCP = 8,
    IP_TTL = 18,
    IP_SRC = 21,
    IP_DST = 22,
    TCP_SRC = 38,
    TCP_DST = 39,
    TCP_ACK = 44,
    TCP_RST = 46,
    TCP_SYN = 47,
    UDP_SRC = 53,
    UDP_DST = 54,
};

enum relation { EQ, NE, LE, GE };

/* Most significant word first. */
struct number {
    uint32_t words[4];
};

struct test {
    uint8_t field, relation;
    uint32_t success, failure;
    struct number number;
};

struct walk {
    uint32_t entry;
    struct test tests[];
};

static void
die(const char *what)
{
    fprintf(stderr, "bench_filter: walk: %s\n", what);
    exit(1);
}

static struct number
number_of(struct nsp_u128 value)
{
    return (struct number){ { (uint32_t)(value.hi >> 32), (uint32_t)value.hi,
                              (uint32_t)(value.lo >> 32),
                              (uint32_t)value.lo } };
}

static void
translate(const struct nsp_ir *ir, const struct nsp_ir_test *from,
          struct test *to)
{
    const struct nsp_range *r = ir->ranges + from->first_range;
    struct nsp_u128 span = nsp_field_range(from->field, ir->layer).span;

    to->field = from->field->id;
    to->success = from->success;
    to->failure = from->failure;
    if (from->range_count == 1 && nsp_u128_equal(r->lo, r->hi)) {
        to->relation = EQ;
        to->number = number_of(r->lo);
    } else if (from->range_count == 1 && nsp_u128_is_zero(r->lo)) {
        to->relation = LE;
        to->number = number_of(r->hi);
    } else if (from->range_count == 1 && nsp_u128_equal(r->hi, span)) {
        to->relation = GE;
        to->number = number_of(r->lo);
    } else if (from->range_count == 2) {
        to->relation = NE;
        to->number = number_of(nsp_u128_add(r[0].hi, nsp_u128(1)));
    } else {
        die("a test is no comparison");
    }
}

struct walk *
walk_create(const char *text)
{
    struct nsp_allocator memory = nsp_allocator_or_libc(NULL);
    struct nsp_source source = { 0 };
    struct walk *walk;
    struct nsp_ir ir;
    char *object;

    if (nsp_filter_object(text, NSP_LAYER_NETWORK, NULL, NULL, &object, NULL) !=
        NSP_OK)
        die(text);
    source.text = object;
    source.bytes = (uint32_t)strlen(object);
    if (nsp_object_read(&source, NSP_LAYER_NETWORK, &memory, &ir) != NSP_OK)
        die(object);
    walk = malloc(sizeof *walk + ir.count * sizeof walk->tests[0]);
    if (!walk)
        die("not enough memory");
    walk->entry = ir.entry;
    for (uint32_t i = 0; i < ir.count; i++)
        translate(&ir, &ir.tests[i], &walk->tests[i]);
    nsp_ir_fini(&ir, &memory);
    free(object);
    return walk;
}

void
walk_destroy(struct walk *walk)
{
    free(walk);
}

static bool
has_field(enum field field, const struct nsp_pkt *pkt)
{
    switch (field) {
    case OUTBOUND:
    case TCP:
        return true;
    case IP_TTL:
    case IP_SRC:
    case IP_DST:
        return pkt->l3 == NSP_L3_IPV4;
    case TCP_SRC:
    case TCP_DST:
    case TCP_ACK:
    case TCP_RST:
    case TCP_SYN:
        return pkt->l4 == NSP_L4_TCP;
    case UDP_SRC:
    case UDP_DST:
        return pkt->l4 == NSP_L4_UDP;
    }
    die("an unknown field");
    return false;
}

static uint32_t
value_of(enum field field, const struct nsp_pkt *pkt)
{
    const uint8_t *l3 = pkt->data + pkt->l3_off;
    const uint8_t *l4 = pkt->data + pkt->l4_off;

    switch (field) {
    case OUTBOUND:
        return pkt->direction == NSP_OUTBOUND;
    case TCP:
        return pkt->l4 == NSP_L4_TCP;
    case IP_TTL:
        return l3[8];
    case IP_SRC:
        return nsp_load_be32(l3 + 12);
    case IP_DST:
        return nsp_load_be32(l3 + 16);
    case TCP_SRC:
    case UDP_SRC:
        return nsp_load_be16(l4);
    case TCP_DST:
    case UDP_DST:
        return nsp_load_be16(l4 + 2);
    case TCP_ACK:
        return l4[13] >> 4 & 1;
    case TCP_RST:
        return l4[13] >> 2 & 1;
    case TCP_SYN:
        return l4[13] >> 1 & 1;
    }
    return 0;
}

static int
compare(const struct number *a, const struct number *b)
{
    for (int i = 0; i < 4; i++) {
        if (a->words[i] != b->words[i])
            return a->words[i] < b->words[i] ? -1 : 1;
    }
    return 0;
}

static bool
passes(const struct test *test, const struct nsp_pkt *pkt)
{
    enum field field = (enum field)test->field;
    struct number value = { { 0 } };
    int order;

    if (!has_field(field, pkt))
        return false;
    value.words[3] = value_of(field, pkt);
    order = compare(&value, &test->number);
    switch ((enum relation)test->relation) {
    case EQ:
        return order == 0;
    case NE:
        return order != 0;
    case LE:
        return order <= 0;
    case GE:
        return order >= 0;
    }
    return false;
}

bool
walk_match(const struct walk *walk, const struct nsp_pkt *pkt)
{
    uint32_t at = walk->entry;

    while (at < NSP_IR_REJECT) {
        const struct test *test = &walk->tests[at];

        at = passes(test, pkt) ? test->success : test->failure;
    }
    return at == NSP_IR_ACCEPT;
}
