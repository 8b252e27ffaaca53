#ifndef NSP_LAB_LOOPNET_H
#define NSP_LAB_LOOPNET_H
#include <stdint.h>

#include "netshaper/diag.h"

enum nsp_loopnet_users {
    NSP_LOOPNET_USERS_SHARED = 0, /* As they are, where that is possible. */
    NSP_LOOPNET_USERS_OWN,
};

/* Moves the calling process, which must have one thread, into a new network
 * namespace that has loopback and nothing else: 127.0.0.1 and, where the kernel
 * has IPv6, ::1, with an MTU of 'mtu_bytes' (from 1280 on). It vanishes with
 * the last process in it.
 *
 * Needs no root where unprivileged user namespaces are allowed: a new one is
 * then entered first, and likewise where 'users' asks for it. User and group
 * keep their numbers in it; the process has every right there, and a program
 * that it executes as an ordinary user has none. Its group may use ICMP echo
 * sockets, so that 'ping' works.
 *
 * Returns NSP_OK, NSP_NOT_POSSIBLE with cause and cure in 'reterr', or
 * NSP_NO_MEMORY. */
int nsp_loopnet_enter(uint32_t mtu_bytes, enum nsp_loopnet_users users,
                      struct nsp_diag *reterr);

#endif /* NSP_LAB_LOOPNET_H */
