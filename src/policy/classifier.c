#include "policy/classifier.h"

#include <errno.h>

#include "policy/classifier_build.h"

#if defined(__GNUC__) && defined(__x86_64__)
#include "policy/x86/lookup_x86.h"
#define FIND_VECTORISED(instructions) nsp_lookup_find_x86(instructions)
#else
#define FIND_VECTORISED(instructions) NULL
#endif

/* --- Instructions --------------------------------------------------------- */

const struct nsp_lookup_ops *
nsp_lookup_find(enum nsp_instructions instructions)
{
    if (instructions == NSP_INSTRUCTIONS_PLAIN)
        return &nsp_lookup_plain;
    return FIND_VECTORISED(instructions);
}

/* The last that this processor has. */
static const struct nsp_lookup_ops *
find_best(void)
{
    const struct nsp_lookup_ops *best = NULL;

    for (int i = NSP_INSTRUCTIONS_COUNT - 1; i > 0 && !best; i--)
        best = nsp_lookup_find((enum nsp_instructions)i);
    return best;
}

bool
nsp_classifier_can_use(enum nsp_instructions instructions)
{
    return instructions == NSP_INSTRUCTIONS_BEST ||
           nsp_lookup_find(instructions) != NULL;
}

/* --- Life ----------------------------------------------------------------- */

static struct nsp_classifier_limits
limits_or_usual(const struct nsp_classifier_limits *given)
{
    struct nsp_classifier_limits limits = *given;

    if (limits.bytes_max == 0)
        limits.bytes_max = (size_t)16 << 20;
    if (limits.steps_max == 0)
        limits.steps_max = UINT64_C(1) << 26;
    if (limits.ranges_max == 0)
        limits.ranges_max = UINT32_C(1) << 21;
    return limits;
}

int
nsp_classifier_create(const struct nsp_classifier_rule rules[], uint32_t count,
                      const struct nsp_classifier_options *options,
                      const struct nsp_allocator *allocator,
                      struct nsp_classifier **ret)
{
    static const struct nsp_classifier_options usual;
    const struct nsp_lookup_ops *ops;
    struct nsp_classifier *c;
    struct nsp_classifier_limits limits;
    int r;

    if (!options)
        options = &usual;
    if (count > NSP_CLASSIFIER_CUBES_MAX)
        return -E2BIG;
    ops = options->instructions == NSP_INSTRUCTIONS_BEST
              ? find_best()
              : nsp_lookup_find(options->instructions);
    if (!ops)
        return -ENOTSUP;
    c = nsp_alloc(allocator, 1, sizeof *c);
    if (!c)
        return -ENOMEM;
    c->allocator = *allocator;
    c->rule_count = count;
    c->candidates = options->candidates;
    c->ops = ops;
    limits = limits_or_usual(&options->limits);
    r = nsp_classifier_build(c, rules, &limits);
    if (r != 0) {
        nsp_classifier_destroy(c);
        return r;
    }
    *ret = c;
    return 0;
}

struct nsp_classifier *
nsp_classifier_destroy(struct nsp_classifier *c)
{
    struct nsp_allocator memory;

    if (!c)
        return NULL;
    memory = c->allocator;
    for (uint32_t i = 0; i < NSP_CLASSIFIER_COLUMNS_MAX; i++)
        nsp_class_index_fini(&c->columns[i], &memory);
    for (uint32_t i = 0; i < NSP_DIRECTIONS; i++)
        nsp_release(&memory, c->open[i].rules);
    nsp_release(&memory, c->cube_rules);
    nsp_release(&memory, c->first_cubes);
    nsp_release(&memory, c->rules);
    nsp_release(&memory, c->widening);
    nsp_release(&memory, c);
    return NULL;
}

/* --- Lookup --------------------------------------------------------------- */

static bool
is_unusable(const struct nsp_pkt *pkt)
{
    return pkt->l3 == NSP_L3_NONE && (pkt->flags & NSP_PKT_MALFORMED) != 0;
}

void
nsp_classifier_begin(const struct nsp_classifier *classifier,
                     struct nsp_pkt *const pkts[], uint32_t n,
                     const struct nsp_filter_context *context,
                     struct nsp_classifier_walk *walk)
{
    assert(n <= NSP_BURST_MAX);
    walk->classifier = classifier;
    walk->pkts = pkts;
    walk->context = context;
    walk->count = n;
    walk->unusable = 0;
    for (uint32_t i = 0; i < n; i++)
        walk->unusable |= (uint64_t)is_unusable(pkts[i]) << i;
    if (classifier->column_count > 0)
        classifier->ops->begin(walk);
}

/* The first open rule for packets of 'direction' that is not before 'start'. */
static uint32_t
next_open_rule(const struct nsp_classifier *c, uint32_t direction,
               uint32_t start)
{
    const struct nsp_open_rules *open = &c->open[direction];
    uint32_t lo = 0, hi = open->count;

    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;

        if (open->rules[mid] < start)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < open->count ? open->rules[lo] : NSP_CLASSIFIER_NONE;
}

void
nsp_classifier_next(const struct nsp_classifier_walk *walk, uint64_t mask,
                    const uint32_t start[], uint32_t ret[])
{
    const struct nsp_classifier *c = walk->classifier;
    uint64_t unusable = mask & walk->unusable;

    for (; nsp_unlikely(unusable != 0); unusable &= unusable - 1) {
        uint32_t i = nsp_ctz_u64(unusable);

        ret[i] =
            next_open_rule(c, walk->pkts[i]->direction, start ? start[i] : 0);
    }
    mask &= ~walk->unusable;
    if (c->column_count > 0) {
        c->ops->next(walk, mask, start, ret);
        return;
    }
    for (; mask != 0; mask &= mask - 1)
        ret[nsp_ctz_u64(mask)] = NSP_CLASSIFIER_NONE;
}

/* --- What became of the rules --------------------------------------------- */

void
nsp_classifier_get_info(const struct nsp_classifier *c,
                        struct nsp_classifier_info *ret)
{
    struct nsp_classifier_info info = {
        .instructions = c->ops->name,
        .cubes = c->cube_count,
        .columns = c->column_count,
        .bytes = sizeof *c + c->cube_count * sizeof c->cube_rules[0] +
                 (c->rule_count + (size_t)1) *
                     (sizeof c->first_cubes[0] + sizeof c->rules[0] +
                      sizeof c->widening[0]),
    };

    for (uint32_t i = 0; i < NSP_DIRECTIONS; i++)
        info.bytes += c->open[i].count * sizeof c->open[i].rules[0];
    for (uint32_t i = 0; i < c->column_count; i++) {
        info.classes += c->columns[i].class_count;
        info.blocks += c->columns[i].block_count;
        info.bytes += c->columns[i].bytes;
    }
    for (uint32_t r = 0; r < c->rule_count; r++) {
        info.marked_rules += c->widening[r] != 0;
        info.widened_rules += (c->widening[r] & ~NSP_WIDENED_TEST) != 0;
    }
    *ret = info;
}

unsigned
nsp_classifier_widening(const struct nsp_classifier *c, uint32_t index)
{
    assert(index < c->rule_count);
    return c->widening[index];
}
