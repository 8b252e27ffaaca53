#include "impair/loss.h"

/* A threshold as a probability. */
static double
share(uint64_t below)
{
    return (double)below / (double)NSP_CHANCE_SURE;
}

/* The probability of a row's thresholds to lead to state 'to'. */
static double
row_share(const uint64_t below[3], int to)
{
    double upto = to < 3 ? share(below[to]) : 1;

    return to > 0 ? upto - share(below[to - 1]) : upto;
}

/* A run of losses begins where one follows none: as often as packets are lost
 * whose predecessor is not. */
static void
set_facts(struct nsp_loss_facts *ret, double lost, double lost_again)
{
    ret->known = true;
    ret->rate = lost;
    ret->burst_pkts = lost > lost_again ? lost / (lost - lost_again) : 0;
}

static void
read_chain(const struct nsp_loss_chain *chain, struct nsp_loss_facts *ret)
{
    double lost = 0, lost_again = 0;

    for (int from = 0; from < 4; from++) {
        double here =
            row_share(chain->below[0], from) * share(chain->lost_below[from]);

        lost += here;
        for (int to = 0; to < 4; to++)
            lost_again += here * row_share(chain->below[from + 1], to) *
                          share(chain->lost_below[to]);
    }
    set_facts(ret, lost, lost_again);
}

static void
read_pattern(const struct nsp_loss *loss, struct nsp_loss_facts *ret)
{
    uint32_t lost = 0, lost_again = 0;
    uint32_t last = loss->count - 1;
    bool before = (loss->table[last / 64] >> last % 64 & 1) != 0;

    for (uint32_t i = 0; i < loss->count; i++) {
        bool now = (loss->table[i / 64] >> i % 64 & 1) != 0;

        lost += now;
        lost_again += now && before;
        before = now;
    }
    set_facts(ret, lost / (double)loss->count,
              lost_again / (double)loss->count);
}

/* A run that has begun goes on with each probability in turn, and then with the
 * last for good; runs begin after a packet that is not lost. */
static void
read_consecutive(const struct nsp_loss *loss, struct nsp_loss_facts *ret)
{
    double begins = share(loss->table[0]);
    double last = share(loss->table[loss->count - 1]);
    double goes_on = 1, burst = 0;

    for (uint32_t i = 1; i < loss->count; i++) {
        burst += goes_on;
        goes_on *= share(loss->table[i]);
    }
    ret->known = true;
    if (begins > 0 && goes_on > 0 && last >= 1) {
        ret->rate = 1;
        ret->burst_pkts = 0;
        return;
    }
    burst += goes_on > 0 ? goes_on / (1 - last) : 0;
    ret->rate = begins * burst / (1 + begins * burst);
    ret->burst_pkts = begins > 0 ? burst : 0;
}

void
nsp_loss_read_facts(const struct nsp_loss *loss, struct nsp_loss_facts *ret)
{
    *ret = (struct nsp_loss_facts){ 0 };
    switch (loss->kind) {
    case NSP_LOSS_PATTERN:
        read_pattern(loss, ret);
        break;
    case NSP_LOSS_CONSECUTIVE:
        read_consecutive(loss, ret);
        break;
    case NSP_LOSS_EVERY:
        set_facts(ret, 1.0 / loss->count, loss->count == 1 ? 1 : 0);
        break;
    case NSP_LOSS_FIRST: /* Of no packet in the long run. */
        ret->known = true;
        break;
    case NSP_LOSS_TIMED: /* Depends on when packets come. */
        break;
    default:
        read_chain(&loss->chain, ret);
    }
}
