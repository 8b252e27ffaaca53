#ifndef TESTS_LIB_DRAWS_H
#define TESTS_LIB_DRAWS_H
#include "base/prng.h"

/* Undoes x ^ x >> shift. */
static inline uint64_t
unshift(uint64_t y, unsigned shift)
{
    uint64_t x = y;

    for (unsigned done = shift; done < 64; done += shift)
        x = y ^ x >> shift;
    return x;
}

/* What 'odd' times it is 1, by Newton's method: each step doubles the bits that
 * are right, of which there are three at first. */
static inline uint64_t
inverse(uint64_t odd)
{
    uint64_t x = odd;

    for (int bits = 3; bits < 64; bits *= 2)
        x *= 2 - odd * x;
    return x;
}

/* A generator whose next number is 'draw'. */
static inline struct nsp_prng
about_to_draw(uint64_t draw)
{
    uint64_t x = unshift(draw, 31) * inverse(UINT64_C(0x94d049bb133111eb));

    x = unshift(x, 27) * inverse(UINT64_C(0xbf58476d1ce4e5b9));
    return (struct nsp_prng){ unshift(x, 30) - NSP_PRNG_STEP };
}

#endif /* TESTS_LIB_DRAWS_H */
