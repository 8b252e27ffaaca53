#ifndef NSP_ENGINE_SLOTS_H
#define NSP_ENGINE_SLOTS_H
#include "base/memory.h"
#include "netshaper/policy.h"

/* Names to slots: numbers under which workers keep what a rule or a class
 * remembers (counters, queues), so that it survives a change of policy by its
 * name, whatever place the rule has in the policy.
 *
 * Threads  The control side's, under the engine's gate.
 * Cost     take: a hash lookup. */
struct nsp_slots;

#define NSP_SLOTS_MAX     32768u
#define NSP_SLOT_NONE     UINT32_MAX
#define NSP_SLOT_NAME_MAX (NSP_NAME_MAX + 1)

int nsp_slots_create(const struct nsp_allocator *allocator,
                     struct nsp_slots **ret) NSP_MUSTCHECK;
struct nsp_slots *nsp_slots_destroy(struct nsp_slots *slots);

/* Makes room for 'count' more names. Returns 0, -ENOMEM, or -ENOSPC where they
 * could exceed NSP_SLOTS_MAX. */
int nsp_slots_reserve(struct nsp_slots *slots, uint32_t count) NSP_MUSTCHECK;

/* The slot of 'name', of at most NSP_SLOT_NAME_MAX bytes. '*ret_fresh' tells
 * whether it had none and was given one; reserve made room. */
uint32_t nsp_slots_take(struct nsp_slots *slots, const char *name,
                        bool *ret_fresh);

/* Takes the slots away from all names but those that 'is_used' keeps. */
void nsp_slots_sweep(struct nsp_slots *slots,
                     bool (*is_used)(void *context, uint32_t slot),
                     void *context);

#endif /* NSP_ENGINE_SLOTS_H */
