#include "verify/loss_runs.h"

#include <math.h>

/* --- Periods and distances ----------------------------------------------- */

struct period_sums {
    double squares;
    uint64_t length;      /* Of the period under way. */
    uint64_t first, last; /* Places of lost packets. */
    uint64_t pairs[2];    /* Packets after a received, a lost one... */
    uint64_t again[2];    /* ...and those of them that are lost. */
};

static void
end_period(struct nsp_loss_runs *ret, struct period_sums *sums)
{
    double length = (double)sums->length;

    if (sums->length == 0)
        return;
    ret->periods++;
    ret->period_mean += length;
    sums->squares += length * length;
    if (sums->length > ret->period_max)
        ret->period_max = sums->length;
    sums->length = 0;
}

static double
ratio(uint64_t part, uint64_t of)
{
    return of ? (double)part / (double)of : 0;
}

static void
read_periods(const bool *lost, size_t n, struct nsp_loss_runs *ret)
{
    struct period_sums sums = { 0 };
    double periods;

    for (size_t i = 0; i < n; i++) {
        if (i > 0) {
            sums.pairs[lost[i - 1]]++;
            sums.again[lost[i - 1]] += lost[i];
        }
        if (!lost[i]) {
            end_period(ret, &sums);
            continue;
        }
        if (ret->lost++ == 0)
            sums.first = i;
        sums.last = i;
        sums.length++;
    }
    end_period(ret, &sums);

    periods = (double)ret->periods;
    if (ret->periods > 0)
        ret->period_mean /= periods;
    if (ret->periods > 1)
        ret->period_sd = sqrt(fmax(
            0, (sums.squares - periods * ret->period_mean * ret->period_mean) /
                   (periods - 1)));
    if (ret->lost > 1)
        ret->distance_mean = ratio(sums.last - sums.first, ret->lost - 1);
    ret->lost_after_received = ratio(sums.again[0], sums.pairs[0]);
    ret->lost_after_lost = ratio(sums.again[1], sums.pairs[1]);
    ret->lag1 = ret->lost_after_lost - ret->lost_after_received;
}

/* --- Bursts and gaps ----------------------------------------------------- */

static void
end_stretch(struct nsp_loss_runs *ret, uint64_t first, uint64_t last,
            uint64_t lost)
{
    if (lost == 1) {
        ret->gap_lost++;
        return;
    }
    ret->bursts++;
    ret->burst_lost += lost;
    ret->burst_pkts += last - first + 1;
}

static void
read_bursts(const bool *lost, size_t n, struct nsp_loss_runs *ret)
{
    uint64_t first = 0, last = 0, stretch = 0;

    for (size_t i = 0; i < n; i++) {
        if (!lost[i])
            continue;
        if (stretch > 0 && i - last > NSP_GMIN) {
            end_stretch(ret, first, last, stretch);
            stretch = 0;
        }
        if (stretch++ == 0)
            first = i;
        last = i;
    }
    if (stretch > 0)
        end_stretch(ret, first, last, stretch);
    ret->gap_pkts = n - ret->burst_pkts;
}

void
nsp_loss_runs_read(const bool *lost, size_t n, struct nsp_loss_runs *ret)
{
    *ret = (struct nsp_loss_runs){ .pkts = n };
    read_periods(lost, n, ret);
    read_bursts(lost, n, ret);
}
