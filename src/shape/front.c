/* Runs, sorted lists, in the manner of a bottom-up merge sort that stops before
 * its last merges: run i was merged from 2^i ascending stretches of arrivals, a
 * higher number is older. In order, which is the rule, arrivals extend the
 * newest run: one run, O(1) each. Out of order, an arrival begins a run 0 and
 * carries through the runs present as a binary counter does, so a node is moved
 * at most log2(arrivals) times and leaving compares as many heads.
 *
 * Filling   What waited for a tick comes all at once, and of times that differ
 *           in few bits. Many such nodes are sorted by two digits of these, in
 *           lists: a processor foresees no comparison of random times, and here
 *           is none. Few are added one by one, as all lists of a digit have to
 *           be gone through, whoever is in them. */
#include "shape/front.h"

#define DIGIT_BITS (NSP_FRONT_BITS / 2)
#define DIGITS     (1u << DIGIT_BITS)

#define MANY 16u

/* --- Runs ----------------------------------------------------------------- */

/* Merges two runs; of equal times the older run's nodes come first. */
static struct nsp_run
merge_runs(struct nsp_run older, struct nsp_run newer)
{
    struct nsp_wheel_node *a = older.first;
    struct nsp_wheel_node *b = newer.first;
    struct nsp_wheel_node *first;
    struct nsp_wheel_node **end = &first;

    while (a && b) {
        struct nsp_wheel_node **from = a->due_ns <= b->due_ns ? &a : &b;

        *end = *from;
        end = &(*from)->next;
        *from = *end;
    }
    *end = a ? a : b;
    return (struct nsp_run){ first, a ? older.last : newer.last };
}

/* Sorts the list that begins with 'node' by one digit of due_ns, the lowest bit
 * of which is 'bit'; nodes of equal digits stay in order. */
static struct nsp_run
sort_by_digit(struct nsp_wheel_node *node, uint32_t bit)
{
    struct nsp_wheel_node *first[DIGITS], **end[DIGITS];
    struct nsp_wheel_node *sorted, **last = &sorted, *latest;
    uint64_t used = 0;

    for (uint32_t i = 0; i < DIGITS; i++)
        end[i] = &first[i];
    for (; node; node = node->next) {
        uint32_t i = (uint32_t)(node->due_ns >> bit) & (DIGITS - 1);

        *end[i] = node;
        end[i] = &node->next;
        used |= UINT64_C(1) << i;
    }
    for (; used != 0; used &= used - 1) {
        uint32_t i = nsp_ctz_u64(used);

        /* cppcheck-suppress uninitvar ; it was set by way of its end */
        *last = first[i];
        last = end[i];
    }
    *last = NULL;
    latest = NSP_CONTAINER_OF(last, struct nsp_wheel_node, next);
    return (struct nsp_run){ sorted, latest };
}

/* The run whose head is the earliest; of equal ones the oldest. There is one.
 */
static uint32_t
earliest_run(const struct nsp_front *front)
{
    uint64_t rest = front->used;
    uint32_t best = nsp_ctz_u64(rest);

    for (rest &= rest - 1; rest != 0; rest &= rest - 1) {
        uint32_t i = nsp_ctz_u64(rest);

        if (front->runs[i].first->due_ns <= front->runs[best].first->due_ns)
            best = i;
    }
    return best;
}

/* --- The front ------------------------------------------------------------ */

void
nsp_front_add(struct nsp_front *front, struct nsp_wheel_node *node)
{
    struct nsp_run run = { node, node };
    uint32_t i = 0;

    node->next = NULL;
    if (front->used != 0) {
        struct nsp_run *newest = &front->runs[nsp_ctz_u64(front->used)];

        if (node->due_ns >= newest->last->due_ns) {
            newest->last->next = node;
            newest->last = node;
            return;
        }
    }
    for (; i < NSP_FRONT_RUNS - 1 && (front->used >> i & 1) != 0; i++) {
        run = merge_runs(front->runs[i], run);
        front->used &= ~(UINT64_C(1) << i);
    }
    /* The last run takes more than its share rather than none; that needs 2^31
     * arrivals out of order. */
    if ((front->used >> i & 1) != 0)
        run = merge_runs(front->runs[i], run);
    front->runs[i] = run;
    front->used |= UINT64_C(1) << i;
}

/* Whether the list that begins with 'node' has more than MANY. */
static bool
has_many(const struct nsp_wheel_node *node)
{
    uint32_t count = 0;

    for (; node && count <= MANY; node = node->next)
        count++;
    return count > MANY;
}

void
nsp_front_fill(struct nsp_front *front, struct nsp_wheel_node *last)
{
    struct nsp_wheel_node *node = last->next, *next;

    assert(front->used == 0);
    last->next = NULL;
    if (has_many(node)) {
        front->runs[0] =
            sort_by_digit(sort_by_digit(node, 0).first, DIGIT_BITS);
        front->used = 1;
        return;
    }
    for (; node; node = next) {
        next = node->next;
        nsp_front_add(front, node);
    }
}

uint64_t
nsp_front_due_ns(const struct nsp_front *front)
{
    return front->runs[earliest_run(front)].first->due_ns;
}

uint32_t
nsp_front_pop(struct nsp_front *front, uint64_t until_ns,
              struct nsp_wheel_node *ret[], uint32_t max)
{
    uint32_t n = 0;

    while (n < max && front->used != 0) {
        bool alone = (front->used & (front->used - 1)) == 0;
        uint32_t i = earliest_run(front);
        struct nsp_run *run = &front->runs[i];

        if (run->first->due_ns > until_ns)
            break;
        n += nsp_run_pop(run, until_ns, ret + n, alone ? max - n : 1);
        if (!run->first)
            front->used &= ~(UINT64_C(1) << i);
    }
    return n;
}
