#ifndef NSP_IO_NFQUEUE_QUEUE_H
#define NSP_IO_NFQUEUE_QUEUE_H
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/base.h"
#include "io/nfqueue/nlmsg.h"
#include "io/packet_pool.h"
#include "netshaper/io.h"
#include "os/os.h"

/* One NFQUEUE: its socket, the packets it has lent out, and their verdicts.
 *
 * The kernel keeps a packet until its verdict, which names it by id; we get a
 * copy of its first bytes. So a packet that waits costs a descriptor here, and
 * its copy is gone at the next burst unless it was retained.
 *
 *     kernel queue --recvmmsg--> receive slots --parse--> descriptors
 *          ^                                                   |
 *          +--- one send() of many verdicts <---- engine <-----+
 *
 * Bounds     The descriptors of io/packet_pool.h. With none left nothing is
 *            received: packets wait in the socket, then in the kernel, whose
 *            limits apply. Edited packets that wait are copied to a store of
 *            2 KiB for each packet held, 4 MiB to 256 MiB, in blocks of powers
 *            of two from 256 bytes: one that does not fit is refused (retain),
 *            which the engine counts as no-buffer.
 * Threads    queue_*_burst, retain, wait: the queue's worker. Counters: one
 *            writer, any reader.
 * Cost       of a burst: two system calls; no allocation. */

struct nsp_nfq_queue_config {
    uint32_t index; /* Of the queue in its device: pkt->queue. */
    uint32_t max_held_pkts;
    uint32_t max_queue_pkts; /* Kernel's queue length; 0 derives it. */
    uint32_t snap_bytes;     /* 0: all. */
    uint32_t loopback_ifindex;
    bool superpackets, edits, fail_closed;
    struct nsp_allocator allocator;
    struct nsp_clock clock;
    struct nsp_log_sink log;
};

struct nsp_nfq_slot; /* nfqueue_pool.h. */

struct nsp_nfq_queue {
    struct nsp_nfq_queue_config config;
    struct nsp_nl nl;
    struct nsp_wakeup wakeup;
    uint16_t number;  /* In the kernel; 0 while not bound. */
    uint32_t last_id; /* Of the packet received last. */

    /* Receiving. */
    struct mmsghdr *messages;
    struct iovec *iov;
    uint8_t *receive_bytes;
    uint32_t receive_slot_bytes;
    struct nsp_nfq_slot *last_burst[NSP_BURST_MAX];
    uint32_t last_burst_pkts;
    uint64_t last_arrival_ns;

    struct nsp_packet_pool pool; /* Of struct nsp_nfq_slot. */

    /* Copies that outlive a burst; with edits only. */
    struct nsp_buddy retained;

    /* Verdicts of one send(). */
    uint8_t *verdicts;
    uint32_t verdict_room_bytes, verdict_used_bytes;
    bool verdicts_lost; /* The kernel holds packets that count as dropped. */

    _Atomic uint64_t lost_pkts, stale_verdict_pkts, device_errors;
    _Atomic int status; /* The negative errno that ended it, or 0. */

    /* Keeps what two workers write on lines of their own. */
    uint8_t padding[NSP_CACHE_LINE];
};

/* --- Life (nfqueue_queue.c) ----------------------------------------------- */

/* Opens the socket and makes room. Returns 0 or a negative errno; either way
 * the queue may be closed. */
int nsp_nfq_queue_open(struct nsp_nfq_queue *queue,
                       const struct nsp_nfq_queue_config *cfg) NSP_MUSTCHECK;

/* Takes queue 'number' of the namespace. Returns 0, -EPERM when another socket
 * has it, or another negative errno. */
int nsp_nfq_queue_bind(struct nsp_nfq_queue *queue,
                       uint16_t number) NSP_MUSTCHECK;

/* Gives the number of a queue that was not started back. */
void nsp_nfq_queue_unbind(struct nsp_nfq_queue *queue);

/* Sets limits and flags, and makes the kernel queue packets from now on. */
int nsp_nfq_queue_start(struct nsp_nfq_queue *queue) NSP_MUSTCHECK;

/* As struct nsp_io_ops; the queue was opened with edits, which make room for
 * whole packets. */
int nsp_nfq_queue_adjust(struct nsp_nfq_queue *queue, uint32_t snap_bytes,
                         bool superpackets) NSP_MUSTCHECK;

/* Accepts everything the kernel still holds, unless verdicts were lost: among
 * that are then packets reported as dropped, and closing drops it all. */
void nsp_nfq_queue_accept_all(struct nsp_nfq_queue *queue);

/* Closing the socket drops what is still queued. Accepts a half-open one. */
void nsp_nfq_queue_close(struct nsp_nfq_queue *queue);

/* Asks for 'flags' (NFQA_CFG_F_*) in one go and, where that is refused, one by
 * one. Stores those granted. Returns 0 or a negative errno. */
int nsp_nfq_request_flags(struct nsp_nl *nl, uint16_t number, uint32_t flags,
                          uint32_t *ret_granted) NSP_MUSTCHECK;

/* Asks to bind (NFQNL_CFG_CMD_BIND) or unbind a queue, or with
 * NFQNL_CFG_CMD_PF_BIND, which changes nothing, whether the caller may. */
int nsp_nfq_request_command(struct nsp_nl *nl, uint16_t number,
                            uint8_t command) NSP_MUSTCHECK;

/* Makes the receive buffer hold 'bytes', or as much as the caller may. Returns
 * true when the system's limit (net.core.rmem_max) did not apply. */
bool nsp_nfq_force_receive_buffer(int fd, uint32_t bytes);

/* --- Packets: as in struct nsp_io_ops (nfqueue_receive.c, nfqueue_verdict.c)
 */

uint32_t nsp_nfq_rx_burst(struct nsp_nfq_queue *queue, uint64_t now_ns,
                          struct nsp_pkt *ret_pkts[], uint32_t max);
uint32_t nsp_nfq_tx_burst(struct nsp_nfq_queue *queue,
                          struct nsp_pkt *const pkts[], uint32_t n,
                          bool ret_refused[]);
void nsp_nfq_drop_burst(struct nsp_nfq_queue *queue,
                        struct nsp_pkt *const pkts[], uint32_t n);

/* Reads the kernel's answers to verdicts up to the next packet. Receiving reads
 * them too: this is for when nothing is received any more. */
void nsp_nfq_read_answers(struct nsp_nfq_queue *queue);

int nsp_nfq_retain(struct nsp_nfq_queue *queue, struct nsp_pkt *pkt);
bool nsp_nfq_queue_can_receive(const struct nsp_nfq_queue *queue);

/* Room for descriptors, messages and verdicts (nfqueue_pool.c). init returns 0
 * or -ENOMEM; fini accepts a half-made pool. */
int nsp_nfq_pool_init(struct nsp_nfq_queue *queue) NSP_MUSTCHECK;
void nsp_nfq_pool_fini(struct nsp_nfq_queue *queue);

#endif /* NSP_IO_NFQUEUE_QUEUE_H */
