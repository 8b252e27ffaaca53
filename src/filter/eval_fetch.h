#ifndef NSP_FILTER_EVAL_FETCH_H
#define NSP_FILTER_EVAL_FETCH_H
#include "filter/eval.h"

/* The fields that take more than a word of a header, read from a parsed packet.
 * Those that return a bool store the field and return true, or return false
 * when the packet has none. */

/* Length of the transport payload on the wire. */
uint32_t nsp_eval_payload_length(const struct nsp_pkt *pkt);

bool nsp_eval_has_ethernet(const struct nsp_pkt *pkt);

/* An indexed field, which must lie wholly inside the packet on the wire and in
 * the bytes held. */
bool nsp_eval_fetch_bytes(const struct nsp_insn *insn,
                          const struct nsp_pkt *pkt, uint32_t *ret);

/* Port of this machine ('local') or the other side. The type of an ICMP message
 * counts as the port of its sender. */
bool nsp_eval_fetch_port(const struct nsp_pkt *pkt, bool local, uint32_t *ret);

bool nsp_eval_fetch_mss(const struct nsp_pkt *pkt, uint32_t *ret);

/* Hash of seed, time of arrival and headers, the payload not included. */
uint64_t nsp_eval_hash(const struct nsp_pkt *pkt, uint64_t seed);

/* A field of more than 32 bits, as its distance from the minimum. */
bool nsp_eval_fetch_wide(const struct nsp_insn *insn, const struct nsp_pkt *pkt,
                         const struct nsp_filter_context *context,
                         struct nsp_u128 *ret);

#endif /* NSP_FILTER_EVAL_FETCH_H */
