#include "impair/reorder.h"

#include <errno.h>

const char *
nsp_reorder_fault(const struct nsp_reorder_config *cfg)
{
    if (cfg->gap == 0)
        return "a reorder gap of 0: 1 lets every packet go at once by chance";
    return nsp_chance_fault(cfg->ppm, cfg->correlation_ppm);
}

int
nsp_reorder_init(struct nsp_reorder *reorder,
                 const struct nsp_reorder_config *cfg)
{
    if (nsp_reorder_fault(cfg))
        return -EINVAL;
    reorder->gap = cfg->gap;
    return nsp_chance_init(&reorder->chance, cfg->ppm, cfg->correlation_ppm);
}

bool
nsp_reorder_decide(const struct nsp_reorder *reorder,
                   struct nsp_reorder_state *state, struct nsp_prng *random)
{
    if (state->delayed < reorder->gap - 1) {
        (void)nsp_prng_next(random);
        state->delayed++;
        return false;
    }
    if (!nsp_chance_decide(&reorder->chance, &state->chance, random))
        return false;
    state->delayed = 0;
    return true;
}
