#include <immintrin.h>

#include "policy/class_index.h"
#include "policy/x86/lookup_x86.h"

struct bits {
    __m256i low, high;
};

static inline __m256i
load_half(const void *at, uint32_t half)
{
    return _mm256_load_si256((const __m256i *)at + half);
}

static inline __m256i
load_unaligned(const void *at, uint32_t half)
{
    return _mm256_loadu_si256((const __m256i *)at + half);
}

static inline struct bits
load(const struct nsp_block *block)
{
    return (struct bits){ load_half(block, 0), load_half(block, 1) };
}

static inline struct bits
load_and(struct bits bits, const struct nsp_block *block)
{
    return (struct bits){ _mm256_and_si256(bits.low, load_half(block, 0)),
                          _mm256_and_si256(bits.high, load_half(block, 1)) };
}

static inline uint32_t
zero_words(__m256i half)
{
    __m256i zero = _mm256_cmpeq_epi64(half, _mm256_setzero_si256());

    return (uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(zero));
}

static inline uint32_t
nonzero_words(struct bits bits)
{
    return ~(zero_words(bits.high) << 4 | zero_words(bits.low)) & 0xffu;
}

static inline void
store(struct bits bits, uint64_t ret[])
{
    _mm256_storeu_si256((__m256i *)(void *)ret, bits.low);
    _mm256_storeu_si256((__m256i *)(void *)ret + 1, bits.high);
}

/* Two bits for each key that is greater. */
static inline uint32_t
rank32(const uint32_t *line, uint32_t key)
{
    __m256i keys = _mm256_xor_si256(_mm256_set1_epi32((int)key),
                                    _mm256_set1_epi32(INT32_MIN));
    __m256i low = _mm256_cmpgt_epi32(load_unaligned(line, 0), keys);
    __m256i high = _mm256_cmpgt_epi32(load_unaligned(line, 1), keys);
    int greater = _mm256_movemask_epi8(_mm256_packs_epi32(low, high));

    return NSP_TREE_FANOUT - (uint32_t)_mm_popcnt_u32((uint32_t)greater) / 2;
}

/* Keys ascend, so those that are less or equal come first. */
static inline uint32_t
rank64(const uint64_t *line, uint64_t key)
{
    __m256i keys = _mm256_xor_si256(_mm256_set1_epi64x((long long)key),
                                    _mm256_set1_epi64x(INT64_MIN));
    __m256i low = _mm256_cmpgt_epi64(load_half(line, 0), keys);
    __m256i high = _mm256_cmpgt_epi64(load_half(line, 1), keys);
    int greater =
        _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_packs_epi32(low, high)));

    return NSP_TREE_FANOUT / 2 - (uint32_t)_mm_popcnt_u32((uint32_t)greater);
}

#define LOOKUP_OPS  nsp_lookup_avx2
#define LOOKUP_NAME "AVX2"
#include "policy/lookup.h"
