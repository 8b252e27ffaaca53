#include "flow/flow_table.h"

#include <errno.h>
#include <stdlib.h>

#include "base/prng.h"
#include "flow/flow_tcp.h"
#include "tests/lib/flow_table.h"

#define SECOND NSP_NS_PER_SECOND
#define MS     UINT64_C(1000000)

/* --- Against a list --------------------------------------------------------
 */

/* What the table should know, found by going through all flows. Of TCP it asks
 * flow_tcp.c, which has its own test. */
struct model_flow {
    struct packet_words words;  /* Of the first packet. */
    struct nsp_flow tcp;        /* State and flags alone. */
    uint64_t pkts[2], bytes[2]; /* Of the first packet's way, and back. */
    uint64_t first_ns, last_ns[2], reply_first_ns;
};

struct model {
    struct model_flow flows[400];
    uint32_t count;
    uint64_t aged, reopened;
};

static bool
is_icmp(uint8_t proto)
{
    return proto == NSP_PROTO_ICMP || proto == NSP_PROTO_ICMPV6;
}

static bool
has_ports(const struct packet_words *words)
{
    if (words->fragment != 0 && !words->ipv6)
        return false;
    return words->proto == NSP_PROTO_TCP || words->proto == NSP_PROTO_UDP;
}

static bool
is_echo(const struct packet_words *words)
{
    if (words->fragment != 0 && !words->ipv6)
        return false;
    if (words->proto == NSP_PROTO_ICMP && !words->ipv6)
        return words->src_port == 0 || words->src_port == 8;
    return words->proto == NSP_PROTO_ICMPV6 && words->ipv6 &&
           (words->src_port == 128 || words->src_port == 129);
}

/* 0: another flow, 1: the same way, 2: the other. */
static int
relation(const struct packet_words *a, const struct packet_words *b)
{
    bool same, back;

    if (a->ipv6 != b->ipv6 || a->proto != b->proto ||
        (!a->ipv6 && (a->fragment != 0) != (b->fragment != 0)))
        return 0;
    same = a->src == b->src && a->dst == b->dst;
    back = a->src == b->dst && a->dst == b->src;
    if (has_ports(a)) {
        same &= a->src_port == b->src_port && a->dst_port == b->dst_port;
        back &= a->src_port == b->dst_port && a->dst_port == b->src_port;
    } else if (is_icmp(a->proto)) {
        uint32_t id_a = is_echo(a) ? a->dst_port : 0;
        uint32_t id_b = is_echo(b) ? b->dst_port : 0;

        same &= id_a == id_b;
        back &= id_a == id_b;
    }
    return same ? 1 : 2 * back;
}

static uint64_t
model_timeout_ms(const struct model_flow *flow)
{
    if (has_ports(&flow->words) && flow->words.proto == NSP_PROTO_TCP) {
        switch (flow->tcp.state) {
        case NSP_FLOW_ESTABLISHED:
            return 7440000;
        case NSP_FLOW_SYN_SENT:
        case NSP_FLOW_SYN_RECEIVED:
            return 60000;
        case NSP_FLOW_FIN_WAIT:
        case NSP_FLOW_CLOSING:
            return 240000;
        default:
            return 30000;
        }
    }
    if (has_ports(&flow->words))
        return flow->tcp.state == NSP_FLOW_ESTABLISHED ? 300000 : 30000;
    if ((flow->words.fragment == 0 || flow->words.ipv6) &&
        is_icmp(flow->words.proto) &&
        (flow->words.proto == NSP_PROTO_ICMPV6) == flow->words.ipv6)
        return 30000;
    return 600000;
}

static bool
model_is_expired(const struct model_flow *flow, uint64_t now_ns)
{
    uint64_t last_ns = flow->last_ns[0] > flow->last_ns[1] ? flow->last_ns[0]
                                                           : flow->last_ns[1];

    return now_ns / MS - last_ns / MS > model_timeout_ms(flow);
}

static void
model_begin(struct model_flow *flow, const struct packet_words *words,
            bool is_tcp, uint64_t now_ns)
{
    struct nsp_flow_segment segment = { words->tcp_flags, words->seq,
                                        words->ack };

    *flow = (struct model_flow){ .words = *words, .first_ns = now_ns };
    flow->tcp.kind = NSP_L4_TCP;
    if (!is_tcp)
        return;
    /* Way LOW here is that of the first packet. */
    if (nsp_flow_tcp_origin(&segment, NSP_FLOW_LOW) == NSP_FLOW_HIGH)
        flow->tcp.flags |= NSP_FLOW_ORIGIN;
    nsp_flow_tcp_begin(&flow->tcp, NSP_FLOW_LOW, &segment);
}

static void
model_go_on(struct model_flow *flow, const struct packet_words *words,
            enum nsp_flow_way way, bool is_tcp)
{
    struct nsp_flow_segment segment = { words->tcp_flags, words->seq,
                                        words->ack };

    if (is_tcp)
        nsp_flow_tcp_go_on(&flow->tcp, way, &segment);
    else if (way == NSP_FLOW_HIGH)
        flow->tcp.state = NSP_FLOW_ESTABLISHED;
}

static struct model_flow *
model_track(struct model *model, const struct packet_words *words,
            uint32_t ip_bytes, uint64_t now_ns)
{
    bool is_tcp = has_ports(words) && words->proto == NSP_PROTO_TCP;
    struct nsp_flow_segment segment = { words->tcp_flags, 0, 0 };
    struct model_flow *flow = NULL;
    int way = 0;

    for (uint32_t i = 0; i < model->count && !flow; i++) {
        way = relation(&model->flows[i].words, words);
        flow = way != 0 ? &model->flows[i] : NULL;
    }
    if (flow && model_is_expired(flow, now_ns)) {
        model->aged++;
        way = 0;
    } else if (flow && is_tcp &&
               nsp_flow_tcp_is_reopened(&flow->tcp, &segment)) {
        model->reopened++;
        way = 0;
    }
    if (!flow) {
        CHECK(model->count < NSP_ARRAY_LEN(model->flows));
        flow = &model->flows[model->count++];
    }
    if (way == 0)
        model_begin(flow, words, is_tcp, now_ns);
    else
        model_go_on(flow, words, way == 1 ? NSP_FLOW_LOW : NSP_FLOW_HIGH,
                    is_tcp);
    way = way == 2;
    if (flow->pkts[way]++ == 0 && way == 1)
        flow->reply_first_ns = now_ns;
    flow->bytes[way] += ip_bytes;
    flow->tcp.pkts_low[way]++;
    flow->last_ns[way] = now_ns;
    return flow;
}

/* Few endpoints, so that flows meet often. */
static struct packet_words
random_words(struct nsp_prng *prng)
{
    static const uint8_t protos[] = { 6, 6, 6, 17, 17, 1, 58, 47 };
    static const uint8_t flags[] = {
        2, 0x12, 0x10, 0x10, 0x10, 0x11, 0x04, 0x14
    };
    static const uint8_t types[] = { 0, 8, 3, 11, 128, 129, 1 };
    uint64_t r = nsp_prng_next(prng);
    struct packet_words words = {
        .ipv6 = r & 1,
        .proto = protos[r >> 1 & 7],
        .src = r >> 4 & 1,
        .dst = r >> 5 & 1,
        .src_port = (uint16_t)(1 + (r >> 6 & 1)),
        .dst_port = (uint16_t)(1 + (r >> 7 & 1)),
        .tcp_flags = flags[r >> 8 & 7],
        .seq = (uint32_t)(r >> 11 & 15) << 20,
        .ack = (uint32_t)(r >> 15 & 15) << 20,
        .fragment = (r >> 19 & 15) == 0 ? 0x2000 : 0,
    };

    if (is_icmp(words.proto))
        words.src_port = types[(r >> 24) % NSP_ARRAY_LEN(types)];
    return words;
}

static void
compare(const struct model_flow *model, const struct nsp_flow_hit *hit,
        bool back, uint64_t now_ns)
{
    const struct nsp_flow *flow = hit->flow;
    enum nsp_flow_way same = back ? nsp_flow_other((enum nsp_flow_way)hit->way)
                                  : (enum nsp_flow_way)hit->way;
    enum nsp_flow_way other = nsp_flow_other(same);
    bool model_reversed = (model->tcp.flags & NSP_FLOW_ORIGIN) != 0;
    struct nsp_flow_view view;

    nsp_flow_read_view(flow, (enum nsp_flow_way)hit->way, now_ns, &view);
    CHECK_EQ(flow->state, model->tcp.state);
    CHECK_EQ(nsp_flow_pkts(flow, same), model->pkts[0]);
    CHECK_EQ(nsp_flow_pkts(flow, other), model->pkts[1]);
    CHECK_EQ(flow->bytes[same], model->bytes[0]);
    CHECK_EQ(flow->bytes[other], model->bytes[1]);
    CHECK_EQ(flow->first_ns, model->first_ns);
    CHECK_EQ(flow->last_ms[same], (uint32_t)(model->last_ns[0] / MS));
    if (model->pkts[1] > 0) {
        CHECK_EQ(flow->last_ms[other], (uint32_t)(model->last_ns[1] / MS));
        if (!model_reversed)
            CHECK_EQ(flow->reply_first_ms,
                     (uint32_t)(model->reply_first_ns / MS));
    }
    CHECK_EQ(view.pkts, model->pkts[0] + model->pkts[1]);
    CHECK_EQ(view.bytes, model->bytes[0] + model->bytes[1]);
    CHECK_EQ(view.age_ms, (now_ns - model->first_ns) / MS);
    CHECK_EQ(view.is_reply, back != model_reversed);
    CHECK_EQ(view.state, flow->state);
}

TEST(flow_table_knows_what_a_list_knows)
{
    struct nsp_flow_table *table = create_flow_table(512, 512);
    struct model *model = calloc(1, sizeof *model);
    struct flow_packet *packets = calloc(NSP_BURST_MAX, sizeof *packets);
    /* Some time before milliseconds wrap. */
    uint64_t now_ns = (UINT64_C(1) << 32) * MS - 500 * SECOND;
    struct nsp_prng prng;

    CHECK(model && packets);
    nsp_prng_init(&prng, 5, 0);
    for (int round = 0; round < 4000; round++) {
        struct packet_words words[NSP_BURST_MAX];
        struct nsp_pkt *pkts[NSP_BURST_MAX];
        struct nsp_flow_hit hits[NSP_BURST_MAX];
        uint32_t n = (uint32_t)(nsp_prng_next(&prng) % (NSP_BURST_MAX + 1));

        for (uint32_t i = 0; i < n; i++) {
            words[i] = random_words(&prng);
            pkts[i] = make_flow_packet(&packets[i], &words[i]);
        }
        /* Now and then long enough for some to time out. */
        now_ns += nsp_prng_next(&prng) % (round % 16 == 0 ? 400 * SECOND : MS);
        nsp_flow_table_track_burst(table, pkts, n, now_ns, hits);
        for (uint32_t i = 0; i < n; i++) {
            struct model_flow *flow =
                model_track(model, &words[i], pkts[i]->ip_bytes, now_ns);

            /* The table is ahead by what follows in the burst. */
            if (i + 1 == n)
                compare(flow, &hits[i], relation(&flow->words, &words[i]) == 2,
                        now_ns);
        }
        CHECK(check_flow_table(table) == NULL);
    }
    CHECK_EQ(flow_stats_of(table).begun,
             model->count + model->aged + model->reopened);
    CHECK_EQ(flow_stats_of(table).aged, model->aged);
    CHECK_EQ(flow_stats_of(table).reopened, model->reopened);
    CHECK_EQ(flow_stats_of(table).flows, model->count);
    CHECK(model->aged > 100 && model->reopened > 100);
    destroy_flow_table(table);
    free(model);
    free(packets);
}

TEST(flow_table_has_no_flow_for_what_is_not_ip)
{
    struct nsp_flow_table *table = create_flow_table(16, 0);
    uint8_t bytes[40] = { 0 };
    struct nsp_pkt pkt = { .data = bytes, .cap_bytes = 40, .wire_bytes = 40 };
    struct nsp_pkt *pkts[] = { &pkt };
    struct nsp_flow_hit hit = { .flow = NULL, .way = 3 };

    nsp_pkt_parse(&pkt);
    nsp_flow_table_track_burst(table, pkts, 1, 0, &hit);
    CHECK(hit.flow == NULL);
    CHECK_EQ(flow_stats_of(table).refused, 0);
    destroy_flow_table(table);
}

TEST(flow_table_carries_32_bits_of_packets_on)
{
    struct nsp_flow_table *table = create_flow_table(16, 0);
    struct packet_words words = udp_flow(1);
    struct nsp_flow_hit hit = track_flow(table, &words, 0);

    hit.flow->pkts_low[hit.way] = UINT32_MAX;
    hit = track_flow(table, &words, 0);
    CHECK_EQ(nsp_flow_pkts(hit.flow, (enum nsp_flow_way)hit.way), UINT64_C(1)
                                                                      << 32);
    destroy_flow_table(table);
}

TEST(flow_table_leaves_stamp_and_value_to_their_owner)
{
    struct nsp_flow_table *table = create_flow_table(16, 0);
    struct packet_words words = udp_flow(1);
    struct nsp_flow_hit hit = track_flow(table, &words, 0);

    CHECK(hit.flow->stamp[hit.way] == 0 && hit.flow->value[hit.way] == 0);
    hit.flow->stamp[hit.way] = 77;
    hit.flow->value[hit.way] = 88;
    hit = track_flow(table, &words, 29 * SECOND);
    CHECK(hit.flow->stamp[hit.way] == 77 && hit.flow->value[hit.way] == 88);
    hit = track_flow(table, &words, 70 * SECOND); /* Timed out. */
    CHECK(hit.flow->stamp[hit.way] == 0 && hit.flow->value[hit.way] == 0);
    destroy_flow_table(table);
}

/* --- Ageing -----------------------------------------------------------------
 */

TEST(flow_table_forgets_what_timed_out_before_its_memory_is_reclaimed)
{
    struct nsp_flow_table *table = create_flow_table(1000, 0);
    uint32_t cursor = 0, count = 0, some;

    for (uint32_t i = 0; i < 100; i++)
        confirm_flow(table, i, 0);
    for (uint32_t i = 100; i < 200; i++) {
        struct packet_words words = udp_flow(i);

        track_flow(table, &words, 0);
    }
    /* 30 s for those that nobody answered. */
    while (nsp_flow_table_next(table, 30001 * MS, &cursor))
        count++;
    CHECK_EQ(count, 100);
    for (uint32_t i = 0; i < 200; i++) {
        struct packet_words words = udp_flow(i);

        CHECK(look_up_flow(table, &words, 30 * SECOND) != NULL);
        CHECK_EQ(look_up_flow(table, &words, 30001 * MS) != NULL, i < 100);
    }
    CHECK_EQ(flow_stats_of(table).flows, 200);
    /* Some in the first places, the others in all that there are. */
    some = nsp_flow_table_age(table, 30001 * MS, 150);
    CHECK(some > 0 && some < 100);
    CHECK_EQ(nsp_flow_table_age(table, 30001 * MS, UINT32_MAX), 100 - some);
    CHECK_EQ(nsp_flow_table_age(table, 300001 * MS, UINT32_MAX), 100);
    CHECK_EQ(flow_stats_of(table).flows, 0);
    CHECK_EQ(flow_stats_of(table).aged, 200);
    destroy_flow_table(table);
}

TEST(flow_table_obeys_timeouts_that_were_asked_for)
{
    struct nsp_flow_config cfg = { .capacity_flows = 16, .secret = { 1, 1 } };
    struct packet_words words = udp_flow(1);
    struct nsp_flow_table *table;

    cfg.timeout_s[NSP_FLOW_TIMER_UDP_NEW] = 2;
    CHECK_EQ(nsp_flow_table_create(&cfg, NULL, &table), 0);
    track_flow(table, &words, 0);
    CHECK(look_up_flow(table, &words, 2 * SECOND) != NULL);
    CHECK(look_up_flow(table, &words, 2001 * MS) == NULL);
    destroy_flow_table(table);
}

/* --- Lifetime ---------------------------------------------------------------
 */

TEST(flow_table_refuses_what_it_cannot_be_made_of)
{
    const struct nsp_flow_config good = { .capacity_flows = 16,
                                          .half_open_max = 16 };
    struct nsp_flow_config cfg = good;
    struct nsp_flow_table *table = NULL;

    cfg.capacity_flows = NSP_FLOW_CAPACITY_MIN - 1;
    CHECK_EQ(nsp_flow_table_create(&cfg, NULL, &table), -EINVAL);
    cfg.capacity_flows = NSP_FLOW_CAPACITY_MAX + 1;
    CHECK_EQ(nsp_flow_table_create(&cfg, NULL, &table), -EINVAL);
    cfg = good;
    cfg.half_open_max = 17;
    CHECK_EQ(nsp_flow_table_create(&cfg, NULL, &table), -EINVAL);
    cfg = good;
    cfg.timeout_s[NSP_FLOW_TIMER_OTHER] = NSP_FLOW_TIMEOUT_S_MAX + 1;
    CHECK_EQ(nsp_flow_table_create(&cfg, NULL, &table), -EINVAL);
    CHECK(table == NULL);
    CHECK(nsp_flow_table_destroy(NULL) == NULL);
}

TEST_MAIN(cmocka_unit_test(flow_table_knows_what_a_list_knows),
          cmocka_unit_test(flow_table_has_no_flow_for_what_is_not_ip),
          cmocka_unit_test(flow_table_carries_32_bits_of_packets_on),
          cmocka_unit_test(flow_table_leaves_stamp_and_value_to_their_owner),
          cmocka_unit_test(
              flow_table_forgets_what_timed_out_before_its_memory_is_reclaimed),
          cmocka_unit_test(flow_table_obeys_timeouts_that_were_asked_for),
          cmocka_unit_test(flow_table_refuses_what_it_cannot_be_made_of))
