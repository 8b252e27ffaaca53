#ifndef NSP_FLOW_FLOW_TABLE_H
#define NSP_FLOW_FLOW_TABLE_H
#include "base/memory.h"
#include "flow/flow.h"

/* The flows of one worker, found by their packets, in memory that never grows.
 *
 * Bound      Fifteen places of 128 bytes and a bucket of 32 for every ten of
 *            'capacity_flows', 196 bytes a flow: nsp_flow_table_bytes(). A
 *            packet looks at two buckets and compares at most 30 keys, whoever
 *            made the packets and whatever they know.
 * Pressure   Tracking never fails for lack of room: something worth less goes.
 *            A flow is half-open until it is confirmed: TCP, when it is
 *            established and both ends have sent; others, at the third packet
 *            if both have. So whoever forges addresses makes half-open flows
 *            alone. Of these there are at most 'half_open_max' (and
 *            NSP_BURST_MAX); beyond, the one that was idle longest since
 *            another was sought goes, approximately. In a full table go, in
 *            this order, flows that are done (TIME_WAIT, CLOSED), half-open
 *            ones while more than a sixteenth of half_open_max, and of the next
 *            eight flows in memory the one idle longest. So a flood of
 *            half-open flows pushes out at most half_open_max / 16 others.
 * Ageing     A flow that was idle for longer than its timeout is gone for its
 *            next packet, which begins a new one, however late its memory is
 *            reclaimed.
 * Time       'now_ns' must not go backwards. Last-seen times are kept in
 *            milliseconds, modulo 2^32: nsp_flow_table_age() has to visit every
 *            flow once in 29 days.
 * Threads    One worker owns a table.
 * Cost       Hit: half a cache line of tags, mostly of the last cache, and one
 *            line of the flow, fetched for the whole burst at once. No
 *            allocation after create. */
struct nsp_flow_table;

#define NSP_FLOW_CAPACITY_MIN  16u
#define NSP_FLOW_CAPACITY_MAX  (1u << 27)
#define NSP_FLOW_TIMEOUT_S_MAX 1728000u /* 20 days. */

/* What a flow's timeout depends on, with the default in seconds. */
#define NSP_FLOW_TIMERS(X)                                                     \
    X(NSP_FLOW_TIMER_TCP_OPENING, 60)       /* SYN_SENT, SYN_RECEIVED. */      \
    X(NSP_FLOW_TIMER_TCP_ESTABLISHED, 7440) /* RFC 5382, section 5. */         \
    X(NSP_FLOW_TIMER_TCP_CLOSING, 240)      /* FIN_WAIT, CLOSING. */           \
    X(NSP_FLOW_TIMER_TCP_DONE, 30)          /* TIME_WAIT, CLOSED. */           \
    X(NSP_FLOW_TIMER_UDP_NEW, 30)                                              \
    X(NSP_FLOW_TIMER_UDP_ESTABLISHED, 300) /* RFC 4787, section 4.3. */        \
    X(NSP_FLOW_TIMER_ICMP, 30)                                                 \
    X(NSP_FLOW_TIMER_OTHER, 600)

enum nsp_flow_timer {
#define NSP_FLOW_TIMER_ENUM(id, seconds) id,
    NSP_FLOW_TIMERS(NSP_FLOW_TIMER_ENUM)
#undef NSP_FLOW_TIMER_ENUM
        NSP_FLOW_TIMER_COUNT
};

struct nsp_flow_config {
    uint32_t capacity_flows; /* NSP_FLOW_CAPACITY_MIN..MAX. */
    uint32_t half_open_max;  /* 1..capacity; 0: a quarter of it. */
    uint64_t secret[2];      /* Random, and nobody else's. */
    uint32_t timeout_s[NSP_FLOW_TIMER_COUNT]; /* ..TIMEOUT_S_MAX; 0: default. */
};

struct nsp_flow_stats {
    uint64_t flows, half_open_flows; /* Now. */
    uint64_t begun;                  /* = flows + all below but 'refused'. */
    uint64_t reopened; /* Begun anew in place: TCP, on the old ports. */
    uint64_t aged;     /* Idle for longer than their timeout. */
    uint64_t evicted_done, evicted_half_open, evicted_idle; /* Full. */
    uint64_t evicted_crowded; /* Both its buckets were full. */
    uint64_t refused; /* Packets left without a flow: only flows of the same
                       * burst were in the way. */
};

/* A packet's flow. */
struct nsp_flow_hit {
    struct nsp_flow *flow; /* NULL: the packet has no IP header, or was refused.
                            * Good until the next burst. */
    uint32_t number; /* Which packet of its way it is, from 1, modulo 2^32. */
    uint8_t way;     /* enum nsp_flow_way of the packet. */
    uint64_t stream; /* nsp_flow_stream(), where arrivals are tracked. */
};

/* Returns 0, -EINVAL for a field outside its range, or -ENOMEM; '*ret' is then
 * untouched. */
int nsp_flow_table_create(const struct nsp_flow_config *cfg,
                          const struct nsp_allocator *allocator,
                          struct nsp_flow_table **ret) NSP_MUSTCHECK;
struct nsp_flow_table *nsp_flow_table_destroy(struct nsp_flow_table *table);

/* Memory that a table of this capacity takes. */
size_t nsp_flow_table_bytes(uint32_t capacity_flows);

/* Finds or begins the flow of each of 'n' (at most NSP_BURST_MAX) parsed
 * packets, in order, and counts the packet in it. No flow of the burst is
 * evicted for a later packet of it. */
void nsp_flow_table_track_burst(struct nsp_flow_table *table,
                                struct nsp_pkt *const pkts[], uint32_t n,
                                uint64_t now_ns, struct nsp_flow_hit ret[]);

/* The same for packets of several moments: each at its arrival, but none before
 * 'now_ns', and none so late that a flow of the burst times out. 'views' may be
 * NULL; else each packet's says how it found its flow. */
void nsp_flow_table_track_arrivals(struct nsp_flow_table *table,
                                   struct nsp_pkt *const pkts[], uint32_t n,
                                   uint64_t now_ns,
                                   struct nsp_flow_view views[],
                                   struct nsp_flow_hit ret[]);

/* Whether 'n' more flows can begin before any has to go for them. */
bool nsp_flow_table_has_room(const struct nsp_flow_table *table, uint32_t n);

/* Looks at the next 'max' places of the table and removes flows that timed out;
 * returns how many. In one millisecond it goes round once, as no more can time
 * out. With three for each packet tracked, and some more when there is nothing
 * else to do, a table keeps no more dead flows than live ones. */
uint32_t nsp_flow_table_age(struct nsp_flow_table *table, uint64_t now_ns,
                            uint32_t max);

/* The flow of a parsed packet, or NULL. Counts nothing. */
const struct nsp_flow *nsp_flow_table_find(const struct nsp_flow_table *table,
                                           const struct nsp_pkt *pkt,
                                           uint64_t now_ns);

/* Walks over all flows: '*cursor' starts at 0. NULL at the end. */
const struct nsp_flow *nsp_flow_table_next(const struct nsp_flow_table *table,
                                           uint64_t now_ns, uint32_t *cursor);

void nsp_flow_table_read_stats(const struct nsp_flow_table *table,
                               struct nsp_flow_stats *ret);

#endif /* NSP_FLOW_FLOW_TABLE_H */
