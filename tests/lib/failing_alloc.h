#ifndef NSP_TESTS_LIB_FAILING_ALLOC_H
#define NSP_TESTS_LIB_FAILING_ALLOC_H
#include <stdatomic.h>
#include <stdbool.h>

#include "netshaper/env.h"

/* An allocator that fails once, at the allocation number 'fail_at' (from 0),
 * and counts what is still allocated. */
struct failing_alloc {
    atomic_uint calls;
    unsigned fail_at;
    atomic_int live;
    atomic_bool failed;
};

struct nsp_allocator failing_allocator(struct failing_alloc *state);

#endif /* NSP_TESTS_LIB_FAILING_ALLOC_H */
