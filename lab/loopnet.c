#define _GNU_SOURCE
#include "lab/loopnet.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "lab/netns.h"
#include "lab/rtnl.h"
#include "lab/userns.h"

static int
make_netns(enum nsp_loopnet_users users, struct nsp_diag *reterr)
{
    int r;

    if (users == NSP_LOOPNET_USERS_SHARED) {
        if (unshare(CLONE_NEWNET) == 0)
            return NSP_OK;
        if (errno != EPERM)
            return nsp_userns_explain(reterr, "network namespace", errno);
    }
    r = nsp_userns_enter(geteuid(), getegid(), reterr);
    if (r == NSP_OK && unshare(CLONE_NEWNET) < 0)
        r = nsp_userns_explain(reterr, "network namespace", errno);
    return r;
}

static int
set_mtu(uint32_t mtu_bytes)
{
    struct nsp_rtnl *rtnl = NULL;
    int r = nsp_rtnl_open(&rtnl);

    if (r == 0)
        r = nsp_rtnl_set_mtu(rtnl, "lo", mtu_bytes);
    nsp_rtnl_close(rtnl);
    return r;
}

/* In a user namespace the file capabilities of 'ping' count for nothing. */
static int
allow_ping(void)
{
    char range[32];

    snprintf(range, sizeof range, "%u %u", getegid(), getegid());
    return nsp_netns_set("/proc/sys/net/ipv4/ping_group_range", range);
}

int
nsp_loopnet_enter(uint32_t mtu_bytes, enum nsp_loopnet_users users,
                  struct nsp_diag *reterr)
{
    int r = make_netns(users, reterr), err;

    if (r != NSP_OK)
        return r;
    err = set_mtu(mtu_bytes);
    if (err == 0)
        err = nsp_netns_set_up(nsp_netns_has_ipv6());
    if (err == 0)
        err = allow_ping();
    return err == 0 ? NSP_OK : nsp_netns_explain(reterr, err);
}
