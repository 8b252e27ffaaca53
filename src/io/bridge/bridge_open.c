#define _GNU_SOURCE
#include <errno.h>
#include <net/if_arp.h>
#include <string.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/log.h"
#include "base/memory.h"
#include "io/bridge/bridge_device.h"
#include "io/bridge/bridge_probe.h"
#include "io/bridge/bridge_program.h"
#include "io/device.h"
#include "netshaper/engine.h"
#include "os/linux/bpf_call.h"

#define BUSY_POLL_US_MAX 1000u

/* That many interfaces have been joined to ours, and left so, at most. */
#define RELEASED_MAX 64u

/* --- Errors for humans ---------------------------------------------------- */

static const struct nsp_device_words words = {
    .category = "bridge",
    .purpose = "join interfaces",
    .privilege = NSP_BRIDGE_PRIVILEGE_CURE,
};

/* An error of the system at 'step'. */
int
nsp_bridge_fail_step(struct nsp_diag *reterr, int err, const char *step)
{
    if (err == -EAFNOSUPPORT)
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "kernel-feature",
                            "it needs CONFIG_XDP_SOCKETS",
                            "the kernel lacks AF_XDP sockets");
    return nsp_device_fail(&words, err, step, reterr);
}

int
nsp_bridge_fail_program(struct nsp_diag *reterr, int err, const char *what)
{
    if (err == -ENOSYS || err == -EINVAL)
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "kernel-feature",
                            "it needs Linux 5.12 or later with "
                            "CONFIG_BPF_SYSCALL",
                            "the kernel refuses %s", what);
    return nsp_bridge_fail_step(reterr, err, what);
}

/* --- Configuration -------------------------------------------------------- */

static int
check_config(const struct nsp_io_config *cfg,
             const struct nsp_bridge_config *device, struct nsp_diag *reterr)
{
    int result = nsp_device_check_config(cfg, device->hang_ms, reterr);

    if (result != NSP_OK)
        return result;
    if (cfg->hooks & ~(uint32_t)NSP_HOOK_FORWARD)
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "hooks",
                            "the nfqueue and tap backends take packets of this "
                            "host",
                            "the bridge backend takes forwarded packets alone");
    if (device->busy_poll_us > BUSY_POLL_US_MAX)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "busy-poll",
                            "20 is common", "busy_poll_us %u is more than %u",
                            device->busy_poll_us, BUSY_POLL_US_MAX);
    if (device->attach > NSP_BRIDGE_ATTACH_STACK)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "attach",
                            "use a value of enum nsp_bridge_attach",
                            "attach is %u", device->attach);
    return NSP_OK;
}

int
nsp_bridge_fail_clsact(struct nsp_diag *reterr, int err)
{
    if (err == -ENOENT || err == -EOPNOTSUPP)
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "kernel-feature",
                            "it needs CONFIG_NET_SCH_INGRESS (or NET_CLS_ACT) "
                            "and CONFIG_NET_CLS_BPF",
                            "the kernel lacks clsact filters");
    return nsp_bridge_fail_step(reterr, err, "cannot attach a clsact filter");
}

int
nsp_bridge_fail_port(struct nsp_diag *reterr, int err, const char *name)
{
    switch (err) {
    case -ENODEV:
        return nsp_diag_set(reterr, NSP_OPEN_FAILED, "no-interface",
                            "'ip link' lists the interfaces there are",
                            "there is no interface '%.40s'", name);
    case -ELOOP:
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "no-ethernet",
                            "join interfaces that lead to other machines",
                            "the loopback interface %s cannot be joined to "
                            "another",
                            name);
    case -EOPNOTSUPP:
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "no-ethernet",
                            "join interfaces with Ethernet frames",
                            "packets of interface %s have no Ethernet header",
                            name);
    case -EMLINK:
        return nsp_diag_set(reterr, NSP_OPEN_FAILED, "interface-taken",
                            "take it out first: ip link set NAME nomaster",
                            "interface %s is a port of a bridge or bond", name);
    case -EBUSY:
        return nsp_diag_set(reterr, NSP_OPEN_FAILED, "interface-taken",
                            "end the other one first",
                            "interface %s is joined to another by somebody "
                            "else",
                            name);
    case -EEXIST:
        return nsp_diag_set(
            reterr, NSP_OPEN_FAILED, "interface-taken",
            "take it off first, if nobody needs it: ip link set NAME xdp off",
            "interface %s has another XDP program", name);
    default:
        return nsp_bridge_fail_step(reterr, err,
                                    "cannot look the interfaces up");
    }
}

/* --- Interfaces ----------------------------------------------------------- */

/* Describes an interface that no other engine takes frames of in the stack. */
static int
find_port(struct nsp_bridge_port *port, const char *name)
{
    int err = nsp_bridge_port_find(port, name);

    for (uint32_t tries = 0; nsp_bridge_wait_while_busy(err, tries); tries++)
        err = nsp_bridge_port_find(port, name);
    return err;
}

static int
find_ports(struct nsp_io *io, const struct nsp_bridge_config *device,
           struct nsp_diag *reterr)
{
    for (uint32_t port = 0; port < 2; port++) {
        const char *name = device->interfaces[port];
        int err = find_port(&io->ports[port], name);

        if (err < 0)
            return nsp_bridge_fail_port(reterr, err, name);
    }
    if (io->ports[0].ifindex == io->ports[1].ifindex)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "interfaces",
                            "name two", "interface %s is named twice",
                            io->ports[0].name);
    return NSP_OK;
}

/* --- What is left elsewhere ----------------------------------------------- */

struct search {
    const struct nsp_bridge_port *ports;
    struct nsp_bridge_port found;
    int err; /* Of the last one found. */
};

static void
look_at_link(void *context, const struct nsp_link_news *link)
{
    struct search *search = context;
    int err;

    if (link->type != ARPHRD_ETHER || search->err == 0)
        return;
    err = nsp_bridge_port_find_left(&search->found, link, search->ports);
    if (err != -ENOENT)
        search->err = err;
}

/* The other ports of bridges that were killed, of which ours were one, still
 * send to these, past us. */
static void
release_left(struct nsp_io *io)
{
    uint32_t tries = 0;

    for (uint32_t released = 0; released < RELEASED_MAX;) {
        struct search search = { .ports = io->ports, .err = -ENOENT };

        if (nsp_link_list(look_at_link, &search) < 0)
            return;
        if (search.err == 0) {
            nsp_log_write(&io->log, NSP_LOG_INFO,
                          "bridge: what an engine that was killed has left at "
                          "%s was taken off",
                          search.found.name);
            nsp_bridge_port_clear_xdp(&search.found);
            nsp_bridge_port_close(&search.found);
            released++;
        } else if (!nsp_bridge_wait_while_busy(search.err, tries++)) {
            return;
        }
    }
}

/* --- Opening -------------------------------------------------------------- */

/* The first of the steps that need a privilege: others would tell the lack of
 * it as one of memory. */
static int
open_beats(struct nsp_io *io, const struct nsp_bridge_config *device,
           struct nsp_diag *reterr)
{
    int err = nsp_beats_open(&io->beats, io->queue_count,
                             nsp_device_hang_ms(device->hang_ms));

    return err < 0 ? nsp_bridge_fail_program(reterr, err, "an eBPF map")
                   : NSP_OK;
}

void
nsp_bridge_close_lanes(struct nsp_io *io)
{
    while (io->lanes_open > 0) {
        struct nsp_bridge_lane *lane = io->lanes[--io->lanes_open];

        lane->ops->close(lane);
    }
    for (uint32_t port = 0; port < 2; port++) {
        nsp_tap_link_close(&io->sinks[port]);
        if (io->steers[port].sockets_fd >= 0)
            close(io->steers[port].sockets_fd);
        io->steers[port].sockets_fd = -1;
    }
    nsp_release(&io->allocator, io->queues);
    nsp_release(&io->allocator, io->packets);
    io->queues = NULL;
    io->packets = NULL;
}

/* Takes frames in the drivers; where that is missing, in the stack. */
static int
open_lanes(struct nsp_io *io, const struct nsp_io_config *cfg,
           struct nsp_diag *reterr)
{
    const struct nsp_bridge_config *device = cfg->device;
    bool missing;
    int result;

    if (device->attach == NSP_BRIDGE_ATTACH_STACK)
        return nsp_bridge_open_stack(io, cfg, reterr);
    result = nsp_bridge_open_xdp(io, cfg, &missing, reterr);
    if (result == NSP_OK || !missing ||
        device->attach == NSP_BRIDGE_ATTACH_DRIVER)
        return result;
    nsp_log_write(&io->log, NSP_LOG_WARNING,
                  "bridge: %s or %s has no XDP: frames are taken in the stack, "
                  "and copied: slower",
                  io->ports[0].name, io->ports[1].name);
    for (uint32_t port = 0; port < 2; port++)
        nsp_bridge_port_detach(&io->ports[port]);
    nsp_bridge_close_lanes(io);
    return nsp_bridge_open_stack(io, cfg, reterr);
}

int
nsp_bridge_device_open(struct nsp_io *io, const struct nsp_io_config *cfg,
                       struct nsp_diag *reterr)
{
    const struct nsp_bridge_config *device = cfg->device;
    int result = check_config(cfg, device, reterr);
    int err;

    io->fail_closed = device->fail_closed;
    if (result == NSP_OK &&
        nsp_gate_create(&io->allocator, &io->programs_gate) < 0)
        result = nsp_device_fail_memory(reterr);
    if (result == NSP_OK)
        result = find_ports(io, device, reterr);
    if (result == NSP_OK)
        result = open_beats(io, device, reterr);
    if (result != NSP_OK)
        return result;
    err = nsp_link_watch_open(&io->watch, true);
    if (err < 0)
        return nsp_bridge_fail_step(reterr, err, "cannot watch the interfaces");
    result = open_lanes(io, cfg, reterr);
    if (result == NSP_OK)
        release_left(io); /* They are surely ours now. */
    for (uint32_t port = 0; port < 2 && result == NSP_OK; port++)
        if (io->ports[port].taken_over)
            nsp_log_write(&io->log, NSP_LOG_INFO,
                          "bridge: %s was taken over from an engine that was "
                          "killed",
                          io->ports[port].name);
    return result;
}
