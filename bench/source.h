#ifndef BENCH_SOURCE_H
#define BENCH_SOURCE_H
#include "netshaper/io.h"

/* A device that gives out the same frames again and again, raw IP packets, in
 * bursts at even intervals; what is sent is gone. In engine.h's terms a custom
 * one, whose 'device' points to a pointer to this. In virtual time packets come
 * ahead of their time, as those of a capture do. The live one has a clock of
 * its own, which is moved to the next burst when nothing came since it was read
 * last, so that the engine never waits for it. */
struct bench_source {
    /* Set by the caller. */
    uint8_t *frames; /* One behind the other; edits stay in them. */
    uint32_t frame_bytes, frame_count;
    uint64_t pkts, warm_pkts; /* In all, and of these before it counts. */
    uint32_t pool_pkts;       /* That may be held at once. */
    uint32_t burst_pkts;
    uint64_t interval_ns; /* Of bursts. */

    /* Processor time when the packet behind the first 'warm_pkts' came, and the
     * last. */
    uint64_t warm_ns, end_ns;

    uint64_t now_ns; /* The live clock, which ends at NSP_TIME_NEVER - 1. */
    bool has_come;   /* Since that was read. */
    struct nsp_io *io;
};

extern const struct nsp_io_ops bench_source_ops, bench_live_source_ops;

struct nsp_clock bench_source_clock(struct bench_source *source);

/* Processor time of the process: one thread works and never waits, others on
 * this machine do not count. */
uint64_t bench_processor_ns(void);

#endif /* BENCH_SOURCE_H */
