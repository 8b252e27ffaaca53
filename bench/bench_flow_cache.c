/* The cost of finding the rule of a packet with the flow cache, and without, in
 * plain lines of text, ns per packet:
 *
 *     rules   classifier   flow table   with cache: 10,000 flows   1,000,000
 *
 * 'classifier': the index alone, asked for every packet. 'flow table': finding
 * and counting the packets of 1,000,000 flows. 'with cache': both, flow table
 * and cache, for packets of random flows, 32 at a time, of which all have a
 * chain. Rules ask for prefixes, ports and protocol; every tenth for a length,
 * too. The median of many chunks of 64 packets counts, in the calmest of many
 * short rounds: other work on the machine takes its caches. All is measured by
 * turns in each round, so that what stands in one column had the same moments
 * to be calm in. */
#define _GNU_SOURCE
#include "bench/flow_traffic.h"
#include "policy/flow_cache.h"

#define RULES_MAX 10000u
#define ROUNDS    16u
#define CHUNKS    (QUERIES / CHUNK / 4) /* In a round. */

static const uint32_t rule_counts[] = { 10, 100, 1000, RULES_MAX };
static const uint32_t flow_counts[] = { 10000, 1000000 };
#define MANY 1u /* Of the flow counts. */

struct policy {
    struct nsp_classifier_rule rules[RULES_MAX];
    uint32_t count;
    struct nsp_classifier *classifier;
    struct nsp_flow_plan *plan;
};

/* Flows under a policy, whose packets all have a chain. */
struct scene {
    const struct policy *policy;
    uint32_t flows;
    struct nsp_flow_table *table;
    struct nsp_flow_cache *cache;
    uint64_t uncached; /* Packets so far. */
};

enum what { CLASSIFIER, TABLE, CACHE, WHATS };

/* What is measured for one number of rules. */
struct contest {
    struct policy *policy;
    struct scene scenes[NSP_ARRAY_LEN(flow_counts)];
    double best_ns[NSP_ARRAY_LEN(flow_counts)][WHATS]; /* 0: not yet. */
};

static struct chunk chunk;

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

static double
run_chunk(struct scene *scene, enum what what)
{
    static struct nsp_flow_cache_walk walk;
    static struct nsp_classifier_walk bare;
    struct nsp_flow_hit hits[NSP_BURST_MAX];
    uint32_t found[NSP_BURST_MAX];
    double since = now_ns();

    for (uint32_t i = 0; i < CHUNK; i += BURST) {
        struct nsp_pkt *const *pkts = chunk.pointers + i;

        if (what != CLASSIFIER)
            nsp_flow_table_track_burst(scene->table, pkts, BURST, 1000000,
                                       hits);
        if (what == CACHE) {
            nsp_flow_cache_begin(scene->cache, pkts, hits, BURST, 1000000, NULL,
                                 &walk);
            nsp_flow_cache_next(&walk, UINT32_MAX, NULL, found);
        } else if (what == CLASSIFIER) {
            nsp_classifier_begin(scene->policy->classifier, pkts, BURST, NULL,
                                 &bare);
            nsp_classifier_next(&bare, UINT32_MAX, NULL, found);
        }
    }
    return now_ns() - since;
}

static void
measure(struct scene *scene, uint32_t round, enum what what, double *best_ns)
{
    struct nsp_prng random;
    double ns;

    nsp_prng_init(&random, 7, round);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        make_chunk(&chunk, scene->flows, &random);
        chunk_times[i] = (float)run_chunk(scene, what);
    }
    ns = median(chunk_times, CHUNKS);
    if (*best_ns == 0 || ns < *best_ns)
        *best_ns = ns;
}

static uint64_t
uncached(const struct scene *scene)
{
    struct nsp_flow_cache_stats stats;

    nsp_flow_cache_read_stats(scene->cache, &stats);
    return stats.uncached_pkts;
}

/* Sends a packet of each flow, of either way; returns how many of them had no
 * chain. */
static uint64_t
visit(struct scene *scene)
{
    uint64_t before = uncached(scene);

    for (int way = 0; way < 2; way++) {
        for (uint32_t first = 0; first < scene->flows; first += CHUNK) {
            for (uint32_t i = 0; i < CHUNK; i++)
                make_pkt(&chunk, i, first + i, way == 1);
            run_chunk(scene, CACHE);
        }
    }
    return uncached(scene) - before;
}

static void
create_scene(struct scene *scene, const struct policy *policy, uint32_t flows)
{
    const struct nsp_flow_config cfg = {
        .capacity_flows = flows + CHUNK,
        .half_open_max = flows + CHUNK,
        .secret = { 1, 2 },
    };

    *scene = (struct scene){ .policy = policy, .flows = flows };
    if (nsp_flow_table_create(&cfg, nsp_large_page_allocator(),
                              &scene->table) != 0 ||
        nsp_flow_cache_create(NSP_FLOW_CHAINS_MAX, NULL, &scene->cache) != 0)
        out_of_memory();
    nsp_flow_cache_use(scene->cache, policy->plan);
    for (uint64_t left = UINT64_MAX, before = 0; left != 0 && left != before;) {
        before = left;
        left = visit(scene);
    }
    scene->uncached = uncached(scene);
}

static void
destroy_scene(struct scene *scene)
{
    if (uncached(scene) != scene->uncached)
        printf("packets without a chain: %llu\n",
               (unsigned long long)(uncached(scene) - scene->uncached));
    nsp_flow_cache_destroy(scene->cache);
    nsp_flow_table_destroy(scene->table);
}

static void
run_round(struct contest *c, uint32_t round)
{
    measure(&c->scenes[MANY], round, CLASSIFIER, &c->best_ns[MANY][CLASSIFIER]);
    measure(&c->scenes[MANY], round, TABLE, &c->best_ns[MANY][TABLE]);
    for (size_t f = 0; f < NSP_ARRAY_LEN(flow_counts); f++)
        measure(&c->scenes[f], round, CACHE, &c->best_ns[f][CACHE]);
}

int
main(void)
{
    static struct contest contests[NSP_ARRAY_LEN(rule_counts)];

    puts("   rules   classifier   flow table   with cache: 10,000 flows   "
         "1,000,000");
    for (size_t i = 0; i < NSP_ARRAY_LEN(contests); i++) {
        contests[i].policy = create_policy(rule_counts[i]);
        for (size_t f = 0; f < NSP_ARRAY_LEN(flow_counts); f++)
            create_scene(&contests[i].scenes[f], contests[i].policy,
                         flow_counts[f]);
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < NSP_ARRAY_LEN(contests); i++)
            run_round(&contests[i], round);
    }
    for (size_t i = 0; i < NSP_ARRAY_LEN(contests); i++) {
        struct contest *c = &contests[i];

        printf("%8u %12.1f %12.1f %26.1f %11.1f\n", rule_counts[i],
               c->best_ns[MANY][CLASSIFIER], c->best_ns[MANY][TABLE],
               c->best_ns[0][CACHE], c->best_ns[MANY][CACHE]);
        for (size_t f = 0; f < NSP_ARRAY_LEN(flow_counts); f++)
            destroy_scene(&c->scenes[f]);
        destroy_policy(c->policy);
    }
    return 0;
}
