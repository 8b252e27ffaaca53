/* Windows, as live traffic shows them: in trials in which a rule has nothing
 * else. Packets keep their order. */
#include "verify/live.h"

#include <math.h>
#include <stdlib.h>

static void
check_all_came(const struct nsp_live_trial *trial, struct nsp_checks *checks)
{
    nsp_checks_add_pkts(checks, "windows", "packets that came", trial->pkts,
                        nsp_live_count_received(trial));
}

/* How far packets come from the nearest window; those without windows are a
 * quarter of the interval away. */
int
nsp_judge_live_windows(const struct nsp_subject *subject,
                       const struct nsp_live_trial *trial,
                       struct nsp_checks *checks)
{
    double interval_ns = (double)subject->effects->windows.min_ns;
    double *off = calloc((size_t)trial->pkts + 1, sizeof *off);
    uint64_t first_ns = 0;
    size_t n = 0;

    if (!off)
        return NSP_NO_MEMORY;
    for (uint32_t i = 0; i < trial->pkts; i++) {
        if (trial->received_ns[i] == 0)
            continue;
        if (first_ns == 0)
            first_ns = trial->received_ns[i];
        off[n++] = fabs(remainder(
            (double)(int64_t)(trial->received_ns[i] - first_ns), interval_ns));
    }
    check_all_came(trial, checks);
    nsp_sort_doubles(off, n);
    if (n > 0)
        nsp_check_note(nsp_checks_add_estimate(
                           checks, "windows", "median time from a window",
                           NSP_UNIT_NS, 0, nsp_quantile(off, n, 0.5), 0,
                           NSP_LIVE_SLACK_NS),
                       "1 ms");
    free(off);
    return nsp_checks_result(checks);
}

/* Packets that come so long after one another come with other windows. */
static bool
begins_window(const struct nsp_subject *subject,
              const struct nsp_live_trial *trial, uint32_t i, uint64_t last_ns)
{
    return (int64_t)(trial->received_ns[i] - last_ns) >
           (int64_t)(subject->effects->windows.min_ns / 2);
}

/* Every window has packets, the first of which tells when it was. */
int
nsp_judge_live_random_windows(const struct nsp_subject *subject,
                              const struct nsp_live_trial *trial,
                              struct nsp_checks *checks)
{
    double *intervals = calloc((size_t)trial->pkts + 1, sizeof *intervals);
    uint64_t window_ns = 0, last_ns = 0;
    size_t n = 0;

    if (!intervals)
        return NSP_NO_MEMORY;
    for (uint32_t i = 0; i < trial->pkts; i++) {
        uint64_t at_ns = trial->received_ns[i];

        if (at_ns == 0)
            continue;
        if (last_ns == 0)
            window_ns = at_ns;
        else if (begins_window(subject, trial, i, last_ns)) {
            intervals[n++] = (double)(at_ns - window_ns);
            window_ns = at_ns;
        }
        last_ns = at_ns;
    }
    check_all_came(trial, checks);
    nsp_check_note(
        nsp_check_window_intervals(&subject->effects->windows, intervals, n,
                                   NSP_LIVE_SLACK_NS, checks),
        "from even ones, each right to 1 ms; 1.63 / sqrt(n), n %zu", n);
    free(intervals);
    return nsp_checks_result(checks);
}

/* Each is full, but for the first and the last. */
int
nsp_judge_live_full_windows(const struct nsp_subject *subject,
                            const struct nsp_live_trial *trial,
                            struct nsp_checks *checks)
{
    uint32_t room =
        nsp_window_room_pkts(&subject->effects->windows, trial->bytes);
    uint32_t in_window = 0, windows = 0, wrong = 0;
    uint64_t last_ns = 0;

    for (uint32_t i = 0; i < trial->pkts; i++) {
        if (trial->received_ns[i] == 0)
            continue;
        if (last_ns != 0 && begins_window(subject, trial, i, last_ns)) {
            wrong += windows > 0 && in_window != room;
            windows++;
            in_window = 0;
        }
        in_window++;
        last_ns = trial->received_ns[i];
    }
    check_all_came(trial, checks);
    if (windows < 2)
        nsp_checks_add_not_tested(checks, "windows", "windows filled otherwise",
                                  "fewer than two were full");
    else
        nsp_check_note(nsp_checks_add_pkts(checks, "windows",
                                           "windows filled otherwise", 0,
                                           wrong),
                       "%u packets in each of %u, offered twice as many",
                       (unsigned)room, (unsigned)(windows - 1));
    return nsp_checks_result(checks);
}
