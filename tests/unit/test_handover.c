#include <pthread.h>

#include "engine/handover.h"
#include "tests/lib/test.h"

#define SENDERS 3u
#define EACH    100000u

static struct nsp_mailbox mailbox;
static struct nsp_pkt pkts[SENDERS][EACH];

/* Posts its packets in bursts of different sizes. */
static void *
send_all(void *opaque)
{
    struct nsp_pkt *own = opaque;
    struct nsp_outbox outbox = { .newest = NULL };

    for (uint32_t i = 0; i < EACH; i++) {
        own[i].device_ref = i;
        nsp_outbox_add(&outbox, &own[i]);
        if (i % 7 == 0 || i % 32 == 31)
            nsp_outbox_post(&outbox, &mailbox);
    }
    nsp_outbox_post(&outbox, &mailbox);
    return NULL;
}

TEST(every_packet_comes_once_and_in_the_order_of_its_sender)
{
    pthread_t threads[SENDERS];
    uint64_t next[SENDERS] = { 0 };
    uint32_t received = 0;

    for (uint32_t t = 0; t < SENDERS; t++) {
        for (uint32_t i = 0; i < EACH; i++)
            pkts[t][i].queue = (uint16_t)t;
        CHECK_EQ(pthread_create(&threads[t], NULL, send_all, pkts[t]), 0);
    }
    while (received < SENDERS * EACH) {
        struct nsp_pkt *pkt = nsp_mailbox_take(&mailbox);

        for (; pkt; pkt = nsp_mailbox_next(pkt)) {
            CHECK_EQ(pkt->device_ref, next[pkt->queue]);
            next[pkt->queue]++;
            received++;
        }
    }
    for (uint32_t t = 0; t < SENDERS; t++)
        CHECK_EQ(pthread_join(threads[t], NULL), 0);
    CHECK(nsp_mailbox_take(&mailbox) == NULL);
}

TEST(a_sleeper_is_woken_for_what_comes_and_does_not_sleep_on_what_came)
{
    struct nsp_outbox outbox = { .newest = NULL };
    struct nsp_mailbox box = { .newest = NULL };
    struct nsp_pkt pkt = { .queue = 1 };

    CHECK(nsp_mailbox_sleep(&box));
    CHECK(!nsp_outbox_post(&outbox, &box)); /* Nothing to post. */
    nsp_outbox_add(&outbox, &pkt);
    CHECK(nsp_outbox_post(&outbox, &box));
    nsp_mailbox_awake(&box);

    CHECK(!nsp_mailbox_sleep(&box));
    CHECK(nsp_mailbox_take(&box) == &pkt);
    nsp_outbox_add(&outbox, &pkt);
    CHECK(!nsp_outbox_post(&outbox, &box)); /* Awake. */
    CHECK(nsp_mailbox_take(&box) == &pkt);
    CHECK(nsp_mailbox_sleep(&box));
}

TEST_MAIN(
    cmocka_unit_test(every_packet_comes_once_and_in_the_order_of_its_sender),
    cmocka_unit_test(
        a_sleeper_is_woken_for_what_comes_and_does_not_sleep_on_what_came))
