#define _GNU_SOURCE
#include "io/tap/tap_link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "os/linux/interface.h"
#include "os/linux/route_netlink.h"

/* Linux 6.2; the C library's headers lack them. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define TAP_FLAGS    (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE)
#define NAME_PATTERN "nsp%d"

/* --- Our own -------------------------------------------------------------- */

static int
open_queue(struct nsp_tap_link *link, uint32_t index)
{
    struct ifreq ifr;
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    link->fds[index] = fd;
    nsp_ifreq_init(&ifr, index == 0 ? NAME_PATTERN : link->name);
    ifr.ifr_flags = (short)TAP_FLAGS;
    if (ioctl(fd, TUNSETIFF, &ifr) < 0)
        return -errno;
    if (index == 0)
        memcpy(link->name, ifr.ifr_name, sizeof link->name);
    return 0;
}

/* Without the flags of a kind, the kernel splits superpackets of that kind on
 * their way here. */
int
nsp_tap_link_set_superpackets(struct nsp_tap_link *link, bool superpackets)
{
    unsigned long partial = TUN_F_CSUM;
    unsigned long tcp = partial | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    int fd = link->fds[0];

    link->udp_superpackets = false;
    if (!superpackets)
        return ioctl(fd, TUNSETOFFLOAD, partial) < 0 ? -errno : 0;
    if (ioctl(fd, TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6) == 0) {
        link->udp_superpackets = true;
        return 0;
    }
    return ioctl(fd, TUNSETOFFLOAD, tcp) < 0 ? -errno : 0;
}

/* Else the TAP would look for neighbours. A kernel without IPv6 has no file,
 * and what comes untagged is ignored anyway. */
static void
turn_off_ipv6(const struct nsp_tap_link *link)
{
    char path[64 + IF_NAMESIZE];
    int fd;

    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6",
             link->name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!write(fd, "1", 1);
    close(fd);
}

static int
bring_up(struct nsp_tap_link *link, uint32_t queue_pkts,
         const char **reterr_step)
{
    struct ifreq ifr;
    int err;

    *reterr_step = "cannot set the length of the TAP's queues";
    nsp_ifreq_init(&ifr, link->name);
    ifr.ifr_qlen = (int)queue_pkts;
    err = nsp_ifreq_ask(SIOCSIFTXQLEN, &ifr);
    if (err < 0)
        return err;
    turn_off_ipv6(link);

    *reterr_step = "cannot bring the TAP up";
    nsp_ifreq_init(&ifr, link->name);
    ifr.ifr_flags = IFF_UP | IFF_NOARP;
    err = nsp_ifreq_ask(SIOCSIFFLAGS, &ifr);
    if (err < 0)
        return err;
    link->ifindex = if_nametoindex(link->name);
    return link->ifindex == 0 ? -ENODEV : 0;
}

int
nsp_tap_link_open(struct nsp_tap_link *link,
                  const struct nsp_tap_link_config *cfg,
                  const char **reterr_step)
{
    int err;

    *link = (struct nsp_tap_link){ .queues = cfg->queues };
    for (uint32_t i = 0; i < NSP_IO_QUEUES_MAX; i++)
        link->fds[i] = -1;
    *reterr_step = "cannot make a TAP";
    for (uint32_t i = 0; i < cfg->queues; i++) {
        err = open_queue(link, i);
        if (err < 0)
            return err;
    }
    *reterr_step = "cannot set the TAP's offloads";
    err = nsp_tap_link_set_superpackets(link, cfg->superpackets);
    if (err < 0)
        return err;
    return bring_up(link, cfg->queue_pkts, reterr_step);
}

void
nsp_tap_link_close(struct nsp_tap_link *link)
{
    for (uint32_t i = 0; i < link->queues; i++) {
        if (link->fds[i] >= 0)
            close(link->fds[i]);
        link->fds[i] = -1;
    }
}

bool
nsp_tap_link_is_ours(const char *name)
{
    return strncmp(name, "nsp", 3) == 0 && name[3] >= '0' && name[3] <= '9';
}

/* --- The machine's -------------------------------------------------------- */

/* What netlink says of a link. */
struct link_attributes {
    const char *name;
    bool has_master;
};

static int
take_attribute(const struct nlattr *attribute, void *opaque)
{
    struct link_attributes *found = opaque;

    switch (mnl_attr_get_type(attribute)) {
    case IFLA_IFNAME:
        if (mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0)
            found->name = mnl_attr_get_str(attribute);
        break;
    case IFLA_MASTER:
        found->has_master = true;
        break;
    default:
        break;
    }
    return MNL_CB_OK;
}

struct search {
    const char *name; /* NULL: every one that a host's packets pass once. */
    struct nsp_tap_interface *found;
    uint32_t count, max;
    bool without_ethernet; /* One called 'name' is there, but ... */
};

static bool
is_wanted(const struct search *search, const struct ifinfomsg *info,
          const struct link_attributes *link)
{
    if (search->name)
        return strcmp(search->name, link->name) == 0;
    return (info->ifi_flags & IFF_UP) != 0 && !link->has_master &&
           !nsp_tap_link_is_ours(link->name);
}

static int
take_link(const struct nlmsghdr *message, void *opaque)
{
    const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
    struct link_attributes link = { 0 };
    struct search *search = opaque;

    mnl_attr_parse(message, sizeof *info, take_attribute, &link);
    if (!link.name || search->count >= search->max ||
        !is_wanted(search, info, &link))
        return MNL_CB_OK;
    if (info->ifi_type != ARPHRD_ETHER && info->ifi_type != ARPHRD_LOOPBACK) {
        search->without_ethernet = true;
        return MNL_CB_OK;
    }
    search->found[search->count] = (struct nsp_tap_interface){
        .ifindex = (uint32_t)info->ifi_index,
        .loopback = info->ifi_type == ARPHRD_LOOPBACK,
    };
    snprintf(search->found[search->count].name, IF_NAMESIZE, "%s", link.name);
    search->count++;
    return MNL_CB_OK;
}

static int
look_up(struct search *search)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[128];
    struct nlmsghdr *message = mnl_nlmsg_put_header(bytes);

    message->nlmsg_type = RTM_GETLINK;
    message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
    return nsp_rtnetlink_ask(message, take_link, search);
}

int
nsp_tap_interface_find(const char *name, struct nsp_tap_interface *ret)
{
    struct nsp_tap_interface found;
    struct search search = { .name = name, .found = &found, .max = 1 };
    int err = look_up(&search);

    if (err < 0)
        return err;
    if (search.count == 0)
        return search.without_ethernet ? -EOPNOTSUPP : -ENODEV;
    *ret = found;
    return 0;
}

int
nsp_tap_interface_list(struct nsp_tap_interface ret[], uint32_t max)
{
    struct search search = { .found = ret, .max = max };
    int err = look_up(&search);

    return err < 0 ? err : (int)search.count;
}
