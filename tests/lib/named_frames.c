#include "tests/lib/named_frames.h"

#include <string.h>

#include "base/base.h"
#include "tests/lib/test.h"

/* --- Headers -------------------------------------------------------------- */

struct frame {
    uint8_t *bytes;
    uint32_t used;
    uint32_t ip_at;      /* Of the IP header whose length is filled in. */
    uint32_t ip_cut;     /* By so many bytes the IP length is too small. */
    uint32_t held_bytes; /* Not 0: only so many are captured. */
    uint16_t flags;      /* enum nsp_pkt_flag, of the device. */
    enum nsp_link link;
};

static void
put8(struct frame *f, unsigned value)
{
    assert_in_range(f->used, 0, NAMED_FRAME_BYTES - 1);
    f->bytes[f->used++] = (uint8_t)value;
}

static void
put16(struct frame *f, unsigned value)
{
    put8(f, value >> 8);
    put8(f, value & 0xff);
}

static void
put32(struct frame *f, uint32_t value)
{
    put16(f, value >> 16);
    put16(f, value & 0xffff);
}

static void
put_text(struct frame *f, const char *text)
{
    for (; *text != '\0'; text++)
        put8(f, (uint8_t)*text);
}

static void
put_ethernet(struct frame *f, uint64_t destination, uint64_t source)
{
    f->link = NSP_LINK_ETHERNET;
    put16(f, (unsigned)(destination >> 32));
    put32(f, (uint32_t)destination);
    put16(f, (unsigned)(source >> 32));
    put32(f, (uint32_t)source);
}

#define DF 0x4000u
#define MF 0x2000u

#define ADDR_1 0xc0000201 /* 192.0.2.1 */
#define ADDR_2 0xc6336402 /* 198.51.100.2 */

struct ipv4 {
    unsigned ihl; /* 0: 5; more are options of no operation. */
    unsigned tos, id, fragment, ttl, protocol, checksum;
};

static void
put_ipv4(struct frame *f, const struct ipv4 *ip)
{
    unsigned ihl = ip->ihl ? ip->ihl : 5;

    f->ip_at = f->used;
    put8(f, 0x40 | ihl);
    put8(f, ip->tos);
    put16(f, 0); /* See finish(). */
    put16(f, ip->id);
    put16(f, ip->fragment);
    put8(f, ip->ttl);
    put8(f, ip->protocol);
    put16(f, ip->checksum);
    put32(f, ADDR_1);
    put32(f, ADDR_2);
    for (; ihl > 5; ihl--)
        put32(f, 0x01010101);
}

struct ipv6 {
    unsigned traffic_class, flow_label, next_header, hop_limit;
};

/* From 2001:db8::1 to 2001:db8::2. */
static void
put_ipv6(struct frame *f, const struct ipv6 *ip)
{
    f->ip_at = f->used;
    put32(f, 0x60000000 | ip->traffic_class << 20 | ip->flow_label);
    put16(f, 0);
    put8(f, ip->next_header);
    put8(f, ip->hop_limit);
    for (unsigned i = 1; i <= 2; i++) {
        put32(f, 0x20010db8);
        put32(f, 0);
        put32(f, 0);
        put32(f, i);
    }
}

/* An extension header of 8 bytes, padded. */
static void
put_extension(struct frame *f, unsigned next_header)
{
    put8(f, next_header);
    put8(f, 0);
    put16(f, 0x0104); /* Four bytes of padding. */
    put32(f, 0);
}

static void
put_fragment6(struct frame *f, unsigned next_header, unsigned offset_and_more)
{
    put8(f, next_header);
    put8(f, 0);
    put16(f, offset_and_more);
    put32(f, 1);
}

struct tcp {
    unsigned src_port, dst_port;
    uint32_t seq, ack;
    unsigned words, flags, window, checksum, urgent;
};

static void
put_tcp(struct frame *f, const struct tcp *tcp)
{
    put16(f, tcp->src_port);
    put16(f, tcp->dst_port);
    put32(f, tcp->seq);
    put32(f, tcp->ack);
    put8(f, tcp->words << 4);
    put8(f, tcp->flags);
    put16(f, tcp->window);
    put16(f, tcp->checksum);
    put16(f, tcp->urgent);
}

static void
put_mss(struct frame *f, unsigned mss)
{
    put16(f, 0x0204);
    put16(f, mss);
}

static void
put_udp(struct frame *f, unsigned src_port, unsigned dst_port, unsigned length,
        unsigned checksum)
{
    put16(f, src_port);
    put16(f, dst_port);
    put16(f, length);
    put16(f, checksum);
}

static void
put_icmp(struct frame *f, unsigned type, unsigned code, unsigned checksum,
         uint32_t body)
{
    put8(f, type);
    put8(f, code);
    put16(f, checksum);
    put32(f, body);
}

/* --- Packets -------------------------------------------------------------- */

/* A data segment with an option. 52 bytes: 20, 24, 8. */
static void
tcp4(struct frame *f)
{
    put_ipv4(f, &(struct ipv4){ .tos = 0xb9,
                                .id = 0x1234,
                                .fragment = DF,
                                .ttl = 65,
                                .protocol = 6,
                                .checksum = 0xabcd });
    put_tcp(f, &(struct tcp){ .src_port = 5000,
                              .dst_port = 80,
                              .seq = 0x01020304,
                              .ack = 0xf5060708,
                              .words = 6,
                              .flags = 0x12, /* Ack, Syn. */
                              .window = 8192,
                              .checksum = 0xcafe,
                              .urgent = 258 });
    put_mss(f, 1460);
    put_text(f, "GET / HT");
}

/* The same, of which 47 bytes were captured: 3 of the payload. */
static void
cut4(struct frame *f)
{
    tcp4(f);
    f->held_bytes = 47;
}

/* 33 bytes: 20, 8, 5. */
static void
udp4(struct frame *f)
{
    put_ipv4(f, &(struct ipv4){ .id = 7, .ttl = 128, .protocol = 17 });
    put_udp(f, 53, 49153, 13, 0xbeef);
    put_text(f, "\1\2\3\4\5");
}

/* The same on the loopback interface. */
static void
lo4(struct frame *f)
{
    udp4(f);
    f->flags = NSP_PKT_LOOPBACK;
}

/* Behind an IP option. 32 bytes: 24, 8. */
static void
icmp4(struct frame *f)
{
    put_ipv4(f, &(struct ipv4){ .ihl = 6, .id = 1, .ttl = 1, .protocol = 1 });
    put_icmp(f, 8, 5, 0x1111, 0x00020003);
}

/* 64 bytes: 40, 20, 4. */
static void
tcp6(struct frame *f)
{
    put_ipv6(f, &(struct ipv6){ .traffic_class = 0xab,
                                .flow_label = 0xabcde,
                                .next_header = 6,
                                .hop_limit = 63 });
    put_tcp(f, &(struct tcp){ .src_port = 50000,
                              .dst_port = 443,
                              .seq = 0x80000000,
                              .ack = 1,
                              .words = 5,
                              .flags = 0x29, /* Urg, Psh, Fin. */
                              .window = 65535,
                              .checksum = 0x1234 });
    put32(f, 0xaabbccdd);
}

/* Behind hop-by-hop and destination options. 68 bytes: 40, 8, 8, 8, 4. */
static void
udp6(struct frame *f)
{
    put_ipv6(f, &(struct ipv6){ .next_header = 0, .hop_limit = 64 });
    put_extension(f, 60);
    put_extension(f, 17);
    put_udp(f, 5000, 80, 12, 0x9999);
    put_text(f, "abcd");
}

/* 48 bytes: 40, 8. */
static void
icmp6(struct frame *f)
{
    put_ipv6(f, &(struct ipv6){ .next_header = 58, .hop_limit = 255 });
    put_icmp(f, 135, 3, 0x4444, 0xdeadbeef);
}

/* Every extension header that is skipped, AH with its own unit of length, and
 * an atomic fragment; then TCP without flags. 108 bytes: 40, 6 * 8, 20. */
static void
chain6(struct frame *f)
{
    put_ipv6(f, &(struct ipv6){ .next_header = 0, .hop_limit = 64 });
    put_extension(f, 43);
    put_extension(f, 44);
    put_fragment6(f, 51, 0);
    put32(f, 0x3c000000); /* AH of 2 words, two of which do not count. */
    put32(f, 0);
    put_extension(f, 135);
    put_extension(f, 6);
    put_tcp(f, &(struct tcp){ .src_port = 1, .dst_port = 2, .words = 5 });
}

/* What is not skipped, before what would be TCP. 60 bytes: 40, 20. */
static void
esp6(struct frame *f)
{
    put_ipv6(f, &(struct ipv6){ .next_header = 50, .hop_limit = 64 });
    put_tcp(f, &(struct tcp){ .src_port = 5000, .dst_port = 80, .words = 5 });
}

static void
none6(struct frame *f)
{
    put_ipv6(f, &(struct ipv6){ .next_header = 59, .hop_limit = 64 });
    put_tcp(f, &(struct tcp){ .src_port = 5000, .dst_port = 80, .words = 5 });
}

/* The first and a later fragment of a datagram. 36 and 28 bytes. */
static void
first4(struct frame *f)
{
    put_ipv4(f, &(struct ipv4){
                    .id = 9, .fragment = MF, .ttl = 64, .protocol = 17 });
    put_udp(f, 5000, 80, 256, 0);
    put_text(f, "abcdefgh");
}

static void
later4(struct frame *f)
{
    put_ipv4(
        f, &(struct ipv4){ .id = 9, .fragment = 2, .ttl = 64, .protocol = 17 });
    put_udp(f, 5000, 80, 256, 0); /* Data that looks like a header. */
}

/* 64 and 56 bytes; the later one is not the last. */
static void
first6(struct frame *f)
{
    put_ipv6(f, &(struct ipv6){ .next_header = 44, .hop_limit = 64 });
    put_fragment6(f, 17, 1);
    put_udp(f, 5000, 80, 256, 0);
    put_text(f, "abcdefgh");
}

static void
later6(struct frame *f)
{
    put_ipv6(f, &(struct ipv6){ .next_header = 44, .hop_limit = 64 });
    put_fragment6(f, 17, 4 << 3 | 1);
    put_udp(f, 5000, 80, 256, 0);
}

/* No transport that has a name. 28 bytes: 20, 8. */
static void
esp4(struct frame *f)
{
    put_ipv4(f, &(struct ipv4){ .ttl = 64, .protocol = 50 });
    put_text(f, "abcdefgh");
}

/* A bare header. 20 bytes. */
static void
bare4(struct frame *f)
{
    put_ipv4(f, &(struct ipv4){ .ttl = 64, .protocol = 253 });
}

/* TCP and UDP headers that lack their last byte. 39 and 27 bytes. */
static void
short_tcp4(struct frame *f)
{
    put_ipv4(f, &(struct ipv4){ .ttl = 64, .protocol = 6 });
    put_tcp(f, &(struct tcp){ .src_port = 5000, .dst_port = 80, .words = 5 });
    f->ip_cut = 1;
}

static void
short_udp4(struct frame *f)
{
    put_ipv4(f, &(struct ipv4){ .ttl = 64, .protocol = 17 });
    put_udp(f, 5000, 80, 8, 0);
    f->ip_cut = 1;
}

/* A TCP data offset that is too small. 40 bytes. */
static void
small_tcp4(struct frame *f)
{
    put_ipv4(f, &(struct ipv4){ .ttl = 64, .protocol = 6 });
    put_tcp(f, &(struct tcp){ .src_port = 5000, .dst_port = 80, .words = 4 });
}

/* A TCP data offset beyond the packet. 44 bytes. */
static void
clamp4(struct frame *f)
{
    put_ipv4(f, &(struct ipv4){ .ttl = 64, .protocol = 6 });
    put_tcp(f, &(struct tcp){ .src_port = 5000, .dst_port = 80, .words = 15 });
    put_text(f, "abcd");
}

/* ICMP in IPv6, and ICMPv6 in IPv4. */
static void
icmp_in6(struct frame *f)
{
    put_ipv6(f, &(struct ipv6){ .next_header = 1, .hop_limit = 64 });
    put_icmp(f, 8, 0, 0, 0);
}

static void
icmp6_in4(struct frame *f)
{
    put_ipv4(f, &(struct ipv4){ .ttl = 64, .protocol = 58 });
    put_icmp(f, 128, 0, 0, 0);
}

/* A header length of 4 words. */
static void
broken4(struct frame *f)
{
    put_ipv4(f, &(struct ipv4){ .ttl = 64, .protocol = 6 });
    f->bytes[0] = 0x44;
}

/* Tagged, both congestion flags, and padding behind the 41 bytes of IP. */
static void
vlan4(struct frame *f)
{
    put_ethernet(f, 0x020000000002, 0x020000000001);
    put16(f, 0x8100);
    put16(f, 0x2064); /* Priority 1, identifier 100. */
    put16(f, 0x0800);
    put_ipv4(f, &(struct ipv4){ .ttl = 64, .protocol = 6 });
    put_tcp(f, &(struct tcp){ .src_port = 80,
                              .dst_port = 80,
                              .words = 5,
                              .flags = 0xc4 }); /* Cwr, Ece, Rst. */
    put8(f, 0x7f);
    put_text(f, "pad");
    f->ip_cut = 3;
}

/* Two tags: the outer has identifier 7. */
static void
qinq4(struct frame *f)
{
    put_ethernet(f, 0x020000000002, 0x020000000001);
    put16(f, 0x88a8);
    put16(f, 0xe007);
    put16(f, 0x8100);
    put16(f, 100);
    put16(f, 0x0800);
    put_ipv4(f, &(struct ipv4){ .ttl = 64, .protocol = 17 });
    put_udp(f, 5000, 80, 8, 0);
}

/* Who has 192.0.2.2? */
static void
arp(struct frame *f)
{
    put_ethernet(f, 0xffffffffffff, 0x020000000001);
    put16(f, 0x0806);
    put32(f, 0x00010800);
    put32(f, 0x06040001);
    put32(f, 0x02000000);
    put16(f, 0x0001);
    put32(f, ADDR_1);
    put32(f, 0);
    put16(f, 0);
    put32(f, 0xc0000202);
}

static const struct {
    const char *name;
    void (*build)(struct frame *f);
} frames[] = {
    { "tcp4", tcp4 },
    { "cut4", cut4 },
    { "udp4", udp4 },
    { "lo4", lo4 },
    { "icmp4", icmp4 },
    { "tcp6", tcp6 },
    { "udp6", udp6 },
    { "icmp6", icmp6 },
    { "chain6", chain6 },
    { "esp6", esp6 },
    { "none6", none6 },
    { "first4", first4 },
    { "later4", later4 },
    { "first6", first6 },
    { "later6", later6 },
    { "esp4", esp4 },
    { "bare4", bare4 },
    { "short_tcp4", short_tcp4 },
    { "short_udp4", short_udp4 },
    { "small_tcp4", small_tcp4 },
    { "clamp4", clamp4 },
    { "icmp_in6", icmp_in6 },
    { "icmp6_in4", icmp6_in4 },
    { "broken4", broken4 },
    { "vlan4", vlan4 },
    { "qinq4", qinq4 },
    { "arp", arp },
};

/* --- Completion ----------------------------------------------------------- */

static void
finish(struct frame *f)
{
    uint8_t *ip = f->bytes + f->ip_at;
    uint32_t bytes = f->used - f->ip_at - f->ip_cut;

    if (ip[0] >> 4 == 4)
        nsp_store_be16(ip + 2, (uint16_t)bytes);
    else if (ip[0] >> 4 == 6)
        nsp_store_be16(ip + 4, (uint16_t)(bytes - 40));
}

bool
named_frame_init(struct named_frame *frame, const char *name,
                 enum nsp_direction direction)
{
    /* TCP is tracked here, the rest is not. */
    static const struct nsp_flow_view flow = {
        .pkts = 7,
        .bytes = UINT64_C(5000000000),
        .age_ms = 12000,
        .state = NSP_FLOW_FIN_WAIT,
        .is_reply = 1,
    };
    struct frame f = { .bytes = frame->bytes, .link = NSP_LINK_RAW };
    size_t i = 0;

    while (i < NSP_ARRAY_LEN(frames) && strcmp(frames[i].name, name) != 0)
        i++;
    if (i == NSP_ARRAY_LEN(frames))
        return false;
    memset(frame, 0, sizeof *frame);
    frames[i].build(&f);
    if (frames[i].build != arp)
        finish(&f);
    frame->pkt = (struct nsp_pkt){
        .data = frame->bytes,
        .cap_bytes = f.held_bytes ? f.held_bytes : f.used,
        .wire_bytes = f.used,
        .link = (uint8_t)f.link,
        .direction = (uint8_t)direction,
        .flags = f.flags,
        .in_ifindex = NAMED_IN_IFINDEX,
        .out_ifindex = NAMED_OUT_IFINDEX,
        .mark = NAMED_MARK,
        .uid = frames[i].build == arp ? UINT32_MAX : NAMED_UID,
    };
    nsp_pkt_parse(&frame->pkt);
    if (frame->pkt.l4 == NSP_L4_TCP)
        frame->pkt.flow = &flow;
    return true;
}
