/* Losses packet by packet beside the models as the literature tells them, with
 * probabilities as fractions and states by their names, fed with the same
 * random numbers. */
#include "base/prng.h"
#include "netshaper/policy.h"
#include "tests/lib/loss_models.h"

#define MS UINT64_C(1000000)

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

TEST(loss_agrees_with_the_textbook_packet_by_packet)
{
    for (size_t m = 0; m < NSP_ARRAY_LEN(loss_models); m++) {
        struct reference ref = { .cfg = &loss_models[m] };
        struct nsp_loss_state past = { 0 };
        struct nsp_prng random, gaps;
        struct nsp_loss loss;
        uint64_t now_ns = 0;

        make_loss(&loss, &loss_models[m]);
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

TEST_MAIN(cmocka_unit_test(loss_agrees_with_the_textbook_packet_by_packet))
