#include "impair/reorder.h"

#include <errno.h>

const char *
nsp_reorder_fault(const struct nsp_reorder_config *cfg)
{
    if (cfg->gap == 0 && cfg->late_ns == 0)
        return "a reorder gap of 0: 1 lets every packet go at once by chance";
    if (cfg->gap != 0 && cfg->late_ns != 0)
        return "packets go at once or are late, not both: a gap or late_ns";
    if (cfg->late_ns > NSP_DELAY_NS_MAX)
        return "packets are late by more than one hour";
    return nsp_chance_fault(cfg->ppm, cfg->correlation_ppm);
}

int
nsp_reorder_init(struct nsp_reorder *reorder,
                 const struct nsp_reorder_config *cfg)
{
    if (nsp_reorder_fault(cfg))
        return -EINVAL;
    reorder->gap = cfg->gap;
    reorder->late_ns = cfg->late_ns;
    return nsp_chance_init(&reorder->chance, cfg->ppm, cfg->correlation_ppm);
}

bool
nsp_reorder_decide(const struct nsp_reorder *reorder,
                   struct nsp_reorder_state *state, struct nsp_prng *random)
{
    assert(reorder->gap > 0);
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

/* 53 bits of a draw: an hour has 42. */
uint64_t
nsp_reorder_late_ns(const struct nsp_reorder *reorder,
                    struct nsp_reorder_state *state, struct nsp_prng *random)
{
    uint64_t by_ns = (nsp_prng_next(random) >> 11) % (reorder->late_ns + 1);

    return nsp_chance_decide(&reorder->chance, &state->chance, random) ? by_ns
                                                                       : 0;
}
