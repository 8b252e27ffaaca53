#include "verify/subject.h"

#include <math.h>
#include <string.h>

#include "verify/delay_model.h"
#include "verify/loss_model.h"

#define HELD_PKTS     65536u
#define HELD_PKTS_MAX (1u << 20)
#define GAP_MIN_NS    1000

#define PER_BAD_TIME      8
#define LIVE_PER_BAD_TIME 4

/* Deviations that hardly any delay lies above: of Pareto delays, one of 10^6.
 */
#define LONG_DEVIATIONS 100

static uint64_t
max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static const struct nsp_effects no_effects;
static const struct nsp_link_rate no_link;

void
nsp_subject_init(struct nsp_subject *subject, const struct nsp_search *search,
                 uint32_t index)
{
    const struct nsp_policy_spec *spec = search->spec;
    const struct nsp_rule *rule = &spec->rules[index];

    *subject = (struct nsp_subject){
        .search = search,
        .index = index,
        .rule = rule,
        .effects = rule->impairment ? &no_effects : &rule->effects,
        .link = rule->class_name ? &no_link : &rule->link,
    };
    for (uint32_t i = 0; rule->impairment && i < spec->impairment_count; i++)
        if (strcmp(spec->impairments[i].name, rule->impairment) == 0)
            subject->effects = &spec->impairments[i].effects;
    for (uint32_t i = 0; rule->class_name && i < spec->class_count; i++)
        if (strcmp(spec->classes[i].name, rule->class_name) == 0)
            subject->link = &spec->classes[i].link;
}

struct nsp_rule
nsp_subject_bare_rule(const struct nsp_subject *subject)
{
    const struct nsp_rule *rule = subject->rule;

    return (struct nsp_rule){ .name = rule->name,
                              .match = rule->match,
                              .go_on = rule->go_on,
                              .apply = rule->apply };
}

bool
nsp_subject_loses(const struct nsp_subject *subject)
{
    return nsp_loss_is_configured(&subject->effects->loss);
}

bool
nsp_subject_delays(const struct nsp_subject *subject)
{
    const struct nsp_delay_config *delay = &subject->effects->delay;

    return delay->kind != NSP_DELAY_CONSTANT || delay->mean_ns > 0;
}

bool
nsp_subject_has_more(const struct nsp_subject *subject)
{
    const struct nsp_effects *e = subject->effects;

    return e->cutoff.after_bytes != 0 || e->cutoff.after_ns != 0 ||
           e->flap.count != 0 || e->mtu.max_bytes != 0 ||
           nsp_loss_is_configured(&e->syn_loss) || e->tcp_reset.ppm != 0 ||
           e->throttle.pkts != 0 || e->tamper.ppm != 0 ||
           e->tcp_window.max_bytes != 0 || e->windows.min_ns != 0 ||
           e->duplicate.ppm != 0 || e->ack_delay.delay_ns != 0 ||
           e->reorder.gap != 0 || e->reorder.late_ns != 0;
}

bool
nsp_subject_does_anything(const struct nsp_subject *subject)
{
    const struct nsp_rule *rule = subject->rule;

    return nsp_subject_loses(subject) || nsp_subject_delays(subject) ||
           nsp_subject_has_more(subject) || subject->link->plan ||
           subject->link->rate_bitps > 0 || rule->edits.which != 0 ||
           rule->limit.unit != NSP_LIMIT_NONE ||
           rule->action != NSP_ACTION_PASS;
}

double
nsp_subject_serialise_ns(const struct nsp_subject *subject, uint32_t bytes)
{
    double charged = (double)bytes + subject->link->overhead_bytes;

    if (subject->link->rate_bitps == 0)
        return 0;
    return fmax(charged, 1) * 8e9 / (double)subject->link->rate_bitps;
}

uint64_t
nsp_subject_serialise_up_ns(const struct nsp_subject *subject, uint32_t bytes)
{
    uint64_t rate = subject->link->rate_bitps, bit_ns;
    int64_t charged = (int64_t)bytes + subject->link->overhead_bytes;

    if (rate == 0)
        return 0;
    bit_ns = (uint64_t)(charged > 0 ? charged : 1) * UINT64_C(8000000000);
    return (bit_ns + rate - 1) / rate;
}

uint64_t
nsp_subject_long_delay_ns(const struct nsp_subject *subject)
{
    const struct nsp_delay_config *delay = &subject->effects->delay;
    uint64_t longest = delay->mean_ns + LONG_DEVIATIONS * delay->spread_ns;

    for (uint32_t i = 0;
         delay->kind == NSP_DELAY_TRACE && i < delay->trace_count; i++)
        if (delay->mean_ns + delay->trace_ns[i] > longest)
            longest = delay->mean_ns + delay->trace_ns[i];
    return longest;
}

static uint64_t
limit_gap_ns(const struct nsp_limit *limit, uint32_t bytes)
{
    double each = limit->unit == NSP_LIMIT_BITPS ? 8.0 * bytes : 1;

    if (limit->unit == NSP_LIMIT_NONE)
        return 0;
    return (uint64_t)ceil(each * 1e9 / (double)limit->rate) + 1;
}

/* A trace over time is to be met in all its steps; order does not matter then.
 */
static uint64_t
delay_gap_ns(const struct nsp_subject *subject)
{
    const struct nsp_delay_config *delay = &subject->effects->delay;
    uint64_t longest = nsp_subject_long_delay_ns(subject);

    if (delay->kind == NSP_DELAY_TRACE && delay->trace_step_ns > 0)
        return max_u64(delay->trace_step_ns / 2 + 1, longest / HELD_PKTS);
    return longest;
}

uint64_t
nsp_subject_timed_gap_ns(const struct nsp_subject *subject,
                         const struct nsp_loss_config *cfg)
{
    if (subject->run)
        return cfg->timed.bad_ns * 2 / (2 * LIVE_PER_BAD_TIME + 1);
    return cfg->timed.bad_ns / PER_BAD_TIME + 1;
}

uint64_t
nsp_subject_calm_gap_ns(const struct nsp_subject *subject, uint32_t bytes)
{
    uint64_t gap = nsp_subject_serialise_up_ns(subject, bytes) + 1;

    gap = max_u64(gap, limit_gap_ns(&subject->rule->limit, bytes));
    gap = max_u64(gap, delay_gap_ns(subject));
    return max_u64(gap, GAP_MIN_NS);
}

/* Packets in the delay line at once, and as many again in the queue. */
static uint32_t
held_pkts(const struct nsp_subject *subject, uint64_t gap_ns, uint32_t pkts)
{
    double delayed = (double)nsp_subject_long_delay_ns(subject) /
                     (double)(gap_ns ? gap_ns : 1);
    double held = 2 * delayed + HELD_PKTS;

    if (subject->link->rate_bitps > 0)
        held += pkts;
    held += subject->effects->throttle.queue_pkts;
    return held < HELD_PKTS_MAX ? (uint32_t)held : HELD_PKTS_MAX;
}

int
nsp_subject_run(const struct nsp_subject *subject,
                const struct nsp_test_packet *packet, uint64_t gap_ns,
                uint32_t pkts, struct nsp_trial *ret, struct nsp_diag *reterr)
{
    const struct nsp_trial_config cfg = {
        .search = subject->search,
        .rule = subject->index,
        .packet = packet,
        .gap_ns = gap_ns,
        .pkts = pkts,
        .seed = subject->seed,
        .max_held_pkts = held_pkts(subject, gap_ns, pkts),
        .as = subject->as,
        .look = subject->look,
        .look_context = subject,
    };

    if (subject->run)
        return subject->run(subject, packet, gap_ns, pkts, ret, reterr);
    return nsp_trial_run(&cfg, ret, reterr);
}
