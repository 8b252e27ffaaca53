#ifndef NSP_IMPAIR_LOSS_H
#define NSP_IMPAIR_LOSS_H
#include "base/prng.h"

/* Independent loss: every packet is lost with probability loss_ppm / 10^6,
 * whatever happened to others. Draws have 64 bits: the share of them that loses
 * is rounded down, so it is less than asked by less than 2^-64. */
struct nsp_loss {
    uint64_t threshold; /* Lost when a draw is below. */
    bool always;
};

/* 'loss_ppm' 0..NSP_PPM_ONE. Returns 0 or -EINVAL. */
int nsp_loss_init(struct nsp_loss *loss, uint32_t loss_ppm) NSP_MUSTCHECK;

/* Decides one packet with one number of 'random'. */
bool nsp_loss_decide(const struct nsp_loss *loss, struct nsp_prng *random);

#endif /* NSP_IMPAIR_LOSS_H */
