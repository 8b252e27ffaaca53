#include "cli/packet_text.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAYLOAD_MAX 9000u

static const struct {
    const char *name;
    uint8_t protocol;
    bool has_ports;
    uint8_t header_bytes;
} protocols[] = {
    { "tcp", IPPROTO_TCP, true, 20 },
    { "udp", IPPROTO_UDP, true, 8 },
    { "icmp", IPPROTO_ICMP, false, 8 },
    { "icmpv6", IPPROTO_ICMPV6, false, 8 },
    { "ip", 253, false, 0 }, /* For experiments: RFC 3692. */
};
#define PROTOCOLS (sizeof protocols / sizeof protocols[0])

/* In the order of their bits. */
static const char *const flag_names[] = { "fin", "syn", "rst", "psh",
                                          "ack", "urg", "ece", "cwr" };

struct end {
    int family;
    uint8_t address[16];
    uint16_t port;
};

struct description {
    const char *text;
    const char *at; /* What comes next. */
    size_t protocol;
    struct end from, to;
    uint8_t direction, flags, ttl;
    uint32_t length, mark;
    struct nsp_diag *reterr;
};

/* --- Words ------------------------------------------------------------------
 */

static int
refuse(struct description *d, const char *at, const char *text,
       const char *hint)
{
    *d->reterr = (struct nsp_diag){ .result = NSP_INVALID_PARAMETER,
                                    .offset = (uint32_t)(at - d->text),
                                    .line = 1,
                                    .column = (uint32_t)(at - d->text) + 1,
                                    .category = "bad-packet" };
    snprintf(d->reterr->text, sizeof d->reterr->text, "%s", text);
    snprintf(d->reterr->hint, sizeof d->reterr->hint, "%s", hint);
    return NSP_INVALID_PARAMETER;
}

/* Takes the next word; its length is 0 at the end. */
static const char *
next_word(struct description *d, size_t *ret_bytes)
{
    const char *word = d->at + strspn(d->at, " \t");

    *ret_bytes = strcspn(word, " \t");
    d->at = word + *ret_bytes;
    return word;
}

static bool
is_word(const char *word, size_t bytes, const char *name)
{
    return strlen(name) == bytes && memcmp(word, name, bytes) == 0;
}

static bool
read_number(const char *word, size_t bytes, uint32_t max, uint32_t *ret)
{
    uint64_t value = 0;

    if (bytes == 0 || bytes > 10)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        if (word[i] < '0' || word[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(word[i] - '0');
    }
    *ret = (uint32_t)value;
    return value <= max;
}

/* --- Ends --------------------------------------------------------------------
 */

/* Splits "1.2.3.4:80" and "[2001:db8::1]:80". */
static bool
split_port(const char *word, size_t *address_bytes, size_t bytes,
           uint16_t *ret_port)
{
    size_t colon = bytes;
    uint32_t port;

    while (colon > 0 && word[colon - 1] != ':')
        colon--;
    if (colon == 0 || !read_number(word + colon, bytes - colon, 65535, &port))
        return false;
    *address_bytes = colon - 1;
    *ret_port = (uint16_t)port;
    return true;
}

static int
read_end(struct description *d, struct end *ret)
{
    static const char hint[] =
        "write 10.0.0.1:80 or [2001:db8::1]:80; icmp and ip have no ports";
    char address[64];
    size_t bytes, address_bytes;
    const char *word = next_word(d, &bytes);

    address_bytes = bytes;
    if (protocols[d->protocol].has_ports &&
        !split_port(word, &address_bytes, bytes, &ret->port))
        return refuse(d, word, "expected an address and a port", hint);
    if (address_bytes >= 2 && word[0] == '[' && word[address_bytes - 1] == ']')
        snprintf(address, sizeof address, "%.*s", (int)address_bytes - 2,
                 word + 1);
    else
        snprintf(address, sizeof address, "%.*s", (int)address_bytes, word);
    ret->family = strchr(address, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(ret->family, address, ret->address) != 1)
        return refuse(d, word, "expected an address", hint);
    return NSP_OK;
}

/* --- The rest ------------------------------------------------------------ */

static int
read_value(struct description *d, const char *name, uint32_t max, uint32_t *ret)
{
    size_t bytes;
    const char *word = next_word(d, &bytes);
    char text[64];

    if (read_number(word, bytes, max, ret))
        return NSP_OK;
    snprintf(text, sizeof text, "expected a number after '%s', at most %u",
             name, (unsigned)max);
    return refuse(d, word, text, "write it in decimal digits");
}

static int
read_detail(struct description *d, const char *word, size_t bytes)
{
    uint32_t number = 0;
    int result;

    for (unsigned i = 0; i < 8; i++) {
        if (is_word(word, bytes, flag_names[i]) &&
            protocols[d->protocol].protocol == IPPROTO_TCP) {
            d->flags |= (uint8_t)(1u << i);
            return NSP_OK;
        }
    }
    if (is_word(word, bytes, "inbound"))
        d->direction = NSP_INBOUND;
    else if (is_word(word, bytes, "outbound"))
        d->direction = NSP_OUTBOUND;
    else if (is_word(word, bytes, "forward"))
        d->direction = NSP_DIRECTION_NONE;
    else if (is_word(word, bytes, "length"))
        return read_value(d, "length", PAYLOAD_MAX, &d->length);
    else if (is_word(word, bytes, "mark"))
        return read_value(d, "mark", UINT32_MAX, &d->mark);
    else if (is_word(word, bytes, "ttl")) {
        result = read_value(d, "ttl", 255, &number);
        d->ttl = (uint8_t)number;
        return result;
    } else
        return refuse(d, word, "unknown word",
                      "inbound, outbound, forward, length N, ttl N, mark N; of "
                      "tcp: syn, ack, fin, rst, psh, urg");
    return NSP_OK;
}

static int
read_all(struct description *d)
{
    size_t bytes;
    const char *word = next_word(d, &bytes);
    int result;

    while (d->protocol < PROTOCOLS &&
           !is_word(word, bytes, protocols[d->protocol].name))
        d->protocol++;
    if (d->protocol == PROTOCOLS)
        return refuse(d, word, "expected a protocol",
                      "begin with tcp, udp, icmp, icmpv6 or ip: 'tcp "
                      "10.0.0.1:5 > 1.2.3.4:80 outbound'");
    result = read_end(d, &d->from);
    if (result != NSP_OK)
        return result;
    word = next_word(d, &bytes);
    if (!is_word(word, bytes, ">"))
        return refuse(d, word, "expected '>'",
                      "source > destination, with spaces around it");
    result = read_end(d, &d->to);
    if (result == NSP_OK && d->from.family != d->to.family)
        result = refuse(d, d->at, "addresses of two IP versions",
                        "write both as IPv4 or both as IPv6");
    while (result == NSP_OK) {
        word = next_word(d, &bytes);
        if (bytes == 0)
            return NSP_OK;
        result = read_detail(d, word, bytes);
    }
    return result;
}

/* --- Bytes --------------------------------------------------------------- */

static void
put16(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
}

static size_t
put_ip(const struct description *d, uint8_t *to, size_t payload)
{
    uint8_t protocol = protocols[d->protocol].protocol;

    if (d->from.family == AF_INET6) {
        to[0] = 0x60;
        put16(to + 4, (uint32_t)payload);
        to[6] = protocol;
        to[7] = d->ttl;
        memcpy(to + 8, d->from.address, 16);
        memcpy(to + 24, d->to.address, 16);
        return 40;
    }
    to[0] = 0x45;
    put16(to + 2, (uint32_t)payload + 20);
    to[8] = d->ttl;
    to[9] = protocol;
    memcpy(to + 12, d->from.address, 4);
    memcpy(to + 16, d->to.address, 4);
    return 20;
}

static void
put_transport(const struct description *d, uint8_t *to)
{
    uint8_t protocol = protocols[d->protocol].protocol;

    if (protocols[d->protocol].has_ports) {
        put16(to, d->from.port);
        put16(to + 2, d->to.port);
    }
    if (protocol == IPPROTO_TCP) {
        to[12] = 5 << 4;
        to[13] = d->flags ? d->flags : 1u << 4;
        put16(to + 14, 65535);
    } else if (protocol == IPPROTO_UDP) {
        put16(to + 4, d->length + 8);
    } else if (protocol == IPPROTO_ICMP) {
        to[0] = 8; /* Echo requests. */
    } else if (protocol == IPPROTO_ICMPV6) {
        to[0] = 128;
    }
}

int
nsp_packet_text_read(const char *text, struct nsp_packet_text *ret,
                     struct nsp_diag *reterr)
{
    struct description d = {
        .text = text, .at = text, .ttl = 64, .reterr = reterr
    };
    size_t header, ip;
    int result = read_all(&d);

    if (result != NSP_OK)
        return result;
    memset(ret, 0, sizeof *ret);
    header = protocols[d.protocol].header_bytes;
    ip = put_ip(&d, ret->bytes, header + d.length);
    put_transport(&d, ret->bytes + ip);
    ret->pkt.data = ret->bytes;
    ret->pkt.cap_bytes = ret->pkt.wire_bytes =
        (uint32_t)(ip + header + d.length);
    ret->pkt.link = NSP_LINK_RAW;
    ret->pkt.direction = d.direction;
    ret->pkt.hook = d.direction == NSP_INBOUND    ? NSP_HOOK_INPUT
                    : d.direction == NSP_OUTBOUND ? NSP_HOOK_OUTPUT
                                                  : NSP_HOOK_FORWARD;
    ret->pkt.mark = d.mark;
    ret->pkt.uid = UINT32_MAX;
    nsp_pkt_parse(&ret->pkt);
    /* What has none, needs none. */
    (void)!nsp_pkt_fix_checksums(&ret->pkt);
    ret->pkt.flags &= (uint16_t)~NSP_PKT_MODIFIED;
    return NSP_OK;
}

/* --- Back to text -------------------------------------------------------- */

static void
write_end(const struct nsp_pkt *pkt, bool source, char *ret, size_t bytes)
{
    bool v6 = pkt->l3 == NSP_L3_IPV6;
    const uint8_t *ip = pkt->data + pkt->l3_off;
    bool ports = pkt->l4 == NSP_L4_TCP || pkt->l4 == NSP_L4_UDP;
    char address[INET6_ADDRSTRLEN] = "";
    const uint8_t *port;

    inet_ntop(v6 ? AF_INET6 : AF_INET,
              v6 ? ip + (source ? 8 : 24) : ip + (source ? 12 : 16), address,
              sizeof address);
    if (!ports) {
        snprintf(ret, bytes, "%s", address);
        return;
    }
    port = pkt->data + pkt->l4_off + (source ? 0 : 2);
    snprintf(ret, bytes, v6 ? "[%s]:%u" : "%s:%u", address,
             (unsigned)(port[0] << 8 | port[1]));
}

static const char *
protocol_name(const struct nsp_pkt *pkt)
{
    switch (pkt->l4) {
    case NSP_L4_TCP:
        return "tcp";
    case NSP_L4_UDP:
        return "udp";
    case NSP_L4_ICMP:
        return "icmp";
    case NSP_L4_ICMPV6:
        return "icmpv6";
    default:
        return "ip";
    }
}

char *
nsp_packet_text_write(const struct nsp_pkt *pkt, char *ret, size_t bytes)
{
    const char *direction = pkt->direction == NSP_INBOUND    ? " inbound"
                            : pkt->direction == NSP_OUTBOUND ? " outbound"
                                                             : "";
    char from[64], to[64];

    if (pkt->l3 != NSP_L3_IPV4 && pkt->l3 != NSP_L3_IPV6) {
        snprintf(ret, bytes, "%s of %u bytes%s",
                 pkt->l3 == NSP_L3_ARP ? "arp" : "no IP packet",
                 (unsigned)pkt->wire_bytes, direction);
        return ret;
    }
    write_end(pkt, true, from, sizeof from);
    write_end(pkt, false, to, sizeof to);
    snprintf(ret, bytes, "%s %s > %s%s", protocol_name(pkt), from, to,
             direction);
    return ret;
}
