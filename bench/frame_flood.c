/* Sends small UDP datagrams as fast as it can, as frames, past the stack: 60
 * bytes each, with complete checksums, to a station that is not there.
 *
 * usage: frame_flood INTERFACE SECONDS */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH       64u
#define FRAME_BYTES 60u
#define IP_OFF      14u
#define UDP_OFF     34u

static void
store16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static uint16_t
checksum(const uint8_t *p, size_t bytes)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < bytes; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)~sum;
}

/* Datagram 'number': ports differ, there is no UDP checksum. */
static void
build(uint8_t frame[FRAME_BYTES], uint32_t number)
{
    static const uint8_t link[] = {
        2, 0, 0, 0, 0, 0x99, 2, 0, 0, 0, 0, 1, 8, 0
    };
    static const uint8_t ends[] = { 10, 80, 0, 1, 10, 80, 0, 99 };

    memset(frame, 0, FRAME_BYTES);
    memcpy(frame, link, sizeof link);
    frame[IP_OFF] = 0x45;
    store16(frame + IP_OFF + 2, FRAME_BYTES - IP_OFF);
    frame[IP_OFF + 8] = 64;
    frame[IP_OFF + 9] = IPPROTO_UDP;
    memcpy(frame + IP_OFF + 12, ends, sizeof ends);
    store16(frame + IP_OFF + 10, checksum(frame + IP_OFF, 20));
    store16(frame + UDP_OFF, (uint16_t)(1024 + number));
    store16(frame + UDP_OFF + 2, (uint16_t)(2000 + number));
    store16(frame + UDP_OFF + 4, FRAME_BYTES - UDP_OFF);
}

static int
open_socket(const char *interface)
{
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_ifindex = (int)if_nametoindex(interface),
    };
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    int one = 1;

    if (fd < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return -1;
    return fd;
}

int
main(int argc, char **argv)
{
    static uint8_t frames[BATCH][FRAME_BYTES];
    struct iovec iov[BATCH];
    struct mmsghdr messages[BATCH] = { 0 };
    time_t end;
    int fd;

    if (argc != 3) {
        fprintf(stderr, "usage: frame_flood INTERFACE SECONDS\n");
        return 2;
    }
    fd = open_socket(argv[1]);
    if (fd < 0) {
        perror("frame_flood");
        return 1;
    }
    for (uint32_t i = 0; i < BATCH; i++) {
        build(frames[i], i);
        iov[i] = (struct iovec){ frames[i], FRAME_BYTES };
        messages[i].msg_hdr.msg_iov = &iov[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (end = time(NULL) + atoi(argv[2]); time(NULL) < end;)
        if (sendmmsg(fd, messages, BATCH, 0) < 0 && errno != ENOBUFS) {
            perror("frame_flood");
            return 1;
        }
    return 0;
}
