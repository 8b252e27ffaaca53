#define _GNU_SOURCE
#include "lab/lab.h"

#include "lab/netns.h"
#include "lab/rtnl.h"
#include "lab/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MTU_BYTES 1500

struct nsp_lab {
    int netns_fds[NSP_LAB_HOSTS]; /* -1 where there is none yet. */
    bool ipv6;                    /* The kernel has it. */
};

/* One wire: a device of the router and NSP_LAB_DEVICE of the host behind it. */
struct wire {
    enum nsp_lab_host host;
    const char *router_device;
    const char *router_ipv4, *router_ipv6;
    const char *host_ipv4, *host_ipv6;
};

static const struct wire wires[] = {
    { NSP_LAB_CLIENT, "client0", "10.77.1.1", "fd77:1::1", "10.77.1.2",
      "fd77:1::2" },
    { NSP_LAB_SERVER, "server0", "10.77.2.1", "fd77:2::1", "10.77.2.2",
      "fd77:2::2" },
};
#define WIRES (sizeof wires / sizeof wires[0])

const char *
nsp_lab_address(enum nsp_lab_host host, int family)
{
    const struct wire *wire = &wires[host == NSP_LAB_SERVER ? 1 : 0];

    if (host == NSP_LAB_ROUTER)
        return family == AF_INET ? wire->router_ipv4 : wire->router_ipv6;
    return family == AF_INET ? wire->host_ipv4 : wire->host_ipv6;
}

int
nsp_lab_enter(const struct nsp_lab *lab, enum nsp_lab_host host)
{
    return setns(lab->netns_fds[host], CLONE_NEWNET) < 0 ? -errno : 0;
}

static int
open_current_netns(void)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

int
nsp_lab_socket(const struct nsp_lab *lab, enum nsp_lab_host host, int family,
               int type)
{
    int here = open_current_netns();
    int fd, r;

    if (here < 0)
        return here;
    r = nsp_lab_enter(lab, host);
    if (r == 0) {
        fd = socket(family, type | SOCK_CLOEXEC, 0);
        r = fd < 0 ? -errno : fd;
        if (setns(here, CLONE_NEWNET) < 0 && fd >= 0) {
            r = -errno;
            close(fd);
        }
    }
    close(here);
    return r;
}

/* Moves the thread into a new namespace and keeps it in '*ret_fd'. */
static int
make_host(int *ret_fd)
{
    int fd;

    if (unshare(CLONE_NEWNET) < 0)
        return -errno;
    fd = open_current_netns();
    if (fd < 0)
        return fd;
    *ret_fd = fd;
    return 0;
}

/* What every host has of its own. */
static int
set_up_host(const struct nsp_lab *lab, enum nsp_lab_host host)
{
    int r = nsp_lab_enter(lab, host);

    return r < 0 ? r : nsp_netns_set_up(lab->ipv6);
}

static int
add_addresses(struct nsp_rtnl *rtnl, const char *device, const char *ipv4,
              const char *ipv6)
{
    int r;

    r = nsp_rtnl_set_up(rtnl, device);
    if (r == 0)
        r = nsp_rtnl_add_address(rtnl, device, AF_INET, ipv4, 24);
    if (r == 0 && ipv6)
        r = nsp_rtnl_add_address(rtnl, device, AF_INET6, ipv6, 64);
    return r;
}

/* The router: forwards, and holds one end of every wire. */
static int
set_up_router(const struct nsp_lab *lab)
{
    struct nsp_rtnl *rtnl = NULL;
    int r;

    r = nsp_lab_enter(lab, NSP_LAB_ROUTER);
    if (r == 0)
        r = nsp_rtnl_open(&rtnl);
    if (r == 0)
        r = nsp_netns_set("/proc/sys/net/ipv4/ip_forward", "1");
    if (r == 0 && lab->ipv6)
        r = nsp_netns_set("/proc/sys/net/ipv6/conf/all/forwarding", "1");
    for (size_t i = 0; r == 0 && i < WIRES; i++) {
        const struct wire *wire = &wires[i];

        r = nsp_rtnl_add_veth(rtnl, wire->router_device, NSP_LAB_DEVICE,
                              lab->netns_fds[wire->host], MTU_BYTES);
        if (r == 0)
            r = add_addresses(rtnl, wire->router_device, wire->router_ipv4,
                              lab->ipv6 ? wire->router_ipv6 : NULL);
    }
    nsp_rtnl_close(rtnl);
    return r;
}

static int
set_up_end_host(const struct nsp_lab *lab, const struct wire *wire)
{
    struct nsp_rtnl *rtnl = NULL;
    int r;

    r = nsp_lab_enter(lab, wire->host);
    if (r == 0)
        r = nsp_rtnl_open(&rtnl);
    if (r == 0)
        r = add_addresses(rtnl, NSP_LAB_DEVICE, wire->host_ipv4,
                          lab->ipv6 ? wire->host_ipv6 : NULL);
    if (r == 0)
        r = nsp_rtnl_add_default_route(rtnl, AF_INET, wire->router_ipv4);
    if (r == 0 && lab->ipv6)
        r = nsp_rtnl_add_default_route(rtnl, AF_INET6, wire->router_ipv6);
    nsp_rtnl_close(rtnl);
    return r;
}

/* Waits until the device 'name' of 'host' and its addresses are in service. The
 * kernel sees to that in the background, and until then drops packets. */
static int
wait_for(const struct nsp_lab *lab, enum nsp_lab_host host, const char *name)
{
    struct nsp_rtnl *rtnl = NULL;
    int r;

    r = nsp_lab_enter(lab, host);
    if (r == 0)
        r = nsp_rtnl_open(&rtnl);
    if (r == 0)
        r = nsp_rtnl_wait_running(rtnl, name);
    if (r == 0 && lab->ipv6)
        r = nsp_rtnl_wait_addresses(rtnl);
    nsp_rtnl_close(rtnl);
    return r;
}

static int
build(const struct nsp_lab *lab)
{
    int r = 0;

    for (int host = 0; r == 0 && host < NSP_LAB_HOSTS; host++)
        r = set_up_host(lab, (enum nsp_lab_host)host);
    if (r == 0)
        r = set_up_router(lab);
    for (size_t i = 0; r == 0 && i < WIRES; i++)
        r = set_up_end_host(lab, &wires[i]);
    for (size_t i = 0; r == 0 && i < WIRES; i++)
        r = wait_for(lab, wires[i].host, NSP_LAB_DEVICE);
    for (size_t i = 0; r == 0 && i < WIRES; i++)
        r = wait_for(lab, NSP_LAB_ROUTER, wires[i].router_device);
    return r;
}

/* Makes the namespaces; without the right to, in a user namespace. */
static int
make_hosts(struct nsp_lab *lab, struct nsp_diag *reterr)
{
    int r = make_host(&lab->netns_fds[0]);

    if (r == -EPERM) {
        r = nsp_userns_enter(0, 0, reterr);
        if (r < 0)
            return r;
        r = make_host(&lab->netns_fds[0]);
    }
    for (int i = 1; r == 0 && i < NSP_LAB_HOSTS; i++)
        r = make_host(&lab->netns_fds[i]);
    return r < 0 ? nsp_userns_explain(reterr, "network namespace", -r) : NSP_OK;
}

static int
set_up(const struct nsp_lab *lab, struct nsp_diag *reterr)
{
    int r = build(lab);

    return r == 0 ? NSP_OK : nsp_netns_explain(reterr, r);
}

int
nsp_lab_open(struct nsp_lab **ret, struct nsp_diag *reterr)
{
    struct nsp_lab *lab;
    int r;

    lab = calloc(1, sizeof *lab);
    if (!lab)
        return NSP_NO_MEMORY;
    for (int i = 0; i < NSP_LAB_HOSTS; i++)
        lab->netns_fds[i] = -1;
    lab->ipv6 = nsp_netns_has_ipv6();

    r = make_hosts(lab, reterr);
    if (r == NSP_OK)
        r = set_up(lab, reterr);
    if (r < 0) {
        nsp_lab_close(lab);
        return r;
    }

    *ret = lab;
    return NSP_OK;
}

const char *
nsp_lab_router_device(enum nsp_lab_host host)
{
    return wires[host == NSP_LAB_SERVER ? 1 : 0].router_device;
}

int
nsp_lab_gateway_mac(const struct nsp_lab *lab, enum nsp_lab_host host,
                    uint8_t ret[6])
{
    const struct wire *wire = &wires[host == NSP_LAB_SERVER ? 1 : 0];
    int fd = nsp_lab_socket(lab, NSP_LAB_ROUTER, AF_INET, SOCK_DGRAM), r;
    struct ifreq request;

    if (fd < 0)
        return fd;
    memset(&request, 0, sizeof request);
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s",
             wire->router_device);
    r = ioctl(fd, SIOCGIFHWADDR, &request) < 0 ? -errno : 0;
    if (r == 0)
        memcpy(ret, request.ifr_hwaddr.sa_data, 6);
    close(fd);
    return r;
}

static int
del_default_routes(const struct nsp_lab *lab, const struct wire *wire)
{
    struct nsp_rtnl *rtnl = NULL;
    int r = nsp_rtnl_open(&rtnl);

    if (r == 0)
        r = nsp_rtnl_del_default_route(rtnl, AF_INET, wire->router_ipv4);
    if (r == 0 && lab->ipv6)
        r = nsp_rtnl_del_default_route(rtnl, AF_INET6, wire->router_ipv6);
    nsp_rtnl_close(rtnl);
    return r;
}

int
nsp_lab_mute_server(const struct nsp_lab *lab)
{
    int r = nsp_lab_enter(lab, NSP_LAB_SERVER), back;

    if (r == 0)
        r = del_default_routes(lab, &wires[1]);
    back = nsp_lab_enter(lab, NSP_LAB_ROUTER);
    return r < 0 ? r : back;
}

struct nsp_lab *
nsp_lab_close(struct nsp_lab *lab)
{
    if (!lab)
        return NULL;
    for (int i = 0; i < NSP_LAB_HOSTS; i++)
        if (lab->netns_fds[i] >= 0)
            close(lab->netns_fds[i]);
    free(lab);
    return NULL;
}
