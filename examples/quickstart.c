/* The shortest complete program: counts live packets until Ctrl-C.
 *
 *     cc quickstart.c $(pkg-config --cflags --libs netshaper) -o quickstart
 *     sudo ./quickstart 'outbound and tcp'
 */
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#include <netshaper/engine.h>

static struct nsp_engine *engine;
static atomic_uint_fast64_t seen_pkts, seen_bytes;

/* Runs on the engine's thread for each burst; all packets pass. */
static void
count(void *context, struct nsp_burst *burst)
{
    (void)context;
    for (uint32_t i = 0; i < burst->count; i++)
        atomic_fetch_add(&seen_bytes, burst->pkts[i]->ip_bytes);
    atomic_fetch_add(&seen_pkts, burst->count);
}

static void
on_signal(int number)
{
    (void)number;
    nsp_engine_stop(engine); /* Safe in a signal handler. */
}

static int
fail(const struct nsp_diag *diag)
{
    fprintf(stderr, "quickstart: %s\n", diag->text);
    if (diag->hint[0])
        fprintf(stderr, "hint: %s\n", diag->hint);
    return 1;
}

int
main(int argc, char *argv[])
{
    struct nsp_engine_config config = { .backend = "nfqueue",
                                        .callback = count };
    struct sigaction action = { .sa_handler = on_signal };
    struct nsp_stats stats;
    struct nsp_diag diag;
    int result;

    if (nsp_engine_create(&config, &engine, &diag) < 0)
        return fail(&diag);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (nsp_engine_start(engine, argc > 1 ? argv[1] : "outbound and tcp",
                         &diag) < 0) {
        nsp_engine_destroy(engine);
        return fail(&diag);
    }

    puts("counting; Ctrl-C ends");
    fflush(stdout);
    result = nsp_engine_run(engine); /* Returns when stopped. */

    nsp_engine_read_stats(engine, &stats);
    printf("%s: callback saw %" PRIuFAST64 " packets, %" PRIuFAST64 " bytes; "
           "engine took in %" PRIu64 ", delivered %" PRIu64 "\n",
           nsp_result_text(result), atomic_load(&seen_pkts),
           atomic_load(&seen_bytes), stats.in_pkts, stats.delivered_pkts);
    nsp_engine_read_diag(engine, &diag);
    engine = nsp_engine_destroy(engine);
    return result < 0 ? fail(&diag) : 0;
}
