#ifndef NSP_IMPAIR_CHANCE_H
#define NSP_IMPAIR_CHANCE_H
#include "base/prng.h"

/* An event that befalls packets with a probability, and is as much alike from
 * one packet to the next as asked: a chain of two states,
 *
 *     P(hit | hit)  = rho + (1 - rho) p
 *     P(hit | miss) = (1 - rho) p
 *
 * whose first packet is hit with p. So every packet is hit with exactly p,
 * whatever rho; the correlation of packets k apart is rho^k, and hits come in
 * runs of 1 / ((1 - rho) (1 - p)) on average. (Mixing each draw with the one
 * before it, as netem does, keeps neither p nor rho.)
 *
 * Every effect that has a chance uses this, so "loss 1 %" and "duplicate 1 %"
 * mean the same. Probabilities come in ppm and are kept in 63 bits, rounded
 * down by less than 2^-63.
 *
 * State    The caller keeps a uint8_t for each stream of packets, 0 at first.
 * Threads  A chance is immutable; a state has one owner.
 * Cost     One number for each packet, whatever the probability: so the same
 *          packets meet the same numbers when a probability is changed. */
struct nsp_chance {
    uint64_t below[3]; /* Hit when a draw is below: at first, after a miss,
                        * after a hit. */
};

#define NSP_CHANCE_SURE (UINT64_C(1) << 63)

/* 'num' / 'den' of NSP_CHANCE_SURE, rounded down; num <= den < 2^63, den > 0.
 */
uint64_t nsp_chance_ratio(uint64_t num, uint64_t den);

/* What is wrong with the two, NULL when nothing is. Static storage. */
const char *nsp_chance_fault(uint32_t ppm, uint32_t correlation_ppm);

/* 'ppm' 0..NSP_PPM_ONE, 'correlation_ppm' below NSP_PPM_ONE. Returns 0 or
 * -EINVAL. */
int nsp_chance_init(struct nsp_chance *chance, uint32_t ppm,
                    uint32_t correlation_ppm) NSP_MUSTCHECK;

/* A number that is below 'threshold' with probability threshold / 2^63. */
static inline uint64_t
nsp_chance_draw(struct nsp_prng *random)
{
    return nsp_prng_next(random) >> 1;
}

static inline bool
nsp_chance_decide(const struct nsp_chance *chance, uint8_t *state,
                  struct nsp_prng *random)
{
    bool hit = nsp_chance_draw(random) < chance->below[*state];

    *state = (uint8_t)(1 + hit);
    return hit;
}

#endif /* NSP_IMPAIR_CHANCE_H */
