#ifndef NSP_CLI_JSON_H
#define NSP_CLI_JSON_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* A writer of one JSON document, straight to a stream.
 *
 * What it writes is a valid document whatever the caller does: strings are
 * escaped, bytes that are not UTF-8 become U+FFFD, numbers that are not finite
 * become null, and after a call that does not fit (a member without a name, a
 * second document, nesting deeper than NSP_JSON_DEPTH_MAX, an end without a
 * begin) it writes no more than the ends that are missing.
 *
 * 'name' is the member's name inside an object, and NULL everywhere else. */
#define NSP_JSON_DEPTH_MAX 16

struct nsp_json {
    FILE *to;
    unsigned depth;
    char ends[NSP_JSON_DEPTH_MAX]; /* '}' or ']' of each open level. */
    bool started;                  /* The document has begun. */
    bool has_member;               /* The innermost level is not empty. */
    bool misused; /* A call did not fit: nothing more is written. */
};

void nsp_json_init(struct nsp_json *json, FILE *to);

void nsp_json_begin_object(struct nsp_json *json, const char *name);
void nsp_json_begin_array(struct nsp_json *json, const char *name);
/* Ends the innermost object or array. */
void nsp_json_end(struct nsp_json *json);

/* A NULL 'value' is written as null. */
void nsp_json_string(struct nsp_json *json, const char *name,
                     const char *value);
void nsp_json_uint(struct nsp_json *json, const char *name, uint64_t value);
void nsp_json_int(struct nsp_json *json, const char *name, int64_t value);
void nsp_json_bool(struct nsp_json *json, const char *name, bool value);
void nsp_json_null(struct nsp_json *json, const char *name);
/* With as many digits as it takes to read the same number back. */
void nsp_json_double(struct nsp_json *json, const char *name, double value);

/* Ends what is open, then the line, and flushes. Returns 0, or -EINVAL when a
 * call did not fit. Whether the stream failed, ferror() knows. */
int nsp_json_finish(struct nsp_json *json);

#endif /* NSP_CLI_JSON_H */
