#ifndef NSP_CONFIG_SCHEDULE_H
#define NSP_CONFIG_SCHEDULE_H
#include <stdbool.h>
#include <stdint.h>

/* Times of the week: on some days, between some hours of local time.
 *
 * Hours      Seconds of the day, from 'begin' until just before 'end'. Hours
 *            that end before they begin go on after midnight, and belong to
 *            the day on which they began: "fri, 22:00-06:00" ends on Saturday
 *            morning.
 * Time       Is handed in, as the clock on the wall shows it. Where that is put
 *            forward or back, ask again: what was said about the next change
 *            counts seconds on the wall. */
#define NSP_DAY_SECONDS    86400u
#define NSP_EVERY_DAY      0x7fu
#define NSP_HOURS_MAX      8u
#define NSP_SCHEDULE_NEVER UINT32_MAX

struct nsp_hours {
    uint32_t begin_s, end_s; /* Differ; the end up to NSP_DAY_SECONDS. */
};

/* All zero is always. */
struct nsp_schedule {
    uint8_t days;        /* Set of days, bit 0 Monday; 0 is every day. */
    uint8_t hours_count; /* 0 is all day. */
    struct nsp_hours hours[NSP_HOURS_MAX];
};

struct nsp_local_time {
    uint32_t day;    /* 0 Monday..6 Sunday. */
    uint32_t second; /* Of the day, below NSP_DAY_SECONDS. */
};

/* Tells whether 'schedule' is always on. */
bool nsp_schedule_is_always(const struct nsp_schedule *schedule);

/* Tells whether 'schedule' is on at 'now', and stores in '*ret_next_s' in how
 * many seconds that changes, NSP_SCHEDULE_NEVER for never. */
bool nsp_schedule_is_on(const struct nsp_schedule *schedule,
                        const struct nsp_local_time *now, uint32_t *ret_next_s);

#endif /* NSP_CONFIG_SCHEDULE_H */
