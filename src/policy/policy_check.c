#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "policy/policy.h"
#include "policy/policy_spec.h"

/* --- Parts --------------------------------------------------------------- */

/* What is wrong, NULL when nothing is. */
static const char *
link_fault(const struct nsp_link_rate *link)
{
    bool queue = link->queue_unit || link->queue_drop || link->queue_limit;

    if (link->rate_bitps != 0 && (link->rate_bitps < NSP_RATE_BITPS_MIN ||
                                  link->rate_bitps > NSP_RATE_BITPS_MAX))
        return "rate_bitps is outside 8 bit/s to 1 Tbit/s";
    if (link->rate_bitps != 0 && link->plan)
        return "a rate and a plan of rates; choose one";
    if (!nsp_link_any(link) && queue)
        return "a queue needs rate_bitps";
    if (!nsp_link_any(link) && link->overhead_bytes != 0)
        return "overhead_bytes needs rate_bitps";
    if (link->queue_unit > NSP_QUEUE_NS)
        return "queue_unit is not one of enum nsp_queue_unit";
    if (link->queue_drop > NSP_QUEUE_DROP_HEAD)
        return "queue_drop is not one of enum nsp_queue_drop";
    if ((link->queue_unit == NSP_QUEUE_DEFAULT) != (link->queue_limit == 0))
        return "queue_unit and queue_limit go together";
    if (link->overhead_bytes < NSP_OVERHEAD_MIN ||
        link->overhead_bytes > NSP_OVERHEAD_MAX)
        return "overhead_bytes is outside -64 to 256";
    return NULL;
}

static const char *
limit_fault(const struct nsp_limit *limit)
{
    if (limit->unit > NSP_LIMIT_PPS)
        return "limit.unit is not one of enum nsp_limit_unit";
    if (limit->unit == NSP_LIMIT_NONE)
        return limit->rate || limit->burst ? "a limit needs a unit" : NULL;
    if (limit->rate == 0 || limit->rate > NSP_RATE_BITPS_MAX)
        return "limit.rate is outside 1 to 10^12";
    if (limit->burst > NSP_LIMIT_BURST_MAX)
        return "limit.burst is above 10^12";
    return NULL;
}

static const char *
edits_fault(const struct nsp_edits *edits)
{
    const uint32_t all = NSP_EDIT_DSCP | NSP_EDIT_ECN | NSP_EDIT_TTL |
                         NSP_EDIT_MSS | NSP_EDIT_MARK;

    if ((edits->which & ~all) != 0)
        return "edits.which has a bit that is no enum nsp_edit";
    if ((edits->which & NSP_EDIT_DSCP) != 0 && edits->dscp > 63)
        return "edits.dscp is above 63";
    if ((edits->which & NSP_EDIT_ECN) != 0 && edits->ecn > 3)
        return "edits.ecn is above 3";
    if ((edits->which & NSP_EDIT_TTL) != 0 && edits->ttl == 0)
        return "edits.ttl is 0";
    if ((edits->which & NSP_EDIT_MSS) != 0 && edits->mss < NSP_MSS_MIN)
        return "edits.mss is below 88";
    return NULL;
}

/* What rules that end packets cannot have beside. */
static const char *
action_fault(const struct nsp_rule *rule)
{
    if (rule->action > NSP_ACTION_REJECT)
        return "action is not one of enum nsp_action";
    if (rule->action == NSP_ACTION_PASS)
        return NULL;
    if (nsp_effects_any(&rule->effects) || nsp_link_any(&rule->link) ||
        rule->class_name || rule->impairment)
        return "a packet that is dropped or rejected can have no delay, loss "
               "or rate";
    if (rule->edits.which != 0 || rule->limit.unit != NSP_LIMIT_NONE)
        return "a packet that is dropped or rejected can have no edits and no "
               "limit";
    if (rule->go_on)
        return "a packet that is dropped or rejected cannot go on";
    return NULL;
}

static const char *
rule_fault(const struct nsp_rule *rule)
{
    const char *fault = action_fault(rule);

    if (fault)
        return fault;
    if (rule->apply > NSP_APPLY_OUTBOUND)
        return "apply is not one of enum nsp_apply";
    if (rule->class_name && nsp_link_any(&rule->link))
        return "a class and a rate of its own; choose one";
    if (rule->impairment && nsp_effects_any(&rule->effects))
        return "an impairment and effects of its own; choose one";
    fault = link_fault(&rule->link);
    if (!fault)
        fault = limit_fault(&rule->limit);
    if (!fault)
        fault = edits_fault(&rule->edits);
    return fault;
}

/* --- Names --------------------------------------------------------------- */

void
nsp_rule_write_name(char *ret, size_t bytes, const struct nsp_rule *rule,
                    uint32_t index)
{
    if (rule->name)
        snprintf(ret, bytes, "%s", rule->name);
    else
        snprintf(ret, bytes, "rule-%u", index + 1);
}

static int
bad_part(struct nsp_diag *reterr, const char *kind, const char *name,
         const char *fault)
{
    return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "bad-rule", NULL,
                        "%s %.63s: %s", kind, name, fault);
}

/* A name that somebody gave must be usable; those of classes and impairments
 * must be there. */
static const char *
name_fault(const char *name, bool required)
{
    if (!name)
        return required ? "it has no name" : NULL;
    if (name[0] == '\0')
        return "its name is empty";
    if (strlen(name) > NSP_NAME_MAX)
        return "its name is longer than 63 bytes";
    return NULL;
}

/* --- All ----------------------------------------------------------------- */

static int
check_counts(const struct nsp_policy_spec *spec, struct nsp_diag *reterr)
{
    const struct {
        const char *what;
        uint32_t count, max;
        const void *array;
    } lists[] = {
        { "rules", spec->rule_count, NSP_RULES_MAX, spec->rules },
        { "classes", spec->class_count, NSP_CLASSES_MAX, spec->classes },
        { "impairments", spec->impairment_count, NSP_IMPAIRMENTS_MAX,
          spec->impairments },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(lists); i++) {
        if (lists[i].count > lists[i].max)
            return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "too-many-rules",
                                "merge some", "%u %s are more than %u",
                                lists[i].count, lists[i].what, lists[i].max);
        if (lists[i].count > 0 && !lists[i].array)
            return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "no-rules", NULL,
                                "there are %u %s and no array of them",
                                lists[i].count, lists[i].what);
    }
    return NSP_OK;
}

static int
check_parts(const struct nsp_policy_spec *spec, struct nsp_diag *reterr)
{
    for (uint32_t i = 0; i < spec->class_count; i++) {
        const struct nsp_class *class_ = &spec->classes[i];
        const char *fault = name_fault(class_->name, true);

        if (!fault && !nsp_link_any(&class_->link))
            fault = "it has no rate_bitps";
        if (!fault)
            fault = link_fault(&class_->link);
        if (fault)
            return bad_part(reterr, "class", class_->name ? class_->name : "",
                            fault);
    }
    for (uint32_t i = 0; i < spec->impairment_count; i++) {
        const char *name = spec->impairments[i].name;
        const char *fault = name_fault(name, true);

        if (fault)
            return bad_part(reterr, "impairment", name ? name : "", fault);
    }
    return NSP_OK;
}

int
nsp_policy_check(const struct nsp_policy_spec *spec, struct nsp_diag *reterr)
{
    int result = check_counts(spec, reterr);

    if (result == NSP_OK)
        result = check_parts(spec, reterr);
    for (uint32_t i = 0; i < spec->rule_count && result == NSP_OK; i++) {
        const struct nsp_rule *rule = &spec->rules[i];
        const char *fault = name_fault(rule->name, false);
        char name[NSP_NAME_MAX + 1];

        if (!fault)
            fault = rule_fault(rule);
        if (!fault)
            continue;
        nsp_rule_write_name(name, sizeof name, rule, i);
        result = bad_part(reterr, "rule", name, fault);
    }
    return result;
}
