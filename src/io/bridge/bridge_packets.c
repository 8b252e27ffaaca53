#define _GNU_SOURCE
#include "io/bridge/bridge_packets.h"

#include <errno.h>
#include <net/ethernet.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "io/bridge/bridge_checksum.h"
#include "os/linux/packet_socket.h"
#include "packet/link.h"
#include "packet/proto.h"

/* Where a frame without a tag begins in its block. */
#define DATA_OFF (NSP_VNET_BYTES + NSP_LINK_TAG_BYTES)

/* The longest IP packet in a frame with two tags. */
#define FRAME_BYTES_MAX                                                        \
    ((uint32_t)ETHER_HDR_LEN + 2 * NSP_LINK_TAG_BYTES + NSP_IP_BYTES_MAX)

#define RING_BYTES (8u << 20)
#define SEND_BYTES (8 << 20) /* Of the kernel, for what is on its way. */

static_assert(DATA_OFF + FRAME_BYTES_MAX <= NSP_BUDDY_MAX_BYTES,
              "a block takes any frame");

static const struct nsp_bridge_lane_ops packets_ops;

static struct nsp_bridge_packets *
packets_of(const struct nsp_bridge_lane *lane)
{
    return NSP_CONTAINER_OF((uintptr_t)lane, struct nsp_bridge_packets, lane);
}

/* --- Room ----------------------------------------------------------------- */

static struct nsp_bridge_packet *
slot_of(const struct nsp_pkt *pkt)
{
    return NSP_CONTAINER_OF((uintptr_t)pkt, struct nsp_bridge_packet, pkt);
}

static void
give_back(struct nsp_bridge_packets *packets, struct nsp_bridge_packet *slot)
{
    assert(slot->lent);
    slot->lent = false;
    nsp_buddy_release(&packets->store, slot->block);
    nsp_packet_pool_give_back(&packets->pool, &slot->pkt);
    packets->starved = false;
}

static bool
can_receive(const struct nsp_bridge_lane *lane)
{
    const struct nsp_bridge_packets *packets = packets_of(lane);

    return nsp_packet_pool_left(&packets->pool) > 0 && !packets->starved;
}

/* --- Opening -------------------------------------------------------------- */

static int
make_room(struct nsp_bridge_packets *packets)
{
    const struct nsp_bridge_packets_config *cfg = &packets->config;
    int err = nsp_packet_store_init(&packets->store, cfg->max_held_pkts,
                                    &cfg->allocator);

    if (err < 0)
        return err;
    return nsp_packet_pool_init(&packets->pool,
                                sizeof(struct nsp_bridge_packet),
                                cfg->max_held_pkts, &cfg->allocator);
}

/* A socket that sends by interface 'ifindex', and hears nothing. */
static int
open_sender(uint32_t ifindex)
{
    int err, fd = nsp_packet_socket_open(SOCK_RAW);

    if (fd < 0)
        return fd;
    err = nsp_packet_socket_set(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
    if (err == 0)
        err = nsp_packet_socket_set(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BYTES);
    if (err == 0)
        err = nsp_packet_socket_bind(fd, ifindex, false);
    if (err == 0)
        return fd;
    close(fd);
    return err;
}

static int
open_ring(struct nsp_bridge_packets *packets, uint32_t port)
{
    const struct nsp_bridge_packets_config *cfg = &packets->config;
    const struct nsp_packet_ring_config ring_cfg = {
        .ifindex = cfg->sinks[port].ifindex,
        .slot_bytes = cfg->slot_bytes,
        .slots = RING_BYTES / cfg->slot_bytes,
        .queues = cfg->workers,
        .group = cfg->groups[port],
    };
    int err = nsp_packet_ring_open(&packets->rings[port], &ring_cfg);

    cfg->groups[port] = packets->rings[port].config.group;
    return err;
}

int
nsp_bridge_packets_open(struct nsp_bridge_packets *packets,
                        const struct nsp_bridge_packets_config *cfg,
                        const char **reterr_step)
{
    int err;

    *packets = (struct nsp_bridge_packets){
        .lane = { .ops = &packets_ops,
                  .wakeup = { .fd = -1 },
                  .index = cfg->index },
        .config = *cfg,
        .rings = { { .fd = -1 }, { .fd = -1 } },
        .send_fds = { -1, -1 },
    };
    *reterr_step = "cannot make room for packets";
    err = nsp_wakeup_open(&packets->lane.wakeup);
    if (err == 0)
        err = make_room(packets);
    if (err < 0)
        return err;
    *reterr_step = "cannot open packet sockets";
    for (uint32_t port = 0; port < 2 && err == 0; port++) {
        packets->send_fds[port] = open_sender(cfg->ports[port].ifindex);
        err = packets->send_fds[port] < 0 ? packets->send_fds[port]
                                          : open_ring(packets, port);
    }
    return err;
}

static void
packets_close(struct nsp_bridge_lane *lane)
{
    struct nsp_bridge_packets *packets = packets_of(lane);

    for (uint32_t port = 0; port < 2; port++) {
        nsp_packet_ring_close(&packets->rings[port]);
        if (packets->send_fds[port] >= 0)
            close(packets->send_fds[port]);
    }
    nsp_packet_pool_fini(&packets->pool, &packets->config.allocator);
    nsp_buddy_fini(&packets->store);
    if (lane->wakeup.fd >= 0)
        nsp_wakeup_close(&lane->wakeup);
}

/* --- Receiving ------------------------------------------------------------ */

/* Puts the tag back that the kernel keeps beside the frame at 'data'; returns
 * where that begins now. */
static uint8_t *
put_tag(uint8_t *data, const struct nsp_packet_frame *frame,
        struct virtio_net_hdr *vnet)
{
    if (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        vnet->csum_start = (uint16_t)(vnet->csum_start + NSP_LINK_TAG_BYTES);
    if (nsp_vnet_is_superpacket(vnet))
        vnet->hdr_len = (uint16_t)(vnet->hdr_len + NSP_LINK_TAG_BYTES);
    return nsp_link_push_tag(data, frame->tag_type, frame->tag);
}

static void
fill_pkt(const struct nsp_bridge_packets *packets, struct nsp_pkt *pkt,
         uint32_t port, uint64_t now_ns)
{
    const struct nsp_bridge_port *ports = packets->config.ports;

    *pkt = (struct nsp_pkt){
        .arrival_ns = now_ns,
        .link = NSP_LINK_ETHERNET,
        .hook = NSP_HOOK_FORWARD,
        .queue = (uint16_t)packets->config.index,
        .in_ifindex = ports[port].ifindex,
        .out_ifindex = ports[port ^ 1u].ifindex,
        .uid = UINT32_MAX,
        .device_ref = port,
    };
}

/* Makes a packet of the frame looked at, in 'block'; false: it is lost. */
static bool
receive_frame(struct nsp_bridge_packets *packets, uint32_t port,
              const struct nsp_packet_frame *frame, uint8_t *block,
              struct nsp_pkt *pkt)
{
    uint8_t *data = block + DATA_OFF;
    uint32_t bytes = frame->bytes;
    struct virtio_net_hdr vnet;

    if (!nsp_packet_ring_take(&packets->rings[port], frame, &vnet, data))
        return false;
    if (frame->tagged && bytes >= 2 * ETH_ALEN) {
        data = put_tag(data, frame, &vnet);
        bytes += NSP_LINK_TAG_BYTES;
    }
    memcpy(data - NSP_VNET_BYTES, &vnet, NSP_VNET_BYTES);
    pkt->data = data;
    pkt->cap_bytes = pkt->wire_bytes = bytes;
    pkt->csum = nsp_vnet_csum(&vnet);
    if (nsp_vnet_is_superpacket(&vnet))
        pkt->flags |= NSP_PKT_SUPERPACKET;
    return true;
}

static uint32_t
receive(struct nsp_bridge_packets *packets, uint32_t port, uint64_t now_ns,
        struct nsp_pkt *ret_pkts[], uint32_t max)
{
    struct nsp_packet_frame frame;
    uint32_t n = 0;

    while (n < max && nsp_packet_ring_look(&packets->rings[port], &frame)) {
        struct nsp_bridge_packet *slot;
        uint8_t *block =
            nsp_buddy_alloc(&packets->store, DATA_OFF + frame.bytes);

        packets->starved = !block;
        if (!block)
            break;
        slot = slot_of(nsp_packet_pool_take(&packets->pool));
        *slot = (struct nsp_bridge_packet){ .block = block, .lent = true };
        fill_pkt(packets, &slot->pkt, port, now_ns);
        if (receive_frame(packets, port, &frame, block, &slot->pkt))
            ret_pkts[n++] = &slot->pkt;
        else
            give_back(packets, slot);
    }
    return n;
}

static uint32_t
rx_burst(struct nsp_bridge_lane *lane, uint64_t now_ns,
         struct nsp_pkt *ret_pkts[], uint32_t max)
{
    struct nsp_bridge_packets *packets = packets_of(lane);
    uint32_t n = 0;

    max = nsp_min_u32(max, nsp_packet_pool_left(&packets->pool));
    for (uint32_t i = 0; i < 2; i++)
        n += receive(packets, (packets->first_port + i) % 2, now_ns,
                     ret_pkts + n, max - n);
    packets->first_port ^= 1u;
    return n;
}

/* --- Sending -------------------------------------------------------------- */

/* Makes the virtio-net header anew where it no longer tells what is left to do:
 * of an edited packet, or one whose checksum is to be completed here.
 * Impossible for an edited superpacket, whose segments would be cut by what the
 * kernel knows of the old bytes. */
static bool
prepare(const struct nsp_bridge_packets *packets, struct nsp_pkt *pkt)
{
    const bool edited = pkt->flags & NSP_PKT_MODIFIED;
    const bool partial = pkt->csum == NSP_CSUM_PARTIAL;
    const bool complete = partial && packets->config.complete_checksums;
    struct virtio_net_hdr vnet = { 0 };

    if (pkt->cap_bytes < ETHER_HDR_LEN)
        return false;
    if (!edited && (!complete || pkt->flags & NSP_PKT_SUPERPACKET))
        return true;
    if (pkt->flags & NSP_PKT_SUPERPACKET)
        return false;
    if (complete && nsp_pkt_fix_checksums(pkt) != 0)
        return false;
    if (partial && !complete) {
        if (!nsp_bridge_checksum_place(pkt, &vnet.csum_start,
                                       &vnet.csum_offset))
            return false;
        vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    }
    memcpy(pkt->data - NSP_VNET_BYTES, &vnet, NSP_VNET_BYTES);
    return true;
}

struct sending {
    uint32_t count;
    uint32_t places[NSP_BURST_MAX]; /* In the burst. */
    struct iovec iov[NSP_BURST_MAX];
    struct mmsghdr messages[NSP_BURST_MAX];
};

static void
add(struct sending *sending, const struct nsp_pkt *pkt, uint32_t place)
{
    uint32_t i = sending->count++;

    sending->places[i] = place;
    sending->iov[i] = (struct iovec){ pkt->data - NSP_VNET_BYTES,
                                      NSP_VNET_BYTES + pkt->cap_bytes };
    sending->messages[i] = (struct mmsghdr){
        .msg_hdr = { .msg_iov = &sending->iov[i], .msg_iovlen = 1 },
    };
}

/* Sends them all; marks what the kernel did not take, and returns how many. */
static uint32_t
send_all(struct sending *sending, int fd, bool ret_refused[])
{
    uint32_t sent = 0, refused = 0;

    while (sent < sending->count) {
        int n =
            sendmmsg(fd, sending->messages + sent, sending->count - sent, 0);

        if (n > 0) {
            sent += (uint32_t)n;
        } else if (n == 0 || errno != EINTR) {
            ret_refused[sending->places[sent++]] = true;
            refused++;
        }
    }
    return refused;
}

static uint32_t
send_to(struct nsp_bridge_packets *packets, uint32_t port,
        struct nsp_pkt *const pkts[], uint32_t n, bool ret_refused[])
{
    struct sending sending;
    uint32_t refused = 0;

    sending.count = 0;
    for (uint32_t i = 0; i < n; i++) {
        if ((pkts[i]->device_ref ^ 1u) != port)
            continue;
        ret_refused[i] = !prepare(packets, pkts[i]);
        refused += ret_refused[i];
        if (!ret_refused[i])
            add(&sending, pkts[i], i);
    }
    return refused + send_all(&sending, packets->send_fds[port], ret_refused);
}

static void
drop_burst(struct nsp_bridge_lane *lane, struct nsp_pkt *const pkts[],
           uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        give_back(packets_of(lane), slot_of(pkts[i]));
}

static uint32_t
tx_burst(struct nsp_bridge_lane *lane, struct nsp_pkt *const pkts[], uint32_t n,
         bool ret_refused[])
{
    uint32_t refused = 0;

    assert(n <= NSP_BURST_MAX);
    for (uint32_t port = 0; port < 2; port++)
        refused += send_to(packets_of(lane), port, pkts, n, ret_refused);
    drop_burst(lane, pkts, n);
    return refused;
}

/* An answer to a packet goes back where that came from, anything else where
 * that goes. */
static int
inject(struct nsp_bridge_lane *lane, const uint8_t *ip, uint32_t ip_bytes,
       bool reply, const struct nsp_pkt *like)
{
    uint32_t port = (uint32_t)like->device_ref ^ (reply ? 0u : 1u);
    uint8_t head[NSP_VNET_BYTES + NSP_LINK_BYTES_MAX] = { 0 };
    struct iovec iov[2] = { { head, NSP_VNET_BYTES },
                            { (void *)(uintptr_t)ip, ip_bytes } };
    int link_bytes;

    if (ip_bytes == 0)
        return -EINVAL;
    link_bytes = nsp_link_build(like, ip[0] >> 4, reply, head + NSP_VNET_BYTES);
    if (link_bytes < 0)
        return link_bytes;
    iov[0].iov_len += (size_t)link_bytes;
    return writev(packets_of(lane)->send_fds[port], iov, 2) < 0 ? -errno : 0;
}

/* What the kernel does not take at once is refused. */
static bool
must_send(const struct nsp_bridge_lane *lane)
{
    (void)lane;
    return false;
}

/* --- State ---------------------------------------------------------------- */

static uint32_t
list(const struct nsp_bridge_lane *lane, struct pollfd ret[])
{
    for (uint32_t port = 0; port < 2; port++)
        ret[port] = (struct pollfd){ .fd = packets_of(lane)->rings[port].fd,
                                     .events = POLLIN };
    return 2;
}

static void
count(struct nsp_bridge_lane *lane, struct nsp_io_stats *stats)
{
    for (uint32_t port = 0; port < 2; port++)
        stats->kernel_dropped_pkts +=
            nsp_packet_ring_dropped_pkts(&packets_of(lane)->rings[port]);
}

static const struct nsp_bridge_lane_ops packets_ops = {
    .rx_burst = rx_burst,
    .tx_burst = tx_burst,
    .drop_burst = drop_burst,
    .inject = inject,
    .can_receive = can_receive,
    .must_send = must_send,
    .list = list,
    .count = count,
    .close = packets_close,
};
