#include "cli/live_rule.h"

#include <stdlib.h>
#include <string.h>

#include "cli/live_traffic.h"
#include "cli/runner.h"

#define MS UINT64_C(1000000)

#define LEAST_GAP_NS (MS / 20) /* That can be kept to. */
#define TRIAL_GAP_NS (MS / 2)  /* Where a smaller one is asked for. */
#define TRIAL_NS     (10000 * MS)
#define STRAGGLER_NS (300 * MS)

static bool
looks_at_marks(const struct nsp_subject *subject)
{
    const struct nsp_rule *as = subject->as ? subject->as : subject->rule;

    return subject->look && (as->edits.which & NSP_EDIT_MARK) != 0;
}

int
nsp_live_rule_run(struct nsp_live_rule *live, bool engine,
                  const struct nsp_test_packet *packet, uint64_t gap_ns,
                  uint32_t pkts, struct nsp_live_trial *ret,
                  struct nsp_diag *reterr)
{
    const struct nsp_subject *subject = &live->subject;
    uint64_t longest_ns = subject->effects->delay.mean_ns +
                          10 * subject->effects->delay.spread_ns;
    struct nsp_engine_config cfg = {
        .backend = "nfqueue",
        .hooks = NSP_HOOK_FORWARD | (subject->search->hooks & NSP_HOOK_INPUT),
        .seed = subject->seed,
        .policy = *subject->search->spec,
    };
    const struct nsp_live_traffic traffic = {
        .lab = live->lab,
        .packet = packet,
        .gap_ns = gap_ns,
        .pkts = pkts,
        .straggler_ns =
            STRAGGLER_NS + live->linger_ns + (engine ? longest_ns : 0),
        .keeps_apart = live->calm,
        .waits_for_copies = live->linger_ns > 0,
        .at_router = looks_at_marks(subject),
        .look = subject->look,
        .look_context = subject,
    };
    struct nsp_runner runner = { 0 };
    int result = NSP_OK, stopped;

    cfg.policy.rules = live->rules;
    if (engine)
        result = nsp_runner_start(&runner, &cfg, "true", reterr);
    if (result == NSP_OK)
        result = nsp_live_traffic_run(&traffic, ret, reterr);
    stopped = nsp_runner_stop(&runner, NULL, reterr);
    if (result == NSP_OK && stopped != NSP_OK)
        nsp_live_trial_fini(ret);
    if (result != NSP_OK || stopped != NSP_OK)
        return result == NSP_OK ? stopped : result;
    ret->baseline_ns = live->baseline_ns;
    live->checks->late = live->late.ns > ret->late.ns ? live->late : ret->late;
    live->checks->of_pkts = ret->pkts;
    return NSP_OK;
}

void
nsp_live_rule_isolate(struct nsp_live_rule *live,
                      const struct nsp_test_packet *packet)
{
    const struct nsp_search *search = live->subject.search;
    const struct nsp_policy_spec *spec = search->spec;

    nsp_search_isolate(search, live->subject.index, packet, live->off);
    memcpy(live->rules, spec->rules, spec->rule_count * sizeof *live->rules);
    if (live->subject.as)
        live->rules[live->subject.index] = *live->subject.as;
    for (uint32_t i = 0; i < spec->rule_count; i++)
        live->rules[i].disabled = live->off[i];
}

/* --- Trials --------------------------------------------------------------- */

/* Runs like nsp_trial_run(), on real packets. */
static int
run_trial(const struct nsp_subject *subject,
          const struct nsp_test_packet *packet, uint64_t gap_ns, uint32_t pkts,
          struct nsp_trial *ret, struct nsp_diag *reterr)
{
    const struct nsp_live_rule *whole = subject->run_context;
    size_t rules = (size_t)subject->search->spec->rule_count + 1;
    struct nsp_live_rule live = {
        .lab = whole->lab,
        .subject = *subject,
        .rules = calloc(rules, sizeof *live.rules),
        .off = calloc(rules, sizeof *live.off),
        .baseline_ns = whole->baseline_ns,
        .late = whole->late,
        .calm = true,
        .checks = whole->checks,
        .linger_ns = subject->as ? subject->as->effects.ack_delay.delay_ns : 0,
    };
    struct nsp_live_trial trial;
    int result = NSP_NO_MEMORY;

    if (gap_ns < LEAST_GAP_NS)
        gap_ns = TRIAL_GAP_NS;
    if (pkts > TRIAL_NS / gap_ns)
        pkts = (uint32_t)(TRIAL_NS / gap_ns);
    if (live.rules && live.off) {
        nsp_live_rule_isolate(&live, packet);
        result = nsp_live_rule_run(&live, true, packet, gap_ns, pkts, &trial,
                                   reterr);
    }
    if (result == NSP_OK) {
        result = nsp_live_trial_convert(&trial, ret);
        nsp_live_trial_fini(&trial);
    }
    free(live.rules);
    free(live.off);
    return result;
}

bool
nsp_live_rule_can_time(const struct nsp_subject *of,
                       const struct nsp_loss_config *cfg, const char *effect,
                       struct nsp_checks *checks)
{
    if (nsp_subject_timed_gap_ns(of, cfg) >= MS)
        return true;
    nsp_checks_add_not_tested(
        checks, effect, "rate",
        "bad times below 4.5 ms are judged in virtual time only");
    return false;
}

struct nsp_subject
nsp_live_rule_subject(struct nsp_live_rule *live)
{
    struct nsp_subject subject = live->subject;

    subject.run = run_trial;
    subject.run_context = live;
    return subject;
}
