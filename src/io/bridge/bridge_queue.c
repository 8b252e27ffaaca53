#define _GNU_SOURCE
#include "io/bridge/bridge_queue.h"

#include <errno.h>
#include <net/ethernet.h>
#include <string.h>
#include <sys/mman.h>

#include "base/memory.h"
#include "io/bridge/bridge_checksum.h"
#include "packet/link.h"

static_assert(NSP_LINK_BYTES_MAX <= NSP_BRIDGE_HEADROOM_BYTES &&
                  sizeof(struct nsp_bridge_request) <=
                      NSP_BRIDGE_HEADROOM_BYTES,
              "both fit in front of a frame");

/* --- Frames --------------------------------------------------------------- */

static struct nsp_bridge_frame *
frame_of(const struct nsp_pkt *pkt)
{
    return NSP_CONTAINER_OF((uintptr_t)pkt, struct nsp_bridge_frame, pkt);
}

static uint8_t *
start_of(const struct nsp_bridge_queue *queue, uint32_t frame)
{
    return queue->memory.bytes + (uint64_t)frame * queue->memory.chunk_bytes;
}

static void
release(struct nsp_bridge_queue *queue, uint64_t address)
{
    queue->free_frames[queue->free_count++] =
        (uint32_t)(address / queue->memory.chunk_bytes);
}

/* The caller knows that one is free. */
static uint32_t
take(struct nsp_bridge_queue *queue)
{
    assert(queue->free_count > 0);
    return queue->free_frames[--queue->free_count];
}

/* Gives the kernel 'n' frames to fill; there is room for them. */
static void
refill(struct nsp_bridge_queue *queue, struct nsp_bridge_socket *socket,
       uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        *nsp_bridge_ring_next_address(&socket->fill) =
            (uint64_t)take(queue) * queue->memory.chunk_bytes;
    nsp_bridge_ring_produced(&socket->fill);
}

bool
nsp_bridge_queue_can_receive(const struct nsp_bridge_queue *queue)
{
    return queue->lent_pkts < queue->lent_max_pkts;
}

/* --- Opening -------------------------------------------------------------- */

/* Queues of a port that are this worker's. */
static uint32_t
share_of(const struct nsp_bridge_queue_config *cfg, uint32_t port)
{
    return (cfg->ports[port].queues - cfg->index + cfg->workers - 1) /
           cfg->workers;
}

static int
make_room(struct nsp_bridge_queue *queue)
{
    const struct nsp_bridge_queue_config *cfg = &queue->config;
    uint32_t sockets = share_of(cfg, 0) + share_of(cfg, 1);
    void *bytes;

    queue->lent_max_pkts = cfg->max_held_pkts + 2 * NSP_BURST_MAX;
    queue->frame_count =
        2 * sockets * NSP_BRIDGE_RING_FRAMES + queue->lent_max_pkts;
    queue->memory.count = (uint64_t)queue->frame_count * cfg->chunk_bytes;
    bytes = mmap(NULL, queue->memory.count, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    queue->memory.bytes = bytes;
    queue->frames =
        nsp_alloc(&cfg->allocator, queue->frame_count, sizeof *queue->frames);
    queue->free_frames =
        nsp_alloc(&cfg->allocator, queue->frame_count, sizeof(uint32_t));
    if (!queue->frames || !queue->free_frames)
        return -ENOMEM;
    /* The first are taken first. */
    for (uint32_t i = queue->frame_count; i > 0; i--)
        release(queue, (uint64_t)(i - 1) * cfg->chunk_bytes);
    return 0;
}

static void
close_sockets(struct nsp_bridge_queue *queue)
{
    for (uint32_t port = 0; port < 2; port++) {
        for (uint32_t i = 0; i < queue->socket_count[port]; i++)
            nsp_bridge_socket_close(&queue->sockets[port][i]);
        queue->socket_count[port] = 0;
    }
    queue->memory.first_fd = -1;
}

static int
open_sockets(struct nsp_bridge_queue *queue, bool copy)
{
    const struct nsp_bridge_queue_config *cfg = &queue->config;

    for (uint32_t port = 0; port < 2; port++) {
        for (uint32_t i = 0; i < share_of(cfg, port); i++) {
            const struct nsp_bridge_socket_config socket_cfg = {
                .ifindex = cfg->ports[port].ifindex,
                .queue = cfg->index + i * cfg->workers,
                .busy_poll_us = cfg->busy_poll_us,
                .copy = copy,
            };
            int err = nsp_bridge_socket_open(&queue->sockets[port][i],
                                             &socket_cfg, &queue->memory);

            if (err < 0)
                return err;
            queue->socket_count[port]++;
        }
    }
    return 0;
}

int
nsp_bridge_queue_open(struct nsp_bridge_queue *queue,
                      const struct nsp_bridge_queue_config *cfg,
                      const char **reterr_step)
{
    int err;

    *queue = (struct nsp_bridge_queue){
        .config = *cfg,
        .wakeup = { .fd = -1 },
        .memory = { .chunk_bytes = cfg->chunk_bytes,
                    .first_fd = -1,
                    .requests = !cfg->complete_checksums },
    };
    *reterr_step = "cannot make room for packets";
    err = nsp_wakeup_open(&queue->wakeup);
    if (err == 0)
        err = make_room(queue);
    if (err < 0)
        return err;

    *reterr_step = "cannot open AF_XDP sockets";
    err = open_sockets(queue, cfg->copy);
    if (err < 0 && err != -EBUSY && queue->memory.first_fd >= 0) {
        /* One port's driver may send without copying, the other's not. */
        close_sockets(queue);
        err = open_sockets(queue, true);
    }
    if (err < 0)
        return err;
    for (uint32_t port = 0; port < 2; port++)
        for (uint32_t i = 0; i < queue->socket_count[port]; i++)
            refill(queue, &queue->sockets[port][i], NSP_BRIDGE_RING_FRAMES);
    return 0;
}

void
nsp_bridge_queue_close(struct nsp_bridge_queue *queue)
{
    const struct nsp_allocator *allocator = &queue->config.allocator;

    close_sockets(queue);
    if (queue->memory.bytes)
        munmap(queue->memory.bytes, queue->memory.count);
    nsp_release(allocator, queue->free_frames);
    nsp_release(allocator, queue->frames);
    if (queue->wakeup.fd >= 0)
        nsp_wakeup_close(&queue->wakeup);
}

/* --- Sending -------------------------------------------------------------- */

/* Takes back the frames that were sent. */
static void
reap(struct nsp_bridge_queue *queue, struct nsp_bridge_socket *socket)
{
    uint32_t n = nsp_bridge_ring_ready(&socket->completion);

    if (n == 0)
        return;
    for (uint32_t i = 0; i < n; i++)
        release(queue, *nsp_bridge_ring_next_address(&socket->completion));
    nsp_bridge_ring_consumed(&socket->completion);
    socket->in_flight -= n;
}

/* Has the kernel take what is in the send ring, and takes back what it sent. */
static void
flush(struct nsp_bridge_queue *queue, struct nsp_bridge_socket *socket)
{
    if (nsp_bridge_ring_room(&socket->tx) != socket->tx.size) {
        nsp_bridge_ring_produced(&socket->tx);
        nsp_bridge_socket_kick(socket);
    }
    reap(queue, socket);
}

static void
flush_all(struct nsp_bridge_queue *queue)
{
    for (uint32_t port = 0; port < 2; port++)
        for (uint32_t i = 0; i < queue->socket_count[port]; i++)
            flush(queue, &queue->sockets[port][i]);
}

bool
nsp_bridge_queue_must_send(const struct nsp_bridge_queue *queue)
{
    for (uint32_t port = 0; port < 2; port++) {
        if (!atomic_load_explicit(&queue->config.ports[port].up,
                                  memory_order_relaxed))
            continue;
        for (uint32_t i = 0; i < queue->socket_count[port]; i++)
            if (nsp_bridge_ring_room(&queue->sockets[port][i].tx) !=
                NSP_BRIDGE_RING_FRAMES)
                return true;
    }
    return false;
}

/* Sees to it that the checksum will be right: asks the interface for it, or
 * computes it. */
static bool
prepare_checksum(const struct nsp_bridge_queue *queue, struct nsp_pkt *pkt,
                 uint32_t *options)
{
    struct nsp_bridge_request request = {
        .flags = NSP_BRIDGE_REQUEST_CHECKSUM,
    };

    if (pkt->csum != NSP_CSUM_PARTIAL)
        return true;
    if (!queue->memory.requests)
        return nsp_pkt_fix_checksums(pkt) == 0;
    if (pkt->flags & NSP_PKT_MODIFIED)
        nsp_pkt_parse(pkt); /* Headers may have moved. */
    if (pkt->l4 != NSP_L4_TCP && pkt->l4 != NSP_L4_UDP)
        return false;
    request.csum_start = pkt->l4_off;
    request.csum_offset = nsp_bridge_checksum_off(pkt);
    memcpy(pkt->data - sizeof request, &request, sizeof request);
    *options = NSP_BRIDGE_DESC_REQUEST;
    return true;
}

/* Puts a frame in the send ring of a port, unless it is full even after the
 * kernel was asked to empty it. */
static bool
put(struct nsp_bridge_queue *queue, uint32_t port, uint32_t way,
    const uint8_t *data, uint32_t bytes, uint32_t options)
{
    struct nsp_bridge_socket *socket =
        &queue->sockets[port][way % queue->socket_count[port]];

    if (socket->in_flight == NSP_BRIDGE_RING_FRAMES) {
        flush(queue, socket);
        if (socket->in_flight == NSP_BRIDGE_RING_FRAMES)
            return false;
    }
    *nsp_bridge_ring_next_desc(&socket->tx) = (struct xdp_desc){
        .addr = (uint64_t)(data - queue->memory.bytes),
        .len = bytes,
        .options = options,
    };
    socket->in_flight++;
    return true;
}

/* Tells whether the interface takes frames of this length, and any at all. */
static bool
port_takes(const struct nsp_bridge_port *port, const struct nsp_pkt *pkt)
{
    uint32_t mtu = atomic_load_explicit(&port->mtu, memory_order_relaxed);

    return pkt->cap_bytes >= ETHER_HDR_LEN &&
           pkt->cap_bytes <= mtu + NSP_BRIDGE_LINK_BYTES &&
           atomic_load_explicit(&port->up, memory_order_relaxed);
}

static bool
send_pkt(struct nsp_bridge_queue *queue, struct nsp_bridge_frame *frame)
{
    struct nsp_pkt *pkt = &frame->pkt;
    uint32_t port = frame->port ^ 1u;
    uint32_t options = 0;

    return port_takes(&queue->config.ports[port], pkt) &&
           prepare_checksum(queue, pkt, &options) &&
           put(queue, port, frame->way, pkt->data, pkt->cap_bytes, options);
}

static void
give_back(struct nsp_bridge_queue *queue, struct nsp_bridge_frame *frame)
{
    assert(frame->lent);
    frame->lent = false;
    queue->lent_pkts--;
}

uint32_t
nsp_bridge_tx_burst(struct nsp_bridge_queue *queue,
                    struct nsp_pkt *const pkts[], uint32_t n,
                    bool ret_refused[])
{
    uint32_t refused = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct nsp_bridge_frame *frame = frame_of(pkts[i]);

        ret_refused[i] = !send_pkt(queue, frame);
        refused += ret_refused[i];
        give_back(queue, frame);
        if (ret_refused[i])
            release(queue, (uint64_t)(pkts[i]->data - queue->memory.bytes));
    }
    flush_all(queue);
    return refused;
}

void
nsp_bridge_drop_burst(struct nsp_bridge_queue *queue,
                      struct nsp_pkt *const pkts[], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        give_back(queue, frame_of(pkts[i]));
        release(queue, (uint64_t)(pkts[i]->data - queue->memory.bytes));
    }
}

/* An answer to a packet goes back where that came from, anything else where
 * that goes. */
int
nsp_bridge_inject(struct nsp_bridge_queue *queue, const uint8_t *ip,
                  uint32_t ip_bytes, bool reply, const struct nsp_pkt *like)
{
    uint32_t port = (uint32_t)(like->device_ref & 1) ^ (reply ? 0u : 1u);
    uint32_t way = (uint32_t)(like->device_ref >> 1);
    uint8_t link[NSP_LINK_BYTES_MAX];
    uint32_t frame;
    uint8_t *data;
    int link_bytes;

    if (ip_bytes == 0)
        return -EINVAL;
    link_bytes = nsp_link_build(like, ip[0] >> 4, reply, link);
    if (link_bytes < 0)
        return link_bytes;
    if ((uint32_t)link_bytes + ip_bytes >
        queue->memory.chunk_bytes - NSP_BRIDGE_HEADROOM_BYTES)
        return -EMSGSIZE;
    if (queue->free_count == 0)
        return -ENOBUFS;
    frame = take(queue);
    data = start_of(queue, frame) + NSP_BRIDGE_HEADROOM_BYTES;
    memcpy(data, link, (size_t)link_bytes);
    memcpy(data + link_bytes, ip, ip_bytes);
    if (!put(queue, port, way, data, (uint32_t)link_bytes + ip_bytes, 0)) {
        release(queue, (uint64_t)(data - queue->memory.bytes));
        return -ENOBUFS;
    }
    flush_all(queue);
    return 0;
}

/* --- Receiving ------------------------------------------------------------ */

/* Where a frame came from, for packets made like it when it has gone. */
static uint64_t
place_of(uint32_t port, uint32_t way)
{
    return (uint64_t)way << 1 | port;
}

/* Makes a packet of a frame that was received. */
static struct nsp_pkt *
fill_frame(struct nsp_bridge_queue *queue, const struct xdp_desc *desc,
           uint32_t port, uint32_t way, uint64_t now_ns)
{
    const struct nsp_bridge_port *ports = queue->config.ports;
    struct nsp_bridge_frame *frame =
        &queue->frames[desc->addr / queue->memory.chunk_bytes];

    *frame = (struct nsp_bridge_frame){
        .pkt = {
            .data = queue->memory.bytes + desc->addr,
            .cap_bytes = desc->len,
            .wire_bytes = desc->len,
            .arrival_ns = now_ns,
            .link = NSP_LINK_ETHERNET,
            .hook = NSP_HOOK_FORWARD,
            .queue = (uint16_t)queue->config.index,
            .in_ifindex = ports[port].ifindex,
            .out_ifindex = ports[port ^ 1u].ifindex,
            .uid = UINT32_MAX,
            .device_ref = place_of(port, way),
        },
        .port = (uint8_t)port,
        .way = (uint8_t)way,
        .lent = true,
    };
    /* Frames that a driver wrote here itself have come over a wire. */
    if (!queue->sockets[port][way].zero_copy) {
        nsp_pkt_parse(&frame->pkt);
        if (nsp_bridge_checksum_is_partial(&frame->pkt))
            frame->pkt.csum = NSP_CSUM_PARTIAL;
    }
    return &frame->pkt;
}

static uint32_t
receive(struct nsp_bridge_queue *queue, uint32_t port, uint32_t way,
        uint64_t now_ns, struct nsp_pkt *ret_pkts[], uint32_t max)
{
    struct nsp_bridge_socket *socket = &queue->sockets[port][way];
    uint32_t n;

    nsp_bridge_socket_poll(socket);
    n = nsp_min_u32(nsp_bridge_ring_ready(&socket->rx), max);
    if (n == 0)
        return 0;
    for (uint32_t i = 0; i < n; i++)
        ret_pkts[i] = fill_frame(queue, nsp_bridge_ring_next_desc(&socket->rx),
                                 port, way, now_ns);
    nsp_bridge_ring_consumed(&socket->rx);
    queue->lent_pkts += n;
    refill(queue, socket, n);
    return n;
}

uint32_t
nsp_bridge_rx_burst(struct nsp_bridge_queue *queue, uint64_t now_ns,
                    struct nsp_pkt *ret_pkts[], uint32_t max)
{
    uint32_t n = 0;

    flush_all(queue);
    max = nsp_min_u32(max, queue->lent_max_pkts - queue->lent_pkts);
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t port = (queue->first_port + i) % 2;

        for (uint32_t way = 0; way < queue->socket_count[port] && n < max;
             way++)
            n += receive(queue, port, way, now_ns, ret_pkts + n, max - n);
    }
    queue->first_port ^= 1u;
    return n;
}

/* --- Counters ------------------------------------------------------------- */

void
nsp_bridge_queue_count(const struct nsp_bridge_queue *queue,
                       struct nsp_io_stats *stats)
{
    for (uint32_t port = 0; port < 2; port++)
        for (uint32_t i = 0; i < queue->socket_count[port]; i++)
            nsp_bridge_socket_count(&queue->sockets[port][i],
                                    &stats->kernel_dropped_pkts,
                                    &stats->device_errors);
}
