#include "verify/subject.h"

#include <math.h>

#include "verify/delay_model.h"
#include "verify/loss_model.h"

#define EFFECT "rate"

#define RATE_TOLERANCE 0.0005
#define RATE_PKTS_MAX  200000u
#define OVERLOAD       2 /* Offered beside what fits. */
#define BIG_PAYLOAD    1400
#define LIVE_BURST_NS  10e6 /* A pause of the machine may take so long. */
#define ENDS           10   /* The first and the last of so many parts. */

/* --- The rate ------------------------------------------------------------- */

/* The spacing of departures, in order of sending, as the queue keeps it: from
 * the mean of the first tenth to that of the last, so that what a delay behind
 * the serialiser adds cancels out. */
static bool
read_spacing(const struct nsp_trial *trial, double *ret_spacing_ns,
             double *ret_error_ns, double delay_sd_ns)
{
    double first = 0, last = 0;
    uint32_t left = 0, seen = 0, part;

    for (uint32_t i = 0; i < trial->pkts; i++)
        left += trial->left_ns[i] != 0;
    part = left / ENDS;
    if (part < 1 || left < 100)
        return false;
    for (uint32_t i = 0; i < trial->pkts; i++) {
        double at = (double)(trial->left_ns[i] - NSP_TRIAL_START_NS);

        if (trial->left_ns[i] == 0)
            continue;
        if (seen < part)
            first += at;
        if (seen >= left - part)
            last += at;
        seen++;
    }
    *ret_spacing_ns = (last - first) / part / (left - part);
    *ret_error_ns = delay_sd_ns * sqrt(2.0 / part) / (left - part);
    return true;
}

static void
judge_rate(const struct nsp_subject *subject, uint32_t bytes,
           const struct nsp_trial *trial, double delay_sd_ns,
           struct nsp_checks *checks)
{
    double configured = (double)subject->link->rate_bitps;
    double charged = fmax((double)bytes + subject->link->overhead_bytes, 1);
    double spacing_ns, error_ns, achieved;

    if (!read_spacing(trial, &spacing_ns, &error_ns, delay_sd_ns)) {
        nsp_checks_add_not_tested(checks, EFFECT, "rate",
                                  "hardly a packet left: ask for more");
        return;
    }
    achieved = charged * 8e9 / spacing_ns;
    nsp_check_note(nsp_checks_add_estimate(checks, EFFECT, "rate",
                                           NSP_UNIT_BITPS, configured, achieved,
                                           achieved * error_ns / spacing_ns,
                                           RATE_TOLERANCE * configured),
                   "offered %d times as much; %u bytes each, %d more charged; "
                   "0.05 %%",
                   OVERLOAD, (unsigned)bytes,
                   (int)subject->link->overhead_bytes);
}

/* --- The queue ------------------------------------------------------------ */

/* Packets of 'charged' bytes that may wait, the one on the wire left out. */
static double
queue_limit_pkts(const struct nsp_link_rate *link, double charged)
{
    double limit = (double)link->queue_limit;
    double byte_ns = 8e9 / (double)link->rate_bitps;

    switch (link->queue_unit) {
    case NSP_QUEUE_BYTES:
        return fmax(1, floor(limit / charged));
    case NSP_QUEUE_PKTS:
        return limit;
    case NSP_QUEUE_NS:
        return fmax(1, floor(floor(limit / byte_ns) / charged));
    default: /* 100 ms at the rate, but room for 16 packets. */
        return fmax(16, floor(floor(1e8 / byte_ns) / charged));
    }
}

/* The longest time from arrival to departure, in times of one packet: as many
 * waited before, and one more was under way. */
static void
judge_queue(const struct nsp_subject *subject, uint32_t bytes,
            const struct nsp_trial *trial, struct nsp_checks *checks)
{
    double charged = fmax((double)bytes + subject->link->overhead_bytes, 1);
    double limit = queue_limit_pkts(subject->link, charged);
    double serialise_ns = nsp_subject_serialise_ns(subject, bytes);
    double longest = 0;

    if (nsp_delay_is_random(&subject->effects->delay) ||
        subject->effects->delay.kind == NSP_DELAY_TRACE) {
        nsp_checks_add_not_tested(checks, EFFECT, "queue",
                                  "a delay that varies hides how long packets "
                                  "wait in the queue");
        return;
    }
    if (limit * 2 * OVERLOAD > trial->pkts) {
        nsp_checks_add_not_tested(checks, EFFECT, "queue",
                                  "too few packets to fill it: ask for more");
        return;
    }
    for (uint32_t i = 0; i < trial->pkts; i++)
        if (trial->left_ns[i] != 0)
            longest = fmax(longest, (double)(trial->left_ns[i] -
                                             nsp_trial_sent_ns(trial, i)));
    longest -= (double)subject->effects->delay.mean_ns;
    nsp_check_note(nsp_checks_add_exact(
                       checks, EFFECT, "queue", NSP_UNIT_PKTS, limit + 1,
                       longest / serialise_ns,
                       (struct nsp_interval){ limit - 0.01, limit + 1.01 }),
                   "the longest wait, in packets of %.0f bytes, the one on "
                   "the wire counted",
                   charged);
}

/* --- The trial ------------------------------------------------------------ */

/* How many of the packets come to the queue. */
static double
share_not_lost(const struct nsp_subject *subject, uint64_t gap_ns)
{
    struct nsp_loss_model model;

    if (!nsp_loss_is_configured(&subject->effects->loss))
        return 1;
    nsp_loss_model_init(&model, &subject->effects->loss, gap_ns);
    return fmax(1 - model.rate, 0.01);
}

static int
read_delay_sd(const struct nsp_subject *subject, double *ret)
{
    struct nsp_delay_model model;

    if (nsp_delay_model_init(&model, &subject->effects->delay) < 0)
        return NSP_NO_MEMORY;
    *ret = model.expected_sd_ns;
    nsp_delay_model_fini(&model);
    return NSP_OK;
}

int
nsp_judge_rate(const struct nsp_subject *subject, struct nsp_checks *checks,
               struct nsp_diag *reterr)
{
    struct nsp_search search = *subject->search;
    struct nsp_rule only = *subject->rule;
    struct nsp_subject of = *subject;
    struct nsp_test_packet packet;
    struct nsp_trial trial;
    double gap_ns, delay_sd_ns = 0;
    const char *why;
    int result;

    if (nsp_subject_has_more(subject)) {
        only.impairment = NULL;
        only.effects = (struct nsp_effects){ .loss = subject->effects->loss,
                                             .delay = subject->effects->delay };
        of.as = &only;
    }
    search.payload_bytes = BIG_PAYLOAD;
    if (!nsp_search_packet(&search, subject->index, &packet, &why))
        packet = subject->packet;
    gap_ns = nsp_subject_serialise_ns(subject, packet.bytes) / OVERLOAD;
    gap_ns *= share_not_lost(subject, (uint64_t)gap_ns + 1);
    result = read_delay_sd(subject, &delay_sd_ns);
    if (result == NSP_OK)
        result = nsp_subject_run(&of, &packet, (uint64_t)gap_ns,
                                 subject->pkts < RATE_PKTS_MAX ? subject->pkts
                                                               : RATE_PKTS_MAX,
                                 &trial, reterr);
    if (result != NSP_OK)
        return result;
    judge_rate(subject, packet.bytes, &trial, delay_sd_ns, checks);
    judge_queue(subject, packet.bytes, &trial, checks);
    nsp_trial_fini(&trial);
    return nsp_checks_result(checks);
}

/* --- A limit that drops --------------------------------------------------- */

static double
limit_burst(const struct nsp_limit *limit)
{
    double rate = (double)limit->rate;

    if (limit->burst != 0)
        return (double)limit->burst;
    return limit->unit == NSP_LIMIT_BITPS ? fmax(floor(rate / 80), 65536)
                                          : fmax(floor(rate / 10), 16);
}

/* Real packets, held up on their way, come when there is more credit: until the
 * last one left. What is lost is that of a bucket full meanwhile. */
static struct nsp_interval
allow_conforming(const struct nsp_trial *trial, double expected,
                 double pkts_per_ns)
{
    uint64_t last_ns = nsp_trial_sent_ns(trial, trial->pkts - 1), end_ns = 0;
    double late = 0;

    if (!trial->is_live)
        return (struct nsp_interval){ expected - 2, expected + 1 };
    for (uint32_t i = 0; i < trial->pkts; i++)
        if (trial->left_ns[i] > end_ns)
            end_ns = trial->left_ns[i];
    if (end_ns > last_ns)
        late = (double)(end_ns - last_ns) * pkts_per_ns;
    return (struct nsp_interval){ 0.99 * expected - 2, expected + late + 1 };
}

int
nsp_judge_limit(const struct nsp_subject *subject, struct nsp_checks *checks,
                struct nsp_diag *reterr)
{
    const struct nsp_limit *limit = &subject->rule->limit;
    bool bits = limit->unit == NSP_LIMIT_BITPS;
    double each = bits ? subject->packet.bytes : 1;
    double per_ns = (double)limit->rate / (bits ? 8e9 : 1e9);
    uint64_t gap_ns = (uint64_t)(each / per_ns / OVERLOAD);
    struct nsp_trial trial;
    double expected, burst = limit_burst(limit);
    struct nsp_rule bare = nsp_subject_bare_rule(subject);
    struct nsp_subject of = *subject;
    int result;

    bare.limit = *limit;
    of.as = &bare;
    result = nsp_subject_run(&of, &of.packet, gap_ns, of.pkts, &trial, reterr);

    if (result != NSP_OK)
        return result;
    expected =
        (burst + per_ns * (double)((trial.pkts - 1) * trial.gap_ns)) / each;
    if (trial.is_live &&
        (expected >= trial.pkts || burst < per_ns * LIVE_BURST_NS)) {
        nsp_checks_add_not_tested(checks, "limit", "packets let through",
                                  "of so high a rate, or so small or large a "
                                  "burst, it is judged in virtual time only");
        nsp_trial_fini(&trial);
        return nsp_checks_result(checks);
    }
    expected = fmin(expected, trial.pkts);
    nsp_check_note(nsp_checks_add_exact(
                       checks, "limit", "packets let through", NSP_UNIT_PKTS,
                       floor(expected), (double)trial.left_pkts,
                       allow_conforming(&trial, expected, per_ns / each)),
                   "burst + rate x time, less what does not fill a packet");
    nsp_trial_fini(&trial);
    return nsp_checks_result(checks);
}
