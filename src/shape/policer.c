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

/* What fills in 'units' at 'rate', but no more than a century: a bucket that
 * takes longer is as good as one that does not. */
static uint64_t
burst_time(uint64_t units, uint64_t rate)
{
    return units / rate > UINT32_MAX ? UINT32_MAX * NSP_NS_PER_SECOND
                                     : time_of_units(units, rate);
}

/* Bits or packets. */
static uint64_t
burst_units(const struct nsp_limit *limit)
{
    assert(limit->unit != NSP_LIMIT_NONE && limit->rate > 0);
    return limit->burst * (limit->unit == NSP_LIMIT_BITPS ? 8u : 1u);
}

static uint64_t
cost_units(const struct nsp_limit *limit, uint32_t bytes)
{
    return limit->unit == NSP_LIMIT_BITPS
               ? UINT64_C(8) * nsp_min_u32(bytes, COST_BYTES_MAX)
               : 1;
}

static void
set_limit(struct nsp_policer *policer, const struct nsp_limit *limit)
{
    policer->limit = *limit;
    policer->remainder = 0;
    policer->burst_ns = burst_time(burst_units(limit), limit->rate);
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
    uint64_t cost = cost_units(limit, bytes) * NSP_NS_PER_SECOND;
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

/* --- Shared -------------------------------------------------------------- */

#define QUANTA_PER_SHARE 8u

/* Times of as many bits are within 64 bits. */
#define QUANTUM_MAX (UINT64_C(1) << 33)

static void
set_lease(struct nsp_lease *lease, const struct nsp_limit *limit,
          uint32_t sharers)
{
    uint64_t units = burst_units(limit);

    lease->limit = *limit;
    lease->remainder = 0;
    lease->left = 0;
    lease->quantum =
        sharers == 0
            ? 0
            : nsp_min_u64(units / sharers / QUANTA_PER_SHARE, QUANTUM_MAX);
    /* What is out on lease may all be used at once. */
    lease->burst_ns = burst_time(units - lease->quantum * sharers, limit->rate);
}

/* Takes 'units' out of 'bucket', if it has them. */
static bool
take(struct nsp_lease *lease, struct nsp_shared_bucket *bucket, uint64_t units,
     uint64_t now_ns)
{
    uint64_t cost = lease->remainder + units * NSP_NS_PER_SECOND;
    uint64_t before_ns =
        atomic_load_explicit(&bucket->full_ns, memory_order_relaxed);
    uint64_t full_ns;

    do {
        full_ns = nsp_max_u64(before_ns, now_ns) + cost / lease->limit.rate;
        /* Another thread's clock reading may be a little ahead. */
        if (full_ns - now_ns > lease->burst_ns)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(
        &bucket->full_ns, &before_ns, full_ns, memory_order_relaxed,
        memory_order_relaxed));
    lease->remainder = cost % lease->limit.rate;
    lease->left += units;
    return true;
}

bool
nsp_lease_conforms(struct nsp_lease *lease, struct nsp_shared_bucket *bucket,
                   const struct nsp_limit *limit, uint32_t sharers,
                   uint64_t now_ns, uint32_t bytes)
{
    uint64_t cost = cost_units(limit, bytes);

    if (!limits_equal(&lease->limit, limit))
        set_lease(lease, limit, sharers);
    if (lease->left < cost &&
        (cost - lease->left > lease->quantum ||
         !take(lease, bucket, lease->quantum, now_ns)) &&
        !take(lease, bucket, cost - lease->left, now_ns))
        return false;
    lease->left -= cost;
    return true;
}

/* --- For others ----------------------------------------------------------- */

#define COST_SHIFT_MAX 23u
#define UNIT_COST_MAX  (UINT64_C(1) << 43)

void
nsp_limit_price(const struct nsp_limit *limit, uint64_t *ret_unit_cost,
                uint8_t *ret_shift, uint64_t *ret_burst_ns)
{
    uint64_t units = limit->unit == NSP_LIMIT_BITPS ? 8 : 1;
    uint64_t whole = units * NSP_NS_PER_SECOND / limit->rate;
    uint64_t rest = units * NSP_NS_PER_SECOND % limit->rate;
    uint8_t shift = COST_SHIFT_MAX;

    while (whole >= UNIT_COST_MAX >> shift)
        shift--;
    *ret_unit_cost = (whole << shift) + (rest << shift) / limit->rate;
    *ret_shift = shift;
    *ret_burst_ns = burst_time(burst_units(limit), limit->rate);
}
