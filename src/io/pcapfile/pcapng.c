#include "io/pcapfile/pcapng.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netshaper/packet.h"

#define BUFFER_BYTES (512u << 10)

/* Block types and option codes of the draft, sections 3.5 and 4. */
#define BLOCK_SECTION    0x0a0d0d0au
#define BLOCK_INTERFACE  1u
#define BLOCK_PACKET     6u
#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define OPT_END          0u
#define OPT_COMMENT      1u
#define OPT_SHB_USERAPPL 4u
#define OPT_IF_NAME      2u
#define OPT_IF_TSRESOL   9u
#define OPT_EPB_FLAGS    2u
#define TSRESOL_NS       9u /* 10^-9 s. */
#define EPB_INBOUND      1u
#define EPB_OUTBOUND     2u

/* Type and length before, length after; fixed part of a packet's. */
#define BLOCK_FRAME_BYTES 12u
#define EPB_FIXED_BYTES   20u
#define EPB_WIRE_OFF      24u /* Of the length on the wire, in the block. */
#define INTERFACE_BYTES_MAX                                                    \
    (BLOCK_FRAME_BYTES + 20u + 4u + NSP_CAPTURE_INTERFACE_MAX + 1u)
/* Flags, a comment with padding, the end mark. */
#define EPB_OPTIONS_BYTES_MAX (8u + 8u + NSP_PCAPNG_COMMENT_BYTES_MAX + 4u)

static_assert(BUFFER_BYTES > BLOCK_FRAME_BYTES + EPB_FIXED_BYTES +
                                 NSP_PCAPNG_PACKET_BYTES_MAX +
                                 EPB_OPTIONS_BYTES_MAX,
              "the longest block fits an empty buffer");

struct nsp_pcapng {
    int fd;
    int error; /* 0 or the negative errno that ended the file. */
    char name[NSP_CAPTURE_INTERFACE_MAX + 1]; /* Of the interfaces. */
    uint32_t interfaces;
    uint32_t used; /* Complete blocks in 'buffer'. */
    uint64_t flushed_bytes;
    struct nsp_capture_totals totals;
    uint8_t *buffer; /* BUFFER_BYTES of them. */
    struct nsp_allocator allocator;
};

static void
store_le16(uint8_t *to, uint16_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

static void
store_le32(uint8_t *to, uint32_t value)
{
    store_le16(to, (uint16_t)value);
    store_le16(to + 2, (uint16_t)(value >> 16));
}

static uint32_t
load_le32(const uint8_t *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 |
           (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static uint32_t
padded(uint32_t bytes)
{
    return (bytes + 3) & ~3u;
}

static uint8_t *
put32(uint8_t *at, uint32_t value)
{
    store_le32(at, value);
    return at + 4;
}

/* Copies 'bytes' bytes and fills the last 32-bit word with zeros from there. */
static uint8_t *
put_padded(uint8_t *at, const void *from, uint32_t bytes)
{
    if (bytes > 0)
        memcpy(at, from, bytes);
    memset(at + bytes, 0, padded(bytes) - bytes);
    return at + padded(bytes);
}

static uint8_t *
put_option(uint8_t *at, uint16_t code, const void *value, uint32_t bytes)
{
    store_le16(at, code);
    store_le16(at + 2, (uint16_t)bytes);
    return put_padded(at + 4, value, bytes);
}

/* Opens a block in the buffer, whose room has been made sure of. */
static uint8_t *
begin_block(struct nsp_pcapng *file, uint32_t type)
{
    return put32(file->buffer + file->used, type) + 4;
}

static void
end_block(struct nsp_pcapng *file, uint8_t *at)
{
    uint8_t *start = file->buffer + file->used;
    uint32_t bytes = (uint32_t)(at + 4 - start);

    store_le32(start + 4, bytes);
    store_le32(at, bytes);
    file->used += bytes;
}

static void
put_section_header(struct nsp_pcapng *file)
{
    static const char application[] = "netshaper";
    uint8_t *at = begin_block(file, BLOCK_SECTION);

    at = put32(at, BYTE_ORDER_MAGIC);
    at = put32(at, 1);          /* Version 1.0. */
    at = put32(at, UINT32_MAX); /* Section length, 64 bits: not known. */
    at = put32(at, UINT32_MAX);
    at = put_option(at, OPT_SHB_USERAPPL, application, sizeof application - 1);
    at = put_option(at, OPT_END, NULL, 0);
    end_block(file, at);
}

static void
put_interface(struct nsp_pcapng *file, uint16_t linktype)
{
    static const uint8_t resolution = TSRESOL_NS;
    uint32_t name_bytes = (uint32_t)strlen(file->name);
    uint8_t *at = begin_block(file, BLOCK_INTERFACE);

    at = put32(at, linktype); /* And 16 reserved bits. */
    at = put32(at, NSP_PCAPNG_PACKET_BYTES_MAX);
    if (name_bytes > 0)
        at = put_option(at, OPT_IF_NAME, file->name, name_bytes);
    at = put_option(at, OPT_IF_TSRESOL, &resolution, 1);
    at = put_option(at, OPT_END, NULL, 0);
    end_block(file, at);
    file->interfaces++;
}

int
nsp_pcapng_create(int fd, uint16_t linktype, const char *name,
                  const struct nsp_allocator *allocator,
                  struct nsp_pcapng **ret)
{
    struct nsp_pcapng *file = nsp_alloc(allocator, 1, sizeof *file);
    int err = -ENOMEM;

    if (!file)
        return -ENOMEM;
    file->fd = fd;
    if (name)
        memcpy(file->name, name, strnlen(name, NSP_CAPTURE_INTERFACE_MAX));
    file->allocator = *allocator;
    file->buffer = nsp_alloc(allocator, 1, BUFFER_BYTES);
    if (!file->buffer)
        goto fail;

    put_section_header(file);
    put_interface(file, linktype);
    err = nsp_pcapng_flush(file);
    if (err < 0)
        goto fail;
    *ret = file;
    return 0;

fail:
    nsp_release(allocator, file->buffer);
    nsp_release(allocator, file);
    return err;
}

const char *
nsp_pcapng_hint(int os_errno)
{
    switch (os_errno) {
    case ENOENT:
    case ENOTDIR:
        return "make the folder first, or name another file";
    case EISDIR:
        return "that is a folder: name a file in it";
    case EACCES:
    case EPERM:
    case EROFS:
        return "name a file that you may write";
    case ENAMETOOLONG:
        return "give it a shorter name";
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return "make room there, or name another file";
    default:
        return "name another file";
    }
}

static uint8_t *
put_packet_options(uint8_t *at, const struct nsp_pcapng_packet *packet,
                   uint32_t comment_bytes)
{
    uint8_t flags[4];

    if (packet->direction == NSP_DIRECTION_NONE && comment_bytes == 0)
        return at;
    if (packet->direction != NSP_DIRECTION_NONE) {
        store_le32(flags, packet->direction == NSP_INBOUND ? EPB_INBOUND
                                                           : EPB_OUTBOUND);
        at = put_option(at, OPT_EPB_FLAGS, flags, sizeof flags);
    }
    if (comment_bytes > 0)
        at = put_option(at, OPT_COMMENT, packet->comment, comment_bytes);
    return put_option(at, OPT_END, NULL, 0);
}

int
nsp_pcapng_add_interface(struct nsp_pcapng *file, uint16_t linktype,
                         uint32_t *ret)
{
    if (BUFFER_BYTES - file->used < INTERFACE_BYTES_MAX)
        (void)nsp_pcapng_flush(file);
    if (file->error < 0)
        return file->error;
    *ret = file->interfaces;
    put_interface(file, linktype);
    return 0;
}

int
nsp_pcapng_write(struct nsp_pcapng *file,
                 const struct nsp_pcapng_packet *packet)
{
    size_t comment_bytes = packet->comment ? strlen(packet->comment) : 0;
    uint32_t bytes = packet->prefix_bytes + packet->data_bytes;
    uint32_t wire_bytes = nsp_max_u32(packet->wire_bytes, bytes);
    uint8_t *at;
    int err;

    if (packet->prefix_bytes > NSP_PCAPNG_PACKET_BYTES_MAX ||
        packet->data_bytes >
            NSP_PCAPNG_PACKET_BYTES_MAX - packet->prefix_bytes ||
        comment_bytes > NSP_PCAPNG_COMMENT_BYTES_MAX)
        return -EMSGSIZE;
    if (BUFFER_BYTES - file->used < BLOCK_FRAME_BYTES + EPB_FIXED_BYTES +
                                        padded(bytes) + EPB_OPTIONS_BYTES_MAX) {
        err = nsp_pcapng_flush(file);
        if (err < 0)
            return err;
    }
    if (file->error < 0)
        return file->error;

    at = begin_block(file, BLOCK_PACKET);
    at = put32(at, packet->interface);
    at = put32(at, (uint32_t)(packet->epoch_ns >> 32));
    at = put32(at, (uint32_t)packet->epoch_ns);
    at = put32(at, bytes);
    at = put32(at, wire_bytes);
    if (packet->prefix_bytes > 0)
        memcpy(at, packet->prefix, packet->prefix_bytes);
    at += packet->prefix_bytes;
    if (packet->data_bytes > 0)
        memcpy(at, packet->data, packet->data_bytes);
    at += packet->data_bytes;
    memset(at, 0, padded(bytes) - bytes);
    at += padded(bytes) - bytes;
    end_block(file, put_packet_options(at, packet, (uint32_t)comment_bytes));
    file->totals.pkts++;
    file->totals.bytes += wire_bytes;
    return 0;
}

/* Writes all of 'data', or returns a negative errno with '*ret_written' short.
 */
static int
write_all(int fd, const uint8_t *data, size_t bytes, size_t *ret_written)
{
    *ret_written = 0;
    while (*ret_written < bytes) {
        ssize_t n = write(fd, data + *ret_written, bytes - *ret_written);

        if (n >= 0) {
            *ret_written += (size_t)n;
        } else if (errno == EAGAIN) { /* A pipe that someone made so. */
            struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };

            if (poll(&poll_fd, 1, -1) < 0 && errno != EINTR)
                return -errno;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

/* How much of the first 'written' bytes of the buffer are whole blocks. */
static size_t
complete_bytes(const struct nsp_pcapng *file, size_t written)
{
    size_t complete = 0;

    while (complete < written) {
        size_t bytes = load_le32(file->buffer + complete + 4);

        if (complete + bytes > written)
            break;
        complete += bytes;
    }
    return complete;
}

/* Cuts the last 'bytes' off, of a block that was being written. Nothing to be
 * done where that fails: the write's own error is the one to report. */
static void
cut_incomplete_block(const struct nsp_pcapng *file, size_t bytes)
{
    struct stat info;
    off_t end;

    if (bytes == 0 || fstat(file->fd, &info) < 0 || !S_ISREG(info.st_mode))
        return;
    end = lseek(file->fd, 0, SEEK_CUR);
    if (end < 0 || ftruncate(file->fd, end - (off_t)bytes) < 0)
        return;
}

/* The blocks in the buffer from 'at' on did not reach the file. */
static void
forget_packets(struct nsp_pcapng *file, size_t at)
{
    while (at < file->used) {
        const uint8_t *block = file->buffer + at;

        if (load_le32(block) == BLOCK_PACKET) {
            file->totals.pkts--;
            file->totals.bytes -= load_le32(block + EPB_WIRE_OFF);
        }
        at += load_le32(block + 4);
    }
}

int
nsp_pcapng_flush(struct nsp_pcapng *file)
{
    size_t written;

    if (file->error < 0)
        return file->error;
    file->error = write_all(file->fd, file->buffer, file->used, &written);
    if (file->error < 0) {
        size_t complete = complete_bytes(file, written);

        cut_incomplete_block(file, written - complete);
        forget_packets(file, complete);
    }
    file->flushed_bytes += written;
    file->used = 0;
    return file->error;
}

struct nsp_capture_totals
nsp_pcapng_totals(const struct nsp_pcapng *file)
{
    return file->totals;
}

uint64_t
nsp_pcapng_bytes(const struct nsp_pcapng *file)
{
    return file->flushed_bytes + file->used;
}

int
nsp_pcapng_status(const struct nsp_pcapng *file)
{
    return file->error;
}

int
nsp_pcapng_finish(struct nsp_pcapng *file)
{
    struct nsp_allocator allocator;
    int err;

    if (!file)
        return 0;
    err = nsp_pcapng_flush(file);
    if (close(file->fd) < 0 && err == 0)
        err = -errno;
    allocator = file->allocator;
    nsp_release(&allocator, file->buffer);
    nsp_release(&allocator, file);
    return err;
}
