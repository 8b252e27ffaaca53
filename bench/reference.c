#define _GNU_SOURCE
#include "bench/reference.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "os/linux/beats.h"
#include "os/linux/bpf_call.h"

#define POLL_MS 100

static volatile sig_atomic_t stopped;

static void
stop(int number)
{
    (void)number;
    stopped = 1;
}

int
bench_make_words(void)
{
    static struct nsp_beats_shared words;
    int err, fd = nsp_bpf_array_create("beats", sizeof words, 1, true);

    if (fd < 0)
        return fd;
    words.beats[0].until_ns = UINT64_MAX;
    words.owner = 1; /* Anything that is neither dead nor closed. */
    err = nsp_bpf_array_set(fd, 0, &words);
    return err < 0 ? err : fd;
}

void
bench_cross(const int fds[2], bench_move_fn *move)
{
    uint64_t frames = 0;

    signal(SIGINT, stop);
    printf("ready\n");
    fflush(stdout);
    while (!stopped) {
        struct pollfd sleeps_on[2] = { { .fd = fds[0], .events = POLLIN },
                                       { .fd = fds[1], .events = POLLIN } };
        uint32_t n = move(0) + move(1);

        frames += n;
        if (n == 0)
            poll(sleeps_on, 2, POLL_MS);
    }
    printf("%" PRIu64 "\n", frames);
}
