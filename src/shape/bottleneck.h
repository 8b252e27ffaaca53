#ifndef NSP_SHAPE_BOTTLENECK_H
#define NSP_SHAPE_BOTTLENECK_H
#include "base/memory.h"
#include "netshaper/packet.h"
#include "netshaper/policy.h"
#include "shape/rate_plan.h"

/* A bottleneck link: a finite buffer in front of a serialiser.
 *
 * A packet of L charged bytes that reaches the head of the queue at time s
 * leaves at s + 8 L / rate: it takes its serialisation time even on an idle
 * link, and idleness earns no credit. While the queue never empties, the bytes
 * that leave in any interval of T seconds differ from rate_bitps / 8 * T by at
 * most one packet, however late dequeue is called: a departure is counted from
 * the scheduled one before it, never from the call. (The "link" form of
 * netem's rate; arithmetic is exact, remainders are carried, and a departure
 * between two nanoseconds is due at the later one.) With a plan the same holds
 * of the rate of each moment: shape/rate_plan.h.
 *
 * Order      First in, first out.
 * Bound      'limit' in 'unit', not counting the packet being serialised. When
 *            an arrival does not fit: tail drop refuses it, head drop evicts
 *            from the front until it fits. One packet always fits. A packet
 *            whose departure has come no longer counts, collected or not.
 * Units      _ns (caller's clock, not going backwards), _bytes (pkt->ip_bytes
 *            plus overhead, but at least 1), _bitps.
 * Ownership  enqueue moves a packet in or hands back a victim; dequeue and
 *            flush move packets out. Uses pkt->timer while a packet is inside.
 * Threads    One worker owns a bottleneck.
 * Cost       O(packets moved); no allocation after create. */
struct nsp_bottleneck;

struct nsp_bottleneck_config {
    uint64_t rate_bitps;    /* NSP_RATE_BITPS_MIN..NSP_RATE_BITPS_MAX; 0 with a
                             * plan. */
    uint64_t limit;         /* >= 1; ignored for NSP_QUEUE_DEFAULT. */
    uint8_t unit;           /* enum nsp_queue_unit. */
    uint8_t drop;           /* enum nsp_queue_drop. */
    int32_t overhead_bytes; /* NSP_OVERHEAD_MIN..NSP_OVERHEAD_MAX. */
    const struct nsp_rate_plan *plan; /* NULL, or outlives the bottleneck. Its
                                       * mean rate stands for limits in time. */
    uint64_t start_ns;                /* Time 0 of the plan. */
};

/* Returns 0, -EINVAL for a field outside its range, or -ENOMEM. Packets left at
 * destroy are forgotten. */
int nsp_bottleneck_create(const struct nsp_bottleneck_config *cfg,
                          const struct nsp_allocator *allocator,
                          struct nsp_bottleneck **ret) NSP_MUSTCHECK;
struct nsp_bottleneck *nsp_bottleneck_destroy(struct nsp_bottleneck *b);

/* Changes rate, limit and overhead at 'now_ns'. The packet on the wire leaves
 * when it would have; no packet that waits is dropped, even if the new limit is
 * below what waits. Returns 0 or -EINVAL, with nothing changed. Cost: with
 * another overhead, a walk over what waits. */
int nsp_bottleneck_set_config(struct nsp_bottleneck *b, uint64_t now_ns,
                              const struct nsp_bottleneck_config *cfg)
    NSP_MUSTCHECK;

/* Sends 'pkt' on its way at 'now_ns' where it need not wait: the link is idle,
 * nothing is inside, and its rate is constant. Sets timer.due_ns to its
 * departure, which nothing changes any more, and returns true; the caller keeps
 * it. Those that come meanwhile find the link busy. */
bool nsp_bottleneck_pass(struct nsp_bottleneck *b, uint64_t now_ns,
                         struct nsp_pkt *pkt) NSP_MUSTCHECK;

/* Offers 'pkt' at 'now_ns'. Returns the packets dropped for it, a list linked
 * by timer.next that may be 'pkt' itself; NULL when all fit. The caller owns
 * them. */
struct nsp_pkt *nsp_bottleneck_enqueue(struct nsp_bottleneck *b,
                                       uint64_t now_ns,
                                       struct nsp_pkt *pkt) NSP_MUSTCHECK;

/* Takes up to 'max' packets whose departure is not after 'now_ns', sets each
 * one's timer.due_ns to its scheduled departure, and returns how many. */
uint32_t nsp_bottleneck_dequeue(struct nsp_bottleneck *b, uint64_t now_ns,
                                struct nsp_pkt *ret_pkts[], uint32_t max);

/* The earliest departure: of the packet being serialised or, when dequeue is
 * behind, of the first one that it has not collected; NSP_TIME_NEVER when
 * empty. */
uint64_t nsp_bottleneck_due_ns(const struct nsp_bottleneck *b);

/* Takes up to 'max' packets at once, whatever the time, in order. The link is
 * as busy afterwards as if they had left on schedule. */
uint32_t nsp_bottleneck_flush(struct nsp_bottleneck *b,
                              struct nsp_pkt *ret_pkts[], uint32_t max);

/* Packets inside, the one being serialised included. */
uint32_t nsp_bottleneck_backlog_pkts(const struct nsp_bottleneck *b);

#endif /* NSP_SHAPE_BOTTLENECK_H */
