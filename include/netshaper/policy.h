#ifndef NETSHAPER_POLICY_H
#define NETSHAPER_POLICY_H
#include <stdbool.h>
#include <stdint.h>

#include "netshaper/api.h"
#include "netshaper/filter.h"
#include "netshaper/impair.h"

NSP_BEGIN_DECLS

/* What to do with packets: an ordered list of rules, the first that matches
 * decides, no match passes. Plain data, copied by whoever takes it.
 *
 * A rule that says 'go_on' does its part and lets the rules after it decide as
 * well, so several rules may act on one packet: their effects add up in rule
 * order.
 *
 * A rule acts in this order: count, limit, edits, what struct nsp_effects lists
 * up to 'tcp_window', then the queue and serialiser of its class, then the
 * windows, then the delay line. A packet that is lost takes no capacity. What
 * waits for a link that is down, or for a throttle, does so before the queue.
 * Bytes are changed last, when all rules have judged the packet as it came. A
 * class keeps one queue for each direction, so a rate is that of a full-duplex
 * link; forwarded packets have no direction and share one. */

/* What a host cannot stay on its network without (enum nsp_essential), going
 * and coming, is spared by rules that would drop, hold or limit packets, or set
 * their TTL, unless the rule's own filter or the start filter speaks of it
 * (nsp_filter_names()): to it these rules are not there.
 *
 * --- Parts of rules ------------------------------------------------------ */

enum nsp_action {
    NSP_ACTION_PASS = 0, /* On to what else the rule says, if anything. */
    NSP_ACTION_DROP,     /* Silently. */
    NSP_ACTION_REJECT,   /* With a TCP RST or an ICMP port unreachable. */
};

enum nsp_apply {
    NSP_APPLY_BOTH = 0,
    NSP_APPLY_INBOUND,
    NSP_APPLY_OUTBOUND,
};

enum nsp_queue_unit {
    NSP_QUEUE_DEFAULT = 0, /* 100 ms at the rate, but >= 16 packets. */
    NSP_QUEUE_BYTES,
    NSP_QUEUE_PKTS,
    NSP_QUEUE_NS, /* The time the queued bytes take at the rate. */
};

enum nsp_queue_drop {
    NSP_QUEUE_DROP_TAIL = 0, /* The arriving packet. */
    NSP_QUEUE_DROP_HEAD,     /* The longest-waiting packet. */
};

#define NSP_RATE_SEGMENTS_MAX      4096u
#define NSP_RATE_STEPS_MAX         65536u
#define NSP_RATE_SEGMENT_NS_MAX    UINT64_C(86400000000000)
#define NSP_RATE_OPPORTUNITIES_MAX (1u << 23)

struct nsp_rate_segment {
    uint64_t duration_ns;          /* 1..NSP_RATE_SEGMENT_NS_MAX. */
    uint64_t from_bitps, to_bitps; /* 0 or NSP_RATE_BITPS_MIN..MAX; a ramp
                                    * where they differ. */
};

/* A rate that changes with time, from the first packets on that the engine sees
 * after the policy was put in force: a schedule, or a trace of opportunities.
 */
struct nsp_rate_plan_config {
    /* Either these, one after another; after the last they begin anew or, not
     * to be repeated, its rate holds for good. A ramp is made of up to 1000
     * steps, at least 1 ms each, of which NSP_RATE_STEPS_MAX at most. */
    const struct nsp_rate_segment *segments;
    uint32_t segment_count;
    bool repeat;

    /* Or these: at each up to 'opportunity_bytes' leave at once. Not
     * descending, up to NSP_RATE_SEGMENT_NS_MAX; after the last one, which is
     * above 0, the trace begins anew. (Mahimahi's traces: its milliseconds, and
     * 1504 bytes with 4 of overhead.) */
    const uint64_t *opportunities_ns;
    uint32_t opportunity_count;
    uint32_t opportunity_bytes; /* 1..65535. */
};

/* A rate and the queue in front of it. Limits of the queue in time are counted
 * with the mean rate of a plan. */
struct nsp_link_rate {
    uint64_t rate_bitps;    /* 0 none, else NSP_RATE_BITPS_MIN..MAX. */
    uint64_t queue_limit;   /* In queue_unit; >= 1 unless the default. */
    uint8_t queue_unit;     /* enum nsp_queue_unit; needs a rate. */
    uint8_t queue_drop;     /* enum nsp_queue_drop; needs a rate. */
    int32_t overhead_bytes; /* Charged on top of each IP packet's length,
                             * e.g. 38 for Ethernet on the wire. */
    const struct nsp_rate_plan_config *plan; /* Instead of rate_bitps; NULL
                                              * none. Copied. */
};

/* What a rule makes of the packets' way, zeroed nothing; in the order in which
 * packets meet it. */
struct nsp_effects {
    struct nsp_cutoff_config cutoff;
    struct nsp_flap_config flap;
    struct nsp_mtu_config mtu;
    struct nsp_loss_config syn_loss; /* Of TCP SYNs without ACK alone. */
    struct nsp_loss_config loss;
    struct nsp_tcp_reset_config tcp_reset;
    struct nsp_throttle_config throttle;
    struct nsp_duplicate_config duplicate;
    struct nsp_tamper_config tamper;
    struct nsp_tcp_window_config tcp_window;
    struct nsp_window_config windows;
    struct nsp_delay_config delay;
    struct nsp_ack_delay_config ack_delay;
    struct nsp_reorder_config reorder;
};

/* A policer: drops what comes faster than 'rate', in bursts above 'burst'
 * (RFC 2697's committed bucket, full at first), as reason "limit". */
enum nsp_limit_unit {
    NSP_LIMIT_NONE = 0,
    NSP_LIMIT_BITPS, /* burst in bytes, charged as IP bytes. */
    NSP_LIMIT_PPS,   /* burst in packets. */
};
struct nsp_limit {
    uint8_t unit;   /* enum nsp_limit_unit. */
    uint64_t rate;  /* In 'unit': 1..NSP_RATE_BITPS_MAX. */
    uint64_t burst; /* 0: 100 ms at the rate, at least 64 KiB or 16 packets;
                     * at most NSP_LIMIT_BURST_MAX. */
};

/* Header fields to set. Where a packet has no such header, nothing is. */
enum nsp_edit {
    NSP_EDIT_DSCP = 1 << 0,
    NSP_EDIT_ECN = 1 << 1,
    NSP_EDIT_TTL = 1 << 2,  /* IPv4 TTL, IPv6 hop limit. */
    NSP_EDIT_MSS = 1 << 3,  /* Lowered to this in TCP SYNs. */
    NSP_EDIT_MARK = 1 << 4, /* The kernel's, where the device has one. */
};
struct nsp_edits {
    uint32_t which;           /* Set of enum nsp_edit. */
    uint32_t mark, mark_mask; /* Bits of mark_mask are set to those of mark. */
    uint16_t mss;             /* NSP_MSS_MIN at least. */
    uint8_t dscp;             /* 0..63. */
    uint8_t ecn;              /* 0..3. */
    uint8_t ttl;              /* >= 1. */
};

#define NSP_RULES_MAX       16384u
#define NSP_CLASSES_MAX     4096u
#define NSP_IMPAIRMENTS_MAX 4096u
#define NSP_NAME_MAX        63u /* Bytes of a name. */
#define NSP_RATE_BITPS_MIN  UINT64_C(8)
#define NSP_RATE_BITPS_MAX  UINT64_C(1000000000000)
#define NSP_OVERHEAD_MIN    (-64)
#define NSP_OVERHEAD_MAX    256
#define NSP_LIMIT_BURST_MAX UINT64_C(1000000000000)
#define NSP_MSS_MIN                                                            \
    88u /* Linux goes no lower (TCP_MIN_MSS in                                 \
         * include/net/tcp.h). */

/* --- Policies ------------------------------------------------------------ */

/* A rate shared by all rules that name it. */
struct nsp_class {
    const char *name;
    struct nsp_link_rate link;
};

/* Effects shared by all rules that name them; each rule keeps a state of its
 * own. */
struct nsp_impairment {
    const char *name;
    struct nsp_effects effects;
};

struct nsp_rule {
    const char *name;       /* Unique; NULL is "rule-N", from 1. */
    const char *match;      /* Filter; NULL is every intercepted packet. */
    bool disabled;          /* Never matches; its state and counters stay. */
    bool go_on;             /* The rules after it decide as well. */
    uint8_t apply;          /* enum nsp_apply. */
    uint8_t action;         /* enum nsp_action. */
    const char *class_name; /* Instead of 'link'; NULL none. */
    const char *impairment; /* Instead of 'effects'; NULL none. */
    struct nsp_link_rate link;
    struct nsp_effects effects;
    struct nsp_limit limit;
    struct nsp_edits edits;
    bool capture;     /* Reported as an event, with its bytes (event.h). */
    uint32_t log_pps; /* Reported as events, at most so many a second, and as
                       * many at once; 0 none. */
};

struct nsp_policy_spec {
    const struct nsp_rule *rules;
    uint32_t rule_count; /* 0..NSP_RULES_MAX. */
    const struct nsp_class *classes;
    uint32_t class_count; /* 0..NSP_CLASSES_MAX. */
    const struct nsp_impairment *impairments;
    uint32_t impairment_count;                /* 0..NSP_IMPAIRMENTS_MAX. */
    const struct nsp_filter_options *filters; /* Of every 'match', the sets
                                               * too; NULL: the default. */
};

/* Tells whether rule 'index' of 'spec', whose compiled filter is 'filter' (NULL
 * without one), spares packets that are 'essential'. */
NSP_API bool nsp_policy_spares(const struct nsp_policy_spec *spec,
                               uint32_t index, const struct nsp_filter *filter,
                               enum nsp_essential essential);

NSP_END_DECLS
#endif /* NETSHAPER_POLICY_H */
