#define _GNU_SOURCE
#include "io/tap/tap_interface.h"

#include <errno.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>

#include "os/linux/link_watch.h"
#include "os/linux/tap_link.h"

struct search {
    const char *name; /* NULL: every one that a host's packets pass once. */
    struct nsp_tap_interface *found;
    uint32_t count, max;
    bool without_ethernet;         /* One called 'name' is there, but ... */
    nsp_tap_left_out_fn *left_out; /* NULL with a name. */
    void *context;
};

static bool
is_wanted(const struct search *search, const struct nsp_link_news *link)
{
    if (search->name)
        return strcmp(search->name, link->name) == 0;
    return link->up && !link->has_master && !nsp_tap_link_is_ours(link->name);
}

static void
take_link(void *context, const struct nsp_link_news *link)
{
    struct search *search = context;
    bool ethernet = link->type == ARPHRD_ETHER || link->type == ARPHRD_LOOPBACK;

    if (!is_wanted(search, link))
        return;
    if (!ethernet || search->count >= search->max) {
        search->without_ethernet |= !ethernet;
        if (search->left_out)
            search->left_out(search->context, link->ifindex, link->name,
                             ethernet);
        return;
    }
    search->found[search->count] = (struct nsp_tap_interface){
        .ifindex = link->ifindex,
        .loopback = link->type == ARPHRD_LOOPBACK,
    };
    snprintf(search->found[search->count].name, IF_NAMESIZE, "%s", link->name);
    search->count++;
}

int
nsp_tap_interface_find(const char *name, struct nsp_tap_interface *ret)
{
    struct nsp_tap_interface found;
    struct search search = { .name = name, .found = &found, .max = 1 };
    int err = nsp_link_list(take_link, &search);

    if (err < 0)
        return err;
    if (search.count == 0)
        return search.without_ethernet ? -EOPNOTSUPP : -ENODEV;
    *ret = found;
    return 0;
}

int
nsp_tap_interface_list(struct nsp_tap_interface ret[], uint32_t max,
                       nsp_tap_left_out_fn *left_out, void *context)
{
    struct search search = {
        .found = ret,
        .max = max,
        .left_out = left_out,
        .context = context,
    };
    int err = nsp_link_list(take_link, &search);

    return err < 0 ? err : (int)search.count;
}
