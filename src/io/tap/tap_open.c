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
#include "io/tap/tap_probe.h"
#include "netshaper/engine.h"
#include "os/linux/bpf_call.h"

#define QUEUE_PKTS_DEFAULT 4096u
#define QUEUE_PKTS_MAX     65536u

/* --- Errors for humans ---------------------------------------------------- */

static const struct nsp_device_words words = {
    .category = "tap",
    .purpose = "attach programs to interfaces",
    .privilege = NSP_TAP_PRIVILEGE_CURE,
};

/* An error of the system at 'step'. */
static int
fail_step(struct nsp_diag *reterr, int err, const char *step)
{
    return nsp_device_fail(&words, err, step, reterr);
}

static int
fail_link(struct nsp_diag *reterr, int err, const char *step)
{
    if (err == -ENOENT || err == -ENODEV || err == -ENXIO)
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "kernel-feature",
                            "it needs CONFIG_TUN (module tun) and /dev/net/tun",
                            "the kernel lacks TAP devices");
    return fail_step(reterr, err, step);
}

static int
fail_program(struct nsp_diag *reterr, int err, const char *what)
{
    if (err == -ENOSYS || err == -EINVAL)
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "kernel-feature",
                            "it needs Linux 5.10 or later with "
                            "CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_ACT",
                            "the kernel refuses %s", what);
    return fail_step(reterr, err, what);
}

/* --- Interfaces ----------------------------------------------------------- */

static int
check_config(const struct nsp_io_config *cfg,
             const struct nsp_tap_config *device, struct nsp_diag *reterr)
{
    int result = nsp_device_check_config(cfg, reterr);

    if (result == NSP_OK)
        result = nsp_device_check_hang(device->hang_ms, reterr);
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
            return fail_step(reterr, err, "cannot list the interfaces");
        for (uint32_t j = 0; j < i; j++)
            if (io->interfaces[j].ifindex == found->ifindex)
                return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "interfaces",
                                    "name it once",
                                    "interface %s is named twice", name);
        io->interface_count++;
    }
    return NSP_OK;
}

static int
find_interfaces(struct nsp_io *io, const struct nsp_tap_config *device,
                struct nsp_diag *reterr)
{
    int result = NSP_OK, n;

    if (device->interface_count > 0) {
        result = find_named(io, device, reterr);
    } else {
        n = nsp_tap_interface_list(io->interfaces, NSP_TAP_INTERFACES_MAX);
        if (n < 0)
            return fail_step(reterr, n, "cannot list the interfaces");
        if (n == 0)
            return nsp_diag_set(reterr, NSP_OPEN_FAILED, "no-interface",
                                "bring one up: ip link set NAME up",
                                "no interface with Ethernet headers is up");
        io->interface_count = (uint32_t)n;
    }
    for (uint32_t i = 0; i < io->interface_count; i++)
        io->origins[i] = (struct nsp_tap_origin){
            .ifindex = io->interfaces[i].ifindex,
            .loopback = io->interfaces[i].loopback,
        };
    io->interfaces_left = io->interface_count;
    return result;
}

/* --- Programs ------------------------------------------------------------- */

static enum nsp_tc_method
first_method(const struct nsp_tap_config *device)
{
    return device->attach == NSP_TAP_ATTACH_CLSACT ? NSP_TC_CLSACT : NSP_TC_TCX;
}

/* Attaches 'program_fd' and closes it. What worked at the TAP, which is first,
 * works everywhere. */
static int
attach(struct nsp_tc_hook *hook, enum nsp_tc_method *method, bool may_fall,
       int program_fd, uint32_t ifindex, bool ingress)
{
    int err = nsp_tc_hook_attach(hook, *method, program_fd, ifindex, ingress);

    if (err == -EINVAL && may_fall && *method == NSP_TC_TCX) {
        *method = NSP_TC_CLSACT;
        err = nsp_tc_hook_attach(hook, *method, program_fd, ifindex, ingress);
    }
    close(program_fd);
    return err;
}

static int
attach_return(struct nsp_io *io, enum nsp_tc_method *method, bool may_fall,
              struct nsp_diag *reterr)
{
    int fd, err;
    int places_fd =
        nsp_bpf_array_create("nsp_tap_places", sizeof(struct nsp_tap_place),
                             NSP_TAP_INTERFACES_MAX, false);

    if (places_fd < 0)
        return fail_program(reterr, places_fd, "an eBPF map");
    for (uint32_t i = 0; i < io->interface_count; i++) {
        struct nsp_tap_place place = { io->origins[i].ifindex,
                                       io->origins[i].loopback };

        err = nsp_bpf_array_set(places_fd, i, &place);
        if (err < 0) {
            close(places_fd);
            return fail_program(reterr, err, "an entry of an eBPF map");
        }
    }
    fd = nsp_tap_load_return(places_fd, NULL, 0);
    close(places_fd); /* The program holds it. */
    if (fd < 0)
        return fail_program(reterr, fd, "the program that returns packets");
    err = attach(&io->back, method, may_fall, fd, io->link.ifindex, true);
    if (err < 0)
        return fail_program(reterr, err, "a program at the TAP");
    return NSP_OK;
}

/* Another engine at the same interface would take what this one has sent, and
 * this one what the other has, for ever. */
static int
refuse_taken(const struct nsp_tap_interface *interface,
             enum nsp_tc_method method, struct nsp_diag *reterr)
{
    if (method != NSP_TC_TCX ||
        (nsp_bpf_tcx_find(interface->ifindex, NSP_BPF_TCX_EGRESS,
                          NSP_TAP_PROGRAM_PREFIX) <= 0 &&
         nsp_bpf_tcx_find(interface->ifindex, NSP_BPF_TCX_INGRESS,
                          NSP_TAP_PROGRAM_PREFIX) <= 0))
        return NSP_OK;
    return nsp_diag_set(reterr, NSP_OPEN_FAILED, "interface-taken",
                        "end the other one first, or name other interfaces",
                        "another engine takes packets at interface %s",
                        interface->name);
}

static bool
diverts_at(const struct nsp_io_config *cfg,
           const struct nsp_tap_interface *interface, bool ingress)
{
    if (!ingress)
        return (cfg->hooks & NSP_HOOK_OUTPUT) != 0;
    return (cfg->hooks & NSP_HOOK_INPUT) != 0 &&
           !(interface->loopback && cfg->skip_loopback_input);
}

static int
attach_side(struct nsp_io *io, const struct nsp_io_config *cfg, uint32_t slot,
            bool ingress, enum nsp_tc_method method, struct nsp_diag *reterr)
{
    const struct nsp_tap_interface *interface = &io->interfaces[slot];
    const struct nsp_tap_divert divert = {
        .ifindex = interface->ifindex,
        .tap_ifindex = io->link.ifindex,
        .slot = slot,
        .ingress = ingress,
        .loopback = interface->loopback,
        .fail_closed = io->fail_closed,
        /* With edits it may be told later to have them split. */
        .superpackets = cfg->superpackets && !cfg->edits,
        .queues = io->queue_count,
        .shared_fd = io->beats.map_fd,
        .filter = cfg->filter,
    };
    int fd = nsp_tap_load_divert(&divert, &io->allocator, NULL, 0);
    int err;

    if (fd < 0)
        return fail_program(reterr, fd, "the program that takes packets");
    err = attach(&io->hooks[io->hook_count], &method, false, fd,
                 interface->ifindex, ingress);
    if (err < 0)
        return fail_program(reterr, err, "a program at an interface");
    io->diverts[io->hook_count++] = divert;
    return NSP_OK;
}

/* Where nothing is taken there is no program, and an answer that is sent there
 * keeps the mark: others that look for it let it pass as well. */
static int
attach_interface(struct nsp_io *io, const struct nsp_io_config *cfg,
                 uint32_t slot, enum nsp_tc_method method,
                 struct nsp_diag *reterr)
{
    const struct nsp_tap_interface *interface = &io->interfaces[slot];
    int result = refuse_taken(interface, method, reterr);

    for (int ingress = 0; ingress < 2 && result == NSP_OK; ingress++)
        if (diverts_at(cfg, interface, ingress))
            result = attach_side(io, cfg, slot, ingress, method, reterr);
    return result;
}

static int
attach_programs(struct nsp_io *io, const struct nsp_io_config *cfg,
                const struct nsp_tap_config *device, struct nsp_diag *reterr)
{
    enum nsp_tc_method method = first_method(device);
    int result, err;

    err = nsp_beats_open(&io->beats, io->queue_count,
                         device->hang_ms ? device->hang_ms
                                         : NSP_DEVICE_HANG_MS_DEFAULT);
    if (err < 0)
        return fail_program(reterr, err, "an eBPF map");
    result = attach_return(io, &method, device->attach == NSP_TAP_ATTACH_AUTO,
                           reterr);
    /* Last: from here on packets come. */
    for (uint32_t i = 0; i < io->interface_count && result == NSP_OK; i++)
        result = attach_interface(io, cfg, i, method, reterr);
    if (result == NSP_OK && method == NSP_TC_CLSACT)
        nsp_log_write(
            &io->log, NSP_LOG_INFO,
            "tap: clsact filters: they stay when the process is killed, "
            "and then let everything pass");
    return result;
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
            return fail_step(reterr, err, "cannot make room for packets");
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
    err = nsp_link_watch_open(&io->watch);
    if (err < 0)
        return fail_step(reterr, err, "cannot watch the interfaces");
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

    io->fail_closed = device->fail_closed;
    io->superpackets = cfg->superpackets;
    if (result == NSP_OK &&
        nsp_gate_create(&io->allocator, &io->hooks_gate) < 0)
        result = nsp_device_fail_memory(reterr);
    if (result == NSP_OK)
        result = find_interfaces(io, device, reterr);
    if (result == NSP_OK)
        result = open_link(io, cfg, device, reterr);
    if (result == NSP_OK)
        result = open_queues(io, cfg, reterr);
    if (result == NSP_OK)
        result = attach_programs(io, cfg, device, reterr);
    return result;
}
