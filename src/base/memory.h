#ifndef NSP_BASE_MEMORY_H
#define NSP_BASE_MEMORY_H
#include <stddef.h>

#include "base/base.h"
#include "netshaper/env.h"

/* The C library's allocator, for callers that hand in none. */
extern const struct nsp_allocator nsp_libc_allocator;

/* Returns '*allocator' when it is usable, else the C library's. */
struct nsp_allocator nsp_allocator_or_libc(
    const struct nsp_allocator *allocator);

/* Zeroed room for 'count' objects of 'bytes' each, NULL when there is none or
 * the product overflows. */
void *nsp_alloc(const struct nsp_allocator *allocator, size_t count,
                size_t bytes) NSP_MUSTCHECK;

/* Gives back what nsp_alloc returned; NULL is ignored. */
void nsp_release(const struct nsp_allocator *allocator, void *memory);

#endif /* NSP_BASE_MEMORY_H */
