#ifndef NSP_FILTER_EVAL_SET_H
#define NSP_FILTER_EVAL_SET_H
#include "filter/eval.h"

/* Addresses of packets, looked up in named sets: IPv4 ones among the IPv4
 * entries, IPv6 ones among the others. */

/* Stores whether the address that 'o' reads is in its set, 1 or 0; false if the
 * packet has none. */
bool nsp_eval_find_address(const struct nsp_operands *o,
                           const struct nsp_pkt *pkt, uint32_t *ret);

/* The same for the packets of 'mask': returns those whose address is in the
 * set, and stores those that have one. */
uint64_t nsp_eval_find_addresses(const struct nsp_operands *o,
                                 struct nsp_pkt *const pkts[], uint64_t mask,
                                 uint64_t *ret_present);

#endif /* NSP_FILTER_EVAL_SET_H */
