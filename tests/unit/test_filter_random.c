/* Random filters on random packets, against a naive walk of the expression. */
#include <stdlib.h>

#include "tests/lib/filter.h"
#include "tests/lib/random_expression.h"

/* In a usual run; NSP_TEST_FILTERS asks for more. */
#define FILTERS      4000
#define TEXT_BYTES   8192
#define CONTEXT_SEED 99

struct world {
    struct nsp_prng random;
    struct naive_filter filter;
    char text[TEXT_BYTES];
    struct sample samples[NSP_BURST_MAX];
    struct nsp_pkt *burst[NSP_BURST_MAX];
    struct nsp_filter_options options; /* With named sets. */
};

static const struct nsp_filter_context context = {
    .random_seed = CONTEXT_SEED,
    .timestamp = NAIVE_TIMESTAMP,
};

static unsigned
below(struct world *w, unsigned limit)
{
    return (unsigned)(nsp_prng_next(&w->random) % limit);
}

/* Samples with a few bytes changed and now and then cut. */
static void
random_packets(struct world *w)
{
    for (unsigned i = 0; i < NSP_BURST_MAX; i++) {
        struct nsp_pkt *pkt = &w->samples[i].pkt;

        sample_init(&w->samples[i], below(w, SAMPLES),
                    (enum nsp_direction)below(w, 3));
        for (unsigned k = below(w, 4); k > 0; k--)
            pkt->data[below(w, pkt->cap_bytes)] =
                (uint8_t)nsp_prng_next(&w->random);
        if (below(w, 6) == 0)
            pkt->cap_bytes -= below(w, pkt->cap_bytes);
        if (below(w, 4) == 0)
            pkt->flags |= NSP_PKT_LOOPBACK;
        pkt->mark = below(w, 512);
        pkt->uid = below(w, 2) == 0 ? UINT32_MAX : below(w, 4);
        nsp_pkt_parse(pkt);
        pkt->flow = random_flow_view(&w->random, pkt);
        w->burst[i] = pkt;
    }
}

/* --- Checks -------------------------------------------------------------- */

static void
check_needs(const struct world *w, const struct nsp_filter *filter,
            const struct nsp_pkt *pkt, bool matched)
{
    struct nsp_filter_needs needs;
    bool unusable = pkt->l3 == NSP_L3_NONE && (pkt->flags & NSP_PKT_MALFORMED);

    nsp_filter_get_needs(filter, &needs);
    if ((needs.never && matched) || (needs.always && !matched && !unusable) ||
        (matched && pkt->direction == NSP_INBOUND && !needs.inbound) ||
        (matched && pkt->direction == NSP_OUTBOUND && !needs.outbound) ||
        (matched && pkt->l3 == NSP_L3_IPV4 && !needs.ipv4) ||
        (matched && pkt->l3 == NSP_L3_IPV6 && !needs.ipv6))
        fail_msg("needs of %s", w->text);
}

/* Returns how many packets match. */
static unsigned
check_filter(const struct world *w, const struct nsp_filter *filter)
{
    uint64_t burst =
        nsp_filter_match_burst(filter, w->burst, NSP_BURST_MAX, &context);
    unsigned matches = 0;

    for (unsigned i = 0; i < NSP_BURST_MAX; i++) {
        bool expect = naive_match(&w->filter, w->burst[i]);

        if (nsp_filter_match(filter, w->burst[i], &context) != expect ||
            (burst >> i & 1) != expect)
            fail_msg("packet %u, expect %d: %s", i, expect, w->text);
        check_needs(w, filter, w->burst[i], expect);
        matches += expect;
    }
    return matches;
}

/* The printed form compiles to an equally long program that matches the same,
 * and is its own printed form. */
static void
check_format(const struct world *w, const struct nsp_filter *filter)
{
    struct nsp_filter_needs needs, again_needs;
    struct nsp_filter *again;
    char *text = NULL, *text_again = NULL;

    CHECK_EQ(nsp_filter_format(w->text, NSP_LAYER_NETWORK, &w->options, NULL,
                               &text, NULL),
             NSP_OK);
    again = compile_with(text, NSP_LAYER_NETWORK, &w->options);
    check_filter(w, again);
    nsp_filter_get_needs(filter, &needs);
    nsp_filter_get_needs(again, &again_needs);
    CHECK_MEM_EQ(&needs, &again_needs, sizeof needs);
    CHECK_EQ(nsp_filter_format(text, NSP_LAYER_NETWORK, &w->options, NULL,
                               &text_again, NULL),
             NSP_OK);
    CHECK_STR_EQ(text, text_again);
    nsp_filter_destroy(again);
    free(text);
    free(text_again);
}

/* The object compiles to a filter that matches the same. */
static void
check_object(const struct world *w)
{
    struct nsp_filter *again;
    struct nsp_diag diag;
    char *object = NULL;
    int r = nsp_filter_object(w->text, NSP_LAYER_NETWORK, &w->options, NULL,
                              &object, &diag);

    if (r == NSP_INVALID_FILTER) {
        CHECK_STR_EQ(diag.category, "not-expressible");
        return;
    }
    CHECK_EQ(r, NSP_OK);
    again = compile(object, NSP_LAYER_NETWORK);
    check_filter(w, again);
    nsp_filter_destroy(again);
    free(object);
}

TEST(filter_agrees_with_a_naive_walk_of_the_expression)
{
    static struct world w;
    const char *wanted = getenv("NSP_TEST_FILTERS");
    unsigned count = wanted ? (unsigned)strtoul(wanted, NULL, 10) : FILTERS;
    unsigned some = 0;

    named_sets_open(&w.options);
    nsp_prng_init(&w.random, 20240501, 0);
    for (unsigned i = 0; i < count; i++) {
        struct nsp_filter *filter;
        unsigned matches;

        if (i % 16 == 0)
            random_packets(&w);
        random_expression(&w.random, w.burst, NSP_BURST_MAX, &w.filter);
        naive_write(&w.filter, &w.random, w.text, sizeof w.text);
        filter = compile_with(w.text, NSP_LAYER_NETWORK, &w.options);
        matches = check_filter(&w, filter);
        some += matches > 0 && matches < NSP_BURST_MAX;
        check_format(&w, filter);
        check_object(&w);
        nsp_filter_destroy(filter);
    }
    print_message("%u filters on %u packets each\n", count, NSP_BURST_MAX);
    named_sets_close(&w.options);
    /* The filters tell packets apart, mostly. */
    CHECK(some > count / 3);
}

TEST_MAIN(cmocka_unit_test(filter_agrees_with_a_naive_walk_of_the_expression))
