#define _GNU_SOURCE
#include "io/tap/tap_queue.h"

#include <errno.h>
#include <net/ethernet.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/counter.h"
#include "packet/proto.h"

/* The longest IP packet behind all that stands in front of it, and a byte more
 * that tells a longer one. */
#define READ_BYTES                                                             \
    (NSP_TAP_DATA_OFF + (uint32_t)ETHER_HDR_LEN + NSP_IP_BYTES_MAX + 1u)
#define RECEIVE_BLOCK_BYTES 131072u

/* A packet that waits in a receive block is moved to a smaller one, unless it
 * would fill half of it: copying costs more than the room is worth. */
#define MOVED_BYTES_MAX (RECEIVE_BLOCK_BYTES / 4)

/* A burst ends when it has so many bytes, that they are still in the cache when
 * they are written. */
#define BURST_BYTES (256u << 10)

#define MAC_BYTES        ((size_t)2 * ETH_ALEN)
#define TAGGED_BYTES_MIN (NSP_TAP_DATA_OFF + (uint32_t)ETHER_HDR_LEN)

static_assert(READ_BYTES <= RECEIVE_BLOCK_BYTES &&
                  RECEIVE_BLOCK_BYTES <= NSP_BUDDY_MAX_BYTES &&
                  NSP_PACKET_STORE_BYTES_MIN >=
                      NSP_BURST_MAX * RECEIVE_BLOCK_BYTES,
              "the store takes a burst of any packets");

static void
fail(struct nsp_tap_queue *queue, int err)
{
    nsp_counter_add(&queue->device_errors, 1);
    atomic_store_explicit(&queue->status, err, memory_order_relaxed);
}

/* --- Room ----------------------------------------------------------------- */

static struct nsp_tap_slot *
slot_of(const struct nsp_pkt *pkt)
{
    return NSP_CONTAINER_OF((uintptr_t)pkt, struct nsp_tap_slot, pkt);
}

/* Makes sure that a receive block is there. */
static bool
have_block(struct nsp_tap_queue *queue)
{
    uint8_t *block;

    if (queue->spare_count > 0)
        return true;
    block = nsp_buddy_alloc(&queue->store, RECEIVE_BLOCK_BYTES);
    if (!block)
        return false;
    queue->spare[queue->spare_count++] = block;
    return true;
}

static void
release_receive_block(struct nsp_tap_queue *queue, uint8_t *block)
{
    if (queue->spare_count < NSP_BURST_MAX)
        queue->spare[queue->spare_count++] = block;
    else
        nsp_buddy_release(&queue->store, block);
}

static void
give_back(struct nsp_tap_queue *queue, struct nsp_tap_slot *slot)
{
    assert(slot->lent);
    slot->lent = false;
    if (slot->whole_block)
        release_receive_block(queue, slot->block);
    else
        nsp_buddy_release(&queue->store, slot->block);
    nsp_packet_pool_give_back(&queue->pool, &slot->pkt);
}

/* What is still out of the last burst waits: it gets a block of its size. */
static void
settle_last_burst(struct nsp_tap_queue *queue)
{
    for (uint32_t i = 0; i < queue->last_burst_pkts; i++) {
        struct nsp_tap_slot *slot = queue->last_burst[i];
        uint32_t bytes = NSP_TAP_DATA_OFF + slot->pkt.cap_bytes;
        uint8_t *block;

        if (!slot->lent || bytes > MOVED_BYTES_MAX)
            continue;
        block = nsp_buddy_alloc(&queue->store, bytes);
        if (!block)
            continue; /* It stays where it is. */
        memcpy(block, slot->block, bytes);
        release_receive_block(queue, slot->block);
        slot->pkt.data = block + NSP_TAP_DATA_OFF;
        slot->block = block;
        slot->whole_block = false;
    }
    queue->last_burst_pkts = 0;
}

bool
nsp_tap_queue_can_receive(struct nsp_tap_queue *queue)
{
    return nsp_packet_pool_left(&queue->pool) > 0 && have_block(queue);
}

int
nsp_tap_queue_open(struct nsp_tap_queue *queue,
                   const struct nsp_tap_queue_config *cfg)
{
    int err;

    *queue = (struct nsp_tap_queue){ .config = *cfg, .wakeup = { .fd = -1 } };
    err = nsp_wakeup_open(&queue->wakeup);
    if (err < 0)
        return err;
    err = nsp_packet_store_init(&queue->store, cfg->max_held_pkts,
                                &cfg->allocator);
    if (err < 0)
        return err;
    return nsp_packet_pool_init(&queue->pool, sizeof(struct nsp_tap_slot),
                                cfg->max_held_pkts, &cfg->allocator);
}

void
nsp_tap_queue_close(struct nsp_tap_queue *queue)
{
    nsp_packet_pool_fini(&queue->pool, &queue->config.allocator);
    nsp_buddy_fini(&queue->store);
    if (queue->wakeup.fd >= 0)
        nsp_wakeup_close(&queue->wakeup);
}

/* --- Receiving ------------------------------------------------------------ */

static const struct nsp_tap_origin *
origin_of(const struct nsp_tap_queue *queue, uint16_t tag)
{
    uint32_t slot = tag / 2u - 1u; /* A tag below 2 is none of ours. */

    if (slot >= NSP_TAP_INTERFACES_MAX ||
        atomic_load_explicit(&queue->config.origins[slot].ifindex,
                             memory_order_relaxed) == 0)
        return NULL;
    return &queue->config.origins[slot];
}

static void
fill_place(struct nsp_pkt *pkt, const struct nsp_tap_origin *origin,
           uint16_t tag)
{
    uint32_t ifindex =
        atomic_load_explicit(&origin->ifindex, memory_order_relaxed);
    bool ingress = tag & 1;

    pkt->hook = ingress ? NSP_HOOK_INPUT : NSP_HOOK_OUTPUT;
    pkt->direction = ingress ? NSP_INBOUND : NSP_OUTBOUND;
    if (ingress)
        pkt->in_ifindex = ifindex;
    else
        pkt->out_ifindex = ifindex;
    if (atomic_load_explicit(&origin->loopback, memory_order_relaxed))
        pkt->flags |= NSP_PKT_LOOPBACK;
}

/* Makes a packet of what was read to 'block'; false when it is none of ours:
 * the TAP's own interface may be made to send by anyone. */
static bool
fill_slot(const struct nsp_tap_queue *queue, struct nsp_tap_slot *slot,
          uint8_t *block, uint32_t bytes, uint64_t now_ns)
{
    uint8_t *frame = block + NSP_VNET_BYTES;
    const struct nsp_tap_origin *origin;
    struct virtio_net_hdr vnet;
    uint16_t tag;

    if (bytes < TAGGED_BYTES_MIN ||
        nsp_load_be16(frame + MAC_BYTES) != NSP_TAP_TPID)
        return false;
    tag = nsp_load_be16(frame + MAC_BYTES + 2);
    origin = origin_of(queue, tag);
    if (!origin)
        return false;

    memcpy(&vnet, block, sizeof vnet);
    memmove(frame + NSP_LINK_TAG_BYTES, frame, MAC_BYTES);
    *slot = (struct nsp_tap_slot){
        .pkt = {
            .data = block + NSP_TAP_DATA_OFF,
            .cap_bytes = bytes - NSP_TAP_DATA_OFF,
            .wire_bytes = bytes - NSP_TAP_DATA_OFF,
            .arrival_ns = now_ns,
            .link = NSP_LINK_ETHERNET,
            .csum = nsp_vnet_csum(&vnet),
            .queue = (uint16_t)queue->config.index,
            .uid = UINT32_MAX,
            .device_ref = tag,
        },
        .block = block,
        .lent = true,
        .whole_block = true,
    };
    if (nsp_vnet_is_superpacket(&vnet))
        slot->pkt.flags |= NSP_PKT_SUPERPACKET;
    fill_place(&slot->pkt, origin, tag);
    return true;
}

/* Reads one packet; 1, 0 when what was read is none, or a negative errno. */
static int
read_pkt(struct nsp_tap_queue *queue, uint64_t now_ns)
{
    uint8_t *block = queue->spare[queue->spare_count - 1];
    struct nsp_tap_slot *slot;
    ssize_t got;

    got = read(queue->config.fd, block, READ_BYTES);
    if (got < 0)
        return -errno;
    if (got >= READ_BYTES) {
        nsp_counter_add(&queue->device_errors, 1);
        return 0;
    }
    slot = slot_of(nsp_packet_pool_take(&queue->pool));
    if (!fill_slot(queue, slot, block, (uint32_t)got, now_ns)) {
        nsp_packet_pool_give_back(&queue->pool, &slot->pkt);
        return 0;
    }
    queue->spare_count--;
    queue->last_burst[queue->last_burst_pkts++] = slot;
    return 1;
}

uint32_t
nsp_tap_rx_burst(struct nsp_tap_queue *queue, uint64_t now_ns,
                 struct nsp_pkt *ret_pkts[], uint32_t max)
{
    uint32_t n = 0, bytes = 0;

    settle_last_burst(queue);
    max = nsp_min_u32(nsp_min_u32(max, NSP_BURST_MAX),
                      nsp_packet_pool_left(&queue->pool));
    for (uint32_t tries = 0;
         tries < max && bytes < BURST_BYTES && have_block(queue); tries++) {
        int got = read_pkt(queue, now_ns);

        if (got > 0) {
            ret_pkts[n] = &queue->last_burst[queue->last_burst_pkts - 1]->pkt;
            bytes += ret_pkts[n++]->cap_bytes;
        }
        if (got >= 0)
            continue;
        if (got != -EAGAIN && got != -EINTR)
            fail(queue, got);
        break;
    }
    return n;
}

/* --- Sending -------------------------------------------------------------- */

/* Tells whether the interface that a packet was taken at is still taken; one
 * that has got its slot since is another. */
static bool
has_origin(const struct nsp_tap_queue *queue, const struct nsp_pkt *pkt)
{
    uint16_t tag = (uint16_t)pkt->device_ref;
    uint32_t slot = tag / 2u - 1u;
    uint32_t ifindex = tag & 1 ? pkt->in_ifindex : pkt->out_ifindex;

    return atomic_load_explicit(&queue->config.origins[slot].present,
                                memory_order_relaxed) == ifindex;
}

/* Makes an edited packet fit to be sent: with complete checksums, since its
 * headers may lie elsewhere than where they were. Impossible for a superpacket,
 * whose segments would be cut by what the kernel knows of the old bytes. */
static bool
prepare_edited(const struct nsp_tap_queue *queue, struct nsp_pkt *pkt)
{
    if (!queue->config.edits || pkt->flags & NSP_PKT_SUPERPACKET ||
        pkt->cap_bytes < ETHER_HDR_LEN)
        return false;
    return pkt->csum != NSP_CSUM_PARTIAL || nsp_pkt_fix_checksums(pkt) == 0;
}

static bool
send_pkt(struct nsp_tap_queue *queue, struct nsp_tap_slot *slot)
{
    size_t bytes = NSP_TAP_DATA_OFF + slot->pkt.cap_bytes;
    ssize_t sent;

    if (!has_origin(queue, &slot->pkt))
        return false;
    if (slot->pkt.flags & NSP_PKT_MODIFIED) {
        if (!prepare_edited(queue, &slot->pkt))
            return false;
        memset(slot->block, 0, NSP_VNET_BYTES);
    }
    (void)nsp_link_push_tag(slot->block + NSP_TAP_DATA_OFF, NSP_TAP_TPID,
                            (uint16_t)slot->pkt.device_ref);
    do
        sent = write(queue->config.fd, slot->block, bytes);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return true;
    if (errno == EBADFD)
        fail(queue, -errno);
    return false;
}

uint32_t
nsp_tap_tx_burst(struct nsp_tap_queue *queue, struct nsp_pkt *const pkts[],
                 uint32_t n, bool ret_refused[])
{
    uint32_t refused = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct nsp_tap_slot *slot = slot_of(pkts[i]);

        ret_refused[i] = !send_pkt(queue, slot);
        refused += ret_refused[i];
        give_back(queue, slot);
    }
    return refused;
}

void
nsp_tap_drop_burst(struct nsp_tap_queue *queue, struct nsp_pkt *const pkts[],
                   uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        give_back(queue, slot_of(pkts[i]));
}

/* An answer to a packet goes back where that came from: at the other hook of
 * the interface, with the hardware addresses exchanged. Loopback has one way
 * only. */
int
nsp_tap_inject(struct nsp_tap_queue *queue, const uint8_t *ip,
               uint32_t ip_bytes, bool reply, const struct nsp_pkt *like)
{
    bool turn = reply && (like->flags & NSP_PKT_LOOPBACK) == 0;
    uint8_t head[NSP_TAP_DATA_OFF + ETHER_HDR_LEN] = { 0 };
    uint8_t *frame = head + NSP_VNET_BYTES;
    struct iovec iov[2] = { { head, sizeof head },
                            { (void *)(uintptr_t)ip, ip_bytes } };

    if (ip_bytes == 0 || ip_bytes > NSP_IP_BYTES_MAX ||
        like->cap_bytes < ETHER_HDR_LEN)
        return -EINVAL;
    if (!has_origin(queue, like))
        return -ENODEV;
    memcpy(frame, like->data + (reply ? ETH_ALEN : 0), ETH_ALEN);
    memcpy(frame + ETH_ALEN, like->data + (reply ? 0 : ETH_ALEN), ETH_ALEN);
    nsp_store_be16(frame + MAC_BYTES, NSP_TAP_TPID);
    nsp_store_be16(frame + MAC_BYTES + 2, (uint16_t)(like->device_ref ^ turn));
    nsp_store_be16(frame + MAC_BYTES + 4,
                   ip[0] >> 4 == 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
    return writev(queue->config.fd, iov, 2) < 0 ? -errno : 0;
}
