#define _DEFAULT_SOURCE
#include "cli/interfaces.h"

#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Read when first asked for: few filters ask. */
struct interfaces {
    struct if_nameindex *list;
    uint32_t count;
};

static struct interfaces interfaces;

static const char *
get(void *context, uint32_t i, uint32_t *ret_ifindex)
{
    struct interfaces *all = context;

    if (!all->list) {
        all->list = if_nameindex();
        for (all->count = 0; all->list && all->list[all->count].if_index != 0;)
            all->count++;
    }
    if (i >= all->count)
        return NULL;
    *ret_ifindex = all->list[i].if_index;
    return all->list[i].if_name;
}

const struct nsp_filter_interfaces nsp_cli_interfaces = {
    .get = get,
    .context = &interfaces,
};

enum nsp_link
nsp_cli_interface_link(const char *name)
{
    struct ifreq request = { .ifr_ifindex = 0 };
    enum nsp_link link = NSP_LINK_RAW;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return link;
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (ioctl(fd, SIOCGIFHWADDR, &request) == 0 &&
        (request.ifr_hwaddr.sa_family == ARPHRD_ETHER ||
         request.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK))
        link = NSP_LINK_ETHERNET;
    close(fd);
    return link;
}

bool
nsp_cli_is_address(const struct sockaddr *found, const struct in6_addr *address)
{
    const struct sockaddr_in6 *six = (const void *)found;
    const struct sockaddr_in *four = (const void *)found;

    if (!found)
        return false;
    if (found->sa_family == AF_INET6)
        return memcmp(&six->sin6_addr, address, sizeof *address) == 0;
    return found->sa_family == AF_INET && IN6_IS_ADDR_V4MAPPED(address) &&
           memcmp(&four->sin_addr, address->s6_addr + 12, 4) == 0;
}

void
nsp_cli_interfaces_fini(void)
{
    if (interfaces.list)
        if_freenameindex(interfaces.list);
    interfaces.list = NULL;
    interfaces.count = 0;
}
