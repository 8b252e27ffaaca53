/* The peer of the bridge device: joins two interfaces by the same programs and
 * sockets, and moves each frame from the one to the other without looking at
 * it. What nsp does besides (parsing, rules, counters, checksums) is the
 * difference.
 *
 * usage: bridge_reference A B. Says that it has begun, and prints how many
 * frames crossed when it is interrupted. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"
#include "bench/reference.h"
#include "io/bridge/bridge_port.h"
#include "io/bridge/bridge_program.h"
#include "io/bridge/bridge_socket.h"
#include "os/linux/bpf_call.h"

#define BURST        64u
#define CHUNK_BYTES  2048u
#define FRAMES       (4 * NSP_BRIDGE_RING_FRAMES)
#define OPEN_TRIES   50
#define OPEN_WAIT_MS 20

static struct nsp_bridge_port ports[2];
static struct nsp_bridge_socket sockets[2];
static struct nsp_bridge_memory memory = {
    .count = (uint64_t)FRAMES * CHUNK_BYTES,
    .chunk_bytes = CHUNK_BYTES,
    .first_fd = -1,
};
static uint64_t free_frames[FRAMES];
static uint32_t free_count;

static void
refill(struct nsp_bridge_socket *socket, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        *nsp_bridge_ring_next_address(&socket->fill) =
            free_frames[--free_count];
    nsp_bridge_ring_produced(&socket->fill);
}

static void
reap(struct nsp_bridge_socket *socket)
{
    uint32_t n = nsp_bridge_ring_ready(&socket->completion);

    for (uint32_t i = 0; i < n; i++)
        free_frames[free_count++] =
            *nsp_bridge_ring_next_address(&socket->completion) / CHUNK_BYTES *
            CHUNK_BYTES;
    nsp_bridge_ring_consumed(&socket->completion);
}

/* Moves a burst from one socket to the other; returns its length. */
static uint32_t
move(uint32_t port)
{
    struct nsp_bridge_socket *from = &sockets[port], *to = &sockets[port ^ 1u];
    uint32_t n = nsp_bridge_ring_ready(&from->rx);

    reap(to);
    if (n > BURST)
        n = BURST;
    if (n > nsp_bridge_ring_room(&to->tx))
        n = nsp_bridge_ring_room(&to->tx);
    if (n > free_count)
        n = free_count;
    if (n == 0)
        return 0;
    for (uint32_t i = 0; i < n; i++)
        *nsp_bridge_ring_next_desc(&to->tx) =
            *nsp_bridge_ring_next_desc(&from->rx);
    nsp_bridge_ring_consumed(&from->rx);
    nsp_bridge_ring_produced(&to->tx);
    refill(from, n);
    nsp_bridge_socket_kick(to);
    return n;
}

static int
attach(uint32_t port, int words_fd)
{
    const struct nsp_bridge_steer steer = {
        .workers = 1,
        .beats_fd = words_fd,
        .sockets_fd = nsp_bpf_xskmap_create("sockets", 1),
    };
    uint32_t fd = (uint32_t)sockets[port].fd;
    int err = steer.sockets_fd;

    if (err >= 0)
        err = nsp_bpf_array_set(steer.sockets_fd, 0, &fd);
    if (err >= 0)
        err = nsp_bridge_load_steer(&steer, &nsp_libc_allocator);
    return err < 0 ? err : nsp_bridge_port_attach_xdp(&ports[port], err);
}

/* The kernel takes its time to let go of a queue whose program has ended. */
static int
open_socket(struct nsp_bridge_socket *socket,
            const struct nsp_bridge_socket_config *cfg)
{
    int err = -EBUSY;

    for (int i = 0; i < OPEN_TRIES && err == -EBUSY; i++) {
        if (i > 0)
            poll(NULL, 0, OPEN_WAIT_MS);
        err = nsp_bridge_socket_open(socket, cfg, &memory);
    }
    return err;
}

static int
begin(char *names[])
{
    int words_fd = bench_make_words();
    int err = words_fd < 0 ? words_fd : 0;

    memory.bytes = mmap(NULL, memory.count, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (uint32_t i = 0; i < FRAMES; i++)
        free_frames[free_count++] = (uint64_t)i * CHUNK_BYTES;
    for (uint32_t port = 0; port < 2 && err == 0; port++) {
        struct nsp_bridge_socket_config cfg = { .queue = 0 };

        ports[port].xdp_fd = ports[port].tc_fd = -1;
        err = nsp_bridge_port_find(&ports[port], names[port]);
        cfg.ifindex = ports[port].ifindex;
        if (err == 0)
            err = open_socket(&sockets[port], &cfg);
        if (err == 0)
            refill(&sockets[port], NSP_BRIDGE_RING_FRAMES);
    }
    for (uint32_t port = 0; port < 2 && err == 0; port++)
        err = attach(port, words_fd);
    return err;
}

int
main(int argc, char **argv)
{
    int err;

    if (argc != 3) {
        fprintf(stderr, "usage: bridge_reference A B\n");
        return 2;
    }
    err = begin(argv + 1);
    if (err < 0) {
        fprintf(stderr, "bridge_reference: %s\n", strerror(-err));
        return 1;
    }
    bench_cross((const int[]){ sockets[0].fd, sockets[1].fd }, move);
    for (uint32_t port = 0; port < 2; port++)
        nsp_bridge_port_close(&ports[port]);
    return 0;
}
