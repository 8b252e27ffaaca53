#include "netshaper/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/diag.h"
#include "io/pcapfile/pcapng.h"
#include "netshaper/packet.h"

/* The LINKTYPE_* of each enum nsp_link. */
static const uint16_t linktypes[] = {
    [NSP_LINK_RAW] = 101,  [NSP_LINK_ETHERNET] = 1, [NSP_LINK_SLL] = 113,
    [NSP_LINK_SLL2] = 276, [NSP_LINK_NULL] = 0,
};
#define LINKS NSP_ARRAY_LEN(linktypes)

struct nsp_capture {
    struct nsp_pcapng *file; /* NULL: none could be begun. */
    int error;               /* 0 or the negative errno that ended it. */
    struct nsp_allocator allocator;
    char *path, *comment, *interface;
    uint8_t link;
    uint64_t epoch_offset_ns, rotate_bytes, rotate_ns;
    uint32_t max_files, files;
    struct nsp_capture_totals finished; /* Of the files before. */
    uint64_t given_pkts;                /* To be written. */

    /* Of the present file. */
    uint32_t interfaces[LINKS]; /* Number of each link type's, from 1; 0: none
                                 * yet. */
    uint64_t first_ns;          /* Of its packets. */
    bool has_begun, has_packets;
};

/* --- Files ---------------------------------------------------------------- */

static bool
rotates(const struct nsp_capture *capture)
{
    return capture->rotate_bytes != 0 || capture->rotate_ns != 0;
}

static uint32_t
digits_of(uint32_t number)
{
    uint32_t n = 1;

    for (; number >= 10; number /= 10)
        n++;
    return n;
}

/* The present file's name, as long as there is room: what does not fit is an
 * error when it is opened. */
static void
write_name(const struct nsp_capture *capture, char ret[PATH_MAX])
{
    const char *path = capture->path, *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    uint32_t number = capture->files - 1;
    int stem = (int)(dot && dot > name ? dot - path : (ptrdiff_t)strlen(path));

    if (!rotates(capture)) {
        snprintf(ret, PATH_MAX, "%s", path);
        return;
    }
    if (capture->max_files != 0)
        number %= capture->max_files;
    snprintf(ret, PATH_MAX, "%.*s-%0*u%s", stem, path,
             (int)nsp_max_u32(5, digits_of(capture->max_files)), number + 1,
             path + stem);
}

static int
open_name(const char *name)
{
    if (strcmp(name, "-") == 0)
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    return open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
}

/* Not even its beginning could be written: nobody could read it. */
static void
remove_unbegun(int fd, const char *name)
{
    struct stat opened, named;

    if (fstat(fd, &opened) == 0 && lstat(name, &named) == 0 &&
        S_ISREG(named.st_mode) && opened.st_dev == named.st_dev &&
        opened.st_ino == named.st_ino)
        (void)unlink(name);
}

/* Begins the next file, the last one is finished. Returns 0 or a negative
 * errno. */
static int
start_file(struct nsp_capture *capture)
{
    char name[PATH_MAX];
    int fd, err;

    capture->files++;
    capture->has_begun = false;
    write_name(capture, name);
    fd = open_name(name);
    if (fd < 0)
        return -errno;
    err = nsp_pcapng_create(fd, linktypes[capture->link], capture->interface,
                            &capture->allocator, &capture->file);
    if (err < 0) {
        remove_unbegun(fd, name);
        close(fd);
        return err;
    }
    memset(capture->interfaces, 0, sizeof capture->interfaces);
    capture->interfaces[capture->link] = 1;
    capture->has_begun = true;
    capture->has_packets = false;
    return 0;
}

/* Adds up what the files hold. */
static struct nsp_capture_totals
totals_of(const struct nsp_capture *capture)
{
    struct nsp_capture_totals totals = capture->finished, present;

    if (!capture->file)
        return totals;
    present = nsp_pcapng_totals(capture->file);
    totals.pkts += present.pkts;
    totals.bytes += present.bytes;
    return totals;
}

static int
finish_file(struct nsp_capture *capture)
{
    int err;

    if (capture->file)
        (void)nsp_pcapng_flush(capture->file); /* To be told by what follows. */
    capture->finished = totals_of(capture);
    err = nsp_pcapng_finish(capture->file);
    capture->file = NULL;
    return err;
}

/* Keeps 'err', the first one. */
static int
fail(struct nsp_capture *capture, int err, struct nsp_diag *reterr)
{
    char name[PATH_MAX];

    if (capture->error == 0)
        capture->error = err;
    write_name(capture, name);
    return nsp_diag_set_errno(reterr, NSP_ABORTED, "write-output",
                              -capture->error, nsp_pcapng_hint(-capture->error),
                              "'%.180s' ends here: it cannot be written", name);
}

/* --- Opening -------------------------------------------------------------- */

static char *
copy_text(const struct nsp_allocator *allocator, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = nsp_alloc(allocator, bytes, 1);

    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}

static void
release(struct nsp_capture *capture)
{
    struct nsp_allocator allocator = capture->allocator;

    nsp_release(&allocator, capture->path);
    nsp_release(&allocator, capture->comment);
    nsp_release(&allocator, capture->interface);
    nsp_release(&allocator, capture);
}

static int
check_config(const struct nsp_capture_config *cfg, struct nsp_diag *reterr)
{
    bool rotates = cfg->rotate_bytes != 0 || cfg->rotate_ns != 0;

    if (!cfg->path || cfg->link >= LINKS)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "null-argument",
                            NULL, "no path, or no link type");
    if (cfg->comment && strlen(cfg->comment) > NSP_CAPTURE_COMMENT_MAX)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "long-comment",
                            "shorten it",
                            "the comment of packets is longer than %u bytes",
                            NSP_CAPTURE_COMMENT_MAX);
    if (rotates && strcmp(cfg->path, "-") == 0)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "rotate-stream",
                            "name a file",
                            "standard output cannot go over several files");
    if (cfg->max_files != 0 && !rotates)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "bad-files",
                            "say at what size or time another file begins",
                            "a number of files without rotation");
    return NSP_OK;
}

static struct nsp_capture *
create(const struct nsp_capture_config *cfg)
{
    struct nsp_allocator allocator = nsp_allocator_or_libc(&cfg->allocator);
    struct nsp_capture *capture = nsp_alloc(&allocator, 1, sizeof *capture);

    if (!capture)
        return NULL;
    capture->allocator = allocator;
    capture->link = cfg->link;
    capture->epoch_offset_ns = cfg->epoch_offset_ns;
    capture->rotate_bytes = cfg->rotate_bytes;
    capture->rotate_ns = cfg->rotate_ns;
    capture->max_files = cfg->max_files;
    capture->path = copy_text(&allocator, cfg->path);
    if (capture->path && cfg->comment)
        capture->comment = copy_text(&allocator, cfg->comment);
    if (capture->path && cfg->interface)
        capture->interface = copy_text(&allocator, cfg->interface);
    if (capture->path && (capture->comment || !cfg->comment) &&
        (capture->interface || !cfg->interface))
        return capture;
    release(capture);
    return NULL;
}

int
nsp_capture_open(const struct nsp_capture_config *cfg, struct nsp_capture **ret,
                 struct nsp_diag *reterr)
{
    struct nsp_capture *capture;
    char name[PATH_MAX];
    int result, err;

    if (!cfg || !ret)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "null-argument",
                            NULL, "no configuration, or no place for a file");
    result = check_config(cfg, reterr);
    if (result != NSP_OK)
        return result;
    capture = create(cfg);
    if (!capture)
        return nsp_diag_set(reterr, NSP_NO_MEMORY, "out-of-memory", NULL,
                            "no memory to write '%.180s'", cfg->path);
    err = start_file(capture);
    if (err == 0) {
        *ret = capture;
        return NSP_OK;
    }
    write_name(capture, name);
    release(capture);
    return nsp_diag_set_errno(
        reterr, err == -ENOMEM ? NSP_NO_MEMORY : NSP_OPEN_FAILED, "open-output",
        -err, nsp_pcapng_hint(-err), "cannot write '%.180s'", name);
}

/* --- Writing -------------------------------------------------------------- */

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

/* Begins another file if the present one has all that it should. */
static int
rotate_for(struct nsp_capture *capture, uint64_t at_ns)
{
    bool full = capture->rotate_bytes != 0 &&
                nsp_pcapng_bytes(capture->file) >= capture->rotate_bytes;
    bool old = capture->rotate_ns != 0 && at_ns >= capture->first_ns &&
               at_ns - capture->first_ns >= capture->rotate_ns;
    int err;

    if (!capture->has_packets || !(full || old))
        return 0;
    err = finish_file(capture);
    return err < 0 ? err : start_file(capture);
}

static int
write_event(struct nsp_capture *capture, const struct nsp_event *event,
            const char *comment)
{
    int err = rotate_for(capture, event->at_ns);

    if (err == 0)
        err = need_interface(capture, event->link);
    if (err < 0)
        return err;
    if (!capture->has_packets)
        capture->first_ns = event->at_ns;
    capture->has_packets = true;
    return nsp_pcapng_write(
        capture->file, &(struct nsp_pcapng_packet){
                           .interface = capture->interfaces[event->link] - 1,
                           .data = event->data,
                           .data_bytes = event->cap_bytes,
                           .wire_bytes = event->wire_bytes,
                           .epoch_ns = event->at_ns + capture->epoch_offset_ns,
                           .direction = event->direction,
                           .comment = comment,
                       });
}

int
nsp_capture_write(struct nsp_capture *capture, const struct nsp_event *event,
                  struct nsp_diag *reterr)
{
    char rule[128];
    const char *comment = rule;
    int err;

    if (!capture || !event || event->link >= LINKS)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "null-argument",
                            NULL, "no capture, or no event of a link type");
    capture->given_pkts++;
    if (capture->error < 0)
        return fail(capture, capture->error, reterr);
    if (capture->comment)
        comment = capture->comment[0] ? capture->comment : NULL;
    else
        snprintf(rule, sizeof rule, "rule=%s", event->rule);
    err = write_event(capture, event, comment);
    if (err == -EMSGSIZE)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "too-long", NULL,
                            "a packet of %u bytes is too long for a file",
                            event->cap_bytes);
    return err == 0 ? NSP_OK : fail(capture, err, reterr);
}

int
nsp_capture_flush(struct nsp_capture *capture, struct nsp_diag *reterr)
{
    int err = capture->error;

    if (err == 0)
        err = nsp_pcapng_flush(capture->file);
    return err == 0 ? NSP_OK : fail(capture, err, reterr);
}

void
nsp_capture_read_totals(const struct nsp_capture *capture,
                        struct nsp_capture_totals *ret)
{
    *ret = totals_of(capture);
    ret->lost_pkts = capture->given_pkts - ret->pkts;
}

uint32_t
nsp_capture_count_files(const struct nsp_capture *capture)
{
    return capture->files - !capture->has_begun;
}

int
nsp_capture_close(struct nsp_capture *capture, struct nsp_diag *reterr)
{
    int err, result = NSP_OK;

    if (!capture)
        return NSP_OK;
    err = finish_file(capture);
    if (err == 0)
        err = capture->error;
    if (err < 0)
        result = fail(capture, err, reterr);
    release(capture);
    return result;
}
