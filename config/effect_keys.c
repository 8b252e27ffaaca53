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
    { .name = NULL },
};
const struct nsp_map nsp_loss_map = { .name = "a loss",
                                      .keys = loss_keys,
                                      .bytes = sizeof(struct nsp_doc_loss),
                                      .choice = "model",
                                      .firsts = model_firsts };

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

/* --- A direction ------------------------------------------------------------
 */

static const struct nsp_key way_keys[] = {
    NSP_LINK_KEYS(nsp_doc_way, false),
    NSP_EFFECT_KEYS(nsp_doc_way),
    { .name = NULL },
};
const struct nsp_map nsp_way_map = { .name = "a direction",
                                     .keys = way_keys,
                                     .bytes = sizeof(struct nsp_doc_way) };
