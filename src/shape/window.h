#ifndef NSP_SHAPE_WINDOW_H
#define NSP_SHAPE_WINDOW_H
#include "base/prng.h"
#include "netshaper/impair.h"

/* Bursts: packets wait for the next window and leave together, as behind a
 * radio that gets slots. Windows are moments, at intervals that are fixed or
 * drawn evenly from a range each; the first comes one interval after the start.
 *
 * A packet leaves in the first window, not before it comes and not before one
 * that came earlier leaves, that has room for it: of packets, of bytes, or
 * both. A packet larger than all the bytes of a window has one to itself.
 * (netem opens a slot only when something waits; here windows pass unused.)
 *
 * After an idle time of more than 64 random intervals the next window is drawn
 * from the packet that ends it.
 *
 * Units    _ns; times of the caller's clock, not going backwards.
 * Threads  A window is immutable; a state and a generator have one owner.
 * Cost     Constant; a number for each random interval. No allocation: the
 *          caller's delay line holds the packets. */

/* What has happened; all zero at first but for start_ns, which the caller may
 * set. */
struct nsp_window_state {
    uint64_t start_ns;
    uint64_t opens_ns;
    uint32_t pkts, bytes; /* In the window at opens_ns. */
    bool begun;
};

/* What is wrong with 'window', NULL when nothing is. Static storage. */
const char *nsp_window_fault(const struct nsp_window_config *window);

/* When the packet of 'bytes' that comes at 'now_ns' leaves. */
uint64_t nsp_window_depart_ns(const struct nsp_window_config *window,
                              struct nsp_window_state *state, uint64_t now_ns,
                              uint32_t bytes, struct nsp_prng *random);

#endif /* NSP_SHAPE_WINDOW_H */
