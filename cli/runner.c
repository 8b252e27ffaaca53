#include "cli/runner.h"

#include <stdio.h>
#include <string.h>

#include "cli/thread.h"

static void *
run(void *opaque)
{
    struct nsp_runner *runner = opaque;

    runner->result = nsp_engine_run(runner->engine);
    if (runner->ended)
        runner->ended(runner->ended_context);
    return NULL;
}

int
nsp_runner_start(struct nsp_runner *runner, const struct nsp_engine_config *cfg,
                 const char *filter, struct nsp_diag *reterr)
{
    int r;

    r = nsp_engine_create(cfg, &runner->engine, reterr);
    if (r < 0)
        return r;
    r = nsp_engine_start(runner->engine, filter, reterr);
    if (r == NSP_OK) {
        int error = nsp_cli_thread_create(&runner->thread, run, runner);

        if (error == 0) {
            runner->started = true;
            return NSP_OK;
        }
        *reterr = (struct nsp_diag){ .result = NSP_NO_MEMORY,
                                     .os_errno = -error,
                                     .category = "thread" };
        snprintf(reterr->text, sizeof reterr->text,
                 "the engine's thread cannot be started: %s", strerror(-error));
        r = NSP_NO_MEMORY;
    }
    runner->engine = nsp_engine_destroy(runner->engine);
    return r;
}

int
nsp_runner_stop(struct nsp_runner *runner, struct nsp_stats *ret,
                struct nsp_diag *reterr)
{
    int r;

    if (!runner->started)
        return NSP_OK;
    /* A refusal means that the run has ended by itself; its result says so. */
    (void)nsp_engine_stop(runner->engine);
    pthread_join(runner->thread, NULL);
    runner->started = false;

    r = runner->result < 0 ? runner->result : NSP_OK;
    if (r < 0)
        nsp_engine_read_diag(runner->engine, reterr);
    if (ret)
        nsp_engine_read_stats(runner->engine, ret);
    runner->engine = nsp_engine_destroy(runner->engine);
    return r;
}
