#include "engine/flows.h"

#include "base/prng.h"
#include "os/os.h"
#include "policy/policy_spec.h"

/* Chains of rules that flows share; each is 56 bytes. */
#define CHAINS_MAX 4096u

/* Places of the table looked at for each packet, for flows that timed out. */
#define AGE_PER_PKT 3u

/* In virtual time nobody listens on the wire, and runs must be alike. */
static int
choose_secret(const struct nsp_config *config, bool virtual_time,
              uint64_t ret[2])
{
    if (!virtual_time)
        return nsp_os_random(ret, 2 * sizeof ret[0]);
    ret[0] = nsp_mix64(config->user.seed);
    ret[1] = nsp_mix64(ret[0]);
    return 0;
}

int
nsp_flows_init(struct nsp_flows *flows, const struct nsp_config *config,
               const struct nsp_filter *filter, bool virtual_time, bool told)
{
    struct nsp_flow_config cfg = { .capacity_flows = config->user.max_flows };
    struct nsp_filter_needs needs;
    int err = choose_secret(config, virtual_time, cfg.secret);

    nsp_filter_get_needs(filter, &needs);
    flows->filter_reads = needs.flow;
    flows->virtual_time = virtual_time;
    flows->told = told;
    if (err == 0)
        err = nsp_flow_table_create(&cfg, &config->tables, &flows->table);
    if (err == 0)
        err = nsp_flow_cache_create(CHAINS_MAX, &config->allocator,
                                    &flows->cache);
    return err;
}

void
nsp_flows_fini(struct nsp_flows *flows)
{
    nsp_flow_cache_destroy(flows->cache);
    nsp_flow_table_destroy(flows->table);
}

void
nsp_flows_use(struct nsp_flows *flows, const struct nsp_policy *policy)
{
    const struct nsp_flow_plan *plan = nsp_policy_flow_plan(policy);

    if (!flows->table)
        return;
    if (!flows->told && !nsp_policy_gains_by_flows(policy))
        plan = NULL;
    flows->caches = plan != NULL;
    flows->reads = flows->filter_reads || nsp_policy_reads_flows(policy);
    flows->tracks =
        plan || flows->reads ||
        (flows->virtual_time && nsp_policy_needs(policy, NSP_NEED_DRAW));
    if (plan)
        nsp_flow_cache_use(flows->cache, plan);
}

/* Views need the second line of a flow, which finding it did not fetch: all are
 * asked for at once. */
static void
fetch_second_lines(const struct nsp_flows *flows, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (flows->hits[i].flow)
            nsp_prefetch(&flows->hits[i].flow->first_ns);
    }
}

static void
read_views(struct nsp_flows *flows, uint32_t n, uint64_t now_ns)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct nsp_flow_hit *hit = &flows->hits[i];

        if (hit->flow)
            nsp_flow_read_view(hit->flow, (enum nsp_flow_way)hit->way, now_ns,
                               &flows->views[i]);
    }
}

static void
show_views(const struct nsp_flows *flows, struct nsp_pkt *const pkts[],
           uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        pkts[i]->flow =
            flows->reads && flows->hits[i].flow ? &flows->views[i] : NULL;
}

static void
track_moment(struct nsp_flows *flows, struct nsp_pkt *const pkts[], uint32_t n,
             uint64_t now_ns)
{
    nsp_flow_table_track_burst(flows->table, pkts, n, now_ns, flows->hits);
    if (flows->reads) {
        fetch_second_lines(flows, n);
        read_views(flows, n, now_ns);
    }
    nsp_flow_table_age(flows->table, now_ns, AGE_PER_PKT * n);
}

static void
track_arrivals(struct nsp_flows *flows, struct nsp_pkt *const pkts[],
               uint32_t n, uint64_t now_ns)
{
    nsp_flow_table_track_arrivals(flows->table, pkts, n, now_ns,
                                  flows->reads ? flows->views : NULL,
                                  flows->hits);
    nsp_flow_table_age(flows->table,
                       nsp_max_u64(now_ns, pkts[n - 1]->arrival_ns),
                       AGE_PER_PKT * n);
}

void
nsp_flows_track(struct nsp_flows *flows, struct nsp_pkt *const pkts[],
                uint32_t n, uint64_t now_ns)
{
    if (!flows->tracks) {
        for (uint32_t i = 0; i < n; i++)
            pkts[i]->flow = NULL;
        return;
    }
    if (flows->virtual_time)
        track_arrivals(flows, pkts, n, now_ns);
    else
        track_moment(flows, pkts, n, now_ns);
    show_views(flows, pkts, n);
}

bool
nsp_flows_can_track_ahead(const struct nsp_flows *flows, uint32_t n)
{
    return !flows->tracks || nsp_flow_table_has_room(flows->table, n);
}
