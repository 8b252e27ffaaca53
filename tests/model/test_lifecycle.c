/* Every order of calls is an answer: the table in engine.h, row by row, then
 * from several threads at once, from a callback and from a signal handler. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "io/registry.h"
#include "netshaper/engine.h"
#include "tests/lib/frames.h"
#include "tests/lib/test.h"

#define MS UINT64_C(1000000)

static struct nsp_memory *
new_memory(bool virtual_time)
{
    const struct nsp_memory_config cfg = { .virtual_time = virtual_time,
                                           .frames = 256 };
    struct nsp_memory *memory;

    CHECK_EQ(nsp_memory_create(&cfg, &memory), NSP_OK);
    return memory;
}

static struct nsp_engine *
new_engine(struct nsp_memory *memory, struct nsp_engine_config cfg)
{
    struct nsp_engine *engine;

    cfg.backend = "memory";
    cfg.memory = memory;
    CHECK_EQ(nsp_engine_create(&cfg, &engine, NULL), NSP_OK);
    return engine;
}

struct runner {
    struct nsp_engine *engine;
    pthread_t thread;
    int result;
};

static void *
run_in_thread(void *opaque)
{
    struct runner *runner = opaque;

    runner->result = nsp_engine_run(runner->engine);
    return NULL;
}

/* A packet that came out proves that the loop is running. */
static void
wait_until_running(struct nsp_memory *memory)
{
    struct nsp_memory_frame out;

    push_udp(memory, 1, 100, 53, 0, 0, 0, NSP_INBOUND);
    while (nsp_memory_pop_burst(memory, 0, &out, 1) == 0)
        ;
}

TEST(no_engine_is_an_invalid_handle)
{
    struct nsp_stats stats;
    uint8_t buffer[64];

    CHECK_EQ(nsp_engine_start(NULL, "true", NULL), NSP_INVALID_HANDLE);
    CHECK_EQ(nsp_engine_run(NULL), NSP_INVALID_HANDLE);
    CHECK_EQ(nsp_engine_stop(NULL), NSP_INVALID_HANDLE);
    CHECK_EQ(nsp_engine_read_stats(NULL, &stats), NSP_INVALID_HANDLE);
    CHECK_EQ(nsp_engine_capture(NULL, "true", buffer, 64, 0, NULL, NULL),
             NSP_INVALID_HANDLE);
    CHECK(nsp_engine_destroy(NULL) == NULL);
    CHECK(nsp_engine_unref(NULL) == NULL);
}

TEST(idle_started_and_disposed_engines_answer_by_the_table)
{
    struct nsp_memory *memory = new_memory(false);
    struct nsp_engine *engine =
        new_engine(memory, (struct nsp_engine_config){ 0 });
    struct nsp_diag diag;

    CHECK_EQ(nsp_engine_run(engine), NSP_INVALID_STATE);
    CHECK_EQ(nsp_engine_stop(engine), NSP_INVALID_STATE);
    CHECK_EQ(nsp_engine_start(engine, "tcp and", &diag), NSP_INVALID_FILTER);
    CHECK_EQ(diag.result, NSP_INVALID_FILTER);
    CHECK_EQ(nsp_engine_start(engine, NULL, &diag), NSP_INVALID_PARAMETER);

    CHECK_EQ(nsp_engine_start(engine, "true", &diag), NSP_OK);
    CHECK_EQ(nsp_engine_start(engine, "true", &diag), NSP_ALREADY_RUNNING);
    /* Stopped before it ran: the next run finds out. */
    CHECK_EQ(nsp_engine_stop(engine), NSP_OK);
    CHECK_EQ(nsp_engine_run(engine), NSP_STOPPED);
    CHECK_EQ(nsp_engine_run(engine), NSP_INVALID_STATE);
    /* ... or the next start. */
    CHECK_EQ(nsp_engine_start(engine, "true", &diag), NSP_OK);
    CHECK_EQ(nsp_engine_stop(engine), NSP_OK);
    CHECK_EQ(nsp_engine_start(engine, "true", &diag), NSP_OK);

    nsp_engine_ref(engine);
    CHECK(nsp_engine_destroy(engine) == NULL);
    CHECK_EQ(nsp_engine_start(engine, "true", &diag), NSP_DISPOSED);
    CHECK_EQ(nsp_engine_run(engine), NSP_DISPOSED);
    CHECK_EQ(nsp_engine_stop(engine), NSP_DISPOSED);
    nsp_engine_unref(engine);
    nsp_memory_destroy(memory);
}

TEST(a_running_engine_answers_by_the_table_and_can_run_again)
{
    struct nsp_memory *memory = new_memory(false);
    struct runner runner = {
        .engine = new_engine(memory, (struct nsp_engine_config){ 0 }),
    };
    struct nsp_stats stats;

    for (int round = 0; round < 3; round++) {
        CHECK_EQ(nsp_engine_start(runner.engine, "true", NULL), NSP_OK);
        CHECK_EQ(pthread_create(&runner.thread, NULL, run_in_thread, &runner),
                 0);
        wait_until_running(memory);
        CHECK_EQ(nsp_engine_start(runner.engine, "true", NULL),
                 NSP_ALREADY_RUNNING);
        CHECK_EQ(nsp_engine_run(runner.engine), NSP_INVALID_STATE);
        CHECK_EQ(nsp_engine_stop(runner.engine), NSP_OK);
        pthread_join(runner.thread, NULL);
        CHECK_EQ(runner.result, NSP_STOPPED);
        /* Counters stay until the next start, and begin anew with it. */
        CHECK_EQ(nsp_engine_read_stats(runner.engine, &stats), NSP_OK);
        CHECK_EQ(stats.delivered_pkts, 1);
    }
    nsp_engine_destroy(runner.engine);
    nsp_memory_destroy(memory);
}

TEST(destroy_while_running_aborts_the_run)
{
    struct nsp_memory *memory = new_memory(false);
    struct runner runner = {
        .engine = new_engine(memory, (struct nsp_engine_config){ 0 }),
    };

    CHECK_EQ(nsp_engine_start(runner.engine, "true", NULL), NSP_OK);
    CHECK_EQ(pthread_create(&runner.thread, NULL, run_in_thread, &runner), 0);
    wait_until_running(memory);
    nsp_engine_destroy(runner.engine);
    pthread_join(runner.thread, NULL);
    CHECK_EQ(runner.result, NSP_ABORTED);
    nsp_memory_destroy(memory);
}

static void
destroy_in_callback(void *context, struct nsp_burst *burst)
{
    struct nsp_engine **engine = context;

    (void)burst;
    *engine = nsp_engine_destroy(*engine);
}

TEST(a_callback_may_destroy_its_own_engine)
{
    struct nsp_memory *memory = new_memory(false);
    struct nsp_engine *engine, *mine;

    engine = new_engine(
        memory, (struct nsp_engine_config){ .callback = destroy_in_callback,
                                            .callback_context = &mine });
    mine = engine;
    CHECK_EQ(nsp_engine_start(engine, "true", NULL), NSP_OK);
    push_udp(memory, 1, 100, 53, 0, 0, 0, NSP_INBOUND);
    CHECK_EQ(nsp_engine_run(engine), NSP_ABORTED);
    CHECK(mine == NULL);
    nsp_memory_destroy(memory);
}

static struct nsp_engine *signalled;

static void
stop_in_handler(int number)
{
    (void)number;
    nsp_engine_stop(signalled);
}

static void
raise_in_callback(void *context, struct nsp_burst *burst)
{
    (void)context;
    (void)burst;
    raise(SIGUSR1);
}

TEST(a_signal_handler_may_stop_the_loop_it_interrupts)
{
    struct nsp_memory *memory = new_memory(false);

    signalled = new_engine(
        memory, (struct nsp_engine_config){ .callback = raise_in_callback });
    signal(SIGUSR1, stop_in_handler);
    CHECK_EQ(nsp_engine_start(signalled, "true", NULL), NSP_OK);
    push_udp(memory, 1, 100, 53, 0, 0, 0, NSP_INBOUND);
    CHECK_EQ(nsp_engine_run(signalled), NSP_STOPPED);
    signal(SIGUSR1, SIG_DFL);
    nsp_engine_destroy(signalled);
    nsp_memory_destroy(memory);
}

TEST(packets_held_when_the_loop_ends_are_delivered_in_order)
{
    struct nsp_memory *memory = new_memory(false);
    const struct nsp_rule rule = { .effects.delay.mean_ns = NSP_DELAY_NS_MAX };
    struct runner runner = {
        .engine =
            new_engine(memory,
                       (struct nsp_engine_config){
                           .policy = { .rules = &rule, .rule_count = 1 } }),
    };
    struct nsp_stats stats = { 0 };
    struct nsp_memory_frame out;

    CHECK_EQ(nsp_engine_start(runner.engine, "true", NULL), NSP_OK);
    push_udp(memory, 20, 100, 53, 0, 0, 0, NSP_INBOUND);
    CHECK_EQ(pthread_create(&runner.thread, NULL, run_in_thread, &runner), 0);
    while (stats.queued_pkts < 20) {
        CHECK_EQ(nsp_engine_read_stats(runner.engine, &stats), NSP_OK);
        CHECK_EQ(stats.in_pkts, stats.queued_pkts);
    }
    CHECK_EQ(nsp_engine_stop(runner.engine), NSP_OK);
    pthread_join(runner.thread, NULL);
    CHECK_EQ(nsp_engine_read_stats(runner.engine, &stats), NSP_OK);
    CHECK_EQ(stats.queued_pkts, 0);
    CHECK_EQ(stats.delivered_pkts, 20);
    for (uint32_t i = 0; i < 20; i++) {
        CHECK_EQ(nsp_memory_pop_burst(memory, 0, &out, 1), 1);
        CHECK_EQ(frame_tag(&out), i);
    }
    nsp_engine_destroy(runner.engine);
    nsp_memory_destroy(memory);
}

TEST(run_for_ends_with_the_time_given)
{
    struct nsp_memory *memory = new_memory(true);
    const struct nsp_rule rule = { .effects.delay.mean_ns = 60 * MS };
    struct nsp_engine *engine =
        new_engine(memory, (struct nsp_engine_config){
                               .policy = { .rules = &rule, .rule_count = 1 } });
    struct nsp_stats stats;

    push_udp(memory, 10, 100, 53, 0, 0, 10 * MS, NSP_INBOUND);
    CHECK_EQ(nsp_engine_start(engine, "true", NULL), NSP_OK);
    CHECK_EQ(nsp_engine_run_for(engine, 35 * MS), NSP_STOPPED);
    CHECK_EQ(nsp_engine_read_stats(engine, &stats), NSP_OK);
    CHECK_EQ(stats.in_pkts, 4);
    CHECK_EQ(stats.delivered_pkts, 4);
    nsp_engine_destroy(engine);
    nsp_memory_destroy(memory);
}

/* --- Capture ------------------------------------------------------------- */

TEST(capture_copies_the_first_match_and_lets_everything_pass)
{
    struct nsp_memory *memory = new_memory(true);
    struct nsp_engine *engine =
        new_engine(memory, (struct nsp_engine_config){ 0 });
    uint8_t buffer[1500];
    struct nsp_memory_frame out;
    struct nsp_pkt pkt;

    push_udp(memory, 1, 100, 53, 1, 0, 0, NSP_INBOUND);
    push_udp(memory, 1, 120, 54, 2, 0, 0, NSP_INBOUND);
    CHECK_EQ(nsp_engine_capture(engine, "udp.DstPort == 54", buffer,
                                sizeof buffer, NSP_TIME_NEVER, &pkt, NULL),
             NSP_OK);
    CHECK_EQ(pkt.cap_bytes, 120);
    CHECK(pkt.data == buffer);
    CHECK_EQ(buffer[31], 2);
    CHECK_EQ(nsp_memory_pop_burst(memory, 0, &out, 1), 1);
    CHECK_EQ(nsp_memory_pop_burst(memory, 0, &out, 1), 1);

    push_udp(memory, 1, 100, 53, 1, 0, 0, NSP_INBOUND);
    CHECK_EQ(nsp_engine_capture(engine, "udp", buffer, 40, NSP_TIME_NEVER, &pkt,
                                NULL),
             NSP_BUFFER_TOO_SMALL);
    CHECK_EQ(pkt.cap_bytes, 40);
    push_udp(memory, 1, 100, 53, 1, 0, 0, NSP_INBOUND);
    CHECK_EQ(nsp_engine_capture(engine, "tcp", buffer, 40, NSP_TIME_NEVER, &pkt,
                                NULL),
             NSP_NOT_FOUND);
    CHECK_EQ(nsp_engine_capture(engine, "tcp tcp", buffer, 40, 0, &pkt, NULL),
             NSP_INVALID_FILTER);
    CHECK_EQ(nsp_engine_capture(engine, "tcp", NULL, 40, 0, &pkt, NULL),
             NSP_INVALID_PARAMETER);
    nsp_engine_destroy(engine);
    nsp_memory_destroy(memory);
}

/* --- Many threads -------------------------------------------------------- */

#define THREADS 8
#define ROUNDS  200

struct crowd {
    struct nsp_engine *engine;
    unsigned seed;
    atomic_int *bad;
};

/* Results that each call may give while others call at the same time. */
static bool
allowed(int call, int result)
{
    switch (call) {
    case 0:
        return result == NSP_OK || result == NSP_ALREADY_RUNNING ||
               result == NSP_STOPPED || result == NSP_DISPOSED ||
               result == NSP_OPEN_FAILED;
    case 1:
        return result == NSP_STOPPED || result == NSP_INVALID_STATE ||
               result == NSP_ABORTED || result == NSP_DISPOSED;
    case 2:
        return result == NSP_OK || result == NSP_INVALID_STATE ||
               result == NSP_DISPOSED;
    default:
        return result == NSP_INVALID_FILTER || result == NSP_ALREADY_RUNNING ||
               result == NSP_DISPOSED;
    }
}

static int
call_one(struct nsp_engine *engine, int call)
{
    switch (call) {
    case 0:
        return nsp_engine_start(engine, "outbound and tcp", NULL);
    case 1:
        return nsp_engine_run_for(engine, 100000);
    case 2:
        return nsp_engine_stop(engine);
    default:
        return nsp_engine_start(engine, ")(", NULL);
    }
}

static void *
call_at_random(void *opaque)
{
    struct crowd *crowd = opaque;

    for (int i = 0; i < ROUNDS; i++) {
        int call = rand_r(&crowd->seed) % 4;
        struct nsp_stats stats;

        if (!allowed(call, call_one(crowd->engine, call)))
            atomic_fetch_add(crowd->bad, 1);
        nsp_engine_read_stats(crowd->engine, &stats);
    }
    nsp_engine_unref(crowd->engine);
    return NULL;
}

TEST(any_calls_from_many_threads_at_once_are_answered)
{
    struct nsp_memory *memory = new_memory(false);
    struct nsp_engine *engine =
        new_engine(memory, (struct nsp_engine_config){ 0 });
    struct crowd crowd[THREADS];
    pthread_t threads[THREADS];
    atomic_int bad = 0;

    for (unsigned t = 0; t < THREADS; t++) {
        crowd[t] = (struct crowd){ nsp_engine_ref(engine), t + 1, &bad };
        CHECK_EQ(pthread_create(&threads[t], NULL, call_at_random, &crowd[t]),
                 0);
    }
    for (unsigned t = 0; t < THREADS / 2; t++)
        pthread_join(threads[t], NULL);
    nsp_engine_destroy(engine);
    for (unsigned t = THREADS / 2; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    CHECK_EQ(atomic_load(&bad), 0);
    nsp_memory_destroy(memory);
}

TEST_MAIN(
    cmocka_unit_test(no_engine_is_an_invalid_handle),
    cmocka_unit_test(idle_started_and_disposed_engines_answer_by_the_table),
    cmocka_unit_test(a_running_engine_answers_by_the_table_and_can_run_again),
    cmocka_unit_test(destroy_while_running_aborts_the_run),
    cmocka_unit_test(a_callback_may_destroy_its_own_engine),
    cmocka_unit_test(a_signal_handler_may_stop_the_loop_it_interrupts),
    cmocka_unit_test(packets_held_when_the_loop_ends_are_delivered_in_order),
    cmocka_unit_test(run_for_ends_with_the_time_given),
    cmocka_unit_test(capture_copies_the_first_match_and_lets_everything_pass),
    cmocka_unit_test(any_calls_from_many_threads_at_once_are_answered))
