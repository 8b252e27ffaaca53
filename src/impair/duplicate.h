#ifndef NSP_IMPAIR_DUPLICATE_H
#define NSP_IMPAIR_DUPLICATE_H
#include "impair/chance.h"
#include "netshaper/impair.h"

/* Copies of packets. The caller makes them; it never asks for a copy, which is
 * so never duplicated again.
 *
 * Units    _ns; _ppm.
 * Threads  Immutable once made; a state (a uint8_t, 0 at first) and a generator
 *          have one owner.
 * Cost     One number for each packet; no allocation. */

struct nsp_duplicate {
    struct nsp_chance chance;
    uint32_t copies;
    uint64_t spacing_ns;
};

/* What is wrong with 'cfg', NULL when nothing is. Static storage. */
const char *nsp_duplicate_fault(const struct nsp_duplicate_config *cfg);

/* Returns 0, or -EINVAL where nsp_duplicate_fault() finds one. */
int nsp_duplicate_init(struct nsp_duplicate *duplicate,
                       const struct nsp_duplicate_config *cfg) NSP_MUSTCHECK;

/* How many copies of the next packet there are to be: none, or 'copies'. */
static inline uint32_t
nsp_duplicate_decide(const struct nsp_duplicate *duplicate, uint8_t *state,
                     struct nsp_prng *random)
{
    return nsp_chance_decide(&duplicate->chance, state, random)
               ? duplicate->copies
               : 0;
}

/* When copy number 'copy', from 1, of a packet of 'pkt_ns' is to go. */
static inline uint64_t
nsp_duplicate_due_ns(const struct nsp_duplicate *duplicate, uint64_t pkt_ns,
                     uint32_t copy)
{
    return nsp_add_sat_u64(pkt_ns, copy * duplicate->spacing_ns);
}

#endif /* NSP_IMPAIR_DUPLICATE_H */
