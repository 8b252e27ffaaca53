#include "engine/stats.h"

void
nsp_stats_add(struct nsp_stats *to, const struct nsp_stats *from)
{
    uint64_t *sums = (uint64_t *)to;
    const uint64_t *words = (const uint64_t *)from;

    for (uint32_t i = 0; i < NSP_STATS_WORDS; i++)
        sums[i] += words[i];
}

void
nsp_rule_stats_add(struct nsp_rule_stats *to,
                   const struct nsp_rule_counters *from)
{
    to->hit_pkts += from->hit_pkts;
    to->hit_bytes += from->hit_bytes;
    to->last_hit_ns = nsp_max_u64(to->last_hit_ns, from->last_hit_ns);
    to->in_pkts += from->in_pkts;
    to->in_bytes += from->in_bytes;
    to->delivered_pkts += from->delivered_pkts;
    to->delivered_bytes += from->delivered_bytes;
    for (uint32_t i = 0; i < NSP_DROP_COUNT; i++)
        to->dropped_pkts[i] += from->dropped_pkts[i];
    to->dropped_bytes += from->dropped_bytes;
    to->queued_pkts += from->queued_pkts;
    to->queued_bytes += from->queued_bytes;
}

void
nsp_class_stats_add(struct nsp_class_stats *to,
                    const struct nsp_rule_counters *from)
{
    to->in_pkts += from->in_pkts;
    to->in_bytes += from->in_bytes;
    to->sent_pkts += from->delivered_pkts;
    to->sent_bytes += from->delivered_bytes;
    to->dropped_pkts += from->dropped_pkts[NSP_DROP_QUEUE_FULL];
    to->dropped_bytes += from->dropped_bytes;
    to->queued_pkts += from->queued_pkts;
    to->queued_bytes += from->queued_bytes;
}

const char *
nsp_drop_reason_name(enum nsp_drop_reason reason)
{
    static const char *const names[] = {
#define DROP_NAME(id, name, text) name,
        NSP_DROP_REASONS(DROP_NAME)
#undef DROP_NAME
    };

    return (uint32_t)reason < NSP_DROP_COUNT ? names[reason] : "unknown";
}

const char *
nsp_drop_reason_text(enum nsp_drop_reason reason)
{
    static const char *const texts[] = {
#define DROP_TEXT(id, name, text) text,
        NSP_DROP_REASONS(DROP_TEXT)
#undef DROP_TEXT
    };

    return (uint32_t)reason < NSP_DROP_COUNT ? texts[reason] : "unknown reason";
}
