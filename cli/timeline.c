#include "cli/timeline.h"

#include <stdlib.h>
#include <string.h>

#define LOST_BITS_FIRST (UINT64_C(1) << 16)

void
nsp_timeline_init(struct nsp_timeline *timeline, uint64_t width_ns)
{
    memset(timeline, 0, sizeof *timeline);
    timeline->width_ns = width_ns;
}

void
nsp_timeline_fini(struct nsp_timeline *timeline)
{
    free(timeline->lost);
    timeline->lost = NULL;
}

/* --- Bins ---------------------------------------------------------------- */

static void
add_delay(struct nsp_timeline_bin *bin, uint64_t pkts, uint64_t sum_ns,
          uint64_t min_ns, uint64_t max_ns)
{
    if (pkts == 0)
        return;
    if (bin->delivered_pkts == 0 || min_ns < bin->delay_min_ns)
        bin->delay_min_ns = min_ns;
    if (max_ns > bin->delay_max_ns)
        bin->delay_max_ns = max_ns;
    bin->delivered_pkts += pkts;
    bin->delay_sum_ns += sum_ns;
}

static void
widen(struct nsp_timeline *timeline)
{
    struct nsp_timeline_bin *bins = timeline->bins;

    for (uint32_t i = 0; i < NSP_TIMELINE_BINS / 2; i++) {
        struct nsp_timeline_bin one = bins[2 * i], *two = &bins[2 * i + 1];

        one.in_bytes += two->in_bytes;
        one.out_bytes += two->out_bytes;
        add_delay(&one, two->delivered_pkts, two->delay_sum_ns,
                  two->delay_min_ns, two->delay_max_ns);
        bins[i] = one;
    }
    memset(bins + NSP_TIMELINE_BINS / 2, 0,
           sizeof *bins * NSP_TIMELINE_BINS / 2);
    timeline->used = (timeline->used + 1) / 2;
    timeline->width_ns *= 2;
}

static struct nsp_timeline_bin *
bin_at(struct nsp_timeline *timeline, uint64_t at_ns)
{
    uint64_t index;

    while ((index = at_ns / timeline->width_ns) >= NSP_TIMELINE_BINS)
        widen(timeline);
    if (index >= timeline->used)
        timeline->used = (uint32_t)index + 1;
    return &timeline->bins[index];
}

/* --- Packets ------------------------------------------------------------- */

void
nsp_timeline_deliver(struct nsp_timeline *timeline, uint64_t number,
                     uint64_t arrival_ns, uint64_t at_ns, uint64_t bytes)
{
    uint64_t delay_ns = at_ns - arrival_ns;
    struct nsp_timeline_bin *bin;

    /* The later time first: it may widen the bins. */
    bin_at(timeline, at_ns)->out_bytes += bytes;
    bin = bin_at(timeline, arrival_ns);
    bin->in_bytes += bytes;
    add_delay(bin, 1, delay_ns, delay_ns, delay_ns);
    if (number > timeline->last_number)
        timeline->last_number = number;
}

static bool
make_room(struct nsp_timeline *timeline, uint64_t number)
{
    uint64_t bits = timeline->lost_bits ? timeline->lost_bits : LOST_BITS_FIRST;
    uint8_t *grown;

    if (number < timeline->lost_bits)
        return true;
    while (bits <= number)
        bits *= 2;
    grown = realloc(timeline->lost, bits / 8);
    if (!grown)
        return false;
    memset(grown + timeline->lost_bits / 8, 0,
           (bits - timeline->lost_bits) / 8);
    timeline->lost = grown;
    timeline->lost_bits = bits;
    return true;
}

void
nsp_timeline_lose(struct nsp_timeline *timeline, uint64_t number,
                  uint64_t arrival_ns, uint64_t bytes)
{
    bin_at(timeline, arrival_ns)->in_bytes += bytes;
    if (number > timeline->last_number)
        timeline->last_number = number;
    if (make_room(timeline, number))
        timeline->lost[number / 8] |= (uint8_t)(1u << number % 8);
    else
        timeline->no_memory = true;
}

void
nsp_timeline_count_runs(const struct nsp_timeline *timeline,
                        uint64_t ret[NSP_TIMELINE_RUNS])
{
    uint64_t run = 0;

    memset(ret, 0, sizeof *ret * NSP_TIMELINE_RUNS);
    for (uint64_t i = 1; i <= timeline->last_number + 1; i++) {
        if (i < timeline->lost_bits &&
            (timeline->lost[i / 8] >> i % 8 & 1) != 0) {
            run++;
        } else if (run > 0) {
            ret[run < NSP_TIMELINE_RUNS ? run - 1 : NSP_TIMELINE_RUNS - 1]++;
            run = 0;
        }
    }
}
