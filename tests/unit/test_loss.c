#include "impair/loss.h"
#include "netshaper/policy.h"
#include "tests/lib/failing_alloc.h"
#include "tests/lib/statistics.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#define MS UINT64_C(1000000)

static void
make_loss(struct nsp_loss *loss, const struct nsp_loss_config *cfg)
{
    CHECK(nsp_loss_fault(cfg) == NULL);
    CHECK_EQ(nsp_loss_init(loss, cfg, NULL), 0);
}

/* --- The reference ---------------------------------------------------------
 * The models as the literature tells them, with probabilities as fractions and
 * states by their names, fed with the same random numbers. */

struct reference {
    const struct nsp_loss_config *cfg;
    struct nsp_prng random;
    bool begun, bad; /* Two states. */
    int state;       /* Four states: 1..4. */
    uint64_t seen, in_a_row;
    uint64_t bad_from_ns;
};

static long double
fraction(struct reference *ref)
{
    return (long double)nsp_prng_next(&ref->random) / 18446744073709551616.0L;
}

static bool
two_states(struct reference *ref, long double p, long double r)
{
    long double u = fraction(ref);

    if (!ref->begun)
        ref->bad = u < p / (p + r);
    else if (ref->bad)
        ref->bad = u < 1 - r;
    else
        ref->bad = u < p;
    ref->begun = true;
    return ref->bad;
}

static bool
reference_gilbert(struct reference *ref)
{
    const struct nsp_loss_config *cfg = ref->cfg;
    bool bad =
        two_states(ref, cfg->gilbert.p_ppm / 1e6L, cfg->gilbert.r_ppm / 1e6L);
    uint32_t loss =
        bad ? cfg->gilbert.bad_loss_ppm : cfg->gilbert.good_loss_ppm;

    if (cfg->gilbert.bad_loss_ppm == NSP_PPM_ONE &&
        cfg->gilbert.good_loss_ppm == 0)
        return bad;
    return fraction(ref) < loss / 1e6L;
}

static bool
reference_bursts(struct reference *ref)
{
    long double loss = ref->cfg->bursts.ppm / 1e6L;
    long double burst = ref->cfg->bursts.burst_milli / 1e3L;

    return two_states(ref, loss / (burst * (1 - loss)), 1 / burst);
}

static bool
reference_chance(struct reference *ref)
{
    long double p = ref->cfg->chance.ppm / 1e6L;
    long double rho = ref->cfg->chance.correlation_ppm / 1e6L;

    return two_states(ref, (1 - rho) * p, (1 - rho) * (1 - p));
}

/* The order in which a draw is given out (3, 4, 2, 1) is this library's own. */
static int
pick_state(long double u, long double p3, long double p4, long double p2)
{
    if (u < p3)
        return 3;
    if (u < p3 + p4)
        return 4;
    return u < p3 + p4 + p2 ? 2 : 1;
}

static bool
reference_four_states(struct reference *ref)
{
    const struct nsp_loss_config *cfg = ref->cfg;
    long double p13 = cfg->four_states.p13_ppm / 1e6L;
    long double p31 = cfg->four_states.p31_ppm / 1e6L;
    long double p32 = cfg->four_states.p32_ppm / 1e6L;
    long double p23 = cfg->four_states.p23_ppm / 1e6L;
    long double p14 = cfg->four_states.p14_ppm / 1e6L;
    long double u = fraction(ref), all;

    switch (ref->state) {
    case 0:
        all = p31 * p23 + p13 * p32 + p13 * p23 + p14 * p31 * p23;
        ref->state = pick_state(u, p13 * p23 / all, p14 * p31 * p23 / all,
                                p13 * p32 / all);
        break;
    case 1:
        ref->state = pick_state(u, p13, p14, 0);
        break;
    case 2:
        ref->state = pick_state(u, p23, 0, 1 - p23);
        break;
    case 3:
        ref->state = pick_state(u, 1 - p31 - p32, 0, p32);
        break;
    default:
        ref->state = 1;
    }
    return ref->state >= 3;
}

static bool
reference_consecutive(struct reference *ref)
{
    uint64_t last = ref->cfg->consecutive.count - 1;
    uint32_t ppm =
        ref->cfg->consecutive.ppm[ref->in_a_row < last ? ref->in_a_row : last];
    bool lost = fraction(ref) < ppm / 1e6L;

    ref->in_a_row = lost ? ref->in_a_row + 1 : 0;
    return lost;
}

static bool
reference_timed(struct reference *ref, uint64_t now_ns)
{
    long double enter = fraction(ref), loss = fraction(ref);

    if (ref->bad && now_ns - ref->bad_from_ns >= ref->cfg->timed.bad_ns)
        ref->bad = false;
    if (!ref->bad && enter < ref->cfg->timed.enter_ppm / 1e6L) {
        ref->bad = true;
        ref->bad_from_ns = now_ns;
    }
    return ref->bad && loss < ref->cfg->timed.loss_ppm / 1e6L;
}

static bool
reference_decide(struct reference *ref, uint64_t now_ns)
{
    uint64_t index = ref->seen++;

    switch (ref->cfg->kind) {
    case NSP_LOSS_CHANCE:
        return reference_chance(ref);
    case NSP_LOSS_GILBERT:
        return reference_gilbert(ref);
    case NSP_LOSS_BURSTS:
        return reference_bursts(ref);
    case NSP_LOSS_FOUR_STATES:
        return reference_four_states(ref);
    case NSP_LOSS_PATTERN:
        return ref->cfg->pattern.lost[index % ref->cfg->pattern.pkts] != 0;
    case NSP_LOSS_CONSECUTIVE:
        return reference_consecutive(ref);
    case NSP_LOSS_EVERY:
        return (index + 1) % ref->cfg->every_pkts == 0;
    case NSP_LOSS_FIRST:
        return index < ref->cfg->first_pkts;
    default:
        return reference_timed(ref, now_ns);
    }
}

static const uint8_t pattern[] = { 0, 0, 1, 0, 1, 1, 0 };
static const uint32_t falling_ppm[] = { 100000, 500000, 900000, 300000 };

static const struct nsp_loss_config models[] = {
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
    { .kind = NSP_LOSS_PATTERN, .pattern = { pattern, sizeof pattern } },
    { .kind = NSP_LOSS_CONSECUTIVE, .consecutive = { falling_ppm, 4 } },
    { .kind = NSP_LOSS_CONSECUTIVE, .consecutive = { falling_ppm, 1 } },
    { .kind = NSP_LOSS_EVERY, .every_pkts = 1 },
    { .kind = NSP_LOSS_EVERY, .every_pkts = 10 },
    { .kind = NSP_LOSS_FIRST, .first_pkts = 0 },
    { .kind = NSP_LOSS_FIRST, .first_pkts = 12345 },
    { .kind = NSP_LOSS_TIMED, .timed = { 1000, 1000000, 20 * MS } },
    { .kind = NSP_LOSS_TIMED, .timed = { 10000, 600000, 3 * MS } },
};

TEST(loss_agrees_with_the_textbook_packet_by_packet)
{
    for (size_t m = 0; m < NSP_ARRAY_LEN(models); m++) {
        struct reference ref = { .cfg = &models[m] };
        struct nsp_loss_state past = { 0 };
        struct nsp_prng random, gaps;
        struct nsp_loss loss;
        uint64_t now_ns = 0;

        make_loss(&loss, &models[m]);
        nsp_prng_init(&random, 11, m);
        nsp_prng_init(&ref.random, 11, m);
        nsp_prng_init(&gaps, 12, m);
        for (int i = 0; i < 1000000; i++) {
            now_ns += nsp_prng_next(&gaps) % (2 * MS);
            CHECK_EQ(nsp_loss_decide(&loss, &past, now_ns, &random),
                     reference_decide(&ref, now_ns));
        }
        nsp_loss_fini(&loss);
    }
}

/* --- What the formulae promise ---------------------------------------------
 */

struct tally {
    uint64_t n, lost, bursts;
    uint64_t after_loss; /* Losses right after a loss. */
    uint64_t longest;
};

/* Packets come every 'gap_ns'. */
static struct tally
count_losses(const struct nsp_loss_config *cfg, uint64_t n, uint64_t gap_ns)
{
    struct tally tally = { .n = n };
    struct nsp_loss_state past = { 0 };
    struct nsp_prng random;
    struct nsp_loss loss;
    uint64_t run = 0;

    make_loss(&loss, cfg);
    nsp_prng_init(&random, 2026, cfg->kind);
    for (uint64_t i = 0; i < n; i++) {
        bool lost = nsp_loss_decide(&loss, &past, i * gap_ns, &random);

        tally.lost += lost;
        tally.bursts += lost && run == 0;
        tally.after_loss += lost && run > 0;
        run = lost ? run + 1 : 0;
        if (run > tally.longest)
            tally.longest = run;
    }
    nsp_loss_fini(&loss);
    return tally;
}

static double
mean_burst(const struct tally *tally)
{
    return (double)tally->lost / (double)tally->bursts;
}

/* Losses whose indicators are correlated by r^k count like fewer independent
 * trials: n (1 - r) / (1 + r). */
static bool
has_rate(const struct tally *tally, double p, double r)
{
    double off = fabs((double)tally->lost - (double)tally->n * p);
    double variance = (double)tally->n * p * (1 - p) * (1 + r) / (1 - r);

    return off <= 1 + 3.29 * sqrt(variance);
}

TEST(loss_by_chance_has_the_binomial_count_and_no_memory)
{
    const uint32_t ppm[] = { 1,     10,     100,    1000,  10000,
                             50000, 250000, 500000, 999000 };

    for (size_t i = 0; i < NSP_ARRAY_LEN(ppm); i++) {
        const struct nsp_loss_config cfg = { .chance.ppm = ppm[i] };
        struct tally tally = count_losses(&cfg, 4000000, 0);

        CHECK(is_binomial(tally.lost, tally.n, ppm[i] / 1e6));
        CHECK(is_binomial(tally.after_loss, tally.lost, ppm[i] / 1e6));
    }
}

TEST(loss_with_correlation_keeps_the_rate_and_has_the_correlation)
{
    static const struct {
        uint32_t ppm, correlation_ppm;
    } cases[] = {
        { 3000, 250000 },   { 10000, 250000 }, { 50000, 250000 },
        { 100000, 500000 }, { 50000, 900000 }, { 500000, 990000 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        const struct nsp_loss_config cfg = {
            .chance = { cases[i].ppm, cases[i].correlation_ppm },
        };
        double p = cases[i].ppm / 1e6, rho = cases[i].correlation_ppm / 1e6;
        struct tally tally = count_losses(&cfg, 10000000, 0);
        double lost = (double)tally.lost / (double)tally.n;
        double both = (double)tally.after_loss / (double)tally.n;

        CHECK(has_rate(&tally, p, rho));
        CHECK(is_near((both - lost * lost) / (lost * (1 - lost)), rho, 0.01));
        CHECK(is_near(mean_burst(&tally) * (1 - rho) * (1 - p), 1, 0.02));
    }
}

TEST(loss_of_gilbert_and_elliott_has_the_stationary_rate)
{
    static const struct {
        uint32_t p, r, bad, good;
    } cases[] = {
        { 10000, 300000, 1000000, 0 },   { 10000, 300000, 500000, 0 },
        { 20000, 100000, 700000, 1000 }, { 500000, 500000, 1000000, 0 },
        { 5000, 20000, 200000, 10000 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        const struct nsp_loss_config cfg = {
            .kind = NSP_LOSS_GILBERT,
            .gilbert = { cases[i].p, cases[i].r, cases[i].bad, cases[i].good },
        };
        double p = cases[i].p / 1e6, r = cases[i].r / 1e6;
        double bad = cases[i].bad / 1e6, good = cases[i].good / 1e6;
        double rate = good * r / (p + r) + bad * p / (p + r);
        struct tally tally = count_losses(&cfg, 10000000, 0);

        CHECK(has_rate(&tally, rate, 1 - p - r));
        if (cases[i].bad == NSP_PPM_ONE && cases[i].good == 0)
            CHECK(is_near(mean_burst(&tally) * r, 1, 0.02));
    }
}

TEST(loss_in_bursts_has_the_rate_and_the_mean_burst)
{
    static const struct {
        uint32_t ppm, burst_milli;
    } cases[] = {
        { 10000, 1000 },  { 10000, 3000 },   { 50000, 2500 },
        { 20000, 10000 }, { 300000, 50000 }, { 500000, 1000 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        const struct nsp_loss_config cfg = {
            .kind = NSP_LOSS_BURSTS,
            .bursts = { cases[i].ppm, cases[i].burst_milli },
        };
        double loss = cases[i].ppm / 1e6, burst = cases[i].burst_milli / 1e3;
        double p = loss / (burst * (1 - loss));
        struct tally tally = count_losses(&cfg, 10000000, 0);

        CHECK(has_rate(&tally, loss, 1 - p - 1 / burst));
        CHECK(is_near(mean_burst(&tally) / burst, 1, 0.02));
    }
}

TEST(loss_of_four_states_has_the_stationary_rate)
{
    static const double cases[][5] = {
        { 0.01, 0.3, 0.1, 0.4, 0.02 },
        { 0.05, 0.2, 0.3, 0.5, 0 },
        { 0, 0, 0, 0, 0.03 },
        { 0.002, 0.1, 0.6, 0.25, 0.001 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        double p13 = cases[i][0], p31 = cases[i][1], p32 = cases[i][2];
        double p23 = cases[i][3], p14 = cases[i][4];
        double one = p13 == 0 ? 1 : p31 * p23, two = p13 * p32;
        double three = p13 * p23, four = p14 * one;
        const struct nsp_loss_config cfg = {
            .kind = NSP_LOSS_FOUR_STATES,
            .four_states = { (uint32_t)lround(p13 * 1e6),
                             (uint32_t)lround(p31 * 1e6),
                             (uint32_t)lround(p32 * 1e6),
                             (uint32_t)lround(p23 * 1e6),
                             (uint32_t)lround(p14 * 1e6) },
        };
        struct tally tally = count_losses(&cfg, 10000000, 0);
        double rate = (three + four) / (one + two + three + four);
        /* Runs of losses end in 1, in 2, or alone. */
        double runs = (three * (p31 + p32) + four) / (one + two + three + four);

        CHECK(is_near((double)tally.lost / (double)tally.n / rate, 1, 0.01));
        CHECK(is_near(mean_burst(&tally) * runs / rate, 1, 0.02));
    }
}

/* Many streams' first packets, and their fiftieth: both as in the long run. */
TEST(loss_begins_in_the_stationary_distribution)
{
    static const struct {
        struct nsp_loss_config cfg;
        double rate;
    } cases[] = {
        { { .kind = NSP_LOSS_GILBERT,
            .gilbert = { 20000, 60000, NSP_PPM_ONE, 0 } },
          0.25 },
        { { .kind = NSP_LOSS_GILBERT,
            .gilbert = { 20000, 60000, 800000, 100000 } },
          0.275 },
        { { .kind = NSP_LOSS_BURSTS, .bursts = { 100000, 20000 } }, 0.1 },
        { { .kind = NSP_LOSS_CHANCE, .chance = { 100000, 950000 } }, 0.1 },
        /* Weights 0.04, 0.08, 0.04 and 0.008 of states 1 to 4. */
        { { .kind = NSP_LOSS_FOUR_STATES,
            .four_states = { 200000, 200000, 400000, 200000, 200000 } },
          0.048 / 0.168 },
        { { .kind = NSP_LOSS_FOUR_STATES,
            .four_states = { 100000, 200000, 0, 0, 50000 } },
          (0.5 + 0.05) / (1 + 0.5 + 0.05) },
    };

    for (size_t c = 0; c < NSP_ARRAY_LEN(cases); c++) {
        const uint64_t n = 50000;
        uint64_t first = 0, later = 0;
        struct nsp_loss loss;

        make_loss(&loss, &cases[c].cfg);
        for (uint64_t i = 0; i < n; i++) {
            struct nsp_loss_state past = { 0 };
            struct nsp_prng random;

            nsp_prng_init(&random, c, i);
            first += nsp_loss_decide(&loss, &past, 0, &random);
            for (int k = 0; k < 48; k++)
                (void)nsp_loss_decide(&loss, &past, 0, &random);
            later += nsp_loss_decide(&loss, &past, 0, &random);
        }
        CHECK(is_binomial(first, n, cases[c].rate));
        CHECK(is_binomial(later, n, cases[c].rate));
    }
}

TEST(loss_bounds_runs_by_a_last_probability_of_none)
{
    static const uint32_t ppm[] = { 100000, 900000, 900000, 0 };
    const struct nsp_loss_config cfg = {
        .kind = NSP_LOSS_CONSECUTIVE,
        .consecutive = { ppm, NSP_ARRAY_LEN(ppm) },
    };
    struct tally tally = count_losses(&cfg, 1000000, 0);

    /* A run is 1 + 0.9 + 0.81 long; one begins at 0.1 of what follows none. */
    CHECK_EQ(tally.longest, 3);
    CHECK(is_near(mean_burst(&tally) / 2.71, 1, 0.02));
    CHECK(is_near((double)tally.lost / (double)tally.n,
                  0.271 / (1 + 0.1 * 2.71), 0.002));
}

/* A bad state holds as many packets as come in its time, the first included;
 * between two of them come (1 - enter) / enter good packets on average. */
TEST(loss_for_a_time_does_not_depend_on_the_rate_of_packets)
{
    const uint64_t gaps_ns[] = { MS / 10, MS, 10 * MS, 50 * MS };

    for (size_t i = 0; i < NSP_ARRAY_LEN(gaps_ns); i++) {
        const struct nsp_loss_config cfg = {
            .kind = NSP_LOSS_TIMED,
            .timed = { 10000, NSP_PPM_ONE, 20 * MS },
        };
        double bad = (double)((20 * MS + gaps_ns[i] - 1) / gaps_ns[i]);
        double rate = bad / (bad + 0.99 / 0.01);
        struct tally tally = count_losses(&cfg, 2000000, gaps_ns[i]);

        CHECK(is_near((double)tally.lost / (double)tally.n / rate, 1, 0.02));
        /* One in a hundred enters again at once. */
        CHECK(is_near(mean_burst(&tally) / bad, 1 / 0.99, 0.02));
    }
}

/* All models at once, roughly: those with a long memory vary much. */
TEST(loss_facts_are_what_packets_meet)
{
    for (size_t m = 0; m < NSP_ARRAY_LEN(models); m++) {
        struct nsp_loss_facts facts;
        struct nsp_loss loss;
        struct tally tally;

        make_loss(&loss, &models[m]);
        nsp_loss_read_facts(&loss, &facts);
        nsp_loss_fini(&loss);
        CHECK_EQ(facts.known, models[m].kind != NSP_LOSS_TIMED);
        if (!facts.known || models[m].kind == NSP_LOSS_FIRST)
            continue;
        tally = count_losses(&models[m], 2000000, 0);
        if (facts.rate * 2e6 < 1000) {
            CHECK(is_near((double)tally.lost / 2e6, facts.rate, 1e-5));
            CHECK(is_near(facts.burst_pkts, 10.5, 1e-6));
            continue;
        }
        CHECK(is_near((double)tally.lost / 2e6 / facts.rate, 1, 0.1));
        if (facts.rate < 1)
            CHECK(is_near(mean_burst(&tally) / facts.burst_pkts, 1, 0.1));
        else
            CHECK(facts.burst_pkts == 0);
    }
}

/* By the formulae of the literature. */
TEST(loss_facts_are_the_closed_forms)
{
    static const uint8_t ring[] = { 1, 0, 1 }, pair[] = { 1, 0 };
    static const uint32_t endless[] = { 1, 500000, NSP_PPM_ONE };
    static const struct {
        struct nsp_loss_config cfg;
        double rate, burst;
    } cases[] = {
        { { .chance = { 10000, 250000 } }, 0.01, 1 / (0.75 * 0.99) },
        { { .kind = NSP_LOSS_GILBERT,
            .gilbert = { 10000, 300000, NSP_PPM_ONE, 0 } },
          1.0 / 31,
          10.0 / 3 },
        { { .kind = NSP_LOSS_BURSTS, .bursts = { 10000, 3000 } }, 0.01, 3 },
        { { .kind = NSP_LOSS_PATTERN, .pattern = { pattern, sizeof pattern } },
          3.0 / 7,
          1.5 },
        { { .kind = NSP_LOSS_PATTERN, .pattern = { ring, 3 } }, 2.0 / 3, 2 },
        { { .kind = NSP_LOSS_PATTERN, .pattern = { pair, 2 } }, 0.5, 1 },
        { { .kind = NSP_LOSS_EVERY, .every_pkts = 10 }, 0.1, 1 },
        { { .kind = NSP_LOSS_EVERY, .every_pkts = 1 }, 1, 0 },
        { { .kind = NSP_LOSS_FIRST, .first_pkts = 10 }, 0, 0 },
        { { .kind = NSP_LOSS_CONSECUTIVE, .consecutive = { endless, 3 } },
          1,
          0 },
        { { .kind = NSP_LOSS_CONSECUTIVE, .consecutive = { endless, 2 } },
          2e-6 / (1 + 2e-6),
          2 },
        { { .chance.ppm = 0 }, 0, 0 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        struct nsp_loss_facts facts;
        struct nsp_loss loss;

        make_loss(&loss, &cases[i].cfg);
        nsp_loss_read_facts(&loss, &facts);
        nsp_loss_fini(&loss);
        CHECK(facts.known);
        CHECK(is_near(facts.rate, cases[i].rate, 1e-12));
        CHECK(is_near(facts.burst_pkts, cases[i].burst, 1e-9));
    }
}

TEST(loss_draws_as_many_numbers_whatever_becomes_of_the_packets)
{
    const uint32_t draws[] = { 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1,
                               1, 1, 0, 1, 1, 0, 0, 0, 0, 2, 2 };

    for (size_t m = 0; m < NSP_ARRAY_LEN(models); m++) {
        struct nsp_loss_state past = { 0 };
        struct nsp_prng used, plain;
        struct nsp_loss loss;

        make_loss(&loss, &models[m]);
        nsp_prng_init(&used, 5, 5);
        nsp_prng_init(&plain, 5, 5);
        for (uint32_t i = 0; i < 1000; i++)
            (void)nsp_loss_decide(&loss, &past, i * MS, &used);
        for (uint32_t i = 0; i < 1000 * draws[m]; i++)
            (void)nsp_prng_next(&plain);
        CHECK_MEM_EQ(&used, &plain, sizeof used);
        nsp_loss_fini(&loss);
    }
}

/* --- What is refused -------------------------------------------------------
 */

TEST(loss_refuses_what_makes_no_sense_and_says_why)
{
    static const uint8_t two[] = { 0, 2 };
    static const uint32_t beyond[] = { 1, NSP_PPM_ONE + 1 };
    const struct {
        struct nsp_loss_config cfg;
        const char *word; /* In what is said. */
    } cases[] = {
        { { .kind = NSP_LOSS_TIMED + 1 }, "nsp_loss_kind" },
        { { .chance = { NSP_PPM_ONE + 1, 0 } }, "100 %" },
        { { .chance = { 0, NSP_PPM_ONE } }, "correlation" },
        { { .kind = NSP_LOSS_GILBERT, .gilbert = { 1, 0, 0, 0 } }, "r_ppm" },
        { { .kind = NSP_LOSS_GILBERT, .gilbert = { 1, 1, 0, 1000001 } },
          "Gilbert" },
        { { .kind = NSP_LOSS_BURSTS, .bursts = { 500001, 1000 } }, "longer" },
        { { .kind = NSP_LOSS_BURSTS, .bursts = { NSP_PPM_ONE, 5000 } },
          "longer" },
        { { .kind = NSP_LOSS_BURSTS, .bursts = { 1, 999 } }, "burst" },
        { { .kind = NSP_LOSS_BURSTS, .bursts = { 1, UINT32_MAX } }, "burst" },
        { { .kind = NSP_LOSS_FOUR_STATES,
            .four_states = { 600000, 1, 1, 1, 400001 } },
          "p13 + p14" },
        { { .kind = NSP_LOSS_FOUR_STATES,
            .four_states = { 1, 600000, 400001, 1, 1 } },
          "p31 + p32" },
        { { .kind = NSP_LOSS_FOUR_STATES, .four_states = { 1, 0, 1, 1, 0 } },
          "p31_ppm" },
        { { .kind = NSP_LOSS_FOUR_STATES, .four_states = { 1, 1, 1, 0, 0 } },
          "p23_ppm" },
        { { .kind = NSP_LOSS_PATTERN, .pattern = { two, 0 } }, "pattern" },
        { { .kind = NSP_LOSS_PATTERN, .pattern = { two, 2 } }, "0 and 1" },
        { { .kind = NSP_LOSS_PATTERN,
            .pattern = { two, NSP_LOSS_PATTERN_MAX + 1 } },
          "pattern" },
        { { .kind = NSP_LOSS_CONSECUTIVE, .consecutive = { beyond, 0 } },
          "1 to 1024" },
        { { .kind = NSP_LOSS_CONSECUTIVE, .consecutive = { beyond, 1025 } },
          "1 to 1024" },
        { { .kind = NSP_LOSS_CONSECUTIVE, .consecutive = { beyond, 2 } },
          "100 %" },
        { { .kind = NSP_LOSS_EVERY, .every_pkts = 0 }, "0th" },
        { { .kind = NSP_LOSS_TIMED, .timed = { 1, 1, 0 } }, "hour" },
        { { .kind = NSP_LOSS_TIMED, .timed = { 1, 1, 3601000 * MS } }, "hour" },
        { { .kind = NSP_LOSS_TIMED, .timed = { 1000001, 1, 1 } }, "timed" },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        const char *fault = nsp_loss_fault(&cases[i].cfg);
        struct nsp_loss loss;

        CHECK(fault != NULL && strstr(fault, cases[i].word) != NULL);
        CHECK_EQ(nsp_loss_init(&loss, &cases[i].cfg, NULL), -EINVAL);
    }
}

/* Where the formula for the beginning would divide by zero. */
TEST(loss_takes_chains_with_states_out_of_reach)
{
    const struct nsp_loss_config cases[] = {
        { .kind = NSP_LOSS_GILBERT, .gilbert = { 0, 0, NSP_PPM_ONE, 0 } },
        { .kind = NSP_LOSS_FOUR_STATES, .four_states = { 0, 0, 0, 0, 0 } },
        { .kind = NSP_LOSS_FOUR_STATES, .four_states = { 0, 0, 7, 0, 0 } },
        { .kind = NSP_LOSS_BURSTS, .bursts = { 0, 1000 } },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++)
        CHECK_EQ(count_losses(&cases[i], 100000, 0).lost, 0);
}

TEST(loss_survives_a_lack_of_memory)
{
    for (size_t m = 0; m < NSP_ARRAY_LEN(models); m++) {
        for (unsigned at = 0; at < 2; at++) {
            struct failing_alloc failing = { .fail_at = at };
            struct nsp_allocator allocator = failing_allocator(&failing);
            struct nsp_loss loss = { 0 };
            int err = nsp_loss_init(&loss, &models[m], &allocator);

            CHECK_EQ(err, failing.failed ? -ENOMEM : 0);
            nsp_loss_fini(&loss);
            CHECK_EQ(failing.live, 0);
        }
    }
}

TEST_MAIN(
    cmocka_unit_test(loss_facts_are_what_packets_meet),
    cmocka_unit_test(loss_facts_are_the_closed_forms),
    cmocka_unit_test(loss_agrees_with_the_textbook_packet_by_packet),
    cmocka_unit_test(loss_by_chance_has_the_binomial_count_and_no_memory),
    cmocka_unit_test(
        loss_with_correlation_keeps_the_rate_and_has_the_correlation),
    cmocka_unit_test(loss_of_gilbert_and_elliott_has_the_stationary_rate),
    cmocka_unit_test(loss_in_bursts_has_the_rate_and_the_mean_burst),
    cmocka_unit_test(loss_of_four_states_has_the_stationary_rate),
    cmocka_unit_test(loss_begins_in_the_stationary_distribution),
    cmocka_unit_test(loss_bounds_runs_by_a_last_probability_of_none),
    cmocka_unit_test(loss_for_a_time_does_not_depend_on_the_rate_of_packets),
    cmocka_unit_test(
        loss_draws_as_many_numbers_whatever_becomes_of_the_packets),
    cmocka_unit_test(loss_refuses_what_makes_no_sense_and_says_why),
    cmocka_unit_test(loss_takes_chains_with_states_out_of_reach),
    cmocka_unit_test(loss_survives_a_lack_of_memory))
