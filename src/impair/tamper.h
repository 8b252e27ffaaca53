#ifndef NSP_IMPAIR_TAMPER_H
#define NSP_IMPAIR_TAMPER_H
#include "base/prng.h"
#include "netshaper/impair.h"
#include "netshaper/packet.h"

/* Damage to the bytes of a packet, in this order: cut, payload rewritten, bits
 * flipped, checksum.
 *
 * A partial checksum is completed first, so that the receiver sees the damage.
 * Afterwards checksums are as they were (so wrong for what they cover, as on a
 * bad link), repaired (the damage reaches the application), or made wrong.
 *
 * The caller decides which packets are hit (impair/chance.h), and hands in no
 * packet that is several in one.
 *
 * Units    _bytes from the IP header on.
 * Threads  Immutable once made; a generator has one owner.
 * Cost     A number for each bit flipped, or each 8 bytes of random payload;
 *          linear in the payload where that is rewritten or a checksum
 *          repaired. No allocation. */

/* What is wrong with 'tamper', NULL when nothing is. Static storage. */
const char *nsp_tamper_fault(const struct nsp_tamper_config *tamper);

/* Damages the parsed packet 'pkt', without fault, and parses it again. Returns
 * whether it changed. */
bool nsp_tamper_apply(const struct nsp_tamper_config *tamper,
                      struct nsp_pkt *pkt, struct nsp_prng *random);

#endif /* NSP_IMPAIR_TAMPER_H */
