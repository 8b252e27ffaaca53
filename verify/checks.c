#include "verify/checks.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netshaper/engine.h"

void
nsp_checks_fini(struct nsp_checks *checks)
{
    free(checks->list);
    *checks = (struct nsp_checks){ 0 };
}

int
nsp_checks_result(const struct nsp_checks *checks)
{
    return checks->out_of_memory ? NSP_NO_MEMORY : NSP_OK;
}

static struct nsp_check *
add(struct nsp_checks *checks, const struct nsp_check *check)
{
    static struct nsp_check lost;

    if (checks->count == checks->room) {
        uint32_t room = checks->room ? 2 * checks->room : 32;
        void *list = realloc(checks->list, room * sizeof *checks->list);

        if (!list) {
            checks->out_of_memory = true;
            return &lost;
        }
        checks->list = list;
        checks->room = room;
    }
    checks->list[checks->count] = *check;
    checks->list[checks->count].rule = checks->rule;
    return &checks->list[checks->count++];
}

static bool
holds(struct nsp_interval interval, double value)
{
    return value >= interval.low && value <= interval.high;
}

struct nsp_check *
nsp_checks_add_random(struct nsp_checks *checks, const char *effect,
                      const char *quantity, enum nsp_check_unit unit,
                      double configured, double achieved,
                      struct nsp_interval confidence,
                      struct nsp_interval allowed)
{
    const struct nsp_check check = {
        .effect = effect,
        .quantity = quantity,
        .unit = (uint8_t)unit,
        .result = holds(allowed, achieved) ? NSP_CHECK_PASS : NSP_CHECK_FAIL,
        .by_chance = true,
        .by_time =
            checks->by_time || unit == NSP_UNIT_NS || unit == NSP_UNIT_BITPS,
        .late = checks->late,
        .of_pkts = checks->of_pkts,
        .attempts = 1,
        .configured = configured,
        .achieved = achieved,
        .confidence = confidence,
        .allowed = allowed,
    };

    return add(checks, &check);
}

struct nsp_check *
nsp_checks_add_exact(struct nsp_checks *checks, const char *effect,
                     const char *quantity, enum nsp_check_unit unit,
                     double configured, double achieved,
                     struct nsp_interval allowed)
{
    struct nsp_check *check = nsp_checks_add_random(
        checks, effect, quantity, unit, configured, achieved,
        (struct nsp_interval){ achieved, achieved }, allowed);

    check->by_chance = false;
    return check;
}

struct nsp_check *
nsp_checks_add_pkts(struct nsp_checks *checks, const char *effect,
                    const char *quantity, double configured, double achieved)
{
    return nsp_checks_add_exact(
        checks, effect, quantity, NSP_UNIT_PKTS, configured, achieved,
        (struct nsp_interval){ configured, configured });
}

struct nsp_check *
nsp_checks_add_estimate(struct nsp_checks *checks, const char *effect,
                        const char *quantity, enum nsp_check_unit unit,
                        double configured, double achieved, double error,
                        double tolerance)
{
    double chance = NSP_SIGMAS_999 * error, most = fmax(chance, tolerance);

    return nsp_checks_add_random(
        checks, effect, quantity, unit, configured, achieved,
        (struct nsp_interval){ achieved - chance, achieved + chance },
        (struct nsp_interval){ configured - most, configured + most });
}

struct nsp_check *
nsp_checks_add_shown(struct nsp_checks *checks, const char *effect,
                     const char *quantity, enum nsp_check_unit unit,
                     double achieved)
{
    const struct nsp_check check = {
        .effect = effect,
        .quantity = quantity,
        .unit = (uint8_t)unit,
        .result = NSP_CHECK_SHOWN,
        .attempts = 1,
        .achieved = achieved,
    };

    return add(checks, &check);
}

void
nsp_checks_add_not_tested(struct nsp_checks *checks, const char *effect,
                          const char *quantity, const char *why)
{
    struct nsp_check check = {
        .effect = effect,
        .quantity = quantity,
        .result = NSP_CHECK_NOT_TESTED,
    };

    snprintf(check.note, sizeof check.note, "%s", why);
    add(checks, &check);
}

void
nsp_check_note(struct nsp_check *check, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(check->note, sizeof check->note, format, arguments);
    va_end(arguments);
}

/* --- Lists ---------------------------------------------------------------- */

/* A thread that is woken moves many packets, and several do on the way. */
#define LATE_FACTOR       4
#define LATE_SHARE_FACTOR 2

#define ATTEMPTS      2
#define ATTEMPTS_LATE 3

/* By how much a machine that was so late can have made it wrong. */
static double
late_tolerance(const struct nsp_check *check)
{
    double share = LATE_SHARE_FACTOR * check->late.share;

    switch (check->unit) {
    case NSP_UNIT_NS:
        return LATE_FACTOR * check->late.ns;
    case NSP_UNIT_SHARE:
        return share;
    case NSP_UNIT_PKTS:
        return share * check->of_pkts;
    default:
        return share * fmax(fabs(check->configured), 1);
    }
}

static bool
may_be_late(const struct nsp_check *check)
{
    double wrong = fmax(check->allowed.low - check->achieved,
                        check->achieved - check->allowed.high);

    return check->by_time && check->result == NSP_CHECK_FAIL &&
           check->late.ns > NSP_CHECK_LATE_NS_MAX &&
           wrong <= late_tolerance(check);
}

static bool
wants_retry(const struct nsp_check *check, uint32_t attempts)
{
    if (may_be_late(check))
        return attempts < ATTEMPTS_LATE;
    return check->by_chance && check->result == NSP_CHECK_FAIL &&
           attempts < ATTEMPTS;
}

bool
nsp_checks_want_retry(const struct nsp_checks *checks, uint32_t attempts)
{
    for (uint32_t i = 0; i < checks->count; i++)
        if (wants_retry(&checks->list[i], attempts))
            return true;
    return false;
}

void
nsp_checks_retry(struct nsp_checks *checks, const struct nsp_checks *again)
{
    for (uint32_t i = 0; i < checks->count; i++) {
        struct nsp_check *check = &checks->list[i];
        uint32_t attempts = check->attempts;

        for (uint32_t j = 0; j < again->count && wants_retry(check, attempts);
             j++) {
            const struct nsp_check *other = &again->list[j];

            if (strcmp(check->effect, other->effect) != 0 ||
                strcmp(check->quantity, other->quantity) != 0)
                continue;
            *check = *other;
            check->attempts = attempts + 1;
            break;
        }
    }
}

void
nsp_checks_excuse_late(struct nsp_checks *checks)
{
    for (uint32_t i = 0; i < checks->count; i++) {
        struct nsp_check *check = &checks->list[i];

        if (!may_be_late(check))
            continue;
        check->result = NSP_CHECK_NOT_TESTED;
        nsp_check_note(check,
                       "the machine is too busy: it was %.3g ms late for the "
                       "moments that a bare thread asked for",
                       check->late.ns / 1e6);
    }
}

uint32_t
nsp_checks_count(const struct nsp_checks *checks, enum nsp_check_result result)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < checks->count; i++)
        count += checks->list[i].result == result;
    return count;
}

void
nsp_checks_append(struct nsp_checks *to, struct nsp_checks *from)
{
    uint32_t rule = to->rule;

    for (uint32_t i = 0; i < from->count; i++) {
        to->rule = from->list[i].rule;
        add(to, &from->list[i]);
    }
    to->rule = rule;
    to->out_of_memory |= from->out_of_memory;
    nsp_checks_fini(from);
}
