#ifndef NETSHAPER_DIAG_H
#define NETSHAPER_DIAG_H
#include <stdint.h>

#include "netshaper/api.h"

NSP_BEGIN_DECLS

/* Results of the public calls: 0 or positive is success, negative is failure.
 * One line each gives the enumerator, its value, its name and its text. */
#define NSP_RESULTS(X)                                                         \
    X(NSP_OK, 0, "ok", "success")                                              \
    X(NSP_STOPPED, 1, "stopped", "ended by nsp_engine_stop()")                 \
    X(NSP_INVALID_PARAMETER, -1, "invalid-parameter",                          \
      "an argument is outside its range")                                      \
    X(NSP_INVALID_HANDLE, -2, "invalid-handle",                                \
      "no engine, or its device has gone away")                                \
    X(NSP_INVALID_STATE, -3, "invalid-state",                                  \
      "the call does not fit the engine's state")                              \
    X(NSP_INVALID_FILTER, -4, "invalid-filter", "the filter does not compile") \
    X(NSP_ALREADY_RUNNING, -5, "already-running",                              \
      "the engine has been started already")                                   \
    X(NSP_DISPOSED, -6, "disposed", "the engine has been destroyed")           \
    X(NSP_OPEN_FAILED, -7, "open-failed", "the device could not be opened")    \
    X(NSP_NOT_POSSIBLE, -8, "not-possible",                                    \
      "a privilege or kernel feature is missing here")                         \
    X(NSP_ABORTED, -9, "aborted", "the engine was destroyed meanwhile")        \
    X(NSP_TOO_MANY_ERRORS, -10, "too-many-errors",                             \
      "the device kept failing; the loop gave up")                             \
    X(NSP_NOT_FOUND, -11, "not-found", "no packet matched in time")            \
    X(NSP_BUFFER_TOO_SMALL, -12, "buffer-too-small",                           \
      "the packet did not fit and was cut")                                    \
    X(NSP_NO_MEMORY, -13, "no-memory", "an allocation failed")

enum nsp_result {
#define NSP_RESULT_ENUM(id, value, name, text) id = value,
    NSP_RESULTS(NSP_RESULT_ENUM)
#undef NSP_RESULT_ENUM
};

/* Names 'result' as in the table above ("invalid-filter"), "unknown" for any
 * other value. Static storage; any thread. */
NSP_API const char *nsp_result_name(int result);

/* Describes 'result' in a few words. Static storage; any thread. */
NSP_API const char *nsp_result_text(int result);

/* An error for a human, owned by the caller, filled only on failure. Text is
 * always terminated, UTF-8, one line, without a final full stop. */
struct nsp_diag {
    int32_t result;    /* enum nsp_result. */
    int32_t os_errno;  /* The system's error number, 0 if none. */
    uint32_t offset;   /* Byte offset in the text complained of. */
    uint32_t line;     /* From 1; 0 when no text is complained of. */
    uint32_t column;   /* From 1, in bytes. */
    uint32_t rule;     /* Of the policy, from 1, that a device cannot serve; 0:
                        * it is not about one. */
    char category[32]; /* Stable word for programs, e.g. "bad-token". */
    char text[256];    /* What is wrong, and where. */
    char hint[256];    /* What to do about it; may be empty. */
};

NSP_END_DECLS
#endif /* NETSHAPER_DIAG_H */
