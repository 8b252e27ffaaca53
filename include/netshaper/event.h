#ifndef NETSHAPER_EVENT_H
#define NETSHAPER_EVENT_H
#include <stdbool.h>
#include <stdint.h>

#include "netshaper/api.h"
#include "netshaper/packet.h"

NSP_BEGIN_DECLS

/* What rules that log or capture report of packets: the packet as it came to
 * the rules, before its fate. A packet gives one event for each such rule that
 * acts on it, two where the rule does both.
 *
 * Workers leave events in rings (nsp_engine_config.event_ring_bytes), and never
 * wait for who reads them: an event that does not fit is lost, and counted
 * (nsp_stats.events_lost). That holds in virtual time too, where a loop is done
 * before a reader has taken notice; so a capture file run through a policy
 * keeps its first events. */
enum nsp_event_kind {
    NSP_EVENT_LOG = 1, /* 'log_pps': a rule's bucket of that many packets, full
                        * at first, lets through so many a second. */
    NSP_EVENT_CAPTURE, /* 'capture'. */
};

#define NSP_EVENT_RING_BYTES (1u << 20)

/* Bytes of a packet that are kept. */
#define NSP_EVENT_LOG_BYTES     128u
#define NSP_EVENT_CAPTURE_BYTES (256u << 10)

struct nsp_event {
    uint8_t kind;                     /* enum nsp_event_kind. */
    uint8_t direction;                /* enum nsp_direction. */
    uint8_t hook;                     /* enum nsp_hook, 0 if none. */
    uint8_t link;                     /* enum nsp_link. */
    uint16_t flags;                   /* Set of enum nsp_pkt_flag. */
    uint32_t in_ifindex, out_ifindex; /* 0 when unknown. */
    uint32_t wire_bytes, cap_bytes;
    uint64_t at_ns; /* Arrival, of the engine's clock. */
    const char *rule;
    const uint8_t *data; /* 'cap_bytes' of them. */
};

/* 'event' and what it points to are valid during the call. */
typedef void nsp_event_fn(void *context, const struct nsp_event *event);

/* --- Fates ---------------------------------------------------------------
 * What becomes of each packet, told as it leaves the engine: with the packet as
 * it goes to the device, before the device has it. One that the device then
 * refuses was told as delivered, and is counted as dropped (tx-failed). */

/* What was done to a packet on its way. */
enum nsp_fate_effect {
    NSP_FATE_QUEUED = 1 << 0,  /* It passed the queue of a rate. */
    NSP_FATE_DELAYED = 1 << 1, /* It was given a delay. */
    NSP_FATE_EDITED = 1 << 2,  /* Its bytes are others. */
};

struct nsp_fate {
    struct nsp_pkt *pkt; /* Its 'note' may be set, and nothing else. */
    const char *rule;    /* The deciding one's name; NULL: none matched. */
    uint8_t effects;     /* Set of enum nsp_fate_effect. */
    bool dropped;
    uint8_t reason; /* enum nsp_drop_reason, of a dropped one. */
    uint64_t at_ns; /* When it leaves, of the engine's clock. */
};

/* A burst of 'count' packets, at most NSP_BURST_MAX, that leave worker
 * 'worker'; called on that worker's thread, in the order in which they leave.
 * Notes must stay valid until its next call. Runs on the hot path, as the
 * packet callback does. */
typedef void nsp_fates_fn(void *context, uint32_t worker,
                          const struct nsp_fate fates[], uint32_t count);

NSP_END_DECLS
#endif /* NETSHAPER_EVENT_H */
