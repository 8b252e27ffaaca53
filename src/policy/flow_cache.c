#include "policy/flow_cache.h"

#include <errno.h>
#include <string.h>

#include "base/prng.h"
#include "filter/partial.h"
#include "policy/flow_plan.h"

/* A flow's value: the number of a chain, this with the answer that all its
 * packets get, or that it has neither. */
#define SETTLED  0x8000u
#define NO_RULE  0x7ffeu
#define GIVEN_UP UINT16_MAX
static_assert(NSP_FLOW_CHAINS_MAX <= SETTLED, "a chain is no answer");

/* Places where packets are seen; one too many costs chains made again. */
#define ORIGINS 64u

#define FORGET_NS NSP_NS_PER_SECOND

/* Different tests that steps are left with; one too many is asked in full. */
#define TESTS_MAX   255u
#define TEST_PROBES 8u

/* A multiple of eight bytes, so that the first eight are on one cache line. */
struct chain {
    uint32_t answer; /* The first rule, where no filter is asked; ASK. */
    uint16_t count;
    uint16_t next;                     /* Of the same hash; or NO_CHAIN. */
    uint8_t tests[NSP_FLOW_CHAIN_MAX]; /* Of unsure steps: what decides them;
                                        * or FILTER. */
    uint16_t steps[NSP_FLOW_CHAIN_MAX];
};

#define NO_CHAIN UINT16_MAX /* Both its bytes are alike. */
#define FILTER   TESTS_MAX
#define ASK      (NSP_CLASSIFIER_NONE - 1)

/* What all packets under one stamp have in common. */
struct origin {
    uint64_t place; /* Direction, loopback flag, interface; never 0. */
    uint32_t uid;
    uint32_t stamp;
};

struct nsp_flow_cache {
    const struct nsp_flow_plan *plan;
    struct chain *chains;
    uint16_t *heads; /* Of the chains of each hash. */
    uint32_t chains_max, head_mask;
    uint32_t last_stamp; /* The last given; UINT32_MAX: there are no more. */
    bool is_full;
    uint64_t forgotten_ns;
    struct origin origins[ORIGINS];
    struct nsp_insn tests[TESTS_MAX]; /* NSP_FETCH_NEVER: none. */
    struct nsp_flow_cache_stats stats;
    struct nsp_allocator allocator;
};

/* --- Chains ----------------------------------------------------------------
 */

/* Stamps given so far are good no more. */
static void
forget(struct nsp_flow_cache *cache)
{
    memset(cache->heads, NO_CHAIN & 0xff,
           (cache->head_mask + (size_t)1) * sizeof cache->heads[0]);
    for (uint32_t i = 0; i < ORIGINS; i++)
        cache->origins[i].place = 0;
    memset(cache->tests, 0, sizeof cache->tests);
    cache->stats.chains = 0;
    cache->is_full = false;
}

/* The value that these steps settle: none, or one rule for sure, behind which
 * no other can match. GIVEN_UP if they do not. */
static uint16_t
settled_value(const uint16_t steps[], uint32_t count)
{
    if (count == 0)
        return SETTLED | NO_RULE;
    if (count == 1 && (steps[0] & NSP_STEP_SURE) != 0 &&
        steps[0] >> 1 < NO_RULE)
        return (uint16_t)(SETTLED | steps[0] >> 1);
    return GIVEN_UP;
}

/* The place of 'test', which may be new; FILTER if there is none for it. */
static uint8_t
keep_test(struct nsp_flow_cache *cache, const struct nsp_insn *test)
{
    uint64_t words[sizeof *test / sizeof(uint64_t)], hash = 0;

    memcpy(words, test, sizeof words);
    for (size_t i = 0; i < NSP_ARRAY_LEN(words); i++)
        hash = nsp_mix64(hash ^ words[i]);
    for (uint32_t i = 0; i < TEST_PROBES; i++) {
        uint32_t place = (uint32_t)((hash + i) % TESTS_MAX);

        if (cache->tests[place].op == NSP_FETCH_NEVER)
            cache->tests[place] = *test;
        if (memcmp(&cache->tests[place], test, sizeof *test) == 0)
            return (uint8_t)place;
    }
    return FILTER;
}

/* What decides a step for the flow of 'pkt'. */
static uint8_t
test_of(struct nsp_flow_cache *cache, uint16_t step, const struct nsp_pkt *pkt)
{
    const struct nsp_classifier_rule *rule = &cache->plan->rules[step >> 1];
    struct nsp_insn test;

    if ((step & NSP_STEP_SURE) != 0 ||
        !nsp_filter_flow_test(rule->filter, pkt, &test))
        return FILTER;
    return keep_test(cache, &test);
}

static bool
is_same_chain(const struct chain *a, const struct chain *b)
{
    return a->count == b->count &&
           memcmp(a->steps, b->steps, sizeof a->steps) == 0 &&
           memcmp(a->tests, b->tests, sizeof a->tests) == 0;
}

/* The number of the chain of these steps of the flow of 'pkt', a new one if
 * need be; GIVEN_UP if there is no room. */
static uint16_t
intern(struct nsp_flow_cache *cache, const struct nsp_pkt *pkt,
       const uint16_t steps[], uint32_t count)
{
    bool sure = (steps[0] & NSP_STEP_SURE) != 0;
    struct chain chain = { .answer = sure ? steps[0] >> 1 : ASK,
                           .count = (uint16_t)count };
    uint64_t hash = count;
    uint16_t *head, number;

    for (uint32_t i = 0; i < count; i++) {
        chain.steps[i] = steps[i];
        chain.tests[i] = test_of(cache, steps[i], pkt);
        hash = nsp_mix64(hash ^ ((uint32_t)chain.tests[i] << 16 | steps[i]));
    }
    head = &cache->heads[hash & cache->head_mask];
    for (number = *head; number != NO_CHAIN;
         number = cache->chains[number].next) {
        if (is_same_chain(&cache->chains[number], &chain))
            return number;
    }
    if (cache->stats.chains == cache->chains_max) {
        cache->is_full = true;
        return GIVEN_UP;
    }
    number = (uint16_t)cache->stats.chains++;
    chain.next = *head;
    cache->chains[number] = chain;
    *head = number;
    return number;
}

/* --- Origins ----------------------------------------------------------------
 */

static struct origin
origin_of(const struct nsp_flow_plan *plan, const struct nsp_pkt *pkt)
{
    uint32_t ifindex =
        pkt->direction == NSP_OUTBOUND ? pkt->out_ifindex : pkt->in_ifindex;

    return (struct origin){
        .place = (uint64_t)(plan->reads_ifindex ? ifindex : 0) << 32 |
                 (uint64_t)pkt->direction << 2 |
                 (uint64_t)((pkt->flags & NSP_PKT_LOOPBACK) != 0) << 1 | 1,
        .uid = plan->reads_uid ? pkt->uid : 0,
    };
}

static bool
is_same_place(const struct origin *a, const struct origin *b)
{
    return a->place == b->place && a->uid == b->uid;
}

/* Tells whether two packets surely have the same origin. */
static NSP_ALWAYS_INLINE bool
is_alike(const struct nsp_flow_plan *plan, const struct nsp_pkt *a,
         const struct nsp_pkt *b)
{
    if (a->direction != b->direction ||
        ((a->flags ^ b->flags) & NSP_PKT_LOOPBACK) != 0)
        return false;
    if (plan->reads_ifindex &&
        (a->in_ifindex != b->in_ifindex || a->out_ifindex != b->out_ifindex))
        return false;
    return !plan->reads_uid || a->uid == b->uid;
}

/* The stamp of what is seen where 'pkt' is; 0 if there is none. */
static uint32_t
find_stamp(struct nsp_flow_cache *cache, const struct nsp_pkt *pkt)
{
    struct origin origin = origin_of(cache->plan, pkt);
    uint64_t hash = nsp_mix64(origin.place ^ nsp_mix64(origin.uid));
    struct origin *known = &cache->origins[hash % ORIGINS];

    if (!is_same_place(known, &origin)) {
        if (cache->last_stamp == UINT32_MAX)
            return 0;
        *known = origin;
        known->stamp = ++cache->last_stamp;
    }
    return known->stamp;
}

/* --- Life --------------------------------------------------------------------
 */

int
nsp_flow_cache_create(uint32_t chains_max,
                      const struct nsp_allocator *allocator,
                      struct nsp_flow_cache **ret)
{
    struct nsp_allocator memory = nsp_allocator_or_libc(allocator);
    struct nsp_flow_cache *cache;
    uint32_t heads = 1;

    if (chains_max == 0 || chains_max > NSP_FLOW_CHAINS_MAX)
        return -EINVAL;
    cache = nsp_alloc(&memory, 1, sizeof *cache);
    if (!cache)
        return -ENOMEM;
    cache->allocator = memory;
    cache->chains_max = chains_max;
    while (heads < chains_max)
        heads *= 2;
    cache->head_mask = heads - 1;
    cache->chains = nsp_alloc(&memory, chains_max, sizeof cache->chains[0]);
    cache->heads = nsp_alloc(&memory, heads, sizeof cache->heads[0]);
    if (!cache->chains || !cache->heads) {
        nsp_flow_cache_destroy(cache);
        return -ENOMEM;
    }
    forget(cache);
    *ret = cache;
    return 0;
}

struct nsp_flow_cache *
nsp_flow_cache_destroy(struct nsp_flow_cache *cache)
{
    struct nsp_allocator memory;

    if (!cache)
        return NULL;
    memory = cache->allocator;
    nsp_release(&memory, cache->chains);
    nsp_release(&memory, cache->heads);
    nsp_release(&memory, cache);
    return NULL;
}

void
nsp_flow_cache_use(struct nsp_flow_cache *cache,
                   const struct nsp_flow_plan *plan)
{
    forget(cache);
    cache->plan = plan;
}

void
nsp_flow_cache_read_stats(const struct nsp_flow_cache *cache,
                          struct nsp_flow_cache_stats *ret)
{
    *ret = cache->stats;
}

/* --- Lookup ------------------------------------------------------------------
 */

/* Tells whether chains may be kept for packets like this one. */
static NSP_ALWAYS_INLINE bool
may_keep(const struct nsp_pkt *pkt, const struct nsp_flow *flow)
{
    const uint8_t fixed = NSP_FLOW_KIND_IPV4 | NSP_FLOW_KIND_IPV6;
    uint32_t l4 = flow->kind & (uint8_t)~fixed;

    /* As nsp_filter_match_flow() asks; a fragment's kind is above them all. */
    return l4 <= NSP_L4_UDP && (pkt->flags & NSP_PKT_MODIFIED) == 0;
}

static void
make_value(struct nsp_flow_cache *cache, struct nsp_pkt *pkt,
           const struct nsp_flow_hit *hit, uint32_t stamp)
{
    uint16_t steps[NSP_FLOW_CHAIN_MAX];
    uint32_t count = nsp_flow_plan_steps(cache->plan, pkt, steps);
    uint16_t value = GIVEN_UP;

    if (count != UINT32_MAX) {
        value = settled_value(steps, count);
        if (value == GIVEN_UP)
            value = intern(cache, pkt, steps, count);
    }
    cache->stats.made++;
    cache->stats.given_up += value == GIVEN_UP;
    hit->flow->stamp[hit->way] = stamp;
    hit->flow->value[hit->way] = value;
}

/* What is kept for a packet whose origin has 'stamp'. */
static NSP_ALWAYS_INLINE uint16_t
value_of(struct nsp_flow_cache *cache, struct nsp_pkt *pkt,
         const struct nsp_flow_hit *hit, uint32_t stamp)
{
    struct nsp_flow *flow = hit->flow;

    if (nsp_unlikely(!flow || !may_keep(pkt, flow) || stamp == 0))
        return GIVEN_UP;
    if (nsp_unlikely(flow->stamp[hit->way] != stamp)) {
        if (nsp_flow_pkts(flow, (enum nsp_flow_way)hit->way) < 2)
            return GIVEN_UP;
        make_value(cache, pkt, hit, stamp);
    }
    return flow->value[hit->way];
}

void
nsp_flow_cache_begin(struct nsp_flow_cache *cache, struct nsp_pkt *const pkts[],
                     const struct nsp_flow_hit hits[], uint32_t n,
                     uint64_t now_ns, const struct nsp_filter_context *context,
                     struct nsp_flow_cache_walk *walk)
{
    uint32_t misses = 0, stamp = 0;
    uint64_t chained = 0;

    assert(n <= NSP_BURST_MAX && cache->plan);
    /* Not within a burst: its earlier packets have chains. */
    if (nsp_unlikely(cache->is_full) &&
        now_ns - cache->forgotten_ns >= FORGET_NS) {
        forget(cache);
        cache->forgotten_ns = now_ns;
        cache->stats.forgotten++;
    }
    walk->cache = cache;
    walk->pkts = pkts;
    walk->context = context;
    walk->missed = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint16_t value;

        if (i == 0 || !is_alike(cache->plan, pkts[i], pkts[i - 1]))
            stamp = find_stamp(cache, pkts[i]);
        value = value_of(cache, pkts[i], &hits[i], stamp);
        walk->values[i] = value;
        chained |= (uint64_t)(value < SETTLED) << i;
        if (nsp_unlikely(value == GIVEN_UP)) {
            walk->missed |= UINT64_C(1) << i;
            walk->places[i] = (uint8_t)misses;
            walk->misses[misses++] = pkts[i];
        }
    }
    /* Few have one, but too many for a branch above. */
    walk->chained = chained;
    for (; chained != 0; chained &= chained - 1)
        nsp_prefetch(&cache->chains[walk->values[nsp_ctz_u64(chained)]]);
    cache->stats.cached_pkts += n - misses;
    cache->stats.uncached_pkts += misses;
    if (misses > 0)
        nsp_classifier_begin(cache->plan->classifier, walk->misses, misses,
                             context, &walk->inner);
}

/* Tells whether step 's' of a chain matches packet 'i'. */
static NSP_ALWAYS_INLINE bool
step_matches(const struct nsp_flow_cache_walk *walk, uint32_t i,
             const struct chain *chain, uint32_t s)
{
    const struct nsp_flow_cache *cache = walk->cache;
    uint32_t step = chain->steps[s], test = chain->tests[s];

    if (test != FILTER)
        return nsp_eval_test(&cache->tests[test], walk->pkts[i], walk->context);
    return (step & NSP_STEP_SURE) != 0 ||
           nsp_filter_match(cache->plan->rules[step >> 1].filter, walk->pkts[i],
                            walk->context);
}

static uint32_t
walk_chain(const struct nsp_flow_cache_walk *walk, uint32_t i, uint32_t start)
{
    const struct chain *chain = &walk->cache->chains[walk->values[i]];

    if (start == 0 && chain->answer != ASK)
        return chain->answer;
    for (uint32_t s = 0; s < chain->count; s++) {
        uint32_t rule = chain->steps[s] >> 1;

        if (rule >= start && step_matches(walk, i, chain, s))
            return rule;
    }
    return NSP_CLASSIFIER_NONE;
}

/* The rule of a settled flow, or none: as good as random, so without a branch.
 * 'start' is not behind NO_RULE, as it is behind a rule that the flow had. */
static NSP_ALWAYS_INLINE uint32_t
settled_rule(const struct nsp_flow_cache_walk *walk, uint32_t i, uint32_t start)
{
    uint32_t rule = walk->values[i] ^ SETTLED;
    bool none = rule - start >= NO_RULE - start;

    return none ? NSP_CLASSIFIER_NONE : rule;
}

/* Asks the classifier about the packets of 'mask', which it knows by other
 * places. */
static void
search_misses(const struct nsp_flow_cache_walk *walk, uint64_t mask,
              const uint32_t start[], uint32_t ret[])
{
    uint32_t rules[NSP_BURST_MAX];
    uint64_t inner = 0;

    for (uint64_t m = mask; m != 0; m &= m - 1) {
        uint32_t i = nsp_ctz_u64(m), place = walk->places[i];

        rules[place] = start ? start[i] : 0;
        inner |= UINT64_C(1) << place;
    }
    nsp_classifier_next(&walk->inner, inner, rules, rules);
    for (uint64_t m = mask; m != 0; m &= m - 1) {
        uint32_t i = nsp_ctz_u64(m);

        ret[i] = rules[walk->places[i]];
    }
}

void
nsp_flow_cache_next(const struct nsp_flow_cache_walk *walk, uint64_t mask,
                    const uint32_t start[], uint32_t ret[])
{
    uint64_t missed = mask & walk->missed, chained = mask & walk->chained;

    for (mask &= ~(missed | chained); mask != 0; mask &= mask - 1) {
        uint32_t i = nsp_ctz_u64(mask);

        ret[i] = settled_rule(walk, i, start ? start[i] : 0);
    }
    for (; chained != 0; chained &= chained - 1) {
        uint32_t i = nsp_ctz_u64(chained);

        ret[i] = walk_chain(walk, i, start ? start[i] : 0);
    }
    if (missed != 0)
        search_misses(walk, missed, start, ret);
}

uint64_t
nsp_flow_cache_settled(const struct nsp_flow_cache_walk *walk, uint32_t n)
{
    uint64_t settled = ~walk->missed & UINT64_MAX >> (NSP_BURST_MAX - n);

    for (uint64_t rest = walk->chained; rest != 0; rest &= rest - 1) {
        uint32_t i = nsp_ctz_u64(rest);

        if (walk->cache->chains[walk->values[i]].answer == ASK)
            settled &= ~(UINT64_C(1) << i);
    }
    return settled;
}
