#ifndef NSP_IMPAIR_LOSS_H
#define NSP_IMPAIR_LOSS_H
#include "base/memory.h"
#include "impair/chance.h"

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

enum nsp_loss_kind {
    /* Independent, or with correlation: impair/chance.h. */
    NSP_LOSS_CHANCE = 0,

    /* Gilbert-Elliott. From good to bad with p, from bad to good with r:
     *     share of packets in the bad state   p / (p + r)
     *     packets in it at a time, on average 1 / r
     *     loss      bad_loss p / (p + r) + good_loss r / (p + r)
     * bad_loss is 1 - h, good_loss 1 - k in other notations. */
    NSP_LOSS_GILBERT,

    /* The same by what it does: 'loss' in bursts of 'burst' packets on
     * average; r = 1 / burst, p = loss / (burst (1 - loss)), all in the bad
     * state are lost, none in the good. */
    NSP_LOSS_BURSTS,

    /* Four states: 1 good, 2 good within a burst, 3 lost within a burst, 4
     * lost alone, after which it is good again. Stationary, unnormalised:
     *     1: p31 p23   2: p13 p32   3: p13 p23   4: p14 p31 p23 */
    NSP_LOSS_FOUR_STATES,

    /* A list of what becomes of each packet, repeated. */
    NSP_LOSS_PATTERN,

    /* Loss by how many packets have been lost in a row: the first for none, and
     * the last for all beyond the list. With a last one of 0 no more than
     * count - 1 packets in a row are lost. */
    NSP_LOSS_CONSECUTIVE,

    NSP_LOSS_EVERY, /* Packets n, 2n, 3n... */
    NSP_LOSS_FIRST, /* The first n packets. */

    /* A packet that finds it good turns it bad with 'enter', for 'bad_ns' of
     * time and including itself; a packet that finds it bad is lost with
     * 'loss'. So bursts last as long whatever the rate of packets. */
    NSP_LOSS_TIMED,
};

#define NSP_LOSS_PATTERN_MAX     (1u << 20) /* Packets. */
#define NSP_LOSS_CONSECUTIVE_MAX 1024u
#define NSP_LOSS_BURST_MILLI_MAX 1000000000u /* A million packets. */
#define NSP_LOSS_BAD_NS_MAX      UINT64_C(3600000000000)

struct nsp_loss_config {
    uint8_t kind; /* enum nsp_loss_kind; says which of these counts. */
    union {
        struct {
            uint32_t ppm;
            uint32_t correlation_ppm; /* Below NSP_PPM_ONE. */
        } chance;
        struct {
            uint32_t p_ppm, r_ppm; /* r > 0 unless p is 0. */
            uint32_t bad_loss_ppm, good_loss_ppm;
        } gilbert;
        struct {
            uint32_t ppm;         /* At most burst / (burst + 1). */
            uint32_t burst_milli; /* 1000 is one packet; that at least. */
        } bursts;
        struct {
            uint32_t p13_ppm, p31_ppm, p32_ppm, p23_ppm, p14_ppm;
        } four_states; /* p13 + p14 and p31 + p32 at most NSP_PPM_ONE. */
        struct {
            const uint8_t *lost; /* 0 or 1 for each packet; copied. */
            uint32_t pkts;       /* 1..NSP_LOSS_PATTERN_MAX. */
        } pattern;
        struct {
            const uint32_t *ppm; /* Copied. */
            uint32_t count;      /* 1..NSP_LOSS_CONSECUTIVE_MAX. */
        } consecutive;
        uint32_t every_pkts; /* >= 1. */
        uint32_t first_pkts;
        struct {
            uint32_t enter_ppm, loss_ppm;
            uint64_t bad_ns; /* 1..NSP_LOSS_BAD_NS_MAX. */
        } timed;
    };
};

/* A chain of at most four states, of which the first 'lost_states' can lose. */
struct nsp_loss_chain {
    /* From each state, the first row standing for the beginning: the thresholds
     * below which a draw leads to state 0, 1 or 2, and else to 3. */
    uint64_t below[5][3];
    uint64_t lost_below[4]; /* By the state moved to. */
    bool loss_is_drawn;     /* Else it is sure in each state. */
};

struct nsp_loss {
    uint8_t kind;
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

/* What is wrong with 'cfg', NULL when nothing is. Static storage. */
const char *nsp_loss_fault(const struct nsp_loss_config *cfg);

/* Returns 0, -EINVAL where nsp_loss_fault() finds one, or -ENOMEM. 'allocator'
 * may be NULL: the C library's. */
int nsp_loss_init(struct nsp_loss *loss, const struct nsp_loss_config *cfg,
                  const struct nsp_allocator *allocator) NSP_MUSTCHECK;
void nsp_loss_fini(struct nsp_loss *loss);

/* Whether the packet that comes at 'now_ns' is lost. */
bool nsp_loss_decide(const struct nsp_loss *loss, struct nsp_loss_state *state,
                     uint64_t now_ns, struct nsp_prng *random);

#endif /* NSP_IMPAIR_LOSS_H */
