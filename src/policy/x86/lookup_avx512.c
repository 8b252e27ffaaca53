#include <immintrin.h>

#include "policy/class_index.h"
#include "policy/x86/lookup_x86.h"

struct bits {
    __m512i all;
};

static inline struct bits
load(const struct nsp_block *block)
{
    return (struct bits){ _mm512_load_si512(block) };
}

static inline struct bits
load_and(struct bits bits, const struct nsp_block *block)
{
    return (
        struct bits){ _mm512_and_si512(bits.all, _mm512_load_si512(block)) };
}

static inline uint32_t
nonzero_words(struct bits bits)
{
    return _mm512_test_epi64_mask(bits.all, bits.all);
}

static inline void
store(struct bits bits, uint64_t ret[])
{
    _mm512_storeu_si512(ret, bits.all);
}

/* Keys ascend, so those that are less or equal come first. */
static inline uint32_t
rank32(const uint32_t *line, uint32_t key)
{
    uint32_t greater = _mm512_cmpgt_epi32_mask(
        _mm512_loadu_si512(line), _mm512_set1_epi32((int)(key ^ NSP_SIGN32)));

    return nsp_ctz_u64(greater | 1u << NSP_TREE_FANOUT);
}

static inline uint32_t
rank64(const uint64_t *line, uint64_t key)
{
    uint32_t greater = _mm512_cmpgt_epi64_mask(
        _mm512_load_si512(line),
        _mm512_set1_epi64((long long)(key ^ NSP_SIGN64)));

    return nsp_ctz_u64(greater | 1u << NSP_TREE_FANOUT / 2);
}

#define LOOKUP_OPS  nsp_lookup_avx512
#define LOOKUP_NAME "AVX-512"
#include "policy/lookup.h"
