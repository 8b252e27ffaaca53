#include "verify/delay_model.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* Of z, for integrals and for the mixture's curve. */
#define Z_MAX    8.0
#define Z_POINTS 160001

#define TABLE_SD 8192.0

/* Of the Pareto distribution of shape 3 and least value 1. */
#define PARETO_SHAPE 3.0
#define PARETO_MEAN  1.5

#define CAP_SHARE 0.999

static double
pareto_sd(void)
{
    return sqrt(0.75);
}

/* --- The formulae -------------------------------------------------------- */

/* Standardised, at 'z' of the normal distribution. */
static double
pareto_at(double z)
{
    double tail = nsp_normal_cdf(-z);

    return (pow(tail, -1 / PARETO_SHAPE) - PARETO_MEAN) / pareto_sd();
}

/* The delay at 'z', below zero too. */
static double
value_at(const struct nsp_delay_model *m, double z)
{
    switch (m->kind) {
    case NSP_DELAY_NORMAL:
        return m->mean_ns + m->spread_ns * z;
    case NSP_DELAY_PARETO:
        return m->mean_ns + m->spread_ns * pareto_at(z);
    case NSP_DELAY_PARETO_NORMAL:
        return m->mean_ns +
               m->spread_ns * (0.25 * z + 0.75 * pareto_at(z)) / m->mixed_sd;
    case NSP_DELAY_LOGNORMAL:
        return exp(m->mu + m->sigma * z);
    default: /* Uniform. */
        return m->mean_ns + m->spread_ns * (2 * nsp_normal_cdf(z) - 1);
    }
}

static bool
is_listed(const struct nsp_delay_model *m)
{
    return m->kind == NSP_DELAY_TABLE || m->kind == NSP_DELAY_TRACE ||
           m->kind == NSP_DELAY_CONSTANT;
}

/* --- Moments ------------------------------------------------------------- */

struct sums {
    double origin, cap;
    double weight, first, second, zero;
};

static void
add(struct sums *sums, double weight, double value)
{
    sums->weight += weight;
    if (value < 0)
        sums->zero += weight;
    value = fmin(fmax(value, 0), sums->cap) - sums->origin;
    sums->first += weight * value;
    sums->second += weight * value * value;
}

/* Mean and deviation with all above 'cap' counted as that. Sums are of
 * differences from 'origin', which keeps the digits of small deviations. */
static void
integrate(const struct nsp_delay_model *m, double cap, double *ret_mean,
          double *ret_sd, double *ret_zero)
{
    struct sums sums = { .origin = m->mean_ns, .cap = cap };
    double step = 2 * Z_MAX / (Z_POINTS - 1), mean, square;

    if (is_listed(m))
        for (uint32_t i = 0; i < m->count; i++)
            add(&sums, 1, m->values[i]);
    else
        for (int i = 0; i < Z_POINTS; i++) {
            double z = -Z_MAX + i * step;

            add(&sums, exp(-z * z / 2), value_at(m, z));
        }
    mean = sums.first / sums.weight;
    square = sums.second / sums.weight - mean * mean;
    *ret_mean = sums.origin + mean;
    *ret_sd = square > 0 ? sqrt(square) : 0;
    *ret_zero = sums.zero / sums.weight;
}

/* --- Preparing ----------------------------------------------------------- */

static int
list_values(struct nsp_delay_model *m, const struct nsp_delay_config *cfg)
{
    m->count = cfg->kind == NSP_DELAY_TABLE   ? cfg->table_count
               : cfg->kind == NSP_DELAY_TRACE ? cfg->trace_count
                                              : 1;
    m->values = calloc(m->count, sizeof *m->values);
    if (!m->values)
        return -ENOMEM;
    for (uint32_t i = 0; i < m->count; i++) {
        m->values[i] = m->mean_ns;
        if (cfg->kind == NSP_DELAY_TABLE)
            m->values[i] += m->spread_ns * cfg->table[i] / TABLE_SD;
        else if (cfg->kind == NSP_DELAY_TRACE)
            m->values[i] += (double)cfg->trace_ns[i];
        m->values[i] = fmax(m->values[i], 0);
    }
    nsp_sort_doubles(m->values, m->count);
    return 0;
}

/* The deviation of a quarter of the normal quantile and three of the Pareto's:
 * their covariance has no closed form. */
static double
mixture_sd(void)
{
    double weight = 0, second = 0;

    for (int i = 0; i < Z_POINTS; i++) {
        double z = -Z_MAX + i * (2 * Z_MAX / (Z_POINTS - 1));
        double value = 0.25 * z + 0.75 * pareto_at(z);

        weight += exp(-z * z / 2);
        second += exp(-z * z / 2) * value * value;
    }
    return sqrt(second / weight);
}

static int
draw_curve(struct nsp_delay_model *m)
{
    m->count = Z_POINTS;
    m->curve_x = calloc(m->count, sizeof *m->curve_x);
    m->curve_u = calloc(m->count, sizeof *m->curve_u);
    if (!m->curve_x || !m->curve_u)
        return -ENOMEM;
    for (uint32_t i = 0; i < m->count; i++) {
        double z = -Z_MAX + i * (2 * Z_MAX / (Z_POINTS - 1));

        m->curve_x[i] = value_at(m, z);
        m->curve_u[i] = nsp_normal_cdf(z);
    }
    return 0;
}

static int
prepare_kind(struct nsp_delay_model *m, const struct nsp_delay_config *cfg)
{
    double ratio;

    if (is_listed(m))
        return list_values(m, cfg);
    if (m->kind == NSP_DELAY_LOGNORMAL) {
        ratio = m->spread_ns / m->mean_ns;
        m->sigma = sqrt(log1p(ratio * ratio));
        m->mu = log(m->mean_ns) - m->sigma * m->sigma / 2;
    }
    if (m->kind != NSP_DELAY_PARETO_NORMAL)
        return 0;
    m->mixed_sd = mixture_sd();
    return draw_curve(m);
}

int
nsp_delay_model_init(struct nsp_delay_model *m,
                     const struct nsp_delay_config *cfg)
{
    double ignored;
    int err;

    *m = (struct nsp_delay_model){
        .kind = nsp_delay_is_random(cfg) || cfg->kind == NSP_DELAY_TRACE
                    ? cfg->kind
                    : NSP_DELAY_CONSTANT,
        .mean_ns = (double)cfg->mean_ns,
        .spread_ns = (double)cfg->spread_ns,
        .rho = cfg->correlation_ppm / (double)NSP_PPM_ONE,
        .cap_ns = INFINITY,
    };
    err = prepare_kind(m, cfg);
    if (err < 0) {
        nsp_delay_model_fini(m);
        return err;
    }
    integrate(m, INFINITY, &m->expected_mean_ns, &m->expected_sd_ns,
              &m->zero_share);
    m->capped_sd_ns = m->expected_sd_ns;
    if (m->kind == NSP_DELAY_PARETO || m->kind == NSP_DELAY_PARETO_NORMAL ||
        m->kind == NSP_DELAY_LOGNORMAL) {
        m->cap_ns = nsp_delay_model_quantile(m, CAP_SHARE);
        integrate(m, m->cap_ns, &ignored, &m->capped_sd_ns, &ignored);
    }
    return 0;
}

void
nsp_delay_model_fini(struct nsp_delay_model *m)
{
    free(m->values);
    free(m->curve_x);
    free(m->curve_u);
    m->values = m->curve_x = m->curve_u = NULL;
}

/* --- Distribution -------------------------------------------------------- */

/* How many of the ascending 'x' are below 'value', or not above it. */
static uint32_t
count_to(const double *x, uint32_t count, double value, bool with_equal)
{
    uint32_t low = 0, high = count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (x[middle] < value || (with_equal && x[middle] <= value))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static double
curve_cdf(const struct nsp_delay_model *m, double x)
{
    uint32_t next = count_to(m->curve_x, m->count, x, true);
    double within;

    if (next == 0)
        return 0;
    if (next == m->count)
        return 1;
    within =
        (x - m->curve_x[next - 1]) / (m->curve_x[next] - m->curve_x[next - 1]);
    return m->curve_u[next - 1] +
           within * (m->curve_u[next] - m->curve_u[next - 1]);
}

/* Of the delay that may be negative. */
static double
continuous_cdf(const struct nsp_delay_model *m, double x)
{
    double y;

    switch (m->kind) {
    case NSP_DELAY_NORMAL:
        return nsp_normal_cdf((x - m->mean_ns) / m->spread_ns);
    case NSP_DELAY_PARETO:
        y = (x - m->mean_ns) / m->spread_ns * pareto_sd() + PARETO_MEAN;
        return y <= 1 ? 0 : 1 - 1 / (y * y * y);
    case NSP_DELAY_PARETO_NORMAL:
        return curve_cdf(m, x);
    case NSP_DELAY_LOGNORMAL:
        return x <= 0 ? 0 : nsp_normal_cdf((log(x) - m->mu) / m->sigma);
    default:
        y = (x - m->mean_ns + m->spread_ns) / (2 * m->spread_ns);
        return fmin(fmax(y, 0), 1);
    }
}

static double
cdf(const void *context, double x)
{
    const struct nsp_delay_model *m = context;

    if (x < 0)
        return 0;
    if (is_listed(m))
        return count_to(m->values, m->count, x, true) / (double)m->count;
    return continuous_cdf(m, x);
}

static double
cdf_below(const void *context, double x)
{
    const struct nsp_delay_model *m = context;

    if (x <= 0)
        return 0;
    if (is_listed(m))
        return count_to(m->values, m->count, x, false) / (double)m->count;
    return continuous_cdf(m, x);
}

struct nsp_distribution
nsp_delay_model_distribution(const struct nsp_delay_model *model)
{
    return (struct nsp_distribution){ cdf, cdf_below, model };
}

double
nsp_delay_model_quantile(const struct nsp_delay_model *m, double p)
{
    if (is_listed(m))
        return nsp_quantile(m->values, m->count, p);
    return fmax(value_at(m, nsp_normal_quantile(p)), 0);
}

/* In the middle of what a value of a table stands for. */
double
nsp_delay_model_z(const struct nsp_delay_model *m, double delay_ns)
{
    double u;

    if (m->kind == NSP_DELAY_NORMAL)
        return (delay_ns - m->mean_ns) / m->spread_ns;
    if (m->kind == NSP_DELAY_LOGNORMAL)
        return delay_ns > 0 ? (log(delay_ns) - m->mu) / m->sigma : -Z_MAX;
    /* A table's values are rounded to nanoseconds. */
    u = is_listed(m) ? (cdf(m, delay_ns + 1) + cdf_below(m, delay_ns - 1)) / 2
                     : continuous_cdf(m, delay_ns);
    return nsp_normal_quantile(fmin(fmax(u, 1e-12), 1 - 1e-12));
}

bool
nsp_delay_is_random(const struct nsp_delay_config *cfg)
{
    return cfg->kind != NSP_DELAY_CONSTANT && cfg->kind != NSP_DELAY_TRACE &&
           cfg->spread_ns > 0;
}

double
nsp_delay_trace_at(const struct nsp_delay_config *cfg, uint64_t i, uint64_t ns)
{
    if (cfg->trace_step_ns > 0)
        i = ns / cfg->trace_step_ns;
    return (double)cfg->mean_ns + (double)cfg->trace_ns[i % cfg->trace_count];
}

const char *
nsp_delay_kind_text(uint8_t kind)
{
    static const char *const texts[] = {
        [NSP_DELAY_CONSTANT] = "constant",
        [NSP_DELAY_UNIFORM] = "uniform",
        [NSP_DELAY_NORMAL] = "normal",
        [NSP_DELAY_PARETO] = "pareto",
        [NSP_DELAY_PARETO_NORMAL] = "paretonormal",
        [NSP_DELAY_LOGNORMAL] = "lognormal",
        [NSP_DELAY_TABLE] = "table",
        [NSP_DELAY_TRACE] = "trace",
    };

    return kind < sizeof texts / sizeof texts[0] ? texts[kind] : "";
}
