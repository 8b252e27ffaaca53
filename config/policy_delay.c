/* Delays and jitter. */
#include "config/policy_build.h"

/* What is wrong with a delay; NULL when nothing is. */
static const char *
delay_fault(const struct nsp_doc_delay *doc, const char **ret_key,
            const char **ret_category, const char **ret_hint)
{
    bool time = nsp_yaml_find(doc->at.node, "time") != NULL ||
                nsp_keys_given(&nsp_delay_map, &doc->at, "time");
    bool trace = nsp_yaml_find(doc->at.node, "trace") != NULL;
    bool file = nsp_yaml_find(doc->at.node, "file") != NULL;

    *ret_category = "contradiction";
    *ret_hint = "leave one of them out";
    *ret_key = file ? "file" : "trace";
    if (time && trace)
        return "'time' and 'trace' exclude each other";
    if (time && file)
        return "'time' and 'file' exclude each other";
    if (trace && file)
        return "'trace' and 'file' exclude each other";
    *ret_key = "step";
    *ret_hint = "leave it out, or write a 'trace'";
    if (!trace && !file && nsp_yaml_find(doc->at.node, "step"))
        return "'step' needs 'trace' or 'file'";
    *ret_key = NULL;
    *ret_category = "missing-key";
    *ret_hint = "write 'delay: 40ms'";
    if (!time && !trace && !file)
        return "a delay needs 'time', 'trace' or 'file'";
    *ret_key = "trace";
    *ret_category = "out-of-range";
    *ret_hint = "write at least one time";
    if (nsp_keys_given(&nsp_delay_map, &doc->at, "trace") &&
        doc->trace_ns.count == 0)
        return "'trace' is an empty list";
    return NULL;
}

void
nsp_policy_build_delay(struct nsp_policy_builder *b,
                       const struct nsp_doc_delay *doc,
                       struct nsp_delay_config *ret)
{
    const char *key, *category, *hint;
    const char *fault = delay_fault(doc, &key, &category, &hint);

    if (fault)
        nsp_keys_complain_at(&b->keys, &doc->at, key, category, hint, "%s",
                             fault);
    ret->mean_ns = doc->time_ns;
    ret->spared_ppm = (uint32_t)(NSP_PPM_ONE - doc->chance);
    if (doc->file && !fault) {
        ret->trace_ns =
            nsp_policy_read_delays(b, &doc->at, doc->file, &ret->trace_count);
    } else {
        ret->trace_ns = doc->trace_ns.items;
        ret->trace_count = doc->trace_ns.count;
    }
    if (!doc->file && !nsp_yaml_find(doc->at.node, "trace"))
        return;
    ret->kind = NSP_DELAY_TRACE;
    ret->trace_step_ns = doc->step_ns;
}

/* What is wrong with jitter beside what it is added to; NULL when nothing is.
 */
static const char *
jitter_fault(const struct nsp_doc_jitter *doc, const char **ret_key)
{
    bool range = nsp_keys_given(&nsp_jitter_map, &doc->at, "range");
    bool sd = nsp_keys_given(&nsp_jitter_map, &doc->at, "sd");
    bool named = nsp_keys_given(&nsp_jitter_map, &doc->at, "distribution");
    bool uniform = doc->distribution == NSP_DELAY_UNIFORM;

    *ret_key = "sd";
    if (range && sd)
        return "'range' and 'sd' exclude each other";
    *ret_key = NULL;
    if (!range && !sd && !nsp_yaml_find(doc->at.node, "range") &&
        !nsp_yaml_find(doc->at.node, "sd"))
        return "a jitter needs 'range' or 'sd'";
    *ret_key = "distribution";
    if (named && range && !uniform)
        return "'range' goes with a uniform distribution, others have an 'sd'";
    if (named && sd && uniform)
        return "a uniform distribution has a 'range', not an 'sd'";
    *ret_key = "file";
    if (doc->file && named)
        return "'distribution' and 'file' exclude each other";
    if (doc->file && range)
        return "a distribution from a file goes with 'sd', not with 'range'";
    return NULL;
}

void
nsp_policy_build_jitter(struct nsp_policy_builder *b,
                        const struct nsp_doc_effects *doc,
                        struct nsp_delay_config *ret)
{
    const struct nsp_doc_jitter *jitter = &doc->jitter;
    bool range = nsp_keys_given(&nsp_jitter_map, &jitter->at, "range");
    const char *key, *fault = jitter_fault(jitter, &key);

    if (!doc->delay.at.node || ret->kind == NSP_DELAY_TRACE) {
        nsp_keys_complain_at(&b->keys, &jitter->at, NULL, "contradiction",
                             "a jitter is what is added to a delay of one time",
                             "'jitter' needs a 'delay' without 'trace'");
        return;
    }
    if (fault) {
        nsp_keys_complain_at(&b->keys, &jitter->at, key, "contradiction",
                             "see nsp-policy(5)", "%s", fault);
        return;
    }
    ret->spread_ns = range ? jitter->range_ns : jitter->sd_ns;
    ret->correlation_ppm = (uint32_t)jitter->correlation;
    ret->keep_order = jitter->keep_order;
    ret->kind = range ? NSP_DELAY_UNIFORM : NSP_DELAY_NORMAL;
    if (nsp_keys_given(&nsp_jitter_map, &jitter->at, "distribution"))
        ret->kind = (uint8_t)jitter->distribution;
    if (jitter->file) {
        ret->kind = NSP_DELAY_TABLE;
        ret->table = nsp_policy_read_distribution(b, &jitter->at, jitter->file,
                                                  &ret->table_count);
    }

    if (range && ret->spread_ns > ret->mean_ns)
        nsp_keys_complain_at(&b->keys, &jitter->at, "range", "out-of-range",
                             "a range is at most the delay",
                             "some delays would be negative");
    if (ret->kind == NSP_DELAY_LOGNORMAL &&
        (ret->mean_ns == 0 || ret->spread_ns / 10 > ret->mean_ns))
        nsp_keys_complain_at(&b->keys, &jitter->at, "sd", "out-of-range",
                             "at most ten times the delay, which is not 0",
                             "so wide a lognormal distribution cannot be made");
}
