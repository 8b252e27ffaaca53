#ifndef NSP_FILTER_ERROR_H
#define NSP_FILTER_ERROR_H
#include "base/base.h"
#include "netshaper/diag.h"

/* Categories of errors: stable words for programs, after WinDivert's. */
#define NSP_BAD_TOKEN           "bad-token"
#define NSP_BAD_TOKEN_FOR_LAYER "bad-token-for-layer"
#define NSP_NOT_AVAILABLE       "not-available"
#define NSP_UNKNOWN_SET         "unknown-set"
#define NSP_UNKNOWN_INTERFACE   "unknown-interface"
#define NSP_TYPE_MISMATCH       "type-mismatch"
#define NSP_PARSE_ERROR         "parse-error"
#define NSP_BAD_INDEX           "bad-index"
#define NSP_BAD_OBJECT          "bad-object"
#define NSP_NOT_EXPRESSIBLE     "not-expressible"
#define NSP_TOO_DEEP            "too-deep"
#define NSP_TOO_LONG            "too-long"
#define NSP_OUT_OF_MEMORY       "out-of-memory"

/* A filter's text and where to complain about it. */
struct nsp_source {
    const char *text;
    uint32_t bytes;
    struct nsp_diag *diag; /* May be NULL. */
};

/* Fills the diagnosis for an error found at byte 'at' of the text and returns
 * NSP_INVALID_FILTER. 'offset' is what is reported to programs: WinDivert's
 * position, which for a lone stray character is the one past it. */
int nsp_source_fail(const struct nsp_source *source, uint32_t at,
                    uint32_t offset, const char *category, const char *hint,
                    const char *format, ...) NSP_PRINTF(6, 7);

/* The same for an exhausted allocator; returns NSP_NO_MEMORY. */
int nsp_source_out_of_memory(const struct nsp_source *source);

#endif /* NSP_FILTER_ERROR_H */
