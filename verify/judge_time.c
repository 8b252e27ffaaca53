/* Effects on when packets leave, each on trials of its own, of packets that
 * they do not spare. */
#include "verify/subject.h"

#include <math.h>
#include <stdlib.h>

#include "verify/hits.h"
#include "verify/reordering.h"

#define MIN_GAP_NS 1000
#define PER_WINDOW 8 /* Packets in the least interval of windows. */
#define PER_FLAP   50

#define LIVE_PER_FLAP 5 /* So that many come in a few seconds. */

#define WINDOW_PKTS_MAX 30000u /* Held at once. */
#define CUT_PKTS_MAX    100000u
#define CUT_PKT_BYTES   1400u

#define LIVE_SLACK_NS 1e6

enum { TCP = 6, SYN = 0x02, FIN = 0x01, RST = 0x04, ACK = 0x10 };

static uint64_t
since_start(const struct nsp_trial *trial, uint32_t i)
{
    return i * trial->gap_ns;
}

/* How long packet 'i' was held; it has left. */
static uint64_t
held_ns(const struct nsp_trial *trial, uint32_t i)
{
    return trial->left_ns[i] - nsp_trial_sent_ns(trial, i);
}

static uint64_t
at_least_ns(uint64_t ns)
{
    return ns < MIN_GAP_NS ? MIN_GAP_NS : ns;
}

/* --- Windows -------------------------------------------------------------- */

/* Windows come at whole intervals after the first packet: where each packet
 * must be, one by one. */
static void
judge_fixed_windows(const struct nsp_subject *subject,
                    const struct nsp_trial *trial, struct nsp_checks *checks)
{
    const struct nsp_window_config *windows = &subject->effects->windows;
    uint64_t interval_ns = windows->min_ns, opens = 1, pkts = 0, bytes = 0;
    double wrong = 0;

    for (uint32_t i = 0; i < trial->pkts; i++) {
        uint64_t at_ns = since_start(trial, i);
        uint64_t first = (at_ns + interval_ns - 1) / interval_ns;
        uint32_t size = subject->packet.bytes;

        if (first < 1)
            first = 1;
        if (first > opens) {
            opens = first;
            pkts = bytes = 0;
        }
        if (pkts > 0 &&
            ((windows->limit_pkts != 0 && pkts == windows->limit_pkts) ||
             (windows->limit_bytes != 0 &&
              bytes + size > windows->limit_bytes))) {
            opens++;
            pkts = bytes = 0;
        }
        pkts++;
        bytes += size;
        wrong += trial->left_ns[i] != NSP_TRIAL_START_NS + opens * interval_ns;
    }
    nsp_checks_add_pkts(checks, "windows", "packets not in their window", 0,
                        wrong);
}

static double
window_interval_cdf(const void *context, double x)
{
    const struct nsp_window_config *windows = context;
    double low = (double)windows->min_ns, high = (double)windows->max_ns;

    return fmin(fmax((x - low) / (high - low), 0), 1);
}

struct nsp_check *
nsp_check_window_intervals(const struct nsp_window_config *windows,
                           double *intervals_ns, size_t n, double slack_ns,
                           struct nsp_checks *checks)
{
    const struct nsp_distribution of = { window_interval_cdf,
                                         window_interval_cdf, windows };
    double limit = nsp_ks_limit((double)n), d = 1;

    nsp_sort_doubles(intervals_ns, n);
    if (n > 0)
        d = nsp_ks_distance(intervals_ns, n, &of, slack_ns);
    return nsp_checks_add_random(
        checks, "windows", "KS distance of intervals", NSP_UNIT_NUMBER, 0, d,
        (struct nsp_interval){ fmax(0, d - limit), d + limit },
        (struct nsp_interval){ 0, limit });
}

/* Packets come often enough to be in every window. */
static int
judge_random_windows(const struct nsp_subject *subject,
                     const struct nsp_trial *trial, struct nsp_checks *checks)
{
    uint64_t last_ns = NSP_TRIAL_START_NS;
    double *intervals = calloc((size_t)trial->pkts + 1, sizeof *intervals);
    size_t n = 0;

    if (!intervals)
        return NSP_NO_MEMORY;
    for (uint32_t i = 0; i < trial->pkts; i++) {
        uint64_t left_ns = trial->left_ns[i];

        if (left_ns != last_ns) {
            intervals[n++] = (double)(int64_t)(left_ns - last_ns);
            last_ns = left_ns;
        }
    }
    nsp_check_note(nsp_check_window_intervals(&subject->effects->windows,
                                              intervals, n, 1, checks),
                   "from even ones; 1.63 / sqrt(n), n %zu", n);
    free(intervals);
    return nsp_checks_result(checks);
}

uint32_t
nsp_window_room_pkts(const struct nsp_window_config *windows, uint32_t bytes)
{
    uint32_t room = windows->limit_pkts, of_bytes;

    if (windows->limit_bytes == 0)
        return room;
    of_bytes = windows->limit_bytes / bytes;
    of_bytes = of_bytes > 0 ? of_bytes : 1;
    return room == 0 || of_bytes < room ? of_bytes : room;
}

/* Of fixed windows, as many packets as nearly fill them; of others, so many
 * that none is empty, or 0 where that cannot be. */
static uint64_t
window_gap_ns(const struct nsp_subject *subject)
{
    const struct nsp_window_config *windows = &subject->effects->windows;
    uint32_t limit = nsp_window_room_pkts(windows, subject->packet.bytes);
    double room = limit > 0 && limit < PER_WINDOW ? limit : PER_WINDOW;
    uint64_t gap_ns = windows->min_ns / 2;

    if (windows->min_ns != windows->max_ns)
        return windows->max_ns / WINDOW_PKTS_MAX > gap_ns ? 0 : gap_ns;
    return (uint64_t)((double)windows->max_ns / room) + 1;
}

static int
measure_windows(const struct nsp_subject *of, uint64_t gap_ns,
                struct nsp_checks *checks, struct nsp_diag *reterr)
{
    const struct nsp_window_config *windows = &of->effects->windows;
    struct nsp_trial trial;
    int result =
        nsp_subject_run(of, &of->packet, gap_ns, of->pkts, &trial, reterr);

    if (result != NSP_OK)
        return result;
    if (windows->min_ns == windows->max_ns)
        judge_fixed_windows(of, &trial, checks);
    else
        result = judge_random_windows(of, &trial, checks);
    nsp_trial_fini(&trial);
    return result == NSP_OK ? nsp_checks_result(checks) : result;
}

int
nsp_judge_windows(const struct nsp_subject *subject, struct nsp_checks *checks,
                  struct nsp_diag *reterr)
{
    const struct nsp_window_config *windows = &subject->effects->windows;
    struct nsp_rule bare = nsp_subject_bare_rule(subject);
    struct nsp_subject of = *subject;
    uint64_t gap_ns = window_gap_ns(subject);

    bare.effects.windows = *windows;
    bare.effects.windows.spared_ppm = 0;
    of.as = &bare;
    if (gap_ns == 0 ||
        (windows->min_ns != windows->max_ns &&
         (windows->limit_pkts != 0 || windows->limit_bytes != 0)))
        nsp_checks_add_not_tested(checks, "windows", "intervals",
                                  "with such random intervals, some windows "
                                  "pass unseen");
    else
        return measure_windows(&of, gap_ns, checks, reterr);
    return nsp_checks_result(checks);
}

/* --- A link that flaps ---------------------------------------------------- */

/* When a scheduled link that is down 'at_ns' after the first packet is up
 * again; 'at_ns' where it is up. */
static uint64_t
scheduled_up_ns(const struct nsp_flap_config *flap, uint64_t at_ns)
{
    uint64_t period_ns = 0, edge_ns = 0, begin_ns;

    for (uint32_t i = 0; i < flap->count; i++)
        period_ns += flap->times_ns[i];
    if (period_ns == 0)
        return at_ns;
    begin_ns = at_ns / period_ns * period_ns;
    for (uint32_t i = 0; i < flap->count; i++) {
        edge_ns += flap->times_ns[i];
        if (at_ns - begin_ns < edge_ns)
            return i % 2 == 0 ? at_ns : begin_ns + edge_ns;
    }
    return at_ns;
}

static void
judge_schedule(const struct nsp_flap_config *flap,
               const struct nsp_trial *trial, struct nsp_checks *checks)
{
    double wrong = 0;

    for (uint32_t i = 0; i < trial->pkts; i++) {
        uint64_t at_ns = since_start(trial, i);
        uint64_t up_ns = scheduled_up_ns(flap, at_ns);
        uint64_t expected_ns = NSP_TRIAL_START_NS + up_ns;

        if (up_ns > at_ns && !flap->hold)
            expected_ns = 0;
        wrong += trial->left_ns[i] != expected_ns;
    }
    nsp_checks_add_pkts(checks, "flap", "packets treated otherwise", 0, wrong);
}

/* A link of exponential times that is looked at every 'gap' is a chain of two
 * states: with rates u = 1 / up, d = 1 / down it goes down in a gap with
 * u / (u + d) (1 - exp(-(u + d) gap)), and up likewise. */
static int
judge_exponential(const struct nsp_flap_config *flap,
                  const struct nsp_trial *trial, struct nsp_checks *checks)
{
    double goes_down = 1 / (double)flap->times_ns[0];
    double goes_up = 1 / (double)flap->times_ns[1], both = goes_down + goes_up;
    double changes = -expm1(-both * (double)trial->gap_ns);
    bool *down = calloc((size_t)trial->pkts + 1, sizeof *down);
    struct nsp_loss_model model;

    if (!down)
        return NSP_NO_MEMORY;
    for (uint32_t i = 0; i < trial->pkts; i++)
        down[i] = trial->left_ns[i] == 0 ||
                  (!trial->is_live && held_ns(trial, i) > 0);
    nsp_loss_model_init_states(&model, goes_down / both * changes,
                               goes_up / both * changes, 0, 1);
    nsp_judge_hits(&(struct nsp_hits){ "flap", false, down, trial->pkts }, NULL,
                   &model, checks);
    free(down);
    return nsp_checks_result(checks);
}

int
nsp_judge_flap(const struct nsp_subject *subject, struct nsp_checks *checks,
               struct nsp_diag *reterr)
{
    const struct nsp_flap_config *flap = &subject->effects->flap;
    struct nsp_rule bare = nsp_subject_bare_rule(subject);
    struct nsp_subject of = *subject;
    uint64_t shortest_ns = UINT64_MAX, per_flap = PER_FLAP;
    struct nsp_trial trial;
    int result;

    for (uint32_t i = 0; i < flap->count; i++)
        if (flap->times_ns[i] < shortest_ns)
            shortest_ns = flap->times_ns[i];
    if (of.run)
        per_flap = LIVE_PER_FLAP;
    bare.effects.flap = *flap;
    bare.effects.flap.spared_ppm = 0;
    of.as = &bare;
    result = nsp_subject_run(&of, &of.packet,
                             at_least_ns(shortest_ns / per_flap + 1), of.pkts,
                             &trial, reterr);
    if (result != NSP_OK)
        return result;
    if (flap->kind == NSP_FLAP_SCHEDULE)
        judge_schedule(flap, &trial, checks);
    else
        result = judge_exponential(flap, &trial, checks);
    nsp_trial_fini(&trial);
    return result == NSP_OK ? nsp_checks_result(checks) : result;
}

/* --- Cut off -------------------------------------------------------------- */

/* When the stall begins, after the first packet; never: NSP_TIME_NEVER. */
static uint64_t
stalls_ns(const struct nsp_cutoff_config *cutoff, uint32_t bytes,
          uint64_t gap_ns)
{
    uint64_t by_bytes_ns = NSP_TIME_NEVER;

    if (cutoff->after_bytes != 0)
        by_bytes_ns = (cutoff->after_bytes + bytes - 1) / bytes * gap_ns;
    if (cutoff->after_ns != 0 && cutoff->after_ns < by_bytes_ns)
        return cutoff->after_ns;
    return by_bytes_ns;
}

static void
judge_cut(const struct nsp_subject *subject, const struct nsp_trial *trial,
          struct nsp_checks *checks)
{
    const struct nsp_cutoff_config *cutoff = &subject->effects->cutoff;
    uint64_t stalls = stalls_ns(cutoff, subject->packet.bytes, trial->gap_ns);
    uint64_t ends =
        cutoff->stall_ns == UINT64_MAX ? UINT64_MAX : stalls + cutoff->stall_ns;
    double wrong = 0, stopped = 0;

    for (uint32_t i = 0; i < trial->pkts; i++) {
        uint64_t at_ns = since_start(trial, i);
        uint64_t expected_ns = nsp_trial_sent_ns(trial, i);

        if (at_ns >= stalls && at_ns < ends) {
            expected_ns = cutoff->hold ? NSP_TRIAL_START_NS + ends : 0;
            stopped++;
        }
        wrong += trial->left_ns[i] != expected_ns;
    }
    if (stopped > 0)
        nsp_checks_add_pkts(checks, "cut-off", "packets treated otherwise", 0,
                            wrong);
    else
        nsp_checks_add_not_tested(checks, "cut-off", "all",
                                  "it comes after more than all test packets");
}

/* At a pace at which all of it is seen: before, during and after. */
int
nsp_judge_cutoff(const struct nsp_subject *subject, struct nsp_checks *checks,
                 struct nsp_diag *reterr)
{
    const struct nsp_cutoff_config *cutoff = &subject->effects->cutoff;
    struct nsp_rule bare = nsp_subject_bare_rule(subject);
    struct nsp_subject of = *subject;
    uint64_t gap_ns = MIN_GAP_NS;
    struct nsp_trial trial;
    int result;

    if (of.pkts > CUT_PKTS_MAX)
        of.pkts = CUT_PKTS_MAX;
    (void)nsp_search_resize(of.search, of.index, CUT_PKT_BYTES, &of.packet);
    if (cutoff->after_ns / (of.pkts / 4) > gap_ns)
        gap_ns = cutoff->after_ns / (of.pkts / 4);
    if (cutoff->stall_ns != UINT64_MAX &&
        cutoff->stall_ns / (of.pkts / 4) > gap_ns)
        gap_ns = cutoff->stall_ns / (of.pkts / 4);
    bare.effects.cutoff = *cutoff;
    bare.effects.cutoff.spared_ppm = 0;
    of.as = &bare;
    result = nsp_subject_run(&of, &of.packet, gap_ns, of.pkts, &trial, reterr);
    if (result != NSP_OK)
        return result;
    judge_cut(&of, &trial, checks);
    nsp_trial_fini(&trial);
    return nsp_checks_result(checks);
}

/* --- Throttle ------------------------------------------------------------- */

static int
compare_times(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Departures that a bucket of the throttle's size has no token for. */
static double
count_excess(const struct nsp_throttle_config *throttle,
             const struct nsp_trial *trial, uint64_t *times)
{
    double per_ns = (double)throttle->pkts / (double)throttle->per_ns;
    double tokens = throttle->burst_pkts, excess = 0;
    uint64_t last_ns = NSP_TRIAL_START_NS;
    size_t n = 0;

    for (uint32_t i = 0; i < trial->pkts; i++)
        if (trial->left_ns[i] != 0)
            times[n++] = trial->left_ns[i];
    qsort(times, n, sizeof *times, compare_times);
    for (size_t i = 0; i < n; i++) {
        tokens = fmin(tokens + per_ns * (double)(times[i] - last_ns),
                      throttle->burst_pkts);
        last_ns = times[i];
        tokens -= 1;
        excess += tokens < -1e-3; /* Sums of many fractions. */
    }
    return excess;
}

int
nsp_judge_throttle(const struct nsp_subject *subject, struct nsp_checks *checks,
                   struct nsp_diag *reterr)
{
    const struct nsp_throttle_config *throttle = &subject->effects->throttle;
    double per_ns = (double)throttle->pkts / (double)throttle->per_ns;
    struct nsp_rule bare = nsp_subject_bare_rule(subject);
    struct nsp_subject of = *subject;
    double left = 0, expected;
    struct nsp_trial trial;
    uint64_t *times;
    int result;

    bare.effects.throttle = *throttle;
    bare.effects.throttle.spared_ppm = 0;
    of.as = &bare;
    result = nsp_subject_run(&of, &of.packet, (uint64_t)(0.5 / per_ns), of.pkts,
                             &trial, reterr);
    if (result != NSP_OK)
        return result;
    times = calloc((size_t)trial.pkts + 1, sizeof *times);
    if (!times) {
        nsp_trial_fini(&trial);
        return NSP_NO_MEMORY;
    }
    for (uint32_t i = 0; i < trial.pkts; i++)
        left += trial.left_ns[i] != 0;
    expected = throttle->burst_pkts + throttle->queue_pkts +
               per_ns * (double)((trial.pkts - 1) * trial.gap_ns);
    expected = fmin(expected, trial.pkts);
    nsp_check_note(nsp_checks_add_exact(
                       checks, "throttle", "packets let through", NSP_UNIT_PKTS,
                       floor(expected), left,
                       (struct nsp_interval){ expected - 2, expected + 1 }),
                   "burst + queue + rate x time, offered twice as many");
    nsp_checks_add_pkts(checks, "throttle", "packets above the rate", 0,
                        count_excess(throttle, &trial, times));
    free(times);
    nsp_trial_fini(&trial);
    return nsp_checks_result(checks);
}

/* --- ACKs ----------------------------------------------------------------- */

static bool
is_pure_ack(const struct nsp_test_fields *f)
{
    return f->proto == TCP && f->payload_bytes == 0 && f->tcp_flags == ACK;
}

static bool
is_data(const struct nsp_test_fields *f)
{
    return f->proto == TCP && f->payload_bytes > 0 && f->tcp_flags == ACK;
}

/* Real packets may be late, so the median tells by how much they are. */
static int
judge_median(const struct nsp_trial *trial, const char *quantity,
             uint64_t delay_ns, struct nsp_checks *checks)
{
    double *held = calloc((size_t)trial->pkts + 1, sizeof *held);
    size_t n = 0;

    if (!held)
        return NSP_NO_MEMORY;
    for (uint32_t i = 0; i < trial->pkts; i++)
        if (trial->left_ns[i] != 0 && held_ns(trial, i) >= delay_ns)
            held[n++] = (double)held_ns(trial, i) - trial->way_ns;
    nsp_sort_doubles(held, n);
    if (n > 0)
        nsp_check_note(nsp_checks_add_estimate(checks, "ack-delay", quantity,
                                               NSP_UNIT_NS, (double)delay_ns,
                                               nsp_quantile(held, n, 0.5), 0,
                                               LIVE_SLACK_NS),
                       "1 ms; less what the way takes without");
    free(held);
    return nsp_checks_result(checks);
}

/* Judges how many packets were delayed by 'delay_ns', and that none was by
 * anything else. */
static int
judge_ack_delay(const struct nsp_trial *trial, const char *quantity,
                uint64_t delay_ns, uint32_t spared_ppm,
                struct nsp_checks *checks)
{
    bool *hit = calloc((size_t)trial->pkts + 1, sizeof *hit);
    double wrong = 0;

    if (!hit)
        return NSP_NO_MEMORY;
    for (uint32_t i = 0; i < trial->pkts; i++) {
        uint64_t by_ns = trial->left_ns[i] ? held_ns(trial, i) : UINT64_MAX;

        hit[i] = by_ns <= (trial->is_live ? delay_ns / 2 : 0) && delay_ns > 0;
        if (!(hit[i] && spared_ppm > 0))
            wrong += trial->is_live ? by_ns == UINT64_MAX || by_ns < delay_ns
                                    : by_ns != delay_ns;
    }
    nsp_checks_add_pkts(checks, "ack-delay", quantity, 0, wrong);
    if (spared_ppm > 0)
        nsp_judge_chance(
            &(struct nsp_hits){ "ack-spared", false, hit, trial->pkts },
            spared_ppm, 0, checks);
    free(hit);
    return nsp_checks_result(checks);
}

static int
run_acks(const struct nsp_subject *subject,
         bool (*wants)(const struct nsp_test_fields *), uint16_t payload_bytes,
         struct nsp_checks *checks, struct nsp_diag *reterr)
{
    const struct nsp_ack_delay_config *ack = &subject->effects->ack_delay;
    struct nsp_rule bare = nsp_subject_bare_rule(subject);
    struct nsp_search search = *subject->search;
    struct nsp_subject of = *subject;
    bool delays = payload_bytes == 0 || ack->all;
    struct nsp_trial trial;
    const char *why;
    int result;

    search.wants = wants;
    search.payload_bytes = payload_bytes;
    if (!nsp_search_packet(&search, subject->index, &of.packet, &why)) {
        nsp_checks_add_not_tested(checks, "ack-delay",
                                  payload_bytes ? "data" : "ACKs", why);
        return NSP_OK;
    }
    bare.effects.ack_delay = *ack;
    of.as = &bare;
    result = nsp_subject_run(&of, &of.packet, at_least_ns(ack->delay_ns / 1000),
                             of.pkts, &trial, reterr);
    if (result != NSP_OK)
        return result;
    result = judge_ack_delay(
        &trial,
        payload_bytes ? "data delayed otherwise" : "ACKs delayed otherwise",
        delays ? ack->delay_ns : 0,
        delays && payload_bytes == 0 ? ack->spared_ppm : 0, checks);
    if (result == NSP_OK && trial.is_live)
        result = judge_median(&trial,
                              payload_bytes ? "median delay of data"
                                            : "median delay of ACKs",
                              delays ? ack->delay_ns : 0, checks);
    nsp_trial_fini(&trial);
    return result;
}

int
nsp_judge_ack_delay(const struct nsp_subject *subject,
                    struct nsp_checks *checks, struct nsp_diag *reterr)
{
    int result = run_acks(subject, is_pure_ack, 0, checks, reterr);

    /* Those that carry data are delayed by chance, or not at all. */
    if (result != NSP_OK || (subject->effects->ack_delay.all &&
                             subject->effects->ack_delay.spared_ppm > 0))
        return result;
    return run_acks(subject, is_data, 64, checks, reterr);
}
