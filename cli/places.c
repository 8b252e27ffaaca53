#define _DEFAULT_SOURCE
#include "cli/places.h"

#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

const char *
nsp_hook_name(uint32_t hook)
{
    switch (hook) {
    case NSP_HOOK_INPUT:
        return "input";
    case NSP_HOOK_OUTPUT:
        return "output";
    default:
        return "forward";
    }
}

const char *
nsp_places_device(const struct nsp_places *places, uint32_t hook)
{
    for (uint32_t i = 0; i < places->count; i++)
        if (places->list[i].hook == hook)
            return places->list[i].device;
    return NULL;
}

const char *
nsp_places_write(const struct nsp_places *places, char *ret, size_t bytes)
{
    size_t used = 0;

    ret[0] = '\0';
    for (uint32_t i = 0; i < places->count && used < bytes; i++)
        used += (size_t)snprintf(
            ret + used, bytes - used, "%s%s by %s", i > 0 ? ", " : "",
            nsp_hook_name(places->list[i].hook), places->list[i].device);
    return ret;
}

void
nsp_places_json(const struct nsp_places *places, struct nsp_json *json)
{
    nsp_json_begin_object(json, "devices");
    for (uint32_t i = 0; i < places->count; i++)
        nsp_json_string(json, nsp_hook_name(places->list[i].hook),
                        places->list[i].device);
    nsp_json_end(json);
}

/* --- What is not taken ---------------------------------------------------- */

/* Whether interface 'name' is up and its packets have no Ethernet header. */
static bool
lacks_ethernet(int fd, const char *name)
{
    struct ifreq ifr = { .ifr_name = "" };

    snprintf(ifr.ifr_name, sizeof ifr.ifr_name, "%s", name);
    if (ioctl(fd, SIOCGIFFLAGS, &ifr) < 0 || (ifr.ifr_flags & IFF_UP) == 0)
        return false;
    return ioctl(fd, SIOCGIFHWADDR, &ifr) == 0 &&
           ifr.ifr_hwaddr.sa_family != ARPHRD_ETHER &&
           ifr.ifr_hwaddr.sa_family != ARPHRD_LOOPBACK;
}

void
nsp_places_warn(const struct nsp_places *places)
{
    const char *device = nsp_places_device(places, NSP_HOOK_OUTPUT);
    struct if_nameindex *list;
    int fd;

    if (!device || strcmp(device, "tap") != 0)
        return;
    list = if_nameindex();
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (const struct if_nameindex *at = list; at && at->if_index != 0; at++)
        if (fd >= 0 && lacks_ethernet(fd, at->if_name))
            fprintf(stderr,
                    "nsp: warning: what leaves by %s is not taken: tap takes "
                    "packets with Ethernet headers\n",
                    at->if_name);
    if (fd >= 0)
        close(fd);
    if (list)
        if_freenameindex(list);
}
