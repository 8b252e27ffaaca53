#define _GNU_SOURCE
/* What a TAP can do without an engine: the peer of the tap benchmarks.
 *
 *     tap_reference INTERFACE [--busy]
 *
 * Diverts what this network namespace sends and receives at INTERFACE to a TAP,
 * and writes back at once what it reads there: one buffer, no packet, no
 * descriptor, nothing held; with --busy it looks again at once where nothing is
 * there, and never sleeps. Prints "ready" when packets are being diverted, and
 * their number when SIGINT or SIGTERM ends it. Setting up is the library's own,
 * the loop is not. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "bench/reference.h"
#include "io/tap/tap_interface.h"
#include "io/tap/tap_program.h"
#include "os/linux/bpf_call.h"
#include "os/linux/tap_link.h"
#include "os/linux/tc_hook.h"

#define BURST   64
#define POLL_MS 100

static volatile sig_atomic_t stopped;

static void
stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

static uint64_t
reflect(int fd, bool busy)
{
    static _Alignas(NSP_CACHE_LINE) uint8_t bytes[128u << 10];
    uint64_t pkts = 0;

    while (!stopped) {
        int n = 0;

        for (; n < BURST; n++) {
            ssize_t got = read(fd, bytes, sizeof bytes);

            if (got < 0)
                break;
            if (write(fd, bytes, (size_t)got) < 0)
                perror("write");
        }
        pkts += (uint64_t)n;
        if (n == 0 && !busy)
            poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, POLL_MS);
    }
    return pkts;
}

static int
attach(const struct nsp_tap_link *link,
       const struct nsp_tap_interface *interface, struct nsp_tc_hook hooks[3])
{
    struct nsp_tap_divert divert = {
        .ifindex = interface->ifindex,
        .tap_ifindex = link->ifindex,
        .loopback = interface->loopback,
        .superpackets = true,
        .queues = 1,
        .shared_fd = bench_make_words(),
    };
    struct nsp_tap_place place = { interface->ifindex, interface->loopback };
    int places = nsp_bpf_array_create("places", sizeof place,
                                      NSP_TAP_INTERFACES_MAX, false);
    int err = divert.shared_fd < 0 ? divert.shared_fd : places;

    if (err >= 0)
        err = nsp_bpf_array_set(places, 0, &place);
    if (err >= 0)
        err = nsp_tap_load_return(places, NULL, 0);
    if (err >= 0)
        err = nsp_tc_hook_attach(&hooks[0], NSP_TC_TCX, err, link->ifindex,
                                 true, link->ifindex);
    for (int ingress = 0; ingress < 2 && err >= 0; ingress++) {
        divert.ingress = ingress;
        err = nsp_tap_load_divert(&divert, &nsp_libc_allocator, NULL, 0);
        if (err >= 0)
            err =
                nsp_tc_hook_attach(&hooks[1 + ingress], NSP_TC_TCX, err,
                                   interface->ifindex, ingress, link->ifindex);
    }
    return err;
}

int
main(int argc, char **argv)
{
    const struct sigaction action = { .sa_handler = stop };
    const struct nsp_tap_link_config cfg = {
        .queues = 1,
        .queue_pkts = 4096,
        .superpackets = true,
    };
    struct nsp_tap_interface interface;
    struct nsp_tc_hook hooks[3];
    struct nsp_tap_link link;
    bool busy = argc == 3 && strcmp(argv[2], "--busy") == 0;
    const char *step;
    int err;

    if (argc != 2 && !busy) {
        fprintf(stderr, "usage: %s INTERFACE [--busy]\n", argv[0]);
        return 2;
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    err = nsp_tap_interface_find(argv[1], &interface);
    if (err >= 0)
        err = nsp_tap_link_open(&link, &cfg, &step);
    if (err >= 0)
        err = attach(&link, &interface, hooks);
    if (err < 0) {
        fprintf(stderr, "%s: %s\n", argv[0], strerror(-err));
        return err == -EPERM ? 3 : 1;
    }
    puts("ready");
    fflush(stdout);
    printf("%" PRIu64 " packets\n", reflect(link.fds[0], busy));
    return 0;
}
