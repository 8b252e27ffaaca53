#ifndef NSP_ENGINE_CONFIG_H
#define NSP_ENGINE_CONFIG_H
#include "base/memory.h"
#include "netshaper/engine.h"

/* An engine's configuration, checked, complete and owned: every string of the
 * caller's is copied, every default filled in. The policy is kept elsewhere,
 * compiled. Immutable. */
struct nsp_config {
    struct nsp_engine_config user; /* Pointers lead into the copies here. */
    const struct nsp_io_ops *ops;
    const void *device; /* For ops->open. */
    bool custom;        /* The program's own backend. */
    bool is_host;       /* Devices are picked by the policy. */
    struct nsp_allocator allocator;
    struct nsp_allocator tables; /* For large ones: in large pages, unless the
                                  * caller hands in memory. */
    struct nsp_clock clock;
};

/* Returns NSP_OK, NSP_INVALID_PARAMETER, NSP_INVALID_FILTER or NSP_NO_MEMORY,
 * these with 'reterr' filled and nothing held. */
int nsp_config_init(struct nsp_config *config,
                    const struct nsp_engine_config *user,
                    struct nsp_diag *reterr) NSP_MUSTCHECK;

/* What ops->open gets of 'config', which must not move afterwards. */
const void *nsp_config_device(const struct nsp_config *config);

/* Accepts a zeroed or half-filled config. */
void nsp_config_fini(struct nsp_config *config);

#endif /* NSP_ENGINE_CONFIG_H */
