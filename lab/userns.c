#define _GNU_SOURCE
#include "lab/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Settings that keep ordinary users from making user namespaces, and the value
 * that does. The first that is so is the one to name. */
static const struct {
    const char *path, *forbids, *cure;
} settings[] = {
    { "/proc/sys/user/max_user_namespaces", "0",
      "run as root, or: sysctl user.max_user_namespaces=10000" },
    { "/proc/sys/kernel/unprivileged_userns_clone", "0",
      "run as root, or: sysctl kernel.unprivileged_userns_clone=1" },
    { "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
      "run as root, or: sysctl "
      "kernel.apparmor_restrict_unprivileged_userns=0" },
};

static bool
setting_is(const char *path, const char *value)
{
    char text[32] = "";
    FILE *file = fopen(path, "re");
    bool is;

    if (!file)
        return false;
    is = fgets(text, sizeof text, file) != NULL;
    fclose(file);
    text[strcspn(text, "\n")] = '\0';
    return is && strcmp(text, value) == 0;
}

int
nsp_userns_explain(struct nsp_diag *reterr, const char *what, int os_errno)
{
    const char *cure = "run as root; in a container, with the capabilities "
                       "NET_ADMIN and SYS_ADMIN";

    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (setting_is(settings[i].path, settings[i].forbids)) {
            cure = settings[i].cure;
            break;
        }

    if (!reterr)
        return NSP_NOT_POSSIBLE;
    *reterr = (struct nsp_diag){ .result = NSP_NOT_POSSIBLE,
                                 .os_errno = os_errno,
                                 .category = "namespace" };
    snprintf(reterr->text, sizeof reterr->text,
             "a network of this program's own cannot be made: %s: %s", what,
             os_errno == ENOSPC ? "no more are allowed" : strerror(os_errno));
    snprintf(reterr->hint, sizeof reterr->hint, "%s", cure);
    return NSP_NOT_POSSIBLE;
}

static int
write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n;
    int r = 0;

    if (fd < 0)
        return -errno;
    n = write(fd, text, strlen(text));
    if (n < 0)
        r = -errno;
    close(fd);
    return r;
}

int
nsp_userns_enter(unsigned user, unsigned group, struct nsp_diag *reterr)
{
    unsigned uid = geteuid(), gid = getegid();
    char map[32];
    int r;

    if (unshare(CLONE_NEWUSER) < 0)
        return nsp_userns_explain(reterr, "user namespace", errno);

    /* The kernel takes a group map from an ordinary user only once the process
     * has given up setgroups(). */
    r = write_file("/proc/self/setgroups", "deny");
    if (r == 0) {
        snprintf(map, sizeof map, "%u %u 1", user, uid);
        r = write_file("/proc/self/uid_map", map);
    }
    if (r == 0) {
        snprintf(map, sizeof map, "%u %u 1", group, gid);
        r = write_file("/proc/self/gid_map", map);
    }
    if (r < 0)
        return nsp_userns_explain(reterr, "user and group map", -r);
    return NSP_OK;
}
