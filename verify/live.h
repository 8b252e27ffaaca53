#ifndef NSP_VERIFY_LIVE_H
#define NSP_VERIFY_LIVE_H
#include "verify/subject.h"

/* What live traffic says of a rule: packets sent at a steady pace to a real
 * network, with the kernel's time of their arrival. Times are those of one
 * clock; tolerances are wider than in virtual time, because the machine has a
 * share in them: they are stated in each check. */

#define NSP_LIVE_SLACK_NS 1000000.0 /* A packet may be late by that much. */

struct nsp_live_trial {
    uint32_t pkts;
    uint64_t *sent_ns, *received_ns; /* 0: it did not come. */
    uint64_t *copy_ns;               /* Of its last copy; 0: it had none. */
    uint32_t bytes;                  /* Of each IP packet. */
    bool *is_hit;                    /* It came, and a look told so. */
    uint64_t wrong_pkts;             /* The same of what is wrong. */
    uint64_t copied_pkts; /* Came beside the first of their number. */
    uint64_t answers;     /* Made by the engine, for either end. */
    double baseline_ns;   /* What the way takes without the rule. */
    struct nsp_late late; /* The machine meanwhile. */
};

/* Each adds its checks and returns NSP_OK or NSP_NO_MEMORY. Of a calm trial: */
int nsp_judge_live_loss(const struct nsp_subject *subject,
                        const struct nsp_live_trial *trial,
                        struct nsp_checks *checks);
int nsp_judge_live_delay(const struct nsp_subject *subject,
                         const struct nsp_live_trial *trial,
                         struct nsp_checks *checks);
/* Of one with twice what fits: */
int nsp_judge_live_rate(const struct nsp_subject *subject,
                        const struct nsp_live_trial *trial,
                        struct nsp_checks *checks);

/* Of trials in which the rule does nothing but that: */
int nsp_judge_live_duplicate(const struct nsp_subject *subject,
                             const struct nsp_live_trial *trial,
                             struct nsp_checks *checks);
int nsp_judge_live_reorder(const struct nsp_subject *subject,
                           const struct nsp_live_trial *trial,
                           struct nsp_checks *checks);
int nsp_judge_live_throttle(const struct nsp_subject *subject,
                            const struct nsp_live_trial *trial,
                            struct nsp_checks *checks);
int nsp_judge_live_cutoff(const struct nsp_subject *subject,
                          const struct nsp_live_trial *trial,
                          struct nsp_checks *checks);
int nsp_judge_live_flap(const struct nsp_subject *subject,
                        const struct nsp_live_trial *trial,
                        struct nsp_checks *checks);
int nsp_judge_live_held_flap(const struct nsp_subject *subject,
                             const struct nsp_live_trial *trial,
                             struct nsp_checks *checks);
int nsp_judge_live_random_held_flap(const struct nsp_subject *subject,
                                    const struct nsp_live_trial *trial,
                                    struct nsp_checks *checks);
int nsp_judge_live_windows(const struct nsp_subject *subject,
                           const struct nsp_live_trial *trial,
                           struct nsp_checks *checks);
int nsp_judge_live_random_windows(const struct nsp_subject *subject,
                                  const struct nsp_live_trial *trial,
                                  struct nsp_checks *checks);
/* Of one with twice what their limit takes: */
int nsp_judge_live_full_windows(const struct nsp_subject *subject,
                                const struct nsp_live_trial *trial,
                                struct nsp_checks *checks);
int nsp_judge_live_rate_plan(const struct nsp_subject *subject,
                             const struct nsp_live_trial *trial,
                             struct nsp_checks *checks);
/* The trial as one of virtual time, '*ret' to be finished: packets leave as
 * long after they were to be sent as they took to come. Returns NSP_OK or
 * NSP_NO_MEMORY. */
int nsp_live_trial_convert(const struct nsp_live_trial *trial,
                           struct nsp_trial *ret);

/* How many packets came. */
uint32_t nsp_live_count_received(const struct nsp_live_trial *trial);

/* The median of how long packets took; 0 when none came. */
double nsp_live_median_ns(const struct nsp_live_trial *trial);

#endif /* NSP_VERIFY_LIVE_H */
