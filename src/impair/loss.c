#include "impair/loss.h"

#include <errno.h>

#include "netshaper/policy.h"

int
nsp_loss_init(struct nsp_loss *loss, uint32_t loss_ppm)
{
    /* 2^64 = quotient * 10^6 + rest, though 2^64 itself has no place. */
    const uint64_t quotient = UINT64_MAX / NSP_PPM_ONE;
    const uint64_t rest = UINT64_MAX % NSP_PPM_ONE + 1;

    if (loss_ppm > NSP_PPM_ONE)
        return -EINVAL;
    loss->always = loss_ppm == NSP_PPM_ONE;
    loss->threshold =
        loss->always ? 0 : quotient * loss_ppm + rest * loss_ppm / NSP_PPM_ONE;
    return 0;
}

bool
nsp_loss_decide(const struct nsp_loss *loss, struct nsp_prng *random)
{
    /* Drawn even when certain, so that the same packets meet the same numbers
     * whatever a rule's loss is set to. */
    uint64_t draw = nsp_prng_next(random);

    return draw < loss->threshold || loss->always;
}
