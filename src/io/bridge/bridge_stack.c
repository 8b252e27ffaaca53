#define _GNU_SOURCE
/* The bridge by way of the stack: programs at its ingress, packet sockets. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/log.h"
#include "base/memory.h"
#include "io/bridge/bridge_device.h"
#include "io/device.h"
#include "netshaper/engine.h"

/* What a slot holds beside a frame. */
#define SLOT_EXTRA_BYTES 128u
#define SLOT_BYTES_MIN   2048u
#define SLOT_BYTES_MAX   16384u

/* That wait at a sink for a processor, if any ever do. */
#define SINK_PKTS 1000u

/* --- Sinks ---------------------------------------------------------------- */

static int
fail_sink(struct nsp_diag *reterr, int err, const char *step,
          const struct nsp_bridge_port *port)
{
    if (err == -EBUSY)
        return nsp_bridge_fail_port(reterr, err, port->name);
    if (err == -ENOENT || err == -ENODEV || err == -ENXIO)
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "kernel-feature",
                            "it needs CONFIG_TUN (module tun) and "
                            "/dev/net/tun, or drivers with XDP",
                            "the kernel lacks TAP devices, where frames of %s "
                            "would end",
                            port->name);
    return nsp_bridge_fail_step(reterr, err, step);
}

static int
open_sinks(struct nsp_io *io, const struct nsp_io_config *cfg,
           struct nsp_diag *reterr)
{
    for (uint32_t port = 0; port < 2; port++) {
        char name[IF_NAMESIZE];
        const struct nsp_tap_link_config link_cfg = {
            .name = name,
            .queues = 1,
            .queue_pkts = SINK_PKTS,
            .superpackets = cfg->superpackets,
        };
        const char *step;
        int err;

        nsp_bridge_port_name_sink(&io->ports[port], name);
        err = nsp_tap_link_open(&io->sinks[port], &link_cfg, &step);
        if (err == 0)
            err = nsp_tap_link_sink(&io->sinks[port]);
        if (err < 0)
            return fail_sink(reterr, err, step, &io->ports[port]);
    }
    io->superpackets = cfg->superpackets;
    return NSP_OK;
}

/* --- Sockets -------------------------------------------------------------- */

/* For the frames of both ports, but for those that are few and long. */
static uint32_t
slot_bytes(const struct nsp_io *io)
{
    uint32_t frame_bytes = nsp_max_u32(atomic_load(&io->ports[0].mtu),
                                       atomic_load(&io->ports[1].mtu)) +
                           NSP_BRIDGE_LINK_BYTES;
    uint32_t bytes = SLOT_BYTES_MIN;

    while (bytes < SLOT_BYTES_MAX && bytes < frame_bytes + SLOT_EXTRA_BYTES)
        bytes *= 2;
    return bytes;
}

static int
open_sockets(struct nsp_io *io, const struct nsp_io_config *cfg,
             struct nsp_diag *reterr)
{
    const struct nsp_bridge_config *device = cfg->device;
    uint16_t groups[2] = { 0 };
    struct nsp_bridge_packets_config packets_cfg = {
        .workers = io->queue_count,
        .ports = io->ports,
        .sinks = io->sinks,
        .groups = groups,
        .slot_bytes = slot_bytes(io),
        .max_held_pkts = cfg->max_held_pkts,
        .complete_checksums = device->complete_checksums,
        .allocator = io->allocator,
    };

    io->packets =
        nsp_alloc(&io->allocator, io->queue_count, sizeof *io->packets);
    if (!io->packets)
        return nsp_device_fail_memory(reterr);
    for (uint32_t i = 0; i < io->queue_count; i++) {
        const char *step = "";
        int err;

        packets_cfg.index = i;
        err = nsp_bridge_packets_open(&io->packets[i], &packets_cfg, &step);
        io->lanes[io->lanes_open++] = &io->packets[i].lane;
        if (err == -EAFNOSUPPORT)
            return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "kernel-feature",
                                "it needs CONFIG_PACKET",
                                "the kernel lacks packet sockets");
        if (err < 0)
            return nsp_bridge_fail_step(reterr, err, step);
    }
    return NSP_OK;
}

/* --- Programs ------------------------------------------------------------- */

static int
attach(struct nsp_io *io, const struct nsp_io_config *cfg, uint32_t port,
       struct nsp_diag *reterr)
{
    const struct nsp_bridge_config *device = cfg->device;
    struct nsp_bridge_steer *steer = &io->steers[port];
    int fd, err;

    *steer = (struct nsp_bridge_steer){
        .workers = io->queue_count,
        .beats_fd = io->beats.map_fd,
        .sockets_fd = -1,
        .fail_closed = io->fail_closed,
        .ifindex = io->ports[port].ifindex,
        .filter = device->take_all ? NULL : cfg->filter,
        .sink_ifindex = io->sinks[port].ifindex,
        .peer_ifindex = io->ports[port ^ 1u].ifindex,
        .superpackets = io->superpackets,
    };
    fd = nsp_bridge_load_steer(steer, &io->allocator);
    if (fd < 0)
        return nsp_bridge_fail_program(reterr, fd,
                                       "the program that takes frames");
    err = nsp_bridge_port_attach_tc(&io->ports[port], fd, steer->peer_ifindex);
    close(fd);
    return err < 0 ? nsp_bridge_fail_clsact(reterr, err) : NSP_OK;
}

int
nsp_bridge_open_stack(struct nsp_io *io, const struct nsp_io_config *cfg,
                      struct nsp_diag *reterr)
{
    int result, err = 0;

    io->by_stack = true;
    result = open_sinks(io, cfg, reterr);
    if (result == NSP_OK)
        result = open_sockets(io, cfg, reterr);
    if (result != NSP_OK)
        return result;
    for (uint32_t port = 0; port < 2 && err == 0; port++)
        err = nsp_bridge_port_prepare(&io->ports[port], false);
    if (err < 0)
        return nsp_bridge_fail_step(reterr, err,
                                    "cannot set the interfaces up");
    /* From here on packets come. */
    for (uint32_t port = 0; port < 2 && result == NSP_OK; port++) {
        result = attach(io, cfg, port, reterr);
        nsp_bridge_port_clear_xdp(&io->ports[port]);
    }
    return result;
}
