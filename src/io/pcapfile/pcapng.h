#ifndef NSP_IO_PCAPFILE_PCAPNG_H
#define NSP_IO_PCAPFILE_PCAPNG_H
#include "base/memory.h"
#include "netshaper/capture.h"

/* Writes a capture file in pcapng (draft-ietf-opsawg-pcapng): one section, at
 * least one interface, each with nanosecond timestamps, an Enhanced Packet
 * Block for each packet. All little-endian, so that one run writes the same
 * bytes anywhere.
 *
 * Failure    The first error lasts: every later call returns it. A regular file
 *            then ends with its last complete block and can be read.
 * Ownership  create takes the descriptor over on success; finish closes it.
 * Threads    One owner.
 * Cost       A copy per packet and a write(2) per half a megabyte; no
 *            allocation after create. */
struct nsp_pcapng;

/* Longest packet and comment. Readers refuse longer packets (libpcap's
 * MAXIMUM_SNAPLEN). */
#define NSP_PCAPNG_PACKET_BYTES_MAX  (256u << 10)
#define NSP_PCAPNG_COMMENT_BYTES_MAX 1024u

struct nsp_pcapng_packet {
    uint32_t interface;    /* From 0, which create makes. */
    const uint8_t *prefix; /* Comes before 'data'; for a header built apart. */
    uint32_t prefix_bytes;
    const uint8_t *data;
    uint32_t data_bytes;
    uint32_t wire_bytes; /* Of both, before it was truncated. */
    uint64_t epoch_ns;   /* Since 1970-01-01 UTC. */
    uint8_t direction;   /* enum nsp_direction. */
    const char *comment; /* UTF-8; NULL is none. */
};

/* Starts a file of link type 'linktype' (LINKTYPE_*, not DLT_*) on 'fd' with
 * its headers. Its interfaces are called 'name', which is cut after
 * NSP_CAPTURE_INTERFACE_MAX bytes; NULL: they have none. Returns 0, -ENOMEM or
 * what the first write said. */
int nsp_pcapng_create(int fd, uint16_t linktype, const char *name,
                      const struct nsp_allocator *allocator,
                      struct nsp_pcapng **ret) NSP_MUSTCHECK;

/* What to do about a file that cannot be written for the positive errno. */
const char *nsp_pcapng_hint(int os_errno);

/* Adds an interface for packets of another link type, and stores its number.
 * Returns 0 or the file's error. */
int nsp_pcapng_add_interface(struct nsp_pcapng *file, uint16_t linktype,
                             uint32_t *ret) NSP_MUSTCHECK;

/* Adds a packet. Returns 0, -EMSGSIZE when it or its comment is too long (which
 * does not last), or the file's error. */
int nsp_pcapng_write(struct nsp_pcapng *file,
                     const struct nsp_pcapng_packet *packet) NSP_MUSTCHECK;

/* Hands everything to the system. Returns 0 or the file's error. */
int nsp_pcapng_flush(struct nsp_pcapng *file);

/* The packets that the file holds, as in nsp_capture_read_totals(). */
struct nsp_capture_totals nsp_pcapng_totals(const struct nsp_pcapng *file);

/* The file's length with all that was added. */
uint64_t nsp_pcapng_bytes(const struct nsp_pcapng *file);

/* Returns 0 or the negative errno that ended the file. */
int nsp_pcapng_status(const struct nsp_pcapng *file);

/* Flushes, closes and frees 'file', which may be NULL. Returns 0 or the error
 * that it has or gets. */
int nsp_pcapng_finish(struct nsp_pcapng *file);

#endif /* NSP_IO_PCAPFILE_PCAPNG_H */
