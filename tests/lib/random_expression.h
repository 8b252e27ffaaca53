#ifndef NSP_TESTS_LIB_RANDOM_EXPRESSION_H
#define NSP_TESTS_LIB_RANDOM_EXPRESSION_H
#include "tests/lib/naive_filter.h"

/* Makes a random filter whose numbers are often those of 'pkts', or near. */
void random_expression(struct nsp_prng *prng, struct nsp_pkt *const pkts[],
                       unsigned pkt_count, struct naive_filter *ret);

#endif /* NSP_TESTS_LIB_RANDOM_EXPRESSION_H */
