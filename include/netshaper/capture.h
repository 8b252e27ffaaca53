#ifndef NETSHAPER_CAPTURE_H
#define NETSHAPER_CAPTURE_H
#include <stdint.h>

#include "netshaper/api.h"
#include "netshaper/diag.h"
#include "netshaper/env.h"
#include "netshaper/event.h"

NSP_BEGIN_DECLS

/* A capture file (pcapng) of events, which tcpdump and Wireshark read: an
 * interface for each link type, and for each packet its time in nanoseconds,
 * its direction and a comment.
 *
 * Rotation   A capture may go over several files, "out-00001.pcapng" and so on
 *            for the path "out.pcapng"; with 'max_files' it begins anew with
 * the first one after the last, so that no more than these are there. Failure
 * The first failed write ends a capture: it and every later call say so. A
 * regular file then ends with its last complete packet and can be read. Threads
 * One at a time. Cost       A copy for each packet, a write(2) for half a
 * megabyte or a flush. */
struct nsp_capture;

struct nsp_capture_config {
    const char *path; /* Replaced; "-" is standard output. */
    uint8_t link;     /* enum nsp_link of most packets. tcpdump reads no file
                       * with others besides; Wireshark does. */
    const char *interface;    /* Where the packets are from, at most
                               * NSP_CAPTURE_INTERFACE_MAX bytes; NULL: not
                               * told. */
    uint64_t epoch_offset_ns; /* From the clock of the events to the time since
                               * 1970-01-01 UTC; 0 for those of a capture. */
    const char *comment;   /* Of every packet, at most NSP_CAPTURE_COMMENT_MAX
                            * bytes, "" none; NULL is "rule=NAME". */
    uint64_t rotate_bytes; /* Another file once one is that long; 0: none. */
    uint64_t rotate_ns; /* ... or has packets of that long a time; 0: none. */
    uint32_t max_files; /* At once; 0: any number. */
    struct nsp_allocator allocator; /* All NULL: the C library's. */
};

#define NSP_CAPTURE_COMMENT_MAX   1000u
#define NSP_CAPTURE_INTERFACE_MAX 63u

/* Starts a file. On success stores it in '*ret' and returns NSP_OK; else none
 * is left behind: NSP_OPEN_FAILED, NSP_INVALID_PARAMETER or NSP_NO_MEMORY.
 * 'reterr' may be NULL here and below. */
NSP_API int nsp_capture_open(const struct nsp_capture_config *cfg,
                             struct nsp_capture **ret,
                             struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Adds the packet of 'event'. Returns NSP_OK, NSP_INVALID_PARAMETER (a link
 * type or a length that no file has; the file goes on), or NSP_ABORTED once a
 * write has failed or the next file could not be opened. */
NSP_API int nsp_capture_write(struct nsp_capture *capture,
                              const struct nsp_event *event,
                              struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Hands everything to the system. Returns NSP_OK or NSP_ABORTED. */
NSP_API int nsp_capture_flush(struct nsp_capture *capture,
                              struct nsp_diag *reterr) NSP_MUSTCHECK;

/* What a capture's files hold, those that others took the place of, too, and
 * will hold with what was not flushed yet. After a failure: what reached them
 * in whole. */
struct nsp_capture_totals {
    uint64_t pkts, bytes; /* As long as they were on the wire. */
    uint64_t lost_pkts;   /* Given to nsp_capture_write(), and in none. */
};
NSP_API void nsp_capture_read_totals(const struct nsp_capture *capture,
                                     struct nsp_capture_totals *ret);

/* Files begun so far, from 1; one that a full disk has no room for is none. */
NSP_API uint32_t nsp_capture_count_files(const struct nsp_capture *capture);

/* Flushes, closes and frees 'capture', which may be NULL. Returns NSP_OK or
 * NSP_ABORTED. */
NSP_API int nsp_capture_close(struct nsp_capture *capture,
                              struct nsp_diag *reterr);

NSP_END_DECLS
#endif /* NETSHAPER_CAPTURE_H */
