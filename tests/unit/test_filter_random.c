/* Random filters on random packets, against a reference that shares no code
 * with the compiler: it keeps the expression it wrote the text from, and walks
 * it. */
#include "base/prng.h"
#include "tests/lib/filter.h"

#define FILTERS      4000
#define NODES_MAX    48
#define TEXT_BYTES   8192
#define SET_MAX      4
#define CONTEXT_SEED 99

/* --- Expressions --------------------------------------------------------- */

enum kind { TEST_LEAF, AND, OR, CONDITIONAL, NOT };

/* Where a field begins, in bits from the start of its header. */
enum base { VALUE, IP4, IP6, TCP, UDP, ICMP, ICMPV6, ELEMENT };

struct field {
    const char *name;
    enum base base;
    unsigned bit, bits;
};

/* Bit positions as in the RFCs' diagrams. */
static const struct field fields[] = {
    { "ip.HdrLength", IP4, 4, 4 },
    { "ip.TOS", IP4, 8, 8 },
    { "ip.Length", IP4, 16, 16 },
    { "ip.Id", IP4, 32, 16 },
    { "ip.DF", IP4, 49, 1 },
    { "ip.MF", IP4, 50, 1 },
    { "ip.FragOff", IP4, 51, 13 },
    { "ip.TTL", IP4, 64, 8 },
    { "ip.Protocol", IP4, 72, 8 },
    { "ip.Checksum", IP4, 80, 16 },
    { "ip.SrcAddr", IP4, 96, 32 },
    { "ip.DstAddr", IP4, 128, 32 },
    { "ipv6.TrafficClass", IP6, 4, 8 },
    { "ipv6.FlowLabel", IP6, 12, 20 },
    { "ipv6.Length", IP6, 32, 16 },
    { "ipv6.NextHdr", IP6, 48, 8 },
    { "ipv6.HopLimit", IP6, 56, 8 },
    { "ipv6.SrcAddr", IP6, 64, 128 },
    { "ipv6.DstAddr", IP6, 192, 128 },
    { "icmp.Type", ICMP, 0, 8 },
    { "icmp.Code", ICMP, 8, 8 },
    { "icmp.Checksum", ICMP, 16, 16 },
    { "icmp.Body", ICMP, 32, 32 },
    { "icmpv6.Type", ICMPV6, 0, 8 },
    { "icmpv6.Code", ICMPV6, 8, 8 },
    { "icmpv6.Checksum", ICMPV6, 16, 16 },
    { "icmpv6.Body", ICMPV6, 32, 32 },
    { "tcp.SrcPort", TCP, 0, 16 },
    { "tcp.DstPort", TCP, 16, 16 },
    { "tcp.SeqNum", TCP, 32, 32 },
    { "tcp.AckNum", TCP, 64, 32 },
    { "tcp.HdrLength", TCP, 96, 4 },
    { "tcp.Urg", TCP, 106, 1 },
    { "tcp.Ack", TCP, 107, 1 },
    { "tcp.Psh", TCP, 108, 1 },
    { "tcp.Rst", TCP, 109, 1 },
    { "tcp.Syn", TCP, 110, 1 },
    { "tcp.Fin", TCP, 111, 1 },
    { "tcp.Window", TCP, 112, 16 },
    { "tcp.Checksum", TCP, 128, 16 },
    { "tcp.UrgPtr", TCP, 144, 16 },
    { "udp.SrcPort", UDP, 0, 16 },
    { "udp.DstPort", UDP, 16, 16 },
    { "udp.Length", UDP, 32, 16 },
    { "udp.Checksum", UDP, 48, 16 },
    { "ip.Dscp", IP4, 8, 6 },
    { "ip.Ecn", IP4, 14, 2 },
    { "ipv6.Dscp", IP6, 4, 6 },
    { "ipv6.Ecn", IP6, 10, 2 },
    { "icmp.Id", ICMP, 32, 16 },
    { "icmpv6.Seq", ICMPV6, 48, 16 },
    { "tcp.Ece", TCP, 105, 1 },
    { "tcp.Cwr", TCP, 104, 1 },
    { "tcp.Flags", TCP, 104, 8 },
    { "packet", ELEMENT, 0, 8 },
    { "packet16", ELEMENT, 0, 16 },
    { "packet32", ELEMENT, 0, 32 },
    { "tcp.Payload", ELEMENT, NSP_L4_TCP, 8 },
    { "tcp.Payload16", ELEMENT, NSP_L4_TCP, 16 },
    { "tcp.Payload32", ELEMENT, NSP_L4_TCP, 32 },
    { "udp.Payload", ELEMENT, NSP_L4_UDP, 8 },
    { "udp.Payload16", ELEMENT, NSP_L4_UDP, 16 },
    { "udp.Payload32", ELEMENT, NSP_L4_UDP, 32 },
    { "true", VALUE, 0, 1 },
    { "false", VALUE, 0, 1 },
    { "zero", VALUE, 0, 1 },
    { "event", VALUE, 0, 4 },
    { "timestamp", VALUE, 0, 64 },
    { "inbound", VALUE, 0, 1 },
    { "outbound", VALUE, 0, 1 },
    { "ifIdx", VALUE, 0, 32 },
    { "subIfIdx", VALUE, 0, 32 },
    { "loopback", VALUE, 0, 1 },
    { "impostor", VALUE, 0, 1 },
    { "fragment", VALUE, 0, 1 },
    { "ip", VALUE, 0, 1 },
    { "ipv6", VALUE, 0, 1 },
    { "icmp", VALUE, 0, 1 },
    { "tcp", VALUE, 0, 1 },
    { "udp", VALUE, 0, 1 },
    { "icmpv6", VALUE, 0, 1 },
    { "protocol", VALUE, 0, 8 },
    { "localAddr", VALUE, 0, 128 },
    { "remoteAddr", VALUE, 0, 128 },
    { "localPort", VALUE, 0, 16 },
    { "remotePort", VALUE, 0, 16 },
    { "length", VALUE, 0, 32 },
    { "tcp.PayloadLength", VALUE, 0, 16 },
    { "udp.PayloadLength", VALUE, 0, 16 },
};

struct number {
    uint64_t hi, lo;
    bool negative;
};

struct node {
    enum kind kind;
    unsigned child[3];
    const struct field *field;
    int distance; /* Of an element, in bytes. */
    bool from_end, negated, bare;
    unsigned relation;
    struct number number;
    unsigned set_count; /* Not 0: the field is in one of these ranges. */
    struct number set_lo[SET_MAX], set_hi[SET_MAX];
    bool not_in;
    uint32_t mask;             /* Not 0: of these bits. */
    const struct field *other; /* Compared with this one. */
};

struct world {
    struct nsp_prng random;
    struct node nodes[NODES_MAX];
    unsigned count;
    unsigned first_field;
    char text[TEXT_BYTES];
    size_t used;
    struct sample samples[NSP_BURST_MAX];
    struct nsp_pkt *burst[NSP_BURST_MAX];
};

static const char *const relations[] = { "==", "!=", "<", "<=", ">", ">=" };

static const struct nsp_filter_context context = {
    .random_seed = CONTEXT_SEED,
    .timestamp = -3,
};

static unsigned
below(struct world *w, unsigned limit)
{
    return (unsigned)(nsp_prng_next(&w->random) % limit);
}

/* --- The reference ------------------------------------------------------- */

static struct number
read_bits(const uint8_t *from, unsigned bit, unsigned bits)
{
    struct number n = { 0, 0, false };

    for (unsigned i = bit; i < bit + bits; i++) {
        n.hi = n.hi << 1 | n.lo >> 63;
        n.lo = n.lo << 1 | (from[i / 8] >> (7 - i % 8) & 1);
    }
    return n;
}

static bool
is(const struct field *field, const char *name)
{
    return strcmp(field->name, name) == 0;
}

static struct number
mapped(struct number n)
{
    n.lo |= UINT64_C(0xffff00000000);
    return n;
}

/* Local and remote, told from source and destination. */
static bool
read_side(const struct field *field, const struct nsp_pkt *pkt,
          struct number *ret)
{
    bool local = field->name[0] == 'l', out = pkt->direction == NSP_OUTBOUND;
    bool destination = local != out;
    const uint8_t *ip = pkt->data + pkt->l3_off;

    if (pkt->direction == NSP_DIRECTION_NONE)
        return false;
    *ret = (struct number){ 0, 0, false };
    if (strstr(field->name, "Port")) {
        if (pkt->l4 == NSP_L4_TCP || pkt->l4 == NSP_L4_UDP)
            *ret = read_bits(pkt->data + pkt->l4_off, destination ? 16 : 0, 16);
        else if (pkt->l4 != NSP_L4_NONE && !destination)
            *ret = read_bits(pkt->data + pkt->l4_off, 0, 8);
        return true;
    }
    if (pkt->l3 == NSP_L3_IPV4)
        *ret = mapped(read_bits(ip, destination ? 128 : 96, 32));
    else if (pkt->l3 == NSP_L3_IPV6)
        *ret = read_bits(ip, destination ? 192 : 64, 128);
    else
        return false;
    return true;
}

static bool
read_value(const struct field *field, const struct nsp_pkt *pkt,
           struct number *ret)
{
    static const char *const l4_names[] = {
        [NSP_L4_TCP] = "tcp",
        [NSP_L4_UDP] = "udp",
        [NSP_L4_ICMP] = "icmp",
        [NSP_L4_ICMPV6] = "icmpv6",
    };
    uint64_t value = 0;

    if (strncmp(field->name, "local", 5) == 0 ||
        strncmp(field->name, "remote", 6) == 0)
        return read_side(field, pkt, ret);
    if (strstr(field->name, ".PayloadLength")) {
        if (pkt->l4 != (field->name[0] == 't' ? NSP_L4_TCP : NSP_L4_UDP))
            return false;
        if (pkt->l3_off + pkt->ip_bytes > pkt->payload_off)
            value = pkt->l3_off + pkt->ip_bytes - pkt->payload_off;
    }
    if (is(field, "true"))
        value = 1;
    if (is(field, "inbound"))
        value = pkt->direction == NSP_INBOUND;
    if (is(field, "outbound"))
        value = pkt->direction == NSP_OUTBOUND;
    if (is(field, "ifIdx"))
        value = pkt->direction == NSP_OUTBOUND ? 4 : 3;
    if (is(field, "loopback"))
        value = (pkt->flags & NSP_PKT_LOOPBACK) != 0;
    if (is(field, "fragment"))
        value = (pkt->flags & NSP_PKT_FRAGMENT) != 0;
    if (is(field, "ip"))
        value = pkt->l3 == NSP_L3_IPV4;
    if (is(field, "ipv6"))
        value = pkt->l3 == NSP_L3_IPV6;
    for (unsigned i = 1; i < NSP_ARRAY_LEN(l4_names); i++) {
        if (is(field, l4_names[i]))
            value = pkt->l4 == i;
    }
    if (is(field, "protocol"))
        value = pkt->ip_proto;
    if (is(field, "length"))
        value = pkt->ip_bytes;
    *ret = (struct number){ 0, value, false };
    if (is(field, "timestamp"))
        *ret = (struct number){ 0, 3, true };
    return true;
}

static bool
read_element(const struct node *node, const struct nsp_pkt *pkt,
             struct number *ret)
{
    const struct field *field = node->field;
    bool ip = pkt->l3 == NSP_L3_IPV4 || pkt->l3 == NSP_L3_IPV6;
    long size = field->bits / 8, start, end, at;

    if (field->bit == 0 ? !ip : pkt->l4 != field->bit)
        return false;
    start = field->bit == 0 ? pkt->l3_off : pkt->payload_off;
    end = (long)pkt->l3_off + (long)pkt->ip_bytes;
    if (end < start)
        end = start;
    at = node->from_end ? end - node->distance : start + node->distance;
    if (at < start || at + size > end || at + size > (long)pkt->cap_bytes)
        return false;
    *ret = read_bits(pkt->data + at, 0, field->bits);
    return true;
}

static bool
read_field(const struct node *node, const struct nsp_pkt *pkt,
           struct number *ret)
{
    const struct field *field = node->field;
    static const uint8_t l4[] = { [TCP] = NSP_L4_TCP,
                                  [UDP] = NSP_L4_UDP,
                                  [ICMP] = NSP_L4_ICMP,
                                  [ICMPV6] = NSP_L4_ICMPV6 };

    switch (field->base) {
    case VALUE:
        return read_value(field, pkt, ret);
    case ELEMENT:
        return read_element(node, pkt, ret);
    case IP4:
    case IP6:
        if (pkt->l3 != (field->base == IP4 ? NSP_L3_IPV4 : NSP_L3_IPV6))
            return false;
        *ret = read_bits(pkt->data + pkt->l3_off, field->bit, field->bits);
        if (field->base == IP4 && field->bits == 32)
            *ret = mapped(*ret);
        return true;
    default:
        if (pkt->l4 != l4[field->base])
            return false;
        *ret = read_bits(pkt->data + pkt->l4_off, field->bit, field->bits);
        return true;
    }
}

static int
compare(struct number a, struct number b)
{
    int magnitude = a.hi != b.hi ? (a.hi > b.hi) - (a.hi < b.hi)
                                 : (a.lo > b.lo) - (a.lo < b.lo);

    if (a.negative != b.negative)
        return a.negative ? -1 : 1;
    return a.negative ? -magnitude : magnitude;
}

static bool
in_set(const struct node *node, struct number value)
{
    for (unsigned i = 0; i < node->set_count; i++) {
        if (compare(value, node->set_lo[i]) >= 0 &&
            compare(value, node->set_hi[i]) <= 0)
            return true;
    }
    return false;
}

static bool
reference_test(const struct node *node, const struct nsp_pkt *pkt)
{
    /* By relation: for a value below, at and above the number. */
    static const bool holds[][3] = { { 0, 1, 0 }, { 1, 0, 1 }, { 1, 0, 0 },
                                     { 1, 1, 0 }, { 0, 0, 1 }, { 0, 1, 1 } };
    struct number value;

    if (!read_field(node, pkt, &value))
        return false;
    if (node->other) {
        const struct node right = { .field = node->other };
        struct number number;

        return read_field(&right, pkt, &number) &&
               holds[node->relation][compare(value, number) + 1] !=
                   node->negated;
    }
    if (node->mask != 0)
        value.lo &= node->mask;
    if (node->set_count > 0)
        return in_set(node, value) != (node->negated != node->not_in);
    return holds[node->relation][compare(value, node->number) + 1] !=
           node->negated;
}

static bool
reference(const struct world *w, unsigned at, const struct nsp_pkt *pkt)
{
    const struct node *node = &w->nodes[at];

    switch (node->kind) {
    case AND:
        return reference(w, node->child[0], pkt) &&
               reference(w, node->child[1], pkt);
    case OR:
        return reference(w, node->child[0], pkt) ||
               reference(w, node->child[1], pkt);
    case CONDITIONAL:
        return reference(w, node->child[0], pkt)
                   ? reference(w, node->child[1], pkt)
                   : reference(w, node->child[2], pkt);
    case NOT:
        return !reference(w, node->child[0], pkt);
    default:
        return reference_test(node, pkt);
    }
}

static bool
reference_match(const struct world *w, const struct nsp_pkt *pkt)
{
    bool unusable = pkt->l3 == NSP_L3_NONE && (pkt->flags & NSP_PKT_MALFORMED);

    return !unusable && reference(w, 0, pkt);
}

/* --- Random filters ------------------------------------------------------ */

/* A value the field has in some packet, or near it, or any. */
static struct number
random_number(struct world *w, const struct node *node)
{
    struct number n = { 0, 0, false };
    unsigned how = below(w, 10);

    if (how < 6 && read_field(node, w->burst[below(w, NSP_BURST_MAX)], &n)) {
        if (how == 4 && !n.negative && n.lo > 0)
            n.lo--;
        else if (how == 5 && !n.negative && n.lo < UINT64_MAX)
            n.lo++;
        return n;
    }
    n.lo = nsp_prng_next(&w->random) >> below(w, 64);
    if (how == 7)
        n.lo = below(w, 3);
    if (how == 8)
        n.hi = nsp_prng_next(&w->random) >> below(w, 64);
    if (how == 9)
        n.negative = n.lo != 0;
    return n;
}

static void
random_set(struct world *w, struct node *node)
{
    node->bare = false;
    node->set_count = 1 + below(w, SET_MAX);
    node->not_in = below(w, 3) == 0;
    for (unsigned i = 0; i < node->set_count; i++) {
        struct number a = random_number(w, node), b = random_number(w, node);
        bool swap;

        if (below(w, 2) == 0)
            a = b;
        swap = compare(a, b) > 0;
        node->set_lo[i] = swap ? b : a;
        node->set_hi[i] = swap ? a : b;
    }
}

static bool
is_address(const struct field *field)
{
    return strstr(field->name, "Addr") != NULL;
}

/* A header's number, of more than a bit where it is to be masked. */
static bool
is_number(const struct field *field)
{
    return field->base != VALUE && field->bits <= 32 && !is_address(field);
}

static void
random_mask(struct world *w, struct node *node)
{
    uint32_t all;

    if (!is_number(node->field) || node->field->bits == 1)
        return;
    all = UINT32_MAX >> (32 - node->field->bits);
    node->mask = (uint32_t)nsp_prng_next(&w->random);
    if (below(w, 2) == 0)
        node->mask = 0xfu << below(w, 28);
    node->mask &= all;
    node->number.lo &= below(w, 4) == 0 ? UINT64_MAX : node->mask;
    node->number.negative &= node->number.lo != 0 || node->number.hi != 0;
}

static void
random_other(struct world *w, struct node *node)
{
    const struct field *other = &fields[below(w, NSP_ARRAY_LEN(fields))];

    if (node->bare || other->base == ELEMENT ||
        !((is_number(other) && is_number(node->field)) ||
          (is_address(other) && is_address(node->field))))
        return;
    node->other = other;
}

static void
random_test(struct world *w, struct node *node)
{
    /* Few fields in one filter, so that tests meet and merge. */
    unsigned few = below(w, 3) == 0 ? NSP_ARRAY_LEN(fields) : 8;

    node->field =
        &fields[(w->first_field + below(w, few)) % NSP_ARRAY_LEN(fields)];
    node->distance = (int)below(w, 60);
    node->from_end = below(w, 3) == 0;
    if (node->from_end)
        node->distance += (int)node->field->bits / 8;
    node->negated = below(w, 5) == 0;
    node->bare = below(w, 5) == 0;
    node->relation = node->bare ? 1 : below(w, NSP_ARRAY_LEN(relations));
    if (!node->bare)
        node->number = random_number(w, node);
    if (below(w, 6) == 0)
        random_set(w, node);
    if (below(w, 4) == 0)
        random_mask(w, node);
    else if (node->set_count == 0 && below(w, 4) == 0)
        random_other(w, node);
}

/* Makes a random expression and returns its number. */
static unsigned
grow(struct world *w, unsigned depth)
{
    unsigned at = w->count++, children = 2;
    struct node *node = &w->nodes[at];

    *node = (struct node){ .kind = TEST_LEAF };
    if (depth > 0 && w->count + 3 * depth + 3 < NODES_MAX && below(w, 4) != 0)
        node->kind = (enum kind)(1 + below(w, 8) / 2);
    if (node->kind == TEST_LEAF) {
        random_test(w, node);
        return at;
    }
    children = node->kind == CONDITIONAL ? 3 : node->kind == NOT ? 1 : 2;
    for (unsigned i = 0; i < children; i++)
        node->child[i] = grow(w, depth - 1);
    return at;
}

static void
put(struct world *w, const char *text)
{
    size_t bytes = strlen(text);

    CHECK(w->used + bytes < TEXT_BYTES);
    memcpy(w->text + w->used, text, bytes + 1);
    w->used += bytes;
}

static void
write_number(struct world *w, struct number number)
{
    char part[64];

    if (number.hi == 0)
        snprintf(part, sizeof part, "%s%llu", number.negative ? "-" : "",
                 (unsigned long long)number.lo);
    else
        snprintf(part, sizeof part, "%s0x%llx%016llx",
                 number.negative ? "-" : "", (unsigned long long)number.hi,
                 (unsigned long long)number.lo);
    put(w, part);
}

static void
write_set(struct world *w, const struct node *node)
{
    put(w, node->not_in ? " not in {" : " in { ");
    for (unsigned i = 0; i < node->set_count; i++) {
        put(w, i > 0 ? ", " : "");
        write_number(w, node->set_lo[i]);
        if (compare(node->set_lo[i], node->set_hi[i]) == 0)
            continue;
        put(w, below(w, 2) == 0 ? ".." : " .. ");
        write_number(w, node->set_hi[i]);
    }
    put(w, "}");
}

static void
write_test(struct world *w, const struct node *node)
{
    char part[128];

    put(w, node->negated ? below(w, 2) == 0 ? "not " : "!" : "");
    put(w, node->field->name);
    if (node->field->base == ELEMENT) {
        snprintf(part, sizeof part, "[%s%ub]", node->from_end ? "-" : "",
                 (unsigned)node->distance);
        put(w, part);
    }
    if (node->mask != 0) {
        snprintf(part, sizeof part, " & 0x%x", node->mask);
        put(w, part);
    }
    if (node->set_count > 0) {
        write_set(w, node);
        return;
    }
    if (node->bare)
        return;
    put(w, relations[node->relation]);
    if (node->other) {
        put(w, node->other->name);
        return;
    }
    write_number(w, node->number);
}

static void
write_node(struct world *w, unsigned at)
{
    const struct node *node = &w->nodes[at];
    static const char *const joints[] = {
        [AND] = " and ", [OR] = " || ", [CONDITIONAL] = "? "
    };

    if (node->kind == TEST_LEAF) {
        write_test(w, node);
        return;
    }
    put(w, node->kind == NOT ? "not (" : "(");
    write_node(w, node->child[0]);
    if (node->kind == NOT) {
        put(w, ")");
        return;
    }
    put(w, joints[node->kind]);
    write_node(w, node->child[1]);
    if (node->kind == CONDITIONAL) {
        put(w, " : ");
        write_node(w, node->child[2]);
    }
    put(w, ")");
}

/* Samples with a few bytes changed and now and then cut. */
static void
random_packets(struct world *w)
{
    for (unsigned i = 0; i < NSP_BURST_MAX; i++) {
        struct nsp_pkt *pkt = &w->samples[i].pkt;

        sample_init(&w->samples[i], below(w, SAMPLES),
                    (enum nsp_direction)below(w, 3));
        for (unsigned k = below(w, 4); k > 0; k--)
            pkt->data[below(w, pkt->cap_bytes)] =
                (uint8_t)nsp_prng_next(&w->random);
        if (below(w, 6) == 0)
            pkt->cap_bytes -= below(w, pkt->cap_bytes);
        if (below(w, 4) == 0)
            pkt->flags |= NSP_PKT_LOOPBACK;
        nsp_pkt_parse(pkt);
        w->burst[i] = pkt;
    }
}

/* --- Checks -------------------------------------------------------------- */

static void
check_needs(const struct world *w, const struct nsp_filter *filter,
            const struct nsp_pkt *pkt, bool matched)
{
    struct nsp_filter_needs needs;
    bool unusable = pkt->l3 == NSP_L3_NONE && (pkt->flags & NSP_PKT_MALFORMED);

    nsp_filter_get_needs(filter, &needs);
    if ((needs.never && matched) || (needs.always && !matched && !unusable) ||
        (matched && pkt->direction == NSP_INBOUND && !needs.inbound) ||
        (matched && pkt->direction == NSP_OUTBOUND && !needs.outbound) ||
        (matched && pkt->l3 == NSP_L3_IPV4 && !needs.ipv4) ||
        (matched && pkt->l3 == NSP_L3_IPV6 && !needs.ipv6))
        fail_msg("needs of %s", w->text);
}

/* Returns how many packets match. */
static unsigned
check_filter(const struct world *w, const struct nsp_filter *filter)
{
    uint64_t burst =
        nsp_filter_match_burst(filter, w->burst, NSP_BURST_MAX, &context);
    unsigned matches = 0;

    for (unsigned i = 0; i < NSP_BURST_MAX; i++) {
        bool expect = reference_match(w, w->burst[i]);

        if (nsp_filter_match(filter, w->burst[i], &context) != expect ||
            (burst >> i & 1) != expect)
            fail_msg("packet %u, expect %d: %s", i, expect, w->text);
        check_needs(w, filter, w->burst[i], expect);
        matches += expect;
    }
    return matches;
}

/* The printed form compiles to an equally long program that matches the same,
 * and is its own printed form. */
static void
check_format(const struct world *w, const struct nsp_filter *filter)
{
    struct nsp_filter_needs needs, again_needs;
    struct nsp_filter *again;
    char *text = NULL, *text_again = NULL;

    CHECK_EQ(
        nsp_filter_format(w->text, NSP_LAYER_NETWORK, NULL, NULL, &text, NULL),
        NSP_OK);
    again = compile(text, NSP_LAYER_NETWORK);
    check_filter(w, again);
    nsp_filter_get_needs(filter, &needs);
    nsp_filter_get_needs(again, &again_needs);
    CHECK_MEM_EQ(&needs, &again_needs, sizeof needs);
    CHECK_EQ(nsp_filter_format(text, NSP_LAYER_NETWORK, NULL, NULL, &text_again,
                               NULL),
             NSP_OK);
    CHECK_STR_EQ(text, text_again);
    nsp_filter_destroy(again);
    free(text);
    free(text_again);
}

/* The object compiles to a filter that matches the same. */
static void
check_object(const struct world *w)
{
    struct nsp_filter *again;
    struct nsp_diag diag;
    char *object = NULL;
    int r = nsp_filter_object(w->text, NSP_LAYER_NETWORK, NULL, NULL, &object,
                              &diag);

    if (r == NSP_INVALID_FILTER) {
        CHECK_STR_EQ(diag.category, "not-expressible");
        return;
    }
    CHECK_EQ(r, NSP_OK);
    again = compile(object, NSP_LAYER_NETWORK);
    check_filter(w, again);
    nsp_filter_destroy(again);
    free(object);
}

TEST(filter_agrees_with_a_naive_walk_of_the_expression)
{
    static struct world w;
    unsigned some = 0;

    nsp_prng_init(&w.random, 20240501, 0);
    for (unsigned i = 0; i < FILTERS; i++) {
        struct nsp_filter *filter;
        unsigned matches;

        if (i % 16 == 0)
            random_packets(&w);
        w.count = 0;
        w.first_field = below(&w, NSP_ARRAY_LEN(fields));
        grow(&w, below(&w, 6));
        w.used = 0;
        write_node(&w, 0);
        filter = compile(w.text, NSP_LAYER_NETWORK);
        matches = check_filter(&w, filter);
        some += matches > 0 && matches < NSP_BURST_MAX;
        check_format(&w, filter);
        check_object(&w);
        nsp_filter_destroy(filter);
    }
    /* The filters tell packets apart, mostly. */
    CHECK(some > FILTERS / 3);
}

TEST_MAIN(cmocka_unit_test(filter_agrees_with_a_naive_walk_of_the_expression))
