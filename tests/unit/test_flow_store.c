#include "flow/flow_store.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/lib/failing_alloc.h"
#include "tests/lib/flow_table.h"

#define SECOND NSP_NS_PER_SECOND

/* Packets of 'count' new flows from number 'first', in bursts; after each, all
 * of the burst's flows must still be its packets'. */
static void
flood(struct nsp_flow_table *table, uint32_t first, uint32_t count,
      uint64_t now_ns)
{
    struct flow_packet *packets = calloc(NSP_BURST_MAX, sizeof *packets);

    CHECK(packets != NULL);
    for (uint32_t done = 0; done < count; done += NSP_BURST_MAX) {
        struct nsp_pkt *pkts[NSP_BURST_MAX];
        struct nsp_flow_hit hits[NSP_BURST_MAX];

        for (uint32_t i = 0; i < NSP_BURST_MAX; i++) {
            struct packet_words words = udp_flow(first + done + i);

            pkts[i] = make_flow_packet(&packets[i], &words);
        }
        nsp_flow_table_track_burst(table, pkts, NSP_BURST_MAX, now_ns, hits);
        for (uint32_t i = 0; i < NSP_BURST_MAX; i++) {
            struct nsp_flow_key key;

            CHECK(nsp_flow_key_read(pkts[i], &key));
            if (!hits[i].flow)
                continue;
            CHECK(memcmp(hits[i].flow->ipv4, key.ipv4, sizeof key.ipv4) == 0 &&
                  hits[i].flow->ports == key.ports);
        }
    }
    free(packets);
    CHECK(check_flow_table(table) == NULL);
}

static uint32_t
count_present(const struct nsp_flow_table *table, uint32_t first,
              uint32_t count, uint64_t now_ns)
{
    uint32_t present = 0;

    for (uint32_t i = first; i < first + count; i++) {
        struct packet_words words = udp_flow(i);

        present += look_up_flow(table, &words, now_ns) != NULL;
    }
    return present;
}

TEST(flow_table_keeps_confirmed_flows_in_a_flood_of_new_ones)
{
    struct nsp_flow_table *table = create_flow_table(1024, 256);

    for (uint32_t i = 0; i < 700; i++)
        confirm_flow(table, i, 0);
    flood(table, 10000, 100000, SECOND);
    CHECK_EQ(count_present(table, 0, 700, SECOND), 700);
    CHECK(flow_stats_of(table).half_open_flows <= 256);
    CHECK_EQ(flow_stats_of(table).evicted_idle, 0);
    destroy_flow_table(table);
}

TEST(flow_table_full_of_confirmed_flows_gives_a_flood_a_small_part)
{
    struct nsp_flow_table *table = create_flow_table(1024, 256);

    for (uint32_t i = 0; i < 1024; i++)
        confirm_flow(table, i, i < 100 ? 0 : SECOND);
    CHECK_EQ(flow_stats_of(table).flows, 1024);
    flood(table, 10000, 100000, 2 * SECOND);
    CHECK(count_present(table, 0, 1024, 2 * SECOND) >=
          1024 - 256 / 16 - NSP_BURST_MAX);
    /* And flows that mean it still get in. */
    for (uint32_t i = 500000; i < 500500; i++)
        confirm_flow(table, i, 3 * SECOND);
    CHECK(count_present(table, 500000, 500, 3 * SECOND) >= 490);
    destroy_flow_table(table);
}

TEST(flow_table_evicts_what_is_done_first)
{
    struct nsp_flow_table *table = create_flow_table(64, 64);
    struct packet_words words = udp_flow(7);

    words.proto = NSP_PROTO_TCP;
    words.tcp_flags = NSP_TCP_RST;
    track_flow(table, &words, 0);
    for (uint32_t i = 0; i < 63; i++)
        confirm_flow(table, i + 10, 0);
    CHECK_EQ(flow_stats_of(table).flows, 64);
    confirm_flow(table, 1000, 0);
    CHECK_EQ(flow_stats_of(table).evicted_done, 1);
    CHECK(look_up_flow(table, &words, 0) == NULL);
    CHECK_EQ(count_present(table, 10, 63, 0), 63);
    destroy_flow_table(table);
}

TEST(flow_table_spares_streams_that_nobody_answers)
{
    struct nsp_flow_table *table = create_flow_table(1024, 256);
    struct packet_words stream = udp_flow(1);

    track_flow(table, &stream, 0);
    for (uint32_t i = 0; i < 1000; i++) {
        flood(table, 10000 + 128 * i, 128, SECOND);
        track_flow(table, &stream, SECOND);
    }
    CHECK_EQ(look_up_flow(table, &stream, SECOND)->first_ns, 0);
    destroy_flow_table(table);
}

TEST(flow_table_admits_flows_though_all_half_open_ones_are_in_use)
{
    struct nsp_flow_table *table = create_flow_table(1024, 200);

    for (uint32_t i = 0; i < 200; i++) {
        struct packet_words words = udp_flow(i);

        track_flow(table, &words, 0);
        track_flow(table, &words, 0);
    }
    flood(table, 10000, 128, 0);
    CHECK_EQ(flow_stats_of(table).refused, 0);
    destroy_flow_table(table);
}

TEST(flow_table_takes_questions_answered_once_for_half_open)
{
    struct nsp_flow_table *table = create_flow_table(1024, 100);

    for (uint32_t i = 0; i < 2000; i++) {
        struct packet_words words = udp_flow(i), back = reverse_words(words);

        track_flow(table, &words, 0);
        track_flow(table, &back, 0);
    }
    CHECK_EQ(flow_stats_of(table).flows, 100);
    destroy_flow_table(table);
}

TEST(flow_table_takes_syn_floods_for_half_open)
{
    struct nsp_flow_table *table = create_flow_table(1024, 100);

    for (uint32_t i = 0; i < 20000; i++) {
        struct packet_words syn = udp_flow(i), answer;

        syn.proto = NSP_PROTO_TCP;
        syn.tcp_flags = NSP_TCP_SYN;
        answer = reverse_words(syn);
        answer.tcp_flags = NSP_TCP_SYN | NSP_TCP_ACK;
        answer.seq = 1000 << 16;
        answer.ack = 1;
        track_flow(table, &syn, SECOND);
        track_flow(table, &answer, SECOND);
        syn.tcp_flags = NSP_TCP_ACK; /* Guessed. */
        syn.ack = 5000u << 16;
        track_flow(table, &syn, SECOND);
    }
    CHECK_EQ(flow_stats_of(table).half_open_flows, 100);
    CHECK_EQ(flow_stats_of(table).flows, 100);
    destroy_flow_table(table);
}

TEST(flow_table_holds_as_many_as_it_was_made_for)
{
    enum { FLOWS = 200000 };
    struct nsp_flow_table *table = create_flow_table(FLOWS, FLOWS);

    flood(table, 0, FLOWS, 0);
    CHECK_EQ(flow_stats_of(table).flows, FLOWS);
    CHECK_EQ(flow_stats_of(table).begun, FLOWS);
    CHECK_EQ(flow_stats_of(table).evicted_crowded, 0);
    destroy_flow_table(table);
}

/* --- An attacker who knows the secret ---------------------------------------
 */

/* Numbers of flows whose two buckets are those of flow 0, found by trying. */
static void
find_colliding(const struct nsp_flow_table *table, uint32_t ret[],
               uint32_t count)
{
    uint32_t buckets[2] = { 0, 0 };
    uint32_t found = 0;

    for (uint32_t i = 0; found < count; i++) {
        struct packet_words words = udp_flow(i);
        struct flow_packet packet;
        struct nsp_flow_key key;
        struct nsp_flow_hash hash;

        CHECK(nsp_flow_key_read(make_flow_packet(&packet, &words), &key));
        hash = nsp_flow_key_hash(&key, &table->secret);
        for (int b = 0; b < 2 && i == 0; b++)
            buckets[b] = nsp_flow_bucket(table, hash.half[b]);
        if (nsp_flow_bucket(table, hash.half[0]) == buckets[0] &&
            nsp_flow_bucket(table, hash.half[1]) == buckets[1])
            ret[found++] = i;
    }
}

TEST(flow_table_confines_collisions_to_two_buckets)
{
    enum { COLLIDING = 400, OTHERS = 100 };
    struct nsp_flow_table *table = create_flow_table(256, 0);
    uint32_t colliding[COLLIDING], present = 0;

    find_colliding(table, colliding, COLLIDING);
    for (uint32_t i = 0; i < OTHERS; i++)
        confirm_flow(table, 1000000 + i, 0);
    for (uint32_t i = 0; i < 8; i++)
        confirm_flow(table, colliding[i], 0);
    for (uint32_t i = 8; i < COLLIDING; i++) {
        struct packet_words words = udp_flow(colliding[i]);

        CHECK(track_flow(table, &words, SECOND).flow != NULL);
        CHECK(check_flow_table(table) == NULL);
    }
    for (uint32_t i = 0; i < COLLIDING; i++) {
        struct packet_words words = udp_flow(colliding[i]);

        present += look_up_flow(table, &words, SECOND) != NULL;
        CHECK(i >= 8 || look_up_flow(table, &words, SECOND) != NULL);
    }
    CHECK(present <= 2 * NSP_FLOW_WAYS_IN_BUCKET);
    CHECK(count_present(table, 1000000, OTHERS, SECOND) >= OTHERS - 4);
    CHECK(flow_stats_of(table).evicted_crowded > 300);
    destroy_flow_table(table);
}

TEST(flow_table_refuses_rather_than_take_a_flow_from_its_burst)
{
    struct nsp_flow_table *table = create_flow_table(256, 256);
    struct flow_packet *packets = calloc(NSP_BURST_MAX, sizeof *packets);
    uint32_t colliding[NSP_BURST_MAX], with_flow = 0;
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    struct nsp_flow_hit hits[NSP_BURST_MAX];

    CHECK(packets != NULL);
    find_colliding(table, colliding, NSP_BURST_MAX);
    for (uint32_t i = 0; i < NSP_BURST_MAX; i++) {
        struct packet_words words = udp_flow(colliding[i]);

        pkts[i] = make_flow_packet(&packets[i], &words);
    }
    nsp_flow_table_track_burst(table, pkts, NSP_BURST_MAX, 0, hits);
    for (uint32_t i = 0; i < NSP_BURST_MAX; i++) {
        with_flow += hits[i].flow != NULL;
        for (uint32_t j = 0; j < i; j++)
            CHECK(!hits[i].flow || hits[i].flow != hits[j].flow);
    }
    CHECK_EQ(with_flow, 2 * NSP_FLOW_WAYS_IN_BUCKET);
    CHECK_EQ(flow_stats_of(table).refused, NSP_BURST_MAX - with_flow);
    destroy_flow_table(table);
    free(packets);
}

/* --- Memory --- */

TEST(flow_table_allocates_at_creation_alone_and_survives_failures)
{
    const struct nsp_flow_config cfg = { .capacity_flows = 64 };
    struct nsp_flow_table *table = NULL;
    unsigned fail_at = 0;

    for (;; fail_at++) {
        struct failing_alloc failing = { .fail_at = fail_at };
        const struct nsp_allocator allocator = failing_allocator(&failing);
        int err = nsp_flow_table_create(&cfg, &allocator, &table);

        if (err == 0) {
            unsigned calls = failing.calls;

            flood(table, 0, 1000, 0);
            CHECK_EQ(failing.calls, calls);
            table = nsp_flow_table_destroy(table);
            CHECK_EQ(failing.live, 0);
            break;
        }
        CHECK_EQ(err, -ENOMEM);
        CHECK(table == NULL);
        CHECK_EQ(failing.live, 0);
    }
    CHECK_EQ(fail_at, 3);
}

TEST_MAIN(
    cmocka_unit_test(flow_table_keeps_confirmed_flows_in_a_flood_of_new_ones),
    cmocka_unit_test(
        flow_table_full_of_confirmed_flows_gives_a_flood_a_small_part),
    cmocka_unit_test(flow_table_evicts_what_is_done_first),
    cmocka_unit_test(flow_table_spares_streams_that_nobody_answers),
    cmocka_unit_test(
        flow_table_admits_flows_though_all_half_open_ones_are_in_use),
    cmocka_unit_test(flow_table_takes_questions_answered_once_for_half_open),
    cmocka_unit_test(flow_table_takes_syn_floods_for_half_open),
    cmocka_unit_test(flow_table_holds_as_many_as_it_was_made_for),
    cmocka_unit_test(flow_table_confines_collisions_to_two_buckets),
    cmocka_unit_test(flow_table_refuses_rather_than_take_a_flow_from_its_burst),
    cmocka_unit_test(
        flow_table_allocates_at_creation_alone_and_survives_failures))
