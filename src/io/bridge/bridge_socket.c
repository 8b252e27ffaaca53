#define _GNU_SOURCE
#include "io/bridge/bridge_socket.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* What Linux appended since the C library's headers. */
#ifndef XDP_UMEM_TX_METADATA_LEN
#define XDP_UMEM_TX_METADATA_LEN (1 << 2)
#endif
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#define XDP_MAX_TX_SKB_BUDGET 9 /* 6.18: frames sent by one call. */
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#define SO_BUSY_POLL_BUDGET 70
#endif

#define TX_BUDGET        256
#define BUSY_POLL_BUDGET 64

/* The kernel charges what it has not handed to the interface yet. */
#define SEND_ROOM_BYTES (16 << 20)

/* Calls for one burst: each sends 32 frames at least, unless it cannot. */
#define KICKS_MAX 80u

struct umem_reg {
    uint64_t addr, len;
    uint32_t chunk_size, headroom, flags, tx_metadata_len;
};

static int
set(int fd, int level, int option, const void *value, socklen_t bytes)
{
    return setsockopt(fd, level, option, value, bytes) < 0 ? -errno : 0;
}

static int
set_number(int fd, int level, int option, int value)
{
    return set(fd, level, option, &value, sizeof value);
}

/* --- Opening -------------------------------------------------------------- */

static int
register_memory(int fd, struct nsp_bridge_memory *memory)
{
    const uint32_t pieces = memory->pieces ? XDP_UMEM_UNALIGNED_CHUNK_FLAG : 0;
    struct umem_reg reg = {
        .addr = (uintptr_t)memory->bytes,
        .len = memory->count,
        .chunk_size = memory->chunk_bytes,
        .flags = XDP_UMEM_TX_METADATA_LEN | pieces,
        .tx_metadata_len = sizeof(struct nsp_bridge_request),
    };
    int err = 0;

    if (memory->requests) {
        err = set(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof reg);
        if (err != -EINVAL)
            return err;
        memory->requests = false; /* Before Linux 6.8. */
    }
    reg.flags = pieces;
    reg.tx_metadata_len = 0;
    return set(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof reg);
}

static int
map_ring(int fd, struct nsp_bridge_ring *ring,
         const struct xdp_ring_offset *offset, uint64_t at, size_t entry_bytes)
{
    uint8_t *map;

    ring->size = NSP_BRIDGE_RING_FRAMES;
    ring->map_bytes = (size_t)offset->desc + ring->size * entry_bytes;
    map = mmap(NULL, ring->map_bytes, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_POPULATE, fd, (off_t)at);
    if (map == MAP_FAILED)
        return -errno;
    ring->map = map;
    ring->producer = (void *)(map + offset->producer);
    ring->consumer = (void *)(map + offset->consumer);
    ring->flags = (void *)(map + offset->flags);
    ring->entries = map + offset->desc;
    return 0;
}

static int
open_rings(struct nsp_bridge_socket *socket)
{
    struct xdp_mmap_offsets offsets;
    socklen_t bytes = sizeof offsets;
    const struct {
        int option;
        uint64_t at;
        struct nsp_bridge_ring *ring;
        const struct xdp_ring_offset *offset;
        size_t entry_bytes;
    } rings[] = {
        { XDP_UMEM_FILL_RING, XDP_UMEM_PGOFF_FILL_RING, &socket->fill,
          &offsets.fr, sizeof(uint64_t) },
        { XDP_UMEM_COMPLETION_RING, XDP_UMEM_PGOFF_COMPLETION_RING,
          &socket->completion, &offsets.cr, sizeof(uint64_t) },
        { XDP_RX_RING, XDP_PGOFF_RX_RING, &socket->rx, &offsets.rx,
          sizeof(struct xdp_desc) },
        { XDP_TX_RING, XDP_PGOFF_TX_RING, &socket->tx, &offsets.tx,
          sizeof(struct xdp_desc) },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rings); i++) {
        int err = set_number(socket->fd, SOL_XDP, rings[i].option,
                             (int)NSP_BRIDGE_RING_FRAMES);

        if (err < 0)
            return err;
    }
    if (getsockopt(socket->fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &bytes) < 0)
        return -errno;
    for (size_t i = 0; i < NSP_ARRAY_LEN(rings); i++) {
        int err = map_ring(socket->fd, rings[i].ring, rings[i].offset,
                           rings[i].at, rings[i].entry_bytes);

        if (err < 0)
            return err;
    }
    return 0;
}

static int
bind_socket(struct nsp_bridge_socket *socket,
            const struct nsp_bridge_socket_config *cfg,
            struct nsp_bridge_memory *memory)
{
    struct sockaddr_xdp address = {
        .sxdp_family = AF_XDP,
        .sxdp_ifindex = cfg->ifindex,
        .sxdp_queue_id = cfg->queue,
    };
    struct xdp_options options = { 0 };
    socklen_t bytes = sizeof options;

    if (memory->first_fd < 0) {
        address.sxdp_flags =
            (uint16_t)(XDP_USE_NEED_WAKEUP | (cfg->copy ? XDP_COPY : 0) |
                       (memory->pieces ? XDP_USE_SG : 0));
    } else {
        address.sxdp_flags = XDP_SHARED_UMEM; /* The first's flags hold. */
        address.sxdp_shared_umem_fd = (uint32_t)memory->first_fd;
    }
    if (bind(socket->fd, (struct sockaddr *)&address, sizeof address) < 0)
        return -errno;
    if (memory->first_fd < 0)
        memory->first_fd = socket->fd;
    if (getsockopt(socket->fd, SOL_XDP, XDP_OPTIONS, &options, &bytes) == 0)
        socket->zero_copy = (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
    return 0;
}

/* What makes it faster; without, it works too. */
static void
tune(struct nsp_bridge_socket *socket,
     const struct nsp_bridge_socket_config *cfg)
{
    int fd = socket->fd;

    (void)set_number(fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, TX_BUDGET);
    (void)set_number(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_ROOM_BYTES);
    if (cfg->busy_poll_us == 0)
        return;
    socket->busy_poll =
        set_number(fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, 1) == 0 &&
        set_number(fd, SOL_SOCKET, SO_BUSY_POLL, (int)cfg->busy_poll_us) == 0 &&
        set_number(fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, BUSY_POLL_BUDGET) == 0;
}

static int
make_socket(struct nsp_bridge_socket *ret, struct nsp_bridge_memory *memory)
{
    int err = 0;

    *ret = (struct nsp_bridge_socket){
        .fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0),
    };
    if (ret->fd < 0)
        return -errno;
    if (memory->first_fd < 0)
        err = register_memory(ret->fd, memory);
    return err < 0 ? err : open_rings(ret);
}

int
nsp_bridge_socket_open(struct nsp_bridge_socket *socket,
                       const struct nsp_bridge_socket_config *cfg,
                       struct nsp_bridge_memory *memory)
{
    int err = make_socket(socket, memory);

    if (err == 0) {
        tune(socket, cfg);
        err = bind_socket(socket, cfg, memory);
    }
    if (err < 0)
        nsp_bridge_socket_close(socket);
    return err;
}

int
nsp_bridge_socket_try(struct nsp_bridge_memory *memory)
{
    struct nsp_bridge_socket socket;
    int err = make_socket(&socket, memory);

    nsp_bridge_socket_close(&socket);
    return err;
}

void
nsp_bridge_socket_close(struct nsp_bridge_socket *socket)
{
    struct nsp_bridge_ring *const rings[] = { &socket->fill, &socket->rx,
                                              &socket->tx,
                                              &socket->completion };

    if (socket->fd < 0)
        return;
    for (size_t i = 0; i < NSP_ARRAY_LEN(rings); i++)
        if (rings[i]->map)
            munmap(rings[i]->map, rings[i]->map_bytes);
    close(socket->fd);
    *socket = (struct nsp_bridge_socket){ .fd = -1 };
}

/* --- Serving -------------------------------------------------------------- */

void
nsp_bridge_socket_kick(struct nsp_bridge_socket *socket)
{
    if (!nsp_bridge_ring_sleeps(&socket->tx))
        return;
    for (uint32_t i = 0; i < KICKS_MAX; i++) {
        if (sendto(socket->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0)
            return;
        /* Without memory, or a link, what is left goes next time. */
        if (errno != EAGAIN)
            return;
    }
}

void
nsp_bridge_socket_poll(struct nsp_bridge_socket *socket)
{
    /* Whether there is anything, the ring tells. */
    if (socket->busy_poll)
        (void)!recvfrom(socket->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

void
nsp_bridge_socket_count(const struct nsp_bridge_socket *socket,
                        uint64_t *dropped_pkts, uint64_t *errors)
{
    struct xdp_statistics stats = { 0 };
    socklen_t bytes = sizeof stats;

    if (getsockopt(socket->fd, SOL_XDP, XDP_STATISTICS, &stats, &bytes) < 0)
        return;
    *dropped_pkts += stats.rx_dropped + stats.rx_ring_full;
    *errors += stats.rx_invalid_descs + stats.tx_invalid_descs;
}
