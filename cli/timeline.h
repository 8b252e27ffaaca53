#ifndef NSP_CLI_TIMELINE_H
#define NSP_CLI_TIMELINE_H
#include <stdbool.h>
#include <stdint.h>

/* What happened to packets over a time whose length nobody knows beforehand, in
 * a fixed number of bins: when the time outgrows them, each two become one. And
 * how many packets were lost in a row.
 *
 * Units  _ns since the first packet; bytes of IP packets. */
#define NSP_TIMELINE_BINS 1024u

struct nsp_timeline_bin {
    uint64_t in_bytes, out_bytes; /* That came, or left, in this time. */
    uint64_t delivered_pkts;      /* Of those that came: with a delay. */
    uint64_t delay_sum_ns, delay_min_ns, delay_max_ns;
};

/* Runs of one packet, of two, ...; the last are of that many and more. */
#define NSP_TIMELINE_RUNS 20u

struct nsp_timeline {
    uint64_t width_ns; /* Of a bin. */
    uint32_t used;     /* Bins up to the last that is not empty. */
    struct nsp_timeline_bin bins[NSP_TIMELINE_BINS];

    uint8_t *lost; /* A bit for each packet by its number. */
    uint64_t lost_bits, last_number;
    bool no_memory; /* There was none for the bits: runs are not known. */
};

/* Bins of 'width_ns' at first. */
void nsp_timeline_init(struct nsp_timeline *timeline, uint64_t width_ns);
void nsp_timeline_fini(struct nsp_timeline *timeline);

/* Notes packet 'number' (from 1, in the order of arrival) that came at
 * 'arrival_ns' and left at 'at_ns', or was lost. */
void nsp_timeline_deliver(struct nsp_timeline *timeline, uint64_t number,
                          uint64_t arrival_ns, uint64_t at_ns, uint64_t bytes);
void nsp_timeline_lose(struct nsp_timeline *timeline, uint64_t number,
                       uint64_t arrival_ns, uint64_t bytes);

/* Counts the runs of each length: ret[0] those of one packet. */
void nsp_timeline_count_runs(const struct nsp_timeline *timeline,
                             uint64_t ret[NSP_TIMELINE_RUNS]);

#endif /* NSP_CLI_TIMELINE_H */
