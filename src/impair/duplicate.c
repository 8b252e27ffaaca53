#include "impair/duplicate.h"

#include <errno.h>

const char *
nsp_duplicate_fault(const struct nsp_duplicate_config *cfg)
{
    if (cfg->copies == 0 || cfg->copies > NSP_DUPLICATE_COPIES_MAX)
        return "a packet is duplicated 1 to 64 times";
    if (cfg->spacing_ns > NSP_DUPLICATE_NS_MAX)
        return "the spacing of copies is above one hour";
    return nsp_chance_fault(cfg->ppm, cfg->correlation_ppm);
}

int
nsp_duplicate_init(struct nsp_duplicate *duplicate,
                   const struct nsp_duplicate_config *cfg)
{
    if (nsp_duplicate_fault(cfg))
        return -EINVAL;
    duplicate->copies = cfg->copies;
    duplicate->spacing_ns = cfg->spacing_ns;
    return nsp_chance_init(&duplicate->chance, cfg->ppm, cfg->correlation_ppm);
}
