/* The keys of each effect. */
#include "config/effect_keys.h"
#include "config/policy_doc.h"
#include "netshaper/packet.h"

const struct nsp_word nsp_queue_drop_words[] = {
    { "tail", NSP_QUEUE_DROP_TAIL },
    { "head", NSP_QUEUE_DROP_HEAD },
    { NULL, 0 },
};

static const struct nsp_word distributions[] = {
    { "uniform", NSP_DELAY_UNIFORM },
    { "normal", NSP_DELAY_NORMAL },
    { "pareto", NSP_DELAY_PARETO },
    { "pareto-normal", NSP_DELAY_PARETO_NORMAL },
    { "lognormal", NSP_DELAY_LOGNORMAL },
    { NULL, 0 },
};

static const struct nsp_word models[] = {
    { "random", NSP_DOC_RANDOM },
    { "correlated", NSP_DOC_CORRELATED },
    { "gilbert-elliott", NSP_DOC_GILBERT },
    { "ge", NSP_DOC_GILBERT },
    { "four-state", NSP_DOC_FOUR_STATE },
    { "pattern", NSP_DOC_PATTERN },
    { "consecutive", NSP_DOC_CONSECUTIVE },
    { "nth", NSP_DOC_NTH },
    { "first-n", NSP_DOC_FIRST_N },
    { "timed", NSP_DOC_TIMED },
    { NULL, 0 },
};

const struct nsp_doc_model_keys nsp_doc_models[NSP_DOC_MODELS] = {
    [NSP_DOC_RANDOM] = { { "chance" }, { NULL } },
    [NSP_DOC_CORRELATED] = { { "chance", "correlation" }, { NULL } },
    [NSP_DOC_GILBERT] = { { "p", "r" }, { "1-h", "1-k" } },
    [NSP_DOC_FOUR_STATE] = { { "p13", "p31" }, { "p32", "p23", "p14" } },
    [NSP_DOC_PATTERN] = { { NULL }, { "pattern", "file" } },
    [NSP_DOC_CONSECUTIVE] = { { "chances" }, { NULL } },
    [NSP_DOC_NTH] = { { "n" }, { NULL } },
    [NSP_DOC_FIRST_N] = { { "n" }, { NULL } },
    [NSP_DOC_TIMED] = { { "enter", "time" }, { "loss" } },
};

static const char *const model_firsts[NSP_DOC_MODELS] = {
    [NSP_DOC_RANDOM] = "chance",   [NSP_DOC_CORRELATED] = "chance",
    [NSP_DOC_GILBERT] = "p",       [NSP_DOC_FOUR_STATE] = "p13",
    [NSP_DOC_PATTERN] = "pattern", [NSP_DOC_CONSECUTIVE] = "chances",
    [NSP_DOC_NTH] = "n",           [NSP_DOC_FIRST_N] = "n",
    [NSP_DOC_TIMED] = "enter",
};

const struct nsp_doc_model_keys nsp_doc_bursts = { { "p", "burst" }, { NULL } };

/* --- Effects ----------------------------------------------------------------
 */

static const struct nsp_key rate_step_keys[] = {
    { "for", NSP_MEMBER(nsp_doc_rate_step, for_ns), .type = &nsp_value_time,
      .min = 1, .max = NSP_RATE_SEGMENT_NS_MAX, .is_needed = true,
      .otherwise = "write 'for: 10s'", .doc = "How long" },
    { "rate", NSP_MEMBER(nsp_doc_rate_step, bitps), .type = &nsp_value_rate,
      .min = NSP_RATE_BITPS_MIN, .max = NSP_RATE_BITPS_MAX, .is_needed = true,
      .otherwise = "write 'rate: 5mbit'", .doc = "The rate" },
    { "to", NSP_MEMBER(nsp_doc_rate_step, to_bitps), .type = &nsp_value_rate,
      .min = NSP_RATE_BITPS_MIN, .max = NSP_RATE_BITPS_MAX,
      .otherwise = "'rate' all the time",
      .doc = "The rate that is reached evenly" },
    { .name = NULL },
};
const struct nsp_map nsp_rate_step_map = {
    .name = "a part of a schedule",
    .keys = rate_step_keys,
    .bytes = sizeof(struct nsp_doc_rate_step),
};

static const struct nsp_word trace_units[] = {
    { "ms", 1000000 },
    { "ns", 1 },
    { NULL, 0 },
};
static const struct nsp_key rate_keys[] = {
    { "constant", NSP_MEMBER(nsp_doc_rate, bitps), .type = &nsp_value_rate,
      .min = NSP_RATE_BITPS_MIN, .max = NSP_RATE_BITPS_MAX,
      .doc = "Bits a second. 'rate: 5mbit' is short for it" },
    { "schedule", NSP_MEMBER(nsp_doc_rate, schedule), .shape = NSP_KEY_LIST,
      .most = NSP_RATE_SEGMENTS_MAX, .map = &nsp_rate_step_map,
      .doc = "Instead of it: rates one after the other" },
    { "repeat", NSP_MEMBER(nsp_doc_rate, repeat), .type = &nsp_value_bool,
      .fallback = "true",
      .doc = "Whether they begin anew; else the last one holds" },
    { "trace", NSP_MEMBER(nsp_doc_rate, trace), .type = &nsp_value_path,
      .doc = "Or a file of moments at which packets may leave, one a line, as "
             "Mahimahi has them" },
    { "unit", NSP_MEMBER(nsp_doc_rate, unit_ns), .type = &nsp_value_word,
      .words = trace_units, .fallback = "ms",
      .doc = "What the numbers of 'trace' count" },
    { "opportunity", NSP_MEMBER(nsp_doc_rate, opportunity_bytes),
      .type = &nsp_value_number, .min = 1, .max = 65535, .fallback = "1504",
      .doc = "Bytes that may leave at each; Mahimahi's packets have 4 bytes of "
             "'overhead'" },
    { .name = NULL },
};
const struct nsp_map nsp_rate_map = {
    .name = "a rate",
    .keys = rate_keys,
    .bytes = sizeof(struct nsp_doc_rate),
};

static const struct nsp_key loss_keys[] = {
    { "chance", NSP_MEMBER(nsp_doc_loss, chance), NSP_PERCENT,
      .doc = "Share of packets lost. 'loss: 5%' is short for it" },
    { "model", NSP_MEMBER(nsp_doc_loss, model), .type = &nsp_value_word,
      .words = models, .fallback = "random",
      .doc =
          "How losses come: *random* and *correlated* have a 'chance'; "
          "*gilbert-elliott* either 'p' and 'burst' or 'p', 'r', '1-h', "
          "'1-k'; *four-state* 'p13' to 'p14'; *pattern* 'pattern' or 'file'; "
          "*consecutive* 'chances'; *nth* and *first-n* 'n'; *timed* "
          "'enter', 'time', 'loss'" },
    { "correlation", NSP_MEMBER(nsp_doc_loss, correlation),
      .type = &nsp_value_percent, .max = NSP_PPM_ONE - 1,
      .doc = "How much a packet is lost because the one before was" },
    { "p", NSP_MEMBER(nsp_doc_loss, p), NSP_PERCENT,
      .doc = "With 'burst', the share of packets lost; else the chance of "
             "turning from good to bad" },
    { "burst", NSP_MEMBER(nsp_doc_loss, burst_milli), .type = &nsp_value_burst,
      .min = 1000, .max = NSP_LOSS_BURST_MILLI_MAX,
      .doc = "Packets lost in a row, on average" },
    { "r", NSP_MEMBER(nsp_doc_loss, r), NSP_PERCENT,
      .doc = "Chance of turning from bad to good" },
    { "1-h", NSP_MEMBER(nsp_doc_loss, bad_loss), NSP_PERCENT,
      .fallback = "100%", .doc = "Share of packets lost while bad" },
    { "1-k", NSP_MEMBER(nsp_doc_loss, good_loss), NSP_PERCENT, .fallback = "0%",
      .doc = "Share of packets lost while good" },
    { "p13", NSP_MEMBER(nsp_doc_loss, p13), NSP_PERCENT,
      .doc = "Chance that a burst begins" },
    { "p31", NSP_MEMBER(nsp_doc_loss, p31), NSP_PERCENT,
      .doc = "Chance that a burst ends" },
    { "p32", NSP_MEMBER(nsp_doc_loss, p32), NSP_PERCENT, .fallback = "0%",
      .doc = "Chance that a packet of a burst passes" },
    { "p23", NSP_MEMBER(nsp_doc_loss, p23), NSP_PERCENT, .fallback = "100%",
      .doc = "Chance that the burst then goes on" },
    { "p14", NSP_MEMBER(nsp_doc_loss, p14), NSP_PERCENT, .fallback = "0%",
      .doc = "Chance of a loss outside of bursts" },
    { "pattern", NSP_MEMBER(nsp_doc_loss, pattern), .type = &nsp_value_bits,
      .doc = "What becomes of each packet, 1 lost, over and over" },
    { "file", NSP_MEMBER(nsp_doc_loss, file), .type = &nsp_value_path,
      .doc = "A file with the pattern, 0 and 1 in as many lines as one likes; "
             "'#' begins a comment" },
    { "chances", NSP_MEMBER(nsp_doc_loss, chances), .shape = NSP_KEY_LIST,
      .most = NSP_LOSS_CONSECUTIVE_MAX, NSP_PERCENT,
      .doc = "Share lost after no loss, after one, after two in a row and so "
             "on; the last one goes on" },
    { "n", NSP_MEMBER(nsp_doc_loss, n), .type = &nsp_value_number, .min = 1,
      .max = UINT32_MAX, .doc = "Which packet, or how many" },
    { "enter", NSP_MEMBER(nsp_doc_loss, enter), NSP_PERCENT,
      .doc = "Chance for each packet that a bad time begins" },
    { "time", NSP_MEMBER(nsp_doc_loss, time_ns), .type = &nsp_value_time,
      .min = 1, .max = NSP_LOSS_BAD_NS_MAX,
      .doc = "How long a bad time lasts" },
    { "loss", NSP_MEMBER(nsp_doc_loss, loss), NSP_PERCENT, .fallback = "100%",
      .doc = "Share lost in bad times" },
    { "mark-ce", NSP_MEMBER(nsp_doc_loss, mark_ce), .type = &nsp_value_bool,
      .fallback = "false",
      .doc = "Whether packets of senders that know ECN are marked CE instead "
             "of lost" },
    { .name = NULL },
};
const struct nsp_map nsp_loss_map = { .name = "a loss",
                                      .keys = loss_keys,
                                      .bytes = sizeof(struct nsp_doc_loss),
                                      .choice = "model",
                                      .firsts = model_firsts };

#define CHANCE_KEY(owner, text)                                                \
    {                                                                          \
        "chance", NSP_MEMBER(owner, chance), NSP_PERCENT, .fallback = "100%",  \
                                                          .doc = text          \
    }
#define CORRELATION_KEY(owner)                                                 \
    {                                                                          \
        "correlation", NSP_MEMBER(owner, correlation),                         \
            .type = &nsp_value_percent, .max = NSP_PPM_ONE - 1,                \
            .fallback = "0%",                                                  \
            .doc = "How much a packet is hit because the one before was"       \
    }
#define SPARES "Share of packets that it is for; others are left alone"

static const struct nsp_key delay_keys[] = {
    { "time", NSP_MEMBER(nsp_doc_delay, time_ns), .type = &nsp_value_time,
      .max = NSP_DELAY_NS_MAX,
      .doc = "How long each packet waits. 'delay: 40ms' is short for it" },
    { "trace", NSP_MEMBER(nsp_doc_delay, trace_ns), .shape = NSP_KEY_LIST,
      .most = NSP_LIST_MAX, .type = &nsp_value_time, .max = NSP_DELAY_NS_MAX,
      .doc = "Instead of 'time': one after the other, over and over" },
    { "file", NSP_MEMBER(nsp_doc_delay, file), .type = &nsp_value_path,
      .doc = "A file with the 'trace', a time in each line; '#' begins a "
             "comment" },
    { "step", NSP_MEMBER(nsp_doc_delay, step_ns), .type = &nsp_value_time,
      .min = 1, .max = NSP_DELAY_NS_MAX,
      .otherwise = "each packet takes the next",
      .doc = "How long each delay of 'trace' is in force" },
    CHANCE_KEY(nsp_doc_delay, SPARES),
    { .name = NULL },
};
const struct nsp_map nsp_delay_map = { .name = "a delay",
                                       .keys = delay_keys,
                                       .bytes = sizeof(struct nsp_doc_delay) };

static const struct nsp_key jitter_keys[] = {
    { "range", NSP_MEMBER(nsp_doc_jitter, range_ns), .type = &nsp_value_time,
      .max = NSP_DELAY_NS_MAX,
      .doc = "Most that is added to or taken from the delay, all amounts "
             "being as likely. 'jitter: 10ms' is short for it" },
    { "sd", NSP_MEMBER(nsp_doc_jitter, sd_ns), .type = &nsp_value_time,
      .max = NSP_DELAY_NS_MAX,
      .doc = "Instead of 'range': the standard deviation" },
    { "distribution", NSP_MEMBER(nsp_doc_jitter, distribution),
      .type = &nsp_value_word, .words = distributions,
      .otherwise = "uniform with 'range', normal with 'sd'",
      .doc = "What the delays are like; all but *uniform* have an 'sd'" },
    { "file", NSP_MEMBER(nsp_doc_jitter, file), .type = &nsp_value_path,
      .doc = "A file with the distribution, as netem has them (*pareto.dist*): "
             "it goes with 'sd'" },
    { "correlation", NSP_MEMBER(nsp_doc_jitter, correlation),
      .type = &nsp_value_percent, .max = NSP_PPM_ONE - 1, .fallback = "0%",
      .doc = "How much a delay is like the one before" },
    { "keep-order", NSP_MEMBER(nsp_doc_jitter, keep_order),
      .type = &nsp_value_bool, .fallback = "false",
      .doc = "Whether packets wait for those that came before" },
    { .name = NULL },
};
const struct nsp_map nsp_jitter_map = { .name = "a jitter",
                                        .keys = jitter_keys,
                                        .bytes =
                                            sizeof(struct nsp_doc_jitter) };

static const struct nsp_key ack_delay_keys[] = {
    { "time", NSP_MEMBER(nsp_doc_ack_delay, time_ns), .type = &nsp_value_time,
      .max = NSP_DELAY_NS_MAX, .is_needed = true,
      .otherwise = "write 'ack-delay: 50ms'",
      .doc = "How long they wait. 'ack-delay: 50ms' is short for it" },
    { "all", NSP_MEMBER(nsp_doc_ack_delay, all), .type = &nsp_value_bool,
      .fallback = "false",
      .doc = "Whether segments with data that acknowledge as well wait, too" },
    CHANCE_KEY(nsp_doc_ack_delay, SPARES),
    { .name = NULL },
};
const struct nsp_map nsp_ack_delay_map = {
    .name = "an ack-delay",
    .keys = ack_delay_keys,
    .bytes = sizeof(struct nsp_doc_ack_delay),
};

static const struct nsp_key reorder_keys[] = {
    { "within", NSP_MEMBER(nsp_doc_reorder, within_ns), .type = &nsp_value_time,
      .min = 1, .max = NSP_DELAY_NS_MAX,
      .doc = "Most that a packet is late by. 'out-of-order: 50ms' is short for "
             "it" },
    { "gap", NSP_MEMBER(nsp_doc_reorder, gap), .type = &nsp_value_number,
      .min = 1, .max = UINT32_MAX,
      .doc = "Instead of 'within': after so many packets less one, the next "
             "goes past those that 'delay' holds" },
    CHANCE_KEY(nsp_doc_reorder,
               "Share of packets that are late; with 'gap' the "
               "chance of the next"),
    CORRELATION_KEY(nsp_doc_reorder),
    { .name = NULL },
};
const struct nsp_map nsp_reorder_map = {
    .name = "an out-of-order",
    .keys = reorder_keys,
    .bytes = sizeof(struct nsp_doc_reorder),
};

static const struct nsp_key windows_keys[] = {
    { "interval", NSP_MEMBER(nsp_doc_windows, interval_ns),
      .type = &nsp_value_time, .min = 1, .max = NSP_WINDOW_NS_MAX,
      .is_needed = true, .otherwise = "write 'burst: 100ms'",
      .doc =
          "Time from one burst to the next. 'burst: 100ms' is short for it" },
    { "up-to", NSP_MEMBER(nsp_doc_windows, most_ns), .type = &nsp_value_time,
      .min = 1, .max = NSP_WINDOW_NS_MAX, .otherwise = "always 'interval'",
      .doc = "With it, intervals are drawn evenly from 'interval' to this" },
    { "packets", NSP_MEMBER(nsp_doc_windows, pkts), .type = &nsp_value_number,
      .min = 1, .max = UINT32_MAX, .otherwise = "any number",
      .doc = "Most packets in a burst" },
    { "bytes", NSP_MEMBER(nsp_doc_windows, bytes), .type = &nsp_value_size,
      .min = 1, .max = UINT32_MAX, .otherwise = "any number",
      .doc = "Most bytes in a burst; a larger packet has one to itself" },
    CHANCE_KEY(nsp_doc_windows, SPARES),
    { .name = NULL },
};
const struct nsp_map nsp_windows_map = {
    .name = "a burst",
    .keys = windows_keys,
    .bytes = sizeof(struct nsp_doc_windows),
};

static const struct nsp_key duplicate_keys[] = {
    CHANCE_KEY(nsp_doc_duplicate,
               "Share of packets. 'duplicate: 1%' is short for it"),
    { "copies", NSP_MEMBER(nsp_doc_duplicate, copies),
      .type = &nsp_value_number, .min = 1, .max = NSP_DUPLICATE_COPIES_MAX,
      .fallback = "1", .doc = "Copies beside the packet itself" },
    { "spacing", NSP_MEMBER(nsp_doc_duplicate, spacing_ns),
      .type = &nsp_value_time, .max = NSP_DUPLICATE_NS_MAX, .fallback = "0",
      .doc = "Time from each to the next" },
    CORRELATION_KEY(nsp_doc_duplicate),
    { .name = NULL },
};
const struct nsp_map nsp_duplicate_map = {
    .name = "a duplicate",
    .keys = duplicate_keys,
    .bytes = sizeof(struct nsp_doc_duplicate),
};

static const struct nsp_word tamper_wheres[] = {
    { "payload", NSP_TAMPER_PAYLOAD },
    { "ip-payload", NSP_TAMPER_IP_PAYLOAD },
    { "packet", NSP_TAMPER_PACKET },
    { NULL, 0 },
};
static const struct nsp_word tamper_csums[] = {
    { "keep", NSP_TAMPER_CSUM_KEEP },
    { "repair", NSP_TAMPER_CSUM_REPAIR },
    { "break", NSP_TAMPER_CSUM_BREAK },
    { NULL, 0 },
};
static const struct nsp_key tamper_keys[] = {
    CHANCE_KEY(nsp_doc_tamper,
               "Share of packets. 'tamper: 1%' is short for it"),
    { "flip", NSP_MEMBER(nsp_doc_tamper, flip), .type = &nsp_value_number,
      .max = NSP_TAMPER_FLIP_MAX,
      .otherwise = "1, where nothing else is asked for",
      .doc = "Bits to flip, all different" },
    { "where", NSP_MEMBER(nsp_doc_tamper, where), .type = &nsp_value_word,
      .words = tamper_wheres, .fallback = "payload",
      .doc = "Where the bits are: in the *payload*, in the transport's header "
             "and payload (*ip-payload*), or anywhere in the *packet*" },
    { "truncate", NSP_MEMBER(nsp_doc_tamper, truncate_bytes),
      .type = &nsp_value_size, .min = 20, .max = 65535, .otherwise = "whole",
      .doc = "Bytes that are left of the packet, its IP header counted" },
    { "rewrite", NSP_MEMBER(nsp_doc_tamper, fill), .type = &nsp_value_fill,
      .otherwise = "kept", .doc = "What to write over the payload" },
    { "checksum", NSP_MEMBER(nsp_doc_tamper, csum), .type = &nsp_value_word,
      .words = tamper_csums, .fallback = "keep",
      .doc = "The checksum afterwards: as it was, and so wrong for what is "
             "damaged (*keep*), right (*repair*) or wrong in any case "
             "(*break*)" },
    CORRELATION_KEY(nsp_doc_tamper),
    { .name = NULL },
};
const struct nsp_map nsp_tamper_map = {
    .name = "a tamper",
    .keys = tamper_keys,
    .bytes = sizeof(struct nsp_doc_tamper),
};

static const struct nsp_key throttle_keys[] = {
    { "packets", NSP_MEMBER(nsp_doc_throttle, pkts), .type = &nsp_value_number,
      .min = 1, .max = NSP_THROTTLE_PKTS_MAX, .is_needed = true,
      .otherwise = "write 'throttle: 10000'",
      .doc = "How many. 'throttle: 10000' is short for so many in a second" },
    { "per", NSP_MEMBER(nsp_doc_throttle, per_ns), .type = &nsp_value_time,
      .min = 1, .max = NSP_THROTTLE_NS_MAX, .fallback = "1s",
      .doc = "In what time" },
    { "burst", NSP_MEMBER(nsp_doc_throttle, burst), .type = &nsp_value_number,
      .min = 1, .max = NSP_THROTTLE_HELD_MAX,
      .otherwise = "as 'packets', at most 1048576",
      .doc = "Packets that may pass at once after a pause" },
    { "queue", NSP_MEMBER(nsp_doc_throttle, queue), .type = &nsp_value_number,
      .max = NSP_THROTTLE_HELD_MAX, .fallback = "0",
      .doc = "Packets that may wait for their turn; others are dropped" },
    CHANCE_KEY(nsp_doc_throttle, SPARES),
    { .name = NULL },
};
const struct nsp_map nsp_throttle_map = {
    .name = "a throttle",
    .keys = throttle_keys,
    .bytes = sizeof(struct nsp_doc_throttle),
};

static const struct nsp_word mtu_excesses[] = {
    { "answer", NSP_MTU_ANSWER },
    { "drop", NSP_MTU_DROP },
    { "truncate", NSP_MTU_TRUNCATE },
    { NULL, 0 },
};
static const struct nsp_key mtu_keys[] = {
    { "size", NSP_MEMBER(nsp_doc_mtu, max_bytes), .type = &nsp_value_number,
      .min = NSP_MTU_MIN, .max = NSP_MTU_MAX, .is_needed = true,
      .otherwise = "write 'mtu-clamp: 1400'",
      .doc =
          "Bytes, from the IP header on. 'mtu-clamp: 1400' is short for it" },
    { "excess", NSP_MEMBER(nsp_doc_mtu, excess), .type = &nsp_value_word,
      .words = mtu_excesses, .fallback = "answer",
      .doc = "What becomes of larger ones: the sender is told, as routers do "
             "(*answer*); *drop* is silent; *truncate* cuts them" },
    CHANCE_KEY(nsp_doc_mtu, SPARES),
    { .name = NULL },
};
const struct nsp_map nsp_mtu_map = {
    .name = "an mtu-clamp",
    .keys = mtu_keys,
    .bytes = sizeof(struct nsp_doc_mtu),
};

static const struct nsp_key tcp_window_keys[] = {
    { "size", NSP_MEMBER(nsp_doc_tcp_window, max_bytes),
      .type = &nsp_value_number, .min = 1, .max = NSP_TCP_WINDOW_MAX,
      .is_needed = true, .otherwise = "write 'window-clamp: 65535'",
      .doc = "Bytes, with the window scale taken into account. "
             "'window-clamp: 65535' is short for it" },
    CHANCE_KEY(nsp_doc_tcp_window, SPARES),
    { .name = NULL },
};
const struct nsp_map nsp_tcp_window_map = {
    .name = "a window-clamp",
    .keys = tcp_window_keys,
    .bytes = sizeof(struct nsp_doc_tcp_window),
};

static const struct nsp_word reset_ends[] = {
    { "both", NSP_TCP_RESET_BOTH },
    { "sender", NSP_TCP_RESET_SENDER },
    { "receiver", NSP_TCP_RESET_RECEIVER },
    { NULL, 0 },
};
static const struct nsp_key tcp_reset_keys[] = {
    CHANCE_KEY(nsp_doc_tcp_reset, "Share of segments that break their "
                                  "connection. 'tcp-rst: 1%' is short for it"),
    { "ends", NSP_MEMBER(nsp_doc_tcp_reset, ends), .type = &nsp_value_word,
      .words = reset_ends, .fallback = "both",
      .doc = "Who is told: the sender of the segment, its receiver, or both" },
    { "once", NSP_MEMBER(nsp_doc_tcp_reset, once), .type = &nsp_value_bool,
      .fallback = "false",
      .doc = "Whether only the first segment that is hit does it" },
    CORRELATION_KEY(nsp_doc_tcp_reset),
    { .name = NULL },
};
const struct nsp_map nsp_tcp_reset_map = {
    .name = "a tcp-rst",
    .keys = tcp_reset_keys,
    .bytes = sizeof(struct nsp_doc_tcp_reset),
};

static const struct nsp_key flap_keys[] = {
    { "times", NSP_MEMBER(nsp_doc_flap, times_ns), .shape = NSP_KEY_LIST,
      .most = NSP_FLAP_TIMES_MAX, .type = &nsp_value_time, .min = 1,
      .max = NSP_FLAP_NS_MAX, .is_needed = true,
      .otherwise = "write 'flap: { times: [10s, 2s] }'",
      .doc = "How long it is up, down, up, down and so on, over and over" },
    { "exponential", NSP_MEMBER(nsp_doc_flap, exponential),
      .type = &nsp_value_bool, .fallback = "false",
      .doc = "Whether the two times are means of exponential ones" },
    { "hold", NSP_MEMBER(nsp_doc_flap, hold), .type = &nsp_value_bool,
      .fallback = "false",
      .doc = "Whether packets wait until it is up; else they are dropped" },
    CHANCE_KEY(nsp_doc_flap, SPARES),
    { .name = NULL },
};
const struct nsp_map nsp_flap_map = {
    .name = "a flap",
    .keys = flap_keys,
    .bytes = sizeof(struct nsp_doc_flap),
};

static const struct nsp_key cutoff_keys[] = {
    { "bytes", NSP_MEMBER(nsp_doc_cutoff, bytes), .type = &nsp_value_size,
      .min = 1, .max = UINT64_C(1) << 60, .otherwise = "any number",
      .doc = "After how much; the packet that reaches it passes" },
    { "time", NSP_MEMBER(nsp_doc_cutoff, time_ns), .type = &nsp_value_time,
      .min = 1, .max = NSP_FLAP_NS_MAX, .otherwise = "any time",
      .doc = "Or how long after the first packet" },
    { "stall", NSP_MEMBER(nsp_doc_cutoff, stall_ns), .type = &nsp_value_time,
      .min = 1, .max = NSP_FLAP_NS_MAX, .otherwise = "for good",
      .doc = "For how long" },
    { "hold", NSP_MEMBER(nsp_doc_cutoff, hold), .type = &nsp_value_bool,
      .fallback = "false",
      .doc = "Whether packets wait until the stall ends; else they are "
             "dropped" },
    CHANCE_KEY(nsp_doc_cutoff, SPARES),
    { .name = NULL },
};
const struct nsp_map nsp_cutoff_map = {
    .name = "a cutoff",
    .keys = cutoff_keys,
    .bytes = sizeof(struct nsp_doc_cutoff),
};

const struct nsp_alias nsp_effect_aliases[] = {
    { "bandwidth", "rate" },       { "drop", "loss" }, { "lag", "delay" },
    { "reorder", "out-of-order" }, { NULL, NULL },
};

/* --- A direction ------------------------------------------------------------
 */

static const struct nsp_key way_keys[] = {
    NSP_LINK_KEYS(nsp_doc_way, false),
    NSP_EFFECT_KEYS(nsp_doc_way),
    { .name = NULL },
};
const struct nsp_map nsp_way_map = { .name = "a direction",
                                     .keys = way_keys,
                                     .aliases = nsp_effect_aliases,
                                     .bytes = sizeof(struct nsp_doc_way) };

static const struct nsp_reserved_key step_keys[] = {
    { "enabled", "write it beside the rule's name, without 'set'" },
    { NULL, NULL },
};
const struct nsp_map nsp_step_values_map = { .name = "a set of values",
                                             .keys = way_keys,
                                             .aliases = nsp_effect_aliases,
                                             .outer = step_keys,
                                             .bytes =
                                                 sizeof(struct nsp_doc_way) };
