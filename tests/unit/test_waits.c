#include "engine/waits.h"
#include "netshaper/packet.h"
#include "tests/lib/test.h"

#define S   NSP_NS_PER_SECOND
#define NOW (5 * S)

/* Of a machine whose processors need no request. */
static struct nsp_waits
waits_of(bool busy)
{
    struct nsp_waits waits;

    nsp_waits_open(&waits, false, busy);
    return waits;
}

static uint64_t
until(struct nsp_waits *waits, uint64_t now_ns, uint64_t due_ns)
{
    return nsp_waits_until_ns(waits, now_ns, due_ns, NSP_TIME_NEVER);
}

TEST(waits_for_packets_last_until_one_comes)
{
    struct nsp_waits waits = waits_of(false);

    CHECK_EQ(until(&waits, NOW, NSP_TIME_NEVER), NSP_TIME_NEVER);
    nsp_waits_moved(&waits, NOW);
    CHECK_EQ(until(&waits, NOW, NSP_TIME_NEVER), NSP_TIME_NEVER);
    CHECK_EQ(nsp_waits_until_ns(&waits, NOW, NSP_TIME_NEVER, NOW + S / 2),
             NOW + S / 2 - NSP_PACER_LATE_NS_MIN);
    nsp_waits_close(&waits);
}

TEST(waits_of_a_busy_worker_are_awake_for_a_while_after_packets)
{
    struct nsp_waits waits = waits_of(true);

    CHECK_EQ(until(&waits, NOW, NSP_TIME_NEVER), NSP_TIME_NEVER);
    nsp_waits_moved(&waits, NOW);
    CHECK_EQ(until(&waits, NOW, NSP_TIME_NEVER), NOW);
    CHECK_EQ(until(&waits, NOW + NSP_WAITS_BUSY_NS - 1, NSP_TIME_NEVER),
             NOW + NSP_WAITS_BUSY_NS - 1);
    CHECK_EQ(until(&waits, NOW + NSP_WAITS_BUSY_NS, NSP_TIME_NEVER),
             NSP_TIME_NEVER);
    nsp_waits_close(&waits);
}

TEST(waits_of_a_busy_worker_are_awake_as_long_as_packets_are_held)
{
    struct nsp_waits waits = waits_of(true);

    for (uint64_t now = NOW; now < NOW + 100 * S; now += S)
        CHECK_EQ(until(&waits, now, NOW + 100 * S), now);
    CHECK_EQ(until(&waits, NOW + 100 * S, NSP_TIME_NEVER), NSP_TIME_NEVER);
    nsp_waits_close(&waits);
}

TEST(waits_that_do_not_sleep_look_at_the_device_now_and_then)
{
    struct nsp_waits waits = waits_of(true);

    CHECK(nsp_waits_look(&waits, NOW));
    CHECK(!nsp_waits_look(&waits, NOW + NSP_WAITS_LOOK_NS - 1));
    CHECK(nsp_waits_look(&waits, NOW + NSP_WAITS_LOOK_NS));
    nsp_waits_close(&waits);
}

TEST_MAIN(
    cmocka_unit_test(waits_for_packets_last_until_one_comes),
    cmocka_unit_test(
        waits_of_a_busy_worker_are_awake_for_a_while_after_packets),
    cmocka_unit_test(
        waits_of_a_busy_worker_are_awake_as_long_as_packets_are_held),
    cmocka_unit_test(waits_that_do_not_sleep_look_at_the_device_now_and_then))
