#ifndef NSP_POLICY_CLASSIFIER_STATE_H
#define NSP_POLICY_CLASSIFIER_STATE_H
#include "netshaper/policy.h"
#include "policy/class_index.h"
#include "policy/classifier.h"

/* The classifier's own, shared with the lookups. */

/* In cube_rules: the rule's filter is to be asked. */
#define NSP_CUBE_MARK (UINT32_C(1) << 31)

/* Columns that tell which blocks to skip: see 'open_blocks'. */
#define NSP_SKIP_COLUMNS 2u

/* One way to look packets up; as the functions of classifier.h without
 * 'Direct'. */
struct nsp_lookup_ops {
    const char *name;
    /* Fills records and summaries of 'walk', whose other members are set. */
    void (*begin)(struct nsp_classifier_walk *walk);
    /* As nsp_classifier_next(), for packets that are usable. */
    void (*next)(const struct nsp_classifier_walk *walk, uint64_t mask,
                 const uint32_t start[], uint32_t ret[]);
};

/* Rules without a filter, ascending: the only ones that match an unusable
 * packet. */
struct nsp_open_rules {
    uint32_t count;
    uint32_t *rules;
};

#define NSP_DIRECTIONS 3u /* enum nsp_direction. */

struct nsp_classifier {
    const struct nsp_lookup_ops *ops;
    uint32_t rule_count, cube_count, column_count;
    bool is_direct;  /* Records are bitmaps. */
    bool candidates; /* As in the options. */
    /* Blocks with a cube that the first two columns leave open. A packet may
     * lie in cubes of these, and of blocks that are special in either. */
    uint64_t open_blocks;
    struct nsp_class_index columns[NSP_CLASSIFIER_COLUMNS_MAX];
    uint32_t *cube_rules;  /* Of each cube: its rule, NSP_CUBE_MARK. */
    uint32_t *first_cubes; /* Of each rule, and of the one behind the last. */
    struct nsp_classifier_rule *rules;
    uint8_t *widening; /* Of each rule: set of enum nsp_widening. */
    struct nsp_open_rules open[NSP_DIRECTIONS];
    struct nsp_allocator allocator;
};

static inline bool
nsp_rule_is_for(const struct nsp_classifier_rule *rule, uint32_t direction)
{
    return rule->apply == NSP_APPLY_BOTH ||
           (rule->apply == NSP_APPLY_INBOUND && direction == NSP_INBOUND) ||
           (rule->apply == NSP_APPLY_OUTBOUND && direction == NSP_OUTBOUND);
}

/* Asks the rule itself. */
static inline bool
nsp_rule_matches(const struct nsp_classifier_rule *rule,
                 const struct nsp_pkt *pkt,
                 const struct nsp_filter_context *context)
{
    return nsp_rule_is_for(rule, pkt->direction) &&
           (!rule->filter || nsp_filter_match(rule->filter, pkt, context));
}

extern const struct nsp_lookup_ops nsp_lookup_plain;

/* The ops for 'instructions', not NSP_INSTRUCTIONS_BEST; NULL where this
 * processor or this build has none. */
const struct nsp_lookup_ops *nsp_lookup_find(
    enum nsp_instructions instructions);

#endif /* NSP_POLICY_CLASSIFIER_STATE_H */
