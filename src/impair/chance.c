#include "impair/chance.h"

#include <errno.h>

#include "netshaper/policy.h"

uint64_t
nsp_chance_ratio(uint64_t num, uint64_t den)
{
    uint64_t quotient = 0;

    assert(num <= den && den > 0 && den < NSP_CHANCE_SURE);
    if (num == den)
        return NSP_CHANCE_SURE;
    /* Long division by hand: C11 has no wider integer. */
    for (int bit = 0; bit < 63; bit++) {
        num *= 2;
        quotient *= 2;
        if (num >= den) {
            num -= den;
            quotient++;
        }
    }
    return quotient;
}

const char *
nsp_chance_fault(uint32_t ppm, uint32_t correlation_ppm)
{
    if (ppm > NSP_PPM_ONE)
        return "a chance is above 1000000 ppm (100 %)";
    if (correlation_ppm >= NSP_PPM_ONE)
        return "a correlation is not below 1000000 ppm (100 %), where nothing "
               "would ever change";
    return NULL;
}

int
nsp_chance_init(struct nsp_chance *chance, uint32_t ppm,
                uint32_t correlation_ppm)
{
    const uint64_t one = NSP_PPM_ONE;
    uint64_t apart = one - correlation_ppm;

    if (nsp_chance_fault(ppm, correlation_ppm))
        return -EINVAL;
    chance->below[0] = nsp_chance_ratio(ppm, one);
    chance->below[1] = nsp_chance_ratio(apart * ppm, one * one);
    chance->below[2] =
        nsp_chance_ratio(correlation_ppm * one + apart * ppm, one * one);
    return 0;
}
