#include "shape/rate_plan.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/prng.h"
#include "netshaper/packet.h"
#include "netshaper/policy.h"

/* Work is counted in bits times nanoseconds per second: 'bytes' are this much
 * each, and a link of r bit/s does r of it in a nanosecond. INT32_MAX bytes and
 * a remainder fit into 64 bits. */
#define WORK_PER_BYTE (8 * NSP_NS_PER_SECOND)

/* A link looks for its next opportunity among so many before it searches. */
#define NEAR_OPPORTUNITIES 8

#define RAMP_STEP_NS   UINT64_C(1000000)
#define RAMP_STEPS_MAX 1000u

struct step {
    uint64_t end_ns; /* From the beginning of the period. */
    uint64_t bitps;
};

struct nsp_rate_plan {
    atomic_uint refs;
    uint64_t identity;
    uint64_t period_ns;
    uint64_t period_work; /* UINT64_MAX: as much or more. */
    uint64_t mean_bitps;
    bool repeat;
    uint32_t count; /* Of steps or opportunities. */
    struct step *steps;
    uint64_t *opportunities_ns;
    uint32_t opportunity_bytes;
    struct nsp_allocator allocator;
};

/* --- What is asked -------------------------------------------------------- */

static uint32_t
ramp_steps(const struct nsp_rate_segment *segment)
{
    uint64_t steps = segment->duration_ns / RAMP_STEP_NS;

    if (segment->from_bitps == segment->to_bitps || steps == 0)
        return 1;
    return steps < RAMP_STEPS_MAX ? (uint32_t)steps : RAMP_STEPS_MAX;
}

static bool
is_rate(uint64_t bitps)
{
    return bitps == 0 ||
           (bitps >= NSP_RATE_BITPS_MIN && bitps <= NSP_RATE_BITPS_MAX);
}

static const char *
schedule_fault(const struct nsp_rate_plan_config *cfg)
{
    uint32_t steps = 0;
    bool moves = false;

    if (cfg->segment_count > NSP_RATE_SEGMENTS_MAX)
        return "a schedule has more than 4096 segments";
    for (uint32_t i = 0; i < cfg->segment_count; i++) {
        const struct nsp_rate_segment *segment = &cfg->segments[i];

        if (segment->duration_ns == 0 ||
            segment->duration_ns > NSP_RATE_SEGMENT_NS_MAX)
            return "a segment lasts more than 0 and at most a day";
        if (!is_rate(segment->from_bitps) || !is_rate(segment->to_bitps))
            return "a rate is neither 0 nor within 8 bit/s to 1 Tbit/s";
        steps += ramp_steps(segment);
        if (steps > NSP_RATE_STEPS_MAX)
            return "a schedule has ramps of more than 65536 ms in all";
        moves |= segment->from_bitps != 0 || segment->to_bitps != 0;
    }
    return cfg->repeat && !moves ? "a schedule of no rate but 0" : NULL;
}

static const char *
trace_fault(const struct nsp_rate_plan_config *cfg)
{
    uint32_t count = cfg->opportunity_count;

    if (count > NSP_RATE_OPPORTUNITIES_MAX)
        return "a trace has more than 8388608 opportunities";
    if (cfg->opportunity_bytes == 0 || cfg->opportunity_bytes > UINT16_MAX)
        return "an opportunity is outside 1 to 65535 bytes";
    for (uint32_t i = 1; i < count; i++)
        if (cfg->opportunities_ns[i] < cfg->opportunities_ns[i - 1])
            return "a trace goes back in time";
    if (cfg->opportunities_ns[count - 1] == 0 ||
        cfg->opportunities_ns[count - 1] > NSP_RATE_SEGMENT_NS_MAX)
        return "a trace lasts more than 0 and at most a day";
    return NULL;
}

const char *
nsp_rate_plan_fault(const struct nsp_rate_plan_config *cfg)
{
    if ((cfg->segment_count == 0) == (cfg->opportunity_count == 0))
        return "a plan has segments or opportunities, and not both";
    return cfg->segment_count != 0 ? schedule_fault(cfg) : trace_fault(cfg);
}

/* --- Making --------------------------------------------------------------- */

/* Appends the steps of 'segment'; each has the rate of its middle. */
static void
add_segment(struct nsp_rate_plan *plan, const struct nsp_rate_segment *segment)
{
    int64_t steps = ramp_steps(segment);
    int64_t from = (int64_t)segment->from_bitps;
    int64_t rise = (int64_t)segment->to_bitps - from;

    for (int64_t i = 0; i < steps; i++) {
        struct step *step = &plan->steps[plan->count++];

        step->bitps = (uint64_t)(from + rise * (2 * i + 1) / (2 * steps));
        step->end_ns = plan->period_ns + segment->duration_ns *
                                             (uint64_t)(i + 1) /
                                             (uint64_t)steps;
    }
    plan->period_ns += segment->duration_ns;
}

/* Sums up one period. A mean in floating point is near enough for a queue. */
static void
sum_up(struct nsp_rate_plan *plan)
{
    double work =
        (double)plan->opportunity_bytes * plan->count * (double)WORK_PER_BYTE;
    uint64_t begin_ns = 0;

    for (uint32_t i = 0; plan->steps && i < plan->count; i++) {
        uint64_t ns = plan->steps[i].end_ns - begin_ns;
        uint64_t bitps = plan->steps[i].bitps;

        begin_ns = plan->steps[i].end_ns;
        work += (double)bitps * (double)ns;
        if (bitps != 0 && ns > (UINT64_MAX - plan->period_work) / bitps)
            plan->period_work = UINT64_MAX;
        else
            plan->period_work += bitps * ns;
    }
    work /= (double)plan->period_ns;
    plan->mean_bitps = NSP_RATE_BITPS_MIN;
    if (work > (double)NSP_RATE_BITPS_MAX)
        plan->mean_bitps = NSP_RATE_BITPS_MAX;
    else if (work > (double)NSP_RATE_BITPS_MIN)
        plan->mean_bitps = (uint64_t)work;
}

static int
make_schedule(struct nsp_rate_plan *plan,
              const struct nsp_rate_plan_config *cfg)
{
    uint32_t steps = 1;

    for (uint32_t i = 0; i < cfg->segment_count; i++)
        steps += ramp_steps(&cfg->segments[i]);
    plan->steps = nsp_alloc(&plan->allocator, steps, sizeof *plan->steps);
    if (!plan->steps)
        return -ENOMEM;
    for (uint32_t i = 0; i < cfg->segment_count; i++)
        add_segment(plan, &cfg->segments[i]);
    plan->repeat = cfg->repeat;
    sum_up(plan);
    if (!cfg->repeat)
        plan->steps[plan->count++] = (struct step){
            UINT64_MAX,
            cfg->segments[cfg->segment_count - 1].to_bitps,
        };
    return 0;
}

static int
make_trace(struct nsp_rate_plan *plan, const struct nsp_rate_plan_config *cfg)
{
    uint32_t count = cfg->opportunity_count;

    plan->opportunities_ns =
        nsp_alloc(&plan->allocator, count, sizeof *cfg->opportunities_ns);
    if (!plan->opportunities_ns)
        return -ENOMEM;
    memcpy(plan->opportunities_ns, cfg->opportunities_ns,
           count * sizeof *cfg->opportunities_ns);
    plan->count = count;
    plan->opportunity_bytes = cfg->opportunity_bytes;
    plan->period_ns = cfg->opportunities_ns[count - 1];
    plan->repeat = true;
    sum_up(plan);
    return 0;
}

static uint64_t
identify(const struct nsp_rate_plan *plan)
{
    uint64_t hash = nsp_mix64(plan->repeat ^ plan->opportunity_bytes << 1);

    for (uint32_t i = 0; plan->steps && i < plan->count; i++)
        hash = nsp_mix64(nsp_mix64(hash ^ plan->steps[i].end_ns) ^
                         plan->steps[i].bitps);
    for (uint32_t i = 0; plan->opportunities_ns && i < plan->count; i++)
        hash = nsp_mix64(hash ^ plan->opportunities_ns[i]);
    return hash | 1;
}

int
nsp_rate_plan_create(const struct nsp_rate_plan_config *cfg,
                     const struct nsp_allocator *allocator,
                     struct nsp_rate_plan **ret)
{
    struct nsp_allocator memory = nsp_allocator_or_libc(allocator);
    struct nsp_rate_plan *plan;
    int err;

    if (nsp_rate_plan_fault(cfg))
        return -EINVAL;
    plan = nsp_alloc(&memory, 1, sizeof *plan);
    if (!plan)
        return -ENOMEM;
    plan->allocator = memory;
    atomic_init(&plan->refs, 1);
    err = cfg->segment_count != 0 ? make_schedule(plan, cfg)
                                  : make_trace(plan, cfg);
    if (err != 0) {
        nsp_rate_plan_unref(plan);
        return err;
    }
    plan->identity = identify(plan);
    *ret = plan;
    return 0;
}

struct nsp_rate_plan *
nsp_rate_plan_ref(struct nsp_rate_plan *plan)
{
    if (plan)
        atomic_fetch_add(&plan->refs, 1);
    return plan;
}

struct nsp_rate_plan *
nsp_rate_plan_unref(struct nsp_rate_plan *plan)
{
    struct nsp_allocator memory;

    if (!plan || atomic_fetch_sub(&plan->refs, 1) != 1)
        return NULL;
    memory = plan->allocator;
    nsp_release(&memory, plan->steps);
    nsp_release(&memory, plan->opportunities_ns);
    nsp_release(&memory, plan);
    return NULL;
}

uint64_t
nsp_rate_plan_identity(const struct nsp_rate_plan *plan)
{
    return plan->identity;
}

uint64_t
nsp_rate_plan_mean_bitps(const struct nsp_rate_plan *plan)
{
    return plan->mean_bitps;
}

/* --- Links ---------------------------------------------------------------- */

void
nsp_serialiser_init(struct nsp_serialiser *s, uint64_t rate_bitps,
                    const struct nsp_rate_plan *plan, uint64_t start_ns)
{
    *s = (struct nsp_serialiser){
        .plan = plan,
        .rate_bitps = rate_bitps,
        .start_ns = start_ns,
        .free_ns = plan ? start_ns : 0,
        .step_end_ns = start_ns,
        .base_ns = start_ns,
    };
}

static void
spend(struct nsp_serialiser *s, uint64_t work)
{
    s->free_ns = nsp_add_sat_u64(s->free_ns, work / s->rate_bitps);
    s->free_rem = work % s->rate_bitps;
}

static uint64_t
mul_sat(uint64_t a, uint64_t b)
{
    return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

/* Goes to the step that free_ns is in. */
static void
find_step(struct nsp_serialiser *s)
{
    const struct nsp_rate_plan *plan = s->plan;
    uint64_t within_ns = s->free_ns - s->start_ns, begin_ns = s->start_ns;
    uint32_t low = 0, high = plan->count - 1;

    if (plan->repeat) {
        begin_ns = s->free_ns - within_ns % plan->period_ns;
        within_ns %= plan->period_ns;
    }
    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (plan->steps[middle].end_ns > within_ns)
            high = middle;
        else
            low = middle + 1;
    }
    s->rate_bitps = plan->steps[low].bitps;
    s->step_end_ns = nsp_add_sat_u64(begin_ns, plan->steps[low].end_ns);
    s->next = low;
}

/* Takes whole periods at once off 'work', down to one at most. */
static uint64_t
skip_periods(struct nsp_serialiser *s, uint64_t work)
{
    const struct nsp_rate_plan *plan = s->plan;
    uint64_t periods;

    if (!plan->repeat || s->next != 0 || work <= plan->period_work)
        return work;
    periods = (work - 1) / plan->period_work;
    s->free_ns = nsp_add_sat_u64(s->free_ns, mul_sat(periods, plan->period_ns));
    s->step_end_ns = nsp_add_sat_u64(s->free_ns, plan->steps[0].end_ns);
    return work - periods * plan->period_work;
}

/* Spends 'work' step by step; the remainder is one of the current step's. */
static void
spend_by_schedule(struct nsp_serialiser *s, uint64_t work)
{
    for (;;) {
        uint64_t room_ns;

        if (s->free_ns >= s->step_end_ns) {
            find_step(s);
            work = skip_periods(s, work);
        }
        room_ns = s->step_end_ns - s->free_ns;
        if (s->rate_bitps != 0 &&
            (work / s->rate_bitps < room_ns ||
             (work / s->rate_bitps == room_ns && work % s->rate_bitps == 0))) {
            spend(s, work);
            return;
        }
        work -= s->rate_bitps * room_ns;
        s->free_ns = s->step_end_ns;
        if (s->free_ns >= NSP_SERIALISER_LAST_NS)
            return;
    }
}

static uint64_t
next_opportunity_ns(const struct nsp_serialiser *s)
{
    return nsp_add_sat_u64(s->base_ns, s->plan->opportunities_ns[s->next]);
}

/* Takes the next 'n' > 0 opportunities. */
static void
take_opportunities(struct nsp_serialiser *s, uint64_t n)
{
    const struct nsp_rate_plan *plan = s->plan;
    uint64_t last = s->next + n - 1;

    assert(plan->count > 0);
    if (last >= plan->count) {
        s->base_ns = nsp_add_sat_u64(
            s->base_ns, mul_sat(last / plan->count, plan->period_ns));
        last %= plan->count;
    }
    s->last_ns = nsp_add_sat_u64(s->base_ns, plan->opportunities_ns[last]);
    s->next = (uint32_t)last + 1;
    if (s->next == plan->count) {
        s->next = 0;
        s->base_ns = nsp_add_sat_u64(s->base_ns, plan->period_ns);
    }
}

/* Goes to the first opportunity not before free_ns. The end of a period belongs
 * to it, not to the next one. */
static void
find_opportunity(struct nsp_serialiser *s)
{
    const struct nsp_rate_plan *plan = s->plan;
    uint64_t since_ns = s->free_ns - s->start_ns, within_ns;
    uint32_t low = 0, high = plan->count - 1;

    for (int i = 0; i < NEAR_OPPORTUNITIES; i++) {
        if (next_opportunity_ns(s) >= s->free_ns)
            return;
        take_opportunities(s, 1);
    }
    within_ns = (since_ns - 1) % plan->period_ns + 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (plan->opportunities_ns[middle] >= within_ns)
            high = middle;
        else
            low = middle + 1;
    }
    s->base_ns = s->free_ns - within_ns;
    s->next = low;
}

static void
spend_by_trace(struct nsp_serialiser *s, uint64_t bytes)
{
    uint64_t each = s->plan->opportunity_bytes;

    if (s->left_bytes == 0 || s->last_ns < s->free_ns) {
        s->left_bytes = 0;
        find_opportunity(s);
    }
    if (bytes > s->left_bytes) {
        uint64_t more = (bytes - s->left_bytes + each - 1) / each;

        take_opportunities(s, more);
        s->left_bytes += more * each;
    }
    s->left_bytes -= bytes;
    s->free_ns = s->last_ns;
}

uint64_t
nsp_serialiser_send(struct nsp_serialiser *s, uint64_t bytes)
{
    uint64_t work = WORK_PER_BYTE * bytes + s->free_rem;

    if (!s->plan)
        spend(s, work);
    else if (s->plan->steps)
        spend_by_schedule(s, work);
    else
        spend_by_trace(s, bytes);
    return nsp_serialiser_free_ns(s);
}
