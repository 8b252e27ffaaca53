#ifndef NSP_VERIFY_SUBJECT_H
#define NSP_VERIFY_SUBJECT_H
#include "verify/checks.h"
#include "verify/trial.h"

struct nsp_subject;

/* Runs a trial of 'packet', of at most 'pkts' and not faster than one each
 * 'gap_ns'; what it came to is in '*ret', to be finished. */
typedef int nsp_run_fn(const struct nsp_subject *subject,
                       const struct nsp_test_packet *packet, uint64_t gap_ns,
                       uint32_t pkts, struct nsp_trial *ret,
                       struct nsp_diag *reterr);

/* A rule that is measured: what it is configured to do, and a packet for it.
 *
 * The judges compare trials with what the configuration says, and add their
 * checks to a list. */
struct nsp_subject {
    const struct nsp_search *search;
    uint32_t index;
    const struct nsp_rule *rule;
    const struct nsp_effects *effects; /* Its own or those it names. */
    const struct nsp_link_rate *link;  /* The same; no rate: none. */
    const struct nsp_rule *as;         /* What it does in trials; NULL: all. */
    nsp_look_fn *look;                 /* At packets that left; NULL: none. */
    struct nsp_test_packet packet;     /* A small one that comes to it. */
    uint32_t pkts;                     /* Of a trial. */
    uint64_t seed;
    nsp_run_fn *run; /* NULL: trials are of virtual time. */
    void *run_context;
};

/* Fills in what is configured of rule 'index'; the packet is left. */
void nsp_subject_init(struct nsp_subject *subject,
                      const struct nsp_search *search, uint32_t index);

/* The rule without anything that it does, for trials of one effect. */
struct nsp_rule nsp_subject_bare_rule(const struct nsp_subject *subject);

bool nsp_subject_loses(const struct nsp_subject *subject);
/* Whether it has effects beside losses and delays. */
bool nsp_subject_has_more(const struct nsp_subject *subject);
bool nsp_subject_delays(const struct nsp_subject *subject);
/* Whether there is anything to measure. */
bool nsp_subject_does_anything(const struct nsp_subject *subject);

/* How long the rule's serialiser takes for a packet of 'bytes', exactly and
 * rounded up as it must; 0 without one. */
double nsp_subject_serialise_ns(const struct nsp_subject *subject,
                                uint32_t bytes);
uint64_t nsp_subject_serialise_up_ns(const struct nsp_subject *subject,
                                     uint32_t bytes);

/* A time that hardly any delay of the rule exceeds. */
uint64_t nsp_subject_long_delay_ns(const struct nsp_subject *subject);

/* Packets at intervals so long that none waits for another: neither in the
 * queue, nor to keep their order, and the limit takes all. */
uint64_t nsp_subject_calm_gap_ns(const struct nsp_subject *subject,
                                 uint32_t bytes);

/* The same of losses in bad times: so that several are in each. Of real
 * packets, whose times are not exact, a bad time ends half-way between two. */
uint64_t nsp_subject_timed_gap_ns(const struct nsp_subject *subject,
                                  const struct nsp_loss_config *cfg);

/* Runs a trial, in the subject's way or in virtual time. */
nsp_run_fn nsp_subject_run;

/* --- Windows ---------------------------------------------------------------
 */

/* Judges the 'n' intervals between them, which it sorts, as drawn evenly from
 * min to max; each is right to 'slack_ns'. Returns the check, for a note. */
struct nsp_check *nsp_check_window_intervals(
    const struct nsp_window_config *windows, double *intervals_ns, size_t n,
    double slack_ns, struct nsp_checks *checks);

/* How many packets of 'bytes' one takes; 0: there is no limit. */
uint32_t nsp_window_room_pkts(const struct nsp_window_config *windows,
                              uint32_t bytes);

/* --- Rate plans ------------------------------------------------------------
 */

/* How long it takes until it begins anew. */
uint64_t nsp_rate_plan_period_ns(const struct nsp_rate_plan_config *plan);
/* Bytes that a period lets through up to 'ns' of it. */
double nsp_rate_plan_bytes(const struct nsp_rate_plan_config *plan,
                           uint64_t ns);
/* The most that it lets through in any tenth of a second. */
double nsp_rate_plan_peak_bitps(const struct nsp_rate_plan_config *plan);

/* --- Judges ---------------------------------------------------------------
 * Each returns NSP_OK, NSP_NO_MEMORY, or what a trial of its own says. */

/* Of a calm trial: accounting, losses, delays. */
int nsp_judge_accounts(const struct nsp_trial *trial,
                       struct nsp_checks *checks);
int nsp_judge_loss(const struct nsp_subject *subject,
                   const struct nsp_trial *trial, struct nsp_checks *checks);
int nsp_judge_delay(const struct nsp_subject *subject,
                    const struct nsp_trial *trial, struct nsp_checks *checks);

/* These run trials of their own. */
int nsp_judge_rate(const struct nsp_subject *subject, struct nsp_checks *checks,
                   struct nsp_diag *reterr);
int nsp_judge_rate_plan(const struct nsp_subject *subject,
                        struct nsp_checks *checks, struct nsp_diag *reterr);
int nsp_judge_limit(const struct nsp_subject *subject,
                    struct nsp_checks *checks, struct nsp_diag *reterr);
int nsp_judge_edits(const struct nsp_subject *subject,
                    struct nsp_checks *checks, struct nsp_diag *reterr);
int nsp_judge_syn_loss(const struct nsp_subject *subject,
                       struct nsp_checks *checks, struct nsp_diag *reterr);
int nsp_judge_marks(const struct nsp_subject *subject,
                    struct nsp_checks *checks, struct nsp_diag *reterr);
int nsp_judge_tcp_reset(const struct nsp_subject *subject,
                        struct nsp_checks *checks, struct nsp_diag *reterr);
int nsp_judge_tamper(const struct nsp_subject *subject,
                     struct nsp_checks *checks, struct nsp_diag *reterr);
int nsp_judge_tcp_window(const struct nsp_subject *subject,
                         struct nsp_checks *checks, struct nsp_diag *reterr);
int nsp_judge_mtu(const struct nsp_subject *subject, struct nsp_checks *checks,
                  struct nsp_diag *reterr);
int nsp_judge_windows(const struct nsp_subject *subject,
                      struct nsp_checks *checks, struct nsp_diag *reterr);
int nsp_judge_flap(const struct nsp_subject *subject, struct nsp_checks *checks,
                   struct nsp_diag *reterr);
int nsp_judge_cutoff(const struct nsp_subject *subject,
                     struct nsp_checks *checks, struct nsp_diag *reterr);
int nsp_judge_throttle(const struct nsp_subject *subject,
                       struct nsp_checks *checks, struct nsp_diag *reterr);
int nsp_judge_ack_delay(const struct nsp_subject *subject,
                        struct nsp_checks *checks, struct nsp_diag *reterr);
int nsp_judge_duplicate(const struct nsp_subject *subject,
                        struct nsp_checks *checks, struct nsp_diag *reterr);
int nsp_judge_reorder(const struct nsp_subject *subject,
                      struct nsp_checks *checks, struct nsp_diag *reterr);
/* What cut-offs, flaps, throttles and windows spare. */
int nsp_judge_spared(const struct nsp_subject *subject,
                     struct nsp_checks *checks, struct nsp_diag *reterr);
int nsp_judge_action(const struct nsp_subject *subject,
                     struct nsp_checks *checks, struct nsp_diag *reterr);

/* Judges which of 'n' packets went at once, past those held. */
void nsp_judge_gaps(const struct nsp_reorder_config *cfg, const bool *hit,
                    uint32_t n, struct nsp_checks *checks);

#endif /* NSP_VERIFY_SUBJECT_H */
