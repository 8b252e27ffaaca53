#include "verify/subject.h"

#define PKTS_MAX 10000u
#define GAP_NS   1000

/* --- Edits ---------------------------------------------------------------- */

static uint8_t
tos_of(const struct nsp_pkt *pkt)
{
    const uint8_t *ip = pkt->data + pkt->l3_off;

    if (pkt->l3 == NSP_L3_IPV6)
        return (uint8_t)(ip[0] << 4 | ip[1] >> 4);
    return ip[1];
}

static uint8_t
ttl_of(const struct nsp_pkt *pkt)
{
    return pkt->data[pkt->l3_off + (pkt->l3 == NSP_L3_IPV6 ? 7 : 8)];
}

/* The MSS option that test packets have, if any. */
static bool
mss_is(const struct nsp_pkt *pkt, uint16_t mss)
{
    const uint8_t *tcp = pkt->data + pkt->l4_off;

    return pkt->l4 == NSP_L4_TCP && tcp[20] == 2 &&
           (tcp[22] << 8 | tcp[23]) == mss;
}

static uint32_t
look_edited(const void *context, const struct nsp_pkt *pkt,
            const uint8_t *original)
{
    const struct nsp_subject *subject = context;
    const struct nsp_edits *edits = &subject->rule->edits;
    const struct nsp_test_fields *fields = &subject->packet.fields;
    uint8_t tos = fields->tos, ttl = fields->ttl;
    uint32_t mark = fields->mark;

    (void)original;
    if (pkt->l3 == NSP_L3_NONE)
        return NSP_LOOK_WRONG;
    if ((edits->which & NSP_EDIT_DSCP) != 0)
        tos = (uint8_t)(edits->dscp << 2 | (tos & 3));
    if ((edits->which & NSP_EDIT_ECN) != 0)
        tos = (uint8_t)((tos & 0xfc) | edits->ecn);
    if ((edits->which & NSP_EDIT_TTL) != 0)
        ttl = edits->ttl;
    if ((edits->which & NSP_EDIT_MARK) != 0)
        mark = (mark & ~edits->mark_mask) | (edits->mark & edits->mark_mask);
    if (tos_of(pkt) != tos || ttl_of(pkt) != ttl || pkt->mark != mark)
        return NSP_LOOK_WRONG;
    if ((edits->which & NSP_EDIT_MSS) != 0 && nsp_test_has_mss(fields) &&
        !mss_is(pkt, edits->mss < NSP_TEST_MSS ? edits->mss : NSP_TEST_MSS))
        return NSP_LOOK_WRONG;
    return nsp_pkt_checksums_ok(pkt) ? 0 : NSP_LOOK_WRONG;
}

/* 'subject' has nothing but its edits. */
static int
run_edits(const struct nsp_subject *subject, const char *quantity,
          struct nsp_checks *checks, struct nsp_diag *reterr)
{
    struct nsp_subject looking = *subject;
    struct nsp_trial trial;
    int result;

    looking.look = look_edited;
    result = nsp_subject_run(&looking, &looking.packet, GAP_NS,
                             looking.pkts < PKTS_MAX ? looking.pkts : PKTS_MAX,
                             &trial, reterr);
    if (result != NSP_OK)
        return result;
    nsp_check_note(nsp_checks_add_pkts(checks, "edits", quantity, 0,
                                       (double)trial.wrong_pkts + trial.pkts -
                                           (double)trial.left_pkts),
                   "fields and checksums of %llu packets",
                   (unsigned long long)trial.left_pkts);
    nsp_trial_fini(&trial);
    return nsp_checks_result(checks);
}

static bool
wants_mss(const struct nsp_test_fields *fields)
{
    return nsp_test_has_mss(fields);
}

int
nsp_judge_edits(const struct nsp_subject *subject, struct nsp_checks *checks,
                struct nsp_diag *reterr)
{
    struct nsp_rule bare = nsp_subject_bare_rule(subject);
    struct nsp_subject of_any = *subject, of_syn;
    struct nsp_search search = *subject->search;
    const char *why;
    int result;

    bare.edits = subject->rule->edits;
    of_any.as = &bare;
    of_syn = of_any;
    result = run_edits(&of_any, "packets edited wrongly", checks, reterr);

    if (result != NSP_OK || (subject->rule->edits.which & NSP_EDIT_MSS) == 0)
        return result;
    search.wants = wants_mss;
    if (nsp_search_packet(&search, subject->index, &of_syn.packet, &why))
        return run_edits(&of_syn, "SYNs edited wrongly", checks, reterr);
    nsp_checks_add_not_tested(checks, "edits", "MSS",
                              "no TCP SYN was found that its filter matches");
    return NSP_OK;
}

/* --- Actions -------------------------------------------------------------- */

static bool
is_rst(const struct nsp_test_fields *fields)
{
    return fields->proto == 6 && (fields->tcp_flags & 0x04) != 0;
}

int
nsp_judge_action(const struct nsp_subject *subject, struct nsp_checks *checks,
                 struct nsp_diag *reterr)
{
    bool rejects = subject->rule->action == NSP_ACTION_REJECT;
    const char *effect = rejects ? "reject" : "drop";
    struct nsp_trial trial;
    int result = nsp_subject_run(
        subject, &subject->packet,
        nsp_subject_calm_gap_ns(subject, subject->packet.bytes),
        subject->pkts < PKTS_MAX ? subject->pkts : PKTS_MAX, &trial, reterr);

    if (result != NSP_OK)
        return result;
    nsp_checks_add_pkts(checks, effect, "packets let through", 0,
                        (double)trial.left_pkts);
    if (rejects && is_rst(&subject->packet.fields))
        nsp_checks_add_not_tested(checks, effect, "answers",
                                  "a TCP RST is never answered, and no other "
                                  "packet was found");
    else if (rejects)
        nsp_checks_add_exact(checks, effect, "answers", NSP_UNIT_PKTS,
                             trial.pkts, (double)trial.injected_pkts,
                             (struct nsp_interval){ trial.pkts, trial.pkts });
    nsp_trial_fini(&trial);
    return nsp_checks_result(checks);
}
