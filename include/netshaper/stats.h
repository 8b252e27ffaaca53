#ifndef NETSHAPER_STATS_H
#define NETSHAPER_STATS_H
#include <stdbool.h>
#include <stdint.h>

#include "netshaper/api.h"

NSP_BEGIN_DECLS

/* Why a packet was dropped: one line gives enumerator, name and text. */
#define NSP_DROP_REASONS(X)                                                    \
    X(NSP_DROP_RULE, "rule", "a rule says drop")                               \
    X(NSP_DROP_REJECT, "reject", "a rule says reject")                         \
    X(NSP_DROP_CALLBACK, "callback", "the packet callback says drop")          \
    X(NSP_DROP_LOSS, "loss", "random loss")                                    \
    X(NSP_DROP_SYN_LOSS, "syn-loss", "loss of TCP SYNs")                       \
    X(NSP_DROP_LINK_DOWN, "link-down", "the link of a rule is down")           \
    X(NSP_DROP_CUT_OFF, "cut-off", "after what a rule's cut-off lets through") \
    X(NSP_DROP_MTU, "mtu", "larger than a rule's MTU")                         \
    X(NSP_DROP_RESET, "reset", "a rule's TCP reset took its place")            \
    X(NSP_DROP_THROTTLE, "throttle",                                           \
      "more packets than a rule's throttle lets through")                      \
    X(NSP_DROP_LIMIT, "limit", "more than a rule's limit lets through")        \
    X(NSP_DROP_QUEUE_FULL, "queue-full", "a rate limit's queue was full")      \
    X(NSP_DROP_HELD_FULL, "held-full",                                         \
      "more packets to hold at once than the engine was sized for")            \
    X(NSP_DROP_CANNOT_HOLD, "cannot-hold",                                     \
      "a callback's delay where the device cannot make packets wait")          \
    X(NSP_DROP_NO_BUFFER, "no-buffer",                                         \
      "no buffer for a copy, or for an edited packet that has to wait")        \
    X(NSP_DROP_TX_FAILED, "tx-failed", "the device refused to send it")

enum nsp_drop_reason {
#define NSP_DROP_ENUM(id, name, text) id,
    NSP_DROP_REASONS(NSP_DROP_ENUM)
#undef NSP_DROP_ENUM
        NSP_DROP_COUNT
};

/* Counters of an engine since its start. One reading is one instant for each
 * worker, so in every reading
 *
 *     in_pkts + duplicated_pkts =
 *         delivered_pkts + sum(dropped_pkts) + queued_pkts
 *
 * and the same for bytes. Bytes count from the IP header on. A packet is what
 * the device hands over: where no rule has a rate or a loss and no callback may
 * edit, that may be a superpacket, many segments in one. So the packets counted
 * of the same traffic differ with the policy, the bytes by the headers. What
 * the start filter does not match, a device may leave in the kernel (tap): that
 * never comes in. */
struct nsp_stats {
    uint64_t in_pkts, in_bytes;
    uint64_t delivered_pkts, delivered_bytes;
    uint64_t dropped_pkts[NSP_DROP_COUNT], dropped_bytes[NSP_DROP_COUNT];
    uint64_t queued_pkts, queued_bytes;         /* Held now. */
    uint64_t duplicated_pkts, duplicated_bytes; /* Copies asked for. */
    uint64_t matched_pkts;        /* Of in_pkts: the start filter matched. */
    uint64_t kernel_decided_pkts; /* Of in_pkts: the kernel passed or dropped
                                   * them by the rules. */
    uint64_t malformed_pkts; /* Of in_pkts: a header is cut or contradictory. */
    uint64_t modified_pkts;  /* Of delivered_pkts: edited. */
    uint64_t injected_pkts;  /* Sent besides: rejections and injections. */
    uint64_t inject_failed_pkts;

    /* What the kernel did with packets that never reached the engine. What
     * nfqueue lets pass by, its queue being full, nobody counts. */
    uint64_t passed_by_pkts;      /* A worker gave no sign of life in time. */
    uint64_t kernel_dropped_pkts; /* Its queue was full, or memory was short. */
    uint64_t kernel_lost_pkts;    /* They did not fit the socket's buffer. */

    /* Of delivered_pkts and dropped_pkts: the kernel had flushed them before
     * our verdict, so none was sent. It does so when an interface goes down or
     * is removed, and when a netfilter hook is unregistered. */
    uint64_t stale_verdict_pkts;
    uint64_t device_errors;
    uint64_t wakeups;     /* Times a worker slept and woke. */
    uint64_t events_lost; /* Nobody read them in time (event.h). */
};

/* Counters of one rule. A rule that goes on acts on packets that another
 * decides; so what it hit is more than what it decided, for which the same
 * identity holds: copies count as packets here. */
struct nsp_rule_stats {
    char name[64];
    uint64_t hit_pkts, hit_bytes; /* It acted on these. */
    uint64_t last_hit_ns;         /* Of the engine's clock; 0: never. */
    uint64_t in_pkts, in_bytes;   /* It decided these. */
    uint64_t delivered_pkts, delivered_bytes;
    uint64_t dropped_pkts[NSP_DROP_COUNT];
    uint64_t dropped_bytes;
    uint64_t queued_pkts, queued_bytes;
};

/* Counters of one class: in = sent + dropped + queued, in packets and bytes. A
 * packet is sent when it has passed the serialiser. */
struct nsp_class_stats {
    char name[64];
    bool of_rule; /* The rate of the rule of this name. */
    uint64_t in_pkts, in_bytes;
    uint64_t sent_pkts, sent_bytes;
    uint64_t dropped_pkts, dropped_bytes; /* The queue was full. */
    uint64_t queued_pkts, queued_bytes;
};

NSP_API const char *nsp_drop_reason_name(enum nsp_drop_reason reason);
NSP_API const char *nsp_drop_reason_text(enum nsp_drop_reason reason);

NSP_END_DECLS
#endif /* NETSHAPER_STATS_H */
