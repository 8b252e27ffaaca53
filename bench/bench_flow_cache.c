/* The cost of finding the rule of a packet with the flow cache, and without, in
 * plain lines of text, ns per packet:
 *
 *     rules   classifier   flow table   with cache: 10,000 flows   1,000,000
 *
 * 'classifier': the index alone, asked for every packet. 'flow table': finding
 * and counting the packets of 1,000,000 flows. 'with cache': both, flow table
 * and cache, for packets of random flows, 32 at a time, of which all have a
 * chain. Rules ask for prefixes, ports and protocol; every tenth for a length,
 * too. The median of many chunks of 64 packets counts, in the calmest of five
 * rounds: other work on the machine takes its caches. */
#define _GNU_SOURCE
#include "bench/flow_traffic.h"
#include "policy/flow_cache.h"

#define RULES_MAX 10000u
#define ROUNDS    5u

struct policy {
    struct nsp_classifier_rule rules[RULES_MAX];
    uint32_t count;
    struct nsp_classifier *classifier;
    struct nsp_flow_plan *plan;
};

/* What is measured. */
struct contest {
    struct policy *policy;
    struct nsp_flow_table *table;
    struct nsp_flow_cache *cache;
    struct chunk chunk;
};

/* --- Rules ------------------------------------------------------------------
 */

static const struct nsp_filter *
random_filter(struct nsp_prng *random, uint32_t number)
{
    static const uint32_t lengths[] = { 1, 4, 8, 12, 16, 20, 24 };
    uint64_t r = nsp_prng_next(random);
    uint32_t addr = (uint32_t)r | UINT32_C(1) << 31;
    uint32_t bits = lengths[(r >> 32) % NSP_ARRAY_LEN(lengths)];
    uint32_t port = (uint32_t)(r >> 40 & 0xffff);
    struct nsp_filter *filter;
    char text[160];

    /* Of either direction, as firewalls have them, one of them stateless. */
    snprintf(text, sizeof text,
             "ip.%sAddr == %u.%u.%u.%u/%u and udp.%sPort in {%u..%u}%s",
             number % 2 == 0 ? "Src" : "Dst", addr >> 24, addr >> 16 & 255,
             addr >> 8 & 255, addr & 255, bits, number % 2 == 0 ? "Src" : "Dst",
             port, nsp_min_u32(port + 2000, 65535),
             number % 10 == 9 ? " and length > 1200" : "");
    if (nsp_filter_compile(text, NSP_LAYER_NETWORK, NULL, &filter, NULL) !=
        NSP_OK)
        out_of_memory();
    return filter;
}

static struct policy *
create_policy(uint32_t count)
{
    struct policy *policy = calloc(1, sizeof *policy);
    struct nsp_prng random;

    if (!policy)
        out_of_memory();
    nsp_prng_init(&random, 5, 0);
    policy->count = count;
    for (uint32_t r = 0; r < count; r++) {
        policy->rules[r].enabled = true;
        policy->rules[r].filter = random_filter(&random, r);
    }
    if (nsp_classifier_create(policy->rules, count, NULL, &nsp_libc_allocator,
                              &policy->classifier) != 0 ||
        nsp_flow_plan_create(policy->classifier, policy->rules, NULL, count,
                             NULL, &nsp_libc_allocator, &policy->plan) != 0)
        out_of_memory();
    return policy;
}

static void
destroy_policy(struct policy *policy)
{
    nsp_flow_plan_destroy(policy->plan);
    nsp_classifier_destroy(policy->classifier);
    for (uint32_t r = 0; r < policy->count; r++)
        nsp_filter_destroy(
            (struct nsp_filter *)(uintptr_t)policy->rules[r].filter);
    free(policy);
}

/* --- Measurements -----------------------------------------------------------
 */

enum what { CLASSIFIER, TABLE, CACHE };

static double
run_chunk(struct contest *c, enum what what)
{
    static struct nsp_flow_cache_walk walk;
    static struct nsp_classifier_walk bare;
    struct nsp_flow_hit hits[NSP_BURST_MAX];
    uint32_t found[NSP_BURST_MAX];
    double since = now_ns();

    for (uint32_t i = 0; i < CHUNK; i += BURST) {
        struct nsp_pkt *const *pkts = c->chunk.pointers + i;

        if (what != CLASSIFIER)
            nsp_flow_table_track_burst(c->table, pkts, BURST, 1000000, hits);
        if (what == CACHE) {
            nsp_flow_cache_begin(c->cache, pkts, hits, BURST, 1000000, NULL,
                                 &walk);
            nsp_flow_cache_next(&walk, UINT32_MAX, NULL, found);
        } else if (what == CLASSIFIER) {
            nsp_classifier_begin(c->policy->classifier, pkts, BURST, NULL,
                                 &bare);
            nsp_classifier_next(&bare, UINT32_MAX, NULL, found);
        }
    }
    return now_ns() - since;
}

static double
measure(struct contest *c, uint32_t flows, enum what what)
{
    struct nsp_prng random;
    double best = 0;

    nsp_prng_init(&random, 7, flows);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        double ns;

        for (uint32_t i = 0; i < QUERIES / CHUNK; i++) {
            make_chunk(&c->chunk, flows, &random);
            chunk_times[i] = (float)run_chunk(c, what);
        }
        ns = median(chunk_times, QUERIES / CHUNK);
        if (round == 0 || ns < best)
            best = ns;
    }
    return best;
}

/* Confirms all flows and has both ways' chains made. */
static void
warm_up(struct contest *c, uint32_t flows)
{
    for (int round = 0; round < 4; round++) {
        for (uint32_t first = 0; first < flows; first += CHUNK) {
            for (uint32_t i = 0; i < CHUNK; i++)
                make_pkt(&c->chunk, i, first + i, round % 2 == 1);
            run_chunk(c, CACHE);
        }
    }
}

static void
measure_flows(struct contest *c, uint32_t flows, double *ret_table,
              double *ret_cache)
{
    const struct nsp_flow_config cfg = {
        .capacity_flows = flows + CHUNK,
        .half_open_max = flows + CHUNK,
        .secret = { 1, 2 },
    };
    struct nsp_flow_cache_stats stats;
    uint64_t uncached;

    if (nsp_flow_table_create(&cfg, nsp_large_page_allocator(), &c->table) !=
            0 ||
        nsp_flow_cache_create(NSP_FLOW_CHAINS_MAX, NULL, &c->cache) != 0)
        out_of_memory();
    nsp_flow_cache_use(c->cache, c->policy->plan);
    warm_up(c, flows);
    nsp_flow_cache_read_stats(c->cache, &stats);
    uncached = stats.uncached_pkts;
    *ret_cache = measure(c, flows, CACHE);
    *ret_table = measure(c, flows, TABLE);
    nsp_flow_cache_read_stats(c->cache, &stats);
    if (stats.uncached_pkts != uncached)
        printf("packets without a chain: %llu of %u\n",
               (unsigned long long)(stats.uncached_pkts - uncached), QUERIES);
    nsp_flow_cache_destroy(c->cache);
    nsp_flow_table_destroy(c->table);
}

int
main(void)
{
    static const uint32_t rules[] = { 10, 100, 1000, RULES_MAX };
    struct contest *c = calloc(1, sizeof *c);

    if (!c)
        out_of_memory();
    puts("   rules   classifier   flow table   with cache: 10,000 flows   "
         "1,000,000");
    for (size_t i = 0; i < NSP_ARRAY_LEN(rules); i++) {
        double classifier, few, many, table;

        c->policy = create_policy(rules[i]);
        classifier = measure(c, 1000000, CLASSIFIER);
        measure_flows(c, 10000, &table, &few);
        measure_flows(c, 1000000, &table, &many);
        printf("%8u %12.1f %12.1f %26.1f %11.1f\n", rules[i], classifier, table,
               few, many);
        destroy_policy(c->policy);
    }
    free(c);
    return 0;
}
