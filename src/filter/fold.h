#ifndef NSP_FILTER_FOLD_H
#define NSP_FILTER_FOLD_H
#include "filter/tree.h"

/* Range analysis and folding: gives every test its ranges and simplifies the
 * tree without changing which packets it matches.
 *
 * Problem    A test fails when its field is absent, so a test that cannot fail
 *            by value is not "true" but "the field is there", and one that
 *            cannot pass is false even after 'not'.
 * Idea       A test is a set of values. 'or' of tests on one field is the union
 *            of their sets and 'and' the intersection, both exact, because all
 *            of them pass only where the field is. So chains of == become one
 *            test, contradictions become false, and a full set becomes the
 *            test for the header.
 * Result     A constant, or a tree without constants but in conditionals,
 *            where no 'and' ('or') has one as child, nor two tests of one
 *            field. */

/* Folds 'node' in place. 'arena' gives room for ranges. Returns the tree, which
 * may be another node, or NULL when memory is short. */
struct nsp_node *nsp_filter_fold(struct nsp_node *node, enum nsp_layer layer,
                                 struct nsp_arena *arena);

/* Gives 'test' the ranges of its relation. False when memory is short. */
bool nsp_filter_give_ranges(struct nsp_test *test, enum nsp_layer layer,
                            struct nsp_arena *arena);

#endif /* NSP_FILTER_FOLD_H */
