#include "cli/explain.h"

#include <stdlib.h>
#include <string.h>

#include "cli/diag_print.h"
#include "cli/effect_text.h"
#include "config/units.h"
#include "netshaper/explain.h"

static const uint32_t hooks[] = { NSP_HOOK_INPUT, NSP_HOOK_OUTPUT,
                                  NSP_HOOK_FORWARD };
#define HOOKS (sizeof hooks / sizeof hooks[0])

const char *
nsp_explain_rule_name(const struct nsp_policy_file *file, uint32_t index,
                      char ret[64])
{
    if (file->rules[index].name)
        snprintf(ret, 64, "%s", file->rules[index].name);
    else
        snprintf(ret, 64, "rule-%u", (unsigned)index + 1);
    return ret;
}

/* --- What a rule does --------------------------------------------------------
 */

static void
add_edits(struct nsp_text_list *list, const struct nsp_edits *edits)
{
    if (edits->which & NSP_EDIT_DSCP)
        nsp_text_list_add(list, "dscp %u", edits->dscp);
    if (edits->which & NSP_EDIT_ECN)
        nsp_text_list_add(list, "ecn %u", edits->ecn);
    if (edits->which & NSP_EDIT_TTL)
        nsp_text_list_add(list, "ttl %u", edits->ttl);
    if (edits->which & NSP_EDIT_MSS)
        nsp_text_list_add(list, "mss %u", edits->mss);
    if (edits->which & NSP_EDIT_MARK)
        nsp_text_list_add(list, "mark 0x%x/0x%x", (unsigned)edits->mark,
                          (unsigned)edits->mark_mask);
}

void
nsp_explain_rule_actions(const struct nsp_rule *rule, char *ret, size_t bytes)
{
    struct nsp_text_list list = { .text = ret, .bytes = bytes };
    char text[32];

    ret[0] = '\0';
    if (rule->action != NSP_ACTION_PASS)
        nsp_text_list_add(&list,
                          rule->action == NSP_ACTION_DROP ? "drop" : "reject");
    if (rule->limit.unit == NSP_LIMIT_PPS)
        nsp_text_list_add(&list, "limit %llu packets/s",
                          (unsigned long long)rule->limit.rate);
    if (rule->limit.unit == NSP_LIMIT_BITPS)
        nsp_text_list_add(
            &list, "limit %s",
            nsp_units_write_rate(text, sizeof text, rule->limit.rate));
    add_edits(&list, &rule->edits);
    if (rule->impairment)
        nsp_text_list_add(&list, "impair %s", rule->impairment);
    nsp_effect_text_add_arrival(&list, &rule->effects);
    if (rule->class_name)
        nsp_text_list_add(&list, "class %s", rule->class_name);
    nsp_effect_text_add_rate(&list, &rule->link);
    nsp_effect_text_add_departure(&list, &rule->effects);
    if (rule->capture)
        nsp_text_list_add(&list, "capture");
    if (rule->log_pps)
        nsp_text_list_add(&list, "log");
    if (list.used == 0)
        nsp_text_list_add(&list, "pass");
    if (rule->go_on)
        nsp_text_list_add(&list, "continue");
}

/* --- Where it runs ------------------------------------------------------- */

/* The hooks whose packets 'rule' may match. Of packets that are forwarded,
 * filters do not say. */
static uint32_t
hooks_of(const struct nsp_explain *e, uint32_t index)
{
    struct nsp_filter_needs needs = { .inbound = true, .outbound = true };
    const struct nsp_policy_file *file = e->file;
    const struct nsp_rule *rule = &file->rules[index];
    uint32_t at = file->hooks;

    if (file->filters[index])
        nsp_filter_get_needs(file->filters[index], &needs);
    if (needs.never || e->hidden[index] != NSP_HIDDEN_BY_NONE)
        return 0;
    if (!needs.inbound || rule->apply == NSP_APPLY_OUTBOUND)
        at &= ~(uint32_t)NSP_HOOK_INPUT;
    if (!needs.outbound || rule->apply == NSP_APPLY_INBOUND)
        at &= ~(uint32_t)NSP_HOOK_OUTPUT;
    if (rule->apply != NSP_APPLY_BOTH)
        at &= ~(uint32_t)NSP_HOOK_FORWARD;
    return at;
}

/* Why no packet ever comes to rule 'index', or matches it; NULL if some may. */
static const char *
why_never(const struct nsp_explain *e, uint32_t index, char ret[128])
{
    struct nsp_filter_needs needs = { .never = false };
    uint32_t by = e->hidden[index];
    char name[64];

    if (e->file->filters[index])
        nsp_filter_get_needs(e->file->filters[index], &needs);
    if (needs.never)
        return "its tests contradict each other";
    if (by == NSP_HIDDEN_BY_NONE)
        return NULL;
    if (by == NSP_HIDDEN_BY_SEVERAL)
        return "rules before it decide all of its packets";
    snprintf(ret, 128, "rule %s decides all of its packets",
             nsp_explain_rule_name(e->file, by, name));
    return ret;
}

/* Whether the device of 'place' may decide by rules in the kernel. */
static bool
may_decide_in_kernel(const struct nsp_placement *place)
{
    return strcmp(place->device, "tap") == 0 ||
           strcmp(place->device, "bridge") == 0;
}

/* Where rule 'index' runs on the packets of 'place'. */
static struct nsp_rule_placement
placement_at(const struct nsp_explain *e, uint32_t index,
             const struct nsp_placement *place)
{
    if (may_decide_in_kernel(place))
        return e->placements[index];
    return (struct nsp_rule_placement){
        .place = NSP_RULE_IN_ENGINE,
        .reason = "nfqueue asks it about every packet",
    };
}

/* By which interfaces packets come to a device, for programs (NULL: any) and
 * for people. */
static const struct {
    const char *name, *text;
} interfaces[] = {
    [NSP_PLACEMENT_ALL] = { NULL, "" },
    [NSP_PLACEMENT_ETHERNET] = { "ethernet", " by Ethernet or loopback" },
    [NSP_PLACEMENT_OTHER] = { "other", " by other interfaces" },
};

/* Words for programs and for people. */
static const struct {
    const char *name, *text;
} rule_places[] = {
    [NSP_RULE_IN_ENGINE] = { "engine", "in the engine" },
    [NSP_RULE_PREFILTERED] = { "kernel-filter",
                               "in the engine, behind its filter in the "
                               "kernel" },
    [NSP_RULE_IN_KERNEL] = { "kernel", "in the kernel" },
    [NSP_RULE_BY_FLOW] = { "kernel-flows",
                           "in the engine for a flow's first packets, then in "
                           "the kernel" },
};

/* 'place' may be NULL: nobody would take packets. */
static void
write_run(struct nsp_explain *e, uint32_t index, uint32_t hook,
          const struct nsp_placement *place)
{
    struct nsp_rule_placement placement;

    nsp_json_begin_object(&e->json, NULL);
    nsp_json_string(&e->json, "hook", nsp_hook_name(hook));
    nsp_json_string(&e->json, "interfaces",
                    place ? interfaces[place->interfaces].name : NULL);
    nsp_json_string(&e->json, "device", place ? place->device : NULL);
    if (place) {
        placement = placement_at(e, index, place);
        nsp_json_string(&e->json, "where", rule_places[placement.place].name);
        nsp_json_string(&e->json, "reason", placement.reason);
    }
    nsp_json_end(&e->json);
}

static void
write_runs(struct nsp_explain *e, uint32_t index, uint32_t at)
{
    nsp_json_begin_array(&e->json, "runs");
    for (uint32_t i = 0; i < e->places.count; i++)
        if ((at & e->places.list[i].hook) != 0)
            write_run(e, index, e->places.list[i].hook, &e->places.list[i]);
    for (size_t i = 0; i < HOOKS && e->places.count == 0; i++)
        if ((at & hooks[i]) != 0)
            write_run(e, index, hooks[i], NULL);
    nsp_json_end(&e->json);
}

static void
write_rule(struct nsp_explain *e, uint32_t index)
{
    const struct nsp_rule *rule = &e->file->rules[index];
    char text[512], name[64], never[128];

    nsp_json_begin_object(&e->json, NULL);
    nsp_json_string(&e->json, "rule",
                    nsp_explain_rule_name(e->file, index, name));
    nsp_explain_rule_actions(rule, text, sizeof text);
    nsp_json_string(&e->json, "does", text);
    nsp_json_bool(&e->json, "enabled", e->file->notes[index].enabled);
    nsp_json_string(&e->json, "never", why_never(e, index, never));
    write_runs(e, index, hooks_of(e, index));
    nsp_json_end(&e->json);
}

/* "input (nfqueue)", "output (tap, nfqueue)". */
static void
print_hook(const struct nsp_explain *e, uint32_t hook)
{
    const char *before = " (";

    printf(" %s", nsp_hook_name(hook));
    for (uint32_t i = 0; i < e->places.count; i++) {
        if (e->places.list[i].hook != hook)
            continue;
        printf("%s%s", before, e->places.list[i].device);
        before = ", ";
    }
    if (e->places.count > 0)
        putchar(')');
}

/* One line for each device, with what it takes of the hooks 'at'. */
static void
print_runs(const struct nsp_explain *e, uint32_t index, uint32_t at)
{
    const struct nsp_placement *list = e->places.list;
    bool told[NSP_PLACEMENTS_MAX] = { false };

    for (uint32_t i = 0; i < e->places.count; i++) {
        struct nsp_rule_placement placement;
        const char *before = "  at ";

        if ((at & list[i].hook) == 0 || told[i])
            continue;
        for (uint32_t j = i; j < e->places.count; j++) {
            if ((at & list[j].hook) == 0 ||
                strcmp(list[j].device, list[i].device) != 0)
                continue;
            printf("%s%s%s", before, nsp_hook_name(list[j].hook),
                   interfaces[list[j].interfaces].text);
            before = ", ";
            told[j] = true;
        }
        placement = placement_at(e, index, &list[i]);
        printf(" %s: %s\n", rule_places[placement.place].text,
               placement.reason);
    }
}

static void
print_rule(const struct nsp_explain *e, uint32_t index)
{
    const struct nsp_rule *rule = &e->file->rules[index];
    const struct nsp_policy_note *note = &e->file->notes[index];
    uint32_t at = hooks_of(e, index);
    char text[512], name[64], never[128];
    const char *why = why_never(e, index, never);

    nsp_explain_rule_actions(rule, text, sizeof text);
    printf("%s%s%s: %s\n", nsp_cli_paint(e->cli, NSP_PAINT_BOLD),
           nsp_explain_rule_name(e->file, index, name),
           nsp_cli_paint(e->cli, NSP_PAINT_PLAIN), text);
    printf("  runs at");
    for (size_t i = 0; i < HOOKS; i++)
        if ((at & hooks[i]) != 0)
            print_hook(e, hooks[i]);
    printf("%s%s%s%s%s\n", at == 0 ? " no hook" : "", why ? ": " : "",
           why ? why : "", note->enabled ? "" : ", not enabled",
           nsp_schedule_is_always(&note->when) ? "" : ", by schedule");
    print_runs(e, index, at);
}

/* --- Where packets are taken ---------------------------------------------- */

/* Fills in e->placements, taking rules with a schedule to be in force. Returns
 * false without memory. */
static bool
place_rules(struct nsp_explain *e, const struct nsp_engine_config *cfg)
{
    uint32_t count = e->file->spec.rule_count;
    struct nsp_rule *rules = calloc(count + 1u, sizeof *rules);
    struct nsp_engine_config all = *cfg;
    bool done = false;

    e->placements = calloc(count + 1u, sizeof *e->placements);
    for (uint32_t i = 0; rules && i < count; i++) {
        rules[i] = e->file->rules[i];
        rules[i].disabled = !e->file->notes[i].enabled;
    }
    all.policy.rules = rules;
    if (rules && e->placements)
        done =
            nsp_engine_place_rules(&all, "true", e->placements, NULL) == NSP_OK;
    free(rules);
    return done;
}

/* Fills in e->hidden, of 'rules'. Returns false without memory. */
static bool
find_hidden(struct nsp_explain *e, const struct nsp_rule *rules)
{
    struct nsp_policy_spec spec = e->file->spec;

    e->hidden = calloc(spec.rule_count + 1u, sizeof *e->hidden);
    spec.rules = rules;
    if (e->hidden)
        nsp_policy_find_hidden(&spec, e->file->filters, e->hidden);
    return e->hidden != NULL;
}

/* A rule that is not always in force hides none. NULL without memory. */
static struct nsp_rule *
lasting_rules(const struct nsp_policy_file *file)
{
    uint32_t count = file->spec.rule_count;
    struct nsp_rule *rules = calloc(count + 1u, sizeof *rules);

    for (uint32_t i = 0; rules && i < count; i++) {
        rules[i] = file->rules[i];
        rules[i].disabled = !file->notes[i].always;
    }
    return rules;
}

static void
find_places(struct nsp_explain *e, struct nsp_diag *ret_refused)
{
    const struct nsp_engine_config cfg = nsp_policy_file_engine(e->file);
    struct nsp_engine_config lasting = cfg;
    struct nsp_rule *rules = lasting_rules(e->file);

    lasting.policy.rules = rules;
    ret_refused->text[0] = '\0';
    if (!rules || nsp_engine_place(&lasting, "true", e->places.list,
                                   &e->places.count, ret_refused) != NSP_OK)
        e->places.count = 0;
    e->failed = !rules || !find_hidden(e, rules) ||
                (e->places.count > 0 && !place_rules(e, &cfg));
    free(rules);
}

static void
write_places(struct nsp_explain *e, const struct nsp_diag *refused)
{
    nsp_json_begin_array(&e->json, "places");
    for (uint32_t i = 0; i < e->places.count; i++) {
        nsp_json_begin_object(&e->json, NULL);
        nsp_json_string(&e->json, "hook",
                        nsp_hook_name(e->places.list[i].hook));
        nsp_json_string(&e->json, "interfaces",
                        interfaces[e->places.list[i].interfaces].name);
        nsp_json_string(&e->json, "device", e->places.list[i].device);
        nsp_json_string(&e->json, "reason", e->places.list[i].reason);
        nsp_json_end(&e->json);
    }
    nsp_json_end(&e->json);
    nsp_json_string(&e->json, "refused",
                    refused->text[0] ? refused->text : NULL);
}

static void
print_places(const struct nsp_explain *e, const struct nsp_diag *refused)
{
    for (uint32_t i = 0; i < e->places.count; i++)
        printf("%s%s is taken by %s: %s\n",
               nsp_hook_name(e->places.list[i].hook),
               interfaces[e->places.list[i].interfaces].text,
               e->places.list[i].device, e->places.list[i].reason);
    if (refused->text[0])
        printf("'nsp run' refuses it: %s\n", refused->text);
}

/* --- What is spared ------------------------------------------------------- */

/* Whether rule 'index' does harm and speaks of what is 'essential'. */
static bool
names(const struct nsp_explain *e, uint32_t index, enum nsp_essential essential)
{
    const struct nsp_policy_file *file = e->file;

    return file->filters[index] &&
           nsp_filter_names(file->filters[index], essential) &&
           nsp_policy_spares(&file->spec, index, NULL, essential);
}

static void
write_spared(struct nsp_explain *e)
{
    char name[64];

    nsp_json_begin_array(&e->json, "spared");
    for (unsigned s = NSP_ESSENTIAL_NONE + 1; s < NSP_ESSENTIALS; s++) {
        nsp_json_begin_object(&e->json, NULL);
        nsp_json_string(&e->json, "what",
                        nsp_essential_name((enum nsp_essential)s));
        nsp_json_begin_array(&e->json, "but_by");
        for (uint32_t i = 0; i < e->file->spec.rule_count; i++)
            if (names(e, i, (enum nsp_essential)s))
                nsp_json_string(&e->json, NULL,
                                nsp_explain_rule_name(e->file, i, name));
        nsp_json_end(&e->json);
        nsp_json_end(&e->json);
    }
    nsp_json_end(&e->json);
}

/* Whether a bridge takes packets: those of the machines that it joins. */
static bool
is_bridged(const struct nsp_explain *e)
{
    for (uint32_t i = 0; i < e->places.count; i++)
        if (strcmp(e->places.list[i].device, "bridge") == 0)
            return true;
    return false;
}

static void
print_spared(const struct nsp_explain *e)
{
    char name[64];

    if (is_bridged(e))
        printf("nothing is spared: rules that match act on ARP, neighbour "
               "discovery, DHCP and DHCPv6 of those it joins, too\n");
    if ((e->file->hooks & (NSP_HOOK_INPUT | NSP_HOOK_OUTPUT)) == 0)
        return;
    printf("this host's ARP is never taken; every rule spares its neighbour "
           "discovery, DHCP and DHCPv6\n");
    for (unsigned s = NSP_ESSENTIAL_NONE + 1; s < NSP_ESSENTIALS; s++)
        for (uint32_t i = 0; i < e->file->spec.rule_count; i++)
            if (names(e, i, (enum nsp_essential)s))
                printf("  but rule %s names %s\n",
                       nsp_explain_rule_name(e->file, i, name),
                       nsp_essential_name((enum nsp_essential)s));
}

/* What no single rule says. */
static void
print_whole(const struct nsp_explain *e)
{
    bool go_on = false;

    for (uint32_t i = 0; i < e->file->spec.rule_count; i++)
        go_on |= e->file->rules[i].go_on;
    if (e->file->spec.rule_count == 0)
        puts("no rules: every packet passes");
    if (go_on)
        puts("where several rules match a packet, their effects add up in the "
             "order of the rules");
}

void
nsp_explain_policy(struct nsp_explain *e)
{
    struct nsp_diag refused;

    find_places(e, &refused);
    if (e->failed)
        goto out;
    if (e->cli->json) {
        write_places(e, &refused);
        write_spared(e);
    } else {
        print_places(e, &refused);
        print_spared(e);
    }
    if (e->cli->json)
        nsp_json_begin_array(&e->json, "rules");
    for (uint32_t i = 0; i < e->file->spec.rule_count; i++) {
        if (e->cli->json)
            write_rule(e, i);
        else
            print_rule(e, i);
    }
    if (e->cli->json)
        nsp_json_end(&e->json);
    else
        print_whole(e);
out:
    free(e->hidden);
    free(e->placements);
    e->hidden = NULL;
    e->placements = NULL;
}
