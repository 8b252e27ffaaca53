#ifndef NSP_IO_NFQUEUE_DEVICE_H
#define NSP_IO_NFQUEUE_DEVICE_H
#include "io/nfqueue/nfqueue_counters.h"
#include "io/nfqueue/nfqueue_inject.h"
#include "io/nfqueue/nfqueue_queue.h"
#include "io/nfqueue/nfqueue_rules.h"
#include "os/linux/beats.h"

struct nsp_nfqueue_config;

/* The device itself: opened by nfqueue_open.c, served by nfqueue.c. */
struct nsp_io {
    struct nsp_nfq_queue *queues;
    uint32_t queue_count, queues_open;
    struct nsp_beats beats; /* Not open where nobody asks for them. */
    bool fail_closed;
    struct nsp_nl nft;               /* Owns the table. */
    char table[NSP_NFQ_TABLE_BYTES]; /* Empty while there is none. */
    _Atomic bool quiesced;           /* One worker says so to the others. */
    struct nsp_nfq_injector injector;
    int counters_fd; /* -1: the kernel's counters cannot be read. */
    struct nsp_allocator allocator;
    struct nsp_log_sink log;
};

/* Opens the queues and installs the rules: packets come from then on. 'io' has
 * its allocator and log, and everything else closed. Returns as in struct
 * nsp_io_ops; either way it is to be closed. */
int nsp_nfq_device_open(struct nsp_io *io, const struct nsp_io_config *cfg,
                        const struct nsp_nfqueue_config *device,
                        struct nsp_diag *reterr) NSP_MUSTCHECK;

#endif /* NSP_IO_NFQUEUE_DEVICE_H */
