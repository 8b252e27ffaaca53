/* Rates that change with time: what leaves in each tenth of a second. */
#include "verify/subject.h"

#include <math.h>

#define EFFECT "rate-plan"

#define WINDOW_NS   UINT64_C(100000000)
#define QUEUE_PKTS  4000 /* It never runs dry. */
#define OVERLOAD    2
#define PERIODS     2
#define SHORTEST_NS 2e9
#define PKT_BYTES   1500u

/* --- What there must be --------------------------------------------------- */

uint64_t
nsp_rate_plan_period_ns(const struct nsp_rate_plan_config *plan)
{
    uint64_t sum = 0;

    if (plan->opportunity_count > 0)
        return plan->opportunities_ns[plan->opportunity_count - 1];
    for (uint32_t i = 0; i < plan->segment_count; i++)
        sum += plan->segments[i].duration_ns;
    return sum;
}

/* Bytes that a period lets through up to 'ns' of it. */
double
nsp_rate_plan_bytes(const struct nsp_rate_plan_config *plan, uint64_t ns)
{
    double bits = 0;

    if (plan->opportunity_count > 0) {
        uint32_t low = 0, high = plan->opportunity_count;

        while (low < high) {
            uint32_t middle = low + (high - low) / 2;

            if (plan->opportunities_ns[middle] <= ns)
                low = middle + 1;
            else
                high = middle;
        }
        return (double)low * plan->opportunity_bytes;
    }
    for (uint32_t i = 0; i < plan->segment_count && ns > 0; i++) {
        const struct nsp_rate_segment *s = &plan->segments[i];
        uint64_t part = ns < s->duration_ns ? ns : s->duration_ns;
        double from = (double)s->from_bitps, to = (double)s->to_bitps;
        double ends =
            from + (to - from) * (double)part / (double)s->duration_ns;

        bits += (from + ends) / 2 * (double)part / 1e9;
        ns -= part;
    }
    return bits / 8;
}

static double
bytes_until(const struct nsp_rate_plan_config *plan, uint64_t ns)
{
    uint64_t period = nsp_rate_plan_period_ns(plan), whole;
    double last;

    if (plan->opportunity_count == 0 && !plan->repeat && ns > period) {
        last = (double)plan->segments[plan->segment_count - 1].to_bitps;
        return nsp_rate_plan_bytes(plan, period) +
               last / 8e9 * (double)(ns - period);
    }
    if (period == 0)
        return 0;
    whole = ns / period;
    return (double)whole * nsp_rate_plan_bytes(plan, period) +
           nsp_rate_plan_bytes(plan, ns % period);
}

/* The most that it lets through in any tenth of a second that begins at a
 * multiple of a tenth of that, in bit/s. */
double
nsp_rate_plan_peak_bitps(const struct nsp_rate_plan_config *plan)
{
    uint64_t step = WINDOW_NS / 10,
             steps = nsp_rate_plan_period_ns(plan) / step + 1;
    double most = 1;

    for (uint64_t i = 0; i <= steps && i < 1000000; i++)
        most = fmax(most, bytes_until(plan, i * step + WINDOW_NS) -
                              bytes_until(plan, i * step));
    return most * 8e9 / (double)WINDOW_NS;
}

/* --- What there is -------------------------------------------------------- */

/* Packets leave in the order sent. What a window is off by is at most a packet,
 * of which it has the one or the other part. In the first one the queue is
 * still filling. */
static void
judge_windows(const struct nsp_rate_plan_config *plan, double charged,
              const struct nsp_trial *trial, struct nsp_checks *checks)
{
    uint64_t end_ns = trial->pkts * trial->gap_ns, windows = 0;
    double mtu = fmax(charged, plan->opportunity_bytes), worst = 0, sum = 0;
    uint32_t next = 0;

    while (next < trial->pkts &&
           trial->left_ns[next] <= NSP_TRIAL_START_NS + WINDOW_NS)
        next++;
    for (uint64_t i = 1; (i + 1) * WINDOW_NS < end_ns; i++) {
        uint64_t from = i * WINDOW_NS;
        uint64_t to_ns = NSP_TRIAL_START_NS + from + WINDOW_NS;
        double expected =
            bytes_until(plan, from + WINDOW_NS) - bytes_until(plan, from);
        double bytes = 0;

        for (; next < trial->pkts && trial->left_ns[next] <= to_ns; next++)
            if (trial->left_ns[next] != 0)
                bytes += charged;
        if (fabs(bytes - expected) > fabs(worst))
            worst = bytes - expected;
        sum += bytes;
        windows++;
    }
    if (windows == 0) {
        nsp_checks_add_not_tested(checks, EFFECT, "farthest off in 100 ms",
                                  "too few packets: ask for more");
        return;
    }
    nsp_check_note(nsp_checks_add_exact(
                       checks, EFFECT, "farthest off in 100 ms", NSP_UNIT_BYTES,
                       0, worst, (struct nsp_interval){ -mtu - 1, mtu + 1 }),
                   "one MTU, in each of %llu tenths of a second",
                   (unsigned long long)windows);
    nsp_checks_add_estimate(checks, EFFECT, "mean rate", NSP_UNIT_BITPS,
                            (bytes_until(plan, (windows + 1) * WINDOW_NS) -
                             bytes_until(plan, WINDOW_NS)) *
                                80 / (double)windows,
                            sum * 80 / (double)windows, 0,
                            mtu * 80 / (double)windows + 1);
}

int
nsp_judge_rate_plan(const struct nsp_subject *subject,
                    struct nsp_checks *checks, struct nsp_diag *reterr)
{
    const struct nsp_rate_plan_config *plan = subject->link->plan;
    struct nsp_rule bare = nsp_subject_bare_rule(subject);
    struct nsp_subject of = *subject;
    double charged, gap_ns, all_pkts;
    struct nsp_trial trial;
    int result;

    (void)nsp_search_resize(of.search, of.index, PKT_BYTES, &of.packet);
    charged = fmax((double)of.packet.bytes + subject->link->overhead_bytes, 1);
    gap_ns = fmax(1, charged * 8e9 / nsp_rate_plan_peak_bitps(plan) / OVERLOAD);
    all_pkts =
        fmax(PERIODS * (double)nsp_rate_plan_period_ns(plan), SHORTEST_NS) /
        gap_ns;
    if (all_pkts < of.pkts)
        of.pkts = (uint32_t)all_pkts + 1;
    bare.link = *subject->link;
    bare.link.queue_unit = NSP_QUEUE_PKTS;
    bare.link.queue_limit = QUEUE_PKTS;
    of.as = &bare;
    result = nsp_subject_run(&of, &of.packet, (uint64_t)gap_ns, of.pkts, &trial,
                             reterr);
    if (result != NSP_OK)
        return result;
    judge_windows(plan, charged, &trial, checks);
    nsp_trial_fini(&trial);
    return nsp_checks_result(checks);
}
