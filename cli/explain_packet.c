#include "cli/explain.h"

#include <stdio.h>

#include "cli/packet_text.h"
#include "netshaper/explain.h"

static const char *
why_spared(enum nsp_essential essential)
{
    switch (essential) {
    case NSP_ESSENTIAL_NEIGHBOURS:
        return "spares neighbour discovery";
    case NSP_ESSENTIAL_DHCP:
        return "spares DHCP";
    case NSP_ESSENTIAL_DHCPV6:
        return "spares DHCPv6";
    default:
        return NULL;
    }
}

/* What a packet of this host would be taken for. */
static enum nsp_essential
essential_of(const struct nsp_pkt *pkt)
{
    struct nsp_pkt taken = *pkt;

    taken.hook = pkt->direction == NSP_INBOUND    ? NSP_HOOK_INPUT
                 : pkt->direction == NSP_OUTBOUND ? NSP_HOOK_OUTPUT
                                                  : NSP_HOOK_FORWARD;
    return nsp_pkt_essential(&taken);
}

/* Why a rule was not even asked. */
static const char *
not_asked(const struct nsp_policy_file *file, uint32_t index,
          const struct nsp_pkt *pkt)
{
    const struct nsp_rule *rule = &file->rules[index];
    enum nsp_essential essential = essential_of(pkt);

    if (!file->notes[index].enabled)
        return "not enabled";
    if (rule->disabled)
        return "not in force at this time";
    if (rule->apply == NSP_APPLY_INBOUND && pkt->direction != NSP_INBOUND)
        return "for inbound packets only";
    if (rule->apply == NSP_APPLY_OUTBOUND && pkt->direction != NSP_OUTBOUND)
        return "for outbound packets only";
    if (nsp_policy_spares(&file->spec, index, file->filters[index], essential))
        return why_spared(essential);
    return NULL;
}

/* --- Steps -------------------------------------------------------------------
 */

static void
print_step(const struct nsp_filter_step *step)
{
    printf("    %s: %s", step->test, step->passed ? "yes" : "no");
    if (step->is_absent)
        printf(", the packet has none");
    else if (step->value)
        printf(", it is %s", step->value);
    putchar('\n');
}

static void
visit_step(void *context, const struct nsp_filter_step *step)
{
    struct nsp_explain *e = context;
    struct nsp_json *json = &e->json;

    if (!e->cli->json) {
        print_step(step);
        return;
    }
    nsp_json_begin_object(json, NULL);
    nsp_json_string(json, "test", step->test);
    nsp_json_string(json, "value", step->value);
    nsp_json_bool(json, "passed", step->passed);
    nsp_json_end(json);
}

/* --- Rules -------------------------------------------------------------------
 */

static void
trace_rule(struct nsp_explain *e, uint32_t index, const struct nsp_pkt *pkt)
{
    const struct nsp_filter_context at = { .timestamp =
                                               (int64_t)pkt->arrival_ns };
    bool matches = false;

    if (e->file->filters[index] &&
        nsp_filter_trace(e->file->filters[index], pkt, &at, visit_step, e,
                         &matches) != NSP_OK)
        e->failed = true;
}

static bool
matches_of(const struct nsp_explain *e, uint32_t index,
           const struct nsp_pkt *pkt)
{
    const struct nsp_filter_context at = { .timestamp =
                                               (int64_t)pkt->arrival_ns };
    const struct nsp_filter *filter = e->file->filters[index];

    return !not_asked(e->file, index, pkt) &&
           (!filter || nsp_filter_match(filter, pkt, &at));
}

static void
print_rule(struct nsp_explain *e, uint32_t index, const struct nsp_pkt *pkt)
{
    const char *why = not_asked(e->file, index, pkt);
    const struct nsp_policy_note *note = &e->file->notes[index];
    char name[64], place[160] = "";

    if (note->line > 0)
        snprintf(place, sizeof place, " (%.120s:%u)", note->file,
                 (unsigned)note->line);
    printf("  %s%s: %s\n", nsp_explain_rule_name(e->file, index, name), place,
           why                         ? why
           : matches_of(e, index, pkt) ? "matches"
                                       : "does not match");
    if (!why)
        trace_rule(e, index, pkt);
}

static void
write_rule(struct nsp_explain *e, uint32_t index, const struct nsp_pkt *pkt)
{
    const char *why = not_asked(e->file, index, pkt);
    char name[64];

    nsp_json_begin_object(&e->json, NULL);
    nsp_json_string(&e->json, "rule",
                    nsp_explain_rule_name(e->file, index, name));
    if (e->file->notes[index].line > 0) {
        nsp_json_string(&e->json, "file", e->file->notes[index].file);
        nsp_json_uint(&e->json, "line", e->file->notes[index].line);
    }
    nsp_json_bool(&e->json, "matches", matches_of(e, index, pkt));
    if (why)
        nsp_json_string(&e->json, "not_asked", why);
    nsp_json_begin_array(&e->json, "tests");
    if (!why)
        trace_rule(e, index, pkt);
    nsp_json_end(&e->json);
    nsp_json_end(&e->json);
}

/* --- Packets ------------------------------------------------------------- */

static void
begin_packet(struct nsp_explain *e, const struct nsp_pkt *pkt)
{
    char text[192];

    nsp_packet_text_write(pkt, text, sizeof text);
    if (!e->cli->json) {
        printf("packet %llu: %s\n", (unsigned long long)e->packets, text);
        return;
    }
    nsp_json_begin_object(&e->json, NULL);
    nsp_json_uint(&e->json, "packet", e->packets);
    nsp_json_string(&e->json, "is", text);
    nsp_json_begin_array(&e->json, "rules");
}

/* Where rules before the one that decides have matched as well: what all of
 * them do, one after the other. */
static void
print_together(const struct nsp_explain *e, const struct nsp_pkt *pkt,
               uint32_t decides)
{
    char name[64], text[512];
    uint32_t matched = 0;

    for (uint32_t i = 0; i < decides; i++)
        matched += matches_of(e, i, pkt);
    if (matched == 0 || matched + (decides < e->file->spec.rule_count) < 2)
        return;
    printf("  effects add up in this order:");
    for (uint32_t i = 0; i <= decides && i < e->file->spec.rule_count; i++) {
        if (!matches_of(e, i, pkt))
            continue;
        nsp_explain_rule_actions(&e->file->rules[i], text, sizeof text);
        printf("%s %s (%s)", matched > 0 ? "" : ";",
               nsp_explain_rule_name(e->file, i, name), text);
        matched = 0;
    }
    putchar('\n');
}

static void
end_packet(struct nsp_explain *e, const struct nsp_pkt *pkt, uint32_t decides)
{
    bool found = decides < e->file->spec.rule_count;
    char name[64], text[512] = "pass";

    if (found)
        nsp_explain_rule_actions(&e->file->rules[decides], text, sizeof text);
    if (!e->cli->json) {
        if (found)
            printf("  %s decides: %s\n",
                   nsp_explain_rule_name(e->file, decides, name), text);
        else
            printf("  no rule decides: pass\n");
        print_together(e, pkt, decides);
        return;
    }
    nsp_json_end(&e->json);
    nsp_json_string(&e->json, "decided_by",
                    found ? nsp_explain_rule_name(e->file, decides, name)
                          : NULL);
    nsp_json_string(&e->json, "does", text);
    nsp_json_end(&e->json);
}

void
nsp_explain_packet(struct nsp_explain *e, const struct nsp_pkt *pkt)
{
    uint32_t index = 0;

    e->packets++;
    begin_packet(e, pkt);
    for (; index < e->file->spec.rule_count; index++) {
        if (e->cli->json)
            write_rule(e, index, pkt);
        else
            print_rule(e, index, pkt);
        if (matches_of(e, index, pkt) && !e->file->rules[index].go_on)
            break;
    }
    end_packet(e, pkt, index);
}
