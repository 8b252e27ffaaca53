#include "packet/link.h"

#include <errno.h>
#include <string.h>

#define ETHER_ADDR_BYTES 6u
#define ETHER_TYPE_IPV4  0x0800u
#define ETHER_TYPE_IPV6  0x86ddu

/* Packet types of Linux cooked captures (PACKET_HOST, PACKET_OUTGOING). */
#define SLL_HOST     0u
#define SLL_OUTGOING 4u

static unsigned
link_bytes_min(uint8_t link)
{
    switch (link) {
    case NSP_LINK_ETHERNET:
        return 14;
    case NSP_LINK_SLL:
        return 16;
    case NSP_LINK_SLL2:
        return 20;
    case NSP_LINK_NULL:
        return 4;
    default:
        return 0;
    }
}

static void
swap_ethernet_addresses(uint8_t *header)
{
    uint8_t dst[ETHER_ADDR_BYTES];

    memcpy(dst, header, sizeof dst);
    memcpy(header, header + sizeof dst, sizeof dst);
    memcpy(header + sizeof dst, dst, sizeof dst);
}

static uint8_t
opposite_sll_type(unsigned type)
{
    return type == SLL_OUTGOING ? SLL_HOST : SLL_OUTGOING;
}

/* Turns the copied header 'ret' of 'like' round. */
static void
turn_round(const struct nsp_pkt *like, uint8_t *ret)
{
    switch (like->link) {
    case NSP_LINK_ETHERNET:
        swap_ethernet_addresses(ret);
        break;
    case NSP_LINK_SLL: /* Type, hardware, address length, address[8]. */
        nsp_store_be16(ret, opposite_sll_type(nsp_load_be16(ret)));
        memset(ret + 4, 0, 10);
        break;
    case NSP_LINK_SLL2: /* ... type at 10, address length, address[8]. */
        ret[10] = opposite_sll_type(ret[10]);
        memset(ret + 11, 0, 9);
        break;
    default:
        break;
    }
}

/* Names the network protocol in the header 'ret' of 'bytes' bytes. */
static int
set_protocol(const struct nsp_pkt *like, unsigned ip_version, uint8_t *ret,
             unsigned bytes)
{
    uint16_t type = ip_version == 4 ? ETHER_TYPE_IPV4 : ETHER_TYPE_IPV6;
    unsigned like_version = like->l3 == NSP_L3_IPV4   ? 4
                            : like->l3 == NSP_L3_IPV6 ? 6
                                                      : 0;

    switch (like->link) {
    case NSP_LINK_ETHERNET:
    case NSP_LINK_SLL:
        nsp_store_be16(ret + bytes - 2, type);
        return 0;
    case NSP_LINK_SLL2:
        nsp_store_be16(ret, type);
        return 0;
    case NSP_LINK_NULL:
        /* The family's number and byte order are the capturing system's, so
         * only a packet of the same family can show them. */
        return like_version == ip_version ? 0 : -EINVAL;
    default:
        return 0;
    }
}

int
nsp_link_build(const struct nsp_pkt *like, unsigned ip_version, bool reply,
               uint8_t *ret)
{
    unsigned bytes = 0;
    int err;

    if (ip_version != 4 && ip_version != 6)
        return -EINVAL;
    if (like->link != NSP_LINK_RAW) {
        bytes = like->l3_off;
        if (like->l3 == NSP_L3_NONE || bytes < link_bytes_min(like->link) ||
            bytes > NSP_LINK_BYTES_MAX || bytes > like->cap_bytes)
            return -EINVAL;
        memcpy(ret, like->data, bytes);
    }
    if (reply)
        turn_round(like, ret);
    err = set_protocol(like, ip_version, ret, bytes);
    return err < 0 ? err : (int)bytes;
}
