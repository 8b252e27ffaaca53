#ifndef NETSHAPER_IMPAIR_H
#define NETSHAPER_IMPAIR_H
#include <stdbool.h>
#include <stdint.h>

#include "netshaper/api.h"

NSP_BEGIN_DECLS

/* What a bad link does to packets, as plain data. Zeroed, nothing. Arrays are
 * the caller's, and copied by whoever takes them.
 *
 * Chances  An effect that befalls some packets has 'ppm', where 0 is none, and
 *     often a correlation: with p and rho, a packet is hit with
 *         rho + (1 - rho) p  after one that was hit
 *         (1 - rho) p        after one that was not
 *     so that a share of exactly p is, in runs of 1 / ((1 - rho) (1 - p)).
 *     An effect that befalls all packets has 'spared_ppm', the share that it
 *     leaves alone as if it were not there.
 * Units    _ppm, 0..NSP_PPM_ONE, correlations below that; _ns; _bytes of IP
 *     packets, from the IP header on. */

#define NSP_PPM_ONE      1000000u
#define NSP_DELAY_NS_MAX UINT64_C(3600000000000)

/* --- Loss ---------------------------------------------------------------- */

enum nsp_loss_kind {
    /* Independent, or with correlation: impair/chance.h. */
    NSP_LOSS_CHANCE = 0,

    /* Gilbert-Elliott. From good to bad with p, from bad to good with r:
     *     share of packets in the bad state   p / (p + r)
     *     packets in it at a time, on average 1 / r
     *     loss      bad_loss p / (p + r) + good_loss r / (p + r)
     * bad_loss is 1 - h, good_loss 1 - k in other notations. */
    NSP_LOSS_GILBERT,

    /* The same by what it does: 'loss' in bursts of 'burst' packets on
     * average; r = 1 / burst, p = loss / (burst (1 - loss)), all in the bad
     * state are lost, none in the good. */
    NSP_LOSS_BURSTS,

    /* Four states: 1 good, 2 good within a burst, 3 lost within a burst, 4
     * lost alone, after which it is good again. Stationary, unnormalised:
     *     1: p31 p23   2: p13 p32   3: p13 p23   4: p14 p31 p23 */
    NSP_LOSS_FOUR_STATES,

    /* A list of what becomes of each packet, repeated. */
    NSP_LOSS_PATTERN,

    /* Loss by how many packets have been lost in a row: the first for none, and
     * the last for all beyond the list. With a last one of 0 no more than
     * count - 1 packets in a row are lost. */
    NSP_LOSS_CONSECUTIVE,

    NSP_LOSS_EVERY, /* Packets n, 2n, 3n... */
    NSP_LOSS_FIRST, /* The first n packets. */

    /* A packet that finds it good turns it bad with 'enter', for 'bad_ns' of
     * time and including itself; a packet that finds it bad is lost with
     * 'loss'. So bursts last as long whatever the rate of packets. */
    NSP_LOSS_TIMED,
};

#define NSP_LOSS_PATTERN_MAX     (1u << 20) /* Packets. */
#define NSP_LOSS_CONSECUTIVE_MAX 1024u
#define NSP_LOSS_BURST_MILLI_MAX 1000000000u /* A million packets. */
#define NSP_LOSS_BAD_NS_MAX      UINT64_C(3600000000000)

struct nsp_loss_config {
    uint8_t kind; /* enum nsp_loss_kind; says which of these counts. */
    bool mark_ce; /* Packets of senders that understand (ECT(0), ECT(1), or CE
                   * already) are marked CE (RFC 3168) instead of lost. */
    union {
        struct {
            uint32_t ppm;
            uint32_t correlation_ppm; /* Below NSP_PPM_ONE. */
        } chance;
        struct {
            uint32_t p_ppm, r_ppm; /* r > 0 unless p is 0. */
            uint32_t bad_loss_ppm, good_loss_ppm;
        } gilbert;
        struct {
            uint32_t ppm;         /* At most burst / (burst + 1). */
            uint32_t burst_milli; /* 1000 is one packet; that at least. */
        } bursts;
        struct {
            uint32_t p13_ppm, p31_ppm, p32_ppm, p23_ppm, p14_ppm;
        } four_states; /* p13 + p14 and p31 + p32 at most NSP_PPM_ONE. */
        struct {
            const uint8_t *lost; /* 0 or 1 for each packet; copied. */
            uint32_t pkts;       /* 1..NSP_LOSS_PATTERN_MAX. */
        } pattern;
        struct {
            const uint32_t *ppm; /* Copied. */
            uint32_t count;      /* 1..NSP_LOSS_CONSECUTIVE_MAX. */
        } consecutive;
        uint32_t every_pkts; /* >= 1. */
        uint32_t first_pkts;
        struct {
            uint32_t enter_ppm, loss_ppm;
            uint64_t bad_ns; /* 1..NSP_LOSS_BAD_NS_MAX. */
        } timed;
    };
};

/* --- Delay --------------------------------------------------------------- */

enum nsp_delay_kind {
    NSP_DELAY_CONSTANT = 0,
    NSP_DELAY_UNIFORM, /* mean - spread to mean + spread, that excluded. */
    /* Of these, spread is the standard deviation: */
    NSP_DELAY_NORMAL,
    NSP_DELAY_PARETO, /* Of shape 3; least mean - 0.577 spread. */
    /* A quarter of the normal quantile and three of the Pareto's, scaled. */
    NSP_DELAY_PARETO_NORMAL,
    NSP_DELAY_LOGNORMAL, /* Of the delay itself; never negative. */

    /* mean + spread * t / 8192 with each t of a table as likely as any other,
     * as netem's distribution files have it; they are sorted for correlation,
     * so their order does not matter. */
    NSP_DELAY_TABLE,

    /* A list of delays, repeated: one for each packet or, with a step, for each
     * 'trace_step_ns' of time since the stream's first packet. */
    NSP_DELAY_TRACE,
};

#define NSP_DELAY_TABLE_MAX 16384u
#define NSP_DELAY_TRACE_MAX (1u << 20)

struct nsp_delay_config {
    uint8_t kind; /* enum nsp_delay_kind. */
    bool keep_order;
    uint32_t correlation_ppm; /* Not of constants and traces. */
    uint64_t mean_ns;         /* 0..NSP_DELAY_NS_MAX. */
    uint64_t spread_ns;       /* 0..NSP_DELAY_NS_MAX; lognormal: at most ten
                               * times the mean, which is not 0. */
    const int16_t *table;     /* Copied. */
    uint32_t table_count;     /* 1..NSP_DELAY_TABLE_MAX. */
    const uint64_t *trace_ns; /* Each 0..NSP_DELAY_NS_MAX; copied. */
    uint32_t trace_count;     /* 1..NSP_DELAY_TRACE_MAX. */
    uint64_t trace_step_ns;   /* 0..NSP_DELAY_NS_MAX. */
    uint32_t spared_ppm;
};

/* A delay of TCP segments that acknowledge, added to the other. */
struct nsp_ack_delay_config {
    uint64_t delay_ns; /* 0 none, ..NSP_DELAY_NS_MAX. */
    bool all;          /* Every segment with ACK, else those that do nothing but
                        * acknowledge: no data, SYN, FIN or RST. */
    uint32_t spared_ppm;
};

/* --- Order --------------------------------------------------------------- */

/* Either some packets go at once, past those that their rule delays: after
 * gap - 1 delayed ones the next with a probability, from which the count begins
 * anew (netem's "reorder"). Where that is independent, 1 of gap - 1 + 1 / p
 * packets goes at once. Needs a delay, or nothing waits that could be
 * overtaken.
 *
 * Or some packets are late, by any time up to 'late_ns', all as likely. */
struct nsp_reorder_config {
    uint32_t ppm, correlation_ppm;
    uint32_t gap;     /* >= 1, or 0 with late_ns. */
    uint64_t late_ns; /* 1..NSP_DELAY_NS_MAX, or 0 with a gap. */
};

/* --- Copies -------------------------------------------------------------- */

#define NSP_DUPLICATE_COPIES_MAX 64u
#define NSP_DUPLICATE_NS_MAX     UINT64_C(3600000000000)

/* Copies of IP packets. Each meets what follows in its rule, and the rules
 * after, by itself, but is never duplicated again. */
struct nsp_duplicate_config {
    uint32_t ppm, correlation_ppm;
    uint32_t copies;     /* Beside the packet, 1..NSP_DUPLICATE_COPIES_MAX. */
    uint64_t spacing_ns; /* From each to the next, 0..NSP_DUPLICATE_NS_MAX. */
};

/* --- Damage -------------------------------------------------------------- */

enum nsp_tamper_where {
    NSP_TAMPER_PAYLOAD = 0, /* Of the transport; nothing where there is none. */
    NSP_TAMPER_IP_PAYLOAD,  /* Transport header and payload. */
    NSP_TAMPER_PACKET,      /* Anywhere from the IP header on. */
};

enum nsp_tamper_rewrite {
    NSP_TAMPER_KEEP = 0,
    NSP_TAMPER_FILL,   /* With given bytes, repeated. */
    NSP_TAMPER_RANDOM, /* With random bytes. */
};

enum nsp_tamper_csum {
    NSP_TAMPER_CSUM_KEEP = 0,
    NSP_TAMPER_CSUM_REPAIR, /* A UDP length beyond the packet too. */
    NSP_TAMPER_CSUM_BREAK,  /* The transport's. */
};

#define NSP_TAMPER_FLIP_MAX 64u
#define NSP_TAMPER_FILL_MAX 64u

/* Damage to the bytes of a packet, in this order: cut, payload rewritten, bits
 * flipped, checksum. A checksum that hardware was to complete is completed
 * first. Afterwards checksums are as they were (so wrong for what they cover,
 * as on a bad link), repaired (the damage reaches the application), or made
 * wrong. */
struct nsp_tamper_config {
    uint32_t ppm, correlation_ppm;
    uint32_t truncate_bytes; /* 0 none, else at least 20; an IPv6 header stays
                              * whole whatever is asked. */
    uint32_t flip_bits;      /* Different ones, 0..NSP_TAMPER_FLIP_MAX, or as
                              * many as there are. */
    uint8_t flip_where;      /* enum nsp_tamper_where. */
    uint8_t rewrite;         /* enum nsp_tamper_rewrite. */
    uint8_t csum;            /* enum nsp_tamper_csum. */
    uint8_t fill_bytes;      /* 1..NSP_TAMPER_FILL_MAX with NSP_TAMPER_FILL. */
    uint8_t fill[NSP_TAMPER_FILL_MAX];
};

/* --- Time ---------------------------------------------------------------- */

#define NSP_WINDOW_NS_MAX UINT64_C(3600000000000)

/* Bursts: packets wait for the next window and leave together, as behind a
 * radio that gets slots. Windows are moments, at intervals that are fixed or
 * drawn evenly from a range each; each direction has windows of its own, the
 * first one interval after the rule began. A packet leaves in the first window
 * that has room for it; one larger than all the bytes of a window has one to
 * itself. */
struct nsp_window_config {
    uint64_t min_ns, max_ns; /* Interval, 1..NSP_WINDOW_NS_MAX; 0 none. */
    uint32_t limit_pkts;     /* In a window; 0 is no limit. */
    uint32_t limit_bytes;    /* In a window; 0 is no limit. */
    uint32_t spared_ppm;
};

#define NSP_THROTTLE_PKTS_MAX UINT64_C(1000000000)
#define NSP_THROTTLE_NS_MAX   UINT64_C(3600000000000)
#define NSP_THROTTLE_HELD_MAX (1u << 20)

/* A limit of packets in time, for each direction: a token bucket that fills
 * with 'pkts' in each 'per_ns', evenly, and holds 'burst_pkts'. A packet takes
 * one. Without one it is dropped or, where a queue is asked for, waits. So over
 * every interval of T at most burst_pkts + T pkts / per_ns packets leave. */
struct nsp_throttle_config {
    uint64_t pkts;       /* 1..NSP_THROTTLE_PKTS_MAX; 0 none. */
    uint64_t per_ns;     /* 1..NSP_THROTTLE_NS_MAX. */
    uint32_t burst_pkts; /* 1..NSP_THROTTLE_HELD_MAX. */
    uint32_t queue_pkts; /* That may wait, 0 (drop)..NSP_THROTTLE_HELD_MAX. */
    uint32_t spared_ppm;
};

enum nsp_flap_kind {
    NSP_FLAP_SCHEDULE = 0,
    NSP_FLAP_EXPONENTIAL,
};

#define NSP_FLAP_TIMES_MAX 64u
#define NSP_FLAP_NS_MAX    UINT64_C(86400000000000)

/* A link that goes down and comes up again: by a schedule that repeats (a fixed
 * time up and down is one of two), or for exponential times of given means. It
 * begins up, with the first packet after the rule was put in force. */
struct nsp_flap_config {
    uint8_t kind;  /* enum nsp_flap_kind. */
    bool hold;     /* What comes while it is down waits, else it is dropped. */
    uint8_t count; /* Even, 2..NSP_FLAP_TIMES_MAX; exponential: 2; 0 none. */
    const uint64_t *times_ns; /* Up, down, up, down...: each
                               * 1..NSP_FLAP_NS_MAX, or the mean of each;
                               * copied. */
    uint32_t spared_ppm;
};

/* A connection that stalls or breaks off after so many bytes or so much time
 * since the first packet, whichever comes first. The packet that reaches the
 * limit still passes. */
struct nsp_cutoff_config {
    uint64_t after_bytes; /* 0 is no limit. */
    uint64_t after_ns;    /* 0 is no limit; both 0: none. */
    uint64_t stall_ns;    /* UINT64_MAX: for good. */
    bool hold;            /* What comes during a stall waits, else it is
                           * dropped. Not for good. */
    uint32_t spared_ppm;
};

/* --- Sizes --------------------------------------------------------------- */

enum nsp_mtu_excess {
    NSP_MTU_DROP = 0,
    NSP_MTU_ANSWER, /* Dropped, and the sender is told as a router would: ICMP
                     * "fragmentation needed" (RFC 1191), ICMPv6 "packet too
                     * big". IPv4 packets that may be fragmented pass, as a
                     * router would cut them. */
    NSP_MTU_TRUNCATE,
};

#define NSP_MTU_MIN 68u /* RFC 791, section 3.2. */
#define NSP_MTU_MAX 65535u

struct nsp_mtu_config {
    uint32_t max_bytes; /* NSP_MTU_MIN..NSP_MTU_MAX; 0 none. IPv6 ends do not go
                         * below 1280, RFC 8200, section 5. */
    uint8_t excess;     /* enum nsp_mtu_excess. */
    uint32_t spared_ppm;
};

#define NSP_TCP_WINDOW_MAX (UINT32_C(1) << 30) /* RFC 7323, section 2.3. */

/* Lowers the window that TCP segments announce to 'max_bytes'. The scale of
 * windows is learnt from the SYNs of both ends; of connections whose opening
 * was not seen, windows are taken to be unscaled, and so larger by the scale.
 */
struct nsp_tcp_window_config {
    uint32_t max_bytes; /* 1..NSP_TCP_WINDOW_MAX; 0 none. */
    uint32_t spared_ppm;
};

/* --- Resets -------------------------------------------------------------- */

enum nsp_tcp_reset_ends {
    NSP_TCP_RESET_BOTH = 0,
    NSP_TCP_RESET_SENDER, /* Of the segment that is hit. */
    NSP_TCP_RESET_RECEIVER,
};

/* TCP segments that break their connection: each that is hit is dropped, and
 * RSTs with right numbers go to one or both ends. */
struct nsp_tcp_reset_config {
    uint32_t ppm, correlation_ppm;
    uint8_t ends; /* enum nsp_tcp_reset_ends. */
    bool once;    /* Only the first that is hit, until the effect changes. */
};

NSP_END_DECLS
#endif /* NETSHAPER_IMPAIR_H */
