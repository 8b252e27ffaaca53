#ifndef NSP_CLI_EFFECT_OPTIONS_H
#define NSP_CLI_EFFECT_OPTIONS_H
#include "cli/cli.h"
#include "config/effect_options.h"

/* The options that say what happens to packets, of the commands that take one
 * rule on the command line: 'nsp shape', 'nsp exec'. They are the keys of rules
 * of policy files, each once more as --in:KEY and --out:KEY for one direction.
 * Such a command has nsp_effect_options_table() as its shared options, and
 * hands those from NSP_CLI_SHARED on to nsp_effect_options_take(). */
#define NSP_EFFECT_OPTIONS_MAX 160u

/* All zero: none was given. */
struct nsp_effect_options {
    struct nsp_effect_text texts[NSP_EFFECT_OPTIONS_MAX];
    uint32_t count;
};

const struct nsp_option *nsp_effect_options_table(void);

/* Keeps shared option 'option', NSP_CLI_SHARED or more, with its 'value'.
 * Returns NSP_EXIT_OK, or the exit status of the error that it has reported. */
int nsp_effect_options_take(struct nsp_cli *cli, struct nsp_effect_options *set,
                            int option, const char *value);

/* Reads all that were given to the policy of one rule, or of two where the
 * directions differ. Returns the same. */
int nsp_effect_options_read(struct nsp_cli *cli,
                            const struct nsp_effect_options *set,
                            const struct nsp_effect_rule *rule,
                            struct nsp_policy_file **ret);

/* Tells whether 'key' was given, of either direction. */
bool nsp_effect_options_has(const struct nsp_effect_options *set,
                            const char *key);

#endif /* NSP_CLI_EFFECT_OPTIONS_H */
