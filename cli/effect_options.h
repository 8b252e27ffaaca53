#ifndef NSP_CLI_EFFECT_OPTIONS_H
#define NSP_CLI_EFFECT_OPTIONS_H
#include "cli/cli.h"
#include "netshaper/policy.h"

/* The options that say what happens to packets, of the commands that take one
 * rule on the command line: 'nsp shape', 'nsp exec'. Such a command begins its
 * table of options with NSP_EFFECT_OPTION_ROWS, numbers its own from
 * NSP_EFFECT_OPTIONS on, and hands those below to nsp_effect_options_take(). */
enum nsp_effect_option {
    NSP_EFFECT_RATE,
    NSP_EFFECT_QUEUE,
    NSP_EFFECT_QUEUE_DROP,
    NSP_EFFECT_OVERHEAD,
    NSP_EFFECT_DELAY,
    NSP_EFFECT_LOSS,
    NSP_EFFECT_DROP,
    NSP_EFFECT_REJECT,
    NSP_EFFECT_OPTIONS, /* How many. */
};

#define NSP_EFFECT_OPTION_ROWS                                                 \
    [NSP_EFFECT_RATE] = { "rate", "RATE", "limit to RATE: 20mbit, 500kBps",    \
                          0 },                                                 \
    [NSP_EFFECT_QUEUE] = { "queue", "LIMIT",                                   \
                           "what may wait for the rate: 50ms, 64kb, 100p",     \
                           0 },                                                \
    [NSP_EFFECT_QUEUE_DROP] = { "queue-drop", "END",                           \
                                "drop at the tail or the head of a full "      \
                                "queue",                                       \
                                0 },                                           \
    [NSP_EFFECT_OVERHEAD] = { "overhead", "BYTES",                             \
                              "bytes charged on top of each IP packet", 0 },   \
    [NSP_EFFECT_DELAY] = { "delay", "TIME", "hold packets for TIME: 40ms",     \
                           0 },                                                \
    [NSP_EFFECT_LOSS] = { "loss", "SHARE", "lose packets at random: 1%", 0 },  \
    [NSP_EFFECT_DROP] = { "drop", NULL, "drop silently", 0 },                  \
    [NSP_EFFECT_REJECT] = { "reject", NULL, "drop and answer (TCP RST, ICMP)", \
                            0 }

/* All zero: none was given. */
struct nsp_effect_options {
    const char *values[NSP_EFFECT_OPTIONS]; /* "" for a flag; NULL: absent. */
};

/* Reads 'option' with its 'value' into 'rule'. Returns NSP_EXIT_OK, or the exit
 * status of the error that it has reported. */
int nsp_effect_options_take(struct nsp_cli *cli, struct nsp_effect_options *set,
                            enum nsp_effect_option option, const char *value,
                            struct nsp_rule *rule);

/* Refuses what makes no sense together or alone. Returns the same. */
int nsp_effect_options_check(struct nsp_cli *cli,
                             const struct nsp_effect_options *set,
                             const struct nsp_rule *rule);

#endif /* NSP_CLI_EFFECT_OPTIONS_H */
