#define _GNU_SOURCE
#include "io/sniff/sniff_queue.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "os/linux/packet_socket.h"
#include "packet/link.h"

/* Linux 5.19. */
#ifndef TP_STATUS_GSO_TCP
#define TP_STATUS_GSO_TCP (1 << 8)
#endif

#define RETIRE_MS   10u
#define FRAME_BYTES 2048u /* Asked for and not used by version 3. */

/* In front of each packet, beside what the kernel needs itself. */
#define HEADROOM_BYTES 32
#define SLL2_BYTES     20u

/* Where the address is in a frame: behind the header, aligned. */
#define ADDRESS_AT                                                             \
    ((sizeof(struct tpacket3_hdr) + TPACKET_ALIGNMENT - 1) /                   \
     TPACKET_ALIGNMENT * TPACKET_ALIGNMENT)

/* How far the clocks may drift apart before they are compared anew. */
#define DRIFT_NS UINT64_C(1000000)

/* Rounds of 1 ms to wait for the last block. */
#define STOP_ROUNDS (10 * RETIRE_MS)

_Static_assert(sizeof(struct sock_filter) == sizeof(struct nsp_cbpf_insn),
               "not the kernel's instructions");
_Static_assert(HEADROOM_BYTES >= SLL2_BYTES + NSP_LINK_TAG_BYTES,
               "room for a header");

/* --- Opening -------------------------------------------------------------- */

static size_t
ring_bytes(const struct nsp_sniff_queue *queue)
{
    return (size_t)queue->config.block_count * NSP_SNIFF_BLOCK_BYTES;
}

static int
make_ring(struct nsp_sniff_queue *queue)
{
    const struct tpacket_req3 request = {
        .tp_block_size = NSP_SNIFF_BLOCK_BYTES,
        .tp_block_nr = queue->config.block_count,
        .tp_frame_size = FRAME_BYTES,
        .tp_frame_nr =
            queue->config.block_count * (NSP_SNIFF_BLOCK_BYTES / FRAME_BYTES),
        .tp_retire_blk_tov = RETIRE_MS,
    };
    int err = nsp_packet_socket_set(queue->fd, SOL_PACKET, PACKET_VERSION,
                                    TPACKET_V3);

    if (err == 0)
        err = nsp_packet_socket_set(queue->fd, SOL_PACKET, PACKET_RESERVE,
                                    HEADROOM_BYTES);
    return err < 0
               ? err
               : nsp_packet_socket_map_ring(queue->fd, &request, &queue->ring);
}

static int
hear_others(const struct nsp_sniff_queue *queue)
{
    const struct packet_mreq request = {
        .mr_ifindex = (int)queue->config.site.ifindex,
        .mr_type = PACKET_MR_PROMISC,
    };

    if (!queue->config.site.promiscuous)
        return 0;
    return setsockopt(queue->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request,
                      sizeof request) < 0
               ? -errno
               : 0;
}

int
nsp_sniff_queue_open(struct nsp_sniff_queue *queue,
                     const struct nsp_sniff_queue_config *cfg,
                     const struct nsp_cbpf_insn insns[], uint32_t count,
                     const char **ret_step)
{
    const struct nsp_sniff_site *site = &cfg->site;
    int err;

    *queue = (struct nsp_sniff_queue){ .config = *cfg, .wakeup.fd = -1 };
    *ret_step = "open a packet socket";
    queue->fd = nsp_packet_socket_open(site->any ? SOCK_DGRAM : SOCK_RAW);
    err = queue->fd < 0 ? queue->fd : nsp_wakeup_open(&queue->wakeup);
    if (err == 0) {
        *ret_step = "set the kernel's filter";
        err = nsp_sniff_queue_set_filter(queue, insns, count);
    }
    if (err == 0) {
        *ret_step = "make a ring";
        err = make_ring(queue);
    }
    if (err == 0) {
        *ret_step = "bind the socket";
        err = nsp_packet_socket_bind(queue->fd, site->any ? 0 : site->ifindex,
                                     true);
    }
    if (err == 0)
        err = hear_others(queue);
    if (err == 0 && cfg->queues > 1) {
        *ret_step = "share packets among workers";
        err = nsp_packet_socket_join(queue->fd, &queue->config.fanout);
    }
    return err;
}

void
nsp_sniff_queue_close(struct nsp_sniff_queue *queue)
{
    if (queue->ring)
        munmap(queue->ring, ring_bytes(queue));
    if (queue->fd >= 0)
        close(queue->fd);
    if (queue->wakeup.fd >= 0)
        nsp_wakeup_close(&queue->wakeup);
    queue->ring = NULL;
    queue->fd = queue->wakeup.fd = -1;
}

int
nsp_sniff_queue_set_filter(struct nsp_sniff_queue *queue,
                           const struct nsp_cbpf_insn insns[], uint32_t count)
{
    const struct sock_fprog program = {
        .len = (unsigned short)count,
        .filter = (struct sock_filter *)(uintptr_t)insns,
    };

    return setsockopt(queue->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
                      sizeof program) < 0
               ? -errno
               : 0;
}

/* --- Blocks --------------------------------------------------------------- */

static struct tpacket_block_desc *
block_at(const struct nsp_sniff_queue *queue, uint32_t index)
{
    return (void *)(queue->ring + (size_t)index * NSP_SNIFF_BLOCK_BYTES);
}

static bool
is_ours(const struct tpacket_block_desc *block)
{
    /* Pairs with the kernel's barrier: it fills a block, then hands it over. */
    return (__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) &
            TP_STATUS_USER) != 0;
}

/* Gives the block back; its packets were read. */
static void
leave_block(struct nsp_sniff_queue *queue)
{
    struct tpacket_block_desc *block = block_at(queue, queue->block);

    /* Of use in nsp_sniff_queue_stop(). */
    block->hdr.bh1.num_pkts = 0;
    __atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL,
                     __ATOMIC_RELEASE);
    queue->block = (queue->block + 1) % queue->config.block_count;
    queue->in_block = false;
}

static bool
enter_block(struct nsp_sniff_queue *queue)
{
    const struct tpacket_block_desc *block = block_at(queue, queue->block);

    if (!is_ours(block))
        return false;
    queue->frame = (const uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;
    queue->frames_left = block->hdr.bh1.num_pkts;
    queue->in_block = true;
    return true;
}

static bool
has_open_block(const struct nsp_sniff_queue *queue)
{
    for (uint32_t i = 0; i < queue->config.block_count; i++) {
        const struct tpacket_block_desc *block = block_at(queue, i);

        if (!is_ours(block) &&
            __atomic_load_n(&block->hdr.bh1.num_pkts, __ATOMIC_RELAXED) > 0)
            return true;
    }
    return false;
}

void
nsp_sniff_queue_stop(struct nsp_sniff_queue *queue)
{
    static const struct nsp_cbpf_insn nothing = { .code = BPF_RET | BPF_K };

    if (nsp_sniff_queue_set_filter(queue, &nothing, 1) < 0)
        return; /* For want of memory; what comes is then taken as well. */
    for (uint32_t i = 0; i < STOP_ROUNDS && has_open_block(queue); i++)
        (void)poll(NULL, 0, 1);
}

/* --- Packets -------------------------------------------------------------- */

static uint64_t
wall_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * NSP_NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static void
compare_clocks(struct nsp_sniff_queue *queue)
{
    const struct nsp_clock *clock = &queue->config.clock;
    uint64_t apart_ns = wall_ns() - clock->now_ns(clock->context);
    uint64_t moved_ns = apart_ns - queue->wall_minus_engine_ns;

    if (moved_ns + DRIFT_NS > 2 * DRIFT_NS)
        queue->wall_minus_engine_ns = apart_ns;
}

static uint64_t
arrival_ns(struct nsp_sniff_queue *queue, const struct tpacket3_hdr *frame)
{
    uint64_t at_ns = frame->tp_sec * NSP_NS_PER_SECOND + frame->tp_nsec -
                     queue->wall_minus_engine_ns;

    /* The clock may have been set between stamp and comparison. */
    if (at_ns < queue->last_ns)
        at_ns = queue->last_ns;
    queue->last_ns = at_ns;
    return at_ns;
}

/* Builds the cooked header in front of 'data'. */
static uint8_t *
put_sll2(uint8_t *data, const struct sockaddr_ll *from)
{
    uint8_t *header = data - SLL2_BYTES;

    memcpy(header, &from->sll_protocol, 2); /* In network order. */
    nsp_store_be16(header + 2, 0);
    nsp_store_be32(header + 4, (uint32_t)from->sll_ifindex);
    nsp_store_be16(header + 8, from->sll_hatype);
    header[10] = from->sll_pkttype;
    header[11] = from->sll_halen;
    memcpy(header + 12, from->sll_addr, 8);
    return header;
}

/* Puts the tag back that the kernel took out. */
static uint8_t *
put_tag(uint8_t *data, const struct tpacket3_hdr *frame)
{
    uint16_t type = ETH_P_8021Q;

    if (frame->tp_status & TP_STATUS_VLAN_TPID_VALID)
        type = frame->hv1.tp_vlan_tpid;
    return nsp_link_push_tag(data, type, (uint16_t)frame->hv1.tp_vlan_tci);
}

static void
fill_place(const struct nsp_sniff_queue *queue, struct nsp_pkt *pkt,
           const struct sockaddr_ll *from)
{
    bool out = from->sll_pkttype == PACKET_OUTGOING;

    if (from->sll_hatype == ARPHRD_LOOPBACK)
        pkt->flags |= NSP_PKT_LOOPBACK;
    if (from->sll_pkttype != PACKET_OTHERHOST) {
        pkt->direction = out ? NSP_OUTBOUND : NSP_INBOUND;
        pkt->hook = out ? NSP_HOOK_OUTPUT : NSP_HOOK_INPUT;
    }
    if (out)
        pkt->out_ifindex = (uint32_t)from->sll_ifindex;
    else
        pkt->in_ifindex = (uint32_t)from->sll_ifindex;
    pkt->queue = (uint16_t)queue->config.index;
}

static void
fill_bytes(const struct nsp_sniff_queue *queue, struct nsp_pkt *pkt,
           uint8_t *frame, const struct sockaddr_ll *from)
{
    const struct tpacket3_hdr *header = (const void *)frame;
    uint32_t added = 0;

    pkt->link = (uint8_t)queue->config.site.link;
    pkt->data = frame + header->tp_mac;
    if (queue->config.site.any) {
        pkt->link = NSP_LINK_SLL2;
        pkt->data = put_sll2(frame + header->tp_net, from);
        added = SLL2_BYTES;
    } else if ((header->tp_status & TP_STATUS_VLAN_VALID) != 0 &&
               header->tp_snaplen >= 2 * ETH_ALEN) {
        pkt->data = put_tag(pkt->data, header);
        added = NSP_LINK_TAG_BYTES;
    }
    pkt->cap_bytes = header->tp_snaplen + added;
    pkt->wire_bytes = header->tp_len + added;
}

/* Makes a packet of the frame, unless it is not wanted. */
static bool
fill_pkt(struct nsp_sniff_queue *queue, struct nsp_pkt *pkt)
{
    uint8_t *frame = (uint8_t *)(uintptr_t)queue->frame;
    const struct tpacket3_hdr *header = (const void *)frame;
    const struct sockaddr_ll *from = (const void *)(frame + ADDRESS_AT);

    /* The kernel's program looks after it, but for what is on its way when that
     * is put in place. */
    if (!nsp_sniff_site_wants(&queue->config.site,
                              from->sll_hatype == ARPHRD_LOOPBACK,
                              from->sll_pkttype))
        return false;
    *pkt = (struct nsp_pkt){ .uid = UINT32_MAX,
                             .arrival_ns = arrival_ns(queue, header) };
    fill_place(queue, pkt, from);
    fill_bytes(queue, pkt, frame, from);
    if (header->tp_status & TP_STATUS_GSO_TCP)
        pkt->flags |= NSP_PKT_SUPERPACKET;
    if (header->tp_status & TP_STATUS_CSUMNOTREADY)
        pkt->csum = NSP_CSUM_PARTIAL;
    else if (header->tp_status & TP_STATUS_CSUM_VALID)
        pkt->csum = NSP_CSUM_GOOD;
    return true;
}

/* Reads on in the block, to 'max' packets. */
static uint32_t
read_block(struct nsp_sniff_queue *queue, struct nsp_pkt *ret_pkts[],
           uint32_t max)
{
    uint32_t n = 0;

    while (n < max && queue->frames_left > 0) {
        const struct tpacket3_hdr *header = (const void *)queue->frame;

        if (fill_pkt(queue, &queue->pkts[n])) {
            ret_pkts[n] = &queue->pkts[n];
            n++;
        }
        queue->frame += header->tp_next_offset;
        queue->frames_left--;
    }
    return n;
}

uint32_t
nsp_sniff_rx_burst(struct nsp_sniff_queue *queue, struct nsp_pkt *ret_pkts[],
                   uint32_t max)
{
    assert(queue->lent_pkts == 0 && max <= NSP_BURST_MAX);
    /* A block may have nothing that is wanted. */
    for (uint32_t i = 0;
         i <= queue->config.block_count && queue->lent_pkts == 0; i++) {
        if (queue->in_block && queue->frames_left == 0)
            leave_block(queue);
        if (!queue->in_block) {
            if (!enter_block(queue))
                break;
            compare_clocks(queue);
        }
        queue->lent_pkts = read_block(queue, ret_pkts, max);
    }
    return queue->lent_pkts;
}

void
nsp_sniff_give_back(struct nsp_sniff_queue *queue, uint32_t n)
{
    assert(n <= queue->lent_pkts);
    queue->lent_pkts -= n;
}

/* --- State ---------------------------------------------------------------- */

int
nsp_sniff_queue_take_error(const struct nsp_sniff_queue *queue)
{
    int err = 0;
    socklen_t bytes = sizeof err;

    if (getsockopt(queue->fd, SOL_SOCKET, SO_ERROR, &err, &bytes) < 0)
        return -errno;
    return -err;
}

uint64_t
nsp_sniff_queue_dropped_pkts(struct nsp_sniff_queue *queue)
{
    atomic_fetch_add_explicit(&queue->dropped_pkts,
                              nsp_packet_socket_take_drops(queue->fd),
                              memory_order_relaxed);
    return atomic_load_explicit(&queue->dropped_pkts, memory_order_relaxed);
}
