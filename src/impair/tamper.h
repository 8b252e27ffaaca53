#ifndef NSP_IMPAIR_TAMPER_H
#define NSP_IMPAIR_TAMPER_H
#include "base/prng.h"
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

enum nsp_tamper_where {
    NSP_TAMPER_PAYLOAD = 0, /* Of the transport; nothing where there is none. */
    NSP_TAMPER_IP_PAYLOAD,  /* Transport header and payload. */
    NSP_TAMPER_PACKET,      /* Anywhere from the IP header on. */
};

enum nsp_tamper_rewrite {
    NSP_TAMPER_KEEP = 0,
    NSP_TAMPER_FILL,   /* With given bytes, repeated. */
    NSP_TAMPER_RANDOM, /* With random bytes. */
};

enum nsp_tamper_csum {
    NSP_TAMPER_CSUM_KEEP = 0,
    NSP_TAMPER_CSUM_REPAIR, /* A UDP length beyond the packet too. */
    NSP_TAMPER_CSUM_BREAK,  /* The transport's. */
};

#define NSP_TAMPER_FLIP_MAX 64u
#define NSP_TAMPER_FILL_MAX 64u

struct nsp_tamper {
    uint32_t truncate_bytes; /* 0 none, else at least 20; an IPv6 header stays
                              * whole whatever is asked. */
    uint32_t flip_bits;      /* Different ones, 0..NSP_TAMPER_FLIP_MAX, or as
                              * many as there are. */
    uint8_t flip_where;      /* enum nsp_tamper_where. */
    uint8_t rewrite;         /* enum nsp_tamper_rewrite. */
    uint8_t csum;            /* enum nsp_tamper_csum. */
    uint8_t fill_bytes;      /* 1..NSP_TAMPER_FILL_MAX with NSP_TAMPER_FILL. */
    uint8_t fill[NSP_TAMPER_FILL_MAX];
};

/* What is wrong with 'tamper', NULL when nothing is. Static storage. */
const char *nsp_tamper_fault(const struct nsp_tamper *tamper);

/* Damages the parsed packet 'pkt', without fault, and parses it again. Returns
 * whether it changed. */
bool nsp_tamper_apply(const struct nsp_tamper *tamper, struct nsp_pkt *pkt,
                      struct nsp_prng *random);

#endif /* NSP_IMPAIR_TAMPER_H */
