#include "config/complaint.h"

#include <stdlib.h>
#include <string.h>

/* What is behind this of a line is not shown. */
#define LINE_BYTES_MAX 65536u

void
nsp_complaints_fini(struct nsp_complaints *complaints)
{
    free(complaints->list);
    nsp_store_fini(&complaints->store);
    *complaints = (struct nsp_complaints){ .list = NULL };
}

static void
find_place(struct nsp_complaints *complaints, struct nsp_complaint *complaint,
           const struct nsp_text_source *source, size_t offset)
{
    size_t begin, end;
    uint32_t line = 1;

    if (offset > source->bytes)
        offset = source->bytes;
    for (size_t i = 0; i < offset; i++)
        line += source->text[i] == '\n';
    begin = offset;
    while (begin > 0 && source->text[begin - 1] != '\n')
        begin--;
    end = offset;
    while (end < source->bytes && source->text[end] != '\n' &&
           source->text[end] != '\r')
        end++;
    if (end - begin > LINE_BYTES_MAX)
        end = begin + LINE_BYTES_MAX;
    complaint->source =
        nsp_store_text(&complaints->store, source->text + begin, end - begin);
    complaint->diag.line = line;
    complaint->diag.offset = (uint32_t)(offset - begin);
    complaint->diag.column = (uint32_t)(offset - begin) + 1;
}

struct nsp_complaint *
nsp_complaints_add(struct nsp_complaints *complaints, bool is_warning,
                   const struct nsp_text_source *source, size_t offset)
{
    uint32_t *count = is_warning ? &complaints->warnings : &complaints->errors;
    struct nsp_complaint *complaint;

    if (*count == NSP_COMPLAINTS_MAX) {
        complaints->cut = true;
        return NULL;
    }
    if (!complaints->list)
        complaints->list =
            calloc((size_t)2 * NSP_COMPLAINTS_MAX, sizeof *complaints->list);
    if (!complaints->list) {
        complaints->failed = true;
        return NULL;
    }
    complaint = &complaints->list[complaints->count];
    *complaint = (struct nsp_complaint){ .is_warning = is_warning };
    complaint->diag.result = NSP_INVALID_PARAMETER;
    complaint->file =
        nsp_store_text(&complaints->store, source->name, strlen(source->name));
    if (source->text)
        find_place(complaints, complaint, source, offset);
    else
        complaint->source = "";
    if (!complaint->file || !complaint->source) {
        complaints->failed = true;
        return NULL;
    }
    complaints->count++;
    *count += 1;
    return complaint;
}

static bool
comes_after(const struct nsp_complaint *a, const struct nsp_complaint *b)
{
    return strcmp(a->file, b->file) == 0 &&
           (a->diag.line > b->diag.line ||
            (a->diag.line == b->diag.line && a->diag.column > b->diag.column));
}

static bool
are_same(const struct nsp_complaint *a, const struct nsp_complaint *b)
{
    return a->is_warning == b->is_warning && strcmp(a->file, b->file) == 0 &&
           a->diag.line == b->diag.line && a->diag.column == b->diag.column &&
           strcmp(a->diag.text, b->diag.text) == 0;
}

/* What is shared is complained of by each that shares it. */
static void
drop_repeats(struct nsp_complaints *complaints)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < complaints->count; i++) {
        const struct nsp_complaint *c = &complaints->list[i];

        if (kept > 0 && are_same(c, &complaints->list[kept - 1]))
            *(c->is_warning ? &complaints->warnings : &complaints->errors) -= 1;
        else
            complaints->list[kept++] = *c;
    }
    complaints->count = kept;
}

/* By insertion: there are few, and those of equal places stay in order. */
void
nsp_complaints_sort(struct nsp_complaints *complaints)
{
    for (uint32_t i = 1; i < complaints->count; i++) {
        struct nsp_complaint moved = complaints->list[i];
        uint32_t to = i;

        for (uint32_t j = i; j-- > 0;)
            if (comes_after(&complaints->list[j], &moved))
                to = j;
        for (uint32_t j = i; j > to; j--)
            complaints->list[j] = complaints->list[j - 1];
        complaints->list[to] = moved;
    }
    drop_repeats(complaints);
}
