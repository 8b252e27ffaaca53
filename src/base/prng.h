#ifndef NSP_BASE_PRNG_H
#define NSP_BASE_PRNG_H
#include "base/base.h"

/* A stream of pseudo-random numbers: SplitMix64 (Steele, Lea and Flood, "Fast
 * splittable pseudorandom number generators", 2014). To begin one takes two
 * mixing steps, as each packet has its own. Not for secrets. One owner. */
struct nsp_prng {
    uint64_t state;
};

#define NSP_PRNG_STEP UINT64_C(0x9e3779b97f4a7c15)

/* One step of SplitMix64's mixing function: a bijection whose output looks
 * random even for consecutive inputs. */
static inline uint64_t
nsp_mix64(uint64_t x)
{
    x += NSP_PRNG_STEP;
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Starts stream number 'stream' of 'seed'. Streams of one seed are independent
 * for all practical purposes: each begins at a hash of both numbers, somewhere
 * in a sequence of 2^64. */
static inline void
nsp_prng_init(struct nsp_prng *prng, uint64_t seed, uint64_t stream)
{
    prng->state = nsp_mix64(seed) ^ nsp_mix64(~stream);
}

static inline uint64_t
nsp_prng_next(struct nsp_prng *prng)
{
    uint64_t result = nsp_mix64(prng->state);

    prng->state += NSP_PRNG_STEP;
    return result;
}

/* A number below 'n' > 0, each as likely as any other but for less than one
 * part in 2^32. */
static inline uint32_t
nsp_prng_below(struct nsp_prng *prng, uint32_t n)
{
    uint64_t draw = nsp_prng_next(prng);

    return (uint32_t)(((draw >> 32) * n + ((draw & UINT32_MAX) * n >> 32)) >>
                      32);
}

#endif /* NSP_BASE_PRNG_H */
