#ifndef NSP_BASE_PRNG_H
#define NSP_BASE_PRNG_H
#include "base/base.h"

/* A stream of pseudo-random numbers: xoshiro256++ (Blackman and Vigna,
 * "Scrambled linear pseudorandom number generators", 2021), seeded through
 * SplitMix64 (Steele, Lea and Flood, 2014). Not for secrets. One owner. */
struct nsp_prng {
    uint64_t state[4];
};

/* One step of SplitMix64's mixing function: a bijection whose output looks
 * random even for consecutive inputs. */
static inline uint64_t
nsp_mix64(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Starts stream number 'stream' of 'seed'. Streams of one seed are independent
 * for all practical purposes: their states are hashes of both numbers. */
static inline void
nsp_prng_init(struct nsp_prng *prng, uint64_t seed, uint64_t stream)
{
    uint64_t x = nsp_mix64(seed) ^ nsp_mix64(~stream);

    for (int i = 0; i < 4; i++)
        prng->state[i] =
            nsp_mix64(x + (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15));
}

static inline uint64_t
nsp_rotl64(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

static inline uint64_t
nsp_prng_next(struct nsp_prng *prng)
{
    uint64_t *s = prng->state;
    uint64_t result = nsp_rotl64(s[0] + s[3], 23) + s[0];
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = nsp_rotl64(s[3], 45);
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
