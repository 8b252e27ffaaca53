#ifndef NSP_CONFIG_POLICY_DOC_H
#define NSP_CONFIG_POLICY_DOC_H
#include <stdbool.h>
#include <stdint.h>

#include "config/keys.h"
#include "config/schedule.h"
#include "netshaper/impair.h"

/* A policy file as written: a struct for each kind of mapping, a member for
 * each key (config/policy_keys.c). Names are not looked up yet. Numbers are
 * uint64_t whatever they count, in the library's units. */

/* How a packet loss came to be; the order is that of the words of 'model'. */
enum nsp_doc_model {
    NSP_DOC_RANDOM = 0,
    NSP_DOC_CORRELATED,
    NSP_DOC_GILBERT,
    NSP_DOC_FOUR_STATE,
    NSP_DOC_PATTERN,
    NSP_DOC_CONSECUTIVE,
    NSP_DOC_NTH,
    NSP_DOC_FIRST_N,
    NSP_DOC_TIMED,
    NSP_DOC_MODELS,
};

struct nsp_doc_loss {
    struct nsp_object at;
    uint64_t model;
    uint64_t chance, correlation;
    uint64_t p, r, bad_loss, good_loss, burst_milli;
    uint64_t p13, p31, p32, p23, p14;
    const char *pattern, *file;
    struct nsp_list chances;
    uint64_t n;
    uint64_t enter, loss, time_ns;
    bool mark_ce;
};

struct nsp_doc_delay {
    struct nsp_object at;
    uint64_t chance;
    uint64_t time_ns;
    struct nsp_list trace_ns;
    const char *file;
    uint64_t step_ns;
};

struct nsp_doc_jitter {
    struct nsp_object at;
    uint64_t range_ns, sd_ns;
    uint64_t distribution; /* enum nsp_delay_kind. */
    const char *file;
    uint64_t correlation;
    bool keep_order;
};

struct nsp_doc_ack_delay {
    struct nsp_object at;
    uint64_t time_ns, chance;
    bool all;
};

struct nsp_doc_reorder {
    struct nsp_object at;
    uint64_t within_ns, gap, chance, correlation;
};

struct nsp_doc_duplicate {
    struct nsp_object at;
    uint64_t chance, copies, spacing_ns, correlation;
};

/* What 'rewrite' puts in the place of the payload. */
struct nsp_doc_fill {
    uint8_t rewrite; /* enum nsp_tamper_rewrite. */
    uint8_t count;
    uint8_t bytes[NSP_TAMPER_FILL_MAX];
};

struct nsp_doc_tamper {
    struct nsp_object at;
    uint64_t chance, correlation;
    uint64_t flip, where, truncate_bytes, csum;
    struct nsp_doc_fill fill;
};

struct nsp_doc_windows {
    struct nsp_object at;
    uint64_t interval_ns, most_ns, pkts, bytes, chance;
};

struct nsp_doc_throttle {
    struct nsp_object at;
    uint64_t pkts, per_ns, burst, queue, chance;
};

struct nsp_doc_flap {
    struct nsp_object at;
    struct nsp_list times_ns;
    bool exponential, hold;
    uint64_t chance;
};

struct nsp_doc_cutoff {
    struct nsp_object at;
    uint64_t bytes, time_ns, stall_ns, chance;
    bool hold;
};

struct nsp_doc_mtu {
    struct nsp_object at;
    uint64_t max_bytes, excess, chance;
};

struct nsp_doc_tcp_window {
    struct nsp_object at;
    uint64_t max_bytes, chance;
};

struct nsp_doc_tcp_reset {
    struct nsp_object at;
    uint64_t chance, correlation, ends;
    bool once;
};

/* A part of a schedule of rates. */
struct nsp_doc_rate_step {
    struct nsp_object at;
    uint64_t for_ns, bitps, to_bitps;
};

struct nsp_doc_rate {
    struct nsp_object at;
    uint64_t bitps;
    struct nsp_list schedule; /* Of struct nsp_doc_rate_step. */
    bool repeat;
    const char *trace;
    uint64_t unit_ns, opportunity_bytes;
};

struct nsp_doc_link {
    struct nsp_doc_rate rate;
    struct nsp_quantity queue; /* Its unit is an enum nsp_queue_unit. */
    uint64_t queue_drop;
    int64_t overhead_bytes;
};

struct nsp_doc_effects {
    struct nsp_doc_delay delay;
    struct nsp_doc_jitter jitter;
    struct nsp_doc_ack_delay ack_delay;
    struct nsp_doc_reorder reorder;
    struct nsp_doc_windows windows;
    struct nsp_doc_loss loss, syn_loss;
    const char *loss_pattern; /* Short for a loss. */
    struct nsp_doc_duplicate duplicate;
    struct nsp_doc_tamper tamper;
    struct nsp_doc_throttle throttle;
    struct nsp_doc_flap flap;
    struct nsp_doc_cutoff cutoff;
    struct nsp_doc_mtu mtu;
    struct nsp_doc_tcp_window tcp_window;
    struct nsp_doc_tcp_reset tcp_reset;
};

/* What becomes of packets of one direction. */
struct nsp_doc_way {
    struct nsp_object at;
    struct nsp_doc_link link;
    struct nsp_doc_effects effects;
};

/* Which direction of a profile is meant. */
enum nsp_doc_profile_way {
    NSP_DOC_BOTH_WAYS = 0, /* Down for what comes in, up for what goes out. */
    NSP_DOC_DOWN,
    NSP_DOC_UP,
};

struct nsp_doc_profile_use {
    struct nsp_object at;
    const char *name; /* Or the path of a file. */
    uint64_t way;     /* enum nsp_doc_profile_way. */
};

/* A file that describes a link. */
struct nsp_doc_profile {
    struct nsp_object at;
    const char *description, *source, *note;
    bool verified;
    uint64_t rtt_ns; /* Instead of a delay. */
    struct nsp_doc_link link;
    struct nsp_doc_effects effects;
    struct nsp_doc_way down, up;
};

struct nsp_doc_intercept {
    struct nsp_object at;
    struct nsp_list on;     /* Of uint64_t: sets of enum nsp_hook. */
    struct nsp_list bridge; /* Of text. */
    struct nsp_list tap;    /* Of text. */
};

struct nsp_doc_set {
    struct nsp_object at;
    struct nsp_list prefixes, ports; /* Of text. */
    const char *file;
};

struct nsp_doc_class {
    struct nsp_object at;
    struct nsp_doc_link link;
};

struct nsp_doc_impairment {
    struct nsp_object at;
    struct nsp_doc_profile_use profile;
    struct nsp_doc_effects effects;
};

struct nsp_doc_limit {
    struct nsp_object at;
    struct nsp_quantity rate;  /* Its unit is an enum nsp_limit_unit. */
    struct nsp_quantity burst; /* The same: bytes go with bit/s. */
};

struct nsp_doc_when {
    struct nsp_object at;
    struct nsp_list days;  /* Of uint64_t: sets of days. */
    struct nsp_list hours; /* Of struct nsp_hours. */
};

struct nsp_doc_mark {
    uint32_t mark, mask;
};

struct nsp_doc_rule {
    struct nsp_object at;
    const char *name, *description;
    bool enabled;
    struct nsp_doc_when when;
    uint64_t direction; /* enum nsp_apply. */
    const char *match;
    uint64_t action; /* enum nsp_action. */
    bool go_on, count;
    uint64_t log_pps;
    const char *capture;
    struct nsp_doc_limit limit;
    uint64_t dscp, ecn, ttl, mss;
    struct nsp_doc_mark mark;
    const char *class_name, *impairment;
    struct nsp_doc_profile_use profile;
    struct nsp_doc_link link;
    struct nsp_doc_effects effects;
    struct nsp_doc_way inbound, outbound;
};

struct nsp_doc_default {
    struct nsp_object at;
    uint64_t action;
};

/* What changes at some time, and for how long. */
struct nsp_doc_step {
    struct nsp_object at;
    uint64_t at_ns, every_ns, for_ns, over_ns, tick_ns;
    const char *rule, *class_name, *impairment; /* One of them. */
    bool enabled;
    struct nsp_doc_way from, set;
};

struct nsp_doc_scenario {
    struct nsp_object at;
    uint64_t loop_ns;      /* 0: it does not begin anew. */
    struct nsp_list steps; /* Of struct nsp_doc_step. */
};

/* One file, or several taken together. */
struct nsp_policy_doc {
    struct nsp_object at;
    uint64_t version;
    struct nsp_list include; /* Of text. */
    struct nsp_doc_intercept intercept;
    struct nsp_list sets;        /* Of struct nsp_doc_set. */
    struct nsp_list classes;     /* Of struct nsp_doc_class. */
    struct nsp_list impairments; /* Of struct nsp_doc_impairment. */
    struct nsp_list rules;       /* Of struct nsp_doc_rule. */
    struct nsp_doc_default fallback;
    struct nsp_doc_scenario scenario;
};

extern const struct nsp_map nsp_policy_map, nsp_rule_map, nsp_class_map;
extern const struct nsp_map nsp_set_map, nsp_impairment_map, nsp_default_map;
extern const struct nsp_map nsp_rate_map, nsp_rate_step_map;
extern const struct nsp_map nsp_loss_map, nsp_delay_map, nsp_jitter_map;
extern const struct nsp_map nsp_ack_delay_map, nsp_reorder_map, nsp_windows_map;
extern const struct nsp_map nsp_duplicate_map, nsp_tamper_map, nsp_throttle_map;
extern const struct nsp_map nsp_flap_map, nsp_cutoff_map, nsp_mtu_map;
extern const struct nsp_map nsp_tcp_window_map, nsp_tcp_reset_map;
extern const struct nsp_map nsp_step_map, nsp_scenario_map;
extern const struct nsp_map nsp_way_map, nsp_profile_map, nsp_profile_use_map;
extern const struct nsp_map nsp_step_values_map; /* Of ways, too. */

/* Which keys each model of loss has. */
struct nsp_doc_model_keys {
    const char *needs[6], *may[3]; /* Ended by NULL. */
};
extern const struct nsp_doc_model_keys nsp_doc_models[NSP_DOC_MODELS];
/* Of Gilbert-Elliott by what it does, not how. */
extern const struct nsp_doc_model_keys nsp_doc_bursts;

#endif /* NSP_CONFIG_POLICY_DOC_H */
