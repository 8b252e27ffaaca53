#define _GNU_SOURCE
/* What becomes of the bridge's interfaces, and what the bridge does about it.
 *
 *   down      It is waited for.
 *   removed   The device ends.
 *   moved     To another network namespace: as removed. What is left there, but
 *             the filter, which the kernel takes off, is out of reach; its
 *             program lets all pass as soon as the device has ended.
 *   program   One of ours that was taken off is put back. While another XDP
 *             program is there, frames are its own, and those that it lets pass
 *             cross in the kernel (fail_closed: the device ends); when it goes,
 *             ours comes back.
 *   queues    The workers bind sockets to those that there are now. Where they
 *             are not such as several workers need, those of before stay, and
 *             frames of others cross in the kernel (fail_closed: are dropped).
 *             In the stack their number does not matter.
 *   sink      In the stack: what is sent to one that is down, or gone, nobody
 *             hears. The device ends.
 *
 * Worker 0 reads the news. 'programs_gate' is around what others may do to
 * programs and sockets meanwhile. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "io/bridge/bridge_binding.h"
#include "io/bridge/bridge_device.h"

static void NSP_PRINTF(3, 4)
    end_device(struct nsp_io *io, int err, const char *format, ...)
{
    va_list args;

    if (atomic_exchange(&io->ending, true))
        return;
    va_start(args, format);
    vsnprintf(io->ended, sizeof io->ended, format, args);
    va_end(args);
    atomic_store_explicit(&io->status, err, memory_order_release);
    nsp_bridge_wake(io);
}

/* Tells whether it is the same interface still, and what is known of it. */
static bool
look(const struct nsp_bridge_port *port, struct nsp_link_news *ret)
{
    return nsp_link_find(port->name, ret) == 0 && ret->ifindex == port->ifindex;
}

/* --- Programs ------------------------------------------------------------- */

/* What became of putting a program of ours back. */
static void
tell_put_back(struct nsp_io *io, int err, const char *kind,
              const struct nsp_bridge_port *port)
{
    /* The interface has gone meanwhile, or somebody was quicker: news of that
     * is on its way. */
    if (err == -ENODEV || err == -EBUSY || err == -EEXIST)
        return;
    if (err < 0)
        end_device(io, err, "cannot put the %s program back at %s: %s", kind,
                   port->name, strerror(-err));
    else
        nsp_log_write(&io->log, NSP_LOG_WARNING,
                      "bridge: the %s program that was taken off %s is back",
                      kind, port->name);
}

/* News may be older than our own program: asks for the present one. */
static void
check_xdp(struct nsp_io *io, struct nsp_bridge_port *port)
{
    struct nsp_link_news link;

    if (!look(port, &link) || nsp_bridge_port_owns(port, link.xdp_prog_id))
        return;
    if (link.xdp_prog_id == 0) {
        port->foreign_xdp = false;
        tell_put_back(io, nsp_bridge_port_put_back_xdp(port), "XDP", port);
    } else if (io->fail_closed) {
        end_device(io, -EBUSY, "somebody put another XDP program (id %u) at %s",
                   link.xdp_prog_id, port->name);
    } else if (!port->foreign_xdp) {
        port->foreign_xdp = true;
        nsp_log_write(&io->log, NSP_LOG_WARNING,
                      "bridge: somebody put another XDP program (id %u) at %s: "
                      "until it goes, frames pass by",
                      link.xdp_prog_id, port->name);
    }
}

/* Without the program in the stack frames that others let pass would end. */
static void
check_filter(struct nsp_io *io, struct nsp_bridge_port *port)
{
    struct nsp_link_news link;

    if (!port->tc.attached || !look(port, &link) ||
        nsp_tc_hook_is_left(port->ifindex, true))
        return;
    tell_put_back(io, nsp_bridge_port_put_back_tc(port), "clsact", port);
}

static void
check_programs(struct nsp_io *io, struct nsp_bridge_port *port,
               void (*check)(struct nsp_io *, struct nsp_bridge_port *))
{
    nsp_gate_lock(io->programs_gate);
    if (!atomic_load(&io->quiesced))
        check(io, port);
    nsp_gate_unlock(io->programs_gate);
}

/* --- Queues --------------------------------------------------------------- */

static bool
suit_workers(const struct nsp_io *io)
{
    const struct nsp_bridge_port *a = &io->ports[0], *b = &io->ports[1];

    return nsp_min_u32(a->queues_told, b->queues_told) >= io->queue_count &&
           nsp_max_u32(a->queues_told, b->queues_told) <=
               NSP_BRIDGE_QUEUES_MAX &&
           (io->queue_count == 1 || a->queues_told == b->queues_told);
}

/* Has the workers follow, where they can, and the programs in any case: what
 * comes by a queue without a socket is theirs. */
static void
change_queues(struct nsp_io *io, struct nsp_bridge_port *port, uint32_t queues)
{
    int err;

    nsp_log_write(&io->log, NSP_LOG_WARNING,
                  "bridge: interface %s now has %u queues, not %u", port->name,
                  queues, port->queues_told);
    port->queues_told = queues;
    if (suit_workers(io)) {
        for (uint32_t i = 0; i < 2; i++)
            atomic_store(&io->ports[i].queues, io->ports[i].queues_told);
        atomic_fetch_add(&io->bindings, 1);
        nsp_bridge_wake(io);
    } else {
        nsp_log_write(&io->log, NSP_LOG_WARNING,
                      "bridge: with %u workers, frames of new queues %s until "
                      "both interfaces have as many",
                      io->queue_count,
                      io->fail_closed ? "are dropped" : "cross in the kernel");
    }
    nsp_gate_lock(io->programs_gate);
    err = atomic_load(&io->quiesced) ? 0 : nsp_bridge_reload(io);
    nsp_gate_unlock(io->programs_gate);
    if (err < 0)
        end_device(io, err, "cannot load the programs anew: %s",
                   strerror(-err));
}

/* A worker whose sockets are not those of the queues that there are. */
static void
rebind(struct nsp_io *io, struct nsp_bridge_queue *queue)
{
    const char *step = "cannot tell the programs of AF_XDP sockets";
    int err = nsp_bridge_queue_rebind(queue, &step);

    for (uint32_t port = 0; port < 2 && err == 0; port++)
        err = nsp_bridge_map(queue, port, io->steers[port].sockets_fd);
    if (err < 0)
        end_device(io, err, "%s: %s", step, strerror(-err));
}

void
nsp_bridge_follow(struct nsp_io *io, uint32_t worker)
{
    uint32_t bindings =
        atomic_load_explicit(&io->bindings, memory_order_acquire);
    struct nsp_bridge_lane *lane = io->lanes[worker];

    if (lane->bindings == bindings)
        return;
    lane->bindings = bindings;
    nsp_gate_lock(io->programs_gate);
    if (!atomic_load(&io->quiesced))
        rebind(io, &io->queues[worker]);
    nsp_gate_unlock(io->programs_gate);
}

/* --- News ----------------------------------------------------------------- */

static void
tell_removal(struct nsp_io *io, const struct nsp_bridge_port *port, bool moved)
{
    if (moved)
        nsp_log_write(&io->log, NSP_LOG_WARNING,
                      "bridge: %s keeps promiscuous mode%s in its new network "
                      "namespace; there: ip link set %s promisc off%s",
                      port->name,
                      io->by_stack ? "" : ", and a program that lets all pass,",
                      port->name, io->by_stack ? "" : " xdp off");
    end_device(io, -ENODEV,
               moved ? "interface %s was moved to another network namespace"
                     : "interface %s was removed",
               port->name);
}

static void
take_news_of(struct nsp_io *io, struct nsp_bridge_port *port,
             const struct nsp_link_news *news)
{
    uint32_t queues;

    if (news->filters) {
        check_programs(io, port, check_filter);
        return;
    }
    if (news->removed) {
        tell_removal(io, port, news->moved);
        return;
    }
    if (news->mtu != 0)
        atomic_store_explicit(&port->mtu, news->mtu, memory_order_relaxed);
    atomic_store_explicit(&port->up, news->up, memory_order_relaxed);
    if (io->by_stack)
        return;
    if (news->tells_xdp && !nsp_bridge_port_owns(port, news->xdp_prog_id))
        check_programs(io, port, check_xdp);
    queues = nsp_bridge_port_count_queues(port);
    if (queues != port->queues_told)
        change_queues(io, port, queues);
}

/* News may be older than that the sink came up: asks for the present state. */
static void
check_sink(struct nsp_io *io, const struct nsp_tap_link *sink)
{
    int err = nsp_tap_link_check_up(sink);

    if (err < 0)
        end_device(io, err, "%s, where frames of an interface end, was %s",
                   sink->name, err == -ENETDOWN ? "taken down" : "removed");
}

static void
take_news(void *context, const struct nsp_link_news *news)
{
    struct nsp_io *io = context;

    for (uint32_t port = 0; port < 2; port++) {
        if (io->ports[port].ifindex == news->ifindex)
            take_news_of(io, &io->ports[port], news);
        if (io->by_stack && io->sinks[port].ifindex == news->ifindex)
            check_sink(io, &io->sinks[port]);
    }
}

/* Where some was lost, it may have been that a port went, or a program. */
void
nsp_bridge_read_news(struct nsp_io *io)
{
    if (!nsp_link_watch_read(&io->watch, take_news, io))
        return;
    for (uint32_t port = 0; port < 2; port++) {
        nsp_link_watch_miss(io->ports[port].ifindex, take_news, io);
        if (io->by_stack)
            check_sink(io, &io->sinks[port]);
        check_programs(io, &io->ports[port], check_filter);
    }
}
