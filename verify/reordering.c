#include "verify/reordering.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

/* Places at which the highest number so far went up, with that number: both
 * ascend, so the earliest packet beyond a number is found by halving. */
struct record {
    uint32_t number;
    uint64_t place;
};

static uint64_t
first_beyond(const struct record *records, size_t count, uint32_t number)
{
    size_t low = 0, high = count - 1;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (records[middle].number > number)
            high = middle;
        else
            low = middle + 1;
    }
    return records[low].place;
}

static void
read_all(const uint32_t *sent, size_t n, bool *seen, struct record *records,
         struct nsp_reordering *ret)
{
    double extents = 0;
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t place = ret->pkts, extent;

        if (seen[sent[i]]) {
            ret->copies++;
            continue;
        }
        seen[sent[i]] = true;
        ret->pkts++;
        if (count == 0 || sent[i] > records[count - 1].number) {
            records[count++] = (struct record){ sent[i], place };
            continue;
        }
        extent = place - first_beyond(records, count, sent[i]);
        ret->reordered++;
        extents += (double)extent;
        if (extent > ret->extent_max)
            ret->extent_max = extent;
    }
    if (ret->reordered > 0)
        ret->extent_mean = extents / (double)ret->reordered;
}

int
nsp_reordering_read(const uint32_t *sent, size_t n, uint32_t sent_count,
                    struct nsp_reordering *ret)
{
    bool *seen = calloc((size_t)sent_count + 1, sizeof *seen);
    struct record *records = calloc(n + 1, sizeof *records);
    int err = seen && records ? 0 : -ENOMEM;

    *ret = (struct nsp_reordering){ 0 };
    if (err == 0)
        read_all(sent, n, seen, records, ret);
    free(records);
    free(seen);
    return err;
}
