#define _GNU_SOURCE
/* The bridge by way of its drivers: XDP and AF_XDP sockets. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/log.h"
#include "base/memory.h"
#include "io/bridge/bridge_binding.h"
#include "io/bridge/bridge_device.h"
#include "io/device.h"
#include "netshaper/engine.h"
#include "os/linux/bpf_call.h"

#define CHUNK_BYTES_MIN 2048u
#define CHUNK_BYTES_MAX 4096u

/* Of a page the kernel has its own notes at the end: interfaces with a higher
 * MTU hand frames over in pieces. */
#define MTU_OF_A_PAGE 3500u

/* --- Sockets -------------------------------------------------------------- */

/* Each worker has queues of its own at both ports; where a connection's ways
 * are to meet in one worker, their numbers must be the same. */
static int
check_queues(const struct nsp_io *io, struct nsp_diag *reterr)
{
    const struct nsp_bridge_port *a = &io->ports[0], *b = &io->ports[1];

    for (uint32_t port = 0; port < 2; port++)
        if (io->ports[port].queues > NSP_BRIDGE_QUEUES_MAX)
            return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "queues",
                                "give it fewer: ethtool -L NAME combined 16",
                                "interface %s has %u queues, more than %u",
                                io->ports[port].name, io->ports[port].queues,
                                NSP_BRIDGE_QUEUES_MAX);
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

static int
open_queues(struct nsp_io *io, const struct nsp_io_config *cfg,
            bool *ret_missing, struct nsp_diag *reterr)
{
    const struct nsp_bridge_config *device = cfg->device;
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
        err = nsp_bridge_queue_open(&io->queues[i], &queue_cfg, &step);
        io->lanes[io->lanes_open++] = &io->queues[i].lane;
        *ret_missing = err == -EAFNOSUPPORT;
        if (err == -EBUSY)
            return nsp_diag_set(reterr, NSP_OPEN_FAILED, "interface-taken",
                                "end the other one first",
                                "another program has AF_XDP sockets at %s or "
                                "%s",
                                io->ports[0].name, io->ports[1].name);
        if (err == -EINVAL && queue_cfg.large_chunks > 0)
            return fail_pieces(io, reterr);
        if (err < 0)
            return nsp_bridge_fail_step(reterr, err, step);
    }
    return NSP_OK;
}

/* --- Programs ------------------------------------------------------------- */

/* Puts the sockets of 'port' in the map. */
static int
fill_map(const struct nsp_io *io, uint32_t port, int sockets_fd)
{
    int err = 0;

    for (uint32_t q = 0; q < io->queue_count && err == 0; q++)
        err = nsp_bridge_map(&io->queues[q], port, sockets_fd);
    return err;
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
        return nsp_bridge_fail_port(reterr, -EEXIST, port->name);
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
        return nsp_bridge_fail_step(reterr, err, "cannot attach the program");
    }
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
           bool *ret_missing, struct nsp_diag *reterr)
{
    struct nsp_bridge_steer *steer = &io->steers[port];
    int fd, err;

    *steer = (struct nsp_bridge_steer){
        .workers = io->queue_count,
        .beats_fd = io->beats.map_fd,
        .sockets_fd =
            nsp_bpf_xskmap_create("nsp_bridge", NSP_BRIDGE_QUEUES_MAX),
        .fail_closed = io->fail_closed,
        .pieces = io->queues[0].config.large_chunks > 0,
        .ifindex = io->ports[port].ifindex,
        .filter = may_pass_by(io, cfg->device) ? cfg->filter : NULL,
    };
    if (steer->sockets_fd < 0)
        return nsp_bridge_fail_program(reterr, steer->sockets_fd,
                                       "a map of sockets");
    fd = fill_map(io, port, steer->sockets_fd);
    if (fd == 0)
        fd = nsp_bridge_load_steer(steer, &io->allocator);
    if (fd < 0)
        return nsp_bridge_fail_program(reterr, fd,
                                       "the program that takes frames");

    err = nsp_bridge_port_attach_xdp(&io->ports[port], fd);
    close(fd);
    *ret_missing = err == -EOPNOTSUPP;
    return err < 0 ? fail_attach(reterr, err, &io->ports[port]) : NSP_OK;
}

static int
attach_tc(struct nsp_io *io, uint32_t port, struct nsp_diag *reterr)
{
    uint32_t peer_ifindex = io->ports[port ^ 1u].ifindex;
    int fd = nsp_bridge_load_onward(peer_ifindex);
    int err;

    if (fd < 0)
        return nsp_bridge_fail_program(reterr, fd,
                                       "the program that passes frames by");
    err = nsp_bridge_port_attach_tc(&io->ports[port], fd, peer_ifindex);
    close(fd);
    return err < 0 ? nsp_bridge_fail_clsact(reterr, err) : NSP_OK;
}

static void
log_open(const struct nsp_io *io)
{
    const struct nsp_bridge_queue *queue = &io->queues[0];

    for (uint32_t port = 0; port < 2; port++)
        nsp_log_write(&io->log, NSP_LOG_INFO, "bridge: %s: %u queues, %s%s",
                      io->ports[port].name, io->ports[port].queues,
                      queue->sockets[port][0].zero_copy ? "zero copy"
                                                        : "frames are copied",
                      queue->memory.requests
                          ? ""
                          : ", checksums are completed in software");
}

/* Tells whether the kernel or a driver has no XDP, before that shows. */
static bool
lacks_xdp(struct nsp_io *io)
{
    int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return errno == EAFNOSUPPORT;
    close(fd);
    return nsp_bridge_port_lacks_xdp(&io->ports[0]) ||
           nsp_bridge_port_lacks_xdp(&io->ports[1]);
}

int
nsp_bridge_open_xdp(struct nsp_io *io, const struct nsp_io_config *cfg,
                    bool *ret_missing, struct nsp_diag *reterr)
{
    int result, err = 0;

    *ret_missing = false;
    result = check_queues(io, reterr);
    if (result != NSP_OK)
        *ret_missing = lacks_xdp(io);
    if (result == NSP_OK)
        result = open_queues(io, cfg, ret_missing, reterr);
    /* From here on packets come. */
    for (uint32_t port = 0; port < 2 && result == NSP_OK; port++)
        result = attach_xdp(io, cfg, port, ret_missing, reterr);
    if (result != NSP_OK)
        return result;
    for (uint32_t port = 0; port < 2 && err == 0; port++)
        err = nsp_bridge_port_prepare(&io->ports[port], true);
    if (err < 0)
        return nsp_bridge_fail_step(reterr, err,
                                    "cannot set the interfaces up");
    for (uint32_t port = 0; port < 2 && result == NSP_OK; port++)
        result = attach_tc(io, port, reterr);
    if (result == NSP_OK)
        log_open(io);
    return result;
}
