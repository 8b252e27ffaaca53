#include "netshaper/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/diag.h"
#include "io/pcapfile/pcapng.h"
#include "netshaper/packet.h"

#define HINT "make room there, or name another file"

/* The LINKTYPE_* of each enum nsp_link. */
static const uint16_t linktypes[] = {
    [NSP_LINK_RAW] = 101,  [NSP_LINK_ETHERNET] = 1, [NSP_LINK_SLL] = 113,
    [NSP_LINK_SLL2] = 276, [NSP_LINK_NULL] = 0,
};
#define LINKS NSP_ARRAY_LEN(linktypes)

struct nsp_capture {
    struct nsp_pcapng *file;
    struct nsp_allocator allocator;
    uint64_t epoch_offset_ns;
    uint32_t interfaces[LINKS]; /* Number of each link type's, from 1; 0: none
                                 * yet. */
    char path[200];             /* For messages. */
};

static int
fail(const struct nsp_capture *capture, int err, struct nsp_diag *reterr)
{
    return nsp_diag_set_errno(reterr, NSP_ABORTED, "write-output", -err, HINT,
                              "'%s' ends here: it cannot be written",
                              capture->path);
}

static int
start_file(struct nsp_capture *capture, const char *path, uint8_t link,
           struct nsp_diag *reterr)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int err = fd < 0 ? -errno : 0;

    if (err == 0)
        err = nsp_pcapng_create(fd, linktypes[link], &capture->allocator,
                                &capture->file);
    if (err == 0) {
        capture->interfaces[link] = 1;
        return NSP_OK;
    }
    if (fd >= 0)
        close(fd);
    return nsp_diag_set_errno(
        reterr, err == -ENOMEM ? NSP_NO_MEMORY : NSP_OPEN_FAILED, "open-output",
        -err, HINT, "cannot write '%s'", path);
}

int
nsp_capture_open(const struct nsp_capture_config *cfg, struct nsp_capture **ret,
                 struct nsp_diag *reterr)
{
    struct nsp_allocator allocator;
    struct nsp_capture *capture;
    int result;

    if (!cfg || !cfg->path || !ret || cfg->link >= LINKS)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "null-argument",
                            NULL, "no path, no link type or no place for it");
    allocator = nsp_allocator_or_libc(&cfg->allocator);
    capture = nsp_alloc(&allocator, 1, sizeof *capture);
    if (!capture)
        return nsp_diag_set(reterr, NSP_NO_MEMORY, "out-of-memory", NULL,
                            "no memory to write '%s'", cfg->path);
    capture->allocator = allocator;
    capture->epoch_offset_ns = cfg->epoch_offset_ns;
    snprintf(capture->path, sizeof capture->path, "%s", cfg->path);
    result = start_file(capture, cfg->path, cfg->link, reterr);
    if (result != NSP_OK) {
        nsp_release(&allocator, capture);
        return result;
    }
    *ret = capture;
    return NSP_OK;
}

/* Makes sure that packets of 'link' have an interface. Returns 0 or the file's
 * error. */
static int
need_interface(struct nsp_capture *capture, uint8_t link)
{
    uint32_t index;
    int err;

    if (capture->interfaces[link] != 0)
        return 0;
    err = nsp_pcapng_add_interface(capture->file, linktypes[link], &index);
    if (err == 0)
        capture->interfaces[link] = index + 1;
    return err;
}

int
nsp_capture_write(struct nsp_capture *capture, const struct nsp_event *event,
                  struct nsp_diag *reterr)
{
    char comment[128];
    int err;

    if (!capture || !event || event->link >= LINKS)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "null-argument",
                            NULL, "no capture, or no event of a link type");
    snprintf(comment, sizeof comment, "rule=%s", event->rule);
    err = need_interface(capture, event->link);
    if (err == 0)
        err = nsp_pcapng_write(
            capture->file,
            &(struct nsp_pcapng_packet){
                .interface = capture->interfaces[event->link] - 1,
                .data = event->data,
                .data_bytes = event->cap_bytes,
                .wire_bytes = event->wire_bytes,
                .epoch_ns = event->at_ns + capture->epoch_offset_ns,
                .direction = event->direction,
                .comment = comment,
            });
    if (err == -EMSGSIZE)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "too-long", NULL,
                            "a packet of %u bytes is too long for a file",
                            event->cap_bytes);
    return err == 0 ? NSP_OK : fail(capture, err, reterr);
}

int
nsp_capture_flush(struct nsp_capture *capture, struct nsp_diag *reterr)
{
    int err = nsp_pcapng_flush(capture->file);

    return err == 0 ? NSP_OK : fail(capture, err, reterr);
}

int
nsp_capture_close(struct nsp_capture *capture, struct nsp_diag *reterr)
{
    struct nsp_allocator allocator;
    int err, result;

    if (!capture)
        return NSP_OK;
    err = nsp_pcapng_finish(capture->file);
    result = err == 0 ? NSP_OK : fail(capture, err, reterr);
    allocator = capture->allocator;
    nsp_release(&allocator, capture);
    return result;
}
