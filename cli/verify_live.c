#include "cli/verify_live.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cli/live_rule.h"
#include "cli/live_traffic.h"
#include "cli/runner.h"

#define MS UINT64_C(1000000)

#define CALM_GAP_NS    (MS / 2)
#define PHASE_NS       (10000 * MS) /* For one measurement. */
#define PHASE_NS_MAX   (40000 * MS) /* Of as few packets as tell something. */
#define BASELINE_PKTS  500
#define PKTS_MIN       UINT64_C(200)
#define RATE_PHASE_NS  (3000 * MS)
#define RATE_PKTS_MAX  60000
#define RATE_BITPS_MAX UINT64_C(100000000)
#define SLOW_BITPS     UINT64_C(1000000)
#define STRAGGLER_NS   (300 * MS)
#define BIG_PAYLOAD    1400
#define SMALL_PAYLOAD  64

/* --- Packets -------------------------------------------------------------- */

static bool
is_address_of(enum nsp_lab_host host, bool ipv6, const uint8_t *addr)
{
    int family = ipv6 ? AF_INET6 : AF_INET;
    uint8_t of_host[16];

    return inet_pton(family, nsp_lab_address(host, family), of_host) == 1 &&
           memcmp(of_host, addr, ipv6 ? 16 : 4) == 0;
}

/* UDP between the lab's client and its server. */
static bool
is_live(const struct nsp_test_fields *f)
{
    return f->proto == IPPROTO_UDP && f->hook == NSP_HOOK_FORWARD &&
           !f->loopback && f->mark == 0 && f->ttl > 1 && f->sport != 0 &&
           f->dport != 0 && f->payload_bytes >= NSP_TEST_NUMBER_BYTES &&
           is_address_of(NSP_LAB_CLIENT, f->ipv6, f->src) &&
           is_address_of(NSP_LAB_SERVER, f->ipv6, f->dst);
}

/* --- Runs ----------------------------------------------------------------- */

int
nsp_live_rule_run(struct nsp_live_rule *live, bool engine,
                  const struct nsp_test_packet *packet, uint64_t gap_ns,
                  uint32_t pkts, struct nsp_live_trial *ret,
                  struct nsp_diag *reterr)
{
    const struct nsp_subject *subject = &live->subject;
    const struct nsp_edits *edits = &subject->rule->edits;
    uint64_t longest_ns = subject->effects->delay.mean_ns +
                          10 * subject->effects->delay.spread_ns;
    struct nsp_engine_config cfg = {
        .backend = "nfqueue",
        .hooks = NSP_HOOK_FORWARD | (subject->search->hooks & NSP_HOOK_INPUT),
        .seed = subject->seed,
        .policy = *subject->search->spec,
    };
    struct nsp_live_traffic traffic = {
        .lab = live->lab,
        .packet = packet,
        .gap_ns = gap_ns,
        .pkts = pkts,
        .straggler_ns =
            STRAGGLER_NS + live->linger_ns + (engine ? longest_ns : 0),
        .keeps_apart = live->calm,
        .waits_for_copies = live->linger_ns > 0,
        .tos = packet->fields.tos,
        .ttl = packet->fields.ttl,
    };
    struct nsp_runner runner = { 0 };
    int result = NSP_OK, stopped;

    cfg.policy.rules = live->rules;
    if ((edits->which & NSP_EDIT_DSCP) != 0)
        traffic.tos = (uint8_t)(edits->dscp << 2 | (traffic.tos & 3));
    if ((edits->which & NSP_EDIT_ECN) != 0)
        traffic.tos = (uint8_t)((traffic.tos & 0xfc) | edits->ecn);
    if ((edits->which & NSP_EDIT_TTL) != 0)
        traffic.ttl = edits->ttl;
    if (engine)
        result = nsp_runner_start(&runner, &cfg, "true", reterr);
    if (result == NSP_OK)
        result = nsp_live_traffic_run(&traffic, ret, reterr);
    stopped = nsp_runner_stop(&runner, NULL, reterr);
    if (result == NSP_OK && stopped != NSP_OK)
        nsp_live_trial_fini(ret);
    ret->baseline_ns = live->baseline_ns;
    return result == NSP_OK ? stopped : result;
}

static int
measure_baseline(struct nsp_live_rule *live, struct nsp_diag *reterr)
{
    struct nsp_live_trial trial;
    int result;

    live->baseline_ns = 0;
    result = nsp_live_rule_run(live, false, &live->subject.packet, MS,
                               BASELINE_PKTS, &trial, reterr);
    if (result != NSP_OK)
        return result;
    live->baseline_ns = nsp_live_median_ns(&trial);
    nsp_live_trial_fini(&trial);
    return NSP_OK;
}

/* How many packets, 'gap_ns' apart, to measure with for about 'phase_ns'. 0: a
 * measurement takes too long. */
static uint32_t
count_pkts(uint64_t gap_ns, uint64_t phase_ns, uint32_t most)
{
    uint64_t pkts = phase_ns / gap_ns;

    if (PKTS_MIN * gap_ns > PHASE_NS_MAX)
        return 0;
    if (pkts < PKTS_MIN)
        pkts = PKTS_MIN;
    return pkts < most ? (uint32_t)pkts : most;
}

static int
measure_calmly(struct nsp_live_rule *live, struct nsp_checks *checks,
               struct nsp_diag *reterr)
{
    const struct nsp_subject *subject = &live->subject;
    uint64_t gap_ns =
        2 * nsp_subject_serialise_up_ns(subject, subject->packet.bytes);
    struct nsp_live_trial trial;
    uint32_t pkts;
    int result;

    if (gap_ns < CALM_GAP_NS)
        gap_ns = CALM_GAP_NS;
    pkts = count_pkts(gap_ns, PHASE_NS, subject->pkts);
    if (pkts == 0) {
        nsp_checks_add_not_tested(checks, "rule", "all",
                                  "so slow a link takes too long, live");
        return NSP_OK;
    }
    live->calm = true;
    result = nsp_live_rule_run(live, true, &subject->packet, gap_ns, pkts,
                               &trial, reterr);
    live->calm = false;
    if (result != NSP_OK)
        return result;
    if (subject->rule->action != NSP_ACTION_PASS)
        result = nsp_judge_live_action(&trial, checks);
    else if (nsp_subject_loses(subject))
        result = nsp_judge_live_loss(subject, &trial, checks);
    if (result == NSP_OK && subject->rule->action == NSP_ACTION_PASS &&
        nsp_subject_delays(subject))
        result = nsp_judge_live_delay(subject, &trial, checks);
    if (result == NSP_OK && subject->rule->edits.which != 0)
        result = nsp_judge_live_edits(subject, &trial, checks);
    nsp_live_trial_fini(&trial);
    return result;
}

static int
measure_rate(struct nsp_live_rule *live, struct nsp_checks *checks,
             struct nsp_diag *reterr)
{
    const struct nsp_subject *subject = &live->subject;
    struct nsp_search search = *subject->search;
    struct nsp_test_packet packet;
    struct nsp_live_trial trial;
    uint64_t gap_ns;
    uint32_t pkts;
    const char *why;
    int result;

    if (subject->link->rate_bitps > RATE_BITPS_MAX) {
        nsp_checks_add_not_tested(checks, "rate", "rate",
                                  "live test traffic is of 200 Mbit/s at most");
        return NSP_OK;
    }
    search.payload_bytes = BIG_PAYLOAD;
    /* Large ones, unless it takes too long until enough are through. */
    if (subject->link->rate_bitps < SLOW_BITPS ||
        !nsp_search_packet(&search, subject->index, &packet, &why))
        packet = subject->packet;
    gap_ns = nsp_subject_serialise_up_ns(subject, packet.bytes) / 2 + 1;
    pkts = count_pkts(gap_ns, RATE_PHASE_NS, RATE_PKTS_MAX);
    if (pkts == 0) {
        nsp_checks_add_not_tested(checks, "rate", "rate",
                                  "so slow a link takes too long, live");
        return NSP_OK;
    }
    result =
        nsp_live_rule_run(live, true, &packet, gap_ns, pkts, &trial, reterr);
    if (result != NSP_OK)
        return result;
    result = nsp_judge_live_rate(subject, &trial, checks);
    nsp_live_trial_fini(&trial);
    return result;
}

static bool
has_others(const struct nsp_live_rule *live)
{
    return nsp_subject_has_more(&live->subject) || live->subject.link->plan;
}

/* Losses and delays alone, which other effects would hide. */
static void
leave_out_others(struct nsp_live_rule *live)
{
    struct nsp_rule *rule = &live->rules[live->subject.index];

    if (live->subject.link->plan) {
        rule->class_name = NULL;
        rule->link = (struct nsp_link_rate){ .rate_bitps = 0 };
    }
    rule->impairment = NULL;
    rule->effects =
        (struct nsp_effects){ .loss = live->subject.effects->loss,
                              .delay = live->subject.effects->delay };
}

static int
measure(struct nsp_live_rule *live, struct nsp_checks *checks,
        struct nsp_diag *reterr)
{
    int result = measure_baseline(live, reterr);

    if (result == NSP_OK && has_others(live)) {
        result = nsp_live_rule_measure_effects(live, checks, reterr);
        leave_out_others(live);
    }
    if (result == NSP_OK)
        result = measure_calmly(live, checks, reterr);
    if (result == NSP_OK && live->subject.link->rate_bitps > 0)
        result = measure_rate(live, checks, reterr);
    if (result == NSP_OK && live->subject.rule->limit.unit != NSP_LIMIT_NONE)
        nsp_checks_add_not_tested(checks, "limit", "packets let through",
                                  "it depends on the exact times of packets");
    return result;
}

/* --- Rules ---------------------------------------------------------------- */

static int
verify_rule(struct nsp_live_rule *live, const struct nsp_verify_job *job,
            const struct nsp_search *search, uint32_t rule,
            struct nsp_checks *ret, struct nsp_diag *reterr)
{
    struct nsp_checks first = { .rule = rule }, again = { .rule = rule };
    const struct nsp_policy_spec *spec = search->spec;
    const char *why;
    int result;

    nsp_subject_init(&live->subject, search, rule);
    if (!nsp_subject_does_anything(&live->subject))
        return NSP_OK;
    ret->rule = rule;
    if (!nsp_search_packet(search, rule, &live->subject.packet, &why)) {
        nsp_checks_add_not_tested(ret, "rule", "all",
                                  "no UDP between the hosts of the test "
                                  "network comes to it");
        return NSP_OK;
    }
    if (job->begin_rule &&
        !job->begin_rule(job->begin_rule_context, rule, &live->subject.packet))
        return NSP_STOPPED;
    nsp_search_isolate(search, rule, &live->subject.packet, live->off);
    memcpy(live->rules, spec->rules, spec->rule_count * sizeof *live->rules);
    for (uint32_t i = 0; i < spec->rule_count; i++)
        live->rules[i].disabled = live->off[i];
    live->subject.pkts = job->pkts;
    live->subject.seed = job->seed;
    result = measure(live, &first, reterr);
    if (result == NSP_OK && nsp_checks_have_random_failures(&first)) {
        live->subject.seed = job->seed + 1;
        result = measure(live, &again, reterr);
        nsp_checks_retry(&first, &again);
    }
    nsp_checks_append(ret, &first);
    nsp_checks_fini(&again);
    return result;
}

static int
verify_rules(const struct nsp_verify_job *job, const struct nsp_lab *lab,
             struct nsp_checks *ret, struct nsp_diag *reterr)
{
    struct nsp_search search = job->search;
    uint32_t count = search.spec->rule_count;
    struct nsp_live_rule live = {
        .lab = lab,
        .rules = calloc((size_t)count + 1, sizeof *live.rules),
        .off = calloc((size_t)count + 1, sizeof *live.off),
    };
    int result = live.rules && live.off ? NSP_OK : NSP_NO_MEMORY;

    search.hooks = NSP_HOOK_FORWARD | (job->search.hooks & NSP_HOOK_INPUT);
    search.payload_bytes = SMALL_PAYLOAD;
    search.seed = job->seed;
    search.wants = is_live;
    for (uint32_t i = 0; i < count && result == NSP_OK; i++)
        if (!(search.off && search.off[i]))
            result = verify_rule(&live, job, &search, i, ret, reterr);
    free(live.rules);
    free(live.off);
    return result == NSP_OK && ret->out_of_memory ? NSP_NO_MEMORY : result;
}

int
nsp_verify_live(const struct nsp_verify_job *job, struct nsp_checks *ret,
                struct nsp_diag *reterr)
{
    struct nsp_lab *lab = NULL;
    int result = nsp_lab_open(&lab, reterr);

    if (result != NSP_OK)
        return result;
    result = verify_rules(job, lab, ret, reterr);
    nsp_lab_close(lab);
    return result;
}
