#define _GNU_SOURCE
#include "io/bridge/packet_ring.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "os/linux/packet_socket.h"

#define BLOCK_BYTES (1u << 20)

/* For long frames; what the kernel counts of each is a little more than its
 * length. */
#define LONG_BYTES (16 << 20)

/* --- Opening -------------------------------------------------------------- */

static size_t
ring_bytes(const struct nsp_packet_ring *ring)
{
    return (size_t)ring->config.slots * ring->config.slot_bytes;
}

static int
set_options(int fd)
{
    int err = nsp_packet_socket_set(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2);

    if (err == 0)
        err = nsp_packet_socket_set(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
    if (err == 0)
        err = nsp_packet_socket_set(fd, SOL_PACKET, PACKET_COPY_THRESH, 1);
    if (err == 0)
        err = nsp_packet_socket_set(fd, SOL_SOCKET, SO_RCVBUFFORCE, LONG_BYTES);
    return err;
}

int
nsp_packet_ring_open(struct nsp_packet_ring *ring,
                     const struct nsp_packet_ring_config *cfg)
{
    const struct tpacket_req3 request = {
        .tp_block_size = nsp_max_u32(BLOCK_BYTES, cfg->slot_bytes),
        .tp_block_nr = cfg->slots * cfg->slot_bytes / BLOCK_BYTES,
        .tp_frame_size = cfg->slot_bytes,
        .tp_frame_nr = cfg->slots,
    };
    int err;

    *ring = (struct nsp_packet_ring){ .config = *cfg };
    ring->fd = nsp_packet_socket_open(SOCK_RAW);
    if (ring->fd < 0)
        return ring->fd;
    err = set_options(ring->fd);
    if (err == 0)
        err = nsp_packet_socket_map_ring(ring->fd, &request, &ring->bytes);
    if (err == 0)
        err = nsp_packet_socket_bind(ring->fd, cfg->ifindex, true);
    if (err == 0 && cfg->queues > 1)
        err = nsp_packet_socket_join(ring->fd, &ring->config.group);
    return err;
}

void
nsp_packet_ring_close(struct nsp_packet_ring *ring)
{
    if (ring->bytes)
        munmap(ring->bytes, ring_bytes(ring));
    if (ring->fd >= 0)
        close(ring->fd);
    ring->bytes = NULL;
    ring->fd = -1;
}

/* --- Frames --------------------------------------------------------------- */

static struct tpacket2_hdr *
next_slot(const struct nsp_packet_ring *ring)
{
    return (void *)(ring->bytes + (size_t)ring->next * ring->config.slot_bytes);
}

static void
release_slot(struct nsp_packet_ring *ring)
{
    __atomic_store_n(&next_slot(ring)->tp_status, TP_STATUS_KERNEL,
                     __ATOMIC_RELEASE);
    ring->next = (ring->next + 1) & (ring->config.slots - 1);
}

static void
count_lost(struct nsp_packet_ring *ring)
{
    atomic_fetch_add_explicit(&ring->dropped_pkts, 1, memory_order_relaxed);
}

bool
nsp_packet_ring_look(struct nsp_packet_ring *ring, struct nsp_packet_frame *ret)
{
    for (;;) {
        const struct tpacket2_hdr *slot = next_slot(ring);
        /* Pairs with the kernel's barrier: it fills a slot, then hands it
         * over. */
        uint32_t status = __atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE);

        if (!(status & TP_STATUS_USER))
            return false;
        *ret = (struct nsp_packet_frame){
            .bytes = slot->tp_len,
            .tagged = (status & TP_STATUS_VLAN_VALID) != 0,
            .tag_type = status & TP_STATUS_VLAN_TPID_VALID ? slot->tp_vlan_tpid
                                                           : ETH_P_8021Q,
            .tag = slot->tp_vlan_tci,
        };
        if (slot->tp_snaplen >= slot->tp_len)
            ret->data = (const uint8_t *)slot + slot->tp_mac;
        if (ret->data || status & TP_STATUS_COPY)
            return true;
        count_lost(ring); /* The socket had no room for all of it. */
        release_slot(ring);
    }
}

/* Reads a long frame, the first in the socket's queue. */
static bool
read_long(const struct nsp_packet_ring *ring,
          const struct nsp_packet_frame *frame, struct virtio_net_hdr *ret,
          uint8_t *to)
{
    struct iovec iov[] = { { ret, sizeof *ret }, { to, frame->bytes } };
    struct msghdr message = { .msg_iov = iov,
                              .msg_iovlen = NSP_ARRAY_LEN(iov) };

    return recvmsg(ring->fd, &message, MSG_TRUNC) ==
           (ssize_t)(sizeof *ret + frame->bytes);
}

bool
nsp_packet_ring_take(struct nsp_packet_ring *ring,
                     const struct nsp_packet_frame *frame,
                     struct virtio_net_hdr *ret, uint8_t *to)
{
    bool whole = true;

    if (frame->data) {
        memcpy(ret, frame->data - sizeof *ret, sizeof *ret);
        memcpy(to, frame->data, frame->bytes);
    } else {
        whole = read_long(ring, frame, ret, to);
    }
    release_slot(ring);
    if (!whole)
        count_lost(ring);
    return whole;
}

/* --- State ---------------------------------------------------------------- */

uint64_t
nsp_packet_ring_dropped_pkts(struct nsp_packet_ring *ring)
{
    atomic_fetch_add_explicit(&ring->dropped_pkts,
                              nsp_packet_socket_take_drops(ring->fd),
                              memory_order_relaxed);
    return atomic_load_explicit(&ring->dropped_pkts, memory_order_relaxed);
}
