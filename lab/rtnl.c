#define _DEFAULT_SOURCE
#include "lab/rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/* Of the longest message sent here, with room to spare. */
#define REQUEST_BYTES 1024

/* What is waited for takes microseconds: this only bounds the wait on a machine
 * in trouble. */
#define WAIT_TIMEOUT_S 5

struct nsp_rtnl {
    struct mnl_socket *sock;
    uint32_t seq;
    char request[REQUEST_BYTES];
    char answer[32768]; /* At least MNL_SOCKET_BUFFER_SIZE. */
};

int
nsp_rtnl_open(struct nsp_rtnl **ret)
{
    struct timeval timeout = { .tv_sec = WAIT_TIMEOUT_S };
    struct nsp_rtnl *rtnl;
    int r;

    rtnl = calloc(1, sizeof *rtnl);
    if (!rtnl)
        return -ENOMEM;

    rtnl->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!rtnl->sock || mnl_socket_bind(rtnl->sock, 0, MNL_SOCKET_AUTOPID) < 0 ||
        setsockopt(mnl_socket_get_fd(rtnl->sock), SOL_SOCKET, SO_RCVTIMEO,
                   &timeout, sizeof timeout) < 0) {
        r = -errno;
        nsp_rtnl_close(rtnl);
        return r;
    }

    *ret = rtnl;
    return 0;
}

struct nsp_rtnl *
nsp_rtnl_close(struct nsp_rtnl *rtnl)
{
    if (rtnl && rtnl->sock)
        mnl_socket_close(rtnl->sock);
    free(rtnl);
    return NULL;
}

static struct nlmsghdr *
request_begin(struct nsp_rtnl *rtnl, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *message = mnl_nlmsg_put_header(rtnl->request);

    message->nlmsg_type = type;
    message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    message->nlmsg_seq = ++rtnl->seq;
    return message;
}

/* A request about the device of 'ifindex', or without one about others. */
static struct nlmsghdr *
request_begin_link(struct nsp_rtnl *rtnl, uint16_t type, uint16_t flags,
                   int ifindex)
{
    struct nlmsghdr *message = request_begin(rtnl, type, flags);
    struct ifinfomsg *link = mnl_nlmsg_put_extra_header(message, sizeof *link);

    link->ifi_family = AF_UNSPEC;
    link->ifi_index = ifindex;
    return message;
}

/* Waits for answers and notifications and hands each to 'note'. */
static int
receive(struct nsp_rtnl *rtnl, mnl_cb_t note, void *context)
{
    ssize_t n;

    n = mnl_socket_recvfrom(rtnl->sock, rtnl->answer, sizeof rtnl->answer);
    if (n < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    n = mnl_cb_run(rtnl->answer, (size_t)n, 0, 0, note, context);
    return n < 0 ? -errno : (int)n;
}

/* Reads the answer to 'message', all parts of it, and hands each to 'note'. */
static int
request_and_read(struct nsp_rtnl *rtnl, const struct nlmsghdr *message,
                 mnl_cb_t note, void *context)
{
    bool parts = (message->nlmsg_flags & NLM_F_DUMP) != 0;
    int r;

    if (mnl_socket_sendto(rtnl->sock, message, message->nlmsg_len) < 0)
        return -errno;

    /* A dump ends with a message that stops the callback's run. */
    do
        r = receive(rtnl, note, context);
    while (r == MNL_CB_OK && parts);
    return r < 0 ? r : 0;
}

/* Sends a request that asks for NLM_F_ACK and returns the kernel's answer. */
static int
request_finish(struct nsp_rtnl *rtnl, const struct nlmsghdr *message)
{
    return request_and_read(rtnl, message, NULL, NULL);
}

int
nsp_rtnl_add_veth(struct nsp_rtnl *rtnl, const char *name,
                  const char *peer_name, int peer_netns_fd, uint32_t mtu_bytes)
{
    struct nlmsghdr *message;
    struct nlattr *info, *data, *peer;

    message = request_begin_link(rtnl, RTM_NEWLINK,
                                 NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 0);
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    mnl_attr_put_u32(message, IFLA_MTU, mtu_bytes);

    info = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_strz(message, IFLA_INFO_KIND, "veth");
    data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
    peer = mnl_attr_nest_start(message, VETH_INFO_PEER);
    mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(message, IFLA_IFNAME, peer_name);
    mnl_attr_put_u32(message, IFLA_MTU, mtu_bytes);
    mnl_attr_put_u32(message, IFLA_NET_NS_FD, (uint32_t)peer_netns_fd);
    mnl_attr_nest_end(message, peer);
    mnl_attr_nest_end(message, data);
    mnl_attr_nest_end(message, info);
    return request_finish(rtnl, message);
}

static int
note_index(const struct nlmsghdr *message, void *context)
{
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
    int *ifindex = context;

    if (message->nlmsg_type == RTM_NEWLINK)
        *ifindex = link->ifi_index;
    return MNL_CB_OK;
}

/* The index of device 'name', asked over the handle's own socket: the thread
 * may be in another namespace than the handle by now. */
static int
find_link(struct nsp_rtnl *rtnl, const char *name, int *ret_ifindex)
{
    struct nlmsghdr *message = request_begin_link(rtnl, RTM_GETLINK, 0, 0);
    int ifindex = 0;
    int r;

    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    r = request_and_read(rtnl, message, note_index, &ifindex);
    if (r < 0)
        return r;
    if (ifindex == 0)
        return -ENODEV;
    *ret_ifindex = ifindex;
    return 0;
}

int
nsp_rtnl_set_up(struct nsp_rtnl *rtnl, const char *name)
{
    struct nlmsghdr *message;
    struct ifinfomsg *link;
    int ifindex;
    int r;

    r = find_link(rtnl, name, &ifindex);
    if (r < 0)
        return r;

    message = request_begin_link(rtnl, RTM_NEWLINK, NLM_F_ACK, ifindex);
    link = mnl_nlmsg_get_payload(message);
    link->ifi_flags = IFF_UP;
    link->ifi_change = IFF_UP;
    return request_finish(rtnl, message);
}

int
nsp_rtnl_set_mtu(struct nsp_rtnl *rtnl, const char *name, uint32_t mtu_bytes)
{
    struct nlmsghdr *message;
    int ifindex;
    int r;

    r = find_link(rtnl, name, &ifindex);
    if (r < 0)
        return r;

    message = request_begin_link(rtnl, RTM_NEWLINK, NLM_F_ACK, ifindex);
    mnl_attr_put_u32(message, IFLA_MTU, mtu_bytes);
    return request_finish(rtnl, message);
}

/* Sends 'message' after joining 'group', so that no change after the answer is
 * missed. */
static int
request_and_follow(struct nsp_rtnl *rtnl, const struct nlmsghdr *message,
                   int group)
{
    if (mnl_socket_setsockopt(rtnl->sock, NETLINK_ADD_MEMBERSHIP, &group,
                              sizeof group) < 0 ||
        mnl_socket_sendto(rtnl->sock, message, message->nlmsg_len) < 0)
        return -errno;
    return 0;
}

struct running_wait {
    int ifindex;
    bool running;
};

static int
note_running(const struct nlmsghdr *message, void *context)
{
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
    struct running_wait *wait = context;

    if (message->nlmsg_type == RTM_NEWLINK &&
        link->ifi_index == wait->ifindex && (link->ifi_flags & IFF_RUNNING))
        wait->running = true;
    return MNL_CB_OK;
}

int
nsp_rtnl_wait_running(struct nsp_rtnl *rtnl, const char *name)
{
    struct running_wait wait = { 0 };
    struct nlmsghdr *message;
    int r;

    r = find_link(rtnl, name, &wait.ifindex);
    if (r < 0)
        return r;

    message = request_begin_link(rtnl, RTM_GETLINK, 0, wait.ifindex);
    r = request_and_follow(rtnl, message, RTNLGRP_LINK);
    while (r >= 0 && !wait.running)
        r = receive(rtnl, note_running, &wait);
    return r < 0 ? r : 0;
}

struct address_wait {
    uint32_t seq;   /* Of the request. */
    bool tentative; /* The answer has an address not in service. */
    bool changed;   /* Some address has changed since the request. */
};

static int
note_tentative(const struct nlmsghdr *message, void *context)
{
    const struct ifaddrmsg *address = mnl_nlmsg_get_payload(message);
    struct address_wait *wait = context;

    if (message->nlmsg_type != RTM_NEWADDR)
        return MNL_CB_OK;
    if (message->nlmsg_seq != wait->seq)
        wait->changed = true;
    else if (address->ifa_flags & IFA_F_TENTATIVE)
        wait->tentative = true;
    return MNL_CB_OK;
}

int
nsp_rtnl_wait_addresses(struct nsp_rtnl *rtnl)
{
    struct address_wait wait = { .tentative = true };
    int r = 0;

    while (r >= 0 && wait.tentative) {
        struct nlmsghdr *message;
        struct ifaddrmsg *header;

        message = request_begin(rtnl, RTM_GETADDR, NLM_F_DUMP);
        header = mnl_nlmsg_put_extra_header(message, sizeof *header);
        header->ifa_family = AF_INET6;
        wait = (struct address_wait){ .seq = rtnl->seq };
        r = request_and_follow(rtnl, message, RTNLGRP_IPV6_IFADDR);

        /* A dump ends with a message that stops the callback's run. */
        if (r == 0)
            do
                r = receive(rtnl, note_tentative, &wait);
            while (r == MNL_CB_OK);
        while (r >= 0 && wait.tentative && !wait.changed)
            r = receive(rtnl, note_tentative, &wait);
    }
    return r < 0 ? r : 0;
}

static void
put_address(struct nlmsghdr *message, uint16_t type, int family,
            const void *address)
{
    mnl_attr_put(message, type,
                 family == AF_INET ? sizeof(struct in_addr)
                                   : sizeof(struct in6_addr),
                 address);
}

int
nsp_rtnl_add_address(struct nsp_rtnl *rtnl, const char *name, int family,
                     const char *text, uint8_t prefix_bits)
{
    uint8_t address[sizeof(struct in6_addr)];
    struct nlmsghdr *message;
    struct ifaddrmsg *header;
    int ifindex;
    int r;

    if (inet_pton(family, text, address) != 1)
        return -EINVAL;
    r = find_link(rtnl, name, &ifindex);
    if (r < 0)
        return r;

    message =
        request_begin(rtnl, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
    header = mnl_nlmsg_put_extra_header(message, sizeof *header);
    header->ifa_family = (uint8_t)family;
    header->ifa_prefixlen = prefix_bits;
    header->ifa_index = (uint32_t)ifindex;
    put_address(message, IFA_LOCAL, family, address);
    put_address(message, IFA_ADDRESS, family, address);
    return request_finish(rtnl, message);
}

static int
change_default_route(struct nsp_rtnl *rtnl, uint16_t type, uint16_t flags,
                     int family, const char *gateway)
{
    uint8_t address[sizeof(struct in6_addr)];
    struct nlmsghdr *message;
    struct rtmsg *route;

    if (inet_pton(family, gateway, address) != 1)
        return -EINVAL;

    message = request_begin(rtnl, type, NLM_F_ACK | flags);
    route = mnl_nlmsg_put_extra_header(message, sizeof *route);
    route->rtm_family = (uint8_t)family;
    route->rtm_table = RT_TABLE_MAIN;
    route->rtm_protocol = RTPROT_STATIC;
    route->rtm_scope = RT_SCOPE_UNIVERSE;
    route->rtm_type = RTN_UNICAST;
    put_address(message, RTA_GATEWAY, family, address);
    return request_finish(rtnl, message);
}

int
nsp_rtnl_add_default_route(struct nsp_rtnl *rtnl, int family,
                           const char *gateway)
{
    return change_default_route(rtnl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL,
                                family, gateway);
}

int
nsp_rtnl_del_default_route(struct nsp_rtnl *rtnl, int family,
                           const char *gateway)
{
    return change_default_route(rtnl, RTM_DELROUTE, 0, family, gateway);
}

static uint32_t
number_of(const struct nlattr *attribute)
{
    return mnl_attr_validate(attribute, MNL_TYPE_U32) == 0
               ? mnl_attr_get_u32(attribute)
               : 0;
}

static int
take_route(const struct nlattr *attribute, void *context)
{
    struct nsp_rtnl_route *route = context;

    if (mnl_attr_get_type(attribute) == RTA_OIF)
        route->ifindex = number_of(attribute);
    return MNL_CB_OK;
}

static int
note_route(const struct nlmsghdr *message, void *context)
{
    const struct rtmsg *header = mnl_nlmsg_get_payload(message);
    struct nsp_rtnl_route *route = context;

    if (message->nlmsg_type != RTM_NEWROUTE)
        return MNL_CB_OK;
    route->local = header->rtm_type == RTN_LOCAL;
    return mnl_attr_parse(message, sizeof *header, take_route, route);
}

int
nsp_rtnl_find_route(struct nsp_rtnl *rtnl, int family, const void *from,
                    const void *to, struct nsp_rtnl_route *ret)
{
    uint8_t bits = family == AF_INET ? 32 : 128;
    struct nsp_rtnl_route found = { 0 };
    struct nlmsghdr *message;
    struct rtmsg *route;
    int r;

    message = request_begin(rtnl, RTM_GETROUTE, 0);
    route = mnl_nlmsg_put_extra_header(message, sizeof *route);
    route->rtm_family = (uint8_t)family;
    route->rtm_src_len = bits;
    route->rtm_dst_len = bits;
    put_address(message, RTA_SRC, family, from);
    put_address(message, RTA_DST, family, to);
    r = request_and_read(rtnl, message, note_route, &found);
    if (r == 0)
        *ret = found;
    return r;
}

struct link_reading {
    nsp_rtnl_link_fn *tell;
    void *context;
    struct nsp_rtnl_link link;
    bool elsewhere; /* The lower one is in another namespace. */
};

static int
take_link(const struct nlattr *attribute, void *context)
{
    struct link_reading *reading = context;

    switch (mnl_attr_get_type(attribute)) {
    case IFLA_LINK:
        reading->link.lower_ifindex = number_of(attribute);
        break;
    case IFLA_LINK_NETNSID:
        reading->elsewhere = true;
        break;
    case IFLA_MASTER:
        reading->link.master_ifindex = number_of(attribute);
        break;
    default:
        break;
    }
    return MNL_CB_OK;
}

static int
note_link(const struct nlmsghdr *message, void *context)
{
    const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
    struct link_reading *reading = context;

    if (message->nlmsg_type != RTM_NEWLINK)
        return MNL_CB_OK;
    reading->link =
        (struct nsp_rtnl_link){ .ifindex = (uint32_t)header->ifi_index };
    reading->elsewhere = false;
    if (mnl_attr_parse(message, sizeof *header, take_link, reading) < 0)
        return MNL_CB_ERROR;
    if (reading->elsewhere)
        reading->link.lower_ifindex = 0;
    reading->tell(reading->context, &reading->link);
    return MNL_CB_OK;
}

int
nsp_rtnl_read_links(struct nsp_rtnl *rtnl, nsp_rtnl_link_fn *tell,
                    void *context)
{
    struct link_reading reading = { .tell = tell, .context = context };

    return request_and_read(
        rtnl, request_begin_link(rtnl, RTM_GETLINK, NLM_F_DUMP, 0), note_link,
        &reading);
}
