#ifndef NSP_TESTS_LIB_DELAY_SAMPLE_H
#define NSP_TESTS_LIB_DELAY_SAMPLE_H
#include <stdlib.h>

#include "base/prng.h"
#include "impair/delay.h"
#include "tests/lib/test.h"

/* Samples of this size, of delays. */
#define N 1000000u

static inline void
make_delay(struct nsp_delay *delay, const struct nsp_delay_config *cfg)
{
    CHECK(nsp_delay_fault(cfg) == NULL);
    CHECK_EQ(nsp_delay_init(delay, cfg, NULL), 0);
}

static inline double *
new_samples(void)
{
    double *x = malloc(N * sizeof *x);

    CHECK(x != NULL);
    return x;
}

/* N delays, of packets that come at once. */
static inline double *
sample(const struct nsp_delay_config *cfg)
{
    struct nsp_delay_state past = { 0 };
    double *x = new_samples();
    struct nsp_prng random;
    struct nsp_delay delay;

    make_delay(&delay, cfg);
    nsp_prng_init(&random, 2026, cfg->kind);
    for (uint32_t i = 0; i < N; i++)
        x[i] = (double)nsp_delay_depart_ns(&delay, &past, 0, &random);
    nsp_delay_fini(&delay);
    return x;
}

#endif /* NSP_TESTS_LIB_DELAY_SAMPLE_H */
