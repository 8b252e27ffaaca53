/* How filters explain themselves: tests on the way of a packet, and what
 * filters mean to each other. */
#include <stdio.h>
#include <string.h>

#include "netshaper/explain.h"
#include "tests/lib/naive_filter.h"
#include "tests/lib/random_filter.h"

#define PAIRS 3000
#define STEPS UINT64_C(100000)

/* --- Traces ----------------------------------------------------------------
 */

struct told {
    char text[2048];
    size_t used;
    unsigned steps;
};

static void
tell(void *context, const struct nsp_filter_step *step)
{
    struct told *told = context;

    told->steps++;
    told->used += (size_t)snprintf(told->text + told->used,
                                   sizeof told->text - told->used,
                                   "%s (%s): %s\n", step->test,
                                   step->is_absent ? "absent"
                                   : step->value   ? step->value
                                                   : "?",
                                   step->passed ? "yes" : "no");
    CHECK(told->used < sizeof told->text);
}

struct trace_row {
    const char *filter;
    unsigned sample;
    bool matches;
    const char *told;
};

static const struct trace_row traces[] = {
    { "tcp.DstPort == 80", TCP4, true, "tcp.DstPort == 80 (80): yes\n" },
    { "tcp.DstPort in { 22, 443, 8000..8080 }", TCP4, false,
      "tcp.DstPort in { 22, 443, 8000..8080 } (80): no\n" },
    { "tcp.DstPort == 80 and inbound", TCP4, false,
      "tcp.DstPort == 80 (80): yes\ninbound (?): no\n" },
    { "udp.DstPort == 53 or ip.SrcAddr == 192.0.2.1", TCP4, true,
      "udp.DstPort == 53 (absent): no\n"
      "ip.SrcAddr == 192.0.2.1 (192.0.2.1): yes\n" },
    { "tcp.SrcPort > tcp.DstPort", TCP4, true,
      "tcp.SrcPort > tcp.DstPort (?): yes\n" },
    { "true", TCP4, true, "" },
    { "true", BROKEN, false, "" },
};

TEST(trace_tells_each_test_with_what_the_packet_has)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(traces); i++) {
        struct nsp_filter *filter =
            compile(traces[i].filter, NSP_LAYER_NETWORK);
        struct told told = { .text = "" };
        struct sample sample;
        bool matches = !traces[i].matches;

        sample_init(&sample, traces[i].sample, NSP_OUTBOUND);
        CHECK_EQ(
            nsp_filter_trace(filter, &sample.pkt, NULL, tell, &told, &matches),
            NSP_OK);
        CHECK_STR_EQ(told.text, traces[i].told);
        CHECK_EQ(matches, traces[i].matches);
        nsp_filter_destroy(filter);
    }
}

static void
count_steps(void *context, const struct nsp_filter_step *step)
{
    CHECK(step->test[0] != '\0');
    CHECK(!step->is_absent || !step->value);
    *(unsigned *)context += 1;
}

TEST(trace_ends_as_the_evaluator_does)
{
    static struct random_world w;
    unsigned steps = 0;

    nsp_prng_init(&w.prng, 20261125, 1);
    for (unsigned i = 0; i < 300; i++) {
        struct nsp_filter *filter;

        if (i % 30 == 0)
            random_site(&w, NSP_LINK_ETHERNET, below(&w, 3));
        random_filter(&w);
        filter = compile(w.text, NSP_LAYER_NETWORK);
        for (unsigned k = 0; k < RANDOM_PACKETS; k++) {
            const struct nsp_pkt *pkt = &w.packets[k].pkt;
            bool traced = false;

            CHECK_EQ(nsp_filter_trace(filter, pkt, &random_context, count_steps,
                                      &steps, &traced),
                     NSP_OK);
            if (traced != nsp_filter_match(filter, pkt, &random_context))
                fail_msg("traced %d: %s", traced, w.text);
        }
        nsp_filter_destroy(filter);
    }
    CHECK(steps > 300);
}

/* --- Implication ------------------------------------------------------------
 */

static bool
implies(const char *a, const char *b)
{
    struct nsp_filter *fa = compile(a, NSP_LAYER_NETWORK);
    struct nsp_filter *fb = compile(b, NSP_LAYER_NETWORK);
    uint64_t steps = STEPS;
    bool implied = nsp_filter_implies(fa, fb, &steps);

    nsp_filter_destroy(fa);
    nsp_filter_destroy(fb);
    return implied;
}

TEST(implication_is_found_where_people_look_for_it)
{
    static const struct {
        const char *narrow, *wide;
    } rows[] = {
        { "tcp.DstPort == 80", "tcp" },
        { "tcp.DstPort == 80", "tcp.DstPort in { 80, 443 }" },
        { "tcp.DstPort in { 80, 90..95 }", "tcp.DstPort in { 80..100 }" },
        { "tcp and inbound", "inbound and ip or ipv6" },
        { "udp.DstPort == 53 and ip.SrcAddr == 10.0.0.1", "udp.DstPort == 53" },
        { "tcp and not inbound", "not udp" },
        { "tcp.DstPort == 1 or tcp.DstPort == 2", "tcp.DstPort < 3" },
        { "false", "udp" },
        { "udp", "true" },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        if (!implies(rows[i].narrow, rows[i].wide))
            fail_msg("%s -> %s", rows[i].narrow, rows[i].wide);
        if (implies(rows[i].wide, rows[i].narrow))
            fail_msg("%s -> %s", rows[i].wide, rows[i].narrow);
    }
}

TEST(implication_gives_up_when_its_steps_are_used_up)
{
    struct nsp_filter *narrow = compile("tcp.DstPort == 80", NSP_LAYER_NETWORK);
    struct nsp_filter *wide = compile("tcp", NSP_LAYER_NETWORK);
    uint64_t steps = 3;

    CHECK(!nsp_filter_implies(narrow, wide, &steps));
    CHECK_EQ(steps, 0);
    nsp_filter_destroy(narrow);
    nsp_filter_destroy(wide);
}

/* Two filters over the same few fields; now and then one within the other. */
static void
random_pair(struct random_world *w, char ret[RANDOM_TEXT_BYTES])
{
    do
        random_filter(w);
    while (w->used > RANDOM_TEXT_BYTES / 4);
    memcpy(ret, w->text, w->used + 1);
    w->used = 0;
    if (below(w, 2) == 0) {
        put(w, "(");
        put(w, ret);
        put(w, below(w, 2) == 0 ? ") or " : ") and ");
    }
    put_expression(w, below(w, 3));
}

TEST(no_packet_contradicts_an_implication)
{
    static struct random_world w;
    static char first[RANDOM_TEXT_BYTES];
    unsigned pairs = random_filter_count(PAIRS), implied = 0;

    nsp_prng_init(&w.prng, 20261125, 2);
    for (unsigned i = 0; i < pairs; i++) {
        struct nsp_filter *a, *b;
        uint64_t steps = STEPS;

        if (i % 30 == 0)
            random_site(&w, NSP_LINK_ETHERNET, below(&w, 3));
        random_pair(&w, first);
        a = compile(first, NSP_LAYER_NETWORK);
        b = compile(w.text, NSP_LAYER_NETWORK);
        if (nsp_filter_implies(a, b, &steps)) {
            implied++;
            for (unsigned k = 0; k < RANDOM_PACKETS; k++) {
                const struct nsp_pkt *pkt = &w.packets[k].pkt;

                if (nsp_filter_match(a, pkt, &random_context) &&
                    !nsp_filter_match(b, pkt, &random_context))
                    fail_msg("%s\n->\n%s", first, w.text);
            }
        }
        nsp_filter_destroy(a);
        nsp_filter_destroy(b);
    }
    print_message("%u of %u pairs imply\n", implied, pairs);
    CHECK(implied > pairs / 10);
    CHECK(implied < pairs);
}

TEST_MAIN(cmocka_unit_test(trace_tells_each_test_with_what_the_packet_has),
          cmocka_unit_test(trace_ends_as_the_evaluator_does),
          cmocka_unit_test(implication_is_found_where_people_look_for_it),
          cmocka_unit_test(implication_gives_up_when_its_steps_are_used_up),
          cmocka_unit_test(no_packet_contradicts_an_implication))
