#ifndef NSP_CONFIG_STORE_H
#define NSP_CONFIG_STORE_H
#include <stdbool.h>
#include <stddef.h>

/* Memory of what is read from one file: taken in small pieces, given back at
 * once. From the C library, as the YAML parser's is. */
struct nsp_store_block;

struct nsp_store {
    struct nsp_store_block *blocks;
    bool failed; /* Some piece was not to be had. */
};

/* All zero is an empty store. Frees every piece. */
void nsp_store_fini(struct nsp_store *store);

/* 'bytes' zeroed bytes aligned for any type; NULL without memory. */
void *nsp_store_alloc(struct nsp_store *store, size_t bytes);

/* A terminated copy of 'bytes' bytes of 'text'; NULL without memory. */
char *nsp_store_text(struct nsp_store *store, const char *text, size_t bytes);

/* printf() into the store; NULL without memory. */
char *nsp_store_print(struct nsp_store *store, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif /* NSP_CONFIG_STORE_H */
