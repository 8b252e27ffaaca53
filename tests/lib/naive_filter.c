#include "tests/lib/naive_filter.h"

#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "tests/lib/test.h"

/* Bit positions as in the RFCs' diagrams. */
const struct naive_field naive_fields[] = {
    { "ip.HdrLength", NAIVE_IP4, 4, 4 },
    { "ip.TOS", NAIVE_IP4, 8, 8 },
    { "ip.Length", NAIVE_IP4, 16, 16 },
    { "ip.Id", NAIVE_IP4, 32, 16 },
    { "ip.DF", NAIVE_IP4, 49, 1 },
    { "ip.MF", NAIVE_IP4, 50, 1 },
    { "ip.FragOff", NAIVE_IP4, 51, 13 },
    { "ip.TTL", NAIVE_IP4, 64, 8 },
    { "ip.Protocol", NAIVE_IP4, 72, 8 },
    { "ip.Checksum", NAIVE_IP4, 80, 16 },
    { "ip.SrcAddr", NAIVE_IP4, 96, 32 },
    { "ip.DstAddr", NAIVE_IP4, 128, 32 },
    { "ipv6.TrafficClass", NAIVE_IP6, 4, 8 },
    { "ipv6.FlowLabel", NAIVE_IP6, 12, 20 },
    { "ipv6.Length", NAIVE_IP6, 32, 16 },
    { "ipv6.NextHdr", NAIVE_IP6, 48, 8 },
    { "ipv6.HopLimit", NAIVE_IP6, 56, 8 },
    { "ipv6.SrcAddr", NAIVE_IP6, 64, 128 },
    { "ipv6.DstAddr", NAIVE_IP6, 192, 128 },
    { "icmp.Type", NAIVE_ICMP, 0, 8 },
    { "icmp.Code", NAIVE_ICMP, 8, 8 },
    { "icmp.Checksum", NAIVE_ICMP, 16, 16 },
    { "icmp.Body", NAIVE_ICMP, 32, 32 },
    { "icmpv6.Type", NAIVE_ICMPV6, 0, 8 },
    { "icmpv6.Code", NAIVE_ICMPV6, 8, 8 },
    { "icmpv6.Checksum", NAIVE_ICMPV6, 16, 16 },
    { "icmpv6.Body", NAIVE_ICMPV6, 32, 32 },
    { "tcp.SrcPort", NAIVE_TCP, 0, 16 },
    { "tcp.DstPort", NAIVE_TCP, 16, 16 },
    { "tcp.SeqNum", NAIVE_TCP, 32, 32 },
    { "tcp.AckNum", NAIVE_TCP, 64, 32 },
    { "tcp.HdrLength", NAIVE_TCP, 96, 4 },
    { "tcp.Urg", NAIVE_TCP, 106, 1 },
    { "tcp.Ack", NAIVE_TCP, 107, 1 },
    { "tcp.Psh", NAIVE_TCP, 108, 1 },
    { "tcp.Rst", NAIVE_TCP, 109, 1 },
    { "tcp.Syn", NAIVE_TCP, 110, 1 },
    { "tcp.Fin", NAIVE_TCP, 111, 1 },
    { "tcp.Window", NAIVE_TCP, 112, 16 },
    { "tcp.Checksum", NAIVE_TCP, 128, 16 },
    { "tcp.UrgPtr", NAIVE_TCP, 144, 16 },
    { "udp.SrcPort", NAIVE_UDP, 0, 16 },
    { "udp.DstPort", NAIVE_UDP, 16, 16 },
    { "udp.Length", NAIVE_UDP, 32, 16 },
    { "udp.Checksum", NAIVE_UDP, 48, 16 },
    { "ip.Dscp", NAIVE_IP4, 8, 6 },
    { "ip.Ecn", NAIVE_IP4, 14, 2 },
    { "ipv6.Dscp", NAIVE_IP6, 4, 6 },
    { "ipv6.Ecn", NAIVE_IP6, 10, 2 },
    { "icmp.Id", NAIVE_ICMP, 32, 16 },
    { "icmpv6.Seq", NAIVE_ICMPV6, 48, 16 },
    { "tcp.Ece", NAIVE_TCP, 105, 1 },
    { "tcp.Cwr", NAIVE_TCP, 104, 1 },
    { "tcp.Flags", NAIVE_TCP, 104, 8 },
    { "packet", NAIVE_ELEMENT, 0, 8 },
    { "packet16", NAIVE_ELEMENT, 0, 16 },
    { "packet32", NAIVE_ELEMENT, 0, 32 },
    { "tcp.Payload", NAIVE_ELEMENT, NSP_L4_TCP, 8 },
    { "tcp.Payload16", NAIVE_ELEMENT, NSP_L4_TCP, 16 },
    { "tcp.Payload32", NAIVE_ELEMENT, NSP_L4_TCP, 32 },
    { "udp.Payload", NAIVE_ELEMENT, NSP_L4_UDP, 8 },
    { "udp.Payload16", NAIVE_ELEMENT, NSP_L4_UDP, 16 },
    { "udp.Payload32", NAIVE_ELEMENT, NSP_L4_UDP, 32 },
    { "true", NAIVE_VALUE, 0, 1 },
    { "false", NAIVE_VALUE, 0, 1 },
    { "zero", NAIVE_VALUE, 0, 1 },
    { "event", NAIVE_VALUE, 0, 4 },
    { "timestamp", NAIVE_VALUE, 0, 64 },
    { "inbound", NAIVE_VALUE, 0, 1 },
    { "outbound", NAIVE_VALUE, 0, 1 },
    { "ifIdx", NAIVE_VALUE, 0, 32 },
    { "subIfIdx", NAIVE_VALUE, 0, 32 },
    { "loopback", NAIVE_VALUE, 0, 1 },
    { "impostor", NAIVE_VALUE, 0, 1 },
    { "fragment", NAIVE_VALUE, 0, 1 },
    { "ip", NAIVE_VALUE, 0, 1 },
    { "ipv6", NAIVE_VALUE, 0, 1 },
    { "icmp", NAIVE_VALUE, 0, 1 },
    { "tcp", NAIVE_VALUE, 0, 1 },
    { "udp", NAIVE_VALUE, 0, 1 },
    { "icmpv6", NAIVE_VALUE, 0, 1 },
    { "protocol", NAIVE_VALUE, 0, 8 },
    { "localAddr", NAIVE_VALUE, 0, 128 },
    { "remoteAddr", NAIVE_VALUE, 0, 128 },
    { "localPort", NAIVE_VALUE, 0, 16 },
    { "remotePort", NAIVE_VALUE, 0, 16 },
    { "length", NAIVE_VALUE, 0, 32 },
    { "tcp.PayloadLength", NAIVE_VALUE, 0, 16 },
    { "udp.PayloadLength", NAIVE_VALUE, 0, 16 },
    { "eth.DstAddr", NAIVE_ETHERNET, 0, 48 },
    { "eth.SrcAddr", NAIVE_ETHERNET, 48, 48 },
    { "eth.Type", NAIVE_VALUE, 0, 16 },
    { "vlan.Id", NAIVE_VALUE, 0, 12 },
    { "arp", NAIVE_VALUE, 0, 1 },
    { "arp.Op", NAIVE_ARP, 48, 16 },
    { "arp.SrcMac", NAIVE_ARP, 64, 48 },
    { "arp.SrcAddr", NAIVE_ARP, 112, 32 },
    { "arp.DstMac", NAIVE_ARP, 144, 48 },
    { "arp.DstAddr", NAIVE_ARP, 192, 32 },
    { "tcp.Mss", NAIVE_VALUE, 0, 16 },
    { "mark", NAIVE_VALUE, 0, 32 },
    { "uid", NAIVE_VALUE, 0, 32 },
    { "flow.Packets", NAIVE_VALUE, 0, 64 },
    { "flow.Bytes", NAIVE_VALUE, 0, 64 },
    { "flow.Age", NAIVE_VALUE, 0, 64 },
    { "flow.State", NAIVE_VALUE, 0, 8 },
    { "flow.Reply", NAIVE_VALUE, 0, 1 },
};

const unsigned naive_field_count = NSP_ARRAY_LEN(naive_fields);

/* --- Walking ------------------------------------------------------------- */

static struct naive_number
read_bits(const uint8_t *from, unsigned bit, unsigned bits)
{
    struct naive_number n = { 0, 0, false };

    for (unsigned i = bit; i < bit + bits; i++) {
        n.hi = n.hi << 1 | n.lo >> 63;
        n.lo = n.lo << 1 | (from[i / 8] >> (7 - i % 8) & 1);
    }
    return n;
}

static bool
is(const struct naive_field *field, const char *name)
{
    return strcmp(field->name, name) == 0;
}

static struct naive_number
mapped(struct naive_number n)
{
    n.lo |= UINT64_C(0xffff00000000);
    return n;
}

/* Local and remote, told from source and destination. */
static bool
read_side(const struct naive_field *field, const struct nsp_pkt *pkt,
          struct naive_number *ret)
{
    bool local = field->name[0] == 'l', out = pkt->direction == NSP_OUTBOUND;
    bool destination = local != out;
    const uint8_t *ip = pkt->data + pkt->l3_off;

    if (pkt->direction == NSP_DIRECTION_NONE)
        return false;
    *ret = (struct naive_number){ 0, 0, false };
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

/* Byte 'i' of the TCP options, 0 (the end of them) behind the last. */
static unsigned
option_byte(const struct nsp_pkt *pkt, unsigned i)
{
    unsigned at = pkt->l4_off + 20 + i;

    return at < pkt->payload_off ? pkt->data[at] : 0;
}

/* Options are a kind, a length and a value, but for two without a length. */
static bool
read_mss(const struct nsp_pkt *pkt, struct naive_number *ret)
{
    unsigned at = 0, room = 0;

    if (pkt->l4 != NSP_L4_TCP)
        return false;
    room = pkt->payload_off - pkt->l4_off - 20u;
    while (option_byte(pkt, at) != 0) {
        unsigned bytes =
            option_byte(pkt, at) == 1 ? 1 : option_byte(pkt, at + 1);

        if (bytes == 0 || at + bytes > room)
            return false;
        if (option_byte(pkt, at) == 2) {
            ret->lo = option_byte(pkt, at + 2) << 8 | option_byte(pkt, at + 3);
            return bytes == 4;
        }
        at += bytes;
    }
    return false;
}

static bool
has_ethernet(const struct nsp_pkt *pkt)
{
    return pkt->link == NSP_LINK_ETHERNET && pkt->cap_bytes >= 14;
}

static bool
read_flow(const struct naive_field *field, const struct nsp_pkt *pkt,
          struct naive_number *ret)
{
    if (!pkt->flow)
        return false;
    *ret = (struct naive_number){ 0, pkt->flow->pkts, false };
    if (is(field, "flow.Bytes"))
        ret->lo = pkt->flow->bytes;
    if (is(field, "flow.Age"))
        ret->lo = pkt->flow->age_ms;
    if (is(field, "flow.State"))
        ret->lo = pkt->flow->state;
    if (is(field, "flow.Reply"))
        ret->lo = pkt->flow->is_reply;
    return true;
}

/* What the device and the link say. */
static bool
read_around(const struct naive_field *field, const struct nsp_pkt *pkt,
            struct naive_number *ret)
{
    *ret = (struct naive_number){ 0, 0, false };
    if (is(field, "tcp.Mss"))
        return read_mss(pkt, ret);
    if (is(field, "arp"))
        ret->lo = pkt->l3 == NSP_L3_ARP;
    if (is(field, "mark"))
        ret->lo = pkt->mark;
    if (is(field, "uid")) {
        ret->lo = pkt->uid;
        return pkt->uid != UINT32_MAX;
    }
    if (is(field, "eth.Type")) {
        ret->lo = pkt->ether_type;
        return has_ethernet(pkt);
    }
    if (is(field, "vlan.Id")) {
        ret->lo = pkt->vlan_tci[0] & 0xfff;
        return pkt->vlan_count > 0;
    }
    return true;
}

static bool
read_value(const struct naive_field *field, const struct nsp_pkt *pkt,
           struct naive_number *ret)
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
    if (is(field, "tcp.Mss") || is(field, "arp") || is(field, "mark") ||
        is(field, "uid") || is(field, "eth.Type") || is(field, "vlan.Id"))
        return read_around(field, pkt, ret);
    if (strncmp(field->name, "flow.", 5) == 0)
        return read_flow(field, pkt, ret);
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
        value =
            pkt->direction == NSP_OUTBOUND ? pkt->out_ifindex : pkt->in_ifindex;
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
    *ret = (struct naive_number){ 0, value, false };
    if (is(field, "timestamp"))
        *ret = (struct naive_number){ 0, -NAIVE_TIMESTAMP, true };
    return true;
}

static bool
read_element(const struct naive_node *node, const struct nsp_pkt *pkt,
             struct naive_number *ret)
{
    const struct naive_field *field = node->field;
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

bool
naive_read(const struct naive_node *node, const struct nsp_pkt *pkt,
           struct naive_number *ret)
{
    const struct naive_field *field = node->field;
    static const uint8_t l4[] = { [NAIVE_TCP] = NSP_L4_TCP,
                                  [NAIVE_UDP] = NSP_L4_UDP,
                                  [NAIVE_ICMP] = NSP_L4_ICMP,
                                  [NAIVE_ICMPV6] = NSP_L4_ICMPV6 };

    switch (field->base) {
    case NAIVE_VALUE:
        return read_value(field, pkt, ret);
    case NAIVE_ELEMENT:
        return read_element(node, pkt, ret);
    case NAIVE_IP4:
    case NAIVE_IP6:
        if (pkt->l3 != (field->base == NAIVE_IP4 ? NSP_L3_IPV4 : NSP_L3_IPV6))
            return false;
        *ret = read_bits(pkt->data + pkt->l3_off, field->bit, field->bits);
        if (field->base == NAIVE_IP4 && field->bits == 32)
            *ret = mapped(*ret);
        return true;
    case NAIVE_ETHERNET:
        *ret = read_bits(pkt->data, field->bit, field->bits);
        return has_ethernet(pkt);
    case NAIVE_ARP:
        if (pkt->l3 != NSP_L3_ARP)
            return false;
        *ret = read_bits(pkt->data + pkt->l3_off, field->bit, field->bits);
        if (field->bits == 32)
            *ret = mapped(*ret);
        return true;
    default:
        if (pkt->l4 != l4[field->base])
            return false;
        *ret = read_bits(pkt->data + pkt->l4_off, field->bit, field->bits);
        return true;
    }
}

int
naive_compare(struct naive_number a, struct naive_number b)
{
    int magnitude = a.hi != b.hi ? (a.hi > b.hi) - (a.hi < b.hi)
                                 : (a.lo > b.lo) - (a.lo < b.lo);

    if (a.negative != b.negative)
        return a.negative ? -1 : 1;
    return a.negative ? -magnitude : magnitude;
}

static bool
in_set(const struct naive_node *node, struct naive_number value)
{
    for (unsigned i = 0; i < node->set_count; i++) {
        if (naive_compare(value, node->set_lo[i]) >= 0 &&
            naive_compare(value, node->set_hi[i]) <= 0)
            return true;
    }
    return false;
}

/* An address is one of IPv4 in an IPv4 packet, else of IPv6. */
static bool
in_named_set(const struct naive_node *node, const struct nsp_pkt *pkt,
             struct naive_number value)
{
    bool ipv6 = pkt->l3 == NSP_L3_IPV6;

    if (strstr(node->field->name, "Port"))
        return named_set_has_port(node->named, (uint16_t)value.lo);
    return named_set_has(node->named, ipv6, value.hi,
                         ipv6 ? value.lo : value.lo & UINT32_MAX);
}

static bool
test_holds(const struct naive_node *node, const struct nsp_pkt *pkt)
{
    /* By relation: for a value below, at and above the number. */
    static const bool holds[][3] = { { 0, 1, 0 }, { 1, 0, 1 }, { 1, 0, 0 },
                                     { 1, 1, 0 }, { 0, 0, 1 }, { 0, 1, 1 } };
    struct naive_number value;

    if (!naive_read(node, pkt, &value))
        return false;
    if (node->other) {
        const struct naive_node right = { .field = node->other,
                                          .distance = node->other_distance,
                                          .from_end = node->other_from_end };
        struct naive_number number;

        return naive_read(&right, pkt, &number) &&
               holds[node->relation][naive_compare(value, number) + 1] !=
                   node->negated;
    }
    if (node->mask != 0)
        value.lo &= node->mask;
    if (node->set_count > 0 || node->named)
        return (in_set(node, value) ||
                (node->named && in_named_set(node, pkt, value))) !=
               (node->negated != node->not_in);
    return holds[node->relation][naive_compare(value, node->number) + 1] !=
           node->negated;
}

static bool
walk(const struct naive_filter *filter, unsigned at, const struct nsp_pkt *pkt)
{
    const struct naive_node *node = &filter->nodes[at];

    switch (node->kind) {
    case NAIVE_AND:
        return walk(filter, node->child[0], pkt) &&
               walk(filter, node->child[1], pkt);
    case NAIVE_OR:
        return walk(filter, node->child[0], pkt) ||
               walk(filter, node->child[1], pkt);
    case NAIVE_CONDITIONAL:
        return walk(filter, node->child[0], pkt)
                   ? walk(filter, node->child[1], pkt)
                   : walk(filter, node->child[2], pkt);
    case NAIVE_NOT:
        return !walk(filter, node->child[0], pkt);
    default:
        return test_holds(node, pkt);
    }
}

bool
naive_match(const struct naive_filter *filter, const struct nsp_pkt *pkt)
{
    bool unusable = pkt->l3 == NSP_L3_NONE && (pkt->flags & NSP_PKT_MALFORMED);

    return !unusable && walk(filter, 0, pkt);
}
