#ifndef NETSHAPER_IMPAIR_H
#define NETSHAPER_IMPAIR_H
#include <stdbool.h>
#include <stdint.h>

#include "netshaper/api.h"

NSP_BEGIN_DECLS

/* What a bad link does to packets, as plain data. Zeroed, nothing. Arrays are
 * the caller's, and copied by whoever takes them.
 *
 * Units  _ppm, 0..NSP_PPM_ONE; _ns. */

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
};

NSP_END_DECLS
#endif /* NETSHAPER_IMPAIR_H */
