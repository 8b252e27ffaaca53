#define _GNU_SOURCE
#include "io/tap/tap_counters.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH        "/proc/thread-self/net/dev"
#define CHUNK_BYTES 4096u /* A read gives whole lines, a page at most. */
#define CHUNKS_MAX  1024u

/* Of the numbers behind the name: eight of receiving, then bytes, packets and
 * errors of sending. */
#define TX_DROPPED_COLUMN 11u

int
nsp_tap_counters_open(void)
{
    int fd = open(PATH, O_RDONLY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* Finds the line of 'name' in a chunk; returns what follows the colon. */
static const char *
find_line(const char *chunk, const char *name)
{
    size_t length = strlen(name);

    for (const char *line = chunk; line; line = strchr(line, '\n')) {
        line += strspn(line, " \n");
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            return line + length + 1;
    }
    return NULL;
}

static int
read_column(const char *numbers, uint64_t *ret)
{
    char *end;

    for (uint32_t column = 0;; column++) {
        uint64_t value = strtoull(numbers, &end, 10);

        if (end == numbers)
            return -EIO;
        if (column == TX_DROPPED_COLUMN) {
            *ret = value;
            return 0;
        }
        numbers = end;
    }
}

int
nsp_tap_counters_read(int fd, const char *name, uint64_t *ret_dropped_pkts)
{
    char chunk[CHUNK_BYTES + 1];
    off_t at = 0;

    for (uint32_t i = 0; i < CHUNKS_MAX; i++) {
        ssize_t got = pread(fd, chunk, CHUNK_BYTES, at);
        const char *numbers;

        if (got < 0)
            return -EIO;
        if (got == 0)
            break;
        chunk[got] = '\0';
        numbers = find_line(chunk, name);
        if (numbers)
            return read_column(numbers, ret_dropped_pkts);
        at += got;
    }
    return -ENOENT;
}
