#define _GNU_SOURCE
#include "io/bridge/bridge_port.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "io/bridge/bridge_program.h"
#include "os/linux/beats.h"
#include "os/linux/bpf_call.h"
#include "os/linux/interface.h"
#include "os/linux/route_netlink.h"
#include "os/linux/tap_link.h"

#define BUSY_TRIES    100u
#define BUSY_WAIT_NS  20000000L
#define REQUEST_BYTES 256u
#define NO_PROGRAM    (-1)

/* --- Looking -------------------------------------------------------------- */

static int
ask_ethtool(const char *name, void *command)
{
    struct ifreq ifr;

    nsp_ifreq_init(&ifr, name);
    ifr.ifr_data = command;
    return nsp_ifreq_ask(SIOCETHTOOL, &ifr);
}

bool
nsp_bridge_wait_while_busy(int err, uint32_t tries)
{
    const struct timespec pause = { .tv_nsec = BUSY_WAIT_NS };

    if (err != -EBUSY || tries >= BUSY_TRIES)
        return false;
    (void)nanosleep(&pause, NULL);
    return true;
}

uint32_t
nsp_bridge_port_count_queues(const struct nsp_bridge_port *port)
{
    struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };

    /* A driver that cannot tell has one. */
    if (ask_ethtool(port->name, &channels) < 0)
        return 1;
    return nsp_max_u32(1, channels.rx_count + channels.combined_count);
}

void
nsp_bridge_port_name_sink(const struct nsp_bridge_port *port,
                          char ret[IF_NAMESIZE])
{
    snprintf(ret, IF_NAMESIZE, NSP_TAP_LINK_PREFIX "b%u", port->ifindex);
}

int
nsp_bridge_port_find(struct nsp_bridge_port *port, const char *name)
{
    char sink[IF_NAMESIZE];
    struct nsp_link_news link;
    int err = nsp_link_find(name, &link);

    if (err < 0)
        return err;
    if (link.type == ARPHRD_LOOPBACK)
        return -ELOOP;
    if (link.type != ARPHRD_ETHER)
        return -EOPNOTSUPP;
    if (link.has_master)
        return -EMLINK;
    if (link.xdp_prog_id != 0 &&
        !nsp_bpf_program_is(link.xdp_prog_id, NSP_BRIDGE_PROGRAM_PREFIX))
        return -EEXIST;
    snprintf(port->name, sizeof port->name, "%s", name);
    port->ifindex = link.ifindex;
    nsp_bridge_port_name_sink(port, sink);
    if (if_nametoindex(sink) != 0)
        return -EBUSY;
    port->taken_over =
        link.xdp_prog_id != 0 || nsp_tc_hook_is_left(link.ifindex, true);
    port->has_xdp = link.xdp_prog_id != 0;
    port->queues_told = nsp_bridge_port_count_queues(port);
    atomic_store(&port->queues, port->queues_told);
    atomic_store(&port->mtu, link.mtu);
    atomic_store(&port->up, link.up);
    return 0;
}

int
nsp_bridge_port_find_left(struct nsp_bridge_port *ret,
                          const struct nsp_link_news *link,
                          const struct nsp_bridge_port ports[2])
{
    struct nsp_bridge_port port = {
        .ifindex = link->ifindex,
        .promiscuous_by_us = true,
        .xdp_fd = NO_PROGRAM,
        .tc_fd = NO_PROGRAM,
    };
    char sink[IF_NAMESIZE];

    if (link->ifindex == ports[0].ifindex || link->ifindex == ports[1].ifindex)
        return -ENOENT; /* They are taken over themselves. */
    if (!nsp_tc_hook_find_joined(&port.tc, link->ifindex) ||
        (port.tc.peer_ifindex != ports[0].ifindex &&
         port.tc.peer_ifindex != ports[1].ifindex))
        return -ENOENT;
    nsp_bridge_port_name_sink(&port, sink);
    port.has_xdp =
        link->xdp_prog_id != 0 &&
        nsp_bpf_program_is(link->xdp_prog_id, NSP_BRIDGE_PROGRAM_PREFIX);
    if (if_nametoindex(sink) != 0 ||
        (port.has_xdp && nsp_beats_program_lives(link->xdp_prog_id)))
        return -EBUSY;
    if (port.has_xdp)
        port.offloads_off = ETH_FLAG_RXVLAN;
    snprintf(port.name, sizeof port.name, "%s", link->name);
    *ret = port;
    return 0;
}

/* --- Changing ------------------------------------------------------------- */

static int
set_promiscuous(const struct nsp_bridge_port *port, bool on, bool *ret_changed)
{
    struct ifreq ifr;
    int err;

    nsp_ifreq_init(&ifr, port->name);
    err = nsp_ifreq_ask(SIOCGIFFLAGS, &ifr);
    if (err < 0)
        return err;
    *ret_changed = ((ifr.ifr_flags & IFF_PROMISC) != 0) != on;
    if (!*ret_changed)
        return 0;
    ifr.ifr_flags ^= IFF_PROMISC;
    return nsp_ifreq_ask(SIOCSIFFLAGS, &ifr);
}

/* Takes away, or gives back, what would change frames before they come: tags
 * kept beside them, and several merged to one. Drivers that have none of it, or
 * none to be changed, do not matter. */
static uint32_t
set_offloads(const struct nsp_bridge_port *port, uint32_t flags, bool on)
{
    struct ethtool_value value = { .cmd = ETHTOOL_GFLAGS };
    uint32_t changed;

    if (ask_ethtool(port->name, &value) < 0)
        return 0;
    changed = on ? flags & ~value.data : flags & value.data;
    value.cmd = ETHTOOL_SFLAGS;
    value.data ^= changed;
    return changed != 0 && ask_ethtool(port->name, &value) == 0 ? changed : 0;
}

int
nsp_bridge_port_prepare(struct nsp_bridge_port *port, bool in_driver)
{
    int err = set_promiscuous(port, true, &port->promiscuous_by_us);

    if (err < 0)
        return err;
    if (in_driver)
        port->offloads_off =
            set_offloads(port, ETH_FLAG_LRO | ETH_FLAG_RXVLAN, false);
    /* One that was killed cannot say what it found. */
    if (port->taken_over) {
        port->promiscuous_by_us = true;
        if (port->has_xdp)
            port->offloads_off = ETH_FLAG_RXVLAN;
    }
    return 0;
}

/* Sets the XDP program to 'fd', or none, if 'condition' (XDP_FLAGS_*) holds;
 * 'expected_fd' belongs to XDP_FLAGS_REPLACE. */
static int
set_xdp(const struct nsp_bridge_port *port, int fd, uint32_t condition,
        int expected_fd)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[REQUEST_BYTES];
    struct nlmsghdr *message = mnl_nlmsg_put_header(bytes);
    struct ifinfomsg *info;
    struct nlattr *nest;

    message->nlmsg_type = RTM_SETLINK;
    message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    info = mnl_nlmsg_put_extra_header(message, sizeof *info);
    info->ifi_index = (int)port->ifindex;
    nest = mnl_attr_nest_start(message, IFLA_XDP);
    mnl_attr_put_u32(message, IFLA_XDP_FD, (uint32_t)fd);
    mnl_attr_put_u32(message, IFLA_XDP_FLAGS, XDP_FLAGS_DRV_MODE | condition);
    if (condition == XDP_FLAGS_REPLACE)
        mnl_attr_put_u32(message, IFLA_XDP_EXPECTED_FD, (uint32_t)expected_fd);
    mnl_attr_nest_end(message, nest);
    return nsp_rtnetlink_ask(message, NULL, NULL);
}

bool
nsp_bridge_port_owns(const struct nsp_bridge_port *port, uint32_t xdp_id)
{
    return xdp_id != 0 && (xdp_id == atomic_load(&port->xdp_ids[0]) ||
                           xdp_id == atomic_load(&port->xdp_ids[1]));
}

/* Sets 'xdp_fd' under 'condition'. Keeps a descriptor of it, to be put back
 * where somebody has taken ours off, also where that has happened already. */
static int
install_xdp(struct nsp_bridge_port *port, int xdp_fd, uint32_t condition)
{
    uint32_t id, newer = port->xdp_newer ^ 1u;
    int own_fd, err = nsp_bpf_program_id(xdp_fd, &id);

    if (err < 0)
        return err;
    own_fd = fcntl(xdp_fd, F_DUPFD_CLOEXEC, 0);
    if (own_fd < 0)
        return -errno;
    atomic_store(&port->xdp_ids[newer], id); /* Before there is news of it. */
    err = set_xdp(port, xdp_fd, condition, port->xdp_fd);
    if (err < 0 && condition != XDP_FLAGS_REPLACE) {
        close(own_fd);
        return err;
    }
    if (port->xdp_fd >= 0)
        close(port->xdp_fd);
    port->xdp_fd = own_fd;
    port->xdp_newer = newer;
    return err;
}

int
nsp_bridge_port_attach_xdp(struct nsp_bridge_port *port, int xdp_fd)
{
    return install_xdp(port, xdp_fd,
                       port->has_xdp ? 0 : XDP_FLAGS_UPDATE_IF_NOEXIST);
}

bool
nsp_bridge_port_lacks_xdp(struct nsp_bridge_port *port)
{
    static const struct nsp_ebpf_insn pass[] = {
        { .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_PASS },
        { .code = BPF_JMP | BPF_EXIT },
    };
    int fd, err;

    if (port->has_xdp)
        return false;
    fd = nsp_bpf_xdp_load(NSP_BRIDGE_PROGRAM_PREFIX "_try", pass,
                          NSP_ARRAY_LEN(pass), false, NULL, 0);
    if (fd < 0)
        return false;
    err = set_xdp(port, fd, XDP_FLAGS_UPDATE_IF_NOEXIST, NO_PROGRAM);
    if (err == 0)
        (void)!set_xdp(port, NO_PROGRAM, XDP_FLAGS_REPLACE, fd);
    close(fd);
    return err == -EOPNOTSUPP;
}

/* An error means that there is none by now. */
void
nsp_bridge_port_clear_xdp(struct nsp_bridge_port *port)
{
    if (port->has_xdp)
        (void)!set_xdp(port, NO_PROGRAM, 0, NO_PROGRAM);
    port->has_xdp = false;
}

int
nsp_bridge_port_replace_xdp(struct nsp_bridge_port *port, int xdp_fd)
{
    return install_xdp(port, xdp_fd, XDP_FLAGS_REPLACE);
}

int
nsp_bridge_port_put_back_xdp(struct nsp_bridge_port *port)
{
    return set_xdp(port, port->xdp_fd, XDP_FLAGS_UPDATE_IF_NOEXIST, NO_PROGRAM);
}

/* Keeps a descriptor of the program, in the place of another. */
static int
keep_tc(struct nsp_bridge_port *port, int tc_fd)
{
    int own_fd = fcntl(tc_fd, F_DUPFD_CLOEXEC, 0);

    if (own_fd < 0)
        return -errno;
    if (port->tc_fd >= 0)
        close(port->tc_fd);
    port->tc_fd = own_fd;
    return 0;
}

int
nsp_bridge_port_attach_tc(struct nsp_bridge_port *port, int tc_fd,
                          uint32_t peer_ifindex)
{
    int err = keep_tc(port, tc_fd);

    if (err == 0)
        err = nsp_tc_hook_join(&port->tc, tc_fd, port->ifindex, peer_ifindex);
    if (err == 0)
        nsp_tc_hook_clear_left(port->ifindex);
    return err;
}

int
nsp_bridge_port_replace_tc(struct nsp_bridge_port *port, int tc_fd)
{
    int err = keep_tc(port, tc_fd);

    return err < 0 ? err : nsp_tc_hook_replace(&port->tc, tc_fd);
}

/* The queueing discipline is ours as it was. */
int
nsp_bridge_port_put_back_tc(struct nsp_bridge_port *port)
{
    bool made_qdisc = port->tc.made_qdisc;
    int err = nsp_tc_hook_join(&port->tc, port->tc_fd, port->ifindex,
                               port->tc.peer_ifindex);

    port->tc.made_qdisc |= made_qdisc;
    return err;
}

/* Errors mean that the interface has gone, or the program is another's. */
void
nsp_bridge_port_detach(struct nsp_bridge_port *port)
{
    nsp_tc_hook_detach(&port->tc); /* Nothing may slip through. */
    if (port->xdp_fd >= 0) {
        (void)!set_xdp(port, NO_PROGRAM, XDP_FLAGS_REPLACE, port->xdp_fd);
        close(port->xdp_fd);
    }
    if (port->tc_fd >= 0)
        close(port->tc_fd);
    port->xdp_fd = port->tc_fd = NO_PROGRAM;
}

void
nsp_bridge_port_close(struct nsp_bridge_port *port)
{
    bool changed;

    nsp_bridge_port_detach(port);
    if (port->promiscuous_by_us)
        (void)!set_promiscuous(port, false, &changed);
    if (port->offloads_off != 0)
        (void)set_offloads(port, port->offloads_off, true);
    port->promiscuous_by_us = false;
    port->offloads_off = 0;
    port->ifindex = 0;
}
