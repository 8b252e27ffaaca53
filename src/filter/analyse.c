#include "filter/analyse.h"

#include <errno.h>

#include "filter/ranges.h"

const struct nsp_world nsp_stacks[NSP_STACKS] = {
    { .l3 = NSP_L3_NONE, .l4 = NSP_L4_NONE },
    { .l3 = NSP_L3_IPV4, .l4 = NSP_L4_NONE },
    { .l3 = NSP_L3_IPV4, .l4 = NSP_L4_TCP },
    { .l3 = NSP_L3_IPV4, .l4 = NSP_L4_UDP },
    { .l3 = NSP_L3_IPV4, .l4 = NSP_L4_ICMP },
    { .l3 = NSP_L3_IPV6, .l4 = NSP_L4_NONE },
    { .l3 = NSP_L3_IPV6, .l4 = NSP_L4_TCP },
    { .l3 = NSP_L3_IPV6, .l4 = NSP_L4_UDP },
    { .l3 = NSP_L3_IPV6, .l4 = NSP_L4_ICMPV6 },
};
#define DIRECTIONS 3 /* enum nsp_direction. */
#define WORLDS     (DIRECTIONS * NSP_STACKS)

/* Sets of worlds are bits of a word. */
static_assert(WORLDS <= 64, "too many worlds for a word");
#define ALL_WORLDS ((UINT64_C(1) << WORLDS) - 1)

static struct nsp_world
world_at(uint32_t i)
{
    struct nsp_world world = nsp_stacks[i / DIRECTIONS];

    world.direction = (uint8_t)(i % DIRECTIONS);
    return world;
}

bool
nsp_world_has(const struct nsp_world *world, enum nsp_field_need need)
{
    bool ip = world->l3 != NSP_L3_NONE;
    bool side = world->direction != NSP_DIRECTION_NONE;

    switch (need) {
    case NSP_NEED_NOTHING:
        return true;
    case NSP_NEED_IPV4:
        return world->l3 == NSP_L3_IPV4;
    case NSP_NEED_IPV6:
        return world->l3 == NSP_L3_IPV6;
    case NSP_NEED_TCP:
        return world->l4 == NSP_L4_TCP;
    case NSP_NEED_UDP:
        return world->l4 == NSP_L4_UDP;
    case NSP_NEED_ICMP:
        return world->l4 == NSP_L4_ICMP;
    case NSP_NEED_ICMPV6:
        return world->l4 == NSP_L4_ICMPV6;
    case NSP_NEED_IP:
    case NSP_NEED_FLOW:
        return ip;
    case NSP_NEED_SIDE:
        return side;
    case NSP_NEED_IP_SIDE:
        return ip && side;
    case NSP_NEED_ARP:
        return !ip;
    case NSP_NEED_MSS:
        return world->l4 == NSP_L4_TCP;
    case NSP_NEED_ETHERNET:
    case NSP_NEED_VLAN:
    case NSP_NEED_UID:
        return true;
    case NSP_NEED_EVENT:
        break;
    }
    return false;
}

/* Tells whether packets of a world that has 'need' may yet lack it. */
static bool
is_unsure(enum nsp_field_need need)
{
    return need >= NSP_NEED_ARP;
}

/* The value of a field that the world fixes; ARP is not told from other
 * protocols; false for any other field. */
static bool
known_value(const struct nsp_field *field, const struct nsp_world *world,
            uint64_t *ret)
{
    if (field->fetch == NSP_FETCH_ZERO) {
        *ret = 0;
        return true;
    }
    if (field->fetch != NSP_FETCH_IS)
        return false;
    if (field->offset == offsetof(struct nsp_pkt, l3) &&
        field->arg == NSP_L3_ARP && world->l3 == NSP_L3_NONE)
        return false;
    if (field->offset == offsetof(struct nsp_pkt, direction))
        *ret = world->direction == field->arg;
    else if (field->offset == offsetof(struct nsp_pkt, l3))
        *ret = world->l3 == field->arg;
    else
        *ret = world->l4 == field->arg;
    return true;
}

/* Tells whether 'world' may have all that 'test' reads. */
static bool
has_operands(const struct nsp_ir_test *test, const struct nsp_world *world)
{
    return nsp_world_has(world, (enum nsp_field_need)test->field->need) &&
           (!test->operand ||
            nsp_world_has(world, (enum nsp_field_need)test->operand->need)) &&
           (!test->other ||
            nsp_world_has(world, (enum nsp_field_need)test->other->need));
}

unsigned
nsp_world_outcome(const struct nsp_ir *ir, const struct nsp_ir_test *test,
                  const struct nsp_world *world)
{
    const struct nsp_range *ranges = ir->ranges + test->first_range;
    struct nsp_u128 span = nsp_field_range(test->field, ir->layer).span;
    uint64_t value;

    if (!has_operands(test, world))
        return NSP_MAY_FAIL;
    if (test->operand)
        return NSP_MAY_PASS | NSP_MAY_FAIL;
    if (known_value(test->field, world, &value))
        return nsp_ranges_contain(ranges, test->range_count, nsp_u128(value))
                   ? NSP_MAY_PASS
                   : NSP_MAY_FAIL;
    if (test->field->element_bytes == 0 &&
        !is_unsure((enum nsp_field_need)test->field->need) &&
        nsp_ranges_are_full(ranges, test->range_count, span))
        return NSP_MAY_PASS;
    return NSP_MAY_PASS | NSP_MAY_FAIL;
}

static void
note_field(const struct nsp_field *field, struct nsp_filter_needs *needs)
{
    needs->payload |= field->fetch == NSP_FETCH_BYTES;
    needs->timestamp |= field->fetch == NSP_FETCH_TIMESTAMP;
    needs->random |= field->fetch == NSP_FETCH_RANDOM;
    needs->flow |= field->need == NSP_NEED_FLOW;
}

/* Worlds that reach each end of the graph. */
struct ends {
    uint64_t accept, reject;
};

static void
add_worlds(struct ends *ends, uint64_t reach[], uint32_t target,
           uint64_t worlds)
{
    if (target == NSP_IR_ACCEPT)
        ends->accept |= worlds;
    else if (target == NSP_IR_REJECT)
        ends->reject |= worlds;
    else
        reach[target] |= worlds;
}

/* 'reach' holds, for each test, the worlds in which it may be executed. */
static struct ends
walk(const struct nsp_ir *ir, uint64_t reach[], struct nsp_filter_needs *needs)
{
    struct ends ends = { 0, 0 };

    add_worlds(&ends, reach, ir->entry, ALL_WORLDS);
    for (uint32_t i = 0; i < ir->count; i++) {
        const struct nsp_ir_test *test = &ir->tests[i];
        uint64_t pass = 0, fail = 0;

        if (reach[i] == 0)
            continue;
        note_field(test->field, needs);
        if (test->operand)
            note_field(test->operand, needs);
        if (test->other)
            note_field(test->other, needs);
        for (uint32_t w = 0; w < WORLDS; w++) {
            uint64_t bit = UINT64_C(1) << w;
            struct nsp_world world = world_at(w);
            unsigned outcome;

            if (!(reach[i] & bit))
                continue;
            outcome = nsp_world_outcome(ir, test, &world);
            pass |= outcome & NSP_MAY_PASS ? bit : 0;
            fail |= outcome & NSP_MAY_FAIL ? bit : 0;
        }
        add_worlds(&ends, reach, test->success, pass);
        add_worlds(&ends, reach, test->failure, fail);
    }
    return ends;
}

int
nsp_filter_analyse(const struct nsp_ir *ir,
                   const struct nsp_allocator *allocator,
                   struct nsp_filter_needs *ret)
{
    struct nsp_filter_needs needs = { .tests = ir->count };
    uint64_t *reach;
    struct ends ends;

    reach = nsp_alloc(allocator, ir->count + 1, sizeof reach[0]);
    if (!reach)
        return -ENOMEM;
    ends = walk(ir, reach, &needs);
    nsp_release(allocator, reach);

    needs.never = ends.accept == 0;
    needs.always = ends.reject == 0;
    for (uint32_t w = 0; w < WORLDS; w++) {
        struct nsp_world world = world_at(w);

        if (!(ends.accept >> w & 1))
            continue;
        needs.inbound |= world.direction == NSP_INBOUND;
        needs.outbound |= world.direction == NSP_OUTBOUND;
        needs.ipv4 |= world.l3 == NSP_L3_IPV4;
        needs.ipv6 |= world.l3 == NSP_L3_IPV6;
    }
    *ret = needs;
    return 0;
}
