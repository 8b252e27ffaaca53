#include "policy/class_index.h"

/* The lookup in C: the reference, and what other processors run. */

struct bits {
    uint64_t words[NSP_BLOCK_BITS / 64];
};

static inline struct bits
load(const struct nsp_block *block)
{
    struct bits bits;

    for (uint32_t w = 0; w < NSP_ARRAY_LEN(bits.words); w++)
        bits.words[w] = block->words[w];
    return bits;
}

static inline struct bits
load_and(struct bits bits, const struct nsp_block *block)
{
    for (uint32_t w = 0; w < NSP_ARRAY_LEN(bits.words); w++)
        bits.words[w] &= block->words[w];
    return bits;
}

static inline uint32_t
nonzero_words(struct bits bits)
{
    uint32_t nonzero = 0;

    for (uint32_t w = 0; w < NSP_ARRAY_LEN(bits.words); w++)
        nonzero |= (uint32_t)(bits.words[w] != 0) << w;
    return nonzero;
}

static inline void
store(struct bits bits, uint64_t ret[])
{
    for (uint32_t w = 0; w < NSP_ARRAY_LEN(bits.words); w++)
        ret[w] = bits.words[w];
}

/* Keys of a line have their sign bit turned around. */
static inline uint32_t
rank32(const uint32_t *line, uint32_t key)
{
    uint32_t rank = 0;

    for (uint32_t i = 0; i < NSP_TREE_FANOUT; i++)
        rank += (line[i] ^ NSP_SIGN32) <= key;
    return rank;
}

static inline uint32_t
rank64(const uint64_t *line, uint64_t key)
{
    uint32_t rank = 0;

    for (uint32_t i = 0; i < NSP_TREE_FANOUT / 2; i++)
        rank += (line[i] ^ NSP_SIGN64) <= key;
    return rank;
}

#define LOOKUP_OPS  nsp_lookup_plain
#define LOOKUP_NAME "plain"
#include "policy/lookup.h"
