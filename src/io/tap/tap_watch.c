#define _GNU_SOURCE
#include "io/tap/tap_watch.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/tap/tap_netlink.h"

#define NEWS_BYTES 16384u
#define ROOM_BYTES (1 << 20)

/* Datagrams read at once: whoever makes more is not waited for. */
#define DATAGRAMS_MAX 64u

int
nsp_tap_watch_open(struct nsp_tap_watch *watch)
{
    int fd = nsp_tap_netlink_open(RTMGRP_LINK);
    int room = ROOM_BYTES;

    if (fd < 0)
        return fd;
    /* News that does not fit is lost; less room will do. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    watch->fd = fd;
    return 0;
}

void
nsp_tap_watch_close(struct nsp_tap_watch *watch)
{
    if (watch->fd >= 0)
        close(watch->fd);
    watch->fd = -1;
}

static void
read_message(const struct nlmsghdr *message, nsp_tap_news_fn *tell,
             void *context)
{
    const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);

    if (mnl_nlmsg_get_payload_len(message) < sizeof *info ||
        info->ifi_family == AF_BRIDGE)
        return;
    if (message->nlmsg_type == RTM_DELLINK)
        tell(context, (uint32_t)info->ifi_index, NSP_TAP_REMOVED);
    else if (message->nlmsg_type == RTM_NEWLINK)
        tell(context, (uint32_t)info->ifi_index,
             info->ifi_flags & IFF_UP ? NSP_TAP_UP : NSP_TAP_DOWN);
}

void
nsp_tap_watch_read(struct nsp_tap_watch *watch, nsp_tap_news_fn *tell,
                   void *context)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[NEWS_BYTES];

    for (uint32_t i = 0; i < DATAGRAMS_MAX; i++) {
        ssize_t got = recv(watch->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        struct nlmsghdr *message = (struct nlmsghdr *)bytes;
        int left = (int)got;

        if (got < 0)
            return;
        for (; mnl_nlmsg_ok(message, left);
             message = mnl_nlmsg_next(message, &left))
            read_message(message, tell, context);
    }
}
