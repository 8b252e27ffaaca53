#ifndef NSP_SHAPE_WHEEL_H
#define NSP_SHAPE_WHEEL_H
#include "base/memory.h"
#include "netshaper/packet.h"

/* A queue ordered by time: a hierarchical timing wheel (Varghese and Lauck,
 * 1987) whose slots are found by find-first-set over bitmaps.
 *
 * Order      Nodes leave in order of due_ns, exactly; those of one due_ns in
 *            the order they were added.
 * Range      Any due_ns. One that has passed already leaves at once.
 * Units      _ns of the caller's clock; 'now_ns' must not go backwards.
 * Ownership  The wheel links nodes that the caller owns; a node is in one
 *            wheel at a time. Nodes left at destroy are forgotten.
 * Threads    One worker owns a wheel.
 * Cost       add and expire O(1) amortised, due_ns O(1); fixed memory, no
 *            allocation after create. */
struct nsp_wheel;

int nsp_wheel_create(const struct nsp_allocator *allocator, uint64_t now_ns,
                     struct nsp_wheel **ret) NSP_MUSTCHECK;
struct nsp_wheel *nsp_wheel_destroy(struct nsp_wheel *wheel);

/* Adds 'node', whose due_ns the caller has set. */
void nsp_wheel_add(struct nsp_wheel *wheel, struct nsp_wheel_node *node);

/* Takes up to 'max' nodes whose due_ns <= 'now_ns' and returns how many. */
uint32_t nsp_wheel_expire(struct nsp_wheel *wheel, uint64_t now_ns,
                          struct nsp_wheel_node *ret[], uint32_t max);

/* The earliest due_ns in the wheel, exactly; NSP_TIME_NEVER when empty. */
uint64_t nsp_wheel_due_ns(const struct nsp_wheel *wheel);

uint64_t nsp_wheel_count(const struct nsp_wheel *wheel);

#endif /* NSP_SHAPE_WHEEL_H */
