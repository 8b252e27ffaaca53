#ifndef NSP_SHAPE_FLAP_H
#define NSP_SHAPE_FLAP_H
#include "base/prng.h"
#include "netshaper/impair.h"

/* A link that goes down and comes up again: by a schedule that repeats (a fixed
 * on and off time is one of two), or for exponential times of given means. It
 * begins up.
 *
 * The caller drops what comes while it is down, or holds it until it is up.
 *
 * The times of an exponential link are drawn one after another whatever comes
 * when, so that links of one seed flap together, but for idle times of more
 * than 4096 changes: then the link is found up or down by chance, as it would
 * be, and its time begins anew.
 *
 * Units    _ns; times of the caller's clock, not going backwards.
 * Threads  A flap is immutable; a state and a generator have one owner.
 * Cost     Linear in the times of a schedule; a number for each exponential
 *          time. No allocation. */

struct nsp_flap {
    uint8_t kind; /* enum nsp_flap_kind. */
    uint8_t count;
    uint64_t times_ns[NSP_FLAP_TIMES_MAX];
};

/* What has happened; all zero at first but for start_ns, which the caller may
 * set. */
struct nsp_flap_state {
    uint64_t start_ns;
    uint64_t change_ns; /* Exponential: when this time ends. */
    bool begun, down;
};

/* What is wrong with 'flap', NULL when nothing is. Static storage. */
const char *nsp_flap_fault(const struct nsp_flap_config *flap);

/* Returns 0, or -EINVAL where nsp_flap_fault() finds one. */
int nsp_flap_init(struct nsp_flap *flap,
                  const struct nsp_flap_config *cfg) NSP_MUSTCHECK;

/* When the link is up for a packet that comes at 'now_ns': 'now_ns' itself, or
 * the end of the time that it is down. */
uint64_t nsp_flap_up_ns(const struct nsp_flap *flap,
                        struct nsp_flap_state *state, uint64_t now_ns,
                        struct nsp_prng *random);

#endif /* NSP_SHAPE_FLAP_H */
