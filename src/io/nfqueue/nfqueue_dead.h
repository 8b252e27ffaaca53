#ifndef NSP_IO_NFQUEUE_DEAD_H
#define NSP_IO_NFQUEUE_DEAD_H
#include "base/base.h"
#include "io/nfqueue/nfqueue_rules.h"
#include "io/nfqueue/nlmsg.h"

/* Tables that outlived their engine: it failed closed, and was killed.
 *
 * Dead      A table with a name of ours and no owner, whose first queue nobody
 *           has. An engine binds its queues before it makes its table and gives
 *           them back after it has removed that; so what is dead stays dead,
 *           and one that lives is never taken for it.
 * Handle    Names may come back with process ids, handles do not: what is
 *           removed is the table that was found. */

struct nsp_nfq_dead {
    char table[NSP_NFQ_TABLE_BYTES];
    uint64_t handle; /* Big endian. */
    uint16_t first_queue;
};

/* Stores up to 'max' dead tables of the network namespace of 'nl' in 'ret'.
 * Queues 'own_first' and the 'own_count' from there are the caller's, who has
 * made no table but 'own_table': others that lead there are dead. Returns how
 * many, or a negative errno. */
int nsp_nfq_dead_find(struct nsp_nl *nl, const char *own_table,
                      uint16_t own_first, uint32_t own_count,
                      struct nsp_nfq_dead ret[], uint32_t max) NSP_MUSTCHECK;

/* Returns 0 or a negative errno: -ENOENT when somebody else has removed it. */
int nsp_nfq_dead_remove(struct nsp_nl *nl,
                        const struct nsp_nfq_dead *dead) NSP_MUSTCHECK;

#endif /* NSP_IO_NFQUEUE_DEAD_H */
