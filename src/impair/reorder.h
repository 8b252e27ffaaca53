#ifndef NSP_IMPAIR_REORDER_H
#define NSP_IMPAIR_REORDER_H
#include "impair/chance.h"
#include "netshaper/impair.h"

/* Reordering by percentage and gap, as netem defines it: after gap - 1 delayed
 * packets the next goes at once, past those that still wait, with a
 * probability; each that goes at once begins the count anew. With a gap of 1
 * every packet may. So a packet overtakes only where the others are delayed.
 *
 * Where the chance p is independent, 1 of gap - 1 + 1 / p packets goes at once.
 * (Reordering by a random delay is a delay that does not keep order:
 * impair/delay.h.)
 *
 * Threads  Immutable once made; a state and a generator have one owner.
 * Cost     One number for each packet; no allocation. */

struct nsp_reorder {
    struct nsp_chance chance;
    uint32_t gap; /* 0: packets are late instead. */
    uint64_t late_ns;
};

/* What one stream of packets has met; all zero at first. */
struct nsp_reorder_state {
    uint32_t delayed; /* Since the last that went at once. */
    uint8_t chance;
};

/* What is wrong with 'cfg', NULL when nothing is. Static storage. */
const char *nsp_reorder_fault(const struct nsp_reorder_config *cfg);

/* Returns 0, or -EINVAL where nsp_reorder_fault() finds one. */
int nsp_reorder_init(struct nsp_reorder *reorder,
                     const struct nsp_reorder_config *cfg) NSP_MUSTCHECK;

/* With a gap: whether the next packet is to go at once, without its delay. */
bool nsp_reorder_decide(const struct nsp_reorder *reorder,
                        struct nsp_reorder_state *state,
                        struct nsp_prng *random);

/* Without: by how much the next packet is late. Two numbers for each. */
uint64_t nsp_reorder_late_ns(const struct nsp_reorder *reorder,
                             struct nsp_reorder_state *state,
                             struct nsp_prng *random);

#endif /* NSP_IMPAIR_REORDER_H */
