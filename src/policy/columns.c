#include "policy/columns.h"

#include "filter/filter_set.h"
#include "filter/ranges.h"
#include "netshaper/policy.h"
#include "packet/proto.h"

/* --- Shapes --------------------------------------------------------------- */

/* Ranges of a named set that a column tells apart. Ten thousand rules that each
 * ask for a set of so many take a second or two to index; a larger set is
 * looked up when a rule asks for it. */
#define SET_RANGES_MAX 128u

/* Within a word: a quarter for each enum nsp_l3, of which each nibble is a
 * direction, of which each bit is loopback and fragment. */
#define IN_EACH_L3(x)           ((x)*UINT64_C(0x0001000100010001))
#define OF_L3(l3)               (UINT64_C(0xffff) << (16 * (l3)))
#define OF_DIRECTION(direction) IN_EACH_L3(UINT64_C(0xf) << (4 * (direction)))
#define DIRECTIONS                                                             \
    (OF_DIRECTION(NSP_DIRECTION_NONE) | OF_DIRECTION(NSP_INBOUND) |            \
     OF_DIRECTION(NSP_OUTBOUND))
#define LOOPBACKS UINT64_C(0xcccccccccccccccc)
#define FRAGMENTS UINT64_C(0xaaaaaaaaaaaaaaaa)
#define IP        (OF_L3(NSP_L3_IPV4) | OF_L3(NSP_L3_IPV6))

static_assert(NSP_L4_ICMPV6 + 1 == NSP_SHAPE_WORDS && NSP_L3_ARP == 3,
              "shapes have no room for all headers");

const struct nsp_shapes nsp_all_shapes = { {
    [NSP_L4_NONE] = DIRECTIONS,
    [NSP_L4_TCP] = DIRECTIONS & IP,
    [NSP_L4_UDP] = DIRECTIONS & IP,
    [NSP_L4_ICMP] = DIRECTIONS & OF_L3(NSP_L3_IPV4),
    [NSP_L4_ICMPV6] = DIRECTIONS & OF_L3(NSP_L3_IPV6),
} };

/* Shapes that have 'pattern' in every word. */
static struct nsp_shapes
patterned(uint64_t pattern)
{
    struct nsp_shapes shapes = nsp_all_shapes;

    for (uint32_t i = 0; i < NSP_SHAPE_WORDS; i++)
        shapes.words[i] &= pattern;
    return shapes;
}

static struct nsp_shapes
with_l4(uint32_t l4)
{
    struct nsp_shapes shapes = { { 0 } };

    shapes.words[l4] = nsp_all_shapes.words[l4];
    return shapes;
}

struct nsp_shapes
nsp_shapes_of_apply(uint8_t apply)
{
    if (apply == NSP_APPLY_INBOUND)
        return patterned(OF_DIRECTION(NSP_INBOUND));
    if (apply == NSP_APPLY_OUTBOUND)
        return patterned(OF_DIRECTION(NSP_OUTBOUND));
    return nsp_all_shapes;
}

/* The shapes in which a field that the shape tells is 1. */
static struct nsp_shapes
shapes_of_bit(const struct nsp_field *field)
{
    if (field->fetch == NSP_FETCH_FLAG)
        return patterned(1u << field->shift == NSP_PKT_LOOPBACK ? LOOPBACKS
                                                                : FRAGMENTS);
    if (field->offset == offsetof(struct nsp_pkt, l4))
        return with_l4(field->arg);
    if (field->offset == offsetof(struct nsp_pkt, l3))
        return patterned(OF_L3(field->arg));
    return patterned(OF_DIRECTION(field->arg));
}

/* --- Fields --------------------------------------------------------------- */

static bool
is_in_shape(const struct nsp_field *field)
{
    if (field->fetch == NSP_FETCH_FLAG)
        return 1u << field->shift == NSP_PKT_LOOPBACK ||
               1u << field->shift == NSP_PKT_FRAGMENT;
    return field->fetch == NSP_FETCH_IS &&
           (field->offset == offsetof(struct nsp_pkt, l4) ||
            field->offset == offsetof(struct nsp_pkt, l3) ||
            field->offset == offsetof(struct nsp_pkt, direction));
}

/* The column that 'field' is part of; NSP_COLUMN_SHAPE if there is none. */
static enum nsp_column_kind
kind_of(const struct nsp_field *field)
{
    switch (field->fetch) {
    case NSP_FETCH_BYTE:
        return NSP_COLUMN_PROTOCOL;
    case NSP_FETCH_LOCAL_ADDR:
        return NSP_COLUMN_LOCAL_ADDR;
    case NSP_FETCH_REMOTE_ADDR:
        return NSP_COLUMN_REMOTE_ADDR;
    case NSP_FETCH_ADDR6:
        return field->offset == 8 ? NSP_COLUMN_SRC_ADDR : NSP_COLUMN_DST_ADDR;
    case NSP_FETCH_L3:
        if (field->type != NSP_TYPE_IPV4 || field->arg != NSP_L3_IPV4)
            return NSP_COLUMN_FIELD;
        return field->offset == 12 ? NSP_COLUMN_SRC_ADDR : NSP_COLUMN_DST_ADDR;
    case NSP_FETCH_L4:
        if (field->offset != 0 || field->bits != 16 ||
            (field->arg != NSP_L4_TCP && field->arg != NSP_L4_UDP))
            return NSP_COLUMN_FIELD;
        return field->shift == 16 ? NSP_COLUMN_SRC_PORT : NSP_COLUMN_DST_PORT;
    case NSP_FETCH_LENGTH:
    case NSP_FETCH_IFINDEX:
    case NSP_FETCH_PAYLOAD_LENGTH:
    case NSP_FETCH_LOCAL_PORT:
    case NSP_FETCH_REMOTE_PORT:
    case NSP_FETCH_MARK:
    case NSP_FETCH_UID:
    case NSP_FETCH_ETHER_TYPE:
    case NSP_FETCH_VLAN:
    case NSP_FETCH_MAC:
        return NSP_COLUMN_FIELD;
    default:
        return NSP_COLUMN_SHAPE;
    }
}

static bool
is_of(const struct nsp_column *column, const struct nsp_field *field)
{
    enum nsp_column_kind kind = kind_of(field);

    return kind == column->kind &&
           (kind != NSP_COLUMN_FIELD || field == column->field);
}

static bool
is_address(enum nsp_column_kind kind)
{
    return kind == NSP_COLUMN_SRC_ADDR || kind == NSP_COLUMN_DST_ADDR ||
           kind == NSP_COLUMN_LOCAL_ADDR || kind == NSP_COLUMN_REMOTE_ADDR;
}

static bool
is_port(enum nsp_column_kind kind)
{
    return kind == NSP_COLUMN_SRC_PORT || kind == NSP_COLUMN_DST_PORT;
}

/* --- Choice --------------------------------------------------------------- */

static struct nsp_domain
domain_of(const struct nsp_column *column, enum nsp_layer layer)
{
    struct nsp_domain domain = { .has = { true } };

    if (column->kind == NSP_COLUMN_PROTOCOL) {
        domain.max[NSP_PART_NARROW] = nsp_u128(UINT8_MAX);
    } else if (is_port(column->kind)) {
        domain.max[NSP_PART_NARROW] = nsp_u128(NSP_PORTS_OTHER + NSP_L4_ICMPV6);
    } else if (is_address(column->kind)) {
        domain.max[NSP_PART_NARROW] = nsp_u128(UINT32_MAX);
        domain.max[NSP_PART_WIDE] = NSP_U128_MAX;
        domain.has[NSP_PART_WIDE] = domain.has[NSP_PART_NONE] = true;
    } else {
        struct nsp_u128 span = nsp_field_range(column->field, layer).span;
        bool wide = column->field->bits > 32;

        domain.has[NSP_PART_NARROW] = !wide;
        domain.has[NSP_PART_WIDE] = wide;
        domain.max[wide ? NSP_PART_WIDE : NSP_PART_NARROW] = span;
        if (column->field->bits <= NSP_COLUMN_SMALL_BITS)
            domain.max[NSP_PART_NARROW] = nsp_u128(span.lo + 1);
        else
            domain.has[NSP_PART_NONE] = true;
    }
    return domain;
}

/* Adds a column for nsp_fields[i], and its uses to those of the column; in
 * place of the least used one if there is no room and it is used more. */
static void
offer(const struct nsp_column *column, uint32_t uses, uint32_t column_uses[],
      struct nsp_columns *ret)
{
    uint32_t at = ret->count;

    if (at == NSP_ARRAY_LEN(ret->at)) {
        at = 0;
        for (uint32_t i = 1; i < ret->count; i++)
            at = column_uses[i] < column_uses[at] ? i : at;
        if (column_uses[at] >= uses)
            return;
    } else {
        ret->count++;
    }
    ret->at[at] = *column;
    column_uses[at] = uses;
}

static bool
is_first_of_column(const struct nsp_column *column, uint32_t field)
{
    for (uint32_t i = 0; i < field; i++) {
        if (is_of(column, &nsp_fields[i]))
            return false;
    }
    return true;
}

void
nsp_columns_choose(const uint32_t uses[NSP_FIELDS_MAX], enum nsp_layer layer,
                   struct nsp_columns *ret)
{
    uint32_t column_uses[NSP_CLASSIFIER_COLUMNS_MAX];

    *ret = (struct nsp_columns){ 0 };
    for (uint32_t i = 0; i < nsp_field_count; i++) {
        const struct nsp_field *field = &nsp_fields[i];
        struct nsp_column column = { .kind = kind_of(field), .field = field };
        uint32_t sum = 0;

        if (column.kind == NSP_COLUMN_SHAPE || !is_first_of_column(&column, i))
            continue;
        for (uint32_t k = i; k < nsp_field_count; k++)
            sum += is_of(&column, &nsp_fields[k]) ? uses[k] : 0;
        if (sum == 0)
            continue;
        column.domain = domain_of(&column, layer);
        column.fetch = nsp_eval_fetch_insn(field, 0);
        offer(&column, sum, column_uses, ret);
    }
}

/* --- Tests ---------------------------------------------------------------- */

/* Appends the part of 'ranges' within first..last, as distances from first plus
 * 'base'. */
static void
append_within(struct nsp_value_set *set, enum nsp_part part,
              const struct nsp_range ranges[], uint32_t count,
              struct nsp_u128 first, struct nsp_u128 last, uint64_t base)
{
    for (uint32_t i = 0; i < count; i++) {
        struct nsp_u128 lo = ranges[i].lo, hi = ranges[i].hi;

        if (nsp_u128_less(hi, first) || nsp_u128_less(last, lo))
            continue;
        lo = nsp_u128_less(lo, first) ? first : lo;
        hi = nsp_u128_less(last, hi) ? last : hi;
        nsp_value_set_append(
            set, part, nsp_u128_add(nsp_u128_sub(lo, first), nsp_u128(base)),
            nsp_u128_add(nsp_u128_sub(hi, first), nsp_u128(base)));
    }
}

static const struct nsp_value_set *
passing_values(const struct nsp_column *column, const struct nsp_field *field,
               const struct nsp_range ranges[], uint32_t count,
               struct nsp_set_maker *maker)
{
    struct nsp_value_set *set = nsp_value_set_new(maker, 2 * count);
    enum nsp_part part = field->bits > 32 ? NSP_PART_WIDE : NSP_PART_NARROW;
    uint64_t base = 0;

    if (!set)
        return NULL;
    if (is_port(column->kind) && field->arg == NSP_L4_UDP)
        base = NSP_PORTS_UDP;
    /* An address of either version: IPv4 ones are mapped, but an IPv6 packet
     * may have such a one, too. */
    if (column->kind == NSP_COLUMN_LOCAL_ADDR ||
        column->kind == NSP_COLUMN_REMOTE_ADDR)
        append_within(set, NSP_PART_NARROW, ranges, count,
                      nsp_u128(NSP_IPV4_FIRST),
                      nsp_u128(NSP_IPV4_FIRST + UINT32_MAX), 0);
    append_within(set, part, ranges, count, nsp_u128(0), NSP_U128_MAX, base);
    return nsp_value_set_finish(set, &column->domain);
}

/* --- Named sets ----------------------------------------------------------- */

static uint32_t
count_set_ranges(const struct nsp_ir_test *test)
{
    struct nsp_prefix_set_info info;

    if (nsp_filter_set_kind_of(test->operand) == NSP_SET_PORTS)
        return nsp_named_set_list_ports(test->set->values, NULL);
    info = nsp_prefix_set_info(test->set->values->addresses);
    return info.ipv4_ranges + info.ipv6_ranges;
}

const struct nsp_field *
nsp_columns_field(const struct nsp_ir_test *test)
{
    if (test->set && count_set_ranges(test) <= SET_RANGES_MAX)
        return test->operand;
    return test->field;
}

/* Appends the set's addresses of one version, as packets of it have them: an
 * IPv4 address in an IPv6 packet is none of the set's. */
static void
append_addresses(struct nsp_value_set *set, const struct nsp_filter_set *named,
                 bool ipv6)
{
    struct nsp_prefix_set_info info =
        nsp_prefix_set_info(named->values->addresses);
    struct nsp_range ranges[SET_RANGES_MAX];

    nsp_filter_set_list_addresses(named, ipv6, ranges);
    append_within(set, ipv6 ? NSP_PART_WIDE : NSP_PART_NARROW, ranges,
                  ipv6 ? info.ipv6_ranges : info.ipv4_ranges, nsp_u128(0),
                  NSP_U128_MAX, 0);
}

/* The values of 'column' in the named set that 'test' asks about. */
static const struct nsp_value_set *
named_values(const struct nsp_column *column, const struct nsp_ir_test *test,
             struct nsp_set_maker *maker)
{
    const struct nsp_field *field = test->operand;
    bool sided = column->kind == NSP_COLUMN_LOCAL_ADDR ||
                 column->kind == NSP_COLUMN_REMOTE_ADDR;
    struct nsp_value_set *set;

    if (nsp_filter_set_kind_of(field) == NSP_SET_PORTS) {
        struct nsp_range ports[SET_RANGES_MAX];
        uint32_t count = nsp_named_set_list_ports(test->set->values, ports);

        return passing_values(column, field, ports, count, maker);
    }
    set = nsp_value_set_new(maker, SET_RANGES_MAX);
    if (!set)
        return NULL;
    if (sided || field->bits <= 32)
        append_addresses(set, test->set, false);
    if (sided || field->bits > 32)
        append_addresses(set, test->set, true);
    return nsp_value_set_finish(set, &column->domain);
}

/* Values of packets that have the field, and are in the set, or not, as 'test'
 * asks. */
static const struct nsp_value_set *
passing_members(const struct nsp_column *column, const struct nsp_ir *ir,
                const struct nsp_ir_test *test, struct nsp_set_maker *maker)
{
    const struct nsp_range *ranges = ir->ranges + test->first_range;
    const struct nsp_range all = {
        .hi = nsp_field_range(test->operand, ir->layer).span
    };
    const struct nsp_value_set *set = named_values(column, test, maker);

    if (!nsp_ranges_contain(ranges, test->range_count, nsp_u128(0)))
        return set;
    if (nsp_ranges_contain(ranges, test->range_count, nsp_u128(1)))
        return passing_values(column, test->operand, &all, 1, maker);
    return nsp_value_set_and(
        maker, nsp_value_set_not(maker, &column->domain, set),
        passing_values(column, test->operand, &all, 1, maker));
}

/* --- Constraints ---------------------------------------------------------- */

struct nsp_constraint
nsp_columns_constrain(const struct nsp_columns *columns,
                      const struct nsp_ir *ir, const struct nsp_ir_test *test,
                      struct nsp_set_maker *maker)
{
    struct nsp_constraint ret = { .kind = NSP_CONSTRAINT_UNKNOWN };
    const struct nsp_range *ranges = ir->ranges + test->first_range;
    const struct nsp_field *field = nsp_columns_field(test);

    if (test->operand && field != test->operand)
        return ret;
    if (field->fetch == NSP_FETCH_ZERO || field->fetch == NSP_FETCH_NEVER) {
        ret.kind = NSP_CONSTRAINT_CONSTANT;
        ret.passes = field->fetch == NSP_FETCH_ZERO &&
                     nsp_ranges_contain(ranges, test->range_count, nsp_u128(0));
        return ret;
    }
    if (is_in_shape(field)) {
        struct nsp_shapes ones = shapes_of_bit(field);
        struct nsp_shapes zeros = nsp_shapes_not(ones);

        ret.kind = NSP_CONSTRAINT_SHAPE;
        if (nsp_ranges_contain(ranges, test->range_count, nsp_u128(1)))
            ret.shapes = nsp_shapes_or(ret.shapes, &ones);
        if (nsp_ranges_contain(ranges, test->range_count, nsp_u128(0)))
            ret.shapes = nsp_shapes_or(ret.shapes, &zeros);
        return ret;
    }
    if (kind_of(field) == NSP_COLUMN_SHAPE)
        return ret;
    for (uint32_t i = 0; i < columns->count; i++) {
        if (!is_of(&columns->at[i], field))
            continue;
        ret.kind = NSP_CONSTRAINT_COLUMN;
        ret.column = i;
        ret.set = test->operand
                      ? passing_members(&columns->at[i], ir, test, maker)
                      : passing_values(&columns->at[i], field, ranges,
                                       test->range_count, maker);
        break;
    }
    return ret;
}

/* --- Shapes and values ---------------------------------------------------- */

static bool
has_number(const struct nsp_value_set *set, uint32_t lo, uint32_t hi)
{
    return nsp_value_set_meets(set, NSP_PART_NARROW, nsp_u128(lo),
                               nsp_u128(hi));
}

static bool
has_part(const struct nsp_value_set *set, enum nsp_part part)
{
    return nsp_value_set_meets(set, part, nsp_u128(0), NSP_U128_MAX);
}

/* Numbers in a column of ports that packets with transport 'l4' have. */
static void
numbers_of_l4(uint32_t l4, uint32_t *ret_lo, uint32_t *ret_hi)
{
    *ret_lo = l4 == NSP_L4_TCP   ? 0
              : l4 == NSP_L4_UDP ? NSP_PORTS_UDP
                                 : NSP_PORTS_OTHER + l4;
    *ret_hi =
        l4 == NSP_L4_TCP || l4 == NSP_L4_UDP ? *ret_lo + UINT16_MAX : *ret_lo;
}

static uint64_t
pattern_of_address(const struct nsp_column *column,
                   const struct nsp_value_set *set)
{
    bool sided = column->kind == NSP_COLUMN_LOCAL_ADDR ||
                 column->kind == NSP_COLUMN_REMOTE_ADDR;
    uint64_t able = sided ? ~OF_DIRECTION(NSP_DIRECTION_NONE) : UINT64_MAX;
    uint64_t pattern = 0;

    if (has_part(set, NSP_PART_NARROW))
        pattern |= able & OF_L3(NSP_L3_IPV4);
    if (has_part(set, NSP_PART_WIDE))
        pattern |= able & OF_L3(NSP_L3_IPV6);
    if (has_part(set, NSP_PART_NONE))
        pattern |= ~(able & IP);
    return pattern;
}

/* Shapes of packets that have the field of an own column, as far as the shape
 * tells; false if it does not. */
static bool
shapes_with_field(const struct nsp_field *field, struct nsp_shapes *ret)
{
    switch (field->fetch) {
    case NSP_FETCH_L3:
        *ret = patterned(OF_L3(field->arg));
        return true;
    case NSP_FETCH_L4:
    case NSP_FETCH_PAYLOAD_LENGTH:
        *ret = with_l4(field->arg);
        return true;
    case NSP_FETCH_LOCAL_PORT:
    case NSP_FETCH_REMOTE_PORT:
        *ret = patterned(~OF_DIRECTION(NSP_DIRECTION_NONE));
        return true;
    default:
        return false;
    }
}

static struct nsp_shapes
shapes_of_own(const struct nsp_column *column, const struct nsp_value_set *set)
{
    struct nsp_shapes with = nsp_all_shapes, without, ret = { { 0 } };
    uint32_t last = (uint32_t)column->domain.max[NSP_PART_NARROW].lo;
    bool small = column->field->bits <= NSP_COLUMN_SMALL_BITS;
    bool none =
        small ? has_number(set, last, last) : has_part(set, NSP_PART_NONE);
    bool some =
        small ? has_number(set, 0, last - 1)
              : has_part(set, NSP_PART_NARROW) || has_part(set, NSP_PART_WIDE);

    if (!shapes_with_field(column->field, &with))
        return with;
    without = nsp_shapes_not(with);
    if (some)
        ret = nsp_shapes_or(ret, &with);
    if (none)
        ret = nsp_shapes_or(ret, &without);
    return ret;
}

struct nsp_shapes
nsp_column_shapes(const struct nsp_column *column,
                  const struct nsp_value_set *set)
{
    static const uint8_t protocols[] = {
        [NSP_L4_TCP] = NSP_PROTO_TCP,
        [NSP_L4_UDP] = NSP_PROTO_UDP,
        [NSP_L4_ICMP] = NSP_PROTO_ICMP,
        [NSP_L4_ICMPV6] = NSP_PROTO_ICMPV6,
    };
    struct nsp_shapes ret = nsp_all_shapes;

    if (is_address(column->kind))
        return patterned(pattern_of_address(column, set));
    if (column->kind == NSP_COLUMN_FIELD)
        return shapes_of_own(column, set);
    for (uint32_t l4 = 0; l4 < NSP_SHAPE_WORDS; l4++) {
        uint32_t lo, hi;

        numbers_of_l4(l4, &lo, &hi);
        if (!is_port(column->kind))
            lo = hi = protocols[l4];
        if (!has_number(set, lo, hi) && (is_port(column->kind) || l4 != 0))
            ret.words[l4] = 0;
    }
    return ret;
}

const struct nsp_value_set *
nsp_column_restrict(const struct nsp_column *column,
                    const struct nsp_value_set *set,
                    const struct nsp_shapes *shapes,
                    struct nsp_set_maker *maker)
{
    static const uint8_t by_number[] = { NSP_L4_TCP, NSP_L4_UDP, NSP_L4_NONE,
                                         NSP_L4_ICMP, NSP_L4_ICMPV6 };
    struct nsp_value_set *able = nsp_value_set_new(maker, NSP_SHAPE_WORDS);
    uint64_t any = 0;

    if (!able)
        return set;
    for (uint32_t i = 0; i < NSP_SHAPE_WORDS; i++) {
        uint32_t l4 = by_number[i], lo, hi;

        any |= shapes->words[l4];
        numbers_of_l4(l4, &lo, &hi);
        if (is_port(column->kind) && shapes->words[l4] != 0)
            nsp_value_set_append(able, NSP_PART_NARROW, nsp_u128(lo),
                                 nsp_u128(hi));
    }
    if (!is_port(column->kind)) {
        if (any & OF_L3(NSP_L3_IPV4))
            nsp_value_set_append(able, NSP_PART_NARROW, nsp_u128(0),
                                 nsp_u128(UINT32_MAX));
        if (any & OF_L3(NSP_L3_IPV6))
            nsp_value_set_append(able, NSP_PART_WIDE, nsp_u128(0),
                                 NSP_U128_MAX);
        if (any & ~IP)
            nsp_value_set_append(able, NSP_PART_NONE, nsp_u128(0), nsp_u128(0));
    }
    return nsp_value_set_and(maker, nsp_value_set_finish(able, &column->domain),
                             set);
}
