#ifndef NSP_IO_NFQUEUE_COUNTERS_H
#define NSP_IO_NFQUEUE_COUNTERS_H
#include "base/base.h"

/* The kernel's table of queues: /proc/net/netfilter/nfnetlink_queue of the
 * network namespace in which it was opened.
 *
 * Threads  any; each reading is its own. */

struct nsp_nfq_counters {
    uint32_t port_id;      /* Of the socket that reads the queue. */
    uint32_t dropped_pkts; /* The queue was full, or memory was short. */
    uint32_t lost_pkts;    /* The socket's receive buffer was full. */
};

/* Opens the table of the calling thread's namespace. Returns a descriptor or a
 * negative errno. */
int nsp_nfq_counters_open(void) NSP_MUSTCHECK;

/* Reads the row of queue 'number'. Returns 0, -ENOENT when there is none, or
 * another negative errno. */
int nsp_nfq_counters_read(int fd, uint16_t number,
                          struct nsp_nfq_counters *ret) NSP_MUSTCHECK;

#endif /* NSP_IO_NFQUEUE_COUNTERS_H */
