#ifndef NSP_LAB_RTNL_H
#define NSP_LAB_RTNL_H
#include <stdbool.h>
#include <stdint.h>

/* Links, addresses and routes of one network namespace, set and looked up over
 * rtnetlink.
 *
 * Errors   Every call returns 0 or a negative errno, the kernel's own.
 * Threads  A handle is used by one thread at a time. It acts on the namespace
 *          that the thread was in when it opened the handle. */
struct nsp_rtnl;

int nsp_rtnl_open(struct nsp_rtnl **ret);
struct nsp_rtnl *nsp_rtnl_close(struct nsp_rtnl *rtnl);

/* Makes a pair of Ethernet devices, 'name' here and 'peer_name' in the
 * namespace held by 'peer_netns_fd', both down. */
int nsp_rtnl_add_veth(struct nsp_rtnl *rtnl, const char *name,
                      const char *peer_name, int peer_netns_fd,
                      uint32_t mtu_bytes);

int nsp_rtnl_set_up(struct nsp_rtnl *rtnl, const char *name);

int nsp_rtnl_set_mtu(struct nsp_rtnl *rtnl, const char *name,
                     uint32_t mtu_bytes);

/* Waits until device 'name' has a carrier and sends, at most a few seconds;
 * then -ETIMEDOUT. */
int nsp_rtnl_wait_running(struct nsp_rtnl *rtnl, const char *name);

/* Gives device 'name' the address 'text' of 'family' (AF_INET or AF_INET6). */
int nsp_rtnl_add_address(struct nsp_rtnl *rtnl, const char *name, int family,
                         const char *text, uint8_t prefix_bits);

/* Waits until every IPv6 address of the namespace can be used: the kernel puts
 * a new one into service in the background, even without duplicate address
 * detection, and until then neither answers for it nor sends from it. At most
 * a few seconds; then -ETIMEDOUT. */
int nsp_rtnl_wait_addresses(struct nsp_rtnl *rtnl);

int nsp_rtnl_add_default_route(struct nsp_rtnl *rtnl, int family,
                               const char *gateway);
int nsp_rtnl_del_default_route(struct nsp_rtnl *rtnl, int family,
                               const char *gateway);

/* Where packets go that are sent from one address of 'family' to another, both
 * as they are in packets. */
struct nsp_rtnl_route {
    uint32_t ifindex; /* Of the device that sends them. */
    bool local;       /* The host itself receives them. */
};
int nsp_rtnl_find_route(struct nsp_rtnl *rtnl, int family, const void *from,
                        const void *to, struct nsp_rtnl_route *ret);

/* A device, and those of the same namespace that it depends on or serves. */
struct nsp_rtnl_link {
    uint32_t ifindex;
    uint32_t lower_ifindex;  /* By which it sends, as a VLAN does; or the other
                              * end of its pair. 0: none. */
    uint32_t master_ifindex; /* The bridge or bond it is a port of, or 0. */
};
typedef void nsp_rtnl_link_fn(void *context, const struct nsp_rtnl_link *link);

/* Tells 'tell' of each device that there is. */
int nsp_rtnl_read_links(struct nsp_rtnl *rtnl, nsp_rtnl_link_fn *tell,
                        void *context);

#endif /* NSP_LAB_RTNL_H */
