#ifndef NSP_FILTER_EVAL_CHAIN_H
#define NSP_FILTER_EVAL_CHAIN_H
#include "filter/eval.h"

/* Finds and translates chains (eval.h): tests that follow one another when they
 * pass, and all lead to the same place when they fail; or the other way round.
 * A test reads and changes
 * nothing but the answer, so those of a chain may be made in any order, and
 * several at once. */

/* Number of tests in the chain that begins with the graph's test 'first'; at
 * least 1. 'entries' says how many targets each test is. */
uint32_t nsp_chain_length(const struct nsp_ir *ir, const uint32_t entries[],
                          uint32_t first);

/* Number of tests from 'first' on of which any is enough to go to the same
 * place, and that all look at words of the same header; 1 if there are no
 * others. */
uint32_t nsp_chain_any_length(const struct nsp_ir *ir, const uint32_t entries[],
                              uint32_t first);

/* Adds to 'state' what 'test' wants of it, if that is all that it wants.
 * Returns whether it is. '*never' is set if the state cannot be both. */
bool nsp_chain_take_state(const struct nsp_ir *ir,
                          const struct nsp_ir_test *test,
                          struct nsp_state *state, bool *never);

/* The same for a test of one word of a header, which is stored in '*ret'; its
 * presence is added to 'state'. */
bool nsp_chain_take_word(const struct nsp_ir *ir,
                         const struct nsp_ir_test *test,
                         struct nsp_state *state, bool *never,
                         struct nsp_word *ret);

/* Joins 'word' with one of 'words' if that can test for both. */
bool nsp_chain_join_word(struct nsp_word words[], uint32_t count,
                         const struct nsp_word *word);

/* How much later than others of its chain a test of no such kind comes: 0 to
 * NSP_CHAIN_COST_MAX. */
#define NSP_CHAIN_COST_MAX 2u
uint32_t nsp_chain_cost(const struct nsp_ir_test *test);

#endif /* NSP_FILTER_EVAL_CHAIN_H */
