/* Effects beside losses, delays and rates, as live traffic shows them: each in
 * a trial in which the rule does nothing else. */
#include "verify/live.h"

#include <math.h>
#include <stdlib.h>

#include "verify/hits.h"

#define LONG_NS (4 * NSP_LIVE_SLACK_NS) /* Can be told from the machine. */

#define PLAN_TOLERANCE     0.02
#define THROTTLE_TOLERANCE 0.01
#define HELD_PKTS          2 /* May be under way at either end. */

/* A time that is right to the slack. */
static void
add_time(struct nsp_checks *checks, const char *effect, const char *quantity,
         double configured_ns, double achieved_ns, double slack_ns)
{
    nsp_check_note(nsp_checks_add_estimate(checks, effect, quantity,
                                           NSP_UNIT_NS, configured_ns,
                                           achieved_ns, 0, slack_ns),
                   "%g ms", slack_ns / 1e6);
}

static double
held_ns(const struct nsp_live_trial *trial, uint32_t i)
{
    return (double)(int64_t)(trial->received_ns[i] - trial->sent_ns[i]) -
           trial->baseline_ns;
}

/* --- Copies --------------------------------------------------------------- */

/* 'hit' packets have copies, of which the last came so 'late', 'n' times. */
static void
judge_copies(const struct nsp_duplicate_config *cfg,
             const struct nsp_live_trial *trial, const bool *hit, double *late,
             size_t n, struct nsp_checks *checks)
{
    nsp_judge_chance(&(struct nsp_hits){ "duplicate", false, hit, trial->pkts },
                     cfg->ppm, cfg->correlation_ppm, checks);
    nsp_checks_add_pkts(checks, "duplicate", "copies", (double)n * cfg->copies,
                        (double)trial->copied_pkts);
    nsp_sort_doubles(late, n);
    if (n > 0)
        add_time(checks, "duplicate", "time to the last copy",
                 (double)(cfg->copies * cfg->spacing_ns),
                 nsp_quantile(late, n, 0.5), NSP_LIVE_SLACK_NS);
}

int
nsp_judge_live_duplicate(const struct nsp_subject *subject,
                         const struct nsp_live_trial *trial,
                         struct nsp_checks *checks)
{
    const struct nsp_duplicate_config *cfg = &subject->effects->duplicate;
    double *late = calloc((size_t)trial->pkts + 1, sizeof *late);
    bool *hit = calloc((size_t)trial->pkts + 1, sizeof *hit);
    size_t n = 0;

    for (uint32_t i = 0; late && hit && i < trial->pkts; i++) {
        hit[i] = trial->copy_ns[i] != 0;
        if (hit[i])
            late[n++] =
                (double)(int64_t)(trial->copy_ns[i] - trial->received_ns[i]);
    }
    if (late && hit)
        judge_copies(cfg, trial, hit, late, n, checks);
    free(late);
    free(hit);
    return late && hit ? nsp_checks_result(checks) : NSP_NO_MEMORY;
}

/* --- Reordering ----------------------------------------------------------- */

static bool
is_later(const struct nsp_live_trial *trial, uint32_t i, double than_ns)
{
    return trial->received_ns[i] != 0 && held_ns(trial, i) > than_ns;
}

static int
judge_early(const struct nsp_subject *subject,
            const struct nsp_live_trial *trial, struct nsp_checks *checks)
{
    double middle_ns = (double)subject->effects->delay.mean_ns / 2;
    bool *hit = calloc((size_t)trial->pkts + 1, sizeof *hit);

    if (!hit)
        return NSP_NO_MEMORY;
    for (uint32_t i = 0; i < trial->pkts; i++)
        hit[i] = !is_later(trial, i, middle_ns);
    nsp_judge_gaps(&subject->effects->reorder, hit, trial->pkts, checks);
    free(hit);
    return nsp_checks_result(checks);
}

/* Half of those that are late are so by more than half of the longest time. */
static int
judge_late(const struct nsp_reorder_config *cfg,
           const struct nsp_live_trial *trial, struct nsp_checks *checks)
{
    double p = cfg->ppm / (double)NSP_PPM_ONE;
    double moves = 1 - cfg->correlation_ppm / (double)NSP_PPM_ONE;
    bool *hit = calloc((size_t)trial->pkts + 1, sizeof *hit);
    struct nsp_loss_model model;

    if (!hit)
        return NSP_NO_MEMORY;
    for (uint32_t i = 0; i < trial->pkts; i++)
        hit[i] = is_later(trial, i, (double)cfg->late_ns / 2);
    nsp_loss_model_init_states(&model, moves * p, moves * (1 - p), 0, 0.5);
    nsp_judge_hits(&(struct nsp_hits){ "reorder", false, hit, trial->pkts },
                   NULL, &model, checks);
    free(hit);
    return nsp_checks_result(checks);
}

int
nsp_judge_live_reorder(const struct nsp_subject *subject,
                       const struct nsp_live_trial *trial,
                       struct nsp_checks *checks)
{
    const struct nsp_reorder_config *cfg = &subject->effects->reorder;
    double longest_ns = cfg->gap != 0 ? (double)subject->effects->delay.mean_ns
                                      : (double)cfg->late_ns;

    if (longest_ns >= LONG_NS)
        return cfg->gap != 0 ? judge_early(subject, trial, checks)
                             : judge_late(cfg, trial, checks);
    nsp_checks_add_not_tested(checks, "reorder", "all",
                              "times below 4 ms are judged in virtual time "
                              "only");
    return nsp_checks_result(checks);
}

/* --- What lets only so much through --------------------------------------- */

int
nsp_judge_live_throttle(const struct nsp_subject *subject,
                        const struct nsp_live_trial *trial,
                        struct nsp_checks *checks)
{
    const struct nsp_throttle_config *throttle = &subject->effects->throttle;
    double took_ns =
        (double)(trial->sent_ns[trial->pkts - 1] - trial->sent_ns[0]);
    double expected =
        throttle->burst_pkts + throttle->queue_pkts +
        (double)throttle->pkts * took_ns / (double)throttle->per_ns;
    double slack = THROTTLE_TOLERANCE * expected + HELD_PKTS;

    expected = fmin(expected, trial->pkts);
    nsp_check_note(
        nsp_checks_add_exact(
            checks, "throttle", "packets let through", NSP_UNIT_PKTS,
            floor(expected), nsp_live_count_received(trial),
            (struct nsp_interval){ expected - slack, expected + slack }),
        "1 %% and %d packets; burst + queue + rate x time", HELD_PKTS);
    return nsp_checks_result(checks);
}

/* When the connection stalls, after the first packet was sent; 'is_exact' if
 * that is to the packet. */
static double
stalls_ns(const struct nsp_cutoff_config *cutoff,
          const struct nsp_live_trial *trial, bool *is_exact)
{
    uint64_t by_bytes = UINT64_MAX;
    double at_ns = INFINITY;

    if (cutoff->after_bytes != 0)
        by_bytes = (cutoff->after_bytes + trial->bytes - 1) / trial->bytes;
    if (by_bytes < trial->pkts)
        at_ns = (double)(trial->sent_ns[by_bytes] - trial->sent_ns[0]);
    *is_exact = cutoff->after_ns == 0 || (double)cutoff->after_ns >= at_ns;
    return *is_exact ? at_ns : (double)cutoff->after_ns;
}

static bool
is_close(double a_ns, double b_ns)
{
    return fabs(a_ns - b_ns) < LONG_NS;
}

/* By bytes to the packet; by time but for those sent within the slack. */
int
nsp_judge_live_cutoff(const struct nsp_subject *subject,
                      const struct nsp_live_trial *trial,
                      struct nsp_checks *checks)
{
    const struct nsp_cutoff_config *cutoff = &subject->effects->cutoff;
    bool is_exact;
    double begin_ns = stalls_ns(cutoff, trial, &is_exact), end_ns = INFINITY;
    double wrong = 0, cut = 0;

    if (cutoff->stall_ns != UINT64_MAX)
        end_ns = begin_ns + (double)cutoff->stall_ns;
    for (uint32_t i = 0; i < trial->pkts; i++) {
        double at_ns = (double)(trial->sent_ns[i] - trial->sent_ns[0]);
        double came_ns =
            (double)(int64_t)(trial->received_ns[i] - trial->sent_ns[0]);
        bool came = trial->received_ns[i] != 0;
        bool is_cut = at_ns >= begin_ns && at_ns < end_ns;

        if ((!is_exact && is_close(at_ns, begin_ns)) || is_close(at_ns, end_ns))
            continue;
        cut += is_cut;
        if (is_cut && cutoff->hold && end_ns < INFINITY)
            wrong += !came || !is_close(came_ns, end_ns);
        else
            wrong += is_cut == came;
    }
    if (cut > 0)
        nsp_checks_add_pkts(checks, "cut-off", "packets treated otherwise", 0,
                            wrong);
    else
        nsp_checks_add_not_tested(checks, "cut-off", "all",
                                  "it comes after more than all test packets");
    return nsp_checks_result(checks);
}

/* --- What comes and goes -------------------------------------------------- */

/* Means of the whole times without, and with, packets. */
int
nsp_judge_live_flap(const struct nsp_subject *subject,
                    const struct nsp_live_trial *trial,
                    struct nsp_checks *checks)
{
    const uint64_t *times_ns = subject->effects->flap.times_ns;
    uint64_t edge_ns = 0, gap_ns;
    double sums[2] = { 0, 0 };
    uint32_t counts[2] = { 0, 0 };
    bool down = trial->received_ns[0] == 0;

    for (uint32_t i = 1; i < trial->pkts; i++) {
        if ((trial->received_ns[i] == 0) == down)
            continue;
        if (edge_ns != 0) {
            sums[down] += (double)(trial->sent_ns[i] - edge_ns);
            counts[down]++;
        }
        edge_ns = trial->sent_ns[i];
        down = !down;
    }
    if (counts[0] == 0 || counts[1] == 0) {
        nsp_checks_add_not_tested(checks, "flap", "all",
                                  "it was not seen to go up and down");
        return nsp_checks_result(checks);
    }
    gap_ns = (trial->sent_ns[trial->pkts - 1] - trial->sent_ns[0]) /
             (trial->pkts - 1);
    add_time(checks, "flap", "mean time up", (double)times_ns[0],
             sums[0] / counts[0], NSP_LIVE_SLACK_NS + (double)gap_ns);
    add_time(checks, "flap", "mean time down", (double)times_ns[1],
             sums[1] / counts[1], NSP_LIVE_SLACK_NS + (double)gap_ns);
    return nsp_checks_result(checks);
}

/* Those held leave together when it is up again: nothing comes for as long as
 * it is down. */
int
nsp_judge_live_held_flap(const struct nsp_subject *subject,
                         const struct nsp_live_trial *trial,
                         struct nsp_checks *checks)
{
    const uint64_t *times_ns = subject->effects->flap.times_ns;
    uint64_t gap_ns = (trial->sent_ns[trial->pkts - 1] - trial->sent_ns[0]) /
                      (trial->pkts - 1);
    uint64_t last_ns = 0, up_ns = 0;
    double up = 0, down = 0;
    uint32_t ups = 0, downs = 0;

    for (uint32_t i = 0; i < trial->pkts; i++) {
        uint64_t at_ns = trial->received_ns[i];

        if (at_ns == 0)
            continue;
        if (last_ns != 0 &&
            (int64_t)(at_ns - last_ns) > (int64_t)(times_ns[1] / 2)) {
            down += (double)(at_ns - last_ns);
            downs++;
            if (up_ns != 0) {
                up += (double)(last_ns - up_ns);
                ups++;
            }
            up_ns = at_ns;
        }
        last_ns = at_ns;
    }
    nsp_checks_add_pkts(checks, "flap", "packets that came", trial->pkts,
                        nsp_live_count_received(trial));
    add_time(checks, "flap", "mean time up", (double)times_ns[0],
             ups > 0 ? up / ups : 0, NSP_LIVE_SLACK_NS + (double)gap_ns);
    add_time(checks, "flap", "mean time down", (double)times_ns[1],
             downs > 0 ? down / downs : 0, NSP_LIVE_SLACK_NS + (double)gap_ns);
    return nsp_checks_result(checks);
}

/* Times in which nothing came though it was sent: those longer than 'least_ns',
 * shorter ones not being told from the machine, and what they exceed it by. */
struct silences {
    double least_ns;
    uint32_t count;
    double exceeding_ns, between_ns; /* Sums. */
};

static void
find_silences(const struct nsp_live_trial *trial, struct silences *ret)
{
    uint64_t last_ns = 0;

    for (uint32_t i = 0; i < trial->pkts; i++) {
        uint64_t at_ns = trial->received_ns[i];
        double silent_ns;

        if (at_ns == 0)
            continue;
        if (last_ns == 0)
            last_ns = at_ns;
        silent_ns = fmin((double)(int64_t)(at_ns - last_ns), held_ns(trial, i));
        ret->between_ns += (double)(int64_t)(at_ns - last_ns);
        last_ns = at_ns;
        if (silent_ns <= ret->least_ns)
            continue;
        ret->between_ns -= silent_ns;
        ret->exceeding_ns += silent_ns - ret->least_ns;
        ret->count++;
    }
}

/* Of an exponential time of mean m, what exceeds t, where something does, has
 * the mean m, too, for it has no memory. exp(-t / m) of all exceed t; the
 * others last m (1 - exp(-t / m) (1 + t / m)) of each, and count as up. */
int
nsp_judge_live_random_held_flap(const struct nsp_subject *subject,
                                const struct nsp_live_trial *trial,
                                struct nsp_checks *checks)
{
    const uint64_t *times_ns = subject->effects->flap.times_ns;
    double up_ns = (double)times_ns[0], down_ns = (double)times_ns[1];
    double gap_ns =
        (double)(trial->sent_ns[trial->pkts - 1] - trial->sent_ns[0]) /
        (trial->pkts - 1);
    struct silences silences = { .least_ns = 2 * LONG_NS + gap_ns };
    double t = silences.least_ns / down_ns, mean_ns, n;

    find_silences(trial, &silences);
    nsp_checks_add_pkts(checks, "flap", "packets that came", trial->pkts,
                        nsp_live_count_received(trial));
    n = fmax(silences.count, 1);
    mean_ns =
        silences.between_ns / n * exp(-t) - down_ns * (1 - exp(-t) * (1 + t));
    nsp_check_note(nsp_checks_add_estimate(
                       checks, "flap", "mean time up", NSP_UNIT_NS, up_ns,
                       mean_ns, up_ns / sqrt(n), NSP_LIVE_SLACK_NS + gap_ns),
                   "n %g, those down for %.1f ms and less left out", n,
                   silences.least_ns / 1e6);
    mean_ns = silences.exceeding_ns / n;
    nsp_check_note(nsp_checks_add_estimate(
                       checks, "flap", "mean time down", NSP_UNIT_NS, down_ns,
                       mean_ns, down_ns / sqrt(n), NSP_LIVE_SLACK_NS + gap_ns),
                   "n %g, those of %.1f ms and less left out", n,
                   silences.least_ns / 1e6);
    return nsp_checks_result(checks);
}

/* What comes in the last whole periods of the trial. */
int
nsp_judge_live_rate_plan(const struct nsp_subject *subject,
                         const struct nsp_live_trial *trial,
                         struct nsp_checks *checks)
{
    const struct nsp_rate_plan_config *plan = subject->link->plan;
    uint64_t period_ns = nsp_rate_plan_period_ns(plan);
    uint64_t end_ns = trial->sent_ns[trial->pkts - 1];
    uint64_t periods = (end_ns - trial->sent_ns[0]) / period_ns;
    uint64_t begin_ns = end_ns - periods * period_ns;
    double charged =
        fmax((double)trial->bytes + subject->link->overhead_bytes, 1);
    double seconds = (double)(periods * period_ns) / 1e9, bytes = 0, rate;

    for (uint32_t i = 0; i < trial->pkts; i++)
        if (trial->received_ns[i] > begin_ns && trial->received_ns[i] <= end_ns)
            bytes += charged;
    rate = (double)periods * nsp_rate_plan_bytes(plan, period_ns) * 8 / seconds;
    nsp_check_note(
        nsp_checks_add_estimate(checks, "rate-plan", "mean rate",
                                NSP_UNIT_BITPS, rate, bytes * 8 / seconds, 0,
                                PLAN_TOLERANCE * rate +
                                    HELD_PKTS * charged * 8 / seconds),
        "2 %% and %d packets, of whole periods", HELD_PKTS);
    return nsp_checks_result(checks);
}
