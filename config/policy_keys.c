/* Every key of a policy file. The reader, nsp-policy(5), the JSON Schema, the
 * printer and the options of 'nsp shape' are made from these tables. */
#include "config/effect_keys.h"
#include "config/policy_doc.h"
#include "config/policy_file.h"
#include "config/profile.h"
#include "config/scenario.h"
#include "netshaper/packet.h"

#define NAMES_MAX 4096u

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
    { "blackhole", NSP_ACTION_DROP },
    { "reject", NSP_ACTION_REJECT },
    { NULL, 0 },
};

static const struct nsp_word directions[] = {
    { "both", NSP_APPLY_BOTH },
    { "inbound", NSP_APPLY_INBOUND },
    { "outbound", NSP_APPLY_OUTBOUND },
    { NULL, 0 },
};

static const struct nsp_word ecn_marks[] = {
    { "not-ect", 0 }, { "ect1", 1 }, { "ect0", 2 }, { "ce", 3 }, { NULL, 0 },
};

/* --- Parts of a policy --------------------------------------------------- */

static const struct nsp_key intercept_keys[] = {
    { "on", NSP_MEMBER(nsp_doc_intercept, on), .shape = NSP_KEY_LIST, .most = 4,
      .type = &nsp_value_word, .words = hooks,
      .doc = "Where packets are taken out of the stack; *host* is input and "
             "output" },
    { "bridge", NSP_MEMBER(nsp_doc_intercept, bridge), .shape = NSP_KEY_LIST,
      .most = 2, .type = &nsp_value_text,
      .doc = "Instead of 'on': the two interfaces that are joined to a wire; "
             "see THE BRIDGE in nsp-shape(8)" },
    { "tap", NSP_MEMBER(nsp_doc_intercept, tap), .shape = NSP_KEY_LIST,
      .most = 64, .type = &nsp_value_text,
      .doc =
          "Instead of 'on': the interfaces, or *all*, where a TAP takes what "
          "comes and goes, so that the kernel decides what it can; see THE "
          "TAP in nsp-shape(8)" },
    { .name = NULL },
};
#define NO_DEVICE                                                              \
    "intercept 'on' input, output, forward or host, or a 'bridge' or 'tap'"
static const struct nsp_reserved_key intercept_reserved[] = {
    { "device", "this version chooses the device: " NO_DEVICE },
    { "nfqueue", "this version chooses the device: " NO_DEVICE },
    { "afxdp", "this version chooses the device: " NO_DEVICE },
    { NULL, NULL },
};
static const struct nsp_map intercept_map = { .name = "intercept",
                                              .keys = intercept_keys,
                                              .reserved = intercept_reserved,
                                              .bytes = sizeof(
                                                  struct nsp_doc_intercept) };

static const struct nsp_key set_keys[] = {
    { "prefixes", NSP_MEMBER(nsp_doc_set, prefixes), .shape = NSP_KEY_LIST,
      .most = NSP_LIST_MAX, .type = &nsp_value_text,
      .doc = "Addresses, prefixes (10.0.0.0/8) or ranges (10.0.0.1-10.0.0.9)" },
    { "ports", NSP_MEMBER(nsp_doc_set, ports), .shape = NSP_KEY_LIST,
      .most = NSP_LIST_MAX, .type = &nsp_value_text,
      .doc = "Ports or ranges of them (8000-8080)" },
    { "file", NSP_MEMBER(nsp_doc_set, file), .type = &nsp_value_path,
      .doc = "A file with more of them, one in each line; '#' begins a "
             "comment" },
    { .name = NULL },
};
const struct nsp_map nsp_set_map = { .name = "a set",
                                     .keys = set_keys,
                                     .bytes = sizeof(struct nsp_doc_set) };

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
    NSP_LINK_KEYS(nsp_doc_class, true),
    { .name = NULL },
};
const struct nsp_map nsp_class_map = { .name = "a class",
                                       .keys = class_keys,
                                       .aliases = nsp_effect_aliases,
                                       .reserved = class_reserved,
                                       .bytes = sizeof(struct nsp_doc_class) };

static const struct nsp_word profile_ways[] = {
    { "both", NSP_DOC_BOTH_WAYS },
    { "down", NSP_DOC_DOWN },
    { "up", NSP_DOC_UP },
    { NULL, 0 },
};
static const struct nsp_key profile_use_keys[] = {
    { "name", NSP_MEMBER(nsp_doc_profile_use, name), .type = &nsp_value_text,
      .is_needed = true, .otherwise = "write 'profile: lte'",
      .doc = "One of *nsp profile list*, or the path of a file. "
             "'profile: lte' is short for it" },
    { "way", NSP_MEMBER(nsp_doc_profile_use, way), .type = &nsp_value_word,
      .words = profile_ways, .fallback = "both",
      .doc = "Which of its directions: *both* takes down for packets that come "
             "in and up for those that go out" },
    { .name = NULL },
};
const struct nsp_map nsp_profile_use_map = { .name = "a profile",
                                             .keys = profile_use_keys,
                                             .bytes = sizeof(
                                                 struct nsp_doc_profile_use) };
#define PROFILE_KEY(owner)                                                     \
    {                                                                          \
        "profile", NSP_MEMBER(owner, profile),                                 \
            .type = &nsp_value_text, .map = &nsp_profile_use_map,              \
            .otherwise = "none", .argument = "NAME",                           \
            .doc =                                                             \
                "A link as nsp-profile(8) has it: rates, delays and losses. "  \
                "Keys beside it take the place of what it says"                \
    }

static const struct nsp_key impairment_keys[] = {
    PROFILE_KEY(nsp_doc_impairment),
    NSP_EFFECT_KEYS(nsp_doc_impairment),
    { .name = NULL },
};
const struct nsp_map nsp_impairment_map = { .name = "an impairment",
                                            .keys = impairment_keys,
                                            .aliases = nsp_effect_aliases,
                                            .bytes = sizeof(
                                                struct nsp_doc_impairment) };

static const struct nsp_key when_keys[] = {
    { "days", NSP_MEMBER(nsp_doc_when, days), .shape = NSP_KEY_LIST, .most = 7,
      .type = &nsp_value_days, .otherwise = "every day",
      .doc = "Days of the week; those of hours that go on after midnight are "
             "the days on which they begin" },
    { "hours", NSP_MEMBER(nsp_doc_when, hours), .shape = NSP_KEY_LIST,
      .most = NSP_HOURS_MAX, .type = &nsp_value_hours, .otherwise = "all day",
      .doc = "Hours of local time" },
    { .name = NULL },
};
static const struct nsp_map when_map = { .name = "when",
                                         .keys = when_keys,
                                         .bytes = sizeof(struct nsp_doc_when) };

static const struct nsp_key limit_keys[] = {
    { "rate", NSP_MEMBER(nsp_doc_limit, rate), .type = &nsp_value_limit_rate,
      .min = 1, .max = NSP_RATE_BITPS_MAX, .is_needed = true,
      .otherwise = "write 'rate: 10mbit' or 'rate: 100pps'",
      .doc = "Bits or packets a second. 'limit: 10mbit' is short for it" },
    { "burst", NSP_MEMBER(nsp_doc_limit, burst), .type = &nsp_value_limit_burst,
      .otherwise = "100 ms at the rate, at least 64kb or 16p",
      .doc = "How much may come at once" },
    { .name = NULL },
};
static const struct nsp_map limit_map = {
    .name = "a limit", .keys = limit_keys, .bytes = sizeof(struct nsp_doc_limit)
};

static const struct nsp_key rule_keys[] = {
    { "name", NSP_MEMBER(nsp_doc_rule, name), .type = &nsp_value_name,
      .otherwise = "rule-N, counted from 1",
      .doc = "Unique; counters and state are kept under it over a reload" },
    { "description", NSP_MEMBER(nsp_doc_rule, description),
      .type = &nsp_value_text, .doc = "For people" },
    { "enabled", NSP_MEMBER(nsp_doc_rule, enabled), .type = &nsp_value_bool,
      .fallback = "true",
      .doc = "Whether the rule ever matches; its counters stay" },
    { "when", NSP_MEMBER(nsp_doc_rule, when), .map = &when_map,
      .otherwise = "always", .doc = "When the rule is in force" },
    { "direction", NSP_MEMBER(nsp_doc_rule, direction), .type = &nsp_value_word,
      .words = directions, .fallback = "both",
      .doc = "Which packets it is for. Forwarded packets have no direction, "
             "so only *both* is for them" },
    { "match", NSP_MEMBER(nsp_doc_rule, match), .type = &nsp_value_filter,
      .otherwise = "every packet", .doc = "Which packets it is for" },
    { "continue", NSP_MEMBER(nsp_doc_rule, go_on), .type = &nsp_value_bool,
      .fallback = "false",
      .doc = "Whether rules after this one may act on its packets, too" },
    { "action", NSP_MEMBER(nsp_doc_rule, action), .type = &nsp_value_word,
      .words = actions, .fallback = "pass",
      .doc = "*pass* does what else the rule says, *drop* is silent, *reject* "
             "answers with a TCP reset or an ICMP error" },
    { "count", NSP_MEMBER(nsp_doc_rule, count), .type = &nsp_value_bool,
      .fallback = "true",
      .doc = "Every rule counts; 'count: true' says that it is there for "
             "that" },
    { "log", NSP_MEMBER(nsp_doc_rule, log_pps), .type = &nsp_value_number,
      .min = 1, .max = 1000000, .otherwise = "no log",
      .doc = "Packets to log, at most so many a second" },
    { "capture", NSP_MEMBER(nsp_doc_rule, capture), .type = &nsp_value_path,
      .otherwise = "no capture",
      .doc = "A pcapng file that its packets are written to; rules may share "
             "one" },
    { "limit", NSP_MEMBER(nsp_doc_rule, limit), .type = &nsp_value_limit_rate,
      .map = &limit_map, .otherwise = "none", .argument = "RATE",
      .doc = "What comes faster is dropped: a rate, or a mapping" },
    { "dscp", NSP_MEMBER(nsp_doc_rule, dscp), .type = &nsp_value_dscp,
      .otherwise = "kept", .argument = "DSCP", .doc = "DSCP to set" },
    { "ecn", NSP_MEMBER(nsp_doc_rule, ecn), .type = &nsp_value_word,
      .words = ecn_marks, .otherwise = "kept", .argument = "FIELD",
      .doc = "ECN field to set" },
    { "ttl", NSP_MEMBER(nsp_doc_rule, ttl), .type = &nsp_value_number, .min = 1,
      .max = 255, .otherwise = "kept", .argument = "N",
      .doc = "TTL or hop limit to set" },
    { "mss", NSP_MEMBER(nsp_doc_rule, mss), .type = &nsp_value_number,
      .min = NSP_MSS_MIN, .max = 65535, .otherwise = "kept",
      .argument = "BYTES", .doc = "Greatest MSS that a TCP SYN may have" },
    { "mark", NSP_MEMBER(nsp_doc_rule, mark), .type = &nsp_value_mark,
      .otherwise = "kept", .argument = "MARK",
      .doc = "Firewall mark to set, within its mask; refused for packets "
             "that leave this host where a rule may make these wait" },
    { "class", NSP_MEMBER(nsp_doc_rule, class_name), .type = &nsp_value_name,
      .otherwise = "none", .doc = "One of 'classes'" },
    { "impair", NSP_MEMBER(nsp_doc_rule, impairment), .type = &nsp_value_name,
      .otherwise = "none", .doc = "One of 'impairments'" },
    PROFILE_KEY(nsp_doc_rule),
    NSP_LINK_KEYS(nsp_doc_rule, false),
    NSP_EFFECT_KEYS(nsp_doc_rule),
    { "inbound", NSP_MEMBER(nsp_doc_rule, inbound), .map = &nsp_way_map,
      .otherwise = "the same as of the rule",
      .doc = "What is other for packets that come in: any of the keys from "
             "'rate' on. There are then two rules, NAME.in and NAME.out" },
    { "outbound", NSP_MEMBER(nsp_doc_rule, outbound), .map = &nsp_way_map,
      .otherwise = "the same as of the rule",
      .doc = "The same for packets that go out" },
    { .name = NULL },
};
/* The option of the command line. */
static const struct nsp_alias rule_misnomers[] = {
    { "filter", "match" },
    { NULL, NULL },
};
const struct nsp_map nsp_rule_map = { .name = "a rule",
                                      .keys = rule_keys,
                                      .aliases = nsp_effect_aliases,
                                      .misnomers = rule_misnomers,
                                      .bytes = sizeof(struct nsp_doc_rule) };

static const struct nsp_key default_keys[] = {
    { "action", NSP_MEMBER(nsp_doc_default, action), .type = &nsp_value_word,
      .words = actions, .fallback = "pass",
      .doc = "What becomes of packets that no rule has decided" },
    { .name = NULL },
};
const struct nsp_map nsp_default_map = { .name = "default",
                                         .keys = default_keys,
                                         .bytes =
                                             sizeof(struct nsp_doc_default) };

static const struct nsp_key step_keys[] = {
    { "at", NSP_MEMBER(nsp_doc_step, at_ns), .type = &nsp_value_time,
      .max = NSP_SCENARIO_NS_MAX, .fallback = "0",
      .doc = "When it begins, counted from the beginning" },
    { "every", NSP_MEMBER(nsp_doc_step, every_ns), .type = &nsp_value_time,
      .min = 1000000, .max = NSP_SCENARIO_NS_MAX, .otherwise = "once",
      .doc = "It begins again after each such time; needs 'for'" },
    { "for", NSP_MEMBER(nsp_doc_step, for_ns), .type = &nsp_value_time,
      .min = 1, .max = NSP_SCENARIO_NS_MAX, .otherwise = "for good",
      .doc = "How long it lasts; then everything is as if it had not been" },
    { "over", NSP_MEMBER(nsp_doc_step, over_ns), .type = &nsp_value_time,
      .min = 1, .max = NSP_SCENARIO_NS_MAX, .otherwise = "at once",
      .doc =
          "How long it takes until the values of 'set' are reached, evenly" },
    { "tick", NSP_MEMBER(nsp_doc_step, tick_ns), .type = &nsp_value_time,
      .min = 1000000, .max = NSP_SCENARIO_NS_MAX, .fallback = "100ms",
      .doc = "How often values change meanwhile" },
    { "rule", NSP_MEMBER(nsp_doc_step, rule), .type = &nsp_value_name,
      .doc = "The rule that is changed; or" },
    { "class", NSP_MEMBER(nsp_doc_step, class_name), .type = &nsp_value_name,
      .doc = "the class; or" },
    { "impairment", NSP_MEMBER(nsp_doc_step, impairment),
      .type = &nsp_value_name, .doc = "the impairment" },
    { "enabled", NSP_MEMBER(nsp_doc_step, enabled), .type = &nsp_value_bool,
      .otherwise = "as the rule says",
      .doc = "Whether the rule matches anything meanwhile" },
    { "from", NSP_MEMBER(nsp_doc_step, from), .map = &nsp_step_values_map,
      .otherwise = "as they are then",
      .doc = "Values from which those of 'set' are reached" },
    { "set", NSP_MEMBER(nsp_doc_step, set), .map = &nsp_step_values_map,
      .doc = "What takes the place of the same keys of the rule, class or "
             "impairment" },
    { .name = NULL },
};
const struct nsp_map nsp_step_map = { .name = "a step",
                                      .keys = step_keys,
                                      .bytes = sizeof(struct nsp_doc_step) };

static const struct nsp_key scenario_keys[] = {
    { "loop", NSP_MEMBER(nsp_doc_scenario, loop_ns), .type = &nsp_value_time,
      .min = 1000000, .max = NSP_SCENARIO_NS_MAX, .otherwise = "once",
      .doc = "After this time it begins anew" },
    { "steps", NSP_MEMBER(nsp_doc_scenario, steps), .shape = NSP_KEY_LIST,
      .most = NSP_SCENARIO_STEPS_MAX, .map = &nsp_step_map, .is_needed = true,
      .otherwise = "write 'steps: [ { at: 30s, rule: lab, set: { loss: 5% } } "
                   "]'",
      .doc = "What changes; of those at the same time, a later one in the list "
             "takes the place of what an earlier one says" },
    { .name = NULL },
};
const struct nsp_map nsp_scenario_map = {
    .name = "a scenario",
    .keys = scenario_keys,
    .bytes = sizeof(struct nsp_doc_scenario),
};

static const struct nsp_key policy_keys[] = {
    { "version", NSP_MEMBER(nsp_policy_doc, version), .type = &nsp_value_number,
      .min = 1, .max = 1, .is_needed = true, .otherwise = "write 'version: 1'",
      .doc = "Of this format: 1" },
    { "include", NSP_MEMBER(nsp_policy_doc, include), .shape = NSP_KEY_LIST,
      .most = 64, .type = &nsp_value_path,
      .doc = "Files whose sets, classes and impairments are known here as "
             "well, and whose rules come before those of this file" },
    { "intercept", NSP_MEMBER(nsp_policy_doc, intercept), .map = &intercept_map,
      .otherwise = "host", .doc = "What packets are taken from" },
    { "sets", NSP_MEMBER(nsp_policy_doc, sets), .shape = NSP_KEY_NAMED,
      .most = NAMES_MAX, .map = &nsp_set_map, .max = 39,
      .doc = "Addresses or ports under a name, for filters: "
             "'remoteAddr in @office'" },
    { "classes", NSP_MEMBER(nsp_policy_doc, classes), .shape = NSP_KEY_NAMED,
      .most = NSP_CLASSES_MAX, .map = &nsp_class_map,
      .doc = "Rates, each shared by all rules that name it. Packets of "
             "both directions have a queue each" },
    { "impairments", NSP_MEMBER(nsp_policy_doc, impairments),
      .shape = NSP_KEY_NAMED, .most = NSP_IMPAIRMENTS_MAX,
      .map = &nsp_impairment_map, .doc = "What a bad link does, under a name" },
    { "rules", NSP_MEMBER(nsp_policy_doc, rules), .shape = NSP_KEY_LIST,
      .most = NSP_RULES_MAX - 1, .map = &nsp_rule_map,
      .doc = "In order: the first that matches decides, and those before it "
             "that say 'continue'" },
    { "default", NSP_MEMBER(nsp_policy_doc, fallback), .map = &nsp_default_map,
      .doc = "What becomes of packets that no rule has decided" },
    { "scenario", NSP_MEMBER(nsp_policy_doc, scenario),
      .map = &nsp_scenario_map, .otherwise = "none",
      .doc = "What changes in the course of time" },
    { .name = NULL },
};

static const struct nsp_key profile_keys[] = {
    { "description", NSP_MEMBER(nsp_doc_profile, description),
      .type = &nsp_value_text, .doc = "What kind of link it is" },
    { "source", NSP_MEMBER(nsp_doc_profile, source), .type = &nsp_value_text,
      .doc = "Where the numbers are from" },
    { "note", NSP_MEMBER(nsp_doc_profile, note), .type = &nsp_value_text,
      .doc = "What else is to be known of them" },
    { "verified", NSP_MEMBER(nsp_doc_profile, verified),
      .type = &nsp_value_bool, .fallback = "true",
      .doc = "Whether the numbers have been checked" },
    { "rtt", NSP_MEMBER(nsp_doc_profile, rtt_ns), .type = &nsp_value_time,
      .max = NSP_DELAY_NS_MAX,
      .doc = "Round-trip time, half of which is the delay of each direction" },
    NSP_LINK_KEYS(nsp_doc_profile, false),
    NSP_EFFECT_KEYS(nsp_doc_profile),
    { "down", NSP_MEMBER(nsp_doc_profile, down), .map = &nsp_way_map,
      .otherwise = "the same as of the whole",
      .doc = "What is other for what the user receives" },
    { "up", NSP_MEMBER(nsp_doc_profile, up), .map = &nsp_way_map,
      .otherwise = "the same as of the whole",
      .doc = "What is other for what the user sends" },
    { .name = NULL },
};
const struct nsp_map nsp_profile_map = { .name = "a profile",
                                         .keys = profile_keys,
                                         .aliases = nsp_effect_aliases,
                                         .bytes =
                                             sizeof(struct nsp_doc_profile) };

const struct nsp_map nsp_policy_map = { .name = "a policy",
                                        .keys = policy_keys,
                                        .bytes =
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

void
nsp_profile_keys_print_manual(FILE *to)
{
    nsp_keys_print_manual(to, &nsp_profile_map);
}
