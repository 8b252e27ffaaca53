#define _GNU_SOURCE
#include "os/linux/route_netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_BYTES 16384u

int
nsp_rtnetlink_open(uint32_t groups)
{
    struct sockaddr_nl address = { .nl_family = AF_NETLINK,
                                   .nl_groups = groups };
    int flags = SOCK_RAW | SOCK_CLOEXEC | (groups ? SOCK_NONBLOCK : 0);
    int fd = socket(AF_NETLINK, flags, NETLINK_ROUTE);
    int err;

    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    err = -errno;
    close(fd);
    return err;
}

static int
read_answers(int fd, uint32_t sequence, mnl_cb_t take, void *context)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[ANSWER_BYTES];
    int more = MNL_CB_OK;

    while (more > MNL_CB_STOP) {
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        more = mnl_cb_run(bytes, (size_t)got, sequence, 0, take, context);
        if (more < MNL_CB_STOP)
            return -errno;
    }
    return 0;
}

int
nsp_rtnetlink_ask(struct nlmsghdr *message, mnl_cb_t take, void *context)
{
    int fd = nsp_rtnetlink_open(0);
    int err = 0;

    if (fd < 0)
        return fd;
    message->nlmsg_seq = 1;
    if (send(fd, message, message->nlmsg_len, 0) < 0)
        err = -errno;
    if (err == 0)
        err = read_answers(fd, message->nlmsg_seq, take, context);
    close(fd);
    return err;
}
