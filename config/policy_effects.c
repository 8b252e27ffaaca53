/* Effects, each from its mapping. */
#include "config/policy_build.h"

static uint32_t
spared(uint64_t chance)
{
    return (uint32_t)(NSP_PPM_ONE - chance);
}

/* Complains that 'object' has neither or both of two keys. Returns whether it
 * has one. */
static bool
check_one_of(struct nsp_policy_builder *b, const struct nsp_map *map,
             const struct nsp_object *object, const char *a, const char *z)
{
    bool has_a = nsp_keys_given(map, object, a) ||
                 nsp_yaml_find(object->node, a) != NULL;
    bool has_z = nsp_yaml_find(object->node, z) != NULL;

    if (has_a && has_z)
        nsp_keys_complain_at(&b->keys, object, z, "contradiction",
                             "leave one of them out",
                             "'%s' and '%s' exclude each other", a, z);
    else if (!has_a && !has_z)
        nsp_keys_complain_at(&b->keys, object, NULL, "missing-key",
                             "see nsp-policy(5)", "%s needs '%s' or '%s'",
                             map->name, a, z);
    return has_a != has_z;
}

/* --- Order and time --------------------------------------------------------
 */

static void
build_ack_delay(const struct nsp_doc_ack_delay *doc,
                struct nsp_ack_delay_config *ret)
{
    ret->delay_ns = doc->time_ns;
    ret->all = doc->all;
    ret->spared_ppm = spared(doc->chance);
}

static void
build_reorder(struct nsp_policy_builder *b,
              const struct nsp_doc_effects *effects,
              struct nsp_reorder_config *ret)
{
    const struct nsp_doc_reorder *doc = &effects->reorder;

    if (!check_one_of(b, &nsp_reorder_map, &doc->at, "within", "gap"))
        return;
    if (doc->gap > 0 && !effects->delay.at.node)
        nsp_keys_complain_at(&b->keys, &doc->at, "gap", "contradiction",
                             "it overtakes what a 'delay' holds",
                             "'gap' needs a 'delay'");
    ret->ppm = (uint32_t)doc->chance;
    ret->correlation_ppm = (uint32_t)doc->correlation;
    ret->gap = (uint32_t)doc->gap;
    ret->late_ns = doc->within_ns;
}

static void
build_windows(struct nsp_policy_builder *b, const struct nsp_doc_windows *doc,
              struct nsp_window_config *ret)
{
    ret->min_ns = doc->interval_ns;
    ret->max_ns = doc->most_ns ? doc->most_ns : doc->interval_ns;
    ret->limit_pkts = (uint32_t)doc->pkts;
    ret->limit_bytes = (uint32_t)doc->bytes;
    ret->spared_ppm = spared(doc->chance);
    if (ret->max_ns < ret->min_ns)
        nsp_keys_complain_at(&b->keys, &doc->at, "up-to", "out-of-range",
                             "write the longer of them as 'up-to'",
                             "'up-to' is shorter than 'interval'");
}

static void
build_throttle(const struct nsp_doc_throttle *doc,
               struct nsp_throttle_config *ret)
{
    uint64_t burst = doc->burst ? doc->burst : doc->pkts;

    ret->pkts = doc->pkts;
    ret->per_ns = doc->per_ns;
    ret->burst_pkts =
        (uint32_t)(burst < NSP_THROTTLE_HELD_MAX ? burst
                                                 : NSP_THROTTLE_HELD_MAX);
    ret->queue_pkts = (uint32_t)doc->queue;
    ret->spared_ppm = spared(doc->chance);
}

static void
build_flap(struct nsp_policy_builder *b, const struct nsp_doc_flap *doc,
           struct nsp_flap_config *ret)
{
    uint32_t count = doc->times_ns.count;

    if (!nsp_keys_given(&nsp_flap_map, &doc->at, "times"))
        return; /* Complained of. */
    if (count == 0 || count % 2 != 0 || (doc->exponential && count != 2)) {
        nsp_keys_complain_at(&b->keys, &doc->at, "times", "out-of-range",
                             "a time up and a time down, by turns",
                             doc->exponential
                                 ? "exponential 'times' are two means"
                                 : "'times' are not an even number of times");
        return;
    }
    ret->kind = doc->exponential ? NSP_FLAP_EXPONENTIAL : NSP_FLAP_SCHEDULE;
    ret->hold = doc->hold;
    ret->count = (uint8_t)count;
    ret->times_ns = doc->times_ns.items;
    ret->spared_ppm = spared(doc->chance);
}

static void
build_cutoff(struct nsp_policy_builder *b, const struct nsp_doc_cutoff *doc,
             struct nsp_cutoff_config *ret)
{
    bool bytes = nsp_yaml_find(doc->at.node, "bytes") != NULL;

    if (!bytes && !nsp_yaml_find(doc->at.node, "time"))
        nsp_keys_complain_at(&b->keys, &doc->at, NULL, "missing-key",
                             "after how much, or how long?",
                             "a cutoff needs 'bytes' or 'time'");
    if (doc->hold && doc->stall_ns == 0)
        nsp_keys_complain_at(&b->keys, &doc->at, "hold", "contradiction",
                             "write how long: 'stall: 5s'",
                             "'hold' needs 'stall'");
    ret->after_bytes = doc->bytes;
    ret->after_ns = doc->time_ns;
    ret->stall_ns = doc->stall_ns ? doc->stall_ns : UINT64_MAX;
    ret->hold = doc->hold;
    ret->spared_ppm = spared(doc->chance);
}

/* --- Copies, damage, sizes -------------------------------------------------
 */

static void
build_duplicate(const struct nsp_doc_duplicate *doc,
                struct nsp_duplicate_config *ret)
{
    ret->ppm = (uint32_t)doc->chance;
    ret->correlation_ppm = (uint32_t)doc->correlation;
    ret->copies = (uint32_t)doc->copies;
    ret->spacing_ns = doc->spacing_ns;
}

static void
build_tamper(struct nsp_policy_builder *b, const struct nsp_doc_tamper *doc,
             struct nsp_tamper_config *ret)
{
    bool flip = nsp_keys_given(&nsp_tamper_map, &doc->at, "flip");

    ret->ppm = (uint32_t)doc->chance;
    ret->correlation_ppm = (uint32_t)doc->correlation;
    ret->truncate_bytes = (uint32_t)doc->truncate_bytes;
    ret->flip_bits = (uint32_t)doc->flip;
    ret->flip_where = (uint8_t)doc->where;
    ret->rewrite = doc->fill.rewrite;
    ret->csum = (uint8_t)doc->csum;
    ret->fill_bytes = doc->fill.count;
    for (unsigned i = 0; i < doc->fill.count; i++)
        ret->fill[i] = doc->fill.bytes[i];
    if (!flip && doc->truncate_bytes == 0 &&
        doc->fill.rewrite == NSP_TAMPER_KEEP &&
        doc->csum == NSP_TAMPER_CSUM_KEEP)
        ret->flip_bits = 1;
    if (ret->flip_bits == 0 &&
        nsp_keys_given(&nsp_tamper_map, &doc->at, "where"))
        nsp_keys_complain_at(&b->keys, &doc->at, "where", "contradiction",
                             "write 'flip: 1', or leave it out",
                             "'where' needs 'flip'");
}

static void
build_mtu(const struct nsp_doc_mtu *doc, struct nsp_mtu_config *ret)
{
    ret->max_bytes = (uint32_t)doc->max_bytes;
    ret->excess = (uint8_t)doc->excess;
    ret->spared_ppm = spared(doc->chance);
}

static void
build_tcp(const struct nsp_doc_effects *doc, struct nsp_effects *ret)
{
    if (doc->tcp_window.at.node) {
        ret->tcp_window.max_bytes = (uint32_t)doc->tcp_window.max_bytes;
        ret->tcp_window.spared_ppm = spared(doc->tcp_window.chance);
    }
    if (doc->tcp_reset.at.node) {
        ret->tcp_reset.ppm = (uint32_t)doc->tcp_reset.chance;
        ret->tcp_reset.correlation_ppm = (uint32_t)doc->tcp_reset.correlation;
        ret->tcp_reset.ends = (uint8_t)doc->tcp_reset.ends;
        ret->tcp_reset.once = doc->tcp_reset.once;
    }
}

/* --- All -------------------------------------------------------------------
 */

static void
build_losses(struct nsp_policy_builder *b, const struct nsp_doc_effects *doc,
             struct nsp_effects *ret)
{
    nsp_policy_build_loss(b, &doc->loss, &ret->loss);
    nsp_policy_build_loss(b, &doc->syn_loss, &ret->syn_loss);
    if (!doc->loss_pattern)
        return;
    if (doc->loss.at.node)
        nsp_keys_complain_at(&b->keys, &doc->loss.at, NULL, "contradiction",
                             "leave one of them out",
                             "'loss' and 'loss-pattern' exclude each other");
    nsp_policy_build_loss_pattern(b, doc, &ret->loss);
}

static void
build_times(struct nsp_policy_builder *b, const struct nsp_doc_effects *doc,
            struct nsp_effects *ret)
{
    if (doc->delay.at.node)
        nsp_policy_build_delay(b, &doc->delay, &ret->delay);
    if (doc->jitter.at.node)
        nsp_policy_build_jitter(b, doc, &ret->delay);
    if (doc->ack_delay.at.node)
        build_ack_delay(&doc->ack_delay, &ret->ack_delay);
    if (doc->reorder.at.node)
        build_reorder(b, doc, &ret->reorder);
    if (doc->windows.at.node)
        build_windows(b, &doc->windows, &ret->windows);
    if (doc->throttle.at.node)
        build_throttle(&doc->throttle, &ret->throttle);
    if (doc->flap.at.node)
        build_flap(b, &doc->flap, &ret->flap);
    if (doc->cutoff.at.node)
        build_cutoff(b, &doc->cutoff, &ret->cutoff);
}

void
nsp_policy_build_effects(struct nsp_policy_builder *b,
                         const struct nsp_doc_effects *doc,
                         struct nsp_effects *ret)
{
    build_losses(b, doc, ret);
    build_times(b, doc, ret);
    if (doc->duplicate.at.node)
        build_duplicate(&doc->duplicate, &ret->duplicate);
    if (doc->tamper.at.node)
        build_tamper(b, &doc->tamper, &ret->tamper);
    if (doc->mtu.at.node)
        build_mtu(&doc->mtu, &ret->mtu);
    build_tcp(doc, ret);
}
