/* Runs of live traffic, each for one effect of a rule. */
#include <math.h>

#include "cli/live_rule.h"
#include "cli/live_traffic.h"
#include "verify/loss_model.h"

#define MS UINT64_C(1000000)

#define GAP_NS      (MS / 2)
#define SHORTEST_NS (4 * MS) /* That can be told from the machine. */
#define PHASE_NS    (10000 * MS)

#define FULL_PHASE_NS (3000 * MS)

#define RANDOM_FLAP_NS_MIN (25 * MS)
#define RANDOM_PERIODS     20
#define HELD_FOR           20 /* Times the mean: longer with exp(-20). */

#define OVERLOAD       2
#define PER_WINDOW     8
#define WHOLE_PERIODS  2
#define SIZE_PKTS      200
#define BIG_PAYLOAD    1400
#define RATE_PKTS_MAX  60000
#define RATE_BITPS_MAX 100e6

typedef int judge_fn(const struct nsp_subject *subject,
                     const struct nsp_live_trial *trial,
                     struct nsp_checks *checks);

/* What the rule does in a run, how it is offered packets, and who judges. */
struct plan {
    struct nsp_rule as;
    const struct nsp_test_packet *packet; /* NULL: the subject's. */
    uint64_t gap_ns;
    uint32_t pkts;
    uint64_t linger_ns;
    judge_fn *judge;
};

static void
tell(struct nsp_checks *checks, const char *effect, const char *why)
{
    nsp_checks_add_not_tested(checks, effect, "all", why);
}

static struct plan
plan_bare(const struct nsp_live_rule *live, judge_fn *judge)
{
    return (struct plan){ .as = nsp_subject_bare_rule(&live->subject),
                          .gap_ns = GAP_NS,
                          .pkts = live->subject.pkts,
                          .judge = judge };
}

static int
run_alone(struct nsp_live_rule *live, const struct plan *plan,
          struct nsp_live_trial *ret, struct nsp_diag *reterr)
{
    struct nsp_rule *rule = &live->rules[live->subject.index], whole = *rule;
    int result;

    *rule = plan->as;
    live->linger_ns = plan->linger_ns;
    result = nsp_live_rule_run(
        live, true, plan->packet ? plan->packet : &live->subject.packet,
        plan->gap_ns, plan->pkts, ret, reterr);
    live->linger_ns = 0;
    *rule = whole;
    return result;
}

static int
follow(struct nsp_live_rule *live, const struct plan *plan,
       struct nsp_checks *checks, struct nsp_diag *reterr)
{
    struct nsp_live_trial trial;
    int result = run_alone(live, plan, &trial, reterr);

    if (result != NSP_OK)
        return result;
    result = plan->judge(&live->subject, &trial, checks);
    nsp_live_trial_fini(&trial);
    return result;
}

/* --- By chance ------------------------------------------------------------ */

static int
measure_duplicate(struct nsp_live_rule *live, struct nsp_checks *checks,
                  struct nsp_diag *reterr)
{
    const struct nsp_duplicate_config *cfg = &live->subject.effects->duplicate;
    struct plan plan = plan_bare(live, nsp_judge_live_duplicate);

    plan.as.effects.duplicate = *cfg;
    plan.linger_ns = cfg->copies * cfg->spacing_ns + MS;
    if (plan.linger_ns > PHASE_NS) {
        tell(checks, "duplicate", "so late copies take too long, live");
        return NSP_OK;
    }
    return follow(live, &plan, checks, reterr);
}

static int
measure_reorder(struct nsp_live_rule *live, struct nsp_checks *checks,
                struct nsp_diag *reterr)
{
    const struct nsp_effects *effects = live->subject.effects;
    struct plan plan = plan_bare(live, nsp_judge_live_reorder);

    plan.as.effects.reorder = effects->reorder;
    plan.as.effects.delay.mean_ns =
        effects->reorder.gap != 0 ? effects->delay.mean_ns : 0;
    plan.linger_ns = effects->reorder.late_ns + plan.as.effects.delay.mean_ns;
    if (plan.linger_ns > PHASE_NS) {
        tell(checks, "reorder", "so late packets take too long, live");
        return NSP_OK;
    }
    return follow(live, &plan, checks, reterr);
}

/* --- In the course of time ------------------------------------------------ */

static int
measure_throttle(struct nsp_live_rule *live, struct nsp_checks *checks,
                 struct nsp_diag *reterr)
{
    const struct nsp_throttle_config *throttle =
        &live->subject.effects->throttle;
    struct plan plan = plan_bare(live, nsp_judge_live_throttle);
    double per_pkt_ns = (double)throttle->per_ns / (double)throttle->pkts;
    double pkts = (double)PHASE_NS / (per_pkt_ns / OVERLOAD);

    plan.as.effects.throttle = *throttle;
    plan.as.effects.throttle.spared_ppm = 0;
    plan.gap_ns = (uint64_t)(per_pkt_ns / OVERLOAD);
    /* What is in the queue at the end comes at the throttle's pace. */
    plan.linger_ns = (uint64_t)(per_pkt_ns * throttle->queue_pkts) + MS;
    plan.pkts = (uint32_t)fmin(pkts, plan.pkts);
    if (plan.gap_ns < MS / 10 || plan.linger_ns > PHASE_NS ||
        plan.pkts < 2 * (throttle->burst_pkts + throttle->queue_pkts) + 2) {
        tell(
            checks, "throttle",
            "so many, or so few, packets in time: judged in virtual time only");
        return NSP_OK;
    }
    return follow(live, &plan, checks, reterr);
}

static int
measure_cutoff(struct nsp_live_rule *live, struct nsp_checks *checks,
               struct nsp_diag *reterr)
{
    const struct nsp_cutoff_config *cutoff = &live->subject.effects->cutoff;
    struct plan plan = plan_bare(live, nsp_judge_live_cutoff);
    struct nsp_test_packet packet = live->subject.packet;
    uint64_t seen_ns = cutoff->after_ns;

    plan.as.effects.cutoff = *cutoff;
    plan.as.effects.cutoff.spared_ppm = 0;
    if (cutoff->stall_ns <= PHASE_NS) {
        seen_ns += cutoff->stall_ns;
        plan.linger_ns = cutoff->hold ? cutoff->stall_ns : 0;
    } else if (cutoff->hold && cutoff->stall_ns != UINT64_MAX) {
        tell(checks, "cut-off", "so long a stall takes too long, live");
        return NSP_OK;
    }
    if (nsp_search_resize(live->subject.search, live->subject.index,
                          BIG_PAYLOAD, &packet))
        plan.packet = &packet;
    if (seen_ns / plan.pkts * 2 > GAP_NS)
        plan.gap_ns = seen_ns / plan.pkts * 2;
    if (plan.gap_ns > PHASE_NS / plan.pkts * 2)
        plan.gap_ns = GAP_NS;
    return follow(live, &plan, checks, reterr);
}

/* By chance, like losses; held, by silences, most of which are longer than what
 * the machine makes. */
static int
measure_random_flap(struct nsp_live_rule *live, struct plan *plan,
                    struct nsp_checks *checks, struct nsp_diag *reterr)
{
    const struct nsp_flap_config *flap = &live->subject.effects->flap;
    uint64_t period_ns = flap->times_ns[0] + flap->times_ns[1];
    struct nsp_subject of = nsp_live_rule_subject(live);

    if (flap->times_ns[0] < RANDOM_FLAP_NS_MIN ||
        flap->times_ns[1] < RANDOM_FLAP_NS_MIN ||
        (flap->hold && period_ns > PHASE_NS / RANDOM_PERIODS)) {
        tell(checks, "flap",
             "by chance, only times from 25 ms on are judged live, of links "
             "that hold up to 0.5 s in all");
        return NSP_OK;
    }
    if (!flap->hold)
        return nsp_judge_flap(&of, checks, reterr);
    plan->judge = nsp_judge_live_random_held_flap;
    plan->pkts = PHASE_NS / GAP_NS;
    plan->linger_ns = HELD_FOR * flap->times_ns[1];
    return follow(live, plan, checks, reterr);
}

static int
measure_flap(struct nsp_live_rule *live, struct nsp_checks *checks,
             struct nsp_diag *reterr)
{
    const struct nsp_flap_config *flap = &live->subject.effects->flap;
    struct plan plan = plan_bare(live, nsp_judge_live_flap);
    uint64_t period_ns = flap->times_ns[0] + flap->times_ns[1];

    plan.as.effects.flap = *flap;
    plan.as.effects.flap.spared_ppm = 0;
    if (flap->kind == NSP_FLAP_EXPONENTIAL)
        return measure_random_flap(live, &plan, checks, reterr);
    if (flap->count != 2 || period_ns > PHASE_NS / (WHOLE_PERIODS + 1) ||
        flap->times_ns[0] < 4 * SHORTEST_NS ||
        flap->times_ns[1] < 4 * SHORTEST_NS) {
        tell(checks, "flap", "only two times of 16 ms to 3 s are judged live");
        return NSP_OK;
    }
    if (flap->hold) {
        plan.judge = nsp_judge_live_held_flap;
        plan.linger_ns = flap->times_ns[1];
    }
    plan.pkts = (uint32_t)((WHOLE_PERIODS + 1) * period_ns / GAP_NS);
    return follow(live, &plan, checks, reterr);
}

/* Twice as many packets as a window takes come for each. */
static int
measure_full_windows(struct nsp_live_rule *live, const struct plan *calm,
                     struct nsp_checks *checks, struct nsp_diag *reterr)
{
    const struct nsp_window_config *windows = &live->subject.effects->windows;
    struct plan plan = *calm;
    uint32_t room = nsp_window_room_pkts(windows, live->subject.packet.bytes);
    uint64_t pkts;

    if (room == 0)
        return NSP_OK;
    plan.judge = nsp_judge_live_full_windows;
    plan.gap_ns = windows->min_ns / (OVERLOAD * room) + 1;
    pkts = FULL_PHASE_NS / plan.gap_ns;
    plan.pkts = pkts < plan.pkts ? (uint32_t)pkts : plan.pkts;
    plan.linger_ns = plan.pkts * plan.gap_ns + 2 * windows->min_ns;
    if (plan.gap_ns < MS / 10 || plan.pkts < 4 * OVERLOAD * room) {
        nsp_checks_add_not_tested(checks, "windows", "windows filled otherwise",
                                  "so large a limit is judged in virtual time "
                                  "only");
        return NSP_OK;
    }
    return follow(live, &plan, checks, reterr);
}

static int
measure_windows(struct nsp_live_rule *live, struct nsp_checks *checks,
                struct nsp_diag *reterr)
{
    const struct nsp_window_config *windows = &live->subject.effects->windows;
    struct plan plan = plan_bare(live, nsp_judge_live_windows);
    uint32_t room = nsp_window_room_pkts(windows, live->subject.packet.bytes);
    bool random = windows->min_ns != windows->max_ns;
    uint64_t pkts;
    int result;

    plan.as.effects.windows = *windows;
    plan.as.effects.windows.spared_ppm = 0;
    plan.gap_ns = windows->min_ns / PER_WINDOW + 1;
    if (room != 0 && room < 2 * PER_WINDOW)
        plan.gap_ns = 2 * windows->min_ns / room + 1;
    pkts = PHASE_NS / plan.gap_ns;
    plan.pkts = pkts < plan.pkts ? (uint32_t)pkts : plan.pkts;
    plan.linger_ns = 2 * windows->max_ns;
    if (random)
        plan.judge = nsp_judge_live_random_windows;
    if (windows->min_ns < 2 * SHORTEST_NS || plan.pkts < SIZE_PKTS ||
        (random && (room != 0 || windows->max_ns > PHASE_NS / SIZE_PKTS * 2))) {
        tell(checks, "windows",
             "only intervals of 8 ms to 200 ms, or random ones to 100 ms "
             "without a limit, are judged live");
        return NSP_OK;
    }
    result = follow(live, &plan, checks, reterr);
    return result == NSP_OK ? measure_full_windows(live, &plan, checks, reterr)
                            : result;
}

static int
measure_rate_plan(struct nsp_live_rule *live, struct nsp_checks *checks,
                  struct nsp_diag *reterr)
{
    const struct nsp_subject *subject = &live->subject;
    const struct nsp_rate_plan_config *rates = subject->link->plan;
    struct plan plan = plan_bare(live, nsp_judge_live_rate_plan);
    struct nsp_test_packet packet = subject->packet;
    double peak = nsp_rate_plan_peak_bitps(rates), pkts;
    uint64_t period_ns = nsp_rate_plan_period_ns(rates);

    (void)nsp_search_resize(subject->search, subject->index, BIG_PAYLOAD,
                            &packet);
    plan.packet = &packet;
    plan.as.link = *subject->link;
    plan.gap_ns = (uint64_t)(packet.bytes * 8e9 / peak / OVERLOAD) + 1;
    pkts = (WHOLE_PERIODS + 0.5) * (double)period_ns / (double)plan.gap_ns;
    if (peak > RATE_BITPS_MAX || pkts > RATE_PKTS_MAX || pkts < SIZE_PKTS ||
        (rates->opportunity_count == 0 && !rates->repeat) ||
        period_ns > PHASE_NS / WHOLE_PERIODS) {
        tell(checks, "rate-plan",
             "only what begins anew within 5 s, of 100 Mbit/s at most, is "
             "judged live");
        return NSP_OK;
    }
    plan.pkts = (uint32_t)pkts;
    return follow(live, &plan, checks, reterr);
}

/* --- What a packet shows ---------------------------------------------------
 */

/* Judged as in virtual time. */
typedef int virtual_judge_fn(const struct nsp_subject *subject,
                             struct nsp_checks *checks,
                             struct nsp_diag *reterr);

static int
measure_as_virtual(struct nsp_live_rule *live, virtual_judge_fn *judge,
                   struct nsp_checks *checks, struct nsp_diag *reterr)
{
    struct nsp_subject of = nsp_live_rule_subject(live);

    return judge(&of, checks, reterr);
}

static int
measure_mtu(struct nsp_live_rule *live, struct nsp_checks *checks,
            struct nsp_diag *reterr)
{
    return measure_as_virtual(live, nsp_judge_mtu, checks, reterr);
}

static int
measure_loss_of_some(struct nsp_live_rule *live,
                     const struct nsp_loss_config *loss, const char *effect,
                     virtual_judge_fn *judge, struct nsp_checks *checks,
                     struct nsp_diag *reterr)
{
    struct nsp_subject of = nsp_live_rule_subject(live);

    if (loss->kind == NSP_LOSS_TIMED &&
        !nsp_live_rule_can_time(&of, loss, effect, checks))
        return nsp_checks_result(checks);
    return judge(&of, checks, reterr);
}

static int
measure_syn_loss(struct nsp_live_rule *live, struct nsp_checks *checks,
                 struct nsp_diag *reterr)
{
    return measure_loss_of_some(live, &live->subject.effects->syn_loss,
                                "syn-loss", nsp_judge_syn_loss, checks, reterr);
}

static int
measure_marks(struct nsp_live_rule *live, struct nsp_checks *checks,
              struct nsp_diag *reterr)
{
    return measure_loss_of_some(live, &live->subject.effects->loss, "mark-ce",
                                nsp_judge_marks, checks, reterr);
}

static int
measure_tcp_reset(struct nsp_live_rule *live, struct nsp_checks *checks,
                  struct nsp_diag *reterr)
{
    return measure_as_virtual(live, nsp_judge_tcp_reset, checks, reterr);
}

static int
measure_tamper(struct nsp_live_rule *live, struct nsp_checks *checks,
               struct nsp_diag *reterr)
{
    return measure_as_virtual(live, nsp_judge_tamper, checks, reterr);
}

static int
measure_tcp_window(struct nsp_live_rule *live, struct nsp_checks *checks,
                   struct nsp_diag *reterr)
{
    return measure_as_virtual(live, nsp_judge_tcp_window, checks, reterr);
}

static int
measure_ack_delay(struct nsp_live_rule *live, struct nsp_checks *checks,
                  struct nsp_diag *reterr)
{
    const struct nsp_ack_delay_config *ack = &live->subject.effects->ack_delay;

    if (ack->delay_ns <= PHASE_NS &&
        (ack->spared_ppm == 0 || ack->delay_ns >= SHORTEST_NS))
        return measure_as_virtual(live, nsp_judge_ack_delay, checks, reterr);
    tell(checks, "ack-delay",
         "only delays of 10 s at most, of 4 ms at least where some are spared, "
         "are judged live");
    return NSP_OK;
}

/* --- All ------------------------------------------------------------------ */

int
nsp_live_rule_measure_effects(struct nsp_live_rule *live,
                              struct nsp_checks *checks,
                              struct nsp_diag *reterr)
{
    const struct nsp_effects *e = live->subject.effects;
    const struct {
        bool is_configured, by_time;
        int (*measure)(struct nsp_live_rule *, struct nsp_checks *,
                       struct nsp_diag *);
    } effects[] = {
        { e->cutoff.after_bytes != 0 || e->cutoff.after_ns != 0,
          e->cutoff.after_ns != 0, measure_cutoff },
        { e->flap.count != 0, true, measure_flap },
        { e->mtu.max_bytes != 0, false, measure_mtu },
        { nsp_loss_is_configured(&e->syn_loss),
          e->syn_loss.kind == NSP_LOSS_TIMED, measure_syn_loss },
        { e->loss.mark_ce && nsp_loss_is_configured(&e->loss),
          e->loss.kind == NSP_LOSS_TIMED, measure_marks },
        { e->tcp_reset.ppm != 0, false, measure_tcp_reset },
        { e->throttle.pkts != 0, true, measure_throttle },
        { e->duplicate.ppm != 0, false, measure_duplicate },
        { e->tamper.ppm != 0, false, measure_tamper },
        { e->tcp_window.max_bytes != 0, false, measure_tcp_window },
        { e->windows.min_ns != 0, true, measure_windows },
        { e->ack_delay.delay_ns != 0, true, measure_ack_delay },
        { e->reorder.gap != 0 || e->reorder.late_ns != 0, true,
          measure_reorder },
        { live->subject.link->plan != NULL, true, measure_rate_plan },
    };
    int result = NSP_OK;

    for (size_t i = 0;
         i < sizeof effects / sizeof effects[0] && result == NSP_OK; i++)
        if (effects[i].is_configured) {
            checks->by_time = effects[i].by_time;
            result = effects[i].measure(live, checks, reterr);
        }
    checks->by_time = false;
    return result == NSP_OK
               ? measure_as_virtual(live, nsp_judge_spared, checks, reterr)
               : result;
}
