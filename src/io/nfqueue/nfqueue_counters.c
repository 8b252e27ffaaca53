#define _GNU_SOURCE
#include "io/nfqueue/nfqueue_counters.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Every queue there can be, at more bytes than a row has. */
#define TABLE_BYTES_MAX ((off_t)65536 * 128)

int
nsp_nfq_counters_open(void)
{
    int fd = open("/proc/thread-self/net/netfilter/nfnetlink_queue",
                  O_RDONLY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* A row: queue number, port id, queue length, copy mode, copy range, dropped,
 * lost, last id, 1. */
static bool
parse_row(const char *row, uint16_t number, struct nsp_nfq_counters *ret)
{
    uint32_t row_number;

    return sscanf(row, "%" SCNu32 "%" SCNu32 "%*u%*u%*u%" SCNu32 "%" SCNu32,
                  &row_number, &ret->port_id, &ret->dropped_pkts,
                  &ret->lost_pkts) == 4 &&
           row_number == number;
}

int
nsp_nfq_counters_read(int fd, uint16_t number, struct nsp_nfq_counters *ret)
{
    char text[4096];
    size_t held = 0;

    for (off_t at = 0; at < TABLE_BYTES_MAX;) {
        ssize_t got = pread(fd, text + held, sizeof text - 1 - held, at);
        char *row = text, *end;

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return -ENOENT;
        at += got;
        held += (size_t)got;
        text[held] = '\0';
        for (; (end = strchr(row, '\n')) != NULL; row = end + 1) {
            *end = '\0';
            if (parse_row(row, number, ret))
                return 0;
        }
        held -= (size_t)(row - text);
        memmove(text, row, held);
    }
    return -ENOENT;
}
