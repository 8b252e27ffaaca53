#ifndef NSP_CLI_ENGINE_OPTIONS_H
#define NSP_CLI_ENGINE_OPTIONS_H
#include "cli/cli.h"
#include "netshaper/engine.h"

/* Options that several of the commands have that start an engine: their rows of
 * a table, and how their values are read. */

#define NSP_OPTION_FOR                                                         \
    {                                                                          \
        "for", "TIME", "stop after TIME: 60s", 0                               \
    }
#define NSP_OPTION_SEED                                                        \
    {                                                                          \
        "seed", "N", "seed of every random effect", 0                          \
    }
#define NSP_OPTION_WORKERS                                                     \
    {                                                                          \
        "workers", "N", "threads, each with a queue of its own", 0             \
    }
#define NSP_OPTION_CPUS                                                        \
    {                                                                          \
        "cpus", "LIST", "processors of the workers, in turn: 0,2-3", 0         \
    }
#define NSP_OPTION_BUSY_POLL                                                   \
    {                                                                          \
        "busy-poll", NULL, "stay awake while packets are held or come", 0      \
    }
#define NSP_OPTION_DEEP_IDLE                                                   \
    {                                                                          \
        "deep-idle", NULL, "let processors sleep deeply meanwhile", 0          \
    }
#define NSP_OPTION_YES                                                         \
    {                                                                          \
        "yes", NULL, "go on though it cuts off your own connection", 'y'       \
    }

/* Each stores what 'text' says and returns NSP_EXIT_OK, or the exit status of
 * the error that it has reported; '*ret' is then untouched. */
int nsp_cli_read_seed(struct nsp_cli *cli, const char *text, uint64_t *ret);
int nsp_cli_read_workers(struct nsp_cli *cli, const char *text, uint32_t *ret);

/* Reads the time of option 'name', which is not 0: 'hint' then helps. */
int nsp_cli_read_period(struct nsp_cli *cli, const char *name, const char *text,
                        const char *hint, uint64_t *ret_ns);

/* Has workers stay awake; those of a bridge also look for frames themselves. */
void nsp_cli_set_busy_poll(struct nsp_engine_config *engine);

#endif /* NSP_CLI_ENGINE_OPTIONS_H */
