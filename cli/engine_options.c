#include "cli/engine_options.h"

#include "config/units.h"
#include "netshaper/io.h"

#define SEED_MAX     INT64_C(999999999999999999)
#define BUSY_POLL_US 20 /* Any but 0: workers ask anew all the time. */

int
nsp_cli_read_seed(struct nsp_cli *cli, const char *text, uint64_t *ret)
{
    int64_t number;
    int status = nsp_cli_read_int(cli, "--seed", text, 0, SEED_MAX, &number);

    if (status == NSP_EXIT_OK)
        *ret = (uint64_t)number;
    return status;
}

int
nsp_cli_read_workers(struct nsp_cli *cli, const char *text, uint32_t *ret)
{
    int64_t number;
    int status =
        nsp_cli_read_int(cli, "--workers", text, 1, NSP_IO_QUEUES_MAX, &number);

    if (status == NSP_EXIT_OK)
        *ret = (uint32_t)number;
    return status;
}

int
nsp_cli_read_period(struct nsp_cli *cli, const char *name, const char *text,
                    const char *hint, uint64_t *ret_ns)
{
    struct nsp_diag diag;
    uint64_t ns;

    if (nsp_units_read_time(text, &ns, &diag) < 0)
        return nsp_cli_fail_at(cli, &diag, name, text);
    if (ns == 0)
        return nsp_cli_usage(cli, hint, "%s: no time at all", name);
    *ret_ns = ns;
    return NSP_EXIT_OK;
}

void
nsp_cli_set_busy_poll(struct nsp_engine_config *engine)
{
    engine->busy_poll = true;
    engine->bridge.busy_poll_us = BUSY_POLL_US;
}
