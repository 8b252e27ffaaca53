#define _GNU_SOURCE
#include "io/nfqueue/nfqueue_inject.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/nfqueue/nfqueue_rules.h"

/* Linux 4.5; the C library's headers lack it. */
#ifndef IPV6_HDRINCL
#define IPV6_HDRINCL 36
#endif

#define IPV4_HEADER_BYTES 20u
#define IPV4_DST_OFF      16u
#define IPV6_HEADER_BYTES 40u
#define IPV6_DST_OFF      24u

static int
open_raw(int family, int level, int header_included)
{
    uint32_t mark = NSP_LOOP_MARK;
    int one = 1;
    int fd =
        socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
    int err;

    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof one) == 0 &&
        setsockopt(fd, level, header_included, &one, sizeof one) == 0)
        return fd;
    err = -errno;
    close(fd);
    return err;
}

int
nsp_nfq_injector_open(struct nsp_nfq_injector *ret)
{
    int fd = open_raw(AF_INET, IPPROTO_IP, IP_HDRINCL);

    *ret = (struct nsp_nfq_injector){ .ipv4_fd = -1, .ipv6_fd = -1 };
    if (fd < 0)
        return fd;
    ret->ipv4_fd = fd;

    fd = open_raw(AF_INET6, IPPROTO_IPV6, IPV6_HDRINCL);
    if (fd < 0 && fd != -EAFNOSUPPORT) {
        nsp_nfq_injector_close(ret);
        return fd;
    }
    ret->ipv6_fd = fd < 0 ? -1 : fd;
    return 0;
}

void
nsp_nfq_injector_close(struct nsp_nfq_injector *injector)
{
    if (injector->ipv4_fd >= 0)
        close(injector->ipv4_fd);
    if (injector->ipv6_fd >= 0)
        close(injector->ipv6_fd);
    injector->ipv4_fd = injector->ipv6_fd = -1;
}

static int
send_ipv4(int fd, const uint8_t *ip, uint32_t bytes)
{
    struct sockaddr_in to = { .sin_family = AF_INET };

    if (bytes < IPV4_HEADER_BYTES)
        return -EINVAL;
    memcpy(&to.sin_addr, ip + IPV4_DST_OFF, sizeof to.sin_addr);
    if (sendto(fd, ip, bytes, 0, (struct sockaddr *)&to, sizeof to) < 0)
        return -errno;
    return 0;
}

static int
send_ipv6(int fd, const uint8_t *ip, uint32_t bytes, uint32_t ifindex)
{
    struct sockaddr_in6 to = { .sin6_family = AF_INET6 };

    if (fd < 0)
        return -EAFNOSUPPORT;
    if (bytes < IPV6_HEADER_BYTES)
        return -EINVAL;
    memcpy(&to.sin6_addr, ip + IPV6_DST_OFF, sizeof to.sin6_addr);
    if (IN6_IS_ADDR_LINKLOCAL(&to.sin6_addr) ||
        IN6_IS_ADDR_MC_LINKLOCAL(&to.sin6_addr))
        to.sin6_scope_id = ifindex;
    if (sendto(fd, ip, bytes, 0, (struct sockaddr *)&to, sizeof to) < 0)
        return -errno;
    return 0;
}

int
nsp_nfq_inject(const struct nsp_nfq_injector *injector, const uint8_t *ip,
               uint32_t bytes, uint32_t ifindex)
{
    if (bytes == 0)
        return -EINVAL;
    switch (ip[0] >> 4) {
    case 4:
        return send_ipv4(injector->ipv4_fd, ip, bytes);
    case 6:
        return send_ipv6(injector->ipv6_fd, ip, bytes, ifindex);
    default:
        return -EINVAL;
    }
}
