#include "cli/run_events.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cli/json.h"
#include "cli/packet_text.h"
#include "netshaper/capture.h"

/* More than the engine's rings hold: what is reported meanwhile may wait. */
#define TAKE_MAX (1u << 20)

/* Of the devices that 'nsp run' uses, tap has them, without tags. */
#define ETHERNET_BYTES 14u

struct nsp_capture_file {
    struct nsp_capture_file *next;
    char *path;
    struct nsp_capture *capture; /* NULL once it has failed. */
    dev_t device;
    ino_t inode;
    bool written; /* Since it was flushed. */
};

struct nsp_capture_of_rule {
    char name[NSP_NAME_MAX + 1];
    struct nsp_capture_file *file;
};

/* --- Files ---------------------------------------------------------------- */

/* From the engine's clock to the time since 1970. */
static uint64_t
epoch_offset_ns(void)
{
    struct timespec wall, engine;

    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_MONOTONIC, &engine);
    return (uint64_t)(wall.tv_sec - engine.tv_sec) * UINT64_C(1000000000) +
           (uint64_t)(wall.tv_nsec - engine.tv_nsec);
}

static void
warn(const struct nsp_diag *diag)
{
    fprintf(stderr, "nsp: warning: %s; the policy goes on\n", diag->text);
}

static uint64_t
lost_by(const struct nsp_capture_file *file)
{
    struct nsp_capture_totals totals = { .lost_pkts = 0 };

    if (file->capture)
        nsp_capture_read_totals(file->capture, &totals);
    return totals.lost_pkts;
}

static void
end_capture(struct nsp_run_events *events, struct nsp_capture_file *file)
{
    struct nsp_diag diag;

    if (file->capture) /* So that what is lost is known; closing tells of it. */
        (void)!nsp_capture_flush(file->capture, NULL);
    events->lost_pkts += lost_by(file);
    if (nsp_capture_close(file->capture, &diag) != NSP_OK)
        warn(&diag);
    file->capture = NULL;
}

/* A write has failed, and was told of. */
static void
give_up(struct nsp_run_events *events, struct nsp_capture_file *file)
{
    events->lost_pkts += lost_by(file);
    nsp_capture_close(file->capture, NULL);
    file->capture = NULL;
}

uint64_t
nsp_run_events_lost(const struct nsp_run_events *events)
{
    uint64_t lost = events->lost_pkts;

    for (const struct nsp_capture_file *f = events->files; f; f = f->next)
        lost += lost_by(f);
    return lost;
}

static struct nsp_capture_file *
find_file(const struct nsp_run_events *events, const char *path)
{
    struct nsp_capture_file *file = events->files;

    while (file && strcmp(file->path, path) != 0)
        file = file->next;
    return file;
}

static int
out_of_memory(struct nsp_diag *reterr)
{
    *reterr = (struct nsp_diag){ .result = NSP_NO_MEMORY,
                                 .category = "out-of-memory" };
    snprintf(reterr->text, sizeof reterr->text, "no memory to capture");
    return NSP_NO_MEMORY;
}

/* One file of two names would be written twice over. */
static int
check_path(const struct nsp_run_events *events, const char *path,
           struct nsp_diag *reterr)
{
    struct stat info;

    if (stat(path, &info) < 0 || !S_ISREG(info.st_mode))
        return NSP_OK;
    for (const struct nsp_capture_file *f = events->files; f; f = f->next) {
        if (f->device != info.st_dev || f->inode != info.st_ino)
            continue;
        *reterr = (struct nsp_diag){ .result = NSP_OPEN_FAILED,
                                     .category = "same-file" };
        snprintf(reterr->text, sizeof reterr->text,
                 "capture: '%.90s' and '%.90s' are the same file", f->path,
                 path);
        snprintf(reterr->hint, sizeof reterr->hint,
                 "give it one name in the policy");
        return NSP_OPEN_FAILED;
    }
    return NSP_OK;
}

static int
open_file(struct nsp_run_events *events, const char *path,
          struct nsp_capture_file **ret, struct nsp_diag *reterr)
{
    const struct nsp_capture_config cfg = {
        .path = path,
        .link = events->link,
        .epoch_offset_ns = epoch_offset_ns(),
    };
    struct nsp_capture_file *file;
    struct stat info;
    int result = check_path(events, path, reterr);

    if (result != NSP_OK)
        return result;
    file = calloc(1, sizeof *file);
    if (file)
        file->path = strdup(path);
    if (!file || !file->path)
        result = out_of_memory(reterr);
    else
        result = nsp_capture_open(&cfg, &file->capture, reterr);
    if (result != NSP_OK) {
        if (file)
            free(file->path);
        free(file);
        return result;
    }
    if (stat(path, &info) == 0) {
        file->device = info.st_dev;
        file->inode = info.st_ino;
    }
    file->next = events->files;
    events->files = *ret = file;
    return NSP_OK;
}

/* --- Tables --------------------------------------------------------------- */

static int
compare_names(const void *a, const void *b)
{
    const struct nsp_capture_of_rule *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static struct nsp_capture_file *
find_rule(const struct nsp_capture_table *table, const char *name)
{
    struct nsp_capture_of_rule key = { .file = NULL }, *found;

    if (table->count == 0)
        return NULL;
    snprintf(key.name, sizeof key.name, "%s", name);
    found =
        bsearch(&key, table->rules, table->count, sizeof key, compare_names);
    return found ? found->file : NULL;
}

static void
drop_table(struct nsp_capture_table *table)
{
    free(table->rules);
    *table = (struct nsp_capture_table){ .rules = NULL };
}

static bool
names_file(const struct nsp_capture_table *table,
           const struct nsp_capture_file *file)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (table->rules[i].file == file)
            return true;
    return false;
}

/* Finishes the files that 'now' does not name. */
static void
drop_unnamed(struct nsp_run_events *events)
{
    struct nsp_capture_file **link = &events->files;

    while (*link) {
        struct nsp_capture_file *file = *link;

        if (names_file(&events->now, file)) {
            link = &file->next;
            continue;
        }
        *link = file->next;
        end_capture(events, file);
        free(file->path);
        free(file);
    }
}

static int
add_rule(struct nsp_run_events *events, const struct nsp_policy_file *file,
         uint32_t index, struct nsp_diag *reterr)
{
    const char *path = file->notes[index].capture_path;
    const char *name = file->rules[index].name;
    struct nsp_capture_table *table = &events->next;
    struct nsp_capture_of_rule *entry = &table->rules[table->count];
    int result = NSP_OK;

    if (name)
        snprintf(entry->name, sizeof entry->name, "%s", name);
    else
        snprintf(entry->name, sizeof entry->name, "rule-%" PRIu32, index + 1);
    entry->file = find_file(events, path);
    if (!entry->file)
        result = open_file(events, path, &entry->file, reterr);
    if (result == NSP_OK)
        table->count++;
    return result;
}

int
nsp_run_events_prepare(struct nsp_run_events *events,
                       const struct nsp_policy_file *file,
                       struct nsp_diag *reterr)
{
    struct nsp_capture_table *table = &events->next;
    int result = NSP_OK;

    events->link = file->bridge[0] ? NSP_LINK_ETHERNET : NSP_LINK_RAW;
    table->rules = calloc(file->spec.rule_count + 1u, sizeof *table->rules);
    if (!table->rules)
        return out_of_memory(reterr);
    for (uint32_t i = 0; i < file->spec.rule_count && result == NSP_OK; i++) {
        table->reports |= file->rules[i].capture || file->rules[i].log_pps != 0;
        if (file->rules[i].capture)
            result = add_rule(events, file, i, reterr);
    }
    if (result != NSP_OK) {
        nsp_run_events_abandon(events);
        return result;
    }
    qsort(table->rules, table->count, sizeof *table->rules, compare_names);
    return NSP_OK;
}

void
nsp_run_events_adopt(struct nsp_run_events *events, struct nsp_engine *engine)
{
    if (engine)
        nsp_run_events_take(events, engine);
    drop_table(&events->now);
    events->now = events->next;
    events->next = (struct nsp_capture_table){ .rules = NULL };
    drop_unnamed(events);
}

void
nsp_run_events_abandon(struct nsp_run_events *events)
{
    drop_table(&events->next);
    drop_unnamed(events);
}

/* --- Events --------------------------------------------------------------- */

static void
describe(const struct nsp_event *event, char *ret, size_t bytes)
{
    uint8_t data[NSP_EVENT_LOG_BYTES];
    struct nsp_pkt pkt = {
        .data = data,
        .cap_bytes =
            event->cap_bytes < sizeof data ? event->cap_bytes : sizeof data,
        .wire_bytes = event->wire_bytes,
        .link = event->link,
        .direction = event->direction,
        .flags = event->flags & (NSP_PKT_LOOPBACK | NSP_PKT_SUPERPACKET),
    };

    memcpy(data, event->data, pkt.cap_bytes);
    nsp_pkt_parse(&pkt);
    nsp_packet_text_write(&pkt, ret, bytes);
}

/* The devices of a host differ in what stands in front of a packet, and tcpdump
 * reads no file with several link types. Those of a bridge are frames, with
 * tags and without IP. */
static struct nsp_event
from_ip_header(const struct nsp_run_events *events,
               const struct nsp_event *event)
{
    struct nsp_event raw = *event;

    if (event->link == events->link || event->link != NSP_LINK_ETHERNET ||
        event->cap_bytes < ETHERNET_BYTES)
        return raw;
    raw.link = NSP_LINK_RAW;
    raw.data += ETHERNET_BYTES;
    raw.cap_bytes -= ETHERNET_BYTES;
    raw.wire_bytes -= ETHERNET_BYTES;
    return raw;
}

static void
write_log(const struct nsp_run_events *events, const struct nsp_event *event)
{
    uint32_t bytes = from_ip_header(events, event).wire_bytes;
    struct nsp_json json;
    char text[256];

    if (events->quiet && !events->json)
        return;
    describe(event, text, sizeof text);
    if (!events->json) {
        printf("nsp: log: %s: %s %" PRIu32 " B\n", event->rule, text, bytes);
        return;
    }
    nsp_json_init(&json, stdout);
    nsp_json_begin_object(&json, NULL);
    nsp_json_uint(&json, "schema", 1);
    nsp_json_string(&json, "type", "log");
    nsp_json_string(&json, "rule", event->rule);
    nsp_json_uint(&json, "epoch_ns", event->at_ns + epoch_offset_ns());
    nsp_json_string(&json, "packet", text);
    nsp_json_uint(&json, "bytes", bytes);
    nsp_json_finish(&json);
}

static void
write_packet(struct nsp_run_events *events, const struct nsp_event *event)
{
    struct nsp_capture_file *file = find_rule(&events->now, event->rule);
    const struct nsp_event raw = from_ip_header(events, event);
    struct nsp_diag diag;
    int result;

    /* The policy that is being put in force reports already. */
    if (!file)
        file = find_rule(&events->next, event->rule);
    if (!file || !file->capture) {
        events->lost_pkts++;
        return;
    }
    result = nsp_capture_write(file->capture, &raw, &diag);
    file->written = true;
    if (result == NSP_OK)
        return;
    warn(&diag);
    if (result == NSP_ABORTED)
        give_up(events, file);
}

static void
take_one(void *context, const struct nsp_event *event)
{
    struct nsp_run_events *events = context;

    if (event->kind == NSP_EVENT_LOG)
        write_log(events, event);
    else
        write_packet(events, event);
}

void
nsp_run_events_take(struct nsp_run_events *events, struct nsp_engine *engine)
{
    struct nsp_diag diag;

    if (!events->now.reports && !events->next.reports)
        return;
    if (nsp_engine_read_events(engine, take_one, events, TAKE_MAX) <= 0)
        return;
    fflush(stdout);
    for (struct nsp_capture_file *f = events->files; f; f = f->next) {
        if (!f->written || !f->capture)
            continue;
        f->written = false;
        if (nsp_capture_flush(f->capture, &diag) != NSP_OK) {
            warn(&diag);
            give_up(events, f);
        }
    }
}

void
nsp_run_events_finish(struct nsp_run_events *events)
{
    drop_table(&events->next);
    drop_table(&events->now);
    drop_unnamed(events);
}
