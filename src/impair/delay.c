#include "impair/delay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/real.h"
#include "impair/normal.h"
#include "netshaper/policy.h"

/* A curve has a point for each 64th of a deviation from -8 to 8, so that all
 * above the lowest 20 bits of z + 8 is the index of the one below. */
#define CURVE_DEVIATIONS 8
#define CURVE_STEPS      64
#define CURVE_POINTS     (2 * CURVE_DEVIATIONS * CURVE_STEPS + 1)
#define CURVE_CELL_BITS  20
#define Z_MAX            (CURVE_DEVIATIONS * NSP_NORMAL_ONE - 1)

/* rho and its complement as whole numbers of this. */
#define RHO_ONE ((int64_t)1 << 30)

#define TABLE_DEVIATION 8192

/* The Pareto distribution of shape 3 and least value 1. */
#define PARETO_MEAN 1.5
#define PARETO_SD   0x1.bb67ae8584caap-1 /* The root of 3/4. */

/* Covariance of its quantiles, standardised, with the normal's. */
#define PARETO_NORMAL_COVARIANCE 0.67835278954985

/* --- What is asked -------------------------------------------------------- */

static const char *
table_fault(const struct nsp_delay_config *cfg)
{
    if (cfg->table_count == 0 || cfg->table_count > NSP_DELAY_TABLE_MAX)
        return "a distribution table is outside 1 to 16384 values";
    return NULL;
}

static const char *
trace_fault(const struct nsp_delay_config *cfg)
{
    if (cfg->trace_count == 0 || cfg->trace_count > NSP_DELAY_TRACE_MAX)
        return "a trace of delays is outside 1 to 1048576 values";
    if (cfg->trace_step_ns > NSP_DELAY_NS_MAX)
        return "trace_step_ns is above one hour";
    for (uint32_t i = 0; i < cfg->trace_count; i++)
        if (cfg->trace_ns[i] > NSP_DELAY_NS_MAX)
            return "a trace has a delay above one hour";
    return NULL;
}

const char *
nsp_delay_fault(const struct nsp_delay_config *cfg)
{
    if (cfg->kind > NSP_DELAY_TRACE)
        return "delay is not one of enum nsp_delay_kind";
    if (cfg->mean_ns > NSP_DELAY_NS_MAX || cfg->spread_ns > NSP_DELAY_NS_MAX)
        return "a delay or its spread is above one hour";
    if (cfg->correlation_ppm >= NSP_PPM_ONE)
        return "a correlation is not below 1000000 ppm (100 %), where nothing "
               "would ever change";
    if (cfg->correlation_ppm != 0 &&
        (cfg->kind == NSP_DELAY_CONSTANT || cfg->kind == NSP_DELAY_TRACE))
        return "a constant delay or a trace has no correlation";
    if (cfg->spread_ns != 0 &&
        (cfg->kind == NSP_DELAY_CONSTANT || cfg->kind == NSP_DELAY_TRACE))
        return "a constant delay or a trace has no spread";
    if (cfg->kind == NSP_DELAY_LOGNORMAL &&
        (cfg->mean_ns == 0 || cfg->spread_ns / 10 > cfg->mean_ns))
        return "a lognormal delay needs a mean, and at most ten times that as "
               "its deviation";
    if (cfg->kind == NSP_DELAY_TABLE)
        return table_fault(cfg);
    if (cfg->kind == NSP_DELAY_TRACE)
        return trace_fault(cfg);
    return NULL;
}

/* --- Curves --------------------------------------------------------------- */

static double
pareto_quantile(double z)
{
    double tail = nsp_real_normal_tail(z);

    return (nsp_real_exp(-nsp_real_log(tail) / 3) - PARETO_MEAN) / PARETO_SD;
}

/* The delay at 'z' deviations of the normal distribution. */
static double
delay_at(const struct nsp_delay_config *cfg, double z)
{
    const double pareto_normal_sd =
        nsp_real_sqrt(0.0625 + 0.5625 + 0.375 * PARETO_NORMAL_COVARIANCE);
    double mean = (double)cfg->mean_ns, sd = (double)cfg->spread_ns;
    double variance;

    switch (cfg->kind) {
    case NSP_DELAY_NORMAL:
        return mean + sd * z;
    case NSP_DELAY_PARETO:
        return mean + sd * pareto_quantile(z);
    case NSP_DELAY_PARETO_NORMAL:
        return mean +
               sd * (0.25 * z + 0.75 * pareto_quantile(z)) / pareto_normal_sd;
    default: /* Lognormal. */
        variance = nsp_real_log(1 + sd / mean * (sd / mean));
        return nsp_real_exp(nsp_real_log(mean) - variance / 2 +
                            nsp_real_sqrt(variance) * z);
    }
}

static bool
is_normal_kind(uint8_t kind)
{
    return kind >= NSP_DELAY_NORMAL && kind <= NSP_DELAY_LOGNORMAL;
}

static double
curve_z(int point)
{
    return (double)point / CURVE_STEPS - CURVE_DEVIATIONS;
}

/* The same in whole nanoseconds, within what a delay may be. */
static int64_t
whole_delay_at(const struct nsp_delay_config *cfg, double z)
{
    const double most = (double)NSP_DELAY_NS_MAX;
    double value = delay_at(cfg, z);

    if (value > most)
        value = most;
    if (value < -most)
        value = -most;
    return (int64_t)(value + (value < 0 ? -0.5 : 0.5));
}

static void
fill_curve(int64_t *curve, const struct nsp_delay_config *cfg)
{
    for (int i = 0; i < CURVE_POINTS; i++) {
        double z = curve_z(i);

        if (is_normal_kind(cfg->kind))
            curve[i] = whole_delay_at(cfg, z);
        else
            curve[i] = (int64_t)((1 - nsp_real_normal_tail(z)) * 4294967295.0);
    }
}

static void
fill_delays(int64_t *delays, const int32_t *points,
            const struct nsp_delay_config *cfg)
{
    for (uint32_t i = 0; i < NSP_NORMAL_POINTS; i++) {
        double z = points[i] / (double)NSP_NORMAL_ONE;

        *delays++ = whole_delay_at(cfg, -z);
        *delays++ = whole_delay_at(cfg, z);
    }
}

/* --- Lifetime ------------------------------------------------------------- */

static int
compare_values(const void *a, const void *b)
{
    int x = *(const int16_t *)a, y = *(const int16_t *)b;

    return (x > y) - (x < y);
}

/* What draws nothing but delays of a normal kind needs one table, with their
 * values at the points of the normal. */
static int
make_delays(struct nsp_delay *delay, const struct nsp_delay_config *cfg)
{
    int32_t *points =
        nsp_alloc(&delay->allocator, NSP_NORMAL_POINTS, sizeof *points);

    delay->delays = nsp_alloc(&delay->allocator, 2 * NSP_NORMAL_POINTS,
                              sizeof *delay->delays);
    if (points && delay->delays) {
        nsp_normal_fill(points);
        fill_delays(delay->delays, points, cfg);
    }
    nsp_release(&delay->allocator, points);
    return points && delay->delays ? 0 : -ENOMEM;
}

static int
make_curve(struct nsp_delay *delay, const struct nsp_delay_config *cfg)
{
    double rho = cfg->correlation_ppm / (double)NSP_PPM_ONE;

    delay->draws_normal = true;
    delay->rho = (int64_t)(rho * (double)RHO_ONE + 0.5);
    delay->rest =
        (int64_t)(nsp_real_sqrt(1 - rho * rho) * (double)RHO_ONE + 0.5);
    delay->normal_points =
        nsp_alloc(&delay->allocator, NSP_NORMAL_POINTS, sizeof(int32_t));
    delay->curve = nsp_alloc(&delay->allocator, CURVE_POINTS, sizeof(int64_t));
    if (!delay->normal_points || !delay->curve)
        return -ENOMEM;
    nsp_normal_fill(delay->normal_points);
    fill_curve(delay->curve, cfg);
    return 0;
}

static int
make_lists(struct nsp_delay *delay, const struct nsp_delay_config *cfg)
{
    if (cfg->kind == NSP_DELAY_TABLE) {
        delay->count = cfg->table_count;
        delay->table =
            nsp_alloc(&delay->allocator, delay->count, sizeof *delay->table);
        if (!delay->table)
            return -ENOMEM;
        memcpy(delay->table, cfg->table, delay->count * sizeof *cfg->table);
        qsort(delay->table, delay->count, sizeof *delay->table, compare_values);
    } else if (cfg->kind == NSP_DELAY_TRACE) {
        delay->count = cfg->trace_count;
        delay->trace_step_ns = cfg->trace_step_ns;
        delay->trace_ns =
            nsp_alloc(&delay->allocator, delay->count, sizeof *cfg->trace_ns);
        if (!delay->trace_ns)
            return -ENOMEM;
        memcpy(delay->trace_ns, cfg->trace_ns,
               delay->count * sizeof *cfg->trace_ns);
    }
    return 0;
}

int
nsp_delay_init(struct nsp_delay *delay, const struct nsp_delay_config *cfg,
               const struct nsp_allocator *allocator)
{
    int err;

    if (nsp_delay_fault(cfg))
        return -EINVAL;
    *delay = (struct nsp_delay){
        .kind = cfg->kind,
        .keep_order = cfg->keep_order,
        .mean_ns = (int64_t)cfg->mean_ns,
        .spread_ns = (int64_t)cfg->spread_ns,
        .allocator = nsp_allocator_or_libc(allocator),
    };
    err = make_lists(delay, cfg);
    if (err == 0 && cfg->correlation_ppm != 0)
        err = make_curve(delay, cfg);
    else if (err == 0 && is_normal_kind(cfg->kind))
        err = make_delays(delay, cfg);
    if (err != 0)
        nsp_delay_fini(delay);
    return err;
}

void
nsp_delay_fini(struct nsp_delay *delay)
{
    nsp_release(&delay->allocator, delay->delays);
    nsp_release(&delay->allocator, delay->normal_points);
    nsp_release(&delay->allocator, delay->curve);
    nsp_release(&delay->allocator, delay->table);
    nsp_release(&delay->allocator, delay->trace_ns);
    delay->delays = NULL;
    delay->normal_points = NULL;
    delay->curve = NULL;
    delay->table = NULL;
    delay->trace_ns = NULL;
}

/* --- The packets ---------------------------------------------------------- */

/* The next z of the stream, which begins with what it always is like. Quotients
 * are rounded towards 0, by less than one part in 2^26 of a deviation. */
static NSP_ALWAYS_INLINE int64_t
next_z(const struct nsp_delay *delay, struct nsp_delay_state *state,
       struct nsp_prng *random)
{
    int64_t z = nsp_normal_draw(delay->normal_points, random);

    if (state->begun)
        z = (delay->rho * state->z + delay->rest * z) / RHO_ONE;
    if (z > Z_MAX)
        z = Z_MAX;
    if (z < -Z_MAX)
        z = -Z_MAX;
    state->begun = true;
    state->z = (int32_t)z;
    return z;
}

/* The next delay of a normal kind, which nothing before has a part in. */
static NSP_ALWAYS_INLINE int64_t
draw_delay(const int64_t *delays, struct nsp_prng *random)
{
    struct nsp_normal_place place = nsp_normal_place(nsp_prng_next(random));
    const int64_t *at = delays + 2 * place.point + place.above;

    return at[0] + (((at[2] - at[0]) * place.within) >> NSP_NORMAL_WITHIN_BITS);
}

static int64_t
curve_at(const int64_t *curve, int64_t z)
{
    uint64_t place = (uint64_t)(z + Z_MAX + 1);
    const int64_t *at = curve + (place >> CURVE_CELL_BITS);
    int64_t within = (int64_t)(place & ((1u << CURVE_CELL_BITS) - 1));

    return at[0] + (((at[1] - at[0]) * within) >> CURVE_CELL_BITS);
}

/* 'u' in units of 2^-32. */
static int64_t
uniform_at(const struct nsp_delay *delay, uint64_t u)
{
    uint64_t span = 2 * (uint64_t)delay->spread_ns;
    uint64_t part = u * (span >> 32) + (u * (span & UINT32_MAX) >> 32);

    return delay->mean_ns - delay->spread_ns + (int64_t)part;
}

static int64_t
table_value(const struct nsp_delay *delay, uint32_t index)
{
    return delay->mean_ns +
           delay->spread_ns * delay->table[index] / TABLE_DEVIATION;
}

static int64_t
trace_next(const struct nsp_delay *delay, struct nsp_delay_state *state,
           uint64_t now_ns)
{
    uint64_t index = state->index;

    if (delay->trace_step_ns == 0) {
        state->index = index + 1 == delay->count ? 0 : state->index + 1;
    } else {
        if (!state->begun)
            state->begun_ns = now_ns;
        state->begun = true;
        index = (now_ns - state->begun_ns) / delay->trace_step_ns;
        index %= delay->count;
    }
    return delay->mean_ns + (int64_t)delay->trace_ns[index];
}

static int64_t
next_delay(const struct nsp_delay *delay, struct nsp_delay_state *state,
           uint64_t now_ns, struct nsp_prng *random)
{
    uint64_t u;

    if (delay->delays)
        return draw_delay(delay->delays, random);
    if (delay->kind == NSP_DELAY_CONSTANT)
        return delay->mean_ns;
    if (delay->kind == NSP_DELAY_TRACE)
        return trace_next(delay, state, now_ns);
    if (is_normal_kind(delay->kind))
        return curve_at(delay->curve, next_z(delay, state, random));

    if (delay->draws_normal)
        u = (uint64_t)curve_at(delay->curve, next_z(delay, state, random));
    else
        u = nsp_prng_next(random) >> 32;
    if (delay->kind == NSP_DELAY_UNIFORM)
        return uniform_at(delay, u);
    return table_value(delay, (uint32_t)(u * delay->count >> 32));
}

uint64_t
nsp_delay_depart_ns(const struct nsp_delay *delay,
                    struct nsp_delay_state *state, uint64_t now_ns,
                    struct nsp_prng *random)
{
    int64_t delay_ns = next_delay(delay, state, now_ns, random);
    uint64_t depart_ns =
        nsp_add_sat_u64(now_ns, delay_ns > 0 ? (uint64_t)delay_ns : 0);

    if (delay->keep_order) {
        if (depart_ns < state->departed_ns)
            depart_ns = state->departed_ns;
        state->departed_ns = depart_ns;
    }
    return depart_ns;
}

/* --- What it comes to ----------------------------------------------------- */

/* Moments about 'origin', which keeps the digits of a deviation that is small
 * beside the mean. */
struct moments {
    double origin, sum, squares, clamped;
};

/* Adds what is spread evenly from 'a' to 'b', with its negative part at 0. */
static void
add_even(struct moments *m, double weight, double a, double b)
{
    double negative = 0;

    if (a < 0)
        negative = b <= 0 ? 1 : -a / (b - a);
    m->clamped += weight * negative;
    m->sum -= weight * negative * m->origin;
    m->squares += weight * negative * m->origin * m->origin;
    weight *= 1 - negative;
    a = (a < 0 ? 0 : a) - m->origin;
    b -= m->origin;
    m->sum += weight * (a + b) / 2;
    m->squares += weight * (a * a + a * b + b * b) / 3;
}

static void
add_curve(struct moments *m, const int64_t *curve)
{
    for (int i = 0; i + 1 < CURVE_POINTS; i++)
        add_even(m,
                 nsp_real_normal_tail(curve_z(i)) -
                     nsp_real_normal_tail(curve_z(i + 1)),
                 (double)curve[i], (double)curve[i + 1]);
}

/* Each halving of the tail weighs half of the one before, but the last, which
 * is all the rest. */
static void
add_drawn(struct moments *m, const int64_t *delays)
{
    double weight = 0.25 / NSP_NORMAL_CELLS;

    for (uint32_t i = 0; i + 1 < NSP_NORMAL_POINTS; i++, delays += 2) {
        bool last = i + NSP_NORMAL_CELLS + 1 >= NSP_NORMAL_POINTS;

        if (i != 0 && i % NSP_NORMAL_CELLS == 0 && !last)
            weight /= 2;
        add_even(m, weight, (double)delays[2], (double)delays[0]);
        add_even(m, weight, (double)delays[1], (double)delays[3]);
    }
}

static void
add_all(const struct nsp_delay *delay, struct moments *m)
{
    double mean = (double)delay->mean_ns, spread = (double)delay->spread_ns;

    switch (delay->kind) {
    case NSP_DELAY_CONSTANT:
        add_even(m, 1, mean, mean);
        break;
    case NSP_DELAY_UNIFORM:
        add_even(m, 1, mean - spread, mean + spread);
        break;
    case NSP_DELAY_TABLE:
    case NSP_DELAY_TRACE:
        for (uint32_t i = 0; i < delay->count; i++) {
            double value = delay->table ? (double)table_value(delay, i)
                                        : mean + (double)delay->trace_ns[i];

            add_even(m, 1.0 / delay->count, value, value);
        }
        break;
    default:
        if (delay->delays)
            add_drawn(m, delay->delays);
        else
            add_curve(m, delay->curve);
    }
}

void
nsp_delay_read_facts(const struct nsp_delay *delay, struct nsp_delay_facts *ret)
{
    struct moments m = { .origin = (double)delay->mean_ns };
    double variance;

    add_all(delay, &m);
    variance = m.squares - m.sum * m.sum;
    ret->mean_ns = (uint64_t)(m.origin + m.sum + 0.5);
    ret->sd_ns = variance > 0 ? (uint64_t)(nsp_real_sqrt(variance) + 0.5) : 0;
    ret->clamped_ppm = (uint32_t)(m.clamped * NSP_PPM_ONE + 0.5);
}
