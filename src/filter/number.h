#ifndef NSP_FILTER_NUMBER_H
#define NSP_FILTER_NUMBER_H
#include "base/base.h"

/* The language's numbers: 128-bit magnitudes with a sign. Addresses are numbers
 * too, IPv4 ones as ::ffff:a.b.c.d. C11 has no such type. */
struct nsp_u128 {
    uint64_t hi, lo;
};

struct nsp_number {
    struct nsp_u128 magnitude;
    bool negative; /* Never with a zero magnitude. */
};

/* An inclusive range of values. */
struct nsp_range {
    struct nsp_u128 lo, hi;
};

#define NSP_U128_MAX   ((struct nsp_u128){ UINT64_MAX, UINT64_MAX })
#define NSP_IPV4_FIRST UINT64_C(0xffff00000000) /* ::ffff:0.0.0.0 */

static inline struct nsp_u128
nsp_u128(uint64_t lo)
{
    return (struct nsp_u128){ 0, lo };
}

static inline bool
nsp_u128_less(struct nsp_u128 a, struct nsp_u128 b)
{
    return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo);
}

static inline bool
nsp_u128_equal(struct nsp_u128 a, struct nsp_u128 b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

/* Sum and difference modulo 2^128. */
static inline struct nsp_u128
nsp_u128_add(struct nsp_u128 a, struct nsp_u128 b)
{
    uint64_t lo = a.lo + b.lo;

    return (struct nsp_u128){ a.hi + b.hi + (lo < a.lo), lo };
}

static inline struct nsp_u128
nsp_u128_sub(struct nsp_u128 a, struct nsp_u128 b)
{
    return (struct nsp_u128){ a.hi - b.hi - (a.lo < b.lo), a.lo - b.lo };
}

static inline bool
nsp_u128_is_zero(struct nsp_u128 a)
{
    return (a.hi | a.lo) == 0;
}

/* The number as two's complement modulo 2^128: differences of such values are
 * right even across zero. */
static inline struct nsp_u128
nsp_number_wrap(struct nsp_number n)
{
    return n.negative ? nsp_u128_sub(nsp_u128(0), n.magnitude) : n.magnitude;
}

static inline bool
nsp_number_less(struct nsp_number a, struct nsp_number b)
{
    if (a.negative != b.negative)
        return a.negative;
    return a.negative ? nsp_u128_less(b.magnitude, a.magnitude)
                      : nsp_u128_less(a.magnitude, b.magnitude);
}

#endif /* NSP_FILTER_NUMBER_H */
