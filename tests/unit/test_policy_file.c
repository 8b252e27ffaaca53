/* Policy files to what the engine takes, and back. */
#include "config/policy_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/test.h"

/* --- Files in memory ---------------------------------------------------------
 */

struct memory_file {
    const char *path, *text;
};

static int
read_memory(void *context, const char *path, char **ret_text, size_t *ret_bytes)
{
    const struct memory_file *files = context;

    while (files->path && strcmp(files->path, path) != 0)
        files++;
    if (!files->path)
        return 2; /* ENOENT. */
    *ret_bytes = strlen(files->text);
    *ret_text = malloc(*ret_bytes + 1);
    memcpy(*ret_text, files->text, *ret_bytes + 1);
    return 0;
}

/* Loads the first of 'files', which must be good. */
static struct nsp_policy_file *
load(struct memory_file *files)
{
    const struct nsp_file_reader reader = { .read = read_memory,
                                            .context = files };
    struct nsp_complaints complaints = { .list = NULL };
    struct nsp_policy_file *file = NULL;

    if (nsp_policy_file_load(files->path, &reader, &file, &complaints) !=
        NSP_OK)
        fail_msg("%s:%u: %s", complaints.list[0].file,
                 complaints.list[0].diag.line, complaints.list[0].diag.text);
    nsp_complaints_fini(&complaints);
    return file;
}

static struct nsp_policy_file *
load_text(const char *text)
{
    struct memory_file files[] = { { "p.yaml", text },
                                   { "office.txt", "192.168.0.0/16\n" },
                                   { NULL, NULL } };

    return load(files);
}

/* --- Values -------------------------------------------------------------- */

static const char full[] =
    "version: 1\n"
    "intercept: { on: [input, forward] }\n"
    "sets: { office: { prefixes: 10.0.0.0/8, file: office.txt } }\n"
    "classes:\n"
    "  calls: { rate: 5mbit, queue: 50ms, queue-drop: head, overhead: -4 }\n"
    "impairments:\n"
    "  wifi: { delay: 40ms, jitter: { sd: 15ms, correlation: 25%,\n"
    "          keep-order: true }, loss: { model: gilbert-elliott, p: 1%,\n"
    "          burst: 2.5 } }\n"
    "  four: { loss: { model: four-state, p13: 1%, p31: 30% } }\n"
    "rules:\n"
    "- { name: a, match: remoteAddr in @office, action: reject, log: 7,\n"
    "    capture: sub/a.pcapng, description: no }\n"
    "- { class: calls, impair: wifi, dscp: AF41, ecn: ce, ttl: 9, mss: 1200,\n"
    "    mark: 0x10/0xff, continue: true, direction: inbound,\n"
    "    limit: { rate: 100pps, burst: 20p }, enabled: false }\n"
    "- { rate: 3mbit, queue: 64kb, delay: { trace: [1ms, 2ms], step: 1s },\n"
    "    loss: { model: consecutive, chances: [1%, 50%] }, limit: 10mbit }\n"
    "default: { action: drop }\n";

TEST(rules_say_what_was_written)
{
    struct nsp_policy_file *file = load_text(full);
    const struct nsp_rule *rules = file->spec.rules;

    CHECK_EQ(file->hooks, 5);
    CHECK_EQ(file->layer, NSP_LAYER_NETWORK);
    CHECK_EQ(file->spec.rule_count, 4);
    CHECK_STR_EQ(rules[0].name, "a");
    CHECK_STR_EQ(rules[0].match, "remoteAddr in @office");
    CHECK_EQ(rules[0].action, NSP_ACTION_REJECT);
    CHECK_EQ(rules[0].log_pps, 7);
    CHECK(rules[0].capture && file->filters[0]);
    CHECK_STR_EQ(file->notes[0].capture_path, "sub/a.pcapng");
    CHECK_STR_EQ(file->notes[0].description, "no");
    CHECK_EQ(file->notes[0].line, 12);

    CHECK(rules[1].name == NULL && rules[1].match == NULL);
    CHECK(rules[1].disabled && rules[1].go_on && !file->notes[1].enabled);
    CHECK_EQ(rules[1].apply, NSP_APPLY_INBOUND);
    CHECK_STR_EQ(rules[1].class_name, "calls");
    CHECK_STR_EQ(rules[1].impairment, "wifi");
    CHECK_EQ(rules[1].limit.unit, NSP_LIMIT_PPS);
    CHECK_EQ(rules[1].limit.rate, 100);
    CHECK_EQ(rules[1].limit.burst, 20);
    CHECK_EQ(rules[1].edits.which, 31);
    CHECK_EQ(rules[1].edits.dscp, 34);
    CHECK_EQ(rules[1].edits.ecn, 3);
    CHECK_EQ(rules[1].edits.ttl, 9);
    CHECK_EQ(rules[1].edits.mss, 1200);
    CHECK_EQ(rules[1].edits.mark, 0x10);
    CHECK_EQ(rules[1].edits.mark_mask, 0xff);

    CHECK_STR_EQ(rules[3].name, "default");
    CHECK_EQ(rules[3].action, NSP_ACTION_DROP);
    nsp_policy_file_destroy(file);
}

TEST(rates_delays_and_losses_are_in_the_units_of_the_library)
{
    struct nsp_policy_file *file = load_text(full);
    const struct nsp_link_rate *calls = &file->spec.classes[0].link;
    const struct nsp_effects *wifi = &file->spec.impairments[0].effects;
    const struct nsp_effects *four = &file->spec.impairments[1].effects;
    const struct nsp_rule *third = &file->spec.rules[2];

    CHECK_EQ(calls->rate_bitps, 5000000);
    CHECK_EQ(calls->queue_limit, 50000000);
    CHECK_EQ(calls->queue_unit, NSP_QUEUE_NS);
    CHECK_EQ(calls->queue_drop, NSP_QUEUE_DROP_HEAD);
    CHECK_EQ(calls->overhead_bytes, -4);
    CHECK_EQ(wifi->delay.kind, NSP_DELAY_NORMAL);
    CHECK_EQ(wifi->delay.mean_ns, 40000000);
    CHECK_EQ(wifi->delay.spread_ns, 15000000);
    CHECK_EQ(wifi->delay.correlation_ppm, 250000);
    CHECK(wifi->delay.keep_order);
    CHECK_EQ(wifi->loss.kind, NSP_LOSS_BURSTS);
    CHECK_EQ(wifi->loss.bursts.ppm, 10000);
    CHECK_EQ(wifi->loss.bursts.burst_milli, 2500);
    CHECK_EQ(four->loss.kind, NSP_LOSS_FOUR_STATES);
    CHECK_EQ(four->loss.four_states.p23_ppm, 1000000); /* The default. */
    CHECK_EQ(third->link.queue_limit, 65536);
    CHECK_EQ(third->link.queue_unit, NSP_QUEUE_BYTES);
    CHECK_EQ(third->effects.delay.kind, NSP_DELAY_TRACE);
    CHECK_EQ(third->effects.delay.trace_ns[1], 2000000);
    CHECK_EQ(third->effects.delay.trace_step_ns, 1000000000);
    CHECK_EQ(third->effects.loss.consecutive.ppm[1], 500000);
    CHECK_EQ(third->limit.unit, NSP_LIMIT_BITPS);
    CHECK_EQ(third->limit.burst, 0);
    nsp_policy_file_destroy(file);
}

TEST(an_empty_policy_passes_all)
{
    struct nsp_policy_file *file = load_text("version: 1\n");

    CHECK_EQ(file->spec.rule_count, 0);
    CHECK_EQ(file->hooks, 3);
    nsp_policy_file_destroy(file);
    file = load_text("version: 1\nintercept: { on: forward }\nrules:\n");
    CHECK_EQ(file->layer, NSP_LAYER_NETWORK_FORWARD);
    nsp_policy_file_destroy(file);
}

/* --- Files --------------------------------------------------------------- */

TEST(included_rules_come_first_and_see_their_own_folder)
{
    struct memory_file files[] = {
        { "etc/p.yaml", "version: 1\ninclude: [sub/a.yaml, ./b.yaml]\n"
                        "rules: [ { name: p } ]\n" },
        { "etc/sub/a.yaml", "version: 1\ninclude: c.yaml\n"
                            "rules: [ { name: a, capture: x.pcapng,\n"
                            "  match: 'localPort in @s' } ]\n" },
        { "etc/sub/c.yaml", "version: 1\nsets: { s: { file: s.txt } }\n"
                            "rules: [ { name: c, continue: true } ]\n" },
        { "etc/sub/s.txt", "80\n" },
        { "etc/b.yaml", "version: 1\nrules: [ { name: b, capture: /y } ]\n" },
        { NULL, NULL },
    };
    struct nsp_policy_file *file = load(files);
    const char *order[] = { "c", "a", "b", "p" };

    CHECK_EQ(file->spec.rule_count, 4);
    for (unsigned i = 0; i < 4; i++)
        CHECK_STR_EQ(file->spec.rules[i].name, order[i]);
    CHECK_STR_EQ(file->notes[1].capture_path, "etc/sub/x.pcapng");
    CHECK_STR_EQ(file->notes[2].capture_path, "/y");
    CHECK_STR_EQ(file->notes[0].file, "etc/sub/c.yaml");
    nsp_policy_file_destroy(file);
}

TEST(distributions_delays_and_losses_come_from_files)
{
    struct memory_file files[] = {
        { "etc/p.yaml", "version: 1\ninclude: sub/a.yaml\nrules:\n"
                        "- { delay: { file: d.txt, step: 2s } }\n" },
        { "etc/sub/a.yaml",
          "version: 1\nrules:\n- { continue: true, delay: 9ms,\n"
          "    jitter: { sd: 3ms, file: x.dist },\n"
          "    loss: { model: pattern, file: l.txt } }\n" },
        { "etc/d.txt", "1ms\n3ms\n" },
        { "etc/sub/x.dist", "8192 -4096 0\n" },
        { "etc/sub/l.txt", "01\n1\n" },
        { NULL, NULL },
    };
    struct nsp_policy_file *file = load(files);
    const struct nsp_effects *first = &file->spec.rules[0].effects;
    const struct nsp_effects *second = &file->spec.rules[1].effects;

    CHECK_EQ(first->delay.kind, NSP_DELAY_TABLE);
    CHECK_EQ(first->delay.mean_ns, 9000000);
    CHECK_EQ(first->delay.spread_ns, 3000000);
    CHECK_EQ(first->delay.table_count, 3);
    CHECK_EQ(first->delay.table[1], -4096);
    CHECK_EQ(first->loss.kind, NSP_LOSS_PATTERN);
    CHECK_EQ(first->loss.pattern.pkts, 3);
    CHECK_EQ(first->loss.pattern.lost[0], 0);
    CHECK_EQ(first->loss.pattern.lost[2], 1);
    CHECK_EQ(second->delay.kind, NSP_DELAY_TRACE);
    CHECK_EQ(second->delay.trace_count, 2);
    CHECK_EQ(second->delay.trace_ns[1], 3000000);
    CHECK_EQ(second->delay.trace_step_ns, 2000000000);
    nsp_policy_file_destroy(file);
}

/* --- Time ---------------------------------------------------------------- */

TEST(schedules_disable_rules_for_their_time)
{
    struct nsp_policy_file *file = load_text(
        "version: 1\nrules:\n- { name: day, when: { days: mon-fri, hours:\n"
        "  \"08:00-18:00\" } }\n- { name: never, enabled: false, when: { "
        "days:\n"
        "  sun } }\n- { name: always }\n");
    uint32_t next = 0;

    CHECK(file->has_schedule);
    CHECK(!file->spec.rules[0].disabled);
    CHECK(nsp_policy_file_set_time(
        file, &(struct nsp_local_time){ 0, 7 * 3600 }, &next));
    CHECK(file->spec.rules[0].disabled && file->spec.rules[1].disabled);
    CHECK(!file->spec.rules[2].disabled);
    CHECK_EQ(next, 3600);
    CHECK(!nsp_policy_file_set_time(
        file, &(struct nsp_local_time){ 0, 7 * 3600 + 1 }, &next));
    CHECK(nsp_policy_file_set_time(
        file, &(struct nsp_local_time){ 0, 8 * 3600 }, &next));
    CHECK(!file->spec.rules[0].disabled);
    nsp_policy_file_destroy(file);
}

/* --- Back ---------------------------------------------------------------- */

static char *
print(const struct nsp_policy_file *file)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);

    CHECK(to && nsp_policy_file_print(file, to) == 0);
    fclose(to);
    return text;
}

TEST(scenarios_change_what_they_name_for_their_time)
{
    struct nsp_policy_file *file = load_text(
        "version: 1\nclasses: { c: { rate: 8mbit, queue: 9p } }\n"
        "impairments: { i: { delay: 5ms } }\nrules:\n"
        "- { name: a, class: c, loss: 1%, inbound: { delay: 1ms } }\n"
        "- { name: b, impair: i }\n- { name: d, action: drop }\nscenario:\n"
        "  loop: 100s\n  steps:\n"
        "  - { at: 10s, for: 10s, rule: a, set: { loss: 5%, delay: 7ms } }\n"
        "  - { at: 20s, over: 10s, tick: 1s, class: c, set: { rate: 4mbit } }\n"
        "  - { every: 30s, for: 1s, impairment: i, set: { delay: 9ms } }\n"
        "  - { at: 15s, rule: d, enabled: false }\n");
    static const struct {
        uint64_t s, next_s, loss_ppm, in_ms, tenths_mbitps, i_ms;
        bool disabled;
    } rows[] = {
        { 0, 1, 10000, 1, 80, 9, false },   { 1, 9, 10000, 1, 80, 5, false },
        { 10, 5, 50000, 7, 80, 5, false },  { 15, 5, 50000, 7, 80, 5, true },
        { 20, 1, 10000, 1, 80, 5, true },   { 25, 1, 10000, 1, 60, 5, true },
        { 30, 1, 10000, 1, 40, 9, true },   { 31, 29, 10000, 1, 40, 5, true },
        { 91, 9, 10000, 1, 40, 5, true },   { 100, 1, 10000, 1, 80, 9, false },
        { 1015, 5, 50000, 7, 80, 5, true }, { 1, 9, 10000, 1, 80, 5, false },
    };
    const struct nsp_rule *rules = file->spec.rules;

    CHECK(file->has_scenario);
    CHECK_EQ(file->spec.rule_count, 4);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t next_ns = 0;

        CHECK_EQ(nsp_policy_file_set_elapsed(
                     file, rows[i].s * UINT64_C(1000000000), &next_ns),
                 NSP_OK);
        CHECK_EQ(next_ns, rows[i].next_s * UINT64_C(1000000000));
        CHECK_EQ(rules[0].effects.loss.chance.ppm, rows[i].loss_ppm);
        CHECK_EQ(rules[1].effects.loss.chance.ppm, rows[i].loss_ppm);
        CHECK_EQ(rules[0].effects.delay.mean_ns, rows[i].in_ms * 1000000);
        CHECK_EQ(file->spec.classes[0].link.rate_bitps,
                 rows[i].tenths_mbitps * 100000);
        CHECK_EQ(file->spec.classes[0].link.queue_limit, 9);
        CHECK_EQ(file->spec.impairments[0].effects.delay.mean_ns,
                 rows[i].i_ms * 1000000);
        CHECK_EQ(rules[3].disabled, rows[i].disabled);
    }
    nsp_policy_file_destroy(file);
}

/* An impairment with a profile is written out in the rules that name it. */
TEST(scenarios_change_the_rules_that_name_a_profile)
{
    struct nsp_policy_file *file = load_text(
        "version: 1\nimpairments: { home: { profile: dsl } }\nrules:\n"
        "- { name: two, outbound: { loss: 3% } }\n- { impair: home }\n"
        "- { name: last, delay: 4ms, loss-pattern: \"0010\" }\nscenario:\n"
        "  steps:\n"
        "  - { at: 10s, for: 10s, impairment: home, set: { delay: 9ms } }\n");
    const struct nsp_rule *rules = file->spec.rules;
    uint64_t next_ns = 0;

    CHECK_EQ(file->spec.rule_count, 5);
    for (uint64_t s = 0; s <= 30; s += 10) {
        uint64_t delay_ms = s == 10 ? 9 : 25;

        CHECK_EQ(nsp_policy_file_set_elapsed(file, s * UINT64_C(1000000000),
                                             &next_ns),
                 NSP_OK);
        CHECK_EQ(rules[0].effects.loss.chance.ppm, 0);
        CHECK_EQ(rules[1].effects.loss.chance.ppm, 30000);
        CHECK_EQ(rules[2].effects.delay.mean_ns, delay_ms * 1000000);
        CHECK_EQ(rules[3].effects.delay.mean_ns, delay_ms * 1000000);
        CHECK_EQ(rules[2].link.rate_bitps + rules[3].link.rate_bitps, 1884000);
        CHECK_EQ(rules[4].effects.delay.mean_ns, 4000000);
        CHECK_EQ(rules[4].effects.loss.kind, NSP_LOSS_PATTERN);
        CHECK(!rules[4].disabled);
    }
    nsp_policy_file_destroy(file);
}

TEST(what_is_printed_is_the_same_policy)
{
    struct nsp_policy_file *file = load_text(full), *again;
    char *text = print(file), *again_text;

    again = load_text(text);
    again_text = print(again);
    CHECK_STR_EQ(again_text, text);
    CHECK_EQ(again->hooks, file->hooks);
    CHECK_EQ(again->spec.rule_count, file->spec.rule_count);
    CHECK_MEM_EQ(&again->spec.classes[0].link, &file->spec.classes[0].link,
                 sizeof file->spec.classes[0].link);
    CHECK_MEM_EQ(&again->spec.rules[1].edits, &file->spec.rules[1].edits,
                 sizeof file->spec.rules[1].edits);
    free(text);
    free(again_text);
    nsp_policy_file_destroy(file);
    nsp_policy_file_destroy(again);
}

TEST_MAIN(
    cmocka_unit_test(rules_say_what_was_written),
    cmocka_unit_test(rates_delays_and_losses_are_in_the_units_of_the_library),
    cmocka_unit_test(an_empty_policy_passes_all),
    cmocka_unit_test(included_rules_come_first_and_see_their_own_folder),
    cmocka_unit_test(distributions_delays_and_losses_come_from_files),
    cmocka_unit_test(schedules_disable_rules_for_their_time),
    cmocka_unit_test(scenarios_change_what_they_name_for_their_time),
    cmocka_unit_test(scenarios_change_the_rules_that_name_a_profile),
    cmocka_unit_test(what_is_printed_is_the_same_policy))
