#define _GNU_SOURCE
#include "os/linux/tap_link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "os/linux/interface.h"

/* Linux 6.2; the C library's headers lack them. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define TAP_FLAGS    (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
#define NAME_PATTERN NSP_TAP_LINK_PREFIX "%d"

/* With one queue at most the kernel lets nobody join. */
static int
open_queue(struct nsp_tap_link *link, uint32_t index, const char *name)
{
    struct ifreq ifr;
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    link->fds[index] = fd;
    nsp_ifreq_init(&ifr, index > 0 ? link->name : name ? name : NAME_PATTERN);
    ifr.ifr_flags = (short)(name ? TAP_FLAGS : TAP_FLAGS | IFF_MULTI_QUEUE);
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
        err = open_queue(link, i, cfg->name);
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

int
nsp_tap_link_check_up(const struct nsp_tap_link *link)
{
    struct ifreq ifr = { 0 };
    int err;

    /* Its name of now. */
    if (ioctl(link->fds[0], TUNGETIFF, &ifr) < 0)
        return errno == EBADFD ? -ENODEV : -errno;
    err = nsp_ifreq_ask(SIOCGIFFLAGS, &ifr);
    if (err < 0)
        return err;
    return ifr.ifr_flags & IFF_UP ? 0 : -ENETDOWN;
}

int
nsp_tap_link_sink(const struct nsp_tap_link *link)
{
    struct sock_filter nothing = { .code = BPF_RET | BPF_K };
    const struct sock_fprog program = { .len = 1, .filter = &nothing };

    return ioctl(link->fds[0], TUNATTACHFILTER, &program) < 0 ? -errno : 0;
}

bool
nsp_tap_link_is_ours(const char *name)
{
    const size_t prefix = strlen(NSP_TAP_LINK_PREFIX);
    const char *rest = name + prefix;

    if (strncmp(name, NSP_TAP_LINK_PREFIX, prefix) != 0)
        return false;
    return (rest[0] >= '0' && rest[0] <= '9') ||
           (rest[0] >= 'a' && rest[0] <= 'z' && rest[1] >= '0' &&
            rest[1] <= '9');
}
