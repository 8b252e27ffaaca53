#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/log.h"
#include "base/memory.h"
#include "io/device.h"
#include "io/tap/tap_counters.h"
#include "io/tap/tap_device.h"

#define QUEUE_PKTS_DEFAULT 4096u
#define QUEUE_PKTS_MAX     65536u

/* --- Errors for humans ---------------------------------------------------- */

static int
fail_link(struct nsp_diag *reterr, int err, const char *step)
{
    if (err == -ENOENT || err == -ENODEV || err == -ENXIO)
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "kernel-feature",
                            "it needs CONFIG_TUN (module tun) and /dev/net/tun",
                            "the kernel lacks TAP devices");
    return nsp_tap_fail(reterr, err, step);
}

/* --- Interfaces ----------------------------------------------------------- */

static int
check_config(const struct nsp_io_config *cfg,
             const struct nsp_tap_config *device, struct nsp_diag *reterr)
{
    int result = nsp_device_check_config(cfg, device->hang_ms, reterr);

    if (result != NSP_OK)
        return result;
    if (cfg->hooks & ~(uint32_t)(NSP_HOOK_INPUT | NSP_HOOK_OUTPUT))
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "hooks",
                            "the nfqueue backend takes what is forwarded",
                            "the tap backend takes packets of this host: "
                            "input and output");
    if (device->interface_count > NSP_TAP_INTERFACES_MAX)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "interfaces",
                            "name fewer", "%u interfaces, more than %u",
                            device->interface_count, NSP_TAP_INTERFACES_MAX);
    if (device->queue_pkts > QUEUE_PKTS_MAX)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "queue-pkts",
                            "0 is 4096", "queue_pkts %u is more than %u",
                            device->queue_pkts, QUEUE_PKTS_MAX);
    if (device->attach > NSP_TAP_ATTACH_CLSACT)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "attach",
                            "use a value of enum nsp_tap_attach",
                            "attach is %u", device->attach);
    if (device->attach == NSP_TAP_ATTACH_TCX && device->fail_closed)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "attach",
                            "use NSP_TAP_ATTACH_AUTO",
                            "tcx links cannot fail closed: they go with the "
                            "process");
    return NSP_OK;
}

static int
find_named(struct nsp_io *io, const struct nsp_tap_config *device,
           struct nsp_diag *reterr)
{
    for (uint32_t i = 0; i < device->interface_count; i++) {
        struct nsp_tap_interface *found = &io->interfaces[i];
        const char *name = device->interfaces[i];
        int err = nsp_tap_interface_find(name, found);

        if (err == -ENODEV)
            return nsp_diag_set(reterr, NSP_OPEN_FAILED, "no-interface",
                                "'ip link' lists the interfaces there are",
                                "there is no interface '%.40s'", name);
        if (err == -EOPNOTSUPP)
            return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "no-ethernet",
                                "use the nfqueue backend there",
                                "packets of interface %s have no Ethernet "
                                "header",
                                name);
        if (err < 0)
            return nsp_tap_fail(reterr, err, "cannot list the interfaces");
        for (uint32_t j = 0; j < i; j++)
            if (io->interfaces[j].ifindex == found->ifindex)
                return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "interfaces",
                                    "name it once",
                                    "interface %s is named twice", name);
    }
    io->interfaces_left = device->interface_count;
    return NSP_OK;
}

static void
warn_left_out(void *context, uint32_t ifindex, const char *name, bool ethernet)
{
    nsp_tap_warn_left_out(context, ifindex, name, ethernet);
}

static int
find_interfaces(struct nsp_io *io, const struct nsp_tap_config *device,
                struct nsp_diag *reterr)
{
    int n;

    io->takes_all = device->interface_count == 0;
    if (!io->takes_all)
        return find_named(io, device, reterr);
    n = nsp_tap_interface_list(io->interfaces, NSP_TAP_INTERFACES_MAX,
                               warn_left_out, io);
    if (n < 0)
        return nsp_tap_fail(reterr, n, "cannot list the interfaces");
    if (n == 0)
        return nsp_diag_set(reterr, NSP_OPEN_FAILED, "no-interface",
                            "bring one up: ip link set NAME up",
                            "no interface with Ethernet headers is up");
    io->interfaces_left = (uint32_t)n;
    return NSP_OK;
}

/* --- Opening -------------------------------------------------------------- */

static int
open_queues(struct nsp_io *io, const struct nsp_io_config *cfg,
            struct nsp_diag *reterr)
{
    io->queues = nsp_alloc(&io->allocator, io->queue_count, sizeof *io->queues);
    if (!io->queues)
        return nsp_device_fail_memory(reterr);
    for (uint32_t i = 0; i < io->queue_count; i++) {
        const struct nsp_tap_queue_config queue_cfg = {
            .index = i,
            .fd = io->link.fds[i],
            .max_held_pkts = cfg->max_held_pkts,
            .edits = cfg->edits,
            .origins = io->origins,
            .allocator = io->allocator,
        };
        int err = nsp_tap_queue_open(&io->queues[i], &queue_cfg);

        io->queues_open++;
        if (err < 0)
            return nsp_tap_fail(reterr, err, "cannot make room for packets");
    }
    return NSP_OK;
}

static int
open_link(struct nsp_io *io, const struct nsp_io_config *cfg,
          const struct nsp_tap_config *device, struct nsp_diag *reterr)
{
    const struct nsp_tap_link_config link_cfg = {
        .queues = cfg->queues,
        .queue_pkts =
            device->queue_pkts ? device->queue_pkts : QUEUE_PKTS_DEFAULT,
        .superpackets = cfg->superpackets,
    };
    const char *step;
    int err = nsp_tap_link_open(&io->link, &link_cfg, &step);

    if (err < 0)
        return fail_link(reterr, err, step);
    io->counters_fd = nsp_tap_counters_open();
    if (io->counters_fd < 0)
        nsp_log_write(
            &io->log, NSP_LOG_WARNING,
            "tap: /proc/net/dev: %s; packets that the kernel drops will "
            "not be counted",
            strerror(-io->counters_fd));
    return NSP_OK;
}

int
nsp_tap_device_open(struct nsp_io *io, const struct nsp_io_config *cfg,
                    struct nsp_diag *reterr)
{
    static const struct nsp_tap_config defaults;
    const struct nsp_tap_config *device = cfg->device ? cfg->device : &defaults;
    int result = check_config(cfg, device, reterr);
    int err;

    if (result != NSP_OK)
        return result;
    io->fail_closed = device->fail_closed;
    io->superpackets = cfg->superpackets;
    io->shares_output = cfg->shares_output;
    if (nsp_gate_create(&io->allocator, &io->hooks_gate) < 0)
        return nsp_device_fail_memory(reterr);
    err = nsp_tap_watch_open(&io->watcher);
    if (err < 0)
        return nsp_tap_fail(reterr, err, "cannot watch the interfaces");
    result = find_interfaces(io, device, reterr);
    if (result == NSP_OK)
        result = open_link(io, cfg, device, reterr);
    if (result == NSP_OK)
        result = open_queues(io, cfg, reterr);
    if (result == NSP_OK)
        result = nsp_tap_attach(io, cfg, device, reterr);
    if (result != NSP_OK)
        return result;
    err = nsp_tap_watch_start(io);
    return err < 0 ? nsp_tap_fail(reterr, err, "cannot watch the interfaces")
                   : NSP_OK;
}
