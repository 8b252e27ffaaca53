#define _GNU_SOURCE
#include "lab/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lab/rtnl.h"

bool
nsp_netns_has_ipv6(void)
{
    return access("/proc/sys/net/ipv6", F_OK) == 0;
}

int
nsp_netns_set(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int r = 0;

    if (fd < 0)
        return -errno;
    if (write(fd, value, strlen(value)) < 0)
        r = -errno;
    close(fd);
    return r;
}

/* Devices inherit these when they are made. */
static int
set_up_ipv6(void)
{
    static const struct {
        const char *path, *value;
    } settings[] = {
        { "/proc/sys/net/ipv6/conf/all/disable_ipv6", "0" },
        { "/proc/sys/net/ipv6/conf/default/disable_ipv6", "0" },
        { "/proc/sys/net/ipv6/conf/all/accept_dad", "0" },
        { "/proc/sys/net/ipv6/conf/default/accept_dad", "0" },
    };
    int r = 0;

    for (size_t i = 0; r == 0 && i < sizeof settings / sizeof settings[0]; i++)
        r = nsp_netns_set(settings[i].path, settings[i].value);
    return r;
}

int
nsp_netns_set_up(bool ipv6)
{
    struct nsp_rtnl *rtnl = NULL;
    int r;

    r = nsp_netns_set("/proc/sys/net/ipv4/tcp_no_metrics_save", "1");
    if (r == 0 && ipv6)
        r = set_up_ipv6();
    if (r == 0)
        r = nsp_rtnl_open(&rtnl);
    if (r == 0)
        r = nsp_rtnl_set_up(rtnl, "lo");
    nsp_rtnl_close(rtnl);
    return r;
}

int
nsp_netns_explain(struct nsp_diag *reterr, int err)
{
    if (err == -ENOMEM)
        return NSP_NO_MEMORY;
    if (!reterr)
        return NSP_NOT_POSSIBLE;
    *reterr = (struct nsp_diag){ .result = NSP_NOT_POSSIBLE,
                                 .os_errno = -err,
                                 .category = "network" };
    snprintf(reterr->text, sizeof reterr->text,
             "the namespaces' network cannot be set up: %s", strerror(-err));
    snprintf(reterr->hint, sizeof reterr->hint, "%s",
             err == -EOPNOTSUPP ? "load the kernel's module veth: modprobe veth"
             : err == -EROFS    ? "/proc/sys must be writable: run outside the "
                                  "container, or give it --privileged"
                                : "run as root");
    return NSP_NOT_POSSIBLE;
}
