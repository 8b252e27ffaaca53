#define _GNU_SOURCE
#include "io/bridge/packet_ring.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

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
set_int(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

static int
make_ring(struct nsp_packet_ring *ring)
{
    const struct tpacket_req request = {
        .tp_block_size = nsp_max_u32(BLOCK_BYTES, ring->config.slot_bytes),
        .tp_block_nr = (uint32_t)(ring_bytes(ring) / BLOCK_BYTES),
        .tp_frame_size = ring->config.slot_bytes,
        .tp_frame_nr = ring->config.slots,
    };
    void *bytes;

    if (setsockopt(ring->fd, SOL_PACKET, PACKET_RX_RING, &request,
                   sizeof request) < 0)
        return -errno;
    bytes = mmap(NULL, ring_bytes(ring), PROT_READ | PROT_WRITE, MAP_SHARED,
                 ring->fd, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    ring->bytes = bytes;
    return 0;
}

static int
set_options(const struct nsp_packet_ring *ring)
{
    int err = set_int(ring->fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2);

    if (err == 0)
        err = set_int(ring->fd, SOL_PACKET, PACKET_VNET_HDR, 1);
    if (err == 0)
        err = set_int(ring->fd, SOL_PACKET, PACKET_COPY_THRESH, 1);
    if (err == 0)
        err = set_int(ring->fd, SOL_SOCKET, SO_RCVBUFFORCE, LONG_BYTES);
    return err;
}

static int
bind_socket(const struct nsp_packet_ring *ring)
{
    const struct sockaddr_ll addr = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = (int)ring->config.ifindex,
    };

    if (bind(ring->fd, (const struct sockaddr *)&addr, sizeof addr) < 0)
        return -errno;
    return 0;
}

/* Both ways of a connection have the same hash, and so the same member. */
static int
join_group(struct nsp_packet_ring *ring)
{
    int word = PACKET_FANOUT_HASH << 16 | ring->config.group;
    socklen_t bytes = sizeof word;
    int err;

    if (ring->config.queues <= 1)
        return 0;
    if (ring->config.group == 0)
        word = (PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_UNIQUEID) << 16;
    err = set_int(ring->fd, SOL_PACKET, PACKET_FANOUT, word);
    if (err < 0)
        return err;
    if (getsockopt(ring->fd, SOL_PACKET, PACKET_FANOUT, &word, &bytes) < 0)
        return -errno;
    ring->config.group = (uint16_t)word;
    return 0;
}

int
nsp_packet_ring_open(struct nsp_packet_ring *ring,
                     const struct nsp_packet_ring_config *cfg)
{
    int err;

    *ring = (struct nsp_packet_ring){ .config = *cfg };
    ring->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (ring->fd < 0)
        return -errno;
    err = set_options(ring);
    if (err == 0)
        err = make_ring(ring);
    if (err == 0)
        err = bind_socket(ring);
    if (err == 0)
        err = join_group(ring);
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
    struct tpacket_stats stats = { 0 };
    socklen_t bytes = sizeof stats;

    /* Reading sets the kernel's counters to zero. */
    if (getsockopt(ring->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &bytes) ==
        0)
        atomic_fetch_add_explicit(&ring->dropped_pkts, stats.tp_drops,
                                  memory_order_relaxed);
    return atomic_load_explicit(&ring->dropped_pkts, memory_order_relaxed);
}
