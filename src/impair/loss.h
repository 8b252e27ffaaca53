#ifndef NSP_IMPAIR_LOSS_H
#define NSP_IMPAIR_LOSS_H
#include "base/memory.h"
#include "impair/chance.h"
#include "netshaper/impair.h"

/* Which packets are lost. A rule holds one nsp_loss, of one kind; every stream
 * of packets that is to be independent has an nsp_loss_state, all zero at
 * first, and a stream of random numbers.
 *
 * The chains (chance, Gilbert-Elliott, bursts, four states) begin in their
 * stationary distribution, so the probabilities below hold from the first
 * packet on. Each packet first moves the chain on, then meets the state that it
 * moved to. (Judging the packet by the old state before moving, as netem does,
 * is the same process one packet later.)
 *
 * Units    _ppm, 0..NSP_PPM_ONE; _ns.
 * Threads  A loss is immutable once made; a state and a generator have one
 *          owner.
 * Cost     One or two numbers of the generator for each packet, which depends
 *          on the loss only and never on what was decided before: none where
 *          nothing is random. No allocation after init. */

/* A chain of at most four states, of which the first 'lost_states' can lose. */
struct nsp_loss_chain {
    /* From each state, the first row standing for the beginning: the thresholds
     * below which a draw leads to state 0, 1 or 2, and else to 3. */
    uint64_t below[5][3];
    uint64_t lost_below[4]; /* By the state moved to. */
    bool loss_is_drawn;     /* Else it is sure in each state. */
    bool is_plain;          /* Of two states: 0 loses for sure, 1 never. */
};

struct nsp_loss {
    uint8_t kind;
    bool is_chain;
    struct nsp_loss_chain chain;
    uint64_t enter_below, lost_below; /* Timed. */
    uint64_t bad_ns;
    uint64_t *table; /* Pattern: a bit each; consecutive: a threshold each. */
    uint32_t count;  /* Of 'table', or n. */
    struct nsp_allocator allocator;
};

/* What one stream of packets has met; all zero at first. */
struct nsp_loss_state {
    uint64_t bad_until_ns;
    uint32_t count;
    uint8_t chain; /* 0 at first, then 1 + the state. */
};

/* What a loss comes to in the long run. */
struct nsp_loss_facts {
    bool known;  /* Not of a timed loss: it depends on the traffic. */
    double rate; /* Share of packets that are lost. */
    double
        burst_pkts; /* Mean run of losses; 0 when there is none, or no end. */
};

/* What is wrong with 'cfg', NULL when nothing is. Static storage. */
const char *nsp_loss_fault(const struct nsp_loss_config *cfg);

/* Returns 0, -EINVAL where nsp_loss_fault() finds one, or -ENOMEM. 'allocator'
 * may be NULL: the C library's. */
int nsp_loss_init(struct nsp_loss *loss, const struct nsp_loss_config *cfg,
                  const struct nsp_allocator *allocator) NSP_MUSTCHECK;
void nsp_loss_fini(struct nsp_loss *loss);

/* For the next: of what is no chain. */
bool nsp_loss_decide_other(const struct nsp_loss *loss,
                           struct nsp_loss_state *state, uint64_t now_ns,
                           struct nsp_prng *random);

static inline bool
nsp_loss_move_chain(const struct nsp_loss_chain *chain,
                    struct nsp_loss_state *state, struct nsp_prng *random)
{
    const uint64_t *below = chain->below[state->chain];
    uint64_t draw = nsp_chance_draw(random);
    unsigned to = draw >= below[0];

    if (chain->is_plain) {
        state->chain = (uint8_t)(1 + to);
        return to == 0;
    }
    to += (unsigned)(draw >= below[1]) + (unsigned)(draw >= below[2]);
    state->chain = (uint8_t)(1 + to);
    if (chain->loss_is_drawn)
        return nsp_chance_draw(random) < chain->lost_below[to];
    return chain->lost_below[to] != 0;
}

/* Whether the packet that comes at 'now_ns' is lost. */
static inline bool
nsp_loss_decide(const struct nsp_loss *loss, struct nsp_loss_state *state,
                uint64_t now_ns, struct nsp_prng *random)
{
    if (loss->is_chain)
        return nsp_loss_move_chain(&loss->chain, state, random);
    return nsp_loss_decide_other(loss, state, now_ns, random);
}

/* From the closed forms, of the probabilities as they are kept. Cost: one pass
 * over a list. */
void nsp_loss_read_facts(const struct nsp_loss *loss,
                         struct nsp_loss_facts *ret);

#endif /* NSP_IMPAIR_LOSS_H */
