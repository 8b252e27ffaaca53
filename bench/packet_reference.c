/* The peer of the bridge device where it takes frames in the stack: joins two
 * interfaces by packet sockets alone. Each frame that one of them receives is
 * copied from its ring and sent by the other; the stack drops the original,
 * since it is for nobody here. Without a program in the kernel nothing crosses
 * once this has ended.
 *
 * usage: packet_reference A B. Says that it has begun, and prints how many
 * frames crossed when it is interrupted. */
#define _GNU_SOURCE
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "bench/reference.h"
#include "io/bridge/packet_ring.h"
#include "os/linux/packet_socket.h"

#define BURST       64u
#define SLOT_BYTES  2048u
#define SLOTS       4096u
#define FRAME_BYTES 66000u
#define SEND_BYTES  (8 << 20)

static struct nsp_packet_ring rings[2];
static uint8_t room[BURST][NSP_VNET_BYTES + FRAME_BYTES];

/* Moves a burst from one ring to the other's interface; returns its length. */
static uint32_t
move(uint32_t port)
{
    struct nsp_packet_ring *from = &rings[port];
    int to_fd = rings[port ^ 1u].fd;
    struct mmsghdr messages[BURST];
    struct iovec iov[BURST];
    struct nsp_packet_frame frame;
    uint32_t n = 0;

    while (n < BURST && nsp_packet_ring_look(from, &frame)) {
        struct virtio_net_hdr vnet;

        if (!nsp_packet_ring_take(from, &frame, &vnet,
                                  room[n] + NSP_VNET_BYTES))
            continue;
        memcpy(room[n], &vnet, sizeof vnet);
        iov[n] = (struct iovec){ room[n], sizeof vnet + frame.bytes };
        messages[n] = (struct mmsghdr){
            .msg_hdr = { .msg_iov = &iov[n], .msg_iovlen = 1 },
        };
        n++;
    }
    for (uint32_t sent = 0; sent < n;) {
        int took = sendmmsg(to_fd, messages + sent, n - sent, MSG_DONTWAIT);

        sent += took > 0 ? (uint32_t)took : 1; /* One is lost. */
    }
    return n;
}

static int
open_ring(struct nsp_packet_ring *ring, const char *name)
{
    const struct nsp_packet_ring_config cfg = {
        .ifindex = if_nametoindex(name),
        .slot_bytes = SLOT_BYTES,
        .slots = SLOTS,
        .queues = 1,
    };
    int err = cfg.ifindex == 0 ? -errno : nsp_packet_ring_open(ring, &cfg);

    if (err == 0)
        err = nsp_packet_socket_set(ring->fd, SOL_PACKET,
                                    PACKET_IGNORE_OUTGOING, 1);
    if (err == 0)
        err = nsp_packet_socket_set(ring->fd, SOL_SOCKET, SO_SNDBUFFORCE,
                                    SEND_BYTES);
    return err;
}

int
main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: packet_reference A B\n");
        return 2;
    }
    for (int i = 0; i < 2; i++) {
        int err = open_ring(&rings[i], argv[1 + i]);

        if (err < 0) {
            fprintf(stderr, "packet_reference: %s: %s\n", argv[1 + i],
                    strerror(-err));
            return 1;
        }
    }
    bench_cross((const int[]){ rings[0].fd, rings[1].fd }, move);
    for (int i = 0; i < 2; i++)
        nsp_packet_ring_close(&rings[i]);
    return 0;
}
