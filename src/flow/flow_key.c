#include "flow/flow_key.h"

#include <string.h>

#include "base/prng.h"
#include "packet/proto.h"

#define ICMP_ECHO_REPLY     0
#define ICMP_ECHO           8
#define ICMPV6_ECHO         128
#define ICMPV6_ECHO_REPLY   129
#define ICMP_IDENTIFIER_OFF 4u

void
nsp_flow_secret_init(struct nsp_flow_secret *secret, const uint64_t random[2])
{
    struct nsp_prng prng;

    nsp_prng_init(&prng, random[0], random[1]);
    for (int h = 0; h < 2; h++) {
        for (uint32_t i = 0; i <= NSP_FLOW_WORDS_IPV4; i++)
            secret->ipv4[h][i] = nsp_prng_next(&prng);
        for (uint32_t i = 0; i <= NSP_FLOW_WORDS_IPV6; i++)
            secret->ipv6[h][i] = nsp_prng_next(&prng);
    }
}

uint32_t
nsp_flow_key_identifiers(const struct nsp_pkt *pkt)
{
    const uint8_t *l4 = pkt->data + pkt->l4_off;
    bool echo = false;
    uint32_t id;

    if (pkt->l4 == NSP_L4_ICMP)
        echo = l4[0] == ICMP_ECHO || l4[0] == ICMP_ECHO_REPLY;
    else if (pkt->l4 == NSP_L4_ICMPV6)
        echo = l4[0] == ICMPV6_ECHO || l4[0] == ICMPV6_ECHO_REPLY;
    if (!echo)
        return 0;
    id = nsp_load_be16(l4 + ICMP_IDENTIFIER_OFF);
    return id << 16 | id;
}

bool
nsp_flow_key_read_other(const struct nsp_pkt *pkt, struct nsp_flow_key *ret)
{
    bool is_ipv4 = pkt->l3 == NSP_L3_IPV4;
    const uint8_t *src = pkt->data + pkt->l3_off + (is_ipv4 ? 12 : 8);
    const size_t addr_bytes = is_ipv4 ? 4 : 16;
    const uint8_t *dst = src + addr_bytes;
    uint32_t ports = 0;
    bool way;
    int order;

    if (!is_ipv4 && pkt->l3 != NSP_L3_IPV6)
        return false;
    *ret = (struct nsp_flow_key){ .proto = pkt->ip_proto };
    if ((pkt->flags & NSP_PKT_FRAGMENT) == 0) {
        ports = nsp_flow_key_ports(pkt);
        ret->kind = pkt->l4;
    } else {
        ret->kind = NSP_FLOW_KIND_FRAGMENT;
    }
    order = memcmp(src, dst, addr_bytes);
    way = order > 0 || (order == 0 && ports >> 16 > (ports & UINT16_MAX));
    ret->way = way;
    ret->ports = way ? ports << 16 | ports >> 16 : ports;
    if (is_ipv4) {
        ret->kind |= NSP_FLOW_KIND_IPV4;
        ret->ipv4[way] = nsp_load_be32(src);
        ret->ipv4[!way] = nsp_load_be32(dst);
    } else {
        ret->kind |= NSP_FLOW_KIND_IPV6;
        ret->ipv6[way] = src;
        ret->ipv6[!way] = dst;
    }
    return true;
}

uint32_t
nsp_flow_key_hash_ipv6(const struct nsp_flow_key *key,
                       const struct nsp_flow_secret *secret, uint32_t half)
{
    uint32_t x[NSP_FLOW_WORDS_IPV6];

    for (uint32_t i = 0; i < 4; i++) {
        x[i] = nsp_load_be32(key->ipv6[0] + 4 * i);
        x[4 + i] = nsp_load_be32(key->ipv6[1] + 4 * i);
    }
    x[8] = key->ports;
    x[9] = (uint32_t)key->kind << 8 | key->proto;
    return nsp_flow_hash_words(x, secret->ipv6[half], NSP_FLOW_WORDS_IPV6);
}
