#ifndef NSP_VERIFY_GENERATOR_H
#define NSP_VERIFY_GENERATOR_H
#include "netshaper/filter.h"
#include "netshaper/io.h"
#include "verify/packet.h"

/* A device in virtual time that makes packets and notes what becomes of them:
 * copies of one, numbered from 0, at even intervals. Nothing is read and
 * nothing sent, so it runs at the speed of memory.
 *
 * Ownership  A struct nsp_generator is handed to an engine as its custom device
 *            (nsp_generator_ops) and must outlive it; arrays are the caller's.
 * Threads    One queue, one worker. */

/* Tells of a packet that left, parsed, whose bytes were 'original': a set of
 * what follows. */
enum nsp_look {
    NSP_LOOK_HIT = 1,   /* It counts as if it had not left. */
    NSP_LOOK_WRONG = 2, /* It is not as it is to be. */
};
typedef uint32_t nsp_look_fn(const void *context, const struct nsp_pkt *pkt,
                             const uint8_t *original);

struct nsp_generator {
    /* What to make. */
    const struct nsp_test_packet *packet;
    uint64_t start_ns, gap_ns; /* Packet i comes at start + i gap. */
    uint32_t pkts;

    /* Not NULL: contents that this filter does not match are left out, as of
     * filters that ask for chance. */
    const struct nsp_filter *filter;
    struct nsp_filter_context context;

    nsp_look_fn *look; /* At each packet that left; NULL: none. */
    const void *look_context;

    /* What became of them. */
    uint64_t *left_ns; /* Of each packet, the first time; 0: it did not. */
    uint32_t *order;   /* Numbers in the order of leaving, copies too. */
    uint32_t order_max, order_count;
    uint64_t left_pkts; /* Of which order_count are noted. */
    uint64_t wrong_pkts;
    uint64_t injected_pkts; /* Made by the engine, but for copies. */
    uint64_t copied_pkts;
    uint64_t *copy_ns; /* When a packet's last copy left; 0: it had none. */

    /* Its own. */
    uint32_t made;
    uint64_t number;
};

extern const struct nsp_io_ops nsp_generator_ops;

#endif /* NSP_VERIFY_GENERATOR_H */
