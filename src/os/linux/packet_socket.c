#define _GNU_SOURCE
#include "os/linux/packet_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <sys/mman.h>
#include <sys/socket.h>

int
nsp_packet_socket_open(int type)
{
    int fd = socket(AF_PACKET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    return fd < 0 ? -errno : fd;
}

int
nsp_packet_socket_set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

int
nsp_packet_socket_map_ring(int fd, const struct tpacket_req3 *request,
                           uint8_t **ret)
{
    size_t bytes = (size_t)request->tp_block_nr * request->tp_block_size;
    void *ring;

    if (setsockopt(fd, SOL_PACKET, PACKET_RX_RING, request, sizeof *request) <
        0)
        return -errno;
    ring = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (ring == MAP_FAILED)
        return -errno;
    *ret = ring;
    return 0;
}

int
nsp_packet_socket_bind(int fd, uint32_t ifindex, bool hears)
{
    const struct sockaddr_ll addr = {
        .sll_family = AF_PACKET,
        .sll_protocol = hears ? htons(ETH_P_ALL) : 0,
        .sll_ifindex = (int)ifindex,
    };

    return bind(fd, (const struct sockaddr *)&addr, sizeof addr) < 0 ? -errno
                                                                     : 0;
}

int
nsp_packet_socket_join(int fd, uint16_t *group)
{
    int word = PACKET_FANOUT_HASH << 16 | *group;
    socklen_t bytes = sizeof word;
    int err;

    if (*group == 0)
        word = (PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_UNIQUEID) << 16;
    err = nsp_packet_socket_set(fd, SOL_PACKET, PACKET_FANOUT, word);
    if (err < 0)
        return err;
    if (getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &word, &bytes) < 0)
        return -errno;
    *group = (uint16_t)word;
    return 0;
}

uint32_t
nsp_packet_socket_take_drops(int fd)
{
    struct tpacket_stats stats = { 0 }; /* As those of version 3 begin. */
    socklen_t bytes = sizeof stats;

    (void)getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &bytes);
    return stats.tp_drops;
}
