#define _GNU_SOURCE
#include "os/linux/link_watch.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/linux/route_netlink.h"

#define NEWS_BYTES 16384u
#define ROOM_BYTES (1 << 20)

/* Datagrams read at once: whoever makes more is not waited for. After a loss,
 * all that the socket has room for: what is older than a list of all must not
 * come behind it. */
#define DATAGRAMS_MAX      64u
#define DATAGRAMS_LEFT_MAX 8192u
#define REQUEST_BYTES      128u

int
nsp_link_watch_open(struct nsp_link_watch *watch, bool filters)
{
    int fd =
        nsp_rtnetlink_open(filters ? RTMGRP_LINK | RTMGRP_TC : RTMGRP_LINK);
    int room = ROOM_BYTES;

    if (fd < 0)
        return fd;
    /* News that does not fit is lost; less room will do. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    watch->fd = fd;
    watch->lost = false;
    return 0;
}

void
nsp_link_watch_close(struct nsp_link_watch *watch)
{
    if (watch->fd >= 0)
        close(watch->fd);
    watch->fd = -1;
}

static int
take_xdp(const struct nlattr *attribute, void *opaque)
{
    struct nsp_link_news *news = opaque;

    if (mnl_attr_get_type(attribute) == IFLA_XDP_PROG_ID &&
        mnl_attr_validate(attribute, MNL_TYPE_U32) == 0)
        news->xdp_prog_id = mnl_attr_get_u32(attribute);
    return MNL_CB_OK;
}

static int
take_attribute(const struct nlattr *attribute, void *opaque)
{
    struct nsp_link_news *news = opaque;

    switch (mnl_attr_get_type(attribute)) {
    case IFLA_IFNAME:
        if (mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0)
            snprintf(news->name, sizeof news->name, "%s",
                     mnl_attr_get_str(attribute));
        break;
    case IFLA_MASTER:
        news->has_master = true;
        break;
    case IFLA_MTU:
        if (mnl_attr_validate(attribute, MNL_TYPE_U32) == 0)
            news->mtu = mnl_attr_get_u32(attribute);
        break;
    case IFLA_XDP:
        news->tells_xdp = true;
        (void)mnl_attr_parse_nested(attribute, take_xdp, news);
        break;
    default:
        break;
    }
    return MNL_CB_OK;
}

static int
take_move(const struct nlattr *attribute, void *opaque)
{
    struct nsp_link_news *news = opaque;

    if (mnl_attr_get_type(attribute) == IFLA_NEW_NETNSID)
        news->moved = true;
    return MNL_CB_OK;
}

/* Tells whether it is of traffic control. */
static bool
read_filters(const struct nlmsghdr *message, nsp_link_news_fn *tell,
             void *context)
{
    const struct tcmsg *tc = mnl_nlmsg_get_payload(message);
    struct nsp_link_news news = { .filters = true };

    if (message->nlmsg_type < RTM_NEWQDISC ||
        message->nlmsg_type > RTM_GETTFILTER)
        return false;
    if (mnl_nlmsg_get_payload_len(message) >= sizeof *tc) {
        news.ifindex = (uint32_t)tc->tcm_ifindex;
        tell(context, &news);
    }
    return true;
}

static void
read_message(const struct nlmsghdr *message, nsp_link_news_fn *tell,
             void *context)
{
    const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
    struct nsp_link_news news = { 0 };

    if (read_filters(message, tell, context) ||
        mnl_nlmsg_get_payload_len(message) < sizeof *info ||
        info->ifi_family == AF_BRIDGE)
        return;
    news.ifindex = (uint32_t)info->ifi_index;
    news.removed = message->nlmsg_type == RTM_DELLINK;
    news.up = (info->ifi_flags & IFF_UP) != 0;
    news.type = info->ifi_type;
    if (message->nlmsg_type == RTM_NEWLINK)
        (void)mnl_attr_parse(message, sizeof *info, take_attribute, &news);
    if (news.removed)
        (void)mnl_attr_parse(message, sizeof *info, take_move, &news);
    if (news.removed || message->nlmsg_type == RTM_NEWLINK)
        tell(context, &news);
}

/* Hands the news of a datagram on. Returns false when there is none. */
static bool
read_datagram(struct nsp_link_watch *watch, nsp_link_news_fn *tell,
              void *context)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[NEWS_BYTES];
    ssize_t got = recv(watch->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    struct nlmsghdr *message = (struct nlmsghdr *)bytes;
    int left = (int)got;

    if (got < 0) {
        watch->lost |= errno == ENOBUFS;
        return errno == ENOBUFS;
    }
    for (; mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left))
        read_message(message, tell, context);
    return true;
}

struct listener {
    nsp_link_news_fn *tell;
    void *context;
};

static int
take_listed(const struct nlmsghdr *message, void *opaque)
{
    const struct listener *listener = opaque;

    read_message(message, listener->tell, listener->context);
    return MNL_CB_OK;
}

static int
ask(struct nlmsghdr *message, nsp_link_news_fn *tell, void *context)
{
    struct listener listener = { tell, context };

    return nsp_rtnetlink_ask(message, take_listed, &listener);
}

/* Begins a request for links in 'bytes'. */
static struct nlmsghdr *
put_request(uint8_t bytes[REQUEST_BYTES], unsigned flags)
{
    struct nlmsghdr *message = mnl_nlmsg_put_header(bytes);

    message->nlmsg_type = RTM_GETLINK;
    message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
    return message;
}

int
nsp_link_list(nsp_link_news_fn *tell, void *context)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[REQUEST_BYTES];

    return ask(put_request(bytes, NLM_F_DUMP), tell, context);
}

static void
keep(void *context, const struct nsp_link_news *news)
{
    *(struct nsp_link_news *)context = *news;
}

int
nsp_link_find(const char *name, struct nsp_link_news *ret)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[REQUEST_BYTES];
    struct nlmsghdr *message = put_request(bytes, NLM_F_ACK);
    struct nsp_link_news found = { 0 };
    int err;

    if (strlen(name) >= IF_NAMESIZE)
        return -ENODEV;
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    err = ask(message, keep, &found);
    if (err < 0)
        return err;
    *ret = found;
    return 0;
}

bool
nsp_link_watch_read(struct nsp_link_watch *watch, nsp_link_news_fn *tell,
                    void *context)
{
    for (uint32_t i = 0; i < (watch->lost ? DATAGRAMS_LEFT_MAX : DATAGRAMS_MAX);
         i++)
        if (!read_datagram(watch, tell, context))
            break;
    if (!watch->lost || nsp_link_list(tell, context) < 0)
        return false;
    watch->lost = false;
    return true;
}

void
nsp_link_watch_miss(uint32_t ifindex, nsp_link_news_fn *tell, void *context)
{
    const struct nsp_link_news gone = { .ifindex = ifindex, .removed = true };
    char name[IF_NAMESIZE];

    if (!if_indextoname(ifindex, name))
        tell(context, &gone);
}
