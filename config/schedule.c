#include "config/schedule.h"

static bool
has_day(const struct nsp_schedule *schedule, uint32_t day)
{
    return schedule->days == 0 || (schedule->days >> day & 1) != 0;
}

static bool
on_at(const struct nsp_schedule *schedule, uint32_t day, uint32_t second)
{
    bool today = has_day(schedule, day);
    bool yesterday = has_day(schedule, (day + 6) % 7);

    if (schedule->hours_count == 0)
        return today;
    for (uint32_t i = 0; i < schedule->hours_count; i++) {
        const struct nsp_hours *hours = &schedule->hours[i];

        if (hours->begin_s < hours->end_s) {
            if (today && second >= hours->begin_s && second < hours->end_s)
                return true;
        } else if ((today && second >= hours->begin_s) ||
                   (yesterday && second < hours->end_s)) {
            return true;
        }
    }
    return false;
}

bool
nsp_schedule_is_always(const struct nsp_schedule *schedule)
{
    return schedule->hours_count == 0 &&
           (schedule->days == 0 || schedule->days == NSP_EVERY_DAY);
}

/* Takes 'second' of the day that comes 'days' after now for the next change if
 * it is one, and sooner than '*next'. */
static void
consider(const struct nsp_schedule *schedule, const struct nsp_local_time *now,
         uint32_t days, uint32_t second, bool on, uint32_t *next)
{
    uint32_t in = days * NSP_DAY_SECONDS + second;

    if (in <= now->second || in - now->second >= *next)
        return;
    days += second / NSP_DAY_SECONDS;
    second %= NSP_DAY_SECONDS;
    if (on_at(schedule, (now->day + days) % 7, second) != on)
        *next = in - now->second;
}

bool
nsp_schedule_is_on(const struct nsp_schedule *schedule,
                   const struct nsp_local_time *now, uint32_t *ret_next_s)
{
    bool on = on_at(schedule, now->day, now->second);
    uint32_t next = NSP_SCHEDULE_NEVER;

    /* It changes at midnight, or where hours begin or end, if anywhere. */
    for (uint32_t days = 0; days <= 7; days++) {
        consider(schedule, now, days, 0, on, &next);
        for (uint32_t i = 0; i < schedule->hours_count; i++) {
            consider(schedule, now, days, schedule->hours[i].begin_s, on,
                     &next);
            consider(schedule, now, days, schedule->hours[i].end_s, on, &next);
        }
    }
    *ret_next_s = next;
    return on;
}
