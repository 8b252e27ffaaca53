#include "shape/policer.h"

/* Keeps a cost within 64 bits. No packet is as long; only a capture file can
 * claim it. */
#define COST_BYTES_MAX UINT32_C(0x7fffffff)

/* units * 10^9 / rate, in two steps that do not overflow: what is left of the
 * units is below the rate, which is at most 10^12. */
static uint64_t
time_of_units(uint64_t units, uint64_t rate)
{
    uint64_t seconds = units / rate;
    uint64_t millionths = units % rate * 1000000u;

    return seconds * NSP_NS_PER_SECOND + millionths / rate * 1000u +
           millionths % rate * 1000u / rate;
}

static void
set_limit(struct nsp_policer *policer, const struct nsp_limit *limit)
{
    uint64_t units = limit->burst * (limit->unit == NSP_LIMIT_BITPS ? 8u : 1u);

    assert(limit->unit != NSP_LIMIT_NONE && limit->rate > 0);
    policer->limit = *limit;
    policer->remainder = 0;
    /* A bucket that takes centuries to fill is as good as one of a century. */
    policer->burst_ns = units / limit->rate > UINT32_MAX
                            ? UINT32_MAX * NSP_NS_PER_SECOND
                            : time_of_units(units, limit->rate);
}

static bool
limits_equal(const struct nsp_limit *a, const struct nsp_limit *b)
{
    return a->rate == b->rate && a->burst == b->burst && a->unit == b->unit;
}

bool
nsp_policer_conforms(struct nsp_policer *policer, const struct nsp_limit *limit,
                     uint64_t now_ns, uint32_t bytes)
{
    bool counts_bits = limit->unit == NSP_LIMIT_BITPS;
    uint64_t cost =
        (counts_bits ? UINT64_C(8) * nsp_min_u32(bytes, COST_BYTES_MAX) : 1) *
        NSP_NS_PER_SECOND;
    uint64_t full_ns, remainder;

    if (!limits_equal(&policer->limit, limit))
        set_limit(policer, limit);
    full_ns = policer->full_ns;
    remainder = policer->remainder;
    if (full_ns < now_ns) {
        full_ns = now_ns;
        remainder = 0;
    }
    remainder += cost;
    full_ns += remainder / limit->rate;
    remainder %= limit->rate;
    if (full_ns - now_ns > policer->burst_ns)
        return false;
    policer->full_ns = full_ns;
    policer->remainder = remainder;
    return true;
}
