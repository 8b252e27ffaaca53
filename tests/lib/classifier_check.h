#ifndef NSP_TESTS_LIB_CLASSIFIER_CHECK_H
#define NSP_TESTS_LIB_CLASSIFIER_CHECK_H
#include "base/prng.h"
#include "netshaper/policy.h"
#include "policy/classifier.h"
#include "tests/lib/filter.h"

/* The classifier against the evaluator: rule by rule, packet by packet. */

#define RULES_MAX 4096

/* A policy, its packets, and the reference. */
struct policy {
    struct nsp_classifier_rule rules[RULES_MAX];
    uint32_t count;
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    uint32_t pkt_count;
    const struct nsp_filter_options *options; /* NULL: no named sets. */
};

static const struct nsp_filter_context context = { .random_seed = 7,
                                                   .timestamp = 12345 };

static inline void
add_rule(struct policy *policy, const char *text, uint8_t apply, bool enabled)
{
    struct nsp_filter *filter = NULL;
    struct nsp_diag diag = { 0 };

    CHECK(policy->count < RULES_MAX);
    if (text &&
        nsp_filter_compile_with(text, NSP_LAYER_NETWORK, policy->options, NULL,
                                &filter, &diag) != NSP_OK)
        fail_msg("%s: %s", text, diag.text);
    policy->rules[policy->count++] =
        (struct nsp_classifier_rule){ filter, apply, enabled };
}

static inline void
add(struct policy *policy, const char *text)
{
    add_rule(policy, text, NSP_APPLY_BOTH, true);
}

static inline void
forget(struct policy *policy)
{
    for (uint32_t r = 0; r < policy->count; r++) {
        struct nsp_filter *filter = NULL;

        memcpy(&filter, &policy->rules[r].filter, sizeof filter);
        nsp_filter_destroy(filter);
    }
    policy->count = 0;
}

static inline bool
applies(uint8_t apply, uint8_t direction)
{
    return apply == NSP_APPLY_BOTH ||
           (apply == NSP_APPLY_INBOUND && direction == NSP_INBOUND) ||
           (apply == NSP_APPLY_OUTBOUND && direction == NSP_OUTBOUND);
}

static inline uint32_t
reference(const struct policy *policy, const struct nsp_pkt *pkt,
          uint32_t start)
{
    for (uint32_t r = start; r < policy->count; r++) {
        const struct nsp_classifier_rule *rule = &policy->rules[r];

        if (rule->enabled && applies(rule->apply, pkt->direction) &&
            (!rule->filter || nsp_filter_match(rule->filter, pkt, &context)))
            return r;
    }
    return NSP_CLASSIFIER_NONE;
}

/* Follows every packet from match to match to the end. */
static inline void
check_walk(const struct policy *policy, const struct nsp_classifier *c,
           const char *what)
{
    struct nsp_classifier_walk walk;
    uint32_t start[NSP_BURST_MAX] = { 0 }, found[NSP_BURST_MAX];
    uint64_t open = UINT64_MAX >> (64 - policy->pkt_count);

    nsp_classifier_begin(c, policy->pkts, policy->pkt_count, &context, &walk);
    nsp_classifier_next(&walk, open, NULL, found);
    while (open != 0) {
        uint64_t going = open;

        for (; going != 0; going &= going - 1) {
            uint32_t i = nsp_ctz_u64(going);
            uint32_t expected = reference(policy, policy->pkts[i], start[i]);

            if (found[i] != expected)
                fail_msg("%s: packet %u from rule %u: %d, not %d", what, i,
                         start[i], (int)found[i], (int)expected);
            start[i] = expected + 1;
            if (expected == NSP_CLASSIFIER_NONE)
                open &= ~(UINT64_C(1) << i);
        }
        if (open != 0)
            nsp_classifier_next(&walk, open, start, found);
    }
}

/* Requires the answers of all instructions that this processor has. */
static inline void
check_policy(const struct policy *policy, struct nsp_classifier_limits limits,
             struct nsp_classifier_info *ret_info)
{
    for (int i = NSP_INSTRUCTIONS_PLAIN; i < NSP_INSTRUCTIONS_COUNT; i++) {
        struct nsp_classifier_options options = {
            .limits = limits, .instructions = (enum nsp_instructions)i
        };
        struct nsp_classifier_info info;
        struct nsp_classifier *c;

        if (!nsp_classifier_can_use(options.instructions))
            continue;
        CHECK_EQ(nsp_classifier_create(policy->rules, policy->count, &options,
                                       &nsp_libc_allocator, &c),
                 0);
        nsp_classifier_get_info(c, &info);
        check_walk(policy, c, info.instructions);
        nsp_classifier_destroy(c);
        if (ret_info)
            *ret_info = info;
    }
}

static const struct nsp_classifier_limits usual_limits;

/* --- Packets -------------------------------------------------------------- */

/* Every sample in every direction, as many as fit a burst. */
static inline void
take_samples(struct policy *policy)
{
    static struct sample samples[NSP_BURST_MAX];

    policy->pkt_count = 0;
    for (unsigned i = 0; i < 3 * SAMPLES && i < NSP_BURST_MAX; i++) {
        sample_init(&samples[i], i % SAMPLES,
                    (enum nsp_direction)(i / SAMPLES));
        policy->pkts[policy->pkt_count++] = &samples[i].pkt;
    }
}

/* A TCP segment with the numbers given. */
struct segment {
    struct nsp_pkt pkt;
    uint8_t bytes[60];
};

static inline void
make_segment(struct segment *s, uint32_t src, uint16_t port)
{
    static const uint8_t model[40] = { 0x45, 0, 0, 40, [9] = 6, [32] = 0x50 };

    memset(s, 0, sizeof *s);
    memcpy(s->bytes, model, sizeof model);
    nsp_store_be32(s->bytes + 12, src);
    nsp_store_be16(s->bytes + 22, port);
    s->pkt.data = s->bytes;
    s->pkt.cap_bytes = s->pkt.wire_bytes = sizeof model;
    nsp_pkt_parse(&s->pkt);
}

/* A random address of a few networks, so that prefixes nest and touch. */
static inline uint32_t
near_address(struct nsp_prng *prng)
{
    uint64_t x = nsp_prng_next(prng);

    return (uint32_t)(x % 3 == 0 ? x >> 32 : 0x0a000000 | (x >> 40 & 0xff3ff));
}

#endif /* NSP_TESTS_LIB_CLASSIFIER_CHECK_H */
