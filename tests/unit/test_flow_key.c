#include "flow/flow_key.h"
#include "base/prng.h"
#include "tests/lib/flow_packet.h"
#include "tests/lib/test.h"

static bool
read_key(const struct packet_words *words, struct flow_packet *packet,
         struct nsp_flow_key *ret)
{
    return nsp_flow_key_read(make_flow_packet(packet, words), ret);
}

static bool
same_addr(const uint8_t *a, const uint8_t *b)
{
    return a == b || (a && b && memcmp(a, b, 16) == 0);
}

static bool
same_key(const struct nsp_flow_key *a, const struct nsp_flow_key *b)
{
    return a->ipv4[0] == b->ipv4[0] && a->ipv4[1] == b->ipv4[1] &&
           a->ports == b->ports && a->proto == b->proto && a->kind == b->kind &&
           same_addr(a->ipv6[0], b->ipv6[0]) &&
           same_addr(a->ipv6[1], b->ipv6[1]);
}

/* Checks that two packets are of one flow, or are not. */
static void
compare(struct packet_words a, struct packet_words b, bool same)
{
    const uint64_t random[2] = { 3, 4 };
    struct flow_packet packets[2];
    struct nsp_flow_key keys[2];
    struct nsp_flow_secret secret;
    struct nsp_flow_hash hashes[2];

    CHECK(read_key(&a, &packets[0], &keys[0]));
    CHECK(read_key(&b, &packets[1], &keys[1]));
    CHECK_EQ(same_key(&keys[0], &keys[1]), same);
    nsp_flow_secret_init(&secret, random);
    for (int i = 0; i < 2; i++)
        hashes[i] = nsp_flow_key_hash(&keys[i], &secret);
    CHECK_EQ(memcmp(&hashes[0], &hashes[1], sizeof hashes[0]) == 0, same);
}

TEST(flow_key_is_the_same_for_both_directions)
{
    static const uint8_t protos[] = { 6, 17, 1, 58, 47, 132 };

    for (uint32_t i = 0; i < 2 * NSP_ARRAY_LEN(protos); i++) {
        struct packet_words words = {
            .ipv6 = i % 2,
            .proto = protos[i / 2],
            .src = 7,
            .dst = 3,
            .src_port = 8,
            .dst_port = 5000,
        };
        struct flow_packet packets[2];
        struct packet_words back = reverse_words(words);
        struct nsp_flow_key keys[2];

        compare(words, back, true);
        CHECK(read_key(&words, &packets[0], &keys[0]));
        CHECK(read_key(&back, &packets[1], &keys[1]));
        CHECK_EQ(keys[0].way, NSP_FLOW_HIGH);
        CHECK_EQ(keys[1].way, NSP_FLOW_LOW);
    }
}

TEST(flow_key_orders_by_port_where_addresses_are_equal)
{
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        struct packet_words words = {
            .ipv6 = ipv6,
            .proto = 17,
            .src = 5,
            .dst = 5,
            .src_port = 900,
            .dst_port = 80,
        };

        compare(words, reverse_words(words), true);
    }
}

TEST(flow_key_tells_flows_apart_by_each_part)
{
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        const struct packet_words words = {
            .ipv6 = ipv6,
            .proto = 17,
            .src = 1,
            .dst = 2,
            .src_port = 3,
            .dst_port = 4,
        };
        struct packet_words other = words;

        other.src = 5;
        compare(words, other, false);
        other = words;
        other.dst = 1;
        compare(words, other, false);
        other = words;
        other.src_port = 4;
        compare(words, other, false);
        other = words;
        other.dst_port = 3;
        compare(words, other, false);
        other = words;
        other.proto = 6;
        compare(words, other, false);
        other = words;
        other.src_port = words.dst_port;
        other.dst_port = words.src_port;
        compare(words, other, false);
    }
}

TEST(flow_key_tells_echoes_apart_by_identifier_and_no_other_message)
{
    struct packet_words echo = {
        .proto = 1, .src = 1, .dst = 2, .src_port = 8, .dst_port = 100
    };
    struct packet_words reply = reverse_words(echo), other = echo;

    reply.src_port = 0;
    compare(echo, reply, true);
    other.dst_port = 101;
    compare(echo, other, false);
    echo.src_port = other.src_port = 3; /* Unreachable. */
    compare(echo, other, true);
}

TEST(flow_key_gathers_fragments_by_addresses_and_protocol)
{
    struct packet_words first = { .proto = 17,
                                  .src = 1,
                                  .dst = 2,
                                  .src_port = 5,
                                  .dst_port = 6,
                                  .fragment = 0x2000 };
    struct packet_words later = first, whole = first;

    later.fragment = 3;
    later.src_port = 999;
    compare(first, later, true);
    whole.fragment = 0;
    compare(first, whole, false);
    later.proto = 6;
    compare(first, later, false);
}

TEST(flow_key_needs_an_ip_header)
{
    uint8_t bytes[60] = { 0 };
    struct nsp_pkt pkt = { .data = bytes, .cap_bytes = 60, .wire_bytes = 60 };
    struct nsp_flow_key key;

    nsp_pkt_parse(&pkt);
    CHECK(!nsp_flow_key_read(&pkt, &key));
}

/* Strong universality: over secrets, any pair of keys shares each hash's bucket
 * as often as chance says, however alike the keys are. */
static void
count_collisions(bool ipv6, uint32_t half)
{
    enum { KEYS = 64, SECRETS = 4000, BUCKETS = 256 };
    struct nsp_flow_key keys[KEYS];
    struct flow_packet packets[KEYS];
    uint32_t collisions = 0;
    /* Of one secret, pairs as far apart as others share a bucket with them, so
     * this deviates by up to a twentieth. */
    const double expected = (double)SECRETS * KEYS * (KEYS - 1) / 2 / BUCKETS;

    for (uint32_t i = 0; i < KEYS; i++) {
        struct packet_words words = {
            .ipv6 = ipv6,
            .proto = 17,
            .src = 1 + i % 8,
            .dst = 100,
            .src_port = (uint16_t)(1 + i / 8),
            .dst_port = 53,
        };

        CHECK(read_key(&words, &packets[i], &keys[i]));
    }
    for (uint64_t s = 0; s < SECRETS; s++) {
        const uint64_t random[2] = { s, 77 };
        struct nsp_flow_secret secret;
        uint32_t buckets[KEYS];

        nsp_flow_secret_init(&secret, random);
        for (uint32_t i = 0; i < KEYS; i++) {
            struct nsp_flow_hash hash = nsp_flow_key_hash(&keys[i], &secret);

            buckets[i] = (uint32_t)((uint64_t)hash.half[half] * BUCKETS >> 32);
            for (uint32_t j = 0; j < i; j++)
                collisions += buckets[j] == buckets[i];
        }
    }
    CHECK(collisions > expected * 0.8 && collisions < expected * 1.2);
}

TEST(flow_key_hashes_collide_by_chance_alone)
{
    for (uint32_t half = 0; half < 2; half++) {
        count_collisions(false, half);
        count_collisions(true, half);
    }
}

TEST_MAIN(
    cmocka_unit_test(flow_key_is_the_same_for_both_directions),
    cmocka_unit_test(flow_key_orders_by_port_where_addresses_are_equal),
    cmocka_unit_test(flow_key_tells_flows_apart_by_each_part),
    cmocka_unit_test(
        flow_key_tells_echoes_apart_by_identifier_and_no_other_message),
    cmocka_unit_test(flow_key_gathers_fragments_by_addresses_and_protocol),
    cmocka_unit_test(flow_key_needs_an_ip_header),
    cmocka_unit_test(flow_key_hashes_collide_by_chance_alone))
