#include "base/base.h"
#include "netshaper/packet.h"
#include "packet/proto.h"

/* RFC 4861 (redirect included), and RFC 2710 and 3810: a switch forwards
 * neighbour discovery to those alone whose reports it has seen. */
enum {
    MLD_QUERY = 130,
    MLD_DONE = 132,
    ND_FIRST = 133,
    ND_LAST = 137,
    MLD2_REPORT = 143,
};

#define IPV6_HOP_LIMIT_OFF 7u
#define ND_HOP_LIMIT       255u /* Nobody has forwarded it. */
#define MLD_HOP_LIMIT      1u

static bool
is_neighbours(const struct nsp_pkt *pkt)
{
    uint8_t type = pkt->data[pkt->l4_off];
    uint8_t hop_limit = pkt->data[pkt->l3_off + IPV6_HOP_LIMIT_OFF];

    if (type >= ND_FIRST && type <= ND_LAST)
        return hop_limit == ND_HOP_LIMIT;
    return ((type >= MLD_QUERY && type <= MLD_DONE) || type == MLD2_REPORT) &&
           hop_limit == MLD_HOP_LIMIT;
}

static bool
is_between(const struct nsp_pkt *pkt, uint16_t a, uint16_t b)
{
    uint16_t from = nsp_load_be16(pkt->data + pkt->l4_off);
    uint16_t to = nsp_load_be16(pkt->data + pkt->l4_off + 2);

    return (from == a && to == b) || (from == b && to == a);
}

enum nsp_essential
nsp_pkt_essential(const struct nsp_pkt *pkt)
{
    if ((pkt->hook & (NSP_HOOK_INPUT | NSP_HOOK_OUTPUT)) == 0)
        return NSP_ESSENTIAL_NONE;
    if (pkt->l4 == NSP_L4_ICMPV6 && is_neighbours(pkt))
        return NSP_ESSENTIAL_NEIGHBOURS;
    if (pkt->l4 != NSP_L4_UDP)
        return NSP_ESSENTIAL_NONE;
    if (pkt->l3 == NSP_L3_IPV4 &&
        is_between(pkt, NSP_PORT_DHCP_SERVER, NSP_PORT_DHCP_CLIENT))
        return NSP_ESSENTIAL_DHCP;
    if (pkt->l3 == NSP_L3_IPV6 &&
        is_between(pkt, NSP_PORT_DHCPV6_SERVER, NSP_PORT_DHCPV6_CLIENT))
        return NSP_ESSENTIAL_DHCPV6;
    return NSP_ESSENTIAL_NONE;
}

const char *
nsp_essential_name(enum nsp_essential essential)
{
    switch (essential) {
    case NSP_ESSENTIAL_NEIGHBOURS:
        return "neighbour discovery";
    case NSP_ESSENTIAL_DHCP:
        return "DHCP";
    case NSP_ESSENTIAL_DHCPV6:
        return "DHCPv6";
    default:
        return "none";
    }
}
