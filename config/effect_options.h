#ifndef NSP_CONFIG_EFFECT_OPTIONS_H
#define NSP_CONFIG_EFFECT_OPTIONS_H
#include "config/policy_file.h"

/* The effects of one rule as options of a command line. Each is a key of rules
 * of policy files (config/policy_keys.c), and so is what it takes:
 *
 *     VALUE               the short form of the key, as in 'delay: 40ms'
 *     KEY=VALUE[,...]     its mapping: 'jitter: { sd: 10ms }'
 *     VALUE,KEY=VALUE...  both: VALUE is that of the mapping's first key
 *     WORD:VALUE[,...]    a kind of it: 'loss: { model: nth, n: 5 }' is nth:5
 *
 * Items of a list stand between '/': consecutive:1%/50%; those that are
 * mappings have the values of its keys in their order, between ':':
 * schedule=10s:9mbit/5s:9mbit:1mbit. */
struct nsp_effect_text {
    const char *key;   /* A key with an 'argument', or "action". */
    const char *value; /* One line. */
    uint8_t apply;     /* enum nsp_apply: of one direction only. */
};

/* What else is known of the rule. */
struct nsp_effect_rule {
    const char *name;
    uint32_t hooks;    /* Set of enum nsp_hook; 0 host. */
    uint8_t direction; /* enum nsp_apply. */
};

/* Reads 'texts' to a policy of one rule, or of two where the directions differ:
 * NAME.in and NAME.out. Returns what nsp_policy_file_load() does. A complaint
 * whose file is "" is of the text whose index is its line less one. */
int nsp_effect_options_load(const struct nsp_effect_text *texts, uint32_t count,
                            const struct nsp_effect_rule *rule,
                            const struct nsp_file_reader *reader,
                            struct nsp_policy_file **ret,
                            struct nsp_complaints *complaints) NSP_MUSTCHECK;

/* An option that there is. */
struct nsp_effect_option {
    const char *name; /* The key's, or another of its names. */
    const char *key, *argument;
    const char *doc; /* NULL of other names. */
    bool of_way;     /* May be of one direction. */
};

/* Option 'index', from 0 on; false when there are no more. */
bool nsp_effect_option_get(uint32_t index, struct nsp_effect_option *ret);

#endif /* NSP_CONFIG_EFFECT_OPTIONS_H */
