#define _GNU_SOURCE
#include "io/tap/tap_interface.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>

#include "os/linux/route_netlink.h"
#include "os/linux/tap_link.h"

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
