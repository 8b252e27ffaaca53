#include "cli/verify_live.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cli/live_rule.h"
#include "cli/live_traffic.h"
#include "lab/netns.h"

#define MS UINT64_C(1000000)

#define CALM_GAP_NS    (MS / 2)
#define PHASE_NS       (10000 * MS) /* For one measurement. */
#define PHASE_NS_MAX   (40000 * MS) /* Of as few packets as tell something. */
#define BASELINE_PKTS  500
#define PKTS_MIN       UINT64_C(200)
#define RATE_PHASE_NS  (3000 * MS)
#define RATE_PKTS_MAX  60000
#define RATE_BITPS_MAX UINT64_C(1000000000)
#define SLOW_BITPS     UINT64_C(1000000)
#define BIG_PAYLOAD    1400
#define SMALL_PAYLOAD  64
#define LIMIT_BYTES    1428
#define TCP_TURNS      0x07 /* SYN, RST and FIN. */

/* --- Packets -------------------------------------------------------------- */

static bool
is_address_of(enum nsp_lab_host host, bool ipv6, const uint8_t *addr)
{
    int family = ipv6 ? AF_INET6 : AF_INET;
    uint8_t of_host[16];

    return inet_pton(family, nsp_lab_address(host, family), of_host) == 1 &&
           memcmp(of_host, addr, ipv6 ? 16 : 4) == 0;
}

/* Between the lab's client and its server. A host sends one TTL more. */
static bool
is_live(const struct nsp_test_fields *f)
{
    return f->hook == NSP_HOOK_FORWARD && !f->loopback && f->mark == 0 &&
           f->ttl > 1 && f->ttl < UINT8_MAX &&
           is_address_of(NSP_LAB_CLIENT, f->ipv6, f->src) &&
           is_address_of(NSP_LAB_SERVER, f->ipv6, f->dst);
}

static bool
is_udp(const struct nsp_test_fields *f)
{
    return f->proto == IPPROTO_UDP;
}

/* Neither opens a connection nor ends it. */
static bool
is_open_tcp(const struct nsp_test_fields *f)
{
    return f->proto == IPPROTO_TCP && (f->tcp_flags & TCP_TURNS) == 0;
}

/* UDP, if there is any, for whom no answer is due but of the rule. */
static bool
find_packet(const struct nsp_search *search, uint32_t rule,
            struct nsp_test_packet *ret, const char **ret_why)
{
    struct nsp_search of_kind = *search;

    of_kind.wants = is_udp;
    if (nsp_search_packet(&of_kind, rule, ret, ret_why))
        return true;
    of_kind.wants = is_open_tcp;
    return nsp_search_packet(&of_kind, rule, ret, ret_why) ||
           nsp_search_packet(search, rule, ret, ret_why);
}

/* --- Measurements --------------------------------------------------------- */

static int
measure_baseline(struct nsp_live_rule *live, struct nsp_diag *reterr)
{
    struct nsp_live_trial trial;
    int result;

    live->baseline_ns = 0;
    live->late = (struct nsp_late){ 0 };
    result = nsp_live_rule_run(live, false, &live->subject.packet, MS,
                               BASELINE_PKTS, &trial, reterr);
    if (result != NSP_OK)
        return result;
    live->baseline_ns = nsp_live_median_ns(&trial);
    live->late = trial.late;
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
    if (nsp_subject_loses(subject) &&
        subject->effects->loss.kind != NSP_LOSS_TIMED)
        result = nsp_judge_live_loss(subject, &trial, checks);
    checks->by_time = true;
    if (result == NSP_OK && nsp_subject_delays(subject))
        result = nsp_judge_live_delay(subject, &trial, checks);
    checks->by_time = false;
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
                                  "live test traffic is of 2 Gbit/s at most");
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

/* Losses, delays and a constant rate alone, which other effects would hide. */
static void
leave_out_others(struct nsp_live_rule *live)
{
    struct nsp_rule *rule = &live->rules[live->subject.index];

    if (live->subject.link->plan) {
        rule->class_name = NULL;
        rule->link = (struct nsp_link_rate){ .rate_bitps = 0 };
    }
    rule->limit = (struct nsp_limit){ .unit = NSP_LIMIT_NONE };
    rule->impairment = NULL;
    rule->effects =
        (struct nsp_effects){ .loss = live->subject.effects->loss,
                              .delay = live->subject.effects->delay };
}

/* Large packets where bits are counted, so that they need not be so many. */
static int
measure_limit(struct nsp_live_rule *live, struct nsp_checks *checks,
              struct nsp_diag *reterr)
{
    struct nsp_subject of = nsp_live_rule_subject(live);
    int result;

    if (of.rule->limit.unit == NSP_LIMIT_BITPS)
        (void)nsp_search_resize(of.search, of.index, LIMIT_BYTES, &of.packet);
    checks->by_time = true;
    result = nsp_judge_limit(&of, checks, reterr);
    checks->by_time = false;
    return result;
}

static int
measure_edits(struct nsp_live_rule *live, struct nsp_checks *checks,
              struct nsp_diag *reterr)
{
    struct nsp_subject of = nsp_live_rule_subject(live);
    struct nsp_rule seen = *of.rule;

    of.rule = &seen;
    if ((seen.edits.which & NSP_EDIT_MARK) != 0 &&
        !nsp_live_traffic_hears_marks()) {
        seen.edits.which &= ~(uint32_t)NSP_EDIT_MARK;
        nsp_checks_add_not_tested(checks, "edits", "mark",
                                  "this kernel does not tell marks of packets");
    }
    if (seen.edits.which == 0)
        return nsp_checks_result(checks);
    return nsp_judge_edits(&of, checks, reterr);
}

/* Answers to TCP are others than those to UDP. */
static int
measure_action(struct nsp_live_rule *live, struct nsp_checks *checks,
               struct nsp_diag *reterr)
{
    struct nsp_subject of = nsp_live_rule_subject(live);
    struct nsp_search search = *of.search;
    uint32_t first;
    const char *why;
    int result = nsp_judge_action(&of, checks, reterr);

    search.wants = is_open_tcp;
    if (result != NSP_OK || of.packet.fields.proto == IPPROTO_TCP ||
        !nsp_search_packet(&search, of.index, &of.packet, &why))
        return result;
    first = checks->count;
    result = nsp_judge_action(&of, checks, reterr);
    for (uint32_t i = first; i < checks->count; i++)
        nsp_check_note(&checks->list[i], "of TCP");
    return result;
}

static int
measure_timed_loss(struct nsp_live_rule *live, struct nsp_checks *checks,
                   struct nsp_diag *reterr)
{
    struct nsp_subject of = nsp_live_rule_subject(live);
    struct nsp_rule bare = nsp_subject_bare_rule(&of);
    uint64_t gap_ns = nsp_subject_timed_gap_ns(&of, &of.effects->loss);
    struct nsp_trial trial;
    int result;

    if (!nsp_live_rule_can_time(&of, &of.effects->loss, "loss", checks))
        return nsp_checks_result(checks);
    bare.effects.loss = of.effects->loss;
    of.as = &bare;
    result = nsp_subject_run(&of, &of.packet, gap_ns, of.pkts, &trial, reterr);
    if (result != NSP_OK)
        return result;
    checks->by_time = true;
    result = nsp_judge_loss(&of, &trial, checks);
    checks->by_time = false;
    nsp_trial_fini(&trial);
    return result;
}

static int
measure(struct nsp_live_rule *live, struct nsp_checks *checks,
        struct nsp_diag *reterr)
{
    const struct nsp_subject *subject = &live->subject;
    const struct nsp_rule *rule = subject->rule;
    int result = measure_baseline(live, reterr);

    if (result == NSP_OK && rule->action != NSP_ACTION_PASS)
        return measure_action(live, checks, reterr);
    if (result == NSP_OK)
        result = nsp_live_rule_measure_effects(live, checks, reterr);
    if (result == NSP_OK && subject->effects->loss.kind == NSP_LOSS_TIMED)
        result = measure_timed_loss(live, checks, reterr);
    if (result == NSP_OK && rule->edits.which != 0)
        result = measure_edits(live, checks, reterr);
    if (result == NSP_OK && rule->limit.unit != NSP_LIMIT_NONE)
        result = measure_limit(live, checks, reterr);
    leave_out_others(live);
    if (result == NSP_OK &&
        (nsp_subject_loses(subject) || nsp_subject_delays(subject)))
        result = measure_calmly(live, checks, reterr);
    if (result == NSP_OK && subject->link->rate_bitps > 0)
        result = measure_rate(live, checks, reterr);
    return result;
}

/* --- Rules ---------------------------------------------------------------- */

static int
attempt(struct nsp_live_rule *live, uint64_t seed, struct nsp_checks *checks,
        struct nsp_diag *reterr)
{
    live->subject.seed = seed;
    live->checks = checks;
    nsp_live_rule_isolate(live, &live->subject.packet);
    return measure(live, checks, reterr);
}

static int
verify_rule(struct nsp_live_rule *live, const struct nsp_verify_job *job,
            const struct nsp_search *search, uint32_t rule,
            struct nsp_checks *ret, struct nsp_diag *reterr)
{
    struct nsp_checks first = { .rule = rule };
    const char *why;
    int result;

    nsp_subject_init(&live->subject, search, rule);
    if (!nsp_subject_does_anything(&live->subject))
        return NSP_OK;
    ret->rule = rule;
    if (!find_packet(search, rule, &live->subject.packet, &why)) {
        nsp_checks_add_not_tested(ret, "rule", "all",
                                  "nothing between the hosts of the test "
                                  "network was found that comes to it");
        return NSP_OK;
    }
    if (job->begin_rule &&
        !job->begin_rule(job->begin_rule_context, rule, &live->subject.packet))
        return NSP_STOPPED;
    live->subject.pkts = job->pkts;
    result = attempt(live, job->seed, &first, reterr);
    for (uint32_t made = 1;
         result == NSP_OK && nsp_checks_want_retry(&first, made); made++) {
        struct nsp_checks again = { .rule = rule };

        result = attempt(live, job->seed + made, &again, reterr);
        nsp_checks_retry(&first, &again);
        nsp_checks_fini(&again);
    }
    nsp_checks_excuse_late(&first);
    nsp_checks_append(ret, &first);
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
    search.can_send = is_live;
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
    int result = nsp_lab_open(&lab, reterr), muted;

    if (result != NSP_OK)
        return result;
    muted = nsp_lab_mute_server(lab);
    result = muted < 0 ? nsp_netns_explain(reterr, muted)
                       : verify_rules(job, lab, ret, reterr);
    nsp_lab_close(lab);
    return result;
}
