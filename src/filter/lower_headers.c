/* The beginning of a program: what nsp_pkt_parse() does, as far as the filter
 * asks for it. The checks are the same, and in the same order. */
#include "filter/lower.h"
#include "packet/proto.h"

#define LENGTH_MAX 65535u /* Of the length field of either IP header. */

/* The shorter of the two headers that a packet without link header has. */
#define RAW_BYTES_MIN NSP_IPV4_BYTES

/* An offset of data that a TCP header of 20 bytes has. */
#define TCP_OFFSET_MASK 0xF0u
#define TCP_OFFSET_MIN  0x50u

static const uint32_t transport_slots =
    1u << NSP_SLOT_L4 | 1u << NSP_SLOT_PAYLOAD | 1u << NSP_SLOT_STACK;
static const uint32_t walk_slots =
    1u << NSP_SLOT_PROTO | 1u << NSP_SLOT_FRAGMENT;

/* --- Entering the graph -------------------------------------------------- */

static uint32_t
stack_of(enum nsp_l3 l3, enum nsp_l4 l4)
{
    uint32_t s = 0;

    while (nsp_stacks[s].l3 != l3 || nsp_stacks[s].l4 != l4)
        s++;
    return s;
}

static uint32_t
entry_of(const struct nsp_lowering *l, enum nsp_l3 l3, enum nsp_l4 l4)
{
    return l->residue->entry[stack_of(l3, l4)];
}

static void
enter(struct nsp_lowering *l, enum nsp_l3 l3, enum nsp_l4 l4)
{
    uint32_t entry = entry_of(l, l3, l4);

    if (entry < NSP_IR_REJECT && nsp_lower_uses(l, NSP_SLOT_STACK))
        nsp_lower_set_slot(l, NSP_SLOT_STACK, 1u << stack_of(l3, l4));
    nsp_code_goto(l->code, nsp_lower_label(l, entry));
}

/* Tells whether it matters to a packet with 'l3' that it has 'l4' too. */
static bool
is_told_apart(const struct nsp_lowering *l, enum nsp_l3 l3, enum nsp_l4 l4)
{
    uint32_t entry = entry_of(l, l3, l4);

    return entry != entry_of(l, l3, NSP_L4_NONE) ||
           (entry < NSP_IR_REJECT && (l->uses & transport_slots) != 0);
}

/* Tells whether packets with 'l3' need no further look: all go to one end, or
 * to tests that read none of 'slots'. */
static bool
is_settled(const struct nsp_lowering *l, enum nsp_l3 l3, uint32_t slots)
{
    uint32_t entry = entry_of(l, l3, NSP_L4_NONE);

    for (uint32_t s = 0; s < NSP_STACKS; s++) {
        if (nsp_stacks[s].l3 == l3 && l->residue->entry[s] != entry)
            return false;
    }
    return entry >= NSP_IR_REJECT || (l->uses & slots) == 0;
}

static bool
is_rejected(const struct nsp_lowering *l, enum nsp_l3 l3)
{
    return entry_of(l, l3, NSP_L4_NONE) == NSP_IR_REJECT &&
           is_settled(l, l3, 0);
}

/* --- Transport ----------------------------------------------------------- */

struct transport {
    enum nsp_l4 l4;
    uint8_t proto, bytes;
};

static const struct transport transports[] = {
    { NSP_L4_TCP, NSP_PROTO_TCP, NSP_TCP_BYTES },
    { NSP_L4_UDP, NSP_PROTO_UDP, NSP_UDP_BYTES },
    { NSP_L4_ICMP, NSP_PROTO_ICMP, NSP_ICMP_BYTES },
    { NSP_L4_ICMPV6, NSP_PROTO_ICMPV6, NSP_ICMP_BYTES },
};

static bool
is_carried_by(const struct transport *t, enum nsp_l3 l3)
{
    return t->l4 != (l3 == NSP_L3_IPV4 ? NSP_L4_ICMPV6 : NSP_L4_ICMP);
}

/* A TCP data offset past the end is clamped to it. */
static void
lower_transport_header(struct nsp_lowering *l, const struct transport *t,
                       uint32_t none)
{
    bool payload = nsp_lower_uses(l, NSP_SLOT_PAYLOAD);

    nsp_lower_load(l, NSP_SLOT_L4);
    nsp_lower_alu(l, NSP_BPF_ADD, t->bytes);
    nsp_lower_load_x(l, NSP_SLOT_END);
    nsp_lower_goto_if(l, NSP_BPF_JGT | NSP_BPF_X, 0, none);
    if (t->l4 == NSP_L4_TCP) {
        nsp_lower_fetch(l, NSP_BPF_B, NSP_SLOT_L4, 12);
        nsp_lower_alu(l, NSP_BPF_AND, TCP_OFFSET_MASK);
        nsp_lower_goto_unless(l, NSP_BPF_JGE, TCP_OFFSET_MIN, none);
        if (payload) {
            nsp_lower_alu(l, NSP_BPF_RSH, 2);
            nsp_lower_alu(l, NSP_BPF_ADD | NSP_BPF_X, 0);
            nsp_lower_min(l, NSP_SLOT_END);
        }
    }
    if (payload)
        nsp_lower_store(l, NSP_SLOT_PAYLOAD);
}

/* Goes on behind the network header 'l3' with the transport number in A. */
static void
lower_transport(struct nsp_lowering *l, enum nsp_l3 l3)
{
    uint32_t labels[NSP_ARRAY_LEN(transports)];
    uint32_t none = nsp_code_label(l->code);

    for (uint32_t i = 0; i < NSP_ARRAY_LEN(transports); i++) {
        const struct transport *t = &transports[i];

        labels[i] = none;
        if (!is_carried_by(t, l3) || !is_told_apart(l, l3, t->l4))
            continue;
        labels[i] = nsp_code_label(l->code);
        nsp_lower_goto_if(l, NSP_BPF_JEQ, t->proto, labels[i]);
    }
    nsp_code_goto(l->code, none);
    for (uint32_t i = 0; i < NSP_ARRAY_LEN(transports); i++) {
        if (labels[i] == none)
            continue;
        nsp_lower_place(l, labels[i]);
        lower_transport_header(l, &transports[i], none);
        enter(l, l3, transports[i].l4);
    }
    nsp_lower_place(l, none);
    enter(l, l3, NSP_L4_NONE);
}

/* Tells whether the transport header makes the same difference in packets of
 * both versions. */
static bool
is_version_alike(const struct nsp_lowering *l)
{
    static const enum nsp_l4 both[] = { NSP_L4_NONE, NSP_L4_TCP, NSP_L4_UDP };

    for (uint32_t i = 0; i < NSP_ARRAY_LEN(both); i++) {
        if (entry_of(l, NSP_L3_IPV4, both[i]) !=
            entry_of(l, NSP_L3_IPV6, both[i]))
            return false;
    }
    return !nsp_lower_uses(l, NSP_SLOT_STACK) &&
           !is_told_apart(l, NSP_L3_IPV4, NSP_L4_ICMP) &&
           !is_told_apart(l, NSP_L3_IPV6, NSP_L4_ICMPV6);
}

/* The transport header, here or where both versions go. */
static void
go_to_transport(struct nsp_lowering *l, enum nsp_l3 l3)
{
    if (l->transport != NSP_CODE_REJECT)
        nsp_code_goto(l->code, l->transport);
    else
        lower_transport(l, l3);
}

/* --- IPv4 ---------------------------------------------------------------- */

/* At least 'bytes' bytes, and the version that the link header has told. */
static void
lower_version(struct nsp_lowering *l, uint32_t version, uint32_t bytes)
{
    if (!nsp_lower_is_raw(l) || bytes > RAW_BYTES_MIN) {
        nsp_lower_load(l, NSP_SLOT_WIRE);
        nsp_lower_goto_unless(l, NSP_BPF_JGE, bytes, NSP_CODE_REJECT);
    }
    if (nsp_lower_is_raw(l))
        return;
    nsp_lower_fetch(l, NSP_BPF_B, NSP_SLOT_L3, 0);
    nsp_lower_alu(l, NSP_BPF_AND, 0xF0);
    nsp_lower_goto_unless(l, NSP_BPF_JEQ, version << 4, NSP_CODE_REJECT);
}

/* END = A, a length, from the network header on. */
static void
lower_end(struct nsp_lowering *l)
{
    if (!nsp_lower_is_raw(l)) {
        nsp_lower_load_x(l, NSP_SLOT_L3);
        nsp_lower_alu(l, NSP_BPF_ADD | NSP_BPF_X, 0);
    }
    nsp_lower_store(l, NSP_SLOT_END);
}

/* A = the lesser of the total length and the bytes there are. A length of 0
 * stands for the latter in a packet too long for the field. */
static void
lower_ipv4_bytes(struct nsp_lowering *l)
{
    uint32_t stated = nsp_code_label(l->code), done = nsp_code_label(l->code);

    nsp_lower_fetch(l, NSP_BPF_H, NSP_SLOT_L3, 2);
    nsp_lower_goto_unless(l, NSP_BPF_JEQ, 0, stated);
    nsp_lower_load(l, NSP_SLOT_WIRE);
    nsp_code_jump(l->code, NSP_BPF_JGT, LENGTH_MAX, done, NSP_CODE_REJECT);
    nsp_lower_place(l, stated);
    nsp_lower_min(l, NSP_SLOT_WIRE);
    nsp_lower_place(l, done);
}

/* Behind the header checks: fragments, then the transport header, which begins
 * SCRATCH bytes after the network header. */
static void
lower_ipv4_rest(struct nsp_lowering *l)
{
    uint32_t whole = nsp_code_label(l->code), later = nsp_code_label(l->code);

    if (nsp_lower_uses(l, NSP_SLOT_PROTO)) {
        nsp_lower_fetch(l, NSP_BPF_B, NSP_SLOT_L3, 9);
        nsp_lower_store(l, NSP_SLOT_PROTO);
    }
    nsp_lower_fetch(l, NSP_BPF_H, NSP_SLOT_L3, 6);
    if (nsp_lower_uses(l, NSP_SLOT_FRAGMENT)) {
        nsp_lower_goto_unless(l, NSP_BPF_JSET,
                              NSP_IPV4_MF | NSP_IPV4_OFFSET_MASK, whole);
        nsp_lower_set_slot(l, NSP_SLOT_FRAGMENT, 1);
        nsp_lower_fetch(l, NSP_BPF_H, NSP_SLOT_L3, 6);
    }
    nsp_code_jump(l->code, NSP_BPF_JSET, NSP_IPV4_OFFSET_MASK, later, whole);
    nsp_lower_place(l, whole);
    nsp_lower_load(l, NSP_SLOT_SCRATCH);
    if (!nsp_lower_is_raw(l)) {
        nsp_lower_load_x(l, NSP_SLOT_L3);
        nsp_lower_alu(l, NSP_BPF_ADD | NSP_BPF_X, 0);
    }
    nsp_lower_store(l, NSP_SLOT_L4);
    nsp_lower_fetch(l, NSP_BPF_B, NSP_SLOT_L3, 9);
    go_to_transport(l, NSP_L3_IPV4);
    nsp_lower_place(l, later);
    enter(l, NSP_L3_IPV4, NSP_L4_NONE);
}

static void
lower_ipv4(struct nsp_lowering *l)
{
    lower_version(l, 4, NSP_IPV4_BYTES);
    nsp_lower_fetch(l, NSP_BPF_B, NSP_SLOT_L3, 0);
    nsp_lower_alu(l, NSP_BPF_AND, 0x0F);
    nsp_lower_alu(l, NSP_BPF_LSH, 2);
    nsp_lower_goto_unless(l, NSP_BPF_JGE, NSP_IPV4_BYTES, NSP_CODE_REJECT);
    nsp_lower_store(l, NSP_SLOT_SCRATCH);
    lower_ipv4_bytes(l);
    nsp_lower_load_x(l, NSP_SLOT_SCRATCH);
    nsp_lower_goto_unless(l, NSP_BPF_JGE | NSP_BPF_X, 0, NSP_CODE_REJECT);
    lower_end(l);
    if (is_settled(l, NSP_L3_IPV4, transport_slots | walk_slots))
        enter(l, NSP_L3_IPV4, NSP_L4_NONE);
    else
        lower_ipv4_rest(l);
}

/* --- IPv6 ---------------------------------------------------------------- */

/* A = the bytes of the IP packet; see lower_ipv4_bytes(). */
static void
lower_ipv6_bytes(struct nsp_lowering *l)
{
    uint32_t stated = nsp_code_label(l->code), done = nsp_code_label(l->code);

    nsp_lower_fetch(l, NSP_BPF_H, NSP_SLOT_L3, 4);
    nsp_lower_goto_unless(l, NSP_BPF_JEQ, 0, stated);
    nsp_lower_load(l, NSP_SLOT_WIRE);
    nsp_lower_goto_if(l, NSP_BPF_JGT, NSP_IPV6_BYTES + LENGTH_MAX, done);
    nsp_code_op(l->code, NSP_BPF_LD | NSP_BPF_IMM, 0);
    nsp_lower_place(l, stated);
    nsp_lower_alu(l, NSP_BPF_ADD, NSP_IPV6_BYTES);
    nsp_lower_min(l, NSP_SLOT_WIRE);
    nsp_lower_place(l, done);
}

/* To 'target' if A is the number of an extension header. */
static void
goto_if_extension(struct nsp_lowering *l, uint32_t target)
{
    static const uint8_t kinds[] = {
        NSP_PROTO_HOP_BY_HOP, NSP_PROTO_ROUTING,      NSP_PROTO_FRAGMENT,
        NSP_PROTO_AH,         NSP_PROTO_DEST_OPTIONS, NSP_PROTO_MOBILITY,
    };

    for (uint32_t i = 0; i < NSP_ARRAY_LEN(kinds); i++)
        nsp_lower_goto_if(l, NSP_BPF_JEQ, kinds[i], target);
}

/* Where the walk goes from an extension header. */
struct walk {
    uint32_t none;      /* Nothing more can be read. */
    uint32_t later;     /* The same, at the header of a later fragment. */
    uint32_t transport; /* To what is not an extension header. */
};

/* A = the bytes of the extension header of type PROTO at L4; X = L4. There is
 * one fragment header at most. */
static void
lower_extension_bytes(struct nsp_lowering *l, const struct walk *walk)
{
    uint32_t fragment = nsp_code_label(l->code), ah = nsp_code_label(l->code);
    uint32_t done = nsp_code_label(l->code);

    nsp_lower_load(l, NSP_SLOT_PROTO);
    nsp_lower_goto_if(l, NSP_BPF_JEQ, NSP_PROTO_FRAGMENT, fragment);
    nsp_lower_goto_if(l, NSP_BPF_JEQ, NSP_PROTO_AH, ah);
    nsp_lower_fetch(l, NSP_BPF_B, NSP_SLOT_L4, 1);
    nsp_lower_alu(l, NSP_BPF_ADD, 1);
    nsp_lower_alu(l, NSP_BPF_LSH, 3);
    nsp_code_goto(l->code, done);

    nsp_lower_place(l, ah);
    nsp_lower_fetch(l, NSP_BPF_B, NSP_SLOT_L4, 1);
    nsp_lower_alu(l, NSP_BPF_ADD, 2);
    nsp_lower_alu(l, NSP_BPF_LSH, 2);
    nsp_code_goto(l->code, done);

    nsp_lower_place(l, fragment);
    nsp_lower_load(l, NSP_SLOT_FRAGMENT);
    nsp_lower_goto_unless(l, NSP_BPF_JEQ, 0, walk->none);
    nsp_lower_set_slot(l, NSP_SLOT_FRAGMENT, 1);
    nsp_lower_fetch(l, NSP_BPF_H, NSP_SLOT_L4, 2);
    nsp_lower_goto_if(l, NSP_BPF_JSET, NSP_IPV6_FRAG_OFFSET_MASK, walk->later);
    nsp_code_op(l->code, NSP_BPF_LD | NSP_BPF_IMM, NSP_IPV6_EXT_MIN_BYTES);
    nsp_lower_place(l, done);
    l->x = NSP_SLOT_L4;
}

/* Passes the extension header of type PROTO at L4: A = PROTO is the next. */
static void
lower_extension(struct nsp_lowering *l, const struct walk *walk)
{
    nsp_lower_load(l, NSP_SLOT_L4);
    nsp_lower_alu(l, NSP_BPF_ADD, NSP_IPV6_EXT_MIN_BYTES);
    nsp_lower_load_x(l, NSP_SLOT_END);
    nsp_lower_goto_if(l, NSP_BPF_JGT | NSP_BPF_X, 0, walk->none);
    lower_extension_bytes(l, walk);
    nsp_lower_alu(l, NSP_BPF_ADD | NSP_BPF_X, 0);
    nsp_lower_load_x(l, NSP_SLOT_END);
    nsp_lower_goto_if(l, NSP_BPF_JGT | NSP_BPF_X, 0, walk->none);
    nsp_lower_load_x(l, NSP_SLOT_L4);
    nsp_lower_store(l, NSP_SLOT_L4);
    nsp_code_op(l->code, NSP_BPF_LD | NSP_BPF_B | NSP_BPF_IND, 0);
    nsp_lower_store(l, NSP_SLOT_PROTO);
}

/* Follows the extension headers. With as many as the packet parser follows
 * there is no transport header behind them; with fewer it is not known. */
static void
lower_extensions(struct nsp_lowering *l, const struct walk *walk)
{
    for (uint32_t i = 0; i < l->target->extensions_max; i++) {
        uint32_t extension = nsp_code_label(l->code);

        goto_if_extension(l, extension);
        nsp_code_goto(l->code, walk->transport);
        nsp_lower_place(l, extension);
        lower_extension(l, walk);
    }
    if (l->target->extensions_max < NSP_LOWER_EXTENSIONS_MAX) {
        l->extensions_widened = true;
        goto_if_extension(l, NSP_CODE_ACCEPT);
        nsp_code_goto(l->code, walk->transport);
    } else {
        nsp_code_goto(l->code, walk->none);
    }
}

static void
lower_ipv6_rest(struct nsp_lowering *l)
{
    struct walk walk = {
        .none = nsp_code_label(l->code),
        .later = nsp_code_label(l->code),
        .transport = nsp_code_label(l->code),
    };

    if (l->target->extensions_max > 0)
        nsp_lower_set_slot(l, NSP_SLOT_FRAGMENT, 0);
    nsp_code_op(l->code, NSP_BPF_LD | NSP_BPF_IMM, NSP_IPV6_BYTES);
    if (!nsp_lower_is_raw(l)) {
        nsp_lower_load_x(l, NSP_SLOT_L3);
        nsp_lower_alu(l, NSP_BPF_ADD | NSP_BPF_X, 0);
    }
    nsp_lower_store(l, NSP_SLOT_L4);
    nsp_lower_fetch(l, NSP_BPF_B, NSP_SLOT_L3, 6);
    if (l->target->extensions_max > 0 || nsp_lower_uses(l, NSP_SLOT_PROTO))
        nsp_lower_store(l, NSP_SLOT_PROTO);
    if (l->target->extensions_max > 0) {
        nsp_lower_goto_if(l, NSP_BPF_JEQ, NSP_PROTO_TCP, walk.transport);
        nsp_lower_goto_if(l, NSP_BPF_JEQ, NSP_PROTO_UDP, walk.transport);
    }
    lower_extensions(l, &walk);
    nsp_lower_place(l, walk.transport);
    go_to_transport(l, NSP_L3_IPV6);
    nsp_lower_place(l, walk.later);
    nsp_lower_fetch(l, NSP_BPF_B, NSP_SLOT_L4, 0);
    nsp_lower_store(l, NSP_SLOT_PROTO);
    nsp_lower_place(l, walk.none);
    enter(l, NSP_L3_IPV6, NSP_L4_NONE);
}

static void
lower_ipv6(struct nsp_lowering *l)
{
    lower_version(l, 6, NSP_IPV6_BYTES);
    if (is_settled(l, NSP_L3_IPV6,
                   transport_slots | walk_slots | 1u << NSP_SLOT_END)) {
        enter(l, NSP_L3_IPV6, NSP_L4_NONE);
        return;
    }
    lower_ipv6_bytes(l);
    lower_end(l);
    if (is_settled(l, NSP_L3_IPV6, transport_slots | walk_slots))
        enter(l, NSP_L3_IPV6, NSP_L4_NONE);
    else
        lower_ipv6_rest(l);
}

/* --- Link ---------------------------------------------------------------- */

/* ARP between Ethernet and IPv4 must be whole; between others it is no
 * business of ours. */
static void
lower_arp(struct nsp_lowering *l, uint32_t other)
{
    nsp_lower_load(l, NSP_SLOT_WIRE);
    nsp_lower_goto_if(l, NSP_BPF_JGE, NSP_ARP_BYTES, other);
    nsp_lower_goto_unless(l, NSP_BPF_JGE, 6, NSP_CODE_REJECT);
    nsp_lower_fetch(l, NSP_BPF_W, NSP_SLOT_L3, 0);
    nsp_lower_goto_unless(l, NSP_BPF_JEQ, 0x00010800, other);
    nsp_lower_fetch(l, NSP_BPF_H, NSP_SLOT_L3, 4);
    nsp_lower_goto_if(l, NSP_BPF_JEQ, 0x0604, NSP_CODE_REJECT);
    nsp_code_goto(l->code, other);
}

/* Reads the link header and up to two tags: A = EtherType, L3, WIRE. */
static void
lower_link(struct nsp_lowering *l)
{
    static const struct {
        uint8_t bytes, type_offset;
    } headers[] = {
        [NSP_LINK_ETHERNET] = { NSP_ETHERNET_BYTES, 12 },
        [NSP_LINK_SLL] = { NSP_SLL_BYTES, 14 },
        [NSP_LINK_SLL2] = { NSP_SLL2_BYTES, 0 },
    };
    uint32_t bytes = headers[l->site->link].bytes;
    uint32_t type_offset = headers[l->site->link].type_offset;
    uint32_t done = nsp_code_label(l->code);

    for (uint32_t tags = 0;; tags++) {
        uint32_t tagged = nsp_code_label(l->code);

        nsp_code_op(l->code, NSP_BPF_LD | NSP_BPF_LEN, 0);
        nsp_lower_goto_unless(l, NSP_BPF_JGE, bytes, NSP_CODE_REJECT);
        nsp_code_op(l->code, NSP_BPF_LDX | NSP_BPF_IMM, bytes);
        nsp_code_op(l->code, NSP_BPF_LD | NSP_BPF_H | NSP_BPF_ABS, type_offset);
        if (tags == 2)
            break;
        nsp_lower_goto_if(l, NSP_BPF_JEQ, NSP_ETHER_VLAN, tagged);
        nsp_lower_goto_if(l, NSP_BPF_JEQ, NSP_ETHER_QINQ, tagged);
        nsp_lower_goto_unless(l, NSP_BPF_JEQ, NSP_ETHER_QINQ_OLD, done);
        nsp_lower_place(l, tagged);
        type_offset = bytes + 2;
        bytes += NSP_VLAN_BYTES;
    }
    nsp_lower_place(l, done);
    nsp_code_op(l->code, NSP_BPF_STX, NSP_SLOT_L3);
    nsp_lower_store(l, NSP_SLOT_SCRATCH);
    nsp_code_op(l->code, NSP_BPF_LD | NSP_BPF_LEN, 0);
    nsp_lower_alu(l, NSP_BPF_SUB | NSP_BPF_X, 0);
    nsp_lower_store(l, NSP_SLOT_WIRE);
    nsp_lower_load(l, NSP_SLOT_SCRATCH);
    l->x = NSP_SLOT_L3;
}

static void
lower_other(struct nsp_lowering *l)
{
    if (nsp_lower_uses(l, NSP_SLOT_END)) {
        nsp_code_op(l->code, NSP_BPF_LD | NSP_BPF_LEN, 0);
        nsp_lower_store(l, NSP_SLOT_END);
    }
    enter(l, NSP_L3_NONE, NSP_L4_NONE);
}

static void
lower_first_raw(struct nsp_lowering *l, uint32_t ipv4, uint32_t ipv6)
{
    nsp_code_op(l->code, NSP_BPF_LD | NSP_BPF_LEN, 0);
    nsp_lower_goto_unless(l, NSP_BPF_JGE, RAW_BYTES_MIN, NSP_CODE_REJECT);
    nsp_lower_fetch(l, NSP_BPF_B, NSP_SLOT_L3, 0);
    nsp_lower_alu(l, NSP_BPF_RSH, 4);
    nsp_lower_goto_if(l, NSP_BPF_JEQ, 4, ipv4);
    nsp_code_jump(l->code, NSP_BPF_JEQ, 6, ipv6, NSP_CODE_REJECT);
}

static void
lower_first_linked(struct nsp_lowering *l, uint32_t ipv4, uint32_t ipv6)
{
    uint32_t other = nsp_code_label(l->code);
    bool rejected = is_rejected(l, NSP_L3_NONE);

    lower_link(l);
    nsp_lower_goto_if(l, NSP_BPF_JEQ, NSP_ETHER_IPV4, ipv4);
    nsp_lower_goto_if(l, NSP_BPF_JEQ, NSP_ETHER_IPV6, ipv6);
    if (rejected) {
        nsp_code_goto(l->code, NSP_CODE_REJECT);
        return;
    }
    nsp_lower_goto_unless(l, NSP_BPF_JEQ, NSP_ETHER_ARP, other);
    lower_arp(l, other);
    nsp_lower_place(l, other);
    lower_other(l);
}

/* A machine may refuse to load a word that is not written on every way to the
 * load, even if tests on other words keep that from happening. */
static void
clear_slots(struct nsp_lowering *l)
{
    bool cleared = false;

    for (unsigned slot = NSP_SLOT_L4; slot < NSP_SLOT_STACK; slot++) {
        /* With one stack behind each test there are no other ways. */
        if (!nsp_lower_uses(l, slot) ||
            (slot < NSP_SLOT_PROTO && !nsp_lower_uses(l, NSP_SLOT_STACK)))
            continue;
        if (!cleared)
            nsp_code_op(l->code, NSP_BPF_LD | NSP_BPF_IMM, 0);
        cleared = true;
        nsp_lower_store(l, slot);
    }
}

void
nsp_lower_headers(struct nsp_lowering *l)
{
    uint32_t ipv4 =
        is_rejected(l, NSP_L3_IPV4) ? NSP_CODE_REJECT : nsp_code_label(l->code);
    uint32_t ipv6 =
        is_rejected(l, NSP_L3_IPV6) ? NSP_CODE_REJECT : nsp_code_label(l->code);

    l->transport =
        is_version_alike(l) ? nsp_code_label(l->code) : NSP_CODE_REJECT;
    clear_slots(l);
    if (nsp_lower_is_raw(l))
        lower_first_raw(l, ipv4, ipv6);
    else
        lower_first_linked(l, ipv4, ipv6);
    if (ipv4 != NSP_CODE_REJECT) {
        nsp_lower_place(l, ipv4);
        lower_ipv4(l);
    }
    if (ipv6 != NSP_CODE_REJECT) {
        nsp_lower_place(l, ipv6);
        lower_ipv6(l);
    }
    if (l->transport != NSP_CODE_REJECT) {
        nsp_lower_place(l, l->transport);
        lower_transport(l, NSP_L3_IPV6);
    }
}
