#define _DEFAULT_SOURCE
#include "cli/own_port.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>

#include "cli/interfaces.h"
#include "lab/rtnl.h"

/* All interfaces, and which of them are on top of the one asked about. */
struct links {
    struct nsp_rtnl_link *list;
    bool *on_top;
    uint32_t count, room;
    bool incomplete;
};

/* --- What is on top of an interface --------------------------------------- */

static void
add(void *context, const struct nsp_rtnl_link *link)
{
    struct links *all = context;

    if (all->count == all->room) {
        uint32_t room = all->room == 0 ? 64 : 2 * all->room;
        struct nsp_rtnl_link *list =
            realloc(all->list, room * sizeof *all->list);

        if (!list) {
            all->incomplete = true;
            return;
        }
        all->list = list;
        all->room = room;
    }
    all->list[all->count++] = *link;
}

static const struct nsp_rtnl_link *
find(const struct links *all, uint32_t ifindex)
{
    for (uint32_t i = 0; ifindex != 0 && i < all->count; i++)
        if (all->list[i].ifindex == ifindex)
            return &all->list[i];
    return NULL;
}

static bool
is_on_top(const struct links *all, uint32_t ifindex)
{
    const struct nsp_rtnl_link *link = find(all, ifindex);

    return link && all->on_top[link - all->list];
}

/* Whether 'link' sends by one on top. The ends of a pair name each other, and
 * neither is on top. */
static bool
sends_by_one_on_top(const struct links *all, const struct nsp_rtnl_link *link)
{
    const struct nsp_rtnl_link *lower = find(all, link->lower_ifindex);

    return lower && lower->lower_ifindex != link->ifindex &&
           is_on_top(all, link->lower_ifindex);
}

static bool
has_port_on_top(const struct links *all, uint32_t ifindex)
{
    for (uint32_t i = 0; i < all->count; i++)
        if (all->on_top[i] && all->list[i].master_ifindex == ifindex)
            return true;
    return false;
}

static void
mark(struct links *all, uint32_t port)
{
    bool changed = true;

    for (uint32_t i = 0; i < all->count; i++)
        all->on_top[i] = all->list[i].ifindex == port;
    while (changed) {
        changed = false;
        for (uint32_t i = 0; i < all->count; i++) {
            const struct nsp_rtnl_link *link = &all->list[i];

            if (!all->on_top[i] && (sends_by_one_on_top(all, link) ||
                                    has_port_on_top(all, link->ifindex)))
                all->on_top[i] = changed = true;
        }
    }
}

/* --- Where a connection comes in ------------------------------------------ */

static bool
is_address_on_top(const struct links *all, const struct in6_addr *address)
{
    struct ifaddrs *list, *at;
    bool found = false;

    if (getifaddrs(&list) < 0)
        return false;
    for (at = list; at && !found; at = at->ifa_next)
        found = nsp_cli_is_address(at->ifa_addr, address) &&
                is_on_top(all, if_nametoindex(at->ifa_name));
    freeifaddrs(list);
    return found;
}

static struct nsp_rtnl_route
find_route(struct nsp_rtnl *rtnl, const struct nsp_controller *c)
{
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&c->remote);
    uint32_t skipped = is_ipv4 ? 12 : 0;
    struct nsp_rtnl_route route = { 0 };

    if (nsp_rtnl_find_route(rtnl, is_ipv4 ? AF_INET : AF_INET6,
                            c->local.s6_addr + skipped,
                            c->remote.s6_addr + skipped, &route) < 0)
        return (struct nsp_rtnl_route){ 0 };
    /* The same link-local address may be on the link of any interface. */
    if (!is_ipv4 && IN6_IS_ADDR_LINKLOCAL(&c->remote))
        route.ifindex = 0;
    return route;
}

static const char *
find_port(struct links *all, struct nsp_rtnl *rtnl,
          const struct nsp_controller *c, const char *const ports[2])
{
    struct nsp_rtnl_route route = find_route(rtnl, c);

    for (uint32_t i = 0; i < 2 && !route.local; i++) {
        mark(all, if_nametoindex(ports[i]));
        if (is_on_top(all, route.ifindex) || is_address_on_top(all, &c->local))
            return ports[i];
    }
    return NULL;
}

const char *
nsp_own_port_find(const struct nsp_controller *c, const char *const ports[2])
{
    struct links all = { .count = 0 };
    struct nsp_rtnl *rtnl = NULL;
    const char *found = NULL;

    if (nsp_rtnl_open(&rtnl) < 0)
        return NULL;
    if (nsp_rtnl_read_links(rtnl, add, &all) == 0 && !all.incomplete) {
        all.on_top = calloc(all.count, sizeof *all.on_top);
        if (all.on_top)
            found = find_port(&all, rtnl, c, ports);
    }
    free(all.on_top);
    free(all.list);
    nsp_rtnl_close(rtnl);
    return found;
}
