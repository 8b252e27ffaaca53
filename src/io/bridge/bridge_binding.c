#include "io/bridge/bridge_binding.h"

#include <errno.h>

#include "os/linux/bpf_call.h"

uint32_t
nsp_bridge_share(const struct nsp_bridge_queue *queue, uint32_t port)
{
    const struct nsp_bridge_queue_config *cfg = &queue->config;

    return (atomic_load(&cfg->ports[port].queues) - cfg->index + cfg->workers -
            1) /
           cfg->workers;
}

void
nsp_bridge_refill(struct nsp_bridge_queue *queue,
                  struct nsp_bridge_socket *socket, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        *nsp_bridge_ring_next_address(&socket->fill) =
            nsp_bridge_rooms_take_chunk(&queue->rooms);
    nsp_bridge_ring_produced(&socket->fill);
}

void
nsp_bridge_unbind(struct nsp_bridge_queue *queue)
{
    for (uint32_t port = 0; port < 2; port++) {
        for (uint32_t i = 0; i < queue->socket_count[port]; i++) {
            struct nsp_bridge_socket *socket = &queue->sockets[port][i];

            nsp_bridge_socket_count(socket, &queue->past_dropped_pkts,
                                    &queue->past_errors);
            nsp_bridge_socket_close(socket);
        }
        queue->socket_count[port] = 0;
    }
    queue->memory.first_fd = -1;
}

static int
open_sockets(struct nsp_bridge_queue *queue, bool copy)
{
    const struct nsp_bridge_queue_config *cfg = &queue->config;

    for (uint32_t port = 0; port < 2; port++) {
        const uint32_t share = nsp_bridge_share(queue, port);

        for (uint32_t i = 0; i < share; i++) {
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

static int
try_to_open(struct nsp_bridge_queue *queue)
{
    int err = open_sockets(queue, queue->config.copy);

    if (err < 0 && err != -EBUSY && queue->memory.first_fd >= 0) {
        /* One port's driver may send without copying, the other's not. */
        nsp_bridge_unbind(queue);
        err = open_sockets(queue, true);
    }
    return err;
}

static bool
is_lent(const void *context, uint32_t room)
{
    const struct nsp_bridge_queue *queue = context;

    return queue->frames[room].lent;
}

/* So many frames that all rings are full while as many are lent as may be. */
static uint32_t
ring_frames(const struct nsp_bridge_queue *queue)
{
    uint32_t rings = 2 * (queue->socket_count[0] + queue->socket_count[1]);

    return nsp_min_u32(NSP_BRIDGE_RING_FRAMES,
                       (queue->rooms.config.chunks - queue->lent_max_pkts) /
                           rings);
}

int
nsp_bridge_bind(struct nsp_bridge_queue *queue)
{
    int err = try_to_open(queue);

    for (uint32_t tries = 0; nsp_bridge_wait_while_busy(err, tries); tries++) {
        nsp_bridge_unbind(queue);
        err = try_to_open(queue);
    }
    if (err < 0) {
        nsp_bridge_unbind(queue);
        return err;
    }
    nsp_bridge_rooms_reclaim(&queue->rooms, is_lent, queue);
    queue->ring_frames = ring_frames(queue);
    for (uint32_t port = 0; port < 2; port++)
        for (uint32_t i = 0; i < queue->socket_count[port]; i++)
            nsp_bridge_refill(queue, &queue->sockets[port][i],
                              queue->ring_frames);
    return 0;
}

int
nsp_bridge_map(const struct nsp_bridge_queue *queue, uint32_t port,
               int sockets_fd)
{
    for (uint32_t i = 0; i < queue->socket_count[port]; i++) {
        uint32_t fd = (uint32_t)queue->sockets[port][i].fd;
        uint32_t number = queue->config.index + i * queue->config.workers;
        int err = nsp_bpf_array_set(sockets_fd, number, &fd);

        if (err < 0)
            return err;
    }
    return 0;
}
