#ifndef NSP_IMPAIR_DELAY_H
#define NSP_IMPAIR_DELAY_H
#include "base/memory.h"
#include "base/prng.h"
#include "netshaper/impair.h"

/* How long each packet is delayed. A rule holds one nsp_delay; every stream of
 * packets that is to be independent has an nsp_delay_state, all zero at first,
 * and a stream of random numbers.
 *
 * Correlation  A normal z_t = rho z_(t-1) + sqrt(1 - rho^2) e_t goes through
 * its distribution to u = Phi(z_t), and u through the inverse of the delay's:
 *     the delays have exactly the distribution asked, whatever rho. rho is the
 *     correlation of the z of neighbouring packets; that of the ranks of their
 *     delays is 6 / pi asin(rho / 2), which is within 0.02 of it.
 * Below zero   A delay that would be negative is 0. nsp_delay_read_facts()
 *     says what mean and deviation remain, and how many packets it meets.
 * Order        Packets whose delays differ overtake each other. With keep_order
 *     a packet leaves at max(last departure, now + delay) instead: none leaves
 *     earlier than its delay says, and where packets come faster than delays
 *     vary, most leave later. How much depends on their rate, so it can only be
 *     measured.
 * Exactness    The distribution differs from the one asked by less than 2 10^-4
 *     in probability anywhere and, to a mean of 1 hour, by less than 10^-4 of
 *     its deviation. For one seed it is the same on every machine.
 *
 * Units    _ns; _ppm, below NSP_PPM_ONE.
 * Threads  A delay is immutable once made; a state and a generator have one
 *          owner.
 * Cost     At most one number of the generator for each packet, whatever it was
 *          before; below 20 ns. No allocation after init: up to 21 KiB beside a
 *          table or trace. */

struct nsp_delay {
    uint8_t kind;
    bool keep_order;
    bool draws_normal; /* Each packet draws a normal number. */
    int64_t rho, rest; /* Of 2^30: rho and sqrt(1 - rho^2). */
    int64_t mean_ns, spread_ns;
    int64_t *delays; /* At the points of impair/normal.h, below the mean and
                      * above it; NULL where the next three are used. */
    int32_t *normal_points; /* impair/normal.h; NULL when nothing is normal. */
    int64_t *curve;         /* By z: the delay or, of uniform delays and
                             * tables, Phi(z) in units of 2^-32. */
    int16_t *table;         /* Ascending. */
    uint64_t *trace_ns;
    uint32_t count; /* Of table or trace. */
    uint64_t trace_step_ns;
    struct nsp_allocator allocator;
};

/* What one stream of packets has met; all zero at first. */
struct nsp_delay_state {
    uint64_t departed_ns; /* The last with keep_order. */
    uint64_t begun_ns;
    int32_t z; /* The last, of 2^-26. */
    uint32_t index;
    bool begun;
};

/* What a delay really is, with the negative part at 0 and before keep_order. */
struct nsp_delay_facts {
    uint64_t mean_ns, sd_ns;
    uint32_t clamped_ppm; /* Packets whose delay would be negative. */
};

/* What is wrong with 'cfg', NULL when nothing is. Static storage. */
const char *nsp_delay_fault(const struct nsp_delay_config *cfg);

/* Returns 0, -EINVAL where nsp_delay_fault() finds one, or -ENOMEM. 'allocator'
 * may be NULL: the C library's. Cost: a millisecond. */
int nsp_delay_init(struct nsp_delay *delay, const struct nsp_delay_config *cfg,
                   const struct nsp_allocator *allocator) NSP_MUSTCHECK;
void nsp_delay_fini(struct nsp_delay *delay);

/* Whether all packets are delayed by 'mean_ns' and nothing has to be asked:
 * then none overtakes another anyway. */
static inline bool
nsp_delay_is_constant(const struct nsp_delay *delay)
{
    return delay->kind == NSP_DELAY_CONSTANT;
}

/* When the packet that comes at 'now_ns' leaves; not before 'now_ns'. */
uint64_t nsp_delay_depart_ns(const struct nsp_delay *delay,
                             struct nsp_delay_state *state, uint64_t now_ns,
                             struct nsp_prng *random);

/* Cost: one pass over the tables. */
void nsp_delay_read_facts(const struct nsp_delay *delay,
                          struct nsp_delay_facts *ret);

#endif /* NSP_IMPAIR_DELAY_H */
