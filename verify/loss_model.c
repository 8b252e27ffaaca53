#include "verify/loss_model.h"

#include <math.h>
#include <stddef.h>

#define STATES    4
#define LAGS_MAX  1000000
#define TERMS_MAX 10000000
#define ROUNDING  1e-12

static double
share(uint32_t ppm)
{
    return ppm / (double)NSP_PPM_ONE;
}

/* --- Chains -------------------------------------------------------------- */

struct chain {
    int states;
    double to[STATES][STATES];
    double stationary[STATES];
    double lost[STATES];
};

/* The sum over all lags of the autocovariance of losses. */
static double
sum_autocovariance(const struct chain *chain, double rate)
{
    double ahead[STATES], sum = 0;

    for (int i = 0; i < chain->states; i++)
        ahead[i] = chain->lost[i];
    for (int lag = 1; lag <= LAGS_MAX; lag++) {
        double next[STATES] = { 0 }, covariance = -rate * rate;

        for (int i = 0; i < chain->states; i++) {
            for (int j = 0; j < chain->states; j++)
                next[i] += chain->to[i][j] * ahead[j];
            covariance += chain->stationary[i] * chain->lost[i] * next[i];
        }
        sum += covariance;
        if (fabs(covariance) < 1e-13)
            break;
        for (int i = 0; i < chain->states; i++)
            ahead[i] = next[i];
    }
    return sum;
}

static void
read_chain(const struct chain *chain, struct nsp_loss_model *ret)
{
    double both = 0;

    for (int i = 0; i < chain->states; i++) {
        double here = chain->stationary[i] * chain->lost[i];

        ret->rate += here;
        for (int j = 0; j < chain->states; j++)
            both += here * chain->to[i][j] * chain->lost[j];
    }
    ret->inflation = 1;
    if (ret->rate <= 0 || ret->rate >= 1)
        return;
    ret->lost_after_lost = both / ret->rate;
    ret->lost_after_received = (ret->rate - both) / (1 - ret->rate);
    ret->lag1 = ret->lost_after_lost - ret->lost_after_received;
    if (fabs(ret->lag1) < ROUNDING)
        ret->lag1 = 0;
    if (ret->lost_after_lost < 1)
        ret->period = 1 / (1 - ret->lost_after_lost);
    ret->inflation = 1 + 2 * sum_autocovariance(chain, ret->rate) /
                             (ret->rate * (1 - ret->rate));
}

/* Good and bad, each with its chance of loss. */
static void
read_two_states(double p, double r, double good_loss, double bad_loss,
                struct nsp_loss_model *ret)
{
    double bad = p > 0 ? p / (p + r) : 0;
    const struct chain chain = {
        .states = 2,
        .to = { { 1 - p, p }, { r, 1 - r } },
        .stationary = { 1 - bad, bad },
        .lost = { good_loss, bad_loss },
    };

    read_chain(&chain, ret);
}

static void
read_chance(const struct nsp_loss_config *cfg, struct nsp_loss_model *ret)
{
    double p = share(cfg->chance.ppm), rho = share(cfg->chance.correlation_ppm);

    read_two_states((1 - rho) * p, (1 - rho) * (1 - p), 0, 1, ret);
    if (p >= 1)
        ret->rate = 1;
}

static void
read_bursts(const struct nsp_loss_config *cfg, struct nsp_loss_model *ret)
{
    double loss = share(cfg->bursts.ppm);
    double burst = cfg->bursts.burst_milli / 1000.0;

    read_two_states(loss / (burst * (1 - loss)), 1 / burst, 0, 1, ret);
}

static void
read_four_states(const struct nsp_loss_config *cfg, struct nsp_loss_model *ret)
{
    double p13 = share(cfg->four_states.p13_ppm);
    double p31 = share(cfg->four_states.p31_ppm);
    double p32 = share(cfg->four_states.p32_ppm);
    double p23 = share(cfg->four_states.p23_ppm);
    double p14 = share(cfg->four_states.p14_ppm), all;
    struct chain chain = {
        .states = STATES,
        .to = {
            { 1 - p13 - p14, 0, p13, p14 },
            { 0, 1 - p23, p23, 0 },
            { p31, p32, 1 - p31 - p32, 0 },
            { 1, 0, 0, 0 },
        },
        .lost = { 0, 0, 1, 1 },
    };

    /* States that cannot be reached take no part. */
    if (p13 <= 0)
        p31 = 1;
    if (p13 <= 0 || p32 <= 0)
        p23 = 1;
    chain.stationary[0] = p31 * p23;
    chain.stationary[1] = p13 * p32;
    chain.stationary[2] = p13 * p23;
    chain.stationary[3] = p14 * p31 * p23;
    all = chain.stationary[0] + chain.stationary[1] + chain.stationary[2] +
          chain.stationary[3];
    for (int i = 0; i < STATES; i++)
        chain.stationary[i] /= all;
    read_chain(&chain, ret);
}

/* --- Renewals ------------------------------------------------------------ */

static void
read_consecutive(const struct nsp_loss_config *cfg, struct nsp_loss_model *ret)
{
    const uint32_t *ppm = cfg->consecutive.ppm;
    uint32_t last = cfg->consecutive.count - 1;
    double at_least = 1, mean = 0, square = 0, first = share(ppm[0]);

    ret->inflation = 1;
    if (first <= 0)
        return;
    for (uint32_t j = 1; j <= TERMS_MAX && at_least > 1e-15; j++) {
        at_least *= share(ppm[j - 1 < last ? j - 1 : last]);
        mean += at_least;
        square += (2.0 * j - 1) * at_least;
    }
    if (at_least > 1e-15) { /* It never ends. */
        ret->rate = 1;
        return;
    }
    ret->rate = mean / (1 + mean);
    ret->period = mean / first;
    ret->lost_after_lost = 1 - 1 / ret->period;
    ret->lost_after_received = first;
    ret->lag1 = ret->lost_after_lost - first;
    ret->inflation = (square - mean * mean) / (mean * (1 + mean));
}

static void
read_timed(const struct nsp_loss_config *cfg, uint64_t gap_ns,
           struct nsp_loss_model *ret)
{
    double enter = share(cfg->timed.enter_ppm);
    double loss = share(cfg->timed.loss_ppm);
    double bad = ceil((double)cfg->timed.bad_ns / (double)gap_ns), good;

    ret->inflation = 1;
    if (enter <= 0 || loss <= 0)
        return;
    good = (1 - enter) / enter;
    ret->rate = loss * bad / (bad + good);
    if (ret->rate >= 1)
        return;
    if (loss >= 1) {
        ret->period = bad / (1 - enter);
        ret->lost_after_lost = 1 - 1 / ret->period;
        ret->lost_after_received = ret->rate / ret->period / (1 - ret->rate);
        ret->lag1 = ret->lost_after_lost - ret->lost_after_received;
    }
    ret->inflation =
        (bad * loss * (1 - loss) + ret->rate * ret->rate * good / enter) /
        ((bad + good) * ret->rate * (1 - ret->rate));
}

/* --- All ----------------------------------------------------------------- */

bool
nsp_loss_model_loses(const struct nsp_loss_config *cfg, uint64_t i)
{
    switch (cfg->kind) {
    case NSP_LOSS_PATTERN:
        return cfg->pattern.lost[i % cfg->pattern.pkts] != 0;
    case NSP_LOSS_EVERY:
        return (i + 1) % cfg->every_pkts == 0;
    default:
        return i < cfg->first_pkts;
    }
}

void
nsp_loss_model_init(struct nsp_loss_model *model,
                    const struct nsp_loss_config *cfg, uint64_t gap_ns)
{
    *model = (struct nsp_loss_model){ .inflation = 1 };
    switch (cfg->kind) {
    case NSP_LOSS_CHANCE:
        read_chance(cfg, model);
        break;
    case NSP_LOSS_GILBERT:
        read_two_states(share(cfg->gilbert.p_ppm), share(cfg->gilbert.r_ppm),
                        share(cfg->gilbert.good_loss_ppm),
                        share(cfg->gilbert.bad_loss_ppm), model);
        break;
    case NSP_LOSS_BURSTS:
        read_bursts(cfg, model);
        break;
    case NSP_LOSS_FOUR_STATES:
        read_four_states(cfg, model);
        break;
    case NSP_LOSS_CONSECUTIVE:
        read_consecutive(cfg, model);
        break;
    case NSP_LOSS_TIMED:
        read_timed(cfg, gap_ns, model);
        break;
    default:
        model->is_exact = true;
    }
}

void
nsp_loss_model_init_states(struct nsp_loss_model *model, double p, double r,
                           double good_loss, double bad_loss)
{
    *model = (struct nsp_loss_model){ .inflation = 1 };
    read_two_states(p, r, good_loss, bad_loss, model);
}

bool
nsp_loss_is_configured(const struct nsp_loss_config *cfg)
{
    switch (cfg->kind) {
    case NSP_LOSS_CHANCE:
        return cfg->chance.ppm > 0;
    case NSP_LOSS_GILBERT:
        return cfg->gilbert.bad_loss_ppm > 0 || cfg->gilbert.good_loss_ppm > 0;
    case NSP_LOSS_BURSTS:
        return cfg->bursts.ppm > 0;
    default:
        return true;
    }
}

const char *
nsp_loss_kind_text(uint8_t kind)
{
    static const char *const texts[] = {
        [NSP_LOSS_CHANCE] = "by chance",
        [NSP_LOSS_GILBERT] = "Gilbert-Elliott",
        [NSP_LOSS_BURSTS] = "in bursts",
        [NSP_LOSS_FOUR_STATES] = "four-state",
        [NSP_LOSS_PATTERN] = "by a pattern",
        [NSP_LOSS_CONSECUTIVE] = "by losses in a row",
        [NSP_LOSS_EVERY] = "every nth",
        [NSP_LOSS_FIRST] = "the first",
        [NSP_LOSS_TIMED] = "in bad times",
    };

    return kind < sizeof texts / sizeof texts[0] ? texts[kind] : "";
}
