#ifndef NSP_CONFIG_COMPLAINT_H
#define NSP_CONFIG_COMPLAINT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/store.h"
#include "netshaper/diag.h"

/* Errors and warnings about a file, each with its place: all of them, up to a
 * bound, not only the first. */
#define NSP_COMPLAINTS_MAX 50u /* Errors; and as many warnings. */

struct nsp_complaint {
    bool is_warning;
    const char *file;     /* As it was named. */
    const char *source;   /* The line complained of; "" with no line. */
    struct nsp_diag diag; /* 'offset' is that in 'source'. */
};

/* All zero is empty; fini frees. The texts live until then. */
struct nsp_complaints {
    bool errors_only; /* Set by the caller: warnings, which take their time, are
                       * not looked for. */
    struct nsp_complaint *list;
    uint32_t count, errors, warnings;
    bool cut;    /* There were more. */
    bool failed; /* No memory to keep one. */
    struct nsp_store store;
};

void nsp_complaints_fini(struct nsp_complaints *complaints);

/* A text that is complained of. */
struct nsp_text_source {
    const char *name; /* Of the file. */
    const char *text; /* Terminated. */
    size_t bytes;
};

/* Adds an empty one at byte 'offset' of 'source', its place filled in; without
 * text the file as a whole is meant. Returns NULL where there are too many: the
 * caller then has nothing more to do. */
struct nsp_complaint *nsp_complaints_add(struct nsp_complaints *complaints,
                                         bool is_warning,
                                         const struct nsp_text_source *source,
                                         size_t offset);

/* Orders them by place within each file, files as they come first, and keeps
 * one of those that are the same. */
void nsp_complaints_sort(struct nsp_complaints *complaints);

#endif /* NSP_CONFIG_COMPLAINT_H */
