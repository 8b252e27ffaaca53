#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <time.h>
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

#define CHUNK_BYTES_MIN 2048u
#define CHUNK_BYTES_MAX 4096u

/* Of a page the kernel has its own notes at the end: interfaces with a higher
 * MTU hand frames over in pieces. */
#define MTU_OF_A_PAGE 3500u

/* The kernel gives the queues of a process that has ended free a moment later:
 * so often, and so long, a busy one is asked again. */
#define BUSY_TRIES   100u
#define BUSY_WAIT_NS 20000000L

/* --- Errors for humans ---------------------------------------------------- */

static const struct nsp_device_words words = {
    .category = "bridge",
    .purpose = "join interfaces",
    .privilege = NSP_BRIDGE_PRIVILEGE_CURE,
};

/* An error of the system at 'step'. */
static int
fail_step(struct nsp_diag *reterr, int err, const char *step)
{
    if (err == -EAFNOSUPPORT)
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "kernel-feature",
                            "it needs CONFIG_XDP_SOCKETS",
                            "the kernel lacks AF_XDP sockets");
    return nsp_device_fail(&words, err, step, reterr);
}

static int
fail_program(struct nsp_diag *reterr, int err, const char *what)
{
    if (err == -ENOSYS || err == -EINVAL)
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "kernel-feature",
                            "it needs Linux 5.12 or later with "
                            "CONFIG_BPF_SYSCALL and CONFIG_XDP_SOCKETS",
                            "the kernel refuses %s", what);
    return fail_step(reterr, err, what);
}

/* --- Configuration -------------------------------------------------------- */

static int
check_config(const struct nsp_io_config *cfg,
             const struct nsp_bridge_config *device, struct nsp_diag *reterr)
{
    int result = nsp_device_check_config(cfg, reterr);

    if (result == NSP_OK)
        result = nsp_device_check_hang(device->hang_ms, reterr);
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

/* --- Interfaces ----------------------------------------------------------- */

static int
fail_port(struct nsp_diag *reterr, int err, const char *name)
{
    switch (err) {
    case -ENODEV:
        return nsp_diag_set(reterr, NSP_OPEN_FAILED, "no-interface",
                            "'ip link' lists the interfaces there are",
                            "there is no interface '%.40s'", name);
    case -EOPNOTSUPP:
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "no-ethernet",
                            "join interfaces with Ethernet frames",
                            "packets of interface %s have no Ethernet header",
                            name);
    case -EMLINK:
        return nsp_diag_set(reterr, NSP_OPEN_FAILED, "interface-taken",
                            "take it out first: ip link set NAME nomaster",
                            "interface %s is a port of a bridge or bond", name);
    case -EEXIST:
        return nsp_diag_set(
            reterr, NSP_OPEN_FAILED, "interface-taken",
            "take it off first, if nobody needs it: ip link set NAME xdp off",
            "interface %s has another XDP program", name);
    default:
        return fail_step(reterr, err, "cannot look the interfaces up");
    }
}

static int
find_ports(struct nsp_io *io, const struct nsp_bridge_config *device,
           struct nsp_diag *reterr)
{
    for (uint32_t port = 0; port < 2; port++) {
        const char *name = device->interfaces[port];
        int err = nsp_bridge_port_find(&io->ports[port], name);

        if (err < 0)
            return fail_port(reterr, err, name);
        if (io->ports[port].queues > NSP_BRIDGE_QUEUES_MAX)
            return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "queues",
                                "give it fewer: ethtool -L NAME combined 16",
                                "interface %s has %u queues, more than %u",
                                name, io->ports[port].queues,
                                NSP_BRIDGE_QUEUES_MAX);
    }
    if (io->ports[0].ifindex == io->ports[1].ifindex)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "interfaces",
                            "name two", "interface %s is named twice",
                            io->ports[0].name);
    return NSP_OK;
}

/* Each worker has queues of its own at both ports; where a connection's ways
 * are to meet in one worker, their numbers must be the same. */
static int
check_queues(const struct nsp_io *io, struct nsp_diag *reterr)
{
    const struct nsp_bridge_port *a = &io->ports[0], *b = &io->ports[1];

    if (io->queue_count == 1)
        return NSP_OK;
    if (a->queues != b->queues)
        return nsp_diag_set(
            reterr, NSP_NOT_POSSIBLE, "queues",
            "make them equal (ethtool -L NAME combined N), or use one worker",
            "%s has %u queues and %s %u: several workers need as many at both",
            a->name, a->queues, b->name, b->queues);
    if (io->queue_count > a->queues)
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "queues",
                            "use fewer workers, or give the interfaces more: "
                            "ethtool -L NAME combined N",
                            "%u workers, but %s and %s have %u queues",
                            io->queue_count, a->name, b->name, a->queues);
    return NSP_OK;
}

static uint32_t
highest_mtu(const struct nsp_io *io)
{
    return nsp_max_u32(atomic_load(&io->ports[0].mtu),
                       atomic_load(&io->ports[1].mtu));
}

/* The size of frames' rooms, for the longest of both ports. */
static void
choose_rooms(const struct nsp_io *io, uint32_t *ret_chunk_bytes,
             uint32_t *ret_large_chunks)
{
    uint32_t mtu = highest_mtu(io);
    uint32_t bytes = mtu + NSP_BRIDGE_LINK_BYTES + NSP_BRIDGE_HEADROOM_BYTES;

    *ret_chunk_bytes =
        bytes <= CHUNK_BYTES_MIN ? CHUNK_BYTES_MIN : CHUNK_BYTES_MAX;
    *ret_large_chunks = mtu <= MTU_OF_A_PAGE
                            ? 0
                            : (bytes + CHUNK_BYTES_MAX - 1) / CHUNK_BYTES_MAX;
}

static int
fail_pieces(const struct nsp_io *io, struct nsp_diag *reterr)
{
    uint32_t mtu = highest_mtu(io);

    return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "mtu",
                        "lower it at both: ip link set NAME mtu 3500",
                        "interface %s has an MTU of %u: frames that do not fit "
                        "a page need Linux 6.6",
                        io->ports[atomic_load(&io->ports[0].mtu) != mtu].name,
                        mtu);
}

/* --- Sockets -------------------------------------------------------------- */

static int
open_queue(struct nsp_bridge_queue *queue,
           const struct nsp_bridge_queue_config *cfg, const char **reterr_step)
{
    const struct timespec pause = { .tv_nsec = BUSY_WAIT_NS };
    int err = 0;

    for (uint32_t i = 0; i < BUSY_TRIES; i++) {
        err = nsp_bridge_queue_open(queue, cfg, reterr_step);
        if (err != -EBUSY)
            return err;
        nsp_bridge_queue_close(queue);
        (void)nanosleep(&pause, NULL);
    }
    return err;
}

static int
open_queues(struct nsp_io *io, const struct nsp_io_config *cfg,
            const struct nsp_bridge_config *device, struct nsp_diag *reterr)
{
    struct nsp_bridge_queue_config queue_cfg = {
        .workers = io->queue_count,
        .ports = io->ports,
        .max_held_pkts = cfg->max_held_pkts,
        .busy_poll_us = device->busy_poll_us,
        .copy = device->copy,
        .complete_checksums = device->complete_checksums,
        .allocator = io->allocator,
    };

    choose_rooms(io, &queue_cfg.chunk_bytes, &queue_cfg.large_chunks);
    io->queues = nsp_alloc(&io->allocator, io->queue_count, sizeof *io->queues);
    if (!io->queues)
        return nsp_device_fail_memory(reterr);
    for (uint32_t i = 0; i < io->queue_count; i++) {
        const char *step = "";
        int err;

        queue_cfg.index = i;
        err = open_queue(&io->queues[i], &queue_cfg, &step);
        if (err == -EBUSY)
            return nsp_diag_set(reterr, NSP_OPEN_FAILED, "interface-taken",
                                "end the other one first",
                                "another program has AF_XDP sockets at %s or "
                                "%s",
                                io->ports[0].name, io->ports[1].name);
        io->queues_open++;
        if (err == -EINVAL && queue_cfg.large_chunks > 0)
            return fail_pieces(io, reterr);
        if (err < 0)
            return fail_step(reterr, err, step);
    }
    return NSP_OK;
}

/* --- Programs ------------------------------------------------------------- */

/* Puts the sockets of 'port' in the map. */
static int
fill_map(const struct nsp_io *io, uint32_t port, int sockets_fd)
{
    for (uint32_t q = 0; q < io->queue_count; q++) {
        const struct nsp_bridge_queue *queue = &io->queues[q];

        for (uint32_t i = 0; i < queue->socket_count[port]; i++) {
            uint32_t fd = (uint32_t)queue->sockets[port][i].fd;
            int err =
                nsp_bpf_array_set(sockets_fd, q + i * io->queue_count, &fd);

            if (err < 0)
                return err;
        }
    }
    return 0;
}

/* The driver of 'port' has refused the program. */
static int
fail_attach(struct nsp_diag *reterr, int err,
            const struct nsp_bridge_port *port)
{
    switch (err) {
    case -EOPNOTSUPP:
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "no-xdp",
                            "let frames be taken in the stack: "
                            "NSP_BRIDGE_ATTACH_AUTO",
                            "the driver of interface %s has no XDP",
                            port->name);
    case -EBUSY:
    case -EEXIST:
        return fail_port(reterr, -EEXIST, port->name);
    case -ERANGE:
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "mtu",
                            "lower it there and at the other end: ip link set "
                            "NAME mtu 3400",
                            "the driver of interface %s wants a lower MTU for "
                            "XDP",
                            port->name);
    case -ENOSPC:
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "queues",
                            "give it as many as its other end sends by: "
                            "ethtool -L NAME rx N",
                            "interface %s has too few receive queues",
                            port->name);
    default:
        return fail_step(reterr, err, "cannot attach the program");
    }
}

/* Attaches the program where 'attach' (enum nsp_bridge_attach) wants it; what
 * is taken over stays where it is. */
static int
attach_to(struct nsp_io *io, struct nsp_bridge_port *port, int program_fd,
          uint8_t attach)
{
    bool by_stack = attach == NSP_BRIDGE_ATTACH_STACK ||
                    (attach == NSP_BRIDGE_ATTACH_AUTO && port->generic);
    int err = -EOPNOTSUPP;

    if (!by_stack)
        err = nsp_bridge_port_attach_xdp(port, program_fd, false);
    if (err != -EOPNOTSUPP || attach == NSP_BRIDGE_ATTACH_DRIVER)
        return err;
    err = nsp_bridge_port_attach_xdp(port, program_fd, true);
    if (err == 0)
        nsp_log_write(&io->log, NSP_LOG_WARNING,
                      "bridge: %s: frames are taken in the stack, not in the "
                      "driver: slower, and without superpackets of virtual "
                      "senders",
                      port->name);
    return err;
}

/* Tells whether the stack may forward what the filter does not match: it is
 * slower at that than drivers that need not copy frames. */
static bool
may_pass_by(const struct nsp_io *io, const struct nsp_bridge_config *device)
{
    return !device->take_all && !io->queues[0].sockets[0][0].zero_copy;
}

static int
attach_xdp(struct nsp_io *io, const struct nsp_io_config *cfg, uint32_t port,
           struct nsp_diag *reterr)
{
    const struct nsp_bridge_config *device = cfg->device;
    struct nsp_bridge_steer *steer = &io->steers[port];
    int fd, err;

    *steer = (struct nsp_bridge_steer){
        .workers = io->queue_count,
        .beats_fd = io->beats.map_fd,
        .sockets_fd =
            nsp_bpf_xskmap_create("nsp_bridge", io->ports[port].queues),
        .fail_closed = io->fail_closed,
        .pieces = io->queues[0].config.large_chunks > 0,
        .ifindex = io->ports[port].ifindex,
        .filter = may_pass_by(io, device) ? cfg->filter : NULL,
    };
    if (steer->sockets_fd < 0)
        return fail_program(reterr, steer->sockets_fd, "a map of sockets");
    fd = fill_map(io, port, steer->sockets_fd);
    if (fd == 0)
        fd = nsp_bridge_load_xdp(steer, &io->allocator);
    if (fd < 0)
        return fail_program(reterr, fd, "the program that takes frames");

    err = attach_to(io, &io->ports[port], fd, device->attach);
    close(fd);
    return err < 0 ? fail_attach(reterr, err, &io->ports[port]) : NSP_OK;
}

static int
attach_tc(struct nsp_io *io, uint32_t port, struct nsp_diag *reterr)
{
    int fd = nsp_bridge_load_tc(io->ports[port ^ 1u].ifindex);
    int err;

    if (fd < 0)
        return fail_program(reterr, fd, "the program that passes frames by");
    err = nsp_bridge_port_attach_tc(&io->ports[port], fd);
    close(fd);
    if (err == -ENOENT || err == -EOPNOTSUPP)
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "kernel-feature",
                            "it needs CONFIG_NET_SCH_INGRESS (or NET_CLS_ACT) "
                            "and CONFIG_NET_CLS_BPF",
                            "the kernel lacks clsact filters");
    if (err < 0)
        return fail_step(reterr, err, "cannot attach a clsact filter");
    return NSP_OK;
}

/* The first of the steps that need a privilege: others would tell the lack of
 * it as one of memory. */
static int
open_beats(struct nsp_io *io, const struct nsp_bridge_config *device,
           struct nsp_diag *reterr)
{
    int err = nsp_beats_open(&io->beats, io->queue_count,
                             device->hang_ms ? device->hang_ms
                                             : NSP_DEVICE_HANG_MS_DEFAULT);

    return err < 0 ? fail_program(reterr, err, "an eBPF map") : NSP_OK;
}

static int
attach_programs(struct nsp_io *io, const struct nsp_io_config *cfg,
                struct nsp_diag *reterr)
{
    int result = NSP_OK;

    /* From here on packets come. */
    for (uint32_t port = 0; port < 2 && result == NSP_OK; port++)
        result = attach_xdp(io, cfg, port, reterr);
    for (uint32_t port = 0; port < 2 && result == NSP_OK; port++)
        result = attach_tc(io, port, reterr);
    return result;
}

/* --- Opening -------------------------------------------------------------- */

static void
log_open(const struct nsp_io *io)
{
    const struct nsp_bridge_queue *queue = &io->queues[0];

    for (uint32_t port = 0; port < 2; port++)
        nsp_log_write(&io->log, NSP_LOG_INFO, "bridge: %s: %u queues, %s%s%s",
                      io->ports[port].name, io->ports[port].queues,
                      queue->sockets[port][0].zero_copy ? "zero copy"
                                                        : "frames are copied",
                      queue->memory.requests
                          ? ""
                          : ", checksums are completed in software",
                      io->ports[port].taken_over
                          ? ", taken over from an engine that was killed"
                          : "");
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
        result = check_queues(io, reterr);
    if (result == NSP_OK)
        result = open_beats(io, device, reterr);
    if (result == NSP_OK)
        result = open_queues(io, cfg, device, reterr);
    if (result != NSP_OK)
        return result;

    err = nsp_link_watch_open(&io->watch);
    for (uint32_t port = 0; port < 2 && err == 0; port++)
        err = nsp_bridge_port_prepare(&io->ports[port]);
    if (err < 0)
        return fail_step(reterr, err, "cannot set the interfaces up");
    result = attach_programs(io, cfg, reterr);
    if (result == NSP_OK)
        log_open(io);
    return result;
}
