/* Every key of a policy file. The reader, nsp-policy(5), the JSON Schema and
 * the printer are made from these tables. */
#include "config/policy_doc.h"
#include "config/policy_file.h"
#include "config/values.h"
#include "netshaper/packet.h"

#define MEMBER(type, member) .offset = (uint16_t)offsetof(struct type, member)
#define PERCENT              .type = &nsp_value_percent, .min = 0, .max = NSP_PPM_ONE
#define LIST_MAX             100000u
#define NAMES_MAX            4096u

/* --- Words -----------------------------------------------------------------
 */

static const struct nsp_word hooks[] = {
    { "input", NSP_HOOK_INPUT },
    { "output", NSP_HOOK_OUTPUT },
    { "forward", NSP_HOOK_FORWARD },
    { "host", NSP_HOOK_INPUT | NSP_HOOK_OUTPUT },
    { NULL, 0 },
};

static const struct nsp_word actions[] = {
    { "pass", NSP_ACTION_PASS },
    { "drop", NSP_ACTION_DROP },
    { "reject", NSP_ACTION_REJECT },
    { NULL, 0 },
};

static const struct nsp_word directions[] = {
    { "both", NSP_APPLY_BOTH },
    { "inbound", NSP_APPLY_INBOUND },
    { "outbound", NSP_APPLY_OUTBOUND },
    { NULL, 0 },
};

static const struct nsp_word queue_drops[] = {
    { "tail", NSP_QUEUE_DROP_TAIL },
    { "head", NSP_QUEUE_DROP_HEAD },
    { NULL, 0 },
};

static const struct nsp_word ecn_marks[] = {
    { "not-ect", 0 }, { "ect1", 1 }, { "ect0", 2 }, { "ce", 3 }, { NULL, 0 },
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

const struct nsp_doc_model_keys nsp_doc_bursts = { { "p", "burst" }, { NULL } };

/* --- Effects ----------------------------------------------------------------
 */

static const struct nsp_key loss_keys[] = {
    { "chance", MEMBER(nsp_doc_loss, chance), PERCENT,
      .doc = "Share of packets lost. 'loss: 5%' is short for it" },
    { "model", MEMBER(nsp_doc_loss, model), .type = &nsp_value_word,
      .words = models, .fallback = "random",
      .doc =
          "How losses come: *random* and *correlated* have a 'chance'; "
          "*gilbert-elliott* either 'p' and 'burst' or 'p', 'r', '1-h', "
          "'1-k'; *four-state* 'p13' to 'p14'; *pattern* 'pattern' or 'file'; "
          "*consecutive* 'chances'; *nth* and *first-n* 'n'; *timed* "
          "'enter', 'time', 'loss'" },
    { "correlation", MEMBER(nsp_doc_loss, correlation),
      .type = &nsp_value_percent, .max = NSP_PPM_ONE - 1,
      .doc = "How much a packet is lost because the one before was" },
    { "p", MEMBER(nsp_doc_loss, p), PERCENT,
      .doc = "With 'burst', the share of packets lost; else the chance of "
             "turning from good to bad" },
    { "burst", MEMBER(nsp_doc_loss, burst_milli), .type = &nsp_value_burst,
      .min = 1000, .max = NSP_LOSS_BURST_MILLI_MAX,
      .doc = "Packets lost in a row, on average" },
    { "r", MEMBER(nsp_doc_loss, r), PERCENT,
      .doc = "Chance of turning from bad to good" },
    { "1-h", MEMBER(nsp_doc_loss, bad_loss), PERCENT, .fallback = "100%",
      .doc = "Share of packets lost while bad" },
    { "1-k", MEMBER(nsp_doc_loss, good_loss), PERCENT, .fallback = "0%",
      .doc = "Share of packets lost while good" },
    { "p13", MEMBER(nsp_doc_loss, p13), PERCENT,
      .doc = "Chance that a burst begins" },
    { "p31", MEMBER(nsp_doc_loss, p31), PERCENT,
      .doc = "Chance that a burst ends" },
    { "p32", MEMBER(nsp_doc_loss, p32), PERCENT, .fallback = "0%",
      .doc = "Chance that a packet of a burst passes" },
    { "p23", MEMBER(nsp_doc_loss, p23), PERCENT, .fallback = "100%",
      .doc = "Chance that the burst then goes on" },
    { "p14", MEMBER(nsp_doc_loss, p14), PERCENT, .fallback = "0%",
      .doc = "Chance of a loss outside of bursts" },
    { "pattern", MEMBER(nsp_doc_loss, pattern), .type = &nsp_value_bits,
      .doc = "What becomes of each packet, 1 lost, over and over" },
    { "file", MEMBER(nsp_doc_loss, file), .type = &nsp_value_path,
      .doc = "A file with the pattern, 0 and 1 in as many lines as one likes; "
             "'#' begins a comment" },
    { "chances", MEMBER(nsp_doc_loss, chances), .shape = NSP_KEY_LIST,
      .most = NSP_LOSS_CONSECUTIVE_MAX, PERCENT,
      .doc = "Share lost after no loss, after one, after two in a row and so "
             "on; the last one goes on" },
    { "n", MEMBER(nsp_doc_loss, n), .type = &nsp_value_number, .min = 1,
      .max = UINT32_MAX, .doc = "Which packet, or how many" },
    { "enter", MEMBER(nsp_doc_loss, enter), PERCENT,
      .doc = "Chance for each packet that a bad time begins" },
    { "time", MEMBER(nsp_doc_loss, time_ns), .type = &nsp_value_time, .min = 1,
      .max = NSP_LOSS_BAD_NS_MAX, .doc = "How long a bad time lasts" },
    { "loss", MEMBER(nsp_doc_loss, loss), PERCENT, .fallback = "100%",
      .doc = "Share lost in bad times" },
    { .name = NULL },
};
const struct nsp_map nsp_loss_map = { "a loss", loss_keys, NULL,
                                      sizeof(struct nsp_doc_loss) };

static const struct nsp_key delay_keys[] = {
    { "time", MEMBER(nsp_doc_delay, time_ns), .type = &nsp_value_time,
      .max = NSP_DELAY_NS_MAX,
      .doc = "How long each packet waits. 'delay: 40ms' is short for it" },
    { "trace", MEMBER(nsp_doc_delay, trace_ns), .shape = NSP_KEY_LIST,
      .most = LIST_MAX, .type = &nsp_value_time, .max = NSP_DELAY_NS_MAX,
      .doc = "Instead of 'time': one after the other, over and over" },
    { "file", MEMBER(nsp_doc_delay, file), .type = &nsp_value_path,
      .doc = "A file with the 'trace', a time in each line; '#' begins a "
             "comment" },
    { "step", MEMBER(nsp_doc_delay, step_ns), .type = &nsp_value_time, .min = 1,
      .max = NSP_DELAY_NS_MAX, .otherwise = "each packet takes the next",
      .doc = "How long each delay of 'trace' is in force" },
    { .name = NULL },
};
const struct nsp_map nsp_delay_map = { "a delay", delay_keys, NULL,
                                       sizeof(struct nsp_doc_delay) };

static const struct nsp_key jitter_keys[] = {
    { "range", MEMBER(nsp_doc_jitter, range_ns), .type = &nsp_value_time,
      .max = NSP_DELAY_NS_MAX,
      .doc = "Most that is added to or taken from the delay, all amounts "
             "being as likely. 'jitter: 10ms' is short for it" },
    { "sd", MEMBER(nsp_doc_jitter, sd_ns), .type = &nsp_value_time,
      .max = NSP_DELAY_NS_MAX,
      .doc = "Instead of 'range': the standard deviation" },
    { "distribution", MEMBER(nsp_doc_jitter, distribution),
      .type = &nsp_value_word, .words = distributions,
      .otherwise = "uniform with 'range', normal with 'sd'",
      .doc = "What the delays are like; all but *uniform* have an 'sd'" },
    { "file", MEMBER(nsp_doc_jitter, file), .type = &nsp_value_path,
      .doc = "A file with the distribution, as netem has them (*pareto.dist*): "
             "it goes with 'sd'" },
    { "correlation", MEMBER(nsp_doc_jitter, correlation),
      .type = &nsp_value_percent, .max = NSP_PPM_ONE - 1, .fallback = "0%",
      .doc = "How much a delay is like the one before" },
    { "keep-order", MEMBER(nsp_doc_jitter, keep_order), .type = &nsp_value_bool,
      .fallback = "false",
      .doc = "Whether packets wait for those that came before" },
    { .name = NULL },
};
const struct nsp_map nsp_jitter_map = { "a jitter", jitter_keys, NULL,
                                        sizeof(struct nsp_doc_jitter) };

#define EFFECT_KEYS(owner)                                                     \
    { "delay",                                                                 \
      MEMBER(owner, effects.delay),                                            \
      .type = &nsp_value_time,                                                 \
      .map = &nsp_delay_map,                                                   \
      .otherwise = "none",                                                     \
      .doc = "Delay of every packet: a time, or a mapping" },                  \
        { "jitter",                                                            \
          MEMBER(owner, effects.jitter),                                       \
          .type = &nsp_value_time,                                             \
          .map = &nsp_jitter_map,                                              \
          .otherwise = "none",                                                 \
          .doc = "How delays differ: a time, or a mapping" },                  \
    {                                                                          \
        "loss", MEMBER(owner, effects.loss),                                   \
            .type = &nsp_value_percent, .map = &nsp_loss_map,                  \
            .otherwise = "none",                                               \
            .doc = "Loss of packets: a share, or a mapping"                    \
    }

#define LINK_KEYS(owner, needed)                                               \
    { "rate",                                                                  \
      MEMBER(owner, link.rate_bitps),                                          \
      .type = &nsp_value_rate,                                                 \
      .min = NSP_RATE_BITPS_MIN,                                               \
      .max = NSP_RATE_BITPS_MAX,                                               \
      .is_needed = needed,                                                     \
      .otherwise = needed ? "write 'rate: 5mbit'" : "none",                    \
      .doc = "Rate at which packets go on" },                                  \
        { "queue", MEMBER(owner, link.queue), .type = &nsp_value_queue,        \
          .otherwise = "100ms, and room for 16 packets at least",              \
          .doc = "Room for packets that wait for the rate" },                  \
        { "queue-drop",                                                        \
          MEMBER(owner, link.queue_drop),                                      \
          .type = &nsp_value_word,                                             \
          .words = queue_drops,                                                \
          .fallback = "tail",                                                  \
          .doc = "Which packet is dropped when there is no room: the "         \
                 "arriving, or the one that has waited longest" },             \
    {                                                                          \
        "overhead", MEMBER(owner, link.overhead_bytes),                        \
            .type = &nsp_value_signed, .min = -(NSP_OVERHEAD_MIN),             \
            .max = NSP_OVERHEAD_MAX, .fallback = "0",                          \
            .doc = "Bytes charged on top of each IP packet; 38 is Ethernet "   \
                   "on the wire"                                               \
    }

/* --- Parts of a policy --------------------------------------------------- */

static const struct nsp_key intercept_keys[] = {
    { "on", MEMBER(nsp_doc_intercept, on), .shape = NSP_KEY_LIST, .most = 4,
      .type = &nsp_value_word, .words = hooks, .is_needed = true,
      .otherwise = "write 'on: host', or input, output, forward",
      .doc = "Where packets are taken out of the stack; *host* is input and "
             "output" },
    { .name = NULL },
};
#define NO_DEVICE "intercept 'on' input, output, forward or host"
static const struct nsp_reserved_key intercept_reserved[] = {
    { "bridge", "this version has no bridge: " NO_DEVICE },
    { "device", "this version chooses the device: " NO_DEVICE },
    { "tap", "this version chooses the device: " NO_DEVICE },
    { "nfqueue", "this version chooses the device: " NO_DEVICE },
    { "afxdp", "this version has no bridge: " NO_DEVICE },
    { NULL, NULL },
};
static const struct nsp_map intercept_map = {
    "intercept", intercept_keys, intercept_reserved,
    sizeof(struct nsp_doc_intercept)
};

static const struct nsp_key set_keys[] = {
    { "prefixes", MEMBER(nsp_doc_set, prefixes), .shape = NSP_KEY_LIST,
      .most = LIST_MAX, .type = &nsp_value_text,
      .doc = "Addresses, prefixes (10.0.0.0/8) or ranges (10.0.0.1-10.0.0.9)" },
    { "ports", MEMBER(nsp_doc_set, ports), .shape = NSP_KEY_LIST,
      .most = LIST_MAX, .type = &nsp_value_text,
      .doc = "Ports or ranges of them (8000-8080)" },
    { "file", MEMBER(nsp_doc_set, file), .type = &nsp_value_path,
      .doc = "A file with more of them, one in each line; '#' begins a "
             "comment" },
    { .name = NULL },
};
const struct nsp_map nsp_set_map = { "a set", set_keys, NULL,
                                     sizeof(struct nsp_doc_set) };

#define NO_TREE                                                                \
    "classes are one rate with its queue; the tree with guarantees, "          \
    "borrowing and AQM comes later"
static const struct nsp_reserved_key class_reserved[] = {
    { "min", NO_TREE },    { "ceil", NO_TREE },     { "prio", NO_TREE },
    { "parent", NO_TREE }, { "aqm", NO_TREE },      { "priority", NO_TREE },
    { "weight", NO_TREE }, { "quantum", NO_TREE },  { "borrow", NO_TREE },
    { "burst", NO_TREE },  { "max", NO_TREE },      { "guarantee", NO_TREE },
    { "codel", NO_TREE },  { "fq-codel", NO_TREE }, { NULL, NULL },
};
static const struct nsp_key class_keys[] = {
    LINK_KEYS(nsp_doc_class, true),
    { .name = NULL },
};
const struct nsp_map nsp_class_map = { "a class", class_keys, class_reserved,
                                       sizeof(struct nsp_doc_class) };

static const struct nsp_key impairment_keys[] = {
    EFFECT_KEYS(nsp_doc_impairment),
    { .name = NULL },
};
const struct nsp_map nsp_impairment_map = { "an impairment", impairment_keys,
                                            NULL,
                                            sizeof(struct nsp_doc_impairment) };

static const struct nsp_key when_keys[] = {
    { "days", MEMBER(nsp_doc_when, days), .shape = NSP_KEY_LIST, .most = 7,
      .type = &nsp_value_days, .otherwise = "every day",
      .doc = "Days of the week; those of hours that go on after midnight are "
             "the days on which they begin" },
    { "hours", MEMBER(nsp_doc_when, hours), .shape = NSP_KEY_LIST,
      .most = NSP_HOURS_MAX, .type = &nsp_value_hours, .otherwise = "all day",
      .doc = "Hours of local time" },
    { .name = NULL },
};
static const struct nsp_map when_map = { "when", when_keys, NULL,
                                         sizeof(struct nsp_doc_when) };

static const struct nsp_key limit_keys[] = {
    { "rate", MEMBER(nsp_doc_limit, rate), .type = &nsp_value_limit_rate,
      .min = 1, .max = NSP_RATE_BITPS_MAX, .is_needed = true,
      .otherwise = "write 'rate: 10mbit' or 'rate: 100pps'",
      .doc = "Bits or packets a second. 'limit: 10mbit' is short for it" },
    { "burst", MEMBER(nsp_doc_limit, burst), .type = &nsp_value_limit_burst,
      .otherwise = "100 ms at the rate, at least 64kb or 16p",
      .doc = "How much may come at once" },
    { .name = NULL },
};
static const struct nsp_map limit_map = { "a limit", limit_keys, NULL,
                                          sizeof(struct nsp_doc_limit) };

static const struct nsp_key rule_keys[] = {
    { "name", MEMBER(nsp_doc_rule, name), .type = &nsp_value_name,
      .otherwise = "rule-N, counted from 1",
      .doc = "Unique; counters and state are kept under it over a reload" },
    { "description", MEMBER(nsp_doc_rule, description), .type = &nsp_value_text,
      .doc = "For people" },
    { "enabled", MEMBER(nsp_doc_rule, enabled), .type = &nsp_value_bool,
      .fallback = "true",
      .doc = "Whether the rule ever matches; its counters stay" },
    { "when", MEMBER(nsp_doc_rule, when), .map = &when_map,
      .otherwise = "always", .doc = "When the rule is in force" },
    { "direction", MEMBER(nsp_doc_rule, direction), .type = &nsp_value_word,
      .words = directions, .fallback = "both",
      .doc = "Which packets it is for. Forwarded packets have no direction, "
             "so only *both* is for them" },
    { "match", MEMBER(nsp_doc_rule, match), .type = &nsp_value_filter,
      .otherwise = "every packet", .doc = "Which packets it is for" },
    { "continue", MEMBER(nsp_doc_rule, go_on), .type = &nsp_value_bool,
      .fallback = "false",
      .doc = "Whether rules after this one may act on its packets, too" },
    { "action", MEMBER(nsp_doc_rule, action), .type = &nsp_value_word,
      .words = actions, .fallback = "pass",
      .doc = "*pass* does what else the rule says, *drop* is silent, *reject* "
             "answers with a TCP reset or an ICMP error" },
    { "count", MEMBER(nsp_doc_rule, count), .type = &nsp_value_bool,
      .fallback = "true",
      .doc = "Every rule counts; 'count: true' says that it is there for "
             "that" },
    { "log", MEMBER(nsp_doc_rule, log_pps), .type = &nsp_value_number, .min = 1,
      .max = 1000000, .otherwise = "no log",
      .doc = "Packets to log, at most so many a second" },
    { "capture", MEMBER(nsp_doc_rule, capture), .type = &nsp_value_path,
      .otherwise = "no capture",
      .doc = "A pcapng file that its packets are written to; rules may share "
             "one" },
    { "limit", MEMBER(nsp_doc_rule, limit), .type = &nsp_value_limit_rate,
      .map = &limit_map, .otherwise = "none",
      .doc = "What comes faster is dropped: a rate, or a mapping" },
    { "dscp", MEMBER(nsp_doc_rule, dscp), .type = &nsp_value_dscp,
      .otherwise = "kept", .doc = "DSCP to set" },
    { "ecn", MEMBER(nsp_doc_rule, ecn), .type = &nsp_value_word,
      .words = ecn_marks, .otherwise = "kept", .doc = "ECN field to set" },
    { "ttl", MEMBER(nsp_doc_rule, ttl), .type = &nsp_value_number, .min = 1,
      .max = 255, .otherwise = "kept", .doc = "TTL or hop limit to set" },
    { "mss", MEMBER(nsp_doc_rule, mss), .type = &nsp_value_number,
      .min = NSP_MSS_MIN, .max = 65535, .otherwise = "kept",
      .doc = "Greatest MSS that a TCP SYN may have" },
    { "mark", MEMBER(nsp_doc_rule, mark), .type = &nsp_value_mark,
      .otherwise = "kept",
      .doc = "Firewall mark to set, within its mask; refused for packets "
             "that leave this host where a rule may make these wait" },
    { "class", MEMBER(nsp_doc_rule, class_name), .type = &nsp_value_name,
      .otherwise = "none", .doc = "One of 'classes'" },
    { "impair", MEMBER(nsp_doc_rule, impairment), .type = &nsp_value_name,
      .otherwise = "none", .doc = "One of 'impairments'" },
    LINK_KEYS(nsp_doc_rule, false),
    EFFECT_KEYS(nsp_doc_rule),
    { .name = NULL },
};
const struct nsp_map nsp_rule_map = { "a rule", rule_keys, NULL,
                                      sizeof(struct nsp_doc_rule) };

static const struct nsp_key default_keys[] = {
    { "action", MEMBER(nsp_doc_default, action), .type = &nsp_value_word,
      .words = actions, .fallback = "pass",
      .doc = "What becomes of packets that no rule has decided" },
    { .name = NULL },
};
const struct nsp_map nsp_default_map = { "default", default_keys, NULL,
                                         sizeof(struct nsp_doc_default) };

static const struct nsp_key policy_keys[] = {
    { "version", MEMBER(nsp_policy_doc, version), .type = &nsp_value_number,
      .min = 1, .max = 1, .is_needed = true, .otherwise = "write 'version: 1'",
      .doc = "Of this format: 1" },
    { "include", MEMBER(nsp_policy_doc, include), .shape = NSP_KEY_LIST,
      .most = 64, .type = &nsp_value_path,
      .doc = "Files whose sets, classes and impairments are known here as "
             "well, and whose rules come before those of this file" },
    { "intercept", MEMBER(nsp_policy_doc, intercept), .map = &intercept_map,
      .otherwise = "host", .doc = "What packets are taken from" },
    { "sets", MEMBER(nsp_policy_doc, sets), .shape = NSP_KEY_NAMED,
      .most = NAMES_MAX, .map = &nsp_set_map, .max = 39,
      .doc = "Addresses or ports under a name, for filters: "
             "'remoteAddr in @office'" },
    { "classes", MEMBER(nsp_policy_doc, classes), .shape = NSP_KEY_NAMED,
      .most = NSP_CLASSES_MAX, .map = &nsp_class_map,
      .doc = "Rates, each shared by all rules that name it. Packets of "
             "both directions have a queue each" },
    { "impairments", MEMBER(nsp_policy_doc, impairments),
      .shape = NSP_KEY_NAMED, .most = NSP_IMPAIRMENTS_MAX,
      .map = &nsp_impairment_map, .doc = "What a bad link does, under a name" },
    { "rules", MEMBER(nsp_policy_doc, rules), .shape = NSP_KEY_LIST,
      .most = NSP_RULES_MAX - 1, .map = &nsp_rule_map,
      .doc = "In order: the first that matches decides, and those before it "
             "that say 'continue'" },
    { "default", MEMBER(nsp_policy_doc, fallback), .map = &nsp_default_map,
      .doc = "What becomes of packets that no rule has decided" },
    { .name = NULL },
};

const struct nsp_map nsp_policy_map = { "a policy", policy_keys, NULL,
                                        sizeof(struct nsp_policy_doc) };

void
nsp_policy_keys_print_manual(FILE *to)
{
    nsp_keys_print_manual(to, &nsp_policy_map);
}

void
nsp_policy_keys_print_schema(FILE *to)
{
    nsp_keys_print_schema(to, &nsp_policy_map);
}
