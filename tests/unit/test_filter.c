/* What filters match, row by row. */
#include "tests/lib/filter.h"

#include <pthread.h>

#define IN  NSP_INBOUND
#define OUT NSP_OUTBOUND
#define ANY NSP_DIRECTION_NONE

static const struct nsp_filter_context context = {
    .random_seed = 7,
    .timestamp = -5000000000,
};

/* A field, the value it has in a sample, and the numbers next to that. */
struct field_row {
    unsigned sample;
    enum nsp_direction direction;
    const char *field, *below, *value, *above;
};

static const struct field_row field_rows[] = {
    { TCP4, IN, "inbound", "0", "1", "2" },
    { TCP4, OUT, "inbound", "-1", "0", "1" },
    { TCP4, ANY, "inbound", "-1", "0", "1" },
    { TCP4, IN, "outbound", "-1", "0", "1" },
    { TCP4, OUT, "outbound", "0", "1", "2" },
    { TCP4, ANY, "outbound", "-1", "0", "1" },
    { TCP4, IN, "zero", "-1", "0", "1" },
    { TCP4, IN, "true", "0", "1", "2" },
    { TCP4, IN, "false", "-1", "0", "1" },
    { TCP4, IN, "event", "-1", "PACKET", "1" },
    { TCP4, IN, "timestamp", "-5000000001", "-5000000000", "-4999999999" },
    { TCP4, IN, "ifIdx", "2", "3", "4" },
    { TCP4, OUT, "ifIdx", "3", "4", "5" },
    { TCP4, ANY, "ifIdx", "2", "3", "4" },
    { TCP4, IN, "subIfIdx", "-1", "0", "1" },
    { TCP4, IN, "loopback", "-1", "0", "1" },
    { TCP4, IN, "impostor", "-1", "0", "1" },
    { TCP4, IN, "fragment", "-1", "0", "1" },
    { FIRST4, IN, "fragment", "0", "1", "2" },
    { LATER4, IN, "fragment", "0", "1", "2" },
    { FIRST6, IN, "fragment", "0", "1", "2" },
    { LATER6, IN, "fragment", "0", "1", "2" },
    { TCP4, IN, "ip", "0", "1", "2" },
    { TCP6, IN, "ip", "-1", "0", "1" },
    { TCP6, IN, "ipv6", "0", "1", "2" },
    { TCP4, IN, "ipv6", "-1", "0", "1" },
    { ARP, IN, "ip", "-1", "0", "1" },
    { TCP4, IN, "tcp", "0", "1", "2" },
    { TCP6, IN, "tcp", "0", "1", "2" },
    { UDP4, IN, "tcp", "-1", "0", "1" },
    { SHORT4, IN, "tcp", "-1", "0", "1" },
    { CLAMP4, IN, "tcp", "0", "1", "2" },
    { UDP4, IN, "udp", "0", "1", "2" },
    { UDP6, IN, "udp", "0", "1", "2" },
    { FIRST4, IN, "udp", "0", "1", "2" },
    { LATER4, IN, "udp", "-1", "0", "1" },
    { FIRST6, IN, "udp", "0", "1", "2" },
    { LATER6, IN, "udp", "-1", "0", "1" },
    { ICMP4, IN, "icmp", "0", "1", "2" },
    { ICMP6, IN, "icmp", "-1", "0", "1" },
    { ICMP_IN6, IN, "icmp", "-1", "0", "1" },
    { ICMP6, IN, "icmpv6", "0", "1", "2" },
    { ICMP_IN6, IN, "icmpv6", "-1", "0", "1" },
    { TCP4, IN, "protocol", "5", "TCP", "7" },
    { UDP6, IN, "protocol", "16", "UDP", "18" },
    { ICMP4, IN, "protocol", "0", "ICMP", "2" },
    { ICMP6, IN, "protocol", "57", "ICMPV6", "59" },
    { LATER4, IN, "protocol", "16", "17", "18" },
    { LATER6, IN, "protocol", "16", "17", "18" },
    { SHORT4, IN, "protocol", "5", "6", "7" },
    { ESP4, IN, "protocol", "49", "50", "51" },
    { ARP, IN, "protocol", "-1", "0", "1" },
    { TCP4, OUT, "localAddr", "192.0.2.0", "192.0.2.1", "192.0.2.2" },
    { TCP4, IN, "localAddr", "198.51.100.1", "198.51.100.2", "198.51.100.3" },
    { TCP4, OUT, "remoteAddr", "198.51.100.1", "198.51.100.2", "198.51.100.3" },
    { TCP4, IN, "remoteAddr", "192.0.2.0", "::ffff:192.0.2.1", "192.0.2.2" },
    { TCP6, OUT, "localAddr", "2001:db8::", "2001:db8::1", "2001:db8::2" },
    { TCP6, IN, "localAddr", "2001:db8::1", "2001:db8::2", "2001:db8::3" },
    { TCP6, OUT, "remoteAddr", "2001:db8::1", "2001:db8::2", "2001:db8::3" },
    { TCP6, IN, "remoteAddr", "2001:db8::", "2001:db8::1", "2001:db8::2" },
    { TCP4, OUT, "localPort", "4999", "5000", "5001" },
    { TCP4, IN, "localPort", "79", "80", "81" },
    { TCP4, OUT, "remotePort", "79", "80", "81" },
    { TCP4, IN, "remotePort", "4999", "5000", "5001" },
    { UDP6, IN, "localPort", "79", "80", "81" },
    { ICMP4, OUT, "localPort", "7", "8", "9" },
    { ICMP4, OUT, "remotePort", "-1", "0", "1" },
    { ICMP4, IN, "localPort", "-1", "0", "1" },
    { ICMP4, IN, "remotePort", "7", "8", "9" },
    { ICMP6, OUT, "localPort", "134", "135", "136" },
    { ICMP6, IN, "remotePort", "134", "135", "136" },
    { LATER4, IN, "localPort", "-1", "0", "1" },
    { ESP4, OUT, "remotePort", "-1", "0", "1" },
    { TCP4, IN, "length", "51", "52", "53" },
    { UDP6, IN, "length", "67", "68", "69" },
    { ETHER_TCP4, IN, "length", "40", "41", "42" },
    { TCP4, IN, "packet[0]", "0x44", "0x45", "0x46" },
    { TCP4, IN, "packet[51]", "0x53", "0x54", "0x55" },
    { TCP4, IN, "packet[-1]", "0x53", "0x54", "0x55" },
    { TCP4, IN, "packet[-52]", "0x44", "0x45", "0x46" },
    { TCP4, IN, "packet[1b]", "0xb7", "0xb8", "0xb9" },
    { TCP4, IN, "packet[TRUE]", "0xb7", "0xb8", "0xb9" },
    { TCP4, IN, "packet16[1]", "51", "52", "53" },
    { TCP4, IN, "packet16[3b]", "0x3411", "0x3412", "0x3413" },
    { TCP4, IN, "packet16[-1]", "0x4853", "0x4854", "0x4855" },
    { TCP4, IN, "packet16[-3b]", "0x201f", "0x2048", "0x2049" },
    { TCP4, IN, "packet32[0x3]", "0xc0000200", "0xC0000201", "0xc0000202" },
    { TCP4, IN, "packet32[ - 2 ]", "0x4745541f", "0x47455420", "0x47455421" },
    { TCP4, IN, "packet32[-5b]", "0x202F2047", "0x202F2048", "0x202F2049" },
    { ETHER_TCP4, IN, "packet[0]", "0x44", "0x45", "0x46" },
    { ETHER_TCP4, IN, "packet[-1]", "0x7e", "0x7f", "0x80" },
    { TCP4, IN, "ip.HdrLength", "4", "5", "6" },
    { ICMP4, IN, "ip.HdrLength", "5", "6", "7" },
    { TCP4, IN, "ip.TOS", "0xb7", "0xb8", "0xb9" },
    { TCP4, IN, "ip.Length", "51", "52", "53" },
    { TCP4, IN, "ip.Id", "0x1233", "0x1234", "0x1235" },
    { TCP4, IN, "ip.DF", "0", "1", "2" },
    { UDP4, IN, "ip.DF", "-1", "0", "1" },
    { FIRST4, IN, "ip.MF", "0", "1", "2" },
    { TCP4, IN, "ip.MF", "-1", "0", "1" },
    { LATER4, IN, "ip.FragOff", "1", "2", "3" },
    { FIRST4, IN, "ip.FragOff", "-1", "0", "1" },
    { TCP4, IN, "ip.TTL", "64", "65", "66" },
    { TCP4, IN, "ip.Protocol", "5", "6", "7" },
    { TCP4, IN, "ip.Checksum", "0xabcc", "0xABCD", "0xabce" },
    { TCP4, IN, "ip.SrcAddr", "192.0.2.0", "192.0.2.1", "192.0.2.2" },
    { TCP4, IN, "ip.SrcAddr", "0xffffc0000200", "0xffffc0000201",
      "0xffffc0000202" },
    { TCP4, IN, "ip.DstAddr", "198.51.100.1", "198.051.100.2", "198.51.100.3" },
    { TCP6, IN, "ipv6.TrafficClass", "170", "171", "172" },
    { TCP6, IN, "ipv6.FlowLabel", "0x12344", "0x12345", "0x12346" },
    { TCP6, IN, "ipv6.Length", "23", "24", "25" },
    { TCP6, IN, "ipv6.NextHdr", "5", "6", "7" },
    { UDP6, IN, "ipv6.NextHdr", "-1", "0", "1" },
    { TCP6, IN, "ipv6.HopLimit", "62", "63", "64" },
    { TCP6, IN, "ipv6.SrcAddr", "2001:db8::", "2001:0DB8:0:0:0:0:0:1",
      "2001:db8::2" },
    { TCP6, IN, "ipv6.DstAddr", "2001:db8::1", "2001:db8::2", "2001:db8::3" },
    { ICMP4, IN, "icmp.Type", "7", "8", "9" },
    { ICMP4, IN, "icmp.Code", "4", "5", "6" },
    { ICMP4, IN, "icmp.Checksum", "0x1110", "0x1111", "0x1112" },
    { ICMP4, IN, "icmp.Body", "0x20002", "0x20003", "0x20004" },
    { ICMP6, IN, "icmpv6.Type", "134", "135", "136" },
    { ICMP6, IN, "icmpv6.Code", "2", "3", "4" },
    { ICMP6, IN, "icmpv6.Checksum", "0x4443", "0x4444", "0x4445" },
    { ICMP6, IN, "icmpv6.Body", "0xdeadbeee", "0xdeadbeef", "0xdeadbef0" },
    { TCP4, IN, "tcp.SrcPort", "4999", "5000", "5001" },
    { TCP4, IN, "tcp.DstPort", "79", "80", "81" },
    { TCP4, IN, "tcp.SeqNum", "0x01020303", "0x01020304", "0x01020305" },
    { TCP4, IN, "tcp.AckNum", "0xf5060707", "0xf5060708", "0xf5060709" },
    { TCP4, IN, "tcp.HdrLength", "5", "6", "7" },
    { TCP6, IN, "tcp.Urg", "0", "1", "2" },
    { TCP4, IN, "tcp.Urg", "-1", "0", "1" },
    { TCP4, IN, "tcp.Ack", "0", "1", "2" },
    { TCP6, IN, "tcp.Ack", "-1", "0", "1" },
    { TCP6, IN, "tcp.Psh", "0", "1", "2" },
    { TCP4, IN, "tcp.Psh", "-1", "0", "1" },
    { TCP4, IN, "tcp.Rst", "-1", "0", "1" },
    { TCP4, IN, "tcp.Syn", "0", "1", "2" },
    { TCP6, IN, "tcp.Syn", "-1", "0", "1" },
    { TCP6, IN, "tcp.Fin", "0", "1", "2" },
    { TCP4, IN, "tcp.Fin", "-1", "0", "1" },
    { TCP4, IN, "tcp.Window", "8191", "8192", "8193" },
    { TCP4, IN, "tcp.Checksum", "0xcafd", "0xcafe", "0xcaff" },
    { TCP4, IN, "tcp.UrgPtr", "0x101", "0x102", "0x103" },
    { TCP4, IN, "tcp.PayloadLength", "7", "8", "9" },
    { TCP6, IN, "tcp.PayloadLength", "3", "4", "5" },
    { CLAMP4, IN, "tcp.PayloadLength", "-1", "0", "1" },
    { ETHER_TCP4, IN, "tcp.PayloadLength", "0", "1", "2" },
    { TCP4, IN, "tcp.Payload[0]", "0x46", "0x47", "0x48" },
    { TCP4, IN, "tcp.Payload[-1]", "0x53", "0x54", "0x55" },
    { TCP4, IN, "tcp.Payload16[3]", "0x4853", "0x4854", "0x4855" },
    { TCP4, IN, "tcp.Payload32[1b]", "0x4554202e", "0x4554202f", "0x45542030" },
    { TCP6, IN, "tcp.Payload32[-1]", "0xaabbccdc", "0xaabbccdd", "0xaabbccde" },
    { UDP4, IN, "udp.SrcPort", "52", "53", "54" },
    { UDP4, IN, "udp.DstPort", "49152", "49153", "49154" },
    { UDP4, IN, "udp.Length", "12", "13", "14" },
    { UDP4, IN, "udp.Checksum", "0xbeee", "0xbeef", "0xbef0" },
    { UDP4, IN, "udp.PayloadLength", "4", "5", "6" },
    { FIRST4, IN, "udp.PayloadLength", "7", "8", "9" },
    { UDP4, IN, "udp.Payload[4]", "4", "5", "6" },
    { UDP4, IN, "udp.Payload16[-5b]", "0x101", "0x102", "0x103" },
    { UDP4, IN, "udp.Payload32[0]", "0x1020303", "0x1020304", "0x1020305" },
    { UDP6, IN, "udp.Payload32[-1]", "0x61626363", "0x61626364", "0x61626365" },
};

static const char *const relations[] = {
    "==", "=", "!=", "<", "<=", ">", ">="
};

/* Whether 'field relation number' holds for a field below (-1), at or above (1)
 * the number. */
static bool
holds(const char *relation, int side)
{
    if (strcmp(relation, "!=") == 0)
        return side != 0;
    if (relation[0] == '=')
        return side == 0;
    if (side == 0)
        return relation[1] == '=';
    return relation[0] == (side < 0 ? '<' : '>');
}

static void
check_field_row(const struct field_row *row)
{
    const char *const numbers[] = { row->below, row->value, row->above };
    struct sample sample;
    char text[128];

    sample_init(&sample, row->sample, row->direction);
    for (size_t r = 0; r < NSP_ARRAY_LEN(relations); r++) {
        for (int side = 1; side >= -1; side--) {
            bool expect = holds(relations[r], side);

            snprintf(text, sizeof text, "%s%s%s", row->field, relations[r],
                     numbers[1 - side]);
            if (match(text, NSP_LAYER_NETWORK, &sample.pkt, &context) != expect)
                fail_msg("sample %u: %s", row->sample, text);
            snprintf(text, sizeof text, "not %s %s %s", row->field,
                     relations[r], numbers[1 - side]);
            if (match(text, NSP_LAYER_NETWORK, &sample.pkt, &context) == expect)
                fail_msg("sample %u: %s", row->sample, text);
        }
    }
    snprintf(text, sizeof text, "%s == %s and (%s? %s: not %s)", row->field,
             row->value, row->field, row->field, row->field);
    CHECK(match(text, NSP_LAYER_NETWORK, &sample.pkt, &context));
}

TEST(filter_compares_every_field_by_every_relation)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(field_rows); i++)
        check_field_row(&field_rows[i]);
}

/* Fields and samples that lack them. */
static const struct {
    unsigned sample;
    enum nsp_direction direction;
    const char *field;
} absent_rows[] = {
    { TCP6, IN, "ip.TTL" },
    { TCP6, IN, "ip.SrcAddr" },
    { TCP6, IN, "ip.DF" },
    { ARP, IN, "ip.DstAddr" },
    { TCP4, IN, "ipv6.HopLimit" },
    { TCP4, IN, "ipv6.SrcAddr" },
    { TCP4, IN, "ipv6.FlowLabel" },
    { ARP, IN, "ipv6.DstAddr" },
    { UDP4, IN, "tcp.DstPort" },
    { UDP6, IN, "tcp.Syn" },
    { SHORT4, IN, "tcp.SrcPort" },
    { LATER4, IN, "udp.DstPort" },
    { LATER6, IN, "udp.DstPort" },
    { UDP4, IN, "tcp.PayloadLength" },
    { TCP4, IN, "udp.PayloadLength" },
    { TCP4, IN, "udp.Length" },
    { TCP4, IN, "icmp.Type" },
    { ICMP6, IN, "icmp.Type" },
    { ICMP4, IN, "icmpv6.Type" },
    { ICMP_IN6, IN, "icmp.Code" },
    { ICMP_IN6, IN, "icmpv6.Body" },
    { UDP4, IN, "tcp.Payload[0]" },
    { TCP4, IN, "udp.Payload[0]" },
    { TCP4, IN, "tcp.Payload[8]" },
    { TCP4, IN, "tcp.Payload[-9]" },
    { TCP4, IN, "tcp.Payload16[7b]" },
    { TCP4, IN, "tcp.Payload32[5b]" },
    { TCP4, IN, "tcp.Payload32[-9b]" },
    { CLAMP4, IN, "tcp.Payload[0]" },
    { CLAMP4, IN, "tcp.Payload[-1]" },
    { TCP4, IN, "packet[52]" },
    { TCP4, IN, "packet[-53]" },
    { TCP4, IN, "packet16[51b]" },
    { TCP4, IN, "packet32[13]" },
    { TCP4, IN, "packet32[-53b]" },
    { TCP4, IN, "packet[65534]" },
    { TCP4, IN, "packet[-65535]" },
    { ARP, IN, "packet[0]" },
    { ETHER_TCP4, IN, "packet[41]" },
    { ETHER_TCP4, IN, "tcp.Payload[1]" },
    { EMPTY4, IN, "packet[20]" },
    { TCP4, ANY, "localAddr" },
    { TCP4, ANY, "remoteAddr" },
    { TCP4, ANY, "localPort" },
    { TCP4, ANY, "remotePort" },
    { ARP, IN, "localAddr" },
};

TEST(filter_fails_every_test_on_an_absent_field)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(absent_rows); i++) {
        struct sample sample;
        char text[128];

        sample_init(&sample, absent_rows[i].sample, absent_rows[i].direction);
        for (size_t r = 0; r < 2 * NSP_ARRAY_LEN(relations); r++) {
            static const char *const numbers[] = { "0", "1", "-1", "70000",
                                                   "192.0.2.1" };

            for (size_t n = 0; n < NSP_ARRAY_LEN(numbers); n++) {
                snprintf(text, sizeof text, "%s%s %s %s",
                         r % 2 == 0 ? "" : "not ", absent_rows[i].field,
                         relations[r / 2], numbers[n]);
                if (match(text, NSP_LAYER_NETWORK, &sample.pkt, &context))
                    fail_msg("sample %u: %s", absent_rows[i].sample, text);
            }
        }
    }
}

/* Grammar, folding and the decided differences from WinDivert. */
static const struct {
    unsigned sample;
    bool expect;
    const char *text;
} rows[] = {
    { TCP4, true, "tcp" },
    { TCP4, true, "  \t\r\n\v\ftcp  " },
    { TCP4, true, "true" },
    { TCP4, false, "false" },
    { TCP4, false, "true == 0" },
    { TCP4, true, "not not tcp" },
    { TCP4, false, "!!!tcp" },
    { UDP4, true, "not tcp" },
    { TCP4, true, "tcp and ip" },
    { TCP4, true, "tcp && ip" },
    { TCP4, true, "udp or tcp" },
    { TCP4, true, "udp || tcp" },
    { TCP6, true, "tcp or udp and ip" },
    { TCP6, false, "(tcp or udp) and ip" },
    { UDP4, true, "udp and ip or tcp" },
    { TCP4, true, "((((tcp))))" },
    { TCP4, true, "(tcp? ip: udp)" },
    { TCP6, false, "(tcp? ip: udp)" },
    { UDP6, true, "(tcp ? ip : udp)" },
    { UDP6, true, "(tcp? ip :udp)" },
    { TCP4, false, "(tcp? false: true)" },
    { UDP4, true, "(tcp? false: true)" },
    { UDP4, true, "(tcp.DstPort == 80? false: true)" },
    { TCP4, true, "(tcp.DstPort == 80? true: udp)" },
    { TCP4, true, "(true? (false? udp: tcp): udp)" },
    { TCP4, true, "(tcp? tcp.DstPort == 80: udp.DstPort == 53)" },
    { TCP6, true, "(ip? ip.SrcAddr == 1.2.3.4: ipv6.SrcAddr == 2001:db8::1)" },
    { TCP6, false, "(ipv6.SrcAddr == :: ? true: false)" },
    { TCP4, true, "tcp.DstPort = 80" },
    { TCP4, true, "tcp.DstPort==80&&tcp.SrcPort==5000" },
    { TCP4, true, "tcp.DstPort == 0x50" },
    { TCP4, true, "tcp.DstPort == 0080" },
    { TCP4, true, "tcp.DstPort > - 80" },
    { TCP4, true, "tcp.DstPort == ::50" },
    { TCP4, true, "zero == 0x" },
    { TCP4, true, "timestamp < -0" },
    { TCP4, true, "timestamp == -5000000000" },
    { TCP4, true, "tcp.Syn == TRUE" },
    { TCP4, true, "tcp.DstPort != FLOW" },
    /* Never true: false, not "no such header". */
    { UDP4, false, "tcp.DstPort == 70000" },
    { TCP4, false, "tcp.DstPort == 70000" },
    { TCP6, false, "ip.SrcAddr == 1" },
    { TCP6, false, "ip.TTL > 300" },
    { UDP4, false, "tcp.Payload[0] == 300" },
    { TCP4, false, "tcp.SeqNum == 0x101020304" },
    { TCP4, false, "packet32[0] == 0x145b80034" },
    { TCP4, false, "loopback == 5" },
    { TCP4, false, "impostor == 2" },
    { TCP4, false, "ip.TOS == 300" },
    { TCP4, false, "event == 1" },
    { TCP4, false, "tcp.DstPort == -80" },
    /* Always true: the header is there. */
    { TCP4, true, "tcp.DstPort < 70000" },
    { UDP4, false, "tcp.DstPort < 70000" },
    { TCP4, true, "tcp.DstPort >= 0" },
    { UDP4, false, "tcp.DstPort >= 0" },
    { TCP4, false, "ipv6.DstAddr >= ::" },
    { TCP6, true, "ipv6.DstAddr >= ::" },
    { TCP4, true, "protocol < 256" },
    { TCP4, false, "packet[1000] >= 0" },
    { TCP4, true, "packet[51] >= 0" },
    { TCP4, true, "ip.SrcAddr >= 0" },
    { TCP6, false, "ip.SrcAddr >= 0" },
    { TCP4, true, "random8 < 256" },
    { TCP4, true, "random32 <= 0xffffffff" },
    /* Sets and ranges. */
    { TCP4, true,
      "tcp.DstPort == 79 or tcp.DstPort == 80 or tcp.DstPort == 443" },
    { TCP4, false,
      "tcp.DstPort == 79 or tcp.DstPort == 81 or tcp.DstPort == 443" },
    { TCP4, true, "tcp.DstPort >= 80 and tcp.DstPort <= 90" },
    { TCP4, false, "tcp.DstPort > 80 and tcp.DstPort <= 90" },
    { TCP4, false, "tcp.DstPort == 80 and tcp.DstPort == 81" },
    { TCP4, true,
      "tcp.DstPort != 79 and tcp.DstPort != 81 and tcp.DstPort != 443" },
    { TCP4, false,
      "tcp.DstPort != 79 and tcp.DstPort != 80 and tcp.DstPort != 443" },
    { UDP4, false,
      "tcp.DstPort != 79 and tcp.DstPort != 81 and tcp.DstPort != 443" },
    { UDP4, false, "tcp.DstPort < 5 or tcp.DstPort >= 5" },
    { TCP4, true, "tcp.DstPort < 5 or tcp.DstPort >= 5" },
    { TCP4, true,
      "tcp.SeqNum == 5 or tcp.SeqNum == 0x1020304 or tcp.SeqNum == "
      "0xffffffff" },
    { TCP4, false,
      "tcp.SeqNum == 5 or tcp.SeqNum == 0x1020305 or tcp.SeqNum == "
      "0xffffffff" },
    { TCP6, true,
      "ipv6.SrcAddr == ::1 or ipv6.SrcAddr == 2001:db8::1 or ipv6.SrcAddr == "
      "ffff::" },
    { TCP6, false,
      "ipv6.SrcAddr == ::1 or ipv6.SrcAddr == 2001:db8::3 or ipv6.SrcAddr == "
      "ffff::" },
    { TCP4, true, "ip.SrcAddr >= 192.0.2.0 and ip.SrcAddr <= 192.0.2.255" },
    { TCP4, true, "packet[0] == 0x45 or packet[1] == 0x45" },
    { TCP4, false, "packet[0] == 0x46 or packet[1] == 0x45" },
    /* A packet whose IP header is unusable matches nothing; one that has none
     * matches what needs none. */
    { BROKEN, false, "true" },
    { BROKEN, false, "not tcp" },
    { BROKEN, false, "inbound" },
    { ARP, true, "true" },
    { ARP, true, "inbound" },
    { ARP, true, "not tcp" },
    { ARP, true, "length == 28" },
    { ARP, false, "ip or ipv6" },
};

TEST(filter_means_what_it_says)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        struct sample sample;

        sample_init(&sample, rows[i].sample, IN);
        if (match(rows[i].text, NSP_LAYER_NETWORK, &sample.pkt, &context) !=
            rows[i].expect)
            fail_msg("sample %u: %s", rows[i].sample, rows[i].text);
    }
}

TEST(filter_tells_loopback)
{
    struct sample sample;

    sample_init(&sample, TCP4, OUT);
    sample.pkt.flags |= NSP_PKT_LOOPBACK;
    CHECK(match("loopback", NSP_LAYER_NETWORK, &sample.pkt, NULL));
    CHECK(!match("inbound and loopback", NSP_LAYER_NETWORK, &sample.pkt, NULL));
}

/* The end of a packet is its end on the wire, but bytes not held are not there
 * to be tested. */
TEST(filter_knows_lengths_of_packets_that_are_cut)
{
    struct sample sample;

    sample_init(&sample, TCP4, IN);
    sample.pkt.cap_bytes = 47;
    nsp_pkt_parse(&sample.pkt);
    CHECK(match("length == 52", NSP_LAYER_NETWORK, &sample.pkt, NULL));
    CHECK(
        match("tcp.PayloadLength == 8", NSP_LAYER_NETWORK, &sample.pkt, NULL));
    CHECK(match("packet[46] == 0x54", NSP_LAYER_NETWORK, &sample.pkt, NULL));
    CHECK(!match("packet[47] >= 0", NSP_LAYER_NETWORK, &sample.pkt, NULL));
    CHECK(match("packet[-6] == 0x54", NSP_LAYER_NETWORK, &sample.pkt, NULL));
    CHECK(!match("packet[-5] >= 0", NSP_LAYER_NETWORK, &sample.pkt, NULL));
    CHECK(
        match("tcp.Payload[2] == 0x54", NSP_LAYER_NETWORK, &sample.pkt, NULL));
    CHECK(!match("tcp.Payload[3] >= 0", NSP_LAYER_NETWORK, &sample.pkt, NULL));
    CHECK(
        !match("tcp.Payload16[1] >= 0", NSP_LAYER_NETWORK, &sample.pkt, NULL));
    CHECK(!match("tcp.Payload[-1] >= 0", NSP_LAYER_NETWORK, &sample.pkt, NULL));
}

/* 64,000 draws: 5 standard deviations of the count are 5 * sqrt(n p (1 - p)).
 */
TEST(filter_draws_flat_random_numbers_from_the_seed)
{
    static const char *const halves[] = { "random8 < 128", "random16 < 32768",
                                          "random32 < 0x80000000" };
    struct sample sample;

    sample_init(&sample, TCP4, IN);
    for (size_t h = 0; h < NSP_ARRAY_LEN(halves); h++) {
        struct nsp_filter *filter = compile(halves[h], NSP_LAYER_NETWORK);
        struct nsp_filter_context seed = { .random_seed = 1 };
        uint32_t matched = 0, same_as_other_seed = 0;

        for (uint32_t i = 0; i < 64000; i++) {
            bool drawn, other;

            sample.pkt.arrival_ns = i;
            seed.random_seed = 1;
            drawn = nsp_filter_match(filter, &sample.pkt, &seed);
            CHECK_EQ(nsp_filter_match(filter, &sample.pkt, &seed), drawn);
            seed.random_seed = 2;
            other = nsp_filter_match(filter, &sample.pkt, &seed);
            matched += drawn;
            same_as_other_seed += drawn == other;
        }
        assert_in_range(matched, 32000 - 633, 32000 + 633);
        assert_in_range(same_as_other_seed, 32000 - 633, 32000 + 633);
        nsp_filter_destroy(filter);
    }
}

#define THREADS 8

static void *
match_many(void *opaque)
{
    struct nsp_filter *filter = opaque;
    uintptr_t wrong = 0;

    for (uint32_t i = 0; i < 20000; i++) {
        struct sample sample;

        sample_init(&sample, i % 2 == 0 ? TCP4 : UDP4, OUT);
        wrong += nsp_filter_match(filter, &sample.pkt, NULL) != (i % 2 == 0);
    }
    return (void *)wrong;
}

TEST(filter_is_matched_by_many_threads_at_once)
{
    struct nsp_filter *filter =
        compile("outbound and (tcp.DstPort == 80 or tcp.DstPort == 443)",
                NSP_LAYER_NETWORK);
    pthread_t threads[THREADS];
    void *wrong;

    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, match_many, filter), 0);
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(threads[i], &wrong), 0);
        CHECK(wrong == NULL);
    }
    nsp_filter_destroy(filter);
}

TEST_MAIN(cmocka_unit_test(filter_compares_every_field_by_every_relation),
          cmocka_unit_test(filter_fails_every_test_on_an_absent_field),
          cmocka_unit_test(filter_means_what_it_says),
          cmocka_unit_test(filter_tells_loopback),
          cmocka_unit_test(filter_knows_lengths_of_packets_that_are_cut),
          cmocka_unit_test(filter_draws_flat_random_numbers_from_the_seed),
          cmocka_unit_test(filter_is_matched_by_many_threads_at_once))
