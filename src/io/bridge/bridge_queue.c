#define _GNU_SOURCE
#include "io/bridge/bridge_queue.h"

#include <errno.h>
#include <net/ethernet.h>
#include <string.h>

#include "base/counter.h"
#include "base/memory.h"
#include "io/bridge/bridge_binding.h"
#include "io/bridge/bridge_checksum.h"
#include "packet/link.h"

static_assert(NSP_LINK_BYTES_MAX <= NSP_BRIDGE_HEADROOM_BYTES &&
                  sizeof(struct nsp_bridge_request) <=
                      NSP_BRIDGE_HEADROOM_BYTES,
              "both fit in front of a frame");

static const struct nsp_bridge_lane_ops queue_ops;

static struct nsp_bridge_queue *
queue_of(const struct nsp_bridge_lane *lane)
{
    return NSP_CONTAINER_OF((uintptr_t)lane, struct nsp_bridge_queue, lane);
}

/* --- Frames --------------------------------------------------------------- */

static struct nsp_bridge_frame *
frame_of(const struct nsp_pkt *pkt)
{
    return NSP_CONTAINER_OF((uintptr_t)pkt, struct nsp_bridge_frame, pkt);
}

static uint64_t
address_of(const struct nsp_bridge_queue *queue, const struct nsp_pkt *pkt)
{
    return (uint64_t)(pkt->data - queue->rooms.bytes);
}

static bool
lacks_large_room(const struct nsp_bridge_queue *queue)
{
    return queue->config.large_chunks > 0 && queue->rooms.free_large_count == 0;
}

static bool
can_receive(const struct nsp_bridge_lane *lane)
{
    const struct nsp_bridge_queue *queue = queue_of(lane);

    return queue->lent_pkts < queue->lent_max_pkts && !lacks_large_room(queue);
}

/* --- Opening -------------------------------------------------------------- */

static int
make_room(struct nsp_bridge_queue *queue)
{
    const struct nsp_bridge_queue_config *cfg = &queue->config;
    uint32_t sockets = nsp_bridge_share(queue, 0) + nsp_bridge_share(queue, 1);
    struct nsp_bridge_rooms_config rooms = {
        .chunk_bytes = cfg->chunk_bytes,
        .large_chunks = cfg->large_chunks,
        .allocator = cfg->allocator,
    };
    int err;

    queue->lent_max_pkts = cfg->max_held_pkts + 2 * NSP_BURST_MAX;
    rooms.chunks = 2 * sockets * NSP_BRIDGE_RING_FRAMES + queue->lent_max_pkts;
    if (cfg->large_chunks > 0)
        rooms.large_rooms =
            (sockets * NSP_BRIDGE_RING_FRAMES + queue->lent_max_pkts) /
            cfg->large_chunks;
    err = nsp_bridge_rooms_init(&queue->rooms, &rooms);
    if (err < 0)
        return err;
    queue->memory.bytes = queue->rooms.bytes;
    queue->memory.count = queue->rooms.count;
    queue->frames = nsp_alloc(&cfg->allocator, rooms.chunks + rooms.large_rooms,
                              sizeof *queue->frames);
    return queue->frames ? 0 : -ENOMEM;
}

int
nsp_bridge_queue_open(struct nsp_bridge_queue *queue,
                      const struct nsp_bridge_queue_config *cfg,
                      const char **reterr_step)
{
    int err;

    *queue = (struct nsp_bridge_queue){
        .lane = { .ops = &queue_ops,
                  .wakeup = { .fd = -1 },
                  .index = cfg->index },
        .config = *cfg,
        .memory = { .chunk_bytes = cfg->chunk_bytes,
                    .first_fd = -1,
                    .requests = !cfg->complete_checksums,
                    .pieces = cfg->large_chunks > 0 },
    };
    *reterr_step = "cannot make room for packets";
    err = nsp_wakeup_open(&queue->lane.wakeup);
    if (err == 0)
        err = make_room(queue);
    if (err < 0)
        return err;

    *reterr_step = "cannot open AF_XDP sockets";
    return nsp_bridge_bind(queue);
}

static void
queue_close(struct nsp_bridge_lane *lane)
{
    struct nsp_bridge_queue *queue = queue_of(lane);
    const struct nsp_allocator *allocator = &queue->config.allocator;

    nsp_bridge_unbind(queue);
    nsp_bridge_rooms_fini(&queue->rooms);
    nsp_release(allocator, queue->frames);
    if (lane->wakeup.fd >= 0)
        nsp_wakeup_close(&lane->wakeup);
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
        nsp_bridge_rooms_release(
            &queue->rooms, *nsp_bridge_ring_next_address(&socket->completion));
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

static bool
must_send(const struct nsp_bridge_lane *lane)
{
    const struct nsp_bridge_queue *queue = queue_of(lane);

    for (uint32_t port = 0; port < 2; port++) {
        if (!atomic_load_explicit(&queue->config.ports[port].up,
                                  memory_order_relaxed))
            continue;
        for (uint32_t i = 0; i < queue->socket_count[port]; i++)
            if (nsp_bridge_ring_room(&queue->sockets[port][i].tx) !=
                    NSP_BRIDGE_RING_FRAMES ||
                (lacks_large_room(queue) &&
                 queue->sockets[port][i].in_flight > 0))
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
    if (!nsp_bridge_checksum_place(pkt, &request.csum_start,
                                   &request.csum_offset))
        return false;
    memcpy(pkt->data - sizeof request, &request, sizeof request);
    *options = NSP_BRIDGE_DESC_REQUEST;
    return true;
}

/* Puts a frame in the send ring of a port, in as many pieces as it takes,
 * unless the ring is full even after the kernel was asked to empty it. */
static bool
put(struct nsp_bridge_queue *queue, uint32_t port, uint32_t way,
    const uint8_t *data, uint32_t bytes, uint32_t options)
{
    const uint32_t sockets = queue->socket_count[port];
    struct nsp_bridge_socket *socket =
        &queue->sockets[port][sockets > 0 ? way % sockets : 0];
    const uint32_t max = nsp_bridge_piece_bytes_max(&queue->memory);
    uint32_t pieces = bytes <= max ? 1 : (bytes + max - 1) / max;
    uint64_t at = (uint64_t)(data - queue->rooms.bytes);

    if (sockets == 0)
        return false;
    if (socket->in_flight + pieces > queue->ring_frames) {
        flush(queue, socket);
        if (socket->in_flight + pieces > queue->ring_frames)
            return false;
    }
    nsp_bridge_rooms_send(&queue->rooms, at, pieces);
    socket->in_flight += pieces;
    for (; bytes > max; bytes -= max, at += max, options = 0)
        *nsp_bridge_ring_next_desc(&socket->tx) =
            (struct xdp_desc){ at, max, options | NSP_BRIDGE_DESC_MORE };
    *nsp_bridge_ring_next_desc(&socket->tx) =
        (struct xdp_desc){ at, bytes, options };
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

static uint32_t
tx_burst(struct nsp_bridge_lane *lane, struct nsp_pkt *const pkts[], uint32_t n,
         bool ret_refused[])
{
    struct nsp_bridge_queue *queue = queue_of(lane);
    uint32_t refused = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct nsp_bridge_frame *frame = frame_of(pkts[i]);

        ret_refused[i] = !send_pkt(queue, frame);
        refused += ret_refused[i];
        give_back(queue, frame);
        if (ret_refused[i])
            nsp_bridge_rooms_release(&queue->rooms, address_of(queue, pkts[i]));
    }
    flush_all(queue);
    return refused;
}

static void
drop_burst(struct nsp_bridge_lane *lane, struct nsp_pkt *const pkts[],
           uint32_t n)
{
    struct nsp_bridge_queue *queue = queue_of(lane);

    for (uint32_t i = 0; i < n; i++) {
        give_back(queue, frame_of(pkts[i]));
        nsp_bridge_rooms_release(&queue->rooms, address_of(queue, pkts[i]));
    }
}

/* An answer to a packet goes back where that came from, anything else where
 * that goes. */
static int
inject(struct nsp_bridge_lane *lane, const uint8_t *ip, uint32_t ip_bytes,
       bool reply, const struct nsp_pkt *like)
{
    struct nsp_bridge_queue *queue = queue_of(lane);
    uint32_t port = (uint32_t)(like->device_ref & 1) ^ (reply ? 0u : 1u);
    uint32_t way = (uint32_t)(like->device_ref >> 1);
    uint8_t link[NSP_LINK_BYTES_MAX];
    uint8_t *data;
    int link_bytes;

    if (ip_bytes == 0)
        return -EINVAL;
    link_bytes = nsp_link_build(like, ip[0] >> 4, reply, link);
    if (link_bytes < 0)
        return link_bytes;
    if ((uint32_t)link_bytes + ip_bytes >
        nsp_bridge_rooms_frame_bytes_max(&queue->rooms))
        return -EMSGSIZE;
    data = nsp_bridge_rooms_take_for(&queue->rooms,
                                     (uint32_t)link_bytes + ip_bytes);
    if (!data)
        return -ENOBUFS;
    memcpy(data, link, (size_t)link_bytes);
    memcpy(data + link_bytes, ip, ip_bytes);
    if (!put(queue, port, way, data, (uint32_t)link_bytes + ip_bytes, 0)) {
        nsp_bridge_rooms_release(&queue->rooms,
                                 (uint64_t)(data - queue->rooms.bytes));
        return -ENOBUFS;
    }
    flush_all(queue);
    return 0;
}

/* --- Other queues --------------------------------------------------------- */

int
nsp_bridge_queue_rebind(struct nsp_bridge_queue *queue,
                        const char **reterr_step)
{
    *reterr_step = "cannot open AF_XDP sockets anew";
    flush_all(queue);
    nsp_bridge_unbind(queue);
    return nsp_bridge_bind(queue);
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
    const uint64_t at = nsp_bridge_place_of(desc->addr);
    struct nsp_bridge_frame *frame =
        &queue->frames[nsp_bridge_rooms_index(&queue->rooms, at)];

    *frame = (struct nsp_bridge_frame){
        .pkt = {
            .data = queue->rooms.bytes + at,
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

/* Descriptors of the next frame among those that are 'ready'; 0: its end is
 * not there yet. */
static uint32_t
count_pieces(const struct nsp_bridge_ring *rx, uint32_t ready)
{
    for (uint32_t i = 0; i < ready; i++)
        if (!(nsp_bridge_ring_look_ahead(rx, i)->options &
              NSP_BRIDGE_DESC_MORE))
            return i + 1;
    return 0;
}

/* Moves a frame that came in pieces to a large room, one of which is free.
 * False: it is larger, and lost. */
static bool
gather(struct nsp_bridge_queue *queue, struct nsp_bridge_ring *rx,
       uint32_t pieces, struct xdp_desc *ret)
{
    const uint32_t max = nsp_bridge_rooms_frame_bytes_max(&queue->rooms);
    uint64_t to =
        nsp_bridge_rooms_take_large(&queue->rooms) + NSP_BRIDGE_HEADROOM_BYTES;
    uint32_t bytes = 0;

    for (uint32_t i = 0; i < pieces; i++) {
        const struct xdp_desc *piece = nsp_bridge_ring_next_desc(rx);
        const uint64_t at = nsp_bridge_place_of(piece->addr);

        if (bytes <= max && piece->len <= max - bytes)
            memcpy(queue->rooms.bytes + to + bytes, queue->rooms.bytes + at,
                   piece->len);
        bytes += piece->len;
        nsp_bridge_rooms_release(&queue->rooms, at);
    }
    *ret = (struct xdp_desc){ to, bytes, 0 };
    if (bytes <= max)
        return true;
    nsp_bridge_rooms_release(&queue->rooms, to);
    nsp_counter_add(&queue->lost_pkts, 1);
    return false;
}

static uint32_t
receive(struct nsp_bridge_queue *queue, uint32_t port, uint32_t way,
        uint64_t now_ns, struct nsp_pkt *ret_pkts[], uint32_t max)
{
    struct nsp_bridge_socket *socket = &queue->sockets[port][way];
    uint32_t n = 0, taken = 0, ready;

    nsp_bridge_socket_poll(socket);
    ready = nsp_bridge_ring_ready(&socket->rx);
    while (n < max && taken < ready) {
        uint32_t pieces = count_pieces(&socket->rx, ready - taken);
        struct xdp_desc frame;

        if (pieces == 0 || (pieces > 1 && lacks_large_room(queue)))
            break;
        taken += pieces;
        if (pieces == 1)
            frame = *nsp_bridge_ring_next_desc(&socket->rx);
        else if (!gather(queue, &socket->rx, pieces, &frame))
            continue;
        ret_pkts[n++] = fill_frame(queue, &frame, port, way, now_ns);
    }
    if (taken == 0)
        return 0;
    nsp_bridge_ring_consumed(&socket->rx);
    queue->lent_pkts += n;
    nsp_bridge_refill(queue, socket, taken);
    return n;
}

static uint32_t
rx_burst(struct nsp_bridge_lane *lane, uint64_t now_ns,
         struct nsp_pkt *ret_pkts[], uint32_t max)
{
    struct nsp_bridge_queue *queue = queue_of(lane);
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

/* --- State ---------------------------------------------------------------- */

static uint32_t
list(const struct nsp_bridge_lane *lane, struct pollfd ret[])
{
    const struct nsp_bridge_queue *queue = queue_of(lane);
    uint32_t n = 0;

    for (uint32_t port = 0; port < 2; port++)
        for (uint32_t i = 0; i < queue->socket_count[port]; i++)
            ret[n++] = (struct pollfd){ .fd = queue->sockets[port][i].fd,
                                        .events = POLLIN };
    return n;
}

static void
count(struct nsp_bridge_lane *lane, struct nsp_io_stats *stats)
{
    const struct nsp_bridge_queue *queue = queue_of(lane);

    stats->kernel_dropped_pkts +=
        nsp_counter_read(&queue->lost_pkts) + queue->past_dropped_pkts;
    stats->device_errors += queue->past_errors;
    for (uint32_t port = 0; port < 2; port++)
        for (uint32_t i = 0; i < queue->socket_count[port]; i++)
            nsp_bridge_socket_count(&queue->sockets[port][i],
                                    &stats->kernel_dropped_pkts,
                                    &stats->device_errors);
}

static const struct nsp_bridge_lane_ops queue_ops = {
    .rx_burst = rx_burst,
    .tx_burst = tx_burst,
    .drop_burst = drop_burst,
    .inject = inject,
    .can_receive = can_receive,
    .must_send = must_send,
    .list = list,
    .count = count,
    .close = queue_close,
};
