#define _GNU_SOURCE
#include "io/tap/tap_watch.h"

#include <errno.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "io/tap/tap_device.h"

/* --- Interfaces that go --------------------------------------------------- */

static void
end_device(struct nsp_io *io, int err, const char *name)
{
    if (atomic_load_explicit(&io->status, memory_order_relaxed) != 0)
        return;
    memcpy(io->lost, name, sizeof io->lost);
    atomic_store_explicit(&io->status, err, memory_order_release);
    for (uint32_t i = 0; i < io->queue_count; i++)
        nsp_wakeup_set(&io->queues[i].wakeup);
}

static void
leave(struct nsp_io *io, uint32_t slot)
{
    struct nsp_tap_interface *interface = &io->interfaces[slot];

    nsp_log_write(&io->log, NSP_LOG_WARNING, "tap: interface %s was removed",
                  interface->name);
    nsp_gate_lock(io->hooks_gate);
    nsp_tap_leave_interface(io, slot);
    nsp_gate_unlock(io->hooks_gate);
    if (--io->interfaces_left == 0)
        end_device(io, -ENODEV, interface->name);
}

/* --- Interfaces that come ------------------------------------------------- */

static void
warn_once(struct nsp_io *io, uint32_t ifindex, const char *name,
          const char *why)
{
    struct nsp_tap_watcher *watcher = &io->watcher;

    for (uint32_t i = 0; i < watcher->warned_count; i++)
        if (watcher->warned[i] == ifindex)
            return;
    if (watcher->warned_count == NSP_TAP_WARNED_MAX)
        return;
    watcher->warned[watcher->warned_count++] = ifindex;
    nsp_log_write(&io->log, NSP_LOG_WARNING,
                  "tap: interface %s is not taken: %s", name, why);
}

void
nsp_tap_warn_left_out(struct nsp_io *io, uint32_t ifindex, const char *name,
                      bool ethernet)
{
    if (ethernet)
        warn_once(io, ifindex, name,
                  "as many as can be taken are; name those that matter");
    else if (!io->shares_output)
        warn_once(io, ifindex, name,
                  "its packets have no Ethernet header; the nfqueue backend "
                  "takes them");
}

/* The slot that 'news' may have: that of its name, or one that is free where
 * all interfaces are taken. NSP_TAP_INTERFACES_MAX: none. */
static uint32_t
find_slot(const struct nsp_io *io, const struct nsp_link_news *news)
{
    for (uint32_t slot = 0; slot < NSP_TAP_INTERFACES_MAX; slot++)
        if (io->interfaces[slot].ifindex == 0 &&
            strcmp(io->interfaces[slot].name, news->name) == 0)
            return slot;
    for (uint32_t i = 0; i < NSP_TAP_INTERFACES_MAX && io->takes_all; i++) {
        uint32_t slot = (io->watcher.next_slot + i) % NSP_TAP_INTERFACES_MAX;

        if (io->interfaces[slot].ifindex == 0)
            return slot;
    }
    return NSP_TAP_INTERFACES_MAX;
}

static void
take(struct nsp_io *io, const struct nsp_link_news *news, uint32_t slot)
{
    struct nsp_tap_interface *interface = &io->interfaces[slot];
    struct nsp_diag diag;
    int result;

    nsp_gate_lock(io->hooks_gate);
    snprintf(interface->name, sizeof interface->name, "%s", news->name);
    interface->ifindex = news->ifindex;
    interface->loopback = news->type == ARPHRD_LOOPBACK;
    result = io->quiesced ? NSP_OK : nsp_tap_take_interface(io, slot, &diag);
    if (result != NSP_OK)
        interface->ifindex = 0;
    nsp_gate_unlock(io->hooks_gate);
    if (result == NSP_OK) {
        io->interfaces_left++;
        io->watcher.next_slot = slot + 1;
        nsp_log_write(&io->log, NSP_LOG_INFO,
                      "tap: interface %s came up and is taken",
                      interface->name);
        return;
    }
    if (if_nametoindex(news->name) == news->ifindex) /* It is still there. */
        warn_once(io, news->ifindex, news->name, diag.text);
}

static void
consider(struct nsp_io *io, const struct nsp_link_news *news)
{
    bool ethernet = news->type == ARPHRD_ETHER || news->type == ARPHRD_LOOPBACK;
    uint32_t slot = find_slot(io, news);

    if (nsp_tap_link_is_ours(news->name) || news->has_master)
        return;
    if (ethernet && slot < NSP_TAP_INTERFACES_MAX)
        take(io, news, slot);
    else if (io->takes_all)
        nsp_tap_warn_left_out(io, news->ifindex, news->name, ethernet);
}

/* --- Thread --------------------------------------------------------------- */

/* The first news are of how it was made, and not up yet: asks for the present
 * state. */
static void
check_tap(struct nsp_io *io)
{
    int err = nsp_tap_link_check_up(&io->link);

    if (err < 0)
        end_device(io, err, io->link.name);
}

static void
take_news(void *context, const struct nsp_link_news *news)
{
    struct nsp_io *io = context;

    if (news->ifindex == io->link.ifindex) {
        check_tap(io);
        return;
    }
    for (uint32_t slot = 0; slot < NSP_TAP_INTERFACES_MAX; slot++) {
        if (io->interfaces[slot].ifindex != news->ifindex)
            continue;
        if (news->removed)
            leave(io, slot);
        return;
    }
    if (!news->removed && news->up && news->name[0] != '\0')
        consider(io, news);
}

/* Some news was lost, and it may have been that an interface went. */
static void
miss_interfaces(struct nsp_io *io)
{
    check_tap(io);
    for (uint32_t slot = 0; slot < NSP_TAP_INTERFACES_MAX; slot++)
        if (io->interfaces[slot].ifindex != 0)
            nsp_link_watch_miss(io->interfaces[slot].ifindex, take_news, io);
}

static void
watch(void *context)
{
    struct nsp_io *io = context;
    struct nsp_tap_watcher *watcher = &io->watcher;

    while (!atomic_load(&watcher->ending)) {
        if (nsp_wakeup_wait(&watcher->end, watcher->watch.fd, UINT64_MAX) < 0)
            return;
        if (nsp_link_watch_read(&watcher->watch, take_news, io))
            miss_interfaces(io);
    }
}

int
nsp_tap_watch_open(struct nsp_tap_watcher *watcher)
{
    return nsp_link_watch_open(&watcher->watch, false);
}

int
nsp_tap_watch_start(struct nsp_io *io)
{
    struct nsp_tap_watcher *watcher = &io->watcher;
    int err = nsp_wakeup_open(&watcher->end);

    if (err < 0)
        return err;
    atomic_init(&watcher->ending, false);
    err = nsp_thread_start_quiet(&watcher->thread, watch, io);
    if (err < 0)
        nsp_wakeup_close(&watcher->end);
    watcher->running = err == 0;
    return err;
}

void
nsp_tap_watch_end(struct nsp_tap_watcher *watcher)
{
    if (watcher->running) {
        atomic_store(&watcher->ending, true);
        nsp_wakeup_set(&watcher->end);
        nsp_thread_join(&watcher->thread);
        nsp_wakeup_close(&watcher->end);
        watcher->running = false;
    }
    nsp_link_watch_close(&watcher->watch);
}
