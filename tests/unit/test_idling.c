#include "engine/idling.h"
#include "netshaper/packet.h"
#include "tests/lib/test.h"

#define MS     UINT64_C(1000000)
#define LINGER NSP_IDLING_LINGER_NS

TEST(idling_asks_nothing_while_nothing_is_due)
{
    struct nsp_idling idling = { 0 };

    for (uint64_t now = 1; now < 10 * LINGER; now += 100 * MS) {
        CHECK_EQ(nsp_idling_decide(&idling, now, NSP_TIME_NEVER),
                 NSP_TIME_NEVER);
        CHECK(!idling.prompt);
    }
}

TEST(idling_asks_while_something_is_due_and_a_while_after)
{
    struct nsp_idling idling = { 0 };
    uint64_t now = 5 * LINGER;

    CHECK_EQ(nsp_idling_decide(&idling, now, now + 20 * MS), now + 20 * MS);
    CHECK(idling.prompt);
    CHECK_EQ(nsp_idling_decide(&idling, now + 20 * MS, NSP_TIME_NEVER),
             now + LINGER);
    CHECK(idling.prompt);
    CHECK_EQ(nsp_idling_decide(&idling, now + LINGER, NSP_TIME_NEVER),
             NSP_TIME_NEVER);
    CHECK(!idling.prompt);
}

TEST(idling_leaves_processors_alone_until_what_is_far_off_comes_near)
{
    struct nsp_idling idling = { 0 };
    uint64_t due = 100 * LINGER, now = LINGER;

    CHECK_EQ(nsp_idling_decide(&idling, now, due), due - LINGER);
    CHECK(!idling.prompt);
    CHECK_EQ(nsp_idling_decide(&idling, due - LINGER, due), due);
    CHECK(idling.prompt);
}

TEST(idling_asks_for_what_is_overdue)
{
    struct nsp_idling idling = { 0 };

    CHECK_EQ(nsp_idling_decide(&idling, 5 * LINGER, 4 * LINGER), 4 * LINGER);
    CHECK(idling.prompt);
}

TEST(idling_seldom_changes_its_mind_between_packets)
{
    struct nsp_idling idling = { 0 };
    unsigned changes = 0;

    /* A packet every 2 ms that waits for 1 ms, then none. */
    for (uint64_t ms = 0; ms < 3000; ms++) {
        uint64_t now = (5000 + ms) * MS;
        bool holds = ms < 1500 && ms % 2 == 0, before = idling.prompt;

        (void)!nsp_idling_decide(&idling, now,
                                 holds ? now + MS : NSP_TIME_NEVER);
        changes += idling.prompt != before;
    }
    CHECK_EQ(changes, 2);
    CHECK(!idling.prompt);
}

TEST_MAIN(
    cmocka_unit_test(idling_asks_nothing_while_nothing_is_due),
    cmocka_unit_test(idling_asks_while_something_is_due_and_a_while_after),
    cmocka_unit_test(
        idling_leaves_processors_alone_until_what_is_far_off_comes_near),
    cmocka_unit_test(idling_asks_for_what_is_overdue),
    cmocka_unit_test(idling_seldom_changes_its_mind_between_packets))
