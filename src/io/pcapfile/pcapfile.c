/* Capture files as a device: pcap or pcapng in, pcapng out, in virtual time.
 *
 * Time      The first packet arrives at START_NS, the others as much later as
 *           their timestamps say; one that goes backwards arrives with the one
 *           before it, and is counted in device_errors. What is sent gets the
 *           timestamp of that moment, so an untouched capture keeps its own.
 * Memory    Packets are copied into blocks of a fixed store, for they may be
 *           held while libpcap reads on. When it is full, no packet arrives
 *           (next_rx_ns is NSP_TIME_NEVER) until some have gone back; they then
 *           arrive late. With all of them back any packet fits, so the engine
 *           always gets on. The store holds max_held_pkts packets of 2 KiB,
 *           within the limits below.
 * Output    Written in place, in complete blocks, so that what a full disk or a
 *           killed process leaves can be read; flushed when the input has ended
 *           and every packet is back, so that 'status' knows of any failure
 *           before close.
 * Errors    A cut or corrupt input ends like any other; 'status' tells once all
 *           that could be read is back. When the output fails, the input ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buddy.h"
#include "base/diag.h"
#include "base/log.h"
#include "io/pcapfile/pcapng.h"
#include "io/pcapfile/reader.h"
#include "netshaper/engine.h"
#include "packet/link.h"

#define START_NS        NSP_PCAPFILE_START_NS
#define STORE_BYTES_MIN ((size_t)4 << 20)
#define STORE_BYTES_MAX ((size_t)256 << 20)
#define NAME_BYTES      128u

struct slot {
    struct nsp_pkt pkt;
    void *block;
};

struct nsp_io {
    struct nsp_reader reader;
    struct nsp_pcapng *writer; /* NULL discards. */
    uint8_t direction;

    /* The next packet, still in the reader's memory. */
    bool has_head;
    struct nsp_reader_packet head;
    uint64_t head_ns;
    void *head_block; /* Where it goes; NULL: none yet. */

    atomic_bool quiesced;

    uint64_t first_epoch_ns; /* Arrives at START_NS. */
    uint64_t last_ns;
    uint64_t read_pkts; /* Handed out. */
    int input_error;
    atomic_uint_fast64_t backwards;

    struct nsp_buddy store;
    struct slot *slots;
    struct slot **free;
    uint32_t slot_count, free_count;

    char in_name[NAME_BYTES], out_name[NAME_BYTES];
    struct nsp_allocator allocator;
    struct nsp_log_sink log;
};

static bool
input_over(const struct nsp_io *io)
{
    return !io->has_head ||
           atomic_load_explicit(&io->quiesced, memory_order_relaxed) ||
           (io->writer && nsp_pcapng_status(io->writer) < 0);
}

static bool
all_back(const struct nsp_io *io)
{
    return io->free_count == io->slot_count;
}

/* An error lasts and is told by 'status'. */
static void
flush_at_end(struct nsp_io *io)
{
    if (io->writer && input_over(io) && all_back(io))
        nsp_pcapng_flush(io->writer);
}

/* --- Input --------------------------------------------------------------- */

static uint64_t
arrival_ns(struct nsp_io *io, uint64_t epoch_ns)
{
    uint64_t at_ns = START_NS;

    if (epoch_ns > io->first_epoch_ns)
        at_ns = nsp_add_sat_u64(at_ns, epoch_ns - io->first_epoch_ns);
    if (epoch_ns < io->first_epoch_ns || at_ns < io->last_ns) {
        atomic_fetch_add_explicit(&io->backwards, 1, memory_order_relaxed);
        at_ns = io->last_ns;
    }
    return at_ns;
}

static void
read_head(struct nsp_io *io)
{
    int n = nsp_reader_next(&io->reader, &io->head);

    io->has_head = n == 1;
    if (n < 0)
        io->input_error = n;
    if (!io->has_head)
        return;
    if (io->last_ns == 0) {
        io->first_epoch_ns = io->head.epoch_ns;
        io->last_ns = START_NS;
    }
    if (io->head.bytes > NSP_BUDDY_MAX_BYTES)
        io->head.bytes = NSP_BUDDY_MAX_BYTES; /* Cut, as a capture would. */
    io->head_ns = arrival_ns(io, io->head.epoch_ns);
    io->last_ns = io->head_ns;
}

/* Makes sure that the head has a place; false while the store is full. */
static bool
head_has_place(struct nsp_io *io)
{
    if (!io->head_block)
        io->head_block = nsp_buddy_alloc(&io->store, io->head.bytes);
    return io->head_block && io->free_count > 0;
}

/* What a cooked header says of the packet: its type (0..2: to this host, 4:
 * from it) and, in version 2, the interface. */
static void
describe_cooked(struct nsp_pkt *pkt)
{
    uint32_t ifindex = 0;
    unsigned type;

    if (pkt->link == NSP_LINK_SLL && pkt->cap_bytes >= 16) {
        type = nsp_load_be16(pkt->data);
    } else if (pkt->link == NSP_LINK_SLL2 && pkt->cap_bytes >= 20) {
        type = pkt->data[10];
        ifindex = nsp_load_be32(pkt->data + 4);
    } else {
        return;
    }
    if (type == 4)
        pkt->direction = NSP_OUTBOUND;
    else if (type <= 2)
        pkt->direction = NSP_INBOUND;
    if (pkt->direction == NSP_OUTBOUND)
        pkt->out_ifindex = ifindex;
    else
        pkt->in_ifindex = ifindex;
}

static struct nsp_pkt *
take_head(struct nsp_io *io)
{
    struct slot *slot = io->free[--io->free_count];

    slot->block = io->head_block;
    io->head_block = NULL;
    if (io->head.bytes > 0)
        memcpy(slot->block, io->head.data, io->head.bytes);
    slot->pkt = (struct nsp_pkt){
        .data = slot->block,
        .cap_bytes = io->head.bytes,
        .wire_bytes = io->head.wire_bytes,
        .arrival_ns = io->head_ns,
        .link = io->reader.link,
        .direction = io->direction,
        .uid = UINT32_MAX,
        .device_ref = ++io->read_pkts,
    };
    describe_cooked(&slot->pkt);
    return &slot->pkt;
}

static uint32_t
pcapfile_rx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
                  struct nsp_pkt *ret_pkts[], uint32_t max)
{
    uint32_t n = 0;

    (void)queue;
    while (n < max && !input_over(io) && io->head_ns <= now_ns &&
           head_has_place(io)) {
        ret_pkts[n++] = take_head(io);
        read_head(io);
    }
    flush_at_end(io);
    return n;
}

static uint64_t
pcapfile_next_rx_ns(struct nsp_io *io, uint32_t queue)
{
    (void)queue;
    return !input_over(io) && head_has_place(io) ? io->head_ns : NSP_TIME_NEVER;
}

static void
pcapfile_quiesce(struct nsp_io *io)
{
    atomic_store_explicit(&io->quiesced, true, memory_order_relaxed);
}

/* --- Output -------------------------------------------------------------- */

static void
give_back(struct nsp_io *io, struct nsp_pkt *pkt)
{
    struct slot *slot = NSP_CONTAINER_OF(pkt, struct slot, pkt);

    nsp_buddy_release(&io->store, slot->block);
    io->free[io->free_count++] = slot;
}

static uint64_t
epoch_of(const struct nsp_io *io, uint64_t now_ns)
{
    return now_ns < START_NS
               ? io->first_epoch_ns
               : nsp_add_sat_u64(io->first_epoch_ns, now_ns - START_NS);
}

static bool
write_packet(struct nsp_io *io, const struct nsp_pkt *pkt)
{
    struct nsp_pcapng_packet packet = {
        .data = pkt->data,
        .data_bytes = pkt->cap_bytes,
        .wire_bytes = pkt->wire_bytes,
        .epoch_ns = epoch_of(io, pkt->timer.due_ns),
        .direction = pkt->direction,
        .comment = pkt->note,
    };

    return !io->writer || nsp_pcapng_write(io->writer, &packet) == 0;
}

static uint32_t
pcapfile_tx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
                  struct nsp_pkt *const pkts[], uint32_t n, bool ret_refused[])
{
    uint32_t refused = 0;

    (void)queue;
    (void)now_ns;
    for (uint32_t i = 0; i < n; i++) {
        if (!write_packet(io, pkts[i])) {
            ret_refused[i] = true;
            refused++;
        }
        give_back(io, pkts[i]);
    }
    flush_at_end(io);
    return refused;
}

static void
pcapfile_drop_burst(struct nsp_io *io, uint32_t queue,
                    struct nsp_pkt *const pkts[], uint32_t n)
{
    (void)queue;
    for (uint32_t i = 0; i < n; i++)
        give_back(io, pkts[i]);
    flush_at_end(io);
}

static uint8_t
opposite(uint8_t direction)
{
    return direction == NSP_INBOUND    ? NSP_OUTBOUND
           : direction == NSP_OUTBOUND ? NSP_INBOUND
                                       : NSP_DIRECTION_NONE;
}

static int
pcapfile_inject(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
                const uint8_t *ip, uint32_t ip_bytes, bool reply,
                const struct nsp_pkt *like)
{
    uint8_t header[NSP_LINK_BYTES_MAX];
    int n, err;

    (void)queue;
    if (ip_bytes == 0)
        return -EINVAL;
    n = nsp_link_build(like, ip[0] >> 4, reply, header);
    if (n < 0 || !io->writer)
        return n < 0 ? n : 0;
    err = nsp_pcapng_write(
        io->writer,
        &(struct nsp_pcapng_packet){
            .prefix = header,
            .prefix_bytes = (uint32_t)n,
            .data = ip,
            .data_bytes = ip_bytes,
            .epoch_ns = epoch_of(io, now_ns),
            .direction = reply ? opposite(like->direction) : like->direction,
        });
    flush_at_end(io);
    return err;
}

/* --- Opening and closing ------------------------------------------------- */

static int
alloc_store(struct nsp_io *io, uint32_t max_held_pkts)
{
    size_t bytes;

    io->slot_count = max_held_pkts + 2 * NSP_BURST_MAX;
    io->slots = nsp_alloc(&io->allocator, io->slot_count, sizeof *io->slots);
    io->free = nsp_alloc(&io->allocator, io->slot_count, sizeof(void *));
    if (!io->slots || !io->free)
        return -ENOMEM;
    while (io->free_count < io->slot_count) {
        io->free[io->free_count] = &io->slots[io->free_count];
        io->free_count++;
    }

    bytes =
        (size_t)nsp_min_u64((uint64_t)io->slot_count * 2048, STORE_BYTES_MAX);
    if (bytes < STORE_BYTES_MIN)
        bytes = STORE_BYTES_MIN;
    bytes = (bytes + NSP_BUDDY_MAX_BYTES - 1) / NSP_BUDDY_MAX_BYTES *
            NSP_BUDDY_MAX_BYTES;
    return nsp_buddy_init(&io->store, bytes, &io->allocator);
}

#define OPEN_HINT "name a file that you may write, in a folder that exists"

/* Opens 'path' without touching what is in it. '*ret_created' tells whether it
 * was not there before. */
static int
open_output(const char *path, bool *ret_created)
{
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC, fd;

    *ret_created = false;
    if (strcmp(path, "-") == 0)
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    fd = open(path, flags | O_EXCL, 0666);
    *ret_created = fd >= 0;
    return fd < 0 && errno == EEXIST ? open(path, flags, 0666) : fd;
}

/* Empties the file behind 'fd', unless it is the input. */
static int
empty_output(const struct nsp_io *io, int fd, const char *path,
             struct nsp_diag *reterr)
{
    const struct stat *in = &io->reader.file;
    struct stat out;

    if (fstat(fd, &out) < 0)
        goto failed;
    if (!S_ISREG(out.st_mode))
        return NSP_OK;
    if (out.st_dev == in->st_dev && out.st_ino == in->st_ino)
        return nsp_diag_set(reterr, NSP_OPEN_FAILED, "same-file",
                            "name another file for the output",
                            "'%s' is the input: it would be overwritten", path);
    if (strcmp(path, "-") != 0 && ftruncate(fd, 0) < 0)
        goto failed;
    return NSP_OK;

failed:
    return nsp_diag_set_errno(reterr, NSP_OPEN_FAILED, "open-output", errno,
                              OPEN_HINT, "cannot write '%s'", path);
}

static int
start_output(struct nsp_io *io, const char *path, struct nsp_diag *reterr)
{
    bool created;
    int fd = open_output(path, &created), err;

    if (fd < 0)
        return nsp_diag_set_errno(reterr, NSP_OPEN_FAILED, "open-output", errno,
                                  OPEN_HINT, "cannot write '%s'", path);
    err = empty_output(io, fd, path, reterr);
    if (err == NSP_OK) {
        int os_err = nsp_pcapng_create(fd, io->reader.linktype, NULL,
                                       &io->allocator, &io->writer);

        if (os_err == 0)
            return NSP_OK;
        err = nsp_diag_set_errno(
            reterr, os_err == -ENOMEM ? NSP_NO_MEMORY : NSP_OPEN_FAILED,
            "write-output", -os_err, nsp_pcapng_hint(-os_err),
            "cannot write '%s'", path);
    }
    close(fd);
    if (created)
        unlink(path);
    return err;
}

static void
pcapfile_close(struct nsp_io *io)
{
    struct nsp_allocator allocator = io->allocator;
    int err = nsp_pcapng_finish(io->writer);

    if (err < 0)
        nsp_log_write(&io->log, NSP_LOG_ERROR, "cannot write '%s': %s",
                      io->out_name, strerror(-err));
    nsp_reader_close(&io->reader);
    nsp_buddy_fini(&io->store);
    nsp_release(&allocator, io->free);
    nsp_release(&allocator, io->slots);
    nsp_release(&allocator, io);
}

static int
check_config(const struct nsp_io_config *cfg, struct nsp_diag *reterr)
{
    const struct nsp_pcapfile_config *file = cfg->device;

    if (!file || !file->in_path)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "no-input", NULL,
                            "backend pcapfile: no input file was named");
    if (cfg->queues != 1)
        return nsp_diag_set(
            reterr, NSP_INVALID_PARAMETER, "bad-queues", "ask for one worker",
            "backend pcapfile: a file has one queue, not %u", cfg->queues);
    if (file->direction > NSP_OUTBOUND)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "bad-direction",
                            NULL, "backend pcapfile: no such direction: %u",
                            file->direction);
    return NSP_OK;
}

static int
pcapfile_open(const struct nsp_io_config *cfg, struct nsp_io **ret,
              struct nsp_diag *reterr)
{
    const struct nsp_pcapfile_config *file = cfg->device;
    struct nsp_allocator allocator;
    struct nsp_io *io;
    int err = check_config(cfg, reterr);

    if (err != NSP_OK)
        return err;
    allocator = nsp_allocator_or_libc(&cfg->allocator);
    io = nsp_alloc(&allocator, 1, sizeof *io);
    if (!io)
        goto oom;
    io->allocator = allocator;
    io->log = cfg->log;
    io->direction = file->direction;
    snprintf(io->in_name, sizeof io->in_name, "%s", file->in_path);
    snprintf(io->out_name, sizeof io->out_name, "%s",
             file->out_path ? file->out_path : "");

    err = nsp_reader_open(&io->reader, file->in_path, &allocator, reterr);
    if (err != NSP_OK)
        goto fail;
    if (alloc_store(io, cfg->max_held_pkts) < 0)
        goto oom;
    read_head(io);
    /* Last, so that a file is not emptied in vain. */
    if (file->out_path) {
        err = start_output(io, file->out_path, reterr);
        if (err != NSP_OK)
            goto fail;
    }
    *ret = io;
    return NSP_OK;

oom:
    err = nsp_diag_set(reterr, NSP_NO_MEMORY, "no-memory", NULL,
                       "'%s': no memory to read it", file->in_path);
fail:
    if (io)
        pcapfile_close(io);
    return err;
}

/* --- Condition ----------------------------------------------------------- */

static void
pcapfile_wake(struct nsp_io *io)
{
    (void)io; /* Nobody waits in virtual time. */
}

static void
pcapfile_read_stats(struct nsp_io *io, struct nsp_io_stats *ret)
{
    *ret = (struct nsp_io_stats){
        .device_errors =
            atomic_load_explicit(&io->backwards, memory_order_relaxed),
    };
}

static int
pcapfile_status(struct nsp_io *io, char *ret, uint32_t ret_bytes)
{
    int err = io->writer ? nsp_pcapng_status(io->writer) : 0;

    if (!ret)
        ret_bytes = 0;
    if (err < 0) {
        snprintf(ret, ret_bytes, "cannot write '%s'", io->out_name);
        return err;
    }
    if (io->input_error < 0 && all_back(io)) {
        snprintf(ret, ret_bytes, "'%s': %s", io->in_name,
                 nsp_reader_error(&io->reader));
        return io->input_error;
    }
    snprintf(ret, ret_bytes, "%s", "");
    return 0;
}

static void
pcapfile_probe(nsp_probe_fn *report, void *context)
{
    struct nsp_probe_item item = { .feature = "pcapfile-libpcap",
                                   .state = NSP_PROBE_OK };

    nsp_reader_describe(item.detail, sizeof item.detail);
    report(context, &item);
}

extern const struct nsp_io_ops nsp_pcapfile_ops;
const struct nsp_io_ops nsp_pcapfile_ops = {
    .name = "pcapfile",
    .caps = NSP_IO_VIRTUAL_TIME | NSP_IO_AHEAD_OF_TIME | NSP_IO_CAN_MODIFY |
            NSP_IO_CAN_INJECT | NSP_IO_HOLDS_INPUT | NSP_IO_HOLDS_OUTPUT |
            NSP_IO_HOLDS_FORWARD,
    .open = pcapfile_open,
    .close = pcapfile_close,
    .rx_burst = pcapfile_rx_burst,
    .tx_burst = pcapfile_tx_burst,
    .drop_burst = pcapfile_drop_burst,
    .inject = pcapfile_inject,
    .wake = pcapfile_wake,
    .next_rx_ns = pcapfile_next_rx_ns,
    .quiesce = pcapfile_quiesce,
    .read_stats = pcapfile_read_stats,
    .status = pcapfile_status,
    .probe = pcapfile_probe,
};
