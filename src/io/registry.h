#ifndef NSP_IO_REGISTRY_H
#define NSP_IO_REGISTRY_H
#include "base/base.h"
#include "netshaper/io.h"

/* The library's own backends, in the order in which users should hear of them;
 * registry.c is the one place that names them all. */
extern const struct nsp_io_ops *const nsp_io_registry[];
extern const size_t nsp_io_registry_count;

/* Returns the backend called 'name', or NULL. */
const struct nsp_io_ops *nsp_io_find(const char *name);

/* The same for opening 'device' (struct nsp_io_config): where a backend has
 * several tables, the one that fits the device. */
const struct nsp_io_ops *nsp_io_resolve(const char *name, const void *device);

#endif /* NSP_IO_REGISTRY_H */
