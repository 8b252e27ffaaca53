#ifndef NSP_VERIFY_CHECKS_H
#define NSP_VERIFY_CHECKS_H
#include <stdbool.h>
#include <stdint.h>

#include "verify/statistics.h"

/* What was compared, and how it came out. */

enum nsp_check_unit {
    NSP_UNIT_NS = 0,
    NSP_UNIT_SHARE, /* 0..1. */
    NSP_UNIT_PKTS,
    NSP_UNIT_BYTES,
    NSP_UNIT_BITPS,
    NSP_UNIT_NUMBER,
};

enum nsp_check_result {
    NSP_CHECK_PASS = 0,
    NSP_CHECK_FAIL,
    NSP_CHECK_SHOWN,      /* A measurement that nothing is expected of. */
    NSP_CHECK_NOT_TESTED, /* 'note' says why. */
};

#define NSP_CHECK_NOTE_MAX 160

/* How late the machine was for moments at which it was to do something. */
struct nsp_late {
    double ns;    /* In the root mean square. */
    double share; /* Of the moments, by more than NSP_CHECK_LATE_NS_MAX. */
};

/* The most that it may be, in the root mean square, while what depends on time
 * is judged. */
#define NSP_CHECK_LATE_NS_MAX 250e3

struct nsp_check {
    uint32_t rule;        /* Of the policy, from 0. */
    const char *effect;   /* "delay"; static storage. */
    const char *quantity; /* "mean"; the same. */
    uint8_t unit;         /* enum nsp_check_unit. */
    uint8_t result;       /* enum nsp_check_result. */
    bool by_chance;       /* Another seed gives another outcome. */
    bool by_time;         /* It depends on when packets come, and ... */
    struct nsp_late late; /* ... so late was the machine meanwhile. */
    double of_pkts;       /* Packets of the trial, where those are counted. */
    uint32_t attempts;
    double configured, achieved;
    struct nsp_interval confidence; /* 99.9 %, of what was achieved. */
    struct nsp_interval allowed;
    char note[NSP_CHECK_NOTE_MAX]; /* How it was tested, or why not. */
};

/* A list that grows; all zero at first. A list that could not grow has lost a
 * check, and says so by 'out_of_memory'. */
struct nsp_checks {
    struct nsp_check *list;
    uint32_t count, room;
    uint32_t rule; /* Of the checks to come, as these: */
    bool by_time;  /* Whatever their unit. */
    struct nsp_late late;
    double of_pkts;
    bool out_of_memory;
};

void nsp_checks_fini(struct nsp_checks *checks);

/* NSP_OK, or NSP_NO_MEMORY where one had no place. */
int nsp_checks_result(const struct nsp_checks *checks);

/* A check without randomness: passes inside 'allowed'. Returns it, for a note;
 * never NULL. */
struct nsp_check *nsp_checks_add_exact(struct nsp_checks *checks,
                                       const char *effect, const char *quantity,
                                       enum nsp_check_unit unit,
                                       double configured, double achieved,
                                       struct nsp_interval allowed);

/* Packets that must be as many as configured. */
struct nsp_check *nsp_checks_add_pkts(struct nsp_checks *checks,
                                      const char *effect, const char *quantity,
                                      double configured, double achieved);

/* One that chance takes part in: passes inside 'allowed'; 'confidence' is what
 * the measurement could mean. */
struct nsp_check *nsp_checks_add_random(
    struct nsp_checks *checks, const char *effect, const char *quantity,
    enum nsp_check_unit unit, double configured, double achieved,
    struct nsp_interval confidence, struct nsp_interval allowed);

/* The same of an estimate with a standard error, and a tolerance that is
 * allowed in any case. */
struct nsp_check *nsp_checks_add_estimate(struct nsp_checks *checks,
                                          const char *effect,
                                          const char *quantity,
                                          enum nsp_check_unit unit,
                                          double configured, double achieved,
                                          double error, double tolerance);

/* A measurement that is shown only. */
struct nsp_check *nsp_checks_add_shown(struct nsp_checks *checks,
                                       const char *effect, const char *quantity,
                                       enum nsp_check_unit unit,
                                       double achieved);

void nsp_checks_add_not_tested(struct nsp_checks *checks, const char *effect,
                               const char *quantity, const char *why);

void nsp_check_note(struct nsp_check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Whether some failed that are worth another attempt: those that chance took
 * part in after the first, those that the machine may be to blame for after the
 * second too. */
bool nsp_checks_want_retry(const struct nsp_checks *checks, uint32_t attempts);

/* Puts checks of 'again', made with other random numbers, in the place of those
 * of the same name that such a failure is of. */
void nsp_checks_retry(struct nsp_checks *checks,
                      const struct nsp_checks *again);

/* Takes failures for not tested that the machine may be to blame for: of what
 * depends on time, while it was later than NSP_CHECK_LATE_NS_MAX. They must be
 * wrong by no more than that can explain: times by four times as much, shares,
 * rates and packets by twice the share of moments that were late. */
void nsp_checks_excuse_late(struct nsp_checks *checks);

uint32_t nsp_checks_count(const struct nsp_checks *checks,
                          enum nsp_check_result result);

/* Moves all of 'from' to the end of 'to'. */
void nsp_checks_append(struct nsp_checks *to, struct nsp_checks *from);

#endif /* NSP_VERIFY_CHECKS_H */
