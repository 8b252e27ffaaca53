#ifndef NSP_OS_LINUX_ROUTE_NETLINK_H
#define NSP_OS_LINUX_ROUTE_NETLINK_H
#include <libmnl/libmnl.h>

#include "base/base.h"

/* Requests over rtnetlink, in the calling thread's network namespace. */

/* Opens a socket that hears of 'groups' (RTMGRP_*), non-blocking unless 0.
 * Returns a descriptor or a negative errno. */
int nsp_rtnetlink_open(uint32_t groups) NSP_MUSTCHECK;

/* Sends 'message', which asks for an acknowledgement or a dump, over a socket
 * of its own and reads all answers; each part of a dump goes to 'take' (may be
 * NULL). Returns 0 or a negative errno, the kernel's own. */
int nsp_rtnetlink_ask(struct nlmsghdr *message, mnl_cb_t take,
                      void *context) NSP_MUSTCHECK;

#endif /* NSP_OS_LINUX_ROUTE_NETLINK_H */
