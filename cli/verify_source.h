#ifndef NSP_CLI_VERIFY_SOURCE_H
#define NSP_CLI_VERIFY_SOURCE_H
#include "cli/cli.h"
#include "config/profile.h"
#include "verify/search.h"

/* What 'nsp verify' is to measure: the rules of a policy file, or the two ways
 * of a profile as a rule each. */

#define NSP_VERIFY_INTERFACES_MAX 64u

struct nsp_verify_source {
    const char *name; /* Of the file or the profile. */
    struct nsp_search search;

    /* Its own. */
    struct nsp_policy_file *file;
    struct nsp_profile *profile;
    struct nsp_rule ways[2];
    struct nsp_filter *way_filters[2];
    struct nsp_policy_spec way_spec;
    bool *off;
    uint32_t ifindexes[NSP_VERIFY_INTERFACES_MAX];
};

/* Each reads its source, reports what is wrong with it, and returns the exit
 * status. '*ret' is closed by the caller in any case. Rules with a schedule are
 * in force whatever the time is. */
int nsp_verify_source_open_policy(struct nsp_cli *cli, const char *path,
                                  struct nsp_verify_source *ret);
int nsp_verify_source_open_profile(struct nsp_cli *cli, const char *name,
                                   struct nsp_verify_source *ret);
void nsp_verify_source_close(struct nsp_verify_source *source);

/* The name of a rule, as counters have it. */
const char *nsp_verify_source_rule_name(const struct nsp_verify_source *source,
                                        uint32_t rule, char ret[64]);

#endif /* NSP_CLI_VERIFY_SOURCE_H */
