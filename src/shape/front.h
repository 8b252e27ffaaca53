#ifndef NSP_SHAPE_FRONT_H
#define NSP_SHAPE_FRONT_H
#include "base/base.h"
#include "netshaper/packet.h"

/* The nodes of a wheel that are next, sorted: those of its current tick, and
 * those whose time has passed already.
 *
 * Order    By due_ns; nodes of one due_ns in the order they were added.
 * Threads  A wheel's own.
 * Cost     O(log n) amortised for each node, for any pattern; in order, O(1).
 */

/* A sorted list. */
struct nsp_run {
    struct nsp_wheel_node *first; /* NULL: empty. */
    struct nsp_wheel_node *last;  /* last->next is NULL. */
};

#define NSP_FRONT_RUNS 32u

/* All zero at first. */
struct nsp_front {
    uint64_t used; /* Bit i: runs[i] is not empty. */
    struct nsp_run runs[NSP_FRONT_RUNS];
};

/* Times that nsp_front_fill() takes differ in their lowest bits alone. */
#define NSP_FRONT_BITS 10u

void nsp_front_add(struct nsp_front *front, struct nsp_wheel_node *node);

/* Fills 'front', which is empty, with a list that ends with 'last', which is
 * linked to its first, in the order they were added. Their times differ in the
 * lowest NSP_FRONT_BITS alone. */
void nsp_front_fill(struct nsp_front *front, struct nsp_wheel_node *last);

/* The earliest time in 'front', which is not empty. */
uint64_t nsp_front_due_ns(const struct nsp_front *front);

/* Takes up to 'max' nodes whose due_ns <= 'until_ns'. Returns how many. */
uint32_t nsp_front_pop(struct nsp_front *front, uint64_t until_ns,
                       struct nsp_wheel_node *ret[], uint32_t max);

static inline bool
nsp_front_is_empty(const struct nsp_front *front)
{
    return front->used == 0;
}

/* The run that holds all of 'front'; NULL if none does. */
static inline struct nsp_run *
nsp_front_only_run(struct nsp_front *front)
{
    if (front->used == 0 || (front->used & (front->used - 1)) != 0)
        return NULL;
    return &front->runs[nsp_ctz_u64(front->used)];
}

/* Takes what is due by 'until_ns' from 'run', where something is. */
static NSP_ALWAYS_INLINE uint32_t
nsp_run_pop(struct nsp_run *run, uint64_t until_ns,
            struct nsp_wheel_node *ret[], uint32_t max)
{
    struct nsp_wheel_node *node = run->first;
    uint32_t n = 0;

    do {
        ret[n++] = node;
        node = node->next;
    } while (n < max && node && node->due_ns <= until_ns);
    run->first = node;
    if (node)
        nsp_prefetch(node->next);
    return n;
}

#endif /* NSP_SHAPE_FRONT_H */
