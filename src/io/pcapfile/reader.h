#ifndef NSP_IO_PCAPFILE_READER_H
#define NSP_IO_PCAPFILE_READER_H
#include <stdio.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "netshaper/diag.h"

/* Reads a capture file, pcap or pcapng of either byte order, through libpcap.
 *
 * Threads    One owner.
 * Cost       A copy within libpcap; libpcap itself allocates when a pcapng
 * block is longer than all before. */
struct nsp_reader {
    struct pcap *pcap;
    uint8_t *buffer;   /* Of the stream, which reads 4 KiB at a time else. */
    uint8_t link;      /* enum nsp_link. */
    uint16_t linktype; /* LINKTYPE_* of the file. */
    struct stat file;  /* What was opened, to recognise it. */
    struct nsp_allocator allocator;
};

struct nsp_reader_packet {
    const uint8_t *data;        /* Valid until the next call. */
    uint32_t bytes, wire_bytes; /* wire_bytes >= bytes. */
    uint64_t epoch_ns;
};

/* Opens 'path' ("-": standard input). Returns NSP_OK, NSP_OPEN_FAILED or
 * NSP_NO_MEMORY, these with 'reterr' filled and '*reader' zeroed. */
int nsp_reader_open(struct nsp_reader *reader, const char *path,
                    const struct nsp_allocator *allocator,
                    struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Accepts a zeroed reader. */
void nsp_reader_close(struct nsp_reader *reader);

/* Reads the next packet. Returns 1, 0 at the end, or -EBADMSG where the file is
 * cut or corrupt. After 0 or an error it must not be called again. */
int nsp_reader_next(struct nsp_reader *reader, struct nsp_reader_packet *ret);

/* Why nsp_reader_next() failed; valid until close. */
const char *nsp_reader_error(const struct nsp_reader *reader);

/* Names the version of libpcap. */
void nsp_reader_describe(char *ret, size_t ret_bytes);

#endif /* NSP_IO_PCAPFILE_READER_H */
