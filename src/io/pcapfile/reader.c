/* pcap.h wants the BSD integer types. */
#define _DEFAULT_SOURCE
#include "io/pcapfile/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <string.h>
#include <unistd.h>

#include "base/diag.h"
#include "netshaper/packet.h"

#define STREAM_BYTES (256u << 10)

/* Link types that the parser knows: libpcap's number, the file's, ours. DLT_RAW
 * is 12 here and 14 elsewhere; libpcap hands on 14 from old files. */
static const struct {
    int dlt;
    uint16_t linktype;
    uint8_t link;
} links[] = {
    { DLT_EN10MB, 1, NSP_LINK_ETHERNET },
    { DLT_NULL, 0, NSP_LINK_NULL },
    { DLT_LOOP, 108, NSP_LINK_NULL },
    { DLT_RAW, 101, NSP_LINK_RAW },
    { 12, 101, NSP_LINK_RAW },
    { 14, 101, NSP_LINK_RAW },
    { DLT_IPV4, 228, NSP_LINK_RAW },
    { DLT_IPV6, 229, NSP_LINK_RAW },
    { DLT_LINUX_SLL, 113, NSP_LINK_SLL },
    { DLT_LINUX_SLL2, 276, NSP_LINK_SLL2 },
};

static int
find_link(struct nsp_reader *reader, const char *path, struct nsp_diag *reterr)
{
    int dlt = pcap_datalink(reader->pcap);
    const char *name = pcap_datalink_val_to_name(dlt);

    for (size_t i = 0; i < NSP_ARRAY_LEN(links); i++) {
        if (links[i].dlt == dlt) {
            reader->link = links[i].link;
            reader->linktype = links[i].linktype;
            return NSP_OK;
        }
    }
    return nsp_diag_set(reterr, NSP_OPEN_FAILED, "unknown-link-type",
                        "capture from an Ethernet, raw IP, Linux cooked (-i "
                        "any) or loopback interface",
                        "'%s': packets of link type %s (%d) are not understood",
                        path, name ? name : "unknown", dlt);
}

static int
open_descriptor(const char *path)
{
    if (strcmp(path, "-") == 0)
        return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* Opens the stream that libpcap reads; NULL with errno set. */
static FILE *
open_stream(struct nsp_reader *reader, const char *path)
{
    FILE *stream = NULL;
    int fd = open_descriptor(path), saved;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &reader->file) == 0)
        stream = fdopen(fd, "rb");
    if (!stream) {
        saved = errno;
        close(fd);
        errno = saved;
        return NULL;
    }
    setvbuf(stream, (char *)reader->buffer, _IOFBF, STREAM_BYTES);
    return stream;
}

int
nsp_reader_open(struct nsp_reader *reader, const char *path,
                const struct nsp_allocator *allocator, struct nsp_diag *reterr)
{
    char why[PCAP_ERRBUF_SIZE];
    FILE *stream;
    int err;

    *reader = (struct nsp_reader){ .allocator = *allocator };
    reader->buffer = nsp_alloc(allocator, 1, STREAM_BYTES);
    if (!reader->buffer)
        return nsp_diag_set(reterr, NSP_NO_MEMORY, "no-memory", NULL,
                            "'%s': no memory to read it", path);

    stream = open_stream(reader, path);
    if (!stream) {
        err = nsp_diag_set_errno(reterr, NSP_OPEN_FAILED, "open-input", errno,
                                 "name a pcap or pcapng file that you may "
                                 "read, or - for standard input",
                                 "cannot read '%s'", path);
        goto fail;
    }
    reader->pcap = pcap_fopen_offline_with_tstamp_precision(
        stream, PCAP_TSTAMP_PRECISION_NANO, why);
    if (!reader->pcap) {
        fclose(stream);
        err = nsp_diag_set(reterr, NSP_OPEN_FAILED, "bad-capture",
                           "give a pcap or pcapng file", "'%s': %s", path, why);
        goto fail;
    }
    err = find_link(reader, path, reterr);
    if (err == NSP_OK)
        return NSP_OK;

fail:
    nsp_reader_close(reader);
    return err;
}

void
nsp_reader_close(struct nsp_reader *reader)
{
    if (reader->pcap)
        pcap_close(reader->pcap); /* And the stream. */
    if (reader->buffer)
        nsp_release(&reader->allocator, reader->buffer);
    *reader = (struct nsp_reader){ 0 };
}

/* Classic files count seconds in 32 bits, which libpcap reads as signed: until
 * 2106 they are not. What does not fit (a corrupt file) stops at the limits. */
static uint64_t
epoch_ns(const struct timeval *ts)
{
    int64_t seconds = ts->tv_sec, ns = ts->tv_usec; /* Asked for as such. */

    if (seconds < 0 && seconds >= INT32_MIN)
        seconds += INT64_C(1) << 32;
    if (seconds < 0)
        return 0;
    if (seconds >= INT64_MAX / (int64_t)NSP_NS_PER_SECOND)
        return INT64_MAX;
    if (ns < 0 || ns >= (int64_t)NSP_NS_PER_SECOND)
        ns = 0;
    return (uint64_t)(seconds * (int64_t)NSP_NS_PER_SECOND + ns);
}

int
nsp_reader_next(struct nsp_reader *reader, struct nsp_reader_packet *ret)
{
    struct pcap_pkthdr *header;
    const u_char *data;
    int n = pcap_next_ex(reader->pcap, &header, &data);

    if (n == PCAP_ERROR_BREAK)
        return 0;
    if (n != 1)
        return -EBADMSG;
    *ret = (struct nsp_reader_packet){
        .data = data,
        .bytes = header->caplen,
        .wire_bytes =
            header->len > header->caplen ? header->len : header->caplen,
        .epoch_ns = epoch_ns(&header->ts),
    };
    return 1;
}

const char *
nsp_reader_error(const struct nsp_reader *reader)
{
    return pcap_geterr(reader->pcap);
}

void
nsp_reader_describe(char *ret, size_t ret_bytes)
{
    snprintf(ret, ret_bytes, "%s", pcap_lib_version());
}
