#ifndef NSP_IO_TAP_WATCH_H
#define NSP_IO_TAP_WATCH_H
#include <stdatomic.h>

#include "os/linux/link_watch.h"
#include "os/os.h"

/* What becomes of a tap's interfaces while it is open. One that was removed is
 * left; one that comes up is taken, if all were asked for or it has the name of
 * one that was left. Of others that are or come up, where all were asked for, a
 * warning says once why they are not taken, unless another device takes what
 * leaves there (shares_output).
 *
 * Threads  One of its own, so that no worker waits while programs are loaded.
 */
#define NSP_TAP_WARNED_MAX 64u

struct nsp_tap_watcher {
    struct nsp_link_watch watch;
    struct nsp_thread thread;
    struct nsp_wakeup end;
    atomic_bool ending;
    bool running;
    uint32_t next_slot; /* Where to look for a free one first: a packet that
                         * waits for a slot's last owner should not meet the
                         * next. */
    uint32_t warned[NSP_TAP_WARNED_MAX]; /* Interfaces, by number. */
    uint32_t warned_count;
};

struct nsp_io;

/* Opens the watch: what happens from here on will be told. Then starts telling,
 * when all interfaces that there were are taken. Each returns 0 or a negative
 * errno; either way it is to be ended. */
int nsp_tap_watch_open(struct nsp_tap_watcher *watcher) NSP_MUSTCHECK;
int nsp_tap_watch_start(struct nsp_io *io) NSP_MUSTCHECK;
void nsp_tap_watch_end(struct nsp_tap_watcher *watcher);

/* Warns of an interface that was up when all were asked for and is not taken:
 * without Ethernet headers, or the room was used up. From the watch's thread,
 * or before that runs. */
void nsp_tap_warn_left_out(struct nsp_io *io, uint32_t ifindex,
                           const char *name, bool ethernet);

#endif /* NSP_IO_TAP_WATCH_H */
