#ifndef NSP_VERIFY_LOSS_RUNS_H
#define NSP_VERIFY_LOSS_RUNS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a sequence of packets lost and received says of the loss.
 *
 * RFC 3357: a loss distance is from one lost packet to the one lost before, 1
 * where they are neighbours; a loss period is a run of neighbours.
 * RFC 3611, 4.7.2: a burst is the longest stretch that begins and ends with a
 * lost packet and has, inside, fewer than Gmin received ones in a row; all else
 * is gap. A lost packet with Gmin received ones (or the edge of the sequence)
 * on either side belongs to the gap. */

#define NSP_GMIN 16u

struct nsp_loss_runs {
    uint64_t pkts, lost;
    uint64_t periods;       /* RFC 3357 loss periods. */
    double period_mean;     /* Packets of each. */
    double period_sd;       /* Of the sample. */
    uint64_t period_max;    /* Packets of the longest. */
    double distance_mean;   /* RFC 3357 loss distance; 0 below two losses. */
    double lag1;            /* P(lost | lost) - P(lost | received). */
    double lost_after_lost; /* These two; 0 where there was no such packet. */
    double lost_after_received;

    /* RFC 3611. */
    uint64_t burst_pkts, burst_lost, bursts; /* In bursts. */
    uint64_t gap_pkts, gap_lost;
};

/* 'lost' says of each of 'n' packets, in the order sent, whether it was. */
void nsp_loss_runs_read(const bool *lost, size_t n, struct nsp_loss_runs *ret);

#endif /* NSP_VERIFY_LOSS_RUNS_H */
