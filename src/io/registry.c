#include "io/registry.h"

#include <string.h>

#include "io/host.h"
#include "io/memory/memory_ops.h"

extern const struct nsp_io_ops nsp_bridge_ops;
extern const struct nsp_io_ops nsp_nfqueue_ops;
extern const struct nsp_io_ops nsp_pcapfile_ops;
extern const struct nsp_io_ops nsp_sniff_ops;
extern const struct nsp_io_ops nsp_tap_ops;

const struct nsp_io_ops *const nsp_io_registry[] = {
    &nsp_host_ops,  &nsp_nfqueue_ops,  &nsp_tap_ops,    &nsp_bridge_ops,
    &nsp_sniff_ops, &nsp_pcapfile_ops, &nsp_memory_ops,
};
const size_t nsp_io_registry_count = NSP_ARRAY_LEN(nsp_io_registry);

const struct nsp_io_ops *
nsp_io_find(const char *name)
{
    for (size_t i = 0; i < nsp_io_registry_count; i++)
        if (strcmp(nsp_io_registry[i]->name, name) == 0)
            return nsp_io_registry[i];
    return NULL;
}

const struct nsp_io_ops *
nsp_io_resolve(const char *name, const void *device)
{
    const struct nsp_io_ops *ops = nsp_io_find(name);

    return ops == &nsp_memory_ops ? nsp_memory_get_ops(device) : ops;
}
