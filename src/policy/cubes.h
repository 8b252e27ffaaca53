#ifndef NSP_POLICY_CUBES_H
#define NSP_POLICY_CUBES_H
#include "policy/columns.h"

/* A filter as a few cubes.
 *
 * Problem    Written out as an "or" of "and"s, a filter may grow without bound:
 *            (a or b) and (c or d) and ...
 * Idea       Alternatives within one column stay one set, so only those across
 *            columns multiply. The decision graph is walked once, from its ends
 *            to its entry: what a test accepts is what its targets accept, cut
 *            to the values that lead there. Cubes that differ in one column are
 *            joined, ones inside others dropped, and a cut that another cube
 *            makes good is not made.
 * Marked     A cube may be larger than what the filter accepts: it is then
 *            marked. Every packet in an unmarked cube matches, and a packet in
 *            none does not match.
 * Limit      Above NSP_CUBES_MAX at any test, neighbouring cubes are replaced,
 *            in pairs, by the least cube around both. */

#define NSP_CUBES_MAX 32u

struct nsp_cube {
    struct nsp_shapes shapes;
    const struct nsp_value_set *sets[NSP_CLASSIFIER_COLUMNS_MAX - 1];
    bool is_marked;
};

/* Cubes that together hold all that a filter accepts. */
struct nsp_cube_list {
    uint32_t count;
    unsigned widening; /* Set of enum nsp_widening. */
    const struct nsp_cube *cubes[NSP_CUBES_MAX + 1];
};

/* Makes the cubes of the filter 'ir' (NULL: everything) for a rule with 'apply'
 * (enum nsp_apply), at most 'limit' (1 .. NSP_CUBES_MAX). When maker->steps
 * exceeds 'steps_max' on the way, there is one cube, marked. Cubes live as long
 * as the maker's arena. */
void nsp_cubes_make(const struct nsp_columns *columns, const struct nsp_ir *ir,
                    uint8_t apply, uint32_t limit, uint64_t steps_max,
                    struct nsp_set_maker *maker, struct nsp_cube_list *ret);

#endif /* NSP_POLICY_CUBES_H */
