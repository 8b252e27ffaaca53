/* A hierarchical timing wheel with exact order.
 *
 * Problem     Hold up to millions of packets, each until its own time. Adding
 *             and expiring must not slow down with the number held or with the
 *             pattern of times, however hostile; order must be exact, for a
 *             delay line that reorders is another impairment; and a worker that
 *             is about to sleep needs the exact time of the next departure.
 *
 * Idea        Time is cut into ticks of 2^10 ns. Level k has slots of 2^(10 k)
 *             ticks (about 1 us, 1 ms, 1 s, 18 min, 12 days, 36 years), each an
 *             unsorted list in order of arrival and the smallest due_ns in it.
 *             Bitmaps of the slots in use are searched by find-first-set, so an
 *             idle hour costs as much as an idle microsecond. Nodes of the
 *             current tick, and those whose time has passed already, are in the
 *             front (front.h), which alone is sorted.
 *
 * Levels      Let p(k, t) = t >> 10 k be the slot number of tick t on level k.
 *             A node of tick t > now is on the lowest level k with
 *
 *                 p(k + 1, t) - p(k + 1, now)  <=  1
 *
 *             so a level spans what is left of the current slot of the level
 *             above and all of the next one: 2 * 2^10 slots. When 'now' enters
 *             a slot of level k, the slot after it moves down (cascades).
 *
 * Line        A fixed delay, a link and whatever keeps order add nodes that are
 *             due one after the other. Such a node, due no earlier than the
 *             last one of the line, is linked behind it and meets nothing of
 *             the above. Others, not: nor do those that are due soon after one
 *             that overtook the node before it. Of random times some would be
 *             in order by chance, and no processor foresees which, neither when
 *             they are added nor when they leave between the others.
 *
 * Alone       Of the others most have their slot of level 0 to themselves.
 *             While the front is empty they leave from there, as if by way of
 *             it.
 *
 * Due         The smallest due_ns, of all nodes and of those not in the line,
 *             is kept beside all that, as it is asked for far more often than
 *             it changes.
 *
 * Invariants  1. The place of a node behind the line is a function of its tick
 *                and 'now' alone: nodes of one due_ns are always in one list,
 *                where none overtakes another. The least time that may join
 *                the line never falls, so that none of theirs does after them:
 *                of one due_ns the line's nodes are the older. Hence the order
 *                is stable.
 *             2. front < level 0 < level 1 < ... in due time. Hence the
 *                earliest node is in the first slot in use of the lowest level
 *                in use, and its due_ns is that slot's minimum.
 *             3. 'now' passes no node: it advances to the earliest tick held
 *                at most. Hence on each level only two slots can be due for a
 *                cascade, and a jump costs O(levels), not O(time).
 *
 * Size        32 KiB per level, of which traffic with delays of milliseconds
 *             uses level 0 in turn and a few lines of level 1. A cascade on
 *             level 1 handles the packets of 1 ms, which bounds the pause for
 *             every delay up to a second.
 *
 * Rejected    Binary heap, pairing heap, red-black tree: O(log n) cache misses
 *             per node for the commonest case, a fixed delay, which needs none.
 *             Approximate bucket queues (Eiffel's): packets of one flow closer
 *             than a bucket may be reordered.
 *             Levels by the highest bit in which due and now differ (as many
 *             hierarchical wheels do): satisfies the invariants too, but just
 *             before 'now' crosses a multiple of 2^20 ticks everything added is
 *             beyond it and on level 2, and all of it, be it a million nodes,
 *             cascades in one call.
 *             Cascading when a slot itself is entered, with levels by distance
 *             alone: breaks invariant 1; a late arrival gets in front of
 *             earlier ones of the same time.
 *             Sorted insertion into slots: O(n^2) for decreasing times. */
#include "shape/wheel.h"

#include <errno.h>

#include "shape/front.h"

#define TICK_BITS  10u
#define LEVEL_BITS 10u
#define LEVELS     6u /* 54 bits of tick need 5.4. */
#define SLOTS      (2u << LEVEL_BITS)
#define WORDS      (SLOTS / 64)

/* How far behind a node that overtakes others are kept from the line. */
#define DISORDER_NS (UINT64_C(1) << 17)

_Static_assert(TICK_BITS == NSP_FRONT_BITS, "a tick fills the front");

struct slot {
    struct nsp_wheel_node *last; /* last->next is the first; NULL if empty. */
    uint64_t min_due_ns;
};

struct level {
    uint64_t words_used; /* Bit i: used[i] is not zero. */
    uint64_t used[WORDS];
    struct slot slots[SLOTS];
};

struct nsp_wheel {
    uint64_t now_tick;
    uint64_t due_ns;      /* The earliest of all nodes; NSP_TIME_NEVER: none. */
    uint64_t rest_due_ns; /* The same of those not in the line. */
    uint64_t count;
    uint64_t levels_used;  /* Bit k: levels[k] is not empty. */
    uint64_t added_ns;     /* When the node added last is due. */
    uint64_t line_from_ns; /* No node due earlier joins the line. */
    struct nsp_run line;
    struct nsp_front front;
    struct nsp_allocator allocator;
    struct level levels[LEVELS];
};

static NSP_ALWAYS_INLINE void place(struct nsp_wheel *wheel,
                                    struct nsp_wheel_node *node);
static void advance(struct nsp_wheel *wheel, uint64_t to_tick);
static uint64_t line_due_ns(const struct nsp_wheel *wheel);
static NSP_ALWAYS_INLINE bool add_line(struct nsp_wheel *wheel,
                                       struct nsp_wheel_node *node);
static struct nsp_wheel_node *pop_alone(struct nsp_wheel *wheel);
static uint64_t levels_due_ns(const struct nsp_wheel *wheel);
static const struct slot *earliest_slot(const struct nsp_wheel *wheel);

int
nsp_wheel_create(const struct nsp_allocator *allocator, uint64_t now_ns,
                 struct nsp_wheel **ret)
{
    struct nsp_allocator memory = nsp_allocator_or_libc(allocator);
    struct nsp_wheel *wheel = nsp_alloc(&memory, 1, sizeof *wheel);

    if (!wheel)
        return -ENOMEM;
    wheel->allocator = memory;
    wheel->now_tick = now_ns >> TICK_BITS;
    wheel->due_ns = wheel->rest_due_ns = NSP_TIME_NEVER;
    *ret = wheel;
    return 0;
}

struct nsp_wheel *
nsp_wheel_destroy(struct nsp_wheel *wheel)
{
    if (wheel) {
        struct nsp_allocator memory = wheel->allocator;

        nsp_release(&memory, wheel);
    }
    return NULL;
}

void
nsp_wheel_add(struct nsp_wheel *wheel, struct nsp_wheel_node *node)
{
    assert(node->due_ns != NSP_TIME_NEVER);

    wheel->count++;
    wheel->due_ns = nsp_min_u64(wheel->due_ns, node->due_ns);
    if (add_line(wheel, node))
        return;
    wheel->rest_due_ns = nsp_min_u64(wheel->rest_due_ns, node->due_ns);
    place(wheel, node);
}

/* Whether nothing has to be done at 'now_tick' as nothing is due: 'now' may
 * stay behind within its slot of level 1. Further behind, what is added would
 * be put on a higher level than it needs. */
static bool
may_stay(const struct nsp_wheel *wheel, uint64_t now_tick)
{
    return now_tick >> LEVEL_BITS <= wheel->now_tick >> LEVEL_BITS;
}

/* Takes what is due from the front, and fills that if it is empty. Returns how
 * many nodes it took. */
static uint32_t
turn(struct nsp_wheel *wheel, uint64_t until_ns, struct nsp_wheel_node *ret[],
     uint32_t max)
{
    uint32_t popped = nsp_front_pop(&wheel->front, until_ns, ret, max);

    if (!nsp_front_is_empty(&wheel->front)) {
        wheel->rest_due_ns = nsp_front_due_ns(&wheel->front);
        return popped;
    }
    if (popped > 0) /* Else it is that of the levels already. */
        wheel->rest_due_ns = levels_due_ns(wheel);
    if (wheel->rest_due_ns <= until_ns)
        advance(wheel, wheel->rest_due_ns >> TICK_BITS);
    return popped;
}

/* Takes some of what is due not in the line. Returns how many nodes it took. */
static uint32_t
pop_rest(struct nsp_wheel *wheel, uint64_t until_ns,
         struct nsp_wheel_node *ret[], uint32_t max)
{
    struct nsp_wheel_node *alone = pop_alone(wheel);

    if (!alone)
        return turn(wheel, until_ns, ret, max);
    ret[0] = alone;
    return 1;
}

/* Expires where not only the line has what is due, or 'now' may not stay.
 * Apart, as that is seldom and what is saved for it costs more than to find
 * out. */
static NSP_NEVER_INLINE uint32_t
go_to(struct nsp_wheel *wheel, uint64_t now_ns, struct nsp_wheel_node *ret[],
      uint32_t max)
{
    uint32_t n = 0;

    if (max > wheel->count) /* Of none left, none is due at NSP_TIME_NEVER. */
        max = (uint32_t)wheel->count;
    while (n < max && wheel->due_ns <= now_ns) {
        uint64_t line_ns = line_due_ns(wheel);

        if (line_ns <= wheel->rest_due_ns)
            n += nsp_run_pop(&wheel->line,
                             nsp_min_u64(wheel->rest_due_ns, now_ns), ret + n,
                             max - n);
        else
            n += pop_rest(wheel, nsp_min_u64(line_ns - 1, now_ns), ret + n,
                          max - n);
        wheel->due_ns = nsp_min_u64(wheel->rest_due_ns, line_due_ns(wheel));
    }
    if (wheel->due_ns > now_ns && !may_stay(wheel, now_ns >> TICK_BITS))
        advance(wheel, now_ns >> TICK_BITS);
    wheel->count -= n;
    return n;
}

/* Expires where the line alone has what is due. */
static NSP_ALWAYS_INLINE uint32_t
expire_line(struct nsp_wheel *wheel, uint64_t now_ns,
            struct nsp_wheel_node *ret[], uint32_t max)
{
    uint32_t n = nsp_run_pop(&wheel->line, now_ns, ret, max);

    wheel->due_ns = nsp_min_u64(wheel->rest_due_ns, line_due_ns(wheel));
    wheel->count -= n;
    return n;
}

/* Expires where the front, in one run, alone has what is due, and more. */
static NSP_ALWAYS_INLINE uint32_t
expire_front(struct nsp_wheel *wheel, struct nsp_run *run, uint64_t now_ns,
             struct nsp_wheel_node *ret[], uint32_t max)
{
    uint32_t n = nsp_run_pop(run, now_ns, ret, max);

    wheel->rest_due_ns = run->first->due_ns;
    wheel->due_ns = nsp_min_u64(wheel->rest_due_ns, line_due_ns(wheel));
    wheel->count -= n;
    return n;
}

uint32_t
nsp_wheel_expire(struct nsp_wheel *wheel, uint64_t now_ns,
                 struct nsp_wheel_node *ret[], uint32_t max)
{
    struct nsp_run *run;

    if (max == 0 || !may_stay(wheel, now_ns >> TICK_BITS))
        return go_to(wheel, now_ns, ret, max);
    if (now_ns < wheel->due_ns)
        return 0;
    if (now_ns < wheel->rest_due_ns)
        return expire_line(wheel, now_ns, ret, max);
    run = nsp_front_only_run(&wheel->front);
    if (run && now_ns < run->last->due_ns && now_ns < line_due_ns(wheel))
        return expire_front(wheel, run, now_ns, ret, max);
    return go_to(wheel, now_ns, ret, max);
}

uint64_t
nsp_wheel_due_ns(const struct nsp_wheel *wheel)
{
    return wheel->due_ns;
}

uint64_t
nsp_wheel_count(const struct nsp_wheel *wheel)
{
    return wheel->count;
}

/* --- Line --- */

static uint64_t
line_due_ns(const struct nsp_wheel *wheel)
{
    return wheel->line.first ? wheel->line.first->due_ns : NSP_TIME_NEVER;
}

/* Returns false if 'node' does not belong there. */
static NSP_ALWAYS_INLINE bool
add_line(struct nsp_wheel *wheel, struct nsp_wheel_node *node)
{
    struct nsp_run *line = &wheel->line;
    bool overtakes = node->due_ns < wheel->added_ns;

    wheel->added_ns = node->due_ns;
    if (node->due_ns < wheel->line_from_ns) {
        uint64_t until_ns = node->due_ns + DISORDER_NS;

        /* Without a branch, which nobody could foresee. */
        wheel->line_from_ns =
            nsp_max_u64(wheel->line_from_ns, until_ns & -(uint64_t)overtakes);
        return false;
    }
    wheel->line_from_ns = node->due_ns;
    if (!line->first)
        line->first = node;
    else
        line->last->next = node;
    line->last = node;
    node->next = NULL;
    return true;
}

/* --- Levels --- */

static NSP_ALWAYS_INLINE void
add_slot(struct nsp_wheel *wheel, uint32_t k, uint64_t number,
         struct nsp_wheel_node *node)
{
    struct level *level = &wheel->levels[k];
    uint32_t i = (uint32_t)number & (SLOTS - 1);
    struct slot *slot = &level->slots[i];

    if (slot->last) {
        node->next = slot->last->next;
        slot->last->next = node;
        slot->min_due_ns = nsp_min_u64(slot->min_due_ns, node->due_ns);
    } else {
        node->next = node;
        slot->min_due_ns = node->due_ns;
        level->used[i / 64] |= UINT64_C(1) << i % 64;
        level->words_used |= UINT64_C(1) << i / 64;
        wheel->levels_used |= UINT64_C(1) << k;
    }
    slot->last = node;
}

/* Empties a slot and returns its last node, NULL if it was empty. */
static struct nsp_wheel_node *
take_slot(struct nsp_wheel *wheel, uint32_t k, uint64_t number)
{
    struct level *level = &wheel->levels[k];
    uint32_t i = (uint32_t)number & (SLOTS - 1);
    struct nsp_wheel_node *last = level->slots[i].last;

    if (!last)
        return NULL;
    level->slots[i].last = NULL;
    level->used[i / 64] &= ~(UINT64_C(1) << i % 64);
    if (level->used[i / 64] == 0)
        level->words_used &= ~(UINT64_C(1) << i / 64);
    if (level->words_used == 0)
        wheel->levels_used &= ~(UINT64_C(1) << k);
    return last;
}

/* Takes the earliest node if it has its slot to itself, is near, and nothing is
 * in the front: it would go there, only to leave. NULL if not. */
static struct nsp_wheel_node *
pop_alone(struct nsp_wheel *wheel)
{
    uint64_t tick = wheel->rest_due_ns >> TICK_BITS;
    struct nsp_wheel_node *node =
        wheel->levels[0].slots[tick & (SLOTS - 1)].last;
    const struct slot *next;

    if (!nsp_front_is_empty(&wheel->front) || (wheel->levels_used & 1) == 0 ||
        node->next != node || !may_stay(wheel, tick))
        return NULL;
    wheel->now_tick = tick;
    take_slot(wheel, 0, tick);
    next = earliest_slot(wheel);
    wheel->rest_due_ns = next ? next->min_due_ns : NSP_TIME_NEVER;
    if (next)
        nsp_prefetch(next->last);
    return node;
}

/* Puts 'node' on a level above 0. */
static NSP_NEVER_INLINE void
place_far(struct nsp_wheel *wheel, struct nsp_wheel_node *node)
{
    uint64_t tick = node->due_ns >> TICK_BITS;
    uint64_t now = wheel->now_tick;
    uint32_t k = 1;

    /* Ends at the top level at the latest, where both sides are 0. */
    while ((tick >> LEVEL_BITS * (k + 1)) - (now >> LEVEL_BITS * (k + 1)) > 1)
        k++;
    add_slot(wheel, k, tick >> LEVEL_BITS * k, node);
}

/* Puts 'node', of a tick that has not passed, where that and the wheel's say,
 * but not into the front. */
static NSP_ALWAYS_INLINE void
place_behind(struct nsp_wheel *wheel, struct nsp_wheel_node *node)
{
    uint64_t tick = node->due_ns >> TICK_BITS;

    if ((tick >> LEVEL_BITS) - (wheel->now_tick >> LEVEL_BITS) <= 1)
        add_slot(wheel, 0, tick, node);
    else
        place_far(wheel, node);
}

static NSP_ALWAYS_INLINE void
place(struct nsp_wheel *wheel, struct nsp_wheel_node *node)
{
    if (node->due_ns >> TICK_BITS <= wheel->now_tick)
        nsp_front_add(&wheel->front, node);
    else
        place_behind(wheel, node);
}

/* Those of the tick that 'now' enters go to level 0 as well: from there, all
 * at once, to the front. */
static void
cascade(struct nsp_wheel *wheel, uint32_t k, uint64_t number)
{
    struct nsp_wheel_node *last = take_slot(wheel, k, number);
    struct nsp_wheel_node *node, *next;

    if (!last)
        return;
    for (node = last->next; node != last; node = next) {
        next = node->next;
        place_behind(wheel, node);
    }
    place_behind(wheel, last);
}

/* Moves 'now' on. No node is earlier than 'to_tick', and the front is empty. */
static void
advance(struct nsp_wheel *wheel, uint64_t to_tick)
{
    uint64_t from_tick = wheel->now_tick;
    struct nsp_wheel_node *last;

    if (to_tick <= from_tick)
        return;
    wheel->now_tick = to_tick;
    for (uint32_t k = 1; k < LEVELS; k++) {
        uint64_t number = to_tick >> LEVEL_BITS * k;

        if (number == from_tick >> LEVEL_BITS * k)
            break;
        cascade(wheel, k, number);
        cascade(wheel, k, number + 1);
    }
    last = take_slot(wheel, 0, to_tick);
    if (last)
        nsp_front_fill(&wheel->front, last);
}

/* The first slot in use, counted from number 'from' and around. */
static uint32_t
first_slot(const struct level *level, uint64_t from)
{
    uint32_t start = (uint32_t)from & (SLOTS - 1);
    uint32_t word = start / 64;
    uint64_t bits = level->used[word] & UINT64_MAX << start % 64;

    if (bits == 0) {
        uint64_t words = level->words_used & UINT64_MAX << word << 1;

        word = nsp_ctz_u64(words != 0 ? words : level->words_used);
        bits = level->used[word];
    }
    return word * 64 + nsp_ctz_u64(bits);
}

/* The slot with the earliest node behind the front; NULL if there is none. */
static const struct slot *
earliest_slot(const struct nsp_wheel *wheel)
{
    const struct level *level;
    uint32_t k;

    if (wheel->levels_used == 0)
        return NULL;
    k = nsp_ctz_u64(wheel->levels_used);
    level = &wheel->levels[k];
    return &level->slots[first_slot(level, wheel->now_tick >> LEVEL_BITS * k)];
}

static uint64_t
levels_due_ns(const struct nsp_wheel *wheel)
{
    const struct slot *slot = earliest_slot(wheel);

    return slot ? slot->min_due_ns : NSP_TIME_NEVER;
}
