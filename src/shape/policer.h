#ifndef NSP_SHAPE_POLICER_H
#define NSP_SHAPE_POLICER_H
#include <stdatomic.h>

#include "base/base.h"
#include "netshaper/policy.h"

/* A policer: tells which packets come faster than a rate allows.
 *
 * In any interval of T seconds at most
 *
 *     rate * T + burst
 *
 * conforms, in bits or packets. It is the virtual scheduling form of a token
 * bucket (ITU-T I.371's GCRA): 'full_ns' is when the bucket will be full again,
 * and a packet of cost L conforms if that is at most burst / rate ahead once
 * L / rate is added. Remainders are carried, so the rate is exact.
 *
 * Threads  One worker owns a policer; all zero at first: full.
 * Cost     A division for each packet; no allocation. */
struct nsp_policer {
    struct nsp_limit limit; /* That the rest belongs to. */
    uint64_t burst_ns;      /* burst / rate, rounded down. */
    uint64_t full_ns;
    uint64_t remainder; /* Of full_ns, in parts of 1 / rate of a ns. */
};

/* Whether a packet of 'bytes' conforms at 'now_ns', which does not go
 * backwards; if so, it is charged. 'limit' has a unit and a burst; when it
 * changes, the bucket stays as far from full, in time, as it was. */
bool nsp_policer_conforms(struct nsp_policer *policer,
                          const struct nsp_limit *limit, uint64_t now_ns,
                          uint32_t bytes);

/* --- Shared by several threads --------------------------------------------
 *
 * The same bucket for several threads, each of which takes more out of it than
 * one packet needs, and polices from what it took: so they rarely meet at the
 * one word that they share. Each takes an eighth of its share of the burst at a
 * time, or one packet where that is less. The whole conforms to
 *
 *     rate * T + burst
 *
 * as above; a thread alone gets at least seven eighths of the burst.
 *
 * Threads  Any number use a bucket; each has a lease of its own. Lock-free.
 * Cost     Mostly a subtraction; else one compare-and-swap. */
struct nsp_shared_bucket {
    _Atomic uint64_t full_ns; /* When it will be full again. 0 at first. */
};

struct nsp_lease {
    struct nsp_limit limit; /* That the rest belongs to. */
    uint64_t burst_ns;      /* Of the bucket alone. */
    uint64_t quantum;       /* Taken at a time, in bits or packets. */
    uint64_t left;          /* Of what was taken. */
    uint64_t remainder;     /* Of the time taken, in parts of 1 / rate ns. */
};

/* Like nsp_policer_conforms(), for one of 'sharers' threads; 0 where others
 * than threads with leases take from the bucket: each packet then pays for
 * itself alone, and there is all of the burst for it. */
bool nsp_lease_conforms(struct nsp_lease *lease,
                        struct nsp_shared_bucket *bucket,
                        const struct nsp_limit *limit, uint32_t sharers,
                        uint64_t now_ns, uint32_t bytes);

/* What others need to take from the bucket of 'limit' by rules of their own:
 * the time that a byte or packet costs, in ns << '*ret_shift', and the burst's.
 * The cost of 2^20 bytes is within 63 bits. */
void nsp_limit_price(const struct nsp_limit *limit, uint64_t *ret_unit_cost,
                     uint8_t *ret_shift, uint64_t *ret_burst_ns);

#endif /* NSP_SHAPE_POLICER_H */
