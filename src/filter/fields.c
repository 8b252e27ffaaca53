#include "filter/fields.h"

#include <string.h>

/* Shorthands for the table alone: layers, places in struct nsp_pkt, and kinds
 * of rows. */
#define N   NSP_ON_NETWORK
#define M   NSP_ON_FORWARD
#define F   NSP_ON_FLOW
#define S   NSP_ON_SOCKET
#define R   NSP_ON_REFLECT
#define ALL (N | M | F | S | R)

#define AT(member)      (uint16_t) offsetof(struct nsp_pkt, member)
#define FLOW_AT(member) (uint16_t) offsetof(struct nsp_flow_view, member)

#define CONSTANT(name_, id_, value_, doc_)                                     \
    {                                                                          \
        .name = name_, .doc = doc_, .id = id_, .layers = ALL, .bits = 1,       \
        .type = NSP_TYPE_CONSTANT, .fetch = NSP_FETCH_ZERO, .arg = value_      \
    }
#define IS(name_, id_, layers_, member_, value_, doc_)                         \
    {                                                                          \
        .name = name_, .doc = doc_, .id = id_, .layers = layers_, .bits = 1,   \
        .type = NSP_TYPE_BOOL, .fetch = NSP_FETCH_IS, .offset = AT(member_),   \
        .arg = value_                                                          \
    }
#define FLAG(name_, id_, layers_, shift_, doc_)                                \
    {                                                                          \
        .name = name_, .doc = doc_, .id = id_, .layers = layers_, .bits = 1,   \
        .type = NSP_TYPE_BOOL, .fetch = NSP_FETCH_FLAG, .shift = shift_        \
    }
#define META(name_, id_, layers_, bits_, need_, fetch_, doc_)                  \
    {                                                                          \
        .name = name_, .doc = doc_, .id = id_, .layers = layers_,              \
        .bits = bits_, .type = NSP_TYPE_NUMBER, .need = need_, .fetch = fetch_ \
    }
#define TYPED(name_, id_, layers_, type_, bits_, need_, fetch_, doc_)          \
    {                                                                          \
        .name = name_, .doc = doc_, .id = id_, .layers = layers_,              \
        .bits = bits_, .type = type_, .need = need_, .fetch = fetch_           \
    }
#define RANDOM(name_, id_, bits_, shift_, doc_)                                \
    {                                                                          \
        .name = name_, .doc = doc_, .id = id_, .layers = N | M, .bits = bits_, \
        .type = NSP_TYPE_NUMBER, .fetch = NSP_FETCH_RANDOM, .shift = shift_    \
    }

/* Header fields: the network-order word at 'offset' and the shift that brings
 * the lowest bit down. */
#define HEADER(name_, id_, bits_, need_, fetch_, arg_, offset_, shift_, doc_)  \
    {                                                                          \
        .name = name_, .doc = doc_, .id = id_, .layers = N | M, .bits = bits_, \
        .type = (bits_) == 1 ? NSP_TYPE_BOOL : NSP_TYPE_NUMBER, .need = need_, \
        .fetch = fetch_, .arg = arg_, .offset = offset_, .shift = shift_       \
    }
#define IP4(name_, id_, bits_, offset_, shift_, doc_)                          \
    HEADER(name_, id_, bits_, NSP_NEED_IPV4, NSP_FETCH_L3, NSP_L3_IPV4,        \
           offset_, shift_, doc_)
#define IP6(name_, id_, bits_, offset_, shift_, doc_)                          \
    HEADER(name_, id_, bits_, NSP_NEED_IPV6, NSP_FETCH_L3, NSP_L3_IPV6,        \
           offset_, shift_, doc_)
#define ICMP4(name_, id_, bits_, offset_, shift_, doc_)                        \
    HEADER(name_, id_, bits_, NSP_NEED_ICMP, NSP_FETCH_L4, NSP_L4_ICMP,        \
           offset_, shift_, doc_)
#define ICMP6(name_, id_, bits_, offset_, shift_, doc_)                        \
    HEADER(name_, id_, bits_, NSP_NEED_ICMPV6, NSP_FETCH_L4, NSP_L4_ICMPV6,    \
           offset_, shift_, doc_)
#define TCP(name_, id_, bits_, offset_, shift_, doc_)                          \
    HEADER(name_, id_, bits_, NSP_NEED_TCP, NSP_FETCH_L4, NSP_L4_TCP, offset_, \
           shift_, doc_)
#define UDP(name_, id_, bits_, offset_, shift_, doc_)                          \
    HEADER(name_, id_, bits_, NSP_NEED_UDP, NSP_FETCH_L4, NSP_L4_UDP, offset_, \
           shift_, doc_)
#define ADDR4(name_, id_, offset_, doc_)                                       \
    {                                                                          \
        .name = name_, .doc = doc_, .id = id_, .layers = N | M, .bits = 32,    \
        .type = NSP_TYPE_IPV4, .need = NSP_NEED_IPV4, .fetch = NSP_FETCH_L3,   \
        .arg = NSP_L3_IPV4, .offset = offset_                                  \
    }
#define ADDR6(name_, id_, offset_, doc_)                                       \
    {                                                                          \
        .name = name_, .doc = doc_, .id = id_, .layers = N | M, .bits = 128,   \
        .type = NSP_TYPE_IPV6, .need = NSP_NEED_IPV6,                          \
        .fetch = NSP_FETCH_ADDR6, .arg = NSP_L3_IPV6, .offset = offset_        \
    }
#define BYTES(name_, id_, size_, need_, arg_, doc_)                            \
    {                                                                          \
        .name = name_, .doc = doc_, .id = id_, .layers = N | M,                \
        .bits = (size_)*8, .type = NSP_TYPE_NUMBER, .need = need_,             \
        .fetch = NSP_FETCH_BYTES, .arg = arg_, .element_bytes = size_          \
    }
#define ADDED(name_, layers_, type_, bits_, need_, fetch_, doc_)               \
    TYPED(name_, NSP_FIELD_NO_ID, layers_, type_, bits_, need_, fetch_, doc_)
#define ARP_FIELD(name_, bits_, offset_, shift_, doc_)                         \
    HEADER(name_, NSP_FIELD_NO_ID, bits_, NSP_NEED_ARP, NSP_FETCH_L3,          \
           NSP_L3_ARP, offset_, shift_, doc_)
#define ARP_ADDR(name_, offset_, doc_)                                         \
    {                                                                          \
        .name = name_, .doc = doc_, .id = NSP_FIELD_NO_ID, .layers = N | M,    \
        .bits = 32, .type = NSP_TYPE_IPV4, .need = NSP_NEED_ARP,               \
        .fetch = NSP_FETCH_L3, .arg = NSP_L3_ARP, .offset = offset_            \
    }
#define MAC(name_, need_, arg_, offset_, doc_)                                 \
    {                                                                          \
        .name = name_, .doc = doc_, .id = NSP_FIELD_NO_ID, .layers = N | M,    \
        .bits = 48, .type = NSP_TYPE_MAC, .need = need_,                       \
        .fetch = NSP_FETCH_MAC, .arg = arg_, .offset = offset_                 \
    }
#define FLOW(name_, type_, bits_, fetch_, member_, doc_)                       \
    {                                                                          \
        .name = name_, .doc = doc_, .id = NSP_FIELD_NO_ID, .layers = N | M,    \
        .bits = bits_, .type = type_, .need = NSP_NEED_FLOW, .fetch = fetch_,  \
        .offset = FLOW_AT(member_)                                             \
    }
#define FLOW_COUNT(name_, member_, doc_)                                       \
    FLOW(name_, NSP_TYPE_NUMBER, 64, NSP_FETCH_FLOW_COUNT, member_, doc_)
#define LATER(name_, doc_)                                                     \
    ADDED(name_, ALL, NSP_TYPE_TEXT, 1, NSP_NEED_EVENT, NSP_FETCH_LATER, doc_)
#define PAYLOAD_LENGTH(name_, id_, need_, arg_)                                \
    {                                                                          \
        .name = name_, .id = id_, .layers = N | M, .bits = 32,                 \
        .type = NSP_TYPE_NUMBER, .need = need_,                                \
        .fetch = NSP_FETCH_PAYLOAD_LENGTH, .arg = arg_,                        \
        .doc = "bytes after the transport header, on the wire"                 \
    }

/* clang-format off */
const struct nsp_field nsp_fields[] = {
    CONSTANT("zero",   0,               0, "always 0"),
    CONSTANT("true",   NSP_FIELD_NO_ID, 1, "always 1"),
    CONSTANT("false",  NSP_FIELD_NO_ID, 0, "always 0"),
    TYPED("event",     70, ALL, NSP_TYPE_EVENT, 4, NSP_NEED_EVENT,
          NSP_FETCH_NEVER, "event number; a packet's is PACKET"),
    TYPED("timestamp", 81, ALL, NSP_TYPE_SIGNED, 64, NSP_NEED_NOTHING,
          NSP_FETCH_TIMESTAMP, "time of capture, in nanoseconds"),

    IS("inbound",      1, N | F | S, direction, NSP_INBOUND,
       "1 if bound for this machine"),
    IS("outbound",     2, N | F | S, direction, NSP_OUTBOUND,
       "1 if sent by this machine"),
    META("ifIdx",      3, N | M, 32, NSP_NEED_NOTHING, NSP_FETCH_IFINDEX,
         "interface number: where it goes out if outbound, else came in"),
    META("subIfIdx",   4, N | M, 32, NSP_NEED_NOTHING, NSP_FETCH_ZERO,
         "sub-interface number; 0 on Linux"),
    FLAG("loopback",   58, N | F | S, 0, "1 if on the loopback interface"),
    TYPED("impostor",  59, N | M, NSP_TYPE_BOOL, 1, NSP_NEED_NOTHING,
          NSP_FETCH_ZERO, "1 if injected by another driver; 0 on Linux"),
    FLAG("fragment",   85, N | M, 2, "1 for any IP fragment, the first included"),

    IS("ip",           5, N | M | F | S, l3, NSP_L3_IPV4, "1 if IPv4"),
    IS("ipv6",         6, N | M | F | S, l3, NSP_L3_IPV6, "1 if IPv6"),
    IS("icmp",         7, N | M | F | S, l4, NSP_L4_ICMP,
       "1 if there is an ICMP header, in IPv4"),
    IS("tcp",          8, N | M | F | S, l4, NSP_L4_TCP,
       "1 if there is a TCP header"),
    IS("udp",          9, N | M | F | S, l4, NSP_L4_UDP,
       "1 if there is a UDP header"),
    IS("icmpv6",       10, N | M | F | S, l4, NSP_L4_ICMPV6,
       "1 if there is an ICMPv6 header, in IPv6"),

    { .name = "protocol", .id = 65, .layers = N | F | S, .bits = 8,
      .type = NSP_TYPE_NUMBER, .fetch = NSP_FETCH_BYTE, .offset = AT(ip_proto),
      .doc = "transport number, after IPv6 extension headers" },
    TYPED("localAddr",  61, N | F | S, NSP_TYPE_IPV6, 128, NSP_NEED_IP_SIDE,
          NSP_FETCH_LOCAL_ADDR, "address of this machine, by direction"),
    TYPED("remoteAddr", 62, N | F | S, NSP_TYPE_IPV6, 128, NSP_NEED_IP_SIDE,
          NSP_FETCH_REMOTE_ADDR, "address of the other side, by direction"),
    META("localPort",  63, N | F | S, 16, NSP_NEED_SIDE, NSP_FETCH_LOCAL_PORT,
         "port of this machine; type of outbound ICMP; else 0"),
    META("remotePort", 64, N | F | S, 16, NSP_NEED_SIDE, NSP_FETCH_REMOTE_PORT,
         "port of the other side; type of inbound ICMP; else 0"),
    META("processId",  60, F | S | R, 32, NSP_NEED_EVENT, NSP_FETCH_NEVER,
         "process of the flow, socket or handle"),
    META("endpointId", 66, F | S, 64, NSP_NEED_EVENT, NSP_FETCH_NEVER,
         "endpoint of the flow or socket"),
    META("parentEndpointId", 67, F | S, 64, NSP_NEED_EVENT, NSP_FETCH_NEVER,
         "endpoint that accepted or made this one"),
    TYPED("layer",     68, R, NSP_TYPE_LAYER, 3, NSP_NEED_EVENT,
          NSP_FETCH_NEVER, "layer of the watched handle"),
    TYPED("priority",  69, R, NSP_TYPE_PRIORITY, 16, NSP_NEED_EVENT,
          NSP_FETCH_NEVER, "priority of the watched handle"),

    META("length",     80, N | M, 32, NSP_NEED_NOTHING, NSP_FETCH_LENGTH,
         "bytes from the IP header on, on the wire"),
    RANDOM("random8",  82, 8, 48, "hash of headers, time and seed, 8 bits"),
    RANDOM("random16", 83, 16, 32, "the same, 16 other bits"),
    RANDOM("random32", 84, 32, 0, "the same, 32 other bits"),
    BYTES("packet",    71, 1, NSP_NEED_IP, 0, "byte, from the IP header on"),
    BYTES("packet16",  72, 2, NSP_NEED_IP, 0, "2 bytes, from the IP header on"),
    BYTES("packet32",  73, 4, NSP_NEED_IP, 0, "4 bytes, from the IP header on"),

    IP4("ip.HdrLength", 11, 4,  0, 24, "header length, in 32-bit words"),
    IP4("ip.TOS",       12, 8,  0, 16, "type of service: DSCP and ECN"),
    IP4("ip.Length",    13, 16, 0, 0,  "total length"),
    IP4("ip.Id",        14, 16, 4, 16, "identification"),
    IP4("ip.DF",        15, 1,  4, 14, "don't fragment"),
    IP4("ip.MF",        16, 1,  4, 13, "more fragments"),
    IP4("ip.FragOff",   17, 13, 4, 0,  "fragment offset, in 8-byte units"),
    IP4("ip.TTL",       18, 8,  8, 24, "time to live"),
    IP4("ip.Protocol",  19, 8,  8, 16, "transport number"),
    IP4("ip.Checksum",  20, 16, 8, 0,  "header checksum"),
    ADDR4("ip.SrcAddr", 21, 12, "source address"),
    ADDR4("ip.DstAddr", 22, 16, "destination address"),

    IP6("ipv6.TrafficClass", 23, 8,  0, 20, "traffic class: DSCP and ECN"),
    IP6("ipv6.FlowLabel",    24, 20, 0, 0,  "flow label"),
    IP6("ipv6.Length",       25, 16, 4, 16, "payload length"),
    IP6("ipv6.NextHdr",      26, 8,  4, 8,  "type of the first header after it"),
    IP6("ipv6.HopLimit",     27, 8,  4, 0,  "hop limit"),
    ADDR6("ipv6.SrcAddr",    28, 8,  "source address"),
    ADDR6("ipv6.DstAddr",    29, 24, "destination address"),

    ICMP4("icmp.Type",       30, 8,  0, 24, "message type"),
    ICMP4("icmp.Code",       31, 8,  0, 16, "message code"),
    ICMP4("icmp.Checksum",   32, 16, 0, 0,  "checksum"),
    ICMP4("icmp.Body",       33, 32, 4, 0,  "bytes 4 to 7 of the header"),
    ICMP6("icmpv6.Type",     34, 8,  0, 24, "message type"),
    ICMP6("icmpv6.Code",     35, 8,  0, 16, "message code"),
    ICMP6("icmpv6.Checksum", 36, 16, 0, 0,  "checksum"),
    ICMP6("icmpv6.Body",     37, 32, 4, 0,  "bytes 4 to 7 of the header"),

    TCP("tcp.SrcPort",   38, 16, 0,  16, "source port"),
    TCP("tcp.DstPort",   39, 16, 0,  0,  "destination port"),
    TCP("tcp.SeqNum",    40, 32, 4,  0,  "sequence number"),
    TCP("tcp.AckNum",    41, 32, 8,  0,  "acknowledgement number"),
    TCP("tcp.HdrLength", 42, 4,  12, 28, "header length, in 32-bit words"),
    TCP("tcp.Urg",       43, 1,  12, 21, "urgent pointer is valid"),
    TCP("tcp.Ack",       44, 1,  12, 20, "acknowledgement is valid"),
    TCP("tcp.Psh",       45, 1,  12, 19, "push"),
    TCP("tcp.Rst",       46, 1,  12, 18, "reset"),
    TCP("tcp.Syn",       47, 1,  12, 17, "synchronise"),
    TCP("tcp.Fin",       48, 1,  12, 16, "finish"),
    TCP("tcp.Window",    49, 16, 12, 0,  "window"),
    TCP("tcp.Checksum",  50, 16, 16, 16, "checksum"),
    TCP("tcp.UrgPtr",    51, 16, 16, 0,  "urgent pointer"),
    PAYLOAD_LENGTH("tcp.PayloadLength", 52, NSP_NEED_TCP, NSP_L4_TCP),
    BYTES("tcp.Payload",   74, 1, NSP_NEED_TCP, NSP_L4_TCP, "payload byte"),
    BYTES("tcp.Payload16", 75, 2, NSP_NEED_TCP, NSP_L4_TCP, "2 payload bytes"),
    BYTES("tcp.Payload32", 76, 4, NSP_NEED_TCP, NSP_L4_TCP, "4 payload bytes"),

    UDP("udp.SrcPort",  53, 16, 0, 16, "source port"),
    UDP("udp.DstPort",  54, 16, 0, 0,  "destination port"),
    UDP("udp.Length",   55, 16, 4, 16, "length, header included"),
    UDP("udp.Checksum", 56, 16, 4, 0,  "checksum"),
    PAYLOAD_LENGTH("udp.PayloadLength", 57, NSP_NEED_UDP, NSP_L4_UDP),
    BYTES("udp.Payload",   77, 1, NSP_NEED_UDP, NSP_L4_UDP, "payload byte"),
    BYTES("udp.Payload16", 78, 2, NSP_NEED_UDP, NSP_L4_UDP, "2 payload bytes"),
    BYTES("udp.Payload32", 79, 4, NSP_NEED_UDP, NSP_L4_UDP, "4 payload bytes"),

    /* Additions to WinDivert's. */
    IP4("ip.Dscp",   NSP_FIELD_NO_ID, 6, 0, 18, "differentiated services code point"),
    IP4("ip.Ecn",    NSP_FIELD_NO_ID, 2, 0, 16, "explicit congestion notification"),
    IP6("ipv6.Dscp", NSP_FIELD_NO_ID, 6, 0, 22, "differentiated services code point"),
    IP6("ipv6.Ecn",  NSP_FIELD_NO_ID, 2, 0, 20, "explicit congestion notification"),
    ICMP4("icmp.Id",    NSP_FIELD_NO_ID, 16, 4, 16, "identifier of an echo message"),
    ICMP4("icmp.Seq",   NSP_FIELD_NO_ID, 16, 4, 0,  "sequence number of an echo message"),
    ICMP6("icmpv6.Id",  NSP_FIELD_NO_ID, 16, 4, 16, "identifier of an echo message"),
    ICMP6("icmpv6.Seq", NSP_FIELD_NO_ID, 16, 4, 0,  "sequence number of an echo message"),
    TCP("tcp.Ece",   NSP_FIELD_NO_ID, 1, 12, 22, "congestion was notified"),
    TCP("tcp.Cwr",   NSP_FIELD_NO_ID, 1, 12, 23, "congestion window was reduced"),
    TCP("tcp.Flags", NSP_FIELD_NO_ID, 8, 12, 16, "all flags: Cwr is 128, Fin is 1"),
    ADDED("tcp.Mss", N | M, NSP_TYPE_NUMBER, 16, NSP_NEED_MSS, NSP_FETCH_MSS,
          "maximum segment size option"),
    MAC("eth.DstAddr", NSP_NEED_ETHERNET, 0, 0, "destination of the frame"),
    MAC("eth.SrcAddr", NSP_NEED_ETHERNET, 0, 6, "source of the frame"),
    ADDED("eth.Type", N | M, NSP_TYPE_NUMBER, 16, NSP_NEED_ETHERNET,
          NSP_FETCH_ETHER_TYPE, "protocol, after all tags; 0 if it is a length"),
    ADDED("vlan.Id", N | M, NSP_TYPE_NUMBER, 12, NSP_NEED_VLAN, NSP_FETCH_VLAN,
          "identifier of the outermost tag"),
    IS("arp", NSP_FIELD_NO_ID, N | M, l3, NSP_L3_ARP, "1 if ARP for IPv4 over Ethernet"),
    ARP_FIELD("arp.Op", 16, 4, 0, "1 request, 2 reply"),
    ARP_ADDR("arp.SrcAddr", 14, "IPv4 address of the sender"),
    ARP_ADDR("arp.DstAddr", 24, "IPv4 address asked for"),
    MAC("arp.SrcMac", NSP_NEED_ARP, NSP_L3_ARP, 8, "hardware address of the sender"),
    MAC("arp.DstMac", NSP_NEED_ARP, NSP_L3_ARP, 18, "hardware address asked for"),
    ADDED("mark", N | M, NSP_TYPE_NUMBER, 32, NSP_NEED_NOTHING, NSP_FETCH_MARK,
          "firewall mark; 0 in captures"),
    ADDED("uid", N | M, NSP_TYPE_NUMBER, 32, NSP_NEED_UID, NSP_FETCH_UID,
          "user that owns the local socket"),
    FLOW_COUNT("flow.Packets", pkts, "packets of the flow so far, this one included"),
    FLOW_COUNT("flow.Bytes", bytes, "their bytes, from the IP header on"),
    FLOW_COUNT("flow.Age", age_ms, "time since the flow's first packet, in ms; 10s, 5min"),
    FLOW("flow.State", NSP_TYPE_NUMBER, 8, NSP_FETCH_FLOW, state,
         "how far the flow has come: NEW to CLOSED"),
    FLOW("flow.Reply", NSP_TYPE_BOOL, 1, NSP_FETCH_FLOW, is_reply,
         "1 if against the direction of the flow's first packet"),
    ADDED("ifName", N | M, NSP_TYPE_TEXT, 1, NSP_NEED_NOTHING, NSP_FETCH_IFINDEX,
          "name of the interface of ifIdx, as it was when the filter was compiled"),
    LATER("process.Name", "program of the flow; not available yet"),
    LATER("app.Name",     "application protocol; not available yet"),
    LATER("server.Name",  "name that the client asked for; not available yet"),

    ADDED("a masked field", 0, NSP_TYPE_NUMBER, 32, NSP_NEED_NOTHING,
          NSP_FETCH_MASKED, ""),
    ADDED("two fields", 0, NSP_TYPE_NUMBER, 32, NSP_NEED_NOTHING,
          NSP_FETCH_COMPARED, ""),
    ADDED("a named set", 0, NSP_TYPE_NUMBER, 1, NSP_NEED_NOTHING,
          NSP_FETCH_IN_SET, ""),
};
const uint32_t nsp_field_count = NSP_ARRAY_LEN(nsp_fields);

const struct nsp_field *const nsp_field_masked =
    &nsp_fields[NSP_ARRAY_LEN(nsp_fields) - 3];
const struct nsp_field *const nsp_field_compared =
    &nsp_fields[NSP_ARRAY_LEN(nsp_fields) - 2];
const struct nsp_field *const nsp_field_in_set =
    &nsp_fields[NSP_ARRAY_LEN(nsp_fields) - 1];

const struct nsp_macro nsp_macros[] = {
    { "TRUE", 1, ALL, 1, 0 },
    { "FALSE", 0, ALL, 0, 0 },
    { "TCP", 6, ALL, 6, 0 },
    { "UDP", 17, ALL, 17, 0 },
    { "ICMP", 1, ALL, 1, 0 },
    { "ICMPV6", 58, ALL, 58, 0 },
    { "NETWORK", 0, ALL, 0, 0 },
    { "NETWORK_FORWARD", 1, ALL, 1, 0 },
    { "FLOW", 2, ALL, 2, 0 },
    { "SOCKET", 3, ALL, 3, 0 },
    { "REFLECT", 4, ALL, 4, 0 },
    { "PACKET", 0, N | M, 0, 0 },
    { "ESTABLISHED", NSP_FLOW_ESTABLISHED, F, 1, N | M },
    { "DELETED", 2, F, 2, 0 },
    { "BIND", 3, S, 3, 0 },
    { "CONNECT", 4, S, 4, 0 },
    { "LISTEN", 5, S, 5, 0 },
    { "ACCEPT", 6, S, 6, 0 },
    { "OPEN", 8, R, 8, 0 },
    { "CLOSE", 7, S | R, 9, 0 },
    { "NEW", NSP_FLOW_NEW, 0, NSP_FLOW_NEW, N | M },
    { "SYN_SENT", NSP_FLOW_SYN_SENT, 0, NSP_FLOW_SYN_SENT, N | M },
    { "SYN_RECEIVED", NSP_FLOW_SYN_RECEIVED, 0, NSP_FLOW_SYN_RECEIVED, N | M },
    { "FIN_WAIT", NSP_FLOW_FIN_WAIT, 0, NSP_FLOW_FIN_WAIT, N | M },
    { "CLOSING", NSP_FLOW_CLOSING, 0, NSP_FLOW_CLOSING, N | M },
    { "TIME_WAIT", NSP_FLOW_TIME_WAIT, 0, NSP_FLOW_TIME_WAIT, N | M },
    { "CLOSED", NSP_FLOW_CLOSED, 0, NSP_FLOW_CLOSED, N | M },
};
const uint32_t nsp_macro_count = NSP_ARRAY_LEN(nsp_macros);
/* clang-format on */

/* The table gives these as bit numbers. */
static_assert(NSP_PKT_LOOPBACK == 1 << 0 && NSP_PKT_FRAGMENT == 1 << 2,
              "packet flags moved");
static_assert(NSP_FLOW_ESTABLISHED == 1, "WinDivert's event has that number");
static_assert(NSP_ARRAY_LEN(nsp_fields) <= NSP_FIELDS_MAX, "too many fields");

/* Most names differ early: a call for each would take most of the time. */
static bool
name_is(const char *name, const char *word, size_t bytes)
{
    size_t i = 0;

    while (i < bytes && name[i] == word[i] && name[i] != '\0')
        i++;
    return i == bytes && name[i] == '\0';
}

const struct nsp_field *
nsp_field_find(const char *name, size_t bytes)
{
    for (uint32_t i = 0; i < nsp_field_count; i++) {
        if (name_is(nsp_fields[i].name, name, bytes))
            return &nsp_fields[i];
    }
    return NULL;
}

const struct nsp_macro *
nsp_macro_find(const char *name, size_t bytes)
{
    for (uint32_t i = 0; i < nsp_macro_count; i++) {
        if (name_is(nsp_macros[i].name, name, bytes))
            return &nsp_macros[i];
    }
    return NULL;
}

const struct nsp_field *
nsp_field_of_need(enum nsp_field_need need)
{
    static const char *const names[] = {
        [NSP_NEED_IPV4] = "ip",   [NSP_NEED_IPV6] = "ipv6",
        [NSP_NEED_TCP] = "tcp",   [NSP_NEED_UDP] = "udp",
        [NSP_NEED_ICMP] = "icmp", [NSP_NEED_ICMPV6] = "icmpv6",
    };

    if (need >= NSP_ARRAY_LEN(names) || !names[need])
        return NULL;
    return nsp_field_find(names[need], strlen(names[need]));
}

static struct nsp_field_range
range_of(int64_t min, uint64_t span)
{
    struct nsp_field_range range = { .span = nsp_u128(span) };

    range.min.negative = min < 0;
    range.min.magnitude =
        nsp_u128(min < 0 ? UINT64_C(0) - (uint64_t)min : (uint64_t)min);
    return range;
}

static struct nsp_field_range
event_range(enum nsp_layer layer)
{
    switch (layer) {
    case NSP_LAYER_FLOW:
        return range_of(1, 1);
    case NSP_LAYER_SOCKET:
        return range_of(3, 4);
    case NSP_LAYER_REFLECT:
        return range_of(8, 1);
    default:
        return range_of(0, 0);
    }
}

struct nsp_field_range
nsp_field_range(const struct nsp_field *field, enum nsp_layer layer)
{
    switch ((enum nsp_field_type)field->type) {
    case NSP_TYPE_CONSTANT:
        return range_of(field->arg, 0);
    case NSP_TYPE_SIGNED:
        assert(field->bits == 64);
        return range_of(INT64_MIN, UINT64_MAX);
    case NSP_TYPE_IPV4:
        return range_of((int64_t)NSP_IPV4_FIRST, UINT32_MAX);
    case NSP_TYPE_IPV6:
        return (struct nsp_field_range){ .span = NSP_U128_MAX };
    case NSP_TYPE_EVENT:
        return event_range(layer);
    case NSP_TYPE_LAYER:
        return range_of(0, NSP_LAYER_COUNT - 1);
    case NSP_TYPE_PRIORITY:
        return range_of(-30000, 60000);
    case NSP_TYPE_BOOL:
    case NSP_TYPE_NUMBER:
    case NSP_TYPE_MAC:
    case NSP_TYPE_TEXT:
        break;
    }
    return range_of(0, UINT64_MAX >> (64 - field->bits));
}
