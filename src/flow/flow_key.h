#ifndef NSP_FLOW_FLOW_KEY_H
#define NSP_FLOW_FLOW_KEY_H
#include "base/base.h"
#include "netshaper/packet.h"

/* What makes packets one flow, and a hash of it that nobody outside can steer.
 *
 * A key is what flow-constant filter tests read: both addresses, both ports,
 * the transport number, and which headers there are (IP version, transport
 * header, fragment or not). The endpoint that is less comes first, so that both
 * directions have the same key.
 *
 *     TCP, UDP               addresses and ports
 *     ICMP(v6) echo, reply   addresses, the identifier as both ports
 *     other ICMP, other      addresses, ports 0
 *     any fragment           addresses, ports 0: only the first has ports,
 *                            and a flow must not depend on which came first
 *     no IP header           no key
 *
 * VLAN tags and interfaces are no part of it: a packet that is routed back
 * through the same engine belongs to the flow that it left.
 *
 * Hash       Pair-multiply-shift (Thorup, "High speed hashing for integers and
 *            strings", section 3.5), twice with independent multipliers from a
 *            secret: each is strongly universal, so any two keys chosen without
 *            knowledge of the secret share a bucket with probability 1/buckets,
 *            whoever chose them. Keyed general-purpose hashes (XXH3, CRC) are
 *            seeded, too, but promise nothing of the kind. Two multiplications
 *            per 32 bits of hash for IPv4, five for IPv6; nothing but 64-bit
 *            arithmetic.
 * Threads    Everything here is pure. */

/* Places in a key: the endpoint that is less, and the other. A packet's 'way'
 * is the place of its source. */
enum nsp_flow_way {
    NSP_FLOW_LOW = 0,
    NSP_FLOW_HIGH,
    NSP_FLOW_WAYS,
};

static inline enum nsp_flow_way
nsp_flow_other(enum nsp_flow_way way)
{
    return way == NSP_FLOW_LOW ? NSP_FLOW_HIGH : NSP_FLOW_LOW;
}

/* Transport header and IP version in one byte: never 0 in a key. */
#define NSP_FLOW_KIND_L4       0x07u /* enum nsp_l4. */
#define NSP_FLOW_KIND_IPV4     0x08u
#define NSP_FLOW_KIND_IPV6     0x10u
#define NSP_FLOW_KIND_FRAGMENT 0x20u /* Then L4 is none. */

/* A packet's key. Borrows IPv6 addresses from the packet. */
struct nsp_flow_key {
    uint32_t ipv4[NSP_FLOW_WAYS]; /* 0 in IPv6. */
    uint32_t ports;               /* The low endpoint's in the upper half. */
    uint8_t proto;                /* As nsp_pkt's ip_proto. */
    uint8_t kind;                 /* NSP_FLOW_KIND_*. */
    uint8_t way; /* enum nsp_flow_way; no part of the comparison. */
    const uint8_t *ipv6[NSP_FLOW_WAYS]; /* 16 bytes each; NULL in IPv4. */
};

#define NSP_FLOW_WORDS_IPV4 4u
#define NSP_FLOW_WORDS_IPV6 10u

/* Random multipliers of the two hashes, and what is added. */
struct nsp_flow_secret {
    uint64_t ipv4[2][NSP_FLOW_WORDS_IPV4 + 1];
    uint64_t ipv6[2][NSP_FLOW_WORDS_IPV6 + 1];
};

struct nsp_flow_hash {
    uint32_t half[2]; /* Independent of each other. */
};

/* Expands 128 random bits. */
void nsp_flow_secret_init(struct nsp_flow_secret *secret,
                          const uint64_t random[2]);

/* For the functions below: of what is not IPv4, and of what has no ports.
 */
bool nsp_flow_key_read_other(const struct nsp_pkt *pkt,
                             struct nsp_flow_key *ret);
uint32_t nsp_flow_key_identifiers(const struct nsp_pkt *pkt);
uint32_t nsp_flow_key_hash_ipv6(const struct nsp_flow_key *key,
                                const struct nsp_flow_secret *secret,
                                uint32_t half);

/* Ports of source (upper half) and destination, or what stands for them. */
static NSP_ALWAYS_INLINE uint32_t
nsp_flow_key_ports(const struct nsp_pkt *pkt)
{
    if (nsp_likely(pkt->l4 == NSP_L4_TCP || pkt->l4 == NSP_L4_UDP))
        return nsp_load_be32(pkt->data + pkt->l4_off);
    return nsp_flow_key_identifiers(pkt);
}

/* 'bits' is less than those of 'x'. */
static NSP_ALWAYS_INLINE uint32_t
nsp_flow_rotate_u32(uint32_t x, uint32_t bits)
{
    return x << bits | x >> (-bits & 31);
}

static NSP_ALWAYS_INLINE uint64_t
nsp_flow_rotate_u64(uint64_t x, uint32_t bits)
{
    return x << bits | x >> (-bits & 63);
}

/* Reads the key of a parsed packet. Returns false, with '*ret' undefined, when
 * it has no IP header. */
static NSP_ALWAYS_INLINE bool
nsp_flow_key_read(const struct nsp_pkt *pkt, struct nsp_flow_key *ret)
{
    uint64_t addrs, swapped;
    uint32_t ports, way;

    if (nsp_unlikely(pkt->l3 != NSP_L3_IPV4 ||
                     (pkt->flags & NSP_PKT_FRAGMENT) != 0))
        return nsp_flow_key_read_other(pkt, ret);
    addrs = nsp_load_be64(pkt->data + pkt->l3_off + 12);
    swapped = addrs << 32 | addrs >> 32;
    ports = nsp_flow_key_ports(pkt);
    way = addrs > swapped;
    if (nsp_unlikely(addrs == swapped))
        way = ports >> 16 > (ports & UINT16_MAX);
    /* Which is less is as good as random, and a branch on it wrong half of the
     * time, so both are rotated, if by nothing. */
    addrs = nsp_flow_rotate_u64(addrs, 32 * way);
    ret->ipv4[NSP_FLOW_LOW] = (uint32_t)(addrs >> 32);
    ret->ipv4[NSP_FLOW_HIGH] = (uint32_t)addrs;
    ret->ports = nsp_flow_rotate_u32(ports, 16 * way);
    ret->proto = pkt->ip_proto;
    ret->kind = (uint8_t)(pkt->l4 | NSP_FLOW_KIND_IPV4);
    ret->way = (uint8_t)way;
    ret->ipv6[NSP_FLOW_LOW] = ret->ipv6[NSP_FLOW_HIGH] = NULL;
    return true;
}

/* 'n' is even and known to the compiler. */
static NSP_ALWAYS_INLINE uint32_t
nsp_flow_hash_words(const uint32_t *x, const uint64_t *a, const uint32_t n)
{
    uint64_t sum = a[n];

    for (uint32_t i = 0; i < n; i += 2)
        sum += (a[i] + x[i + 1]) * (a[i + 1] + x[i]);
    return (uint32_t)(sum >> 32);
}

/* One half of the hash. */
static NSP_ALWAYS_INLINE uint32_t
nsp_flow_key_hash_half(const struct nsp_flow_key *key,
                       const struct nsp_flow_secret *secret, uint32_t half)
{
    const uint32_t x[NSP_FLOW_WORDS_IPV4] = {
        key->ipv4[0],
        key->ipv4[1],
        key->ports,
        (uint32_t)key->kind << 8 | key->proto,
    };

    if (nsp_unlikely(key->ipv6[0] != NULL))
        return nsp_flow_key_hash_ipv6(key, secret, half);
    return nsp_flow_hash_words(x, secret->ipv4[half], NSP_FLOW_WORDS_IPV4);
}

static inline struct nsp_flow_hash
nsp_flow_key_hash(const struct nsp_flow_key *key,
                  const struct nsp_flow_secret *secret)
{
    return (struct nsp_flow_hash){ { nsp_flow_key_hash_half(key, secret, 0),
                                     nsp_flow_key_hash_half(key, secret, 1) } };
}

#endif /* NSP_FLOW_FLOW_KEY_H */
