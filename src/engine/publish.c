/* How a policy takes the place of another while packets flow.
 *
 * Problem      Workers decide by a policy without locks; it must change at
 *              once, between two bursts, and lose nothing that is held; the old
 *              one must not be freed under a worker's feet.
 * Idea         A snapshot is immutable. The control side builds one aside, puts
 *              its address into one cell, wakes the workers, and waits until
 *              each says that it has taken it up (or does not run); then nobody
 *              can still use the old one. State is kept by slots that names
 *              lead to, so a rule that stays finds its own again. Classes take
 *              their new rates by and by (stages.h), since many at once would
 *              be a stall.
 * Invariants   - A slot that the snapshot in force or any held packet names is
 *                not given to another name.
 *              - The state of a new slot is ready before its snapshot is
 *                published.
 *              - Workers look only into slots of snapshots that they have taken
 *                up, but for those that drain: they take the gate.
 * Rejected     Reference counts on snapshots, taken for each burst: two atomic
 *              writes on a shared line. Flushing queues: packets would be lost
 *              or reordered. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "engine/session.h"

static int
cannot_publish(int err, struct nsp_diag *reterr)
{
    if (err == -ENOSPC)
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "too-many-held",
                            "wait until they have let their packets go, or "
                            "change less at once",
                            "too many rules of earlier policies hold packets");
    return nsp_diag_set(reterr, NSP_NO_MEMORY, "out-of-memory", NULL,
                        "no memory for the policy's counters and queues");
}

/* --- Slots ---------------------------------------------------------------- */

/* Which slots the snapshot in force names: a bit each. */
struct slots_in_use {
    const struct nsp_session *session;
    uint64_t rules[NSP_SLOTS_MAX / 64], classes[NSP_SLOTS_MAX / 64];
};

static void
mark(uint64_t bits[], const uint32_t slots[], uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        bits[slots[i] / 64] |= UINT64_C(1) << slots[i] % 64;
}

static bool
rule_slot_is_used(void *context, uint32_t slot)
{
    const struct slots_in_use *used = context;
    const struct nsp_session *s = used->session;

    if ((used->rules[slot / 64] >> slot % 64 & 1) != 0)
        return true;
    for (uint32_t q = 0; q < s->worker_count; q++)
        if (nsp_state_rule_is_used(&s->workers[q].states, slot))
            return true;
    return false;
}

static bool
class_slot_is_used(void *context, uint32_t slot)
{
    const struct slots_in_use *used = context;
    const struct nsp_session *s = used->session;

    if ((used->classes[slot / 64] >> slot % 64 & 1) != 0)
        return true;
    for (uint32_t q = 0; q < s->worker_count; q++)
        if (nsp_state_class_is_used(&s->workers[q].states, slot))
            return true;
    return false;
}

static int
sweep(struct nsp_session *s)
{
    const struct nsp_snapshot *old = atomic_load(&s->snapshot);
    const struct nsp_allocator *allocator = &s->config->allocator;
    struct slots_in_use *used;

    if (!old)
        return 0;
    used = nsp_alloc(allocator, 1, sizeof *used);
    if (!used)
        return -ENOMEM;
    used->session = s;
    mark(used->rules, old->rule_slots, nsp_policy_rule_count(old->policy));
    mark(used->classes, old->class_slots, nsp_policy_class_count(old->policy));
    nsp_slots_sweep(s->rule_slots, rule_slot_is_used, used);
    nsp_slots_sweep(s->class_slots, class_slot_is_used, used);
    nsp_release(allocator, used);
    return 0;
}

static int
place_rule(struct nsp_session *s, struct nsp_snapshot *snapshot, uint32_t index)
{
    const char *name = nsp_policy_get_rule(snapshot->policy, index)->name;
    bool fresh = false;
    uint32_t slot = nsp_slots_take(s->rule_slots, name, &fresh);
    int err = 0;

    snapshot->rule_slots[index] = slot;
    if (fresh)
        nsp_offload_begin_rule(&s->offload, slot);
    for (uint32_t q = 0; fresh && q < s->worker_count && err == 0; q++)
        err = nsp_state_begin_rule(&s->workers[q].states, slot, name,
                                   s->config->user.seed, q,
                                   &s->config->allocator);
    return err;
}

static int
place_class(struct nsp_session *s, struct nsp_snapshot *snapshot,
            uint32_t index)
{
    const struct nsp_policy_class *class_ =
        nsp_policy_get_class(snapshot->policy, index);
    char name[NSP_SLOT_NAME_MAX + 1];
    bool fresh = false;
    uint32_t slot;
    int err = 0;

    /* No name begins with a tab, so a rule's rate and a class differ. */
    snprintf(name, sizeof name, "%s%s", class_->of_rule ? "\t" : "",
             class_->name);
    slot = nsp_slots_take(s->class_slots, name, &fresh);
    snapshot->class_slots[index] = slot;
    for (uint32_t q = 0; fresh && q < s->worker_count && err == 0; q++)
        err = nsp_state_begin_class(
            &s->workers[q].states, slot, &class_->link,
            nsp_ruleset_rate_plan(snapshot->ruleset, index),
            &s->config->allocator);
    return err;
}

/* A worker that drains looks into every slot, also those that it has not yet
 * heard of. */
static int
place_all(struct nsp_session *s, struct nsp_snapshot *snapshot)
{
    uint32_t rules = nsp_policy_rule_count(snapshot->policy);
    uint32_t classes = nsp_policy_class_count(snapshot->policy);
    int err;

    nsp_gate_lock(s->slots_gate);
    err = sweep(s);
    if (err == 0)
        err = nsp_slots_reserve(s->rule_slots, rules);
    if (err == 0)
        err = nsp_slots_reserve(s->class_slots, classes);
    for (uint32_t i = 0; i < rules && err == 0; i++)
        err = place_rule(s, snapshot, i);
    for (uint32_t i = 0; i < classes && err == 0; i++)
        err = place_class(s, snapshot, i);
    nsp_gate_unlock(s->slots_gate);
    return err == 0 ? nsp_snapshot_index_classes(snapshot) : err;
}

/* --- Publishing ------------------------------------------------------------
 */

/* Returns when no worker uses an older snapshot than that of 'generation'. */
static void
wait_for_workers(struct nsp_session *s, uint64_t generation)
{
    nsp_session_wake(s);
    for (uint32_t q = 0; q < s->worker_count; q++)
        while (atomic_load(&s->threads[q]) != 0 &&
               atomic_load(&s->workers[q].generation) < generation)
            nsp_thread_yield();
}

static bool
rate_plan_is_used(const void *context, const struct nsp_rate_plan *plan)
{
    const struct nsp_session *s = context;

    for (uint32_t q = 0; q < s->worker_count; q++)
        if (nsp_state_follows(&s->workers[q].states, plan))
            return true;
    return false;
}

/* Gives up the plans of rates that no queue follows any more. A worker that
 * does not run yet has still to take up its first. */
static void
sweep_rates(struct nsp_session *s, const struct nsp_snapshot *old)
{
    for (uint32_t q = 0; q < s->worker_count; q++)
        if (atomic_load(&s->workers[q].generation) != old->generation)
            return;
    nsp_rate_store_sweep(&s->rates, rate_plan_is_used, s);
}

static int
publish(struct nsp_session *s, struct nsp_ruleset *ruleset)
{
    struct nsp_snapshot *old = atomic_load(&s->snapshot);
    struct nsp_snapshot *snapshot;
    int err;

    if (old)
        sweep_rates(s, old);
    err = nsp_rate_store_keep(&s->rates, ruleset, &s->config->allocator);
    if (err < 0)
        return err;
    err = nsp_snapshot_create(ruleset, old ? old->generation + 1 : 1,
                              &s->config->allocator, &snapshot);
    if (err < 0)
        return err;
    err = place_all(s, snapshot);
    if (err < 0) {
        nsp_snapshot_destroy(snapshot);
        return err;
    }
    atomic_store(&s->snapshot, snapshot);
    if (old)
        wait_for_workers(s, snapshot->generation);
    s->retired = old;
    return 0;
}

int
nsp_session_publish(struct nsp_session *s, struct nsp_ruleset *ruleset,
                    struct nsp_diag *reterr)
{
    const struct nsp_allocator *allocator = &s->config->allocator;
    int err = nsp_slots_create(allocator, &s->rule_slots);

    if (err == 0)
        err = nsp_slots_create(allocator, &s->class_slots);
    if (err == 0)
        err = nsp_gate_create(allocator, &s->slots_gate);
    if (err == 0)
        err = publish(s, ruleset);
    return err == 0 ? NSP_OK : cannot_publish(err, reterr);
}

void
nsp_session_reclaim(struct nsp_session *s)
{
    s->retired = nsp_snapshot_destroy(s->retired);
}

void
nsp_session_unpublish(struct nsp_session *s)
{
    nsp_session_reclaim(s);
    nsp_snapshot_destroy(atomic_load(&s->snapshot));
    nsp_slots_destroy(s->rule_slots);
    nsp_slots_destroy(s->class_slots);
    nsp_gate_destroy(s->slots_gate);
    nsp_rate_store_fini(&s->rates, &s->config->allocator);
}

/* --- Replacing -------------------------------------------------------------
 */

/* Whether the open device can be made to do what 'plan' asks. */
static int
check_plan(const struct nsp_session *s, const struct nsp_plan *plan,
           struct nsp_diag *reterr)
{
    const struct nsp_plan *open = &s->plan;
    bool fewer_bytes =
        open->io.snap_bytes != 0 &&
        (plan->io.snap_bytes == 0 || plan->io.snap_bytes > open->io.snap_bytes);
    const char *what = NULL;

    if (plan->holds && !open->holds)
        what = "holds packets";
    else if (plan->edits && !open->edits)
        what = "edits packets";
    else if (plan->flows && !open->flows)
        what = "tracks flows";
    else if (plan->copies && !open->copies)
        what = "copies packets";
    else if (plan->reports && !open->reports)
        what = "logs or captures packets";
    else if (!s->ops->adjust && fewer_bytes)
        what = "reads more of each packet";
    else if (!s->ops->adjust && open->io.superpackets && !plan->io.superpackets)
        what = "acts on single packets";
    if (!what)
        return NSP_OK;
    return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "not-sized-for",
                        "start again with it, or with policy_may_change",
                        "the new policy %s, for which %s was not opened", what,
                        s->ops->name);
}

static int
ask_device(struct nsp_session *s, uint32_t snap_bytes, bool superpackets)
{
    struct nsp_io_config *io = &s->plan.io;
    int err;

    if (!s->ops->adjust ||
        (snap_bytes == io->snap_bytes && superpackets == io->superpackets))
        return 0;
    err = s->ops->adjust(s->io, snap_bytes, superpackets);
    if (err < 0)
        return err;
    io->snap_bytes = snap_bytes;
    io->superpackets = superpackets;
    return 0;
}

/* While either policy may decide, the device does what both need. */
static int
ask_for_both(struct nsp_session *s, const struct nsp_plan *plan)
{
    const struct nsp_io_config *now = &s->plan.io, *next = &plan->io;
    bool whole = now->snap_bytes == 0 || next->snap_bytes == 0;

    return ask_device(
        s, whole ? 0 : nsp_max_u32(now->snap_bytes, next->snap_bytes),
        now->superpackets && next->superpackets);
}

int
nsp_session_set_ruleset(struct nsp_session *s, struct nsp_ruleset *ruleset,
                        struct nsp_diag *reterr)
{
    struct nsp_plan plan;
    int err, result;

    result = nsp_plan_make(s->config, s->filter, nsp_ruleset_policy(ruleset),
                           &s->plan, &plan, reterr);
    if (result == NSP_OK)
        result = check_plan(s, &plan, reterr);
    if (result != NSP_OK)
        return result;
    err = ask_for_both(s, &plan);
    if (err < 0)
        return nsp_diag_set_errno(reterr, NSP_NOT_POSSIBLE, "not-adjusted",
                                  -err, "start again with the new policy",
                                  "%s refuses what the new policy needs",
                                  s->ops->name);
    err = publish(s, ruleset);
    if (err < 0)
        return cannot_publish(err, reterr);
    /* Should it refuse to do less, it goes on doing more. */
    (void)!ask_device(s, plan.io.snap_bytes, plan.io.superpackets);
    nsp_offload_apply(&s->offload, atomic_load(&s->snapshot), s->filter);
    return NSP_OK;
}
