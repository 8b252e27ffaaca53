#define _GNU_SOURCE
#include "os/linux/interface.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

void
nsp_ifreq_init(struct ifreq *ret, const char *name)
{
    memset(ret, 0, sizeof *ret);
    snprintf(ret->ifr_name, sizeof ret->ifr_name, "%s", name);
}

int
nsp_ifreq_ask(unsigned long request, struct ifreq *ifr)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int err = 0;

    if (fd < 0)
        return -errno;
    if (ioctl(fd, request, ifr) < 0)
        err = -errno;
    close(fd);
    return err;
}
