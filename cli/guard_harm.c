#include "cli/guard_harm.h"

#include <assert.h>
#include <string.h>

#include "verify/loss_model.h"

#define NS_PER_S        1e9
#define WIRE_BYTES      1500u
#define TABLE_UNIT      8192.0
#define IPV6_PATH_BYTES 1280u
#define ROUNDING        1e-9

/* How far above the mean times without a bound are looked at: deviations of
 * delays, means of exponential times. */
#define TAIL 3.0

/* Packets that the losses of bad times are counted in. */
#define GAP_NS 1000000u

static double
share(uint32_t ppm)
{
    return ppm / (double)NSP_PPM_ONE;
}

/* Whether so many are too many. */
static bool
is_much(double part)
{
    return part >= share(NSP_HARM_LOSS_PPM) - ROUNDING;
}

/* Of a full one at most: superpackets are taken apart where it matters. */
static uint32_t
wire_bytes(const struct nsp_harm *harm)
{
    return harm->pkt->ip_bytes < WIRE_BYTES ? harm->pkt->ip_bytes : WIRE_BYTES;
}

static void
lose(struct nsp_harm *harm, double part)
{
    harm->kept *= 1 - part;
}

static void
hold(struct nsp_harm *harm, double part, double ns)
{
    if (ns >= (double)NSP_HARM_HOLD_NS)
        harm->in_time *= 1 - part;
    else if (is_much(part))
        harm->hold_ns += ns;
}

static void
end(struct nsp_harm *harm, const char *how)
{
    if (!harm->ended)
        harm->ended = how;
}

/* --- Losses --------------------------------------------------------------- */

static double
lose_pattern(struct nsp_harm *harm, const uint8_t lost[], uint32_t pkts)
{
    uint32_t count = 0, run = 0, longest = 0;

    for (uint32_t i = 0; i < 2 * pkts; i++) { /* Runs may go over the end. */
        run = lost[i % pkts] ? run + 1 : 0;
        longest = run > longest ? run : longest;
        count += lost[i % pkts] != 0;
    }
    lose(harm, count / (2.0 * pkts));
    return longest;
}

static void
judge_loss(struct nsp_harm *harm, const struct nsp_loss_config *cfg)
{
    struct nsp_loss_model model;
    double run = 0;

    if (!nsp_loss_is_configured(cfg))
        return;
    nsp_loss_model_init(&model, cfg, GAP_NS);
    switch ((enum nsp_loss_kind)cfg->kind) {
    case NSP_LOSS_CHANCE:
    case NSP_LOSS_GILBERT:
    case NSP_LOSS_BURSTS:
    case NSP_LOSS_FOUR_STATES:
    case NSP_LOSS_CONSECUTIVE:
        lose(harm, model.rate);
        run = model.period;
        break;
    case NSP_LOSS_TIMED:
        lose(harm, model.rate);
        if (model.rate > 0 && is_much(share(cfg->timed.loss_ppm)))
            hold(harm, 1, (double)cfg->timed.bad_ns);
        break;
    case NSP_LOSS_PATTERN:
        run = lose_pattern(harm, cfg->pattern.lost, cfg->pattern.pkts);
        break;
    case NSP_LOSS_EVERY:
        lose(harm, 1.0 / cfg->every_pkts);
        break;
    case NSP_LOSS_FIRST:
        run = cfg->first_pkts;
        break;
    }
    if (run >= NSP_HARM_RUN_PKTS)
        hold(harm, 1, (double)NSP_HARM_HOLD_NS);
}

/* Of what opens a connection: this one is open. */
static void
judge_syn_loss(struct nsp_harm *harm, const struct nsp_loss_config *cfg)
{
    (void)harm;
    (void)cfg;
}

static void
judge_flap(struct nsp_harm *harm, const struct nsp_flap_config *cfg)
{
    double part = 1 - share(cfg->spared_ppm), down = 0, all = 0, longest = 0;

    if (cfg->count == 0)
        return;
    for (uint32_t i = 0; i < cfg->count; i++) {
        double ns = (double)cfg->times_ns[i];

        all += ns;
        down += i % 2 == 1 ? ns : 0;
        if (i % 2 == 1 && ns > longest)
            longest = ns;
    }
    if (!cfg->hold)
        lose(harm, part * down / all);
    hold(harm, part,
         cfg->kind == NSP_FLAP_EXPONENTIAL ? TAIL * longest : longest);
}

static void
judge_cutoff(struct nsp_harm *harm, const struct nsp_cutoff_config *cfg)
{
    double part = 1 - share(cfg->spared_ppm);

    if (cfg->after_bytes == 0 && cfg->after_ns == 0)
        return;
    if (cfg->stall_ns == UINT64_MAX && is_much(part))
        end(harm, "break off");
    else
        hold(harm, part, (double)cfg->stall_ns);
}

static void
judge_mtu(struct nsp_harm *harm, const struct nsp_mtu_config *cfg)
{
    /* Who is told sends smaller ones, but over IPv6 only down to this. */
    bool told =
        cfg->excess == NSP_MTU_ANSWER &&
        (harm->pkt->l3 != NSP_L3_IPV6 || cfg->max_bytes >= IPV6_PATH_BYTES);

    if (cfg->max_bytes != 0 && !told && wire_bytes(harm) > cfg->max_bytes)
        lose(harm, 1 - share(cfg->spared_ppm));
}

static void
judge_tcp_reset(struct nsp_harm *harm, const struct nsp_tcp_reset_config *cfg)
{
    if (cfg->ppm > 0)
        end(harm, "reset");
}

/* Whether the bytes of the packet change. */
static bool
is_damaged(const struct nsp_harm *harm, const struct nsp_tamper_config *cfg)
{
    bool payload = harm->pkt->payload_bytes > 0;

    return (cfg->truncate_bytes != 0 &&
            cfg->truncate_bytes < wire_bytes(harm)) ||
           (cfg->rewrite != NSP_TAMPER_KEEP && payload) ||
           (cfg->flip_bits != 0 &&
            (cfg->flip_where != NSP_TAMPER_PAYLOAD || payload));
}

static void
judge_tamper(struct nsp_harm *harm, const struct nsp_tamper_config *cfg)
{
    bool damaged = is_damaged(harm, cfg);

    if (damaged && cfg->csum == NSP_TAMPER_CSUM_REPAIR && cfg->ppm > 0)
        end(harm, "damage"); /* Which what is encrypted does not bear. */
    else if (damaged || cfg->csum == NSP_TAMPER_CSUM_BREAK)
        lose(harm, share(cfg->ppm));
}

/* --- Time ----------------------------------------------------------------- */

static double
longest_delay_ns(const struct nsp_delay_config *cfg)
{
    double mean = (double)cfg->mean_ns, spread = (double)cfg->spread_ns;
    double most = 0;

    switch ((enum nsp_delay_kind)cfg->kind) {
    case NSP_DELAY_CONSTANT:
        return mean;
    case NSP_DELAY_UNIFORM:
        return mean + spread;
    case NSP_DELAY_NORMAL:
    case NSP_DELAY_PARETO:
    case NSP_DELAY_PARETO_NORMAL:
    case NSP_DELAY_LOGNORMAL:
        return mean + TAIL * spread;
    case NSP_DELAY_TABLE:
        for (uint32_t i = 0; i < cfg->table_count; i++)
            if (cfg->table[i] > most)
                most = cfg->table[i];
        return mean + spread * most / TABLE_UNIT;
    case NSP_DELAY_TRACE:
        for (uint32_t i = 0; i < cfg->trace_count; i++)
            if ((double)cfg->trace_ns[i] > most)
                most = (double)cfg->trace_ns[i];
        return most;
    }
    return 0;
}

static void
judge_delay(struct nsp_harm *harm, const struct nsp_delay_config *cfg)
{
    hold(harm, 1 - share(cfg->spared_ppm), longest_delay_ns(cfg));
}

static void
judge_ack_delay(struct nsp_harm *harm, const struct nsp_ack_delay_config *cfg)
{
    if (cfg->all || harm->pkt->payload_bytes == 0)
        hold(harm, 1 - share(cfg->spared_ppm), (double)cfg->delay_ns);
}

/* Those that go at once are not late. */
static void
judge_reorder(struct nsp_harm *harm, const struct nsp_reorder_config *cfg)
{
    hold(harm, share(cfg->ppm), (double)cfg->late_ns);
}

static void
judge_throttle(struct nsp_harm *harm, const struct nsp_throttle_config *cfg)
{
    if (cfg->pkts != 0 && is_much(1 - share(cfg->spared_ppm)) &&
        (double)cfg->pkts * NS_PER_S / (double)cfg->per_ns < NSP_HARM_RATE_PPS)
        end(harm, "limit to a crawl");
}

static void
judge_windows(struct nsp_harm *harm, const struct nsp_window_config *cfg)
{
    double part = 1 - share(cfg->spared_ppm);
    uint32_t pkts = cfg->limit_pkts;

    if (cfg->max_ns == 0)
        return;
    hold(harm, part, (double)cfg->max_ns);
    if (cfg->limit_bytes != 0) {
        uint32_t fit = cfg->limit_bytes / wire_bytes(harm);

        fit = fit == 0 ? 1 : fit; /* A larger one has a window to itself. */
        pkts = pkts == 0 || fit < pkts ? fit : pkts;
    }
    if (pkts != 0 && is_much(part) &&
        pkts * NS_PER_S / (double)cfg->max_ns < NSP_HARM_RATE_PPS)
        end(harm, "limit to a crawl");
}

static void
judge_tcp_window(struct nsp_harm *harm, const struct nsp_tcp_window_config *cfg)
{
    if (cfg->max_bytes != 0 && cfg->max_bytes < NSP_HARM_WINDOW &&
        is_much(1 - share(cfg->spared_ppm)))
        end(harm, "slow down to a crawl");
}

/* They take of the rate; none does harm. */
static void
judge_duplicate(struct nsp_harm *harm, const struct nsp_duplicate_config *cfg)
{
    harm->copies *= 1 + share(cfg->ppm) * cfg->copies;
}

/* --- All effects ---------------------------------------------------------- */

/* The members of struct nsp_effects, in their order, and who judges each. */
#define EFFECTS(X)                                                             \
    X(nsp_cutoff_config, cutoff, judge_cutoff)                                 \
    X(nsp_flap_config, flap, judge_flap)                                       \
    X(nsp_mtu_config, mtu, judge_mtu)                                          \
    X(nsp_loss_config, syn_loss, judge_syn_loss)                               \
    X(nsp_loss_config, loss, judge_loss)                                       \
    X(nsp_tcp_reset_config, tcp_reset, judge_tcp_reset)                        \
    X(nsp_throttle_config, throttle, judge_throttle)                           \
    X(nsp_duplicate_config, duplicate, judge_duplicate)                        \
    X(nsp_tamper_config, tamper, judge_tamper)                                 \
    X(nsp_tcp_window_config, tcp_window, judge_tcp_window)                     \
    X(nsp_window_config, windows, judge_windows)                               \
    X(nsp_delay_config, delay, judge_delay)                                    \
    X(nsp_ack_delay_config, ack_delay, judge_ack_delay)                        \
    X(nsp_reorder_config, reorder, judge_reorder)

#define MEMBER(type, member, judge)    struct type member;
#define JUDGE_ONE(type, member, judge) judge(harm, &effects->member);

struct judged_effects {
    EFFECTS(MEMBER)
};
static_assert(sizeof(struct judged_effects) == sizeof(struct nsp_effects),
              "every effect is judged: add the new one to EFFECTS");

static void
judge_effects(struct nsp_harm *harm, const struct nsp_effects *effects)
{
    EFFECTS(JUDGE_ONE)
}

/* --- Rates ---------------------------------------------------------------- */

static bool
is_slow(const struct nsp_harm *harm, double bitps)
{
    return bitps / harm->copies < NSP_HARM_RATE_BITPS;
}

/* A schedule: the longest time below the rate, a ramp counting as its lower
 * end, and the rate of all of it. */
static void
judge_segments(struct nsp_harm *harm, const struct nsp_rate_plan_config *plan)
{
    double slow_ns = 0, all_ns = 0, bits = 0;

    /* Twice, as times may go over the end. */
    for (uint32_t i = 0; i < (plan->repeat ? 2u : 1u) * plan->segment_count;
         i++) {
        const struct nsp_rate_segment *at =
            &plan->segments[i % plan->segment_count];
        double from = (double)at->from_bitps, to = (double)at->to_bitps;
        double ns = (double)at->duration_ns;

        slow_ns = is_slow(harm, from < to ? from : to) ? slow_ns + ns : 0;
        if (slow_ns >= (double)NSP_HARM_HOLD_NS)
            end(harm, "slow down to a crawl");
        all_ns += ns;
        bits += (from + to) / 2 * ns / NS_PER_S;
    }
    if (is_slow(harm,
                plan->repeat
                    ? bits / all_ns * NS_PER_S
                    : (double)plan->segments[plan->segment_count - 1].to_bitps))
        end(harm, "slow down to a crawl");
}

static void
judge_opportunities(struct nsp_harm *harm,
                    const struct nsp_rate_plan_config *plan)
{
    const uint64_t *at_ns = plan->opportunities_ns;
    uint32_t count = plan->opportunity_count;
    double bits = 8.0 * plan->opportunity_bytes * count;
    uint64_t before_ns = 0, longest_ns = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (at_ns[i] - before_ns > longest_ns)
            longest_ns = at_ns[i] - before_ns;
        before_ns = at_ns[i];
    }
    hold(harm, 1, (double)longest_ns);
    if (is_slow(harm, bits * NS_PER_S / (double)before_ns))
        end(harm, "slow down to a crawl");
}

static void
judge_link(struct nsp_harm *harm, const struct nsp_link_rate *link)
{
    if (link->rate_bitps != 0 && is_slow(harm, (double)link->rate_bitps))
        end(harm, "slow down to a crawl");
    if (link->plan && link->plan->segment_count != 0)
        judge_segments(harm, link->plan);
    if (link->plan && link->plan->opportunity_count != 0)
        judge_opportunities(harm, link->plan);
}

static void
judge_limit(struct nsp_harm *harm, const struct nsp_limit *limit)
{
    switch ((enum nsp_limit_unit)limit->unit) {
    case NSP_LIMIT_NONE:
        break;
    case NSP_LIMIT_BITPS:
        if (is_slow(harm, (double)limit->rate))
            end(harm, "limit to a crawl");
        else if (limit->burst != 0 && limit->burst < wire_bytes(harm))
            end(harm, "drop");
        break;
    case NSP_LIMIT_PPS:
        if ((double)limit->rate / harm->copies < NSP_HARM_RATE_PPS)
            end(harm, "limit to a crawl");
        break;
    }
}

/* --- Rules ---------------------------------------------------------------- */

static void
judge_edit(struct nsp_harm *harm, enum nsp_edit edit,
           const struct nsp_edits *edits)
{
    switch (edit) {
    case NSP_EDIT_TTL: /* What has come in has no way before it. */
        if (edits->ttl < NSP_HARM_TTL && harm->pkt->direction != NSP_INBOUND &&
            (harm->pkt->flags & NSP_PKT_LOOPBACK) == 0)
            end(harm, "expire");
        break;
    case NSP_EDIT_MSS: /* Of what opens a connection. */
    case NSP_EDIT_DSCP:
    case NSP_EDIT_ECN:
    case NSP_EDIT_MARK: /* What others make of it is theirs. */
        break;
    }
}

static void
judge_edits(struct nsp_harm *harm, const struct nsp_edits *edits)
{
    for (uint32_t bit = 1; bit != 0 && bit <= edits->which; bit <<= 1)
        if (edits->which & bit)
            judge_edit(harm, (enum nsp_edit)bit, edits);
}

static void
judge_action(struct nsp_harm *harm, enum nsp_action action)
{
    switch (action) {
    case NSP_ACTION_PASS:
        break;
    case NSP_ACTION_DROP:
        end(harm, "drop");
        break;
    case NSP_ACTION_REJECT:
        end(harm, "reject");
        break;
    }
}

static const struct nsp_effects *
effects_of(const struct nsp_policy_spec *spec, const struct nsp_rule *rule)
{
    for (uint32_t i = 0; rule->impairment && i < spec->impairment_count; i++)
        if (strcmp(spec->impairments[i].name, rule->impairment) == 0)
            return &spec->impairments[i].effects;
    return &rule->effects;
}

static const struct nsp_link_rate *
link_of(const struct nsp_policy_spec *spec, const struct nsp_rule *rule)
{
    for (uint32_t i = 0; rule->class_name && i < spec->class_count; i++)
        if (strcmp(spec->classes[i].name, rule->class_name) == 0)
            return &spec->classes[i].link;
    return &rule->link;
}

void
nsp_harm_init(struct nsp_harm *harm, const struct nsp_pkt *pkt)
{
    *harm =
        (struct nsp_harm){ .pkt = pkt, .kept = 1, .in_time = 1, .copies = 1 };
}

const char *
nsp_harm_add(struct nsp_harm *harm, const struct nsp_policy_spec *spec,
             const struct nsp_rule *rule)
{
    judge_action(harm, (enum nsp_action)rule->action);
    judge_limit(harm, &rule->limit);
    judge_edits(harm, &rule->edits);
    judge_effects(harm, effects_of(spec, rule));
    judge_link(harm, link_of(spec, rule));
    if (harm->ended)
        return harm->ended;
    if (is_much(1 - harm->kept))
        return "lose much of";
    if (is_much(1 - harm->kept * harm->in_time) ||
        harm->hold_ns >= (double)NSP_HARM_HOLD_NS)
        return "hold for seconds";
    return NULL;
}
