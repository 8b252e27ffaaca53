#ifndef NSP_CLI_FILTER_SETS_H
#define NSP_CLI_FILTER_SETS_H
#include "cli/cli.h"
#include "netshaper/filter_set.h"

#define NSP_CLI_SETS_MAX 64u

/* The named sets of a command line. */
struct nsp_filter_sets {
    struct nsp_filter_set *sets[NSP_CLI_SETS_MAX];
    uint32_t count;
};

/* Adds what an option --set says: 'NAME=ENTRY,ENTRY...', or 'NAME=@FILE' for a
 * file with an entry in each line. Returns the exit status. */
int nsp_filter_sets_take(struct nsp_cli *cli, struct nsp_filter_sets *sets,
                         const char *value);

/* Gives the sets back. Accepts a zeroed one. */
void nsp_filter_sets_fini(struct nsp_filter_sets *sets);

#endif /* NSP_CLI_FILTER_SETS_H */
