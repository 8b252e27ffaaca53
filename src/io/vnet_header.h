#ifndef NSP_IO_VNET_HEADER_H
#define NSP_IO_VNET_HEADER_H
#include <linux/virtio_net.h>

#include "base/base.h"
#include "netshaper/packet.h"

/* The virtio-net header that a TAP or a packet socket puts in front of a frame,
 * and takes there: what is left to do of checksum and segmentation. */

#define NSP_VNET_BYTES ((uint32_t)sizeof(struct virtio_net_hdr))

/* The state of the checksum of its packet: enum nsp_csum. */
static inline uint8_t
nsp_vnet_csum(const struct virtio_net_hdr *vnet)
{
    if (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        return NSP_CSUM_PARTIAL;
    return vnet->flags & VIRTIO_NET_HDR_F_DATA_VALID ? NSP_CSUM_GOOD
                                                     : NSP_CSUM_UNKNOWN;
}

static inline bool
nsp_vnet_is_superpacket(const struct virtio_net_hdr *vnet)
{
    return vnet->gso_type != VIRTIO_NET_HDR_GSO_NONE;
}

#endif /* NSP_IO_VNET_HEADER_H */
