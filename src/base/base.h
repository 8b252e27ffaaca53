#ifndef NSP_BASE_BASE_H
#define NSP_BASE_BASE_H
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "netshaper/api.h"

/* What every layer may use. Knows nothing of packets. */

#define NSP_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The object of 'type' whose 'member' is at 'ptr'. */
#define NSP_CONTAINER_OF(ptr, type, member)                                    \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define NSP_CACHE_LINE    64
#define NSP_NS_PER_SECOND UINT64_C(1000000000)

#if defined(__GNUC__)
#define nsp_likely(x)        __builtin_expect(!!(x), 1)
#define nsp_unlikely(x)      __builtin_expect(!!(x), 0)
#define NSP_ALWAYS_INLINE    inline __attribute__((always_inline))
#define NSP_NEVER_INLINE     __attribute__((noinline))
#define NSP_PRINTF(fmt, arg) __attribute__((format(printf, fmt, arg)))
#define nsp_prefetch(p)      __builtin_prefetch(p)
#else
#define nsp_likely(x)     (x)
#define nsp_unlikely(x)   (x)
#define NSP_ALWAYS_INLINE inline
#define NSP_NEVER_INLINE
#define NSP_PRINTF(fmt, arg)
#define nsp_prefetch(p) ((void)(p))
#endif

static inline uint32_t
nsp_min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline uint32_t
nsp_max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static inline uint64_t
nsp_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t
nsp_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Sum that stops at UINT64_MAX, so that "never" plus anything is never. */
static inline uint64_t
nsp_add_sat_u64(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Number of zero bits below the lowest set bit; 'x' is not 0. */
static inline uint32_t
nsp_ctz_u64(uint64_t x)
{
#if defined(__GNUC__)
    return (uint32_t)__builtin_ctzll(x);
#else
    uint32_t n = 0;

    for (uint32_t step = 32; step > 0; step /= 2) {
        if (x << (64 - step) == 0) {
            x >>= step;
            n += step;
        }
    }
    return n;
#endif
}

/* The set of the eight items of 'v' that are 'x': bit i for item i. */
static inline uint32_t
nsp_equal_u16x8(const uint16_t v[8], uint16_t x)
{
    const uint64_t low_bits = UINT64_C(0x7fff7fff7fff7fff);
    /* Brings bit 16 i to bit 48 + i, and nothing else above bit 47. */
    const uint64_t gather = UINT64_C(0x0001000200040008);
    uint64_t all = UINT64_C(0x0001000100010001) * x;
    uint64_t a = all ^ ((uint64_t)v[0] | (uint64_t)v[1] << 16 |
                        (uint64_t)v[2] << 32 | (uint64_t)v[3] << 48);
    uint64_t b = all ^ ((uint64_t)v[4] | (uint64_t)v[5] << 16 |
                        (uint64_t)v[6] << 32 | (uint64_t)v[7] << 48);

    /* Bit 15 of each zero: no carry leaves a 16-bit field. */
    a = ~(((a & low_bits) + low_bits) | a | low_bits);
    b = ~(((b & low_bits) + low_bits) | b | low_bits);
    a = (a >> 15) * gather >> 48 & 0xf;
    b = (b >> 15) * gather >> 48 & 0xf;
    return (uint32_t)(a | b << 4);
}

static inline uint32_t
nsp_equal_u16x16_plain(const uint16_t v[16], uint16_t x)
{
    return nsp_equal_u16x8(v, x) | nsp_equal_u16x8(v + 8, x) << 8;
}

/* The same of sixteen. */
static inline uint32_t
nsp_equal_u16x16(const uint16_t v[16], uint16_t x)
{
#if defined(__GNUC__) && defined(__SSE2__)
    typedef char bytes __attribute__((vector_size(16)));
    typedef short words __attribute__((vector_size(16)));
    const short w = (short)x;
    const words all = { w, w, w, w, w, w, w, w };
    words low, high;

    memcpy(&low, v, sizeof low);
    memcpy(&high, v + 8, sizeof high);
    return (uint32_t)__builtin_ia32_pmovmskb128(
        (bytes)__builtin_ia32_packsswb128((words)(low == all),
                                          (words)(high == all)));
#else
    return nsp_equal_u16x16_plain(v, x);
#endif
}

/* Number of bits set. */
static inline uint32_t
nsp_popcount_u64(uint64_t x)
{
#if defined(__GNUC__)
    return (uint32_t)__builtin_popcountll(x);
#else
    uint32_t n = 0;

    for (; x != 0; x &= x - 1)
        n++;
    return n;
#endif
}

/* Unaligned network-order loads and stores. */
static inline uint16_t
nsp_load_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t
nsp_load_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           (uint32_t)p[3];
}

static inline uint64_t
nsp_load_be64(const uint8_t *p)
{
    return (uint64_t)nsp_load_be32(p) << 32 | nsp_load_be32(p + 4);
}

static inline void
nsp_store_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void
nsp_store_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

#endif /* NSP_BASE_BASE_H */
