#ifndef NETSHAPER_POLICY_H
#define NETSHAPER_POLICY_H
#include <stdint.h>

#include "netshaper/api.h"

NSP_BEGIN_DECLS

/* What to do with packets: an ordered list of rules, the first that matches
 * decides, no match passes. Plain data, copied by whoever takes it.
 *
 * Effects of one rule act in this order: loss, then the queue and serialiser of
 * 'rate_bitps', then the delay line. A packet that is lost takes no capacity.
 * Each rule keeps one queue for each direction that it applies to, so a rate
 * is that of a full-duplex link; forwarded packets have no direction and share
 * one. */

enum nsp_action {
    NSP_ACTION_PASS = 0, /* On to the effects below, if any. */
    NSP_ACTION_DROP,     /* Silently. */
    NSP_ACTION_REJECT,   /* With a TCP RST or an ICMP port unreachable. */
};

enum nsp_apply {
    NSP_APPLY_BOTH = 0,
    NSP_APPLY_INBOUND,
    NSP_APPLY_OUTBOUND,
};

enum nsp_queue_unit {
    NSP_QUEUE_DEFAULT = 0, /* 100 ms at the rule's rate, but >= 16 packets. */
    NSP_QUEUE_BYTES,
    NSP_QUEUE_PKTS,
    NSP_QUEUE_NS, /* The time the queued bytes take at the rule's rate. */
};

enum nsp_queue_drop {
    NSP_QUEUE_DROP_TAIL = 0, /* The arriving packet. */
    NSP_QUEUE_DROP_HEAD,     /* The longest-waiting packet. */
};

#define NSP_RULES_MAX      1024u
#define NSP_RATE_BITPS_MIN UINT64_C(8)
#define NSP_RATE_BITPS_MAX UINT64_C(1000000000000)
#define NSP_DELAY_NS_MAX   UINT64_C(3600000000000)
#define NSP_PPM_ONE        1000000u
#define NSP_OVERHEAD_MIN   (-64)
#define NSP_OVERHEAD_MAX   256

struct nsp_rule {
    const char *name;       /* For counters; NULL is "rule-N", from 1. */
    const char *match;      /* Filter; NULL is every intercepted packet. */
    uint8_t apply;          /* enum nsp_apply. */
    uint8_t action;         /* enum nsp_action. */
    uint8_t queue_unit;     /* enum nsp_queue_unit; needs rate_bitps. */
    uint8_t queue_drop;     /* enum nsp_queue_drop; needs rate_bitps. */
    uint32_t loss_ppm;      /* Independent loss, 0..NSP_PPM_ONE. */
    uint64_t delay_ns;      /* Fixed delay, 0..NSP_DELAY_NS_MAX. */
    uint64_t rate_bitps;    /* 0 none, else NSP_RATE_BITPS_MIN..MAX. */
    uint64_t queue_limit;   /* In queue_unit; >= 1 unless the default. */
    int32_t overhead_bytes; /* Charged on top of each IP packet's length,
                             * e.g. 38 for Ethernet on the wire. */
};

struct nsp_policy_spec {
    const struct nsp_rule *rules;
    uint32_t rule_count; /* 0..NSP_RULES_MAX. */
};

NSP_END_DECLS
#endif /* NETSHAPER_POLICY_H */
