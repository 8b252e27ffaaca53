#ifndef NSP_IO_SNIFF_QUEUE_H
#define NSP_IO_SNIFF_QUEUE_H
#include <stdatomic.h>

#include "base/base.h"
#include "io/sniff/sniff_filter.h"
#include "netshaper/io.h"
#include "os/os.h"

/* One packet socket (packet(7)) with a ring of version 3, and what is lent of
 * it.
 *
 *     kernel --copies--> block --rx_burst--> engine --back--> block --> kernel
 *
 * Blocks     The kernel fills one after the other and hands each over when it
 *            is full, or RETIRE_MS after its first packet. Packets stay in
 *            their block, which goes back when all of them have. With no block
 *            free the kernel drops, and counts.
 * Headers    All interfaces at once have cooked packets: the header (SLL2) is
 *            made here, in the room that the ring keeps in front of each. A
 *            VLAN tag that the kernel has taken out is put back there.
 * Time       The kernel stamps packets by the clock on the wall. The difference
 *            to the engine's is measured once, and again when that clock was
 *            set.
 * Threads    The queue's worker; counters and status from any. */

struct nsp_sniff_queue_config {
    uint32_t index; /* Of the queue in its device: pkt->queue. */
    struct nsp_sniff_site site;
    uint32_t block_count; /* Of NSP_SNIFF_BLOCK_BYTES each. */
    uint16_t fanout;      /* Group of sockets that share packets by flow; 0:
                           * none yet, and 'queues' above 1 makes one. */
    uint32_t queues;
    struct nsp_clock clock;
};

#define NSP_SNIFF_BLOCK_BYTES (1u << 20)

struct nsp_sniff_queue {
    struct nsp_sniff_queue_config config;
    int fd; /* -1 when closed. */
    struct nsp_wakeup wakeup;
    uint8_t *ring;

    uint32_t block; /* The one to look at. */
    const uint8_t *frame;
    uint32_t frames_left; /* In that block, 'frame' the first. */
    bool in_block;

    struct nsp_pkt pkts[NSP_BURST_MAX];
    uint32_t lent_pkts;

    uint64_t last_ns;
    uint64_t wall_minus_engine_ns;

    _Atomic uint64_t dropped_pkts;

    /* Keeps what two workers write on lines of their own. */
    uint8_t padding[NSP_CACHE_LINE];
};

/* Opens and binds the socket, for whose filter 'insns' stands. '*ret_step' says
 * what failed. Returns 0 or a negative errno; either way the queue may be
 * closed. */
int nsp_sniff_queue_open(struct nsp_sniff_queue *queue,
                         const struct nsp_sniff_queue_config *cfg,
                         const struct nsp_cbpf_insn insns[], uint32_t count,
                         const char **ret_step) NSP_MUSTCHECK;
void nsp_sniff_queue_close(struct nsp_sniff_queue *queue);

/* Has the kernel choose by another program from now on. Returns 0 or a negative
 * errno. */
int nsp_sniff_queue_set_filter(struct nsp_sniff_queue *queue,
                               const struct nsp_cbpf_insn insns[],
                               uint32_t count) NSP_MUSTCHECK;

/* Takes nothing new, and waits until what came before can be received. */
void nsp_sniff_queue_stop(struct nsp_sniff_queue *queue);

/* As in struct nsp_io_ops; those lent before are back. */
uint32_t nsp_sniff_rx_burst(struct nsp_sniff_queue *queue,
                            struct nsp_pkt *ret_pkts[], uint32_t max);

/* Takes 'n' packets back. */
void nsp_sniff_give_back(struct nsp_sniff_queue *queue, uint32_t n);

/* The socket's pending error, cleared; 0 none. */
int nsp_sniff_queue_take_error(const struct nsp_sniff_queue *queue);

/* Packets that the kernel has dropped since open. Any thread. */
uint64_t nsp_sniff_queue_dropped_pkts(struct nsp_sniff_queue *queue);

#endif /* NSP_IO_SNIFF_QUEUE_H */
