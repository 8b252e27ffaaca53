/* A hostile capture file through the whole pcapfile device, twice: what it
 * writes of what it can read must read back the same.
 *
 * Input: the file. */
#define _GNU_SOURCE
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/prng.h"
#include "io/registry.h"
#include "netshaper/engine.h"

#define HELD                                                                   \
    4u /* Packets kept while others pass, to mix the store's blocks.           \
        */

struct file {
    int fd;
    char path[32];
};

static void
file_open(struct file *file)
{
    file->fd = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(file->fd >= 0);
    snprintf(file->path, sizeof file->path, "/proc/self/fd/%d", file->fd);
}

/* A hash of all that a packet is. */
static uint64_t
mix_packet(uint64_t hash, const struct nsp_pkt *pkt)
{
    hash = nsp_mix64(hash ^ pkt->cap_bytes);
    hash = nsp_mix64(hash ^ pkt->wire_bytes);
    hash = nsp_mix64(hash ^ pkt->arrival_ns);
    for (uint32_t i = 0; i < pkt->cap_bytes; i++)
        hash = nsp_mix64(hash ^ pkt->data[i]);
    return hash;
}

/* Sends the oldest of 'held' on, which has stayed as it was. */
static uint32_t
send_oldest(const struct nsp_io_ops *ops, struct nsp_io *io, uint64_t *hash,
            struct nsp_pkt *held[], uint32_t n)
{
    bool refused = false;

    *hash = mix_packet(*hash, held[0]);
    held[0]->timer.due_ns = held[0]->arrival_ns;
    FUZZ_CHECK(ops->tx_burst(io, 0, held[0]->arrival_ns, held, 1, &refused) ==
               0);
    for (uint32_t i = 1; i < n; i++)
        held[i - 1] = held[i];
    return n - 1;
}

/* Copies 'in' to 'out'; sets '*ret_hash' of all packets. Returns open's result,
 * else the device's status. */
static int
copy(const char *in, const char *out, uint64_t *ret_hash)
{
    const struct nsp_io_ops *ops = nsp_io_find("pcapfile");
    const struct nsp_pcapfile_config file = { .in_path = in, .out_path = out };
    const struct nsp_io_config cfg = { .device = &file, .queues = 1 };
    struct nsp_pkt *held[HELD];
    struct nsp_io *io = NULL;
    uint64_t at_ns, last_ns = 0, hash = 0;
    uint32_t n = 0;
    int result = ops->open(&cfg, &io, NULL);

    if (result < 0)
        return result;
    while ((at_ns = ops->next_rx_ns(io, 0)) != NSP_TIME_NEVER) {
        FUZZ_CHECK(at_ns >= last_ns);
        last_ns = at_ns;
        FUZZ_CHECK(ops->rx_burst(io, 0, at_ns, &held[n], 1) == 1);
        FUZZ_CHECK(held[n]->arrival_ns == at_ns);
        FUZZ_CHECK(held[n]->wire_bytes >= held[n]->cap_bytes);
        if (++n == HELD)
            n = send_oldest(ops, io, &hash, held, n);
    }
    while (n > 0)
        n = send_oldest(ops, io, &hash, held, n);
    result = ops->status(io, NULL, 0);
    ops->close(io);
    *ret_hash = hash;
    return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint64_t once = 0, twice = 0;
    struct file in, out;

    file_open(&in);
    file_open(&out);
    FUZZ_CHECK(write(in.fd, data, bytes) == (ssize_t)bytes);
    if (copy(in.path, out.path, &once) != NSP_OPEN_FAILED) {
        FUZZ_CHECK(copy(out.path, NULL, &twice) == 0);
        FUZZ_CHECK(once == twice);
    }
    close(in.fd);
    close(out.fd);
    return 0;
}
