#include "verify/subject.h"

#include <stdlib.h>

#include "verify/hits.h"

int
nsp_judge_accounts(const struct nsp_trial *trial, struct nsp_checks *checks)
{
    const struct nsp_stats *stats = &trial->stats;
    uint64_t out = stats->delivered_pkts + stats->queued_pkts;
    struct nsp_check *check;

    for (int i = 0; i < NSP_DROP_COUNT; i++)
        out += stats->dropped_pkts[i];
    out -= stats->duplicated_pkts;
    nsp_checks_add_exact(checks, "packets", "accounted for", NSP_UNIT_PKTS,
                         trial->pkts, (double)out,
                         (struct nsp_interval){ trial->pkts, trial->pkts });
    check =
        nsp_checks_add_exact(checks, "packets", "of the rule", NSP_UNIT_PKTS,
                             trial->pkts, (double)trial->rule.hit_pkts,
                             (struct nsp_interval){ trial->pkts, trial->pkts });
    if (trial->left_out > 0)
        nsp_check_note(check,
                       "%u more rules act on these packets, and were left out",
                       (unsigned)trial->left_out);
    return nsp_checks_result(checks);
}

/* 'cfg' is one of the subject's. */
static int
judge_loss(const char *effect, const struct nsp_loss_config *cfg,
           const struct nsp_trial *trial, struct nsp_checks *checks)
{
    struct nsp_loss_model model;
    bool *lost = calloc((size_t)trial->pkts + 1, sizeof *lost);

    if (!lost)
        return NSP_NO_MEMORY;
    for (uint32_t i = 0; i < trial->pkts; i++)
        lost[i] = trial->left_ns[i] == 0;
    nsp_loss_model_init(&model, cfg, trial->gap_ns);
    nsp_judge_hits(&(struct nsp_hits){ effect, true, lost, trial->pkts }, cfg,
                   &model, checks);
    free(lost);
    return nsp_checks_result(checks);
}

int
nsp_judge_loss(const struct nsp_subject *subject, const struct nsp_trial *trial,
               struct nsp_checks *checks)
{
    return judge_loss("loss", &subject->effects->loss, trial, checks);
}

/* --- Losses of their own trials ------------------------------------------- */

/* Packets that are marked count as lost ones. */
static uint32_t
look_marked(const void *context, const struct nsp_pkt *pkt,
            const uint8_t *original)
{
    const uint8_t *ip = pkt->data + pkt->l3_off;
    uint8_t ecn;

    (void)context;
    (void)original;
    if (pkt->l3 == NSP_L3_NONE)
        return NSP_LOOK_WRONG;
    ecn = pkt->l3 == NSP_L3_IPV6 ? ip[1] >> 4 & 3 : ip[1] & 3;
    return ecn == 3 ? NSP_LOOK_HIT : 0;
}

static bool
is_ecn_capable(const struct nsp_test_fields *fields)
{
    return (fields->tos & 3) == 2;
}

/* SYN without ACK. */
static bool
is_syn(const struct nsp_test_fields *fields)
{
    return fields->proto == 6 && (fields->tcp_flags & 0x12) == 0x02;
}

static bool
is_ecn_capable_syn(const struct nsp_test_fields *fields)
{
    return is_ecn_capable(fields) && is_syn(fields);
}

/* Measures 'cfg' on packets that 'wants' takes; marked ones where it 'marks'.
 */
static int
measure_loss(const struct nsp_subject *subject, const char *effect,
             const struct nsp_loss_config *cfg,
             bool (*wants)(const struct nsp_test_fields *),
             struct nsp_checks *checks, struct nsp_diag *reterr)
{
    struct nsp_subject of = *subject;
    struct nsp_search search = *subject->search;
    uint64_t gap_ns = cfg->kind == NSP_LOSS_TIMED
                          ? nsp_subject_timed_gap_ns(subject, cfg)
                          : 1000;
    struct nsp_trial trial;
    const char *why;
    int result;

    search.wants = wants;
    if (!nsp_search_packet(&search, subject->index, &of.packet, &why)) {
        nsp_checks_add_not_tested(checks, effect, "all", why);
        return NSP_OK;
    }
    result = nsp_subject_run(&of, &of.packet, gap_ns, of.pkts, &trial, reterr);
    if (result != NSP_OK)
        return result;
    if (of.look)
        nsp_checks_add_pkts(checks, effect, "packets dropped", 0,
                            (double)trial.pkts - (double)trial.left_pkts);
    result = judge_loss(effect, cfg, &trial, checks);
    nsp_trial_fini(&trial);
    return result;
}

int
nsp_judge_syn_loss(const struct nsp_subject *subject, struct nsp_checks *checks,
                   struct nsp_diag *reterr)
{
    struct nsp_rule bare = nsp_subject_bare_rule(subject);
    struct nsp_subject of = *subject;
    int result;

    bare.effects.syn_loss = subject->effects->syn_loss;
    of.as = &bare;
    result = measure_loss(&of, "syn-loss", &bare.effects.syn_loss, is_syn,
                          checks, reterr);
    if (result != NSP_OK || !bare.effects.syn_loss.mark_ce)
        return result;
    of.look = look_marked;
    return measure_loss(&of, "syn-mark", &bare.effects.syn_loss,
                        is_ecn_capable_syn, checks, reterr);
}

int
nsp_judge_marks(const struct nsp_subject *subject, struct nsp_checks *checks,
                struct nsp_diag *reterr)
{
    struct nsp_rule bare = nsp_subject_bare_rule(subject);
    struct nsp_subject of = *subject;

    bare.effects.loss = subject->effects->loss;
    of.as = &bare;
    of.look = look_marked;
    return measure_loss(&of, "mark-ce", &bare.effects.loss, is_ecn_capable,
                        checks, reterr);
}
