#include "filter/lower.h"

#include <errno.h>

#include "filter/ranges.h"

/* --- Words --------------------------------------------------------------- */

void
nsp_lower_place(struct nsp_lowering *l, uint32_t label)
{
    nsp_code_place(l->code, label);
    l->x = NSP_SLOT_NONE;
}

/* How to load a slot: two need no memory where there is no link header. */
static unsigned
mode_of(const struct nsp_lowering *l, enum nsp_slot slot)
{
    if (nsp_lower_is_raw(l) && slot == NSP_SLOT_L3)
        return NSP_BPF_IMM;
    if (nsp_lower_is_raw(l) && slot == NSP_SLOT_WIRE)
        return NSP_BPF_LEN;
    return NSP_BPF_MEM;
}

void
nsp_lower_load(struct nsp_lowering *l, enum nsp_slot slot)
{
    unsigned mode = mode_of(l, slot);

    nsp_code_op(l->code, NSP_BPF_LD | mode, mode == NSP_BPF_MEM ? slot : 0);
}

void
nsp_lower_load_x(struct nsp_lowering *l, enum nsp_slot slot)
{
    unsigned mode = mode_of(l, slot);

    if (l->x == slot)
        return;
    nsp_code_op(l->code, NSP_BPF_LDX | mode, mode == NSP_BPF_MEM ? slot : 0);
    l->x = slot;
}

void
nsp_lower_store(struct nsp_lowering *l, enum nsp_slot slot)
{
    nsp_code_op(l->code, NSP_BPF_ST, slot);
    if (l->x == slot)
        l->x = NSP_SLOT_NONE;
}

void
nsp_lower_set_slot(struct nsp_lowering *l, enum nsp_slot slot, uint32_t value)
{
    nsp_code_op(l->code, NSP_BPF_LD | NSP_BPF_IMM, value);
    nsp_lower_store(l, slot);
}

void
nsp_lower_fetch(struct nsp_lowering *l, unsigned size, enum nsp_slot base,
                uint32_t offset)
{
    unsigned mode = NSP_BPF_ABS;

    if (base != NSP_SLOT_L3 || !nsp_lower_is_raw(l)) {
        nsp_lower_load_x(l, base);
        mode = NSP_BPF_IND;
    }
    nsp_code_op(l->code, NSP_BPF_LD | size | mode, offset);
}

void
nsp_lower_alu(struct nsp_lowering *l, unsigned op, uint32_t k)
{
    nsp_code_op(l->code, NSP_BPF_ALU | op, k);
}

/* The way on is reached from here alone: X stays known. */
void
nsp_lower_goto_if(struct nsp_lowering *l, unsigned condition, uint32_t k,
                  uint32_t target)
{
    uint32_t next = nsp_code_label(l->code);

    nsp_code_jump(l->code, condition, k, target, next);
    nsp_code_place(l->code, next);
}

void
nsp_lower_goto_unless(struct nsp_lowering *l, unsigned condition, uint32_t k,
                      uint32_t target)
{
    uint32_t next = nsp_code_label(l->code);

    nsp_code_jump(l->code, condition, k, next, target);
    nsp_code_place(l->code, next);
}

void
nsp_lower_min(struct nsp_lowering *l, enum nsp_slot slot)
{
    uint32_t more = nsp_code_label(l->code), next = nsp_code_label(l->code);

    nsp_lower_load_x(l, slot);
    nsp_code_jump(l->code, NSP_BPF_JGT | NSP_BPF_X, 0, more, next);
    nsp_code_place(l->code, more);
    nsp_code_op(l->code, NSP_BPF_MISC | NSP_BPF_TXA, 0);
    nsp_code_place(l->code, next);
}

uint32_t
nsp_lower_label(const struct nsp_lowering *l, uint32_t target)
{
    if (target >= NSP_IR_REJECT)
        return target == NSP_IR_ACCEPT ? NSP_CODE_ACCEPT : NSP_CODE_REJECT;
    return l->first_test + target;
}

/* --- What a test reads --------------------------------------------------- */

static bool
can_read(const struct nsp_field *field, const struct nsp_lower_target *target)
{
    unsigned facts = target->site->facts;

    switch (field->fetch) {
    case NSP_FETCH_NEVER:
    case NSP_FETCH_ZERO:
    case NSP_FETCH_LENGTH:
    case NSP_FETCH_L4:
    case NSP_FETCH_PAYLOAD_LENGTH:
    case NSP_FETCH_BYTES:
    case NSP_FETCH_ADDR6:
        return true;
    case NSP_FETCH_IS:
        if (field->offset == offsetof(struct nsp_pkt, direction))
            return facts & NSP_SITE_DIRECTION;
        return field->offset == offsetof(struct nsp_pkt, l4) ||
               (field->offset == offsetof(struct nsp_pkt, l3) &&
                field->arg != NSP_L3_ARP);
    case NSP_FETCH_L3:
        return field->arg != NSP_L3_ARP;
    case NSP_FETCH_BYTE:
        return field->offset == offsetof(struct nsp_pkt, ip_proto);
    case NSP_FETCH_FLAG:
        return 1u << field->shift == NSP_PKT_FRAGMENT ||
               (1u << field->shift == NSP_PKT_LOOPBACK &&
                (facts & NSP_SITE_LOOPBACK));
    case NSP_FETCH_IFINDEX:
        return target->reads_ifindex || (facts & NSP_SITE_IFINDEX);
    case NSP_FETCH_LOCAL_PORT:
    case NSP_FETCH_REMOTE_PORT:
    case NSP_FETCH_LOCAL_ADDR:
    case NSP_FETCH_REMOTE_ADDR:
        return facts & NSP_SITE_DIRECTION;
    default:
        return false;
    }
}

struct telling {
    const struct nsp_lower_target *target;
    const struct nsp_ir *ir;
};

static bool
can_tell(const struct nsp_ir_test *test, const void *arg)
{
    const struct telling *telling = arg;

    if (!test->set)
        return can_read(test->field, telling->target);
    return can_read(test->operand, telling->target) &&
           nsp_lower_can_look_up(telling->target, telling->ir, test->operand,
                                 test->set);
}

/* What a test that is not widened reads. */
static const struct nsp_field *
field_of(const struct nsp_ir_test *test)
{
    return test->set ? test->operand : test->field;
}

/* The stacks with network header 'l3', with transport header 'l4'. */
static uint32_t
stacks_with_l3(enum nsp_l3 l3)
{
    uint32_t set = 0;

    for (uint32_t s = 0; s < NSP_STACKS; s++)
        set |= nsp_stacks[s].l3 == l3 ? 1u << s : 0;
    return set;
}

static uint32_t
stacks_with_l4(enum nsp_l4 l4)
{
    uint32_t set = 0;

    for (uint32_t s = 0; s < NSP_STACKS; s++)
        set |= nsp_stacks[s].l4 == l4 ? 1u << s : 0;
    return set;
}

#define SLOT(name) (1u << NSP_SLOT_##name)

/* Slots that reading 'field' takes for packets of the stacks 'having'. */
static uint32_t
slots_of(const struct nsp_field *field, uint32_t having)
{
    uint32_t ipv4 = stacks_with_l3(NSP_L3_IPV4);
    uint32_t none = stacks_with_l4(NSP_L4_NONE);

    switch (field->fetch) {
    case NSP_FETCH_L4:
        return SLOT(L4);
    case NSP_FETCH_LENGTH:
        return SLOT(END);
    case NSP_FETCH_PAYLOAD_LENGTH:
        return SLOT(END) | SLOT(PAYLOAD);
    case NSP_FETCH_BYTES:
        return SLOT(END) | (field->arg == 0 ? 0 : SLOT(PAYLOAD));
    case NSP_FETCH_BYTE:
        return SLOT(PROTO);
    case NSP_FETCH_FLAG:
        return 1u << field->shift == NSP_PKT_FRAGMENT ? SLOT(FRAGMENT) : 0;
    case NSP_FETCH_LOCAL_PORT:
    case NSP_FETCH_REMOTE_PORT:
        return (having & ~none) != 0 ? SLOT(L4) | SLOT(STACK) : 0;
    case NSP_FETCH_LOCAL_ADDR:
    case NSP_FETCH_REMOTE_ADDR:
        return (having & ipv4) != 0 && (having & ~ipv4) != 0 ? SLOT(STACK) : 0;
    default:
        return 0;
    }
}

static uint32_t
slots_of_residue(const struct nsp_residue *residue)
{
    uint32_t slots = 0;

    for (uint32_t i = 0; i < residue->ir->count; i++) {
        const struct nsp_residue_test *test = &residue->tests[i];

        if (test->having != 0 && test->lacking != 0)
            slots |= SLOT(STACK);
        if (test->is_open)
            slots |= slots_of(field_of(&residue->ir->tests[i]), test->having);
    }
    return slots;
}

/* --- Tests --------------------------------------------------------------- */

/* A = the field's bits of the word at 'base', read no wider than need be. */
static void
fetch_bits(struct nsp_lowering *l, const struct nsp_field *field,
           enum nsp_slot base)
{
    if (field->bits == 32) {
        nsp_lower_fetch(l, NSP_BPF_W, base, field->offset);
    } else if (field->bits == 16 && field->shift % 16 == 0) {
        nsp_lower_fetch(l, NSP_BPF_H, base,
                        field->offset + (field->shift == 0 ? 2u : 0));
    } else if (field->bits == 8 && field->shift % 8 == 0) {
        nsp_lower_fetch(l, NSP_BPF_B, base,
                        field->offset + 3u - field->shift / 8u);
    } else {
        nsp_lower_fetch(l, NSP_BPF_W, base, field->offset);
        if (field->shift > 0)
            nsp_lower_alu(l, NSP_BPF_RSH, field->shift);
        nsp_lower_alu(l, NSP_BPF_AND, UINT32_MAX >> (32 - field->bits));
    }
}

/* A = the bytes at 'position' of an indexed field; to 'fail' if they are not
 * all within it. */
static void
fetch_bytes(struct nsp_lowering *l, const struct nsp_field *field,
            int32_t position, uint32_t fail)
{
    enum nsp_slot start = field->arg == 0 ? NSP_SLOT_L3 : NSP_SLOT_PAYLOAD;
    uint32_t bytes = field->element_bytes;
    unsigned size = bytes == 1 ? NSP_BPF_B : bytes == 2 ? NSP_BPF_H : NSP_BPF_W;
    uint32_t back = position < 0 ? (uint32_t)-position : 0;

    nsp_lower_load(l, start);
    nsp_lower_alu(l, NSP_BPF_ADD,
                  position < 0 ? back : (uint32_t)position + bytes);
    nsp_lower_load_x(l, NSP_SLOT_END);
    nsp_lower_goto_if(l, NSP_BPF_JGT | NSP_BPF_X, 0, fail);
    if (position >= 0) {
        nsp_lower_fetch(l, size, start, (uint32_t)position);
        return;
    }
    nsp_lower_load(l, NSP_SLOT_END);
    nsp_lower_alu(l, NSP_BPF_SUB, back);
    nsp_code_op(l->code, NSP_BPF_MISC | NSP_BPF_TAX, 0);
    l->x = NSP_SLOT_NONE;
    nsp_code_op(l->code, NSP_BPF_LD | size | NSP_BPF_IND, 0);
}

static bool
is_of_source(const struct nsp_lowering *l, const struct nsp_field *field)
{
    bool local = field->fetch == NSP_FETCH_LOCAL_PORT ||
                 field->fetch == NSP_FETCH_LOCAL_ADDR;

    return local == (l->site->direction == NSP_OUTBOUND);
}

/* A = the port of this machine or the other side, as the evaluator has it. */
static void
fetch_port(struct nsp_lowering *l, const struct nsp_field *field,
           uint32_t having)
{
    uint32_t ported = stacks_with_l4(NSP_L4_TCP) | stacks_with_l4(NSP_L4_UDP);
    uint32_t typed =
        stacks_with_l4(NSP_L4_ICMP) | stacks_with_l4(NSP_L4_ICMPV6);
    uint32_t is_typed = nsp_code_label(l->code);
    uint32_t is_ported = nsp_code_label(l->code);
    uint32_t done = nsp_code_label(l->code);
    bool of_source = is_of_source(l, field);

    if (having & (ported | typed)) {
        nsp_lower_load(l, NSP_SLOT_STACK);
        nsp_lower_goto_if(l, NSP_BPF_JSET, ported, is_ported);
        if (of_source)
            nsp_lower_goto_if(l, NSP_BPF_JSET, typed, is_typed);
    }
    nsp_code_op(l->code, NSP_BPF_LD | NSP_BPF_IMM, 0);
    nsp_code_goto(l->code, done);
    if (having & (ported | typed)) {
        nsp_lower_place(l, is_typed);
        nsp_lower_fetch(l, NSP_BPF_B, NSP_SLOT_L4, 0);
        nsp_code_goto(l->code, done);
        nsp_lower_place(l, is_ported);
        nsp_lower_fetch(l, NSP_BPF_H, NSP_SLOT_L4, of_source ? 0 : 2);
    }
    nsp_lower_place(l, done);
}

/* A = the field, of at most 32 bits. */
static void
fetch_field(struct nsp_lowering *l, const struct nsp_ir_test *test,
            uint32_t having, uint32_t fail)
{
    const struct nsp_field *field = field_of(test);

    switch (field->fetch) {
    case NSP_FETCH_L3:
        fetch_bits(l, field, NSP_SLOT_L3);
        break;
    case NSP_FETCH_L4:
        fetch_bits(l, field, NSP_SLOT_L4);
        break;
    case NSP_FETCH_BYTE:
        nsp_lower_load(l, NSP_SLOT_PROTO);
        break;
    case NSP_FETCH_FLAG:
        if (1u << field->shift == NSP_PKT_FRAGMENT)
            nsp_lower_load(l, NSP_SLOT_FRAGMENT);
        else
            nsp_code_op(l->code, NSP_BPF_LD | NSP_BPF_IMM, l->site->loopback);
        break;
    case NSP_FETCH_IFINDEX:
        if (l->site->facts & NSP_SITE_IFINDEX)
            nsp_code_op(l->code, NSP_BPF_LD | NSP_BPF_IMM, l->site->ifindex);
        else
            nsp_code_op(l->code, NSP_BPF_LD | NSP_BPF_ABS, NSP_BPF_IFINDEX);
        break;
    case NSP_FETCH_LENGTH:
    case NSP_FETCH_PAYLOAD_LENGTH:
        nsp_lower_load_x(l, field->fetch == NSP_FETCH_LENGTH
                                ? NSP_SLOT_L3
                                : NSP_SLOT_PAYLOAD);
        nsp_lower_load(l, NSP_SLOT_END);
        nsp_lower_alu(l, NSP_BPF_SUB | NSP_BPF_X, 0);
        break;
    case NSP_FETCH_BYTES:
        fetch_bytes(l, field, test->position, fail);
        break;
    default:
        fetch_port(l, field, having);
        break;
    }
}

/* Where a test goes by its value, which is 1 in a named set and else 0. */
static uint32_t
side_of(const struct nsp_lowering *l, const struct nsp_ir_test *test,
        bool inside, uint32_t pass, uint32_t fail)
{
    return nsp_ranges_contain(l->residue->ir->ranges + test->first_range,
                              test->range_count, nsp_u128(inside))
               ? pass
               : fail;
}

/* The address at 'offset' of the network header. */
static void
lower_addr(struct nsp_lowering *l, const struct nsp_ir_test *test, bool ipv6,
           uint32_t offset, uint32_t pass, uint32_t fail)
{
    const struct nsp_range *ranges = l->residue->ir->ranges + test->first_range;

    if (test->set)
        nsp_lower_find_address(l, test->set, ipv6, offset,
                               side_of(l, test, true, pass, fail),
                               side_of(l, test, false, pass, fail));
    else if (ipv6)
        nsp_lower_set128(l, ranges, test->range_count, NSP_SLOT_L3, offset,
                         pass, fail);
    else
        nsp_lower_set_mapped(l, ranges, test->range_count, NSP_SLOT_L3, offset,
                             pass, fail);
}

/* Addresses of this machine or the other side, of either version. */
static void
lower_side_addr(struct nsp_lowering *l, const struct nsp_ir_test *test,
                uint32_t having, uint32_t pass, uint32_t fail)
{
    uint32_t ipv4 = stacks_with_l3(NSP_L3_IPV4);
    bool of_source = is_of_source(l, field_of(test));
    uint32_t is_ipv4 = nsp_code_label(l->code);
    uint32_t is_ipv6 = nsp_code_label(l->code);

    if ((having & ipv4) && (having & ~ipv4)) {
        nsp_lower_load(l, NSP_SLOT_STACK);
        nsp_code_jump(l->code, NSP_BPF_JSET, ipv4, is_ipv4, is_ipv6);
    }
    nsp_lower_place(l, is_ipv4);
    if (having & ipv4)
        lower_addr(l, test, false, of_source ? 12 : 16, pass, fail);
    nsp_lower_place(l, is_ipv6);
    if (having & ~ipv4)
        lower_addr(l, test, true, of_source ? 8 : 24, pass, fail);
}

static void
lower_value(struct nsp_lowering *l, const struct nsp_ir_test *test,
            uint32_t having, uint32_t pass, uint32_t fail)
{
    const struct nsp_range *ranges = l->residue->ir->ranges + test->first_range;
    const struct nsp_field *field = field_of(test);

    if (field->fetch == NSP_FETCH_LOCAL_ADDR ||
        field->fetch == NSP_FETCH_REMOTE_ADDR) {
        lower_side_addr(l, test, having, pass, fail);
    } else if (field->fetch == NSP_FETCH_ADDR6 ||
               (test->set && field->type == NSP_TYPE_IPV4)) {
        lower_addr(l, test, field->fetch == NSP_FETCH_ADDR6, field->offset,
                   pass, fail);
    } else if (test->set) {
        fetch_field(l, test, having, fail);
        nsp_lower_find_port(l, test->set, side_of(l, test, true, pass, fail),
                            side_of(l, test, false, pass, fail));
    } else {
        fetch_field(l, test, having, fail);
        nsp_lower_set32(l, ranges, test->range_count,
                        UINT32_MAX >> (32 - field->bits), pass, fail);
    }
}

static void
lower_test(struct nsp_lowering *l, uint32_t i)
{
    const struct nsp_residue_test *test = &l->residue->tests[i];
    uint32_t pass = nsp_lower_label(l, test->pass);

    nsp_lower_place(l, l->first_test + i);
    if (test->lacking != 0) {
        nsp_lower_load(l, NSP_SLOT_STACK);
        nsp_lower_goto_if(l, NSP_BPF_JSET, test->lacking,
                          nsp_lower_label(l, test->lack));
    }
    if (test->is_open)
        lower_value(l, &l->residue->ir->tests[i], test->having, pass,
                    nsp_lower_label(l, test->fail));
    else
        nsp_code_goto(l->code, pass);
}

static int
lower_residue(struct nsp_lowering *l)
{
    uint32_t count = l->residue->ir->count;

    l->uses = slots_of_residue(l->residue);
    l->first_test = l->code->label_count;
    for (uint32_t i = 0; i < count; i++)
        nsp_code_label(l->code);
    if (l->code->overflow)
        return -E2BIG;
    nsp_lower_headers(l);
    for (uint32_t i = 0; i < count; i++) {
        if (l->residue->tests[i].having != 0)
            lower_test(l, i);
    }
    return nsp_code_finish(l->code);
}

int
nsp_lower(const struct nsp_ir *ir, const struct nsp_lower_target *target,
          const struct nsp_allocator *allocator, struct nsp_code *code,
          struct nsp_widened *ret_widened)
{
    const struct telling telling = { target, ir };
    struct nsp_residue residue;
    struct nsp_lowering l = {
        .code = code,
        .residue = &residue,
        .target = target,
        .site = target->site,
        .x = NSP_SLOT_NONE,
    };
    int r = nsp_residue_build(ir, target->site, can_tell, &telling, allocator,
                              &residue);

    l.ranges =
        nsp_alloc(allocator, target->set_ranges_max + 1, sizeof l.ranges[0]);
    if (!l.ranges)
        r = -ENOMEM;
    if (target->maps)
        target->maps->count = 0;
    if (r == 0)
        r = lower_residue(&l);
    if (r == 0) {
        *ret_widened = (struct nsp_widened){ .exact = true };
        if (l.extensions_widened) {
            ret_widened->exact = false;
            ret_widened->names[ret_widened->count++] = NSP_WIDENED_EXTENSIONS;
        }
        nsp_residue_list_widened(&residue, ret_widened);
    }
    nsp_release(allocator, l.ranges);
    nsp_residue_fini(&residue, allocator);
    return r;
}

int
nsp_lower_to_fit(const struct nsp_ir *ir, struct nsp_lower_target *target,
                 int (*attempt)(const struct nsp_lower_target *target,
                                void *arg),
                 void *arg)
{
    static const uint32_t extensions[] = { NSP_LOWER_EXTENSIONS_MAX, 4, 1, 0 };
    uint32_t rounds = ir->set_count > 0 ? 2 : 1;
    int r = -E2BIG;

    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t i = 0; i < NSP_ARRAY_LEN(extensions); i++) {
            target->extensions_max = extensions[i];
            r = attempt(target, arg);
            if (r != -E2BIG)
                return r;
        }
        target->set_ranges_max = 0;
    }
    return r;
}
