#ifndef NSP_TESTS_LIB_LOSS_MODELS_H
#define NSP_TESTS_LIB_LOSS_MODELS_H
#include "impair/loss.h"
#include "tests/lib/test.h"

static const uint8_t loss_pattern[] = { 0, 0, 1, 0, 1, 1, 0 };
static const uint32_t loss_falling_ppm[] = { 100000, 500000, 900000, 300000 };

/* A loss of each kind, and of each that has special cases some. */
static const struct nsp_loss_config loss_models[] = {
    { .kind = NSP_LOSS_CHANCE, .chance = { 10000, 0 } },
    { .kind = NSP_LOSS_CHANCE, .chance = { 3000, 250000 } },
    { .kind = NSP_LOSS_CHANCE, .chance = { 50000, 900000 } },
    { .kind = NSP_LOSS_CHANCE, .chance = { 500000, 999000 } },
    { .kind = NSP_LOSS_GILBERT, .gilbert = { 10000, 300000, 1000000, 0 } },
    { .kind = NSP_LOSS_GILBERT, .gilbert = { 20000, 100000, 700000, 1000 } },
    { .kind = NSP_LOSS_GILBERT, .gilbert = { 1000000, 1000000, 1000000, 0 } },
    { .kind = NSP_LOSS_BURSTS, .bursts = { 10000, 3000 } },
    { .kind = NSP_LOSS_BURSTS, .bursts = { 1, 10500 } },
    { .kind = NSP_LOSS_BURSTS, .bursts = { 500000, 1000 } },
    { .kind = NSP_LOSS_FOUR_STATES,
      .four_states = { 10000, 300000, 100000, 400000, 20000 } },
    { .kind = NSP_LOSS_FOUR_STATES,
      .four_states = { 200000, 500000, 500000, 1000000, 800000 } },
    { .kind = NSP_LOSS_FOUR_STATES,
      .four_states = { 100000, 200000, 0, 1000000, 50000 } },
    { .kind = NSP_LOSS_PATTERN,
      .pattern = { loss_pattern, sizeof loss_pattern } },
    { .kind = NSP_LOSS_CONSECUTIVE, .consecutive = { loss_falling_ppm, 4 } },
    { .kind = NSP_LOSS_CONSECUTIVE, .consecutive = { loss_falling_ppm, 1 } },
    { .kind = NSP_LOSS_EVERY, .every_pkts = 1 },
    { .kind = NSP_LOSS_EVERY, .every_pkts = 10 },
    { .kind = NSP_LOSS_FIRST, .first_pkts = 0 },
    { .kind = NSP_LOSS_FIRST, .first_pkts = 12345 },
    { .kind = NSP_LOSS_TIMED,
      .timed = { 1000, 1000000, 20 * UINT64_C(1000000) } },
    { .kind = NSP_LOSS_TIMED,
      .timed = { 10000, 600000, 3 * UINT64_C(1000000) } },
};

static inline void
make_loss(struct nsp_loss *loss, const struct nsp_loss_config *cfg)
{
    CHECK(nsp_loss_fault(cfg) == NULL);
    CHECK_EQ(nsp_loss_init(loss, cfg, NULL), 0);
}

#endif /* NSP_TESTS_LIB_LOSS_MODELS_H */
