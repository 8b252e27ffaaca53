/* Numbers of effects that are in files of their own. */
#include <stdlib.h>
#include <string.h>

#include "config/policy_build.h"
#include "config/trace_file.h"

bool
nsp_policy_read_file(struct nsp_policy_builder *b,
                     const struct nsp_object *object, const char *key,
                     const char *path, struct nsp_text_source *ret)
{
    const char *resolved =
        nsp_policy_resolve_path(b->keys.store, object->source, path);
    char *text = NULL;
    size_t bytes = 0;
    int error;

    if (!resolved)
        return false;
    error = b->files->read(b->files->context, resolved, &text, &bytes);
    if (error != 0) {
        nsp_keys_complain_at(&b->keys, object, key, "bad-file",
                             "paths are seen from the file that they are in",
                             "%.100s: %.80s", resolved, strerror(error));
        return false;
    }
    *ret = (struct nsp_text_source){ resolved, text, bytes };
    return true;
}

void
nsp_policy_release_file(struct nsp_text_source *source)
{
    /* Only the text is the reader's to give. */
    free((void *)(uintptr_t)source->text);
    source->text = NULL;
}

void
nsp_policy_complain_in(struct nsp_policy_builder *b,
                       const struct nsp_text_source *source, size_t offset,
                       const struct nsp_diag *diag)
{
    struct nsp_complaint *c =
        nsp_complaints_add(b->keys.complaints, false, source, offset);

    if (!c)
        return;
    memcpy(c->diag.category, diag->category, sizeof diag->category);
    memcpy(c->diag.text, diag->text, sizeof diag->text);
    memcpy(c->diag.hint, diag->hint, sizeof diag->hint);
}

/* --- Lists of numbers ----------------------------------------------------- */

/* One that has been read, by whatever reader. */
typedef int read_fn(const struct nsp_text_source *source, void *ret,
                    uint32_t *ret_count, struct nsp_diag *reterr);

struct nsp_number_list {
    struct nsp_number_list *next;
    const char *path;
    read_fn *read;
    const void *items;
    uint32_t count;
};

/* Reads 'source' to an array of items of 'item_bytes'. NULL where it cannot be,
 * which has been complained of. */
static const void *
read_items(struct nsp_policy_builder *b, const struct nsp_text_source *source,
           read_fn *read, size_t item_bytes, uint32_t *ret_count)
{
    struct nsp_diag diag;
    uint32_t count = 0;
    void *items;

    if (read(source, NULL, &count, &diag) != NSP_OK) {
        nsp_policy_complain_in(b, source, diag.offset, &diag);
        return NULL;
    }
    items = nsp_store_alloc(b->kept, count * item_bytes);
    if (items && read(source, items, ret_count, NULL) != NSP_OK)
        return NULL; /* The same text as before: it cannot fail. */
    return items;
}

/* The items of the file 'path'. Each is read once, and stays: what a scenario
 * comes back to is there. */
static const void *
read_list(struct nsp_policy_builder *b, const struct nsp_object *object,
          const char *key, const char *path, read_fn *read, size_t item_bytes,
          uint32_t *ret_count)
{
    const char *resolved =
        nsp_policy_resolve_path(b->kept, object->source, path);
    struct nsp_text_source source;
    struct nsp_number_list *list;

    for (list = b->numbers; list && resolved; list = list->next) {
        if (strcmp(list->path, resolved) != 0 || list->read != read)
            continue;
        *ret_count = list->count;
        return list->items;
    }
    if (!resolved || !nsp_policy_read_file(b, object, key, path, &source))
        return NULL;
    list = nsp_store_alloc(b->kept, sizeof *list);
    if (list)
        list->items = read_items(b, &source, read, item_bytes, &list->count);
    nsp_policy_release_file(&source);
    if (!list || !list->items)
        return NULL;
    list->path = resolved;
    list->read = read;
    list->next = b->numbers;
    b->numbers = list;
    *ret_count = list->count;
    return list->items;
}

static int
read_distribution(const struct nsp_text_source *source, void *ret,
                  uint32_t *ret_count, struct nsp_diag *reterr)
{
    return nsp_dist_file_read(source->text, source->bytes, NSP_DELAY_TABLE_MAX,
                              ret, ret_count, reterr);
}

const int16_t *
nsp_policy_read_distribution(struct nsp_policy_builder *b,
                             const struct nsp_object *object, const char *path,
                             uint32_t *ret_count)
{
    return read_list(b, object, "file", path, read_distribution,
                     sizeof(int16_t), ret_count);
}

static int
read_delays(const struct nsp_text_source *source, void *ret,
            uint32_t *ret_count, struct nsp_diag *reterr)
{
    return nsp_delay_file_read(source->text, source->bytes, NSP_DELAY_NS_MAX,
                               NSP_DELAY_TRACE_MAX, ret, ret_count, reterr);
}

const uint64_t *
nsp_policy_read_delays(struct nsp_policy_builder *b,
                       const struct nsp_object *object, const char *path,
                       uint32_t *ret_count)
{
    return read_list(b, object, "file", path, read_delays, sizeof(uint64_t),
                     ret_count);
}

static int
read_losses(const struct nsp_text_source *source, void *ret,
            uint32_t *ret_count, struct nsp_diag *reterr)
{
    return nsp_loss_file_read(source->text, source->bytes, NSP_LOSS_PATTERN_MAX,
                              ret, ret_count, reterr);
}

const uint8_t *
nsp_policy_read_losses(struct nsp_policy_builder *b,
                       const struct nsp_object *object, const char *path,
                       uint32_t *ret_count)
{
    return read_list(b, object, "file", path, read_losses, sizeof(uint8_t),
                     ret_count);
}

static int
read_ms(const struct nsp_text_source *source, void *ret, uint32_t *ret_count,
        struct nsp_diag *reterr)
{
    return nsp_trace_file_read(source->text, source->bytes, 1000000,
                               NSP_RATE_OPPORTUNITIES_MAX, ret, ret_count,
                               reterr);
}

static int
read_ns(const struct nsp_text_source *source, void *ret, uint32_t *ret_count,
        struct nsp_diag *reterr)
{
    return nsp_trace_file_read(source->text, source->bytes, 1,
                               NSP_RATE_OPPORTUNITIES_MAX, ret, ret_count,
                               reterr);
}

const uint64_t *
nsp_policy_read_opportunities(struct nsp_policy_builder *b,
                              const struct nsp_doc_rate *doc,
                              uint32_t *ret_count)
{
    return read_list(b, &doc->at, "trace", doc->trace,
                     doc->unit_ns == 1 ? read_ns : read_ms, sizeof(uint64_t),
                     ret_count);
}
