#include "engine/pacer.h"

#include "netshaper/packet.h"

/* Steps by which the estimate follows what is observed. It rests where steps up
 * and down balance: at the quantile DOWN / (UP + DOWN) from the top, 1 in 50.
 * Being steps, they do not follow how far a single outlier lies off. */
#define STEP_UP_NS   UINT64_C(24500)
#define STEP_DOWN_NS UINT64_C(500)

void
nsp_pacer_init(struct nsp_pacer *pacer)
{
    *pacer = (struct nsp_pacer){
        .late_ns = NSP_PACER_LATE_NS_MIN,
        .credit_ns = NSP_PACER_CREDIT_NS_MAX,
    };
}

/* Books the time since the last question; of a very long one, enough to fill
 * the credit. */
static void
book(struct nsp_pacer *pacer, uint64_t now_ns)
{
    uint64_t passed_ns = pacer->asked_ns != 0 ? now_ns - pacer->asked_ns : 0;
    int64_t ns = (int64_t)nsp_min_u64(passed_ns, NSP_NS_PER_SECOND);

    pacer->asked_ns = now_ns;
    pacer->credit_ns += ns / NSP_PACER_AWAKE_SHARE;
    if (pacer->credit_ns > NSP_PACER_CREDIT_NS_MAX)
        pacer->credit_ns = NSP_PACER_CREDIT_NS_MAX;
    if (pacer->awake)
        pacer->credit_ns -= ns;
}

uint64_t
nsp_pacer_sleep_until_ns(struct nsp_pacer *pacer, uint64_t now_ns,
                         uint64_t due_ns)
{
    uint64_t early_ns = pacer->late_ns;

    book(pacer, now_ns);
    /* Started only when it can be afforded to the end. */
    if (due_ns == NSP_TIME_NEVER ||
        pacer->credit_ns < (pacer->awake ? 1 : (int64_t)early_ns)) {
        pacer->awake = false;
        return due_ns;
    }
    pacer->awake = due_ns <= now_ns || due_ns - now_ns <= early_ns;
    return pacer->awake ? now_ns : due_ns - early_ns;
}

void
nsp_pacer_woke(struct nsp_pacer *pacer, uint64_t until_ns, uint64_t now_ns)
{
    if (now_ns < until_ns)
        return;
    if (now_ns - until_ns > pacer->late_ns)
        pacer->late_ns += STEP_UP_NS;
    else
        pacer->late_ns -= STEP_DOWN_NS;
    pacer->late_ns = nsp_max_u64(pacer->late_ns, NSP_PACER_LATE_NS_MIN);
    pacer->late_ns = nsp_min_u64(pacer->late_ns, NSP_PACER_LATE_NS_MAX);
}
