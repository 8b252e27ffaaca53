#ifndef NSP_FLOW_FLOW_H
#define NSP_FLOW_FLOW_H
#include "flow/flow_key.h"
#include "netshaper/flow.h"

/* One flow, on two cache lines. What each packet reads and writes is on the
 * first; of the second, IPv4 needs nothing but at the beginning and the end.
 *
 * Ownership  A flow belongs to its table and lives until that removes it: a
 *            pointer is good until the next burst is tracked.
 * Threads    The table's owner alone. */

#define NSP_FLOW_NS_PER_MS UINT64_C(1000000)

enum nsp_flow_flag {
    NSP_FLOW_ORIGIN = 1 << 0,     /* Way of the first packet, as a bit. */
    NSP_FLOW_FIN = 1 << 1,        /* TCP: FIN seen, shifted by the way. */
    NSP_FLOW_NEXT_KNOWN = 1 << 3, /* 'next_hi' is set, shifted likewise. */
    NSP_FLOW_CONFIRMED = 1 << 5,  /* Both ends take part; see the table. */
    NSP_FLOW_ACTIVE = 1 << 6,     /* Used since the table last looked. */
    NSP_FLOW_SPILLED = 1 << 7,    /* In its second bucket. */
};

struct nsp_flow {
    uint32_t ipv4[NSP_FLOW_WAYS];
    uint32_t ports; /* As in the key, like the next two. */
    uint8_t proto;
    uint8_t kind;  /* 0: no flow here. */
    uint8_t state; /* enum nsp_flow_state. */
    uint8_t flags; /* enum nsp_flow_flag. */
    /* Free for one later part: zeroed in a new flow, otherwise left alone. The
     * stamp is meant to say what the value was computed from. */
    uint32_t stamp[NSP_FLOW_WAYS];
    uint16_t value[NSP_FLOW_WAYS];
    uint16_t next_hi[NSP_FLOW_WAYS]; /* TCP: upper half of the sequence number
                                      * that this way is to send next, as the
                                      * other way last acknowledged. */
    uint64_t bytes[NSP_FLOW_WAYS];   /* Of IP packets. */
    uint32_t pkts_low[NSP_FLOW_WAYS];
    uint32_t last_ms[NSP_FLOW_WAYS]; /* Last seen, modulo 2^32. */

    /* The second line. */
    uint8_t ipv6[NSP_FLOW_WAYS][16];
    uint64_t first_ns;       /* First seen. */
    uint32_t reply_first_ms; /* First seen against the way of the first packet,
                              * modulo 2^32. */
    uint16_t pkts_high[NSP_FLOW_WAYS]; /* Above NSP_FLOW_SCALE, in which TCP
                                        * has 1 + the window scale that this
                                        * way's SYN offered; 0 if none. */
    struct nsp_flow_hash hash;
    uint32_t prev, next; /* In the table's lists. */
};
static_assert(sizeof(struct nsp_flow) == 2 * NSP_CACHE_LINE, "two lines");

/* The beginning that a flow has in common with its key, without a gap. */
#define NSP_FLOW_KEY_BYTES (offsetof(struct nsp_flow, kind) + 1)
static_assert(NSP_FLOW_KEY_BYTES == 14 &&
                  offsetof(struct nsp_flow_key, ports) ==
                      offsetof(struct nsp_flow, ports) &&
                  offsetof(struct nsp_flow_key, proto) ==
                      offsetof(struct nsp_flow, proto) &&
                  offsetof(struct nsp_flow_key, kind) ==
                      offsetof(struct nsp_flow, kind),
              "keys are compared as bytes");

static inline enum nsp_flow_way
nsp_flow_origin(const struct nsp_flow *flow)
{
    return (flow->flags & NSP_FLOW_ORIGIN) != 0 ? NSP_FLOW_HIGH : NSP_FLOW_LOW;
}

#define NSP_FLOW_SCALE      0x0fu
#define NSP_FLOW_SCALE_BITS 4

/* Packets of one way, modulo 2^44. */
static inline uint64_t
nsp_flow_pkts(const struct nsp_flow *flow, enum nsp_flow_way way)
{
    return (uint64_t)(flow->pkts_high[way] >> NSP_FLOW_SCALE_BITS) << 32 |
           flow->pkts_low[way];
}

/* The scale of the windows that a way announces: none unless both offered. */
static inline uint8_t
nsp_flow_window_scale(const struct nsp_flow *flow, enum nsp_flow_way way)
{
    uint32_t own = flow->pkts_high[way] & NSP_FLOW_SCALE;
    uint32_t others = flow->pkts_high[1 - way] & NSP_FLOW_SCALE;

    return (uint8_t)(own != 0 && others != 0 ? own - 1 : 0);
}

/* Tells whether nothing more is expected of the flow. */
static inline bool
nsp_flow_is_done(const struct nsp_flow *flow)
{
    return flow->state >= NSP_FLOW_TIME_WAIT;
}

/* A number that the flow's packets of one way have in common, and no others. */
static inline uint64_t
nsp_flow_stream(const struct nsp_flow *flow, enum nsp_flow_way way)
{
    uint64_t hash = (uint64_t)flow->hash.half[0] << 32 | flow->hash.half[1];

    return (hash ^ flow->first_ns) * 2 + way;
}

/* The flow as a packet of 'way' finds it at 'now_ns'. Written member by member
 * where it is to be: a copy would wait for each of them to be stored. */
static inline void
nsp_flow_read_view(const struct nsp_flow *flow, enum nsp_flow_way way,
                   uint64_t now_ns, struct nsp_flow_view *ret)
{
    ret->pkts =
        nsp_flow_pkts(flow, NSP_FLOW_LOW) + nsp_flow_pkts(flow, NSP_FLOW_HIGH);
    ret->bytes = flow->bytes[NSP_FLOW_LOW] + flow->bytes[NSP_FLOW_HIGH];
    ret->age_ms = (now_ns - flow->first_ns) / NSP_FLOW_NS_PER_MS;
    ret->state = flow->state;
    ret->is_reply = way != nsp_flow_origin(flow);
    ret->window_scale = nsp_flow_window_scale(flow, way);
}

#endif /* NSP_FLOW_FLOW_H */
